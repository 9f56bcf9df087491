"""
L{HTTP2Protocol}: the only core file that touches a transport or a clock.

It decides whether a connection speaks HTTP/2 (by ALPN over TLS, by the first bytes in clear text), moves bytes between
transport and session, keeps the times of L{Timeouts<txh2session.Timeouts>} that concern connections, and closes the
transport so that the last frames reach the peer: an input that nobody reads makes the kernel answer with a reset, which
destroys what the peer has not read yet, so a closing connection goes on reading for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocolFactory,
    IPushProducer,
    IReactorTime,
    ISSLTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session._frames import PREFACE, recognise
from txh2session._life import SessionLife
from txh2session._timer import DelayedCall
from txh2session._turns import Intake, Turns
from txh2session.errors import ConnectFailed
from txh2session.framelog import ConnectionLog, FrameLog
from txh2session.settings import Timeouts

_log = Logger()

_CHUNK = 64 * 1024
"""How many bytes are asked of a session at once: Twisted pauses producers above this."""

_REFUSAL = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\n"
    b"Content-Type: text/plain\r\nContent-Length: 31\r\nConnection: close\r\n\r\n"
    b"This port speaks only HTTP/2.\r\n"
)


def clockOf(transport: Any) -> IReactorTime:
    """
    Find the reactor that runs a transport, below any wrappers.
    """
    while transport is not None:
        reactor: IReactorTime | None = getattr(transport, "reactor", None)
        if reactor is not None:
            return reactor
        transport = getattr(transport, "transport", None)
    raise TypeError("this transport names no reactor: give the server or the session a clock")


@implementer(IHandshakeListener, IPushProducer, IHalfCloseableProtocol)
class HTTP2Protocol(Protocol):
    """
    Connects a session to a transport.

    @ivar stage: what it is at: C{"tcp"}, C{"tls"} or C{"h2"}, as in L{ConnectFailed.stage}.
    """

    def __init__(
        self,
        session: SessionLife,
        timeouts: Timeouts,
        clock: IReactorTime | None,
        *,
        server: bool,
        http1: IProtocolFactory | None = None,
        frameLog: FrameLog | None = None,
        turns: Turns | None = None,
    ) -> None:
        """
        @param turns: shared with the connections that are not to wait for this one.
        """
        self._session = session
        self._timeouts = timeouts
        self._clock = clock
        self._server = server
        self._http1 = http1
        self._frameLog = frameLog
        self._frames: ConnectionLog | None = None
        self._intake = Intake(self, turns or Turns())
        self._handedOver: Any = None
        self._encrypted = False
        self._connected = False
        self._start = b""
        self._paused = False
        self._flushing = False
        self._closing = False
        self._deadline: DelayedCall | None = None
        self._farewell: DelayedCall | None = None
        self._headersCall: DelayedCall | None = None
        self.stage = "tcp"

    # -----------------------------------------------------------------------------------------------------------------
    # Starting

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        transport = self.transport
        if self._clock is None:
            self._clock = clockOf(transport)
        setNoDelay = getattr(transport, "setTcpNoDelay", None)  # TLS says it is TCP also over a Unix socket
        if setNoDelay is not None:
            setNoDelay(True)
        self._encrypted = ISSLTransport.providedBy(transport)
        self._session.linkComing(self)
        if self._encrypted:
            self.stage = "tls"
            self._await(self._timeouts.handshake)
        elif self._server:
            self.stage = "h2"
            self._await(self._timeouts.preface)
        else:
            self._connect()

    def handshakeCompleted(self) -> None:
        """See L{IHandshakeListener}."""
        negotiated = self.transport.negotiatedProtocol  # type: ignore[union-attr]
        self._stop("_deadline")
        if negotiated == b"h2":
            self._connect()
        elif self._server:
            self.stage = "h2"
            if negotiated == b"http/1.1" and self._http1 is not None:
                self._handOver()
            else:
                self._await(self._timeouts.preface)
        else:
            chosen = "no protocol" if negotiated is None else repr(negotiated.decode("ascii", "replace"))
            self._session.linkFailed(ConnectFailed("alpn", f"the server chose {chosen}, not 'h2'"))
            if negotiated in (None, b"http/1.1") and self._http1 is not None:
                self._handOver()
            else:
                self.transport.abortConnection()  # type: ignore[union-attr]

    def _connect(self, start: bytes = b"") -> None:
        """
        The peer speaks HTTP/2, as far as one can know.

        @param start: what it has said already.
        """
        self.stage = "h2"
        self._connected = True
        self._await(self._timeouts.preface)
        if self._frameLog is not None:
            self._frames = self._frameLog.connected(
                self.seconds,
                client=not self._server,
                encrypted=self._encrypted,
                host=self.getHost(),
                peer=self.getPeer(),
            )
            self._frames.received(start)
        self.transport.registerProducer(self, True)  # type: ignore[union-attr]
        self._session.linkConnected(self, self._encrypted)

    def _await(self, seconds: float) -> None:
        """
        Set the deadline of the stage that has begun.
        """
        self._stop("_deadline")
        if seconds:
            self._deadline = self.callLater(seconds, self._late)

    def _late(self) -> None:
        self._deadline = None
        if self._connected:
            if not self._session.ready:
                self._session.prefaceTimedOut()
            return
        self._session.linkFailed(ConnectFailed(self.stage, "it took too long"))
        self.transport.abortConnection()  # type: ignore[union-attr]

    def _stop(self, name: str) -> None:
        call: DelayedCall | None = getattr(self, name)
        if call is not None:
            setattr(self, name, None)
            call.cancel()

    # -----------------------------------------------------------------------------------------------------------------
    # Bytes in

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        if self._frames is not None:
            self._frames.received(data)
        if self._closing:
            return
        if self._connected:
            self._intake.received(data)
        elif self._handedOver is not None:
            self._handedOver.dataReceived(data)
        else:
            self._sniff(data)

    def takeIn(self, data: bytes, now: float) -> None:
        """See L{Taker<txh2session._turns.Taker>}."""
        self._session.bytesReceived(data, now)
        self._watchHeaders()

    def pauseReading(self) -> None:
        """See L{Taker<txh2session._turns.Taker>}."""
        self.transport.pauseProducing()  # type: ignore[union-attr]

    def resumeReading(self) -> None:
        """See L{Taker<txh2session._turns.Taker>}."""
        if not self._lost:
            self.transport.resumeProducing()  # type: ignore[union-attr]

    def _watchHeaders(self) -> None:
        """
        Give a header block that has begun its time to end.
        """
        if not self._session.midBlock:
            if self._headersCall is not None:
                self._stop("_headersCall")
        elif self._headersCall is None and self._timeouts.headers and not self._closing:
            self._headersCall = self.callLater(self._timeouts.headers, self._headersLate)

    def _headersLate(self) -> None:
        self._headersCall = None
        self._session.headersTimedOut()

    def _sniff(self, data: bytes) -> None:
        """
        Look at a client's first bytes where no ALPN told what it speaks.
        """
        start = self._start = self._start + data
        if PREFACE.startswith(start[: len(PREFACE)]) and not self._encrypted:
            if len(start) < len(PREFACE):
                return
            self._connect(start)
            self._intake.received(start)
            return
        speaks = recognise(start)
        if self._http1 is not None and speaks == "HTTP/1":
            self._handOver()
            self._handedOver.dataReceived(start)
            return
        if speaks == "HTTP/1":
            if b"\n\r\n" not in start and len(start) < 8192:
                return  # answer the whole request, or the client may not read the answer
            self.transport.write(_REFUSAL)  # type: ignore[union-attr]
        if speaks != "HTTP/1" and len(start) < 3:
            return
        peer = self.transport.getPeer()  # type: ignore[union-attr]
        if PREFACE.startswith(start[:3]):
            speaks = "HTTP/2 without having chosen it by ALPN"
        _log.warn("h2: {peer} speaks {speaks}, which is not served here", peer=peer, speaks=speaks)
        self._session.linkFailed(ConnectFailed("h2", f"the peer speaks {speaks}"))
        self._closing = True
        self._closeTransport(hurry=False)

    def _handOver(self) -> None:
        """
        Let the HTTP/1.1 factory's protocol have the connection.
        """
        assert self._http1 is not None
        self._stop("_deadline")
        other = self._http1.buildProtocol(self.transport.getPeer())  # type: ignore[union-attr]
        if other is None:
            self._closing = True
            self.transport.loseConnection()  # type: ignore[union-attr]
            return
        self._handedOver = other
        self._session.linkHandedOver(self, other)
        assert self.transport is not None
        other.makeConnection(self.transport)

    # -----------------------------------------------------------------------------------------------------------------
    # Bytes out

    def flush(self) -> None:
        """See L{Link<txh2session._life.Link>}."""
        if self._flushing or self._closing:
            return
        self._flushing = True
        try:
            while not self._paused:
                data = self._session.bytesToSend(_CHUNK)
                if not data:
                    break
                self.transport.write(data)  # type: ignore[union-attr]
                if self._frames is not None:
                    self._frames.sent(data)
        finally:
            self._flushing = False

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = False
        self.flush()

    def stopProducing(self) -> None:
        """See L{IPushProducer}.  C{connectionLost} follows."""
        self._paused = True

    # -----------------------------------------------------------------------------------------------------------------
    # Closing

    def finish(self, hurry: bool) -> None:
        """See L{Link<txh2session._life.Link>}."""
        if self._closing:
            return
        last = self._session.bytesToSend(0)
        self._closing = True
        self._intake.drop()
        self._stop("_deadline")
        if last:
            self.transport.write(last)  # type: ignore[union-attr]
            if self._frames is not None:
                self._frames.sent(last)
        self.transport.unregisterProducer()  # type: ignore[union-attr]
        self._closeTransport(hurry)

    def _closeTransport(self, hurry: bool) -> None:
        """
        Close our direction, go on reading for a while, then let go.
        """
        self._stop("_deadline")
        self._stop("_headersCall")
        transport: Any = self.transport
        if self._encrypted or not hasattr(transport, "loseWriteConnection"):
            transport.loseConnection()
        else:
            transport.loseWriteConnection()
        if self.transport is not None and not self._lost:
            self._farewell = self.callLater(self._timeouts.linger, lambda: self._lingered(hurry))

    _lost = False

    def _lingered(self, hurry: bool) -> None:
        """
        The peer had its time to read.
        """
        self._farewell = None
        if hurry:
            self.abort()
            return
        # What is written may still be on its way to a slow reader: below TLS, which waits for the peer's word, too.
        transport: Any = self.transport
        lower = transport.transport if self._encrypted and hasattr(transport, "transport") else transport
        self._farewell = self.callLater(self._timeouts.closing, self._gaveUp)
        lower.loseConnection()

    def _gaveUp(self) -> None:
        self._farewell = None
        self.abort()

    def abort(self) -> None:
        """See L{Link<txh2session._life.Link>}."""
        self._closing = True
        self._intake.drop()
        self.transport.abortConnection()  # type: ignore[union-attr]

    def hangUp(self) -> None:
        """See L{HandedOverLink<txh2session._handover.HandedOverLink>}."""
        self.transport.loseConnection()  # type: ignore[union-attr]

    def readConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}.  HTTP/2 has no use for half a connection."""
        if self._handedOver is not None and IHalfCloseableProtocol.providedBy(self._handedOver):
            self._handedOver.readConnectionLost()
        else:
            self.transport.loseConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        """See L{IHalfCloseableProtocol}."""
        if self._handedOver is not None and IHalfCloseableProtocol.providedBy(self._handedOver):
            self._handedOver.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        self._lost = True
        closing, self._closing = self._closing, True
        rest = self._intake.drop()
        if rest and not closing:
            self.takeIn(rest, self.seconds())
        self._stop("_deadline")
        self._stop("_headersCall")
        self._stop("_farewell")
        if self._handedOver is not None:
            self._handedOver.connectionLost(reason)
            self._session.handedOverLost()
            return
        error = reason.value
        if self._frames is not None:
            self._frames.lost(describe(error))
        done = reason.check(ConnectionDone) is not None
        if not self._connected and self.stage == "tls":
            text = "the peer closed the connection in the handshake" if done else describe(error)
            if self._server:
                peer = self.transport.getPeer()  # type: ignore[union-attr]
                _log.info("tls: no handshake with {peer}: {text}", peer=peer, text=text)
            stage = "alpn" if "no application protocol" in text else "tls"
            self._session.linkFailed(ConnectFailed(stage, text, error))
        self._session.linkLost(None if done else error if isinstance(error, Exception) else Exception(repr(error)))

    # -----------------------------------------------------------------------------------------------------------------
    # Facts and the clock

    def getPeer(self) -> IAddress:
        """See L{Link<txh2session._life.Link>}."""
        peer: IAddress = self.transport.getPeer()  # type: ignore[union-attr]
        return peer

    def getHost(self) -> IAddress:
        """See L{Link<txh2session._life.Link>}."""
        host: IAddress = self.transport.getHost()  # type: ignore[union-attr]
        return host

    def getPeerCertificate(self) -> Any:
        """See L{Link<txh2session._life.Link>}."""
        return self.transport.getPeerCertificate() if self._encrypted else None  # type: ignore[union-attr]

    def seconds(self) -> float:
        """See L{Clock<txh2session._timer.Clock>}."""
        assert self._clock is not None
        return self._clock.seconds()

    def callLater(self, delay: float, call: Callable[[], object]) -> DelayedCall:
        """See L{Clock<txh2session._timer.Clock>}."""
        assert self._clock is not None
        return self._clock.callLater(delay, call)


class RefusedConnection(Protocol):
    """
    Closes a connection that a server does not take.  A factory may also make no protocol at all, but not below TLS.
    """

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        self.transport.abortConnection()  # type: ignore[union-attr]


def describe(error: BaseException | None) -> str:
    """
    Say in a line what OpenSSL or Twisted mean by an exception.
    """
    details = error.args[0] if error is not None and error.args else None
    if isinstance(details, list) and details and isinstance(details[0], tuple):
        return "; ".join(str(each[-1]) for each in details)
    return str(error) or type(error).__name__
