"""
L{txh2session.settings}.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txh2session import packSettings, unpackSettings
from txh2session.errors import ErrorCode, InvalidSetting
from txh2session.settings import (
    Limits,
    Rate,
    SettingFault,
    Settings,
    Timeouts,
    applyReceived,
    checkSeconds,
    packEntries,
    unpackEntries,
)

RANGES = {
    "headerTableSize": (1, 0, 2**32 - 1),
    "maxConcurrentStreams": (3, 0, 2**32 - 1),
    "initialWindowSize": (4, 0, 2**31 - 1),
    "maxFrameSize": (5, 2**14, 2**24 - 1),
    "maxHeaderListSize": (6, 0, 2**32 - 1),
}
BOOLEANS = {"enablePush": 2, "enableConnectProtocol": 8, "noRFC7540Priorities": 9}

anySettings = st.builds(
    Settings,
    **{name: st.integers(low, high) for name, (_, low, high) in RANGES.items()},
    **dict.fromkeys(BOOLEANS, st.booleans()),
    customSettings=st.dictionaries(st.integers(0x10, 0xFFFF), st.integers(0, 2**32 - 1), max_size=16),
)


def make(**values: Any) -> Settings:
    """
    Make settings of values whose types are under test.
    """
    return Settings(**values)


class SettingsTests(SynchronousTestCase):
    """
    L{Settings}.
    """

    def test_ranges(self) -> None:
        """
        A number is taken from the least to the greatest value the RFCs allow, and refused beyond.
        """
        for name, (_, low, high) in RANGES.items():
            for good in (low, high):
                self.assertEqual(getattr(make(**{name: good}), name), good)
            for wrong in (low - 1, high + 1):
                error = self.assertRaises(InvalidSetting, make, **{name: wrong})
                for said in (name, str(wrong), str(low), str(high)):
                    self.assertIn(said, str(error))

    def test_types(self) -> None:
        """
        Numbers are integers, not text or booleans; booleans are booleans, not numbers.
        """
        for name in RANGES:
            for wrong in ("20000", 20000.0, True, None):
                self.assertIn(name, str(self.assertRaises(InvalidSetting, make, **{name: wrong})))
        for name in BOOLEANS:
            for wrong in (0, 1, "true", None):
                self.assertIn(name, str(self.assertRaises(InvalidSetting, make, **{name: wrong})))

    def test_custom(self) -> None:
        """
        Custom settings have an identifier of 16 bits that is not 0 and not known, and a value of 32 bits; there are 16 at
        most.
        """
        good = {0x10: 0, 0xFFFF: 2**32 - 1}
        self.assertEqual(dict(Settings(customSettings=good).customSettings), good)
        for wrong in ({0: 1}, {0x10000: 1}, {-1: 1}, {0x10: -1}, {0x10: 2**32}, {"a": 1}, {0x10: "1"}, {0x10: True}):
            self.assertRaises(InvalidSetting, make, customSettings=wrong)
        for known in (*(each[0] for each in RANGES.values()), *BOOLEANS.values()):
            self.assertRaises(InvalidSetting, Settings, customSettings={known: 1})
        self.assertRaises(InvalidSetting, Settings, customSettings=dict.fromkeys(range(0x10, 0x21), 1))
        for wrong in (None, [(0x10, 1)], 5):
            self.assertRaises(InvalidSetting, make, customSettings=wrong)

    def test_frozen(self) -> None:
        """
        Settings cannot be changed, nor can their custom ones, also not through the mapping they were made of.
        """
        custom = {0x10: 1}
        settings = Settings(customSettings=custom)
        custom[0x11] = 2
        self.assertEqual(settings.customSettings, {0x10: 1})
        with self.assertRaises(dataclasses.FrozenInstanceError):
            settings.maxFrameSize = 20000  # type: ignore[misc]
        with self.assertRaises(TypeError):
            settings.customSettings[0x11] = 2  # type: ignore[index]

    def test_equality(self) -> None:
        """
        Equal settings are equal and have the same hash.
        """
        one, two = (Settings(customSettings={0x10: 1}) for _ in range(2))
        self.assertEqual(one, two)
        self.assertEqual(len({one, two}), 1)
        self.assertNotEqual(one, Settings())

    def test_changed(self) -> None:
        """
        A changed copy is checked as well, and unknown names are refused.
        """
        settings = Settings()
        self.assertEqual(settings.changed(maxFrameSize=20000), Settings(maxFrameSize=20000))
        self.assertEqual(settings, Settings())
        error = self.assertRaises(InvalidSetting, settings.changed, maxHeaderSize=1, nonsense=2)
        self.assertIn("maxHeaderSize", str(error))
        self.assertIn("nonsense", str(error))
        self.assertRaises(InvalidSetting, settings.changed, maxFrameSize=1)

    def test_initial(self) -> None:
        """
        What a side has before any frame is what the RFCs say, so that it has nothing to say itself.
        """
        initial = Settings.initial()
        self.assertEqual(initial.entries(), [])
        self.assertEqual(
            (initial.headerTableSize, initial.initialWindowSize, initial.maxFrameSize), (4096, 65535, 16384)
        )
        self.assertEqual((initial.maxConcurrentStreams, initial.maxHeaderListSize), (2**32 - 1, 2**32 - 1))
        self.assertTrue(initial.enablePush)
        self.assertFalse(initial.enableConnectProtocol or initial.noRFC7540Priorities)

    def test_entries(self) -> None:
        """
        A frame says what differs, ascending by identifier.
        """
        self.assertEqual(Settings().entries(), [(2, 0), (3, 100), (4, 262144), (6, 65536), (9, 1)])
        changed = Settings(customSettings={0x20: 1, 0x10: 2}, maxFrameSize=20000)
        self.assertEqual(changed.entries(since=Settings()), [(5, 20000), (0x10, 2), (0x20, 1)])
        self.assertEqual(changed.entries(since=changed), [])
        self.assertEqual(changed.changed(customSettings={0x10: 3}).entries(since=changed), [(0x10, 3)])

    @given(anySettings, anySettings)
    def test_roundTrip(self, before: Settings, after: Settings) -> None:
        """
        What one side announces the other ends up with, whatever they had before, as far as it can be announced.
        """
        if before.enableConnectProtocol:
            after = after.changed(enableConnectProtocol=True)
        after = after.changed(customSettings=dict(list({**before.customSettings, **after.customSettings}.items())[:16]))
        payload = packEntries(after.entries(since=before))
        self.assertEqual(len(payload) % 6, 0)
        self.assertEqual(applyReceived(before, unpackEntries(payload)), after)


class ReceivedTests(SynchronousTestCase):
    """
    L{applyReceived}.
    """

    initial = Settings.initial()

    def fault(self, *entries: tuple[int, int], before: Settings = initial) -> ErrorCode:
        """
        Get the code of a connection error.
        """
        fault: SettingFault = self.assertRaises(SettingFault, applyReceived, before, entries)
        return fault.code

    def test_faults(self) -> None:
        """
        A value out of range is a connection error with the code its RFC names.
        """
        self.assertEqual(self.fault((4, 2**31)), ErrorCode.FLOW_CONTROL_ERROR)
        for entry in ((2, 2), (5, 2**14 - 1), (5, 2**24), (8, 2), (9, 2)):
            self.assertEqual(self.fault(entry), ErrorCode.PROTOCOL_ERROR)

    def test_connectProtocolStays(self) -> None:
        """
        Extended CONNECT cannot be taken back, in another frame or in the same one (RFC 8441 section 3).
        """
        announced = applyReceived(self.initial, [(8, 0), (8, 1), (8, 1)])
        self.assertTrue(announced.enableConnectProtocol)
        self.assertEqual(self.fault((8, 0), before=announced), ErrorCode.PROTOCOL_ERROR)
        self.assertEqual(self.fault((8, 1), (8, 0)), ErrorCode.PROTOCOL_ERROR)
        self.assertEqual(self.fault((8, 1), (8, 0), (8, 1)), ErrorCode.PROTOCOL_ERROR)

    def test_lastWins(self) -> None:
        """
        Entries count in their order.
        """
        after = applyReceived(self.initial, [(3, 1), (0x10, 1), (3, 2), (0x10, 2), (2, 0)])
        self.assertEqual((after.maxConcurrentStreams, after.enablePush), (2, False))
        self.assertEqual(after.customSettings, {0x10: 2})
        self.assertIs(type(after.enablePush), bool)

    def test_unknown(self) -> None:
        """
        Unknown settings are kept up to a bound, those known already can still change, and identifier 0 is nothing.
        """
        after = applyReceived(self.initial, [(0, 5), *((identifier, 1) for identifier in range(0x10, 0x1000))])
        self.assertEqual(list(after.customSettings), list(range(0x10, 0x20)))
        again = applyReceived(after, [(0x10, 7), (0x2000, 7), (0, 7)])
        self.assertEqual(dict(again.customSettings), {**after.customSettings, 0x10: 7})

    @given(st.lists(st.tuples(st.integers(0, 0xFFFF), st.integers(0, 2**32 - 1)), max_size=40))
    def test_anything(self, entries: list[tuple[int, int]]) -> None:
        """
        Any entries are settings or a fault, and never anything else.
        """
        try:
            applyReceived(self.initial, unpackEntries(packEntries(entries)))
        except SettingFault:
            pass


class LimitsTests(SynchronousTestCase):
    """
    L{Limits}.
    """

    def test_numbers(self) -> None:
        """
        Every number is a positive integer; some may be 0.
        """
        for each in dataclasses.fields(Limits):
            if isinstance(each.default, Rate):
                continue
            changes: dict[str, Any] = {each.name: "1"}
            self.assertIn(each.name, str(self.assertRaises(InvalidSetting, Limits, **changes)))
            for wrong in (-1, 1.5, True, None, 2**31):
                changes[each.name] = wrong
                self.assertIn(each.name, str(self.assertRaises(InvalidSetting, Limits, **changes)))
            changes[each.name] = 0
            if each.name in ("continuationFrames", "encoderTableSize", "sendLowWater"):
                Limits(**changes)
            else:
                self.assertRaises(InvalidSetting, Limits, **changes)

    def test_rates(self) -> None:
        """
        Every rate is a L{Rate} of at least one at once and a finite number of more each second.
        """
        wrong: list[Any] = [5, (5, 1), None, Rate(0, 1), Rate(1, -1), Rate(1, float("inf")), Rate(1, float("nan"))]
        wrong += [Rate("5", 1), Rate(5, "1"), Rate(True, 1), Rate(1.5, 1), Rate(5, None)]  # type: ignore[arg-type]
        for rate in wrong:
            self.assertIn("resets", str(self.assertRaises(InvalidSetting, Limits, resets=rate)))
            self.assertIn("controlFrames", str(self.assertRaises(InvalidSetting, Limits, controlFrames=rate)))
        self.assertEqual(Limits(resets=Rate(1, 0)).resets, (1, 0))

    def test_together(self) -> None:
        """
        The low-water mark is below the high one, and the connection window not below the one RFC 9113 starts with.
        """
        self.assertRaises(InvalidSetting, Limits, sendLowWater=100, sendHighWater=100)
        self.assertRaises(InvalidSetting, Limits, sendHighWater=100)
        self.assertRaises(InvalidSetting, Limits, connectionWindow=65534)
        Limits(sendLowWater=99, sendHighWater=100, connectionWindow=65535)


class TimeoutsTests(SynchronousTestCase):
    """
    L{Timeouts} and L{checkSeconds}.
    """

    def test_every(self) -> None:
        """
        Every timeout is a number of seconds; 0 is one, and only C{idle} may be L{None}.
        """
        for each in dataclasses.fields(Timeouts):
            if each.name == "keepalive":
                continue  # not a number: test_watch has it
            for good in (0, 1, 0.5):
                changes: dict[str, Any] = {each.name: good}
                self.assertEqual(getattr(Timeouts(**changes), each.name), good)
            for wrong in (-1, float("inf"), float("nan"), "1", True, 10**400):
                changes = {each.name: wrong}
                self.assertIn(each.name, str(self.assertRaises(InvalidSetting, Timeouts, **changes)))
            if each.name != "idle":
                self.assertRaises(InvalidSetting, Timeouts, **{each.name: None})
        self.assertIsNone(Timeouts(idle=None).idle)

    def test_checkSeconds(self) -> None:
        """
        A duration comes back as a float.
        """
        self.assertIs(type(checkSeconds("x", 5)), float)
        self.assertEqual(checkSeconds("x", 5), 5.0)
        self.assertIn("x is", str(self.assertRaises(InvalidSetting, checkSeconds, "x", -1)))


class PackedTests(SynchronousTestCase):
    """
    L{packSettings} and L{unpackSettings}.
    """

    def test_pack(self) -> None:
        """
        Only what is given is written, ascending; nothing for nothing (1.7).
        """
        self.assertEqual(packSettings(), b"")
        self.assertEqual(packSettings(enablePush=False).hex(), "000200000000")
        packed = packSettings(maxFrameSize=16384, headerTableSize=1, customSettings={0x99: 5})
        self.assertEqual(packed.hex(), "000100000001000500004000009900000005")
        for changes in ({"nonsense": 1}, {"maxFrameSize": 1}, {"enablePush": 0}):
            with self.assertRaises(InvalidSetting):
                packSettings(**changes)

    def test_unpack(self) -> None:
        """
        What was written is read again; values are checked where that is asked for (1.8).
        """
        given = {"enablePush": True, "initialWindowSize": 70000, "customSettings": {0x99: 5}}
        self.assertEqual(unpackSettings(packSettings(**given)), given)
        self.assertEqual(unpackSettings(b""), {})
        wrong = bytes.fromhex("000500000001")
        self.assertEqual(unpackSettings(wrong), {"maxFrameSize": 1})
        with self.assertRaises(InvalidSetting):
            unpackSettings(wrong, validate=True)
        with self.assertRaises(InvalidSetting):
            unpackSettings(b"12345")
        with self.assertRaises(TypeError):
            unpackSettings("text")  # type: ignore[arg-type]
