"""
curl asks our server.

An answer in the middle of an upload is for C{test_nghttp} and C{test_node_client} to test: curl 7.88 fails or
hangs on the RST_STREAM that comes with it, from Node's server too.
"""

from __future__ import annotations

import json
import os
import re

from tests.peers.case import MIB, DemoCase
from tests.peers.programs import Program, missing


class CurlCase(DemoCase):
    """
    Runs curl against the demo.
    """

    peers = ("curl",)

    async def setUp(self) -> None:
        """
        Check that this curl speaks HTTP/2, and start the demo.
        """
        version = await self.run_("curl", "--version")
        if "HTTP2" not in version.output:
            missing("this curl was built without HTTP/2: install one with it")
        await super().setUp()

    def startCurl(self, *arguments: str) -> Program:
        """
        Start curl with arguments that depend on the scheme.
        """
        speak = "--http2" if self.scheme == "https" else "--http2-prior-knowledge"
        return self.start("curl", *self.common(), speak, *arguments)

    def common(self) -> list[str]:
        """
        List the arguments that every call has: quiet but for errors, trusting our certificate only, not for ever.
        """
        return ["-sS", "--cacert", self.certificate.certificatePath, "--max-time", "30"]

    async def curl(self, *arguments: str, status: int = 0) -> Program:
        """
        Run curl to its end.
        """
        program = self.startCurl(*arguments)
        await program.ends(40)
        self.assertEqual(program.status, status, program.errors)
        return program

    async def assertServes(self) -> None:
        """
        Check that the server is well.
        """
        self.assertEqual((await self.curl(self.url("/hello"))).output, "hello world\n")


class CurlTests(CurlCase):
    """
    What curl can do over TLS, and in clear text below.
    """

    async def test_get(self) -> None:
        """
        A GET is answered by HTTP/2.
        """
        answer = await self.curl(self.url("/hello"), "-w", "%{http_code} %{http_version} %{content_type}")
        self.assertEqual(answer.output, "hello world\n200 2 text/plain")

    async def test_head(self) -> None:
        """
        A HEAD is answered with the headers of a GET and no body.
        """
        answer = await self.curl("--head", self.url("/hello"), "-w", "%{http_code} %{size_download}")
        self.assertIn("content-length: 12\r\n", answer.output)
        self.assertTrue(answer.output.endswith("200 0"), answer.output)

    async def test_echo(self) -> None:
        """
        A body that is posted comes back the same.
        """
        sent, received = self.mktemp(), self.mktemp()
        with open(sent, "wb") as file:
            file.write(os.urandom(2 * MIB + 1))
        await self.curl("--data-binary", f"@{sent}", "-o", received, self.url("/echo"))
        with open(sent, "rb") as one, open(received, "rb") as other:
            self.assertTrue(one.read() == other.read())

    async def test_trailers(self) -> None:
        """
        Trailers come after the body.
        """
        answer = await self.curl("-D", "-", "-o", os.devnull, self.url("/trailers"))
        head, _, tail = answer.output.partition("\r\n\r\n")
        self.assertIn("trailer: x-body-length, x-body-sha256", head)
        self.assertRegex(tail, r"\Ax-body-length: 35\r\nx-body-sha256: [0-9a-f]{64}\r\n\Z")

    async def test_earlyHints(self) -> None:
        """
        A 103 with its link comes before the answer.
        """
        answer = await self.curl("--include", self.url("/early-hints"))
        self.assertRegex(answer.output, r"\AHTTP/2 103 \r\nlink: .*\r\n\r\nHTTP/2 200 \r\n")

    async def test_notFound(self) -> None:
        """
        What is not there is a 404.
        """
        answer = await self.curl(self.url("/nothing"), "-o", os.devnull, "-w", "%{http_code}")
        self.assertEqual(answer.output, "404")

    async def test_reset(self) -> None:
        """
        A stream that the server resets fails with the server's code.
        """
        for code, name in ((8, "CANCEL"), (2, "INTERNAL_ERROR")):
            answer = await self.curl(self.url(f"/reset?code={code}"), status=92)
            self.assertIn(f"not closed cleanly: {name} (err {code})", answer.errors)
        await self.assertServes()

    async def test_destroy(self) -> None:
        """
        A session that the server destroys fails curl's request, with any code, and the server goes on.
        """
        for query in ("", "?code=0", "?code=2", "?code=77"):
            program = self.startCurl(self.url(f"/destroy{query}"))
            self.assertNotEqual(await program.ends(), 0)
            self.assertIn("not closed cleanly", program.errors)
        await self.assertServes()

    async def test_goaway(self) -> None:
        """
        A request on whose session the server sends GOAWAY is answered all the same.
        """
        for query in ("", "?code=0", "?code=11"):
            answer = await self.curl(self.url(f"/goaway{query}"), "-o", os.devnull, "-w", "%{http_code}")
            self.assertEqual(answer.output, "200")

    async def test_cancelledDownload(self) -> None:
        """
        A client that goes away in the middle of a download leaves a server that is well.
        """
        cut = await self.curl("--max-time", "0.5", "-o", os.devnull, self.url("/bytes/2147483648"), status=28)
        self.assertIn("timed out", cut.errors)
        await self.assertServes()

    async def test_killed(self) -> None:
        """
        A client that dies in the middle of a slow download leaves a server that is well.
        """
        program = self.startCurl("--limit-rate", "1M", "-v", "-o", os.devnull, self.url("/bytes/2147483648"))
        await program.says("^< HTTP/2 200")
        await program.kill()
        await self.assertServes()

    async def test_session(self) -> None:
        """
        The server knows what curl told it about the session.
        """
        facts = json.loads((await self.curl(self.url("/session"))).output)
        self.assertEqual(facts["alpnProtocol"], "h2" if self.scheme == "https" else "h2c")
        self.assertEqual(facts["encrypted"], self.scheme == "https")
        self.assertEqual(facts["remoteSettings"]["enablePush"], False)

    async def test_drained(self) -> None:
        """
        A server that is told to stop answers what it was asked before, and leaves.
        """
        program = self.startCurl("--fail", "-v", self.url("/slow?seconds=1"))
        await program.says("^> GET /slow")
        await self.assertServes()  # so the connection before has been accepted
        stopped = self.demo.stop()
        self.assertEqual(await program.ends(), 0, program.errors)
        self.assertIn("that took 1 seconds", program.output)
        await stopped


class CurlInClearTests(CurlTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"


class ParallelTests(CurlCase):
    """
    What curl 7.88 cannot do in clear text, where it fails on every second request of a connection, to any server.
    """

    async def test_manyOnOneConnection(self) -> None:
        """
        A hundred requests at once share one connection, and each gets its own answer.
        """
        form = "%{http_code} %{size_download} %{num_connects}\n"
        parallel = ["--parallel", "--parallel-max", "100", "-o", os.devnull, "-w", form]
        answer = await self.curl(*parallel, self.url("/bytes/[1001-1100]"))
        lines = [line.split() for line in answer.output.splitlines()]
        self.assertEqual(sorted(int(size) for _, size, _ in lines), list(range(1001, 1101)))
        self.assertEqual({code for code, _, _ in lines}, {"200"})
        self.assertEqual(sum(int(connects) for _, _, connects in lines), 1)


class OtherProtocolTests(CurlCase):
    """
    Clients that do not speak what a port speaks.
    """

    async def test_HTTP1OnTheTLSPort(self) -> None:
        """
        A client that offers only HTTP/1.1 by ALPN is told so in the TLS handshake.
        """
        answer = await self.run_("curl", *self.common(), "--http1.1", self.url("/hello", "https"), status=35)
        self.assertIn("no application protocol", answer.errors)
        await self.assertServes()

    async def test_HTTP1OnTheClearPort(self) -> None:
        """
        A client that speaks HTTP/1.1, or means to upgrade from it, is answered in HTTP/1.1 that this port does not.
        """
        for speak in ("--http1.1", "--http2"):
            url = self.url("/hello", "http")
            answer = await self.run_("curl", *self.common(), speak, url, "-w", "%{http_code} %{http_version}")
            self.assertEqual(answer.output, "This port speaks only HTTP/2.\r\n505 1.1")
        await self.assertServes()

    async def test_clearOnTheTLSPort(self) -> None:
        """
        A client that speaks clear text to the TLS port fails at once.
        """
        url = self.url("/hello", "https").replace("https:", "http:")
        program = self.start("curl", *self.common(), "--http2-prior-knowledge", url)
        self.assertIn(await program.ends(10), (16, 18, 52, 55, 56))
        await self.assertServes()

    async def test_TLSOnTheClearPort(self) -> None:
        """
        A client that speaks TLS to the clear port fails at once, and the log says why.
        """
        url = self.url("/hello", "http").replace("http:", "https:")
        await self.run_("curl", *self.common(), "--http2", url, status=35)
        await self.demo.says("speaks TLS, which is not served here")
        await self.assertServes()

    async def test_untrusted(self) -> None:
        """
        A client that does not trust our certificate says so, which is no trouble for the server.
        """
        await self.run_("curl", "-sS", "--http2", self.url("/hello", "https"), status=60)
        await self.assertServes()


class FrameLogTests(CurlCase):
    """
    What a log of frames shows of curl, as somebody reads it who looks for a bug.
    """

    options = ("--frame-log", "-")

    async def test_request(self) -> None:
        """
        A request with a body and its answer are there from the preface to the end: every frame in its order, header
        fields, no bodies, no secrets.
        """
        headers = ["-H", "authorization: Bearer hidden", "-b", "a=hidden", "-H", "x-seen: yes"]
        answer = await self.curl(*headers, "-d", "hidden body", self.url("/echo"))
        self.assertEqual(answer.output, "hidden body")
        await self.demo.says(r"#1 closed reason=")
        shown = re.findall(r"^\d\d:\d\d:\d\d\.\d{6}Z #1 (.*)$", self.demo.output, re.MULTILINE)
        self.assertNotIn("hidden", self.demo.output)
        self.assertTrue(shown[0].startswith("open role=server protocol=h2 host=127.0.0.1:"), shown[0])
        for line in (
            "recv PREFACE length=24",
            "recv stream=1 :method: POST",
            "recv stream=1 :path: /echo",
            "recv stream=1 authorization: <secret>",
            "recv stream=1 cookie: <secret>",
            "recv stream=1 x-seen: yes",
            "recv stream=1 content-length: 11",
            "send SETTINGS stream=0 length=0 flags=ACK",
            "send stream=1 :status: 200",
        ):
            self.assertEqual(shown.count(line), 1, f"{line}: {shown}")
        received = [line.split()[1] for line in shown if re.match("recv [A-Z]", line)]
        self.assertEqual(received[:2], ["PREFACE", "SETTINGS"])
        self.assertLess(received.index("HEADERS"), received.index("DATA"))
        ended = [line.split()[1] for line in shown if "END_STREAM" in line]
        self.assertEqual(ended, ["DATA", "DATA"])
