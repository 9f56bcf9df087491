"""
L{txh2session.testing.FramePeer}: what it makes of what the other end sends.
"""

from __future__ import annotations

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
