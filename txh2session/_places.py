"""
Where C{twistd h2session} listens: on an address, which may be two, or on what the string of an endpoint names.
"""

from __future__ import annotations

import errno
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.endpoints import SSL4ServerEndpoint, TCP4ServerEndpoint
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IStreamServerEndpoint
from twisted.logger import Logger

from txh2session import Server

_log = Logger(namespace="txh2session.tap")

_NO_SUCH_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""What binding to 127.0.0.1 or ::1 says on a machine without IPv4 or IPv6."""


@dataclass(frozen=True)
class Address:
    """
    Where to listen.

    @ivar host: a name or an IP address without brackets.
    @ivar port: 0 for any that is free.
    """

    host: str
    port: int

    @property
    def interfaces(self) -> tuple[str, ...]:
        """
        The addresses to bind.
        """
        return ("127.0.0.1", "::1") if self.host == "localhost" else (self.host,)


class Place(Protocol):
    """
    Where to serve.
    """

    async def listen(self, server: Server) -> None:
        """
        Begin, and say so in the log.
        """


_BACKLOG = 1024
"""How many connections may wait to be accepted.  With Twisted's 50 a crowd waits for seconds, until its packets are sent
again; Node has 511.  The kernel may allow fewer."""


class EndpointPlace:
    """
    What C{--listen} names.
    """

    def __init__(self, description: str, endpoint: IStreamServerEndpoint) -> None:
        self._description = description
        self._endpoint = endpoint

    async def listen(self, server: Server) -> None:
        """See L{Place}."""
        port = await server.listen(self._endpoint)
        _log.info("Serving {endpoint}, which is {address}", endpoint=self._description, address=port.getHost())


class AddressPlace:
    """
    What C{--https} and C{--http} name.
    """

    def __init__(
        self, reactor: object, address: Address, tls: IOpenSSLServerConnectionCreator | None, curl: Sequence[str]
    ) -> None:
        """
        @param tls: L{None} for clear text.
        @param curl: the command that a URL makes complete.
        """
        self._reactor = reactor
        self._address = address
        self._tls = tls
        self._curl = curl

    def _endpoint(self, interface: str, port: int) -> IStreamServerEndpoint:
        # The 4 in their names does not keep them from an IPv6 interface.
        if self._tls is None:
            return TCP4ServerEndpoint(self._reactor, port, _BACKLOG, interface)
        return SSL4ServerEndpoint(self._reactor, port, self._tls, _BACKLOG, interface)

    async def listen(self, server: Server) -> None:
        """See L{Place}."""
        chosen = port = self._address.port
        first: CannotListenError | None = None
        bound = False
        for interface in self._address.interfaces:
            try:
                listening = await server.listen(self._endpoint(interface, port))
                port = cast("IPv4Address | IPv6Address", listening.getHost()).port
                bound = True
            except CannotListenError as error:
                missing = getattr(error.socketError, "errno", None) in _NO_SUCH_FAMILY
                # A port of the kernel's choice is good enough on one of the two.
                if not missing and not (bound and chosen == 0):
                    raise
                first = first or error
        if first is not None and not bound:
            raise first
        url = self._url(port)
        _log.info("Serving {url} - try: {command}", url=url, command=shlex.join([*self._curl, url]))

    def _url(self, port: int) -> str:
        host = "localhost" if self._address.host in ("0.0.0.0", "::") else self._address.host
        return f"{'http' if self._tls is None else 'https'}://{f'[{host}]' if ':' in host else host}:{port}/"
