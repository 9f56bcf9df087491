"""
L{txh2session.agent}: C{IAgent} over HTTP/2, in memory; what wraps an agent; and every way in which a request can fail.
"""

from __future__ import annotations

import gc
import gzip
import json
from http.cookiejar import CookieJar
from io import BytesIO
from typing import Any

from hyperframe.frame import DataFrame, HeadersFrame
from OpenSSL import SSL
from twisted.internet import task
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import (
    ConnectError,
    ConnectionAborted,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.protocol import Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock, Cooperator
from twisted.protocols import tls
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase
from twisted.web.client import (
    BrowserLikePolicyForHTTPS,
    BrowserLikeRedirectAgent,
    ContentDecoderAgent,
    CookieAgent,
    FileBodyProducer,
    GzipDecoder,
    HTTPConnectionPool,
    RedirectAgent,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IAgent, IBodyProducer, IClientRequest, IResponse
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.farm import Farm, HeldEndpoints
from tests.test_protocol import CERTIFICATE, KEY, WithoutALPN, makeCertificate
from txh2session import (
    ConnectFailed,
    ErrorCode,
    InvalidHeader,
    Server,
    SessionError,
    SessionPool,
    StreamError,
    StreamListener,
    StreamRefused,
    StreamTimeout,
    Timeouts,
    clientContextFactory,
    serverContextFactory,
)
from txh2session.agent import H2Agent, IReplayableBodyProducer
from txh2session.testing import FramePeer

try:
    import treq
    import treq.client
except ImportError:
    treq = None  # type: ignore[assignment]

URL = b"http://example.com"


@implementer(IBodyProducer)
class Producer:
    """
    A body producer that does what a test says.
    """

    def __init__(self, length: Any = UNKNOWN_LENGTH) -> None:
        self.length = length
        self.log: list[str] = []
        self.consumer: Any = None
        self.finished: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        """See L{IBodyProducer}."""
        self.log.append("start")
        self.consumer = consumer
        return self.finished

    def pauseProducing(self) -> None:
        """See L{IBodyProducer}."""
        self.log.append("pause")

    def resumeProducing(self) -> None:
        """See L{IBodyProducer}."""
        self.log.append("resume")

    def stopProducing(self) -> None:
        """See L{IBodyProducer}."""
        self.log.append("stop")


@implementer(IReplayableBodyProducer)
class Again(Producer):
    """
    A body producer that can be had again.
    """

    other: Producer | None = None

    def replay(self) -> IBodyProducer:
        """See L{IReplayableBodyProducer}."""
        self.log.append("replay")
        self.other = Producer()
        return self.other


class Sink(Protocol):
    """
    Receives a body.
    """

    data = b""
    reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Keep it."""
        self.reason = reason


class AgentCase(SynchronousTestCase):
    """
    Has an agent whose connections a test makes.
    """

    def setUp(self) -> None:
        """
        Make an agent with prior knowledge, over endpoints that a test connects.
        """
        self.clock = Clock()
        self.endpoints = HeldEndpoints()
        self.peers: list[FramePeer] = []
        self.agents: list[H2Agent] = []
        self.agent = self.agentWith()
        self.addCleanup(self.end)

    def agentWith(self, timeouts: Timeouts | None = None, **options: Any) -> H2Agent:
        """
        Make an agent, which has to leave nothing behind.
        """
        pool = SessionPool(self.clock, endpointFor=self.endpoints, timeouts=timeouts)
        agent = H2Agent(self.clock, pool=pool, priorKnowledge=True, **options)
        self.agents.append(agent)
        return agent

    def end(self) -> None:
        """
        Close the agents and see that no call is left.
        """
        closed = [agent.close(grace=0) for agent in self.agents]
        gc.collect()  # so that an error that nobody took is found here
        for _ in range(3):
            self.clock.advance(20)
            for peer in self.peers:
                peer.take()
        for each in closed:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def connect(self, **settings: int) -> FramePeer:
        """
        Let the last connect succeed.
        """
        self.peers.append(self.endpoints.made[-1].connected(**settings))
        return self.peers[-1]

    def get(self, uri: bytes = URL + b"/path", headers: Headers | None = None) -> tuple[Deferred[Any], FramePeer]:
        """
        Make a request on a new connection.
        """
        waiting = self.agent.request(b"GET", uri, headers)
        peer = self.connect()
        return waiting, peer

    def post(self, producer: Any, headers: Headers | None = None) -> tuple[Deferred[Any], FramePeer]:
        """
        Make a request with a body on a new connection.
        """
        waiting = self.agent.request(b"POST", URL, headers, producer)
        peer = self.connect()
        return waiting, peer

    def fields(self, peer: FramePeer) -> list[tuple[str, str]]:
        """
        Take the header list of the request that came.
        """
        (frame,) = peer.take(HeadersFrame)
        fields: list[tuple[str, str]] = frame.fields
        return fields

    def body(self, peer: FramePeer) -> bytes:
        """
        Take what came of bodies.
        """
        return b"".join(frame.data for frame in peer.take(DataFrame))


class RequestTests(AgentCase):
    """
    What goes out.
    """

    def test_interfaces(self) -> None:
        """
        The agent, its answers and their requests provide twisted.web's interfaces.
        """
        verifyObject(IAgent, self.agent)
        waiting, peer = self.get()
        peer.send(peer.response(1, end=True))
        response = self.successResultOf(waiting)
        verifyObject(IResponse, response)
        verifyObject(IClientRequest, response.request)

    def test_get(self) -> None:
        """
        Method, scheme, authority, path and query are sent, and nothing that was not asked for.
        """
        waiting, peer = self.get(URL + b":8080/a%20b;p?q=1&r#fragment")
        self.assertEqual(
            self.fields(peer),
            [
                (":method", "GET"),
                (":authority", "example.com:8080"),
                (":scheme", "http"),
                (":path", "/a%20b;p?q=1&r"),
            ],
        )
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_headers(self) -> None:
        """
        Headers go in lower case, each value by itself; C{Host} becomes C{:authority}; what belongs to HTTP/1.1 connections
        is left out, with what C{Connection} names.
        """
        headers = Headers(
            {
                b"Host": [b"other.example"],
                b"X-Two": [b"1", b"2"],
                b"User-Agent": [b"mine"],
                b"Connection": [b"keep-alive, X-Hop"],
                b"Keep-Alive": [b"timeout=5"],
                b"Proxy-Connection": [b"keep-alive"],
                b"Transfer-Encoding": [b"chunked"],
                b"Upgrade": [b"h2c"],
                b"X-Hop": [b"1"],
                b"TE": [b"gzip", b"Trailers"],
                b"Content-Length": [b"77"],
                b"Cookie": [b"a=1; b=2"],
            }
        )
        copy = headers.copy()
        waiting, peer = self.get(headers=headers)
        fields = self.fields(peer)
        self.assertEqual(dict(fields)[":authority"], "other.example")
        self.assertEqual(
            sorted(field for field in fields if field[0][0] != ":"),
            [("cookie", "a=1; b=2"), ("te", "Trailers"), ("user-agent", "mine"), ("x-two", "1"), ("x-two", "2")],
        )
        self.assertEqual(headers, copy)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_lengths(self) -> None:
        """
        C{content-length} is what the producer says, none for an unknown length, and 0 for a POST or PUT without a body.
        """
        cases: list[tuple[bytes, Any, str | None]] = [
            (b"GET", None, None),
            (b"DELETE", None, None),
            (b"POST", None, "0"),
            (b"PUT", None, "0"),
            (b"POST", Producer(5), "5"),
            (b"POST", Producer(), None),
            (b"PATCH", Producer(0), "0"),
        ]
        peer = None
        for method, producer, expected in cases:
            waiting = self.agent.request(method, URL, Headers({b"content-length": [b"99"]}), producer)
            peer = peer or self.connect()
            (frame,) = peer.take(HeadersFrame)
            self.assertEqual(dict(frame.fields).get("content-length"), expected, method)
            self.assertEqual("END_STREAM" in frame.flags, producer is None)
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)

    def test_misuse(self) -> None:
        """
        What cannot be sent raises C{ValueError} at the call; another scheme fails as with twisted.web's agent.
        """
        for uri in (
            b"http://",
            b"http://a/ b",
            b"http://a/\xff",
            b"http:///x",
            b"",
            b"http://a:b:c/",
            b"https://a:99999x/",
        ):
            self.assertRaises(ValueError, self.agent.request, b"GET", uri)
        for method in (b"", b"G T", b"GET\r\n"):
            self.assertRaises(ValueError, self.agent.request, method, URL)
        self.assertRaises(InvalidHeader, self.agent.request, b"GET", URL, Headers({b"content-type": [b"a", b"b"]}))
        self.assertRaises(ValueError, self.agent.request, b"GET", URL, Headers({b"host": [b"a", b"b"]}))
        self.failureResultOf(self.agent.request(b"GET", b"ftp://a/"), SchemeNotSupported)
        self.assertEqual(self.endpoints.made, [])
        for option in ({"connectTimeout": 3}, {"bindAddress": "127.0.0.1"}, {"contextFactory": clientContextFactory()}):
            self.assertRaises(ValueError, H2Agent, self.clock, pool=self.agent.pool, **option)
        self.assertRaises(TypeError, H2Agent, self.clock, pool=HTTPConnectionPool(self.clock))


class ResponseTests(AgentCase):
    """
    What comes back.
    """

    def test_facts(self) -> None:
        """
        Version, code, phrase, headers, length and request are there.
        """
        asked = Headers({b"X-Asked": [b"1"]})
        waiting, peer = self.get(headers=asked)
        peer.send(
            peer.response(1, ("content-length", "3"), ("set-cookie", "a=1"), ("set-cookie", "b=2"), status=404),
            peer.data(1, b"abc", end=True),
        )
        response = self.successResultOf(waiting)
        self.assertEqual((response.version, response.code), ((b"HTTP", 2, 0), 404))
        self.assertEqual((response.phrase, response.length), (b"Not Found", 3))
        self.assertEqual(response.headers.getRawHeaders(b"Set-Cookie"), [b"a=1", b"b=2"])
        self.assertEqual(sorted(dict(response.headers.getAllRawHeaders())), [b"Content-Length", b"Set-Cookie"])
        self.assertEqual((response.request.method, response.request.absoluteURI), (b"GET", URL + b"/path"))
        self.assertIs(response.request.headers, asked)
        self.assertIsNone(response.previousResponse)
        self.assertEqual(self.successResultOf(readBody(response)), b"abc")
        self.assertIn("404", repr(response))

    def test_lengths(self) -> None:
        """
        The length is 0 where there is no body, and unknown where the server does not say.
        """
        peer = None
        for number, (method, status, fields, end, expected) in enumerate(
            [
                (b"HEAD", 200, [("content-length", "10")], True, 0),
                (b"GET", 204, [], True, 0),
                (b"GET", 304, [("content-length", "10")], True, 0),
                (b"GET", 200, [], True, 0),
                (b"GET", 200, [], False, UNKNOWN_LENGTH),
                (b"GET", 299, [("content-length", "0")], False, 0),
            ]
        ):
            waiting = self.agent.request(method, URL)
            peer = peer or self.connect()
            peer.send(peer.response(2 * number + 1, *fields, status=status, end=end))
            response = self.successResultOf(waiting)
            self.assertEqual(response.length, expected)
            if status == 299:
                self.assertEqual(response.phrase, b"Unknown Status")
            if not end:
                peer.send(peer.data(2 * number + 1, end=True))
            self.assertEqual(self.successResultOf(readBody(response)), b"")

    def test_deliverBody(self) -> None:
        """
        A body comes as it arrives, and its end is L{ResponseDone}; it is delivered once.
        """
        waiting, peer = self.get()
        peer.send(peer.response(1), peer.data(1, b"one "))
        response = self.successResultOf(waiting)
        sink = Sink()
        response.deliverBody(sink)
        self.assertRaises(RuntimeError, response.deliverBody, Sink())
        self.assertEqual((sink.data, sink.reason), (b"one ", None))
        self.assertEqual(sink.transport.getPeer(), response.stream.getPeer())  # type: ignore[union-attr]
        self.assertEqual(sink.transport.getHost(), response.stream.getHost())  # type: ignore[union-attr]
        for write in ("write", "writeSequence"):
            self.assertRaises(TypeError, getattr(sink.transport, write), b"x")
        peer.send(peer.data(1, b"two", end=True))
        self.assertEqual(sink.data, b"one two")
        assert sink.reason is not None
        sink.reason.trap(ResponseDone)

    def test_backPressure(self) -> None:
        """
        A paused protocol gets nothing, and the server no more window than the stream's.
        """
        waiting, peer = self.get()
        peer.send(peer.response(1))
        sink = Sink()
        self.successResultOf(waiting).deliverBody(sink)
        sink.transport.pauseProducing()  # type: ignore[union-attr]
        peer.take()
        for _ in range(16):
            peer.send(peer.data(1, bytes(16 * 1024)))
        self.assertEqual(sink.data, b"")
        self.assertEqual([name for name in peer.names() if name.startswith("WINDOW_UPDATE 1 ")], [])
        sink.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(len(sink.data), 256 * 1024)
        self.assertTrue([name for name in peer.names() if name.startswith("WINDOW_UPDATE 1 ")])

    def test_nobodyDelivers(self) -> None:
        """
        A response that nobody delivers holds up no other.
        """
        waiting, peer = self.get()
        peer.send(peer.response(1))
        for _ in range(16):
            peer.send(peer.data(1, bytes(16 * 1024)))
        other = self.agent.request(b"GET", URL)
        peer.send(peer.response(3), peer.data(3, b"other", end=True))
        self.assertEqual(self.successResultOf(readBody(self.successResultOf(other))), b"other")
        self.assertEqual(self.successResultOf(waiting).code, 200)

    def test_giveUp(self) -> None:
        """
        C{stopProducing}, C{loseConnection} and C{abortConnection} of a body's transport reset that stream with CANCEL, no
        other, and the protocol hears of it once.
        """
        peer = None
        for number, verb in enumerate(("stopProducing", "loseConnection", "abortConnection")):
            streamID = 2 * number + 1
            waiting = self.agent.request(b"GET", URL)
            peer = peer or self.connect()
            peer.send(peer.response(streamID), peer.data(streamID, b"some"))
            sink = Sink()
            self.successResultOf(waiting).deliverBody(sink)
            transport: Any = sink.transport
            transport.pauseProducing()
            peer.send(peer.data(streamID, b"more"))
            peer.take()
            getattr(transport, verb)()
            getattr(transport, verb)()
            self.assertEqual(peer.names(), [f"RST_STREAM {streamID} CANCEL"])
            assert sink.reason is not None
            self.assertEqual(sink.data, b"some")
            sink.reason.trap(ResponseFailed)
            sink.reason.value.reasons[0].trap(ConnectionAborted)

    def test_cancelReadBody(self) -> None:
        """
        C{readBody} can be cancelled: it fails with C{CancelledError}, so that C{addTimeout} works, and the stream is reset.
        """
        waiting, peer = self.get()
        peer.send(peer.response(1), peer.data(1, b"some"))
        reading = readBody(self.successResultOf(waiting))
        peer.take()
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.assertEqual(peer.names(), ["RST_STREAM 1 CANCEL"])
        waiting = self.agent.request(b"GET", URL)
        peer.send(peer.response(3))
        timed = readBody(self.successResultOf(waiting)).addTimeout(3, self.clock)
        self.clock.advance(3)
        self.assertEqual(self.failureResultOf(timed).type.__name__, "TimeoutError")

    def test_trailers(self) -> None:
        """
        Trailers, and their absence, are there at the end of an answer; of one that was cut short there are none.
        """
        waiting, peer = self.get()
        peer.send(peer.response(1), peer.data(1, b"body"), peer.headers(1, [("x-sum", "7")], end=True))
        response = self.successResultOf(waiting)
        trailers = self.successResultOf(response.whenTrailers())
        self.assertEqual(trailers.getRawHeaders(b"X-Sum"), [b"7"])
        self.agent.request(b"GET", URL).addCallback(lambda response: without.append(response))
        without: list[Any] = []
        peer.send(peer.response(3, end=True))
        self.assertIsNone(self.successResultOf(without[0].whenTrailers()))
        waiting = self.agent.request(b"GET", URL)
        peer.send(peer.response(5), peer.reset(5, ErrorCode.INTERNAL_ERROR))
        cut = self.failureResultOf(self.successResultOf(waiting).whenTrailers(), ResponseFailed).value
        self.assertEqual(cut.reasons[0].value.code, ErrorCode.INTERNAL_ERROR)

    def test_information(self) -> None:
        """
        1xx answers are kept for the response, and told to a listener as they come.
        """
        told: list[Any] = []

        class Listener(StreamListener):
            def informationReceived(self, stream: Any, headers: Any) -> None:
                told.append((stream.id, headers.status, headers["link"]))

            def streamClosed(self, stream: Any, error: Any) -> None:
                told.append((stream.id, "closed", error))

        self.agent = self.agentWith(streamListener=Listener())
        waiting, peer = self.get()
        peer.send(peer.headers(1, [(":status", "103"), ("link", "</style.css>")]))
        self.assertEqual(told, [(1, 103, "</style.css>")])
        peer.send(peer.response(1, end=True))
        response = self.successResultOf(waiting)
        self.assertEqual([each.status for each in response.information], [103])
        self.assertEqual(told[1:], [(1, "closed", None)])
        self.assertEqual(response.code, 200)


class BodyTests(AgentCase):
    """
    Request bodies.
    """

    def test_stream(self) -> None:
        """
        What a producer writes goes out as it comes, and the stream ends when it is done.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        self.assertEqual(producer.log, ["start"])
        producer.consumer.write(b"one ")
        self.assertEqual(self.body(peer), b"one ")
        producer.consumer.write(b"two")
        self.assertEqual(peer.names()[-1], "DATA 1 3")
        producer.finished.callback(None)
        self.assertEqual(peer.names(), ["DATA 1 0 END_STREAM"])
        peer.send(peer.response(1, end=True))
        self.assertEqual(self.successResultOf(waiting).code, 200)
        self.assertEqual(producer.log, ["start"])

    def test_registers(self) -> None:
        """
        A body producer that registers itself is refused: it is registered already.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        self.assertRaises(RuntimeError, producer.consumer.registerProducer, producer, True)
        producer.consumer.unregisterProducer()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(producer.log[-1], "stop")

    def test_backPressure(self) -> None:
        """
        A producer is paused while the server takes nothing, and resumed when it does.
        """
        producer = Producer(100_000)
        waiting = self.agent.request(b"POST", URL, None, producer)
        peer = self.connect(INITIAL_WINDOW_SIZE=0)
        producer.consumer.write(bytes(50_000))
        self.assertEqual(producer.log, ["start", "pause"])
        peer.send(peer.window(1, 100_000))
        self.assertEqual(producer.log, ["start", "pause", "resume"])
        producer.consumer.write(bytes(50_000))
        producer.finished.callback(None)
        self.assertEqual(len(self.body(peer)), 100_000 - 34_465)
        peer.send(peer.window(0, 100_000))
        self.assertEqual(len(self.body(peer)), 34_465)
        peer.send(peer.response(1, end=True))
        self.assertEqual(self.successResultOf(waiting).code, 200)

    def test_fileBodyProducer(self) -> None:
        """
        twisted.web's C{FileBodyProducer} works, whose length is known.
        """
        scheduled: list[Any] = []
        cooperator = Cooperator(
            terminationPredicateFactory=lambda: lambda: True, scheduler=lambda call: scheduled.append(call) or Never()
        )
        producer = FileBodyProducer(BytesIO(bytes(200_000)), cooperator)
        waiting, peer = self.post(producer)
        received = 0
        while scheduled:
            scheduled.pop()()
            size = len(self.body(peer))
            received += size
            if size:
                peer.send(peer.window(0, size), peer.window(1, size))
        self.assertEqual(received, 200_000)
        peer.send(peer.response(1, end=True))
        self.assertEqual(self.successResultOf(waiting).code, 200)

    def assertGenerationFailed(self, waiting: Deferred[Any], peer: FramePeer, kind: type[Exception]) -> None:
        """
        Check that a request failed for its producer, and that its stream was reset with CANCEL.
        """
        error = self.failureResultOf(waiting, RequestGenerationFailed).value
        error.reasons[0].trap(kind)
        self.assertEqual(peer.names()[-1], "RST_STREAM 1 CANCEL")

    def test_fails(self) -> None:
        """
        A producer that fails half way fails the request and resets the stream with CANCEL; the session lives on.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        producer.consumer.write(b"half")
        producer.finished.errback(ZeroDivisionError())
        self.assertGenerationFailed(waiting, peer, ZeroDivisionError)
        producer.consumer.write(b"late")
        other = self.agent.request(b"GET", URL)
        peer.send(peer.response(3, end=True))
        self.assertEqual(self.successResultOf(other).code, 200)

    def test_failsToStart(self) -> None:
        """
        So does one whose C{startProducing} raises.
        """
        producer = Producer()
        self.patch(producer, "startProducing", lambda consumer: 1 // 0)
        waiting, peer = self.post(producer)
        self.assertGenerationFailed(waiting, peer, ZeroDivisionError)

    def test_wrongLength(self) -> None:
        """
        So does one that writes more or less than it said; too much is not sent.
        """
        producer = Producer(4)
        waiting, peer = self.post(producer)
        producer.consumer.write(b"four")
        producer.consumer.write(b"!")
        self.assertEqual(self.body(peer), b"four")
        self.assertGenerationFailed(waiting, peer, ValueError)
        self.assertEqual(producer.log, ["start", "stop"])
        producer = Producer(4)
        self.agent = self.agentWith()
        waiting, peer = self.post(producer)
        producer.consumer.write(b"3..")
        producer.finished.callback(None)
        self.assertGenerationFailed(waiting, peer, ValueError)
        self.assertEqual(producer.log, ["start"])

    def test_failsAfterTheAnswer(self) -> None:
        """
        A producer that fails when the answer has begun fails the body of the answer.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        peer.send(peer.response(1), peer.data(1, b"some"))
        sink = Sink()
        self.successResultOf(waiting).deliverBody(sink)
        producer.finished.errback(ZeroDivisionError())
        assert sink.reason is not None
        sink.reason.trap(ResponseFailed)
        sink.reason.value.reasons[0].trap(RequestGenerationFailed)
        self.assertEqual(peer.names()[-1], "RST_STREAM 1 CANCEL")

    def test_cancel(self) -> None:
        """
        Cancelling a request stops its producer and resets its stream; a producer that fails then, or cannot be stopped,
        is not heard of twice.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        producer.consumer.write(b"half")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(producer.log, ["start", "pause", "stop"])
        self.assertEqual(peer.names()[-1], "RST_STREAM 1 CANCEL")
        producer.finished.errback(ZeroDivisionError())
        bad = Producer()
        self.patch(bad, "stopProducing", lambda: 1 // 0)
        waiting = self.agent.request(b"POST", URL, None, bad)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_cancelBeforeConnecting(self) -> None:
        """
        A producer whose request is cancelled before it was sent is never started.
        """
        producer = Producer()
        waiting = self.agent.request(b"POST", URL, None, producer)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(producer.log, [])
        self.assertTrue(self.endpoints.made[0].cancelled)

    def test_earlyAnswer(self) -> None:
        """
        An answer that is complete while the body is being sent stops the producer and is delivered whole; then the stream
        is closed.
        """
        producer = Producer(1000)
        waiting, peer = self.post(producer)
        producer.consumer.write(b"some")
        peer.send(peer.response(1, status=413), peer.data(1, b"too "))
        response = self.successResultOf(waiting)
        self.assertEqual(producer.log, ["start"])
        peer.send(peer.data(1, b"long", end=True))
        self.assertEqual(producer.log, ["start", "stop"])
        peer.take()
        self.assertEqual(self.successResultOf(readBody(response)), b"too long")
        self.assertEqual(peer.names(), ["RST_STREAM 1 CANCEL"])
        producer.consumer.write(b"late")
        producer.finished.callback(None)
        self.assertEqual(peer.names(), [])

    def test_earlyAnswerAndReset(self) -> None:
        """
        So it is when the server says with NO_ERROR that it needs no more, and when the answer has no body.
        """
        for frames in (
            lambda peer: (
                peer.response(1, status=413),
                peer.data(1, b"no", end=True),
                peer.reset(1, ErrorCode.NO_ERROR),
            ),
            lambda peer: (peer.response(1, status=413, end=True),),
        ):
            self.agent = self.agentWith()
            producer = Producer(1000)
            waiting, peer = self.post(producer)
            producer.consumer.write(b"some")
            peer.send(*frames(peer))
            response = self.successResultOf(waiting)
            self.assertEqual(producer.log, ["start", "stop"])
            self.assertIn(self.successResultOf(readBody(response)), (b"no", b""))
            self.assertTrue(response.stream.closed)

    def test_bothAtOnce(self) -> None:
        """
        An answer that begins while the body is being sent does not stop it: both go on.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        peer.send(peer.response(1), peer.data(1, b"echo "))
        response = self.successResultOf(waiting)
        producer.consumer.write(b"more")
        self.assertEqual(self.body(peer), b"more")
        producer.finished.callback(None)
        peer.send(peer.data(1, b"all", end=True))
        self.assertEqual(self.successResultOf(readBody(response)), b"echo all")
        self.assertEqual(producer.log, ["start"])


class Never:
    """
    A delayed call that a test makes itself.
    """

    def cancel(self) -> None:
        """Do nothing."""


class AgainTests(AgentCase):
    """
    Requests with bodies that are sent again.
    """

    def refuse(self, peer: FramePeer) -> None:
        """
        Say that nothing was worked on.
        """
        peer.send(peer.goAway(0))

    def test_small(self) -> None:
        """
        What has been produced of a small body goes to the next session, while the producer waits, and then goes on.
        """
        producer = Producer(9)
        waiting, peer = self.post(producer)
        producer.consumer.write(b"one ")
        self.refuse(peer)
        self.assertEqual(producer.log, ["start", "pause"])
        producer.consumer.write(b"two ")  # a push producer may do so when it is paused
        fresh = self.connect()
        self.assertEqual(self.body(fresh), b"one two ")
        self.assertEqual(producer.log, ["start", "pause", "resume"])
        producer.consumer.write(b"3")
        producer.finished.callback(None)
        self.assertEqual(self.body(fresh), b"3")
        fresh.send(fresh.response(1, end=True))
        self.assertEqual(self.successResultOf(waiting).code, 200)

    def test_whole(self) -> None:
        """
        So does one that was complete, or became so meanwhile.
        """
        for early in (True, False):
            self.agent = self.agentWith()
            producer = Producer(3)
            waiting, peer = self.post(producer)
            producer.consumer.write(b"all")
            if early:
                producer.finished.callback(None)
            self.refuse(peer)
            if not early:
                producer.finished.callback(None)
            fresh = self.connect()
            self.assertEqual(fresh.names()[-1], "DATA 1 3 END_STREAM")
            fresh.send(fresh.response(1, end=True))
            self.assertEqual(self.successResultOf(waiting).code, 200)
            self.assertNotIn("stop", producer.log)

    def test_full(self) -> None:
        """
        A producer that waited is not resumed while the next stream is full of what it produced before.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        producer.consumer.write(bytes(60_000))
        self.refuse(peer)
        fresh = self.connect(INITIAL_WINDOW_SIZE=0)
        self.assertEqual(producer.log, ["start", "pause"])
        fresh.send(fresh.window(1, 65_535))
        self.assertEqual(producer.log, ["start", "pause", "resume"])
        self.assertEqual(len(self.body(fresh)), 60_000)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)

    def test_large(self) -> None:
        """
        A body of which more has been produced than is kept is not sent again: the producer stops, the request fails.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        producer.consumer.write(bytes(64 * 1024 + 1))
        peer.send(peer.goAway(0))
        self.assertEqual(producer.log[-1], "stop")
        error = self.failureResultOf(waiting, RequestTransmissionFailed).value
        error.reasons[0].trap(StreamRefused)
        self.assertEqual(len(self.endpoints.made), 1)

    def test_replayable(self) -> None:
        """
        ...unless its producer can be had again, which then starts anew.
        """
        producer = Again()
        waiting, peer = self.post(producer)
        producer.consumer.write(bytes(64 * 1024 + 1))
        peer.send(peer.goAway(0))
        self.assertEqual(producer.log[-2:], ["stop", "replay"])
        assert producer.other is not None
        self.assertEqual(producer.other.log, [])
        fresh = self.connect()
        self.assertEqual(producer.other.log, ["start"])
        producer.other.consumer.write(b"anew")
        producer.other.finished.callback(None)
        producer.finished.errback(ZeroDivisionError())  # of the one that was stopped nobody hears
        self.assertEqual(self.body(fresh), b"anew")
        fresh.send(fresh.response(1, end=True))
        self.assertEqual(self.successResultOf(waiting).code, 200)

    def test_misdirected(self) -> None:
        """
        After 421 a body goes again, too: from what is kept, whole or not, or from another producer.
        """
        for complete, large in ((True, False), (False, False), (False, True)):
            self.agent = self.agentWith()
            producer = Again()
            waiting, peer = self.post(producer)
            producer.consumer.write(bytes(65_537) if large else b"body")
            if complete:
                producer.finished.callback(None)
            peer.send(peer.response(1, status=421, end=True))
            fresh = self.connect()
            if large:
                assert producer.other is not None
                self.assertEqual(producer.other.log, ["start"])
                producer.other.consumer.write(b"body")
                producer.other.finished.callback(None)
            elif not complete:
                producer.finished.callback(None)
            self.assertEqual(self.body(fresh), b"body")
            fresh.send(fresh.response(1, end=True))
            self.assertEqual(self.successResultOf(waiting).code, 200)

    def test_failsWhileWaiting(self) -> None:
        """
        A producer that fails while its request waits to go again fails it.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        self.refuse(peer)
        producer.finished.errback(ZeroDivisionError())
        fresh = self.connect()
        error = self.failureResultOf(waiting, RequestGenerationFailed).value
        error.reasons[0].trap(ZeroDivisionError)
        self.assertEqual(fresh.names()[-1], "RST_STREAM 1 CANCEL")

    def test_cancelWhileWaiting(self) -> None:
        """
        A request that is cancelled while it waits to go again stops its producer.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        self.refuse(peer)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(producer.log, ["start", "pause", "stop"])


class FailureTests(AgentCase):
    """
    What goes wrong, in the classes that users of twisted.web catch.
    """

    def test_connecting(self) -> None:
        """
        Where there is no connection the error is the one of Twisted, with ours as its cause.
        """
        for reason, stage in (
            (DNSLookupError("no such name"), "dns"),
            (ConnectionRefusedError("refused"), "tcp"),
            (ConnectError(string="other"), "tcp"),
        ):
            waiting = self.agent.request(b"GET", URL)
            self.endpoints.made[-1].waiting.errback(reason)
            error = self.failureResultOf(waiting, type(reason)).value
            self.assertEqual(str(error), str(reason))
            self.assertIsInstance(error.__cause__, ConnectFailed)
            self.assertEqual((error.__cause__.stage, error.__cause__.reason), (stage, reason))

    def test_connectTimeout(self) -> None:
        """
        A connection that is not there in time is Twisted's C{TimeoutError}.
        """
        self.agent = self.agentWith(timeouts=Timeouts(connect=3))
        waiting = self.agent.request(b"GET", URL)
        self.clock.advance(3)
        self.assertIsInstance(self.failureResultOf(waiting, ConnectTimeout).value.__cause__, ConnectFailed)

    def test_requestTimeout(self) -> None:
        """
        An answer that does not come within C{Timeouts.request} never came, wherever the time went; a body that is not whole
        by then is cut short.
        """
        self.agent = self.agentWith(timeouts=Timeouts(request=5))
        waiting = self.agent.request(b"GET", URL)
        self.clock.advance(5)
        self.failureResultOf(waiting, ResponseNeverReceived).value.reasons[0].trap(StreamTimeout)
        waiting, slow = self.agent.request(b"GET", URL), self.agent.request(b"GET", URL)
        self.clock.advance(3)
        peer = self.connect()
        peer.send(peer.response(3))
        body = readBody(self.successResultOf(slow))
        self.clock.advance(2)
        self.failureResultOf(waiting, ResponseNeverReceived).value.reasons[0].trap(StreamTimeout)
        self.failureResultOf(body, ResponseFailed).value.reasons[0].trap(StreamTimeout)

    def test_silentServer(self) -> None:
        """
        A server that never sends SETTINGS is a response that never came.
        """
        self.agent = self.agentWith(timeouts=Timeouts(connect=3))
        waiting = self.agent.request(b"GET", URL)
        endpoint = self.endpoints.made[-1]
        self.peers.append(FramePeer(endpoint.factory.buildProtocol(None), client=False))
        endpoint.waiting.callback(None)
        self.clock.advance(3)
        self.peers[-1].take()
        error = self.failureResultOf(waiting, ResponseNeverReceived).value
        self.assertEqual(error.reasons[0].value.stage, "h2")

    def test_otherError(self) -> None:
        """
        Whatever else an endpoint fails with is a connect error.
        """
        waiting = self.agent.request(b"GET", URL)
        self.endpoints.made[-1].waiting.errback(LookupError("odd"))
        cause = self.failureResultOf(waiting, ConnectError).value.__cause__
        self.assertIsInstance(cause.reason, LookupError)

    def test_noAnswer(self) -> None:
        """
        A reset, a GOAWAY with a code and a lost connection before the answer are responses that never came, with the facts
        inside.
        """
        for end, kind, code in (
            (lambda peer: peer.send(peer.reset(1, ErrorCode.INTERNAL_ERROR)), StreamError, ErrorCode.INTERNAL_ERROR),
            (lambda peer: peer.send(peer.goAway(1, ErrorCode.INTERNAL_ERROR)), SessionError, ErrorCode.INTERNAL_ERROR),
            (lambda peer: peer.abort(), SessionError, ErrorCode.CANCEL),
            (lambda peer: peer.close(), StreamError, ErrorCode.CANCEL),
        ):
            self.agent = self.agentWith()
            waiting, peer = self.get()
            end(peer)
            error = self.failureResultOf(waiting, ResponseNeverReceived).value
            error.reasons[0].trap(kind)
            self.assertEqual((error.reasons[0].value.code, error.reasons[0].value.processed), (code, None))

    def test_lostWhileSending(self) -> None:
        """
        A connection that is lost before all of the body could be sent is a request that could not be transmitted.
        """
        producer = Producer()
        waiting, peer = self.post(producer)
        producer.consumer.write(b"half")
        peer.abort()
        error = self.failureResultOf(waiting, RequestTransmissionFailed).value
        error.reasons[0].trap(SessionError)
        self.assertEqual(producer.log[-1], "stop")

    def test_cut(self) -> None:
        """
        A body that was cut short fails with C{ResponseFailed}, after what came of it; it never looks whole.
        """
        for end, kind in (
            (lambda peer: peer.send(peer.reset(1, ErrorCode.CANCEL)), StreamError),
            (lambda peer: peer.send(peer.data(1, b"", end=True)), StreamError),  # content-length says otherwise
            (lambda peer: peer.abort(), SessionError),
        ):
            self.agent = self.agentWith()
            waiting, peer = self.get()
            peer.send(peer.response(1, ("content-length", "100")), peer.data(1, b"part"))
            response = self.successResultOf(waiting)
            sink = Sink()
            response.deliverBody(sink)
            end(peer)
            self.assertEqual(sink.data, b"part")
            assert sink.reason is not None
            sink.reason.trap(ResponseFailed)
            sink.reason.value.reasons[0].trap(kind)
            self.assertIs(sink.reason.value.response, response)

    def test_cancel(self) -> None:
        """
        Cancelling resets that stream with CANCEL and nothing else, in whatever state; it never raises.
        """
        waiting, peer = self.get()
        other = self.agent.request(b"GET", URL)
        peer.take()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(peer.names(), ["RST_STREAM 1 CANCEL"])
        peer.send(peer.goAway(3))
        peer.send(peer.response(3, end=True))
        other.cancel()
        self.assertEqual(self.successResultOf(other).code, 200)

    def test_close(self) -> None:
        """
        After C{close()} requests fail, as never received; those in flight finish.
        """
        waiting, peer = self.get()
        closed = self.agent.close()
        late = self.failureResultOf(self.agent.request(b"GET", URL), ResponseNeverReceived).value
        late.reasons[0].trap(StreamRefused)
        plain = H2Agent(self.clock, pool=self.agent.pool)
        self.failureResultOf(plain.request(b"GET", URL), ResponseNeverReceived)
        self.assertNoResult(closed)
        peer.send(peer.response(1, end=True))
        self.assertEqual(self.successResultOf(waiting).code, 200)
        peer.take()
        self.assertIsNone(self.successResultOf(closed))


class Hello(Resource):
    """
    Says what it was asked, over HTTP/1.1.
    """

    isLeaf = True

    def render(self, request: Any) -> bytes:
        """See L{Resource}."""
        request.setHeader(b"x-version", request.clientproto)
        answer: bytes = request.method + b" " + request.uri + b" " + request.content.read()
        return answer


class NetworkCase(SynchronousTestCase):
    """
    Has servers in memory, over TLS and in clear text.
    """

    def setUp(self) -> None:
        """
        Make the network.
        """
        self.clock = Clock()
        # Twisted's TLS joins small writes on the global reactor where nobody names a clock, as wrapClientTLS does not.
        self.patch(tls, "_get_default_clock", lambda: self.clock)
        self.farm = Farm(self.clock, lambda host, port: self.servers[host])
        self.servers: dict[str, Any] = {}
        self.trust = clientContextFactory(trustRoot=CERTIFICATE)
        self.agents: list[H2Agent] = []
        self.addCleanup(self.end)

    def tls(self, factory: Any, *protocols: bytes, certificate: tuple[bytes, bytes] = (CERTIFICATE, KEY)) -> Any:
        """
        Put TLS around a server's factory.
        """
        context = serverContextFactory(*certificate, protocols=protocols)
        return TLSMemoryBIOFactory(context, False, factory, clock=self.clock)

    def site(self) -> Any:
        """
        A server that speaks HTTP/1.1 only.
        """
        site = Site(Hello(), reactor=self.clock)
        self.patch(site, "acceptableProtocols", lambda: [b"http/1.1"])
        return site

    def agent(self, contextFactory: Any = None, **options: Any) -> H2Agent:
        """
        Make an agent on the network, which has to leave nothing behind.
        """
        pool = SessionPool(
            self.clock, contextFactory=contextFactory or self.trust, endpointFor=self.farm.endpointFor, http1=True
        )
        agent = H2Agent(self.clock, pool=pool, **options)
        self.agents.append(agent)
        return agent

    def end(self) -> None:
        """
        Close the agents and see that they leave no call.
        """
        closed = [agent.close(grace=60) for agent in self.agents]
        gc.collect()  # so that an error that nobody took is found here
        for _ in range(3):
            self.farm.advance(70)
        for each in closed:
            self.assertIsNone(self.successResultOf(each))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def result(self, waiting: Deferred[Any]) -> Any:
        """
        Let everything move and take a result.
        """
        self.farm.pump()
        return self.successResultOf(waiting)

    def body(self, response: Any) -> bytes:
        """
        Read a body.
        """
        body: bytes = self.result(readBody(response))
        return body


class ChoosingTests(NetworkCase):
    """
    ALPN decides.
    """

    def test_h2(self) -> None:
        """
        A server that chooses h2 is asked over it, with our policy for TLS and with Twisted's.
        """
        server = Server(lambda stream, headers: stream.end(headers.path.encode()), clock=self.clock)
        self.servers["localhost"] = self.tls(server, b"h2")
        policy = BrowserLikePolicyForHTTPS(trustRootFromCertificates([Certificate.loadPEM(CERTIFICATE)]))
        for each in (self.trust, policy):
            agent = self.agent(each)
            response = self.result(agent.request(b"GET", b"https://localhost/x"))
            self.assertEqual((response.version, self.body(response)), ((b"HTTP", 2, 0), b"/x"))
        self.assertEqual(len(self.farm.pipes), 2)

    def test_http1(self) -> None:
        """
        A server that chooses HTTP/1.1 is asked over it on the connection that is there; so are all who waited, and the next
        ones, on connections that are kept.
        """
        self.servers["localhost"] = self.tls(self.site(), b"http/1.1")
        agent = self.agent()
        response = self.result(agent.request(b"GET", b"https://localhost/x"))
        self.assertEqual(response.version, (b"HTTP", 1, 1))
        self.assertEqual(response.headers.getRawHeaders(b"x-version"), [b"HTTP/1.1"])
        self.assertEqual(self.body(response), b"GET /x ")
        self.assertEqual(len(self.farm.pipes), 1)
        producer = FileBodyProducer(BytesIO(b"body"), Cooperator(scheduler=lambda call: self.clock.callLater(0, call)))
        response = self.result(agent.request(b"POST", b"https://localhost/y", None, producer))
        self.assertEqual(self.body(response), b"POST /y body")
        self.assertEqual(len(self.farm.pipes), 1)
        waiting = [agent.request(b"GET", b"https://localhost/%d" % each) for each in range(3)]
        self.assertEqual(sorted(self.body(self.result(each)) for each in waiting), [b"GET /0 ", b"GET /1 ", b"GET /2 "])
        self.assertEqual(len(self.farm.pipes), 3)

    def test_http1Together(self) -> None:
        """
        Those who waited for the first connection together each get their answer, one of them on that connection.
        """
        self.servers["localhost"] = self.tls(self.site(), b"http/1.1")
        agent = self.agent()
        producer = Producer(4)
        waiting = [agent.request(b"GET", b"https://localhost/%d" % each) for each in range(3)]
        waiting.append(agent.request(b"POST", b"https://localhost/3", None, producer))
        self.farm.pump()
        producer.consumer.write(b"body")
        producer.finished.callback(None)
        self.assertEqual(
            [self.body(self.result(each)) for each in waiting],
            [b"GET /0 ", b"GET /1 ", b"GET /2 ", b"POST /3 body"],
        )
        self.assertEqual(len(self.farm.pipes), 4)

    def test_http1Forgotten(self) -> None:
        """
        After five minutes a server that chose HTTP/1.1 is asked again what it speaks.
        """
        self.servers["localhost"] = self.tls(self.site(), b"http/1.1")
        agent = self.agent()
        self.body(self.result(agent.request(b"GET", b"https://localhost/x")))
        server = Server(lambda stream, headers: stream.end(), clock=self.clock)
        self.servers["localhost"] = self.tls(server, b"h2")
        self.farm.advance(301)
        response = self.result(agent.request(b"GET", b"https://localhost/x"))
        self.assertEqual(response.version, (b"HTTP", 2, 0))

    def test_http1Required(self) -> None:
        """
        A server that chooses h2 and then resets a stream with HTTP_1_1_REQUIRED is asked over HTTP/1.1; a body that has
        begun cannot go there.
        """

        def refuse(stream: Any, headers: Any) -> None:
            self.servers["localhost"] = self.tls(self.site(), b"http/1.1")
            stream.close(ErrorCode.HTTP_1_1_REQUIRED)

        server = Server(refuse, clock=self.clock)
        for method, producer in ((b"GET", None), (b"POST", Producer())):
            self.servers["localhost"] = self.tls(server, b"h2")
            agent = self.agent()
            waiting = agent.request(method, b"https://localhost/x", None, producer)
            self.farm.pump()
            if producer is None:
                response = self.successResultOf(waiting)
                self.assertEqual((response.version, self.body(response)), ((b"HTTP", 1, 1), b"GET /x "))
            else:
                error = self.failureResultOf(waiting, ResponseNeverReceived).value
                self.assertEqual(error.reasons[0].value.reason.code, ErrorCode.HTTP_1_1_REQUIRED)
                self.assertEqual(producer.log[-1], "stop")

    def test_http1Cancelled(self) -> None:
        """
        A connection that turned out to speak HTTP/1.1, with nobody left to use it, is closed.
        """
        self.servers["localhost"] = self.tls(self.site(), b"http/1.1")
        pool = SessionPool(self.clock, contextFactory=self.trust, endpointFor=self.farm.endpointFor, http1=True)
        waiting = pool.request("https://localhost/")
        self.farm.pump()
        self.assertEqual(self.failureResultOf(waiting, ConnectFailed).value.stage, "alpn")
        self.farm.advance(1)
        self.assertFalse(self.farm.pipes[0].first.connected)
        self.assertIsNone(self.successResultOf(pool.close()))

    def test_withoutALPN(self) -> None:
        """
        A server that knows nothing of ALPN is asked over HTTP/1.1.
        """
        self.servers["localhost"] = TLSMemoryBIOFactory(WithoutALPN(), False, self.site(), clock=self.clock)
        response = self.result(self.agent().request(b"GET", b"https://localhost/x"))
        self.assertEqual((response.version, self.body(response)), ((b"HTTP", 1, 1), b"GET /x "))

    def test_clearText(self) -> None:
        """
        C{http:} means HTTP/1.1, unless prior knowledge of HTTP/2 is asked for.
        """
        self.servers["localhost"] = Server(
            lambda stream, headers: stream.end(b"two"), http1=self.site(), clock=self.clock
        )
        response = self.result(self.agent().request(b"GET", b"http://localhost/x"))
        self.assertEqual((response.version, self.body(response)), ((b"HTTP", 1, 1), b"GET /x "))
        response = self.result(self.agent(priorKnowledge=True).request(b"GET", b"http://localhost/x"))
        self.assertEqual((response.version, self.body(response)), ((b"HTTP", 2, 0), b"two"))

    def test_http1Pool(self) -> None:
        """
        The pool for HTTP/1.1 can be given.
        """
        self.servers["localhost"] = self.site()
        agent = self.agent(http1Pool=HTTPConnectionPool(self.clock, persistent=False))
        for _ in range(2):
            self.body(self.result(agent.request(b"GET", b"http://localhost/x")))
        self.assertEqual(len(self.farm.pipes), 2)

    def test_nothingInCommon(self) -> None:
        """
        A server that speaks neither is a response that never came, at stage alpn.
        """
        self.servers["localhost"] = self.tls(Server(lambda stream, headers: None, clock=self.clock), b"spdy/3")
        self.patch(Server, "acceptableProtocols", lambda self: [b"spdy/3"])
        waiting = self.agent().request(b"GET", b"https://localhost/x")
        self.farm.pump()
        error = self.failureResultOf(waiting, ResponseNeverReceived).value
        self.assertEqual(error.reasons[0].value.stage, "alpn")

    def test_otherName(self) -> None:
        """
        A certificate for another name is a response that never came, at stage tls, with OpenSSL's or Twisted's word inside.
        """
        other = makeCertificate("other.example")
        server = Server(lambda stream, headers: None, clock=self.clock)
        self.servers["localhost"] = self.tls(server, b"h2", certificate=other)
        waiting = self.agent(clientContextFactory(trustRoot=other[0])).request(b"GET", b"https://localhost/x")
        self.farm.pump()
        error = self.failureResultOf(waiting, ResponseNeverReceived).value.reasons[0].value
        self.assertEqual(error.stage, "tls")
        self.assertIsInstance(error.reason, (SSL.Error, Exception))

    def test_untrusted(self) -> None:
        """
        So is one that nobody trusts.
        """
        server = Server(lambda stream, headers: None, clock=self.clock)
        self.servers["localhost"] = self.tls(server, b"h2", certificate=makeCertificate())
        waiting = self.agent().request(b"GET", b"https://localhost/x")
        self.farm.pump()
        error = self.failureResultOf(waiting, ResponseNeverReceived).value.reasons[0].value
        self.assertEqual(error.stage, "tls")
        self.assertIsInstance(error.reason, SSL.Error)


class WrappedTests(NetworkCase):
    """
    What wraps agents.
    """

    def setUp(self) -> None:
        """
        Serve what redirects, sets cookies, compresses and echoes.
        """
        super().setUp()
        self.servers["localhost"] = self.tls(Server(self.answer, clock=self.clock), b"h2")
        self.h2 = self.agent()

    async def answer(self, stream: Any, headers: Any) -> None:
        """
        Serve a request.
        """
        path = headers.path.partition("?")[0]
        if path.startswith("/redirect/"):
            status = int(path[10:13])
            stream.respond({":status": status, "location": "/echo?redirected"}, endStream=True)
        elif path == "/cookie":
            stream.respond({"set-cookie": ["a=1; Path=/", "b=2; Path=/"]}, endStream=True)
        elif path == "/gzip":
            stream.respond({"content-encoding": "gzip"})
            stream.end(gzip.compress(b"unpacked " * 10))
        elif path == "/slow":
            stream.respond()
            stream.write(b"begin")
        else:
            body = (await stream.read()).decode()
            facts = {"method": headers.method, "path": headers.path, "body": body, "headers": dict(headers)}
            stream.respond({"content-type": "application/json"})
            stream.end(json.dumps(facts).encode())

    def echoed(self, response: Any) -> dict[str, Any]:
        """
        Read what the server saw.
        """
        facts: dict[str, Any] = json.loads(self.body(response))
        return facts

    def test_redirect(self) -> None:
        """
        C{RedirectAgent} and C{BrowserLikeRedirectAgent} follow, and the answers are chained.
        """
        for wrap, status in ((RedirectAgent, 302), (RedirectAgent, 307), (BrowserLikeRedirectAgent, 301)):
            response = self.result(wrap(self.h2).request(b"GET", b"https://localhost/redirect/%d" % status))
            self.assertEqual(self.echoed(response)["path"], "/echo?redirected")
            self.assertEqual(response.request.absoluteURI, b"https://localhost/echo?redirected")
            self.assertEqual(response.previousResponse.code, status)
            self.assertEqual(response.previousResponse.request.absoluteURI, b"https://localhost/redirect/%d" % status)
        self.assertEqual(len(self.farm.pipes), 1)

    def test_cookies(self) -> None:
        """
        C{CookieAgent} keeps cookies and sends them back.
        """
        agent = CookieAgent(self.h2, CookieJar())
        self.result(agent.request(b"GET", b"https://localhost/cookie"))
        response = self.result(agent.request(b"GET", b"https://localhost/echo"))
        self.assertEqual(self.echoed(response)["headers"]["cookie"], "a=1; b=2")

    def test_contentDecoder(self) -> None:
        """
        C{ContentDecoderAgent} unpacks.
        """
        agent = ContentDecoderAgent(self.h2, [(b"gzip", GzipDecoder)])
        response = self.result(agent.request(b"GET", b"https://localhost/gzip"))
        self.assertEqual(self.body(response), b"unpacked " * 10)

    def treq(self) -> Any:
        """
        Make treq's client over the agent.
        """
        if treq is None:
            raise SkipTest("this needs treq: pip install treq")
        cooperator = Cooperator(scheduler=lambda call: self.clock.callLater(0, call))
        self.patch(task, "cooperate", cooperator.cooperate)  # what treq's and twisted.web's producers ask by default
        return treq.client.HTTPClient(self.h2)

    def test_treqBasics(self) -> None:
        """
        Treq's requests with parameters, headers, forms, JSON and bytes work, and so do its ways to read an answer.
        """
        client = self.treq()
        url = "https://localhost/echo"
        response = self.result(client.get(url, params={"q": ["1", "2"]}, headers={"X-A": ["b"]}))
        facts = self.result(response.json())
        self.assertEqual((facts["path"], facts["headers"]["x-a"]), ("/echo?q=1&q=2", "b"))
        self.assertEqual(response.original.original.version, (b"HTTP", 2, 0))
        for method in ("post", "put", "patch"):
            facts = self.result(self.result(getattr(client, method)(url, data={"a": "1"})).json())
            self.assertEqual((facts["method"], facts["body"]), (method.upper(), "a=1"))
            self.assertEqual(facts["headers"]["content-length"], "3")
        facts = self.result(self.result(client.post(url, json={"a": 1})).json())
        self.assertEqual(json.loads(facts["body"]), {"a": 1})
        self.assertTrue(facts["headers"]["content-type"].startswith("application/json"))
        facts = self.result(self.result(client.post(url, data=b"bytes")).json())
        self.assertEqual(facts["body"], "bytes")
        self.assertIn('"method": "DELETE"', self.result(self.result(client.delete(url)).text()))
        self.assertEqual(self.result(self.result(client.head(url)).content()), b"")

    def test_treqFiles(self) -> None:
        """
        Treq's multipart forms with files go over the stream.
        """
        waiting = self.treq().post(
            "https://localhost/echo", data={"field": "value"}, files={"file": ("name.txt", BytesIO(b"content"))}
        )
        facts = self.result(self.result(waiting).json())
        self.assertIn("content", facts["body"])
        self.assertIn('name="field"', facts["body"])

    def test_treqCookiesAndRedirects(self) -> None:
        """
        Treq's cookies, redirects and their history, and C{allow_redirects=False}.
        """
        client = self.treq()
        response = self.result(client.get("https://localhost/cookie"))
        self.assertEqual({cookie.name: cookie.value for cookie in response.cookies()}, {"a": "1", "b": "2"})
        facts = self.result(self.result(client.get("https://localhost/echo")).json())
        self.assertEqual(facts["headers"]["cookie"], "a=1; b=2")
        facts = self.result(self.result(client.get("https://localhost/echo", cookies={"c": "3"})).json())
        self.assertIn("c=3", facts["headers"]["cookie"])
        response = self.result(client.get("https://localhost/redirect/302"))
        self.assertEqual([each.code for each in response.history()], [302])
        self.assertEqual(response.request.absoluteURI, b"https://localhost/echo?redirected")
        response = self.result(client.get("https://localhost/redirect/302", allow_redirects=False))
        self.assertEqual(response.code, 302)

    def test_treqBrowserLikeRedirects(self) -> None:
        """
        Treq's C{browser_like_redirects} has a POST that is redirected go on as GET.
        """
        waiting = self.treq().post("https://localhost/redirect/302", data=b"form", browser_like_redirects=True)
        facts = self.result(self.result(waiting).json())
        self.assertEqual((facts["method"], facts["body"]), ("GET", ""))

    def test_treqOtherMethods(self) -> None:
        """
        Treq's C{request} with any method.
        """
        client = self.treq()
        for method, data in (("OPTIONS", None), ("PROPFIND", b"<propfind/>")):
            facts = self.result(self.result(client.request(method, "https://localhost/echo", data=data)).json())
            self.assertEqual((facts["method"], facts["body"].encode()), (method, data or b""))

    def test_treqAuthAndGzip(self) -> None:
        """
        Treq's basic authentication, and its unpacking of answers.
        """
        client = self.treq()
        facts = self.result(self.result(client.get("https://localhost/echo", auth=("me", "secret"))).json())
        self.assertEqual(facts["headers"]["authorization"], "Basic bWU6c2VjcmV0")
        self.assertEqual(self.result(self.result(client.get("https://localhost/gzip")).content()), b"unpacked " * 10)

    def test_treqCollect(self) -> None:
        """
        Treq's C{collect} gets the pieces as they come, and an unbuffered answer is read once.
        """
        pieces: list[bytes] = []
        response = self.result(self.treq().get("https://localhost/gzip", unbuffered=True))
        self.result(treq.collect(response, pieces.append))
        self.assertEqual(b"".join(pieces), b"unpacked " * 10)

    def test_treqTimeout(self) -> None:
        """
        Treq's C{timeout} cancels the request: the stream is reset, the session lives.
        """
        client = self.treq()
        held: list[Any] = []
        self.servers["localhost"] = self.tls(
            Server(lambda stream, headers: held.append(stream), clock=self.clock), b"h2"
        )
        waiting = client.get("https://localhost/never", timeout=5, reactor=self.clock)
        self.farm.pump()
        self.farm.advance(5)
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(held[0].rstCode, ErrorCode.CANCEL)
        self.assertFalse(held[0].session.closed)
