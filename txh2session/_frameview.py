"""
What crosses a connection, frame by frame, as facts for a log.

A L{FrameView} is fed the bytes of one direction as they cross and says which frames they were.  It judges nothing and
never raises: what the rules would end a session for is shown as what it is, with a note.  Whatever a peer sends, it keeps
no more than one header block, one HPACK table and the start of one frame.

The splitter in front of the engine does not serve: it stops at the first frame that breaks a rule, which is when a log
becomes interesting, and hands a header block over in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final

from hpack import Decoder, HPACKError

from txh2session import _frames as frames
from txh2session._fields import Field
from txh2session._frames import HEAD, PREFACE, ConnectionFault, recognise
from txh2session.errors import errorCode
from txh2session.settings import unpackEntries

_KEPT: Final = 16 * 1024
"""Bytes of a payload that are read at the most; those of header blocks have a limit of their own."""
_BLOCK: Final = 1024 * 1024
"""Bytes of a header block, and of the list it stands for, that are decoded at the most: far above L{Limits
<txh2session.Limits>}, so that a session has ended before its log gives up."""
_BLOCK_TOO_LONG: Final = f"a header block of more than {_BLOCK} bytes"
_SETTINGS_SHOWN: Final = 64
_LOST: Final = "fields not shown: HPACK is out of step"

_NAMES: Final = {
    frames.DATA: "DATA",
    frames.HEADERS: "HEADERS",
    frames.PRIORITY: "PRIORITY",
    frames.RST_STREAM: "RST_STREAM",
    frames.SETTINGS: "SETTINGS",
    frames.PUSH_PROMISE: "PUSH_PROMISE",
    frames.PING: "PING",
    frames.GOAWAY: "GOAWAY",
    frames.WINDOW_UPDATE: "WINDOW_UPDATE",
    frames.CONTINUATION: "CONTINUATION",
    frames.ALTSVC: "ALTSVC",
    frames.ORIGIN: "ORIGIN",
    frames.PRIORITY_UPDATE: "PRIORITY_UPDATE",
}
_ACK: Final = {frames.ACK: "ACK"}
_FLAGS: Final = {
    frames.DATA: {frames.END_STREAM: "END_STREAM", frames.PADDED: "PADDED"},
    frames.HEADERS: {
        frames.END_STREAM: "END_STREAM",
        frames.END_HEADERS: "END_HEADERS",
        frames.PADDED: "PADDED",
        frames.PRIORITY_FLAG: "PRIORITY",
    },
    frames.SETTINGS: _ACK,
    frames.PUSH_PROMISE: {frames.END_HEADERS: "END_HEADERS", frames.PADDED: "PADDED"},
    frames.PING: _ACK,
    frames.CONTINUATION: {frames.END_HEADERS: "END_HEADERS"},
}
_SETTINGS: Final = {
    0x1: "HEADER_TABLE_SIZE",
    0x2: "ENABLE_PUSH",
    0x3: "MAX_CONCURRENT_STREAMS",
    0x4: "INITIAL_WINDOW_SIZE",
    0x5: "MAX_FRAME_SIZE",
    0x6: "MAX_HEADER_LIST_SIZE",
    0x8: "ENABLE_CONNECT_PROTOCOL",
    0x9: "NO_RFC7540_PRIORITIES",
}
_SIZES: Final = {frames.PRIORITY: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}
_WITH_FIELDS: Final = frozenset({frames.HEADERS, frames.PUSH_PROMISE, frames.CONTINUATION})

_head = Struct(">HBBBL")
_dependency = Struct(">LB")


@dataclass(slots=True)
class Seen:
    """
    Something that crossed the connection.

    @ivar kind: the frame's type by name, C{"UNKNOWN(0xbb)"} for one without; C{"PREFACE"}; C{"BYTES"} for what is no
        frame.
    @ivar streamID: L{None} for what is no frame.
    @ivar length: of the payload, as the frame's head has it.
    @ivar flags: those that are set, by name.
    @ivar details: what the frame says, by names that fit its type: numbers, text, bytes as the peer sent them, and lists
        and dicts of these.
    @ivar fields: the header fields of the block that the frame ended, each with whether its sender marked it never to be
        indexed (RFC 7541 section 7.1.3); L{None} if it ended none.
    @ivar fieldsOf: the stream that those are about, which for a push is the promised one.
    @ivar note: what is wrong with it, or C{""}.
    """

    kind: str
    streamID: int | None
    length: int
    flags: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    fields: list[tuple[Field, bool]] | None = None
    fieldsOf: int = 0
    note: str = ""

    def noted(self, what: str) -> None:
        """
        Say what is wrong, after what was said before.
        """
        self.note = f"{self.note}; {what}" if self.note else what


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
        names = _FLAGS.get(kind, {})
        known = [name for bit, name in names.items() if flags & bit]
        unknown = flags & ~sum(names)
        seen = Seen(
            _NAMES.get(kind, f"UNKNOWN(0x{kind:02x})"),
            streamID & 0x7FFFFFFF,
            length,
            [*known, *([f"0x{unknown:02x}"] if unknown else [])],
        )
        keep = min(length, _KEPT) if kind in _NAMES else 0
        if kind == frames.DATA:
            keep = min(length, 1) if flags & frames.PADDED else 0
        elif kind in _WITH_FIELDS:
            keep = length
        if length > self._maxFrameSize:
            seen.note = f"longer than MAX_FRAME_SIZE, {self._maxFrameSize}"
        elif keep > _BLOCK:
            seen.note = _BLOCK_TOO_LONG
        if seen.note:
            keep = 0
            if kind in _WITH_FIELDS:
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
        if kind in _WITH_FIELDS:
            self._readFields(kind, flags, raw, seen)
            return
        size = _SIZES.get(kind, seen.length)
        if seen.length != size:
            seen.noted(f"{size} bytes is its only length")
        elif kind == frames.SETTINGS:
            self._readSettings(flags, raw, seen)
        else:
            reader = _READERS.get(kind)
            if reader is not None:
                reader(flags, raw, seen)

    def _readSettings(self, flags: int, raw: bytes, seen: Seen) -> None:
        whole = (len(raw) - HEAD) // 6 * 6
        entries = list(unpackEntries(raw[HEAD : HEAD + whole]))
        if seen.length % 6 or (seen.length and flags & frames.ACK):
            seen.noted("0 bytes is the only length of an ACK" if flags & frames.ACK else "entries have 6 bytes each")
        else:
            self.other._allow(entries)
        shown = [(_SETTINGS.get(key, f"0x{key:x}"), value) for key, value in entries[:_SETTINGS_SHOWN]]
        if shown:
            seen.details["settings"] = shown
        if seen.length // 6 > len(shown):
            seen.noted(f"{seen.length // 6} entries, of which these are the first")

    def _allow(self, entries: list[tuple[int, int]]) -> None:
        """
        Let frames and HPACK's table be as large as the other side ever said.  When what it says later counts is the
        session's to judge; to read what is there the largest will do.
        """
        for identifier, value in entries:
            if identifier == 0x5:
                self._maxFrameSize = max(self._maxFrameSize, min(value, 2**24 - 1))
            elif identifier == 0x1 and self._decoder is not None:
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
            _readPadding(flags, raw, seen)
            if self._block is not None:
                self._loseStep()
            self._block = bytearray()
            self._blockOf = self._about = seen.streamID or 0
            if kind == frames.PUSH_PROMISE:
                seen.details["promisedStream"] = self._about = frames.promisedStream(flags, raw)
            elif flags & frames.PRIORITY_FLAG:
                _readDependency(raw, HEAD + bool(flags & frames.PADDED), seen)
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


def _readPadding(flags: int, raw: bytes, seen: Seen) -> None:
    if flags & frames.PADDED:
        seen.details["padding"] = raw[HEAD]


def _readDependency(raw: bytes, start: int, seen: Seen) -> None:
    """
    Read the old priority of a stream (RFC 7540 section 6.3).
    """
    dependsOn, weight = _dependency.unpack_from(raw, start)
    seen.details["dependsOn"] = dependsOn & 0x7FFFFFFF
    seen.details["weight"] = weight + 1
    if dependsOn >> 31:
        seen.details["exclusive"] = True


def _readData(flags: int, raw: bytes, seen: Seen) -> None:
    if not flags & frames.PADDED:
        return
    if not seen.length:
        seen.noted("a padded frame without its length of padding")
        return
    _readPadding(flags, raw, seen)
    if raw[HEAD] >= seen.length:
        seen.noted("padding longer than the frame")


def _readCode(number: int, seen: Seen) -> None:
    code = errorCode(number)
    seen.details["code"] = getattr(code, "name", f"0x{number:x}")


def _readReset(flags: int, raw: bytes, seen: Seen) -> None:
    _readCode(frames.readLong(raw), seen)


def _readGoAway(flags: int, raw: bytes, seen: Seen) -> None:
    if seen.length < 8:
        seen.noted("8 bytes is its least length")
        return
    goAway = frames.readGoAway(raw)
    seen.details["lastStream"] = goAway.lastStreamID
    _readCode(goAway.code, seen)
    if goAway.debugData:
        seen.details["debug"] = goAway.debugData


def _readPing(flags: int, raw: bytes, seen: Seen) -> None:
    seen.details["payload"] = raw[HEAD:].hex()


def _readWindow(flags: int, raw: bytes, seen: Seen) -> None:
    seen.details["increment"] = frames.readLong(raw) & 0x7FFFFFFF


def _readAltSvc(flags: int, raw: bytes, seen: Seen) -> None:
    said = frames.readAltSvc(raw)
    if said is None:
        seen.noted("its origin is longer than the frame")
    else:
        seen.details.update(origin=said.origin, value=said.value)


def _readOrigins(flags: int, raw: bytes, seen: Seen) -> None:
    origins = frames.readOrigins(raw)
    if origins is None:
        seen.noted("an origin is longer than the frame")
    else:
        seen.details["origins"] = origins


def _readPriorityUpdate(flags: int, raw: bytes, seen: Seen) -> None:
    if seen.length < 4:
        seen.noted("4 bytes is its least length")
    else:
        seen.details["prioritizedStream"] = frames.readLong(raw) & 0x7FFFFFFF
        seen.details["priority"] = raw[HEAD + 4 :]


_READERS: Final[dict[int, Callable[[int, bytes, Seen], None]]] = {
    frames.DATA: _readData,
    frames.PRIORITY: lambda flags, raw, seen: _readDependency(raw, HEAD, seen),
    frames.RST_STREAM: _readReset,
    frames.PING: _readPing,
    frames.GOAWAY: _readGoAway,
    frames.WINDOW_UPDATE: _readWindow,
    frames.ALTSVC: _readAltSvc,
    frames.ORIGIN: _readOrigins,
    frames.PRIORITY_UPDATE: _readPriorityUpdate,
}


def bothDirections(client: bool) -> tuple[FrameView, FrameView]:
    """
    Watch a connection.

    @param client: whether this side is the client.

    @return: what it receives, and what it sends.
    """
    received, sent = FrameView(fromClient=not client), FrameView(fromClient=client)
    received.other, sent.other = sent, received
    return received, sent
