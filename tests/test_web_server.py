"""
Tests of L{txh2session.web}: the server that a site is wrapped in.
"""

from __future__ import annotations

import inspect
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.python.failure import Failure
from twisted.web import server
from twisted.web.resource import Resource
from zope.interface.verify import verifyObject

from tests.sites import Leaf, WebCase
from txh2session import Timeouts, web
from txh2session.testing import FramePeer, PipeTransport, connectedSessions
from txh2session.web import SiteServer, streamOf, wrapSite


class LogFile:
    """
    Keeps what an access log gets.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.closed = False

    def write(self, text: str) -> None:
        """Keep it."""
        self.lines.append(text)

    def close(self) -> None:
        """Note it."""
        self.closed = True


class LoggingSite(server.Site):
    """
    Logs to a L{LogFile}.
    """

    log_: LogFile

    def _openLogFile(self, path: Any) -> Any:
        self.log_ = LogFile()
        return self.log_


class SiteServerTests(WebCase):
    """
    The server as a factory.
    """

    def logging(self, resource: Any, **options: Any) -> tuple[SiteServer, LoggingSite]:
        """
        Start a server of a site that logs.
        """
        site = LoggingSite(Leaf(resource), reactor=self.clock, logPath="access.log")
        wrapped = wrapSite(site, clock=self.clock, **options)
        wrapped.noisy = site.noisy = False  # type: ignore[misc]
        wrapped.doStart()
        return wrapped, site

    def test_arguments(self) -> None:
        """
        What is no site, no number of bytes or no option is refused at once.
        """
        with self.assertRaises(TypeError):
            wrapSite(Resource())  # type: ignore[arg-type]
        for limit in (-1, True, "10"):
            with self.assertRaises(ValueError):
                wrapSite(self.site(lambda request: b""), bodyLimit=limit)  # type: ignore[arg-type]
        with self.assertRaises(TypeError):
            wrapSite(self.site(lambda request: b""), http2=True)

    def test_documented(self) -> None:
        """
        Every public name says what it is for.
        """
        self.assertEqual(web.__all__, sorted(web.__all__))
        for name in web.__all__:
            self.assertTrue(inspect.getdoc(getattr(web, name)), name)

    def test_factory(self) -> None:
        """
        It offers HTTP/2 and HTTP/1.1 by ALPN, and its sessions wait as long as the site's connections.
        """
        wrapped = wrapSite(self.site(lambda request: b"", timeout=7))
        verifyObject(IProtocolNegotiationFactory, wrapped)
        self.assertEqual(wrapped.acceptableProtocols(), [b"h2", b"http/1.1"])
        self.assertEqual(wrapped.timeouts.idle, 7)
        self.assertEqual(wrapped.timeouts.upload, 60)
        patient = wrapSite(self.site(lambda request: b"", timeout=99)).timeouts
        self.assertEqual((patient.idle, patient.upload), (99, 99))
        endless = wrapSite(self.site(lambda request: b"", timeout=None)).timeouts
        self.assertEqual((endless.idle, endless.upload), (0, 0))
        self.assertEqual(wrapSite(self.site(lambda request: b""), timeouts=Timeouts(idle=3)).timeouts.idle, 3)

    def test_accessLog(self) -> None:
        """
        Requests are logged in the combined format, with the protocol named; refused ones too.
        """
        wrapped, site = self.logging(lambda request: b"12345")
        both = connectedSessions(wrapped.streamReceived, clock=self.clock)
        self.fetch(both, {":path": "/a?b", "referer": "http://c/", "user-agent": 'me "'})
        self.fetch(both, {":path": "/a", "expect": "wonders"})
        self.fetch(both, [(":path", b"/caf\xc3\xa9\x9b")])
        self.fetch(both, [(":method", "CONNECT"), (":authority", "a:1")])
        day = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
        one, two, three, four = site.log_.lines
        start = rf'^"127\.0\.0\.1" - - {day} '
        self.assertRegex(one, start + r'"GET /a\?b HTTP/2" 200 5 "http://c/" "me \\""\n$')
        self.assertRegex(two, start + r'"GET /a HTTP/2" 417 23 "-" "-"\n$')
        self.assertIn(r"/caf\xc3\xa9\x9b", three)
        self.assertIn('"CONNECT a:1 HTTP/2" 405 ', four)
        wrapped.doStop()
        self.assertTrue(site.log_.closed)

    def test_answerOnTheStreamLogged(self) -> None:
        """
        An answer on the stream itself is logged with its status and length.
        """

        def answer(request: Any) -> int:
            stream = streamOf(request)
            assert stream is not None
            stream.respond({":status": 203})
            stream.end(b"123")
            return server.NOT_DONE_YET

        wrapped, site = self.logging(answer)
        self.fetch(connectedSessions(wrapped.streamReceived, clock=self.clock), {})
        self.clock.advance(0)
        self.assertIn('"GET / HTTP/2" 203 3 ', site.log_.lines[0])
        wrapped.doStop()

    def connect(self, wrapped: SiteServer, start: bytes) -> tuple[Any, PipeTransport]:
        """
        Connect a client that has sent something.
        """
        protocol = wrapped.buildProtocol(None)
        assert protocol is not None
        transport = PipeTransport("server", "client")
        protocol.makeConnection(transport)
        protocol.dataReceived(start)
        return protocol, transport

    def test_closeOld(self) -> None:
        """
        C{close} ends HTTP/1.1 connections that are idle at once and the others after their answers, then the site's log.
        """
        requests: list[Any] = []

        def answer(request: Any) -> Any:
            if request.path == b"/quick":
                return b"quick"
            requests.append(request)
            return server.NOT_DONE_YET

        wrapped, site = self.logging(answer)
        idle, idleTransport = self.connect(wrapped, b"GET /quick HTTP/1.1\r\n\r\n")
        busy, busyTransport = self.connect(wrapped, b"GET /slow HTTP/1.1\r\n\r\n")
        halfway, halfwayTransport = self.connect(wrapped, b"GET /quick HTTP/1.1\r\n")
        self.assertEqual(wrapped.sessions, set())
        closed = wrapped.close()
        wrapped.doStop()
        self.assertEqual(
            [each.disconnecting for each in (idleTransport, busyTransport, halfwayTransport)], [True, False, False]
        )
        idle.connectionLost(Failure(ConnectionDone()))
        halfway.dataReceived(b"\r\n")
        self.assertTrue(halfwayTransport.disconnecting)
        halfway.connectionLost(Failure(ConnectionDone()))
        self.assertNoResult(closed)
        self.assertFalse(site.log_.closed)
        requests[0].write(b"slow")
        requests[0].finish()
        self.assertTrue(busyTransport.disconnecting)
        self.assertIn(b"slow", bytes(busyTransport.buffer))
        busy.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.successResultOf(closed))
        self.assertTrue(site.log_.closed)
        self.assertEqual(len(site.log_.lines), 3)
        self.assertIsNone(self.successResultOf(wrapped.close()))

    def test_closeGrace(self) -> None:
        """
        After C{grace} seconds HTTP/1.1 connections that are still there are aborted.
        """
        wrapped, site = self.logging(lambda request: server.NOT_DONE_YET)
        protocol, transport = self.connect(wrapped, b"GET / HTTP/1.1\r\n\r\n")
        closed = wrapped.close(10)
        self.clock.advance(9)
        self.assertFalse(transport.aborted)
        self.clock.advance(1)
        self.assertTrue(transport.aborted)
        protocol.connectionLost(Failure(ConnectionLost()))
        self.assertIsNone(self.successResultOf(closed))
        wrapped.doStop()

    def test_closeSessions(self) -> None:
        """
        Requests that finish while sessions drain are logged, although the ports are closed.
        """
        requests: list[Any] = []
        wrapped, site = self.logging(lambda request: requests.append(request) or server.NOT_DONE_YET)
        peer = FramePeer.toServer(wrapped)
        peer.send(peer.get(1))
        closed = wrapped.close()
        wrapped.doStop()
        self.clock.advance(5)  # Timeouts.drain
        requests[0].finish()
        peer.close()
        self.clock.advance(60)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual((len(site.log_.lines), site.log_.closed), (1, True))
