"""
A model of an HTTP/2 peer that keeps to the rules and holds the other end to them: what it sends is legal as far as it can
know, what it reads must be.  Written from RFC 9113, with none of the code it tests but hpack.
"""

from __future__ import annotations

import struct
from typing import Any

from hpack import Decoder, Encoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
IDENTIFIERS = {"HEADER_TABLE_SIZE": 1, "ENABLE_PUSH": 2, "INITIAL_WINDOW_SIZE": 4, "MAX_FRAME_SIZE": 5}
MAX_WINDOW = 2**31 - 1


def rawFrame(kind: int, flags: int, streamID: int, payload: bytes = b"") -> bytes:
    """
    Write a frame (RFC 9113 section 4.1).
    """
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, streamID) + payload


def _requestFields(method: str, size: int) -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x-filler", "z" * size)]


class PeerStream:
    """
    What the peer knows of one stream.

    @ivar fields: the header lists it sent.
    @ivar sent: its body so far.
    @ivar received: the other end's.
    @ivar ended: whether it ended its half.
    @ivar peerEnded: whether the other end did.
    @ivar headersSent: whether it has sent its final headers.
    @ivar headersCame: whether the other end's have come.
    @ivar resetSent: whether it reset the stream.
    @ivar resetRead: whether the other end did.
    @ivar excluded: whether a GOAWAY that was read took it away.
    """

    def __init__(self, sendWindow: int, receiveWindow: int, ended: bool, peerEnded: bool) -> None:
        self.fields: list[list[tuple[str, str]]] = []
        self.sendWindow = sendWindow
        self.receiveWindow = receiveWindow
        self.sent = bytearray()
        self.received = bytearray()
        self.ended = ended
        self.peerEnded = peerEnded
        self.headersSent = False
        self.headersCame = False
        self.resetSent = False
        self.resetRead = False
        self.excluded = False

    @property
    def over(self) -> bool:
        """
        Whether nothing more may come or go.
        """
        return self.resetSent or self.resetRead or self.excluded


class ModelPeer:
    """
    The other end.

    @ivar client: whether this is a client.
    @ivar outbound: bytes it has sent that have not arrived.
    @ivar wire: bytes the other end has sent that it has not read.
    @ivar honest: whether it has kept to the rules; if not, the other end need not.
    """

    def __init__(self, client: bool) -> None:
        self.client = client
        self.honest = True
        self.outbound = bytearray(PREFACE if client else b"")
        self.wire = bytearray()
        self.streams: dict[int, PeerStream] = {}
        self.sendWindow = 65535
        self.receiveWindow = 65535
        self.left = False
        self._prefaceDue = not client
        self._unread = bytearray()
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._block: tuple[int, int, bytearray] | None = None
        self._nextID = 1 if client else 2
        self._goAwayRead = MAX_WINDOW
        self._theirs = {1: 4096, 2: 1, 3: 2**32 - 1, 4: 65535, 5: 16384}
        self._theirsRead = False
        self._mine = {1: 4096, 4: 65535, 5: 16384}
        self._unacknowledged: list[dict[int, int]] = []
        self._controls = 0

    @property
    def settled(self) -> bool:
        """
        Whether both sides know each other's settings.
        """
        return self._theirsRead and not self._unacknowledged

    @property
    def takesPush(self) -> bool:
        """
        Whether promises may come: until said otherwise.
        """
        return self.client

    # -----------------------------------------------------------------------------------------------------------------
    # Sending what is allowed

    def _emit(self, kind: int, flags: int, streamID: int, payload: bytes = b"") -> None:
        self.outbound += rawFrame(kind, flags, streamID, payload)

    def _headers(self, kind: int, streamID: int, fields: list[tuple[str, str]], end: bool, before: bytes = b"") -> None:
        """
        Send a header block, in two frames if it is long.
        """
        block = before + self._encoder.encode(fields)
        first, rest = (block, b"") if len(block) < 60 else (block[:50], block[50:])
        self._emit(kind, (4 if not rest else 0) | (1 if end else 0), streamID, first)
        if rest:
            self._emit(CONTINUATION, 4, streamID, rest)

    def pick(self, index: int) -> tuple[int, PeerStream] | None:
        """
        Choose a stream, of those it may know.
        """
        known = list(self.streams)
        return (known[index % len(known)], self.streams[known[index % len(known)]]) if known else None

    def settings(self, **values: int) -> None:
        """
        Send SETTINGS.
        """
        if len(self._unacknowledged) >= 8:
            return
        entries = {IDENTIFIERS[name]: value for name, value in values.items()}
        # A shrinking table must be obeyed before the next block; the other end's encoder does when it acknowledges.
        self._unacknowledged.append(entries)
        self._emit(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *entry) for entry in entries.items()))

    def request(self, size: int, end: bool) -> None:
        """
        Open a stream, if the other end allows one more.
        """
        open_ = sum(not (each.over or (each.ended and each.peerEnded)) for each in self.streams.values())
        if self.left or open_ >= min(self._theirs[3], 100) or self._nextID > self._goAwayRead:
            return
        stream = self.streams[self._nextID] = PeerStream(self._theirs[4], self._mine[4], end, False)
        stream.headersSent = True
        stream.fields.append(_requestFields("POST", size))
        self._headers(HEADERS, self._nextID, stream.fields[-1], end)
        self._nextID += 2

    def promise(self, size: int) -> None:
        """
        Promise a stream on the last request that is still being answered.
        """
        parents = [key for key, each in self.streams.items() if key % 2 and not each.over and not each.ended]
        if not parents or not self._theirs[2] or not self._theirsRead or self._nextID > self._goAwayRead:
            return
        stream = self.streams[self._nextID] = PeerStream(self._theirs[4], self._mine[4], False, True)
        stream.fields.append(_requestFields("GET", size))
        self._headers(PUSH_PROMISE, parents[-1], stream.fields[-1], False, struct.pack(">I", self._nextID))
        self._nextID += 2

    def respond(self, index: int, end: bool, information: bool) -> None:
        """
        Answer a request, or a promise.
        """
        picked = self.pick(index)
        if picked is None or self.client or picked[1].over or picked[1].headersSent:
            return
        streamID, stream = picked
        if information:
            if streamID % 2:
                self._headers(HEADERS, streamID, [(":status", "103"), ("link", "x")], False)
            return
        stream.headersSent = True
        stream.ended = end
        stream.fields.append([(":status", "200"), ("x", "y" * index)])
        self._headers(HEADERS, streamID, stream.fields[-1], end)

    def _writing(self, index: int) -> tuple[int, PeerStream] | None:
        picked = self.pick(index)
        if picked is None or picked[1].over or picked[1].ended or not picked[1].headersSent:
            return None
        return picked

    def write(self, index: int, size: int, padding: int | None, end: bool) -> None:
        """
        Send of a body what the windows allow.
        """
        picked = self._writing(index)
        if picked is None:
            return
        streamID, stream = picked
        extra = 0 if padding is None else padding + 1
        room = min(stream.sendWindow, self.sendWindow, self._theirs[5]) - extra
        size = min(size, room)
        if size < 0 or (not size and not end and not extra):
            if not extra and end and not size:
                size = 0
            else:
                return
        data = bytes((len(stream.sent) + each) % 251 for each in range(min(size, 8))).ljust(size, b"-")
        stream.sent += data
        stream.sendWindow -= size + extra
        self.sendWindow -= size + extra
        stream.ended = end
        payload = data if padding is None else bytes([padding]) + data + bytes(padding)
        self._emit(DATA, (1 if end else 0) | (0 if padding is None else 8), streamID, payload)

    def trailers(self, index: int) -> None:
        """
        End a body with trailers.
        """
        picked = self._writing(index)
        if picked is not None:
            picked[1].ended = True
            self._headers(HEADERS, picked[0], [("x-trailer", "1")], True)

    def reset(self, index: int, code: int) -> None:
        """
        Reset a stream that is open.
        """
        picked = self.pick(index)
        if picked is None or picked[1].over or (picked[1].ended and picked[1].peerEnded):
            return
        picked[1].resetSent = True
        self._emit(RST_STREAM, 0, picked[0], struct.pack(">I", code))

    def open(self, index: int | None, size: int) -> None:
        """
        Give window.
        """
        if index is None:
            if self.receiveWindow + size <= MAX_WINDOW:
                self.receiveWindow += size
                self._emit(WINDOW_UPDATE, 0, 0, struct.pack(">I", size))
            return
        picked = self.pick(index)
        if picked is None or picked[1].over or picked[1].peerEnded:
            return
        # Room is left for settings that are on their way and raise every window.
        highest = max([self._mine[4], *(entries.get(4, 0) for entries in self._unacknowledged)])
        if picked[1].receiveWindow + size + highest <= MAX_WINDOW:
            picked[1].receiveWindow += size
            self._emit(WINDOW_UPDATE, 0, picked[0], struct.pack(">I", size))

    def openAll(self) -> None:
        """
        Give all the window anybody could need.
        """
        self.open(None, 2**24)
        for index in range(len(self.streams)):
            self.open(index, 2**24)

    def say(self, what: str) -> None:
        """
        Send a frame that changes nothing.
        """
        if what == "ping":
            self._emit(PING, 0, 0, b"abcdefgh")
        elif what == "unknown":
            self._emit(0xBB, 0xFF, 3, b"whatever")
        else:
            self._emit(PRIORITY, 0, 7, struct.pack(">IB", 3, 5))

    def goAway(self, keep: int) -> None:
        """
        Send a GOAWAY that excludes all requests but a few.
        """
        if self.left or self.client:
            return
        known = [key for key in self.streams if key % 2][:keep]
        last = known[-1] if known else 0
        self.left = True
        for streamID, stream in self.streams.items():
            if streamID % 2 and streamID > last:
                stream.resetSent = True
        self._goAwaySent = last
        self._emit(GOAWAY, 0, 0, struct.pack(">II", last, 0))

    _goAwaySent = MAX_WINDOW

    # -----------------------------------------------------------------------------------------------------------------
    # Reading, and holding the other end to the rules

    def read(self, size: int) -> None:
        """
        Read some of what the other end sent.
        """
        self._unread += self.wire[:size]
        del self.wire[:size]
        if self._prefaceDue and len(self._unread) >= len(PREFACE):
            assert self._unread.startswith(PREFACE)
            del self._unread[: len(PREFACE)]
            self._prefaceDue = False
        while not self._prefaceDue and len(self._unread) >= 9:
            length = int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < 9 + length:
                return
            kind, flags, streamID = struct.unpack_from(">BBI", self._unread, 3)
            payload = bytes(self._unread[9 : 9 + length])
            del self._unread[: 9 + length]
            assert length <= max([self._mine[5], *(each.get(5, 0) for each in self._unacknowledged)])
            self._frame(kind, flags, streamID, payload)

    def _frame(self, kind: int, flags: int, streamID: int, payload: bytes) -> None:
        if self._block is not None:
            assert kind == CONTINUATION and streamID == self._block[1], "a frame inside a header block"
        if kind == SETTINGS:
            self._settingsFrame(flags, payload)
        elif kind == WINDOW_UPDATE:
            self._windowFrame(streamID, struct.unpack(">I", payload)[0])
        elif kind == GOAWAY:
            self._goAwayFrame(struct.unpack_from(">I", payload)[0])
        elif kind == PING:
            assert streamID == 0 and len(payload) == 8
            if not flags & 1:
                self._emit(PING, 1, 0, payload)
        elif kind == RST_STREAM:
            self._resetFrame(streamID)
        elif kind == DATA:
            self._dataFrame(flags, streamID, payload)
        elif kind in (HEADERS, PUSH_PROMISE, CONTINUATION):
            self._blockFrame(kind, flags, streamID, payload)

    def _settingsFrame(self, flags: int, payload: bytes) -> None:
        if flags & 1:
            assert self._unacknowledged or not self.honest, "an acknowledgement of nothing"
            if self._unacknowledged:
                entries = self._unacknowledged.pop(0)
                grown = entries.get(4, self._mine[4]) - self._mine[4]
                for stream in self.streams.values():
                    stream.receiveWindow += grown
                self._mine.update(entries)
                self._decoder.max_allowed_table_size = self._mine[1]
            return
        self._theirsRead = True
        for identifier, value in struct.iter_unpack(">HI", payload):
            if identifier == 4:
                for stream in self.streams.values():
                    stream.sendWindow += value - self._theirs[4]
                    assert stream.sendWindow <= MAX_WINDOW, "SETTINGS make a window overflow"
            if identifier == 1:
                self._resizeTable(min(value, 4096))
            self._theirs[identifier] = value
        self._emit(SETTINGS, 1, 0)

    def _resizeTable(self, size: int) -> None:
        """
        Tell the other end of the smallest size and the last, no others (RFC 7541 section 4.2): hpack would tell of all.
        """
        encoder = self._encoder
        if size != encoder.header_table_size:
            encoder.header_table_size = size
            changes = encoder.table_size_changes
            encoder.table_size_changes = [min(changes), size] if min(changes) < size else [size]

    def _windowFrame(self, streamID: int, increment: int) -> None:
        assert 0 < increment <= MAX_WINDOW, "WINDOW_UPDATE of nothing"
        if streamID == 0:
            self.sendWindow += increment
            assert self.sendWindow <= MAX_WINDOW, "the connection's window overflows"
            return
        stream = self.streams.get(streamID)
        if stream is not None:
            assert not stream.resetRead or not self.honest, "WINDOW_UPDATE after RST_STREAM"
            stream.sendWindow += increment
            assert stream.sendWindow <= MAX_WINDOW or not self.honest, "a stream's window overflows"
        else:
            assert not self.honest, f"WINDOW_UPDATE on idle stream {streamID}"

    def _goAwayFrame(self, last: int) -> None:
        assert last <= self._goAwayRead, "a GOAWAY raises the last stream id"
        self._goAwayRead = last
        for streamID, stream in self.streams.items():
            if streamID % 2 == self.client and streamID > last:
                stream.excluded = True

    def _resetFrame(self, streamID: int) -> None:
        stream = self.streams.get(streamID)
        assert stream is not None or not self.honest, f"RST_STREAM on idle stream {streamID}"
        if stream is not None:
            assert not stream.resetRead or not self.honest, "RST_STREAM twice"
            stream.resetRead = True

    def _halves(self, streamID: int) -> PeerStream | None:
        """
        Find the stream of a frame that belongs to a message, and see that one may still come.
        """
        stream = self.streams.get(streamID)
        if stream is None:
            assert streamID > self._goAwaySent or not self.honest, f"a frame on idle stream {streamID}"
            return None
        if self.honest:
            assert not stream.resetRead, f"a frame after RST_STREAM on stream {streamID}"
            assert not stream.peerEnded, f"a frame after END_STREAM on stream {streamID}"
        return stream

    def _dataFrame(self, flags: int, streamID: int, payload: bytes) -> None:
        size = len(payload)
        stream = self._halves(streamID)
        assert size <= max(0, self.receiveWindow), "more DATA than the connection's window"
        self.receiveWindow -= size
        if stream is None:
            return
        assert not size or size <= stream.receiveWindow or not self.honest, f"more DATA than stream {streamID}'s window"
        assert stream.headersCame or not self.honest, "DATA before the headers"
        stream.receiveWindow -= size
        stream.received += payload[1 : size - payload[0]] if flags & 8 else payload
        stream.peerEnded = bool(flags & 1)

    def _blockFrame(self, kind: int, flags: int, streamID: int, payload: bytes) -> None:
        if kind != CONTINUATION:
            if flags & 8:
                payload = payload[1 : len(payload) - payload[0]]
            self._block = (kind, streamID, bytearray(payload))
            self._blockEnds = bool(flags & 1)
        else:
            assert self._block is not None
            self._block[2].extend(payload)
        if flags & 4:
            kind, streamID, block = self._block
            self._block = None
            self._message(kind, streamID, bytes(block))

    def _message(self, kind: int, streamID: int, block: bytes) -> None:
        promised = struct.unpack_from(">I", block)[0] if kind == PUSH_PROMISE else 0
        fields: list[Any] = [
            (bytes(name), bytes(value))
            for name, value in self._decoder.decode(block[4:] if promised else block, raw=True)
        ]
        if promised:
            assert self.client and promised % 2 == 0 and promised not in self.streams
            self._halves(streamID)
            stream = self.streams[promised] = PeerStream(self._theirs[4], self._mine[4], True, False)
            stream.headersSent = True
            return
        if not self.client and streamID not in self.streams:
            assert streamID % 2 == 1 and fields[0][0] == b":method"
            stream = self.streams[streamID] = PeerStream(self._theirs[4], self._mine[4], False, self._blockEnds)
            stream.headersCame = True
            stream.resetSent = streamID > self._goAwaySent
            return
        known = self._halves(streamID)
        if known is None:
            return
        if known.headersCame:
            assert self._blockEnds or not self.honest, "trailers without END_STREAM"
        elif not fields[0][1].startswith(b"1"):
            known.headersCame = True
        known.peerEnded = self._blockEnds
