"""
Chromium as a process without a window, driven with the DevTools protocol over a pair of pipes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from tests.peers.programs import find, reactor

_QUIET = (
    "--headless=new",
    "--no-sandbox",  # it cannot be had in most containers, and what is loaded is our own
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-default-browser-check",
    "--no-first-run",
    "--no-proxy-server",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
    "--window-size=1200,1600",
)
_COMMANDS, _ANSWERS = 3, 4
"""The file descriptors that C{--remote-debugging-pipe} means."""


class Chromium(ProcessProtocol):
    """
    A browser with one page.

    @ivar problems: what its console and its log said that is an error.
    """

    def __init__(self, folder: str, certificate: str) -> None:
        """
        Start it.

        @param folder: for its profile; there must be nothing.
        @param certificate: a PEM file; servers that show it are trusted.
        """
        self.problems: list[str] = []
        self._rest = b""
        self._count = 0
        self._asked: dict[int, Deferred[Any]] = {}
        self._page: str | None = None
        self._ended: list[Deferred[None]] = []
        self._over = False
        path = find("chromium")
        arguments = [
            path,
            *_QUIET,
            f"--user-data-dir={os.path.abspath(folder)}",
            f"--ignore-certificate-errors-spki-list={_keyHash(certificate)}",
            "--remote-debugging-pipe",
            "about:blank",
        ]
        pipes: Any = {0: "w", 1: "r", 2: "r", _COMMANDS: "w", _ANSWERS: "r"}
        self._process = reactor.spawnProcess(self, path, arguments, dict(os.environ), childFDs=pipes)

    # Talking to it

    def ask(self, method: str, seconds: float = 20, **parameters: Any) -> Deferred[Any]:
        """
        Send a command.

        @return: fires with its result; fails if it is refused, takes too long or the browser ends.
        """
        self._count += 1
        number = self._count
        command = {"id": number, "method": method, "params": parameters}
        if self._page is not None:
            command["sessionId"] = self._page

        asked: Deferred[Any] = Deferred(lambda _: self._asked.pop(number, None))
        if self._over:
            asked.errback(AssertionError(f"the browser has ended, before {method}"))
            return asked
        self._asked[number] = asked
        self._process.writeToChild(_COMMANDS, json.dumps(command).encode() + b"\0")
        return asked.addTimeout(seconds, reactor)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See L{ProcessProtocol}."""
        if childFD != _ANSWERS:
            return
        *lines, self._rest = (self._rest + data).split(b"\0")
        for line in lines:
            self._said(json.loads(line))

    def _said(self, message: dict[str, Any]) -> None:
        asked = self._asked.pop(message.get("id", 0), None)
        if asked is not None:
            if "error" in message:
                asked.errback(AssertionError(message["error"]["message"]))
            else:
                asked.callback(message["result"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(message["params"]["exceptionDetails"]))
        elif message.get("method") == "Log.entryAdded" and message["params"]["entry"]["level"] == "error":
            self.problems.append(message["params"]["entry"]["text"])

    async def open(self, url: str) -> None:
        """
        Load a page, and have its problems noted.
        """
        targets = (await self.ask("Target.getTargets"))["targetInfos"]
        (target,) = [each["targetId"] for each in targets if each["type"] == "page"]
        attached = await self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._page = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.ask(f"{domain}.enable")
        result = await self.ask("Page.navigate", url=url)
        if "errorText" in result:
            raise AssertionError(f"{url}: {result['errorText']}")
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def evaluate(self, expression: str, seconds: float = 20) -> Any:
        """
        Evaluate an expression in the page.

        @return: its value, or, if that is a promise, what it is kept with.
        """
        result = await self.ask(
            "Runtime.evaluate", seconds, expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {json.dumps(result['exceptionDetails'])}")
        return result["result"].get("value")

    async def until(self, condition: str, seconds: float = 20) -> Any:
        """
        Wait until an expression is true in the page.

        @return: its value.
        """
        promise = (
            "new Promise((resolve, reject) => { const end = Date.now() + %d; const look = () => { const value = (%s);"
            " if (value) resolve(value); else if (Date.now() > end) reject(new Error('too late'));"
            " else setTimeout(look, 25); }; look(); })"
        )
        return await self.evaluate(promise % (seconds * 1000, condition), seconds + 10)

    # Its end

    def processEnded(self, reason: Failure) -> None:
        """See L{ProcessProtocol}."""
        self._over = True
        asked, self._asked = self._asked, {}
        for each in asked.values():
            each.errback(AssertionError("the browser has ended"))
        ended, self._ended = self._ended, []
        for done in ended:
            done.callback(None)

    def end(self) -> Deferred[None]:
        """
        End it, and wait for that.
        """
        done: Deferred[None] = Deferred()
        if self._over:
            done.callback(None)
            return done
        self._ended.append(done)
        self._page = None
        self.ask("Browser.close").addErrback(lambda _: self._over or self._process.signalProcess("KILL"))
        return done


def _keyHash(certificate: str) -> str:
    """
    Name a certificate's key as Chromium wants it: the hash of its SubjectPublicKeyInfo.
    """
    with open(certificate, "rb") as file:
        key = load_pem_x509_certificate(file.read()).public_key()
    encoded = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(encoded).digest()).decode()
