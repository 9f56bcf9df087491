"""
What may happen more than once or unasked is told to listeners: classes of empty methods, to subclass and override.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txh2session.errors import ErrorCode
from txh2session.headers import Headers
from txh2session.settings import Settings

if TYPE_CHECKING:
    from txh2session.constants import FrameType
    from txh2session.session import Session
    from txh2session.stream import Stream


class SessionListener:
    """
    What may happen to a session more than once or unasked.  Subclass it, override what is of interest, and give an
    instance as C{listener} or to L{Session.addListener}.  An exception from a method is logged and changes nothing.
    """

    def sessionConnected(self, session: Session) -> None:
        """
        The transport (and TLS) is up, and the preface is on its way.
        """

    def streamReceived(self, session: Session, stream: Stream, headers: Headers) -> None:
        """
        The peer opened a stream.  On a server: a request, before the server's own C{streamReceived} is called with it.
        On a client: a push, with the headers of the request it answers.
        """

    def settingsReceived(self, session: Session, settings: Settings) -> None:
        """
        The peer sent SETTINGS, which are in force.
        """

    def settingsAcknowledged(self, session: Session, settings: Settings) -> None:
        """
        The peer acknowledged SETTINGS of ours, which are in force.
        """

    def pingReceived(self, session: Session, payload: bytes) -> None:
        """
        The peer sent a PING, which has been answered.
        """

    def goAwayReceived(self, session: Session, code: ErrorCode | int, lastStreamID: int, debugData: bytes) -> None:
        """
        The peer sent a GOAWAY.
        """

    def altSvcReceived(self, session: Session, value: bytes, origin: bytes, streamID: int) -> None:
        """
        Client: the server named an alternative (RFC 7838).  C{origin} is empty for one that is about a stream's.
        """

    def originReceived(self, session: Session, origins: list[bytes]) -> None:
        """
        Client: the server named origins it answers for (RFC 8336).
        """

    def frameNotSent(self, session: Session, stream: Stream, kind: FrameType, code: ErrorCode | int) -> None:
        """
        A header list was too long to be sent (Node's reference 5.10): for C{Limits.sendHeaderBytes}, or for what the peer
        said it takes.  The stream has ended, the session lives on.

        @param kind: the type of the frame, always HEADERS: a promise that is too long raises where it is made.
        @param code: what the stream ended with: REFUSED_STREAM for a request, INTERNAL_ERROR for an answer.
        """

    def timedOut(self, session: Session) -> None:
        """
        Nothing came or went for the time given to L{Session.setTimeout}; the session is still open.
        """

    def limitReached(self, session: Session, limit: str) -> None:
        """
        The peer used up a budget; C{limit} is the field's name in L{Limits<txh2session.Limits>}.  The session is being
        destroyed, unless it is C{sessionBytes}, or C{maxBytes} of the server: then only a stream was refused.
        """

    def sessionClosing(self, session: Session) -> None:
        """
        The session takes no new streams, and goes when the open ones have ended: by L{Session.close}, a server that closes,
        its idle time or the peer's GOAWAY.  What would last, a WebSocket or a stream of events, is to be ended now.
        """

    def sessionClosed(self, session: Session, error: Exception | None) -> None:
        """
        The session is gone: the last call for it.
        """


class StreamListener:
    """
    What may happen to a stream more than once or unasked.  Subclass it, override what is of interest and give an instance
    to L{Stream.addListener}.  An exception from a method is logged and changes nothing.
    """

    def pushReceived(self, stream: Stream, pushed: Stream, headers: Headers) -> None:
        """
        Client: the server promised to push an answer together with this stream's, to a request that C{headers} describe
        (RFC 9113 section 8.4).  Read C{pushed} as the stream of a request of one's own, or C{close(CANCEL)} it.  A push
        that no listener of the stream or the session is there for is refused.
        """

    def informationReceived(self, stream: Stream, headers: Headers) -> None:
        """
        Client: a 1xx response came, for example 103 with links to load early (RFC 8297).
        """

    def frameNotSent(self, stream: Stream, kind: FrameType, code: ErrorCode | int) -> None:
        """
        A header list of this stream was too long to be sent, see L{SessionListener.frameNotSent}.
        """

    def timedOut(self, stream: Stream) -> None:
        """
        Nothing was sent or received for the time given to L{Stream.setTimeout}; it is still open.
        """

    def aborted(self, stream: Stream) -> None:
        """
        The stream ended although this side had not ended its half.
        """

    def streamClosed(self, stream: Stream, error: Exception | None) -> None:
        """
        The stream is over: the last call for it.
        """
