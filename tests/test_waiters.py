"""
L{txh2session._waiters}.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txh2session._waiters import Waiters


class WaitersTests(SynchronousTestCase):
    """
    L{Waiters}.
    """

    def setUp(self) -> None:
        """
        Make some.
        """
        self.waiters: Waiters[int] = Waiters()

    def test_fire(self) -> None:
        """
        Everybody has a Deferred of its own, and all fire together.
        """
        first, second = self.waiters.when(), self.waiters.when()
        self.assertIsNot(first, second)
        self.assertNoResult(first)
        self.assertFalse(self.waiters.fired)
        self.waiters.fire(5)
        self.assertTrue(self.waiters.fired)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (5, 5))

    def test_chainsAreApart(self) -> None:
        """
        What one caller makes of its result is nothing to the others.
        """
        first, second = self.waiters.when(), self.waiters.when()
        first.addCallback(lambda number: number / 0)
        self.waiters.fire(5)
        self.failureResultOf(first, ZeroDivisionError)
        self.assertEqual(self.successResultOf(second), 5)

    def test_fail(self) -> None:
        """
        Everybody gets the error, and a failure of their own.
        """
        first, second = self.waiters.when(), self.waiters.when()
        error = RuntimeError("no")
        self.waiters.fail(error)
        failures = [self.failureResultOf(each) for each in (first, second)]
        self.assertEqual([each.value for each in failures], [error, error])
        self.assertIsNot(failures[0], failures[1])

    def test_late(self) -> None:
        """
        Who comes late gets the result or the error at once.
        """
        self.waiters.fire(5)
        self.assertEqual(self.successResultOf(self.waiters.when()), 5)
        failed: Waiters[int] = Waiters()
        failed.fail(RuntimeError("no"))
        for _ in range(2):
            self.failureResultOf(failed.when(), RuntimeError)

    def test_noneIsAResult(self) -> None:
        """
        L{None} is a result like any other.
        """
        waiters: Waiters[None] = Waiters()
        waiters.fire(None)
        self.assertIsNone(self.successResultOf(waiters.when()))

    def test_once(self) -> None:
        """
        The first result or error counts.
        """
        waiting = self.waiters.when()
        self.waiters.fire(1)
        self.waiters.fire(2)
        self.waiters.fail(RuntimeError("no"))
        self.assertEqual(self.successResultOf(waiting), 1)
        self.assertEqual(self.successResultOf(self.waiters.when()), 1)
        failed: Waiters[int] = Waiters()
        failed.fail(RuntimeError("no"))
        failed.fire(1)
        failed.fail(ValueError("later"))
        self.failureResultOf(failed.when(), RuntimeError)

    def test_nobodyWaits(self) -> None:
        """
        An error nobody waits for is nobody's: nothing is logged.
        """
        self.waiters.fail(RuntimeError("no"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled(self) -> None:
        """
        Who cancels is out, the others go on waiting, and the thing is told if it asked to be.
        """
        told: list[str] = []
        first = self.waiters.when(lambda: told.append("first"))
        second, third = self.waiters.when(), self.waiters.when()
        first.cancel()
        third.cancel()
        self.failureResultOf(first, CancelledError)
        self.failureResultOf(third, CancelledError)
        self.assertEqual(told, ["first"])
        self.assertNoResult(second)
        self.waiters.fire(5)
        self.assertEqual(self.successResultOf(second), 5)

    def test_cancelledTwiceOrLate(self) -> None:
        """
        Cancelling again, or what has fired, does nothing.
        """
        told: list[None] = []
        first = self.waiters.when(lambda: told.append(None))
        first.cancel()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        second = self.waiters.when(lambda: told.append(None))
        self.waiters.fire(5)
        second.cancel()
        self.assertEqual((self.successResultOf(second), told), (5, [None]))

    def test_cancelledWhileFiring(self) -> None:
        """
        One of those who are told may cancel the Deferred of another, before or after it: nothing raises, the rest is told
        and the thing, which has happened, is not given up.
        """
        for error in (None, RuntimeError("no")):
            waiters: Waiters[int] = Waiters()
            told: list[str] = []
            waiting = [waiters.when(lambda told=told: told.append("cancelled")) for _ in range(4)]  # type: ignore[misc]

            def cancel(result: object, waiting: list[Deferred[int]] = waiting) -> None:
                waiting[0].cancel()
                waiting[2].cancel()

            waiting[1].addBoth(cancel)
            if error is None:
                waiters.fire(5)
            else:
                waiters.fail(error)
            self.assertIsNone(self.successResultOf(waiting[1]))
            self.failureResultOf(waiting[2], CancelledError)
            for each in (waiting[0], waiting[3]):
                if error is None:
                    self.assertEqual(self.successResultOf(each), 5)
                else:
                    self.failureResultOf(each, RuntimeError)
            self.assertEqual(told, [])

    def test_firedByACancellation(self) -> None:
        """
        Giving one up may end the thing for the others.
        """
        first = self.waiters.when(lambda: self.waiters.fail(RuntimeError("given up")))
        second = self.waiters.when()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.failureResultOf(second, RuntimeError)

    def test_askedWhileFiring(self) -> None:
        """
        Who asks while the others are told is told at once.
        """
        results: list[int] = []

        def again(number: int) -> None:
            self.waiters.when().addCallback(results.append)

        self.waiters.when().addCallback(again)
        self.waiters.when().addCallback(results.append)
        self.waiters.fire(5)
        self.assertEqual(results, [5, 5])
