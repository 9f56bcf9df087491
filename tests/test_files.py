"""
L{txh2session.files}: files as bodies, without a descriptor too many and without more in memory than needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from unittest import skipUnless

from hyperframe.frame import DataFrame
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IPullProducer
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyClass

from txh2session import (
    ErrorCode,
    FileError,
    FileNotSeekable,
    FileRange,
    Headers,
    HTTP2Error,
    InvalidHeader,
    InvalidState,
    Limits,
    RangeNotSatisfiable,
    ServerStream,
    StreamError,
)
from txh2session.files import CHUNK, FilePump, respondWithFD, respondWithFile
from txh2session.testing import ConnectedSessions, FramePeer, connectedSessions

CONTENT = bytes(range(256)) * 2000
"""Half a megabyte: more than all windows and chunks together."""


def atOnce(work: Callable[[], Any]) -> Deferred[Any]:
    """
    Stand in for a thread that is done before anybody looks.
    """
    return maybeDeferred(work)


class Threads:
    """
    Stands in for threads that work when they are told to.

    @ivar waiting: what they were given.
    @ivar most: how much they ever had at once.
    """

    def __init__(self) -> None:
        self.waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.most = 0

    def __call__(self, work: Callable[[], Any], /) -> Deferred[Any]:
        """
        Take some work.
        """
        done: Deferred[Any] = Deferred()
        self.waiting.append((work, done))
        self.most = max(self.most, len(self.waiting))
        return done

    def step(self) -> bool:
        """
        Do the first of it.

        @return: whether there was something to do.
        """
        if not self.waiting:
            return False
        work, done = self.waiting.pop(0)
        maybeDeferred(work).chainDeferred(done)
        return True


class Silent:
    """
    An application's producer that produces nothing.
    """

    stopped = False

    def resumeProducing(self) -> None:
        """See L{IPullProducer}."""

    def stopProducing(self) -> None:
        """See L{IPullProducer}."""
        self.stopped = True


class FileTestCase(SynchronousTestCase):
    """
    A client and a server that answers with files.
    """

    def setUp(self) -> None:
        """
        Watch what is opened and closed.
        """
        self.open: set[int] = set()
        self.opened = 0
        self.read = 0
        reallyOpen, reallyClose, reallyRead = os.open, os.close, os.pread

        def watchedOpen(path: Any, flags: int) -> int:
            descriptor = reallyOpen(path, flags)
            self.open.add(descriptor)
            self.opened += 1
            return descriptor

        def watchedClose(descriptor: int) -> None:
            self.open.remove(descriptor)
            reallyClose(descriptor)

        def watchedRead(descriptor: int, size: int, offset: int) -> bytes:
            data = reallyRead(descriptor, size, offset)
            self.read += len(data)
            return data

        self.reallyOpen = reallyOpen
        self.reallyClose = reallyClose
        self.patch(os, "open", watchedOpen)
        self.patch(os, "close", watchedClose)
        self.patch(os, "pread", watchedRead)
        self.streams: list[ServerStream] = []

    def tearDown(self) -> None:
        """
        Nothing that was opened here may be open still.
        """
        self.assertEqual(self.open, set())

    def file(self, content: bytes = CONTENT) -> str:
        """
        Make a file.
        """
        path = Path(self.mktemp())
        path.write_bytes(content)
        return str(path)

    def descriptor(self, path: str) -> int:
        """
        Open a file as an application does.
        """
        descriptor = self.reallyOpen(path, os.O_RDONLY)
        self.addCleanup(self.reallyClose, descriptor)
        return descriptor

    def sessions(self, **options: Any) -> ConnectedSessions:
        """
        Connect two sessions.
        """
        return connectedSessions(lambda stream, headers: self.streams.append(stream), **options)

    def ask(self, method: str = "GET", **options: Any) -> tuple[Any, ServerStream, ConnectedSessions]:
        """
        Ask for something.

        @return: the client's stream, the server's, and the sessions.
        """
        both = self.sessions(**options)
        client = both.client.request({":method": method}, endStream=True)
        both.pump()
        return client, self.streams[-1], both

    def peer(self, method: str = "GET", **settings: int) -> tuple[FramePeer, ServerStream]:
        """
        Ask for something, frame by frame.
        """
        both = self.sessions()
        peer = FramePeer(both.server.buildProtocol(None))
        peer.start(**settings)
        peer.send(peer.get(1, method=method))
        return peer, self.streams[-1]


class FileAnswerTests(FileTestCase):
    """
    What is answered with a file.
    """

    def test_whole(self) -> None:
        """
        A file arrives whole, with its length, and the Deferred says so (10.7).
        """
        client, stream, both = self.ask()
        body = client.read()
        sent = respondWithFile(stream, self.file(), {"content-type": "image/png"}, threads=atOnce)
        both.pump()
        self.assertEqual(client.headers.status, 200)
        self.assertEqual(client.headers["content-type"], "image/png")
        self.assertEqual(client.headers["content-length"], str(len(CONTENT)))
        self.assertIn("date", client.headers)
        self.assertEqual(self.successResultOf(body), CONTENT)
        self.assertIs(self.successResultOf(sent), True)
        self.successResultOf(stream.whenClosed())
        self.assertEqual(self.opened, 1)

    def test_paths(self) -> None:
        """
        A path may be text, bytes or an object.
        """
        path = self.file(b"hi")
        for given in (path, path.encode(), Path(path)):
            client, stream, both = self.ask()
            body = client.read()
            respondWithFile(stream, given, threads=atOnce)
            both.pump()
            self.assertEqual(self.successResultOf(body), b"hi")
        _, stream, _ = self.ask()
        self.assertRaises(TypeError, respondWithFile, stream, 5, threads=atOnce)

    def test_frames(self) -> None:
        """
        END_STREAM is on the last frame of the file; an empty file is one frame.
        """
        for content, frames in ((b"hi", ["HEADERS 1 200", "DATA 1 2 END_STREAM"]), (b"", ["HEADERS 1 200 END_STREAM"])):
            peer, stream = self.peer()
            self.assertIs(self.successResultOf(respondWithFile(stream, self.file(content), threads=atOnce)), True)
            self.assertEqual(peer.names(), frames)

    def test_range(self) -> None:
        """
        A part is sent from its offset, and no more than is there (10.10).
        """
        path = self.file(b"0123456789")
        cases: list[tuple[dict[str, Any], bytes]] = [
            ({"offset": 3}, b"3456789"),
            ({"length": 4}, b"0123"),
            ({"offset": 3, "length": 4}, b"3456"),
            ({"offset": 8, "length": 400}, b"89"),
            ({"offset": 10}, b""),
            ({"length": 0}, b""),
        ]
        for options, expected in cases:
            client, stream, both = self.ask()
            body = client.read()
            respondWithFile(stream, path, {":status": 206}, threads=atOnce, **options)
            both.pump()
            self.assertEqual(self.successResultOf(body), expected)
            self.assertEqual(client.headers["content-length"], str(len(expected)))

    def test_rangeBeyond(self) -> None:
        """
        An offset beyond the end is an error that knows the size, so that it can be answered with 416 (10.10).
        """
        client, stream, both = self.ask()

        def onError(error: Exception) -> None:
            assert isinstance(error, RangeNotSatisfiable)
            stream.respond({":status": 416, "content-range": f"bytes */{error.size}"}, endStream=True)

        sent = respondWithFile(stream, self.file(b"0123456789"), offset=11, onError=onError, threads=atOnce)
        both.pump()
        self.assertIs(self.successResultOf(sent), False)
        self.assertEqual(client.headers.status, 416)
        self.assertEqual(client.headers["content-range"], "bytes */10")

    def test_missing(self) -> None:
        """
        What cannot be opened is told to C{onError}, which can still answer (10.7).
        """
        client, stream, both = self.ask()
        errors: list[Exception] = []

        def onError(error: Exception) -> None:
            errors.append(error)
            stream.respond({":status": 404}, endStream=True)

        sent = respondWithFile(stream, self.mktemp(), onError=onError, threads=atOnce)
        both.pump()
        self.assertIs(self.successResultOf(sent), False)
        self.assertIsInstance(errors[0], FileNotFoundError)
        self.assertEqual(client.headers.status, 404)
        self.successResultOf(client.whenClosed())

    def test_missingWithoutOnError(self) -> None:
        """
        Without C{onError} the stream is reset with INTERNAL_ERROR, and its Deferreds fail with what happened (10.7).
        """
        peer, stream = self.peer()
        closed = stream.whenClosed()
        self.assertIs(self.successResultOf(respondWithFile(stream, self.mktemp(), threads=atOnce)), False)
        self.assertEqual(peer.names(), ["RST_STREAM 1 INTERNAL_ERROR"])
        self.failureResultOf(closed, FileNotFoundError)

    def refused(self, **options: Any) -> Exception:
        """
        Answer with what cannot be sent.

        @return: the error.
        """
        _, stream, _ = self.ask()
        errors: list[Exception] = []
        self.assertIs(
            self.successResultOf(respondWithFile(stream, onError=errors.append, threads=atOnce, **options)), False
        )
        self.assertFalse(stream.headersSent)
        self.assertFalse(stream.closed)
        (error,) = errors
        return error

    def test_directory(self) -> None:
        """
        A directory is an error (SEND_FILE, 14.15).
        """
        path = self.mktemp()
        Path(path).mkdir()
        self.assertIs(type(self.refused(path=path)), FileError)

    @skipUnless(hasattr(os, "mkfifo"), "there are no FIFOs here")
    def test_notRegular(self) -> None:
        """
        So is anything else that is not a regular file, another one if a part was asked for (SEND_FILE_NOSEEK, 14.15),
        and opening a FIFO waits for nobody.
        """
        path = self.mktemp()
        os.mkfifo(path)
        self.assertIs(type(self.refused(path=path)), FileError)
        self.assertIs(type(self.refused(path=path, length=5)), FileNotSeekable)
        self.assertIs(type(self.refused(path=path, offset=5)), FileNotSeekable)

    def test_errors(self) -> None:
        """
        They are errors of this package.
        """
        self.assertTrue(issubclass(FileError, HTTP2Error))
        self.assertTrue(issubclass(FileNotSeekable, FileError))
        self.assertTrue(issubclass(RangeNotSatisfiable, FileError))

    def test_noBody(self) -> None:
        """
        A status that has no body is refused at the call, and nothing is opened (PAYLOAD_FORBIDDEN, 14.28).
        """
        path = self.file()
        for status in (204, 205, 304):
            peer, stream = self.peer()
            self.assertRaises(InvalidHeader, respondWithFile, stream, path, {":status": status}, threads=atOnce)
            self.assertRaises(InvalidHeader, respondWithFD, stream, 0, {":status": status}, threads=atOnce)
            self.assertEqual(peer.names(), [])
        self.assertEqual(self.opened, 0)

    def test_head(self) -> None:
        """
        HEAD is answered with the headers that GET would have, and nothing is read: Node refuses it (10.7).
        """
        peer, stream = self.peer("HEAD")
        sent = respondWithFile(stream, self.file(), {"a": "b"}, offset=5, trailers={"c": "d"}, threads=atOnce)
        (headers,) = peer.take()
        self.assertIn(("content-length", str(len(CONTENT) - 5)), headers.fields)
        self.assertIn(("a", "b"), headers.fields)
        self.assertIn("END_STREAM", headers.flags)
        self.assertIs(self.successResultOf(sent), True)
        self.assertEqual((self.opened, self.read), (1, 0))

    def test_misuse(self) -> None:
        """
        What cannot be meant raises at the call, naming the option; nothing is sent or opened (11.58).
        """
        peer, stream = self.peer()
        path = self.file()
        cases: list[tuple[dict[str, Any], type[Exception], str]] = [
            ({"offset": -1}, ValueError, "offset"),
            ({"offset": "1"}, TypeError, "offset"),
            ({"offset": True}, TypeError, "offset"),
            ({"length": -1}, ValueError, "length"),
            ({"length": 1.0}, TypeError, "length"),
            ({"statCheck": 5}, TypeError, "statCheck"),
            ({"onError": "x"}, TypeError, "onError"),
            ({"headers": {"a": "\r\n"}}, InvalidHeader, "a"),
            ({"headers": {":status": 100}}, InvalidHeader, "status"),
            ({"trailers": {":status": 200}}, InvalidHeader, "trailers"),
            ({"trailers": {"a": "b"}, "waitForTrailers": True}, TypeError, "trailers"),
        ]
        for options, kind, named in cases:
            for answer, what in ((respondWithFile, path), (respondWithFD, 0)):
                call: Any = answer
                error = self.assertRaises(kind, call, stream, what, threads=atOnce, **options)
                self.assertIn(named, str(error))
        self.assertEqual(peer.names(), [])
        self.assertEqual(self.opened, 0)

    def test_wrongState(self) -> None:
        """
        A stream that was answered, or has ended, raises at the call.
        """
        _, stream, _ = self.ask()
        stream.respond()
        self.assertRaises(InvalidState, respondWithFile, stream, self.file(), threads=atOnce)
        stream.close()
        self.assertRaises(InvalidState, respondWithFile, stream, self.file(), threads=atOnce)
        self.assertEqual(self.opened, 0)

    def test_trailers(self) -> None:
        """
        Trailers follow the last byte, of an empty file too (10.11).
        """
        for content, frames in ((b"hi", ["HEADERS 1 200", "DATA 1 2"]), (b"", ["HEADERS 1 200"])):
            peer, stream = self.peer()
            respondWithFile(stream, self.file(content), trailers={"a": "b"}, threads=atOnce)
            self.assertEqual(peer.names(), [*frames, "HEADERS 1 END_STREAM"])

    def test_waitForTrailers(self) -> None:
        """
        C{waitForTrailers} leaves the end to the application, which may wait for the last byte (10.11, 10.12).
        """
        for content in (b"hi", b""):
            peer, stream = self.peer()
            sent = respondWithFile(stream, self.file(content), waitForTrailers=True, threads=atOnce)
            self.assertNotIn("END_STREAM", " ".join(peer.names()))
            self.assertIs(self.successResultOf(sent), True)
            self.assertEqual(self.open, set())
            producer: Any = Silent()
            stream.registerProducer(producer, True)  # it may also send more
            stream.unregisterProducer()
            stream.sendTrailers({"a": "b"})
            self.assertEqual(peer.names(), ["HEADERS 1 END_STREAM"])

    def test_sensitive(self) -> None:
        """
        What must not be indexed stays so, and several values of a field stay several.
        """
        _, stream, both = self.ask()
        given = Headers([("set-cookie", "a"), ("x", "y"), ("set-cookie", "b")], sensitive=["x"])
        respondWithFile(stream, self.file(b""), given, threads=atOnce)
        assert stream.sentHeaders is not None
        self.assertEqual(stream.sentHeaders.getAll("set-cookie"), ["a", "b"])
        self.assertEqual(stream.sentHeaders.sensitive, {b"x"})


class StatCheckTests(FileTestCase):
    """
    The application looks at a file before it is sent (10.9).
    """

    def check(self, statCheck: Any, content: bytes = b"0123456789", **options: Any) -> tuple[Any, ServerStream, Any]:
        """
        Answer with a check.

        @return: the client's stream, the server's, and the Deferreds of the body and of the sending.
        """
        client, stream, both = self.ask()
        body = client.read()
        body.addErrback(lambda failure: failure.value)
        self.stream = stream
        sent = respondWithFile(stream, self.file(content), statCheck=statCheck, threads=atOnce, **options)
        both.pump()
        return client, stream, (body, sent)

    def test_addsHeaders(self) -> None:
        """
        It is told what is known of the file and may add headers; those that were given are left alone.
        """
        given = {"ETag": '"1"'}

        def statCheck(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            self.assertFalse(self.stream.headersSent)
            self.assertEqual(headers, {":status": "200", "etag": '"1"'})
            self.assertEqual(part, FileRange(0, None))
            headers["Last-Modified"] = "then"
            headers["X-Size"] = stat.st_size
            headers["Content-Length"] = 5000

        client, _, (body, _) = self.check(statCheck, headers=given)
        self.assertEqual(client.headers["last-modified"], "then")
        self.assertEqual(client.headers["x-size"], "10")
        self.assertEqual(client.headers.getAll("content-length"), ["10"])
        self.assertEqual(self.successResultOf(body), b"0123456789")
        self.assertEqual(given, {"ETag": '"1"'})

    def test_changesRange(self) -> None:
        """
        It may choose the part, now that the size is known: Node listens to that for descriptors only.
        """

        def statCheck(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            headers[":status"] = 206
            headers["content-range"] = f"bytes 7-9/{stat.st_size}"
            part.offset, part.length = stat.st_size - 3, 2

        client, _, (body, _) = self.check(statCheck)
        self.assertEqual((client.headers.status, client.headers["content-length"]), (206, "2"))
        self.assertEqual(self.successResultOf(body), b"78")

    def test_cancels(self) -> None:
        """
        When it returns C{False}, or a coroutine that does, nothing is sent, and the stream is the application's.
        """

        async def later(*facts: object) -> bool:
            return False

        for statCheck in (lambda *facts: False, later, lambda *facts: succeed(False)):
            client, stream, (body, sent) = self.check(statCheck)
            self.assertIs(self.successResultOf(sent), False)
            self.assertFalse(stream.headersSent)
            self.assertFalse(stream.closed)
            self.assertEqual(self.open, set())
            stream.end(b"other")

    def test_onlyFalse(self) -> None:
        """
        Nothing else cancels.
        """
        for verdict in (None, 0, "", True):
            _, _, (body, sent) = self.check(lambda *facts, verdict=verdict: verdict)
            self.assertIs(self.successResultOf(sent), True)

    def test_responds(self) -> None:
        """
        When it has responded itself, the file is not sent.
        """
        client, _, (body, sent) = self.check(lambda *facts: self.stream.end(b"mine"))
        self.assertIs(self.successResultOf(sent), False)
        self.assertEqual(self.successResultOf(body), b"mine")
        self.assertNotIn("content-length", client.headers)

    def test_closes(self) -> None:
        """
        It may close the stream.
        """
        _, _, (body, sent) = self.check(lambda *facts: self.stream.close(ErrorCode.REFUSED_STREAM))
        self.assertIs(self.successResultOf(sent), False)
        self.assertIsInstance(self.successResultOf(body), StreamError)

    def test_notModified(self) -> None:
        """
        It may turn the answer into one that has no body.
        """

        def statCheck(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            headers[":status"] = 304

        client, _, (body, sent) = self.check(statCheck)
        self.assertEqual((client.headers.status, self.successResultOf(body)), (304, b""))
        self.assertNotIn("content-length", client.headers)
        self.assertIs(self.successResultOf(sent), True)
        self.assertEqual(self.read, 0)

    def test_wrongAnswers(self) -> None:
        """
        Headers that may not be sent and parts that cannot be are errors, of which C{onError} can make an answer.
        """

        def badHeader(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            headers["a"] = "\n"

        def badName(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            headers[5] = "b"

        def badStatus(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            headers[":status"] = 100

        def badOffset(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            part.offset = -1

        def badLength(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            part.length = "1"  # type: ignore[assignment]

        def beyond(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            part.offset = 11

        for statCheck, kind in (
            (badHeader, InvalidHeader),
            (badName, Exception),
            (badStatus, InvalidHeader),
            (badOffset, ValueError),
            (badLength, TypeError),
            (beyond, RangeNotSatisfiable),
        ):
            errors: list[Exception] = []

            def onError(error: Exception, errors: list[Exception] = errors) -> None:
                errors.append(error)
                self.stream.respond({":status": 500}, endStream=True)

            client, _, (_, sent) = self.check(statCheck, onError=onError)
            self.assertIs(self.successResultOf(sent), False)
            self.assertIsInstance(errors[0], kind)
            self.assertEqual(client.headers.status, 500)

    def test_fails(self) -> None:
        """
        One that raises is logged, and told to C{onError}, or else costs the stream.
        """

        def statCheck(*facts: object) -> None:
            raise ZeroDivisionError

        _, stream, (_, sent) = self.check(statCheck)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIs(self.successResultOf(sent), False)
        self.failureResultOf(stream.whenClosed(), ZeroDivisionError)
        errors: list[Exception] = []
        self.check(statCheck, onError=errors.append)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIsInstance(errors[0], ZeroDivisionError)

    def test_streamEndsMeanwhile(self) -> None:
        """
        When the stream ends while a check waits, the file is closed at once; what the check finds does not matter.
        """
        for outcome in (True, ZeroDivisionError()):
            waiting: Deferred[object] = Deferred()
            _, stream, (_, sent) = self.check(lambda *facts, waiting=waiting: waiting)
            self.assertEqual(len(self.open), 1)
            stream.close(ErrorCode.CANCEL)
            self.assertEqual(self.open, set())
            self.assertIs(self.successResultOf(sent), False)
            waiting.errback(outcome) if isinstance(outcome, Exception) else waiting.callback(outcome)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_onErrorFails(self) -> None:
        """
        An C{onError} that fails, at once or later, is logged and costs the stream.
        """

        async def later(error: Exception) -> None:
            raise ZeroDivisionError

        def now(error: Exception) -> None:
            raise ZeroDivisionError

        for onError in (now, later):
            _, stream, _ = self.ask()
            sent = respondWithFile(stream, self.mktemp(), onError=onError, threads=atOnce)
            self.assertIs(self.successResultOf(sent), False)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.failureResultOf(stream.whenClosed(), ZeroDivisionError)

    def test_onErrorOfAnEndedStream(self) -> None:
        """
        One whose stream ended while it worked has nothing to add, and nothing is logged.  The file was closed before.
        """
        waiting: Deferred[None] = Deferred()
        _, stream, _ = self.ask()

        async def onError(error: Exception) -> None:
            await waiting
            stream.respond({":status": 404})

        sent = respondWithFile(stream, self.file(), offset=len(CONTENT) + 1, onError=onError, threads=atOnce)
        self.assertNoResult(sent)
        self.assertEqual((self.opened, self.open), (1, set()))
        stream.close()
        self.assertIs(self.successResultOf(sent), False)
        waiting.callback(None)

    def test_onErrorAnswersWithAFile(self) -> None:
        """
        C{onError} may answer with another file.
        """
        client, stream, both = self.ask()
        body = client.read()
        page = self.file(b"not here")

        def onError(error: Exception) -> object:
            return respondWithFile(stream, page, {":status": 404}, threads=atOnce)

        respondWithFile(stream, self.mktemp(), onError=onError, threads=atOnce)
        both.pump()
        self.assertEqual((client.headers.status, self.successResultOf(body)), (404, b"not here"))


class DescriptorTests(FileTestCase):
    """
    Answers with what the application has opened (10.8).
    """

    def answer(self, file: Any, headers: Any = None, method: str = "GET", **options: Any) -> tuple[Any, Any, Any]:
        """
        Answer with a file.

        @return: the client's stream, its body or error, and whether all was sent.
        """
        client, stream, both = self.ask(method)
        body = client.read()
        body.addErrback(lambda failure: failure.value)
        sent = respondWithFD(stream, file, headers, threads=atOnce, **options)
        both.pump()
        return client, self.successResultOf(body), self.successResultOf(sent)

    def test_descriptor(self) -> None:
        """
        A descriptor is read to its end; it stays open, and where it was; there is no content-length.
        """
        descriptor = self.descriptor(self.file())
        for _ in range(2):
            client, body, sent = self.answer(descriptor)
            self.assertEqual(body, CONTENT)
            self.assertIs(sent, True)
            self.assertNotIn("content-length", client.headers)
            self.assertEqual(os.lseek(descriptor, 0, os.SEEK_CUR), 0)

    def test_part(self) -> None:
        """
        A part of it, or of an object, is sent from its offset, clamped.
        """
        path = self.file(b"0123456789")
        with open(path, "rb") as opened:
            for file in (self.descriptor(path), opened, BytesIO(b"0123456789")):
                for options, expected in (
                    ({"offset": 3}, b"3456789"),
                    ({"length": 4}, b"0123"),
                    ({"offset": 8, "length": 400}, b"89"),
                    ({"offset": 10}, b""),
                    ({"length": 0}, b""),
                ):
                    self.assertEqual(self.answer(file, **options)[1:], (expected, True))
                errors: list[Exception] = []
                _, stream, _ = self.ask()
                respondWithFD(stream, file, offset=11, onError=errors.append, threads=atOnce)
                self.assertIsInstance(errors[0], RangeNotSatisfiable)

    def test_atTheSameTime(self) -> None:
        """
        One descriptor can be the body of two answers at once: Node forbids it.
        """
        descriptor = self.descriptor(self.file())
        both = self.sessions()
        threads = Threads()
        bodies = []
        for number in range(2):
            client = both.client.request(endStream=True)
            bodies.append(client.read())
            both.pump()
            respondWithFD(self.streams[-1], descriptor, offset=number, threads=threads)
        while threads.step():
            both.pump()
        for number, body in enumerate(bodies):
            self.assertEqual(self.successResultOf(body), CONTENT[number:])

    def test_withoutPread(self) -> None:
        """
        Where there is no C{pread} the descriptor is sought.
        """
        pread = os.pread
        self.addCleanup(setattr, os, "pread", pread)
        del os.pread
        self.assertEqual(self.answer(self.descriptor(self.file()), offset=7)[1], CONTENT[7:])

    def test_pipe(self) -> None:
        """
        A pipe is read from where it stands, and has no offsets.
        """
        for asObject in (False, True):
            reading, writing = os.pipe()
            file: Any = os.fdopen(reading, "rb") if asObject else reading
            self.addCleanup(file.close if asObject else lambda reading=reading: self.reallyClose(reading))
            os.write(writing, b"0123456789")
            self.reallyClose(writing)
            errors: list[Exception] = []
            _, stream, _ = self.ask()
            respondWithFD(stream, file, offset=1, onError=errors.append, threads=atOnce)
            self.assertIsInstance(errors[0], FileNotSeekable)
            self.assertEqual(self.answer(file, length=4)[1:], (b"0123", True))

    def test_object(self) -> None:
        """
        An object is read from its beginning if it can be sought, and stays open.
        """
        with open(self.file(), "rb") as file:
            file.read(5)
            self.assertEqual(self.answer(file)[1], CONTENT)
            self.assertFalse(file.closed)

    def test_anythingThatReads(self) -> None:
        """
        An object needs C{read} only; one that gives more than it was asked for cannot break a promise.
        """

        class Endless:
            def read(self, size: int) -> bytes:
                return b"x" * size * 2

        self.assertEqual(self.answer(Endless(), length=100_000)[1], b"x" * 100_000)

    def test_wrongObjects(self) -> None:
        """
        Anything else raises at the call.
        """
        _, stream, _ = self.ask()
        wrong: Any
        for wrong in (True, None, "path", StringIO("text"), object()):
            self.assertRaises(TypeError, respondWithFD, stream, wrong, threads=atOnce)
        self.assertRaises(TypeError, respondWithFD, stream, BytesIO(), statCheck=lambda *facts: None, threads=atOnce)

    def test_objectReadsNoBytes(self) -> None:
        """
        An object that reads no bytes costs the stream.
        """

        class Text:
            def read(self, size: int) -> Any:
                return "text"

        _, body, sent = self.answer(Text())
        self.assertIsInstance(body, StreamError)
        self.assertIs(sent, False)
        self.failureResultOf(self.streams[-1].whenClosed(), TypeError)

    def test_directory(self) -> None:
        """
        A directory cannot be sent.
        """
        path = self.mktemp()
        Path(path).mkdir()
        errors: list[Exception] = []
        _, stream, _ = self.ask()
        respondWithFD(stream, self.descriptor(path), onError=errors.append, threads=atOnce)
        self.assertIsInstance(errors[0], FileError)

    def test_notOpen(self) -> None:
        """
        A descriptor that is not open is an error of C{onError}'s.
        """
        errors: list[Exception] = []
        _, stream, _ = self.ask()
        respondWithFD(stream, -1, onError=errors.append, threads=atOnce)
        self.assertIsInstance(errors[0], OSError)

    def test_head(self) -> None:
        """
        HEAD reads nothing.
        """
        client, body, sent = self.answer(self.descriptor(self.file()), method="HEAD")
        self.assertEqual((body, sent, self.read), (b"", True, 0))

    def test_promise(self) -> None:
        """
        A content-length the application gives is kept: no more is sent, and less is an error.
        """
        descriptor = self.descriptor(self.file(b"0123456789"))
        self.assertEqual(self.answer(descriptor, {"content-length": 4})[1:], (b"0123", True))
        _, body, sent = self.answer(descriptor, {"content-length": 14})
        self.assertIsInstance(body, StreamError)
        self.assertIs(sent, False)
        errors: list[Exception] = []
        self.ask()
        respondWithFD(
            self.streams[-1], descriptor, {"content-length": 4}, length=3, onError=errors.append, threads=atOnce
        )
        self.assertIsInstance(errors[0], InvalidHeader)

    def test_statCheck(self) -> None:
        """
        The check sees what the descriptor is, and may change what is sent (10.9).
        """

        def statCheck(stat: os.stat_result, headers: Any, part: FileRange) -> None:
            headers["content-length"] = stat.st_size - 4
            part.offset = 4

        path = self.file(b"0123456789")
        with open(path, "rb") as file:
            for each in (file, self.descriptor(path)):
                client, body, _ = self.answer(each, statCheck=statCheck)
                self.assertEqual((client.headers["content-length"], body), ("6", b"456789"))


class ReadingTests(FileTestCase):
    """
    When a file is read, how far, and what can happen meanwhile.
    """

    def test_interface(self) -> None:
        """
        What feeds a stream is a pull producer.
        """
        verifyClass(IPullProducer, FilePump)

    def test_inThreads(self) -> None:
        """
        Nothing blocks outside of a thread: neither opening nor reading, one thing at a time.
        """
        client, stream, both = self.ask()
        body = client.read()
        threads = Threads()
        sent = respondWithFile(stream, self.file(), threads=threads)
        self.assertEqual(self.opened, 0)
        threads.step()
        self.assertEqual(self.opened, 1)
        self.assertTrue(stream.headersSent)
        self.assertEqual(self.read, 0)
        while threads.step():
            both.pump()
        self.assertEqual(self.successResultOf(body), CONTENT)
        self.assertIs(self.successResultOf(sent), True)
        self.assertEqual(threads.most, 1)

    def test_memory(self) -> None:
        """
        However slowly the client reads, no more than three chunks are held between the file and the wire.
        """
        for threads in (atOnce, Threads()):
            self.read = 0
            peer, stream = self.peer(INITIAL_WINDOW_SIZE=1000)
            sent = respondWithFile(stream, self.file(), threads=threads)
            arrived = 0
            most = 0
            while arrived < len(CONTENT):
                while isinstance(threads, Threads) and threads.step():
                    pass
                most = max(most, self.read - arrived)
                got = sum(len(frame.data) for frame in peer.take(DataFrame))
                self.assertTrue(got)
                arrived += got
                peer.send(peer.window(1, got), peer.window(0, got))
            self.assertLess(most, 3 * CHUNK)
            self.assertGreater(most, CHUNK)
            self.assertIs(self.successResultOf(sent), True)

    def test_slowApplication(self) -> None:
        """
        A client that does not read its body stops the reading of the file.
        """
        client, stream, both = self.ask(limits=Limits(sendHighWater=1000, sendLowWater=0))
        client.pauseProducing()
        path = self.file(CONTENT * 4)
        respondWithFile(stream, path, threads=atOnce)
        both.pump()
        self.assertLess(self.read, 256 * 1024 + 3 * CHUNK)
        body = client.read()
        client.resumeProducing()
        both.pump()
        self.assertEqual(self.successResultOf(body), CONTENT * 4)

    def steps(self) -> int:
        """
        Count what threads do for one answer.
        """
        client, stream, both = self.ask()
        client.discard()
        threads = Threads()
        respondWithFile(stream, self.file(), threads=threads)
        number = 0
        while threads.step():
            number += 1
            both.pump()
        return number

    def test_cutAnywhere(self) -> None:
        """
        Whenever and however the stream ends, the file is closed once no thread is at it, and the Deferred says so.
        """
        ends: dict[str, Callable[[Any, ServerStream, ConnectedSessions, Deferred[bool]], object]] = {
            "reset by the client": lambda client, stream, both, sent: client.close(ErrorCode.CANCEL),
            "client's session destroyed": lambda client, stream, both, sent: both.client.destroy(),
            "connection lost": lambda client, stream, both, sent: both.pipe.lose(),
            "server's session destroyed": lambda client, stream, both, sent: both.serverSession.destroy(),
            "closed": lambda client, stream, both, sent: stream.close(),
            "destroyed": lambda client, stream, both, sent: stream.destroy(ZeroDivisionError()),
        }
        number = self.steps()
        self.assertEqual(number, 1 + -(-len(CONTENT) // CHUNK))
        for name, end in ends.items():
            for after in range(number):
                self.opened = 0
                client, stream, both = self.ask()
                client.discard()
                threads = Threads()
                sent = respondWithFile(stream, self.file(), threads=threads)
                for _ in range(after):
                    threads.step()
                    both.pump()
                end(client, stream, both, sent)
                both.pump()
                self.assertTrue(stream.closed, name)
                self.assertEqual(len(threads.waiting), 1)
                # A thread has the file: it must not be closed under its hands.
                self.assertNoResult(sent)
                self.assertEqual(len(self.open), 1 if after else 0)
                threads.step()
                self.assertIs(self.successResultOf(sent), False)
                self.assertEqual(self.open, set(), f"{name} after {after}")
                self.assertFalse(threads.step())

    def test_cutWhileTheStreamIsFull(self) -> None:
        """
        When the stream ends while no thread works, the file is closed at once.
        """
        peer, stream = self.peer(INITIAL_WINDOW_SIZE=1000)
        sent = respondWithFile(stream, self.file(), threads=atOnce)
        self.assertEqual(len(self.open), 1)
        peer.send(peer.reset(1))
        self.assertEqual(self.open, set())
        self.assertIs(self.successResultOf(sent), False)

    def test_cancel(self) -> None:
        """
        Cancelling the Deferred resets the stream with CANCEL, and fires it with C{False}; a thread's work is waited for
        before the file is closed.
        """
        for after in range(3):
            peer, stream = self.peer()
            threads = Threads()
            sent = respondWithFile(stream, self.file(), threads=threads)
            for _ in range(after):
                threads.step()
            sent.cancel()
            self.assertIs(self.successResultOf(sent), False)
            self.assertEqual(peer.names()[-1], "RST_STREAM 1 CANCEL")
            self.assertEqual(len(self.open), 1 if after else 0)
            threads.step()
            self.assertEqual(self.open, set())

    def test_cancelWhileTheStreamIsFull(self) -> None:
        """
        The same when no thread works.
        """
        peer, stream = self.peer(INITIAL_WINDOW_SIZE=1000)
        sent = respondWithFile(stream, self.file(), threads=atOnce)
        sent.cancel()
        self.assertEqual(self.open, set())
        self.assertIs(self.successResultOf(sent), False)
        self.assertEqual(peer.names()[-1], "RST_STREAM 1 CANCEL")

    def test_openFailsTooLate(self) -> None:
        """
        When the file cannot be opened and the stream has ended meanwhile, nobody is told.
        """
        _, stream, _ = self.ask()
        threads = Threads()
        errors: list[Exception] = []
        sent = respondWithFile(stream, self.mktemp(), onError=errors.append, threads=threads)
        stream.close()
        threads.step()
        self.assertIs(self.successResultOf(sent), False)
        self.assertEqual(errors, [])

    def test_threadsAreGone(self) -> None:
        """
        An error of the threads themselves is one of the file's; what is no ordinary exception is wrapped.
        """

        def stopped(work: object) -> Any:
            raise SystemError("no threads")

        def exits(work: object) -> Any:
            raise SystemExit

        for threads, kind in ((stopped, SystemError), (exits, RuntimeError)):
            errors: list[Exception] = []
            _, stream, _ = self.ask()
            respondWithFile(stream, self.file(), onError=errors.append, threads=threads)
            self.assertIsInstance(errors[0], kind)

    def test_answeredMeanwhile(self) -> None:
        """
        What the application answers while a thread works on a file is the answer, whatever the thread finds.
        """
        files: list[Callable[[ServerStream, Threads], Deferred[bool]]] = [
            lambda stream, threads: respondWithFile(stream, self.file(), threads=threads),
            lambda stream, threads: respondWithFile(stream, self.mktemp(), threads=threads),
            lambda stream, threads: respondWithFD(stream, BytesIO(b"file"), threads=threads),
        ]
        for number, file in enumerate(files):
            for whole in (False, True):
                peer, stream = self.peer()
                threads = Threads()
                sent = file(stream, threads)
                if number == 2:
                    threads.step()  # an object is sought in a thread
                self.assertNoResult(sent)
                stream.respond({"a": "b"})
                if whole:
                    stream.end(b"mine")
                threads.step()
                self.assertIs(self.successResultOf(sent), False)
                self.assertEqual(self.open, set())
                if not whole:
                    stream.end(b"mine")
                self.assertEqual(peer.names(), ["HEADERS 1 200", "DATA 1 4 END_STREAM"])

    def test_respondFails(self) -> None:
        """
        Whatever C{respond} raises, the file is closed; if it has sent the headers the stream is reset.
        """
        for sends in (False, True):
            peer, stream = self.peer()
            respond = stream.respond
            errors: list[Exception] = []

            def failing(headers: Any, endStream: bool, respond: Any = respond, sends: bool = sends) -> None:
                if sends:
                    respond(headers)
                raise ZeroDivisionError

            stream.respond = failing  # type: ignore[method-assign,assignment]
            sent = respondWithFile(stream, self.file(), onError=errors.append, threads=atOnce)
            self.assertIs(self.successResultOf(sent), False)
            self.assertEqual(self.open, set())
            if sends:
                self.assertEqual(peer.names(), ["HEADERS 1 200", "RST_STREAM 1 INTERNAL_ERROR"])
            else:
                self.assertIsInstance(errors[0], ZeroDivisionError)

    def test_unforeseen(self) -> None:
        """
        What goes wrong unforeseen is logged.
        """

        def failing(error: Exception | None = None) -> None:
            raise ZeroDivisionError

        peer, stream = self.peer()
        stream.destroy = failing  # type: ignore[method-assign]
        respondWithFile(stream, self.mktemp(), threads=atOnce)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_readFails(self) -> None:
        """
        A read that fails after the headers resets the stream with INTERNAL_ERROR, and C{onError} comes too late (10.8).
        """
        peer, stream = self.peer()
        pread = os.pread
        reads: list[int] = []

        def failing(descriptor: int, size: int, offset: int) -> bytes:
            reads.append(offset)
            if len(reads) == 2:
                raise OSError("the disk is gone")
            return pread(descriptor, size, offset)

        self.patch(os, "pread", failing)
        errors: list[Exception] = []
        closed = stream.whenClosed()
        sent = respondWithFile(stream, self.file(), onError=errors.append, threads=atOnce)
        frames = peer.names()
        self.assertEqual((frames[0], frames[-1]), ("HEADERS 1 200", "RST_STREAM 1 INTERNAL_ERROR"))
        self.assertNotIn("END_STREAM", " ".join(frames))
        self.assertIs(self.successResultOf(sent), False)
        self.failureResultOf(closed, OSError)
        self.assertEqual(errors, [])

    def test_shrinks(self) -> None:
        """
        A file that becomes shorter while it is sent does not look whole.
        """
        client, stream, both = self.ask()
        body = client.read()
        path = self.file()
        threads = Threads()
        sent = respondWithFile(stream, path, threads=threads)
        for _ in range(3):
            threads.step()
            both.pump()
        os.truncate(path, 2 * CHUNK + 5)
        while threads.step():
            both.pump()
        both.pump()
        self.assertEqual(client.headers["content-length"], str(len(CONTENT)))
        self.assertEqual(self.failureResultOf(body, StreamError).value.code, ErrorCode.INTERNAL_ERROR)
        self.assertIs(self.successResultOf(sent), False)
        self.failureResultOf(stream.whenClosed(), FileError)

    def test_grows(self) -> None:
        """
        Of a file that becomes longer while it is sent no more goes out than was promised.
        """
        for size in (len(CONTENT), 10, 0):
            client, stream, both = self.ask()
            body = client.read()
            path = self.file(CONTENT[:size])
            threads = Threads()
            respondWithFile(stream, path, threads=threads)
            threads.step()
            with open(path, "ab") as file:
                file.write(b"more")
            while threads.step():
                both.pump()
            both.pump()
            self.assertEqual(self.successResultOf(body), CONTENT[:size])
            self.assertEqual(client.headers["content-length"], str(size))

    def test_shortReads(self) -> None:
        """
        A read that gives less than was asked for is not the end.
        """

        class Slow(BytesIO):
            def read(self, size: int | None = -1) -> bytes:
                return super().read(min(size or 0, 1000))

        client, stream, both = self.ask()
        body = client.read()
        respondWithFD(stream, Slow(CONTENT), {"content-length": len(CONTENT)}, threads=atOnce)
        both.pump()
        self.assertEqual(self.successResultOf(body), CONTENT)

    def test_endedByTheApplication(self) -> None:
        """
        An application that ends the body itself, in the middle of a file, does not make it look whole.
        """
        peer, stream = self.peer(INITIAL_WINDOW_SIZE=0)
        threads = Threads()
        sent = respondWithFile(stream, self.file(), threads=threads)
        threads.step()
        stream.write(b"first")
        stream.end()
        threads.step()
        self.assertIs(self.successResultOf(sent), False)
        self.assertEqual(peer.names(), ["HEADERS 1 200", "RST_STREAM 1 INTERNAL_ERROR"])
        self.failureResultOf(stream.whenClosed(), InvalidState)

    def test_applicationHasAProducer(self) -> None:
        """
        An application that registers a producer of its own resets its stream.
        """
        peer, stream = self.peer()
        threads = Threads()
        sent = respondWithFile(stream, self.file(), threads=threads)
        producer: Any = Silent()
        stream.registerProducer(producer, False)
        threads.step()
        self.assertIs(self.successResultOf(sent), False)
        self.assertEqual(peer.names(), ["HEADERS 1 200", "RST_STREAM 1 INTERNAL_ERROR"])
        self.assertTrue(producer.stopped)

    def test_applicationWritesToo(self) -> None:
        """
        What an application writes in between does not disturb the order of the file.
        """
        client, stream, both = self.ask()
        body = client.read()
        threads = Threads()
        respondWithFD(stream, self.descriptor(self.file()), threads=threads)
        threads.step()
        stream.write(b"first")
        while threads.step():
            both.pump()
        both.pump()
        self.assertEqual(self.successResultOf(body), b"first" + CONTENT)

    def test_closeFails(self) -> None:
        """
        A file that cannot be closed is logged, and sent all the same.
        """
        client, stream, both = self.ask()
        body = client.read()
        close = os.close

        def failing(descriptor: int) -> None:
            close(descriptor)
            raise OSError("not any more")

        self.patch(os, "close", failing)
        sent = respondWithFile(stream, self.file(), threads=atOnce)
        both.pump()
        self.assertEqual(self.successResultOf(body), CONTENT)
        self.assertIs(self.successResultOf(sent), True)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_manyAtOnce(self) -> None:
        """
        Many files at once share the connection, and none is left open.
        """
        before = self.descriptors()
        both = self.sessions()
        path = self.file()
        threads = Threads()
        bodies = []
        for number in range(40):
            client = both.client.request(endStream=True)
            body = client.read()
            both.pump()
            respondWithFile(self.streams[-1], path, offset=number, threads=threads)
            bodies.append(body)
        while threads.step():
            both.pump()
        for number, body in enumerate(bodies):
            self.assertEqual(self.successResultOf(body), CONTENT[number:])
        self.assertEqual(self.descriptors(), before)

    def descriptors(self) -> int:
        """
        Count what this process has open, where that can be known.
        """
        folder = Path("/proc/self/fd")
        return len(list(folder.iterdir())) if folder.exists() else 0

    def test_nobodyListens(self) -> None:
        """
        A Deferred that nobody looks at leaves nothing in the log, whatever happens.
        """
        for path in (self.file(), self.mktemp()):
            for cut in (False, True):
                client, stream, both = self.ask()
                client.discard()
                respondWithFile(stream, path, threads=atOnce)
                if cut:
                    client.close(ErrorCode.CANCEL)
                both.pump()
        self.assertEqual(self.flushLoggedErrors(), [])


class RealThreadTests(TestCase):
    """
    The default: threads of the reactor.
    """

    timeout = 30

    async def test_default(self) -> None:
        """
        Without C{threads} the reactor's are used.
        """
        path = Path(self.mktemp())
        path.write_bytes(b"hi" * 1000)
        streams: list[ServerStream] = []
        both = connectedSessions(lambda stream, headers: streams.append(stream))
        opened = path.open("rb")
        self.addCleanup(opened.close)
        for answer in (lambda: respondWithFile(streams[-1], path), lambda: respondWithFD(streams[-1], opened)):
            client = both.client.request(endStream=True)
            body = client.read()
            both.pump()
            self.assertTrue(await answer())
            await deferToThread(lambda: None)  # what fires in the middle of writing cannot pump
            both.pump()
            self.assertEqual(await body, b"hi" * 1000)
