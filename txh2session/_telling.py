"""
Telling listeners what happens, for sessions and streams alike: an exception from one is logged and stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.logger import Logger

_log = Logger()

L = TypeVar("L")


class Telling(Generic[L]):
    """
    What has listeners.
    """

    _listeners: tuple[L, ...] = ()

    def addListener(self, listener: L) -> Callable[[], None]:
        """
        Have a listener told what happens.

        @return: call it to stop that.
        """
        self._listeners = (*self._listeners, listener)

        def remove() -> None:
            self._listeners = tuple(each for each in self._listeners if each is not listener)

        return remove

    def _tell(self, what: str, *facts: object) -> None:
        """
        Call a method of every listener.
        """
        for listener in self._listeners:
            try:
                getattr(listener, what)(self, *facts)
            except Exception:
                _log.failure("a listener's {what} failed", what=what)
