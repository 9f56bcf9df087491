"""
C{twisted.web} sites over HTTP/2: L{wrapSite} serves any L{Site<twisted.web.server.Site>} on a port that speaks HTTP/2 (over
TLS with ALPN), h2c and HTTP/1.1.

Requests are made by the site's own C{requestFactory}, so that resources, static files, virtual hosts, C{guard}, WSGI, Klein
and whatever else stands on C{twisted.web} are served as they are.  What only HTTP/2 has, a resource reaches by its
request: L{streamOf}, L{uploadOf}, L{setTrailers}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import ITransport
from twisted.web.iweb import IRequest
from twisted.web.server import Site

from txh2session import Server, ServerStream, Timeouts
from txh2session.web._channel import RequestChannel
from txh2session.web._requests import IStreamingResource, RequestMaker
from txh2session.web._upload import SpooledUpload, Upload

if TYPE_CHECKING:
    from txh2session.headers import HeadersLike
    from txh2session.serving import StreamReceived

__all__ = [
    "IStreamingResource",
    "SiteServer",
    "Upload",
    "peerCertificateOf",
    "setTrailers",
    "streamOf",
    "uploadOf",
    "wrapSite",
]


class SiteServer(Server):
    """
    Serves a site; made by L{wrapSite}.

    @ivar site: the site.
    """

    def __init__(
        self,
        site: Site,
        *,
        streaming: bool = True,
        bodyLimit: int | None = None,
        connectReceived: StreamReceived | None = None,
        timeouts: Timeouts | None = None,
        **options: Any,
    ) -> None:
        """
        See L{wrapSite}.
        """
        if not isinstance(site, Site):
            raise TypeError(f"what is served is a twisted.web.server.Site, such as Site(resource), not {site!r}")
        if bodyLimit is not None and (isinstance(bodyLimit, bool) or not isinstance(bodyLimit, int) or bodyLimit < 0):
            raise ValueError(f"bodyLimit is a number of bytes or None, not {bodyLimit!r}")
        self.site = site
        self._siteStarted = False
        self._siteEnds = False
        maker = RequestMaker(site, streaming, bodyLimit, connectReceived)
        if timeouts is None:
            silence = site.timeOut or 0
            timeouts = Timeouts(idle=silence, upload=max(silence, Timeouts.upload) if silence else 0)
        super().__init__(maker.streamReceived, http1=site, timeouts=timeouts, **options)

    def startFactory(self) -> None:
        """
        Start the site, and with it its access log.
        """
        super().startFactory()
        self._siteStarted = True
        self.site.doStart()

    def stopFactory(self) -> None:
        """
        Stop the site, when the last request of a session has been logged.
        """
        super().stopFactory()
        if not self._siteEnds:
            waiting = [session.whenClosed().addErrback(lambda _: None) for session in self.sessions]
            gatherResults(waiting).addCallback(lambda _: self._stopSite())

    def _stopSite(self) -> None:
        started, self._siteStarted = self._siteStarted, False
        if started:
            self.site.doStop()

    def close(self, grace: float | None = None) -> Deferred[None]:
        """
        See L{Server.close<txh2session.Server.close>}.  The site is stopped, and with it its access log, when the last
        connection is gone.
        """
        self._siteEnds = True
        return super().close(grace).addCallback(lambda _: self._stopSite())


def wrapSite(
    site: Site,
    *,
    streaming: bool = True,
    bodyLimit: int | None = None,
    connectReceived: StreamReceived | None = None,
    **options: Any,
) -> SiteServer:
    """
    Serve a site to clients of HTTP/2, h2c and HTTP/1.1, on the same port.

    @param site: any L{Site<twisted.web.server.Site>}; its C{requestFactory}, access log, sessions, C{timeOut} and
        C{displayTracebacks} are used.
    @param streaming: whether to look for an L{IStreamingResource} when the headers of a request with an upload are there.
        C{getChild} is then called before the upload has come; a tree that looks at the upload there needs C{False}.
    @param bodyLimit: how many bytes an upload over HTTP/2 may have that is stored for its resource; a longer one is refused
        with 413.  L{None} is for no bound, as C{twisted.web} has none.  An L{IStreamingResource} bounds its own.
    @param connectReceived: called with the streams of CONNECT requests, as the C{streamReceived} of L{Server
        <txh2session.Server>}: for tunnels and, with C{Settings(enableConnectProtocol=True)}, WebSockets.  Without it
        they are refused with 405.
    @param options: what L{Server<txh2session.Server>} takes besides C{http1}.  C{timeouts} are by default those of
        L{Timeouts<txh2session.Timeouts>}, with the site's C{timeOut} for C{idle} and C{upload} not below it.

    @return: the factory, to give to C{endpoint.listen}, or to listen with itself.

    @raise TypeError: for what is not a site, and for an option that there is not.
    @raise ValueError: for a C{bodyLimit} that is no number of bytes.
    @raise InvalidSetting: as L{Server<txh2session.Server>} does.
    """
    return SiteServer(site, streaming=streaming, bodyLimit=bodyLimit, connectReceived=connectReceived, **options)


def streamOf(request: IRequest) -> ServerStream | None:
    """
    Find the stream that a request came by.  It gives the session, priorities, 1xx responses
    (C{stream.additionalHeaders}), pushes (C{stream.pushStream}), the client's trailers (C{stream.whenTrailers}) and why it
    ended.  Answer by the request all the same, or by the stream only.

    @return: the stream, also when the request has finished; L{None} for a request of HTTP/1.1.
    """
    channel = getattr(request, "transport", None)
    return channel.stream if isinstance(channel, RequestChannel) else None


def uploadOf(request: IRequest) -> Upload:
    """
    Get what reads a request's body: as it comes in an L{IStreamingResource} over HTTP/2, else what was stored.  It can be
    read once.
    """
    channel: ITransport = request.transport  # type: ignore[attr-defined]  # twisted.web's requests have one
    if isinstance(channel, RequestChannel) and not channel.spooled:
        return channel.stream
    return SpooledUpload(request.content, channel)


def setTrailers(request: IRequest, headers: HeadersLike) -> bool:
    """
    Have header fields follow the body when the request finishes (RFC 9113 section 8.1).

    @return: whether they will; C{twisted.web} sends none over HTTP/1.1, and nothing follows a request that is over.
    """
    channel = getattr(request, "transport", None)
    if not isinstance(channel, RequestChannel) or channel.request is None:
        return False
    channel.trailers = headers
    return True


def peerCertificateOf(request: IRequest) -> Any:
    """
    Get the certificate that the client of a request has shown, over HTTP/2 and HTTP/1.1 alike.

    @return: an L{OpenSSL.crypto.X509}; L{None} without TLS, or where it showed none.
    """
    find = getattr(getattr(request, "transport", None), "getPeerCertificate", None)
    return None if find is None else find()
