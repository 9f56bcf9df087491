"""
L{HTTP1ProxyEndpoint} and L{HTTP2ProxyEndpoint}: alone, and below pools and agents.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.address import HostnameAddress, IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import connectProtocol, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    ConnectionRefusedError,
    NoProtocol,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived, readBody
from zope.interface.verify import verifyObject

from tests.farm import Farm, HeldEndpoint
from tests.test_agent import NetworkCase
from txh2session import (
    ErrorCode,
    HTTP1ProxyEndpoint,
    HTTP2ProxyEndpoint,
    InvalidHeader,
    Server,
    SessionPool,
    TunnelProxy,
    TunnelRefused,
)
from txh2session.agent import H2Agent
from txh2session.testing import PipeTransport


class Talker(Protocol):
    """
    Writes down what happens to it.
    """

    def __init__(self) -> None:
        self.log: list[Any] = []

    def connectionMade(self) -> None:
        """Write it down."""
        self.log.append("made")

    def dataReceived(self, data: bytes) -> None:
        """Write it down."""
        self.log.append(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Write it down."""
        self.log.append(reason.type)


class CountingFactory(Factory):
    """
    Counts its protocols' beginnings and ends.
    """

    noisy = False
    running = 0

    def __init__(self, protocol: Protocol | None) -> None:
        self.made = protocol

    def doStart(self) -> None:
        """Count."""
        self.running += 1

    def doStop(self) -> None:
        """Count."""
        self.running -= 1

    def buildProtocol(self, addr: Any) -> Any:
        """See L{Factory}."""
        self.address = addr
        return self.made


class HTTP1Tests(SynchronousTestCase):
    """
    An HTTP/1.1 proxy that says what a test wants.
    """

    def connect(self, host: str | bytes = "target.example", headers: Any = None) -> tuple[Deferred[Any], PipeTransport]:
        """
        Connect through a proxy.

        @return: what fires, and the transport to the proxy.
        """
        self.proxy = HeldEndpoint("proxy", 3128)
        self.talker = Talker()
        self.factory = CountingFactory(self.talker)
        endpoint = HTTP1ProxyEndpoint(self.proxy, host, 443, headers)
        verifyObject(IStreamClientEndpoint, endpoint)
        connecting = endpoint.connect(self.factory)
        self.asking = self.proxy.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 3128))
        transport = PipeTransport("client", "server")
        self.asking.makeConnection(transport)
        self.proxy.waiting.callback(self.asking)
        return connecting, transport

    def test_request(self) -> None:
        """
        The proxy is asked for host and port, with the headers that were given.
        """
        for host, authority in (
            ("target.example", b"target.example:443"),
            (b"::1", b"[::1]:443"),
            ("b\u00fccher.example", b"xn--bcher-kva.example:443"),
        ):
            connecting, transport = self.connect(host, {"Proxy-Authorization": "Basic eDp5"})
            self.assertEqual(
                bytes(transport.buffer),
                b"CONNECT " + authority + b" HTTP/1.1\r\nhost: " + authority + b"\r\n"
                b"proxy-authorization: Basic eDp5\r\n\r\n",
            )
            self.assertNoResult(connecting)
        self.assertRaises(InvalidHeader, HTTP1ProxyEndpoint, self.proxy, "a", 1, {"x": "a\r\nb: c"})

    def test_opened(self) -> None:
        """
        After a 2xx answer the connection is the protocol's, with what came behind the answer; a 1xx answer is none.
        """
        connecting, transport = self.connect()
        for byte in b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 Connection established\r\nVia: 1.1 proxy\r\n\r":
            self.asking.dataReceived(bytes([byte]))
        self.assertNoResult(connecting)
        self.asking.dataReceived(b"\nfirst")
        self.assertIs(self.successResultOf(connecting), self.talker)
        self.assertEqual(self.factory.address, HostnameAddress(b"target.example", 443))
        self.assertIs(self.talker.transport, transport)
        self.asking.dataReceived(b"second")
        self.assertEqual(self.factory.running, 1)
        self.asking.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.talker.log, ["made", b"first", b"second", ConnectionDone])
        self.assertEqual(self.factory.running, 0)

    def assertRefused(self, connecting: Deferred[Any], transport: PipeTransport) -> TunnelRefused:
        """
        Check that there is no tunnel, and that the connection is given up.
        """
        error: TunnelRefused = self.failureResultOf(connecting, TunnelRefused).value
        self.assertTrue(transport.aborted)
        self.asking.dataReceived(b"late")
        self.asking.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.talker.log, self.factory.running), ([], 0))
        return error

    def test_refused(self) -> None:
        """
        Another answer fails with its status and headers.
        """
        connecting, transport = self.connect()
        self.asking.dataReceived(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\nwho?")
        error = self.assertRefused(connecting, transport)
        assert error.headers is not None
        self.assertEqual((error.status, error.headers["proxy-authenticate"]), (407, "Basic"))
        self.assertIn("407", str(error))

    def test_badAnswers(self) -> None:
        """
        What is not HTTP/1.1 is no tunnel, and neither is a head without end, or 1xx answers without end.
        """
        for answer in (
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/2 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
            b"HTTP/1.1 999 No\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000,
            b"HTTP/1.1 100 Continue\r\n\r\n" * 3_000,
        ):
            connecting, transport = self.connect()
            self.asking.dataReceived(answer)
            self.assertIsNone(self.assertRefused(connecting, transport).status)

    def test_closed(self) -> None:
        """
        A proxy that closes without an answer opens no tunnel.
        """
        connecting, _ = self.connect()
        self.asking.connectionLost(Failure(ConnectionDone()))
        self.assertIsNone(self.failureResultOf(connecting, TunnelRefused).value.status)
        self.assertEqual(self.factory.running, 0)

    def test_noProxy(self) -> None:
        """
        What connecting to the proxy fails with comes as it is.
        """

        class Failing(HeldEndpoint):
            def connect(self, factory: Any) -> Deferred[Any]:
                return fail(ConnectionRefusedError("no proxy"))

        factory = CountingFactory(Talker())
        connecting = HTTP1ProxyEndpoint(Failing("proxy", 1), "target.example", 443).connect(factory)
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.assertEqual(factory.running, 0)

    def test_noProtocol(self) -> None:
        """
        A factory that builds no protocol has the connection closed.
        """
        connecting, transport = self.connect()
        self.factory.made = None
        self.asking.dataReceived(b"HTTP/1.1 200 OK\r\n\r\n")
        self.failureResultOf(connecting, NoProtocol)
        self.assertTrue(transport.aborted)

    def test_cancel(self) -> None:
        """
        Cancelling gives the connection up, before and after it is there.
        """
        connecting, transport = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertTrue(transport.aborted)
        self.asking.connectionLost(Failure(ConnectionDone()))
        proxy = HeldEndpoint("proxy", 1)
        connecting = HTTP1ProxyEndpoint(proxy, "target.example", 443).connect(CountingFactory(Talker()))
        connecting.cancel()
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertTrue(proxy.cancelled)


class SimpleProxy(Protocol):
    """
    An HTTP/1.1 proxy that knows CONNECT only.
    """

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.target: Any = None
        self.head = b""

    def dataReceived(self, data: bytes) -> None:
        """Read the request, then copy."""
        if self.target is not None:
            self.target.transport.write(data)
            return
        self.head += data
        if not self.head.endswith(b"\r\n\r\n"):
            return
        method, authority, _ = self.head.split(b"\r\n")[0].split(b" ")
        assert method == b"CONNECT"
        host, _, port = authority.decode().rpartition(":")
        near = self

        class Target(Protocol):
            def connectionMade(self) -> None:
                near.target = self
                near.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[union-attr]

            def dataReceived(self, data: bytes) -> None:
                near.transport.write(data)  # type: ignore[union-attr]

            def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
                near.transport.loseConnection()  # type: ignore[union-attr]

        connectProtocol(self.farm.endpointFor(host, int(port)), Target()).addErrback(
            lambda _: self.transport.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")  # type: ignore[union-attr]
        )

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Let the target go."""
        if self.target is not None:
            self.target.transport.loseConnection()


class ThroughTests(NetworkCase):
    """
    Agents and pools through proxies, in memory.
    """

    def setUp(self) -> None:
        """
        Serve an origin that speaks HTTP/2, one that does not, and both kinds of proxies.
        """
        super().setUp()
        self.servers["localhost"] = self.tls(
            Server(lambda stream, headers: stream.end(headers.path.encode()), clock=self.clock), b"h2"
        )
        self.tunnels = TunnelProxy(
            self.clock, lambda host, port: host == "localhost", endpointFor=self.farm.endpointFor
        )
        self.proxy = Server(self.tunnels.streamReceived, clock=self.clock)
        self.servers["proxy2"] = self.tls(self.proxy, b"h2")
        proxy1 = Factory()
        proxy1.protocol = lambda: SimpleProxy(self.farm)  # type: ignore[assignment,misc]
        proxy1.noisy = False
        self.servers["proxy1"] = proxy1
        self.servers["proxy1s"] = self.tls(proxy1, b"h2", b"http/1.1")

    def through(self, endpointFor: Any) -> H2Agent:
        """
        Make an agent that connects so.
        """
        pool = SessionPool(self.clock, contextFactory=self.trust, endpointFor=endpointFor, http1=True)
        agent = H2Agent(self.clock, pool=pool)
        self.agents.append(agent)
        return agent

    def proxyPool(self) -> SessionPool:
        """
        Make a pool of sessions with the HTTP/2 proxy.
        """
        pool = SessionPool(self.clock, contextFactory=self.trust, endpointFor=self.proxyEndpointFor)
        self.addCleanup(self.endPool, pool)
        return pool

    def proxyEndpointFor(self, host: str, port: int) -> Any:
        """
        Connect to the proxy, whose certificate is for localhost.
        """
        return self.farm.endpointFor("proxy2", port)

    def endPool(self, pool: SessionPool) -> None:
        """
        Close a pool before the agents' cleanup looks at the clock.
        """
        closed = pool.close(grace=30)
        self.farm.advance(40)
        self.farm.advance(40)
        self.assertIsNone(self.successResultOf(closed))

    def assertWorks(self, agent: H2Agent) -> None:
        """
        Make two requests at an origin that speaks HTTP/2.
        """
        for path in (b"/one", b"/two"):
            response = self.result(agent.request(b"GET", b"https://localhost" + path))
            self.assertEqual((response.version[1], self.result(readBody(response))), (2, path))

    def test_http1(self) -> None:
        """
        An C{https:} origin is reached through an HTTP/1.1 proxy, on one tunnel for all requests.
        """
        agent = self.through(lambda host, port: HTTP1ProxyEndpoint(self.farm.endpointFor("proxy1", 3128), host, port))
        self.assertWorks(agent)
        self.assertEqual(len(self.farm.pipes), 2)

    def test_http1OverTLS(self) -> None:
        """
        So it is through one that wants TLS itself: TLS in TLS.
        """
        creator = self.trust.creatorForNetloc(b"localhost", 3128)
        agent = self.through(
            lambda host, port: HTTP1ProxyEndpoint(
                wrapClientTLS(creator, self.farm.endpointFor("proxy1s", 3128)), host, port
            )
        )
        self.assertWorks(agent)

    def test_http2(self) -> None:
        """
        So it is through an HTTP/2 proxy, on a session that all tunnels share.
        """
        pool = self.proxyPool()
        agent = self.through(lambda host, port: HTTP2ProxyEndpoint(pool, "https://localhost:3128", host, port))
        self.assertWorks(agent)
        self.assertEqual(len(self.farm.pipes), 2)
        self.assertEqual(pool.state["https://localhost:3128"].streams, 1)

    def test_http1Origin(self) -> None:
        """
        Through either, an origin that chooses HTTP/1.1 is asked over it in the tunnel that is there.
        """
        self.servers["localhost"] = self.tls(self.site(), b"http/1.1")
        pool = self.proxyPool()
        for endpointFor in (
            lambda host, port: HTTP1ProxyEndpoint(self.farm.endpointFor("proxy1", 3128), host, port),
            lambda host, port: HTTP2ProxyEndpoint(pool, "https://localhost:3128", host, port),
        ):
            before = len(self.farm.pipes)
            agent = self.through(endpointFor)
            response = self.result(agent.request(b"GET", b"https://localhost/x"))
            self.assertEqual((response.version[1], self.result(readBody(response))), (1, b"GET /x "))
            self.assertEqual(len(self.farm.pipes) - before, 2)

    def test_refused(self) -> None:
        """
        A target that the proxy refuses fails the request, with the proxy's answer inside.
        """
        pool = self.proxyPool()
        agent = self.through(lambda host, port: HTTP2ProxyEndpoint(pool, "https://localhost:3128", host, port))
        waiting = agent.request(b"GET", b"https://other.example/")
        self.farm.pump()
        cause = self.failureResultOf(waiting, ConnectError).value.__cause__
        self.assertEqual((cause.stage, cause.reason.status), ("tcp", 403))

    def test_proxyGoesAway(self) -> None:
        """
        A proxy's session that goes away keeps its tunnels, and the next tunnel gets another session.
        """
        pool = self.proxyPool()
        agent = self.through(lambda host, port: HTTP2ProxyEndpoint(pool, "https://localhost:3128", host, port))
        self.assertWorks(agent)
        (session,) = self.proxy.sessions
        session.close()
        self.farm.pump()
        self.assertWorks(agent)
        self.servers["other"] = self.servers["localhost"]
        self.tunnels._allow = lambda host, port: True
        waiting = agent.request(b"GET", b"https://other/")
        self.farm.pump()
        self.failureResultOf(waiting, ResponseNeverReceived)  # the certificate is for another name
        self.assertEqual(len(self.proxy.sessions), 2)

    def test_proxyLost(self) -> None:
        """
        A proxy's connection that breaks ends what went through it, and the next request gets a new tunnel.
        """
        pool = self.proxyPool()
        agent = self.through(lambda host, port: HTTP2ProxyEndpoint(pool, "https://localhost:3128", host, port))
        self.assertWorks(agent)
        (session,) = self.proxy.sessions
        session.destroy(code=ErrorCode.INTERNAL_ERROR)
        self.farm.advance(3)
        self.assertWorks(agent)
