"""
L{txh2session.server} and L{txh2session.serving}: answering, failing, draining, and what a server's port can meet.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fixtures import Recorder
from txh2session import (
    ErrorCode,
    Headers,
    InvalidHeader,
    InvalidSetting,
    InvalidState,
    Server,
    ServerStream,
    Settings,
    StreamAborted,
    StreamError,
    Timeouts,
)
from txh2session.testing import FramePeer, connectedSessions


class ServerTests(SynchronousTestCase):
    """
    A server against a peer that speaks frames.
    """

    def setUp(self) -> None:
        """
        Make a server that keeps its streams, and a client of it.
        """
        self.clock = Clock()
        self.streams: list[ServerStream] = []
        self.server = self.serve(lambda stream, headers: self.streams.append(stream))
        self.peer = FramePeer.toServer(self.server)

    def serve(self, streamReceived: Any, **options: Any) -> Server:
        """
        Make a server on the test's clock.
        """
        return Server(streamReceived, clock=self.clock, **options)

    def ask(self, answer: Any, method: str = "GET") -> list[str]:
        """
        Ask a server that answers with a function of the stream.

        @return: the frames it sent.
        """
        peer = FramePeer.toServer(self.serve(lambda stream, headers: answer(stream)))
        peer.send(peer.get(1, method=method))
        return peer.names()

    # Answering

    def test_preface(self) -> None:
        """
        The first frame is SETTINGS, without ENABLE_PUSH, and only once the client has shown itself.
        """
        peer = FramePeer.toServer(self.server, start=False)
        self.assertEqual(peer.take(), [])
        peer.sendBytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        (settings, _) = peer.take()
        self.assertEqual(settings.settings[settings.MAX_CONCURRENT_STREAMS], 100)
        self.assertNotIn(settings.ENABLE_PUSH, settings.settings)

    def test_request(self) -> None:
        """
        C{streamReceived} is called when the headers are there, with all facts.
        """
        self.peer.send(self.peer.post(1, "/path?query", ("a", "b")))
        (stream,) = self.streams
        self.assertEqual((stream.id, stream.pending, stream.endAfterHeaders), (1, False, False))
        self.assertEqual((stream.headers.method, stream.headers.path), ("POST", "/path?query"))
        self.assertEqual((stream.headers.scheme, stream.headers.authority), ("http", "localhost"))
        self.assertFalse(stream.headersSent)
        self.assertIs(stream.session.server, self.server)

    def test_headRequest(self) -> None:
        """
        C{headRequest} says whether the method is HEAD (8.11).
        """
        self.peer.send(self.peer.get(1), self.peer.get(3, method="HEAD"))
        self.assertEqual([stream.headRequest for stream in self.streams], [False, True])

    def test_listener(self) -> None:
        """
        The server's listener hears of each stream before the handler, and of a session's error at its end (5.8, 11.4).
        """
        log: list[Any] = []
        server = self.serve(lambda stream, headers: log.append("handler"), listener=Recorder(log))
        peer = FramePeer.toServer(server)
        peer.send(peer.get(1))
        self.assertEqual(log[-2:], [("stream", 1), "handler"])
        peer.sendBytes(bytes.fromhex("000007060000000000") + bytes(7))
        self.clock.advance(5)
        peer.take()
        name, error = log[-1]
        self.assertEqual(name, "session closed")
        self.assertEqual(error.code, ErrorCode.FRAME_SIZE_ERROR)

    def test_sensitive(self) -> None:
        """
        What is sensitive is never indexed on the wire, and known as such when it arrives (12.14, 12.15).
        """
        seen: list[Any] = []
        both = connectedSessions(
            lambda stream, headers: (seen.append(headers), stream.respond(Headers({"x-key": "y"}, sensitive=["x-key"])))
        )
        asked = Headers({"x-token": "1", "authorization": "2", "cookie": "short", "plain": "3"}, sensitive=["X-Token"])
        stream = both.client.request(asked)
        both.pump()
        self.assertEqual(seen[0].sensitive, {b"x-token", b"authorization", b"cookie"})
        self.assertEqual(self.successResultOf(stream.whenResponse()).sensitive, {b"x-key"})

    def test_respond(self) -> None:
        """
        C{respond} sends 200 and a date unless told otherwise, and C{sentHeaders} shows it (10.1).
        """
        self.peer.send(self.peer.get(1), self.peer.get(3))
        one, two = self.streams
        one.respond()
        two.respond({":status": 404, "date": "today", "X-A": ["1", "2"]}, endStream=True)
        first, second = self.peer.take()
        self.assertEqual([name for name, _ in first.fields], [":status", "date"])
        self.assertEqual(second.fields, [(":status", "404"), ("date", "today"), ("x-a", "1"), ("x-a", "2")])
        self.assertIn("END_STREAM", second.flags)
        self.assertTrue(one.headersSent)
        self.assertEqual(two.sentHeaders.status, 404)  # type: ignore[union-attr]

    def test_oneFrame(self) -> None:
        """
        END_STREAM is on the last DATA frame, or on HEADERS; no empty frame follows.
        """
        cases = {
            "one call": (lambda stream: stream.end(b"hi"), ["HEADERS 1 200", "DATA 1 2 END_STREAM"]),
            "write, end": (
                lambda stream: (stream.respond(), stream.write(b"hi"), stream.end()),
                ["HEADERS 1 200", "DATA 1 2 END_STREAM"],
            ),
            "nothing": (lambda stream: stream.end(), ["HEADERS 1 200 END_STREAM"]),
            "no body": (lambda stream: stream.respond(endStream=True), ["HEADERS 1 200 END_STREAM"]),
            "trailers": (
                lambda stream: stream.end(b"hi", trailers={"a": "b"}),
                ["HEADERS 1 200", "DATA 1 2", "HEADERS 1 END_STREAM"],
            ),
            "only trailers": (
                lambda stream: stream.end(trailers={"a": "b"}),
                ["HEADERS 1 200", "HEADERS 1 END_STREAM"],
            ),
        }
        for name, (answer, frames) in cases.items():
            self.assertEqual(self.ask(answer), frames, name)

    def test_oneWrite(self) -> None:
        """
        All that one read of the transport's causes is one write.
        """
        server = self.serve(lambda stream, headers: stream.end(b"hi"))
        peer = FramePeer.toServer(server)
        writes = peer.transport.writes
        peer.send(*(peer.get(number) for number in range(1, 41, 2)))
        self.assertEqual(peer.transport.writes, writes + 1)
        self.assertEqual(len(peer.take()), 40)

    def test_implicitRespond(self) -> None:
        """
        C{write} before C{respond} answers 200 (10.2).
        """
        self.assertEqual(self.ask(lambda stream: stream.write(b"hi")), ["HEADERS 1 200", "DATA 1 2"])

    def test_bodiless(self) -> None:
        """
        An answer to HEAD, and a 204, 205 or 304, has no body: what is written is dropped (10.1, 15.17).
        """

        def answer(status: int) -> Any:
            def body(stream: ServerStream) -> None:
                stream.respond({":status": status, "content-length": 2})
                stream.write(b"hi")
                stream.end(b"there", trailers={"a": "b"})

            return body

        for status in (204, 205, 304):
            self.assertEqual(self.ask(answer(status)), [f"HEADERS 1 {status} END_STREAM"])
        self.assertEqual(self.ask(answer(200), "HEAD"), ["HEADERS 1 200 END_STREAM"])

        async def send(stream: ServerStream) -> None:
            stream.respond()
            await stream.send(b"dropped")

        self.assertEqual(self.ask(send, "HEAD"), ["HEADERS 1 200 END_STREAM"])

    def test_listenAfterClose(self) -> None:
        """
        A port that an endpoint opens only after C{close} is stopped at once.
        """
        opening: Deferred[Any] = Deferred()
        stopped: list[bool] = []

        class Port:
            def stopListening(self) -> None:
                stopped.append(True)

        class Endpoint:
            def listen(self, factory: Any) -> Deferred[Any]:
                return opening

        server = self.serve(None)
        listening = server.listen(Endpoint())  # type: ignore[arg-type]
        server.close()
        opening.callback(Port())
        self.failureResultOf(listening, InvalidState)
        self.assertEqual(stopped, [True])

    def test_noDate(self) -> None:
        """
        A stream can be told to add no C{date} (10.14).
        """

        def answer(stream: ServerStream) -> None:
            stream.sendDate = False
            stream.respond()
            self.streams.append(stream)

        self.ask(answer)
        sent = self.streams[-1].sentHeaders
        assert sent is not None
        self.assertEqual(sent.rawHeaders, [(b":status", b"200")])

    def test_misuse(self) -> None:
        """
        Answering twice, too late, or with a status that is none raises at the call (14.18, 14.19).
        """
        self.peer.send(self.peer.get(1))
        (stream,) = self.streams
        for status in (99, 100, 101, 199, 600, "abc", ""):
            with self.assertRaises(InvalidHeader):
                stream.respond({":status": status})
        for headers in ({":path": "/"}, {"connection": "close"}, {"a": "b\n"}):
            with self.assertRaises(InvalidHeader):
                stream.respond(headers)
        self.assertEqual(self.peer.take(), [])
        stream.respond()
        for call in (stream.respond, lambda: stream.additionalHeaders({":status": 103})):
            with self.assertRaises(InvalidState):
                call()
        stream.end()
        for call in (stream.respond, stream.end):
            with self.assertRaises(InvalidState):
                call()

    def test_respondOnAClosedStream(self) -> None:
        """
        C{respond} raises on a stream the client has reset; C{write} and C{end} do nothing.
        """
        self.peer.send(self.peer.get(1), self.peer.reset(1))
        (stream,) = self.streams
        for call in (stream.respond, lambda: stream.additionalHeaders({":status": 103})):
            with self.assertRaises(InvalidState):
                call()
        stream.write(b"x")
        stream.end()
        self.assertEqual(self.peer.take(), [])
        self.assertEqual(stream.rstCode, ErrorCode.CANCEL)

    def test_additionalHeaders(self) -> None:
        """
        1xx responses go before the final one (10.3).
        """
        self.peer.send(self.peer.get(1))
        (stream,) = self.streams
        for headers in ({}, {":status": 101}, {":status": 200}, {":status": 103, ":path": "/"}):
            with self.assertRaises(InvalidHeader):
                stream.additionalHeaders(headers)
        stream.additionalHeaders({":status": 103, "link": "</a.css>"})
        stream.additionalHeaders({":status": 100})
        stream.respond(endStream=True)
        self.assertEqual(self.peer.names(), ["HEADERS 1 103", "HEADERS 1 100", "HEADERS 1 200 END_STREAM"])
        self.assertEqual([each.status for each in stream.sentInformation], [103, 100])

    def test_continue(self) -> None:
        """
        A client that waits for a 100 gets it when the application begins to read, and not after an answer.
        """
        expecting = ("expect", "100-continue")
        self.peer.send(
            self.peer.post(1, "/", expecting), self.peer.post(3, "/", expecting), self.peer.get(5, "/", expecting)
        )
        reading, refusing, bodiless = self.streams
        self.assertEqual(self.peer.take(), [])
        body = reading.read()
        self.assertEqual(self.peer.names(), ["HEADERS 1 100"])
        refusing.respond({":status": 413}, endStream=True)
        refusing.discard()
        bodiless.discard()
        self.assertEqual(self.peer.names(), ["HEADERS 3 413 END_STREAM"])
        self.peer.send(self.peer.data(1, b"body", end=True))
        self.assertEqual(self.successResultOf(body), b"body")

    # Extensions

    def test_altsvc(self) -> None:
        """
        C{altsvc} tells of an alternative, for an origin or for that of a stream (6.2).
        """
        self.peer.send(self.peer.get(1))
        (stream,) = self.streams
        session = stream.session
        session.altsvc('h3=":1"', "https://Example.com:443/path")
        session.altsvc(b"clear", stream)
        session.altsvc("clear", 1)
        about = [(frame.stream_id, frame.origin, frame.field) for frame in self.peer.take()]
        self.assertEqual(about, [(0, b"https://example.com", b'h3=":1"'), (1, b"", b"clear"), (1, b"", b"clear")])
        for value, origin in (("a\nb", "https://a"), ("", "https://a"), ("a", "nonsense"), ("a" * 17000, "https://a")):
            with self.assertRaises(InvalidHeader):
                session.altsvc(value, origin)
        for streamID in (0, 2**31):
            with self.assertRaises(ValueError):
                session.altsvc("a", streamID)
        session.destroy()
        with self.assertRaises(InvalidState):
            session.altsvc("a", "https://a")

    def test_origin(self) -> None:
        """
        C{origin} names origins, reduced to scheme, host and port; without any it sends nothing (6.3).
        """
        session = next(iter(self.server.sessions))
        session.origin()
        self.assertEqual(self.peer.take(), [])
        session.origin("https://a.example/path?query", b"https://b.example:8443", "https://[::1]", "http://c:80")
        (frame,) = self.peer.take()
        self.assertEqual(frame.type, 0xC)
        names = [b"https://a.example", b"https://b.example:8443", b"https://[::1]", b"http://c"]
        self.assertEqual(frame.body, b"".join(len(name).to_bytes(2, "big") + name for name in names))
        for origin in ("data:text/plain,x", "nonsense", "https://", "https://" + "a" * 17000):
            with self.assertRaises(InvalidHeader):
                session.origin(origin)
        clear = FramePeer.toServer(self.serve(lambda stream, headers: None, origins=["https://a"]), start=False)
        clear.sendBytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self.assertEqual(len(clear.take()), 2)  # SETTINGS and WINDOW_UPDATE: nothing vouches for names in clear text

    # Failing

    def test_handlerRaises(self) -> None:
        """
        A function, Deferred or coroutine that fails answers 500 and is logged (6.6); the session lives.
        """

        async def coroutine(stream: ServerStream) -> None:
            raise RuntimeError("a broken application")

        def function(stream: ServerStream) -> None:
            raise RuntimeError("a broken application")

        def deferred(stream: ServerStream) -> Deferred[None]:
            return succeed(None).addCallback(lambda _: function(stream))

        for broken in (function, deferred, coroutine):
            self.assertEqual(self.ask(broken), ["HEADERS 1 500 END_STREAM"])
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_handlerRaisesLate(self) -> None:
        """
        After an answer has begun the stream is reset with INTERNAL_ERROR.
        """

        async def broken(stream: ServerStream) -> None:
            stream.write(b"x")
            raise RuntimeError("a broken application")

        self.assertEqual(self.ask(broken), ["HEADERS 1 200", "RST_STREAM 1 INTERNAL_ERROR"])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_clientGoesAway(self) -> None:
        """
        An application that is told that its client has gone, and says so, is no failure.
        """
        for end in ("reset", "close", "abort"):

            async def read(stream: ServerStream, headers: Any) -> None:
                await stream.read()

            peer = FramePeer.toServer(self.serve(read))
            peer.send(peer.post(1))
            if end == "reset":
                peer.send(peer.reset(1))
            else:
                getattr(peer, end)()
        self.assertEqual(self.flushLoggedErrors(), [])

    # Uploads

    def test_unreadUpload(self) -> None:
        """
        An answer before the upload is read stops it with RST_STREAM(NO_ERROR), and what is in flight is ignored (6.5).
        """
        self.peer.send(self.peer.post(1))
        (stream,) = self.streams
        stream.respond()
        stream.end(b"no, thanks")
        self.assertEqual(self.peer.names(), ["HEADERS 1 200", "DATA 1 10 END_STREAM"])
        self.clock.advance(0.9)
        self.assertEqual(self.peer.names(), [])
        self.clock.advance(0.1)
        self.assertEqual(self.peer.names(), ["RST_STREAM 1 NO_ERROR"])
        self.peer.send(self.peer.data(1, b"x" * 1000), self.peer.ping())
        self.assertEqual(self.peer.names(), ["PING ACK", "WINDOW_UPDATE 1000"])
        self.assertIsNone(self.successResultOf(stream.whenClosed()))

    def test_unreadUploadThatComes(self) -> None:
        """
        No reset is sent where the rest of the upload comes soon; one that does not end gets no more than its window.
        """
        peer = FramePeer.toServer(self.serve(lambda stream, headers: stream.end(b"hi")))
        peer.send(peer.post(1), peer.post(3))
        peer.take()
        self.clock.advance(0.5)
        peer.send(peer.data(1, b"x" * 10_000), peer.data(1, b"x" * 100, end=True))
        for _ in range(16):
            peer.send(peer.data(3, b"x" * 16_000))
        self.assertEqual([frame for frame in peer.take() if frame.stream_id], [])
        self.clock.advance(0.5)
        self.assertEqual(peer.names(), ["RST_STREAM 3 NO_ERROR"])

    def test_abandonedLoop(self) -> None:
        """
        A loop over the upload that was left reads no more: the rest is stopped like one nobody began to read.
        """

        async def answer(stream: ServerStream, headers: Any) -> None:
            async for _ in stream:
                break
            stream.end(b"enough")

        peer = FramePeer.toServer(self.serve(answer))
        peer.send(peer.post(1), peer.data(1, b"x" * 1000), peer.data(1, b"x" * 1000))
        self.assertEqual(peer.names(), ["HEADERS 1 200", "DATA 1 6 END_STREAM"])
        self.clock.advance(1)
        self.assertEqual(peer.names(), ["RST_STREAM 1 NO_ERROR"])

    def test_slowLoop(self) -> None:
        """
        A loop that goes on after the answer is let be, slow as it is.
        """
        gates: list[Deferred[None]] = []
        read: list[int] = []

        async def answer(stream: ServerStream, headers: Any) -> None:
            async for chunk in stream:
                read.append(len(chunk))
                if not stream.headersSent:
                    stream.end(b"go on")
                gates.append(Deferred())
                await gates[-1]

        peer = FramePeer.toServer(self.serve(answer))
        peer.send(peer.post(1), *(peer.data(1, b"x" * 1000) for _ in range(5)), peer.data(1, end=True))
        for _ in range(5):
            self.clock.advance(0.9)
            gates[-1].callback(None)
        self.assertEqual(read, [1000] * 5)
        self.assertEqual([name for name in peer.names() if "RST" in name], [])

    def test_answerWhileReading(self) -> None:
        """
        An answer that ends while somebody reads the upload lets it go on.
        """
        self.peer.send(self.peer.post(1))
        (stream,) = self.streams
        body = stream.read()
        stream.end(b"answer")
        self.peer.take()
        self.peer.send(self.peer.data(1, b"upload", end=True))
        self.assertEqual(self.successResultOf(body), b"upload")
        self.assertEqual(self.peer.take(), [])

    def test_cutUpload(self) -> None:
        """
        An upload cut by a reset, a FIN or a TCP reset is a failure.
        """
        for end in ("reset", "close", "abort"):
            streams: list[ServerStream] = []
            peer = FramePeer.toServer(self.serve(lambda stream, headers, streams=streams: streams.append(stream)))
            peer.send(peer.post(1), peer.data(1, b"part"))
            body = streams[0].read()
            if end == "reset":
                peer.send(peer.reset(1, ErrorCode.NO_ERROR))
            else:
                getattr(peer, end)()
            error = self.failureResultOf(body).value
            self.assertIsInstance(error, StreamAborted if end != "abort" else Exception)

    # The server

    def test_factory(self) -> None:
        """
        A server offers h2 by ALPN, and HTTP/1.1 where it has a factory for it.
        """
        verifyObject(IProtocolNegotiationFactory, self.server)
        self.assertEqual(self.server.acceptableProtocols(), [b"h2"])
        self.assertEqual(self.serve(None, http1=ServerFactory()).acceptableProtocols(), [b"h2", b"http/1.1"])

    def test_settings(self) -> None:
        """
        C{updateSettings} is for later sessions, and a server does not announce ENABLE_PUSH.
        """
        self.server.updateSettings(maxConcurrentStreams=5)
        peer = FramePeer.toServer(self.server, start=False)
        peer.sendBytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        settings = peer.take()[0]
        self.assertEqual(settings.settings[settings.MAX_CONCURRENT_STREAMS], 5)
        for call in (
            lambda: self.server.updateSettings(enablePush=True),
            lambda: self.server.updateSettings(nonsense=1),
            lambda: self.serve(None, settings=Settings(enablePush=True)),
        ):
            with self.assertRaises(InvalidSetting):
                call()

    def test_close(self) -> None:
        """
        C{close} drains in two steps: a GOAWAY that excludes nothing and a PING; at its answer the real last id; streams
        finish, late ones are refused; then the connection goes, and only then the Deferred fires.
        """
        self.peer.send(self.peer.get(1))
        closed = self.server.close()
        (goAway, ping) = self.peer.take()
        self.assertEqual((goAway.last_stream_id, goAway.error_code), (2**31 - 1, 0))
        self.peer.send(self.peer.get(3))
        self.assertEqual(len(self.streams), 2)
        self.peer.send(self.peer.ping(ping.opaque_data, ack=True))
        self.assertEqual(self.peer.names(), ["GOAWAY 3 NO_ERROR"])
        self.peer.send(self.peer.get(5))
        self.assertEqual(self.peer.names(), ["RST_STREAM 5 REFUSED_STREAM"])
        self.assertEqual(len(self.streams), 2)
        self.assertNoResult(closed)
        for stream in self.streams:
            stream.end(b"done")
        self.assertEqual(len(self.peer.names()), 4)
        self.assertTrue(self.peer.lost)
        self.assertIsNone(self.successResultOf(closed))
        self.assertIsNone(self.successResultOf(self.server.close()))
        self.assertEqual(self.server.sessions, set())
        late = FramePeer.toServer(self.server, start=False)
        late.take()
        self.assertTrue(late.lost)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeSilentPeer(self) -> None:
        """
        A client that does not answer the PING is waited for no longer than C{Timeouts.drain}.
        """
        self.peer.send(self.peer.get(1))
        self.server.close()
        self.peer.take()
        self.clock.advance(5)
        self.assertEqual(self.peer.names(), ["GOAWAY 1 NO_ERROR"])

    def test_closeWithGrace(self) -> None:
        """
        After C{grace} seconds what is still there is destroyed.
        """
        self.peer.send(self.peer.get(1))
        closed = self.server.close(grace=3)
        (stream,) = self.streams
        gone = stream.whenClosed()
        self.clock.advance(3)
        self.assertIsNone(self.successResultOf(gone))
        self.peer.take()
        self.clock.advance(20)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeEmpty(self) -> None:
        """
        A server without sessions is closed at once.
        """
        self.assertIsNone(self.successResultOf(self.serve(None).close()))

    def test_closeWaitsForItsPorts(self) -> None:
        """
        C{close} fires when the last session is gone and every port has stopped, whichever comes last.
        """
        stopping: Deferred[None] = Deferred()

        class Port:
            def stopListening(self) -> Deferred[None]:
                return stopping

        class Endpoint:
            def listen(self, factory: Any) -> Deferred[Port]:
                return succeed(Port())

        server = self.serve(None)
        self.successResultOf(server.listen(Endpoint()))  # type: ignore[arg-type]
        peer = FramePeer.toServer(server, start=False)
        closed = server.close()
        peer.take()
        self.assertEqual(server.sessions, set())
        self.assertNoResult(closed)
        stopping.callback(None)
        self.assertIsNone(self.successResultOf(closed))

    def test_closeStrangers(self) -> None:
        """
        Connections that have not said anything are let go.
        """
        server = self.serve(None)
        peer = FramePeer.toServer(server, start=False)
        closed = server.close()
        peer.take()
        self.assertTrue(peer.lost)
        self.assertIsNone(self.successResultOf(closed))

    def test_closeInHandler(self) -> None:
        """
        A server may be closed while it answers.
        """
        closed: list[Deferred[None]] = []

        def answer(stream: ServerStream, headers: Any) -> None:
            stream.respond()
            stream.write(b"last ")
            closed.append(server.close())
            stream.end(b"words")

        both = connectedSessions(answer)
        server = both.server
        body = both.client.request().read()
        both.pump()
        self.assertEqual(self.successResultOf(body), b"last words")
        self.assertIsNone(self.successResultOf(closed[0]))

    def test_bookKeeping(self) -> None:
        """
        The server's C{close} fires before the last session's C{whenClosed} (section 4).
        """
        log: list[str] = []
        session = next(iter(self.server.sessions))
        session.whenClosed().addBoth(lambda _: log.append("session"))
        self.server.close().addBoth(lambda _: log.append("server"))
        (_, ping) = self.peer.take()
        self.peer.send(self.peer.ping(ping.opaque_data, ack=True))
        self.peer.take()
        self.assertEqual(log, ["server", "session"])

    def test_destroyInHandler(self) -> None:
        """
        Destroying the session inside the handler: one GOAWAY, no RST_STREAM, and the client's body says so (4).
        """
        peer = FramePeer.toServer(self.serve(lambda stream, headers: stream.session.destroy()))
        peer.send(peer.get(1), peer.get(3))
        self.assertEqual(peer.names(), ["GOAWAY 1 NO_ERROR"])
        self.assertTrue(peer.lost)
        both = connectedSessions(lambda stream, headers: (stream.respond(), stream.session.destroy()))
        body = both.client.request().read()
        both.pump()
        self.failureResultOf(body, StreamError)

    def test_idle(self) -> None:
        """
        A client that asks nothing for a minute is sent away, without an error.
        """
        self.clock.advance(60)
        self.assertEqual(self.peer.names(), ["GOAWAY 0 NO_ERROR"])
        self.assertTrue(self.peer.lost)

    def test_maxSessions(self) -> None:
        """
        A connection above C{maxSessions}, counted with those that speak HTTP/1.1, is closed at once, and the log says so
        once; when there is room again it says so again.
        """
        warnings: list[Any] = []

        def logged(event: Any) -> None:
            if event["log_level"] is LogLevel.warn:
                warnings.append(event["count"])

        globalLogPublisher.addObserver(logged)
        self.addCleanup(globalLogPublisher.removeObserver, logged)
        server = self.serve(
            lambda stream, headers: stream.end(), maxSessions=2, http1=ServerFactory.forProtocol(Protocol)
        )
        first, second = FramePeer.toServer(server), FramePeer.toServer(server, start=False)
        second._protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        for _ in range(2):
            third = FramePeer.toServer(server, start=False)
            third.take()
            self.assertTrue(third.lost)
        self.assertEqual(warnings, [2])
        first.send(first.get(1))
        self.assertEqual(first.names(), ["HEADERS 1 200 END_STREAM"])
        second.close()
        fourth = FramePeer.toServer(server)
        fourth.send(fourth.get(1))
        self.assertEqual(fourth.names(), ["HEADERS 1 200 END_STREAM"])
        fifth = FramePeer.toServer(server, start=False)
        fifth.take()
        self.assertTrue(fifth.lost)
        self.assertEqual(warnings, [2, 2])

    def test_badNumbers(self) -> None:
        """
        What bounds a server is an integer above 0, or L{None}.
        """
        for name in ("maxSessions", "maxBytes"):
            for wrong in (0, -1, True, 1.5, "many"):
                self.assertIn(name, str(self.assertRaises(InvalidSetting, self.serve, None, **{name: wrong})))
            self.serve(None, **{name: None})

    # What is not HTTP/2

    def test_http1(self) -> None:
        """
        A client that speaks HTTP/1.1 in clear text is told so in its own language.
        """
        peer = FramePeer.toServer(self.server, start=False)
        transport = peer.transport
        protocol = peer._protocol
        for piece in (b"GET / HT", b"TP/1.1\r\nHost: a\r\n", b"\r\n"):
            protocol.dataReceived(piece)
        self.assertTrue(transport.buffer.startswith(b"HTTP/1.1 505 "), transport.buffer)
        self.assertTrue(transport.finishing)
        self.assertEqual(transport.buffer.partition(b"\r\n\r\n")[2], b"This port speaks only HTTP/2.\r\n")

    def test_tlsInClearText(self) -> None:
        """
        A TLS handshake on a clear port closes the connection, and leaves nothing behind.
        """
        peer = FramePeer.toServer(self.server, start=False)
        peer._protocol.dataReceived(b"\x16\x03\x01\x02\x00\x01")
        self.assertTrue(peer.transport.finishing)
        self.assertEqual(len(self.server.sessions), 2)
        peer.close()
        self.assertEqual(len(self.server.sessions), 1)

    def test_silentClient(self) -> None:
        """
        A client that sends no preface is cut off after C{Timeouts.preface}.
        """
        server = self.serve(None, timeouts=Timeouts(preface=4))
        for start in (b"", b"PRI * HT", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
            peer = FramePeer.toServer(server, start=False)
            peer._protocol.dataReceived(start)
            self.clock.advance(4)
            peer.take()
            self.clock.advance(2)
            peer.take()
            self.assertTrue(peer.lost, start)
        self.assertEqual(server.sessions, set())
        self.assertEqual([call for call in self.clock.getDelayedCalls() if call.getTime() > 70], [])

    def test_http1Factory(self) -> None:
        """
        With a factory for HTTP/1.1 such a client gets that, bytes and end included.
        """
        received: list[Any] = []

        class Other(Protocol):
            def dataReceived(self, data: bytes) -> None:
                received.append(data)
                self.transport.write(b"HTTP/1.1 200 OK\r\n\r\n")  # type: ignore[union-attr]

            def connectionLost(self, reason: Any = None) -> None:
                received.append("lost")

        server = self.serve(lambda stream, headers: stream.end(b"two"), http1=ServerFactory.forProtocol(Other))
        peer = FramePeer.toServer(server, start=False)
        peer._protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(bytes(peer.transport.buffer), b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(server.sessions, set())
        peer._protocol.connectionLost(None)
        self.assertEqual(received, [b"GET / HTTP/1.1\r\n\r\n", "lost"])
        peer = FramePeer.toServer(server)
        peer.send(peer.get(1))
        self.assertEqual(peer.names(), ["HEADERS 1 200", "DATA 1 3 END_STREAM"])
