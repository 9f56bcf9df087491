"""
What is fuzzed: a session of either role that is sent bytes, a session that is sent frames made of the fuzzer's bytes, and
the frame splitter by itself.  Each target is a function of bytes that raises L{Finding} where something does not hold.

Nothing here imports a fuzzer: the corpus is replayed by C{tests/test_corpus.py} wherever the tests run.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

from hpack import Encoder
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.python.failure import Failure

from tests.invariants import IDLE_LIMIT, sessionProblems
from txh2session import (
    ClientSession,
    InvalidState,
    Limits,
    Server,
    Session,
    SessionListener,
    Settings,
    StreamListener,
    Timeouts,
)
from txh2session._frames import PREFACE, ConnectionFault, FrameSplitter, OtherProtocol
from txh2session.protocol import HTTP2Protocol
from txh2session.testing._pipe import PipeTransport

LIMITS = Limits(
    continuationFrames=4,
    headerBlockBytes=20_000,
    repliesOwed=2_000,
    unreadBytes=30_000,
    sessionBytes=60_000,
    connectionWindow=65_535,
    maxConnectionWindow=100_000,
    maxStreamWindow=100_000,
)
"""Small, so that a few kilobytes of input reach them."""
SETTINGS = Settings(initialWindowSize=20_000, maxConcurrentStreams=8)
HELD_AT_MOST = IDLE_LIMIT + LIMITS.sessionBytes + LIMITS.unreadBytes + LIMITS.maxConnectionWindow + 40_000 + 80_000
"""
What a session may hold: what refuses new streams, what shuts the window and one window more, one header block or frame, and
the answers that the application here may have queued.
"""
SENT_FOR_EACH_BYTE = 40
"""How many bytes may leave for each that came: HEADERS of a few bytes ask for an answer with a date."""
SENT_BY_THE_APPLICATION = 100_000


class Finding(AssertionError):
    """
    Something does not hold that should.
    """


class Input:
    """
    Reads numbers and bytes off the fuzzer's input; zeros where it has ended.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def left(self) -> bool:
        """
        Whether there is more.
        """
        return self._position < len(self._data)

    def byte(self) -> int:
        """
        Read a byte.
        """
        taken = self.take(1)
        return taken[0] if taken else 0

    def number(self, size: int) -> int:
        """
        Read a number of some bytes.
        """
        return int.from_bytes(self.take(size), "big")

    def take(self, size: int) -> bytes:
        """
        Read bytes, fewer where there are no more.
        """
        taken = self._data[self._position : self._position + size]
        self._position += size
        return taken


class _Log:
    """
    Keeps what is logged of failures while a target runs.
    """

    def __enter__(self) -> list[str]:
        self.logged: list[str] = []
        globalLogPublisher.addObserver(self._event)
        return self.logged

    def __exit__(self, *error: object) -> None:
        globalLogPublisher.removeObserver(self._event)

    def _event(self, event: dict[str, Any]) -> None:
        if "log_failure" in event or event.get("log_level") in (LogLevel.error, LogLevel.critical):
            failure = event.get("log_failure")
            self.logged.append(str(event.get("log_format")) if failure is None else failure.getTraceback())


class _App(SessionListener, StreamListener):
    """
    An application of either role: counts what fires, and does on streams what the input says.
    """

    def __init__(self) -> None:
        self.streams: list[Any] = []
        self.waiting = 0
        self.fired = 0

    def streamReceived(self, session: Session, stream: Any, headers: Any) -> None:
        """
        A request, or a push.
        """
        self.streams.append(stream)
        self.watch(stream.whenClosed())
        self.watch(stream.whenTrailers())

    def watch(self, waiting: Any) -> None:
        """
        Count a Deferred.
        """
        self.waiting += 1

        def fired(_: object) -> None:
            self.fired += 1

        waiting.addBoth(fired)

    def act(self, what: int, session: Any, isClient: bool) -> None:
        """
        Do something with the last stream or the session.
        """
        if what == 9 and isClient:
            if len(self.streams) < 20:
                stream = session.request({":method": "GET" if len(self.streams) % 2 else "POST"})
                self.streams.append(stream)
                for waiting in (stream.whenClosed(), stream.whenResponse(), stream.whenTrailers()):
                    self.watch(waiting)
            return
        if what == 10:
            session.settings(initialWindowSize=SETTINGS.initialWindowSize // 2).addBoth(lambda _: None)
        elif what == 11:
            self.watch(session.ping())
        elif what == 12:
            session.close().addBoth(lambda _: None)
        elif what == 13:
            session.destroy(code=2)
        elif self.streams:
            stream = self.streams[-1 - what // 16 % len(self.streams)]
            what %= 16
            if what == 0:
                self.watch(stream.read())
            elif what == 1:
                stream.discard()
            elif what == 2:
                stream.pauseProducing()
            elif what == 3:
                stream.resumeProducing()
            elif what == 4 and stream.bufferSize < 4000:
                stream.write(b"x" * 3000)
            elif what == 5:
                stream.end()
            elif what == 6:
                stream.close(8)
            elif what == 7:
                request = stream.sentHeaders if isClient else stream.headers
                stream.end(
                    trailers=None if request.method == "CONNECT" else {"x": "y"}
                )  # a tunnel has none, and says so
            elif what == 8 and not isClient:
                stream.respond({":status": 204})


class _Connection:
    """
    A session and its transport, without a peer.
    """

    def __init__(self, client: bool) -> None:
        self.client = client
        self.clock = Clock()
        self.app = _App()
        self.came = 0
        timeouts = Timeouts()
        self.session: Any
        if client:
            settings = SETTINGS.changed(enablePush=True)
            self.session = ClientSession("http", "a", settings, LIMITS, timeouts, self.app)
            self.protocol: Any = HTTP2Protocol(self.session, timeouts, self.clock, server=False)
        else:
            self.server = Server(
                lambda stream, headers: None,
                settings=SETTINGS,
                limits=LIMITS,
                timeouts=timeouts,
                listener=self.app,
                clock=self.clock,
            )
            self.protocol = self.server.buildProtocol(None)
            (self.session,) = self.server.sessions
        self.app.watch(self.session.whenClosed())
        self.transport = PipeTransport("client" if client else "server", "server" if client else "client")
        self.protocol.makeConnection(self.transport)
        if client:
            for _ in range(3):
                self.app.act(9, self.session, True)

    def receive(self, data: bytes, look: bool = True) -> None:
        """
        Have bytes arrive, as far as the connection is open.
        """
        if self.transport.connected and not self.transport.aborted:
            self.came += len(data)
            self.protocol.dataReceived(data)
        if look:
            self.look()

    def look(self) -> None:
        """
        See what there is to see, and take what was sent.
        """
        problems = sessionProblems(self.session)
        if problems:
            raise Finding(problems)
        held = self.session.state.heldBytes
        if held > HELD_AT_MOST:
            raise Finding(f"{held} bytes are held, at most {HELD_AT_MOST} should be")
        self.transport.buffer.clear()
        self.transport.taken()
        allowed = self.came * SENT_FOR_EACH_BYTE + SENT_BY_THE_APPLICATION
        if self.transport.written > allowed:
            raise Finding(f"{self.transport.written} bytes were sent for {self.came}")

    def act(self, what: int) -> None:
        """
        Have the application do something; misuse is told.
        """
        try:
            self.app.act(what, self.session, self.client)
        except InvalidState:
            pass
        self.look()

    def finish(self) -> None:
        """
        Cut the connection: everything fires, nothing runs on.
        """
        if self.transport.connected:
            self.transport.connected = False
            self.protocol.connectionLost(Failure(ConnectionDone()))
        for stream in self.app.streams:
            stream.resumeProducing()  # what was paused waits for this, also at the end
        self.look()
        self.clock.advance(100)
        calls = [call for call in self.clock.getDelayedCalls() if call.active()]
        if calls:
            raise Finding(f"delayed calls are left: {calls}")
        if self.app.fired != self.app.waiting:
            raise Finding(f"{self.app.waiting} Deferreds were handed out, {self.app.fired} fired")
        if self.session.state.heldBytes > IDLE_LIMIT:
            raise Finding(f"{self.session.state.heldBytes} bytes are held after the end")


def raw(data: bytes) -> None:
    """
    Bytes as they are.  The first one says which role (1), whether the preface goes before (2), and how they are cut (from
    bit 2 on: the length of a read, 0 for all at once).
    """
    given = Input(data)
    how = given.byte()
    with _Log() as logged:
        connection = _Connection(client=bool(how & 1))
        if how & 2:
            connection.receive(b"" if how & 1 else PREFACE)
        size = how >> 2 or len(data)
        while given.left:
            connection.receive(given.take(size), look=size > 8)
        connection.finish()
    if logged:
        raise Finding(logged[0])


_REQUESTS = (
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")],
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("content-length", "10")],
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("expect", "100-continue")],
    [(":method", "CONNECT"), (":authority", "a:1")],
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("Upper", "x")],
    [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/"), ("x", "y" * 5000)],
    [(":status", "200")],
    [(":status", "200"), ("content-length", "3")],
    [(":status", "103"), ("link", "x")],
    [(":status", "304")],
    [("x-trailer", "1")],
    [("priority", "u=1, i"), (":late", "x")],
)


def _frames(given: Input, connection: _Connection) -> Iterator[bytes]:
    """
    Make frames, most of them good, of the fuzzer's input; time and the application's doings are in it too.
    """
    encoder = Encoder()

    def frame(kind: int, flags: int, streamID: int, payload: bytes = b"") -> bytes:
        return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, streamID) + payload

    while given.left:
        what = given.byte()
        kind, extra = what % 16, what // 16
        if kind == 0:
            yield frame(0, extra & 1, given.byte() % 24, bytes(given.number(2) % 17_000))
        elif kind == 1:
            yield frame(0, 8 | (extra & 1), given.byte() % 24, given.take(given.byte() % 40))
        elif kind in (2, 3):
            block = encoder.encode(_REQUESTS[given.byte() % len(_REQUESTS)])
            streamID = given.byte() % 24
            if extra & 2:
                cut = given.byte() % (len(block) + 1)
                yield frame(1, extra & 1, streamID, block[:cut]) + frame(9, 4, streamID, block[cut:])
            else:
                yield frame(1, 4 | (extra & 1), streamID, block)
        elif kind == 4:
            yield frame(3, 0, given.byte() % 24, struct.pack(">I", given.byte()))
        elif kind == 5:
            entries = b"".join(struct.pack(">HI", given.byte() % 10, given.number(1 + extra % 4)) for _ in range(extra))
            yield frame(4, 0, 0, entries)
        elif kind == 6:
            yield frame(4, 1, 0)
        elif kind == 7:
            yield frame(6, extra & 1, 0, given.take(8).ljust(8, b"."))
        elif kind == 8:
            yield frame(7, 0, 0, struct.pack(">II", given.byte(), extra) + given.take(extra))
        elif kind == 9:
            yield frame(8, 0, given.byte() % 24, struct.pack(">I", given.number(1 + extra % 4)))
        elif kind == 10:
            promised = struct.pack(">I", given.byte() % 24)
            yield frame(5, 4, given.byte() % 24, promised + encoder.encode(_REQUESTS[given.byte() % len(_REQUESTS)]))
        elif kind == 11:
            yield frame([2, 10, 12, 16][extra % 4], 0, given.byte() % 24, given.take(given.byte() % 24))
        elif kind == 12:
            yield frame(given.byte(), given.byte(), given.number(4), given.take(given.byte()))
        elif kind == 13:
            yield given.take(given.byte())
        elif kind == 14:
            connection.act(given.byte())
        else:
            connection.clock.advance([0.01, 1.0, 5.0, 11.0, 61.0][extra % 5])


def frames(data: bytes) -> None:
    """
    Frames made of the input.  The first byte says which role (1) and how many frames come in one read (from bit 1 on).
    """
    given = Input(data)
    how = given.byte()
    together = 1 + (how >> 1) % 8
    with _Log() as logged:
        connection = _Connection(client=bool(how & 1))
        first = b"\0\0\0\4\0\0\0\0\0"
        waiting = [first if connection.client else PREFACE + first]
        for frame in _frames(given, connection):
            waiting.append(frame)
            if len(waiting) >= together:
                connection.receive(b"".join(waiting))
                waiting.clear()
        connection.receive(b"".join(waiting))
        connection.finish()
    if logged:
        raise Finding(logged[0])


def splitter(data: bytes) -> None:
    """
    The frame splitter: however the bytes are cut, the same frames and the same fault come out, and little is held.  The
    first byte says whose bytes they are (1); the second how they are cut.
    """
    given = Input(data)
    fromClient, size = bool(given.byte() & 1), 1 + given.byte()
    rest = (PREFACE if fromClient else b"") + b"\0\0\0\4\0\0\0\0\0" + given.take(len(data))

    def cut(size: int) -> list[Any]:
        cutter = FrameSplitter(fromClient, SETTINGS.maxFrameSize, LIMITS)
        found: list[Any] = []
        try:
            for position in range(0, len(rest), size):
                for kind, flags, streamID, whole in cutter.feed(rest[position : position + size]):
                    if kind in (1, 5, 9) and not flags & 4:
                        raise Finding("a header block that has not ended")
                    found.append((kind, flags, streamID, whole))
                if cutter.held > LIMITS.headerBlockBytes + SETTINGS.maxFrameSize + 18:
                    raise Finding(f"{cutter.held} bytes are held")
        except OtherProtocol as other:
            found.append(other.speaks)
        except ConnectionFault as fault:
            found.append((fault.code, str(fault), fault.limit))
        return found

    if cut(size) != cut(len(rest)):
        raise Finding(f"in pieces of {size} bytes: {cut(size)}; at once: {cut(len(rest))}")


TARGETS: dict[str, Callable[[bytes], None]] = {"raw": raw, "frames": frames, "splitter": splitter}
