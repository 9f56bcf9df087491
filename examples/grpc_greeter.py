"""
gRPC over bare streams: a greeter with all four kinds of calls, and its client, for each other or for any gRPC there is.

Run server and client in one process, or each in its own::

    python examples/grpc_greeter.py
    python examples/grpc_greeter.py serve [PORT]
    python examples/grpc_greeter.py greet [PORT] NAME

The upper half is gRPC (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md): messages, which are not compressed,
statuses in trailers, deadlines and cancellation.  The lower half is the greeter.
"""

import re
import sys
from enum import IntEnum
from math import ceil
from urllib.parse import quote, unquote

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.task import react
from twisted.logger import Logger

from txh2session import Ended, ErrorCode, HTTP2Error, Initiator, Server, SessionError, connect

CONTENT_TYPE = "application/grpc+proto"
LONGEST = 4 * 1024 * 1024  # bytes of a message: what every gRPC accepts unless told otherwise
PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")  # of a grpc-message, all else is percent-encoded
LATE = "the deadline has passed"
UNITS = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "S": 1, "M": 60, "H": 3600}  # of a grpc-timeout, in seconds

Code = IntEnum(
    "Code",
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED RESOURCE_EXHAUSTED"
    " FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS UNAUTHENTICATED",
    start=0,
)
RESET_CODES = {ErrorCode.CANCEL: Code.CANCELLED, ErrorCode.ENHANCE_YOUR_CALM: Code.RESOURCE_EXHAUSTED}
HTTP_CODES = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}  # from proxies that speak no gRPC


class GrpcError(Exception):
    """
    A call that did not end with OK: raised by a server's method, or by reading on a client.
    """

    def __init__(self, code: int, message: str = "") -> None:
        self.code = Code(code) if code in range(len(Code)) else Code.UNKNOWN
        self.message = message
        super().__init__(f"{self.code.name}: {message}")


def frame(message: bytes) -> bytes:
    """
    Prefix a message with its length, and with a zero for "not compressed".
    """
    return b"\0" + len(message).to_bytes(4, "big") + message


async def messages(stream):
    """
    Read messages as they arrive.  What is behind the one that is asked for stays with the sender, up to a window.
    """
    buffer = bytearray()
    async for chunk in stream:
        buffer += chunk
        while len(buffer) >= 5:
            end = 5 + int.from_bytes(buffer[1:5], "big")
            if buffer[0]:
                raise GrpcError(Code.UNIMPLEMENTED, "compressed messages are not understood")
            if end > 5 + LONGEST:
                raise GrpcError(Code.RESOURCE_EXHAUSTED, f"a message of {end - 5} bytes is too long")
            if len(buffer) < end:
                break
            message = bytes(buffer[5:end])
            del buffer[:end]
            yield message
    if buffer:
        raise GrpcError(Code.INTERNAL, "the last message is not whole")


async def only(received):
    """
    Take the one message of a side that sends one.
    """
    found = None
    async for message in received:
        if found is not None:
            raise GrpcError(Code.UNIMPLEMENTED, "more than one message")
        found = message
    if found is None:
        raise GrpcError(Code.UNIMPLEMENTED, "no message")
    return found


def parseTimeout(value: str) -> float:
    """
    Read a C{grpc-timeout}, as seconds.
    """
    if not re.fullmatch("[0-9]{1,8}[numSMH]", value):
        raise GrpcError(Code.INTERNAL, f"not a timeout: {value}")
    return int(value[:-1]) * UNITS[value[-1]]


class ServerCall:
    """
    A call as the server's method gets it: C{metadata} came from the client, C{trailing} goes with the status.
    """

    def __init__(self, stream, metadata) -> None:
        self.stream = stream
        self.metadata = metadata
        self.trailing = {}
        self.code = None

    async def receive(self):
        """
        Read what the client sends, until it has sent all.
        """
        async for message in messages(self.stream):
            yield decodeHello(message)

    def start(self, metadata=()) -> None:
        """
        Send the headers, with metadata; the first C{send} does it otherwise.
        """
        self.stream.respond({"content-type": CONTENT_TYPE, **dict(metadata)})

    async def send(self, text: str) -> None:
        """
        Send a message, and wait until there is room for the next.
        """
        if not self.stream.headersSent:
            self.start()
        await self.stream.send(frame(encodeHello(text)))

    def finish(self, code: int, message: str = "") -> None:
        """
        End the call with a status, in trailers, or in the headers where there are none yet.
        """
        if self.stream.closed:
            return
        self.code = code
        status = {"grpc-status": int(code), **self.trailing}
        if message:
            status["grpc-message"] = quote(message, PRINTABLE)
        if self.stream.headersSent:
            self.stream.end(trailers=status)
        else:
            self.stream.respond({"content-type": CONTENT_TYPE, **status}, endStream=True)
        self.stream.close()  # with NO_ERROR and after the status, should the client still be sending


class Service:
    """
    What C{Server} calls with each request: finds the coroutine function for its path and runs that, until it is done, the
    client has cancelled the call or its deadline has passed.
    """

    log = Logger()

    def __init__(self, clock, methods, report=lambda path, code: None) -> None:
        self.clock = clock
        self.methods = methods
        self.report = report

    def __call__(self, stream, headers):
        """
        Answer one request.
        """
        if not headers.get("content-type", "").startswith("application/grpc"):
            stream.respond({":status": 415}, endStream=True)
            return None
        call = ServerCall(stream, headers)
        try:
            if headers.path not in self.methods:
                raise GrpcError(Code.UNIMPLEMENTED, f"there is no method {headers.path}")
            timeout = parseTimeout(headers["grpc-timeout"]) if "grpc-timeout" in headers else None
        except GrpcError as error:
            call.finish(error.code, error.message)
            return None
        working = Deferred.fromCoroutine(self.methods[headers.path](call))
        working.addCallbacks(lambda _: call.finish(Code.OK), lambda failure: self._failed(call, failure))
        expiring = None
        if timeout is not None:
            expiring = self.clock.callLater(timeout, call.finish, Code.DEADLINE_EXCEEDED, LATE)

        def over(_) -> None:
            if expiring is not None and expiring.active():
                expiring.cancel()
            working.cancel()  # which does nothing once it is done
            self.report(headers.path, Code.CANCELLED if call.code is None else call.code)

        stream.whenClosed().addBoth(over)
        return working

    def _failed(self, call, failure) -> None:
        if failure.check(GrpcError):
            call.finish(failure.value.code, failure.value.message)
        elif not (call.stream.closed and failure.check(HTTP2Error, CancelledError)):
            self.log.failure("{path} failed", failure, path=call.metadata.path)
            call.finish(Code.UNKNOWN, "the method failed")


class ClientCall:
    """
    A call as the client holds it.  C{headers} and C{trailers} are the server's metadata, once they are there.
    """

    def __init__(self, clock, session, path, timeout=None, metadata=()) -> None:
        request = {":method": "POST", ":path": path, "te": "trailers", "content-type": CONTENT_TYPE, **dict(metadata)}
        self.headers = self.trailers = None
        self._cancelled = None
        if timeout is None:
            self.stream = session.request(request)
        else:
            milliseconds = min(ceil(timeout * 1000), 99_999_999)  # eight digits at most
            self.stream = session.request({**request, "grpc-timeout": f"{milliseconds}m"})
            expiring = clock.callLater(timeout, self.cancel, Code.DEADLINE_EXCEEDED)
            self.stream.whenClosed().addBoth(lambda _: expiring.active() and expiring.cancel())

    def cancel(self, code: int = Code.CANCELLED) -> None:
        """
        Give the call up; reading it fails with the code.
        """
        if not self.stream.closed:
            self._cancelled = code
            self.stream.close(ErrorCode.CANCEL)

    async def send(self, *texts: str, end: bool = False) -> None:
        """
        Send messages as fast as the server takes them.  If the call ends meanwhile, reading says how.

        @param end: whether these are the last.
        """
        try:
            for text in texts:
                await self.stream.send(frame(encodeHello(text)))
            if end:
                self.stream.end()
        except HTTP2Error:
            if not self.stream.closed:
                raise

    async def receive(self):
        """
        Read what the server sends, and then its status, which is raised unless it is OK.
        """
        try:
            self.headers = await self.stream.whenResponse()
            if self.headers.status != 200:
                raise GrpcError(HTTP_CODES.get(self.headers.status, Code.UNKNOWN), f"status {self.headers.status}")
            if not self.headers.get("content-type", "").startswith("application/grpc"):
                raise GrpcError(Code.UNKNOWN, "the answer is not gRPC")
            async for message in messages(self.stream):
                yield decodeHello(message)
            self.trailers = await self.stream.whenTrailers() or self.headers
        except Ended as error:
            raise self._failure(error) from error
        finally:
            self.cancel()  # does nothing after a whole call
        status = self.trailers.get("grpc-status", "none")
        if status != "0":
            code = int(status) if status.isdecimal() else Code.UNKNOWN
            raise GrpcError(code, unquote(self.trailers.get("grpc-message", "")))

    def _failure(self, error: Ended) -> GrpcError:
        if self._cancelled is not None:
            return GrpcError(self._cancelled, LATE if self._cancelled == Code.DEADLINE_EXCEEDED else "cancelled here")
        if isinstance(error, SessionError) or error.initiator is Initiator.TRANSPORT or error.processed is False:
            return GrpcError(Code.UNAVAILABLE, str(error))
        return GrpcError(RESET_CODES.get(error.code, Code.INTERNAL), str(error))


# ---------------------------------------------------------------------------------------------------------------------
# The greeter.  Both of its messages, HelloRequest and HelloReply, have one field: string name (or message) = 1.


def encodeHello(text: str) -> bytes:
    """
    Write a message: the field's number and type, its length seven bits at a time, its text.  An empty field is left out.
    """
    data, head = text.encode(), bytearray(b"\x0a")
    size = len(data)
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes([*head, size]) + data if data else b""


def decodeHello(message: bytes) -> str:
    """
    Read a message.
    """
    head = re.match(rb"\x0a([\x80-\xff]{0,4}[\0-\x7f])", message)
    size = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(head[1])) if head else 0
    text = message[head.end() :] if head else message
    if len(text) != size:
        raise GrpcError(Code.INTERNAL, "not a message of the greeter's")
    return text.decode("utf-8", "replace")


async def sayHello(call) -> None:
    """
    Answer one name with one greeting, C{Hello} or what C{x-greeting} says; the metadata tells who greets.
    """
    name = await only(call.receive())
    if not name:
        raise GrpcError(Code.INVALID_ARGUMENT, "whom shall I greet? ¿a quién?")
    call.start({"x-greeter": "txh2session"})
    call.trailing["x-letters"] = len(name)
    await call.send(f"{call.metadata.get('x-greeting', 'Hello')}, {name}!")


async def sayHelloStreamReply(call) -> None:
    """
    Answer one name with many greetings.
    """
    name = await only(call.receive())
    for greeting in ("Hello", "¡Hola", "Hei"):
        await call.send(f"{greeting}, {name}!")


async def sayHelloStreamRequest(call) -> None:
    """
    Answer many names with one greeting.
    """
    names = [name async for name in call.receive()]
    await call.send(f"Hello, {' and '.join(names)}!")


async def sayHelloBidiStream(call) -> None:
    """
    Answer each name as it comes.
    """
    async for name in call.receive():
        await call.send(f"Hello, {name}!")


SERVICE = "/helloworld.Greeter/"
METHODS = {
    f"{SERVICE}SayHello": sayHello,
    f"{SERVICE}SayHelloStreamReply": sayHelloStreamReply,
    f"{SERVICE}SayHelloStreamRequest": sayHelloStreamRequest,
    f"{SERVICE}SayHelloBidiStream": sayHelloBidiStream,
}


async def serve(reactor, port: str) -> Server:
    """
    Start the server.
    """
    service = Service(reactor, METHODS, lambda path, code: print(f"server: {path} {code.name}", flush=True))
    server = Server(service)
    listening = await server.listen(TCP4ServerEndpoint(reactor, int(port), interface="127.0.0.1"))
    server.port = listening.getHost().port
    print(f"http://localhost:{server.port}", flush=True)
    return server


async def greet(reactor, port: int, name: str) -> None:
    """
    Make a call of each kind, and some that do not end well.
    """
    session = await connect(reactor, f"http://localhost:{port}")

    async def call(method: str, *names: str, timeout: float | None = 10, metadata=()) -> None:
        made = ClientCall(reactor, session, SERVICE + method, timeout, metadata)
        try:
            await made.send(*names, end=bool(names))
            async for reply in made.receive():
                print(reply)
        except GrpcError as error:
            print(error)

    await call("SayHello", name, metadata={"x-greeting": "Good day"})
    await call("SayHelloStreamReply", name)
    await call("SayHelloStreamRequest", name, "everybody")
    await call("SayHelloBidiStream", name, "everybody", "the rest")
    await call("SayHello", "")
    await call("SayGoodbye", name)
    await call("SayHelloBidiStream", timeout=0.1)  # neither side says anything
    talk = ClientCall(reactor, session, f"{SERVICE}SayHelloBidiStream")
    await talk.send(name)
    async for reply in talk.receive():
        print(reply, "Enough.")
        break  # which cancels the call
    await session.close()


async def main(reactor, what: str = "both", *arguments: str) -> None:
    """
    Be a server until Ctrl-C, a client, or both.
    """
    if what == "greet":
        *port, name = arguments or ("World",)
        await greet(reactor, int(port[0]) if port else 50051, name)
    elif what == "serve":
        server = await serve(reactor, arguments[0] if arguments else "50051")
        reactor.addSystemEventTrigger("before", "shutdown", server.close, grace=10)
        await Deferred()
    else:
        server = await serve(reactor, "0")
        await greet(reactor, server.port, "World")
        await server.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
