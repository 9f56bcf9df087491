"""
The peer that speaks single frames, on a real transport: TCP, TLS or whatever an endpoint connects.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session.testing._framespeaker import FrameSpeaker


class FramePeerProtocol(FrameSpeaker, Protocol):
    """
    One end of a real connection that speaks single frames, right or wrong: what L{FramePeer<txh2session.testing.FramePeer>}
    is in memory.

    Nothing is sent by itself: call C{begin()} first.  Nothing is answered by itself either; a connection that the other
    end closes is closed, as Twisted does.
    """

    def __init__(self, client: bool = True, connected: Callable[[FramePeerProtocol], object] | None = None) -> None:
        """
        @param client: whether this is the client's end.
        @param connected: called with this protocol when it has its transport.
        """
        super().__init__(client)
        self._connectedCall = connected
        self._closed: list[Deferred[BaseException]] = []

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        if self._connectedCall is not None:
            self._connectedCall(self)

    def sendBytes(self, data: bytes) -> None:
        """
        Send bytes as they are; on a connection that is gone they go nowhere.
        """
        assert self.transport is not None
        self.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self._read(data)

    def whenClosed(self) -> Deferred[BaseException]:
        """
        Wait for the end of the connection.

        @return: fires with the reason, which is a C{ConnectionDone} where the other end closed it in order, without a
            reset and over TLS with its close_notify.
        """
        waiting: Deferred[BaseException] = Deferred(self._closed.remove)
        if self._reason is not None:
            _fire(waiting, self._reason)
        else:
            self._closed.append(waiting)
        return waiting

    def close(self) -> None:
        """
        Close the connection.
        """
        assert self.transport is not None
        self.transport.loseConnection()

    def abort(self) -> None:
        """
        Cut the connection with a TCP reset.
        """
        transport: Any = self.transport
        transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        self._end(reason)
        closed, self._closed = self._closed, []
        for waiting in closed:
            _fire(waiting, reason)


def _fire(waiting: Deferred[BaseException], reason: Failure) -> None:
    assert reason.value is not None
    waiting.callback(reason.value)


@implementer(IProtocolNegotiationFactory)
class FramePeerFactory(Factory):
    """
    Makes a L{FramePeerProtocol} for each connection: listen with one to be the server of clients under test.
    """

    noisy = False

    def __init__(self, client: bool = False) -> None:
        """
        @param client: whether these are the clients' ends.
        """
        self._client = client
        self._waiting: list[Deferred[FramePeerProtocol]] = []
        self._peers: list[FramePeerProtocol] = []

    def acceptableProtocols(self) -> list[bytes]:
        """See L{IProtocolNegotiationFactory}."""
        return [b"h2"]

    def buildProtocol(self, addr: IAddress | None) -> FramePeerProtocol:
        """See L{Factory}."""
        peer = FramePeerProtocol(self._client, self._connected)
        peer.factory = self
        return peer

    def _connected(self, peer: FramePeerProtocol) -> None:
        if self._waiting:
            self._waiting.pop(0).callback(peer)
        else:
            self._peers.append(peer)

    def whenConnected(self) -> Deferred[FramePeerProtocol]:
        """
        Wait for a connection.

        @return: fires with the peer of the oldest connection that was not given out yet.
        """
        waiting: Deferred[FramePeerProtocol] = Deferred(self._waiting.remove)
        if self._peers:
            waiting.callback(self._peers.pop(0))
        else:
            self._waiting.append(waiting)
        return waiting


def connectFramePeer(
    endpoint: IStreamClientEndpoint, *, start: bool = True, **settings: int
) -> Deferred[FramePeerProtocol]:
    """
    Connect a peer that speaks single frames to a server, as its client.

    @param endpoint: where to.  For TLS wrap one with C{wrapClientTLS} and the creator that C{clientContextFactory} makes
        for a name, so that ALPN chooses HTTP/2.
    @param start: whether to send the preface and SETTINGS, and to acknowledge the server's, once connected.
    @param settings: values for these SETTINGS by name, for example C{INITIAL_WINDOW_SIZE=0}.

    @return: fires with the peer when it is connected; fails as the endpoint does.  Cancelling it gives up.
    """

    def connected(peer: Any) -> FramePeerProtocol:
        if start:
            peer.begin(**settings)
        made: FramePeerProtocol = peer
        return made

    return endpoint.connect(FramePeerFactory(client=True)).addCallback(connected)
