"""
The routes, and L{Demo}, which finds the one that a request asks for.

A route is a function of a L{Request<txh2session.demo.request.Request>}.  One that never waits is a plain function; one that
does is a coroutine function, and is cancelled when its stream ends before it does.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Callable, Coroutine, Mapping
from importlib.resources import files
from string import Template
from typing import Any, NamedTuple, TypeAlias

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

import txh2session
from txh2session import ErrorCode, Headers, ServerSession, ServerStream, acceptTunnel
from txh2session.demo.facts import address, measure, sessionFacts, watch
from txh2session.demo.request import BadRequest, Request
from txh2session.demo.sockets import echoMessages, refusePlain

Answer: TypeAlias = "Callable[[Request], Coroutine[Deferred[object], object, None] | None]"
"""A route's function."""

_LARGEST_BODY = 2**31
_CHUNK = bytes(64 * 1024)


class Route(NamedTuple):
    """
    One entry of the table.

    @ivar path: as the page shows it; C{/N} at its end stands for an argument.
    @ivar example: a request to try, empty where that would only end the page's own session.
    @ivar summary: what the route does, for the page.
    @ivar answer: what does it.
    """

    path: str
    example: str
    summary: str
    answer: Answer


ROUTES: dict[str, Route] = {}
"""The routes by the first segment of their paths, in the order of the page."""


def _route(path: str, example: str, summary: str) -> Callable[[Answer], Answer]:
    """
    Enter a function into the table.
    """

    def enter(answer: Answer) -> Answer:
        ROUTES[path[1:].partition("/")[0].partition("?")[0]] = Route(path, example, summary, answer)
        return answer

    return enter


class Demo:
    """
    The application: C{Server(Demo(reactor).streamReceived)}.
    """

    def __init__(self, clock: IReactorTime) -> None:
        """
        @param clock: what the routes that wait tell the time by.
        """
        self._clock = clock
        self._open: dict[ServerSession, dict[int, ServerStream]] = {}

    def _opened(self, stream: ServerStream) -> Mapping[int, ServerStream]:
        """
        Note a stream until it is closed.

        @return: the open streams of its session, by their ids.
        """
        session, streamID = stream.session, stream.id
        assert streamID is not None  # it has come from the client
        streams = self._open.setdefault(session, {})
        streams[streamID] = stream

        def closed(result: object) -> None:
            del streams[streamID]
            if not streams:
                self._open.pop(session, None)

        stream.whenClosed().addBoth(closed)
        return streams

    def streamReceived(self, stream: ServerStream, headers: Headers) -> Deferred[None] | None:
        """
        Answer a request; see L{Server<txh2session.Server>}.
        """
        request = Request(stream, headers, self._clock, self._opened(stream))
        route = ROUTES.get(request.name)
        if ":protocol" in headers:
            # Extended CONNECT (RFC 8441); plain CONNECT has no path, and would make a proxy of this.
            if headers.path == "/connect-echo":
                acceptTunnel(stream, EchoTunnel())
                return None
            if headers.path == "/ws" and headers[":protocol"] == "websocket":
                return _run(request, echoMessages(request))
            route = None
        elif request.argument is None and request.name in _ASSETS:
            _sendAsset(request)
            return None
        if route is None or (request.argument is None) == route.path.endswith("/N"):
            request.answer("there is nothing here; / lists what there is\n", 404)
            return None
        try:
            waiting = route.answer(request)
        except BadRequest as problem:
            _refuse(request, problem)
            return None
        return None if waiting is None else _run(request, waiting)


class EchoTunnel(Protocol):
    """
    Sends back what comes through a tunnel, no faster than it goes.
    """

    def connectionMade(self) -> None:
        """See L{Protocol}."""
        transport: Any = self.transport
        transport.registerProducer(transport, True)

    def dataReceived(self, data: bytes) -> None:
        """See L{Protocol}."""
        self.transport.write(data)  # type: ignore[union-attr]


def _run(request: Request, waiting: Coroutine[Deferred[object], object, None]) -> Deferred[None]:
    """
    Run a route that waits, for as long as there is somebody to answer.
    """
    answering: Deferred[None] = Deferred.fromCoroutine(waiting)
    if not answering.called:
        request.stream.whenClosed().addBoth(lambda _: answering.cancel())

    def ended(failure: Failure) -> None:
        if failure.check(BadRequest):
            _refuse(request, failure.value)
        else:
            failure.trap(CancelledError)

    return answering.addErrback(ended)


def _refuse(request: Request, problem: object) -> None:
    request.answer(f"{problem}\n", 400)


# ---------------------------------------------------------------------------------------------------------------------
# Answers


@_route("/", "/", "This page.")
def index(request: Request) -> None:
    """
    Say what is here.
    """
    rows = [f"<tr><td>{_link(route)}<td>{html.escape(route.summary)}" for route in ROUTES.values()]
    page = Template(_read("index.html"))
    session = request.stream.session
    text = page.substitute(
        version=txh2session.__version__,
        protocol=session.alpnProtocol,
        peer=address(session.getPeer()),
        stream=request.stream.id,
        routes="\n".join(rows),
    )
    body = text.encode()
    request.stream.respond(
        {
            ":status": 200,
            "content-type": "text/html; charset=utf-8",
            "content-length": len(body),
            "content-security-policy": _POLICY,
            "cache-control": "no-store",
        }
    )
    request.stream.end(body)


_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)

_ASSETS = {"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8"}
"""What the page loads, with its type."""


def _read(name: str) -> str:
    return files("txh2session.demo").joinpath(name).read_text("utf-8")


def _sendAsset(request: Request) -> None:
    """
    Answer with one of the page's files.
    """
    request.answer(_read(request.name), contentType=_ASSETS[request.name])


def _link(route: Route) -> str:
    text = f"<code>{html.escape(route.path)}</code>"
    return f'<a href="{html.escape(route.example)}">{text}</a>' if route.example else text


@_route("/hello", "/hello", "Two words as text/plain.")
def hello(request: Request) -> None:
    """
    The shortest answer there is.
    """
    request.answer("hello world\n")


@_route("/bytes/N", "/bytes/1048576", "N zero bytes, streamed no faster than you read them; N is at most 2147483648.")
async def manyBytes(request: Request) -> None:
    """
    Stream a long body: C{send} says when there is room for more.
    """
    left = request.number(_LARGEST_BODY)
    stream = request.stream
    stream.respond({"content-type": "application/octet-stream", "content-length": left})
    if stream.headRequest:
        return
    while left > len(_CHUNK):
        await stream.send(_CHUNK)
        left -= len(_CHUNK)
    stream.end(_CHUNK[:left])


@_route("/echo", "", "Your request's body, streamed back as it arrives, with its content-type.")
async def echo(request: Request) -> None:
    """
    Stream in both directions at once.  A client that does not read the answer soon finds nobody reading its request.
    """
    stream = request.stream
    stream.respond({"content-type": request.headers.get(b"content-type", b"application/octet-stream")})
    if stream.headRequest:
        return
    async for chunk in stream:
        await stream.send(chunk)
    stream.end()


@_route("/discard", "", "Reads your request's body to its end and answers its length in bytes.")
async def discard(request: Request) -> None:
    """
    Read a long body, chunk by chunk.
    """
    length = 0
    async for chunk in request.stream:
        length += len(chunk)
    request.answer(f"{length}\n")


@_route("/unread?seconds=S", "/unread?seconds=1", "Never reads your request's body, and answers after S seconds (20).")
async def unread(request: Request) -> None:
    """
    Let the client find its window shut, which does not hinder its other streams.
    """
    seconds = request.seconds(20)
    await request.sleep(seconds)
    request.answer(f"nothing was read for {seconds:g} seconds\n")


@_route("/trailers", "/trailers", "A body, and after it trailers with its length and its SHA-256 digest.")
def trailers(request: Request) -> None:
    """
    Say at the end what is not known at the start.
    """
    body = b"The trailers say how long this is.\n"
    names = ["x-body-length", "x-body-sha256"]
    request.stream.respond({"content-type": "text/plain", "trailer": ", ".join(names)})
    request.stream.write(body)
    request.stream.end(trailers=dict(zip(names, [str(len(body)), hashlib.sha256(body).hexdigest()], strict=True)))


@_route("/early-hints", "/early-hints", "103 Early Hints with a link, then 200.")
def earlyHints(request: Request) -> None:
    """
    Name what the client will need before the answer is there (RFC 8297).
    """
    link = "</hello>; rel=preload; as=fetch"
    request.stream.additionalHeaders({":status": 103, "link": link})
    request.answer(f"A 103 response came before this one, with link: {link}\n")


@_route("/session", "/session", "What the server knows of your session, as JSON.")
async def session(request: Request) -> None:
    """
    Tell the facts of a session, after a PING that measures the round trip.
    """
    await measure(request.stream)
    facts = sessionFacts(request.stream)
    request.answer(json.dumps(facts, indent=2) + "\n", contentType="application/json")


@_route(
    "/live?seconds=S", "/live?seconds=2", "The same with all open streams, a line twice a second for S seconds (3600)."
)
async def live(request: Request) -> None:
    """
    Tell the facts again and again.
    """
    await watch(request, request.seconds(3600))


@_route("/drip/N", "/drip/8", "N lines, one every quarter of a second; N is at most 1000.")
async def drip(request: Request) -> None:
    """
    Stream what is not there yet.
    """
    left = request.number(1000)
    stream = request.stream
    stream.respond({"content-type": "text/plain; charset=utf-8", "cache-control": "no-store"})
    if stream.headRequest:
        return
    for number in range(left):
        await request.sleep(0.25)
        await stream.send(f"line {number + 1} of {left}\n".encode())
    stream.end()


@_route("/destroy?code=N", "", "Destroys this session with error code N; without one, as if nothing were wrong.")
def destroy(request: Request) -> None:
    """
    End the session, this request's stream included.
    """
    request.stream.session.destroy(code=request.code())


@_route("/goaway?code=N", "", "Sends a GOAWAY with error code N (0), then answers 200; no new streams after that.")
def goaway(request: Request) -> None:
    """
    Announce that this stream is the last one.
    """
    code = request.code() or ErrorCode.NO_ERROR
    request.stream.session.goaway(code)
    request.answer(f"This was the last stream: a GOAWAY with code {int(code)} came before this answer.\n")


@_route("/reset?code=N", "", "Resets this stream with error code N (0).")
def reset(request: Request) -> None:
    """
    End the stream without an answer.
    """
    request.stream.close(request.code() or ErrorCode.NO_ERROR)


@_route("/slow?seconds=S", "/slow?seconds=2", "Answers after S seconds (1).")
async def slow(request: Request) -> None:
    """
    Take a while.
    """
    seconds = request.seconds(1)
    await request.sleep(seconds)
    request.answer(f"that took {seconds:g} seconds\n")


@_route("/connect-echo", "", "A tunnel that echoes, for extended CONNECT with any protocol (RFC 8441).")
def connectEcho(request: Request) -> None:
    """
    Tell those who come without CONNECT.
    """
    request.answer("this is a tunnel: come by extended CONNECT (RFC 8441)\n", 405)


@_route("/ws", "", "A WebSocket that echoes its messages, for extended CONNECT (RFC 8441).")
def webSocket(request: Request) -> None:
    """
    Tell those who come without CONNECT.
    """
    refusePlain(request)
