"""
L{txh2session.framelog}: what it shows of frames, what it hides, and that nothing a peer sends can hurt it.
"""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable
from io import BytesIO, StringIO
from typing import Any

from hpack import Encoder, NeverIndexedHeaderTuple
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession, ErrorCode, FrameLog, HTTP2Error, Server, StreamListener, connect, openSession
from txh2session import Settings as SessionSettings
from txh2session import _frames as frames
from txh2session._frames import PREFACE, buildFrame
from txh2session.framelog import ConnectionLog
from txh2session.protocol import HTTP2Protocol
from txh2session.settings import Timeouts
from txh2session.testing import ConnectedSessions, FramePeer, PipeTransport, connectedSessions

HOST = IPv4Address("TCP", "127.0.0.1", 2)
PEER = IPv4Address("TCP", "127.0.0.1", 1)
SETTINGS = buildFrame(frames.SETTINGS, 0, 0)
END_HEADERS = frames.END_HEADERS
END_STREAM = frames.END_STREAM
STEP = "fields not shown: HPACK is out of step"


def setting(identifier: int, value: int) -> bytes:
    """
    Write a SETTINGS frame with one entry.
    """
    return buildFrame(frames.SETTINGS, 0, 0, identifier.to_bytes(2, "big") + value.to_bytes(4, "big"))


class Watched:
    """
    The log of one connection that is told of bytes by hand.
    """

    def __init__(self, *, client: bool = False, started: bool = True, **options: Any) -> None:
        """
        @param started: whether the preface of both sides has crossed.
        """
        self.clock = Clock()
        self.lines: list[str] = []
        self.log = FrameLog(self.lines.append, **options)
        self.connection = self.open(client=client)
        self.encoder = Encoder()
        if started:
            self.recv((b"" if client else PREFACE) + SETTINGS)
            self.send((PREFACE if client else b"") + SETTINGS)

    def open(self, *, client: bool = False, peer: IAddress = PEER) -> ConnectionLog:
        """
        Begin another connection.
        """
        return self.log.connected(self.clock.seconds, client=client, encrypted=False, host=HOST, peer=peer)

    def take(self) -> list[str]:
        """
        Take out what was written, without times and the connection's number.
        """
        taken = [re.sub(r"\A\S+ #1 ", "", line) for line in self.lines]
        self.lines.clear()
        return taken

    def recv(self, *data: bytes) -> list[str]:
        """
        Let bytes arrive.

        @return: what was written of them, without C{recv}.
        """
        self.take()
        for each in data:
            self.connection.received(each)
        return [line.removeprefix("recv ") for line in self.take()]

    def send(self, *data: bytes) -> list[str]:
        """
        Let bytes leave.

        @return: what was written of them, without C{send}.
        """
        self.take()
        for each in data:
            self.connection.sent(each)
        return [line.removeprefix("send ") for line in self.take()]

    def block(self, *fields: tuple[str, str], never: bool = False) -> bytes:
        """
        Encode header fields.
        """
        pairs = [(name.encode(), value.encode("latin-1")) for name, value in fields]
        return self.encoder.encode([NeverIndexedHeaderTuple(*pair) if never else pair for pair in pairs])

    def headers(self, *fields: tuple[str, str], streamID: int = 1, never: bool = False) -> bytes:
        """
        Write a HEADERS frame.
        """
        return buildFrame(frames.HEADERS, END_HEADERS, streamID, self.block(*fields, never=never))


class FrameTests(SynchronousTestCase):
    """
    What is said of each type of frame.
    """

    def test_types(self) -> None:
        """
        Each type's line has what is of use of it, by name where there is one.
        """
        watched = Watched()
        for raw, line in (
            (buildFrame(frames.DATA, 0, 1, b"hello"), "DATA stream=1 length=5"),
            (buildFrame(frames.DATA, 9, 1, b"\x02xx\0\0"), "DATA stream=1 length=5 flags=END_STREAM|PADDED padding=2"),
            (
                buildFrame(frames.PRIORITY, 0, 3, b"\x80\0\0\x01\x0f"),
                "PRIORITY stream=3 length=5 dependsOn=1 weight=16 exclusive",
            ),
            (buildFrame(frames.PRIORITY, 0, 3, bytes(5)), "PRIORITY stream=3 length=5 dependsOn=0 weight=1"),
            (frames.buildReset(5, 8), "RST_STREAM stream=5 length=4 code=CANCEL"),
            (frames.buildReset(5, 0x4D), "RST_STREAM stream=5 length=4 code=0x4d"),
            (frames.SETTINGS_ACK, "SETTINGS stream=0 length=0 flags=ACK"),
            (setting(3, 100), "SETTINGS stream=0 length=6 MAX_CONCURRENT_STREAMS=100"),
            (setting(0xF00, 7), "SETTINGS stream=0 length=6 0xf00=7"),
            (
                buildFrame(frames.SETTINGS, 0, 0, b"\0\x02\0\0\0\0\0\x08\0\0\0\x01"),
                "SETTINGS stream=0 length=12 ENABLE_PUSH=0 ENABLE_CONNECT_PROTOCOL=1",
            ),
            (buildFrame(frames.PING, 0, 0, bytes(range(8))), "PING stream=0 length=8 payload=0001020304050607"),
            (buildFrame(frames.PING, 1, 0, bytes(8)), "PING stream=0 length=8 flags=ACK payload=0000000000000000"),
            (frames.buildGoAway(2**31 - 1, 0), "GOAWAY stream=0 length=8 lastStream=2147483647 code=NO_ERROR"),
            (
                frames.buildGoAway(5, 11, b"too many"),
                'GOAWAY stream=0 length=16 lastStream=5 code=ENHANCE_YOUR_CALM debug="too many"',
            ),
            (frames.buildWindowUpdate(0, 65535), "WINDOW_UPDATE stream=0 length=4 increment=65535"),
            (
                frames.buildAltSvc(b'h3=":1"', b"https://a", 0),
                'ALTSVC stream=0 length=18 origin="https://a" value="h3=\\":1\\""',
            ),
            (
                frames.buildOrigin([b"https://a", b"https://b"]),
                'ORIGIN stream=0 length=22 origins="https://a","https://b"',
            ),
            (
                frames.buildPriorityUpdate(7, b"u=1, i"),
                'PRIORITY_UPDATE stream=0 length=10 prioritizedStream=7 priority="u=1, i"',
            ),
            (buildFrame(0xBB, 0, 9, b"secret?"), "UNKNOWN(0xbb) stream=9 length=7"),
            (buildFrame(0xBB, 0x81, 9, b""), "UNKNOWN(0xbb) stream=9 length=0 flags=0x81"),
            (buildFrame(frames.DATA, 0x41, 1), "DATA stream=1 length=0 flags=END_STREAM|0x40"),
        ):
            self.assertEqual(watched.recv(raw), [line])
            self.assertEqual(watched.send(raw), [line])

    def test_headers(self) -> None:
        """
        Header fields follow their frame, on lines that name the stream.
        """
        watched = Watched()
        block = watched.block((":method", "GET"), ("x-a", "b"))
        raw = buildFrame(frames.HEADERS, 0x2D, 1, b"\x01" + b"\0\0\0\x03\xff" + block + b"\0")
        self.assertEqual(
            watched.recv(raw),
            [
                f"HEADERS stream=1 length={len(raw) - 9} flags=END_STREAM|END_HEADERS|PADDED|PRIORITY"
                " padding=1 dependsOn=3 weight=256",
                "stream=1 :method: GET",
                "stream=1 x-a: b",
            ],
        )

    def test_continuation(self) -> None:
        """
        A header block in pieces is shown piece by piece, and its fields after the last.
        """
        watched = Watched()
        block = watched.block((":status", "200"), ("x-a", "b"))
        pieces = (
            buildFrame(frames.HEADERS, 0, 3, block[:2]),
            buildFrame(frames.CONTINUATION, 0, 3, block[2:3]),
            buildFrame(frames.CONTINUATION, END_HEADERS, 3, block[3:]),
        )
        self.assertEqual(
            watched.recv(*pieces),
            [
                "HEADERS stream=3 length=2",
                "CONTINUATION stream=3 length=1",
                f"CONTINUATION stream=3 length={len(block) - 3} flags=END_HEADERS",
                "stream=3 :status: 200",
                "stream=3 x-a: b",
            ],
        )

    def test_push(self) -> None:
        """
        The fields of a promise are shown as the promised stream's, also when its block is in pieces.
        """
        watched = Watched(client=True)
        block = watched.block((":path", "/style"))
        for raw in (
            [buildFrame(frames.PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02" + block)],
            [
                buildFrame(frames.PUSH_PROMISE, 0, 1, b"\0\0\0\x02"),
                buildFrame(frames.CONTINUATION, END_HEADERS, 1, watched.block((":path", "/style"))),
            ],
        ):
            first, *_, last = watched.recv(*raw)
            self.assertTrue(first.startswith("PUSH_PROMISE stream=1 "), first)
            self.assertTrue(first.endswith(" promisedStream=2"), first)
            self.assertEqual(last, "stream=2 :path: /style")

    def test_malformed(self) -> None:
        """
        A frame that breaks a rule of its form is shown, with what is wrong with it.
        """
        for kind, flags, payload, said in (
            (frames.DATA, 8, b"", "a padded frame without its length of padding"),
            (frames.DATA, 8, b"\x01", "padding longer than the frame"),
            (frames.PRIORITY, 0, b"1234", "5 bytes is its only length"),
            (frames.RST_STREAM, 0, b"12345", "4 bytes is its only length"),
            (frames.SETTINGS, 0, b"1234567", "entries have 6 bytes each"),
            (frames.SETTINGS, 1, b"123456", "0 bytes is the only length of an ACK"),
            (frames.PING, 0, b"", "8 bytes is its only length"),
            (frames.GOAWAY, 0, b"1234567", "8 bytes is its least length"),
            (frames.WINDOW_UPDATE, 0, b"1", "4 bytes is its only length"),
            (frames.ALTSVC, 0, b"\0", "its origin is longer than the frame"),
            (frames.ALTSVC, 0, b"\0\x09abc", "its origin is longer than the frame"),
            (frames.ORIGIN, 0, b"\0\x09abc", "an origin is longer than the frame"),
            (frames.PRIORITY_UPDATE, 0, b"123", "4 bytes is its least length"),
            (frames.HEADERS, 0x0C, b"\xff", "padding longer than the frame"),
            (frames.HEADERS, 0x24, b"123", "a header frame too short for what it says it holds"),
            (frames.PUSH_PROMISE, 4, b"123", "a header frame too short for what it says it holds"),
        ):
            watched = Watched()
            (line,) = watched.recv(buildFrame(kind, flags, 1, payload))
            self.assertTrue(line.endswith(f'note="{said}"'), line)
            self.assertIn(f" stream=1 length={len(payload)}", line)
            self.assertEqual(watched.recv(frames.SETTINGS_ACK), ["SETTINGS stream=0 length=0 flags=ACK"])

    def test_manySettings(self) -> None:
        """
        Of a frame with very many settings the first are shown, and how many there are.
        """
        raw = buildFrame(frames.SETTINGS, 0, 0, b"\x0f\0\0\0\0\x01" * 2000)
        (line,) = Watched().recv(raw)
        self.assertEqual(line.count("0xf00=1"), 64)
        self.assertTrue(line.endswith('note="2000 entries, of which these are the first"'), line)

    def test_tooLong(self) -> None:
        """
        A frame longer than the other side allowed is shown at its head, since it may never be whole; and what follows it.
        """
        watched = Watched()
        raw = buildFrame(frames.DATA, 0, 1, bytes(16385))
        shown = ['DATA stream=1 length=16385 note="longer than MAX_FRAME_SIZE, 16384"']
        self.assertEqual(watched.recv(raw[:9]), shown)
        self.assertEqual(watched.recv(raw[9:]), [])
        self.assertEqual(watched.recv(frames.SETTINGS_ACK), ["SETTINGS stream=0 length=0 flags=ACK"])
        watched.send(setting(5, 20000))
        self.assertEqual(watched.recv(raw), ["DATA stream=1 length=16385"])
        self.assertEqual(watched.send(raw), shown)

    def test_longPayloads(self) -> None:
        """
        Where frames may be very long, those that say something are read up to a limit, which is noted.
        """
        watched = Watched()
        watched.send(setting(5, 2**24 - 1))
        note = ' note="only its first 16384 bytes were read"'
        for raw, said in (
            (frames.buildGoAway(1, 0, bytes(20000)), "lastStream=1 code=NO_ERROR debug="),
            (frames.buildOrigin([b"o" * 9000] * 3), note),
            (frames.buildAltSvc(b"v" * 20000, b"https://a", 0), 'origin="https://a" value='),
            (frames.buildPriorityUpdate(1, b"p" * 2000000), "prioritizedStream=1 priority="),
        ):
            (line,) = watched.recv(raw)
            self.assertIn(f" length={len(raw) - 9} ", line)
            self.assertIn(said, line)
            self.assertTrue(line.endswith(note), line)

    def test_cut(self) -> None:
        """
        What the end of the connection cuts off is shown as that.
        """
        for data, line in (
            (buildFrame(frames.DATA, 0, 1, b"hello")[:-2], 'recv DATA stream=1 length=5 note="cut off after 3 bytes"'),
            (frames.buildGoAway(1, 0)[:-1], 'recv GOAWAY stream=0 length=8 note="cut off after 7 bytes"'),
            (SETTINGS[:4], 'recv BYTES length=4 begins="\\x00\\x00\\x00\\x04" note="cut off here"'),
        ):
            watched = Watched()
            self.assertEqual(watched.recv(data), [])
            watched.connection.lost("gone")
            self.assertEqual(watched.take(), [line, "closed reason=gone"])
        watched = Watched(started=False)
        watched.recv(PREFACE[:5])
        watched.connection.lost("gone")
        self.assertEqual(watched.take()[0], 'recv BYTES length=5 begins="PRI *" note="cut off here"')

    @given(st.integers(1, 40))
    def test_pieces(self, size: int) -> None:
        """
        It does not matter how the bytes are cut.
        """
        watched = Watched(started=False)
        data = PREFACE + SETTINGS + watched.headers((":path", "/"), ("cookie", "x")) + frames.buildGoAway(1, 2, b"why")
        data += buildFrame(frames.DATA, END_STREAM | 8, 1, b"\x03abcdef") + buildFrame(0xBB, 0, 0, b"x" * 50)
        whole = watched.recv(data)
        other = Watched(started=False)
        self.assertEqual(other.recv(*(data[start : start + size] for start in range(0, len(data), size))), whole)
        self.assertEqual(len(whole), 8)


class BeginningTests(SynchronousTestCase):
    """
    How a connection begins and ends.
    """

    def test_open(self) -> None:
        """
        The first line says who is connected to whom, and the day; each line has the time of the clock.
        """
        watched = Watched(started=False)
        expected = "00:00:00.000000Z #1 open role=server protocol=h2c host=127.0.0.1:2 peer=127.0.0.1:1 date=1970-01-01"
        self.assertEqual(watched.lines, [expected])
        watched.clock.advance(86400 + 3600 * 23 + 60 * 59 + 1.25)
        six = IPv6Address("TCP", "::1", 443)
        watched.log.connected(watched.clock.seconds, client=True, encrypted=True, host=six, peer=UNIXAddress(b"/a b"))
        expected = '23:59:01.250000Z #2 open role=client protocol=h2 host=[::1]:443 peer="unix:/a b" date=1970-01-02'
        self.assertEqual(watched.lines[1], expected)
        self.assertIn("peer=unix: ", self.opened(UNIXAddress(None)))

    def opened(self, peer: IAddress) -> str:
        """
        Show a connection of some peer.
        """
        watched = Watched(started=False)
        watched.open(peer=peer)
        return watched.lines[-1]

    def test_preface(self) -> None:
        """
        The client's preface is a line, in whichever direction it goes.
        """
        self.assertEqual(Watched(started=False).recv(PREFACE), ["PREFACE length=24"])
        self.assertEqual(Watched(started=False, client=True).send(PREFACE[:7], PREFACE[7:]), ["PREFACE length=24"])

    def test_otherProtocols(self) -> None:
        """
        What is not HTTP/2 is named, and no more is shown of that direction; the other goes on.
        """
        end = 'note="this is not HTTP/2; no more is shown of this direction"'
        for client, data, said in (
            (False, b"GET / HTTP/1.1\r\n\r\n", r'length=18 looksLike=HTTP/1 begins="GET / HTTP/1.1\r\n\r\n"'),
            (False, PREFACE[:20] + b"..", rf'length=22 looksLike="an unknown protocol" begins="{self.escaped}.."'),
            (True, b"HTTP/1.1 400 Bad Request\r\n", 'length=9 looksLike=HTTP/1 begins="HTTP/1.1 "'),
            (
                True,
                b"\x15\x03\x03\0\x02\x02\x46\0\0",
                r'length=9 looksLike=TLS begins="\x15\x03\x03\x00\x02\x02F\x00\x00"',
            ),
        ):
            watched = Watched(client=client, started=False)
            self.assertEqual(watched.recv(data), [f"BYTES {said} {end}"])
            self.assertEqual(watched.recv(SETTINGS), [])
            self.assertEqual(watched.send((PREFACE if client else b"") + SETTINGS)[-1], "SETTINGS stream=0 length=0")
            watched.connection.lost("gone")
            self.assertEqual(watched.take(), ["closed reason=gone"])

    escaped = r"PRI * HTTP/2.0\r\n\r\nSM"


class FieldTests(SynchronousTestCase):
    """
    What is hidden, and what cannot be done with header fields.
    """

    secret = (
        *("authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate", "proxy-authenticate"),
        *("authentication-info", "proxy-authentication-info", "x-api-key", "Cookie", " authorization"),
    )

    def test_masked(self) -> None:
        """
        Values that carry credentials are masked, however their names are spelled, in both directions and formats.
        """
        for format in ("lines", "json"):
            for way in ("recv", "send"):
                watched = Watched(format=format)
                shown = "\n".join(
                    getattr(watched, way)(watched.headers(*((name, f"hidden {name}") for name in self.secret)))
                )
                self.assertEqual(shown.count("<secret>"), len(self.secret), shown)
                self.assertNotIn("hidden", shown)

    def test_neverIndexed(self) -> None:
        """
        So are those whose sender marked them never to be indexed.
        """
        watched = Watched()
        self.assertEqual(watched.recv(watched.headers(("x-a", "b"), never=True))[1:], ["stream=1 x-a: <secret>"])
        self.assertEqual(watched.recv(watched.headers(("x-a", "b")))[1:], ["stream=1 x-a: b"])

    def test_secrets(self) -> None:
        """
        All values are shown when they are asked for.
        """
        watched = Watched(secrets=True)
        raw = watched.headers(("cookie", "a=b"), ("authorization", "Basic x"), never=True)
        self.assertEqual(watched.recv(raw)[1:], ["stream=1 cookie: a=b", "stream=1 authorization: Basic x"])

    def test_secretFields(self) -> None:
        """
        An application can name more that are secret.
        """
        watched = Watched(secretFields=["X-Token", b":path"])
        raw = watched.headers((":path", "/?token=1"), ("x-token", "2"), ("x-other", "3"))
        self.assertEqual(
            watched.recv(raw)[1:], ["stream=1 :path: <secret>", "stream=1 x-token: <secret>", "stream=1 x-other: 3"]
        )

    def test_forging(self) -> None:
        """
        Nothing that a peer can choose starts a line, ends one, or steers a terminal.
        """
        evil = 'a\r\n00:00:00 #2 recv GOAWAY\x1b[2J\x00\x85\x9b "\\\u00e2\u0080\u00a8'
        raw = evil.encode("latin-1")
        watched = Watched(client=True)
        shown = [
            *watched.recv(watched.headers((evil, evil))),
            *watched.recv(frames.buildGoAway(1, 0, raw)),
            *watched.recv(frames.buildAltSvc(raw, raw, 0)),
            *watched.recv(frames.buildOrigin([raw, raw])),
            *watched.recv(frames.buildPriorityUpdate(1, raw)),
        ]
        watched.connection.lost(evil)
        watched.open(peer=UNIXAddress(raw))
        shown += watched.take()
        self.assertEqual(len(shown), 8)
        for line in shown:
            self.assertRegex(line, r"\A[ -~]+\Z")
        name = r"a\r\n00:00:00 #2 recv GOAWAY\x1b[2J\x00\x85\x9b \"\\\xe2\x80\xa8"
        self.assertIn(f'debug="{name}"', shown[2])
        self.assertIn(f'origin="{name}" value="{name}"', shown[3])
        self.assertIn(f'origins="{name}","{name}"', shown[4])

    def test_forgedJSON(self) -> None:
        """
        The same in JSON, where every line remains one object, and text can be had back.
        """
        evil = 'a"}\r\n\x1b{"\x85\u00e9'
        watched = Watched(format="json")
        (line,) = watched.recv(watched.headers(("x", evil)))
        self.assertRegex(line, r"\A[ -~]+\Z")
        ((_, value),) = json.loads(line)["fields"]
        self.assertEqual(value.encode("utf-8", "surrogateescape"), evil.encode("latin-1"))

    def test_shortened(self) -> None:
        """
        Long values are cut, with their length.
        """
        for format in ("lines", "json"):
            watched = Watched(format=format)
            line = watched.recv(watched.headers(("x-a", "v" * 5000)))[-1]
            self.assertIn("v" * 4096 + "... (5000 bytes)", line)
            self.assertNotIn("v" * 4097, line)
            (line,) = watched.recv(frames.buildGoAway(1, 0, b"d" * 300))
            self.assertIn("d" * 256 + "... (300 bytes)", line)
            self.assertNotIn("d" * 257, line)


class CompressionTests(SynchronousTestCase):
    """
    HPACK, which the log decodes for itself.
    """

    def assertLost(self, watched: Watched, broken: list[str], said: str) -> None:
        """
        Check that the log says why it lost step, goes on without fields, and still decodes the other direction.
        """
        self.assertIn(said, "\n".join(broken))
        (line,) = watched.recv(watched.headers((":path", "/next"), streamID=3))
        self.assertTrue(line.startswith("HEADERS stream=3 ") and line.endswith(f' note="{STEP}"'), line)
        self.assertEqual(watched.recv(frames.buildReset(1, 8)), ["RST_STREAM stream=1 length=4 code=CANCEL"])
        watched.encoder = Encoder()
        self.assertEqual(watched.send(watched.headers((":status", "200")))[1:], ["stream=1 :status: 200"])

    def test_garbage(self) -> None:
        """
        A block that cannot be decoded is shown as that.
        """
        for block in (b"\xff\xff\xff\xff\xff", b"\x80", b"\x40\x05ab", b"\x82\x3f\xe1\x1f"):
            watched = Watched()
            shown = watched.recv(buildFrame(frames.HEADERS, END_HEADERS, 1, block))
            self.assertLost(watched, shown, 'note="HPACK: ')

    def test_brokenOff(self) -> None:
        """
        So is one that another frame breaks off.
        """
        for raw, said in (
            (buildFrame(frames.HEADERS, END_HEADERS, 3, b"\x82"), "inside the header block of stream 1"),
            (buildFrame(frames.CONTINUATION, END_HEADERS, 3, b"\x82"), "no header block is to be continued here"),
            (buildFrame(frames.HEADERS, END_HEADERS, 3, bytes(20000)), "longer than MAX_FRAME_SIZE"),
        ):
            watched = Watched()
            shown = watched.recv(buildFrame(frames.HEADERS, 0, 1, b"\x82") + raw)
            self.assertLost(watched, shown, said)

    def test_frameInside(self) -> None:
        """
        A frame of another type inside a block is noted, and breaks nothing.
        """
        watched = Watched()
        block = watched.block((":path", "/here"))
        shown = watched.recv(
            buildFrame(frames.HEADERS, 0, 1, block[:1]),
            frames.buildReset(1, 8),
            buildFrame(frames.CONTINUATION, END_HEADERS, 1, block[1:]),
        )
        self.assertEqual(
            shown[1], 'RST_STREAM stream=1 length=4 code=CANCEL note="inside the header block of stream 1"'
        )
        self.assertEqual(shown[-1], "stream=1 :path: /here")

    def test_orphan(self) -> None:
        """
        A CONTINUATION without a block is noted.
        """
        watched = Watched()
        shown = watched.recv(buildFrame(frames.CONTINUATION, END_HEADERS, 1, b"\x82"))
        self.assertLost(watched, shown, "no header block is to be continued here")

    def test_longBlock(self) -> None:
        """
        A block without an end is decoded up to a limit only.
        """
        watched = Watched()
        watched.recv(buildFrame(frames.HEADERS, 0, 1, bytes(16384)))
        piece = buildFrame(frames.CONTINUATION, 0, 1, bytes(16384))
        shown = [line for _ in range(64) for line in watched.recv(piece)]
        self.assertEqual([line for line in shown[:-1] if "note" in line], [])
        shown += watched.recv(buildFrame(frames.CONTINUATION, END_HEADERS, 1))
        self.assertLost(watched, shown, "a header block of more than 1048576 bytes")

    def test_bomb(self) -> None:
        """
        A short block that stands for a very long list is decoded up to a limit only.
        """
        watched = Watched()
        watched.recv(watched.headers(("x", "v" * 4000)))
        shown = watched.recv(buildFrame(frames.HEADERS, END_HEADERS, 1, b"\xbe" * 1000))
        self.assertLost(watched, shown, "HPACK: A header list larger than 1048576")

    def test_tableGrows(self) -> None:
        """
        The table is as large as SETTINGS let it be, from either side.
        """
        for way, other in (("recv", "send"), ("send", "recv")):
            watched = Watched()
            getattr(watched, other)(setting(1, 65536))
            watched.encoder.header_table_size = 65536
            fields = [(f"x-{number}", "v" * 500) for number in range(30)]
            for _ in range(2):
                shown = getattr(watched, way)(watched.headers(*fields))
                self.assertEqual(shown[1:], [f"stream=1 {name}: {value}" for name, value in fields])
            self.assertLess(len(watched.headers(*fields)), 200)  # so they came from the table

    def test_tableShrinks(self) -> None:
        """
        A smaller table may take effect when its sender is ready for it; what was encoded before is decoded all the same.
        """
        watched = Watched()
        fields = [("x-a", "one"), ("x-b", "two")]
        watched.recv(watched.headers(*fields))
        watched.send(setting(1, 0))
        late = watched.headers(*fields)
        self.assertEqual(watched.recv(late)[1:], ["stream=1 x-a: one", "stream=1 x-b: two"])
        watched.encoder.header_table_size = 0
        self.assertEqual(watched.recv(watched.headers(*fields))[1:], ["stream=1 x-a: one", "stream=1 x-b: two"])

    def test_tableNotAllowed(self) -> None:
        """
        A table larger than was allowed is not made.
        """
        watched = Watched()
        shown = watched.recv(buildFrame(frames.HEADERS, END_HEADERS, 1, b"\x3f\xe1\x7f\x82"))
        self.assertLost(watched, shown, "HPACK: Encoder exceeded max allowable table size")


class BoundTests(SynchronousTestCase):
    """
    What a peer can do to a log.
    """

    def test_memory(self) -> None:
        """
        Whatever is sent, and however much, the log keeps little.
        """
        huge = b"\xff\xff\xff"
        for start, allowed in (
            (b"", setting(5, 2**24 - 1)),
            (huge + b"\x00\x00\x00\x00\x00\x01", setting(5, 2**24 - 1)),  # DATA
            (huge + b"\x07\x00\x00\x00\x00\x00", setting(5, 2**24 - 1)),  # GOAWAY
            (huge + b"\x04\x00\x00\x00\x00\x00", setting(5, 2**24 - 1)),  # SETTINGS
            (huge + b"\xbb\x00\x00\x00\x00\x00", setting(5, 2**24 - 1)),  # unknown
            (huge + b"\x01\x00\x00\x00\x00\x01", setting(5, 2**24 - 1)),  # HEADERS
            (huge + b"\x01\x00\x00\x00\x00\x01", b""),
        ):
            log = FrameLog(lambda line: None)
            connection = log.connected(Clock().seconds, client=False, encrypted=False, host=HOST, peer=PEER)
            connection.sent(SETTINGS + allowed)
            connection.received(PREFACE + SETTINGS + start)
            piece = bytes(65536)
            tracemalloc.start()
            try:
                for _ in range(200 if start else 2):
                    connection.received(piece)
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            self.assertLess(peak, 8 * 1024 * 1024, start)

    @settings(max_examples=200)
    @given(
        st.lists(
            st.one_of(
                st.binary(max_size=60),
                st.builds(
                    buildFrame,
                    st.sampled_from([*range(11), 12, 16, 0xBB]),
                    st.integers(0, 255),
                    st.integers(0, 2**32 - 1),
                    st.binary(max_size=40),
                ),
            ),
            max_size=12,
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_anything(self, pieces: list[bytes], client: bool, started: bool) -> None:
        """
        Whatever crosses in either direction, there is nothing but whole lines of ASCII, and the log goes on.
        """
        watched = Watched(client=client, started=started)
        for number, piece in enumerate(pieces):
            (watched.connection.received if number % 2 else watched.connection.sent)(piece)
        watched.connection.lost("gone")
        for line in watched.lines:
            self.assertRegex(line, r"\A\d\d:\d\d:\d\d\.\d{6}Z #1 (open|recv|send|closed) [ -~]+\Z")
        self.assertIn("closed reason=gone", watched.lines[-1])
        self.assertEqual(self.flushLoggedErrors(), [])

    @given(st.binary(min_size=8, max_size=200))
    def test_noBodies(self, body: bytes) -> None:
        """
        No byte of a body is shown: the line is the same whatever it holds.
        """
        lines = [
            Watched(format=format, secrets=True).recv(buildFrame(frames.DATA, 0, 1, each))
            for format in ("lines", "json")
            for each in (body, bytes(len(body)))
        ]
        self.assertEqual((lines[0], lines[2]), (lines[1], lines[3]))


def moved(lines: list[str], fromClient: str, fromServer: str) -> list[list[str]]:
    """
    List what went each way, without times and numbers.
    """
    return [[line.split(f" {way} ", 1)[1] for line in lines if f" {way} " in line] for way in (fromClient, fromServer)]


class SessionTests(SynchronousTestCase):
    """
    The log of real sessions.
    """

    def connected(self, streamReceived: Callable[..., Any], **options: Any) -> ConnectedSessions:
        """
        Connect two sessions, each with a log.
        """
        self.server: list[str] = []
        self.client: list[str] = []
        return connectedSessions(
            streamReceived,
            frameLog=FrameLog(self.server.append),
            clientFrameLog=FrameLog(self.client.append),
            **options,
        )

    def test_bothSides(self) -> None:
        """
        One side's log says that it sent what the other's says that it received, frame by frame, and all that there was.
        """

        def answer(stream: Any, headers: Any) -> None:
            stream.respond({":status": 200, "set-cookie": ["a=b", "c=d"], "x-big": "v" * 20000})
            stream.session.altsvc("clear", stream)
            stream.pushStream({":path": "/pushed"}).end(b"pushed")
            stream.end(b"x" * 50000, trailers={"x-trailer": "1"})

        class TakesPushes(StreamListener):
            """
            Takes the pushes there are.
            """

        both = self.connected(answer, clientSettings=SessionSettings(enablePush=True, headerTableSize=100))
        for path in ("/one", "/two"):
            stream = both.client.request(
                {":method": "POST", ":path": path, "authorization": "Bearer x"}, priority="u=1"
            )
            stream.addListener(TakesPushes())
            stream.end(b"y" * 100)
            stream.read()
            stream.reprioritize(2)
        both.pump()
        both.client.ping()
        both.client.request({":path": "/three"}).close(ErrorCode.CANCEL)
        both.serverSession.origin("https://example.org")
        both.pump()
        both.client.close()
        both.pump()
        ours, theirs = moved(self.server, "recv", "send"), moved(self.client, "send", "recv")
        self.assertEqual(ours, theirs)
        for kind in (
            *("PREFACE", "SETTINGS", "HEADERS", "DATA", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION", "ALTSVC"),
            *("ORIGIN", "PRIORITY_UPDATE", "PUSH_PROMISE", "RST_STREAM"),
        ):
            self.assertTrue(any(line.startswith(f"{kind} ") for way in ours for line in way), kind)
        self.assertFalse(any("note=" in line for line in self.server), self.server)
        self.assertTrue(self.server[-1].endswith('#1 closed reason="Connection was closed cleanly."'))

    def test_counts(self) -> None:
        """
        There are as many frames in the log as a session counts.
        """
        both = self.connected(lambda stream, headers: stream.end(b"x" * 100000))
        for _ in range(3):
            both.client.request().read()
        both.pump()
        statistics = both.client.statistics
        for way, count in (("recv", statistics.framesReceived), ("send", statistics.framesSent)):
            shown = [line for line in self.client if re.search(rf" {way} [A-Z_]+ stream=", line)]
            self.assertEqual(len(shown), count, way)

    def test_many(self) -> None:
        """
        One log serves many sessions, servers' and clients', and numbers their connections.
        """
        lines: list[str] = []
        log = FrameLog(lines.append)
        sessions = [
            connectedSessions(lambda stream, headers: stream.end(), frameLog=log, clientFrameLog=log) for _ in range(3)
        ]
        for number, both in enumerate(sessions):
            both.client.request({":path": f"/{number}"})
            both.pump()
        opened = [line.split()[1:4] for line in lines if " open " in line]
        self.assertEqual(
            opened, [[f"#{number}", "open", f"role={role}"] for number, role in enumerate(["client", "server"] * 3, 1)]
        )
        paths = [(line.split()[1], line.split()[-1]) for line in lines if " recv stream=1 :path: " in line]
        self.assertEqual(paths, [("#2", "/0"), ("#4", "/1"), ("#6", "/2")])

    def test_fatalFrame(self) -> None:
        """
        The frame that a session ends for is shown, then the GOAWAY, then the end.
        """
        lines: list[str] = []
        server = Server(lambda stream, headers: None, clock=Clock(), frameLog=FrameLog(lines.append))
        peer = FramePeer.toServer(server)
        lines.clear()
        peer.sendBytes(buildFrame(frames.PING, 0, 0, b"short"))
        shown = [line.split(" #1 ")[1] for line in lines]
        self.assertEqual(shown[0], 'recv PING stream=0 length=5 note="8 bytes is its only length"')
        self.assertIn("send GOAWAY stream=0 ", shown[1])
        self.assertIn("code=FRAME_SIZE_ERROR", shown[1])
        self.assertIn("closed", shown[-1])

    def test_lingering(self) -> None:
        """
        What arrives while a session that has ended goes on reading is shown, though nobody acts upon it.
        """
        lines: list[str] = []
        clock = Clock()
        session = ClientSession("http", "localhost")
        protocol = HTTP2Protocol(session, Timeouts(), clock, server=False, frameLog=FrameLog(lines.append))
        peer = FramePeer(protocol, client=False)
        peer.start()
        session.destroy()
        lines.clear()
        protocol.dataReceived(buildFrame(frames.PING, 0, 0, bytes(8)))
        self.assertEqual([line.split(" #1 ")[1] for line in lines], ["recv PING stream=0 length=8 payload=" + "0" * 16])

    def test_clearTextStart(self) -> None:
        """
        A server that looks at a client's first bytes shows them before it answers, each once.
        """
        lines: list[str] = []
        server = Server(lambda stream, headers: None, clock=Clock(), frameLog=FrameLog(lines.append))
        peer = FramePeer.toServer(server, start=False)
        for byte in PREFACE + SETTINGS:
            peer.sendBytes(bytes([byte]))
        kinds = [" ".join(line.split()[2:4]) for line in lines]
        self.assertEqual(
            kinds,
            [
                *("open role=server", "recv PREFACE", "send SETTINGS", "send WINDOW_UPDATE"),
                *("recv SETTINGS", "send SETTINGS"),
            ],
        )

    def test_otherProtocol(self) -> None:
        """
        A connection that turns out not to be HTTP/2 before it began is not shown.
        """
        lines: list[str] = []
        server = Server(lambda stream, headers: None, clock=Clock(), frameLog=FrameLog(lines.append))
        protocol: Any = server.buildProtocol(None)
        protocol.makeConnection(PipeTransport("server", "client"))
        protocol.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(lines, [])

    def test_channels(self) -> None:
        """
        For each of Node's diagnostics channels of a stream there is an entry, on the client's side as on the server's:
        created and start, bodyChunkSent, bodySent, finish, error, close.
        """

        def answer(stream: Any, headers: Any) -> None:
            if headers.path == "/fails":
                stream.close(ErrorCode.INTERNAL_ERROR)
            else:
                stream.respond()
                stream.write(b"one")
                stream.end(b"two")

        both = self.connected(answer)
        stream = both.client.request({":method": "POST", ":path": "/works"})
        stream.write(b"half")
        both.pump()
        stream.end()
        both.pump()
        stream.read()
        both.client.request({":path": "/fails"}).whenClosed().addErrback(lambda failure: failure.trap(HTTP2Error))
        both.pump()
        for lines, way, back in ((self.client, "send", "recv"), (self.server, "recv", "send")):
            shown = [line.split(" #1 ")[1] for line in lines]
            ours = [line for line in shown if " stream=1 " in line and " stream=1 :" not in line]
            ours = [re.sub(r" length=\d+", "", line) for line in ours if not line.startswith(f"{back} stream")]
            self.assertEqual(
                [line for line in ours if line.startswith(way)],
                [
                    f"{way} HEADERS stream=1 flags=END_HEADERS",  # created, start
                    f"{way} DATA stream=1",  # bodyChunkSent
                    f"{way} DATA stream=1 flags=END_STREAM",  # bodySent
                ],
            )
            answered = [line for line in ours if line.startswith(back)]
            self.assertEqual(answered[0], f"{back} HEADERS stream=1 flags=END_HEADERS")  # finish
            self.assertTrue(answered[-1].endswith("flags=END_STREAM"), answered)  # close
            self.assertIn(f"{back} RST_STREAM stream=3 length=4 code=INTERNAL_ERROR", shown)  # error, close
        self.assertEqual(self.successResultOf(stream.whenClosed()), None)

    def test_off(self) -> None:
        """
        Without a log nothing of it is made.
        """
        both = connectedSessions(lambda stream, headers: None)
        self.assertIsNone(both.client._link._frames)  # type: ignore[union-attr]


class WriterTests(SynchronousTestCase):
    """
    Where a log goes.
    """

    def test_file(self) -> None:
        """
        A text file gets whole lines, in one piece for each read, and is flushed.
        """
        calls: list[str] = []

        class File(StringIO):
            """
            Notes what is done to it.
            """

            def write(self, text: str) -> int:
                calls.append(text)
                return len(text)

            def flush(self) -> None:
                calls.append("flush")

        connection = FrameLog(File()).connected(Clock().seconds, client=False, encrypted=False, host=HOST, peer=PEER)
        connection.received(PREFACE + SETTINGS)
        connection.received(b"")
        self.assertEqual([call == "flush" for call in calls], [False, True, False, True])
        self.assertEqual(calls[2].count("\n"), 2)
        self.assertTrue(calls[2].endswith("SETTINGS stream=0 length=0\n"))

    def test_json(self) -> None:
        """
        As JSON each entry is an object with the same facts, and the peer in each.
        """
        watched = Watched(format="json")
        watched.clock.advance(1.5)
        watched.recv(watched.headers((":path", "/"), ("cookie", "a")))
        self.assertEqual(watched.take(), [])
        watched.connection.received(watched.headers((":path", "/"), ("cookie", "a")))
        watched.connection.sent(setting(3, 7) + frames.buildGoAway(1, 77, b"why") + frames.buildOrigin([b"https://a"]))
        watched.connection.sent(buildFrame(frames.PING, 0, 0))
        watched.connection.lost("gone")
        start = {"time": 1.5, "connection": 1, "peer": "127.0.0.1:1"}
        found = [json.loads(line) for line in watched.lines]
        length = found[0].pop("length")
        self.assertGreater(length, 1)
        send = {**start, "event": "send", "stream": 0, "flags": []}
        self.assertEqual(
            found,
            [
                {
                    **start,
                    "event": "recv",
                    "type": "HEADERS",
                    "stream": 1,
                    "flags": ["END_HEADERS"],
                    "fieldsOf": 1,
                    "fields": [[":path", "/"], ["cookie", "<secret>"]],
                },
                {**send, "type": "SETTINGS", "length": 6, "settings": [["MAX_CONCURRENT_STREAMS", 7]]},
                {**send, "type": "GOAWAY", "length": 11, "lastStream": 1, "code": "0x4d", "debug": "why"},
                {**send, "type": "ORIGIN", "length": 11, "origins": ["https://a"]},
                {**send, "type": "PING", "length": 0, "note": "8 bytes is its only length"},
                {**start, "event": "closed", "reason": "gone"},
            ],
        )

    def test_twisted(self) -> None:
        """
        By default each frame is an event of Twisted's log, with what it holds as a dict.
        """
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        both = connectedSessions(lambda stream, headers: stream.end(b"hello"), frameLog=FrameLog())
        both.client.request({":path": "/{x}", "cookie": "a"})
        both.pump()
        ours = [event for event in events if event.get("log_namespace") == "txh2session.frames"]
        self.assertEqual({event["log_level"] for event in ours}, {LogLevel.debug})
        (request,) = [
            event for event in ours if event["frame"].get("type") == "HEADERS" and event["frame"]["event"] == "recv"
        ]
        self.assertIn([":path", "/{x}"], request["frame"]["fields"])
        self.assertIn(["cookie", "<secret>"], request["frame"]["fields"])
        text = request["log_format"].format(**request)
        self.assertIn(" #1 recv HEADERS stream=1 ", text)
        self.assertIn("\n00:00:00.000000Z #1 recv stream=1 :path: /{x}\n", text)

    def test_fails(self) -> None:
        """
        A log that fails says so once and is off from then on; the sessions do not notice.
        """
        for failsAt in (0, 5):
            calls: list[str] = []

            def fail(line: str, calls: list[str] = calls, failsAt: int = failsAt) -> None:
                calls.append(line)
                if len(calls) > failsAt:
                    raise OSError("no space")

            log = FrameLog(fail)
            for _ in range(2):
                both = connectedSessions(lambda stream, headers: stream.end(b"hello"), frameLog=log, clientFrameLog=log)
                stream = both.client.request()
                both.pump()
                self.assertEqual(self.successResultOf(stream.read()), b"hello")
                both.client.close()
                both.pump()
                self.assertEqual(self.successResultOf(both.client.whenClosed()), None)
            self.assertEqual(len(calls), failsAt + 1)
            self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_closedFile(self) -> None:
        """
        A file that was closed is such a failure.
        """
        file = StringIO()
        both = connectedSessions(lambda stream, headers: stream.end(b"hello"), frameLog=FrameLog(file))
        file.close()
        stream = both.client.request()
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"hello")
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_misuse(self) -> None:
        """
        What cannot be written to, and what is no log, is refused at the call.
        """
        self.assertRaises(ValueError, FrameLog, format="text")
        self.assertRaises(TypeError, FrameLog, "frames.log")
        self.assertRaises(TypeError, FrameLog, BytesIO())
        self.assertRaises(TypeError, FrameLog, secretFields="x-token")
        for wrong in (True, print, "frames.log"):
            error = self.assertRaises(TypeError, Server, lambda stream, headers: None, frameLog=wrong)
            self.assertIn("frameLog is a FrameLog", str(error))
            for function in (connect, openSession):
                self.assertRaises(TypeError, function, MemoryReactorClock(), "http://localhost", frameLog=wrong)
