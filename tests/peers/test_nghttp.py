"""
nghttp asks our server, and shows every frame.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from tests.peers.case import MIB, DemoCase

_FRAME = re.compile(
    r"^\[ *[0-9.]+\] (send|recv) ([A-Z_]+) frame <length=([0-9]+), flags=0x([0-9a-f]+), stream_id=([0-9]+)>",
    re.MULTILINE,
)
_FIELD = re.compile(r"^\[ *[0-9.]+\] recv \(stream_id=([0-9]+)\) (:?[^:]+): (.*)$", re.MULTILINE)
_END_STREAM = 1


class Frame(NamedTuple):
    """
    A line of nghttp's trace.
    """

    kind: str
    length: int
    ends: bool
    streamID: int


class NghttpTests(DemoCase):
    """
    What the frames of an answer look like, over TLS, and in clear text below.
    """

    peers = ("nghttp",)

    async def nghttp(self, *arguments: str, seconds: float = 30) -> tuple[str, list[Frame]]:
        """
        Run nghttp to its end.

        @return: what it said, and the frames of bodies that it received, in order.
        """
        said = (await self.run_("nghttp", "-v", *arguments, seconds=seconds)).output
        frames = [
            Frame(kind, int(length), kind in ("HEADERS", "DATA") and bool(int(flags, 16) & _END_STREAM), int(streamID))
            for way, kind, length, flags, streamID in _FRAME.findall(said)
            if way == "recv" and kind in ("HEADERS", "DATA", "RST_STREAM", "GOAWAY")
        ]
        return said, frames

    async def test_lastDataEndsTheStream(self) -> None:
        """
        END_STREAM is on the last DATA frame, and no empty frame follows it.
        """
        for size in (1, 12345, 16384, 16385, 65536, 300000):
            _, frames = await self.nghttp("-n", self.url(f"/bytes/{size}"))
            headers, *data = frames
            self.assertEqual(headers[:3], ("HEADERS", headers.length, False))
            self.assertEqual({frame.kind for frame in data}, {"DATA"})
            self.assertEqual(sum(frame.length for frame in data), size)
            self.assertEqual([frame.ends for frame in data], [False] * (len(data) - 1) + [True])
            self.assertTrue(all(frame.length for frame in data), data)

    async def test_headersEndTheStream(self) -> None:
        """
        An answer to HEAD is one HEADERS frame that ends the stream.
        """
        _, frames = await self.nghttp("-H", ":method: HEAD", self.url("/hello"))
        self.assertEqual([(frame.kind, frame.ends) for frame in frames], [("HEADERS", True)])

    async def test_trailers(self) -> None:
        """
        Trailers come after the last DATA frame, and they end the stream.
        """
        said, frames = await self.nghttp("-n", self.url("/trailers"))
        kinds = [(frame.kind, frame.ends) for frame in frames]
        self.assertEqual(kinds, [("HEADERS", False), ("DATA", False), ("HEADERS", True)])
        self.assertGreater(said.index("x-body-length: 35"), said.index("recv DATA frame"))

    async def test_earlyHints(self) -> None:
        """
        A 103 is a HEADERS frame of its own before the answer's.
        """
        said, frames = await self.nghttp("-n", self.url("/early-hints"))
        kinds = [(frame.kind, frame.ends) for frame in frames]
        self.assertEqual(kinds, [("HEADERS", False), ("HEADERS", False), ("DATA", True)])
        self.assertGreater(said.index(":status: 200"), said.index(":status: 103"))

    async def test_upload(self) -> None:
        """
        An upload arrives whole, with a content-length and without, with padding and with trailers.
        """
        path = self.file(3 * MIB + 5)
        for more in ([], ["--no-content-length"], ["-b", "255"], ["--trailer", "x-end: yes"], ["--expect-continue"]):
            said, _ = await self.nghttp(*more, "-d", path, self.url("/discard"))
            self.assertIn(f"\n{3 * MIB + 5}\n", said)

    async def test_earlyAnswer(self) -> None:
        """
        An answer comes at once although the upload is not over, and then the upload is stopped with NO_ERROR.
        """
        said, frames = await self.nghttp("-n", "-d", self.file(20 * MIB), self.url("/nothing"))
        kinds = [(frame.kind, frame.ends) for frame in frames]
        self.assertEqual(kinds, [("HEADERS", False), ("DATA", True), ("RST_STREAM", False)])
        self.assertIn(":status: 404", said)
        self.assertIn("(error_code=NO_ERROR(0x00))", said)

    async def test_lateAnswerToAnUnreadUpload(self) -> None:
        """
        An upload that waits for its window is stopped with NO_ERROR after an answer that a timer made.
        """
        said, frames = await self.nghttp("-n", "-d", self.file(2 * MIB), self.url("/unread?seconds=0.3"), seconds=10)
        kinds = [(frame.kind, frame.ends) for frame in frames]
        self.assertEqual(kinds, [("HEADERS", False), ("DATA", True), ("RST_STREAM", False)])
        self.assertIn("(error_code=NO_ERROR(0x00))", said)

    async def test_manyAtOnce(self) -> None:
        """
        Two hundred requests on one connection, more than are allowed at once, are all answered and end properly.
        """
        _, frames = await self.nghttp("-n", "-m", "200", self.url("/bytes/20000"))
        ended = [frame.streamID for frame in frames if frame.ends]
        self.assertEqual(len(ended), 200)
        self.assertEqual(len(set(ended)), 200)
        self.assertEqual(sum(frame.length for frame in frames if frame.kind == "DATA"), 200 * 20000)

    async def test_smallWindows(self) -> None:
        """
        Downloads keep to windows of a stream, of the connection, and of both.
        """
        for windows in (["-w", "8"], ["-W", "8"], ["-w", "10", "-W", "10"], ["-w", "1"]):
            size = 500 if windows == ["-w", "1"] else 200_000
            _, frames = await self.nghttp("-n", *windows, self.url(f"/bytes/{size}"))
            data = [frame for frame in frames if frame.kind == "DATA"]
            self.assertEqual(sum(frame.length for frame in data), size)
            self.assertTrue(data[-1].ends)

    async def test_manyInSmallWindows(self) -> None:
        """
        Twenty downloads share a small connection window, and none of them starves.
        """
        _, frames = await self.nghttp("-n", "-m", "20", "-w", "12", "-W", "13", self.url("/bytes/60000"))
        self.assertEqual(len([frame for frame in frames if frame.ends]), 20)
        self.assertEqual(sum(frame.length for frame in frames if frame.kind == "DATA"), 20 * 60000)

    async def test_goaway(self) -> None:
        """
        A GOAWAY names its code and the stream it came on, which is answered after it.
        """
        said, frames = await self.nghttp("-n", self.url("/goaway?code=11"))
        self.assertEqual([frame.kind for frame in frames], ["GOAWAY", "HEADERS", "DATA"])
        self.assertRegex(said, r"recv GOAWAY frame .*\n +\(last_stream_id=13, error_code=ENHANCE_YOUR_CALM")

    async def test_destroy(self) -> None:
        """
        A session that is destroyed sends one GOAWAY with the code, and no RST_STREAM.
        """
        for query, name in (("", "NO_ERROR"), ("?code=2", "INTERNAL_ERROR"), ("?code=8", "CANCEL")):
            said, frames = await self.nghttp("-n", self.url(f"/destroy{query}"))
            self.assertEqual([frame.kind for frame in frames], ["GOAWAY"])
            self.assertRegex(said, rf"\(last_stream_id=13, error_code={name}")

    async def test_headerTables(self) -> None:
        """
        Headers survive any size of the compression tables, and a block of several frames.
        """
        for more in (["-c", "0"], ["-c", "65536"], ["--encoder-header-table-size", "0"], ["--continuation"]):
            said, _ = await self.nghttp(*more, "-m", "5", self.url("/hello"))
            self.assertEqual(said.count("hello world"), 5)

    async def test_headerTableChangedTwice(self) -> None:
        """
        A table that shrinks and grows again in one SETTINGS frame has its smallest size acknowledged in the next header
        block (RFC 7541 section 4.2).
        """
        said, _ = await self.nghttp("-c", "65536", "-c", "0", "-c", "100", "-m", "5", self.url("/hello"))
        self.assertEqual(said.count("hello world"), 5)


class NghttpInClearTests(NghttpTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"


class FrameLogTests(DemoCase):
    """
    Our log of frames and nghttp's trace of the same connection, over TLS, and in clear text below.
    """

    peers = ("nghttp",)
    options = ("--frame-log", "-", "--frame-log-format", "json")

    async def entries(self, connection: int) -> list[dict[str, Any]]:
        """
        Wait for the end of a connection, and read what was logged of it.
        """
        await self.demo.says(rf'"connection": {connection}, "peer": "[^"]*", "event": "closed"')
        lines = [json.loads(line) for line in self.demo.output.splitlines() if line.startswith('{"time"')]
        return [line for line in lines if line["connection"] == connection]

    async def test_sameFrames(self) -> None:
        """
        The log has every frame that nghttp says it sent, and those that it received as far as it went on reading, in the
        same order, with the same lengths, flags and header fields; whatever HPACK's tables are like.
        """
        for number, arguments in enumerate(
            (
                [self.url("/hello")],
                [self.url("/trailers")],
                [self.url("/early-hints")],
                [self.url("/reset?code=11")],
                [self.url("/goaway?code=11")],
                ["-H", "x-long: " + "v" * 3000, "-m", "5", self.url("/hello")],
                ["-c", "0", "-m", "5", self.url("/hello")],
                ["-c", "65536", "-m", "5", "--encoder-header-table-size", "0", self.url("/bytes/100000")],
            ),
            1,
        ):
            said = (await self.run_("nghttp", "-nv", *arguments)).output
            entries = await self.entries(number)
            self.assertEqual([each for each in entries if "note" in each], [], said)
            for ours, theirs in (("recv", "send"), ("send", "recv")):
                logged = [
                    (each["type"], each["length"], _bits(each), each["stream"])
                    for each in entries
                    if each["event"] == ours and each["type"] != "PREFACE"
                ]
                traced = [
                    (kind, int(length), int(flags, 16), int(streamID))
                    for way, kind, length, flags, streamID in _FRAME.findall(said)
                    if way == theirs
                ]
                self.assertGreater(len(traced), 3, said)
                self.assertEqual(logged[: len(traced)], traced, said)
            fields = [
                (each["fieldsOf"], name, value)
                for each in entries
                if each["event"] == "send"
                for name, value in each.get("fields", ())
            ]
            tracedFields = [(int(streamID), name, value) for streamID, name, value in _FIELD.findall(said)]
            self.assertEqual(fields[: len(tracedFields)], tracedFields, said)
            for name, value in (
                field for each in entries if each["event"] == "recv" for field in each.get("fields", ())
            ):
                self.assertIn(f"\n          {name}: {value}\n", said)


class FrameLogInClearTests(FrameLogTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"


def _bits(entry: dict[str, Any]) -> int:
    """
    Make flags of their names.
    """
    bits = {"END_STREAM": 1, "ACK": 1, "END_HEADERS": 4, "PADDED": 8, "PRIORITY": 32}
    return sum(bits[name] for name in entry["flags"])
