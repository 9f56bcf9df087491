"""
What a L{SessionPool<txh2session.SessionPool>} holds: a request on its way through it, and a session of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txh2session._timer import DelayedCall
from txh2session.client import ClientSession, ClientStream
from txh2session.errors import Ended, ErrorCode, Initiator, StreamTimeout
from txh2session.headers import Headers
from txh2session.listeners import SessionListener, StreamListener
from txh2session.session import Session
from txh2session.settings import Settings
from txh2session.stream import Stream

if TYPE_CHECKING:
    from txh2session.pool._origin import OriginSessions

Body: TypeAlias = bytes | Callable[[ClientStream], object]
"""A request's body: all of it, or what writes it to the stream and ends that."""

_MISDIRECTED = 421
_ANSWER_READ = 64 * 1024
"""How many bytes are taken of an answer that nobody gets, before the stream is reset."""
_AT_ONCE = 0.001
"""The seconds left for a request that has none left: 0 means for ever."""


class PooledRequest:
    """
    A request on its way through the pool.

    @ivar result: what its caller waits for.
    @ivar stream: the stream it went out on last.
    @ivar avoid: sessions that have refused it.
    @ivar retries: how often it was refused by a server that had worked on nothing.
    @ivar ownOnly: whether it must go over a connection made for its origin.
    """

    __slots__ = (
        *(
            "_begun",
            "_ends",
            "_late",
            "_seconds",
            "avoid",
            "body",
            "done",
            "headers",
            "listeners",
            "misdirected",
            "number",
        ),
        *("origin", "ownOnly", "replay", "result", "retries", "stream"),
    )

    def __init__(
        self,
        number: int,
        origin: OriginSessions,
        headers: Headers,
        body: Body | None,
        replay: Callable[[], bool] | None,
        listeners: Sequence[StreamListener],
        seconds: float,
    ) -> None:
        """
        @param number: greater than those of the requests that came before.
        @param seconds: how long it may take from now until its answer is whole; 0 for ever.
        """
        self.number = number
        self.origin = origin
        self.headers = headers
        self.body = body
        self.replay = replay
        self.listeners = listeners
        self.stream: ClientStream | None = None
        self.avoid: frozenset[PooledSession] = frozenset()
        self.retries = 0
        self.ownOnly = False
        self.misdirected = False
        self.done = False
        self._begun = False
        self._seconds = seconds
        self._ends = origin.owner.clock.seconds() + seconds if seconds else 0.0
        self._late: DelayedCall | None = None
        self.result: Deferred[ClientStream] = Deferred(self._cancel)

    def __lt__(self, other: PooledRequest) -> bool:
        return self.number < other.number

    def _cancel(self, _: object) -> None:
        self.done = True
        if self.stream is not None:
            self.stream.close(ErrorCode.CANCEL)
        else:
            self._waitedFor()
            self.origin.forgotten()

    def fail(self, failure: Failure) -> None:
        """
        Tell the caller that there is no answer.
        """
        if not self.done:
            self.done = True
            self._waitedFor()
            self.result.errback(failure)

    def wait(self) -> None:
        """
        It cannot be sent yet.
        """
        if self._ends and self._late is None:
            clock = self.origin.owner.clock
            self._late = clock.callLater(max(self._ends - clock.seconds(), 0.0), self._waitedTooLong)

    def _waitedFor(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _waitedTooLong(self) -> None:
        self._late = None
        self.done = True
        self.origin.forgotten()
        message = f"the request waited for a session for more than {self._seconds:g} seconds"
        error = StreamTimeout(message, ErrorCode.CANCEL, Initiator.LOCAL, processed=False)
        error.timeout = "request"
        self.result.errback(Failure(error))

    def canGoAgain(self) -> bool:
        """
        Whether the body can be sent once more, or was never begun.
        """
        if not self._begun or self.body is None or isinstance(self.body, bytes):
            return True
        return self.replay is not None and self.replay()

    def send(self, pooled: PooledSession) -> None:
        """
        Go out on a session.
        """
        self._waitedFor()
        left = max(self._ends - self.origin.owner.clock.seconds(), _AT_ONCE) if self._ends else 0.0
        self.stream = stream = pooled.session.request(self.headers, endStream=self.body is None, timeout=left)
        if not stream.closed:
            pooled.streams += 1
            stream.addListener(pooled.streamWatch)
            for listener in self.listeners:
                stream.addListener(listener)
        stream.whenResponse().addCallbacks(self._answered, self._failed, callbackArgs=(pooled,), errbackArgs=(pooled,))
        body = self.body
        if stream.closed or body is None:
            return
        self._begun = True
        if isinstance(body, bytes):
            stream.end(body)
            return
        try:
            body(stream)
        except Exception as error:
            stream.destroy(error, ErrorCode.CANCEL)

    def _answered(self, headers: Headers, pooled: PooledSession) -> None:
        stream = self.stream
        assert stream is not None
        if self.done:
            return
        if headers.status == _MISDIRECTED and not self.misdirected and self.canGoAgain():
            # The server does not answer for this origin on this connection (RFC 9110 section 15.5.20).
            self.misdirected = self.ownOnly = True
            if stream.state.sending == "ended":
                stream.read(_ANSWER_READ).addErrback(lambda _: None)
            else:
                stream.close(ErrorCode.CANCEL)
            self.origin.misdirected(pooled)
            self._goAgain(pooled)
            return
        self.done = True
        self.result.callback(stream)

    def _failed(self, failure: Failure, pooled: PooledSession) -> None:
        if self.done:
            return
        error = failure.value
        if isinstance(error, Ended) and error.code == ErrorCode.HTTP_1_1_REQUIRED:
            failure = self.origin.owner.http1Required(self.origin, failure)
        safe = getattr(error, "processed", None) is False
        # A server that leaves after it worked on some requests has not refused this one, and cannot do so for ever.
        left = isinstance(error, Ended) and bool(error.lastStreamID)
        if safe and (left or self.retries < self.origin.owner.retries) and self.canGoAgain():
            self.retries += not left
            self._goAgain(pooled)
        else:
            self.fail(failure)

    def _goAgain(self, pooled: PooledSession) -> None:
        self.stream = None
        self.avoid = frozenset(each for each in (*self.avoid, pooled) if not each.session.destroyed)
        self.origin.owner.again(self)


class PooledSession(SessionListener):
    """
    A session, and what a pool knows about it.

    @ivar home: the origin it was made for.
    @ivar origins: those whose requests it carries.
    @ivar streams: requests of the pool on it that have not ended.
    @ivar originsNamed: whether the server has sent an ORIGIN frame.
    @ivar idleSince: when its last stream ended.
    """

    def __init__(self, session: ClientSession, home: OriginSessions) -> None:
        self.session = session
        self.home = home
        self.origins = [home]
        self.streams = 0
        self.originsNamed = False
        self.idleSince = home.owner.clock.seconds()
        self.streamWatch = _StreamWatch(self)
        session.addListener(self)

    def close(self) -> None:
        """
        Take no more requests, and go when those there are have ended.
        """
        self.session.close().addErrback(lambda _: None)  # its requests are told
        self.leave()

    def leave(self) -> None:
        """
        Take no more requests.
        """
        origins, self.origins = self.origins, []
        for origin in origins:
            if self in origin.sessions:
                origin.sessions.remove(self)
        for origin in origins:
            origin.left(self)

    def goAwayReceived(self, session: Session, code: int, lastStreamID: int, debugData: bytes) -> None:
        """See L{SessionListener}."""
        self.home.owner.wentAway(self, code, debugData)

    def settingsReceived(self, session: Session, settings: Settings) -> None:
        """See L{SessionListener}."""
        self._dispatch()

    def originReceived(self, session: Session, origins: list[bytes]) -> None:
        """See L{SessionListener}."""
        self.originsNamed = True
        for origin in self.origins[1:]:
            if not self.home.owner.mayCarry(self, origin):
                origin.leaves(self)

    def sessionClosed(self, session: Session, error: Exception | None) -> None:
        """See L{SessionListener}."""
        self.home.owner.gone(self)

    def streamEnded(self) -> None:
        """
        One of the pool's streams is over.
        """
        self.streams -= 1
        if not self.streams:
            self.home.owner.idle(self)
        self._dispatch()

    def _dispatch(self) -> None:
        for origin in list(self.origins):
            origin.dispatch()


class _StreamWatch(StreamListener):
    """
    Tells a pooled session that a stream has ended.
    """

    def __init__(self, pooled: PooledSession) -> None:
        self._pooled = pooled

    def streamClosed(self, stream: Stream, error: Exception | None) -> None:
        """See L{StreamListener}."""
        self._pooled.streamEnded()
