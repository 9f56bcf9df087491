"""
The engine on h2: bytes in, calls on its owner out, verbs back, bytes out.  The only file that imports h2.

What h2 does here: HPACK, the building of header and data frames, the arithmetic of windows, the state machine of each
open stream.  What it is kept from, and why:

  - GOAWAY, in either direction, since h2 then refuses every further frame, also for streams that may finish.
  - Our settings, since it enforces them before the peer can know them, and with the end of the connection.
  - DATA, since it takes each frame apart again, keeps windows of its own that can only be given back together, and counts
    content-length with the end of the connection for a wrong one.  It is told where a body ends.
  - Streams above our limit, late frames on streams that are over, malformed messages: h2 ends the connection for them,
    RFC 9113 only the stream.  Their header blocks are decoded all the same, to keep HPACK in step.

So the table of open streams here is the one that counts, and h2's agrees with it for every stream in it.  After an
exception from h2 for one stream's frame, h2 has queued a GOAWAY and closed itself; both are undone, which the fuzz tests
hold to account.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    AlternativeServiceAvailable,
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    PingAckReceived,
    PingReceived,
    PriorityUpdated,
    PushedStreamReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    SettingsAcknowledged,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.exceptions import DenialOfServiceError, FlowControlError, H2Error, ProtocolError
from h2.settings import SettingCodes
from h2.settings import Settings as H2Settings
from h2.stream import StreamInputs
from hpack import HPACKError, NeverIndexedHeaderTuple
from hpack.table import HeaderTable, table_entry_size
from hyperframe.frame import HeadersFrame, PushPromiseFrame

from txh2session import _frames as frames
from txh2session._engine import EngineOwner, EngineState, StreamWindows
from txh2session._fields import Field
from txh2session._frames import ConnectionFault, paddingFor
from txh2session._limits import Account
from txh2session._outlet import Outlet
from txh2session._priority import Priority
from txh2session._rules import FrameRules
from txh2session._streamrules import StreamFault
from txh2session._streams import Record
from txh2session._tuning import WindowTuner
from txh2session.constants import PaddingStrategy, SettingID
from txh2session.errors import ErrorCode
from txh2session.headers import Headers
from txh2session.settings import (
    MAX_WINDOW,
    Limits,
    Options,
    Settings,
    packEntries,
)

IGNORED_EVENTS: Final = {
    DataReceived: "h2 never sees DATA: its windows and lengths are counted by the rules",
    StreamEnded: "an attribute of the event that carries END_STREAM says it",
    PingReceived: "told when the frame is cut; h2 queues the answer",
    PingAckReceived: "told when the frame is cut",
    SettingsAcknowledged: "our settings are kept here, not in h2",
    RemoteSettingsChanged: "the frame is read here; h2 gets what it needs of it",
    ConnectionTerminated: "h2 never sees a GOAWAY",
    PriorityUpdated: "RFC 9113 section 5.3.2: the old priorities are ignored",
    UnknownFrameReceived: "h2 never sees a frame it does not know",
    AlternativeServiceAvailable: "h2 never sees an ALTSVC",
}
"""The events of h2 that need no method here, and why."""


def _unprinted() -> str:
    return ""


class _Connection(H2Connection):
    """
    h2's connection without three costs that grow with what others send: a walk over all streams to count them, a record
    of every stream there ever was, and a hex dump of each frame for a log that nobody reads.
    """

    MAX_CLOSED_STREAMS = 64

    @property
    def open_outbound_streams(self) -> int:
        """
        Streams are counted, and refused, by the multiplexer.
        """
        return 0

    open_inbound_streams = open_outbound_streams

    def _receive_frame(self, frame: Any) -> list[Event]:
        frame._body_repr = _unprinted
        return super()._receive_frame(frame)


class _Values(list[int]):
    """
    Values of one setting, the current first.  h2 keeps them in deques, which take 760 bytes each to hold one number: ten
    kilobytes for each connection.
    """

    def popleft(self) -> int:
        """See L{collections.deque}."""
        return self.pop(0)


class _SlimSettings(H2Settings):
    """
    h2's settings of one side, in a tenth of the memory.
    """

    def __init__(self, client: bool, **initial: int) -> None:
        """
        @param initial: values by the names of L{SettingCodes}.
        """
        super().__init__(client, {SettingCodes[name]: value for name, value in initial.items()})
        table: Any = getattr(self, "_settings", None)
        if isinstance(table, dict):  # not h2's to promise: without it a session takes more memory, and works
            for key, values in table.items():
                table[key] = _Values(values)


_CONFIGURATIONS: Final = {
    client: H2Configuration(
        client_side=client,
        header_encoding=None,
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
        validate_inbound_headers=False,
        normalize_inbound_headers=False,
    )
    for client in (False, True)
}
"""What h2 leaves to us, on servers and on clients."""


class _PaddingConnection(_Connection):
    """
    The same, whose HEADERS and PUSH_PROMISE frames are padded; DATA is not h2's to send.
    """

    padding = PaddingStrategy.NONE

    def _prepare_for_sending(self, frames: list[Any]) -> None:
        for frame in frames:
            if isinstance(frame, (HeadersFrame, PushPromiseFrame)):
                length = len(frame.serialize_body())
                extra = paddingFor(self.padding, length, self.max_outbound_frame_size - length)
                if extra:
                    frame.flags.add("PADDED")
                    frame.pad_length = extra - 1
        super()._prepare_for_sending(frames)


class Multiplexer(FrameRules):
    """
    One HTTP/2 connection.  See L{Engine<txh2session._engine.Engine>} for the verbs.
    """

    __slots__ = (
        "_conn",
        "_connectionFixed",
        "_creditGiven",
        "_outlet",
        "_seconds",
        "_tuner",
    )

    def __init__(
        self,
        owner: EngineOwner,
        client: bool,
        settings: Settings,
        limits: Limits,
        options: Options,
        account: Account | None = None,
    ) -> None:
        """
        @param account: where to count what this connection holds, together with others.
        """
        super().__init__(owner, client, settings, limits, options, Account(account))
        self._conn = self._makeConnection(settings)
        self._outlet = Outlet(
            self._conn,
            self._table,
            _encodable,
            self._endSentBelow,
            limits.sendHighWater,
            limits.sendLowWater,
            options.padding,
            self._account,
        )
        self._tuner = WindowTuner()
        self._creditGiven = 0.0
        self._connectionFixed = False
        self._seconds: Callable[[], float] = float

    def _makeConnection(self, settings: Settings) -> _Connection:
        """
        Set h2 up so that it never enforces a setting the peer may not know yet: its own limits are out of reach.
        """
        configuration = _CONFIGURATIONS[self._client]
        if self._options.padding:
            conn: _Connection = _PaddingConnection(configuration)
            conn.padding = self._options.padding  # type: ignore[attr-defined]
        else:
            conn = _Connection(configuration)
        conn.local_settings = _SlimSettings(
            self._client, ENABLE_PUSH=int(self._client), MAX_CONCURRENT_STREAMS=MAX_WINDOW
        )
        conn.remote_settings = _SlimSettings(not self._client)
        conn.max_inbound_frame_size = 2**24 - 1
        # Beyond four times the list we announced the block is not even decoded to its end.
        conn.decoder.max_header_list_size = min(MAX_WINDOW, 4 * settings.maxHeaderListSize)
        conn.decoder.max_allowed_table_size = max(4096, settings.headerTableSize)
        conn.encoder.header_table_size = min(4096, self._limits.encoderTableSize)
        return conn

    def start(self, seconds: Callable[[], float]) -> None:
        """See L{Engine}."""
        self._seconds = seconds
        self._now = seconds()
        self._conn.initiate_connection()
        self._conn.clear_outbound_data_buffer()
        preface = b""
        if self._client:
            preface = frames.PREFACE
        else:
            self._conn.receive_data(frames.PREFACE)  # the splitter has checked, or will check, the peer's
        self._emit(preface + frames.buildFrame(frames.SETTINGS, 0, 0, self._initialEntries(self._announced[0])))
        self._resizeConnection(self._limits.connectionWindow)

    def _initialEntries(self, settings: Settings) -> bytes:
        entries = settings.entries()
        if not self._client:
            # ENABLE_PUSH is a client's to send (RFC 9113 section 6.5.2).
            entries = [entry for entry in entries if entry[0] != SettingID.ENABLE_PUSH]
        return packEntries(entries)

    def stop(self) -> None:
        """See L{Engine}."""
        self._stopped = True
        self._splitter.drop()
        self._owed = 0
        self._outlet.clear()
        self._table.clear()
        self._account.close()

    # -----------------------------------------------------------------------------------------------------------------
    # h2: frames in, events out

    def _feed(self, raw: bytes) -> None:
        """
        Give a frame to h2 and work off its events.

        @raise ConnectionFault: if h2 objects in a way that concerns the connection.
        @raise StreamFault: if it concerns the stream only; h2 is usable again.
        """
        conn = self._conn
        state = conn.state_machine.state
        try:
            events = conn.receive_data(raw)
        except DenialOfServiceError as error:
            self._undoTermination(state)
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "a header list far too long", "maxHeaderListSize"
            ) from error
        except FlowControlError as error:
            self._undoTermination(state)
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, str(error)) from error
        except ProtocolError as error:
            self._undoTermination(state)
            if isinstance(error.__cause__, (HPACKError, IndexError, TypeError, UnicodeDecodeError)):
                raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, str(error)) from error
            raise StreamFault(errorCodeOf(error), str(error)) from error
        for event in events:
            EVENTS[event.__class__](self, event)

    def _undoTermination(self, state: Any) -> None:
        """
        Take back what h2 does before it raises: a GOAWAY at the end of its output, and the closed state.
        """
        waiting = self._conn.data_to_send()
        ours = len(waiting) - len(frames.buildGoAway(0, 0))
        if ours > 0:
            self._outlet.putBack(waiting[:ours])
        self._conn.state_machine.state = state

    def _requestReceived(self, event: RequestReceived) -> None:
        self._requestArrived(event.stream_id or 0, _fields(event.headers), event.stream_ended is not None)

    def _responseReceived(self, event: ResponseReceived) -> None:
        self._responseArrived(event.stream_id or 0, _fields(event.headers), event.stream_ended is not None)

    def _informationReceived(self, event: InformationalResponseReceived) -> None:
        self._informationArrived(event.stream_id or 0, _fields(event.headers))

    def _trailersReceived(self, event: TrailersReceived) -> None:
        self._trailersArrived(event.stream_id or 0, _fields(event.headers))

    def _pushReceived(self, event: PushedStreamReceived) -> None:
        self._promiseArrived(event.parent_stream_id or 0, event.pushed_stream_id or 0, _fields(event.headers))

    def _windowUpdated(self, event: WindowUpdated) -> None:
        self._outlet.unblock(event.stream_id or 0)

    def _streamReset(self, event: StreamReset) -> None:
        self._outlet.framesSent += 1
        self._resetBelow(event.stream_id or 0, ErrorCode(int(event.error_code or 0)))

    def _ignored(self, event: Event) -> None:
        """
        See L{IGNORED_EVENTS}.
        """

    # -----------------------------------------------------------------------------------------------------------------
    # What the rules ask for

    def _emit(self, frame: bytes) -> None:
        self._outlet.emit(frame)

    def _decode(self, fragment: bytes) -> int:
        """See L{FrameRules._decode}."""
        try:
            return len(list(self._conn.decoder.decode(fragment, raw=True)))
        except (HPACKError, IndexError, TypeError, UnicodeDecodeError) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"error decoding header block: {error}") from error

    def _tablesHeld(self) -> int:
        conn = self._conn
        return int(conn.encoder.header_table_size) + int(conn.decoder.header_table_size)

    def _endSentBelow(self, streamID: int) -> None:
        self._conn.streams[streamID].state_machine.process_input(StreamInputs.SEND_END_STREAM)

    def _endBelow(self, streamID: int) -> None:
        self._conn.streams[streamID].state_machine.process_input(StreamInputs.RECV_END_STREAM)

    def _forgetBelow(self, streamID: int) -> None:
        self._outlet.forget(streamID)
        self._conn.streams.pop(streamID, None)

    def _giveCredit(self) -> None:
        due = self._credit.due()
        if not due:
            return
        now = self._seconds()
        window = self._credit.window
        # While much lies unread it is not the window that holds the peer up.
        if self._creditGiven and not self._connectionFixed and self._credit.unread <= self._limits.connectionWindow:
            grown = self._tuner.grown(window, now - self._creditGiven, self._limits.maxConnectionWindow)
            if grown > window:
                due += self._credit.resize(grown)
        self._creditGiven = now
        self._emit(frames.buildWindowUpdate(0, due))

    def _creditStream(self, record: Record) -> None:
        """
        Give a stream's window back once half of it is due, and more of it if it is what holds the peer up.
        """
        due = record.credit * 2 >= (record.window or self.localSettings.initialWindowSize)
        if not (due and record.credit and record.remoteOpen):
            return
        now = self._seconds()
        window = record.window or self.localSettings.initialWindowSize
        credit, record.credit = record.credit, 0
        if record.updatedAt:
            grown = self._tuner.grown(window, now - record.updatedAt, self._limits.maxStreamWindow)
            if record.allowance + credit + grown - window <= MAX_WINDOW - self._windowComing:
                credit += grown - window
                window = grown
        record.window = window
        record.updatedAt = now
        record.allowance += credit
        self._emit(frames.buildWindowUpdate(record.streamID, credit))
        if window < self._limits.maxStreamWindow:
            self._measure(now)

    def _roundTripMeasured(self, payload: bytes) -> bool:
        return self._tuner.answer(payload, self._now)

    def _measure(self, now: float) -> None:
        """
        Find out the round trip, now that windows are being spent.
        """
        question = self._tuner.question(now)
        if question is not None:
            self.ping(question)

    def _windowsGrew(self) -> None:
        self._outlet.unblockAll()

    def _applyRemoteSettings(self, settings: Settings, smallestTable: int) -> None:
        """
        Let h2 apply, and acknowledge, what it acts upon of the peer's settings.
        """
        # The encoder is set here, and only when it changes: told the same size twice it forgets to tell the peer.
        encoder = self._conn.encoder
        cap = self._limits.encoderTableSize
        for size in (min(smallestTable, cap, encoder.header_table_size), min(settings.headerTableSize, cap)):
            if size != encoder.header_table_size:
                encoder.header_table_size = size
        # hpack would tell of all the sizes there were between two blocks.
        encoder.table_size_changes = _changesToTell(encoder.table_size_changes)
        self._outlet.framesSent += 1  # the acknowledgement
        entries = [
            (SettingID.INITIAL_WINDOW_SIZE, settings.initialWindowSize),
            (SettingID.MAX_FRAME_SIZE, settings.maxFrameSize),
        ]
        self._feed(frames.buildFrame(frames.SETTINGS, 0, 0, packEntries(entries)))

    def _applyLocalSettings(self, settings: Settings) -> None:
        conn = self._conn
        conn.decoder.max_header_list_size = min(MAX_WINDOW, 4 * settings.maxHeaderListSize)
        conn.decoder.max_allowed_table_size = settings.headerTableSize

    # -----------------------------------------------------------------------------------------------------------------
    # Verbs

    def freeStreams(self) -> int:
        """See L{Engine}."""
        limit = self.remoteSettings.maxConcurrentStreams
        if not self.framesReceived:
            limit = min(limit, self._limits.assumedConcurrentStreams)
        return max(limit - self._table.localCount, 0)

    def openStream(self, headers: Headers, end: bool) -> int:
        """See L{Engine}."""
        if self._table.nextLocal > MAX_WINDOW or self._stopped:
            return 0
        record = self._table.openLocal(localOpen=True)
        record.allowance = self._streamWindow
        record.method = headers.get(b":method", b"")
        self._outlet.sendHeaders(record, headers, end)
        return record.streamID

    def push(self, parentID: int, headers: Headers) -> int:
        """See L{Engine}."""
        parent = self._streams.get(parentID)
        if parent is None or not parent.localOpen or self._table.nextLocal > MAX_WINDOW:
            return 0
        record = self._table.openLocal(localOpen=True, remoteOpen=False)
        record.reserved = True
        record.method = headers.get(b":method", b"")
        self._outlet.framesSent += 1
        self._conn.push_stream(parentID, record.streamID, _encodable(headers))
        return record.streamID

    def sendHeaders(self, streamID: int, headers: Headers, end: bool) -> None:
        """See L{Engine}."""
        record = self._streams.get(streamID)
        if record is None or not record.localOpen:
            return
        self._outlet.sendHeaders(record, headers, end)
        if end:
            self._halfClosed(record)

    def sendInformation(self, streamID: int, headers: Headers) -> None:
        """See L{Engine}."""
        record = self._streams.get(streamID)
        if record is not None:
            self._outlet.sendHeaders(record, headers, False)

    def write(self, streamID: int, data: bytes) -> int:
        """See L{Engine}."""
        record = self._streams.get(streamID)
        if record is None or not record.localOpen:
            return 0
        return self._outlet.write(record, data)

    def end(self, streamID: int, trailers: Headers | None) -> None:
        """See L{Engine}."""
        record = self._streams.get(streamID)
        if record is None or not record.localOpen:
            return
        self._outlet.end(record, trailers)
        if not record.localOpen:
            self._halfClosed(record)

    def stalled(self) -> list[int]:
        """See L{Engine}."""
        return self._outlet.stalled()

    def reset(self, streamID: int, code: int) -> None:
        """See L{Engine}."""
        if self._remove(streamID, wasReset=True) is not None:
            self._controls.earn(_IN_FLIGHT)
            self._emit(frames.buildReset(streamID, code))

    def forget(self, streamID: int) -> None:
        """See L{Engine}."""
        self._remove(streamID, wasReset=True)

    def consumed(self, streamID: int, size: int) -> None:
        """See L{Engine}."""
        self._credit.read(size)
        if self._stopped:
            return
        self._giveCredit()
        record = self._streams.get(streamID)
        if record is not None:
            record.credit += size
            self._creditStream(record)

    def setConnectionWindow(self, size: int) -> None:
        """See L{Engine}."""
        if self._stopped:
            return
        self._connectionFixed = True
        self._resizeConnection(size)

    def _resizeConnection(self, size: int) -> None:
        due = self._credit.resize(size)
        if due:
            self._emit(frames.buildWindowUpdate(0, due))

    def ping(self, payload: bytes) -> None:
        """See L{Engine}."""
        if not self._stopped:
            self._emit(frames.buildFrame(frames.PING, 0, 0, payload))

    @property
    def _windowComing(self) -> int:
        """
        By how much the peer will enlarge its streams' windows for SETTINGS of ours that it has not acknowledged.
        """
        return self._announced[-1].initialWindowSize - self._streamWindow

    @property
    def windowRoom(self) -> int:
        """See L{Engine}."""
        largest = max((record.allowance for record in self._streams.values() if record.remoteOpen), default=0)
        return MAX_WINDOW - self._windowComing - largest

    def settings(self, settings: Settings) -> None:
        """See L{Engine}."""
        if self._stopped:
            return
        payload = packEntries(settings.entries(self._announced[-1]))
        self._announced.append(settings)
        # The peer may use a larger frame as soon as it has seen this.
        self._splitter.maxFrameSize = max(self._splitter.maxFrameSize, settings.maxFrameSize)
        self._emit(frames.buildFrame(frames.SETTINGS, 0, 0, payload))

    def goAway(self, code: int, lastStreamID: int | None, debugData: bytes) -> int:
        """See L{Engine}."""
        last = self._lastProcessed if lastStreamID is None else lastStreamID
        self._goAwayLast = min(last, self._goAwayLast)
        self._emit(frames.buildGoAway(self._goAwayLast, code, debugData))
        return self._goAwayLast

    def setNextStreamID(self, streamID: int) -> bool:
        """See L{Engine}."""
        if not self._table.isLocal(streamID) or streamID < self._table.nextLocal:
            return False
        self._table.nextLocal = streamID
        return True

    def setPriority(self, streamID: int, priority: Priority) -> None:
        """See L{Engine}."""
        if streamID in self._streams:
            self._outlet.setPriority(streamID, priority.urgency, priority.incremental)

    def updatePriority(self, streamID: int, priority: Priority) -> None:
        """See L{Engine}."""
        if streamID in self._streams and not self._stopped:
            self._emit(frames.buildPriorityUpdate(streamID, priority.field))

    def altSvc(self, value: bytes, origin: bytes, streamID: int) -> None:
        """See L{Engine}."""
        if not self._stopped:
            self._emit(frames.buildAltSvc(value, origin, streamID))

    def origin(self, origins: Sequence[bytes]) -> None:
        """See L{Engine}."""
        if not self._stopped:
            self._emit(frames.buildOrigin(origins))

    def bytesToSend(self, maximum: int) -> bytes:
        """See L{Engine}."""
        outlet = self._outlet
        size = 0
        while size < maximum:
            sent = outlet.nextFrame()
            if sent is None:
                break
            record, length = sent
            size += length
            self._controls.earn(2)  # a WINDOW_UPDATE for the stream and one for the connection
            if not record.localOpen:
                self._halfClosed(record)
            elif outlet.hasRoomAgain(record):
                self._owner.drained(record.streamID)
        self._owed = 0
        return outlet.control()

    # -----------------------------------------------------------------------------------------------------------------
    # Facts

    def state(self) -> EngineState:
        """See L{Engine}."""
        conn = self._conn
        return EngineState(
            localWindow=self._credit.available,
            remoteWindow=conn.outbound_flow_control_window,
            nextStreamID=self._table.nextLocal,
            lastProcessedStreamID=self._lastProcessed,
            localStreams=self._table.localCount,
            remoteStreams=self._table.remoteCount,
            heldBytes=self._heldBytes(),
            queuedBytes=sum(each.queue.size for each in self._streams.values() if each.queue is not None),
            unreadBytes=self._credit.unread,
            resetsSpent=self._resets.spent,
            controlFramesSpent=self._controls.spent,
            refusedStreams=self._refused,
            repliesOwed=self._owed,
            encoderTable=_tableBytes(conn.encoder.header_table),
            decoderTable=_tableBytes(conn.decoder.header_table),
        )

    @property
    def framesSent(self) -> int:
        """See L{Engine}."""
        return self._outlet.framesSent

    @property
    def streamsOpened(self) -> int:
        """See L{Engine}."""
        return self._table.opened

    @property
    def mostStreams(self) -> int:
        """See L{Engine}."""
        return self._table.most

    def streamWindows(self, streamID: int) -> StreamWindows | None:
        """See L{Engine}."""
        record = self._streams.get(streamID)
        if record is None:
            return None
        stream = self._conn.streams[streamID]
        return StreamWindows(
            localWindow=record.allowance,
            remoteWindow=stream.outbound_flow_control_window,
            queuedBytes=0 if record.queue is None else record.queue.size,
        )


def _fields(headers: Any) -> list[Field]:
    """
    Read the header list of an event; h2's type for it allows text, which it does not make here.
    """
    fields: list[Field] = headers
    return fields


def _encodable(headers: Headers) -> Any:
    """
    Make a list the HPACK encoder takes: fields that are secret never enter its table (RFC 7541 section 7.1.3).
    """
    fields = headers.rawHeaders
    sensitive = headers.sensitive
    for position, (name, value) in enumerate(fields):
        if name in _ALWAYS_SECRET or (name == b"cookie" and len(value) < 20) or name in sensitive:
            fields[position] = NeverIndexedHeaderTuple(name, value)
    return fields


_IN_FLIGHT: Final = 4
"""What may be under way on a stream that we reset, of what counts as control frames then: two header blocks, and updates of
two windows."""

_ALWAYS_SECRET: Final = frozenset({b"authorization", b"proxy-authorization"})


def _tableBytes(table: HeaderTable) -> int:
    return sum(table_entry_size(name, value) for name, value in table.dynamic_entries)


def _changesToTell(sizes: list[int]) -> list[int]:
    """
    Choose the table sizes to tell the peer before the next header block: the smallest and the last (RFC 7541 section 4.2).
    """
    last = sizes[-1:]
    return [min(sizes), *last] if sizes and min(sizes) < sizes[-1] else last


def errorCodeOf(error: H2Error) -> ErrorCode:
    """
    Read the code h2 gives to one of its exceptions.
    """
    code = getattr(error, "error_code", ErrorCodes.PROTOCOL_ERROR)
    return ErrorCode(int(code))


EVENTS: Final[dict[type[Event], Callable[[Multiplexer, Any], None]]] = {
    RequestReceived: Multiplexer._requestReceived,
    ResponseReceived: Multiplexer._responseReceived,
    InformationalResponseReceived: Multiplexer._informationReceived,
    TrailersReceived: Multiplexer._trailersReceived,
    WindowUpdated: Multiplexer._windowUpdated,
    PushedStreamReceived: Multiplexer._pushReceived,
    StreamReset: Multiplexer._streamReset,
    **dict.fromkeys(IGNORED_EVENTS, Multiplexer._ignored),
}
"""What takes each of h2's events."""
