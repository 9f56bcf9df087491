"""
What a request costs a client: the agent, a session alone, twisted.web's agent over HTTP/1.1, and httpx if it is there.

Run it from a checkout: C{python benchmarks/agents.py}.  A server in a process of its own answers all of them over TLS on
loopback; they take turns, and the client's CPU time counts, since the machines are noisy.  Rates are printed besides.
"""

from __future__ import annotations

import argparse
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.task import react
from twisted.web.client import Agent, HTTPConnectionPool, readBody
from twisted.web.resource import Resource
from twisted.web.server import Site

from txh2session import Server, clientContextFactory, connect, developmentCertificate, serverContextFactory
from txh2session.agent import H2Agent

try:
    import httpx
except ImportError:
    httpx = None  # type: ignore[assignment]

ANSWER = b"hello world\n"


class Hello(Resource):
    """
    The same answer over HTTP/1.1.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """See L{Resource}."""
        return ANSWER


async def serve(reactor: Any) -> None:
    """
    Be the server.
    """
    certificate = developmentCertificate()
    tls = serverContextFactory(certificate.privateKeyPath)
    server = Server(lambda stream, headers: stream.end(ANSWER), http1=Site(Hello()))
    port: Any = await server.listen(SSL4ServerEndpoint(reactor, 0, tls, interface="127.0.0.1"))
    print(port.getHost().port, certificate.certificatePath, flush=True)
    await Deferred()


async def run(ask: Callable[[], Awaitable[bytes]], requests: int, atOnce: int) -> None:
    """
    Make requests, so many at a time.
    """

    async def some() -> None:
        for _ in range(requests // atOnce):
            assert await ask() == ANSWER

    await gatherResults([Deferred.fromCoroutine(some()) for _ in range(atOnce)])


async def measure(reactor: Any, requests: int, rounds: int) -> None:
    """
    Measure and print.
    """
    program = subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True)
    try:
        assert program.stdout is not None
        port, path = program.stdout.readline().split(maxsplit=1)
        await compare(reactor, f"https://localhost:{port}/", path.strip(), requests, rounds)
    finally:
        program.kill()
        program.wait()


async def compare(reactor: Any, url: str, path: str, requests: int, rounds: int) -> None:
    """
    Let the clients take turns.
    """
    warnings.simplefilter("ignore", DeprecationWarning)  # twisted.web's readBody warns of twisted.web's own transport
    agent = H2Agent(reactor, contextFactory=clientContextFactory(trustRoot=path))
    session = await connect(reactor, url, contextFactory=clientContextFactory(trustRoot=path))
    http1 = HTTPConnectionPool(reactor)
    http1.maxPersistentPerHost = 100
    old = Agent(reactor, clientContextFactory(trustRoot=path, protocols=(b"http/1.1",)), pool=http1)

    async def byAgent() -> bytes:
        return await readBody(await agent.request(b"GET", url.encode()))

    async def bySession() -> bytes:
        return await session.request({":path": "/"}).read()

    async def byHTTP1() -> bytes:
        return await readBody(await old.request(b"GET", url.encode()))

    clients: dict[str, Callable[[], Awaitable[bytes]]] = {
        "session": bySession,
        "H2Agent": byAgent,
        "twisted.web Agent, HTTP/1.1": byHTTP1,
    }
    blocking = None if httpx is None else httpx.Client(http2=True, verify=ssl.create_default_context(cafile=path))
    if blocking is not None:
        modern = blocking

        async def byHTTPX() -> bytes:
            return modern.get(url).content

        clients["httpx, HTTP/2"] = byHTTPX
    for atOnce in (1, 100):
        figures: dict[str, list[tuple[float, float]]] = {}
        for number in range(rounds + 1):
            for name, ask in clients.items():
                if name.startswith("httpx") and atOnce > 1:
                    continue  # it blocks
                wall, cpu = time.perf_counter(), time.process_time()
                await run(ask, requests, atOnce)
                if number:  # the first round warms up
                    spent = time.process_time() - cpu, time.perf_counter() - wall
                    figures.setdefault(name, []).append(spent)
        middle = {
            name: [sorted(each)[rounds // 2] for each in zip(*spent, strict=True)] for name, spent in figures.items()
        }
        for name, (cpu, wall) in middle.items():
            ratio = cpu / middle["twisted.web Agent, HTTP/1.1"][0]
            print(
                f"{atOnce:3} at once, {name:28} {cpu / requests * 1e6:6.0f} us CPU a request,"
                f" {requests / wall:6.0f} requests/s, CPU against HTTP/1.1 {ratio:.2f}"
            )
    await session.close()
    await agent.close()
    await http1.closeCachedConnections()
    if blocking is not None:
        blocking.close()


def main() -> None:
    """
    Read the options.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=1000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if chosen.serve:
        react(lambda reactor: Deferred.fromCoroutine(serve(reactor)))
    else:
        react(lambda reactor: Deferred.fromCoroutine(measure(reactor, chosen.requests, chosen.rounds)))


if __name__ == "__main__":
    main()
