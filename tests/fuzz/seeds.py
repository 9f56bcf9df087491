"""
Makes the seeds of the corpus: short exchanges, legal and not, one file each.  C{python -m tests.fuzz.seeds} writes them
again, always the same; what fuzzing has added to the corpus (names that are hashes) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.fuzz.run import CORPUS
from txh2session._frames import PREFACE, buildFrame

REQUEST = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
POST = [(":method", "POST"), *REQUEST[1:]]
ANSWER = [(":status", "200"), ("content-type", "text/plain")]
ENDED = {"END_HEADERS", "END_STREAM"}


def headers(streamID: int, fields: list[tuple[str, str]], *flags: str) -> HeadersFrame:
    """
    Make a HEADERS frame whose block refers to no table.
    """
    return HeadersFrame(streamID, Encoder().encode(fields), flags=["END_HEADERS", *flags])


def data(streamID: int, body: bytes, *flags: str) -> DataFrame:
    """
    Make a DATA frame.
    """
    return DataFrame(streamID, body, flags=list(flags))


def padded(streamID: int) -> DataFrame:
    """
    Make a DATA frame with padding.
    """
    frame = data(streamID, b"body", "PADDED")
    frame.pad_length = 20
    return frame


def settings(*entries: tuple[int, int], ack: bool = False) -> SettingsFrame:
    """
    Make a SETTINGS frame.
    """
    return SettingsFrame(0, dict(entries), flags=["ACK"] if ack else [])


def fromClients() -> Iterator[tuple[str, list[Frame]]]:
    """
    What clients may send, and what they may not.
    """
    block = Encoder().encode([*POST, ("x", "y" * 300)])
    yield "get", [headers(1, REQUEST, "END_STREAM")]
    yield "post", [headers(1, POST), data(1, b"x" * 1000), padded(1), data(1, b"", "END_STREAM")]
    yield "trailers", [headers(1, POST), data(1, b"x"), headers(1, [("t", "1")], "END_STREAM")]
    yield "many", [headers(number, REQUEST, "END_STREAM") for number in range(1, 25, 2)]
    yield (
        "continuations",
        [
            HeadersFrame(1, block[:100]),
            ContinuationFrame(1, block[100:200]),
            ContinuationFrame(1, block[200:], flags=["END_HEADERS"]),
        ],
    )
    yield "manycontinuations", [HeadersFrame(1, block), *(ContinuationFrame(1, b"") for _ in range(20))]
    yield "interrupted", [HeadersFrame(1, block[:100]), PingFrame(0, b"12345678")]
    yield "settings", [settings((1, 0), (3, 1), (4, 10), (5, 20_000)), settings((1, 4096), (4, 2**31 - 1))]
    yield "badsettings", [settings((2, 7)), settings((5, 3))]
    yield "pings", [PingFrame(0, b"12345678") for _ in range(200)]
    yield (
        "resets",
        [frame for number in range(1, 60, 2) for frame in (headers(number, POST), RstStreamFrame(number, 8))],
    )
    yield "goaway", [headers(1, POST), GoAwayFrame(0, 0, 11, b"bye"), data(1, b"x", "END_STREAM")]
    yield "windows", [headers(1, POST), WindowUpdateFrame(0, 2**31 - 1), WindowUpdateFrame(1, 5)]
    yield "late", [headers(1, REQUEST, "END_STREAM"), data(1, b"x"), headers(1, REQUEST)]
    yield "idle", [data(5, b"x")]
    yield "flood", [headers(1, POST), *(data(1, bytes(9000)) for _ in range(4))]
    yield "priority", [PriorityFrame(3, 1, 5), headers(3, REQUEST, "END_STREAM"), PriorityFrame(3, 3, 5)]
    yield "wronglength", [headers(1, [*POST, ("content-length", "4")]), data(1, b"12345", "END_STREAM")]


def fromServers() -> Iterator[tuple[str, list[Frame]]]:
    """
    What servers may send, and what they may not.
    """
    promise = PushPromiseFrame(1, 2, Encoder().encode(REQUEST), flags=["END_HEADERS"])
    yield "answer", [headers(3, ANSWER), data(3, b"x" * 100), data(3, b"", "END_STREAM")]
    yield "information", [headers(1, [(":status", "103")]), headers(1, ANSWER, "END_STREAM")]
    yield "push", [promise, headers(2, ANSWER), data(2, b"pushed", "END_STREAM"), headers(1, ANSWER, "END_STREAM")]
    yield "pushtwice", [promise, promise]
    yield "refused", [RstStreamFrame(1, 7), GoAwayFrame(0, 1, 0, b"")]
    yield "early", [data(1, b"x")]
    yield "unasked", [headers(9, ANSWER)]
    yield "trailed", [headers(1, ANSWER), data(1, b"x"), headers(1, [("grpc-status", "0")], "END_STREAM")]


def opaque(kind: int, streamID: int, payload: bytes) -> bytes:
    """
    Make a frame of bytes.
    """
    return buildFrame(kind, 0, streamID, payload)


def seeds() -> Iterator[tuple[str, str, bytes]]:
    """
    Make all of them.

    @return: target, name, bytes.
    """
    for role, exchanges in ((0, fromClients()), (1, fromServers())):
        for name, exchange in exchanges:
            body = b"".join(frame.serialize() for frame in [settings(), settings(ack=True), *exchange])
            side = ["client", "server"][role]
            yield "raw", f"{side}-{name}", bytes([role | 2]) + body
            yield "raw", f"{side}-{name}-in-pieces", bytes([role | 2 | 7 << 2]) + body
            yield "splitter", f"{side}-{name}", bytes([1 - role, 10]) + b"".join(each.serialize() for each in exchange)
    yield "raw", "http1", b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    yield "raw", "http1-answer", b"\1HTTP/1.1 400 Bad Request\r\n\r\n"
    yield "raw", "preface", b"\0" + PREFACE
    yield "raw", "almost", b"\x04" + PREFACE[:-3] + b"..."
    yield "raw", "overlong", b"\2" + settings().serialize() + b"\xff\xff\xff\0\0\0\0\0\1"
    for kind, payload in (
        (10, b"\0\1a" + b"h2"),
        (12, b"\0\3http"),
        (16, b"\0\0\0\1u=1"),
        (0xBB, b"?"),
        (1, b"\xff\xff"),
    ):
        yield "raw", f"extension-{kind}", b"\3" + settings().serialize() + opaque(kind, 0, payload)
    # For what each number does see targets.py: kind, and 16 times what belongs to it.
    yield "frames", "echo", bytes([0, 6, 2, 1, 1, 14, 0, 0, 1, 3, 232, 16, 1, 0, 5, 14, 4, 14, 5])
    yield "frames", "answered", bytes([1, 6, 2, 6, 1, 14, 0, 0, 1, 1, 0, 16, 1, 0, 5])
    yield "frames", "pushed", bytes([1, 6, 10, 2, 1, 0, 2, 6, 2, 0, 2, 0, 50, 18, 6, 1, 14, 0])
    yield "frames", "informed", bytes([1, 6, 2, 8, 1, 2, 6, 1, 18, 10, 1])
    yield "frames", "windows", bytes([2, 2, 1, 1, 21, 4, 0, 10, 14, 4, 14, 4, 57, 1, 0, 0, 255, 255, 9, 0, 255, 14, 5])
    yield "frames", "settings", bytes([4, 37, 4, 200, 1, 0, 21, 4, 100, 6, 6, 6, 14, 10, 6])
    yield "frames", "continued", bytes([0, 34, 1, 1, 20, 34, 5, 3, 3, 34, 0, 5, 1])
    yield "frames", "reset", bytes([0, 2, 1, 1, 4, 1, 8, 2, 1, 3, 14, 6, 0, 3, 0, 9, 4, 3, 0])
    yield "frames", "leaving", bytes([1, 8, 1, 14, 12, 6, 14, 9, 24, 0, 1, 2, 3])
    yield "frames", "times", bytes([0, 2, 1, 1, 15, 31, 47, 63, 79, 14, 5, 15, 31])
    yield "frames", "malformed", bytes([6, 2, 4, 1, 2, 5, 3, 2, 11, 5, 2, 3, 7, 12, 1, 255, 0, 0, 0, 9, 3, 1, 2, 3])
    yield "frames", "unread", bytes([0, 2, 1, 1, *(0, 1, 66, 104) * 4, 14, 2, 14, 0, 14, 3, 2, 1, 3, 0, 3, 60, 0])


def write(target: str, name: str, seed: bytes, folder: Path = CORPUS) -> None:
    """
    Write one seed.
    """
    path = folder / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(seed)


if __name__ == "__main__":
    for made in seeds():
        write(*made)
