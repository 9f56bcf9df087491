"""
What is kept of a connection and its peer: budgets, streams and how they end, and what is asked of the engine below.

The rules for frames (C{_rules.py}) and for messages (C{_messagerules.py}) stand on this.  Of h2 it knows only the hooks at
the end, which L{Multiplexer<txh2session._multiplexer.Multiplexer>} fills in.
"""

from __future__ import annotations

from typing import Final

from txh2session import _frames as frames
from txh2session._credit import ConnectionCredit
from txh2session._engine import EngineOwner
from txh2session._frames import ConnectionFault, FrameSplitter
from txh2session._limits import Account, TokenBucket
from txh2session._priority import Priority
from txh2session._streams import Record, StreamTable
from txh2session.errors import ErrorCode, Initiator
from txh2session.settings import DEFAULT_WINDOW, MAX_WINDOW, Limits, Options, Settings

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


class StreamRules:
    """
    Budgets and streams of one connection.

    @ivar localSettings: ours, as the peer has acknowledged them.
    @ivar remoteSettings: the peer's, as last received.
    """

    __slots__ = (
        "_account",
        "_announced",
        "_client",
        "_controls",
        "_credit",
        "_earlyPriorities",
        "_goAwayLast",
        "_lastProcessed",
        "_limits",
        "_lost",
        "_now",
        "_options",
        "_owed",
        "_owner",
        "_refused",
        "_resets",
        "_splitter",
        "_stopped",
        "_streamWindow",
        "_streams",
        "_strictBlanks",
        "_table",
        "_wrapped",
        "framesReceived",
        "localSettings",
        "remoteSettings",
    )

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
