"""
Raw peers through the kernel and TLS: a fixture that listens and connects on the loopback interface with the real reactor.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocolFactory
from twisted.trial.unittest import TestCase

from tests.peers.programs import reactor
from txh2session import (
    ClientSession,
    HTTP2Error,
    Server,
    clientContextFactory,
    connect,
    developmentCertificate,
    openSession,
    serverContextFactory,
)
from txh2session.testing import FramePeerFactory, FramePeerProtocol, connectFramePeer


class RawCase(TestCase):
    """
    Connects raw peers to servers, and clients to raw peers.

    @cvar encrypted: whether over TLS.
    """

    timeout = 60
    encrypted = False

    def setUp(self) -> Any:
        """
        Make a certificate, once for all tests.
        """
        if self.encrypted:
            made = developmentCertificate(self.mktemp())
            with open(made.certificatePath, "rb") as file:
                certificate = file.read()
            with open(made.privateKeyPath, "rb") as file:
                key = file.read()
            self._serverContext = serverContextFactory(certificate, key)
            self._clientContext = clientContextFactory(trustRoot=certificate)

    async def listen(self, factory: IProtocolFactory, sendBuffer: int = 0) -> int:
        """
        Listen on a port of the kernel's choice, until the test is over.

        @param sendBuffer: how much the kernel is to hold of what is sent, the kernel's choice if 0.

        @return: the port.
        """
        if self.encrypted:
            endpoint: Any = SSL4ServerEndpoint(reactor, 0, self._serverContext, interface="127.0.0.1")
        else:
            endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await endpoint.listen(factory)
        self.addCleanup(lambda: maybeDeferred(port.stopListening))
        if sendBuffer:
            port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, sendBuffer)  # connections inherit it
        return int(port.getHost().port)

    async def serve(self, server: Server, sendBuffer: int = 0) -> int:
        """
        Listen with a server, which at the end of the test has no connection left.

        @return: the port.
        """
        port = await self.listen(server, sendBuffer)
        self.addCleanup(server.close, grace=0)
        return port

    async def peerOf(self, port: int, *, start: bool = False, **settings: int) -> FramePeerProtocol:
        """
        Connect a raw peer to a server.  The connection ends with the test.
        """
        endpoint: Any = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        if self.encrypted:
            endpoint = wrapClientTLS(self._clientContext.creatorForNetloc(b"localhost", port), endpoint)
        peer = await connectFramePeer(endpoint, start=start, **settings)
        self.addCleanup(self.cut, peer)
        return peer

    def socketOf(self, peer: FramePeerProtocol) -> socket.socket:
        """
        Find a raw peer's socket.
        """
        transport: Any = peer.transport
        found: socket.socket = (transport.transport if self.encrypted else transport).socket
        return found

    async def connect(self, port: int) -> ClientSession:
        """
        Connect a client of ours.  Its session ends with the test.
        """
        session = await connect(
            reactor,
            f"{'https' if self.encrypted else 'http'}://localhost:{port}",
            endpoint=TCP4ClientEndpoint(reactor, "127.0.0.1", port),
            contextFactory=self._clientContext if self.encrypted else None,
        )
        self.addCleanup(self._end, session)
        return session

    async def pair(self, **options: Any) -> tuple[ClientSession, FramePeerProtocol]:
        """
        Connect a client of ours to a raw peer, which has sent nothing yet.  The connection ends with the test.
        """
        factory = FramePeerFactory()
        port = await self.listen(factory)
        session = openSession(
            reactor,
            f"{'https' if self.encrypted else 'http'}://localhost:{port}",
            endpoint=TCP4ClientEndpoint(reactor, "127.0.0.1", port),
            contextFactory=self._clientContext if self.encrypted else None,
            **options,
        )
        self.addCleanup(self._end, session)
        peer = await factory.whenConnected()
        self.addCleanup(self.cut, peer)
        return session, peer

    @staticmethod
    def cut(peer: FramePeerProtocol) -> Deferred[BaseException]:
        """
        End a raw peer's connection, if it is there.
        """
        if not peer.lost:
            peer.abort()
        return peer.whenClosed()

    @staticmethod
    def _end(session: ClientSession) -> Deferred[None]:
        session.destroy()
        return session.whenClosed().addErrback(lambda failure: failure.trap(HTTP2Error) and None)

    @staticmethod
    def within(seconds: float, doing: Awaitable[Any]) -> Deferred[Any]:
        """
        Give something its time.
        """

        async def do() -> Any:
            return await doing

        return Deferred.fromCoroutine(do()).addTimeout(seconds, reactor)
