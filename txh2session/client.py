"""
The client's side: L{ClientSession}, whose C{request()} makes a L{ClientStream}.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txh2session._messages import sameAuthority
from txh2session._outbound import DEFAULT_URGENCY
from txh2session._priority import Priority
from txh2session._states import Sending
from txh2session._timer import DelayedCall
from txh2session._waiters import Waiters
from txh2session.errors import (
    ConnectFailed,
    ErrorCode,
    Initiator,
    StreamError,
    StreamRefused,
)
from txh2session.headers import Headers, HeadersLike, requestHeaders
from txh2session.listeners import SessionListener
from txh2session.protocol import describe
from txh2session.session import Session
from txh2session.settings import Limits, Options, Settings, Timeouts, checkSeconds
from txh2session.stream import Stream

_BODILESS = frozenset({b"GET", b"HEAD", b"DELETE"})
"""Methods whose requests have no body unless the caller says so (Node's reference 11.53)."""


class ClientStream(Stream):
    """
    A request and the answer to it, or one that the server pushed: then C{sentHeaders} are those the server promised.

    It exists from the call of L{ClientSession.request} on; C{id} is L{None} while it waits for the connection or for the
    server's limit.  What is written meanwhile is kept.
    """

    session: ClientSession

    def __init__(self, session: ClientSession, headers: Headers, end: bool) -> None:
        super().__init__(session, None, Sending.ENDED if end else Sending.BODY)
        self.sentHeaders = headers
        self._early: list[bytes] = []
        self._earlySize = 0
        self._earlyPriority: Priority | None = None
        self._endEarly = end
        self._responseWaiters: Waiters[Headers] | None = None
        self._openedWaiters: Waiters[int] | None = None
        self._deadline: DelayedCall | None = None

    def whenOpened(self) -> Deferred[int]:
        """
        Wait for the request to be sent (Node's reference 9.10).

        @return: fires with the stream id; fails with an L{Ended<txh2session.Ended>} if it never is.  Cancelling it gives
            the request up.
        """
        if self._openedWaiters is None:
            self._openedWaiters = Waiters()
            if self.id is not None:
                self._openedWaiters.fire(self.id)
            elif self._cut is not None:
                self._openedWaiters.fail(self._cut)
        return self._openedWaiters.when(self._cancelled)

    @property
    def _isTunnel(self) -> bool:
        return self.sentHeaders is not None and self.sentHeaders.get(b":method") == b"CONNECT"

    def whenResponse(self) -> Deferred[Headers]:
        """
        Wait for the final response.

        @return: fires with its headers, C{headers.status} among them; fails with an L{Ended
            <txh2session.Ended>} if it will not come, whose C{processed} says whether the server may have worked on
            the request.  Cancelling it resets the stream with CANCEL.
        """
        if self._responseWaiters is None:
            self._responseWaiters = Waiters()
            if self.headers is not None:
                self._responseWaiters.fire(self.headers)
            elif self._cut is not None:
                self._responseWaiters.fail(self._cut)
        return self._responseWaiters.when(self._cancelled)

    def reprioritize(self, urgency: int = DEFAULT_URGENCY, incremental: bool = False) -> None:
        """
        Ask the server to send this answer sooner or later than others, with PRIORITY_UPDATE (RFC 9218 section 7.1).

        @param urgency: 0 first to 7 last.
        @param incremental: whether the answer is of use before it is whole, and so may take turns with others.

        @raise ValueError: for an urgency out of range.
        """
        priority = Priority.checked(urgency, incremental)
        if self.id is not None:
            self._owner._engine.updatePriority(self.id, priority)
            self._owner._flush()
        elif not self._finished:
            self._earlyPriority = priority

    @property
    def bufferSize(self) -> int:
        """
        Bytes that were written and wait to be sent.
        """
        return self._earlySize if self.id is None else super().bufferSize

    def _put(self, data: bytes) -> None:
        if self.id is not None:
            super()._put(data)
        else:
            self._early.append(data)
            self._earlySize += len(data)

    def _putEnd(self, trailers: Headers | None) -> None:
        if self.id is not None:
            super()._putEnd(trailers)

    def _open(self) -> None:
        """
        Send the request, and what was written meanwhile.
        """
        session = self.session
        assert self.sentHeaders is not None
        if not self._fits(self.sentHeaders):
            return
        early, self._early = self._early, []
        bodiless = self._endEarly or (self._sending is Sending.ENDED and not early and self.sentTrailers is None)
        streamID = session._engine.openStream(self.sentHeaders, bodiless)
        if not streamID:
            spent = StreamRefused(
                "the session has used up its stream ids", ErrorCode.REFUSED_STREAM, Initiator.LOCAL, processed=False
            )
            self._finish(ErrorCode.REFUSED_STREAM, spent, spent)
            return
        self.id = streamID
        self._counts.opened(session._clock)
        session._streams[streamID] = self
        if self._earlyPriority is not None:
            session._engine.updatePriority(streamID, self._earlyPriority)
        for data in early:
            session._engine.write(streamID, data)
        if self._sending is Sending.ENDED and not bodiless:
            session._engine.end(streamID, self.sentTrailers)
        if self._openedWaiters is not None:
            self._openedWaiters.fire(streamID)
        if self.bufferSize < session._limits.sendHighWater:
            self._atItsCost(self._drained)

    def _startDeadline(self, seconds: float) -> None:
        """
        Have the request end in time, answered or not.
        """

        def late() -> None:
            self._deadline = None
            message = f"the request took more than {seconds:g} seconds"
            sent = self.id is not None
            self._timedOut("request", message, processed=(self.headers is not None or None) if sent else False)

        self._deadline = self._owner._clock.callLater(seconds, late)

    def _finish(
        self, code: ErrorCode | int, error: Exception | None, cut: Exception | None, *, keep: bool = True
    ) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._early, self._earlySize = [], 0
        super()._finish(code, error, cut, keep=keep)

    def _unsendable(self, reason: str) -> StreamError:
        if self.id is not None:
            return super()._unsendable(reason)
        return StreamRefused(reason, ErrorCode.REFUSED_STREAM, Initiator.LOCAL, processed=False)

    def _headersCame(self, headers: Headers) -> None:
        if self._responseWaiters is not None:
            self._responseWaiters.fire(headers)

    def _failWaiters(self, reason: Exception) -> None:
        for waiters in (self._openedWaiters, self._responseWaiters):
            if waiters is not None:
                waiters.fail(reason)
        super()._failWaiters(reason)


def requestSeconds(headers: Headers, timeout: float | None, timeouts: Timeouts) -> float:
    """
    See how long a request may take.

    @param timeout: what its caller asked for.

    @return: 0 for ever.

    @raise InvalidSetting: for a timeout that is none.
    """
    if timeout is not None:
        return checkSeconds("timeout", timeout)
    return 0.0 if headers.get(b":method") == b"CONNECT" else timeouts.request


class ClientSession(Session):
    """
    A connection to one server.

    @ivar scheme: C{"https"} or C{"http"}.
    @ivar authority: the server's name, with its port where that is not the scheme's own.
    """

    _client = True

    def __init__(
        self,
        scheme: str,
        authority: str,
        settings: Settings | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        listener: SessionListener | None = None,
        options: Options | None = None,
    ) -> None:
        super().__init__(settings, limits, timeouts, listener, options)
        self.scheme = scheme
        self.authority = authority
        self._pending: OrderedDict[Stream, ClientStream] = OrderedDict()
        self._origins: dict[str, None] = {f"{scheme}://{authority}": None}
        self._giveUpConnecting: Callable[[], object] | None = None

    def request(
        self,
        headers: HeadersLike = (),
        endStream: bool | None = None,
        priority: str | None = None,
        timeout: float | None = None,
    ) -> ClientStream:
        """
        Send a request (Node's reference 7.1).

        It goes out at once, or when the session is connected and the server's limit allows; the stream is there at once.
        On a session that is closing or gone the stream's Deferreds fail with C{processed=False}: sending it elsewhere is
        safe.

        @param headers: C{:method} is GET, C{:path} is C{/}, C{:scheme} and C{:authority} are the session's unless given.
        @param endStream: whether there is no body; if not given, there is none with GET, HEAD and DELETE.
        @param priority: the value of the C{priority} field (RFC 9218), for example C{"u=1, i"}.
        @param timeout: seconds until the answer has to be whole, waiting for the connection included: then the stream is
            reset with CANCEL and its Deferreds fail with a L{StreamTimeout<txh2session.StreamTimeout>}.  0 for ever; if not
            given C{Timeouts.request}, except for CONNECT, whose tunnel ends when it likes.

        @raise InvalidHeader: for headers that may not be sent.
        @raise InvalidSetting: for a timeout that is none.
        @raise InvalidState: for a timeout before the session has a clock: one that L{openSession<txh2session.openSession>}
            did not make, before it is connected.
        """
        checked = requestHeaders(
            headers, self.scheme.encode("ascii"), self.authority.encode("ascii"), self._options.strictSingleValues
        )
        if priority is not None:
            checked = Headers(
                [*checked.rawHeaders, (b"priority", priority)], checked.sensitive, self._options.strictSingleValues
            )
        if endStream is None:
            endStream = checked.get(b":method") in _BODILESS
        seconds = requestSeconds(checked, timeout, self._timeouts)
        stream = ClientStream(self, checked, endStream)
        if seconds and not self._destroyed:
            stream._startDeadline(seconds)
        if self._closed or self._destroyed:
            self._refuse(stream)
        elif self._link is not None and not self._pending and self._engine.freeStreams():
            stream._open()
            self._flush()
        else:
            self._pending[stream] = stream
        return stream

    def _refuse(self, stream: ClientStream) -> None:
        """
        Fail a request that was never sent.
        """
        refused = StreamRefused(
            "the session is going away and takes no more requests" if self._error is None else str(self._error),
            ErrorCode.REFUSED_STREAM,
            Initiator.LOCAL if self.goawayCode is None else Initiator.PEER,
            lastStreamID=self.goawayLastStreamID,
            processed=False,
            reason=self._error,
        )
        stream.destroyed = self._destroyed
        stream._finish(ErrorCode.REFUSED_STREAM if self._error is None else ErrorCode.INTERNAL_ERROR, refused, refused)

    def _refusePending(self) -> None:
        pending, self._pending = self._pending, OrderedDict()
        for stream in pending.values():
            self._refuse(stream)

    def _endStreams(self, code: int, error: Exception | None, *, keep: bool) -> None:
        super()._endStreams(code, error, keep=keep)
        self._refusePending()

    @property
    def freeStreams(self) -> int:
        """
        How many requests more would be sent at once, by the server's limit and those that wait already; 0 before the
        server's SETTINGS are there and when the session takes no more.
        """
        if not self._ready or self._closed or self._destroyed:
            return 0
        return max(self._engine.freeStreams() - len(self._pending), 0)

    def _countPending(self) -> int:
        return len(self._pending)

    def _openPending(self) -> None:
        """
        Send requests that wait, oldest first, as the server's limit allows.
        """
        if not self._pending or self._link is None or self._closed or self._destroyed:
            return
        self._batch += 1
        try:
            while self._pending and self._engine.freeStreams():
                self._pending.popitem(last=False)[1]._open()
        finally:
            self._batch -= 1
        self._flush()

    def _streamDone(self, stream: Stream) -> None:
        if stream.id is None:
            self._pending.pop(stream, None)
        super()._streamDone(stream)
        self._openPending()

    def _abandonConnecting(self) -> None:
        if self._giveUpConnecting is not None:
            self._giveUpConnecting()
        super()._abandonConnecting()

    def linkConnected(self, link: Any, encrypted: bool) -> None:
        """See L{Session.linkConnected}."""
        if self._destroyed or self._closed:
            link.abort()
            return
        super().linkConnected(link, encrypted)
        self._openPending()

    def linkLost(self, error: Exception | None) -> None:
        """See L{Session.linkLost}."""
        if not self.ready and self._error is None and not self._destroyed and not self._finishing:
            text = "the server closed the connection" if error is None else describe(error)
            self._error = ConnectFailed("h2", f"{text} before it sent its SETTINGS", error)
        super().linkLost(error)

    def prefaceReceived(self) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        super().prefaceReceived()
        self._openPending()

    def settingsReceived(self) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        super().settingsReceived()
        self._openPending()

    @property
    def originSet(self) -> list[str] | None:
        """
        The origins this connection may be used for, as far as the server's certificate covers them (RFC 8336 section 2.3):
        the session's own, and those the server named with ORIGIN, less those that it answered 421 for.

        @return: L{None} without TLS, and before the session is connected.
        """
        return list(self._origins) if self.encrypted else None

    def originReceived(self, origins: list[bytes]) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        for origin in origins:
            if len(self._origins) < self._limits.originSet:
                self._origins[origin.decode("ascii", "backslashreplace")] = None
        super().originReceived(origins)

    def responseReceived(self, streamID: int, headers: Headers, ended: bool) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is None:
            return
        if headers.status == 421 and stream.sentHeaders is not None:
            # The server does not answer for this origin after all (RFC 9110 section 15.5.20).
            self._origins.pop(f"{stream.sentHeaders.scheme}://{stream.sentHeaders.authority}", None)
        stream._headersReceived(headers, ended)

    def pushReceived(self, parentID: int, streamID: int, headers: Headers) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        parent = self._streams.get(parentID)
        pushed = ClientStream(self, headers, end=True)
        pushed.id = streamID
        pushed._counts.opened(self._clock)
        self._streams[streamID] = pushed
        if parent is not None and not self._answersFor(headers, parent):
            pushed.close(ErrorCode.PROTOCOL_ERROR)
            return
        if parent is None or not (parent._listeners or self._listeners):
            pushed.close(ErrorCode.CANCEL)
            return
        parent._tell("pushReceived", pushed, headers)
        self._tell("streamReceived", pushed, headers)

    def _answersFor(self, promised: Headers, parent: Stream) -> bool:
        """
        Whether the server may push what it promises: something of an origin of the session's, or of the one it was asked
        (RFC 9113 section 8.4).
        """
        asked = parent.sentHeaders
        scheme = promised.get(b":scheme", b"").lower()
        authority = (promised.authority or "").encode("utf-8", "surrogateescape")
        known = [tuple(origin.split("://", 1)) for origin in self._origins]
        known.append((self.scheme, self.authority))
        if asked is not None:
            known.append((asked.scheme or "", asked.authority or ""))
        return any(
            each.lower().encode("utf-8", "surrogateescape") == scheme
            and sameAuthority(other.encode("utf-8", "surrogateescape"), authority, scheme)
            for each, other in known
        )

    def informationReceived(self, streamID: int, headers: Headers) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._touch()
            stream._tell("informationReceived", headers)
