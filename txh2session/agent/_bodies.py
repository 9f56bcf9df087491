"""
Request bodies: from an C{IBodyProducer} to a stream, or to one stream after another where the request is sent again.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import RequestGenerationFailed
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from txh2session import ClientStream, ErrorCode

_log = Logger()

_KEPT: Final = 64 * 1024
"""How many bytes of a body are kept so that it can be sent again."""


class IReplayableBodyProducer(IBodyProducer):
    """
    A body producer that can be had again from the beginning.
    """

    def replay() -> IBodyProducer:
        """
        Make a producer of the same body.  The one that is asked has been told to stop.
        """


@implementer(IConsumer, IPushProducer)
class RequestBody:
    """
    Feeds a producer's body to the stream that a request is on.

    To the producer it is the consumer, to the stream the producer.  What has been produced is kept up to 64 KiB: as far as
    that reaches, the body is given to the next stream from there, while the producer waits; it never starts twice.

    @ivar started: whether the producer was ever asked for anything.
    @ivar complete: whether all of the body was given to a stream.
    """

    def __init__(self, producer: IBodyProducer) -> None:
        """
        @param producer: whose C{length} says how much will come, if it is known.
        """
        self._producer = producer
        self._length: int | None = None if producer.length is UNKNOWN_LENGTH else producer.length
        self._stream: ClientStream | None = None
        self._kept: list[bytes] | None = []
        self._size = 0
        self._begun = False
        self._paused = False
        self._streamFull = False
        self._stopped = False
        self._settled = False
        self._producing = True
        self._error: Exception | None = None
        self.started = False
        self.complete = False

    def __call__(self, stream: ClientStream) -> None:
        """
        Feed a stream, the first or the next one.

        @raise Exception: what producing has failed with meanwhile.
        """
        if self._error is not None:
            raise self._error
        self._stream = stream
        self._streamFull = False
        stream.registerProducer(self, True)
        if not self._begun:
            self._start()
            return
        for data in self._kept or ():
            stream.write(data)
        if not self._producing:
            self._end()
        elif not self._streamFull:
            self._resume()

    def _start(self) -> None:
        self._begun = self.started = True
        try:
            produced: Deferred[Any] = self._producer.startProducing(self)
        except Exception:
            self._failed(Failure())
        else:
            producer = self._producer
            produced.addCallbacks(
                lambda _: self._produced(producer), lambda failure: self._producingFailed(producer, failure)
            )

    def canGoAgain(self) -> bool:
        """
        Whether all that has been produced can be given to another stream.
        """
        if self._error is not None or self._settled:
            return False
        if self._kept is not None:
            return not self._stopped
        if not IReplayableBodyProducer.providedBy(self._producer):
            return False
        self._stopProducer()
        self._producer = IReplayableBodyProducer(self._producer).replay()
        self._kept, self._size = [], 0
        self._begun = self._paused = self._stopped = False
        self._producing = True
        return True

    def settle(self) -> None:
        """
        The request has been answered, or has failed: it will not be sent again.
        """
        self._settled = True
        self._kept = None
        if self._stream is None:
            self._stopProducer()

    def abandon(self) -> None:
        """
        Produce no more: the server has answered completely and needs no more.
        """
        stream, self._stream = self._stream, None
        self.settle()
        if stream is not None:
            stream.unregisterProducer()

    def _stopProducer(self) -> None:
        if self._stopped or not self._begun or not self._producing:
            return
        self._stopped = True
        self._producing = False
        try:
            self._producer.stopProducing()
        except Exception:
            _log.failure("{producer}.stopProducing failed", producer=self._producer)

    # -----------------------------------------------------------------------------------------------------------------
    # For the producer

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See L{IConsumer}.  A body producer is registered from the beginning."""
        raise RuntimeError(f"cannot register {producer}: the body producer is registered already")

    def unregisterProducer(self) -> None:
        """See L{IConsumer}."""

    def write(self, data: bytes) -> None:
        """
        See L{IConsumer}.
        """
        if not self._producing or self._error is not None:
            return
        self._size += len(data)
        if self._length is not None and self._size > self._length:
            self._failed(Failure(ValueError(f"the body producer wrote more than its length, {self._length} bytes")))
            return
        if self._kept is not None:
            if self._size <= _KEPT:
                self._kept.append(data)
            else:
                self._kept = None
        if self._stream is not None:
            self._stream.write(data)

    def _produced(self, producer: IBodyProducer) -> None:
        if producer is not self._producer or self._stopped or self._error is not None:
            return
        self._producing = False
        if self._length is not None and self._size < self._length:
            error = ValueError(f"the body producer wrote {self._size} bytes of {self._length}")
            self._failed(Failure(error))
            return
        if self._stream is not None:
            self._end()

    def _end(self) -> None:
        stream = self._stream
        assert stream is not None
        self.complete = True
        stream.unregisterProducer()
        stream.end()

    def _producingFailed(self, producer: IBodyProducer, failure: Failure) -> None:
        if producer is self._producer and not self._stopped and self._error is None:
            self._producing = False
            self._failed(failure)

    def _failed(self, failure: Failure) -> None:
        """
        There will be no whole body.
        """
        self._error = RequestGenerationFailed([failure])
        self._kept = None
        self._stopProducer()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.unregisterProducer()
            stream.destroy(self._error, ErrorCode.CANCEL)

    # -----------------------------------------------------------------------------------------------------------------
    # For the stream

    def pauseProducing(self) -> None:
        """See L{IPushProducer}."""
        self._streamFull = True
        self._pause()

    def resumeProducing(self) -> None:
        """See L{IPushProducer}."""
        self._streamFull = False
        self._resume()

    def _pause(self) -> None:
        if self._begun and self._producing and not self._paused:
            self._paused = True
            self._producer.pauseProducing()

    def _resume(self) -> None:
        if self._producing and self._paused:
            self._paused = False
            self._producer.resumeProducing()

    def stopProducing(self) -> None:
        """
        See L{IPushProducer}: the stream is over.  The producer waits for the next one, if there may be one.
        """
        self._stream = None
        self.complete = False
        if self._settled or self._kept is None:
            self._stopProducer()
        else:
            self._pause()
