"""
Origins and alternative services, as ALTSVC and ORIGIN frames spell them (RFC 6454, RFC 7838, RFC 8336).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from hyperlink import URL, URLParseError

from txh2session.errors import InvalidHeader

MAX_ADVERTISED: Final = 16382
"""What an ALTSVC or ORIGIN frame may hold so that every peer takes it: a frame of 16,384 bytes less a length."""

_ALTERNATIVE: Final = re.compile(rb"[\t\x20-\x7e]+")


def originOf(url: str | bytes) -> bytes:
    """
    Reduce a URL to its origin, written as RFC 6454 section 6.2 says: C{b"https://example.com:8443"}.

    @raise InvalidHeader: if it has none.
    """
    try:
        parsed = URL.from_text(url.decode("ascii") if isinstance(url, bytes) else url).normalize(
            path=False, query=False, fragment=False, userinfo=False, percents=False
        )
        if not parsed.host.isascii():
            parsed = parsed.to_uri()
    except (URLParseError, ValueError, TypeError) as error:
        raise InvalidHeader(f"not a URL: {url!r}: {error}") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise InvalidHeader(f"{url!r} has no origin: a scheme of http or https, and a host")
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    own = 443 if parsed.scheme == "https" else 80
    port = "" if parsed.port in (None, own) else f":{parsed.port}"
    return f"{parsed.scheme}://{host.lower()}{port}".encode("ascii")


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
