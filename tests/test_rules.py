"""
L{txh2session._rules} and L{txh2session._multiplexer}: what a peer may send and what a wrong frame costs, seen from outside.
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import ContinuationFrame, Frame, HeadersFrame, SettingsFrame, WindowUpdateFrame
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.fixtures import Recorder
from txh2session import (
    ClientSession,
    ErrorCode,
    Initiator,
    LimitExceeded,
    Limits,
    Rate,
    Server,
    ServerStream,
    SessionError,
    Settings,
    Stream,
    StreamError,
)
from txh2session._frames import buildFrame
from txh2session.testing import FramePeer, requestFields


class ServerRules(SynchronousTestCase):
    """
    A fixture: a server, a client that speaks frames, and a download that must survive what costs another stream only.
    """

    limits = Limits()
    settings = Settings()

    def setUp(self) -> None:
        """
        Start a download on stream 1, which waits for its window.
        """
        self.clock = Clock()
        self.streams: list[ServerStream] = []
        self.log: list[Any] = []
        self.server = Server(
            lambda stream, headers: self.streams.append(stream),
            clock=self.clock,
            limits=self.limits,
            settings=self.settings,
            listener=Recorder(self.log),
        )
        self.peer = FramePeer.toServer(self.server)
        self.peer.send(self.peer.get(1))
        self.streams[0].end(b"x" * 100_000)
        self.peer.take()
        self.session = next(iter(self.server.sessions))

    def raw(self, kind: int, streamID: int, payload: bytes = b"", flags: int = 0) -> bytes:
        """
        Make a frame of bytes.
        """
        return buildFrame(kind, flags, streamID, payload)

    def costsStream(self, streamID: int, code: ErrorCode) -> None:
        """
        Assert that one stream was reset, and that the download and new requests still work.
        """
        self.assertIn(f"RST_STREAM {streamID} {code.name}", self.peer.names())
        self.peer.send(self.peer.window(0, 100_000), self.peer.window(1, 100_000))
        frames = self.peer.names()
        self.assertEqual(frames[-1].split()[:2] + frames[-1].split()[-1:], ["DATA", "1", "END_STREAM"])
        asked = len(self.streams)
        self.peer.send(self.peer.get(101))
        self.assertEqual(len(self.streams), asked + 1)
        self.assertFalse(self.session.destroyed)

    def costsConnection(self, code: ErrorCode, last: int | None = None) -> SessionError:
        """
        Assert that the connection was ended with a GOAWAY, and only one, and that nothing more is taken in.
        """
        names = self.peer.names()
        ends = [name.split() for name in names if name.startswith("GOAWAY")]
        self.assertEqual([end[2] for end in ends], [code.name], names)
        if last is not None:
            self.assertEqual(int(ends[0][1]), last)
        self.assertTrue(self.session.destroyed)
        self.clock.advance(5)
        self.peer.take()
        self.assertTrue(self.peer.lost)
        error = self.failureResultOf(self.session.whenClosed(), SessionError).value
        self.assertEqual(error.code, code)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
        return error


class MalformedTests(ServerRules):
    """
    Malformed requests are stream errors (RFC 9113 section 8.1.1).
    """

    def test_malformedRequests(self) -> None:
        """
        Each kind of malformed request costs its stream only, and never reaches the application.
        """
        good = requestFields()
        cases: dict[str, list[tuple[str, str]]] = {
            "upper case": [*good, ("X-Upper", "a")],
            "connection": [*good, ("connection", "close")],
            "transfer-encoding": [*good, ("transfer-encoding", "chunked")],
            "te": [*good, ("te", "gzip")],
            "late pseudo": [*good[:3], ("a", "b"), good[3]],
            "two paths": [*good, (":path", "/other")],
            "unknown pseudo": [*good, (":other", "x")],
            "status": [*good, (":status", "200")],
            "no method": good[1:],
            "no path": good[:3],
            "no scheme": [good[0], *good[2:]],
            "no authority": [good[0], good[1], good[3]],
            "host differs": [*good, ("host", "elsewhere")],
            "CR": [*good, ("a", "b\rc")],
            "LF": [*good, ("a", "b\nc")],
            "NUL": [*good, ("a", "b\0c")],
            "blank": [*good, ("a", " b")],
            "name": [*good, ("a b", "c")],
            "empty path": [*good[:3], (":path", "")],
            "relative path": [*good[:3], (":path", "a")],
            "content-length": [*good, ("content-length", "-1")],
            "two content-lengths": [*good, ("content-length", "1"), ("content-length", "2")],
            "content-length without body": [*good, ("content-length", "1")],
            "connect with path": [(":method", "CONNECT"), *good[1:]],
            "extended connect": [(":method", "CONNECT"), *good[1:], (":protocol", "websocket")],
        }
        asked = len(self.streams)
        for number, (name, fields) in enumerate(cases.items()):
            streamID = 3 + 2 * number
            self.peer.send(self.peer.headers(streamID, fields, end=True))
            self.assertEqual(self.peer.names(), [f"RST_STREAM {streamID} PROTOCOL_ERROR"], name)
            self.assertEqual(len(self.streams), asked, name)
        self.peer.send(self.peer.window(0, 100_000), self.peer.window(1, 100_000))
        self.assertIn("END_STREAM", self.peer.names()[-1])

    def test_contentLength(self) -> None:
        """
        A body that does not match content-length costs the stream; its window is given back.
        """
        for parts, ended in (([b"12345", b"6"], False), ([b"123"], True)):
            streamID = 3 if not ended else 5
            self.peer.send(self.peer.post(streamID, "/", ("content-length", "5")))
            body = self.streams[-1].read()
            for part in parts:
                self.peer.send(self.peer.data(streamID, part, end=ended))
            self.failureResultOf(body, StreamError)
        self.costsStream(5, ErrorCode.PROTOCOL_ERROR)

    def test_trailersWithoutEnd(self) -> None:
        """
        A second header block without END_STREAM costs the stream.
        """
        self.peer.send(self.peer.post(3), self.peer.headers(3, [("a", "b")]))
        self.costsStream(3, ErrorCode.PROTOCOL_ERROR)

    def test_badTrailers(self) -> None:
        """
        Trailers with a pseudo-header field, or before the body is complete, cost the stream.
        """
        self.peer.send(self.peer.post(3), self.peer.headers(3, [(":path", "/")], end=True))
        self.peer.send(self.peer.post(5, "/", ("content-length", "5")), self.peer.headers(5, [("a", "b")], end=True))
        self.costsStream(5, ErrorCode.PROTOCOL_ERROR)

    def test_selfDependency(self) -> None:
        """
        A request that depends on itself costs the stream, and so does a PRIORITY frame that says so later.
        """
        self.peer.send(self.peer.post(5), self.peer.priority(5, 5))
        self.assertEqual(self.peer.names(), ["RST_STREAM 5 PROTOCOL_ERROR"])
        frame = self.peer.get(7)
        frame.flags.add("PRIORITY")
        frame.depends_on, frame.stream_weight, frame.exclusive = 7, 15, False
        self.peer.send(frame)
        self.costsStream(7, ErrorCode.PROTOCOL_ERROR)

    def test_longList(self) -> None:
        """
        A header list over the limit costs the stream; far over it, the connection.
        """
        self.peer.send(self.peer.get(3, "/", *((f"a{number}", "b") for number in range(300))))
        self.costsStream(3, ErrorCode.ENHANCE_YOUR_CALM)

    def test_listALittleTooLong(self) -> None:
        """
        A list of few fields just over C{maxHeaderListSize} costs the stream as well (11.64).
        """
        asked = len(self.streams)
        frame = self.peer.get(3, "/", *((f"c{number}", "d" * 14_000) for number in range(5)))
        parts = [frame.data[start : start + 16_000] for start in range(0, len(frame.data), 16_000)]
        self.peer.send(
            HeadersFrame(3, parts[0], flags=["END_STREAM"]),
            *(ContinuationFrame(3, part) for part in parts[1:-1]),
            ContinuationFrame(3, parts[-1], flags=["END_HEADERS"]),
        )
        self.assertEqual(len(self.streams), asked)
        self.costsStream(3, ErrorCode.ENHANCE_YOUR_CALM)

    def test_veryLongList(self) -> None:
        """
        An HPACK bomb is stopped while it is decoded.
        """
        self.peer.send(self.peer.headers(3, [*requestFields(), ("a", "b" * 4000)]))
        block = self.peer.encoder.encode([*requestFields(), *[("a", "b" * 4000)] * 200])
        self.peer.send(HeadersFrame(5, block, flags=["END_HEADERS"]))
        self.assertEqual(self.costsConnection(ErrorCode.ENHANCE_YOUR_CALM).initiator, Initiator.ABUSE)


class StreamErrorTests(ServerRules):
    """
    Stream errors that are not about messages.
    """

    def test_dataAfterEnd(self) -> None:
        """
        DATA after END_STREAM costs the stream with STREAM_CLOSED (5.1).
        """
        self.peer.send(self.peer.get(3), self.peer.data(3, b"x"))
        self.costsStream(3, ErrorCode.STREAM_CLOSED)

    def test_headersAfterEnd(self) -> None:
        """
        HEADERS after END_STREAM cost the stream with STREAM_CLOSED, and HPACK stays in step.
        """
        self.peer.send(self.peer.get(3), self.peer.headers(3, [("new-name", "new-value")], end=True))
        self.costsStream(3, ErrorCode.STREAM_CLOSED)

    def test_zeroIncrement(self) -> None:
        """
        WINDOW_UPDATE of 0 on a stream costs the stream (6.9).
        """
        self.peer.send(self.peer.post(3))
        self.peer.sendBytes(self.raw(8, 3, bytes(4)))
        self.costsStream(3, ErrorCode.PROTOCOL_ERROR)

    def test_windowOverflow(self) -> None:
        """
        A stream's window above 2^31-1 costs the stream (6.9.1).
        """
        self.peer.send(self.peer.post(3), self.peer.window(3, 2**31 - 1))
        self.costsStream(3, ErrorCode.FLOW_CONTROL_ERROR)

    def test_shortPriority(self) -> None:
        """
        PRIORITY of a wrong size costs the stream (6.3).
        """
        self.peer.send(self.peer.post(3))
        self.peer.sendBytes(self.raw(2, 3, bytes(4)))
        self.costsStream(3, ErrorCode.FRAME_SIZE_ERROR)

    def test_tooManyStreams(self) -> None:
        """
        Requests above the limit are refused before anybody works on them, and the connection lives (5.1.2).
        """
        self.peer.send(*(self.peer.get(number) for number in range(3, 203, 2)))
        self.assertEqual(len(self.streams), 100)
        self.assertEqual(self.peer.names(), ["RST_STREAM 201 REFUSED_STREAM"])
        self.streams[50].end(b"x")
        self.peer.send(self.peer.window(0, 100_000), self.peer.window(1, 100_000))
        self.peer.send(self.peer.get(301, "/after"))
        self.assertEqual(self.streams[-1].headers.path, "/after")

    def test_framesOnClosedStreams(self) -> None:
        """
        RST_STREAM, WINDOW_UPDATE and PRIORITY on streams that are over are ignored.
        """
        self.peer.send(self.peer.get(3))
        self.streams[-1].end()
        self.peer.send(self.peer.reset(3), self.peer.window(3, 5), self.peer.priority(3), self.peer.reset(1))
        self.peer.send(self.peer.window(1, 5), self.peer.data(1), self.peer.ping())
        self.assertEqual(self.peer.names(), ["HEADERS 3 200 END_STREAM", "PING ACK"])

    def test_unknownFrames(self) -> None:
        """
        Unknown frames are ignored wherever they come (5.5).
        """
        self.peer.send(
            self.peer.unknown(), self.peer.unknown(0xF0, 1, b"abc"), self.peer.unknown(0xF0, 999), self.peer.ping()
        )
        self.assertEqual(self.peer.names(), ["PING ACK"])

    def test_priorities(self) -> None:
        """
        The old priorities are accepted and ignored, a thousand of them on idle streams too.
        """
        self.peer.send(*(self.peer.priority(number) for number in range(3, 1003, 2)))
        self.peer.send(self.peer.get(1001))
        self.assertEqual(len(self.streams), 2)


class ConnectionErrorTests(ServerRules):
    """
    Connection errors, with the right code and last stream id (RFC 9113 section 5.4.1).
    """

    def test_codes(self) -> None:
        """
        Each rule whose penalty is the connection ends it with its code, and names the last stream in its GOAWAY.
        """
        P, F, W, C = (
            ErrorCode.PROTOCOL_ERROR,
            ErrorCode.FRAME_SIZE_ERROR,
            ErrorCode.FLOW_CONTROL_ERROR,
            ErrorCode.COMPRESSION_ERROR,
        )
        cases: dict[str, tuple[ErrorCode, bytes]] = {
            "DATA on stream 0": (P, self.raw(0, 0, b"x")),
            "DATA on an idle stream": (P, self.raw(0, 9, b"x")),
            "padding too long": (P, self.raw(0, 1, b"\x05abc", 8)),
            "HEADERS on stream 0": (P, self.raw(1, 0, b"\x82", 5)),
            "HEADERS on an even stream": (P, self.raw(1, 4, b"\x82", 5)),
            "padded HEADERS too short": (F, self.raw(1, 9, b"", 0x0D)),
            "bad HPACK": (C, self.raw(1, 9, b"\xff\xff\xff\xff\xff\xff", 5)),
            "HPACK index 0": (C, self.raw(1, 9, b"\x80", 5)),
            "PRIORITY on stream 0": (P, self.raw(2, 0, bytes(5))),
            "PRIORITY of an idle stream on itself": (P, self.raw(2, 9, b"\x80\0\0\x09\0")),
            "RST_STREAM on stream 0": (P, self.raw(3, 0, bytes(4))),
            "RST_STREAM on an idle stream": (P, self.raw(3, 9, bytes(4))),
            "RST_STREAM of a wrong size": (F, self.raw(3, 1, bytes(5))),
            "SETTINGS on a stream": (P, self.raw(4, 1)),
            "SETTINGS of a wrong size": (F, self.raw(4, 0, bytes(5))),
            "SETTINGS ACK with a payload": (F, self.raw(4, 0, bytes(6), 1)),
            "ENABLE_PUSH 2": (P, self.raw(4, 0, b"\0\2\0\0\0\2")),
            "window too large": (W, self.raw(4, 0, b"\0\4\x80\0\0\0")),
            "frame size too small": (P, self.raw(4, 0, b"\0\5\0\0\x3f\xff")),
            "frame size too large": (P, self.raw(4, 0, b"\0\5\x01\0\0\0")),
            "ENABLE_CONNECT_PROTOCOL 2": (P, self.raw(4, 0, b"\0\x08\0\0\0\2")),
            "PUSH_PROMISE from a client": (P, self.raw(5, 1, bytes(4) + b"\x82", 4)),
            "PING on a stream": (P, self.raw(6, 1, bytes(8))),
            "PING of a wrong size": (F, self.raw(6, 0, bytes(7))),
            "GOAWAY on a stream": (P, self.raw(7, 1, bytes(8))),
            "GOAWAY of a wrong size": (F, self.raw(7, 0, bytes(7))),
            "WINDOW_UPDATE of 0": (P, self.raw(8, 0, bytes(4))),
            "WINDOW_UPDATE of a wrong size": (F, self.raw(8, 0, bytes(3))),
            "WINDOW_UPDATE on an idle stream": (P, self.raw(8, 9, b"\0\0\0\1")),
            "connection window too large": (W, self.raw(8, 0, b"\x7f\xff\xff\xff") * 2),
            "CONTINUATION alone": (P, self.raw(9, 1, b"\x82", 4)),
            "a frame in a header block": (P, self.raw(1, 9, b"\x82") + self.raw(6, 0, bytes(8))),
            "CONTINUATION of another stream": (P, self.raw(1, 9, b"\x82") + self.raw(9, 11, b"\x84", 4)),
            "a frame too long": (F, b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"),
        }
        for name, (code, data) in cases.items():
            self.setUp()
            self.peer.sendBytes(data)
            error = self.costsConnection(code, last=1)
            self.assertIs(error.initiator, Initiator.PEER, name)

    def test_closedStream(self) -> None:
        """
        DATA and HEADERS on a stream that ended by END_STREAM end the connection with STREAM_CLOSED (5.1).
        """
        for late in ("data", "headers"):
            self.setUp()
            self.peer.send(self.peer.get(3))
            self.streams[-1].end()
            self.peer.send(self.peer.data(3, b"x") if late == "data" else self.peer.get(3))
            self.costsConnection(ErrorCode.STREAM_CLOSED)

    def test_idGoesBack(self) -> None:
        """
        A new stream below one that was used has an id nobody may expect (5.1.1), also where many have been used since.
        """
        self.peer.send(self.peer.get(9), self.peer.get(5))
        self.costsConnection(ErrorCode.PROTOCOL_ERROR)

    def test_forgottenStreams(self) -> None:
        """
        A stream so long over that it is not remembered is taken for a closed one.
        """
        for number in range(3, 2 * 2100, 2):
            self.peer.send(self.peer.get(number))
            self.streams[-1].end()
        self.peer.take()
        self.peer.send(self.peer.get(5))
        self.costsConnection(ErrorCode.STREAM_CLOSED)

    def test_firstFrame(self) -> None:
        """
        A preface that is not followed by SETTINGS ends the connection (3.4).
        """
        for first in (self.peer.ping().serialize(), SettingsFrame(0, flags=["ACK"]).serialize()):
            peer = FramePeer.toServer(self.server, start=False)
            peer.sendBytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + first)
            self.assertIn("GOAWAY 0 PROTOCOL_ERROR", peer.names())

    def test_streamWindow(self) -> None:
        """
        More DATA than the window allows ends the connection with FLOW_CONTROL_ERROR (6.9.1).
        """
        self.peer.send(self.peer.post(3))
        self.streams[-1].pauseProducing()
        for _ in range(17):
            self.peer.send(self.peer.data(3, b"x" * 16000))
        self.costsConnection(ErrorCode.FLOW_CONTROL_ERROR)

    def test_connectionWindow(self) -> None:
        """
        The connection's window is kept to as well, where it is not given back because too much lies unread.
        """
        self.limits = Limits(unreadBytes=1)
        self.setUp()
        self.peer.send(*(self.peer.post(number) for number in range(3, 13, 2)))
        chunk = b"x" * 15000
        for _ in range(14):
            self.assertFalse(self.session.destroyed)
            self.peer.send(*(self.peer.data(number, chunk) for number in range(3, 13, 2)))
        self.costsConnection(ErrorCode.FLOW_CONTROL_ERROR)

    def test_settingsOverflowAWindow(self) -> None:
        """
        SETTINGS that push an open stream's window over 2^31-1 end the connection (6.9.2).
        """
        self.peer.send(self.peer.window(1, 2**31 - 1 - 100_000))
        self.peer.settings(INITIAL_WINDOW_SIZE=2**31 - 1)
        self.costsConnection(ErrorCode.FLOW_CONTROL_ERROR)

    def test_openStreamsLearn(self) -> None:
        """
        Streams that were open get the error, after what came of their bodies.
        """
        self.peer.send(self.peer.post(3), self.peer.data(3, b"part"))
        body = self.streams[-1].read()
        self.peer.sendBytes(self.raw(6, 0, bytes(7)))
        error = self.failureResultOf(body, SessionError).value
        self.assertIs(self.costsConnection(ErrorCode.FRAME_SIZE_ERROR), error)

    def test_goodFramesBeforeABadOne(self) -> None:
        """
        What came before a bad frame in the same read counts, and its last id says so.
        """
        asked = len(self.streams)
        self.peer.sendBytes(self.peer.get(3).serialize() + self.raw(6, 0, bytes(7)))
        self.assertEqual(len(self.streams), asked + 1)
        self.costsConnection(ErrorCode.FRAME_SIZE_ERROR, last=3)


class WindowTests(ServerRules):
    """
    Windows as the peer moves them (RFC 9113 section 6.9).
    """

    def download(self) -> int:
        """
        Count what has come of stream 1 since the last time.
        """
        return sum(
            len(frame.data) for frame in self.peer.take() if frame.stream_id == 1 and hasattr(frame, "pad_length")
        )

    def test_openedByWindowUpdate(self) -> None:
        """
        A stream waits for both windows.
        """
        self.peer.send(self.peer.window(1, 100_000))
        self.assertEqual(self.download(), 0)
        self.peer.send(self.peer.window(0, 100_000))
        self.assertEqual(self.download(), 100_000 - 65535)

    def test_openedBySettings(self) -> None:
        """
        SETTINGS open the windows of open streams (6.9.2).
        """
        self.peer.send(self.peer.window(0, 100_000))
        self.assertEqual(self.download(), 0)
        self.peer.settings(INITIAL_WINDOW_SIZE=70_000)
        self.assertEqual(self.download(), 70_000 - 65535)
        self.peer.settings(INITIAL_WINDOW_SIZE=200_000)
        self.assertEqual(self.download(), 30_000)

    def test_negativeWindow(self) -> None:
        """
        A window that SETTINGS made negative has to be made good first.
        """
        self.peer.send(self.peer.window(0, 100_000))
        self.peer.settings(INITIAL_WINDOW_SIZE=0)
        self.assertEqual(self.streams[0].state.remoteWindow, -65535)
        self.peer.take()
        self.peer.send(self.peer.window(1, 65535))
        self.assertEqual(self.download(), 0)
        self.peer.send(self.peer.window(1, 10))
        self.assertEqual(self.download(), 10)
        self.peer.settings(INITIAL_WINDOW_SIZE=65535)
        self.assertEqual(self.download(), 100_000 - 65535 - 10)

    def test_windowZeroFromTheStart(self) -> None:
        """
        A peer that starts with a window of 0 gets headers, and END_STREAM of empty bodies, but no byte of DATA.
        """
        peer = FramePeer.toServer(self.server, start=False)
        peer.start(INITIAL_WINDOW_SIZE=0)
        peer.send(peer.get(1), peer.get(3))
        self.streams[-2].end(b"abc")
        self.streams[-1].respond()
        self.streams[-1].end()
        self.assertEqual(peer.names(), ["HEADERS 1 200", "HEADERS 3 200", "DATA 3 0 END_STREAM"])
        peer.send(peer.window(1, 2))
        self.assertEqual(peer.names(), ["DATA 1 2"])
        peer.send(peer.window(1, 2))
        self.assertEqual(peer.names(), ["DATA 1 1 END_STREAM"])

    def test_frameSize(self) -> None:
        """
        Frames keep to the peer's MAX_FRAME_SIZE, also when it changes.
        """
        self.peer.settings(MAX_FRAME_SIZE=20_000)
        self.peer.send(self.peer.window(0, 100_000), self.peer.window(1, 100_000))
        sizes = [len(frame.data) for frame in self.peer.take() if hasattr(frame, "pad_length")]
        self.assertEqual(max(sizes), 20_000)

    def test_credit(self) -> None:
        """
        What is read is given back before the windows run out; padding counts.
        """
        self.peer.send(self.peer.post(3))
        body = self.streams[-1].read()
        given = {0: 0, 3: 0}
        for _ in range(200):
            self.peer.send(self.peer.data(3, b"x" * 10_000, padding=200))
            for frame in self.peer.take(WindowUpdateFrame):
                given[frame.stream_id] += frame.window_increment
        self.peer.send(self.peer.data(3, b"", end=True))
        self.assertEqual(len(self.successResultOf(body)), 2_000_000)
        sent = 200 * 10_201
        self.assertGreater(given[0], sent - 1024 * 1024)
        self.assertGreater(given[3], sent - 256 * 1024)
        self.assertLessEqual(max(given.values()), sent)

    def test_creditForPadding(self) -> None:
        """
        A window that is spent on padding only is given back, though nobody has anything to read.
        """
        self.peer.send(self.peer.post(3))
        body = self.streams[-1].read()
        self.peer.send(self.peer.data(3, b"x" * 16_000))
        for _ in range(940):
            self.peer.send(self.peer.data(3, b"", padding=255))
        given = sum(frame.window_increment for frame in self.peer.take(WindowUpdateFrame) if frame.stream_id == 3)
        self.assertGreater(given, 128 * 1024)
        self.peer.send(self.peer.data(3, b"y", end=True))
        self.assertEqual(len(self.successResultOf(body)), 16_001)

    def test_smallerWindowIsGivenBack(self) -> None:
        """
        When the window shrinks below twice what was read of a body, that is given back: nothing else would bring it about.
        """
        self.peer.send(self.peer.post(3))
        self.streams[-1].discard()
        self.peer.send(*(self.peer.data(3, b"x" * 16_000) for _ in range(8)))
        self.assertEqual([frame for frame in self.peer.take(WindowUpdateFrame) if frame.stream_id == 3], [])
        self.session.settings(initialWindowSize=65535)
        self.peer.send(SettingsFrame(0, flags=["ACK"]))
        self.assertIn("WINDOW_UPDATE 3 128000", self.peer.names())
        self.assertEqual(self.streams[-1].state.localWindow, 65535)

    def test_unreadBytes(self) -> None:
        """
        Unread uploads together hold no more than C{Limits.unreadBytes} and a connection window.
        """
        server = Server(
            lambda stream, headers: self.streams.append(stream),
            clock=self.clock,
            limits=Limits(unreadBytes=300_000, connectionWindow=200_000),
        )
        peer = FramePeer.toServer(server)
        session = next(iter(server.sessions))
        window = 200_000
        sent = 0
        for number in range(1, 41, 2):
            peer.send(peer.post(number))
            for _ in range(10):
                if window < 16_000:
                    break
                peer.send(peer.data(number, b"x" * 16_000))
                window -= 16_000
                sent += 16_000
                window += sum(frame.window_increment for frame in peer.take(WindowUpdateFrame) if frame.stream_id == 0)
        self.assertLess(sent, 501_000)
        self.assertGreater(sent, 299_000)
        for stream in self.streams[1:]:
            stream.discard()
        self.assertGreater(
            sum(frame.window_increment for frame in peer.take(WindowUpdateFrame) if frame.stream_id == 0), 100_000
        )
        self.assertEqual(session.state.unreadBytes, 0)

    def test_smallInitialWindow(self) -> None:
        """
        A window below 65,535 is enforced only once the peer has acknowledged it.
        """
        server = Server(
            lambda stream, headers: self.streams.append(stream),
            clock=self.clock,
            settings=Settings(initialWindowSize=100),
        )
        peer = FramePeer.toServer(server, start=False)
        peer.sendBytes(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        peer.settings()
        peer.send(peer.post(1), peer.data(1, b"x" * 10_000))
        self.assertFalse(next(iter(server.sessions)).destroyed)
        peer.send(SettingsFrame(0, flags=["ACK"]))
        peer.take()
        peer.send(peer.post(3), peer.data(3, b"x" * 101))
        self.assertIn("GOAWAY 3 FLOW_CONTROL_ERROR", peer.names())


class BudgetTests(ServerRules):
    """
    Budgets: over them the connection ends with ENHANCE_YOUR_CALM and the budget's name.
    """

    limits = Limits(
        resets=Rate(20, 10),
        controlFrames=Rate(50, 10),
        refusedStreams=5,
        settingsEntries=4,
        continuationFrames=3,
        headerBlockBytes=20_000,
        repliesOwed=1000,
    )
    settings = Settings(maxConcurrentStreams=10)

    def exceeded(self, name: str) -> None:
        """
        Assert that a budget ended the connection, and that it says which.
        """
        error = self.costsConnection(ErrorCode.ENHANCE_YOUR_CALM)
        self.assertIsInstance(error, LimitExceeded)
        self.assertEqual(error.limit, name)  # type: ignore[attr-defined]
        self.assertIs(error.initiator, Initiator.ABUSE)
        self.assertIn(("limit", name), self.log)

    def test_debugData(self) -> None:
        """
        The GOAWAY's debug data say what was too much.
        """
        self.peer.send(*(self.peer.ping() for _ in range(60)))
        (goAway,) = [frame for frame in self.peer.take() if type(frame).__name__ == "GoAwayFrame"]
        self.assertIn(b"controlFrames", goAway.additional_data)

    def test_rapidReset(self) -> None:
        """
        Requests that are reset at once (CVE-2023-44487).
        """
        for number in range(3, 203, 2):
            self.peer.send(self.peer.get(number), self.peer.reset(number))
            if self.session.destroyed:
                break
        self.assertLess(number, 50)
        self.exceeded("resets")

    def test_madeToReset(self) -> None:
        """
        Requests that make us reset them (CVE-2025-8671) spend the same budget.
        """
        for number in range(3, 203, 2):
            self.peer.send(self.peer.post(number))
            self.peer.sendBytes(self.raw(8, number, bytes(4)))
        self.exceeded("resets")

    def test_malformed(self) -> None:
        """
        Malformed requests spend it too.
        """
        for number in range(3, 203, 2):
            self.peer.send(self.peer.get(number, "nowhere"))
        self.exceeded("resets")

    def test_veryManyFields(self) -> None:
        """
        A list of many more fields than are allowed costs twice as much as lists that would have been, whether its stream is
        refused for that, for being one too many, or is over.
        """
        many = [("a", "")] * 1600
        self.peer.send(*(self.peer.get(number, "/", *many) for number in (3, 5)))
        self.exceeded("resets")
        self.setUp()
        self.peer.send(*(self.peer.get(number) for number in range(3, 21, 2)))
        self.peer.send(*(self.peer.get(number, "/", *many) for number in range(21, 25, 2)))
        self.exceeded("resets")
        self.setUp()
        self.peer.send(self.peer.get(3), self.peer.reset(3))
        self.peer.send(*(self.peer.get(3, "/", *many) for _ in range(2)))
        self.exceeded("resets")

    def test_headersOnAResetStream(self) -> None:
        """
        HEADERS without end on a stream that is over.
        """
        self.peer.send(self.peer.get(3), self.peer.reset(3))
        self.peer.send(*(self.peer.get(3) for _ in range(60)))
        self.exceeded("controlFrames")

    def test_headersInFlight(self) -> None:
        """
        HEADERS that were in flight when we reset their streams are honest, for as many streams as there may be.
        """
        for number in range(3, 403, 2):
            self.peer.send(self.peer.post(number))
            self.streams[-1].close(ErrorCode.CANCEL)
            self.peer.send(self.peer.headers(number, [("x-checksum", "1")], end=True))
        self.assertFalse(self.session.destroyed)

    def test_dataOnAResetStream(self) -> None:
        """
        DATA without end on a stream that is over: its window is given back with one frame for all that came in a read.
        """
        self.peer.send(self.peer.post(3), self.peer.reset(3))
        self.peer.take()
        self.peer.send(*(self.peer.data(3, b"x") for _ in range(10_000)))
        self.assertEqual(self.peer.names(), ["WINDOW_UPDATE 10000"])
        self.peer.send(*(self.peer.data(3, b"x" * 16_384) for _ in range(65)))
        self.costsConnection(ErrorCode.FLOW_CONTROL_ERROR)

    def test_honestCancels(self) -> None:
        """
        One cancelled request in five, two thousand requests at once, is honest.
        """
        for number in range(3, 4003, 2):
            self.peer.send(self.peer.get(number))
            if number % 10 == 3:
                self.peer.send(self.peer.reset(number))
            else:
                self.streams[-1].end()
        self.assertFalse(self.session.destroyed)

    def test_control(self) -> None:
        """
        PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown and empty frames share a budget.
        """
        for frame in (
            self.peer.ping(),
            SettingsFrame(0),
            self.peer.priority(3),
            self.peer.window(0, 1),
            self.peer.unknown(),
            self.peer.data(3),
        ):
            self.setUp()
            self.peer.send(self.peer.post(3))
            for _ in range(60):
                self.peer.send(frame)
            self.exceeded("controlFrames")

    def test_controlRefills(self) -> None:
        """
        The budget refills: a slow stream of PINGs is honest.
        """
        for _ in range(100):
            self.peer.send(self.peer.ping())
            self.clock.advance(0.2)
        self.assertFalse(self.session.destroyed)

    def test_windowUpdatesAreEarned(self) -> None:
        """
        A peer that updates both windows for each frame it gets is honest.
        """
        self.streams[0].close()
        self.peer.send(self.peer.get(3), self.peer.window(0, 65535))
        self.streams[-1].end(b"x" * 3_000_000)
        for _ in range(1000):
            frames = [frame for frame in self.peer.take() if hasattr(frame, "pad_length") and frame.data]
            for frame in frames:
                self.peer.send(self.peer.window(0, len(frame.data)), self.peer.window(3, len(frame.data)))
        self.assertTrue(self.streams[-1].closed)
        self.assertFalse(self.session.destroyed)

    def test_refused(self) -> None:
        """
        Requests above the stream limit, over and over.
        """
        for number in range(3, 43, 2):
            self.peer.send(self.peer.get(number))
        self.exceeded("refusedStreams")

    def test_visible(self) -> None:
        """
        How much of each budget is used can be seen in C{session.state}.
        """
        before = self.session.state
        for number in range(3, 27, 2):
            self.peer.send(self.peer.get(number))
        self.peer.send(self.peer.reset(3), self.peer.ping())
        self.peer._protocol.pauseProducing()
        self.peer.send(self.peer.ping(b"87654321"))
        after = self.session.state
        self.assertEqual((before.refusedStreams, after.refusedStreams), (0, 3))
        self.assertEqual((before.repliesOwed, after.repliesOwed), (0, 17))
        self.assertEqual(after.resetsSpent - before.resetsSpent, 1)
        self.assertEqual(after.controlFramesSpent - before.controlFramesSpent, 2)
        self.peer._protocol.resumeProducing()
        self.assertEqual(self.session.state.repliesOwed, 0)

    def test_settingsEntries(self) -> None:
        """
        Too many entries in one SETTINGS frame.
        """
        self.peer.sendBytes(self.raw(4, 0, b"\x00\x99\0\0\0\0" * 5))
        self.exceeded("settingsEntries")

    def test_continuations(self) -> None:
        """
        Too many CONTINUATION frames, and a block too long, are stopped before they are decoded.
        """
        frames: list[Frame] = [HeadersFrame(3, b"\x82")]
        self.peer.send(*frames, *(ContinuationFrame(3, b"") for _ in range(4)))
        self.exceeded("continuationFrames")
        self.setUp()
        self.peer.send(HeadersFrame(3, b"x" * 16000), ContinuationFrame(3, b"x" * 16000))
        self.exceeded("headerBlockBytes")

    def test_repliesOwed(self) -> None:
        """
        Replies to a peer that does not read are bounded.
        """
        protocol = self.peer._protocol
        protocol.pauseProducing()
        for _ in range(10):
            self.clock.advance(1)
            protocol.dataReceived(self.peer.ping().serialize() * 4)
            protocol.dataReceived(SettingsFrame(0).serialize() * 4)
        protocol.dataReceived(b"anything")
        self.exceeded("repliesOwed")


class ClientRules(SynchronousTestCase):
    """
    What a server may send.
    """

    def setUp(self) -> None:
        """
        Send three requests to a server that speaks frames.
        """
        self.clock = Clock()
        self.session = ClientSession("http", "a")
        self.peer = FramePeer.toClient(self.session, self.clock)
        self.streams = [self.session.request() for _ in range(3)]
        self.peer.take()

    def finishes(self, stream: Stream) -> None:
        """
        Assert that a stream, and the session with it, still works.
        """
        assert stream.id is not None
        body = stream.read()
        self.peer.send(self.peer.response(stream.id), self.peer.data(stream.id, b"all", end=True))
        self.assertEqual(self.successResultOf(body), b"all")
        self.assertFalse(self.session.destroyed)

    def test_malformedResponses(self) -> None:
        """
        A malformed response costs its stream only (8.1.1).
        """
        for fields in (
            [],
            [(":status", "abc")],
            [(":status", "99")],
            [(":status", "101")],
            [(":status", "200"), (":status", "200")],
            [(":status", "200"), (":path", "/")],
            [("a", "b"), (":status", "200")],
            [(":status", "200"), ("Upper", "a")],
            [(":status", "200"), ("connection", "close")],
            [(":status", "200"), ("a", "b\r\nc: d")],
            [(":status", "200"), ("content-length", "x")],
        ):
            self.setUp()
            response = self.streams[0].whenResponse()
            self.peer.send(self.peer.headers(1, fields))
            self.assertEqual(self.peer.names(), ["RST_STREAM 1 PROTOCOL_ERROR"], fields)
            error = self.failureResultOf(response, StreamError).value
            self.assertEqual((error.code, error.initiator), (ErrorCode.PROTOCOL_ERROR, Initiator.PEER))
            self.finishes(self.streams[1])

    def test_dataBeforeHeaders(self) -> None:
        """
        DATA before the response costs the stream.
        """
        self.peer.send(self.peer.data(1, b"x"))
        self.assertIn("RST_STREAM 1 PROTOCOL_ERROR", self.peer.names())
        self.finishes(self.streams[1])

    def test_informationWithEnd(self) -> None:
        """
        A 1xx response that ends the stream, and one after the final response, cost the stream.
        """
        self.peer.send(self.peer.response(1, status=103, end=True))
        self.peer.send(self.peer.response(3), self.peer.response(3, status=103))
        self.assertEqual(self.peer.names(), ["RST_STREAM 1 PROTOCOL_ERROR", "RST_STREAM 3 PROTOCOL_ERROR"])
        self.finishes(self.streams[2])

    def test_endlessInformation(self) -> None:
        """
        Endless 1xx responses cost the stream.
        """
        response = self.streams[0].whenResponse()
        self.peer.send(*(self.peer.response(1, status=103) for _ in range(101)))
        self.assertEqual(self.failureResultOf(response, StreamError).value.code, ErrorCode.ENHANCE_YOUR_CALM)
        self.finishes(self.streams[1])

    def test_longInformation(self) -> None:
        """
        1xx responses that are longer together than one header list may be cost the stream.
        """
        response = self.streams[0].whenResponse()
        for number in range(9):
            self.peer.send(self.peer.response(1, ("link", f"{number}" * 8000), status=103))
        self.assertEqual(self.failureResultOf(response, StreamError).value.code, ErrorCode.ENHANCE_YOUR_CALM)
        self.assertEqual(self.peer.names(), ["RST_STREAM 1 ENHANCE_YOUR_CALM"])
        self.finishes(self.streams[1])

    def test_wrongLength(self) -> None:
        """
        A body shorter or longer than content-length is a failure on its stream only.
        """
        bodies = [stream.read() for stream in self.streams[:2]]
        self.peer.send(
            self.peer.response(1, ("content-length", "5")),
            self.peer.data(1, b"123456"),
            self.peer.response(3, ("content-length", "5")),
            self.peer.data(3, b"123", end=True),
        )
        for body in bodies:
            self.failureResultOf(body, StreamError)
        self.finishes(self.streams[2])

    def test_bodyOfABodilessAnswer(self) -> None:
        """
        A body after a 204 or 304, or in answer to HEAD, costs the stream.
        """
        self.peer.send(self.peer.response(1, status=204), self.peer.data(1, b"x"))
        self.assertEqual(self.peer.names(), ["RST_STREAM 1 PROTOCOL_ERROR", "WINDOW_UPDATE 1"])
        self.finishes(self.streams[1])

    def test_answerNobodyAsked(self) -> None:
        """
        A response on a stream that was never opened ends the connection.
        """
        for streamID in (9, 2):
            self.setUp()
            self.peer.send(self.peer.response(streamID))
            self.assertIn("GOAWAY 0 PROTOCOL_ERROR", self.peer.names())
            self.assertTrue(self.session.destroyed)

    def test_enablePush(self) -> None:
        """
        A server that announces ENABLE_PUSH 1 ends the connection, the first time it says anything about it and later; one
        that announces 0 does not (6.5.2).
        """
        self.peer.settings(ENABLE_PUSH=1)
        self.assertIn("GOAWAY 0 PROTOCOL_ERROR", self.peer.names())
        self.setUp()
        self.peer.settings(ENABLE_PUSH=0)
        self.assertFalse(self.session.destroyed)
        self.peer.settings(ENABLE_PUSH=1)
        self.assertIn("GOAWAY 0 PROTOCOL_ERROR", self.peer.names())

    def test_extensions(self) -> None:
        """
        ALTSVC reaches listeners, wrong ones are ignored; ORIGIN means nothing in clear text.
        """
        told: list[Any] = []

        class Told(Recorder):
            def altSvcReceived(self, session: Any, value: bytes, origin: bytes, streamID: int) -> None:
                told.append((value, origin, streamID))

            def originReceived(self, session: Any, origins: list[bytes]) -> None:
                told.append(origins)

        self.session.addListener(Told())
        self.peer.sendBytes(
            buildFrame(0xA, 0, 0, b"\0\x08http://ah2=:1")
            + buildFrame(0xA, 0, 1, b"\0\0h2=:2")
            + buildFrame(0xA, 0, 0, b"\0\0h2=:3")
            + buildFrame(0xA, 0, 0, b"\0\xffh")
            + buildFrame(0xA, 0, 0, b"")
            + buildFrame(0xC, 0, 0, b"\0\x08http://b")
        )
        self.assertEqual(told, [(b"h2=:1", b"http://a", 0), (b"h2=:2", b"", 1)])
        self.finishes(self.streams[0])

    def test_encoderTable(self) -> None:
        """
        The table used for sending stays at 4,096 bytes whatever the server offers.
        """
        self.peer.settings(HEADER_TABLE_SIZE=2**32 - 1)
        for number in range(100):
            self.session.request({"x": str(number) * 500})
            self.peer.take()
        self.assertLessEqual(self.session._engine._conn.encoder.header_table_size, 4096)  # type: ignore[attr-defined]

    def test_tableInTwoSteps(self) -> None:
        """
        A table that shrinks and grows in one SETTINGS frame is announced in both steps (RFC 7541 4.2).
        """
        self.peer.sendBytes(buildFrame(4, 0, 0, bytes.fromhex("000100000000000100001000")))
        self.session.request({"x": "y"})
        self.assertEqual(self.peer.take(HeadersFrame)[-1].data[:4], b"\x20\x3f\xe1\x1f")

    def test_tableInManySteps(self) -> None:
        """
        Of sizes that changed several times between two header blocks the smallest and the last are told, since one in
        between may be above what the server allows by then (RFC 7541 sections 4.2 and 6.3).
        """
        for size in (200, 3000, 100, 2000, 300):
            self.peer.settings(HEADER_TABLE_SIZE=size)
        self.peer._decoder.max_allowed_table_size = 300
        self.session.request({"x": "y"})
        self.assertIn(("x", "y"), self.peer.take(HeadersFrame)[-1].fields)
        self.peer.settings(HEADER_TABLE_SIZE=50)
        self.peer.settings(HEADER_TABLE_SIZE=40)
        self.peer._decoder.max_allowed_table_size = 40
        self.session.request({"x": "y"})
        frame = self.peer.take(HeadersFrame)[-1]
        self.assertIn(("x", "y"), frame.fields)
        self.assertEqual(frame.data[:2], b"\x3f\x09")

    def test_smallTable(self) -> None:
        """
        A smaller table is kept to: the peer's decoder, set to it, follows.
        """
        self.peer._decoder.max_allowed_table_size = 4096
        self.peer.settings(HEADER_TABLE_SIZE=0)
        self.peer.settings()
        self.peer._decoder.max_allowed_table_size = 0
        self.session.request({"x": "y"})
        self.session.request({"x": "y"})
        self.assertIn(("x", "y"), self.peer.take()[-1].fields)
