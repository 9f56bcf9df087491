"""
HTTP/2 for Twisted with the session in the user's hands.

Servers start at L{Server}, clients at L{connect}.  Both deal in sessions (L{ServerSession}, L{ClientSession}), one for each
connection, and streams (L{ServerStream}, L{ClientStream}), one for each request.

The names listed in C{__all__} are the public ones, and those of L{txh2session.testing} and L{txh2session.web}; what has a
leading underscore, or stands in another module only, may change without notice.
"""

from txh2session.client import ClientSession, ClientStream
from txh2session.connecting import connect, openSession
from txh2session.constants import FrameFlag, FrameType, PaddingStrategy, SettingID
from txh2session.errors import (
    BodyTooLong,
    ConnectFailed,
    Ended,
    ErrorCode,
    FileError,
    FileNotSeekable,
    HTTP2Error,
    Initiator,
    InvalidHeader,
    InvalidSetting,
    InvalidState,
    InvalidURL,
    LimitExceeded,
    PeerSpeaksOtherProtocol,
    PingCancelled,
    RangeNotSatisfiable,
    SessionError,
    SessionTimeout,
    StreamAborted,
    StreamError,
    StreamRefused,
    StreamTimeout,
)
from txh2session.files import FileRange
from txh2session.framelog import FrameLog
from txh2session.headers import Headers
from txh2session.listeners import SessionListener, StreamListener
from txh2session.pool import OriginSnapshot, SessionPool, SpeaksHTTP1
from txh2session.proxies import HTTP1ProxyEndpoint, HTTP2ProxyEndpoint
from txh2session.server import ServerSession, ServerStream
from txh2session.serving import Server
from txh2session.session import Session
from txh2session.settings import Keepalive, Limits, Options, Rate, Settings, Timeouts, packSettings, unpackSettings
from txh2session.stream import Stream
from txh2session.tls import (
    CertificateError,
    clientContextFactory,
    developmentCertificate,
    serverContextFactory,
)
from txh2session.tunnel import (
    StreamTransport,
    TunnelEndpoint,
    TunnelProxy,
    TunnelRefused,
    acceptTunnel,
    openTunnel,
)

__version__ = "0.1.0"

__all__ = [
    "BodyTooLong",
    "CertificateError",
    "ClientSession",
    "ClientStream",
    "ConnectFailed",
    "Ended",
    "ErrorCode",
    "FileError",
    "FileNotSeekable",
    "FileRange",
    "FrameFlag",
    "FrameLog",
    "FrameType",
    "HTTP1ProxyEndpoint",
    "HTTP2Error",
    "HTTP2ProxyEndpoint",
    "Headers",
    "Initiator",
    "InvalidHeader",
    "InvalidSetting",
    "InvalidState",
    "InvalidURL",
    "Keepalive",
    "LimitExceeded",
    "Limits",
    "Options",
    "OriginSnapshot",
    "PaddingStrategy",
    "PeerSpeaksOtherProtocol",
    "PingCancelled",
    "RangeNotSatisfiable",
    "Rate",
    "Server",
    "ServerSession",
    "ServerStream",
    "Session",
    "SessionError",
    "SessionListener",
    "SessionPool",
    "SessionTimeout",
    "SettingID",
    "Settings",
    "SpeaksHTTP1",
    "Stream",
    "StreamAborted",
    "StreamError",
    "StreamListener",
    "StreamRefused",
    "StreamTimeout",
    "StreamTransport",
    "Timeouts",
    "TunnelEndpoint",
    "TunnelProxy",
    "TunnelRefused",
    "acceptTunnel",
    "clientContextFactory",
    "connect",
    "developmentCertificate",
    "openSession",
    "openTunnel",
    "packSettings",
    "serverContextFactory",
    "unpackSettings",
]
