"""
For tests of code that uses this package, and of the package itself: two ends of a connection in memory, a fake clock, and
a peer that sends whatever frames it is told to, right or wrong.

  - L{connectedSessions} gives a client's and a server's session that are connected through a L{Pipe}.
  - L{FramePeer} is one end of a connection that speaks single frames; L{connectFramePeer} and L{FramePeerFactory} make
    one on a real transport, a L{FramePeerProtocol}.
  - L{Pipe} moves bytes between any two Twisted protocols, with back-pressure, in pieces of a chosen size.

In memory nothing moves until C{pump()} is called, and time passes only when the clock is told so.
"""

from __future__ import annotations

from dataclasses import dataclass

from twisted.internet.task import Clock

from txh2session.client import ClientSession
from txh2session.framelog import FrameLog
from txh2session.listeners import SessionListener
from txh2session.protocol import HTTP2Protocol
from txh2session.server import ServerSession
from txh2session.serving import Server, StreamReceived
from txh2session.settings import Limits, Options, Settings, Timeouts
from txh2session.testing._framepeer import FramePeer
from txh2session.testing._framespeaker import FrameSpeaker, RawFrame, describeFrame, requestFields
from txh2session.testing._pipe import Pipe, PipeTransport
from txh2session.testing._wirepeer import FramePeerFactory, FramePeerProtocol, connectFramePeer

__all__ = [
    "ConnectedSessions",
    "FramePeer",
    "FramePeerFactory",
    "FramePeerProtocol",
    "FrameSpeaker",
    "Pipe",
    "PipeTransport",
    "RawFrame",
    "connectFramePeer",
    "connectedSessions",
    "describeFrame",
    "requestFields",
]


@dataclass
class ConnectedSessions:
    """
    A client's and a server's session, connected.

    @ivar client: the client's session.
    @ivar server: the server.
    @ivar pipe: what connects them.
    @ivar clock: their clock.
    """

    client: ClientSession
    server: Server
    pipe: Pipe
    clock: Clock

    @property
    def serverSession(self) -> ServerSession:
        """
        The server's session.
        """
        (session,) = self.server.sessions
        return session

    def pump(self) -> None:
        """
        Move all there is to move.
        """
        self.pipe.pump()

    def advance(self, seconds: float) -> None:
        """
        Let time pass, then move all there is to move.
        """
        self.clock.advance(seconds)
        self.pipe.pump()


def connectedSessions(
    streamReceived: StreamReceived,
    *,
    clock: Clock | None = None,
    chunk: int | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    listener: SessionListener | None = None,
    options: Options | None = None,
    frameLog: FrameLog | None = None,
    clientSettings: Settings | None = None,
    clientLimits: Limits | None = None,
    clientTimeouts: Timeouts | None = None,
    clientListener: SessionListener | None = None,
    clientOptions: Options | None = None,
    clientFrameLog: FrameLog | None = None,
    pump: bool = True,
) -> ConnectedSessions:
    """
    Connect a client's session to a server's, in memory.

    @param streamReceived: serves the requests, see L{Server<txh2session.Server>}.
    @param chunk: how many bytes are delivered at once.
    @param pump: whether to move the first bytes, so that both sides know each other's settings.

    The parameters C{settings} to C{frameLog} are the server's, those that begin with C{client} the client's.
    """
    clock = clock or Clock()
    server = Server(
        streamReceived,
        settings=settings,
        limits=limits,
        timeouts=timeouts,
        listener=listener,
        options=options,
        clock=clock,
        frameLog=frameLog,
    )
    client = ClientSession(
        "http", "localhost", clientSettings, clientLimits, clientTimeouts or Timeouts(), clientListener, clientOptions
    )
    near = HTTP2Protocol(client, clientTimeouts or Timeouts(), clock, server=False, frameLog=clientFrameLog)
    far = server.buildProtocol(None)
    assert far is not None  # the server is new
    sessions = ConnectedSessions(client, server, Pipe(near, far, chunk), clock)
    if pump:
        sessions.pump()
    return sessions
