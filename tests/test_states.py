"""
L{txh2session._states}.
"""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from txh2session._states import Receiving, Sending, SessionState, nextSending, nextSessionState
from txh2session.errors import InvalidState

SESSION_STEPS = {
    (SessionState.CONNECTING, "connected"): SessionState.OPEN,
    (SessionState.CONNECTING, "close"): SessionState.CLOSING,
    (SessionState.CONNECTING, "destroy"): SessionState.DESTROYED,
    (SessionState.CONNECTING, "lost"): SessionState.GONE,
    (SessionState.OPEN, "close"): SessionState.CLOSING,
    (SessionState.OPEN, "destroy"): SessionState.DESTROYED,
    (SessionState.OPEN, "lost"): SessionState.GONE,
    (SessionState.CLOSING, "destroy"): SessionState.DESTROYED,
    (SessionState.CLOSING, "lost"): SessionState.GONE,
    (SessionState.DESTROYED, "lost"): SessionState.GONE,
}
SENDING_STEPS = {
    (Sending.HEADERS, "inform"): Sending.HEADERS,
    (Sending.HEADERS, "respond"): Sending.BODY,
    (Sending.BODY, "write"): Sending.BODY,
    (Sending.BODY, "end"): Sending.ENDED,
}


class SessionStateTests(SynchronousTestCase):
    """
    The life of a session.
    """

    def test_everyStep(self) -> None:
        """
        Each state goes where the drawing says, and any other step is misuse, said in a sentence.
        """
        for state, what in product(SessionState, ("connected", "close", "destroy", "lost")):
            after = SESSION_STEPS.get((state, what))
            if after is not None:
                self.assertIs(nextSessionState(state, what), after)
            else:
                error = self.assertRaises(InvalidState, nextSessionState, state, what)
                self.assertIn(f"a session that is {state.value} cannot be ", str(error))

    def test_sentences(self) -> None:
        """
        The sentences are English.
        """
        for what, said in (("close", "closed"), ("destroy", "destroyed"), ("connected", "connected"), ("lost", "lost")):
            error = self.assertRaises(InvalidState, nextSessionState, SessionState.GONE, what)
            self.assertEqual(str(error), f"a session that is gone cannot be {said}")

    def test_everyLifeEnds(self) -> None:
        """
        From every state a lost transport leads to the end, and nothing leads away from it.
        """
        for state in SessionState:
            if state is not SessionState.GONE:
                self.assertIs(nextSessionState(state, "lost"), SessionState.GONE)
        self.assertFalse([step for step in SESSION_STEPS if step[0] is SessionState.GONE])


class SendingTests(SynchronousTestCase):
    """
    The half of a stream that we send.
    """

    def test_everyStep(self) -> None:
        """
        Each state goes where the drawing says, and any other step is misuse.
        """
        for state, what in product(Sending, ("inform", "respond", "write", "end")):
            after = SENDING_STEPS.get((state, what))
            if after is not None:
                self.assertIs(nextSending(state, what), after)
            else:
                self.assertTrue(str(self.assertRaises(InvalidState, nextSending, state, what)))

    def test_sentences(self) -> None:
        """
        Misuse is told by the name of the method, and how it came to be misuse.
        """
        for state, what, said in (
            (Sending.BODY, "respond", "respond() was called before"),
            (Sending.ENDED, "write", "write() after end()"),
            (Sending.ENDED, "end", "end() was called before"),
            (Sending.ENDED, "inform", "informational responses go before respond()"),
            (Sending.RESET, "write", "write() on a closed stream"),
            (Sending.RESET, "end", "end() on a closed stream"),
            (Sending.RESET, "respond", "respond() on a closed stream"),
            (Sending.RESET, "inform", "additionalHeaders() on a closed stream"),
        ):
            self.assertEqual(str(self.assertRaises(InvalidState, nextSending, state, what)), said)

    def test_unexplained(self) -> None:
        """
        A step that nobody thought of is misuse as well, and told as far as it can be.
        """
        error = self.assertRaises(InvalidState, nextSending, Sending.HEADERS, "juggle")
        self.assertEqual(str(error), "cannot juggle on a stream that is before its headers")

    def test_words(self) -> None:
        """
        Both halves of a stream speak of their states in words, as snapshots show them.
        """
        self.assertEqual([each.value for each in Sending], ["before its headers", "sending its body", "ended", "reset"])
        self.assertEqual(
            [each.value for each in Receiving], ["before its headers", "receiving its body", "ended", "reset"]
        )
