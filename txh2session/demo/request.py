"""
What the routes have in common: reading a request's path and query, answering with text, and waiting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from txh2session import Headers, ServerStream

_LARGEST_CODE = 2**32 - 1
_LONGEST_WAIT = 86400
_WHOLE = re.compile(r"[0-9]{1,10}")  # int() would take "1_000", " 1" and the digits of every script
_DECIMAL = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")


class BadRequest(Exception):
    """
    The client asked for something that does not exist; the message says what does.
    """


class Request:
    """
    One request, as a route sees it.

    @ivar stream: the stream it came on.
    @ivar headers: its headers.
    @ivar name: the first segment of its path.
    @ivar streams: the open streams of its session, this one included, by their ids.
    @ivar argument: what stands behind the path's second slash, L{None} where there is none.
    """

    __slots__ = ("_clock", "_query", "argument", "headers", "name", "stream", "streams")

    def __init__(
        self, stream: ServerStream, headers: Headers, clock: IReactorTime, streams: Mapping[int, ServerStream]
    ) -> None:
        self.stream = stream
        self.streams = streams
        self.headers = headers
        self._clock = clock
        # OPTIONS may have a star for a path and CONNECT has none (RFC 9113 sections 8.3.1 and 8.5): no route is named so.
        path, _, self._query = (headers.path or "*").partition("?")
        name, slash, argument = path.removeprefix("/").partition("/")
        self.name = name
        self.argument = argument if slash else None

    # Reading

    def number(self, largest: int) -> int:
        """
        Read the path's argument as a whole number.

        @raise BadRequest: if it is none, or too large.
        """
        return _whole("N", self.argument or "", largest)

    def code(self) -> int | None:
        """
        Read the C{code} of the query, an error code.

        @raise BadRequest: if it is not an unsigned 32-bit integer.
        """
        text = self._parameter("code")
        return None if text is None else _whole("code", text, _LARGEST_CODE)

    def seconds(self, default: float) -> float:
        """
        Read the C{seconds} of the query.

        @raise BadRequest: if that is not a number, or longer than a day.
        """
        text = self._parameter("seconds")
        if text is None:
            return default
        if not _DECIMAL.fullmatch(text) or float(text) > _LONGEST_WAIT:
            raise BadRequest(f"seconds is a number from 0 to {_LONGEST_WAIT}")
        return float(text)

    def _parameter(self, name: str) -> str | None:
        values = parse_qs(self._query, keep_blank_values=True).get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise BadRequest(f"{name} is given more than once")
        return values[0]

    # Answering

    def answer(self, text: str, status: int = 200, contentType: str = "text/plain") -> None:
        """
        Answer with a text.  C{HEAD} needs no thought: the stream drops the body by itself.
        """
        body = text.encode()
        self.stream.respond({":status": status, "content-type": contentType, "content-length": len(body)})
        self.stream.end(body)

    # Waiting

    def sleep(self, seconds: float) -> Deferred[None]:
        """
        Wait for a time.
        """
        return deferLater(self._clock, seconds, lambda: None)


def _whole(name: str, text: str, largest: int) -> int:
    """
    Read a whole number.

    @raise BadRequest: if it is none, or too large.
    """
    if not _WHOLE.fullmatch(text) or int(text) > largest:
        raise BadRequest(f"{name} is a whole number from 0 to {largest}")
    return int(text)
