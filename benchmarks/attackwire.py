"""
What the attacks in C{attackplays.py} are made of: frames as bytes, and a connection that sends them as fast as it is let.

It uses neither h2 nor this package, so that what it sends is not corrected on the way.
"""

from __future__ import annotations

import asyncio
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 7, 8, 11
FRAME_SIZE_ERROR = 6
MIB = 1024 * 1024


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """
    Write a frame.
    """
    return struct.pack(">HBBBL", len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


def literal(name: bytes, value: bytes, index: bool = False) -> bytes:
    """
    Write a field with HPACK, its name and value in clear.

    @param index: whether it goes into the table.
    """
    return bytes([0x40 if index else 0]) + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    if len(text) < 127:
        return bytes([len(text)]) + text
    rest, octets = len(text) - 127, bytearray([127])
    while rest >= 128:
        octets.append(rest % 128 + 128)
        rest //= 128
    return bytes([*octets, rest]) + text


def block(path: bytes, method: bytes = b"GET", extra: bytes = b"", secure: bool = False) -> bytes:
    """
    Write the header block of a request.  It changes nothing in the table, unless what is added does.
    """
    start = {b"GET": b"\x82", b"POST": b"\x83"}[method] + (b"\x87" if secure else b"\x86")
    return start + b"\x01" + _string(b"localhost") + b"\x04" + _string(path) + extra


def window(stream: int, increment: int) -> bytes:
    """
    Write a WINDOW_UPDATE.
    """
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", increment))


def reset(stream: int, code: int = CANCEL) -> bytes:
    """
    Write a RST_STREAM.
    """
    return frame(RST_STREAM, 0, stream, struct.pack(">L", code))


def settings(*entries: tuple[int, int]) -> bytes:
    """
    Write SETTINGS.
    """
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HL", *entry) for entry in entries))


@dataclass(frozen=True)
class Target:
    """
    The server to attack.

    @ivar certificate: what it shows, or an empty string without TLS.
    @ivar full: whether to attack with the numbers of the figures, or with smaller ones.
    """

    port: int
    certificate: str
    full: bool

    @property
    def secure(self) -> bool:
        """
        Whether it speaks TLS.
        """
        return bool(self.certificate)

    def get(self, path: bytes, method: bytes = b"GET", extra: bytes = b"") -> bytes:
        """
        Write the header block of a request to it.
        """
        return block(path, method, extra, self.secure)

    def request(self, stream: int, path: bytes = b"/hello") -> bytes:
        """
        Write a whole request.
        """
        return frame(HEADERS, END_HEADERS | END_STREAM, stream, self.get(path))

    def context(self) -> ssl.SSLContext | None:
        """
        Make what is needed to speak TLS with it.
        """
        return _context(self.certificate) if self.secure else None


@lru_cache(maxsize=1)
def _context(certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols(["h2"])
    return context


class Wire:
    """
    A connection to the server.

    @ivar got: how many frames came, by type.
    @ivar goAway: the code of the last GOAWAY, or L{None}.
    @ivar refused: streams that were reset, with their codes.
    @ivar ended: streams that ended with END_STREAM.
    @ivar credit: what WINDOW_UPDATE frames gave, by stream.
    @ivar body: bytes of DATA that came.
    @ivar closed: the time of its end, or L{None}.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.got: Counter[int] = Counter()
        self.goAway: int | None = None
        self.goAwayAt = 0.0
        self.refused: dict[int, int] = {}
        self.ended: set[int] = set()
        self.credit: Counter[int] = Counter()
        self.body = 0
        self.closed: float | None = None
        self._changed = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, target: Target, *entries: tuple[int, int], read: bool = True, start: bool = True) -> Wire:
        """
        Connect.

        @param entries: settings to announce.
        @param read: whether to take in what the server sends.
        @param start: whether to send the preface, SETTINGS, and an acknowledgement of the server's.
        """
        context = target.context()
        name = "localhost" if context else None
        opening = asyncio.open_connection("127.0.0.1", target.port, ssl=context, server_hostname=name)
        wire = cls(*await asyncio.wait_for(opening, 30))
        if start:
            wire.writer.write(PREFACE + settings(*entries) + frame(SETTINGS, ACK, 0))
        if read:
            wire._reading = asyncio.create_task(wire._read())
        return wire

    async def _read(self) -> None:
        try:
            while True:
                head = await self._reader.readexactly(9)
                size = int.from_bytes(head[:3], "big")
                payload = await self._reader.readexactly(size)
                self._take(head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7FFFFFFF, payload)
        except (asyncio.IncompleteReadError, OSError):
            self.closed = time.monotonic()
            self._changed.set()

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self.got[kind] += 1
        if kind == GOAWAY:
            self.goAway = int.from_bytes(payload[4:8], "big")
            self.goAwayAt = time.monotonic()
        elif kind == RST_STREAM:
            self.refused[stream] = int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self.credit[stream] += int.from_bytes(payload, "big")
        elif kind == DATA:
            self.body += len(payload)
        if kind in (DATA, HEADERS) and flags & END_STREAM:
            self.ended.add(stream)
        self._changed.set()

    async def until(self, test: Callable[[], bool], seconds: float = 10) -> bool:
        """
        Wait until something is so, the connection ends or the time passes.

        @return: whether it is so.
        """
        end = time.monotonic() + seconds
        while not test() and self.closed is None and (left := end - time.monotonic()) > 0:
            self._changed.clear()
            try:
                await asyncio.wait_for(self._changed.wait(), left)
            except asyncio.TimeoutError:
                break
        return test()

    async def send(self, *parts: bytes) -> bool:
        """
        Send, no faster than it goes.

        @return: whether the connection still stands.
        """
        try:
            self.writer.write(b"".join(parts))
            await asyncio.wait_for(self.writer.drain(), 20)
        except OSError:
            return False
        return self.closed is None and not self.writer.is_closing()

    async def flood(self, chunks: Iterable[bytes], seconds: float = 5) -> int:
        """
        Send until all is sent or the server ends the connection, and wait for that.

        @return: how many chunks went out.
        """
        sent = 0
        for chunk in chunks:
            if not await self.send(chunk):
                break
            sent += 1
        await self.until(lambda: self.closed is not None, seconds)
        return sent

    async def alive(self) -> bool:
        """
        Find out whether the server still answers here.
        """
        before = self.got[PING]
        await self.send(frame(PING, 0, 0, b"alive???"))
        return await self.until(lambda: self.got[PING] > before, 5)

    async def close(self) -> None:
        """
        Cut the connection.
        """
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        self.writer.transport.abort()


def batches(one: Callable[[int], bytes], number: int, atOnce: int = 500) -> Iterable[bytes]:
    """
    Write very many frames, some hundreds in a chunk.

    @param one: makes the frames for a stream id.
    """
    for start in range(0, number, atOnce):
        yield b"".join(one(2 * each + 1) for each in range(start, min(number, start + atOnce)))
