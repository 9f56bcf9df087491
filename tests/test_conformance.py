"""
The rows of L{tests.conformance}, in memory: one test a row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.client import CLIENT
from tests.conformance.rows import ClientJudge, Judge, Row, ServerJudge, application
from tests.conformance.server import SERVER
from txh2session import ClientSession, Server
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


@rowTests(SERVER)
class ServerTests(InMemory):
    """
    What clients may not do, and servers have to bear.
    """

    def judge(self, row: Row) -> None:
        """
        Judge a row.
        """
        server = Server(application, clock=self.clock, settings=row.settings, limits=row.limits)
        peer = FramePeer.toServer(server, start=False)
        self.run_(ServerJudge(self, row, peer, self.ended(peer)))
        self.assertEqual(list(server.sessions), [])


@rowTests(CLIENT)
class ClientTests(InMemory):
    """
    What servers may not do, and clients have to bear.
    """

    def judge(self, row: Row) -> None:
        """
        Judge a row.
        """
        session = ClientSession("http", "localhost", row.settings, row.limits)
        peer = FramePeer.toClient(session, self.clock, start=False)
        self.run_(ClientJudge(self, row, peer, self.ended(peer), session))
        self.assertTrue(session.destroyed)


__all__ = ["ClientTests", "ConnectionDone", "ServerTests"]
