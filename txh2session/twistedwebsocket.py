"""
The protocols of L{twisted.web.websocket}, which Twisted has since version 26, over HTTP/2: what conforms to its
C{WebSocketServerFactory}, C{WebSocketClientFactory} and C{WebSocketProtocol} runs in a stream unchanged.

  - Servers answer with L{acceptFactory}.
  - Clients ask with L{openFactory}.

Twisted's C{WebSocketResource} and C{WebSocketClientEndpoint} speak HTTP/1.1 and are of no use here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from txh2session.client import ClientSession
from txh2session.errors import InvalidState
from txh2session.server import ServerStream
from txh2session.websocket import CloseCode, acceptWebSocket, openWebSocket
from txh2session.websocket._websocket import WebSocket, WebSocketClosed, WebSocketListener

if TYPE_CHECKING:
    from twisted.web.websocket import WebSocketClientFactory, WebSocketProtocol, WebSocketServerFactory

_log = Logger()

__all__ = ["acceptFactory", "openFactory"]

_P = TypeVar("_P", bound="WebSocketProtocol")


class _Bridge(WebSocketListener):
    """
    The C{WebSocketTransport} of one protocol, and what tells it of a L{WebSocket}.
    """

    def __init__(self, protocol: WebSocketProtocol) -> None:
        self._protocol = protocol
        self._webSocket: WebSocket | None = None
        self._losing = False
        protocol.negotiationStarted(self)

    def run(self, webSocket: WebSocket) -> None:
        """
        Tell the protocol that it is open, then what comes.
        """
        self._webSocket = webSocket
        self._protocol.negotiationFinished()
        webSocket.deliverMessages(self)

    def fail(self, reason: Failure) -> None:
        """
        Tell the protocol that it will not be open.
        """
        try:
            self._protocol.connectionLost(reason)
        except Exception:
            _log.failure("connectionLost failed for {protocol!r}", protocol=self._protocol)

    # WebSocketTransport

    def _do(self, what: Callable[[WebSocket], object]) -> bool:
        """
        Do something unless it is over: as other transports, this one takes what comes after the end and drops it.

        @return: whether it was done.
        """
        if self._webSocket is None:
            raise InvalidState("nothing can be sent before negotiationFinished()")
        if self._losing or self._webSocket.closed:
            return False
        result = what(self._webSocket)
        if isinstance(result, Deferred):
            result.addErrback(lambda _: None)  # connectionLost tells of the end
        return True

    def sendTextMessage(self, text: str) -> None:
        """
        Send a text message.
        """
        self._do(lambda webSocket: webSocket.send(text))

    def sendBytesMessage(self, data: bytes) -> None:
        """
        Send a binary message.
        """
        self._do(lambda webSocket: webSocket.send(data))

    def loseConnection(self, code: int = CloseCode.NORMAL) -> None:
        """
        Close the WebSocket.
        """
        self._do(lambda webSocket: webSocket.close(code))
        self._losing = True

    def ping(self, payload: bytes = b"") -> None:
        """
        Send a ping, of which C{pongReceived} tells.
        """
        self._do(lambda webSocket: webSocket.sendPing(payload))

    def attachProducer(self, producer: IPushProducer) -> None:
        """
        Have a producer paused while the peer does not take what is sent; when it is over, told to stop.
        """
        if not self._do(lambda webSocket: webSocket.stream.registerProducer(producer, True)):
            producer.stopProducing()

    def detachProducer(self) -> None:
        """
        Leave the producer alone.
        """
        self._do(lambda webSocket: webSocket.stream.unregisterProducer())

    # WebSocketListener

    def messageReceived(self, webSocket: WebSocket, message: str | bytes) -> None:
        """See L{WebSocketListener}."""
        if isinstance(message, str):
            self._protocol.textMessageReceived(message)
        else:
            self._protocol.bytesMessageReceived(message)

    def pongReceived(self, webSocket: WebSocket, payload: bytes) -> None:
        """See L{WebSocketListener}."""
        self._protocol.pongReceived(payload)

    def webSocketClosed(self, webSocket: WebSocket, error: WebSocketClosed | None) -> None:
        """See L{WebSocketListener}."""
        if error is None:
            self.fail(Failure(ConnectionDone()))
            return
        lost = ConnectionLost(str(error))
        lost.__cause__ = error
        self.fail(Failure(lost))


class _Channel:
    """
    What a L{Request} asks of the connection that it came on.
    """

    factory = None
    transport = None

    def __init__(self, stream: ServerStream) -> None:
        self._stream = stream
        self.site = Site(Resource())

    def getPeer(self) -> Any:
        """
        The client's address.
        """
        return self._stream.getPeer()

    def getHost(self) -> Any:
        """
        The server's address.
        """
        return self._stream.getHost()

    def isSecure(self) -> bool:
        """
        Whether there is TLS below.
        """
        return bool(self._stream.session.encrypted)


def _request(stream: ServerStream) -> Request:
    """
    Describe a stream's request as Twisted's handshake would have found it: a GET with these fields.
    """
    request = Request(_Channel(stream))
    request.gotLength(0)
    headers = stream.headers
    for name, value in headers.rawHeaders:
        if not name.startswith(b":"):
            request.requestHeaders.addRawHeader(name, value)
    if headers.authority is not None:
        request.requestHeaders.setRawHeaders(b"host", [headers.authority.encode("ascii", "replace")])
    request.method = b"GET"
    request.clientproto = b"HTTP/2"
    request.uri = headers.get(b":path", b"/")
    request.path, _, query = request.uri.partition(b"?")
    request.args = parse_qs(query, keep_blank_values=True)
    request.prepath, request.postpath = [], request.path.split(b"/")[1:]
    request.parseCookies()
    return request


def acceptFactory(
    stream: ServerStream, factory: WebSocketServerFactory[WebSocketProtocol], **options: Any
) -> WebSocket | None:
    """
    Accept the WebSocket that a request asks for, and run a protocol of a C{WebSocketServerFactory} in it.

    C{buildProtocol} is called with a L{twisted.web.server.Request} to read from: its path, arguments, headers, cookies and
    addresses are the request's, its method is GET, and nothing can be answered through it.

    C{connectionLost} comes with L{ConnectionDone} if the WebSocket was closed in order, else with a L{ConnectionLost} whose
    C{__cause__} is the L{WebSocketClosed<txh2session.websocket.WebSocketClosed>}.

    @param options: those of L{acceptWebSocket<txh2session.websocket.acceptWebSocket>}, whose results and errors these are.
    """
    webSocket = acceptWebSocket(stream, **options)
    if webSocket is None:
        return None
    try:
        _Bridge(factory.buildProtocol(_request(stream))).run(webSocket)
    except Exception:
        _log.failure("a WebSocket's protocol failed to begin on {stream!r}", stream=stream)
        webSocket.close(CloseCode.INTERNAL_ERROR).addErrback(lambda _: None)
    return webSocket


def openFactory(
    session: ClientSession, factory: WebSocketClientFactory[_P], path: str = "/", **options: Any
) -> Deferred[_P]:
    """
    Open a WebSocket, and run a protocol of a C{WebSocketClientFactory} in it.

    @param options: those of L{openWebSocket<txh2session.websocket.openWebSocket>}.

    @return: fires with the protocol when it has been told C{negotiationFinished}; fails as C{openWebSocket} does, after
        C{connectionLost} with the same reason.
    """
    scheme = "wss" if session.scheme == "https" else "ws"
    opening = openWebSocket(session, path, **options)
    try:
        protocol = factory.buildProtocol(f"{scheme}://{options.get('authority') or session.authority}{path}")
        bridge = _Bridge(protocol)
    except BaseException:
        opening.addErrback(lambda _: None)
        opening.cancel()
        raise

    def opened(webSocket: WebSocket) -> _P:
        try:
            bridge.run(webSocket)
        except BaseException:
            webSocket.close(CloseCode.INTERNAL_ERROR).addErrback(lambda _: None)
            raise
        return protocol

    def failed(reason: Failure) -> Failure:
        bridge.fail(reason)
        return reason

    return opening.addCallbacks(opened, failed)
