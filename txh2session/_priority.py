"""
The priority of a response (RFC 9218): urgency and whether it is useful in pieces, as the C{priority} field and
PRIORITY_UPDATE frames spell it.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from txh2session._outbound import DEFAULT_URGENCY


class Priority(NamedTuple):
    """
    A priority.

    @ivar urgency: 0 first to 7 last.
    @ivar incremental: whether the response is of use before it is whole, and so shares with others of its urgency.
    """

    urgency: int = DEFAULT_URGENCY
    incremental: bool = False

    @classmethod
    def checked(cls, urgency: int, incremental: bool) -> Priority:
        """
        Make one of what an application gave.

        @raise ValueError: for an urgency that is not a whole number from 0 to 7.
        """
        if isinstance(urgency, bool) or not isinstance(urgency, int) or not 0 <= urgency <= 7:
            raise ValueError(f"an urgency is a whole number from 0 to 7, not {urgency!r}")
        return cls(urgency, bool(incremental))

    @property
    def field(self) -> bytes:
        """
        The value of the C{priority} field (RFC 9218 section 4); what is the default is left out.
        """
        parts = []
        if self.urgency != DEFAULT_URGENCY:
            parts.append(b"u=%d" % self.urgency)
        if self.incremental:
            parts.append(b"i")
        return b", ".join(parts)


# One member of a dictionary (RFC 8941 section 3.2): a key, then a value or none, then parameters nobody defined yet.
_MEMBER: Final = re.compile(
    rb"([a-z*][a-z0-9_.*-]*)"
    rb'(?:=(\?[01]|-?[0-9]+(?:\.[0-9]+)?|"(?:[^"\\]|\\["\\])*"|[A-Za-z*][^\s,;=]*|:[A-Za-z0-9+/=]*:))?'
    rb"(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=[^,;]*)?)*"
)


def parsePriority(value: bytes) -> Priority | None:
    """
    Read the value of a C{priority} field.

    @return: L{None} if it is not a dictionary of RFC 8941: such a field is ignored whole; members of it that are unknown
        or out of range are ignored one by one (RFC 9218 section 4).
    """
    urgency = DEFAULT_URGENCY
    incremental = False
    text = value.strip(b" \t")
    if not text:
        return Priority()
    for member in text.split(b","):
        found = _MEMBER.fullmatch(member.strip(b" \t"))
        if found is None:
            return None
        key, given = found.groups()
        if key == b"u":
            if given is not None and len(given) == 1 and b"0" <= given <= b"7":
                urgency = int(given)
        elif key == b"i" and given in (None, b"?1", b"?0"):
            incremental = given != b"?0"
    return Priority(urgency, incremental)
