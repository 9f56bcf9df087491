"""
C{session.statistics} and C{stream.statistics}.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession
from txh2session.testing import connectedSessions


class StatisticsTests(SynchronousTestCase):
    """
    Counts and times of both ends.
    """

    def setUp(self) -> None:
        """
        Connect two sessions.
        """
        self.streams: list[Any] = []
        self.both = connectedSessions(lambda stream, headers: self.streams.append(stream))

    def test_stream(self) -> None:
        """
        Bytes, and times since the stream was opened, each as it happens.
        """
        both = self.both
        request = both.client.request({":method": "POST"})
        self.assertEqual(request.statistics, (0.0, 0, 0, None, None, None))
        both.pump()
        (stream,) = self.streams
        both.clock.advance(1)
        request.write(b"question")
        both.pump()
        both.clock.advance(1)
        stream.respond()
        both.pump()
        both.clock.advance(1)
        stream.write(b"answer")
        both.pump()
        self.assertEqual(request.statistics, (3.0, 6, 8, 2.0, 3.0, 1.0))
        self.assertEqual(stream.statistics, (3.0, 8, 6, 0.0, 1.0, 3.0))
        request.end()
        stream.end()
        stream.discard()
        both.pump()
        both.clock.advance(100)
        self.assertEqual(request.statistics.duration, 3.0)
        self.assertEqual(stream.statistics.duration, 3.0)

    def test_pending(self) -> None:
        """
        A request that waits has done nothing yet.
        """
        session = ClientSession("http", "a")
        stream = session.request({":method": "POST"})
        stream.write(b"kept")
        self.assertEqual(stream.statistics, (0.0, 0, 0, None, None, None))
        self.assertEqual(session.statistics.duration, 0.0)

    def test_early(self) -> None:
        """
        What was written before the request went out counts.
        """
        both = connectedSessions(lambda stream, headers: None, pump=False)
        stream = both.client.request({":method": "POST"})
        stream.write(b"early")
        both.pump()
        self.assertEqual(stream.statistics.bytesWritten, 5)

    def test_session(self) -> None:
        """
        What goes out on one side comes in on the other, and streams are counted.
        """
        both = self.both
        requests = [both.client.request() for _ in range(3)]
        both.pump()
        for number, stream in enumerate(self.streams):
            both.clock.advance(1)
            stream.end(b"x" * 100_000 * number)
            requests[number].discard()
            both.pump()
        both.client.ping()
        both.clock.advance(0.5)
        both.pump()
        near, far = both.client.statistics, both.serverSession.statistics
        for one, other in ((near, far), (far, near)):
            self.assertEqual(one.bytesRead, other.bytesWritten)
            self.assertEqual(one.framesReceived, other.framesSent)
            self.assertEqual((one.streamCount, one.maxConcurrentStreams), (3, 3))
            self.assertEqual(one.streamAverageDuration, 2.0)
            self.assertEqual(one.duration, 3.5)
        self.assertEqual(near.roundTripTime, 0.5)
        both.client.destroy()
        both.pump()
        both.clock.advance(100)
        self.assertEqual(both.client.statistics.duration, 3.5)
