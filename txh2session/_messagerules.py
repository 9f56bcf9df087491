"""
The rules for what a frame turned out to hold: requests, responses, promises and trailers, and their bodies' lengths.

A malformed message is a stream error (RFC 9113 section 8.1.1); whether its fields are well formed is C{_messages.py}'s to
say.
"""

from __future__ import annotations

from collections.abc import Iterable

from txh2session._fields import Field
from txh2session._messages import MalformedMessage, checkRequest, checkResponse, checkTrailers, listSize
from txh2session._priority import parsePriority
from txh2session._streamrules import StreamFault, StreamRules
from txh2session._streams import Record
from txh2session.errors import ErrorCode
from txh2session.headers import Headers


class MessageRules(StreamRules):
    """
    Judges messages and tells the owner of those that count.
    """

    __slots__ = ()

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
        record.informationBytes += self._wrapped
        if record.informationBytes > self._announced[-1].maxHeaderListSize:
            raise StreamFault(ErrorCode.ENHANCE_YOUR_CALM, "the informational responses are too long together")
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
