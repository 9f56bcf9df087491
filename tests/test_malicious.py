"""
A client against servers that mean it harm: each row of L{CASES} is one, and says how its requests end and by what.

Every row has a request whose body is read, an upload, and a request that is made when the server is at work.  Each of
their Deferreds fires within the time the request has, whatever the server does; what is held meanwhile stays small; nothing
is logged but that a server speaks something else, and no timer is left.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hyperframe.frame import ContinuationFrame, HeadersFrame, SettingsFrame
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txh2session import ClientSession, Ended, Keepalive, StreamError, Timeouts
from txh2session._frames import PREFACE
from txh2session.testing import FramePeer, RawFrame

REQUEST = 20.0
"""Seconds that a request has."""
HELD = 2 * 1024 * 1024
"""Bytes that a session may hold for a server that misbehaves: a megabyte of window, and what its tables and queues take."""
BODY = 512 * 1024
"""Bytes of the longest body that the reader wants."""

Script = Callable[[FramePeer], Iterator[float]]


@dataclass
class Case:
    """
    One malicious server.

    @ivar name: what it does.
    @ivar script: does it; yields seconds to wait.
    @ivar ends: how the first request ends, see L{howItEnded}; C{"bytes"} if it was answered before the mischief.
    @ivar within: seconds until then.
    @ivar start: whether it begins as an honest server does.
    @ivar settings: what it announces then.
    @ivar timeouts: the client's, besides that of requests.
    """

    name: str
    script: Script
    ends: str
    within: float = 0.5
    start: bool = True
    settings: dict[str, int] = field(default_factory=dict)
    timeouts: dict[str, Any] = field(default_factory=dict)


CASES: list[Case] = []


def case(ends: str, within: float = 0.5, **facts: Any) -> Callable[[Script], Script]:
    """
    Enter a server into the table.
    """

    def enter(script: Script) -> Script:
        CASES.append(Case(script.__name__, script, ends, within, **facts))
        return script

    return enter


def frames(name: str, ends: str, *makers: Callable[[FramePeer], Any], within: float = 0.5, **facts: Any) -> None:
    """
    Enter a server that sends some frames, or bytes, one read each.
    """

    def script(peer: FramePeer) -> Iterator[float]:
        for make in makers:
            made = make(peer)
            if isinstance(made, bytes):
                peer.sendBytes(made)
            else:
                peer.send(made)
            yield 0
        yield REQUEST

    CASES.append(Case(name, script, ends, within, **facts))


def flood(name: str, ends: str, make: Callable[[FramePeer, int], Any], number: int = 5000, **facts: Any) -> None:
    """
    Enter a server that sends very many frames, a hundred in a read.
    """

    def script(peer: FramePeer) -> Iterator[float]:
        for start in range(0, number, 100):
            peer.send(*(make(peer, each) for each in range(start, start + 100)))
            if peer.lost:
                break
            yield 0
        yield REQUEST

    CASES.append(Case(name, script, ends, **facts))


def drip(name: str, ends: str, make: Callable[[FramePeer], Any], every: float, within: float, **facts: Any) -> None:
    """
    Enter a server that sends a frame every now and then.
    """

    def script(peer: FramePeer) -> Iterator[float]:
        peer.send(peer.response(1))
        while True:
            peer.send(make(peer))
            yield every

    CASES.append(Case(name, script, ends, within, **facts))


def late(peer: FramePeer) -> Iterator[float]:
    """
    Do nothing more.
    """
    yield REQUEST


# The ends that many rows share.
TIMEOUT = "StreamTimeout request"
CALM = "LimitExceeded controlFrames"
BROKEN = "SessionError PROTOCOL_ERROR"
MALFORMED = "StreamError PROTOCOL_ERROR"
FLOW = "SessionError FLOW_CONTROL_ERROR"
SIZE = "SessionError FRAME_SIZE_ERROR"

# ---------------------------------------------------------------------------------------------------------------------
# No HTTP/2, or hardly

early: dict[str, Any] = {"start": False}
frames("garbage", BROKEN, lambda p: bytes(range(128, 256)) * 50, **early)
frames("clientsPreface", BROKEN, lambda p: PREFACE, **early)
frames("http1", "PeerSpeaksOtherProtocol PROTOCOL_ERROR", lambda p: b"HTTP/1.1 200 OK\r\n\r\n", **early)
frames("tlsAlert", "PeerSpeaksOtherProtocol PROTOCOL_ERROR", lambda p: bytes([21, 3, 3, 0, 2, 2, 40]), **early)
frames("firstFrameIsPing", BROKEN, lambda p: p.ping(), **early)
frames("firstFrameIsGoAway", BROKEN, lambda p: p.goAway(0), **early)
frames("firstFrameIsAnAcknowledgement", BROKEN, lambda p: SettingsFrame(0, flags=["ACK"]), **early)
frames("silence", "SessionTimeout preface", within=10.5, **early)
frames("halfAFrame", "SessionTimeout preface", lambda p: b"\0\0\6\4", within=10.5, **early)
frames(
    "settingsNeverAcknowledged",
    "SessionTimeout settingsAck",
    lambda p: SettingsFrame(0, {}),
    within=10.5,
    **early,
)


@case("ConnectFailed h2", **early)
def closesAtOnce(peer: FramePeer) -> Iterator[float]:
    """It closes before it has said anything."""
    peer.close()
    yield REQUEST


# ---------------------------------------------------------------------------------------------------------------------
# Silence and slowness

frames("silentAfterSettings", TIMEOUT, within=REQUEST)
frames("responseWithoutEnd", TIMEOUT, lambda p: p.response(1), within=REQUEST)
frames("streamLimitZero", TIMEOUT, within=REQUEST, start=True, settings={"MAX_CONCURRENT_STREAMS": 0})
frames("windowZero", TIMEOUT, within=REQUEST, settings={"INITIAL_WINDOW_SIZE": 0})
frames("goAwayThenSilence", TIMEOUT, lambda p: p.goAway(5), within=REQUEST)
frames(
    "goAwayThenSilenceWithKeepalive",
    "SessionTimeout keepalive",
    lambda p: p.goAway(5),
    within=8.5,
    timeouts={"keepalive": Keepalive(5, timeout=3)},
)
drip("dripByBytes", TIMEOUT, lambda p: p.data(1, b"x"), 1, REQUEST)
drip("dripByEmptyData", TIMEOUT, lambda p: p.data(1), 1, REQUEST)
drip("dripByPings", TIMEOUT, lambda p: p.ping(), 1, REQUEST)
drip("dripByInformation", MALFORMED, lambda p: p.response(1, status=103), 1, 0.5)
drip("dripBySettings", TIMEOUT, lambda p: SettingsFrame(0, {}), 1, REQUEST)
drip("dripByWindows", TIMEOUT, lambda p: p.window(1, 1), 1, REQUEST)


@case("SessionTimeout headers", within=10.5)
def dripByHeaderBlock(peer: FramePeer) -> Iterator[float]:
    """A header block that does not end, a byte a second."""
    peer.send(HeadersFrame(1, b"\x88"))
    while True:
        yield 1
        peer.send(ContinuationFrame(1, b"\x88"))


@case(TIMEOUT, within=REQUEST)
def dripByBytesOfAFrame(peer: FramePeer) -> Iterator[float]:
    """A DATA frame whose bytes come one by one."""
    peer.send(peer.response(1))
    for byte in peer.data(1, b"x" * 1000).serialize():
        peer.sendBytes(bytes([byte]))
        yield 0.5


# ---------------------------------------------------------------------------------------------------------------------
# Floods

flood("settingsFlood", CALM, lambda p, n: SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: n}))
flood("pingFlood", CALM, lambda p, n: p.ping())
flood("pingAckFlood", CALM, lambda p, n: p.ping(ack=True))
flood("settingsAckFlood", CALM, lambda p, n: SettingsFrame(0, flags=["ACK"]))
flood("windowFlood", CALM, lambda p, n: p.window(0, 1))
flood("priorityFlood", CALM, lambda p, n: p.priority(1))
flood("unknownFlood", CALM, lambda p, n: p.unknown(body=b"x" * 1000))
flood("altSvcFlood", CALM, lambda p, n: RawFrame(0xA, 0, b"\0\x0ahttp://a:%02dh2" % (n % 90 + 10)))
flood("altSvcGiants", CALM, lambda p, n: RawFrame(0xA, 0, b"\0\x0ahttp://a:80" + b"x" * 16_000))
flood("originFlood", CALM, lambda p, n: RawFrame(0xC, 0, b"\0\x0bhttp://%04d" % n))
flood("originGiants", CALM, lambda p, n: RawFrame(0xC, 0, b"\0\x0bhttp://%04d" % n * 1200))
flood("goAwayFlood", CALM, lambda p, n: p.goAway(5, data=b"x" * 100))
flood("resetFlood", "StreamAborted CANCEL", lambda p, n: p.reset(1))
flood("emptyDataFlood", CALM, lambda p, n: p.response(1) if not n else p.data(1))
flood("informationFlood", "StreamError ENHANCE_YOUR_CALM", lambda p, n: p.response(1, status=103))
flood("headersAfterTheEnd", "bytes", lambda p, n: p.response(1, end=not n))
flood("lateHeadersFlood", MALFORMED, lambda p, n: p.response(1, status=101))
flood("promises", BROKEN, lambda p, n: p.promise(1, 2 * n + 2))
flood(
    "continuationFlood",
    "LimitExceeded continuationFrames",
    lambda p, n: ContinuationFrame(1, b"") if n else HeadersFrame(1),
)
flood("endlessBody", "BodyTooLong", lambda p, n: p.data(1, b"x" * 10_000) if n else p.response(1), number=100)
flood("paddingOnly", CALM, lambda p, n: p.data(1, b"", padding=0) if n else p.response(1))

# ---------------------------------------------------------------------------------------------------------------------
# Frames where they may not be


frames("pushPromise", BROKEN, lambda p: p.promise(1, 2))
frames("priorityUpdate", BROKEN, lambda p: RawFrame(0x10, 0, b"\0\0\0\1u=1"))
frames("dataBeforeHeaders", MALFORMED, lambda p: p.data(1, b"x"))
frames("dataOnAnIdleStream", BROKEN, lambda p: p.data(99, b"x"))
frames("dataOnStream0", BROKEN, lambda p: RawFrame(0, 0, b"x"))
frames("headersOnAnIdleStream", BROKEN, lambda p: p.response(99))
frames("headersOnAnEvenStream", BROKEN, lambda p: p.response(2))
frames("headersOnStream0", BROKEN, lambda p: RawFrame(1, 0, b"\x88", 4))
frames("resetOfAnIdleStream", BROKEN, lambda p: p.reset(99))
frames("windowOfAnIdleStream", BROKEN, lambda p: p.window(99, 1))
frames("continuationAlone", BROKEN, lambda p: ContinuationFrame(1, b"x"))
frames("frameInsideABlock", BROKEN, lambda p: HeadersFrame(1, b"\x88"), lambda p: p.ping())
frames("settingsOnAStream", BROKEN, lambda p: RawFrame(4, 1))
frames("pingOnAStream", BROKEN, lambda p: RawFrame(6, 1, bytes(8)))
frames("goAwayOnAStream", BROKEN, lambda p: RawFrame(7, 1, bytes(8)))
frames("responseTwice", MALFORMED, lambda p: p.response(1), lambda p: p.response(1))
frames("trailersWithoutEnd", MALFORMED, lambda p: p.response(1), lambda p: p.headers(1, [("a", "b")]))
frames("dataAfterTheEnd", TIMEOUT, lambda p: p.response(3, end=True), lambda p: p.data(3, b"x"), within=REQUEST)

# ---------------------------------------------------------------------------------------------------------------------
# Sizes and windows

frames("overlongFrame", SIZE, lambda p: b"\xff\xff\xff\0\0\0\0\0\1")
frames("shortPing", SIZE, lambda p: RawFrame(6, 0, b"x"))
frames("shortSettings", SIZE, lambda p: RawFrame(4, 0, b"x"))
frames("shortReset", SIZE, lambda p: RawFrame(3, 1, b"x"))
frames("shortWindow", SIZE, lambda p: RawFrame(8, 0, b"x"))
frames("shortGoAway", SIZE, lambda p: RawFrame(7, 0, b"x"))
frames("tooMuchPadding", BROKEN, lambda p: p.response(1), lambda p: RawFrame(0, 1, b"\x09x", 8))
frames("connectionWindowOverflow", FLOW, *[lambda p: p.window(0, 2**31 - 1)] * 2)
frames("streamWindowOverflow", "StreamError FLOW_CONTROL_ERROR", lambda p: p.window(1, 2**31 - 1))
frames("connectionWindowOf0", BROKEN, lambda p: p.window(0, 0))
frames("streamWindowOf0", MALFORMED, lambda p: p.window(1, 0))
flood("moreThanTheWindow", FLOW, lambda p, n: p.data(3, b"x" * 16_384) if n else p.response(3), number=100)
frames("settingWindowTooLarge", FLOW, lambda p: settings(4, 2**31))
frames("settingFrameSizeTooSmall", BROKEN, lambda p: settings(5, 100))
frames("settingFrameSizeTooLarge", BROKEN, lambda p: settings(5, 2**24))
frames("settingPush", BROKEN, lambda p: settings(2, 1))
frames("settingConnectTakenBack", BROKEN, lambda p: settings(8, 1), lambda p: settings(8, 0))
frames("settingTableHuge", TIMEOUT, lambda p: settings(1, 2**32 - 1), within=REQUEST)
frames("settingsEntries", "LimitExceeded settingsEntries", lambda p: RawFrame(4, 0, bytes([0, 99, 0, 0, 0, 0]) * 2000))
frames("settingListOf0", TIMEOUT, lambda p: settings(6, 0), within=REQUEST)

# ---------------------------------------------------------------------------------------------------------------------
# Header lists


def settings(identifier: int, value: int) -> RawFrame:
    """
    Make SETTINGS, right or wrong.
    """
    return RawFrame(4, 0, struct.pack(">HL", identifier, value))


def manyFields(peer: FramePeer, number: int) -> HeadersFrame:
    """
    Make a response with very many fields.
    """
    return peer.response(1, *[("a", "")] * number)


def hugeList(peer: FramePeer, references: int) -> RawFrame:
    """
    Make a response of one long field in the table, and references to it.
    """
    return RawFrame(1, 1, b"\x88\x40\x01a\x7f\xa1\x1e" + b"b" * 4000 + b"\xbe" * references, 4)


frames("tooManyFields", "StreamError ENHANCE_YOUR_CALM", lambda p: manyFields(p, 1000))
frames("listTooLong", "StreamError ENHANCE_YOUR_CALM", lambda p: hugeList(p, 20))
frames("hpackBomb", "LimitExceeded maxHeaderListSize", lambda p: hugeList(p, 10_000))
frames("hpackGarbage", "SessionError COMPRESSION_ERROR", lambda p: RawFrame(1, 1, b"\xff" * 50, 4))
frames("hpackTableTooLarge", "SessionError COMPRESSION_ERROR", lambda p: RawFrame(1, 1, b"\x3f\xe1\xff\x07\x88", 4))
frames("noStatus", MALFORMED, lambda p: p.headers(1, [("a", "b")]))
frames("statusOfLetters", MALFORMED, lambda p: p.headers(1, [(":status", "abc")]))
frames("statusTooSmall", MALFORMED, lambda p: p.headers(1, [(":status", "99")]))
frames("upperCase", MALFORMED, lambda p: RawFrame(1, 1, b"\x88\x00\x01A\x01b", 4))
frames("connectionField", MALFORMED, lambda p: p.response(1, ("connection", "close")))
frames("requestFields", MALFORMED, lambda p: p.response(1, (":path", "/")))
frames("informationWithEnd", MALFORMED, lambda p: p.response(1, status=103, end=True))
frames("switchingProtocols", MALFORMED, lambda p: p.response(1, status=101))

# ---------------------------------------------------------------------------------------------------------------------
# Bodies that are not what was said

TEN = ("content-length", "10")
frames("bodyCut", MALFORMED, lambda p: p.response(1, TEN), lambda p: p.data(1, b"x", end=True))
frames("bodyTooLong", MALFORMED, lambda p: p.response(1, TEN), lambda p: p.data(1, b"x" * 11))
frames("bodyAbsent", MALFORMED, lambda p: p.response(1, TEN, end=True))
frames("lengthOfLetters", MALFORMED, lambda p: p.response(1, ("content-length", "x")))
frames("lengthsThatDiffer", MALFORMED, lambda p: p.response(1, TEN, ("content-length", "11")))
frames(
    "resetWithNoError",
    "StreamAborted NO_ERROR",
    lambda p: p.response(1),
    lambda p: p.data(1, b"x"),
    lambda p: p.reset(1, 0),
)
frames("resetWithAnUnknownCode", "StreamError 0xbadc0de", lambda p: p.reset(1, 0xBADC0DE))
frames("refused", "StreamRefused REFUSED_STREAM", lambda p: p.reset(1, 7))


@case("StreamAborted CANCEL")
def closesInTheBody(peer: FramePeer) -> Iterator[float]:
    """It ends the connection in the middle of a body, as if that were its end."""
    peer.send(peer.response(1), peer.data(1, b"x"))
    peer.close()
    yield REQUEST


@case("StreamAborted CANCEL")
def closesInAFrame(peer: FramePeer) -> Iterator[float]:
    """It ends the connection in the middle of a frame."""
    peer.send(peer.response(1))
    peer.sendBytes(peer.data(1, b"x" * 100).serialize()[:50])
    peer.close()
    yield REQUEST


# ---------------------------------------------------------------------------------------------------------------------
# GOAWAY

frames("goAwayOfNothing", "StreamRefused REFUSED_STREAM", lambda p: p.goAway(0))
frames("goAwayWithAnError", "SessionError INTERNAL_ERROR", lambda p: p.goAway(5, 2))
frames("goAwayRaised", "StreamRefused REFUSED_STREAM", lambda p: p.goAway(0), lambda p: p.goAway(5))
frames("goAwayOfEvenStreams", TIMEOUT, lambda p: p.goAway(6), within=REQUEST)


@implementer(IPushProducer)
class Upload:
    """
    Ten megabytes that can be paused.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._paused = False
        self.most = 0
        self.left = 160
        stream.registerProducer(self, True)
        self.resumeProducing()

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = True

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._paused = False
        while not self._paused and self.left:
            self.left -= 1
            self._stream.write(bytes(65536))
            self.most = max(self.most, self._stream.bufferSize)

    def stopProducing(self) -> None:
        """See L{IPushProducer}."""
        self.left = 0


def howItEnded(error: Any) -> str:
    """
    Name the class of an error, and the limit, the timeout or the code that tells what it was.  A stream that ended with
    its session is told by the session's.
    """
    if isinstance(error, StreamError) and error.reason is not None:
        error = error.reason
    detail = getattr(error, "limit", None) or getattr(error, "timeout", None)
    if detail is None and isinstance(error, Ended):
        detail = getattr(error.code, "name", hex(error.code))
    return " ".join(filter(None, [type(error).__name__, detail or getattr(error, "stage", None)]))


class MaliciousServerTests(SynchronousTestCase):
    """
    One test for each row.
    """

    def play(self, case: Case) -> None:
        """
        Be the server, and look what becomes of the client.
        """
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        clock = Clock()
        timeouts = Timeouts(request=REQUEST, **case.timeouts)
        session = ClientSession("http", "localhost", timeouts=timeouts)
        peer = FramePeer.toClient(session, clock, timeouts=timeouts, start=False)
        if case.start:
            peer.start(**case.settings)
        outcomes: dict[str, Any] = {}
        ended: dict[str, float] = {}

        def watch(name: str, waiting: Any) -> None:
            def fired(result: Any) -> None:
                outcomes[name] = getattr(result, "value", result)
                ended[name] = clock.seconds()

            names.add(name)
            waiting.addBoth(fired)

        names: set[str] = set()
        get, post = session.request(), session.request({":method": "POST"})
        upload = Upload(post)
        watch("body", get.read(limit=BODY))
        watch("ping", session.ping(timeout=REQUEST))
        script = case.script(peer)
        wake = most = 0.0
        third = None
        while clock.seconds() < REQUEST + 1:
            while wake <= clock.seconds():
                wake += next(script, 2 * REQUEST)
                most = max(most, session.state.heldBytes + len(peer.transport.buffer))
            if third is None:
                third = session.request()
                for name, stream in (("get", get), ("post", post), ("third", third)):
                    watch(f"{name} response", stream.whenResponse())
                    watch(f"{name} trailers", stream.whenTrailers())
                    watch(f"{name} closed", stream.whenClosed())
            clock.advance(0.25)
            peer.take()
        self.assertEqual(names - set(outcomes), set(), "these never fired")
        self.assertLessEqual(max(ended.values()), REQUEST + 0.5)
        self.assertEqual(howItEnded(outcomes["body"]), case.ends)
        self.assertLessEqual(ended["body"], case.within + 0.25)
        self.assertLessEqual(most, HELD)
        self.assertLessEqual(upload.most, 1024 * 1024)
        session.destroy()
        peer.take()
        clock.pump([1.0] * 20)
        self.assertEqual(clock.getDelayedCalls(), [])
        loud = [event["log_format"] for event in events if event.get("log_level", LogLevel.info) >= LogLevel.warn]
        other = howItEnded(outcomes["body"]).startswith("PeerSpeaksOtherProtocol")
        self.assertEqual(loud, ["{peer} speaks {speaks}, not HTTP/2"] if other else [])


def _test(each: Case) -> Callable[[Any], None]:
    def test(self: Any) -> None:
        self.play(each)

    test.__doc__ = f"{each.name}: {each.ends}, within {each.within:g} seconds."
    return test


for _each in CASES:
    assert not hasattr(MaliciousServerTests, f"test_{_each.name}"), _each.name
    setattr(MaliciousServerTests, f"test_{_each.name}", _test(_each))
