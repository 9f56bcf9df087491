"""
The table of scenarios, C{expected.txt}: what each trace must be, and why where it is not the same for everybody.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

PEERS = ("node", "here")
Pair: TypeAlias = "tuple[str, str]"
PAIRS: tuple[Pair, ...] = tuple(product(PEERS, PEERS))
"""Who is the client and who the server."""

REASONS = {
    "cut body": "a body without END_STREAM is cut, whatever the code and whoever cut it; Node calls it whole after NO_ERROR"
    " and CANCEL",
    "false end": "only the reset goes out; Node ends the body before it, or instead of it, and half a body looks whole",
    "lost code": "a code given to `destroy()` is sent; Node loses it if the error before it is `undefined`",
    "empty answer": "`end()` without `respond()` answers 200 with an empty body; Node sends nothing",
    "long list": "a header list above four times the limit is not decoded and costs the session; Node resets the stream,"
    " however long it is",
    "list not sent": "a header list above the peer's MAX_HEADER_LIST_SIZE is not sent, and its stream is refused; in Node"
    " it is",
    "large frames": "DATA frames are as large as the peer takes; Node's have at most 16,384 bytes",
    "wrong length": "the frame that shows the length to be wrong is not delivered; in Node it is",
    "drain": "`drain()` announces the end before it names the last stream; Node has only `close()`, which names it at once",
}
"""Why a trace is not Node's; C{docs/node-parity.md} repeats them."""

_PATH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "expected.txt")
_LINE = re.compile(
    r"(?P<key>(?:client|server) (?:sees )?(?:\d+|unsent))(?: \((?P<client>\w+)-(?P<server>\w+)\))?: (?P<text>.+)"
)


@dataclass
class Row:
    """
    One scenario.

    @ivar lines: what the trace must be, for each pair of peers: by C{"client 1"} for what the client sends on stream 1 and
        C{"client sees 1"} for what its application is told of it.
    @ivar why: the keys of L{REASONS} that explain why a line is not the same in all pairs.
    @ivar begins: the side that ends the session, where the scenario is about that; the session's end is not compared in
        others.
    @ivar goAways: how many different GOAWAYs of that side count.
    @ivar settings: settings that count, by side.
    @ivar frameSizes: whether the length of the first DATA frame counts.
    """

    name: str
    lines: dict[Pair, dict[str, str]] = field(default_factory=lambda: {pair: {} for pair in PAIRS})
    why: list[str] = field(default_factory=list)
    begins: str | None = None
    goAways: int = 1
    settings: dict[str, list[str]] = field(default_factory=dict)
    frameSizes: bool = False

    @property
    def differing(self) -> list[str]:
        """
        The lines that are not the same in all pairs.
        """
        keys = {key: None for lines in self.lines.values() for key in lines}
        return [key for key in keys if len({self.lines[pair].get(key) for pair in PAIRS}) > 1]

    def read(self, line: str) -> None:
        """
        Take a line of the table.

        @raise ValueError: for one that cannot be read, or that says something again.
        """
        found = _LINE.fullmatch(line)
        if found is not None:
            self._readTrace(**found.groupdict())
            return
        what, _, value = line.partition(": ")
        if what == "why":
            self.why = value.split(", ")
        elif what == "begins" and value in ("client", "server"):
            self.begins = value
        elif what == "goaways":
            self.goAways = int(value)
        elif what in ("settings of the client", "settings of the server"):
            self.settings[what.split()[-1]] = value.split()
        elif line == "frame sizes: yes":
            self.frameSizes = True
        else:
            raise ValueError(f"{self.name}: {line!r} cannot be read")

    def _readTrace(self, key: str, client: str | None, server: str | None, text: str) -> None:
        clients, servers = (
            PEERS if each in (None, "any") else [peer for peer in PEERS if peer == each] for each in (client, server)
        )
        pairs = list(product(clients, servers))
        if not pairs:
            raise ValueError(f"{self.name}: there is no pair {client}-{server}")
        for pair in pairs:
            if key in self.lines[pair]:
                raise ValueError(f"{self.name}: {key} is there twice for {pair}")
            self.lines[pair][key] = text

    def expected(self, pair: Pair) -> dict[str, str]:
        """
        Get the trace of a pair.
        """
        return {key: text for key, text in self.lines[pair].items() if text != "nothing"}


def readRows(text: str) -> list[Row]:
    """
    Read a table.

    @raise ValueError: for one that cannot be read.
    """
    rows: list[Row] = []
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            rows.append(Row(line[1:-1]))
        elif line and not line.startswith("#"):
            rows[-1].read(line)
    return rows


def rowsOfFile() -> list[Row]:
    """
    Read C{expected.txt}.
    """
    with open(_PATH, encoding="utf-8") as file:
        return readRows(file.read())


def departures(rows: list[Row]) -> list[str]:
    """
    Write the rows of the table in C{docs/node-parity.md}: in which scenarios we are not to do as Node does, and why.
    """
    return [
        f"| {text} | {'; '.join(row.name for row in rows if reason in row.why)} |" for reason, text in REASONS.items()
    ]
