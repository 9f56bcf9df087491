"""
L{SessionPool}: sessions for the requests of many, who need not know which.

A pool connects where there is no session, shares those there are, waits where they are full, and sends a request again
that its peer surely never worked on.  What it does for one origin is in C{_origin.py}, for all of them in C{_keeper.py}.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.web.iweb import IPolicyForHTTPS

from txh2session._origins import WebURL
from txh2session.client import ClientStream, requestSeconds
from txh2session.connecting import parsedURL
from txh2session.framelog import FrameLog
from txh2session.headers import HeadersLike, requestHeaders
from txh2session.listeners import SessionListener, StreamListener
from txh2session.pool._dialer import Dialer
from txh2session.pool._keeper import REMEMBERED, Keeper, closedPool
from txh2session.pool._parking import SpeaksHTTP1
from txh2session.pool._pooled import Body, PooledRequest
from txh2session.settings import Limits, Options, Settings, Timeouts, checkSeconds

__all__ = ["OriginSnapshot", "SessionPool", "SpeaksHTTP1"]

_ORIGIN: Final = re.compile(r"[A-Za-z]+://[^/?#\\]+")
_ORIGIN_BYTES: Final = re.compile(_ORIGIN.pattern.encode("ascii"))
_remembered = lru_cache(REMEMBERED)(parsedURL)


def _originOf(url: str | bytes) -> WebURL:
    """
    Take a URL apart; most of those that come have an origin that came before.

    @raise InvalidURL: if it cannot be read.
    """
    found = _ORIGIN_BYTES.match(url) if isinstance(url, bytes) else _ORIGIN.match(url) if isinstance(url, str) else None
    return parsedURL(url) if found is None else _remembered(found[0])


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
        those not counted where the server left after it had worked on other requests; and as often a server is connected to
        that leaves without having taken any.  Nothing else is ever sent twice, but for one exception: an answer of 421
        (Misdirected Request) has the request sent once more on a connection of its own (RFC 9110 section 15.5.20).
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
        if timeouts.idle is None:
            timeouts = replace(timeouts, idle=90.0)
        self._options = options or Options()
        dialer = Dialer(
            *(reactor, contextFactory, settings, limits, timeouts),
            *(listener, self._options, frameLog, endpointFor, http1),
        )
        self._keeper = Keeper(dialer, maxSessionsPerOrigin, maxSessions, retries, coalesce)
        self._number = 0

    def __repr__(self) -> str:
        return f"<SessionPool of {len(self._keeper.sessions)} sessions with {len(self._keeper.origins)} origins>"

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
        timeout: float | None = None,
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
        @param timeout: seconds until the answer has to be whole, waiting for a session and sending again included: as for
            L{ClientSession.request<txh2session.ClientSession.request>}.

        @return: fires with the stream when it has been answered: C{stream.headers} are there, the body is to be read.
            Fails with a L{ConnectFailed<txh2session.ConnectFailed>} if there is no session, and with an L{Ended
            <txh2session.Ended>} if there is no answer.  Cancelling it resets the stream with CANCEL, or stops the waiting;
            others who wait for the same connection are not concerned.

        @raise InvalidURL: for a URL that cannot be read or has another scheme.
        @raise InvalidHeader: for headers that may not be sent.
        @raise InvalidSetting: for a timeout that is none.
        """
        parsed = _originOf(url)
        checked = requestHeaders(
            headers, parsed.scheme.encode("ascii"), parsed.authority.encode("ascii"), self._options.strictSingleValues
        )
        keeper = self._keeper
        seconds = requestSeconds(checked, timeout, keeper.dialer.timeouts)
        if keeper.closed:
            return fail(closedPool())
        other = keeper.wantsHTTP1(parsed)
        if other is not None:
            return fail(other)
        origin = keeper.originFor(parsed)
        self._number += 1
        request = PooledRequest(self._number, origin, checked, body, replay, listeners, seconds)
        origin.add(request)
        return request.result

    def endpointFor(self, host: str, port: int) -> IStreamClientEndpoint:
        """
        Make the endpoint, without TLS, that this pool would connect to a host and a port with.
        """
        return self._keeper.dialer.endpointFor(host, port)

    @property
    def reactor(self) -> Any:
        """
        The reactor it was made with.
        """
        return self._keeper.dialer.reactor

    @property
    def closed(self) -> bool:
        """
        Whether L{close} was called.
        """
        return self._keeper.closed

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
            for url, origin in self._keeper.origins.items()
        }

    def close(self, grace: float | None = None) -> Deferred[None]:
        """
        Take no more requests, fail those that wait with C{processed=False}, and end each session when its last stream has
        ended.

        @param grace: seconds after which what is left is destroyed; without it there is no such time.

        @return: fires with L{None} when the last session is gone, also the second time.

        @raise InvalidSetting: for what is not a number of seconds.
        """
        return self._keeper.close(None if grace is None else checkSeconds("grace", grace))
