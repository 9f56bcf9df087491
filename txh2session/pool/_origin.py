"""
One origin's part of a L{SessionPool<txh2session.SessionPool>}: its sessions, the attempt to connect one more, and the
requests that wait, oldest first.

Who may connect, and what is remembered of origins, is the pool's business; what it is asked is L{OriginOwner}.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txh2session._origins import WebURL
from txh2session._timer import Clock
from txh2session.client import ClientSession
from txh2session.errors import ErrorCode, HTTP2Error, Initiator, StreamRefused
from txh2session.pool._parking import ParkingFactory
from txh2session.pool._pooled import PooledRequest, PooledSession


class OriginOwner(Protocol):
    """
    What an origin asks of its pool.
    """

    retries: int
    maxSessionsPerOrigin: int

    @property
    def clock(self) -> Clock:
        """
        Tells the time.
        """

    def mayConnect(self, origin: OriginSessions) -> bool:
        """
        Whether there may be one session more; if not, the origin is told to C{dispatch} when there may.
        """

    def find(self, origin: OriginSessions) -> Deferred[PooledSession | None]:
        """
        Look for another origin's session that may carry this one's requests.
        """

    def open(self, origin: OriginSessions) -> ClientSession:
        """
        Begin to connect a session.
        """

    def opened(self, pooled: PooledSession) -> None:
        """
        Note a session that is being connected.
        """

    def again(self, request: PooledRequest) -> None:
        """
        Have a request wait for a session once more.
        """

    def connectFailed(self, origin: OriginSessions, failure: Failure) -> Failure:
        """
        Say what those get who waited for a connection.
        """

    def http1Required(self, origin: OriginSessions, failure: Failure) -> Failure:
        """
        Say what a request gets that its server wants over HTTP/1.1.
        """

    def mayCarry(self, pooled: PooledSession, origin: OriginSessions) -> bool:
        """
        Whether another origin's session may carry this one's requests, by what the server says.
        """

    def misdirected(self, pooled: PooledSession, origin: OriginSessions) -> None:
        """
        A server does not answer for an origin on this session.
        """

    def wentAway(self, pooled: PooledSession, code: int, debugData: bytes) -> None:
        """
        A server sent GOAWAY.
        """

    def idle(self, pooled: PooledSession) -> None:
        """
        A session has no stream any more.
        """

    def gone(self, pooled: PooledSession) -> None:
        """
        A session is over.
        """

    def unused(self, origin: OriginSessions) -> None:
        """
        An origin has nothing left.
        """


class OriginSessions:
    """
    The sessions and the waiting requests of one origin.

    @ivar url: the origin.
    @ivar sessions: those that take its requests, its own and others'.
    @ivar connecting: the one that is not there yet.
    @ivar parking: takes it if its server chooses HTTP/1.1.
    """

    def __init__(self, owner: OriginOwner, url: WebURL) -> None:
        self.owner = owner
        self.url = url
        self.sessions: list[PooledSession] = []
        self.connecting: PooledSession | None = None
        self._finding: object | None = None
        self.parking: ParkingFactory | None = None
        self._queue: list[PooledRequest] = []
        self._again: set[PooledRequest] = set()
        self._cancelled = 0
        self._dispatching = False
        self._growAfter = 0.0
        self._inVain = 0

    @property
    def waiting(self) -> int:
        """
        How many requests wait.
        """
        return sum(not request.done for request in self._queue)

    @property
    def usable(self) -> list[PooledSession]:
        """
        The sessions that are not about to close.
        """
        return [pooled for pooled in self.sessions if not pooled.session.closed]

    def add(self, request: PooledRequest) -> None:
        """
        Take a request, and send it if that is possible.
        """
        heappush(self._queue, request)
        if request.avoid:
            self._again.add(request)
        self.dispatch()
        if request.stream is None and not request.done:
            request.wait()

    def _waitingAgain(self) -> set[PooledRequest]:
        """
        Those who wait and have been sent before.
        """
        self._again = {request for request in self._again if request.stream is None and not request.done}
        return self._again

    def forgotten(self) -> None:
        """
        A request that waited was cancelled.
        """
        self._cancelled += 1
        if self._cancelled * 2 > len(self._queue):
            self._queue = [request for request in self._queue if not request.done]
            self._cancelled = 0
            heapify(self._queue)
        if not self._anybodyWaits() and not self._dispatching:
            self.stopConnecting()
            self._look()

    def _anybodyWaits(self) -> bool:
        while self._queue and self._queue[0].done:
            heappop(self._queue)
        return bool(self._queue)

    def dispatch(self) -> None:
        """
        Send what can be sent, oldest first, and see whether another session is needed.
        """
        if self._dispatching:
            return  # the one who began goes on until nothing can be sent
        if self._queue:
            self._dispatching = True
            try:
                self._sendAll()
            finally:
                self._dispatching = False
            if self._anybodyWaits():
                self._grow()
        self._look()

    def _sendAll(self) -> None:
        blocked: list[PooledRequest] = []
        while self._queue and any(pooled.session.freeStreams for pooled in self.sessions):
            request = heappop(self._queue)
            if request.done:
                continue
            chosen = self._choose(request)
            if chosen is None:
                blocked.append(request)
                continue
            try:
                request.send(chosen)
            except HTTP2Error:
                request.fail(Failure())
        for request in blocked:
            heappush(self._queue, request)

    def _choose(self, request: PooledRequest) -> PooledSession | None:
        for pooled in self.sessions:
            if self._suits(request, pooled) and pooled.session.freeStreams:
                return pooled
        return None

    def _suits(self, request: PooledRequest, pooled: PooledSession) -> bool:
        return pooled not in request.avoid and not (request.ownOnly and pooled.home is not self)

    def _grow(self) -> None:
        """
        Connect one more, if it is allowed and nobody does so already.
        """
        if self.connecting is not None or self._finding is not None:
            return
        own = [pooled for pooled in self.usable if pooled.home is self]
        if len(own) >= self.owner.maxSessionsPerOrigin:
            if not any(request.avoid.issuperset(own) for request in self._waitingAgain()):
                return
            # Somebody was refused by all there are: the last of them makes room for another.
            own[-1].close()
            return  # which came back here
        if own and self.owner.clock.seconds() < self._growAfter:
            return
        if own or any(request.ownOnly for request in self._waitingAgain()):
            self._connect()
        else:
            self._find()

    def _find(self) -> None:
        """
        Take another origin's session, or connect one.
        """
        finding = self._finding = object()
        self.owner.find(self).addBoth(self._found, finding)

    def _found(self, found: object, finding: object) -> None:
        if self._finding is not finding:
            return
        self._finding = None
        if isinstance(found, PooledSession):
            found.origins.append(self)
            self.sessions.append(found)
            self.dispatch()
        elif self._anybodyWaits():
            self._connect()
        else:
            self._look()

    def _connect(self) -> None:
        if not self.owner.mayConnect(self) or self.connecting is not None:
            return
        try:
            session = self.owner.open(self)
        except Exception:
            self.stop(self.owner.connectFailed(self, Failure()))
            return
        pooled = self.connecting = PooledSession(session, self)
        if not session.destroyed:  # else it is over already, and will not say so
            self.owner.opened(pooled)
        session.whenReady().addCallbacks(self._connected, self._failed, callbackArgs=(pooled,), errbackArgs=(pooled,))

    def _connected(self, _: object, pooled: PooledSession) -> None:
        if self.connecting is pooled:
            self.connecting = None
            self.sessions.append(pooled)
            self.dispatch()

    def _failed(self, failure: Failure, pooled: PooledSession) -> None:
        if self.connecting is not pooled:
            return
        self.connecting = None
        failure = self.owner.connectFailed(self, failure)
        usable = self.usable
        if not usable:
            self.stop(failure)
            return
        # What waits can wait for those that are there, unless none of them will do.
        self._growAfter = self.owner.clock.seconds() + 1.0
        for request in self._waitingAgain():
            if not any(self._suits(request, each) for each in usable):
                request.fail(Failure(failure.value))

    def stop(self, failure: Failure) -> None:
        """
        Connect no more, and tell everybody who waits, once nobody does any more: they may ask again at once, or look at the
        pool.
        """
        queue, self._queue = sorted(self._queue), []
        self.stopConnecting()  # only now: an attempt given up while somebody waits is followed by another
        self._look()
        for request in queue:
            request.fail(Failure(failure.value))

    def stopConnecting(self) -> None:
        """
        Give up what is not there yet.
        """
        self._finding = None
        pooled, self.connecting = self.connecting, None
        if pooled is not None:
            pooled.session.destroy()

    def left(self, pooled: PooledSession) -> None:
        """
        A session takes no more requests.  A server that takes connections and no requests would be asked without end.
        """
        if pooled.home is self and pooled.session.ready:
            self._inVain = 0 if pooled.session.statistics.streamCount else self._inVain + 1
            if self._inVain > self.owner.retries and not self.usable:
                message = f"the server took no request on {self._inVain} connections in a row"
                refused = StreamRefused(message, ErrorCode.REFUSED_STREAM, Initiator.PEER, processed=False)
                self.stop(Failure(refused))
                return
        self.dispatch()

    def leaves(self, pooled: PooledSession) -> None:
        """
        Another origin's session carries no more of this one's requests.
        """
        pooled.origins.remove(self)
        self.sessions.remove(pooled)
        self.dispatch()

    def misdirected(self, pooled: PooledSession) -> None:
        """
        The server does not answer for this origin on this session.
        """
        self.owner.misdirected(pooled, self)
        if pooled.home is not self and pooled in self.sessions:
            self.leaves(pooled)

    def _look(self) -> None:
        """
        See whether there is anything left of this origin.
        """
        if not (self._queue or self.sessions or self.connecting or self._finding):
            self.owner.unused(self)
