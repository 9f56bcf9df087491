"""
What travels in a WebSocket (RFC 6455 sections 5 and 7): bytes in, one whole thing at a time out, and the frames for what is
to be sent.  Nothing is parsed, and nothing inflated, before it is asked for.
"""

from __future__ import annotations

from enum import IntEnum
from io import BytesIO, StringIO
from typing import NamedTuple, TypeAlias

from txh2session.websocket._deflate import Agreed, MessageCodec
from txh2session.websocket._wsproto import (
    BytesMessage,
    CloseConnection,
    CloseReason,
    Connection,
    ConnectionState,
    ConnectionType,
    Ping,
    Pong,
    TextMessage,
)


class CloseCode(IntEnum):
    """
    Why a WebSocket was closed (RFC 6455 section 7.4.1, and what was registered later).  4000 to 4999 are for applications.
    """

    NORMAL = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS = 1005
    """It was closed in order, and no code was given.  It cannot be sent."""
    ABNORMAL = 1006
    """It ended, and was not closed.  It cannot be sent."""
    INVALID_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014


_CODES = {int(code): code for code in CloseCode}
_UNSENDABLE = frozenset({CloseCode.NO_STATUS, CloseCode.ABNORMAL})
_LONGEST_REASON = 123


def closeCode(code: int) -> CloseCode | int:
    """
    Name a code where it has a name.
    """
    return _CODES.get(code, code)


def checkedClose(code: int, reason: str) -> CloseCode | int:
    """
    Check what an application closes with.

    @raise TypeError: for a code or a reason of another type.
    @raise ValueError: for a code that cannot be sent, or a reason of more than 123 bytes in UTF-8.
    """
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"a close code is an integer, not {code!r}")
    if not isinstance(reason, str):
        raise TypeError(f"a reason is a string, not {reason!r}")
    if not (3000 <= code <= 4999 or (code in _CODES and code not in _UNSENDABLE)):
        raise ValueError(f"{code!r} is no close code that can be sent (RFC 6455 section 7.4)")
    if len(reason.encode()) > _LONGEST_REASON:
        raise ValueError(f"a reason has at most {_LONGEST_REASON} bytes")
    return closeCode(code)


class PingCame(NamedTuple):
    """
    A ping.
    """

    payload: bytes


class PongCame(NamedTuple):
    """
    A pong.
    """

    payload: bytes


class CloseCame(NamedTuple):
    """
    The peer's half of the closing handshake; nothing comes after it.
    """

    code: CloseCode | int
    reason: str


class Broken(NamedTuple):
    """
    The peer broke a rule; nothing comes after it.

    @ivar code: what to close with.
    """

    code: CloseCode | int
    reason: str


Came: TypeAlias = "str | bytes | PingCame | PongCame | CloseCame | Broken"
"""What may come: a string or bytes are a message."""


class Framing:
    """
    One end of a WebSocket, without a connection.
    """

    def __init__(self, client: bool, limit: int, agreed: Agreed | None, threshold: int) -> None:
        """
        @param client: whether it is the client's end.
        @param limit: bytes of a message.
        @param agreed: how messages are compressed.
        @param threshold: bytes; shorter messages are not compressed.
        """
        kind = ConnectionType.CLIENT if client else ConnectionType.SERVER
        self._codec = MessageCodec(limit, agreed, threshold)
        self._connection = Connection(kind, [self._codec])
        self._over = False
        self._text: StringIO | None = None
        self._bytes: BytesIO | None = None

    # Receiving

    def received(self, data: bytes) -> None:
        """
        Take in bytes.  What comes after the end is dropped.
        """
        if not self._over:
            self._connection.receive_data(data)

    def next(self) -> Came | None:
        """
        Take the next thing that has come whole, L{None} if there is none.
        """
        if self._over:
            return None
        for event in self._connection.events():
            came: Came | None
            if isinstance(event, (TextMessage, BytesMessage)):
                came = self._part(event)
            elif isinstance(event, Ping):
                came = PingCame(bytes(event.payload))
            elif isinstance(event, Pong):
                came = PongCame(bytes(event.payload))
            else:
                assert isinstance(event, CloseConnection)
                self._over = True
                self._text = self._bytes = None
                code = closeCode(event.code)
                if self._connection.state in (ConnectionState.REMOTE_CLOSING, ConnectionState.CLOSED):
                    came = CloseCame(code, event.reason or "")
                else:  # wsproto has the same event for what breaks a rule, and then its state has not changed
                    came = Broken(code, self._codec.refusal or event.reason or "")
            if came is not None:
                return came
        return None

    def _part(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        """
        Put a message together.
        """
        if isinstance(event, TextMessage):
            if self._text is None:
                if event.message_finished:
                    return event.data
                self._text = StringIO(newline="")
            self._text.write(event.data)
            if not event.message_finished:
                return None
            text, self._text = self._text, None
            return text.getvalue()
        if self._bytes is None:
            if event.message_finished:
                return bytes(event.data)
            self._bytes = BytesIO()
        self._bytes.write(event.data)
        if not event.message_finished:
            return None
        data, self._bytes = self._bytes, None
        return data.getvalue()

    # Sending

    def message(self, message: str | bytes, final: bool) -> bytes:
        """
        Make the frame of a message, or of a part of it.

        @raise TypeError: for a part of another kind than the one before.
        @raise ValueError: for a string that UTF-8 has no form for.
        """
        event = TextMessage if isinstance(message, str) else BytesMessage
        return bytes(self._connection.send(event(message, message_finished=final)))  # type: ignore[arg-type]

    def ping(self, payload: bytes) -> bytes:
        """
        Make a ping.
        """
        return bytes(self._connection.send(Ping(payload)))

    def pong(self, payload: bytes) -> bytes:
        """
        Make a pong.
        """
        return bytes(self._connection.send(Pong(payload)))

    def close(self, code: int, reason: str = "") -> bytes:
        """
        Make this side's half of the closing handshake.  C{NO_STATUS} sends no code.
        """
        if code == CloseCode.NO_STATUS:
            code = CloseReason.NO_STATUS_RCVD  # which wsproto looks for by identity
        return bytes(self._connection.send(CloseConnection(code, reason)))
