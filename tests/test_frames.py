"""
L{txh2session._frames}.
"""

from __future__ import annotations

from time import process_time
from typing import cast

from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txh2session import _frames as frames
from txh2session._frames import ConnectionFault, FrameSplitter, OtherProtocol
from txh2session.errors import ErrorCode
from txh2session.settings import Limits

SETTINGS = frames.buildFrame(frames.SETTINGS, 0, 0)


def splitter(fromClient: bool = False, maxFrameSize: int = 16384, started: bool = True, **limits: int) -> FrameSplitter:
    """
    Make a splitter; one that has seen the first SETTINGS unless told otherwise.
    """
    made = FrameSplitter(fromClient, maxFrameSize, Limits(**limits))  # type: ignore[arg-type]
    if started:
        list(made.feed((frames.PREFACE if fromClient else b"") + SETTINGS))
    return made


def parsed(raw: bytes) -> Frame:
    """
    Read a frame with hyperframe.
    """
    frame, length = Frame.parse_frame_header(memoryview(raw[:9]))
    frame.parse_body(memoryview(raw[9:]))
    assert length == len(raw) - 9
    return frame


anyFrame = st.builds(
    frames.buildFrame,
    st.sampled_from([frames.DATA, frames.PING, frames.SETTINGS, frames.RST_STREAM, 0x42, 0xFF]),
    st.integers(0, 255),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=40),
)


@st.composite
def headerBlocks(draw: st.DrawFn) -> bytes:
    """
    A HEADERS frame with some CONTINUATIONs.
    """
    streamID = draw(st.integers(1, 2**31 - 1))
    pieces = draw(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
    raw = []
    for position, piece in enumerate(pieces):
        flags = frames.END_HEADERS if position == len(pieces) - 1 else 0
        raw.append(frames.buildFrame(frames.CONTINUATION if position else frames.HEADERS, flags, streamID, piece))
    return b"".join(raw)


class SplittingTests(SynchronousTestCase):
    """
    L{FrameSplitter.feed}.
    """

    @given(st.booleans(), st.lists(st.one_of(anyFrame, headerBlocks()), max_size=8), st.data())
    def test_anyChunks(self, fromClient: bool, sent: list[bytes], data: st.DataObject) -> None:
        """
        However the bytes are cut on their way, the same frames come out, and nothing is lost or added.
        """
        wire = SETTINGS + b"".join(sent)
        start = len(frames.PREFACE) if fromClient else 0
        whole = list(splitter(fromClient, started=False).feed((frames.PREFACE if fromClient else b"") + wire))
        self.assertEqual([raw for _, _, _, raw in whole], [SETTINGS, *sent])
        wire = (frames.PREFACE if fromClient else b"") + wire
        cuts = sorted(data.draw(st.sets(st.integers(1, start + len(wire)), max_size=12)))
        again = splitter(fromClient, started=False)
        pieces = []
        before = 0
        for cut in [*cuts, len(wire)]:
            pieces += again.feed(wire[before:cut])
            before = cut
        self.assertEqual(pieces, whole)

    def test_byteByByte(self) -> None:
        """
        Single bytes are enough, a frame comes out with its last one.
        """
        made = splitter(True, started=False)
        wire = frames.PREFACE + SETTINGS + frames.buildFrame(frames.PING, 0, 0, b"12345678")
        came = [len(list(made.feed(bytes([each])))) for each in wire]
        self.assertEqual([position for position, count in enumerate(came) if count], [32, 49])

    def test_facts(self) -> None:
        """
        A frame comes with type, flags, stream id without the reserved bit, and all its bytes.
        """
        raw = frames.buildFrame(frames.DATA, 0x9, 0x80000005, b"abc")
        self.assertEqual(list(splitter().feed(raw)), [(frames.DATA, 0x9, 5, raw)])

    def test_nothing(self) -> None:
        """
        No bytes are no frames, at any time.
        """
        for made in (splitter(True, started=False), splitter(started=False), splitter()):
            self.assertEqual(list(made.feed(b"")), [])

    def test_overlong(self) -> None:
        """
        A frame that is too long is refused at its head, before any of it has to be kept.
        """
        for size in (16385, 2**24 - 1):
            made = splitter()
            head = size.to_bytes(3, "big") + bytes([frames.DATA, 0, 0, 0, 0, 1])
            self.assertEqual(list(made.feed(head[:8])), [])
            fault = self.assertRaises(ConnectionFault, lambda made=made, head=head: list(made.feed(head[8:])))
            self.assertEqual(fault.code, ErrorCode.FRAME_SIZE_ERROR)

    def test_longest(self) -> None:
        """
        A frame may be as long as was announced, also by a change between two frames of one read.
        """
        made = splitter()
        raw = frames.buildFrame(frames.DATA, 0, 1, bytes(16384))
        self.assertEqual(len(list(made.feed(raw))), 1)
        longer = frames.buildFrame(frames.DATA, 0, 1, bytes(20000))
        coming = made.feed(raw + longer)
        next(coming)
        made.maxFrameSize = 20000
        self.assertEqual(next(coming)[3], longer)

    def test_framesBeforeTheFault(self) -> None:
        """
        Frames before the one that breaks a rule are given out first.
        """
        coming = splitter().feed(SETTINGS + frames.buildFrame(frames.CONTINUATION, 0, 1))
        self.assertEqual(next(coming)[3], SETTINGS)
        self.assertRaises(ConnectionFault, next, coming)

    def test_costIsLinear(self) -> None:
        """
        A large frame in many small pieces costs in proportion to its size: eight times the size is far from 64 times the
        time.
        """

        def cost(size: int) -> float:
            best = 1e9
            raw = frames.buildFrame(frames.DATA, 0, 1, bytes(size))
            for _ in range(3):
                made = splitter(maxFrameSize=2**24 - 1)
                before = process_time()
                count = sum(len(list(made.feed(raw[start : start + 64]))) for start in range(0, len(raw), 64))
                best = min(best, process_time() - before)
                self.assertEqual(count, 1)
            return best

        small = cost(2**18)
        self.assertLess(cost(2**21), 32 * small)


class PrefaceTests(SynchronousTestCase):
    """
    What comes first.
    """

    def speaks(self, *pieces: bytes, fromClient: bool = True) -> str:
        """
        Feed what is no HTTP/2 and tell what it was taken for.
        """
        made = splitter(fromClient, started=False)

        def feed() -> None:
            for piece in pieces:
                self.assertEqual(list(made.feed(piece)), [])

        other = cast(OtherProtocol, self.assertRaises(OtherProtocol, feed))
        self.assertEqual(other.code, ErrorCode.PROTOCOL_ERROR)
        self.assertIn(other.speaks, str(other))
        return other.speaks

    def test_received(self) -> None:
        """
        The preface is there once the first SETTINGS frame begins, on either side.
        """
        for fromClient in (True, False):
            made = splitter(fromClient, started=False)
            if fromClient:
                list(made.feed(frames.PREFACE))
            self.assertFalse(made.prefaceReceived)
            self.assertEqual(list(made.feed(SETTINGS[:8])), [])
            self.assertFalse(made.prefaceReceived)
            self.assertEqual(len(list(made.feed(SETTINGS[8:]))), 1)
            self.assertTrue(made.prefaceReceived)

    def test_otherClients(self) -> None:
        """
        HTTP/1, TLS and anything else is told apart at the first byte that is no preface.
        """
        self.assertEqual(self.speaks(b"GET / HTTP/1.1\r\n"), "HTTP/1")
        self.assertEqual(self.speaks(b"P", b"OST / HTTP/1.1\r\n"), "HTTP/1")
        self.assertEqual(self.speaks(b"\x16\x03\x01\x02\x00"), "TLS")
        self.assertEqual(self.speaks(b"\x00\x00\x00"), "an unknown protocol")
        self.assertEqual(self.speaks(b"nonsense"), "an unknown protocol")
        self.assertEqual(self.speaks(b"X" * 100), "HTTP/1")
        self.assertEqual(self.speaks(SETTINGS), "an unknown protocol")

    def test_brokenPreface(self) -> None:
        """
        A preface that goes wrong at its end is not taken for HTTP/1, whole or in pieces.
        """
        broken = frames.PREFACE[:-1] + b"\r"
        self.assertEqual(self.speaks(broken), "an unknown protocol")
        self.assertEqual(self.speaks(broken[:20], broken[20:]), "an unknown protocol")

    def test_otherServers(self) -> None:
        """
        A server that answers in HTTP/1 or TLS is recognised before a whole frame head has come.
        """
        self.assertEqual(self.speaks(b"HTTP/1.1 400 Bad Request\r\n", fromClient=False), "HTTP/1")
        self.assertEqual(self.speaks(b"HTTP", fromClient=False), "HTTP/1")
        self.assertEqual(self.speaks(b"\x15\x03\x03", fromClient=False), "TLS")
        self.assertEqual(self.speaks(b"\x15", b"\x03\x03\x00\x02\x02\x28\x00\x00", fromClient=False), "TLS")

    def test_firstFrame(self) -> None:
        """
        The first frame is SETTINGS and no acknowledgement, which shows at its head.
        """
        for raw in (
            frames.buildFrame(frames.PING, 0, 0, b"12345678"),
            frames.SETTINGS_ACK,
            frames.buildFrame(frames.HEADERS, 4, 1, bytes(100))[:9],
        ):
            for fromClient in (True, False):
                made = splitter(fromClient, started=False)
                wire = (frames.PREFACE if fromClient else b"") + raw
                fault = self.assertRaises(ConnectionFault, lambda made=made, wire=wire: list(made.feed(wire)))
                self.assertEqual(fault.code, ErrorCode.PROTOCOL_ERROR)
                self.assertNotIsInstance(fault, OtherProtocol)


class BlockTests(SynchronousTestCase):
    """
    Header blocks and their CONTINUATION frames.
    """

    def fault(self, wire: bytes, maxFrameSize: int = 16384, **limits: int) -> ConnectionFault:
        """
        Feed what breaks a rule.
        """
        made = splitter(maxFrameSize=maxFrameSize, **limits)
        return cast(ConnectionFault, self.assertRaises(ConnectionFault, lambda: list(made.feed(wire))))

    def test_together(self) -> None:
        """
        A block leaves in one piece, with the flags of its first frame and END_HEADERS.
        """
        made = splitter()
        first = frames.buildFrame(frames.HEADERS, frames.END_STREAM, 1, b"a")
        middle = frames.buildFrame(frames.CONTINUATION, 0, 1, b"b")
        last = frames.buildFrame(frames.CONTINUATION, frames.END_HEADERS, 0x80000001, b"c")
        self.assertFalse(made.midBlock)
        self.assertEqual(list(made.feed(first + middle)), [])
        self.assertTrue(made.midBlock)
        self.assertEqual(
            list(made.feed(last)),
            [(frames.HEADERS, frames.END_STREAM | frames.END_HEADERS, 1, first + middle + last)],
        )
        self.assertFalse(made.midBlock)

    def test_sequence(self) -> None:
        """
        A CONTINUATION without a block, and anything else inside one, ends the connection (RFC 9113 section 6.10).
        """
        headers = frames.buildFrame(frames.HEADERS, 0, 1)
        for wire in (
            frames.buildFrame(frames.CONTINUATION, frames.END_HEADERS, 1),
            frames.buildFrame(frames.HEADERS, 4, 1) + frames.buildFrame(frames.CONTINUATION, 4, 1),
            headers + frames.buildFrame(frames.CONTINUATION, 4, 3),
            headers + frames.buildFrame(frames.DATA, 0, 1),
            headers + frames.buildFrame(frames.HEADERS, 4, 1),
            headers + frames.buildFrame(0x42, 0, 1),
            headers + SETTINGS,
            frames.buildFrame(frames.PUSH_PROMISE, 0, 1, bytes(4)) + SETTINGS,
        ):
            fault = self.fault(wire)
            self.assertEqual((fault.code, fault.limit), (ErrorCode.PROTOCOL_ERROR, ""))

    def test_tooManyFrames(self) -> None:
        """
        As many CONTINUATIONs as the limit says are fine, one more is abuse, empty ones too.
        """
        headers = frames.buildFrame(frames.HEADERS, 0, 1)
        more = frames.buildFrame(frames.CONTINUATION, 0, 1)
        last = frames.buildFrame(frames.CONTINUATION, frames.END_HEADERS, 1)
        self.assertEqual(len(list(splitter(continuationFrames=3).feed(headers + 2 * more + last))), 1)
        fault = self.fault(headers + 3 * more + last, continuationFrames=3)
        self.assertEqual((fault.code, fault.limit), (ErrorCode.ENHANCE_YOUR_CALM, "continuationFrames"))
        self.assertEqual(self.fault(headers + last, continuationFrames=0).limit, "continuationFrames")
        self.assertEqual(len(list(splitter(continuationFrames=0).feed(frames.buildFrame(frames.HEADERS, 4, 1)))), 1)

    def test_tooManyBytes(self) -> None:
        """
        As many bytes as the limit says are fine, one more is abuse.
        """
        headers = frames.buildFrame(frames.HEADERS, 0, 1, bytes(60))
        last = frames.buildFrame(frames.CONTINUATION, frames.END_HEADERS, 1, bytes(40))
        self.assertEqual(len(list(splitter(headerBlockBytes=100).feed(headers + last))), 1)
        fault = self.fault(headers + last, headerBlockBytes=99)
        self.assertEqual((fault.code, fault.limit), (ErrorCode.ENHANCE_YOUR_CALM, "headerBlockBytes"))

    def test_oneLongFrame(self) -> None:
        """
        A single frame is held to the same limit, at its head; frames without a header block are not.
        """
        for kind in (frames.HEADERS, frames.PUSH_PROMISE):
            raw = frames.buildFrame(kind, frames.END_HEADERS, 1, bytes(101))
            self.assertEqual(self.fault(raw[:9], headerBlockBytes=100).limit, "headerBlockBytes")
        data = frames.buildFrame(frames.DATA, 0, 1, bytes(101))
        self.assertEqual(len(list(splitter(headerBlockBytes=100).feed(data))), 1)


class WritingTests(SynchronousTestCase):
    """
    What is built says the same to hyperframe.
    """

    @given(st.integers(0, 2**31 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=50))
    def test_goAway(self, last: int, code: int, debugData: bytes) -> None:
        """
        A GOAWAY frame, which is also read again.
        """
        raw = frames.buildGoAway(last, code, debugData)
        frame = parsed(raw)
        assert isinstance(frame, GoAwayFrame)
        self.assertEqual((frame.last_stream_id, frame.error_code, frame.additional_data), (last, code, debugData))
        self.assertEqual(frames.readGoAway(raw), (last, code, debugData))
        self.assertEqual(frames.readGoAway(raw[:9] + bytes([raw[9] | 0x80]) + raw[10:]), (last, code, debugData))

    @given(st.integers(1, 2**31 - 1), st.integers(0, 2**32 - 1))
    def test_reset(self, streamID: int, code: int) -> None:
        """
        A RST_STREAM frame.
        """
        raw = frames.buildReset(streamID, code)
        frame = parsed(raw)
        assert isinstance(frame, RstStreamFrame)
        self.assertEqual((frame.stream_id, frame.error_code), (streamID, code))
        self.assertEqual(frames.readLong(raw), code)

    @given(st.integers(0, 2**31 - 1), st.integers(1, 2**31 - 1))
    def test_windowUpdate(self, streamID: int, increment: int) -> None:
        """
        A WINDOW_UPDATE frame.
        """
        raw = frames.buildWindowUpdate(streamID, increment)
        frame = parsed(raw)
        assert isinstance(frame, WindowUpdateFrame)
        self.assertEqual((frame.stream_id, frame.window_increment), (streamID, increment))
        self.assertEqual(frames.readLong(raw), increment)

    def test_others(self) -> None:
        """
        Frames of any length, and the acknowledgement of SETTINGS.
        """
        acknowledgement = parsed(frames.SETTINGS_ACK)
        assert isinstance(acknowledgement, SettingsFrame)
        self.assertIn("ACK", acknowledgement.flags)
        self.assertEqual(frames.buildFrame(frames.PING, frames.ACK, 0, b"12345678"), PingFrame.serialize(_ping()))
        for size in (0, 1, 255, 256, 16384, 2**16, 2**24 - 1):
            raw = frames.buildFrame(frames.DATA, frames.END_STREAM, 7, bytes(size))
            frame = parsed(raw)
            assert isinstance(frame, DataFrame)
            self.assertEqual((frame.stream_id, len(frame.data)), (7, size))


def _ping() -> PingFrame:
    frame = PingFrame(0, b"12345678")
    frame.flags.add("ACK")
    return frame


class ReadingTests(SynchronousTestCase):
    """
    Padding and fragments.
    """

    @given(st.binary(max_size=50), st.one_of(st.none(), st.integers(0, 255)))
    def test_data(self, body: bytes, padding: int | None) -> None:
        """
        The length of a DATA frame's body is told without padding.
        """
        frame = DataFrame(1, body)
        if padding is not None:
            frame.flags.add("PADDED")
            frame.pad_length = padding
        raw = frame.serialize()
        self.assertEqual(frames.dataLength(raw[4], raw), len(body))

    def test_malformedData(self) -> None:
        """
        Padding as long as the payload is a PROTOCOL_ERROR; a frame too short to say how long is a FRAME_SIZE_ERROR.
        """
        for payload, code in (
            (b"\x01", ErrorCode.PROTOCOL_ERROR),
            (b"\x04abc", ErrorCode.PROTOCOL_ERROR),
            (b"\xffabc", ErrorCode.PROTOCOL_ERROR),
            (b"", ErrorCode.FRAME_SIZE_ERROR),
        ):
            raw = frames.buildFrame(frames.DATA, frames.PADDED, 1, payload)
            fault: ConnectionFault = self.assertRaises(ConnectionFault, frames.dataLength, frames.PADDED, raw)
            self.assertEqual(fault.code, code)
        self.assertEqual(frames.dataLength(8, frames.buildFrame(frames.DATA, 8, 1, b"\x03abc")), 0)

    @given(
        st.binary(max_size=50),
        st.one_of(st.none(), st.integers(0, 255)),
        st.booleans(),
        st.booleans(),
        st.lists(st.binary(max_size=20), max_size=3),
    )
    def test_fragment(
        self, block: bytes, padding: int | None, priority: bool, promised: bool, more: list[bytes]
    ) -> None:
        """
        A header block is put together without padding, priority, promised stream id and heads.
        """
        frame: HeadersFrame | PushPromiseFrame
        if promised:
            frame = PushPromiseFrame(1, 2, block)
        else:
            frame = HeadersFrame(1, block)
            if priority:
                frame.flags.add("PRIORITY")
                frame.depends_on, frame.stream_weight, frame.exclusive = 3, 5, True
        if padding is not None:
            frame.flags.add("PADDED")
            frame.pad_length = padding
        raw = frame.serialize() + b"".join(ContinuationFrame(1, each).serialize() for each in more)
        self.assertEqual(frames.headerFragment(raw), block + b"".join(more))

    def test_flagsOfContinuations(self) -> None:
        """
        Flags that mean nothing on a CONTINUATION mean nothing.
        """
        raw = frames.buildFrame(frames.HEADERS, 0, 1, b"ab") + frames.buildFrame(frames.CONTINUATION, 0xFF, 1, b"\x09c")
        self.assertEqual(frames.headerFragment(raw), b"ab\x09c")

    def test_malformedFragment(self) -> None:
        """
        A frame without room for what its flags promise is a FRAME_SIZE_ERROR, padding beyond the rest a PROTOCOL_ERROR.
        """
        both = frames.PADDED | frames.PRIORITY_FLAG
        for kind, flags, payload, code in (
            (frames.HEADERS, frames.PADDED, b"", ErrorCode.FRAME_SIZE_ERROR),
            (frames.HEADERS, frames.PADDED, b"\x01", ErrorCode.PROTOCOL_ERROR),
            (frames.HEADERS, frames.PADDED, b"\xffabc", ErrorCode.PROTOCOL_ERROR),
            (frames.HEADERS, frames.PRIORITY_FLAG, b"1234", ErrorCode.FRAME_SIZE_ERROR),
            (frames.HEADERS, both, b"\x0012", ErrorCode.FRAME_SIZE_ERROR),
            (frames.HEADERS, both, b"\x0112345", ErrorCode.PROTOCOL_ERROR),
            (frames.PUSH_PROMISE, 0, b"123", ErrorCode.FRAME_SIZE_ERROR),
            (frames.PUSH_PROMISE, frames.PADDED, b"\x011234", ErrorCode.PROTOCOL_ERROR),
        ):
            raw = frames.buildFrame(kind, flags, 1, payload)
            fault: ConnectionFault = self.assertRaises(ConnectionFault, frames.headerFragment, raw)
            self.assertEqual(fault.code, code, raw)
        self.assertEqual(frames.headerFragment(frames.buildFrame(frames.HEADERS, both, 1, b"\x00ppppp")), b"")
        self.assertEqual(frames.headerFragment(frames.buildFrame(frames.HEADERS, 8, 1, b"\x02\x00\x00")), b"")

    @given(st.lists(st.binary(max_size=30), max_size=4), st.binary(max_size=30))
    def test_advertised(self, origins: list[bytes], value: bytes) -> None:
        """
        ALTSVC and ORIGIN frames are read as they were written, and not at all if they were cut.
        """
        raw = frames.buildOrigin(origins)
        self.assertEqual(frames.readOrigins(raw), origins)
        if origins and origins[-1]:
            self.assertIsNone(frames.readOrigins(raw[:-1]))
        for origin in origins:
            raw = frames.buildAltSvc(value, origin, 0)
            self.assertEqual(frames.readAltSvc(raw), (origin, value))
            self.assertIsNone(frames.readAltSvc(raw[: 10 + len(origin)]))
