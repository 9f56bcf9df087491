"""
What a file that becomes a body is read from, in worker threads.

A L{Source} knows how to look at a file and how to read it, and does both in a worker thread.  A L{SourceUse} lets one thing
at a time happen to it there, and gives it back (closes it, if it was opened here) when the answer is over and no thread
works on it any more: a descriptor that is closed under a thread's hands may be another file's by the time it is read.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from stat import S_ISDIR, S_ISREG
from typing import BinaryIO, Final, Protocol, TypeAlias, TypeVar, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txh2session.errors import FileError, FileNotSeekable, RangeNotSatisfiable

_log = Logger()

T = TypeVar("T")

PathLike: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"

_OPEN_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOCTTY", 0)
    # Else opening a FIFO that nobody writes to would hold a thread for ever; regular files do not care.
    | getattr(os, "O_NONBLOCK", 0)
)


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
                failed(asException(result))
            else:
                done(result)

        # The thread's Deferred stays here: whoever cancels deferToThread's loses what it will bring.
        maybeDeferred(self._inThread, work).addBoth(ran).addErrback(logUnforeseen)

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


def asException(failure: Failure) -> Exception:
    """
    Take the exception out of a failure; one that is not an L{Exception} is wrapped, so that it ends an answer and no more.
    """
    error = failure.value
    return error if isinstance(error, Exception) else RuntimeError(repr(error))


def logUnforeseen(failure: Failure) -> None:
    """
    Log what no path leads to.
    """
    _log.failure("sending a file failed in a way it should not", failure=failure)
