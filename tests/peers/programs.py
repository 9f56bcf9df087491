"""
Peers as processes: finding them, running them, hearing what they say and seeing what memory they take.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar
from unittest import SkipTest

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure

_T = TypeVar("_T")

reactor: Any = _reactor

COMPULSORY = "TXH2SESSION_REQUIRE_PEERS"
"""The environment variable that makes a missing peer a failure."""

_PACKAGES = {
    "chromium": "chromium",
    "curl": "curl",
    "h2load": "nghttp2-client",
    "nghttp": "nghttp2-client",
    "nghttpd": "nghttp2-server",
    "node": "nodejs",
}
"""The packages of Debian and Ubuntu with the programs."""

_OTHER_NAMES = {"chromium": ("chromium-browser", "google-chrome")}

_KEPT = 4 * 1024 * 1024
"""How much of a program's output is kept, in characters: the last of it."""


def find(name: str) -> str:
    """
    Find a peer.

    @return: its path.

    @raise SkipTest: if it is not installed.
    @raise AssertionError: the same, where peers are compulsory.
    """
    # nghttpd is in a folder of the administrator's on some systems.
    folders = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    for each in (name, *_OTHER_NAMES.get(name, ())):
        path = shutil.which(each, path=folders)
        if path is not None:
            return path
    missing(f"{name} is not here: install {_PACKAGES[name]}")


def missing(message: str) -> NoReturn:
    """
    Say what is missing: skip the test, or fail it where peers are compulsory.
    """
    if os.environ.get(COMPULSORY):
        raise AssertionError(f"{message} ({COMPULSORY} is set)")
    raise SkipTest(message)


class Program(ProcessProtocol):
    """
    A process, and what it has said so far.

    @ivar output: what it wrote to its standard output, the last of it if it was very much.
    @ivar errors: the same for standard error.
    @ivar said: both, in the order they came.
    @ivar status: its exit status once it has ended, minus the signal's number if one ended it.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str] | None = None, folder: str | None = None
    ) -> None:
        """
        Start it.

        @param arguments: its path and its arguments.
        @param environment: variables that it has besides our own.
        @param folder: where it runs.
        """
        self.name = os.path.basename(arguments[0])
        self.output = ""
        self.errors = ""
        self.said = ""
        self.status: int | None = None
        self._waiting: list[tuple[re.Pattern[str], Deferred[re.Match[str]]]] = []
        self._ending: list[Deferred[int]] = []
        known = {**os.environ, **(environment or {})}
        self._process = reactor.spawnProcess(self, arguments[0], list(arguments), known, folder)
        self.pid: int = self._process.pid

    # What it says

    def outReceived(self, data: bytes) -> None:
        """See L{ProcessProtocol}."""
        text = data.decode("utf-8", "replace")
        self.output = (self.output + text)[-_KEPT:]
        self._look(text)

    def errReceived(self, data: bytes) -> None:
        """See L{ProcessProtocol}."""
        text = data.decode("utf-8", "replace")
        self.errors = (self.errors + text)[-_KEPT:]
        self._look(text)

    def _look(self, text: str = "") -> None:
        self.said = (self.said + text)[-_KEPT:]
        waiting, self._waiting = self._waiting, []
        for pattern, found in waiting:
            match = pattern.search(self.said)
            if match is None:
                self._waiting.append((pattern, found))
            else:
                found.callback(match)

    def says(self, pattern: str, seconds: float = 20) -> Deferred[re.Match[str]]:
        """
        Wait until it has said something.

        @param pattern: a regular expression, in which C{^} and C{$} are those of a line.

        @return: fires with the match; fails, with all that was said instead, if the time passes or the process ends.
        """
        compiled = re.compile(pattern, re.MULTILINE)

        def giveUp(found: Deferred[re.Match[str]]) -> None:
            self._waiting.remove((compiled, found))
            found.errback(self._silence(pattern))

        found: Deferred[re.Match[str]] = Deferred(giveUp)
        self._waiting.append((compiled, found))
        self._look()
        if self.status is not None and not found.called:
            found.cancel()
        return found.addTimeout(seconds, reactor, lambda result, _: result)

    def _silence(self, pattern: str) -> AssertionError:
        return AssertionError(f"{self} did not say {pattern!r} but:\n{self.said[-4000:]}")

    def __str__(self) -> str:
        state = "running" if self.status is None else f"ended with {self.status}"
        return f"{self.name} ({state})"

    # Its end

    def processEnded(self, reason: Failure) -> None:
        """See L{ProcessProtocol}."""
        value: Any = reason.value
        self.status = -value.signal if value.signal is not None else value.exitCode
        waiting, self._waiting = self._waiting, []
        for pattern, found in waiting:
            found.errback(self._silence(pattern.pattern))
        ending, self._ending = self._ending, []
        for ended in ending:
            ended.callback(self.status)

    def ends(self, seconds: float = 20) -> Deferred[int]:
        """
        Wait for its end.

        @return: fires with the exit status; fails, after killing it, if the time passes.
        """
        ended: Deferred[int] = Deferred(self._overdue)
        if self.status is not None:
            ended.callback(self.status)
            return ended
        self._ending.append(ended)
        return ended.addTimeout(seconds, reactor, lambda result, _: result)

    def _overdue(self, ended: Deferred[int]) -> None:
        self._ending.remove(ended)
        self.sendSignal(signal.SIGKILL)
        ended.errback(AssertionError(f"{self} took too long:\n{self.said[-4000:]}"))

    def sendSignal(self, number: int) -> None:
        """
        Send it a signal, unless it has ended.
        """
        try:
            self._process.signalProcess(number)
        except ProcessExitedAlready:
            pass

    def stop(self, number: int = signal.SIGTERM, seconds: float = 20) -> Deferred[int]:
        """
        Send it a signal and wait for its end.
        """
        self.sendSignal(number)
        return self.ends(seconds)

    def kill(self) -> Deferred[int]:
        """
        End it whatever it is doing.
        """
        return self.stop(signal.SIGKILL)

    def write(self, line: str) -> None:
        """
        Write a line to its standard input.
        """
        self._process.write(f"{line}\n".encode())


def within(waiting: Deferred[_T], state: Callable[[], str], seconds: float = 15) -> Deferred[_T]:
    """
    Wait for something in this process, not for ever.

    @param state: says how far it has come, if the time passes.

    @return: what was given.
    """

    def late(result: object, limit: float) -> Any:
        raise AssertionError(f"nothing for {limit:g} seconds: {state()}")

    return waiting.addTimeout(seconds, reactor, late)


def freePort() -> int:
    """
    Find a port for a program that must be told a number.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def residentSize(pid: int) -> int:
    """
    Get the memory that a process has in RAM, in bytes.
    """
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            lines: Iterable[str] = file.read().splitlines()
    except FileNotFoundError:
        answer = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
        lines = [f"VmRSS: {answer.stdout}"]
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


class MemoryWatch:
    """
    Watches the memory of a process.

    @ivar base: bytes at the start.
    @ivar peak: the most that was seen.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.base = self.peak = residentSize(pid)
        self._looking = LoopingCall(self._look)
        self._looking.start(0.05, now=False)

    def _look(self) -> None:
        self.peak = max(self.peak, residentSize(self._pid))

    @property
    def growth(self) -> int:
        """
        How far above the start the peak was.
        """
        return self.peak - self.base

    def stop(self) -> None:
        """
        Take the last look.
        """
        if self._looking.running:
            self._looking.stop()
            self._look()
