"""
The life cycles of a session and of a stream, as named states and tables.

Two rules keep this file useful: every step that may be misuse goes through a table here, and nothing here knows which role
it plays or what a frame is.  A pair that is missing from a table is misuse and becomes L{InvalidState}, with the sentence a
caller needs.  What the peer does, and a reset, may come at any time and has no table.

A session::

    CONNECTING --connected--> OPEN --close--> CLOSING --+
        |                      |                 |      | lost
        +------- destroy ------+---- destroy ----+      v
                               `--> DESTROYED --lost--> GONE

A stream is two halves, since HTTP/2 lets each end on its own (RFC 9113 section 5.1)::

    sending:    HEADERS --respond--> BODY --end--> ENDED
    receiving:  HEADERS --headers--> BODY --end--> ENDED       any --reset--> RESET

A client's stream starts with its headers given, in BODY or, without a body, in ENDED.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from txh2session.errors import InvalidState


class SessionState(Enum):
    """
    Where a session is in its life.
    """

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSING = "closing"
    DESTROYED = "destroyed"
    GONE = "gone"


_SESSION: Final = {
    (SessionState.CONNECTING, "connected"): SessionState.OPEN,
    (SessionState.CONNECTING, "close"): SessionState.CLOSING,
    (SessionState.CONNECTING, "destroy"): SessionState.DESTROYED,
    (SessionState.CONNECTING, "lost"): SessionState.GONE,
    (SessionState.OPEN, "close"): SessionState.CLOSING,
    (SessionState.OPEN, "destroy"): SessionState.DESTROYED,
    (SessionState.OPEN, "lost"): SessionState.GONE,
    (SessionState.CLOSING, "destroy"): SessionState.DESTROYED,
    (SessionState.CLOSING, "lost"): SessionState.GONE,
    (SessionState.DESTROYED, "lost"): SessionState.GONE,
}


def nextSessionState(state: SessionState, what: str) -> SessionState:
    """
    Follow the table of sessions.

    @raise InvalidState: if it has no such step.
    """
    try:
        return _SESSION[state, what]
    except KeyError:
        raise InvalidState(f"a session that is {state.value} cannot be {_DONE.get(what, what)}") from None


_DONE: Final = {"close": "closed", "destroy": "destroyed"}


class Sending(Enum):
    """
    How far the half of a stream that we send has come.
    """

    HEADERS = "before its headers"
    BODY = "sending its body"
    ENDED = "ended"
    RESET = "reset"


_SENDING: Final = {
    (Sending.HEADERS, "inform"): Sending.HEADERS,
    (Sending.HEADERS, "respond"): Sending.BODY,
    (Sending.BODY, "write"): Sending.BODY,
    (Sending.BODY, "end"): Sending.ENDED,
}

_EXPLAINED: Final = {
    (Sending.BODY, "respond"): "respond() was called before",
    (Sending.BODY, "inform"): "informational responses go before respond()",
    (Sending.ENDED, "write"): "write() after end()",
    (Sending.ENDED, "end"): "end() was called before",
    (Sending.ENDED, "respond"): "respond() after the stream was ended",
    (Sending.ENDED, "inform"): "informational responses go before respond()",
    (Sending.RESET, "write"): "write() on a closed stream",
    (Sending.RESET, "end"): "end() on a closed stream",
    (Sending.RESET, "respond"): "respond() on a closed stream",
    (Sending.RESET, "inform"): "additionalHeaders() on a closed stream",
}


def nextSending(state: Sending, what: str) -> Sending:
    """
    Follow the table of the sending half.

    @raise InvalidState: if it has no such step.
    """
    try:
        return _SENDING[state, what]
    except KeyError:
        raise InvalidState(_EXPLAINED.get((state, what), f"cannot {what} on a stream that is {state.value}")) from None


class Receiving(Enum):
    """
    How far the half of a stream that the peer sends has come.
    """

    HEADERS = "before its headers"
    BODY = "receiving its body"
    ENDED = "ended"
    RESET = "reset"
