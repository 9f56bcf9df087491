"""
Servers for tests of what connects by itself: endpoints that a test connects, or that have servers behind them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperframe.frame import SettingsFrame
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from txh2session.testing import FramePeer, Pipe


@implementer(IStreamClientEndpoint)
class HeldEndpoint:
    """
    An endpoint whose connects wait until a test decides.

    @ivar host: the host it is for.
    @ivar port: the port it is for.
    @ivar cancelled: whether the connect was given up.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host = host
        self.port = port
        self.cancelled = False
        self.factory: Any = None
        self.waiting: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    def connect(self, factory: Any) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        self.factory = factory
        return self.waiting

    def connected(self, **settings: int) -> FramePeer:
        """
        Connect, to a peer that speaks frames and has sent its SETTINGS.
        """
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", self.port))
        peer = FramePeer(protocol, client=False)
        self.waiting.callback(protocol)
        peer.settings(**settings)
        peer.send(SettingsFrame(0, flags=["ACK"]))
        return peer


class HeldEndpoints:
    """
    Makes L{HeldEndpoint}s.

    @ivar made: those that were made, oldest first.
    """

    def __init__(self) -> None:
        self.made: list[HeldEndpoint] = []

    def __call__(self, host: str, port: int) -> HeldEndpoint:
        self.made.append(HeldEndpoint(host, port))
        return self.made[-1]


@implementer(IStreamClientEndpoint)
class _FarmEndpoint:
    """
    An endpoint of one of a farm's servers.
    """

    def __init__(self, farm: Farm, host: str, port: int) -> None:
        self._farm = farm
        self._host = host
        self._port = port

    def connect(self, factory: Any) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        connected: Deferred[Any] = Deferred()
        self._farm.waiting.append(lambda: self._connect(factory, connected))
        return connected

    def _connect(self, factory: Any, connected: Deferred[Any]) -> None:
        if connected.called:
            return
        try:
            server = self._farm.serverFor(self._host, self._port)
        except Exception:
            connected.errback()
            return
        near = factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", self._port))
        far = server.buildProtocol(IPv4Address("TCP", "127.0.0.1", 50000))
        self._farm.pipes.append(Pipe(near, far))
        connected.callback(near)


class Farm:
    """
    A network of servers in memory.

    @ivar serverFor: finds the factory behind a host and a port; what it raises, connecting fails with.
    @ivar pipes: all connections there have been.
    """

    def __init__(self, clock: Clock, serverFor: Callable[[str, int], Any]) -> None:
        self.clock = clock
        self.serverFor = serverFor
        self.pipes: list[Pipe] = []
        self.waiting: list[Callable[[], None]] = []

    def endpointFor(self, host: str, port: int) -> IStreamClientEndpoint:
        """
        Make the endpoint of a host and a port.
        """
        return _FarmEndpoint(self, host, port)

    def pump(self) -> None:
        """
        Connect who wants to, and move all there is to move, until nothing happens any more.
        """
        for _ in range(10_000):
            waiting, self.waiting = self.waiting, []
            for connect in waiting:
                connect()
            before = self._moved()
            for pipe in self._live():
                pipe.pump()
            self.clock.advance(0)  # Twisted's TLS writes with the clock's next turn
            if not self.waiting and self._moved() == before:
                return
        raise AssertionError("the network is still busy")

    def _moved(self) -> list[tuple[int, int, bool, bool]]:
        return [
            (pipe.first.written, pipe.second.written, pipe.first.connected, pipe.second.connected)
            for pipe in self._live()
        ]

    def _live(self) -> list[Pipe]:
        return [pipe for pipe in self.pipes if pipe.first.connected or pipe.second.connected]

    def advance(self, seconds: float) -> None:
        """
        Let time pass, then move all there is to move.
        """
        self.clock.advance(seconds)
        self.pump()
