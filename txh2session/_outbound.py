"""
What waits to be sent: a queue for each stream's body, and the order in which streams take their turns.

The order is that of RFC 9218: the lower urgency first; streams that are not incremental one after the other; incremental
ones in turns of a frame.  A stream nobody gave a priority takes turns too, so that a long download does not hold up the
others of a client that knows nothing of priorities.

A stream that cannot send because its window is shut leaves the line and keeps its place: its stamp.  An earlier design
put unblocked streams back by their number at each update of the connection window, and starved the late ones (2.5 MB for
the first, 16 kB for the last in the same time); with stamps all got the same.
"""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Final

DEFAULT_URGENCY: Final = 3
"""RFC 9218 section 4.1."""


class SendQueue:
    """
    The bytes of one body that wait for a window, in order.

    @ivar size: how many there are.
    @ivar ended: whether no more will come.
    """

    __slots__ = ("_chunks", "_offset", "ended", "size")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._offset = 0
        self.size = 0
        self.ended = False

    def append(self, data: bytes) -> None:
        """
        Put bytes at the end.
        """
        if data:
            self._chunks.append(data)
            self.size += len(data)

    def take(self, maximum: int) -> bytes:
        """
        Take bytes off the front: C{maximum} of them, or all if there are fewer.
        """
        chunks = self._chunks
        if not chunks:
            return b""
        first = chunks[0]
        left = len(first) - self._offset
        if left == maximum or (left < maximum and len(chunks) == 1):
            chunks.popleft()
            taken = first[self._offset :] if self._offset else first
            self._offset = 0
            self.size -= left
            return taken
        if left > maximum:
            start = self._offset
            self._offset = start + maximum
            self.size -= maximum
            return first[start : start + maximum]
        parts = []
        wanted = maximum
        while wanted and chunks:
            first = chunks[0]
            left = len(first) - self._offset
            if left <= wanted:
                parts.append(first[self._offset :] if self._offset else first)
                chunks.popleft()
                self._offset = 0
                wanted -= left
            else:
                parts.append(first[self._offset : self._offset + wanted])
                self._offset += wanted
                wanted = 0
        taken = b"".join(parts)
        self.size -= len(taken)
        return taken


class _Place:
    """
    One stream's place in the line.

    @ivar entry: what stands for it in the line, L{None} if nothing does; any other entry of this stream is stale.
    """

    __slots__ = ("entry", "incremental", "ready", "stamp", "urgency")

    def __init__(self, stamp: int) -> None:
        self.urgency = DEFAULT_URGENCY
        self.incremental = True
        self.stamp = stamp
        self.ready = False
        self.entry: tuple[int, int, int] | None = None


class Scheduler:
    """
    Decides whose turn it is among the streams that have something to send.

    The line is a heap; who leaves it or moves leaves a stale entry behind, which is thrown away when its turn comes, or
    when stale ones outnumber the others, so that no peer can make the line longer than its streams.
    """

    def __init__(self) -> None:
        self._places: dict[int, _Place] = {}
        self._line: list[tuple[int, int, int]] = []
        self._stamps = count()

    def __len__(self) -> int:
        return len(self._places)

    def _place(self, streamID: int) -> _Place:
        place = self._places.get(streamID)
        if place is None:
            place = self._places[streamID] = _Place(next(self._stamps))
        return place

    def setPriority(self, streamID: int, urgency: int, incremental: bool) -> None:
        """
        Give a stream an urgency (0 first, 7 last) and say whether it shares (RFC 9218 section 4).
        """
        place = self._place(streamID)
        place.incremental = incremental
        if place.urgency == urgency:
            return
        place.urgency = urgency
        if place.ready:
            place.stamp = next(self._stamps)
            self._enter(streamID, place)

    def ready(self, streamID: int) -> None:
        """
        Say that a stream has something to send and a window for it.
        """
        place = self._place(streamID)
        if not place.ready:
            place.ready = True
            self._enter(streamID, place)

    def block(self, streamID: int) -> None:
        """
        Say that a stream cannot send now: it has nothing, or no window.  It keeps its place.
        """
        place = self._places.get(streamID)
        if place is not None:
            place.ready = False

    def served(self, streamID: int) -> None:
        """
        Say that a stream sent a frame: if it shares, its next turn comes after everybody else's.
        """
        place = self._places.get(streamID)
        if place is not None and place.incremental:
            place.stamp = next(self._stamps)
            if place.ready:
                self._enter(streamID, place)

    def _enter(self, streamID: int, place: _Place) -> None:
        """
        Put a stream into the line, unless it stands there as it should.
        """
        entry = (place.urgency, place.stamp, streamID)
        if place.entry == entry:
            return
        place.entry = entry
        line = self._line
        if len(line) > 2 * len(self._places) + 64:
            line.clear()
            for each in self._places.values():
                if not each.ready:
                    each.entry = None
                elif each.entry is not None:
                    line.append(each.entry)
            heapify(line)
        else:
            heappush(line, entry)

    def remove(self, streamID: int) -> None:
        """
        Forget a stream.
        """
        self._places.pop(streamID, None)

    def clear(self) -> None:
        """
        Forget all of them.
        """
        self._places.clear()
        self._line.clear()

    def next(self) -> int | None:
        """
        Tell whose turn it is, L{None} if nobody is ready.
        """
        line = self._line
        places = self._places
        while line:
            entry = line[0]
            streamID = entry[2]
            place = places.get(streamID)
            if place is not None and place.entry is entry:
                if place.ready:
                    return streamID
                place.entry = None
            heappop(line)
        return None
