"""
A download handler for Scrapy on C{H2Agent}: HTTP/2 where the server chooses it, HTTP/1.1 on the same connection where not,
and both through proxies, which the handler that comes with Scrapy lacks.

Use it in a project, with this file in Python's path::

    DOWNLOAD_HANDLERS = {"https": "scrapy_handler.H2SessionDownloadHandler"}

C{http:} stays with Scrapy's own handler.  A proxy (C{request.meta["proxy"]}, or the environment) with C{http:} is asked
with CONNECT over HTTP/1.1, one with C{https:} over HTTP/2.  These settings count: C{DOWNLOAD_TIMEOUT}, C{DOWNLOAD_MAXSIZE},
C{DOWNLOAD_WARNSIZE}, C{DOWNLOAD_FAIL_ON_DATALOSS}, C{DOWNLOAD_VERIFY_CERTIFICATES} and
C{DOWNLOAD_BIND_ADDRESS}; those that choose TLS versions and ciphers do not.

Run it to crawl single pages, each printed as a line::

    python examples/scrapy_handler.py [--proxy URL] URL...
"""

import ipaddress
import logging
import sys
from io import BytesIO
from time import monotonic
from urllib.parse import urldefrag, urlsplit

from scrapy import Request, Spider, signals
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadCancelledError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    StopDownload,
    UnsupportedURLSchemeError,
)
from scrapy.http import Headers as ScrapyHeaders
from scrapy.responsetypes import responsetypes
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet import defer
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate
from twisted.python.failure import Failure
from twisted.web.client import (
    FileBodyProducer,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH

from txh2session import HTTP1ProxyEndpoint, HTTP2ProxyEndpoint, SessionPool, clientContextFactory
from txh2session.agent import H2Agent, H2Response

logger = logging.getLogger(__name__)


class H2SessionDownloadHandler(BaseDownloadHandler):
    """
    Downloads with one L{H2Agent} for each proxy, and one without.
    """

    lazy = True

    def __init__(self, crawler):
        super().__init__(crawler)
        from twisted.internet import reactor  # Scrapy has installed it by now

        self._reactor = reactor
        settings = crawler.settings
        self._timeout = settings.getfloat("DOWNLOAD_TIMEOUT")
        self._maxSize = settings.getint("DOWNLOAD_MAXSIZE")
        self._warnSize = settings.getint("DOWNLOAD_WARNSIZE")
        self._failOnLoss = settings.getbool("DOWNLOAD_FAIL_ON_DATALOSS")
        self._bindAddress = settings.get("DOWNLOAD_BIND_ADDRESS")
        self._policy = clientContextFactory(verify=settings.getbool("DOWNLOAD_VERIFY_CERTIFICATES"))
        self._agents = {}
        self._proxyPools = {}

    async def download_request(self, request):
        """
        Download a page.
        """
        timeout = request.meta.get("download_timeout") or self._timeout
        downloading = defer.Deferred.fromCoroutine(self._download(request))
        if timeout:
            downloading.addTimeout(timeout, self._reactor)
        try:
            return await maybe_deferred_to_future(downloading)
        except (defer.TimeoutError, ConnectTimeout) as error:
            raise DownloadTimeoutError(f"Getting {request.url} took longer than {timeout} seconds.") from error
        except defer.CancelledError as error:
            raise DownloadCancelledError(str(error)) from error
        except SchemeNotSupported as error:
            raise UnsupportedURLSchemeError(str(error)) from error
        except DNSLookupError as error:
            raise CannotResolveHostError(str(error)) from error
        except ConnectError as error:
            raise DownloadConnectionRefusedError(str(error)) from error
        except (ResponseFailed, RequestTransmissionFailed, RequestGenerationFailed) as error:
            raise DownloadFailedError("; ".join(str(each.value) for each in error.reasons)) from error

    async def close(self):
        """
        End all connections.
        """
        ending = [agent.close(grace=1) for agent in self._agents.values()]
        ending += [pool.close(grace=1) for pool in self._proxyPools.values()]
        await maybe_deferred_to_future(defer.gatherResults(ending))

    # -----------------------------------------------------------------------------------------------------------------
    # Agents

    def _agentFor(self, request):
        """
        Find the agent that goes through a request's proxy, or through none.
        """
        proxy = request.meta.get("proxy")
        authorization = request.headers.get("Proxy-Authorization")
        bindAddress = request.meta.get("bindaddress") or self._bindAddress
        if isinstance(bindAddress, str):
            bindAddress = (bindAddress, 0)
        key = (proxy, authorization, bindAddress)
        if key not in self._agents:
            if proxy is None:

                def endpointFor(host, port):
                    return HostnameEndpoint(self._reactor, host, port, bindAddress=bindAddress)
            else:
                endpointFor = self._through(proxy, authorization, bindAddress)
            pool = SessionPool(self._reactor, contextFactory=self._policy, endpointFor=endpointFor, http1=True)
            self._agents[key] = H2Agent(self._reactor, pool=pool)
        return self._agents[key]

    def _through(self, proxy, authorization, bindAddress):
        """
        Make what makes endpoints that go through a proxy.
        """
        headers = {} if authorization is None else {"proxy-authorization": authorization}
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        if parts.scheme == "http":
            way = HostnameEndpoint(self._reactor, parts.hostname, parts.port or 80, bindAddress=bindAddress)
            return lambda host, port: HTTP1ProxyEndpoint(way, host, port, headers)
        pool = self._proxyPools.setdefault(proxy, SessionPool(self._reactor, contextFactory=self._policy))
        return lambda host, port: HTTP2ProxyEndpoint(pool, proxy, host, port, headers)

    # -----------------------------------------------------------------------------------------------------------------
    # Pages

    async def _download(self, request):
        headers = Headers()
        for name, values in request.headers.items():
            if name.lower() != b"proxy-authorization":  # the proxy's business, not the server's
                headers.setRawHeaders(name, values)
        producer = FileBodyProducer(BytesIO(request.body)) if request.body else None
        method, url = request.method.encode("ascii"), urldefrag(request.url)[0].encode("ascii")
        began = monotonic()
        response = await self._agentFor(request).request(method, url, headers, producer)
        request.meta["download_latency"] = monotonic() - began
        return await self._receive(request, response)

    async def _receive(self, request, response):
        headers = ScrapyHeaders(response.headers.getAllRawHeaders())
        expected = -1 if response.length is UNKNOWN_LENGTH else response.length
        stop = self._signal(signals.headers_received, request, headers=headers, body_length=expected)
        maxSize = request.meta.get("download_maxsize", self._maxSize)
        warnSize = request.meta.get("download_warnsize", self._warnSize)
        body = _Body(maxSize, warnSize, request, lambda data: self._signal(signals.bytes_received, request, data=data))
        response.deliverBody(body)
        if maxSize and expected > maxSize:
            body.giveUp(defer.CancelledError(f"{request} has {expected} bytes, the limit is {maxSize}"))
        elif stop is not None:
            body.giveUp(stop)
        flags = []
        try:
            await body.done
        except StopDownload as stopped:
            stop = stopped
            flags.append("download_stopped")
        except defer.CancelledError:
            raise
        except ResponseFailed:
            if request.meta.get("download_fail_on_dataloss", self._failOnLoss):
                raise
            flags.append("dataloss")
        return self._page(request, response, headers, body.received(), flags, stop)

    def _page(self, request, response, headers, body, flags, stop):
        url = urldefrag(request.url)[0]
        facts = {}
        if isinstance(response, H2Response):
            session = response.stream.session
            facts["certificate"] = session.peerCertificate and Certificate(session.peerCertificate)
            if request.meta.get("proxy") is None:
                facts["ip_address"] = ipaddress.ip_address(session.getPeer().host)
        kind = responsetypes.from_args(headers=headers, url=url, body=body)
        name, major, minor = response.version
        protocol = f"{name.decode()}/{major}" if major > 1 else f"{name.decode()}/{major}.{minor}"
        page = kind(url=url, status=response.code, headers=headers, body=body, flags=flags, protocol=protocol, **facts)
        if stop is not None and stop.fail:
            stop.response = page
            raise stop
        return page

    def _signal(self, signal, request, **facts):
        """
        Send a signal.

        @return: the L{StopDownload} that a receiver raised, if one did.
        """
        sent = self.crawler.signals.send_catch_log(signal, request=request, spider=self.crawler.spider, **facts)
        for _, result in sent:
            if isinstance(result, Failure) and isinstance(result.value, StopDownload):
                return result.value
        return None


class _Body(Protocol):
    """
    Collects a page up to a size.
    """

    def __init__(self, maxSize, warnSize, request, came):
        self.done = defer.Deferred(lambda _: self.transport.stopProducing())
        self._chunks = []
        self._size = 0
        self._maxSize = maxSize
        self._warnSize = warnSize
        self._request = request
        self._came = came
        self._why = None

    def received(self):
        """
        Give out what has been received.
        """
        return b"".join(self._chunks)

    def giveUp(self, why):
        """
        Receive no more.
        """
        if self._why is None:
            self._why = why
            self.transport.stopProducing()

    def dataReceived(self, data):
        """
        Keep it.
        """
        if self._why is not None:
            return
        before, self._size = self._size, self._size + len(data)
        self._chunks.append(data)
        stop = self._came(data)
        if self._maxSize and self._size > self._maxSize:
            self.giveUp(defer.CancelledError(f"{self._request} has more than {self._maxSize} bytes"))
        elif stop is not None:
            self.giveUp(stop)
        elif self._warnSize and before <= self._warnSize < self._size:
            logger.warning("%s has more than %d bytes", self._request, self._warnSize)

    def connectionLost(self, reason):
        """
        Tell who waits.
        """
        if self.done.called:
            return
        if self._why is not None:
            self.done.errback(self._why)
        elif reason.check(ResponseDone):
            self.done.callback(None)
        else:
            self.done.errback(reason)


class PagesSpider(Spider):
    """
    Asks for single pages and prints what they are.
    """

    name = "pages"

    def __init__(self, urls=(), proxy=None):
        super().__init__()
        self.urls = urls
        self.proxy = proxy

    async def start(self):
        """
        Ask for all of them.
        """
        for url in self.urls:
            meta = {} if self.proxy is None else {"proxy": self.proxy}
            yield Request(url, self.parse, errback=self.failed, meta=meta)

    def parse(self, response):
        """
        Print a page.
        """
        print(response.url, response.status, response.protocol, len(response.body), flush=True)

    def failed(self, failure):
        """
        Print why there is none.
        """
        print(failure.request.url, failure.type.__name__, failure.getErrorMessage(), flush=True)


def main(arguments):
    """
    Crawl.
    """
    proxy = None
    if arguments[:1] == ["--proxy"]:
        proxy, arguments = arguments[1], arguments[2:]
    if not arguments:
        sys.exit(__doc__)
    process = CrawlerProcess(
        {
            "DOWNLOAD_HANDLERS": {"https": H2SessionDownloadHandler},
            "HTTPPROXY_ENABLED": True,
            "HTTPERROR_ALLOW_ALL": True,
            "RETRY_ENABLED": False,
            "LOG_LEVEL": "ERROR",
            "TELNETCONSOLE_ENABLED": False,
        }
    )
    process.crawl(PagesSpider, urls=arguments, proxy=proxy)
    process.start()


if __name__ == "__main__":
    main(sys.argv[1:])
