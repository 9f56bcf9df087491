"""
Node's side of the scenarios: what runs C{node.js}.
"""

from __future__ import annotations

import json
import re
from itertools import count
from typing import Any

from twisted.internet.defer import Deferred

from tests.peers.programs import Program


class NodeSide:
    """
    One side of a scenario, in Node.

    @ivar port: where it listens, if it is a server.
    """

    _numbers = count(1)

    def __init__(self, program: Program, name: str) -> None:
        self._program = program
        self._name = name
        self._run = next(self._numbers)
        self.port = 0

    async def serve(self) -> None:
        """
        Be the server.
        """
        self._tell("serve", name=self._name)
        self.port = (await self._says("listening"))["port"]

    async def connect(self, port: int) -> None:
        """
        Be the client.
        """
        self._tell("connect", name=self._name, port=port)

    async def finished(self) -> None:
        """
        Wait until the scenario has been played.
        """
        await self._says("finished")

    async def sees(self) -> dict[str, Any]:
        """
        Ask what it has seen so far.
        """
        self._tell("look")
        found: dict[str, Any] = (await self._says("sees"))["sees"]
        return found

    def end(self) -> None:
        """
        Send the marker, then close the session.
        """
        self._tell("end")

    async def closed(self) -> dict[str, Any]:
        """
        Wait for the end of the session.

        @return: what was seen.
        """
        found: dict[str, Any] = (await self._says("closed"))["sees"]
        return found

    async def stop(self) -> None:
        """
        Give up: its process ends with the test.
        """

    def _tell(self, what: str, **facts: Any) -> None:
        self._program.write(json.dumps({"run": self._run, "do": what, **facts}))

    def _says(self, event: str) -> Deferred[dict[str, Any]]:
        def read(match: re.Match[str]) -> dict[str, Any]:
            facts: dict[str, Any] = json.loads(match[0])
            if facts["event"] == "failed":
                raise AssertionError(f"a scenario failed in Node: {facts['message']}")
            return facts

        said = self._program.says(rf'^\{{"run":{self._run},"event":"({event}|failed)".*\}}\n', 15)
        return said.addCallback(read)
