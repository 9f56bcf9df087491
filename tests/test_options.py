"""
L{txh2session.Options}: padding, and how strictly messages are made and judged.
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import DataFrame, Frame, HeadersFrame, PushPromiseFrame
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fixtures import Recorder, TwoSessions
from txh2session import (
    ClientSession,
    Headers,
    InvalidHeader,
    InvalidSetting,
    Options,
    PaddingStrategy,
    Server,
    ServerStream,
)
from txh2session._frames import HEAD, paddingFor
from txh2session.testing import FramePeer, requestFields


class ValueTests(SynchronousTestCase):
    """
    The values are checked when they are made.
    """

    def test_types(self) -> None:
        """
        What is not of a field's type is refused, with the field's name.
        """
        wrong: list[tuple[str, Any]] = [("padding", 2), ("strictFieldWhitespace", 1), ("strictSingleValues", None)]
        for name, value in wrong:
            self.assertIn(name, str(self.assertRaises(InvalidSetting, Options, **{name: value})))

    def test_paddingFor(self) -> None:
        """
        ALIGNED makes the whole frame a multiple of eight bytes, MAX adds what there can be; both keep to the room.
        """
        aligned, most = PaddingStrategy.ALIGNED, PaddingStrategy.MAX
        for length in range(300):
            extra = paddingFor(aligned, length, 1000)
            self.assertLess(extra, 8)
            self.assertEqual((HEAD + length + extra) % 8, 0)
        self.assertEqual(paddingFor(most, 7, 1000), 256)
        for strategy in (aligned, most):
            self.assertEqual(paddingFor(strategy, 8, 3), 3)
            self.assertEqual(paddingFor(strategy, 8, 0), 0)
            self.assertEqual(paddingFor(strategy, 8, -5), 0)
        self.assertEqual(paddingFor(PaddingStrategy.NONE, 8, 1000), 0)


class PaddingTests(SynchronousTestCase):
    """
    What goes over the wire with padding.
    """

    def serve(self, strategy: PaddingStrategy, **settings: int) -> FramePeer:
        """
        Ask a server that pads and pushes, for C{/hello}.

        @return: the client, which wants pushes.
        """

        def answer(stream: ServerStream, headers: Headers) -> None:
            if stream.pushAllowed:
                stream.pushStream({":path": "/pushed"}).end(b"pushed")
            stream.respond()
            stream.write(b"x" * 20_000)
            stream.end(b"", {"grpc-status": "0"})

        server = Server(answer, clock=Clock(), options=Options(padding=strategy))
        peer = FramePeer.toServer(server, start=False)
        peer.start(**settings)
        peer.send(peer.get(1))
        return peer

    def lengths(self, frames: list[Frame]) -> list[tuple[str, int]]:
        """
        List the frames that may be padded, with the length of their payloads.
        """
        kinds = (DataFrame, HeadersFrame, PushPromiseFrame)
        return [(type(frame).__name__, len(frame.serialize_body())) for frame in frames if isinstance(frame, kinds)]

    def test_none(self) -> None:
        """
        Without being asked for there is none.
        """
        for frame in self.serve(PaddingStrategy.NONE).take():
            self.assertNotIn("PADDED", frame.flags)

    def test_aligned(self) -> None:
        """
        Frames of headers, promises and bodies are multiples of eight bytes long, except where there is no room.
        """
        lengths = self.lengths(self.serve(PaddingStrategy.ALIGNED).take())
        self.assertEqual(
            sorted({name for name, _ in lengths}), ["DataFrame", "HeadersFrame", "PushPromiseFrame"], lengths
        )
        for name, length in lengths:
            self.assertTrue((HEAD + length) % 8 == 0 or length == 16384, (name, length))

    def test_max(self) -> None:
        """
        Each frame gets 255 bytes of padding and one for its length, except where there is no room.
        """
        peer = self.serve(PaddingStrategy.MAX)
        frames = peer.take()
        self.assertEqual([name for name, _ in self.lengths(frames)].count("HeadersFrame"), 3)
        for frame in frames:
            if isinstance(frame, (DataFrame, HeadersFrame, PushPromiseFrame)) and len(frame.serialize_body()) < 16384:
                self.assertEqual(frame.pad_length, 255, frame)
        bodies = [frame for frame in frames if isinstance(frame, DataFrame) and frame.stream_id == 1]
        self.assertEqual([len(frame.data) for frame in bodies], [16384, 20_000 - 16384])

    def test_window(self) -> None:
        """
        Padding counts for both windows and keeps to them, so that it never makes a body break its limit.
        """
        peer = self.serve(PaddingStrategy.MAX, INITIAL_WINDOW_SIZE=100)
        (data,) = [frame for frame in peer.take() if isinstance(frame, DataFrame) and frame.stream_id == 1]
        self.assertEqual((len(data.data), data.body_len), (100, 100))
        peer.send(peer.window(1, 19_900))
        bodies = [frame for frame in peer.take() if isinstance(frame, DataFrame)]
        self.assertEqual(sum(frame.body_len for frame in bodies), 19_900)
        self.assertEqual([frame.pad_length for frame in bodies], [0, 0])

    def test_emptyEnd(self) -> None:
        """
        A DATA frame that only ends a body is padded as far as the window has room.
        """
        for window, payload in ((1000, 256), (3, 3), (0, 0)):
            streams: list[ServerStream] = []
            server = Server(
                lambda stream, headers, streams=streams: streams.append(stream),
                clock=Clock(),
                options=Options(padding=PaddingStrategy.MAX),
            )
            peer = FramePeer.toServer(server, start=False)
            peer.start(INITIAL_WINDOW_SIZE=window)
            peer.send(peer.get(1))
            streams[0].respond()
            streams[0].end()
            (end,) = [frame for frame in peer.take() if isinstance(frame, DataFrame)]
            self.assertEqual((end.body_len, "END_STREAM" in end.flags), (payload, True))

    def test_manyHeaders(self) -> None:
        """
        A header block that fills its frame to the last byte and goes on in CONTINUATION is not padded beyond it.
        """
        server = Server(
            lambda stream, headers: stream.respond({"a": "\\" * 10_000}, endStream=True),
            clock=Clock(),
            options=Options(padding=PaddingStrategy.MAX),
        )
        peer = FramePeer.toServer(server)
        peer.send(peer.get(1))
        first, second = peer.take()
        self.assertEqual((len(first.serialize_body()), first.pad_length), (16384, 0))
        self.assertEqual(dict(first.fields)["a"], "\\" * 10_000)
        self.assertEqual(second.flags, {"END_HEADERS"})


class PaddedPairTests(TwoSessions):
    """
    Both roles.
    """

    def test_exchange(self) -> None:
        """
        Requests and answers arrive as they were sent, with windows that are filled again and again.
        """
        for strategy in (PaddingStrategy.ALIGNED, PaddingStrategy.MAX):
            options = Options(padding=strategy)
            near, far, both = self.connected(options=options, clientOptions=options)  # type: ignore[attr-defined]
            mine, theirs = self.openStreams(both, 1)
            reading = theirs[0].read()
            for _ in range(40):
                mine[0].write(b"0123456789" * 1000)
            mine[0].end(b"!")
            both.pump()
            body = self.successResultOf(reading)  # type: ignore[attr-defined]
            self.assertEqual(body, b"0123456789" * 40_000 + b"!")  # type: ignore[attr-defined]


class PaddedClientTests(PaddedPairTests, SynchronousTestCase):
    """
    A client that pads.
    """

    role = "client"

    def test_request(self) -> None:
        """
        A request's HEADERS are padded behind the preface.
        """
        client = ClientSession("http", "localhost", options=Options(padding=PaddingStrategy.MAX))
        peer = FramePeer.toClient(client, Clock())
        client.request()
        (frame,) = peer.take(HeadersFrame)
        self.assertEqual(frame.pad_length, 255)
        self.assertEqual(dict(frame.fields)[":path"], "/")


class PaddedServerTests(PaddedPairTests, SynchronousTestCase):
    """
    A server that pads.
    """

    role = "server"


class StrictnessTests(SynchronousTestCase):
    """
    What is let through that is refused otherwise.
    """

    def ask(self, fields: list[tuple[str, str]], **options: bool) -> tuple[list[str], list[Headers]]:
        """
        Send a request with some more fields to a server.

        @return: the names of the frames that came back, and the headers that reached the application.
        """
        seen: list[Headers] = []

        def answer(stream: ServerStream, headers: Headers) -> None:
            seen.append(headers)
            stream.end()

        log: list[Any] = []
        server = Server(answer, clock=Clock(), options=Options(**options), listener=Recorder(log))
        peer = FramePeer.toServer(server)
        peer.send(peer.headers(1, [*requestFields(), *fields], end=True))
        return peer.names(), seen

    def test_blanks(self) -> None:
        """
        A value that begins or ends with a blank or a tab costs its stream, or is handed on as it came.
        """
        fields = [("a", " b"), ("c", "d\t")]
        frames, seen = self.ask(fields)
        self.assertEqual((frames, seen), (["RST_STREAM 1 PROTOCOL_ERROR"], []))
        frames, (headers,) = self.ask(fields, strictFieldWhitespace=False)
        self.assertEqual(frames, ["HEADERS 1 200 END_STREAM"])
        self.assertEqual((headers["a"], headers["c"]), (" b", "d\t"))

    def test_notLenient(self) -> None:
        """
        Where blanks pass, control characters do not, nor do blanks in what decides whom and how long a message is for.
        """
        for field in (("a", "b\r\nc: d"), ("a", "\x00"), ("content-length", " 5"), ("host", " localhost")):
            frames, seen = self.ask([field], strictFieldWhitespace=False)
            self.assertEqual((frames, seen), (["RST_STREAM 1 PROTOCOL_ERROR"], []), field)

    def test_blanksInResponsesAndTrailers(self) -> None:
        """
        The same for clients.
        """
        for strict in (True, False):
            client = ClientSession("http", "localhost", options=Options(strictFieldWhitespace=strict))
            peer = FramePeer.toClient(client, clock=Clock())
            stream = client.request()
            answer, trailers, body = stream.whenResponse(), stream.whenTrailers(), stream.read()
            peer.send(peer.headers(1, [(":status", "200"), ("a", "b ")]))
            peer.send(peer.headers(1, [("c", " d")], end=True))
            if strict:
                for waiting in (answer, trailers, body):
                    self.failureResultOf(waiting)
            else:
                self.assertEqual(self.successResultOf(answer)["a"], "b ")
                found = self.successResultOf(trailers)
                assert found is not None
                self.assertEqual(found["c"], " d")
                self.assertEqual(self.successResultOf(body), b"")

    def test_singleValues(self) -> None:
        """
        Two values of a field that has one are refused on the way out, or sent.
        """
        twice = [("content-type", "a"), ("content-type", "b")]
        self.assertRaises(InvalidHeader, Headers, twice)
        self.assertEqual(Headers(twice, strictSingleValues=False).getAll("content-type"), ["a", "b"])
        for strict in (True, False):
            options = Options(strictSingleValues=strict)
            client = ClientSession("http", "localhost", options=options)
            raised: list[Exception] = []

            def answer(stream: ServerStream, headers: Headers, raised: list[Exception] = raised) -> None:
                for call in (
                    lambda: stream.additionalHeaders([(":status", 103), *twice]),
                    lambda: stream.pushStream([(":path", "/"), *twice]),
                    lambda: stream.respond(twice),
                    lambda: stream.end(trailers=twice),
                ):
                    try:
                        call()
                    except InvalidHeader as error:
                        raised.append(error)

            server = Server(answer, clock=Clock(), options=options)
            peer = FramePeer.toServer(server)
            peer.send(peer.get(1))
            self.assertEqual(len(raised), 4 if strict else 0)
            if strict:
                self.assertRaises(InvalidHeader, client.request, twice)
            else:
                client.request(twice, priority="u=1")
                client.destroy()

    def test_alwaysSingle(self) -> None:
        """
        Whom a message is for and how long it is has one value, whatever is asked for.
        """
        for name in ("content-length", "host", ":path", ":authority"):
            self.assertRaises(InvalidHeader, Headers, [(name, "1"), (name, "1")], strictSingleValues=False)
