"""
What a session has asked its peer and waits for: PINGs and changes of settings.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, fail

from txh2session._timer import Clock, DelayedCall
from txh2session._waiters import Waiters
from txh2session.errors import PingCancelled
from txh2session.settings import Settings


class _Ping:
    """
    One PING that waits for its answer.
    """

    def __init__(self, since: float) -> None:
        self.since = since
        self.waiters: Waiters[float] = Waiters()
        self.timeout: DelayedCall | None = None

    def stop(self) -> None:
        """
        Call the timeout off.
        """
        if self.timeout is not None:
            self.timeout.cancel()
            self.timeout = None


class Pings:
    """
    The PINGs that wait for an answer, by their payload.

    @ivar roundTripTime: seconds the last answer took, L{None} before the first.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[bytes, _Ping] = {}
        self._counter = 0
        self.roundTripTime: float | None = None

    def ask(self, payload: bytes | None, clock: Clock, timeout: float | None) -> tuple[bytes, Deferred[float]]:
        """
        Note a PING.

        @return: the payload to send, C{b""} for none, and what fires at its answer.

        @raise ValueError: if the payload is not eight bytes.
        """
        if payload is None:
            self._counter = (self._counter + 1) & 0xFFFFFFFF
            payload = b"h2ss" + self._counter.to_bytes(4, "big")
        elif not isinstance(payload, bytes) or len(payload) != 8:
            raise ValueError(f"the payload of a PING is eight bytes, not {payload!r}")
        if len(self._waiting) >= self._limit or payload in self._waiting:
            return b"", fail(PingCancelled("too many PINGs, or the same one, wait for an answer"))
        ping = self._waiting[payload] = _Ping(clock.seconds())
        if timeout:
            asked = payload

            def late() -> None:
                del self._waiting[asked]
                ping.timeout = None
                ping.waiters.fail(PingCancelled(f"no answer within {timeout} seconds"))

            ping.timeout = clock.callLater(timeout, late)
        return payload, ping.waiters.when()

    def answered(self, payload: bytes, now: float) -> None:
        """
        Take in an answer; one that nobody asked for is ignored.
        """
        ping = self._waiting.pop(payload, None)
        if ping is not None:
            ping.stop()
            self.roundTripTime = now - ping.since
            ping.waiters.fire(self.roundTripTime)

    def answeredUpTo(self, payload: bytes, now: float) -> bool:
        """
        Take in an answer that stands for the questions before it, too.

        @return: whether anybody asked for it.
        """
        if payload not in self._waiting:
            return False
        asked = list(self._waiting)
        for each in asked[: asked.index(payload) + 1]:
            self.answered(each, now)
        return True

    def cancel(self, error: Exception | None) -> None:
        """
        Tell all that no answer will come.
        """
        waiting, self._waiting = self._waiting, {}
        for ping in waiting.values():
            ping.stop()
            ping.waiters.fail(_cancelled("PING", error))


class SettingsChanges:
    """
    The SETTINGS frames that wait for their acknowledgement, oldest first, the preface's included.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: list[tuple[Waiters[Settings], DelayedCall | None]] = []

    @property
    def pending(self) -> bool:
        """
        Whether one waits.
        """
        return bool(self._waiting)

    def started(self, clock: Clock, timeout: float, expired: Callable[[], object]) -> None:
        """
        Note the SETTINGS of the preface, for which nobody waits.
        """
        self._note(clock, timeout, expired)

    def ask(self, clock: Clock, timeout: float, expired: Callable[[], object]) -> Deferred[Settings]:
        """
        Note a change.

        @param expired: called when it is not acknowledged within C{timeout} seconds.

        @return: fires at its acknowledgement; has failed already if too many wait.
        """
        if len(self._waiting) >= self._limit:
            return fail(PingCancelled("too many SETTINGS wait to be acknowledged"))
        return self._note(clock, timeout, expired).when()

    def _note(self, clock: Clock, timeout: float, expired: Callable[[], object]) -> Waiters[Settings]:
        waiters: Waiters[Settings] = Waiters()
        self._waiting.append((waiters, clock.callLater(timeout, expired) if timeout else None))
        return waiters

    def answered(self, settings: Settings) -> None:
        """
        Take in the acknowledgement of the oldest; one that nobody waits for is ignored.
        """
        if not self._waiting:
            return
        waiters, timeout = self._waiting.pop(0)
        if timeout is not None and timeout.active():
            timeout.cancel()
        waiters.fire(settings)

    def cancel(self, error: Exception | None) -> None:
        """
        Tell all that no acknowledgement will come.
        """
        waiting, self._waiting = self._waiting, []
        for waiters, timeout in waiting:
            if timeout is not None and timeout.active():
                timeout.cancel()
            waiters.fail(_cancelled("SETTINGS", error))


def _cancelled(what: str, error: Exception | None) -> PingCancelled:
    cancelled = PingCancelled(f"the session ended before the {what} was answered")
    cancelled.__cause__ = error
    return cancelled
