"""
L{txh2session.headers}.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from http import HTTPStatus

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txh2session._fields import Field
from txh2session._messages import MalformedMessage, checkRequest, checkResponse, checkTrailers, listSize
from txh2session.errors import InvalidHeader
from txh2session.headers import (
    Headers,
    informationalHeaders,
    requestHeaders,
    responseHeaders,
    trailerHeaders,
)

REQUEST: list[Field] = [
    (b":method", b"GET"),
    (b":scheme", b"https"),
    (b":authority", b"example.com"),
    (b":path", b"/"),
]
CONNECTION_SPECIFIC = ["connection", "upgrade", "http2-settings", "keep-alive", "proxy-connection", "transfer-encoding"]
SINGLE = (
    "age authorization access-control-allow-credentials access-control-max-age access-control-request-method"
    " content-encoding content-language content-length content-location content-md5 content-range content-type date dnt"
    " etag expires from host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified"
    " location max-forwards proxy-authorization range referer retry-after tk upgrade-insecure-requests user-agent"
    " x-content-type-options"
).split()
CONTROLS = [bytes([each]) for each in (*range(0x20), 0x7F) if each != 0x09]


def changed(*fields: Field, without: tuple[bytes, ...] = ()) -> list[Field]:
    """
    A good request with pseudo-header fields replaced or left out, and further fields behind.
    """
    given = dict(fields)
    start = [(name, given.pop(name, value)) for name, value in REQUEST if name not in without]
    pseudo = [field for field in fields if field[0] in given and field[0][:1] == b":"]
    return start + pseudo + [field for field in fields if field[0][:1] != b":"]


def request(headers: object = ()) -> Headers:
    """
    A request on a session with C{https://example.com}.
    """
    return requestHeaders(headers, b"https", b"example.com")  # type: ignore[arg-type]


class NormalisingTests(SynchronousTestCase):
    """
    L{Headers} made by an application.
    """

    def test_lowerCase(self) -> None:
        """
        Names go out in lower case.
        """
        self.assertEqual(Headers({"X-Mixed": "Value"}).rawHeaders, [(b"x-mixed", b"Value")])

    def test_textBytesAndNumbers(self) -> None:
        """
        Names may be text or bytes, values integers too, enumerations of them included.
        """
        made = Headers([("a", "ü"), (b"b", b"\xff"), ("c", 7), ("d", HTTPStatus.NOT_FOUND)])
        self.assertEqual(made.rawHeaders, [(b"a", b"\xc3\xbc"), (b"b", b"\xff"), (b"c", b"7"), (b"d", b"404")])

    def test_textAndBytesAreTheSameName(self) -> None:
        """
        A name is remembered apart as text and as bytes, with one answer.
        """
        for _ in range(2):
            self.assertEqual(Headers({"x-same": "1"}), Headers({b"X-Same": b"1"}))

    def test_lists(self) -> None:
        """
        A list or tuple of values makes several fields, C{set-cookie} and C{cookie} included; an empty one makes none.
        """
        made = Headers({"set-cookie": ["a=1", b"b=2"], "cookie": ("c", "d"), "none": [], "x-n": iter([1])})
        self.assertEqual(
            made.rawHeaders,
            [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2"), (b"cookie", b"c"), (b"cookie", b"d"), (b"x-n", b"1")],
        )

    def test_pseudoFirst(self) -> None:
        """
        Pseudo-header fields come first; otherwise the order is the caller's.
        """
        made = Headers([("b", "1"), (":path", "/"), ("a", "2"), (":method", "GET")])
        self.assertEqual([name for name, _ in made.rawHeaders], [b":path", b":method", b"b", b"a"])

    def test_namesAreTokens(self) -> None:
        """
        A name that is no token cannot be sent.
        """
        for name in ("", ":", "::a", "a b", "a:", "a\r\n", "a\x00", "é", b"\xff", "\ud800", "\u212a", "a\t", "(a)"):
            self.assertRaises(InvalidHeader, Headers, [(name, "v")])

    def test_controlCharacters(self) -> None:
        """
        A value with a control character cannot be sent: no peer of the same library would take it.
        """
        for control in CONTROLS:
            self.assertRaises(InvalidHeader, Headers, {"a": b"x" + control + b"y"})
            self.assertRaises(InvalidHeader, Headers, {"a": ["fine", control]})

    def test_blanks(self) -> None:
        """
        Blanks around a value are taken off; a tab inside it stays.
        """
        self.assertEqual(Headers({"a": " \tx\ty \t", "b": "  "}).rawHeaders, [(b"a", b"x\ty"), (b"b", b"")])

    def test_secretsStayOutOfMessages(self) -> None:
        """
        The exception for a value that cannot be sent does not tell the value.
        """
        for value in ("hunter2\r\n", ["hunter2\n"], {"hunter2": 1}, b"hunter2\x00"):
            error = self.assertRaises(InvalidHeader, Headers, {"authorization": value})
            self.assertNotIn("hunter2", str(error))
            self.assertIn("authorization", str(error))

    def test_otherTypes(self) -> None:
        """
        What is neither text, bytes, an integer nor a list of them is refused, and so is what only looks like a list.
        """
        for value in (None, 1.5, True, object(), [None], [["a"]], bytearray(b"ab"), memoryview(b"ab"), {"a": "b"}):
            self.assertRaises(InvalidHeader, Headers, {"x": value})
        for name in (None, 1, ("a",), ["a"]):
            self.assertRaises(InvalidHeader, Headers, [(name, "v")])
        for headers in (None, 5, "abc", ["abc"], [("a",)], [("a", "b", "c")]):
            self.assertRaises(InvalidHeader, Headers, headers)

    def test_loneSurrogates(self) -> None:
        """
        Text that UTF-8 cannot say is refused; surrogates that stand for received bytes are those bytes again.
        """
        error = self.assertRaises(InvalidHeader, Headers, {"a": "\ud800"})
        self.assertIn("surrogate", str(error))
        self.assertEqual(Headers({"a": "\udcff"}).rawHeaders, [(b"a", b"\xff")])

    def test_singleValues(self) -> None:
        """
        A field that has one value only cannot be given a second one, also in another case.
        """
        for name in SINGLE:
            value = "1" if name == "content-length" else "v"
            self.assertRaises(InvalidHeader, Headers, {name: [value, value]})
            self.assertRaises(InvalidHeader, Headers, [(name, value), (name.upper().encode(), value)])
            self.assertEqual(len(Headers({name: [value]})), 1)
        for name in (":status", ":method", ":path", ":scheme", ":authority", ":protocol"):
            self.assertRaises(InvalidHeader, Headers, [(name, "1"), (name, "2")])

    def test_connectionSpecific(self) -> None:
        """
        Fields about connections of HTTP/1.1 cannot be sent, C{te: trailers} can.
        """
        for name in CONNECTION_SPECIFIC:
            self.assertRaises(InvalidHeader, Headers, {name.title(): "x"})
        self.assertRaises(InvalidHeader, Headers, {"te": "gzip"})
        self.assertRaises(InvalidHeader, Headers, {"te": ["trailers", "gzip"]})
        self.assertEqual(Headers({"TE": "Trailers"}).rawHeaders, [(b"te", b"Trailers")])

    def test_contentLength(self) -> None:
        """
        C{content-length} is a number.
        """
        for value in ("", "-1", -1, "+1", "1.0", "1, 1", "0x1", "abc", "²", 10**20):
            self.assertRaises(InvalidHeader, Headers, {"content-length": value})
        self.assertEqual(Headers({"content-length": 0}).rawHeaders, [(b"content-length", b"0")])

    def test_copies(self) -> None:
        """
        L{Headers} made of L{Headers} are the same list, with the names of both sensitive.
        """
        first = Headers({"a": "1"}, sensitive=["a"])
        second = Headers(first, sensitive=[b"B"])
        self.assertEqual(second, first)
        self.assertEqual(second.sensitive, {b"a", b"b"})

    def test_sensitive(self) -> None:
        """
        C{sensitive} is a list of names, any other thing is refused.
        """
        self.assertEqual(Headers({}, sensitive=("X-Key", b"y")).sensitive, {b"x-key", b"y"})
        for names in ("x-key", b"x-key", 5, None, [["a"]], [None], ["a b"], ["\ud800"]):
            self.assertRaises(InvalidHeader, Headers, {}, names)


class LookupTests(SynchronousTestCase):
    """
    Reading L{Headers}.
    """

    received = Headers.received(
        [
            (b":status", b"200"),
            (b"content-type", b"text/html"),
            (b"content-type", b"second"),
            (b"set-cookie", b"a=1"),
            (b"set-cookie", b"b=2"),
            (b"vary", b"x"),
            (b"vary", b"y"),
            (b"cookie", b"c=1"),
            (b"cookie", b"d=2"),
            (b"x-bytes", b"\xff"),
        ]
    )

    def test_typeAsked(self) -> None:
        """
        A name given as text answers in text, one given as bytes in bytes, without regard to case.
        """
        for name, value in (("Content-Type", "text/html"), (b"CONTENT-TYPE", b"text/html")):
            self.assertEqual(self.received.get(name), value)  # type: ignore[call-overload]
            self.assertEqual(self.received[name], value)  # type: ignore[index]
            self.assertIn(name, self.received)
        self.assertEqual(self.received.getAll("Set-Cookie"), ["a=1", "b=2"])
        self.assertEqual(self.received.getAll(b"Set-Cookie"), [b"a=1", b"b=2"])

    def test_joining(self) -> None:
        """
        C{cookie} is joined with semicolons, a single-value field answers with its first, all others with commas.
        """
        self.assertEqual(self.received["cookie"], "c=1; d=2")
        self.assertEqual(self.received["content-type"], "text/html")
        self.assertEqual(self.received[b"vary"], b"x, y")

    def test_missing(self) -> None:
        """
        What is not there answers with the default, an empty list or C{KeyError}.
        """
        self.assertIsNone(self.received.get("nothing"))
        self.assertEqual(self.received.get("nothing", "else"), "else")
        self.assertEqual(self.received.getAll("nothing"), [])
        self.assertRaises(KeyError, lambda: self.received["nothing"])
        self.assertNotIn("nothing", self.received)
        self.assertNotIn(5, self.received)

    def test_anyText(self) -> None:
        """
        A name that no field can have is not there, rather than an error.
        """
        for name in ("é", "\ud800", "\udcff", ""):
            self.assertIsNone(self.received.get(name))
            self.assertEqual(self.received.getAll(name), [])
            self.assertNotIn(name, self.received)

    def test_bytesSurvive(self) -> None:
        """
        A value that is not UTF-8 can be read as text and sent on as it was.
        """
        text = self.received["x-bytes"]
        self.assertEqual(Headers({"x-bytes": text}).rawHeaders, [(b"x-bytes", b"\xff")])

    def test_wholeList(self) -> None:
        """
        Iterating gives text, C{rawHeaders} bytes in a list that may be changed without changing the headers.
        """
        raw = self.received.rawHeaders
        self.assertEqual(len(raw), len(self.received))
        self.assertEqual(list(self.received)[1], ("content-type", "text/html"))
        raw.clear()
        self.assertEqual(len(self.received), 10)

    def test_facts(self) -> None:
        """
        The pseudo-header fields have names; C{host} stands in for C{:authority}.
        """
        self.assertEqual(self.received.status, 200)
        self.assertIsNone(self.received.method)
        sent = request({":path": "/x?y", "host": "other"})
        self.assertEqual(
            (sent.method, sent.path, sent.scheme, sent.authority, sent.status), ("GET", "/x?y", "https", "other", None)
        )
        self.assertEqual(request().authority, "example.com")

    def test_equality(self) -> None:
        """
        Equal lists are equal, and nothing else is; they have no hash.
        """
        self.assertEqual(Headers({"a": "1"}), Headers([(b"A", 1)]))
        self.assertNotEqual(Headers({"a": "1"}), Headers({"a": "2"}))
        self.assertNotEqual(Headers({"a": "1"}), [(b"a", b"1")])
        self.assertRaises(TypeError, hash, Headers())

    def test_repr(self) -> None:
        """
        The C{repr} shows the fields but no secrets, in ASCII whatever the peer sent.
        """
        made = Headers(
            {"a": b"\x9b\xff", "authorization": "s1", "cookie": "s2", "set-cookie": "s3", "x-key": "s4"},
            sensitive=["X-Key"],
        )
        self.assertEqual(
            repr(made),
            "<Headers a: \\x9b\\xff, authorization: <sensitive>, cookie: <sensitive>, set-cookie: <sensitive>,"
            " x-key: <sensitive>>",
        )
        self.assertNotIn("secret", repr(Headers({"proxy-authorization": "secret"})))

    def test_listSize(self) -> None:
        """
        The size of a list is its bytes and 32 for each field.
        """
        self.assertEqual(listSize([(b"a", b"bc"), (b"d", b"")]), 3 + 32 + 1 + 32)


class RequestTests(SynchronousTestCase):
    """
    L{requestHeaders}.
    """

    def test_defaults(self) -> None:
        """
        What is missing is added, in the order browsers use.
        """
        self.assertEqual(
            request({"accept": "*/*"}).rawHeaders,
            [
                (b":method", b"GET"),
                (b":authority", b"example.com"),
                (b":scheme", b"https"),
                (b":path", b"/"),
                (b"accept", b"*/*"),
            ],
        )

    def test_given(self) -> None:
        """
        What is given is used.
        """
        made = request({":path": "/a", ":method": "POST", ":authority": "b:1", ":scheme": "http"})
        self.assertEqual((made.path, made.method, made.authority, made.scheme), ("/a", "POST", "b:1", "http"))

    def test_sensitiveStays(self) -> None:
        """
        Names that are sensitive are so after completing.
        """
        self.assertEqual(request(Headers({"x": "1"}, ["x"])).sensitive, {b"x"})

    def test_host(self) -> None:
        """
        A C{host} of the caller's suppresses the default C{:authority}; one that contradicts a given C{:authority} is
        refused (RFC 9113 section 8.3.1), one that says the same is not.
        """
        self.assertNotIn(":authority", request({"host": "other"}))
        self.assertRaises(InvalidHeader, request, {"host": "other", ":authority": "example.com"})
        request({"host": "Example.com:443", ":authority": "example.com"})

    def test_wrongPseudo(self) -> None:
        """
        C{:status} and unknown pseudo-header fields do not belong into a request.
        """
        self.assertRaises(InvalidHeader, request, {":status": 200})
        self.assertRaises(InvalidHeader, request, {":unknown": "x"})
        self.assertRaises(InvalidHeader, request, [(":unknown", "x"), (":unknown", "y")])

    def test_connect(self) -> None:
        """
        CONNECT needs C{:authority} and has neither C{:scheme} nor C{:path}.
        """
        self.assertEqual(
            request({":method": "CONNECT", ":authority": "example.net:443"}).rawHeaders,
            [(b":method", b"CONNECT"), (b":authority", b"example.net:443")],
        )
        error = self.assertRaises(InvalidHeader, request, {":method": "CONNECT"})
        self.assertIn(":authority", str(error))
        self.assertRaises(InvalidHeader, request, {":method": "CONNECT", "host": "a"})
        for name in (":scheme", ":path"):
            error = self.assertRaises(
                InvalidHeader, request, {":method": "CONNECT", ":authority": "a:1", name: "https"}
            )
            self.assertIn(name, str(error))

    def test_extendedConnect(self) -> None:
        """
        CONNECT with C{:protocol} has the ordinary defaults (RFC 8441); C{:protocol} goes with nothing else.
        """
        made = request({":method": "CONNECT", ":protocol": "websocket"})
        self.assertEqual(
            made.rawHeaders,
            [
                (b":method", b"CONNECT"),
                (b":authority", b"example.com"),
                (b":scheme", b"https"),
                (b":path", b"/"),
                (b":protocol", b"websocket"),
            ],
        )
        self.assertRaises(InvalidHeader, request, {":protocol": "websocket"})
        self.assertRaises(InvalidHeader, request, {":method": "CONNECT", ":protocol": ""})

    def test_wrongValues(self) -> None:
        """
        A pseudo-header field that the peer would have to refuse is refused here.
        """
        for name, values in {
            ":method": ["", "GE T", "é", "a,b"],
            ":path": ["", "x", "*", "/a b", "http://a/", "\u00a0"],
            ":scheme": ["", "h ttp", "1http", "http:", "é"],
            ":authority": ["", "user@host", "a/b", "a b", "a#b", "a\\b", "a?b"],
            "host": ["", "user@host", "a b"],
        }.items():
            for value in values:
                self.assertRaises(InvalidHeader, request, {name: value})
        self.assertEqual(request({":method": "OPTIONS", ":path": "*"}).path, "*")

    @given(
        st.lists(
            st.tuples(
                st.one_of(
                    st.sampled_from(
                        [":method", ":path", ":scheme", ":authority", ":protocol", "host", "te", "content-length", "x"]
                    ),
                    st.text(max_size=3),
                ),
                st.one_of(
                    st.sampled_from(["CONNECT", "OPTIONS", "*", "/", "https", "HTTP", "a:443", "A", "trailers", "1"]),
                    st.text(max_size=5),
                    st.binary(max_size=5),
                    st.integers(-5, 5),
                    st.lists(st.text(max_size=2), max_size=2),
                ),
            ),
            max_size=6,
        )
    )
    def test_whatIsSentIsTaken(self, given: list[tuple[str, object]]) -> None:
        """
        Whatever may be sent as a request is one for the receiver, and so are its fields as trailers or a response.
        """
        try:
            made = request(given)
        except InvalidHeader:
            return
        facts = checkRequest(made.rawHeaders, True)
        self.assertEqual(facts.method, made[b":method"])
        plain = [field for field in made.rawHeaders if field[0][:1] != b":"]
        checkResponse(responseHeaders(plain, b"now").rawHeaders)
        try:
            trailers = trailerHeaders(plain)
        except InvalidHeader:
            return
        checkTrailers(trailers.rawHeaders)


class ResponseTests(SynchronousTestCase):
    """
    L{responseHeaders}, L{informationalHeaders} and L{trailerHeaders}.
    """

    def test_defaults(self) -> None:
        """
        A response is 200 and has a date unless the caller says otherwise.
        """
        self.assertEqual(responseHeaders(None, b"now").rawHeaders, [(b":status", b"200"), (b"date", b"now")])
        self.assertEqual(responseHeaders({"a": 1}, None).rawHeaders, [(b":status", b"200"), (b"a", b"1")])
        self.assertEqual(responseHeaders({"date": "then"}, b"now").getAll("date"), ["then"])

    def test_givenIsNotChanged(self) -> None:
        """
        The caller's L{Headers} stay as they are.
        """
        for theirs in (Headers({":status": 404}, ["x"]), Headers({"a": "b"}, ["x"])):
            before = theirs.rawHeaders
            made = responseHeaders(theirs, b"now")
            self.assertEqual(theirs.rawHeaders, before)
            self.assertEqual(made.sensitive, {b"x"})

    def test_status(self) -> None:
        """
        A final status is between 200 and 599 and has three digits.
        """
        for status in (200, 599, "404", b"500"):
            self.assertEqual(responseHeaders({":status": status}, None).status, int(status))
        for wrong in (100, 103, 199, 600, 0, -200, "", "abc", "0200", "20", "2000", "²00", "9" * 5000):
            self.assertRaises(InvalidHeader, responseHeaders, {":status": wrong}, None)

    def test_otherPseudo(self) -> None:
        """
        A response has no pseudo-header field but C{:status}.
        """
        for headers in ({":path": "/"}, {":path": "/", ":status": 200}, {":status": 200, ":x": ""}):
            self.assertRaises(InvalidHeader, responseHeaders, headers, None)

    def test_informational(self) -> None:
        """
        An informational response says a status between 100 and 199, never 101.
        """
        given = {":status": 103, "link": "</a>"}
        self.assertEqual(informationalHeaders(given).rawHeaders, [(b":status", b"103"), (b"link", b"</a>")])
        for status in (101, 99, 200, "", "1xx", "0103", 1000):
            self.assertRaises(InvalidHeader, informationalHeaders, {":status": status})
        self.assertRaises(InvalidHeader, informationalHeaders, {"link": "x"})
        self.assertRaises(InvalidHeader, informationalHeaders, {":status": 103, ":path": "/"})

    def test_trailers(self) -> None:
        """
        Trailers have no pseudo-header fields and no C{content-length}.
        """
        self.assertEqual(trailerHeaders({"grpc-status": 0}).rawHeaders, [(b"grpc-status", b"0")])
        self.assertRaises(InvalidHeader, trailerHeaders, {":status": 200})
        self.assertRaises(InvalidHeader, trailerHeaders, {"content-length": 1})


class ReceivedRequestTests(SynchronousTestCase):
    """
    L{checkRequest}.
    """

    def refused(self, *fields: Field, without: tuple[bytes, ...] = (), extended: bool = True) -> str:
        """
        Assert that a request is malformed.
        """
        return str(self.assertRaises(MalformedMessage, checkRequest, changed(*fields, without=without), extended))

    def taken(self, *fields: Field, without: tuple[bytes, ...] = ()) -> None:
        """
        Assert that a request is good.
        """
        checkRequest(changed(*fields, without=without), True)

    def test_facts(self) -> None:
        """
        A good request tells its method and length, also when the list is read once only.
        """
        self.assertEqual(checkRequest(iter(REQUEST), False)[:2], (b"GET", None))
        self.assertEqual(checkRequest(changed((b"content-length", b"007")), False)[:2], (b"GET", 7))

    def test_missingPseudo(self) -> None:
        """
        C{:method}, C{:scheme} and C{:path} must be there and not be empty.
        """
        for name in (b":method", b":scheme", b":path"):
            self.refused(without=(name,))
            self.refused((name, b""))

    def test_pseudoOrder(self) -> None:
        """
        A pseudo-header field that is repeated, unknown, of a response or behind a regular field is an error.
        """
        for fields in (
            [*REQUEST, (b":path", b"/")],
            [*REQUEST, (b":status", b"200")],
            [*REQUEST, (b":unknown", b"x")],
            *(
                [(name, value), *REQUEST]
                for name, value in [(b"a", b""), (b"host", b"example.com"), (b"te", b"trailers")]
            ),
            [(b"content-length", b"0"), *REQUEST],
        ):
            self.assertRaises(MalformedMessage, checkRequest, fields, True)

    def test_names(self) -> None:
        """
        A name that is empty, in upper case or no token is an error.
        """
        for name in (b"", b":", b"A", b"a b", b"a:", b"a\x00", b"a\r\n", b"\xff", b"a\x7f", b"(", b" a"):
            for check in (lambda fields: checkRequest(fields, True), checkResponse, checkTrailers):
                start: list[Field] = []
                if check is checkResponse:
                    start = [(b":status", b"200")]
                elif check is not checkTrailers:
                    start = REQUEST
                self.assertRaises(MalformedMessage, check, [*start, (name, b"v")])

    def test_values(self) -> None:
        """
        A value with a control character, or with a blank at either end, is an error in every message.
        """
        for value in (b" a", b"a ", b"\ta", b"a\t", b" ", *(b"a" + each + b"b" for each in CONTROLS)):
            self.refused((b"x", value))
            self.assertRaises(MalformedMessage, checkResponse, [(b":status", b"200"), (b"x", value)])
            self.assertRaises(MalformedMessage, checkTrailers, [(b"x", value)])
        for value in (b"", b"a b\tc", b"\x80\xff", b"a  b"):
            self.taken((b"x", value))

    def test_connectionSpecific(self) -> None:
        """
        Fields about connections of HTTP/1.1, and C{te} that says more than C{trailers}, are errors in every message.
        """
        fields = [(name.encode(), b"x") for name in CONNECTION_SPECIFIC]
        for field in [*fields, (b"te", b"gzip"), (b"te", b"trailers, gzip"), (b"te", b"")]:
            self.refused(field)
            self.assertRaises(MalformedMessage, checkResponse, [(b":status", b"200"), field])
            self.assertRaises(MalformedMessage, checkTrailers, [field])
        self.taken((b"te", b"trailers"))
        self.taken((b"te", b"Trailers"))

    def test_host(self) -> None:
        """
        C{host} may stand for C{:authority} or say the same, in another case or with the scheme's own port; two of them,
        or one that differs, are an error.
        """
        self.taken((b"host", b"x"), without=(b":authority",))
        for host in (b"example.com", b"EXAMPLE.com", b"example.com:443"):
            self.taken((b"host", host))
        for host in (b"example.org", b"example.com:80", b"example.com:444", b"", b":443"):
            self.refused((b"host", host))
        self.refused((b"host", b"example.com"), (b"host", b"example.com"))
        self.refused((b"host", b"x"), (b":authority", b""))
        self.taken((b"host", b"example.com:80"), (b":scheme", b"http"))

    def test_authority(self) -> None:
        """
        A request for C{http} or C{https} says where to, without user information or what could split it.
        """
        self.refused(without=(b":authority",))
        self.refused((b":authority", b""))
        for wrong in (b"user@example.com", b"a b", b"a/b", b"a?b", b"a#b", b"a\\b", b"user:pass@a"):
            self.refused((b":authority", wrong))
            self.refused((b"host", wrong), without=(b":authority",))
        for good in (b"example.com:8080", b"[::1]:443", b"a_b", b"xn--bcher-kva.example"):
            self.taken((b":authority", good))

    def test_path(self) -> None:
        """
        C{:path} of C{http} and C{https} starts with a slash, or is the asterisk of OPTIONS; case does not get a scheme
        around that.
        """
        for wrong in (b"x", b"*", b"http://a/", b"/a b", b"?x", b"//a\x7f"):
            for scheme in (b"https", b"http", b"HTTP", b"Https"):
                self.refused((b":path", wrong), (b":scheme", scheme))
        self.taken((b":path", b"*"), (b":method", b"OPTIONS"))
        self.refused((b":path", b"/*x y"), (b":method", b"OPTIONS"))
        for good in (b"/", b"//", b"/?a=b&c", b"/\xc3\xa9", b"/a%20b"):
            self.taken((b":path", good))

    def test_scheme(self) -> None:
        """
        Other schemes have their own paths and need no authority, but are schemes.
        """
        self.taken((b":scheme", b"coap+tcp"), (b":path", b"anything"))
        self.taken((b":scheme", b"urn"), (b":path", b"x"), without=(b":authority",))
        for wrong in (b"ht tp", b"1http", b"http:", b"http/", b"\xff"):
            self.refused((b":scheme", wrong))

    def test_method(self) -> None:
        """
        A method is a token, in any case.
        """
        for wrong in (b"GE T", b"GET/", b"\xff", b"a:b"):
            self.refused((b":method", wrong))
        self.taken((b":method", b"get"))
        self.taken((b":method", b"M-SEARCH"))

    def test_contentLength(self) -> None:
        """
        C{content-length} is one number; a second one is an error, the same or not, in one field or two.
        """
        for wrong in (b"", b"-1", b"+1", b"1 ", b"1,1", b"1, 1", b"0x1", b"1.0", b"\xb2", b"1" * 20, b"1_0"):
            self.refused((b"content-length", wrong))
        self.refused((b"content-length", b"1"), (b"content-length", b"1"))
        self.refused((b"content-length", b"1"), (b"content-length", b"2"))

    def test_connect(self) -> None:
        """
        CONNECT has C{:authority} and neither C{:scheme} nor C{:path} (RFC 9113 section 8.5).
        """
        facts = checkRequest([(b":method", b"CONNECT"), (b":authority", b"a:443")], False)
        self.assertEqual(facts.method, b"CONNECT")
        both = (b":scheme", b":path")
        self.refused((b":method", b"CONNECT"))
        self.refused((b":method", b"CONNECT"), without=(b":scheme",))
        self.refused((b":method", b"CONNECT"), without=(b":path",))
        self.refused((b":method", b"CONNECT"), without=(*both, b":authority"))
        self.refused((b":method", b"CONNECT"), (b"host", b"a:443"), without=(*both, b":authority"))
        self.refused((b":method", b"CONNECT"), (b":authority", b""), without=both)
        self.refused((b":method", b"CONNECT"), (b":authority", b"u@a:1"), without=both)
        self.refused((b":method", b"CONNECT"), (b"host", b"b:443"), without=both)

    def test_extendedConnect(self) -> None:
        """
        CONNECT with C{:protocol} is an ordinary request where it was announced, and an error where it was not.
        """
        fields = ((b":method", b"CONNECT"), (b":protocol", b"websocket"))
        self.taken(*fields)
        self.refused(*fields, extended=False)
        self.refused((b":protocol", b"websocket"))
        self.refused((b":method", b"CONNECT"), (b":protocol", b""))
        self.refused((b":method", b"CONNECT"), (b":protocol", b"a b"))
        self.refused(*fields, without=(b":path",))

    def test_messagesAreShort(self) -> None:
        """
        The message says what is wrong and not sixty kilobytes of it.
        """
        long = b"X" * 60000
        for field in ((long, b"v"), (b":path", long), (b":method", long + b" "), (b"content-length", long)):
            self.assertLess(len(self.refused(field)), 200)


class ReceivedResponseTests(SynchronousTestCase):
    """
    L{checkResponse} and L{checkTrailers}.
    """

    def test_facts(self) -> None:
        """
        A good response tells its status and length; C{host} means nothing in it.
        """
        fields = [(b":status", b"404"), (b"content-length", b"5"), (b"host", b"x"), (b"te", b"trailers")]
        self.assertEqual(checkResponse(iter(fields)), (404, 5))
        self.assertEqual(checkResponse([(b":status", b"103")]), (103, None))
        self.assertEqual(checkResponse([(b":status", b"999")]), (999, None))

    def test_status(self) -> None:
        """
        C{:status} is there once, in front, and is three digits that are not 101.
        """
        for status in (b"", b"20", b"2000", b"abc", b"099", b"000", b"101", b"-20", b"+20", b"2 0", b"\xb200"):
            self.assertRaises(MalformedMessage, checkResponse, [(b":status", status)])
        for fields in (
            [],
            [(b"a", b"b")],
            [(b":status", b"200"), (b":status", b"200")],
            [(b"a", b"b"), (b":status", b"200")],
            [(b"host", b"b"), (b":status", b"200")],
            [(b":status", b"200"), (b":path", b"/")],
            [(b":status", b"200"), (b":unknown", b"/")],
        ):
            self.assertRaises(MalformedMessage, checkResponse, fields)

    def test_contentLength(self) -> None:
        """
        C{content-length} is one number.
        """
        for values in ([b"x"], [b"1", b"1"], [b"1", b"2"], [b""], [b"-1"]):
            fields = [(b":status", b"200"), *((b"content-length", value) for value in values)]
            self.assertRaises(MalformedMessage, checkResponse, fields)

    def test_trailers(self) -> None:
        """
        Trailers are regular fields; a length after the body is an error.
        """
        checkTrailers(iter([(b"a", b"b"), (b"grpc-status", b"0"), (b"host", b"x")]))
        checkTrailers([])
        for field in ((b":status", b"200"), (b":path", b"/"), (b":x", b""), (b"content-length", b"1")):
            self.assertRaises(MalformedMessage, checkTrailers, [field])


class AnythingTests(SynchronousTestCase):
    """
    What no input may do.
    """

    @given(
        st.lists(
            st.tuples(
                st.one_of(st.sampled_from([name for name, _ in REQUEST] + [b":status", b"host", b"te"]), st.binary()),
                st.binary(),
            )
        )
    )
    def test_arbitraryBytes(self, fields: list[Field]) -> None:
        """
        Arbitrary bytes are a good message or a malformed one, and never anything else.
        """
        checks: list[Callable[[list[Field]], object]] = [
            lambda each: checkRequest(each, True),
            lambda each: checkRequest([*REQUEST, *each], False),
            lambda each: checkResponse([(b":status", b"200"), *each]),
            checkResponse,
            checkTrailers,
        ]
        for check in checks:
            try:
                check(fields)
            except MalformedMessage as malformed:
                str(malformed).encode("utf-8")

    @given(st.lists(st.tuples(st.one_of(st.text(), st.binary()), st.one_of(st.text(), st.binary(), st.integers()))))
    def test_arbitraryHeaders(self, pairs: list[tuple[str | bytes, str | bytes | int]]) -> None:
        """
        Arbitrary pairs are headers or L{InvalidHeader}, and never anything else.
        """
        makers: list[Callable[[], Headers]] = [
            lambda: Headers(pairs),
            lambda: request(pairs),
            lambda: responseHeaders(pairs, b"now"),
            lambda: trailerHeaders(pairs),
            lambda: Headers((), [name for name, _ in pairs]),
        ]
        for make in makers:
            try:
                repr(make()).encode("ascii")
            except InvalidHeader:
                pass

    @given(st.lists(st.tuples(st.sampled_from([b"a", b"cookie", b"date"]), st.binary())))
    def test_reading(self, fields: list[Field]) -> None:
        """
        Whatever was received can be looked at.
        """
        received = Headers.received(fields)
        repr(received).encode("ascii")
        for name, value in received:
            self.assertIn(name, received)
            received.get(name)
            self.assertIn(value, received.getAll(name))

    def test_memoryIsBounded(self) -> None:
        """
        Names that a peer or an application makes up are not remembered without bound, in number or in length.
        """
        padding = b"x" * 8000
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for number in range(3000):
                name = b"%d-" % number + padding
                checkTrailers([(name, b"")])
                Headers([(name, b""), (name.decode(), "")], [name])
            for number in range(10000):
                checkTrailers([(b"made-up-%d" % number, b"")])
                Headers([(b"made-up-%d" % number, b""), (f"made-up-{number}", "")])
            grown = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        self.assertLess(grown, 2 * 2**20)
