"""
Tests of L{txh2session.web}: the requests of sites of C{twisted.web}, and their answers.
"""

from __future__ import annotations

import tempfile
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

from hyperframe.frame import DataFrame
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web import http, server, static, vhost
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import EncodingResourceWrapper, Resource
from zope.interface.verify import verifyObject

from tests.sites import Answer, Informed, Leaf, Realm, WebCase
from txh2session import ErrorCode, InvalidHeader, StreamError
from txh2session.testing import ConnectedSessions, FramePeer
from txh2session.web import peerCertificateOf, streamOf, wrapSite


def tree(folder: str) -> server.Site:
    """
    Make what users have: files, virtual hosts, passwords, forms, sessions, redirects.
    """
    root = Resource()
    root.putChild(b"", Leaf(lambda request: b"front page"))
    root.putChild(b"files", static.File(folder))
    root.putChild(b"data", static.Data(b"some data", "text/x-data"))
    root.putChild(b"path", Leaf(lambda request: b"%s" % request.prePathURL() + b" " + b"/".join(request.postpath)))

    def form(request: Any) -> bytes:
        return repr((sorted(request.args.items()), request.content.read())).encode()

    def later(request: Any) -> int:
        request.write(b"first ")
        request.write(b"second")
        request.finish()
        return server.NOT_DONE_YET

    def moved(request: Any) -> bytes:
        request.redirect(b"/data")
        return b""

    def cached(request: Any) -> bytes:
        if request.setETag(b'"1"') is http.CACHED or request.setLastModified(1000) is http.CACHED:
            return b""
        return b"fresh"

    def broken(request: Any) -> bytes:
        raise RuntimeError("a broken resource")

    for name, answer in ((b"form", form), (b"later", later), (b"moved", moved), (b"cached", cached)):
        root.putChild(name, Leaf(answer))
    root.putChild(b"broken", Leaf(broken))
    root.putChild(b"notBytes", Leaf(lambda request: "text"))
    root.putChild(b"headers", Leaf(lambda request: repr(sorted(request.getAllHeaders().items())).encode()))
    hosts = vhost.NameVirtualHost()
    hosts.addHost(b"a.example", static.Data(b"a", "text/plain"))
    hosts.addHost(b"b.example", static.Data(b"b", "text/plain"))
    root.putChild(b"hosts", hosts)
    checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"secret")
    guarded = Resource()
    guarded.putChild(b"inside", static.Data(b"welcome", "text/plain"))
    portal = Portal(Realm(guarded), [checker])
    root.putChild(b"guarded", HTTPAuthSessionWrapper(portal, [BasicCredentialFactory(b"here")]))
    squeezed = EncodingResourceWrapper(static.Data(b"x" * 1000, "text/plain"), [server.GzipEncoderFactory()])
    root.putChild(b"squeezed", squeezed)
    return server.Site(root, reactor=Clock())


MULTIPART = (
    b'--x\r\nContent-Disposition: form-data; name="one"\r\n\r\n1\r\n'
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\ncontent\r\n--x--\r\n'
)


class SameAnswerTests(WebCase):
    """
    A site answers HTTP/2 as it answers HTTP/1.1.
    """

    def setUp(self) -> None:
        """
        Make a folder with a file.
        """
        super().setUp()
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        (self.folder / "page.html").write_bytes(b"<p>0123456789</p>")
        (self.folder / "big.bin").write_bytes(bytes(range(256)) * 1000)

    def same(
        self,
        path: str,
        *fields: tuple[str, str],
        method: str = "GET",
        body: bytes | None = None,
        host: str = "localhost",
    ) -> Answer:
        """
        Ask both ways, and check that the answers are the same.
        """
        head = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in fields)]
        if body is not None:
            head.append(f"Content-Length: {len(body)}")
            fields = (*fields, ("content-length", str(len(body))))
        old = self.askOld(tree(str(self.folder)), "\r\n".join([*head, "", ""]).encode() + (body or b""))
        pseudo = [(":method", method), (":path", path), (":authority", host)]
        new = self.ask(tree(str(self.folder)), [*pseudo, *fields], body)
        self.assertEqual((new.status, new.fields, new.body), (old.status, old.fields, old.body), path)
        return new

    def test_pages(self) -> None:
        """
        Resources, found by their paths, answer.
        """
        self.assertEqual(self.same("/").body, b"front page")
        self.assertEqual(self.same("/data").get("content-type"), "text/x-data")
        self.assertEqual(self.same("/path/a%20b/c?d=e").body, b"http://localhost:2/path a b/c")
        self.assertEqual(self.same("/nothing").status, 404)
        self.assertEqual(self.same("/later").body, b"first second")
        self.assertEqual(self.same("/data", method="HEAD").get("content-length"), "9")
        self.assertEqual(self.same("/data", method="PUT").status, 501)
        self.assertIn("Allow".lower(), dict(self.same("/data", method="POST").all))
        self.assertEqual(self.ask(tree(str(self.folder)), {":path": "/notBytes"}).status, 500)

    def test_files(self) -> None:
        """
        Files come whole, in ranges, and not at all to who has them.
        """
        # Over HTTP/1.1 they need a real reactor: see peers.test_web.
        self.assertEqual(self.ask(tree(str(self.folder)), {":path": "/files/page.html"}).body, b"<p>0123456789</p>")
        self.assertEqual(self.ask(tree(str(self.folder)), {":path": "/files/big.bin"}).body, bytes(range(256)) * 1000)
        self.assertEqual(self.same("/files/big.bin", method="HEAD").get("content-length"), "256000")
        one = self.ask(tree(str(self.folder)), [(":path", "/files/page.html"), ("range", "bytes=3-5")])
        self.assertEqual((one.status, one.body, one.get("content-range")), (206, b"012", "bytes 3-5/17"))
        site = tree(str(self.folder))
        self.assertEqual(self.ask(site, [(":path", "/files/page.html"), ("range", "bytes=99-")]).status, 416)
        several = self.ask(site, [(":path", "/files/page.html"), ("range", "bytes=0-2,5-6")])
        self.assertEqual(several.status, 206)
        self.assertRegex(several.get("content-type") or "", r"^multipart/byteranges; boundary=")
        since = self.ask(site, {":path": "/files/page.html"}).get("last-modified")
        assert since is not None
        unchanged = self.same("/files/page.html", ("if-modified-since", since))
        self.assertEqual((unchanged.status, unchanged.body), (304, b""))

    def test_conditions(self) -> None:
        """
        C{setETag} and C{setLastModified} answer 304, and C{redirect} redirects.
        """
        self.assertEqual(self.same("/cached").body, b"fresh")
        self.assertEqual(self.same("/cached", ("if-none-match", '"1"')).status, 304)
        self.assertEqual(self.same("/cached", ("if-none-match", '"1"'), method="POST").status, 412)
        moved = self.same("/moved")
        self.assertEqual((moved.status, moved.get("location")), (302, "/data"))

    def test_forms(self) -> None:
        """
        Queries, forms and files in forms are read.
        """
        self.assertEqual(self.same("/form?a=1&a=2&b=").body, b"([(b'a', [b'1', b'2']), (b'b', [b''])], b'')")
        kind = ("content-type", "application/x-www-form-urlencoded")
        posted = self.same("/form?a=1", kind, method="POST", body=b"a=2&c=3")
        self.assertEqual(posted.body, b"([(b'a', [b'2']), (b'c', [b'3'])], b'a=2&c=3')")
        many = self.same("/form", ("content-type", "multipart/form-data; boundary=x"), method="POST", body=MULTIPART)
        self.assertIn(b"(b'file', [b'content']), (b'one', [b'1'])", many.body)
        self.assertEqual(self.same("/form", method="PUT", body=b"raw").body, b"([], b'raw')")

    def test_hosts(self) -> None:
        """
        The authority chooses among virtual hosts.
        """
        self.assertEqual(self.same("/hosts", host="a.example").body, b"a")
        self.assertEqual(self.same("/hosts", host="b.example:8080").body, b"b")
        self.assertEqual(self.same("/hosts", host="c.example").status, 404)

    def test_guard(self) -> None:
        """
        What is guarded asks for a password, and takes it, also from somebody who uploads.
        """
        asked = self.same("/guarded/inside")
        self.assertEqual((asked.status, asked.get("www-authenticate")), (401, 'basic realm="here"'))
        password = ("authorization", "Basic " + b64encode(b"user:secret").decode())
        self.assertEqual(self.same("/guarded/inside", password).body, b"welcome")
        self.assertEqual(self.same("/guarded/inside", password, method="POST", body=b"x").status, 405)

    def test_encoding(self) -> None:
        """
        Encoders encode.
        """
        plain = self.same("/squeezed")
        squeezed = self.same("/squeezed", ("accept-encoding", "gzip"))
        self.assertEqual((len(plain.body), squeezed.get("content-encoding")), (1000, "gzip"))
        self.assertLess(len(squeezed.body), 100)

    def test_requestHeaders(self) -> None:
        """
        A resource sees the same header fields, the host's included.
        """
        shown = self.same("/headers", ("user-agent", "me"), ("cookie", "a=1; b=2"), ("x-odd", "1"), ("x-odd", "2")).body
        self.assertEqual(
            shown, b"[(b'cookie', b'a=1; b=2'), (b'host', b'localhost'), (b'user-agent', b'me'), (b'x-odd', b'2')]"
        )

    def test_star(self) -> None:
        """
        C{OPTIONS *} is answered for the whole server.
        """
        answer = self.same("*", method="OPTIONS")
        self.assertEqual((answer.status, answer.get("content-length")), (200, "0"))

    def test_broken(self) -> None:
        """
        A resource that raises gives 500.
        """
        self.assertEqual(self.same("/broken").status, 500)
        self.assertEqual(self.same("/broken", method="POST", body=b"x").status, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 4)


class RequestTests(WebCase):
    """
    What a request says.
    """

    def test_facts(self) -> None:
        """
        The protocol, addresses, security and cookies, which arrive in crumbs, are there.
        """
        seen: list[Any] = []

        def look(request: Any) -> bytes:
            seen.append(request)
            self.assertEqual((request.method, request.uri, request.path), (b"GET", b"/a?b=c", b"/a"))
            self.assertEqual((request.clientproto, request.isSecure()), (b"HTTP/2", False))
            self.assertEqual(request.getClientAddress(), request.transport.getPeer())
            self.assertEqual(request.getHost(), request.transport.getHost())
            self.assertEqual(request.getRequestHostname(), b"localhost")
            self.assertEqual((request.getCookie(b"a"), request.getCookie(b"b")), (b"1", b"2"))
            self.assertEqual(request.requestHeaders.getRawHeaders(b"cookie"), [b"a=1; b=2"])
            self.assertEqual(request.content.read(), b"")
            self.assertIsNone(request.transport.getPeerCertificate())
            self.assertIsNone(peerCertificateOf(request))
            self.assertIsNone(request.transport.negotiatedProtocol)
            self.assertFalse(request.transport.disconnecting)
            return b"seen"

        answer = self.ask(look, [(":path", "/a?b=c"), ("cookie", "a=1"), ("cookie", "b=2")])
        self.assertEqual(answer.body, b"seen")
        self.assertEqual(len(seen), 1)

    def test_answer(self) -> None:
        """
        Names are in lower case, C{date} and C{server} come once, and several values are several fields.
        """

        def answer(request: Any) -> bytes:
            request.setHeader("X-Mixed-Case", "yes")
            request.responseHeaders.addRawHeader(b"Set-Cookie", b"a=1")
            request.addCookie("b", "2", secure=True)
            request.responseHeaders.addRawHeader(b"Link", b"</a>")
            request.responseHeaders.addRawHeader(b"Link", b"</b>")
            return b"text"

        both = self.serve(answer)
        stream = both.client.request()
        both.pump()
        headers = self.successResultOf(stream.whenResponse())
        names = [name for name, _ in headers]
        self.assertEqual(names, [name.lower() for name in names])
        self.assertEqual((names.count("date"), names.count("server")), (1, 1))
        self.assertEqual(headers["x-mixed-case"], "yes")
        self.assertEqual(headers.getAll("link"), ["</a>", "</b>"])
        self.assertEqual(headers.getAll("set-cookie"), ["b=2; Secure"])  # as Request does: its own cookies win

    def test_noDate(self) -> None:
        """
        A resource can leave the date out (Node's reference 17.12).
        """

        def answer(request: Any) -> bytes:
            stream = streamOf(request)
            assert stream is not None
            stream.sendDate = False
            request.responseHeaders.removeHeader(b"date")
            return b""

        self.assertIsNone(self.ask(answer).get("date"))

    def test_connectionFields(self) -> None:
        """
        Fields about HTTP/1.1 connections are left out, and nothing is chunked.
        """

        def answer(request: Any) -> int:
            for name in ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Proxy-Connection"):
                request.setHeader(name, "chunked")
            request.write(b"one ")
            request.write(b"two")
            request.finish()
            return server.NOT_DONE_YET

        answered = self.ask(answer)
        self.assertEqual(answered.body, b"one two")
        self.assertEqual([name for name, _ in answered.fields], ["content-type", "server"])

    def test_invalidHeaders(self) -> None:
        """
        Headers that HTTP/2 cannot send are logged and become a 500; the session goes on.
        """

        def twice(request: Any) -> bytes:
            request.responseHeaders.setRawHeaders(b"etag", [b'"1"', b'"2"'])
            return b"body"

        def strange(request: Any) -> bytes:
            request.setResponseCode(999)
            return b"body"

        def informational(request: Any) -> int:
            request.setResponseCode(101)
            request.write(b"x")
            request.write(b"y")
            request.finish()
            return server.NOT_DONE_YET

        for answer in (twice, strange, informational):
            both = self.serve(answer)
            for _ in range(2):
                answered = self.fetch(both, {})
                self.assertEqual((answered.status, answered.body), (500, b""))
            self.assertEqual(len(self.flushLoggedErrors(InvalidHeader)), 2)

    def test_sessions(self) -> None:
        """
        Twisted's own sessions work, by their cookie.
        """

        def count(request: Any) -> bytes:
            session = request.getSession()
            session.visits = getattr(session, "visits", 0) + 1
            return b"%d" % session.visits

        both = self.serve(count)
        first = self.fetch(both, {})
        cookie = first.get("set-cookie")
        assert cookie is not None
        self.assertRegex(cookie, r"^TWISTED_SESSION=[0-9a-f]+; Path=/$")
        again = self.fetch(both, {"cookie": cookie.partition(";")[0]})
        self.assertEqual((first.body, again.body), (b"1", b"2"))
        self.clock.advance(3600)  # the session expires, and its timer with it

    def test_requestFactory(self) -> None:
        """
        A site's own kind of request is made, with the arguments it knows.
        """

        class Old(server.Request):
            """One that knows of a queue, as all did once."""

            def __init__(self, channel: Any, queued: Any) -> None:
                super().__init__(channel, queued)

            def process(self) -> None:
                """Say who it is before anything else."""
                self.setHeader("x-kind", "old")
                super().process()

        site = self.site(lambda request: b"", requestFactory=Old)
        for body in (None, b"upload"):
            self.assertEqual(self.ask(site, {":method": "POST"}, body).get("x-kind"), "old")

    def test_badForm(self) -> None:
        """
        A form that cannot be read is a bad request, on its stream only.
        """
        both = self.serve(lambda request: b"read")
        headers = {":method": "POST", "content-type": "multipart/form-data"}
        self.assertEqual(self.fetch(both, headers, b"x").status, 400)
        self.assertEqual(self.fetch(both, {":method": "POST"}, b"x").body, b"read")

    def test_lengthAdded(self) -> None:
        """
        A stored upload has a length, which WSGI and CGI need, whether or not the client named one.
        """
        self.assertEqual(
            self.ask(lambda request: request.getHeader(b"content-length"), {":method": "POST"}, b"12345").body, b"5"
        )

    def test_largeUpload(self) -> None:
        """
        A large upload is stored in a file, and is all there.
        """
        stored: list[Any] = []

        def look(request: Any) -> bytes:
            stored.append(request.content)
            return b"%d" % len(request.content.read())

        size = 3_000_000
        answer = self.ask(look, {":method": "POST", "content-length": size}, b"x" * size)
        self.assertEqual(answer.body, b"%d" % size)
        self.assertNotIsInstance(stored[0], BytesIO)
        self.assertTrue(stored[0].closed)

    def test_files(self) -> None:
        """
        An upload costs a file when much of it has come, whatever it announces.
        """
        made: list[object] = []
        make = tempfile.TemporaryFile
        self.patch(tempfile, "TemporaryFile", lambda *arguments: made.append(None) or make(*arguments))
        both = self.serve(lambda request: b"%d" % len(request.content.read()))
        streams = [
            both.client.request({":method": "POST", **({"content-length": 300_000} if number % 2 else {})})
            for number in range(50)
        ]
        for stream in streams:
            stream.write(b"x" * 1000)
        both.pump()
        self.assertEqual(made, [])
        for stream in streams[:2]:
            stream.end(b"x" * 299_000)
        both.pump()
        self.assertEqual(len(made), 2)
        self.assertEqual([self.successResultOf(stream.read()) for stream in streams[:2]], [b"300000"] * 2)

    def test_ownStore(self) -> None:
        """
        A request that does something of its own with an upload gets it as it comes.
        """
        seen: list[Any] = []

        class Own(server.Request):
            """Looks at chunks."""

            def gotLength(self, length: int | None) -> None:
                """Note it."""
                seen.append(length)
                super().gotLength(length)

            def handleContentChunk(self, data: bytes) -> None:
                """Note it."""
                seen.append(data)
                super().handleContentChunk(data)

        both = self.serve(self.site(lambda request: request.content.read(), requestFactory=Own))
        stream = both.client.request({":method": "POST", "content-length": 6})
        stream.write(b"one")
        both.pump()
        self.assertEqual(seen, [6, b"one"])
        stream.end(b"two")
        both.pump()
        self.assertEqual((self.successResultOf(stream.read()), seen), (b"onetwo", [6, b"one", b"two"]))

    def test_hostField(self) -> None:
        """
        A request may name its host by a field alone, as one that a proxy has translated (RFC 9113 section 8.3.1).
        """
        peer = FramePeer.toServer(wrapSite(self.site(lambda request: request.getHeader(b"host")), clock=self.clock))
        peer.send(peer.headers(1, [(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a:1")], end=True))
        (data,) = [frame for frame in peer.take() if isinstance(frame, DataFrame)]
        self.assertEqual(data.data, b"a:1")

    def test_interfaces(self) -> None:
        """
        A request's transport is what it says.
        """

        def look(request: Any) -> bytes:
            for interface in (ITransport, IConsumer, IPushProducer):
                verifyObject(interface, request.transport)
            with self.assertRaises(RuntimeError):
                request.transport.write(b"HTTP/1.1 101 Switching Protocols")
            return b"ok"

        self.assertEqual(self.ask(look).body, b"ok")


class RefusalTests(WebCase):
    """
    What never reaches a resource.
    """

    def refused(self, headers: Any, status: int, body: bytes | None = None, **options: Any) -> Answer:
        """
        Check that a request is refused.
        """
        answer = self.ask(lambda request: self.fail("it was asked"), headers, body, **options)
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.body.decode(), f"{status} {http.RESPONSES[status].decode()}\n")
        self.assertEqual(answer.get("content-length"), str(len(answer.body)))
        self.assertEqual((answer.get("content-type"), answer.get("server")), ("text/plain", server.version.decode()))
        return answer

    def test_connect(self) -> None:
        """
        CONNECT is refused with 405 (Node's reference 11.8), unless somebody takes it.
        """
        self.assertEqual(
            self.refused([(":method", "CONNECT"), (":authority", "a:1")], 405).get("allow"), "GET, HEAD, POST"
        )
        seen: list[Any] = []

        async def connect(stream: Any, headers: Any) -> None:
            seen.append(headers.authority)
            stream.respond(endStream=True)

        answer = self.ask(lambda request: b"", [(":method", "CONNECT"), (":authority", "a:1")], connectReceived=connect)
        self.assertEqual((answer.status, seen), (200, ["a:1"]))

    def test_expectation(self) -> None:
        """
        Another expectation than 100-continue is refused with 417 (Node's reference 11.7).
        """
        self.refused({"expect": "a-miracle"}, 417)
        self.refused({":method": "POST", "expect": "a-miracle"}, 417, b"upload")

    def test_continue(self) -> None:
        """
        A client that waits for a 100 gets it when its upload is wanted.
        """
        both = self.serve(lambda request: request.content.read(), bodyLimit=10)
        for size, informed in ((4, [100]), (11, [])):
            stream = both.client.request({":method": "POST", "expect": "100-continue", "content-length": size})
            told: list[int | None] = []
            stream.addListener(Informed(told))
            both.pump()
            self.assertEqual(told, informed)

    def test_target(self) -> None:
        """
        Targets that are no path of a site's, or that no resource could spell, are bad requests.
        """
        for path in ("/caf\u00e9".encode(), b"/\xff"):
            self.refused([(":path", path)], 400)
        self.refused([(":scheme", "ftp"), (":path", "file")], 400)
        self.refused([(":scheme", "ftp"), (":path", "/file")], 400)

    def test_bodyLimit(self) -> None:
        """
        An upload that says that it is too long, or becomes so, is refused with 413.
        """
        for headers in ({":method": "POST"}, {":method": "POST", "content-length": 11}):
            both = self.serve(lambda request: request.content.read(), bodyLimit=10)
            stream = both.client.request(headers)
            stream.write(b"x" * 5)
            both.pump()
            stream.write(b"x" * 6)
            both.pump()
            self.assertEqual(self.successResultOf(stream.whenResponse()).status, 413)
            both.advance(1)  # Timeouts.unread
            self.assertEqual((stream.closed, stream.rstCode), (True, ErrorCode.NO_ERROR))
            self.assertEqual(self.fetch(both, {":method": "POST"}, b"0123456789").body, b"0123456789")

    def test_slowUpload(self) -> None:
        """
        An upload of which nothing comes for as long as the site's timeout is refused with 408.
        """
        both = self.serve(self.site(lambda request: self.fail("it was asked"), timeout=5))
        stream = both.client.request({":method": "POST"})
        for _ in range(3):
            stream.write(b"x")
            both.pump()
            both.advance(4)
        self.assertFalse(stream.closed)
        both.advance(1)
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 408)
        self.assertTrue(stream.closed)

    def test_notRead(self) -> None:
        """
        The time of an upload ends with it: its resource may take long to answer.
        """
        waiting: list[Any] = []
        both = self.serve(self.site(lambda request: waiting.append(request) or server.NOT_DONE_YET, timeout=5))
        stream = both.client.request({":method": "POST"})
        stream.end(b"x")
        both.pump()
        both.advance(50)
        waiting[0].finish()
        both.pump()
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 200)


class EndTests(WebCase):
    """
    Requests that end otherwise than well.
    """

    def waiting(self) -> tuple[ConnectedSessions, Any, Any, list[Failure]]:
        """
        Have a request that is being answered.

        @return: the sessions, the client's stream, the request, and what C{notifyFinish} says.
        """
        requests: list[Any] = []

        def answer(request: Any) -> int:
            requests.append(request)
            request.write(b"begun")
            return server.NOT_DONE_YET

        both = self.serve(answer)
        stream = both.client.request()
        both.pump()
        told: list[Any] = []
        requests[0].notifyFinish().addBoth(told.append)
        return both, stream, requests[0], told

    def test_finished(self) -> None:
        """
        C{notifyFinish} fires when the request finishes.
        """
        both, stream, request, told = self.waiting()
        self.assertEqual(told, [])
        request.finish()
        self.assertEqual(told, [None])
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"begun")

    def test_writing(self) -> None:
        """
        Writing nothing sends the headers; writing after C{finish} raises, and a second C{finish} warns.
        """
        requests: list[Any] = []
        both = self.serve(lambda request: requests.append(request) or server.NOT_DONE_YET)
        stream = both.client.request()
        both.pump()
        (request,) = requests
        request.setResponseCode(203)
        both.pump()
        self.assertNoResult(stream.whenResponse())
        self.assertFalse(request.startedWriting)
        request.write(b"")
        both.pump()
        self.assertEqual(self.successResultOf(stream.whenResponse()).status, 203)
        self.assertTrue(request.startedWriting)
        request.finish()
        with self.assertRaises(RuntimeError):
            request.write(b"more")
        request.finish()
        self.assertEqual(len(self.flushWarnings()), 1)
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"")

    def test_reset(self) -> None:
        """
        A client that resets the stream ends the request as one that closes the connection does over HTTP/1.1.
        """
        both, stream, request, told = self.waiting()
        stream.close(ErrorCode.CANCEL)
        both.pump()
        (failure,) = told
        failure.trap(ConnectionLost)
        self.assertIsNone(request.channel)
        request.write(b"ignored")
        with self.assertRaises(RuntimeError):
            request.finish()
        self.assertEqual(self.fetch(both, {":method": "OPTIONS", ":path": "*"}).status, 200)

    def test_connectionLost(self) -> None:
        """
        The end of the session ends its requests, each with the reason.
        """
        both, stream, request, told = self.waiting()
        both.pipe.lose()
        (failure,) = told
        failure.trap(ConnectionLost)
        self.assertIsInstance(failure.value.__cause__, Exception)
        self.failureResultOf(stream.whenClosed())

    def test_loseConnection(self) -> None:
        """
        C{loseConnection} cuts the answer, so that it cannot pass for whole; the session lives.
        """
        for cut in ("loseConnection", "abort", "stop"):
            both, stream, request, told = self.waiting()
            body = stream.read()
            {
                "loseConnection": request.loseConnection,
                "abort": request.transport.abortConnection,
                "stop": request.transport.stopProducing,
            }[cut]()
            both.pump()
            self.assertEqual(self.failureResultOf(body, StreamError).value.code, ErrorCode.INTERNAL_ERROR)
            told[0].trap(ConnectionLost)
            self.assertFalse(both.client.closed)
            request.transport.loseConnection()  # is nobody's any more

    def test_timeout(self) -> None:
        """
        C{setTimeout} of a request's channel cuts an answer on which nothing happens, and can be taken back.
        """
        both, stream, request, told = self.waiting()
        self.assertIsNone(request.channel.setTimeout(5))
        both.advance(4)
        request.channel.resetTimeout()
        both.advance(4)
        self.assertEqual(request.channel.setTimeout(None), 5)
        both.advance(50)
        self.assertEqual(told, [])
        request.channel.setTimeout(5)
        both.advance(5)
        self.assertEqual(self.failureResultOf(stream.read(), StreamError).value.code, ErrorCode.INTERNAL_ERROR)
        told[0].trap(ConnectionLost)

    def test_loseConnectionFinished(self) -> None:
        """
        C{loseConnection} after C{finish} lets the answer arrive, as over HTTP/1.1.
        """
        both, stream, request, told = self.waiting()
        request.finish()
        request.transport.loseConnection()
        both.pump()
        self.assertEqual(self.successResultOf(stream.read()), b"begun")

    def test_raises(self) -> None:
        """
        A resource that raises gives 500 on its stream only, with a traceback where the site shows them.
        """

        def answer(request: Any) -> bytes:
            if request.path == b"/bad":
                raise RuntimeError("a broken resource")
            return b"good"

        both = self.serve(answer)
        streams = [both.client.request({":path": path}) for path in ("/good", "/bad", "/good")]
        both.pump()
        self.assertEqual([self.successResultOf(each.whenResponse()).status for each in streams], [200, 500, 200])
        site = self.site(answer)
        site.displayTracebacks = True
        self.assertIn(b"a broken resource", self.ask(site, {":path": "/bad"}).body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_requestBreaks(self) -> None:
        """
        A request that breaks outside its resource is logged and answered, or reset where an answer had begun.
        """

        class Broken(server.Request):
            """Does not get as far as to ask a resource."""

            def process(self) -> None:
                """Break."""
                if self.path == b"/later":
                    self.write(b"begun")
                raise RuntimeError("a broken request")

        site = self.site(lambda request: b"", requestFactory=Broken)
        for body in (None, b"upload"):
            both = self.serve(site)
            self.assertEqual(self.fetch(both, {":method": "POST"}, body).status, 500)
            stream = both.client.request({":path": "/later"})
            both.pump()
            error = self.failureResultOf(stream.read(), StreamError).value
            self.assertEqual(error.code, ErrorCode.INTERNAL_ERROR)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 4)

    def test_resetWhileUploading(self) -> None:
        """
        An upload that is cut never reaches its resource.
        """
        both = self.serve(lambda request: self.fail("it was asked"))
        stream = both.client.request({":method": "POST"})
        stream.write(b"half")
        both.pump()
        stream.close(ErrorCode.CANCEL)
        both.pump()
        self.assertEqual(self.flushLoggedErrors(), [])
