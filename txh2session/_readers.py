"""
The ways to read a body, each a L{BodyReader<txh2session._inbound.BodyReader>}: into a protocol, whole, chunk by chunk, or
not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, ITransport
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from zope.interface import implementer

from txh2session.errors import BodyTooLong, InvalidState


class BodySource(Protocol):
    """
    What a reader may ask of the stream it reads.
    """

    def pauseProducing(self) -> None:
        """
        Stop delivering.
        """

    def resumeProducing(self) -> None:
        """
        Go on delivering.
        """

    def stopProducing(self) -> None:
        """
        Give the stream up.
        """

    def getPeer(self) -> IAddress:
        """
        The peer's address.
        """

    def getHost(self) -> IAddress:
        """
        This side's address.
        """


@implementer(IPushProducer, ITransport)
class BodyTransport:
    """
    The transport of a protocol that receives a body: it can pause and give up, and has nothing to write to.
    """

    def __init__(self, source: BodySource) -> None:
        self._source = source
        self.disconnecting = False

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._source.pauseProducing()

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """See L{IPushProducer}."""
        self.disconnecting = True
        self._source.stopProducing()

    def loseConnection(self) -> None:
        """Give the stream up."""
        self.stopProducing()

    def abortConnection(self) -> None:
        """Give the stream up; C{twisted.web.client.readBody} does so when it is cancelled."""
        self.stopProducing()

    def write(self, data: bytes) -> None:
        """A body goes one way: write to the stream."""
        raise TypeError("a body that is being received cannot be written to; write to the stream")

    def writeSequence(self, data: object) -> None:
        """A body goes one way: write to the stream."""
        raise TypeError("a body that is being received cannot be written to; write to the stream")

    def getPeer(self) -> IAddress:
        """See L{ITransport}."""
        return self._source.getPeer()

    def getHost(self) -> IAddress:
        """See L{ITransport}."""
        return self._source.getHost()


class ProtocolReader:
    """
    Delivers to an L{IProtocol}.
    """

    def __init__(self, protocol: IProtocol, source: BodySource) -> None:
        self._protocol = protocol
        protocol.makeConnection(BodyTransport(source))

    def bodyReceived(self, data: bytes) -> None:
        """See L{BodyReader}."""
        self._protocol.dataReceived(data)

    def bodyEnded(self, error: Exception | None) -> None:
        """See L{BodyReader}."""
        self._protocol.connectionLost(Failure(ResponseDone() if error is None else error))


class BodyCollector:
    """
    Collects a body and fires a Deferred with it.

    @ivar result: fires with the body.
    """

    def __init__(self, limit: int | None, giveUp: Callable[[], object]) -> None:
        self._chunks: list[bytes] = []
        self._left = limit
        self._giveUp = giveUp
        self._done = False
        self.result: Deferred[bytes] = Deferred(self._cancelled)

    def _cancelled(self, result: Deferred[bytes]) -> None:
        self._done = True
        self._giveUp()

    def bodyReceived(self, data: bytes) -> None:
        """See L{BodyReader}."""
        if self._done:
            return
        if self._left is not None:
            self._left -= len(data)
            if self._left < 0:
                self._done = True
                self._chunks.clear()
                self._giveUp()
                self.result.errback(Failure(BodyTooLong("the body is longer than was allowed")))
                return
        self._chunks.append(data)

    def bodyEnded(self, error: Exception | None) -> None:
        """See L{BodyReader}."""
        if self._done:
            return
        self._done = True
        if error is None:
            self.result.callback(b"".join(self._chunks))
        else:
            self.result.errback(Failure(error))


class BodyIterator:
    """
    An asynchronous iterator over the chunks of a body, which asks for the next only when its user does.

    @ivar delivered: how many chunks it has given.
    """

    def __init__(self, source: BodySource, giveUp: Callable[[], object]) -> None:
        self._source = source
        self._giveUp = giveUp
        self._waiting: Deferred[bytes | None] | None = None
        self._unasked: list[bytes] = []
        self._ended = False
        self._error: Exception | None = None
        self.delivered = 0

    @property
    def asked(self) -> bool:
        """
        Whether somebody waits for the next chunk now; a loop that was left never asks again.
        """
        return self._waiting is not None

    def start(self) -> None:
        """
        Take nothing before the first question.
        """
        self._source.pauseProducing()

    def bodyReceived(self, data: bytes) -> None:
        """See L{BodyReader}."""
        self._source.pauseProducing()
        waiting, self._waiting = self._waiting, None
        if waiting is None:
            self._unasked.append(data)  # somebody else has resumed the stream: one chunk comes for each time
            return
        self.delivered += 1
        waiting.callback(data)

    def bodyEnded(self, error: Exception | None) -> None:
        """See L{BodyReader}."""
        self._ended = True
        self._error = error
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(None)

    def __aiter__(self) -> BodyIterator:
        return self

    def _cancelled(self, waiting: Deferred[bytes | None]) -> None:
        self._waiting = None
        self._giveUp()

    async def __anext__(self) -> bytes:
        """
        Wait for the next chunk.

        @raise StreamError: where the body was cut short.
        """
        if self._waiting is not None:
            raise InvalidState("the chunk before this one is still awaited")
        if self._unasked:
            self.delivered += 1
            return self._unasked.pop(0)
        if not self._ended:
            waiting = self._waiting = Deferred(self._cancelled)
            self._source.resumeProducing()
            data = await waiting
            if data is not None:
                return data
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration


class BodyDiscarder:
    """
    Throws a body away.
    """

    def bodyReceived(self, data: bytes) -> None:
        """See L{BodyReader}."""

    def bodyEnded(self, error: Exception | None) -> None:
        """See L{BodyReader}."""
