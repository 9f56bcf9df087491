"""
What the demo tells of a session: once as JSON, or again and again while somebody watches.
"""

from __future__ import annotations

import json
from dataclasses import fields

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress

from txh2session import PingCancelled, ServerStream, Settings
from txh2session.demo.request import Request

_PING_SECONDS = 5.0
_INTERVAL = 0.5


def sessionFacts(stream: ServerStream) -> dict[str, object]:
    """
    Collect what is known of a stream's session.
    """
    session = stream.session
    certificate = session.peerCertificate
    return {
        "alpnProtocol": session.alpnProtocol,
        "encrypted": session.encrypted,
        "peer": address(session.getPeer()),
        "host": address(session.getHost()),
        "peerCertificate": certificate and certificate.to_cryptography().subject.rfc4514_string(),
        "streamID": stream.id,
        "state": session.state._asdict(),
        "localSettings": _settings(session.localSettings),
        "remoteSettings": _settings(session.remoteSettings),
    }


def streamFacts(stream: ServerStream) -> dict[str, object]:
    """
    Collect what is known of a stream.
    """
    return {
        "id": stream.id,
        "method": stream.headers.method,
        "path": stream.headers.path,
        "protocol": stream.headers.get(":protocol"),
        **stream.state._asdict(),
        **stream.statistics._asdict(),
    }


async def measure(stream: ServerStream) -> None:
    """
    Measure the round trip, for the session's snapshot.
    """
    try:
        await stream.session.ping(timeout=_PING_SECONDS)
    except PingCancelled:
        pass  # then the snapshot has the time of the PING before, if there was one


async def watch(request: Request, seconds: float) -> None:
    """
    Answer with a line of JSON twice a second, until the time is over or the session is to close.
    """
    stream = request.stream
    stream.respond({"content-type": "application/x-ndjson", "cache-control": "no-store"})
    if stream.headRequest:
        return
    clock = stream.session.clock
    end = clock.seconds() + seconds
    while not stream.session.closed:
        await measure(stream)
        facts = sessionFacts(stream)
        facts["statistics"] = stream.session.statistics._asdict()
        facts["streams"] = [streamFacts(each) for each in request.streams.values()]
        await stream.send(json.dumps(facts).encode() + b"\n")
        if clock.seconds() >= end:
            break
        await request.sleep(_INTERVAL)
    stream.end()


def address(known: IAddress) -> str:
    """
    Write an address as URLs do.
    """
    if isinstance(known, IPv6Address):
        return f"[{known.host}]:{known.port}"
    if isinstance(known, IPv4Address):
        return f"{known.host}:{known.port}"
    return str(known)


def _settings(settings: Settings) -> dict[str, object]:
    """
    Make of settings what JSON has a form for.
    """
    facts = {each.name: getattr(settings, each.name) for each in fields(settings)}
    return {**facts, "customSettings": dict(settings.customSettings)}
