"""
A log of the frames of sessions: L{FrameLog}, to be given to L{connect<txh2session.connect>}, L{openSession
<txh2session.openSession>} or L{Server<txh2session.Server>} as C{frameLog=}.

Each frame of each connection is shown both ways, in the order in which it crosses::

    16:50:12.123456Z #1 open role=server protocol=h2 host=127.0.0.1:8443 peer=127.0.0.1:53422 date=2026-11-22
    16:50:12.125012Z #1 recv PREFACE length=24
    16:50:12.125012Z #1 recv SETTINGS stream=0 length=6 INITIAL_WINDOW_SIZE=1048576
    16:50:12.125012Z #1 recv HEADERS stream=1 length=34 flags=END_STREAM|END_HEADERS
    16:50:12.125012Z #1 recv stream=1 :method: GET
    16:50:12.125012Z #1 recv stream=1 authorization: <secret>
    16:50:12.127790Z #1 send DATA stream=1 length=12 flags=END_STREAM
    16:50:12.130001Z #1 closed reason="Connection was closed cleanly."

C{grep ' #1 '} finds a connection, C{grep 'stream=1 '} a stream with its header fields, C{grep ' HEADERS '} the frames of
a type, C{grep note=} what is wrong with some.  What is sent is shown when the transport takes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from io import BufferedIOBase, RawIOBase
from typing import Final, Literal, TextIO, TypeAlias

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger

from txh2session._fields import SECRETS, Field, HeaderText
from txh2session.framelog._facts import Seen
from txh2session.framelog._text import Entry, dateOf, linesOf, recordOf
from txh2session.framelog._view import FrameView, bothDirections

_log = Logger()
_framesLog = Logger(namespace="txh2session.frames")

_SECRET: Final = SECRETS | frozenset(
    b"authentication-info proxy-authenticate proxy-authentication-info www-authenticate"
    b" api-key x-access-token x-amz-security-token x-api-key x-auth-token x-csrf-token x-goog-api-key x-xsrf-token".split()
)
_MASK: Final = b"<secret>"

FrameWriter: TypeAlias = "Callable[[str], object] | TextIO"
"""Where a log goes: a callable that takes a line, or a text file."""


class FrameLog:
    """
    Shows the frames of sessions, with their header fields, and never the bytes of bodies.  One may serve many sessions,
    clients' and servers'; each connection has a number.

    Lines are ASCII: everything else in what a peer sent is escaped as in Python, so that no line can be forged.  Values
    above 4,096 bytes and GOAWAY's debug data above 256 are shown up to there.

    A log that fails (its disk is full, its pipe is broken) says so in Twisted's log, once, and is off from then on;
    sessions do not notice.  It is not for production: every frame is taken apart twice, and written before the next read.

    With C{format="json"} each connection's beginning and end and each frame is one JSON object on one line, with C{time}
    (of the session's clock, in seconds), C{connection}, C{peer} and C{event}: C{"open"}, C{"recv"}, C{"send"} or
    C{"closed"}.  A frame also has C{type}, C{stream}, C{length}, C{flags}, what is particular to its type, and C{note} if
    something is wrong with it; the one that ends a header block has C{fields}, pairs of name and value, and C{fieldsOf},
    the stream they are about, which for a push is the promised one.
    """

    def __init__(
        self,
        write: FrameWriter | None = None,
        format: Literal["lines", "json"] = "lines",
        secrets: bool = False,
        secretFields: Iterable[HeaderText] = (),
    ) -> None:
        """
        @param write: a text file, which gets whole lines and is flushed after each read and write of a connection; or a
            callable, which gets each line without its end, C{print} for example, and must leave the sessions alone.  If
            not given the log is Twisted's: an event of level C{debug} and namespace C{txh2session.frames} for each frame,
            with what JSON would hold as C{frame}.
        @param format: C{"lines"} for people or C{"json"} for programs.
        @param secrets: whether to show the values of fields that are secret.  By default those of C{authorization},
            C{cookie}, C{set-cookie} and others that carry credentials are masked, and those of every field whose sender
            marked it never to be indexed (RFC 7541 section 7.1.3).  What stands in C{:path} is shown.
        @param secretFields: more names to mask; C{":path"} where URLs hold tokens.

        @raise TypeError: for a C{write} that cannot take text, and for one name instead of several.
        @raise ValueError: for another format.
        """
        if format not in ("lines", "json"):
            raise ValueError(f"format is 'lines' or 'json', not {format!r}")
        if isinstance(secretFields, str | bytes):
            raise TypeError("secretFields is a list of names")
        if isinstance(write, RawIOBase | BufferedIOBase):
            raise TypeError("a frame log is text: open its file in text mode")
        names = (name.encode("ascii") if isinstance(name, str) else name for name in secretFields)
        self._secret = _SECRET.union(name.lower() for name in names)
        self._secrets = secrets
        self._json = format == "json"
        self._file: TextIO | None = None
        self._write: Callable[[str], object] | None = None
        if callable(write):
            self._write = write
        elif write is not None:
            if not hasattr(write, "write"):
                raise TypeError(f"write is a callable or a text file, not {write!r}")
            self._file = write
        self._connections = 0
        self._off = False

    def connected(
        self,
        seconds: Callable[[], float],
        *,
        client: bool,
        encrypted: bool,
        host: IAddress,
        peer: IAddress,
    ) -> ConnectionLog:
        """
        Begin to show a connection that will speak HTTP/2.  Sessions that were given this log call it.

        @param seconds: tells the time.
        @param client: whether this side is the client.
        @param encrypted: whether by TLS.
        @param host: this side's address.
        @param peer: the other's.

        @return: what is to be told of every byte of the connection.
        """
        self._connections += 1
        return ConnectionLog(self, self._connections, seconds, client, encrypted, host, peer)

    def _masked(self, fields: list[tuple[Field, bool]]) -> list[Field]:
        """
        Hide the values that are secret.
        """
        return [
            (name, _MASK if not self._secrets and (never or name.strip().lower() in self._secret) else value)
            for (name, value), never in fields
        ]

    def _show(self, entries: Sequence[Entry]) -> None:
        """
        Write entries.
        """
        lines: list[str] = []
        for entry in entries:
            text = [json.dumps(recordOf(entry))] if self._json else linesOf(entry)
            if self._write is None and self._file is None:
                _framesLog.debug("{text}", text="\n".join(text), frame=recordOf(entry))
            else:
                lines += text
        if self._file is not None:
            self._file.write("".join(f"{line}\n" for line in lines))
            self._file.flush()
        elif self._write is not None:
            for line in lines:
                self._write(line)

    def _fail(self) -> None:
        """
        Say what happened, and no more.
        """
        if not self._off:
            self._off = True
            _log.failure("a frame log failed and is off from here on")


def checkFrameLog(frameLog: object) -> FrameLog | None:
    """
    Check what an application gave as C{frameLog}.

    @raise TypeError: if it is something else.
    """
    if frameLog is None or isinstance(frameLog, FrameLog):
        return frameLog
    raise TypeError(f"frameLog is a FrameLog, not {frameLog!r}")


class ConnectionLog:
    """
    Shows the frames of one connection.
    """

    __slots__ = ("_log", "_number", "_peer", "_received", "_seconds", "_sent")

    def __init__(
        self,
        log: FrameLog,
        number: int,
        seconds: Callable[[], float],
        client: bool,
        encrypted: bool,
        host: IAddress,
        peer: IAddress,
    ) -> None:
        self._log = log
        self._number = number
        self._seconds = seconds
        self._peer = _addressText(peer)
        self._received, self._sent = bothDirections(client)
        self._event(
            "open",
            {
                "role": "client" if client else "server",
                "protocol": "h2" if encrypted else "h2c",
                "host": _addressText(host),
                "peer": self._peer,
            },
        )

    def received(self, data: bytes) -> None:
        """
        Show what arrived.
        """
        self._feed("recv", self._received, data)

    def sent(self, data: bytes) -> None:
        """
        Show what was handed to the transport.
        """
        self._feed("send", self._sent, data)

    def lost(self, reason: str) -> None:
        """
        Show the end of the connection, and what it cut off.
        """
        if self._log._off:
            return
        try:
            self._write("recv", self._received.cut())
            self._write("send", self._sent.cut())
        except Exception:
            self._log._fail()
        self._event("closed", {"reason": reason})

    def _feed(self, event: str, view: FrameView, data: bytes) -> None:
        if self._log._off:
            return
        try:
            self._write(event, view.feed(data))
        except Exception:
            self._log._fail()

    def _write(self, event: str, seen: list[Seen]) -> None:
        if seen:
            log = self._log
            start = (self._seconds(), self._number, self._peer, event)
            log._show(
                [Entry(*start, {}, each, None if each.fields is None else log._masked(each.fields)) for each in seen]
            )

    def _event(self, event: str, facts: dict[str, str]) -> None:
        """
        Show the connection's beginning or end.
        """
        if self._log._off:
            return
        try:
            now = self._seconds()
            if event == "open":
                facts["date"] = dateOf(now)
            self._log._show([Entry(now, self._number, self._peer, event, facts)])
        except Exception:
            self._log._fail()


def _addressText(address: IAddress) -> str:
    """
    Write an address as one would in a URL.
    """
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    if isinstance(address, UNIXAddress):
        name = b"" if address.name is None else address.name
        return f"unix:{name.decode('utf-8', 'backslashreplace')}"
    return str(address)
