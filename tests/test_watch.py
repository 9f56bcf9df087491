"""
L{txh2session._watch}: keepalive, stalled bodies and header blocks that drip, seen from outside.
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import ContinuationFrame, HeadersFrame, SettingsFrame
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import (
    ClientSession,
    ErrorCode,
    Initiator,
    InvalidSetting,
    Keepalive,
    Server,
    ServerStream,
    SessionTimeout,
    StreamError,
    StreamTimeout,
    Timeouts,
)
from txh2session._frames import PREFACE
from txh2session.testing import FramePeer


class KeepaliveTests(SynchronousTestCase):
    """
    A client's session that looks whether its server is there.
    """

    def connect(self, **options: Any) -> None:
        """
        Connect with a keepalive of 10 seconds.
        """
        self.clock = Clock()
        timeouts = Timeouts(keepalive=Keepalive(10, timeout=5, **options))
        self.session = ClientSession("http", "a", timeouts=timeouts)
        self.peer = FramePeer.toClient(self.session, self.clock, timeouts=timeouts)

    def test_silence(self) -> None:
        """
        After silence a PING is sent; with its answer the next silence begins.
        """
        self.connect()
        self.session.request()
        self.peer.take()
        for _ in range(3):
            self.clock.advance(9.9)
            self.assertEqual(self.peer.take(), [])
            self.clock.advance(0.1)
            (ping,) = self.peer.take()
            self.peer.send(self.peer.ping(ping.opaque_data, ack=True))
        self.assertFalse(self.session.destroyed)

    def test_traffic(self) -> None:
        """
        While bytes come nothing is asked.
        """
        self.connect()
        self.session.request()
        self.peer.take()
        for _ in range(5):
            self.clock.advance(8)
            self.peer.send(self.peer.window(0, 1))
        self.assertEqual(self.peer.take(), [])

    def test_dead(self) -> None:
        """
        A server that does not answer costs the session, within interval and timeout.
        """
        self.connect()
        response = self.session.request().whenResponse()
        self.clock.advance(10)
        self.peer.take()
        self.clock.advance(5)
        self.assertEqual(self.failureResultOf(response, SessionTimeout).value.timeout, "keepalive")
        self.peer.take()
        self.clock.advance(20)
        self.failureResultOf(self.session.whenClosed(), SessionTimeout)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_busyButSlow(self) -> None:
        """
        A server that sends other bytes while its answer is late is not dead.
        """
        self.connect()
        self.session.request()
        self.clock.advance(10)
        self.peer.send(self.peer.window(0, 1))
        self.clock.advance(5)
        self.assertFalse(self.session.destroyed)

    def test_idle(self) -> None:
        """
        Without a stream nothing is asked, unless that is wanted.
        """
        for always in (False, True):
            self.connect(always=always)
            self.clock.advance(10)
            self.assertEqual(len(self.peer.take()), always)

    def test_draining(self) -> None:
        """
        While a session drains it looks all the same.
        """
        self.connect()
        self.session.request()
        self.peer.send(self.peer.goAway(1))
        self.peer.take()
        self.clock.advance(10)
        self.assertEqual(self.peer.names(), ["PING"])

    def test_values(self) -> None:
        """
        Bad values raise.
        """
        for arguments in ((0,), (-1,), (10, 0), ("x",)):
            with self.assertRaises(InvalidSetting):
                Keepalive(*arguments)  # type: ignore[arg-type]
        with self.assertRaises(InvalidSetting):
            Timeouts(keepalive=10)  # type: ignore[arg-type]


class SlowPeerTests(SynchronousTestCase):
    """
    A server and a client that is slow.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.clock = Clock()
        self.streams: list[ServerStream] = []
        self.server = Server(
            lambda stream, headers: self.streams.append(stream),
            clock=self.clock,
            timeouts=Timeouts(stalled=20, headers=5),
        )
        self.peer = FramePeer.toServer(self.server)
        self.session = next(iter(self.server.sessions))

    def test_stalled(self) -> None:
        """
        A body of which nothing is taken for C{Timeouts.stalled} is reset with CANCEL, and the others go on.
        """
        self.peer.send(self.peer.get(1), self.peer.get(3))
        one, three = self.streams
        for stream in (one, three):
            stream.end(b"x" * 100_000)
        closed = one.whenClosed()
        self.peer.take()
        for _ in range(6):
            self.clock.advance(5)
            self.peer.send(self.peer.window(0, 100), self.peer.window(3, 100))
        self.assertIn("RST_STREAM 1 CANCEL", self.peer.names())
        self.assertEqual(self.failureResultOf(closed, StreamError).value.code, ErrorCode.CANCEL)
        self.assertFalse(three.closed)
        self.assertFalse(self.session.destroyed)

    def test_slowApplication(self) -> None:
        """
        A stream that has nothing to send is not stalled, however long it takes.
        """
        self.peer.send(self.peer.get(1))
        self.streams[0].respond()
        self.clock.advance(600)
        self.assertFalse(self.streams[0].closed)

    def test_silentUpload(self) -> None:
        """
        A request whose body stops while somebody reads it is reset with CANCEL after C{Timeouts.upload}.
        """
        self.peer.send(self.peer.post(1), self.peer.data(1, b"x"))
        body = self.streams[0].read()
        for _ in range(4):
            self.clock.advance(20)
            self.assertNoResult(body)
            self.peer.send(self.peer.data(1, b"x"))
        for _ in range(9):
            self.clock.advance(10)
        self.assertEqual(self.peer.names(), ["RST_STREAM 1 CANCEL"])
        error = self.failureResultOf(body, StreamTimeout).value
        self.assertEqual((error.timeout, error.initiator), ("upload", Initiator.PEER))
        self.assertFalse(self.session.destroyed)

    def test_notTheClientsFault(self) -> None:
        """
        A client that waits because nobody reads, or because it has its answer, may be silent for long.
        """
        self.peer.send(*(self.peer.post(streamID) for streamID in (1, 3, 5, 7)))
        unread, answered, paused, iterated = self.streams
        answered.discard()
        answered.respond()
        paused.discard()
        paused.pauseProducing()
        iterated.__aiter__()
        for _ in range(30):
            self.clock.advance(20)
            self.peer.send(self.peer.ping())
        self.assertEqual([stream.closed for stream in self.streams], [False] * 4)
        self.assertEqual(set(self.peer.names()), {"HEADERS 3 200", "PING ACK"})
        ended = [unread.read(), answered.whenTrailers()]
        self.peer.send(self.peer.data(1, b"all", end=True), self.peer.data(3, b"", end=True))
        self.assertEqual(self.successResultOf(ended[0]), b"all")
        self.successResultOf(ended[1])

    def test_drippingHeaders(self) -> None:
        """
        A header block that does not end in time ends the connection.
        """
        block = self.peer.get(1)
        self.peer.send(HeadersFrame(1, block.data[:3]))
        self.clock.advance(4)
        self.peer.send(ContinuationFrame(1, block.data[3:5]))
        self.clock.advance(1)
        self.assertEqual(self.peer.names(), ["GOAWAY 0 ENHANCE_YOUR_CALM"])
        self.clock.advance(5)
        self.assertEqual(self.failureResultOf(self.session.whenClosed(), SessionTimeout).value.timeout, "headers")

    def test_headersWithThePreface(self) -> None:
        """
        A header block that begins in the same read as the preface has no more time than another.
        """
        server = Server(lambda stream, headers: None, clock=self.clock, timeouts=Timeouts(headers=5))
        peer = FramePeer.toServer(server, start=False)
        block = HeadersFrame(1, peer.get(1).data[:3])
        acknowledged = SettingsFrame(0, flags=["ACK"])
        peer.sendBytes(PREFACE + b"".join(each.serialize() for each in (SettingsFrame(0), acknowledged, block)))
        self.clock.advance(5)
        self.assertEqual(peer.names()[-1], "GOAWAY 0 ENHANCE_YOUR_CALM")

    def test_headersInTime(self) -> None:
        """
        A header block in pieces that ends in time is served, and its time is over.
        """
        block = self.peer.get(1)
        self.peer.send(HeadersFrame(1, block.data[:3], flags=["END_STREAM"]))
        self.clock.advance(4)
        self.peer.send(ContinuationFrame(1, block.data[3:], flags=["END_HEADERS"]))
        self.clock.advance(10)
        self.assertEqual(len(self.streams), 1)
        self.assertFalse(self.session.destroyed)
