"""
L{txh2session.constants}.
"""

from __future__ import annotations

from hyperframe import frame
from twisted.trial.unittest import SynchronousTestCase

from txh2session import FrameFlag, FrameType, SettingID, Settings, packSettings


class NumberTests(SynchronousTestCase):
    """
    The numbers of HTTP/2.
    """

    def test_frameTypes(self) -> None:
        """
        Each type of frame has the number that hyperframe knows it by, and RFC 8336 and RFC 9218 have theirs.
        """
        theirs = {
            "Data": FrameType.DATA,
            "Headers": FrameType.HEADERS,
            "Priority": FrameType.PRIORITY,
            "RstStream": FrameType.RST_STREAM,
            "Settings": FrameType.SETTINGS,
            "PushPromise": FrameType.PUSH_PROMISE,
            "Ping": FrameType.PING,
            "GoAway": FrameType.GOAWAY,
            "WindowUpdate": FrameType.WINDOW_UPDATE,
            "Continuation": FrameType.CONTINUATION,
            "AltSvc": FrameType.ALTSVC,
        }
        for name, number in theirs.items():
            self.assertEqual(getattr(frame, f"{name}Frame").type, number)
        self.assertEqual(set(FrameType) - set(theirs.values()), {FrameType.ORIGIN, FrameType.PRIORITY_UPDATE})
        self.assertEqual((FrameType.ORIGIN, FrameType.PRIORITY_UPDATE), (12, 16))

    def test_flags(self) -> None:
        """
        Each flag has the bit that hyperframe knows it by.
        """
        theirs = {
            each.name.replace("-", "_"): each.bit
            for each in (*frame.HeadersFrame.defined_flags, *frame.PingFrame.defined_flags)
        }
        self.assertEqual({name: flag.value for name, flag in FrameFlag.__members__.items() if flag}, theirs)
        self.assertEqual(FrameFlag.NONE, 0)
        self.assertEqual(FrameFlag(0x5), FrameFlag.END_STREAM | FrameFlag.END_HEADERS)

    def test_settings(self) -> None:
        """
        Each identifier is the one its field of L{Settings} goes over the wire with.
        """
        changes = {
            SettingID.HEADER_TABLE_SIZE: {"headerTableSize": 70},
            SettingID.ENABLE_PUSH: {"enablePush": True},
            SettingID.MAX_CONCURRENT_STREAMS: {"maxConcurrentStreams": 70},
            SettingID.INITIAL_WINDOW_SIZE: {"initialWindowSize": 70},
            SettingID.MAX_FRAME_SIZE: {"maxFrameSize": 17000},
            SettingID.MAX_HEADER_LIST_SIZE: {"maxHeaderListSize": 70},
            SettingID.ENABLE_CONNECT_PROTOCOL: {"enableConnectProtocol": True},
            SettingID.NO_RFC7540_PRIORITIES: {"noRFC7540Priorities": True},
        }
        self.assertEqual(set(changes), set(SettingID))
        for identifier, change in changes.items():
            self.assertEqual(packSettings(**change)[:2], identifier.to_bytes(2, "big"))
        self.assertEqual(
            {*(name for change in changes.values() for name in change), "customSettings"}, set(vars(Settings()))
        )
