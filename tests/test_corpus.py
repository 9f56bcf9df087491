"""
The fuzz targets (C{tests/fuzz}) on their corpus, and for a short while on new inputs.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from subprocess import PIPE, STDOUT, run

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.fuzz.run import CORPUS, runPlain
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, Finding, Input, _Connection

ROOT = Path(__file__).resolve().parent.parent


class CorpusTests(SynchronousTestCase):
    """
    What was found once stays found, and what was reached stays reached.
    """

    def replay(self, name: str) -> None:
        """
        Run a target on all of its corpus.
        """
        inputs = sorted((CORPUS / name).iterdir())
        self.assertGreater(len(inputs), 10)
        for path in inputs:
            try:
                TARGETS[name](path.read_bytes())
            except Exception as error:
                raise AssertionError(f"{path.name}: {error}") from error
        self.flushLoggedErrors()  # the targets look at the log themselves

    def test_raw(self) -> None:
        """
        Bytes.
        """
        self.replay("raw")

    def test_frames(self) -> None:
        """
        Frames.
        """
        self.replay("frames")

    def test_splitter(self) -> None:
        """
        The splitter by itself.
        """
        self.replay("splitter")

    def test_seeds(self) -> None:
        """
        The seeds in the corpus are those that the script makes.
        """
        for target, name, seed in seeds():
            self.assertEqual((CORPUS / target / name).read_bytes(), seed, name)

    def test_seedsSayWhatTheyMean(self) -> None:
        """
        The seeds of frames get where they are meant to: requests reach the application, bodies are read.
        """
        opened = []

        class Kept(_Connection):
            def finish(self) -> None:
                opened.append((self.client, len(self.app.streams)))
                super().finish()

        self.patch(sys.modules["tests.fuzz.targets"], "_Connection", Kept)
        TARGETS["frames"]((CORPUS / "frames" / "echo").read_bytes())
        TARGETS["frames"]((CORPUS / "frames" / "pushed").read_bytes())
        TARGETS["raw"]((CORPUS / "raw" / "client-many").read_bytes())
        self.assertEqual(opened, [(False, 1), (True, 4), (False, 8)])

    def test_findings(self) -> None:
        """
        A target that finds something says so: a splitter that loses a byte does not pass.
        """
        from txh2session._frames import FrameSplitter

        feed = FrameSplitter.feed
        self.patch(FrameSplitter, "feed", lambda self, data: feed(self, data[:-1] if len(data) == 3 else data))
        with self.assertRaises(Finding):
            TARGETS["splitter"](bytes([0, 2]) + bytes(9) * 3)

    def test_input(self) -> None:
        """
        Where an input has ended, zeros are read.
        """
        given = Input(b"\1\2")
        self.assertEqual((given.byte(), given.number(4), given.left, given.byte()), (1, 2, False, 0))


class FuzzTests(SynchronousTestCase):
    """
    New inputs, for a short while.
    """

    times = int(os.environ.get("TXH2SESSION_FUZZ", "1"))

    def test_plain(self) -> None:
        """
        The random mutator, a fixed number of inputs, the same each time.
        """
        for name, runs in (("raw", 300), ("frames", 400), ("splitter", 400)):
            done = runPlain(name, runs * self.times, 0, 1, Path(self.mktemp()).parent)
            self.assertEqual(done, runs * self.times)
        self.flushLoggedErrors()

    def test_guided(self) -> None:
        """
        atheris, a fixed number of inputs.
        """
        if importlib.util.find_spec("atheris") is None:
            raise SkipTest("atheris, of the extra dev, is not installed")
        folder = Path(self.mktemp()).resolve()
        folder.mkdir()
        for name, runs in (("raw", 500), ("frames", 700), ("splitter", 700)):
            command = [sys.executable, "-m", "tests.fuzz.run", name, f"--runs={runs * self.times}", "--seed=1"]
            command += [f"--findings={folder}", f"--grown={folder / name}"]
            done = run(command, cwd=ROOT, stdout=PIPE, stderr=STDOUT, timeout=120 * self.times, check=False)
            self.assertEqual(done.returncode, 0, done.stdout.decode("utf-8", "replace")[-3000:])
