"""
Connecting a client: L{connect} and L{openSession}, which make a L{ClientSession}.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from txh2session._origins import WebURL, parseURL
from txh2session._timer import DelayedCall
from txh2session.client import ClientSession
from txh2session.errors import (
    ConnectFailed,
    ErrorCode,
    InvalidURL,
    StreamError,
)
from txh2session.framelog import FrameLog, checkFrameLog
from txh2session.listeners import SessionListener
from txh2session.protocol import HTTP2Protocol, describe
from txh2session.settings import Limits, Options, Settings, Timeouts
from txh2session.tls import KeyLog, clientContextFactory


@implementer(IProtocolNegotiationFactory)
class _Attempt(Factory):
    """
    One try to connect a session.
    """

    noisy = False

    def __init__(
        self,
        reactor: Any,
        session: ClientSession,
        timeouts: Timeouts,
        frameLog: FrameLog | None,
        http1: IProtocolFactory | None = None,
    ) -> None:
        self._http1 = http1
        self._reactor = reactor
        self._session = session
        self._timeouts = timeouts
        self._frameLog = frameLog
        self._connecting: Deferred[Any] | None = None
        self._protocol: HTTP2Protocol | None = None
        self._deadline: DelayedCall | None = None
        self._stopped = False

    def start(self, endpoint: IStreamClientEndpoint) -> None:
        """
        Connect.
        """
        self._session._giveUpConnecting = self.stop
        self._session._earlyClock = self._reactor
        if self._timeouts.connect:
            self._deadline = self._reactor.callLater(self._timeouts.connect, self._late)
            self._session.whenReady().addBoth(lambda _: self._stopDeadline())
        self._connecting = endpoint.connect(self)
        self._connecting.addErrback(self._failed)

    def acceptableProtocols(self) -> list[bytes]:
        """
        See L{IProtocolNegotiationFactory}: what to offer by ALPN; nothing for what the TLS context says.
        """
        return [] if self._http1 is None else [b"h2", b"http/1.1"]

    def buildProtocol(self, addr: IAddress | None) -> HTTP2Protocol:
        """See L{Factory}."""
        clock = cast(IReactorTime, self._reactor)
        self._protocol = HTTP2Protocol(
            self._session, self._timeouts, clock, server=False, http1=self._http1, frameLog=self._frameLog
        )
        self._protocol.factory = self
        return self._protocol

    def _failed(self, failure: Failure) -> None:
        """
        There is no connection.
        """
        error = failure.value
        if not self._stopped:
            stage = "dns" if failure.check(DNSLookupError) else "tcp"
            self._session.linkFailed(ConnectFailed(stage, describe(error), error))
        self._session.linkLost(None)

    def _late(self) -> None:
        self._deadline = None
        stage = "tcp" if self._protocol is None else self._protocol.stage
        self._session.linkFailed(ConnectFailed(stage, f"no session within {self._timeouts.connect:g} seconds"))
        self.stop()

    def _stopDeadline(self) -> None:
        if self._deadline is not None:
            deadline, self._deadline = self._deadline, None
            deadline.cancel()

    def stop(self) -> None:
        """
        Give up.
        """
        self._stopped = True
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.abort()
        elif self._connecting is not None:
            self._connecting.cancel()


def openSession(
    reactor: Any,
    url: str | bytes,
    *,
    endpoint: IStreamClientEndpoint | None = None,
    contextFactory: IPolicyForHTTPS | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    listener: SessionListener | None = None,
    options: Options | None = None,
    frameLog: FrameLog | None = None,
    keyLog: KeyLog | None = None,
    http1: IProtocolFactory | None = None,
) -> ClientSession:
    """
    Begin to connect to a server and return the session at once, still connecting: requests may be made and wait.

    What goes wrong arrives through the session: C{whenConnected()}, C{whenReady()} and C{whenClosed()} fail with a
    L{ConnectFailed<txh2session.ConnectFailed>}, and so do the requests, as the C{reason} of a L{StreamRefused
    <txh2session.StreamRefused>}.

    The parameters are those of L{connect}, and one more:

    @param http1: offers C{http/1.1} by ALPN, too, whatever the context factory names.  A protocol of this factory gets the
        connection, handshake done, of a server that chooses it, or chooses nothing; the session then ends with a
        L{ConnectFailed<txh2session.ConnectFailed>} of stage C{"alpn"}.  It counts over TLS only.
    """
    scheme, host, port, authority = parsedURL(url)
    checkFrameLog(frameLog)
    if keyLog and contextFactory is not None:
        raise ValueError("a contextFactory has its own keyLog: give it to clientContextFactory")
    chosen = timeouts or Timeouts()
    session = ClientSession(scheme, authority, settings, limits, chosen, listener, options)
    if endpoint is None:
        endpoint = HostnameEndpoint(reactor, host, port, timeout=chosen.connect or 30)
    if scheme == "https":
        policy = contextFactory or clientContextFactory(keyLog=keyLog)
        endpoint = wrapClientTLS(policy.creatorForNetloc(host.encode("ascii"), port), endpoint)
    _Attempt(reactor, session, chosen, frameLog, http1).start(endpoint)
    return session


def connect(
    reactor: Any,
    url: str | bytes,
    *,
    endpoint: IStreamClientEndpoint | None = None,
    contextFactory: IPolicyForHTTPS | None = None,
    settings: Settings | None = None,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    listener: SessionListener | None = None,
    options: Options | None = None,
    frameLog: FrameLog | None = None,
    keyLog: KeyLog | None = None,
) -> Deferred[ClientSession]:
    """
    Connect to a server: over TLS with ALPN to an C{https:} URL, in clear text with prior knowledge to an C{http:} one.

    @param reactor: the reactor.
    @param url: only its scheme, host and port count.
    @param endpoint: where to connect to instead of the URL's host and port, without TLS.
    @param contextFactory: says what is trusted over TLS; the platform's certificate authorities if not given.  See
        L{clientContextFactory<txh2session.clientContextFactory>}.
    @param settings: what is announced to the server.
    @param limits: what the session may cost.
    @param timeouts: how long things may take.
    @param listener: told what happens to the session.
    @param options: how messages are made and judged.
    @param frameLog: shows every frame of the session.
    @param keyLog: who is told the secrets of TLS, if C{contextFactory} is not given: see L{serverContextFactory
        <txh2session.serverContextFactory>}.  Of no use in clear text.

    @return: fires with the L{ClientSession} when the server's SETTINGS have arrived, so that it surely speaks HTTP/2; fails
        with a L{ConnectFailed<txh2session.ConnectFailed>} that names the stage, or with the session's error.  Cancelling it
        gives the attempt up.

    @raise InvalidURL: for a URL that cannot be read or has another scheme.
    @raise InvalidSetting: for settings that a client must not announce.
    @raise ValueError: for a C{keyLog} beside a C{contextFactory}, which has its own.
    """
    session = openSession(
        reactor,
        url,
        endpoint=endpoint,
        contextFactory=contextFactory,
        settings=settings,
        limits=limits,
        timeouts=timeouts,
        listener=listener,
        options=options,
        frameLog=frameLog,
        keyLog=keyLog,
    )

    def cancelled(waiting: Deferred[ClientSession]) -> None:
        waiting.errback(CancelledError())
        session.destroy(StreamError("connecting was cancelled", ErrorCode.CANCEL), ErrorCode.CANCEL)

    result: Deferred[ClientSession] = Deferred(cancelled)

    def failed(failure: Failure) -> None:
        if not result.called:
            result.errback(failure)

    session.whenReady().addCallbacks(lambda _: result.callback(session), failed)
    return result


def parsedURL(url: str | bytes) -> WebURL:
    """
    Take a URL apart.

    @raise InvalidURL: for one that cannot be read or has another scheme.
    """
    try:
        return parseURL(url)
    except ValueError as error:
        raise InvalidURL(str(error)) from error
