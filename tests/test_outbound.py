"""
L{txh2session._outbound}.
"""

from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txh2session._outbound import Scheduler, SendQueue


class SendQueueTests(SynchronousTestCase):
    """
    L{SendQueue}.
    """

    @given(st.lists(st.one_of(st.binary(max_size=20), st.integers(0, 30)), max_size=60))
    def test_likeABytearray(self, steps: list[bytes | int]) -> None:
        """
        What is put in comes out in order, as much as was asked for or all there is.
        """
        queue = SendQueue()
        model = bytearray()
        for step in steps:
            if isinstance(step, bytes):
                queue.append(step)
                model += step
            else:
                taken = queue.take(step)
                self.assertIs(type(taken), bytes)
                self.assertEqual(taken, bytes(model[:step]))
                del model[:step]
            self.assertEqual(queue.size, len(model))
        self.assertEqual(queue.take(10**6), bytes(model))

    def test_empty(self) -> None:
        """
        Nothing can be taken out of an empty queue, nor of one that was given nothing.
        """
        queue = SendQueue()
        self.assertEqual(queue.take(5), b"")
        queue.append(b"")
        self.assertEqual((queue.take(5), queue.size), (b"", 0))

    def test_wholeChunkIsNotCopied(self) -> None:
        """
        A chunk that is taken as it was put in is the same object.
        """
        queue = SendQueue()
        chunk = bytes(1000)
        queue.append(chunk)
        self.assertIs(queue.take(16384), chunk)

    def test_smallWritesFillAFrame(self) -> None:
        """
        Many small writes go out in one large frame.
        """
        queue = SendQueue()
        for _ in range(1000):
            queue.append(b"0123456789")
        self.assertEqual(len(queue.take(8192)), 8192)
        self.assertEqual(queue.size, 10000 - 8192)

    def test_ended(self) -> None:
        """
        A queue is not ended before somebody says so.
        """
        self.assertFalse(SendQueue().ended)


def turns(scheduler: Scheduler, count: int) -> list[int | None]:
    """
    Let streams send frames without end and note whose they were.
    """
    order = []
    for _ in range(count):
        streamID = scheduler.next()
        order.append(streamID)
        if streamID is not None:
            scheduler.served(streamID)
    return order


class SchedulerTests(SynchronousTestCase):
    """
    L{Scheduler}.
    """

    def setUp(self) -> None:
        """
        Make one.
        """
        self.scheduler = Scheduler()

    def ready(self, *streamIDs: int) -> None:
        """
        Have streams ready.
        """
        for streamID in streamIDs:
            self.scheduler.ready(streamID)

    def test_nobody(self) -> None:
        """
        Where nobody is ready it is nobody's turn; asking does not change whose turn it is.
        """
        self.assertIsNone(self.scheduler.next())
        self.ready(1)
        self.assertEqual((self.scheduler.next(), self.scheduler.next()), (1, 1))

    def test_turns(self) -> None:
        """
        Streams nobody gave a priority take turns of a frame.
        """
        self.ready(1, 3, 5)
        self.assertEqual(turns(self.scheduler, 7), [1, 3, 5, 1, 3, 5, 1])

    def test_urgency(self) -> None:
        """
        The lower urgency goes first, the default is 3.
        """
        self.scheduler.setPriority(5, 0, True)
        self.scheduler.setPriority(7, 7, True)
        self.scheduler.setPriority(3, 2, False)
        self.ready(1, 7, 3, 5)
        order = []
        while (streamID := self.scheduler.next()) is not None:
            order.append(streamID)
            self.scheduler.block(streamID)
        self.assertEqual(order, [5, 3, 1, 7])

    def test_oneAfterTheOther(self) -> None:
        """
        Streams that are not incremental are served one after the other, each to its end.
        """
        for streamID in (1, 3):
            self.scheduler.setPriority(streamID, 3, False)
        self.ready(1, 3)
        self.assertEqual(turns(self.scheduler, 3), [1, 1, 1])
        self.scheduler.remove(1)
        self.assertEqual(turns(self.scheduler, 2), [3, 3])

    def test_blockedKeepsItsPlace(self) -> None:
        """
        A stream that was blocked when its turn came has it as soon as it is ready again.
        """
        self.ready(1, 3, 5)
        self.assertEqual(turns(self.scheduler, 1), [1])
        self.scheduler.block(3)
        self.assertEqual(turns(self.scheduler, 1), [5])
        self.ready(3)
        self.assertEqual(turns(self.scheduler, 3), [3, 1, 5])

    def test_blockedInOrder(self) -> None:
        """
        Streams blocked one after the other, and unblocked in another order, go on in the order they had.
        """
        self.ready(1, 3, 5, 7)
        for streamID in (1, 3, 5, 7):
            self.assertEqual(self.scheduler.next(), streamID)
            self.scheduler.block(streamID)
        self.assertIsNone(self.scheduler.next())
        self.ready(7, 1, 5, 3)
        self.assertEqual(turns(self.scheduler, 4), [1, 3, 5, 7])

    def test_fairUnderBlocking(self) -> None:
        """
        A window that lets one frame through at a time, with all streams unblocked by number at each update, starves
        nobody.
        """
        streams = range(1, 201, 2)
        self.ready(*streams)
        sent: Counter[int] = Counter()
        for _ in range(1000):
            streamID = self.scheduler.next()
            assert streamID is not None
            sent[streamID] += 1
            self.scheduler.served(streamID)
            for each in streams:
                self.scheduler.block(each)
            self.ready(*streams)
        self.assertEqual(set(sent.values()), {10})

    def test_removed(self) -> None:
        """
        A stream that is removed has no turn; one more removal, and calls for streams never seen, do nothing.
        """
        self.ready(1, 3)
        self.assertEqual(len(self.scheduler), 2)
        for _ in range(2):
            self.scheduler.remove(1)
        self.scheduler.served(1)
        self.scheduler.block(1)
        self.assertEqual(len(self.scheduler), 1)
        self.assertEqual(turns(self.scheduler, 2), [3, 3])

    def test_cleared(self) -> None:
        """
        After clearing there is nobody, and the scheduler can be used again.
        """
        self.ready(1, 3)
        self.scheduler.clear()
        self.assertIsNone(self.scheduler.next())
        self.assertEqual(len(self.scheduler), 0)
        self.ready(3)
        self.assertEqual(self.scheduler.next(), 3)

    def test_reprioritised(self) -> None:
        """
        A stream that gets another urgency while it is ready goes where that belongs, behind those already there.
        """
        self.ready(1, 3, 5)
        self.scheduler.setPriority(5, 1, True)
        self.assertEqual(self.scheduler.next(), 5)
        self.scheduler.setPriority(5, 3, True)
        self.assertEqual(turns(self.scheduler, 3), [1, 3, 5])

    def test_samePriorityKeepsThePlace(self) -> None:
        """
        A priority that says nothing new costs a stream nothing.
        """
        self.ready(1, 3)
        self.scheduler.setPriority(1, 3, True)
        self.assertEqual(self.scheduler.next(), 1)

    def test_becomesIncremental(self) -> None:
        """
        A stream that begins to share does so at its next frame, one that stops sharing keeps the line.
        """
        self.scheduler.setPriority(1, 3, False)
        self.ready(1, 3)
        self.assertEqual(turns(self.scheduler, 2), [1, 1])
        self.scheduler.setPriority(1, 3, True)
        self.assertEqual(turns(self.scheduler, 3), [1, 3, 1])
        self.scheduler.setPriority(3, 3, False)
        self.assertEqual(turns(self.scheduler, 3), [3, 3, 3])

    def grownBy(self, step: Callable[[], object]) -> int:
        """
        Measure the memory that many repetitions of a step keep.
        """
        for _ in range(500):
            step()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(20000):
                step()
            return tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()

    def test_memory(self) -> None:
        """
        However often streams are blocked, served, reprioritised or replaced while another one has the turn, the line does
        not grow.
        """
        scheduler = self.scheduler
        scheduler.setPriority(1, 0, False)
        scheduler.ready(1)
        scheduler.ready(3)
        urgency = [4]
        nextID = [5]

        def blockAndReady() -> None:
            scheduler.block(3)
            scheduler.ready(3)

        def serve() -> None:
            scheduler.served(3)

        def serveBlocked() -> None:
            scheduler.block(3)
            scheduler.served(3)
            scheduler.ready(3)

        def reprioritise() -> None:
            urgency[0] = 9 - urgency[0]
            scheduler.setPriority(3, urgency[0], True)

        def replace() -> None:
            scheduler.ready(nextID[0])
            scheduler.next()
            scheduler.remove(nextID[0])
            nextID[0] += 2

        for step in (blockAndReady, serve, serveBlocked, reprioritise, replace):
            self.assertLess(self.grownBy(step), 100_000, step.__name__)
        scheduler.remove(1)
        self.assertEqual(turns(scheduler, 2), [3, 3])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["ready", "block", "served", "remove", "urgency", "share", "next"]),
                st.integers(1, 6),
                st.integers(0, 3),
            ),
            max_size=400,
        )
    )
    def test_likeASortedList(self, steps: list[tuple[str, int, int]]) -> None:
        """
        It is always the turn of the ready stream of lowest urgency that has waited longest, as a plain list would say.
        """
        scheduler = Scheduler()
        places: dict[int, list[object]] = {}
        stamp = 0
        for what, streamID, number in steps * 2:
            stamp += 1
            if what in ("ready", "urgency", "share"):
                place = places.setdefault(streamID, [3, stamp, True, False])
            if what == "ready":
                scheduler.ready(streamID)
                place[3] = True
            elif what in ("urgency", "share"):
                urgency = number if what == "urgency" else place[0]
                place[2] = number > 1 if what == "share" else place[2]
                scheduler.setPriority(streamID, urgency, bool(place[2]))  # type: ignore[arg-type]
                if place[3] and place[0] != urgency:
                    place[1] = stamp
                place[0] = urgency
            elif what == "block":
                scheduler.block(streamID)
                if streamID in places:
                    places[streamID][3] = False
            elif what == "served":
                scheduler.served(streamID)
                if streamID in places and places[streamID][2]:
                    places[streamID][1] = stamp
            elif what == "remove":
                scheduler.remove(streamID)
                places.pop(streamID, None)
            ready = [(place[0], place[1], each) for each, place in places.items() if place[3]]
            if what == "next" or number == 0:
                self.assertEqual(scheduler.next(), min(ready)[2] if ready else None)  # type: ignore[type-var]
            self.assertEqual(len(scheduler), len(places))
