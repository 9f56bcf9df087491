"""
Tests of C{examples/}: each program runs as a process, and what it prints is compared.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from contextlib import closing
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen, run
from threading import Timer
from urllib.request import urlopen

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
SECONDS = 60
"""How long any of the programs may take; they need one or two."""

TUTORIALS = ("tutorial_respond_then_close.py", "tutorial_destroy_in_handler.py")
"""The programs whose port is fixed: 8000."""


class Program:
    """
    A program that runs beside a test.
    """

    def __init__(self, case: SynchronousTestCase, arguments: list[str], environment: dict[str, str]) -> None:
        self._process = Popen(arguments, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment, text=True)
        self._deadline = Timer(SECONDS, self._process.kill)
        self._deadline.daemon = True
        self._deadline.start()
        case.addCleanup(self._clear)

    def _clear(self) -> None:
        self._deadline.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()

    def line(self) -> str:
        """
        Read the next line it prints; C{""} at the end.
        """
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def lineWith(self, pattern: str) -> re.Match[str]:
        """
        Read lines until one matches.
        """
        seen = []
        while line := self.line():
            seen.append(line)
            found = re.search(pattern, line)
            if found is not None:
                return found
        raise AssertionError(f"no line with {pattern} in:\n{''.join(seen)}")

    def terminate(self) -> None:
        """
        Send SIGTERM.
        """
        self._process.send_signal(signal.SIGTERM)

    def rest(self) -> tuple[int, str, str]:
        """
        Wait for its end.

        @return: its exit status, and what else it wrote to stdout and stderr.
        """
        out, err = self._process.communicate()
        return self._process.returncode, out, err


class ExampleTestCase(SynchronousTestCase):
    """
    Runs examples in an environment of their own.
    """

    def setUp(self) -> None:
        """
        Keep the certificates that examples make away from the user's.
        """
        cache = os.path.abspath(self.mktemp())
        self.environment = {**os.environ, "XDG_CACHE_HOME": cache, "LOCALAPPDATA": cache, "PYTHONUNBUFFERED": "1"}
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))

    def start(self, name: str, *arguments: str) -> Program:
        """
        Start an example beside the test.
        """
        return Program(self, [sys.executable, str(EXAMPLES / name), *arguments], self.environment)

    def runToEnd(self, name: str, *arguments: str) -> CompletedProcess[str]:
        """
        Run an example to its end.
        """
        return run(
            [sys.executable, str(EXAMPLES / name), *arguments],
            capture_output=True,
            stdin=PIPE,
            env=self.environment,
            text=True,
            timeout=SECONDS,
        )

    def succeed(self, name: str, *arguments: str) -> list[str]:
        """
        Run an example that leaves with status 0 and has nothing to complain about.

        @return: the lines it printed.
        """
        ended = self.runToEnd(name, *arguments)
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        return ended.stdout.splitlines()


class TutorialTests(ExampleTestCase):
    """
    The two programs that have server and client in one process.
    """

    def setUp(self) -> None:
        """
        See that the programs' port is free.
        """
        super().setUp()
        with closing(socket.socket()) as probe:
            if os.name == "posix":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", 8000))
            except OSError as error:
                self.fail(f"port 8000 of 127.0.0.1, which {' and '.join(TUTORIALS)} serve on, is not free: {error}")

    def test_respondThenClose(self) -> None:
        """
        A server that answers and closes itself is gone after its client, and its last session is destroyed after that.
        """
        printed = self.succeed(TUTORIALS[0])
        if "Received: hello session protocol : h2c" in printed:
            received = ["Received: hello session protocol : h2c"]  # the chunks travelled together
        else:
            received = ["Received: hello ", "Received: session protocol : h2c"]
        self.assertEqual(
            printed,
            ["status : 200", *received, "client destroyed", "server destroyed", "session is destroyed"],
        )

    def test_destroyInHandler(self) -> None:
        """
        A session that is destroyed inside a handler ends its client's body with an error that says so.
        """
        printed = self.succeed(TUTORIALS[1])
        client = [line for line in printed if line.startswith("no body: ")]
        self.assertEqual(len(client), 1, printed)
        self.assertRegex(client[0], r"^no body: the session .* while stream 1 was open, CANCEL \(8\)$")
        self.assertEqual([line for line in printed if line not in client], ["session is closed", "server destroyed"])

    def test_again(self) -> None:
        """
        The programs leave nothing behind that keeps them from running again at once.
        """
        for name in (*TUTORIALS, *TUTORIALS):
            self.succeed(name)


class SmallExampleTests(ExampleTestCase):
    """
    The small examples, each against another or against the demonstration server.
    """

    def test_serverAndClient(self) -> None:
        """
        The client prints the server's answer over TLS, verified by the certificate the server names.
        """
        server = self.start("server.py", "0")
        url, certificate = server.lineWith(r"^(https://localhost:\d+) with the certificate (.*)$").groups()
        printed = self.succeed("client.py", f"{url}/a%20b?c=d#e", certificate)
        self.assertIn(":status: 200", printed)
        self.assertEqual(printed[-1], "GET /a%20b?c=d over h2")
        self.assertEqual(self.succeed("client.py", url, certificate)[-1], "GET / over h2")
        server.terminate()
        self.assertEqual(server.rest(), (0, "", ""))

    def test_agent(self) -> None:
        """
        The agent asks for several URLs on one session, and says what fails.
        """
        server = self.start("server.py", "0")
        url, certificate = server.lineWith(r"^(https://localhost:\d+) with the certificate (.*)$").groups()
        printed = self.succeed("agent.py", "--certificate", certificate, f"{url}/a", f"{url}/b", "https://localhost:1/")
        self.assertRegex(printed[0], rf"^{url}/a: HTTP/2\.0 200 OK, \d+ bytes$")
        self.assertRegex(printed[1], rf"^{url}/b: HTTP/2\.0 200 OK, \d+ bytes$")
        self.assertRegex(printed[2], r"^https://localhost:1/: ConnectionRefusedError: ")
        self.assertEqual(printed[3:], [f"{url}: 1 session"])
        server.terminate()
        self.assertEqual(server.rest(), (0, "", ""))

    def test_clientDoesNotTrust(self) -> None:
        """
        Without the server's certificate the client says in one line that it does not verify, and fails.
        """
        server = self.start("server.py", "0")
        url = server.lineWith(r"^(https://localhost:\d+) ").group(1)
        ended = self.runToEnd("client.py", url)
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertRegex(ended.stderr, rf"\Ano session with {url}: tls: .*verify failed.*\n\Z")

    def test_gracefulStop(self) -> None:
        """
        A server that is told to stop while it answers refuses new connections, ends the answer, and leaves.
        """
        server = self.start("graceful_stop.py", "0", "1")
        url = server.lineWith(r"^(http://localhost:\d+)$").group(1)
        client = self.start("client.py", url)
        client.lineWith("^this takes a while ...$")
        server.terminate()
        self.assertEqual(server.line(), "draining\n")
        refused = self.runToEnd("client.py", url)
        self.assertEqual(refused.returncode, 1)
        self.assertIn(f"no session with {url}: tcp: ", refused.stderr)
        self.assertEqual(client.rest(), (0, "and is whole.\n", ""))
        self.assertEqual(server.rest(), (0, "every request was answered\n", ""))

    def test_upload(self) -> None:
        """
        A file of many windows arrives whole; one whose stream or session ends early fails with what is known of it.
        """
        size = 3_000_001
        path = self.mktemp()
        Path(path).write_bytes(b"x" * size)
        server = Program(
            self, [sys.executable, "-m", "twisted", "h2session", "--http", "127.0.0.1:0"], self.environment
        )
        url = server.lineWith(r"(http://127\.0\.0\.1:\d+)").group(1)
        self.assertEqual(self.succeed("upload.py", path, f"{url}/discard"), [f"200 {size}", ""])
        for route in ("reset", "destroy"):
            failed = self.runToEnd("upload.py", path, f"{url}/{route}?code=2")
            self.assertEqual((failed.returncode, failed.stdout), (1, ""))
            self.assertRegex(failed.stderr, r"\Athe upload failed: .*INTERNAL_ERROR \(2\) \(processed: None\)\n\Z")
        server.terminate()
        server.rest()

    def test_site(self) -> None:
        """
        A site answers HTTP/2 and HTTP/1.1 on one port, serves a folder and counts an upload.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        Path(folder, "file").write_bytes(b"x" * 300_001)
        server = self.start("site.py", folder, "0")
        url = server.lineWith(r"^(http://localhost:\d+)$").group(1)
        self.assertEqual(self.succeed("client.py", f"{url}/")[-1], "asked by HTTP/2")
        with urlopen(f"{url}/", timeout=SECONDS) as answer:
            self.assertEqual(answer.read(), b"asked by HTTP/1.1\n")
        with urlopen(f"{url}/files/file", timeout=SECONDS) as answer:
            self.assertEqual(len(answer.read()), 300_001)
        self.assertEqual(self.succeed("upload.py", os.path.join(folder, "file"), f"{url}/upload"), ["200 300001", ""])
        server.terminate()
        self.assertEqual(server.rest(), (0, "", ""))

    def test_tunnel(self) -> None:
        """
        A client reaches a TCP server through a proxy, and nothing else.
        """
        printed = self.succeed("tunnel.py")
        self.assertIn("client: got TUNNEL", printed)
        self.assertEqual(printed[-1], "client: the tunnel was refused with 403")

    def test_chat(self) -> None:
        """
        Both members of a room hear what either says, and that one has gone.
        """
        printed = self.succeed("chat.py")
        self.assertEqual(printed[0], "alice speaks chat")
        for name in ("alice", "bob"):
            heard = [line.removeprefix(f"{name} hears ") for line in printed if line.startswith(f"{name} hears ")]
            self.assertEqual(heard[:2], ["alice: hello", "bob: hello, alice"])
        self.assertEqual(printed[-2:], ["bob hears alice has gone", "bob has left with GOING_AWAY"])

    def test_everyExample(self) -> None:
        """
        Every program in C{examples/} is run by a test here.
        """
        tests = "".join(each.read_text(encoding="utf-8") for each in Path(__file__).parent.glob("*.py"))
        self.assertEqual([each.name for each in EXAMPLES.glob("*.py") if f'"{each.name}"' not in tests], [])
