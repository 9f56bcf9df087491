"""
Header lists that are too long to be sent: C{frameNotSent}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.fixtures import Recorder
from txh2session import (
    ClientSession,
    ErrorCode,
    FrameType,
    Initiator,
    InvalidHeader,
    Limits,
    Server,
    ServerStream,
    StreamError,
    StreamRefused,
)
from txh2session.testing import FramePeer

LONG = {"x-long": "x" * 1000}
LIMITS = Limits(sendHeaderBytes=1000)


class NotSentCase(SynchronousTestCase):
    """
    A fixture that catches warnings.
    """

    def setUp(self) -> None:
        """
        Look at the log.
        """
        self.log: list[Any] = []
        self.warnings: list[Any] = []
        globalLogPublisher.addObserver(self.logged)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged)

    def logged(self, event: Any) -> None:
        """
        Keep a warning.
        """
        if event["log_level"] is LogLevel.warn:
            self.warnings.append(event["reason"])


class RequestTests(NotSentCase):
    """
    A client's requests.
    """

    def connect(self, limits: Limits | None = None, **settings: int) -> tuple[ClientSession, FramePeer]:
        """
        Connect to a server that announces these.
        """
        client = ClientSession("http", "localhost", limits=limits, listener=Recorder(self.log))
        peer = FramePeer.toClient(client, Clock(), start=False)
        peer.start(**settings)
        self.log.clear()
        return client, peer

    def refused(self, client: ClientSession, peer: FramePeer, headers: Any) -> StreamRefused:
        """
        Assert that a request is not sent, that its Deferreds say so, and that the session goes on as if it had not been.
        """
        stream = client.request(headers)
        error: StreamRefused = self.failureResultOf(stream.whenResponse(), StreamRefused).value
        for waiting in (stream.read(), stream.whenTrailers(), stream.whenClosed()):
            self.assertIs(self.failureResultOf(waiting).value, error)
        self.assertEqual((error.code, error.processed), (ErrorCode.REFUSED_STREAM, False))
        self.assertIs(error.initiator, Initiator.LOCAL)
        self.assertIsNone(stream.id)
        self.assertIn(("not sent", stream, FrameType.HEADERS, ErrorCode.REFUSED_STREAM), self.log)
        self.assertEqual(peer.names(), [])
        other = client.request()
        self.assertEqual((other.id, peer.names()), (1, ["HEADERS 1 END_STREAM"]))
        self.assertFalse(client.closed)
        return error

    def test_ourLimit(self) -> None:
        """
        A request beyond C{Limits.sendHeaderBytes} is not sent, uses no stream id and hurts no other; the log has it.
        """
        client, peer = self.connect(LIMITS)
        error = self.refused(client, peer, LONG)
        self.assertIn("sendHeaderBytes, 1000", str(error))
        self.assertEqual(len(self.warnings), 1)

    def test_theirLimit(self) -> None:
        """
        The same for one beyond the server's MAX_HEADER_LIST_SIZE, but for the log, which a peer could fill.
        """
        client, peer = self.connect(MAX_HEADER_LIST_SIZE=900)
        error = self.refused(client, peer, LONG)
        self.assertIn("the peer's maxHeaderListSize, 900", str(error))
        self.assertEqual(self.warnings, [])

    def test_justFits(self) -> None:
        """
        A list of exactly the limit is sent; its size is what the RFC says, 32 bytes for each field included.
        """
        client, peer = self.connect(MAX_HEADER_LIST_SIZE=1000)
        rest = client.request().sentHeaders
        assert rest is not None
        value = "x" * (1000 - rest.size - 32 - len("x-long"))
        peer.take()
        stream = client.request({"x-long": value})
        self.assertEqual(peer.names(), ["HEADERS 3 END_STREAM"])
        assert stream.sentHeaders is not None
        self.assertEqual(stream.sentHeaders.size, 1000)
        self.failureResultOf(client.request({"x-long": value + "x"}).whenResponse(), StreamRefused)

    def test_waiting(self) -> None:
        """
        A request that waits for the connection is held to what the server says then.
        """
        client = ClientSession("http", "localhost", listener=Recorder(self.log))
        streams = [client.request(LONG), client.request()]
        peer = FramePeer.toClient(client, Clock(), start=False)
        self.assertEqual([stream.id for stream in streams], [1, 3])
        peer.start(MAX_HEADER_LIST_SIZE=900)
        self.failureResultOf(client.request(LONG).whenResponse(), StreamRefused)

    def test_trailers(self) -> None:
        """
        Trailers that are too long end their stream with INTERNAL_ERROR, since the server has seen the request.
        """
        client, peer = self.connect(LIMITS)
        stream = client.request({":method": "POST"})
        stream.write(b"body")
        peer.take()
        stream.end(trailers=LONG)
        self.assertEqual(peer.names(), ["RST_STREAM 1 INTERNAL_ERROR"])
        error = self.failureResultOf(stream.whenClosed(), StreamError).value
        self.assertEqual(error.code, ErrorCode.INTERNAL_ERROR)
        self.assertIsNone(error.processed)
        self.assertEqual(self.log, [("not sent", stream, FrameType.HEADERS, ErrorCode.INTERNAL_ERROR)])


class AnswerTests(NotSentCase):
    """
    A server's answers.
    """

    def ask(self, answer: Any, limits: Limits | None = LIMITS, **settings: int) -> tuple[list[str], ServerStream]:
        """
        Ask a server.

        @return: the frames that came, and the stream.
        """
        streams: list[ServerStream] = []

        def received(stream: ServerStream, headers: Any) -> Any:
            streams.append(stream)
            stream.addListener(Recorder(self.log))
            return answer(stream)

        server = Server(received, clock=Clock(), limits=limits)
        peer = FramePeer.toServer(server, start=False)
        peer.start(**settings)
        peer.send(peer.get(1))
        frames = peer.names()
        peer.send(peer.ping())
        self.assertEqual(peer.names()[-1], "PING ACK")
        return frames, streams[0]

    def ended(self, stream: ServerStream) -> None:
        """
        Assert what is known of a stream whose headers were not sent.
        """
        error = self.failureResultOf(stream.whenClosed(), StreamError).value
        self.assertEqual((error.code, error.initiator), (ErrorCode.INTERNAL_ERROR, Initiator.LOCAL))
        self.assertEqual(self.log[0], ("not sent", FrameType.HEADERS, ErrorCode.INTERNAL_ERROR))
        self.assertEqual(self.log[-1], ("stream closed", 1, error))

    def test_response(self) -> None:
        """
        A response that is too long is a reset, after which the handler's writing does nothing.
        """

        def answer(stream: ServerStream) -> None:
            stream.respond(LONG)
            stream.write(b"body")
            stream.end()

        frames, stream = self.ask(answer)
        self.assertEqual(frames, ["RST_STREAM 1 INTERNAL_ERROR"])
        self.assertFalse(stream.headersSent)
        self.assertEqual(len(self.warnings), 1)
        self.ended(stream)

    def test_responseTheyDoNotTake(self) -> None:
        """
        The same for what the client does not take; the handler, which waits for room, is told and nothing is logged.
        """
        told: list[Any] = []

        def answer(stream: ServerStream) -> Deferred[None]:
            stream.respond(LONG)
            return stream.send(b"body").addErrback(lambda failure: told.append(failure.value))

        frames, stream = self.ask(answer, None, MAX_HEADER_LIST_SIZE=900)
        self.assertEqual(frames, ["RST_STREAM 1 INTERNAL_ERROR"])
        self.assertEqual([type(error) for error in told], [StreamError])
        self.assertEqual(self.warnings, [])
        self.ended(stream)

    def test_information(self) -> None:
        """
        The same for a 1xx response.
        """
        frames, stream = self.ask(lambda stream: stream.additionalHeaders({":status": 103, **LONG}))
        self.assertEqual(frames, ["RST_STREAM 1 INTERNAL_ERROR"])
        self.assertEqual(stream.sentInformation, [])
        self.ended(stream)

    def test_trailers(self) -> None:
        """
        The same for trailers, behind what was written before.
        """

        def answer(stream: ServerStream) -> None:
            stream.write(b"body")
            stream.end(b"more", LONG)

        frames, stream = self.ask(answer)
        self.assertEqual(frames[0], "HEADERS 1 200")
        self.assertEqual(frames[-1], "RST_STREAM 1 INTERNAL_ERROR")
        self.assertIsNone(stream.sentTrailers)
        self.ended(stream)

    def test_promise(self) -> None:
        """
        A promise that is too long raises, and its parent goes on.
        """
        raised: list[InvalidHeader] = []

        def answer(stream: ServerStream) -> None:
            raised.append(self.assertRaises(InvalidHeader, stream.pushStream, {":path": "/", **LONG}))
            stream.end(b"body")

        frames, _ = self.ask(answer)
        self.assertEqual(frames, ["HEADERS 1 200", "DATA 1 4 END_STREAM"])
        self.assertIn("sendHeaderBytes", str(raised[0]))
