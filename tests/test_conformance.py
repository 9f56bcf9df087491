"""
The rows of L{tests.conformance}, in memory: one test a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hyperframe.frame import HeadersFrame
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.client import CLIENT
from tests.conformance.messages import (
    CLIENT_MESSAGES,
    SERVER_MESSAGES,
    UNSENDABLE_INFORMATION,
    UNSENDABLE_REQUESTS,
    UNSENDABLE_RESPONSES,
    UNSENDABLE_TRAILERS,
    Fields,
)
from tests.conformance.rows import ClientJudge, Judge, Row, ServerJudge, application
from tests.conformance.server import SERVER
from txh2session import ClientSession, InvalidHeader, Server, ServerStream
from txh2session.testing import FramePeer


def rowTests(rows: list[Row]) -> Callable[[type[Any]], type[Any]]:
    """
    Give a class a test for each row.
    """

    def add(case: type[Any]) -> type[Any]:
        for row in rows:
            name = f"test_{row.name}"
            assert not hasattr(case, name), name

            def test(self: Any, row: Row = row) -> None:
                self.judge(row)

            test.__name__ = name
            test.__qualname__ = f"{case.__qualname__}.{name}"
            test.__doc__ = f"RFC section {row.section}: {row.outcome}."
            setattr(case, name, test)
        return case

    return add


class InMemory(SynchronousTestCase):
    """
    A fixture: a peer in memory, and a clock.
    """

    def run_(self, judge: Judge) -> None:
        """
        Judge a row, which in memory takes no time, and see that nothing is left.
        """
        self.successResultOf(Deferred.fromCoroutine(judge.judge()))
        judge.peer.abort()  # type: ignore[attr-defined]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def setUp(self) -> None:
        """
        Make a clock.
        """
        self.clock = Clock()

    def ended(self, peer: FramePeer) -> Callable[[], Any]:
        """
        See that a connection ends, with the time that is left to a slow peer.
        """

        async def ends() -> BaseException:
            self.clock.advance(3)
            peer._look()
            self.assertTrue(peer.lost)
            assert peer._reason is not None and peer._reason.value is not None
            return peer._reason.value

        return ends


class ServerRows(InMemory):
    """
    A fixture: rows about servers.
    """

    def judge(self, row: Row) -> None:
        """
        Judge a row.
        """
        server = Server(application, clock=self.clock, settings=row.settings, limits=row.limits)
        peer = FramePeer.toServer(server, start=False)
        self.run_(ServerJudge(self, row, peer, self.ended(peer)))
        self.assertEqual(list(server.sessions), [])


class ClientRows(InMemory):
    """
    A fixture: rows about clients.
    """

    def judge(self, row: Row) -> None:
        """
        Judge a row.
        """
        session = ClientSession("http", "localhost", row.settings, row.limits)
        peer = FramePeer.toClient(session, self.clock, start=False)
        self.run_(ClientJudge(self, row, peer, self.ended(peer), session))
        self.assertTrue(session.destroyed)


@rowTests(SERVER)
class ServerTests(ServerRows):
    """
    What clients may not do, and servers have to bear.
    """


@rowTests(CLIENT)
class ClientTests(ClientRows):
    """
    What servers may not do, and clients have to bear.
    """


@rowTests(SERVER_MESSAGES)
class ServerMessageTests(ServerRows):
    """
    Messages that servers refuse, and odd ones that they take.
    """


@rowTests(CLIENT_MESSAGES)
class ClientMessageTests(ClientRows):
    """
    Messages that clients refuse.
    """


class UnsendableTests(SynchronousTestCase):
    """
    What an application cannot send: each call raises L{InvalidHeader}, nothing goes out, and the stream can still be used.
    """

    def setUp(self) -> None:
        """
        Make a server with a request, and a client.
        """
        self.streams: list[ServerStream] = []
        self.server = FramePeer.toServer(Server(lambda stream, _: self.streams.append(stream), clock=Clock()))
        self.server.send(self.server.get(1))
        self.session = ClientSession("http", "localhost")
        self.client = FramePeer.toClient(self.session, Clock())

    def refuses(self, peer: FramePeer, call: Callable[[Any], Any], what: dict[str, Fields]) -> None:
        """
        Assert that a call refuses all of a table, as pairs and as a mapping, and says nothing to the peer.
        """
        peer.take()
        for name, fields in what.items():
            for given in (fields, dict(fields) if len(dict(fields)) == len(fields) else fields):
                try:
                    call(given)
                except InvalidHeader:
                    self.assertEqual(peer.names(), [], name)
                else:
                    self.fail(f"{name} was taken: {given}")

    def test_requests(self) -> None:
        """
        Requests, with and without a body.
        """
        self.refuses(self.client, self.session.request, UNSENDABLE_REQUESTS)
        self.refuses(self.client, lambda fields: self.session.request(fields, endStream=False), UNSENDABLE_REQUESTS)
        self.assertEqual(self.session.request().id, 1)
        self.assertEqual(self.client.names(), ["HEADERS 1 END_STREAM"])

    def test_responses(self) -> None:
        """
        Responses.
        """
        self.refuses(self.server, self.streams[0].respond, UNSENDABLE_RESPONSES)
        self.streams[0].respond(endStream=True)
        self.assertEqual(self.server.names(), ["HEADERS 1 200 END_STREAM"])

    def test_information(self) -> None:
        """
        Informational responses.
        """
        self.refuses(self.server, self.streams[0].additionalHeaders, UNSENDABLE_INFORMATION)
        self.streams[0].additionalHeaders({":status": 103, "link": "</a>"})
        self.assertEqual(self.server.names(), ["HEADERS 1 103"])

    def test_trailers(self) -> None:
        """
        Trailers, of both sides.
        """
        answer = self.streams[0]
        answer.write(b"body")
        self.refuses(self.server, lambda fields: answer.end(trailers=fields), UNSENDABLE_TRAILERS)
        answer.end(trailers={"a": "b"})
        self.assertEqual(self.server.names(), ["HEADERS 1 END_STREAM"])
        upload = self.session.request({":method": "POST"})
        self.refuses(self.client, lambda fields: upload.end(trailers=fields), UNSENDABLE_TRAILERS)
        upload.end(trailers={"a": "b"})
        self.assertEqual(self.client.names(), ["HEADERS 1 END_STREAM"])

    def test_promises(self) -> None:
        """
        Promises.
        """
        self.refuses(self.server, self.streams[0].pushStream, UNSENDABLE_REQUESTS)
        self.streams[0].pushStream({":path": "/pushed"})
        self.assertEqual(self.server.names(), ["PUSH_PROMISE 1"])

    def test_priorities(self) -> None:
        """
        The value of C{priority} cannot smuggle a field in.
        """
        self.client.take()
        for value in ("u=1\r\na: b", "u=1\0"):
            self.assertRaises(InvalidHeader, self.session.request, {}, priority=value)
        self.assertEqual(self.client.names(), [])

    def test_normalised(self) -> None:
        """
        Names in upper case are sent in lower case, and values without the blanks around them.
        """
        self.session.request({"X-Upper": " \tA b\t"})
        (asked,) = self.client.take(HeadersFrame)
        self.assertIn(("x-upper", "A b"), asked.fields)
