"""
Watching the peer: whether it still answers, and whether it still takes what it asked for.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txh2session._timer import Clock, DelayedCall, IdleTimer
from txh2session.settings import Keepalive


class KeepaliveWatch:
    """
    Sends a PING after silence, and tells when nobody answers it.
    """

    def __init__(
        self,
        clock: Clock,
        keepalive: Keepalive,
        ping: Callable[[float], Deferred[float]],
        streamsOpen: Callable[[], bool],
        dead: Callable[[], object],
    ) -> None:
        """
        @param ping: sends a PING with a timeout.
        @param streamsOpen: says whether there is a reason to look.
        @param dead: called when the peer does not answer.
        """
        self._clock = clock
        self._keepalive = keepalive
        self._ping = ping
        self._streamsOpen = streamsOpen
        self._dead = dead
        self._heard = False
        self._stopped = False
        self._timer: IdleTimer | None = IdleTimer(clock, keepalive.interval, self._silence)

    def touch(self) -> None:
        """
        Something came.
        """
        self._heard = True
        if self._timer is not None:
            self._timer.touch()

    def stop(self) -> None:
        """
        Look no more.
        """
        self._stopped = True
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _again(self) -> None:
        if not self._stopped:
            self._timer = IdleTimer(self._clock, self._keepalive.interval, self._silence)

    def _silence(self) -> None:
        self._timer = None
        if not (self._keepalive.always or self._streamsOpen()):
            self._again()
            return
        self._heard = False
        self._ping(self._keepalive.timeout).addCallbacks(lambda _: self._again(), self._unanswered)

    def _unanswered(self, failure: Failure) -> None:
        """
        The PING failed: nobody answers, unless the session has ended or bytes came that are not its answer.
        """
        if self._stopped:
            return
        if self._heard:
            self._again()
        else:
            self._dead()


class StallWatch:
    """
    Asks at intervals which streams have not moved since the last time.
    """

    def __init__(self, clock: Clock, seconds: float, look: Callable[[], object]) -> None:
        self._clock = clock
        self._interval = seconds / 2
        self._look = look
        self._call: DelayedCall | None = clock.callLater(self._interval, self._tick)

    def stop(self) -> None:
        """
        Look no more.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _tick(self) -> None:
        self._call = self._clock.callLater(self._interval, self._tick)
        self._look()
