"""
The seam between sessions and whatever speaks HTTP/2 frames for them, written down once.

L{Engine} is what a session asks for, L{EngineOwner} is what it is told.  Neither names h2: the multiplexer is the engine
there is, and a second one (libnghttp2, say) has to provide these methods and pass the same tests.

Verbs are I{total}: a verb for a stream that is gone, or on an engine that has failed, does nothing.  The peer may have
reset the stream in the read that is being worked on, so no caller could know.

All body lengths are bytes, all codes HTTP/2 error codes, all header lists pairs of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from txh2session._priority import Priority
from txh2session.errors import Initiator
from txh2session.headers import Headers
from txh2session.settings import Settings


class EngineState(NamedTuple):
    """
    A snapshot of windows, ids and counts.
    """

    localWindow: int
    remoteWindow: int
    nextStreamID: int
    lastProcessedStreamID: int
    localStreams: int
    remoteStreams: int
    queuedBytes: int
    unreadBytes: int
    heldBytes: int
    resetsSpent: int
    controlFramesSpent: int
    refusedStreams: int
    repliesOwed: int
    encoderTable: int
    decoderTable: int


class StreamWindows(NamedTuple):
    """
    A snapshot of one stream's windows and queue.
    """

    localWindow: int
    remoteWindow: int
    queuedBytes: int


class Engine(Protocol):
    """
    What a session asks for.
    """

    localSettings: Settings
    """Ours, as the peer has acknowledged them."""
    remoteSettings: Settings
    """The peer's, as last received."""
    framesReceived: int
    """How many frames came, a header block counted once."""

    @property
    def framesSent(self) -> int:
        """
        How many frames were sent, a header block counted once.
        """

    @property
    def streamsOpened(self) -> int:
        """
        How many streams were opened, by either side.
        """

    @property
    def mostStreams(self) -> int:
        """
        How many were open at the same time at most.
        """

    def start(self, seconds: Callable[[], float]) -> None:
        """
        Queue the preface and the first SETTINGS.

        @param seconds: tells the time, for what happens outside of C{receive}.
        """

    def receive(self, data: bytes, now: float) -> None:
        """
        Take in bytes and tell the owner what they say.
        """

    def bytesToSend(self, maximum: int) -> bytes:
        """
        Give out the next bytes for the transport, C{b""} if there are none: control frames first, then bodies as
        windows and order allow.  C{maximum} bounds the bodies and may be exceeded by one frame.
        """

    def openStream(self, headers: Headers, end: bool) -> int:
        """
        Send a request.

        @return: its stream id, or 0 if the ids are used up.
        """

    def freeStreams(self) -> int:
        """
        How many more requests the peer's MAX_CONCURRENT_STREAMS allows now.
        """

    def push(self, parentID: int, headers: Headers) -> int:
        """
        Promise a response to a request that the peer has not made.

        @return: its stream id, or 0 if the parent can promise nothing more or the ids are used up.
        """

    def sendHeaders(self, streamID: int, headers: Headers, end: bool) -> None:
        """
        Send a final response.
        """

    def sendInformation(self, streamID: int, headers: Headers) -> None:
        """
        Send a 1xx response.
        """

    def write(self, streamID: int, data: bytes) -> int:
        """
        Queue bytes of a body.

        @return: how many bytes are queued now.
        """

    def end(self, streamID: int, trailers: Headers | None) -> None:
        """
        End a body once what is queued has been sent: END_STREAM is on its last frame.
        """

    @property
    def midBlock(self) -> bool:
        """
        Whether a header block has begun and not ended.
        """

    def stalled(self) -> list[int]:
        """
        Tell which streams had something to send before the last two calls of this, and have sent nothing since.
        """

    def reset(self, streamID: int, code: int) -> None:
        """
        End a stream at once with RST_STREAM; what it had queued is dropped.
        """

    def forget(self, streamID: int) -> None:
        """
        End a stream at once without a frame.
        """

    def consumed(self, streamID: int, size: int) -> None:
        """
        Give the peer credit for bytes of a body that somebody has read.
        """

    def ping(self, payload: bytes) -> None:
        """
        Send a PING of eight bytes.
        """

    @property
    def windowRoom(self) -> int:
        """
        By how much INITIAL_WINDOW_SIZE may grow before it makes the window of an open stream too large (RFC 9113 section
        6.9.2).
        """

    def settings(self, settings: Settings) -> None:
        """
        Send what differs from the settings announced last; they hold once acknowledged.
        """

    def goAway(self, code: int, lastStreamID: int | None, debugData: bytes) -> int:
        """
        Send a GOAWAY and refuse the peer's streams above its last id from now on.

        @param lastStreamID: L{None} for the last one that reached the owner; never above one announced before.

        @return: the last stream id that was announced.
        """

    def setConnectionWindow(self, size: int) -> None:
        """
        Change how many bytes the peer may send on all streams together.
        """

    def setNextStreamID(self, streamID: int) -> bool:
        """
        Leave stream ids out.

        @return: whether the id is this side's to use and has not been used.
        """

    def setPriority(self, streamID: int, priority: Priority) -> None:
        """
        Say when a stream's body goes out relative to the others (RFC 9218).
        """

    def updatePriority(self, streamID: int, priority: Priority) -> None:
        """
        Ask the peer to send a response sooner or later (RFC 9218 section 7.1).
        """

    def altSvc(self, value: bytes, origin: bytes, streamID: int) -> None:
        """
        Send an ALTSVC frame: for an origin, or with C{b""} for that of a stream.
        """

    def origin(self, origins: Sequence[bytes]) -> None:
        """
        Send an ORIGIN frame.
        """

    def stop(self) -> None:
        """
        Drop every queued body and take in nothing more; what is queued of control frames still goes out.
        """

    def state(self) -> EngineState:
        """
        Take a snapshot.
        """

    def streamWindows(self, streamID: int) -> StreamWindows | None:
        """
        Take a snapshot of one stream; L{None} if it is gone.
        """


class EngineOwner(Protocol):
    """
    What a session is told, while C{receive} or C{bytesToSend} runs.
    """

    def prefaceReceived(self) -> None:
        """
        The peer's first SETTINGS frame came: it speaks HTTP/2.
        """

    def requestReceived(self, streamID: int, headers: Headers, ended: bool, expectsContinue: bool) -> None:
        """
        A peer's request came.

        @param expectsContinue: whether its body comes only after a 100 (RFC 9110 section 10.1.1).
        """

    def pushReceived(self, parentID: int, streamID: int, headers: Headers) -> None:
        """
        A response to a request that we have not made was promised.
        """

    def informationReceived(self, streamID: int, headers: Headers) -> None:
        """
        A 1xx response to a request of ours came.
        """

    def responseReceived(self, streamID: int, headers: Headers, ended: bool) -> None:
        """
        The final response to a request of ours came.
        """

    def dataReceived(self, streamID: int, data: bytes, ended: bool) -> None:
        """
        Bytes of a body came.  They count as unread until C{consumed}.
        """

    def trailersReceived(self, streamID: int, headers: Headers) -> None:
        """
        Trailers came, and with them the end of the body.
        """

    def drained(self, streamID: int) -> None:
        """
        A queue that was above the high-water mark is below the low one.
        """

    def endSent(self, streamID: int) -> None:
        """
        Our END_STREAM went out while the peer has not ended its half.
        """

    def streamFinished(self, streamID: int) -> None:
        """
        Both halves ended as they should; the engine has forgotten the stream.
        """

    def streamReset(self, streamID: int, code: int, initiator: Initiator, message: str) -> None:
        """
        A stream was reset, by the peer or because of it; the engine has forgotten it.
        """

    def settingsReceived(self) -> None:
        """
        The peer changed its settings; they are in force.
        """

    def settingsAcknowledged(self) -> None:
        """
        The peer acknowledged the oldest of our SETTINGS frames.
        """

    def pingReceived(self, payload: bytes) -> None:
        """
        A PING came and is being answered.
        """

    def pingAcknowledged(self, payload: bytes) -> None:
        """
        The answer to some PING came.
        """

    def goAwayReceived(self, code: int, lastStreamID: int, debugData: bytes) -> None:
        """
        The peer is going away; the streams are still as they were.
        """

    def originReceived(self, origins: list[bytes]) -> None:
        """
        An ORIGIN frame came (RFC 8336).
        """

    def altSvcReceived(self, value: bytes, origin: bytes, streamID: int) -> None:
        """
        An ALTSVC frame came (RFC 7838): for an origin, or with C{b""} for that of a stream.
        """

    def limitReached(self, limit: str) -> None:
        """
        A stream was refused because a limit was reached; nothing else has changed.
        """

    def failed(self, code: int, initiator: Initiator, message: str, limit: str) -> None:
        """
        The connection is beyond use: a GOAWAY is queued, nothing more will be taken in.
        """

    def spokeOtherProtocol(self, speaks: str) -> None:
        """
        The peer's first bytes are not HTTP/2; nothing more will be taken in.
        """
