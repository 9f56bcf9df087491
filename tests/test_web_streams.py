"""
Tests of L{txh2session.web}: what flows in and out of requests, and what only HTTP/2 has.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from gzip import decompress
from io import BytesIO
from pathlib import Path
from typing import Any

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import FileSender
from twisted.python.failure import Failure
from twisted.web import server, static
from twisted.web.client import ResponseDone
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import EncodingResourceWrapper, Resource

from tests.sites import Informed, Leaf, Realm, StreamingLeaf, WebCase
from txh2session import BodyTooLong, ErrorCode, InvalidHeader, InvalidState, Settings, StreamAborted, StreamError
from txh2session.testing import PipeTransport
from txh2session.web import peerCertificateOf, setTrailers, streamOf, uploadOf, wrapSite


class PushProducer:
    """
    Writes when it is told to, and notes what it is told.
    """

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        """Note it."""
        self.told.append("pause")

    def resumeProducing(self) -> None:
        """Note it."""
        self.told.append("resume")

    def stopProducing(self) -> None:
        """Note it."""
        self.told.append("stop")


class PullProducer:
    """
    Writes a number of chunks to a request, one each time it is asked, and finishes it.
    """

    def __init__(self, request: Any, chunks: int, size: int) -> None:
        self.left = chunks
        self.stopped = False
        self._request = request
        self._size = size
        request.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Write a chunk, or finish."""
        if self.left:
            self.left -= 1
            self._request.write(b"x" * self._size)
        else:
            self._request.unregisterProducer()
            self._request.finish()

    def stopProducing(self) -> None:
        """Note it."""
        self.stopped = True


class ProducerTests(WebCase):
    """
    Producers of answers.
    """

    small = Settings(initialWindowSize=10_000)

    def test_push(self) -> None:
        """
        A push producer is held to what the client reads.
        """
        requests: list[Any] = []
        producer = PushProducer()

        def answer(request: Any) -> int:
            requests.append(request)
            request.registerProducer(producer, True)
            request.write(b"x" * 60_000)
            return server.NOT_DONE_YET

        both = self.serve(answer, clientSettings=self.small)
        stream = both.client.request()
        both.pump()
        self.assertEqual(producer.told, ["pause"])
        stream.discard()
        both.pump()
        self.assertEqual(producer.told, ["pause", "resume"])
        requests[0].unregisterProducer()
        requests[0].finish()
        both.pump()
        self.assertIsNone(self.successResultOf(stream.whenClosed()))

    def test_pull(self) -> None:
        """
        A pull producer is asked while there is room.
        """
        made: list[PullProducer] = []

        def answer(request: Any) -> int:
            made.append(PullProducer(request, 100, 10_000))
            return server.NOT_DONE_YET

        both = self.serve(answer, clientSettings=self.small)
        stream = both.client.request()
        both.pump()
        self.assertGreater(made[0].left, 90)
        body = stream.read()
        both.pump()
        self.assertEqual(len(self.successResultOf(body)), 1_000_000)

    def test_pullThatWritesNothing(self) -> None:
        """
        A pull producer whose bytes go nowhere for a while, as in an encoder that collects, is asked on.
        """
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "long").write_bytes(b"x" * 3_000_000)
        files = EncodingResourceWrapper(static.File(str(folder / "long")), [server.GzipEncoderFactory()])
        root = Resource()
        root.putChild(b"long", files)
        both = self.serve(root)
        stream = both.client.request({":path": "/long", "accept-encoding": "gzip"})
        body = stream.read()
        for _ in range(60):
            both.advance(0)
        self.assertEqual(decompress(self.successResultOf(body)), b"x" * 3_000_000)

    def test_noBody(self) -> None:
        """
        A producer of an answer without a body is let run to its end, at which the request finishes.
        """
        told: list[Any] = []
        sent: list[Any] = []

        def answer(request: Any) -> int:
            request.notifyFinish().addBoth(told.append)
            if b"begun" in request.uri:
                request.write(b"")
            if b"empty" in request.uri:
                request.setResponseCode(204)
            if b"later" in request.uri:
                self.clock.callLater(1, send, request)
            else:
                send(request)
            return server.NOT_DONE_YET

        def send(request: Any) -> None:
            done = FileSender().beginFileTransfer(BytesIO(b"x" * 100_000), request)
            done.addBoth(sent.append).addCallback(lambda _: request.finish())

        for path in ("/", "/later", "/begun", "/begun-later", "/empty", "/empty-later"):
            both = self.serve(answer)
            stream = both.client.request({":method": "GET" if "empty" in path else "HEAD", ":path": path})
            both.pump()
            both.advance(1)
            both.advance(0)
            self.assertIsNone(self.successResultOf(stream.whenClosed()))
            self.assertEqual((sent, told), ([b"x"], [None]), path)
            sent.clear()
            told.clear()

    def test_noBodyLost(self) -> None:
        """
        Such a producer is told to stop when the client goes before the answer.
        """
        producer = PushProducer()
        told: list[Any] = []

        def answer(request: Any) -> int:
            request.notifyFinish().addBoth(told.append)
            request.registerProducer(producer, True)
            return server.NOT_DONE_YET

        both = self.serve(answer)
        stream = both.client.request({":method": "HEAD"})
        both.pump()
        stream.close(ErrorCode.CANCEL)
        both.pump()
        self.assertEqual(producer.told, ["stop"])
        told[0].trap(ConnectionLost)

    def test_stoppedByHeaders(self) -> None:
        """
        A request whose headers cannot be sent is over, although its producer was to finish it and has been told to stop.
        """
        told: list[Any] = []
        producers: list[PushProducer] = []

        def answer(request: Any) -> int:
            request.notifyFinish().addBoth(told.append)
            request.setResponseCode(999)
            self.clock.callLater(1, later, request)
            return server.NOT_DONE_YET

        def later(request: Any) -> None:
            producers.append(PushProducer())
            request.registerProducer(producers[-1], True)
            request.write(b"x")
            request.write(b"x")

        both = self.serve(answer)
        stream = both.client.request()
        both.pump()
        both.advance(1)
        both.advance(0)
        self.assertIsNone(self.successResultOf(stream.whenClosed()))
        self.assertEqual((told, producers[0].told), ([None], ["stop"]))
        self.assertEqual(len(self.flushLoggedErrors(InvalidHeader)), 1)

    def test_stopped(self) -> None:
        """
        Producers are told to stop when the client goes, and pull producers are asked no more.
        """
        push = PushProducer()
        pulls: list[PullProducer] = []

        def answer(request: Any) -> int:
            if request.path == b"/push":
                request.registerProducer(push, True)
            else:
                pulls.append(PullProducer(request, 100, 10_000 if request.path == b"/pull" else 0))
            return server.NOT_DONE_YET

        both = self.serve(answer, clientSettings=Settings(initialWindowSize=0))
        streams = [both.client.request({":path": path}) for path in ("/push", "/pull", "/idle")]
        both.pump()
        for stream in streams:
            stream.close(ErrorCode.CANCEL)
        both.pump()
        left = [each.left for each in pulls]
        both.advance(1)
        self.assertEqual(push.told, ["stop"])
        self.assertEqual([each.stopped for each in pulls], [True, True])
        self.assertEqual([each.left for each in pulls], left)


class StreamTests(WebCase):
    """
    What only HTTP/2 has, reached from a request.
    """

    def test_stream(self) -> None:
        """
        C{streamOf} gives the stream, before and after the end, and nothing over HTTP/1.1.
        """
        requests: list[Any] = []

        def answer(request: Any) -> bytes:
            requests.append(request)
            stream = streamOf(request)
            if stream is None:
                self.assertFalse(setTrailers(request, {"x": "y"}))
                self.assertIsNone(peerCertificateOf(request))
                return b"old"
            stream.additionalHeaders({":status": 103, "link": "</a.css>"})
            stream.reprioritize(1)
            self.assertTrue(setTrailers(request, {"x-checksum": "7"}))
            return b"%d" % (stream.id or 0)

        both = self.serve(answer)
        stream = both.client.request()
        told: list[int | None] = []
        stream.addListener(Informed(told))
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"1")
        self.assertEqual(told, [103])
        trailers = self.successResultOf(stream.whenTrailers())
        assert trailers is not None
        self.assertEqual(trailers["x-checksum"], "7")
        self.assertFalse(setTrailers(requests[0], {"x": "y"}))
        found = streamOf(requests[0])
        assert found is not None
        self.assertEqual((found.id, found.closed), (1, True))
        self.assertEqual(self.askOld(answer, b"GET / HTTP/1.1\r\n\r\n").body, b"old")
        self.assertIsNone(streamOf(object()))  # type: ignore[arg-type]

    def test_badTrailers(self) -> None:
        """
        Trailers that may not be sent are logged, and cut the answer.
        """

        def answer(request: Any) -> bytes:
            setTrailers(request, {":status": "200"})
            return b"body"

        both = self.serve(answer)
        stream = both.client.request()
        both.pump()
        self.failureResultOf(stream.read(), StreamError)
        self.assertEqual(len(self.flushLoggedErrors(InvalidHeader)), 1)

    def test_requestTrailers(self) -> None:
        """
        The client's trailers are there when an upload is.
        """

        def answer(request: Any) -> bytes:
            stream = streamOf(request)
            assert stream is not None
            trailers = self.successResultOf(stream.whenTrailers())
            assert trailers is not None
            return request.content.read() + trailers[b"x-checksum"]

        both = self.serve(answer)
        stream = both.client.request({":method": "POST"})
        stream.end(b"sum: ", trailers={"x-checksum": "7"})
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"sum: 7")

    def test_push(self) -> None:
        """
        A resource pushes what the site answers to another request.
        """

        def answer(request: Any) -> bytes:
            if request.path == b"/style":
                return b"style"
            stream = streamOf(request)
            assert stream is not None
            pushed = stream.pushStream({":path": "/style"})
            self.wrapped.streamReceived(pushed, pushed.headers)
            return b"page"

        pushes: list[Any] = []
        both = self.serve(answer, clientSettings=Settings(enablePush=True))
        stream = both.client.request()
        listener: Any = Informed([])
        listener.__dict__["pushReceived"] = lambda stream, pushed, headers: pushes.append((headers.path, pushed.read()))
        stream.addListener(listener)
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"page")
        ((path, body),) = pushes
        self.assertEqual((path, self.successResultOf(body)), ("/style", b"style"))

    def test_answerOnTheStream(self) -> None:
        """
        An answer that a resource sends on the stream itself counts as the request's, also if it finishes that as well.
        """
        told: list[Any] = []

        def answer(request: Any) -> int:
            request.notifyFinish().addBoth(told.append)
            stream = streamOf(request)
            assert stream is not None
            stream.respond({":status": 201})
            stream.end(b"made", trailers={"x": "y"})
            if request.path == b"/both":
                request.finish()
            return server.NOT_DONE_YET

        both = self.serve(answer)
        for path in ("/stream", "/both"):
            answered = self.fetch(both, {":path": path})
            self.assertEqual((answered.status, answered.body), (201, b"made"))
            both.advance(0)
        self.assertEqual(told, [None, None])

    def test_pause(self) -> None:
        """
        A request's transport can hold an upload back.
        """
        requests: list[Any] = []

        def answer(request: Any) -> int:
            requests.append(request)
            request.transport.pauseProducing()
            uploadOf(request).read().addCallback(request.write).addCallback(lambda _: request.finish())
            return server.NOT_DONE_YET

        both = self.serve(StreamingLeaf(answer))
        stream = both.client.request({":method": "POST"})
        stream.end(b"upload")
        both.pump()
        body = stream.read()
        self.assertNoResult(body)
        requests[0].transport.resumeProducing()
        both.pump()
        self.assertEqual(self.successResultOf(body), b"upload")


class Receiver(Protocol):
    """
    Collects a body.
    """

    def __init__(self, pauses: bool = False) -> None:
        self.data = b""
        self.reason: Failure | None = None
        self._pauses = pauses

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data += data
        if self._pauses:
            self.transport.pauseProducing()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = None) -> None:  # type: ignore[assignment]
        """Keep it."""
        self.reason = reason


class StreamingTests(WebCase):
    """
    Resources that want their requests at once.
    """

    def test_early(self) -> None:
        """
        It is called when the headers are there, reads what comes, and answers meanwhile.
        """

        def echo(request: Any) -> int:
            self.assertEqual((request.content.read(), request.args), (b"", {b"a": [b"b"]}))
            self.assertEqual((request.prepath, request.postpath), ([b"up"], [b"x"]))

            async def run() -> None:
                async for chunk in uploadOf(request):
                    request.write(chunk.upper())
                request.finish()

            Deferred.fromCoroutine(run())
            return server.NOT_DONE_YET

        root = Resource()
        root.putChild(b"up", StreamingLeaf(echo))
        site = self.site(root)
        both = self.serve(site)
        stream = both.client.request({":method": "POST", ":path": "/up/x?a=b"})
        receiver = Receiver()
        stream.deliverBody(receiver)
        both.pump()
        self.assertEqual(receiver.data, b"")
        for word in (b"one ", b"two"):
            stream.write(word)
            both.pump()
        self.assertEqual(receiver.data, b"ONE TWO")
        stream.end()
        both.pump()
        assert receiver.reason is not None
        receiver.reason.trap(ResponseDone)

    def test_everywhere(self) -> None:
        """
        The same resource serves HTTP/1.1, requests without an upload, and requests whose resource is found late.
        """

        def length(request: Any) -> int:
            uploadOf(request).read().addCallback(lambda body: request.write(b"%d" % len(body))).addCallback(
                lambda _: request.finish()
            )
            return server.NOT_DONE_YET

        leaf = StreamingLeaf(length)
        self.assertEqual(self.ask(leaf, {":method": "POST"}, b"x" * 5).body, b"5")
        self.assertEqual(self.ask(leaf).body, b"0")
        self.assertEqual(self.ask(leaf, {":method": "POST"}, b"x" * 5, streaming=False).body, b"5")
        old = self.askOld(leaf, b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nxxxxx")
        self.assertEqual(old.body, b"5")
        portal = Portal(Realm(leaf), [InMemoryUsernamePasswordDatabaseDontUse(user=b"secret")])
        guarded = HTTPAuthSessionWrapper(portal, [BasicCredentialFactory(b"here")])
        password = "Basic " + b64encode(b"user:secret").decode()
        self.assertEqual(self.ask(guarded, {":method": "POST", "authorization": password}, b"x" * 5).body, b"5")

    def test_answersEarly(self) -> None:
        """
        It may answer without reading: the client is told to stop, and has the answer.
        """
        both = self.serve(StreamingLeaf(lambda request: b"no, thanks"))
        stream = both.client.request({":method": "POST"})
        stream.write(b"x" * 100_000)
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"no, thanks")
        both.advance(1)
        self.assertEqual((stream.closed, stream.rstCode), (True, ErrorCode.NO_ERROR))

    def test_backPressure(self) -> None:
        """
        What it does not read stays with the client, but for a window.
        """
        both = self.serve(StreamingLeaf(lambda request: server.NOT_DONE_YET), settings=Settings(initialWindowSize=1000))
        stream = both.client.request({":method": "POST"})
        stream.write(b"x" * 100_000)
        both.pump()
        self.assertEqual(stream.bufferSize, 99_000)

    def test_raises(self) -> None:
        """
        One that raises gives 500 before the upload has come.
        """

        def broken(request: Any) -> int:
            raise RuntimeError("a broken resource")

        both = self.serve(StreamingLeaf(broken))
        stream = both.client.request({":method": "POST"})
        both.pump()
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_foundOnce(self) -> None:
        """
        The tree is walked once for a request, and what is set on the way stays.
        """

        class Root(Resource):
            """Counts."""

            walked = 0

            def getChild(self, path: bytes, request: Any) -> Resource:
                """Set headers that the answer has otherwise."""
                self.walked += 1
                request.setHeader("server", "mine")
                request.responseHeaders.addRawHeader("x-added", "1")
                return leaves[path]

        leaves = {b"plain": Leaf(lambda request: request.content.read()), b"stream": StreamingLeaf(lambda request: b"")}
        for path in ("/plain", "/stream"):
            root = Root()
            answer = self.ask(root, {":method": "POST", ":path": path}, b"x")
            self.assertEqual((root.walked, answer.get("server"), answer.get("x-added")), (1, "mine", "1"))

    def test_walkFails(self) -> None:
        """
        A tree that breaks while it is walked gives 500 at once.
        """

        class Root(Resource):
            """Breaks."""

            def getChild(self, path: bytes, request: Any) -> Resource:
                """Break."""
                raise RuntimeError("a broken tree")

        both = self.serve(Root())
        stream = both.client.request({":method": "POST"})
        both.pump()
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_site(self) -> None:
        """
        A request whose resource was found early has the site itself, as every other.
        """
        sites: list[Any] = []
        site = self.site(lambda request: sites.append(request.site) or b"")
        self.ask(site, {":method": "POST"}, b"x")
        self.assertIs(sites[0], site)

    def test_cut(self) -> None:
        """
        An upload that is cut never looks whole.
        """
        bodies: list[Deferred[bytes]] = []

        def answer(request: Any) -> int:
            bodies.append(uploadOf(request).read())
            return server.NOT_DONE_YET

        both = self.serve(StreamingLeaf(answer))
        stream = both.client.request({":method": "POST"})
        stream.write(b"half")
        both.pump()
        stream.close(ErrorCode.NO_ERROR)
        both.pump()
        self.failureResultOf(bodies[0], StreamAborted)


class SpooledUploadTests(WebCase):
    """
    Uploads that were stored.
    """

    def upload(self, use: Callable[[Any], Any]) -> None:
        """
        Hand an upload of 200,000 bytes that came over HTTP/1.1 to a function.
        """
        used: list[Any] = []

        def answer(request: Any) -> bytes:
            used.append(use(uploadOf(request)))
            return b""

        protocol = wrapSite(self.site(answer), clock=self.clock).buildProtocol(None)
        assert protocol is not None
        protocol.makeConnection(PipeTransport("server", "client"))
        protocol.dataReceived(b"POST / HTTP/1.1\r\nContent-Length: 200000\r\n\r\n" + b"0123456789" * 20_000)
        self.assertEqual(len(used), 1)

    def test_iterate(self) -> None:
        """
        It can be iterated over, once.
        """

        async def collect(upload: Any) -> bytes:
            return b"".join([chunk async for chunk in upload])

        def use(upload: Any) -> None:
            body = self.successResultOf(Deferred.fromCoroutine(collect(upload)))
            self.assertEqual(body, b"0123456789" * 20_000)
            with self.assertRaises(InvalidState):
                upload.read()

        self.upload(use)

    def test_read(self) -> None:
        """
        It can be read whole, up to a limit.
        """
        self.upload(lambda upload: self.assertEqual(len(self.successResultOf(upload.read(limit=200_000))), 200_000))
        self.upload(lambda upload: self.failureResultOf(upload.read(limit=199_999), BodyTooLong))

    def test_deliver(self) -> None:
        """
        It can be delivered to a protocol, which may pause and stop it.
        """

        def whole(upload: Any) -> None:
            receiver = Receiver()
            upload.deliverBody(receiver)
            assert receiver.reason is not None
            self.assertEqual(len(receiver.data), 200_000)
            receiver.reason.trap(ResponseDone)

        def paused(upload: Any) -> None:
            receiver = Receiver(pauses=True)
            upload.deliverBody(receiver)
            transport: Any = receiver.transport
            self.assertEqual(transport.getPeer(), transport.getPeer())
            self.assertNotEqual(transport.getPeer(), transport.getHost())
            steps = 0
            while receiver.reason is None:
                before = len(receiver.data)
                transport.resumeProducing()
                self.assertGreaterEqual(65_536, len(receiver.data) - before)
                steps += 1
            self.assertEqual((len(receiver.data), steps), (200_000, 4))

        def stopped(upload: Any) -> None:
            receiver = Receiver(pauses=True)
            upload.deliverBody(receiver)
            transport: Any = receiver.transport
            transport.loseConnection()
            assert receiver.reason is not None
            receiver.reason.trap(ConnectionDone)
            transport.resumeProducing()
            self.assertEqual((len(receiver.data), transport.disconnecting), (65_536, True))

        for use in (whole, paused, stopped):
            self.upload(use)
