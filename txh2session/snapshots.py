"""
Snapshots: what C{session.state}, C{stream.state} and their C{statistics} answer.
"""

from __future__ import annotations

from typing import NamedTuple


class SessionSnapshot(NamedTuple):
    """
    A snapshot of a session.

    @ivar localWindow: bytes the peer may still send on all streams together.
    @ivar remoteWindow: bytes we may still send on all streams together.
    @ivar nextStreamID: the id of the next stream this side opens.
    @ivar lastProcessedStreamID: the last of the peer's streams that reached the application.
    @ivar localStreams: streams this side opened that are open.
    @ivar remoteStreams: streams the peer opened that are open.
    @ivar pendingStreams: requests that wait for the connection or for the peer's limit.
    @ivar queuedBytes: bytes of bodies that wait to be sent.
    @ivar unreadBytes: bytes of bodies that arrived and that nobody has read.
    @ivar heldBytes: bytes held in memory for the peer, those two included: what C{Limits.sessionBytes} is about.
    @ivar roundTripTime: seconds the last PING took, L{None} before one was answered.
    @ivar resetsSpent: how many streams have counted against C{Limits.resets}.
    @ivar controlFramesSpent: how many frames have counted against C{Limits.controlFrames}.
    @ivar refusedStreams: how many streams were refused in a row, for C{Limits.refusedStreams}.
    @ivar repliesOwed: bytes of acknowledgements and resets that wait for the transport, for C{Limits.repliesOwed}.
    @ivar encoderTable: bytes the HPACK table holds for the fields we send, as RFC 7541 section 4.1 counts them.
    @ivar decoderTable: the same for the fields we receive.
    """

    localWindow: int
    remoteWindow: int
    nextStreamID: int
    lastProcessedStreamID: int
    localStreams: int
    remoteStreams: int
    pendingStreams: int
    queuedBytes: int
    unreadBytes: int
    heldBytes: int
    roundTripTime: float | None
    resetsSpent: int
    controlFramesSpent: int
    refusedStreams: int
    repliesOwed: int
    encoderTable: int
    decoderTable: int


class StreamSnapshot(NamedTuple):
    """
    A snapshot of a stream.

    @ivar sending: how far our half has come: C{"before its headers"}, C{"sending its body"}, C{"ended"}, C{"reset"}.
    @ivar receiving: the same of the peer's half.
    @ivar localWindow: bytes the peer may still send, L{None} where the stream has no id or is gone.
    @ivar remoteWindow: bytes we may still send; negative if the peer shrank its window under us.
    @ivar queuedBytes: bytes that wait to be sent.
    @ivar unreadBytes: bytes that wait to be read.
    """

    sending: str
    receiving: str
    localWindow: int | None
    remoteWindow: int | None
    queuedBytes: int
    unreadBytes: int


class SessionStatistics(NamedTuple):
    """
    What a session has done so far, or in all once it is gone (Node's reference 18.1).

    @ivar duration: seconds since the transport came up, until it was gone; 0 before.
    @ivar bytesRead: bytes that came from the transport.
    @ivar bytesWritten: bytes that were given to the transport.
    @ivar framesReceived: frames that came; a header block counts once.
    @ivar framesSent: frames that were sent; a header block counts once.
    @ivar streamCount: streams that were opened, by either side.
    @ivar maxConcurrentStreams: how many were open at the same time at most.
    @ivar streamAverageDuration: seconds a stream that has ended took; 0 before the first.
    @ivar roundTripTime: seconds the last PING took, L{None} before one was answered.
    """

    duration: float
    bytesRead: int
    bytesWritten: int
    framesReceived: int
    framesSent: int
    streamCount: int
    maxConcurrentStreams: int
    streamAverageDuration: float
    roundTripTime: float | None


class StreamStatistics(NamedTuple):
    """
    What a stream has done so far, or in all once it has ended (Node's reference 18.2).  Times are seconds since it was
    opened; L{None} for what has not happened.

    @ivar duration: until it ended, or now.
    @ivar bytesRead: bytes of the peer's body that came.
    @ivar bytesWritten: bytes of ours that were written.
    @ivar timeToFirstHeader: until the peer's final headers: the response's, or 0 for a request's.
    @ivar timeToFirstByte: until the first byte of the peer's body.
    @ivar timeToFirstByteSent: until the first byte of ours was written.
    """

    duration: float
    bytesRead: int
    bytesWritten: int
    timeToFirstHeader: float | None
    timeToFirstByte: float | None
    timeToFirstByteSent: float | None
