"""
CONNECT (RFC 9113 section 8.5) and extended CONNECT (RFC 8441): a stream as a Twisted transport, and the proxies and
endpoints made of it.

  - L{StreamTransport} runs any Twisted protocol inside a stream of either side.
  - Servers answer with L{acceptTunnel}, or connect the client to where it wants to go with L{TunnelProxy}.
  - Clients ask with L{openTunnel}, or connect through a proxy with L{TunnelEndpoint}.

Nothing here knows of frames or windows: back-pressure, ends and resets are what streams do in public.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionDone,
    DNSLookupError,
    NoProtocol,
    TCPTimedOutError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IProtocolFactory,
    IPushProducer,
    ISSLTransport,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session._transport import StreamEnding, StreamTransport
from txh2session.client import ClientSession, ClientStream
from txh2session.errors import ErrorCode, HTTP2Error, InvalidHeader, InvalidState
from txh2session.headers import Headers, HeadersLike
from txh2session.server import ServerStream
from txh2session.settings import checkSeconds

_log = Logger()

__all__ = ["StreamTransport", "TunnelEndpoint", "TunnelProxy", "TunnelRefused", "acceptTunnel", "openTunnel"]

_REFUSAL_READ: Final = 64 * 1024
"""How many bytes of a refusal's body are taken, and thrown away, before the stream is reset."""


class TunnelRefused(HTTP2Error):
    """
    The peer opened no tunnel.

    @ivar status: the status it answered with; L{None} if it was not asked, because its SETTINGS do not allow extended
        CONNECT (RFC 8441 section 3).
    @ivar headers: the headers of that answer, or L{None}.
    """

    def __init__(self, message: str, status: int | None = None, headers: Headers | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


# ---------------------------------------------------------------------------------------------------------------------
# Servers


def acceptTunnel(
    stream: ServerStream, protocol: IProtocol, headers: HeadersLike | None = None, *, reactor: Any = None
) -> StreamTransport:
    """
    Answer a CONNECT request, plain or extended, with 200 and run a protocol inside its stream.

    @param headers: of the answer, for example C{sec-websocket-protocol}.
    @param reactor: see L{StreamTransport}.

    @return: the protocol's transport.

    @raise InvalidState: for a request with another method, or one that was answered or is over.
    @raise InvalidHeader: for a status that opens no tunnel, or C{content-length} (RFC 9110 section 9.3.6).
    """
    grantTunnel(stream, headers)
    transport = StreamTransport(stream, reactor=reactor)
    transport.run(protocol)
    return transport


def grantTunnel(stream: ServerStream, headers: HeadersLike | None = None) -> None:
    """
    Answer a CONNECT request and leave the stream to the caller; see L{acceptTunnel}.
    """
    if stream.headers.method != "CONNECT":
        raise InvalidState(f"CONNECT asks for a tunnel, {stream.headers.method} does not")
    answer = Headers(() if headers is None else headers)
    if answer.status is not None and (answer.status // 100 != 2 or answer.status in (204, 205)):
        raise InvalidHeader(f":status {answer.status} opens no tunnel")
    if "content-length" in answer:
        raise InvalidHeader("a tunnel has no content-length (RFC 9110 section 9.3.6)")
    stream.respond(answer)


@implementer(IHalfCloseableProtocol, IPushProducer)
class _Side(Protocol):
    """
    One of the two connections that a proxy copies between.

    It is also the producer of the other, in place of its transport: a transport that is lost stops its producer before it
    tells why, and the other side must not take an error for an end.
    """

    transport: Any
    other: _Side | None = None
    lost = False
    _readEnded = False
    _writeEnded = False

    def connectionMade(self) -> None:
        self.transport.pauseProducing()  # until there is somebody to copy to

    def join(self, target: _Side) -> None:
        """
        Copy from here to there and back, from now on.
        """
        self.other, target.other = target, self
        self.transport.registerProducer(target, True)
        target.transport.registerProducer(self, True)
        target.transport.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        assert self.other is not None
        self.other.transport.write(data)

    def readConnectionLost(self) -> None:
        assert self.other is not None
        self._readEnded = True
        self.other.endWriting()
        if self._writeEnded:
            self.transport.loseConnection()  # a socket of which both halves are shut is not closed by that

    def writeConnectionLost(self) -> None:
        """
        See L{IHalfCloseableProtocol}.  It was this side's wish.
        """

    def endWriting(self) -> None:
        """
        Nothing more comes from the other side.
        """
        self._writeEnded = True
        transport = self.transport
        transport.unregisterProducer()
        # TLS has no half close, though what is below it has.
        halves = hasattr(transport, "loseWriteConnection") and not ISSLTransport.providedBy(transport)
        if self._readEnded or not halves:
            transport.loseConnection()
        else:
            transport.loseWriteConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True
        if self.other is None:
            return
        if reason.check(ConnectionDone):
            self.other.transport.unregisterProducer()
            self.other.transport.loseConnection()
        else:
            self.other.abort()

    def abort(self) -> None:
        """
        The other side broke: break this one (RFC 9113 section 8.5).
        """
        transport = self.transport
        getattr(transport, "abortConnection", transport.loseConnection)()

    def pauseProducing(self) -> None:
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}.  What follows says how the other side ended.
        """


class _Asking(_Side):
    """
    The side of the client that asked for the tunnel.
    """

    def __init__(self, target: _Side) -> None:
        self._target = target

    def connectionMade(self) -> None:
        self.join(self._target)

    def abort(self) -> None:
        """
        See L{_Side.abort}.
        """
        self.transport.abortConnection(ErrorCode.CONNECT_ERROR)


_AUTHORITY: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})")


def _splitAuthority(authority: str) -> tuple[str, int] | None:
    """
    Split C{:authority} of a CONNECT request, which has to name a port (RFC 9110 section 9.3.6).

    @return: the host in lower case without the dot at its end, or the address without its brackets, and the port;
        L{None} if it is not that.
    """
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    address, name, digits = found.groups()
    port = int(digits)
    host: str = address or name.removesuffix(".")
    if not host or not 0 < port < 65536 or (address and not isIPv6Address(address)):
        return None
    return host.lower(), port


_TOO_LATE: Final = (TimeoutError, ConnectTimeout, TCPTimedOutError, CancelledError, ConnectingCancelledError)
"""What a connection fails with that is not there in time, or is given up because of that."""


class TunnelProxy:
    """
    A forward proxy: connects CONNECT requests to where they want to go, and copies both ways no faster than either side
    reads.  Serve it with C{Server(TunnelProxy(reactor, allow).streamReceived)}.

    It answers 405 to other methods, 501 to extended CONNECT, 400 to an C{:authority} that is not a host and a port, 403
    to what is not allowed, 502 if there is no connection and 504 if there is none in time.  When the target's connection
    breaks, the stream is reset with CONNECT_ERROR; when the stream or its session breaks, the target's connection is
    aborted (RFC 9113 section 8.5).
    """

    def __init__(
        self,
        reactor: Any,
        allow: Callable[[str, int], bool],
        connectTimeout: float = 10.0,
        *,
        endpointFor: Callable[[str, int], IStreamClientEndpoint] | None = None,
    ) -> None:
        """
        @param allow: called with a host, in lower case, and a port; anything but C{True} refuses them.  Name what is
            allowed rather than what is not: a name may lead to any address, and an address has many spellings.
        @param connectTimeout: seconds; 0 switches it off.
        @param endpointFor: makes the endpoint of a host and a port, for example one that looks at the addresses of a name
            too; L{HostnameEndpoint} if not given.

        @raise InvalidSetting: for what is not a number of seconds.
        """
        self._reactor = reactor
        self._allow = allow
        self._timeout = checkSeconds("connectTimeout", connectTimeout)
        self._endpointFor = endpointFor or self._hostnameEndpoint

    def _hostnameEndpoint(self, host: str, port: int) -> IStreamClientEndpoint:
        return HostnameEndpoint(self._reactor, host, port, timeout=self._timeout or 30)

    def streamReceived(self, stream: ServerStream, headers: Headers) -> Deferred[None] | None:
        """
        Answer a request; see L{Server<txh2session.Server>}.
        """
        if headers.method != "CONNECT":
            stream.respond({":status": 405, "allow": "CONNECT"}, endStream=True)
            return None
        if ":protocol" in headers:
            stream.respond({":status": 501}, endStream=True)
            return None
        target = _splitAuthority(headers.get(":authority", ""))
        if target is None:
            stream.respond({":status": 400}, endStream=True)
            return None
        if self._allow(*target) is not True:  # nor does a Deferred or a coroutine
            stream.respond({":status": 403}, endStream=True)
            return None
        return self._connect(stream, *target)

    def _connect(self, stream: ServerStream, host: str, port: int) -> Deferred[None]:
        connecting: Deferred[_Side] = connectProtocol(self._endpointFor(host, port), _Side())
        stopListening = stream.addListener(StreamEnding(lambda error: connecting.cancel()))
        if self._timeout:
            connecting.addTimeout(self._timeout, self._reactor)

        def connected(side: _Side) -> None:
            stopListening()
            if stream.closed:
                side.abort()
            elif side.lost:
                stream.respond({":status": 502}, endStream=True)
            else:
                acceptTunnel(stream, _Asking(side), reactor=self._reactor)

        def failed(failure: Failure) -> None:
            stopListening()
            if stream.closed:
                return
            late = failure.check(*_TOO_LATE)
            if late is None and failure.check(ConnectError, DNSLookupError, OSError) is None:
                _log.failure("connecting to {host} failed", failure=failure, host=host)
            stream.respond({":status": 502 if late is None else 504}, endStream=True)

        return connecting.addCallbacks(connected, failed)


# ---------------------------------------------------------------------------------------------------------------------
# Clients


def openTunnel(
    session: ClientSession,
    authority: str | bytes,
    headers: HeadersLike | None = None,
    protocol: str | bytes | None = None,
) -> Deferred[ClientStream]:
    """
    Ask for a tunnel with CONNECT.

    @param authority: where the tunnel is to lead: host and port.
    @param headers: more of the request, for example C{proxy-authorization}; with C{protocol} also C{:path} and
        C{:scheme}, which are C{/} and the session's unless given.
    @param protocol: C{:protocol} of an extended CONNECT (RFC 8441), for example C{"websocket"}.

    @return: fires with the stream when the answer is 2xx: run a protocol in it (L{StreamTransport}), or read and write
        it as it is.  Fails with L{TunnelRefused} after another answer, or, with C{protocol}, if the server's SETTINGS do
        not allow it; with an L{Ended<txh2session.Ended>} if no answer comes.  Cancelling it resets the stream with CANCEL.

    @raise InvalidHeader: for headers that may not be sent.
    """
    given = Headers(() if headers is None else headers)
    fields: list[tuple[bytes, str | bytes]] = [(b":method", b"CONNECT"), (b":authority", authority)]
    if protocol is not None:
        fields.append((b":protocol", protocol))
    request = Headers([*fields, *given.rawHeaders], given.sensitive)
    if protocol is None:
        return _whenOpen(session.request(request, endStream=False))

    def ready(result: object) -> Deferred[ClientStream]:
        if not session.remoteSettings.enableConnectProtocol:
            raise TunnelRefused("the server does not allow extended CONNECT: its SETTINGS lack ENABLE_CONNECT_PROTOCOL")
        return _whenOpen(session.request(request, endStream=False))

    return session.whenReady().addCallback(ready)


def _whenOpen(stream: ClientStream) -> Deferred[ClientStream]:
    return stream.whenResponse().addCallback(lambda _: answeredTunnel(stream))


def answeredTunnel(stream: ClientStream) -> ClientStream:
    """
    See whether a CONNECT request that has been answered is a tunnel.

    @return: the stream.

    @raise TunnelRefused: if it is none; the stream is ended then.
    """
    headers = stream.headers
    assert headers is not None
    status = headers.status or 0
    if status // 100 == 2:
        return stream
    # Ended, not reset: resets count against a client.  A body that is too long for an explanation costs one after all.
    stream.end()
    stream.read(_REFUSAL_READ).addErrback(lambda _: None)
    raise TunnelRefused(f"the tunnel was refused with {status}", status, headers)


def connectThrough(
    opening: Callable[[str], Deferred[ClientStream]],
    host: str,
    port: int,
    protocolFactory: IProtocolFactory,
    reactor: Any = None,
) -> Deferred[IProtocol]:
    """
    Run a protocol in a tunnel that leads to a host and a port.

    @param opening: asks for the tunnel; called with its C{:authority}.

    @return: as L{TunnelEndpoint.connect}.
    """
    address = HostnameAddress(host.encode("ascii"), port)
    protocolFactory.doStart()

    def opened(stream: ClientStream) -> IProtocol:
        try:
            protocol = protocolFactory.buildProtocol(address)
            if protocol is None:
                raise NoProtocol()
            transport = StreamTransport(stream, reactor=reactor, peer=address)
            transport._whenLost = protocolFactory.doStop
            transport.run(protocol)
        except BaseException:
            stream.close(ErrorCode.CANCEL)
            raise
        return protocol

    def failed(failure: Failure) -> Failure:
        protocolFactory.doStop()
        if failure.check(CancelledError):
            return Failure(ConnectingCancelledError(address))
        return failure

    return maybeDeferred(opening, authorityOf(host, port)).addCallback(opened).addErrback(failed)


def hostName(host: str | bytes) -> str:
    """
    Write a host as certificates and C{:authority} have it: in ASCII.
    """
    name = host.decode("ascii") if isinstance(host, bytes) else host
    return name if name.isascii() else name.encode("idna").decode("ascii")


def authorityOf(host: str, port: int) -> str:
    """
    Write a host and a port as C{:authority} of a CONNECT request has them.
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@implementer(IStreamClientEndpoint)
class TunnelEndpoint:
    """
    Connects to a host and a port through an HTTP/2 proxy: give it to whatever takes an endpoint.
    """

    def __init__(
        self,
        session: ClientSession,
        host: str | bytes,
        port: int,
        headers: HeadersLike | None = None,
        *,
        reactor: Any = None,
    ) -> None:
        """
        @param session: a session with the proxy.
        @param host: a name, or an address without brackets.
        @param headers: more of the request, for example C{proxy-authorization}.
        @param reactor: see L{StreamTransport}.
        """
        self._session = session
        self._host = hostName(host)
        self._port = port
        self._headers = headers
        self._reactor = reactor

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.

        @return: fires with the protocol; fails as L{openTunnel} does.  Cancelling it resets the stream with CANCEL.
        """
        return connectThrough(
            lambda authority: openTunnel(self._session, authority, self._headers),
            self._host,
            self._port,
            protocolFactory,
            self._reactor,
        )
