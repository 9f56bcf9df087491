"""
Tests of L{txh2session.demo}: every route, with a client that speaks single frames, on a fake clock.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from typing import Any, NamedTuple

from hyperframe.frame import DataFrame, GoAwayFrame, HeadersFrame, PingFrame, RstStreamFrame, WindowUpdateFrame
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txh2session import Server, Settings, Timeouts, TunnelRefused, openTunnel
from txh2session.demo import ROUTES, Demo
from txh2session.testing import FramePeer, connectedSessions, requestFields
from txh2session.websocket import WebSocket, openWebSocket

EXTENDED = Settings(enableConnectProtocol=True)

WINDOW = 65535
"""What a client that says nothing about windows can receive (RFC 9113 section 6.9.2)."""


class Response(NamedTuple):
    """
    What came on a stream.

    @ivar heads: the header lists, as dictionaries: responses, then trailers.
    @ivar body: the body.
    @ivar ended: whether the answer was whole.
    @ivar reset: the code the stream was reset with, L{None} if it was not.
    """

    heads: list[dict[str, str]]
    body: bytes
    ended: bool
    reset: int | None

    @property
    def status(self) -> int:
        """
        The first response's status.
        """
        return int(self.heads[0][":status"])

    @property
    def text(self) -> str:
        """
        The body as text.
        """
        return self.body.decode()


class DemoCase(SynchronousTestCase):
    """
    Has the demo, and a client of it.
    """

    def setUp(self) -> None:
        """
        Connect.
        """
        self.clock = Clock()
        # Without the library's own timeouts, all that waits for the clock is the demo's.
        timeouts = Timeouts(preface=0, settingsAck=0, idle=0, stalled=0, upload=0, drain=0)
        settings = Settings(enableConnectProtocol=True)
        self.server = Server(Demo(self.clock).streamReceived, clock=self.clock, timeouts=timeouts, settings=settings)
        self.peer = FramePeer.toServer(self.server)
        self.streamID = -1

    @property
    def session(self) -> Any:
        """
        The server's session.
        """
        (session,) = self.server.sessions
        return session

    def open(self, path: str, method: str = "GET", *extra: tuple[str, str], end: bool = True) -> int:
        """
        Send the headers of a request.

        @return: the stream's id.
        """
        self.streamID += 2
        self.peer.send(self.peer.headers(self.streamID, [*requestFields(method, path), *extra], end=end))
        return self.streamID

    def response(self, streamID: int) -> Response:
        """
        Take what has come on a stream.
        """
        taken = self.peer.take()
        frames = [frame for frame in taken if frame.stream_id == streamID]
        self.peer.frames = [frame for frame in taken if frame.stream_id != streamID]
        heads = [dict(frame.fields) for frame in frames if isinstance(frame, HeadersFrame)]
        body = b"".join(frame.data for frame in frames if isinstance(frame, DataFrame))
        ended = any("END_STREAM" in frame.flags for frame in frames)
        codes = [frame.error_code for frame in frames if isinstance(frame, RstStreamFrame)]
        return Response(heads, body, ended, codes[0] if codes else None)

    def ask(self, path: str, method: str = "GET", *extra: tuple[str, str]) -> Response:
        """
        Send a whole request, and take the answer that comes at once.
        """
        return self.response(self.open(path, method, *extra))

    def answerPings(self) -> None:
        """
        Answer the PINGs that came.
        """
        for frame in self.peer.take(PingFrame):
            if "ACK" not in frame.flags:
                self.peer.send(self.peer.ping(frame.opaque_data, ack=True))

    def assertNothingPending(self) -> None:
        """
        Check that nothing waits for the clock.
        """
        self.assertEqual(self.clock.getDelayedCalls(), [])


class PageTests(DemoCase):
    """
    The page, and what the table of routes says.
    """

    def test_page(self) -> None:
        """
        The page is HTML, lists every route, and says what it came over.
        """
        response = self.ask("/")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.heads[0]["content-type"], "text/html; charset=utf-8")
        self.assertEqual(int(response.heads[0]["content-length"]), len(response.body))
        for route in ROUTES.values():
            self.assertIn(f"<code>{route.path}</code>", response.text)
            self.assertIn(route.summary, response.text.replace("&#x27;", "'"))
        self.assertIn("<strong>h2c</strong>", response.text)
        self.assertIn("<strong>1</strong>", response.text)

    def test_selfContained(self) -> None:
        """
        The page and its files load nothing from elsewhere, and nothing of its template is left over.
        """
        page, style, script = (self.ask(path).text for path in ("/", "/page.css", "/page.js"))
        for text in (page, style, script):
            self.assertEqual(re.findall(r"https?://|@import|url\(|\bimport\b", text), [])
        self.assertEqual(re.findall(r"\$\w+", page), [])
        links = re.findall(r'(?:href|src)="([^"]*)"', page)
        self.assertEqual([each for each in links if not each.startswith(("/", "data:"))], [])

    def test_assets(self) -> None:
        """
        What the page loads is there, with its type.
        """
        for path, kind in (("/page.css", "text/css; charset=utf-8"), ("/page.js", "text/javascript; charset=utf-8")):
            response = self.ask(path)
            self.assertEqual((response.status, response.heads[0]["content-type"]), (200, kind))
            self.assertTrue(response.body)

    def test_policy(self) -> None:
        """
        The page may do only what it does: its policy names no source but the server, and nothing in it is inline.
        """
        response = self.ask("/")
        policy = dict(each.strip().split(" ", 1) for each in response.heads[0]["content-security-policy"].split(";"))
        self.assertEqual(policy["default-src"], "'none'")
        self.assertEqual({policy[name] for name in ("script-src", "style-src", "connect-src")}, {"'self'"})
        self.assertEqual(re.findall(r"<style|<script>|style=|\bon\w+=", response.text), [])

    def test_labels(self) -> None:
        """
        Every part of the page and every control has a name, and what a script looks for is there.
        """
        page, script = self.ask("/").text, self.ask("/page.js").text
        ids = re.findall(r'id="([^"]+)"', page)
        self.assertEqual(len(ids), len(set(ids)))
        named = re.findall(r'(?:aria-labelledby|for)="([^"]+)"', page)
        wanted = re.findall(r"\$\('([\w-]+)'\)", script)
        self.assertEqual((set(named) | set(wanted)) - set(ids), set())
        for tag in re.findall(r"<(?:section|article|progress|svg)\b[^>]*>", page):
            self.assertIn("aria-label", tag)

    def test_links(self) -> None:
        """
        Every link of the page leads to an answer.
        """
        links = [link for link in re.findall(r'href="(/[^"]*)"', self.ask("/").text)]
        self.assertGreater(len(links), 5)
        for link in links:
            streamID = self.open(link)
            self.answerPings()
            self.clock.advance(5)
            response = self.response(streamID)
            self.assertIn(response.status, (103, 200), link)
            self.assertEqual(response.heads[-1].get(":status", "200"), "200", link)

    def test_stable(self) -> None:
        """
        The routes are those that clients' tests rely on.
        """
        self.assertEqual(
            [route.path for route in ROUTES.values()],
            [
                "/",
                "/hello",
                "/bytes/N",
                "/echo",
                "/discard",
                "/unread?seconds=S",
                "/trailers",
                "/early-hints",
                "/session",
                "/live?seconds=S",
                "/drip/N",
                "/destroy?code=N",
                "/goaway?code=N",
                "/reset?code=N",
                "/slow?seconds=S",
                "/connect-echo",
                "/ws",
            ],
        )


class AnswerTests(DemoCase):
    """
    The routes that answer and no more.
    """

    def test_hello(self) -> None:
        """
        C{/hello} is two words of plain text, and END_STREAM is on the last of them.
        """
        response = self.ask("/hello")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.heads[0]["content-type"], "text/plain")
        self.assertEqual(response.heads[0]["content-length"], "12")
        self.assertEqual(response.body, b"hello world\n")
        self.assertTrue(response.ended)

    def test_query(self) -> None:
        """
        A query that a route does not know changes nothing.
        """
        self.assertEqual(self.ask("/hello?a=b&c").body, b"hello world\n")

    def test_otherMethods(self) -> None:
        """
        The routes ask for no particular method.
        """
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            self.assertEqual(self.ask("/hello", method).body, b"hello world\n", method)

    def test_notFound(self) -> None:
        """
        Anything else is a 404 in plain text.
        """
        for path in ("/nope", "/hello/", "/hello/1", "/bytes", "/Hello", "//hello", "/%68ello", "/index.html", "/\xe9"):
            response = self.ask(path)
            self.assertEqual(response.status, 404, path)
            self.assertEqual(response.heads[0]["content-type"], "text/plain")
            self.assertTrue(response.body.endswith(b"\n"))

    def test_notFoundOptions(self) -> None:
        """
        So are the requests that have no path of their own: C{OPTIONS *} and C{CONNECT}.
        """
        self.assertEqual(self.ask("*", "OPTIONS").status, 404)
        self.streamID += 2
        fields = [(":method", "CONNECT"), (":authority", "localhost:80")]
        self.peer.send(self.peer.headers(self.streamID, fields))
        self.assertEqual(self.response(self.streamID).status, 404)

    def test_connectEcho(self) -> None:
        """
        Extended CONNECT to C{/connect-echo} is a tunnel that echoes; to another route there is none.
        """
        fields = [(":method", "CONNECT"), (":protocol", "echo"), (":scheme", "http"), (":authority", "localhost")]
        self.streamID += 2
        self.peer.send(self.peer.headers(self.streamID, [*fields, (":path", "/connect-echo")]))
        self.peer.send(self.peer.data(self.streamID, b"there and back"), self.peer.data(self.streamID, end=True))
        self.clock.advance(0)
        response = self.response(self.streamID)
        self.assertEqual((response.status, response.body, response.ended), (200, b"there and back", True))
        self.streamID += 2
        self.peer.send(self.peer.headers(self.streamID, [*fields, (":path", "/hello")]))
        self.assertEqual(self.response(self.streamID).status, 404)
        self.assertEqual(self.ask("/connect-echo").status, 405)

    def test_notFoundAtOnce(self) -> None:
        """
        A 404 does not wait for a body, which the client is then told not to send.
        """
        streamID = self.open("/nope", "POST", end=False)
        response = self.response(streamID)
        self.assertEqual((response.status, response.ended, response.reset), (404, True, None))
        self.clock.advance(Timeouts().unread)
        self.assertEqual(self.response(streamID).reset, 0)

    def test_trailers(self) -> None:
        """
        C{/trailers} announces its trailers, which are right.
        """
        response = self.ask("/trailers")
        head, trailers = response.heads
        self.assertEqual(head["trailer"], "x-body-length, x-body-sha256")
        self.assertEqual(
            trailers,
            {"x-body-length": str(len(response.body)), "x-body-sha256": hashlib.sha256(response.body).hexdigest()},
        )
        self.assertTrue(response.body)
        self.assertTrue(response.ended)

    def test_earlyHints(self) -> None:
        """
        C{/early-hints} sends a 103 with a link, then answers.
        """
        response = self.ask("/early-hints")
        hints, head = response.heads
        self.assertEqual(hints, {":status": "103", "link": "</hello>; rel=preload; as=fetch"})
        self.assertEqual(head[":status"], "200")
        self.assertTrue(response.ended)


class HeadTests(DemoCase):
    """
    HEAD works everywhere.
    """

    def test_head(self) -> None:
        """
        The answer to HEAD has the headers of the answer to GET, and no body.
        """
        paths = [
            "/",
            "/hello",
            "/page.js",
            "/live?seconds=1",
            "/drip/3",
            "/ws",
            "/bytes/100000",
            "/trailers",
            "/early-hints",
            "/slow?seconds=2",
            "/unread?seconds=1",
        ]
        for path in [*paths, "/session", "/echo", "/discard", "/goaway", "/nope", "/bytes/x"]:
            heads = []
            for method in ("HEAD", "GET"):
                self.setUp()
                streamID = self.open(path, method)
                self.answerPings()
                self.clock.advance(2)
                frames = [frame for frame in self.peer.take() if frame.stream_id == streamID]
                final = next(
                    frame for frame in frames if ("HEADERS" in describe(frame) and "103" not in describe(frame))
                )
                head = dict(final.fields)
                head.pop("date")
                if path in ("/", "/session"):  # it says which stream it is on, or how long a PING took
                    head.pop("content-length")
                heads.append(head)
                if method == "HEAD":
                    self.assertIn("END_STREAM", final.flags, path)
                    self.assertEqual([frame for frame in frames if isinstance(frame, DataFrame)], [], path)
                    self.assertNothingPending()
            self.assertEqual(*heads, path)

    def test_headWithBody(self) -> None:
        """
        A HEAD request with a body, odd as it is, is echoed no more than any other.
        """
        streamID = self.open("/echo", "HEAD", end=False)
        response = self.response(streamID)
        self.assertEqual((response.status, response.body, response.ended), (200, b"", True))


def describe(frame: Any) -> str:
    """
    Name a frame, with its status.
    """
    return f"{type(frame).__name__.upper()} {dict(getattr(frame, 'fields', ())).get(':status')}"


class BytesTests(DemoCase):
    """
    C{/bytes/N}.
    """

    def receive(self, streamID: int) -> bytes:
        """
        Receive a body, opening windows as it comes.
        """
        body = b""
        while True:
            response = self.response(streamID)
            body += response.body
            if response.ended or not response.body:
                return body
            size = len(response.body)
            self.peer.send(self.peer.window(0, size), self.peer.window(streamID, size))

    def test_sizes(self) -> None:
        """
        As many bytes come as were asked for, and C{content-length} says so.
        """
        for size in (0, 1, 16384, 65535, 65536, 65537, 131072, 1000000):
            streamID = self.open(f"/bytes/{size}")
            (head,) = [frame for frame in self.peer.frames if isinstance(frame, HeadersFrame)]
            self.assertEqual(dict(head.fields)["content-length"], str(size))
            self.assertEqual(dict(head.fields)["content-type"], "application/octet-stream")
            self.assertEqual(self.receive(streamID), bytes(size))
            self.assertNothingPending()

    def test_endStream(self) -> None:
        """
        END_STREAM is on the last bytes, not on a frame after them.
        """
        self.open("/bytes/40000")
        last = [frame for frame in self.peer.frames if isinstance(frame, DataFrame)][-1]
        self.assertIn("END_STREAM", last.flags)
        self.assertTrue(last.data)

    def test_backPressure(self) -> None:
        """
        A client that reads nothing costs a little memory, however long the body is.
        """
        streamID = self.open("/bytes/2147483648")
        self.assertEqual(len(self.response(streamID).body), WINDOW)
        self.assertLess(self.session.state.queuedBytes, 128 * 1024)

    def test_largest(self) -> None:
        """
        2**31 bytes are the most.
        """
        self.assertEqual(self.ask("/bytes/2147483648", "HEAD").heads[0]["content-length"], "2147483648")
        for path in ("/bytes/2147483649", "/bytes/99999999999999999999"):
            response = self.ask(path)
            self.assertEqual(response.status, 400)
            self.assertEqual(response.body, b"N is a whole number from 0 to 2147483648\n")

    def test_noNumber(self) -> None:
        """
        What is no number is a 400 in plain text.
        """
        for text in ("", "x", "-1", "+1", "1.5", "1e3", "0x10", "1_000", "1/2", " 1", "\u0661"):
            response = self.ask(f"/bytes/{text}".replace(" ", "%20"))
            self.assertEqual(response.status, 400, text)
            self.assertEqual(response.heads[0]["content-type"], "text/plain")


class UploadTests(DemoCase):
    """
    The routes that are about the request's body.
    """

    def test_echo(self) -> None:
        """
        C{/echo} sends each piece back as it comes, and the end at the end.
        """
        streamID = self.open("/echo", "POST", ("content-type", "text/x-test"), end=False)
        self.assertEqual(self.response(streamID).heads[0]["content-type"], "text/x-test")
        for piece in (b"one", b"two"):
            self.peer.send(self.peer.data(streamID, piece))
            response = self.response(streamID)
            self.assertEqual((response.body, response.ended), (piece, False))
        self.peer.send(self.peer.data(streamID, b"three", end=True))
        response = self.response(streamID)
        self.assertEqual((response.body, response.ended), (b"three", True))
        self.assertNothingPending()

    def test_echoNothing(self) -> None:
        """
        No body comes back as no body, of a type that promises nothing.
        """
        response = self.ask("/echo")
        self.assertEqual(response.heads[0]["content-type"], "application/octet-stream")
        self.assertEqual((response.body, response.ended), (b"", True))

    def test_echoBackPressure(self) -> None:
        """
        A client that does not read its echo may not send much more.
        """
        streamID = self.open("/echo", "POST", end=False)
        window, sent = Settings().initialWindowSize, 0
        while window >= 16384 and sent < 64 * 1024 * 1024:
            self.peer.send(self.peer.data(streamID, bytes(16384)))
            sent += 16384
            updates = [frame for frame in self.peer.take(WindowUpdateFrame) if frame.stream_id == streamID]
            window += sum(frame.window_increment for frame in updates) - 16384
        self.assertLess(sent, 1024 * 1024)
        self.assertLess(self.session.state.queuedBytes, 128 * 1024)
        self.assertEqual(len(self.response(streamID).body), WINDOW)

    def test_echoCutShort(self) -> None:
        """
        An upload that is cut short ends the echo, and is nothing to log.
        """
        streamID = self.open("/echo", "POST", end=False)
        self.peer.send(self.peer.data(streamID, b"half"), self.peer.reset(streamID))
        self.assertFalse(self.response(streamID).ended)
        self.assertNothingPending()

    def test_discard(self) -> None:
        """
        C{/discard} answers the length once it has read it all.
        """
        streamID = self.open("/discard", "POST", end=False)
        for _ in range(3):
            self.peer.send(self.peer.data(streamID, bytes(1000)))
        self.assertEqual(self.response(streamID).heads, [])
        self.peer.send(self.peer.data(streamID, b"", end=True))
        response = self.response(streamID)
        self.assertEqual((response.status, response.body), (200, b"3000\n"))

    def test_discardNothing(self) -> None:
        """
        No body has the length 0.
        """
        self.assertEqual(self.ask("/discard").body, b"0\n")

    def test_discardCredits(self) -> None:
        """
        What C{/discard} has read makes room for more.
        """
        streamID = self.open("/discard", "POST", end=False)
        for _ in range(64):
            self.peer.send(self.peer.data(streamID, bytes(16384)))
        self.peer.send(self.peer.data(streamID, b"x", end=True))
        self.assertEqual(self.response(streamID).body, b"1048577\n")

    def test_unread(self) -> None:
        """
        C{/unread} credits nothing, answers after 20 seconds, and then stops the upload.
        """
        streamID = self.open("/unread", "POST", end=False)
        for _ in range(Settings().initialWindowSize // 16384):
            self.peer.send(self.peer.data(streamID, bytes(16384)))
        self.clock.advance(19.9)
        self.assertEqual(self.peer.take(), [])
        self.clock.advance(0.1)
        response = self.response(streamID)
        self.assertEqual((response.status, response.ended, response.reset), (200, True, None))
        self.clock.advance(Timeouts().unread)
        self.assertEqual(self.response(streamID).reset, 0)
        self.assertNothingPending()

    def test_unreadElsewhere(self) -> None:
        """
        Other streams go on meanwhile.
        """
        streamID = self.open("/unread?seconds=3", "POST", end=False)
        for _ in range(Settings().initialWindowSize // 16384):
            self.peer.send(self.peer.data(streamID, bytes(16384)))
        other = self.open("/discard", "POST", end=False)
        for _ in range(100):
            self.peer.send(self.peer.data(other, bytes(16384)))
        self.peer.send(self.peer.data(other, b"", end=True))
        self.assertEqual(self.response(other).body, b"1638400\n")
        self.clock.advance(3)
        self.assertEqual(self.response(streamID).status, 200)


class SlowTests(DemoCase):
    """
    C{/slow}.
    """

    def test_slow(self) -> None:
        """
        The answer comes after as many seconds as were asked for, or one.
        """
        for path, seconds in (("/slow", 1.0), ("/slow?seconds=2.5", 2.5), ("/slow?seconds=86400", 86400.0)):
            streamID = self.open(path)
            self.clock.advance(seconds - 0.25)
            self.answerPings()
            self.assertEqual(self.response(streamID).heads, [], path)
            self.clock.advance(0.25)
            self.assertEqual(self.response(streamID).status, 200, path)
        self.assertNothingPending()

    def test_none(self) -> None:
        """
        No time is no time.
        """
        streamID = self.open("/slow?seconds=0")
        self.clock.advance(0)
        self.assertEqual(self.response(streamID).body, b"that took 0 seconds\n")

    def test_badSeconds(self) -> None:
        """
        What is no number of seconds, or longer than a day, is a 400 in plain text.
        """
        bad = ("", "x", "-1", "nan", "inf", "1e3", "86401", "999999999999", "1.", ".5", "1%0a", "1&seconds=2", "%D9%A1")
        for route in ("/slow", "/unread"):
            for text in bad:
                response = self.ask(f"{route}?seconds={text}")
                self.assertEqual(response.status, 400, text)
                self.assertEqual(response.heads[0]["content-type"], "text/plain")
                self.assertIn(b"seconds is", response.body)
        self.assertNothingPending()


class SessionTests(DemoCase):
    """
    The routes that tell of the session, or act on it.
    """

    def facts(self) -> dict[str, Any]:
        """
        Ask for the session's facts.
        """
        streamID = self.open("/session")
        self.clock.advance(0.25)
        self.answerPings()
        response = self.response(streamID)
        self.assertEqual(response.heads[0]["content-type"], "application/json")
        facts: dict[str, Any] = json.loads(response.body)
        return facts

    def test_facts(self) -> None:
        """
        C{/session} tells what the session is, and how long a PING takes.
        """
        facts = self.facts()
        self.assertEqual(facts["alpnProtocol"], "h2c")
        self.assertIs(facts["encrypted"], False)
        self.assertEqual(facts["streamID"], 1)
        self.assertEqual(facts["peer"], "127.0.0.1:1")
        self.assertEqual(facts["host"], "127.0.0.1:2")
        self.assertIsNone(facts["peerCertificate"])
        self.assertEqual(facts["state"]["roundTripTime"], 0.25)
        self.assertEqual(facts["state"]["remoteStreams"], 1)
        self.assertEqual(facts["state"]["lastProcessedStreamID"], 1)
        self.assertEqual(set(facts["state"]), set(self.session.state._fields))

    def test_settings(self) -> None:
        """
        It tells both sides' settings, those that nobody knows included.
        """
        self.peer.settings(INITIAL_WINDOW_SIZE=70000)
        facts = self.facts()
        self.assertEqual(facts["remoteSettings"]["initialWindowSize"], 70000)
        self.assertEqual(facts["localSettings"]["maxConcurrentStreams"], 100)
        self.assertEqual(facts["localSettings"]["customSettings"], {})

    def test_addresses(self) -> None:
        """
        Addresses are written as in URLs where they have such a form.
        """
        self.patch(self.peer.transport, "_peer", IPv6Address("TCP", "::1", 5))
        self.patch(self.peer.transport, "_host", UNIXAddress("h2.sock"))
        facts = self.facts()
        self.assertEqual(facts["peer"], "[::1]:5")
        self.assertIn("h2.sock", facts["host"])

    def test_silentPeer(self) -> None:
        """
        A peer that answers no PING gets its answer after some seconds.
        """
        streamID = self.open("/session")
        self.clock.advance(4.9)
        self.assertEqual(self.response(streamID).heads, [])
        self.clock.advance(0.1)
        self.assertIsNone(json.loads(self.response(streamID).body)["state"]["roundTripTime"])
        self.assertNothingPending()

    def test_many(self) -> None:
        """
        More of them at once than PINGs may be open are all answered.
        """
        streamIDs = [self.open("/session") for _ in range(20)]
        self.answerPings()
        for streamID in streamIDs:
            self.assertEqual(self.response(streamID).status, 200)

    def test_destroy(self) -> None:
        """
        C{/destroy} ends the session as it is told to, without an answer.
        """
        for query, code in (("", "NO_ERROR"), ("?code=0", "NO_ERROR"), ("?code=11", "ENHANCE_YOUR_CALM")):
            self.setUp()
            self.open("/slow")
            self.open(f"/destroy{query}")
            self.assertEqual(self.peer.names(), [f"GOAWAY 3 {code}"])
            self.clock.advance(1)
            self.assertEqual(self.server.sessions, set())
            self.assertNothingPending()

    def test_unknownCode(self) -> None:
        """
        A code without a name goes out as it is.
        """
        self.open("/destroy?code=4294967295")
        (frame,) = self.peer.take(GoAwayFrame)
        self.assertEqual(frame.error_code, 4294967295)

    def test_goaway(self) -> None:
        """
        C{/goaway} sends one, then answers; the session takes no more streams.
        """
        for query, code in (("", 0), ("?code=2", 2)):
            self.setUp()
            streamID = self.open(f"/goaway{query}")
            self.assertEqual(
                [type(frame) for frame in self.peer.frames], [GoAwayFrame, HeadersFrame, DataFrame], self.peer.frames
            )
            (frame,) = self.peer.take(GoAwayFrame)
            self.assertEqual((frame.last_stream_id, frame.error_code), (streamID, code))
            self.assertEqual(self.response(streamID).status, 200)
            self.assertEqual(self.ask("/hello").heads, [])

    def test_reset(self) -> None:
        """
        C{/reset} resets its own stream and nothing else.
        """
        for query, code in (("", 0), ("?code=8", 8), ("?code=305419896", 305419896)):
            streamID = self.open(f"/reset{query}")
            (frame,) = self.peer.take(RstStreamFrame)
            self.assertEqual((frame.stream_id, frame.error_code), (streamID, code))
        self.assertEqual(self.ask("/hello").status, 200)

    def test_badCodes(self) -> None:
        """
        What is no error code is a 400 in plain text, and nothing happens.
        """
        for route in ("/destroy", "/goaway", "/reset"):
            for text in ("", "x", "-1", "4294967296", "1.0", "CANCEL", "0x8", "1&code=2"):
                response = self.ask(f"{route}?code={text}")
                self.assertEqual(response.status, 400, text)
                self.assertEqual(response.heads[0]["content-type"], "text/plain")
                self.assertIn(b"code is", response.body)
        self.assertEqual(self.peer.take(), [])


class WatchTests(DemoCase):
    """
    The routes that stream as time goes.
    """

    def lines(self, streamID: int) -> list[dict[str, Any]]:
        """
        Take the lines that have come.
        """
        self.taken = self.response(streamID)
        return [json.loads(line) for line in self.taken.body.splitlines()]

    def test_live(self) -> None:
        """
        C{/live} tells twice a second of the session and its open streams, until the time is over.
        """
        waiting = self.open("/slow?seconds=50", "POST")
        streamID = self.open("/live?seconds=1")
        found = []
        for _ in range(3):
            self.answerPings()
            found += self.lines(streamID)
            self.clock.advance(0.5)
        self.assertEqual(len(found), 3)
        self.assertTrue(self.taken.ended)
        for facts in found:
            self.assertEqual(facts["peer"], "127.0.0.1:1")
            self.assertEqual(set(facts["statistics"]), set(self.session.statistics._fields))
            self.assertEqual(
                [(each["id"], each["method"], each["path"]) for each in facts["streams"]],
                [(waiting, "POST", "/slow?seconds=50"), (streamID, "GET", "/live?seconds=1")],
            )
        self.assertGreater(found[-1]["streams"][1]["bytesWritten"], 1000)

    def test_liveEnds(self) -> None:
        """
        It ends when the session is to close, so that nobody has to wait for it.
        """
        streamID = self.open("/live")
        self.answerPings()
        closing = self.server.close()
        self.answerPings()
        self.clock.advance(0.5)
        self.lines(streamID)
        self.assertTrue(self.taken.ended)
        self.clock.advance(1)
        self.successResultOf(closing)

    def test_liveForgets(self) -> None:
        """
        Streams that are over are forgotten, and so are sessions.
        """
        demo = Demo(self.clock)
        self.server.streamReceived = demo.streamReceived
        self.open("/live")
        self.ask("/hello")
        self.assertEqual([list(each) for each in demo._open.values()], [[1]])
        self.peer.abort()
        self.assertEqual(demo._open, {})

    def test_drip(self) -> None:
        """
        C{/drip/3} is three lines, a quarter of a second apart.
        """
        streamID = self.open("/drip/3")
        for number in (1, 2, 3):
            self.clock.advance(0.2)
            self.assertEqual(self.response(streamID).body, b"")
            self.clock.advance(0.05)
            response = self.response(streamID)
            self.assertEqual(response.body, f"line {number} of 3\n".encode())
        self.assertTrue(response.ended)
        for path in ("/drip/1001", "/drip/x"):
            self.assertEqual(self.ask(path).status, 400)


class WebSocketTests(SynchronousTestCase):
    """
    C{/ws}.
    """

    def setUp(self) -> None:
        """
        Connect our client to the demo.
        """
        clock = Clock()
        self.both = connectedSessions(Demo(clock).streamReceived, clock=clock, settings=EXTENDED)

    def open(self) -> WebSocket:
        """
        Open a WebSocket.
        """
        opening = openWebSocket(self.both.client, "/ws")
        self.both.pump()
        return self.successResultOf(opening)

    def test_echo(self) -> None:
        """
        What is sent comes back, and the end is in order.
        """
        webSocket = self.open()
        for message in ("text", b"bytes", ""):
            webSocket.send(message)
            self.both.pump()
            self.assertEqual(self.successResultOf(webSocket.receive()), message)
        closing = webSocket.close()
        self.both.pump()
        self.successResultOf(closing)
        self.both.advance(1)
        self.assertEqual(self.both.client.state.localStreams, 0)

    def test_leaves(self) -> None:
        """
        It is closed with 1001 when the server is to stop, which then does not wait.
        """
        webSocket = self.open()
        closing = self.both.server.close()
        self.both.pump()
        self.both.advance(0.5)
        self.assertEqual(webSocket.closeCode, 1001)
        self.both.advance(2)
        self.successResultOf(closing)

    def test_cut(self) -> None:
        """
        A client that goes away leaves nothing behind, and nothing in the log.
        """
        self.open().abort()
        self.open()
        self.both.pump()
        self.both.client.destroy()
        self.both.pump()
        self.both.advance(20)
        self.assertEqual(self.both.clock.getDelayedCalls(), [])

    def test_plain(self) -> None:
        """
        Without asking for a WebSocket there is none, nor for another protocol.
        """
        stream = self.both.client.request({":path": "/ws"})
        self.both.pump()
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 405)
        other = openTunnel(self.both.client, "localhost", {":path": "/ws"}, "other")
        self.both.pump()
        self.assertEqual(self.failureResultOf(other, TunnelRefused).value.status, 404)
        wrong = openTunnel(self.both.client, "localhost", {":path": "/ws"}, "websocket")
        self.both.pump()
        self.assertEqual(self.failureResultOf(wrong, TunnelRefused).value.status, 400)

    def test_withoutExtra(self) -> None:
        """
        Without wsproto the demo works, and C{/ws} names the extra.
        """
        program = (
            "import sys; sys.modules['wsproto'] = None\n"
            "from txh2session import Settings\n"
            "from txh2session.demo import Demo\n"
            "from txh2session.testing import connectedSessions\n"
            "from twisted.internet.task import Clock\n"
            "clock = Clock()\n"
            "settings = Settings(enableConnectProtocol=True)\n"
            "both = connectedSessions(Demo(clock).streamReceived, clock=clock, settings=settings)\n"
            "for headers in ({':path': '/ws'}, {':method': 'CONNECT', ':protocol': 'websocket', ':path': '/ws'}):\n"
            "    stream = both.client.request(headers, endStream=True)\n"
            "    both.pump()\n"
            "    print(stream.headers.status, stream.read().result.decode(), end='')\n"
        )
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.stderr, "")
        lines = run.stdout.splitlines()
        self.assertEqual(len(lines), 2)
        for line in lines:
            self.assertTrue(line.startswith("501 "), line)
            self.assertIn("pip install 'txh2session[websocket]'", line)


class LeavingTests(DemoCase):
    """
    A client that goes away leaves nothing behind: no call that waits, nothing in the log, which trial looks at.
    """

    paths = (
        *("/slow?seconds=60", "/unread?seconds=60", "/session", "/live", "/drip/100"),
        *("/echo", "/discard", "/bytes/1000000"),
    )

    def test_reset(self) -> None:
        """
        Nothing is left when the stream is reset.
        """
        for path in self.paths:
            streamID = self.open(path, "POST", end=False)
            self.peer.send(self.peer.reset(streamID))
            self.answerPings()
            self.clock.advance(0)
            self.assertNothingPending()
            self.assertEqual(self.peer.take(RstStreamFrame), [], path)

    def test_ended(self) -> None:
        """
        Nor when the request was complete.
        """
        for path in self.paths:
            streamID = self.open(path)
            self.peer.send(self.peer.reset(streamID))
            self.answerPings()
            self.clock.advance(0)
            self.assertNothingPending()

    def test_connectionLost(self) -> None:
        """
        Nor when the connection is gone.
        """
        for leave in ("close", "abort"):
            self.setUp()
            for path in self.paths:
                self.open(path, "POST", end=False)
                self.open(path)
            getattr(self.peer, leave)()
            self.assertEqual(self.server.sessions, set())
            self.assertNothingPending()

    def test_serverCloses(self) -> None:
        """
        A server that closes lets them finish, up to its grace.
        """
        streamID = self.open("/slow?seconds=3")
        other = self.open("/slow?seconds=60")
        closed = self.server.close(grace=10)
        self.answerPings()
        self.clock.advance(3)
        self.assertEqual(self.response(streamID).status, 200)
        self.assertNoResult(closed)
        self.clock.advance(7)
        self.assertFalse(self.response(other).ended)
        self.successResultOf(closed)
        self.assertNothingPending()
