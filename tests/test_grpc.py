"""
Tests of C{examples/grpc_greeter.py}: in memory, as a program, and against C{grpcio}, which is another implementation of
gRPC and of HTTP/2, as client and as server.

C{grpcio} runs in processes of its own: C{python -m tests.test_grpc client NAME ...} and C{... server ...}, at the end of
this file, speak JSON with the tests, a line each.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import logging
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.peers.programs import Program, missing, reactor
from tests.test_examples import ExampleTestCase
from txh2session import (
    ClientSession,
    ErrorCode,
    HTTP2Error,
    Server,
    Session,
    SessionListener,
    Settings,
    clientContextFactory,
    connect,
    developmentCertificate,
    serverContextFactory,
)
from txh2session.testing import ConnectedSessions, connectedSessions

_log = Logger()

ROOT = Path(__file__).resolve().parent.parent
NAME = "grpc_greeter.py"
MIB = 1024 * 1024
MESSAGE = "¿a quién? 100 % ☃"
"""A status's message with all that is percent-encoded."""


def _load() -> Any:
    """
    Import the example, which is no part of a package.
    """
    spec = importlib.util.spec_from_file_location("grpc_greeter", ROOT / "examples" / NAME)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


greeter = _load()
SERVICE = greeter.SERVICE
Code = greeter.Code


async def gather(call: Any, *names: str) -> list[str]:
    """
    Make a whole call.

    @return: the replies.
    """
    await call.send(*names, end=True)
    return [reply async for reply in call.receive()]


class Methods:
    """
    Methods besides the greeter's, for what a greeter does not do.

    @ivar reports: the path and the code of each call that has ended.
    @ivar holding: fires when C{hold} has a call.
    @ivar release: lets C{hold} go on.
    @ivar ended: fires when C{hold} was cancelled.
    @ivar call: what C{hold} has.
    """

    def __init__(self) -> None:
        self.reports: list[tuple[str, str]] = []
        self.holding: Deferred[None] = Deferred()
        self.release: Deferred[None] = Deferred()
        self.ended: Deferred[None] = Deferred()
        self.call: Any = None
        table = {"Hold": self.hold, "Fail": self.fail, "Crash": self.crash, "Refuse": self.refuse, "Echo": self.echo}
        self.table = {**greeter.METHODS, **{f"{SERVICE}{name}": method for name, method in table.items()}}

    def service(self, clock: Any) -> Any:
        """
        Make what a server calls.
        """
        return greeter.Service(clock, self.table, lambda path, code: self.reports.append((path, code.name)))

    async def hold(self, call: Any) -> None:
        """
        Reply, and wait to be let go.
        """
        self.call = call
        await call.send("held")
        self.holding.callback(None)
        try:
            await self.release
        except CancelledError:
            self.ended.callback(None)
            raise
        await call.send("released")

    async def fail(self, call: Any) -> None:
        """
        Fail with a status, after a message.
        """
        await call.send("so far, so good")
        raise greeter.GrpcError(Code.DATA_LOSS, MESSAGE)

    async def refuse(self, call: Any) -> None:
        """
        Fail with a status, reading nothing.
        """
        raise greeter.GrpcError(Code.PERMISSION_DENIED, MESSAGE)

    async def crash(self, call: Any) -> None:
        """
        Fail in a way nobody thought of.
        """
        raise ZeroDivisionError("nobody thought of this")

    async def echo(self, call: Any) -> None:
        """
        Send everything back, and the metadata too.
        """
        call.start({"x-echo": call.metadata.get("x-echo", ""), "x-echo-bin": call.metadata.get("x-echo-bin", "")})
        call.trailing["x-trailing-bin"] = call.metadata.get("x-echo-bin", "")
        async for text in call.receive():
            await call.send(text)


# ---------------------------------------------------------------------------------------------------------------------
# In memory


class MessageTests(SynchronousTestCase):
    """
    Messages and timeouts as bytes.
    """

    def test_hello(self) -> None:
        """
        The greeter's messages have the bytes that protobuf gives them.
        """
        vectors = {
            "": b"",
            "World": b"\x0a\x05World",
            "é": b"\x0a\x02\xc3\xa9",
            "x" * 127: b"\x0a\x7f" + b"x" * 127,
            "x" * 128: b"\x0a\x80\x01" + b"x" * 128,
            "x" * 300: b"\x0a\xac\x02" + b"x" * 300,
            "x" * MIB: b"\x0a\x80\x80\x40" + b"x" * MIB,
        }
        for text, message in vectors.items():
            self.assertTrue(greeter.encodeHello(text) == message, text[:9])
            self.assertTrue(greeter.decodeHello(message) == text, text[:9])

    def test_notHello(self) -> None:
        """
        What is not a message of the greeter's is an error with a status.
        """
        for message in (b"\x0a", b"\x0a\x05Worl", b"\x0a\x05World!", b"\x12\x05World", b"\x0a\xff\xff\xff\xff\xff\xff"):
            failed = self.assertRaises(greeter.GrpcError, greeter.decodeHello, message)
            self.assertEqual(failed.code, Code.INTERNAL)

    def test_timeouts(self) -> None:
        """
        A timeout has up to eight digits and one of six units.
        """
        vectors = {"1H": 3600, "2M": 120, "3S": 3, "4m": 0.004, "5u": 5e-6, "6n": 6e-9, "99999999S": 99999999, "0m": 0}
        for value, seconds in vectors.items():
            self.assertAlmostEqual(greeter.parseTimeout(value), seconds, places=12)
        for value in ("", "S", "1", "1s", "-1S", "1.5S", "123456789S", "1 S", "1S ", "1S\n", "١S", "SS"):
            failed = self.assertRaises(greeter.GrpcError, greeter.parseTimeout, value)
            self.assertEqual(failed.code, Code.INTERNAL)


class MemoryTests(SynchronousTestCase):
    """
    Calls between two sessions in memory.
    """

    def connected(self, **options: Any) -> tuple[Methods, ConnectedSessions]:
        """
        Connect two sessions.
        """
        methods = Methods()
        clock = Clock()
        return methods, connectedSessions(methods.service(clock), clock=clock, **options)

    def call(self, both: ConnectedSessions, method: str, timeout: float | None = None, **options: Any) -> Any:
        """
        Begin a call.
        """
        return greeter.ClientCall(both.clock, both.client, SERVICE + method, timeout, **options)

    def whole(self, both: ConnectedSessions, method: str, *names: str, **options: Any) -> Deferred[list[str]]:
        """
        Make a whole call, as far as it goes now.
        """
        made = Deferred.fromCoroutine(gather(self.call(both, method, **options), *names))
        both.pump()
        return made

    def failed(self, made: Deferred[Any]) -> tuple[str, str]:
        """
        Check that a call has failed.

        @return: the name of its code, and its message.
        """
        error: Any = self.failureResultOf(made, greeter.GrpcError).value
        return error.code.name, error.message

    def raw(self, both: ConnectedSessions, method: str, body: bytes = b"", **headers: Any) -> Any:
        """
        Make a request by hand.
        """
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        stream = both.client.request(
            {":method": "POST", ":path": SERVICE + method, "content-type": "application/grpc", **fields}
        )
        stream.end(body)
        both.pump()
        return stream

    def trailers(self, stream: Any) -> Any:
        """
        Take the trailers that have come.
        """
        return self.successResultOf(stream.whenTrailers())

    def test_kinds(self) -> None:
        """
        All four kinds of calls work, however the bytes are cut.
        """
        for chunk in (None, 1, 7):
            _, both = self.connected(chunk=chunk)
            one = self.successResultOf(self.whole(both, "SayHello", "you"))
            self.assertEqual(one, ["Hello, you!"])
            many = self.successResultOf(self.whole(both, "SayHelloStreamReply", "you"))
            self.assertEqual(many, ["Hello, you!", "¡Hola, you!", "Hei, you!"])
            self.assertEqual(
                self.successResultOf(self.whole(both, "SayHelloStreamRequest", "a", "", "b")), ["Hello, a and  and b!"]
            )
            self.assertEqual(
                self.successResultOf(self.whole(both, "SayHelloBidiStream", "a", "b")), ["Hello, a!", "Hello, b!"]
            )

    def test_turns(self) -> None:
        """
        In a call that streams both ways each side hears the other before it goes on.
        """
        _, both = self.connected()
        call = self.call(both, "SayHelloBidiStream")
        replies = call.receive()
        for name in ("a", "b", "c"):
            self.successResultOf(Deferred.fromCoroutine(call.send(name)))
            both.pump()
            self.assertEqual(self.successResultOf(Deferred.fromCoroutine(anext(replies))), f"Hello, {name}!")
        self.successResultOf(Deferred.fromCoroutine(call.send(end=True)))
        both.pump()
        self.failureResultOf(Deferred.fromCoroutine(anext(replies)), StopAsyncIteration)
        self.assertEqual(call.trailers["grpc-status"], "0")

    def test_backPressure(self) -> None:
        """
        A method that does not read holds the sender: not much more than a window arrives, and all of it in the end.
        """
        methods, both = self.connected(settings=Settings(initialWindowSize=100_000))
        go: Deferred[None] = Deferred()

        async def lazy(call: Any) -> None:
            count = 0
            async for text in call.receive():
                if not count:
                    await go
                count += len(text)
            await call.send(str(count))

        methods.table[f"{SERVICE}Lazy"] = lazy
        call = self.call(both, "Lazy")
        made = Deferred.fromCoroutine(gather(call, *("x" * 50_000 for _ in range(40))))
        both.pump()
        self.assertNoResult(made)
        self.assertLessEqual(both.serverSession.state.unreadBytes, 100_000)
        self.assertGreater(call.stream.bufferSize, 0)
        self.assertLess(call.stream.bufferSize, 150_000)
        go.callback(None)
        both.pump()
        self.assertEqual(self.successResultOf(made), ["2000000"])

    def test_trailersOnly(self) -> None:
        """
        A call that fails before its first message has its status in the headers, and no trailers.
        """
        methods, both = self.connected()
        stream = self.raw(both, "Refuse")
        self.assertTrue(stream.endAfterHeaders)
        self.assertEqual(stream.headers.status, 200)
        self.assertEqual(stream.headers["grpc-status"], "7")
        self.assertEqual(stream.headers["grpc-message"], "%C2%BFa qui%C3%A9n? 100 %25 %E2%98%83")
        self.assertEqual(self.failed(self.whole(both, "Refuse", "x")), ("PERMISSION_DENIED", MESSAGE))
        self.assertEqual(methods.reports, [(f"{SERVICE}Refuse", "PERMISSION_DENIED")] * 2)

    def test_statuses(self) -> None:
        """
        Each way to fail has its status, and the connection goes on.
        """
        _, both = self.connected()
        self.assertEqual(self.failed(self.whole(both, "Fail")), ("DATA_LOSS", MESSAGE))
        self.assertEqual(self.failed(self.whole(both, "Crash")), ("UNKNOWN", "the method failed"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.failed(self.whole(both, "None"))[0], "UNIMPLEMENTED")
        self.assertEqual(self.failed(self.whole(both, "SayHello")), ("UNIMPLEMENTED", "no message"))
        self.assertEqual(
            self.failed(self.whole(both, "SayHello", "a", "b")), ("UNIMPLEMENTED", "more than one message")
        )
        self.assertEqual(self.successResultOf(self.whole(both, "SayHello", "you")), ["Hello, you!"])

    def test_badMessages(self) -> None:
        """
        Messages that are compressed, too long or cut end the call with a status.
        """
        _, both = self.connected()
        for body, code in (
            (b"\1\0\0\0\1x", Code.UNIMPLEMENTED),
            (b"\0\xff\xff\xff\xff", Code.RESOURCE_EXHAUSTED),
            (b"\0\0\0\0\5Worl", Code.INTERNAL),
            (b"\0\0\0", Code.INTERNAL),
            (greeter.frame(b"nonsense"), Code.INTERNAL),
        ):
            self.assertEqual(self.raw(both, "SayHello", body).headers["grpc-status"], str(int(code)), body)
        self.assertEqual(self.raw(both, "SayHello", grpc_timeout="soon").headers["grpc-status"], "13")
        self.assertEqual(self.raw(both, "SayHello", content_type="text/plain").headers.status, 415)

    def test_earlyStatus(self) -> None:
        """
        A client that is still sending when the call fails is told to stop, and learns why.
        """
        _, both = self.connected()
        made = self.whole(both, "Refuse", *["x" * MIB] * 4)
        self.assertEqual(self.failed(made), ("PERMISSION_DENIED", MESSAGE))
        self.assertEqual(both.serverSession.state.remoteStreams, 0)

    def test_serverDeadline(self) -> None:
        """
        A server whose method takes longer than the deadline answers with a status and cancels the method.
        """
        methods, both = self.connected()
        stream = self.raw(both, "Hold", grpc_timeout="1500m")
        both.advance(1.4)
        self.successResultOf(methods.holding)
        self.assertNoResult(methods.ended)
        both.advance(0.2)
        self.successResultOf(methods.ended)
        self.assertEqual(self.successResultOf(stream.read()), greeter.frame(b"\x0a\x04held"))
        self.assertEqual(self.trailers(stream)["grpc-status"], "4")
        self.assertEqual(methods.reports, [(f"{SERVICE}Hold", "DEADLINE_EXCEEDED")])

    def test_serverDeadlineWhileReading(self) -> None:
        """
        A method that waits for its client when the deadline passes ends with the status too, not with a reset alone.
        """
        methods, both = self.connected()
        stream = both.client.request(
            {
                ":method": "POST",
                ":path": f"{SERVICE}Echo",
                "content-type": "application/grpc",
                "grpc-timeout": "1S",
            }
        )
        both.pump()
        both.advance(1)
        self.assertEqual(self.trailers(stream)["grpc-status"], "4")
        self.assertEqual(stream.rstCode, ErrorCode.NO_ERROR)
        self.assertEqual(methods.reports, [(f"{SERVICE}Echo", "DEADLINE_EXCEEDED")])

    def test_clientDeadline(self) -> None:
        """
        A client whose server forgets the deadline cancels the call and says so.
        """
        seen: list[Any] = []
        both = connectedSessions(lambda stream, headers: seen.append((stream, headers)))
        made = self.whole(both, "Hold", "x", timeout=2.5)
        ((stream, headers),) = seen
        self.assertEqual(headers["grpc-timeout"], "2500m")
        self.assertEqual(headers["te"], "trailers")
        both.advance(2.4)
        self.assertNoResult(made)
        both.advance(0.2)
        self.assertEqual(self.failed(made)[0], "DEADLINE_EXCEEDED")
        self.assertEqual(stream.rstCode, ErrorCode.CANCEL)

    def test_timersEnd(self) -> None:
        """
        A call that ends in time leaves no timer on either side.
        """
        _, both = self.connected()
        before = len(both.clock.getDelayedCalls())
        self.assertEqual(self.successResultOf(self.whole(both, "SayHello", "you", timeout=5)), ["Hello, you!"])
        self.assertEqual(len(both.clock.getDelayedCalls()), before)

    def test_cancel(self) -> None:
        """
        A client that gives a call up resets it with CANCEL, and the server's method is cancelled.
        """
        methods, both = self.connected()
        call = self.call(both, "Hold")
        made = Deferred.fromCoroutine(gather(call, "x"))
        both.pump()
        self.successResultOf(methods.holding)
        call.cancel()
        self.assertEqual(self.failed(made)[0], "CANCELLED")
        both.pump()
        self.successResultOf(methods.ended)
        self.assertEqual(methods.call.stream.rstCode, ErrorCode.CANCEL)
        self.assertEqual(methods.reports, [(f"{SERVICE}Hold", "CANCELLED")])

    def test_leave(self) -> None:
        """
        A client that stops reading replies has cancelled the call.
        """
        methods, both = self.connected()

        async def first() -> str:
            call = self.call(both, "Hold")
            async for reply in call.receive():
                return str(reply)
            return ""

        made = Deferred.fromCoroutine(first())
        both.pump()
        self.assertEqual(self.successResultOf(made), "held")
        self.successResultOf(methods.ended)

    def test_lost(self) -> None:
        """
        A connection that is lost makes calls UNAVAILABLE, and cancels the server's method.
        """
        methods, both = self.connected()
        made = self.whole(both, "Hold", "x")
        both.pipe.lose()
        self.assertEqual(self.failed(made)[0], "UNAVAILABLE")
        self.successResultOf(methods.ended)
        self.assertEqual(self.failed(self.whole(both, "SayHello", "x"))[0], "UNAVAILABLE")

    def test_resetCodes(self) -> None:
        """
        Resets and HTTP statuses without gRPC's have the codes that gRPC gives them.
        """
        answers: list[Callable[[Any], None]] = []
        both = connectedSessions(lambda stream, headers: answers.pop(0)(stream))
        expected = {
            ErrorCode.REFUSED_STREAM: "UNAVAILABLE",
            ErrorCode.CANCEL: "CANCELLED",
            ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
            ErrorCode.INTERNAL_ERROR: "INTERNAL",
            ErrorCode.NO_ERROR: "INTERNAL",
        }
        for code, name in expected.items():
            answers.append(lambda stream, code=code: stream.close(code))  # type: ignore[misc]
            self.assertEqual(self.failed(self.whole(both, "SayHello", "x"))[0], name)
        for status, name in ((404, "UNIMPLEMENTED"), (503, "UNAVAILABLE"), (418, "UNKNOWN"), (200, "UNKNOWN")):
            answers.append(lambda stream, status=status: stream.respond({":status": status}, endStream=True))  # type: ignore[misc]
            self.assertEqual(self.failed(self.whole(both, "SayHello", "x"))[0], name)
        for trailers, name in (
            ({}, "UNKNOWN"),
            ({"grpc-status": "77"}, "UNKNOWN"),
            ({"grpc-status": "5"}, "NOT_FOUND"),
        ):

            def answer(stream: Any, trailers: dict[str, str] = trailers) -> None:
                stream.respond({"content-type": "application/grpc"})
                stream.end(trailers=trailers)

            answers.append(answer)
            self.assertEqual(self.failed(self.whole(both, "SayHello", "x"))[0], name)


class ProgramTests(ExampleTestCase):
    """
    The example as a program.
    """

    def test_both(self) -> None:
        """
        Without arguments it is server and client, prints what happened, and leaves.
        """
        printed = self.succeed(NAME)
        replies = [line for line in printed if not line.startswith(("http:", "server: "))]
        self.assertEqual(replies, REPLIES)
        self.assertServed([line for line in printed if line.startswith("server: ")])

    def assertServed(self, printed: list[str]) -> None:
        """
        Check what the server printed: whose clock was first when the deadline passed makes a difference.
        """
        *_, late, cancelled = served = [line.rsplit("/")[-1] for line in printed]
        self.assertEqual(served[:-2], SERVED)
        self.assertIn(late, ("SayHelloBidiStream DEADLINE_EXCEEDED", "SayHelloBidiStream CANCELLED"))
        self.assertEqual(cancelled, "SayHelloBidiStream CANCELLED")

    def test_serveAndGreet(self) -> None:
        """
        Server and client are two programs as well; the server leaves when it is told to.
        """
        server = self.start(NAME, "serve", "0")
        port = server.lineWith(r"^http://localhost:(\d+)$").group(1)
        self.assertEqual(self.succeed(NAME, "greet", port, "World"), REPLIES)
        server.terminate()
        status, out, errors = server.rest()
        self.assertEqual((status, errors), (0, ""))
        self.assertServed(out.splitlines())


REPLIES = [
    "Good day, World!",
    "Hello, World!",
    "¡Hola, World!",
    "Hei, World!",
    "Hello, World and everybody!",
    "Hello, World!",
    "Hello, everybody!",
    "Hello, the rest!",
    "INVALID_ARGUMENT: whom shall I greet? ¿a quién?",
    f"UNIMPLEMENTED: there is no method {SERVICE}SayGoodbye",
    "DEADLINE_EXCEEDED: the deadline has passed",
    "Hello, World! Enough.",
]
"""What the program's client prints."""
SERVED = [
    "SayHello OK",
    "SayHelloStreamReply OK",
    "SayHelloStreamRequest OK",
    "SayHelloBidiStream OK",
    "SayHello INVALID_ARGUMENT",
]
"""What its server prints, a line for each call, before the last two."""


# ---------------------------------------------------------------------------------------------------------------------
# With grpcio


class Watcher(SessionListener):
    """
    Counts PINGs, and waits for some and for a GOAWAY.

    @ivar sessions: how many there were.
    @ivar pings: how many came.
    @ivar pinged: fires when C{wanted} have come.
    @ivar leaving: fires with the code of the first GOAWAY.
    """

    def __init__(self, wanted: int = 3) -> None:
        self.sessions = 0
        self.pings = 0
        self.wanted = wanted
        self.pinged: Deferred[None] = Deferred()
        self.leaving: Deferred[int] = Deferred()

    def sessionConnected(self, session: Session) -> None:
        """Count it."""
        self.sessions += 1

    def pingReceived(self, session: Session, payload: bytes) -> None:
        """Count it."""
        self.pings += 1
        if self.pings == self.wanted:
            self.pinged.callback(None)

    def goAwayReceived(self, session: Session, code: int, lastStreamID: int, debugData: bytes) -> None:
        """Note it."""
        if not self.leaving.called:
            self.leaving.callback(code)


class GrpcioCase(TestCase):
    """
    Runs C{grpcio} in processes of its own.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        Look for C{grpcio}.
        """
        if importlib.util.find_spec("grpc") is None:
            missing("grpcio is not here: pip install 'grpcio>=1.60'")

    def start(self, *arguments: str) -> Program:
        """
        Start this module as a program, which does not outlive the test.
        """
        environment = {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "GRPC_VERBOSITY": "NONE"}
        program = Program([sys.executable, "-m", "tests.test_grpc", *arguments], environment, str(ROOT))
        self.addCleanup(program.kill)
        return program

    async def said(self, program: Program, key: str) -> Any:
        """
        Wait for a program to say something.

        @return: what it said under this name.
        """
        line = await program.says(rf'^{{"{key}": .*}}$')
        return json.loads(line[0])[key]

    def within(self, waiting: Deferred[Any], seconds: float = 20) -> Deferred[Any]:
        """
        Wait for something, but not for ever.
        """
        return waiting.addTimeout(seconds, reactor)

    def note(self, what: str) -> None:
        """
        Write a measured figure to the log of the tests.
        """
        _log.info("{test}: {what}", test=self.id(), what=what)


class GrpcioClientTests(GrpcioCase):
    """
    Our server and C{grpcio}'s client.
    """

    async def serve(self, listener: SessionListener | None = None, *, tls: Any = None) -> None:
        """
        Start our server, which ends with the test.
        """
        self.methods = Methods()
        self.server = Server(self.methods.service(reactor), listener=listener)
        self.addCleanup(self.server.close, grace=5)
        if tls is None:
            endpoint: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        else:
            endpoint = SSL4ServerEndpoint(reactor, 0, tls, interface="127.0.0.1")
        listening: Any = await self.server.listen(endpoint)
        self.port = str(listening.getHost().port)

    def client(self, scenario: str, *arguments: str) -> Program:
        """
        Start a client, see L{CLIENTS}.
        """
        return self.start("client", scenario, self.port, *arguments)

    async def ask(self, scenario: str, *arguments: str) -> Any:
        """
        Run a client to its end.

        @return: what it said.
        """
        client = self.client(scenario, *arguments)
        self.assertEqual(await client.ends(30), 0, client.said)
        return json.loads(client.output)["result"]

    async def test_kinds(self) -> None:
        """
        All four kinds of calls work, and in those that stream, each message comes in its turn.
        """
        await self.serve()
        self.assertEqual(
            await self.ask("kinds"),
            {
                "unary": "Hello, Wörld!",
                "reply": ["Hello, you!", "¡Hola, you!", "Hei, you!"],
                "request": "Hello, a and b and !",
                "both": ["Hello, a!", "Hello, b!", "Hello, c!"],
            },
        )
        self.assertEqual([code for _, code in self.methods.reports], ["OK"] * 4)

    async def test_tls(self) -> None:
        """
        The client speaks TLS too.
        """
        files = developmentCertificate(self.mktemp())
        await self.serve(tls=serverContextFactory(files.certificatePath, files.privateKeyPath))
        self.assertEqual((await self.ask("kinds", files.certificatePath))["unary"], "Hello, Wörld!")

    async def test_big(self) -> None:
        """
        Messages of 1 MiB go both ways, 16 of them in a row, and the PINGs with which the client measures are answered.
        """
        watcher = Watcher()
        await self.serve(watcher)
        result = await self.ask("big")
        self.assertEqual(result, {"unary": True, "both": [MIB] * 16})
        self.note(f"{watcher.pings} PINGs while 17 MiB went each way")
        self.assertGreater(watcher.pings, 0)

    async def test_many(self) -> None:
        """
        200 calls at once are answered, each with its own answer, on one connection that allows 100 streams.
        """
        watcher = Watcher()
        await self.serve(watcher)
        self.assertEqual(await self.ask("many"), [f"Hello, {number}!" for number in range(200)])
        self.assertEqual((watcher.sessions, len(self.methods.reports)), (1, 200))

    async def test_errors(self) -> None:
        """
        Statuses and their messages arrive, with and without a message before them, and with a client that still sends.
        """
        await self.serve()
        result = await self.ask("errors")
        self.assertEqual(
            result,
            {
                "SayHello": ["INVALID_ARGUMENT", "whom shall I greet? ¿a quién?"],
                "Fail": ["DATA_LOSS", MESSAGE],
                "Crash": ["UNKNOWN", "the method failed"],
                "None": ["UNIMPLEMENTED", f"there is no method {SERVICE}None"],
                "Refuse": ["PERMISSION_DENIED", MESSAGE],
                "Compressed": ["UNIMPLEMENTED", "compressed messages are not understood"],
            },
        )
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_metadata(self) -> None:
        """
        Metadata, text and binary, goes both ways, before and after the messages.
        """
        await self.serve()
        result = await self.ask("metadata")
        self.assertEqual(result["initial"]["x-echo"], "some, text")
        self.assertEqual(result["initial"]["x-echo-bin"], [0, 255, 10])
        self.assertEqual(result["trailing"], {"x-trailing-bin": [0, 255, 10]})

    async def test_deadline(self) -> None:
        """
        A call whose deadline passes ends with DEADLINE_EXCEEDED, and the server's method is cancelled.
        """
        await self.serve()
        self.assertEqual((await self.ask("deadline"))[0], "DEADLINE_EXCEEDED")
        await self.within(self.methods.ended)
        # Whoever's clock is first: the server's deadline, or the client's reset.
        _, (_, code) = self.methods.reports
        self.assertIn(code, ("DEADLINE_EXCEEDED", "CANCELLED"))

    async def test_clientCancels(self) -> None:
        """
        A call that the client cancels is reset with CANCEL; the server's method is cancelled, the connection is not.
        """
        await self.serve()
        self.assertEqual(await self.ask("cancel"), ["CANCELLED", "Hello, you!"])
        await self.within(self.methods.ended)
        self.assertEqual(self.methods.call.stream.rstCode, ErrorCode.CANCEL)
        self.assertEqual([code for _, code in self.methods.reports], ["CANCELLED", "OK"])

    async def test_serverCancels(self) -> None:
        """
        A call that the server resets with CANCEL is CANCELLED for the client.
        """
        await self.serve()
        client = self.client("hold")
        await self.within(self.methods.holding)
        self.methods.call.stream.close(ErrorCode.CANCEL)
        self.assertEqual((await self.said(client, "result"))[0], "CANCELLED")
        await self.within(self.methods.ended)

    async def test_goingAway(self) -> None:
        """
        A call that is in flight when the server closes is finished; a new one finds no server.
        """
        await self.serve()
        client = self.client("hold", "again")
        await self.within(self.methods.holding)
        closed = self.server.close(grace=20)
        (session,) = self.server.sessions
        for _ in range(3):  # the answer to the last says that the client has both GOAWAYs
            await self.within(session.ping())
        self.methods.release.callback(None)
        self.assertEqual(await self.said(client, "result"), ["OK", ["held", "released"]])
        await self.within(closed)
        client.write("again")
        self.assertEqual(await self.said(client, "again"), "UNAVAILABLE")
        self.assertEqual(await client.ends(), 0)

    async def test_keepalive(self) -> None:
        """
        The client's keepalive PINGs are answered while a call says nothing: it sends the next only after an answer.
        """
        watcher = Watcher(6)
        await self.serve(watcher)
        client = self.client("hold")
        await self.within(watcher.pinged, 40)
        self.methods.release.callback(None)
        self.assertEqual(await self.said(client, "result"), ["OK", ["held", "released"]])


class GrpcioServerTests(GrpcioCase):
    """
    Our client and C{grpcio}'s server.
    """

    async def connect(self, listener: SessionListener | None = None, *, tls: Any = None) -> None:
        """
        Start the server, and connect to it.
        """
        files = [] if tls is None else [tls.certificatePath, tls.privateKeyPath]
        self.peer = self.start("server", *files)
        port = await self.said(self.peer, "port")
        if tls is None:
            self.session = await connect(reactor, f"http://127.0.0.1:{port}", listener=listener)
        else:
            trust = clientContextFactory(trustRoot=tls.certificatePath)
            self.session = await connect(reactor, f"https://localhost:{port}", contextFactory=trust)
        self.addCleanup(self._end, self.session)

    def _end(self, session: ClientSession) -> Deferred[None]:
        session.destroy()
        return session.whenClosed().addErrback(lambda failure: failure.trap(HTTP2Error) and None)

    def call(self, method: str, timeout: float | None = 20, **options: Any) -> Any:
        """
        Begin a call.
        """
        return greeter.ClientCall(reactor, self.session, SERVICE + method, timeout, **options)

    async def whole(self, method: str, *names: str, **options: Any) -> list[str]:
        """
        Make a whole call.

        @return: the replies.
        """
        return await gather(self.call(method, **options), *names)

    async def fails(self, made: Any) -> tuple[str, str]:
        """
        Check that a call fails.

        @return: the name of its code, and its message.
        """
        try:
            result = await made
        except greeter.GrpcError as error:
            return error.code.name, error.message
        raise self.failureException(f"the call did not fail: {result}")

    async def test_kinds(self) -> None:
        """
        All four kinds of calls work, and in those that stream, each message comes in its turn.
        """
        await self.connect()
        self.assertEqual(await self.whole("SayHello", "Wörld"), ["Hello, Wörld!"])
        self.assertEqual(await self.whole("SayHelloStreamReply", "you"), ["Hello, you!", "¡Hola, you!", "Hei, you!"])
        self.assertEqual(await self.whole("SayHelloStreamRequest", "a", "b", ""), ["Hello, a and b and !"])
        call = self.call("SayHelloBidiStream")
        replies = call.receive()
        for name in ("a", "b", "c"):
            await call.send(name)
            self.assertEqual(await anext(replies), f"Hello, {name}!")
        await call.send(end=True)
        self.assertEqual([reply async for reply in replies], [])

    async def test_tls(self) -> None:
        """
        The server speaks TLS too.
        """
        await self.connect(tls=developmentCertificate(self.mktemp()))
        self.assertEqual(await self.whole("SayHello", "Wörld"), ["Hello, Wörld!"])
        self.assertEqual(self.session.alpnProtocol, "h2")

    async def test_big(self) -> None:
        """
        Messages of 1 MiB go both ways, 16 of them in a row, and the PINGs with which the server measures are answered.
        """
        watcher = Watcher()
        await self.connect(watcher)
        big = "é" * (MIB // 2 - 6)
        (reply,) = await self.whole("SayHello", big)
        self.assertTrue(reply == f"Hello, {big}!")
        call = self.call("SayHelloBidiStream")
        replies = call.receive()
        sending = Deferred.fromCoroutine(call.send(*[big] * 16, end=True))
        count = 0
        async for reply in replies:
            self.assertTrue(reply == f"Hello, {big}!")
            count += 1
        await sending
        self.assertEqual(count, 16)
        self.note(f"{watcher.pings} PINGs while 17 MiB went each way")
        self.assertGreater(watcher.pings, 0)

    async def test_many(self) -> None:
        """
        200 calls at once are answered, each with its own answer.
        """
        await self.connect()
        calls = [Deferred.fromCoroutine(self.whole("SayHello", str(number))) for number in range(200)]
        self.assertEqual([await call for call in calls], [[f"Hello, {number}!"] for number in range(200)])

    async def test_errors(self) -> None:
        """
        Statuses and their messages arrive, with and without a message before them.
        """
        await self.connect()
        self.assertEqual(await self.fails(self.whole("Fail", "x")), ("DATA_LOSS", MESSAGE))
        self.assertEqual(await self.fails(self.whole("Refuse", *["x" * MIB] * 4)), ("PERMISSION_DENIED", MESSAGE))
        self.assertEqual((await self.fails(self.whole("None", "x")))[0], "UNIMPLEMENTED")
        code, message = await self.fails(self.whole("Crash", "x"))
        self.assertEqual(code, "UNKNOWN")
        self.assertIn("nobody thought of this", message)
        self.assertEqual(await self.whole("SayHello", "you"), ["Hello, you!"])

    async def test_metadata(self) -> None:
        """
        Metadata, text and binary, goes both ways, before and after the messages.
        """
        await self.connect()
        call = self.call("Echo", metadata={"x-echo": "some, text", "x-echo-bin": "AP8K"})
        self.assertEqual(await gather(call, "x"), ["x"])
        self.assertEqual(call.headers["x-echo"], "some, text")
        self.assertEqual(call.headers["x-echo-bin"].rstrip("="), "AP8K")
        self.assertEqual(call.trailers["x-trailing-bin"].rstrip("="), "AP8K")

    async def test_clientDeadline(self) -> None:
        """
        A call whose deadline passes here is reported so; the server knew the deadline, and its method is told.
        """
        await self.connect()
        self.assertEqual((await self.fails(self.whole("Hold", "x", timeout=1)))[0], "DEADLINE_EXCEEDED")
        left = await self.said(self.peer, "holding")
        self.assertTrue(0 < left <= 1.01, left)
        await self.said(self.peer, "ended")

    async def test_serverDeadline(self) -> None:
        """
        A deadline that only the server keeps makes it end the call with DEADLINE_EXCEEDED.
        """
        await self.connect()
        call = self.call("Hold", None, metadata={"grpc-timeout": "1S"})
        self.assertEqual((await self.fails(gather(call, "x")))[0], "DEADLINE_EXCEEDED")
        await self.said(self.peer, "ended")

    async def test_clientCancels(self) -> None:
        """
        A call that is cancelled here ends the server's method, and not the connection.
        """
        await self.connect()
        call = self.call("Hold")
        await call.send("x", end=True)
        replies = call.receive()
        self.assertEqual(await anext(replies), "held")
        call.cancel()
        self.assertEqual((await self.fails(anext(replies)))[0], "CANCELLED")
        await self.said(self.peer, "ended")
        self.assertEqual(await self.whole("SayHello", "you"), ["Hello, you!"])

    async def test_serverCancels(self) -> None:
        """
        A call that the server cancels is CANCELLED here.
        """
        await self.connect()
        self.assertEqual((await self.fails(self.whole("Cancel", "x")))[0], "CANCELLED")

    async def test_goingAway(self) -> None:
        """
        A call that is in flight when the server stops is finished, then the session ends without an error; a call that
        comes too late was surely not made.
        """
        watcher = Watcher()
        await self.connect(watcher)
        call = self.call("Hold")
        await call.send("x", end=True)
        replies = call.receive()
        self.assertEqual(await anext(replies), "held")
        closed = self.session.whenClosed()
        self.peer.write("stop")
        self.assertEqual(await self.within(watcher.leaving), ErrorCode.NO_ERROR)
        self.assertEqual((await self.fails(self.whole("SayHello", "late")))[0], "UNAVAILABLE")
        self.peer.write("release")
        self.assertEqual([reply async for reply in replies], ["released"])
        await self.within(closed)
        self.assertEqual(await self.peer.ends(), 0)

    async def test_keepalive(self) -> None:
        """
        The server's keepalive PINGs are answered while a call says nothing: it sends the next only after an answer.
        """
        watcher = Watcher(6)
        await self.connect(watcher)
        call = self.call("Hold", 50)
        made = Deferred.fromCoroutine(gather(call, "x"))
        await self.within(watcher.pinged, 40)
        self.peer.write("release")
        self.assertEqual(await self.within(made), ["held", "released"])


# ---------------------------------------------------------------------------------------------------------------------
# What runs in the processes


OPTIONS = [
    ("grpc.enable_http_proxy", 0),
    ("grpc.keepalive_time_ms", 100),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
]
"""Of C{grpcio}'s client and server: PINGs every 100 ms, as far as it allows."""


_saying = threading.Lock()


def say(name: str, what: Any) -> None:
    """
    Tell the test something.
    """
    line = json.dumps({name: what}) + "\n"
    with _saying:
        sys.stdout.write(line)
        sys.stdout.flush()


class Stubs:
    """
    The greeter's methods as C{grpcio}'s client has them.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def __call__(self, kind: str, method: str) -> Any:
        """
        Make a method.

        @param kind: C{"unary_unary"} and so on.
        """
        make = getattr(self._channel, kind)
        return make(SERVICE + method, request_serializer=greeter.encodeHello, response_deserializer=greeter.decodeHello)


def outcome(call: Any) -> list[Any]:
    """
    Wait for the end of a call.

    @return: its code and message.
    """
    return [call.code().name, call.details()]


def clientKinds(stubs: Stubs) -> Any:
    """
    Make a call of each kind.
    """
    names: queue.Queue[str | None] = queue.Queue()
    talk = stubs("stream_stream", "SayHelloBidiStream")(iter(names.get, None), timeout=20)
    both = []
    for name in ("a", "b", "c"):
        names.put(name)
        both.append(next(talk))
    names.put(None)
    return {
        "both": both + list(talk),
        "unary": stubs("unary_unary", "SayHello")("Wörld", timeout=20),
        "reply": list(stubs("unary_stream", "SayHelloStreamReply")("you", timeout=20)),
        "request": stubs("stream_unary", "SayHelloStreamRequest")(iter(["a", "b", ""]), timeout=20),
    }


def clientBig(stubs: Stubs) -> Any:
    """
    Send and receive 17 messages of 1 MiB.
    """
    big = "é" * (MIB // 2)
    replies = stubs("stream_stream", "Echo")(iter([big] * 16), timeout=40)
    unary = stubs("unary_unary", "Echo")(big, timeout=20)
    return {"unary": unary == big, "both": [len(reply.encode()) for reply in replies]}


def clientMany(stubs: Stubs) -> Any:
    """
    Make 200 calls at once.
    """
    method = stubs("unary_unary", "SayHello")
    calls = [method.future(str(number), timeout=30) for number in range(200)]
    return [call.result() for call in calls]


def clientErrors(stubs: Stubs) -> Any:
    """
    Make calls that fail.
    """
    import grpc

    found = {
        name: outcome(stubs("unary_unary", name).future("", timeout=20))
        for name in ("SayHello", "Fail", "Crash", "None")
    }
    found["Refuse"] = outcome(stubs("stream_unary", "Refuse").future(itertools.repeat("x" * MIB), timeout=20))
    method = stubs("unary_unary", "SayHello")
    found["Compressed"] = outcome(method.future("x" * 9999, timeout=20, compression=grpc.Compression.Gzip))
    return found


def clientMetadata(stubs: Stubs) -> Any:
    """
    Send metadata, and tell what came back.
    """
    sent = (("x-echo", "some, text"), ("x-echo-bin", b"\x00\xff\n"))
    call = stubs("unary_unary", "Echo").future("x", metadata=sent, timeout=20)

    def plain(metadata: Any) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, bytes) else value for name, value in metadata}

    return {"initial": plain(call.initial_metadata()), "trailing": plain(call.trailing_metadata())}


def clientDeadline(stubs: Stubs) -> Any:
    """
    Make a call that takes longer than it may.
    """
    stubs("unary_unary", "SayHello")("you", timeout=20)  # so that connecting takes no part of it
    return outcome(stubs("unary_stream", "Hold")("x", timeout=1))


def clientCancel(stubs: Stubs) -> Any:
    """
    Cancel a call after its first message, then make another.
    """
    call = stubs("unary_stream", "Hold")("x", timeout=30)
    next(call)
    call.cancel()
    return [call.code().name, stubs("unary_unary", "SayHello")("you", timeout=20)]


def clientHold(stubs: Stubs, then: str = "") -> Any:
    """
    Make a call that waits for the test, and perhaps another when the test says so.
    """
    import grpc

    call = stubs("unary_stream", "Hold")("x", timeout=50)
    replies = []
    try:
        for reply in call:
            replies.append(reply)
    except grpc.RpcError:
        return [call.code().name, replies]
    if not then:
        return [call.code().name, replies]
    say("result", [call.code().name, replies])
    sys.stdin.readline()
    say("again", stubs("unary_unary", "SayHello").future("you", timeout=20).code().name)
    return None


CLIENTS: dict[str, Callable[..., Any]] = {
    "kinds": clientKinds,
    "big": clientBig,
    "many": clientMany,
    "errors": clientErrors,
    "metadata": clientMetadata,
    "deadline": clientDeadline,
    "cancel": clientCancel,
    "hold": clientHold,
}
"""What C{grpcio}'s client can be told to do."""


def runClient(scenario: str, port: str, argument: str = "") -> None:
    """
    Be C{grpcio}'s client.

    @param argument: a certificate to trust, or what else the scenario takes.
    """
    import grpc

    if argument.endswith(".pem"):
        trusted = grpc.ssl_channel_credentials(Path(argument).read_bytes())
        named = ("grpc.ssl_target_name_override", "localhost")
        channel = grpc.secure_channel(f"127.0.0.1:{port}", trusted, [*OPTIONS, named])
        arguments = []
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", OPTIONS)
        arguments = [argument] if argument else []
    with channel:
        result = CLIENTS[scenario](Stubs(channel), *arguments)
        if result is not None:
            say("result", result)


class GrpcioGreeter:
    """
    The greeter as C{grpcio}'s server has it, and L{Methods}.
    """

    def __init__(self) -> None:
        self._release = threading.Event()

    def release(self) -> None:
        """
        Let C{hold} go on.
        """
        self._release.set()

    def hello(self, name: str, context: Any) -> str:
        """Greet."""
        return f"Hello, {name}!"

    def helloReplies(self, name: str, context: Any) -> Iterator[str]:
        """Greet much."""
        return (f"{greeting}, {name}!" for greeting in ("Hello", "¡Hola", "Hei"))

    def helloRequests(self, names: Iterator[str], context: Any) -> str:
        """Greet many."""
        return f"Hello, {' and '.join(names)}!"

    def helloBoth(self, names: Iterator[str], context: Any) -> Iterator[str]:
        """Greet each."""
        return (f"Hello, {name}!" for name in names)

    def echo(self, texts: Iterator[str], context: Any) -> Iterator[str]:
        """Send everything back, and the metadata too."""
        sent = dict(context.invocation_metadata())
        context.send_initial_metadata((("x-echo", sent["x-echo"]), ("x-echo-bin", sent["x-echo-bin"])))
        context.set_trailing_metadata((("x-trailing-bin", sent["x-echo-bin"]),))
        return texts

    def hold(self, name: str, context: Any) -> Iterator[str]:
        """Reply, and wait to be let go, or for the end of the call."""

        def ended() -> None:
            # Here, not below: nobody asks a method for its next message once the call is over.
            over.set()
            say("ended", None)
            self.release()

        over = threading.Event()
        context.add_callback(ended)
        say("holding", context.time_remaining())
        yield "held"
        self._release.wait(50)
        if not over.is_set():
            yield "released"

    def fail(self, name: str, context: Any) -> Iterator[str]:
        """Fail with a status, after a message."""
        import grpc

        yield "so far, so good"
        context.abort(grpc.StatusCode.DATA_LOSS, MESSAGE)

    def refuse(self, names: Iterator[str], context: Any) -> str:
        """Fail with a status, reading nothing."""
        import grpc

        context.abort(grpc.StatusCode.PERMISSION_DENIED, MESSAGE)
        return ""

    def crash(self, name: str, context: Any) -> str:
        """Fail in a way nobody thought of."""
        raise ZeroDivisionError("nobody thought of this")

    def cancel(self, name: str, context: Any) -> str:
        """Cancel the call."""
        context.cancel()
        return ""


def runServer(certificate: str = "", privateKey: str = "") -> None:
    """
    Be C{grpcio}'s server, until the test says C{stop}.
    """
    import grpc

    logging.disable(logging.CRITICAL)
    service = GrpcioGreeter()
    kinds: dict[str, tuple[Any, Any]] = {
        "SayHello": (grpc.unary_unary_rpc_method_handler, service.hello),
        "SayHelloStreamReply": (grpc.unary_stream_rpc_method_handler, service.helloReplies),
        "SayHelloStreamRequest": (grpc.stream_unary_rpc_method_handler, service.helloRequests),
        "SayHelloBidiStream": (grpc.stream_stream_rpc_method_handler, service.helloBoth),
        "Echo": (grpc.stream_stream_rpc_method_handler, service.echo),
        "Hold": (grpc.unary_stream_rpc_method_handler, service.hold),
        "Fail": (grpc.unary_stream_rpc_method_handler, service.fail),
        "Refuse": (grpc.stream_unary_rpc_method_handler, service.refuse),
        "Crash": (grpc.unary_unary_rpc_method_handler, service.crash),
        "Cancel": (grpc.unary_unary_rpc_method_handler, service.cancel),
    }
    handlers = {name: make(method, greeter.decodeHello, greeter.encodeHello) for name, (make, method) in kinds.items()}
    server = grpc.server(ThreadPoolExecutor(16), options=OPTIONS)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("helloworld.Greeter", handlers),))
    if certificate:
        pair = (Path(privateKey).read_bytes(), Path(certificate).read_bytes())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    say("port", port)
    stopped = None
    for line in sys.stdin:
        if line == "stop\n":
            stopped = server.stop(30)
        else:
            service.release()
        if stopped is not None and line == "release\n":
            stopped.wait(40)
            return


if __name__ == "__main__":
    if sys.argv[1] == "client":
        runClient(*sys.argv[2:])
    else:
        runServer(*sys.argv[2:])
