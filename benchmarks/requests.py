"""
What a small request costs a server, without sockets: our session on h2 against h2 alone doing the same work.

Run it from a checkout: C{python benchmarks/requests.py}.  Both are measured in turns in one process, and the ratio of their
CPU times is what counts: the machines are noisy.  C{--profile} shows where our time goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import time
from collections.abc import Callable

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from hpack import Encoder
from hyperframe.frame import HeadersFrame, SettingsFrame
from twisted.internet.task import Clock

from txh2session import Server, Timeouts
from txh2session._frames import PREFACE
from txh2session.testing import PipeTransport

SMALL = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "localhost:8443"),
    (":path", "/hello"),
    ("user-agent", "h2load nghttp2/1.52.0"),
]
BROWSER = [
    *SMALL[:4],
    ("sec-ch-ua", '"Chromium";v="130", "Google Chrome";v="130", "Not?A_Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    ("sec-ch-ua-platform", '"Linux"'),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"),
    ("sec-fetch-site", "none"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("accept-language", "en-US,en;q=0.9"),
    ("priority", "u=0, i"),
]
ANSWER = [(":status", "200"), ("content-type", "text/plain"), ("content-length", "12")]


def chunks(headers: list[tuple[str, str]], requests: int, atOnce: int) -> list[bytes]:
    """
    Write what a client would send, so many requests in a read.
    """
    encoder = Encoder()
    made = []
    streamID = 1
    for _ in range(requests // atOnce):
        parts = []
        for _ in range(atOnce):
            parts.append(
                HeadersFrame(streamID, encoder.encode(headers), flags=["END_HEADERS", "END_STREAM"]).serialize()
            )
            streamID += 2
        made.append(b"".join(parts))
    return made


def ours(data: list[bytes]) -> None:
    """
    Serve with a session of ours.
    """

    def answer(stream, headers):  # type: ignore[no-untyped-def]
        stream.respond(ANSWER)
        stream.end(b"hello world\n")

    protocol = Server(answer, clock=Clock(), timeouts=Timeouts(settingsAck=0)).buildProtocol(None)
    assert protocol is not None
    transport = PipeTransport("server", "client")
    protocol.makeConnection(transport)
    protocol.dataReceived(PREFACE + SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2**30}).serialize())
    protocol.dataReceived(bytes.fromhex("0000040800000000003fff0000"))
    for chunk in data:
        protocol.dataReceived(chunk)
        transport.buffer.clear()
        transport.taken()


def bare(data: list[bytes]) -> None:
    """
    Serve with h2 alone.
    """
    conn = H2Connection(H2Configuration(client_side=False))
    conn.initiate_connection()
    conn.receive_data(PREFACE + SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 2**30}).serialize())
    conn.receive_data(bytes.fromhex("0000040800000000003fff0000"))
    for chunk in data:
        for event in conn.receive_data(chunk):
            if isinstance(event, RequestReceived):
                assert event.stream_id is not None
                conn.send_headers(event.stream_id, ANSWER)
                conn.send_data(event.stream_id, b"hello world\n", end_stream=True)
        conn.data_to_send()


def cost(serve: Callable[[list[bytes]], None], data: list[bytes], requests: int) -> float:
    """
    Measure CPU microseconds a request.
    """
    start = time.process_time()
    serve(data)
    return (time.process_time() - start) / requests * 1e6


def main() -> None:
    """
    Measure and print.
    """
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--requests", type=int, default=4000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--profile", action="store_true")
    chosen = options.parse_args()
    for name, headers in (("small", SMALL), ("browser", BROWSER)):
        for atOnce in (1, 100):
            data = chunks(headers, chosen.requests, atOnce)
            if chosen.profile:
                profile = cProfile.Profile()
                profile.runcall(ours, data)
                print(f"{name} headers, {atOnce} a read")
                pstats.Stats(profile).sort_stats("tottime").print_stats(30)
                continue
            pairs = [
                (cost(ours, data, chosen.requests), cost(bare, data, chosen.requests)) for _ in range(chosen.rounds)
            ]
            ratios = sorted(mine / theirs for mine, theirs in pairs)
            mine, theirs = (sorted(each)[len(pairs) // 2] for each in zip(*pairs, strict=True))
            print(
                f"{name} headers, {atOnce:3} a read: session {mine:6.1f} us, h2 alone {theirs:6.1f} us,"
                f" ratio {ratios[len(ratios) // 2]:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            )


if __name__ == "__main__":
    main()
