"""
What single frames say: the words of a frame log.

Everything here takes frames as they are.  What is wrong with one becomes a note, never an exception.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, Final

from txh2session import _frames as frames
from txh2session._fields import Field
from txh2session._frames import HEAD
from txh2session.constants import FrameType, SettingID
from txh2session.errors import errorCode
from txh2session.settings import unpackEntries

NAMES: Final = {int(kind): kind.name for kind in FrameType}
_ACK: Final = {frames.ACK: "ACK"}
_FLAGS: Final = {
    frames.DATA: {frames.END_STREAM: "END_STREAM", frames.PADDED: "PADDED"},
    frames.HEADERS: {
        frames.END_STREAM: "END_STREAM",
        frames.END_HEADERS: "END_HEADERS",
        frames.PADDED: "PADDED",
        frames.PRIORITY_FLAG: "PRIORITY",
    },
    frames.SETTINGS: _ACK,
    frames.PUSH_PROMISE: {frames.END_HEADERS: "END_HEADERS", frames.PADDED: "PADDED"},
    frames.PING: _ACK,
    frames.CONTINUATION: {frames.END_HEADERS: "END_HEADERS"},
}
_SETTINGS: Final = {int(each): each.name for each in SettingID}
_SIZES: Final = {frames.PRIORITY: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}

_SETTINGS_SHOWN: Final = 64
_dependency = Struct(">LB")


@dataclass(slots=True)
class Seen:
    """
    Something that crossed the connection.

    @ivar kind: the frame's type by name, C{"UNKNOWN(0xbb)"} for one without; C{"PREFACE"}; C{"BYTES"} for what is no
        frame.
    @ivar streamID: L{None} for what is no frame.
    @ivar length: of the payload, as the frame's head has it.
    @ivar flags: those that are set, by name.
    @ivar details: what the frame says, by names that fit its type: numbers, text, bytes as the peer sent them, and lists
        and dicts of these.
    @ivar fields: the header fields of the block that the frame ended, each with whether its sender marked it never to be
        indexed (RFC 7541 section 7.1.3); L{None} if it ended none.
    @ivar fieldsOf: the stream that those are about, which for a push is the promised one.
    @ivar note: what is wrong with it, or C{""}.
    """

    kind: str
    streamID: int | None
    length: int
    flags: list[str] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)
    fields: list[tuple[Field, bool]] | None = None
    fieldsOf: int = 0
    note: str = ""

    def noted(self, what: str) -> None:
        """
        Say what is wrong, after what was said before.
        """
        self.note = f"{self.note}; {what}" if self.note else what


def begun(kind: int, flags: int, streamID: int, length: int) -> Seen:
    """
    Say what the head of a frame says.
    """
    names = _FLAGS.get(kind, {})
    known = [name for bit, name in names.items() if flags & bit]
    unknown = flags & ~sum(names)
    return Seen(
        NAMES.get(kind, f"UNKNOWN(0x{kind:02x})"),
        streamID & 0x7FFFFFFF,
        length,
        [*known, *([f"0x{unknown:02x}"] if unknown else [])],
    )


def readPayload(kind: int, flags: int, raw: bytes, seen: Seen) -> None:
    """
    Say what a frame says, unless that is header fields.

    @param raw: the frame, or as much of it as was kept.
    """
    size = _SIZES.get(kind, seen.length)
    if seen.length != size:
        seen.noted(f"{size} bytes is its only length")
        return
    reader = _READERS.get(kind)
    if reader is None:
        return
    kept = len(raw) - HEAD
    if kept < seen.length and kind != frames.DATA:
        seen.noted(f"only its first {kept} bytes were read")
        if kind == frames.ORIGIN:
            return
    reader(flags, raw, seen)


def readEntries(raw: bytes) -> list[tuple[int, int]]:
    """
    Read the whole entries of what was kept of a SETTINGS frame.
    """
    return list(unpackEntries(raw[HEAD : HEAD + (len(raw) - HEAD) // 6 * 6]))


def _readSettings(flags: int, raw: bytes, seen: Seen) -> None:
    if seen.length and flags & frames.ACK:
        seen.noted("0 bytes is the only length of an ACK")
    elif seen.length % 6:
        seen.noted("entries have 6 bytes each")
    shown = [(_SETTINGS.get(key, f"0x{key:x}"), value) for key, value in readEntries(raw)[:_SETTINGS_SHOWN]]
    if shown:
        seen.details["settings"] = shown
    if seen.length // 6 > len(shown):
        seen.noted(f"{seen.length // 6} entries, of which these are the first")


def readPadding(flags: int, raw: bytes, seen: Seen) -> None:
    """
    Read how long the padding of a frame is.
    """
    if flags & frames.PADDED:
        seen.details["padding"] = raw[HEAD]


def readDependency(raw: bytes, start: int, seen: Seen) -> None:
    """
    Read the old priority of a stream (RFC 7540 section 6.3).
    """
    dependsOn, weight = _dependency.unpack_from(raw, start)
    seen.details["dependsOn"] = dependsOn & 0x7FFFFFFF
    seen.details["weight"] = weight + 1
    if dependsOn >> 31:
        seen.details["exclusive"] = True


def _readData(flags: int, raw: bytes, seen: Seen) -> None:
    if not flags & frames.PADDED:
        return
    if not seen.length:
        seen.noted("a padded frame without its length of padding")
        return
    readPadding(flags, raw, seen)
    if raw[HEAD] >= seen.length:
        seen.noted("padding longer than the frame")


def _readCode(number: int, seen: Seen) -> None:
    code = errorCode(number)
    seen.details["code"] = getattr(code, "name", f"0x{number:x}")


def _readReset(flags: int, raw: bytes, seen: Seen) -> None:
    _readCode(frames.readLong(raw), seen)


def _readGoAway(flags: int, raw: bytes, seen: Seen) -> None:
    if seen.length < 8:
        seen.noted("8 bytes is its least length")
        return
    goAway = frames.readGoAway(raw)
    seen.details["lastStream"] = goAway.lastStreamID
    _readCode(goAway.code, seen)
    if goAway.debugData:
        seen.details["debug"] = goAway.debugData


def _readPing(flags: int, raw: bytes, seen: Seen) -> None:
    seen.details["payload"] = raw[HEAD:].hex()


def _readWindow(flags: int, raw: bytes, seen: Seen) -> None:
    seen.details["increment"] = frames.readLong(raw) & 0x7FFFFFFF


def _readAltSvc(flags: int, raw: bytes, seen: Seen) -> None:
    said = frames.readAltSvc(raw)
    if said is None:
        seen.noted("its origin is longer than the frame")
    else:
        seen.details.update(origin=said.origin, value=said.value)


def _readOrigins(flags: int, raw: bytes, seen: Seen) -> None:
    origins = frames.readOrigins(raw)
    if origins is None:
        seen.noted("an origin is longer than the frame")
    else:
        seen.details["origins"] = origins


def _readPriorityUpdate(flags: int, raw: bytes, seen: Seen) -> None:
    if seen.length < 4:
        seen.noted("4 bytes is its least length")
    else:
        seen.details["prioritizedStream"] = frames.readLong(raw) & 0x7FFFFFFF
        seen.details["priority"] = raw[HEAD + 4 :]


_READERS: Final[dict[int, Callable[[int, bytes, Seen], None]]] = {
    frames.DATA: _readData,
    frames.PRIORITY: lambda flags, raw, seen: readDependency(raw, HEAD, seen),
    frames.RST_STREAM: _readReset,
    frames.SETTINGS: _readSettings,
    frames.PING: _readPing,
    frames.GOAWAY: _readGoAway,
    frames.WINDOW_UPDATE: _readWindow,
    frames.ALTSVC: _readAltSvc,
    frames.ORIGIN: _readOrigins,
    frames.PRIORITY_UPDATE: _readPriorityUpdate,
}
