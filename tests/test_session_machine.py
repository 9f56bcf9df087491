"""
Pairs of sessions, whose applications do anything at any time, also from inside callbacks, while the network does its
worst: whatever happens, every Deferred fires once, no body that was cut passes for whole, nothing is logged, nothing stays.
"""

from __future__ import annotations

import gc
import sys
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from zope.interface import implementer

from tests.fixtures import examples
from tests.invariants import IDLE_LIMIT, sessionProblems
from txh2session import (
    InvalidHeader,
    InvalidState,
    Keepalive,
    Limits,
    Session,
    SessionListener,
    Settings,
    Stream,
    StreamListener,
    Timeouts,
)
from txh2session._readers import BodyIterator
from txh2session._states import Sending
from txh2session.testing import ConnectedSessions, connectedSessions

OFTEN = ["respond", "write", "end", "read", "request"]
ON_STREAMS = [
    *("respond", "respondEnd", "notModified", "inform", "push", "write", "large", "send", "end", "endData", "trailers"),
    *("read", "readLimit", "discard", "deliver", "iterate", "pause", "resume", "pull", "produce", "unregister"),
    *("close", "cancel", "fault", "destroy", "destroyError", "timeout", "reprioritize", "listen"),
    *("whenResponse", "whenTrailers", "whenClosed", "whenOpened"),
]
ON_SESSIONS = [
    *(
        "request",
        "get",
        "head",
        "close",
        "destroy",
        "destroyError",
        "destroyCode",
        "goaway",
        "goawayCode",
        "goawayNone",
    ),
    *("ping", "pingTimeout", "settings", "window", "sessionTimeout", "drain", "drainGrace", "serverClose", "skip"),
    *("whenReady", "sessionWhenClosed"),
]
MISUSE = (InvalidState, InvalidHeader)


class AppError(Exception):
    """
    What applications raise here.
    """


class Book:
    """
    What the application of one side has done with one stream.

    @ivar written: what was written that the peer should get.
    @ivar whole: the bodies that were read and said to be whole.
    @ivar closed: how often listeners were told of the end.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.written = bytearray()
        self.whole: list[bytes] = []
        self.closed = 0


class Watched:
    """
    A Deferred that was handed out.
    """

    def __init__(self, name: str, waiting: Deferred[Any], stream: Stream | None) -> None:
        self.name = name
        self.stream = stream
        self.waiting = waiting
        self.fired = 0


class BodyProtocol(Protocol):
    """
    Takes a body.
    """

    def __init__(self, machine: SessionMachine, book: Book) -> None:
        self.machine = machine
        self.book = book
        self.received = bytearray()
        self.ended = 0

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        assert not self.ended, "data after the end"
        self.received += data
        self.machine.react(self.book.stream)

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        """Note whether it was whole."""
        self.ended += 1
        assert self.ended == 1, "two ends"
        if reason.check(ResponseDone):
            self.book.whole.append(bytes(self.received))
        self.machine.react(self.book.stream)


@implementer(IPullProducer, IPushProducer)
class SomeProducer:
    """
    Writes a few times, when asked.
    """

    def __init__(self, machine: SessionMachine, book: Book) -> None:
        self.machine = machine
        self.book = book
        self.left = 5
        self.stopped = 0

    def resumeProducing(self) -> None:
        """Write, or be done."""
        assert not self.stopped, "asked after it was told to stop"
        self.left -= 1
        if self.left > 0:
            self.machine.write(self.book, 3000, self.book.stream.write)
        elif self.left == 0:
            self.book.stream.unregisterProducer()
            self.machine.act("end", self.book.stream)

    def pauseProducing(self) -> None:
        """It does not write by itself."""

    def stopProducing(self) -> None:
        """Note it."""
        self.stopped += 1
        assert self.stopped == 1, "told to stop twice"


class App(SessionListener, StreamListener):
    """
    Is told everything, and calls back.
    """

    def __init__(self, machine: SessionMachine) -> None:
        self.machine = machine

    def sessionConnected(self, session: Session) -> None:
        """Call back."""
        self.machine.react(session=session)

    def streamReceived(self, session: Session, stream: Stream, headers: Any) -> None:
        """A push is a stream like others."""
        self.machine.note(stream)
        self.machine.react(stream, session)

    def settingsReceived(self, session: Session, settings: Settings) -> None:
        """Call back."""
        self.machine.react(session=session)

    def settingsAcknowledged(self, session: Session, settings: Settings) -> None:
        """Call back."""
        self.machine.react(session=session)

    def goAwayReceived(self, session: Session, *facts: Any) -> None:
        """Call back."""
        self.machine.react(session=session)

    def limitReached(self, session: Session, limit: str) -> None:
        """Two of ours keep to all limits."""
        self.machine.faults.append(f"{session!r} reached the limit {limit}")

    def sessionClosed(self, session: Session, error: Exception | None) -> None:
        """Two of ours do not break the protocol."""
        self.machine.sessionsClosed.append(session)
        if error is not None and "broke the protocol" in str(error):
            self.machine.faults.append(f"{session!r}: {error}")
        self.machine.react(session=session)

    def informationReceived(self, stream: Stream, headers: Any) -> None:
        """Call back."""
        self.machine.react(stream)

    def timedOut(self, what: Any, *facts: Any) -> None:
        """Call back."""
        if isinstance(what, Stream):
            self.machine.react(what)
        else:
            self.machine.react(session=what)

    def aborted(self, stream: Stream) -> None:
        """Call back."""
        self.machine.react(stream)

    def streamClosed(self, stream: Stream, error: Exception | None) -> None:
        """Count it."""
        self.machine.books[stream].closed += 1
        self.machine.react(stream)


class SessionMachine(RuleBasedStateMachine):
    """
    A client and a server, connected through a pipe.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.books: dict[Stream, Book] = {}
        self.watched: list[Watched] = []
        self.script: list[str] = []
        self.faults: list[str] = []
        self.logged: list[str] = []
        self.sessionsClosed: list[Session] = []
        self.depth = 0
        self.clockWentBack = False
        self.listener = App(self)
        globalLogPublisher.addObserver(self.logEvent)

    def logEvent(self, event: dict[str, Any]) -> None:
        """
        Keep the failures that are logged, but for the application's own.
        """
        failure = event.get("log_failure")
        if failure is not None and not failure.check(AppError):
            self.logged.append(failure.getTraceback())

    @initialize(
        initial=st.sampled_from([1, 1000, 65535, 262_144]),
        clientInitial=st.sampled_from([0, 1000, 65535]),
        push=st.booleans(),
        streams=st.sampled_from([1, 100]),
        keepalive=st.booleans(),
        waterMark=st.sampled_from([100, 64 * 1024]),
    )
    def start(
        self, initial: int, clientInitial: int, push: bool, streams: int, keepalive: bool, waterMark: int
    ) -> None:
        """
        Connect them; nothing has arrived yet.
        """
        limits = Limits(sendHighWater=4000, sendLowWater=2000, connectionWindow=65535, unreadBytes=30_000)
        timeouts = Timeouts(keepalive=Keepalive(5.0, 3.0, True) if keepalive else None)
        self.both: ConnectedSessions = connectedSessions(
            self.serve,
            clock=self.clock,
            settings=Settings(initialWindowSize=initial, maxConcurrentStreams=streams),
            limits=limits,
            timeouts=timeouts,
            listener=self.listener,
            clientSettings=Settings(initialWindowSize=clientInitial, enablePush=push, maxConcurrentStreams=3),
            clientLimits=limits,
            clientTimeouts=timeouts,
            clientListener=self.listener,
            pump=False,
        )
        self.pipe = self.both.pipe
        self.sessions: list[Session] = [self.both.client, self.both.serverSession]
        for transport in (self.pipe.first, self.pipe.second):
            transport.highWater = waterMark
        for session in self.sessions:
            for name in ("whenConnected", "whenReady", "whenClosed"):
                self.watch(name, getattr(session, name)())

    # -----------------------------------------------------------------------------------------------------------------
    # The applications

    def note(self, stream: Stream) -> Book:
        """
        Open a book for a stream.
        """
        book = self.books.get(stream)
        if book is None:
            book = self.books[stream] = Book(stream)
            book.closed = int(stream._finished)  # refused at once: there was no time to listen
            stream.addListener(self.listener)
        return book

    def serve(self, stream: Any, headers: Any) -> Any:
        """
        What the server does with a request: what the script says, a failure or a coroutine perhaps.
        """
        self.note(stream)
        what = self.script[0] if self.script else ""
        if what == "raise":
            self.script.pop(0)
            raise AppError
        if what == "coroutine":
            self.script.pop(0)
            return self.echo(stream)
        self.react(stream)
        return None

    async def echo(self, stream: Any) -> None:
        """
        Answer with what was asked.
        """
        try:
            body = await stream.read()
            self.act("respond", stream)
            self.write(self.books[stream], len(body), stream.write)
            stream.end()
        except MISUSE:
            pass

    def watch(self, name: str, waiting: Deferred[Any], stream: Stream | None = None) -> None:
        """
        Count how often a Deferred fires, and call back from inside.
        """
        watched = Watched(name, waiting, stream)
        self.watched.append(watched)

        def fired(result: Any) -> None:
            watched.fired += 1
            if name == "read" and stream is not None and not isinstance(result, Failure):
                self.books[stream].whole.append(result)
            self.react(stream)

        waiting.addBoth(fired)

    def react(self, stream: Stream | None = None, session: Session | None = None) -> None:
        """
        Do the next thing of the script, inside a callback.
        """
        if not self.script or self.depth > 3:
            return
        what = self.script.pop(0)
        self.depth += 1
        try:
            if what == "raise":
                raise AppError
            if what in ON_STREAMS and stream is not None:
                self.act(what, stream)
            elif what in ON_SESSIONS:
                self.actOnSession(what, session or (stream.session if stream is not None else self.sessions[0]))
        except AppError:
            if stream is None or what == "raise":
                return  # listeners may raise; Deferreds' callbacks may not, or it is logged as unhandled
            raise
        finally:
            self.depth -= 1

    def write(self, book: Book, size: int, verb: Any) -> Any:
        """
        Write, and note what the peer should get.
        """
        data = bytes((len(book.written) + each) % 251 for each in range(min(size, 16))).ljust(size, b"=")
        stream: Any = book.stream
        before = getattr(stream, "_bodiless", False)
        if not before and stream._sending in (Sending.BODY, Sending.HEADERS):
            book.written += data
        result = verb(data)
        if not before and getattr(stream, "_bodiless", False) and data:
            book.written.clear()
        return result

    def act(self, what: str, stream: Any) -> None:
        """
        Call a verb of a stream; misuse is told, and is all that may be raised.
        """
        book = self.note(stream)
        try:
            self._act(what, stream, book)
        except MISUSE:
            pass

    def _act(self, what: str, stream: Any, book: Book) -> None:
        reader = None if stream._buffer is None else stream._buffer.reader
        if what in ("respond", "respondEnd", "notModified", "inform", "push"):
            if stream.session is self.sessions[0]:
                return
            if what == "inform":
                stream.additionalHeaders({":status": 103})
            elif what == "push":
                self.note(stream.pushStream({":path": "/pushed"}))
            else:
                stream.respond({":status": 304 if what == "notModified" else 200}, endStream=what == "respondEnd")
        elif what in ("write", "large"):
            self.write(book, 50 if what == "write" else 70_000, stream.write)
        elif what == "send":
            self.watch("send", self.write(book, 5000, stream.send), stream)
        elif what in ("end", "endData", "trailers"):
            if what == "endData":
                self.write(book, 10, lambda data: stream.end(data))
            else:
                stream.end(trailers={"x-trailer": "1"} if what == "trailers" else None)
        elif what in ("read", "readLimit"):
            self.watch("read", stream.read(limit=10 if what == "readLimit" else None), stream)
        elif what == "discard":
            stream.discard()
        elif what == "deliver":
            stream.deliverBody(BodyProtocol(self, book))
        elif what == "iterate":
            self.watch("iterate", Deferred.fromCoroutine(self.iterate(stream, book)), stream)
        elif what in ("pause", "resume"):
            if not isinstance(reader, BodyIterator):
                stream.pauseProducing() if what == "pause" else stream.resumeProducing()
        elif what in ("pull", "produce"):
            if stream._feed is None and stream._sending in (Sending.BODY, Sending.HEADERS):
                stream.registerProducer(SomeProducer(self, book), what == "produce")
        elif what == "unregister":
            stream.unregisterProducer()
        elif what in ("close", "cancel", "fault"):
            stream.close({"close": 0, "cancel": 8, "fault": 2}[what])
        elif what in ("destroy", "destroyError"):
            stream.destroy(AppError() if what == "destroyError" else None)
        elif what == "timeout":
            stream.setTimeout(7)
        elif what == "reprioritize":
            stream.reprioritize(1, True)
        elif what == "listen":
            stream.addListener(StreamListener())()
        elif hasattr(stream, what):
            self.watch(what, getattr(stream, what)(), stream)

    async def iterate(self, stream: Stream, book: Book) -> None:
        """
        Read a body chunk by chunk.
        """
        received = b""
        async for chunk in stream:
            received += chunk
            self.react(stream)
        book.whole.append(received)

    def actOnSession(self, what: str, session: Any) -> None:
        """
        Call a verb of a session; misuse is told, and is all that may be raised.
        """
        try:
            self._actOnSession(what, session)
        except MISUSE:
            pass

    def _actOnSession(self, what: str, session: Any) -> None:
        isClient = session is self.sessions[0]
        if what in ("request", "get", "head"):
            method = {"request": "POST", "get": "GET", "head": "HEAD"}[what]
            self.note(self.both.client.request({":method": method}))
        elif what == "close":
            self.watch(what, session.close())
        elif what in ("destroy", "destroyError", "destroyCode"):
            session.destroy(*{"destroy": (), "destroyError": (AppError(),), "destroyCode": (8,)}[what])
        elif what in ("goaway", "goawayCode", "goawayNone"):
            session.goaway(0 if what != "goawayCode" else 11, 1 if what == "goawayNone" else 0, b"why")
        elif what in ("ping", "pingTimeout"):
            self.watch(what, session.ping(timeout=3.0 if what == "pingTimeout" else None))
        elif what == "settings":
            size = [100, 70_000, 0, 65535][len(self.watched) % 4]
            self.watch(what, session.settings(initialWindowSize=size, headerTableSize=size % 4096))
        elif what == "window":
            session.setLocalWindowSize([100_000, 1000][len(self.watched) % 2])
        elif what == "sessionTimeout":
            session.setTimeout(9)
        elif what in ("drain", "drainGrace"):
            if not isClient:
                self.watch(what, session.drain(4.0 if what == "drainGrace" else None))
        elif what == "serverClose":
            self.watch(what, self.both.server.close(5.0))
        elif what == "skip":
            session.setNextStreamID(max(1, session.state.nextStreamID) + 2)
        else:
            self.watch(what, session.whenReady() if what == "whenReady" else session.whenClosed())

    # -----------------------------------------------------------------------------------------------------------------
    # Rules

    @rule(index=st.integers(0, 9), what=st.sampled_from(ON_STREAMS + OFTEN * 3))
    def onStream(self, index: int, what: str) -> None:
        """
        Do something to a stream.
        """
        streams = list(self.books)
        if what == "request":
            self.actOnSession(what, self.sessions[0])
        elif streams:
            self.act(what, streams[index % len(streams)])

    @rule(client=st.booleans(), what=st.sampled_from(ON_SESSIONS + ["request"] * 12 + ["settings"] * 3))
    def onSession(self, client: bool, what: str) -> None:
        """
        Do something to a session.
        """
        self.actOnSession(what, self.sessions[0 if client else 1])

    @rule(
        script=st.lists(
            st.sampled_from([*ON_STREAMS, *ON_SESSIONS, *OFTEN * 4, "", "", "raise", "coroutine"]), max_size=6
        )
    )
    def inside(self, script: list[str]) -> None:
        """
        Say what is done inside the next callbacks.
        """
        self.script.extend(script)

    @rule(index=st.integers(0, 30))
    def cancel(self, index: int) -> None:
        """
        Cancel a Deferred.
        """
        waiting = [each for each in self.watched if not each.fired]
        if waiting:
            waiting[index % len(waiting)].waiting.cancel()

    @rule(end=st.integers(0, 1), chunk=st.sampled_from([1, 5, 9, 20, 100, 5000, None]), times=st.integers(1, 6))
    def move(self, end: int, chunk: int | None, times: int) -> None:
        """
        Move some bytes one way, in pieces of some size.
        """
        self.pipe.chunk = chunk
        for _ in range(times):
            self.pipe._step(*self.pipe._ends[end])

    @rule()
    def pump(self) -> None:
        """
        Move all there is.
        """
        self.pipe.chunk = None
        self.pipe.pump()

    @rule(end=st.integers(0, 1), hold=st.booleans())
    def stall(self, end: int, hold: bool) -> None:
        """
        A peer stops reading, or goes on.
        """
        transport = self.pipe._ends[end][0]
        (self.pipe.hold if hold else self.pipe.release)(transport)

    @rule(what=st.sampled_from(["", "", "", "", "", "", "lost", "done", "half"]), end=st.integers(0, 1))
    def fail(self, what: str, end: int) -> None:
        """
        The network fails, rarely; or a peer closes its direction.
        """
        if what == "half":
            transport, protocol, _, _ = self.pipe._ends[end]
            if transport.connected:
                protocol.readConnectionLost()  # type: ignore[attr-defined]
        elif what:
            self.pipe.lose(ConnectionLost() if what == "lost" else ConnectionDone())

    @rule(seconds=st.sampled_from([0.01, 0.5, 1.1, 4.0, 6.0, 11.0, 61.0, -3.0]))
    def wait(self, seconds: float) -> None:
        """
        Time passes, or the clock is put back.
        """
        self.clockWentBack |= seconds < 0
        self.clock.advance(seconds)

    # -----------------------------------------------------------------------------------------------------------------
    # What must be true

    @invariant()
    def sane(self) -> None:
        """
        The books of both sessions are in order, and no body that is not passes for whole.
        """
        if not hasattr(self, "sessions"):
            return
        assert not self.logged, self.logged[0]
        assert not self.faults, self.faults
        for session in self.sessions:
            problems = sessionProblems(session, self.clockWentBack)
            assert not problems, problems
        for watched in self.watched:
            assert watched.fired <= 1, watched.name
        others = {(book.stream.session is self.sessions[0], book.stream.id): book for book in self.books.values()}
        for book in self.books.values():
            stream = book.stream
            assert book.closed == stream._finished, f"{stream!r}: told of its end {book.closed} times"
            if book.whole:
                other = others[stream.session is not self.sessions[0], stream.id]
                assert other.stream._sending is Sending.ENDED, "a whole body that its sender never ended"
                assert all(whole == other.written for whole in book.whole), f"{stream!r} read something else"

    def teardown(self) -> None:
        """
        End everything: every Deferred has fired, nothing is logged, nothing runs on, nothing is held.
        """
        globalLogPublisher.removeObserver(self.logEvent)
        if not hasattr(self, "sessions") or sys.exc_info()[0] is not None:
            return
        globalLogPublisher.addObserver(self.logEvent)
        try:
            self.finish()
        finally:
            globalLogPublisher.removeObserver(self.logEvent)

    def finish(self) -> None:
        """
        End everything.
        """
        self.script.clear()
        for transport in (self.pipe.first, self.pipe.second):
            self.pipe.release(transport)
        self.pipe.chunk = None
        for session in self.sessions[:: 1 if len(self.watched) % 2 else -1]:
            session.destroy()
            self.pipe.pump()
        for _ in range(4):
            self.clock.advance(20)
            self.pipe.pump()
        for stream in list(self.books):
            self.act("resume", stream)  # what was paused waits for this, also at the end
        self.sane()
        unfired = [(watched.name, watched.stream) for watched in self.watched if not watched.fired]
        assert not unfired, unfired
        assert sorted(map(id, self.sessionsClosed)) == sorted(map(id, self.sessions))
        for book in self.books.values():
            assert book.stream._finished, book.stream
        for watched in self.watched:
            watched.waiting.cancel()
        calls = [call for call in self.clock.getDelayedCalls() if call.active()]
        assert not calls, calls
        assert self.both.server.heldBytes == 0
        for session in self.sessions:
            assert session.state.heldBytes <= IDLE_LIMIT, session.state
        self.watched.clear()
        self.books.clear()
        gc.collect()
        assert not self.logged, self.logged[0]


class SessionMachineTests(SynchronousTestCase):
    """
    Run it.
    """

    def test_sessions(self) -> None:
        """
        Two sessions survive whatever their applications and the network do.
        """
        gc.freeze()  # what is there already need not be looked at after each example
        self.addCleanup(gc.unfreeze)
        run_state_machine_as_test(SessionMachine, settings=examples(150, steps=50))
        self.flushLoggedErrors(AppError)
