"""
L{txh2session._tuning}: receive windows that adapt, as a transfer over a slow way shows them.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession, Limits, Server, Settings, Timeouts
from txh2session._tuning import WindowTuner
from txh2session.protocol import HTTP2Protocol
from txh2session.testing import Pipe

MIB = 1024 * 1024


class TunerTests(SynchronousTestCase):
    """
    L{WindowTuner} by itself.
    """

    def test_question(self) -> None:
        """
        The round trip is asked for once at a time, and again when it is old.
        """
        tuner = WindowTuner()
        payload = tuner.question(1.0)
        assert payload is not None
        self.assertEqual(len(payload), 8)
        self.assertIsNone(tuner.question(2.0))
        self.assertFalse(tuner.answer(b"another.", 2.0))
        self.assertTrue(tuner.answer(payload, 3.0))
        self.assertEqual(tuner.roundTrip, 2.0)
        self.assertFalse(tuner.answer(payload, 4.0))
        self.assertIsNone(tuner.question(12.0))
        self.assertIsNotNone(tuner.question(13.0))

    def test_grown(self) -> None:
        """
        A window is doubled when half of it is spent within two round trips, up to its maximum.
        """
        tuner = WindowTuner()
        self.assertEqual(tuner.grown(100, 0.0, 1000), 100)
        payload = tuner.question(0.0)
        assert payload is not None
        tuner.answer(payload, 0.1)
        self.assertEqual(tuner.grown(100, 0.2, 1000), 200)
        self.assertEqual(tuner.grown(100, 0.21, 1000), 100)
        self.assertEqual(tuner.grown(600, 0.1, 1000), 1000)
        self.assertEqual(tuner.grown(1000, 0.1, 1000), 1000)
        self.assertEqual(tuner.grown(2000, 0.1, 1000), 2000)


class SlowWay(Pipe):
    """
    A pipe with latency and bandwidth: 100 ms there and back, so many bytes a second each way.
    """

    step = 0.005

    def __init__(self, first: Any, second: Any, clock: Clock, roundTrip: float, bandwidth: int) -> None:
        super().__init__(first, second)
        self.clock = clock
        self.oneWay = roundTrip / 2
        self.atOnce = int(bandwidth * self.step)
        self.flights: tuple[deque[tuple[float, bytes]], ...] = (deque(), deque())

    def tick(self) -> None:
        """
        Let a step of time pass.
        """
        self.clock.advance(self.step)
        now = self.clock.seconds()
        for (source, _, _, other), flight in zip(self._ends, self.flights, strict=True):
            data = bytes(source.buffer[: self.atOnce])
            if data:
                del source.buffer[: len(data)]
                flight.append((now + self.oneWay, data))
                source.taken()
            while flight and flight[0][0] <= now + 1e-9:
                other.dataReceived(flight.popleft()[1])


class TransferTests(SynchronousTestCase):
    """
    Bodies over a slow way.
    """

    def transfer(
        self,
        size: int,
        limits: Limits,
        settings: Settings | None = None,
        *,
        upload: bool = False,
        bandwidth: int = 20 * MIB,
        readers: Any = None,
    ) -> tuple[float, Any]:
        """
        Transfer a body.

        @return: the seconds it took, and the receiving session.
        """
        clock = Clock()
        done: list[bool] = []

        def finish(stream: Any) -> None:
            stream.discard()
            stream.whenTrailers().addBoth(lambda _: done.append(True))

        def answer(stream: Any, headers: Any) -> None:
            if upload:
                finish(stream)
            else:
                stream.end(b"x" * size)

        timeouts = Timeouts(settingsAck=0, stalled=0, idle=0, preface=0)
        server = Server(answer, clock=clock, limits=limits, settings=settings, timeouts=timeouts)
        client = ClientSession("http", "a", settings, limits, timeouts)
        far = server.buildProtocol(None)
        assert far is not None
        way = SlowWay(HTTP2Protocol(client, timeouts, clock, server=False), far, clock, 0.1, bandwidth)
        for _ in range(50):
            way.tick()
        start = clock.seconds()
        stream = client.request({":method": "POST"} if upload else ())
        if upload:
            stream.end(b"x" * size)
        else:
            finish(stream)
        while not done:
            way.tick()
            self.assertLess(clock.seconds() - start, 600)
        return clock.seconds() - start, next(iter(server.sessions)) if upload else client

    def test_throughput(self) -> None:
        """
        With 100 ms of latency, windows that adapt reach 80 % of what large fixed ones do, both ways; small fixed ones do
        not.
        """
        large = Settings(initialWindowSize=4 * MIB)
        wide = Limits(connectionWindow=16 * MIB)
        small = Limits(maxStreamWindow=1, maxConnectionWindow=1)
        for upload in (False, True):
            fixed, _ = self.transfer(40 * MIB, wide, large, upload=upload)
            adaptive, session = self.transfer(40 * MIB, Limits(), upload=upload)
            narrow, _ = self.transfer(40 * MIB, small, upload=upload)
            self.assertGreater(fixed / adaptive, 0.8)
            self.assertLess(fixed / narrow, 0.2)
            self.assertLessEqual(session.state.localWindow, 16 * MIB)

    def test_cap(self) -> None:
        """
        Windows stay at their caps however fast the way is.
        """
        limits = Limits(maxStreamWindow=512 * 1024, maxConnectionWindow=2 * MIB)
        _, client = self.transfer(30 * MIB, limits, bandwidth=500 * MIB)
        self.assertLessEqual(client.state.localWindow, 2 * MIB)
        fast, client = self.transfer(60 * MIB, Limits(), bandwidth=500 * MIB)
        self.assertLessEqual(client.state.localWindow, 16 * MIB)
        self.assertGreater(client.state.localWindow, 4 * MIB)

    def test_slowWayKeepsSmallWindows(self) -> None:
        """
        Where the way holds little, windows stay small.
        """
        _, client = self.transfer(2 * MIB, Limits(), bandwidth=MIB // 2)
        self.assertLessEqual(client.state.localWindow, MIB)

    def test_unread(self) -> None:
        """
        While much lies unread the connection's window does not grow, so that a session holds C{Limits.unreadBytes} and one
        window as it was at most.
        """
        clock = Clock()
        timeouts = Timeouts(settingsAck=0, stalled=0, upload=0, idle=0, preface=0)
        server = Server(
            lambda stream, headers: stream.discard() if stream.id == 1 else None, clock=clock, timeouts=timeouts
        )
        client = ClientSession("http", "a", timeouts=timeouts)
        way = SlowWay(
            HTTP2Protocol(client, timeouts, clock, server=False), server.buildProtocol(None), clock, 0.1, 100 * MIB
        )
        for _ in range(50):
            way.tick()
        (session,) = server.sessions
        client.request({":method": "POST"}).end(b"x" * 3 * MIB)  # makes both sides know the round trip
        while session.state.remoteStreams or client.state.localWindow < MIB:
            way.tick()
        window = session.state.localWindow
        self.assertLess(window, 4 * MIB)
        for _ in range(99):
            client.request({":method": "POST"}).end(b"x" * 250_000)
        for _ in range(2000):
            way.tick()
        self.assertGreater(session.state.unreadBytes, 16 * MIB)
        self.assertLessEqual(session.state.unreadBytes, 16 * MIB + 2 * window)
        self.assertLessEqual(session.state.localWindow, 2 * window)
        client.destroy()
        for _ in range(50):
            way.tick()

    def test_fixedByTheApplication(self) -> None:
        """
        After C{setLocalWindowSize} the connection's window stays as it was set.
        """
        clock = Clock()
        timeouts = Timeouts(settingsAck=0, stalled=0, idle=0, preface=0)
        server = Server(lambda stream, headers: stream.end(b"x" * 20 * MIB), clock=clock, timeouts=timeouts)
        client = ClientSession("http", "a", timeouts=timeouts)
        far = server.buildProtocol(None)
        way = SlowWay(HTTP2Protocol(client, timeouts, clock, server=False), far, clock, 0.1, 100 * MIB)
        for _ in range(50):
            way.tick()
        client.setLocalWindowSize(3 * MIB)
        body = client.request().read()
        for _ in range(4000):
            way.tick()
        self.assertEqual(len(self.successResultOf(body)), 20 * MIB)
        self.assertLessEqual(client.state.localWindow, 3 * MIB)
