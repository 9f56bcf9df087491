"""
L{Stream}: one request and its answer, as an application holds it.

A stream is two halves that end on their own.  What it sends goes to the engine at once and waits there for windows; what
arrives waits in a L{ReceiveBuffer<txh2session._inbound.ReceiveBuffer>} until somebody reads it, and the peer gets credit
only then.  All that ends a stream goes through one method, C{_finish}, which is what makes every Deferred fire once.

The stream knows of its session only what L{StreamOwner} says.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IConsumer, IProducer, IProtocol, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from txh2session._inbound import BodyReader, ReceiveBuffer
from txh2session._producers import ProducerFeed
from txh2session._readers import BodyCollector, BodyDiscarder, BodyIterator, ProtocolReader
from txh2session._states import Receiving, Sending, nextSending
from txh2session._statistics import StreamCounts
from txh2session._telling import Telling
from txh2session._timer import Clock, IdleTimer
from txh2session._waiters import Waiters
from txh2session.constants import FrameType
from txh2session.errors import (
    ErrorCode,
    Initiator,
    InvalidState,
    StreamAborted,
    StreamError,
    StreamRefused,
    checkedCode,
    codeName,
)
from txh2session.headers import Headers, HeadersLike, trailerHeaders
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


@implementer(IConsumer, IPushProducer)
class Stream(Telling[StreamListener]):
    """
    One HTTP/2 stream.

    Send with L{write}, L{end}, L{send} and, as an L{IConsumer}, by registering a producer.  Read the peer's body in one
    way of: L{deliverBody}, C{async for}, L{read}, L{discard}.

    @ivar id: the stream id, L{None} while a client's request waits to be sent.
    @ivar session: the session it belongs to.
    @ivar headers: what the peer sent: a request's on a server; a response's on a client, L{None} before it came.
    @ivar sentHeaders: what was sent, with all defaults, L{None} before.
    @ivar sentInformation: the 1xx responses that were sent, in order.
    @ivar sentTrailers: the trailers that were sent or queued, L{None} if there are none.
    @ivar rstCode: the code the stream was closed with: sent, received, or its dying session's; 0 otherwise.
    @ivar aborted: whether it ended although this side had not ended its half.
    @ivar destroyed: whether it was ended by C{destroy()}, its own or its session's.
    @ivar endAfterHeaders: whether the peer's headers said that there is no body.
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
    # Sending

    def write(self, data: bytes) -> None:
        """
        Send bytes of the body as soon as windows and the transport allow.

        They are queued without limit: register a producer, or wait for the Deferred of L{send}, to keep to what the peer
        can take.  On a stream that the peer or the network has ended this does nothing, as C{ITransport.write}.

        @raise InvalidState: after L{end}, or after this side closed the stream.
        @raise TypeError: for anything but bytes.
        """
        if self._refuses("write"):
            return
        if not isinstance(data, bytes):
            data = _asBytes(data)
        self._put(data)
        self._owner._flush()
        if self._feed is not None:
            self._feed.wrote()

    def send(self, data: bytes) -> Deferred[None]:
        """
        Send bytes and learn when there is room for more.

        @return: fires with L{None} at once while little is queued, else when the queue has drained below
            C{Limits.sendLowWater}; fails with the stream's error when it ends before, or has ended, whoever ended it.

        @raise InvalidState: after L{end}.
        """
        if not self._finished:
            self.write(data)
        if self._finished:
            return fail(self._cut or _endedLocally())
        if self.bufferSize < self._owner._limits.sendHighWater:
            return succeed(None)
        if self._roomWaiters is None:
            self._roomWaiters = Waiters()
        return self._roomWaiters.when(self._cancelled)

    def end(self, data: bytes | None = None, trailers: HeadersLike | None = None) -> None:
        """
        End this side's half, after what was written before.

        @param data: last bytes of the body; END_STREAM travels on their last frame.
        @param trailers: header fields that follow the body (RFC 9113 section 8.1).

        @raise InvalidState: if it was ended before.
        @raise InvalidHeader: for trailers that may not be sent; nothing has been sent then.
        """
        checked = None if trailers is None else trailerHeaders(trailers, self._owner._options.strictSingleValues)
        if data is not None and not isinstance(data, bytes):
            data = _asBytes(data)
        if self._refuses("end"):
            return
        if checked is not None and not self._fits(checked):
            return
        if data:
            self._put(data)
        self._sending = nextSending(self._sending, "end")
        if checked is not None and len(checked):
            self.sentTrailers = checked
        self._putEnd(self.sentTrailers)
        self._owner._flush()

    def sendTrailers(self, headers: HeadersLike) -> None:
        """
        End this side's half with trailers: the same as C{end(trailers=headers)}.
        """
        self.end(trailers=headers)

    def _tooLong(self, headers: Headers) -> str:
        """
        Say why a header list is too long to be sent; nothing if it is not.
        """
        size = headers.size
        ours, theirs = self._owner._limits.sendHeaderBytes, self._owner._engine.remoteSettings.maxHeaderListSize
        if size > ours:
            return f"a header list of {size} bytes is longer than Limits.sendHeaderBytes, {ours}"
        if size > theirs:
            return f"a header list of {size} bytes is longer than the peer's maxHeaderListSize, {theirs}"
        return ""

    def _fits(self, headers: Headers) -> bool:
        """
        See whether a header list may be sent, and end the stream if not (Node's reference 5.10).
        """
        reason = self._tooLong(headers)
        if not reason:
            return True
        error = self._unsendable(reason)
        if self.id is not None:
            self._owner._engine.reset(self.id, error.code)
        if headers.size > self._owner._limits.sendHeaderBytes:
            # Nobody need be waiting for this stream.  What the peer does not take is not told: it would fill our log.
            _log.warn("{stream!r}: {reason}", stream=self, reason=reason)
        self._tell("frameNotSent", FrameType.HEADERS, error.code)
        self._owner._tell("frameNotSent", self, FrameType.HEADERS, error.code)
        self._finish(error.code, error, error)
        self._owner._flush()
        return False

    def _unsendable(self, reason: str) -> StreamError:
        """
        Make the error of a stream whose headers cannot be sent.
        """
        return StreamError(f"stream {self.id}: {reason}", ErrorCode.INTERNAL_ERROR, Initiator.LOCAL)

    def _refuses(self, what: str) -> bool:
        """
        Decide what a verb does on a stream that cannot send.

        @return: whether it does nothing, because not this side's application ended the stream.

        @raise InvalidState: because it did.
        """
        if self._sending is Sending.BODY:
            return False
        if self._sending is Sending.HEADERS:
            self._beforeBody()
            return not self._sendsBody
        if self._sending is Sending.RESET and not self._closing:
            return True
        nextSending(self._sending, what)
        return False

    @property
    def _sendsBody(self) -> bool:
        return self._sending is Sending.BODY

    def _beforeBody(self) -> None:
        """
        Do what has to come before the first byte of a body.
        """

    def _put(self, data: bytes) -> None:
        """
        Hand bytes to the engine.
        """
        assert self.id is not None  # a client's stream that has none keeps them itself
        self._touch()
        self._counts.sent(len(data))
        self._owner._engine.write(self.id, data)

    def _putEnd(self, trailers: Headers | None) -> None:
        assert self.id is not None
        self._owner._engine.end(self.id, trailers)

    # IConsumer

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See L{IConsumer}.  The producer is paused while C{Limits.sendHighWater} bytes are queued, and told to stop when
        the stream ends before C{unregisterProducer}.

        @raise RuntimeError: if one is registered already.
        """
        if self._feed is not None:
            raise RuntimeError(f"cannot register {producer}: {self._feed.producer} was never unregistered")
        if self._finished:
            producer.stopProducing()
            return
        self._feed = ProducerFeed(producer, streaming, self._hasRoom)
        self._feed.start()

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.stop()

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
    # Receiving

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        Deliver the peer's body to a protocol, with back-pressure: its transport can C{pauseProducing},
        C{resumeProducing}, C{stopProducing} and C{loseConnection} (which reset the stream with CANCEL).

        C{connectionLost} comes with L{ResponseDone<twisted.web.client.ResponseDone>} after a whole body, and with a
        L{StreamError} or L{SessionError<txh2session.SessionError>} after one that was cut short.

        @raise InvalidState: if the body is being read already.
        """
        self._attach(ProtocolReader(protocol, self))

    def read(self, limit: int | None = None) -> Deferred[bytes]:
        """
        Read the peer's body to its end.

        @param limit: bytes; a longer body fails with L{BodyTooLong<txh2session.BodyTooLong>} and resets the stream with
            CANCEL.

        @return: fires with the whole body; fails with an L{Ended<txh2session.Ended>} if it was cut short.  Cancelling it
            resets the stream with CANCEL.

        @raise InvalidState: if the body is being read already.
        """
        collector = BodyCollector(limit, self._cancelled)
        self._attach(collector)
        return collector.result

    def __aiter__(self) -> BodyIterator:
        """
        Iterate over the peer's body in the chunks it comes in: C{async for chunk in stream}.  The next chunk is taken
        when the loop asks for it.  A body that was cut short raises an L{Ended<txh2session.Ended>}
        where it ends.

        @raise InvalidState: if the body is being read already.
        """
        iterator = BodyIterator(self, self._cancelled)
        iterator.start()
        self._attach(iterator)
        return iterator

    def discard(self) -> None:
        """
        Read the peer's body and throw it away.

        @raise InvalidState: if the body is being read already.
        """
        self._attach(BodyDiscarder())

    def _attach(self, reader: BodyReader) -> None:
        buffer = self._buffer
        if buffer is None:
            buffer = self._makeBuffer()
        if buffer.reader is not None:
            raise InvalidState("the body is being read already")
        self._delivering(lambda: buffer.attach(reader))
        self._owner._flush()

    def _delivering(self, deliver: Callable[[], object]) -> None:
        """
        Hand bytes to a reader, whose failure costs this stream only.
        """
        try:
            deliver()
        except Exception as error:
            _log.failure("reading the body of {stream!r} failed", stream=self)
            self.destroy(error)

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

    def pauseProducing(self) -> None:
        """
        Stop the delivery of the peer's body: at most one stream window more will arrive.  See L{IPushProducer}.
        """
        (self._buffer or self._makeBuffer()).pause()

    def resumeProducing(self) -> None:
        """
        Go on with the delivery of the peer's body.  See L{IPushProducer}.
        """
        self._delivering((self._buffer or self._makeBuffer()).resume)
        self._owner._flush()

    def stopProducing(self) -> None:
        """
        Give the stream up: C{close(CANCEL)}.  See L{IPushProducer}.
        """
        self.close(ErrorCode.CANCEL)

    def getPeer(self) -> IAddress:
        """
        The peer's address.
        """
        return self._owner.getPeer()

    def getHost(self) -> IAddress:
        """
        This side's address.
        """
        return self._owner.getHost()

    def whenTrailers(self) -> Deferred[Headers | None]:
        """
        Wait for the end of the peer's half.

        @return: fires with its trailers, or L{None} if it ended without any, when END_STREAM arrives, whether or not the
            body has been read; fails with an L{Ended<txh2session.Ended>} if it never does.
        """
        if self._trailerWaiters is None:
            self._trailerWaiters = Waiters()
            if self._receiving is Receiving.ENDED:
                self._trailerWaiters.fire(self._trailers)
            elif self._cut is not None:
                self._trailerWaiters.fail(self._cut)
        return self._trailerWaiters.when(self._cancelled)

    # -----------------------------------------------------------------------------------------------------------------
    # Ending

    def whenClosed(self) -> Deferred[None]:
        """
        Wait for the end of the stream.

        @return: fires with L{None} when both halves have ended, or when this side closed it with NO_ERROR or CANCEL; fails
            with the error it ended with otherwise.
        """
        if self._closedWaiters is None:
            self._closedWaiters = Waiters()
            if self._finished:
                self._fireClosed()
        return self._closedWaiters.when(self._cancelled)

    def _fireClosed(self) -> None:
        if self._closedWaiters is not None:
            if self._error is not None:
                self._closedWaiters.fail(self._error)
            else:
                self._closedWaiters.fire(None)

    def close(self, code: int = ErrorCode.NO_ERROR) -> None:
        """
        End the stream with RST_STREAM (Node's reference 8.17).

        It goes out at once, and what is queued is dropped, unless C{code} is NO_ERROR and L{end} was called: then it goes
        out after the last byte.  Nothing but the reset marks a body that was cut, so that the peer cannot take it for a
        whole one.  Does nothing on a stream that is closed.

        @raise TypeError: if C{code} is not an integer.
        @raise ValueError: if it does not fit into 32 bits.
        """
        code = checkedCode(code)
        if self.closed:
            return
        self._closing = True
        self.rstCode = code
        if code == ErrorCode.NO_ERROR and self._sending is Sending.ENDED and self.id is not None:
            # With everything sent already the engine says so at once, else after the last byte.
            windows = self._owner._engine.streamWindows(self.id)
            if windows is not None and windows.queuedBytes:
                return
        self._reset(code)

    def _reset(self, code: ErrorCode | int) -> None:
        """
        Reset the stream for this side's application.
        """
        if self.id is not None:
            self._owner._engine.reset(self.id, code)
        error = None
        if code not in (ErrorCode.NO_ERROR, ErrorCode.CANCEL):
            error = StreamError(f"stream {self.id} was closed with {codeName(code)}", code, Initiator.LOCAL)
        self._finish(code, error, error or _endedLocally(code), keep=False)
        self._owner._flush()

    def destroy(self, error: Exception | None = None, code: int | None = None) -> None:
        """
        End the stream at once (Node's reference 8.18); the session lives on.  Does nothing the second time.

        @param error: what this side's Deferreds fail with.
        @param code: what the peer gets; if not given, INTERNAL_ERROR with an error and NO_ERROR without.

        @raise TypeError: if C{code} is not an integer.
        @raise ValueError: if it does not fit into 32 bits.
        """
        if code is not None:
            code = checkedCode(code)
        if self._finished:
            return
        self.destroyed = self._closing = True
        if code is None:
            code = ErrorCode.NO_ERROR if error is None else ErrorCode.INTERNAL_ERROR
        if self.id is not None:
            self._owner._engine.reset(self.id, code)
        self._finish(code, error, error or _endedLocally(code), keep=False)
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
                self._guarded((lambda: buffer.end(cut)) if keep else (lambda: buffer.abandon(cut)))
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
        Call an application's code whose failure must not stop ours.
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
        self._delivering(lambda: buffer.received(data))
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
        if self._finished:
            return
        self._trailers = trailers
        if self._trailerWaiters is not None:
            self._trailerWaiters.fire(trailers)
        if self._buffer is not None:
            self._guarded(self._buffer.end)

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

    def _stalled(self, seconds: float) -> None:
        """
        The peer took nothing of the body for a long time.
        """
        if self.id is not None:
            self._owner._engine.reset(self.id, ErrorCode.CANCEL)
        error = StreamError(
            f"the peer took nothing of stream {self.id} for {seconds:g} seconds", ErrorCode.CANCEL, Initiator.PEER
        )
        self._finish(ErrorCode.CANCEL, error, error)
        self._owner._flush()

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


def _asBytes(data: object) -> bytes:
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a body is made of bytes, not {type(data).__name__}")


def _endedLocally(code: int = ErrorCode.CANCEL) -> StreamAborted:
    return StreamAborted(f"the stream was closed here with {codeName(code)}", code, Initiator.LOCAL)
