"""
The scenarios as our two sides play them, by their names in C{expected.txt}.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.peers.traces.acts import (
    HALF,
    POST,
    SECRETS,
    answering,
    answeringWhole,
    answerThenRead,
    answerWhole,
    cancelEarly,
    clientSettings,
    closeThenEnd,
    declaredEmpty,
    download,
    drainThenEnd,
    echo,
    endAtGoAway,
    endWithoutAnswer,
    exclude,
    extendedTunnel,
    extendedTunnelled,
    five,
    fiveThen,
    get,
    getThenClose,
    getThenPoke,
    goAway,
    goAwayThenEnd,
    goAwayThenPoke,
    hello,
    helloThenClose,
    hints,
    longThenPoke,
    noteOpen,
    noteSettings,
    noting,
    pingInAnswer,
    pingThenGet,
    poker,
    push,
    pushDisabled,
    pushHead,
    pushRefused,
    refuseExpectation,
    requesting,
    seeSettings,
    sendFile,
    sendTrailers,
    serverSettings,
    stopAtAnswer,
    thenEnd,
    three,
    tunnel,
    tunnelled,
    twoDownloads,
    upload,
    waitForContinue,
    writing,
)
from tests.peers.traces.here import HereSide, Own, Play
from txh2session import ErrorCode, Headers

PLAYS: dict[str, Play] = {
    "get": Play(get, answering(answerWhole({"content-type": "text/plain"}, b"hello world"))),
    "head": Play(requesting({":method": "HEAD"}), answering(answerWhole({"content-length": "11"}, b""))),
    "no content": Play(get, answering(lambda s: s.respond({":status": 204}))),
    "not modified": Play(get, answering(lambda s: s.respond({":status": 304, "etag": '"x"'}))),
    "empty answer": Play(get, answering(lambda s: s.respond({":status": 404}, endStream=True))),
    "answer ended later": Play(get, answering(answerWhole(None, b""))),
    "reset content": Play(get, answering(lambda s: s.respond({":status": 205}))),
    "delete": Play(requesting({":method": "DELETE", ":path": "/x?y=1"}), hello),
    "options of the server": Play(
        requesting({":method": "OPTIONS", ":path": "*"}, b""), noting(lambda headers: headers.path)
    ),
    "host": Play(
        requesting({"host": "example.org"}),
        noting(lambda headers: f"{headers.get(':authority', 'none')} {headers['host']}"),
    ),
    "other authority": Play(
        requesting({":authority": "example.org", ":scheme": "https", "te": "trailers"}),
        noting(lambda headers: f"{headers.scheme} {headers.authority} {headers['te']}"),
    ),
    "implicit answer": Play(get, answering(lambda s: s.end(b"hello"))),
    "end without an answer": Play(endWithoutAnswer, answering(lambda s: s.end())),
    "echo": Play(requesting(POST, HALF), echo),
    "empty upload": Play(requesting(POST, b""), answeringWhole(b"nothing")),
    "upload declared empty": Play(declaredEmpty, answeringWhole(b"nothing")),
    "trailers": Play(get, answering(lambda s: s.end(b"body", trailers={"x-end": "yes", "x-more": ["one", "two"]}))),
    "trailers without a body": Play(get, answering(lambda s: s.end(trailers={"x-end": "yes"}))),
    "empty trailers": Play(get, answering(lambda s: s.end(b"body", trailers={}))),
    "trailers of a request": Play(sendTrailers, answeringWhole(b"")),
    "early hints": Play(get, answering(hints)),
    "continue": Play(waitForContinue, answeringWhole(b"done")),
    "expectation refused": Play(stopAtAnswer, refuseExpectation, unread=True),
    "other expectation": Play(requesting({"expect": "wonders"}), noting(lambda headers: headers["expect"])),
    "push": Play(get, push, streams=2, clientSettings={"enablePush": True}),
    "push for HEAD": Play(get, pushHead, streams=2, clientSettings={"enablePush": True}),
    "push refused": Play(
        get,
        pushRefused,
        streams=2,
        clientSettings={"enablePush": True},
        onPush=lambda pushed: pushed.close(ErrorCode.CANCEL),
    ),
    "push disabled": Play(get, pushDisabled, clientSettings={"enablePush": False}),
    "reset before the answer": Play(get, answering(lambda s: s.close(ErrorCode.INTERNAL_ERROR))),
    "refused": Play(get, answering(lambda s: s.close(ErrorCode.REFUSED_STREAM))),
    "closed before the answer": Play(get, answering(lambda s: s.close())),
    "reset in mid-answer": Play(poker, fiveThen(lambda t, s: s.close(ErrorCode.INTERNAL_ERROR))),
    "answer cancelled": Play(poker, fiveThen(lambda t, s: s.close(ErrorCode.CANCEL))),
    "answer cut with NO_ERROR": Play(poker, fiveThen(lambda t, s: s.close())),
    "server destroys a stream": Play(poker, fiveThen(lambda t, s: s.destroy())),
    "server destroys a stream with an error": Play(poker, fiveThen(lambda t, s: s.destroy(Own("own")))),
    "cancelled before the answer": Play(cancelEarly, answering(lambda s: None)),
    "download cancelled": Play(download(lambda t, s: s.close(ErrorCode.CANCEL)), five),
    "download closed with a code": Play(download(lambda t, s: s.close(11)), five),
    "download closed with an unknown code": Play(download(lambda t, s: s.close(77)), five),
    "download closed": Play(download(lambda t, s: s.close()), five),
    "client destroys a stream": Play(download(lambda t, s: s.destroy()), five),
    "client destroys a stream with an error": Play(download(lambda t, s: s.destroy(Own("own"))), five),
    "upload cancelled": Play(upload(lambda t, s: s.close(ErrorCode.CANCEL)), answerThenRead),
    "upload closed": Play(upload(lambda t, s: s.close()), answerThenRead),
    "client destroys an upload": Play(upload(lambda t, s: s.destroy()), answerThenRead),
    "client destroys an upload with an error": Play(upload(lambda t, s: s.destroy(Own("own"))), answerThenRead),
    "upload closed with a code": Play(upload(lambda t, s: s.close(11)), answerThenRead),
    "early answer": Play(writing, answering(answerWhole({":status": 413}, b"too much", close=True))),
    "early answer, upload unread": Play(writing, answering(answerWhole({":status": 413}, b"too much")), unread=True),
    "client changes settings": Play(
        clientSettings, fiveThen(noteSettings), clientSettings={"initialWindowSize": 100000}
    ),
    "server changes settings": Play(
        seeSettings, serverSettings, serverSettings={"initialWindowSize": 100000, "maxConcurrentStreams": 50}
    ),
    "client pings": Play(pingThenGet, hello),
    "server pings": Play(get, pingInAnswer),
    "client goes away": Play(download(goAwayThenPoke), fiveThen(lambda t, s: s.end(b"678"))),
    "server goes away": Play(poker, fiveThen(goAwayThenEnd)),
    "client goes away with a code": Play(download(goAway(11)), five),
    "server goes away with a code": Play(poker, fiveThen(goAway(11))),
    "server excludes a stream": Play(twoDownloads, exclude, streams=2),
    "client closes": Play(download(lambda t, s: t.session.close() and None), endAtGoAway),
    "server closes": Play(poker, fiveThen(closeThenEnd)),
    "server drains": Play(poker, fiveThen(drainThenEnd)),
    "client closes while idle": Play(getThenClose, hello),
    "server closes while idle": Play(getThenPoke, helloThenClose),
    "alternative for an origin": Play(
        poker, fiveThen(thenEnd(lambda t, s: t.session.altsvc('h3=":8443"', "https://example.org")))
    ),
    "alternative for a stream": Play(poker, fiveThen(thenEnd(lambda t, s: t.session.altsvc('h3=":8443"', s)))),
    "origins": Play(
        poker,
        fiveThen(thenEnd(lambda t, s: t.session.origin("https://example.org/x", "https://example.com:8443"))),
    ),
    "tunnel": Play(tunnel, tunnelled),
    "extended tunnel": Play(extendedTunnel, extendedTunnelled, serverSettings={"enableConnectProtocol": True}),
    "file": Play(get, sendFile),
    "priority": Play(
        requesting({"priority": "u=1, i"}), noting(lambda headers: headers["priority"], {"priority": "u=5"})
    ),
    "sensitive": Play(
        requesting(Headers(SECRETS, sensitive=["x-key"])),
        noting(
            lambda headers: " ".join(sorted(name.decode() for name in headers.sensitive)),
            Headers({"x-answer": "secret", "set-cookie": "short=2"}, sensitive=["x-answer"]),
        ),
    ),
    "cookies": Play(
        requesting({"cookie": ["first=123456789012345678901234567890", "second=2"]}),
        noting(lambda headers: headers["cookie"], {"set-cookie": ["first=1", "second=2"]}),
    ),
    "several values": Play(
        requesting({"accept": ["text/plain", "text/html"], "X-Upper": "Case", "x-number": 5}),
        noting(lambda headers: f"{headers['accept']} {headers['x-upper']} {headers['x-number']}"),
    ),
    "long header list": Play(
        requesting({f"x-field-{number}": (str(number) * 400)[:400] for number in range(100)}),
        noting(lambda headers: f"{sum(name.startswith('x-field-') for name, _ in headers)} fields"),
    ),
    "header list above the limit": Play(
        requesting({"x-long": "x" * 1500}), hello, streams=0, serverSettings={"maxHeaderListSize": 1000}
    ),
    "header list far above the limit": Play(
        longThenPoke,
        hello,
        streams=0,
        serverSettings={"maxHeaderListSize": 1000},
        onPoke=lambda session: session.close(),
    ),
    "small windows": Play(get, answering(answerWhole(None, b"x" * 35)), clientSettings={"initialWindowSize": 10}),
    "one stream at a time": Play(three, noteOpen, streams=3, serverSettings={"maxConcurrentStreams": 1}),
    "large frames": Play(get, answering(answerWhole(None, b"x" * 40000)), clientSettings={"maxFrameSize": 32768}),
    "content-length too large": Play(get, answering(answerWhole({"content-length": "100"}, b"hello"))),
    "content-length too small": Play(get, answering(answerWhole({"content-length": "2"}, b"hello"))),
}


def _addDestroying() -> None:
    destroying: dict[str, Callable[[Any], None]] = {
        "nothing": lambda session: session.destroy(),
        "an error": lambda session: session.destroy(Own("own")),
        "a code": lambda session: session.destroy(11),
        "an error and a code": lambda session: session.destroy(Own("own"), 11),
        "no error and a code": lambda session: session.destroy(None, 11),
    }
    for what, destroy in destroying.items():

        def act(t: HereSide, stream: Any, destroy: Callable[[Any], None] = destroy) -> None:
            destroy(t.session)

        PLAYS[f"client destroys with {what}"] = Play(download(act), five)
        PLAYS[f"server destroys with {what}"] = Play(poker, fiveThen(act))


_addDestroying()
