"""
The server's side: L{ServerSession} and L{ServerStream}, which a L{Server<txh2session.Server>} makes.
"""

from __future__ import annotations

import time
from email.utils import formatdate
from inspect import iscoroutine
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txh2session import files
from txh2session._handover import HandedOverLink, HTTP1Connection
from txh2session._inbound import BodyReader
from txh2session._origins import MAX_ADVERTISED, checkAlternative, originOf, originsOf
from txh2session._outbound import DEFAULT_URGENCY
from txh2session._priority import Priority
from txh2session._readers import BodyIterator
from txh2session._states import Sending, SessionState, nextSending
from txh2session._timer import DelayedCall
from txh2session.errors import ErrorCode, HTTP2Error, InvalidHeader, InvalidSetting, InvalidState
from txh2session.headers import BODILESS, Headers, HeadersLike, informationalHeaders, requestHeaders, responseHeaders
from txh2session.session import Session
from txh2session.settings import MAX_WINDOW, Settings, checkSeconds
from txh2session.stream import Stream

if TYPE_CHECKING:
    from txh2session.serving import Server

_log = Logger()


class _Date:
    """
    The C{date} field, made once a second.
    """

    def __init__(self) -> None:
        self._second = 0
        self._text = b""

    def now(self) -> bytes:
        """
        Make the field's value (RFC 9110 section 6.6.1).
        """
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._text = formatdate(second, usegmt=True).encode("ascii")
        return self._text


_date = _Date()


class ServerStream(Stream):
    """
    A request and the answer to it.

    Answer with L{respond}, then L{write<Stream.write>} and L{end<Stream.end>}; both answer 200 by themselves if nothing was
    said.  Where the answer has no body (to HEAD, or 204, 205 and 304) what is written is dropped, so that an application
    need not look.

    A client that waits for a 100 (Continue) gets it when the application begins to read.  When the answer has been sent
    and nobody reads the rest of the request, the stream is reset with NO_ERROR after C{Timeouts.unread} seconds, so that
    the client stops sending (RFC 9113 section 8.1).

    @ivar sendDate: whether a response without a C{date} gets one (Node's reference 10.14).
    """

    session: ServerSession
    headers: Headers
    sendDate = True
    _keepsUnread = False  # half a request is of use to nobody, and a client that goes on so would fill the memory

    def __init__(self, session: ServerSession, streamID: int) -> None:
        super().__init__(session, streamID, Sending.HEADERS)
        self._bodiless = False
        self._expectsContinue = False
        self._unreadCall: DelayedCall | None = None
        self._arrivedBefore = -1
        self._quietLooks = 0

    @property
    def headRequest(self) -> bool:
        """
        Whether the method is HEAD.
        """
        return self.headers.get(b":method") == b"HEAD"

    def respond(self, headers: HeadersLike | None = None, endStream: bool = False) -> None:
        """
        Send the final response's headers (Node's reference 10.1).

        @param headers: C{:status} is 200 and C{date} is now unless given, see C{sendDate}.
        @param endStream: whether there is no body.

        @raise InvalidHeader: for headers that may not be sent; nothing has been sent then.
        @raise InvalidState: the second time, or on a stream that is closed.
        """
        checked = responseHeaders(
            headers, _date.now() if self.sendDate else None, self._owner._options.strictSingleValues
        )
        after = nextSending(self._sending, "respond")
        if not self._fits(checked):
            return
        self._sending = after
        self.sentHeaders = checked
        if checked.status in BODILESS or self.headRequest:
            self._bodiless = endStream = True
        if endStream:
            self._sending = nextSending(self._sending, "end")
        self._touch()
        assert self.id is not None
        self._owner._engine.sendHeaders(self.id, checked, endStream)
        self._owner._flush()

    respondWithFile = files.respondWithFile

    respondWithFD = files.respondWithFD

    def additionalHeaders(self, headers: HeadersLike) -> None:
        """
        Send a 1xx response before the final one (Node's reference 10.3), for example C{{":status": 103, "link": ...}}.

        @raise InvalidHeader: if C{:status} is missing, 101, or not between 100 and 199.
        @raise InvalidState: after L{respond}, on a push, or on a stream that is closed.
        """
        checked = informationalHeaders(headers, self._owner._options.strictSingleValues)
        if self.id is not None and self.id % 2 == 0:
            raise InvalidState("a push has no informational responses")
        after = nextSending(self._sending, "inform")
        if not self._fits(checked):
            return
        self._sending = after
        self.sentInformation.append(checked)
        assert self.id is not None
        self._owner._engine.sendInformation(self.id, checked)
        self._owner._flush()

    @property
    def pushAllowed(self) -> bool:
        """
        Whether a push may be promised on this stream now: the client wants them, and neither the stream nor its session is
        closing.  Nothing is pushed from a push (Node's reference 10.5).
        """
        session = self.session
        return not (
            self.closed
            or session.closed
            or session.destroyed
            or self.id is None
            or self.id % 2 == 0
            or self._sending not in (Sending.HEADERS, Sending.BODY)
            or not session.remoteSettings.enablePush
        )

    def pushStream(self, headers: HeadersLike) -> ServerStream:
        """
        Promise an answer that the client has not asked for, with this stream's answer (RFC 9113 section 8.4).

        @param headers: the request it answers: C{:path} and, if need be, others; C{:scheme} and C{:authority} are this
            stream's, C{:method} is GET.

        @return: the stream to answer on, as if the request had come.

        @raise InvalidState: if the client wants no pushes, or no more at once; from a push; on a stream that is closed or
            has ended.
        @raise InvalidHeader: for headers that may not be sent, or are too long for it, and for a method that is not GET or
            HEAD.
        """
        checked = requestHeaders(
            headers,
            self.headers.get(b":scheme", b"https"),
            (self.headers.authority or "").encode("ascii", "replace"),
            self._owner._options.strictSingleValues,
        )
        if checked.get(b":method") not in (b"GET", b"HEAD"):
            raise InvalidHeader("what is pushed answers GET or HEAD (RFC 9113 section 8.4)")
        if self.id is not None and self.id % 2 == 0:
            raise InvalidState("nothing is pushed from a push (RFC 9113 section 8.4)")
        if not self.session.remoteSettings.enablePush:
            raise InvalidState("the client wants no pushes (SETTINGS_ENABLE_PUSH is 0)")
        if not self.pushAllowed:
            raise InvalidState("pushes go before the end of an answer, while its session is open")
        tooLong = self._tooLong(checked)
        if tooLong:
            raise InvalidHeader(tooLong)
        return self.session._push(self, checked)

    def write(self, data: bytes) -> None:
        """See L{Stream.write}."""
        if not self._bodiless:
            super().write(data)

    def send(self, data: bytes) -> Deferred[None]:
        """See L{Stream.send}."""
        return succeed(None) if self._bodiless else super().send(data)

    @property
    def _isTunnel(self) -> bool:
        sent = self.sentHeaders
        return self.headers.get(b":method") == b"CONNECT" and (sent is None or (sent.status or 200) < 300)

    def end(self, data: bytes | None = None, trailers: HeadersLike | None = None) -> None:
        """See L{Stream.end}."""
        if self._bodiless:
            return
        if self._sending is Sending.HEADERS and not data and trailers is None:
            self.respond(endStream=True)
        else:
            super().end(data, trailers)

    def _beforeBody(self) -> None:
        self.respond()

    def _attach(self, reader: BodyReader) -> None:
        super()._attach(reader)
        if self._expectsContinue and self._sending is Sending.HEADERS:
            self._expectsContinue = False
            self.additionalHeaders({":status": 100})

    def reprioritize(self, urgency: int = DEFAULT_URGENCY, incremental: bool = False) -> None:
        """
        Say when this answer's body goes out relative to the others of its session (RFC 9218 section 4).  What the client
        asks for later counts again.

        @param urgency: 0 first to 7 last.
        @param incremental: whether the answer is of use before it is whole, and so takes turns with others of its urgency.

        @raise ValueError: for an urgency out of range.
        """
        if self.id is not None:
            self._owner._engine.setPriority(self.id, Priority.checked(urgency, incremental))

    def _endSent(self) -> None:
        super()._endSent()
        if not self._finished:
            self._watchUnread()

    def _watchUnread(self) -> None:
        """
        Look in a while whether anybody reads.  Not at once: who answered may be about to, and a short rest arrives by
        itself, within its window.
        """
        reader = None if self._buffer is None else self._buffer.reader
        if reader is None:
            delivered = 0
        elif isinstance(reader, BodyIterator) and not reader.asked:
            delivered = reader.delivered  # a loop that was left, perhaps, or one that is busy with a chunk
        else:
            return
        seconds = self.session.server.timeouts.unread
        self._unreadCall = self._owner._clock.callLater(seconds, lambda: self._resetUnread(delivered))

    def _resetUnread(self, delivered: int) -> None:
        """
        Stop the client's upload, if nobody has read since.
        """
        self._unreadCall = None
        reader = None if self._buffer is None else self._buffer.reader
        if reader is None or (isinstance(reader, BodyIterator) and not reader.asked and reader.delivered == delivered):
            self._reset(ErrorCode.NO_ERROR)
        else:
            self._watchUnread()

    def _lookForUpload(self, seconds: float) -> None:
        hungry = self._sending is Sending.HEADERS and self._buffer is not None and self._buffer.hungry
        arrived = self._counts.bytesRead
        self._quietLooks = self._quietLooks + 1 if hungry and arrived == self._arrivedBefore else 0
        self._arrivedBefore = arrived if hungry else -1
        if self._quietLooks == 2:
            self._timedOut("upload", f"nothing came of the body of stream {self.id} for {seconds:g} seconds")

    def _finish(
        self, code: ErrorCode | int, error: Exception | None, cut: Exception | None, *, keep: bool = True
    ) -> None:
        if self._unreadCall is not None:
            self._unreadCall.cancel()
            self._unreadCall = None
        super()._finish(code, error, cut, keep=keep)

    def _handlerFailed(self, failure: Failure) -> None:
        """
        The application's C{streamReceived} failed: answer 500 if nothing was sent, else reset (Node's reference 6.6).
        """
        if self.closed and failure.check(HTTP2Error, CancelledError):
            return  # it was told that the stream or the session ended, and had nothing to add
        _log.failure("streamReceived failed for {stream!r}", failure=failure, stream=self)
        if self._finished:
            return
        if self._sending is Sending.HEADERS:
            self.respond({":status": 500}, endStream=True)
        else:
            error = failure.value
            self.destroy(error if isinstance(error, Exception) else RuntimeError(repr(error)))


class ServerSession(Session):
    """
    One client's connection.

    @ivar server: the server that made it.
    """

    def __init__(self, server: Server) -> None:
        self._account = server._account
        super().__init__(server.settings, server.limits, server.timeouts, server.listener, server.options)
        self.server = server
        self._draining = False
        self._handedOver: HTTP1Connection | None = None

    def _checkSettings(self, settings: Settings) -> None:
        if settings.enablePush:
            raise InvalidSetting("enablePush is for clients to announce (RFC 9113 section 6.5.2)")

    def _sendFirstFrames(self) -> None:
        if self.encrypted and self.server.origins:
            self._engine.origin(self.server.origins)
        super()._sendFirstFrames()

    def _idleSeconds(self) -> float:
        return 60.0 if self._timeouts.idle is None else self._timeouts.idle

    def drain(self, grace: float | None = None) -> Deferred[None]:
        """
        End the session without losing a request that is on its way: announce it with a GOAWAY that excludes nothing, wait
        one PING round trip, then name the last stream, let the open ones finish and go (RFC 9113 section 6.8).

        @param grace: seconds after which the session is destroyed; for ever if not given.

        @return: as L{Session.whenClosed}.
        """
        if grace is not None:
            grace = checkSeconds("grace", grace)
        if self._state is SessionState.CONNECTING:
            self._destroy(None, ErrorCode.NO_ERROR, goAwayCode=None, keep=False)
        elif self._state is SessionState.OPEN and not self._draining:
            self._draining = True
            self._engine.goAway(ErrorCode.NO_ERROR, MAX_WINDOW, b"")
            answer = self.ping(timeout=self._timeouts.drain or None)
            answer.addBoth(lambda _: self._beginClosing(sendGoAway=True) if self._state is SessionState.OPEN else None)
        if grace is not None and self._link is not None and not self._destroyed:
            call = self._link.callLater(grace, self.destroy)
            self._calls.append(call)
        return self.whenClosed()

    def _push(self, parent: ServerStream, headers: Headers) -> ServerStream:
        """
        Promise a stream.
        """
        assert parent.id is not None  # it has come from the client
        if not self._engine.freeStreams():
            raise InvalidState("the client allows no more pushes at once")
        streamID = self._engine.push(parent.id, headers)
        if not streamID:
            raise InvalidState("no push can be promised on this stream any more")
        pushed = self._streams[streamID] = ServerStream(self, streamID)
        pushed._headersReceived(headers, ended=True)
        self._flush()
        return pushed

    def altsvc(self, value: str | bytes, originOrStream: str | bytes | int | Stream) -> None:
        """
        Tell the client of an alternative service (RFC 7838; Node's reference 6.2).

        @param value: for example C{'h3=":8443"; ma=3600'}, or C{"clear"}.
        @param originOrStream: the origin it is for, of which scheme, host and port count; or a stream, or its id, for the
            origin that was asked there.

        @raise InvalidHeader: for a value with other than visible ASCII characters and blanks, for what has no origin, or
            for more than 16,382 bytes in all.
        @raise InvalidState: if the session is not connected, or is destroyed, or the stream has no id.
        """
        self._checkUsable()
        alternative = checkAlternative(value)
        streamID = originOrStream.id if isinstance(originOrStream, Stream) else originOrStream
        if streamID is None:
            raise InvalidState("the stream has no id yet")
        if isinstance(streamID, int):
            if isinstance(streamID, bool) or not 0 < streamID <= MAX_WINDOW:
                raise ValueError(f"a stream id is between 1 and 2**31-1, not {streamID!r}")
            self._engine.altSvc(alternative, b"", streamID)
        else:
            origin = originOf(streamID)
            if len(alternative) + len(origin) > MAX_ADVERTISED:
                raise InvalidHeader(f"an ALTSVC frame holds at most {MAX_ADVERTISED} bytes")
            self._engine.altSvc(alternative, origin, 0)
        self._flush()

    def origin(self, *origins: str | bytes) -> None:
        """
        Tell the client which origins this connection may be used for (RFC 8336; Node's reference 6.3).

        @param origins: URLs, of which scheme, host and port count; without any nothing is sent.

        @raise InvalidHeader: for what has no origin, or for more than 16,382 bytes in all.
        @raise InvalidState: if the session is not connected, or is destroyed.
        """
        self._checkUsable()
        named = originsOf(origins)
        if named:
            self._engine.origin(named)
            self._flush()

    def requestReceived(self, streamID: int, headers: Headers, ended: bool, expectsContinue: bool) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams[streamID] = ServerStream(self, streamID)
        stream._expectsContinue = expectsContinue
        stream._headersReceived(headers, ended)
        if self._listeners:
            self._tell("streamReceived", stream, headers)
        if stream._finished:
            return
        try:
            result = self.server.streamReceived(stream, headers)
        except Exception:
            stream._handlerFailed(Failure())
            return
        if result is None:
            return
        if iscoroutine(result):
            result = Deferred.fromCoroutine(result)
        if isinstance(result, Deferred):
            result.addErrback(stream._handlerFailed)

    def linkHandedOver(self, link: HandedOverLink, protocol: IProtocol) -> None:
        """See L{Session.linkHandedOver}."""
        self._handedOver = self.server._handedOver(link, protocol)
        super().linkHandedOver(link, protocol)

    def handedOverLost(self) -> None:
        """See L{Session.handedOverLost}."""
        if self._handedOver is not None:
            self._handedOver.lost()
            self.server._handedOverLost(self._handedOver)

    def _bookKeeping(self) -> None:
        self.server._sessionGone(self)
