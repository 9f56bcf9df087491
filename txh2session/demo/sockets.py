"""
C{/ws}, the WebSocket that echoes.  It needs the extra C{websocket}, the rest of the demo does not.
"""

from __future__ import annotations

from txh2session import Session, SessionListener
from txh2session.demo.request import Request

try:
    from txh2session.websocket import CloseCode, WebSocket, acceptWebSocket
except ImportError as _error:
    _missing = str(_error)
else:
    _missing = ""


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
    stopListening = request.stream.session.addListener(_Leaving(webSocket))
    webSocket.whenClosed().addBoth(lambda _: stopListening())
    async for message in webSocket:
        await webSocket.send(message)


class _Leaving(SessionListener):
    """
    Closes a socket when its session is to close: it would hold the session up.
    """

    def __init__(self, webSocket: WebSocket) -> None:
        self._webSocket = webSocket

    def sessionClosing(self, session: Session) -> None:
        """See L{SessionListener}."""
        self._webSocket.close(CloseCode.GOING_AWAY).addErrback(lambda _: None)
