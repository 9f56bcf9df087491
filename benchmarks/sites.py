"""
What a small request to a C{twisted.web} site costs over HTTP/2, without sockets: by L{wrapSite<txh2session.web.wrapSite>}
against C{twisted.web}'s own HTTP/2, which needs the C{priority} package (C{pip install "twisted[http2]"}).

Run it from a checkout: C{python benchmarks/sites.py}.  Both serve the same site in turns in one process, and the ratio of
their CPU times is what counts.  C{--profile} shows where our time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable
from typing import Any

from hyperframe.frame import SettingsFrame, WindowUpdateFrame
from requests import BROWSER, SMALL, chunks
from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.web.resource import Resource
from twisted.web.server import Site

from txh2session import Timeouts
from txh2session.testing import PipeTransport
from txh2session.web import wrapSite

_START = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2**30}).serialize()
    + WindowUpdateFrame(0, window_increment=2**30).serialize()
)


class Hello(Resource):
    """
    Answers C{/hello}.
    """

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        """Answer."""
        request.setHeader(b"content-type", b"text/plain")
        return b"hello world\n"


class ALPNTransport(PipeTransport):
    """
    A transport on which HTTP/2 was negotiated.
    """

    negotiatedProtocol = b"h2"


def ours(site: Site, data: list[bytes]) -> int:
    """
    Serve with us.
    """
    protocol = wrapSite(site, clock=Clock(), timeouts=Timeouts(settingsAck=0)).buildProtocol(None)
    transport = PipeTransport("server", "client")
    return serve(protocol, transport, data, lambda: None)


def theirs(site: Site, data: list[bytes]) -> int:
    """
    Serve with C{twisted.web}.
    """
    run: Any = reactor
    return serve(site.buildProtocol(None), ALPNTransport("server", "client"), data, run.runUntilCurrent)


def serve(protocol: Any, transport: PipeTransport, data: list[bytes], turn: Callable[[], object]) -> int:
    """
    Hand requests to a protocol, and let the reactor turn until all is answered.

    @return: bytes that were answered.
    """
    protocol.makeConnection(transport)
    protocol.dataReceived(_START)
    turn()
    for chunk in data:
        before = -1
        protocol.dataReceived(chunk)
        while transport.written != before:
            before = transport.written
            turn()
            turn()
        transport.buffer.clear()
        transport.taken()
    return transport.written


def cost(how: Callable[[Site, list[bytes]], int], site: Site, data: list[bytes], requests: int) -> float:
    """
    Measure CPU microseconds a request.
    """
    start = time.process_time()
    written = how(site, data)
    spent = (time.process_time() - start) / requests * 1e6
    if written < 12 * requests:
        raise SystemExit(f"only {written} bytes were answered to {requests} requests")
    return spent


def main() -> None:
    """
    Measure and print.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=2000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--profile", action="store_true")
    chosen = options.parse_args()
    site = Site(Hello(), reactor=Clock())
    for name, headers in (("small", SMALL), ("browser", BROWSER)):
        for atOnce in (1, 100):
            data = chunks(headers, chosen.requests, atOnce)
            if chosen.profile:
                profile = cProfile.Profile()
                profile.runcall(ours, site, data)
                print(f"{name} headers, {atOnce} a read")
                pstats.Stats(profile).sort_stats("tottime").print_stats(30)
                continue
            pairs = [
                (cost(ours, site, data, chosen.requests), cost(theirs, site, data, chosen.requests))
                for _ in range(chosen.rounds)
            ]
            ratios = sorted(other / mine for mine, other in pairs)
            mine, other = (sorted(each)[len(pairs) // 2] for each in zip(*pairs, strict=True))
            print(
                f"{name} headers, {atOnce:3} a read: wrapSite {mine:6.1f} us, twisted.web {other:6.1f} us,"
                f" {ratios[len(ratios) // 2]:.1f} times as fast ({ratios[0]:.1f} to {ratios[-1]:.1f})"
            )


if __name__ == "__main__":
    main()
