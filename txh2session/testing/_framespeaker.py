"""
A L{FrameSpeaker}: makes single frames, right or wrong, and reads those of the other end.  What a peer for tests is made of,
whether it is connected in memory or through a network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

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
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txh2session._frames import PREFACE, buildFrame
from txh2session.errors import codeName

FrameTest: TypeAlias = Callable[[Any], bool]


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


class FrameSpeaker:
    """
    Makes frames, right or wrong, and reads frames.

    What the other end sends is collected in L{frames}; nothing is answered by itself, not even SETTINGS or PING.

    @ivar client: whether this is the client's end.
    @ivar frames: what came, as frames of C{hyperframe}; header blocks are decoded into a C{fields}
        attribute of the HEADERS or PUSH_PROMISE frame they begin with, once they are whole.
    @ivar encoder: compresses the header blocks that this end makes.
    @ivar lost: whether the connection is gone.
    """

    def __init__(self, client: bool) -> None:
        self.client = client
        self.frames: list[Frame] = []
        self.lost = False
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._unread = bytearray()
        self._block = bytearray()
        self._blockOf: HeadersFrame | PushPromiseFrame | None = None
        self._prefaceDue = not client
        self._asked: dict[int, tuple[str, str]] = {}
        self._waiting: list[tuple[FrameTest, Deferred[Any]]] = []
        self._reason: Failure | None = None

    # -----------------------------------------------------------------------------------------------------------------
    # Sending

    def sendBytes(self, data: bytes) -> None:
        """
        Send bytes as they are.
        """
        raise AssertionError("a subclass's to define")

    def begin(self, **settings: int) -> None:
        """
        Send the preface, if this is the client's end, then SETTINGS and an acknowledgement of the other end's.

        @param settings: values by name, for example C{INITIAL_WINDOW_SIZE=0}.
        """
        if self.client:
            self.sendBytes(PREFACE)
        self.settings(**settings)
        self.send(SettingsFrame(0, flags=["ACK"]))

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
        Make a PUSH_PROMISE frame, of something of the same origin as the request on that stream, if one has come.
        """
        scheme, authority = self._asked.get(streamID, ("http", "localhost"))
        fields = [(":method", "GET"), (":scheme", scheme), (":authority", authority), (":path", path)]
        return PushPromiseFrame(streamID, promisedID, self.encoder.encode(fields), flags=["END_HEADERS"])

    def settings(self, **settings: int) -> None:
        """
        Send SETTINGS, values by name.
        """
        self.send(SettingsFrame(0, {getattr(SettingsFrame, name): value for name, value in settings.items()}))

    # -----------------------------------------------------------------------------------------------------------------
    # Receiving

    def whenFrame(self, what: str | FrameTest) -> Deferred[Any]:
        """
        Wait for a frame.

        @param what: the beginning of its description, in whole words: C{"RST_STREAM 3"}; or a function that tells
            whether a frame is the one.

        @return: fires with the first frame like that which has come and was not taken out, at once if it is here, and
            leaves it where it is.  Fails with the reason if the connection is lost before.
        """
        test = _described(what) if isinstance(what, str) else what
        waiting: Deferred[Any] = Deferred(self._forget)
        for frame in self.frames:
            if test(frame):
                waiting.callback(frame)
                return waiting
        if self._reason is not None:
            waiting.errback(self._reason)
        else:
            self._waiting.append((test, waiting))
        return waiting

    def _forget(self, cancelled: Deferred[Any]) -> None:
        self._waiting = [each for each in self._waiting if each[1] is not cancelled]

    def _read(self, data: bytes | bytearray) -> None:
        """
        Take in what the other end has sent.
        """
        self._unread += data
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
            whole = self._lookForFields(frame)
            self.frames.append(frame)
            for each in whole:
                self._tell(each)

    def _tell(self, frame: Frame) -> None:
        """
        Fire what waits for a frame like this one.
        """
        for test, waiting in list(self._waiting):
            if test(frame):
                self._forget(waiting)
                waiting.callback(frame)

    def _end(self, reason: Failure) -> None:
        """
        The connection is gone: nobody needs to wait any more.
        """
        self.lost = True
        self._reason = reason
        waiting, self._waiting = self._waiting, []
        for _, each in waiting:
            each.errback(reason)

    def _lookForFields(self, frame: Frame) -> list[Frame]:
        """
        Decode a header block once its last frame is here.

        @return: the frames that are whole now: this one, and the one that its header block began with.
        """
        if isinstance(frame, (HeadersFrame, PushPromiseFrame)):
            frame.fields = []  # type: ignore[union-attr]
            self._blockOf = frame
            self._block.clear()
        elif not isinstance(frame, ContinuationFrame):
            return [frame]
        self._block += frame.data
        first = self._blockOf
        if "END_HEADERS" not in frame.flags or first is None:
            return [frame] if isinstance(frame, ContinuationFrame) else []
        self._blockOf = None
        first.fields = [  # type: ignore[union-attr]
            (bytes(name).decode(), bytes(value).decode())
            for name, value in self._decoder.decode(bytes(self._block), raw=True)
        ]
        if not self.client:
            asked = dict(first.fields)  # type: ignore[union-attr]
            if ":scheme" in asked and ":authority" in asked:
                self._asked[first.stream_id] = asked[":scheme"], asked[":authority"]
        return [frame] if frame is first else [first, frame]

    def take(self, kind: type[Frame] | None = None) -> list[Any]:
        """
        Take out what came since the last time.

        @param kind: leave everything but frames of this class.
        """
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


def _described(what: str) -> FrameTest:
    return lambda frame: f"{describeFrame(frame)} ".startswith(f"{what} ")
