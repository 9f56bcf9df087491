"""
L{txh2session.testing.FramePeer}: what it makes of what the other end sends.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession, Server, Timeouts
from txh2session.protocol import HTTP2Protocol
from txh2session.testing import FramePeer, FramePeerFactory, FramePeerProtocol, Pipe, connectFramePeer


class FramePeerTests(SynchronousTestCase):
    """
    L{FramePeer} as a server's client.
    """

    def test_continuation(self) -> None:
        """
        A header block that takes several frames is decoded when it is whole, into the fields of the first.
        """
        noise = "".join(chr(33 + (position * 7919) % 90) for position in range(30_000))
        server = Server(lambda stream, headers: stream.respond({"a": noise}, endStream=True), clock=Clock())
        peer = FramePeer.toServer(server)
        peer.send(peer.get(1), peer.get(3))
        first, *rest = peer.take()
        self.assertEqual(dict(first.fields)["a"], noise)
        self.assertEqual({type(frame).__name__ for frame in rest}, {"ContinuationFrame", "HeadersFrame"})
        peer.send(peer.get(5))
        names = peer.names()
        self.assertEqual(names[0], "HEADERS 5 200 END_STREAM")
        self.assertEqual(set(names[1:]), {"CONTINUATION 5"})

    def test_whenFrame(self) -> None:
        """
        C{whenFrame} fires with a frame that is here or comes, tells whole words apart, and fails when none can come.
        """
        server = Server(lambda stream, headers: stream.respond(endStream=True), clock=Clock())
        peer = FramePeer.toServer(server)
        answers = peer.whenFrame("HEADERS 1 200")
        other = peer.whenFrame(lambda frame: frame.stream_id == 111)
        given_up = peer.whenFrame("PING")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        peer.send(peer.get(11))
        self.assertNoResult(answers)
        peer.send(peer.get(111))
        self.assertEqual(self.successResultOf(other).stream_id, 111)
        self.assertEqual(self.successResultOf(peer.whenFrame("HEADERS 111")).stream_id, 111)
        self.assertEqual(peer.names(), ["HEADERS 11 200 END_STREAM", "HEADERS 111 200 END_STREAM"])
        peer.abort()
        self.failureResultOf(answers, ConnectionLost)
        self.failureResultOf(peer.whenFrame("PING"), ConnectionLost)

    def test_whenFrameInSeveralParts(self) -> None:
        """
        A header block of several frames is waited for until it is whole, so that its fields are there.
        """
        noise = "".join(chr(33 + (position * 7919) % 90) for position in range(30_000))
        server = Server(lambda stream, headers: stream.respond({"a": noise}, endStream=True), clock=Clock())
        peer = FramePeer.toServer(server)
        answer = peer.whenFrame("HEADERS 1 200")
        peer.send(peer.get(1))
        self.assertEqual(dict(self.successResultOf(answer).fields)["a"], noise)


class FramePeerProtocolTests(SynchronousTestCase):
    """
    L{FramePeerProtocol}, L{FramePeerFactory} and L{connectFramePeer} on a pipe; C{tests.peers.test_raw} has them on
    sockets.
    """

    def connected(self, **options: Any) -> tuple[FramePeerProtocol, Pipe]:
        """
        Connect a peer to a server that answers everything.
        """
        server = Server(lambda stream, headers: stream.respond(endStream=True), clock=Clock())
        pipes: list[Pipe] = []

        class Endpoint:
            def connect(self, factory: Any) -> Deferred[Any]:
                protocol = factory.buildProtocol(None)
                pipes.append(Pipe(protocol, server.buildProtocol(None)))
                return succeed(protocol)

        peer = self.successResultOf(connectFramePeer(Endpoint(), **options))  # type: ignore[arg-type]
        pipes[0].pump()
        return peer, pipes[0]

    def test_client(self) -> None:
        """
        A peer that is connected to a server begins by itself, sends frames and waits for answers.
        """
        peer, pipe = self.connected(INITIAL_WINDOW_SIZE=0)
        self.assertEqual(peer.names(), ["SETTINGS", "WINDOW_UPDATE 983041", "SETTINGS ACK"])
        answer = peer.whenFrame("HEADERS 1 200")
        peer.send(peer.get(1))
        self.assertNoResult(answer)
        pipe.pump()
        self.assertEqual(self.successResultOf(answer).fields[0], (":status", "200"))

    def test_silent(self) -> None:
        """
        One that shall not start says nothing.
        """
        peer, pipe = self.connected(start=False)
        self.assertEqual(peer.names(), [])
        peer.begin()
        pipe.pump()
        self.assertEqual(peer.names()[0], "SETTINGS")

    def test_end(self) -> None:
        """
        C{whenClosed} fires with the reason, whenever it was asked for, and waiting for frames fails with it.
        """
        peer, pipe = self.connected()
        before, given_up, answer = peer.whenClosed(), peer.whenClosed(), peer.whenFrame("HEADERS 1")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        pipe.lose()
        self.assertIsInstance(self.successResultOf(before), ConnectionLost)
        self.assertIsInstance(self.successResultOf(peer.whenClosed()), ConnectionLost)
        self.failureResultOf(answer, ConnectionLost)
        self.assertTrue(peer.lost)

    def test_close(self) -> None:
        """
        A peer closes its connection, or cuts it.
        """
        for end, reason in (("close", ConnectionDone), ("abort", ConnectionLost)):
            peer, pipe = self.connected()
            getattr(peer, end)()
            pipe.pump()
            self.assertIsInstance(self.successResultOf(peer.whenClosed()), reason)

    def test_server(self) -> None:
        """
        A factory of peers gives them out in the order of their connections, to those who wait and to those who come later.
        """
        factory = FramePeerFactory()
        self.assertEqual(factory.acceptableProtocols(), [b"h2"])
        first, given_up, second = (factory.whenConnected() for _ in range(3))
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        sessions = [ClientSession("http", "localhost") for _ in range(3)]
        pipes = [
            Pipe(HTTP2Protocol(session, Timeouts(), Clock(), server=False), factory.buildProtocol(None))
            for session in sessions
        ]
        peers = [self.successResultOf(each) for each in (first, second, factory.whenConnected())]
        for session, pipe, peer in zip(sessions, pipes, peers, strict=True):
            peer.begin()
            answer = session.request().whenResponse()
            pipe.pump()
            peer.send(peer.response(1, end=True))
            pipe.pump()
            self.assertEqual(self.successResultOf(answer).status, 200)
