"""
The attacks, one coroutine each: what it does to the server, and what the server should make of it.

Each runs in a process of its own, see C{attacks.py}, which watches the server meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from attackwire import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    HEADERS,
    MIB,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    SETTINGS,
    Target,
    Wire,
    batches,
    frame,
    literal,
    reset,
    settings,
    window,
)

INITIAL_WINDOW_SIZE, HEADER_TABLE_SIZE = 4, 1
LARGEST_WINDOW = 2**31 - 1


class Check(NamedTuple):
    """
    One thing that was looked at.

    @ivar asked: what it should be.
    @ivar timed: whether a busy machine may spoil it.
    """

    what: str
    asked: str
    measured: str
    ok: bool
    timed: bool = False


Play = Callable[[Target, Callable[[str], None]], Awaitable[list[Check]]]


class Attack(NamedTuple):
    """
    One attack.

    @ivar figures: the numbers of the figures to reach that it is about.
    @ivar cpu: seconds of CPU it may cost the server, or L{None} where it asks for work that is done.
    @ivar memory: bytes by which the server may grow while it lasts.
    @ivar alone: whether it gets a server of its own, so that what others left behind does not hide what it takes.
    @ivar slow: whether it takes longer than a quick run has.
    """

    name: str
    figures: str
    play: Play
    cpu: float | None
    memory: int | None
    alone: bool
    slow: bool


ATTACKS: dict[str, Attack] = {}
"""The attacks by name, in the order of the table."""


def attack(
    figures: str, cpu: float | None = 0.5, memory: int | None = None, alone: bool = False, slow: bool = False
) -> Callable[[Play], Play]:
    """
    Enter an attack into the table.
    """

    def enter(play: Play) -> Play:
        name = play.__name__  # type: ignore[attr-defined]
        ATTACKS[name] = Attack(name, figures, play, cpu, memory, alone, slow)
        return play

    return enter


# ---------------------------------------------------------------------------------------------------------------------
# Floods: the connection ends with GOAWAY


def _ended(wire: Wire, code: int, sent: str) -> list[Check]:
    late = None if wire.closed is None or wire.goAway is None else wire.closed - wire.goAwayAt
    return [
        Check("GOAWAY", f"code {code}", f"{wire.goAway} after {sent}", wire.goAway == code),
        Check("closed", "within 3 s of it", "no" if late is None else f"{late:.2f} s", late is not None and late < 3),
    ]


def _flood(name: str, one: Callable[[Target, int], bytes], number: int, code: int = ENHANCE_YOUR_CALM) -> None:
    """
    Enter a flood of frames, that are made for a stream id each.
    """

    async def play(target: Target, say: Callable[[str], None]) -> list[Check]:
        wire = await Wire.open(target)
        await wire.flood(batches(lambda stream: one(target, stream), number))
        await wire.close()
        return _ended(wire, code, f"at most {number:,}")

    play.__name__ = name
    attack("2" if number < 200_000 else "4")(play)


_MALFORMED = literal(b"Upper-Case", b"x")
_ALL = 200_000

_flood("rapidReset", lambda target, stream: target.request(stream, b"/slow") + reset(stream), 20_000)
_flood("resetAtOnce", lambda target, stream: target.request(stream) + reset(stream), 20_000)
_flood(
    "windowOfZero",
    lambda target, stream: frame(HEADERS, END_HEADERS, stream, target.get(b"/unread", b"POST")) + window(stream, 0),
    20_000,
)
_flood(
    "windowOverflow",
    lambda target, stream: target.request(stream, b"/slow") + window(stream, LARGEST_WINDOW),
    20_000,
)
_flood(
    "dataAfterTheEnd",
    lambda target, stream: target.request(stream, b"/slow") + frame(DATA, 0, stream, b"x"),
    20_000,
)
_flood(
    "headersAfterTheEnd",
    lambda target, stream: target.request(stream, b"/slow") + target.request(stream, b"/slow"),
    20_000,
)
_flood(
    "malformedRequests",
    lambda target, stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, target.get(b"/", extra=_MALFORMED)),
    20_000,
)
_flood(
    "wrongContentLength",
    lambda target, stream: (
        frame(HEADERS, END_HEADERS, stream, target.get(b"/discard", b"POST", literal(b"content-length", b"2")))
        + frame(DATA, END_STREAM, stream, b"x")
    ),
    20_000,
)
_TINY = b"".join(literal(b"a", b"") for _ in range(1600))
_flood(
    "tinyFields",
    lambda target, stream: frame(HEADERS, END_HEADERS | END_STREAM, stream, target.get(b"/", extra=_TINY)),
    1_000,
)
_flood(
    "tinyFieldsOnAResetStream",
    lambda target, stream: (
        (target.request(1, b"/slow") + reset(1) if stream == 1 else b"")
        + frame(HEADERS, END_HEADERS, 1, target.get(b"/", extra=_TINY))
    ),
    1_000,
)
_flood(
    "headersOnAResetStream",
    lambda target, stream: (target.request(1, b"/slow") + reset(1) if stream == 1 else b"") + target.request(1),
    199_999,
)
_flood("ping", lambda target, stream: frame(PING, 0, 0, b"12345678"), _ALL)
_flood("pingAck", lambda target, stream: frame(PING, ACK, 0, b"12345678"), _ALL)
_flood("settings", lambda target, stream: settings(), _ALL)
_flood("settingsWindows", lambda target, stream: settings((INITIAL_WINDOW_SIZE, stream % 65536)), _ALL)
_flood("settingsAck", lambda target, stream: frame(SETTINGS, ACK, 0), _ALL)
_flood("priority", lambda target, stream: frame(PRIORITY, 0, stream + 2, bytes(5)), _ALL)
_flood("priorityUpdate", lambda target, stream: frame(0x10, 0, 0, (stream + 2).to_bytes(4, "big") + b"u=1"), _ALL)
_flood("unknownFrames", lambda target, stream: frame(0xBB, 0, 0, b"?"), _ALL)
_flood("windowUpdates", lambda target, stream: window(0, 1), _ALL)
_flood("altSvc", lambda target, stream: frame(0x0A, 0, 0, b"\0\0h2=:443"), _ALL)


def _onOneStream(name: str, path: bytes, one: bytes, number: int = _ALL, code: int = ENHANCE_YOUR_CALM) -> None:
    """
    Enter a flood of frames on one stream, which is a POST.
    """

    async def play(target: Target, say: Callable[[str], None]) -> list[Check]:
        wire = await Wire.open(target)
        await wire.send(frame(HEADERS, END_HEADERS, 1, target.get(path, b"POST")))
        await wire.flood(batches(lambda stream: one, number))
        await wire.close()
        return _ended(wire, code, f"at most {number:,}")

    play.__name__ = name
    attack("4")(play)


_onOneStream("emptyData", b"/discard", frame(DATA, 0, 1))
_onOneStream("paddingOnly", b"/discard", frame(DATA, PADDED, 1, b"\x00"))
_onOneStream("streamWindowUpdates", b"/unread", window(1, 1))


def _inBlock(name: str, one: bytes, number: int) -> None:
    """
    Enter a header block that does not end.
    """

    async def play(target: Target, say: Callable[[str], None]) -> list[Check]:
        wire = await Wire.open(target)
        await wire.send(frame(HEADERS, END_STREAM, 1, target.get(b"/")))
        await wire.flood(batches(lambda stream: one, number, 10))
        await wire.close()
        return _ended(wire, ENHANCE_YOUR_CALM, f"at most {number:,}")

    play.__name__ = name
    attack("3", memory=8 * MIB)(play)


_inBlock("continuation", frame(CONTINUATION, 0, 1, literal(b"a", b"b")), _ALL)
_inBlock("emptyContinuation", frame(CONTINUATION, 0, 1), _ALL)
_inBlock("largeContinuation", frame(CONTINUATION, 0, 1, literal(b"a", b"b" * 16_300)), 20_000)


@attack("2", cpu=0.5)
async def tooManyStreams(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    More than a hundred refusals in a row.
    """
    wire = await Wire.open(target)
    await wire.flood(batches(lambda stream: target.request(stream, b"/slow?seconds=20"), 10_000))
    await wire.close()
    refused = set(wire.refused.values())
    return [
        *_ended(wire, ENHANCE_YOUR_CALM, f"{len(wire.refused)} refusals"),
        Check("refused with", "REFUSED_STREAM", f"{refused}", refused <= {REFUSED_STREAM}),
    ]


@attack("7")
async def earlyRequests(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    200 requests before the server's SETTINGS are read.
    """
    wire = await Wire.open(target)
    await wire.send(*(target.request(2 * each + 1, b"/slow?seconds=1") for each in range(200)))
    await wire.until(lambda: len(wire.ended) + len(wire.refused) == 200)
    alive = await wire.alive()
    await wire.close()
    refused = list(wire.refused.values()).count(REFUSED_STREAM)
    return [
        Check("answered", "100", f"{len(wire.ended)}", len(wire.ended) == 100),
        Check("refused", "100, REFUSED_STREAM", f"{refused}", refused == 100),
        Check("connection", "lives", str(alive), alive),
    ]


@attack("3")
async def headerBomb(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    A table entry of 4,000 bytes, and 10,000 references to it.
    """
    wire = await Wire.open(target)
    bomb = target.get(b"/", extra=literal(b"a", b"b" * 4000, index=True) + b"\xbe" * 10_000)
    await wire.flood([frame(HEADERS, END_HEADERS | END_STREAM, 1, bomb)])
    await wire.close()
    return _ended(wire, ENHANCE_YOUR_CALM, "one block")


@attack("3")
async def headersTooLong(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    A list a little too long costs its stream, and not the connection.
    """
    wire = await Wire.open(target)
    long = target.get(b"/hello", extra=b"".join(literal(b"a%d" % each, b"b" * 6900) for each in range(10)))
    parts = [long[start : start + 16_000] for start in range(0, len(long), 16_000)]
    frames = [frame(HEADERS, END_STREAM, 1, parts[0]), *(frame(CONTINUATION, 0, 1, part) for part in parts[1:-1])]
    await wire.send(*frames, frame(CONTINUATION, END_HEADERS, 1, parts[-1]), target.request(3))
    whole = await wire.until(lambda: 3 in wire.ended and (1 in wire.refused or 1 in wire.ended))
    await wire.close()
    return [
        Check(
            "the long one", "reset or 431", f"reset with {wire.refused.get(1)}", 1 in wire.refused or 1 in wire.ended
        ),
        Check("the next", "answered", str(whole), whole),
    ]


@attack("4")
async def settingsEntries(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    2,730 entries in one SETTINGS frame.
    """
    wire = await Wire.open(target)
    await wire.flood([settings(*([(INITIAL_WINDOW_SIZE, 65535)] * 2730))])
    await wire.close()
    return _ended(wire, ENHANCE_YOUR_CALM, "one frame")


@attack("6", memory=4 * MIB)
async def overlongFrames(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    20 connections announce 16 MiB frames, and send some of them.
    """
    head = b"\xff\xff\xff" + frame(DATA, 0, 1)[3:]

    async def one() -> Wire:
        wire = await Wire.open(target)
        await wire.flood([head, *(bytes(65536) for _ in range(32))])
        await wire.close()
        return wire

    wires = await asyncio.gather(*(one() for _ in range(20)))
    codes = {wire.goAway for wire in wires}
    return [Check("GOAWAY", f"code {FRAME_SIZE_ERROR}", f"{codes}", codes == {FRAME_SIZE_ERROR})]


@attack("8")
async def malformedBesideADownload(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    A running download survives a malformed request on the same connection.
    """
    size = 4 * MIB
    wire = await Wire.open(target, (INITIAL_WINDOW_SIZE, LARGEST_WINDOW))
    await wire.send(target.request(1, b"/bytes/%d" % size))
    await wire.until(lambda: wire.body > 0)
    await wire.send(frame(HEADERS, END_HEADERS | END_STREAM, 3, target.get(b"/", extra=_MALFORMED)))
    await wire.until(lambda: 3 in wire.refused)
    await wire.send(window(0, LARGEST_WINDOW - 65535))
    await wire.until(lambda: 1 in wire.ended)
    await wire.close()
    code = wire.refused.get(3)
    return [
        Check("the malformed one", "RST_STREAM PROTOCOL_ERROR", f"{code}", code == PROTOCOL_ERROR),
        Check("the download", f"{size} bytes", f"{wire.body}", 1 in wire.ended and wire.body == size),
    ]


@attack("5", cpu=None, alone=True)
async def oneByteData(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    An upload in frames of one byte each: honest, and dear.
    """
    number = 200_000 if target.full else 20_000
    wire = await Wire.open(target)
    await wire.send(frame(HEADERS, END_HEADERS, 1, target.get(b"/discard", b"POST")))
    one = frame(DATA, 0, 1, b"x")
    sent = 0
    while sent < number and wire.closed is None:
        room = 65535 + min(wire.credit[1] + 196608, wire.credit[0]) - sent
        if not room and not await wire.until(lambda before=wire.credit[0]: wire.credit[0] > before, 5):  # type: ignore[misc]
            break
        now = min(500, number - sent, room)
        await wire.send(one * now)
        sent += now
    await wire.send(frame(DATA, END_STREAM, 1))
    await wire.until(lambda: 1 in wire.ended, 20)
    await wire.close()
    honest = wire.goAway is None and 1 in wire.ended and sent == number
    return [Check("the upload", "answered, or ENHANCE_YOUR_CALM", f"{sent:,} bytes", honest or wire.goAway == 11)]


# ---------------------------------------------------------------------------------------------------------------------
# What is held


async def _downloads(target: Target, wire: Wire) -> None:
    for each in range(100):
        await wire.send(target.request(2 * each + 1, b"/bytes/1048576"))


async def _stalled(target: Target, window: int) -> list[Check]:
    wires = [await Wire.open(target, (INITIAL_WINDOW_SIZE, window)) for _ in range(20)]
    await asyncio.gather(*(_downloads(target, wire) for wire in wires))
    await asyncio.sleep(3)
    alive = all(await asyncio.gather(*(wire.alive() for wire in wires)))
    await asyncio.gather(*(wire.close() for wire in wires))
    return [Check("connections", "live", str(alive), alive)]


@attack("6", cpu=None, memory=100 * MIB, alone=True)
async def downloadsWindowShut(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    100 downloads of 1 MiB to each of 20 peers whose windows are shut.
    """
    return await _stalled(target, 0)


@attack("6", cpu=None, memory=100 * MIB, alone=True)
async def downloadsWindowSmall(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    The same to peers that open the windows of streams, and not the connection's.
    """
    return await _stalled(target, 65535)


@attack("6", cpu=None, memory=16 * MIB, alone=True)
async def socketNotRead(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    20 peers with open windows that do not read their sockets.
    """
    wires = [await Wire.open(target, (INITIAL_WINDOW_SIZE, LARGEST_WINDOW), read=False) for _ in range(20)]
    for wire in wires:
        wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.send(window(0, LARGEST_WINDOW - 65535), target.request(1, b"/bytes/1073741824"))
    await asyncio.sleep(3)
    await asyncio.gather(*(wire.close() for wire in wires))
    return []


@attack("4, 6", memory=16 * MIB)
async def repliesNotRead(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    20 peers ask for replies at the rate that is allowed, and do not read them.
    """
    wires = [await Wire.open(target, read=False) for _ in range(20)]
    for wire in wires:
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
    for _ in range(10):
        for wire in wires:
            await wire.send(frame(PING, 0, 0, b"12345678") * 90, target.request(1))
        await asyncio.sleep(0.1)
    await asyncio.gather(*(wire.close() for wire in wires))
    return []


async def _upload(target: Target, streams: int) -> int:
    """
    Send what the windows of so many uploads allow.

    @return: how many bytes that was.
    """
    wire = await Wire.open(target)
    for each in range(streams):
        await wire.send(frame(HEADERS, END_HEADERS, 2 * each + 1, target.get(b"/unread?seconds=20", b"POST")))
    await wire.alive()
    left = {2 * each + 1: 256 * 1024 for each in range(streams)}
    sent = 0
    for stream in left:
        while left[stream]:
            room = min(left[stream], 65535 + wire.credit[0] - sent, 16384)
            if not room:
                before = wire.credit[0]
                if not await wire.until(lambda before=before: wire.credit[0] > before, 1):  # type: ignore[misc]
                    break
                continue
            await wire.send(frame(DATA, 0, stream, bytes(room)))
            sent += room
            left[stream] -= room
        left[stream] += wire.credit[stream]
    await wire.alive()
    await wire.close()
    return sent


@attack("6", cpu=None, memory=40 * MIB, alone=True)
async def uploadsUnread(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    20 connections with an upload each that nobody reads.
    """
    sent = await asyncio.gather(*(_upload(target, 1) for _ in range(20)))
    return [Check("taken of each", "at most 1 MiB", f"{max(sent) / MIB:.2f} MiB", 0 < max(sent) <= MIB)]


@attack("6", cpu=None, memory=40 * MIB, alone=True)
async def hundredUploadsUnread(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    One connection with a hundred uploads that nobody reads: up to C{Limits.unreadBytes} and one window of the connection,
    which grows while they come.
    """
    sent = await _upload(target, 100)
    return [Check("taken", "at most 32 MiB", f"{sent / MIB:.2f} MiB", sent <= 32 * MIB)]


@attack("6, 13", cpu=None, alone=True)
async def idleSessions(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    1,000 sessions that have asked once and are silent since.
    """
    number = 1000 if target.full else 200
    wires = []
    say("base")
    for start in range(0, number, 50):
        batch = await asyncio.gather(*(Wire.open(target) for _ in range(start, start + 50)))
        wires += batch
        for wire in batch:
            await wire.send(target.request(1))
        await asyncio.gather(*(wire.until(lambda wire=wire: 1 in wire.ended) for wire in batch))  # type: ignore[misc]
    answered = sum(1 in wire.ended for wire in wires)
    await asyncio.sleep(1)
    say(f"held {number} {50 * 1024}")
    await asyncio.sleep(0.5)
    await asyncio.gather(*(wire.close() for wire in wires))
    return [Check("answered", str(number), str(answered), answered == number)]


@attack("13", cpu=None, memory=64 * MIB, alone=True)
async def honestCrowd(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    1,000 clients that connect, and ask all at once.
    """
    number = 1000 if target.full else 200
    began = time.monotonic()
    wires = await asyncio.gather(*(Wire.open(target) for _ in range(number)))
    connected = time.monotonic() - began
    took: list[float] = []

    async def ask(wire: Wire) -> None:
        start = time.monotonic()
        await wire.send(target.request(1))
        if await wire.until(lambda: 1 in wire.ended, 30):
            took.append(time.monotonic() - start)

    await asyncio.gather(*(ask(wire) for wire in wires))
    await asyncio.gather(*(wire.close() for wire in wires))
    took.sort()
    late = took[int(len(took) * 0.99)] if took else 99.0
    return [
        Check("answered", str(number), str(len(took)), len(took) == number),
        Check("p99", "under 1 s", f"{late:.2f} s (all connected in {connected:.1f} s)", late < 1, True),
    ]


@attack("14", cpu=None, alone=True)
async def manyRequests(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    Very many requests over 100 connections, every tenth of them reset.
    """
    each = 10_000 if target.full else 200
    wires = await asyncio.gather(*(Wire.open(target) for _ in range(100)))
    failed: list[int] = []
    done = 0

    async def ask(wire: Wire) -> None:
        nonlocal done
        stream = 1
        for _ in range(0, each, 20):
            parts = []
            wanted = set()
            for _ in range(20):
                parts.append(target.request(stream))
                if stream // 2 % 10 == 9:
                    parts.append(reset(stream))
                else:
                    wanted.add(stream)
                stream += 2
            wire.ended.clear()
            await wire.send(*parts, window(0, 12 * 20))
            if not await wire.until(lambda wanted=wanted: wanted <= wire.ended, 60):  # type: ignore[misc]
                failed.append(stream)
                return
            done += 20
            if done == 10 * each:
                say("tenth")

    await asyncio.gather(*(ask(wire) for wire in wires))
    say("end")
    await asyncio.sleep(0.3)
    await asyncio.gather(*(wire.close() for wire in wires))
    return [Check("requests", f"{100 * each:,} answered or reset", f"{done:,}", not failed and done == 100 * each)]


# ---------------------------------------------------------------------------------------------------------------------
# Slow, and mutated


async def _closes(wire: Wire, asked: float, what: str) -> Check:
    start = time.monotonic()
    await wire.until(lambda: wire.closed is not None, asked + 5)
    took = time.monotonic() - start
    await wire.close()
    ok = wire.closed is not None and asked - 1.5 < took < asked + 3
    return Check(what, f"closed after {asked:g} s, within 3 s", f"{took:.1f} s, GOAWAY {wire.goAway}", ok)


@attack("9", cpu=None, slow=True)
async def slowPeers(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    Handshakes, prefaces, header blocks and acknowledgements that do not come, and sessions that are idle.
    """

    async def silent() -> Check:
        plain = Target(target.port, "", target.full)
        return await _closes(await Wire.open(plain, start=False), 10, "TLS or preface")

    async def preface() -> Check:
        wire = await Wire.open(target, start=False)
        await wire.send(PREFACE[:10])
        return await _closes(wire, 10, "half a preface")

    async def first() -> Check:
        wire = await Wire.open(target, start=False)
        await wire.send(PREFACE)
        return await _closes(wire, 10, "first SETTINGS")

    async def acknowledgement() -> Check:
        wire = await Wire.open(target, start=False)
        await wire.send(PREFACE + settings())
        return await _closes(wire, 10, "SETTINGS never acknowledged")

    async def dripping() -> Check:
        wire = await Wire.open(target)
        await wire.send(frame(HEADERS, END_STREAM, 1, target.get(b"/")))
        checking = asyncio.create_task(_closes(wire, 10, "a header block that drips"))
        for _ in range(15):
            await asyncio.sleep(1)
            if not await wire.send(frame(CONTINUATION, 0, 1, literal(b"a", b"b"))):
                break
        return await checking

    async def idle() -> Check:
        return await _closes(await Wire.open(target), 60, "idle session")

    async def stalled() -> Check:
        wire = await Wire.open(target, (INITIAL_WINDOW_SIZE, 0))
        await wire.send(target.request(1, b"/bytes/100000"))
        start = time.monotonic()
        await wire.until(lambda: 1 in wire.refused, 100)
        took = time.monotonic() - start
        await wire.close()
        ok = 1 in wire.refused and 55 < took < 95
        return Check("a stalled download", "reset after 60 to 90 s", f"{took:.1f} s", ok)

    return list(await asyncio.gather(silent(), preface(), first(), acknowledgement(), dripping(), idle(), stalled()))


@attack("12", cpu=None, memory=20 * MIB, alone=True)
async def mutatedFrames(target: Target, say: Callable[[str], None]) -> list[Check]:
    """
    Connections whose frames are damaged.
    """
    number = 40_000 if target.full else 1_000
    dice = random.Random(9113)
    talk = [
        PREFACE,
        settings((INITIAL_WINDOW_SIZE, 100_000), (HEADER_TABLE_SIZE, 1000)),
        frame(SETTINGS, ACK, 0),
        target.request(1),
        frame(PING, 0, 0, b"12345678"),
        frame(HEADERS, 0, 3, target.get(b"/echo", b"POST")),
        frame(CONTINUATION, END_HEADERS, 3, literal(b"a", b"b", index=True)),
        frame(DATA, PADDED, 3, b"\x05hello" + bytes(5)),
        window(3, 100),
        frame(DATA, END_STREAM, 3, b"world"),
        target.request(5, b"/bytes/100000"),
        window(0, 10_000),
        reset(5),
        frame(PRIORITY, 0, 7, bytes(5)),
        frame(0x10, 0, 0, b"\0\0\0\7u=1"),
        target.request(7, b"/trailers"),
    ]

    def mutated() -> bytes:
        said = list(talk)
        for _ in range(dice.randrange(1, 5)):
            which = dice.randrange(1 if dice.random() < 0.9 else 0, len(said))
            part = bytearray(said[which])
            act = dice.randrange(6)
            if act == 0:
                part[dice.randrange(len(part))] = dice.randrange(256)
            elif act == 1:
                del part[dice.randrange(len(part)) :]
            elif act == 2:
                part += bytes(part)
            elif act == 3:
                part[min(3, len(part) - 1)] = dice.randrange(20)
            elif act == 4:
                part[min(4, len(part) - 1)] ^= 1 << dice.randrange(8)
            else:
                other = dice.randrange(1, len(said))
                said[other], part = part, bytearray(said[other])
            said[which] = bytes(part) or b"\0"
        return b"".join(said)

    outcomes = {"closed by the server": 0, "still open": 0}

    async def some(share: int) -> None:
        for _ in range(share):
            wire = await Wire.open(target, start=False)
            await wire.send(mutated())
            # No faster than the server takes them: more would ask how many connections a second it can accept.
            await wire.until(lambda wire=wire: bool(wire.got), 0.3)  # type: ignore[misc]
            ended = await wire.until(lambda wire=wire: wire.closed is not None, 0.005)  # type: ignore[misc]
            outcomes["closed by the server" if ended else "still open"] += 1
            await wire.close()

    await asyncio.gather(*(some(number // 20) for _ in range(20)))
    done = sum(outcomes.values())
    return [
        Check("connections", f"{number:,}", f"{done:,}, {outcomes['closed by the server']:,} refused", done == number)
    ]
