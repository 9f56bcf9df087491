"""
What went over a connection, and what applications saw, as lines of text that can be compared.

A trace is a line of text for each stream and side, C{"client 1"} or C{"server 0"}, of the frames it sent there in their
order.  Left out is what RFC 9113 leaves to each side: how bodies are cut into frames, WINDOW_UPDATE, PRIORITY, the order
of fields and that of frames on different streams, settings and PINGs the scenario did not ask for, and whether
END_STREAM stands on the last DATA frame or on an empty one.  Where a scenario ends the session, the first GOAWAY of the
side that begins is kept: Node sends another as it leaves, and whether the other side's answer is still sent depends on
who is faster.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from hpack import Decoder
from hyperframe.frame import (
    AltSvcFrame,
    ContinuationFrame,
    DataFrame,
    ExtensionFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PushPromiseFrame,
    RstStreamFrame,
    SettingsFrame,
)

from tests.peers.traces.table import Row
from txh2session import ErrorCode, unpackSettings

ORIGIN_FRAME = 0xC
MARKER = b"epilogue"
"""The payload of the PING that ends what is compared; see L{untilMarker}."""
LONG = 40
"""The length from which only the length of a value is shown."""


# ---------------------------------------------------------------------------------------------------------------------
# Frames


def readFrames(data: bytes) -> Iterator[Frame]:
    """
    Split what one side sent, without its preface, into frames.
    """
    while data:
        frame, length = Frame.parse_frame_header(memoryview(data[:9]))
        if len(data) < 9 + length:
            return  # it was cut by the other side's going away
        frame.parse_body(memoryview(data[9 : 9 + length]))
        data = data[9 + length :]
        yield frame


def untilMarker(frames: Iterator[Frame]) -> Iterator[Frame]:
    """
    Leave out what comes after the PING that the end of a scenario is marked with, or its answer.
    """
    for frame in frames:
        if isinstance(frame, PingFrame) and frame.opaque_data == MARKER:
            return
        yield frame


def codeText(code: int) -> str:
    """
    Name an error code.
    """
    return ErrorCode(code).name if code in tuple(ErrorCode) else str(code)


class _Block:
    """
    A header block that is being put together.
    """

    def __init__(self, frame: HeadersFrame | PushPromiseFrame) -> None:
        self.frame = frame
        self.data = frame.data
        self.continued = False


class _Reader:
    """
    Reads what one side sent.
    """

    def __init__(self, authority: str, row: Row, side: str) -> None:
        self._authority = authority
        self._settings = row.settings.get(side, ())
        self._countAcknowledgements = bool(row.settings)
        self._frameSizes = row.frameSizes
        # Of the frames that end a session only the first, of the side that begins, is the scenario's.
        self._goAways = {None: 1 << 31, side: row.goAways}.get(row.begins, 0)
        self._decoder = Decoder(max_header_list_size=1 << 20)
        self._block: _Block | None = None
        self._lengths: dict[int, list[int]] = {}
        self._acknowledged = 0
        self.lines: defaultdict[int, list[str]] = defaultdict(list)

    def read(self, frame: Frame) -> None:
        """
        Take the next frame.
        """
        if isinstance(frame, (HeadersFrame, PushPromiseFrame)):
            self._block = _Block(frame)
        elif isinstance(frame, ContinuationFrame):
            assert self._block is not None
            self._block.data += frame.data
            self._block.continued = True
        if isinstance(frame, (HeadersFrame, PushPromiseFrame, ContinuationFrame)):
            if "END_HEADERS" in frame.flags:
                self._headers()
        elif isinstance(frame, DataFrame):
            self._lengths.setdefault(frame.stream_id, []).append(len(frame.data))
            if "END_STREAM" in frame.flags:
                self._say(frame.stream_id, "END_STREAM")
        elif isinstance(frame, RstStreamFrame):
            self._say(frame.stream_id, f"RST_STREAM {codeText(frame.error_code)}")
        else:
            self._control(frame)

    def _control(self, frame: Frame) -> None:
        if isinstance(frame, SettingsFrame):
            if "ACK" in frame.flags:
                self._acknowledged += 1
            else:
                found = unpackSettings(frame.serialize_body())
                chosen = [f"{name}={found[name]:d}" for name in self._settings if name in found]
                if chosen:
                    self._say(0, " ".join(["SETTINGS", *chosen]))
        elif isinstance(frame, PingFrame):
            # Others are the engines' own, or the scenario's signals.
            if frame.opaque_data == b"abcdefgh":
                self._say(0, "PING" + (" ACK" if "ACK" in frame.flags else ""))
        elif isinstance(frame, GoAwayFrame):
            data = f" {frame.additional_data.decode()}" if frame.additional_data else ""
            text = f"GOAWAY {codeText(frame.error_code)} last={frame.last_stream_id}{data}"
            if self._goAways > 0 and text not in self.lines[0]:
                self._goAways -= 1
                self._say(0, text)
        elif isinstance(frame, AltSvcFrame):
            self._say(frame.stream_id, f"ALTSVC {frame.origin.decode()} {frame.field.decode()}".replace("  ", " "))
        elif isinstance(frame, ExtensionFrame) and frame.type == ORIGIN_FRAME:
            origins, rest = [], frame.body
            while rest:
                length = int.from_bytes(rest[:2], "big")
                origins.append(rest[2 : 2 + length].decode())
                rest = rest[2 + length :]
            self._say(0, " ".join(["ORIGIN", *origins]))

    def _say(self, streamID: int, text: str) -> None:
        self._flush(streamID)
        self.lines[streamID].append(text)

    def _flush(self, streamID: int) -> None:
        lengths = self._lengths.pop(streamID, [])
        if any(lengths):
            sizes = f", {lengths[0]} in the first frame" if self._frameSizes else ""
            self.lines[streamID].append(f"DATA {sum(lengths)}{sizes}")

    def _headers(self) -> None:
        assert self._block is not None
        block, self._block = self._block, None
        frame = block.frame
        decoded = self._decoder.decode(block.data, raw=True)
        fields = [(name.decode(), value.decode(), not field.indexable) for field in decoded for name, value in (field,)]
        kind = self._kind(frame, fields)
        if block.continued:
            kind += "+CONTINUATION"
        ended = " END_STREAM" if "END_STREAM" in frame.flags else ""
        self._say(frame.stream_id, f"{kind} {self._fieldText(fields)}{ended}".replace("  ", " "))

    def _kind(self, frame: HeadersFrame | PushPromiseFrame, fields: list[tuple[str, str, bool]]) -> str:
        if isinstance(frame, PushPromiseFrame):
            return f"PUSH_PROMISE {frame.promised_stream_id}"
        names = [name for name, _, _ in fields]
        return "HEADERS" if any(name.startswith(":") for name in names) else "TRAILERS"

    def _fieldText(self, fields: list[tuple[str, str, bool]]) -> str:
        """
        Write a header list: a request as its method and path, with whatever else is not as it always is.
        """
        known = {name: value for name, value, _ in fields}
        first: list[str] = []
        left = list(fields)
        if ":method" in known:
            first = [known[":method"], *([known[":path"]] if ":path" in known else ["without a path"])]
            if known.get(":authority") == self._authority:
                left = [field for field in left if field[0] != ":authority"]
            if known.get(":scheme") == "http":
                left = [field for field in left if field[0] != ":scheme"]
            elif ":scheme" not in known:
                first.append("without a scheme")
            if ":authority" not in known:
                first.append("without an authority")
        elif ":status" in known:
            first = [known[":status"]]
            if not known[":status"].startswith("1") and "date" not in known:
                first.append("without a date")
        left = [field for field in left if field[0] not in (":method", ":path", ":status", "date", "user-agent")]
        if len(left) > 20:
            return " ".join([*first, f"and {len(left)} fields"])
        return " ".join([*first, *sorted(self._field(*field) for field in left)])

    def _field(self, name: str, value: str, secret: bool) -> str:
        shown = value if len(value) < LONG else f"({len(value)} bytes)"
        return f"{name}={shown}" + (" (never indexed)" if secret else "")

    def finish(self) -> dict[int, str]:
        """
        Get the lines.
        """
        for streamID in list(self._lengths):
            self._flush(streamID)
        if self._countAcknowledgements:
            self.lines[0].append(f"{self._acknowledged} SETTINGS acknowledged")
        return {streamID: "; ".join(lines) for streamID, lines in self.lines.items() if lines}


def readTrace(row: Row, sent: dict[str, bytes], authority: str) -> dict[str, str]:
    """
    Make a trace of what both sides sent.

    @param row: the scenario.
    @param authority: the C{:authority} that is not worth mentioning.
    """
    trace = {}
    for side, data in sent.items():
        reader = _Reader(authority, row, side)
        frames = readFrames(data)
        for frame in frames if row.begins else untilMarker(frames):
            reader.read(frame)
        for streamID, line in reader.finish().items():
            trace[f"{side} {streamID}"] = line
    return trace


# ---------------------------------------------------------------------------------------------------------------------
# What applications see


def _errorText(error: Any) -> str:
    if isinstance(error, (list, tuple)):
        kind, code = error
        return f"error of the {kind} {codeText(code)}"
    return f"error {error}"


def _streamText(sight: dict[str, Any]) -> str:
    """
    Write what one side saw of a stream.  The order is fixed: it is not that of time.
    """
    parts = [sight["method"]] if sight.get("method") else []
    parts += [str(status) for status in sight["information"]]
    if sight.get("response"):
        parts.append(str(sight["response"]))
    parts += sight["notes"]
    if sight["read"]:
        parts.append(f"body of {sight['length']} {'whole' if sight.get('whole') else 'cut'}")
    if sight.get("trailers"):
        parts.append("trailers " + " ".join(f"{name}={value}" for name, value in sorted(sight["trailers"].items())))
    if sight["aborted"]:
        parts.append("aborted")
    if sight["error"] is not None:
        parts.append(_errorText(sight["error"]))
    parts.append("open" if sight["code"] is None else f"closed {codeText(sight['code'])}")
    return "; ".join(parts)


def _eventText(event: list[Any]) -> str:
    if event[0] == "goaway":
        _, code, last, data = event
        return f"goaway {codeText(code)} last={last} {data}".strip()
    return " ".join(str(each) for each in event).replace("  ", " ")


def readSight(row: Row, side: str, sees: dict[str, Any]) -> dict[str, str]:
    """
    Write what one side's application saw: lines for C{"client sees 1"} and, of the session, C{"client sees 0"}.

    @param row: the scenario.
    @param sees: as C{node.js} prints it.
    """
    lines = {}
    told = sees["events"]
    if row.begins:
        goAways: list[list[Any]] = []
        for event in told:
            if event[0] == "goaway" and event not in goAways:
                goAways.append(event)
        told = [event for event in told if event[0] != "goaway"]
        if row.begins != side:
            told += goAways[: row.goAways]
    events = [_eventText(event) for event in told]
    if sees["error"] is not None:
        events.append(_errorText(sees["error"]))
    if row.begins:
        events.append("closed")
    if events:
        lines[f"{side} sees 0"] = "; ".join(events)
    for streamID, sight in sees["streams"].items():
        lines[f"{side} sees {streamID}"] = _streamText(sight)
    return lines
