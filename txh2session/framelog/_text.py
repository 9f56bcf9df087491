"""
What a frame log writes: entries as lines for people and as records for programs.

Lines are ASCII, and what a peer chose is escaped as in Python: no line can be forged, and no terminal be steered.
"""

from __future__ import annotations

import re
import time
from typing import Any, Final, NamedTuple

from txh2session._fields import Field, asText
from txh2session.framelog._facts import Seen

_VALUE_SHOWN: Final = 4096
_DETAIL_SHOWN: Final = 256
_DAY: Final = 24 * 60 * 60
_plain: Final = re.compile(r"[!-~]+", re.ASCII).fullmatch


class Entry(NamedTuple):
    """
    One thing that a frame log shows.

    @ivar time: when, in seconds.
    @ivar connection: the connection's number.
    @ivar peer: its peer's address.
    @ivar event: C{"open"}, C{"recv"}, C{"send"} or C{"closed"}.
    @ivar facts: what is said of a beginning or an end.
    @ivar seen: what crossed.
    @ivar fields: the header fields to show of it, secrets masked.
    """

    time: float
    connection: int
    peer: str
    event: str
    facts: dict[str, Any]
    seen: Seen | None = None
    fields: list[Field] | None = None


def linesOf(entry: Entry) -> list[str]:
    """
    Write an entry for people: a line, and one more for each header field.
    """
    start = f"{_timeOfDay(entry.time)} #{entry.connection} {entry.event}"
    seen = entry.seen
    if seen is None:
        return [_joined(start, entry.facts)]
    words = f"{start} {seen.kind}"
    if seen.streamID is not None:
        words += f" stream={seen.streamID}"
    words += f" length={seen.length}"
    if seen.flags:
        words += f" flags={'|'.join(seen.flags)}"
    words = _joined(words, seen.details)
    if seen.note:
        words = _joined(words, {"note": seen.note.encode()})
    about = f"{start} stream={seen.fieldsOf}"
    return [words, *(f"{about} {_escaped(name)}: {_escaped(_cut(value))}" for name, value in entry.fields or ())]


def recordOf(entry: Entry) -> dict[str, Any]:
    """
    Write an entry for programs, of what JSON knows.
    """
    record: dict[str, Any] = {
        "time": entry.time,
        "connection": entry.connection,
        "peer": entry.peer,
        "event": entry.event,
        **entry.facts,
    }
    seen = entry.seen
    if seen is None:
        return record
    record["type"] = seen.kind
    if seen.streamID is not None:
        record["stream"] = seen.streamID
    record["length"] = seen.length
    record["flags"] = seen.flags
    record.update((name, _plainOf(value)) for name, value in seen.details.items())
    if entry.fields is not None:
        record["fieldsOf"] = seen.fieldsOf
        record["fields"] = [[asText(name), asText(_cut(value))] for name, value in entry.fields]
    if seen.note:
        record["note"] = seen.note
    return record


def dateOf(seconds: float) -> str:
    """
    Write the day of a time, which lines have only when a connection begins.
    """
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))


def _timeOfDay(seconds: float) -> str:
    """
    Write a time of UTC to the microsecond.
    """
    micros = round(seconds * 1_000_000) % (_DAY * 1_000_000)
    rest, fraction = divmod(micros, 1_000_000)
    minutes, second = divmod(rest, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}.{fraction:06d}Z"


def _joined(start: str, facts: dict[str, Any]) -> str:
    """
    Write facts behind the start of a line.
    """
    words = [start]
    for name, value in facts.items():
        if name == "settings":
            words.extend(f"{key}={number}" for key, number in value)
        elif isinstance(value, list):
            words.append(f"{name}={','.join(map(_quoted, value))}")
        elif value is True:
            words.append(name)
        elif isinstance(value, bytes):
            words.append(f"{name}={_quoted(value)}")
        else:
            text = str(value)
            words.append(f"{name}={text if _plain(text) else _quoted(text.encode('utf-8', 'surrogateescape'))}")
    return " ".join(words)


def _plainOf(value: Any) -> Any:
    """
    Make of a detail what JSON knows.
    """
    if isinstance(value, bytes):
        return asText(_cut(value, _DETAIL_SHOWN))
    if isinstance(value, list | tuple):
        return [_plainOf(each) for each in value]
    return value


def _cut(value: bytes, most: int = _VALUE_SHOWN) -> bytes:
    return value if len(value) <= most else b"%b... (%d bytes)" % (value[:most], len(value))


def _quoted(value: bytes) -> str:
    escaped = _escaped(_cut(value, _DETAIL_SHOWN)).replace('"', '\\"')
    return f'"{escaped}"'


def _escaped(value: bytes) -> str:
    return value.decode("latin-1").encode("unicode_escape").decode("ascii")
