"""
L{txh2session._questions}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session._questions import Pings, SettingsChanges
from txh2session.errors import PingCancelled
from txh2session.settings import Settings


class PingsTests(SynchronousTestCase):
    """
    L{Pings}.
    """

    def setUp(self) -> None:
        """
        Make a clock, and room for three PINGs.
        """
        self.clock = Clock()
        self.pings = Pings(3)

    def tearDown(self) -> None:
        """
        Nothing is left in the clock.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answered(self) -> None:
        """
        An answer fires with the seconds it took, which are kept.
        """
        self.assertIsNone(self.pings.roundTripTime)
        payload, waiting = self.pings.ask(b"12345678", self.clock, None)
        self.assertEqual(payload, b"12345678")
        self.clock.advance(2)
        self.assertNoResult(waiting)
        self.pings.answered(payload, self.clock.seconds())
        self.assertEqual(self.successResultOf(waiting), 2)
        self.assertEqual(self.pings.roundTripTime, 2)

    def test_ownPayloads(self) -> None:
        """
        Payloads of our own have eight bytes and differ, answers find theirs in any order.
        """
        asked = [self.pings.ask(None, self.clock, None) for _ in range(3)]
        self.assertEqual({len(payload) for payload, _ in asked}, {8})
        self.assertEqual(len({payload for payload, _ in asked}), 3)
        for payload, waiting in reversed(asked):
            self.clock.advance(1)
            self.pings.answered(payload, self.clock.seconds())
            self.successResultOf(waiting)

    def test_wrongPayload(self) -> None:
        """
        A payload is eight bytes.
        """
        for wrong in (b"", b"1234567", b"123456789", "12345678", 5):
            payload: Any = wrong
            self.assertRaises(ValueError, self.pings.ask, payload, self.clock, 5)

    def test_tooMany(self) -> None:
        """
        Above the limit, or with a payload that waits already, a PING has failed at once and is not to be sent.
        """
        self.pings.ask(b"12345678", self.clock, None)
        payload, again = self.pings.ask(b"12345678", self.clock, 5)
        self.assertEqual(payload, b"")
        self.failureResultOf(again, PingCancelled)
        for _ in range(2):
            self.assertNoResult(self.pings.ask(None, self.clock, None)[1])
        payload, above = self.pings.ask(None, self.clock, 5)
        self.assertEqual(payload, b"")
        self.failureResultOf(above, PingCancelled)
        self.pings.answered(b"12345678", 0)
        self.assertNoResult(self.pings.ask(b"12345678", self.clock, None)[1])

    def test_unasked(self) -> None:
        """
        An answer nobody asked for, or a second one, is ignored.
        """
        self.pings.answered(b"12345678", 5)
        self.assertIsNone(self.pings.roundTripTime)
        payload, waiting = self.pings.ask(None, self.clock, None)
        self.pings.answered(payload, 1)
        self.pings.answered(payload, 9)
        self.assertEqual((self.successResultOf(waiting), self.pings.roundTripTime), (1, 1))

    def test_timeout(self) -> None:
        """
        Without an answer in time a PING fails, and makes room; the answer that comes late is ignored.
        """
        payload, waiting = self.pings.ask(None, self.clock, 5)
        self.clock.advance(4)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.assertIn("5", str(self.failureResultOf(waiting, PingCancelled).value))
        self.pings.answered(payload, 6)
        self.assertIsNone(self.pings.roundTripTime)
        self.assertEqual(self.pings.ask(payload, self.clock, None)[0], payload)

    def test_answeredInTime(self) -> None:
        """
        An answer in time calls the timeout off.
        """
        payload, waiting = self.pings.ask(None, self.clock, 5)
        self.pings.answered(payload, 1)
        self.successResultOf(waiting)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(10)

    def test_cancelled(self) -> None:
        """
        At the end of the session all fail with its error as the cause, and no timeout is left.
        """
        error = RuntimeError("the end")
        first = self.pings.ask(None, self.clock, 5)[1]
        second = self.pings.ask(None, self.clock, None)[1]
        self.pings.cancel(error)
        for waiting in (first, second):
            self.assertIs(self.failureResultOf(waiting, PingCancelled).value.__cause__, error)
        self.pings.cancel(None)

    def test_givenUp(self) -> None:
        """
        Who gives up waiting changes nothing else: the answer and the timeout still clean up.
        """
        payload, first = self.pings.ask(None, self.clock, 5)
        _, second = self.pings.ask(None, self.clock, 5)
        for each in (first, second):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.pings.answered(payload, 3)
        self.assertEqual(self.pings.roundTripTime, 3)
        self.clock.advance(5)

    def test_askedWhileCancelled(self) -> None:
        """
        One that is asked while the others are told that the session is over is no victim of that.
        """
        later = []
        self.pings.ask(b"12345678", self.clock, None)[1].addErrback(
            lambda _: later.append(self.pings.ask(b"12345678", self.clock, None)[1])
        )
        self.pings.cancel(None)
        [waiting] = later
        self.assertNoResult(waiting)
        self.pings.answered(b"12345678", 1)
        self.successResultOf(waiting)


class SettingsChangesTests(SynchronousTestCase):
    """
    L{SettingsChanges}.
    """

    def setUp(self) -> None:
        """
        Make a clock, and room for three changes.
        """
        self.clock = Clock()
        self.changes = SettingsChanges(3)
        self.expired: list[float] = []

    def late(self) -> None:
        """
        Note that an acknowledgement did not come.
        """
        self.expired.append(self.clock.seconds())

    def tearDown(self) -> None:
        """
        Nothing is left in the clock.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_order(self) -> None:
        """
        Acknowledgements come in the order of the frames, that of the preface first, each with the settings in force.
        """
        self.assertFalse(self.changes.pending)
        self.changes.started(self.clock, 10, self.late)
        first = self.changes.ask(self.clock, 10, self.late)
        second = self.changes.ask(self.clock, 10, self.late)
        settings = [Settings(maxConcurrentStreams=number) for number in range(3)]
        self.assertTrue(self.changes.pending)
        self.changes.answered(settings[0])
        self.assertNoResult(first)
        self.changes.answered(settings[1])
        self.assertIs(self.successResultOf(first), settings[1])
        self.assertNoResult(second)
        self.changes.answered(settings[2])
        self.assertIs(self.successResultOf(second), settings[2])
        self.assertFalse(self.changes.pending)

    def test_tooMany(self) -> None:
        """
        Above the limit, the preface's included, a change has failed at once.
        """
        self.changes.started(self.clock, 10, self.late)
        for _ in range(2):
            self.assertNoResult(self.changes.ask(self.clock, 10, self.late))
        self.failureResultOf(self.changes.ask(self.clock, 10, self.late), PingCancelled)
        self.changes.answered(Settings())
        self.assertNoResult(self.changes.ask(self.clock, 10, self.late))
        for _ in range(3):
            self.changes.answered(Settings())

    def test_late(self) -> None:
        """
        Without an acknowledgement in time the session is told; the one that comes late still counts, and so does the end.
        """
        self.changes.started(self.clock, 10, self.late)
        waiting = self.changes.ask(self.clock, 10, self.late)
        self.clock.advance(10)
        self.assertEqual(self.expired, [10.0, 10.0])
        self.changes.answered(Settings())
        self.assertNoResult(waiting)
        self.changes.cancel(None)
        self.failureResultOf(waiting, PingCancelled)

    def test_endedByTheTimeout(self) -> None:
        """
        What is told may end everything at once.
        """
        waiting = self.changes.ask(self.clock, 10, lambda: self.changes.cancel(None))
        other = self.changes.ask(self.clock, 20, self.late)
        self.clock.advance(10)
        for each in (waiting, other):
            self.failureResultOf(each, PingCancelled)
        self.clock.advance(10)
        self.assertEqual(self.expired, [])

    def test_noTimeout(self) -> None:
        """
        A time of 0 waits for ever.
        """
        self.changes.started(self.clock, 0, self.late)
        waiting = self.changes.ask(self.clock, 0, self.late)
        self.clock.advance(10**6)
        self.assertNoResult(waiting)
        self.assertEqual(self.expired, [])

    def test_cancelled(self) -> None:
        """
        At the end of the session all fail with its error as the cause, and no timeout is left.
        """
        error = RuntimeError("the end")
        self.changes.started(self.clock, 10, self.late)
        waiting = self.changes.ask(self.clock, 10, self.late)
        self.changes.cancel(error)
        self.assertIs(self.failureResultOf(waiting, PingCancelled).value.__cause__, error)
        self.assertFalse(self.changes.pending)
        self.changes.cancel(None)

    def test_unasked(self) -> None:
        """
        An acknowledgement nobody waits for is ignored, also after the end.
        """
        self.changes.answered(Settings())
        waiting = self.changes.ask(self.clock, 10, self.late)
        self.changes.cancel(None)
        self.failureResultOf(waiting, PingCancelled)
        self.changes.answered(Settings())

    def test_givenUp(self) -> None:
        """
        Who gives up waiting keeps his place in the order: the acknowledgement is still to come.
        """
        first = self.changes.ask(self.clock, 10, self.late)
        second = self.changes.ask(self.clock, 10, self.late)
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.changes.answered(Settings())
        self.assertNoResult(second)
        self.changes.answered(Settings())
        self.successResultOf(second)
