"""
L{StreamTransport}: a stream, of either side, as the transport of any Twisted protocol.

It owns what Twisted promises to protocols and streams do not: when C{connectionLost} may come, what half a connection is,
and that nothing happens while a protocol is in the middle of a call.  It knows neither CONNECT nor who asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from zope.interface import implementer

from txh2session.errors import ErrorCode, Initiator, InvalidState, StreamAborted, codeName
from txh2session.listeners import StreamListener
from txh2session.stream import Stream

_log = Logger()


class Inlet(Protocol):
    """
    Reads a stream's body by calling back.
    """

    def __init__(self, received: Callable[[bytes], None], ended: Callable[[Exception | None], None]) -> None:
        self._received = received
        self._ended = ended

    def dataReceived(self, data: bytes) -> None:
        self._received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        error = reason.value
        self._ended(None if reason.check(ResponseDone) or not isinstance(error, Exception) else error)


class StreamEnding(StreamListener):
    """
    Calls back when a stream is over.
    """

    def __init__(self, called: Callable[[Exception | None], object]) -> None:
        self._called = called

    def streamClosed(self, stream: Stream, error: Exception | None) -> None:
        self._called(error)


@implementer(ITCPTransport, IConsumer, IPushProducer)
class StreamTransport:
    """
    A stream, of either side, as the transport of any Twisted protocol: L{run} connects the two.

    It behaves as Twisted's TCP transports do, with these differences:

      - L{loseConnection} sends what was written and then END_STREAM.  C{connectionLost} follows when the peer has ended
        its half too; what it sends until then is thrown away.  L{abortConnection} does not wait for anybody.
      - When the peer ends its half, a protocol that is no L{IHalfCloseableProtocol} has its producer stopped, and
        C{connectionLost} comes when what it had written is sent.

    C{connectionLost} comes once, never while the protocol is calling this transport or being called by it: with
    L{ConnectionDone} when both halves ended, with L{ConnectionAborted} after L{abortConnection}, and otherwise with a
    L{ConnectionLost} whose C{__cause__} is the error of the stream or of its session.

    For TLS inside the tunnel use L{TLSMemoryBIOFactory<twisted.protocols.tls.TLSMemoryBIOFactory>} as over any transport.

    @ivar stream: the stream.
    @ivar reactor: tells the time to protocols that ask their transport for it.
    @ivar connected: whether C{connectionLost} is still to come.
    @ivar disconnecting: whether L{loseConnection} was called.
    """

    def __init__(self, stream: Stream, *, reactor: Any = None, peer: IAddress | None = None) -> None:
        """
        @param stream: a stream that both sides may send on, and that nobody reads yet.
        @param reactor: the reactor; what the session tells the time by if not given.
        @param peer: for L{getPeer}; the address of the session's peer if not given.
        """
        self.stream = stream
        self.reactor = stream.session.clock if reactor is None else reactor
        self.connected = False
        self.disconnecting = False
        self._host = stream.getHost()
        self._peer = peer or stream.getPeer()
        self._protocol: IProtocol | None = None
        self._producer: IProducer | None = None
        self._calls = 0
        self._paused = False
        self._halfClosing = False
        self._ended = False
        self._peerEnded = False
        self._over = False
        self._losing = False
        self._error: Exception | None = None
        self._aborted: Failure | None = None
        self._later: list[Any] = []
        self._stopListening: Callable[[], None] = _nothing
        self._whenLost: Callable[[], object] = _nothing

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.stream!r}>"

    def run(self, protocol: IProtocol) -> None:
        """
        Connect a protocol: C{makeConnection} first, then what has arrived already.

        @raise InvalidState: the second time, or if the stream is being read already.
        """
        if self._protocol is not None:
            raise InvalidState("a protocol runs in this stream already")
        stream = self.stream
        stream.pauseProducing()  # nothing arrives before the protocol is connected
        stream.deliverBody(Inlet(self._received, self._readEnded))
        self._protocol = protocol
        self.connected = True
        self._stopListening = stream.addListener(StreamEnding(self._streamOver))
        try:
            self._call(protocol.makeConnection, self)
        except BaseException:
            self.connected = False
            self._stopListening()
            raise
        if not self._paused:
            stream.resumeProducing()
        if stream.closed and not self._over:
            self._streamOver(None)  # it ended before anybody listened

    def _call(self, function: Callable[..., object], *arguments: object) -> None:
        """
        Call the protocol, or the stream for it: meanwhile C{connectionLost} has to wait.
        """
        self._calls += 1
        try:
            function(*arguments)
        finally:
            self._calls -= 1

    def _soon(self, function: Callable[[], object]) -> None:
        """
        Call when whoever is calling now has returned.
        """
        self._later = [call for call in self._later if call.active()]
        self._later.append(self.reactor.callLater(0, function))

    # Told by the stream

    def _received(self, data: bytes) -> None:
        if self.connected and not self.disconnecting:
            assert self._protocol is not None
            self._call(self._protocol.dataReceived, data)

    def _readEnded(self, error: Exception | None) -> None:
        """
        The stream will deliver no more.

        @param error: why the peer's half is not whole, L{None} if it is.
        """
        if error is not None:
            self._error = error  # the end of the stream follows
            return
        self._peerEnded = True
        if self._over:
            self._lose()
        elif self.connected and not self.disconnecting:
            half = IHalfCloseableProtocol(self._protocol, None)
            if half is None:
                self._stopProducer()
                self.loseConnection()
            else:
                self._tell(half.readConnectionLost)

    def _streamOver(self, error: Exception | None) -> None:
        """
        The stream is over.
        """
        self._over = True
        self._error = error or self._error
        whole = self.stream.state.receiving == "ended"
        if self._peerEnded or self.disconnecting or not whole:
            self._lose()
        # Else the protocol has paused with the end of what it was sent unread: that is still to come.

    def _tell(self, function: Callable[[], object]) -> None:
        """
        Tell a protocol of a half's end; failing then costs it the connection.
        """
        if not self.connected:
            return
        try:
            self._call(function)
        except Exception:
            _log.failure("a protocol failed to take the end of half of {transport!r}", transport=self)
            self.abortConnection(ErrorCode.INTERNAL_ERROR)

    def _lose(self) -> None:
        """
        The connection is lost.
        """
        if self._losing or not self.connected:
            return
        self._losing = True
        for call in self._later:
            if call.active():
                call.cancel()
        if self._calls:
            self._soon(self._tellLost)
        else:
            self._tellLost()

    def _tellLost(self) -> None:
        self.connected = False
        self._stopListening()
        assert self._protocol is not None
        try:
            self._protocol.connectionLost(self._whyLost())
        except Exception:
            _log.failure("connectionLost failed for {transport!r}", transport=self)
        self._whenLost()

    def _whyLost(self) -> Failure:
        if self._aborted is not None:
            return self._aborted
        stream = self.stream
        error = self._error
        if error is None:
            if not stream.aborted and not stream.rstCode:
                return Failure(ConnectionDone())
            # Both ends had said all they had to say, or the peer had, and wanted no more.
            initiator = Initiator.LOCAL if stream.destroyed else Initiator.PEER
            text = f"stream {stream.id} ended with {codeName(stream.rstCode)} before all was sent"
            error = StreamAborted(text, stream.rstCode, initiator, processed=True)
        lost = ConnectionLost(str(error))
        lost.__cause__ = error
        return Failure(lost)

    # ITransport

    def write(self, data: bytes) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.  What is written after the end is dropped.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"transports take bytes, not {type(data).__name__}")
        closing = (self.disconnecting or self._halfClosing) and self._producer is None
        if data and not (closing or self._ended or not self.connected or self.stream.closed):
            self._call(self.stream.write, bytes(data))

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.
        """
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        """
        Send what was written, and what a registered producer will yet write, then end this side's half.
        C{connectionLost} follows when the peer has ended its half.
        """
        if self.disconnecting or not self.connected:
            return
        self.disconnecting = True
        self._endHalf()
        # The peer's end has to be seen, whoever had paused; what is before it is thrown away.
        self._call(self.stream.resumeProducing)

    def loseWriteConnection(self) -> None:
        """
        See L{ITCPTransport}.  The peer sees END_STREAM after what was written; what it sends still arrives.
        """
        if self.disconnecting or self._halfClosing or not self.connected:
            return
        self._halfClosing = True
        self._endHalf()

    def _endHalf(self) -> None:
        if self._producer is not None or self._ended or self.stream.closed:
            return
        self._ended = True
        half = IHalfCloseableProtocol(self._protocol, None)
        if half is not None and not self.disconnecting:
            self._soon(lambda: self._tell(half.writeConnectionLost))
        self._call(self.stream.end)

    def abortConnection(self, code: int = ErrorCode.CANCEL) -> None:
        """
        Reset the stream and drop what was not sent.

        @param code: what to tell the peer.  A proxy whose own connection broke says CONNECT_ERROR (RFC 9113 section 8.5).
        """
        if self._losing or not self.connected:
            return
        self.disconnecting = True
        self._aborted = Failure(ConnectionAborted())
        self._call(self.stream.close, code)
        if self._over:
            self._call(self._lose)  # it was over already, with the end of what came unread

    def getPeer(self) -> Any:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.
        """
        return self._peer

    def getHost(self) -> Any:
        """
        See L{ITransport<twisted.internet.interfaces.ITransport>}.
        """
        return self._host

    def getTcpNoDelay(self) -> bool:
        """
        See L{ITCPTransport}.  Streams always send at once.
        """
        return True

    def setTcpNoDelay(self, enabled: bool) -> None:
        """
        See L{ITCPTransport}.  Changes nothing.
        """

    def getTcpKeepAlive(self) -> bool:
        """
        See L{ITCPTransport}.  Streams have none of their own.
        """
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """
        See L{ITCPTransport}.  Changes nothing.
        """

    # IConsumer

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See L{IConsumer}.  The producer is paused while C{Limits.sendHighWater} bytes are queued.

        @raise RuntimeError: if one is registered already.
        """
        if self._producer is not None:
            raise RuntimeError(f"cannot register {producer}: {self._producer} was never unregistered")
        if self._ended or not self.connected or self.stream.closed:
            producer.stopProducing()
            return
        self._producer = producer
        self._call(self.stream.registerProducer, producer, streaming)

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        self._producer = None
        self.stream.unregisterProducer()
        if self.disconnecting or self._halfClosing:
            self._endHalf()

    def _stopProducer(self) -> None:
        """
        Stop the producer of a protocol that will be told of the end.
        """
        producer, self._producer = self._producer, None
        self.stream.unregisterProducer()
        if producer is not None:
            self._call(producer.stopProducing)

    # IPushProducer

    def pauseProducing(self) -> None:
        """
        See L{IPushProducer}.  At most one stream window more will arrive.
        """
        if not self.disconnecting:
            self._paused = True
            self.stream.pauseProducing()

    def resumeProducing(self) -> None:
        """
        See L{IPushProducer}.  As with other transports nothing is delivered before this has returned.
        """
        if self._paused and not self.disconnecting:
            self._paused = False
            self._soon(self._resume)

    def _resume(self) -> None:
        if not self._paused:
            self.stream.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}: the same as L{loseConnection}.
        """
        self.loseConnection()


def _nothing() -> None:
    """
    Do nothing.
    """
