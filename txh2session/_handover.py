"""
Connections that speak HTTP/1.1 and were handed to another factory's protocol: what a server that closes does with them.

Nothing says how an unknown protocol is to be ended.  Those of twisted.web make a request object for each request, by a
factory that can be replaced, and a request tells when it is finished; so these are known to be busy or idle.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IProtocol

from txh2session._timer import DelayedCall


class HandedOverLink(Protocol):
    """
    What is left of an HTTP/2 connection that was none: the way to its transport.
    """

    def hangUp(self) -> None:
        """
        Close the transport when what was written has gone out.
        """

    def abort(self) -> None:
        """
        Close the transport at once.
        """

    def callLater(self, delay: float, call: Any) -> DelayedCall:
        """
        Call later.
        """


class HTTP1Connection:
    """
    One connection that another protocol has.

    @ivar requests: how many requests are being answered; L{None} where nobody can know.
    """

    def __init__(self, link: HandedOverLink, protocol: IProtocol) -> None:
        self._link = link
        self._closing = False
        self._deadline: DelayedCall | None = None
        self.requests: int | None = None
        make = getattr(protocol, "requestFactory", None)
        if callable(make):
            self.requests = 0
            self._make = make
            protocol.requestFactory = self._request  # type: ignore[attr-defined]

    def _request(self, *arguments: Any, **named: Any) -> Any:
        """
        Make a request as the factory would have, and watch it.
        """
        request = self._make(*arguments, **named)
        assert self.requests is not None  # only a protocol with a factory calls this
        self.requests += 1
        request.notifyFinish().addBoth(self._requestDone)
        return request

    def _requestDone(self, result: object) -> None:
        assert self.requests is not None  # as above
        self.requests -= 1
        self._closeIfIdle()

    def _closeIfIdle(self) -> None:
        if self._closing and self.requests == 0:
            self._link.hangUp()

    def close(self, grace: float | None) -> None:
        """
        Close it, if it is idle, or else when it has answered.

        @param grace: seconds after which it is closed in any case.
        """
        self._closing = True
        if grace is not None and self._deadline is None:
            self._deadline = self._link.callLater(grace, self._late)
        self._closeIfIdle()

    def _late(self) -> None:
        self._deadline = None
        self._link.abort()

    def lost(self) -> None:
        """
        The transport is gone.
        """
        self._closing = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
