"""
L{H2Agent}: twisted.web's client interface, C{IAgent}, over HTTP/2.

Give it to whatever takes an agent: treq's C{HTTPClient}, C{RedirectAgent}, C{CookieAgent}, C{ContentDecoderAgent}.  Servers
that do not choose HTTP/2 are asked by twisted.web's own client, on the same connection.

This module is imported by its name: C{from txh2session.agent import H2Agent}.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    HTTPConnectionPool,
    RequestTransmissionFailed,
    ResponseNeverReceived,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from txh2session import (
    ClientStream,
    ConnectFailed,
    Ended,
    SessionPool,
    SpeaksHTTP1,
    Stream,
    StreamListener,
    Timeouts,
)
from txh2session import Headers as FieldList
from txh2session.agent._bodies import IReplayableBodyProducer, RequestBody
from txh2session.agent._response import H2Request, H2Response, ResponseCancelled

__all__ = ["H2Agent", "H2Request", "H2Response", "IReplayableBodyProducer", "ResponseCancelled"]

_URI: Final = re.compile(
    rb"([A-Za-z][A-Za-z0-9+.-]*)://[\x21\x22\x24-\x2e\x30-\x3e\x40-\x7e]+([\x21-\x22\x24-\x7e]*)(?:#[\x21-\x7e]*)?"
)
"""Scheme, authority, path and query, fragment; of visible ASCII."""
_DROPPED: Final = frozenset(
    {b"connection", b"host", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"}
)
"""Fields that callers set for HTTP/1.1 and HTTP/2 has no use for (RFC 9113 section 8.2.2); C{host} travels as
C{:authority}."""


@implementer(IAgent)
class H2Agent:
    """
    Sends requests over HTTP/2 where the server chooses it by ALPN, and over HTTP/1.1 where not.

    Errors are those of L{twisted.web.client.Agent}, with ours inside:

      - C{DNSLookupError}, C{ConnectError} and their kin where there is no connection; their C{__cause__} is a
        L{ConnectFailed<txh2session.ConnectFailed>};
      - L{ResponseNeverReceived} where no answer came, L{RequestTransmissionFailed} where not even the whole body could be
        sent, L{ResponseFailed<twisted.web.client.ResponseFailed>} to the protocol of a body that was cut short: C{reasons}
        has the L{ConnectFailed<txh2session.ConnectFailed>}, L{StreamError<txh2session.StreamError>} or L{SessionError
        <txh2session.SessionError>};
      - L{RequestGenerationFailed<twisted.web.client.RequestGenerationFailed>} where the body producer failed;
      - L{CancelledError<twisted.internet.defer.CancelledError>} where the caller cancelled.

    @ivar pool: the L{SessionPool<txh2session.SessionPool>}.
    """

    def __init__(
        self,
        reactor: Any,
        contextFactory: IPolicyForHTTPS | None = None,
        connectTimeout: float | None = None,
        bindAddress: Any = None,
        pool: SessionPool | None = None,
        *,
        priorKnowledge: bool = False,
        http1Pool: HTTPConnectionPool | None = None,
        streamListener: StreamListener | None = None,
    ) -> None:
        """
        @param contextFactory: says what is trusted over TLS, for example L{clientContextFactory
            <txh2session.clientContextFactory>} or twisted.web's C{BrowserLikePolicyForHTTPS}; the platform's certificate
            authorities if not given.  Whatever it says of ALPN, C{h2} and C{http/1.1} are offered.
        @param connectTimeout: seconds until a connection is usable, 30 if not given.
        @param bindAddress: the local address, as for L{HostnameEndpoint}.
        @param pool: holds the sessions, instead of one made from the arguments above.  Without C{http1=True} it leaves
            servers without HTTP/2 aside.  Its C{Timeouts.request} bounds each request over HTTP/2.
        @param priorKnowledge: whether C{http:} URLs mean HTTP/2, too, in clear text; else they mean HTTP/1.1.
        @param http1Pool: holds the connections that speak HTTP/1.1; a persistent one if not given.
        @param streamListener: told what happens to the stream of each request, for example of 1xx answers as they come.

        @raise ValueError: for a pool and an argument that it would make meaningless.
        @raise TypeError: for a pool of twisted.web's.
        """
        if pool is None:
            pool = SessionPool(
                reactor,
                contextFactory=contextFactory,
                timeouts=Timeouts() if connectTimeout is None else Timeouts(connect=connectTimeout),
                endpointFor=None if bindAddress is None else _bound(reactor, connectTimeout, bindAddress),
                http1=True,
            )
        elif not isinstance(pool, SessionPool):
            raise TypeError(f"the pool is a SessionPool, not {pool!r}; one for HTTP/1.1 is the http1Pool")
        elif (contextFactory, connectTimeout, bindAddress) != (None, None, None):
            raise ValueError("contextFactory, connectTimeout and bindAddress belong to the pool that is given")
        self.pool = pool
        self._reactor = reactor
        self._priorKnowledge = priorKnowledge
        self._http1Pool = http1Pool or HTTPConnectionPool(reactor)
        self._streamListeners = () if streamListener is None else (streamListener,)

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """
        See L{IAgent}.  What belongs to HTTP/1.1 connections is left out of the headers; C{host} becomes C{:authority}.

        A body that is not longer than 64 KiB, as far as it has been produced, is sent again where L{SessionPool
        <txh2session.SessionPool>} sends a request again; so is one of an L{IReplayableBodyProducer}.

        @return: fires with an L{H2Response}, or with twisted.web's own from a server without HTTP/2.  Cancelling it resets
            the stream with CANCEL, or stops the waiting.

        @raise ValueError: for a method, a URI or headers that cannot be sent.
        """
        uri = uri.strip()
        found = _URI.fullmatch(uri)
        if found is None:
            raise ValueError(f"not a URI: {uri!r}")
        scheme, path = found[1].lower(), found[2]
        if scheme not in (b"http", b"https"):
            return fail(SchemeNotSupported(f"Unsupported scheme: {scheme!r}"))
        headers = Headers() if headers is None else headers
        if scheme == b"http" and not self._priorKnowledge and not self.pool.closed:
            parsed = URI.fromBytes(uri)
            endpoint = self.pool.endpointFor(parsed.host.decode("ascii"), parsed.port)
            return self._overHTTP1(endpoint, method, uri, headers, bodyProducer)
        upload = None if bodyProducer is None else RequestBody(bodyProducer)
        exchange = _Exchange(H2Request(method, uri, headers), upload)
        asked = self.pool.request(
            uri,
            requestFields(method, path if path[:1] == b"/" else b"/" + path, headers, bodyProducer),
            upload,
            replay=None if upload is None else upload.canGoAgain,
            listeners=(exchange, *self._streamListeners),
        )

        def failed(failure: Failure) -> Any:
            if isinstance(failure.value, SpeaksHTTP1) and not (upload is not None and upload.started):
                return self._overHTTP1(failure.value.endpoint, method, uri, headers, bodyProducer)
            return exchange.failed(failure)

        return asked.addCallbacks(exchange.answered, failed)

    def _overHTTP1(
        self,
        endpoint: IStreamClientEndpoint,
        method: bytes,
        uri: bytes,
        headers: Headers,
        bodyProducer: IBodyProducer | None,
    ) -> Deferred[IResponse]:
        agent = Agent.usingEndpointFactory(self._reactor, _OneEndpoint(endpoint), self._http1Pool)
        asked: Deferred[IResponse] = agent.request(method, uri, headers, bodyProducer)
        return asked

    def close(self, grace: float | None = None) -> Deferred[None]:
        """
        Take no more requests, and end all connections when their requests have ended, those of HTTP/1.1 that are idle at
        once.

        @param grace: see L{SessionPool.close<txh2session.SessionPool.close>}.

        @return: fires with L{None} when they are gone.
        """
        gone = self.pool.close(grace)
        cached: Deferred[None] = self._http1Pool.closeCachedConnections()
        return cached.addCallback(lambda _: gone)


@implementer(IAgentEndpointFactory)
class _OneEndpoint:
    """
    Has one endpoint for everything.
    """

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self._endpoint


def _bound(reactor: Any, connectTimeout: float | None, bindAddress: Any) -> Callable[[str, int], IStreamClientEndpoint]:
    """
    Make endpoints that connect from a local address.
    """
    timeout = 30 if connectTimeout is None else connectTimeout
    return lambda host, port: HostnameEndpoint(reactor, host, port, timeout=timeout, bindAddress=bindAddress)


def requestFields(
    method: bytes, path: bytes, headers: Headers, bodyProducer: IBodyProducer | None
) -> list[tuple[bytes, bytes | int]]:
    """
    Make a header list of what a caller of an agent gave.
    """
    fields: list[tuple[bytes, bytes | int]] = [(b":method", method), (b":path", path)]
    hosts = headers.getRawHeaders(b"host", [])
    if len(hosts) > 1:
        raise ValueError("a request has one Host header at most")
    fields.extend((b":authority", host) for host in hosts)
    dropped = set(_DROPPED)
    for value in headers.getRawHeaders(b"connection", []):
        dropped.update(name.strip().lower() for name in value.split(b","))  # RFC 9110 section 7.6.1
    lengths = headers.getRawHeaders(b"content-length", [])
    dropped.add(b"content-length")
    if bodyProducer is not None:
        if bodyProducer.length is not UNKNOWN_LENGTH:
            fields.append((b"content-length", bodyProducer.length))
    elif method in (b"POST", b"PUT") or lengths == [b"0"]:
        fields.append((b"content-length", 0))
    for given, values in headers.getAllRawHeaders():
        name = given.lower()
        for value in values:
            if name not in dropped and (name != b"te" or value.strip().lower() == b"trailers"):
                fields.append((name, value))
    return fields


class _Exchange(StreamListener):
    """
    One request and its answer.
    """

    def __init__(self, request: H2Request, upload: RequestBody | None) -> None:
        self._request = request
        self._upload = upload
        self._information: list[FieldList] = []

    def informationReceived(self, stream: Stream, headers: FieldList) -> None:
        """See L{StreamListener}."""
        self._information.append(headers)

    def answered(self, stream: ClientStream) -> IResponse:
        """
        Make the response.
        """
        response = H2Response(stream, self._request, self._information)
        upload = self._upload
        if upload is not None:
            upload.settle()
            if not upload.complete:
                stream.whenTrailers().addCallbacks(lambda _: self._answeredEarly(response), lambda _: None)
        return response

    def _answeredEarly(self, response: H2Response) -> None:
        """
        The answer is complete: if the request is not, the server does without the rest of it.
        """
        assert self._upload is not None
        if not self._upload.complete:
            self._upload.abandon()
            response.answeredEarly()

    def failed(self, failure: Failure) -> Failure:
        """
        Say it in the classes of twisted.web.
        """
        sending = self._upload is not None and self._upload.started and not self._upload.complete
        if self._upload is not None:
            self._upload.settle()
        error = failure.value
        if isinstance(error, ConnectFailed):
            return _connectFailure(error, failure)
        if isinstance(error, Ended):
            return Failure(RequestTransmissionFailed([failure]) if sending else ResponseNeverReceived([failure]))
        return failure


def _connectFailure(error: ConnectFailed, failure: Failure) -> Failure:
    """
    Say why there is no connection.
    """
    shown: Exception
    if error.stage not in ("dns", "tcp"):
        return Failure(ResponseNeverReceived([failure]))
    if isinstance(error.reason, (ConnectError, DNSLookupError)):
        # As Twisted says it: a copy, since the cause of the cause is the original.
        shown = copy.copy(error.reason)
        shown.args = error.reason.args
    elif error.reason is None:
        shown = ConnectTimeout(string=str(error))
    else:
        shown = ConnectError(string=str(error))
    shown.__cause__ = error
    return Failure(shown)
