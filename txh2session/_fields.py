"""
What is known of header fields, whoever sends them: which names and values there can be, which are special, and how to show
them in a message.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

Field: TypeAlias = tuple[bytes, bytes]
"""One field as it stands on the wire."""
HeaderText: TypeAlias = "str | bytes"
HeaderValue: TypeAlias = "str | bytes | int"
TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*")
badTarget: Final = re.compile(rb"[\x00-\x20\x7f]").search
# What ends or splits an authority elsewhere; user information is forbidden by RFC 9113 section 8.3.1.
badAuthority: Final = re.compile(rb"[\x00-\x20\x7f/?#@\\]").search
CONTROLS: Final = bytes({*range(0x20), 0x7F} - {0x09})
"""What a value must not hold: control characters other than a tab (RFC 9110 section 5.5)."""
BLANK: Final = b" \t"
"""What a value must not begin or end with (RFC 9113 section 8.2.1)."""
CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"upgrade", b"http2-settings", b"keep-alive", b"proxy-connection", b"transfer-encoding"}
)
"""Fields that HTTP/2 has no use for (RFC 9113 section 8.2.2)."""
SINGLE: Final = frozenset(
    b":status :method :authority :scheme :path :protocol age authorization access-control-allow-credentials"
    b" access-control-max-age access-control-request-method content-encoding content-language content-length"
    b" content-location content-md5 content-range content-type date dnt etag expires from host if-match"
    b" if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards"
    b" proxy-authorization range referer retry-after tk upgrade-insecure-requests user-agent"
    b" x-content-type-options".split()
)
"""Fields with one value only (Node's reference 12.5)."""
SECRETS: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
REQUEST_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
COMMON_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT"})
DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}
REMEMBERED: Final = 2048
"""How many names are remembered at most, and..."""
REMEMBERED_LENGTH: Final = 64
"""...how long they may be: a peer chooses them."""


def asText(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def asASCII(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")


def shown(value: bytes) -> str:
    """
    Spell what a peer sent for a message, and not more of it than a message needs.
    """
    return repr(value if len(value) <= 60 else value[:60] + b"...")


def isLength(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 19
