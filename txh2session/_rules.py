"""
The rules of RFC 9113 for what a peer sends, frame by frame: which frames may come when, what a wrong one costs (the
stream or the connection), and the budgets of L{Limits<txh2session.Limits>}.

This is where strictness lives, apart from the engine that does the work: of h2 it knows only the hooks at the end, which
L{Multiplexer<txh2session._multiplexer.Multiplexer>} fills in.  Each frame is judged before h2 sees it, since h2 takes many
stream errors for the end of the connection and applies what it should refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from txh2session import _frames as frames
from txh2session._credit import ConnectionCredit
from txh2session._engine import EngineOwner
from txh2session._fields import Field
from txh2session._frames import ConnectionFault, FrameSplitter, OtherProtocol
from txh2session._limits import Account, TokenBucket
from txh2session._messages import (
    MalformedMessage,
    checkRequest,
    checkResponse,
    checkTrailers,
    listSize,
)
from txh2session._priority import Priority, parsePriority
from txh2session._streams import Record, StreamTable
from txh2session.constants import SettingID
from txh2session.errors import ErrorCode, Initiator
from txh2session.headers import Headers
from txh2session.settings import (
    DEFAULT_WINDOW,
    MAX_WINDOW,
    Limits,
    Options,
    SettingFault,
    Settings,
    applyReceived,
    unpackEntries,
)

_RESERVED: Final = 0x80000000
_EARNED_AT_MOST: Final = 200_000
"""How many control frames a peer may save up by receiving DATA: two for each frame of a gigabyte."""


class StreamFault(Exception):
    """
    The peer broke a rule whose penalty is the end of one stream (RFC 9113 section 5.4.2), and C{cost} of C{Limits.resets}.
    """

    def __init__(self, code: ErrorCode, message: str, cost: int = 1) -> None:
        super().__init__(message)
        self.code = code
        self.cost = cost


class FrameRules:
    """
    Judges what a peer sends and tells the owner what of it counts.

    @ivar localSettings: ours, as the peer has acknowledged them.
    @ivar remoteSettings: the peer's, as last received.
    """

    def __init__(
        self,
        owner: EngineOwner,
        client: bool,
        settings: Settings,
        limits: Limits,
        options: Options,
        account: Account,
    ) -> None:
        self._owner = owner
        self._client = client
        self._limits = limits
        self._options = options
        self._strictBlanks = options.strictFieldWhitespace
        self.localSettings = Settings.initial()
        self.remoteSettings = Settings.initial()
        self._announced = [settings]
        self._splitter = FrameSplitter(not client, settings.maxFrameSize, limits)
        self._account = account
        self._table = StreamTable(client, account)
        self._streams = self._table.open
        self._credit = ConnectionCredit(DEFAULT_WINDOW, limits.unreadBytes, account)
        self._resets = TokenBucket(limits.resets, 0.0)
        self._controls = TokenBucket(limits.controlFrames, 0.0, _EARNED_AT_MOST)
        # Until the peer has acknowledged a smaller window, it may know of 65,535 only.
        self._streamWindow = max(DEFAULT_WINDOW, settings.initialWindowSize)
        self._earlyPriorities: dict[int, Priority] = {}
        self.framesReceived = 0
        self._lastProcessed = 0
        self._goAwayLast = MAX_WINDOW
        self._owed = 0
        self._lost = 0
        self._wrapped = 0
        self._refused = 0
        self._now = 0.0
        self._stopped = False
        self._prefaceTaken = False
        self._frames: dict[int, Callable[[int, int, bytes], None]] = {
            frames.DATA: self._dataFrame,
            frames.HEADERS: self._headersFrame,
            frames.PRIORITY: self._priorityFrame,
            frames.RST_STREAM: self._resetFrame,
            frames.SETTINGS: self._settingsFrame,
            frames.PUSH_PROMISE: self._pushPromiseFrame,
            frames.PING: self._pingFrame,
            frames.GOAWAY: self._goAwayFrame,
            frames.WINDOW_UPDATE: self._windowUpdateFrame,
            frames.ALTSVC: self._altSvcFrame,
            frames.ORIGIN: self._originFrame,
            frames.PRIORITY_UPDATE: self._priorityUpdateFrame,
        }

    def receive(self, data: bytes, now: float) -> None:
        """See L{Engine}."""
        if self._stopped:
            return
        self._now = now
        handlers = self._frames
        try:
            for kind, flags, streamID, raw in self._splitter.feed(data):
                self.framesReceived += 1
                first, self._prefaceTaken = not self._prefaceTaken, True
                handler = handlers.get(kind)
                if handler is None:
                    self._spendControl()  # an unknown frame is ignored (RFC 9113 section 5.5), not free
                else:
                    try:
                        handler(flags, streamID, raw)
                    except StreamFault as fault:
                        self._resetForFault(streamID, fault)
                if self._stopped:
                    return
                if first:
                    self._owner.prefaceReceived()
            if self._lost:
                self._giveLost()
        except OtherProtocol as other:
            if not self._stopped:
                self.stop()
                self._owner.spokeOtherProtocol(other.speaks)
        except ConnectionFault as fault:
            self._fail(fault)

    @property
    def midBlock(self) -> bool:
        """
        Whether a header block has begun and not ended.
        """
        return self._splitter.midBlock

    def _fail(self, fault: ConnectionFault) -> None:
        """
        End the connection for what the peer did (RFC 9113 section 5.4.1); nothing reaches h2 after this.
        """
        if self._stopped:
            return
        text = f"{fault}: {fault.limit}" if fault.limit else str(fault)
        self.goAway(fault.code, None, text.encode("utf-8", "replace"))
        self.stop()
        initiator = Initiator.ABUSE if fault.limit else Initiator.PEER
        self._owner.failed(fault.code, initiator, str(fault), fault.limit)

    # -----------------------------------------------------------------------------------------------------------------
    # Budgets

    def _spendControl(self, amount: int = 1) -> None:
        if not self._controls.spend(self._now, amount):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many control frames", limit="controlFrames")

    def _spendReset(self, amount: int = 1) -> None:
        if not self._resets.spend(self._now, amount):
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many streams were reset", limit="resets")

    def _owe(self, size: int) -> None:
        """
        Count a reply that waits until the transport takes it.
        """
        self._owed += size
        if self._owed > self._limits.repliesOwed:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "replies pile up unread", limit="repliesOwed")

    # -----------------------------------------------------------------------------------------------------------------
    # Streams: ending, being reset

    def _remove(self, streamID: int, wasReset: bool) -> Record | None:
        """
        Take a stream out of every table but the short memory of closed ones.
        """
        record = self._table.close(streamID, wasReset)
        if record is not None:
            self._forgetBelow(streamID)
            if not wasReset and not self._table.isLocal(streamID):
                self._resets.earn(1)  # one that works may cancel one: honest clients do, rapid reset does not
        return record

    def _halfClosed(self, record: Record) -> None:
        """
        Take note that one half has ended; with both the stream is over.
        """
        if not record.localOpen and not record.remoteOpen:
            self._remove(record.streamID, wasReset=False)
            self._owner.streamFinished(record.streamID)
        elif not record.localOpen:
            self._owner.endSent(record.streamID)

    def _resetForFault(self, streamID: int, fault: StreamFault) -> None:
        """
        End a stream for what the peer did on it.
        """
        if streamID == 0:
            raise ConnectionFault(fault.code, str(fault))
        known = self._remove(streamID, wasReset=True) is not None
        if not known:
            self._forgetBelow(streamID)
            self._table.remember(streamID, True)
        self._emit(frames.buildReset(streamID, fault.code))
        self._owe(13)
        if known:
            self._owner.streamReset(streamID, fault.code, Initiator.PEER, str(fault))
        self._spendReset(fault.cost)

    def _resetBelow(self, streamID: int, code: ErrorCode) -> None:
        """
        Take note that the engine below has reset a stream, for a frame that its state does not allow.
        """
        self._owe(13)
        if self._remove(streamID, wasReset=True) is not None:
            self._owner.streamReset(streamID, code, Initiator.PEER, "a frame that the stream's state does not allow")
        self._spendReset()

    # -----------------------------------------------------------------------------------------------------------------
    # Frames, one method each

    def _dataFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        if streamID == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on stream 0")
        size = frames.dataLength(flags, raw)
        ended = flags & frames.END_STREAM
        if not size and not ended:
            self._spendControl()
        whole = len(raw) - frames.HEAD
        record = self._streams.get(streamID)
        if record is None or not record.remoteOpen or record.reserved:
            self._lateData(streamID, record, whole)
            return
        if not record.final and self._client:
            self._creditLost(whole)
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "DATA before the response")
        record.arrived += size
        if record.awaited is not None and (
            record.arrived > record.awaited or (ended and record.arrived != record.awaited)
        ):
            self._creditLost(whole)
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the body does not match content-length")
        record.allowance -= whole
        if not self._credit.arrived(whole, size) or record.allowance < 0:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window allows")
        record.credit += whole - size
        self._giveCredit()
        if whole > size and not ended:
            self._creditStream(record)  # of padding nobody will say that it was read
        start = frames.HEAD + (flags & frames.PADDED != 0)
        data = raw[start : start + size]
        if not ended:
            self._owner.dataReceived(streamID, data, False)
            return
        self._endBelow(streamID)
        record.remoteOpen = False
        self._owner.dataReceived(streamID, data, True)
        self._endArrived(record)

    def _lateData(self, streamID: int, record: Record | None, whole: int) -> None:
        """
        Judge DATA on a stream whose peer's half is over (RFC 9113 sections 5.1 and 6.9).
        """
        if record is not None:
            if record.reserved:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on a reserved stream")
            self._creditLost(whole)
            raise StreamFault(ErrorCode.STREAM_CLOSED, "DATA after END_STREAM")
        if self._table.isIdle(streamID):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "DATA on an idle stream")
        if not self._table.wasReset(streamID):
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, "DATA on a closed stream")
        # In flight when we reset the stream, or when the peer did: it counts for the connection's window only.
        self._creditLost(whole)

    def _creditLost(self, size: int) -> None:
        """
        Count a DATA frame that nobody gets: it takes window of the connection only, which is given back with this read.
        """
        self._lost += size
        if self._lost > self._credit.available:
            raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window allows")

    def _giveLost(self) -> None:
        """
        Give back connection window for frames that nobody got: with one frame, however many they were.
        """
        size, self._lost = self._lost, 0
        self._emit(frames.buildWindowUpdate(0, size))
        self._owe(13)

    def _headersFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        if streamID == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on stream 0")
        fragment = frames.headerFragment(raw)
        if not fragment and not flags & frames.END_STREAM:
            self._spendControl()
        record = self._streams.get(streamID)
        if record is not None:
            if not record.remoteOpen:
                if record.reserved:
                    raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "HEADERS on a stream that the server has reserved")
                self._decodeUnwanted(fragment)
                raise StreamFault(ErrorCode.STREAM_CLOSED, "HEADERS after END_STREAM")
            self._feed(raw)
        elif not self._table.isIdle(streamID):
            self._spendControl()  # in flight when the stream was reset; without end they would be work for nothing
            self._decodeUnwanted(fragment)
            if self._table.wasLeftOut(streamID):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS open stream {streamID} after a higher one")
            if not self._table.wasReset(streamID):
                raise ConnectionFault(ErrorCode.STREAM_CLOSED, "HEADERS on a closed stream")
        elif self._client or streamID % 2 == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"HEADERS open stream {streamID}")
        else:
            self._table.highestRemote = streamID
            self._openRemote(streamID, fragment, raw)

    def _openRemote(self, streamID: int, fragment: bytes, raw: bytes) -> None:
        """
        Take in a new request, or refuse it before anybody worked on it.
        """
        if streamID > self._goAwayLast:
            self._decodeUnwanted(fragment)
            self._refuse(streamID)
        elif self._table.remoteCount >= self._announced[-1].maxConcurrentStreams:
            self._decodeUnwanted(fragment)
            self._countRefused()
            self._refuse(streamID)
        elif self._heldBytes() > self._limits.sessionBytes:
            self._decodeUnwanted(fragment)
            self._countRefused()
            self._refuse(streamID, ErrorCode.ENHANCE_YOUR_CALM)
            self._owner.limitReached("sessionBytes")
        elif self._account.exceeded:
            self._decodeUnwanted(fragment)
            self._countRefused()
            self._refuse(streamID)
            self._owner.limitReached("maxBytes")
        else:
            self._refused = 0
            self._feed(raw)

    def _countRefused(self) -> None:
        self._refused += 1
        if self._refused > self._limits.refusedStreams:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM, "too many streams above the limit", limit="refusedStreams"
            )

    def _excess(self, fields: int) -> int:
        """
        Say what decoding a list costs of C{Limits.resets}: nothing up to C{Limits.headerFields}, and beyond twice what
        lists that are allowed would have cost.  It is the dearest thing a few thousand bytes can ask for.
        """
        return 2 * (fields // (self._limits.headerFields + 1))

    def _decodeUnwanted(self, fragment: bytes) -> None:
        """
        Keep HPACK in step with a header block that nobody gets.
        """
        self._spendReset(self._excess(self._decode(fragment)))

    def _heldBytes(self) -> int:
        """
        Count what is held in memory for the peer.
        """
        return self._account.held + self._splitter.held + self._owed + self._tablesHeld()

    def _refuse(self, streamID: int, code: ErrorCode = ErrorCode.REFUSED_STREAM) -> None:
        self._table.remember(streamID, True)
        self._emit(frames.buildReset(streamID, code))
        self._owe(13)

    def _priorityFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        # Ignored (RFC 9113 section 5.3.2), but not its shape (section 6.3), nor nonsense (RFC 7540 section 5.3.1).
        self._spendControl()
        if streamID == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        if len(raw) != frames.HEAD + 5:
            if self._table.isIdle(streamID):
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
            raise StreamFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        if frames.readLong(raw) & ~_RESERVED == streamID:
            if self._table.isIdle(streamID):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "an idle stream that depends on itself")
            if streamID in self._streams:
                raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a stream that depends on itself")

    def _priorityUpdateFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        # RFC 9218 section 7.1.
        self._spendControl()
        if streamID != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY_UPDATE on a stream")
        if self._client:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY_UPDATE from a server")
        if len(raw) < frames.HEAD + 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY_UPDATE of a wrong size")
        about = frames.readLong(raw) & ~_RESERVED
        if about == 0 or (self._table.isLocal(about) and self._table.isIdle(about)):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PRIORITY_UPDATE about an idle stream")
        priority = parsePriority(raw[frames.HEAD + 4 :])
        if priority is None:
            return
        if about in self._streams:
            self.setPriority(about, priority)
        elif self._table.isIdle(about):
            self._keepPriority(about, priority)

    def _keepPriority(self, about: int, priority: Priority) -> None:
        """
        Keep a priority for a request that has not come yet.
        """
        early, most = self._earlyPriorities, self._announced[-1].maxConcurrentStreams
        if len(early) >= most:
            # Requests that were left out, or refused, will not come for theirs.
            for streamID in [each for each in early if not self._table.isIdle(each)]:
                del early[streamID]
        if about in early or len(early) < most:
            early[about] = priority

    def _resetFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        if len(raw) != frames.HEAD + 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong size")
        if streamID == 0 or self._table.isIdle(streamID):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM on an idle stream")
        record = self._remove(streamID, wasReset=True)
        if not self._client or record is None:
            self._spendReset()
        if record is not None:
            code = frames.readLong(raw)
            self._owner.streamReset(streamID, code, Initiator.PEER, "the peer reset the stream")

    def _settingsFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        size = len(raw) - frames.HEAD
        if streamID != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if flags & frames.ACK:
            if size:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a SETTINGS acknowledgement with a payload")
            self._settingsAcknowledged()
            return
        if size % 6:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        if size // 6 > self._limits.settingsEntries:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "too many entries in SETTINGS", limit="settingsEntries")
        self._spendControl()
        before = self.remoteSettings
        entries = list(unpackEntries(raw[frames.HEAD :]))
        try:
            after = applyReceived(before, entries)
        except SettingFault as fault:
            raise ConnectionFault(fault.code, str(fault)) from fault
        if self._client and any(identifier == SettingID.ENABLE_PUSH and value for identifier, value in entries):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a server announced ENABLE_PUSH 1")
        self.remoteSettings = after
        # A table that shrinks and grows in one frame has to be told in both steps (RFC 7541 section 4.2).
        tables = [value for identifier, value in entries if identifier == SettingID.HEADER_TABLE_SIZE]
        self._applyRemoteSettings(after, min(tables, default=after.headerTableSize))
        self._owe(9)
        self._windowsGrew()
        self._owner.settingsReceived()

    def _settingsAcknowledged(self) -> None:
        if len(self._announced) == 1 and self.localSettings is self._announced[0]:
            # Nothing of ours was outstanding; RFC 9113 names no penalty for the stray one, so it only costs.
            self._spendControl()
            return
        if self.localSettings is self._announced[0]:
            self._announced.pop(0)
        after = self.localSettings = self._announced[0]
        self._splitter.maxFrameSize = after.maxFrameSize
        self._applyLocalSettings(after)
        grown = after.initialWindowSize - self._streamWindow
        if grown:
            # The peer has done the same to what it may send on every open stream (RFC 9113 section 6.9.2).
            self._streamWindow = after.initialWindowSize
            for record in self._streams.values():
                record.allowance += grown
                if record.window:
                    record.window = max(1, record.window + grown)
                # What has been read may be most of a smaller window: then nothing more comes before it is given back.
                self._creditStream(record)
        self._owner.settingsAcknowledged()

    def _pushPromiseFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        # RFC 9113 sections 6.6 and 8.4.
        if not self._client or not self._announced[-1].enablePush:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE although push is off")
        fragment = frames.headerFragment(raw)
        promised = frames.promisedStream(flags, raw)
        if self._table.isLocal(promised) or not self._table.isIdle(promised) or promised == 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"PUSH_PROMISE of stream {promised}")
        if not self._table.isLocal(streamID) or self._table.isIdle(streamID):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE on a stream that is not a request")
        self._table.highestRemote = promised
        parent = self._streams.get(streamID)
        if parent is None:
            # The promise was on its way when the request was reset: it is not known to be unwanted, but to be late.
            self._decodeUnwanted(fragment)
            if not self._table.wasReset(streamID):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE on a closed stream")
            self._refuse(promised, ErrorCode.CANCEL)
        elif not parent.remoteOpen:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE after END_STREAM")
        elif promised > self._goAwayLast:
            self._decodeUnwanted(fragment)
            self._refuse(promised)
        elif self._reserved >= self._limits.reservedStreams:
            self._decodeUnwanted(fragment)
            self._refuse(promised, ErrorCode.CANCEL)
        else:
            try:
                self._feed(raw)
            except StreamFault as fault:
                self._resetForFault(promised, fault)

    def _pingFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        if streamID != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(raw) != frames.HEAD + 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong size")
        self._spendControl()
        payload = raw[frames.HEAD :]
        if flags & frames.ACK:
            if not self._roundTripMeasured(payload):
                self._owner.pingAcknowledged(payload)
            return
        self._emit(frames.buildFrame(frames.PING, frames.ACK, 0, payload))
        self._owe(17)
        self._owner.pingReceived(payload)

    def _goAwayFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        if streamID != 0:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(raw) < frames.HEAD + 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong size")
        self._spendControl()
        goAway = frames.readGoAway(raw)
        self._owner.goAwayReceived(goAway.code, goAway.lastStreamID, goAway.debugData)

    def _windowUpdateFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        if len(raw) != frames.HEAD + 4:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong size")
        self._spendControl()
        increment = frames.readLong(raw) & ~_RESERVED
        if streamID == 0:
            if not increment:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            self._feed(raw)
            return
        if self._table.isIdle(streamID):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on an idle stream")
        record = self._streams.get(streamID)
        if record is None:
            return
        if record.reserved and self._client:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that the server has reserved")
        if not increment:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        self._feed(raw)

    def _altSvcFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        self._spendControl()
        said = frames.readAltSvc(raw)
        # Ignored where RFC 7838 section 4 says so: from a client, cut short, an origin on a stream or none off one.
        if self._client and said is not None and bool(said.origin) == (streamID == 0):
            self._owner.altSvcReceived(said.value, said.origin, streamID)

    def _originFrame(self, flags: int, streamID: int, raw: bytes) -> None:
        self._spendControl()
        if not self._client or streamID != 0 or flags & 0x0F:
            return  # RFC 8336 section 2.1
        origins = frames.readOrigins(raw)
        if origins is not None:
            self._owner.originReceived(origins)

    # -----------------------------------------------------------------------------------------------------------------
    # What a frame turned out to hold

    def _wrap(self, fields: Iterable[Field]) -> Headers:
        """
        Make a received list ours, if it is not too long.
        """
        received = list(fields)
        self._wrapped = listSize(received)
        if len(received) > self._limits.headerFields or self._wrapped > self._announced[-1].maxHeaderListSize:
            cost = 1 + self._excess(len(received))
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "the header list is too long", cost)
        sensitive = frozenset(field[0] for field in received if not field.indexable)  # type: ignore[attr-defined]
        return Headers.received(received, sensitive)

    def _requestArrived(self, streamID: int, fields: Iterable[Field], ended: bool) -> None:
        headers = self._wrap(fields)
        try:
            facts = checkRequest(fields, self._announced[-1].enableConnectProtocol, self._strictBlanks)
        except MalformedMessage as malformed:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed request: {malformed}") from malformed
        if ended and facts.contentLength:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length without a body")
        record = self._table.openRemote(streamID, not ended, held=self._wrapped)
        record.allowance = self._streamWindow
        record.awaited = facts.contentLength
        record.final = True
        record.method = facts.method
        record.tunnel = facts.method == b"CONNECT"
        self._lastProcessed = streamID
        update = self._earlyPriorities.pop(streamID, None)
        if update is None and facts.priority is not None:
            update = parsePriority(facts.priority)
        if update is not None:
            self.setPriority(streamID, update)
        expectsContinue = not ended and facts.expect.lower() == b"100-continue"
        self._owner.requestReceived(streamID, headers, ended, expectsContinue)

    @property
    def _reserved(self) -> int:
        """
        How many pushes were promised and have not begun.
        """
        return sum(not record.final for streamID, record in self._streams.items() if not self._table.isLocal(streamID))

    def _promiseArrived(self, parentID: int, streamID: int, fields: Iterable[Field]) -> None:
        headers = self._wrap(fields)
        try:
            facts = checkRequest(fields, False, self._strictBlanks)
        except MalformedMessage as malformed:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed promise: {malformed}") from malformed
        if facts.method not in (b"GET", b"HEAD") or facts.contentLength:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a promise of a request that is not safe, or has a body")
        record = self._table.openRemote(streamID, remoteOpen=True, localOpen=False)
        record.reserved = True
        record.allowance = self._streamWindow
        record.method = facts.method
        self._lastProcessed = streamID
        self._owner.pushReceived(parentID, streamID, headers)

    def _responseArrived(self, streamID: int, fields: Iterable[Field], ended: bool) -> None:
        record = self._streams[streamID]
        record.reserved = False
        headers = self._wrap(fields)
        try:
            facts = checkResponse(fields, self._strictBlanks)
        except MalformedMessage as malformed:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed response: {malformed}") from malformed
        if record.method == b"HEAD" or facts.status in (204, 304):
            record.awaited = 0
        elif record.method == b"CONNECT" and facts.status < 300:
            record.awaited = None  # a tunnel has no length, whatever is said (RFC 9110 section 9.3.6)
            record.tunnel = True
        elif ended and facts.contentLength:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "content-length without a body")
        else:
            record.awaited = facts.contentLength
        record.final = True
        record.remoteOpen = not ended
        self._owner.responseReceived(streamID, headers, ended)
        self._endArrived(record)

    def _informationArrived(self, streamID: int, fields: Iterable[Field]) -> None:
        record = self._streams[streamID]
        record.reserved = False
        record.information += 1
        if record.information > self._limits.informationalResponses:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "too many informational responses")
        headers = self._wrap(fields)
        try:
            checkResponse(fields, self._strictBlanks)
        except MalformedMessage as malformed:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed response: {malformed}") from malformed
        self._owner.informationReceived(streamID, headers)

    def _trailersArrived(self, streamID: int, fields: Iterable[Field]) -> None:
        record = self._streams[streamID]
        if record.tunnel:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a header list in a tunnel (RFC 9113 section 8.5)")
        headers = self._wrap(fields)
        try:
            checkTrailers(fields, self._strictBlanks)
        except MalformedMessage as malformed:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, f"malformed trailers: {malformed}") from malformed
        if record.awaited is not None and record.arrived != record.awaited:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the body does not match content-length")
        record.remoteOpen = False
        self._owner.trailersReceived(streamID, headers)
        self._endArrived(record)

    def _endArrived(self, record: Record) -> None:
        """
        Take note of the end of the peer's half, unless the owner has ended the stream meanwhile.
        """
        if not record.remoteOpen and self._streams.get(record.streamID) is record:
            self._halfClosed(record)

    # -----------------------------------------------------------------------------------------------------------------
    # What the engine does

    def stop(self) -> None:
        """
        Take in nothing more.
        """
        raise AssertionError("the engine's to define")

    def goAway(self, code: int, lastStreamID: int | None, debugData: bytes) -> int:
        """
        Queue a GOAWAY.
        """
        raise AssertionError("the engine's to define")

    def setPriority(self, streamID: int, priority: Priority) -> None:
        """
        Say when a stream's body goes out relative to the others.
        """
        raise AssertionError("the engine's to define")

    def _emit(self, frame: bytes) -> None:
        """
        Queue a frame of our own.
        """
        raise AssertionError("the engine's to define")

    def _feed(self, raw: bytes) -> None:
        """
        Have a frame worked on.

        @raise ConnectionFault: if it turns out to be wrong in a way that concerns the connection.
        @raise StreamFault: if it concerns the stream only.
        """
        raise AssertionError("the engine's to define")

    def _decode(self, fragment: bytes) -> int:
        """
        Keep HPACK in step with a header block nobody wants.

        @return: how many fields it had.
        """
        raise AssertionError("the engine's to define")

    def _tablesHeld(self) -> int:
        """
        Count what the HPACK tables may take.
        """
        raise AssertionError("the engine's to define")

    def _endBelow(self, streamID: int) -> None:
        """
        Take note that DATA ended the peer's half of a stream.
        """
        raise AssertionError("the engine's to define")

    def _forgetBelow(self, streamID: int) -> None:
        """
        Forget a stream that is over.
        """
        raise AssertionError("the engine's to define")

    def _roundTripMeasured(self, payload: bytes) -> bool:
        """
        Take in the answer to a PING.

        @return: whether it was the engine's own.
        """
        raise AssertionError("the engine's to define")

    def _giveCredit(self) -> None:
        """
        Give the peer back what is due of the connection's window.
        """
        raise AssertionError("the engine's to define")

    def _creditStream(self, record: Record) -> None:
        """
        Give the peer back what is due of a stream's window.
        """
        raise AssertionError("the engine's to define")

    def _windowsGrew(self) -> None:
        """
        Look at every stream that waits for its window.
        """
        raise AssertionError("the engine's to define")

    def _applyRemoteSettings(self, settings: Settings, smallestTable: int) -> None:
        """
        Put the peer's settings in force, and acknowledge them.

        @param smallestTable: the smallest HEADER_TABLE_SIZE on the way to the one in force.
        """
        raise AssertionError("the engine's to define")

    def _applyLocalSettings(self, settings: Settings) -> None:
        """
        Put settings of ours in force that the peer has acknowledged.
        """
        raise AssertionError("the engine's to define")
