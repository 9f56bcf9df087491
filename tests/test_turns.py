"""
L{txh2session._turns}: no connection keeps the others waiting for long, and none loses a byte for it.
"""

from __future__ import annotations

from itertools import cycle
from typing import Any

from hyperframe.frame import HeadersFrame
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ErrorCode, Headers, Server, ServerStream, SessionError, Settings
from txh2session.testing import FramePeer


class PassingClock(Clock):
    """
    A clock on which looking takes a microsecond.
    """

    def seconds(self) -> float:
        """See L{Clock}."""
        self.rightNow += 0.000_001
        return self.rightNow

    def once(self) -> None:
        """
        Make the calls that are due now, as a reactor does: those that they ask for come the next time.
        """
        due = [call for call in self.getDelayedCalls() if call.getTime() <= self.rightNow]
        for call in due:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class TurnsTests(SynchronousTestCase):
    """
    A server to which each request is half a millisecond's work.
    """

    def setUp(self) -> None:
        """
        Make the server.
        """
        self.clock = PassingClock()
        self.server = Server(self.work, clock=self.clock)
        self.paths: list[str | None] = []
        self.streams: list[ServerStream] = []
        self.peers: list[FramePeer] = []
        self.addCleanup(self.end)

    def end(self) -> None:
        """
        See that nothing is left to be done.
        """
        for peer in self.peers:
            peer.close()
        self.clock.advance(1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.server.sessions, set())

    def work(self, stream: ServerStream, headers: Headers) -> None:
        """
        Answer a request.
        """
        self.clock.rightNow += 0.0005
        self.paths.append(headers.path)
        self.streams.append(stream)
        stream.respond({":status": 200}, endStream=True)

    def finish(self) -> None:
        """
        Let the reactor go round.
        """
        for _ in range(80):
            self.clock.once()

    def connect(self) -> FramePeer:
        """
        Connect a client.
        """
        self.peers.append(FramePeer.toServer(self.server))
        return self.peers[-1]

    def ask(self, peer: FramePeer, name: str, number: int) -> None:
        """
        Send requests in one read.
        """
        requests = (peer.get(1 + 2 * each, f"/{name}{each}") for each in range(number))
        peer.send(*requests)

    def answered(self, peer: FramePeer) -> list[int]:
        """
        Take answers.

        @return: their streams.
        """
        return [frame.stream_id for frame in peer.take(HeadersFrame)]

    def named(self, name: str, first: int, end: int) -> list[str]:
        """
        Name requests.
        """
        return [f"/{name}{each}" for each in range(first, end)]

    def test_neighbour(self) -> None:
        """
        While one connection has much to do, another that asks for something little gets it; nothing is lost or out of
        order.
        """
        busy, quick = self.connect(), self.connect()
        self.ask(busy, "busy", 100)
        done = len(self.paths)
        self.assertTrue(0 < done < 30, done)
        self.assertEqual(len(self.answered(busy)), done)
        self.ask(quick, "quick", 1)
        self.assertEqual(self.answered(quick), [1])
        self.finish()
        self.assertEqual(self.paths, [*self.named("busy", 0, done), "/quick0", *self.named("busy", done, 100)])
        self.assertEqual(self.answered(busy), [1 + 2 * each for each in range(done, 100)])

    def test_recordByRecord(self) -> None:
        """
        What comes in many small reads without a pause, as one read of a transport does over TLS, is one turn; after a pause
        another begins.
        """
        peer = self.connect()
        for each in range(50):
            peer.send(peer.get(1 + 2 * each, f"/a{each}"))
        self.assertEqual(len(self.paths), 4)
        self.assertTrue(peer.transport.readingPaused)
        self.finish()
        self.assertEqual(self.paths, self.named("a", 0, 50))
        for each in range(50, 100):
            self.clock.rightNow += 0.001
            peer.send(peer.get(1 + 2 * each, f"/a{each}"))
        self.assertEqual(self.paths, self.named("a", 0, 100))

    def test_round(self) -> None:
        """
        Those who have much to do take turns, a few milliseconds for all of them before the reactor is asked again.
        """
        busy = [self.connect() for _ in range(3)]
        for number, peer in enumerate(busy):
            self.ask(peer, "abc"[number], 100)
        rounds: list[set[str]] = []
        while len(self.paths) < 300:
            began, before = self.clock.seconds(), len(self.paths)
            self.clock.once()
            rounds.append({path[1] for path in self.paths[before:] if path})
            self.assertLess(self.clock.seconds() - began, 0.01)
        self.assertEqual(set.union(*rounds[:3]), set("abc"))
        for name in "abc":
            self.assertEqual([path for path in self.paths if path and path[1] == name], self.named(name, 0, 100))

    def test_newcomer(self) -> None:
        """
        While others wait for their turns, one who comes with much has a brief one at once; one who comes with little is
        through with it.
        """
        busy, greedy, modest = self.connect(), self.connect(), self.connect()
        self.ask(busy, "a", 100)
        before = len(self.paths)
        for each in range(50):
            greedy.send(greedy.get(1 + 2 * each, f"/b{each}"))
        self.assertEqual(self.paths[before:], ["/b0"])
        self.ask(modest, "c", 1)
        self.assertEqual(self.paths[before:], ["/b0", "/c0"])
        self.finish()
        self.assertEqual([path for path in self.paths if path and path[1] == "b"], self.named("b", 0, 50))

    def test_readingPaused(self) -> None:
        """
        A connection that waits for its turn is not read; what comes all the same, as over TLS, waits behind.
        """
        peer = self.connect()
        self.ask(peer, "a", 50)
        self.assertTrue(peer.transport.readingPaused)
        peer.send(*(peer.get(101 + 2 * each, f"/b{each}") for each in range(10)))
        self.clock.once()
        self.assertTrue(peer.transport.readingPaused)
        self.finish()
        self.assertFalse(peer.transport.readingPaused)
        self.assertEqual(self.paths, self.named("a", 0, 50) + self.named("b", 0, 10))

    def test_lostMeanwhile(self) -> None:
        """
        What came before a connection was lost is taken in, at once.
        """
        peer = self.connect()
        self.ask(peer, "a", 100)
        self.assertLess(len(self.paths), 100)
        peer.close()
        self.assertEqual(self.paths, self.named("a", 0, 100))
        self.assertTrue(all(stream.closed for stream in self.streams))

    def test_destroyedMeanwhile(self) -> None:
        """
        Of a session that is destroyed nothing more is taken in, and the transport reads again, so that it can close.
        """
        peer = self.connect()
        self.ask(peer, "a", 100)
        (session,) = self.server.sessions
        before = len(self.paths)
        session.destroy(code=ErrorCode.ENHANCE_YOUR_CALM)
        self.assertFalse(peer.transport.readingPaused)
        self.finish()
        self.assertEqual(len(self.paths), before)
        self.assertEqual(peer.names()[-1].split()[0], "GOAWAY")

    def test_destroyedInItsTurn(self) -> None:
        """
        So it is if that happens in its turn.
        """
        peer = self.connect()
        self.ask(peer, "a", 100)
        before = len(self.paths)
        work = self.work

        def destroy(stream: ServerStream, headers: Headers) -> None:
            work(stream, headers)
            stream.session.destroy()

        self.server.streamReceived = destroy
        self.finish()
        self.assertLessEqual(len(self.paths), before + 1)
        self.assertFalse(peer.transport.readingPaused)

    def test_broken(self) -> None:
        """
        An exception out of a later turn is logged and ends that connection, as one out of the first does in Twisted.
        """
        peer, other = self.connect(), self.connect()
        self.ask(peer, "a", 100)
        (session,) = (stream.session for stream in self.streams[:1])

        def fail(*arguments: Any) -> None:
            raise LookupError("broken")

        self.patch(session, "bytesReceived", fail)
        self.ask(other, "b", 100)
        self.finish()
        self.assertEqual(len(self.flushLoggedErrors(LookupError)), 1)
        peer.take()
        self.assertTrue(peer.lost)
        self.assertIsInstance(self.failureResultOf(session.whenClosed()).value, SessionError)
        self.assertEqual([path for path in self.paths if path and path[1] == "b"], self.named("b", 0, 100))

    def test_cheap(self) -> None:
        """
        What costs little is taken in whole, however much it is.
        """
        pieces: list[int] = []
        peer = self.connect()
        peer.send(peer.post(1))
        (session,) = self.server.sessions
        received = session.bytesReceived

        def note(data: bytes, now: float) -> None:
            pieces.append(len(data))
            received(data, now)

        self.patch(session, "bytesReceived", note)
        for _ in range(5):
            peer.send(peer.data(1, bytes(16_384)))
        self.assertEqual(pieces[-2:], [16_393] * 2)
        self.assertFalse(peer.transport.readingPaused)


class AnyInputTests(SynchronousTestCase):
    """
    Whatever comes, in whatever reads, however long each thing takes.
    """

    @given(
        st.lists(st.integers(0, 3000), min_size=1, max_size=30),
        st.lists(st.integers(1, 20_000), max_size=30),
        st.lists(st.sampled_from([0.0, 0.000_05, 0.000_5, 0.005]), min_size=1, max_size=10),
        st.lists(st.booleans(), min_size=1, max_size=10),
    )
    def test_whole(self, sizes: list[int], reads: list[int], costs: list[float], turns: list[bool]) -> None:
        """
        Everything is taken in, once and in order, and the transport is read again in the end.

        @param sizes: bytes of the requests' bodies.
        @param reads: bytes of the reads, the last for the rest.
        @param costs: seconds that requests take.
        @param turns: whether the reactor goes round after a read.
        """
        clock = PassingClock()
        taken: list[tuple[str | None, bytes]] = []

        def work(stream: ServerStream, headers: Headers) -> None:
            clock.rightNow += next(cost)
            stream.read().addCallback(lambda body: taken.append((headers.path, body)))

        cost = cycle(costs)
        peer = FramePeer.toServer(Server(work, clock=clock, settings=Settings(maxConcurrentStreams=1000)))
        frames: list[Any] = []
        for number, size in enumerate(sizes):
            stream = 2 * number + 1
            frames += [peer.post(stream, f"/{number}"), peer.data(stream, bytes([number]) * size, end=True)]
        rest = b"".join(frame.serialize() for frame in frames)
        for size, turn in zip(reads, cycle(turns), strict=False):
            peer.sendBytes(rest[:size])
            rest = rest[size:]
            if turn:
                clock.once()
        peer.sendBytes(rest)
        for _ in range(200):
            clock.once()
        self.assertEqual(taken, [(f"/{number}", bytes([number]) * size) for number, size in enumerate(sizes)])
        self.assertFalse(peer.transport.readingPaused)
        peer.close()
