"""
L{txh2session._limits}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txh2session._limits import Account, TokenBucket
from txh2session.settings import Rate


class TokenBucketTests(SynchronousTestCase):
    """
    L{TokenBucket} allows a burst, then a rate.
    """

    def test_burst(self) -> None:
        """
        A full bucket allows its burst and not one more.
        """
        bucket = TokenBucket(Rate(3, 0), 0.0)
        self.assertEqual([bucket.spend(0.0) for _ in range(4)], [True, True, True, False])
        self.assertEqual(bucket.spent, 4)

    def test_refills(self) -> None:
        """
        Tokens come back with time, up to the burst.
        """
        bucket = TokenBucket(Rate(2, 10), 0.0)
        self.assertTrue(bucket.spend(0.0, 2))
        self.assertFalse(bucket.spend(0.0))
        self.assertTrue(bucket.spend(0.3))
        self.assertTrue(bucket.spend(100.0, 2))
        self.assertFalse(bucket.spend(100.0))

    def test_earned(self) -> None:
        """
        What is earned can be spent, but the bucket never holds more than its burst.
        """
        bucket = TokenBucket(Rate(2, 0), 0.0)
        bucket.earn(100)
        self.assertTrue(bucket.spend(0.0, 2))
        bucket.earn(1)
        self.assertTrue(bucket.spend(0.0))
        self.assertFalse(bucket.spend(0.0))

    def test_clockGoingBack(self) -> None:
        """
        A clock that goes back neither gives tokens nor takes any.
        """
        bucket = TokenBucket(Rate(1, 1), 10.0)
        self.assertTrue(bucket.spend(10.0))
        self.assertFalse(bucket.spend(5.0))
        self.assertFalse(bucket.spend(5.5))

    @given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 5)), max_size=60))
    def test_neverMoreThanBurstPlusRate(self, steps: list[tuple[float, int]]) -> None:
        """
        However it is asked, what is granted stays within the burst and what the elapsed time refills.
        """
        bucket = TokenBucket(Rate(10, 3), 0.0)
        now = 0.0
        granted = 0
        for wait, amount in steps:
            now += wait
            if bucket.spend(now, amount):
                granted += amount
            self.assertLessEqual(granted, 10 + 3 * now + 1e-6)


class CeilingTests(SynchronousTestCase):
    """
    L{TokenBucket} with a ceiling above its burst.
    """

    def test_earnedAboveTheBurst(self) -> None:
        """
        What is earned is kept up to the ceiling.
        """
        bucket = TokenBucket(Rate(2, 0), 0.0, ceiling=5)
        bucket.earn(100)
        self.assertEqual([bucket.spend(0.0) for _ in range(6)], [True] * 5 + [False])

    def test_timeFillsTheBurstOnly(self) -> None:
        """
        Time refills up to the burst, not to the ceiling.
        """
        bucket = TokenBucket(Rate(2, 1), 0.0, ceiling=5)
        self.assertTrue(bucket.spend(0.0, 2))
        self.assertFalse(bucket.spend(100.0, 3))

    def test_refillKeepsWhatWasEarned(self) -> None:
        """
        A look at the clock takes nothing away of what was earned above the burst.
        """
        bucket = TokenBucket(Rate(2, 1), 0.0, ceiling=10)
        bucket.earn(6)
        self.assertFalse(bucket.spend(0.0, 9))
        bucket.earn(2)
        self.assertTrue(bucket.spend(0.0, 1))

    def test_ceilingBelowTheBurst(self) -> None:
        """
        A ceiling below the burst is the burst: earning never takes away.
        """
        bucket = TokenBucket(Rate(10, 0), 0.0, ceiling=2)
        bucket.earn(1)
        self.assertTrue(bucket.spend(0.0, 10))
        bucket.earn(20)
        self.assertTrue(bucket.spend(0.0, 10))

    def test_tooMuchIsOwed(self) -> None:
        """
        What was refused is owed and has to be refilled first.
        """
        bucket = TokenBucket(Rate(2, 1), 0.0)
        self.assertFalse(bucket.spend(0.0, 5))
        self.assertFalse(bucket.spend(3.0))
        self.assertTrue(bucket.spend(5.0))

    @given(
        st.integers(1, 10),
        st.integers(0, 20),
        st.lists(st.tuples(st.floats(0, 2), st.integers(0, 3), st.integers(1, 3)), max_size=60),
    )
    def test_bounded(self, burst: int, ceiling: int, steps: list[tuple[float, int, int]]) -> None:
        """
        However it is used, what is granted stays within burst, time and earnings.
        """
        bucket = TokenBucket(Rate(burst, 3), 0.0, ceiling)
        now = 0.0
        granted = earned = 0
        for wait, gain, amount in steps:
            now += wait
            bucket.earn(gain)
            earned += gain
            if bucket.spend(now, amount):
                granted += amount
            self.assertLessEqual(granted, burst + 3 * now + earned + 1e-6)
        self.assertEqual(bucket.spent, sum(amount for _, _, amount in steps))


class AccountTests(SynchronousTestCase):
    """
    L{Account} goes up and down.
    """

    def test_parent(self) -> None:
        """
        What is counted is part of what an account above counts.
        """
        above = Account()
        first, second = Account(above), Account(above)
        first.add(5)
        second.add(7)
        first.add(-2)
        self.assertEqual((first.held, second.held, above.held), (3, 7, 10))

    def test_close(self) -> None:
        """
        A closed account gives back what it counted, and counts nothing more.
        """
        above = Account()
        account = Account(above)
        account.add(5)
        account.close()
        account.add(-3)
        account.close()
        self.assertEqual((account.held, above.held), (0, 0))
