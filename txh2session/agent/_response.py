"""
An answer as twisted.web's clients know it: L{H2Response}, which provides C{IResponse}.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IAddress, IProtocol, IPushProducer, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IClientRequest, IResponse
from zope.interface import implementer

from txh2session import ClientStream, ErrorCode
from txh2session import Headers as FieldList

_BODILESS: Final = (204, 304)


class ResponseCancelled(ResponseFailed, CancelledError):
    """
    Whoever received a body gave it up.  It is a L{CancelledError<twisted.internet.defer.CancelledError>}, too, so that a
    C{readBody} that is cancelled fails as other Deferreds do, and C{addTimeout} knows it.
    """


@implementer(IClientRequest)
class H2Request:
    """
    The request that an answer answers.

    @ivar method: the method, as bytes.
    @ivar absoluteURI: the whole URI, as bytes.
    @ivar headers: as they were given.
    """

    def __init__(self, method: bytes, absoluteURI: bytes, headers: Headers) -> None:
        self.method = method
        self.absoluteURI = absoluteURI
        self.headers = headers


@implementer(IResponse)
class H2Response:
    """
    An answer that came over HTTP/2.  See L{IResponse}.

    @ivar version: C{(b"HTTP", 2, 0)}.
    @ivar code: the status.
    @ivar phrase: what it means, which HTTP/2 does not transmit.
    @ivar headers: the header fields, without pseudo-header fields.
    @ivar length: bytes of the body, if the server said so, else L{UNKNOWN_LENGTH}; 0 where there is none.
    @ivar request: the L{H2Request}.
    @ivar previousResponse: the answer that redirected here.
    @ivar information: the header fields of the 1xx answers that came before; their C{status} says which.
    @ivar stream: the stream it came on.
    """

    version = (b"HTTP", 2, 0)

    def __init__(
        self,
        stream: ClientStream,
        request: H2Request,
        information: list[FieldList],
    ) -> None:
        assert stream.headers is not None
        fields = stream.headers
        self.stream = stream
        self.request = request
        self.information = information
        self.previousResponse: Any = None
        self.code = fields.status or 0
        self.phrase: bytes = RESPONSES.get(self.code, b"Unknown Status")
        self.headers = webHeaders(fields)
        self.length: Any = self._length(fields)
        self._early = False

    def answeredEarly(self) -> None:
        """
        The answer is complete, and the rest of the request's body will not be sent.
        """
        self._early = True
        if self.stream.endAfterHeaders:
            self.bodyDone()

    def bodyDone(self) -> None:
        """
        The body has been delivered: the server need not wait for more of the request.
        """
        if self._early:
            self.stream.close(ErrorCode.CANCEL)

    def _length(self, fields: FieldList) -> Any:
        if self.request.method == b"HEAD" or self.code in _BODILESS:
            return 0
        length = fields.get(b"content-length")
        if length is not None:
            return int(length)
        return 0 if self.stream.endAfterHeaders else UNKNOWN_LENGTH

    def __repr__(self) -> str:
        return f"<H2Response {self.code} to {self.request.method!r} {self.request.absoluteURI!r}>"

    def deliverBody(self, protocol: IProtocol) -> None:
        """
        See L{IResponse}: C{connectionLost} comes with L{ResponseDone}, or with a L{ResponseFailed} that has ours inside.
        The protocol's transport can C{pauseProducing} and C{resumeProducing}; C{stopProducing}, C{loseConnection} and
        C{abortConnection} reset this stream with CANCEL and nothing else, and C{connectionLost} comes at once with a
        L{ResponseCancelled}.

        @raise InvalidState: if it was called before.
        """
        self.stream.deliverBody(_Delivery(protocol, self))

    def setPreviousResponse(self, previousResponse: IResponse) -> None:
        """See L{IResponse}."""
        self.previousResponse = previousResponse

    def whenTrailers(self) -> Deferred[Headers | None]:
        """
        Wait for the end of the answer.

        @return: fires with the trailers, or L{None} if it ended without any; fails with a L{ResponseFailed} if it was cut
            short.  They come when END_STREAM does, which a body that nobody reads holds up.
        """

        def failed(failure: Failure) -> Failure:
            return Failure(ResponseFailed([failure], self))

        return self.stream.whenTrailers().addCallbacks(
            lambda trailers: None if trailers is None else webHeaders(trailers), failed
        )


def webHeaders(fields: FieldList) -> Headers:
    """
    Make twisted.web's headers of a header list, without its pseudo-header fields.
    """
    headers = Headers()
    for name, value in fields.rawHeaders:
        if name[:1] != b":":
            headers.addRawHeader(name, value)
    return headers


class _Delivery(Protocol):
    """
    Stands between a stream and the protocol that a body is delivered to.
    """

    transport: Any

    def __init__(self, target: IProtocol, response: H2Response) -> None:
        self._target = target
        self._response = response
        self._over = False

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        self._target.makeConnection(_DeliveryTransport(self, self.transport))

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        if not self._over:
            self._target.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        if not self._over:
            self._over = True
            if not reason.check(ResponseDone):
                reason = Failure(ResponseFailed([reason], self._response))
            self._response.bodyDone()
            self._target.connectionLost(reason)

    def giveUp(self) -> None:
        """
        The protocol wants no more.
        """
        if self._over:
            return
        self._over = True
        self.transport.stopProducing()
        self.transport.resumeProducing()  # what had come and waited goes, too
        self._target.connectionLost(Failure(ResponseCancelled([Failure(ConnectionAborted())], self._response)))


@implementer(IPushProducer, ITransport)
class _DeliveryTransport:
    """
    The transport of a protocol that a body is delivered to.
    """

    def __init__(self, delivery: _Delivery, below: Any) -> None:
        self._delivery = delivery
        self._below = below
        self.disconnecting = False

    def pauseProducing(self) -> None:
        self._below.pauseProducing()

    def resumeProducing(self) -> None:
        self._below.resumeProducing()

    def stopProducing(self) -> None:
        self.disconnecting = True
        self._delivery.giveUp()

    def loseConnection(self) -> None:
        self.stopProducing()

    def abortConnection(self) -> None:
        self.stopProducing()

    def write(self, data: bytes) -> None:
        self._below.write(data)

    def writeSequence(self, data: Any) -> None:
        self._below.writeSequence(data)

    def getPeer(self) -> IAddress:
        peer: IAddress = self._below.getPeer()
        return peer

    def getHost(self) -> IAddress:
        host: IAddress = self._below.getHost()
        return host
