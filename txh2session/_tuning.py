"""
How large receive windows should be: as large as the way between the peers holds, where the application reads that fast.

A window is spent in less than two round trips only if it, and not the way or the reader, is what holds the sender up; then
it is doubled.  It stops growing at four times what the way holds, or at its cap.  Windows never shrink: what a peer was
given cannot be taken back, and what lies unread is bounded elsewhere (L{Limits.unreadBytes<txh2session.Limits>}).

Measuring throughput by samples, as gRPC does, was the alternative; it needs a PING for each sample, this one a PING now and
then.
"""

from __future__ import annotations

from typing import Final

_MEASURED_AGAIN: Final = 10.0
"""Seconds after which the round trip is measured anew, while there is a reason to know it."""


class WindowTuner:
    """
    Decides about the windows of one connection; told the time by its caller.

    @ivar roundTrip: seconds a PING takes, L{None} before one was answered.
    """

    def __init__(self) -> None:
        self.roundTrip: float | None = None
        self._asked: tuple[bytes, float] | None = None
        self._measured = 0.0
        self._number = 0

    def question(self, now: float) -> bytes | None:
        """
        Ask for the round trip to be measured, unless that is known or being done.

        @return: the payload of a PING to send.
        """
        if self._asked is not None or (self.roundTrip is not None and now - self._measured < _MEASURED_AGAIN):
            return None
        self._number = (self._number + 1) % 2**32
        payload = b"rtt:" + self._number.to_bytes(4, "big")
        self._asked = (payload, now)
        return payload

    def answer(self, payload: bytes, now: float) -> bool:
        """
        Take in the answer to a PING.

        @return: whether it was to a question of ours.
        """
        if self._asked is None or payload != self._asked[0]:
            return False
        self.roundTrip = max(0.0, now - self._asked[1])
        self._measured = now
        self._asked = None
        return True

    def grown(self, window: int, spentWithin: float, maximum: int) -> int:
        """
        Decide about a window of which half has been spent and read.

        @param spentWithin: seconds that took.

        @return: its size from now on.
        """
        if self.roundTrip is None or spentWithin > 2 * self.roundTrip or window >= maximum:
            return window
        return min(2 * window, maximum)
