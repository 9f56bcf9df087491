"""
Files as bodies: C{ServerStream.respondWithFile} and C{ServerStream.respondWithFD}.

What is read, and in which thread, is L{txh2session._sources}'.  L{FileAnswer} decides what to say, then L{FilePump}, a pull
producer, sends the bytes: it holds one chunk that was read ahead, and hands it over when the stream has room.

A coroutine around C{await stream.send()} was considered and dropped: cancelling what it waits for would lose the descriptor
that a thread is about to bring.

This module knows of streams only what L{FileStream} says, and nothing of reactors: whoever calls may say what a thread is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import TextIOBase
from typing import Final, Protocol, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProducer, IPullProducer
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session._sources import (
    InThread,
    ObjectSource,
    PathLike,
    PathSource,
    ReadsBytes,
    Source,
    SourceUse,
    asException,
    logUnforeseen,
)
from txh2session.errors import ErrorCode, FileError, HTTP2Error, InvalidHeader, InvalidState
from txh2session.headers import BODILESS, Headers, HeadersLike, responseHeaders, trailerHeaders

_log = Logger()

T = TypeVar("T")

CHUNK: Final = 64 * 1024
"""How much is read at once.  At most this is held here, and this and C{Limits.sendHighWater} in the stream's queue."""


@dataclass
class FileRange:
    """
    Which part of a file to send.  C{statCheck} may change it.

    @ivar offset: the first byte.
    @ivar length: bytes at most; L{None} for all there are.
    """

    offset: int = 0
    length: int | None = None

    def check(self) -> None:
        """
        Check that both can be meant.

        @raise TypeError: for what is not an integer.
        @raise ValueError: for what is below zero.
        """
        for name, value in (("offset", self.offset), ("length", 0 if self.length is None else self.length)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} is a number of bytes, not {value!r}")
            if value < 0:
                raise ValueError(f"{name} is 0 or more bytes, not {value}")


FileHeaders: TypeAlias = "dict[str, str | bytes | int | Sequence[str | bytes | int]]"
StatCheck: TypeAlias = "Callable[[os.stat_result, FileHeaders, FileRange], object]"
OnError: TypeAlias = "Callable[[Exception], object]"


class FileStream(Protocol):
    """
    What a file is sent on: a L{ServerStream<txh2session.ServerStream>}, of which it needs this.
    """

    @property
    def closed(self) -> bool: ...
    @property
    def headersSent(self) -> bool: ...
    @property
    def headRequest(self) -> bool: ...
    def respond(self, headers: HeadersLike | None = None, endStream: bool = False) -> None: ...
    def write(self, data: bytes) -> None: ...
    def end(self, data: bytes | None = None, trailers: HeadersLike | None = None) -> None: ...
    def registerProducer(self, producer: IProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def whenClosed(self) -> Deferred[None]: ...
    def close(self, code: int = ErrorCode.NO_ERROR) -> None: ...
    def destroy(self, error: Exception | None = None) -> None: ...


# ---------------------------------------------------------------------------------------------------------------------
# What is said


@dataclass(frozen=True)
class AnswerOptions:
    """
    What an application wants of an answer.

    @ivar headers: what C{statCheck} may change, complete but for C{content-length} and C{date}.
    @ivar sensitive: names never to be indexed.
    @ivar trailers: what follows the body.
    @ivar waitForTrailers: whether the application will end the stream itself.
    """

    headers: FileHeaders
    sensitive: frozenset[bytes]
    range: FileRange
    statCheck: StatCheck | None
    onError: OnError | None
    trailers: Headers | None
    waitForTrailers: bool


class FileAnswer:
    """
    Takes an answer to its headers: look, ask the application, place, respond.
    """

    def __init__(self, stream: FileStream, source: Source, options: AnswerOptions, inThread: InThread) -> None:
        self._stream = stream
        self._source = source
        self._options = options
        self._use = SourceUse(source, inThread, lambda: stream.close(ErrorCode.CANCEL))

    def start(self) -> Deferred[bool]:
        """
        Begin.

        @return: as L{respondWithFile}.
        """
        self._stream.whenClosed().addBoth(lambda _: self._use.release())
        self._use.run(self._source.look, self._looked, self._refuse)
        return self._use.result

    def _isOver(self) -> bool:
        """
        Give up if the stream has ended, or was answered in another way.
        """
        if self._stream.closed or self._stream.headersSent:
            self._use.release()
        return self._use.released

    def _looked(self, found: os.stat_result | None) -> None:
        statCheck, options = self._options.statCheck, self._options
        if self._isOver():
            return
        if statCheck is None or found is None:
            self._checked(None)
            return
        verdict: Deferred[object] = maybeDeferred(statCheck, found, options.headers, options.range)
        verdict.addCallbacks(self._checked, self._checkFailed).addErrback(logUnforeseen)

    def _checkFailed(self, failure: Failure) -> None:
        _log.failure("the statCheck of {stream!r} failed", failure=failure, stream=self._stream)
        self._refuse(asException(failure))

    def _checked(self, verdict: object) -> None:
        if verdict is False:
            self._use.release()
        if self._isOver():
            return
        try:
            self._options.range.check()
            if not self._source.mayBlock:
                self._source.place(self._options.range.offset)
        except (FileError, TypeError, ValueError) as error:
            self._refuse(error)
            return
        if self._source.mayBlock:
            place = partial(self._source.place, self._options.range.offset)
            self._use.run(place, lambda _: self._respond(), self._refuse)
        else:
            self._respond()

    def _respond(self) -> None:
        """
        Send the headers, and all that follows.
        """
        if self._isOver():
            return
        stream, options = self._stream, self._options
        try:
            headers, left, promised = self._complete()
            bodiless = headers.status in BODILESS or stream.headRequest
            ended = bodiless or (left == 0 and options.trailers is None and not options.waitForTrailers)
            self._use.whole = ended  # before the stream says that it is closed
            stream.respond(headers, endStream=ended)
        except Exception as error:
            self._use.whole = False
            if stream.headersSent:
                stream.destroy(error)
            self._refuse(error)
            return
        if ended:
            self._use.release()
        else:
            FilePump(stream, self._use, options, left, promised).start()

    def _complete(self) -> tuple[Headers, int | None, bool]:
        """
        Make the headers.

        @return: they, how many bytes to send at most, and whether that many were promised.
        """
        length, fields = self._options.range.length, self._options.headers
        if self._source.knowsSize:
            size = self._source.size if length is None else min(length, self._source.size)
            fields = {name: value for name, value in fields.items() if not _isContentLength(name)}
            headers = responseHeaders(Headers(fields, self._options.sensitive), None)
            if headers.status not in BODILESS:
                counted = [*headers.rawHeaders, (b"content-length", b"%d" % size)]
                headers = Headers.received(counted, headers.sensitive)
            return headers, size, True
        headers = responseHeaders(Headers(fields, self._options.sensitive), None)
        promise = headers.get(b"content-length")
        if promise is None:
            return headers, length, False
        if length is not None and length < int(promise):
            raise InvalidHeader(f"content-length promises {int(promise)} bytes, and length allows {length}")
        return headers, int(promise), True

    def _refuse(self, error: Exception) -> None:
        """
        Tell the application what went wrong while it can still answer, or else end the stream.
        """
        self._use.close()
        if self._isOver():
            return
        stream, onError = self._stream, self._options.onError
        if onError is None:
            _log.warn("{stream!r} gets no file: {error}", stream=stream, error=error)
            stream.destroy(error)
        else:
            answered: Deferred[object] = maybeDeferred(onError, error)
            answered.addErrback(self._onErrorFailed).addBoth(lambda _: self._use.release())

    def _onErrorFailed(self, failure: Failure) -> None:
        if self._stream.closed and failure.check(HTTP2Error):
            return  # it was told that the stream had ended, and had nothing to add
        _log.failure("the onError of {stream!r} failed", failure=failure, stream=self._stream)
        self._stream.destroy(asException(failure))


@implementer(IPullProducer)
class FilePump:
    """
    Sends what a source has: reads one chunk ahead, and hands it over when asked.
    """

    def __init__(
        self, stream: FileStream, use: SourceUse, options: AnswerOptions, left: int | None, promised: bool
    ) -> None:
        """
        @param left: bytes to send at most; L{None} for all there are.
        @param promised: whether fewer are an error.
        """
        self._stream = stream
        self._use = use
        self._options = options
        self._left = left
        self._promised = promised
        self._ahead: bytes | None = None
        self._last = False
        self._asked = False
        self._going = False

    def start(self) -> None:
        """
        Begin.
        """
        if self._left == 0:
            self._ahead, self._last = b"", True
        try:
            self._stream.registerProducer(self, False)
        except RuntimeError as error:
            self._fail(error)  # the application has registered one of its own

    def resumeProducing(self) -> None:
        """See L{IPullProducer}."""
        self._asked = True
        self._go()

    def stopProducing(self) -> None:
        """See L{IPullProducer}."""
        self._use.release()

    def _go(self) -> None:
        """
        Hand over, and read, as long as there is something to do at once.
        """
        if self._going:
            return
        self._going = True
        try:
            while not self._use.released and not self._use.busy:
                data = self._ahead
                if data is None:
                    size = CHUNK if self._left is None else min(CHUNK, self._left)
                    self._use.run(partial(self._use.source.read, size), self._arrived, self._fail)
                elif self._asked or not data:
                    self._ahead, self._asked = None, False
                    self._hand(data)
                else:
                    break
        except Exception as error:
            self._fail(error)  # the application ended the body itself
        finally:
            self._going = False

    def _arrived(self, data: bytes) -> None:
        if self._left is not None:
            data = data[: self._left]
            self._left -= len(data)
            if self._promised and self._left and not data:
                self._fail(FileError(f"the file became shorter while it was sent: {self._left} bytes are missing"))
                return
        self._last = not data or self._left == 0
        self._ahead = data
        self._go()

    def _hand(self, data: bytes) -> None:
        if not self._last:
            self._stream.write(data)
            return
        self._stream.unregisterProducer()
        self._use.whole = True  # before the stream says that it is closed
        if not self._options.waitForTrailers:
            self._stream.end(data, self._options.trailers)
        elif data:
            self._stream.write(data)
        self._use.release()

    def _fail(self, error: Exception) -> None:
        """
        Reset the stream, so that what was sent does not look whole.
        """
        self._use.whole = False
        _log.warn("sending a file on {stream!r} failed: {error}", stream=self._stream, error=error)
        self._stream.destroy(error)
        self._use.release()


def _isContentLength(name: str | bytes) -> bool:
    return (name.encode() if isinstance(name, str) else name).lower() == b"content-length"


# ---------------------------------------------------------------------------------------------------------------------
# Called as methods of ServerStream


def respondWithFile(
    stream: FileStream,
    path: PathLike,
    headers: HeadersLike | None = None,
    *,
    offset: int = 0,
    length: int | None = None,
    statCheck: StatCheck | None = None,
    onError: OnError | None = None,
    trailers: HeadersLike | None = None,
    waitForTrailers: bool = False,
    threads: InThread = deferToThread,
) -> Deferred[bool]:
    """
    Answer with a regular file: open it, look at it, send its length and its bytes, close it (Node's reference 10.7).

    Nothing blocks, and only a few chunks of 64 KiB are in memory, however slow the disk or the client are.  HEAD is
    answered with the headers alone.  A read that fails, or a file that becomes shorter while it is sent, resets the
    stream with INTERNAL_ERROR.

    @param offset: the first byte to send.
    @param length: bytes to send at most.  C{content-length} says what is sent.
    @param statCheck: called with the file's L{os.stat_result}, a dictionary of the headers (names in lower case) and
        a L{FileRange} before anything is sent; may change the last two, C{:status} included, respond itself, or
        cancel by returning L{False}.  May be a coroutine function.
    @param onError: called with the exception if nothing can be sent: an L{OSError}, a L{FileError}, among them
        L{FileNotSeekable} and L{RangeNotSatisfiable}, L{InvalidHeader<txh2session.InvalidHeader>}, or what
        C{statCheck} raised.  It can still answer.  Without it the stream is destroyed with that exception.
    @param trailers: what to send after the file.
    @param waitForTrailers: leave it to the caller to L{end<Stream.end>} the stream, when the Deferred has fired.
    @param threads: runs a function in a thread and returns a Deferred; the reactor's threads unless given.

    @return: fires when the file is closed: with L{True} if all of it was handed to the stream, with L{False} if it was
        not.  It never fails; why it was not is what C{onError} or L{whenClosed<Stream.whenClosed>} says.  Cancelling
        it resets the stream with CANCEL.

    @raise InvalidHeader: for headers that may not be sent, and a C{:status} that has no body.
    @raise InvalidState: after C{respond}, or on a stream that is closed.
    """
    options = _options(stream, headers, FileRange(offset, length), statCheck, onError, trailers, waitForTrailers)
    source = PathSource(os.fspath(path), ranged=offset > 0 or length is not None)
    return FileAnswer(stream, source, options, threads).start()


def respondWithFD(
    stream: FileStream,
    file: int | ReadsBytes,
    headers: HeadersLike | None = None,
    *,
    offset: int = 0,
    length: int | None = None,
    statCheck: StatCheck | None = None,
    onError: OnError | None = None,
    trailers: HeadersLike | None = None,
    waitForTrailers: bool = False,
    threads: InThread = deferToThread,
) -> Deferred[bool]:
    """
    Answer with what is open already, and stays open: a descriptor or a binary file object (Node's reference 10.8).

    A descriptor of a file is read without moving it, and can be the body of several answers at once.  What cannot be
    sought is read from where it stands, and has no C{offset}.  There is no C{content-length} unless C{headers} has
    one, which is then kept: no more is sent, and less resets the stream.

    The other parameters, the Deferred and the exceptions are those of L{respondWithFile}; C{statCheck} needs a
    descriptor, or an object with a C{fileno()}.

    @param file: anything with a C{read(size)} that gives bytes, or a descriptor.  It may be closed when the Deferred
        has fired, unless that was cancelled: then a thread may be reading it still.
    """
    options = _options(stream, headers, FileRange(offset, length), statCheck, onError, trailers, waitForTrailers)
    if isinstance(file, int) and not isinstance(file, bool):
        return FileAnswer(stream, Source(file), options, threads).start()
    if isinstance(file, (int, TextIOBase)) or not callable(getattr(file, "read", None)):
        raise TypeError(f"a descriptor or a binary file object is needed, not {type(file).__name__}")
    descriptor = _descriptorOf(file)
    if descriptor < 0 and statCheck is not None:
        raise TypeError(f"statCheck has nothing to look at: {type(file).__name__} has no descriptor")
    return FileAnswer(stream, ObjectSource(file, descriptor), options, threads).start()


def _options(
    stream: FileStream,
    headers: HeadersLike | None,
    part: FileRange,
    statCheck: StatCheck | None,
    onError: OnError | None,
    trailers: HeadersLike | None,
    waitForTrailers: bool,
) -> AnswerOptions:
    """
    Check what was asked for, before anything is opened.
    """
    if stream.closed or stream.headersSent:
        raise InvalidState("the stream is closed" if stream.closed else "respond() was called before")
    checked = responseHeaders(headers, None)
    if checked.status in BODILESS:
        raise InvalidHeader(f"a response with :status {checked.status} has no body, so no file can be sent")
    part.check()
    for name, value in (("statCheck", statCheck), ("onError", onError)):
        if value is not None and not callable(value):
            raise TypeError(f"{name} is a function, not {value!r}")
    if trailers is not None and waitForTrailers:
        raise TypeError("either give the trailers now, or wait for them")
    following = None if trailers is None else trailerHeaders(trailers)
    return AnswerOptions(
        headers=_changeable(checked),
        sensitive=checked.sensitive,
        range=part,
        statCheck=statCheck,
        onError=onError,
        trailers=following if following else None,
        waitForTrailers=waitForTrailers,
    )


def _changeable(headers: Headers) -> FileHeaders:
    """
    Make a dictionary of headers: names in lower case, text for one value, a list for several.
    """
    fields: FileHeaders = {}
    for name, _ in headers:
        values = headers.getAll(name)
        fields[name] = values[0] if len(values) == 1 else values
    return fields


def _descriptorOf(file: object) -> int:
    """
    Find the descriptor below a file object, -1 if there is none.
    """
    fileno = getattr(file, "fileno", None)
    try:
        return -1 if fileno is None else int(fileno())
    except OSError:  # io.UnsupportedOperation
        return -1
