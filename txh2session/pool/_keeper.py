"""
Keeps the sessions of a L{SessionPool<txh2session.SessionPool>}: who may connect, what is remembered of origins, how it
ends.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Final

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txh2session._origins import WebURL
from txh2session._timer import Clock, DelayedCall
from txh2session._waiters import Waiters
from txh2session.client import ClientSession
from txh2session.errors import ErrorCode, Initiator, StreamRefused
from txh2session.pool._coalescing import addressesOf, mayCarry
from txh2session.pool._dialer import Dialer
from txh2session.pool._origin import OriginSessions
from txh2session.pool._parking import ParkedConnection, SpeaksHTTP1
from txh2session.pool._pooled import PooledRequest, PooledSession

REMEMBERED: Final = 1000
"""Of how many origins something is remembered while there is no session with them."""
_SPEAKS_HTTP1: Final = 300.0
"""For how many seconds a server that chose HTTP/1.1 is taken to choose it again."""
_TOO_MANY_PINGS: Final = b"too_many_pings"
"""The debug data of a GOAWAY with which gRPC's servers ask for fewer PINGs."""
_SLOWEST: Final = 1024
"""How many times longer than asked for the interval of PINGs can become."""


def closedPool() -> StreamRefused:
    """
    Say why a request was not sent.
    """
    return StreamRefused("the pool is closed", ErrorCode.REFUSED_STREAM, Initiator.LOCAL, processed=False)


class _Memory:
    """
    What is remembered of an origin.
    """

    __slots__ = ("http1Until", "keepaliveFactor", "notShared")

    def __init__(self) -> None:
        self.http1Until = 0.0
        self.keepaliveFactor = 1
        self.notShared = False


class Keeper:
    """
    Keeps sessions; to each L{OriginSessions} its L{OriginOwner<txh2session.pool._origin.OriginOwner>}.

    @ivar dialer: connects them.
    @ivar origins: those that have sessions or requests that wait.
    @ivar sessions: all sessions that are not gone.
    @ivar closed: whether it takes no more requests.
    """

    def __init__(
        self, dialer: Dialer, maxSessionsPerOrigin: int, maxSessions: int, retries: int, coalesce: bool
    ) -> None:
        self.dialer = dialer
        self.maxSessionsPerOrigin = maxSessionsPerOrigin
        self.retries = retries
        self.origins: dict[WebURL, OriginSessions] = {}
        self.sessions: dict[ClientSession, PooledSession] = {}
        self.closed = False
        self._maxSessions = maxSessions
        self._coalesce = coalesce
        self._memories: OrderedDict[WebURL, _Memory] = OrderedDict()
        self._wanting: dict[OriginSessions, None] = {}
        self._goneWaiters: Waiters[None] = Waiters()
        self._graceCall: DelayedCall | None = None

    def originFor(self, url: WebURL) -> OriginSessions:
        """
        Find an origin, or begin with it.
        """
        origin = self.origins.get(url)
        if origin is None:
            origin = self.origins[url] = OriginSessions(self, url)
        return origin

    def wantsHTTP1(self, url: WebURL) -> SpeaksHTTP1 | None:
        """
        See whether a server has said not long ago that it wants HTTP/1.1.
        """
        memory = self._memories.get(url)
        if memory is None or self.clock.seconds() >= memory.http1Until:
            return None
        return self.dialer.speaksHTTP1(url, deque())

    def close(self, grace: float | None) -> Deferred[None]:
        """
        See L{SessionPool.close<txh2session.SessionPool.close>}.
        """
        self.closed = True
        self._wanting.clear()
        for origin in list(self.origins.values()):
            origin.stop(Failure(closedPool()))
        for pooled in list(self.sessions.values()):
            pooled.close()
        if grace is not None and self.sessions and self._graceCall is None:
            self._graceCall = self.dialer.reactor.callLater(grace, self._graceOver)
        self._lookForEnd()
        return self._goneWaiters.when()

    def _graceOver(self) -> None:
        self._graceCall = None
        for session in list(self.sessions):
            session.destroy()

    def _lookForEnd(self) -> None:
        if self.closed and not self.sessions:
            if self._graceCall is not None:
                self._graceCall.cancel()
                self._graceCall = None
            self._goneWaiters.fire(None)

    # -----------------------------------------------------------------------------------------------------------------
    # For the origins

    @property
    def clock(self) -> Clock:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        clock: Clock = self.dialer.reactor
        return clock

    def again(self, request: PooledRequest) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        if self.closed:
            request.fail(Failure(closedPool()))
            return
        url = request.origin.url
        request.origin = self.origins.setdefault(url, request.origin)  # it may have been forgotten meanwhile
        request.origin.add(request)

    def mayConnect(self, origin: OriginSessions) -> bool:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        live = [pooled for pooled in self.sessions.values() if not pooled.session.closed]
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
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        if not self._candidates(origin):
            return succeed(None)

        def resolved(addresses: set[str]) -> PooledSession | None:
            for pooled in self._candidates(origin):  # as it is now
                if getattr(pooled.session.getPeer(), "host", None) in addresses:
                    return pooled
            return None

        return addressesOf(self.dialer.reactor, origin.url.host).addCallback(resolved)

    def _candidates(self, origin: OriginSessions) -> list[PooledSession]:
        memory = self._memories.get(origin.url)
        if not self._coalesce or (memory is not None and memory.notShared):
            return []
        return [pooled for pooled in self.sessions.values() if pooled.session.ready and self.mayCarry(pooled, origin)]

    def mayCarry(self, pooled: PooledSession, origin: OriginSessions) -> bool:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        return mayCarry(pooled.session, origin.url, pooled.originsNamed)

    def open(self, origin: OriginSessions) -> ClientSession:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        memory = self._memories.get(origin.url)
        origin.parking = self.dialer.parkingFor(origin.url)
        return self.dialer.open(origin.url, 1 if memory is None else memory.keepaliveFactor, origin.parking)

    def opened(self, pooled: PooledSession) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        self.sessions[pooled.session] = pooled

    def connectFailed(self, origin: OriginSessions, failure: Failure) -> Failure:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        parking, origin.parking = origin.parking, None
        if parking is not None and parking.parked:
            return self._fallBack(origin.url, parking.parked, failure)
        return failure

    def http1Required(self, origin: OriginSessions, failure: Failure) -> Failure:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        return (
            self._fallBack(origin.url, deque(), failure)
            if self.dialer.http1 and origin.url.scheme == "https"
            else failure
        )

    def _fallBack(self, url: WebURL, parked: deque[ParkedConnection], failure: Failure) -> Failure:
        self._remember(url).http1Until = self.clock.seconds() + _SPEAKS_HTTP1
        return Failure(self.dialer.speaksHTTP1(url, parked, failure.value))

    def _remember(self, url: WebURL) -> _Memory:
        memory = self._memories.setdefault(url, _Memory())
        self._memories.move_to_end(url)
        if len(self._memories) > REMEMBERED:
            self._memories.popitem(last=False)
        return memory

    def misdirected(self, pooled: PooledSession, origin: OriginSessions) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        if pooled.home is not origin:
            self._remember(origin.url).notShared = True

    def wentAway(self, pooled: PooledSession, code: int, debugData: bytes) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        if code == ErrorCode.ENHANCE_YOUR_CALM and debugData == _TOO_MANY_PINGS:
            memory = self._remember(pooled.home.url)
            memory.keepaliveFactor = min(memory.keepaliveFactor * 2, _SLOWEST)
        self._leave(pooled)

    def idle(self, pooled: PooledSession) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        pooled.idleSince = self.clock.seconds()
        self._serveWanting()

    def gone(self, pooled: PooledSession) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        self.sessions.pop(pooled.session, None)
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
            if origin not in self._wanting:
                continue  # those before were told something, and it ended this one's waiting
            del self._wanting[origin]
            origin.dispatch()
            if origin in self._wanting:
                return

    def unused(self, origin: OriginSessions) -> None:
        """See L{OriginOwner<txh2session.pool._origin.OriginOwner>}."""
        self._wanting.pop(origin, None)
        if self.origins.get(origin.url) is origin:
            del self.origins[origin.url]
