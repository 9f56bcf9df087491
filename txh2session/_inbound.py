"""
What arrived of a body: delivered at once while somebody reads, held while nobody does, and credited to the peer when it
is delivered.  Credit on arrival would let a peer fill the memory of an application that does not read.

A reader is anything with two methods, L{BodyReader}.  All ways of reading (a protocol, an iterator, the whole body at
once, throwing it away) are readers, so that the rules about pausing and ending are here and nowhere else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol


class BodyReader(Protocol):
    """
    Who a body is delivered to.
    """

    def bodyReceived(self, data: bytes) -> None:
        """
        Take the next bytes.
        """

    def bodyEnded(self, error: Exception | None) -> None:
        """
        Learn that no more will come: L{None} if the body is whole, else why it is not.
        """


class ReceiveBuffer:
    """
    One stream's received body.

    @ivar size: bytes held.
    @ivar reader: who reads, or L{None}.
    """

    __slots__ = ("_chunks", "_delivering", "_ended", "_error", "_paused", "_taken", "reader", "size")

    def __init__(self, taken: Callable[[int], None]) -> None:
        """
        @param taken: called with a number of bytes whenever a reader took them, or nobody ever will.
        """
        self._chunks: deque[bytes | bytearray] = deque()
        self._taken = taken
        self._paused = False
        self._ended = False
        self._error: Exception | None = None
        self._delivering = False
        self.reader: BodyReader | None = None
        self.size = 0

    @property
    def hungry(self) -> bool:
        """
        Whether a reader waits for more.
        """
        return self.reader is not None and not self._paused and not self._ended

    def received(self, data: bytes) -> None:
        """
        Take in bytes from the peer.
        """
        if not data:
            return
        if self._ended:
            # Nothing belongs after the end.  The peer gets its window back all the same.
            self._taken(len(data))
            return
        self.size += len(data)
        chunks = self._chunks
        if len(chunks) < _SEPARATE or len(chunks[-1]) >= _SMALL:
            chunks.append(data)
        else:
            last = chunks[-1]
            if not isinstance(last, bytearray):
                last = chunks[-1] = bytearray(last)
            last += data
        self._deliver()

    def end(self, error: Exception | None = None) -> None:
        """
        Take in the end of the body; only the first one counts.

        @param error: why the body is not whole; what is held is delivered first all the same.
        """
        if self._ended:
            return
        self._ended = True
        self._error = error
        self._deliver()

    def abandon(self, error: Exception) -> None:
        """
        Throw away what is held and end with an error at once, paused or not.
        """
        self._drop()
        self._paused = False
        if self._ended:
            # The end may wait behind a pause; what was thrown away must not pass for whole.
            self._error = error
            self._deliver()
        else:
            self.end(error)

    def release(self) -> None:
        """
        Have what is held counted as taken.  The stream is over: what is left of its body is the application's own to keep,
        and no reason to hold up the session's others.
        """
        size, taken, self._taken = self.size, self._taken, _nobody
        if size:
            taken(size)

    def _drop(self) -> None:
        self._chunks.clear()
        if self.size:
            size, self.size = self.size, 0
            self._taken(size)

    def attach(self, reader: BodyReader) -> None:
        """
        Name the reader, who is told at once of everything held.
        """
        self.reader = reader
        self._deliver()

    def pause(self) -> None:
        """
        Stop delivering.
        """
        self._paused = True

    def resume(self) -> None:
        """
        Go on delivering.
        """
        self._paused = False
        self._deliver()

    def _deliver(self) -> None:
        if self._delivering:
            return  # the loop that is running goes on with what came
        try:
            self._deliverHeld()
        except Exception as error:
            if self._ended:
                # The caller has ended this body already and will not come back for what the reader left.
                self._drop()
                self._error = self._error or error
                self._tellEnd()
            raise
        if self._ended:
            self._tellEnd()

    def _deliverHeld(self) -> None:
        self._delivering = True
        try:
            while self._chunks and not self._paused and self.reader is not None:
                data = self._chunks.popleft()
                self.size -= len(data)
                self._taken(len(data))
                self.reader.bodyReceived(bytes(data))
        finally:
            self._delivering = False

    def _tellEnd(self) -> None:
        """
        Tell the reader the end, once nothing is before it.
        """
        if self._chunks or self._paused or self.reader is None:
            return
        reader, self.reader = self.reader, _FINISHED
        reader.bodyEnded(self._error)


_SEPARATE = 64
"""How many chunks are held as they came, before small ones are put together..."""
_SMALL = 4096
"""...into larger ones: held by themselves, frames of two bytes each would cost thirty times what they bring."""


def _nobody(size: int) -> None:
    """
    Nobody counts what is taken of a body whose stream is over.
    """


class _Finished:
    """
    Stands where the reader was once it has been told the end.
    """

    def bodyReceived(self, data: bytes) -> None:
        """
        Nothing comes after the end.
        """

    def bodyEnded(self, error: Exception | None) -> None:
        """
        Nothing comes after the end.
        """


_FINISHED = _Finished()
