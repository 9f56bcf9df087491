"""
Tests of L{txh2session.web} with what stands on C{twisted.web}: Klein, and Flask through WSGI.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flask
from klein import Klein
from twisted.internet.defer import Deferred, succeed
from twisted.web import server
from twisted.web.wsgi import WSGIResource

from tests.sites import WebCase


class DirectPool:
    """
    Stands in for a pool of threads and for the reactor they call, in one thread.
    """

    def callInThread(self, call: Callable[..., object], *arguments: Any) -> None:
        """Call it."""
        call(*arguments)

    callFromThread = callInThread


class FrameworkTests(WebCase):
    """
    What stands on C{twisted.web}.
    """

    def test_klein(self) -> None:
        """
        A Klein application answers, from plain functions, Deferreds and coroutines.
        """
        app = Klein()

        @app.route("/")
        def hello(request: Any) -> str:
            return "Hello, world!"

        @app.route("/user/<name>", methods=["POST"])
        async def user(request: Any, name: str) -> bytes:
            request.setHeader("content-type", "text/plain")
            return name.encode() + b" " + request.content.read()

        @app.route("/later")
        def later(request: Any) -> Deferred[str]:
            return succeed("later")

        both = self.serve(server.Site(app.resource(), reactor=self.clock))
        self.assertEqual(self.fetch(both, {}).body, b"Hello, world!")
        self.assertEqual(self.fetch(both, {":method": "POST", ":path": "/user/joe"}, b"posts").body, b"joe posts")
        self.assertEqual(self.fetch(both, {":path": "/later"}).body, b"later")
        self.assertEqual(self.fetch(both, {":path": "/nothing"}).status, 404)

    def test_flask(self) -> None:
        """
        A Flask application answers through WSGI, forms without a length included.
        """
        app = flask.Flask(__name__)

        @app.get("/")
        def hello() -> str:
            return f"Hello by {flask.request.environ['SERVER_PROTOCOL']} from {flask.request.host}"

        @app.post("/form")
        def form() -> dict[str, str]:
            return dict(flask.request.form)

        @app.get("/stream")
        def stream() -> Any:
            return (f"{number} " for number in range(3))

        pool = DirectPool()
        both = self.serve(WSGIResource(pool, pool, app))
        self.assertEqual(self.fetch(both, {}).body, b"Hello by HTTP/2 from localhost")
        kind = {":method": "POST", ":path": "/form", "content-type": "application/x-www-form-urlencoded"}
        answer = self.fetch(both, kind, b"name=joe&age=7")
        self.assertEqual((answer.body, answer.get("content-type")), (b'{"age":"7","name":"joe"}\n', "application/json"))
        self.assertEqual(self.fetch(both, {":path": "/stream"}).body, b"0 1 2 ")
        self.assertEqual(self.fetch(both, {":method": "HEAD"}).get("content-length"), "30")
        self.assertEqual(self.fetch(both, {":path": "/nothing"}).status, 404)
