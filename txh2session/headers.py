"""
Header lists: what applications hand in is normalised and checked before it may go out, what peers send is checked before
an application sees it.

A list is kept as pairs of bytes in the order of the wire; text is made only when somebody asks for it.  Both directions
are one pass over the list, with what is known of a field's name remembered, since names repeat and values do not.  The
checks of h2 are switched off in favour of these: h2 turns a malformed message into the end of the connection, where
RFC 9113 section 8.1.1 asks for the end of one stream.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias, overload

from txh2session.errors import InvalidHeader

Field: TypeAlias = tuple[bytes, bytes]
"""One field as it stands on the wire."""
HeaderText: TypeAlias = "str | bytes"
HeaderValue: TypeAlias = "str | bytes | int"
HeadersLike: TypeAlias = (
    "Headers | Mapping[str, HeaderValue | Iterable[HeaderValue]] | Mapping[bytes, HeaderValue | Iterable[HeaderValue]]"
    " | Iterable[tuple[HeaderText, HeaderValue | Iterable[HeaderValue]]]"
)
"""What may be given where headers are wanted: a mapping or pairs, in text or bytes; a list or tuple as a value makes
several fields."""


class MalformedMessage(Exception):
    """
    A received header list that RFC 9113 section 8.1.1 calls malformed: a stream error of type PROTOCOL_ERROR.
    """


class Headers:
    """
    A header list: what was received, or what was sent.  It cannot be changed.

    Names are looked up without regard to case.  A name given as C{str} answers in C{str}, a name given as C{bytes}
    answers in C{bytes}, as L{twisted.web.http_headers.Headers} does.  Where a field occurs several times, C{cookie} is
    joined with C{"; "}, a field that allows one value only answers with its first, any other is joined with C{", "}
    (Node's reference 12.11); L{getAll} gives them one by one, which is the only good way to read C{set-cookie}.

    @ivar sensitive: the names, as bytes, of fields that were or are to be kept out of every compression table (RFC 7541
        section 7.1.3).
    """

    __slots__ = ("_fields", "sensitive")

    _fields: list[Field]
    sensitive: frozenset[bytes]

    def __init__(self, headers: HeadersLike = (), sensitive: Iterable[HeaderText] = ()) -> None:
        """
        Normalise a header list for sending.

        @param headers: a mapping or pairs, in text or bytes.
        @param sensitive: names never to be indexed.  C{authorization}, C{proxy-authorization} and short C{cookie}
            fields always are.

        @raise InvalidHeader: for a name or a value that must not be sent.
        """
        named = _names(sensitive)
        if isinstance(headers, Headers):
            self._fields = headers._fields
            self.sensitive = headers.sensitive | named
            return
        self._fields = _normalise(headers)
        self.sensitive = named

    @classmethod
    def received(cls, fields: list[Field], sensitive: frozenset[bytes] = frozenset()) -> Headers:
        """
        Wrap a list that is known to be good already.
        """
        self = cls.__new__(cls)
        self._fields = fields
        self.sensitive = sensitive
        return self

    @property
    def rawHeaders(self) -> list[Field]:
        """
        The pairs of name and value in the order of the wire, pseudo-header fields included, as a new list of bytes.
        """
        return list(self._fields)

    def _values(self, name: bytes) -> list[bytes]:
        return [value for each, value in self._fields if each == name]

    @overload
    def getAll(self, name: str) -> list[str]: ...
    @overload
    def getAll(self, name: bytes) -> list[bytes]: ...
    def getAll(self, name: HeaderText) -> list[str] | list[bytes]:
        """
        Get every value of a field, in order; an empty list if there is none.
        """
        values = self._values(_key(name))
        return [_text(value) for value in values] if isinstance(name, str) else values

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    @overload
    def get(self, name: bytes, default: None = None) -> bytes | None: ...
    @overload
    def get(self, name: bytes, default: bytes) -> bytes: ...
    def get(self, name: HeaderText, default: HeaderText | None = None) -> HeaderText | None:
        """
        Get the value of a field, joined as the class says.

        @param default: what to answer if the field is not there.
        """
        key = _key(name)
        values = self._values(key)
        if not values:
            return default
        joined = values[0]
        if len(values) > 1 and key not in _SINGLE:
            joined = (b"; " if key == b"cookie" else b", ").join(values)
        return _text(joined) if isinstance(name, str) else joined

    @overload
    def __getitem__(self, name: str) -> str: ...
    @overload
    def __getitem__(self, name: bytes) -> bytes: ...
    def __getitem__(self, name: HeaderText) -> HeaderText:
        """
        Get the value of a field.

        @raise KeyError: if it is not there.
        """
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, (str, bytes)):
            return False
        key = _key(name)
        return any(each == key for each, _ in self._fields)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """
        Iterate over pairs of text, in the order of the wire.
        """
        return ((_text(name), _text(value)) for name, value in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self._fields == other._fields
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        # In ASCII: what a peer chose must neither steer a terminal nor break a log that cannot encode it.
        shown = (
            f"{_ascii(name)}: {'<sensitive>' if self._isSecret(name) else _ascii(value)}"
            for name, value in self._fields
        )
        return f"<Headers {', '.join(shown)}>"

    def _isSecret(self, name: bytes) -> bool:
        return name in _SECRETS or name in self.sensitive

    @property
    def status(self) -> int | None:
        """
        C{:status} as a number; L{None} in a request.
        """
        value = self.get(b":status")
        return None if value is None else int(value)

    @property
    def method(self) -> str | None:
        """
        C{:method}; L{None} in a response.
        """
        return self.get(":method")

    @property
    def path(self) -> str | None:
        """
        C{:path}, with its query; L{None} in a response and in a plain CONNECT.
        """
        return self.get(":path")

    @property
    def scheme(self) -> str | None:
        """
        C{:scheme}; L{None} in a response and in a plain CONNECT.
        """
        return self.get(":scheme")

    @property
    def authority(self) -> str | None:
        """
        C{:authority}, or else C{host}: the name and port a request was for.
        """
        return self.get(":authority") or self.get("host")


# ---------------------------------------------------------------------------------------------------------------------
# What is known of names and values

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*")
_BAD_TARGET: Final = re.compile(rb"[\x00-\x20\x7f]").search
# What ends or splits an authority elsewhere; user information is forbidden by RFC 9113 section 8.3.1.
_BAD_AUTHORITY: Final = re.compile(rb"[\x00-\x20\x7f/?#@\\]").search
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - {0x09})
"""What a value must not hold: control characters other than a tab (RFC 9110 section 5.5)."""
_BLANK: Final = b" \t"
"""What a value must not begin or end with (RFC 9113 section 8.2.1)."""

_CONNECTION_SPECIFIC: Final = frozenset(
    {b"connection", b"upgrade", b"http2-settings", b"keep-alive", b"proxy-connection", b"transfer-encoding"}
)
"""Fields that HTTP/2 has no use for (RFC 9113 section 8.2.2)."""
_SINGLE: Final = frozenset(
    b":status :method :authority :scheme :path :protocol age authorization access-control-allow-credentials"
    b" access-control-max-age access-control-request-method content-encoding content-language content-length"
    b" content-location content-md5 content-range content-type date dnt etag expires from host if-match"
    b" if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards"
    b" proxy-authorization range referer retry-after tk upgrade-insecure-requests user-agent"
    b" x-content-type-options".split()
)
"""Fields with one value only (Node's reference 12.5)."""
_SECRETS: Final = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"})
_REQUEST_PSEUDO: Final = frozenset({b":method", b":scheme", b":authority", b":path", b":protocol"})
_COMMON_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"CONNECT"})
_DEFAULT_PORTS: Final = {b"http": b":80", b"https": b":443"}

_REMEMBERED: Final = 2048
"""How many names are remembered at most, and..."""
_REMEMBERED_LENGTH: Final = 64
"""...how long they may be: a peer chooses them."""

_PLAIN, _SPECIAL, _PSEUDO, _FORBIDDEN = range(4)
_kinds: dict[bytes, int] = {
    # Known from the start, so that nobody can fill the table with names of their own before these come.
    **dict.fromkeys(_SINGLE | _SECRETS, _PLAIN),
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
    **dict.fromkeys(_REQUEST_PSEUDO | {b":status"}, _PSEUDO),
    **dict.fromkeys(_CONNECTION_SPECIFIC, _FORBIDDEN),
}
_WireName: TypeAlias = "tuple[bytes, bool, bool]"
"""A name in the form of the wire, whether it occurs once at most, and whether there is more to check."""
# Two tables, since text and bytes in one would be compared with one another.
_wireTexts: dict[str, _WireName] = {}
_wireBytes: dict[bytes, _WireName] = {}


def _kindOf(name: bytes) -> int:
    """
    Find out about a received name and remember it if it is one that is allowed.

    @raise MalformedMessage: if it is not.
    """
    if not _TOKEN.fullmatch(name):
        raise MalformedMessage(f"field name {_shown(name)}")
    if len(_kinds) < _REMEMBERED and len(name) <= _REMEMBERED_LENGTH:
        _kinds[name] = _PLAIN
    return _PLAIN


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _ascii(value: bytes) -> str:
    return value.decode("ascii", "backslashreplace")


def _shown(value: bytes) -> str:
    """
    Spell what a peer sent for a message, and not more of it than a message needs.
    """
    return repr(value if len(value) <= 60 else value[:60] + b"...")


def _key(name: HeaderText) -> bytes:
    """
    Make the form of a name to look it up by; any text has one.
    """
    return (name.encode("utf-8", "surrogatepass") if isinstance(name, str) else name).lower()


def _bytes(value: object) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            raise InvalidHeader("a header has a lone surrogate, which UTF-8 cannot say") from None
    if isinstance(value, bytes):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return b"%d" % value
    raise InvalidHeader(f"a header is text, bytes or an integer, not {type(value).__name__}")


def _wireName(name: HeaderText) -> _WireName:
    """
    Make the form of a name that goes on the wire: bytes in lower case (RFC 9113 section 8.2).
    """
    if not isinstance(name, (str, bytes)):
        raise InvalidHeader(f"a header name is text or bytes, not {type(name).__name__}")
    lower = _bytes(name).lower()
    if not _TOKEN.fullmatch(lower[1:] if lower[:1] == b":" else lower):
        raise InvalidHeader(f"header name {name!r} is not a token")
    once = lower in _SINGLE
    known = lower, once, once or lower == b"te" or lower in _CONNECTION_SPECIFIC
    if len(lower) <= _REMEMBERED_LENGTH:
        if isinstance(name, str):
            if len(_wireTexts) < _REMEMBERED:
                _wireTexts[name] = known
        elif len(_wireBytes) < _REMEMBERED:
            _wireBytes[name] = known
    return known


def _names(names: Iterable[HeaderText]) -> frozenset[bytes]:
    if names == ():
        return frozenset()
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise InvalidHeader("sensitive is a list of names")
    return frozenset(_wireName(name)[0] for name in names)


def _wireValue(name: bytes, value: object) -> bytes:
    wire = value if isinstance(value, bytes) else _bytes(value)
    if len(wire.translate(None, _CONTROLS)) != len(wire):
        # The value stays out of the message, which may end up in a log: it may be a secret.
        raise InvalidHeader(f"the value of {_text(name)} has a control character, such as CR, LF or NUL")
    return wire.strip(_BLANK)


def _normalise(headers: HeadersLike) -> list[Field]:
    """
    Make wire fields, pseudo-header fields first, and hold them to what is the same for every message (Node's reference
    12.1 to 12.6).
    """
    items: Iterable[tuple[HeaderText, object]]
    items = headers.items() if isinstance(headers, Mapping) else headers
    pseudo: list[Field] = []
    plain: list[Field] = []
    seen: set[bytes] = set()
    try:
        for given, value in items:
            known = _wireTexts.get(given) if isinstance(given, str) else _wireBytes.get(given)
            name, once, special = _wireName(given) if known is None else known
            into = pseudo if name[0] == 58 else plain  # a colon
            if isinstance(value, (str, bytes, int)):
                wire = _wireValue(name, value)
                if special:
                    _checkSendable(name, wire, once, seen)
                into.append((name, wire))
            elif isinstance(value, Iterable) and not isinstance(value, (bytearray, memoryview, Mapping)):
                for each in value:
                    wire = _wireValue(name, each)
                    if special:
                        _checkSendable(name, wire, once, seen)
                    into.append((name, wire))
            else:
                raise InvalidHeader(
                    f"the value of {_text(name)} is text, bytes, an integer or a list of them,"
                    f" not {type(value).__name__}"
                )
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidHeader):
            raise
        raise InvalidHeader(f"headers are a mapping or pairs of name and value: {error}") from error
    return pseudo + plain


def _checkSendable(name: bytes, value: bytes, once: bool, seen: set[bytes]) -> None:
    if once:
        if name in seen:
            raise InvalidHeader(f"{_text(name)} has one value only")
        seen.add(name)
        if name == b"content-length" and not _isLength(value):
            raise InvalidHeader(f"content-length is a number of bytes, not {_shown(value)}")
    elif name != b"te" or value.lower() != b"trailers":
        raise InvalidHeader(f"{_text(name)} belongs to HTTP/1.1 connections (RFC 9113 section 8.2.2)")


def _isLength(value: bytes) -> bool:
    return value.isdigit() and len(value) <= 19


# ---------------------------------------------------------------------------------------------------------------------
# Sending


def requestHeaders(headers: HeadersLike, scheme: bytes, authority: bytes) -> Headers:
    """
    Complete and check the header list of a request (RFC 9113 sections 8.3.1 and 8.5; Node's reference 7.1, 12.7, 12.10).

    @param scheme: for C{:scheme} where the caller gives none.
    @param authority: for C{:authority} where the caller gives neither that nor C{host}.

    @raise InvalidHeader: if it may not be sent as a request.
    """
    given = headers if isinstance(headers, Headers) else Headers(headers)
    pseudo: dict[bytes, bytes] = {}
    plain: list[Field] = []
    host: bytes | None = None
    for field in given._fields:
        name = field[0]
        if name[0] != 58:
            plain.append(field)
            if name == b"host":
                host = field[1]
        elif name in _REQUEST_PSEUDO:
            pseudo[name] = field[1]
        else:
            raise InvalidHeader(f"{_text(name)} is not a pseudo-header field of requests")
    if pseudo.setdefault(b":method", b"GET") != b"CONNECT" or b":protocol" in pseudo:
        pseudo.setdefault(b":scheme", scheme)
        pseudo.setdefault(b":path", b"/")
        if host is None:
            pseudo.setdefault(b":authority", authority)
    try:
        _checkTarget(pseudo, host, True)
    except MalformedMessage as malformed:
        raise InvalidHeader(str(malformed)) from None
    return Headers.received(
        [(name, pseudo[name]) for name in _REQUEST_ORDER if name in pseudo] + plain, given.sensitive
    )


_REQUEST_ORDER: Final = (b":method", b":authority", b":scheme", b":path", b":protocol")
"""As browsers and Node send them."""


def responseHeaders(headers: HeadersLike | None, date: bytes | None) -> Headers:
    """
    Complete and check the header list of a final response (Node's reference 10.1, 12.8).

    @param date: for C{date} where the caller gives none; L{None} leaves it out.

    @raise InvalidHeader: if it may not be sent as a response.
    """
    given = Headers() if headers is None else headers if isinstance(headers, Headers) else Headers(headers)
    fields = given._fields
    if fields and fields[0][0] == b":status":
        status = fields[0][1]
        if not (len(status) == 3 and status.isdigit() and b"200" <= status <= b"599"):
            raise InvalidHeader(f":status of a response is between 200 and 599, not {_shown(status)}")
        fields = list(fields)
    else:
        fields = [(b":status", b"200"), *fields]
    if len(fields) > 1 and fields[1][0][0] == 58:
        raise InvalidHeader(f"{_text(fields[1][0])} is not a pseudo-header field of responses")
    if date is not None and not any(name == b"date" for name, _ in fields):
        fields.append((b"date", date))
    return Headers.received(fields, given.sensitive)


def informationalHeaders(headers: HeadersLike) -> Headers:
    """
    Check the header list of a 1xx response (RFC 9113 section 8.1; Node's reference 10.3).

    @raise InvalidHeader: if C{:status} is missing, is 101 or is not 1xx.
    """
    given = headers if isinstance(headers, Headers) else Headers(headers)
    status = given.get(b":status", b"")
    if not (len(status) == 3 and status.isdigit() and status[:1] == b"1"):
        raise InvalidHeader(f":status of an informational response is between 100 and 199, not {_shown(status)}")
    if status == b"101":
        raise InvalidHeader("HTTP/2 has no 101 (Switching Protocols) (RFC 9113 section 8.6)")
    if any(name[0] == 58 and name != b":status" for name, _ in given._fields):
        raise InvalidHeader("a response has no pseudo-header field but :status")
    return given


def trailerHeaders(headers: HeadersLike) -> Headers:
    """
    Check a list of trailers (RFC 9113 section 8.1).

    @raise InvalidHeader: if it has a pseudo-header field, or C{content-length}, which comes too late there (RFC 9110
        section 6.5.1).
    """
    given = headers if isinstance(headers, Headers) else Headers(headers)
    for name, _ in given._fields:
        if name[0] == 58:
            raise InvalidHeader(f"{_text(name)}: trailers have no pseudo-header fields")
        if name == b"content-length":
            raise InvalidHeader("content-length does not go into trailers (RFC 9110 section 6.5.1)")
    return given


# ---------------------------------------------------------------------------------------------------------------------
# Receiving


class RequestFacts(NamedTuple):
    """
    What the multiplexer needs to know of a received request.
    """

    method: bytes
    contentLength: int | None


def listSize(fields: Iterable[Field]) -> int:
    """
    The size of a header list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113 section 6.5.2).
    """
    return sum(len(name) + len(value) + 32 for name, value in fields)


def _checkValues(fields: Iterable[Field]) -> list[Field]:
    """
    Check all values of a received list at once (RFC 9110 section 5.5, RFC 9113 section 8.2.1).

    @return: the list.
    """
    fields = list(fields)
    values = [value for _, value in fields]
    joined = b"".join(values)
    if len(joined.translate(None, _CONTROLS)) == len(joined) and [value.strip(_BLANK) for value in values] == values:
        return fields
    for name, value in fields:
        if value.strip(_BLANK) != value or len(value.translate(None, _CONTROLS)) != len(value):
            raise MalformedMessage(f"value of {_shown(name)}")
    raise AssertionError("a list was wrong and none of its fields")  # pragma: no cover


def checkRequest(fields: Iterable[Field], extendedConnect: bool) -> RequestFacts:
    """
    Check a received request (RFC 9113 sections 8.2, 8.3 and 8.5, RFC 8441 section 4).

    @param extendedConnect: whether we announced SETTINGS_ENABLE_CONNECT_PROTOCOL.

    @raise MalformedMessage: saying what is wrong.
    """
    fields = _checkValues(fields)
    pseudo: dict[bytes, bytes] = {}
    contentLength: int | None = None
    host: bytes | None = None
    regular = False
    for name, value in fields:
        kind = _kinds.get(name)
        if kind is None:
            kind = _kindOf(name)
        if kind == _PLAIN:
            regular = True
        elif kind == _PSEUDO:
            if regular or name in pseudo or name not in _REQUEST_PSEUDO:
                raise MalformedMessage(f"pseudo-header field {_text(name)}")
            pseudo[name] = value
        elif name == b"content-length":
            regular = True
            contentLength = _contentLength(value, contentLength)
        elif name == b"host":
            regular = True
            if host is not None:
                raise MalformedMessage("two host fields")
            host = value
        else:
            regular = True
            _checkConnectionField(name, value)
    return RequestFacts(_checkTarget(pseudo, host, extendedConnect), contentLength)


def _checkConnectionField(name: bytes, value: bytes) -> None:
    """
    Refuse what is about connections of HTTP/1.1 (RFC 9113 section 8.2.2); C{te} may still say C{trailers}.
    """
    if name != b"te":
        raise MalformedMessage(f"connection-specific field {_text(name)}")
    if value.lower() != b"trailers":
        raise MalformedMessage("te other than trailers")


def _checkTarget(pseudo: dict[bytes, bytes], host: bytes | None, extendedConnect: bool) -> bytes:
    """
    Check the pseudo-header fields of a request against one another, and C{host} against them.

    @return: the method.
    """
    method = pseudo.get(b":method", b"")
    if method not in _COMMON_METHODS and not _METHOD.fullmatch(method):
        raise MalformedMessage(f":method {_shown(method)} is not a token")
    scheme = pseudo.get(b":scheme", b"").lower()
    authority = pseudo.get(b":authority")
    if authority is None:
        authority = host
    elif host is not None and host != authority and not _sameAuthority(host, authority, scheme):
        raise MalformedMessage(":authority and host differ (RFC 9113 section 8.3.1)")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        if not pseudo.get(b":authority"):
            raise MalformedMessage("CONNECT needs :authority (RFC 9113 section 8.5)")
        if b":scheme" in pseudo or b":path" in pseudo:
            raise MalformedMessage("CONNECT has neither :scheme nor :path (RFC 9113 section 8.5)")
    else:
        _checkPath(method, scheme, pseudo.get(b":path", b""))
        if not authority and scheme in _DEFAULT_PORTS:
            raise MalformedMessage("neither :authority nor host says where to (RFC 9113 section 8.3.1)")
        if b":protocol" in pseudo:
            if method != b"CONNECT":
                raise MalformedMessage(":protocol goes with CONNECT only (RFC 8441 section 4)")
            if not extendedConnect:
                raise MalformedMessage(":protocol although extended CONNECT was not announced (RFC 8441 section 3)")
            if not _METHOD.fullmatch(pseudo[b":protocol"]):
                raise MalformedMessage(f":protocol {_shown(pseudo[b':protocol'])} is not a token")
    if authority and _BAD_AUTHORITY(authority):
        raise MalformedMessage(f"a space, a slash or user information in :authority or host {_shown(authority)}")
    return method


def _sameAuthority(host: bytes, authority: bytes, scheme: bytes) -> bool:
    """
    Compare two authorities as RFC 3986 section 6.2 says: without regard to case and to the scheme's own port.
    """
    port = _DEFAULT_PORTS.get(scheme, b"")
    return bool(host and authority) and host.lower().removesuffix(port) == authority.lower().removesuffix(port)


def _checkPath(method: bytes, scheme: bytes, path: bytes) -> None:
    """
    Check C{:scheme} and C{:path} (RFC 9113 section 8.3.1).

    @param scheme: in lower case.
    """
    if scheme not in _DEFAULT_PORTS and not _SCHEME.fullmatch(scheme):
        raise MalformedMessage(f":scheme {_shown(scheme)}" if scheme else "no :scheme")
    if not path:
        raise MalformedMessage("no :path")
    if _BAD_TARGET(path):
        raise MalformedMessage(f"a space or a control character in :path {_shown(path)}")
    if path[:1] != b"/" and scheme in _DEFAULT_PORTS and not (path == b"*" and method == b"OPTIONS"):
        raise MalformedMessage(f":path starts with a slash, unlike {_shown(path)}")


def _contentLength(value: bytes, before: int | None) -> int:
    if before is not None:
        raise MalformedMessage("two content-length fields")
    if not _isLength(value):
        raise MalformedMessage(f"content-length {_shown(value)}")
    return int(value)


class ResponseFacts(NamedTuple):
    """
    What the multiplexer needs to know of a received response.
    """

    status: int
    contentLength: int | None


def checkResponse(fields: Iterable[Field]) -> ResponseFacts:
    """
    Check a received response, final or informational (RFC 9113 sections 8.2, 8.3.2 and 8.6).

    @raise MalformedMessage: saying what is wrong.
    """
    fields = _checkValues(fields)
    status = 0
    contentLength: int | None = None
    regular = False
    for name, value in fields:
        kind = _kinds.get(name)
        if kind is None:
            kind = _kindOf(name)
        if kind == _PSEUDO:
            if regular or status or name != b":status":
                raise MalformedMessage(f"pseudo-header field {_text(name)}")
            if len(value) != 3 or not value.isdigit() or value[:1] == b"0" or value == b"101":
                raise MalformedMessage(f":status {_shown(value)}")
            status = int(value)
            continue
        regular = True
        if kind == _PLAIN:
            continue
        if name == b"content-length":
            contentLength = _contentLength(value, contentLength)
        elif name != b"host":
            _checkConnectionField(name, value)
    if not status:
        raise MalformedMessage("no :status")
    return ResponseFacts(status, contentLength)


def checkTrailers(fields: Iterable[Field]) -> None:
    """
    Check received trailers (RFC 9113 section 8.1).

    @raise MalformedMessage: saying what is wrong.
    """
    fields = _checkValues(fields)
    for name, value in fields:
        kind = _kinds.get(name)
        if kind is None:
            kind = _kindOf(name)
        if kind == _PSEUDO or name == b"content-length":
            # A length after the body comes too late, and misleads whoever puts trailers among the headers (RFC 9110
            # section 6.5.1).
            raise MalformedMessage(f"trailer {_text(name)}")
        if kind != _PLAIN and name != b"host":
            _checkConnectionField(name, value)
