"""
Uploads on their way into a site: stored for the resources that want them whole, and read by those that take what comes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, BinaryIO, Final, Protocol

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.client import ResponseDone
from zope.interface import implementer

from txh2session import BodyTooLong, InvalidState, Stream, StreamListener
from txh2session.web._channel import RequestChannel

_CHUNK = 64 * 1024


class Upload(Protocol):
    """
    A request's body, which can be read once, in one way.  A L{ServerStream<txh2session.ServerStream>} is one.
    """

    def __aiter__(self) -> AsyncIterator[bytes]:
        """
        Iterate over it in chunks, which are taken from the client only when they are asked for.  A body that was cut short
        raises an L{Ended<txh2session.Ended>}.
        """

    def read(self, limit: int | None = None) -> Deferred[bytes]:
        """
        Read it whole.

        @return: fires with it; fails with L{BodyTooLong<txh2session.BodyTooLong>} above C{limit} bytes, with an
            L{Ended<txh2session.Ended>} if it was cut short.
        """

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        Deliver it to a protocol, whose transport can pause and stop it.  C{connectionLost} comes with
        L{ResponseDone<twisted.web.client.ResponseDone>} after a whole one.
        """


_FIRST: Final = 100_000
"""How many bytes of an upload come before its request opens a file: as many as C{twisted.web} keeps in memory."""


class Spool(TwistedProtocol, StreamListener):
    """
    Stores an upload in its request, as C{twisted.web} does: a small one in memory, another in a file.

    Requests open the file when they are told a length, or that there is none.  A client that opens a hundred streams and
    sends nothing must not cost a hundred files, so they are told when much has come, or all.
    """

    def __init__(
        self, channel: RequestChannel, length: int | None, limit: int | None, whole: Callable[[int], object]
    ) -> None:
        """
        @param length: how many bytes the client has announced, if it has.
        @param limit: bytes; a longer upload is refused with 413.
        @param whole: called at the end with the number of bytes.
        """
        self._channel = channel
        self._length = length
        self._limit = limit
        self._whole = whole
        self._size = 0
        self._first: list[bytes] | None = []

    def start(self) -> None:
        """
        Begin.  The client is given as long between two of its packets as the site gives an HTTP/1.1 client.
        """
        channel = self._channel
        channel.spooled = True
        self._silence = channel.stream.addListener(self)
        channel.stream.setTimeout(channel.site.timeOut or 0)
        if not _storesOnly(type(channel.request)):
            self._store(self._length)
        channel.stream.deliverBody(self)

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        request = self._channel.request
        if request is None:
            return  # it was refused, or a resource that was asked early has finished it
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            self._refuse(http.REQUEST_ENTITY_TOO_LARGE)
        elif self._first is None:
            request.handleContentChunk(data)
        else:
            self._first.append(data)
            if self._size >= _FIRST:
                self._store(self._length)

    def _store(self, length: int | None) -> None:
        """
        Give the request what has come.
        """
        first, self._first = self._first, None
        request = self._channel.request
        if request is not None and first is not None:
            request.gotLength(length)
            for data in first:
                request.handleContentChunk(data)

    def timedOut(self, stream: Stream) -> None:
        """See L{StreamListener}."""
        self._refuse(http.REQUEST_TIMEOUT)

    def _refuse(self, code: int) -> None:
        """
        Answer, and have the client stop.
        """
        self._stopWatching()
        self._channel.refuse(code)
        self._channel.stream.close()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        self._stopWatching()
        if reason.check(ResponseDone) and self._channel.request is not None:
            self._store(self._size)
            self._whole(self._size)

    def _stopWatching(self) -> None:
        self._silence()
        self._channel.stream.setTimeout(0)


def _storesOnly(kind: Any) -> bool:
    """
    Whether a class of requests does with an upload what C{twisted.web}'s do, and not something of its own as it comes.
    """
    return kind.handleContentChunk is http.Request.handleContentChunk and (
        kind.gotLength in (http.Request.gotLength, server.Request.gotLength)
    )


class SpooledUpload:
    """
    An upload that is there already: one of HTTP/1.1, or one whose resource was found when it had come.
    """

    def __init__(self, content: BinaryIO, transport: ITransport) -> None:
        """
        @param content: the body, to be read from the start.
        @param transport: knows the addresses.
        """
        self._content = content
        self._transport = transport
        self._taken = False

    def _take(self) -> BinaryIO:
        if self._taken:
            raise InvalidState("the body is being read already")
        self._taken = True
        self._content.seek(0)
        return self._content

    def __aiter__(self) -> AsyncIterator[bytes]:
        """See L{Upload}."""
        return self._chunks(self._take())

    async def _chunks(self, content: BinaryIO) -> AsyncIterator[bytes]:
        while chunk := content.read(_CHUNK):
            yield chunk

    def read(self, limit: int | None = None) -> Deferred[bytes]:
        """See L{Upload}."""
        body = self._take().read(-1 if limit is None else limit + 1)
        if limit is not None and len(body) > limit:
            return fail(BodyTooLong("the body is longer than was allowed"))
        return succeed(body)

    def deliverBody(self, protocol: IProtocol) -> None:
        """See L{Upload}."""
        _Delivery(self._take(), protocol, self._transport).start()


@implementer(IPushProducer)
class _Delivery:
    """
    Delivers a stored upload, and is the transport of the protocol it goes to.
    """

    disconnecting = False

    def __init__(self, content: BinaryIO, protocol: IProtocol, transport: ITransport) -> None:
        self._content = content
        self._protocol = protocol
        self._transport = transport
        self._paused = False
        self._delivering = False
        self._done = False

    def start(self) -> None:
        """
        Begin, unless the protocol pauses it.
        """
        self._protocol.makeConnection(self)  # type: ignore[arg-type]
        self._deliver()

    def _deliver(self) -> None:
        if self._delivering:
            return
        self._delivering = True
        try:
            while not self._paused and not self._done:
                chunk = self._content.read(_CHUNK)
                if chunk:
                    self._protocol.dataReceived(chunk)
                else:
                    self._end(ResponseDone())
        finally:
            self._delivering = False

    def _end(self, reason: Exception) -> None:
        if not self._done:
            self._done = self.disconnecting = True
            self._protocol.connectionLost(Failure(reason))

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = False
        self._deliver()

    def stopProducing(self) -> None:
        """See L{IPushProducer}.  The request is cut off, as one that is still being received is."""
        self.disconnecting = True
        self._end(ConnectionDone())
        self._transport.loseConnection()

    def loseConnection(self) -> None:
        """The same as C{stopProducing}."""
        self.stopProducing()

    def getPeer(self) -> IAddress:
        """See L{ITransport}."""
        return self._transport.getPeer()

    def getHost(self) -> IAddress:
        """See L{ITransport}."""
        return self._transport.getHost()
