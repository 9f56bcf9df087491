"""
The same scenarios with Node and with us as client and as server: what goes over the wire, and what applications see of it.

L{traces<tests.peers.traces>} has the scenarios and the table of what their traces must be.  They are played in clear text,
through a relay that records both directions.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.peers.case import ROOT, PeerCase
from tests.peers.programs import within
from tests.peers.traces.here import HereSide
from tests.peers.traces.node import NodeSide
from tests.peers.traces.plays import PLAYS
from tests.peers.traces.reading import MARKER, readSight, readTrace
from tests.peers.traces.relay import Relay
from tests.peers.traces.table import PAIRS, REASONS, Pair, Row, departures, readRows, rowsOfFile

ROWS = rowsOfFile()


class TraceTests(PeerCase):
    """
    The scenarios, each a test of this class: with Node on both sides, on either, and on none.
    """

    peers = ("node",)

    def setUp(self) -> None:
        """
        Start Node.
        """
        super().setUp()
        self.node = self.startNode(os.path.join("traces", "node.js"))

    async def check(self, row: Row) -> None:
        """
        Play a scenario with all pairs of peers.
        """
        for pair in PAIRS:
            where = f"{row.name!r} with {pair[0]} as the client and {pair[1]} as the server"
            try:
                trace = await self.play(row, pair)
            except Exception as error:
                raise AssertionError(f"{where} did not end: {error}") from error
            self.assertEqual(self.text(trace), self.text(row.expected(pair)), where)
        self.assertEqual(self.node.errors, "")

    def text(self, trace: dict[str, str]) -> str:
        """
        Write a trace for people to compare.
        """
        return "\n".join(f"{key}: {line}" for key, line in sorted(trace.items()))

    async def play(self, row: Row, pair: Pair) -> dict[str, str]:
        """
        Play a scenario with one pair of peers.

        @return: its trace.
        """
        client, server = (self.side(peer, row.name) for peer in pair)
        try:
            await server.serve()
            relay = Relay(server.port)
            await relay.listen()
            try:
                await client.connect(relay.port)
                sees = await self.watch(row, client, server)
                await within(relay.over, lambda: "the relay is still connected")
            finally:
                await relay.stop()
        finally:
            await client.stop()
            await server.stop()
        trace = readTrace(row, relay.sent, f"127.0.0.1:{relay.port}")
        for name, seen in sees.items():
            trace.update(readSight(row, name, seen))
        return trace

    def side(self, peer: str, name: str) -> NodeSide | HereSide:
        """
        Make one side of a scenario.
        """
        return NodeSide(self.node, name) if peer == "node" else HereSide(PLAYS[name])

    async def watch(
        self, row: Row, client: NodeSide | HereSide, server: NodeSide | HereSide
    ) -> dict[str, dict[str, Any]]:
        """
        Wait until both sides are done, and end the session if that is not what the scenario is about.

        @return: what each side saw.
        """
        sides = {"client": client, "server": server}
        if row.begins:
            return {name: await side.closed() for name, side in sides.items()}
        for side in sides.values():
            await side.finished()
        sees = {name: copy.deepcopy(await side.sees()) for name, side in sides.items()}
        client.end()
        for name, side in sides.items():
            self.assertIsNone((await side.closed())["error"], f"{row.name}: the {name}'s session did not end well")
        return sees


def _testOf(row: Row) -> Callable[[TraceTests], Awaitable[None]]:
    async def test(self: TraceTests) -> None:
        await self.check(row)

    test.__doc__ = (
        f"The scenario {row.name!r} has the same trace with Node and with us, or the one the table gives reasons for."
    )
    return test


def _nameOf(row: Row) -> str:
    first, *rest = row.name.replace("-", " ").replace(",", "").split()
    return "test_" + first + "".join(word[0].upper() + word[1:] for word in rest)


for _row in ROWS:
    setattr(TraceTests, _nameOf(_row), _testOf(_row))


class TableTests(SynchronousTestCase):
    """
    The table itself.
    """

    def test_everyScenario(self) -> None:
        """
        Each scenario has a row, a test of its own, and in each pair something that the client sees.
        """
        self.assertEqual([row.name for row in ROWS], list(PLAYS))
        self.assertEqual(len({_nameOf(row) for row in ROWS}), len(ROWS))
        for row in ROWS:
            for pair in PAIRS:
                sides = {key.rpartition(" ")[0] for key in row.expected(pair)}
                self.assertLessEqual({"client sees"}, sides, row.name)

    def test_reasons(self) -> None:
        """
        A row gives a reason where, and only where, a line is not the same for all pairs; no reason is left over.
        """
        for row in ROWS:
            self.assertEqual(bool(row.why), bool(row.differing), row.name)
            self.assertLessEqual(set(row.why), set(REASONS), row.name)
        self.assertEqual({reason for row in ROWS for reason in row.why}, set(REASONS))

    def test_page(self) -> None:
        """
        C{docs/node-parity.md} lists the scenarios in which we are not to do as Node, with the reasons.
        """
        with open(os.path.join(ROOT, "docs", "node-parity.md"), encoding="utf-8") as file:
            section = file.read().partition("\n### Compared by their traces\n")[2]
        lines = [line for line in section.partition("\n#")[0].splitlines() if line.startswith("| ")]
        self.assertEqual(lines[1:], departures(ROWS))
        self.assertIn(f"{len(ROWS)} scenarios", section)

    def test_read(self) -> None:
        """
        A line without brackets holds for all pairs, one with brackets for those it names.
        """
        (row,) = readRows(
            "# About\n[one]\nclient 1: A\nserver 1 (any-node): B\nserver 1 (node-here): nothing\nwhy: x, y\n"
        )
        self.assertEqual(row.expected(("node", "node")), {"client 1": "A", "server 1": "B"})
        self.assertEqual(row.expected(("here", "node")), {"client 1": "A", "server 1": "B"})
        self.assertEqual(row.expected(("node", "here")), {"client 1": "A"})
        self.assertEqual((row.differing, row.why), (["server 1"], ["x", "y"]))

    def test_readBad(self) -> None:
        """
        A line that cannot be read, names no pair, or says something again is refused.
        """
        for bad in ("nonsense", "client 1 (nobody-any): A", "client 1: A\nclient 1 (any-here): B", "begins: nobody"):
            self.assertRaises(ValueError, readRows, f"[one]\n{bad}")


class ReadingTests(SynchronousTestCase):
    """
    How traces are made.
    """

    def trace(self, *frames: Frame, **facts: Any) -> dict[str, str]:
        """
        Read what a server sent.
        """
        sent = {"client": b"", "server": b"".join(frame.serialize() for frame in frames)}
        return readTrace(Row("row", **facts), sent, "localhost")

    def headers(self, streamID: int, fields: list[tuple[str, str]], *flags: str) -> HeadersFrame:
        """
        Make a HEADERS frame that needs no table.
        """
        return HeadersFrame(streamID, Encoder().encode(fields), flags=[*flags])

    def test_stream(self) -> None:
        """
        A stream is its frames in their order: DATA joined, without WINDOW_UPDATE and what another stream does between.
        """
        whole = ("END_HEADERS",)
        trace = self.trace(
            self.headers(1, [(":status", "103"), ("link", "a")], *whole),
            self.headers(1, [(":status", "200"), ("b", "2"), ("date", "now"), ("a", "1")], *whole),
            DataFrame(1, b"one"),
            self.headers(3, [(":status", "404")], *whole, "END_STREAM"),
            WindowUpdateFrame(1, window_increment=5),
            DataFrame(1, b"two"),
            self.headers(1, [("x-end", "yes")], *whole, "END_STREAM"),
            RstStreamFrame(1, error_code=8),
        )
        self.assertEqual(
            trace["server 1"],
            "HEADERS 103 link=a; HEADERS 200 a=1 b=2; DATA 6; TRAILERS x-end=yes END_STREAM; RST_STREAM CANCEL",
        )
        self.assertEqual(trace["server 3"], "HEADERS 404 without a date END_STREAM")

    def test_end(self) -> None:
        """
        END_STREAM on the last DATA frame and on an empty one are the same; none is not.
        """
        begin = self.headers(1, [(":status", "200"), ("date", "now")], "END_HEADERS")
        together = self.trace(begin, DataFrame(1, b"one", flags=["END_STREAM"]))
        apart = self.trace(begin, DataFrame(1, b"one"), DataFrame(1, b"", flags=["END_STREAM"]))
        self.assertEqual(together, {"server 1": "HEADERS 200; DATA 3; END_STREAM"})
        self.assertEqual(apart, together)
        self.assertEqual(self.trace(begin, DataFrame(1, b"one")), {"server 1": "HEADERS 200; DATA 3"})

    def test_request(self) -> None:
        """
        Of a request is shown what is not as it always is; secrets and CONTINUATION are marked, long values measured.
        """
        fields = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/")]
        self.assertEqual(self.trace(self.headers(1, fields, "END_HEADERS")), {"server 1": "HEADERS GET /"})
        bare = "HEADERS GET without a path without a scheme without an authority"
        self.assertEqual(self.trace(self.headers(1, fields[:1], "END_HEADERS")), {"server 1": bare})
        fields = [(":method", "GET"), (":authority", "elsewhere"), (":path", "/"), ("long", "x" * 50)]
        block = Encoder().encode(fields) + Encoder().encode([("secret", "y", True)])
        trace = self.trace(HeadersFrame(1, block[:9]), ContinuationFrame(1, block[9:], flags=["END_HEADERS"]))
        said = (
            "HEADERS+CONTINUATION GET / without a scheme :authority=elsewhere long=(50 bytes) secret=y (never indexed)"
        )
        self.assertEqual(trace, {"server 1": said})

    def test_marker(self) -> None:
        """
        What comes behind the marker does not count, unless the scenario is about the session's end.
        """
        frames = (PingFrame(0, MARKER, flags=["ACK"]), GoAwayFrame(0, 1, 2))
        self.assertEqual(self.trace(*frames), {})
        self.assertEqual(self.trace(*frames, begins="server"), {"server 0": "GOAWAY INTERNAL_ERROR last=1"})

    def test_goAway(self) -> None:
        """
        Where a scenario is about the session's end the first GOAWAY of the side that begins counts; elsewhere each does.
        """
        frames = (GoAwayFrame(0, 1, 0, b"why"), GoAwayFrame(0, 1, 0, b"why"), GoAwayFrame(0, 1, 0))
        first = "GOAWAY NO_ERROR last=1 why"
        self.assertEqual(self.trace(*frames, begins="server"), {"server 0": first})
        both = {"server 0": f"{first}; GOAWAY NO_ERROR last=1"}
        self.assertEqual(self.trace(*frames, begins="server", goAways=2), both)
        self.assertEqual(self.trace(*frames, begins="client"), {})
        self.assertEqual(self.trace(*frames), both)

    def test_settings(self) -> None:
        """
        Settings and their acknowledgements count where the scenario names some.
        """
        frames = (SettingsFrame(0, {4: 10, 5: 20000}), SettingsFrame(0, flags=["ACK"]))
        self.assertEqual(self.trace(*frames), {})
        trace = self.trace(*frames, settings={"server": ["maxFrameSize"]})
        self.assertEqual(trace["server 0"], "SETTINGS maxFrameSize=20000; 1 SETTINGS acknowledged")

    def test_sight(self) -> None:
        """
        What an application saw is a line for the session and one for each stream.
        """
        stream = {
            "method": "GET",
            "information": [],
            "notes": ["noted"],
            "read": True,
            "length": 5,
            "aborted": True,
            "error": ["stream", 8],
            "code": 8,
        }
        sees = {"events": [["goaway", 2, 1, "why"]], "error": ["session", 77], "streams": {"1": stream}}
        self.assertEqual(
            readSight(Row("row"), "server", json.loads(json.dumps(sees))),
            {
                "server sees 0": "goaway INTERNAL_ERROR last=1 why; error of the session 77",
                "server sees 1": "GET; noted; body of 5 cut; aborted; error of the stream CANCEL; closed CANCEL",
            },
        )
        self.assertEqual(
            readSight(Row("row", begins="server"), "server", sees)["server sees 0"], "error of the session 77; closed"
        )
