"""
How a pool makes connections: what all of its sessions have in common.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.iweb import IPolicyForHTTPS

from txh2session._origins import WebURL
from txh2session.client import ClientSession
from txh2session.connecting import openSession
from txh2session.framelog import FrameLog
from txh2session.listeners import SessionListener
from txh2session.pool._parking import HTTP1Endpoint, ParkedConnection, ParkingFactory, SpeaksHTTP1
from txh2session.settings import Limits, Options, Settings, Timeouts
from txh2session.tls import clientContextFactory


@dataclass
class Dialer:
    """
    Connects sessions.  Its fields are what L{SessionPool<txh2session.SessionPool>} was given.
    """

    reactor: Any
    contextFactory: IPolicyForHTTPS | None
    settings: Settings | None
    limits: Limits | None
    timeouts: Timeouts
    listener: SessionListener | None
    options: Options
    frameLog: FrameLog | None
    way: Callable[[str, int], IStreamClientEndpoint] | None
    http1: bool

    def endpointFor(self, host: str, port: int) -> IStreamClientEndpoint:
        """
        Make the endpoint of a host and a port, without TLS.
        """
        if self.way is not None:
            return self.way(host, port)
        return HostnameEndpoint(self.reactor, host, port, timeout=self.timeouts.connect or 30)

    def parkingFor(self, url: WebURL) -> ParkingFactory | None:
        """
        Make what takes a connection that turns out to speak HTTP/1.1, if that is wanted.
        """
        return ParkingFactory() if self.http1 and url.scheme == "https" else None

    def open(self, url: WebURL, keepaliveFactor: int, parking: ParkingFactory | None) -> ClientSession:
        """
        Begin to connect a session.

        @param keepaliveFactor: how many times longer than asked for to wait between PINGs.
        """
        timeouts = self.timeouts
        if timeouts.keepalive is not None:
            slower = replace(timeouts.keepalive, interval=timeouts.keepalive.interval * keepaliveFactor)
            timeouts = replace(timeouts, keepalive=slower)
        return openSession(
            self.reactor,
            f"{url.scheme}://{url.authority}",
            endpoint=self.endpointFor(url.host, url.port),
            contextFactory=self._policy(),
            settings=self.settings,
            limits=self.limits,
            timeouts=timeouts,
            listener=self.listener,
            options=self.options,
            frameLog=self.frameLog,
            http1=parking,
        )

    def _policy(self) -> IPolicyForHTTPS:
        if self.contextFactory is None:
            self.contextFactory = clientContextFactory()
        return self.contextFactory

    def speaksHTTP1(
        self, url: WebURL, parked: deque[ParkedConnection], reason: BaseException | None = None
    ) -> SpeaksHTTP1:
        """
        Say that a server wants HTTP/1.1.

        @param parked: connections with it that are there.
        """

        def fresh() -> IStreamClientEndpoint:
            creator = self._policy().creatorForNetloc(url.host.encode("ascii"), url.port)
            return wrapClientTLS(creator, self.endpointFor(url.host, url.port))

        return SpeaksHTTP1("the server wants HTTP/1.1", HTTP1Endpoint(parked, fresh), reason)
