"""
What a client may not do to a server, and what a server has to bear.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hyperframe.frame import ContinuationFrame, HeadersFrame, SettingsFrame

from tests.conformance.rows import (
    CALM,
    REFUSED,
    Closes,
    EndsConnection,
    EndsStream,
    F,
    H,
    Lives,
    P,
    Row,
    S,
    Step,
    Until,
    W,
    raw,
)
from txh2session import Limits, Settings
from txh2session.testing import requestFields

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GOOD = b"\x82\x86\x04\x07/answer\x01\x09localhost"
"""A request as bytes that leaves the compression table as it is."""


def block(payload: bytes, streamID: int = 3) -> list[Step]:
    """
    Send a header block of bytes that ends its stream.
    """
    return [raw(1, streamID, payload, 0x05)]


def dependent(peer: Any, on: int, streamID: int = 3) -> list[Step]:
    """
    Send a request with a priority of the old kind.
    """
    frame = peer.get(streamID, "/answer")
    frame.flags.add("PRIORITY")
    frame.depends_on, frame.stream_weight, frame.exclusive = on, 15, False
    return [frame]


def parts(peer: Any, streamID: int, sizes: Sequence[int], *fields: tuple[str, str]) -> list[Step]:
    """
    Cut a request into HEADERS and CONTINUATIONs.
    """
    rest = peer.get(streamID, "/answer", *fields).data
    cut: list[bytes] = []
    for size in sizes:
        cut.append(rest[:size])
        rest = rest[size:]
    frames: list[Any] = [HeadersFrame(streamID, cut[0], flags=["END_STREAM"])]
    frames += [ContinuationFrame(streamID, each) for each in cut[1:]]
    return [*frames, ContinuationFrame(streamID, rest, flags=["END_HEADERS"])]


def setting(identifier: int, value: int) -> list[Step]:
    """
    Send SETTINGS with one entry.
    """
    return [raw(4, 0, identifier.to_bytes(2, "big") + value.to_bytes(4, "big"))]


answered = Lives(("HEADERS 3 200",))
"""The request on stream 3 is taken and answered."""

PREFACES = [
    Row("prefaceWithoutSettings", "3.4", EndsConnection(P, 0), lambda p: [PREFACE, p.ping()], greets=False),
    Row(
        "prefaceWithAcknowledgement",
        "3.4",
        EndsConnection(P, 0),
        lambda p: [PREFACE, SettingsFrame(0, flags=["ACK"])],
        greets=False,
    ),
    Row("wrongPreface", "3.4", Closes(False), lambda p: [PREFACE[:-4] + b"XX\r\n" + bytes(30)], greets=False),
    Row(
        "requestsAtOnce",
        "3.4",
        Closes(True),
        lambda p: [
            PREFACE,
            SettingsFrame(0),
            p.get(1, "/download"),
            SettingsFrame(0, flags=["ACK"]),
            p.goAway(0),
        ],
        greets=False,
    ),
]

FRAMES = [
    Row("unknownFrame", "4.1", Lives(), lambda p: [p.unknown(), p.unknown(0xF0, 1, b"abc"), p.unknown(0xF0, 999)]),
    Row("unknownFlags", "4.1", Lives(("PING ACK",)), lambda p: [raw(6, 0, b"flagged ", 0xFE)]),
    Row(
        "reservedBit",
        "4.1",
        Lives(("PING ACK", "HEADERS 3 200")),
        lambda p: [raw(6, 0x80000000, b"reserved"), raw(1, 0x80000003, p.get(3, "/answer").data, 0x05)],
    ),
    Row("frameTooLong", "4.2", EndsConnection(F, 1), lambda p: [b"\x00\x40\x01\x00\x00\x00\x00\x00\x01"]),
    Row("unknownFrameTooLong", "4.2", EndsConnection(F, 1), lambda p: [b"\x00\x40\x01\xbb\x00\x00\x00\x00\x01"]),
    Row(
        "longestFrame",
        "4.2",
        answered,
        lambda p: [p.post(3, "/read"), p.data(3, b"x" * 16384, end=True)],
    ),
    Row("headersTooLong", "4.2", EndsConnection(F, 1), lambda p: [b"\x00\x40\x01\x01\x05\x00\x00\x00\x03"]),
    Row("badHeaderBlock", "4.3", EndsConnection(H, 1), lambda p: block(b"\xff\xff\xff\xff\xff\xff")),
    Row("blockBrokenByPing", "4.3", EndsConnection(P, 1), lambda p: [raw(1, 9, b"\x82"), p.ping()]),
    Row("blockBrokenByData", "4.3", EndsConnection(P, 1), lambda p: [raw(1, 9, b"\x82"), p.data(1, b"x")]),
    Row(
        "blockBrokenByHeaders",
        "4.3",
        EndsConnection(P, 1),
        lambda p: [raw(1, 9, b"\x82"), raw(1, 9, b"\x84", 4)],
    ),
    Row(
        "tableFollowsUnwantedBlocks",
        "4.3",
        Lives(("RST_STREAM 3 STREAM_CLOSED", "HEADERS 5 200")),
        lambda p: [
            p.get(3, "/hold"),
            p.headers(3, [("new-name", "new-value")], end=True),
            p.get(5, "/answer", ("new-name", "new-value")),
        ],
    ),
    Row(
        "tableFollowsRefusedStreams",
        "4.3",
        Lives(("RST_STREAM 5 REFUSED_STREAM", "HEADERS 7 200")),
        lambda p: [
            p.post(3, "/hold"),
            p.get(5, "/answer", ("new-name", "new-value")),
            p.reset(3),
            p.get(7, "/answer", ("new-name", "new-value")),
        ],
        Settings(maxConcurrentStreams=2),
    ),
    Row(
        "tableFollowsMalformedRequests",
        "4.3",
        Lives(("RST_STREAM 3 PROTOCOL_ERROR", "HEADERS 5 200")),
        lambda p: [
            p.get(3, "/answer", ("Upper", "case"), ("new-name", "new-value")),
            p.get(5, "/answer", ("new-name", "new-value")),
        ],
    ),
]

STATES = [
    Row("idleData", "5.1", EndsConnection(P, 1), lambda p: [p.data(9, b"x")]),
    Row("idleReset", "5.1", EndsConnection(P, 1), lambda p: [p.reset(9)]),
    Row("idleWindow", "5.1", EndsConnection(P, 1), lambda p: [p.window(9, 1)]),
    Row("idleContinuation", "5.1", EndsConnection(P, 1), lambda p: [raw(9, 9, b"\x82", 4)]),
    Row("idlePushData", "5.1", EndsConnection(P, 1), lambda p: [p.data(2, b"x")]),
    Row("idlePushReset", "5.1", EndsConnection(P, 1), lambda p: [p.reset(2)]),
    Row("idlePushWindow", "5.1", EndsConnection(P, 1), lambda p: [p.window(2, 1)]),
    Row(
        "reservedData",
        "5.1",
        EndsConnection(P, 3),
        lambda p: [p.get(3, "/push"), Until("HEADERS 3"), p.data(2, b"x")],
    ),
    Row(
        "reservedHeaders",
        "5.1",
        EndsConnection(P, 3),
        lambda p: [p.get(3, "/push"), Until("HEADERS 3"), p.headers(2, [("a", "b")])],
    ),
    Row(
        "othersOnReserved",
        "5.1",
        answered,
        lambda p: [p.get(3, "/push"), Until("HEADERS 3"), p.window(2, 1), p.priority(2), p.reset(2)],
    ),
    Row(
        "pushedData",
        "5.1",
        EndsStream(2, S),
        lambda p: [p.get(3, "/pushed"), Until("HEADERS 2 200"), p.data(2, b"x")],
    ),
    Row(
        "pushedHeaders",
        "5.1",
        EndsStream(2, S),
        lambda p: [p.get(3, "/pushed"), Until("HEADERS 2 200"), p.headers(2, [("a", "b")])],
    ),
    Row("idlePriority", "5.1", Lives(), lambda p: [p.priority(9), p.priority(2)]),
    Row("dataAfterEnd", "5.1", EndsStream(3, S), lambda p: [p.get(3, "/hold"), p.data(3, b"x")]),
    Row(
        "headersAfterEnd", "5.1", EndsStream(3, S), lambda p: [p.get(3, "/hold"), p.headers(3, [("a", "b")], end=True)]
    ),
    Row(
        "othersAfterEnd",
        "5.1",
        Lives(),
        lambda p: [p.get(3, "/hold"), p.window(3, 1), p.priority(3), p.reset(3)],
    ),
    Row(
        "dataOnClosed",
        "5.1",
        EndsConnection(S, 3),
        lambda p: [p.get(3, "/answer"), Until("HEADERS 3 200"), p.data(3, b"x")],
    ),
    Row(
        "headersOnClosed",
        "5.1",
        EndsConnection(S, 3),
        lambda p: [p.get(3, "/answer"), Until("HEADERS 3 200"), p.get(3, "/answer")],
    ),
    Row(
        "continuationOnClosed",
        "5.1",
        EndsConnection(P, 3),
        lambda p: [p.get(3, "/answer"), Until("HEADERS 3 200"), raw(9, 3, b"\x82", 4)],
    ),
    Row(
        "othersOnClosed",
        "5.1",
        answered,
        lambda p: [
            p.get(3, "/answer"),
            Until("HEADERS 3 200"),
            p.window(3, 1),
            p.reset(3),
            p.priority(3),
            raw(8, 3, bytes(4)),
        ],
    ),
    Row(
        "framesAfterOurReset",
        "5.1",
        Lives(("RST_STREAM 3 CANCEL", "WINDOW_UPDATE 1000")),
        lambda p: [
            p.post(3, "/reset"),
            Until("RST_STREAM 3"),
            p.data(3, b"x" * 1000),
            p.headers(3, [("a", "b")], end=True),
            p.window(3, 1),
            p.reset(3),
            p.priority(3),
        ],
    ),
    Row(
        "framesAfterTheirReset",
        "5.1",
        Lives(),
        lambda p: [p.post(3, "/hold"), p.reset(3), p.data(3, b"x"), p.window(3, 1), p.reset(3), p.priority(3)],
    ),
    Row("evenStream", "5.1.1", EndsConnection(P, 1), lambda p: [p.get(4)]),
    Row("idGoesBack", "5.1.1", EndsConnection(P, 9), lambda p: [p.get(9, "/hold"), p.get(5, "/hold")]),
    Row(
        "idsLeftOut",
        "5.1.1",
        Lives(("HEADERS 5 200", "HEADERS 99 200")),
        lambda p: [p.get(5, "/answer"), p.get(99, "/answer")],
    ),
    Row(
        "tooManyStreams",
        "5.1.2",
        EndsStream(9, REFUSED),
        lambda p: [p.get(3, "/hold"), p.get(5, "/hold"), p.get(7, "/hold"), p.get(9, "/hold"), p.reset(3)],
        Settings(maxConcurrentStreams=4),
    ),
    Row("dependsOnItself", "7540 5.3.1", EndsStream(3, P), lambda p: dependent(p, 3)),
    Row("dependsOnAnother", "7540 5.3.1", answered, lambda p: dependent(p, 1)),
    Row("priorityOnItself", "7540 5.3.1", EndsStream(3, P), lambda p: [p.post(3, "/hold"), p.priority(3, 3)]),
    Row("idlePriorityOnItself", "7540 5.3.1", EndsConnection(P, 1), lambda p: [p.priority(9, 9)]),
    Row(
        "closedPriorityOnItself",
        "7540 5.3.1",
        answered,
        lambda p: [p.get(3, "/answer"), Until("HEADERS 3 200"), p.priority(3, 3)],
    ),
    Row("extensionInABlock", "5.5", EndsConnection(P, 1), lambda p: [raw(1, 9, b"\x82"), p.unknown()]),
    Row("unknownSettings", "5.5", Lives(("SETTINGS ACK",)), lambda p: setting(0x99, 7)),
]

KINDS = [
    Row("dataOnStreamZero", "6.1", EndsConnection(P, 1), lambda p: [raw(0, 0, b"x")]),
    Row("dataPaddingTooLong", "6.1", EndsConnection(P, 3), lambda p: [p.post(3, "/hold"), raw(0, 3, b"\x05abcd", 8)]),
    Row("dataPaddingAsLong", "6.1", EndsConnection(P, 3), lambda p: [p.post(3, "/hold"), raw(0, 3, b"\x04abc", 8)]),
    Row("dataPaddingMissing", "6.1", EndsConnection(F, 3), lambda p: [p.post(3, "/hold"), raw(0, 3, b"", 8)]),
    Row(
        "dataOnlyPadding",
        "6.1",
        answered,
        lambda p: [p.post(3, "/read"), raw(0, 3, b"\x03abc", 8), p.data(3, b"all", end=True, padding=0)],
    ),
    Row("headersOnStreamZero", "6.2", EndsConnection(P, 1), lambda p: [raw(1, 0, GOOD, 5)]),
    Row("headersPaddingTooLong", "6.2", EndsConnection(P, 1), lambda p: [raw(1, 3, b"\xff" + GOOD, 0x0D)]),
    Row("headersPaddingMissing", "6.2", EndsConnection(F, 1), lambda p: [raw(1, 3, b"", 0x0D)]),
    Row("headersPriorityMissing", "6.2", EndsConnection(F, 1), lambda p: [raw(1, 3, b"\0\0\0\1", 0x25)]),
    Row("headersPadded", "6.2", answered, lambda p: [raw(1, 3, b"\x02" + GOOD + b"ab", 0x0D)]),
    Row("priorityOnStreamZero", "6.3", EndsConnection(P, 1), lambda p: [raw(2, 0, bytes(5))]),
    Row("priorityTooShort", "6.3", EndsStream(3, F), lambda p: [p.post(3, "/hold"), raw(2, 3, bytes(4))]),
    Row("priorityTooLong", "6.3", EndsStream(3, F), lambda p: [p.post(3, "/hold"), raw(2, 3, bytes(6))]),
    Row("resetOnStreamZero", "6.4", EndsConnection(P, 1), lambda p: [raw(3, 0, bytes(4))]),
    Row("resetTooShort", "6.4", EndsConnection(F, 3), lambda p: [p.post(3, "/hold"), raw(3, 3, bytes(3))]),
    Row("resetTooLong", "6.4", EndsConnection(F, 3), lambda p: [p.post(3, "/hold"), raw(3, 3, bytes(5))]),
    Row("unknownErrorCode", "7", Lives(), lambda p: [p.post(3, "/hold"), p.reset(3, 0xFFFFFFFF)]),
    Row("settingsOnAStream", "6.5", EndsConnection(P, 1), lambda p: [raw(4, 1)]),
    Row("settingsWrongSize", "6.5", EndsConnection(F, 1), lambda p: [raw(4, 0, bytes(5))]),
    Row("acknowledgementWithPayload", "6.5", EndsConnection(F, 1), lambda p: [raw(4, 0, bytes(6), 1)]),
    Row("enablePushNeitherZeroNorOne", "6.5.2", EndsConnection(P, 1), lambda p: setting(2, 2)),
    Row("initialWindowTooLarge", "6.5.2", EndsConnection(W, 1), lambda p: setting(4, 2**31)),
    Row("maxFrameSizeTooSmall", "6.5.2", EndsConnection(P, 1), lambda p: setting(5, 2**14 - 1)),
    Row("maxFrameSizeTooLarge", "6.5.2", EndsConnection(P, 1), lambda p: setting(5, 2**24)),
    Row(
        "settingsAtTheirBounds",
        "6.5.2",
        Lives(("SETTINGS ACK",)),
        lambda p: [
            raw(
                4,
                0,
                bytes.fromhex("0001ffffffff 000200000001 000300000000 0004000186a0 000500ffffff 0006ffffffff"),
            )
        ],
    ),
    Row(
        "settingsInOrder",
        "6.5.3",
        Lives(("SETTINGS ACK", "DATA 3 10")),
        lambda p: [raw(4, 0, bytes.fromhex("000400000000 00040000000a")), p.get(3, "/download")],
    ),
    Row("pushPromiseFromClient", "6.6", EndsConnection(P, 1), lambda p: [raw(5, 1, b"\0\0\0\2" + GOOD, 4)]),
    Row("pingOnAStream", "6.7", EndsConnection(P, 1), lambda p: [raw(6, 1, bytes(8))]),
    Row("pingTooShort", "6.7", EndsConnection(F, 1), lambda p: [raw(6, 0, bytes(7))]),
    Row("pingTooLong", "6.7", EndsConnection(F, 1), lambda p: [raw(6, 0, bytes(9))]),
    Row("pingAnswerNobodyAskedFor", "6.7", Lives(), lambda p: [p.ping(ack=True)]),
    Row("goAwayOnAStream", "6.8", EndsConnection(P, 1), lambda p: [raw(7, 1, bytes(8))]),
    Row("goAwayTooShort", "6.8", EndsConnection(F, 1), lambda p: [raw(7, 0, bytes(7))]),
    Row("openStreamsOutliveGoAway", "6.8", Closes(True), lambda p: [p.goAway(0)]),
    Row("goAwayWithReservedBit", "6.8", Closes(True), lambda p: [raw(7, 0, b"\x80\0\0\0\0\0\0\0debug data")]),
    Row("windowUpdateTooShort", "6.9", EndsConnection(F, 1), lambda p: [raw(8, 1, bytes(3))]),
    Row("windowUpdateTooLong", "6.9", EndsConnection(F, 1), lambda p: [raw(8, 0, bytes(5))]),
    Row("zeroWindowUpdate", "6.9", EndsStream(3, P), lambda p: [p.post(3, "/hold"), raw(8, 3, bytes(4))]),
    Row(
        "zeroWindowUpdateWithReservedBit",
        "6.9",
        EndsStream(3, P),
        lambda p: [p.post(3, "/hold"), raw(8, 3, b"\x80\0\0\0")],
    ),
    Row("zeroWindowUpdateOfConnection", "6.9", EndsConnection(P, 1), lambda p: [raw(8, 0, bytes(4))]),
    Row(
        "windowOfStreamTooLarge",
        "6.9.1",
        EndsStream(3, W),
        lambda p: [p.post(3, "/hold"), p.window(3, 2**31 - 1)],
    ),
    Row("windowOfConnectionTooLarge", "6.9.1", EndsConnection(W, 1), lambda p: [p.window(0, 2**31 - 1)] * 2),
    Row(
        "dataBeyondTheWindow",
        "6.9.1",
        EndsConnection(W, 3),
        lambda p: [p.post(3, "/hold"), *(p.data(3, b"x" * 16000) for _ in range(5))],
        Settings(initialWindowSize=65535),
        Limits(maxStreamWindow=65535),
    ),
    Row(
        "paddingBeyondTheWindow",
        "6.9.1",
        EndsConnection(W, 3),
        # The bodies alone would fit.
        lambda p: [
            p.post(3, "/hold"),
            *(p.data(3, b"x" * 16000) for _ in range(4)),
            p.data(3, b"x" * 1400, padding=255),
        ],
        Settings(initialWindowSize=65535),
        Limits(maxStreamWindow=65535),
    ),
    Row(
        "settingsOverflowAWindow",
        "6.9.2",
        EndsConnection(W, 1),
        lambda p: [p.window(1, 2**31 - 1 - 65535), *setting(4, 2**31 - 1)],
    ),
    Row("windowBelowZero", "6.9.2", Lives(), lambda p: [*setting(4, 0), p.window(1, 65535)]),
    Row("continuationAlone", "6.10", EndsConnection(P, 1), lambda p: [raw(9, 1, b"\x82", 4)]),
    Row(
        "continuationOnStreamZero", "6.10", EndsConnection(P, 1), lambda p: [raw(1, 9, b"\x82"), raw(9, 0, b"\x84", 4)]
    ),
    Row("continuationElsewhere", "6.10", EndsConnection(P, 1), lambda p: [raw(1, 9, b"\x82"), raw(9, 11, b"\x84", 4)]),
    Row(
        "continuationAfterTheEnd",
        "6.10",
        EndsConnection(P, 3),
        lambda p: [p.get(3, "/hold"), raw(9, 3, b"\x84", 4)],
    ),
    Row("continuations", "6.10", answered, lambda p: parts(p, 3, (1, 0, 2, 0))),
]

MESSAGES = [
    Row("trailersWithoutEnd", "8.1", EndsStream(3, P), lambda p: [p.post(3, "/hold"), p.headers(3, [("a", "b")])]),
    Row(
        "trailers",
        "8.1",
        answered,
        lambda p: [p.post(3, "/read"), p.data(3, b"x"), p.headers(3, [("a", "b")], end=True)],
    ),
    Row(
        "dataAfterTrailers",
        "8.1",
        EndsStream(3, S),
        lambda p: [p.post(3, "/hold"), p.headers(3, [("a", "b")], end=True), p.data(3, b"x")],
    ),
    Row(
        "dataAfterTheAnswer",
        "8.1",
        answered,
        lambda p: [
            p.post(3, "/answer"),
            Until("HEADERS 3 200"),
            p.data(3, b"the rest"),
            p.data(3, b"and the end", end=True),
        ],
    ),
    Row(
        "bodyLongerThanSaid",
        "8.1.1",
        EndsStream(3, P),
        lambda p: [p.post(3, "/hold", ("content-length", "5")), p.data(3, b"123456")],
    ),
    Row(
        "bodyShorterThanSaid",
        "8.1.1",
        EndsStream(3, P),
        lambda p: [p.post(3, "/hold", ("content-length", "5")), p.data(3, b"1234", end=True)],
    ),
    Row(
        "bodyShorterThanSaidBeforeTrailers",
        "8.1.1",
        EndsStream(3, P),
        lambda p: [
            p.post(3, "/hold", ("content-length", "5")),
            p.data(3, b"1234"),
            p.headers(3, [("a", "b")], end=True),
        ],
    ),
    Row("noBodyWhereOneWasSaid", "8.1.1", EndsStream(3, P), lambda p: [p.get(3, "/hold", ("content-length", "5"))]),
    Row(
        "bodyAsLongAsSaid",
        "8.1.1",
        answered,
        lambda p: [p.post(3, "/read", ("content-length", "5")), p.data(3, b"12345", padding=9), p.data(3, end=True)],
    ),
    Row("connectWithoutAuthority", "8.5", EndsStream(3, P), lambda p: [p.headers(3, [(":method", "CONNECT")])]),
    Row(
        "connectWithScheme",
        "8.5",
        EndsStream(3, P),
        lambda p: [p.headers(3, [(":method", "CONNECT"), (":authority", "a:1"), (":scheme", "http")])],
    ),
    Row(
        "connectWithPath",
        "8.5",
        EndsStream(3, P),
        lambda p: [p.headers(3, [(":method", "CONNECT"), (":authority", "a:1"), (":path", "/")])],
    ),
    Row(
        "trailersInAConnectTunnel",
        "8.5",
        EndsStream(3, P),
        lambda p: [
            p.headers(3, [(":method", "CONNECT"), (":authority", "a:1")]),
            p.data(3, b"x"),
            p.headers(3, [("a", "b")], end=True),
        ],
    ),
    Row(
        "headersInAConnectTunnel",
        "8.5",
        EndsStream(3, P),
        lambda p: [p.headers(3, [(":method", "CONNECT"), (":authority", "a:1")]), p.headers(3, [("a", "b")])],
    ),
]


def resized(peer: Any, *sizes: int) -> Any:
    """
    Change the size of the table that the peer compresses with.
    """
    for size in sizes:
        peer.encoder.header_table_size = size
    return peer


HPACK = [
    Row("indexZero", "7541 6.1", EndsConnection(H, 1), lambda p: block(b"\x80")),
    Row("indexBeyondTheTable", "7541 2.3.3", EndsConnection(H, 1), lambda p: block(b"\xff\x00")),
    Row("nameIndexBeyondTheTable", "7541 2.3.3", EndsConnection(H, 1), lambda p: block(b"\x7f\x20\x01a")),
    Row("tableSizeAboveTheLimit", "7541 6.3", EndsConnection(H, 1), lambda p: block(b"\x3f\xe2\x1f" + GOOD)),
    Row("tableSizeAtTheLimit", "7541 6.3", answered, lambda p: block(b"\x3f\xe1\x1f" + GOOD)),
    Row("tableSizeAfterAField", "7541 4.2", EndsConnection(H, 1), lambda p: block(b"\x82\x20" + GOOD[1:])),
    Row(
        "tableReductionIgnored",
        "7541 4.2",
        EndsConnection(H, 0),
        lambda p: [PREFACE, SettingsFrame(0), SettingsFrame(0, flags=["ACK"]), *block(GOOD)],
        Settings(headerTableSize=0),
        greets=False,
    ),
    Row(
        "tableReductionObeyed",
        "7541 4.2",
        Closes(True),
        lambda p: [
            *[PREFACE, SettingsFrame(0), SettingsFrame(0, flags=["ACK"])],
            *[resized(p, 0).get(1, "/download"), p.goAway(0)],
        ],
        Settings(headerTableSize=0),
        greets=False,
    ),
    Row("tableSizeTwice", "7541 4.2", answered, lambda p: [resized(p, 0, 4096).get(3, "/answer")]),
    Row("entryLargerThanTheTable", "7541 4.4", answered, lambda p: [p.get(3, "/answer", ("a", "b" * 8000))]),
    Row("integerTooLong", "7541 5.1", EndsConnection(H, 1), lambda p: block(b"\xff" + b"\x80" * 20 + b"\x01")),
    Row("integerTooLarge", "7541 5.1", EndsConnection(H, 1), lambda p: block(b"\xff\xff\xff\xff\xff\xff\xff\x7f")),
    Row("integerCutShort", "7541 5.1", EndsConnection(H, 1), lambda p: block(b"\xff\x80")),
    Row("stringCutShort", "7541 5.2", EndsConnection(H, 1), lambda p: block(b"\x00\x05ab")),
    Row(
        "stringLongerThanTheBlock",
        "7541 5.2",
        EndsConnection(H, 1),
        lambda p: block(GOOD + b"\x00\x01a\x7f\xff\xff\x03"),
    ),
    # "a" is 00011: with three bits of padding it is 0x1f.
    Row("huffman", "7541 5.2", answered, lambda p: block(GOOD + b"\x00\x81\x1f\x81\x1f")),
    Row("huffmanPaddingTooLong", "7541 5.2", EndsConnection(H, 1), lambda p: block(GOOD + b"\x00\x01a\x82\x1f\xff")),
    Row("huffmanPaddingOfZeros", "7541 5.2", EndsConnection(H, 1), lambda p: block(GOOD + b"\x00\x01a\x81\x18")),
    Row(
        "huffmanEndOfString", "7541 5.2", EndsConnection(H, 1), lambda p: block(GOOD + b"\x00\x01a\x84\xff\xff\xff\xff")
    ),
    Row("emptyBlock", "7541 3.1", EndsStream(3, P), lambda p: block(b"")),
]

EXTENSIONS = [
    Row(
        "extendedConnectUnannounced",
        "8441 4",
        EndsStream(3, P),
        lambda p: [p.headers(3, [(":method", "CONNECT"), *requestFields()[1:], (":protocol", "websocket")])],
    ),
    Row(
        "extendedConnect",
        "8441 4",
        Lives(("RST_STREAM 3 CANCEL",)),
        lambda p: [
            p.headers(3, [(":method", "CONNECT"), *requestFields(path="/reset")[1:], (":protocol", "websocket")])
        ],
        Settings(enableConnectProtocol=True),
    ),
    Row(
        "extendedConnectWithoutPath",
        "8441 4",
        EndsStream(3, P),
        lambda p: [p.headers(3, [(":method", "CONNECT"), *requestFields()[1:3], (":protocol", "websocket")])],
        Settings(enableConnectProtocol=True),
    ),
    Row(
        "extendedConnectWithoutScheme",
        "8441 4",
        EndsStream(3, P),
        lambda p: [p.headers(3, [(":method", "CONNECT"), *requestFields()[2:], (":protocol", "websocket")])],
        Settings(enableConnectProtocol=True),
    ),
    Row(
        "extendedConnectWithoutAuthority",
        "8441 4",
        EndsStream(3, P),
        lambda p: [
            p.headers(3, [(":method", "CONNECT"), (":scheme", "http"), (":path", "/"), (":protocol", "websocket")])
        ],
        Settings(enableConnectProtocol=True),
    ),
    Row(
        "protocolWithoutConnect",
        "8441 4",
        EndsStream(3, P),
        lambda p: [p.headers(3, [*requestFields(), (":protocol", "websocket")])],
        Settings(enableConnectProtocol=True),
    ),
    Row("enableConnectNeitherZeroNorOne", "8441 3", EndsConnection(P, 1), lambda p: setting(8, 2)),
    Row("noPrioritiesNeitherZeroNorOne", "9218 2.1", EndsConnection(P, 1), lambda p: setting(9, 2)),
    Row("priorityFieldWrong", "9218 4", answered, lambda p: [p.get(3, "/answer", ("priority", "u=99, =;,"))]),
    Row("priorityUpdateOnAStream", "9218 7.1", EndsConnection(P, 1), lambda p: [raw(0x10, 1, b"\0\0\0\x01u=1")]),
    Row("priorityUpdateAboutStreamZero", "9218 7.1", EndsConnection(P, 1), lambda p: [raw(0x10, 0, b"\0\0\0\0u=1")]),
    Row("priorityUpdateTooShort", "9218 7.1", EndsConnection(F, 1), lambda p: [raw(0x10, 0, b"\0\0\0")]),
    Row("priorityUpdateAboutAnIdlePush", "9218 7.1", EndsConnection(P, 1), lambda p: [raw(0x10, 0, b"\0\0\0\x02u=1")]),
    Row(
        "priorityUpdate",
        "9218 7.1",
        answered,
        lambda p: [
            raw(0x10, 0, b"\0\0\0\x03u=1"),
            raw(0x10, 0, b"\x80\0\0\x01u=7"),
            raw(0x10, 0, b"\0\0\0\x01=;"),
            p.get(3, "/answer"),
        ],
    ),
    Row("originFromClient", "8336 2.1", Lives(), lambda p: [raw(0x0C, 0, b"\0\x08http://a")]),
    Row("altSvcFromClient", "7838 4", Lives(), lambda p: [raw(0x0A, 0, b"\0\x08http://ah2=:1")]),
]

LIMITED = [
    Row(
        "headerListTooLong",
        "10.5.1",
        EndsStream(3, CALM),
        lambda p: parts(p, 3, (16000,) * 3, *((f"c{each}", "d" * 9000) for each in range(8))),
    ),
]

SERVER = [*PREFACES, *FRAMES, *STATES, *KINDS, *MESSAGES, *HPACK, *EXTENSIONS, *LIMITED]
"""All rows for servers, the malformed messages of C{messages} excepted."""
