"""
A L{FramePeer}: one end of a connection that sends the frames it is told to, right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from hpack import Decoder, Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txh2session._frames import PREFACE, buildFrame
from txh2session._pipe import PipeTransport
from txh2session.client import ClientSession
from txh2session.protocol import HTTP2Protocol
from txh2session.server import Server
from txh2session.settings import Timeouts


@dataclass
class RawFrame:
    """
    A frame of bytes, where C{hyperframe} has no class or will not write what is wanted.
    """

    kind: int
    streamID: int
    payload: bytes = b""
    flags: int = 0

    def serialize(self) -> bytes:
        """
        Write it.
        """
        return buildFrame(self.kind, self.flags, self.streamID, self.payload)


class FramePeer:
    """
    One end of a connection that speaks single frames, right or wrong: for tests of how the other end takes them.

    What the other end sends is collected in L{frames}; nothing is answered by itself, not even SETTINGS or PING.

    @ivar transport: the other end's transport.
    @ivar frames: what came, as frames of C{hyperframe}; header blocks are decoded into a C{fields}
        attribute of the HEADERS or PUSH_PROMISE frame they begin with, once they are whole.
    @ivar lost: whether the other end has let the connection go.
    """

    def __init__(self, protocol: Any, *, client: bool = True) -> None:
        """
        @param protocol: the other end, for example C{server.buildProtocol(None)}.
        @param client: whether this is the client's end.
        """
        self.frames: list[Frame] = []
        self.lost = False
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._client = client
        self._protocol = protocol
        self._unread = bytearray()
        self._block = bytearray()
        self._blockOf: HeadersFrame | PushPromiseFrame | None = None
        self._prefaceDue = not client
        self.transport = PipeTransport("server" if client else "client", "client" if client else "server")
        protocol.makeConnection(self.transport)

    @classmethod
    def toServer(cls, server: Server, *, start: bool = True) -> FramePeer:
        """
        Be a client of a server.

        @param start: whether to send the preface and SETTINGS, and to acknowledge the server's.
        """
        peer = cls(server.buildProtocol(None))
        if start:
            peer.start()
        return peer

    @classmethod
    def toClient(
        cls, session: ClientSession, clock: Clock, *, timeouts: Timeouts | None = None, start: bool = True
    ) -> FramePeer:
        """
        Be the server of a client's session.

        @param start: whether to send SETTINGS, and to acknowledge the client's.
        """
        peer = cls(HTTP2Protocol(session, timeouts or Timeouts(), clock, server=False), client=False)
        if start:
            peer.start()
        return peer

    def start(self, **settings: int) -> None:
        """
        Send the preface and SETTINGS, acknowledge the other end's, and forget what came so far.

        @param settings: values by name, for example C{INITIAL_WINDOW_SIZE=0}.
        """
        if self._client:
            self.sendBytes(PREFACE)
        self.settings(**settings)
        self.send(SettingsFrame(0, flags=["ACK"]))
        self.take()

    # -----------------------------------------------------------------------------------------------------------------
    # Sending

    def sendBytes(self, data: bytes) -> None:
        """
        Send bytes as they are.
        """
        if self.transport.connected and not self.lost:
            self._protocol.dataReceived(data)
        self._look()

    def send(self, *frames: Frame | RawFrame) -> None:
        """
        Send frames, all in one read of the other end's.
        """
        self.sendBytes(b"".join(frame.serialize() for frame in frames))

    def headers(
        self, streamID: int, fields: Iterable[tuple[str, str]], end: bool = False, *, flags: Iterable[str] = ()
    ) -> HeadersFrame:
        """
        Make a HEADERS frame.
        """
        frame = HeadersFrame(streamID, self.encoder.encode(list(fields)), flags=["END_HEADERS", *flags])
        if end:
            frame.flags.add("END_STREAM")
        return frame

    def get(self, streamID: int, path: str = "/", *extra: tuple[str, str], method: str = "GET") -> HeadersFrame:
        """
        Make the HEADERS of a whole request.
        """
        return self.headers(streamID, [*requestFields(method, path), *extra], end=True)

    def post(self, streamID: int, path: str = "/", *extra: tuple[str, str]) -> HeadersFrame:
        """
        Make the HEADERS of a request with a body.
        """
        return self.headers(streamID, [*requestFields("POST", path), *extra])

    def response(self, streamID: int, *extra: tuple[str, str], status: int = 200, end: bool = False) -> HeadersFrame:
        """
        Make the HEADERS of a response.
        """
        return self.headers(streamID, [(":status", str(status)), *extra], end)

    @staticmethod
    def data(streamID: int, data: bytes = b"", end: bool = False, *, padding: int | None = None) -> DataFrame:
        """
        Make a DATA frame.
        """
        frame = DataFrame(streamID, data, flags=["END_STREAM"] if end else [])
        if padding is not None:
            frame.flags.add("PADDED")
            frame.pad_length = padding
        return frame

    @staticmethod
    def reset(streamID: int, code: int = 8) -> RstStreamFrame:
        """
        Make a RST_STREAM frame; CANCEL unless said otherwise.
        """
        return RstStreamFrame(streamID, code)

    @staticmethod
    def window(streamID: int, increment: int) -> WindowUpdateFrame:
        """
        Make a WINDOW_UPDATE frame.
        """
        return WindowUpdateFrame(streamID, increment)

    @staticmethod
    def ping(payload: bytes = b"12345678", ack: bool = False) -> PingFrame:
        """
        Make a PING frame.
        """
        return PingFrame(0, payload, flags=["ACK"] if ack else [])

    @staticmethod
    def goAway(lastStreamID: int, code: int = 0, data: bytes = b"") -> GoAwayFrame:
        """
        Make a GOAWAY frame.
        """
        return GoAwayFrame(0, lastStreamID, code, data)

    @staticmethod
    def priority(streamID: int, dependsOn: int = 0) -> PriorityFrame:
        """
        Make a PRIORITY frame.
        """
        return PriorityFrame(streamID, dependsOn, 15)

    @staticmethod
    def unknown(kind: int = 0xBB, streamID: int = 0, body: bytes = b"") -> RawFrame:
        """
        Make a frame of a type that HTTP/2 does not know.
        """
        return RawFrame(kind, streamID, body)

    def promise(self, streamID: int, promisedID: int, path: str = "/pushed") -> PushPromiseFrame:
        """
        Make a PUSH_PROMISE frame.
        """
        block = self.encoder.encode(requestFields("GET", path))
        return PushPromiseFrame(streamID, promisedID, block, flags=["END_HEADERS"])

    def settings(self, **settings: int) -> None:
        """
        Send SETTINGS, values by name.
        """
        self.send(SettingsFrame(0, {getattr(SettingsFrame, name): value for name, value in settings.items()}))

    def close(self) -> None:
        """
        Close this end: the other reads the end of the stream.
        """
        self._end(ConnectionDone())

    def abort(self) -> None:
        """
        Cut the connection, as a TCP reset does.
        """
        self._end(ConnectionLost())

    def _end(self, error: Exception) -> None:
        if self.transport.connected:
            self.transport.connected = False
            self.lost = True
            self._protocol.connectionLost(Failure(error))

    # -----------------------------------------------------------------------------------------------------------------
    # Receiving

    def _look(self) -> None:
        """
        Read what the other end has written.
        """
        transport = self.transport
        while transport.buffer:
            self._unread += transport.buffer
            transport.buffer.clear()
            transport.taken()
        if self._prefaceDue and len(self._unread) >= len(PREFACE):
            assert self._unread.startswith(PREFACE), bytes(self._unread[:30])
            del self._unread[: len(PREFACE)]
            self._prefaceDue = False
        while len(self._unread) >= 9 and not self._prefaceDue:
            frame, length = Frame.parse_frame_header(memoryview(bytes(self._unread[:9])))
            if len(self._unread) < 9 + length:
                break
            frame.parse_body(memoryview(bytes(self._unread[9 : 9 + length])))
            del self._unread[: 9 + length]
            self._lookForFields(frame)
            self.frames.append(frame)
        self._lookForEnd()

    def _lookForFields(self, frame: Frame) -> None:
        """
        Decode a header block once its last frame is here.
        """
        if isinstance(frame, (HeadersFrame, PushPromiseFrame)):
            frame.fields = []  # type: ignore[union-attr]
            self._blockOf = frame
            self._block.clear()
        elif not isinstance(frame, ContinuationFrame):
            return
        self._block += frame.data
        if "END_HEADERS" in frame.flags and self._blockOf is not None:
            self._blockOf.fields = [  # type: ignore[union-attr]
                (bytes(name).decode(), bytes(value).decode())
                for name, value in self._decoder.decode(bytes(self._block), raw=True)
            ]
            self._blockOf = None

    def _lookForEnd(self) -> None:
        """
        Answer the other end's close with ours.
        """
        transport = self.transport
        if transport.connected and (transport.finishing or transport.aborted):
            self._end(ConnectionLost() if transport.aborted else ConnectionDone())

    def take(self, kind: type[Frame] | None = None) -> list[Any]:
        """
        Take out what came since the last time.

        @param kind: leave everything but frames of this class.
        """
        self._look()
        taken = [frame for frame in self.frames if kind is None or isinstance(frame, kind)]
        self.frames = [frame for frame in self.frames if not (kind is None or isinstance(frame, kind))]
        return taken

    def names(self) -> list[str]:
        """
        Take out what came since the last time, as short descriptions: C{"HEADERS 1 END_STREAM"}, C{"GOAWAY 1
        PROTOCOL_ERROR"}.  Handy to compare with.
        """
        return [describeFrame(frame) for frame in self.take()]


def requestFields(method: str = "GET", path: str = "/", authority: str = "localhost") -> list[tuple[str, str]]:
    """
    The pseudo-header fields of a request.
    """
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]


def describeFrame(frame: Frame) -> str:
    """
    Describe a frame in a few words.
    """
    from txh2session.errors import codeName

    name = {
        ContinuationFrame: "CONTINUATION",
        DataFrame: "DATA",
        HeadersFrame: "HEADERS",
        RstStreamFrame: "RST_STREAM",
        SettingsFrame: "SETTINGS",
        PushPromiseFrame: "PUSH_PROMISE",
        PingFrame: "PING",
        GoAwayFrame: "GOAWAY",
        WindowUpdateFrame: "WINDOW_UPDATE",
    }.get(type(frame), type(frame).__name__)
    parts = [name]
    if isinstance(frame, GoAwayFrame):
        parts += [str(frame.last_stream_id), codeName(frame.error_code).split(" (")[0]]
    elif frame.stream_id:
        parts.append(str(frame.stream_id))
    if isinstance(frame, RstStreamFrame):
        parts.append(codeName(frame.error_code).split(" (")[0])
    elif isinstance(frame, WindowUpdateFrame):
        parts.append(str(frame.window_increment))
    elif isinstance(frame, DataFrame):
        parts.append(str(len(frame.data)))
    if isinstance(frame, HeadersFrame):
        parts += [value for key, value in frame.fields if key == ":status"]  # type: ignore[attr-defined]
    parts += [flag for flag in ("END_STREAM", "ACK") if flag in frame.flags]
    return " ".join(parts)
