"""
What the tests with real peers have C{twistd h2session} serve: a tree of resources, a Klein and a Flask application.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Coroutine
from typing import Any

import flask
from klein import Klein
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.web import server, static
from twisted.web.resource import Resource
from zope.interface import implementer

from txh2session import ServerStream
from txh2session.web import IStreamingResource, setTrailers, streamOf, uploadOf

reactor: Any = _reactor


class Leaf(Resource):
    """
    Answers with a function, or a coroutine that finishes the request.
    """

    isLeaf = True

    def __init__(self, answer: Callable[[Any], bytes | Coroutine[Any, Any, None]]) -> None:
        super().__init__()
        self._answer = answer

    def render(self, request: Any) -> Any:
        """Answer."""
        answer = self._answer(request)
        if isinstance(answer, bytes):
            return answer
        Deferred.fromCoroutine(answer).addErrback(lambda failure: request.transport.loseConnection())
        return server.NOT_DONE_YET


@implementer(IStreamingResource)
class StreamingLeaf(Leaf):
    """
    The same, when the headers are there.
    """


async def echo(request: Any) -> None:
    """
    Send back what comes.
    """
    async for chunk in uploadOf(request):
        request.write(chunk)
        stream = streamOf(request)
        if stream is not None and stream.bufferSize > 1_000_000:
            await stream.send(b"")
    request.finish()


async def discard(request: Any) -> None:
    """
    Say at once what the first byte was, and at the end how many there were.
    """
    size = 0
    async for chunk in uploadOf(request):
        if not size:
            request.write(b"first %d\n" % chunk[0])
        size += len(chunk)
    request.write(b"all %d\n" % size)
    request.finish()


async def slow(request: Any) -> None:
    """
    Take half a second.
    """
    await deferLater(reactor, 0.5)
    request.write(b"slow\n")
    request.finish()


def digest(request: Any) -> bytes:
    """
    Hash an upload that was stored.
    """
    digester = hashlib.sha256()
    while chunk := request.content.read(65536):
        digester.update(chunk)
    return digester.hexdigest().encode()


def trailers(request: Any) -> bytes:
    """
    Send trailers.
    """
    setTrailers(request, {"x-sum": "7"})
    return b"with trailers\n"


def hints(request: Any) -> bytes:
    """
    Send a 103 before.
    """
    stream = streamOf(request)
    assert isinstance(stream, ServerStream)
    stream.additionalHeaders({":status": 103, "link": "</style.css>; rel=preload"})
    return b"after hints\n"


def form(request: Any) -> bytes:
    """
    Show a form, and who asks.
    """
    return repr(sorted(request.args.items())).encode()


class Bytes(Resource):
    """
    C{/bytes/N} has N bytes.
    """

    def getChild(self, path: bytes, request: Any) -> Resource:
        """See L{Resource}."""
        return Leaf(lambda request: b"x" * int(path))


def root() -> Resource:
    """
    Make the tree.
    """
    top = Resource()
    top.putChild(b"hello", static.Data(b"hello world\n", "text/plain"))
    top.putChild(b"bytes", Bytes())
    top.putChild(b"files", static.File(os.environ.get("TXH2SESSION_FILES", os.path.dirname(__file__))))
    for name, answer in (("digest", digest), ("form", form), ("trailers", trailers), ("early-hints", hints)):
        top.putChild(name.encode(), Leaf(answer))
    top.putChild(b"slow", Leaf(slow))
    top.putChild(b"echo", StreamingLeaf(echo))
    top.putChild(b"discard", StreamingLeaf(discard))
    return top


klein = Klein()


@klein.route("/")
def kleinHello(request: Any) -> str:
    """
    Say hello.
    """
    return "Hello, Klein!"


@klein.route("/later/<name>")
async def kleinLater(request: Any, name: str) -> bytes:
    """
    Say it later.
    """
    await deferLater(reactor, 0.01)
    return f"Hello, {name}!".encode()


kleinRoot = klein.resource

application = flask.Flask(__name__)


@application.get("/")
def flaskHello() -> str:
    """
    Say hello, and by which protocol.
    """
    return f"Hello, Flask, by {flask.request.environ['SERVER_PROTOCOL']}!"


@application.post("/upload")
def flaskUpload() -> dict[str, Any]:
    """
    Look at an upload.
    """
    return {"size": len(flask.request.get_data()), "type": flask.request.content_type}


@application.get("/stream")
def flaskStream() -> Any:
    """
    Send a body in pieces.
    """
    return (b"x" * 10_000 for _ in range(200))
