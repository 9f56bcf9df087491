"""
What keeps a producer to what its stream can take: push producers are paused and resumed, pull producers are asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.interfaces import IProducer, IPullProducer, IPushProducer


class ProducerFeed:
    """
    One producer and the stream it writes to.

    @ivar producer: the producer.
    """

    def __init__(self, producer: IProducer, streaming: bool, hasRoom: Callable[[], bool]) -> None:
        """
        @param streaming: whether it is a push producer.
        @param hasRoom: says whether the stream's queue is below the high-water mark.
        """
        self.producer = producer
        self._streaming = streaming
        self._hasRoom = hasRoom
        self._paused = False
        self._asking = False
        self._awaited = False
        self._stopped = False

    def start(self) -> None:
        """
        Let it produce, if there is room.
        """
        if self._streaming:
            self.wrote()
        else:
            self._ask()

    def stop(self) -> None:
        """
        Neither pause, resume nor ask it any more.
        """
        self._stopped = True

    def wrote(self) -> None:
        """
        Somebody wrote: pause a push producer that has filled the queue, ask a pull producer that was late again.
        """
        if not self._streaming:
            if self._awaited:
                self._awaited = False
                self._ask()
        elif not self._paused and not self._hasRoom():
            self._paused = True
            cast(IPushProducer, self.producer).pauseProducing()

    def drained(self) -> None:
        """
        There is room again.
        """
        if not self._streaming:
            self._ask()
        elif self._paused:
            self._paused = False
            cast(IPushProducer, self.producer).resumeProducing()

    def _ask(self) -> None:
        """
        Ask a pull producer until there is enough, or until it means to write later.
        """
        if self._asking:
            return
        self._asking = True
        try:
            while not self._stopped and not self._awaited and self._hasRoom():
                self._awaited = True
                cast(IPullProducer, self.producer).resumeProducing()
        finally:
            self._asking = False
