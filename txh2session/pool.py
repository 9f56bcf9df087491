"""
L{SessionPool}: sessions for the requests of many, who need not know which.

A pool connects where there is no session, shares those there are, waits where they are full, and sends a request again
that its peer surely never worked on.  What it does for one origin is in C{_origin.py}.
"""

from __future__ import annotations

import re
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS

from txh2session._coalescing import addressesOf, mayCarry
from txh2session._origin import OriginSessions
from txh2session._origins import WebURL
from txh2session._parking import HTTP1Endpoint, ParkedConnection, ParkingFactory
from txh2session._pooled import Body, PooledRequest, PooledSession
from txh2session._timer import DelayedCall
from txh2session._waiters import Waiters
from txh2session.client import ClientSession, ClientStream
from txh2session.connecting import openSession, parsedURL
from txh2session.errors import ConnectFailed, ErrorCode, Initiator, StreamRefused
from txh2session.framelog import FrameLog
from txh2session.headers import HeadersLike, requestHeaders
from txh2session.listeners import SessionListener, StreamListener
from txh2session.settings import Limits, Options, Settings, Timeouts, checkSeconds
from txh2session.tls import clientContextFactory

_REMEMBERED: Final = 1000
"""Of how many origins something is remembered while there is no session with them."""
_SPEAKS_HTTP1: Final = 300.0
"""For how many seconds a server that chose HTTP/1.1 is taken to choose it again."""
_TOO_MANY_PINGS: Final = b"too_many_pings"
"""The debug data of a GOAWAY with which gRPC's servers ask for fewer PINGs."""
_SLOWEST: Final = 1024
"""How many times longer than asked for the interval of PINGs can become."""


_ORIGIN: Final = re.compile(r"[A-Za-z]+://[^/?#\\]+")
_ORIGIN_BYTES: Final = re.compile(_ORIGIN.pattern.encode("ascii"))
_remembered = lru_cache(_REMEMBERED)(parsedURL)


def _originOf(url: str | bytes) -> WebURL:
    """
    Take a URL apart; most of those that come have an origin that came before.

    @raise InvalidURL: if it cannot be read.
    """
    found = _ORIGIN_BYTES.match(url) if isinstance(url, bytes) else _ORIGIN.match(url) if isinstance(url, str) else None
    return parsedURL(url) if found is None else _remembered(found[0])


class SpeaksHTTP1(ConnectFailed):
    """
    The server chose HTTP/1.1 by ALPN, chose nothing, or reset a stream with HTTP_1_1_REQUIRED.

    @ivar endpoint: an L{IStreamClientEndpoint} for a protocol that speaks HTTP/1.1: its first C{connect()}, if called while
        this error is being delivered, takes the connection that is there, handshake done; others make new ones, which offer
        C{http/1.1} only.
    """

    def __init__(self, message: str, endpoint: IStreamClientEndpoint, reason: BaseException | None = None) -> None:
        super().__init__("alpn", message, reason)
        self.endpoint = endpoint


class OriginSnapshot(NamedTuple):
    """
    What a pool has for one origin.

    @ivar sessions: sessions that were made for it and take requests.
    @ivar shared: sessions of other origins that take its requests, too.
    @ivar connecting: whether one more is being connected.
    @ivar streams: the pool's requests that are open on its own sessions.
    @ivar freeStreams: how many more would be sent at once.
    @ivar waiting: requests that wait.
    """

    sessions: int
    shared: int
    connecting: bool
    streams: int
    freeStreams: int
    waiting: int


class _Memory:
    """
    What is remembered of an origin.
    """

    __slots__ = ("http1Until", "keepaliveFactor", "notShared")

    def __init__(self) -> None:
        self.http1Until = 0.0
        self.keepaliveFactor = 1
        self.notShared = False


class SessionPool:
    """
    Sessions by origin (scheme, host and port), connected when they are needed.

      - Requests for an origin wait together for one connection; if it fails, all of them fail.
      - A second session is connected when the first has no free stream, up to C{maxSessionsPerOrigin}; then requests wait
        for their turn, oldest first.
      - A session that its server sends away (GOAWAY) takes no more requests, and ends when those on it have ended.  So do
        sessions without a request for C{Timeouts.idle} seconds.
      - A request that the server surely never worked on (C{processed} is L{False}: it is above the last id of a GOAWAY, was
        refused, or was never sent) is sent again on another session, if its body can be sent again: up to C{retries} times,
        those not counted where the server left after it had worked on other requests.  Nothing else is ever sent twice, but
        for one exception: an answer of 421 (Misdirected Request) has the request sent once more on a connection of its own
        (RFC 9110 section 15.5.20).
      - A server that asks for fewer PINGs (GOAWAY with ENHANCE_YOUR_CALM and C{too_many_pings}) gets half as many on the
        next session, and so on, where C{Timeouts.keepalive} asks for any.
    """

    def __init__(
        self,
        reactor: Any,
        *,
        contextFactory: IPolicyForHTTPS | None = None,
        settings: Settings | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        listener: SessionListener | None = None,
        options: Options | None = None,
        frameLog: FrameLog | None = None,
        endpointFor: Callable[[str, int], IStreamClientEndpoint] | None = None,
        maxSessionsPerOrigin: int = 2,
        maxSessions: int = 256,
        retries: int = 3,
        coalesce: bool = False,
        http1: bool = False,
    ) -> None:
        """
        @param contextFactory: as for L{connect<txh2session.connect>}, for all origins.
        @param settings: what is announced to servers.
        @param limits: what each session may cost.
        @param timeouts: how long things may take; C{idle} is 90 seconds unless given.
        @param listener: told what happens to each session.
        @param options: how messages are made and judged.
        @param frameLog: sees every frame of the sessions.
        @param endpointFor: makes the endpoint of a host and a port, without TLS, for example one that goes through a proxy;
            L{HostnameEndpoint} if not given.
        @param maxSessionsPerOrigin: how many sessions an origin may have that take requests.
        @param maxSessions: how many there may be in all, connecting ones included.  When there are so many, the one that
            has been idle longest makes room; if none is idle, who needs a session waits.  Sessions that only finish their
            last requests do not count.
        @param retries: how often one request may be refused and sent again.
        @param coalesce: whether an origin without a session may use that of another with the same port, if its server's
            certificate has the name, the name leads to the session's address, and the server, if it sent an ORIGIN frame,
            named the origin (RFC 9113 section 9.1.1, RFC 8336).  Needs a reactor that resolves names.  Through a proxy
            nothing is shared, since the address is the proxy's.
        @param http1: whether C{http/1.1} is offered by ALPN besides C{h2}: requests to a server that chooses it fail with
            L{SpeaksHTTP1}, which has the connection.

        @raise ValueError: for a bound below 1, less than no retries, or settings that ask for pushes nobody is told of.
        @raise TypeError: if names are to be resolved by a reactor that does not do so.
        """
        if coalesce and not IReactorPluggableNameResolver.providedBy(reactor):
            raise TypeError("coalesce=True needs a reactor that resolves names")
        for name, value, low in (
            ("maxSessionsPerOrigin", maxSessionsPerOrigin, 1),
            ("maxSessions", maxSessions, 1),
            ("retries", retries, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"{name} is an integer from {low}, not {value!r}")
        if settings is not None and settings.enablePush and listener is None:
            raise ValueError("pushes need a listener that takes them")
        timeouts = timeouts or Timeouts()
        self.reactor = reactor
        self.retries = retries
        self.maxSessionsPerOrigin = maxSessionsPerOrigin
        self._maxSessions = maxSessions
        self._contextFactory = contextFactory
        self._settings = settings
        self._limits = limits
        self._listener = listener
        self._options = options or Options()
        self._frameLog = frameLog
        self._timeouts = timeouts if timeouts.idle is not None else replace(timeouts, idle=90.0)
        self._endpointFor = endpointFor
        self._coalesce = coalesce
        self._http1 = http1
        self._number = 0
        self._origins: dict[WebURL, OriginSessions] = {}
        self._memories: OrderedDict[WebURL, _Memory] = OrderedDict()
        self._sessions: dict[ClientSession, PooledSession] = {}
        self._wanting: dict[OriginSessions, None] = {}
        self._closed = False
        self._goneWaiters: Waiters[None] = Waiters()
        self._graceCall: DelayedCall | None = None

    def __repr__(self) -> str:
        return f"<SessionPool of {len(self._sessions)} sessions with {len(self._origins)} origins>"

    # -----------------------------------------------------------------------------------------------------------------
    # For applications

    def request(
        self,
        url: str | bytes,
        headers: HeadersLike = (),
        body: Body | None = None,
        *,
        replay: Callable[[], bool] | None = None,
        listeners: Sequence[StreamListener] = (),
    ) -> Deferred[ClientStream]:
        """
        Send a request to the origin of a URL, on a session there is or a new one.

        @param url: its scheme, host and port count; C{http:} means HTTP/2 in clear text with prior knowledge.
        @param headers: as for L{ClientSession.request<txh2session.ClientSession.request>}; C{:path} is C{/} unless given.
        @param body: all of the body, or what is called with the stream when the request has been sent, to write it and
            C{end()} it; L{None} if there is none.  If it raises, the stream is reset with CANCEL and the request fails with
            that exception.
        @param replay: called before a C{body} that was called is called again; without it, or when it returns C{False},
            the request is not sent again.
        @param listeners: told what happens to the stream, to each one if the request is sent again: 1xx answers, say.

        @return: fires with the stream when it has been answered: C{stream.headers} are there, the body is to be read.
            Fails with a L{ConnectFailed<txh2session.ConnectFailed>} if there is no session, and with an L{Ended
            <txh2session.Ended>} if there is no answer.  Cancelling it resets the stream with CANCEL, or stops the waiting;
            others who wait for the same connection are not concerned.

        @raise InvalidURL: for a URL that cannot be read or has another scheme.
        @raise InvalidHeader: for headers that may not be sent.
        """
        parsed = _originOf(url)
        checked = requestHeaders(
            headers, parsed.scheme.encode("ascii"), parsed.authority.encode("ascii"), self._options.strictSingleValues
        )
        if self._closed:
            return fail(self._refusal())
        memory = self._memories.get(parsed)
        if memory is not None and self.seconds() < memory.http1Until:
            return fail(self._speaksHTTP1(parsed, deque()))
        origin = self._origins.get(parsed)
        if origin is None:
            origin = self._origins[parsed] = OriginSessions(self, parsed)
        self._number += 1
        request = PooledRequest(self._number, origin, checked, body, replay, listeners)
        origin.add(request)
        return request.result

    def endpointFor(self, host: str, port: int) -> IStreamClientEndpoint:
        """
        Make the endpoint, without TLS, that this pool would connect to a host and a port with.
        """
        if self._endpointFor is not None:
            return self._endpointFor(host, port)
        return HostnameEndpoint(self.reactor, host, port, timeout=self._timeouts.connect or 30)

    @property
    def closed(self) -> bool:
        """
        Whether L{close} was called.
        """
        return self._closed

    @property
    def state(self) -> dict[str, OriginSnapshot]:
        """
        What the pool has, by origin, for example C{"https://example.com"}.
        """
        return {
            f"{url.scheme}://{url.authority}": OriginSnapshot(
                sessions=sum(pooled.home is origin for pooled in origin.usable),
                shared=sum(pooled.home is not origin for pooled in origin.usable),
                connecting=origin.connecting is not None,
                streams=sum(pooled.streams for pooled in origin.sessions if pooled.home is origin),
                freeStreams=sum(pooled.session.freeStreams for pooled in origin.sessions),
                waiting=origin.waiting,
            )
            for url, origin in self._origins.items()
        }

    def close(self, grace: float | None = None) -> Deferred[None]:
        """
        Take no more requests, fail those that wait with C{processed=False}, and end each session when its last stream has
        ended.

        @param grace: seconds after which what is left is destroyed; without it there is no such time.

        @return: fires with L{None} when the last session is gone, also the second time.

        @raise InvalidSetting: for what is not a number of seconds.
        """
        if grace is not None:
            grace = checkSeconds("grace", grace)
        self._closed = True
        self._wanting.clear()
        for origin in list(self._origins.values()):
            origin.stop(Failure(self._refusal()))
        for pooled in list(self._sessions.values()):
            pooled.close()
        if grace is not None and self._sessions and self._graceCall is None:
            self._graceCall = self.reactor.callLater(grace, self._graceOver)
        self._lookForEnd()
        return self._goneWaiters.when()

    def _graceOver(self) -> None:
        self._graceCall = None
        for session in list(self._sessions):
            session.destroy()

    def _lookForEnd(self) -> None:
        if self._closed and not self._sessions:
            if self._graceCall is not None:
                self._graceCall.cancel()
                self._graceCall = None
            self._goneWaiters.fire(None)

    def _refusal(self) -> StreamRefused:
        return StreamRefused("the pool is closed", ErrorCode.REFUSED_STREAM, Initiator.LOCAL, processed=False)

    # -----------------------------------------------------------------------------------------------------------------
    # For the origins

    def seconds(self) -> float:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        now: float = self.reactor.seconds()
        return now

    def again(self, request: PooledRequest) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        if self._closed:
            request.fail(Failure(self._refusal()))
            return
        url = request.origin.url
        request.origin = self._origins.setdefault(url, request.origin)  # it may have been forgotten meanwhile
        request.origin.add(request)

    def mayConnect(self, origin: OriginSessions) -> bool:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        live = [pooled for pooled in self._sessions.values() if not pooled.session.closed]
        if len(live) < self._maxSessions:
            self._wanting.pop(origin, None)
            return True
        idle = [pooled for pooled in live if not pooled.streams and pooled.session.ready]
        if idle:
            self._wanting.pop(origin, None)
            oldest = min(idle, key=lambda pooled: pooled.idleSince)
            oldest.close()
            return True
        self._wanting[origin] = None
        return False

    def find(self, origin: OriginSessions) -> Deferred[PooledSession | None]:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        if not self._candidates(origin):
            return succeed(None)

        def resolved(addresses: set[str]) -> PooledSession | None:
            for pooled in self._candidates(origin):  # as it is now
                if getattr(pooled.session.getPeer(), "host", None) in addresses:
                    return pooled
            return None

        return addressesOf(self.reactor, origin.url.host).addCallback(resolved)

    def _candidates(self, origin: OriginSessions) -> list[PooledSession]:
        memory = self._memories.get(origin.url)
        if not self._coalesce or (memory is not None and memory.notShared):
            return []
        return [pooled for pooled in self._sessions.values() if pooled.session.ready and self.mayCarry(pooled, origin)]

    def mayCarry(self, pooled: PooledSession, origin: OriginSessions) -> bool:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        return mayCarry(pooled.session, origin.url, pooled.originsNamed)

    def open(self, origin: OriginSessions) -> ClientSession:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        url = origin.url
        timeouts = self._timeouts
        memory = self._memories.get(url)
        if memory is not None and timeouts.keepalive is not None:
            slower = replace(timeouts.keepalive, interval=timeouts.keepalive.interval * memory.keepaliveFactor)
            timeouts = replace(timeouts, keepalive=slower)
        origin.parking = ParkingFactory() if self._http1 and url.scheme == "https" else None
        return openSession(
            self.reactor,
            f"{url.scheme}://{url.authority}",
            endpoint=self.endpointFor(url.host, url.port),
            contextFactory=self._policy(),
            settings=self._settings,
            limits=self._limits,
            timeouts=timeouts,
            listener=self._listener,
            options=self._options,
            frameLog=self._frameLog,
            http1=origin.parking,
        )

    def opened(self, pooled: PooledSession) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        self._sessions[pooled.session] = pooled

    def _policy(self) -> IPolicyForHTTPS:
        if self._contextFactory is None:
            self._contextFactory = clientContextFactory()
        return self._contextFactory

    def connectFailed(self, origin: OriginSessions, failure: Failure) -> Failure:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        parking, origin.parking = origin.parking, None
        if parking is not None and parking.parked:
            return self._fallBack(origin.url, parking.parked, failure)
        return failure

    def http1Required(self, origin: OriginSessions, failure: Failure) -> Failure:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        return self._fallBack(origin.url, deque(), failure) if self._http1 and origin.url.scheme == "https" else failure

    def _fallBack(self, url: WebURL, parked: deque[ParkedConnection], failure: Failure) -> Failure:
        self._remember(url).http1Until = self.seconds() + _SPEAKS_HTTP1
        return Failure(self._speaksHTTP1(url, parked, failure.value))

    def _speaksHTTP1(
        self, url: WebURL, parked: deque[ParkedConnection], reason: BaseException | None = None
    ) -> SpeaksHTTP1:
        def fresh() -> IStreamClientEndpoint:
            creator = self._policy().creatorForNetloc(url.host.encode("ascii"), url.port)
            return wrapClientTLS(creator, self.endpointFor(url.host, url.port))

        return SpeaksHTTP1("the server wants HTTP/1.1", HTTP1Endpoint(parked, fresh), reason)

    def _remember(self, url: WebURL) -> _Memory:
        memory = self._memories.setdefault(url, _Memory())
        self._memories.move_to_end(url)
        if len(self._memories) > _REMEMBERED:
            self._memories.popitem(last=False)
        return memory

    def misdirected(self, pooled: PooledSession, origin: OriginSessions) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        if pooled.home is not origin:
            self._remember(origin.url).notShared = True

    def wentAway(self, pooled: PooledSession, code: int, debugData: bytes) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        if code == ErrorCode.ENHANCE_YOUR_CALM and debugData == _TOO_MANY_PINGS:
            memory = self._remember(pooled.home.url)
            memory.keepaliveFactor = min(memory.keepaliveFactor * 2, _SLOWEST)
        self._leave(pooled)

    def idle(self, pooled: PooledSession) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        pooled.idleSince = self.seconds()
        self._serveWanting()

    def gone(self, pooled: PooledSession) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        self._sessions.pop(pooled.session, None)
        self._leave(pooled)
        self._lookForEnd()

    def _leave(self, pooled: PooledSession) -> None:
        pooled.leave()
        self._serveWanting()

    def _serveWanting(self) -> None:
        """
        Let those connect who wait for room, the first first.
        """
        for origin in list(self._wanting):
            del self._wanting[origin]
            origin.dispatch()
            if origin in self._wanting:
                return

    def unused(self, origin: OriginSessions) -> None:
        """See L{OriginOwner<txh2session._origin.OriginOwner>}."""
        self._wanting.pop(origin, None)
        if self._origins.get(origin.url) is origin:
            del self._origins[origin.url]
