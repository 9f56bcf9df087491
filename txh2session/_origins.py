"""
URLs, and what ALTSVC and ORIGIN frames say of origins and alternative services (RFC 6454, RFC 7838, RFC 8336).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from hyperlink import URL, URLParseError

from txh2session.errors import InvalidHeader

MAX_ADVERTISED: Final = 16382
"""What an ALTSVC or ORIGIN frame may hold so that every peer takes it: a frame of 16,384 bytes less a length."""

_ALTERNATIVE: Final = re.compile(rb"[\t\x20-\x7e]+")


class WebURL(NamedTuple):
    """
    The parts of a URL that name a server.

    @ivar host: a name in ASCII, or an address without brackets.
    @ivar authority: host and port as C{:authority} has them, without the scheme's own port.
    """

    scheme: str
    host: str
    port: int
    authority: str


def parseURL(url: str | bytes) -> WebURL:
    """
    Take a URL of scheme http or https apart.

    @raise ValueError: for anything else.
    """
    try:
        parsed = URL.from_text(url.decode("ascii") if isinstance(url, bytes) else url).normalize(
            path=False, query=False, fragment=False, userinfo=False, percents=False
        )
        if not parsed.host.isascii():
            parsed = parsed.to_uri()
    except (URLParseError, ValueError, TypeError) as error:
        raise ValueError(f"not a URL: {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https"):
        raise ValueError(f"a URL of scheme http or https is needed, not {url!r}")
    if not parsed.host or parsed.port is None:
        raise ValueError(f"a URL with a host is needed, not {url!r}")
    authority = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    if parsed.port != (443 if parsed.scheme == "https" else 80):
        authority = f"{authority}:{parsed.port}"
    return WebURL(parsed.scheme, parsed.host, parsed.port, authority)


def originOf(url: str | bytes) -> bytes:
    """
    Reduce a URL to its origin, written as RFC 6454 section 6.2 says: C{b"https://example.com:8443"}.

    @raise InvalidHeader: if it has none.
    """
    try:
        parsed = parseURL(url)
    except ValueError as error:
        raise InvalidHeader(f"no origin: {error}") from error
    return f"{parsed.scheme}://{parsed.authority}".encode("ascii")


def originsOf(urls: Iterable[str | bytes]) -> list[bytes]:
    """
    Reduce URLs to their origins, which must fit into one ORIGIN frame.

    @raise InvalidHeader: if one has none, or for more than 16,382 bytes in all.
    """
    origins = [originOf(url) for url in urls]
    if sum(len(origin) + 2 for origin in origins) > MAX_ADVERTISED:
        raise InvalidHeader(f"an ORIGIN frame holds at most {MAX_ADVERTISED} bytes")
    return origins


def checkAlternative(value: str | bytes) -> bytes:
    """
    Check the value of an ALTSVC frame.

    @raise InvalidHeader: if it is empty or has other than visible ASCII characters and blanks.
    """
    try:
        written = value.encode("ascii") if isinstance(value, str) else value
    except UnicodeEncodeError as error:
        raise InvalidHeader(f"an alternative service is written in ASCII, unlike {value!r}") from error
    if not isinstance(written, bytes) or not _ALTERNATIVE.fullmatch(written):
        raise InvalidHeader(f"an alternative service is visible ASCII, unlike {value!r}")
    return written
