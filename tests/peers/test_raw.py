"""
The rows of L{tests.conformance} through sockets and TLS: that what becomes of each reaches the peer through the kernel,
that no GOAWAY is lost to a TCP reset, and that nothing is left of a connection.
"""

from __future__ import annotations

from typing import Any

from tests.conformance.client import CLIENT
from tests.conformance.messages import CLIENT_MESSAGES, SERVER_MESSAGES
from tests.conformance.rows import ClientJudge, Row, ServerJudge, application
from tests.conformance.server import SERVER
from tests.peers.raw import RawCase
from txh2session import Server

PATIENCE = 20
"""How many seconds a row may take, on a machine that others use.  Most take a hundredth."""


class Rows:
    """
    All rows.
    """

    async def servers(self: Any, rows: list[Row]) -> None:
        """
        Judge rows about servers, each on a connection of its own.
        """
        ports: dict[str, int] = {}
        wrong: dict[str, BaseException] = {}
        for row in rows:
            options = repr((row.settings, row.limits))
            if options not in ports:
                ports[options] = await self.serve(Server(application, settings=row.settings, limits=row.limits))
            peer = await self.peerOf(ports[options])
            try:
                await self.within(PATIENCE, ServerJudge(self, row, peer, peer.whenClosed).judge())
            except Exception as error:
                wrong[row.name] = error
            await self.cut(peer)
        self.assertEqual(wrong, {})

    async def clients(self: Any, rows: list[Row]) -> None:
        """
        Judge rows about clients, each on a connection of its own.
        """
        wrong: dict[str, BaseException] = {}
        for row in rows:
            session, peer = await self.pair(settings=row.settings, limits=row.limits)
            try:
                await self.within(PATIENCE, ClientJudge(self, row, peer, peer.whenClosed, session).judge())
            except Exception as error:
                wrong[row.name] = error
            await self.cut(peer)
            await self._end(session)
        self.assertEqual(wrong, {})

    async def test_servers(self) -> None:
        """
        What clients may not do.
        """
        await self.servers(SERVER)

    async def test_serversMessages(self) -> None:
        """
        Messages that servers refuse.
        """
        await self.servers(SERVER_MESSAGES)

    async def test_clients(self) -> None:
        """
        What servers may not do.
        """
        await self.clients(CLIENT)

    async def test_clientsMessages(self) -> None:
        """
        Messages that clients refuse.
        """
        await self.clients(CLIENT_MESSAGES)


class RowsInClearTests(Rows, RawCase):
    """
    Over TCP.
    """


class RowsOverTLSTests(Rows, RawCase):
    """
    Over TLS.
    """

    encrypted = True
