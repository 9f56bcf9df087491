"""
L{HTTP1Connections}: the HTTP/1.1 connections of a site, known so that they can be closed without losing a request.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocolFactory, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.server import Site
from zope.interface import directlyProvides, implementer, providedBy


@implementer(IProtocolFactory)
class HTTP1Connections:
    """
    Makes a site's HTTP/1.1 protocols and knows which are there.
    """

    def __init__(self, site: Site) -> None:
        self._site = site
        self._open: set[_HTTP1Connection] = set()
        self._waiting: list[Deferred[None]] = []
        self._closing = False
        self._grace: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> _HTTP1Connection | None:
        """See L{IProtocolFactory}."""
        channel = None if self._closing else self._site.buildProtocol(addr)
        if channel is None:
            return None
        connection = _HTTP1Connection(self, channel)
        self._open.add(connection)
        return connection

    def doStart(self) -> None:
        """See L{IProtocolFactory}.  The site is started by the server that has this."""

    def doStop(self) -> None:
        """See L{IProtocolFactory}."""

    def whenEmpty(self) -> Deferred[None]:
        """
        Wait until there is no connection.
        """
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._tellIfEmpty()
        return waiting

    def close(self, grace: float | None, clock: IReactorTime) -> Deferred[None]:
        """
        Close each connection when no request is being answered on it, and take no new ones.

        @param grace: seconds after which those that are still there are aborted.

        @return: fires when the last is gone.
        """
        self._closing = True
        for connection in list(self._open):
            connection.closeWhenIdle()
        if grace is not None and self._open:
            if self._grace is not None and self._grace.active():
                self._grace.cancel()
            self._grace = clock.callLater(grace, self._abort)
        return self.whenEmpty()

    def _abort(self) -> None:
        for connection in list(self._open):
            connection.abort()

    def gone(self, connection: _HTTP1Connection) -> None:
        """
        Forget a connection.
        """
        self._open.discard(connection)
        self._tellIfEmpty()

    def _tellIfEmpty(self) -> None:
        if self._open:
            return
        if self._grace is not None and self._grace.active():
            self._grace.cancel()
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)


class _HTTP1Connection(Protocol):
    """
    One connection: passes on what comes, and counts the requests that are being received or answered.
    """

    def __init__(self, owner: HTTP1Connections, channel: Any) -> None:
        self._owner = owner
        self._channel = channel
        self._requests = 0
        self._closing = False
        make = channel.requestFactory

        def counting(*arguments: Any) -> Any:
            request = make(*arguments)
            self._requests += 1
            request.notifyFinish().addBoth(self._answered)
            return request

        directlyProvides(counting, *providedBy(make))
        channel.requestFactory = counting

    def makeConnection(self, transport: ITransport) -> None:
        """See L{Protocol}."""
        self.transport = transport
        self.dataReceived = self._channel.dataReceived  # type: ignore[method-assign]
        self._channel.makeConnection(transport)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        try:
            self._channel.connectionLost(reason)
        finally:
            self._owner.gone(self)

    def _answered(self, result: object) -> None:
        self._requests -= 1
        if self._closing:
            self.closeWhenIdle()

    def closeWhenIdle(self) -> None:
        """
        Close it, now or after the request it is at.
        """
        self._closing = True
        if not self._requests and self.transport is not None:
            self.transport.loseConnection()

    def abort(self) -> None:
        """
        Close it at once.
        """
        transport: Any = self.transport
        transport.abortConnection()
