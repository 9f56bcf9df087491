"""
L{txh2session._timer}.
"""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session._timer import IdleTimer


class IdleTimerTests(SynchronousTestCase):
    """
    L{IdleTimer}.
    """

    def setUp(self) -> None:
        """
        Make a clock.
        """
        self.clock = Clock()
        self.expired: list[float] = []

    def timer(self, seconds: float = 10) -> IdleTimer:
        """
        Make a timer.
        """
        return IdleTimer(self.clock, seconds, lambda: self.expired.append(self.clock.seconds()))

    def test_expires(self) -> None:
        """
        It calls back once when nothing happened, and leaves nothing behind.
        """
        self.timer()
        self.clock.advance(9.5)
        self.assertEqual(self.expired, [])
        self.clock.advance(0.5)
        self.assertEqual(self.expired, [10.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.expired, [10.0])

    def test_touched(self) -> None:
        """
        What happens puts it off by the whole time, counted from then.
        """
        timer = self.timer()
        for _ in range(5):
            self.clock.advance(7)
            timer.touch()
        self.assertEqual(self.expired, [])
        self.clock.pump([1] * 9)
        self.assertEqual(self.expired, [])
        self.clock.advance(1)
        self.assertEqual(self.expired, [45.0])

    def test_touchingIsCheap(self) -> None:
        """
        Putting it off makes no delayed call.
        """
        timer = self.timer()
        [call] = self.clock.getDelayedCalls()
        for _ in range(100):
            timer.touch()
        self.assertEqual(self.clock.getDelayedCalls(), [call])

    def test_stopped(self) -> None:
        """
        A timer that was stopped never calls back, whenever that was, and leaves nothing behind.
        """
        timer = self.timer()
        self.clock.advance(6)
        timer.touch()
        self.clock.advance(6)
        timer.stop()
        timer.stop()
        timer.touch()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(100)
        self.assertEqual(self.expired, [])

    def test_afterExpiring(self) -> None:
        """
        A timer that has called back can be stopped and touched, which does nothing.
        """
        timer = self.timer()
        self.clock.advance(10)
        timer.touch()
        timer.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stoppedByItsCall(self) -> None:
        """
        What it calls may stop it, or start another.
        """

        def expired() -> None:
            timer.stop()
            self.timer(5)

        timer = IdleTimer(self.clock, 10, expired)
        self.clock.advance(10)
        self.clock.advance(5)
        self.assertEqual(self.expired, [15.0])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clockGoesBack(self) -> None:
        """
        A clock that is put back does not put it off by more than its time.
        """
        self.clock.advance(1000)
        timer = self.timer()
        self.clock.advance(5)
        timer.touch()
        [call] = self.clock.getDelayedCalls()
        call.reset(0)
        self.clock.rightNow -= 900
        call.reset(0)
        self.clock.advance(0)
        now = self.clock.seconds()
        self.clock.advance(10)
        self.assertEqual(self.expired, [now + 10])
