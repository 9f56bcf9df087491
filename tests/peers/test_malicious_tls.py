"""
A client against servers that mean it harm, over TLS and real sockets: what L{tests.test_malicious} cannot show in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.peers.raw import RawCase
from txh2session import Ended, Keepalive, LimitExceeded, SessionTimeout, StreamTimeout, Timeouts


class MaliciousTests(RawCase):
    """
    In clear text, and over TLS below.
    """

    async def answering(self, **options: Any) -> tuple[Deferred[bytes], Any, Any]:
        """
        Have a request whose answer has begun and has no length.

        @return: its body, the session and the server.
        """
        session, peer = await self.pair(**options)
        peer.begin()
        stream = session.request()
        await self.within(10, peer.whenFrame("HEADERS 1"))
        peer.send(peer.response(1), peer.data(1, b"x"))
        await self.within(10, stream.whenResponse())
        return stream.read(), session, peer

    async def test_truncated(self) -> None:
        """
        A connection whose end comes in the middle of a body, without the word that TLS has for it, is an error.
        """
        body, _, peer = await self.answering()
        transport = peer.transport
        getattr(transport, "transport", transport).loseConnection()
        await self.within(10, self.assertFailure(body, Ended))

    async def test_closed(self) -> None:
        """
        One that is closed as it should be is an error too: HTTP/2 has END_STREAM.
        """
        body, _, peer = await self.answering()
        peer.transport.loseConnection()
        await self.within(10, self.assertFailure(body, Ended))

    async def test_cut(self) -> None:
        """
        So is one that is cut.
        """
        body, _, peer = await self.answering()
        peer.abort()
        await self.within(10, self.assertFailure(body, Ended))

    async def test_goAwayThenSilence(self) -> None:
        """
        A server that says GOAWAY, and nothing after that, is found out by keepalive.
        """
        timeouts = Timeouts(keepalive=Keepalive(0.3, timeout=0.3), linger=0.1)
        body, session, peer = await self.answering(timeouts=timeouts)
        peer.send(peer.goAway(1))
        await self.within(5, self.assertFailure(body, Ended))
        await self.within(5, self.assertFailure(session.whenClosed(), SessionTimeout))

    async def test_silence(self) -> None:
        """
        A request with a timeout ends within it, and the session lives.
        """
        body, session, _ = await self.answering(timeouts=Timeouts(request=0.5))
        error = await self.within(5, self.assertFailure(body, StreamTimeout))
        self.assertEqual(error.timeout, "request")
        self.assertFalse(session.destroyed)

    async def test_flood(self) -> None:
        """
        A flood of PINGs ends the session, and the connection.
        """
        body, session, peer = await self.answering(timeouts=Timeouts(linger=0.1))
        peer.sendBytes(peer.ping().serialize() * 50_000)
        error = await self.within(10, self.assertFailure(session.whenClosed(), LimitExceeded))
        self.assertEqual(error.limit, "controlFrames")
        await self.within(5, self.assertFailure(body, Ended))


class MaliciousOverTLSTests(MaliciousTests):
    """
    Over TLS.
    """

    encrypted = True
