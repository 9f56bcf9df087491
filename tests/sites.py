"""
What the tests of L{txh2session.web} share: resources, and sites served in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.cred.portal import IRealm
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from txh2session import Headers
from txh2session.testing import ConnectedSessions, PipeTransport, connectedSessions
from txh2session.web import IStreamingResource, wrapSite


class Leaf(Resource):
    """
    Answers everything with a function.
    """

    isLeaf = True

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        super().__init__()
        self._answer = answer

    def render(self, request: Any) -> Any:
        """Call it."""
        return self._answer(request)


@implementer(IStreamingResource)
class StreamingLeaf(Leaf):
    """
    The same, as soon as the headers are there.
    """


@implementer(IRealm)
class Realm:
    """
    Lets everybody who has a password see one resource.
    """

    def __init__(self, resource: Resource) -> None:
        self._resource = resource

    def requestAvatar(self, avatar: object, mind: object, *interfaces: object) -> Any:
        """See L{IRealm}."""
        return IResource, self._resource, lambda: None


class Answer:
    """
    What a client got.

    @ivar status: the status code.
    @ivar fields: names and values, those left out that differ between connections or times.
    @ivar body: the body.
    """

    def __init__(self, status: int, fields: list[tuple[str, str]], body: bytes) -> None:
        self.status = status
        hidden = {":status", "date", "connection", "transfer-encoding", "last-modified", "set-cookie"}
        self.all = [(name.lower(), value) for name, value in fields]
        self.fields = sorted(field for field in self.all if field[0] not in hidden)
        self.body = body

    def get(self, name: str) -> str | None:
        """
        Get the only value of a field.
        """
        values = [value for each, value in self.all if each == name]
        assert len(values) < 2, values
        return values[0] if values else None


class WebCase(SynchronousTestCase):
    """
    Serves sites in memory.
    """

    def setUp(self) -> None:
        """
        Stop the clock.
        """
        self.clock = Clock()

    def site(self, resource: Any, **options: Any) -> server.Site:
        """
        Make a site of a resource, or of a function that answers.
        """
        if not IResource.providedBy(resource):
            resource = Leaf(resource)
        return server.Site(resource, reactor=self.clock, **options)

    def serve(self, resource: Any, **options: Any) -> ConnectedSessions:
        """
        Connect a client to a site.
        """
        site = resource if isinstance(resource, server.Site) else self.site(resource)
        names = ("clientSettings", "clientLimits", "clientListener", "timeouts", "limits", "settings")
        session = {name: options.pop(name) for name in names if name in options}
        self.wrapped = wrapSite(site, clock=self.clock, **options)
        return connectedSessions(self.wrapped.streamReceived, clock=self.clock, **session)

    def fetch(self, both: ConnectedSessions, headers: Any, body: bytes | None = None) -> Answer:
        """
        Ask over HTTP/2 and wait for the whole answer.
        """
        stream = both.client.request(headers, endStream=body is None)
        if body is not None:
            stream.end(body)
        received = stream.read()
        both.pump()
        answer = self.successResultOf(stream.whenResponse())
        assert answer.status is not None
        return Answer(answer.status, list(answer), self.successResultOf(received))

    def ask(self, resource: Any, headers: Any = None, body: bytes | None = None, **options: Any) -> Answer:
        """
        Serve a resource for one request over HTTP/2.
        """
        return self.fetch(self.serve(resource, **options), headers or {}, body)

    def askOld(self, resource: Any, request: bytes) -> Answer:
        """
        Serve a resource for one request over HTTP/1.1, on the port that speaks both.
        """
        site = resource if isinstance(resource, server.Site) else self.site(resource)
        protocol = wrapSite(site, clock=self.clock).buildProtocol(None)
        assert protocol is not None
        transport = PipeTransport("server", "client")
        protocol.makeConnection(transport)
        protocol.dataReceived(request)
        head, _, body = bytes(transport.buffer).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        fields = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        if ("Transfer-Encoding", "chunked") in fields:
            chunks = re.findall(rb"([0-9a-f]+)\r\n", body)
            joined, rest = b"", body
            while chunks and rest:
                size, _, rest = rest.partition(b"\r\n")
                joined, rest = joined + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
            body = joined
        return Answer(int(status.split()[1]), fields, body)


class Informed:
    """
    Writes down the 1xx responses that come.
    """

    def __init__(self, told: list[int | None]) -> None:
        self._told = told

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None

    def informationReceived(self, stream: Any, headers: Headers) -> None:
        """Write it down."""
        self._told.append(headers.status)
