"""
L{WebSocket}: messages in a stream, whoever asked for it.  The handshake is in L{txh2session.websocket}, what the bytes mean
in L{Framing<txh2session.websocket._framing.Framing>}; here are back-pressure, the ways to take messages, and the end.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session._questions import Pings
from txh2session._timer import DelayedCall
from txh2session._transport import Inlet, StreamEnding
from txh2session._waiters import Waiters
from txh2session.client import ClientStream
from txh2session.errors import Ended, ErrorCode, HTTP2Error, Initiator, InvalidState, PingCancelled
from txh2session.settings import checkSeconds
from txh2session.stream import Stream
from txh2session.websocket._deflate import Agreed
from txh2session.websocket._framing import Broken, Came, CloseCame, CloseCode, Framing, PingCame, PongCame, checkedClose

_log = Logger()

_PINGS: Final = 10
"""Pings of ours without an answer, as C{Limits.outstandingPings}."""
_LONGEST_PING: Final = 125
_ORDERLY: Final = frozenset({CloseCode.NORMAL, CloseCode.GOING_AWAY, CloseCode.NO_STATUS})


class WebSocketClosed(HTTP2Error):
    """
    A WebSocket is closed.

    @ivar code: a L{CloseCode}, or the number itself where it has no name: the peer's, if both sides closed; what this side
        closed with when the peer broke a rule; C{CloseCode.ABNORMAL} (1006) if the stream ended in any other way.
    @ivar reason: the text that came with it.
    @ivar initiator: who brought it to its end.
    @ivar clean: whether both sides closed it, and this side began, or the peer with 1000, 1001 or no code.
    """

    def __init__(
        self, code: CloseCode | int, reason: str, initiator: Initiator, clean: bool, cause: BaseException | None = None
    ) -> None:
        name = f"{code.name} ({int(code)})" if isinstance(code, CloseCode) else str(code)
        super().__init__(f"the WebSocket was closed with {name}{': ' if reason else ''}{reason}")
        self.code = code
        self.reason = reason
        self.initiator = initiator
        self.clean = clean
        self.__cause__ = cause


class WebSocketListener:
    """
    What may happen to a WebSocket, for those who prefer to be called: subclass it, override what is of interest, and give
    an instance to L{WebSocket.deliverMessages}.
    """

    def messageReceived(self, webSocket: WebSocket, message: str | bytes) -> None:
        """
        A message came, a string for text.  An exception is logged and closes the WebSocket with 1011.
        """

    def pongReceived(self, webSocket: WebSocket, payload: bytes) -> None:
        """
        A pong came that answers no L{WebSocket.ping}.
        """

    def webSocketClosed(self, webSocket: WebSocket, error: WebSocketClosed | None) -> None:
        """
        It is closed, and all that had come before was delivered: the last call.

        @param error: L{None} if it was closed in order, see L{WebSocketClosed.clean}.
        """


@implementer(IPushProducer)
class WebSocket:
    """
    One end of a WebSocket.  L{acceptWebSocket} and L{openWebSocket} make them.

    Take messages in one way of: L{receive}, C{async for}, L{deliverMessages}, L{discard}.  One message is read ahead, so
    that pings are answered and the end is seen while nobody asks; for what is behind it, the peer gets no credit before
    the message is taken.

    Cancelling any of the Deferreds only stops the waiting.

    @ivar stream: the stream it is in.
    @ivar subprotocol: what was agreed on, L{None} for none.
    @ivar compressed: whether messages may be compressed.
    @ivar closed: whether it is over.
    @ivar closeCode: what it was closed with, see L{WebSocketClosed}; L{None} before it is closed.
    @ivar closeReason: the text that came with it.
    """

    def __init__(
        self,
        stream: Stream,
        subprotocol: str | None,
        agreed: Agreed | None,
        threshold: int,
        maxMessageSize: int,
        closeTimeout: float,
    ) -> None:
        self.stream = stream
        self.subprotocol = subprotocol
        self.compressed = agreed is not None
        self.closed = False
        self.closeCode: CloseCode | int | None = None
        self.closeReason = ""
        self._framing = Framing(isinstance(stream, ClientStream), maxMessageSize, agreed, threshold)
        self._clock = stream.session.clock
        self._closeTimeout = closeTimeout
        self._timer: DelayedCall | None = None
        # Who takes messages.
        self._wanted: Deferred[str | bytes] | None = None
        self._listener: WebSocketListener | None = None
        self._message: str | bytes | None = None
        self._paused = False
        self._streamPaused = False
        self._working = False
        # How it ends.
        self._sentClose = False
        self._closing: Initiator | None = None
        self._peersClose: CloseCame | None = None
        self._broken: Broken | None = None
        self._aborted = False
        self._bodyEnded = False
        self._error: WebSocketClosed | None = None
        self._endTold = False
        # Who waits.
        self._pings = Pings(_PINGS)
        self._pong: bytes | None = None
        self._pongWaits = False
        self._room: Waiters[None] | None = None
        self._closedWaiters: Waiters[None] = Waiters()
        stream.addListener(StreamEnding(self._streamOver))
        stream.deliverBody(Inlet(self._received, self._bodyOver))
        if stream.closed and not self.closed:
            self._streamOver(None)  # it ended before anybody listened

    def __repr__(self) -> str:
        state = "open" if self._closing is None and not self.closed else "closed" if self.closed else "closing"
        return f"<WebSocket on {self.stream!r}: {state}>"

    # -----------------------------------------------------------------------------------------------------------------
    # Sending

    def send(self, message: str | bytes, final: bool = True) -> Deferred[None]:
        """
        Send a message and learn when there is room for more.

        @param message: a string is sent as text, bytes as binary.
        @param final: C{False} for a part of a message, of which the next call sends the next part.

        @return: fires with L{None} at once while little is queued, else when the queue has drained below
            C{Limits.sendLowWater}; fails with L{WebSocketClosed} when the peer or the network ends it, or has ended it.

        @raise InvalidState: after L{close}.
        @raise TypeError: for anything else, or for a part of another kind than the one before.
        @raise ValueError: for a string with surrogates, which UTF-8 has no form for.
        """
        if isinstance(message, (bytearray, memoryview)):
            message = bytes(message)
        elif not isinstance(message, (str, bytes)):
            raise TypeError(f"a message is a string or bytes, not {type(message).__name__}")
        if self._error is not None:
            return fail(self._error)
        if not self._mayWrite("send"):
            return self._whenRoom()
        sending = self.stream.send(self._framing.message(message, final))
        if sending.called and not isinstance(sending.result, Failure):
            return sending
        sending.addCallbacks(self._roomAgain, _ignore)
        return self._whenRoom() if self._error is None else fail(self._error)

    def _mayWrite(self, what: str) -> bool:
        """
        @return: whether frames may still be sent; C{False} if the peer or the network has seen to that.

        @raise InvalidState: if this side has closed.
        """
        if self._sentClose and self._closing is Initiator.LOCAL:
            raise InvalidState(f"{what}() after close()")
        return not (self._sentClose or self.stream.closed)

    def _whenRoom(self) -> Deferred[None]:
        if self._room is None:
            self._room = Waiters()
        return self._room.when()

    def _roomAgain(self, result: None) -> None:
        room, self._room = self._room, None
        if room is not None:
            room.fire(None)

    def ping(self, timeout: float | None = None) -> Deferred[float]:
        """
        Send a ping (RFC 6455 section 5.5.2).

        @param timeout: seconds to wait for the answer; for ever if not given.

        @return: fires with the seconds until the answer to it, or to a later one; fails with L{PingCancelled
            <txh2session.PingCancelled>} when the WebSocket ends or the time passes before it, or when ten wait already.

        @raise InvalidState: after L{close}.
        @raise InvalidSetting: for a timeout that is not a number of seconds.
        """
        if timeout is not None:
            timeout = checkSeconds("timeout", timeout)
        if self.closed or not self._mayWrite("ping"):
            return fail(PingCancelled("the WebSocket is closed"))
        payload, waiting = self._pings.ask(None, self._clock, timeout)
        if payload:
            self.stream.write(self._framing.ping(payload))
        return waiting

    def sendPing(self, payload: bytes = b"") -> None:
        """
        Send a ping and wait for nothing: the answer comes to L{WebSocketListener.pongReceived}.  Does nothing once the peer
        or the network has ended the WebSocket.

        @param payload: at most 125 bytes.

        @raise ValueError: if it is longer.
        @raise InvalidState: after L{close}.
        """
        if len(payload) > _LONGEST_PING:
            raise ValueError(f"a ping carries at most {_LONGEST_PING} bytes")
        if not self.closed and self._mayWrite("sendPing"):
            self.stream.write(self._framing.ping(payload))

    def _answerPing(self, payload: bytes) -> None:
        """
        Send a pong, or, while the peer does not take what it has been sent, keep the last ping to answer when it does (RFC
        6455 section 5.5.3).
        """
        if self._sentClose or self.stream.closed:
            return
        if self._pongWaits:
            self._pong = payload
            return
        sending = self.stream.send(self._framing.pong(payload))
        self._pongWaits = not sending.called
        sending.addCallbacks(self._pongSent, _ignore)

    def _pongSent(self, result: None) -> None:
        self._pongWaits = False
        payload, self._pong = self._pong, None
        if payload is not None:
            self._answerPing(payload)

    # -----------------------------------------------------------------------------------------------------------------
    # Receiving

    def receive(self) -> Deferred[str | bytes]:
        """
        Take the next message.

        @return: fires with it, a string for text; fails with L{WebSocketClosed} at the end, also at an orderly one.

        @raise InvalidState: while the message before is awaited, and if messages are taken in another way.
        """
        self._checkUntaken()
        message, self._message = self._message, None
        if message is not None:
            self._work()
            return succeed(message)
        if self._endTold:
            assert self._error is not None
            return fail(self._error)
        wanted = self._wanted = Deferred(self._unwanted)
        self._work()
        return wanted

    def _unwanted(self, wanted: Deferred[str | bytes]) -> None:
        if self._wanted is wanted:
            self._wanted = None

    def __aiter__(self) -> WebSocket:
        """
        Iterate over the messages: C{async for message in webSocket}.  The loop ends where the WebSocket was closed in
        order, and raises L{WebSocketClosed} where it was not, see L{WebSocketClosed.clean}.
        """
        return self

    async def __anext__(self) -> str | bytes:
        """
        Wait for the next message.

        @raise WebSocketClosed: where there are no more, and that is no orderly end.
        """
        try:
            return await self.receive()
        except WebSocketClosed as closed:
            if closed.clean:
                raise StopAsyncIteration from None
            raise

    def deliverMessages(self, listener: WebSocketListener) -> None:
        """
        Deliver messages, and the end, to a listener as they come.  L{pauseProducing} and L{resumeProducing} throttle them.

        @raise InvalidState: if messages are taken in another way.
        """
        self._checkUntaken()
        self._listener = listener
        message, self._message = self._message, None
        if message is not None:
            self._deliver(listener, message)
        if self._endTold:
            self._tellClosed(listener)
        self._work()

    def discard(self) -> None:
        """
        Throw messages away as they come: for those who only send.

        @raise InvalidState: if messages are taken in another way.
        """
        self.deliverMessages(WebSocketListener())

    def _checkUntaken(self) -> None:
        if self._wanted is not None:
            raise InvalidState("the message before this one is still awaited")
        if self._listener is not None:
            raise InvalidState("messages are delivered to a listener, or discarded")

    def pauseProducing(self) -> None:
        """
        Stop taking messages: at most one stream window more will arrive.  See L{IPushProducer}.
        """
        if self._closing is None:
            self._paused = True
            self._work()

    def resumeProducing(self) -> None:
        """
        Go on taking messages.  See L{IPushProducer}.
        """
        self._paused = False
        self._work()

    def stopProducing(self) -> None:
        """
        Give the WebSocket up: L{abort}.  See L{IPushProducer}.
        """
        self.abort()

    def _received(self, data: bytes) -> None:
        self._framing.received(data)
        self._work()

    def _bodyOver(self, error: Exception | None) -> None:
        self._bodyEnded = True
        self._work()

    def _takes(self) -> bool:
        """
        Whether what comes next can be taken in; whatever comes once this is closing is dropped.
        """
        return self._closing is not None or (self._message is None and not self._paused)

    def _work(self) -> None:
        """
        Take in what has come as far as somebody takes it, and let the stream know.
        """
        if self._working:
            return  # the loop that is running goes on
        self._working = True
        came: Came | None = None
        try:
            while self._takes():
                came = self._framing.next()
                if came is None:
                    break
                self._handle(came)
        finally:
            self._working = False
        if not self._takes():
            if not self._streamPaused:
                self._streamPaused = True
                self.stream.pauseProducing()
            return
        if self._streamPaused:
            self._streamPaused = False
            self.stream.resumeProducing()
        if self._bodyEnded and self._takes():
            self._nothingMore()

    def _handle(self, came: Came) -> None:
        if isinstance(came, (str, bytes)):
            self._messageCame(came)
        elif isinstance(came, PingCame):
            self._answerPing(came.payload)
        elif isinstance(came, PongCame):
            known = self._pings.answeredUpTo(came.payload, self._clock.seconds())
            if not known and self._listener is not None:
                self._guarded(lambda listener: listener.pongReceived(self, came.payload))
        elif isinstance(came, CloseCame):
            self._closeCame(came)
        else:
            self._brokenBy(came)

    def _messageCame(self, message: str | bytes) -> None:
        if self._closing is not None:
            return
        if self._listener is not None:
            self._deliver(self._listener, message)
            return
        wanted, self._wanted = self._wanted, None
        if wanted is None:
            self._message = message
        else:
            wanted.callback(message)

    def _deliver(self, listener: WebSocketListener, message: str | bytes) -> None:
        try:
            listener.messageReceived(self, message)
        except Exception:
            _log.failure("messageReceived failed for {webSocket!r}", webSocket=self)
            self.close(CloseCode.INTERNAL_ERROR).addErrback(_ignore)

    def _guarded(self, call: Callable[[WebSocketListener], object]) -> None:
        """
        Call the listener, whose failure changes nothing.
        """
        assert self._listener is not None
        try:
            call(self._listener)
        except Exception:
            _log.failure("a listener failed for {webSocket!r}", webSocket=self)

    # -----------------------------------------------------------------------------------------------------------------
    # Ending

    def whenClosed(self) -> Deferred[None]:
        """
        Wait for the end.

        @return: fires with L{None} when it was closed in order, see L{WebSocketClosed.clean}; fails with L{WebSocketClosed}
            when it ended otherwise.
        """
        return self._closedWaiters.when()

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> Deferred[None]:
        """
        Close it: send what was sent before and then a Close, and wait for the peer's (RFC 6455 section 7).  What the peer
        sends until then is thrown away.  If C{closeTimeout} passes without an answer, and without anything that the peer
        takes, the stream is reset.  Does nothing the second time.

        @param code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
        @param reason: at most 123 bytes in UTF-8.

        @return: as L{whenClosed}.

        @raise TypeError: for a code that is no integer, or a reason that is no string.
        @raise ValueError: for one that cannot be sent.
        """
        code = checkedClose(code, reason)
        if not (self._sentClose or self.stream.closed):
            self._closing = Initiator.LOCAL
            self._sentClose = True
            self._message = None
            queued = self.stream.bufferSize
            self.stream.write(self._framing.close(code, reason))
            self._watch(queued)
            self._work()
        return self.whenClosed()

    def abort(self) -> None:
        """
        End it at once: the stream is reset with CANCEL, and what was not sent is dropped.  The peer sees 1006.
        """
        if not self.stream.closed:
            self._aborted = True
            self._closing = self._closing or Initiator.LOCAL
            self._message = None
            self.stream.close(ErrorCode.CANCEL)

    def _closeCame(self, came: CloseCame) -> None:
        self._peersClose = came
        if self._sentClose:
            self._endHalf(b"")
        else:
            self._closing = Initiator.PEER
            self._sentClose = True
            self._endHalf(self._framing.close(came.code))

    def _brokenBy(self, broken: Broken) -> None:
        """
        The peer broke a rule: say which, and do not wait for an answer (RFC 6455 section 7.1.7).
        """
        self._broken = broken
        self._closing = Initiator.PEER
        if self._sentClose:
            self.stream.close(ErrorCode.CANCEL)
        else:
            self._sentClose = True
            self._endHalf(self._framing.close(broken.code, broken.reason))

    def _endHalf(self, last: bytes) -> None:
        """
        End this side's half of the stream.  The peer's has to follow.
        """
        if not self.stream.closed:
            queued = self.stream.bufferSize
            self.stream.end(last)
            self._watch(queued)

    def _watch(self, queued: int) -> None:
        """
        Give the peer the time that it may take to end.

        @param queued: how many bytes waited to be sent, before what this side ends with.
        """
        self._stopWatching()
        if self._closeTimeout and not self.stream.closed:
            self._timer = self._clock.callLater(self._closeTimeout, lambda: self._late(queued))

    def _stopWatching(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _late(self, queued: int) -> None:
        self._timer = None
        left = self.stream.bufferSize
        if left < queued:
            self._watch(left)  # it still takes what it was sent
        else:
            self.stream.close(ErrorCode.CANCEL)

    def _nothingMore(self) -> None:
        """
        All that the peer sent has been taken in, and no more will come.
        """
        if not self.closed:
            if self._peersClose is None:
                self._closing = self._closing or Initiator.PEER
                self.stream.close(ErrorCode.CANCEL)  # half a stream without a Close is no end
            return
        if self._endTold:
            return
        self._endTold = True
        wanted, self._wanted = self._wanted, None
        if wanted is not None:
            wanted.errback(Failure(self._error))
        if self._listener is not None:
            self._tellClosed(self._listener)

    def _tellClosed(self, listener: WebSocketListener) -> None:
        error = self._error
        assert error is not None
        self._guarded(lambda listener: listener.webSocketClosed(self, None if error.clean else error))

    def _streamOver(self, error: Exception | None) -> None:
        """
        The stream is over, and with it the WebSocket.
        """
        if self.closed:
            return
        self._stopWatching()
        closed = self._error = self._outcome(error)
        self.closed = True
        self.closeCode = closed.code
        self.closeReason = closed.reason
        self._pings.cancel(closed)
        room, self._room = self._room, None
        if room is not None:
            room.fail(closed)
        if closed.clean:
            self._closedWaiters.fire(None)
        else:
            self._closedWaiters.fail(closed)
        self._work()

    def _outcome(self, error: Exception | None) -> WebSocketClosed:
        closing = self._closing or Initiator.PEER
        peers = self._peersClose
        if peers is not None:
            clean = closing is Initiator.LOCAL or peers.code in _ORDERLY
            return WebSocketClosed(peers.code, peers.reason, closing, clean)
        if self._broken is not None:
            return WebSocketClosed(self._broken.code, self._broken.reason, Initiator.PEER, False, error)
        if isinstance(error, Ended):
            return WebSocketClosed(CloseCode.ABNORMAL, str(error), error.initiator, False, error)
        if self._aborted or self.stream.destroyed or error is not None:
            return WebSocketClosed(CloseCode.ABNORMAL, str(error or "it was aborted"), Initiator.LOCAL, False, error)
        reason = "the stream ended without a closing handshake"
        return WebSocketClosed(CloseCode.ABNORMAL, reason, Initiator.PEER, False)


def _ignore(result: object) -> None:
    """
    Leave what a stream says of its end to C{streamClosed}, which follows.
    """
