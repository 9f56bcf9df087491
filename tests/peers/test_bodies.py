"""
Bodies of 100 MiB, each way, with each peer that can: they arrive, and the memory of our process stays flat.
"""

from __future__ import annotations

import gc
import json
import os

from tests.peers.case import BIG, ClientCase, DemoCase
from tests.peers.programs import Program, find, freePort
from txh2session import ClientSession, ClientStream

_CHUNK = bytes(64 * 1024)


class ServerBodyTests(DemoCase):
    """
    Our server's memory, over TLS, and in clear text below.
    """

    timeout = 120
    peers = ("curl", "node")

    async def curl(self, *arguments: str) -> str:
        """
        Run curl to its end.

        @return: what it wrote.
        """
        speak = "--http2" if self.scheme == "https" else "--http2-prior-knowledge"
        common = ["-sS", "--fail", "--cacert", self.certificate.certificatePath, speak]
        await self.run_("curl", *common, self.url("/hello"))  # what is loaded only once is no growth
        self.watch = self.watchMemory(self.demo.pid)
        return (await self.run_("curl", *common, *arguments, seconds=100)).output

    async def node(self, action: str) -> str:
        """
        Have Node move a body.

        @return: what it said.
        """
        certificate = self.certificate.certificatePath if self.scheme == "https" else ""
        await self.startNode("client.js", self.url(""), "get", certificate, "/hello").ends()
        self.watch = self.watchMemory(self.demo.pid)
        program = self.startNode("client.js", self.url(""), action, certificate, str(BIG))
        self.assertEqual(await program.ends(100), 0, program.said)
        return program.output

    async def test_curlDownloads(self) -> None:
        """
        A download by curl.
        """
        size = await self.curl("-o", os.devnull, "-w", "%{size_download}", self.url(f"/bytes/{BIG}"))
        self.assertEqual(int(size), BIG)
        self.assertFlat(self.watch)

    async def test_curlUploads(self) -> None:
        """
        An upload by curl.
        """
        # Not --data-binary, which reads the whole file first.
        size = await self.curl("-T", self.file(BIG), "-X", "POST", self.url("/discard"))
        self.assertEqual(int(size), BIG)
        self.assertFlat(self.watch)

    async def test_curlDownloadsSlowly(self) -> None:
        """
        A slow download by curl: the server waits.
        """
        await self.curl("-o", os.devnull, "--limit-rate", "20M", self.url(f"/bytes/{BIG}"))
        self.assertFlat(self.watch)

    async def test_nodeDownloads(self) -> None:
        """
        A download by Node.
        """
        self.assertIn(json.dumps({"event": "end", "length": BIG}, separators=(",", ":")), await self.node("download"))
        self.assertFlat(self.watch)

    async def test_nodeUploads(self) -> None:
        """
        An upload by Node.
        """
        self.assertIn(f'{{"event":"body","text":"{BIG}\\n"}}', await self.node("upload"))
        self.assertFlat(self.watch)


class ServerBodyInClearTests(ServerBodyTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"


class ClientBodyTests(ClientCase):
    """
    Our client's memory, which is this process's, over TLS, and in clear text below.
    """

    timeout = 120
    peers = ("nghttpd", "node")
    scheme = "https"

    async def nghttpd(self) -> ClientSession:
        """
        Connect to nghttpd, which serves one large file.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        os.rename(self.file(BIG), os.path.join(folder, "large"))
        port = str(freePort())
        files = [self.certificate.privateKeyPath, self.certificate.certificatePath]
        end = [port, *files] if self.scheme == "https" else ["--no-tls", port]
        server = Program([find("nghttpd"), "-v", "-a", "127.0.0.1", "-d", folder, *end])
        self.addCleanup(server.kill)
        await server.says("listen 127.0.0.1")
        return await self.begin(port)

    async def node(self) -> ClientSession:
        """
        Connect to Node.
        """
        files = [self.certificate.certificatePath, self.certificate.privateKeyPath] if self.scheme == "https" else []
        server = self.startNode("server.js", *files)
        return await self.begin((await server.says('"listening","port":([0-9]+)'))[1])

    async def begin(self, port: str) -> ClientSession:
        """
        Connect, and take the first look at the memory.
        """
        session = await self.connect(f"{self.scheme}://localhost:{port}/")
        await session.request({":path": "/hello"}).read()
        gc.collect()
        self.watch = self.watchMemory(os.getpid())
        return session

    async def download(self, stream: ClientStream) -> None:
        """
        Read a body of the right size.
        """
        self.assertEqual((await stream.whenResponse()).status, 200)
        length = 0
        async for chunk in stream:
            length += len(chunk)
        self.assertEqual(length, BIG)
        self.assertFlat(self.watch)

    async def upload(self, stream: ClientStream) -> None:
        """
        Write a body no faster than it is read.
        """
        for _ in range(BIG // len(_CHUNK)):
            await stream.send(_CHUNK)
        stream.end(_CHUNK[: BIG % len(_CHUNK)])

    async def test_fromNghttpd(self) -> None:
        """
        A file of nghttpd's is downloaded.
        """
        session = await self.nghttpd()
        await self.download(session.request({":path": "/large"}))

    async def test_fromNode(self) -> None:
        """
        A body that Node makes is downloaded.
        """
        session = await self.node()
        await self.download(session.request({":path": f"/bytes?n={BIG}"}))

    async def test_toNghttpd(self) -> None:
        """
        A body is uploaded to nghttpd.
        """
        session = await self.nghttpd()
        stream = session.request({":method": "POST", ":path": "/nothing"})
        await self.upload(stream)
        self.assertEqual((await stream.whenResponse()).status, 404)
        self.assertFlat(self.watch)

    async def test_toNode(self) -> None:
        """
        A body is uploaded to Node, which counts it.
        """
        session = await self.node()
        stream = session.request({":method": "POST", ":path": "/discard"})
        await self.upload(stream)
        self.assertEqual(int(await stream.read()), BIG)
        self.assertFlat(self.watch)


class ClientBodyInClearTests(ClientBodyTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"
