"""
The numbers of HTTP/2 by name: types of frames, their flags, identifiers of settings.  Error codes are
L{ErrorCode<txh2session.ErrorCode>}.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag


class FrameType(IntEnum):
    """
    Types of frames (RFC 9113 section 6, RFC 7838 section 4, RFC 8336 section 2, RFC 9218 section 7.1).
    """

    DATA = 0x0
    HEADERS = 0x1
    PRIORITY = 0x2
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PUSH_PROMISE = 0x5
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8
    CONTINUATION = 0x9
    ALTSVC = 0xA
    ORIGIN = 0xC
    PRIORITY_UPDATE = 0x10


class FrameFlag(IntFlag):
    """
    Flags of frames (RFC 9113 section 6; Node's reference 13.5).  ACK, on SETTINGS and PING, has the number of END_STREAM,
    which is on DATA and HEADERS.
    """

    NONE = 0x0
    END_STREAM = 0x1
    ACK = 0x1
    END_HEADERS = 0x4
    PADDED = 0x8
    PRIORITY = 0x20


class PaddingStrategy(IntEnum):
    """
    How much padding frames are sent with, so that their length says less of what is in them (RFC 9113 section 10.7; Node's
    reference 11.28).
    """

    NONE = 0
    """None."""
    ALIGNED = 1
    """As much as makes the frame, with its nine bytes of head, a multiple of eight bytes long."""
    MAX = 2
    """As much as there can be: 255 bytes and the one that says so."""


class SettingID(IntEnum):
    """
    Identifiers of settings (RFC 9113 section 6.5.2, RFC 8441 section 3, RFC 9218 section 2.1): those that have a field in
    L{Settings<txh2session.Settings>}.
    """

    HEADER_TABLE_SIZE = 0x1
    ENABLE_PUSH = 0x2
    MAX_CONCURRENT_STREAMS = 0x3
    INITIAL_WINDOW_SIZE = 0x4
    MAX_FRAME_SIZE = 0x5
    MAX_HEADER_LIST_SIZE = 0x6
    ENABLE_CONNECT_PROTOCOL = 0x8
    NO_RFC7540_PRIORITIES = 0x9
