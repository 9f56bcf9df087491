"""
WebSockets over HTTP/2 (RFC 8441): messages in a stream, with the framing of RFC 6455 and the compression of RFC 7692.

  - Servers answer an extended CONNECT with L{acceptWebSocket}, if their settings have C{enableConnectProtocol}.
  - Clients ask with L{openWebSocket}.

Both get a L{WebSocket}.  It needs wsproto: C{pip install 'txh2session[websocket]'}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from twisted.internet.defer import Deferred

from txh2session.client import ClientSession, ClientStream
from txh2session.errors import ErrorCode, InvalidSetting, InvalidState
from txh2session.headers import Headers, HeadersLike
from txh2session.server import ServerStream
from txh2session.settings import checkSeconds
from txh2session.tunnel import TunnelRefused, grantTunnel, openTunnel
from txh2session.websocket._deflate import Deflate, acceptDeflate, offerDeflate, parseExtensions, readDeflate
from txh2session.websocket._framing import CloseCode
from txh2session.websocket._websocket import WebSocket, WebSocketClosed, WebSocketListener

__all__ = [
    "CloseCode",
    "Deflate",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketListener",
    "acceptWebSocket",
    "openWebSocket",
]

_VERSION: Final = "13"
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_DEFLATE: Final = Deflate()


# ---------------------------------------------------------------------------------------------------------------------
# Servers


def acceptWebSocket(
    stream: ServerStream,
    *,
    protocols: Sequence[str] = (),
    headers: HeadersLike | None = None,
    maxMessageSize: int = 1024 * 1024,
    deflate: Deflate | None = _DEFLATE,
    closeTimeout: float = 10.0,
) -> WebSocket | None:
    """
    Accept the WebSocket that a request asks for (RFC 8441 section 5).  To refuse one, answer the request as any other, for
    example with 403 or 404.

    A browser sends the user's cookies along whichever site's page asks: look at C{origin} of the stream's headers first,
    where those mean something.

    @param stream: a request with the method CONNECT and the C{:protocol} C{websocket}, of which L{Server
        <txh2session.Server>} hears if its settings have C{enableConnectProtocol}.
    @param protocols: the subprotocols this side speaks, the preferred first; the first that the client offers is chosen.
    @param headers: of the answer.
    @param maxMessageSize: bytes of a message, inflated; a larger one closes the WebSocket with 1009.
    @param deflate: what to allow of compression; L{None} for nothing.
    @param closeTimeout: seconds that closing may take without progress, see L{WebSocket.close}; 0 for any time.

    @return: the WebSocket; L{None} if the request is not as RFC 6455 demands, which it was told with 400.

    @raise InvalidState: for other requests, or one that was answered or is over.
    @raise InvalidHeader: for headers that may not be sent.
    @raise InvalidSetting: for a size or a time out of range.
    @raise ValueError: for a subprotocol that is no token, or is named twice.
    """
    request = stream.headers
    if request.method != "CONNECT" or request.get(":protocol") != "websocket":
        raise InvalidState("the request does not ask for a WebSocket")
    own = _checkedProtocols(protocols)
    size, seconds = _checkedSize(maxMessageSize), checkSeconds("closeTimeout", closeTimeout)
    try:
        if request.get("sec-websocket-version") != _VERSION:
            raise ValueError(f"sec-websocket-version has to be {_VERSION}")
        offered = _readProtocols(request)
        extensions = parseExtensions(request.getAll("sec-websocket-extensions"))
    except ValueError as problem:
        # The version is named whatever was wrong: RFC 6455 section 4.4 asks for that where it was the version.
        stream.respond({":status": 400, "content-type": "text/plain", "sec-websocket-version": _VERSION})
        stream.end(f"{problem}\n".encode())
        return None
    fields = list(Headers(() if headers is None else headers).rawHeaders)
    subprotocol = next((each for each in own if each in offered), None)
    if subprotocol is not None:
        fields.append((b"sec-websocket-protocol", subprotocol.encode()))
    chosen = None if deflate is None else acceptDeflate(extensions, deflate)
    if chosen is not None:
        fields.append((b"sec-websocket-extensions", chosen[0].encode()))
    grantTunnel(stream, Headers(fields))
    return WebSocket(stream, subprotocol, chosen and chosen[1], (deflate or _DEFLATE).threshold, size, seconds)


def _checkedProtocols(protocols: Iterable[str]) -> list[str]:
    """
    @raise ValueError: for what cannot stand in C{sec-websocket-protocol} (RFC 6455 section 4.1).
    """
    checked = list(protocols)
    for each in checked:
        if not _TOKEN.fullmatch(each) or checked.count(each) > 1:
            raise ValueError(f"subprotocols are tokens (RFC 9110), each named once, unlike {each!r}")
    return checked


def _readProtocols(request: Headers) -> list[str]:
    """
    Read C{sec-websocket-protocol} of a request.

    @raise ValueError: if that is not what stands there.
    """
    lines = request.getAll("sec-websocket-protocol")
    return _checkedProtocols(each.strip(" \t") for line in lines for each in line.split(","))


def _checkedSize(size: int) -> int:
    if isinstance(size, bool) or not isinstance(size, int) or not 0 < size < 2**31:
        raise InvalidSetting(f"maxMessageSize is a number of bytes from 1 to {2**31 - 1}, not {size!r}")
    return size


# ---------------------------------------------------------------------------------------------------------------------
# Clients


def openWebSocket(
    session: ClientSession,
    path: str = "/",
    *,
    protocols: Sequence[str] = (),
    headers: HeadersLike | None = None,
    authority: str | None = None,
    maxMessageSize: int = 1024 * 1024,
    deflate: Deflate | None = _DEFLATE,
    closeTimeout: float = 10.0,
) -> Deferred[WebSocket]:
    """
    Open a WebSocket with an extended CONNECT (RFC 8441 section 5), beside the other requests of a session.

    @param session: a session with the server, see L{connect<txh2session.connect>}.
    @param path: of the request, with its query.
    @param protocols: the subprotocols to offer, the preferred first.
    @param headers: more of the request, for example C{origin} or C{cookie}.
    @param authority: the server's name; the session's if not given.
    @param maxMessageSize: bytes of a message, inflated; a larger one closes the WebSocket with 1009.
    @param deflate: what to ask for of compression; L{None} for nothing.
    @param closeTimeout: seconds that closing may take without progress, see L{WebSocket.close}; 0 for any time.

    @return: fires with the WebSocket.  Fails with L{TunnelRefused<txh2session.TunnelRefused>}, which has the answer's
        status and headers, if the server refuses, chooses what was not offered, or does not allow extended CONNECT in its
        SETTINGS; with an L{Ended<txh2session.Ended>} if no answer comes.  Cancelling it resets the stream with CANCEL.

    @raise InvalidHeader: for headers that may not be sent.
    @raise InvalidSetting: for a size or a time out of range.
    @raise ValueError: for a subprotocol that is no token, or is named twice.
    """
    wanted = _checkedProtocols(protocols)
    size, seconds = _checkedSize(maxMessageSize), checkSeconds("closeTimeout", closeTimeout)
    given = Headers(() if headers is None else headers)
    fields: list[tuple[str | bytes, str | bytes]] = [(":path", path), ("sec-websocket-version", _VERSION)]
    if wanted:
        fields.append(("sec-websocket-protocol", ", ".join(wanted)))
    if deflate is not None:
        fields.append(("sec-websocket-extensions", offerDeflate(deflate)))
    request = Headers([*fields, *given.rawHeaders], given.sensitive)

    def opened(stream: ClientStream) -> WebSocket:
        assert stream.headers is not None
        try:
            subprotocol = stream.headers.get("sec-websocket-protocol")
            if subprotocol is not None and subprotocol not in wanted:
                raise ValueError(f"the server chose a subprotocol that was not offered: {subprotocol!r}")
            agreed = readDeflate(parseExtensions(stream.headers.getAll("sec-websocket-extensions")), deflate)
        except ValueError as problem:
            stream.close(ErrorCode.CANCEL)
            raise TunnelRefused(str(problem), stream.headers.status, stream.headers) from problem
        return WebSocket(stream, subprotocol, agreed, (deflate or _DEFLATE).threshold, size, seconds)

    opening = openTunnel(session, authority or session.authority, request, "websocket")
    return opening.addCallback(opened)
