"""
What peers send, checked before an application sees it: requests, responses and trailers (RFC 9113 section 8).

Each is one pass over the list, with what is known of a field's name remembered, since names repeat and values do not.  The
checks of h2 are switched off in favour of these: h2 turns a malformed message into the end of the connection, where
RFC 9113 section 8.1.1 asks for the end of one stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from txh2session._fields import (
    BLANK,
    COMMON_METHODS,
    CONNECTION_SPECIFIC,
    CONTROLS,
    DEFAULT_PORTS,
    METHOD,
    REMEMBERED,
    REMEMBERED_LENGTH,
    REQUEST_PSEUDO,
    SCHEME,
    SECRETS,
    SINGLE,
    TOKEN,
    Field,
    asText,
    badAuthority,
    badTarget,
    isLength,
    shown,
)


class MalformedMessage(Exception):
    """
    A received header list that RFC 9113 section 8.1.1 calls malformed: a stream error of type PROTOCOL_ERROR.
    """


_PLAIN, _SPECIAL, _PSEUDO, _FORBIDDEN, _HINT = range(5)
_kinds: dict[bytes, int] = {
    # Known from the start, so that nobody can fill the table with names of their own before these come.
    **dict.fromkeys(SINGLE | SECRETS, _PLAIN),
    **dict.fromkeys(
        b"accept accept-charset accept-encoding accept-language accept-ranges access-control-allow-headers"
        b" access-control-allow-methods access-control-allow-origin access-control-request-headers alt-svc"
        b" cache-control content-disposition content-security-policy grpc-encoding grpc-message grpc-status link"
        b" origin pragma priority sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform sec-fetch-dest sec-fetch-mode"
        b" sec-fetch-site sec-fetch-user server strict-transport-security trailer traceparent vary via"
        b" www-authenticate x-forwarded-for x-forwarded-proto x-request-id".split(),
        _PLAIN,
    ),
    b"content-length": _SPECIAL,
    b"host": _SPECIAL,
    b"te": _SPECIAL,
    b"priority": _HINT,
    b"expect": _HINT,
    **dict.fromkeys(REQUEST_PSEUDO | {b":status"}, _PSEUDO),
    **dict.fromkeys(CONNECTION_SPECIFIC, _FORBIDDEN),
}


def _kindOf(name: bytes) -> int:
    """
    Find out about a received name and remember it if it is one that is allowed.

    @raise MalformedMessage: if it is not.
    """
    if not TOKEN.fullmatch(name):
        raise MalformedMessage(f"field name {shown(name)}")
    if len(_kinds) < REMEMBERED and len(name) <= REMEMBERED_LENGTH:
        _kinds[name] = _PLAIN
    return _PLAIN


class RequestFacts(NamedTuple):
    """
    What the multiplexer needs to know of a received request.
    """

    method: bytes
    contentLength: int | None
    priority: bytes | None = None
    expect: bytes = b""


def listSize(fields: Iterable[Field]) -> int:
    """
    The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 section 6.5.2).
    """
    size = 0
    for name, value in fields:  # half the time of sum() with a generator, and done for each message
        size += len(name) + len(value) + 32
    return size


def _checkValues(fields: Iterable[Field], strictBlanks: bool) -> list[Field]:
    """
    Check all values of a received list at once (RFC 9110 section 5.5, RFC 9113 section 8.2.1).

    @param strictBlanks: whether none may begin or end with a blank or a tab.

    @return: the list.
    """
    fields = list(fields)
    values = [value for _, value in fields]
    joined = b"".join(values)
    if len(joined.translate(None, CONTROLS)) == len(joined) and (
        not strictBlanks or [value.strip(BLANK) for value in values] == values
    ):
        return fields
    for name, value in fields:
        if (strictBlanks and value.strip(BLANK) != value) or len(value.translate(None, CONTROLS)) != len(value):
            raise MalformedMessage(f"value of {shown(name)}")
    raise AssertionError("a list was wrong and none of its fields")  # pragma: no cover


def checkRequest(fields: Iterable[Field], extendedConnect: bool, strictBlanks: bool = True) -> RequestFacts:
    """
    Check a received request (RFC 9113 sections 8.2, 8.3 and 8.5, RFC 8441 section 4).

    @param extendedConnect: whether we announced SETTINGS_ENABLE_CONNECT_PROTOCOL.
    @param strictBlanks: whether values may not begin or end with blanks.

    @raise MalformedMessage: saying what is wrong.
    """
    fields = _checkValues(fields, strictBlanks)
    pseudo: dict[bytes, bytes] = {}
    contentLength: int | None = None
    host: bytes | None = None
    priority: bytes | None = None
    expect = b""
    regular = False
    for name, value in fields:
        kind = _kinds.get(name)
        if kind is None:
            kind = _kindOf(name)
        if kind == _PLAIN:
            regular = True
        elif kind == _PSEUDO:
            if regular or name in pseudo or name not in REQUEST_PSEUDO:
                raise MalformedMessage(f"pseudo-header field {asText(name)}")
            pseudo[name] = value
        elif name == b"content-length":
            regular = True
            contentLength = _contentLength(value, contentLength)
        elif name == b"priority":
            regular = True
            priority = value if priority is None else priority + b"," + value
        elif name == b"expect":
            regular = True
            expect = value
        elif name == b"host":
            regular = True
            if host is not None:
                raise MalformedMessage("two host fields")
            host = value
        else:
            regular = True
            _checkConnectionField(name, value)
    return RequestFacts(checkTarget(pseudo, host, extendedConnect), contentLength, priority, expect)


def _checkConnectionField(name: bytes, value: bytes) -> None:
    """
    Refuse what is about connections of HTTP/1.1 (RFC 9113 section 8.2.2); C{te} may still say C{trailers}.
    """
    if name != b"te":
        raise MalformedMessage(f"connection-specific field {asText(name)}")
    if value.lower() != b"trailers":
        raise MalformedMessage("te other than trailers")


def checkTarget(pseudo: dict[bytes, bytes], host: bytes | None, extendedConnect: bool) -> bytes:
    """
    Check the pseudo-header fields of a request against one another, and C{host} against them.

    @return: the method.
    """
    method = pseudo.get(b":method", b"")
    if method not in COMMON_METHODS and not METHOD.fullmatch(method):
        raise MalformedMessage(f":method {shown(method)} is not a token")
    scheme = pseudo.get(b":scheme", b"").lower()
    authority = pseudo.get(b":authority")
    if authority is None:
        authority = host
    elif host is not None and host != authority and not sameAuthority(host, authority, scheme):
        raise MalformedMessage(":authority and host differ (RFC 9113 section 8.3.1)")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if not pseudo.get(b":authority"):
            raise MalformedMessage("CONNECT needs :authority (RFC 9113 section 8.5)")
        if b":scheme" in pseudo or b":path" in pseudo:
            raise MalformedMessage("CONNECT has neither :scheme nor :path (RFC 9113 section 8.5)")
    else:
        _checkPath(method, scheme, pseudo.get(b":path", b""))
        if not authority and scheme in DEFAULT_PORTS:
            raise MalformedMessage("neither :authority nor host says where to (RFC 9113 section 8.3.1)")
        if b":protocol" in pseudo:
            if method != b"CONNECT":
                raise MalformedMessage(":protocol goes with CONNECT only (RFC 8441 section 4)")
            if not extendedConnect:
                raise MalformedMessage(":protocol although extended CONNECT was not announced (RFC 8441 section 3)")
            if not METHOD.fullmatch(pseudo[b":protocol"]):
                raise MalformedMessage(f":protocol {shown(pseudo[b':protocol'])} is not a token")
    if authority and badAuthority(authority):
        raise MalformedMessage(f"a space, a slash or user information in :authority or host {shown(authority)}")
    return method


def sameAuthority(host: bytes, authority: bytes, scheme: bytes) -> bool:
    """
    Compare two authorities as RFC 3986 section 6.2 says: without regard to case and to the scheme's own port.
    """
    port = DEFAULT_PORTS.get(scheme, b"")
    return bool(host and authority) and host.lower().removesuffix(port) == authority.lower().removesuffix(port)


def _checkPath(method: bytes, scheme: bytes, path: bytes) -> None:
    """
    Check C{:scheme} and C{:path} (RFC 9113 section 8.3.1).

    @param scheme: in lower case.
    """
    if scheme not in DEFAULT_PORTS and not SCHEME.fullmatch(scheme):
        raise MalformedMessage(f":scheme {shown(scheme)}" if scheme else "no :scheme")
    if not path:
        raise MalformedMessage("no :path")
    if badTarget(path):
        raise MalformedMessage(f"a space or a control character in :path {shown(path)}")
    if path[:1] != b"/" and scheme in DEFAULT_PORTS and not (path == b"*" and method == b"OPTIONS"):
        raise MalformedMessage(f":path starts with a slash, unlike {shown(path)}")


def _contentLength(value: bytes, before: int | None) -> int:
    if before is not None:
        raise MalformedMessage("two content-length fields")
    if not isLength(value):
        raise MalformedMessage(f"content-length {shown(value)}")
    return int(value)


class ResponseFacts(NamedTuple):
    """
    What the multiplexer needs to know of a received response.
    """

    status: int
    contentLength: int | None


def checkResponse(fields: Iterable[Field], strictBlanks: bool = True) -> ResponseFacts:
    """
    Check a received response, final or informational (RFC 9113 sections 8.2, 8.3.2 and 8.6).

    @raise MalformedMessage: saying what is wrong.
    """
    fields = _checkValues(fields, strictBlanks)
    status = 0
    contentLength: int | None = None
    regular = False
    for name, value in fields:
        kind = _kinds.get(name)
        if kind is None:
            kind = _kindOf(name)
        if kind == _PSEUDO:
            if regular or status or name != b":status":
                raise MalformedMessage(f"pseudo-header field {asText(name)}")
            if len(value) != 3 or not value.isdigit() or value[:1] == b"0" or value == b"101":
                raise MalformedMessage(f":status {shown(value)}")
            status = int(value)
            continue
        regular = True
        if kind == _PLAIN or kind == _HINT:
            continue
        if name == b"content-length":
            contentLength = _contentLength(value, contentLength)
        elif name != b"host":
            _checkConnectionField(name, value)
    if not status:
        raise MalformedMessage("no :status")
    return ResponseFacts(status, contentLength)


def checkTrailers(fields: Iterable[Field], strictBlanks: bool = True) -> None:
    """
    Check received trailers (RFC 9113 section 8.1).

    @raise MalformedMessage: saying what is wrong.
    """
    fields = _checkValues(fields, strictBlanks)
    for name, value in fields:
        kind = _kinds.get(name)
        if kind is None:
            kind = _kindOf(name)
        if kind == _PSEUDO or name == b"content-length":
            # A length after the body comes too late, and misleads whoever puts trailers among the headers (RFC 9110
            # section 6.5.1).
            raise MalformedMessage(f"trailer {asText(name)}")
        if kind not in (_PLAIN, _HINT) and name != b"host":
            _checkConnectionField(name, value)
