"""
Deferreds for things that happen once: each caller gets one of its own, all fire together.

A Deferred kept as an attribute that nobody looks at ends up in the log as an unhandled error, so there are none; there is
a list of those who asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

T = TypeVar("T")


class Waiters(Generic[T]):
    """
    Those who wait for one result or error.
    """

    __slots__ = ("_error", "_result", "_waiting", "fired")

    _result: T

    def __init__(self) -> None:
        self._waiting: list[Deferred[T]] = []
        self._error: Exception | None = None
        self.fired = False

    def when(self, cancelled: Callable[[], object] | None = None) -> Deferred[T]:
        """
        Make a Deferred for one caller, fired already if the thing has happened.

        @param cancelled: called when the caller cancels it; the others go on waiting.
        """

        def cancel(waiter: Deferred[T]) -> None:
            if self.fired:
                return  # the others are being told, and one of them gave this one up
            self._waiting.remove(waiter)
            if cancelled is not None:
                cancelled()

        waiter: Deferred[T] = Deferred(cancel)
        if not self.fired:
            self._waiting.append(waiter)
        elif self._error is not None:
            waiter.errback(Failure(self._error))
        else:
            waiter.callback(self._result)
        return waiter

    def fire(self, result: T) -> None:
        """
        Tell everybody; does nothing the second time.
        """
        if self.fired:
            return
        self.fired = True
        self._result = result
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:
                waiter.callback(result)

    def fail(self, error: Exception) -> None:
        """
        Tell everybody that it will not happen; does nothing the second time.
        """
        if self.fired:
            return
        self.fired = True
        self._error = error
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.called:
                waiter.errback(Failure(error))
