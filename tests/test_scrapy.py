"""
C{examples/scrapy_handler.py}: real spiders, in processes of their own, against the demonstration server and worse ones.
"""

from __future__ import annotations

import importlib.util
import json
import sys

from twisted.trial.unittest import SkipTest

from tests.test_examples import ROOT, ExampleTestCase, Program
from txh2session import developmentCertificate

SPIDER = """
import json, sys
sys.path.insert(0, {examples!r})
from scrapy import Request, Spider, signals
from scrapy.crawler import CrawlerProcess
from scrapy.exceptions import StopDownload
from scrapy_handler import H2SessionDownloadHandler

class Tests(Spider):
    name = "tests"
    custom_settings = {settings!r}

    @classmethod
    def from_crawler(cls, crawler, **named):
        spider = super().from_crawler(crawler, **named)
        crawler.signals.connect(spider.came, signals.bytes_received)
        return spider

    def came(self, data, request, spider):
        if request.meta.get("stop"):
            raise StopDownload(fail=False)

    async def start(self):
        for each in {requests!r}:
            yield Request(callback=self.parse, errback=self.failed, dont_filter=True, **each)

    def parse(self, response):
        self.tell(response.url, status=response.status, protocol=response.protocol, flags=response.flags,
            text=response.text[:200], size=len(response.body), ip=str(response.ip_address),
            latency="download_latency" in response.meta, certificate=response.certificate is not None)

    def failed(self, failure):
        self.tell(failure.request.url, error=failure.type.__name__, message=failure.getErrorMessage())

    def tell(self, url, **facts):
        print(json.dumps(dict(facts, url=url)), flush=True)

process = CrawlerProcess(dict(DOWNLOAD_HANDLERS=dict(https=H2SessionDownloadHandler), LOG_LEVEL="WARNING",
    RETRY_ENABLED=False, HTTPERROR_ALLOW_ALL=True, TELNETCONSOLE_ENABLED=False))
process.crawl(Tests)
process.start()
"""


class ScrapyTests(ExampleTestCase):
    """
    Spiders.
    """

    def setUp(self) -> None:
        """
        Start the servers.
        """
        super().setUp()
        if importlib.util.find_spec("scrapy") is None:
            raise SkipTest("this needs Scrapy: pip install scrapy")
        self.environment.pop("https_proxy", None)
        certificate = developmentCertificate(self.mktemp())
        command = [sys.executable, "-m", "tests.scrapy_servers"]
        command += [certificate.certificatePath, certificate.privateKeyPath]
        self.servers = Program(self, command, self.environment)
        self.urls = dict(
            self.servers.lineWith(rf"^({name}) (https?://localhost:\d+)$").groups()
            for name in ("old", "proxy1", "proxy2", "wrong")
        )

    def demo(self) -> str:
        """
        Start the demonstration server.

        @return: its URL.
        """
        command = [sys.executable, "-m", "twisted", "h2session", "--https", "127.0.0.1:0"]
        self.program = Program(self, command, self.environment)
        port = self.program.lineWith(r"https://127\.0\.0\.1:(\d+)").group(1)
        return f"https://localhost:{port}"

    def crawl(self, *requests: dict[str, object], **settings: object) -> dict[str, dict[str, object]]:
        """
        Run a spider.

        @return: what it told of each URL.
        """
        source = SPIDER.format(examples=str(ROOT / "examples"), settings=settings, requests=list(requests))
        spider = Program(self, [sys.executable, "-c", source], self.environment)
        status, out, err = spider.rest()
        self.assertEqual((status, err), (0, ""))
        told = [json.loads(line) for line in out.splitlines()]
        self.assertEqual(len(told), len(requests), out)
        return {each["url"]: each for each in told}

    def test_demo(self) -> None:
        """
        A spider gets pages, posts and errors over HTTP/2, with what Scrapy says of a page.
        """
        url = self.demo()
        told = self.crawl(
            {"url": f"{url}/"},
            {"url": f"{url}/status/404"},
            {"url": f"{url}/bytes/1000000"},
            {"url": f"{url}/echo", "method": "POST", "body": "hello " * 1000},
            {"url": f"{url}/bytes/1000001", "meta": {"download_maxsize": 1000}},
            {"url": f"{url}/bytes/1000002", "meta": {"stop": True}},
            {"url": "https://localhost:1/"},
            {"url": "https://does-not-exist.invalid/"},
        )
        page = told[f"{url}/"]
        self.assertEqual((page["status"], page["protocol"], page["latency"]), (200, "HTTP/2", True))
        self.assertEqual((page["ip"], page["certificate"]), ("127.0.0.1", True))
        self.assertEqual(told[f"{url}/status/404"]["status"], 404)
        self.assertEqual(told[f"{url}/bytes/1000000"]["size"], 1_000_000)
        self.assertEqual(told[f"{url}/echo"]["size"], 6000)
        self.assertEqual(told[f"{url}/bytes/1000001"]["error"], "DownloadCancelledError")
        stopped = told[f"{url}/bytes/1000002"]
        self.assertEqual(stopped["flags"], ["download_stopped"])
        self.assertTrue(0 < int(str(stopped["size"])) < 1_000_000)
        self.assertEqual(told["https://localhost:1/"]["error"], "DownloadConnectionRefusedError")
        self.assertEqual(told["https://does-not-exist.invalid/"]["error"], "CannotResolveHostError")

    def test_fallback(self) -> None:
        """
        A server that speaks HTTP/1.1 only is asked over it.
        """
        url = self.urls["old"]
        told = self.crawl(*({"url": f"{url}/{number}"} for number in range(5)))
        for number in range(5):
            page = told[f"{url}/{number}"]
            self.assertEqual((page["protocol"], page["text"]), ("HTTP/1.1", f"GET /{number} "))

    def test_proxies(self) -> None:
        """
        Through a proxy of either kind both kinds of servers are reached, by tunnels.
        """
        url = self.demo()
        for proxy in ("proxy1", "proxy2"):
            meta = {"proxy": self.urls[proxy]}
            told = self.crawl(
                {"url": f"{url}/", "meta": meta},
                {"url": self.urls["old"] + "/x", "meta": meta},
                {"url": f"{url}/direct"},
            )
            self.assertEqual((told[f"{url}/"]["status"], told[f"{url}/"]["protocol"]), (200, "HTTP/2"))
            self.assertEqual(told[self.urls["old"] + "/x"]["text"], "GET /x ")
            self.assertEqual(told[f"{url}/direct"]["status"], 404)
            self.servers.lineWith(f"^connected {proxy}$")

    def test_refusedByProxy(self) -> None:
        """
        A target that the proxy does not allow is a refused connection.
        """
        told = self.crawl({"url": "https://other.example/", "meta": {"proxy": self.urls["proxy2"]}})
        refused = told["https://other.example/"]
        self.assertEqual(refused["error"], "DownloadConnectionRefusedError")
        self.assertIn("403", str(refused["message"]))

    def test_wrong(self) -> None:
        """
        A page that is cut short fails, or is flagged where that is asked for; one that never comes runs out of time.
        """
        url = self.urls["wrong"]
        told = self.crawl(
            {"url": f"{url}/cut"},
            {"url": f"{url}/cut?flagged", "meta": {"download_fail_on_dataloss": False}},
            {"url": f"{url}/never", "meta": {"download_timeout": 0.5}},
            {"url": f"{url}/stalls", "meta": {"download_timeout": 0.5, "download_fail_on_dataloss": False}},
            {"url": f"{url}/long"},
        )
        self.assertEqual(told[f"{url}/cut"]["error"], "DownloadFailedError")
        self.assertIn("INTERNAL_ERROR", str(told[f"{url}/cut"]["message"]))
        flagged = told[f"{url}/cut?flagged"]
        self.assertEqual((flagged["flags"], flagged["text"]), (["dataloss"], "part"))
        self.assertEqual(told[f"{url}/never"]["error"], "DownloadTimeoutError")
        self.assertEqual(told[f"{url}/stalls"]["error"], "DownloadTimeoutError")
        self.assertEqual(told[f"{url}/long"]["size"], 100_004)

    def test_program(self) -> None:
        """
        The example, run as a program, prints a line for each page.
        """
        url = self.demo()
        printed = self.succeed("scrapy_handler.py", "--proxy", self.urls["proxy1"], f"{url}/bytes/10")
        self.assertEqual(printed, [f"{url}/bytes/10 200 HTTP/2 10"])
