"""
A L{Pipe}: the network between two Twisted protocols, in memory.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPushProducer,
    ITransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(ITransport, IConsumer, IPushProducer)
class PipeTransport:
    """
    One end's transport: keeps what is written until the pipe moves it.

    @ivar highWater: bytes kept at which the producer is paused, as Twisted's transports do at 64 KiB.
    @ivar buffer: what was written and has not been moved.
    @ivar readingPaused: whether the protocol has paused reading.
    @ivar written: how many bytes were ever written.
    @ivar writes: how often C{write} was called.
    """

    def __init__(self, name: str, peer: str) -> None:
        self.highWater = 64 * 1024
        self.buffer = bytearray()
        self.readingPaused = False
        self.written = 0
        self.writes = 0
        self.disconnecting = False
        self.connected = True
        self.finSent = False
        self.aborted = False
        self._halfClosed = False
        self._host = IPv4Address("TCP", "127.0.0.1", 1 if name == "client" else 2)
        self._peer = IPv4Address("TCP", "127.0.0.1", 1 if peer == "client" else 2)
        self._producer: Any = None
        self._streaming = False
        self._producerPaused = False

    def write(self, data: bytes) -> None:
        """See L{ITransport}."""
        if not isinstance(data, bytes):
            raise TypeError("transports take bytes")
        if not self.connected or self.disconnecting or self._halfClosed:
            return
        self.writes += 1
        self.written += len(data)
        self.buffer += data
        if self._producer is not None and self._streaming and len(self.buffer) > self.highWater:
            if not self._producerPaused:
                self._producerPaused = True
                self._producer.pauseProducing()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """See L{ITransport}."""
        self.write(b"".join(data))

    def taken(self) -> None:
        """
        The pipe has moved bytes: resume the producer when nothing is left.
        """
        if not self.buffer and self._producer is not None and (self._producerPaused or not self._streaming):
            self._producerPaused = False
            self._producer.resumeProducing()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """See L{IConsumer}."""
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        self._producer = producer
        self._streaming = streaming

    def unregisterProducer(self) -> None:
        """See L{IConsumer}."""
        self._producer = None

    def loseConnection(self) -> None:
        """See L{ITransport}."""
        self.disconnecting = True

    def loseWriteConnection(self) -> None:
        """See L{twisted.internet.interfaces.ITCPTransport}."""
        self._halfClosed = True

    def abortConnection(self) -> None:
        """See L{twisted.internet.interfaces.ITCPTransport}."""
        self.aborted = True
        self.buffer.clear()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self.readingPaused = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self.readingPaused = False

    def stopProducing(self) -> None:
        """See L{IPushProducer}."""
        self.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """See L{twisted.internet.interfaces.ITCPTransport}.  Nothing is ever delayed here."""

    def getPeer(self) -> IPv4Address:
        """See L{ITransport}."""
        return self._peer

    def getHost(self) -> IPv4Address:
        """See L{ITransport}."""
        return self._host

    @property
    def finishing(self) -> bool:
        """
        Whether this end will send nothing after what it has written.
        """
        return self.disconnecting or self._halfClosed


class Pipe:
    """
    Two protocols connected in memory.

    @ivar first: the transport of the first protocol.
    @ivar second: the transport of the second.
    @ivar chunk: how many bytes are delivered at once, L{None} for all there are.
    """

    def __init__(self, first: IProtocol, second: IProtocol, chunk: int | None = None) -> None:
        self.chunk = chunk
        self.first = PipeTransport("client", "server")
        self.second = PipeTransport("server", "client")
        self._ends = ((self.first, first, self.second, second), (self.second, second, self.first, first))
        self._held: set[PipeTransport] = set()
        second.makeConnection(self.second)
        first.makeConnection(self.first)

    def hold(self, transport: PipeTransport) -> None:
        """
        Move nothing of what this end writes: its peer has stopped reading.
        """
        self._held.add(transport)

    def release(self, transport: PipeTransport) -> None:
        """
        Move what this end writes again.
        """
        self._held.discard(transport)

    def pump(self, rounds: int = 100_000) -> None:
        """
        Move bytes, and the ends of connections, until nothing is left to move.

        @raise AssertionError: if that is not so after many rounds: the two keep each other busy.
        """
        for _ in range(rounds):
            if not (self._step(*self._ends[0]) | self._step(*self._ends[1])):
                return
        raise AssertionError(f"the two ends are still busy after {rounds} rounds")

    def lose(self, reason: Exception | None = None) -> None:
        """
        Cut the connection, as a TCP reset does; what has not been moved is lost.
        """
        error = ConnectionLost() if reason is None else reason
        for transport, protocol, _, _ in self._ends:
            if transport.connected:
                transport.connected = False
                transport.buffer.clear()
                protocol.connectionLost(Failure(error))

    def _step(self, source: PipeTransport, protocol: IProtocol, target: PipeTransport, other: IProtocol) -> bool:
        """
        Move what one end has to say.

        @return: whether anything happened.
        """
        if source.aborted and source.connected:
            source.connected = False
            protocol.connectionLost(Failure(ConnectionLost()))
            if target.connected:
                target.connected = False
                other.connectionLost(Failure(ConnectionLost()))
            return True
        if source in self._held:
            return False
        if source.buffer and not target.readingPaused:
            size = len(source.buffer) if self.chunk is None else self.chunk
            data = bytes(source.buffer[:size])
            del source.buffer[:size]
            if target.connected:
                other.dataReceived(data)
            source.taken()
            return True
        if source.buffer or not source.connected:
            return False
        if source.finishing and not source.finSent:
            source.finSent = True
            if target.connected and not target.finSent:
                if IHalfCloseableProtocol.providedBy(other):
                    other.readConnectionLost()
                else:
                    target.disconnecting = target.finSent = True
            self._closeIfDone(target, other, source)
            self._closeIfDone(source, protocol, target)
            return True
        return False

    def _closeIfDone(self, transport: PipeTransport, protocol: IProtocol, peer: PipeTransport) -> None:
        """
        Tell a protocol that its connection is gone once it has nothing to send and nothing to hear.
        """
        done = transport.finSent and (peer.finSent or transport.disconnecting)
        if transport.connected and not transport.buffer and done:
            transport.connected = False
            protocol.connectionLost(Failure(ConnectionDone()))
