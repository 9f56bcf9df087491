"""
Messages that could be read in two ways, or that carry what is not theirs: injection and smuggling, in both directions.

Received, each costs its stream and never reaches the application (RFC 9113 section 8.1.1).  To be sent, each is refused at
the call, and nothing of it goes out.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from tests.conformance.rows import EndsStream, Lives, P, Row, Step, raw
from txh2session import Settings

Fields: TypeAlias = "list[tuple[str | bytes, str | bytes]]"

METHOD, SCHEME, AUTHORITY, PATH = (
    (":method", "GET"),
    (":scheme", "http"),
    (":authority", "localhost"),
    (":path", "/answer"),
)
GOOD: Fields = [METHOD, SCHEME, AUTHORITY, PATH]

_NAMES: dict[str, str | bytes] = {
    "UpperCase": "X-Upper",
    "OneUpperCase": "uppeR",
    "Empty": "",
    "Space": "a b",
    "SpaceAtTheEnd": "a ",
    "SpaceAtTheBeginning": " a",
    "Tab": "a\tb",
    "CR": "a\rb",
    "LF": "a\nb",
    "NUL": "a\0b",
    "Colon": "a:b",
    "Delete": "a\x7f",
    "Control": "a\x01",
    "NotASCII": b"a\xc3\xa4",
    "Parenthesis": "a(b",
    "Quote": 'a"b',
    "WholeField": "a: b\r\nc",
}
_VALUES: dict[str, str | bytes] = {
    "CR": "a\rb",
    "LF": "a\nb",
    "CRLF": "a\r\ntransfer-encoding: chunked",
    "NUL": "a\0b",
    "NULAtTheEnd": "a\0",
    "LFAtTheEnd": "a\n",
    "Control": "a\x01b",
    "Escape": "a\x1bb",
    "Delete": "a\x7f",
}
_BLANKS: dict[str, str | bytes] = {
    "SpaceAtTheBeginning": " a",
    "SpaceAtTheEnd": "a ",
    "TabAtTheBeginning": "\ta",
    "TabAtTheEnd": "a\t",
    "OnlySpace": " ",
}
_CONNECTION: dict[str, tuple[str, str]] = {
    "connection": ("connection", "close"),
    "connectionNames": ("connection", "content-length"),
    "keepAlive": ("keep-alive", "timeout=5"),
    "proxyConnection": ("proxy-connection", "keep-alive"),
    "transferEncoding": ("transfer-encoding", "chunked"),
    "transferEncodingIdentity": ("transfer-encoding", "identity"),
    "upgrade": ("upgrade", "h2c"),
    "http2Settings": ("http2-settings", "AAMAAABkAAQAAP__"),
    "teGzip": ("te", "gzip"),
    "teTrailersAndMore": ("te", "trailers, deflate"),
    "teEmpty": ("te", ""),
}
_LENGTHS: dict[str, str] = {
    "Negative": "-1",
    "Signed": "+5",
    "Empty": "",
    "Hexadecimal": "0x5",
    "List": "5, 5",
    "Fraction": "5.0",
    "Word": "five",
    "TooLong": "1" * 20,
    "OtherDigits": "\u0665",
}
_FIELDS: dict[str, Fields] = {
    **{f"name{key}": [(name, "a")] for key, name in _NAMES.items()},
    **{f"value{key}": [("a", value)] for key, value in (_VALUES | _BLANKS).items()},
    **{key: [each] for key, each in _CONNECTION.items()},
    **{f"length{key}": [("content-length", value)] for key, value in _LENGTHS.items()},
    "lengthTwice": [("content-length", "5"), ("content-length", "5")],
    "lengthsThatDiffer": [("content-length", "5"), ("content-length", "6")],
    "pseudoUnknown": [(":other", "x")],
    "pseudoEmpty": [(":", "x")],
}
"""What no message may have among its fields, whatever kind it is."""

REQUESTS: dict[str, Fields] = {
    **{key: [*GOOD, *fields] for key, fields in _FIELDS.items()},
    "pseudoOfResponses": [*GOOD, (":status", "200")],
    "pseudoLate": [METHOD, SCHEME, AUTHORITY, ("a", "b"), PATH],
    **{f"{each[0][1:]}Twice": [*GOOD, each] for each in (METHOD, SCHEME, AUTHORITY, PATH)},
    "pathTwiceWithAnother": [*GOOD, (":path", "/admin")],
    "methodMissing": [SCHEME, AUTHORITY, PATH],
    "methodEmpty": [(":method", ""), SCHEME, AUTHORITY, PATH],
    "methodWithSpace": [(":method", "GET /admin HTTP/1.1\r\n"), SCHEME, AUTHORITY, PATH],
    "methodNotAToken": [(":method", "G(T"), SCHEME, AUTHORITY, PATH],
    "schemeMissing": [METHOD, AUTHORITY, PATH],
    "schemeEmpty": [METHOD, (":scheme", ""), AUTHORITY, PATH],
    "schemeWithSlashes": [METHOD, (":scheme", "http://a/?"), AUTHORITY, PATH],
    "pathMissing": [METHOD, SCHEME, AUTHORITY],
    "pathEmpty": [METHOD, SCHEME, AUTHORITY, (":path", "")],
    "pathWithoutSlash": [METHOD, SCHEME, AUTHORITY, (":path", "answer")],
    "pathAbsolute": [METHOD, SCHEME, AUTHORITY, (":path", "http://elsewhere/answer")],
    "pathOnlyQuery": [METHOD, SCHEME, AUTHORITY, (":path", "?a=b")],
    "pathStarOfGet": [METHOD, SCHEME, AUTHORITY, (":path", "*")],
    "pathWithSpace": [METHOD, SCHEME, AUTHORITY, (":path", "/answer HTTP/1.1")],
    "pathWithTab": [METHOD, SCHEME, AUTHORITY, (":path", "/answer\t")],
    "pathWithCRLF": [METHOD, SCHEME, AUTHORITY, (":path", "/answer\r\nhost: elsewhere")],
    "pathWithNUL": [METHOD, SCHEME, AUTHORITY, (":path", "/answer\0")],
    "authorityAndHostMissing": [METHOD, SCHEME, PATH],
    "authorityEmpty": [METHOD, SCHEME, (":authority", ""), PATH],
    "authorityWithUser": [METHOD, SCHEME, (":authority", "user@localhost"), PATH],
    "authorityWithSpace": [METHOD, SCHEME, (":authority", "local host"), PATH],
    "authorityWithPath": [METHOD, SCHEME, (":authority", "localhost/admin"), PATH],
    "authorityWithLF": [METHOD, SCHEME, (":authority", "localhost\n"), PATH],
    "hostDiffers": [*GOOD, ("host", "elsewhere")],
    "hostDiffersInPort": [*GOOD, ("host", "localhost:8080")],
    "hostEmptyAndAuthority": [*GOOD, ("host", "")],
    "hostTwice": [METHOD, SCHEME, PATH, ("host", "localhost"), ("host", "localhost")],
    "hostWithUser": [METHOD, SCHEME, PATH, ("host", "user@localhost")],
    "hostEmpty": [METHOD, SCHEME, PATH, ("host", "")],
}
"""Requests that are malformed."""

ACCEPTED: dict[str, Fields] = {
    "hostAgrees": [*GOOD, ("host", "localhost")],
    "hostAgreesButForCase": [*GOOD, ("host", "LocalHost")],
    "hostAgreesButForThePort": [*GOOD, ("host", "localhost:80")],
    "hostAlone": [METHOD, SCHEME, PATH, ("host", "localhost")],
    "pseudoInAnyOrder": [PATH, AUTHORITY, SCHEME, METHOD],
    "methodUnknown": [(":method", "PROPFIND"), SCHEME, AUTHORITY, PATH],
    "teTrailers": [*GOOD, ("te", "trailers")],
    "crumbs": [*GOOD, ("cookie", "a=b"), ("cookie", "c=d")],
    "valueEmpty": [*GOOD, ("a", "")],
    "valueWithTabInside": [*GOOD, ("a", "b\tc d")],
    "valueNotASCII": [*GOOD, ("a", b"\xc3\xa4\xff")],
    "nameOfSymbols": [*GOOD, ("!#$%&'*+-.^_`|~0", "a")],
    "lengthZero": [*GOOD, ("content-length", "0")],
}
"""Requests that look odd and are not malformed."""

RESPONSES: dict[str, Fields] = {
    **{key: [(":status", "200"), *fields] for key, fields in _FIELDS.items()},
    "statusMissing": [("a", "b")],
    "listEmpty": [],
    "statusTwice": [(":status", "200"), (":status", "200")],
    "statusLate": [("a", "b"), (":status", "200")],
    "statusEmpty": [(":status", "")],
    "statusWord": [(":status", "abc")],
    "statusTooShort": [(":status", "99")],
    "statusTooLong": [(":status", "2000")],
    "statusWithReason": [(":status", "200 OK")],
    "statusSigned": [(":status", "+20")],
    "statusZero": [(":status", "000")],
    "statusSwitching": [(":status", "101")],
    "pseudoOfRequests": [(":status", "200"), PATH],
    "informationWithLF": [(":status", "103"), ("link", "a\nb")],
    "informationWithUpperCase": [(":status", "103"), ("Link", "a")],
}
"""Responses that are malformed."""

TRAILERS: dict[str, Fields] = {
    **{key: fields for key, fields in _FIELDS.items()},
    "pseudoOfRequests": [PATH],
    "pseudoOfResponses": [(":status", "200")],
    "length": [("content-length", "1")],
}
"""Trailers that are malformed."""


def _section(name: str) -> str:
    if name.startswith(("name", "value")):
        return "8.2.1"
    if name in _CONNECTION or name.startswith("te"):
        return "8.2.2"
    if name == "crumbs":
        return "8.2.3"
    if name.startswith("length"):
        return "8.1.1"
    return "8.3"


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _request(fields: Fields) -> Any:
    def steps(peer: Any) -> list[Step]:
        return [peer.headers(3, fields, "content-length" not in dict(fields) or ("content-length", "0") in fields)]

    return steps


def _requestTrailers(fields: Fields) -> Any:
    def steps(peer: Any) -> list[Step]:
        return [peer.post(3, "/read"), peer.data(3, b"x"), peer.headers(3, fields, end=True)]

    return steps


def _response(fields: Fields) -> Any:
    def steps(peer: Any) -> list[Step]:
        return [peer.headers(5, fields)]

    return steps


def _responseTrailers(fields: Fields) -> Any:
    def steps(peer: Any) -> list[Step]:
        return [peer.response(5), peer.data(5, b"x"), peer.headers(5, fields, end=True)]

    return steps


def _promise(fields: Fields) -> Any:
    def steps(peer: Any) -> list[Step]:
        return [raw(5, 1, b"\0\0\0\2" + peer.encoder.encode(fields), 4)]

    return steps


SERVER_MESSAGES = [
    *(
        Row(f"request{_capital(name)}", _section(name), EndsStream(3, P, unseen=True), _request(fields))
        for name, fields in REQUESTS.items()
    ),
    *(
        Row(f"accepts{_capital(name)}", _section(name), Lives(("HEADERS 3 200",)), _request(fields))
        for name, fields in ACCEPTED.items()
    ),
    *(
        Row(f"trailers{_capital(name)}", _section(name), EndsStream(3, P, unseen=True), _requestTrailers(fields))
        for name, fields in TRAILERS.items()
    ),
]
CLIENT_MESSAGES = [
    *(
        Row(f"response{_capital(name)}", _section(name), EndsStream(5, P), _response(fields))
        for name, fields in RESPONSES.items()
    ),
    *(
        Row(f"trailers{_capital(name)}", _section(name), EndsStream(5, P), _responseTrailers(fields))
        for name, fields in TRAILERS.items()
    ),
    *(
        Row(f"promise{_capital(name)}", _section(name), EndsStream(2, P), _promise(fields), Settings(enablePush=True))
        for name, fields in REQUESTS.items()
    ),
]

# ---------------------------------------------------------------------------------------------------------------------
# What an application must not be able to send

_UNSENDABLE_NAMES = {key: name for key, name in _NAMES.items() if "UpperCase" not in key}
"""Upper case is written in lower case instead."""
_UNSENDABLE: dict[str, Fields] = {
    **{f"name{key}": [(name, "a")] for key, name in _UNSENDABLE_NAMES.items()},
    **{f"value{key}": [("a", value)] for key, value in _VALUES.items()},
    **{key: [each] for key, each in _CONNECTION.items()},
    **{f"upperCase{_capital(key)}": [(each[0].title(), each[1])] for key, each in _CONNECTION.items()},
    **{f"length{key}": [("content-length", value)] for key, value in _LENGTHS.items()},
    "lengthTwice": [("content-length", "5"), ("Content-Length", "5")],
    "lengthsInAList": [("content-length", ["5", "6"])],  # type: ignore[list-item]
    "pseudoUnknown": [(":other", "x")],
}
UNSENDABLE_REQUESTS: dict[str, Fields] = {
    **_UNSENDABLE,
    "pseudoOfResponses": [(":status", "200")],
    "methodEmpty": [(":method", "")],
    "methodWithSpace": [(":method", "GET / HTTP/1.1\r\n")],
    "methodTwice": [METHOD, METHOD],
    "schemeWithSlashes": [(":scheme", "http://a/?")],
    "pathEmpty": [(":path", "")],
    "pathWithoutSlash": [(":path", "answer")],
    "pathAbsolute": [(":path", "http://elsewhere/")],
    "pathStarOfGet": [(":path", "*")],
    "pathWithSpace": [(":path", "/a b")],
    "pathWithCRLF": [(":path", "/\r\nhost: elsewhere")],
    "pathWithNUL": [(":path", "/\0")],
    "pathTwice": [(":path", "/a"), (":path", "/b")],
    "authorityWithUser": [(":authority", "user@localhost")],
    "authorityWithSpace": [(":authority", "local host")],
    "authorityWithPath": [(":authority", "localhost/a")],
    "authorityEmpty": [(":authority", "")],
    "hostDiffers": [AUTHORITY, ("host", "elsewhere")],
    "hostTwice": [("host", "localhost"), ("Host", "localhost")],
    "connectWithPath": [(":method", "CONNECT"), AUTHORITY, (":path", "/")],
    "connectWithoutAuthority": [(":method", "CONNECT")],
    "protocolWithoutConnect": [(":protocol", "websocket")],
}
UNSENDABLE_RESPONSES: dict[str, Fields] = {
    **_UNSENDABLE,
    "pseudoOfRequests": [(":status", "200"), (":path", "/")],
    "statusWord": [(":status", "abc")],
    "statusTwice": [(":status", "200"), (":status", "200")],
    "statusInformational": [(":status", "103")],
    "statusSwitching": [(":status", "101")],
    "statusTooLarge": [(":status", "600")],
    "statusWithReason": [(":status", "200 OK")],
}
UNSENDABLE_INFORMATION: dict[str, Fields] = {
    **{key: [(":status", "103"), *fields] for key, fields in _UNSENDABLE.items()},
    "statusFinal": [(":status", "200")],
    "statusSwitching": [(":status", "101")],
    "statusMissing": [("link", "a")],
}
UNSENDABLE_TRAILERS: dict[str, Fields] = {
    **_UNSENDABLE,
    "length": [("content-length", "1")],
    "pseudoOfRequests": [(":path", "/")],
    "pseudoOfResponses": [(":status", "200")],
}
