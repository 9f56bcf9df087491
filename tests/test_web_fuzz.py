"""
Whatever clients and resources do to a site: each request ends once, nothing is logged, nothing raises.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.web import server
from twisted.web.resource import Resource

from tests.sites import Leaf, StreamingLeaf, WebCase
from txh2session import InvalidState, StreamError
from txh2session.testing import FramePeer, requestFields
from txh2session.web import setTrailers, streamOf, uploadOf, wrapSite

values = st.one_of(
    st.binary(max_size=30).map(lambda raw: bytes(c for c in raw if c >= 32 and c != 127).strip(b" ")),
    st.sampled_from(
        [
            *(
                b"multipart/form-data; boundary=x",
                b"multipart/form-data; boundary=",
                b"application/x-www-form-urlencoded",
            ),
            *(
                b"text/x; charset*=x''%",
                b'text/x; filename="',
                b"Basic :",
                b"Basic !",
                b"bytes=-",
                b"bytes=0-1,2-3",
                b"0",
            ),
        ]
    ),
)
names = st.sampled_from(
    [
        *(b"content-type", b"cookie", b"range", b"if-none-match", b"if-modified-since", b"authorization", b"expect"),
        *(b"accept-encoding", b"referer", b"user-agent", b"x-odd", b"x_odd", b"content-length", b"te", b"host"),
    ]
)
paths = st.one_of(
    st.sampled_from([b"/now", b"/later?a=b&a=%ff&=", b"/stream", b"//", b"*", b"/%00", b"/..//%2e"]),
    st.binary(max_size=20).map(lambda raw: b"/" + bytes(c for c in raw if c > 32 and c != 127)),
)
methods = st.sampled_from([b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS", b"STRANGE", b"CONNECT"])

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["/now", "/later", "/stream"]), st.sampled_from(["GET", "POST", "HEAD"])),
        st.tuples(st.just("data"), st.integers(0, 4)),
        st.tuples(st.just("end"), st.integers(0, 4)),
        st.tuples(st.just("reset"), st.integers(0, 4)),
        st.tuples(st.just("write"), st.sampled_from([0, 10, 100_000])),
        st.tuples(st.just("push"), st.just(0)),
        st.tuples(st.just("pull"), st.just(0)),
        st.tuples(st.just("trailers"), st.just(0)),
        st.tuples(st.just("read"), st.just(0)),
        st.tuples(st.just("finish"), st.just(0)),
        st.tuples(st.just("lose"), st.just(0)),
        st.tuples(st.just("abandon"), st.just(0)),
        st.tuples(st.just("window"), st.integers(0, 4)),
        st.tuples(st.just("time"), st.sampled_from([0, 1.5, 61])),
        st.tuples(st.just("goaway"), st.just(0)),
    ),
    max_size=25,
)


class Producer:
    """
    Writes when it is asked to, now and then, and ends by itself in the end.
    """

    def __init__(self, request: Any, streaming: bool) -> None:
        self._request = request
        self._asked = 0
        request.registerProducer(self, streaming)

    def resumeProducing(self) -> None:
        """Write, or not, or end."""
        self._asked += 1
        if self._asked % 3 == 0:
            self._request.write(b"x" * 20_000)
        elif self._asked > 20:
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        """Wait."""

    def stopProducing(self) -> None:
        """End."""


class AnyRequestTests(WebCase):
    """
    A site against clients that ask for anything, and resources that do anything.
    """

    @settings(max_examples=150, deadline=None)
    @given(methods, paths, st.lists(st.tuples(names, values), max_size=5), st.none() | st.binary(max_size=50))
    def test_anyRequest(
        self, method: bytes, path: bytes, fields: list[tuple[bytes, bytes]], body: bytes | None
    ) -> None:
        """
        Any request is answered, or reset, and breaks nothing.
        """
        peer = FramePeer.toServer(wrapSite(self.site(lambda request: request.content.read()), clock=self.clock))
        pseudo = [(b":method", method), (b":authority", b"localhost:1")]
        if method != b"CONNECT":
            pseudo += [(b":scheme", b"http"), (b":path", path)]
        sent: Any = [*pseudo, *fields]
        peer.send(peer.headers(1, sent, end=body is None))
        if body is not None:
            peer.send(peer.data(1, body, end=True))
        ends = [
            name for name in peer.names() if name.startswith(("RST_STREAM 1 ", "HEADERS 1 ")) and " 100" not in name
        ]
        self.assertTrue(ends)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=150, deadline=None)
    @given(steps)
    def test_anyEvents(self, what: list[tuple[str, Any]]) -> None:
        """
        Every request is told once that it is over, however it ends.
        """
        requests: list[Any] = []
        told: list[list[Any]] = []

        def keep(request: Any) -> int:
            requests.append(request)
            results: list[Any] = []
            told.append(results)
            request.notifyFinish().addBoth(results.append)
            return server.NOT_DONE_YET

        root = Resource()
        root.putChild(b"now", Leaf(lambda request: request.content.read()))
        root.putChild(b"later", Leaf(keep))
        root.putChild(b"stream", StreamingLeaf(keep))
        peer = FramePeer.toServer(wrapSite(self.site(root), clock=self.clock))
        streamID = 1
        for name, argument in what:
            if peer.lost:
                break
            active = [request for request, results in zip(requests, told, strict=True) if not results]
            if name.startswith("/"):
                fields = requestFields(argument, name)
                peer.send(peer.headers(streamID, fields, end=argument != "POST"))
                streamID += 2
            elif name == "time":
                self.clock.advance(argument)
            elif name == "goaway":
                peer.send(peer.goAway(0))
            elif name == "window":
                peer.send(peer.window(1 + 2 * argument, 50_000) if 2 * argument < streamID - 1 else peer.ping())
            elif name in ("data", "end", "reset"):
                if 2 * argument < streamID - 1:
                    target = 1 + 2 * argument
                    peer.send(peer.reset(target) if name == "reset" else peer.data(target, b"x", end=name == "end"))
            elif active:
                self.act(name, argument, active[-1])
        peer.abort()
        self.clock.advance(0)
        for request, results in zip(requests, told, strict=True):
            stream = streamOf(request)
            assert stream is not None
            if not results and stream.sentHeaders is not None and not stream.aborted:
                # An answer without a body was whole, and its resource has not finished yet.
                if request.producer is not None:
                    request.unregisterProducer()
                request.finish()
            self.assertEqual(len(results), 1, (what, request))
        self.assertEqual(self.flushLoggedErrors(), [])

    def act(self, name: str, argument: Any, request: Any) -> None:
        """
        Do something to a request that is not over.
        """
        if name == "write":
            request.write(b"x" * argument)
        elif name in ("push", "pull"):
            if request.producer is None:
                Producer(request, name == "push")
        elif name == "trailers":
            setTrailers(request, {"x": "y"})
        elif name == "read":
            try:
                uploadOf(request).read().addErrback(lambda failure: None)
            except InvalidState:
                pass  # it is being read already
        elif name == "lose":
            request.loseConnection()
        elif name == "abandon":
            stream: Any = streamOf(request)
            stream.destroy(StreamError("given up"))
        elif request.producer is None:
            request.finish()
