"""
L{txh2session.client}: requests, the queue above the server's limit, GOAWAY, and what connecting can meet.
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import SettingsFrame
from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.fixtures import Recorder
from txh2session import (
    ClientSession,
    ConnectFailed,
    ErrorCode,
    Headers,
    Initiator,
    InvalidHeader,
    InvalidSetting,
    InvalidState,
    InvalidURL,
    Limits,
    PeerSpeaksOtherProtocol,
    PingCancelled,
    SessionError,
    SessionTimeout,
    Stream,
    StreamAborted,
    StreamError,
    StreamListener,
    StreamRefused,
    StreamTimeout,
    Timeouts,
    connect,
    openSession,
)
from txh2session.testing import FramePeer


@implementer(IStreamClientEndpoint)
class Endpoint:
    """
    An endpoint that connects when a test says so.

    @ivar factory: what wants to be connected.
    """

    def __init__(self, failure: Exception | None = None) -> None:
        self.factory: Any = None
        self.failure = failure
        self.cancelled = False
        self.waiting: Deferred[Any] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled = True

    def connect(self, factory: Any) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        self.factory = factory
        return self.waiting if self.failure is None else fail(self.failure)

    def connected(self) -> FramePeer:
        """
        Connect, to a peer that speaks frames and has said nothing yet.
        """
        protocol = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 80))
        peer = FramePeer(protocol, client=False)
        self.waiting.callback(protocol)
        return peer


class ClientTests(SynchronousTestCase):
    """
    A client's session against a peer that speaks frames.
    """

    def setUp(self) -> None:
        """
        Connect a session to a server that has sent its SETTINGS.
        """
        self.clock = Clock()
        self.session = ClientSession("http", "example.com:8080")
        self.peer = FramePeer.toClient(self.session, self.clock)

    def requests(self, number: int) -> list[Any]:
        """
        Send requests.
        """
        return [self.session.request() for _ in range(number)]

    def test_preface(self) -> None:
        """
        The first bytes are the preface and SETTINGS that switch push off and open the windows.
        """
        peer = FramePeer.toClient(ClientSession("http", "a"), self.clock, start=False)
        peer.take()
        peer = FramePeer.toClient(ClientSession("http", "a"), self.clock, start=False)
        (settings,) = [frame for frame in peer.take() if type(frame).__name__ == "SettingsFrame"]
        self.assertEqual(settings.settings[settings.ENABLE_PUSH], 0)
        self.assertEqual(settings.settings[settings.INITIAL_WINDOW_SIZE], 256 * 1024)

    def test_endAtAnEmptyResponse(self) -> None:
        """
        Who ends a request when its response has come, which has no body, is told the end of that all the same.
        """
        stream = self.session.request({":method": "POST"})
        body, trailers = stream.read(), stream.whenTrailers()
        stream.whenResponse().addCallback(lambda _: stream.end())
        self.peer.send(self.peer.response(1, end=True))
        self.assertEqual(self.successResultOf(body), b"")
        self.assertIsNone(self.successResultOf(trailers))
        self.successResultOf(stream.whenClosed())

    def test_settingsInPieces(self) -> None:
        """
        A session is ready when the server's first SETTINGS are there, however they are cut, and keeps to its own limit
        until then.
        """
        whole = SettingsFrame(0, {SettingsFrame.MAX_CONCURRENT_STREAMS: 3}).serialize()
        for cut in range(1, len(whole)):
            session = ClientSession("http", "a", limits=Limits(assumedConcurrentStreams=1))
            peer = FramePeer.toClient(session, self.clock, start=False)
            ready = session.whenReady()
            for _ in range(4):
                session.request()
            peer.sendBytes(whole[:cut])
            self.assertNoResult(ready)
            self.assertEqual(session.state.pendingStreams, 3, cut)
            peer.sendBytes(whole[cut:])
            self.successResultOf(ready)
            self.assertEqual(session.state.pendingStreams, 1, cut)

    def test_defaults(self) -> None:
        """
        A request has method, scheme, authority and path, and C{sentHeaders} shows them (7.1, 8.12).
        """
        stream = self.session.request({"X-Name": "value", ":path": "/there"})
        (headers,) = self.peer.take()
        expected = [
            (":method", "GET"),
            (":authority", "example.com:8080"),
            (":scheme", "http"),
            (":path", "/there"),
            ("x-name", "value"),
        ]
        self.assertEqual(headers.fields, expected)
        self.assertIn("END_STREAM", headers.flags)
        self.assertEqual(list(stream.sentHeaders), expected)
        self.assertEqual((stream.id, stream.pending, stream.headersSent), (1, False, True))

    def test_endStream(self) -> None:
        """
        GET, HEAD and DELETE end with their headers; the rest, and who says so, do not (11.53).
        """
        for method, given, ended in (
            ("GET", None, True),
            ("HEAD", None, True),
            ("DELETE", None, True),
            ("POST", None, False),
            ("PUT", None, False),
            ("POST", True, True),
            ("GET", False, False),
        ):
            self.session.request({":method": method}, endStream=given)
            (headers,) = self.peer.take()
            self.assertEqual("END_STREAM" in headers.flags, ended, method)

    def test_priorityField(self) -> None:
        """
        C{priority} becomes the field of RFC 9218.
        """
        self.session.request(priority="u=1, i")
        (headers,) = self.peer.take()
        self.assertIn(("priority", "u=1, i"), headers.fields)

    def test_badHeaders(self) -> None:
        """
        Bad headers raise, send nothing, and the next request works (12.1).
        """
        for headers in ({"bad name": "x"}, {"x": "a\r\nb"}, {":status": 200}, {"connection": "close"}, {":path": ""}):
            with self.assertRaises(InvalidHeader):
                self.session.request(headers)
        self.assertEqual(self.peer.take(), [])
        self.session.request()
        self.assertEqual(self.peer.names(), ["HEADERS 1 END_STREAM"])

    def test_response(self) -> None:
        """
        C{whenResponse} fires with the headers, before and after they came.
        """
        (stream,) = self.requests(1)
        early = stream.whenResponse()
        self.assertIsNone(stream.headers)
        self.peer.send(self.peer.response(1, ("a", "b"), status=418, end=True))
        for waiting in (early, stream.whenResponse()):
            self.assertEqual(self.successResultOf(waiting).status, 418)
        self.assertTrue(stream.endAfterHeaders)
        self.assertEqual(self.successResultOf(stream.read()), b"")

    def test_factsBeforeDeferreds(self) -> None:
        """
        Who hears of a response finds the stream's facts set, and may close it there and then.
        """
        seen: list[Any] = []
        (stream,) = self.requests(1)

        def came(headers: Headers) -> None:
            seen.extend([stream.headers, stream.endAfterHeaders, stream.state.receiving])
            stream.close(ErrorCode.CANCEL)

        stream.whenResponse().addCallback(came)
        response = self.peer.response(1, end=True)
        self.peer.send(response)
        self.assertEqual(seen[1:], [True, "ended"])
        self.assertIs(seen[0], stream.headers)
        self.assertEqual((stream.closed, stream.state.receiving), (True, "ended"))

    def test_headAndBodiless(self) -> None:
        """
        content-length of an answer to HEAD and of a 304 is not a promise of a body.
        """
        head = self.session.request({":method": "HEAD"})
        get = self.session.request()
        self.peer.send(
            self.peer.response(1, ("content-length", "10"), end=True),
            self.peer.response(3, ("content-length", "10"), status=304, end=True),
        )
        for stream in (head, get):
            self.assertIsNone(self.successResultOf(stream.whenClosed()))

    def test_information(self) -> None:
        """
        1xx responses reach the stream's listener, and the final one its Deferred.
        """
        told: list[Any] = []

        class Informed(StreamListener):
            def informationReceived(self, stream: Stream, headers: Headers) -> None:
                told.append((headers.status, headers.get("link")))

        (stream,) = self.requests(1)
        stream.addListener(Informed())
        waiting = stream.whenResponse()
        self.peer.send(
            self.peer.response(1, ("link", "</a.css>"), status=103),
            self.peer.response(1, status=100),
        )
        self.assertNoResult(waiting)
        self.peer.send(self.peer.response(1, end=True))
        self.assertEqual(told, [(103, "</a.css>"), (100, None)])
        self.assertEqual(self.successResultOf(waiting).status, 200)

    def test_earlyResponse(self) -> None:
        """
        An answer before the upload is done, with RST_STREAM(NO_ERROR), is a whole answer.
        """
        stream = self.session.request({":method": "POST"})
        stream.write(b"x" * 200_000)
        self.peer.take()
        self.peer.send(
            self.peer.response(1, status=413), self.peer.data(1, b"too much", end=True), self.peer.reset(1, 0)
        )
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 413)
        self.assertEqual(self.successResultOf(stream.read()), b"too much")
        self.assertIsNone(self.successResultOf(stream.whenClosed()))
        self.assertTrue(stream.aborted)
        stream.write(b"more")
        self.assertFalse(self.session.closed)

    def test_cancelResponse(self) -> None:
        """
        Cancelling C{whenResponse} resets the stream with CANCEL, and what comes late for it is ignored.
        """
        (stream,) = self.requests(1)
        waiting = stream.whenResponse()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertEqual(self.peer.names(), ["HEADERS 1 END_STREAM", "RST_STREAM 1 CANCEL"])
        self.peer.send(self.peer.response(1), self.peer.data(1, b"x" * 1000), self.peer.ping())
        self.assertEqual(self.peer.names(), ["PING ACK", "WINDOW_UPDATE 1000"])

    def test_refusedStream(self) -> None:
        """
        REFUSED_STREAM says that the server did nothing: C{processed} is False (RFC 9113 8.7).
        """
        (stream,) = self.requests(1)
        waiting = stream.whenResponse()
        self.peer.send(self.peer.reset(1, ErrorCode.REFUSED_STREAM))
        error = self.failureResultOf(waiting, StreamRefused).value
        self.assertEqual((error.processed, error.initiator), (False, Initiator.PEER))

    def test_resetBeforeAndAfterTheAnswer(self) -> None:
        """
        C{processed} is None where nobody knows, True once an answer began.
        """
        one, two = self.requests(2)
        self.peer.send(self.peer.response(3), self.peer.reset(1, 2), self.peer.reset(3, 2))
        self.assertIsNone(self.failureResultOf(one.whenResponse(), StreamError).value.processed)
        self.assertIs(self.failureResultOf(two.read(), StreamError).value.processed, True)

    # The limit

    def test_limit(self) -> None:
        """
        Requests above MAX_CONCURRENT_STREAMS wait in order and keep what is written meanwhile.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=2)
        streams = self.requests(2)
        posts = [self.session.request({":method": "POST", ":path": f"/{name}"}) for name in "abc"]
        posts[0].write(b"early ")
        posts[0].end(b"body")
        posts[1].end()
        self.peer.take()
        self.assertEqual([stream.pending for stream in posts], [True, True, True])
        self.assertEqual(self.session.state.pendingStreams, 3)
        self.peer.send(self.peer.response(1, end=True))
        self.assertEqual(self.peer.names(), ["HEADERS 5", "DATA 5 10 END_STREAM"])
        self.peer.send(self.peer.reset(3), self.peer.response(5, end=True))
        self.assertEqual(self.peer.names(), ["HEADERS 7 END_STREAM", "HEADERS 9"])
        self.failureResultOf(streams[1].whenResponse(), StreamAborted)

    def test_limitRaised(self) -> None:
        """
        A raised limit opens what waits; a lowered one only delays new streams.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=1)
        self.requests(3)
        self.peer.take()
        self.peer.settings(MAX_CONCURRENT_STREAMS=3)
        self.assertEqual(self.peer.names(), ["SETTINGS ACK", "HEADERS 3 END_STREAM", "HEADERS 5 END_STREAM"])
        self.peer.settings(MAX_CONCURRENT_STREAMS=1)
        (late,) = self.requests(1)
        self.peer.send(self.peer.response(1, end=True), self.peer.response(3, end=True))
        self.assertTrue(late.pending)
        self.peer.send(self.peer.response(5, end=True))
        self.assertEqual(late.id, 7)

    def test_freeStreams(self) -> None:
        """
        C{freeStreams} says how many requests would go out at once: none before SETTINGS and after GOAWAY.
        """
        endpoint = Endpoint()
        session = openSession(Clock(), "http://a", endpoint=endpoint)
        self.assertEqual(session.freeStreams, 0)
        peer = endpoint.connected()
        self.assertEqual(session.freeStreams, 0)
        peer.settings(MAX_CONCURRENT_STREAMS=3)
        self.assertEqual(session.freeStreams, 3)
        streams = [session.request() for _ in range(2)]
        self.assertEqual(session.freeStreams, 1)
        streams[0].close(ErrorCode.CANCEL)
        self.assertEqual(session.freeStreams, 2)
        peer.settings(MAX_CONCURRENT_STREAMS=0)
        session.request()
        self.assertEqual(session.freeStreams, 0)
        peer.settings(MAX_CONCURRENT_STREAMS=5)
        self.assertEqual(session.freeStreams, 3)
        peer.send(peer.goAway(3))
        self.assertEqual(session.freeStreams, 0)
        session.destroy()

    def test_limitZero(self) -> None:
        """
        With a limit of zero requests wait, and can be cancelled without a frame.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=0)
        self.peer.take()
        (stream,) = self.requests(1)
        waiting = stream.whenResponse()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.peer.settings(MAX_CONCURRENT_STREAMS=5)
        self.assertEqual(self.peer.names(), ["SETTINGS ACK"])
        self.assertEqual(self.session.state.pendingStreams, 0)

    def test_limitBeforeSettings(self) -> None:
        """
        Until the server's SETTINGS arrive a modest number of requests goes out.
        """
        session = ClientSession("http", "a", limits=Limits(assumedConcurrentStreams=3))
        peer = FramePeer.toClient(session, self.clock, start=False)
        streams = [session.request() for _ in range(5)]
        self.assertEqual([stream.pending for stream in streams], [False] * 3 + [True] * 2)
        peer.settings()
        self.assertEqual([stream.pending for stream in streams], [False] * 5)

    def test_pendingBackPressure(self) -> None:
        """
        What is written to a waiting request counts, and C{send} waits.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=0)
        stream = self.session.request({":method": "POST"})
        self.successResultOf(stream.send(b"x"))
        waiting = stream.send(b"x" * 40_000)
        self.assertEqual(stream.bufferSize, 40_001)
        self.assertNoResult(waiting)
        self.peer.settings(MAX_CONCURRENT_STREAMS=1)
        self.successResultOf(waiting)

    def test_thousandCancelled(self) -> None:
        """
        A thousand cancelled requests leak no slot.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=10)
        for _ in range(100):
            for stream in self.requests(10):
                stream.close(ErrorCode.CANCEL)
        self.assertEqual(self.session.state.localStreams, 0)
        self.assertFalse(any(stream.pending for stream in self.requests(10)))

    # GOAWAY

    def test_goAway(self) -> None:
        """
        GOAWAY(NO_ERROR): streams up to the last id finish, those above and those waiting fail as not processed; new ones
        are refused at once; then the session goes.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=3)
        one, three, five, waiting = self.requests(4)
        refused = [five.whenResponse(), waiting.whenResponse()]
        self.peer.send(self.peer.goAway(3, 0, b"restarting"))
        for each in refused:
            error = self.failureResultOf(each, StreamRefused).value
            self.assertIs(error.processed, False)
            self.assertEqual(error.lastStreamID, 3)
        self.assertEqual((self.session.goawayCode, self.session.goawayLastStreamID), (0, 3))
        self.assertTrue(self.session.closed)
        late = self.failureResultOf(self.session.request().whenResponse(), StreamRefused).value
        self.assertEqual((late.processed, late.initiator), (False, Initiator.PEER))
        self.peer.send(self.peer.response(1, end=True), self.peer.response(3), self.peer.data(3, b"all", end=True))
        self.assertEqual(self.successResultOf(one.read()), b"")
        self.assertEqual(self.successResultOf(three.read()), b"all")
        self.clock.advance(20)
        self.assertIsNone(self.successResultOf(self.session.whenClosed()))
        self.assertTrue(self.peer.lost)

    def test_goAwayInTheSameRead(self) -> None:
        """
        GOAWAY and an answer it promises may come in one read.
        """
        one, three = self.requests(2)
        self.peer.send(self.peer.goAway(1), self.peer.response(1), self.peer.data(1, b"all", end=True))
        self.assertEqual(self.successResultOf(one.read()), b"all")
        self.failureResultOf(three.whenResponse(), StreamRefused)

    def test_goAwayTwoSteps(self) -> None:
        """
        A GOAWAY that excludes nothing, then the real one (RFC 9113 6.8).
        """
        one, three = self.requests(2)
        self.peer.send(self.peer.goAway(2**31 - 1))
        self.assertFalse(three.closed)
        self.peer.send(self.peer.goAway(1))
        self.failureResultOf(three.whenResponse(), StreamRefused)
        self.peer.send(self.peer.response(1, end=True))
        self.assertEqual(self.successResultOf(one.whenResponse()).status, 200)

    def test_goAwayWithError(self) -> None:
        """
        GOAWAY with a code ends session and streams, which say what the server may have done.
        """
        one, three = self.requests(2)
        self.peer.send(self.peer.response(1), self.peer.data(1, b"part"))
        body = one.read()
        self.peer.send(self.peer.goAway(1, ErrorCode.ENHANCE_YOUR_CALM, b"too fast"))
        error = self.failureResultOf(body, SessionError).value
        self.assertEqual((error.code, error.debugData, error.lastStreamID), (11, b"too fast", 1))
        self.assertIs(error.initiator, Initiator.PEER)
        self.assertIn("too fast", str(error))
        self.failureResultOf(three.whenResponse(), StreamRefused)
        self.assertIn("GOAWAY 0 NO_ERROR", self.peer.names())
        self.clock.advance(20)
        self.assertIs(self.failureResultOf(self.session.whenClosed()).value, error)

    def test_goAwayThenPing(self) -> None:
        """
        After a GOAWAY in either direction PINGs are answered and data is credited.
        """
        (one,) = self.requests(1)
        self.peer.send(self.peer.goAway(1), self.peer.ping())
        self.assertIn("PING ACK", self.peer.names())
        body = one.read()
        self.peer.send(self.peer.response(1))
        for _ in range(100):
            self.peer.send(self.peer.data(1, b"x" * 16000))
        self.peer.send(self.peer.data(1, end=True))
        self.assertEqual(len(self.successResultOf(body)), 1_600_000)

    def test_cancelAfterGoAway(self) -> None:
        """
        Cancelling anything after a GOAWAY never raises.
        """
        streams = self.requests(3)
        waiting = [getattr(each, name)() for each in streams for name in ("whenResponse", "read", "whenClosed")]
        self.peer.send(self.peer.goAway(1))
        for each in waiting:
            each.addErrback(lambda failure: None)
            each.cancel()
            self.successResultOf(each)

    def test_closeWithRequestsWaiting(self) -> None:
        """
        C{close} lets sent requests finish and refuses those that wait.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=1)
        one, two = self.requests(2)
        closed = self.session.close()
        self.assertIs(self.failureResultOf(two.whenResponse(), StreamRefused).value.processed, False)
        self.assertIs(self.failureResultOf(self.session.request().whenResponse(), StreamRefused).value.processed, False)
        self.assertNoResult(closed)
        self.peer.send(self.peer.response(1, end=True))
        self.clock.advance(20)
        self.assertIsNone(self.successResultOf(closed))

    def test_requestAfterDestroy(self) -> None:
        """
        A request on a destroyed session fails with C{processed=False}, and names the cause.
        """
        cause = RuntimeError("enough")
        self.session.destroy(cause)
        self.assertTrue(self.session.request().destroyed)
        for _ in range(2):
            stream = self.session.request({":method": "POST"})
            stream.write(b"x")
            stream.end()
            error = self.failureResultOf(stream.whenResponse(), StreamRefused).value
            self.assertIs(error.processed, False)
            self.assertIs(error.reason, cause)
            self.clock.advance(20)

    def test_idsUsedUp(self) -> None:
        """
        When the stream ids are used up requests fail and the session lives (14.8).
        """
        self.session.setNextStreamID(2**31 - 1)
        last, late = self.requests(2)
        self.assertEqual(last.id, 2**31 - 1)
        self.peer.send(self.peer.response(last.id, end=True))
        self.assertEqual(self.successResultOf(last.whenResponse()).status, 200)
        self.failureResultOf(late.whenResponse(), StreamRefused)
        self.assertFalse(self.session.destroyed)

    def test_setNextStreamID(self) -> None:
        """
        Stream ids can be left out, but not used twice or taken from the server (3.8).
        """
        first, second = self.requests(2)
        for wrong in (0, 1, 3, 6, -1, 2**31, 2**31 + 1):
            self.assertRaises(ValueError, self.session.setNextStreamID, wrong)
        for wrong in ("5", True, None, 5.0):
            self.assertRaises(TypeError, self.session.setNextStreamID, wrong)
        self.session.setNextStreamID(5)
        self.session.setNextStreamID(101)
        (third,) = self.requests(1)
        self.assertEqual((first.id, second.id, third.id), (1, 3, 101))
        for stream in (first, second, third):
            self.peer.send(self.peer.response(stream.id, end=True))
            self.assertEqual(self.successResultOf(stream.whenResponse()).status, 200)
        self.peer.send(self.peer.response(51, end=True))
        self.assertEqual(self.peer.names()[-1], "GOAWAY 0 STREAM_CLOSED")
        self.assertRaises(InvalidState, self.session.setNextStreamID, 201)

    def test_whenOpened(self) -> None:
        """
        C{whenOpened} fires with the id when the request is sent, or fails with what else becomes of it (9.10).
        """
        session = ClientSession("http", "localhost")
        first, second = session.request(), session.request()
        opened, again, given = first.whenOpened(), first.whenOpened(), second.whenOpened()
        self.assertNoResult(opened)
        given.cancel()
        self.failureResultOf(given, CancelledError)
        self.failureResultOf(second.whenOpened(), StreamAborted)
        third = session.request()
        peer = FramePeer.toClient(session, Clock())
        self.assertEqual((self.successResultOf(opened), self.successResultOf(again)), (1, 1))
        self.assertEqual(self.successResultOf(third.whenOpened()), 3)
        session.destroy()
        refused = session.request()
        self.failureResultOf(refused.whenOpened(), StreamRefused)
        self.assertEqual(self.successResultOf(first.whenOpened()), 1)
        peer.take()

    def test_timeout(self) -> None:
        """
        A request that takes longer than its C{timeout} is reset with CANCEL, whatever the server has sent of it; the others
        go on.
        """
        streams = [self.session.request(timeout=5) for _ in range(3)]
        other = self.session.request()
        waiting = [stream.read() for stream in streams]
        self.peer.send(self.peer.response(3), self.peer.data(3, b"drip"))
        self.peer.send(self.peer.response(5), self.peer.data(5, b"all", end=True))
        self.peer.take()
        for _ in range(5):
            self.clock.advance(0.9)
            self.peer.send(self.peer.data(3, b"drip"))
        self.assertEqual(self.successResultOf(waiting[2]), b"all")
        self.assertNoResult(waiting[0])
        self.clock.advance(0.5)
        self.assertEqual(self.peer.names(), ["RST_STREAM 1 CANCEL", "RST_STREAM 3 CANCEL"])
        for stream, body, processed in ((streams[0], waiting[0], None), (streams[1], waiting[1], True)):
            error = self.failureResultOf(body, StreamTimeout).value
            self.assertIs(self.failureResultOf(stream.whenClosed()).value, error)
            self.assertEqual((error.timeout, error.code, error.processed), ("request", ErrorCode.CANCEL, processed))
        self.peer.send(self.peer.response(7, end=True))
        self.assertEqual(self.successResultOf(other.whenResponse()).status, 200)
        self.assertEqual([call for call in self.clock.getDelayedCalls() if "_startDeadline" in repr(call.func)], [])

    def test_timeoutWaiting(self) -> None:
        """
        Waiting for the server's limit counts, and such a request surely was not processed.
        """
        self.peer.settings(MAX_CONCURRENT_STREAMS=0)
        stream = self.session.request(timeout=5)
        answer = stream.whenResponse()
        self.clock.advance(5)
        self.assertIs(self.failureResultOf(answer, StreamTimeout).value.processed, False)
        self.peer.settings(MAX_CONCURRENT_STREAMS=5)
        self.assertNotIn("HEADERS 1 END_STREAM", self.peer.names())

    def test_timeoutOfTheSession(self) -> None:
        """
        C{Timeouts.request} is for requests that say nothing else, tunnels excepted.
        """
        session = ClientSession("http", "localhost", timeouts=Timeouts(request=3))
        peer = FramePeer.toClient(session, self.clock)
        first, never = session.request(), session.request(timeout=0)
        tunnel = session.request({":method": "CONNECT", ":authority": "a:1"})
        answer = first.whenResponse()
        self.clock.advance(3)
        self.failureResultOf(answer, StreamTimeout)
        self.assertFalse(never.closed or tunnel.closed)
        self.assertRaises(InvalidSetting, session.request, timeout=-1)
        peer.take()
        session.destroy()

    def test_pushIsRefused(self) -> None:
        """
        A push although it is off is the end of the connection (RFC 9113 8.4).
        """
        self.requests(1)
        self.peer.take()
        self.peer.send(self.peer.promise(1, 2))
        self.assertEqual(self.peer.names(), ["GOAWAY 0 PROTOCOL_ERROR"])


class ConnectTests(SynchronousTestCase):
    """
    L{connect} and L{openSession}.
    """

    def setUp(self) -> None:
        """
        Make a clock and an endpoint.
        """
        self.clock = Clock()
        self.endpoint = Endpoint()

    def test_connect(self) -> None:
        """
        C{connect} fires with a usable session when the server's SETTINGS have come.
        """
        waiting = connect(self.clock, "http://example.com/", endpoint=self.endpoint)
        peer = self.endpoint.connected()
        self.assertNoResult(waiting)
        peer.settings()
        session = self.successResultOf(waiting)
        self.assertEqual((session.authority, session.scheme), ("example.com", "http"))
        self.assertFalse(session.connecting)
        session.destroy()
        peer.take()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_openSession(self) -> None:
        """
        C{openSession} returns at once; requests wait, then go out in order.
        """
        session = openSession(self.clock, "http://example.com:81", endpoint=self.endpoint)
        self.assertTrue(session.connecting)
        self.assertIsNone(session.alpnProtocol)
        one = session.request({":method": "POST", ":path": "/1"})
        one.end(b"body")
        two = session.request({":path": "/2"})
        self.assertEqual((one.id, one.pending, one.headersSent), (None, True, False))
        connected = session.whenConnected()
        peer = self.endpoint.connected()
        self.assertIsNone(self.successResultOf(connected))
        self.assertEqual((one.id, two.id), (1, 3))
        peer.settings()
        self.assertEqual(
            peer.names(),
            [
                "SETTINGS",
                "WINDOW_UPDATE 983041",
                "HEADERS 1",
                "HEADERS 3 END_STREAM",
                "DATA 1 4 END_STREAM",
                "SETTINGS ACK",
            ],
        )
        self.assertEqual(two.sentHeaders.authority, "example.com:81")  # type: ignore[union-attr]
        session.destroy()

    def test_timeoutOfAWaitingRequest(self) -> None:
        """
        C{setTimeout} works on a session, and on a request, that still wait for the connection.
        """
        session = openSession(self.clock, "http://a", endpoint=self.endpoint)
        log: list[Any] = []
        stream = session.request()
        for each in (session, stream):
            each.addListener(Recorder(log))
            each.setTimeout(3)
        self.clock.advance(3)
        self.assertEqual(log, ["timed out", "timed out"])
        session.destroy()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_settingsBeforeConnecting(self) -> None:
        """
        Changes of settings wait for the connection and follow the first ones; a PING cannot wait (3.4, 3.5).
        """
        session = openSession(self.clock, "http://a", endpoint=self.endpoint)
        with self.assertRaises(InvalidState):
            session.ping()
        with self.assertRaises(InvalidSetting):
            session.settings(maxFrameSize=1)
        waiting = session.settings(maxHeaderListSize=5000)
        peer = self.endpoint.connected()
        peer.settings()
        self.assertEqual(peer.names().count("SETTINGS"), 2)
        for _ in range(2):
            self.assertNoResult(waiting)
            peer.send(SettingsFrame(0, flags=["ACK"]))
        self.assertEqual(self.successResultOf(waiting).maxHeaderListSize, 5000)
        session.destroy()
        lost = openSession(self.clock, "http://a", endpoint=Endpoint())
        waiting = lost.settings(maxHeaderListSize=5000)
        lost.destroy()
        self.failureResultOf(waiting, PingCancelled)

    def test_authority(self) -> None:
        """
        The authority has no default port, an IPv6 address in brackets, a name in ASCII.
        """
        for url, authority, scheme in (
            ("http://a", "a", "http"),
            ("HTTPS://Example.COM:8443", "example.com:8443", "https"),
            ("http://a:80/x", "a", "http"),
            ("http://a:443", "a:443", "http"),
            ("https://a", "a", "https"),
            (b"https://a:443", "a", "https"),
            ("https://[::1]:8443", "[::1]:8443", "https"),
            ("https://b\u00fccher.example", "xn--bcher-kva.example", "https"),
        ):
            session = openSession(self.clock, url, endpoint=Endpoint())
            self.assertEqual((session.authority, session.scheme), (authority, scheme))

    def test_badURL(self) -> None:
        """
        A URL of another scheme or none raises at the call and names its stage.
        """
        for url in ("ftp://a", "a:80", "", "http://", "//a", "https://:443", b"\xff"):
            with self.assertRaises(InvalidURL) as caught:
                connect(self.clock, url)
            self.assertEqual(caught.exception.stage, "url")

    def test_refused(self) -> None:
        """
        A refused connection is a L{ConnectFailed} of stage tcp, for the session's Deferreds and its requests.
        """
        cause = ConnectionRefusedError("no")
        error = self.failureResultOf(connect(self.clock, "http://a", endpoint=Endpoint(cause)), ConnectFailed).value
        self.assertEqual((error.stage, error.reason, error.processed), ("tcp", cause, False))
        session = openSession(self.clock, "http://a", endpoint=self.endpoint)
        waiting = session.request().whenResponse()
        gone = session.whenClosed()
        self.endpoint.waiting.errback(cause)
        refused = self.failureResultOf(waiting, StreamRefused).value
        self.assertEqual((refused.processed, refused.reason.stage), (False, "tcp"))
        self.failureResultOf(gone, ConnectFailed)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_noSuchName(self) -> None:
        """
        A name that does not resolve is of stage dns.
        """
        endpoint = Endpoint(DNSLookupError("no such name"))
        error = self.failureResultOf(connect(self.clock, "http://a", endpoint=endpoint), ConnectFailed).value
        self.assertEqual(error.stage, "dns")

    def test_cancel(self) -> None:
        """
        Cancelling gives the attempt up, before and after the transport is up.
        """
        waiting = connect(self.clock, "http://a", endpoint=self.endpoint)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.assertTrue(self.endpoint.cancelled)
        self.endpoint = Endpoint()
        waiting = connect(self.clock, "http://a", endpoint=self.endpoint)
        peer = self.endpoint.connected()
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        peer.take()
        self.clock.advance(20)
        peer.take()
        self.assertTrue(peer.lost)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_destroyBeforeConnecting(self) -> None:
        """
        C{destroy} before the transport is up stops the attempt, and no GOAWAY is sent (4.8).
        """
        for error in (None, RuntimeError("enough")):
            endpoint = Endpoint()
            session = openSession(self.clock, "http://a", endpoint=endpoint)
            stream = session.request()
            response, gone = stream.whenResponse(), session.whenClosed()
            session.destroy(error)
            self.assertTrue(endpoint.cancelled)
            self.assertTrue(session.destroyed)
            refused = self.failureResultOf(response, StreamRefused).value
            self.assertIs(refused.reason, error)
            if error is None:
                self.assertIsNone(self.successResultOf(gone))
            else:
                self.assertIs(self.failureResultOf(gone).value, error)
            self.failureResultOf(session.whenConnected())
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closeBeforeConnecting(self) -> None:
        """
        C{close} before the transport is up fails what waits, and fires (3.1).
        """
        session = openSession(self.clock, "http://a", endpoint=self.endpoint)
        stream = session.request()
        closed = session.close()
        self.failureResultOf(stream.whenResponse(), StreamRefused)
        self.assertIsNone(self.successResultOf(closed))
        self.assertTrue(self.endpoint.cancelled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connectTimeout(self) -> None:
        """
        A session that is not there within C{Timeouts.connect} is given up, at whatever stage.
        """
        waiting = connect(self.clock, "http://a", endpoint=self.endpoint, timeouts=Timeouts(connect=7))
        self.clock.advance(7)
        self.assertEqual(self.failureResultOf(waiting, ConnectFailed).value.stage, "tcp")
        endpoint = Endpoint()
        waiting = connect(self.clock, "http://a", endpoint=endpoint, timeouts=Timeouts(connect=7))
        peer = endpoint.connected()
        self.clock.advance(7)
        peer.take()
        self.assertEqual(self.failureResultOf(waiting, ConnectFailed).value.stage, "h2")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_silentServer(self) -> None:
        """
        A server that sends no SETTINGS ends the session within C{Timeouts.preface}.
        """
        session = openSession(self.clock, "http://a", endpoint=self.endpoint, timeouts=Timeouts(preface=4))
        response = session.request().whenResponse()
        peer = self.endpoint.connected()
        self.clock.advance(4)
        error = self.failureResultOf(response, SessionTimeout).value
        self.assertEqual(error.timeout, "preface")
        peer.take()
        self.clock.advance(20)
        self.failureResultOf(session.whenClosed(), SessionTimeout)

    def test_settingsNeverAcknowledged(self) -> None:
        """
        A server that does not acknowledge our SETTINGS gets SETTINGS_TIMEOUT.
        """
        session = openSession(self.clock, "http://a", endpoint=self.endpoint, timeouts=Timeouts(settingsAck=4))
        peer = self.endpoint.connected()
        peer.settings()
        peer.take()
        self.clock.advance(4)
        self.assertEqual(peer.names(), ["GOAWAY 0 SETTINGS_TIMEOUT"])
        self.clock.advance(20)
        self.assertEqual(self.failureResultOf(session.whenClosed(), SessionTimeout).value.timeout, "settingsAck")

    def test_otherProtocols(self) -> None:
        """
        A server that answers with HTTP/1.1 or TLS is recognised: the error names the stage and what it speaks.
        """
        for answer, speaks in (
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1"),
            (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        ):
            endpoint = Endpoint()
            waiting = connect(self.clock, "http://a", endpoint=endpoint)
            peer = endpoint.connected()
            peer.sendBytes(answer)
            error = self.failureResultOf(waiting, PeerSpeaksOtherProtocol).value
            self.assertEqual(error.stage, "h2")
            self.assertIn(speaks, str(error))
            self.assertIs(error.processed, False)
            self.clock.advance(20)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_serverClosesAtOnce(self) -> None:
        """
        A server that closes before its SETTINGS is a L{ConnectFailed} of stage h2.
        """
        for end in ("close", "abort"):
            endpoint = Endpoint()
            waiting = connect(self.clock, "http://a", endpoint=endpoint)
            getattr(endpoint.connected(), end)()
            self.assertEqual(self.failureResultOf(waiting, ConnectFailed).value.stage, "h2")
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_connectedThenLost(self) -> None:
        """
        A FIN from the server ends the session without an error and its streams with one (15.10).
        """
        session = openSession(self.clock, "http://a", endpoint=self.endpoint)
        peer = self.endpoint.connected()
        peer.start()
        stream = session.request()
        response = stream.whenResponse()
        peer.close()
        self.assertIs(self.failureResultOf(response, StreamAborted).value.initiator, Initiator.TRANSPORT)
        self.assertTrue(stream.aborted or stream.rstCode == ErrorCode.CANCEL)
        self.assertIsNone(self.successResultOf(session.whenClosed()))
        self.assertTrue(session.closed)
