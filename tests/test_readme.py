"""
Tests of C{README.md}: its programs run, its names exist, its commands are the ones that are used.
"""

from __future__ import annotations

import ast
import inspect
import os
import re
import sys
import unittest
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import fields
from io import StringIO
from pathlib import Path
from subprocess import run
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase
from zope.interface import directlyProvides, providedBy

import txh2session
from txh2session import snapshots, testing, web
from txh2session.testing import connectedSessions

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str, text: str = README) -> dict[str, list[str]]:
    """
    Find the fenced blocks of a language, by the title of the section they are in.
    """
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = section.partition("\n")
        for block in re.findall(rf"^```{language}\n(.*?)^```$", body, flags=re.MULTILINE | re.DOTALL):
            found.setdefault(title, []).append(block)
    return found


class OtherPorts:
    """
    A reactor whose ports are any free ones: who listens on a port and who connects to it get the same other one.
    """

    def __init__(self, case: TestCase) -> None:
        self._case = case
        self._ports: dict[int, int] = {}
        self.shutdown: list[Callable[[], Any]] = []
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def _listening(self, port: int, listening: Any) -> Any:
        self._case.addCleanup(listening.stopListening)
        self._ports[port] = listening.getHost().port
        return listening

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See L{IReactorTCP}."""
        return self._listening(port, reactor.listenTCP(0, factory, backlog, interface))

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """See L{IReactorSSL}."""
        return self._listening(port, reactor.listenSSL(0, factory, contextFactory, backlog, interface))

    def connectTCP(self, host: str, port: int, *arguments: Any, **named: Any) -> Any:
        """See L{IReactorTCP}."""
        return reactor.connectTCP(host, self._ports[port], *arguments, **named)

    def addSystemEventTrigger(self, phase: str, event: str, call: Any, *arguments: Any, **named: Any) -> None:
        """See L{IReactorCore}; C{shutdown} collects what would happen."""
        assert (phase, event) == ("before", "shutdown")
        self.shutdown.append(lambda: call(*arguments, **named))


class ProgramTests(TestCase):
    """
    Each Python block of the README is a whole program, which a test runs as a reader would, but on other ports.
    """

    timeout = 60

    def setUp(self) -> None:
        """
        Collect what programs print, and the servers they make; keep the certificates they make apart.
        """
        cache = os.path.abspath(self.mktemp())
        for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
            before = os.environ.get(name)
            os.environ[name] = cache
            self.addCleanup(self._restore, name, before)
        self.reactor = OtherPorts(self)
        self.printed = StringIO()
        self.patch(sys, "stdout", self.printed)
        servers: list[txh2session.Server] = []

        class RememberedServer(txh2session.Server):
            """
            A server that a test can close after the program that made it has forgotten it.
            """

            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                servers.append(self)

        self.servers = servers
        self.patch(txh2session, "Server", RememberedServer)

    def _restore(self, name: str, before: str | None) -> None:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before

    def load(self, title: str) -> dict[str, Any]:
        """
        Run the block of a section as a module would be imported.
        """
        (block,) = blocks("python")[title]
        self.assertRegex(block, r'\n\n\nif __name__ == "__main__":\n    task\.react\(main\)\n\Z')
        names: dict[str, Any] = {"__name__": "readme"}
        exec(compile(block, f"README.md, {title}", "exec"), names)
        return names

    def main(self, title: str) -> Coroutine[Any, Any, None]:
        """
        Load a program and call its C{main}.
        """
        started: Coroutine[Any, Any, None] = self.load(title)["main"](self.reactor)
        return started

    def start(self, title: str) -> Deferred[None]:
        """
        Run a program that serves until it is stopped.
        """
        running = Deferred.fromCoroutine(self.main(title))
        if running.called:
            self.failureResultOf(running).raiseException()
        running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return running

    async def stop(self, running: Deferred[None]) -> None:
        """
        Stop a program that serves.
        """
        for server in self.servers:
            await server.close()
        running.cancel()
        await running

    async def test_serverAndClient(self) -> None:
        """
        The client gets the answers of the server.
        """
        serving = self.start("A server")
        await self.main("A client")
        lines = self.printed.getvalue().splitlines()
        expected = [f"200 text/plain b'you asked for /{number}\\n'" for number in range(3)]
        self.assertEqual(lines[:-1], expected)
        self.assertRegex(lines[-1], r"^round trip: [\d.e-]+ seconds$")
        await self.stop(serving)

    async def test_site(self) -> None:
        """
        The site answers by HTTP/2.
        """
        servers = self.servers

        class RememberedSite(web.SiteServer):
            """
            The same for a server of a site.
            """

            def __init__(self, *arguments: Any, **named: Any) -> None:
                super().__init__(*arguments, **named)
                servers.append(self)

        self.patch(web, "SiteServer", RememberedSite)
        serving = self.start("A twisted.web site")
        trust = txh2session.clientContextFactory(trustRoot=txh2session.developmentCertificate().certificatePath)
        session = await txh2session.connect(self.reactor, "https://localhost:8443", contextFactory=trust)
        self.assertEqual(await session.request().read(), b"asked by HTTP/2\n")
        await session.close()
        await self.stop(serving)

    async def test_stop(self) -> None:
        """
        A request that is under way when the reactor stops is answered to its end.
        """
        serving = self.start("Stop without losing a request")
        session = await txh2session.connect(self.reactor, "http://localhost:8080")
        stream = session.request()
        await session.ping()
        (shutdown,) = self.reactor.shutdown
        closed = shutdown()
        self.assertFalse(closed.called)
        self.assertEqual(await stream.read(), b"slow, and whole\n")
        await closed
        await session.whenClosed()
        await self.stop(serving)

    async def test_streaming(self) -> None:
        """
        What is uploaded comes back, and trailers after it.
        """
        await self.main("Stream both ways")
        self.assertEqual(self.printed.getvalue(), "b'HALF A SENTENCE'\n<Headers x-mood: loud>\n")

    async def test_agent(self) -> None:
        """
        The agent's requests share a session.
        """
        await self.main("An agent, for treq and all that takes one")
        lines = self.printed.getvalue().splitlines()
        self.assertEqual(lines[:-1], [f"(b'HTTP', 2, 0) 200 b'/{number}'" for number in range(3)])
        self.assertRegex(lines[-1], r"^OriginSnapshot\(sessions=1, .*waiting=0\)$")

    async def test_webSockets(self) -> None:
        """
        A message comes back, and so does a ping.
        """
        await self.main("WebSockets")
        first, second = self.printed.getvalue().splitlines()
        self.assertEqual(first, "over HTTP/2")
        self.assertRegex(second, r"^round trip: [\d.e-]+ seconds$")

    async def test_errors(self) -> None:
        """
        Errors say what happened, who did it and whether to try again.
        """
        await self.main("When things go wrong")
        lines = self.printed.getvalue().splitlines()
        self.assertEqual(
            lines[:-1],
            [
                "/busy REFUSED_STREAM by PEER",
                "the server did not work on it: safe to send again",
                "/half ENHANCE_YOUR_CALM by PEER",
                "nobody can know whether the server worked on it",
            ],
        )
        self.assertRegex(lines[-1], r"^tcp failed: .*[Rr]efused")

    async def test_frames(self) -> None:
        """
        The frame log has the lines that are shown, in their order.
        """

        def lines(text: str) -> list[str]:
            found = [re.sub(r"\A[0-9:.]+Z ", "", line) for line in text.splitlines()]
            return [re.sub(r"(:|HEADERS stream=1 length=|date=)[0-9-]+\b", r"\1", line) for line in found]

        await self.main("See the frames")
        (shown,) = blocks("text")["See the frames"]
        printed = iter(lines(self.printed.getvalue()))
        for line in lines(shown):
            self.assertIn(line, printed)  # goes on from where it found the last

    def test_testing(self) -> None:
        """
        The example of a test passes.
        """
        (block,) = blocks("python")["Test your own code"]
        names: dict[str, Any] = {"__name__": "readme"}
        exec(compile(block, "README.md, Test your own code", "exec"), names)
        result = unittest.TestResult()
        unittest.defaultTestLoader.loadTestsFromTestCase(names["AnswerTests"]).run(result)
        self.assertEqual((result.testsRun, result.errors, result.failures), (1, [], []))

    def test_everyBlock(self) -> None:
        """
        There is no Python in the README that no test here runs.
        """
        run = {"A server", "A client", "Stop without losing a request", "Stream both ways", "WebSockets"}
        run |= {"When things go wrong", "A twisted.web site", "An agent, for treq and all that takes one"}
        found = blocks("python")
        self.assertEqual(set(found), run | {"See the frames", "Test your own code"})
        self.assertEqual([title for title, each in found.items() if len(each) > 1], [])


class CommandTests(SynchronousTestCase):
    """
    The two commands that do everything.
    """

    def commands(self) -> list[str]:
        """
        Find the commands of the README.
        """
        return blocks("sh")["Try it, test it"]

    def test_commands(self) -> None:
        """
        There are two, each of one line and for a machine with Python only: to serve, and to test.
        """
        serve, test = self.commands()
        for each in (serve, test):
            self.assertTrue(each.startswith("python3 -m venv .venv && .venv/bin/pip install "), each)
            self.assertEqual(each.count("\n"), 1)
        self.assertTrue(serve.endswith(" && .venv/bin/twistd -n h2session\n"))
        self.assertTrue(test.endswith(" && .venv/bin/trial tests\n"))

    def test_continuousIntegration(self) -> None:
        """
        C{.ci/run} takes the second command out of the README.
        """
        if os.name != "posix":
            raise SkipTest("C{.ci/run} needs bash")
        shown = run(["bash", str(ROOT / ".ci" / "run"), "--show"], capture_output=True, text=True, timeout=60)
        self.assertEqual((shown.returncode, shown.stdout, shown.stderr), (0, self.commands()[1], ""))
        self.assertNotIn("trial tests", (ROOT / ".ci" / "run").read_text().replace("trial tests$", ""))


class NamesTests(SynchronousTestCase):
    """
    The right column of "In Node you write, here you write".
    """

    def setUp(self) -> None:
        """
        Make one of everything the table speaks of.
        """
        streams: list[txh2session.ServerStream] = []
        sessions = connectedSessions(lambda stream, headers: streams.append(stream))
        requested = sessions.client.request({":method": "POST"})
        sessions.pump()
        requested.addListener(txh2session.StreamListener())
        self.known: dict[str, list[Any]] = {
            "session": [sessions.client, sessions.serverSession],
            "stream": [requested, streams[0]],
            "server": [sessions.server],
            "headers": [streams[0].headers],
        }
        for module in (txh2session, snapshots, testing, web):
            for name, value in vars(module).items():
                if inspect.isclass(value) or inspect.isfunction(value):
                    self.known.setdefault(name, [value])
        self.addCleanup(sessions.client.destroy)

    def rows(self) -> Iterator[tuple[str, list[str]]]:
        """
        Find the rows of the table: the left cell, and the code in the right one.
        """
        section = README.partition("## In Node you write, here you write")[2].partition("\n## ")[0]
        for line in section.splitlines():
            if line.startswith("| `"):
                _, left, right, _ = line.split("|")
                yield left, re.findall(r"`([^`]+)`", right)

    def check(self, code: str) -> int:
        """
        Check every name in a piece of code.

        @return: how many names of this package there are in it.
        """
        tree = ast.parse(f"async def example():\n {code}{': pass' if code.startswith('async for') else ''}")
        found = 0
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                assert isinstance(node.value, ast.Name), code
                self.assertIn(node.value.id, self.known, code)
                owners = self.known[node.value.id]
                self.assertTrue(any(hasattr(owner, node.attr) for owner in owners), f"no {node.attr} in {code}")
            elif isinstance(node, ast.Name) and node.id in self.known:
                found += 1
            elif isinstance(node, ast.Call):
                self.checkCall(node, code)
        return found

    def checkCall(self, node: ast.Call, code: str) -> None:
        """
        Check that arguments given by name have names that exist, and that the others are not too many.
        """
        function = node.func
        if isinstance(function, ast.Name):
            called = self.known[function.id][0]
        else:
            assert isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name)
            owners = self.known[function.value.id]
            called = next(getattr(owner, function.attr) for owner in owners if hasattr(owner, function.attr))
        names = {str(keyword.arg) for keyword in node.keywords}
        signature = inspect.signature(called)
        if any(each.kind is each.VAR_KEYWORD for each in signature.parameters.values()):
            self.assertLessEqual(names, {field.name for field in fields(txh2session.Settings)}, code)
        else:
            try:
                signature.bind(*node.args, **dict.fromkeys(names))
            except TypeError as error:
                self.fail(f"{code}: {error}")

    def test_names(self) -> None:
        """
        Whatever the table says one writes here exists, down to the names of arguments.
        """
        rows = list(self.rows())
        self.assertGreater(len(rows), 30)
        for left, right in rows:
            found = sum(self.check(code) for code in right)
            self.assertTrue(found or not right, f"nothing of this package for {left}")

    def test_links(self) -> None:
        """
        The README links only to files that are there.
        """
        linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
        self.assertTrue(linked)
        self.assertEqual([each for each in linked if not (ROOT / each).exists()], [])
