"""
The multiplexer's table of streams: which are open and how far, how many on each side, which ids are idle, and for a while
which are over.

It is the table that counts: h2 keeps one of its own, and the multiplexer sees to it that a stream is in both or in neither.
"""

from __future__ import annotations

from typing import Final

from txh2session._limits import Account
from txh2session._outbound import SendQueue
from txh2session.headers import Headers

STREAM_BYTES: Final = 2048
"""What an open stream takes besides its headers and bodies: 1.8 kB were measured."""
_CLOSED_KEPT: Final = 512
"""How many streams that are over are remembered at least, to tell late frames from wrong ones.  In a round trip no more
than were open at once can have ended."""


class Record:
    """
    One open stream.

    @ivar localOpen: whether we may still send on it.
    @ivar remoteOpen: whether the peer may.
    @ivar queue: our body that waits, L{None} until there is one.
    @ivar trailers: what ends our body, if not END_STREAM on its last frame.
    @ivar movedAt: the tick of the outlet at which something of the queue was last sent, or first put in.
    @ivar pausedWriter: whether the queue has passed the high-water mark and not yet come back below the low one.
    @ivar final: whether the peer's final headers are here.
    @ivar reserved: whether it was promised and has not begun (RFC 9113 section 5.1).
    @ivar method: the request's method.
    @ivar tunnel: whether the peer may send nothing but DATA: a CONNECT (RFC 9113 section 8.5).
    @ivar information: how many 1xx responses came.
    @ivar informationBytes: how long their header lists were together.
    @ivar awaited: bytes of the peer's body that content-length promises, L{None} if it does not.
    @ivar arrived: bytes of it that came.
    @ivar allowance: bytes the peer may still send.
    @ivar credit: bytes read and not yet given back as window.
    @ivar window: the size of the window the peer has, 0 before the first half of it was spent.
    @ivar updatedAt: when it was last given back.
    @ivar held: bytes it takes, its queue and what is unread not counted.
    """

    __slots__ = (
        "allowance",
        "arrived",
        "awaited",
        "credit",
        "final",
        "held",
        "information",
        "informationBytes",
        "localOpen",
        "method",
        "movedAt",
        "pausedWriter",
        "queue",
        "remoteOpen",
        "reserved",
        "streamID",
        "trailers",
        "tunnel",
        "updatedAt",
        "window",
    )

    def __init__(self, streamID: int, localOpen: bool, remoteOpen: bool) -> None:
        self.streamID = streamID
        self.localOpen = localOpen
        self.remoteOpen = remoteOpen
        self.queue: SendQueue | None = None
        self.trailers: Headers | None = None
        self.movedAt = 0
        self.pausedWriter = False
        self.awaited: int | None = None
        self.arrived = 0
        self.allowance = 0
        self.credit = 0
        self.window = 0
        self.updatedAt = 0.0
        self.final = False
        self.reserved = False
        self.method = b""
        self.tunnel = False
        self.information = 0
        self.informationBytes = 0
        self.held = STREAM_BYTES


class StreamTable:
    """
    All streams of one connection.

    @ivar open: the records of the open ones.
    @ivar localCount: how many of them this side opened.
    @ivar remoteCount: how many of them the peer opened.
    @ivar opened: how many were ever opened.
    @ivar most: how many were open at the same time at most.
    @ivar nextLocal: the id of the next one this side opens.
    @ivar highestRemote: the highest id the peer has used.
    """

    def __init__(self, client: bool, account: Account) -> None:
        """
        @param account: where to count what open streams take.
        """
        self._account = account
        self._localParity = 1 if client else 0
        self._closed: dict[int, bool] = {}
        self._forgotten = 0
        self.open: dict[int, Record] = {}
        self.localCount = 0
        self.remoteCount = 0
        self.opened = 0
        self.most = 0
        self.nextLocal = 1 if client else 2
        self.highestRemote = 0

    def isLocal(self, streamID: int) -> bool:
        """
        Whether an id is this side's to use (RFC 9113 section 5.1.1).
        """
        return streamID % 2 == self._localParity

    def isIdle(self, streamID: int) -> bool:
        """
        Whether a stream was never opened (RFC 9113 section 5.1).
        """
        return streamID >= self.nextLocal if self.isLocal(streamID) else streamID > self.highestRemote

    def openLocal(self, localOpen: bool, remoteOpen: bool = True) -> Record:
        """
        Open the next stream of this side's.
        """
        record = self.open[self.nextLocal] = Record(self.nextLocal, localOpen, remoteOpen)
        self.nextLocal += 2
        self.localCount += 1
        self._countOpened(record)
        return record

    def openRemote(self, streamID: int, remoteOpen: bool, localOpen: bool = True, held: int = 0) -> Record:
        """
        Open a stream of the peer's.

        @param held: bytes it takes besides those of every stream.
        """
        record = self.open[streamID] = Record(streamID, localOpen, remoteOpen)
        record.held += held
        self.remoteCount += 1
        self._countOpened(record)
        return record

    def _countOpened(self, record: Record) -> None:
        self.opened += 1
        self._account.add(record.held)
        if len(self.open) > self.most:
            self.most = len(self.open)

    def close(self, streamID: int, wasReset: bool) -> Record | None:
        """
        Take a stream out.

        @return: its record, L{None} if it was not open.
        """
        record = self.open.pop(streamID, None)
        if record is None:
            return None
        self._account.add(-record.held - (0 if record.queue is None else record.queue.size))
        if self.isLocal(streamID):
            self.localCount -= 1
        else:
            self.remoteCount -= 1
        self.remember(streamID, wasReset)
        return record

    def remember(self, streamID: int, wasReset: bool) -> None:
        """
        Note how a stream ended.
        """
        self._closed[streamID] = wasReset
        if len(self._closed) > _CLOSED_KEPT and len(self._closed) > 2 * self.most:
            oldest = next(iter(self._closed))
            del self._closed[oldest]
            self._forgotten = max(self._forgotten, oldest)

    def wasReset(self, streamID: int) -> bool:
        """
        Whether a stream that is over was reset, so that late frames for it are no fault (RFC 9113 section 5.1).
        """
        return self._closed.get(streamID, False)

    def wasLeftOut(self, streamID: int) -> bool:
        """
        Whether a stream that is over never was: the peer has used a higher id before, and may not go back (RFC 9113 section
        5.1.1).
        """
        return streamID > self._forgotten and streamID not in self._closed and not self.isLocal(streamID)

    def clear(self) -> None:
        """
        Forget every open stream.
        """
        self.open.clear()
        self.localCount = self.remoteCount = 0
