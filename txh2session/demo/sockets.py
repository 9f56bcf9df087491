"""
C{/ws}, the WebSocket that echoes.  It needs the extra C{websocket}, the rest of the demo does not.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from txh2session.demo.request import Request

try:
    from txh2session.websocket import CloseCode, WebSocket, acceptWebSocket
except ImportError as _error:
    _missing = str(_error)
else:
    _missing = ""

_INTERVAL = 0.5
"""Seconds after which an idle socket notices that its session is to close."""


def refusePlain(request: Request) -> None:
    """
    Tell those who come without asking for a WebSocket.
    """
    if _missing:
        request.answer(f"{_missing}\n", 501)
    else:
        request.answer("this is a WebSocket: come by extended CONNECT (RFC 8441)\n", 405)


async def echoMessages(request: Request) -> None:
    """
    Send back each message, no faster than it goes.
    """
    if _missing:
        request.answer(f"{_missing}\n", 501)
        return
    webSocket = acceptWebSocket(request.stream)
    if webSocket is None:
        return
    leaving = Deferred.fromCoroutine(_leave(request, webSocket))
    webSocket.whenClosed().addBoth(lambda _: leaving.cancel())
    leaving.addErrback(lambda failure: failure.trap(CancelledError) and None)
    async for message in webSocket:
        await webSocket.send(message)


async def _leave(request: Request, webSocket: WebSocket) -> None:
    """
    Close the socket when its session is to close: it would hold the session up.
    """
    while not request.stream.session.closed:
        await request.sleep(_INTERVAL)
    webSocket.close(CloseCode.GOING_AWAY).addErrback(lambda _: None)
