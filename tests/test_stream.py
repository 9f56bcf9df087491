"""
L{txh2session.stream}: sending, reading and ending, over sessions connected in memory.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from zope.interface.verify import verifyObject

from tests.fixtures import Pull, Push, Recorder, TwoSessions, note
from txh2session import (
    BodyTooLong,
    ErrorCode,
    Initiator,
    InvalidHeader,
    InvalidState,
    Limits,
    SessionError,
    Settings,
    StreamAborted,
    StreamError,
    Timeouts,
)
from txh2session.testing import connectedSessions


class Sink(Protocol):
    """
    A protocol that keeps what it receives.
    """

    def __init__(self) -> None:
        self.data = b""
        self.reason: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.data += data

    def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
        """Keep it."""
        self.reason = reason


class BothRoles(TwoSessions):
    """
    What is the same for the two ends of a stream.
    """

    def pair(self, **options: Any) -> tuple[Any, Any, Any]:
        """
        Open one stream, its response begun.

        @return: the end under test, the other end, and the sessions.
        """
        _, _, both = self.connected(**options)
        (mine,), (theirs,) = self.openStreams(both, 1)
        self.streams[-1].respond()
        both.pump()
        return mine, theirs, both

    def test_endInsideTheLastChunk(self) -> None:
        """
        Who ends its half while it is given the last bytes of the peer's is told that these were the last.
        """
        for way in ("protocol", "loop", "trailers"):
            mine, theirs, both = self.pair()
            log: list[Any] = []

            class Ending(Sink):
                """
                Ends its stream at once.
                """

                def dataReceived(self, data: bytes) -> None:
                    """End it."""
                    mine.end()  # noqa: B023

            async def loop() -> str:
                async for _ in mine:  # noqa: B023
                    mine.end()  # noqa: B023
                return "done"

            sink = Ending()
            running = Deferred.fromCoroutine(loop()) if way == "loop" else None
            waiting = mine.whenTrailers() if way == "trailers" else None
            if way != "loop":
                mine.deliverBody(sink)
            note(log, "closed", mine.whenClosed())
            theirs.end(b"last")
            both.pump()
            self.assertEqual(log, [("closed", None)])
            if running is not None:
                self.assertEqual(self.successResultOf(running), "done")
            else:
                assert sink.reason is not None
                self.assertTrue(sink.reason.check(ResponseDone))
            if waiting is not None:
                self.assertIsNone(self.successResultOf(waiting))

    def test_interfaces(self) -> None:
        """
        A stream is a consumer and a producer.
        """
        mine, _, _ = self.pair()
        verifyObject(IConsumer, mine)
        verifyObject(IPushProducer, mine)

    def test_unreadAndOver(self) -> None:
        """
        A stream that is over leaves nothing behind that counts against C{Limits.unreadBytes}, whether or not somebody reads
        what arrived, and however it ended: else a session whose bodies nobody looks at would come to a stop.
        """
        near, far, both = self.connected(limits=Limits(unreadBytes=100_000), clientLimits=Limits(unreadBytes=100_000))
        kept = []
        for number in range(40):
            (mine,), (theirs,) = self.openStreams(both, 1)
            kept.append(mine)
            if number % 2:
                mine.end()
                theirs.end(b"x" * 60_000)
            else:
                theirs.write(b"x" * 60_000)
                both.pump()
                theirs.close(ErrorCode.CANCEL)
            both.pump()
            self.assertTrue(mine.closed)  # type: ignore[attr-defined]
        self.assertEqual(near.state.unreadBytes, 0)  # type: ignore[attr-defined]
        self.assertGreater(near.state.localWindow, 500_000)  # type: ignore[attr-defined]
        body = self.successResultOf(kept[-1].read())  # type: ignore[attr-defined]
        self.assertEqual(len(body), 60_000)  # type: ignore[attr-defined]
        self.assertEqual(near.state.unreadBytes, 0)  # type: ignore[attr-defined]

    def test_pausedReadOfACutBody(self) -> None:
        """
        C{read()} fails when the body is cut, also while the stream is paused: nobody need resume it then.
        """
        for cut in (lambda theirs, both: theirs.close(ErrorCode.CANCEL), lambda theirs, both: both.pipe.lose()):
            mine, theirs, both = self.pair()
            theirs.write(b"part")
            mine.pauseProducing()
            body = mine.read()
            both.pump()
            cut(theirs, both)
            both.pump()
            self.failureResultOf(body, StreamError, SessionError)  # type: ignore[attr-defined]

    def test_resumedWhileIterated(self) -> None:
        """
        Somebody who resumes a stream that another iterates over loses and doubles nothing.
        """
        mine, theirs, both = self.pair()
        chunks: list[bytes] = []

        async def collect() -> None:
            async for chunk in mine:
                chunks.append(chunk)
                mine.resumeProducing()
                await gate.pop()

        gate: list[Deferred[None]] = [succeed(None) for _ in range(2)]
        blocked: Deferred[None] = Deferred()
        gate.insert(1, blocked)
        collecting = Deferred.fromCoroutine(collect())
        for part in (b"one", b"two", b"three"):
            theirs.write(part)
            both.pump()
            mine.resumeProducing()
        theirs.end()
        both.pump()
        blocked.callback(None)
        both.pump()
        self.successResultOf(collecting)  # type: ignore[attr-defined]
        self.assertEqual(b"".join(chunks), b"onetwothree")  # type: ignore[attr-defined]

    def test_readerThatFailsAtTheEnd(self) -> None:
        """
        A reader that fails when it is told the end is logged and costs what is left of its stream: the peer would wait for
        an answer that nobody makes.  If nothing is left, it costs nothing.
        """

        class Careless(Sink):
            def connectionLost(self, reason: Failure | None = None) -> None:  # type: ignore[override]
                raise ZeroDivisionError("at the end")

        for over in (False, True):
            mine, theirs, both = self.pair()
            mine.deliverBody(Careless())
            if over:
                mine.end()
            closed = mine.whenClosed()
            theirs.end(b"all")
            both.pump()
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)  # type: ignore[attr-defined]
            if over:
                self.assertIsNone(self.successResultOf(closed))  # type: ignore[attr-defined]
            else:
                self.failureResultOf(closed, ZeroDivisionError)  # type: ignore[attr-defined]
                self.assertEqual(theirs.rstCode, ErrorCode.INTERNAL_ERROR)  # type: ignore[attr-defined]
            self.assertFalse(both.client.destroyed)  # type: ignore[attr-defined]

    def test_producerThatCannotResume(self) -> None:
        """
        A producer that fails when it is told to go on is logged and costs its stream: nobody else would end the body.
        """

        class Stuck(Push):
            def resumeProducing(self) -> None:
                raise ZeroDivisionError("never again")

        mine, theirs, both = self.pair()
        mine.registerProducer(Stuck(mine, b"x"), True)
        mine.write(b"x" * 500_000)
        closed = mine.whenClosed()
        theirs.discard()
        both.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)  # type: ignore[attr-defined]
        self.failureResultOf(closed, ZeroDivisionError)  # type: ignore[attr-defined]
        self.assertEqual(theirs.rstCode, ErrorCode.INTERNAL_ERROR)  # type: ignore[attr-defined]
        self.assertFalse(both.client.destroyed)  # type: ignore[attr-defined]

    def test_producerThatFails(self) -> None:
        """
        A producer that cannot even be stopped is logged, and everybody who waits for the stream's end is told.
        """

        class Stubborn(Push):
            def stopProducing(self) -> None:
                raise ZeroDivisionError("not now")

        mine, _, both = self.pair()
        mine.registerProducer(Stubborn(mine, b"x"), True)
        body, closed = mine.read(), mine.whenClosed()
        mine.close(ErrorCode.INTERNAL_ERROR)
        self.failureResultOf(body, StreamAborted, StreamError)  # type: ignore[attr-defined]
        self.failureResultOf(closed, StreamError)  # type: ignore[attr-defined]
        both.pump()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)  # type: ignore[attr-defined]
        self.assertFalse(both.client.destroyed)  # type: ignore[attr-defined]

    def test_writeAndEnd(self) -> None:
        """
        What is written arrives in order, then the end.
        """
        mine, theirs, both = self.pair()
        body = theirs.read()
        mine.write(b"one ")
        both.pump()
        mine.write(bytearray(b"two "))
        mine.write(memoryview(b"three "))
        self.assertNoResult(body)
        mine.end(b"four")
        both.pump()
        self.assertEqual(self.successResultOf(body), b"one two three four")

    def test_wholeLife(self) -> None:
        """
        A stream whose halves have both ended is closed without an error, and left by both sessions.
        """
        mine, theirs, both = self.pair()
        mine.end(b"a")
        theirs.end(b"b")
        both.pump()
        for stream in (mine, theirs):
            self.assertTrue(stream.closed)
            self.assertFalse(stream.aborted)
            self.assertFalse(stream.destroyed)
            self.assertEqual(stream.rstCode, 0)
            self.assertIsNone(self.successResultOf(stream.whenClosed()))
        self.assertEqual(self.successResultOf(mine.read()), b"b")
        self.assertEqual(self.successResultOf(theirs.read()), b"a")
        self.assertEqual(both.client.state.localStreams, 0)
        self.assertEqual(both.serverSession.state.remoteStreams, 0)

    def test_bodyAfterTheSession(self) -> None:
        """
        A body that came whole can be read after stream and session are gone.
        """
        mine, theirs, both = self.pair()
        mine.end(b"kept")
        both.pump()
        theirs.end()
        both.pump()
        both.client.destroy()
        both.pump()
        self.assertEqual(self.successResultOf(theirs.read()), b"kept")

    def test_misuse(self) -> None:
        """
        Writing after the end, ending twice, or writing what is not bytes raises at the call.
        """
        mine, _, both = self.pair()
        with self.assertRaises(TypeError):
            mine.write("text")
        with self.assertRaises(TypeError):
            mine.end("text")
        mine.end()
        for call in (lambda: mine.write(b"more"), mine.end, lambda: mine.send(b"more"), lambda: mine.sendTrailers({})):
            with self.assertRaises(InvalidState):
                call()
        both.pump()

    def test_writeOnAClosedStream(self) -> None:
        """
        After this side closed the stream writing raises; after the peer did it does nothing.
        """
        for end in ("close", "destroy"):
            mine, theirs, both = self.pair()
            getattr(mine, end)()
            both.pump()
            with self.assertRaises(InvalidState):
                mine.write(b"x")
        theirs.write(b"x")
        theirs.end()
        self.failureResultOf(theirs.send(b"x"), StreamAborted)

    def test_trailers(self) -> None:
        """
        Trailers follow the body, and the other end gets them, with a body or without.
        """
        for data in (None, b"x" * 100_000):
            mine, theirs, both = self.pair()
            trailers = theirs.whenTrailers()
            body = theirs.read()
            mine.end(data, trailers={"checksum": "abc"})
            both.pump()
            self.assertEqual(mine.sentTrailers["checksum"], "abc")
            self.assertEqual(self.successResultOf(trailers)["checksum"], "abc")
            self.assertEqual(self.successResultOf(body), data or b"")
            self.assertEqual(self.successResultOf(theirs.whenTrailers())["checksum"], "abc")

    def test_noTrailers(self) -> None:
        """
        Without trailers, or with an empty list, C{whenTrailers} fires None at the end.
        """
        for trailers in (None, {}, []):
            mine, theirs, both = self.pair()
            mine.end(b"x", trailers=trailers)
            both.pump()
            self.assertIsNone(self.successResultOf(theirs.whenTrailers()))

    def test_badTrailers(self) -> None:
        """
        Trailers with a pseudo-header field raise, and the stream can still be ended.
        """
        mine, theirs, both = self.pair()
        with self.assertRaises(InvalidHeader):
            mine.end(b"lost?", trailers={":status": 200})
        mine.end(b"kept")
        both.pump()
        self.assertEqual(self.successResultOf(theirs.read()), b"kept")

    def test_trailersOfACutStream(self) -> None:
        """
        Who waits for trailers of a stream that is cut gets its error.
        """
        mine, theirs, both = self.pair()
        early = theirs.whenTrailers()
        mine.close(ErrorCode.CANCEL)
        both.pump()
        self.failureResultOf(early, StreamAborted)
        self.failureResultOf(theirs.whenTrailers(), StreamAborted)

    # Back-pressure

    def test_send(self) -> None:
        """
        C{send} fires at once while there is room, then when the queue has drained.
        """
        mine, theirs, both = self.pair()
        self.successResultOf(mine.send(b"x"))
        waiting = mine.send(b"x" * 1_000_000)
        self.assertNoResult(waiting)
        both.pump()
        self.assertNoResult(waiting)
        theirs.discard()
        both.pump()
        self.successResultOf(waiting)

    def test_slowReader(self) -> None:
        """
        A reader that stops holds one stream window of data and nothing else; a producer is paused meanwhile.
        """
        mine, theirs, both = self.pair(settings=Settings(maxConcurrentStreams=500))
        producer = Push(mine, b"x" * 1000)
        mine.registerProducer(producer, True)
        theirs.pauseProducing()
        for _ in range(2000):
            producer.tick()
            both.pump()
        self.assertTrue(producer.paused)
        self.assertEqual(theirs.state.unreadBytes, 256 * 1024)
        self.assertLess(mine.bufferSize, 64 * 1024)
        for _ in range(8):
            other = both.client.request({":method": "POST"})
            both.pump()
            self.streams[-1].respond()
            end, far = (other, self.streams[-1]) if self.role == "client" else (self.streams[-1], other)
            end.end(b"y" * 200_000)
            body = far.read()
            both.pump()
            self.assertEqual(len(self.successResultOf(body)), 200_000)
        body = theirs.read()
        theirs.resumeProducing()
        both.pump()
        while producer.written < 3_000_000:
            producer.tick()
            both.pump()
        mine.unregisterProducer()
        mine.end()
        both.pump()
        self.assertEqual(len(self.successResultOf(body)), producer.written)

    def test_pullProducer(self) -> None:
        """
        A pull producer is asked for no more than there is room for, and its body arrives whole.
        """
        mine, theirs, both = self.pair()
        producer = Pull(mine, 300, mine.end)
        mine.registerProducer(producer, False)
        both.pump()
        self.assertGreater(producer.left, 200)
        body = theirs.read()
        both.pump()
        self.assertEqual(len(self.successResultOf(body)), 3_000_000)
        self.assertEqual(producer.left, 0)

    def test_latePullProducer(self) -> None:
        """
        A pull producer may write later than it is asked.
        """
        mine, theirs, both = self.pair()
        body = theirs.read()
        asked: list[int] = []

        class Late(Pull):
            def resumeProducing(self) -> None:
                asked.append(len(asked))

        producer = Late(mine, 0)
        mine.registerProducer(producer, False)
        for _ in range(5):
            self.assertEqual(len(asked), 1)
            asked.clear()
            mine.write(b"x")
        mine.unregisterProducer()
        mine.end()
        both.pump()
        self.assertEqual(self.successResultOf(body), b"xxxxx")

    def test_producerIsStopped(self) -> None:
        """
        A producer is told to stop when its stream ends without it.
        """
        for streaming in (True, False):
            mine, theirs, both = self.pair()
            producer: Any = Push(mine, b"x") if streaming else Pull(mine, 1000, mine.end)
            mine.registerProducer(producer, streaming)
            theirs.close(ErrorCode.CANCEL)
            both.pump()
            self.assertTrue(producer.stopped)
            late = Push(mine, b"x")
            mine.registerProducer(late, True)
            self.assertTrue(late.stopped)

    def test_secondProducer(self) -> None:
        """
        A second producer is refused.
        """
        mine, _, _ = self.pair()
        mine.registerProducer(Push(mine, b""), True)
        with self.assertRaises(RuntimeError):
            mine.registerProducer(Push(mine, b""), True)

    def test_slowTransport(self) -> None:
        """
        While the transport does not take bytes, a stream keeps its data to the water marks.
        """
        mine, theirs, both = self.pair()
        both.pipe.hold(both.pipe.first)
        both.pipe.hold(both.pipe.second)
        body = theirs.read()
        producer = Push(mine, b"x" * 1000)
        mine.registerProducer(producer, True)
        producer.tick(1000)
        self.assertTrue(producer.paused)
        self.assertLess(producer.written, 250_000)
        both.pipe.release(both.pipe.first)
        both.pipe.release(both.pipe.second)
        both.pump()
        self.assertFalse(producer.paused)
        mine.unregisterProducer()
        mine.end()
        both.pump()
        self.assertEqual(len(self.successResultOf(body)), producer.written)

    # Reading

    def test_deliverBody(self) -> None:
        """
        C{deliverBody} gives the bytes to a protocol, and C{ResponseDone} at the end.
        """
        mine, theirs, both = self.pair()
        sink = Sink()
        theirs.deliverBody(sink)
        mine.write(b"one")
        both.pump()
        self.assertEqual(sink.data, b"one")
        self.assertIsNone(sink.reason)
        mine.end(b"two")
        both.pump()
        self.assertEqual(sink.data, b"onetwo")
        assert sink.reason is not None
        sink.reason.trap(ResponseDone)

    def test_deliverBodyPauses(self) -> None:
        """
        The protocol's transport can pause, resume and give up.
        """
        mine, theirs, both = self.pair()
        sink = Sink()
        theirs.deliverBody(sink)
        sink.transport.pauseProducing()  # type: ignore[union-attr]
        mine.write(b"one")
        both.pump()
        self.assertEqual(sink.data, b"")
        sink.transport.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(sink.data, b"one")
        with self.assertRaises(TypeError):
            sink.transport.write(b"x")  # type: ignore[union-attr]
        sink.transport.loseConnection()  # type: ignore[union-attr]
        assert sink.reason is not None
        sink.reason.trap(StreamAborted)
        both.pump()
        self.assertEqual(mine.rstCode, ErrorCode.CANCEL)
        mine, theirs, both = self.pair()
        sink = Sink()
        theirs.deliverBody(sink)
        sink.transport.abortConnection()  # type: ignore[union-attr]
        both.pump()
        self.assertEqual(mine.rstCode, ErrorCode.CANCEL)

    def test_cutBody(self) -> None:
        """
        A body that was cut short is a failure, after what came of it: in every way of reading.
        """
        for code in (ErrorCode.NO_ERROR, ErrorCode.CANCEL, ErrorCode.INTERNAL_ERROR, 77):
            mine, theirs, both = self.pair()
            sink = Sink()
            theirs.deliverBody(sink)
            closed = theirs.whenClosed()
            mine.write(b"part")
            both.pump()
            mine.close(code)
            both.pump()
            self.assertEqual(sink.data, b"part")
            assert sink.reason is not None
            error = sink.reason.value
            self.assertIsInstance(error, StreamError)
            self.assertEqual((error.code, error.initiator), (code, Initiator.PEER))
            self.assertIs(self.failureResultOf(closed).value, error)
            self.assertEqual(theirs.rstCode, code)

    def test_cutBodyUnread(self) -> None:
        """
        What came of a cut body waits for its reader, and so does the failure; half a request does not wait.
        """
        mine, theirs, both = self.pair()
        mine.write(b"part")
        both.pump()
        mine.close(ErrorCode.CANCEL)
        both.pump()
        sink = Sink()
        theirs.deliverBody(sink)
        self.assertEqual(sink.data, b"part" if self.role == "server" else b"")
        assert sink.reason is not None
        sink.reason.trap(StreamAborted)

    def test_readLimit(self) -> None:
        """
        C{read(limit)} takes a body of that length and resets a longer one.
        """
        mine, theirs, both = self.pair()
        body = theirs.read(limit=5)
        mine.end(b"12345")
        both.pump()
        self.assertEqual(self.successResultOf(body), b"12345")
        mine, theirs, both = self.pair()
        body = theirs.read(limit=5)
        mine.write(b"123456")
        both.pump()
        self.failureResultOf(body, BodyTooLong)
        self.assertEqual(mine.rstCode, ErrorCode.CANCEL)

    def test_secondReaderChangesNothing(self) -> None:
        """
        Who asks for a body that is being read is told so; the first reader gets it all the same.
        """
        mine, theirs, both = self.pair()
        body = theirs.read()

        class Told(Protocol):
            def makeConnection(self, transport: Any) -> None:
                raise AssertionError("there is nothing for it")

        with self.assertRaises(InvalidState):
            aiter(theirs)
        with self.assertRaises(InvalidState):
            theirs.deliverBody(Told())
        mine.end(b"all of it")
        both.pump()
        self.assertEqual(self.successResultOf(body), b"all of it")

    def test_readTwice(self) -> None:
        """
        A body has one reader.
        """
        _, theirs, _ = self.pair()
        body = theirs.read()
        for call in (theirs.read, theirs.discard, lambda: theirs.deliverBody(Sink()), theirs.__aiter__):
            with self.assertRaises(InvalidState):
                call()
        self.assertNoResult(body)

    def test_iterate(self) -> None:
        """
        C{async for} takes a chunk when it asks for one, and ends with the body.
        """
        mine, theirs, both = self.pair()
        chunks: list[bytes] = []
        gate: list[Deferred[None]] = []

        async def loop() -> str:
            async for chunk in theirs:
                chunks.append(chunk)
                gate.append(Deferred())
                await gate[-1]
            return "done"

        mine.write(b"one")
        both.pump()
        mine.write(b"two")
        both.pump()
        done = ensureDeferred(loop())
        self.assertEqual(chunks, [b"one"])
        mine.end(b"three")
        both.pump()
        self.assertEqual(chunks, [b"one"])
        gate[-1].callback(None)
        self.assertEqual(chunks, [b"one", b"two"])
        gate[-1].callback(None)
        gate[-1].callback(None)
        self.assertEqual(self.successResultOf(done), "done")
        self.assertEqual(chunks, [b"one", b"two", b"three"])

    def test_iterateACutBody(self) -> None:
        """
        C{async for} raises where the body was cut.
        """
        mine, theirs, both = self.pair()

        async def loop() -> bytes:
            body = b""
            try:
                async for chunk in theirs:
                    body += chunk
            except StreamAborted:
                return body + b"!"
            return body

        done = ensureDeferred(loop())
        mine.write(b"part")
        both.pump()
        mine.close()
        both.pump()
        self.assertEqual(self.successResultOf(done), b"part!")

    def test_iterateEmptyBody(self) -> None:
        """
        C{async for} over an empty body ends at once.
        """
        mine, theirs, both = self.pair()
        mine.end()
        both.pump()

        async def loop() -> list[bytes]:
            return [chunk async for chunk in theirs]

        self.assertEqual(self.successResultOf(ensureDeferred(loop())), [])

    def test_iterateHoldsBack(self) -> None:
        """
        Between two chunks at most a window arrives.
        """
        mine, theirs, both = self.pair()
        theirs.__aiter__()
        mine.write(b"x" * 1_000_000)
        both.pump()
        self.assertEqual(theirs.state.unreadBytes, 256 * 1024)

    def test_readerFails(self) -> None:
        """
        A protocol that raises is logged and costs its stream, not the session.
        """
        mine, theirs, both = self.pair()

        class Broken(Sink):
            def dataReceived(self, data: bytes) -> None:
                raise RuntimeError("a broken protocol")

        sink = Broken()
        theirs.deliverBody(sink)
        mine.write(b"x")
        both.pump()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(mine.rstCode, ErrorCode.INTERNAL_ERROR)
        self.assertIsNotNone(sink.reason)
        self.assertFalse(both.client.destroyed)

    # Ending

    def test_closeWithCode(self) -> None:
        """
        C{close(code)} resets at once; codes other than NO_ERROR and CANCEL are errors on both sides (8.17).
        """
        for code in (1, 2, 11, 2**32 - 1):
            mine, theirs, both = self.pair()
            mine.write(b"x" * 1_000_000)
            here, there = mine.whenClosed(), theirs.whenClosed()
            mine.close(code)
            self.assertTrue(mine.closed)
            self.assertTrue(mine.aborted)
            self.assertEqual(mine.rstCode, code)
            self.assertEqual(mine.bufferSize, 0)
            self.assertEqual(self.failureResultOf(here, StreamError).value.initiator, Initiator.LOCAL)
            both.pump()
            self.assertEqual(self.failureResultOf(there, StreamError).value.code, code)

    def test_closeWithoutError(self) -> None:
        """
        C{close()} and C{close(CANCEL)} are no error here.
        """
        for code in (ErrorCode.NO_ERROR, ErrorCode.CANCEL):
            mine, _, both = self.pair()
            mine.close(code)
            self.assertIsNone(self.successResultOf(mine.whenClosed()))
            both.pump()

    def test_closeAfterEnd(self) -> None:
        """
        C{close()} after C{end()} lets the data out first: the peer's reader sees it whole.
        """
        mine, theirs, both = self.pair()
        body = theirs.read()
        mine.end(b"x" * 1_000_000)
        mine.close()
        self.assertTrue(mine.closed)
        both.pump()
        self.assertEqual(len(self.successResultOf(body)), 1_000_000)
        self.assertTrue(theirs.closed)

    def test_closeTwice(self) -> None:
        """
        The second C{close} does nothing.
        """
        mine, theirs, both = self.pair()
        mine.close(ErrorCode.CANCEL)
        mine.close(ErrorCode.INTERNAL_ERROR)
        mine.destroy(RuntimeError("ignored"))
        both.pump()
        self.assertEqual(mine.rstCode, ErrorCode.CANCEL)
        self.assertEqual(theirs.rstCode, ErrorCode.CANCEL)

    def test_closeChecksItsCode(self) -> None:
        """
        C{close} raises for what is not a code and leaves the stream open.
        """
        mine, _, _ = self.pair()
        for code, kind in (
            ("x", TypeError),
            (None, TypeError),
            (True, TypeError),
            (-1, ValueError),
            (2**32, ValueError),
        ):
            with self.assertRaises(kind):
                mine.close(code)
        self.assertFalse(mine.closed)

    def test_destroy(self) -> None:
        """
        C{destroy()} resets with NO_ERROR, C{destroy(error)} with INTERNAL_ERROR and that error here (8.18).
        """
        mine, theirs, both = self.pair()
        body = mine.read()
        mine.destroy()
        self.assertTrue(mine.destroyed)
        self.failureResultOf(body, StreamAborted)
        both.pump()
        self.assertEqual(theirs.rstCode, ErrorCode.NO_ERROR)
        mine, theirs, both = self.pair()
        body, closed = mine.read(), mine.whenClosed()
        error = RuntimeError("enough")
        mine.destroy(error)
        self.assertIs(self.failureResultOf(body).value, error)
        self.assertIs(self.failureResultOf(closed).value, error)
        both.pump()
        self.assertEqual(theirs.rstCode, ErrorCode.INTERNAL_ERROR)
        self.assertFalse(both.client.destroyed)
        mine, theirs, both = self.pair()
        closed = mine.whenClosed()
        for code, kind in (("x", TypeError), (-1, ValueError)):
            with self.assertRaises(kind):
                mine.destroy(error, code)
        mine.destroy(error, ErrorCode.CANCEL)
        self.assertIs(self.failureResultOf(closed).value, error)
        self.failureResultOf(mine.send(b"x"), RuntimeError)
        both.pump()
        self.assertEqual(theirs.rstCode, ErrorCode.CANCEL)

    def test_destroyDropsWhatIsHeld(self) -> None:
        """
        A body that nobody had read is lost with C{destroy}, and does not pass for whole.
        """
        mine, theirs, both = self.pair()
        mine.end(b"x")
        both.pump()
        theirs.destroy()
        self.assertEqual(both.client.state.unreadBytes + both.serverSession.state.unreadBytes, 0)

    def test_cancel(self) -> None:
        """
        Cancelling a Deferred of a stream resets it with CANCEL, and never raises.
        """
        for name in ("read", "whenTrailers", "whenClosed"):
            mine, theirs, both = self.pair()
            waiting = getattr(mine, name)()
            waiting.cancel()
            self.failureResultOf(waiting, CancelledError)
            both.pump()
            self.assertEqual(theirs.rstCode, ErrorCode.CANCEL, name)
            late = getattr(theirs, name)()
            late.addErrback(lambda failure: None)
            late.cancel()

    def test_cancelOneOfTwo(self) -> None:
        """
        Who waits for the same thing hears of the reset that somebody's cancelling makes.
        """
        mine, theirs, both = self.pair()
        one, two = mine.whenTrailers(), mine.whenTrailers()
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.failureResultOf(two, StreamAborted)
        both.pump()

    def test_listener(self) -> None:
        """
        A stream's listener is told of abort, then close, once.
        """
        mine, theirs, both = self.pair()
        log: list[Any] = []
        theirs.addListener(Recorder(log))
        mine.close(ErrorCode.CANCEL)
        both.pump()
        both.client.destroy()
        both.pump()
        self.assertEqual([entry[0] for entry in log], ["aborted", "stream closed"])

    def test_timeout(self) -> None:
        """
        A stream's timeout tells its listeners after silence on that stream (8.19).
        """
        mine, theirs, both = self.pair(timeouts=Timeouts(idle=0))
        log: list[Any] = []
        mine.addListener(Recorder(log))
        mine.setTimeout(10)
        both.advance(8)
        theirs.write(b"x")
        both.pump()
        both.advance(8)
        mine.write(b"x")
        both.advance(8)
        self.assertEqual(log, [])
        both.advance(2)
        both.advance(10)
        self.assertEqual(log, ["timed out", "timed out"])
        mine.close()
        both.pump()
        both.advance(20)
        self.assertEqual(log.count("timed out"), 2)

    def test_timeoutWhileSending(self) -> None:
        """
        A large write that progresses puts the timeout off; one that does not is told of (15.16).
        """
        mine, theirs, both = self.pair(timeouts=Timeouts(idle=0, stalled=0))
        log: list[Any] = []
        mine.addListener(Recorder(log))
        mine.write(b"x" * 2_000_000)
        both.pump()
        mine.setTimeout(10)
        iterator = theirs.__aiter__()
        for _ in range(3):
            for _ in range(20):
                ensureDeferred(iterator.__anext__())
                both.pump()
            both.advance(9)
        self.assertEqual(log, [])
        both.advance(10)
        both.advance(10)
        self.assertEqual(log, ["timed out"])

    def test_sendTrailers(self) -> None:
        """
        C{sendTrailers} ends the body with trailers (8.20).
        """
        mine, theirs, both = self.pair()
        mine.write(b"x")
        mine.sendTrailers({"a": "b"})
        both.pump()
        self.assertEqual(self.successResultOf(theirs.whenTrailers())["a"], "b")

    def test_snapshot(self) -> None:
        """
        C{state} tells of both halves and their windows.
        """
        mine, theirs, both = self.pair()
        self.assertEqual(mine.state.sending, "sending its body")
        self.assertEqual(mine.state.localWindow, 256 * 1024)
        mine.write(b"x" * 300_000)
        both.pump()
        self.assertEqual(mine.state.remoteWindow, 0)
        self.assertEqual(mine.state.queuedBytes, 300_000 - 256 * 1024)
        self.assertEqual(theirs.state.unreadBytes, 256 * 1024)
        self.assertIn("sending its body", repr(mine))
        mine.close()
        self.assertIsNone(mine.state.localWindow)
        both.pump()


class ClientStreamLifeTests(BothRoles, SynchronousTestCase):
    """
    The client's end.
    """

    role = "client"


class ServerStreamLifeTests(BothRoles, SynchronousTestCase):
    """
    The server's end.
    """

    role = "server"


class AnyChunksTests(SynchronousTestCase):
    """
    However bytes are cut and whatever the windows, bodies arrive whole and in order and no window is overrun.
    """

    @given(
        chunk=st.one_of(st.none(), st.integers(1, 40_000)),
        window=st.integers(1, 100_000),
        connection=st.integers(65535, 200_000),
        frame=st.integers(16384, 60_000),
        high=st.integers(2, 100_000),
        bodies=st.lists(
            st.tuples(st.lists(st.integers(0, 40_000), max_size=5), st.booleans(), st.booleans()),
            min_size=1,
            max_size=5,
        ),
    )
    def test_echo(
        self,
        chunk: int | None,
        window: int,
        connection: int,
        frame: int,
        high: int,
        bodies: list[tuple[list[int], bool, bool]],
    ) -> None:
        """
        Several bodies at once are echoed whole; h2 checks the windows on both sides and ends the session if one is
        overrun.
        """
        if chunk is not None and chunk < 50:
            bodies = [([size % 300 for size in sizes], trailers, slow) for sizes, trailers, slow in bodies]

        async def echo(stream: Any, headers: Any) -> None:
            stream.respond()
            async for data in stream:
                await stream.send(data)
            stream.end(trailers={"end": "yes"} if headers.path == "/trailers" else None)

        settings = Settings(initialWindowSize=window, maxFrameSize=frame)
        limits = Limits(connectionWindow=connection, sendHighWater=high, sendLowWater=high - 1)
        both = connectedSessions(
            echo, chunk=chunk, settings=settings, limits=limits, clientSettings=settings, clientLimits=limits
        )
        expected = []
        results = []
        for number, (sizes, trailers, slow) in enumerate(bodies):
            stream = both.client.request({":method": "POST", ":path": "/trailers" if trailers else "/"})
            if slow:
                both.pump()
            parts = [bytes([65 + (number + index) % 26]) * size for index, size in enumerate(sizes)]
            for part in parts:
                stream.write(part)
            stream.end()
            expected.append((b"".join(parts), trailers))
            results.append((stream, stream.read(), stream.whenTrailers()))
        both.pump()
        for (body, trailers), (stream, read, end) in zip(expected, results, strict=True):
            self.assertEqual(self.successResultOf(read), body)
            self.assertEqual(self.successResultOf(end) is not None, trailers)
            self.assertIsNone(self.successResultOf(stream.whenClosed()))
        self.assertFalse(both.client.destroyed)
        for session in (both.client, both.serverSession):
            self.assertEqual(session.state.unreadBytes, 0)
            self.assertEqual(session.state.queuedBytes, 0)
