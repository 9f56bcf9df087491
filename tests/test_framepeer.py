"""
L{txh2session.testing.FramePeer}: what it makes of what the other end sends.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import Server
from txh2session.testing import FramePeer


class FramePeerTests(SynchronousTestCase):
    """
    L{FramePeer} as a server's client.
    """

    def test_continuation(self) -> None:
        """
        A header block that takes several frames is decoded when it is whole, into the fields of the first.
        """
        noise = "".join(chr(33 + (position * 7919) % 90) for position in range(30_000))
        server = Server(lambda stream, headers: stream.respond({"a": noise}, endStream=True), clock=Clock())
        peer = FramePeer.toServer(server)
        peer.send(peer.get(1), peer.get(3))
        first, *rest = peer.take()
        self.assertEqual(dict(first.fields)["a"], noise)
        self.assertEqual({type(frame).__name__ for frame in rest}, {"ContinuationFrame", "HeadersFrame"})
        peer.send(peer.get(5))
        names = peer.names()
        self.assertEqual(names[0], "HEADERS 5 200 END_STREAM")
        self.assertEqual(set(names[1:]), {"CONTINUATION 5"})

    def test_whenFrame(self) -> None:
        """
        C{whenFrame} fires with a frame that is here or comes, tells whole words apart, and fails when none can come.
        """
        server = Server(lambda stream, headers: stream.respond(endStream=True), clock=Clock())
        peer = FramePeer.toServer(server)
        answers = peer.whenFrame("HEADERS 1 200")
        other = peer.whenFrame(lambda frame: frame.stream_id == 111)
        given_up = peer.whenFrame("PING")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        peer.send(peer.get(11))
        self.assertNoResult(answers)
        peer.send(peer.get(111))
        self.assertEqual(self.successResultOf(other).stream_id, 111)
        self.assertEqual(self.successResultOf(peer.whenFrame("HEADERS 111")).stream_id, 111)
        self.assertEqual(peer.names(), ["HEADERS 11 200 END_STREAM", "HEADERS 111 200 END_STREAM"])
        peer.abort()
        self.failureResultOf(answers, ConnectionLost)
        self.failureResultOf(peer.whenFrame("PING"), ConnectionLost)

    def test_whenFrameInSeveralParts(self) -> None:
        """
        A header block of several frames is waited for until it is whole, so that its fields are there.
        """
        noise = "".join(chr(33 + (position * 7919) % 90) for position in range(30_000))
        server = Server(lambda stream, headers: stream.respond({"a": noise}, endStream=True), clock=Clock())
        peer = FramePeer.toServer(server)
        answer = peer.whenFrame("HEADERS 1 200")
        peer.send(peer.get(1))
        self.assertEqual(dict(self.successResultOf(answer).fields)["a"], noise)
