"""
L{Headers}: a header list, and how one is normalised and checked before it may go out.

A list is kept as pairs of bytes in the order of the wire; text is made only when somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, overload

from txh2session._fields import (
    BLANK,
    CONNECTION_SPECIFIC,
    CONTROLS,
    REMEMBERED,
    REMEMBERED_LENGTH,
    REQUEST_PSEUDO,
    SECRETS,
    SINGLE,
    TOKEN,
    Field,
    HeaderText,
    HeaderValue,
    asASCII,
    asText,
    isLength,
    shown,
)
from txh2session._messages import MalformedMessage, checkTarget, listSize
from txh2session.errors import InvalidHeader

HeadersLike: TypeAlias = (
    "Headers | Mapping[Any, HeaderValue | Iterable[HeaderValue]]"
    " | Sequence[tuple[HeaderText, HeaderValue | Iterable[HeaderValue]]]"
)
"""What may be given where headers are wanted: a mapping or pairs, in text or bytes; a list or tuple as a value makes
several fields."""

BODILESS: Final = frozenset({204, 205, 304})
"""Answers that have no body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5)."""


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

    def __init__(
        self, headers: HeadersLike = (), sensitive: Iterable[HeaderText] = (), strictSingleValues: bool = True
    ) -> None:
        """
        Normalise a header list for sending.

        @param headers: a mapping or pairs, in text or bytes.
        @param sensitive: names never to be indexed.  C{authorization}, C{proxy-authorization} and short C{cookie}
            fields always are.
        @param strictSingleValues: whether a field that has one value only, such as C{content-type}, may not occur twice.
            Where it may, pseudo-header fields, C{content-length} and C{host} still may not.

        @raise InvalidHeader: for a name or a value that must not be sent.
        """
        named = _names(sensitive)
        if isinstance(headers, Headers):
            self._fields = headers._fields
            self.sensitive = headers.sensitive | named
            return
        self._fields = _normalise(headers, strictSingleValues)
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

    @property
    def size(self) -> int:
        """
        The size of the list as SETTINGS_MAX_HEADER_LIST_SIZE counts it: bytes of names and values, and 32 for each field
        (RFC 9113 section 6.5.2).
        """
        return listSize(self._fields)

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
        return [asText(value) for value in values] if isinstance(name, str) else values

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
        if len(values) > 1 and key not in SINGLE:
            joined = (b"; " if key == b"cookie" else b", ").join(values)
        return asText(joined) if isinstance(name, str) else joined

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
        return ((asText(name), asText(value)) for name, value in self._fields)

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
            f"{asASCII(name)}: {'<sensitive>' if self._isSecret(name) else asASCII(value)}"
            for name, value in self._fields
        )
        return f"<Headers {', '.join(shown)}>"

    def _isSecret(self, name: bytes) -> bool:
        return name in SECRETS or name in self.sensitive

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


_WireName: TypeAlias = "tuple[bytes, bool, bool]"
"""A name in the form of the wire, whether it occurs once at most, and whether there is more to check."""
# Two tables, since text and bytes in one would be compared with one another.
_wireTexts: dict[str, _WireName] = {}
_wireBytes: dict[bytes, _WireName] = {}


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
    if not TOKEN.fullmatch(lower[1:] if lower[:1] == b":" else lower):
        raise InvalidHeader(f"header name {name!r} is not a token")
    once = lower in SINGLE
    known = lower, once, once or lower == b"te" or lower in CONNECTION_SPECIFIC
    if len(lower) <= REMEMBERED_LENGTH:
        if isinstance(name, str):
            if len(_wireTexts) < REMEMBERED:
                _wireTexts[name] = known
        elif len(_wireBytes) < REMEMBERED:
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
    if len(wire.translate(None, CONTROLS)) != len(wire):
        # The value stays out of the message, which may end up in a log: it may be a secret.
        raise InvalidHeader(f"the value of {asText(name)} has a control character, such as CR, LF or NUL")
    return wire.strip(BLANK)


def _normalise(headers: HeadersLike, strict: bool) -> list[Field]:
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
                    _checkSendable(name, wire, once, seen, strict)
                into.append((name, wire))
            elif isinstance(value, Iterable) and not isinstance(value, (bytearray, memoryview, Mapping)):
                for each in value:
                    wire = _wireValue(name, each)
                    if special:
                        _checkSendable(name, wire, once, seen, strict)
                    into.append((name, wire))
            else:
                raise InvalidHeader(
                    f"the value of {asText(name)} is text, bytes, an integer or a list of them,"
                    f" not {type(value).__name__}"
                )
    except (TypeError, ValueError) as error:
        if isinstance(error, InvalidHeader):
            raise
        raise InvalidHeader(f"headers are a mapping or pairs of name and value: {error}") from error
    return pseudo + plain


def _checkSendable(name: bytes, value: bytes, once: bool, seen: set[bytes], strict: bool) -> None:
    if once:
        if name in seen and (strict or name in _ALWAYS_SINGLE or name[0] == 58):
            raise InvalidHeader(f"{asText(name)} has one value only")
        seen.add(name)
        if name == b"content-length" and not isLength(value):
            raise InvalidHeader(f"content-length is a number of bytes, not {shown(value)}")
    elif name != b"te" or value.lower() != b"trailers":
        raise InvalidHeader(f"{asText(name)} belongs to HTTP/1.1 connections (RFC 9113 section 8.2.2)")


_ALWAYS_SINGLE: Final = frozenset({b"content-length", b"host"})
"""Where a message ends and whom it is for has one answer, or those who read it differ (RFC 9112 section 11.2)."""


def _given(headers: HeadersLike, strict: bool) -> Headers:
    return headers if isinstance(headers, Headers) else Headers(headers, (), strict)


def requestHeaders(headers: HeadersLike, scheme: bytes, authority: bytes, strict: bool = True) -> Headers:
    """
    Complete and check the header list of a request (RFC 9113 sections 8.3.1 and 8.5; Node's reference 7.1, 12.7, 12.10).

    @param scheme: for C{:scheme} where the caller gives none.
    @param authority: for C{:authority} where the caller gives neither that nor C{host}.
    @param strict: see C{strictSingleValues} of L{Headers}.

    @raise InvalidHeader: if it may not be sent as a request.
    """
    if isinstance(headers, _RequestHeaders):
        return headers
    given = _given(headers, strict)
    pseudo: dict[bytes, bytes] = {}
    plain: list[Field] = []
    host: bytes | None = None
    for field in given._fields:
        name = field[0]
        if name[0] != 58:
            plain.append(field)
            if name == b"host":
                host = field[1]
        elif name in REQUEST_PSEUDO:
            pseudo[name] = field[1]
        else:
            raise InvalidHeader(f"{asText(name)} is not a pseudo-header field of requests")
    if pseudo.setdefault(b":method", b"GET") != b"CONNECT" or b":protocol" in pseudo:
        pseudo.setdefault(b":scheme", scheme)
        pseudo.setdefault(b":path", b"/")
        if host is None:
            pseudo.setdefault(b":authority", authority)
    try:
        checkTarget(pseudo, host, True)
    except MalformedMessage as malformed:
        raise InvalidHeader(str(malformed)) from None
    return _RequestHeaders.received(
        [(name, pseudo[name]) for name in _REQUEST_ORDER if name in pseudo] + plain, given.sensitive
    )


class _RequestHeaders(Headers):
    """
    A header list that is complete and has been checked: a pool does so before it knows the session that sends it.
    """

    __slots__ = ()


_REQUEST_ORDER: Final = (b":method", b":authority", b":scheme", b":path", b":protocol")
"""As browsers and Node send them."""


def responseHeaders(headers: HeadersLike | None, date: bytes | None, strict: bool = True) -> Headers:
    """
    Complete and check the header list of a final response (Node's reference 10.1, 12.8).

    @param date: for C{date} where the caller gives none; L{None} leaves it out.

    @raise InvalidHeader: if it may not be sent as a response.
    """
    given = _given(() if headers is None else headers, strict)
    fields = given._fields
    if fields and fields[0][0] == b":status":
        status = fields[0][1]
        if not (len(status) == 3 and status.isdigit() and b"200" <= status <= b"599"):
            raise InvalidHeader(f":status of a response is between 200 and 599, not {shown(status)}")
        fields = list(fields)
    else:
        fields = [(b":status", b"200"), *fields]
    if len(fields) > 1 and fields[1][0][0] == 58:
        raise InvalidHeader(f"{asText(fields[1][0])} is not a pseudo-header field of responses")
    if date is not None and not any(name == b"date" for name, _ in fields):
        fields.append((b"date", date))
    return Headers.received(fields, given.sensitive)


def informationalHeaders(headers: HeadersLike, strict: bool = True) -> Headers:
    """
    Check the header list of a 1xx response (RFC 9113 section 8.1; Node's reference 10.3).

    @raise InvalidHeader: if C{:status} is missing, is 101 or is not 1xx.
    """
    given = _given(headers, strict)
    status = given.get(b":status", b"")
    if not (len(status) == 3 and status.isdigit() and status[:1] == b"1"):
        raise InvalidHeader(f":status of an informational response is between 100 and 199, not {shown(status)}")
    if status == b"101":
        raise InvalidHeader("HTTP/2 has no 101 (Switching Protocols) (RFC 9113 section 8.6)")
    if any(name[0] == 58 and name != b":status" for name, _ in given._fields):
        raise InvalidHeader("a response has no pseudo-header field but :status")
    return given


def trailerHeaders(headers: HeadersLike, strict: bool = True) -> Headers:
    """
    Check a list of trailers (RFC 9113 section 8.1).

    @raise InvalidHeader: if it has a pseudo-header field, or C{content-length}, which comes too late there (RFC 9110
        section 6.5.1).
    """
    given = _given(headers, strict)
    for name, _ in given._fields:
        if name[0] == 58:
            raise InvalidHeader(f"{asText(name)}: trailers have no pseudo-header fields")
        if name == b"content-length":
            raise InvalidHeader("content-length does not go into trailers (RFC 9110 section 6.5.1)")
    return given
