"""
Timers that are put off far more often than they fire: putting one off costs an attribute, not a delayed call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class DelayedCall(Protocol):
    """
    What a clock returns for a call it will make.
    """

    def cancel(self) -> object:
        """
        Do not make the call.
        """

    def active(self) -> bool:
        """
        Whether the call is still to be made.
        """


class Clock(Protocol):
    """
    What tells the time and calls back later.
    """

    def seconds(self) -> float:
        """
        The time in seconds.
        """

    def callLater(self, delay: float, call: Callable[[], object]) -> DelayedCall:
        """
        Call back after C{delay} seconds.
        """


class IdleTimer:
    """
    Calls back once when nothing has happened for some seconds.  It is armed once and, when its call comes, looks how
    long ago the last thing happened.
    """

    __slots__ = ("_call", "_clock", "_expired", "_seconds", "_since")

    def __init__(self, clock: Clock, seconds: float, expired: Callable[[], object]) -> None:
        self._clock = clock
        self._seconds = seconds
        self._expired = expired
        self._since = clock.seconds()
        self._call: DelayedCall | None = clock.callLater(seconds, self._look)

    def touch(self) -> None:
        """
        Something happened.
        """
        self._since = self._clock.seconds()

    def stop(self) -> None:
        """
        Never call back.
        """
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _look(self) -> None:
        now = self._clock.seconds()
        self._since = min(self._since, now)  # a clock that was put back must not put this off
        left = self._since + self._seconds - now
        if left > 0:
            self._call = self._clock.callLater(left, self._look)
            return
        self._call = None
        self._expired()
