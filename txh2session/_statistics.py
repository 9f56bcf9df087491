"""
Counting what a stream does, and when: a few attributes, made into L{StreamStatistics} when somebody asks.
"""

from __future__ import annotations

from txh2session._timer import Clock
from txh2session.snapshots import StreamStatistics


class StreamCounts:
    """
    The counts of one stream.
    """

    __slots__ = (
        "_clock",
        "_endedAt",
        "_firstByteAt",
        "_firstHeaderAt",
        "_firstSentAt",
        "_openedAt",
        "_read",
        "_written",
    )

    def __init__(self) -> None:
        self._clock: Clock | None = None
        self._openedAt = 0.0
        self._endedAt: float | None = None
        self._firstHeaderAt: float | None = None
        self._firstByteAt: float | None = None
        self._firstSentAt: float | None = None
        self._read = 0
        self._written = 0

    def opened(self, clock: Clock) -> None:
        """
        The stream got its id.
        """
        self._clock = clock
        self._openedAt = clock.seconds()

    @property
    def bytesRead(self) -> int:
        """
        Bytes of the peer's body that came.
        """
        return self._read

    def headersCame(self) -> None:
        """
        The peer's final headers came.
        """
        if self._clock is not None:
            self._firstHeaderAt = self._clock.seconds()

    def received(self, size: int) -> None:
        """
        Bytes of the peer's body came.
        """
        if not self._read and self._clock is not None:
            self._firstByteAt = self._clock.seconds()
        self._read += size

    def sent(self, size: int) -> None:
        """
        Bytes of our body were written.
        """
        if not self._written and self._clock is not None:
            self._firstSentAt = self._clock.seconds()
        self._written += size

    def ended(self) -> None:
        """
        The stream has ended.
        """
        if self._clock is not None:
            self._endedAt = self._clock.seconds()

    def seconds(self) -> float:
        """
        How long the stream took, or has taken so far.
        """
        if self._clock is None:
            return 0.0
        return (self._clock.seconds() if self._endedAt is None else self._endedAt) - self._openedAt

    def snapshot(self) -> StreamStatistics:
        """
        Make what applications see.
        """
        start = self._openedAt
        if self._clock is None:
            return StreamStatistics(0.0, 0, 0, None, None, None)
        return StreamStatistics(
            duration=self.seconds(),
            bytesRead=self._read,
            bytesWritten=self._written,
            timeToFirstHeader=None if self._firstHeaderAt is None else self._firstHeaderAt - start,
            timeToFirstByte=None if self._firstByteAt is None or not self._read else self._firstByteAt - start,
            timeToFirstByteSent=None if self._firstSentAt is None or not self._written else self._firstSentAt - start,
        )
