"""
Our side of the scenarios: what plays one and sees what happens, in this process and through the public API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone

from tests.peers.programs import reactor, within
from tests.peers.traces.reading import MARKER
from txh2session import (
    Headers,
    Server,
    SessionError,
    SessionListener,
    Settings,
    StreamError,
    StreamListener,
    Timeouts,
    connect,
)

_log = Logger()

POKE = b"pokepoke"


class Own(Exception):
    """
    An error that a scenario makes.
    """


def _naming(error: Exception | None) -> Any:
    if error is None:
        return None
    if isinstance(error, Own):
        return "own"
    if isinstance(error, StreamError):
        return ["stream", int(error.code)]
    if isinstance(error, SessionError):
        return ["session", int(error.code)]
    return type(error).__name__


class Sight(StreamListener, Protocol):
    """
    What one side sees of a stream.
    """

    def __init__(self, side: HereSide, stream: Any, read: bool) -> None:
        self._side = side
        self.facts: dict[str, Any] = {
            "notes": [],
            "information": [],
            "length": 0,
            "read": read,
            "code": None,
            "aborted": False,
            "error": None,
        }
        self._stream = stream
        stream.addListener(self)
        if side.role == "client":
            stream.whenResponse().addCallbacks(self._responded, lambda _: None)
        stream.whenTrailers().addCallbacks(self._trailers, lambda _: None)
        if read:
            self.read()
        # Not the listener's streamClosed: a request that cannot be sent is over before it has a listener.
        stream.whenClosed().addCallbacks(lambda _: self._closed(None), lambda failure: self._closed(failure.value))

    def read(self) -> None:
        """
        Begin to read the body.
        """
        self.facts["read"] = True
        self._stream.deliverBody(self)

    def informationReceived(self, stream: Any, headers: Headers) -> None:
        """See L{StreamListener}."""
        self.facts["information"].append(headers.status)
        self._side.wake()

    def _responded(self, headers: Headers) -> None:
        self.facts["response"] = headers.status
        self._side.wake()

    def _trailers(self, headers: Headers | None) -> None:
        if headers is not None:
            self.facts["trailers"] = {name: headers[name] for name, _ in headers}

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self.facts["length"] += len(data)
        self._side.wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See L{Protocol}."""
        self.facts["whole"] = reason.check(ResponseDone) is not None
        self._side.wake()

    def aborted(self, stream: Any) -> None:
        """See L{StreamListener}."""
        self.facts["aborted"] = True

    def _closed(self, error: Exception | None) -> None:
        self.facts["code"] = int(self._stream.rstCode)
        self.facts["error"] = _naming(error)
        self._side.streamOver()


@dataclass(frozen=True)
class Play:
    """
    What both sides do in a scenario.

    @ivar streams: how many the server has to wait for.
    @ivar unread: whether the server does not read requests by itself.
    @ivar onPush: called with each stream that is pushed to the client.
    @ivar onPoke: called with the server's session when the client pokes it.
    """

    client: Callable[[HereSide], Awaitable[None]]
    server: Callable[[HereSide, Any, Headers], Awaitable[None]]
    streams: int = 1
    clientSettings: dict[str, Any] = field(default_factory=dict)
    serverSettings: dict[str, Any] = field(default_factory=dict)
    unread: bool = False
    onPush: Callable[[Any], object] | None = None
    onPoke: Callable[[Any], object] | None = None


class HereSide(SessionListener):
    """
    One side of a scenario, here.

    @ivar port: where it listens, if it is a server.
    """

    role = ""

    def __init__(self, play: Play) -> None:
        self._play = play
        self.port = 0
        self.session: Any = None
        self.pokes = 0
        self._acting = 0
        self._expected = 0
        self.open = 0
        self.sights: list[tuple[Any, Sight]] = []
        self.events: list[list[Any]] = []
        self._error: Any = None
        self._over = False
        self._finished: Deferred[None] = Deferred()
        self._closed: Deferred[dict[str, Any]] = Deferred()
        self._waiting: list[tuple[Callable[[], Any], Deferred[None]]] = []
        self._listening: IListeningPort | None = None

    # What a runner asks

    async def serve(self) -> None:
        """
        Be the server.
        """
        self.role, self._expected = "server", self._play.streams
        server = Server(
            self._requested,
            settings=Settings(**self._play.serverSettings),
            listener=self,
            timeouts=Timeouts(unread=0.01),
        )
        self._listening = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(server)
        self.port = self._listening.getHost().port
        self._look()

    async def connect(self, port: int) -> None:
        """
        Be the client.
        """
        self.role = "client"
        settings = Settings(**self._play.clientSettings)
        self.session = await connect(reactor, f"http://127.0.0.1:{port}", settings=settings, listener=self)
        self._act(self._play.client(self))

    async def finished(self) -> None:
        """
        Wait until the scenario has been played.
        """
        await within(self._finished, lambda: f"the {self.role} has only seen {self._report()}")

    async def sees(self) -> dict[str, Any]:
        """
        Say what it has seen so far.
        """
        return self._report()

    def end(self) -> None:
        """
        Send the marker, then close the session.
        """
        self.session.ping(MARKER).addCallback(lambda _: self.session.close()).addErrback(self._fail)

    async def closed(self) -> dict[str, Any]:
        """
        Wait for the end of the session.

        @return: what was seen.
        """
        return await within(self._closed, lambda: f"the {self.role}'s session is open and has seen {self._report()}")

    async def stop(self) -> None:
        """
        End whatever is left.
        """
        if self._listening is not None:
            await self._listening.stopListening()
        if self.session is not None and not self._over:
            self.session.destroy()
            await self.session.whenClosed().addErrback(lambda _: None)

    # What scenarios ask

    def watch(self, stream: Any, read: bool = True) -> Any:
        """
        See what happens to a stream.
        """
        self.open += 1
        self.sights.append((stream, Sight(self, stream, read)))
        return stream

    def _sight(self, stream: Any) -> Sight:
        return next(sight for each, sight in self.sights if each is stream)

    def facts(self, stream: Any) -> dict[str, Any]:
        """
        Get what has been seen of a stream.
        """
        return self._sight(stream).facts

    def read(self, stream: Any) -> None:
        """
        Begin to read a body.
        """
        self._sight(stream).read()

    def note(self, stream: Any, text: object) -> None:
        """
        Add something to what is seen of a stream.
        """
        self.facts(stream)["notes"].append(str(text))

    def request(self, headers: Any = (), endStream: bool | None = None) -> Any:
        """
        Make a request that is watched.
        """
        return self.watch(self.session.request(headers, endStream=endStream))

    async def until(self, condition: Callable[[], Any]) -> None:
        """
        Wait for something to become true.
        """
        waiting: Deferred[None] = Deferred()
        self._waiting.append((condition, waiting))
        self.wake()
        await waiting

    def wake(self) -> None:
        """
        Look whether what somebody waits for has become true.
        """
        ready = [entry for entry in self._waiting if entry[0]()]
        self._waiting = [entry for entry in self._waiting if entry not in ready]
        for _, waiting in ready:
            # As in Node, what follows an event happens in a turn of its own.
            reactor.callLater(0, waiting.callback, None)

    async def response(self, stream: Any) -> None:
        """
        Wait for the response.
        """
        await self.until(lambda: self.facts(stream).get("response") or self._isOver(stream))

    async def data(self, stream: Any) -> None:
        """
        Wait for the first of a body.
        """
        await self.until(lambda: self.facts(stream)["length"] or self._isOver(stream))

    async def whole(self, stream: Any) -> None:
        """
        Wait for the end of a body.
        """
        await self.until(lambda: self.facts(stream).get("whole") or self._isOver(stream))

    async def over(self, stream: Any) -> None:
        """
        Wait for the end of a stream.
        """
        await self.until(lambda: self._isOver(stream))

    def _isOver(self, stream: Any) -> bool:
        return self.facts(stream)["code"] is not None

    async def ping(self, payload: bytes = POKE) -> None:
        """
        Send a PING, to say something to the other side or for its own sake.
        """
        await self.session.ping(payload)

    async def poked(self) -> None:
        """
        Wait for the other side's C{ping()}.
        """
        await self.until(lambda: self.pokes)

    # What happens

    def _requested(self, stream: Any, headers: Headers) -> None:
        self.watch(stream, read=not self._play.unread)
        self.facts(stream)["method"] = headers.method
        self._act(self._play.server(self, stream, headers))

    def _act(self, acting: Awaitable[None]) -> None:
        self._acting += 1

        def done(_: object) -> None:
            self._acting -= 1
            self._look()

        Deferred.fromCoroutine(acting).addCallbacks(done, self._fail)  # type: ignore[arg-type]

    def _fail(self, failure: Failure) -> None:
        _log.failure("a scenario failed here", failure)
        for waiting in (self._finished, self._closed):
            if not waiting.called:
                waiting.errback(failure)

    def streamOver(self) -> None:
        """
        A watched stream has ended.
        """
        self.open -= 1
        self._expected -= self.role == "server"
        self.wake()
        self._look()

    def _look(self) -> None:
        if not (self._acting or self.open or self._expected > 0 or self._finished.called):
            self._finished.callback(None)

    def _report(self) -> dict[str, Any]:
        streams = {str(stream.id or "unsent"): sight.facts for stream, sight in self.sights}
        return {"events": self.events, "error": self._error, "streams": streams}

    def sessionConnected(self, session: Any) -> None:
        """See L{SessionListener}."""
        self.session = session

    def streamReceived(self, session: Any, stream: Any, headers: Headers) -> None:
        """See L{SessionListener}."""
        if self.role == "client":
            self.watch(stream)
            self.facts(stream)["method"] = headers.method
            if self._play.onPush is not None:
                self._play.onPush(stream)

    def pingReceived(self, session: Any, payload: bytes) -> None:
        """See L{SessionListener}."""
        if payload == POKE:
            self.pokes += 1
            self.wake()
            if self._play.onPoke is not None:
                self._play.onPoke(session)
        elif payload == b"abcdefgh":
            self.events.append(["ping", payload.decode()])

    def goAwayReceived(self, session: Any, code: int, lastStreamID: int, debugData: bytes) -> None:
        """See L{SessionListener}."""
        self.events.append(["goaway", int(code), lastStreamID, debugData.decode()])
        self.wake()

    def altSvcReceived(self, session: Any, value: bytes, origin: bytes, streamID: int) -> None:
        """See L{SessionListener}."""
        self.events.append(["altsvc", value.decode(), origin.decode(), streamID])

    def originReceived(self, session: Any, origins: list[bytes]) -> None:
        """See L{SessionListener}."""
        self.events.append(["origin", *(origin.decode() for origin in origins)])

    def sessionClosed(self, session: Any, error: Exception | None) -> None:
        """See L{SessionListener}."""
        self._over = True
        self._error = _naming(error)
        self.wake()
        if not self._closed.called:
            self._closed.callback(self._report())
