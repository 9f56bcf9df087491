"""
RFC 9218: L{txh2session._priority}, the C{priority} field, PRIORITY_UPDATE, and what they do to the order of bodies.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession, Server, ServerStream
from txh2session._frames import buildFrame, buildPriorityUpdate
from txh2session._priority import Priority, parsePriority
from txh2session.testing import FramePeer


class ParseTests(SynchronousTestCase):
    """
    L{parsePriority} reads dictionaries of RFC 8941.
    """

    def test_good(self) -> None:
        """
        Both members, in any order, with unknown ones and parameters; the last of two counts.
        """
        for value, expected in {
            b"": (3, False),
            b"u=0": (0, False),
            b"u=7, i": (7, True),
            b" i ,u=1 ": (1, True),
            b"i=?1": (3, True),
            b"i=?0": (3, False),
            b"u=1, u=5": (5, False),
            b'u=2;x=1, other="a\\"b", more=abc/def, n=-1.5, b=:aGk=:': (2, False),
        }.items():
            self.assertEqual(parsePriority(value), expected, value)

    def test_outOfRange(self) -> None:
        """
        Values out of range or of another kind are ignored one by one.
        """
        for value in (b"u=8", b"u=-1", b"u=1.5", b"u", b"u=?1", b"i=1", b"i=yes"):
            self.assertEqual(parsePriority(value), (3, False), value)

    def test_bad(self) -> None:
        """
        What is no dictionary is ignored whole.
        """
        for value in (b"u=", b"U=1", b"u=1,", b",", b"u 1", b"=1", b"u=1;;", b"i=?2", b"\xff"):
            self.assertIsNone(parsePriority(value), value)

    @given(st.integers(0, 7), st.booleans())
    def test_roundTrip(self, urgency: int, incremental: bool) -> None:
        """
        What is written is read again.
        """
        self.assertEqual(parsePriority(Priority(urgency, incremental).field), (urgency, incremental))

    @given(st.binary(max_size=50))
    def test_anything(self, value: bytes) -> None:
        """
        Nothing raises, and what comes out is in range.
        """
        found = parsePriority(value)
        if found is not None:
            self.assertIn(found.urgency, range(8))

    def test_checked(self) -> None:
        """
        An application's urgency is checked.
        """
        self.assertEqual(Priority.checked(0, True), (0, True))
        for urgency in (-1, 8, 1.0, "1", True, None):
            with self.assertRaises(ValueError):
                Priority.checked(urgency, False)  # type: ignore[arg-type]


class OrderTests(SynchronousTestCase):
    """
    A server's answers, as a client that reads slowly sees them.
    """

    def setUp(self) -> None:
        """
        Make a server that keeps its streams, and a client with large windows for streams but not for the connection.
        """
        self.clock = Clock()
        self.streams: list[ServerStream] = []
        self.server = Server(lambda stream, headers: self.streams.append(stream), clock=self.clock)
        self.peer = FramePeer.toServer(self.server, start=False)
        self.peer.start(INITIAL_WINDOW_SIZE=1_000_000)

    def ask(self, *priorities: str | None) -> None:
        """
        Send a request for each priority, answer all, and use up the connection's first window.
        """
        for number, priority in enumerate(priorities):
            extra = [] if priority is None else [("priority", priority)]
            self.peer.send(self.peer.get(2 * number + 1, "/", *extra))
        for stream in self.streams:
            stream.respond()
        self.peer.send(self.peer.get(99, "/", ("priority", "u=0")))
        self.streams.pop().end(b"x" * 65535)
        self.peer.take()
        for stream in self.streams:
            stream.end(b"y" * 40_000)

    def order(self, *, frames: int = 100) -> list[int]:
        """
        Open the connection's window and tell whose frames come.
        """
        self.peer.send(self.peer.window(0, 16384 * frames))
        return [frame.stream_id for frame in self.peer.take() if hasattr(frame, "pad_length")]

    def test_urgency(self) -> None:
        """
        The lower urgency goes first, whatever the order of the requests.
        """
        self.ask("u=5", "u=1", "u=3", None)
        self.assertEqual(self.order(), [3] * 3 + [5] * 3 + [7] * 3 + [1] * 3)

    def test_incremental(self) -> None:
        """
        Incremental answers take turns; the others go one after the other.
        """
        self.ask("u=4, i", "u=4, i", "u=2", "u=2")
        self.assertEqual(self.order(), [5] * 3 + [7] * 3 + [1, 3] * 3)

    def test_noSignal(self) -> None:
        """
        Answers that nobody gave a priority take turns.
        """
        self.ask(None, None, None)
        self.assertEqual(self.order(), [1, 3, 5] * 3)

    def test_priorityUpdate(self) -> None:
        """
        PRIORITY_UPDATE changes the order of open streams.
        """
        self.ask("u=3", "u=3", "u=3")
        self.peer.sendBytes(buildPriorityUpdate(5, b"u=0"))
        self.assertEqual(self.order(), [5] * 3 + [1] * 3 + [3] * 3)

    def test_earlyPriorityUpdate(self) -> None:
        """
        PRIORITY_UPDATE may come before its request, and counts more than the request's field.
        """
        self.peer.sendBytes(buildPriorityUpdate(3, b"u=0"))
        self.ask("u=1", "u=7")
        self.assertEqual(self.order(), [3] * 3 + [1] * 3)

    def test_reprioritize(self) -> None:
        """
        The server's application may change the order.
        """
        self.ask("u=3", "u=3")
        self.streams[1].reprioritize(1)
        self.assertEqual(self.order(), [3] * 3 + [1] * 3)
        with self.assertRaises(ValueError):
            self.streams[0].reprioritize(8)

    def test_badUpdates(self) -> None:
        """
        PRIORITY_UPDATE on a stream, about stream 0, or too short ends the connection; a value that is no dictionary, and
        one about a stream that is over, are ignored (RFC 9218 section 7.1).
        """
        self.ask("u=1", "u=2")
        self.peer.sendBytes(buildPriorityUpdate(1, b"u=") + buildPriorityUpdate(99, b"u=1"))
        self.assertEqual(self.order(), [1] * 3 + [3] * 3)
        for data, code in (
            (buildFrame(0x10, 0, 1, bytes(4)), "PROTOCOL_ERROR"),
            (buildPriorityUpdate(0, b""), "PROTOCOL_ERROR"),
            (buildPriorityUpdate(2, b""), "PROTOCOL_ERROR"),
            (buildFrame(0x10, 0, 0, bytes(3)), "FRAME_SIZE_ERROR"),
        ):
            self.setUp()
            self.peer.sendBytes(data)
            self.assertEqual(self.peer.names(), [f"GOAWAY 0 {code}"])

    def test_earlyUpdatesAreBounded(self) -> None:
        """
        Priorities of requests that never come are kept for no more streams than may be open.
        """
        self.peer.sendBytes(b"".join(buildPriorityUpdate(number, b"u=1") for number in range(1, 1001, 2)))
        engine: Any = next(iter(self.server.sessions))._engine
        self.assertEqual(len(engine._earlyPriorities), 100)
        self.peer.sendBytes(buildPriorityUpdate(1, b"u=2"))
        self.assertEqual(engine._earlyPriorities[1].urgency, 2)

    def test_earlyUpdatesOfRequestsThatNeverCome(self) -> None:
        """
        They do not keep the priorities of later requests from being kept.
        """
        self.peer.sendBytes(b"".join(buildPriorityUpdate(number, b"u=1") for number in range(501, 701, 2)))
        self.peer.send(self.peer.get(701, "/"))
        self.peer.sendBytes(buildPriorityUpdate(705, b"u=0"))
        self.peer.send(self.peer.get(703, "/", ("priority", "u=1")), self.peer.get(705, "/", ("priority", "u=7")))
        for stream in self.streams:
            stream.respond()
        self.streams.pop(0).end(b"x" * 65535)
        self.peer.take()
        for stream in self.streams:
            stream.end(b"y" * 40_000)
        self.assertEqual(self.order(), [705] * 3 + [703] * 3)


class ClientTests(SynchronousTestCase):
    """
    A client that asks for an order.
    """

    def test_reprioritize(self) -> None:
        """
        C{reprioritize} sends PRIORITY_UPDATE, or waits with the request it is about.
        """
        session = ClientSession("http", "a")
        peer = FramePeer.toClient(session, Clock())
        stream = session.request(priority="u=5")
        peer.take()
        stream.reprioritize(1, incremental=True)
        (update,) = peer.take()
        self.assertEqual((update.type, update.body), (0x10, bytes([0, 0, 0, 1]) + b"u=1, i"))
        peer.settings(MAX_CONCURRENT_STREAMS=1)
        peer.take()
        late = session.request()
        late.reprioritize(2)
        self.assertEqual(peer.take(), [])
        peer.send(peer.response(1, end=True))
        headers, update = peer.take()
        self.assertEqual((headers.stream_id, update.body), (3, bytes([0, 0, 0, 3]) + b"u=2"))
        with self.assertRaises(ValueError):
            late.reprioritize(9)

    def test_updateFromAServer(self) -> None:
        """
        PRIORITY_UPDATE from a server ends the connection.
        """
        session = ClientSession("http", "a")
        peer = FramePeer.toClient(session, Clock())
        peer.sendBytes(buildPriorityUpdate(1, b"u=1"))
        self.assertEqual(peer.names(), ["GOAWAY 0 PROTOCOL_ERROR"])
