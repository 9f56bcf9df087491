"""
What our two sides do in scenarios; C{plays} says in which.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.peers.traces.here import POKE, HereSide
from txh2session import ErrorCode, Headers, InvalidState

HALF = b"half a sentence"
POST = {":method": "POST"}


async def get(t: HereSide) -> None:
    """
    Ask.
    """
    t.request()


async def hello(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Answer.
    """
    s.respond()
    s.end(b"hello")


async def five(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Begin to answer.
    """
    s.respond()
    s.write(b"12345")


async def echo(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Answer with what comes, when it has come.
    """
    s.respond()
    await t.whole(s)
    s.end(b"x" * t.facts(s)["length"])


def requesting(headers: Any = (), end: bytes | None = None) -> Callable[[HereSide], Awaitable[None]]:
    """
    Ask for something particular.

    @param end: the request's body, if it has one.
    """

    async def client(t: HereSide) -> None:
        stream = t.request(headers)
        if end is not None:
            stream.end(end)

    return client


def answering(act: Callable[[Any], object]) -> Callable[[HereSide, Any, Headers], Awaitable[None]]:
    """
    Do something with a stream at once.
    """

    async def server(t: HereSide, s: Any, headers: Headers) -> None:
        act(s)

    return server


def answeringWhole(body: bytes) -> Callable[[HereSide, Any, Headers], Awaitable[None]]:
    """
    Answer when the request is whole.
    """

    async def server(t: HereSide, s: Any, headers: Headers) -> None:
        await t.whole(s)
        s.respond()
        s.end(body)

    return server


def noting(
    what: Callable[[Headers], object], answer: Any = None
) -> Callable[[HereSide, Any, Headers], Awaitable[None]]:
    """
    Say something of the request, and answer.
    """

    async def server(t: HereSide, s: Any, headers: Headers) -> None:
        t.note(s, what(headers))
        s.respond(answer)
        s.end(b"hello")

    return server


Act = Callable[[HereSide, Any], object]


async def _do(act: Act, t: HereSide, stream: Any) -> None:
    result = act(t, stream)
    if hasattr(result, "__await__"):
        await result


def download(act: Act) -> Callable[[HereSide], Awaitable[None]]:
    """
    Do something as the client in the middle of a download.
    """

    async def client(t: HereSide) -> None:
        stream = t.request()
        await t.data(stream)
        await _do(act, t, stream)

    return client


async def poker(t: HereSide) -> None:
    """
    Have the server do something in the middle of a download.
    """
    stream = t.request()
    await t.data(stream)
    t.session.ping(POKE).addErrback(lambda _: None)


def fiveThen(act: Act) -> Callable[[HereSide, Any, Headers], Awaitable[None]]:
    """
    Do something as the server in the middle of a download.
    """

    async def server(t: HereSide, s: Any, headers: Headers) -> None:
        await five(t, s, headers)
        await t.poked()
        await _do(act, t, s)

    return server


def upload(act: Act) -> Callable[[HereSide], Awaitable[None]]:
    """
    Do something as the client in the middle of an upload.
    """

    async def client(t: HereSide) -> None:
        stream = t.request(POST)
        stream.write(b"12345")
        await t.response(stream)
        await _do(act, t, stream)

    return client


async def answerThenRead(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Begin to answer an upload in its middle.
    """
    await t.data(s)
    s.respond()


async def endWithoutAnswer(t: HereSide) -> None:
    """
    Ask, and give up when two PINGs have been answered and nothing else has.
    """
    stream = t.request()
    await t.ping()
    await t.ping()
    if not t.facts(stream).get("response"):
        stream.close(ErrorCode.CANCEL)


async def cancelEarly(t: HereSide) -> None:
    """
    Give up before there is an answer.
    """
    stream = t.request()
    await t.ping()
    stream.close(ErrorCode.CANCEL)


async def writing(t: HereSide) -> None:
    """
    Begin an upload.
    """
    t.request(POST).write(b"12345")


async def declaredEmpty(t: HereSide) -> None:
    """
    Say in the headers that a POST has no body.
    """
    t.request(POST, endStream=True)


async def sendTrailers(t: HereSide) -> None:
    """
    Upload, with trailers.
    """
    t.request(POST).end(HALF, trailers={"x-end": "yes"})


def hints(s: Any) -> None:
    """
    Answer after two early hints.
    """
    s.additionalHeaders({":status": 103, "link": "</a.css>; rel=preload"})
    s.additionalHeaders({":status": 103, "link": "</b.js>; rel=preload"})
    s.respond()
    s.end(b"hello")


async def waitForContinue(t: HereSide) -> None:
    """
    Upload when told to go on.
    """
    stream = t.request({**POST, "expect": "100-continue"})
    await t.until(lambda: 100 in t.facts(stream)["information"])
    stream.end(HALF)


async def stopAtAnswer(t: HereSide) -> None:
    """
    Do not upload after all, when answered instead of told to go on.
    """
    stream = t.request({**POST, "expect": "100-continue"})
    await t.response(stream)
    stream.end()


async def refuseExpectation(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Answer instead of telling the client to go on.
    """
    s.respond({":status": 417})
    t.read(s)
    await t.whole(s)
    s.end(b"no")


def answerWhole(headers: Any, body: bytes, *, close: bool = False) -> Callable[[Any], None]:
    """
    Answer at once.

    @param close: whether to close the stream then.
    """

    def act(s: Any) -> None:
        s.respond(headers)
        s.end(body)
        if close:
            s.close()

    return act


async def sendFile(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Answer with a part of a file.
    """
    s.respondWithFile(__file__, {"content-type": "text/plain"}, offset=5, length=10)


async def push(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Push a second answer with the first.
    """
    s.respond()
    pushed = t.watch(s.pushStream({":path": "/pushed", "x-why": "style"}))
    pushed.respond()
    pushed.end(b"pushed")
    s.end(b"hello")


async def pushHead(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Push the headers that answer a HEAD.
    """
    s.respond()
    pushed = t.watch(s.pushStream({":path": "/pushed", ":method": "HEAD"}))
    pushed.respond({"content-length": 6})
    s.end(b"hello")


async def pushRefused(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Promise a push, and answer when it has been refused.
    """
    s.respond()
    pushed = t.watch(s.pushStream({":path": "/pushed"}))
    await t.over(pushed)
    s.end(b"hello")


async def pushDisabled(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Try to push to a client that wants none.
    """
    t.note(s, "may push" if s.pushAllowed else "may not push")
    try:
        s.pushStream({":path": "/pushed"})
    except InvalidState:
        t.note(s, "raised")
    await hello(t, s, headers)


async def clientSettings(t: HereSide) -> None:
    """
    Change the client's settings in the middle of a download.
    """
    stream = t.request()
    await t.data(stream)
    settings = await t.session.settings(initialWindowSize=123456, maxFrameSize=20000)
    t.note(stream, f"acknowledged {settings.initialWindowSize} {settings.maxFrameSize}")
    await t.ping()


def noteSettings(t: HereSide, s: Any) -> None:
    """
    Tell the client's settings, and end.
    """
    t.note(s, f"{t.session.remoteSettings.initialWindowSize} {t.session.remoteSettings.maxFrameSize}")
    s.end()


async def seeSettings(t: HereSide) -> None:
    """
    Tell the server's settings after an answer.
    """
    stream = t.request()
    await t.whole(stream)
    t.note(stream, f"{t.session.remoteSettings.initialWindowSize} {t.session.remoteSettings.maxConcurrentStreams}")


async def serverSettings(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Change the server's settings in the middle of an answer.
    """
    s.respond()
    settings = await t.session.settings(initialWindowSize=123456, maxConcurrentStreams=7)
    t.note(s, f"acknowledged {settings.initialWindowSize} {settings.maxConcurrentStreams}")
    s.end(b"hello")


async def pingThenGet(t: HereSide) -> None:
    """
    Ask when a PING has been answered.
    """
    await t.ping(b"abcdefgh")
    t.request()


async def pingInAnswer(t: HereSide, s: Any, headers: Headers) -> None:
    """
    End an answer when a PING has been answered.
    """
    s.respond()
    await t.ping(b"abcdefgh")
    s.end(b"hello")


async def goAwayThenPoke(t: HereSide, stream: Any) -> None:
    """
    Announce the end, and have the server do something.
    """
    t.session.goaway(0, 0, b"because")
    await t.ping()


def goAway(code: int) -> Act:
    """
    Announce the end with a code.
    """
    return lambda t, stream: t.session.goaway(code, 0, b"because")


async def goAwayThenEnd(t: HereSide, s: Any) -> None:
    """
    Announce the end, then end the answer, then close.
    """
    t.session.goaway(0, 0, b"because")
    s.end(b"678")
    await t.over(s)
    t.session.close()


async def twoDownloads(t: HereSide) -> None:
    """
    Begin two downloads, then have the server do something.
    """
    for _ in range(2):
        await t.data(t.request())
    await t.ping()


async def exclude(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Announce the end after the first of two streams.
    """
    await five(t, s, headers)
    if s.id == 1:
        await t.poked()
        t.session.goaway(0, 1)
        s.end(b"678")
        await t.over(s)
        t.session.close()


async def endAtGoAway(t: HereSide, s: Any, headers: Headers) -> None:
    """
    End the answer when the client has announced the end.
    """
    await five(t, s, headers)
    await t.until(lambda: t.events)
    s.end(b"678")


def closeThenEnd(t: HereSide, s: Any) -> None:
    """
    Close the session, then end the answer.
    """
    t.session.close()
    s.end(b"678")


async def drainThenEnd(t: HereSide, s: Any) -> None:
    """
    Drain the session, then end the answer.
    """
    t.session.drain()
    await t.ping()
    s.end(b"678")


async def getThenClose(t: HereSide) -> None:
    """
    Close the session after an answer.
    """
    await t.over(t.request())
    await t.ping()
    t.session.close()


async def getThenPoke(t: HereSide) -> None:
    """
    Have the server do something after an answer.
    """
    await t.over(t.request())
    t.session.ping(POKE).addErrback(lambda _: None)


async def helloThenClose(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Close the session after an answer.
    """
    await hello(t, s, headers)
    await t.poked()
    t.session.close()


def thenEnd(tell: Act) -> Act:
    """
    Do something in an answer, then end it.
    """

    def act(t: HereSide, s: Any) -> None:
        tell(t, s)
        s.end()

    return act


async def tunnel(t: HereSide) -> None:
    """
    Open a tunnel and send something through it.
    """
    stream = t.request({":method": "CONNECT", ":authority": "example.org:443"})
    await t.response(stream)
    stream.end(HALF)


async def tunnelled(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Be a tunnel's end.
    """
    t.note(s, f"{headers.authority} {headers.path or 'none'} {headers.scheme or 'none'}")
    await echo(t, s, headers)


async def extendedTunnel(t: HereSide) -> None:
    """
    Open a tunnel for another protocol and send something through it.
    """
    stream = t.request({":method": "CONNECT", ":protocol": "websocket", ":path": "/chat"})
    await t.response(stream)
    stream.end(HALF)


async def extendedTunnelled(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Be its end.
    """
    t.note(s, f"{headers[':protocol']} {headers.path}")
    await echo(t, s, headers)


SECRETS = {"x-key": "secret", "x-other": "open", "authorization": "Basic Zm9vOmJhcg==", "cookie": "short=1"}


async def longThenPoke(t: HereSide) -> None:
    """
    Send a header list that is far too long, then have the server do something if it still can.
    """
    await t.over(t.request({"x-long": "x" * 4000}))
    if not t.session.destroyed:
        await t.ping()


async def three(t: HereSide) -> None:
    """
    Ask for three things.
    """
    for number in (1, 2, 3):
        t.request({":path": f"/{number}"})


async def noteOpen(t: HereSide, s: Any, headers: Headers) -> None:
    """
    Tell how many streams are open, and answer.
    """
    t.note(s, f"{t.open} open")
    await hello(t, s, headers)
