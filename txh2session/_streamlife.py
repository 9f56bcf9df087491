"""
The life of a stream: its two halves, what its session tells it, and what follows.

L{Stream<txh2session.Stream>} puts the verbs of applications on top.  All that ends a stream goes through one method,
C{_finish}, which is what makes every Deferred fire once.

A stream knows of its session only what L{StreamOwner} says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from txh2session._inbound import ReceiveBuffer
from txh2session._producers import ProducerFeed
from txh2session._readers import BodyCollector
from txh2session._states import Receiving, Sending
from txh2session._statistics import StreamCounts
from txh2session._telling import Telling
from txh2session._timer import Clock, IdleTimer
from txh2session._waiters import Waiters
from txh2session.errors import (
    ErrorCode,
    Initiator,
    StreamAborted,
    StreamError,
    StreamRefused,
    StreamTimeout,
    codeName,
)
from txh2session.headers import Headers
from txh2session.listeners import StreamListener
from txh2session.settings import Limits, Options, checkSeconds
from txh2session.snapshots import StreamSnapshot, StreamStatistics

if TYPE_CHECKING:
    from txh2session._engine import Engine

_log = Logger()


class StreamOwner(Protocol):
    """
    What a stream asks of its session.
    """

    _limits: Limits
    _options: Options

    @property
    def _engine(self) -> Engine:
        """
        Speaks frames.
        """

    def getPeer(self) -> IAddress:
        """
        The peer's address.
        """

    def getHost(self) -> IAddress:
        """
        This side's address.
        """

    @property
    def _clock(self) -> Clock:
        """
        Tells the time and calls back.
        """

    def _flush(self) -> None:
        """
        Write what the engine has to send, unless that will happen anyway.
        """

    def _tell(self, what: str, *facts: Any) -> None:
        """
        Tell the session's listeners.
        """

    def _streamDone(self, stream: Any) -> None:
        """
        Forget a stream that has ended.
        """


class StreamLife(Telling[StreamListener]):
    """
    One HTTP/2 stream, without the verbs.  See L{Stream<txh2session.Stream>} for what applications may use.
    """

    def __init__(self, session: StreamOwner, streamID: int | None, sending: Sending) -> None:
        self._owner = session
        self.id = streamID
        self._sending = sending
        self._receiving = Receiving.HEADERS
        self.headers: Headers | None = None
        self.sentHeaders: Headers | None = None
        self.sentInformation: list[Headers] = []
        self.sentTrailers: Headers | None = None
        self.rstCode: ErrorCode | int = ErrorCode.NO_ERROR
        self.aborted = False
        self.destroyed = False
        self.endAfterHeaders = False
        self._closing = False
        self._finished = False
        self._counts = StreamCounts()
        if streamID is not None:
            self._counts.opened(session._clock)
        self._error: Exception | None = None
        self._cut: Exception | None = None
        self._buffer: ReceiveBuffer | None = None
        self._trailers: Headers | None = None
        self._closedWaiters: Waiters[None] | None = None
        self._trailerWaiters: Waiters[Headers | None] | None = None
        self._roomWaiters: Waiters[None] | None = None
        self._feed: ProducerFeed | None = None
        self._timer: IdleTimer | None = None
        self._queuedBefore = 0

    _keepsUnread = True
    """Whether what came of a body may be read after the body was cut, if nobody has begun to until then."""

    def __repr__(self) -> str:
        name = type(self).__name__
        return f"<{name} {self.id}: sending {self._sending.value}, receiving {self._receiving.value}>"

    # -----------------------------------------------------------------------------------------------------------------
    # Facts

    @property
    def session(self) -> Any:
        """
        The session it belongs to.
        """
        return self._owner

    @property
    def pending(self) -> bool:
        """
        Whether it has no stream id yet.
        """
        return self.id is None

    @property
    def closed(self) -> bool:
        """
        Whether L{close} was called, the stream was reset, or both halves have ended.
        """
        return self._closing or self._finished

    @property
    def headersSent(self) -> bool:
        """
        Whether the request's or the final response's headers were sent.
        """
        return self.sentHeaders is not None and self.id is not None

    @property
    def bufferSize(self) -> int:
        """
        Bytes that were written and wait to be sent.
        """
        if self.id is None:
            return 0
        windows = self._owner._engine.streamWindows(self.id)
        return 0 if windows is None else windows.queuedBytes

    @property
    def state(self) -> StreamSnapshot:
        """
        A snapshot of both halves, the windows and what waits.
        """
        windows = None if self.id is None else self._owner._engine.streamWindows(self.id)
        return StreamSnapshot(
            sending=self._sending.value,
            receiving=self._receiving.value,
            localWindow=None if windows is None else windows.localWindow,
            remoteWindow=None if windows is None else windows.remoteWindow,
            queuedBytes=self.bufferSize,
            unreadBytes=0 if self._buffer is None else self._buffer.size,
        )

    @property
    def statistics(self) -> StreamStatistics:
        """
        What the stream has done so far, or in all once it has ended.
        """
        return self._counts.snapshot()

    # -----------------------------------------------------------------------------------------------------------------
    # Receiving and sending, as far as it happens by itself

    def _atItsCost(self, call: Callable[[], object]) -> None:
        """
        Call an application's reader or producer, whose failure costs this stream, and only this.
        """
        try:
            call()
        except Exception as error:
            _log.failure("an application's code failed for {stream!r}", stream=self)
            if not self._finished:
                self._destroy(error, ErrorCode.INTERNAL_ERROR)

    def _makeBuffer(self) -> ReceiveBuffer:
        buffer = self._buffer = ReceiveBuffer(self._taken)
        if self._receiving is Receiving.ENDED:
            buffer.end()
        elif self._receiving is Receiving.RESET:
            buffer.end(self._cut)
        return buffer

    def _taken(self, size: int) -> None:
        if self.id is not None:
            self._owner._engine.consumed(self.id, size)

    def _hasRoom(self) -> bool:
        return self.bufferSize < self._owner._limits.sendHighWater

    def _drained(self) -> None:
        """
        The engine says that there is room again.
        """
        waiters, self._roomWaiters = self._roomWaiters, None
        if waiters is not None:
            waiters.fire(None)
        if self._feed is not None:
            self._feed.drained()

    # -----------------------------------------------------------------------------------------------------------------
    # Ending

    def _fireClosed(self) -> None:
        if self._closedWaiters is not None:
            if self._error is not None:
                self._closedWaiters.fail(self._error)
            else:
                self._closedWaiters.fire(None)

    def _reset(self, code: ErrorCode | int) -> None:
        """
        Reset the stream for this side's application.
        """
        if self.id is not None:
            self._owner._engine.reset(self.id, code)
        error = None
        if code not in (ErrorCode.NO_ERROR, ErrorCode.CANCEL):
            error = StreamError(f"stream {self.id} was closed with {codeName(code)}", code, Initiator.LOCAL)
        self._finish(code, error, error or endedLocally(code), keep=False)
        self._owner._flush()

    def _destroy(self, error: Exception | None, code: ErrorCode | int) -> None:
        """
        End the stream at once for this side's application.
        """
        self.destroyed = self._closing = True
        if self.id is not None:
            self._owner._engine.reset(self.id, code)
        self._finish(code, error, error or endedLocally(code), keep=False)
        self._owner._flush()

    def _cancelled(self) -> None:
        """
        Somebody cancelled a Deferred of this stream.
        """
        if not self._finished:
            self._closing = True
            self._reset(ErrorCode.CANCEL)

    def _finish(
        self, code: ErrorCode | int, error: Exception | None, cut: Exception | None, *, keep: bool = True
    ) -> None:
        """
        End the stream: the one way there is.

        @param error: what C{whenClosed} fails with, if it does.
        @param cut: what those fail with who wait for something that will not come now; L{None} if both halves ended.
        @param keep: whether what has arrived may still be read.
        """
        if self._finished:
            return
        self._finished = True
        self._counts.ended()
        self.rstCode = code
        self._error = error
        self._cut = cut
        self.aborted = self._sending is not Sending.ENDED
        if self._timer is not None:
            self._timer.stop()
        if self._sending is not Sending.ENDED:
            self._sending = Sending.RESET
        if self._receiving is not Receiving.ENDED:
            self._receiving = Receiving.RESET
        # Nothing below may come back here or find the stream in the session's table.
        self._owner._streamDone(self)
        if self.aborted and self._listeners:
            self._tell("aborted")
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.stop()
            self._guarded(feed.producer.stopProducing)
        if cut is not None:
            self._failWaiters(cut)
            buffer = self._buffer
            if buffer is not None:
                # Half a body that is collected is of no use, however long its reader is paused.
                readable = self._keepsUnread if buffer.reader is None else not isinstance(buffer.reader, BodyCollector)
                keep = keep and readable
                self._guarded((lambda: buffer.end(cut)) if keep else (lambda: buffer.abandon(cut)))
        if self._buffer is not None:
            self._buffer.release()
        self._fireClosed()
        if self._listeners:
            self._tell("streamClosed", error)

    def _failWaiters(self, reason: Exception) -> None:
        """
        Tell those who wait for room or for the peer's end that it will not come.
        """
        waiters, self._roomWaiters = self._roomWaiters, None
        if waiters is not None:
            waiters.fail(reason)
        if self._trailerWaiters is not None:
            self._trailerWaiters.fail(reason)

    # -----------------------------------------------------------------------------------------------------------------
    # Timing, and what may fail

    def _guarded(self, call: Callable[[], object]) -> None:
        """
        Call an application's code as the stream, or its peer's half, ends: its failure is logged, and there is nothing left
        that it could cost.
        """
        try:
            call()
        except Exception:
            _log.failure("an application's code failed as {stream!r} ended", stream=self)

    def setTimeout(self, seconds: float) -> None:
        """
        Have listeners told (L{StreamListener.timedOut}) when nothing was sent or received on this stream for a time; it
        happens again after the same time, and changes nothing by itself (Node's reference 8.19).

        @param seconds: 0 switches it off.

        @raise InvalidSetting: for what is not a number of seconds.
        """
        seconds = checkSeconds("seconds", seconds)
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._queuedBefore = self.bufferSize
        if seconds and not self._finished:
            self._timer = IdleTimer(self._owner._clock, seconds, lambda: self._timeout(seconds))

    def _timeout(self, seconds: float) -> None:
        self._timer = None
        # A large write that progresses is traffic (Node's reference 15.16); it is looked for here, not at each frame.
        progressed = self.bufferSize < self._queuedBefore
        self.setTimeout(seconds)
        if not progressed:
            self._tell("timedOut")

    def _touch(self) -> None:
        if self._timer is not None:
            self._timer.touch()

    # -----------------------------------------------------------------------------------------------------------------
    # Called by the session

    def _headersReceived(self, headers: Headers, ended: bool) -> None:
        self._touch()
        self._counts.headersCame()
        self.headers = headers
        self.endAfterHeaders = ended
        self._receiving = Receiving.ENDED if ended else Receiving.BODY
        self._headersCame(headers)
        if ended:
            self._tellEnd(None)

    def _headersCame(self, headers: Headers) -> None:
        """
        Tell those who wait for the peer's headers.
        """

    def _dataReceived(self, data: bytes, ended: bool) -> None:
        self._touch()
        self._counts.received(len(data))
        buffer = self._buffer or self._makeBuffer()
        self._atItsCost(lambda: buffer.received(data))
        if ended:
            self._ended(None)

    def _ended(self, trailers: Headers | None) -> None:
        """
        The peer has ended its half.
        """
        if self._finished:
            return
        self._touch()
        self._receiving = Receiving.ENDED
        self._tellEnd(trailers)

    def _tellEnd(self, trailers: Headers | None) -> None:
        """
        Tell those who wait for the end of the peer's half.
        """
        self._trailers = trailers
        if self._trailerWaiters is not None:
            self._trailerWaiters.fire(trailers)
        if self._buffer is not None:
            # Who fails to take the end will not end our half either; if that has ended the stream is whole.
            call = self._guarded if self._sending is Sending.ENDED else self._atItsCost
            call(self._buffer.end)

    def _endSent(self) -> None:
        """
        Our END_STREAM went out while the peer has not ended its half.
        """
        if self._closing:
            self._reset(self.rstCode)

    def _completed(self) -> None:
        """
        Both halves ended as they should.
        """
        if self._receiving is not Receiving.ENDED:
            self._ended(None)  # this side ended its half while it was given the peer's last bytes
        self._finish(ErrorCode.NO_ERROR, None, None)

    def _wasReset(self, code: int, initiator: Initiator, message: str) -> None:
        """
        The peer reset the stream, or made the engine do it.
        """
        text = f"stream {self.id}: {message}, {codeName(code)}"
        answered = True if self.headers is not None else None
        whole = self._receiving is Receiving.ENDED
        error: StreamError | None
        if code in (ErrorCode.NO_ERROR, ErrorCode.CANCEL):
            error = None if whole else StreamAborted(text, code, initiator, processed=answered)
        elif code == ErrorCode.REFUSED_STREAM and initiator is Initiator.PEER:
            error = StreamRefused(text, code, initiator, processed=False)
        else:
            error = StreamError(text, code, initiator, processed=answered)
        cut = error or StreamAborted(text, code, initiator, processed=answered)
        self._finish(code, error, cut)

    def _timedOut(self, timeout: str, message: str, *, processed: bool | None = None) -> None:
        """
        The peer let a time pass.

        @param timeout: the name of the field of C{Timeouts}.
        """
        if self._finished:
            return
        if self.id is not None:
            self._owner._engine.reset(self.id, ErrorCode.CANCEL)
        error = StreamTimeout(message, ErrorCode.CANCEL, Initiator.PEER, processed=processed)
        error.timeout = timeout
        self._finish(ErrorCode.CANCEL, error, error)
        self._owner._flush()

    def _stalled(self, seconds: float) -> None:
        """
        The peer took nothing of the body for a long time.
        """
        self._timedOut("stalled", f"the peer took nothing of stream {self.id} for {seconds:g} seconds")

    def _lookForUpload(self, seconds: float) -> None:
        """
        See whether the peer still sends what it announced: called twice within the time it has.
        """

    def _sessionEnded(self, code: int, error: Exception | None, cut: Exception, *, keep: bool) -> None:
        """
        The session ended and takes the stream with it.

        @param error: the session's error, if it has one.
        @param cut: what those fail with who wait for something of the peer's.
        @param keep: whether that was the peer's or the network's doing: then what arrived may be read, and a stream that
            the peer had not ended has an error even if the session has none.
        """
        self.destroyed = True
        if error is None and keep and self._receiving is not Receiving.ENDED:
            error = cut
        self._finish(code, error, cut, keep=keep)


def endedLocally(code: int = ErrorCode.CANCEL) -> StreamAborted:
    return StreamAborted(f"the stream was closed here with {codeName(code)}", code, Initiator.LOCAL)
