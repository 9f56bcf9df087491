"""
L{txh2session.twistedwebsocket}: protocols that conform to L{twisted.web.websocket}, in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.server import Request

from txh2session import Headers, InvalidState, ServerStream, Settings, TunnelRefused
from txh2session.testing import ConnectedSessions, connectedSessions
from txh2session.twistedwebsocket import _Bridge, acceptFactory, openFactory
from txh2session.websocket import WebSocket, WebSocketClosed, openWebSocket

EXTENDED = Settings(enableConnectProtocol=True)


class Recorder:
    """
    A C{WebSocketProtocol} that writes down what it is told, and its own factory for either side.
    """

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.built: Any = None
        self.transport: Any = None
        self.whenOpen: Callable[[], object] = lambda: None
        self.failWith: dict[str, Exception] = {}

    def buildProtocol(self, what: Any) -> Recorder:
        """See C{WebSocketServerFactory} and C{WebSocketClientFactory}."""
        self.built = what
        return self

    def _note(self, *what: Any) -> None:
        self.log.append(what if len(what) > 1 else what[0])
        if what[0] in self.failWith:
            raise self.failWith[what[0]]

    def negotiationStarted(self, transport: Any) -> None:
        """Note it."""
        self.transport = transport
        self._note("started")

    def negotiationFinished(self) -> None:
        """Note it."""
        self._note("finished")
        self.whenOpen()

    def pongReceived(self, payload: bytes) -> None:
        """Note it."""
        self._note("pong", payload)

    def textMessageReceived(self, message: str) -> None:
        """Note it."""
        self._note("text", message)

    def bytesMessageReceived(self, data: bytes | bytearray) -> None:
        """Note it."""
        self._note("bytes", data)

    def connectionLost(self, reason: Failure) -> None:
        """Note it."""
        self._note("lost", reason.value)


class Noting:
    """
    A producer that notes what it is told.
    """

    def __init__(self, log: list[str]) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Callable[[], None]:
        return lambda: self._log.append(name)


class FactoryTests(SynchronousTestCase):
    """
    Both sides.
    """

    def serve(self, factory: Any, **options: Any) -> ConnectedSessions:
        """
        Serve a factory.
        """

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            self.accepted = acceptFactory(stream, factory, **options)

        return connectedSessions(streamReceived, settings=EXTENDED)

    def client(self, both: ConnectedSessions, path: str = "/", **options: Any) -> WebSocket:
        """
        Open a WebSocket as the client of a factory.
        """
        opening = openWebSocket(both.client, path, **options)
        both.pump()
        return self.successResultOf(opening)

    def both(self) -> tuple[Recorder, Recorder, ConnectedSessions]:
        """
        Have a protocol on each side.
        """
        near, far = Recorder(), Recorder()
        both = self.serve(far)
        opening = openFactory(both.client, near, "/chat?a=b")
        self.assertEqual(near.log, ["started"])
        both.pump()
        self.assertIs(self.successResultOf(opening), near)
        self.assertEqual((near.log, far.log), (["started", "finished"], ["started", "finished"]))
        near.log.clear()
        far.log.clear()
        return near, far, both

    def test_interface(self) -> None:
        """
        The transport has all that Twisted's has.
        """
        try:
            from twisted.web.websocket import WebSocketTransport
        except ImportError as error:
            raise SkipTest(f"this Twisted has no WebSockets: {error}") from error
        wanted = {name for name in vars(WebSocketTransport) if not name.startswith("_")}
        self.assertEqual({name for name in wanted if not callable(getattr(_Bridge, name, None))}, set())

    def test_messages(self) -> None:
        """
        Text, bytes, pings and pongs go both ways.
        """
        near, far, both = self.both()
        for sender, receiver in ((near, far), (far, near)):
            sender.transport.sendTextMessage("text")
            sender.transport.sendBytesMessage(b"bytes")
            sender.transport.ping(b"!")
            both.pump()
            self.assertEqual(receiver.log, [("text", "text"), ("bytes", b"bytes")])
            self.assertEqual(sender.log, [("pong", b"!")])
            near.log.clear()
            far.log.clear()

    def test_close(self) -> None:
        """
        Closing tells both in order; what is sent after that is dropped.
        """
        near, far, both = self.both()
        near.transport.sendTextMessage("last")
        near.transport.loseConnection()
        near.transport.sendTextMessage("too late")
        near.transport.loseConnection()
        both.pump()
        far.transport.sendTextMessage("too late")
        far.transport.loseConnection()
        self.assertEqual([each if isinstance(each, str) else each[0] for each in far.log], ["text", "lost"])
        for each in (near, far):
            self.assertIsInstance(each.log[-1][1], ConnectionDone)

    def test_closeWithCode(self) -> None:
        """
        An unusual code is an error for the other side, which finds it in the cause.
        """
        near, far, both = self.both()
        near.transport.loseConnection(4000)
        both.pump()
        self.assertIsInstance(near.log[-1][1], ConnectionDone)
        lost = far.log[-1][1]
        self.assertIsInstance(lost, ConnectionLost)
        self.assertEqual(lost.__cause__.code, 4000)

    def test_cut(self) -> None:
        """
        A session that breaks is a lost connection.
        """
        near, far, both = self.both()
        both.pipe.lose()
        for each in (near, far):
            lost = each.log[-1][1]
            self.assertIsInstance(lost, ConnectionLost)
            self.assertIsInstance(lost.__cause__, WebSocketClosed)

    def test_request(self) -> None:
        """
        The server's factory is given a request to read from, as over HTTP/1.1.
        """
        far = Recorder()
        both = self.serve(far)
        self.client(both, "/chat/x?a=b&a=c&d=", headers={"cookie": "k=v", "x-name": ["1", "2"], "origin": "http://a"})
        request = far.built
        self.assertIsInstance(request, Request)
        self.assertEqual((request.method, request.uri, request.path), (b"GET", b"/chat/x?a=b&a=c&d=", b"/chat/x"))
        self.assertEqual(request.args, {b"a": [b"b", b"c"], b"d": [b""]})
        self.assertEqual((request.postpath, request.getCookie(b"k")), ([b"chat", b"x"], b"v"))
        self.assertEqual(request.getHeader(b"origin"), b"http://a")
        self.assertEqual(request.getHeader("host"), "localhost")
        self.assertEqual(list(request.requestHeaders.getRawHeaders(b"x-name")), [b"1", b"2"])
        self.assertEqual(request.getClientAddress(), self.accepted.stream.getPeer())  # type: ignore[union-attr]
        self.assertFalse(request.isSecure())

    def test_url(self) -> None:
        """
        The client's factory is given the URL.
        """
        near, far, both = self.both()
        self.assertEqual(near.built, "ws://localhost/chat?a=b")

    def test_sendAtOnce(self) -> None:
        """
        What is sent as soon as it is open arrives; before, it is misuse.
        """
        far = Recorder()
        far.whenOpen = lambda: far.transport.sendTextMessage("welcome")
        both = self.serve(far)
        webSocket = self.client(both)
        self.assertEqual(self.successResultOf(webSocket.receive()), "welcome")
        near = Recorder()
        opening = openFactory(both.client, near)
        self.assertRaises(InvalidState, near.transport.sendTextMessage, "too early")
        both.pump()
        self.successResultOf(opening)

    def test_producer(self) -> None:
        """
        A producer is paused while the peer does not read, and resumed when it does.
        """
        near, far, both = self.both()
        log: list[str] = []

        assert self.accepted is not None
        far.transport.attachProducer(Noting(log))
        near.transport._webSocket.pauseProducing()
        while "pauseProducing" not in log:
            far.transport.sendBytesMessage(bytes(20_000))
            both.pump()
        near.transport._webSocket.resumeProducing()
        both.pump()
        self.assertEqual(log, ["pauseProducing", "resumeProducing"])
        far.transport.detachProducer()
        far.transport.sendBytesMessage(bytes(200_000))
        self.assertEqual(log, ["pauseProducing", "resumeProducing"])

    def test_producerTooLate(self) -> None:
        """
        A producer that comes when it is over is told to stop, as other transports do.
        """
        near, far, both = self.both()
        log: list[str] = []

        far.transport.loseConnection()
        far.transport.attachProducer(Noting(log))
        near.transport._webSocket.abort()
        both.pump()
        near.transport.attachProducer(Noting(log))
        self.assertEqual(log, ["stopProducing", "stopProducing"])

    def test_refused(self) -> None:
        """
        A server that refuses fails the opening, and the protocol is told.
        """
        both = connectedSessions(
            lambda stream, headers: stream.respond({":status": 403}, endStream=True), settings=EXTENDED
        )
        near = Recorder()
        opening = openFactory(both.client, near)
        both.pump()
        self.assertEqual(self.failureResultOf(opening, TunnelRefused).value.status, 403)
        self.assertEqual((near.log[0], near.log[1][0]), ("started", "lost"))

    def test_badRequest(self) -> None:
        """
        A request that is no proper one builds no protocol.
        """
        far = Recorder()
        both = self.serve(far)
        both.client.request({":method": "CONNECT", ":protocol": "websocket"})
        both.pump()
        self.assertEqual((self.accepted, far.built), (None, None))

    def test_failing(self) -> None:
        """
        A protocol that fails is logged, and closes its WebSocket with 1011 unless that was at its end.
        """
        for where in ("started", "finished", "text", "lost"):
            far = Recorder()
            far.failWith[where] = RuntimeError(where)
            both = self.serve(far)
            webSocket = self.client(both)
            webSocket.send("hi").addErrback(lambda failure: failure.trap(WebSocketClosed))
            both.pump()
            if where == "lost":
                webSocket.close().addErrback(lambda _: None)
                both.pump()
            self.assertEqual(webSocket.closeCode, 1000 if where == "lost" else 1011, where)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failingClient(self) -> None:
        """
        A client's protocol that fails to begin fails the opening.
        """
        far = Recorder()
        both = self.serve(far)
        near = Recorder()
        near.failWith["started"] = RuntimeError("started")
        self.assertRaises(RuntimeError, openFactory, both.client, near)
        both.pump()
        self.assertEqual(both.client.state.localStreams, 0)
        near = Recorder()
        near.failWith["finished"] = RuntimeError("finished")
        opening = openFactory(both.client, near)
        both.pump()
        self.failureResultOf(opening, RuntimeError)
        self.assertEqual(both.client.state.localStreams, 0)
        self.assertEqual(far.log[-1][1].__cause__.code, 1011)
