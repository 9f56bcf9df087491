"""
The light part of C{benchmarks/attacks.py}: what counts frames and bytes, and not the time, which a busy machine spoils.
"""

from __future__ import annotations

import os
import sys

from twisted.trial.unittest import TestCase

from tests.peers.case import ROOT, jsonLines
from tests.peers.programs import Program

FLOODS = (
    "rapidReset windowOfZero windowOverflow dataAfterTheEnd malformedRequests tinyFields tinyFieldsOnAResetStream ping "
    "settings priority unknownFrames windowUpdates emptyData continuation largeContinuation tooManyStreams"
)
SIZES = "earlyRequests headerBomb headersTooLong settingsEntries overlongFrames malformedBesideADownload"
HELD = "downloadsWindowShut socketNotRead uploadsUnread"


class AttackTests(TestCase):
    """
    Attacks the demo from a process of its own.
    """

    timeout = 120

    async def attack(self, names: str, *options: str) -> None:
        """
        Run attacks, and check everything that was looked at but times.
        """
        if not os.path.isdir("/proc/self"):
            self.skipTest("this reads /proc")
        script = os.path.join(ROOT, "benchmarks", "attacks.py")
        program = Program([sys.executable, script, "--json", *options, *names.split()], {"PYTHONPATH": ROOT}, ROOT)
        self.addCleanup(program.kill)
        await program.ends(100)
        rows = jsonLines(program.output)
        self.assertEqual({row["attack"] for row in rows}, set(names.split()), program.said[-4000:])
        self.assertEqual([row for row in rows if not (row["ok"] or row["timed"])], [], program.errors[-4000:])

    async def test_floods(self) -> None:
        """
        Each flood ends with GOAWAY and its connection with it; neighbours see no error, and the log shows none.
        """
        await self.attack(FLOODS)

    async def test_sizes(self) -> None:
        """
        What is too large or too much is refused, and what is honest beside it lives.
        """
        await self.attack(SIZES, "--clear")

    async def test_held(self) -> None:
        """
        Peers that take nothing, or send what nobody reads, find little held for them.
        """
        await self.attack(HELD, "--clear")
