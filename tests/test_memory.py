"""
What a session holds in memory, and what happens when it is too much.
"""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fixtures import Recorder, TwoSessions
from txh2session import ErrorCode, Limits, Server, ServerStream, SessionError, Settings, StreamError
from txh2session._streams import STREAM_BYTES
from txh2session.testing import FramePeer, connectedSessions, requestFields


class SessionBytesTests(SynchronousTestCase):
    """
    C{Limits.sessionBytes}.
    """

    def serve(self, limit: int, **settings: int) -> FramePeer:
        """
        Make a server that keeps its streams, with a limit above what an idle session holds, and a client.
        """
        self.log: list[Any] = []
        self.streams: list[ServerStream] = []
        idle = 8192  # the two HPACK tables
        server = Server(
            lambda stream, headers: self.streams.append(stream),
            clock=Clock(),
            limits=Limits(sessionBytes=idle + limit),
            listener=Recorder(self.log),
        )
        peer = FramePeer.toServer(server, start=False)
        peer.start(**settings)
        self.log.clear()
        (self.session,) = server.sessions
        self.assertEqual(self.session.state.heldBytes, idle)
        return peer

    def refused(self, peer: FramePeer, streamID: int) -> None:
        """
        Assert that a request is refused, before the application sees it, and that the session lives on.
        """
        before = len(self.streams)
        peer.send(peer.get(streamID), peer.ping())
        self.assertEqual(peer.names(), [f"RST_STREAM {streamID} ENHANCE_YOUR_CALM", "PING ACK"])
        self.assertEqual(len(self.streams), before)
        self.assertIn(("limit", "sessionBytes"), self.log)
        self.assertFalse(self.session.destroyed)

    def taken(self, peer: FramePeer, streamID: int) -> None:
        """
        Assert that a request reaches the application.
        """
        peer.send(peer.get(streamID))
        self.assertEqual(self.streams[-1].id, streamID)

    def test_queued(self) -> None:
        """
        What waits to be sent counts; once it has gone, requests are served again (15.6).
        """
        peer = self.serve(100_000, INITIAL_WINDOW_SIZE=0)
        self.taken(peer, 1)
        self.streams[0].end(b"x" * 110_000)
        peer.take()
        self.refused(peer, 3)
        peer.send(peer.window(1, 60_000))
        peer.take()
        self.taken(peer, 5)
        self.assertEqual(self.session.state.queuedBytes, 50_000)

    def test_queuedOfAResetStream(self) -> None:
        """
        What was queued on a stream that is reset counts no more.
        """
        peer = self.serve(100_000, INITIAL_WINDOW_SIZE=0)
        self.taken(peer, 1)
        self.streams[0].end(b"x" * 110_000)
        peer.send(peer.reset(1))
        peer.take()
        self.assertEqual(self.session.state.heldBytes, 8192)
        self.taken(peer, 3)

    def test_unread(self) -> None:
        """
        What arrived and nobody has read counts until somebody does.
        """
        peer = self.serve(50_000)
        peer.send(peer.post(1), *(peer.data(1, b"x" * 16384) for _ in range(3)))
        self.refused(peer, 3)
        body = self.streams[0].read()
        peer.send(peer.data(1, b"", end=True))
        self.assertEqual(len(self.successResultOf(body)), 3 * 16384)
        peer.take()
        self.taken(peer, 5)

    def test_streams(self) -> None:
        """
        Open streams count, with their headers, as long as they are open.
        """
        peer = self.serve(20 * STREAM_BYTES)
        for streamID in range(1, 20, 2):
            peer.send(peer.headers(streamID, [*requestFields(), ("x", "y" * 3000)], end=True))
        self.assertLess(len(self.streams), 10)
        names = peer.names()
        self.assertEqual(names.count(f"RST_STREAM {2 * len(self.streams) + 1} ENHANCE_YOUR_CALM"), 1)
        for stream in self.streams:
            stream.end()
        self.assertEqual(self.session.state.heldBytes, 8192)
        peer.take()
        self.taken(peer, 21)

    def test_restOfADeadSession(self) -> None:
        """
        Of a session that has ended nothing is held: no frame that was cut off, no reply that nobody took.
        """
        peer = self.serve(10_000)
        peer._protocol.pauseProducing()
        peer.send(peer.post(1), peer.ping())
        peer.sendBytes(peer.data(1, b"x" * 1000).serialize()[:500])
        self.assertGreaterEqual(self.session.state.heldBytes, 8192 + 500 + 17)
        peer.abort()
        self.assertEqual(self.session.state.heldBytes, 8192)

    def test_closedStreams(self) -> None:
        """
        Streams that are over are forgotten: from its thousandth request on a session takes no more memory.
        """
        peer = self.serve(10_000_000)
        taken: list[int] = []
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for streamID in range(1, 8001, 2):
            peer.send(peer.get(streamID))
            self.streams.pop().end()
            peer.take()
            self.log.clear()
            if streamID % 2000 == 1999:
                gc.collect()
                taken.append(tracemalloc.get_traced_memory()[0])
        self.assertLess(max(taken[1:]) - taken[0], 20_000, taken)

    def test_inARow(self) -> None:
        """
        Somebody who goes on without end is cut off as for any refused streams.
        """
        peer = self.serve(100)
        self.taken(peer, 1)
        peer.send(*(peer.get(streamID) for streamID in range(3, 3 + 2 * 101, 2)))
        self.assertEqual(peer.names()[-1], "GOAWAY 1 ENHANCE_YOUR_CALM")
        self.failureResultOf(self.session.whenClosed(), SessionError)
        self.assertEqual(self.session.state.heldBytes, 8192)

    def test_client(self) -> None:
        """
        The client whose request was refused hears a code that is not REFUSED_STREAM: coming back at once does not help.
        """
        streams: list[ServerStream] = []
        both = connectedSessions(
            lambda stream, headers: streams.append(stream),
            limits=Limits(sessionBytes=8192 + 1000),
            clientSettings=Settings(initialWindowSize=0),
        )
        first = both.client.request()
        both.pump()
        streams[0].end(b"x" * 2000)
        second = both.client.request()
        both.pump()
        error = self.failureResultOf(second.whenResponse(), StreamError).value
        self.assertEqual(error.code, ErrorCode.ENHANCE_YOUR_CALM)
        self.assertFalse(first.closed)


class MaxBytesTests(SynchronousTestCase):
    """
    C{Server(maxBytes=...)}.
    """

    def test_maxBytes(self) -> None:
        """
        While all sessions together hold too much, every one of them refuses new streams, which may be sent again; what ends
        with its session counts no more.
        """
        streams: list[ServerStream] = []
        log: list[Any] = []
        server = Server(
            lambda stream, headers: streams.append(stream), clock=Clock(), maxBytes=100_000, listener=Recorder(log)
        )
        first, second = FramePeer.toServer(server), FramePeer.toServer(server)
        first.send(first.post(1), *(first.data(1, b"x" * 16384) for _ in range(3)))
        second.send(second.get(1))
        streams[-1].end(b"x" * 120_000)
        self.assertGreater(server.heldBytes, 100_000)
        for peer in (first, second):
            peer.take()
            peer.send(peer.get(3), peer.ping())
            self.assertEqual(peer.names(), ["RST_STREAM 3 REFUSED_STREAM", "PING ACK"])
        self.assertEqual(log.count(("limit", "maxBytes")), 2)
        self.assertEqual(len(streams), 2)
        second.close()
        self.assertLess(server.heldBytes, 100_000)
        first.send(first.get(5))
        self.assertEqual(streams[-1].id, 5)
        first.abort()
        self.assertEqual(server.heldBytes, 0)


class HeldTests(TwoSessions):
    """
    C{session.state.heldBytes} of both roles.
    """

    def test_backToNothing(self) -> None:
        """
        After any number of streams, ended in any way, nothing is held but the tables.
        """
        near, far, both = self.connected()
        idle = near.state.heldBytes
        for number in range(6):
            mine, theirs = self.openStreams(both, 3)
            for stream in (*mine, *theirs):
                stream.write(b"x" * 70_000 * (number + 1))
            both.pump()
            mine[0].close(ErrorCode.CANCEL)
            theirs[1].destroy()
            reading = [mine[2].read(), theirs[2].read()]
            for stream in (mine[2], theirs[2]):
                stream.end(trailers={"a": "b"})
            both.pump()
            for body in reading:
                self.assertEqual(len(self.successResultOf(body)), 70_000 * (number + 1))  # type: ignore[attr-defined]
        state = near.state
        self.assertEqual((state.localStreams, state.remoteStreams), (0, 0))  # type: ignore[attr-defined]
        self.assertEqual(state.heldBytes, idle)  # type: ignore[attr-defined]

    def test_destroyed(self) -> None:
        """
        A session that was destroyed holds nothing.
        """
        near, far, both = self.connected()
        mine, theirs = self.openStreams(both, 1)
        mine[0].write(b"x" * 500_000)
        theirs[0].write(b"x" * 500_000)
        both.pump()
        self.assertGreater(near.state.heldBytes, 200_000)  # type: ignore[attr-defined]
        near.destroy()
        both.pump()
        self.assertLessEqual(near.state.heldBytes, 8192)  # type: ignore[attr-defined]


class HeldByClientTests(HeldTests, SynchronousTestCase):
    """
    A client.
    """

    role = "client"


class HeldByServerTests(HeldTests, SynchronousTestCase):
    """
    A server.
    """

    role = "server"


class IdleTests(SynchronousTestCase):
    """
    Sessions that have done their work.
    """

    def test_smallEnough(self) -> None:
        """
        A server's session that is idle takes 26,000 bytes of Python's objects at most, its transport included.
        """
        server = Server(lambda stream, headers: stream.end(b"answer"), clock=Clock())
        transports: list[Any] = []

        def served() -> None:
            peer = FramePeer.toServer(server)
            peer.send(peer.get(1))
            self.assertIn("HEADERS 1 200", peer.names())
            transports.append(peer.transport)

        def measured() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        served()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = measured()
        for _ in range(50):
            served()
        self.assertEqual(len(server.sessions), 51)
        self.assertLess((measured() - before) / 50, 26_000)
