"""
Whatever bytes and frames arrive: nothing is raised into the reactor, nothing is logged, what has to fire fires once.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import ClientSession, ErrorCode, Server, Session
from txh2session._frames import PREFACE, buildFrame
from txh2session.testing import FramePeer, connectedSessions, requestFields

frameBytes = st.builds(
    buildFrame,
    kind=st.one_of(st.integers(0, 0x10), st.integers(0, 255)),
    flags=st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 12, 13, 0x25, 0x2D]), st.integers(0, 255)),
    streamID=st.one_of(st.integers(0, 9), st.integers(0, 2**32 - 1)),
    payload=st.one_of(
        st.binary(max_size=40),
        st.sampled_from([bytes(4), bytes(5), bytes(8), b"\x82\x84\x86\x41\x01a", b"\x88", b"\0\4\0\0\0\0"]),
    ),
)

steps = st.lists(
    st.one_of(
        st.tuples(st.just("raw"), st.binary(max_size=60)),
        st.tuples(st.just("frame"), frameBytes),
        st.tuples(st.just("request"), st.booleans()),
        st.tuples(st.just("response"), st.integers(0, 3)),
        st.tuples(st.just("data"), st.integers(0, 3)),
        st.tuples(st.just("reset"), st.integers(0, 3)),
        st.tuples(st.just("window"), st.integers(0, 3)),
        st.tuples(st.just("goaway"), st.integers(0, 5)),
        st.tuples(st.just("time"), st.sampled_from([0.1, 1.5, 20, 90])),
        st.tuples(st.just("write"), st.integers(0, 100_000)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("close"), st.sampled_from([0, 2, 8])),
        st.tuples(st.just("cancel"), st.integers(0, 9)),
        st.tuples(st.just("closeSession"), st.just(0)),
        st.tuples(st.just("destroySession"), st.sampled_from([0, 2])),
    ),
    max_size=25,
)


class AnyFramesTests(SynchronousTestCase):
    """
    Sessions against a peer that sends anything, while their application does anything.
    """

    def run_(self, what: list[tuple[str, Any]], client: bool) -> None:
        """
        Do all steps, then cut the connection and look that every Deferred has fired.
        """
        clock = Clock()
        streams: list[Any] = []
        waiting: list[Any] = []
        fired: list[int] = []

        def watch(stream: Any) -> None:
            streams.append(stream)
            for name in ("read", "whenTrailers", "whenClosed", *(["whenResponse"] if client else [])):
                deferred = getattr(stream, name)()
                number = len(waiting)
                waiting.append(deferred)
                deferred.addBoth(lambda _, number=number: fired.append(number))

        if client:
            session: Session = ClientSession("http", "a")
            peer = FramePeer.toClient(session, clock)  # type: ignore[arg-type]
        else:
            server = Server(lambda stream, headers: watch(stream), clock=clock)
            peer = FramePeer.toServer(server)
            session = next(iter(server.sessions))
        ended: list[object] = []
        session.whenClosed().addBoth(ended.append)
        nextID = 1
        for name, value in what:
            if name == "raw":
                peer.sendBytes(value)
            elif name == "frame":
                peer.sendBytes(value)
            elif name == "request" and client:
                watch(session.request({":method": "POST" if value else "GET"}))  # type: ignore[attr-defined]
            elif name == "request":
                peer.send(peer.headers(nextID, requestFields("POST"), end=value))
                nextID += 2
            elif name == "response" and client:
                peer.send(peer.response(2 * value + 1))
            elif name == "data":
                peer.send(peer.data(2 * value + 1, b"x" * 5000, end=value == 2))
            elif name == "reset":
                peer.send(peer.reset(2 * value + 1))
            elif name == "window":
                peer.send(peer.window(2 * value + 1, 70_000), peer.window(0, 70_000))
            elif name == "goaway":
                peer.send(peer.goAway(value, 0 if value % 2 else 11))
            elif name == "time":
                clock.advance(value)
                peer.take()
            elif name == "closeSession":
                session.close().addErrback(lambda _: None)
            elif name == "destroySession":
                session.destroy(code=value)
            elif name == "cancel" and waiting:
                waiting[value % len(waiting)].cancel()
            elif streams:
                stream = streams[-1]
                writable = stream.state.sending in ("before its headers", "sending its body")
                if name == "write" and writable:
                    stream.write(b"y" * value)
                elif name == "end" and writable:
                    stream.end()
                elif name == "close":
                    stream.close(value)
        peer.take()
        goAways = [frame for frame in peer.frames if type(frame).__name__ == "GoAwayFrame"]
        self.assertLessEqual(len(goAways), 6)
        peer.abort()
        clock.advance(100)
        self.assertEqual(sorted(fired), list(range(len(waiting))))
        self.assertEqual(len(ended), 1)
        self.assertEqual([call for call in clock.getDelayedCalls() if call.getTime() < clock.seconds() + 1000], [])
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=400)
    @given(steps)
    def test_server(self, what: list[tuple[str, Any]]) -> None:
        """
        A server's session.
        """
        self.run_(what, client=False)

    @settings(max_examples=400)
    @given(steps)
    def test_client(self, what: list[tuple[str, Any]]) -> None:
        """
        A client's session.
        """
        self.run_(what, client=True)

    @given(st.binary(max_size=200), st.booleans())
    def test_garbage(self, data: bytes, afterPreface: bool) -> None:
        """
        Bytes that are not HTTP/2, from the first one on or after a good preface.
        """
        clock = Clock()
        peer = FramePeer.toServer(Server(lambda stream, headers: None, clock=clock), start=False)
        protocol = peer._protocol
        if afterPreface:
            peer.sendBytes(PREFACE)
        for position in range(len(data)):
            protocol.dataReceived(data[position : position + 1])
        clock.advance(100)
        self.assertTrue(peer.transport.finishing or peer.transport.aborted)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["client", "server"]), st.sampled_from(["destroy", "close", "goaway", "lose"])),
            min_size=1,
            max_size=4,
        ),
        st.integers(0, 5),
        st.one_of(st.none(), st.integers(1, 50)),
    )
    def test_endsOfSessions(self, ends: list[tuple[str, str]], requests: int, chunk: int | None) -> None:
        """
        Two sessions that end in any order, at any byte: all Deferreds fire, and nothing keeps running.
        """
        streams: list[Any] = []
        both = connectedSessions(lambda stream, headers: streams.append(stream), chunk=chunk)
        far = both.serverSession
        fired: list[object] = []
        expected = 2
        for session in (both.client, far):
            session.whenClosed().addBoth(fired.append)
        for _ in range(requests):
            stream = both.client.request()
            for name in ("whenResponse", "read", "whenClosed", "whenTrailers"):
                getattr(stream, name)().addBoth(fired.append)
                expected += 1
        for role, end in ends:
            session = both.client if role == "client" else far
            if end == "lose":
                both.pipe.lose()
            elif end == "destroy":
                session.destroy(code=ErrorCode.CANCEL)
            elif end == "close":
                session.close().addErrback(lambda _: None)
            elif not session.destroyed:
                session.goaway()
            for _ in range(3):
                both.pipe._step(*both.pipe._ends[0])
                both.pipe._step(*both.pipe._ends[1])
        for stream in streams:
            stream.close(ErrorCode.CANCEL)
        both.pump()
        both.client.destroy()
        both.pump()
        for _ in range(8):
            both.advance(20)
        self.assertEqual(len(fired), expected)
        self.assertEqual(both.clock.getDelayedCalls(), [])
