"""
Budgets and deadlines through sockets and TLS: what is too much ends the connection, and says so to a peer that is still
sending; what is honest does not.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random
from time import monotonic
from typing import Any

from hyperframe.frame import ContinuationFrame, HeadersFrame, SettingsFrame
from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from tests.conformance.rows import application, raw
from tests.peers.programs import reactor
from tests.peers.raw import RawCase
from txh2session import (
    ErrorCode,
    HTTP2Error,
    LimitExceeded,
    Limits,
    Rate,
    Server,
    Session,
    SessionListener,
    Timeouts,
)
from txh2session._frames import PREFACE
from txh2session.testing import FramePeerProtocol, FrameSpeaker, describeFrame, requestFields

PATIENCE = 3
"""How many seconds a connection may live that is to end."""

WAIT = 20
"""How many seconds anything else may take, on a machine that others use."""


class Watcher(SessionListener):
    """
    Fires for the first budget that is used up, and for the end of the session.
    """

    def __init__(self) -> None:
        self.limits: list[str] = []
        self.reached: Deferred[str] = Deferred()
        self.gone: Deferred[Exception | None] = Deferred()

    def limitReached(self, session: Session, limit: str) -> None:
        """Fire."""
        self.limits.append(limit)
        if len(self.limits) == 1:
            self.reached.callback(limit)

    def sessionClosed(self, session: Session, error: Exception | None) -> None:
        """Fire."""
        if not self.gone.called:
            self.gone.callback(error)  # type: ignore[arg-type]


def rapidResets(peer: FrameSpeaker) -> bytes:
    """
    Make requests that are reset at once (CVE-2023-44487).
    """
    return b"".join(
        peer.get(number, "/hold").serialize() + peer.reset(number).serialize() for number in range(3, 4003, 2)
    )


def madeToReset(peer: FrameSpeaker) -> bytes:
    """
    Make requests that the other end has to reset (CVE-2025-8671).
    """
    return b"".join(
        peer.post(number, "/hold").serialize() + raw(8, number, bytes(4)).serialize() for number in range(3, 4003, 2)
    )


def malformed(peer: FrameSpeaker) -> bytes:
    """
    Make malformed requests.
    """
    return b"".join(peer.get(number, "nowhere").serialize() for number in range(3, 4003, 2))


def refused(peer: FrameSpeaker) -> bytes:
    """
    Make requests above the limit of streams.
    """
    return b"".join(peer.get(number, "/hold").serialize() for number in range(3, 2003, 2))


def continuations(peer: FrameSpeaker) -> bytes:
    """
    Make a header block without an end (CVE-2024-27316).
    """
    return HeadersFrame(1, b"\x82").serialize() + ContinuationFrame(1, b"").serialize() * 10_000


def longBlock(peer: FrameSpeaker) -> bytes:
    """
    Make a header block that is too long, in few frames.
    """
    return HeadersFrame(1, b"\x82").serialize() + ContinuationFrame(1, b"x" * 16_000).serialize() * 10


def bomb(peer: FrameSpeaker) -> bytes:
    """
    Make a small header block of a large list.
    """
    fields = requestFields() if peer.client else [(":status", "200")]
    block = peer.encoder.encode([*fields, *[("a", "b" * 4000)] * 200])
    return HeadersFrame(1, block, flags=["END_HEADERS"]).serialize()


FLOODS: dict[str, tuple[str, Callable[[FrameSpeaker], bytes]]] = {
    "PING": ("controlFrames", lambda peer: peer.ping().serialize() * 20_000),
    "PING ACK": ("controlFrames", lambda peer: peer.ping(ack=True).serialize() * 20_000),
    "SETTINGS": ("controlFrames", lambda peer: SettingsFrame(0).serialize() * 20_000),
    "SETTINGS ACK": ("controlFrames", lambda peer: SettingsFrame(0, flags=["ACK"]).serialize() * 20_000),
    "PRIORITY": ("controlFrames", lambda peer: peer.priority(1).serialize() * 20_000),
    "WINDOW_UPDATE": ("controlFrames", lambda peer: peer.window(0, 1).serialize() * 20_000),
    "unknown": ("controlFrames", lambda peer: peer.unknown().serialize() * 20_000),
    "ALTSVC": ("controlFrames", lambda peer: raw(0x0A, 0, b"\0\1ab").serialize() * 20_000),
    "settingsEntries": ("settingsEntries", lambda peer: raw(4, 0, b"\0\x99\0\0\0\0" * 33).serialize() * 100),
    "continuationFrames": ("continuationFrames", continuations),
    "headerBlockBytes": ("headerBlockBytes", longBlock),
    "maxHeaderListSize": ("maxHeaderListSize", bomb),
}
"""What a peer of either kind may not do too often: the budget it spends, and the flood, several times what is allowed."""

REQUESTS: dict[str, tuple[str, Callable[[FrameSpeaker], bytes]]] = {
    "rapid reset": ("resets", rapidResets),
    "made to reset": ("resets", madeToReset),
    "malformed": ("resets", malformed),
    "refused": ("refusedStreams", refused),
    "empty DATA": (
        "controlFrames",
        lambda peer: peer.post(1, "/hold").serialize() + peer.data(1).serialize() * 20_000,
    ),
}
"""What only a client can do."""


class Budgets:
    """
    Budgets with their defaults, against peers that go on sending.
    """

    async def calmed(self: Any, peer: FramePeerProtocol, budget: str, name: str) -> None:
        """
        Assert that a peer is told why, and sees the orderly end of the connection in time.
        """
        goAway = await self.within(WAIT, peer.whenFrame("GOAWAY"))
        began = monotonic()
        self.assertEqual(goAway.error_code, ErrorCode.ENHANCE_YOUR_CALM, name)
        self.assertIn(budget.encode(), goAway.additional_data, name)
        reason = await self.within(PATIENCE, peer.whenClosed())
        self.assertIsInstance(reason, ConnectionDone, name)
        self.assertLess(monotonic() - began, PATIENCE, name)
        self.assertEqual([describeFrame(each)[:6] for each in peer.frames].count("GOAWAY"), 1, name)

    async def test_server(self: Any) -> None:
        """
        A server ends the connections of clients that ask too much, and its listeners hear why.
        """
        for name, (budget, flood) in (FLOODS | REQUESTS).items():
            watcher = Watcher()
            port = await self.serve(Server(application, listener=watcher))
            peer = await self.peerOf(port, start=True)
            peer.sendBytes(flood(peer))
            await self.calmed(peer, budget, name)
            self.assertEqual(watcher.limits, [budget], name)
            error = await self.within(PATIENCE, watcher.gone)
            self.assertIsInstance(error, LimitExceeded, name)

    async def test_client(self: Any) -> None:
        """
        A client ends the connections of servers that ask too much; its requests and its listeners hear why.
        """
        for name, (budget, flood) in FLOODS.items():
            watcher = Watcher()
            session, peer = await self.pair(listener=watcher)
            peer.begin()
            answer = session.request().whenResponse()
            await self.within(WAIT, peer.whenFrame("HEADERS 1"))
            peer.sendBytes(flood(peer))
            await self.assertFailure(answer, HTTP2Error)
            await self.calmed(peer, budget, name)
            self.assertEqual(watcher.limits, [budget], name)
            error = await self.within(PATIENCE, watcher.gone)
            self.assertIsInstance(error, LimitExceeded, name)

    async def test_deafPeer(self: Any) -> None:
        """
        Replies to a peer that does not read are bounded; its connection ends in time although it never hears why.
        """
        watcher = Watcher()
        server = Server(
            application, listener=watcher, limits=Limits(controlFrames=Rate(10_000_000, 0), repliesOwed=5000)
        )
        port = await self.serve(server, sendBuffer=4096)
        peer = await self.peerOf(port, start=True)
        await self.within(WAIT, peer.whenFrame("SETTINGS"))
        await deferLater(reactor, 0)
        self.socketOf(peer).setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.transport.pauseProducing()
        peer.sendBytes(peer.ping().serialize() * 200_000)
        self.assertEqual(await self.within(WAIT, watcher.reached), "repliesOwed")
        error = await self.within(PATIENCE, watcher.gone)
        self.assertIsInstance(error, LimitExceeded)
        self.assertEqual(list(server.sessions), [])

    async def test_clientThatNeverCloses(self: Any) -> None:
        """
        A peer that goes on sending after its GOAWAY, and keeps its end open, is cut off in time.
        """
        watcher = Watcher()
        port = await self.serve(Server(application, listener=watcher))
        peer = await self.peerOf(port, start=True)
        await self.within(WAIT, peer.whenFrame("SETTINGS"))
        await deferLater(reactor, 0)  # TLS is not paused while it gives out what it has read
        peer.transport.pauseProducing()
        peer.sendBytes(peer.ping().serialize() * 2000)
        await self.within(WAIT, watcher.reached)
        began = monotonic()
        peer.sendBytes(peer.ping().serialize() * 2000)
        await self.within(PATIENCE, watcher.gone)
        self.assertLess(monotonic() - began, PATIENCE)


class Deadlines:
    """
    Deadlines, shortened: what a peer is told that lets one pass.
    """

    async def after(self: Any, timeouts: Timeouts, said: Callable[[FrameSpeaker], bytes], expected: str) -> None:
        """
        Assert what a client gets that says something and then nothing more.
        """
        port = await self.serve(Server(application, timeouts=timeouts))
        peer = await self.peerOf(port)
        peer.sendBytes(said(peer))
        try:
            await self.within(WAIT, peer.whenFrame(expected))
        except (TimeoutError, ConnectionDone):
            self.fail(f"{expected} did not come, but {peer.names()}")
        if expected.startswith("GOAWAY"):
            self.assertIsInstance(await self.within(PATIENCE, peer.whenClosed()), ConnectionDone)

    async def test_server(self: Any) -> None:
        """
        Header blocks, acknowledgements, idle connections, downloads and uploads.
        """
        hello = PREFACE + SettingsFrame(0).serialize()
        greeted = hello + SettingsFrame(0, flags=["ACK"]).serialize()
        for timeouts, said, expected in (
            (
                Timeouts(headers=0.1),
                lambda peer: greeted + HeadersFrame(1, b"\x82").serialize(),
                "GOAWAY 0 ENHANCE_YOUR_CALM",
            ),
            (Timeouts(settingsAck=0.1), lambda peer: hello, "GOAWAY 0 SETTINGS_TIMEOUT"),
            (Timeouts(idle=0.1), lambda peer: greeted, "GOAWAY 0 NO_ERROR"),
            (
                Timeouts(stalled=0.1),
                lambda peer: greeted + peer.get(1, "/download").serialize(),
                "RST_STREAM 1 CANCEL",
            ),
            (
                Timeouts(unread=0.1),
                lambda peer: greeted + peer.post(1, "/answer").serialize(),
                "RST_STREAM 1 NO_ERROR",
            ),
            (Timeouts(upload=0.1), lambda peer: greeted + peer.post(1, "/read").serialize(), "RST_STREAM 1 CANCEL"),
        ):
            await self.after(timeouts, said, expected)

    async def test_preface(self: Any) -> None:
        """
        A client that says nothing, or no more than half a preface, and over TLS one that never shakes hands.
        """
        for said in (b"", PREFACE[:10], PREFACE):
            port = await self.serve(Server(application, timeouts=Timeouts(preface=0.1)))
            peer = await self.peerOf(port)
            peer.sendBytes(said)
            await self.within(PATIENCE, peer.whenClosed())
        if self.encrypted:
            port = await self.serve(Server(application, timeouts=Timeouts(handshake=0.1)))
            silent = await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(Factory.forProtocol(_Silent))
            await self.within(PATIENCE, silent.gone)


class _Silent(Protocol):
    def __init__(self) -> None:
        self.gone: Deferred[None] = Deferred()

    def connectionLost(self, reason: Any = None) -> None:
        self.gone.callback(None)


class Honest:
    """
    Peers that ask much and mean no harm.

    @cvar requests: how many of them one makes.
    """

    requests = 10_000

    async def test_cancels(self: Any) -> None:
        """
        Every fifth of very many requests is cancelled at any moment, all the others are answered in full.
        """
        chance = Random(9113)
        port = await self.serve(Server(application))
        session = await self.connect(port)
        whole: set[int] = set()
        cancelled: set[int] = set()

        async def ask(number: int) -> None:
            stream = session.request({":path": "/download" if number % 50 < 2 else "/answer"})
            moment = chance.choice(("at once", "soon", "at the answer")) if number % 5 == 0 else ""
            try:
                if moment == "at once":
                    stream.close(ErrorCode.CANCEL)
                elif moment == "soon":
                    reactor.callLater(0, stream.close, ErrorCode.CANCEL)
                await stream.whenResponse()
                if moment:
                    stream.close(ErrorCode.CANCEL)
                await stream.read()
            except HTTP2Error:
                cancelled.add(number)
            else:
                whole.add(number)

        for start in range(0, self.requests, 250):
            await gatherResults([Deferred.fromCoroutine(ask(number)) for number in range(start, start + 250)])
        self.assertFalse(session.destroyed)
        self.assertEqual({number for number in cancelled if number % 5}, set(), "not cancelled, but not answered")
        self.assertEqual(len(whole) + len(cancelled), self.requests)
        self.assertGreater(len(cancelled), self.requests // 10)

    async def test_thousandAtOnce(self: Any) -> None:
        """
        A thousand requests at once wait in the client for their turn, and all are answered.
        """
        port = await self.serve(Server(application))
        session = await self.connect(port)
        streams = [session.request({":path": "/answer"}) for _ in range(1000)]
        answers = await self.within(WAIT, gatherResults([stream.whenResponse() for stream in streams]))
        self.assertEqual([answer.status for answer in answers], [200] * 1000)
        self.assertLessEqual(session.statistics.maxConcurrentStreams, 100)

    async def test_beforeSettings(self: Any) -> None:
        """
        A client that sends 200 requests before it has read the server's SETTINGS has each of them answered, or refused so
        that it may ask again; the connection lives.
        """
        port = await self.serve(Server(application))
        for path, refusals in (("/answer", 0), ("/hold", 100)):
            peer = await self.peerOf(port)
            numbers = range(1, 401, 2)
            peer.sendBytes(
                PREFACE
                + SettingsFrame(0).serialize()
                + b"".join(peer.get(number, path).serialize() for number in numbers)
                + peer.ping(b"all sent").serialize()
            )
            await self.within(WAIT, peer.whenFrame("PING ACK"))
            came = [describeFrame(frame) for frame in peer.frames]
            self.assertEqual(sum(each.endswith("REFUSED_STREAM") for each in came), refusals)
            self.assertEqual(sum(each.startswith("HEADERS") for each in came), 200 if path == "/answer" else 0)
            peer.send(*(peer.reset(number) for number in range(1, 41, 2)), peer.get(401, "/answer"))
            await self.within(WAIT, peer.whenFrame("HEADERS 401 200"))


class InClearTests(Budgets, RawCase):
    """
    Budgets over TCP.
    """


class OverTLSTests(Budgets, RawCase):
    """
    Budgets over TLS.
    """

    encrypted = True


class DeadlinesInClearTests(Deadlines, RawCase):
    """
    Deadlines over TCP.
    """


class DeadlinesOverTLSTests(Deadlines, RawCase):
    """
    Deadlines over TLS.
    """

    encrypted = True


class HonestInClearTests(Honest, RawCase):
    """
    Honest peers over TCP.
    """


class HonestOverTLSTests(Honest, RawCase):
    """
    Honest peers over TLS.
    """

    encrypted = True
    requests = 2500
