"""
Rows of the tables, and how one is judged.

A row is judged on a connection where more is going on: a download on stream 1 that waits for its window.  What costs a
stream only must leave the download whole, PINGs answered and new requests served.  What costs the connection must reach the
peer as one GOAWAY with its code and the last stream that was worked on, then the connection must be closed in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from hyperframe.frame import DataFrame, Frame, GoAwayFrame, RstStreamFrame
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession, ErrorCode, Headers, HTTP2Error, Limits, ServerStream, SessionListener, Settings
from txh2session.testing import FrameSpeaker, RawFrame, describeFrame

P = ErrorCode.PROTOCOL_ERROR
F = ErrorCode.FRAME_SIZE_ERROR
W = ErrorCode.FLOW_CONTROL_ERROR
H = ErrorCode.COMPRESSION_ERROR
S = ErrorCode.STREAM_CLOSED
CALM = ErrorCode.ENHANCE_YOUR_CALM
REFUSED = ErrorCode.REFUSED_STREAM

DOWNLOAD = 100_000
"""The length of the body on stream 1: more than the window a stream and a connection begin with."""


@dataclass(frozen=True)
class Until:
    """
    A step of a row: wait for a frame of the end under test.

    @ivar frame: the beginning of its description.
    """

    frame: str


Step: TypeAlias = "Frame | RawFrame | bytes | Until"
Steps: TypeAlias = Callable[[Any], Sequence[Step]]


@dataclass(frozen=True)
class EndsStream:
    """
    An outcome: RST_STREAM on one stream, and everything else goes on.

    @ivar unseen: whether the application must not have heard of the stream, and so has not answered.
    """

    streamID: int
    code: ErrorCode
    unseen: bool = False

    def __str__(self) -> str:
        return f"stream error {self.code.name}"


@dataclass(frozen=True)
class EndsConnection:
    """
    An outcome: one GOAWAY, then the end of the connection.
    """

    code: ErrorCode
    last: int

    def __str__(self) -> str:
        return f"connection error {self.code.name}"


@dataclass(frozen=True)
class Lives:
    """
    An outcome: everything goes on.

    @ivar frames: beginnings of descriptions of frames that the peer gets besides.
    """

    frames: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "accepted"


@dataclass(frozen=True)
class Closes:
    """
    An outcome: the end of the connection, after what was open has finished or without a word.

    @ivar whole: whether the download and a PING come to their end before.
    """

    whole: bool

    def __str__(self) -> str:
        return "finished, then closed" if self.whole else "closed"


Outcome: TypeAlias = "EndsStream | EndsConnection | Lives | Closes"


@dataclass(frozen=True)
class Row:
    """
    What a peer does and what becomes of it.

    @ivar name: in camelCase, for a method C{test_...}.
    @ivar section: of RFC 9113, or of another one with its number before.
    @ivar steps: given the peer, which makes frames, what it sends.
    @ivar settings: of the end under test.
    @ivar limits: of the end under test.
    @ivar greets: whether the peer begins as it should, and the download is there.
    """

    name: str
    section: str
    outcome: Outcome
    steps: Steps
    settings: Settings = field(default_factory=Settings)
    limits: Limits = field(default_factory=Limits)
    greets: bool = True


def raw(kind: int, streamID: int, payload: bytes = b"", flags: int = 0) -> RawFrame:
    """
    Make a frame of bytes.
    """
    return RawFrame(kind, streamID, payload, flags)


def application(stream: ServerStream, headers: Headers) -> None:
    """
    What the server under test serves.
    """
    path = headers.path
    if path == "/download":
        stream.end(b"x" * DOWNLOAD)
    elif path == "/answer":
        stream.end(b"")
    elif path == "/reset":
        stream.close(ErrorCode.CANCEL)
    elif path in ("/push", "/pushed"):
        pushed = stream.pushStream({":path": "/hold"})
        if path == "/pushed":
            pushed.respond()
        stream.end()
    elif path == "/read":
        stream.read().addCallbacks(lambda body: stream.end(b"%d" % len(body)), _expected)


def _expected(failure: Any) -> None:
    failure.trap(HTTP2Error)


class Judge(ABC):
    """
    Judges a row on one connection.
    """

    def __init__(
        self, case: SynchronousTestCase, row: Row, peer: Any, ended: Callable[[], Awaitable[BaseException]]
    ) -> None:
        """
        @param case: for its assertions.
        @param peer: the end that the row speaks of.
        @param ended: waits for the end of the connection, as that peer sees it, and gives the reason.
        """
        self.case = case
        self.row = row
        self.peer: FrameSpeaker = peer
        self._ended = ended

    async def judge(self) -> None:
        """
        Greet, do what the row says, and look at what becomes of it.
        """
        if self.row.greets:
            await self.greet()
        for step in self.row.steps(self.peer):
            if isinstance(step, Until):
                await self.peer.whenFrame(step.frame)
            else:
                self.peer.sendBytes(step if isinstance(step, bytes) else step.serialize())
        outcome = self.row.outcome
        if isinstance(outcome, EndsStream):
            reset = await self.peer.whenFrame(f"RST_STREAM {outcome.streamID}")
            self.case.assertEqual(describeFrame(reset), f"RST_STREAM {outcome.streamID} {outcome.code.name}")
            await self.goesOn()
            self.assertResets(outcome.streamID)
            if outcome.unseen:
                answers = [
                    each for each in self.peer.frames if each.stream_id == outcome.streamID and each is not reset
                ]
                self.case.assertEqual(answers, [])
        elif isinstance(outcome, Lives):
            await self.goesOn()
            for each in outcome.frames:
                await self.peer.whenFrame(each)
            self.assertResets(*(int(each.split()[1]) for each in outcome.frames if each.startswith("RST_STREAM")))
        elif isinstance(outcome, EndsConnection):
            goAway = await self.peer.whenFrame("GOAWAY")
            self.case.assertEqual(describeFrame(goAway), f"GOAWAY {outcome.last} {outcome.code.name}")
            await self.closes()
            self.case.assertIs(self.peer.frames[-1], goAway, "nothing follows a GOAWAY that ends the connection")
            self.case.assertEqual(self.count(GoAwayFrame), 1)
        elif outcome.whole:
            await self.finishes()
            await self.closes()
        else:
            await self._ended()

    @abstractmethod
    async def greet(self) -> None:
        """
        Begin as a peer should, and have the download under way.
        """

    @abstractmethod
    async def finishes(self) -> None:
        """
        See the download and a PING to their end.
        """

    @abstractmethod
    async def serves(self) -> None:
        """
        See that new requests are taken.
        """

    async def goesOn(self) -> None:
        """
        See that the connection works as if nothing had been.
        """
        await self.finishes()
        await self.serves()
        self.case.assertEqual(self.count(GoAwayFrame), 0)

    async def closes(self) -> None:
        """
        See that the connection is closed, and not cut.
        """
        self.case.assertIsInstance(await self._ended(), ConnectionDone)

    async def answered(self) -> None:
        """
        See that a PING is answered.
        """
        self.peer.send(self.peer.ping(b"go on?  "))
        await self.peer.whenFrame(lambda frame: describeFrame(frame) == "PING ACK" and frame.opaque_data == b"go on?  ")

    def count(self, kind: type[Frame]) -> int:
        """
        Count frames that came.
        """
        return sum(isinstance(frame, kind) for frame in self.peer.frames)

    def assertResets(self, *streamIDs: int) -> None:
        """
        Assert which streams were reset, each of them once.
        """
        resets = [frame.stream_id for frame in self.peer.frames if isinstance(frame, RstStreamFrame)]
        self.case.assertEqual(sorted(resets), sorted(streamIDs))


class ServerJudge(Judge):
    """
    Judges a row where a server is under test.
    """

    async def greet(self) -> None:
        """
        Ask for the download, and have as much of it as the windows allow.
        """
        self.peer.begin()
        self.peer.send(self.peer.get(1, "/download"))
        await self.peer.whenFrame("HEADERS 1 200")

    async def finishes(self) -> None:
        """
        Open the windows.
        """
        await self.answered()
        self.peer.send(self.peer.window(0, DOWNLOAD), self.peer.window(1, DOWNLOAD))
        await self.peer.whenFrame(
            lambda frame: isinstance(frame, DataFrame) and frame.stream_id == 1 and "END_STREAM" in frame.flags
        )
        came = sum(
            len(frame.data) for frame in self.peer.frames if isinstance(frame, DataFrame) and frame.stream_id == 1
        )
        self.case.assertEqual(came, DOWNLOAD)

    async def serves(self) -> None:
        """
        Ask for something more.
        """
        self.peer.send(self.peer.get(9999, "/answer"))
        await self.peer.whenFrame("HEADERS 9999 200")


class ClientJudge(Judge):
    """
    Judges a row where a client is under test.  Its requests: 1 is the download, 3 a POST whose body has not ended, 5 a GET,
    7 a HEAD, 9 a CONNECT.
    """

    def __init__(
        self,
        case: SynchronousTestCase,
        row: Row,
        peer: Any,
        ended: Callable[[], Awaitable[BaseException]],
        session: ClientSession,
    ) -> None:
        super().__init__(case, row, peer, ended)
        self._session = session
        self._download: Deferred[bytes] | None = None

    async def greet(self) -> None:
        """
        Begin the download.
        """
        self._session.addListener(SessionListener())  # somebody who might want pushes
        self.peer.begin()
        self._download = self._session.request({":path": "/download"}).read()
        self._download.addErrback(_expected)
        self._session.request({":method": "POST"})
        self._session.request()
        self._session.request({":method": "HEAD"})
        self._session.request({":method": "CONNECT", ":authority": "elsewhere:1"})
        self._session.whenClosed().addErrback(_expected)
        await self.peer.whenFrame("HEADERS 9")
        self.peer.send(self.peer.response(1), self.peer.data(1, b"x" * 1000))

    async def finishes(self) -> None:
        """
        Send the rest of the download.
        """
        await self.answered()
        rest = b"x" * 10_000
        self.peer.send(*(self.peer.data(1, rest) for _ in range(9)), self.peer.data(1, rest[:-1000], end=True))
        assert self._download is not None
        self.case.assertEqual(len(await self._download), DOWNLOAD)

    async def serves(self) -> None:
        """
        Answer one more request.
        """
        stream = self._session.request({":path": "/more"})
        asked = await self.peer.whenFrame(
            lambda frame: describeFrame(frame).startswith("HEADERS") and (":path", "/more") in frame.fields
        )
        self.peer.send(self.peer.response(asked.stream_id, end=True))
        self.case.assertEqual((await stream.whenResponse()).status, 200)
