"""
Files as bodies: what C{ServerStream.respondWithFile} and C{ServerStream.respondWithFD} do.

A file passes through three hands.  A L{Source} knows how to look at a file and how to read it, and does both in a worker
thread.  A L{SourceUse} lets one thing at a time happen to it there, and gives it back (closes it, if it was opened here)
when the answer is over and no thread works on it any more: a descriptor that is closed under a thread's hands may be
another file's by the time it is read.  L{FileAnswer} decides what to say, then L{FilePump}, a pull producer, sends the
bytes: it holds one chunk that was read ahead, and hands it over when the stream has room.

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
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO, Final, Protocol, TypeAlias, TypeVar, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IProducer, IPullProducer
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txh2session.errors import ErrorCode, HTTP2Error, InvalidHeader, InvalidState
from txh2session.headers import Headers, HeadersLike, responseHeaders, trailerHeaders

_log = Logger()

T = TypeVar("T")

CHUNK: Final = 64 * 1024
"""How much is read at once.  At most this is held here, and this and C{Limits.sendHighWater} in the stream's queue."""

BODILESS: Final = frozenset({204, 205, 304})
"""Answers that have no body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5)."""

_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
    # Else opening a FIFO that nobody writes to would hold a thread for ever; regular files do not care.
    | getattr(os, "O_NONBLOCK", 0)
)


class FileError(HTTP2Error):
    """
    A file cannot be the body: it is not a regular file (Node's C{ERR_HTTP2_SEND_FILE}), or it became shorter while it was
    being sent.
    """


class FileNotSeekable(FileError):
    """
    A part was asked of something that can only be read from where it stands (Node's C{ERR_HTTP2_SEND_FILE_NOSEEK}).
    """


class RangeNotSatisfiable(FileError):
    """
    The offset is beyond the file's end: answer 416 (RFC 9110 section 15.5.17).

    @ivar size: the file's size, for C{content-range: bytes */size}.
    """

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(f"the file has {size} bytes, none of them at offset {offset}")
        self.size = size


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


class InThread(Protocol):
    """
    Runs a function where it may block, as L{deferToThread}.
    """

    def __call__(self, function: Callable[[], T], /) -> Deferred[T]:
        """
        Run it.

        @return: fires with its result, where streams may be used.
        """


class ReadsBytes(Protocol):
    """
    A binary file object.
    """

    def read(self, size: int, /) -> bytes:
        """
        Read some bytes, none at the end.
        """


PathLike: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
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
# What is read


class Source:
    """
    A descriptor that was given, and is left open.

    Where that is possible it is read at positions of its own, so that it can be the body of many answers at once.

    @ivar knowsSize: whether the length of the body is promised from the file's size.
    @ivar mayBlock: whether L{place} has to happen in a thread.
    """

    knowsSize = False
    mayBlock = False

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size: int | None = None
        self._seekable = False
        self._position = 0

    def look(self) -> os.stat_result | None:
        """
        Learn what it is; in a thread.

        @raise FileError: if it cannot be sent.
        """
        found = os.fstat(self._descriptor)
        self._judge(found)
        try:
            os.lseek(self._descriptor, 0, os.SEEK_CUR)
            self._seekable = True
        except OSError:
            pass  # a pipe, a socket or a terminal: it is read from where it stands
        return found

    def _judge(self, found: os.stat_result) -> None:
        if S_ISDIR(found.st_mode):
            raise FileError("a directory cannot be sent")
        if S_ISREG(found.st_mode):
            self._size = found.st_size

    def place(self, offset: int) -> None:
        """
        Begin at an offset.

        @raise FileNotSeekable: if there are no offsets in it.
        @raise RangeNotSatisfiable: if it ends before.
        """
        if not self._seekable and offset:
            raise FileNotSeekable(f"there is no offset {offset} in what can only be read from where it stands")
        if self._size is not None and offset > self._size:
            raise RangeNotSatisfiable(offset, self._size)
        self._position = offset

    @property
    def size(self) -> int:
        """
        How many bytes there were, beginning at the offset.
        """
        return (self._size or 0) - self._position

    def read(self, size: int) -> bytes:
        """
        Read on; in a thread.
        """
        if not self._seekable:
            return os.read(self._descriptor, size)
        if hasattr(os, "pread"):
            data = os.pread(self._descriptor, size, self._position)
        else:
            os.lseek(self._descriptor, self._position, os.SEEK_SET)
            data = os.read(self._descriptor, size)
        self._position += len(data)
        return data

    def close(self) -> None:
        """
        Close what was opened here: nothing.
        """


class PathSource(Source):
    """
    A regular file that is opened here, and closed.
    """

    knowsSize = True

    def __init__(self, path: PathLike, ranged: bool) -> None:
        """
        @param ranged: whether a part of it was asked for.
        """
        super().__init__(-1)
        self._path = path
        self._ranged = ranged

    def look(self) -> os.stat_result | None:
        """See L{Source.look}."""
        self._descriptor = os.open(self._path, _OPEN_FLAGS)
        return super().look()

    def _judge(self, found: os.stat_result) -> None:
        super()._judge(found)
        if self._size is None:
            if self._ranged:
                raise FileNotSeekable("only regular files have parts that can be sent")
            raise FileError("only regular files can be sent by name")

    def close(self) -> None:
        """
        Close it.
        """
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class ObjectSource(Source):
    """
    A file object that was given, and is left open.  Nobody else may read it meanwhile.
    """

    mayBlock = True

    def __init__(self, file: ReadsBytes, descriptor: int) -> None:
        """
        @param descriptor: that of the file below, -1 if there is none.
        """
        super().__init__(descriptor)
        self._file = file

    def look(self) -> os.stat_result | None:
        """See L{Source.look}."""
        seekable = getattr(self._file, "seekable", None)
        self._seekable = seekable is not None and bool(seekable())
        return None if self._descriptor < 0 else os.fstat(self._descriptor)

    def place(self, offset: int) -> None:
        """See L{Source.place}."""
        seek = cast(BinaryIO, self._file).seek if self._seekable else None
        if seek is not None and offset:
            # Not the size of the file below, which is another one if this decompresses, say.
            self._size = seek(0, os.SEEK_END)
        super().place(offset)
        if seek is not None:
            seek(offset)

    def read(self, size: int) -> bytes:
        """See L{Source.read}."""
        data = self._file.read(size)
        if not isinstance(data, bytes):
            raise TypeError(f"reading a file gave {type(data).__name__}, not bytes")
        return data


class SourceUse:
    """
    What happens to a source, one thing at a time, until it is given back.

    @ivar result: fires with L{whole} when the source is in nobody's hands any more.  Never fails.
    @ivar whole: whether all of it was handed to the stream.
    @ivar busy: whether a thread works on it.
    @ivar released: whether it is to be used no more.
    """

    def __init__(self, source: Source, inThread: InThread, cancelled: Callable[[], object]) -> None:
        """
        @param cancelled: called when C{result} is cancelled.
        """

        def cancel(result: Deferred[bool]) -> None:
            cancelled()
            self.release()
            if not result.called:
                result.callback(False)

        self.source = source
        self.result: Deferred[bool] = Deferred(cancel)
        self.whole = False
        self.busy = False
        self.released = False
        self._inThread = inThread

    def run(self, work: Callable[[], T], done: Callable[[T], object], failed: Callable[[Exception], object]) -> None:
        """
        Do something in a thread; neither C{done} nor C{failed} is called when the source was released meanwhile.
        """
        self.busy = True

        def ran(result: T | Failure) -> None:
            self.busy = False
            if self.released:
                self._giveBack()
            elif isinstance(result, Failure):
                failed(_asException(result))
            else:
                done(result)

        # The thread's Deferred stays here: whoever cancels deferToThread's loses what it will bring.
        maybeDeferred(self._inThread, work).addBoth(ran).addErrback(_logged)

    def release(self) -> None:
        """
        Use it no more; does nothing the second time.
        """
        if not self.released:
            self.released = True
            if not self.busy:
                self._giveBack()

    def close(self) -> None:
        """
        Close what was opened here.
        """
        try:
            self.source.close()
        except OSError:
            _log.failure("closing a file that was sent failed")

    def _giveBack(self) -> None:
        self.close()
        if not self.result.called:
            self.result.callback(self.whole)


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
        verdict.addCallbacks(self._checked, self._checkFailed).addErrback(_logged)

    def _checkFailed(self, failure: Failure) -> None:
        _log.failure("the statCheck of {stream!r} failed", failure=failure, stream=self._stream)
        self._refuse(_asException(failure))

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
        self._stream.destroy(_asException(failure))


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


def _asException(failure: Failure) -> Exception:
    error = failure.value
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def _logged(failure: Failure) -> None:
    _log.failure("sending a file failed in a way it should not", failure=failure)


# ---------------------------------------------------------------------------------------------------------------------
# What is called


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
    Answer with a file (Node's reference 10.7).  See L{ServerStream.respondWithFile
    <txh2session.ServerStream.respondWithFile>}.

    @param stream: what to answer on.
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
    Answer with what is open already (Node's reference 10.8).  See L{ServerStream.respondWithFD
    <txh2session.ServerStream.respondWithFD>}.

    @param stream: what to answer on.
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
