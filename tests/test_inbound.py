"""
L{txh2session._inbound}.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from txh2session._inbound import ReceiveBuffer


class Reader:
    """
    A reader that notes what it is told, and may do something at it.
    """

    def __init__(self) -> None:
        self.told: list[bytes] = []
        self.ends: list[Exception | None] = []
        self.atBody: Callable[[bytes], object] = lambda data: None
        self.atEnd: Callable[[], object] = lambda: None

    def bodyReceived(self, data: bytes) -> None:
        """
        Note bytes.
        """
        assert not self.ends, "bytes after the end"
        assert type(data) is bytes
        self.told.append(data)
        self.atBody(data)

    def bodyEnded(self, error: Exception | None) -> None:
        """
        Note the end.
        """
        self.ends.append(error)
        self.atEnd()

    @property
    def body(self) -> bytes:
        """
        All that was told.
        """
        return b"".join(self.told)


class ReceiveBufferTests(SynchronousTestCase):
    """
    L{ReceiveBuffer}.
    """

    def setUp(self) -> None:
        """
        Make a buffer, its reader and a list of its credit.
        """
        self.credit: list[int] = []
        self.buffer = ReceiveBuffer(self.credit.append)
        self.reader = Reader()
        self.error = RuntimeError("cut")

    def check(self, body: bytes, *ends: Exception | None) -> None:
        """
        Look at what the reader was told, and that it was all credited.
        """
        self.assertEqual(self.reader.body, body)
        self.assertEqual(self.reader.ends, list(ends))
        self.assertEqual(sum(self.credit), len(body))

    def test_atOnce(self) -> None:
        """
        While somebody reads, bytes are delivered and credited as they come.
        """
        self.buffer.attach(self.reader)
        for data in (b"a", b"", b"bc"):
            self.buffer.received(data)
        self.assertEqual(self.reader.told, [b"a", b"bc"])
        self.assertEqual(self.credit, [1, 2])
        self.buffer.end()
        self.check(b"abc", None)

    def test_held(self) -> None:
        """
        While nobody reads, bytes and the end are held and nothing is credited.
        """
        self.buffer.received(b"a")
        self.buffer.received(b"bc")
        self.buffer.end()
        self.assertEqual((self.buffer.size, self.credit), (3, []))
        self.buffer.attach(self.reader)
        self.assertEqual(self.reader.told, [b"a", b"bc"])
        self.check(b"abc", None)
        self.assertEqual(self.buffer.size, 0)

    def test_creditBeforeDelivery(self) -> None:
        """
        Bytes are credited by the time the reader has them, so that what it does about the peer's window comes after.
        """
        self.reader.atBody = lambda data: self.assertEqual(sum(self.credit), len(self.reader.body))
        self.buffer.received(b"abc")
        self.buffer.attach(self.reader)
        self.buffer.received(b"de")
        self.check(b"abcde")

    def test_paused(self) -> None:
        """
        While paused nothing is delivered, not even the end; resuming delivers it all.
        """
        self.buffer.attach(self.reader)
        self.buffer.pause()
        self.buffer.received(b"abc")
        self.buffer.end()
        self.check(b"")
        self.buffer.resume()
        self.check(b"abc", None)
        self.buffer.resume()
        self.check(b"abc", None)

    def test_pausedBeforeAttaching(self) -> None:
        """
        A pause before anybody reads holds as well.
        """
        self.buffer.pause()
        self.buffer.received(b"abc")
        self.buffer.attach(self.reader)
        self.check(b"")
        self.buffer.resume()
        self.check(b"abc")

    def test_firstEndCounts(self) -> None:
        """
        Only the first end is told, and once.
        """
        self.buffer.attach(self.reader)
        self.buffer.end(self.error)
        self.buffer.end()
        self.buffer.abandon(RuntimeError("later"))
        self.check(b"", self.error)

    def test_endWithError(self) -> None:
        """
        What is held when a body is cut short is delivered before the error.
        """
        self.buffer.received(b"abc")
        self.buffer.end(self.error)
        self.buffer.attach(self.reader)
        self.check(b"abc", self.error)

    def test_abandoned(self) -> None:
        """
        What is held when a body is abandoned is thrown away and credited, and the reader told at once, paused or not.
        """
        self.buffer.attach(self.reader)
        self.buffer.pause()
        self.buffer.received(b"abc")
        self.buffer.abandon(self.error)
        self.assertEqual((self.reader.told, self.reader.ends), ([], [self.error]))
        self.assertEqual((sum(self.credit), self.buffer.size), (3, 0))

    def test_abandonedBehindItsEnd(self) -> None:
        """
        A body whose end waited behind a pause does not pass for whole once it was thrown away.
        """
        self.buffer.attach(self.reader)
        self.buffer.pause()
        self.buffer.received(b"abc")
        self.buffer.end()
        self.buffer.abandon(self.error)
        self.assertEqual((self.reader.told, self.reader.ends), ([], [self.error]))

    def test_abandonedWithoutReader(self) -> None:
        """
        Who comes to read an abandoned body is told so.
        """
        self.buffer.received(b"abc")
        self.buffer.abandon(self.error)
        self.buffer.attach(self.reader)
        self.assertEqual((self.reader.told, self.reader.ends, sum(self.credit)), ([], [self.error], 3))

    def test_afterTheEnd(self) -> None:
        """
        Bytes after the end are thrown away and credited, whether or not the end was told.
        """
        self.buffer.received(b"abc")
        self.buffer.end()
        self.buffer.received(b"de")
        self.assertEqual(self.credit, [2])
        self.buffer.attach(self.reader)
        self.buffer.received(b"f")
        self.assertEqual((self.reader.body, self.reader.ends), (b"abc", [None]))
        self.assertEqual(sum(self.credit), 6)

    def test_pauseInside(self) -> None:
        """
        A reader that pauses while it is told gets no more until it resumes.
        """
        self.reader.atBody = lambda data: self.buffer.pause()
        for data in (b"a", b"b"):
            self.buffer.received(data)
        self.buffer.end()
        self.buffer.attach(self.reader)
        self.check(b"a")
        self.buffer.resume()
        self.check(b"ab")
        self.buffer.resume()
        self.check(b"ab", None)

    def test_pauseAndResumeInside(self) -> None:
        """
        A reader that pauses and resumes while it is told is told each thing once, in order, and not inside itself.
        """
        depth = [0]

        def inside(data: bytes) -> None:
            self.assertEqual(depth[0], 0)
            depth[0] += 1
            self.buffer.pause()
            self.buffer.resume()
            depth[0] -= 1

        self.reader.atBody = inside
        for data in (b"a", b"b", b"c"):
            self.buffer.received(data)
        self.buffer.attach(self.reader)
        self.buffer.received(b"d")
        self.buffer.end()
        self.assertEqual(self.reader.told, [b"a", b"b", b"c", b"d"])
        self.check(b"abcd", None)

    def test_receivedInside(self) -> None:
        """
        Bytes, and the end, that come while the reader is told come after what it is being told.
        """

        def inside(data: bytes) -> None:
            if data == b"a":
                self.buffer.received(b"b")
                self.buffer.end()
                self.assertEqual((self.reader.body, self.reader.ends), (b"a", []))

        self.reader.atBody = inside
        self.buffer.attach(self.reader)
        self.buffer.received(b"a")
        self.check(b"ab", None)

    def test_abandonInside(self) -> None:
        """
        A reader that gives up while it is told is told the end when it returns, and no more bytes.
        """
        self.reader.atBody = lambda data: self.buffer.abandon(self.error)
        for data in (b"a", b"b"):
            self.buffer.received(data)
        self.buffer.attach(self.reader)
        self.assertEqual((self.reader.told, self.reader.ends), ([b"a"], [self.error]))
        self.assertEqual(sum(self.credit), 2)

    def test_endInsideTheEnd(self) -> None:
        """
        Whatever a reader does when it is told the end, it is not told again.
        """

        def inside() -> None:
            self.buffer.resume()
            self.buffer.end(self.error)
            self.buffer.abandon(self.error)
            self.buffer.received(b"x")

        self.reader.atEnd = inside
        self.buffer.attach(self.reader)
        self.buffer.end()
        self.assertEqual((self.reader.told, self.reader.ends), ([], [None]))

    def test_readerRaises(self) -> None:
        """
        What a reader raises reaches the caller; the bytes count as read, and abandoning tells the reader the end.
        """
        self.reader.atBody = self.raising
        self.buffer.attach(self.reader)
        self.assertRaises(ZeroDivisionError, self.buffer.received, b"abc")
        self.assertEqual(self.credit, [3])
        self.buffer.abandon(self.error)
        self.check(b"abc", self.error)

    def raising(self, data: bytes) -> None:
        """
        Fail.
        """
        raise ZeroDivisionError

    def test_readerRaisesAtAttaching(self) -> None:
        """
        A reader that raises at the first of what was held gets the rest with the next bytes, if nobody abandons it.
        """
        self.reader.atBody = self.raising
        for data in (b"a", b"b"):
            self.buffer.received(data)
        self.assertRaises(ZeroDivisionError, self.buffer.attach, self.reader)
        self.reader.atBody = lambda data: None
        self.buffer.received(b"c")
        self.check(b"abc")

    def test_readerEndsAndRaises(self) -> None:
        """
        A reader that raises after it has brought the body to its end is told the end all the same, since nobody else
        will.
        """

        def inside(data: bytes) -> None:
            self.buffer.received(b"held")
            self.buffer.end(self.error)
            raise ZeroDivisionError

        self.reader.atBody = inside
        self.buffer.attach(self.reader)
        self.assertRaises(ZeroDivisionError, self.buffer.received, b"a")
        self.assertEqual((self.reader.told, self.reader.ends), ([b"a"], [self.error]))
        self.assertEqual((sum(self.credit), self.buffer.size), (5, 0))

    def test_wholeBodyDoesNotSurviveItsReader(self) -> None:
        """
        A body that ended well while its reader failed does not look whole to that reader.
        """

        def inside(data: bytes) -> None:
            self.buffer.received(b"held")
            self.buffer.end()
            raise ZeroDivisionError

        self.reader.atBody = inside
        self.buffer.attach(self.reader)
        self.assertRaises(ZeroDivisionError, self.buffer.received, b"a")
        [error] = self.reader.ends
        self.assertIsInstance(error, ZeroDivisionError)

    def test_tinyChunks(self) -> None:
        """
        A body that comes in tiny pieces while nobody reads costs little more than its bytes.
        """
        pieces = 50000
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(pieces):
                self.buffer.received(number.to_bytes(2, "big"))
            held = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        self.assertLess(held, 4 * 2 * pieces)
        self.assertEqual(self.buffer.size, 2 * pieces)
        self.buffer.attach(self.reader)
        self.check(b"".join(number.to_bytes(2, "big") for number in range(pieces)))


class BufferMachine(RuleBasedStateMachine):
    """
    Any order of calls, from outside and from inside the reader, against a plain model.
    """

    @initialize()
    def start(self) -> None:
        """
        Begin with nothing.
        """
        self.credited = 0
        self.sent = self.dropped = b""
        self.held: bytes = b""
        self.ended = self.paused = self.attached = self.told = False
        self.buffer = ReceiveBuffer(self.take)
        self.reader = Reader()
        self.reader.atBody = self.inside
        self.script: list[str] = []
        self.expected = b""
        self.running = False

    def take(self, size: int) -> None:
        """
        Count credit.
        """
        assert size > 0
        self.credited += size

    def inside(self, data: bytes) -> None:
        """
        Do what is next in the script while the reader is being told.
        """
        self.modelDeliver(len(data))
        assert not self.paused
        if self.script:
            what = self.script.pop(0)
            if what == "raise":
                raise ZeroDivisionError
            self.act(what, b"xy")

    def modelDeliver(self, size: int) -> None:
        """
        Move bytes from what is held to what the reader must have been told.
        """
        self.expected += self.held[:size]
        self.held = self.held[size:]

    def act(self, what: str, data: bytes) -> None:
        """
        Make one call, and say first what it means.
        """
        if what == "received":
            if self.ended:
                self.dropped += data
            else:
                self.held += data
            self.buffer.received(data)
        elif what == "pause":
            self.paused = True
            self.buffer.pause()
        elif what == "resume":
            self.paused = False
            self.buffer.resume()
        elif what == "end":
            self.ended = True
            self.buffer.end()
        elif what == "abandon":
            self.dropped += self.held
            self.held = b""
            self.ended = True
            self.paused = False
            self.buffer.abandon(RuntimeError("abandoned"))
        elif what == "attach":
            self.attached = True
            self.buffer.attach(self.reader)

    @rule(
        what=st.sampled_from(["received", "received", "pause", "resume", "resume", "end", "abandon"]),
        data=st.binary(max_size=4),
        script=st.lists(st.sampled_from(["received", "pause", "resume", "end", "abandon", "raise"]), max_size=3),
    )
    def call(self, what: str, data: bytes, script: list[str]) -> None:
        """
        Make one call from outside.
        """
        self.script = script
        try:
            self.act(what, data)
        except ZeroDivisionError:
            self.afterRaising()
        self.script = []

    @precondition(lambda self: not self.attached)
    @rule(script=st.lists(st.sampled_from(["received", "pause", "resume", "end", "abandon", "raise"]), max_size=3))
    def attach(self, script: list[str]) -> None:
        """
        Have the reader read.
        """
        self.script = script
        try:
            self.act("attach", b"")
        except ZeroDivisionError:
            self.afterRaising()
        self.script = []

    def afterRaising(self) -> None:
        """
        Do what a stream does when its reader raises: abandon the body.
        """
        if self.ended and not self.paused:
            assert self.reader.ends, "the end was not told"
        self.act("abandon", b"")

    @invariant()
    def agrees(self) -> None:
        """
        The reader was told what the model says, all of it is credited or held, and the end came once and last.
        """
        assert self.reader.body == self.expected
        assert self.buffer.size == len(self.held)
        assert self.credited == len(self.expected) + len(self.dropped)
        if self.attached and not self.paused:
            assert not self.held
        assert len(self.reader.ends) == (1 if self.tellsEnd() else 0)

    def tellsEnd(self) -> bool:
        """
        Whether the end must have been told by now.
        """
        self.told = self.told or (self.ended and self.attached and not self.paused and not self.held)
        return self.told


class AnyOrderTests(SynchronousTestCase):
    """
    L{ReceiveBuffer} against L{BufferMachine}.
    """

    def test_anyOrder(self) -> None:
        """
        In any order of calls the bytes are delivered once and in order, credited as they are delivered or thrown away,
        and the end is told once, after the last of them.
        """
        run_state_machine_as_test(BufferMachine)
