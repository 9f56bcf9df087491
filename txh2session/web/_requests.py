"""
L{RequestMaker}: how a stream becomes a request of a C{twisted.web} site.

What a request may see is checked here or by the core before it is made: the core has refused malformed headers, control
characters in targets and authorities that disagree; here come methods and targets that mean nothing to a site.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web import http, server
from twisted.web.iweb import INonQueuedRequestFactory
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from txh2session import Headers, ServerStream
from txh2session.web._channel import RequestChannel
from txh2session.web._upload import Spool

_VERSION: Final = b"HTTP/2"
"""What C{clientproto} says, as with C{twisted.web}'s own HTTP/2."""


class IStreamingResource(IResource):
    """
    A resource that wants its requests as soon as their headers are there.

    C{render} is then called before the upload, of which C{request.content} and C{request.args} hold nothing.  It reads
    C{uploadOf(request)} as it comes, with back-pressure, and may answer before, meanwhile or after: by returning bytes, or
    C{NOT_DONE_YET} and finishing the request later.  When the answer is whole and nobody reads the rest of the upload, the
    client is told to stop.

    Over HTTP/1.1, and behind resources that find it late (C{guard}'s, say), C{render} is called when the upload is whole,
    and C{uploadOf(request)} gives what was stored: the same code serves both.

    How much the client may send is the resource's to bound: C{uploadOf(request).read(limit)}.  How long it may keep a
    reader waiting before the answer has begun is C{Timeouts.upload}; after that C{streamOf(request).setTimeout} is of use.

    There is no method to add: declare it with C{@implementer(IStreamingResource)} on a C{Resource}.
    """


class RequestMaker:
    """
    Makes a site's requests of streams.
    """

    def __init__(
        self, site: Site, streaming: bool, bodyLimit: int | None, connectReceived: Callable[..., Any] | None
    ) -> None:
        """
        @param streaming: whether to look for an L{IStreamingResource} before an upload.
        @param bodyLimit: bytes that an upload to another resource may have.
        @param connectReceived: gets the streams of CONNECT requests; L{None} refuses them.
        """
        self._site = site
        self._streaming = streaming
        self._bodyLimit = bodyLimit
        self._connectReceived = connectReceived

    def streamReceived(self, stream: ServerStream, headers: Headers) -> Deferred[Any] | None:
        """
        Serve a stream; see L{Server<txh2session.Server>}.
        """
        head = _Head(headers)
        if head.method == b"CONNECT" and self._connectReceived is not None:
            result: Deferred[Any] | None = self._connectReceived(stream, headers)
            return result
        site = self._site
        channel = RequestChannel(stream, site)
        make = site.requestFactory
        request: http.Request = make(channel) if INonQueuedRequestFactory.providedBy(make) else make(channel, 0)
        channel.request = request
        head.give(request)
        refusal = head.refusal()
        if refusal is not None:
            head.describe(request)
            allow = [(b"allow", b", ".join(server.supportedMethods))] if refusal == http.NOT_ALLOWED else []
            channel.refuse(refusal, allow)
        elif stream.endAfterHeaders:
            request.gotLength(0)
            self._receive(channel, head)
        else:
            self._begin(channel, request, head)
        return None

    def _begin(self, channel: RequestChannel, request: http.Request, head: _Head) -> None:
        """
        See to an upload.
        """
        head.describe(request)
        request.content = BytesIO()  # for who looks before the upload
        if self._streaming and head.path != b"*" and isinstance(request, Request):
            found = self._findEarly(channel, request)
            if found is None:
                return
            channel.site = found
            if found.streams:
                self._receive(channel, head)
                return
        length, limit = head.length, self._bodyLimit
        if limit is not None and length is not None and length > limit:
            channel.refuse(http.REQUEST_ENTITY_TOO_LARGE)
            return

        def whole(size: int) -> None:
            if length is None:
                # WSGI and CGI read no further than this says.
                request.requestHeaders.setRawHeaders(b"content-length", [b"%d" % size])
            self._receive(channel, head)

        Spool(channel, length, limit, whole).start()

    def _findEarly(self, channel: RequestChannel, request: Request) -> _FoundSite | None:
        """
        Find the resource before the upload comes.

        @return: L{None} if the request has been answered.
        """
        site = self._site
        # As Request.process does, which will find what is found here.
        request.site = site
        before = request.responseHeaders.copy()
        request.setHeader(b"server", server.version)
        request.setHeader(b"date", http.datetimeToString())
        defaults = dict(request.responseHeaders.getAllRawHeaders())
        request.prepath = []
        request.postpath = [unquote_to_bytes(each) for each in request.path[1:].split(b"/")]
        try:
            resource = site.getResourceFor(request)
        except Exception:
            request.processingFailed(Failure())
            return None
        headers = [each for each in request.responseHeaders.getAllRawHeaders() if defaults.get(each[0]) != each[1]]
        request.responseHeaders = before
        return None if channel.request is None else _FoundSite(site, resource, request, headers)

    def _receive(self, channel: RequestChannel, head: _Head) -> None:
        """
        Have the request answered.
        """
        request = channel.request
        assert request is not None  # its stream is open and nobody has answered yet
        try:
            request.requestReceived(head.method, head.path, _VERSION)
        except Exception:
            channel.broke()


class _Head:
    """
    The header list of a request, taken apart.

    @ivar host: C{:authority}, or else C{host}; the core has seen to it that they agree.
    @ivar cookie: all crumbs of C{cookie} in one (RFC 9113 section 8.2.3).
    @ivar expect: in lower case.
    @ivar length: C{content-length}.
    @ivar fields: the other fields, these two included.
    """

    __slots__ = ("cookie", "expect", "fields", "host", "length", "method", "path", "scheme")

    def __init__(self, headers: Headers) -> None:
        self.method = self.path = self.scheme = b""
        self.host: bytes | None = None
        self.cookie: bytes | None = None
        self.expect: bytes | None = None
        self.length: int | None = None
        self.fields: list[tuple[bytes, bytes]] = []
        for field in headers.rawHeaders:
            name, value = field
            if name == b":method":
                self.method = value
            elif name == b":path":
                self.path = value
            elif name == b":authority":
                self.host = value or None
            elif name == b":scheme":
                self.scheme = value.lower()
            elif name == b"host":
                self.host = self.host or value
            elif name == b"cookie":
                self.cookie = value if self.cookie is None else b"%b; %b" % (self.cookie, value)
            elif name[0] != 58:  # a colon
                self.fields.append(field)
                if name == b"content-length":
                    self.length = int(value)
                elif name == b"expect":
                    self.expect = value.lower()

    def give(self, request: http.Request) -> None:
        """
        Give the fields to a request, as one of HTTP/1.1 has them.
        """
        add = request.requestHeaders.addRawHeader
        if self.host is not None:
            add(b"host", self.host)
        for name, value in self.fields:
            add(name, value)
        if self.cookie is not None:
            add(b"cookie", self.cookie)
            request.parseCookies()

    def describe(self, request: http.Request) -> None:
        """
        Set what resources that are found early, and the access log, look at.
        """
        request.method, request.uri, request.clientproto = self.method, self.path or self.host or b"", _VERSION
        request.path, _, query = request.uri.partition(b"?")
        request.args = http.parse_qs(query, 1)

    def refusal(self) -> int | None:
        """
        Say with which status no resource is asked, if so.
        """
        if self.method == b"CONNECT":
            return http.NOT_ALLOWED
        path = self.path
        if not (path[:1] == b"/" or path == b"*") or not path.isascii() or self.scheme not in (b"http", b"https"):
            return http.BAD_REQUEST
        if self.expect is not None and self.expect != b"100-continue":
            return http.EXPECTATION_FAILED
        return None


class _FoundSite:
    """
    A site to a request whose resource was found early: it finds that, where the tree would be walked once more.

    @ivar streams: whether the resource is an L{IStreamingResource}.
    """

    def __init__(
        self, site: Site, resource: IResource, request: Request, headers: list[tuple[bytes, Sequence[bytes]]]
    ) -> None:
        """
        @param headers: fields of the answer that the resources on the way there have set.
        """
        self._site = site
        self._resource = resource
        self._prepath = request.prepath
        self._postpath = request.postpath
        self._headers = headers
        self.streams = IStreamingResource.providedBy(resource)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)

    def getResourceFor(self, request: Request) -> IResource:
        """
        Give what was found, with what the resources on the way there have set.
        """
        request.site = self._site
        request.prepath, request.postpath = self._prepath, self._postpath
        for name, values in self._headers:
            request.responseHeaders.setRawHeaders(name, values)
        return self._resource
