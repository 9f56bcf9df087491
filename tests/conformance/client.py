"""
What a server may not do to a client, and what a client has to bear.
"""

from __future__ import annotations

from typing import Any

from hyperframe.frame import SettingsFrame

from tests.conformance.rows import (
    CALM,
    Closes,
    EndsConnection,
    EndsStream,
    F,
    H,
    Lives,
    P,
    Row,
    S,
    W,
    raw,
)
from tests.conformance.server import dependent, resized, setting
from txh2session import Limits, Settings
from txh2session.testing import requestFields

PUSH = Settings(enablePush=True)
ANSWER = b"\x88"
"""A response of one field: 200."""


def promise(peer: Any, fields: list[tuple[str, str]], streamID: int = 1, promised: int = 2) -> Any:
    """
    Make a promise with a header list.
    """
    return raw(5, streamID, promised.to_bytes(4, "big") + peer.encoder.encode(fields), 4)


GREETING = [
    Row("firstFrameIsNotSettings", "3.4", EndsConnection(P, 0), lambda p: [p.ping()], greets=False),
    Row(
        "firstFrameAcknowledges", "3.4", EndsConnection(P, 0), lambda p: [SettingsFrame(0, flags=["ACK"])], greets=False
    ),
    Row("anotherProtocol", "3.4", Closes(False), lambda p: [b"HTTP/1.1 400 Bad Request\r\n\r\n"], greets=False),
]

FRAMES = [
    Row("unknownFrame", "4.1", Lives(), lambda p: [p.unknown(), p.unknown(0xF0, 1, b"abc"), p.unknown(0xF0, 999)]),
    Row("unknownFlags", "4.1", Lives(("PING ACK",)), lambda p: [raw(6, 0, b"flagged ", 0xFE)]),
    Row("reservedBit", "4.1", Lives(("PING ACK",)), lambda p: [raw(6, 0x80000000, b"reserved")]),
    Row("frameTooLong", "4.2", EndsConnection(F, 0), lambda p: [b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"]),
    Row("badHeaderBlock", "4.3", EndsConnection(H, 0), lambda p: [raw(1, 5, b"\xff\xff\xff\xff\xff\xff", 4)]),
    Row("blockBrokenByData", "4.3", EndsConnection(P, 0), lambda p: [raw(1, 5, ANSWER), p.data(1, b"x")]),
    Row("blockBrokenByPing", "4.3", EndsConnection(P, 0), lambda p: [raw(1, 5, ANSWER), p.ping()]),
    Row(
        "tableFollowsMalformedResponses",
        "4.3",
        Lives(("RST_STREAM 3 PROTOCOL_ERROR",)),
        lambda p: [
            p.response(3, ("Upper", "case"), ("new-name", "value")),
            p.response(5, ("new-name", "value"), end=True),
        ],
    ),
    Row(
        "tableFollowsUnwantedPromises",
        "4.3",
        Lives(("RST_STREAM 4 CANCEL",)),
        lambda p: [
            p.promise(1, 2),
            p.promise(1, 4, "/new-path"),
            p.response(5, ("new-name", "value"), end=True),
            p.response(3, ("new-name", "value")),
        ],
        PUSH,
        Limits(reservedStreams=1),
    ),
]

STATES = [
    Row("idleData", "5.1", EndsConnection(P, 0), lambda p: [p.data(99, b"x")]),
    Row("idleHeaders", "5.1", EndsConnection(P, 0), lambda p: [p.response(99)]),
    Row("idleReset", "5.1", EndsConnection(P, 0), lambda p: [p.reset(99)]),
    Row("idleWindow", "5.1", EndsConnection(P, 0), lambda p: [p.window(99, 1)]),
    Row("idlePriority", "5.1", Lives(), lambda p: [p.priority(99), p.priority(2)]),
    Row("idlePushHeaders", "5.1", EndsConnection(P, 0), lambda p: [p.response(2)], PUSH),
    Row("idlePushData", "5.1", EndsConnection(P, 0), lambda p: [p.data(2, b"x")], PUSH),
    Row("reservedData", "5.1", EndsConnection(P, 2), lambda p: [p.promise(1, 2), p.data(2, b"x")], PUSH),
    Row("reservedWindow", "5.1", EndsConnection(P, 2), lambda p: [p.promise(1, 2), p.window(2, 1)], PUSH),
    Row("reservedHeaders", "5.1", Lives(), lambda p: [p.promise(1, 2), p.priority(2), p.response(2, end=True)], PUSH),
    Row("reservedReset", "5.1", Lives(), lambda p: [p.promise(1, 2), p.reset(2)], PUSH),
    Row(
        "pushedWindow",
        "5.1",
        Lives(),
        lambda p: [p.promise(1, 2), p.response(2), p.window(2, 1), p.data(2, b"x", end=True)],
        PUSH,
    ),
    Row("dataAfterEnd", "5.1", EndsStream(3, S), lambda p: [p.response(3, end=True), p.data(3, b"x")]),
    Row(
        "headersAfterEnd",
        "5.1",
        EndsStream(3, S),
        lambda p: [p.response(3, end=True), p.headers(3, [("a", "b")], end=True)],
    ),
    Row(
        "othersAfterEnd",
        "5.1",
        Lives(),
        lambda p: [p.response(3, end=True), p.window(3, 1), p.priority(3), p.reset(3, 0)],
    ),
    Row("dataOnClosed", "5.1", EndsConnection(S, 0), lambda p: [p.response(5, end=True), p.data(5, b"x")]),
    Row("headersOnClosed", "5.1", EndsConnection(S, 0), lambda p: [p.response(5, end=True), p.response(5)]),
    Row("continuationOnClosed", "5.1", EndsConnection(P, 0), lambda p: [p.response(5, end=True), raw(9, 5, ANSWER, 4)]),
    Row(
        "othersOnClosed", "5.1", Lives(), lambda p: [p.response(5, end=True), p.window(5, 1), p.reset(5), p.priority(5)]
    ),
    Row(
        "framesAfterOurReset",
        "5.1",
        Lives(("RST_STREAM 5 PROTOCOL_ERROR", "WINDOW_UPDATE 1000")),
        lambda p: [
            p.headers(5, [(":status", "abc")]),
            p.data(5, b"x" * 1000),
            p.headers(5, [("a", "b")], end=True),
            p.window(5, 1),
            p.reset(5),
            p.priority(5),
        ],
    ),
    Row(
        "framesAfterTheirReset",
        "5.1",
        Lives(),
        lambda p: [p.reset(5, 7), p.data(5, b"x"), p.response(5), p.window(5, 1), p.priority(5)],
    ),
    Row("requestFromServer", "5.1.1", EndsConnection(P, 0), lambda p: [p.get(2)]),
    Row("dependsOnItself", "7540 5.3.1", EndsStream(5, P), lambda p: _answerDependingOn(p, 5)),
    Row("priorityOnItself", "7540 5.3.1", EndsStream(5, P), lambda p: [p.priority(5, 5)]),
    Row("extensionInABlock", "5.5", EndsConnection(P, 0), lambda p: [raw(1, 5, ANSWER), p.unknown()]),
    Row("unknownSettings", "5.5", Lives(("SETTINGS ACK",)), lambda p: setting(0x99, 7)),
]


def _answerDependingOn(peer: Any, on: int) -> list[Any]:
    (frame,) = dependent(peer, on, 5)
    frame.data = peer.encoder.encode([(":status", "200")])
    return [frame]


KINDS = [
    Row("dataOnStreamZero", "6.1", EndsConnection(P, 0), lambda p: [raw(0, 0, b"x")]),
    Row("dataPaddingTooLong", "6.1", EndsConnection(P, 0), lambda p: [raw(0, 1, b"\x05abcd", 8)]),
    Row("headersOnStreamZero", "6.2", EndsConnection(P, 0), lambda p: [raw(1, 0, ANSWER, 5)]),
    Row("headersPaddingTooLong", "6.2", EndsConnection(P, 0), lambda p: [raw(1, 5, b"\x09" + ANSWER, 0x0D)]),
    Row("priorityOnStreamZero", "6.3", EndsConnection(P, 0), lambda p: [raw(2, 0, bytes(5))]),
    Row("priorityTooShort", "6.3", EndsStream(5, F), lambda p: [raw(2, 5, bytes(4))]),
    Row("resetOnStreamZero", "6.4", EndsConnection(P, 0), lambda p: [raw(3, 0, bytes(4))]),
    Row("resetTooShort", "6.4", EndsConnection(F, 0), lambda p: [raw(3, 5, bytes(3))]),
    Row("settingsOnAStream", "6.5", EndsConnection(P, 0), lambda p: [raw(4, 1)]),
    Row("settingsWrongSize", "6.5", EndsConnection(F, 0), lambda p: [raw(4, 0, bytes(5))]),
    Row("acknowledgementWithPayload", "6.5", EndsConnection(F, 0), lambda p: [raw(4, 0, bytes(6), 1)]),
    Row("enablePushFromServer", "6.5.2", EndsConnection(P, 0), lambda p: setting(2, 1)),
    Row("enablePushZeroFromServer", "6.5.2", Lives(("SETTINGS ACK",)), lambda p: setting(2, 0)),
    Row("initialWindowTooLarge", "6.5.2", EndsConnection(W, 0), lambda p: setting(4, 2**31)),
    Row("maxFrameSizeTooSmall", "6.5.2", EndsConnection(P, 0), lambda p: setting(5, 2**14 - 1)),
    Row("maxFrameSizeTooLarge", "6.5.2", EndsConnection(P, 0), lambda p: setting(5, 2**24)),
    Row("promiseUnasked", "6.6", EndsConnection(P, 0), lambda p: [p.promise(1, 2)]),
    Row("promiseOnStreamZero", "6.6", EndsConnection(P, 0), lambda p: [promise(p, requestFields(), 0)], PUSH),
    Row("promiseOnIdleStream", "6.6", EndsConnection(P, 0), lambda p: [p.promise(99, 2)], PUSH),
    Row("promiseOnAPush", "6.6", EndsConnection(P, 2), lambda p: [p.promise(1, 2), p.promise(2, 4)], PUSH),
    Row("promiseAfterTheEnd", "6.6", EndsConnection(P, 0), lambda p: [p.response(3, end=True), p.promise(3, 2)], PUSH),
    Row("promiseOfOddStream", "6.6", EndsConnection(P, 0), lambda p: [p.promise(1, 11)], PUSH),
    Row("promiseOfStreamZero", "6.6", EndsConnection(P, 0), lambda p: [p.promise(1, 0)], PUSH),
    Row("promiseGoesBack", "6.6", EndsConnection(P, 4), lambda p: [p.promise(1, 4), p.promise(1, 2)], PUSH),
    Row("promiseTwice", "6.6", EndsConnection(P, 2), lambda p: [p.promise(1, 2), p.promise(1, 2)], PUSH),
    Row("promiseTooShort", "6.6", EndsConnection(F, 0), lambda p: [raw(5, 1, bytes(3), 4)], PUSH),
    Row("promisePaddingTooLong", "6.6", EndsConnection(P, 0), lambda p: [raw(5, 1, b"\x09\0\0\0\2\x82", 0x0C)], PUSH),
    Row(
        "promiseAfterOurReset",
        "6.6",
        Lives(("RST_STREAM 5 PROTOCOL_ERROR", "RST_STREAM 2 CANCEL")),
        lambda p: [p.headers(5, [(":status", "abc")]), p.promise(5, 2)],
        PUSH,
    ),
    Row("pingOnAStream", "6.7", EndsConnection(P, 0), lambda p: [raw(6, 1, bytes(8))]),
    Row("pingTooShort", "6.7", EndsConnection(F, 0), lambda p: [raw(6, 0, bytes(7))]),
    Row("goAwayOnAStream", "6.8", EndsConnection(P, 0), lambda p: [raw(7, 1, bytes(8))]),
    Row("goAwayTooShort", "6.8", EndsConnection(F, 0), lambda p: [raw(7, 0, bytes(7))]),
    Row(
        "openStreamsOutliveGoAway",
        "6.8",
        Closes(True),
        lambda p: [p.goAway(9), *(p.response(number, end=True) for number in (5, 7)), p.reset(3, 0), p.reset(9)],
    ),
    Row("windowUpdateTooShort", "6.9", EndsConnection(F, 0), lambda p: [raw(8, 1, bytes(3))]),
    Row("zeroWindowUpdate", "6.9", EndsStream(3, P), lambda p: [raw(8, 3, bytes(4))]),
    Row("zeroWindowUpdateOfConnection", "6.9", EndsConnection(P, 0), lambda p: [raw(8, 0, bytes(4))]),
    Row("windowOfStreamTooLarge", "6.9.1", EndsStream(3, W), lambda p: [p.window(3, 2**31 - 1)]),
    Row("windowOfConnectionTooLarge", "6.9.1", EndsConnection(W, 0), lambda p: [p.window(0, 2**31 - 1)]),
    Row(
        "dataBeyondTheWindow",
        "6.9.1",
        EndsConnection(W, 0),
        lambda p: [p.response(3), *(p.data(3, b"x" * 16000) for _ in range(5))],
        Settings(initialWindowSize=65535),
        Limits(maxStreamWindow=65535),
    ),
    Row(
        "settingsOverflowAWindow",
        "6.9.2",
        EndsConnection(W, 0),
        lambda p: [p.window(3, 2**31 - 1 - 65535), *setting(4, 2**31 - 1)],
    ),
    Row("continuationAlone", "6.10", EndsConnection(P, 0), lambda p: [raw(9, 1, ANSWER, 4)]),
    Row("continuationElsewhere", "6.10", EndsConnection(P, 0), lambda p: [raw(1, 5, ANSWER), raw(9, 3, b"\x84", 4)]),
]

MESSAGES = [
    Row("dataBeforeTheAnswer", "8.1", EndsStream(5, P), lambda p: [p.data(5, b"x")]),
    Row("dataAfterInformation", "8.1", EndsStream(5, P), lambda p: [p.response(5, status=103), p.data(5, b"x")]),
    Row("informationThatEnds", "8.1", EndsStream(5, P), lambda p: [p.response(5, status=103, end=True)]),
    Row("informationAfterTheAnswer", "8.1", EndsStream(5, P), lambda p: [p.response(5), p.response(5, status=103)]),
    Row("secondAnswer", "8.1", EndsStream(5, P), lambda p: [p.response(5), p.response(5)]),
    Row("secondAnswerThatEnds", "8.1", EndsStream(5, P), lambda p: [p.response(5), p.response(5, end=True)]),
    Row("trailersWithoutEnd", "8.1", EndsStream(5, P), lambda p: [p.response(5), p.headers(5, [("a", "b")])]),
    Row(
        "answerWhileUploading",
        "8.1",
        Lives(),
        lambda p: [p.response(3), p.data(3, b"x", end=True), p.reset(3, 0)],
    ),
    Row(
        "bodyLongerThanSaid",
        "8.1.1",
        EndsStream(5, P),
        lambda p: [p.response(5, ("content-length", "1")), p.data(5, b"ab")],
    ),
    Row(
        "bodyShorterThanSaid",
        "8.1.1",
        EndsStream(5, P),
        lambda p: [p.response(5, ("content-length", "3")), p.data(5, b"ab", end=True)],
    ),
    Row(
        "noBodyWhereOneWasSaid", "8.1.1", EndsStream(5, P), lambda p: [p.response(5, ("content-length", "3"), end=True)]
    ),
    Row("answerToHeadSaysItsLength", "8.1.1", Lives(), lambda p: [p.response(7, ("content-length", "3"), end=True)]),
    Row("answerToHeadWithBody", "8.1.1", EndsStream(7, P), lambda p: [p.response(7), p.data(7, b"x")]),
    Row(
        "notModifiedWithLength",
        "8.1.1",
        Lives(),
        lambda p: [p.response(5, ("content-length", "3"), status=304, end=True)],
    ),
    Row("notModifiedWithBody", "8.1.1", EndsStream(5, P), lambda p: [p.response(5, status=304), p.data(5, b"x")]),
    Row("noContentWithBody", "8.1.1", EndsStream(5, P), lambda p: [p.response(5, status=204), p.data(5, b"x")]),
    Row("promiseOfAPost", "8.4", EndsStream(2, P), lambda p: [promise(p, requestFields("POST"))], PUSH),
    Row(
        "promiseWithBody",
        "8.4",
        EndsStream(2, P),
        lambda p: [promise(p, [*requestFields(), ("content-length", "3")])],
        PUSH,
    ),
    Row("promiseMalformed", "8.4", EndsStream(2, P), lambda p: [promise(p, requestFields()[:2])], PUSH),
    Row(
        "promiseWithoutAuthority",
        "8.4",
        EndsStream(2, P),
        lambda p: [promise(p, [*requestFields()[:2], (":path", "/")])],
        PUSH,
    ),
    Row(
        "promiseOfAnotherOrigin",
        "8.4",
        EndsStream(2, P),
        lambda p: [promise(p, requestFields(authority="elsewhere"))],
        PUSH,
    ),
    Row("headersInAConnectTunnel", "8.5", EndsStream(9, P), lambda p: [p.response(9), p.headers(9, [("a", "b")])]),
    Row(
        "trailersInAConnectTunnel",
        "8.5",
        EndsStream(9, P),
        lambda p: [p.response(9), p.data(9, b"x"), p.headers(9, [("a", "b")], end=True)],
    ),
    Row(
        "trailersOfARefusedTunnel",
        "8.5",
        Lives(),
        lambda p: [p.response(9, status=403), p.data(9, b"x"), p.headers(9, [("a", "b")], end=True), p.reset(9, 0)],
    ),
    Row(
        "lengthOfAConnectTunnel", "8.5", Lives(), lambda p: [p.response(9, ("content-length", "1")), p.data(9, b"abc")]
    ),
]

OTHERS = [
    Row("tableSizeAboveTheLimit", "7541 6.3", EndsConnection(H, 0), lambda p: [raw(1, 5, b"\x3f\xe2\x1f" + ANSWER, 5)]),
    Row("tableSizeAfterAField", "7541 4.2", EndsConnection(H, 0), lambda p: [raw(1, 5, ANSWER + b"\x20", 5)]),
    Row("tableSizeTwice", "7541 4.2", Lives(), lambda p: [resized(p, 0, 4096).response(5, end=True)]),
    Row(
        "huffmanEndOfString",
        "7541 5.2",
        EndsConnection(H, 0),
        lambda p: [raw(1, 5, ANSWER + b"\0\1a\x84" + b"\xff" * 4, 5)],
    ),
    Row("enableConnectNeitherZeroNorOne", "8441 3", EndsConnection(P, 0), lambda p: setting(8, 2)),
    Row("enableConnectTakenBack", "8441 3", EndsConnection(P, 0), lambda p: [*setting(8, 1), *setting(8, 0)]),
    Row("noPrioritiesNeitherZeroNorOne", "9218 2.1", EndsConnection(P, 0), lambda p: setting(9, 2)),
    Row("priorityUpdateFromServer", "9218 7.1", EndsConnection(P, 0), lambda p: [raw(0x10, 0, b"\0\0\0\1u=1")]),
    Row("originOnAStream", "8336 2.1", Lives(), lambda p: [raw(0x0C, 1, b"\0\x08http://a")]),
    Row("originCutShort", "8336 2", Lives(), lambda p: [raw(0x0C, 0, b"\0\xffhttp://a")]),
    Row(
        "altSvcWithoutOrigin",
        "7838 4",
        Lives(),
        lambda p: [raw(0x0A, 0, b"\0\0h2=:1"), raw(0x0A, 1, b"\0\x08http://ah2=:1")],
    ),
    Row("altSvcCutShort", "7838 4", Lives(), lambda p: [raw(0x0A, 0, b"\0\xffh"), raw(0x0A, 0, b"")]),
    Row(
        "headerListTooLong",
        "10.5.1",
        EndsStream(5, CALM),
        lambda p: [p.response(5, *((f"c{each}", "d") for each in range(300)))],
    ),
    Row(
        "endlessInformation",
        "10.5",
        EndsStream(5, CALM),
        lambda p: [p.response(5, status=103) for _ in range(101)],
    ),
]

CLIENT = [*GREETING, *FRAMES, *STATES, *KINDS, *MESSAGES, *OTHERS]
"""All rows for clients, the malformed messages of C{messages} excepted."""
