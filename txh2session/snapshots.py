"""
Snapshots: what C{session.state} and C{stream.state} answer.
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
    @ivar roundTripTime: seconds the last PING took, L{None} before one was answered.
    @ivar resetsSpent: how many streams have counted against C{Limits.resets}.
    @ivar controlFramesSpent: how many frames have counted against C{Limits.controlFrames}.
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
    roundTripTime: float | None
    resetsSpent: int
    controlFramesSpent: int


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
