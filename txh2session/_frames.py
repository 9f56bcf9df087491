"""
Frames as bytes: cuts what arrives into frames in front of the engine, and writes and reads the ones h2 cannot.

The splitter stands before h2 because h2 applies a whole read before it says what was in it, forgets the events of good
frames when a bad one follows in the same read, and buffers a frame of any announced length.  Cutting first lets the
multiplexer count, refuse and keep back single frames, and refuses an overlong one at its nine-byte head.

A header block and its CONTINUATION frames leave the splitter as one piece, since nothing may come between them
(RFC 9113 section 6.10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from txh2session.constants import FrameFlag, FrameType, PaddingStrategy
from txh2session.errors import ErrorCode
from txh2session.settings import Limits

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (RFC 9113 section 3.4)."""

# As plain integers: members of an enumeration cost a lookup and a slower comparison for each frame.
DATA: Final = int(FrameType.DATA)
HEADERS: Final = int(FrameType.HEADERS)
PRIORITY: Final = int(FrameType.PRIORITY)
RST_STREAM: Final = int(FrameType.RST_STREAM)
SETTINGS: Final = int(FrameType.SETTINGS)
PUSH_PROMISE: Final = int(FrameType.PUSH_PROMISE)
PING: Final = int(FrameType.PING)
GOAWAY: Final = int(FrameType.GOAWAY)
WINDOW_UPDATE: Final = int(FrameType.WINDOW_UPDATE)
CONTINUATION: Final = int(FrameType.CONTINUATION)
ALTSVC: Final = int(FrameType.ALTSVC)
ORIGIN: Final = int(FrameType.ORIGIN)
PRIORITY_UPDATE: Final = int(FrameType.PRIORITY_UPDATE)

END_STREAM: Final = int(FrameFlag.END_STREAM)
ACK: Final = int(FrameFlag.ACK)
END_HEADERS: Final = int(FrameFlag.END_HEADERS)
PADDED: Final = int(FrameFlag.PADDED)
PRIORITY_FLAG: Final = int(FrameFlag.PRIORITY)

HEAD: Final = 9
"""The length of a frame's head (RFC 9113 section 4.1)."""

Frame: TypeAlias = tuple[int, int, int, bytes]
"""Type, flags, stream id, and the frame whole, head included; a HEADERS or PUSH_PROMISE frame with its CONTINUATIONs."""

_head = Struct(">HBBBL")
_long = Struct(">L")
_twoLongs = Struct(">LL")


class ConnectionFault(Exception):
    """
    The peer broke a rule whose penalty is the end of the connection (RFC 9113 section 5.4.1).

    @ivar code: for the GOAWAY.
    @ivar limit: the name of the budget that was used up, or C{""}.
    """

    def __init__(self, code: ErrorCode, message: str, limit: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.limit = limit


class OtherProtocol(ConnectionFault):
    """
    What arrives is not HTTP/2 at all.

    @ivar speaks: what it looks like: C{"HTTP/1"}, C{"TLS"} or C{"an unknown protocol"}.
    """

    def __init__(self, speaks: str) -> None:
        super().__init__(ErrorCode.PROTOCOL_ERROR, f"the peer speaks {speaks}, not HTTP/2")
        self.speaks = speaks


def recognise(start: bytes) -> str:
    """
    Say what the first bytes of something that is not HTTP/2 look like.
    """
    if start[:2] in (b"\x16\x03", b"\x15\x03"):
        return "TLS"
    if start[:5] == b"HTTP/" or (start[:3].isalpha() and start[:3].isupper() and start[:14] != PREFACE[:14]):
        return "HTTP/1"
    return _UNKNOWN


_UNKNOWN: Final = "an unknown protocol"


def _blockTooLong() -> ConnectionFault:
    return ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "a header block too long", limit="headerBlockBytes")


WITH_BLOCK: Final = frozenset({HEADERS, PUSH_PROMISE, CONTINUATION})
"""The types of frames that header blocks are made of."""


class FrameSplitter:
    """
    Cuts inbound bytes into frames and holds them to the rules that need nothing but the frames themselves.

    @ivar maxFrameSize: our SETTINGS_MAX_FRAME_SIZE as the peer knows it.
    @ivar prefaceReceived: whether the peer has sent its preface, up to its first SETTINGS frame.
    @ivar midBlock: whether a header block has begun and not ended.
    """

    def __init__(self, fromClient: bool, maxFrameSize: int, limits: Limits) -> None:
        self.maxFrameSize = maxFrameSize
        self.prefaceReceived = False
        self._awaited = PREFACE if fromClient else b""
        self._fromClient = fromClient
        self._limits = limits
        self._rest = bytearray()
        self._needed = HEAD
        self._block: list[bytes] = []
        self._first = (0, 0, 0)
        self._blockSize = 0

    @property
    def midBlock(self) -> bool:
        """
        Whether a header block has begun and not ended.
        """
        return bool(self._block)

    @property
    def held(self) -> int:
        """
        Bytes of a frame or a header block that has not ended.
        """
        return len(self._rest) + (self._blockSize if self._block else 0)

    def drop(self) -> None:
        """
        Let go of what is held: nothing more will be fed.
        """
        self._rest.clear()
        self._block = []

    def feed(self, data: bytes) -> Iterator[Frame]:
        """
        Take in what arrived and give out the frames that are whole now.

        The generator must be run to its end, or this object must not be used any more.

        @raise ConnectionFault: at the frame that breaks a rule, after the ones before it were given out.
        """
        if self._awaited:
            data = self._checkPreface(data)
            if self._awaited:
                return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return
            data = bytes(self._rest)
            self._rest.clear()
        if not self.prefaceReceived and data:
            self._checkFirst(data)
        blockBytes = self._limits.headerBlockBytes
        position = 0
        end = len(data)
        while end - position >= HEAD:
            high, low, kind, flags, streamID = _head.unpack_from(data, position)
            length = high << 8 | low
            if length > self.maxFrameSize:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of {length} bytes")
            if length > blockBytes and kind in WITH_BLOCK:
                raise _blockTooLong()
            after = position + HEAD + length
            if after > end:
                self._needed = HEAD + length
                break
            raw = data[position:after]
            position = after
            if self._block or kind == HEADERS or kind == CONTINUATION or kind == PUSH_PROMISE:
                whole = self._collect(kind, flags, streamID & 0x7FFFFFFF, raw)
                if whole is not None:
                    yield whole
            else:
                yield kind, flags, streamID & 0x7FFFFFFF, raw
        else:
            self._needed = HEAD
        if position < end:
            self._rest += data[position:]

    def _checkPreface(self, data: bytes) -> bytes:
        """
        Compare what arrived with what is still missing of the client's preface.

        @return: what follows it.
        """
        if self._rest or len(data) < len(self._awaited):
            self._rest += data
            data = bytes(self._rest)
            if len(data) < len(PREFACE) and PREFACE.startswith(data):
                return b""
            self._rest.clear()
        if not data.startswith(PREFACE):
            raise OtherProtocol(recognise(data))
        self._awaited = b""
        return data[len(PREFACE) :]

    def _checkFirst(self, data: bytes) -> None:
        """
        See that the first frame is SETTINGS (RFC 9113 section 3.4), as early as its head shows.
        """
        if not self._fromClient and recognise(data) != _UNKNOWN:
            raise OtherProtocol(recognise(data))
        if len(data) < HEAD:
            return
        if data[3] != SETTINGS or data[4] & ACK:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "the first frame is not SETTINGS")
        self.prefaceReceived = True

    def _collect(self, kind: int, flags: int, streamID: int, raw: bytes) -> Frame | None:
        """
        Put a header block together.

        @return: the frame with its continuations once the block is whole.
        """
        if not self._block:
            if kind == CONTINUATION:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without a header block")
            if flags & END_HEADERS:
                return kind, flags, streamID, raw
            self._first = (kind, flags, streamID)
            self._blockSize = 0
        elif kind != CONTINUATION or streamID != self._first[2]:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a frame inside a header block")
        self._block.append(raw)
        self._blockSize += len(raw) - HEAD
        if len(self._block) - 1 > self._limits.continuationFrames:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "too many CONTINUATION frames", limit="continuationFrames"
            )
        if self._blockSize > self._limits.headerBlockBytes:
            raise _blockTooLong()
        if not flags & END_HEADERS:
            return None
        whole = b"".join(self._block)
        self._block = []
        kind, flags, streamID = self._first
        return kind, flags | END_HEADERS, streamID, whole


# ---------------------------------------------------------------------------------------------------------------------
# Writing


def buildFrame(kind: int, flags: int, streamID: int, payload: bytes = b"") -> bytes:
    """
    Write one frame (RFC 9113 section 4.1).
    """
    length = len(payload)
    return _head.pack(length >> 8, length & 0xFF, kind, flags, streamID) + payload


def paddingFor(strategy: PaddingStrategy, length: int, room: int) -> int:
    """
    Say by how many bytes a payload grows for its padding, the byte that tells its length included (RFC 9113 section 6.1).

    @param length: of the payload without.
    @param room: how many more bytes the frame may have.

    @return: 0 for a frame without padding, up to 256.
    """
    if strategy is PaddingStrategy.NONE or room <= 0:
        return 0
    wanted = -(HEAD + length) % 8 if strategy is PaddingStrategy.ALIGNED else 256
    return min(wanted, room)


def padded(payload: bytes, extra: int) -> bytes:
    """
    Put padding around a payload.

    @param extra: by how much it grows; at least 1.
    """
    return b"".join((bytes((extra - 1,)), payload, bytes(extra - 1)))


SETTINGS_ACK: Final = buildFrame(SETTINGS, ACK, 0)


def buildGoAway(lastStreamID: int, code: int, debugData: bytes = b"") -> bytes:
    """
    Write a GOAWAY frame (RFC 9113 section 6.8).
    """
    return buildFrame(GOAWAY, 0, 0, _twoLongs.pack(lastStreamID, code) + debugData)


def buildReset(streamID: int, code: int) -> bytes:
    """
    Write a RST_STREAM frame (RFC 9113 section 6.4).
    """
    return buildFrame(RST_STREAM, 0, streamID, _long.pack(code))


def buildWindowUpdate(streamID: int, increment: int) -> bytes:
    """
    Write a WINDOW_UPDATE frame (RFC 9113 section 6.9).
    """
    return buildFrame(WINDOW_UPDATE, 0, streamID, _long.pack(increment))


def buildPriorityUpdate(streamID: int, field: bytes) -> bytes:
    """
    Write a PRIORITY_UPDATE frame (RFC 9218 section 7.1).
    """
    return buildFrame(PRIORITY_UPDATE, 0, 0, _long.pack(streamID) + field)


def buildAltSvc(value: bytes, origin: bytes, streamID: int) -> bytes:
    """
    Write an ALTSVC frame (RFC 7838 section 4).
    """
    return buildFrame(ALTSVC, 0, streamID, len(origin).to_bytes(2, "big") + origin + value)


def buildOrigin(origins: Iterable[bytes]) -> bytes:
    """
    Write an ORIGIN frame (RFC 8336 section 2).
    """
    return buildFrame(ORIGIN, 0, 0, b"".join(len(each).to_bytes(2, "big") + each for each in origins))


# ---------------------------------------------------------------------------------------------------------------------
# Reading


class GoAway(NamedTuple):
    """
    What a GOAWAY frame says (RFC 9113 section 6.8).
    """

    lastStreamID: int
    code: int
    debugData: bytes


def readGoAway(raw: bytes) -> GoAway:
    """
    Read a GOAWAY frame of at least eight bytes.
    """
    lastStreamID, code = _twoLongs.unpack_from(raw, HEAD)
    return GoAway(lastStreamID & 0x7FFFFFFF, code, raw[HEAD + 8 :])


def readLong(raw: bytes) -> int:
    """
    Read the number in a RST_STREAM or WINDOW_UPDATE frame.
    """
    number: int = _long.unpack_from(raw, HEAD)[0]
    return number


class AltSvc(NamedTuple):
    """
    What an ALTSVC frame says (RFC 7838 section 4).
    """

    origin: bytes
    value: bytes


def readAltSvc(raw: bytes) -> AltSvc | None:
    """
    Read an ALTSVC frame; L{None} if it is cut short.
    """
    start = HEAD + 2
    end = start + int.from_bytes(raw[HEAD:start], "big")
    return AltSvc(raw[start:end], raw[end:]) if end <= len(raw) else None


def readOrigins(raw: bytes) -> list[bytes] | None:
    """
    Read an ORIGIN frame (RFC 8336 section 2); L{None} if it is cut short.
    """
    origins: list[bytes] = []
    position = HEAD
    while position + 2 <= len(raw):
        length = int.from_bytes(raw[position : position + 2], "big")
        position += 2 + length
        if position > len(raw):
            return None
        origins.append(raw[position - length : position])
    return origins


def promisedStream(flags: int, raw: bytes) -> int:
    """
    Read which stream a PUSH_PROMISE frame promises (RFC 9113 section 6.6); L{headerFragment} has checked its length.
    """
    number: int = _long.unpack_from(raw, HEAD + (flags & PADDED != 0))[0]
    return number & 0x7FFFFFFF


def dataLength(flags: int, raw: bytes) -> int:
    """
    Count what a DATA frame carries without its padding (RFC 9113 section 6.1).

    @raise ConnectionFault: if the padding is as long as the payload or longer, or its length is missing.
    """
    length = len(raw) - HEAD
    if not flags & PADDED:
        return length
    if not length:
        raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame without its length of padding")
    if raw[HEAD] >= length:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
    return length - 1 - raw[HEAD]


def headerFragment(raw: bytes) -> bytes:
    """
    Put together the compressed header block of a HEADERS or PUSH_PROMISE frame and its CONTINUATIONs.

    @raise ConnectionFault: if padding, priority or promised stream id do not fit.
    """
    parts: list[bytes] = []
    position = 0
    while position < len(raw):
        high, low, kind, flags, _ = _head.unpack_from(raw, position)
        start = position + HEAD
        end = start + (high << 8 | low)
        position = end
        if kind != CONTINUATION:
            padding = 0
            if flags & PADDED:
                padding = raw[start] if start < end else 0
                start += 1
            if kind == PUSH_PROMISE:
                start += 4
            elif flags & PRIORITY_FLAG:
                start += 5
            if start > end:  # RFC 9113 section 4.2
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a header frame too short for what it says it holds")
            end -= padding
            if start > end:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "padding longer than the frame")
        parts.append(raw[start:end])
    return b"".join(parts)
