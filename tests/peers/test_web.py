"""
curl, Node and our own client ask sites of C{twisted.web}, served by C{twistd h2session}.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet import endpoints
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.client import Agent, readBody
from twisted.web.server import Site

from tests.peers.case import BIG, MIB, ClientCase, DemoCase, PeerCase
from tests.peers.programs import Program, reactor
from tests.peers.test_node_client import NodeCase
from tests.peers.webroot import Leaf
from tests.test_tls import Made
from txh2session import ClientSession, serverContextFactory
from txh2session.web import peerCertificateOf, wrapSite

TREE = ("--class", "tests.peers.webroot.root")


class SiteCase(DemoCase):
    """
    Has a site running, on a TLS port and a clear one, each for HTTP/2 and HTTP/1.1.
    """

    options = TREE

    def ways(self) -> dict[str, list[str]]:
        """
        List the ways to ask, as arguments of curl that the path completes.
        """
        common = ["-sS", "--cacert", self.certificate.certificatePath, "--max-time", "30"]
        return {
            "HTTP/2 over TLS": [*common, "--http2", self.url("", "https")],
            "HTTP/1.1 over TLS": [*common, "--http1.1", self.url("", "https")],
            "h2c": [*common, "--http2-prior-knowledge", self.url("", "http")],
            "HTTP/1.1": [*common, "--http1.1", self.url("", "http")],
            "HTTP/1.1 that would upgrade": [*common, "--http2", self.url("", "http")],
        }

    async def curlAll(self, path: str, *arguments: str) -> dict[str, Program]:
        """
        Ask all ways.
        """
        return {
            name: await self.run_("curl", *common, url + path, *arguments)
            for name, (*common, url) in self.ways().items()
        }

    async def same(self, path: str, *arguments: str) -> tuple[str, list[str]]:
        """
        Ask all ways, and check that body and headers are the same.

        @return: the body, and the lines of the head, without what differs for good reason.
        """
        answers = set()
        for name, program in (await self.curlAll(path, "--include", *arguments)).items():
            head, _, body = program.output.partition("\r\n\r\n")
            if head.partition(" ")[2].startswith("100 ") or " 100" in head.splitlines()[0]:
                head, _, body = body.partition("\r\n\r\n")
            status, *lines = head.splitlines()
            self.assertEqual(status.split()[0], "HTTP/1.1" if name.startswith("HTTP/1.1") else "HTTP/2", name)
            fields = sorted(f"{line.partition(':')[0].lower()}:{line.partition(':')[2]}" for line in lines)
            kept = [
                line for line in fields if line.partition(":")[0] not in ("date", "connection", "transfer-encoding")
            ]
            answers.add((status.split()[1], tuple(kept), body))
        self.assertEqual(len(answers), 1, answers)
        ((status, lines, body),) = answers
        return body, [status, *lines]


class CurlTests(SiteCase):
    """
    curl, by all protocols on the same ports.
    """

    peers = ("curl",)

    async def test_same(self) -> None:
        """
        HTTP/2, h2c and HTTP/1.1 get the same bodies and headers.
        """
        source, folder = __file__, "/files/" + os.path.basename(__file__)
        with open(source, encoding="utf-8", newline="") as file:
            text = file.read()
        body, head = await self.same("/hello")
        self.assertEqual((body, head[0]), ("hello world\n", "200"))
        self.assertEqual((await self.same(folder))[0], text)
        part, head = await self.same(folder, "--range", "4-7")
        self.assertEqual((part, head[0]), (text[4:8], "206"))
        self.assertEqual((await self.same("/nothing"))[1][0], "404")
        self.assertEqual((await self.same("/form?a=1", "-d", "b=2&a=3"))[0], "[(b'a', [b'3']), (b'b', [b'2'])]")
        self.assertEqual((await self.same("/hello", "--head"))[0], "")
        self.assertEqual((await self.same("/trailers"))[0], "with trailers\n")
        self.assertEqual((await self.same("/bytes/300000"))[0], "x" * 300_000)

    async def test_notModified(self) -> None:
        """
        Who has a file already is told that it has not changed.
        """
        path = "/files/" + os.path.basename(__file__)
        _, head = await self.same(path)
        (since,) = [line.partition(":")[2] for line in head if line.startswith("last-modified:")]
        self.assertEqual((await self.same(path, "-H", f"if-modified-since:{since}"))[1][0], "304")

    async def test_upload(self) -> None:
        """
        A file of 3 MiB is stored for a resource, and streams through another.
        """
        sent = os.path.abspath(self.mktemp())
        with open(sent, "wb") as file:
            file.write(b"0123456789abcdef" * (3 * MIB // 16))
        digests = {each.output for each in (await self.curlAll("/digest", "--data-binary", f"@{sent}")).values()}
        self.assertEqual(len(digests), 1)
        self.assertEqual(len(digests.pop()), 64)
        for name, program in (await self.curlAll("/discard", "-T", sent)).items():
            self.assertEqual(program.output, f"first 48\nall {3 * MIB}\n", name)
        await self.demo.says(r'"PUT /discard HTTP/2" 200 ')
        await self.demo.says(r'"PUT /discard HTTP/1\.1" 200 ')

    async def test_parallel(self) -> None:
        """
        A hundred requests at once over one connection get their own answers.
        """
        *common, url = self.ways()["HTTP/2 over TLS"]
        form = "%{http_code} %{size_download} %{num_connects}\n"
        parallel = ["--parallel", "--parallel-max", "100", "-o", os.devnull, "-w", form]
        program = await self.run_("curl", *common, *parallel, url + "/bytes/[1001-1100]")
        lines = [line.split() for line in program.output.splitlines()]
        self.assertEqual(sorted(int(size) for _, size, _ in lines), list(range(1001, 1101)))
        self.assertEqual(({code for code, _, _ in lines}, sum(int(each) for _, _, each in lines)), ({"200"}, 1))

    async def test_drains(self) -> None:
        """
        A server that is told to stop answers what it was asked before, whatever the protocol.
        """
        programs = [self.start("curl", *common, "--fail", "-v", url + "/slow") for *common, url in self.ways().values()]
        for program in programs:
            await program.says("^> GET /slow")
        # Those have been sent; that they have arrived is known when the log tells of later ones.
        await self.curlAll("/hello")
        stopped = self.demo.stop()
        for program in programs:
            self.assertEqual((await program.ends(), program.output), (0, "slow\n"), program.errors)
        await stopped


class NodeSiteTests(NodeCase):
    """
    Node asks a site.
    """

    options = TREE

    async def test_get(self) -> None:
        """
        A GET is answered, and the session ends without an error.
        """
        happened = await self.node("get", "/hello")
        self.assertEqual(self.facts(happened, "body"), [{"text": "hello world\n"}])
        self.assertEqual(self.facts(happened, "streamClose"), [{"rstCode": 0}])
        self.assertNoErrors(happened)

    async def test_extras(self) -> None:
        """
        Node gets what a resource sends by its stream: a 103 before, trailers after.
        """
        happened = await self.node("get", "/early-hints")
        self.assertEqual(self.facts(happened, "information"), [{"status": 103, "link": "</style.css>; rel=preload"}])
        self.assertEqual(self.facts(happened, "body"), [{"text": "after hints\n"}])
        happened = await self.node("get", "/trailers")
        ((trailers,),) = [each.values() for each in self.facts(happened, "trailers")]
        self.assertEqual(trailers["x-sum"], "7")
        self.assertNoErrors(happened)

    async def test_streaming(self) -> None:
        """
        Each of fifty chunks is echoed before the next is sent, and 5 MiB come back the same.
        """
        self.assertEqual(self.facts(await self.node("pingPong"), "count"), [{"count": 50}])
        self.assertEqual(self.facts(await self.node("echo", 5 * MIB + 1), "same"), [{"same": True}])

    async def test_many(self) -> None:
        """
        Five hundred requests on a session get their own answers.
        """
        happened = await self.node("many")
        self.assertEqual(self.facts(happened, "lengths"), [{"right": True}])
        self.assertNoErrors(happened)

    async def test_cancelUpload(self) -> None:
        """
        An upload that Node gives up costs nobody else anything.
        """
        happened = await self.node("cancelUpload", 8)
        self.assertEqual(self.facts(happened, "body"), [{"text": "hello world\n"}])


class NodeSiteInClearTests(NodeSiteTests):
    """
    The same in clear text.
    """

    scheme = "http"


class MixedTests(SiteCase, ClientCase):
    """
    Our own client, which can do several things at once.
    """

    async def test_mixed(self) -> None:
        """
        A hundred requests at once, of all kinds and protocols, get their own answers.
        """
        agent = Agent(reactor)
        over = await self.connect(self.url("", "https")), await self.connect(self.url("", "http"))

        async def small(session: ClientSession, number: int) -> None:
            self.assertEqual(await session.request({":path": f"/bytes/{number}"}).read(), b"x" * number)

        async def echo(session: ClientSession, number: int) -> None:
            stream = session.request({":method": "POST", ":path": "/echo"})
            body = b"%d " % number * 10_000
            received = stream.read()
            stream.end(body)
            self.assertTrue(await received == body)

        async def file(session: ClientSession, number: int) -> None:
            stream = session.request({":path": "/files/webroot.py", "range": f"bytes={number}-{number}"})
            headers = await stream.whenResponse()
            self.assertEqual((headers.status, len(await stream.read())), (206, 1))

        async def missing(session: ClientSession, number: int) -> None:
            stream = session.request({":path": f"/nothing/{number}"})
            self.assertEqual((await stream.whenResponse()).status, 404)
            await stream.read()

        async def old(session: ClientSession, number: int) -> None:
            response: Any = await agent.request(b"GET", self.url(f"/bytes/{number}", "http").encode())
            self.assertEqual(await readBody(response), b"x" * number)

        kinds = (small, echo, file, missing, old)
        await gatherResults(
            [Deferred.fromCoroutine(kinds[number % 5](over[number % 2], number)) for number in range(100)],
            consumeErrors=True,
        )

    async def test_bigUpload(self) -> None:
        """
        100 MiB go to a streaming resource in flat memory, and its first byte is seen before the last is sent.
        """
        session = await self.connect(self.url("", "https"))
        watch = self.watchMemory(self.demo.pid)
        stream = session.request({":method": "POST", ":path": "/discard"})
        body = aiter(stream)
        await stream.send(b"a")
        self.assertEqual(await anext(body), b"first 97\n")
        chunk = b"x" * MIB
        left = BIG - 1
        while left:
            await stream.send(chunk[:left])
            left -= min(left, MIB)
        stream.end()
        self.assertEqual(await anext(body), f"all {BIG}\n".encode())
        self.assertFlat(watch)


class FilesTests(SiteCase):
    """
    C{--path}.
    """

    peers = ("curl",)

    def setUp(self) -> Any:
        """
        Make a folder.
        """
        self.folder = os.path.abspath(self.mktemp())
        os.makedirs(self.folder)
        for name, text in (("start.html", "<p>start</p>"), ("page.html", "<p>page</p>"), ("odd", "odd")):
            with open(os.path.join(self.folder, name), "w", encoding="ascii") as file:
                file.write(text)
        self.log = os.path.join(self.folder, "access.log")
        self.options = (
            *("--path", self.folder, "--index", "start.html", "--ignore-ext", ".html", "--mime-type", "text/odd"),
            *("--logfile", self.log, "--add-header", "X-Served-By: us"),
        )
        return super().setUp()

    async def test_files(self) -> None:
        """
        A folder is served, with an index, without extensions, and logged to a file.
        """
        body, head = await self.same("/")
        self.assertEqual(body, "<p>start</p>")
        self.assertIn("x-served-by: us", head)
        self.assertEqual((await self.same("/page"))[0], "<p>page</p>")
        self.assertIn("content-type: text/odd", (await self.same("/odd"))[1])
        with open(self.log, encoding="ascii") as file:
            lines = file.read().splitlines()
        self.assertEqual(len(lines), 15)
        self.assertEqual(len([line for line in lines if '"GET /page HTTP/2" 200 11 ' in line]), 2)


class KleinTests(SiteCase):
    """
    C{--class} with a Klein application.
    """

    peers = ("curl",)
    options = ("--class", "tests.peers.webroot.kleinRoot")

    async def test_hello(self) -> None:
        """
        Klein answers.
        """
        self.assertEqual((await self.same("/"))[0], "Hello, Klein!")
        self.assertEqual((await self.same("/later/you"))[0], "Hello, you!")


class FlaskTests(SiteCase):
    """
    C{--wsgi} with a Flask application.
    """

    peers = ("curl",)
    options = ("--wsgi", "tests.peers.webroot.application")

    async def test_hello(self) -> None:
        """
        Flask answers, takes an upload and sends a body in pieces.
        """
        answers = {name: each.output for name, each in (await self.curlAll("/")).items()}
        self.assertEqual(set(answers.values()), {"Hello, Flask, by HTTP/2!", "Hello, Flask, by HTTP/1.1!"})
        sent = self.file(200_000)
        body, _ = await self.same("/upload", "--data-binary", f"@{sent}", "-H", "content-type: text/x")
        self.assertEqual(body, '{"size":200000,"type":"text/x"}\n')
        self.assertEqual(len((await self.same("/stream"))[0]), 2_000_000)


class CertificateTests(PeerCase):
    """
    Clients that show a certificate.
    """

    peers = ("curl",)

    async def test_certificate(self) -> None:
        """
        A resource sees the certificate of a client, over HTTP/2 and HTTP/1.1.
        """

        def who(request: Any) -> bytes:
            shown = peerCertificateOf(request)
            same = shown.get_subject() == request.transport.getPeerCertificate().get_subject()
            return f"{shown.get_subject().CN} {same} {request.isSecure()} {request.clientproto.decode()}".encode()

        authority = Made("authority.example")
        own, client = Made("localhost", issuer=authority), Made("client.example", issuer=authority)
        server = wrapSite(Site(Leaf(who)))
        tls = serverContextFactory(own.pem, own.keyPEM, clientCA=authority.pem)
        port: Any = await server.listen(endpoints.SSL4ServerEndpoint(reactor, 0, tls, interface="127.0.0.1"))
        self.addCleanup(server.close, 1)
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        arguments = ["-sS"]
        for name, pem in (("cacert", authority.pem), ("cert", client.pem), ("key", client.keyPEM)):
            folder.joinpath(name).write_bytes(pem)
            arguments += [f"--{name}", str(folder / name)]
        for speak, said in (("--http2", "HTTP/2"), ("--http1.1", "HTTP/1.1")):
            program = await self.run_("curl", *arguments, speak, f"https://localhost:{port.getHost().port}/")
            self.assertEqual(program.output, f"client.example True True {said}")
