"""
An L{EmissionMonitor}: reads every byte that one end of a connection sends, and holds it to what RFC 9113 and its kin let a
sender send.

It knows nothing of this package: it parses frames by itself and is told what the other end's bytes were when they arrived,
so that it knows the windows, the settings and the streams as the sender knows them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from hpack import Decoder, HPACKError

from txh2session.testing import Pipe

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
(
    DATA,
    HEADERS,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    PUSH_PROMISE,
    PING,
    GOAWAY,
    WINDOW_UPDATE,
    CONTINUATION,
) = range(10)
ALTSVC, ORIGIN, PRIORITY_UPDATE = 0x0A, 0x0C, 0x10
FLAGS = {DATA: 0x09, HEADERS: 0x2D, SETTINGS: 0x01, PUSH_PROMISE: 0x0C, PING: 0x01, CONTINUATION: 0x04}
"""The flags that each type has."""
ENDS_STREAM, ACKNOWLEDGES, ENDS_HEADERS, IS_PADDED, HAS_PRIORITY = 0x01, 0x01, 0x04, 0x08, 0x20
MOST = 2**31 - 1
CONNECTION_SPECIFIC = {
    b"connection",
    b"proxy-connection",
    b"keep-alive",
    b"transfer-encoding",
    b"upgrade",
    b"http2-settings",
}


class Breach(AssertionError):
    """
    A sender broke a rule.
    """


class Half:
    """
    What one end has said on a stream.

    @ivar headers: whether its final headers are out.
    @ivar ended: whether END_STREAM is.
    @ivar reset: whether RST_STREAM is.
    """

    __slots__ = ("ended", "headers", "reset")

    def __init__(self) -> None:
        self.headers = self.ended = self.reset = False


class Stream:
    """
    A stream as its sender knows it.

    @ivar window: how many bytes the sender may still send.
    @ivar given: how many bytes the other end may still send.
    @ivar promised: whether it is a push.
    @ivar tunnel: whether it is a CONNECT that was not refused.
    """

    __slots__ = ("given", "mine", "promised", "theirs", "tunnel", "window")

    def __init__(self, window: int, given: int, promised: bool = False) -> None:
        self.window = window
        self.given = given
        self.promised = promised
        self.tunnel = False
        self.mine = Half()
        self.theirs = Half()

    @property
    def closed(self) -> bool:
        """
        Whether nothing but PRIORITY may be sent any more.
        """
        return self.mine.reset or self.theirs.reset or (self.mine.ended and self.theirs.ended)


class FrameReader:
    """
    Cuts bytes into frames.
    """

    def __init__(self, preface: bool) -> None:
        self._preface = preface
        self._rest = b""

    def feed(self, data: bytes) -> list[tuple[int, int, int, bytes]]:
        """
        Take in bytes.

        @return: type, flags, stream id with its reserved bit, and payload of each frame that is whole.
        """
        self._rest += data
        if self._preface:
            if len(self._rest) < len(PREFACE):
                return []
            if not self._rest.startswith(PREFACE):
                raise Breach(f"no preface but {self._rest[:24]!r} (RFC 9113 section 3.4)")
            self._rest = self._rest[len(PREFACE) :]
            self._preface = False
        frames = []
        while len(self._rest) >= 9:
            high, low, kind, flags, streamID = struct.unpack(">HBBBL", self._rest[:9])
            length = high << 8 | low
            if len(self._rest) < 9 + length:
                break
            frames.append((kind, flags, streamID, self._rest[9 : 9 + length]))
            self._rest = self._rest[9 + length :]
        return frames

    @property
    def whole(self) -> bool:
        """
        Whether nothing is left of a frame that is not whole.
        """
        return not self._rest


class EmissionMonitor:
    """
    Watches what one end sends.

    Call C{received} with what arrives there, before that end sees it, and C{sent} with what it writes; L{watch} does so for
    both ends of a pipe.  Nothing is raised, since that would change what is watched; after the first breach nothing more is
    judged.

    @ivar breaches: the rule that was broken, if one was.
    @ivar frames: how many frames of each type were sent.
    """

    def __init__(self, client: bool) -> None:
        """
        @param client: whether it is the client's end that is watched.
        """
        self._client = client
        self._out = FrameReader(client)
        self._in = FrameReader(not client)
        self.breaches: list[str] = []
        self.frames: dict[int, int] = {}
        self._streams: dict[int, Stream] = {}
        self._highest = {0: 0, 1: 0}
        self._window = 65535
        self._given = 65535
        # Settings of the other end: heard of, and in force once acknowledged; ours likewise.
        self._heard: list[dict[int, int]] = []
        self._theirs = {1: 4096, 2: 1, 3: 2**32 - 1, 4: 65535, 5: 16384, 8: 0}
        self._said: list[dict[int, int]] = []
        self._mine = {4: 65535}
        self._pings: list[bytes] = []
        self._decoder = Decoder(1 << 24)
        self._theirDecoder = Decoder(1 << 24)
        self._block: tuple[int, int, int, bytes] | None = None
        self._theirBlock: tuple[int, int, int, bytes] | None = None
        self._goAway = MOST
        self._goneAway = False
        self._mayOpen = True
        self._first = True
        self._resetsHeard: set[int] = set()
        self._endsHeard: set[int] = set()

    # -----------------------------------------------------------------------------------------------------------------
    # What the other end says

    def received(self, data: bytes) -> None:
        """
        Take note of bytes that the watched end is about to get.
        """
        for kind, flags, raw, payload in self._in.feed(data):
            self._heardFrame(kind, flags, raw & MOST, payload)

    def _heardFrame(self, kind: int, flags: int, streamID: int, payload: bytes) -> None:
        stream = self._streams.get(streamID)
        if kind == SETTINGS:
            if flags & ACKNOWLEDGES:
                self._acknowledged()
            else:
                self._heard.append(_entries(payload))
        elif kind == WINDOW_UPDATE:
            increment = int.from_bytes(payload, "big") & MOST
            if streamID == 0:
                self._window += increment
            elif stream is not None:
                stream.window += increment
        elif kind == PING and not flags & ACKNOWLEDGES:
            self._pings.append(payload)
        elif kind == GOAWAY:
            self._goneAway = True
        elif kind == RST_STREAM:
            self._resetsHeard.add(streamID)
        elif kind == DATA:
            self._given -= len(payload)
            if stream is not None:
                stream.given -= len(payload)
                self._hearEnd(streamID, flags)
        elif kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            self._theirBlock = self._joined(self._theirBlock, kind, flags, streamID, payload)
            if flags & ENDS_HEADERS:
                self._heardBlock()

    def _heardBlock(self) -> None:
        assert self._theirBlock is not None
        kind, flags, streamID, payload = self._theirBlock
        self._theirBlock = None
        fragment, promised = _fragment(kind, flags, payload)
        fields = dict(self._theirDecoder.decode(fragment, raw=True))
        if kind == PUSH_PROMISE:
            stream = self._streams.setdefault(promised, self._fresh(promised=True))
            stream.mine.ended = True
            return
        if streamID not in self._streams:
            self._streams[streamID] = self._fresh()
            self._streams[streamID].tunnel = fields.get(b":method") == b"CONNECT"
        self._hearEnd(streamID, flags)

    def _hearEnd(self, streamID: int, flags: int) -> None:
        if flags & ENDS_STREAM:
            self._endsHeard.add(streamID)

    def _acknowledged(self) -> None:
        if self._said:
            settings = self._said.pop(0)
            grown = settings.get(4, self._mine[4]) - self._mine[4]
            self._mine.update(settings)
            for stream in self._streams.values():
                stream.given += grown

    def _fresh(self, promised: bool = False) -> Stream:
        # Until it has acknowledged a smaller window, the other end may use the one it knows.
        return Stream(self._theirs[4], self._mine[4], promised)

    @staticmethod
    def _joined(
        block: tuple[int, int, int, bytes] | None, kind: int, flags: int, streamID: int, payload: bytes
    ) -> tuple[int, int, int, bytes]:
        if kind != CONTINUATION:
            return kind, flags, streamID, _unpadded(kind, flags, payload)
        assert block is not None
        return block[0], block[1], block[2], block[3] + payload

    # -----------------------------------------------------------------------------------------------------------------
    # What the watched end says

    def sent(self, data: bytes) -> None:
        """
        Judge bytes that the watched end writes.
        """
        if self.breaches:
            return
        try:
            for kind, flags, raw, payload in self._out.feed(data):
                self.frames[kind] = self.frames.get(kind, 0) + 1
                self._need(raw <= MOST, "the reserved bit is 0", "4.1")
                self._judge(kind, flags, raw, payload)
            self._need(self._out.whole, "frames are written whole", "4.1")
        except (Breach, HPACKError) as breach:
            self.breaches.append(f"{type(breach).__name__}: {breach}")
        # What had been queued when the end of a stream or a GOAWAY came has been written by now, and nothing may follow.
        for streamID in self._resetsHeard & set(self._streams):
            self._streams[streamID].theirs.reset = True
        for streamID in self._endsHeard & set(self._streams):
            self._streams[streamID].theirs.ended = True
        self._resetsHeard.clear()
        self._endsHeard.clear()
        self._mayOpen = not self._goneAway

    def _need(self, good: object, rule: str, section: str) -> None:
        if not good:
            raise Breach(f"{rule} (RFC 9113 section {section})")

    def _judge(self, kind: int, flags: int, streamID: int, payload: bytes) -> None:
        need = self._need
        if self._first:
            need(kind == SETTINGS and not flags & ACKNOWLEDGES, "SETTINGS come first", "3.4")
            self._first = False
        need(len(payload) <= self._theirs[5], f"a frame of {len(payload)} bytes is too long", "4.2")
        need(not flags & ~FLAGS.get(kind, 0), f"frame type {kind} has no flags {flags:#x}", "4.1")
        if self._block is not None:
            need(kind == CONTINUATION and streamID == self._block[2], "nothing comes into a header block", "4.3")
        judges: dict[int, Callable[[int, int, bytes], None]] = {
            DATA: self._data,
            HEADERS: lambda flags, streamID, payload: self._startBlock(HEADERS, flags, streamID, payload),
            RST_STREAM: self._reset,
            SETTINGS: self._settings,
            PUSH_PROMISE: lambda flags, streamID, payload: self._startBlock(PUSH_PROMISE, flags, streamID, payload),
            PING: self._ping,
            GOAWAY: self._away,
            WINDOW_UPDATE: self._update,
            CONTINUATION: self._continuation,
            ALTSVC: lambda flags, streamID, payload: self._need(not self._client, "ALTSVC is a server's", "5.5"),
            ORIGIN: lambda flags, streamID, payload: self._need(
                not self._client and streamID == 0, "ORIGIN is a server's, on stream 0", "5.5"
            ),
            PRIORITY_UPDATE: self._priorityUpdate,
        }
        need(kind in judges, f"nobody asked for a frame of type {kind}", "5.5")
        judges[kind](flags, streamID, payload)

    def _sendable(self, streamID: int, what: str) -> Stream:
        stream = self._streams.get(streamID)
        self._need(stream is not None, f"{what} on stream {streamID}, which is idle", "5.1")
        assert stream is not None
        self._need(not stream.closed, f"{what} on stream {streamID}, which is closed", "5.1")
        return stream

    def _data(self, flags: int, streamID: int, payload: bytes) -> None:
        stream = self._sendable(streamID, "DATA")
        self._need(not stream.mine.ended, f"DATA on stream {streamID} after END_STREAM", "5.1")
        self._need(stream.mine.headers, f"DATA on stream {streamID} before its headers", "8.1")
        if flags & IS_PADDED:
            self._need(payload and payload[0] < len(payload), "padding fits its frame", "6.1")
        stream.window -= len(payload)
        self._window -= len(payload)
        self._need(not payload or stream.window >= 0, f"stream {streamID} overdraws its window", "6.9.1")
        self._need(not payload or self._window >= 0, "the connection overdraws its window", "6.9.1")
        stream.mine.ended = bool(flags & ENDS_STREAM)

    def _startBlock(self, kind: int, flags: int, streamID: int, payload: bytes) -> None:
        if flags & IS_PADDED:
            self._need(payload and payload[0] < len(payload), "padding fits its frame", "6.2")
        self._block = kind, flags, streamID, _unpadded(kind, flags, payload)
        if flags & ENDS_HEADERS:
            self._endBlock()

    def _continuation(self, flags: int, streamID: int, payload: bytes) -> None:
        self._need(self._block is not None, "CONTINUATION goes on with a header block", "6.10")
        assert self._block is not None
        self._block = (*self._block[:3], self._block[3] + payload)
        if flags & ENDS_HEADERS:
            self._endBlock()

    def _endBlock(self) -> None:
        assert self._block is not None
        kind, flags, streamID, payload = self._block
        self._block = None
        fragment, promised = _fragment(kind, flags, payload)
        fields = [(bytes(name), bytes(value)) for name, value in self._decoder.decode(fragment, raw=True)]
        self._fields(fields)
        pseudo = dict(field for field in fields if field[0][:1] == b":")
        if kind == PUSH_PROMISE:
            self._promise(streamID, promised, pseudo)
        elif self._client and streamID not in self._streams:
            self._request(streamID, pseudo, bool(flags & ENDS_STREAM))
        else:
            self._answer(streamID, pseudo, bool(flags & ENDS_STREAM))

    def _fields(self, fields: list[tuple[bytes, bytes]]) -> None:
        need = self._need
        regular = False
        seen = set()
        for name, value in fields:
            need(name == name.lower(), f"{name!r} is in lower case", "8.2.1")
            need(not set(value) & {0, 10, 13}, f"{name!r} has no CR, LF or NUL", "8.2.1")
            need(value == value.strip(b" \t"), f"{name!r} has no blanks around it", "8.2.1")
            need(name not in CONNECTION_SPECIFIC, f"{name!r} is HTTP/1.1's", "8.2.2")
            need(name != b"te" or value == b"trailers", "te says trailers", "8.2.2")
            if name[:1] == b":":
                need(not regular, f"{name!r} comes before the other fields", "8.3")
                need(name not in seen, f"{name!r} comes once", "8.3")
                seen.add(name)
            else:
                regular = True

    def _opens(self, streamID: int, odd: bool) -> None:
        self._need(streamID % 2 == odd, f"stream {streamID} is this end's to open", "5.1.1")
        self._need(streamID > self._highest[odd], f"stream {streamID} has a higher id than those before", "5.1.1")
        self._highest[odd] = streamID

    def _counted(self) -> int:
        """
        Count the streams of this end that are open or half open.
        """
        return sum(
            not (each.closed or streamID in self._resetsHeard or (streamID in self._endsHeard and each.mine.ended))
            and (not each.promised or each.mine.headers)
            for streamID, each in self._streams.items()
            if streamID % 2 == self._client
        )

    def _request(self, streamID: int, pseudo: dict[bytes, bytes], ends: bool) -> None:
        self._opens(streamID, True)
        self._need(self._mayOpen, "no stream is opened after the other end's GOAWAY", "6.8")
        self._need(self._counted() < self._theirs[3], "a stream too many", "5.1.2")
        plainConnect = pseudo.get(b":method") == b"CONNECT" and b":protocol" not in pseudo
        needed = {b":method", b":authority"} if plainConnect else {b":method", b":scheme", b":path"}
        self._need(needed <= set(pseudo), f"a request has {needed - set(pseudo)}", "8.3.1")
        self._need(set(pseudo) <= {*needed, b":authority", b":protocol"}, f"a request has no {set(pseudo)}", "8.3.1")
        self._need(b":protocol" not in pseudo or self._theirs[8], "extended CONNECT needs its setting", "8.5")
        stream = self._streams[streamID] = self._fresh()
        stream.tunnel = pseudo.get(b":method") == b"CONNECT"
        stream.mine.headers = True
        stream.mine.ended = ends

    def _answer(self, streamID: int, pseudo: dict[bytes, bytes], ends: bool) -> None:
        stream = self._sendable(streamID, "HEADERS")
        need = self._need
        need(not stream.mine.ended, f"HEADERS on stream {streamID} after END_STREAM", "5.1")
        if stream.mine.headers:
            need(not stream.tunnel, "a tunnel has no trailers", "8.5")
            need(ends, "trailers end their stream", "8.1")
            need(not pseudo, "trailers have no pseudo-header fields", "8.1")
        else:
            need(not self._client, "a client's second header list are trailers", "8.1")
            need(set(pseudo) == {b":status"}, f"a response has :status, not {set(pseudo)}", "8.3.2")
            status = int(pseudo[b":status"])
            need(status != 101, "there is no 101", "8.6")
            if status >= 200:
                if stream.promised:
                    need(self._counted() < self._theirs[3], "a push too many", "5.1.2")
                stream.mine.headers = True
                stream.tunnel = stream.tunnel and status < 300
            need(status >= 200 or not ends, "an informational response does not end a stream", "8.1")
        stream.mine.ended = ends

    def _promise(self, streamID: int, promised: int, pseudo: dict[bytes, bytes]) -> None:
        need = self._need
        need(not self._client, "clients promise nothing", "8.4")
        need(self._theirs[2], "the client wants no pushes", "8.4")
        parent = self._sendable(streamID, "PUSH_PROMISE")
        need(streamID % 2 and not parent.mine.ended, "a promise goes with the answer to a request", "6.6")
        self._opens(promised, False)
        need(pseudo.get(b":method") in (b"GET", b"HEAD"), "a promised request is safe", "8.4")
        need({b":scheme", b":authority", b":path"} <= set(pseudo), "a promised request is whole", "8.4")
        stream = self._streams[promised] = self._fresh(promised=True)
        stream.theirs.ended = True

    def _reset(self, flags: int, streamID: int, payload: bytes) -> None:
        self._need(len(payload) == 4, "RST_STREAM has four bytes", "6.4")
        self._sendable(streamID, "RST_STREAM").mine.reset = True

    def _settings(self, flags: int, streamID: int, payload: bytes) -> None:
        need = self._need
        need(streamID == 0, "SETTINGS are on stream 0", "6.5")
        if flags & ACKNOWLEDGES:
            need(not payload, "an acknowledgement is empty", "6.5")
            need(self._heard, "an acknowledgement has something to acknowledge", "6.5.3")
            self._apply(self._heard.pop(0))
            return
        need(len(payload) % 6 == 0, "SETTINGS are of six bytes each", "6.5")
        settings = _entries(payload)
        need(settings.get(2, 0) in (0, 1), "ENABLE_PUSH is 0 or 1", "6.5.2")
        need(self._client or 2 not in settings, "ENABLE_PUSH is a client's", "6.5.2")
        need(settings.get(4, 0) <= MOST, "INITIAL_WINDOW_SIZE is a window", "6.5.2")
        need(2**14 <= settings.get(5, 2**14) < 2**24, "MAX_FRAME_SIZE is in its range", "6.5.2")
        need(settings.get(8, 1) == 1 or not self._mine.get(8), "ENABLE_CONNECT_PROTOCOL is not taken back", "8441 3")
        self._said.append(settings)

    def _apply(self, settings: dict[int, int]) -> None:
        """
        Put the other end's settings in force, from the acknowledgement on.
        """
        grown = settings.get(4, self._theirs[4]) - self._theirs[4]
        for stream in self._streams.values():
            stream.window += grown
        self._theirs.update(settings)
        self._decoder.max_allowed_table_size = self._theirs[1]

    def _ping(self, flags: int, streamID: int, payload: bytes) -> None:
        self._need(streamID == 0 and len(payload) == 8, "PING has eight bytes, on stream 0", "6.7")
        if flags & ACKNOWLEDGES:
            self._need(self._pings and self._pings.pop(0) == payload, "an answer repeats its PING", "6.7")

    def _away(self, flags: int, streamID: int, payload: bytes) -> None:
        self._need(streamID == 0 and len(payload) >= 8, "GOAWAY has eight bytes, on stream 0", "6.8")
        last = int.from_bytes(payload[:4], "big")
        self._need(last <= self._goAway, f"GOAWAY's last id is not raised from {self._goAway} to {last}", "6.8")
        self._goAway = last

    def _update(self, flags: int, streamID: int, payload: bytes) -> None:
        self._need(len(payload) == 4, "WINDOW_UPDATE has four bytes", "6.9")
        increment = int.from_bytes(payload, "big")
        self._need(1 <= increment <= MOST, f"WINDOW_UPDATE of {increment}", "6.9")
        if streamID == 0:
            self._given += increment
            self._need(self._given <= MOST, "the connection's window is too large", "6.9.1")
        else:
            stream = self._sendable(streamID, "WINDOW_UPDATE")
            stream.given += increment
            self._need(stream.given <= MOST, f"the window of stream {streamID} is too large", "6.9.1")

    def _priorityUpdate(self, flags: int, streamID: int, payload: bytes) -> None:
        self._need(self._client and streamID == 0, "PRIORITY_UPDATE is a client's, on stream 0", "9218 7.1")
        self._need(len(payload) >= 4 and int.from_bytes(payload[:4], "big"), "it is about a stream", "9218 7.1")


def _entries(payload: bytes) -> dict[int, int]:
    return dict(struct.iter_unpack(">HL", payload))


def _unpadded(kind: int, flags: int, payload: bytes) -> bytes:
    if flags & IS_PADDED:
        return payload[1 : len(payload) - payload[0]]
    return payload


def _fragment(kind: int, flags: int, payload: bytes) -> tuple[bytes, int]:
    """
    Take what is not a header block from the payload of a HEADERS or PUSH_PROMISE frame.

    @return: the block, and the promised stream.
    """
    if kind == PUSH_PROMISE:
        return payload[4:], int.from_bytes(payload[:4], "big") & MOST
    return payload[5 if flags & HAS_PRIORITY else 0 :], 0


def watch(pipe: Pipe) -> tuple[EmissionMonitor, EmissionMonitor]:
    """
    Watch both ends of a pipe, from its first byte.

    @param pipe: one that nothing has been moved through yet.

    @return: the monitor of the client, which is the pipe's first end, and that of the server.
    """
    monitors = EmissionMonitor(client=True), EmissionMonitor(client=False)
    for monitor, (transport, protocol, _, _) in zip(monitors, pipe._ends, strict=True):
        monitor.sent(bytes(transport.buffer))
        _wrap(transport, "write", monitor.sent)
        _wrap(protocol, "dataReceived", monitor.received)
    return monitors


def _wrap(owner: Any, name: str, before: Callable[[bytes], None]) -> None:
    original = getattr(owner, name)

    def wrapped(data: bytes) -> None:
        before(data)
        original(data)

    setattr(owner, name, wrapped)
