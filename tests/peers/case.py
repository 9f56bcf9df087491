"""
The test cases that the peers' modules share: L{DemoCase} has our server for them, L{ClientCase} our client.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any, ClassVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.trial.unittest import TestCase

from tests.peers.programs import MemoryWatch, Program, find, reactor
from txh2session import ClientSession, ConnectFailed, HTTP2Error, clientContextFactory, connect, developmentCertificate

_log = Logger()

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SCRIPTS = os.path.dirname(os.path.abspath(__file__))

MIB = 1024 * 1024
BIG = 100 * MIB + 1
"""
The size of a body whose memory somebody would miss.  The last byte is for Node 20 as a server: at 100 and at 1 MiB it sent
every byte, then RST_STREAM with NO_ERROR and never END_STREAM, which our client rightly takes for a cut body.
"""
FLAT = 32 * MIB
"""How much a process may grow while such a body goes through it: buffers, never the body."""


class PeerCase(TestCase):
    """
    Runs peers, with a certificate made for the test, and ends them.

    @cvar peers: the programs that the tests need.
    """

    timeout = 60
    peers: ClassVar[tuple[str, ...]] = ()

    def setUp(self) -> Any:
        """
        Look for the peers, and make a certificate.
        """
        for name in self.peers:
            find(name)
        self.certificate = developmentCertificate(self.mktemp())

    def start(self, name: str, *arguments: str) -> Program:
        """
        Start a peer, which does not outlive the test.
        """
        program = Program([find(name), *arguments])
        self.addCleanup(program.kill)
        return program

    async def run_(self, name: str, *arguments: str, seconds: float = 30, status: int = 0) -> Program:
        """
        Run a peer to its end.

        @param seconds: how long it may take.
        @param status: the exit status that it should have.
        """
        program = self.start(name, *arguments)
        await program.ends(seconds)
        self.assertEqual(program.status, status, f"{program}:\n{program.said[-4000:]}")
        return program

    def startNode(self, script: str, *arguments: str) -> Program:
        """
        Start Node with one of the scripts beside this file.
        """
        return self.start("node", os.path.join(SCRIPTS, script), *arguments)

    def note(self, what: str) -> None:
        """
        Write a measured figure to the log of the tests.
        """
        _log.info("{test}: {what}", test=self.id(), what=what)

    def watchMemory(self, pid: int) -> MemoryWatch:
        """
        Watch a process's memory until the test is over, or C{stop()}.
        """
        watch = MemoryWatch(pid)
        self.addCleanup(watch.stop)
        return watch

    def assertFlat(self, watch: MemoryWatch, bound: int = FLAT) -> None:
        """
        Check that a process did not grow.
        """
        watch.stop()
        grown = f"grew by {watch.growth / MIB:.1f} MiB from {watch.base / MIB:.1f} MiB"
        self.note(grown)
        self.assertLess(watch.growth, bound, grown)

    def file(self, size: int) -> str:
        """
        Make a file of zeros.

        @return: its path.
        """
        path = self.mktemp()
        with open(path, "wb") as made:
            made.truncate(size)
        return path


class DemoCase(PeerCase):
    """
    Has our demo running, in a process of its own, over TLS and in clear text.

    @cvar scheme: which of the two C{url()} means.
    @cvar options: more options of the demo's.
    @ivar demo: the process.
    """

    scheme = "https"
    options: ClassVar[tuple[str, ...]] = ()

    async def setUp(self) -> None:
        """
        Start the demo, on ports of the kernel's choice.
        """
        super().setUp()
        certificate = ["--certificate", self.certificate.certificatePath]
        key = ["--private-key", self.certificate.privateKeyPath]
        command = [sys.executable, "-m", "twisted", "--log-format", "text", "h2session", "--http", "0", "--https", "0"]
        self.demo = Program(
            [*command, *certificate, *key, "--grace", "5", *self.options], {"PYTHONUNBUFFERED": "1"}, ROOT
        )
        self.addCleanup(self._stopDemo)
        self._ports = {
            scheme: int((await self.demo.says(rf"Serving {scheme}://localhost:([0-9]+)/"))[1])
            for scheme in ("https", "http")
        }
        await self.demo.says("Starting reactor")

    def url(self, path: str, scheme: str | None = None) -> str:
        """
        Make a URL of the demo's.
        """
        scheme = scheme or self.scheme
        return f"{scheme}://localhost:{self._ports[scheme]}{path}"

    async def _stopDemo(self) -> None:
        """
        Stop the demo as an administrator would, and read its log.
        """
        try:
            status = await self.demo.stop()
        finally:
            await self.demo.kill()
        self.assertHealthyLog()
        # C{python -m twisted} dies of the signal when it has cleaned up.
        self.assertIn(status, (0, -signal.SIGTERM), self.demo.said)

    def assertHealthyLog(self) -> None:
        """
        Check that nothing went wrong in the demo so far.
        """
        for bad in ("Traceback", "Unhandled", "#critical]", "#error]"):
            self.assertNotIn(bad, self.demo.said)


class ClientCase(PeerCase):
    """
    Has our client.
    """

    async def connect(self, url: str, **options: Any) -> ClientSession:
        """
        Connect to a server that has the test's certificate.  The session ends with the test.
        """
        if url.startswith("https:"):
            with open(self.certificate.certificatePath, "rb") as file:
                options["contextFactory"] = clientContextFactory(trustRoot=file.read())
        session = await connect(reactor, url, **options)
        self.addCleanup(self._end, session)
        return session

    def failsToConnect(self, url: str) -> Deferred[ConnectFailed]:
        """
        Connect where that is not possible.

        @return: fires with the error.
        """
        failing: Deferred[ConnectFailed] = self.assertFailure(Deferred.fromCoroutine(self.connect(url)), ConnectFailed)
        return failing

    def _end(self, session: ClientSession) -> Deferred[None]:
        session.destroy()
        return session.whenClosed().addErrback(lambda failure: failure.trap(HTTP2Error) and None)


def jsonLines(text: str) -> list[dict[str, Any]]:
    """
    Read what a Node script printed: one JSON object a line.
    """
    return [json.loads(line) for line in text.splitlines()]
