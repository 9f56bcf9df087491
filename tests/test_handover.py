"""
L{txh2session._handover}: closing a server that has given connections to an HTTP/1.1 factory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from txh2session import Server
from txh2session.testing import FramePeer

GET = b"GET /%s HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Later(Resource):
    """
    Answers when told to.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render_GET(self, request: Any) -> int:
        """
        Keep the request.
        """
        request.notifyFinish().addErrback(lambda _: None)
        self.requests.append(request)
        return NOT_DONE_YET


class CloseTests(SynchronousTestCase):
    """
    L{Server.close} and connections that speak HTTP/1.1.
    """

    def setUp(self) -> None:
        """
        Serve a site.
        """
        self.clock = Clock()
        self.root = Later()
        self.server = self.serve(Site(self.root, reactor=self.clock))  # type: ignore[no-untyped-call]

    def serve(self, http1: IProtocolFactory) -> Server:
        """
        Make a server with a factory for HTTP/1.1.
        """
        return Server(lambda stream, headers: None, http1=http1, clock=self.clock)

    def connect(self, data: bytes = GET % b"") -> FramePeer:
        """
        Connect a client that speaks HTTP/1.1.
        """
        peer = FramePeer.toServer(self.server, start=False)
        peer._protocol.dataReceived(data)
        return peer

    def lost(self, peer: FramePeer) -> bool:
        """
        Whether the server has closed a connection, of which the client then hears.
        """
        peer.take()
        return peer.lost

    def test_idle(self) -> None:
        """
        A connection on which nothing is being answered is closed at once, and then the server is.
        """
        peer = self.connect()
        self.root.requests[0].finish()
        closed = self.server.close()
        self.assertIn(b"HTTP/1.1 200 OK", bytes(peer.transport.buffer))
        self.assertTrue(self.lost(peer))
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_busy(self) -> None:
        """
        A connection on which something is being answered is closed behind the answer.
        """
        peer = self.connect()
        closed = self.server.close()
        self.assertFalse(self.lost(peer))
        self.assertNoResult(closed)
        request = self.root.requests[0]
        request.write(b"all of it")
        request.finish()
        self.assertIn(b"all of it", bytes(peer.transport.buffer))
        self.assertTrue(self.lost(peer))
        self.assertIsNone(self.successResultOf(closed))

    def test_pipelined(self) -> None:
        """
        A request that was sent behind another is answered, too.
        """
        peer = self.connect(GET % b"1" + GET % b"2")
        closed = self.server.close()
        self.root.requests[0].finish()
        self.assertFalse(self.lost(peer))
        self.assertEqual([request.uri for request in self.root.requests], [b"/1", b"/2"])
        self.root.requests[1].finish()
        self.assertTrue(self.lost(peer))
        self.successResultOf(closed)

    def test_grace(self) -> None:
        """
        After C{grace} a connection is closed in any case.
        """
        peer = self.connect()
        closed = self.server.close(grace=3)
        self.clock.advance(2.9)
        self.assertFalse(self.lost(peer))
        self.clock.advance(0.2)
        self.assertTrue(self.lost(peer))
        self.successResultOf(closed)

    def test_graceNotNeeded(self) -> None:
        """
        A client that goes away before leaves nothing behind.
        """
        peer = self.connect()
        closed = self.server.close(grace=3)
        peer.close()
        self.successResultOf(closed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_graceLater(self) -> None:
        """
        A second C{close} may set the grace that the first did not.
        """
        peer = self.connect()
        first, second = self.server.close(), self.server.close(grace=3)
        self.clock.advance(3)
        self.assertTrue(self.lost(peer))
        self.successResultOf(first)
        self.successResultOf(second)

    def test_notClosing(self) -> None:
        """
        As long as the server does not close, a connection goes on behind an answer.
        """
        peer = self.connect()
        self.root.requests[0].finish()
        self.assertFalse(self.lost(peer))
        peer._protocol.dataReceived(GET % b"2")
        self.assertEqual(len(self.root.requests), 2)
        peer.close()

    def test_unknownProtocol(self) -> None:
        """
        A protocol that does not say whether it is busy ends when it likes, and C{close} waits for it.
        """
        self.server = self.serve(ServerFactory.forProtocol(Protocol))
        peer = self.connect()
        closed = self.server.close()
        self.assertFalse(self.lost(peer))
        self.assertNoResult(closed)
        peer.close()
        self.successResultOf(closed)
