"""
The relay between a client and a server that records what both send.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.peers.programs import reactor

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@implementer(IHalfCloseableProtocol)
class _End(Protocol):
    """
    One of a relay's two connections.

    A side that is gone, in whatever way, is an end to the other, which is read until it ends too: what is seen does not
    depend on whether a kernel's reset was faster than what it was an answer to.
    """

    def __init__(self) -> None:
        self.other: _End | None = None
        self.received = b""
        self.gone: Deferred[None] = Deferred()
        self._waiting: list[bytes] = []
        self._ended = False
        self._finished = False

    def join(self, other: _End) -> None:
        """
        Send what comes to another connection, and what has come.
        """
        self.other = other
        waiting, self._waiting = self._waiting, []
        for data in waiting:
            other.write(data)
        if self._ended:
            other.finish()

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        assert self.transport is not None
        self.transport.setTcpNoDelay(True)  # type: ignore[attr-defined]

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self.received += data
        if self.other is None:
            self._waiting.append(data)
        else:
            self.other.write(data)

    def write(self, data: bytes) -> None:
        """
        Send bytes, if somebody is there.
        """
        if not self.gone.called:
            assert self.transport is not None
            self.transport.write(data)

    def finish(self) -> None:
        """
        Send an end.
        """
        if not self.gone.called:
            self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def readConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}."""
        self._ended = True
        if self.other is not None:
            self.other.finish()
        self._leave()

    def writeConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}."""
        self._finished = True
        self._leave()

    def _leave(self) -> None:
        """
        Close, if both directions have ended.
        """
        if self._ended and self._finished and not self.gone.called:
            assert self.transport is not None
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """See L{Protocol}."""
        self.gone.callback(None)
        if not self._ended:
            self.readConnectionLost()


class Relay(Factory):
    """
    Stands between a client and a server, for one connection, and records both directions.

    @ivar port: where it listens.
    @ivar over: fires when both sides are gone.
    """

    noisy = False

    def __init__(self, target: int) -> None:
        self._target = target
        self._client = _End()
        self._server = _End()
        self._listening: IListeningPort | None = None
        self.port = 0
        self.over: Deferred[None] = Deferred()

    async def listen(self) -> None:
        """
        Wait for a client.
        """
        listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(self)
        self._listening = listening
        self.port = listening.getHost().port
        self._client.gone.addCallback(lambda _: self._look())
        self._server.gone.addCallback(lambda _: self._look())

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """See L{Factory}."""
        connecting = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self._target), self._server)
        connecting.addCallbacks(self._connected, self.over.errback)
        return self._client

    def _connected(self, server: Protocol) -> None:
        self._client.join(self._server)
        self._server.join(self._client)

    def _look(self) -> None:
        if self._client.gone.called and self._server.gone.called and not self.over.called:
            self.over.callback(None)

    async def stop(self) -> None:
        """
        Stop listening, and cut what is still connected.
        """
        if self._listening is not None:
            await self._listening.stopListening()
        for end in (self._client, self._server):
            if end.transport is not None and not end.gone.called:
                end.transport.abortConnection()  # type: ignore[attr-defined]
                await end.gone

    @property
    def sent(self) -> dict[str, bytes]:
        """
        What each side has sent so far.
        """
        return {"client": self._client.received.removeprefix(_PREFACE), "server": self._server.received}
