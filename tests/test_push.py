"""
Server push, both ways (RFC 9113 section 8.4).
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import PushPromiseFrame
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import (
    ClientSession,
    ErrorCode,
    Headers,
    InvalidHeader,
    InvalidState,
    Limits,
    Server,
    Settings,
    Stream,
    StreamAborted,
    StreamListener,
)
from txh2session.testing import FramePeer, connectedSessions, requestFields

WANTED = Settings(enablePush=True)


class Collector(StreamListener):
    """
    Keeps the pushes it is told of.
    """

    def __init__(self) -> None:
        self.pushes: list[tuple[Any, Headers]] = []

    def pushReceived(self, stream: Stream, pushed: Stream, headers: Headers) -> None:
        """Keep it."""
        self.pushes.append((pushed, headers))


class PushFixture:
    """
    Two sessions, and a request that waits for its answer.
    """

    def setUp(self) -> None:
        """
        Connect, and make a request that waits for its answer.
        """
        self.connect(clientSettings=WANTED)

    def connect(self, **options: Any) -> None:
        """
        Connect.
        """
        self.streams: list[Any] = []
        self.both = connectedSessions(lambda stream, headers: self.streams.append(stream), **options)
        self.request = self.both.client.request({":path": "/page"})
        self.collector = Collector()
        self.request.addListener(self.collector)
        self.both.pump()
        (self.stream,) = self.streams


class PushTests(PushFixture, SynchronousTestCase):
    """
    Pushes that a client asked for.
    """

    def test_nextStreamID(self) -> None:
        """
        A server can leave ids out for its pushes, and use them up.
        """
        session = self.both.serverSession
        self.assertRaises(ValueError, session.setNextStreamID, 3)
        session.setNextStreamID(2**31 - 2)
        self.assertEqual(self.stream.pushStream({":path": "/a"}).id, 2**31 - 2)
        self.assertRaises(InvalidState, self.stream.pushStream, {":path": "/b"})
        self.both.pump()
        self.assertFalse(session.destroyed)

    def test_push(self) -> None:
        """
        A push reaches the listener with its request, then its answer and body; the parent goes on.
        """
        self.assertTrue(self.stream.pushAllowed)
        pushed = self.stream.pushStream({":path": "/style.css", "accept": "text/css"})
        self.assertEqual((pushed.id, pushed.headers.path, pushed.headers.authority), (2, "/style.css", "localhost"))
        pushed.respond({"content-type": "text/css"})
        pushed.end(b"x" * 100_000)
        self.stream.end(b"page")
        self.both.pump()
        ((mine, headers),) = self.collector.pushes
        self.assertEqual((headers.method, headers.path, headers["accept"]), ("GET", "/style.css", "text/css"))
        self.assertEqual(mine.sentHeaders, headers)
        self.assertEqual(self.successResultOf(mine.whenResponse())["content-type"], "text/css")
        self.assertEqual(len(self.successResultOf(mine.read())), 100_000)
        self.assertEqual(self.successResultOf(self.request.read()), b"page")
        for stream in (mine, pushed):
            self.assertIsNone(self.successResultOf(stream.whenClosed()))

    def test_head(self) -> None:
        """
        A pushed answer to HEAD has no body.
        """
        pushed = self.stream.pushStream({":method": "HEAD"})
        pushed.respond({"content-length": 5})
        self.both.pump()
        ((mine, _),) = self.collector.pushes
        self.assertEqual(self.successResultOf(mine.read()), b"")

    def test_refuse(self) -> None:
        """
        A push that is refused with CANCEL leaves its parent alone.
        """
        pushed = self.stream.pushStream({":path": "/a"})
        pushed.write(b"x" * 10)
        self.both.pump()
        ((mine, _),) = self.collector.pushes
        mine.close(ErrorCode.CANCEL)
        self.both.pump()
        self.assertEqual(pushed.rstCode, ErrorCode.CANCEL)
        self.assertTrue(pushed.aborted)
        body = self.request.read()
        self.stream.end(b"page")
        self.both.pump()
        self.assertEqual(self.successResultOf(body), b"page")

    def test_nobodyListens(self) -> None:
        """
        A push that nobody listens for is refused.
        """
        self.streams.clear()
        self.both.client.request()
        self.both.pump()
        pushed = self.streams[0].pushStream({":path": "/a"})
        self.both.pump()
        self.assertEqual(pushed.rstCode, ErrorCode.CANCEL)

    def test_forbidden(self) -> None:
        """
        To a client that forbade it, from a push, after the end, or on a dead session: a clear error.
        """
        pushed = self.stream.pushStream({":path": "/a"})
        self.assertFalse(pushed.pushAllowed)
        with self.assertRaises(InvalidState):
            pushed.pushStream({":path": "/b"})
        self.stream.end(b"page")
        self.assertFalse(self.stream.pushAllowed)
        with self.assertRaises(InvalidState):
            self.stream.pushStream({":path": "/b"})
        self.connect()
        self.assertFalse(self.stream.pushAllowed)
        with self.assertRaises(InvalidState):
            self.stream.pushStream({":path": "/b"})
        self.connect(clientSettings=WANTED)
        self.both.serverSession.close()
        with self.assertRaises(InvalidState):
            self.stream.pushStream({":path": "/b"})

    def test_information(self) -> None:
        """
        A push has no 1xx responses: nobody asked for it, so nobody waits.
        """
        pushed = self.stream.pushStream({":path": "/a"})
        with self.assertRaisesRegex(InvalidState, "push"):
            pushed.additionalHeaders({":status": 103})
        self.assertEqual(pushed.sentInformation, [])
        pushed.end(b"pushed")
        self.both.pump()
        self.assertTrue(pushed.closed)

    def test_headers(self) -> None:
        """
        What is pushed answers GET or HEAD, with headers that may be sent.
        """
        for headers in ({":method": "POST"}, {":path": "nowhere"}, {"connection": "close"}):
            with self.assertRaises(InvalidHeader):
                self.stream.pushStream(headers)

    def test_limit(self) -> None:
        """
        No more pushes than the client's MAX_CONCURRENT_STREAMS are open at once.
        """
        self.connect(clientSettings=Settings(enablePush=True, maxConcurrentStreams=2))
        first = self.stream.pushStream({":path": "/1"})
        self.stream.pushStream({":path": "/2"})
        with self.assertRaises(InvalidState):
            self.stream.pushStream({":path": "/3"})
        first.end(b"x")
        self.both.pump()
        self.assertEqual(self.stream.pushStream({":path": "/3"}).id, 6)

    def test_sessionEnds(self) -> None:
        """
        Pushes end with their session.
        """
        self.stream.pushStream({":path": "/1"}).respond()
        self.both.pump()
        ((mine, _),) = self.collector.pushes
        body = mine.read()
        self.both.serverSession.destroy()
        self.both.pump()
        self.failureResultOf(body, StreamAborted)


class ReservedTests(SynchronousTestCase):
    """
    Streams that were promised and have not begun (RFC 9113 section 5.1).
    """

    def test_client(self) -> None:
        """
        A server that sends anything but HEADERS, PRIORITY and RST_STREAM on one ends the connection.
        """
        for frame in (FramePeer.data(2, b"x"), FramePeer.window(2, 1)):
            session = ClientSession("http", "localhost", WANTED)
            peer = FramePeer.toClient(session, Clock())
            session.request().addListener(Collector())
            peer.send(peer.promise(1, 2), peer.priority(2))
            self.assertFalse(session.destroyed)
            peer.send(frame)
            self.assertIn("GOAWAY 2 PROTOCOL_ERROR", peer.names())

    def test_server(self) -> None:
        """
        A client that sends anything but WINDOW_UPDATE, PRIORITY and RST_STREAM on one ends the connection; once it has
        begun, DATA and HEADERS cost the stream.
        """
        for begun, expected in ((False, "GOAWAY 1 PROTOCOL_ERROR"), (True, "RST_STREAM 2 STREAM_CLOSED")):
            for kind in ("data", "headers"):
                pushes: list[Any] = []
                server = Server(lambda stream, _, made=pushes: made.append(stream.pushStream({})), clock=Clock())
                peer = FramePeer.toServer(server)
                peer.send(peer.get(1))
                peer.send(peer.window(2, 1), peer.priority(2))
                if begun:
                    pushes[0].respond()
                peer.take()
                peer.send(peer.data(2, b"x") if kind == "data" else peer.headers(2, [("a", "b")]))
                self.assertIn(expected, peer.names())


class ClosingTests(PushFixture, SynchronousTestCase):
    """
    A client that closes while pushes are open.
    """

    def test_closeLetsPushesFinish(self) -> None:
        """
        A push that is open when the client closes its session finishes like its parent.
        """
        pushed = self.stream.pushStream({":path": "/a"})
        pushed.write(b"half ")
        self.both.pump()
        ((mine, _),) = self.collector.pushes
        body = mine.read()
        closed = self.both.client.close()
        self.both.pump()
        pushed.end(b"and half")
        self.stream.end()
        self.both.pump()
        self.assertEqual(self.successResultOf(body), b"half and half")
        self.assertIsNone(self.successResultOf(closed))


class PromiseTests(SynchronousTestCase):
    """
    A client and a server that promises wrongly.
    """

    def setUp(self) -> None:
        """
        Send a request.
        """
        self.connect()

    def connect(self, **options: Any) -> None:
        """
        Connect.
        """
        self.session = ClientSession("http", "localhost", WANTED, **options)
        self.peer = FramePeer.toClient(self.session, Clock())
        self.request = self.session.request()
        self.collector = Collector()
        self.request.addListener(self.collector)
        self.peer.take()

    def promise(self, promised: int, fields: list[tuple[str, str]], parent: int = 1) -> PushPromiseFrame:
        """
        Make a promise of any request.
        """
        return PushPromiseFrame(parent, promised, self.peer.encoder.encode(fields), flags=["END_HEADERS"])

    def test_malformed(self) -> None:
        """
        A malformed promise, or one of a request that is not safe, costs that push only.
        """
        for number, fields in enumerate(
            (requestFields()[1:], requestFields("POST"), [*requestFields(), ("content-length", "1")], [(":path", "/")])
        ):
            promised = 2 * number + 2
            self.peer.send(self.promise(promised, fields))
            self.assertEqual(self.peer.names(), [f"RST_STREAM {promised} PROTOCOL_ERROR"])
        self.assertEqual(self.collector.pushes, [])
        self.peer.send(self.peer.response(1, end=True))
        self.assertEqual(self.successResultOf(self.request.whenResponse()).status, 200)

    def test_otherOrigins(self) -> None:
        """
        A promise of another origin than the session's, or the request's, costs that push only (8.4).
        """
        for number, (scheme, authority) in enumerate(
            (("http", "elsewhere"), ("https", "localhost"), ("http", "localhost:8080"))
        ):
            fields = [(":method", "GET"), (":scheme", scheme), (":authority", authority), (":path", "/")]
            self.peer.send(self.promise(2 * number + 2, fields))
            self.assertEqual(self.peer.names(), [f"RST_STREAM {2 * number + 2} PROTOCOL_ERROR"])
        self.assertEqual(self.collector.pushes, [])
        other = self.session.request({":authority": "other.example"})
        other.addListener(self.collector)
        self.peer.take()
        for number, (parent, authority) in enumerate(((1, "LOCALHOST:80"), (3, "other.example"), (3, "localhost"))):
            fields = [(":method", "GET"), (":scheme", "http"), (":authority", authority), (":path", "/")]
            self.peer.send(self.promise(2 * number + 10, fields, parent))
        self.assertEqual(self.peer.names(), [])
        self.assertEqual(len(self.collector.pushes), 3)

    def test_wrongStreams(self) -> None:
        """
        A promise on a stream that is no open request, or of a stream that is not new, ends the connection.
        """
        for promise in (
            self.promise(3, requestFields()),
            self.promise(0, requestFields()),
            self.promise(2, requestFields(), parent=9),
            self.promise(2, requestFields(), parent=2),
        ):
            self.connect()
            self.peer.send(promise)
            self.assertEqual(self.peer.names(), ["GOAWAY 0 PROTOCOL_ERROR"])
        self.connect()
        self.peer.send(self.promise(4, requestFields()), self.promise(2, requestFields()))
        self.assertIn("GOAWAY 4 PROTOCOL_ERROR", self.peer.names())

    def test_lateForAReset(self) -> None:
        """
        A promise on its way when the request was cancelled is refused, and HPACK stays in step.
        """
        self.request.close(ErrorCode.CANCEL)
        other = self.session.request()
        self.peer.take()
        self.peer.send(self.promise(2, [*requestFields(), ("a", "b")]))
        self.assertEqual(self.peer.names(), ["RST_STREAM 2 CANCEL"])
        self.peer.send(self.peer.response(3, ("a", "b"), end=True))
        self.assertEqual(self.successResultOf(other.whenResponse())["a"], "b")

    def test_afterClose(self) -> None:
        """
        A promise after the client's GOAWAY is refused.
        """
        self.session.close()
        self.peer.take()
        self.peer.send(self.promise(2, requestFields()))
        self.assertEqual(self.peer.names(), ["RST_STREAM 2 REFUSED_STREAM"])
        self.assertEqual(self.collector.pushes, [])

    def test_tooMany(self) -> None:
        """
        More promises than C{Limits.reservedStreams} are refused with CANCEL.
        """
        self.connect(limits=Limits(reservedStreams=2))
        self.peer.send(*(self.promise(number, requestFields()) for number in (2, 4, 6)))
        self.assertEqual(self.peer.names(), ["RST_STREAM 6 CANCEL"])
        self.peer.send(self.peer.response(2), self.promise(8, requestFields()))
        self.assertEqual(self.peer.take(), [])
        self.assertEqual(len(self.collector.pushes), 3)
