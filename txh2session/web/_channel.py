"""
L{RequestChannel}: one HTTP/2 stream as the channel that a C{twisted.web} request writes its answer to.

A request knows its channel by a handful of methods, which C{twisted.web.http.HTTPChannel} has for HTTP/1.1.  Here they are
for a stream.  The channel is the request's C{transport} too, and stays so after the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, cast

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IAddress,
    IConsumer,
    IProducer,
    IPullProducer,
    IPushProducer,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.http_headers import Headers as WebHeaders
from zope.interface import implementer

from txh2session import ErrorCode, InvalidHeader, InvalidState, ServerStream, Stream, StreamListener

if TYPE_CHECKING:
    from txh2session._timer import DelayedCall
    from txh2session.headers import HeadersLike

_log = Logger()

_HOP_BY_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings"}
)
"""Fields about an HTTP/1.1 connection, which resources set with reason there and which HTTP/2 forbids (RFC 9113 section
8.2.2)."""


_BODILESS: Final = frozenset({http.NO_CONTENT, http.RESET_CONTENT, http.NOT_MODIFIED})
"""Answers without a body."""


@implementer(ITransport, IConsumer, IPushProducer)
class RequestChannel(StreamListener):
    """
    What one request writes to.

    @ivar stream: the stream.
    @ivar site: the site, where C{twisted.web.server.Request} looks for it.
    @ivar factory: the same, where a request that has finished looks for the access log.
    @ivar request: the request, until it has finished or its stream has ended.
    @ivar trailers: what follows the body when the request finishes.
    @ivar spooled: whether the upload is stored for the request, rather than left to the resource.
    @ivar timeOut: what C{setTimeout} was given last.
    """

    request: http.Request | None = None
    trailers: HeadersLike | None = None
    spooled = False
    timeOut: float | None = None
    _begun = False
    _mute = False
    _writes = 0
    _pull: _Pull | None = None
    _unheld: IProducer | None = None

    def __init__(self, stream: ServerStream, site: server.Site) -> None:
        self.stream = stream
        self.site: Any = site  # or what stands in for it
        self.factory = site
        self._leave: Callable[[], None] | None = stream.addListener(self)

    @property
    def transport(self) -> RequestChannel:
        """
        What a request keeps as its transport.
        """
        return self

    # -----------------------------------------------------------------------------------------------------------------
    # What a request asks of its channel

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: WebHeaders) -> None:
        """
        Send the answer's headers.  What HTTP/2 cannot say (the reason, fields about the connection) is left out.  Headers
        that may not be sent at all are logged, and a 500 is sent instead.
        """
        stream = self.stream
        if stream.closed or stream.headersSent:
            self._adopt()
            return
        self._begun = True
        fields = [(b":status", code)]
        for name, values in headers.getAllRawHeaders():
            if name.lower() not in _HOP_BY_HOP:
                for value in values:
                    fields.append((name, value))
        try:
            stream.respond(fields)
        except InvalidHeader:
            _log.failure("the answer to {request!r} has headers that HTTP/2 cannot send", request=self.request)
            self._mute = True
            if self.request is not None:
                self.request.setResponseCode(http.INTERNAL_SERVER_ERROR)
            stream.respond({":status": http.INTERNAL_SERVER_ERROR}, endStream=True)

    def write(self, data: bytes) -> None:
        """
        Send bytes of the answer's body.

        @raise RuntimeError: before there are headers: there is no connection here to write to by oneself.
        """
        if self._mute:
            return
        if not self.stream.headersSent and not self.stream.closed:
            raise RuntimeError("an HTTP/2 request has no connection of its own to write to; use request.write")
        self._writes += 1
        self.stream.write(data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """
        Send bytes of the answer's body, in pieces; see L{write}.
        """
        self.write(b"".join(data))

    def requestDone(self, request: http.Request) -> None:
        """
        End the answer: the request has finished.
        """
        self.request = None
        stream = self.stream
        if self._mute or stream.closed:
            return
        try:
            stream.end(trailers=self.trailers)
        except InvalidState:
            if self._begun:
                raise
            # The resource has answered on the stream itself, which it may.
        except InvalidHeader as error:
            _log.failure("the trailers of {stream!r} may not be sent", stream=stream)
            stream.destroy(error)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See L{IConsumer}.  The producer is held to what the stream can take.
        """
        if not streaming:
            producer = self._pull = _Pull(self, cast(IPullProducer, producer))
        if self._bodiless():
            # The stream would tell it to stop when the headers are sent; but it is what finishes the request.
            self._unheld = producer
            if self._pull is not None:
                self._pull.askSoon()
        else:
            self.stream.registerProducer(producer, streaming)

    def _bodiless(self) -> bool:
        """
        Whether nothing of a body will be sent, as far as one can tell.
        """
        request, stream = self.request, self.stream
        if request is None or not (self._begun or not stream.closed):
            return False
        return stream.headRequest or request.code in _BODILESS or stream.closed

    def unregisterProducer(self) -> None:
        """
        See L{IConsumer}.
        """
        pull, self._pull = self._pull, None
        if pull is not None:
            pull.stop()
        self._unheld = None
        self.stream.unregisterProducer()

    def loseConnection(self) -> None:
        """
        Cut an answer that has not finished, so that the client cannot take it for whole.  The connection lives on.
        """
        if self.request is not None:
            self.stream.close(ErrorCode.INTERNAL_ERROR)

    def abortConnection(self) -> None:
        """
        The same as L{loseConnection}.
        """
        self.loseConnection()

    def setTimeout(self, period: float | None) -> float | None:
        """
        Cut the answer when nothing was sent or received for so many seconds, as
        L{TimeoutMixin<twisted.protocols.policies.TimeoutMixin>} does with a connection; L{None} is for ever, which it is at
        first.

        @return: what it was before.
        """
        before, self.timeOut = self.timeOut, period
        self.stream.setTimeout(period or 0)
        return before

    def resetTimeout(self) -> None:
        """
        Begin that time again.
        """
        self.stream.setTimeout(self.timeOut or 0)

    def _respondToBadRequestAndDisconnect(self) -> None:
        """
        Refuse a form that cannot be read: C{http.Request} calls its channel so.
        """
        self.refuse(http.BAD_REQUEST)

    def refuse(self, code: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """
        Finish the request with an error, without asking a resource.
        """
        request = self.request
        if request is None:
            return
        request.setResponseCode(code)
        request.setHeader(b"server", server.version)
        request.setHeader(b"date", http.datetimeToString())
        request.setHeader(b"content-type", b"text/plain")
        for name, value in headers:
            request.setHeader(name, value)
        body = b"%d %b\n" % (code, request.code_message)
        request.setHeader(b"content-length", b"%d" % len(body))
        request.write(body)
        request.finish()

    def broke(self) -> None:
        """
        End the request after an exception that nobody else has answered: with a 500, or with a reset where an answer had
        begun.  To be called while the exception is being handled.
        """
        _log.failure("{request!r} failed", request=self.request)
        if self.request is None:
            return
        if self.stream.headersSent:
            self.loseConnection()
        else:
            self.refuse(http.INTERNAL_SERVER_ERROR)

    # -----------------------------------------------------------------------------------------------------------------
    # What it asks of its transport

    def getPeer(self) -> IAddress:
        """See L{ITransport}."""
        return self.stream.getPeer()

    def getHost(self) -> IAddress:
        """See L{ITransport}."""
        return self.stream.getHost()

    def isSecure(self) -> bool:
        """
        Whether there is TLS below.
        """
        return bool(self.stream.session.encrypted)

    def getPeerCertificate(self) -> Any:
        """
        The client's certificate, an L{OpenSSL.crypto.X509}; L{None} without one.
        """
        return self.stream.session.peerCertificate

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """
        What ALPN chose; L{None} without TLS.
        """
        return b"h2" if self.isSecure() else None

    @property
    def disconnecting(self) -> bool:
        """
        Whether nothing more can be written.
        """
        return self.stream.closed

    def pauseProducing(self) -> None:
        """
        Stop the delivery of the upload.
        """
        self.stream.pauseProducing()

    def resumeProducing(self) -> None:
        """
        Go on with it.
        """
        self.stream.resumeProducing()

    def stopProducing(self) -> None:
        """
        Cut the answer; see L{loseConnection}.
        """
        self.loseConnection()

    def _adopt(self) -> None:
        """
        Have the access log show an answer that was sent on the stream itself.
        """
        sent = self.stream.sentHeaders
        if self.request is not None and sent is not None:
            self.request.setResponseCode(sent.status or http.OK)
            self.request.sentLength = self.stream.statistics.bytesWritten

    # -----------------------------------------------------------------------------------------------------------------
    # What the stream tells

    def timedOut(self, stream: Stream) -> None:
        """
        End the time that C{setTimeout} gave.
        """
        if self.timeOut:
            self.loseConnection()

    def streamClosed(self, stream: Stream, error: Exception | None) -> None:
        """
        Tell a request that has not finished.  If its answer is whole all the same, because it has no body or was sent on
        the stream itself, it finishes by itself or soon.  Else its connection is lost, as far as it can know.
        """
        leave, self._leave = self._leave, None
        if leave is not None:
            leave()  # so that the two do not hold one another
        request = self.request
        if request is None:
            return
        if not stream.aborted:
            if not self._begun or (request.producer is not None and self._unheld is None):
                # Not now: the request may be writing at this moment.
                stream.session.clock.callLater(0, self._finish)
            return
        self.request = None
        lost = ConnectionLost("the stream was reset" if error is None else str(error))
        lost.__cause__ = error
        if self._unheld is not None:
            self._unheld.stopProducing()
        request.connectionLost(Failure(lost))

    def _finish(self) -> None:
        """
        Finish a request that nobody else will: its producer has been told to stop, or its answer was not its own.
        """
        request = self.request
        if request is None:
            return
        if request.producer is not None:
            request.unregisterProducer()
        request.finish()


@implementer(IPullProducer)
class _Pull:
    """
    A pull producer that may have nothing to say when it is asked.

    A stream asks again when something was written.  But what a producer writes may stop on its way: in an encoder that
    collects, or because the answer is to HEAD.  So this one is asked again soon, as Twisted's own channels do.
    """

    def __init__(self, channel: RequestChannel, producer: IPullProducer) -> None:
        self._channel = channel
        self._producer = producer
        self._again: DelayedCall | None = None
        self._stopped = False

    def resumeProducing(self) -> None:
        """See L{IPullProducer}."""
        channel = self._channel
        before = channel._writes
        self._again = None
        self._producer.resumeProducing()
        if not self._stopped and channel._writes == before:
            self.askSoon()

    def askSoon(self) -> None:
        """
        Ask in the reactor's next turn.
        """
        self._again = self._channel.stream.session.clock.callLater(0, self.resumeProducing)

    def stopProducing(self) -> None:
        """See L{IPullProducer}."""
        self.stop()
        self._producer.stopProducing()

    def stop(self) -> None:
        """
        Ask no more.
        """
        self._stopped = True
        again, self._again = self._again, None
        if again is not None:
            again.cancel()
