"""
The life of a session: connected, closing, destroyed, gone; what its link and its engine tell it, and what follows.

L{Session<txh2session.Session>} puts the verbs of applications on top.  The rules of re-entrancy, which everything here
keeps: update state before calling an application; never walk a live table while doing so; calls an application makes from
a callback join the batch that is being worked on, and the outermost writes; an application's exception is logged and
costs its stream at most.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.logger import Logger

from txh2session._engine import Engine
from txh2session._handover import HandedOverLink
from txh2session._limits import Account
from txh2session._questions import Pings, SettingsChanges
from txh2session._states import SessionState, nextSessionState
from txh2session._telling import Telling
from txh2session._timer import Clock, DelayedCall, IdleTimer
from txh2session._waiters import Waiters
from txh2session._watch import KeepaliveWatch, StallWatch
from txh2session.errors import (
    ErrorCode,
    Initiator,
    InvalidState,
    PingCancelled,
    SessionError,
    SessionTimeout,
    StreamAborted,
    StreamRefused,
    codeName,
)
from txh2session.listeners import SessionListener
from txh2session.settings import Limits, Options, Settings, Timeouts
from txh2session.stream import Stream

_log = Logger()


class Link(Clock, Protocol):
    """
    What a session asks of the protocol that connects it to a transport.
    """

    def flush(self) -> None:
        """
        Write what C{bytesToSend} gives, until the transport has had enough.
        """

    def finish(self, hurry: bool) -> None:
        """
        Write what is left, then close the transport so that it reaches the peer.

        @param hurry: whether to cut the connection off once the peer had its time to read.
        """

    def abort(self) -> None:
        """
        Close the transport at once.
        """

    def getPeer(self) -> IAddress:
        """
        The peer's address.
        """

    def getHost(self) -> IAddress:
        """
        This side's address.
        """

    def getPeerCertificate(self) -> Any:
        """
        The peer's certificate, or L{None}.
        """


class SessionLife(Telling[SessionListener]):
    """
    One HTTP/2 connection, without the verbs.  See L{Session<txh2session.Session>} for what applications may use.
    """

    _client = False
    _account: Account | None = None
    """Where to count what the session holds, together with others."""

    __slots__ = (  # what a dictionary of so many names takes is more than all else here
        "_batch",
        "_bytesRead",
        "_bytesWritten",
        "_calls",
        "_changes",
        "_closed",
        "_closedWaiters",
        "_comingLink",
        "_connectedAt",
        "_connectedWaiters",
        "_destroyed",
        "_earlyClock",
        "_earlySettings",
        "_engine",
        "_error",
        "_finishing",
        "_goAwaySent",
        "_goneAt",
        "_idle",
        "_keepalive",
        "_limits",
        "_link",
        "_listeners",
        "_options",
        "_pings",
        "_ready",
        "_readyWaiters",
        "_settings",
        "_stalls",
        "_state",
        "_streamSeconds",
        "_streams",
        "_streamsEnded",
        "_timeouts",
        "_timer",
        "_uploads",
        "alpnProtocol",
        "encrypted",
        "goawayCode",
        "goawayLastStreamID",
    )

    def __init__(
        self,
        settings: Settings | None = None,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        listener: SessionListener | None = None,
        options: Options | None = None,
    ) -> None:
        self._settings = settings or Settings()
        self._limits = limits or Limits()
        self._timeouts = timeouts or Timeouts()
        self._options = options or Options()
        self._listeners: tuple[SessionListener, ...] = () if listener is None else (listener,)
        self._state = SessionState.CONNECTING
        self._engine = self._makeEngine()
        self._link: Link | None = None
        self._comingLink: Link | None = None
        self._earlyClock: Clock | None = None
        self._streams: dict[int, Stream] = {}
        self._batch = 0
        self._error: Exception | None = None
        self._destroyed = False
        self._closed = False
        self._ready = False
        self._connectedAt: float | None = None
        self._goneAt: float | None = None
        self._bytesRead = 0
        self._bytesWritten = 0
        self._streamsEnded = 0
        self._streamSeconds = 0.0
        self._calls: list[DelayedCall] = []
        self._goAwaySent: int | None = None
        self._finishing = False
        self._connectedWaiters: Waiters[None] = Waiters()
        self._readyWaiters: Waiters[None] = Waiters()
        self._closedWaiters: Waiters[None] = Waiters()
        self._pings = Pings(self._limits.outstandingPings)
        self._changes = SettingsChanges(self._limits.outstandingSettings)
        self._earlySettings: list[tuple[dict[str, object], Waiters[Settings]]] = []
        self._idle: IdleTimer | None = None
        self._keepalive: KeepaliveWatch | None = None
        self._stalls: StallWatch | None = None
        self._uploads: StallWatch | None = None
        self._timer: IdleTimer | None = None
        self.alpnProtocol: str | None = None
        self.encrypted: bool | None = None
        self.goawayCode: ErrorCode | int | None = None
        self.goawayLastStreamID: int | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._state.value}, {len(self._streams)} streams>"

    def _makeEngine(self) -> Engine:
        """
        Make what speaks frames for this session and tells it what they say.
        """
        raise AssertionError("who is told defines it")

    @property
    def connecting(self) -> bool:
        """
        Whether the transport is not up yet.
        """
        return self._link is None and self._state in (SessionState.CONNECTING, SessionState.CLOSING)

    @property
    def ready(self) -> bool:
        """
        Whether the peer's first SETTINGS have arrived.
        """
        return self._ready

    @property
    def closed(self) -> bool:
        """
        Whether it takes no new streams: L{close} was called, a GOAWAY came, or the transport is gone.
        """
        return self._closed

    @property
    def destroyed(self) -> bool:
        """
        Whether L{destroy} has begun, or the session is gone.
        """
        return self._destroyed

    def _countPending(self) -> int:
        return 0

    def getPeer(self) -> IAddress:
        """
        The peer's address.

        @raise InvalidState: before the session is connected.
        """
        return self._connectedLink().getPeer()

    def getHost(self) -> IAddress:
        """
        This side's address.

        @raise InvalidState: before the session is connected.
        """
        return self._connectedLink().getHost()

    def _connectedLink(self) -> Link:
        if self._link is None:
            raise InvalidState("the session is not connected")
        return self._link

    @property
    def _clock(self) -> Clock:
        clock = self._link or self._earlyClock
        if clock is None:
            raise InvalidState("the session is not connected")
        return clock

    # -----------------------------------------------------------------------------------------------------------------
    # Ending

    def _destroy(
        self,
        error: Exception | None,
        code: int,
        *,
        goAwayCode: int | None,
        keep: bool,
        debugData: bytes = b"",
    ) -> None:
        """
        End the session: the one way there is while the transport is up.

        @param code: what the streams are closed with.
        @param goAwayCode: what the peer is told; L{None} if it has been told already.
        @param keep: whether bodies may be read as far as they came.
        """
        if self._destroyed:
            return
        self._destroyed = True
        self._state = nextSessionState(self._state, "destroy")
        self._error = error
        if error is not None and code == ErrorCode.NO_ERROR:
            code = ErrorCode.INTERNAL_ERROR
        self._batch += 1
        try:
            if self._link is not None and goAwayCode is not None:
                self._engine.goAway(goAwayCode, None, debugData)
            self._engine.stop()
            if self._link is not None:
                self._link.flush()
            self._endStreams(code, error, keep=keep)
        finally:
            self._batch -= 1
        self._endQuestions(error)
        if self._link is not None:
            self._finishing = True
            self._link.finish(hurry=error is not None)
        else:
            self._abandonConnecting()
            self._gone()

    def _abandonConnecting(self) -> None:
        """
        Stop trying to connect.
        """
        if self._comingLink is not None:
            self._comingLink.abort()

    def _endStreams(self, code: int, error: Exception | None, *, keep: bool) -> None:
        """
        End every stream with the session's error.
        """
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream._sessionEnded(code, error, error or self._cut(stream, code), keep=keep)

    def _cut(self, stream: Stream, code: int) -> Exception:
        """
        Say why what a stream waits for will not come although the session has no error to name.
        """
        if self._state is SessionState.DESTROYED:
            initiator, who = Initiator.LOCAL, "was destroyed here"
        elif self.goawayCode is not None:
            initiator, who = Initiator.PEER, "was ended by the peer"
        else:
            initiator, who = Initiator.TRANSPORT, "lost its connection"
        return StreamAborted(
            f"the session {who} while stream {stream.id} was open, {codeName(code)}",
            code,
            initiator,
            lastStreamID=self.goawayLastStreamID,
            processed=None if stream.headers is None or not self._client else True,
        )

    def _endQuestions(self, error: Exception | None) -> None:
        self._pings.cancel(error)
        self._changes.cancel(error)
        early, self._earlySettings = self._earlySettings, []
        for _, waiters in early:
            waiters.fail(PingCancelled("the session ended before its settings were sent"))
        calls, self._calls = self._calls, []
        for call in calls:
            if call.active():
                call.cancel()
        for watch in (self._keepalive, self._stalls, self._uploads, self._idle):
            if watch is not None:
                watch.stop()
        if self._timer is not None:
            self._timer.stop()

    def _beginClosing(self, sendGoAway: bool) -> None:
        """
        Take no new streams and go when the open ones are done.
        """
        self._state = nextSessionState(self._state, "close")
        self._closed = True
        self._batch += 1
        try:
            if sendGoAway and self._link is not None:
                self._goAwaySent = self._engine.goAway(ErrorCode.NO_ERROR, None, b"")
            self._refusePending()
        finally:
            self._batch -= 1
        self._tell("sessionClosing")
        self._flush()
        self._finishIfIdle()

    def _refusePending(self) -> None:
        """
        Fail the requests that have not been sent.
        """

    def _finishIfIdle(self) -> None:
        """
        Go, if closing and nothing is open any more.
        """
        if self._state is not SessionState.CLOSING or self._streams or self._finishing or self._holdsOpen():
            return
        self._finishing = True
        if self._link is None:
            self._abandonConnecting()
            self._gone()
            return
        if self._goAwaySent is None:
            self._goAwaySent = self._engine.goAway(ErrorCode.NO_ERROR, None, b"")
        self._engine.stop()
        self._link.finish(hurry=False)
        self._endQuestions(None)  # nothing is read any more, so no answer is missing either

    def _holdsOpen(self) -> bool:
        """
        Whether something other than a stream keeps a closing session from going.
        """
        return False

    def _gone(self) -> None:
        """
        The session is over: tell everybody, in Node's order.
        """
        if self._state is SessionState.GONE:
            return
        error = self._error
        if self._link is not None:
            self._goneAt = self._link.seconds()
        self._state = nextSessionState(self._state, "lost")
        self._closed = self._destroyed = True
        ended = error or SessionError("the session is closed", ErrorCode.NO_ERROR, Initiator.LOCAL, processed=False)
        self._endStreams(ErrorCode.CANCEL, error, keep=True)
        self._refusePending()
        self._endQuestions(error)
        self._bookKeeping()
        self._connectedWaiters.fail(ended)
        self._readyWaiters.fail(ended)
        if error is None:
            self._closedWaiters.fire(None)
        else:
            self._closedWaiters.fail(error)
        self._tell("sessionClosed", error)

    def _refuseStreams(
        self, parity: int, lastStreamID: int, initiator: Initiator, message: str, debugData: bytes
    ) -> None:
        """
        Fail the streams above a GOAWAY's last id, on which no work was or will be done (RFC 9113 section 6.8).

        @param parity: 1 for those a client opened, 0 for a server's.
        """
        for stream in list(self._streams.values()):
            if stream.id is not None and stream.id % 2 == parity and stream.id > lastStreamID:
                self._engine.forget(stream.id)
                refused = StreamRefused(
                    f"stream {stream.id} {message}",
                    ErrorCode.REFUSED_STREAM,
                    initiator,
                    lastStreamID=lastStreamID,
                    debugData=debugData,
                    processed=False,
                )
                stream._finish(ErrorCode.REFUSED_STREAM, refused, refused)

    def _bookKeeping(self) -> None:
        """
        Tell the server that this session is gone.
        """

    def _pingWithin(self, seconds: float) -> Deferred[float]:
        """
        Send a PING of the library's own.
        """
        payload, waiting = self._pings.ask(None, self._connectedLink(), seconds)
        if payload:
            self._engine.ping(payload)
            self._flush()
        return waiting

    def _keepaliveDead(self) -> None:
        self._timeoutError("keepalive", ErrorCode.NO_ERROR, "the peer did not answer a PING in time")

    def _resetStalled(self) -> None:
        """
        End the streams whose peer takes nothing of what it asked for.
        """
        for streamID in self._engine.stalled():
            stream = self._streams.get(streamID)
            if stream is not None:
                stream._stalled(self._timeouts.stalled)

    def _lookForUploads(self) -> None:
        """
        End the streams whose peer does not send what somebody reads.
        """
        for stream in list(self._streams.values()):
            stream._lookForUpload(self._timeouts.upload)

    def headersTimedOut(self) -> None:
        """
        A header block did not end in time.
        """
        self._timeoutError("headers", ErrorCode.ENHANCE_YOUR_CALM, "a header block did not end in time")

    @property
    def midBlock(self) -> bool:
        """
        Whether a header block has begun and not ended.
        """
        return self._engine.midBlock

    def _settingsTimedOut(self) -> None:
        self._timeoutError("settingsAck", ErrorCode.SETTINGS_TIMEOUT, "SETTINGS were not acknowledged in time")

    def _timeoutError(self, timeout: str, code: ErrorCode, message: str) -> None:
        """
        End the session because the peer let a time pass.
        """
        error = SessionTimeout(message, code, Initiator.PEER)
        error.timeout = timeout
        self._destroy(error, code, goAwayCode=code, keep=True, debugData=message.encode("ascii"))

    # -----------------------------------------------------------------------------------------------------------------
    # Called by streams

    def _flush(self) -> None:
        if self._batch == 0 and self._link is not None:
            self._link.flush()

    def _streamDone(self, stream: Stream) -> None:
        if stream.id is not None:
            self._streams.pop(stream.id, None)
            self._streamsEnded += 1
            self._streamSeconds += stream._counts.seconds()
        if not self._streams:
            if self._idle is not None:
                self._idle.touch()
            if self._state is SessionState.CLOSING:
                self._finishIfIdle()

    # -----------------------------------------------------------------------------------------------------------------
    # Called by the link

    def linkComing(self, link: Link) -> None:
        """
        There is a transport; whether it will carry HTTP/2 is not known yet.
        """
        self._comingLink = link

    def linkConnected(self, link: Link, encrypted: bool) -> None:
        """
        The transport is up; over TLS, C{h2} was agreed on.
        """
        self._link = link
        self._connectedAt = link.seconds()
        self.encrypted = encrypted
        self.alpnProtocol = "h2" if encrypted else "h2c"
        if self._state is SessionState.CONNECTING:
            self._state = nextSessionState(self._state, "connected")
        self._batch += 1
        try:
            self._engine.start(link.seconds)
            self._changes.started(link, self._timeouts.settingsAck, self._settingsTimedOut)
            if self._timeouts.keepalive is not None:
                self._keepalive = KeepaliveWatch(
                    link, self._timeouts.keepalive, self._pingWithin, lambda: bool(self._streams), self._keepaliveDead
                )
            if self._timeouts.stalled:
                self._stalls = StallWatch(link, self._timeouts.stalled, self._resetStalled)
            if self._timeouts.upload and not self._client:
                self._uploads = StallWatch(link, self._timeouts.upload, self._lookForUploads)
            self._sendFirstFrames()
            idle = self._idleSeconds()
            if idle:
                self._idle = IdleTimer(link, idle, self._idleTooLong)
            self._connectedWaiters.fire(None)
            self._tell("sessionConnected")
        finally:
            self._batch -= 1
        self._flush()

    def _sendFirstFrames(self) -> None:
        """
        Send what comes right behind the first SETTINGS.
        """

    def _idleSeconds(self) -> float:
        return self._timeouts.idle or 0.0

    def _idleTooLong(self) -> None:
        """
        The idle timer fired: close, unless a stream is open.
        """
        if self._streams or self._countPending():
            assert self._link is not None  # the timer was started with one
            self._idle = IdleTimer(self._link, self._idleSeconds(), self._idleTooLong)
        elif self._state is SessionState.OPEN:
            self._beginClosing(sendGoAway=True)

    def bytesReceived(self, data: bytes, now: float) -> None:
        """
        Bytes came from the transport.
        """
        self._bytesRead += len(data)
        if self._keepalive is not None:
            self._keepalive.touch()
        if self._timer is not None:
            self._timer.touch()
        self._batch += 1
        try:
            self._engine.receive(data, now)
        finally:
            self._batch -= 1
        if not self._finishing:
            self._flush()

    def bytesToSend(self, maximum: int) -> bytes:
        """
        Give out the next bytes for the transport.
        """
        self._batch += 1
        try:
            data = self._engine.bytesToSend(maximum)
        finally:
            self._batch -= 1
        if data:
            self._bytesWritten += len(data)
            if self._timer is not None:
                self._timer.touch()
        return data

    def linkLost(self, error: Exception | None) -> None:
        """
        The transport is gone.

        @param error: why, L{None} if the peer closed it in an orderly way.
        """
        if self._state is SessionState.GONE:
            return
        if self._error is None and error is not None and not self._finishing and self.goawayCode is None:
            self._error = SessionError(
                f"the connection was lost: {error}", ErrorCode.CANCEL, Initiator.TRANSPORT, reason=error
            )
        self._engine.stop()
        self._gone()

    def linkFailed(self, error: Exception) -> None:
        """
        The transport came up but cannot carry HTTP/2, or took too long.
        """
        if self._error is None and not self._destroyed:
            self._error = error

    def linkHandedOver(self, link: HandedOverLink, protocol: IProtocol) -> None:
        """
        The peer speaks HTTP/1.1, and another protocol has taken the connection over.
        """
        self._gone()

    def handedOverLost(self) -> None:
        """
        The transport of a connection that was handed over is gone.
        """

    def prefaceTimedOut(self) -> None:
        """
        The peer did not send its preface in time.
        """
        self._timeoutError("preface", ErrorCode.SETTINGS_TIMEOUT, "the peer's preface did not come in time")
