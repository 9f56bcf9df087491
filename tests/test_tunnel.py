"""
L{txh2session.tunnel}: protocols inside streams, in memory, and one proxy on real sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hyperframe.frame import HeadersFrame, RstStreamFrame
from twisted.internet import reactor
from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    NoProtocol,
    TCPTimedOutError,
)
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IPushProducer,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.fixtures import Pull, Push
from txh2session import (
    ClientSession,
    ErrorCode,
    Headers,
    Initiator,
    InvalidHeader,
    InvalidSetting,
    InvalidState,
    Limits,
    Server,
    ServerStream,
    SessionError,
    Settings,
    StreamAborted,
    StreamError,
    StreamRefused,
    clientContextFactory,
    connect,
    developmentCertificate,
    serverContextFactory,
)
from txh2session.testing import ConnectedSessions, FramePeer, Pipe, connectedSessions
from txh2session.tunnel import (
    StreamTransport,
    TunnelEndpoint,
    TunnelProxy,
    TunnelRefused,
    acceptTunnel,
    openTunnel,
)

MEGABYTE = bytes(range(256)) * 4096
EXTENDED = Settings(enableConnectProtocol=True)


class Keeper(Protocol):
    """
    Keeps what it receives, and what else happens to it.
    """

    transport: Any

    def __init__(self) -> None:
        self.data = b""
        self.largest = 0
        self.log: list[str] = []
        self.reasons: list[Any] = []
        self.inside = False
        self.whenMade: Callable[[], object] = lambda: None
        self.whenReceived: Callable[[], object] = lambda: None

    def connectionMade(self) -> None:
        """Note it."""
        self.log.append("made")
        self._in(self.whenMade)

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        assert not self.reasons and not self.inside, "called at the wrong time"
        self.data += data
        self.largest = max(self.largest, len(data))
        self._in(self.whenReceived)

    def _in(self, call: Callable[[], object]) -> None:
        """
        Do something that nobody may interrupt.
        """
        self.inside = True
        try:
            call()
        finally:
            self.inside = False

    def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
        """Keep it."""
        assert reason is not None and not self.inside
        self.log.append("lost")
        self.reasons.append(reason.value)


class Echo(Keeper):
    """
    Sends back what it receives, no faster than it goes.
    """

    def connectionMade(self) -> None:
        """Throttle what comes by what goes."""
        super().connectionMade()
        self.transport.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


@implementer(IHalfCloseableProtocol)
class HalfKeeper(Keeper):
    """
    The same for one that knows half connections.
    """

    def readConnectionLost(self) -> None:
        """Note it."""
        self.log.append("read lost")

    def writeConnectionLost(self) -> None:
        """Note it."""
        assert not self.inside
        self.log.append("write lost")


def settle(both: ConnectedSessions, *pipes: Pipe) -> None:
    """
    Move all there is to move, and do what is to be done at once.
    """
    everything = (both.pipe, *pipes)
    written: list[int] = []
    for _ in range(100_000):
        for pipe in everything:
            pipe.pump()
        before, written = written, [end.written for pipe in everything for end in (pipe.first, pipe.second)]
        if written != before:
            continue
        if not any(call.getTime() <= both.clock.seconds() for call in both.clock.getDelayedCalls()):
            return
        both.clock.advance(0)
    raise AssertionError("they never rest")


class TunnelTestCase(SynchronousTestCase):
    """
    Opens tunnels in memory.
    """

    def open(
        self, mine: Protocol, theirs: Protocol, protocol: str | None = None, **options: Any
    ) -> tuple[StreamTransport, StreamTransport, ConnectedSessions]:
        """
        Run a protocol at the client's end of a tunnel and one at the server's.

        @return: their transports, and the sessions.
        """
        accepted: list[StreamTransport] = []

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            accepted.append(acceptTunnel(stream, theirs))

        both = connectedSessions(streamReceived, **options)
        opening = openTunnel(both.client, "target.example:7", protocol=protocol)
        settle(both)
        transport = StreamTransport(self.successResultOf(opening))
        transport.run(mine)
        settle(both)
        return transport, accepted[0], both

    def assertLost(self, protocol: Any, kind: type[Exception], cause: type[Exception] | None = None) -> Any:
        """
        Check that a protocol was told once that its connection was lost, and why.

        @return: the cause.
        """
        self.assertEqual([type(reason) for reason in protocol.reasons], [kind])
        found = protocol.reasons[0].__cause__
        self.assertEqual(type(found), type(None) if cause is None else cause)
        return found


class TransportTests:
    """
    L{StreamTransport}, the same at both ends of a tunnel.
    """

    role = ""

    def pair(
        self: Any, mine: Keeper | None = None, theirs: Keeper | None = None, **options: Any
    ) -> tuple[Any, Any, ConnectedSessions]:
        """
        Open a tunnel.

        @return: the protocol under test, the one it talks to, and the sessions.
        """
        mine, theirs = mine or Keeper(), theirs or Keeper()
        ends = (mine, theirs) if self.role == "client" else (theirs, mine)
        _, _, both = self.open(*ends, **options)
        return mine, theirs, both

    def session(self: Any, both: ConnectedSessions) -> Any:
        """
        Get the session under test.
        """
        return both.client if self.role == "client" else both.serverSession

    def test_interfaces(self: Any) -> None:
        """
        A stream's transport is what its interfaces promise, and has answers for what only TCP has.
        """
        mine, _, both = self.pair()
        for interface in (ITCPTransport, IConsumer, IPushProducer):
            verifyObject(interface, mine.transport)
        mine.transport.setTcpNoDelay(False)
        mine.transport.setTcpKeepAlive(True)
        self.assertEqual((mine.transport.getTcpNoDelay(), mine.transport.getTcpKeepAlive()), (True, False))
        self.assertIn(repr(mine.transport.stream), repr(mine.transport))

    def test_addresses(self: Any) -> None:
        """
        The addresses are those of the session, also when it is gone.
        """
        mine, _, both = self.pair()
        session = self.session(both)
        expected = session.getHost(), session.getPeer()
        session.destroy()
        settle(both)
        self.assertEqual((mine.transport.getHost(), mine.transport.getPeer()), expected)

    def test_bothWaysAtOnce(self: Any) -> None:
        """
        A megabyte goes each way at the same time, through plain and extended CONNECT.
        """
        for protocol in (None, "chat"):
            mine, theirs, both = self.pair(protocol=protocol, settings=EXTENDED)
            mine.transport.write(MEGABYTE)
            theirs.transport.writeSequence([MEGABYTE[:999], MEGABYTE[999:]])
            settle(both)
            self.assertTrue(mine.data == theirs.data == MEGABYTE)
            mine.transport.loseConnection()
            settle(both)
            self.assertLost(mine, ConnectionDone)
            self.assertLost(theirs, ConnectionDone)

    def test_echo(self: Any) -> None:
        """
        A protocol that sends back what it gets, throttling itself, sends all of it back.
        """
        mine, theirs, both = self.pair(theirs=Echo())
        mine.transport.write(MEGABYTE)
        settle(both)
        self.assertTrue(mine.data == MEGABYTE)

    def test_writeWrongType(self: Any) -> None:
        """
        Text cannot be written; anything that holds bytes can.
        """
        mine, theirs, both = self.pair()
        self.assertRaises(TypeError, mine.transport.write, "text")
        mine.transport.write(bytearray(b"a"))
        mine.transport.write(memoryview(b"b"))
        mine.transport.write(b"")
        settle(both)
        self.assertEqual(theirs.data, b"ab")

    def test_loseConnection(self: Any) -> None:
        """
        What was written before C{loseConnection} is sent whatever it takes, what is written after is dropped, and so is
        what still comes.
        """
        mine, theirs, both = self.pair(theirs=HalfKeeper())
        mine.transport.write(MEGABYTE)
        mine.transport.loseConnection()
        mine.transport.loseConnection()
        mine.transport.write(b"late")
        settle(both)
        self.assertTrue(theirs.data == MEGABYTE)
        self.assertEqual((theirs.log, mine.log), (["made", "read lost"], ["made"]))
        theirs.transport.write(MEGABYTE)
        settle(both)
        self.assertEqual((mine.data, mine.log), (b"", ["made"]))
        theirs.transport.loseConnection()
        settle(both)
        self.assertLost(mine, ConnectionDone)
        self.assertLost(theirs, ConnectionDone)
        mine.transport.loseConnection()
        mine.transport.abortConnection()
        mine.transport.write(b"later")

    def test_losePaused(self: Any) -> None:
        """
        A protocol that paused and then lets go hears of the peer's end all the same, and of nothing before it.
        """
        mine, theirs, both = self.pair()
        mine.transport.pauseProducing()
        theirs.transport.write(MEGABYTE)
        settle(both)
        mine.transport.loseConnection()
        mine.transport.pauseProducing()
        mine.transport.resumeProducing()
        settle(both)
        self.assertLost(mine, ConnectionDone)
        self.assertLost(theirs, ConnectionDone)
        self.assertEqual(mine.data, b"")

    def test_loseWithProducer(self: Any) -> None:
        """
        C{loseConnection} waits for the producer that is registered.
        """
        mine, theirs, both = self.pair()
        mine.transport.registerProducer(Push(mine.transport), True)
        mine.transport.loseConnection()
        mine.transport.write(b"still")
        settle(both)
        self.assertEqual((theirs.data, theirs.log), (b"still", ["made"]))
        mine.transport.unregisterProducer()
        settle(both)
        self.assertLost(theirs, ConnectionDone)
        self.assertLost(mine, ConnectionDone)

    def test_halfClose(self: Any) -> None:
        """
        After C{loseWriteConnection} the peer has heard the end, and what it sends still arrives.
        """
        mine, theirs, both = self.pair(HalfKeeper(), HalfKeeper())
        mine.transport.write(b"question")
        mine.whenReceived = lambda: None
        mine._in(mine.transport.loseWriteConnection)
        mine.transport.loseWriteConnection()
        mine.transport.write(b"late")
        settle(both)
        self.assertEqual(mine.log, ["made", "write lost"])
        self.assertEqual((theirs.data, theirs.log), (b"question", ["made", "read lost"]))
        theirs.transport.write(b"answer")
        theirs.transport.loseWriteConnection()
        settle(both)
        self.assertEqual((mine.data, mine.log[-1]), (b"answer", "lost"))
        self.assertLost(mine, ConnectionDone)
        self.assertLost(theirs, ConnectionDone)

    def test_halfCloseWithProducer(self: Any) -> None:
        """
        C{loseWriteConnection} waits for the producer that is registered.
        """
        mine, theirs, both = self.pair(HalfKeeper(), HalfKeeper())
        mine.transport.registerProducer(Pull(mine.transport, 30), False)
        mine.transport.loseWriteConnection()
        settle(both)
        self.assertEqual((len(theirs.data), theirs.log), (300_000, ["made", "read lost"]))

    def test_peerEnds(self: Any) -> None:
        """
        A protocol that knows no half connections loses the whole when the peer ends, but what it wrote is sent.
        """
        mine, theirs, both = self.pair(theirs=HalfKeeper())
        producer = Push(mine.transport)
        mine.transport.registerProducer(producer, True)
        mine.transport.write(MEGABYTE)
        theirs.transport.loseWriteConnection()
        settle(both)
        self.assertTrue(producer.stopped)
        self.assertTrue(theirs.data == MEGABYTE)
        self.assertLost(mine, ConnectionDone)
        self.assertLost(theirs, ConnectionDone)
        late = Push(mine.transport)
        mine.transport.registerProducer(late, True)
        self.assertTrue(late.stopped)

    def test_readConnectionLostFails(self: Any) -> None:
        """
        A protocol that fails to take the end of half its connection loses the other half; the error is logged.
        """
        mine, theirs, both = self.pair(HalfKeeper(), HalfKeeper())
        mine.readConnectionLost = lambda: 1 // 0
        theirs.transport.loseWriteConnection()
        settle(both)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertLost(mine, ConnectionAborted)
        self.assertEqual(self.assertLost(theirs, ConnectionLost, StreamError).code, ErrorCode.INTERNAL_ERROR)

    def test_abort(self: Any) -> None:
        """
        C{abortConnection} resets the stream with CANCEL, drops what was not sent, and waits for nobody.
        """
        mine, theirs, both = self.pair()
        mine.transport.write(MEGABYTE)
        mine.transport.abortConnection()
        mine.transport.abortConnection()
        mine.transport.write(b"late")
        settle(both)
        self.assertLost(mine, ConnectionAborted)
        cause = self.assertLost(theirs, ConnectionLost, StreamAborted)
        self.assertEqual((cause.code, cause.initiator), (ErrorCode.CANCEL, Initiator.PEER))
        self.assertLess(len(theirs.data), len(MEGABYTE))
        self.assertFalse(both.client.destroyed)

    def test_notWhileCalling(self: Any) -> None:
        """
        C{connectionLost} never comes while the protocol is being called or is calling: it would find itself halfway.
        """
        for verb in ("abortConnection", "loseConnection"):
            mine, theirs, both = self.pair()
            mine.whenReceived = getattr(mine.transport, verb)
            theirs.transport.write(b"go")
            settle(both)
            self.assertEqual(len(mine.reasons), 1)
            mine, theirs, both = self.pair()
            mine._in(getattr(mine.transport, verb))
            settle(both)
            self.assertEqual(len(mine.reasons), 1)
            mine = Keeper()
            mine.whenMade = lambda mine=mine, verb=verb: getattr(mine.transport, verb)()
            mine, theirs, both = self.pair(mine)
            self.assertEqual(mine.log, ["made", "lost"])

    def test_destroyWhileCalled(self: Any) -> None:
        """
        A protocol that destroys its session is told of its connection's end when it has returned.
        """
        mine, theirs, both = self.pair()
        session = self.session(both)
        mine.whenReceived = session.destroy
        theirs.transport.write(b"go")
        settle(both)
        self.assertLost(mine, ConnectionLost, StreamAborted)
        self.assertLost(theirs, ConnectionLost, StreamAborted)

    def test_sessionLost(self: Any) -> None:
        """
        When the session's connection breaks, C{connectionLost} comes once, at both ends, and names the session's error.
        """
        mine, theirs, both = self.pair()
        mine.transport.write(b"x")
        both.pipe.first.abortConnection()
        both.pipe.second.abortConnection()
        settle(both)
        for protocol in (mine, theirs):
            self.assertEqual(self.assertLost(protocol, ConnectionLost, SessionError).initiator, Initiator.TRANSPORT)
        self.assertFalse(mine.transport.connected)

    def test_sessionDestroyed(self: Any) -> None:
        """
        When the session is destroyed with an error, that is the cause at this end, and its code at the other.
        """
        mine, theirs, both = self.pair()
        error = RuntimeError("enough")
        self.session(both).whenClosed().addErrback(lambda _: None)
        self.session(both).destroy(error)
        self.assertIs(self.assertLost(mine, ConnectionLost, RuntimeError), error)
        settle(both)
        self.assertEqual(self.assertLost(theirs, ConnectionLost, SessionError).code, ErrorCode.INTERNAL_ERROR)

    def test_pushProducer(self: Any) -> None:
        """
        A push producer is paused while the peer does not read, and what is held in between is bounded.
        """
        mine, theirs, both = self.pair()
        theirs.transport.pauseProducing()
        producer = Push(mine.transport)
        mine.transport.registerProducer(producer, True)
        self.assertRaises(RuntimeError, mine.transport.registerProducer, producer, True)
        for _ in range(100):
            producer.produce(10_000_000)
            settle(both)
        self.assertTrue(producer.paused)
        self.assertLess(producer.written, Settings().initialWindowSize + Limits().sendHighWater + 20_000)
        self.assertEqual(theirs.data, b"")
        theirs.transport.resumeProducing()
        for _ in range(2000):
            producer.produce(10_000_000)
            settle(both)
        self.assertEqual(len(theirs.data), 10_000_000)
        mine.transport.abortConnection()
        self.assertTrue(producer.stopped)

    def test_pullProducer(self: Any) -> None:
        """
        A pull producer is asked for as much as the peer can take, until it leaves.
        """
        mine, theirs, both = self.pair()
        theirs.transport.pauseProducing()
        producer = Pull(mine.transport, 100)
        mine.transport.registerProducer(producer, False)
        settle(both)
        self.assertGreater(producer.left, 60)
        theirs.transport.resumeProducing()
        settle(both)
        self.assertEqual((len(theirs.data), producer.left), (1_000_000, 0))
        mine.transport.loseConnection()
        settle(both)
        self.assertLost(mine, ConnectionDone)

    def test_resumeLater(self: Any) -> None:
        """
        Nothing is delivered before C{resumeProducing} has returned, nor if the protocol has paused again by then.
        """
        mine, theirs, both = self.pair()
        mine.transport.pauseProducing()
        theirs.transport.write(b"data")
        settle(both)
        mine._in(mine.transport.resumeProducing)
        mine.transport.pauseProducing()
        settle(both)
        self.assertEqual(mine.data, b"")
        mine._in(mine.transport.resumeProducing)
        settle(both)
        self.assertEqual(mine.data, b"data")

    def test_resetWhilePaused(self: Any) -> None:
        """
        A protocol that has paused learns of a reset at once.
        """
        mine, theirs, both = self.pair()
        mine.transport.pauseProducing()
        theirs.transport.write(b"data")
        theirs.transport.abortConnection()
        settle(both)
        self.assertLost(mine, ConnectionLost, StreamAborted)
        self.assertEqual(mine.data, b"")

    def test_wholeWhilePaused(self: Any) -> None:
        """
        What the peer sent to its end is delivered before C{connectionLost} even when its session has gone meanwhile.
        """
        mine, theirs, both = self.pair(HalfKeeper(), HalfKeeper())
        mine.transport.pauseProducing()
        theirs.transport.write(b"data")
        theirs.transport.loseWriteConnection()
        settle(both)
        both.pipe.first.abortConnection()
        both.pipe.second.abortConnection()
        settle(both)
        self.assertEqual(mine.log, ["made"])
        mine.transport.resumeProducing()
        settle(both)
        self.assertEqual(mine.data, b"data")
        self.assertLost(mine, ConnectionLost, SessionError)

    def test_endedWhilePaused(self: Any) -> None:
        """
        With both halves ended what waits behind a pause is delivered first, or dropped if the protocol gives it up.
        """
        for verb, reason in ((None, ConnectionDone), ("loseConnection", ConnectionDone), ("abortConnection", None)):
            mine, theirs, both = self.pair()
            mine.transport.pauseProducing()
            mine.transport.loseWriteConnection()
            theirs.transport.write(b"data")
            settle(both)
            self.assertEqual(mine.log, ["made"])
            if verb is None:
                mine.transport.resumeProducing()
            else:
                mine._in(getattr(mine.transport, verb))
            settle(both)
            self.assertEqual(mine.data, b"data" if verb is None else b"")
            self.assertLost(mine, reason or ConnectionAborted)

    def test_wantsNoMore(self: Any) -> None:
        """
        A peer that ends its half and then resets the stream has not taken all: that is no orderly end.
        """
        mine, theirs, both = self.pair(HalfKeeper(), HalfKeeper())
        theirs.transport.loseWriteConnection()
        settle(both)
        theirs.transport.stream.close(ErrorCode.NO_ERROR)
        settle(both)
        cause = self.assertLost(mine, ConnectionLost, StreamAborted)
        self.assertEqual((cause.code, cause.initiator), (ErrorCode.NO_ERROR, Initiator.PEER))

    def test_dataReceivedFails(self: Any) -> None:
        """
        A protocol that fails loses its connection, its peer gets INTERNAL_ERROR, and the error is logged.
        """
        mine, theirs, both = self.pair()
        mine.whenReceived = lambda: 1 // 0
        theirs.transport.write(b"x")
        settle(both)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertLost(mine, ConnectionLost, ZeroDivisionError)
        self.assertEqual(self.assertLost(theirs, ConnectionLost, StreamError).code, ErrorCode.INTERNAL_ERROR)
        self.assertFalse(both.client.destroyed)

    def test_connectionLostFails(self: Any) -> None:
        """
        A protocol that fails to take its connection's end is logged, and hurts nobody else.
        """
        mine, theirs, both = self.pair()
        mine.connectionLost = lambda reason: 1 // 0
        theirs.transport.abortConnection()
        settle(both)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertFalse(both.client.destroyed)

    def test_stopProducing(self: Any) -> None:
        """
        C{stopProducing} is C{loseConnection}.
        """
        mine, theirs, both = self.pair()
        mine.transport.stopProducing()
        settle(both)
        self.assertLost(mine, ConnectionDone)
        self.assertLost(theirs, ConnectionDone)

    def test_runTwice(self: Any) -> None:
        """
        One protocol runs in a stream, and nobody else reads it.
        """
        mine, _, _ = self.pair()
        self.assertRaises(InvalidState, mine.transport.run, Keeper())
        self.assertRaises(InvalidState, StreamTransport(mine.transport.stream).run, Keeper())


class ClientTransportTests(TransportTests, TunnelTestCase):
    """
    L{StreamTransport} over a client's stream.
    """

    role = "client"

    def test_arrivedBefore(self) -> None:
        """
        What arrived before the protocol is delivered after it is connected, and a stream that has ended is lost then.
        """
        server = Keeper()
        server.whenMade = lambda: server.transport.write(b"hello")
        both = connectedSessions(lambda stream, headers: acceptTunnel(stream, server) and None)
        stream = self.successResultOf(self._opened(both))
        mine = Keeper()
        StreamTransport(stream).run(mine)
        self.assertEqual(mine.data, b"hello")
        stream = self.successResultOf(self._opened(both))
        server.transport.abortConnection()
        settle(both)
        mine = Keeper()
        StreamTransport(stream).run(mine)
        settle(both)
        self.assertEqual((mine.data, mine.log), (b"hello", ["made", "lost"]))
        self.assertLost(mine, ConnectionLost, StreamAborted)

    def _opened(self, both: ConnectedSessions) -> Deferred[Any]:
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        return opening


class ServerTransportTests(TransportTests, TunnelTestCase):
    """
    L{StreamTransport} over a server's stream.
    """

    role = "server"


class AcceptTests(TunnelTestCase):
    """
    L{acceptTunnel}.
    """

    def ask(self, accept: Callable[[ServerStream], object], **request: Any) -> Any:
        """
        Have a server accept a request.

        @return: the client's stream.
        """

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            accept(stream)

        both = connectedSessions(streamReceived, settings=EXTENDED)
        fields = {":method": "CONNECT", ":authority": "target.example:7"}
        stream = both.client.request({**fields, **request.pop("headers", {})})
        settle(both)
        return stream

    def test_headers(self) -> None:
        """
        The answer is 200 with the headers that were given.
        """
        stream = self.ask(lambda stream: acceptTunnel(stream, Keeper(), {"sec-websocket-protocol": "chat"}))
        self.assertEqual((stream.headers.status, stream.headers["sec-websocket-protocol"]), (200, "chat"))

    def test_status(self) -> None:
        """
        Another 2xx opens a tunnel too.
        """
        self.assertEqual(self.ask(lambda stream: acceptTunnel(stream, Keeper(), {":status": 299})).headers.status, 299)

    def test_wrongAnswers(self) -> None:
        """
        What opens no tunnel is refused at the call, and nothing has been sent.
        """

        def accept(stream: ServerStream) -> None:
            for headers in ({":status": 404}, {":status": 204}, {":status": 205}, {"content-length": 5}):
                self.assertRaises(InvalidHeader, acceptTunnel, stream, Keeper(), headers)
            acceptTunnel(stream, Keeper())

        self.assertEqual(self.ask(accept).headers.status, 200)

    def test_otherMethod(self) -> None:
        """
        A request with another method asks for no tunnel.
        """

        def accept(stream: ServerStream) -> None:
            self.assertRaises(InvalidState, acceptTunnel, stream, Keeper())
            stream.respond({":status": 400}, endStream=True)

        headers = {":method": "POST", ":authority": "localhost"}
        self.assertEqual(self.ask(accept, headers=headers).headers.status, 400)

    def test_connectionMadeFails(self) -> None:
        """
        A protocol that fails to begin is logged, costs its stream only, and hears nothing more.
        """
        keeper = Keeper()
        keeper.whenMade = lambda: 1 // 0
        stream = self.ask(lambda stream: acceptTunnel(stream, keeper))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(keeper.log, ["made"])
        self.assertEqual(stream.rstCode, ErrorCode.INTERNAL_ERROR)
        self.assertFalse(stream.session.destroyed)

    def test_noTrailers(self) -> None:
        """
        Neither side can send trailers in a tunnel, plain or extended; the answer that refuses one may have some.
        """
        streams: list[Any] = []
        both = connectedSessions(
            lambda stream, headers: streams.append(stream), settings=Settings(enableConnectProtocol=True)
        )
        for extra in ({}, {":protocol": "websocket"}):
            mine = both.client.request({":method": "CONNECT", ":authority": "a:1", **extra})
            both.pump()
            theirs = streams[-1]
            self.assertRaises(InvalidHeader, mine.end, trailers={"a": "b"})
            self.assertRaises(InvalidHeader, theirs.end, trailers={"a": "b"})
            theirs.respond()
            self.assertRaises(InvalidHeader, theirs.end, b"x", {"a": "b"})
            mine.end()
            theirs.end()
        refused = both.client.request({":method": "CONNECT", ":authority": "a:1"})
        both.pump()
        streams[-1].respond({":status": 403})
        streams[-1].end(trailers={"a": "b"})
        both.pump()
        self.assertEqual(self.successResultOf(refused.whenTrailers())["a"], "b")


class OpenTests(TunnelTestCase):
    """
    L{openTunnel}.
    """

    def sessions(self, answer: Callable[[ServerStream], object], **options: Any) -> ConnectedSessions:
        """
        Connect sessions whose server keeps what it is asked.
        """
        self.asked: list[ServerStream] = []

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            self.asked.append(stream)
            answer(stream)

        return connectedSessions(streamReceived, **options)

    def test_plain(self) -> None:
        """
        A plain CONNECT has an authority and neither scheme nor path.
        """
        both = self.sessions(lambda stream: stream.respond())
        opening = openTunnel(both.client, "target.example:7", {"proxy-authorization": "Basic eDp5"})
        settle(both)
        self.assertIs(self.successResultOf(opening).session, both.client)
        self.assertEqual(
            self.asked[0].headers.rawHeaders,
            [(b":method", b"CONNECT"), (b":authority", b"target.example:7"), (b"proxy-authorization", b"Basic eDp5")],
        )

    def test_extended(self) -> None:
        """
        An extended CONNECT has a protocol, a scheme and a path, the last two as usual unless given.
        """
        both = self.sessions(lambda stream: stream.respond(), settings=EXTENDED)
        usual = openTunnel(both.client, "localhost", protocol="websocket")
        given = openTunnel(both.client, "localhost", {":path": "/chat", ":scheme": "https"}, "websocket")
        settle(both)
        self.successResultOf(usual)
        self.successResultOf(given)
        found = [[each.headers.get(name) for name in (":protocol", ":scheme", ":path")] for each in self.asked]
        self.assertEqual(found, [["websocket", "http", "/"], ["websocket", "https", "/chat"]])

    def test_extendedNotAllowed(self) -> None:
        """
        Without the server's leave nothing is sent, and the error says what is missing.
        """
        both = self.sessions(lambda stream: stream.respond())
        error = self.failureResultOf(openTunnel(both.client, "localhost", protocol="websocket"), TunnelRefused).value
        self.assertEqual((error.status, error.headers), (None, None))
        self.assertIn("ENABLE_CONNECT_PROTOCOL", str(error))
        settle(both)
        self.assertEqual(self.asked, [])

    def test_extendedWaits(self) -> None:
        """
        An extended CONNECT waits for the server's SETTINGS; it can be cancelled meanwhile.
        """
        both = self.sessions(lambda stream: stream.respond(), settings=EXTENDED, pump=False)
        opening = openTunnel(both.client, "localhost", protocol="websocket")
        other = openTunnel(both.client, "localhost", protocol="websocket")
        other.cancel()
        self.failureResultOf(other, CancelledError)
        self.assertNoResult(opening)
        settle(both)
        self.successResultOf(opening)
        self.assertEqual(len(self.asked), 1)

    def test_refused(self) -> None:
        """
        An answer that is not 2xx fails with its status and headers, and the stream ends without a reset.
        """
        both = self.sessions(lambda stream: (stream.respond({":status": 407, "x-why": "no"}), stream.end(b"explained")))
        error = self.failureResultOf(self._settled(both), TunnelRefused).value
        self.assertEqual((error.status, error.headers["x-why"]), (407, "no"))
        self.assertEqual((self.asked[0].closed, self.asked[0].rstCode), (True, ErrorCode.NO_ERROR))

    def test_refusedAtLength(self) -> None:
        """
        A refusal whose body is no explanation but a flood is reset.
        """
        both = self.sessions(lambda stream: (stream.respond({":status": 403}), stream.write(MEGABYTE)))
        self.failureResultOf(self._settled(both), TunnelRefused)
        self.assertEqual(self.asked[0].rstCode, ErrorCode.CANCEL)

    def _settled(self, both: ConnectedSessions) -> Deferred[Any]:
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        return opening

    def test_cancelled(self) -> None:
        """
        Cancelling it resets the stream with CANCEL.
        """
        both = self.sessions(lambda stream: None)
        opening = self._settled(both)
        opening.cancel()
        settle(both)
        self.failureResultOf(opening, CancelledError)
        self.assertEqual(self.asked[0].rstCode, ErrorCode.CANCEL)

    def test_sessionGone(self) -> None:
        """
        On a session that is gone it fails as any request, for either kind.
        """
        both = self.sessions(lambda stream: None, settings=EXTENDED)
        both.client.destroy()
        for protocol in (None, "websocket"):
            error = self.failureResultOf(openTunnel(both.client, "a:1", protocol=protocol), StreamRefused).value
            self.assertFalse(error.processed)

    def test_invalid(self) -> None:
        """
        Headers that may not be sent raise at the call.
        """
        both = self.sessions(lambda stream: None)
        for headers in ({":path": "/"}, {"connection": "close"}, {"x": "\r\n"}, {":authority": ""}):
            self.assertRaises(InvalidHeader, openTunnel, both.client, "a:1", headers)

    def test_contentLength(self) -> None:
        """
        A content-length in the answer to CONNECT means nothing (RFC 9110 section 9.3.6).
        """
        session = ClientSession("http", "localhost")
        clock = connectedSessions(lambda stream, headers: None).clock
        peer = FramePeer.toClient(session, clock)
        opening = openTunnel(session, "a:1")
        peer.take(HeadersFrame)
        peer.send(peer.response(1, ("content-length", "1")))
        keeper = Keeper()
        StreamTransport(self.successResultOf(opening)).run(keeper)
        peer.send(peer.data(1, b"longer than one"))
        self.assertEqual(keeper.data, b"longer than one")
        self.assertEqual(peer.take(RstStreamFrame), [])


@implementer(IStreamClientEndpoint)
class FakeEndpoint:
    """
    An endpoint whose connections are pipes in memory, made when the test says so.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.cancelled = 0
        self.result: Deferred[Any] | None = None
        self._factory: Any = None

    def __call__(self, host: str, port: int) -> FakeEndpoint:
        """
        Be the endpoint for whatever is asked for.
        """
        self.asked.append((host, port))
        return self

    def connect(self, protocolFactory: Any) -> Deferred[Any]:
        """
        See L{IStreamClientEndpoint}.
        """

        def cancel(waiting: Deferred[Any]) -> None:
            self.cancelled += 1
            waiting.errback(ConnectingCancelledError(HostnameAddress(b"target.example", 7)))

        self._factory = protocolFactory
        self.result = self.result or Deferred(cancel)
        return self.result

    def succeed(self, target: Protocol, before: Callable[[Pipe], object] = lambda pipe: None) -> Pipe:
        """
        Connect to a protocol.

        @param before: what happens between the connection and the news of it.
        """
        assert self.result is not None
        side = self._factory.buildProtocol(None)
        pipe = Pipe(side, target)
        before(pipe)
        self.result.callback(side)
        return pipe


class ProxyTests(TunnelTestCase):
    """
    L{TunnelProxy}, with targets in memory.
    """

    def setUp(self) -> None:
        """
        Make an endpoint for the proxies.
        """
        self.endpoint = FakeEndpoint()

    def proxied(self, allow: Any = lambda host, port: True, connectTimeout: float = 10.0) -> ConnectedSessions:
        """
        Connect a client to a proxy.
        """
        both: ConnectedSessions

        def streamReceived(stream: ServerStream, headers: Headers) -> Any:
            proxy = TunnelProxy(both.clock, allow, connectTimeout, endpointFor=self.endpoint)
            return proxy.streamReceived(stream, headers)

        both = connectedSessions(streamReceived)
        return both

    def through(self, mine: Keeper, target: Keeper) -> tuple[ConnectedSessions, Pipe]:
        """
        Connect a protocol through a proxy to a target.
        """
        both = self.proxied()
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        pipe = self.endpoint.succeed(target)
        settle(both, pipe)
        StreamTransport(self.successResultOf(opening)).run(mine)
        settle(both, pipe)
        return both, pipe

    def refusal(self, both: ConnectedSessions, authority: str = "target.example:7") -> int | None:
        """
        Ask for a tunnel that will not be.

        @return: the status.
        """
        opening = openTunnel(both.client, authority)
        settle(both)
        status: int | None = self.failureResultOf(opening, TunnelRefused).value.status
        return status

    def test_bothWays(self) -> None:
        """
        A megabyte goes each way at once, and both ends close when one does.
        """
        mine, target = Keeper(), Keeper()
        both, pipe = self.through(mine, target)
        mine.transport.write(MEGABYTE)
        target.transport.write(MEGABYTE)
        settle(both, pipe)
        self.assertTrue(mine.data == target.data == MEGABYTE)
        mine.transport.loseConnection()
        settle(both, pipe)
        self.assertLost(mine, ConnectionDone)
        self.assertLost(target, ConnectionDone)

    def test_targetCloses(self) -> None:
        """
        A target that closes ends the tunnel, after its last byte.
        """
        mine, target = Keeper(), Keeper()
        both, pipe = self.through(mine, target)
        target.transport.write(MEGABYTE)
        target.transport.loseConnection()
        settle(both, pipe)
        self.assertTrue(mine.data == MEGABYTE)
        self.assertLost(mine, ConnectionDone)
        self.assertLost(target, ConnectionDone)

    def test_slowTarget(self) -> None:
        """
        A target that does not read stops the client, with little held in between.
        """
        mine, target = Keeper(), Keeper()
        both, pipe = self.through(mine, target)
        target.transport.pauseProducing()
        producer = Push(mine.transport)
        mine.transport.registerProducer(producer, True)
        for _ in range(200):
            producer.produce(10_000_000)
            settle(both, pipe)
        self.assertTrue(producer.paused)
        self.assertLess(producer.written, 2 * Settings().initialWindowSize + 200_000)
        target.transport.resumeProducing()
        for _ in range(2000):
            producer.produce(3_000_000)
            settle(both, pipe)
        self.assertEqual(len(target.data), 3_000_000)

    def test_slowClient(self) -> None:
        """
        A client that does not read stops the target, with little held in between.
        """
        mine, target = Keeper(), Keeper()
        both, pipe = self.through(mine, target)
        mine.transport.pauseProducing()
        producer = Push(target.transport)
        target.transport.registerProducer(producer, True)
        for _ in range(200):
            producer.produce(10_000_000)
            settle(both, pipe)
        self.assertTrue(producer.paused)
        self.assertLess(producer.written, Settings().initialWindowSize + 300_000)
        mine.transport.resumeProducing()
        for _ in range(2000):
            producer.produce(3_000_000)
            settle(both, pipe)
        self.assertEqual(len(mine.data), 3_000_000)

    def test_clientHalfCloses(self) -> None:
        """
        END_STREAM of the client closes half of the target's connection; the answer still comes.
        """
        mine, target = HalfKeeper(), HalfKeeper()
        both, pipe = self.through(mine, target)
        mine.transport.write(b"question")
        mine.transport.loseWriteConnection()
        settle(both, pipe)
        self.assertEqual((target.data, target.log), (b"question", ["made", "read lost"]))
        target.transport.write(b"answer")
        target.transport.loseConnection()
        settle(both, pipe)
        self.assertEqual(mine.data, b"answer")
        self.assertLost(mine, ConnectionDone)
        self.assertLost(target, ConnectionDone)

    def test_targetHalfCloses(self) -> None:
        """
        The end of half of the target's connection is END_STREAM for the client; what it sends still arrives.
        """
        mine, target = HalfKeeper(), HalfKeeper()
        both, pipe = self.through(mine, target)
        target.transport.write(b"hello")
        target.transport.loseWriteConnection()
        settle(both, pipe)
        self.assertEqual((mine.data, mine.log), (b"hello", ["made", "read lost"]))
        mine.transport.write(b"bye")
        mine.transport.loseConnection()
        settle(both, pipe)
        self.assertEqual(target.data, b"bye")
        self.assertLost(mine, ConnectionDone)
        self.assertLost(target, ConnectionDone)

    def test_targetResets(self) -> None:
        """
        A target's connection that breaks is CONNECT_ERROR for the client (RFC 9113 section 8.5), never an orderly end.
        """
        mine, target = Keeper(), Keeper()
        both, pipe = self.through(mine, target)
        target.transport.abortConnection()
        settle(both, pipe)
        self.assertEqual(self.assertLost(mine, ConnectionLost, StreamError).code, ErrorCode.CONNECT_ERROR)
        self.assertFalse(both.client.destroyed)

    def test_clientResets(self) -> None:
        """
        A client that resets its stream, or whose session breaks, has the target's connection aborted.
        """
        for breaks in (
            lambda mine, both: mine.transport.abortConnection(),
            lambda mine, both: both.pipe.second.abortConnection(),
        ):
            self.endpoint = FakeEndpoint()
            mine, target = Keeper(), Keeper()
            both, pipe = self.through(mine, target)
            breaks(mine, both)
            settle(both, pipe)
            self.assertTrue(pipe.first.aborted)
            self.assertEqual(len(mine.reasons), 1)
            self.assertLost(target, ConnectionLost)

    def test_clientResetsWhileTargetIsSlow(self) -> None:
        """
        A reset reaches the target also while it does not read.
        """
        mine, target = Keeper(), Keeper()
        both, pipe = self.through(mine, target)
        target.transport.pauseProducing()
        mine.transport.write(MEGABYTE)
        settle(both, pipe)
        mine.transport.abortConnection()
        settle(both, pipe)
        self.assertTrue(pipe.first.aborted)

    def test_earlyData(self) -> None:
        """
        What a client sends before it has its answer reaches the target, and its end too.
        """
        both = self.proxied()
        stream = both.client.request({":method": "CONNECT", ":authority": "target.example:7"})
        stream.end(b"early")
        settle(both)
        target = HalfKeeper()
        pipe = self.endpoint.succeed(target)
        settle(both, pipe)
        self.assertEqual((target.data, target.log), (b"early", ["made", "read lost"]))
        target.transport.loseConnection()
        settle(both, pipe)
        self.assertEqual(self.successResultOf(stream.read()), b"")
        self.assertTrue(stream.closed)

    def test_notAllowed(self) -> None:
        """
        What C{allow} does not answer with C{True} is refused with 403, promises included; nothing is connected.
        """
        for answer in (False, None, 1, "yes", Deferred()):
            self.assertEqual(self.refusal(self.proxied(lambda host, port, answer=answer: answer)), 403)
        self.assertEqual(self.endpoint.asked, [])

    def test_allowFails(self) -> None:
        """
        An C{allow} that fails allows nothing, and is logged.
        """
        self.assertEqual(self.refusal(self.proxied(lambda host, port: 1 // 0)), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_authorities(self) -> None:
        """
        A target is a host and a port; C{allow} gets them in one spelling.
        """
        asked: list[tuple[str, int]] = []

        def allow(host: str, port: int) -> bool:
            asked.append((host, port))
            return False

        both = self.proxied(allow)
        for good in ("target.example:443", "TARGET.example.:65535", "192.0.2.1:1", "[2001:DB8::1]:80", "a_b-c:22"):
            self.assertEqual(self.refusal(both, good), 403)
        self.assertEqual(
            asked,
            [("target.example", 443), ("target.example", 65535), ("192.0.2.1", 1), ("2001:db8::1", 80), ("a_b-c", 22)],
        )
        for bad in ("target.example", "a:", "a:0", "a:65536", "a:123456", ":80", ".:80", "a:b", "::1:80", "[::1]"):
            self.assertEqual(self.refusal(both, bad), 400, bad)
        for bad in ("[:::]:80", "[1.2]:80", "a%2eb:80", "a,b:80", "a:+80", "[::1%25lo]:80", "a:80:80", "\u00e9:80"):
            self.assertEqual(self.refusal(both, bad), 400, bad)
        self.assertEqual(len(asked), 5)

    def test_otherRequests(self) -> None:
        """
        Other methods get 405 and are told which one there is; extended CONNECT gets 501.
        """
        proxy = TunnelProxy(None, lambda host, port: True, endpointFor=self.endpoint)
        both = connectedSessions(proxy.streamReceived, settings=EXTENDED)
        stream = both.client.request()
        opening = openTunnel(both.client, "localhost:80", protocol="websocket")
        settle(both)
        headers = self.successResultOf(stream.whenResponse())
        self.assertEqual((headers.status, headers["allow"]), (405, "CONNECT"))
        self.assertEqual(self.failureResultOf(opening, TunnelRefused).value.status, 501)
        self.assertEqual(self.endpoint.asked, [])

    def test_connectFails(self) -> None:
        """
        A target that cannot be reached is 502, one that does not answer in time 504; neither is worth a log entry.
        """
        for error, status in (
            (ConnectionRefusedError(), 502),
            (ConnectError(), 502),
            (DNSLookupError(), 502),
            (OSError(), 502),
            (TCPTimedOutError(), 504),
        ):
            self.endpoint.result = fail(error)
            self.assertEqual(self.refusal(self.proxied()), status)

    def test_connectFailsStrangely(self) -> None:
        """
        A failure that is nobody's connection is 502 too, and is logged.
        """
        self.endpoint.result = fail(ZeroDivisionError())
        self.assertEqual(self.refusal(self.proxied()), 502)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_targetLostBefore(self) -> None:
        """
        A target that is lost before its endpoint says that it is there is 502.
        """
        both = self.proxied()
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        self.endpoint.succeed(Keeper(), lambda pipe: (pipe.second.abortConnection(), pipe.pump()))
        settle(both)
        self.assertEqual(self.failureResultOf(opening, TunnelRefused).value.status, 502)

    def test_targetSpeaksBefore(self) -> None:
        """
        What a target says before its endpoint says that it is there reaches the client.
        """
        both = self.proxied()
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        target = Keeper()
        target.whenMade = lambda: target.transport.write(b"220 welcome")
        pipe = self.endpoint.succeed(target, Pipe.pump)
        settle(both, pipe)
        mine = Keeper()
        StreamTransport(self.successResultOf(opening)).run(mine)
        self.assertEqual(mine.data, b"220 welcome")

    def test_connectTimeout(self) -> None:
        """
        A connection that is not there after C{connectTimeout} is given up with 504.
        """
        both = self.proxied(connectTimeout=5)
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        both.advance(4.9)
        self.assertNoResult(opening)
        both.advance(0.2)
        settle(both)
        self.assertEqual(self.failureResultOf(opening, TunnelRefused).value.status, 504)
        self.assertEqual(self.endpoint.cancelled, 1)

    def test_noTimeout(self) -> None:
        """
        A C{connectTimeout} of 0 waits for ever; what is no number of seconds is refused.
        """
        both = self.proxied(connectTimeout=0)
        opening = openTunnel(both.client, "target.example:7")
        settle(both)
        both.advance(100_000)
        self.assertNoResult(opening)
        opening.cancel()
        settle(both)
        self.failureResultOf(opening, CancelledError)
        self.assertRaises(InvalidSetting, TunnelProxy, None, lambda host, port: True, -1)

    def test_clientGivesUp(self) -> None:
        """
        A client that resets its request, or whose session ends, stops the proxy from connecting.
        """
        for breaks in (
            lambda opening, both: opening.cancel(),
            lambda opening, both: both.client.destroy(),
        ):
            self.endpoint = FakeEndpoint()
            both = self.proxied()
            opening = openTunnel(both.client, "target.example:7")
            settle(both)
            opening.addErrback(lambda _: None)
            breaks(opening, both)
            settle(both)
            self.assertEqual(self.endpoint.cancelled, 1)

    def test_hostnames(self) -> None:
        """
        Without C{endpointFor} it connects to a host and a port by Twisted's endpoint for these.
        """
        endpoint = TunnelProxy(reactor, lambda host, port: True)._endpointFor("target.example", 7)
        self.assertIn("target.example", repr(endpoint))


class EndpointTests(TunnelTestCase):
    """
    L{TunnelEndpoint}.
    """

    def setUp(self) -> None:
        """
        Connect sessions whose server runs a protocol in each tunnel.
        """
        self.served: list[Any] = []
        self.asked: list[ServerStream] = []
        self.answer: Callable[[ServerStream], object] = self.accept
        self.both = connectedSessions(self.streamReceived)
        self.endpoint = TunnelEndpoint(self.both.client, "target.example", 7)

    def streamReceived(self, stream: ServerStream, headers: Headers) -> None:
        """
        Answer.
        """
        self.asked.append(stream)
        self.answer(stream)

    def accept(self, stream: ServerStream) -> None:
        """
        Answer well.
        """
        self.served.append(Echo())
        acceptTunnel(stream, self.served[-1])

    def connect(self, factory: Factory, endpoint: Any = None) -> Deferred[Any]:
        """
        Connect through the server.
        """
        connecting: Deferred[Any] = (endpoint or self.endpoint).connect(factory)
        settle(self.both)
        return connecting

    def test_connect(self) -> None:
        """
        It is an endpoint: it connects a factory's protocol, whose peer is the target.
        """
        verifyObject(IStreamClientEndpoint, self.endpoint)
        factory = CountingFactory()
        keeper = self.successResultOf(self.connect(factory))
        target = HostnameAddress(b"target.example", 7)
        self.assertEqual((keeper.transport.getPeer(), factory.addresses), (target, [target]))
        self.assertEqual(self.asked[0].headers.authority, "target.example:7")
        keeper.transport.write(b"x")
        settle(self.both)
        self.assertEqual((keeper.data, factory.log), (b"x", ["start"]))
        keeper.transport.loseConnection()
        settle(self.both)
        self.assertLost(keeper, ConnectionDone)
        self.assertEqual(factory.log, ["start", "stop"])

    def test_hosts(self) -> None:
        """
        Addresses get their brackets, names in other scripts their ASCII form, and headers go along.
        """
        for host in ("2001:db8::1", b"192.0.2.1", "b\u00fccher.example"):
            endpoint = TunnelEndpoint(self.both.client, host, 80, {"x-token": "t"})
            self.successResultOf(self.connect(CountingFactory(), endpoint))
        self.assertEqual(
            [each.headers.authority for each in self.asked],
            ["[2001:db8::1]:80", "192.0.2.1:80", "xn--bcher-kva.example:80"],
        )
        self.assertEqual(self.asked[0].headers["x-token"], "t")

    def test_invalid(self) -> None:
        """
        What cannot be asked for fails the Deferred, as endpoints do.
        """
        factory = CountingFactory()
        endpoint = TunnelEndpoint(self.both.client, "a b", 80)
        self.failureResultOf(self.connect(factory, endpoint), InvalidHeader)
        self.assertEqual(factory.log, ["start", "stop"])

    def test_refused(self) -> None:
        """
        A refusal fails the Deferred with the status.
        """
        self.answer = lambda stream: stream.respond({":status": 403}, endStream=True)
        factory = CountingFactory()
        error = self.failureResultOf(self.connect(factory), TunnelRefused).value
        self.assertEqual((error.status, factory.log), (403, ["start", "stop"]))

    def test_cancelled(self) -> None:
        """
        Cancelling it resets the stream with CANCEL and fails as other endpoints do.
        """
        self.answer = lambda stream: None
        factory = CountingFactory()
        connecting = self.connect(factory)
        connecting.cancel()
        settle(self.both)
        self.failureResultOf(connecting, ConnectingCancelledError)
        self.assertEqual((self.asked[0].rstCode, factory.log), (ErrorCode.CANCEL, ["start", "stop"]))

    def test_sessionLost(self) -> None:
        """
        A session that ends while it connects fails it with the session's error.
        """
        self.answer = lambda stream: None
        connecting = self.connect(CountingFactory())
        self.both.pipe.first.abortConnection()
        self.both.pipe.second.abortConnection()
        settle(self.both)
        self.failureResultOf(connecting, SessionError)

    def test_noProtocol(self) -> None:
        """
        A factory that makes no protocol, or fails to, has its tunnel reset with CANCEL.
        """
        for build, error in ((lambda address: None, NoProtocol), (lambda address: 1 // 0, ZeroDivisionError)):
            factory = CountingFactory()
            factory.buildProtocol = build  # type: ignore[method-assign, assignment]
            self.failureResultOf(self.connect(factory), error)
            self.assertEqual((self.asked[-1].rstCode, factory.log), (ErrorCode.CANCEL, ["start", "stop"]))

    def test_connectionMadeFails(self) -> None:
        """
        A protocol that fails to begin fails the Deferred, and its tunnel is reset with CANCEL.
        """
        factory = CountingFactory()
        factory.whenMade = lambda: 1 // 0
        self.failureResultOf(self.connect(factory), ZeroDivisionError)
        self.assertEqual((self.asked[-1].rstCode, factory.log), (ErrorCode.CANCEL, ["start", "stop"]))

    def test_agent(self) -> None:
        """
        Twisted's C{Agent} and its C{Site} speak HTTP/1.1 inside a tunnel, a long body and a second request included.
        """

        class Page(Resource):
            """
            Says what was sent.
            """

            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                """Answer."""
                return bytes(request.uri) + MEGABYTE

        site = Site(Page(), reactor=self.both.clock)
        self.addCleanup(site.doStop)
        site.doStart()
        self.answer = lambda stream: acceptTunnel(stream, site.buildProtocol(stream.getPeer()))

        endpoint = self.endpoint

        class Endpoints:
            """
            Gives the same endpoint for everything.
            """

            def endpointForURI(self, uri: Any) -> Any:
                """Give it."""
                return endpoint

        agent: Any = Agent.usingEndpointFactory(self.both.clock, Endpoints())
        for path in (b"/first", b"/second"):
            requesting = agent.request(b"GET", b"http://target.example:7" + path)
            settle(self.both)
            response = self.successResultOf(requesting)
            reading = readBody(response)
            settle(self.both)
            self.assertTrue(self.successResultOf(reading) == path + MEGABYTE)
        settle(self.both)
        self.assertTrue(all(each.closed for each in self.asked))

    def test_http2Inside(self) -> None:
        """
        HTTP/2 runs inside a tunnel of HTTP/2.
        """
        inner = Server(lambda stream, headers: stream.end(b"inside"), clock=self.both.clock)
        self.answer = lambda stream: acceptTunnel(stream, inner.buildProtocol(None), reactor=self.both.clock)
        connecting = connect(self.both.clock, "http://target.example:7", endpoint=self.endpoint)
        settle(self.both)
        session = self.successResultOf(connecting)
        reading = session.request().read()
        settle(self.both)
        self.assertEqual(self.successResultOf(reading), b"inside")
        closing = session.close()
        settle(self.both)
        self.both.advance(20)
        settle(self.both)
        self.successResultOf(closing)
        self.assertFalse(self.both.client.destroyed)


class CountingFactory(Factory):
    """
    Makes keepers and notes what happens to it.
    """

    noisy = False

    def __init__(self) -> None:
        self.log: list[str] = []
        self.addresses: list[Any] = []
        self.whenMade: Callable[[], object] = lambda: None

    def startFactory(self) -> None:
        """Note it."""
        self.log.append("start")

    def stopFactory(self) -> None:
        """Note it."""
        self.log.append("stop")

    def buildProtocol(self, address: Any) -> Any:
        """Make one."""
        self.addresses.append(address)
        keeper = Keeper()
        keeper.whenMade = self.whenMade
        return keeper


class TLSTests(TunnelTestCase):
    """
    TLS inside a tunnel, with a certificate made for the purpose.
    """

    def setUp(self) -> None:
        """
        Make a certificate.
        """
        self.made = developmentCertificate(self.mktemp())

    def tls(self, client: Keeper, server: Keeper, host: bytes = b"localhost", **trust: Any) -> ConnectedSessions:
        """
        Speak TLS in a tunnel.
        """
        both = connectedSessions(lambda stream, headers: acceptTunnel(stream, wrapped(server, False)) and None)
        trust = trust or {"trustRoot": self.made.certificatePath}
        creators = (
            serverContextFactory(self.made.privateKeyPath, protocols=[b"x"]),
            clientContextFactory(protocols=[b"x"], **trust).creatorForNetloc(host, 443),
        )

        def wrapped(protocol: Keeper, isClient: bool) -> Any:
            factory = Factory.forProtocol(lambda: protocol)  # type: ignore[arg-type]
            factory.noisy = False
            tls = TLSMemoryBIOFactory(creators[isClient], isClient, factory, clock=both.clock)
            return tls.buildProtocol(None)

        opening = openTunnel(both.client, "localhost:443")
        settle(both)
        StreamTransport(self.successResultOf(opening)).run(wrapped(client, True))
        return both

    def test_bothWays(self) -> None:
        """
        Either end is client or server of TLS; a megabyte goes each way, and one end's close is both ends'.
        """
        client, server = Keeper(), Echo()
        both = self.tls(client, server)
        client.transport.write(MEGABYTE)
        settle(both)
        self.assertTrue(client.data == MEGABYTE)
        self.assertEqual((client.transport.negotiatedProtocol, server.transport.negotiatedProtocol), (b"x", b"x"))
        subject = client.transport.getPeerCertificate().to_cryptography().subject.rfc4514_string()
        self.assertIn("localhost", subject)
        server.transport.unregisterProducer()
        client.transport.loseConnection()
        settle(both)
        self.assertLost(client, ConnectionDone)
        self.assertLost(server, ConnectionDone)

    def test_untrusted(self) -> None:
        """
        A certificate that is not trusted, or is another host's, fails the handshake at both ends and nothing else.
        """
        for host, trust in (
            (b"localhost", {"trustRoot": Path(developmentCertificate(self.mktemp()).certificatePath)}),
            (b"other.example", {}),
        ):
            client, server = Keeper(), Keeper()
            both = self.tls(client, server, host, **trust)
            settle(both)
            self.assertEqual((len(client.reasons), len(server.reasons)), (1, 1))
            self.assertFalse(client.reasons[0].__class__ is ConnectionDone)
            self.assertFalse(both.client.destroyed)

    def test_lostInHandshake(self) -> None:
        """
        Either end may give up, or be given up, in the middle of the handshake.
        """
        for verb in ("loseConnection", "abortConnection"):
            client, server = Keeper(), Keeper()
            both = self.tls(client, server)
            client._in(getattr(client.transport, verb))
            settle(both)
            self.assertEqual((len(client.reasons), len(server.reasons)), (1, 1))
            self.assertIn(type(client.reasons[0]), (ConnectionAborted, ConnectionLost))

    def test_truncated(self) -> None:
        """
        A tunnel that ends without TLS's own end does not pass for whole.
        """
        client, server = Keeper(), Keeper()
        both = self.tls(client, server)
        settle(both)
        server.transport.transport.loseConnection()
        settle(both)
        self.assertLost(client, ConnectionLost)


class LoopbackTests(TestCase):
    """
    Client, proxy and target on real sockets.
    """

    timeout = 30

    async def listen(self, factory: Any) -> int:
        """
        Listen on a port of this host.
        """
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    async def session(self, target: int) -> Any:
        """
        Connect to a proxy that allows one target.
        """

        def allow(host: str, port: int) -> bool:
            return (host, port) == ("127.0.0.1", target)

        server = Server(TunnelProxy(reactor, allow).streamReceived)
        port = await server.listen(TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"))
        self.addCleanup(server.close, 1)
        session = await connect(reactor, f"http://127.0.0.1:{port.getHost().port}")
        self.addCleanup(session.close)
        return session

    async def test_echo(self) -> None:
        """
        A megabyte goes to a TCP server and back; every end of every connection is told.
        """
        echo = OneFactory(Echo())
        target = await self.listen(echo)
        session = await self.session(target)
        mine = OneFactory(Keeper())
        whole: Deferred[None] = Deferred()
        mine.only.whenReceived = lambda: len(mine.only.data) == len(MEGABYTE) and whole.callback(None)
        keeper: Any = await TunnelEndpoint(session, "127.0.0.1", target).connect(mine)
        keeper.transport.write(MEGABYTE)
        await whole
        self.assertTrue(keeper.data == MEGABYTE)
        keeper.transport.loseConnection()
        self.assertEqual([type(await mine.lost), type(await echo.lost)], [ConnectionDone, ConnectionDone])

    async def test_halfClose(self) -> None:
        """
        Half a connection can end first at either end; no socket is left open.
        """
        for first in ("client", "target"):
            target = OneFactory(HalfKeeper())
            port = await self.listen(target)
            session = await self.session(port)
            mine = OneFactory(HalfKeeper())
            keeper: Any = await TunnelEndpoint(session, "127.0.0.1", port).connect(mine)
            far = await target.made
            one, other = (keeper, far) if first == "client" else (far, keeper)
            heard: Deferred[None] = Deferred()
            other.readConnectionLost = lambda heard=heard: heard.callback(None)
            one.readConnectionLost = one.transport.loseConnection  # which TCP does not do by itself
            one.transport.loseWriteConnection()
            await heard
            other.transport.write(b"answer")
            other.transport.loseConnection()
            self.assertEqual([type(await mine.lost), type(await target.lost)], [ConnectionDone] * 2)
            self.assertEqual(one.data, b"answer")

    async def test_targetResets(self) -> None:
        """
        A TCP reset of the target is CONNECT_ERROR for the client.
        """
        target = OneFactory(Keeper())
        port = await self.listen(target)
        session = await self.session(port)
        mine = OneFactory(Keeper())
        await TunnelEndpoint(session, "127.0.0.1", port).connect(mine)
        (await target.made).transport.abortConnection()
        reason = await mine.lost
        self.assertEqual((type(reason), reason.__cause__.code), (ConnectionLost, ErrorCode.CONNECT_ERROR))

    async def test_clientResets(self) -> None:
        """
        A client's reset is a TCP reset for the target.
        """
        target = OneFactory(Keeper())
        port = await self.listen(target)
        session = await self.session(port)
        keeper: Any = await TunnelEndpoint(session, "127.0.0.1", port).connect(OneFactory(Keeper()))
        await target.made
        keeper.transport.abortConnection()
        self.assertEqual(type(await target.lost), ConnectionLost)

    async def test_refused(self) -> None:
        """
        A target where nobody listens is 502, one that is not allowed 403.
        """
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(OneFactory(Keeper()))
        closed = port.getHost().port
        await port.stopListening()
        session = await self.session(closed)
        for host, status in (("127.0.0.1", 502), ("127.0.0.2", 403)):
            connecting = TunnelEndpoint(session, host, closed).connect(OneFactory(Keeper()))
            with self.assertRaises(TunnelRefused) as caught:
                await connecting
            self.assertEqual(caught.exception.status, status)


class OneFactory(Factory):
    """
    Makes one connection and tells when it is made and lost.
    """

    noisy = False

    def __init__(self, only: Any) -> None:
        self.only = only
        self.made: Deferred[Any] = Deferred()
        self.lost: Deferred[Any] = Deferred()

    def buildProtocol(self, address: Any) -> Any:
        """Give it."""
        protocol, connectionLost = self.only, self.only.connectionLost
        protocol.whenMade = lambda: self.made.callback(protocol)

        def lost(reason: Failure) -> None:
            connectionLost(reason)
            self.lost.callback(reason.value)

        protocol.connectionLost = lost
        return protocol
