"""
L{Stream}: one request and its answer, as an application holds it.

A stream is two halves that end on their own.  What it sends goes to the engine at once and waits there for windows; what
arrives waits in a L{ReceiveBuffer<txh2session._inbound.ReceiveBuffer>} until somebody reads it, and the peer gets credit
only then.  Its life is in L{StreamLife<txh2session._streamlife.StreamLife>}; here are the verbs.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IConsumer, IProducer, IProtocol, IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

from txh2session._inbound import BodyReader
from txh2session._producers import ProducerFeed
from txh2session._readers import BodyCollector, BodyDiscarder, BodyIterator, ProtocolReader
from txh2session._states import Receiving, Sending, nextSending
from txh2session._streamlife import StreamLife, endedLocally
from txh2session._waiters import Waiters
from txh2session.constants import FrameType
from txh2session.errors import ErrorCode, Initiator, InvalidHeader, InvalidState, StreamError, checkedCode
from txh2session.headers import Headers, HeadersLike, trailerHeaders

_log = Logger()


@implementer(IConsumer, IPushProducer)
class Stream(StreamLife):
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
            return fail(self._cut or endedLocally())
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
        @raise InvalidHeader: for trailers that may not be sent, and for any in a tunnel; nothing has been sent then.
        """
        if trailers is not None and self._isTunnel:
            raise InvalidHeader("a tunnel has no trailers (RFC 9113 section 8.5)")
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

    @property
    def _isTunnel(self) -> bool:
        """
        Whether nothing but DATA may be sent: a CONNECT that this side has not refused.
        """
        raise AssertionError("a subclass's to define")

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
        self._checkUnread()
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
        self._checkUnread()
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

    def _checkUnread(self) -> None:
        if self._buffer is not None and self._buffer.reader is not None:
            raise InvalidState("the body is being read already")

    def _attach(self, reader: BodyReader) -> None:
        self._checkUnread()
        buffer = self._buffer or self._makeBuffer()
        self._atItsCost(lambda: buffer.attach(reader))
        self._owner._flush()

    def pauseProducing(self) -> None:
        """
        Stop the delivery of the peer's body: at most one stream window more will arrive.  See L{IPushProducer}.
        """
        (self._buffer or self._makeBuffer()).pause()

    def resumeProducing(self) -> None:
        """
        Go on with the delivery of the peer's body.  See L{IPushProducer}.
        """
        self._atItsCost((self._buffer or self._makeBuffer()).resume)
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
        if code is None:
            code = ErrorCode.NO_ERROR if error is None else ErrorCode.INTERNAL_ERROR
        self._destroy(error, code)


def _asBytes(data: object) -> bytes:
    if isinstance(data, (bytearray, memoryview)):
        return bytes(data)
    raise TypeError(f"a body is made of bytes, not {type(data).__name__}")
