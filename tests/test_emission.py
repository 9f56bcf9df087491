"""
What two sessions send while their applications do anything: L{EmissionMonitor} reads every byte of both.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.monitor import PREFACE, EmissionMonitor, watch
from txh2session import HTTP2Error, Limits, Options, PaddingStrategy, SessionListener, Settings
from txh2session._frames import buildFrame
from txh2session.testing import connectedSessions

BODY = b"0123456789abcdef" * 16384

sizes = st.sampled_from([0, 1, 100, 16384, 16385, 65535, 65536, 200_000])
often = st.one_of(
    st.tuples(st.sampled_from(["get", "post"]), sizes),
    st.tuples(st.sampled_from(["write", "answer", "end", "endAnswer", "trailers", "answerTrailers"]), sizes),
    st.tuples(st.sampled_from(["respond", "information", "push", "read", "readAnswer"]), sizes),
    st.tuples(st.just("pump"), st.sampled_from([1, 2, 5, 1000])),
    st.tuples(st.just("pick"), st.integers(0, 20)),
)
now_and_then = st.one_of(
    st.tuples(st.just("connect"), sizes),
    st.tuples(st.sampled_from(["cancel", "refuse"]), st.sampled_from([0, 2, 8])),
    st.tuples(st.sampled_from(["ping", "serverPing"]), st.just(0)),
    st.tuples(st.sampled_from(["window", "serverWindow"]), st.sampled_from([0, 1, 1000, 65535, 100_000, 2**31 - 1])),
    st.tuples(st.sampled_from(["frame", "serverFrame"]), st.sampled_from([16384, 20_000, 2**24 - 1])),
    st.tuples(st.sampled_from(["table", "serverTable"]), st.sampled_from([0, 100, 4096, 65536])),
    st.tuples(st.sampled_from(["streams", "serverStreams"]), st.sampled_from([0, 1, 5, 100])),
    st.tuples(st.sampled_from(["connectionWindow", "serverConnectionWindow"]), st.sampled_from([65535, 2**31 - 1])),
    st.tuples(st.sampled_from(["prioritise", "altSvc"]), st.integers(0, 7)),
    st.tuples(st.sampled_from(["hold", "release"]), st.integers(0, 1)),
)
seldom = st.one_of(
    st.tuples(st.sampled_from(["goaway", "serverGoaway"]), st.integers(0, 99)),
    st.tuples(st.sampled_from(["close", "serverClose", "destroy", "serverDestroy", "drain"]), st.just(0)),
    st.tuples(st.just("time"), st.sampled_from([0.1, 1.5, 11])),
)
choices = st.lists(
    st.integers(0, 19).flatmap(lambda dice: often if dice < 13 else now_and_then if dice < 19 else seldom),
    min_size=15,
    max_size=90,
)
"""What the applications do, step by step."""

FIRST = [(name, 100) for name in ("get", "post", "get", "post", "get")]
"""What they do before, so that there is something to be done with."""


class EmissionTests(SynchronousTestCase):
    """
    Two sessions whose applications do anything, in any order, while bytes move in pieces of any size.
    """

    def setUp(self) -> None:
        """
        Nothing was sent yet.
        """
        self.total: Counter[int] = Counter()

    def drive(self, what: list[tuple[str, int]], chunk: int | None, padding: PaddingStrategy, **options: Any) -> None:
        """
        Do all steps, then let everything come to its end.
        """
        streams: list[Any] = []
        made: list[Any] = []
        both = connectedSessions(
            lambda stream, headers: streams.append(stream),
            chunk=chunk,
            pump=False,
            options=Options(padding=padding),
            clientOptions=Options(padding=padding),
            clientListener=SessionListener(),
            settings=options.get("settings"),
            clientSettings=Settings(enablePush=True),
            limits=Limits(maxStreamWindow=2**31 - 1, maxConnectionWindow=2**31 - 1),
        )
        monitors = watch(both.pipe)
        both.pump()
        client, server = both.client, both.serverSession
        pick = 0
        for name, value in [*FIRST, ("pump", 1000), *what]:
            if name == "pick":
                pick = value
                continue
            mine = made[-1 - pick % len(made)] if made else None
            theirs = streams[-1 - pick % len(streams)] if streams else None
            try:
                self.do(name, value, both, client, server, mine, theirs, made)
            except HTTP2Error:
                pass  # misuse, which raises at the call: nothing may go out
            self.assertEqual([monitor.breaches for monitor in monitors], [[], []], (name, value))
        for transport in (both.pipe.first, both.pipe.second):
            both.pipe.release(transport)
        both.pump()
        for _ in range(4):
            both.advance(30)
        self.assertEqual([monitor.breaches for monitor in monitors], [[], []])
        for monitor in monitors:
            self.total.update(monitor.frames)
        client.destroy()
        both.pump()
        both.advance(100)
        self.assertEqual(self.flushLoggedErrors(), [])

    def do(
        self, name: str, value: int, both: Any, client: Any, server: Any, mine: Any, theirs: Any, made: list[Any]
    ) -> None:
        """
        Do one step.
        """
        session = server if name.startswith("server") else client
        if name == "get":
            made.append(client.request({"x-size": value, "x-noise": "n" * (value % 20_000)}))
        elif name == "post":
            made.append(client.request({":method": "POST"}))
        elif name == "connect":
            made.append(client.request({":method": "CONNECT", ":authority": "elsewhere:1"}))
        elif name == "pump":
            for _ in range(value):
                if not (both.pipe._step(*both.pipe._ends[0]) | both.pipe._step(*both.pipe._ends[1])):
                    break
        elif name in ("hold", "release"):
            getattr(both.pipe, name)(both.pipe.second if value else both.pipe.first)
        elif name == "time":
            both.clock.advance(value)
        elif name in ("ping", "serverPing"):
            session.ping().addErrback(lambda _: None)
        elif name in ("window", "serverWindow"):
            session.settings(initialWindowSize=value).addErrback(lambda _: None)
        elif name in ("frame", "serverFrame"):
            session.settings(maxFrameSize=value).addErrback(lambda _: None)
        elif name in ("table", "serverTable"):
            session.settings(headerTableSize=value).addErrback(lambda _: None)
        elif name in ("streams", "serverStreams"):
            session.settings(maxConcurrentStreams=value).addErrback(lambda _: None)
        elif name in ("connectionWindow", "serverConnectionWindow"):
            session.setLocalWindowSize(value)
        elif name in ("goaway", "serverGoaway"):
            session.goaway(lastStreamID=value)
        elif name in ("close", "serverClose"):
            session.close().addErrback(lambda _: None)
        elif name == "drain":
            server.drain().addErrback(lambda _: None)
        elif name in ("destroy", "serverDestroy"):
            session.destroy(code=2)
        elif name == "altSvc":
            server.altsvc('h2=":1"', "http://localhost")
        elif name in ("write", "end", "trailers", "cancel", "readAnswer", "prioritise"):
            self.onStream(name, value, mine)
        else:
            self.onStream(name, value, theirs)

    def onStream(self, name: str, value: int, stream: Any) -> None:
        """
        Do one step with a stream, if there is one.
        """
        if stream is None:
            return
        if name in ("write", "answer"):
            stream.write(BODY[:value])
        elif name in ("end", "endAnswer"):
            stream.end(BODY[:value])
        elif name in ("trailers", "answerTrailers"):
            stream.end(BODY[:value], trailers={"a": "b" * (value % 30_000)})
        elif name == "respond":
            stream.respond({"x-noise": "~" * (value % 30_000)}, endStream=value == 1)
        elif name == "information":
            stream.additionalHeaders({":status": 103, "link": "</a>"})
        elif name == "push":
            pushed = stream.pushStream({":path": "/pushed"})
            pushed.respond({"x-noise": "~" * (value % 30_000)})
            pushed.end(BODY[:value])
        elif name in ("cancel", "refuse"):
            stream.close(value)
        elif name == "prioritise":
            stream.reprioritize(value)
        else:
            stream.read().addErrback(lambda _: None)

    def tearDown(self) -> None:
        """
        See that the examples were worth it: every type of frame was sent, most of them often.
        """
        for kind, least in {0: 100, 1: 300, 3: 10, 4: 100, 5: 3, 6: 10, 7: 10, 8: 50, 9: 3, 0x0A: 1, 0x10: 1}.items():
            self.assertGreaterEqual(self.total[kind], least, kind)

    @settings(max_examples=50)
    @given(choices, st.sampled_from([None, 1000, 61]), st.sampled_from(list(PaddingStrategy)))
    def test_anything(self, what: list[tuple[str, int]], chunk: int | None, padding: PaddingStrategy) -> None:
        """
        Whatever the two applications do, both ends keep to the rules.
        """
        self.drive(what, chunk, padding)


class MonitorTests(SynchronousTestCase):
    """
    The monitor finds what it is there to find.
    """

    def setUp(self) -> None:
        """
        Have a client's and a server's first bytes, and a request.
        """
        self.encoder = Encoder()
        self.request = self.encoder.encode(
            [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")]
        )

    def sees(self, client: bool, *said: tuple[str, bytes]) -> list[str]:
        """
        Watch an end that has a request open, then says something.

        @param said: what is C{"sent"}, and what is C{"received"} between.
        """
        monitor = EmissionMonitor(client)
        settings = buildFrame(4, 0, 0)
        asks = buildFrame(1, 4, 1, self.request)
        if client:
            monitor.sent(PREFACE + settings)
            monitor.received(settings)
            monitor.sent(buildFrame(4, 1, 0) + asks)
        else:
            monitor.received(PREFACE + settings)
            monitor.sent(settings + buildFrame(4, 1, 0))
            monitor.received(asks)
        self.assertEqual(monitor.breaches, [])
        for how, data in said:
            getattr(monitor, how)(data)
        return monitor.breaches

    def test_goodClient(self) -> None:
        """
        A client that keeps to the rules is not blamed.
        """
        good = [
            *(buildFrame(0, 0, 1, b"x" * 16384) for _ in range(3)),
            buildFrame(8, 0, 0, b"\x7f\xff\0\0"),
            buildFrame(8, 0, 1, b"\x7f\xff\0\0"),
            buildFrame(6, 0, 0, bytes(8)),
            buildFrame(0x10, 0, 0, b"\0\0\0\x01u=1"),
            buildFrame(1, 5, 1, Encoder().encode([("a", "b")])),
            buildFrame(1, 1, 3, self.request[:2]) + buildFrame(9, 4, 3, self.request[2:]),
            buildFrame(3, 0, 3, bytes(4)),
            buildFrame(7, 0, 0, bytes(8)),
        ]
        self.assertEqual(self.sees(True, *(("sent", each) for each in good)), [])

    def test_client(self) -> None:
        """
        What a client may not send.
        """
        again = ("sent", buildFrame(1, 5, 1, Encoder().encode([("a", "b")])))
        reset = ("received", buildFrame(3, 0, 1, bytes(4)))
        wait = ("sent", b"")
        none = Encoder()
        cases: dict[str, tuple[str, list[tuple[str, bytes]]]] = {
            "window": ("overdraws its window", [("sent", buildFrame(0, 0, 1, b"x" * 16384) * 4)]),
            "frame": ("too long", [("sent", buildFrame(0, 0, 1, b"x" * 16385))]),
            "idle": ("is idle", [("sent", buildFrame(0, 0, 3, b"x"))]),
            "zero": ("is idle", [("sent", buildFrame(0, 0, 0, b"x"))]),
            "reserved bit": ("reserved bit", [("sent", buildFrame(0, 0, 0x80000001, b"x"))]),
            "flags": ("has no flags", [("sent", buildFrame(0, 4, 1, b"x"))]),
            "type": ("nobody asked", [("sent", buildFrame(0x44, 0, 0))]),
            "half a frame": ("whole", [("sent", buildFrame(6, 0, 0, bytes(8))[:12])]),
            "after the end": ("after END_STREAM", [again, ("sent", buildFrame(0, 0, 1, b"x"))]),
            "twice ended": ("after END_STREAM", [again, again]),
            "after its reset": (
                "which is closed",
                [("sent", buildFrame(3, 0, 1, bytes(4))), ("sent", buildFrame(0, 0, 1, b"x"))],
            ),
            "two resets": ("which is closed", [("sent", buildFrame(3, 0, 1, bytes(4)) * 2)]),
            "a reset for a reset": ("which is closed", [reset, wait, ("sent", buildFrame(3, 0, 1, bytes(4)))]),
            "trailers": ("trailers end", [("sent", buildFrame(1, 4, 1, none.encode([("a", "b")])))]),
            "trailers in a tunnel": (
                "a tunnel has",
                [
                    ("sent", buildFrame(1, 4, 3, none.encode([(":method", "CONNECT"), (":authority", "a:1")]))),
                    ("sent", buildFrame(1, 5, 3, b"\0\1a\1b")),
                ],
            ),
            "even": ("to open", [("sent", buildFrame(1, 5, 2, self.request))]),
            "backwards": (
                "higher id",
                [("sent", buildFrame(1, 5, 9, self.request)), ("sent", buildFrame(1, 5, 7, self.request))],
            ),
            "too many": (
                "too many",
                [
                    ("received", buildFrame(4, 0, 0, b"\0\3\0\0\0\1")),
                    ("sent", buildFrame(4, 1, 0)),
                    ("sent", buildFrame(1, 5, 3, self.request)),
                ],
            ),
            "after GOAWAY": (
                "after the other end's GOAWAY",
                [("received", buildFrame(7, 0, 0, bytes(8))), wait, ("sent", buildFrame(1, 5, 3, self.request))],
            ),
            "upper case": ("lower case", [("sent", buildFrame(1, 5, 3, self.request + b"\0\1A\1b"))]),
            "LF": ("no CR", [("sent", buildFrame(1, 5, 3, self.request + b"\0\1a\1\n"))]),
            "connection": ("HTTP/1.1's", [("sent", buildFrame(1, 5, 3, self.request + b"\0\x0aconnection\1b"))]),
            "late": ("comes before", [("sent", buildFrame(1, 5, 3, b"\0\1a\1b" + self.request))]),
            "twice": ("comes once", [("sent", buildFrame(1, 5, 3, self.request + b"\x82"))]),
            "no path": ("a request has", [("sent", buildFrame(1, 5, 3, b"\x82\x86"))]),
            "broken block": (
                "into a header block",
                [("sent", buildFrame(1, 1, 3, self.request)), ("sent", buildFrame(6, 0, 0, bytes(8)))],
            ),
            "bare CONTINUATION": ("goes on with", [("sent", buildFrame(9, 4, 3, self.request))]),
            "acknowledgement": ("something to acknowledge", [("sent", buildFrame(4, 1, 0))]),
            "answer": ("repeats its PING", [("sent", buildFrame(6, 1, 0, bytes(8)))]),
            "no increment": ("WINDOW_UPDATE of 0", [("sent", buildFrame(8, 0, 0, bytes(4)))]),
            "window given": ("too large", [("sent", buildFrame(8, 0, 0, b"\x7f\xff\xff\xff"))]),
            "last id": (
                "not raised",
                [("sent", buildFrame(7, 0, 0, bytes(8))), ("sent", buildFrame(7, 0, 0, b"\0\0\0\2" + bytes(4)))],
            ),
            "promise": ("clients promise nothing", [("sent", buildFrame(5, 4, 1, b"\0\0\0\2" + self.request))]),
            "ORIGIN": ("a server's", [("sent", buildFrame(0x0C, 0, 0))]),
            "table": (
                "shrink",
                [
                    ("received", buildFrame(4, 0, 0, b"\0\1\0\0\0\0")),
                    ("sent", buildFrame(4, 1, 0)),
                    ("sent", buildFrame(1, 5, 3, b"\x82\x86\x84\x01\1a")),
                ],
            ),
        }
        for name, (expected, said) in cases.items():
            self.assertIn(expected, "".join(self.sees(True, *said)), name)

    def test_server(self) -> None:
        """
        What a server may not send.
        """
        answer = ("sent", buildFrame(1, 4, 1, b"\x88"))
        cases: dict[str, tuple[str, list[tuple[str, bytes]]]] = {
            "body first": ("before its headers", [("sent", buildFrame(0, 0, 1, b"x"))]),
            "trailers": ("trailers end", [answer, answer]),
            "pseudo": ("no pseudo-header", [answer, ("sent", buildFrame(1, 5, 1, b"\x88"))]),
            "status": ("has :status", [("sent", buildFrame(1, 4, 1, b"\x82"))]),
            "information": ("does not end", [("sent", buildFrame(1, 5, 1, b"\x08\x03103"))]),
            "ENABLE_PUSH": ("a client's", [("sent", buildFrame(4, 0, 0, b"\0\2\0\0\0\0"))]),
            "range": ("in its range", [("sent", buildFrame(4, 0, 0, b"\0\5\0\0\0\1"))]),
            "no push": (
                "wants no pushes",
                [
                    ("received", buildFrame(4, 0, 0, b"\0\2\0\0\0\0")),
                    ("sent", buildFrame(4, 1, 0)),
                    ("sent", buildFrame(5, 4, 1, b"\0\0\0\2" + self.request)),
                ],
            ),
            "odd push": ("to open", [("sent", buildFrame(5, 4, 1, b"\0\0\0\3\x82\x86\x84\x01\1a"))]),
            "unsafe push": ("is safe", [("sent", buildFrame(5, 4, 1, b"\0\0\0\2" + self.request))]),
            "push after the end": (
                "goes with the answer",
                [("sent", buildFrame(1, 5, 1, b"\x88")), ("sent", buildFrame(5, 4, 1, b"\0\0\0\2\x82\x86\x84\x01\1a"))],
            ),
            "stream nobody opened": ("is idle", [("sent", buildFrame(1, 5, 3, b"\x88"))]),
            "PRIORITY_UPDATE": ("a client's", [("sent", buildFrame(0x10, 0, 0, b"\0\0\0\1"))]),
            "settings lower a window": (
                "overdraws",
                [
                    answer,
                    ("received", buildFrame(4, 0, 0, b"\0\4\0\0\0\0")),
                    ("sent", buildFrame(4, 1, 0)),
                    ("sent", buildFrame(0, 0, 1, b"x")),
                ],
            ),
        }
        for name, (expected, said) in cases.items():
            self.assertIn(expected, "".join(self.sees(False, *said)), name)

    def test_first(self) -> None:
        """
        What has to come first.
        """
        for client, data, expected in (
            (True, b"x" * 24, "no preface"),
            (True, PREFACE + buildFrame(6, 0, 0, bytes(8)), "SETTINGS come first"),
            (False, buildFrame(4, 1, 0), "SETTINGS come first"),
        ):
            monitor = EmissionMonitor(client)
            monitor.sent(data)
            self.assertIn(expected, "".join(monitor.breaches))
