"""
What several test modules use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, settings
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPullProducer, IPushProducer
from zope.interface import implementer

from txh2session import (
    Headers,
    ServerStream,
    Session,
    SessionListener,
    Settings,
    Stream,
    StreamListener,
)
from txh2session.testing import ConnectedSessions, connectedSessions


class Recorder(SessionListener, StreamListener):
    """
    Writes down what a session and its streams tell.
    """

    def __init__(self, log: list[Any] | None = None) -> None:
        self.log: list[Any] = [] if log is None else log

    def sessionConnected(self, session: Session) -> None:
        """Write it down."""
        self.log.append("connected")

    def streamReceived(self, session: Session, stream: Stream, headers: Headers) -> None:
        """Write it down."""
        self.log.append(("stream", stream.id))

    def settingsReceived(self, session: Session, settings: Settings) -> None:
        """Write it down."""
        self.log.append(("settings", settings.initialWindowSize))

    def settingsAcknowledged(self, session: Session, settings: Settings) -> None:
        """Write it down."""
        self.log.append(("acknowledged", settings.initialWindowSize))

    def pingReceived(self, session: Session, payload: bytes) -> None:
        """Write it down."""
        self.log.append(("ping", payload))

    def goAwayReceived(self, session: Session, code: int, lastStreamID: int, debugData: bytes) -> None:
        """Write it down."""
        self.log.append(("goaway", int(code), lastStreamID, debugData))

    def limitReached(self, session: Session, limit: str) -> None:
        """Write it down."""
        self.log.append(("limit", limit))

    def frameNotSent(self, what: Any, *facts: Any) -> None:
        """Write it down."""
        self.log.append(("not sent", *facts))

    def sessionClosing(self, session: Session) -> None:
        """Write it down."""
        self.log.append("closing")

    def sessionClosed(self, session: Session, error: Exception | None) -> None:
        """Write it down."""
        self.log.append(("session closed", error))

    def timedOut(self, what: Any) -> None:
        """Write it down."""
        self.log.append("timed out")

    def aborted(self, stream: Stream) -> None:
        """Write it down."""
        self.log.append(("aborted", stream.id))

    def streamClosed(self, stream: Stream, error: Exception | None) -> None:
        """Write it down."""
        self.log.append(("stream closed", stream.id, error))


def note(log: list[Any], name: str, waiting: Deferred[Any]) -> None:
    """
    Write down what a Deferred fires with.
    """
    waiting.addCallbacks(lambda result: log.append((name, result)), lambda failure: log.append((name, failure.value)))


@implementer(IPushProducer)
class Push:
    """
    A push producer that writes chunks while it may.
    """

    def __init__(self, consumer: Any, chunk: bytes = b"x" * 10_000) -> None:
        self.consumer = consumer
        self.chunk = chunk
        self.paused = self.stopped = False
        self.written = 0
        self.pauses = 0

    def tick(self, times: int = 1) -> None:
        """Write so many chunks, unless told not to."""
        for _ in range(times):
            if not self.paused and not self.stopped:
                self.written += len(self.chunk)
                self.consumer.write(self.chunk)

    def produce(self, most: int) -> None:
        """Write up to so many bytes in all."""
        while not self.paused and not self.stopped and self.written < most:
            self.tick()

    def pauseProducing(self) -> None:
        """Note it."""
        self.paused = True
        self.pauses += 1

    def resumeProducing(self) -> None:
        """Note it."""
        self.paused = False

    def stopProducing(self) -> None:
        """Note it."""
        self.stopped = True


@implementer(IPullProducer)
class Pull:
    """
    A pull producer of a number of chunks.
    """

    def __init__(self, consumer: Any, chunks: int, after: Callable[[], object] = lambda: None) -> None:
        """
        @param after: called when it has left.
        """
        self.consumer = consumer
        self.left = chunks
        self.stopped = False
        self._after = after

    def resumeProducing(self) -> None:
        """Write one chunk, or leave."""
        if self.left:
            self.left -= 1
            self.consumer.write(b"x" * 10_000)
        else:
            self.consumer.unregisterProducer()
            self._after()

    def stopProducing(self) -> None:
        """Note it."""
        self.stopped = True


class TwoSessions:
    """
    Connects two sessions; a subclass says which of the two is under test.
    """

    role = ""

    def connected(self, **options: Any) -> tuple[Any, Any, ConnectedSessions]:
        """
        Connect two sessions.

        @return: the one under test, its peer, and both.
        """
        self.streams: list[ServerStream] = []
        options.setdefault("streamReceived", lambda stream, headers: self.streams.append(stream))
        nearOptions = options.pop("near", {})
        if self.role == "client":
            nearOptions = {f"client{name[0].upper()}{name[1:]}": value for name, value in nearOptions.items()}
        both = connectedSessions(**options, **nearOptions)
        sessions = (both.client, both.serverSession)
        near, far = sessions if self.role == "client" else sessions[::-1]
        return near, far, both

    def openStreams(self, both: ConnectedSessions, number: int = 2) -> tuple[list[Any], list[Any]]:
        """
        Open streams that neither side has ended.

        @return: the ones of the session under test, and the peer's.
        """
        mine: list[Any] = [both.client.request({":method": "POST"}) for _ in range(number)]
        both.pump()
        theirs: list[Any] = self.streams[-number:]
        return (mine, theirs) if self.role == "client" else (theirs, mine)


def examples(number: int, steps: int = 50) -> settings:
    """
    Say how many examples Hypothesis tries: always the same few where tests run by themselves; C{TXH2SESSION_FUZZ} times as
    many, other ones each time, where somebody hunts.
    """
    times = int(os.environ.get("TXH2SESSION_FUZZ", "1"))
    return settings(
        max_examples=number * times,
        stateful_step_count=steps if times == 1 else 2 * steps,
        derandomize=times == 1,
        print_blob=times > 1,
        suppress_health_check=list(HealthCheck),
    )
