"""
The sending half of the multiplexer: what is queued of control frames, whose body is next, and the one method that turns
both into bytes when the transport has room.

It knows the engine below as L{FrameWriter}, the few methods of h2's connection it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from txh2session._frames import DATA, END_STREAM, HEAD, PADDED, buildFrame, padded, paddingFor
from txh2session._limits import Account
from txh2session._outbound import Scheduler, SendQueue
from txh2session._streams import Record, StreamTable
from txh2session.constants import PaddingStrategy
from txh2session.headers import Headers


class FrameWriter(Protocol):
    """
    What of h2's connection serves for sending.
    """

    outbound_flow_control_window: int
    max_outbound_frame_size: int
    streams: dict[int, Any]

    def send_headers(self, stream_id: int, headers: Any, end_stream: bool = False) -> None:
        """
        Queue a header block.
        """

    def local_flow_control_window(self, stream_id: int) -> int:
        """
        How many bytes of DATA a stream may send now.
        """

    def data_to_send(self) -> bytes:
        """
        Take out what is queued.
        """


class Outlet:
    """
    Everything that waits to be sent on one connection.

    @ivar framesSent: how many frames were queued, a header block counted once.
    """

    def __init__(
        self,
        writer: FrameWriter,
        table: StreamTable,
        encode: Callable[[Headers], Any],
        endBelow: Callable[[int], object],
        highWater: int,
        lowWater: int,
        padding: PaddingStrategy,
        account: Account,
    ) -> None:
        """
        @param encode: makes of headers what the writer takes.
        @param endBelow: tells the writer that DATA has ended our half of a stream.
        @param account: where to count what is queued.
        """
        self._writer = writer
        self._table = table
        self._encode = encode
        self._endBelow = endBelow
        self._highWater = highWater
        self._lowWater = lowWater
        self._padding = padding
        self._account = account
        self._control: list[bytes] = []
        self._scheduler = Scheduler()
        self._blocked: set[int] = set()
        self._tick = 0
        self.framesSent = 0

    def emit(self, frame: bytes) -> None:
        """
        Queue a frame of our own behind what h2 has queued.
        """
        self.framesSent += 1
        waiting = self._writer.data_to_send()
        if waiting:
            self._control.append(waiting)
        self._control.append(frame)

    def putBack(self, data: bytes) -> None:
        """
        Queue what h2 had queued and was taken out of it.
        """
        self._control.append(data)

    def sendHeaders(self, record: Record, headers: Headers, end: bool) -> None:
        """
        Queue a header block.
        """
        self.framesSent += 1
        self._writer.send_headers(record.streamID, self._encode(headers), end_stream=end)
        record.reserved = False
        if end:
            record.localOpen = False

    def write(self, record: Record, data: bytes) -> int:
        """
        Queue bytes of a body.

        @return: how many are queued now.
        """
        queue = record.queue
        if queue is None:
            queue = record.queue = SendQueue()
        if data:
            if not queue.size:
                record.movedAt = self._tick
            queue.append(data)
            self._account.add(len(data))
            if record.streamID not in self._blocked:
                self._scheduler.ready(record.streamID)
            if queue.size >= self._highWater:
                record.pausedWriter = True
        return queue.size

    def end(self, record: Record, trailers: Headers | None) -> None:
        """
        End a body: at once if nothing of it waits, else with its last frame.
        """
        record.trailers = trailers
        if record.queue is not None and record.queue.size:
            record.queue.ended = True
        else:
            self._sendEnd(record)

    def _sendEnd(self, record: Record) -> None:
        """
        End a body with a frame of its own: trailers, or an empty DATA where nothing is left to carry END_STREAM.
        """
        if record.trailers is None:
            self._endBelow(record.streamID)
            window = min(self._writer.local_flow_control_window(record.streamID), self._writer.max_outbound_frame_size)
            self._emitData(record.streamID, b"", END_STREAM, window)
        else:
            self.framesSent += 1
            self._writer.send_headers(record.streamID, self._encode(record.trailers), end_stream=True)
        record.localOpen = False

    def setPriority(self, streamID: int, urgency: int, incremental: bool) -> None:
        """
        Say when a stream's turn comes (RFC 9218).
        """
        self._scheduler.setPriority(streamID, urgency, incremental)

    def forget(self, streamID: int) -> None:
        """
        Send nothing more of a stream's body.
        """
        self._scheduler.remove(streamID)
        self._blocked.discard(streamID)

    def clear(self) -> None:
        """
        Send nothing more of any body.
        """
        self._scheduler.clear()
        self._blocked.clear()

    def unblock(self, streamID: int) -> None:
        """
        Look whether a stream that waits for its window has one now.
        """
        if streamID in self._blocked and self._writer.streams[streamID].outbound_flow_control_window > 0:
            self._blocked.discard(streamID)
            self._scheduler.ready(streamID)

    def unblockAll(self) -> None:
        """
        Look at every stream that waits for its window: SETTINGS change them all (RFC 9113 section 6.9.2).
        """
        for streamID in list(self._blocked):
            self.unblock(streamID)

    def control(self) -> bytes:
        """
        Take out the control frames.
        """
        waiting = self._writer.data_to_send()
        if not self._control:
            return waiting
        control, self._control = self._control, []
        control.append(waiting)
        return b"".join(control)

    def nextFrame(self) -> tuple[Record, int] | None:
        """
        Queue the next DATA frame, of whichever stream's turn it is.

        @return: the stream and the frame's size; L{None} if nothing can be sent now.
        """
        writer = self._writer
        scheduler = self._scheduler
        while True:
            streamID = scheduler.next()
            if streamID is None or writer.outbound_flow_control_window <= 0:
                return None
            window = writer.local_flow_control_window(streamID)
            if window > 0:
                break
            scheduler.block(streamID)
            self._blocked.add(streamID)
        record = self._table.open[streamID]
        queue = record.queue
        assert queue is not None  # only streams with something queued are in line
        largest = min(window, writer.max_outbound_frame_size)
        data = queue.take(largest)
        self._account.add(-len(data))
        record.movedAt = self._tick
        last = queue.ended and not queue.size
        flags = 0
        if last and record.trailers is None:
            self._endBelow(streamID)
            flags = END_STREAM
        size = self._emitData(streamID, data, flags, largest)
        if not queue.size:
            scheduler.block(streamID)
        scheduler.served(streamID)
        if last and record.trailers is not None:
            self._sendEnd(record)
        elif last:
            record.localOpen = False
        return record, size + HEAD

    def _emitData(self, streamID: int, data: bytes, flags: int, largest: int) -> int:
        """
        Queue a DATA frame.  It is made here and h2 only moved along, which would copy it twice more.

        @param largest: how long its payload may become by padding.

        @return: how long it is.
        """
        size = len(data)
        if self._padding:
            extra = paddingFor(self._padding, size, largest - size)
            if extra:
                data = padded(data, extra)
                flags |= PADDED
                size += extra
        writer = self._writer
        writer.outbound_flow_control_window -= size
        writer.streams[streamID].outbound_flow_control_window -= size
        self.emit(buildFrame(DATA, flags, streamID, data))
        return size

    def stalled(self) -> list[int]:
        """
        Tell which streams had something to send before the last two questions, and have sent nothing since.
        """
        self._tick += 1
        return [
            record.streamID
            for record in self._table.open.values()
            if record.queue is not None and record.queue.size and record.movedAt < self._tick - 2
        ]

    def hasRoomAgain(self, record: Record) -> bool:
        """
        Whether a queue that was above the high-water mark has come below the low one; says so once.
        """
        if record.pausedWriter and record.queue is not None and record.queue.size <= self._lowWater:
            record.pausedWriter = False
            return True
        return False
