"""
The exceptions of the package, and the two enumerations every one of them speaks in.

The tree, drawn once::

    HTTP2Error
    +-- InvalidState         misuse: the call is not allowed now             raised at the call
    +-- InvalidHeader        a header list that may not be sent              raised at the call
    +-- InvalidSetting       a setting, limit or timeout out of range        raised at the call
    +-- FileError            a file that cannot be a body (in files.py)      onError or Deferred
    |   +-- FileNotSeekable      a part of what has no parts
    |   `-- RangeNotSatisfiable  the offset is beyond the end: 416
    +-- TunnelRefused        CONNECT was not answered 2xx (in tunnel.py)     Deferred
    +-- WebSocketClosed      a WebSocket has ended (in websocket.py)         Deferred
    +-- InvalidURL           a URL nobody can connect to                     raised at the call
    +-- ConnectFailed        no session: says which stage failed             Deferred
    |   |                    (dns, tcp, tls, alpn, h2)
    |   `-- SpeaksHTTP1      and has the connection (in pool)              Deferred
    +-- PingCancelled        a PING or SETTINGS whose answer will not come   Deferred
    +-- BodyTooLong          read(limit) met a longer body                   Deferred
    `-- Ended                what the next two share: the facts
        +-- SessionError         the session ended with an error             Deferred
        |   +-- PeerSpeaksOtherProtocol   its first bytes were HTTP/1 or TLS
        |   +-- SessionTimeout   a time in Timeouts passed
        |   `-- LimitExceeded    a budget in Limits was used up
        `-- StreamError          the stream ended with an error              Deferred
            +-- StreamAborted    it was cut short: END_STREAM never came
            +-- StreamTimeout    a time in Timeouts, or of the request, passed
            `-- StreamRefused    the peer never worked on it: safe to send again

Misuse raises where it happens.  What the network or the peer does arrives as a L{Failure
<twisted.python.failure.Failure>} through the Deferred that waits for it, and always carries facts: C{code},
C{initiator}, C{lastStreamID}, C{debugData} and C{processed}.

This module knows nothing of Twisted, h2 or of any other module here.
"""

from __future__ import annotations

from enum import Enum, IntEnum


class ErrorCode(IntEnum):
    """
    The error codes of RST_STREAM and GOAWAY frames (RFC 9113 section 7).
    """

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


_KNOWN_CODES = {int(code): code for code in ErrorCode}


def errorCode(code: int) -> ErrorCode | int:
    """
    Name a code where RFC 9113 names it.

    @param code: an unsigned 32-bit integer from the wire or from a caller.

    @return: the L{ErrorCode}, or the number itself: unknown codes have no special meaning and are kept (RFC 9113
        section 7).
    """
    return _KNOWN_CODES.get(code, code)


def checkedCode(code: int) -> ErrorCode | int:
    """
    Check a code that an application gave.

    @raise TypeError: if it is not an integer.
    @raise ValueError: if it does not fit into 32 bits without a sign.
    """
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"an error code is an integer, not {code!r}")
    if not 0 <= code <= 0xFFFFFFFF:
        raise ValueError(f"an error code is between 0 and 2**32-1, not {code!r}")
    return errorCode(code)


def codeName(code: int) -> str:
    """
    Spell a code for a message: C{"CANCEL (8)"}, or C{"code 77"} for one without a name.
    """
    known = _KNOWN_CODES.get(code)
    return f"code {code}" if known is None else f"{known.name} ({int(known)})"


class Initiator(Enum):
    """
    Who brought something to its end.
    """

    LOCAL = "local"
    """This side's application, or this library on its behalf."""
    PEER = "peer"
    """The other side, by a frame it sent or by breaking a rule of the protocol."""
    ABUSE = "abuse"
    """The other side, by using up one of our L{Limits<txh2session.Limits>}."""
    TRANSPORT = "transport"
    """Neither: the connection below went away."""


class HTTP2Error(Exception):
    """
    The root of everything this package raises or delivers.
    """


class InvalidState(HTTP2Error, RuntimeError):
    """
    The call is not allowed in the state the object is in, for example a second C{respond()}.
    """


class InvalidHeader(HTTP2Error, ValueError):
    """
    A header list that must not be sent (RFC 9113 section 8.2): a forbidden character, a connection-specific field,
    a pseudo-header field that does not belong there.
    """


class InvalidSetting(HTTP2Error, ValueError):
    """
    A value of L{Settings<txh2session.Settings>}, L{Limits<txh2session.Limits>} or
    L{Timeouts<txh2session.Timeouts>} that is out of its range.
    """


class InvalidURL(HTTP2Error, ValueError):
    """
    A URL that cannot be read, or whose scheme is neither C{http} nor C{https}.

    @ivar stage: always C{"url"}, see L{ConnectFailed.stage}.
    """

    stage = "url"


class ConnectFailed(HTTP2Error):
    """
    No session came to be.

    @ivar stage: how far it got: C{"dns"}, C{"tcp"}, C{"tls"}, C{"alpn"} or C{"h2"}.
    @ivar reason: the exception below, as Twisted or OpenSSL reported it, or L{None}.
    @ivar processed: always L{False}: nothing was sent that the peer could have worked on.
    """

    processed = False

    def __init__(self, stage: str, message: str, reason: BaseException | None = None) -> None:
        super().__init__(stage, message)
        self.stage = stage
        self.reason = reason
        if reason is not None:
            self.__cause__ = reason

    def __str__(self) -> str:
        return ": ".join(self.args)


class PingCancelled(HTTP2Error):
    """
    The session ended, or a timeout passed, before the peer acknowledged a PING or a SETTINGS frame.
    """


class BodyTooLong(HTTP2Error):
    """
    A body was longer than the reader allowed; the stream was reset.
    """


class Ended(HTTP2Error):
    """
    What L{SessionError} and L{StreamError} share: the facts of an end.  Catch this where it does not matter whether a
    stream ended alone or with its session.

    @ivar code: the HTTP/2 error code, an L{ErrorCode} where it has a name.
    @ivar initiator: who caused it.
    @ivar lastStreamID: the last stream id of the GOAWAY that ended the session, or L{None}.
    @ivar debugData: the debug data of that GOAWAY, C{b""} if there was none.
    @ivar processed: L{False} if the peer surely did no work for the request, so that sending it again is safe;
        L{True} if it surely did; L{None} if nobody can know.
    """

    def __init__(
        self,
        message: str,
        code: int = ErrorCode.INTERNAL_ERROR,
        initiator: Initiator = Initiator.LOCAL,
        *,
        lastStreamID: int | None = None,
        debugData: bytes = b"",
        processed: bool | None = None,
        reason: BaseException | None = None,
    ) -> None:
        super().__init__(message)
        self.code = errorCode(code)
        self.initiator = initiator
        self.lastStreamID = lastStreamID
        self.debugData = debugData
        self.processed = processed
        self.reason = reason
        if reason is not None:
            self.__cause__ = reason


class SessionError(Ended):
    """
    The whole session ended with an error: a GOAWAY with a code, a broken rule, a lost transport or C{destroy()} with a
    code.
    """


class PeerSpeaksOtherProtocol(SessionError):
    """
    The peer's first bytes were not HTTP/2.

    @ivar stage: always C{"h2"}, see L{ConnectFailed.stage}.
    """

    stage = "h2"


class SessionTimeout(SessionError):
    """
    The peer let one of our L{Timeouts<txh2session.Timeouts>} pass.

    @ivar timeout: the name of the field of L{Timeouts<txh2session.Timeouts>}.
    """

    timeout = ""


class LimitExceeded(SessionError):
    """
    The peer used up a budget of L{Limits<txh2session.Limits>}.

    @ivar limit: the name of the field of L{Limits<txh2session.Limits>}.
    """

    limit = ""


class StreamError(Ended):
    """
    A stream ended with an error: RST_STREAM in either direction, or the end of its session.
    """


class StreamAborted(StreamError):
    """
    The stream was cut off before the peer's END_STREAM, so a body that was being read is not whole.
    """


class StreamTimeout(StreamError):
    """
    A time passed that the stream had: one of L{Timeouts<txh2session.Timeouts>}, or the C{timeout} of a request.

    @ivar timeout: the name of the field of L{Timeouts<txh2session.Timeouts>}.
    """

    timeout = ""


class StreamRefused(StreamError):
    """
    The peer did no work for this request: it was never sent, it was refused with REFUSED_STREAM, or it is above the last
    stream id of a GOAWAY (RFC 9113 section 8.7).  C{processed} is L{False}: sending it again on another session is safe.
    """


class FileError(HTTP2Error):
    """
    A file cannot be the body: it is not a regular file (Node's C{ERR_HTTP2_SEND_FILE}), or it became shorter while it was
    being sent.
    """


class FileNotSeekable(FileError):
    """
    A part was asked of something that can only be read from where it stands (Node's C{ERR_HTTP2_SEND_FILE_NOSEEK}).
    """


class RangeNotSatisfiable(FileError):
    """
    The offset is beyond the file's end: answer 416 (RFC 9110 section 15.5.17).

    @ivar size: the file's size, for C{content-range: bytes */size}.
    """

    def __init__(self, offset: int, size: int) -> None:
        super().__init__(f"the file has {size} bytes, none of them at offset {offset}")
        self.size = size
