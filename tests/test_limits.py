"""
L{txh2session._limits}.
"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txh2session._limits import TokenBucket
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
