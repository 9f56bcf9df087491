"""
The rules of RFC 9113 for what a peer sends, frame by frame: which frames may come when, what a wrong one costs (the
stream or the connection), and what it takes of the budgets of L{Limits<txh2session.Limits>}.

This is where strictness lives, apart from the engine that does the work.  Each frame is judged before h2 sees it, since h2
takes many stream errors for the end of the connection and applies what it should refuse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from txh2session import _frames as frames
from txh2session._frames import ConnectionFault, OtherProtocol
from txh2session._messagerules import MessageRules
from txh2session._priority import Priority, parsePriority
from txh2session._streamrules import StreamFault
from txh2session._streams import Record
from txh2session.constants import SettingID
from txh2session.errors import ErrorCode, Initiator
from txh2session.settings import SettingFault, applyReceived, unpackEntries

_RESERVED: Final = 0x80000000


class FrameRules(MessageRules):
    """
    Judges what a peer sends and tells the owner what of it counts.
    """

    __slots__ = ()

    def receive(self, data: bytes, now: float) -> None:
        """See L{Engine}."""
        if self._stopped:
            return
        self._now = now
        try:
            for kind, flags, streamID, raw in self._splitter.feed(data):
                self.framesReceived += 1
                handler = _HANDLERS.get(kind)
                if handler is None:
                    self._spendControl()  # an unknown frame is ignored (RFC 9113 section 5.5), not free
                else:
                    try:
                        handler(self, flags, streamID, raw)
                    except StreamFault as fault:
                        self._resetForFault(streamID, fault)
                if self._stopped:
                    return
                if self.framesReceived == 1:
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


_HANDLERS: Final[dict[int, Callable[[FrameRules, int, int, bytes], None]]] = {
    frames.DATA: FrameRules._dataFrame,
    frames.HEADERS: FrameRules._headersFrame,
    frames.PRIORITY: FrameRules._priorityFrame,
    frames.RST_STREAM: FrameRules._resetFrame,
    frames.SETTINGS: FrameRules._settingsFrame,
    frames.PUSH_PROMISE: FrameRules._pushPromiseFrame,
    frames.PING: FrameRules._pingFrame,
    frames.GOAWAY: FrameRules._goAwayFrame,
    frames.WINDOW_UPDATE: FrameRules._windowUpdateFrame,
    frames.ALTSVC: FrameRules._altSvcFrame,
    frames.ORIGIN: FrameRules._originFrame,
    frames.PRIORITY_UPDATE: FrameRules._priorityUpdateFrame,
}
"""What judges each type of frame."""
