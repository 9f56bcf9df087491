"""
Endpoints that go through a proxy, by CONNECT (RFC 9110 section 9.3.6): L{HTTP1ProxyEndpoint} and L{HTTP2ProxyEndpoint}.

What is connected through them speaks what it likes, TLS to the target included.  A pool goes through a proxy with
C{SessionPool(reactor, endpointFor=lambda host, port: HTTP1ProxyEndpoint(proxy, host, port))}.
"""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.address import HostnameAddress
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session.client import ClientStream
from txh2session.headers import Headers, HeadersLike
from txh2session.pool import SessionPool
from txh2session.pool._parking import Relay
from txh2session.tunnel import TunnelRefused, answeredTunnel, authorityOf, connectThrough, hostName

_HEAD: Final = 64 * 1024
"""How many bytes the head of a proxy's answer may have, those of 1xx answers before it included."""
_END: Final = b"\r\n\r\n"
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?")
_FIELD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\0\r\n]*?)[ \t]*")


class _Connect(Relay):
    """
    Asks an HTTP/1.1 proxy for a tunnel, then hands it over.
    """

    def __init__(self, request: bytes, address: HostnameAddress, factory: IProtocolFactory) -> None:
        self._request = request
        self._address = address
        self._factory = factory
        self._coming = bytearray()
        self._headBytes = 0
        self._over = False
        self.opened: Deferred[IProtocol] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self._over = True
        self.transport.abortConnection()

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        if self._taker is not None or self._over:
            super().dataReceived(data)
            return
        looked = max(len(self._coming) - len(_END) + 1, 0)
        self._coming += data
        while not self._over and self._taker is None:
            end = self._coming.find(_END, looked)
            if self._headBytes + (len(self._coming) if end < 0 else end) > _HEAD:
                self._refuse(TunnelRefused(f"the head of the proxy's answer has more than {_HEAD} bytes"))
            elif end < 0:
                return
            else:
                head = bytes(self._coming[:end])
                del self._coming[: end + len(_END)]
                self._headBytes += end + len(_END)
                looked = 0
                self._answered(head)

    def _answered(self, head: bytes) -> None:
        """
        Read the head of an answer.
        """
        first, *lines = head.split(b"\r\n")
        status = _STATUS.fullmatch(first)
        fields = [_FIELD.fullmatch(line) for line in lines]
        if status is None or None in fields:
            self._refuse(TunnelRefused("the proxy did not answer with HTTP/1.1"))
            return
        code = int(status[1])
        if code < 200:
            return
        headers = Headers.received([(field[1].lower(), field[2]) for field in fields if field is not None])
        if code >= 300:
            self._refuse(TunnelRefused(f"the tunnel was refused with {code}", code, headers))
            return
        self._handOver()

    def _handOver(self) -> None:
        protocol = self._factory.buildProtocol(self._address)
        if protocol is None:
            self._refuse(NoProtocol())
            return
        rest, self._coming = bytes(self._coming), bytearray()
        self._taker = protocol
        protocol.makeConnection(self.transport)
        self.opened.callback(protocol)
        if rest:
            protocol.dataReceived(rest)

    def _refuse(self, error: Exception) -> None:
        self._over = True
        self.transport.abortConnection()
        self.opened.errback(error)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        if self._taker is None and not self._over:
            self._over = True
            self.opened.errback(TunnelRefused(f"the proxy closed the connection: {reason.getErrorMessage()}"))
        super().connectionLost(reason)


class _ConnectFactory(Factory):
    """
    Makes one L{_Connect}.
    """

    noisy = False

    def __init__(self, protocol: _Connect) -> None:
        self._protocol = protocol

    def buildProtocol(self, addr: IAddress | None) -> _Connect:
        """See L{IProtocolFactory}."""
        return self._protocol


@implementer(IStreamClientEndpoint)
class HTTP1ProxyEndpoint:
    """
    Connects to a host and a port through an HTTP/1.1 proxy: give it to whatever takes an endpoint.
    """

    def __init__(
        self, proxy: IStreamClientEndpoint, host: str | bytes, port: int, headers: HeadersLike | None = None
    ) -> None:
        """
        @param proxy: connects to the proxy, with C{wrapClientTLS} around it for one that wants TLS.
        @param host: a name, which the proxy resolves, or an address without brackets.
        @param headers: more of the request, for example C{proxy-authorization}.

        @raise InvalidHeader: for headers that may not be sent.
        """
        self._proxy = proxy
        self._host = hostName(host)
        self._port = port
        self._headers = Headers(() if headers is None else headers)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.

        @return: fires with the protocol, connected to the target; fails with L{TunnelRefused<txh2session.TunnelRefused>},
            whose C{status} is the proxy's answer, or L{None} if it gave none, or with what connecting to the proxy fails
            with.  Cancelling it closes the connection.
        """
        authority = authorityOf(self._host, self._port)
        lines = [b"CONNECT %s HTTP/1.1" % authority.encode("ascii")]
        fields = [(b"host", authority.encode("ascii")), *self._headers.rawHeaders]
        lines += [b"%s: %s" % field for field in fields]
        address = HostnameAddress(self._host.encode("ascii"), self._port)
        asking = _Connect(b"\r\n".join([*lines, b"", b""]), address, protocolFactory)
        protocolFactory.doStart()
        asking._whenLost = protocolFactory.doStop
        connecting = self._proxy.connect(_ConnectFactory(asking))
        connecting.addErrback(self._noProxy, protocolFactory)
        return connecting.addCallback(lambda _: asking.opened).addErrback(self._cancelled, address)

    @staticmethod
    def _noProxy(failure: Failure, protocolFactory: IProtocolFactory) -> Failure:
        protocolFactory.doStop()
        return failure

    @staticmethod
    def _cancelled(failure: Failure, address: HostnameAddress) -> Failure:
        return Failure(ConnectingCancelledError(address)) if failure.check(CancelledError) else failure


@implementer(IStreamClientEndpoint)
class HTTP2ProxyEndpoint:
    """
    Connects to a host and a port through an HTTP/2 proxy, on whatever session a pool has with it: give it to whatever takes
    an endpoint.  L{TunnelEndpoint<txh2session.TunnelEndpoint>} does so on one session.
    """

    def __init__(
        self,
        pool: SessionPool,
        url: str | bytes,
        host: str | bytes,
        port: int,
        headers: HeadersLike | None = None,
    ) -> None:
        """
        @param pool: holds the sessions with the proxy; another one than goes through it.
        @param url: the proxy's, for example C{"https://proxy.example:8443"}.
        @param host: a name, which the proxy resolves, or an address without brackets.
        @param headers: more of the request, for example C{proxy-authorization}.
        """
        self._pool = pool
        self._url = url
        self._host = hostName(host)
        self._port = port
        self._headers = Headers(() if headers is None else headers)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """
        See L{IStreamClientEndpoint}.

        @return: fires with the protocol, connected to the target; fails with L{TunnelRefused<txh2session.TunnelRefused>}
            or as L{SessionPool.request<txh2session.SessionPool.request>} does.  Cancelling it resets the stream with
            CANCEL.
        """
        return connectThrough(self._open, self._host, self._port, protocolFactory, self._pool.reactor)

    def _open(self, authority: str) -> Deferred[ClientStream]:
        fields: list[tuple[bytes, Any]] = [(b":method", b"CONNECT"), (b":authority", authority)]
        request = Headers([*fields, *self._headers.rawHeaders], self._headers.sensitive)
        asked = self._pool.request(self._url, request, lambda stream: None, replay=lambda: True)
        return asked.addCallback(answeredTunnel)
