"""
What the engine tells a session: the L{EngineOwner<txh2session._engine.EngineOwner>} half of it, a method for each call.
"""

from __future__ import annotations

from twisted.logger import Logger

from txh2session._engine import Engine
from txh2session._life import SessionLife
from txh2session._multiplexer import Multiplexer
from txh2session._states import SessionState
from txh2session.errors import (
    ErrorCode,
    Initiator,
    LimitExceeded,
    PeerSpeaksOtherProtocol,
    SessionError,
    codeName,
    errorCode,
)
from txh2session.headers import Headers

_log = Logger()


class ToldSession(SessionLife):
    """
    A session that its engine can talk to.
    """

    def _makeEngine(self) -> Engine:
        return Multiplexer(self, self._client, self._settings, self._limits, self._options, self._account)

    def prefaceReceived(self) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        self._ready = True
        self._readyWaiters.fire(None)

    def requestReceived(self, streamID: int, headers: Headers, ended: bool, expectsContinue: bool) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""

    def responseReceived(self, streamID: int, headers: Headers, ended: bool) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""

    def pushReceived(self, parentID: int, streamID: int, headers: Headers) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""

    def informationReceived(self, streamID: int, headers: Headers) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""

    def dataReceived(self, streamID: int, data: bytes, ended: bool) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._dataReceived(data, ended)
        elif data:
            self._engine.consumed(streamID, len(data))

    def trailersReceived(self, streamID: int, headers: Headers) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._ended(headers)

    def drained(self, streamID: int) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._atItsCost(stream._drained)

    def endSent(self, streamID: int) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._endSent()

    def streamFinished(self, streamID: int) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._completed()

    def streamReset(self, streamID: int, code: int, initiator: Initiator, message: str) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        stream = self._streams.get(streamID)
        if stream is not None:
            stream._wasReset(code, initiator, message)

    def settingsReceived(self) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        self._tell("settingsReceived", self._engine.remoteSettings)

    def settingsAcknowledged(self) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        self._changes.answered(self._engine.localSettings)
        self._tell("settingsAcknowledged", self._engine.localSettings)

    def pingReceived(self, payload: bytes) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        self._tell("pingReceived", payload)

    def pingAcknowledged(self, payload: bytes) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        assert self._link is not None  # the answer came through it
        self._pings.answered(payload, self._link.seconds())

    def goAwayReceived(self, code: int, lastStreamID: int, debugData: bytes) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        named = errorCode(code)
        self.goawayCode = named
        self.goawayLastStreamID = lastStreamID
        self._closed = True
        self._tell("goAwayReceived", named, lastStreamID, debugData)
        if self._destroyed:
            return
        message = f"is above the last one of the peer's GOAWAY, {codeName(code)}"
        self._refuseStreams(1 if self._client else 0, lastStreamID, Initiator.PEER, message, debugData)
        self._refusePending()
        if named == ErrorCode.NO_ERROR:
            if self._state is SessionState.OPEN:
                self._beginClosing(sendGoAway=True)
            return
        text = debugData.decode("utf-8", "replace")
        error = SessionError(
            f"the peer went away with {codeName(code)}{': ' + text if text else ''}",
            code,
            Initiator.PEER,
            lastStreamID=lastStreamID,
            debugData=debugData,
        )
        self._destroy(error, code, goAwayCode=ErrorCode.NO_ERROR, keep=True)

    def altSvcReceived(self, value: bytes, origin: bytes, streamID: int) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        self._tell("altSvcReceived", value, origin, streamID)

    def originReceived(self, origins: list[bytes]) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        if self.encrypted:  # RFC 8336 section 2.1: meaningless where nothing vouches for the names
            self._tell("originReceived", origins)

    def limitReached(self, limit: str) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        self._tell("limitReached", limit)

    def failed(self, code: int, initiator: Initiator, message: str, limit: str) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        if limit:
            error: SessionError = LimitExceeded(f"{message} (limit {limit})", code, initiator)
            error.limit = limit  # type: ignore[attr-defined]
            self._tell("limitReached", limit)
        else:
            error = SessionError(f"the peer broke the protocol: {message}, {codeName(code)}", code, initiator)
        self._destroy(error, code, goAwayCode=None, keep=True)

    def spokeOtherProtocol(self, speaks: str) -> None:
        """See L{EngineOwner<txh2session._engine.EngineOwner>}."""
        error = PeerSpeaksOtherProtocol(
            f"h2: the peer speaks {speaks}, not HTTP/2", ErrorCode.PROTOCOL_ERROR, Initiator.PEER, processed=False
        )
        _log.warn("{peer} speaks {speaks}, not HTTP/2", peer=self._connectedLink().getPeer(), speaks=speaks)
        self._engine.goAway(ErrorCode.PROTOCOL_ERROR, None, str(error).encode("ascii"))
        self._destroy(error, ErrorCode.PROTOCOL_ERROR, goAwayCode=None, keep=True)
