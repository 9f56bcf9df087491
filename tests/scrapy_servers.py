"""
What the tests of the handler for Scrapy need besides the demonstration server: a server that speaks HTTP/1.1 only, a proxy
of each kind, and pages that go wrong.  Run as a program, it prints their URLs, a line for each.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import react
from twisted.web.server import Site

from tests.test_agent import Hello
from tests.test_proxies import SimpleProxy
from txh2session import ErrorCode, Server, TunnelProxy, serverContextFactory


def answer(stream: Any, headers: Any) -> None:
    """
    Go wrong in the way that the path says.
    """
    if headers.path == "/never":
        return
    stream.respond({"content-type": "text/plain"})
    stream.write(b"part")
    if headers.path.startswith("/cut"):
        stream.session.clock.callLater(0.2, lambda: stream.close(ErrorCode.INTERNAL_ERROR))
    elif headers.path == "/long":
        stream.end(bytes(100_000))


async def main(reactor: Any, certificate: str, key: str) -> None:
    """
    Serve until the program is ended.
    """

    def listen(name: str, factory: Any, *protocols: bytes) -> None:
        if protocols:
            tls = serverContextFactory(certificate, key, protocols=protocols)
            port = reactor.listenSSL(0, factory, tls, interface="127.0.0.1")
        else:
            port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        counted[name] = 0
        print(name, f"{'https' if protocols else 'http'}://localhost:{port.getHost().port}", flush=True)

    def count(name: str, build: Any) -> Any:
        def built(address: Any) -> Any:
            counted[name] += 1
            print("connected", name, flush=True)
            return build(address)

        return built

    counted: dict[str, int] = {}
    old = Site(Hello())
    old.acceptableProtocols = lambda: [b"http/1.1"]  # type: ignore[method-assign]
    network = SimpleNamespace(endpointFor=lambda host, port: HostnameEndpoint(reactor, host, port))
    proxy1 = Factory()
    proxy1.protocol = lambda: SimpleProxy(network)  # type: ignore[assignment,misc,arg-type]
    proxy2 = Server(TunnelProxy(reactor, lambda host, port: host == "localhost").streamReceived)
    for name, factory, protocols in (
        ("old", old, (b"http/1.1",)),
        ("proxy1", proxy1, ()),
        ("proxy2", proxy2, (b"h2",)),
        ("wrong", Server(answer), (b"h2",)),
    ):
        factory.buildProtocol = count(name, factory.buildProtocol)  # type: ignore[method-assign]
        listen(name, factory, *protocols)
    await Deferred()


if __name__ == "__main__":
    react(main, sys.argv[1:])
