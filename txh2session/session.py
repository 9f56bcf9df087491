"""
L{Session}: one HTTP/2 connection, as an application holds it.

A session owns the streams, the engine that speaks frames for them, and the questions that are open (PINGs, SETTINGS).  It
never sees a byte of a frame nor a transport.  Its life is in L{SessionLife<txh2session._life.SessionLife>}, what its
engine tells it in L{ToldSession<txh2session._told.ToldSession>}; here are the verbs.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txh2session._states import SessionState
from txh2session._timer import Clock, IdleTimer
from txh2session._told import ToldSession
from txh2session._waiters import Waiters
from txh2session.errors import (
    ErrorCode,
    Initiator,
    InvalidSetting,
    InvalidState,
    SessionError,
    checkedCode,
    codeName,
)
from txh2session.settings import MAX_WINDOW, Settings, checkSeconds
from txh2session.snapshots import SessionSnapshot, SessionStatistics


class Session(ToldSession):
    """
    One HTTP/2 connection.  L{ServerSession<txh2session.ServerSession>} and
    L{ClientSession<txh2session.ClientSession>} are made by L{Server<txh2session.Server>} and
    L{connect<txh2session.connect>}.

    @ivar alpnProtocol: C{"h2"} over TLS, C{"h2c"} without; L{None} before it is connected.
    @ivar encrypted: whether there is TLS below; L{None} before it is connected.
    @ivar goawayCode: the code of the last GOAWAY received, L{None} before.
    @ivar goawayLastStreamID: its last stream id.
    """

    # Facts

    @property
    def localSettings(self) -> Settings:
        """
        This side's settings, as far as the peer has acknowledged them.
        """
        return self._engine.localSettings

    @property
    def remoteSettings(self) -> Settings:
        """
        The peer's settings, as last received.
        """
        return self._engine.remoteSettings

    @property
    def pendingSettingsAck(self) -> bool:
        """
        Whether SETTINGS of ours, the first included, wait to be acknowledged.
        """
        return self._changes.pending

    @property
    def state(self) -> SessionSnapshot:
        """
        A snapshot of windows, ids, counts and queues.
        """
        engine = self._engine.state()
        return SessionSnapshot(
            localWindow=engine.localWindow,
            remoteWindow=engine.remoteWindow,
            nextStreamID=engine.nextStreamID,
            lastProcessedStreamID=engine.lastProcessedStreamID,
            localStreams=engine.localStreams,
            remoteStreams=engine.remoteStreams,
            pendingStreams=self._countPending(),
            queuedBytes=engine.queuedBytes,
            unreadBytes=engine.unreadBytes,
            heldBytes=engine.heldBytes,
            roundTripTime=self._pings.roundTripTime,
            resetsSpent=engine.resetsSpent,
            controlFramesSpent=engine.controlFramesSpent,
            refusedStreams=engine.refusedStreams,
            repliesOwed=engine.repliesOwed,
            encoderTable=engine.encoderTable,
            decoderTable=engine.decoderTable,
        )

    @property
    def clock(self) -> Clock:
        """
        What tells this session the time and calls it back: the reactor, as far as a session knows one.

        @raise InvalidState: before the session is connected, if it was not made by L{openSession
            <txh2session.openSession>}.
        """
        return self._clock

    @property
    def statistics(self) -> SessionStatistics:
        """
        What the session has done so far, or in all once it is gone.
        """
        started, ended = self._connectedAt, self._goneAt
        now = self._link.seconds() if self._link is not None else 0.0
        return SessionStatistics(
            duration=0.0 if started is None else (now if ended is None else ended) - started,
            bytesRead=self._bytesRead,
            bytesWritten=self._bytesWritten,
            framesReceived=self._engine.framesReceived,
            framesSent=self._engine.framesSent,
            streamCount=self._engine.streamsOpened,
            maxConcurrentStreams=self._engine.mostStreams,
            streamAverageDuration=self._streamSeconds / self._streamsEnded if self._streamsEnded else 0.0,
            roundTripTime=self._pings.roundTripTime,
        )

    @property
    def peerCertificate(self) -> Any:
        """
        The peer's certificate, an L{OpenSSL.crypto.X509}; L{None} without TLS or where it showed none.

        @raise InvalidState: before the session is connected.
        """
        return self._connectedLink().getPeerCertificate()

    # -----------------------------------------------------------------------------------------------------------------
    # Verbs that take time

    def whenConnected(self) -> Deferred[None]:
        """
        Wait for the transport (and TLS).

        @return: fires with L{None}; fails if the session ends before.
        """
        return self._connectedWaiters.when()

    def whenReady(self) -> Deferred[None]:
        """
        Wait for the peer's first SETTINGS, the proof that it speaks HTTP/2 (RFC 9113 section 3.4).

        @return: fires with L{None}; fails if the session ends before.
        """
        return self._readyWaiters.when()

    def whenClosed(self) -> Deferred[None]:
        """
        Wait for the end of the session.

        @return: fires with L{None} when it is gone, or fails with the error it was destroyed with.
        """
        return self._closedWaiters.when()

    def close(self) -> Deferred[None]:
        """
        End the session when its streams have ended (Node's reference 3.1): announce it with GOAWAY, take no new streams,
        then close the transport.  Requests that have not been sent yet fail with C{processed=False}.

        @return: as L{whenClosed}, also the second time.
        """
        if self._state is SessionState.CONNECTING or self._state is SessionState.OPEN:
            self._beginClosing(sendGoAway=True)
        return self._closedWaiters.when()

    def ping(self, payload: bytes | None = None, timeout: float | None = None) -> Deferred[float]:
        """
        Send a PING (RFC 9113 section 6.7).

        @param payload: eight bytes; a number of ours if not given.
        @param timeout: seconds to wait for the answer; for ever if not given.

        @return: fires with the seconds until the answer; fails with L{PingCancelled<txh2session.PingCancelled>} when the
            session ends or the time passes before it, or when C{Limits.outstandingPings} wait already.

        @raise ValueError: if the payload is not eight bytes.
        @raise InvalidState: if the session is not connected, or is destroyed.
        """
        if timeout is not None:
            timeout = checkSeconds("timeout", timeout)
        self._checkUsable()
        payload, waiting = self._pings.ask(payload, self._connectedLink(), timeout)
        if payload:
            self._engine.ping(payload)
            self._flush()
        return waiting

    def settings(self, **changes: object) -> Deferred[Settings]:
        """
        Change settings of this side: C{settings(initialWindowSize=1 << 20)}.  Before the session is connected they
        wait, and follow the first ones.

        @param changes: fields of L{Settings<txh2session.Settings>}.

        @return: fires with the settings in force when the peer has acknowledged these; fails with
            L{PingCancelled<txh2session.PingCancelled>} when the session ends before.  More than
            C{Limits.outstandingSettings} unanswered ones fail at once.

        @raise InvalidSetting: for an unknown name or a value out of range, for C{enableConnectProtocol} taken back, and
            for an C{initialWindowSize} that would make the window of an open stream too large (RFC 9113 section 6.9.2).
        @raise InvalidState: if the session is destroyed.
        """
        changed = self._settings.changed(**changes)
        self._checkSettings(changed)
        if self._settings.enableConnectProtocol and not changed.enableConnectProtocol:
            raise InvalidSetting("enableConnectProtocol cannot be taken back (RFC 8441 section 3)")
        if self.connecting and not self._destroyed:
            waiters: Waiters[Settings] = Waiters()
            self._earlySettings.append((changes, waiters))
            return waiters.when()
        self._checkUsable()
        room = self._engine.windowRoom
        if changed.initialWindowSize - self._settings.initialWindowSize > room:
            raise InvalidSetting(f"initialWindowSize may grow by {room} now: open streams have larger windows already")
        waiting = self._changes.ask(self._connectedLink(), self._timeouts.settingsAck, self._settingsTimedOut)
        if waiting.called:
            return waiting
        self._settings = changed
        self._engine.settings(changed)
        self._flush()
        return waiting

    def _sendFirstFrames(self) -> None:
        early, self._earlySettings = self._earlySettings, []
        for changes, waiters in early:
            self.settings(**changes).addCallbacks(
                waiters.fire, lambda failure, waiters=waiters: waiters.fail(failure.value)
            )

    def _checkSettings(self, settings: Settings) -> None:
        """
        Refuse what this role must not announce.
        """

    def _checkUsable(self) -> None:
        if self._destroyed:
            raise InvalidState("the session is destroyed")
        if self._link is None:
            raise InvalidState("the session is not connected")

    # -----------------------------------------------------------------------------------------------------------------
    # Verbs that do not

    def destroy(self, error: Exception | int | None = None, code: int | None = None) -> None:
        """
        End the session at once (Node's reference 3.2 and section 4): every open stream ends with the same error, one GOAWAY
        goes out after what already reached the transport, then the transport is closed.  C{destroyed} is true when this
        returns.  Does nothing the second time.

        The code of the GOAWAY is C{code} if given; else INTERNAL_ERROR with an error and NO_ERROR without.  A code other
        than NO_ERROR without an error makes a L{SessionError<txh2session.SessionError>}.

        @param error: what the streams and L{whenClosed} fail with.  A code may stand here alone, as in Node.
        @param code: an L{ErrorCode<txh2session.ErrorCode>} or any unsigned 32-bit integer.

        @raise TypeError: if C{error} is neither an exception nor a code, or C{code} is not an integer.
        @raise ValueError: if the code does not fit into 32 bits.
        """
        if isinstance(error, int) and code is None:
            error, code = None, error
        if error is not None and not isinstance(error, Exception):
            raise TypeError(f"destroy() takes an exception, a code or both, not {error!r}")
        if code is not None:
            code = checkedCode(code)
        if self._destroyed:
            return
        if code is None:
            code = ErrorCode.NO_ERROR if error is None else ErrorCode.INTERNAL_ERROR
        elif error is None and code != ErrorCode.NO_ERROR:
            error = SessionError(f"the session was destroyed with {codeName(code)}", code, Initiator.LOCAL)
        self._destroy(error, code, goAwayCode=code, keep=False)

    def goaway(self, code: int = ErrorCode.NO_ERROR, lastStreamID: int = 0, data: bytes = b"") -> None:
        """
        Send a GOAWAY and change nothing else (Node's reference 3.3): the peer's streams above its last id are refused from
        now on, and those that are open end with REFUSED_STREAM.

        @param lastStreamID: 0 for the last one that reached the application; one above the last announced is lowered.
        @param data: debug data.

        @raise TypeError: for a code or id that is not an integer, or data that is not bytes.
        @raise ValueError: for a code or id out of range, and for more data than the peer takes in a frame.
        @raise InvalidState: if the session is not connected, or is destroyed.
        """
        code = checkedCode(code)
        if isinstance(lastStreamID, bool) or not isinstance(lastStreamID, int):
            raise TypeError(f"lastStreamID is an integer, not {lastStreamID!r}")
        if lastStreamID > MAX_WINDOW:
            raise ValueError(f"lastStreamID is at most 2**31-1, not {lastStreamID}")
        if not isinstance(data, bytes):
            raise TypeError(f"data is bytes, not {data!r}")
        self._checkUsable()
        if len(data) + 8 > self.remoteSettings.maxFrameSize:
            raise ValueError(f"data is at most {self.remoteSettings.maxFrameSize - 8} bytes, not {len(data)}")
        announced = self._engine.goAway(code, lastStreamID if lastStreamID > 0 else None, data)
        self._goAwaySent = announced
        message = "is above the last one of a GOAWAY that was sent"
        self._refuseStreams(0 if self._client else 1, announced, Initiator.LOCAL, message, data)
        self._flush()

    def setLocalWindowSize(self, size: int) -> None:
        """
        Change how many bytes the peer may send on all streams together (Node's reference 3.6).  A larger window is
        announced at once; a smaller one comes about as the peer uses up what it has.

        @param size: bytes, 0 to 2**31-1.

        @raise TypeError: if it is not an integer.
        @raise ValueError: if it is out of range.
        @raise InvalidState: if the session is not connected, or is destroyed.
        """
        if isinstance(size, bool) or not isinstance(size, int):
            raise TypeError(f"a window size is an integer, not {size!r}")
        if not 0 <= size <= MAX_WINDOW:
            raise ValueError(f"a window size is between 0 and 2**31-1, not {size}")
        self._checkUsable()
        self._engine.setConnectionWindow(size)
        self._flush()

    def setNextStreamID(self, streamID: int) -> None:
        """
        Leave stream ids out, so that a test need not use them up (Node's reference 3.8): the next stream this side opens, a
        request or a push, has this id.

        @param streamID: odd on a client, even on a server, at most 2**31-1.

        @raise TypeError: if it is not an integer.
        @raise ValueError: if it is out of range, the peer's to use, or below the next one.
        @raise InvalidState: if the session is not connected, or is destroyed.
        """
        if isinstance(streamID, bool) or not isinstance(streamID, int):
            raise TypeError(f"a stream id is an integer, not {streamID!r}")
        self._checkUsable()
        if not 0 < streamID <= MAX_WINDOW or not self._engine.setNextStreamID(streamID):
            raise ValueError(f"{streamID} cannot be the id of the next stream here, as {self.state.nextStreamID} can")

    def setTimeout(self, seconds: float) -> None:
        """
        Have listeners told (L{SessionListener.timedOut}) when nothing came or went for a time; it happens again after the
        same time and changes nothing by itself (Node's reference 3.7).  Does nothing on a session that is destroyed.

        @param seconds: 0 switches it off.

        @raise InvalidSetting: for what is not a number of seconds.
        """
        seconds = checkSeconds("seconds", seconds)
        if self._destroyed:
            return
        clock = self._clock
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        if seconds:
            self._timer = IdleTimer(clock, seconds, lambda: self._timeout(seconds))

    def _timeout(self, seconds: float) -> None:
        self._timer = None
        self.setTimeout(seconds)
        self._tell("timedOut")
