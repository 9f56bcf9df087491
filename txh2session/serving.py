"""
L{Server}: a factory for any endpoint, which makes the sessions and remembers them until they are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorTime,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session._handover import HandedOverLink, HTTP1Connection
from txh2session._limits import Account
from txh2session._origins import originsOf
from txh2session._turns import Turns
from txh2session._waiters import Waiters
from txh2session.errors import InvalidSetting, InvalidState
from txh2session.framelog import FrameLog, checkFrameLog
from txh2session.headers import Headers
from txh2session.listeners import SessionListener
from txh2session.protocol import HTTP2Protocol, RefusedConnection
from txh2session.server import ServerSession, ServerStream
from txh2session.settings import Limits, Options, Settings, Timeouts, checkSeconds

_log = Logger()

StreamReceived: TypeAlias = "Callable[[ServerStream, Headers], Deferred[Any] | Coroutine[Any, Any, Any] | None]"
"""What a server is made of: called with each request's stream and headers as soon as the headers are there."""


@implementer(IProtocolNegotiationFactory)
class Server(Factory):
    """
    Serves HTTP/2 on any stream endpoint: over TLS with ALPN, which it offers by itself, and in clear text to clients that
    know (h2c with prior knowledge).

    Give it to C{endpoint.listen}, or let L{listen} do that and remember the port.

    @ivar sessions: the sessions that are open now.
    """

    noisy = False

    def __init__(
        self,
        streamReceived: StreamReceived,
        *,
        settings: Settings | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        listener: SessionListener | None = None,
        options: Options | None = None,
        http1: IProtocolFactory | None = None,
        origins: Sequence[str | bytes] = (),
        maxSessions: int | None = 10_000,
        maxBytes: int | None = 512 * 1024 * 1024,
        clock: IReactorTime | None = None,
        frameLog: FrameLog | None = None,
    ) -> None:
        """
        @param streamReceived: called with each request's L{ServerStream} and L{Headers}, as soon as the headers are there;
            a plain function, one that returns a Deferred, or a coroutine function.  If it fails, the client gets a 500, or
            INTERNAL_ERROR if an answer had begun, and the failure is logged.
        @param settings: what is announced to clients.
        @param limits: what one session may cost.
        @param timeouts: how long things may take.
        @param listener: told what happens to each session.
        @param options: how messages are made and judged.
        @param http1: a factory (a L{twisted.web.server.Site}, say) for clients that speak HTTP/1.1, on the same port.
        @param origins: URLs of the origins that connections may be used for; over TLS each client is told of them at once
            (RFC 8336; Node's reference 11.40).
        @param maxSessions: connections at the same time; one more is closed as soon as it is there.  L{None} for any
            number.
        @param maxBytes: bytes that all sessions hold together, counted as C{session.state.heldBytes}; while there are more,
            new streams are refused with REFUSED_STREAM.  L{None} for any number.
        @param clock: tells the time; the transport's reactor if not given.
        @param frameLog: shows every frame of every session.

        @raise InvalidSetting: for settings that are a client's to announce, and for numbers that are none.
        @raise InvalidHeader: for what has no origin, or for more than 16,382 bytes of them.
        """
        self.streamReceived = streamReceived
        self.settings = settings or Settings()
        self.limits = limits or Limits()
        self.timeouts = timeouts or Timeouts()
        self.listener = listener
        self.options = options or Options()
        self.http1 = http1
        self.origins = originsOf(origins)
        self.clock = clock
        for name, number in (("maxSessions", maxSessions), ("maxBytes", maxBytes)):
            if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 1):
                raise InvalidSetting(f"{name} is an integer above 0, or None, not {number!r}")
        self.maxSessions = maxSessions
        self._account = Account(limit=maxBytes)
        self._full = False
        self.frameLog = checkFrameLog(frameLog)
        self.sessions: set[ServerSession] = set()
        self._turns = Turns()
        self._http1Connections: set[HTTP1Connection] = set()
        self._ports: list[IListeningPort] = []
        self._closing = False
        self._stopped = False
        self._closedWaiters: Waiters[None] = Waiters()
        if self.settings.enablePush:
            raise InvalidSetting("enablePush is for clients to announce (RFC 9113 section 6.5.2)")

    def acceptableProtocols(self) -> list[bytes]:
        """See L{IProtocolNegotiationFactory}."""
        return [b"h2"] if self.http1 is None else [b"h2", b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """See L{IProtocolFactory}."""
        full = self.maxSessions is not None and len(self.sessions) + len(self._http1Connections) >= self.maxSessions
        if full != self._full:
            self._full = full
            if full:
                _log.warn("there are {count} connections: more are refused", count=self.maxSessions)
        if full or self._closing:
            return RefusedConnection()
        session = ServerSession(self)
        self.sessions.add(session)
        protocol = HTTP2Protocol(
            *(session, self.timeouts, self.clock),
            server=True,
            http1=self.http1,
            frameLog=self.frameLog,
            turns=self._turns,
        )
        protocol.factory = self
        return protocol

    @property
    def heldBytes(self) -> int:
        """
        Bytes that all sessions hold together: what C{maxBytes} is about.
        """
        return self._account.held

    def listen(self, endpoint: IStreamServerEndpoint) -> Deferred[IListeningPort]:
        """
        Listen on an endpoint until L{close}.

        @return: fires with the port; fails as C{endpoint.listen} does, or with L{InvalidState
            <txh2session.InvalidState>} if the server was closed meanwhile.
        """
        if self._closing:
            raise InvalidState("the server is closing")

        def listening(port: IListeningPort) -> IListeningPort:
            if self._closing:
                port.stopListening()
                raise InvalidState("the server was closed before it listened")
            self._ports.append(port)
            return port

        waiting: Deferred[IListeningPort] = endpoint.listen(self)
        return waiting.addCallback(listening)

    def updateSettings(self, **changes: object) -> None:
        """
        Change what future sessions announce (Node's reference 11.16).

        @raise InvalidSetting: for an unknown name or a value out of range.
        """
        changed = self.settings.changed(**changes)
        if changed.enablePush:
            raise InvalidSetting("enablePush is for clients to announce (RFC 9113 section 6.5.2)")
        self.settings = changed

    def close(self, grace: float | None = None) -> Deferred[None]:
        """
        Stop listening, and let every session L{drain<ServerSession.drain>}.  A connection that was handed to C{http1} is
        closed when no request is being answered on it, which is known of twisted.web's protocols (Node's reference
        11.13); others end when they like.

        @param grace: seconds after which what is still there is destroyed; for ever if not given.

        @return: fires with L{None} when the last session and the last such connection is gone, also the second time.
        """
        if grace is not None:
            grace = checkSeconds("grace", grace)
        first, self._closing = not self._closing, True
        ports, self._ports = self._ports, []
        for session in list(self.sessions):
            session.drain(grace).addErrback(lambda _: None)  # each session's error is its own listeners' to know
        for connection in list(self._http1Connections):
            connection.close(grace)
        if first:
            stopped = gatherResults([maybeDeferred(port.stopListening) for port in ports], consumeErrors=True)
            stopped.addBoth(self._portsStopped)
        return self._closedWaiters.when()

    def _portsStopped(self, result: object) -> None:
        if isinstance(result, Failure):
            _log.failure("a port did not stop", failure=result)
        self._stopped = True
        self._closeIfEmpty()

    def _closeIfEmpty(self) -> None:
        if self._stopped and not self.sessions and not self._http1Connections:
            self._closedWaiters.fire(None)

    def _sessionGone(self, session: ServerSession) -> None:
        self.sessions.discard(session)
        self._closeIfEmpty()

    def _handedOver(self, link: HandedOverLink, protocol: IProtocol) -> HTTP1Connection:
        """
        A connection that speaks HTTP/1.1 is C{http1}'s now.
        """
        connection = HTTP1Connection(link, protocol)
        self._http1Connections.add(connection)
        return connection

    def _handedOverLost(self, connection: HTTP1Connection) -> None:
        self._http1Connections.discard(connection)
        self._closeIfEmpty()
