"""
L{SessionPool}: who connects when, who waits, what is sent again and what never.
"""

from __future__ import annotations

import gc
from typing import Any

from hyperframe.frame import HeadersFrame, SettingsFrame
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IHostnameResolver, IReactorPluggableNameResolver, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.protocols import tls
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txh2session.pool._keeper
from tests.farm import Farm, HeldEndpoint, HeldEndpoints
from tests.fixtures import Recorder
from tests.test_protocol import makeCertificate
from txh2session import (
    ClientSession,
    ConnectFailed,
    ErrorCode,
    FrameLog,
    InvalidHeader,
    InvalidSetting,
    InvalidURL,
    Keepalive,
    Limits,
    Options,
    Server,
    SessionError,
    SessionPool,
    Settings,
    StreamAborted,
    StreamError,
    StreamRefused,
    StreamTimeout,
    Timeouts,
    clientContextFactory,
    serverContextFactory,
)
from txh2session.testing import FramePeer

URL = "http://example.com/"
ORIGIN = "http://example.com"


class PoolCase(SynchronousTestCase):
    """
    Has a pool whose connections a test makes.
    """

    def setUp(self) -> None:
        """
        Make the clock.
        """
        self.clock = Clock()
        self.endpoints = HeldEndpoints()

    def pool(self, **options: Any) -> SessionPool:
        """
        Make a pool, which has to leave nothing behind.
        """
        options.setdefault("endpointFor", self.endpoints)
        pool = SessionPool(self.clock, **options)
        self.addCleanup(self.end, pool)
        return pool

    def end(self, pool: SessionPool) -> None:
        """
        Close a pool and see that no call is left.
        """
        closed = pool.close(grace=0)
        gc.collect()  # so that an error that nobody took is found here
        for _ in range(3):
            self.clock.advance(20)
            for peer in self.peers:
                peer.take()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(pool.state, {})

    peers: tuple[FramePeer, ...] = ()

    def connect(self, number: int = -1, **settings: int) -> FramePeer:
        """
        Let a connect succeed.
        """
        peer = self.endpoints.made[number].connected(**settings)
        self.peers = (*self.peers, peer)
        return peer

    def ask(self, pool: SessionPool, number: int, path: str = "/") -> list[Deferred[Any]]:
        """
        Make requests, with their number as path.
        """
        made = [pool.request(URL, {":path": f"/{each}"}) for each in range(number)]
        for each in made:
            each.addErrback(lambda failure: failure)
        return made

    def paths(self, peer: FramePeer) -> dict[str, int]:
        """
        Take the requests that came.

        @return: their streams by their paths.
        """
        return {dict(frame.fields)[":path"]: frame.stream_id for frame in peer.take(HeadersFrame)}

    def answer(self, peer: FramePeer, *streams: int) -> None:
        """
        Answer requests.
        """
        for stream in streams:
            peer.send(peer.response(stream, end=True))

    def assertAnswered(self, *waiting: Deferred[Any]) -> None:
        """
        Check that requests have been answered with 200.
        """
        self.assertEqual([self.successResultOf(each).headers.status for each in waiting], [200] * len(waiting))


class ConnectingTests(PoolCase):
    """
    Connections, and the failures of connections.
    """

    def test_oneConnect(self) -> None:
        """
        However many ask at once, one connection is made, and their requests go out on it in order.
        """
        pool = self.pool()
        waiting = self.ask(pool, 10)
        self.assertEqual(len(self.endpoints.made), 1)
        self.assertEqual((self.endpoints.made[0].host, self.endpoints.made[0].port), ("example.com", 80))
        self.assertEqual(pool.state[ORIGIN], (0, 0, True, 0, 0, 10))
        peer = self.connect()
        paths = self.paths(peer)
        self.assertEqual(list(paths), [f"/{each}" for each in range(10)])
        self.assertEqual(pool.state[ORIGIN], (1, 0, False, 10, 2**32 - 1 - 10, 0))
        self.answer(peer, *paths.values())
        self.assertAnswered(*waiting)
        self.assertEqual(pool.state[ORIGIN].streams, 0)
        self.ask(pool, 1)
        self.assertEqual(len(self.endpoints.made), 1)
        self.answer(peer, *self.paths(peer).values())

    def test_origins(self) -> None:
        """
        Scheme, host and port make an origin; its spelling and the path do not.
        """
        pool = self.pool()
        urls = ("http://a", "http://A:80/x", "http://a:81", "http://b", "http://[::1]:8080", b"http://b/y")
        waiting = [pool.request(url) for url in urls]
        self.assertEqual(
            [(each.host, each.port) for each in self.endpoints.made], [("a", 80), ("a", 81), ("b", 80), ("::1", 8080)]
        )
        self.assertEqual(list(pool.state), ["http://a", "http://a:81", "http://b", "http://[::1]:8080"])
        for each in waiting:
            each.cancel()
            self.failureResultOf(each, CancelledError)

    def test_serverThatServesNobody(self) -> None:
        """
        A server that takes connections, lets no request in and leaves is asked no more often than a request may be refused;
        then who waits is told that nothing was done.  One that served somebody in between is asked on.
        """
        pool = self.pool(retries=2)
        (first,) = self.ask(pool, 1)
        for number in range(2):
            self.connect(number, MAX_CONCURRENT_STREAMS=0).send(FramePeer.goAway(0))
        peer = self.connect(2)
        self.answer(peer, *self.paths(peer).values())
        self.assertAnswered(first)
        peer.send(peer.goAway(1))
        (second,) = self.ask(pool, 1)
        for number in range(3, 6):
            self.assertNoResult(second)
            self.connect(number, MAX_CONCURRENT_STREAMS=0).send(FramePeer.goAway(0))
        self.assertIs(self.failureResultOf(second, StreamRefused).value.processed, False)
        self.assertEqual(len(self.endpoints.made), 7)  # one more was begun while the last was there, and had no room
        self.assertTrue(self.endpoints.made[-1].cancelled)

    def test_connectFails(self) -> None:
        """
        A connection that fails fails all who waited, and the next request tries again.
        """
        pool = self.pool()
        for cause, stage in ((ConnectionRefusedError("no"), "tcp"), (DNSLookupError("no name"), "dns")):
            waiting = self.ask(pool, 10)
            self.endpoints.made[-1].waiting.errback(cause)
            for each in waiting:
                error = self.failureResultOf(each, ConnectFailed).value
                self.assertEqual((error.stage, error.reason, error.processed), (stage, cause, False))
            self.assertEqual(pool.state, {})
        self.assertEqual(len(self.endpoints.made), 2)
        waiting = self.ask(pool, 1)
        peer = self.connect()
        self.answer(peer, 1)
        self.assertAnswered(*waiting)

    def test_askAgainInErrback(self) -> None:
        """
        Who asks again as soon as the connection has failed gets a new one; by then nothing is left of the first.
        """
        pool = self.pool()
        states: list[Any] = []
        again: list[Deferred[Any]] = []

        def failed(failure: Any) -> None:
            states.append(pool.state)
            again.extend(self.ask(pool, 1))

        for _ in range(2):
            pool.request(URL).addErrback(failed)
        self.endpoints.made[0].waiting.errback(ConnectionRefusedError("no"))
        self.assertEqual(states, [{}, {ORIGIN: (0, 0, True, 0, 0, 1)}])
        self.assertEqual(len(self.endpoints.made), 2)
        self.answer(self.connect(), 1, 3)
        self.assertAnswered(*again)

    def test_failsAtOnce(self) -> None:
        """
        An endpoint that fails at the call, or cannot be made, fails the request; nothing stays behind.
        """

        class Failing(HeldEndpoint):
            def connect(self, factory: Any) -> Deferred[Any]:
                self.waiting.errback(ConnectionRefusedError("no"))
                return self.waiting

        pool = self.pool(endpointFor=Failing)
        self.failureResultOf(pool.request(URL), ConnectFailed)
        self.assertEqual(pool.state, {})

        def cannot(host: str, port: int) -> Any:
            raise LookupError(host)

        pool = self.pool(endpointFor=cannot)
        self.failureResultOf(pool.request(URL), LookupError)
        self.assertEqual(pool.state, {})

    def test_connectTimeout(self) -> None:
        """
        A connection that is not there in time fails all who waited.
        """
        pool = self.pool(timeouts=Timeouts(connect=5))
        waiting = self.ask(pool, 3)
        self.clock.advance(5)
        for each in waiting:
            self.assertEqual(self.failureResultOf(each, ConnectFailed).value.stage, "tcp")

    def test_silentServer(self) -> None:
        """
        A server that connects and sends no SETTINGS has sent nothing to anybody, and all who waited fail.
        """
        pool = self.pool(timeouts=Timeouts(connect=5))
        waiting = self.ask(pool, 3)
        endpoint = self.endpoints.made[0]
        peer = FramePeer(endpoint.factory.buildProtocol(None), client=False)
        endpoint.waiting.callback(None)
        self.clock.advance(5)
        peer.take()
        self.assertEqual(peer.take(HeadersFrame), [])
        for each in waiting:
            self.assertEqual(self.failureResultOf(each, ConnectFailed).value.stage, "h2")

    def test_cancelOneWhileConnecting(self) -> None:
        """
        Who is cancelled while others wait for the same connection is not sent, and the others are.
        """
        pool = self.pool()
        waiting = self.ask(pool, 3)
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.assertFalse(self.endpoints.made[0].cancelled)
        peer = self.connect()
        self.assertEqual(list(self.paths(peer)), ["/0", "/2"])
        self.answer(peer, 1, 3)
        self.assertAnswered(waiting[0], waiting[2])

    def test_cancelAllWhileConnecting(self) -> None:
        """
        When nobody waits any more the attempt is given up.
        """
        pool = self.pool()
        for each in self.ask(pool, 3):
            self.assertFalse(self.endpoints.made[0].cancelled)
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertTrue(self.endpoints.made[0].cancelled)
        self.assertEqual(pool.state, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_cannotBeSent(self) -> None:
        """
        A request that its session will not send fails, and costs nobody else anything.
        """
        pool = self.pool()
        waiting = self.ask(pool, 1)
        peer = self.connect()
        send = ClientSession.request

        def choosy(session: ClientSession, headers: Any, **named: Any) -> Any:
            if headers.path == "/bad":
                raise InvalidHeader("not that")
            return send(session, headers, **named)

        self.patch(ClientSession, "request", choosy)
        self.failureResultOf(pool.request(URL, {":path": "/bad"}), InvalidHeader)
        waiting += self.ask(pool, 1)
        self.answer(peer, 1, 3)
        self.assertAnswered(*waiting)

    def test_passedOn(self) -> None:
        """
        Sessions get what the pool was given for them: settings, limits, listener, options and frame log.
        """
        lines: list[str] = []
        told: list[Any] = []
        pool = self.pool(
            settings=Settings(maxHeaderListSize=5000),
            limits=Limits(connectionWindow=2_000_000),
            listener=Recorder(told),
            options=Options(strictSingleValues=False),
            frameLog=FrameLog(lines.append),
        )
        waiting = pool.request(URL, [("content-type", "a"), ("content-type", "b")])
        peer = self.connect()
        frames = peer.take()
        settings, window = frames[:2]
        (headers,) = (frame for frame in frames if isinstance(frame, HeadersFrame))
        self.assertEqual(settings.settings[SettingsFrame.MAX_HEADER_LIST_SIZE], 5000)
        self.assertEqual(window.window_increment, 2_000_000 - 65_535)
        self.assertEqual([value for name, value in headers.fields if name == "content-type"], ["a", "b"])
        self.assertIn("connected", told)
        self.assertTrue(any("HEADERS" in line for line in lines))
        self.answer(peer, 1)
        self.assertAnswered(waiting)

    def test_misuse(self) -> None:
        """
        A URL that cannot be read, bad headers and options out of range raise at the call.
        """
        pool = self.pool()
        for url in ("ftp://a", "", "http://", "http://a:x"):
            self.assertRaises(InvalidURL, pool.request, url)
        self.assertRaises(InvalidHeader, pool.request, URL, {"connection": "close"})
        self.assertRaises(InvalidHeader, pool.request, URL, {":path": ""})
        self.assertRaises(InvalidSetting, pool.close, -1)
        for options in ({"maxSessions": 0}, {"maxSessionsPerOrigin": 0}, {"retries": -1}, {"retries": True}):
            self.assertRaises(ValueError, SessionPool, self.clock, **options)
        self.assertRaises(TypeError, SessionPool, self.clock, coalesce=True)
        self.assertRaises(ValueError, SessionPool, self.clock, settings=Settings(enablePush=True))
        self.assertEqual(repr(pool), "<SessionPool of 0 sessions with 0 origins>")
        self.assertEqual(self.endpoints.made, [])


class FullTests(PoolCase):
    """
    Streams are limited.
    """

    def test_second(self) -> None:
        """
        When the first session is full a second is connected; when both are, requests wait for the first free stream, oldest
        first.
        """
        pool = self.pool()
        waiting = self.ask(pool, 6)
        first = self.connect(MAX_CONCURRENT_STREAMS=2)
        self.assertEqual(len(self.endpoints.made), 2)
        second = self.connect(MAX_CONCURRENT_STREAMS=2)
        self.assertEqual(len(self.endpoints.made), 2)
        self.assertEqual(pool.state[ORIGIN], (2, 0, False, 4, 0, 2))
        self.assertEqual(list(self.paths(first)), ["/0", "/1"])
        self.assertEqual(list(self.paths(second)), ["/2", "/3"])
        self.answer(second, 1)
        self.assertEqual(self.paths(second), {"/4": 5})
        self.answer(first, 3)
        self.assertEqual(self.paths(first), {"/5": 5})
        self.answer(first, 1, 5)
        self.answer(second, 3, 5)
        self.assertAnswered(*waiting)

    def test_noMoreThanAllowed(self) -> None:
        """
        C{maxSessionsPerOrigin=1} never connects a second.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 5)
        peer = self.connect(MAX_CONCURRENT_STREAMS=1)
        for number in range(5):
            self.assertEqual(self.paths(peer), {f"/{number}": 2 * number + 1})
            self.answer(peer, 2 * number + 1)
        self.assertAnswered(*waiting)
        self.assertEqual(len(self.endpoints.made), 1)

    def test_secondFails(self) -> None:
        """
        When the second cannot be connected those who wait wait for the first; another is tried a second later.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        peer = self.connect(MAX_CONCURRENT_STREAMS=1)
        self.endpoints.made[1].waiting.errback(ConnectionRefusedError("no"))
        self.assertNoResult(waiting[1])
        waiting += self.ask(pool, 1)
        self.assertEqual(len(self.endpoints.made), 2)
        self.clock.advance(1)
        waiting += self.ask(pool, 1)
        self.assertEqual(len(self.endpoints.made), 3)
        for stream in (1, 3, 5, 7):
            self.answer(peer, stream)
        self.assertAnswered(*waiting)

    def test_secondNotNeeded(self) -> None:
        """
        A second that is not needed any more is given up when those who waited for it are cancelled.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        peer = self.connect(MAX_CONCURRENT_STREAMS=1)
        waiting[1].cancel()
        self.failureResultOf(waiting[1], CancelledError)
        self.assertTrue(self.endpoints.made[1].cancelled)
        self.answer(peer, 1)
        self.assertAnswered(waiting[0])

    def test_limitLowered(self) -> None:
        """
        A limit that is lowered below what is in flight delays new requests only; a raised one lets them go.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 4)
        peer = self.connect(MAX_CONCURRENT_STREAMS=3)
        peer.settings(MAX_CONCURRENT_STREAMS=1)
        self.assertEqual(pool.state[ORIGIN], (1, 0, False, 3, 0, 1))
        self.assertEqual(len(self.paths(peer)), 3)
        self.answer(peer, 1, 3)
        self.assertEqual(self.paths(peer), {})
        self.answer(peer, 5)
        self.assertEqual(self.paths(peer), {"/3": 7})
        waiting += self.ask(pool, 2)
        peer.settings(MAX_CONCURRENT_STREAMS=2)
        self.assertEqual(self.paths(peer), {"/0": 9})
        peer.settings(MAX_CONCURRENT_STREAMS=50)
        self.assertEqual(self.paths(peer), {"/1": 11})
        self.answer(peer, 7, 9, 11)
        self.assertAnswered(*waiting)

    def test_thousandCancelled(self) -> None:
        """
        A thousand requests are cancelled, those in flight and those that wait; a hundred more go at once.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 1000)
        peer = self.connect(MAX_CONCURRENT_STREAMS=100)
        self.assertEqual(len(self.paths(peer)), 100)
        for each in reversed(waiting):
            each.cancel()
            self.failureResultOf(each, CancelledError)
        self.assertEqual(pool.state[ORIGIN], (1, 0, False, 0, 100, 0))
        self.assertEqual(len(self.paths(peer)), 0)
        waiting = self.ask(pool, 100)
        paths = self.paths(peer)
        self.assertEqual(len(paths), 100)
        self.answer(peer, *paths.values())
        self.assertAnswered(*waiting)

    def test_cancelledMakeRoom(self) -> None:
        """
        Cancelling a request resets its stream with CANCEL, no other, and lets who waits go.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 3)
        peer = self.connect(MAX_CONCURRENT_STREAMS=2)
        peer.take()
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        self.assertEqual(peer.names(), ["RST_STREAM 1 CANCEL", "HEADERS 5 END_STREAM"])
        self.answer(peer, 3, 5)
        self.assertAnswered(*waiting[1:])

    def test_maxSessions(self) -> None:
        """
        At C{maxSessions} the session that has been idle longest makes room; with none idle, who needs one waits.
        """
        pool = self.pool(maxSessions=2)
        one, two, three = (pool.request(f"http://{host}") for host in "abc")
        self.assertEqual([each.host for each in self.endpoints.made], ["a", "b"])
        peers = [self.connect(0), self.connect(1)]
        self.assertEqual(len(self.endpoints.made), 2)
        self.answer(peers[1], 1)
        self.assertAnswered(two)
        self.assertEqual([each.host for each in self.endpoints.made], ["a", "b", "c"])
        peers[1].take()
        self.assertTrue(peers[1].lost)
        self.answer(peers[0], 1)
        peers.append(self.connect(2))
        self.answer(peers[2], 1)
        self.assertAnswered(one, three)
        self.clock.advance(1)
        late = pool.request("http://a")
        self.answer(peers[0], 3)
        four = pool.request("http://d")
        self.assertEqual(self.endpoints.made[-1].host, "d")
        peers[2].take()
        self.assertTrue(peers[2].lost)
        self.assertFalse(peers[0].lost)
        self.answer(self.connect(3), 1)
        self.assertAnswered(late, four)
        self.assertEqual(sorted(pool.state), ["http://a", "http://d"])

    def test_maxSessionsInTurn(self) -> None:
        """
        Of those who wait for room the first gets it first.
        """
        pool = self.pool(maxSessions=1)
        waiting = [pool.request(f"http://{host}") for host in "abc"]
        for number in range(3):
            self.assertEqual([each.host for each in self.endpoints.made], list("abc"[: number + 1]))
            self.answer(self.connect(), 1)
        self.assertAnswered(*waiting)

    def test_maxSessionsWaitingCancelled(self) -> None:
        """
        Who waits for room and is cancelled does not connect when there is room.
        """
        pool = self.pool(maxSessions=1)
        one, two = pool.request("http://a"), pool.request("http://b")
        peer = self.connect(0)
        two.cancel()
        self.failureResultOf(two, CancelledError)
        self.answer(peer, 1)
        self.assertAnswered(one)
        self.assertEqual(len(self.endpoints.made), 1)

    def test_maxSessionsCancelledInErrback(self) -> None:
        """
        One who waits for room and cannot connect may, when told so, cancel another who waits.
        """

        def endpointFor(host: str, port: int) -> IStreamClientEndpoint:
            if host == "b":
                raise OSError("no way to b")
            return self.endpoints(host, port)

        pool = self.pool(maxSessions=1, endpointFor=endpointFor)
        one, two, three = (pool.request(f"http://{host}") for host in "abc")
        two.addErrback(lambda failure: (three.cancel(), failure)[1])
        self.answer(self.connect(), 1)
        self.assertAnswered(one)
        self.failureResultOf(two, OSError)
        self.failureResultOf(three, CancelledError)
        self.assertEqual([each.host for each in self.endpoints.made], ["a"])

    def test_idle(self) -> None:
        """
        A session without a request is closed after C{Timeouts.idle}, and a request at that moment goes to a new one.
        """
        pool = self.pool(timeouts=Timeouts(idle=30))
        waiting = self.ask(pool, 1)
        peer = self.connect()
        self.clock.advance(40)
        self.assertNotIn("GOAWAY 0 NO_ERROR", peer.names())
        self.answer(peer, 1)
        self.clock.advance(29)
        self.clock.advance(1)
        waiting += self.ask(pool, 1)
        self.assertEqual(len(self.endpoints.made), 2)
        self.assertEqual(peer.names()[-1], "GOAWAY 0 NO_ERROR")
        self.answer(self.connect(), 1)
        self.assertAnswered(*waiting)
        self.clock.advance(30)
        for each in self.peers:
            each.take()
        self.assertEqual(pool.state, {})
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_idleByDefault(self) -> None:
        """
        It is 90 seconds unless something else is asked for.
        """
        pool = self.pool()
        waiting = self.ask(pool, 1)
        peer = self.connect()
        self.answer(peer, 1)
        self.assertAnswered(*waiting)
        self.clock.advance(89)
        self.assertNotIn("GOAWAY 0 NO_ERROR", peer.names())
        self.clock.advance(1)
        self.assertIn("GOAWAY 0 NO_ERROR", peer.names())


class AgainTests(PoolCase):
    """
    What is sent again.
    """

    def test_goAway(self) -> None:
        """
        Requests above the last id of a GOAWAY are sent again on a fresh session, in their order; those at and below it
        finish where they are.
        """
        pool = self.pool()
        waiting = self.ask(pool, 5)
        peer = self.connect()
        peer.send(peer.goAway(5))
        self.assertEqual(len(self.endpoints.made), 2)
        self.assertEqual(pool.state[ORIGIN], (0, 0, True, 0, 0, 2))
        fresh = self.connect()
        self.assertEqual(self.paths(fresh), {"/3": 1, "/4": 3})
        self.answer(peer, 1, 3, 5)
        self.answer(fresh, 1, 3)
        self.assertAnswered(*waiting)
        peer.take()
        self.assertTrue(peer.lost)

    def test_goAwayBeforeNewOnes(self) -> None:
        """
        What has to go again goes before what came later.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 4)
        peer = self.connect(MAX_CONCURRENT_STREAMS=2)
        peer.send(peer.goAway(0))
        fresh = self.connect(MAX_CONCURRENT_STREAMS=2)
        self.assertEqual(self.paths(fresh), {"/0": 1, "/1": 3})
        self.answer(fresh, 1, 3)
        self.assertEqual(self.paths(fresh), {"/2": 5, "/3": 7})
        self.answer(fresh, 5, 7)
        self.assertAnswered(*waiting)

    def test_goAwayTwoSteps(self) -> None:
        """
        A GOAWAY that excludes nothing takes the session out of the pool; the second names what goes again.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        peer = self.connect()
        peer.send(peer.goAway(2**31 - 1))
        waiting += [pool.request(URL, {":path": "/late"})]
        fresh = self.connect()
        self.assertEqual(self.paths(fresh), {"/late": 1})
        peer.send(peer.goAway(1))
        self.assertEqual(self.paths(fresh), {"/1": 3})
        self.answer(peer, 1)
        self.answer(fresh, 1, 3)
        self.assertAnswered(*waiting)

    def test_goAwayWithError(self) -> None:
        """
        After a GOAWAY with a code what may have been worked on fails, and only what surely was not goes again.
        """
        pool = self.pool()
        waiting = self.ask(pool, 3)
        peer = self.connect()
        peer.send(peer.goAway(3, ErrorCode.INTERNAL_ERROR, b"oh"))
        fresh = self.connect()
        self.assertEqual(self.paths(fresh), {"/2": 1})
        self.answer(fresh, 1)
        for each in waiting[:2]:
            error = self.failureResultOf(each, SessionError).value
            self.assertEqual((error.processed, error.debugData), (None, b"oh"))
        self.assertAnswered(waiting[2])

    def test_lost(self) -> None:
        """
        A connection that breaks fails what was sent, which nobody can know about; it is not sent again.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 3)
        peer = self.connect(MAX_CONCURRENT_STREAMS=2)
        peer.abort()
        for each in waiting[:2]:
            self.assertIsNone(self.failureResultOf(each, SessionError).value.processed)
        self.assertEqual(len(self.endpoints.made), 2)
        self.answer(self.connect(), 1)
        self.assertAnswered(waiting[2])

    def test_refused(self) -> None:
        """
        A request that is refused goes again, on another session.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        peer = self.connect()
        peer.send(peer.reset(1, ErrorCode.REFUSED_STREAM))
        fresh = self.connect()
        self.assertEqual(self.paths(fresh), {"/0": 1})
        self.answer(fresh, 1)
        self.answer(peer, 3)
        self.assertAnswered(*waiting)
        self.assertEqual(pool.state[ORIGIN].sessions, 2)

    def test_refusedByAll(self) -> None:
        """
        When all sessions there may be have refused a request, the last makes room for a fresh one; after C{retries} it
        fails.
        """
        pool = self.pool(maxSessionsPerOrigin=1, retries=2)
        (waiting,) = self.ask(pool, 1)
        for number in range(3):
            self.assertEqual(len(self.endpoints.made), number + 1)
            peer = self.connect()
            self.assertNoResult(waiting)
            peer.send(peer.reset(1, ErrorCode.REFUSED_STREAM))
        error = self.failureResultOf(waiting, StreamRefused).value
        self.assertEqual((error.processed, error.code), (False, ErrorCode.REFUSED_STREAM))
        self.assertEqual(len(self.endpoints.made), 3)

    def test_refusedAndNoOther(self) -> None:
        """
        A request that was refused, and for which no other session can be connected, fails with that; others go on.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        peer = self.connect()
        peer.send(peer.reset(1, ErrorCode.REFUSED_STREAM))
        self.endpoints.made[1].waiting.errback(ConnectionRefusedError("no"))
        self.assertEqual(self.failureResultOf(waiting[0], ConnectFailed).value.stage, "tcp")
        self.answer(peer, 3)
        self.assertAnswered(waiting[1])

    def test_noRetries(self) -> None:
        """
        C{retries=0} sends nothing again.
        """
        pool = self.pool(retries=0)
        (waiting,) = self.ask(pool, 1)
        peer = self.connect()
        peer.send(peer.goAway(0))
        self.assertEqual(self.failureResultOf(waiting, StreamRefused).value.lastStreamID, 0)
        self.assertEqual(len(self.endpoints.made), 1)

    def test_leavesWithProgress(self) -> None:
        """
        A server that works on one request of each session loses none, however often that is; one that works on none is
        given up after C{retries}.
        """
        pool = self.pool(retries=1)
        waiting = self.ask(pool, 10)
        for number in range(10):
            peer = self.connect()
            peer.send(peer.goAway(1))
            self.answer(peer, 1)
            self.assertAnswered(waiting[number])
        (waiting_,) = self.ask(pool, 1)
        for _ in range(2):
            peer = self.connect()
            peer.send(peer.goAway(0))
        self.failureResultOf(waiting_, StreamRefused)

    def test_neverTwice(self) -> None:
        """
        What may have been worked on is not sent again, whatever its method: a reset, a cut answer.
        """
        pool = self.pool()
        waiting = self.ask(pool, 4)
        peer = self.connect()
        for stream, code in ((1, ErrorCode.INTERNAL_ERROR), (3, ErrorCode.CANCEL), (5, ErrorCode.NO_ERROR)):
            peer.send(peer.reset(stream, code))
            self.assertIsNone(self.failureResultOf(waiting[stream // 2], StreamError).value.processed)
        peer.send(peer.response(7), peer.reset(7, ErrorCode.REFUSED_STREAM))
        stream = self.successResultOf(waiting[3])
        self.failureResultOf(stream.read(), StreamError)
        self.assertEqual(len(self.endpoints.made), 1)
        self.assertEqual(self.paths(peer).keys(), {"/0", "/1", "/2", "/3"})

    def test_bodies(self) -> None:
        """
        A body of bytes goes again; one that is written by a call goes again only if it says that it can.
        """
        pool = self.pool()
        calls: list[str] = []

        def write(stream: Any) -> None:
            calls.append("write")
            stream.end(b"body")

        def can(answer: bool) -> bool:
            calls.append("can" if answer else "cannot")
            return answer

        post = {":method": "POST"}
        waiting = [
            pool.request(URL, post, b"bytes"),
            pool.request(URL, post, write),
            pool.request(URL, post, write, replay=lambda: can(False)),
            pool.request(URL, post, write, replay=lambda: can(True)),
        ]
        self.assertEqual(calls, [])
        peer = self.connect()
        self.assertEqual(calls, ["write"] * 3)
        peer.take()
        peer.send(peer.goAway(0))
        self.assertEqual(calls, ["write"] * 3 + ["cannot", "can"])
        for each in waiting[1:3]:
            self.failureResultOf(each, StreamRefused)
        fresh = self.connect()
        self.assertEqual(
            [name for name in fresh.names() if name[:4] in ("HEAD", "DATA")],
            ["HEADERS 1", "HEADERS 3", "DATA 1 5 END_STREAM", "DATA 3 4 END_STREAM"],
        )
        self.answer(fresh, 1, 3)
        self.assertAnswered(waiting[0], waiting[3])

    def test_bodyNotBegun(self) -> None:
        """
        A request whose body was never begun goes again whatever its body is: the session ended while it waited.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        first = self.ask(pool, 1)
        second = pool.request(URL, {":method": "POST"}, lambda stream: stream.end(b"once"))
        peer = self.connect(MAX_CONCURRENT_STREAMS=1)
        peer.send(peer.goAway(1))
        self.answer(self.connect(), 1)
        self.answer(peer, 1)
        self.assertAnswered(*first, second)

    def test_bodyFails(self) -> None:
        """
        A body that raises fails its request with that, resets its stream with CANCEL, and costs nobody else anything.
        """
        pool = self.pool()

        def fails(stream: Any) -> None:
            stream.write(b"half")
            raise ZeroDivisionError

        waiting = pool.request(URL, {":method": "POST"}, fails)
        other = self.ask(pool, 1)
        peer = self.connect()
        self.failureResultOf(waiting, ZeroDivisionError)
        self.assertIn("RST_STREAM 1 CANCEL", peer.names())
        self.answer(peer, 3)
        self.assertAnswered(*other)

    def test_misdirected(self) -> None:
        """
        An answer of 421 has the request sent once more, on another connection; the second 421 is the answer.
        """
        pool = self.pool()
        (waiting,) = self.ask(pool, 1)
        peer = self.connect()
        peer.send(peer.response(1, status=421), peer.data(1, b"not me", end=True))
        self.assertNoResult(waiting)
        fresh = self.connect()
        self.assertEqual(self.paths(fresh), {"/0": 1})
        fresh.send(fresh.response(1, status=421, end=True))
        self.assertEqual(self.successResultOf(waiting).headers.status, 421)
        self.assertEqual(len(self.endpoints.made), 2)

    def test_misdirectedOnce(self) -> None:
        """
        An answer of 421 to a body that cannot be sent again is the answer.
        """
        pool = self.pool()
        waiting = pool.request(URL, {":method": "POST"}, lambda stream: stream.end(b"once"))
        peer = self.connect()
        peer.send(peer.response(1, status=421, end=True))
        self.assertEqual(self.successResultOf(waiting).headers.status, 421)

    def test_cancelWhileWaitingAgain(self) -> None:
        """
        Cancelling works in every state: in flight, waiting to go again, after the answer.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        peer = self.connect()
        peer.send(peer.goAway(0))
        waiting[0].cancel()
        self.failureResultOf(waiting[0], CancelledError)
        fresh = self.connect()
        self.assertEqual(self.paths(fresh), {"/1": 1})
        self.answer(fresh, 1)
        waiting[1].cancel()
        self.assertAnswered(waiting[1])

    def test_goAwayEveryFifty(self) -> None:
        """
        A server that sends GOAWAY after every 50 requests loses none of 10,000, and answers each once.
        """
        counts: dict[str, int] = {}

        def serverFor(host: str, port: int) -> Server:
            served = []

            def answer(stream: Any, headers: Any) -> None:
                served.append(stream)
                counts[headers.path] = counts.get(headers.path, 0) + 1
                stream.end(headers.path.encode())
                if len(served) == 50:
                    stream.session.close()

            return Server(answer, clock=self.clock)

        farm = Farm(self.clock, serverFor)
        pool = self.pool(endpointFor=farm.endpointFor)
        answers: list[bytes] = []
        failures: list[Any] = []
        for number in range(10_000):
            asking = pool.request(URL, {":path": f"/{number}"})
            asking.addCallback(lambda stream: stream.read()).addCallbacks(answers.append, failures.append)
        farm.pump()
        self.assertEqual(failures, [])
        self.assertEqual(len(answers), 10_000)
        self.assertEqual(set(answers), {b"/%d" % number for number in range(10_000)})
        self.assertEqual(set(counts.values()), {1})
        self.assertGreaterEqual(len(farm.pipes), 200)
        farm.advance(20)


class TimeoutTests(PoolCase):
    """
    Requests that have to be answered in time, waiting included.
    """

    def assertLate(self, waiting: Deferred[Any], processed: bool | None) -> None:
        """
        Check that a request failed because its time was over.
        """
        error = self.failureResultOf(waiting, StreamTimeout).value
        self.assertEqual((error.timeout, error.processed), ("request", processed))

    def test_whileConnecting(self) -> None:
        """
        Who waits for a connection waits no longer than was said; the attempt is given up with the last of them.
        """
        pool = self.pool()
        short, long = pool.request(URL, timeout=5), pool.request(URL, timeout=7)
        self.clock.advance(4.9)
        self.assertNoResult(short)
        self.clock.advance(0.1)
        self.assertLate(short, False)
        self.assertFalse(self.endpoints.made[0].cancelled)
        states: list[Any] = []
        long.addErrback(lambda failure: (states.append(pool.state), failure)[1])
        self.clock.advance(2)
        self.assertLate(long, False)
        self.assertTrue(self.endpoints.made[0].cancelled)
        self.assertEqual(states, [{}])

    def test_whileFull(self) -> None:
        """
        Who waits for a stream, too; the others go on in their order.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        (first,) = self.ask(pool, 1)
        late = pool.request(URL, {":path": "/late"}, timeout=5)
        (third,) = self.ask(pool, 1)
        peer = self.connect(MAX_CONCURRENT_STREAMS=1)
        self.clock.advance(5)
        self.assertLate(late, False)
        self.answer(peer, 1, 3)
        self.assertAnswered(first, third)
        self.assertNotIn("/late", self.paths(peer))

    def test_afterWaiting(self) -> None:
        """
        What was waited is taken from the time for the answer, and from that of its body.
        """
        pool = self.pool()
        silent, slow, quick = (pool.request(URL, timeout=5) for _ in range(3))
        self.clock.advance(3)
        peer = self.connect()
        peer.send(peer.response(3), peer.response(5, end=True))
        body = self.successResultOf(slow).read()
        self.assertAnswered(quick)
        peer.take()
        self.clock.advance(1.9)
        self.assertNoResult(silent)
        self.assertNoResult(body)
        self.clock.advance(0.1)
        self.assertLate(silent, None)
        self.assertLate(body, True)
        self.assertEqual(peer.names(), ["RST_STREAM 1 CANCEL", "RST_STREAM 3 CANCEL"])

    def test_sentAgain(self) -> None:
        """
        Sending it again does not begin the time again.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = pool.request(URL, timeout=5)
        self.connect().send(FramePeer.goAway(0))
        self.clock.advance(3)
        peer = self.connect()
        self.assertEqual(list(self.paths(peer).values()), [1])
        peer.send(FramePeer.goAway(0))
        self.assertEqual(len(self.endpoints.made), 3)
        self.clock.advance(2)
        self.assertLate(waiting, False)
        self.assertTrue(self.endpoints.made[2].cancelled)

    def test_default(self) -> None:
        """
        C{Timeouts.request} counts from when the pool is asked, but not for tunnels, and not where a request says otherwise.
        """
        pool = self.pool(timeouts=Timeouts(request=5, connect=0))
        asked = pool.request(URL)
        patient = pool.request(URL, timeout=0)
        tunnel = pool.request(URL, {":method": "CONNECT", ":authority": "a:1"}, lambda stream: None)
        self.clock.advance(5)
        self.assertLate(asked, False)
        peer = self.connect()
        self.clock.advance(30)
        self.answer(peer, 1)
        self.assertAnswered(patient)
        peer.send(peer.response(3))
        self.assertAnswered(tunnel)

    def test_cancelled(self) -> None:
        """
        A request that is cancelled, or fails with the connection, leaves no timer behind.
        """
        pool = self.pool()
        cancelled, failed = pool.request(URL, timeout=500), pool.request(URL, timeout=500)
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.endpoints.made[0].waiting.errback(ConnectionRefusedError("no"))
        self.failureResultOf(failed, ConnectFailed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_misuse(self) -> None:
        """
        What is no time is an error of the caller, and nothing was begun.
        """
        pool = self.pool()
        for wrong in (-1, True, float("nan"), "5"):
            with self.assertRaises(InvalidSetting):
                pool.request(URL, timeout=wrong)  # type: ignore[arg-type]
        self.assertEqual((pool.state, self.endpoints.made), ({}, []))


class KeepaliveTests(PoolCase):
    """
    PINGs of a pool.
    """

    def silentUntilPing(self, pool: SessionPool) -> tuple[FramePeer, float]:
        """
        Make a request on a new session and wait for a PING.

        @return: the peer, and how many seconds that took.
        """
        self.ask(pool, 1)[0].addErrback(lambda failure: None)
        peer = self.connect()
        peer.take()
        for seconds in range(1, 500):
            self.clock.advance(1)
            if any(name.startswith("PING") for name in peer.names()):
                return peer, seconds
        raise AssertionError("no PING came")

    def test_backsOff(self) -> None:
        """
        Each C{too_many_pings} doubles the interval for the next sessions with that origin, and no other GOAWAY does.
        """
        pool = self.pool(timeouts=Timeouts(keepalive=Keepalive(10, 5), stalled=0))
        for expected, code, data in (
            (10, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings"),
            (20, ErrorCode.ENHANCE_YOUR_CALM, b"other"),
            (20, ErrorCode.INTERNAL_ERROR, b"too_many_pings"),
            (20, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings"),
            (40, ErrorCode.NO_ERROR, b""),
        ):
            peer, seconds = self.silentUntilPing(pool)
            self.assertEqual(seconds, expected)
            peer.send(peer.goAway(1, code, data))
            peer.take()
        peer.send(peer.response(1, end=True))
        self.patch(txh2session.pool._keeper, "REMEMBERED", 1)
        other = pool.request("http://other.example").addErrback(lambda failure: None)
        fresh = self.connect()
        fresh.take()
        self.clock.advance(10)
        self.assertEqual([name[:4] for name in fresh.names()], ["PING"])
        self.assertEqual(len(pool._keeper._memories), 1)
        fresh.send(fresh.goAway(1, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings"))
        self.assertEqual([url.host for url in pool._keeper._memories], ["other.example"])
        other.cancel()


class ClosingTests(PoolCase):
    """
    C{close()}.
    """

    def test_close(self) -> None:
        """
        What waits fails, what is in flight finishes, then it fires; requests after it fail as safe to send elsewhere.
        """
        pool = self.pool(maxSessionsPerOrigin=1)
        waiting = self.ask(pool, 2)
        peer = self.connect(MAX_CONCURRENT_STREAMS=1)
        closed = pool.close()
        self.assertIs(self.failureResultOf(waiting[1], StreamRefused).value.processed, False)
        self.assertIs(self.failureResultOf(pool.request(URL), StreamRefused).value.processed, False)
        self.assertNoResult(closed)
        self.assertIn("GOAWAY 0 NO_ERROR", peer.names())
        self.answer(peer, 1)
        self.assertAnswered(waiting[0])
        peer.take()
        self.assertIsNone(self.successResultOf(closed))
        self.assertIsNone(self.successResultOf(pool.close()))

    def test_closeWhileConnecting(self) -> None:
        """
        What is being connected is given up.
        """
        pool = self.pool()
        waiting = self.ask(pool, 2)
        closed = pool.close()
        for each in waiting:
            self.failureResultOf(each, StreamRefused)
        self.assertTrue(self.endpoints.made[0].cancelled)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeInErrback(self) -> None:
        """
        Closing from the errback of a request whose session has just failed leaves no error that nobody takes.
        """
        pool = self.pool()
        closed: list[Any] = []
        self.ask(pool, 1)[0].addErrback(lambda failure: closed.append(pool.close()))
        self.endpoints.made[0].waiting.errback(ConnectionRefusedError("no"))
        self.assertIsNone(self.successResultOf(closed[0]))
        pool = self.pool()
        waiting = self.ask(pool, 1)
        peer = self.connect()
        peer.send(peer.goAway(1, ErrorCode.INTERNAL_ERROR))
        again = pool.close()
        self.failureResultOf(waiting[0], SessionError)
        peer.take()
        self.clock.advance(5)
        self.assertIsNone(self.successResultOf(again))

    def test_graceNotNeeded(self) -> None:
        """
        When the last session is gone before, nothing is left of C{grace}.
        """
        pool = self.pool()
        (waiting,) = self.ask(pool, 1)
        peer = self.connect()
        closed = pool.close(grace=5)
        self.answer(peer, 1)
        peer.take()
        self.assertAnswered(waiting)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_grace(self) -> None:
        """
        After C{grace} seconds what is left is destroyed, and what was in flight fails.
        """
        pool = self.pool()
        (waiting,) = self.ask(pool, 1)
        peer = self.connect()
        closed = pool.close(grace=5)
        self.clock.advance(4)
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.failureResultOf(waiting, StreamAborted)
        peer.take()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refusedWhileClosing(self) -> None:
        """
        A request that is refused while the pool closes fails, and nothing is connected for it.
        """
        pool = self.pool()
        (waiting,) = self.ask(pool, 1)
        peer = self.connect()
        closed = pool.close()
        peer.send(peer.reset(1, ErrorCode.REFUSED_STREAM))
        self.failureResultOf(waiting, StreamRefused)
        peer.take()
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(len(self.endpoints.made), 1)

    def test_empty(self) -> None:
        """
        A pool that has nothing is closed at once.
        """
        self.assertIsNone(self.successResultOf(self.pool().close(grace=10)))
        self.assertEqual(self.clock.getDelayedCalls(), [])


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class ResolvingClock(Clock):
    """
    A clock that knows the addresses of names.

    @ivar addresses: them.
    @ivar held: resolutions that a test ends, where it says so.
    """

    def __init__(self) -> None:
        super().__init__()
        self.addresses: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.hold = False
        self.held: list[Any] = []
        self.nameResolver = self

    def installNameResolver(self, resolver: Any) -> Any:
        """See L{IReactorPluggableNameResolver}."""
        raise AssertionError("this reactor's resolver is the test's own")

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, portNumber: int = 0, *rest: Any) -> Any:
        """See L{IHostnameResolver}."""
        self.asked.append(hostName)
        resolutionReceiver.resolutionBegan(None)
        for address in self.addresses.get(hostName, ()):
            resolutionReceiver.addressResolved(IPv4Address("TCP", address, portNumber))
        if self.hold:
            self.held.append(resolutionReceiver)
        else:
            resolutionReceiver.resolutionComplete()


class SharingTests(SynchronousTestCase):
    """
    Sessions that carry other origins' requests.
    """

    def setUp(self) -> None:
        """
        Serve three names at one address, two of them in the certificate.
        """
        self.clock = ResolvingClock()
        self.patch(tls, "_get_default_clock", lambda: self.clock)
        self.clock.addresses = {name: ["127.0.0.1"] for name in ("a.example", "b.example", "c.example")}
        certificate, key = makeCertificate("a.example", "b.example")
        other = makeCertificate("c.example")
        self.trust = clientContextFactory(trustRoot=certificate + other[0])
        self.asked: list[str] = []
        self.misdirected: tuple[Any, str] | None = None
        self.server = Server(self.answer, clock=self.clock)
        first = TLSMemoryBIOFactory(serverContextFactory(certificate, key), False, self.server, clock=self.clock)
        second = TLSMemoryBIOFactory(serverContextFactory(*other), False, self.server, clock=self.clock)
        self.farm = Farm(self.clock, lambda host, port: second if host == "c.example" else first)
        self.pool = SessionPool(self.clock, contextFactory=self.trust, endpointFor=self.endpointFor, coalesce=True)
        self.addCleanup(self.end)

    def end(self) -> None:
        """
        Close the pool and see that no call is left.
        """
        closed = self.pool.close(grace=30)
        self.farm.advance(40)
        self.farm.advance(40)
        self.assertIsNone(self.successResultOf(closed))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def endpointFor(self, host: str, port: int) -> Any:
        """
        Connect to port 2, which is the server's in memory.
        """
        return self.farm.endpointFor(host, 2)

    def answer(self, stream: Any, headers: Any) -> None:
        """
        Serve a request, unless it is misdirected.
        """
        self.asked.append(headers.authority)
        if (stream.session, headers.authority) == self.misdirected:
            stream.respond({":status": 421}, endStream=True)
        else:
            stream.end(headers.authority.encode())

    def get(self, host: str) -> int:
        """
        Make a request.

        @return: how many connections there have been by then.
        """
        waiting = self.pool.request(f"https://{host}:2")
        self.farm.pump()
        stream = self.successResultOf(waiting)
        self.assertEqual(self.successResultOf(stream.read()), f"{host}:2".encode())
        return len(self.farm.pipes)

    def test_shared(self) -> None:
        """
        An origin in the certificate of another's server, at its address, shares its session; one that is not has its own.
        """
        self.assertEqual(self.get("a.example"), 1)
        self.assertEqual(self.get("b.example"), 1)
        self.assertEqual(self.get("b.example"), 1)
        self.assertEqual(self.get("c.example"), 2)
        self.assertEqual(self.clock.asked, ["b.example"])
        self.assertEqual(self.asked, ["a.example:2", "b.example:2", "b.example:2", "c.example:2"])
        state = self.pool.state
        self.assertEqual([state[f"https://{each}.example:2"].shared for each in "abc"], [0, 1, 0])
        self.assertEqual([state[f"https://{each}.example:2"].sessions for each in "abc"], [1, 0, 1])

    def test_off(self) -> None:
        """
        Nothing is shared unless it is asked for.
        """
        pool = SessionPool(self.clock, contextFactory=self.trust, endpointFor=self.endpointFor)
        for host in ("a", "b"):
            pool.request(f"https://{host}.example:2")
            self.farm.pump()
        self.assertEqual(len(self.farm.pipes), 2)
        pool.close(grace=0)

    def test_otherAddress(self) -> None:
        """
        A name that leads elsewhere, or nowhere, does not share.
        """
        self.clock.addresses["b.example"] = ["127.0.0.2"]
        self.assertEqual(self.get("a.example"), 1)
        self.assertEqual(self.get("b.example"), 2)

    def test_otherPort(self) -> None:
        """
        Another port does not share, nor does C{http:}.
        """
        self.assertEqual(self.get("a.example"), 1)
        for url in ("https://b.example:3", "http://b.example:2"):
            self.pool.request(url).addErrback(lambda failure: None)
        self.assertEqual(self.clock.asked, [])

    def test_origin(self) -> None:
        """
        A server that names its origins shares with those only, also when it names them later.
        """
        self.server.origins = [b"https://a.example:2"]
        self.assertEqual(self.get("a.example"), 1)
        self.assertEqual(self.get("b.example"), 2)
        self.assertEqual(self.clock.asked, [])

    def test_originLater(self) -> None:
        """
        A server that names its origins when one is shared already has the others leave.
        """
        self.assertEqual(self.get("a.example"), 1)
        self.assertEqual(self.get("b.example"), 1)
        (session,) = self.server.sessions
        session.origin("https://b.example:2")
        self.farm.pump()
        self.assertEqual(self.get("b.example"), 1)
        session.origin("https://a.example:2")
        self.farm.pump()
        self.assertEqual(self.get("b.example"), 1)

    def test_originOnlyItself(self) -> None:
        """
        A server that names nobody but itself, when one is shared already, has it leave.
        """
        self.assertEqual(self.get("a.example"), 1)
        self.assertEqual(self.get("b.example"), 1)
        (session,) = self.server.sessions
        session.origin("https://a.example:2")
        self.farm.pump()
        self.assertEqual(self.get("b.example"), 2)

    def test_misdirected(self) -> None:
        """
        An origin that a server answers 421 for on a shared session gets a connection of its own, and shares no more.
        """
        self.assertEqual(self.get("a.example"), 1)
        (shared,) = self.server.sessions
        self.misdirected = (shared, "b.example:2")
        self.assertEqual(self.get("b.example"), 2)
        self.assertEqual(self.asked.count("b.example:2"), 2)
        self.assertEqual(self.get("b.example"), 2)
        self.assertEqual(self.asked.count("b.example:2"), 3)
        self.assertEqual(self.pool.state["https://b.example:2"].shared, 0)

    def test_cancelWhileResolving(self) -> None:
        """
        A request that is cancelled while names are resolved connects nowhere.
        """
        self.assertEqual(self.get("a.example"), 1)
        self.clock.hold = True
        waiting = self.pool.request("https://b.example:2")
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.clock.held[0].resolutionComplete()
        self.farm.pump()
        self.assertEqual(len(self.farm.pipes), 1)
        self.assertNotIn("https://b.example:2", self.pool.state)

    def test_goneWhileResolving(self) -> None:
        """
        A session that has gone when the names are resolved is not shared.
        """
        self.assertEqual(self.get("a.example"), 1)
        self.clock.hold = True
        waiting = self.pool.request("https://b.example:2")
        (session,) = self.server.sessions
        session.close()
        self.farm.pump()
        self.clock.held[0].resolutionComplete()
        self.farm.pump()
        self.assertEqual(self.successResultOf(waiting).headers.status, 200)
        self.assertEqual(len(self.farm.pipes), 2)

    def test_goAway(self) -> None:
        """
        A shared session that its server sends away leaves all who share it.
        """
        self.assertEqual(self.get("a.example"), 1)
        self.assertEqual(self.get("b.example"), 1)
        (session,) = self.server.sessions
        session.close()
        self.farm.advance(2)
        self.assertEqual(self.pool.state, {})
        self.assertEqual(self.get("b.example"), 2)
        self.assertEqual(self.get("a.example"), 2)
