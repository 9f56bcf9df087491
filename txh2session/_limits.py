"""
Budgets: pure arithmetic on what a peer has used, told the time by its caller.

A token bucket was chosen over a window count because it needs two numbers whatever the rate, and because a burst that
follows a quiet spell (a page load, a cancelled batch) is honest traffic.

What is held in memory is an account instead: it goes up and down, and a session's is part of its server's.
"""

from __future__ import annotations

from txh2session.settings import Rate


class TokenBucket:
    """
    A budget that starts full and refills at a steady rate.
    """

    __slots__ = ("_burst", "_ceiling", "_perSecond", "_since", "_tokens", "spent")

    def __init__(self, rate: Rate, now: float, ceiling: float | None = None) -> None:
        """
        @param ceiling: how far C{earn} may raise the budget; the burst if not given or lower than it.
        """
        self._burst = float(rate.burst)
        self._ceiling = max(self._burst, ceiling or 0.0)
        self._perSecond = rate.perSecond
        self._tokens = self._burst
        self._since = now
        self.spent = 0

    def spend(self, now: float, amount: int = 1) -> bool:
        """
        Take tokens out.  Where there are too few they are owed: who asks too much does not get the next ones free.

        @param now: the time in seconds, of any clock that does not go back; one that does is taken as standing still.

        @return: whether there were enough.
        """
        self.spent += amount
        left = self._tokens - amount
        if left < 0:
            elapsed = max(0.0, now - self._since)
            self._since = now
            # What was earned above the burst stays; time fills up to the burst only.
            refilled = min(self._burst, self._tokens + elapsed * self._perSecond)
            left = max(self._tokens, refilled) - amount
        self._tokens = left
        return left >= 0

    def earn(self, amount: float) -> None:
        """
        Put tokens back for something that entitles the peer to more; never above the ceiling.
        """
        self._tokens = min(self._ceiling, self._tokens + amount)


class Account:
    """
    Bytes that are held on somebody's behalf.

    @ivar held: how many, those of accounts below included.
    @ivar limit: how many should not be exceeded, L{None} for any number.
    """

    __slots__ = ("_closed", "_parent", "held", "limit")

    def __init__(self, parent: Account | None = None, limit: int | None = None) -> None:
        """
        @param parent: what this one is part of.
        """
        self._parent = parent
        self.limit = limit
        self._closed = False
        self.held = 0

    def add(self, size: int) -> None:
        """
        Count bytes that are held from now on; a negative number for those that no longer are.
        """
        if self._closed:
            return
        self.held += size
        parent = self._parent
        while parent is not None:
            parent.held += size
            parent = parent._parent

    @property
    def exceeded(self) -> bool:
        """
        Whether more is held than should be, here or above.
        """
        if self.limit is not None and self.held > self.limit:
            return True
        return self._parent is not None and self._parent.exceeded

    def close(self) -> None:
        """
        Count nothing more, and give back what is counted.
        """
        self.add(-self.held)
        self._closed = True
