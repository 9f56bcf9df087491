"""
L{txh2session.protocol}: transports, TLS and ALPN, back-pressure, and how a connection is closed.
"""

from __future__ import annotations

import datetime
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IHandshakeListener,
    IOpenSSLServerConnectionCreator,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.protocols import tls
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txh2session import (
    ConnectFailed,
    ErrorCode,
    FrameLog,
    InvalidHeader,
    Limits,
    Server,
    ServerStream,
    SessionListener,
    StreamRefused,
    Timeouts,
    clientContextFactory,
    connect,
    connecting,
    openSession,
    serverContextFactory,
)
from txh2session.protocol import HTTP2Protocol, clockOf
from txh2session.testing import FramePeer, Pipe, PipeTransport, connectedSessions


def makeCertificate(name: str = "localhost", *others: str) -> tuple[bytes, bytes]:
    """
    Make a certificate for names, signed with its own key.

    @return: certificate and key, as PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in (name, *others)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )


CERTIFICATE, KEY = makeCertificate()


@implementer(IStreamClientEndpoint)
class PipeEndpoint:
    """
    An endpoint that connects to a protocol in memory.
    """

    def __init__(self, server: Any) -> None:
        self.server = server
        self.pipe: Pipe | None = None

    def connect(self, factory: Any) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        near = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 443))
        far = self.server.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1000))
        self.pipe = Pipe(near, far)
        connected: Deferred[Any] = Deferred()
        connected.callback(near)
        return connected


@implementer(IOpenSSLServerConnectionCreator)
class WithoutALPN:
    """
    TLS of a server that knows nothing of ALPN, which Twisted's always knows.
    """

    def serverConnectionForTLS(self, tlsProtocol: Any) -> SSL.Connection:
        """See L{IOpenSSLServerConnectionCreator}."""
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.use_certificate(crypto.load_certificate(crypto.FILETYPE_PEM, CERTIFICATE))
        context.use_privatekey(crypto.load_privatekey(crypto.FILETYPE_PEM, KEY))
        return SSL.Connection(context, None)


class TLSTests(SynchronousTestCase):
    """
    Sessions over TLS, in memory.
    """

    def setUp(self) -> None:
        """
        Make a server.
        """
        self.clock = Clock()
        # Twisted's TLS joins small writes on the global reactor where nobody names a clock, as wrapClientTLS does not.
        self.patch(tls, "_get_default_clock", lambda: self.clock)
        self.streams: list[ServerStream] = []
        self.server = Server(lambda stream, headers: self.streams.append(stream), clock=self.clock)
        self.trusting = clientContextFactory(trustRoot=CERTIFICATE)

    def over(self, factory: Any, protocols: tuple[bytes, ...] = (b"h2",)) -> PipeEndpoint:
        """
        Put TLS around a server's factory.
        """
        context = serverContextFactory(CERTIFICATE, KEY, protocols=protocols)
        return PipeEndpoint(TLSMemoryBIOFactory(context, False, factory, clock=self.clock))

    def pump(self, endpoint: PipeEndpoint) -> None:
        """
        Move bytes; Twisted's TLS writes with the clock's next turn.
        """
        assert endpoint.pipe is not None
        for _ in range(20):
            endpoint.pipe.pump()
            self.clock.advance(0)

    def test_tooManySessions(self) -> None:
        """
        Over TLS, too, a connection that a server does not take is closed, and nothing is logged.
        """
        self.server.maxSessions = 1
        first, second = self.over(self.server), self.over(self.server)
        waiting = connect(self.clock, "https://localhost", endpoint=first, contextFactory=self.trusting)
        self.pump(first)
        session = self.successResultOf(waiting)
        refused = connect(self.clock, "https://localhost", endpoint=second, contextFactory=self.trusting)
        self.pump(second)
        self.assertEqual(self.failureResultOf(refused, ConnectFailed).value.stage, "tls")
        self.assertFalse(session.closed)
        session.destroy()
        self.pump(first)

    def test_request(self) -> None:
        """
        ALPN agrees on h2, and a request is answered.
        """
        endpoint = self.over(self.server)
        waiting = connect(self.clock, "https://localhost:8443", endpoint=endpoint, contextFactory=self.trusting)
        self.pump(endpoint)
        session = self.successResultOf(waiting)
        self.assertEqual((session.alpnProtocol, session.encrypted), ("h2", True))
        self.assertIn("localhost", str(session.peerCertificate.get_subject()))
        body = session.request().read()
        self.pump(endpoint)
        (stream,) = self.streams
        self.assertEqual(stream.session.alpnProtocol, "h2")
        self.assertEqual((stream.headers.scheme, stream.headers.authority), ("https", "localhost:8443"))
        stream.end(b"x" * 300_000)
        self.pump(endpoint)
        self.assertEqual(len(self.successResultOf(body)), 300_000)
        closed = session.close()
        self.pump(endpoint)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.server.sessions, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_logs(self) -> None:
        """
        A frame log of either side shows what TLS hides.
        """
        lines: list[str] = []
        self.server.frameLog = FrameLog(lines.append)
        endpoint = self.over(self.server)
        waiting = connect(
            self.clock,
            "https://localhost:8443",
            endpoint=endpoint,
            contextFactory=self.trusting,
            frameLog=FrameLog(lines.append),
        )
        self.pump(endpoint)
        session = self.successResultOf(waiting)
        session.request()
        self.pump(endpoint)
        opened = [line.split()[2:5] for line in lines if " open " in line]
        self.assertIn(["open", "role=client", "protocol=h2"], opened)
        self.assertIn(["open", "role=server", "protocol=h2"], opened)
        for way in ("send", "recv"):
            self.assertEqual(len([line for line in lines if f" {way} stream=1 :path: /" in line]), 1)
        session.destroy()
        self.pump(endpoint)
        self.assertEqual(len([line for line in lines if " closed reason=" in line]), 2)

    def test_keyLog(self) -> None:
        """
        C{connect(keyLog=)} gets the secrets of the context that it makes, and is refused beside one that was given.
        """
        self.patch(connecting, "clientContextFactory", partial(clientContextFactory, trustRoot=CERTIFICATE))
        secrets: list[bytes] = []
        endpoint = self.over(self.server)
        waiting = connect(self.clock, "https://localhost", endpoint=endpoint, keyLog=secrets.append)
        self.pump(endpoint)
        session = self.successResultOf(waiting)
        self.assertTrue(any(line.startswith(b"CLIENT_TRAFFIC_SECRET_0 ") for line in secrets), secrets)
        session.destroy()
        self.pump(endpoint)
        for function in (connect, openSession):
            with self.assertRaisesRegex(ValueError, "give it to clientContextFactory"):
                function(self.clock, "https://localhost", contextFactory=self.trusting, keyLog=True)

    def test_originSet(self) -> None:
        """
        C{originSet} begins with the session's own origin, grows by ORIGIN up to a limit and shrinks with 421 (2.12, 15.22).
        """
        endpoint = self.over(self.server)
        limits = Limits(originSet=3)
        waiting = connect(
            self.clock, "https://localhost:8443", endpoint=endpoint, contextFactory=self.trusting, limits=limits
        )
        self.pump(endpoint)
        session = self.successResultOf(waiting)
        self.assertEqual(session.originSet, ["https://localhost:8443"])
        response = session.request().whenResponse()
        self.pump(endpoint)
        (stream,) = self.streams
        told: list[list[bytes]] = []

        class Told(SessionListener):
            def originReceived(self, session: Any, origins: list[bytes]) -> None:
                told.append(origins)

        session.addListener(Told())
        stream.session.origin("https://a", "https://b:1", "https://c")
        self.pump(endpoint)
        self.assertEqual(told, [[b"https://a", b"https://b:1", b"https://c"]])
        self.assertEqual(session.originSet, ["https://localhost:8443", "https://a", "https://b:1"])
        stream.respond({":status": 421}, endStream=True)
        self.pump(endpoint)
        self.assertEqual(self.successResultOf(response).status, 421)
        self.assertEqual(session.originSet, ["https://a", "https://b:1"])
        session.destroy()
        self.pump(endpoint)

    def test_serverOrigins(self) -> None:
        """
        C{Server(origins=...)} tells each client of them right after its SETTINGS, over TLS (6.4, 11.40).
        """
        server = Server(
            lambda stream, headers: None, origins=["HTTPS://A.example/path", b"https://b:1"], clock=self.clock
        )
        endpoint = self.over(server)
        waiting = connect(self.clock, "https://localhost:8443", endpoint=endpoint, contextFactory=self.trusting)
        self.pump(endpoint)
        session = self.successResultOf(waiting)
        self.assertEqual(session.originSet, ["https://localhost:8443", "https://a.example", "https://b:1"])
        session.destroy()
        self.pump(endpoint)
        for wrong in (["nonsense"], "https://a", [f"https://{number}.example" for number in range(1000)]):
            with self.assertRaises(InvalidHeader):
                Server(lambda stream, headers: None, origins=wrong)

    def test_requestsWait(self) -> None:
        """
        Requests made before the handshake wait for it.
        """
        endpoint = self.over(self.server)
        session = openSession(self.clock, "https://localhost", endpoint=endpoint, contextFactory=self.trusting)
        stream = session.request()
        self.assertTrue(stream.pending)
        self.assertTrue(session.connecting)
        self.pump(endpoint)
        self.assertEqual(stream.id, 1)
        session.destroy()
        self.pump(endpoint)

    def test_destroy(self) -> None:
        """
        C{destroy} over TLS: GOAWAY, then the end, and both sides are gone without waiting.
        """
        endpoint = self.over(self.server)
        session = self.successResultOf(self.connected(endpoint))
        response = session.request().whenResponse()
        self.pump(endpoint)
        self.streams[0].session.destroy(code=ErrorCode.ENHANCE_YOUR_CALM)
        self.pump(endpoint)
        self.assertEqual(session.goawayCode, ErrorCode.ENHANCE_YOUR_CALM)
        self.failureResultOf(response)
        self.failureResultOf(session.whenClosed())
        self.assertEqual(self.server.sessions, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connected(self, endpoint: PipeEndpoint) -> Any:
        """
        Connect.
        """
        waiting = connect(self.clock, "https://localhost", endpoint=endpoint, contextFactory=self.trusting)
        self.pump(endpoint)
        return waiting

    def test_untrusted(self) -> None:
        """
        A certificate nobody vouches for fails with stage tls, and the server takes it quietly.
        """
        endpoint = self.over(self.server)
        waiting = connect(
            self.clock,
            "https://localhost",
            endpoint=endpoint,
            contextFactory=clientContextFactory(trustRoot=makeCertificate()[0]),
        )
        self.pump(endpoint)
        error = self.failureResultOf(waiting, ConnectFailed).value
        self.assertEqual(error.stage, "tls")
        self.assertIn("certificate verify failed", str(error))
        self.assertEqual(self.server.sessions, set())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_otherName(self) -> None:
        """
        A certificate for another name fails with stage tls; a request that waited says so.
        """
        endpoint = self.over(self.server)
        session = openSession(self.clock, "https://elsewhere", endpoint=endpoint, contextFactory=self.trusting)
        response = session.request().whenResponse()
        self.pump(endpoint)
        error = self.failureResultOf(response, StreamRefused).value
        self.assertEqual((error.processed, error.reason.stage), (False, "tls"))
        self.failureResultOf(session.whenClosed(), ConnectFailed)

    def test_noCommonProtocol(self) -> None:
        """
        A server that speaks only HTTP/1.1 over TLS fails with stage alpn or tls, before anything was sent.
        """
        endpoint = self.over(ServerFactory.forProtocol(Protocol), protocols=(b"http/1.1",))
        waiting = self.connected(endpoint)
        error = self.failureResultOf(waiting, ConnectFailed).value
        self.assertIn(error.stage, ("alpn", "tls"))

    def test_noALPN(self) -> None:
        """
        A server without ALPN fails with stage alpn.
        """
        endpoint = self.over(ServerFactory.forProtocol(Protocol), protocols=())
        error = self.failureResultOf(self.connected(endpoint), ConnectFailed).value
        self.assertEqual(error.stage, "alpn")

    def test_clientWithoutALPN(self) -> None:
        """
        A TLS client that did not choose h2 by ALPN is told that only HTTP/2 is served.
        """

        class Old(Protocol):
            data = b""

            def connectionMade(self) -> None:
                self.transport.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                self.data += data

        old = Old()
        factory = ServerFactory()
        factory.protocol = lambda: old  # type: ignore[assignment,misc]
        creator = clientContextFactory(trustRoot=CERTIFICATE, protocols=()).creatorForNetloc(b"localhost", 443)
        endpoint = self.over(self.server)
        endpoint.connect(TLSMemoryBIOFactory(creator, True, factory, clock=self.clock))
        self.pump(endpoint)
        self.clock.advance(2)
        self.pump(endpoint)
        self.assertTrue(old.data.startswith(b"HTTP/1.1 505 "), old.data)
        self.assertEqual(self.server.sessions, set())

    def test_http1ByALPN(self) -> None:
        """
        With a factory for HTTP/1.1 a client that chose it gets that protocol.
        """

        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[union-attr]

        class Old(Protocol):
            data = b""

            def connectionMade(self) -> None:
                self.transport.write(b"GET / HTTP/1.1\r\n\r\n")  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                self.data += data

        self.server.http1 = ServerFactory.forProtocol(Other)
        old = Old()
        factory = ServerFactory()
        factory.protocol = lambda: old  # type: ignore[assignment,misc]
        policy = clientContextFactory(trustRoot=CERTIFICATE, protocols=(b"http/1.1",))
        endpoint = self.over(self.server, protocols=(b"h2", b"http/1.1"))
        creator = policy.creatorForNetloc(b"localhost", 443)
        endpoint.connect(TLSMemoryBIOFactory(creator, True, factory, clock=self.clock))
        self.pump(endpoint)
        self.assertEqual(old.data, b"HTTP/1.1 200 OK\r\n\r\n")

    def http1Client(self, endpoint: PipeEndpoint, policy: Any) -> tuple[Any, list[str]]:
        """
        Open a session where another protocol may take the connection.

        @return: the session, and what that protocol was told.
        """
        log: list[str] = []

        class Old(Protocol):
            def connectionMade(self) -> None:
                log.append("connected")
                self.transport.write(b"GET / HTTP/1.1\r\n\r\n")  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                log.append(data.decode("ascii"))

            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                log.append("lost")

        session = openSession(
            self.clock,
            "https://localhost",
            endpoint=endpoint,
            contextFactory=policy,
            http1=ServerFactory.forProtocol(Old),
        )
        self.pump(endpoint)
        return session, log

    def test_clientHTTP1(self) -> None:
        """
        A client that has another protocol for HTTP/1.1 offers both, and hands it the connection of a server that chooses
        that or nothing; so it does with Twisted's own policy for TLS.
        """

        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"hello")  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

        trust = trustRootFromCertificates([Certificate.loadPEM(CERTIFICATE)])
        for policy in (self.trusting, BrowserLikePolicyForHTTPS(trust)):
            for protocols in ((b"http/1.1",), ()):
                endpoint = self.over(ServerFactory.forProtocol(Other), protocols)
                if not protocols:
                    other = ServerFactory.forProtocol(Other)
                    endpoint = PipeEndpoint(TLSMemoryBIOFactory(WithoutALPN(), False, other, clock=self.clock))
                session, log = self.http1Client(endpoint, policy)
                self.assertEqual(log, ["connected", "hello", "lost"])
                error = self.failureResultOf(session.whenReady(), ConnectFailed).value
                self.assertEqual(error.stage, "alpn")
                refused = self.failureResultOf(session.request().whenResponse(), StreamRefused).value
                self.assertIs(refused.reason, error)
                self.assertEqual(self.clock.getDelayedCalls(), [])
            endpoint = self.over(self.server)
            session, log = self.http1Client(endpoint, policy)
            self.assertEqual((session.alpnProtocol, session.ready, log), ("h2", True, []))
            session.destroy()
            self.clock.advance(1)
            self.pump(endpoint)

    def test_clientHTTP1Declined(self) -> None:
        """
        A factory that builds no protocol for HTTP/1.1 has the connection closed.
        """
        endpoint = self.over(ServerFactory.forProtocol(Protocol), (b"http/1.1",))
        factory = ServerFactory()
        self.patch(factory, "buildProtocol", lambda address: None)
        session = openSession(
            self.clock, "https://localhost", endpoint=endpoint, contextFactory=self.trusting, http1=factory
        )
        self.pump(endpoint)
        self.assertEqual(self.failureResultOf(session.whenClosed(), ConnectFailed).value.stage, "alpn")
        self.assertFalse(endpoint.pipe.first.connected)  # type: ignore[union-attr]
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_handshakeTimeout(self) -> None:
        """
        A client that does not finish its handshake is cut off after C{Timeouts.handshake}.
        """
        self.server.timeouts = Timeouts(handshake=4)
        endpoint = self.over(self.server)
        endpoint.connect(ServerFactory.forProtocol(Protocol))
        self.pump(endpoint)
        self.assertEqual(len(self.server.sessions), 1)
        self.clock.advance(4)
        self.pump(endpoint)
        self.assertEqual(self.server.sessions, set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_garbageInsteadOfTLS(self) -> None:
        """
        HTTP/1.1 in clear text on the TLS port ends quietly.
        """

        class Clear(Protocol):
            def connectionMade(self) -> None:
                self.transport.write(b"GET / HTTP/1.1\r\n\r\n")  # type: ignore[union-attr]

        endpoint = self.over(self.server)
        endpoint.connect(ServerFactory.forProtocol(Clear))
        self.pump(endpoint)
        self.assertEqual(self.server.sessions, set())
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_tlsToAClearPort(self) -> None:
        """
        TLS to an h2c port fails with stage tls.
        """
        endpoint = PipeEndpoint(self.server)
        waiting = self.connected(endpoint)
        self.clock.advance(2)
        self.pump(endpoint)
        self.assertEqual(self.failureResultOf(waiting, ConnectFailed).value.stage, "tls")

    def test_interfaces(self) -> None:
        """
        The protocol waits for handshakes.
        """
        protocol = self.server.buildProtocol(None)
        assert protocol is not None
        verifyObject(IHandshakeListener, protocol)


class ClosingTests(SynchronousTestCase):
    """
    How a transport is closed.
    """

    def setUp(self) -> None:
        """
        Connect two sessions.
        """
        self.streams: list[ServerStream] = []
        self.both = connectedSessions(lambda stream, headers: self.streams.append(stream))

    def test_halfCloseThenLinger(self) -> None:
        """
        Our direction is closed at once, and reading goes on until the peer has closed its: nothing is reset.
        """
        session = self.both.serverSession
        self.both.pipe.hold(self.both.pipe.first)
        session.destroy()
        self.both.pump()
        transport = self.both.pipe.second
        self.assertTrue(transport.finishing)
        self.assertFalse(transport.disconnecting)
        self.assertTrue(transport.connected)
        self.both.pipe.release(self.both.pipe.first)
        self.both.pump()
        self.assertFalse(transport.connected)
        self.assertIsNone(self.successResultOf(session.whenClosed()))

    def test_deafPeer(self) -> None:
        """
        A peer that never closes its direction is let go after C{Timeouts.linger}; after an error it is cut off then.
        """
        for error in (None, RuntimeError("enough")):
            self.setUp()
            session = self.both.serverSession
            self.both.pipe.hold(self.both.pipe.first)
            self.both.pipe.hold(self.both.pipe.second)
            session.destroy(error)
            transport = self.both.pipe.second
            self.both.clock.advance(1)
            self.assertEqual((transport.disconnecting, transport.aborted), (error is None, error is not None))
            self.both.clock.advance(15)
            self.assertTrue(transport.aborted)

    def test_inputIsDiscarded(self) -> None:
        """
        What comes while the connection is closing is thrown away.
        """
        peer = FramePeer.toServer(self.both.server)
        peer._protocol._session.destroy()
        peer._protocol.dataReceived(peer.ping().serialize())
        self.assertEqual(peer.names(), ["GOAWAY 0 NO_ERROR"])

    def test_goAwayToAFullTransport(self) -> None:
        """
        The GOAWAY is written although the transport has had enough, behind what was written before.
        """
        request = self.both.client.request()
        body = request.read()
        self.both.pump()
        self.both.pipe.hold(self.both.pipe.second)
        self.streams[0].write(b"x" * 200_000)
        self.streams[0].session.destroy(code=ErrorCode.CANCEL)
        self.both.pipe.release(self.both.pipe.second)
        self.both.pump()
        self.assertEqual(self.both.client.goawayCode, ErrorCode.CANCEL)
        self.failureResultOf(body)

    def test_respondAndClose(self) -> None:
        """
        An answer and C{close} in one turn: the answer arrives whole.
        """
        request = self.both.client.request()
        body = request.read()
        self.both.pump()
        self.streams[0].end(b"x" * 500_000)
        closed = self.both.serverSession.close()
        self.both.pump()
        self.assertEqual(len(self.successResultOf(body)), 500_000)
        self.assertIsNone(self.successResultOf(closed))

    def test_clock(self) -> None:
        """
        The clock is the reactor of the transport, below its wrappers; without one an error says what to do.
        """

        class Lower:
            reactor = Clock()

        class Wrapper:
            transport = Lower()

        self.assertIs(clockOf(Wrapper()), Lower.reactor)
        with self.assertRaises(TypeError):
            clockOf(object())

    def test_transportPauses(self) -> None:
        """
        A transport that has had enough gets no more than it was given at once, and all of it when it asks again.
        """
        request = self.both.client.request()
        body = request.read()
        self.both.pump()
        transport = self.both.pipe.second
        self.both.pipe.hold(transport)
        self.streams[0].end(b"x" * 250_000)
        self.assertLess(len(transport.buffer), 2 * 64 * 1024 + 20_000)
        self.both.pipe.release(transport)
        self.both.pump()
        self.assertEqual(len(self.successResultOf(body)), 250_000)

    def test_noNagle(self) -> None:
        """
        Small frames are not held back: Nagle's algorithm is switched off where there is TCP (11.45, 15.20).
        """
        told: list[bool] = []
        transport: Any = PipeTransport("near", "far")
        transport.setTcpNoDelay = told.append
        protocol = Server(lambda stream, headers: None, clock=Clock()).buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(transport)
        self.assertEqual(told, [True])
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_protocolIsPrivateNoMore(self) -> None:
        """
        A server's protocol runs on any transport it is given (1.5).
        """
        protocol = self.both.server.buildProtocol(None)
        self.assertIsInstance(protocol, HTTP2Protocol)
