"""
What crosses a connection, frame by frame, as facts for a log.

A L{FrameView} is fed the bytes of one direction as they cross and says which frames they were.  It judges nothing and
never raises: what the rules would end a session for is shown as what it is, with a note.  Whatever a peer sends, it keeps
no more than one header block, one HPACK table and the start of one frame.

The splitter in front of the engine does not serve: it stops at the first frame that breaks a rule, which is when a log
becomes interesting, and hands a header block over in one piece.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from hpack import Decoder, HPACKError

from txh2session import _frames as frames
from txh2session._frames import HEAD, PREFACE, WITH_BLOCK, ConnectionFault, recognise
from txh2session.constants import SettingID
from txh2session.framelog._facts import NAMES, Seen, begun, readDependency, readEntries, readPadding, readPayload

_KEPT: Final = 16 * 1024
"""Bytes of a payload that are read at the most; those of header blocks have a limit of their own."""
_BLOCK: Final = 1024 * 1024
"""Bytes of a header block, and of the list it stands for, that are decoded at the most: far above L{Limits
<txh2session.Limits>}, so that a session has ended before its log gives up."""
_BLOCK_TOO_LONG: Final = f"a header block of more than {_BLOCK} bytes"
_LOST: Final = "fields not shown: HPACK is out of step"

_head = Struct(">HBBBL")


class FrameView:
    """
    One direction of a connection.

    @ivar other: the other direction, whose bounds are what this one's SETTINGS say.
    """

    other: FrameView

    __slots__ = (
        "_about",
        "_block",
        "_blockOf",
        "_decoder",
        "_first",
        "_fromClient",
        "_maxFrameSize",
        "_missing",
        "_noFrames",
        "_open",
        "_piece",
        "_skip",
        "other",
    )

    def __init__(self, fromClient: bool) -> None:
        self._fromClient = fromClient
        self._first = True
        self._noFrames = False
        self._piece = bytearray()
        self._missing = len(PREFACE) if fromClient else HEAD
        self._skip = 0
        self._open: Seen | None = None
        self._maxFrameSize = 16384
        self._decoder: Decoder | None = Decoder(_BLOCK)
        self._block: bytearray | None = None
        self._blockOf = 0
        self._about = 0

    # -----------------------------------------------------------------------------------------------------------------
    # Cutting

    def feed(self, data: bytes) -> list[Seen]:
        """
        Take in what crossed and say what it was, as far as it is whole.
        """
        seen: list[Seen] = []
        position = 0
        while position < len(data) and not self._noFrames:
            if self._missing:
                taken = data[position : position + self._missing]
                self._piece += taken
                self._missing -= len(taken)
            else:
                taken = data[position : position + self._skip]
                self._skip -= len(taken)
            position += len(taken)
            if self._first:
                self._start(seen)
            elif not self._missing:
                self._advance(seen)
        return seen

    def cut(self) -> list[Seen]:
        """
        Say what the end of the connection cut off.
        """
        if self._noFrames or not (self._piece or self._open):
            return []
        self._noFrames = True
        left = self._open
        if left is None:
            return [Seen("BYTES", None, len(self._piece), details={"begins": bytes(self._piece)}, note="cut off here")]
        here = left.length - self._skip - self._missing
        left.noted(f"cut off after {here} bytes")
        return [left]

    def _start(self, seen: list[Seen]) -> None:
        """
        Look at the first bytes: the client's preface, or the head of the server's SETTINGS.
        """
        start = bytes(self._piece)
        if self._fromClient:
            if not PREFACE.startswith(start):
                self._notFrames(seen, start)
            elif not self._missing:
                seen.append(Seen("PREFACE", None, len(PREFACE)))
                self._expectHead()
                self._first = False
        elif not self._missing:
            self._first = False
            if recognise(start) in ("TLS", "HTTP/1"):
                self._notFrames(seen, start)
            else:
                self._advance(seen)

    def _notFrames(self, seen: list[Seen], start: bytes) -> None:
        """
        Give up: from here on nothing tells where a frame would begin.
        """
        self._noFrames = True
        details = {"looksLike": recognise(start), "begins": start}
        note = "this is not HTTP/2; no more is shown of this direction"
        seen.append(Seen("BYTES", None, len(start), details=details, note=note))
        self._piece.clear()

    def _expectHead(self) -> None:
        self._piece.clear()
        self._missing = HEAD
        self._skip = 0
        self._open = None

    def _advance(self, seen: list[Seen]) -> None:
        """
        Go on, now that the head or the kept part of a payload is whole.
        """
        if self._open is None:
            self._open = self._begin()
            if self._open.note:  # too long: it may never be whole
                seen.append(self._open)
        if not self._missing and not self._skip:
            opened = self._open
            kind, flags = self._piece[3], self._piece[4]
            if not opened.note:
                self._read(kind, flags, bytes(self._piece), opened)
                seen.append(opened)
            self._expectHead()

    def _begin(self) -> Seen:
        """
        Read a frame's head, and decide how much of its payload is of use.
        """
        high, low, kind, flags, streamID = _head.unpack(self._piece)
        length = high << 8 | low
        seen = begun(kind, flags, streamID, length)
        keep = min(length, _KEPT) if kind in NAMES else 0
        if kind == frames.DATA:
            keep = min(length, 1) if flags & frames.PADDED else 0
        elif kind in WITH_BLOCK:
            keep = length
        if length > self._maxFrameSize:
            seen.note = f"longer than MAX_FRAME_SIZE, {self._maxFrameSize}"
        elif keep > _BLOCK:
            seen.note = _BLOCK_TOO_LONG
        if seen.note:
            keep = 0
            if kind in WITH_BLOCK:
                self._loseStep()
                self._block = None if flags & frames.END_HEADERS else bytearray()
                self._blockOf = streamID & 0x7FFFFFFF
        self._missing = keep
        self._skip = length - keep
        return seen

    # -----------------------------------------------------------------------------------------------------------------
    # Reading

    def _read(self, kind: int, flags: int, raw: bytes, seen: Seen) -> None:
        """
        Say what a frame says.

        @param raw: the frame, or as much of it as was kept.
        """
        if self._block is not None and kind != frames.CONTINUATION:
            seen.noted(f"inside the header block of stream {self._blockOf}")
        if kind in WITH_BLOCK:
            self._readFields(kind, flags, raw, seen)
            return
        if kind == frames.SETTINGS:
            self.other._allow(readEntries(raw))
        readPayload(kind, flags, raw, seen)

    def _allow(self, entries: list[tuple[int, int]]) -> None:
        """
        Let frames and HPACK's table be as large as the other side ever said.  When what it says later counts is the
        session's to judge; to read what is there the largest will do.
        """
        for identifier, value in entries:
            if identifier == SettingID.MAX_FRAME_SIZE:
                self._maxFrameSize = max(self._maxFrameSize, min(value, 2**24 - 1))
            elif identifier == SettingID.HEADER_TABLE_SIZE and self._decoder is not None:
                self._decoder.max_allowed_table_size = max(self._decoder.max_allowed_table_size, value)

    def _readFields(self, kind: int, flags: int, raw: bytes, seen: Seen) -> None:
        """
        Take in a piece of a header block, and decode the block when it is whole.
        """
        try:
            fragment = frames.headerFragment(raw)
        except ConnectionFault as fault:
            seen.noted(str(fault))
            self._loseStep()
            return
        if kind == frames.CONTINUATION:
            if self._block is None or seen.streamID != self._blockOf:
                seen.noted("no header block is to be continued here")
                self._loseStep()
        else:
            readPadding(flags, raw, seen)
            if self._block is not None:
                self._loseStep()
            self._block = bytearray()
            self._blockOf = self._about = seen.streamID or 0
            if kind == frames.PUSH_PROMISE:
                seen.details["promisedStream"] = self._about = frames.promisedStream(flags, raw)
            elif flags & frames.PRIORITY_FLAG:
                readDependency(raw, HEAD + bool(flags & frames.PADDED), seen)
        self._collect(fragment, bool(flags & frames.END_HEADERS), seen)

    def _collect(self, fragment: bytes, ends: bool, seen: Seen) -> None:
        if self._decoder is not None and self._block is not None:
            self._block += fragment
            if len(self._block) > _BLOCK:
                seen.noted(_BLOCK_TOO_LONG)
                self._loseStep()
        if not ends:
            return
        block, self._block = self._block, None
        if self._decoder is None or block is None:
            seen.noted(_LOST)
            return
        try:
            decoded = self._decoder.decode(bytes(block), raw=True)
        except HPACKError as error:
            seen.noted(f"HPACK: {error}")
            self._loseStep()
            return
        seen.fields = [((bytes(each[0]), bytes(each[1])), not each.indexable) for each in decoded]
        seen.fieldsOf = self._about

    def _loseStep(self) -> None:
        """
        Decode nothing any more: a block was not decoded, on which the later ones build.
        """
        self._decoder = None
        if self._block:
            self._block.clear()


def bothDirections(client: bool) -> tuple[FrameView, FrameView]:
    """
    Watch a connection.

    @param client: whether this side is the client.

    @return: what it receives, and what it sends.
    """
    received, sent = FrameView(fromClient=not client), FrameView(fromClient=client)
    received.other, sent.other = sent, received
    return received, sent
