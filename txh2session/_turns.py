"""
Fair shares of the reactor: what a connection has sent is taken in for a few milliseconds at a time, and then others have
their turn.

A read may hold a thousand requests, or ten thousand frames of a byte.  Taken in at one go they keep everybody else's
connections waiting: with a hundred such clients for seconds.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Final, Protocol

from twisted.logger import Logger

from txh2session._timer import Clock, DelayedCall

_log = Logger()

_TURN: Final = 0.002
"""Seconds that one connection may go on while others wait."""
_BRIEF: Final = 0.0005
"""Seconds that one connection whose data has just come may go on while others wait for their turn: enough for a few small
requests."""
_ROUND: Final = 0.004
"""Seconds that all who wait may go on before the reactor looks for what is new."""
_PAUSE: Final = 0.0002
"""Seconds without work after which a turn is over.  Over TLS one read of the transport comes record by record."""
_LEAST: Final = 64
_MOST: Final = 32 * 1024
_FASTER: Final = 2
"""Input is taken in by pieces between these sizes, as many bytes as were worth a turn the last time.  Their size grows by
no more than this factor at a time: what comes next may be of another kind."""


class Turns:
    """
    Those who wait for their next turn, the first first.  The connections of a server have one of these in common.
    """

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], object]] = deque()
        self._call: DelayedCall | None = None

    @property
    def wanted(self) -> bool:
        """
        Whether anybody waits.
        """
        return bool(self._waiting)

    def wait(self, clock: Clock, turn: Callable[[], object]) -> None:
        """
        Be called when it is one's turn, after the reactor has looked for what is new.

        @param turn: takes care of its own exceptions.
        """
        self._waiting.append(turn)
        self._plan(clock)

    def _plan(self, clock: Clock) -> None:
        if self._call is None and self._waiting:
            self._call = clock.callLater(0, lambda: self._round(clock))

    def _round(self, clock: Clock) -> None:
        self._call = None
        end = clock.seconds() + _ROUND
        try:
            for _ in range(len(self._waiting)):
                self._waiting.popleft()()
                if clock.seconds() >= end:
                    break
        finally:
            self._plan(clock)


class Taker(Clock, Protocol):
    """
    A connection, as its L{Intake} knows it.
    """

    def takeIn(self, data: bytes, now: float) -> None:
        """
        Bytes came, and it is their turn.
        """

    def pauseReading(self) -> None:
        """
        Have the transport read no more.
        """

    def resumeReading(self) -> None:
        """
        Have the transport read again.
        """

    def abort(self) -> None:
        """
        Cut the connection.
        """


class Intake:
    """
    What one connection has sent, up to where it is taken in.
    """

    def __init__(self, taker: Taker, turns: Turns) -> None:
        self._taker = taker
        self._turns = turns
        self._rest = b""
        self._position = 0
        self._waits = False
        self._piece = _LEAST
        self._end = 0.0
        self._stopped = -inf

    def received(self, data: bytes) -> None:
        """
        Take in what came, as far as this turn allows.
        """
        if self._waits:
            self._rest = self._rest[self._position :] + data
            self._position = 0
            return
        taker = self._taker
        now = taker.seconds()
        if now - self._stopped > _PAUSE:
            self._end = now + (_BRIEF if self._turns.wanted else _TURN)
        if now >= self._end:
            self._rest = data
            self._wait()
        elif len(data) <= self._piece:
            taker.takeIn(data, now)
            self._stopped = taker.seconds()
            self._learn(len(data), self._stopped - now)
        else:
            self._rest = data
            self._go(now)

    def _learn(self, size: int, seconds: float) -> None:
        """
        See how many bytes are worth a turn.
        """
        if seconds <= 0:
            self._piece = sys.maxsize  # a clock that stands still, in a test: nobody is kept waiting
            return
        most = min(self._piece * _FASTER, _MOST) if size >= self._piece else self._piece
        self._piece = max(min(int(size * _TURN / seconds), most), _LEAST)

    def _go(self, now: float) -> None:
        taker = self._taker
        try:
            while self._rest:
                piece = self._rest[self._position : self._position + self._piece]
                self._position += len(piece)
                if self._position >= len(self._rest):
                    self._rest, self._position = b"", 0
                taker.takeIn(piece, now)
                before, now = now, taker.seconds()
                self._stopped = now
                self._learn(len(piece), now - before)
                if self._rest and now >= self._end:
                    self._wait()
                    return
        except BaseException:
            self._rest, self._position = b"", 0
            raise
        self._done()

    def _wait(self) -> None:
        if not self._waits:
            self._waits = True
            self._taker.pauseReading()
        self._turns.wait(self._taker, self._turn)

    def _done(self) -> None:
        if self._waits:
            self._waits = False
            self._taker.resumeReading()

    def _turn(self) -> None:
        if not self._waits:
            return  # it was dropped
        now = self._taker.seconds()
        self._end = now + _TURN
        try:
            self._go(now)
        except Exception:
            # What a transport does with an exception out of dataReceived().
            _log.failure("taking in what {taker!r} received failed", taker=self._taker)
            self._taker.abort()

    def drop(self) -> bytes:
        """
        Take in no more.

        @return: what was not taken in.
        """
        rest, self._rest = self._rest[self._position :], b""
        self._position = 0
        self._done()
        return rest
