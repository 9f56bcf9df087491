"""
What can be configured, as frozen values that are checked when they are made: L{Settings} is what goes over the wire in
SETTINGS frames, L{Limits} is what a peer may cost us, L{Timeouts} is how long it may take, L{Options} is how messages are
made and judged where the RFCs leave a choice, or somebody needs one.

Every default has its source beside it.  The module does no I/O and knows no session; both sides' settings, ours and the
peer's, are L{Settings} objects, so that a question about either has the same spelling.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Final, NamedTuple

from txh2session.constants import PaddingStrategy, SettingID
from txh2session.errors import ErrorCode, InvalidSetting

MAX_WINDOW: Final = 2**31 - 1
"""The largest flow-control window (RFC 9113 section 6.9.1)."""
UNLIMITED: Final = 2**32 - 1
"""What a setting that was never sent reads as when the protocol sets no limit."""
DEFAULT_WINDOW: Final = 65535
"""The window of the connection, and of a stream until SETTINGS say otherwise (RFC 9113 section 6.9.2)."""


class _Wire(NamedTuple):
    """
    One setting: its identifier, its range and the code of the connection error for a value outside (RFC 9113 section
    6.5.2, RFC 8441 section 3, RFC 9218 section 2.1).
    """

    identifier: int
    name: str
    low: int
    high: int
    fault: ErrorCode = ErrorCode.PROTOCOL_ERROR
    boolean: bool = False


_WIRE: Final = (
    _Wire(SettingID.HEADER_TABLE_SIZE, "headerTableSize", 0, UNLIMITED),
    _Wire(SettingID.ENABLE_PUSH, "enablePush", 0, 1, boolean=True),
    _Wire(SettingID.MAX_CONCURRENT_STREAMS, "maxConcurrentStreams", 0, UNLIMITED),
    _Wire(SettingID.INITIAL_WINDOW_SIZE, "initialWindowSize", 0, MAX_WINDOW, ErrorCode.FLOW_CONTROL_ERROR),
    _Wire(SettingID.MAX_FRAME_SIZE, "maxFrameSize", 2**14, 2**24 - 1),
    _Wire(SettingID.MAX_HEADER_LIST_SIZE, "maxHeaderListSize", 0, UNLIMITED),
    _Wire(SettingID.ENABLE_CONNECT_PROTOCOL, "enableConnectProtocol", 0, 1, boolean=True),
    _Wire(SettingID.NO_RFC7540_PRIORITIES, "noRFC7540Priorities", 0, 1, boolean=True),
)
_BY_IDENTIFIER: Final[dict[int, _Wire]] = {wire.identifier: wire for wire in _WIRE}
_CONNECT_PROTOCOL: Final = _BY_IDENTIFIER[SettingID.ENABLE_CONNECT_PROTOCOL]


class SettingFault(Exception):
    """
    A value in a received SETTINGS frame that is a connection error.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Settings:
    """
    The settings of one side of a session (RFC 9113 section 6.5.2).

    The defaults are the ones this package announces; what a peer has before its first SETTINGS frame arrives is
    L{Settings.initial}.

    @ivar headerTableSize: bytes of the HPACK table the peer's encoder may use.
    @ivar enablePush: whether the peer may push; only a client announces it, and only when it is true does a push reach
        a listener.
    @ivar maxConcurrentStreams: how many streams the peer may have open at once; the excess is refused, not the
        connection.  100: RFC 9113 advises not to go below, and everyone but Go (250) announces it.
    @ivar initialWindowSize: bytes a stream may receive before somebody reads them.  256 KiB: reaches 90 to 95 % of the
        throughput of 1 MiB windows.
    @ivar maxFrameSize: bytes of the largest frame payload accepted.
    @ivar maxHeaderListSize: bytes of the largest header list accepted, counted as RFC 9113 section 6.5.2 says.  64 KiB:
        what nghttp2 and twisted.web allow.
    @ivar enableConnectProtocol: whether extended CONNECT is understood (RFC 8441).
    @ivar noRFC7540Priorities: says that the old priority scheme is ignored (RFC 9218 section 2.1).
    @ivar customSettings: settings this package does not know, by identifier; at most 16 (Node 10).
    """

    headerTableSize: int = 4096
    enablePush: bool = False
    maxConcurrentStreams: int = 100
    initialWindowSize: int = 256 * 1024
    maxFrameSize: int = 16384
    maxHeaderListSize: int = 64 * 1024
    enableConnectProtocol: bool = False
    noRFC7540Priorities: bool = True
    customSettings: Mapping[int, int] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def __post_init__(self) -> None:
        """
        Check every value.

        @raise InvalidSetting: naming the setting, the value and what is allowed.
        """
        for wire in _WIRE:
            value = getattr(self, wire.name)
            if wire.boolean:
                if not isinstance(value, bool):
                    raise InvalidSetting(f"{wire.name} is True or False, not {value!r}")
            else:
                _checkInteger(wire.name, value, wire.low, wire.high)
        if not isinstance(self.customSettings, Mapping):
            raise InvalidSetting(f"customSettings is a mapping of identifiers to values, not {self.customSettings!r}")
        if len(self.customSettings) > _CUSTOM_KEPT:
            raise InvalidSetting(f"customSettings has at most {_CUSTOM_KEPT} entries, not {len(self.customSettings)}")
        for identifier, value in self.customSettings.items():
            _checkInteger("an identifier in customSettings", identifier, 1, 0xFFFF)
            if identifier in _BY_IDENTIFIER:
                raise InvalidSetting(f"customSettings[{identifier}] is {_BY_IDENTIFIER[identifier].name}: set that")
            _checkInteger(f"customSettings[{identifier}]", value, 0, UNLIMITED)
        object.__setattr__(self, "customSettings", MappingProxyType(dict(self.customSettings)))

    @classmethod
    def initial(cls) -> Settings:
        """
        The settings a side has before it sent any (RFC 9113 section 6.5.2).
        """
        return _INITIAL

    def changed(self, **changes: object) -> Settings:
        """
        Make a copy with some values changed.

        @raise InvalidSetting: for a value out of range or an unknown name.
        """
        unknown = set(changes) - {each.name for each in fields(self)}
        if unknown:
            raise InvalidSetting(f"there is no setting {', '.join(sorted(unknown))}")
        return replace(self, **changes)  # type: ignore[arg-type]

    def entries(self, since: Settings | None = None) -> list[tuple[int, int]]:
        """
        List what a SETTINGS frame has to say, ascending by identifier.

        @param since: what the peer knows already; the settings of RFC 9113 before any frame if not given.

        @return: pairs of identifier and value for what differs.
        """
        known = _INITIAL if since is None else since
        found = [
            (wire.identifier, int(getattr(self, wire.name)))
            for wire in _WIRE
            if getattr(self, wire.name) != getattr(known, wire.name)
        ]
        found.extend(item for item in self.customSettings.items() if known.customSettings.get(item[0]) != item[1])
        return sorted(found)


def _checkInteger(name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidSetting(f"{name} is an integer, not {value!r}")
    if not low <= value <= high:
        raise InvalidSetting(f"{name} is between {low} and {high}, not {value!r}")


_CUSTOM_KEPT: Final = 16
"""How many settings unknown to us a side may have: those of a peer are remembered, and a frame of ours must fit into the
32 entries that others accept."""

_INITIAL: Final = Settings(
    headerTableSize=4096,
    enablePush=True,
    maxConcurrentStreams=UNLIMITED,
    initialWindowSize=DEFAULT_WINDOW,
    maxFrameSize=16384,
    maxHeaderListSize=UNLIMITED,
    enableConnectProtocol=False,
    noRFC7540Priorities=False,
)


def packEntries(entries: Iterable[tuple[int, int]]) -> bytes:
    """
    Write the payload of a SETTINGS frame (RFC 9113 section 6.5.1).
    """
    return b"".join(struct.pack(">HL", identifier, value) for identifier, value in entries)


def unpackEntries(payload: bytes) -> Iterator[tuple[int, int]]:
    """
    Read the payload of a SETTINGS frame, whose length is a multiple of six, in the order of the wire.
    """
    return struct.iter_unpack(">HL", payload)


def packSettings(**changes: object) -> bytes:
    """
    Write the payload of a SETTINGS frame with just the settings given, ascending by identifier (Node's reference 1.7).

    @param changes: fields of L{Settings}.

    @raise InvalidSetting: for an unknown name or a value out of range.
    """
    checked = Settings().changed(**changes)
    entries = [(wire.identifier, int(getattr(checked, wire.name))) for wire in _WIRE if wire.name in changes]
    return packEntries(sorted([*entries, *checked.customSettings.items()]))


def unpackSettings(payload: bytes, validate: bool = False) -> dict[str, int | bool | dict[int, int]]:
    """
    Read the payload of a SETTINGS frame: what L{packSettings} writes (Node's reference 1.8).

    @param validate: whether to check the values' ranges.

    @return: values by the names of L{Settings}; settings this package does not know stand under C{customSettings}, by
        identifier.  Of several values for one setting the last counts.

    @raise TypeError: if it is not bytes.
    @raise InvalidSetting: if its length is not a multiple of six, or, if asked, for a value out of range.
    """
    if not isinstance(payload, (bytes, bytearray, memoryview)):
        raise TypeError(f"a payload is bytes, not {type(payload).__name__}")
    payload = bytes(payload)
    if len(payload) % 6:
        raise InvalidSetting(f"the payload of SETTINGS is a multiple of six bytes long, not {len(payload)}")
    found: dict[str, int | bool | dict[int, int]] = {}
    custom: dict[int, int] = {}
    for identifier, value in unpackEntries(payload):
        wire = _BY_IDENTIFIER.get(identifier)
        if wire is None:
            custom[identifier] = value
            continue
        if validate and not wire.low <= value <= wire.high:
            raise InvalidSetting(f"{wire.name} is between {wire.low} and {wire.high}, not {value}")
        found[wire.name] = bool(value) if wire.boolean else value
    if custom:
        found["customSettings"] = custom
    return found


def applyReceived(current: Settings, entries: Iterable[tuple[int, int]]) -> Settings:
    """
    Apply a received SETTINGS frame to what the peer had before; a later value of the same setting wins.

    @raise SettingFault: for a value that RFC 9113 section 6.5.2 or RFC 8441 section 3 calls a connection error.
    """
    changes: dict[str, int | bool] = {}
    custom = dict(current.customSettings)
    for identifier, value in entries:
        wire = _BY_IDENTIFIER.get(identifier)
        if wire is None:
            # Unknown settings are ignored (RFC 9113 section 6.5.2); they are kept for whoever knows them, up to a bound.
            # Identifier 0 is reserved.
            if identifier in custom or (identifier and len(custom) < _CUSTOM_KEPT):
                custom[identifier] = value
            continue
        if not wire.low <= value <= wire.high:
            raise SettingFault(wire.fault, f"{wire.name} is {value}")
        if wire is _CONNECT_PROTOCOL and not value and changes.get(wire.name, current.enableConnectProtocol):
            # RFC 8441 section 3; also within one frame, whose entries count in their order.
            raise SettingFault(ErrorCode.PROTOCOL_ERROR, "enableConnectProtocol was taken back")
        changes[wire.name] = bool(value) if wire.boolean else value
    return replace(current, **changes, customSettings=custom)  # type: ignore[arg-type]


class Rate(NamedTuple):
    """
    A budget that refills: so many at once, and so many more each second.
    """

    burst: int
    perSecond: float


@dataclass(frozen=True)
class Limits:
    """
    What one session may cost: budgets against a hostile peer, and caps on what is held for a slow one.

    @ivar headerFields: fields in one received header list; more is a stream error.  256 (Envoy 100, Node 128).
    @ivar continuationFrames: CONTINUATION frames in one header block.  16 (nghttp2 8, hyper at least 5).
    @ivar headerBlockBytes: bytes of one header block before it is decoded.  80 KiB: a full list uncompressed.
    @ivar settingsEntries: entries in one SETTINGS frame.  32 (nghttp2, Node).
    @ivar resets: streams that end before their time because of the peer: RST_STREAM received, resets it makes us send,
        requests refused as malformed.  200 and 33 a second (nghttp2 1,000 and 33; Netty 200 in 30 s).
    @ivar refusedStreams: requests above C{maxConcurrentStreams} in a row, without one accepted.  100 (Node).
    @ivar controlFrames: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, unknown and empty frames.  1,000 and 100 a second; each
        DATA frame we send adds to what is allowed, since it earns a WINDOW_UPDATE (Envoy's rule).
    @ivar repliesOwed: bytes of acknowledgements and resets waiting for a peer that does not read.  64 KiB (twisted.web
        17 KiB).
    @ivar informationalResponses: 1xx responses to one request.  100.  Together they may be as long as one header list (Go).
    @ivar unreadBytes: bytes of all bodies that arrived and that no application has read; above it the connection window
        stays shut.  16 MiB.
    @ivar sessionBytes: bytes held for the peer in all (bodies queued and unread, open streams and their headers, HPACK
        tables, replies owed), above which new streams are refused with ENHANCE_YOUR_CALM.  64 MiB (Node 10 MB).
    @ivar connectionWindow: bytes the peer may send on all streams together before we credit them.  1 MiB (Go, hyper).
    @ivar maxStreamWindow: how far a stream's window grows by itself while its body is read as fast as it comes.  4 MiB; one
        of C{initialWindowSize} or less keeps it as it is.
    @ivar maxConnectionWindow: how far the connection's window does.  16 MiB.
    @ivar sendHeaderBytes: bytes of the largest header list that is sent, counted as RFC 9113 section 6.5.2 says; a longer
        one is not, see L{SessionListener.frameNotSent<txh2session.SessionListener.frameNotSent>}.  64 KiB (nghttp2).
    @ivar sendHighWater: bytes queued on a stream at which its producer is paused.  32 KiB: two full frames.
    @ivar sendLowWater: bytes queued on a stream at which its producer is resumed.
    @ivar encoderTableSize: bytes of the HPACK table used for sending, whatever the peer offers.  4,096 (everyone).
    @ivar reservedStreams: pushes a client has been promised and that have not begun; more are refused.  200 (Node).
    @ivar originSet: origins a client's C{originSet} holds; a server that names more is not listened to.  128 (Node).
    @ivar assumedConcurrentStreams: requests a client sends before the server's SETTINGS arrive.  100 (Node).
    @ivar outstandingPings: PINGs of ours without an answer.  10 (Node).
    @ivar outstandingSettings: SETTINGS of ours without an acknowledgement, the first included.  10 (Node).
    """

    headerFields: int = 256
    continuationFrames: int = 16
    headerBlockBytes: int = 80 * 1024
    settingsEntries: int = 32
    resets: Rate = Rate(200, 33)
    refusedStreams: int = 100
    controlFrames: Rate = Rate(1000, 100)
    repliesOwed: int = 64 * 1024
    informationalResponses: int = 100
    unreadBytes: int = 16 * 1024 * 1024
    sessionBytes: int = 64 * 1024 * 1024
    connectionWindow: int = 1024 * 1024
    maxStreamWindow: int = 4 * 1024 * 1024
    maxConnectionWindow: int = 16 * 1024 * 1024
    sendHeaderBytes: int = 64 * 1024
    sendHighWater: int = 32 * 1024
    sendLowWater: int = 16 * 1024
    encoderTableSize: int = 4096
    reservedStreams: int = 200
    originSet: int = 128
    assumedConcurrentStreams: int = 100
    outstandingPings: int = 10
    outstandingSettings: int = 10

    def __post_init__(self) -> None:
        """
        Check every value.

        @raise InvalidSetting: naming the limit and what is allowed.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(each.default, Rate):
                if not isinstance(value, Rate):
                    raise InvalidSetting(f"{each.name} is a Rate, not {value!r}")
                _checkInteger(f"{each.name}.burst", value.burst, 1, MAX_WINDOW)
                _checkNumber(f"{each.name}.perSecond is a number", value.perSecond)
                continue
            low = 0 if each.name in ("continuationFrames", "encoderTableSize", "sendLowWater") else 1
            _checkInteger(each.name, value, low, MAX_WINDOW)
        if self.connectionWindow < DEFAULT_WINDOW:
            raise InvalidSetting(f"connectionWindow is at least {DEFAULT_WINDOW}: no frame makes it smaller")
        if self.sendLowWater >= self.sendHighWater:
            raise InvalidSetting("sendLowWater is below sendHighWater")


@dataclass(frozen=True)
class Keepalive:
    """
    How a session finds out that its peer is gone: a PING after silence.

    It is off unless asked for, as everywhere: some servers punish clients that PING more often than every few minutes.

    @ivar interval: seconds without a byte from the peer after which a PING is sent.
    @ivar timeout: seconds to wait for its answer; then the session is destroyed.  20 (hyper; Go 15).
    @ivar always: whether to do so while no stream is open, too.
    """

    interval: float
    timeout: float = 20.0
    always: bool = False

    def __post_init__(self) -> None:
        """
        Check every value.

        @raise InvalidSetting: for what is not a number of seconds above 0.
        """
        for name in ("interval", "timeout"):
            if not checkSeconds(name, getattr(self, name)):
                raise InvalidSetting(f"{name} of a Keepalive is above 0")


@dataclass(frozen=True)
class Timeouts:
    """
    How long things may take, in seconds; 0 switches one off.

    @ivar connect: from the call of C{connect()} to a usable session.  30 (twisted.web's Agent).
    @ivar handshake: TLS handshake of a server.  10 (Go, Netty).
    @ivar preface: from the connection to the peer's first SETTINGS.  10 (Go).
    @ivar settingsAck: from our SETTINGS to their acknowledgement; then SETTINGS_TIMEOUT.  10 (nghttpx).
    @ivar idle: without any open stream until a session closes itself.  L{None} means 60 on a server (twisted.web) and
        never on a client.
    @ivar headers: from the first byte of a header block to its last.  10 (security: a block that drips).
    @ivar stalled: how long the peer may take nothing of a body that waits for it; then the stream is reset with CANCEL.
        60.
    @ivar upload: how long the rest of a request's body may keep a reader waiting, on a server that has not begun to answer;
        then the stream is reset with CANCEL.  60.
    @ivar request: from the call of C{request()} to the end of the answer, on a client; then the stream is reset with
        CANCEL.  Never unless given here or with the request.
    @ivar keepalive: how to find out that the peer is gone; L{None} for not at all.
    @ivar drain: how long a server that closes waits for the answer to its PING before it names its last stream.  5.
    @ivar unread: how long a client may go on with an upload that nobody reads once it has its answer; then it is reset with
        NO_ERROR.  1: short rests arrive by themselves, and some clients take the reset for a failure of the answer.
    @ivar linger: how long a closing session keeps reading, so that its GOAWAY reaches the peer.  1 (Go).
    @ivar closing: how long what was written may take after that to reach a slow reader, until the connection is aborted.
    """

    connect: float = 30.0
    handshake: float = 10.0
    preface: float = 10.0
    settingsAck: float = 10.0
    idle: float | None = None
    headers: float = 10.0
    stalled: float = 60.0
    upload: float = 60.0
    request: float = 0.0
    keepalive: Keepalive | None = None
    drain: float = 5.0
    unread: float = 1.0
    linger: float = 1.0
    closing: float = 15.0

    def __post_init__(self) -> None:
        """
        Check every value.

        @raise InvalidSetting: for what is not a number of seconds.
        """
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "keepalive":
                if not (value is None or isinstance(value, Keepalive)):
                    raise InvalidSetting(f"keepalive is a Keepalive or None, not {value!r}")
            elif not (value is None and each.name == "idle"):
                checkSeconds(each.name, value)


@dataclass(frozen=True)
class Options:
    """
    How messages are made and judged.

    @ivar padding: how much padding DATA, HEADERS and PUSH_PROMISE frames get, where their windows leave room for it (Node's
        reference 11.28).
    @ivar strictFieldWhitespace: whether a received message is malformed if a field's value begins or ends with a blank or a
        tab, as RFC 9113 section 8.2.1 has it.  False hands such values on as they came, blanks included: for proxies and
        tests that meet peers who send them (Node's reference 11.34).
    @ivar strictSingleValues: whether fields that have one value only, such as C{content-type}, are refused on the way out
        when they are given twice.  False sends them; pseudo-header fields, C{content-length} and C{host} stay single
        (Node's reference 11.35).
    """

    padding: PaddingStrategy = PaddingStrategy.NONE
    strictFieldWhitespace: bool = True
    strictSingleValues: bool = True

    def __post_init__(self) -> None:
        """
        Check every value.

        @raise InvalidSetting: for what is not of the field's type.
        """
        if not isinstance(self.padding, PaddingStrategy):
            raise InvalidSetting(f"padding is a PaddingStrategy, not {self.padding!r}")
        for name in ("strictFieldWhitespace", "strictSingleValues"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidSetting(f"{name} is True or False, not {getattr(self, name)!r}")


def checkSeconds(name: str, value: object) -> float:
    """
    Check a duration.

    @return: the same as a float.

    @raise InvalidSetting: for a negative one, one that is not finite, or none at all.
    """
    return _checkNumber(f"{name} is a number of seconds", value)


def _checkNumber(what: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidSetting(f"{what}, not {value!r}")
    if not 0 <= value <= _LONGEST:
        raise InvalidSetting(f"{what} from 0 to {_LONGEST}, not {value!r}")
    return float(value)


_LONGEST: Final = 2**31 - 1
"""Seconds: 68 years.  What is longer, infinity included, no clock takes: never is spelled 0."""
