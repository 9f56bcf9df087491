"""
Our client asks Node.
"""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.defer import gatherResults

from tests.peers.case import MIB, ClientCase, jsonLines
from txh2session import (
    ClientStream,
    ErrorCode,
    Headers,
    HTTP2Error,
    Initiator,
    SessionError,
    SessionListener,
    Settings,
    StreamError,
    StreamListener,
    StreamRefused,
)
from txh2session.websocket import Deflate, WebSocketClosed, openWebSocket


class _Hints(StreamListener):
    """
    Remembers the 1xx responses.
    """

    def __init__(self) -> None:
        self.received: list[Headers] = []

    def informationReceived(self, stream: Any, headers: Headers) -> None:
        """See L{StreamListener}."""
        self.received.append(headers)


class _GoAways(SessionListener):
    """
    Remembers the GOAWAY frames.
    """

    def __init__(self) -> None:
        self.received: list[tuple[int, int, bytes]] = []

    def goAwayReceived(self, session: Any, code: int, lastStreamID: int, debugData: bytes) -> None:
        """See L{SessionListener}."""
        self.received.append((code, lastStreamID, debugData))


class NodeServerTests(ClientCase):
    """
    Over TLS, and in clear text below.
    """

    peers = ("node",)
    scheme = "https"

    async def setUp(self) -> None:
        """
        Start the server, and connect to it.
        """
        super().setUp()
        tls = [self.certificate.certificatePath, self.certificate.privateKeyPath] if self.scheme == "https" else []
        self.node = self.startNode("server.js", *tls)
        port = (await self.node.says('"listening","port":([0-9]+)'))[1]
        self.listener = _GoAways()
        self.session = await self.connect(f"{self.scheme}://localhost:{port}/", listener=self.listener)

    async def get(self, path: str) -> bytes:
        """
        Get a whole body.
        """
        return await self.session.request({":path": path}).read()

    def post(self, path: str) -> ClientStream:
        """
        Begin a request with a body.
        """
        return self.session.request({":method": "POST", ":path": path})

    async def sees(self, event: str, **facts: Any) -> None:
        """
        Wait until the server has said that something happened to it.
        """
        wanted = json.dumps({"event": event, **facts}, separators=(",", ":"))[:-1]
        await self.node.says("^" + wanted.replace("?", r"\?").replace("{", r"\{"))

    # Streams

    async def test_get(self) -> None:
        """
        A GET is answered, headers and body.
        """
        stream = self.session.request({":path": "/hello", "x-list": ["one", "two"]})
        headers = await stream.whenResponse()
        self.assertEqual((headers.status, headers["content-type"]), (200, "text/plain"))
        self.assertEqual(await stream.read(), b"hello world\n")
        await stream.whenClosed()

    async def test_headers(self) -> None:
        """
        The server sees the headers that were meant.
        """
        stream = self.session.request({":path": "/headers", "X-Upper": "Case", "x-list": ["one", "two"], "x-n": 5})
        seen = json.loads(await stream.read())
        self.assertEqual(seen[":scheme"], self.scheme)
        self.assertEqual(seen[":authority"], self.session.authority)
        self.assertEqual((seen["x-upper"], seen["x-list"], seen["x-n"]), ("Case", "one, two", "5"))

    async def test_webSocket(self) -> None:
        """
        Node echoes our messages, compressed and not, answers pings, and closes in order, whoever begins.
        """
        for deflate in (Deflate(), None):
            webSocket = await openWebSocket(self.session, "/ws", protocols=["echo"], deflate=deflate)
            self.assertEqual((webSocket.subprotocol, webSocket.compressed), ("echo", deflate is not None))
            for message in ("hüllo", b"\0\xff", "long " * 50_000, ""):
                await webSocket.send(message)
                self.assertEqual(await webSocket.receive(), message)
            self.assertGreater(await webSocket.ping(), 0)
            await webSocket.send("ping me")
            await self.sees("frame", opcode=10, fin=True, rsv1=False, masked=True, length=5)
            await webSocket.close(4001, "bye")
            self.assertEqual(webSocket.closeCode, 4001)
        webSocket = await openWebSocket(self.session, "/ws", protocols=["echo"])
        await webSocket.send("close me")
        error: WebSocketClosed = await self.assertFailure(webSocket.receive(), WebSocketClosed)
        self.assertEqual((error.code, error.clean), (4002, False))

    async def test_bothDirectionsAtOnce(self) -> None:
        """
        A chunk is echoed before the next one is sent, on a stream that stays open.
        """
        stream = self.post("/echo")
        chunks = stream.__aiter__()
        for number in range(50):
            sent = f"chunk {number}".encode()
            stream.write(sent)
            received = b""
            while len(received) < len(sent):
                received += await chunks.__anext__()
            self.assertEqual(received, sent)
        stream.end()
        with self.assertRaises(StopAsyncIteration):
            await chunks.__anext__()
        await stream.whenClosed()

    async def test_echo(self) -> None:
        """
        A large body comes back the same.
        """
        stream, body = self.post("/echo"), os.urandom(3 * MIB + 1)
        reading = stream.read()
        stream.end(body)
        self.assertTrue(await reading == body)

    async def test_trailers(self) -> None:
        """
        Trailers arrive in both directions.
        """
        stream = self.post("/trailers")
        stream.end(b"body", trailers={"x-sum": "1234"})
        self.assertEqual(await stream.read(), b"body")
        trailers = await stream.whenTrailers()
        assert trailers is not None
        self.assertEqual((trailers["x-end"], trailers.getAll("x-more")), ("yes", ["one", "two"]))
        await self.sees("trailers", fields={"x-sum": "1234"})

    async def test_information(self) -> None:
        """
        Every 1xx response is told to a listener, before the answer.
        """
        stream, hints = self.session.request({":path": "/hints"}), _Hints()
        stream.addListener(hints)
        self.assertEqual((await stream.whenResponse()).status, 200)
        links = ["</style.css>; rel=preload", "</script.js>; rel=preload"]
        self.assertEqual([(each.status, each["link"]) for each in hints.received], [(103, link) for link in links])
        self.assertEqual(await stream.read(), b"after hints")

    async def test_noBody(self) -> None:
        """
        An answer may be nothing but headers.
        """
        stream = self.session.request({":path": "/head-only"})
        self.assertEqual((await stream.whenResponse()).status, 204)
        self.assertEqual(await stream.read(), b"")
        self.assertTrue(stream.endAfterHeaders)

    async def test_manyAtOnce(self) -> None:
        """
        Five hundred requests at once are all answered.
        """
        bodies = await gatherResults([self.session.request({":path": f"/bytes?n={n}"}).read() for n in range(500)])
        self.assertEqual([len(body) for body in bodies], list(range(500)))

    # Ends of streams

    async def test_reset(self) -> None:
        """
        A body that the server resets in the middle fails with the server's code.
        """
        for code in (2, 5, 8, 11, 13, 77):
            stream = self.session.request({":path": f"/reset?code={code}"})
            closed = stream.whenClosed()
            await self.assertFailure(closed, StreamError)
            error = await self.assertFailure(stream.read(), StreamError)
            self.assertEqual((error.code, error.initiator), (code, Initiator.PEER))
            self.assertEqual(stream.rstCode, code)
        self.assertEqual(await self.get("/hello"), b"hello world\n")

    async def test_refused(self) -> None:
        """
        A request that the server refuses was surely not worked on.
        """
        error = await self.assertFailure(self.session.request({":path": "/refuse"}).whenResponse(), StreamRefused)
        self.assertIs(error.processed, False)

    async def test_respondAndCloseInOneTurn(self) -> None:
        """
        A body is whole although the server closes the stream in the turn in which it ends it.
        """
        self.assertEqual(await self.get("/respond-close"), b"whole")

    async def test_cancelled(self) -> None:
        """
        A download that is given up in the middle is a CANCEL to the server, and the session goes on.
        """
        stream = self.session.request({":path": "/bytes?n=100000000"})
        await stream.whenResponse()
        stream.close(ErrorCode.CANCEL)
        await stream.whenClosed()
        await self.sees("streamClose", path="/bytes?n=100000000", rstCode=8)
        self.assertEqual(await self.get("/hello"), b"hello world\n")

    async def test_closedWithACode(self) -> None:
        """
        An upload that is closed in the middle with a code fails at the server with that code.
        """
        for code, name in ((2, "INTERNAL_ERROR"), (11, "ENHANCE_YOUR_CALM")):
            stream = self.post("/echo")
            stream.write(b"some")
            await stream.whenResponse()
            reading = stream.read()
            closed = stream.whenClosed()
            stream.close(code)
            self.assertEqual((await self.assertFailure(reading, StreamError)).code, code)
            self.assertEqual((await self.assertFailure(closed, StreamError)).code, code)
            await self.node.says(f"Stream closed with error code NGHTTP2_{name}")
            await self.sees("streamClose", path="/echo", rstCode=code)

    async def test_earlyAnswer(self) -> None:
        """
        An answer arrives whole while a large upload goes on, which the server then stops.
        """
        stream = self.post("/early")
        stream.write(bytes(20 * MIB))
        self.assertEqual((await stream.whenResponse()).status, 413)
        self.assertEqual(await stream.read(), b"too much")
        await stream.whenClosed()
        self.assertEqual(stream.rstCode, 0)
        self.assertEqual(await self.get("/hello"), b"hello world\n")

    # Ends of sessions

    async def failingBody(self, path: str) -> HTTP2Error:
        """
        Read a body that begins and will be cut, and wait for the session's end.
        """
        stream = self.session.request({":path": path})
        self.assertEqual((await stream.whenResponse()).status, 200)
        error: HTTP2Error = await self.assertFailure(stream.read(), StreamError, SessionError)
        self.assertTrue(stream.destroyed)
        await self.session.whenClosed().addErrback(lambda failure: failure.trap(SessionError))
        return error

    async def test_cut(self) -> None:
        """
        A body is not whole when the connection is cut or just ends.
        """
        await self.failingBody("/cut")

    async def test_fin(self) -> None:
        """
        A body is not whole when the server ends the connection without another word.
        """
        await self.failingBody("/fin")

    async def test_destroyed(self) -> None:
        """
        A body is not whole when the server destroys the session, with NO_ERROR too.
        """
        error: Any = await self.failingBody("/destroy")
        self.assertIn(error.code, (0, 8))  # Node resets its streams with CANCEL then, before its GOAWAY or not at all

    async def test_destroyedWithACode(self) -> None:
        """
        The code that the server destroys the session with is the body's error, and the session's.
        """
        closed = self.session.whenClosed()
        error: Any = await self.failingBody("/destroy?code=11")
        self.assertEqual((error.code, error.initiator), (11, Initiator.PEER))
        self.assertEqual((await self.assertFailure(closed, SessionError)).code, 11)

    async def test_destroyedAtOnce(self) -> None:
        """
        A request whose handler destroys the session fails.
        """
        response = self.session.request({":path": "/destroy-at-once"}).whenResponse()
        error: Any = await self.assertFailure(response, StreamError, SessionError)
        self.assertIn(error.code, (0, 8))
        await self.session.whenClosed()

    async def test_respondAndCloseTheSession(self) -> None:
        """
        A body is whole although the server closes the session in the same turn, and then the session ends well.
        """
        self.assertEqual(await self.get("/close"), b"whole")
        await self.session.whenClosed()
        self.assertEqual([code for code, _, _ in self.listener.received], [0])

    async def test_goaway(self) -> None:
        """
        A stream at the last id of a GOAWAY finishes; a request after it fails as surely not worked on.
        """
        stream = self.session.request({":path": "/goaway?code=0"})
        reading = stream.read()
        await stream.whenResponse()
        self.assertEqual(self.listener.received, [(0, 1, b"because")])
        self.assertEqual((self.session.goawayCode, self.session.goawayLastStreamID), (0, 1))
        refused = await self.assertFailure(self.session.request({":path": "/hello"}).whenResponse(), StreamRefused)
        self.assertIs(refused.processed, False)
        self.assertEqual(await reading, b"finished after the GOAWAY")
        await self.session.whenClosed()

    async def test_goawayBelow(self) -> None:
        """
        A stream above the last id of a GOAWAY fails as surely not worked on, while one at it finishes.
        """
        below = self.post("/echo")
        below.write(b"some")
        await below.whenResponse()
        reading = below.read()
        above = self.session.request({":path": "/goaway?code=0&last=1"})
        error = await self.assertFailure(above.read(), StreamRefused)
        self.assertEqual((error.processed, error.lastStreamID, error.debugData), (False, 1, b"because"))
        below.end(b" more")
        self.assertEqual(await reading, b"some more")
        await self.session.whenClosed()

    async def test_close(self) -> None:
        """
        A session that we close lets its streams finish, and the server sees a GOAWAY and no error.
        """
        reading = self.session.request({":path": "/bytes?n=1000000"}).read()
        closing = self.session.close()
        self.assertEqual(len(await reading), 1_000_000)
        await closing
        await self.sees("goaway", code=0)
        await self.sees("sessionClose")
        self.assertNotIn("rror", self.node.said)

    async def test_destroy(self) -> None:
        """
        A session that we destroy with a code in the middle of a download is an error with that code to the server.
        """
        stream = self.session.request({":path": "/bytes?n=100000000"})
        await stream.whenResponse()
        closed = self.session.whenClosed()
        self.session.destroy(code=11)
        self.assertTrue(stream.destroyed)
        await self.assertFailure(closed, SessionError)
        await self.sees("goaway", code=11)
        await self.node.says("Session closed with error code (11|NGHTTP2_ENHANCE_YOUR_CALM)")
        await self.sees("sessionClose")

    async def test_destroyPlainly(self) -> None:
        """
        A session that we destroy without a reason ends well for us, and the server gets a GOAWAY that says so.
        """
        stream = self.session.request({":path": "/bytes?n=100000000"})
        await stream.whenResponse()
        reading = stream.read()
        self.session.destroy()
        await self.assertFailure(reading, StreamError)
        await self.session.whenClosed()
        await self.sees("goaway", code=0)
        await self.sees("sessionClose")

    # Facts

    async def test_ping(self) -> None:
        """
        PINGs are answered in both directions.
        """
        self.assertGreater(await self.session.ping(b"12345678"), 0)
        answer = json.loads(await self.get("/ping"))
        self.assertEqual((answer["error"], answer["payload"]), (None, "abcdefgh"))

    async def test_settings(self) -> None:
        """
        Settings that we change are in force when the server has acknowledged them.
        """
        changed = await self.session.settings(initialWindowSize=123456, maxHeaderListSize=54321)
        self.assertIsInstance(changed, Settings)
        seen = json.loads(await self.get("/settings"))
        self.assertEqual((seen["initialWindowSize"], seen["maxHeaderListSize"]), (123456, 54321))
        self.assertIs(seen["enablePush"], False)

    async def test_settingsReceived(self) -> None:
        """
        Settings that the server changes are in force here when it gets our acknowledgement.
        """
        await self.get("/change")
        settings = self.session.remoteSettings
        self.assertEqual((settings.maxConcurrentStreams, settings.initialWindowSize), (7, 100000))
        bodies = await gatherResults([self.get_(n) for n in range(30)])
        self.assertEqual([len(body) for body in bodies], list(range(30)))

    def get_(self, size: int) -> Any:
        """
        Begin to get a body.
        """
        return self.session.request({":path": f"/bytes?n={size}"}).read()

    async def tearDown(self) -> None:
        """
        Check that all the server said can be read.
        """
        jsonLines(self.node.output)
        self.assertEqual(self.node.errors, "")


class NodeServerInClearTests(NodeServerTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"
