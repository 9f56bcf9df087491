"""
A L{FramePeer}: one end of a connection in memory that sends the frames it is told to, right or wrong.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txh2session.client import ClientSession
from txh2session.protocol import HTTP2Protocol
from txh2session.serving import Server
from txh2session.settings import Timeouts
from txh2session.testing._framespeaker import FrameSpeaker, FrameTest
from txh2session.testing._pipe import PipeTransport


class FramePeer(FrameSpeaker):
    """
    One end of a connection that speaks single frames, right or wrong: for tests of how the other end takes them.

    What the other end sends is collected in C{frames}; nothing is answered by itself, not even SETTINGS or PING.

    @ivar transport: the other end's transport.
    @ivar frames: what came, as frames of C{hyperframe}; header blocks are decoded into a C{fields}
        attribute of the HEADERS or PUSH_PROMISE frame they begin with, once they are whole.
    @ivar lost: whether the other end has let the connection go.
    """

    def __init__(self, protocol: Any, *, client: bool = True) -> None:
        """
        @param protocol: the other end, for example C{server.buildProtocol(None)}.
        @param client: whether this is the client's end.
        """
        super().__init__(client)
        self._protocol = protocol
        self.transport = PipeTransport("server" if client else "client", "client" if client else "server")
        protocol.makeConnection(self.transport)

    @classmethod
    def toServer(cls, server: Server, *, start: bool = True) -> FramePeer:
        """
        Be a client of a server.

        @param start: whether to send the preface and SETTINGS, and to acknowledge the server's.
        """
        peer = cls(server.buildProtocol(None))
        if start:
            peer.start()
        return peer

    @classmethod
    def toClient(
        cls, session: ClientSession, clock: Clock, *, timeouts: Timeouts | None = None, start: bool = True
    ) -> FramePeer:
        """
        Be the server of a client's session.

        @param start: whether to send SETTINGS, and to acknowledge the client's.
        """
        peer = cls(HTTP2Protocol(session, timeouts or Timeouts(), clock, server=False), client=False)
        if start:
            peer.start()
        return peer

    def start(self, **settings: int) -> None:
        """
        Send the preface and SETTINGS, acknowledge the other end's, and forget what came so far.

        @param settings: values by name, for example C{INITIAL_WINDOW_SIZE=0}.
        """
        self.begin(**settings)
        self.take()

    def sendBytes(self, data: bytes) -> None:
        """
        Send bytes as they are.
        """
        if self.transport.connected and not self.lost:
            self._protocol.dataReceived(data)
        self._look()

    def close(self) -> None:
        """
        Close this end: the other reads the end of the stream.
        """
        self._cut(ConnectionDone())

    def abort(self) -> None:
        """
        Cut the connection, as a TCP reset does.
        """
        self._cut(ConnectionLost())

    def _cut(self, error: Exception) -> None:
        if self.transport.connected:
            self.transport.connected = False
            self._end(Failure(error))
            self._protocol.connectionLost(Failure(error))

    def take(self, kind: type[Any] | None = None) -> list[Any]:
        """See L{FrameSpeaker.take}."""
        self._look()
        return super().take(kind)

    def whenFrame(self, what: str | FrameTest) -> Deferred[Any]:
        """
        See L{FrameSpeaker.whenFrame}.  What the other end writes is read when this end sends, takes frames or calls this.
        """
        self._look()
        return super().whenFrame(what)

    def _look(self) -> None:
        """
        Read what the other end has written, and answer its close with ours.
        """
        transport = self.transport
        while transport.buffer:
            data = bytes(transport.buffer)
            transport.buffer.clear()
            transport.taken()
            self._read(data)
        if transport.connected and (transport.finishing or transport.aborted):
            self._cut(ConnectionLost() if transport.aborted else ConnectionDone())
