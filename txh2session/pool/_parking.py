"""
Connections that turned out to speak HTTP/1.1: kept for whoever speaks that, handshake done.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session.errors import ConnectFailed


class Relay(Protocol):
    """
    Has a connection first, and another protocol then: passes on to it what comes.
    """

    transport: Any
    _taker: Any = None
    _whenLost: Callable[[], object] | None = None

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        if self._taker is not None:
            self._taker.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        if self._taker is not None:
            self._taker.connectionLost(reason)
        if self._whenLost is not None:
            self._whenLost()


class ParkedConnection(Relay):
    """
    Holds a connection until a protocol takes it, in the turn in which it is there; else closes it.
    """

    def __init__(self, address: Any, parked: deque[ParkedConnection]) -> None:
        self._address = address
        self._parked = parked
        self._connected: Deferred[IProtocol] | None = None

    def take(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        Let a protocol have the connection.

        @return: fires with the protocol when it is connected.
        """
        protocol = factory.buildProtocol(self._address)
        if protocol is None:
            raise NoProtocol()
        factory.doStart()
        self._taker, self._whenLost = protocol, factory.doStop
        self._connected = Deferred()
        return self._connected

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        if self._taker is None:
            self._parked.remove(self)
            self.transport.loseConnection()
            return
        assert self._connected is not None
        self._taker.makeConnection(self.transport)
        self._connected.callback(self._taker)


class ParkingFactory(Factory):
    """
    Makes what holds such connections.

    @ivar parked: those that nobody has taken, oldest first.
    """

    noisy = False

    def __init__(self) -> None:
        self.parked: deque[ParkedConnection] = deque()

    def buildProtocol(self, addr: IAddress | None) -> ParkedConnection:
        """See L{IProtocolFactory}."""
        connection = ParkedConnection(addr, self.parked)
        self.parked.append(connection)
        return connection


@implementer(IProtocolFactory, IProtocolNegotiationFactory)
class _HTTP1Factory:
    """
    Says for a factory that it speaks HTTP/1.1.
    """

    def __init__(self, factory: IProtocolFactory) -> None:
        self._factory = factory

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def buildProtocol(self, addr: IAddress) -> IProtocol | None:
        return self._factory.buildProtocol(addr)

    def doStart(self) -> None:
        self._factory.doStart()

    def doStop(self) -> None:
        self._factory.doStop()


@implementer(IStreamClientEndpoint)
class HTTP1Endpoint:
    """
    Connects to a server that speaks HTTP/1.1 over TLS: with a connection that is there, or else with a new one.
    """

    def __init__(self, parked: deque[ParkedConnection], fresh: Callable[[], IStreamClientEndpoint]) -> None:
        self._parked = parked
        self._fresh = fresh

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.
        """
        if self._parked:
            return maybeDeferred(self._parked.popleft().take, protocolFactory)
        return self._fresh().connect(_HTTP1Factory(protocolFactory))


class SpeaksHTTP1(ConnectFailed):
    """
    The server chose HTTP/1.1 by ALPN, chose nothing, or reset a stream with HTTP_1_1_REQUIRED.

    @ivar endpoint: an L{IStreamClientEndpoint} for a protocol that speaks HTTP/1.1: its first C{connect()}, if called while
        this error is being delivered, takes the connection that is there, handshake done; others make new ones, which offer
        C{http/1.1} only.
    """

    def __init__(self, message: str, endpoint: IStreamClientEndpoint, reason: BaseException | None = None) -> None:
        super().__init__("alpn", message, reason)
        self.endpoint = endpoint
