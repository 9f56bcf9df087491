"""
Our client asks nghttpd.
"""

from __future__ import annotations

import os
import signal

from twisted.internet.defer import gatherResults

from tests.peers.case import MIB, ClientCase
from tests.peers.programs import Program, find, freePort
from txh2session import SessionError, Settings, StreamError, developmentCertificate


class NghttpdTests(ClientCase):
    """
    Over TLS, and in clear text below.
    """

    peers = ("nghttpd",)
    scheme = "https"

    async def serve(self, *options: str) -> str:
        """
        Start nghttpd on a free port, with a folder of files.

        @return: its URL.
        """
        self.folder = self.mktemp()
        os.mkdir(self.folder)
        with open(os.path.join(self.folder, "hello"), "w") as file:
            file.write("hello world\n")
        with open(os.path.join(self.folder, "large"), "wb") as large:
            large.write(bytes(range(256)) * 4 * 1024)
        command = [find("nghttpd"), "-v", "-a", "127.0.0.1", "-d", self.folder, *options]
        port = freePort()
        if self.scheme == "https":
            end = [str(port), self.certificate.privateKeyPath, self.certificate.certificatePath]
        else:
            end = ["--no-tls", str(port)]
        self.nghttpd = Program([*command, *end])
        self.addCleanup(self.nghttpd.kill)
        await self.nghttpd.says("listen 127.0.0.1")
        return f"{self.scheme}://localhost:{port}/"

    async def test_get(self) -> None:
        """
        A file is there, whole, with its headers.
        """
        session = await self.connect(await self.serve())
        stream = session.request({":path": "/large"})
        headers = await stream.whenResponse()
        self.assertEqual(headers.status, 200)
        self.assertEqual(headers["content-length"], str(MIB))
        self.assertEqual(await stream.read(), bytes(range(256)) * 4 * 1024)
        await stream.whenClosed()
        self.assertEqual(session.alpnProtocol, "h2" if self.scheme == "https" else "h2c")

    async def test_head(self) -> None:
        """
        The answer to a HEAD has a length and no body.
        """
        session = await self.connect(await self.serve())
        stream = session.request({":method": "HEAD", ":path": "/large"})
        self.assertEqual((await stream.whenResponse())["content-length"], str(MIB))
        self.assertEqual(await stream.read(), b"")

    async def test_notFound(self) -> None:
        """
        A 404 is an answer as any other.
        """
        session = await self.connect(await self.serve())
        self.assertEqual((await session.request({":path": "/nothing"}).whenResponse()).status, 404)

    async def test_upload(self) -> None:
        """
        What is uploaded comes back the same, and its last DATA frame ends the stream.
        """
        session = await self.connect(await self.serve("--echo-upload"))
        body = os.urandom(MIB)
        stream = session.request({":method": "POST", ":path": "/hello"})
        reading = stream.read()
        stream.end(body)
        self.assertTrue(await reading == body)
        await self.nghttpd.says(r"recv DATA frame <length=[1-9][0-9]*, flags=0x01, stream_id=1>")
        self.assertNotIn("recv DATA frame <length=0,", self.nghttpd.said)

    async def test_trailers(self) -> None:
        """
        Trailers arrive after the body.
        """
        session = await self.connect(await self.serve("--trailer", "x-end: yes", "--trailer", "x-more: 1"))
        stream = session.request({":path": "/hello"})
        self.assertEqual(await stream.read(), b"hello world\n")
        trailers = await stream.whenTrailers()
        self.assertEqual(list(trailers or ()), [("x-end", "yes"), ("x-more", "1")])

    async def test_sentTrailers(self) -> None:
        """
        Trailers that are sent arrive, and end the stream.
        """
        session = await self.connect(await self.serve("--echo-upload"))
        stream = session.request({":method": "POST", ":path": "/hello"})
        stream.end(b"body", trailers={"x-sum": "1234"})
        self.assertEqual(await stream.read(), b"body")
        await self.nghttpd.says(r"recv \(stream_id=1\) x-sum: 1234\n.*recv HEADERS frame <[^>]*flags=0x05")

    async def test_moreThanAllowed(self) -> None:
        """
        Two hundred requests at once to a server that allows five are answered, all of them, and five at most are open.
        """
        session = await self.connect(await self.serve("-m", "5"))
        self.assertEqual(session.remoteSettings.maxConcurrentStreams, 5)
        streams = [session.request({":path": "/hello"}) for _ in range(200)]
        self.assertEqual(session.state.localStreams, 5)
        self.assertEqual(session.state.pendingStreams, 195)
        self.assertEqual(await gatherResults([each.read() for each in streams]), [b"hello world\n"] * 200)
        self.assertEqual([each.id for each in streams], list(range(1, 400, 2)))
        self.assertNotIn("REFUSED_STREAM", self.nghttpd.said)

    async def test_largeOnesAtOnce(self) -> None:
        """
        Thirty downloads at once share one connection.
        """
        session = await self.connect(await self.serve("-m", "10"))
        bodies = await gatherResults([session.request({":path": "/large"}).read() for _ in range(30)])
        self.assertEqual({len(body) for body in bodies}, {MIB})

    async def test_smallWindows(self) -> None:
        """
        Both directions keep to small windows, ours and the server's.
        """
        url = await self.serve("--echo-upload", "-w", "10", "-W", "12")
        session = await self.connect(url, settings=Settings(initialWindowSize=5000))
        body = os.urandom(100_000)
        stream = session.request({":method": "POST", ":path": "/hello"})
        reading = stream.read()
        stream.end(body)
        self.assertTrue(await reading == body)

    async def test_padded(self) -> None:
        """
        Padding is credited like data: a server that pads does not run dry.
        """
        session = await self.connect(await self.serve("-b", "255"))
        bodies = await gatherResults([session.request({":path": "/large"}).read() for _ in range(5)])
        self.assertEqual({len(body) for body in bodies}, {MIB})

    async def test_earlyAnswer(self) -> None:
        """
        An answer arrives while the upload is still being sent.
        """
        session = await self.connect(await self.serve("--early-response"))
        stream = session.request({":method": "POST", ":path": "/hello"})
        stream.write(b"some")
        self.assertEqual(await stream.read(), b"hello world\n")
        stream.end()
        await stream.whenClosed()

    async def test_cancel(self) -> None:
        """
        A download that is given up resets its stream with CANCEL, and the session goes on.
        """
        session = await self.connect(await self.serve())
        stream = session.request({":path": "/large"})
        async for _ in stream:
            stream.close(8)
            break
        await stream.whenClosed()
        await self.nghttpd.says(r"recv RST_STREAM frame .*\n +\(error_code=CANCEL\(0x08\)\)")
        self.assertEqual(await session.request({":path": "/hello"}).read(), b"hello world\n")

    async def test_push(self) -> None:
        """
        A server that would push does not, since we say that we do not want it.
        """
        session = await self.connect(await self.serve("-p", "/hello=/large"))
        self.assertEqual(await session.request({":path": "/hello"}).read(), b"hello world\n")
        self.assertNotIn("PUSH_PROMISE", self.nghttpd.said)

    async def test_ping(self) -> None:
        """
        A PING is answered.
        """
        session = await self.connect(await self.serve())
        self.assertGreater(await session.ping(), 0)

    async def test_close(self) -> None:
        """
        A session that is closed says GOAWAY after its last stream has been answered.
        """
        session = await self.connect(await self.serve())
        reading = session.request({":path": "/large"}).read()
        closing = session.close()
        self.assertEqual(len(await reading), MIB)
        await closing
        await self.nghttpd.says(r"recv GOAWAY frame .*\n +\(last_stream_id=0, error_code=NO_ERROR")
        await self.nghttpd.says(r"\] closed$")

    async def test_destroy(self) -> None:
        """
        A session that is destroyed in the middle of a download fails the download, and says the code in GOAWAY.
        """
        session = await self.connect(await self.serve())
        stream = session.request({":path": "/large"})
        reading, closed = stream.read(), session.whenClosed()
        await stream.whenResponse()
        session.destroy(code=11)
        self.assertEqual((await self.assertFailure(reading, SessionError)).code, 11)
        self.assertEqual((await self.assertFailure(closed, SessionError)).code, 11)
        await self.nghttpd.says(r"recv GOAWAY frame .*\n +\(last_stream_id=0, error_code=ENHANCE_YOUR_CALM")

    async def test_serverStops(self) -> None:
        """
        A server that dies in the middle of a download fails it, and ends the session.
        """
        session = await self.connect(await self.serve(), settings=Settings(initialWindowSize=1000))
        stream = session.request({":path": "/large"})
        await stream.whenResponse()
        closed = session.whenClosed()
        await self.nghttpd.stop(signal.SIGTERM)
        await self.assertFailure(stream.read(), SessionError, StreamError)
        await closed.addErrback(lambda failure: failure.trap(SessionError))
        self.assertTrue(session.destroyed)

    async def test_nobodyThere(self) -> None:
        """
        Where nobody listens, connecting fails and says that it was TCP.
        """
        error = await self.failsToConnect(f"{self.scheme}://127.0.0.1:{freePort()}/")
        self.assertEqual(error.stage, "tcp")

    async def test_untrusted(self) -> None:
        """
        A server whose certificate nobody vouches for is not spoken to.
        """
        url = await self.serve()
        self.certificate = developmentCertificate(self.mktemp())
        if self.scheme == "https":
            self.assertEqual((await self.failsToConnect(url)).stage, "tls")

    async def test_otherScheme(self) -> None:
        """
        A server of the other scheme is not spoken to: a TLS one in clear text, a clear one over TLS.
        """
        url = await self.serve()
        if self.scheme == "https":
            error = await self.failsToConnect(url.replace("https:", "http:"))
            self.assertEqual(error.stage, "h2")
        else:
            error = await self.failsToConnect(url.replace("http:", "https:"))
            self.assertEqual(error.stage, "tls")


class NghttpdInClearTests(NghttpdTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"
