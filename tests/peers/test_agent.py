"""
Our agent, and its pool, ask nghttpd, Node, our demo, and a server of twisted.web that speaks HTTP/1.1 only.
"""

from __future__ import annotations

import json
import os
from io import BytesIO
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.trial.unittest import SkipTest
from twisted.web.client import (
    BrowserLikePolicyForHTTPS,
    FileBodyProducer,
    HTTPConnectionPool,
    ResponseFailed,
    ResponseNeverReceived,
    readBody,
)
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.peers.case import MIB, ClientCase, DemoCase
from tests.peers.programs import Program, find, freePort, reactor
from txh2session import SessionPool, StreamRefused, clientContextFactory, serverContextFactory
from txh2session.agent import H2Agent, H2Response

try:
    import treq
    from treq.client import HTTPClient
except ImportError:
    treq = None  # type: ignore[assignment]


class AgentCase(ClientCase):
    """
    Has agents that trust the test's certificate.
    """

    def trust(self) -> Any:
        """
        Trust the test's certificate.
        """
        return clientContextFactory(trustRoot=self.certificate.certificatePath)

    def agent(self, **options: Any) -> H2Agent:
        """
        Make an agent.  It ends with the test.
        """
        if "pool" not in options:
            options.setdefault("contextFactory", self.trust())
        agent = H2Agent(reactor, **options)
        self.addCleanup(lambda: agent.close(grace=0.5))
        return agent

    async def get(self, agent: H2Agent, url: str) -> tuple[Any, bytes]:
        """
        Get a whole answer.
        """
        response = await agent.request(b"GET", url.encode())
        return response, await readBody(response)


class NghttpdAgentTests(AgentCase):
    """
    nghttpd over TLS.
    """

    peers = ("nghttpd",)

    async def serve(self, *options: str) -> str:
        """
        Start nghttpd.

        @return: its URL.
        """
        folder = self.mktemp()
        os.mkdir(folder)
        with open(os.path.join(folder, "large"), "wb") as large:
            large.write(bytes(range(256)) * 4 * 1024)
        port = freePort()
        command = [find("nghttpd"), "-a", "127.0.0.1", "-d", folder, "-v", *options]
        clear = "--no-tls" in options
        end = [] if clear else [self.certificate.privateKeyPath, self.certificate.certificatePath]
        program = Program([*command, str(port), *end])
        self.addCleanup(program.kill)
        await program.says("listen 127.0.0.1")
        return f"{'http' if clear else 'https'}://localhost:{port}"

    async def test_get(self) -> None:
        """
        A file is there, whole; HEAD has its headers; what is not there is a 404.
        """
        agent = self.agent()
        url = await self.serve()
        response, body = await self.get(agent, url + "/large")
        self.assertEqual((response.version, response.code, response.length), ((b"HTTP", 2, 0), 200, MIB))
        self.assertEqual(body, bytes(range(256)) * 4 * 1024)
        response = await agent.request(b"HEAD", url.encode() + b"/large")
        self.assertEqual((response.length, response.headers.getRawHeaders("content-length")), (0, [str(MIB)]))
        self.assertEqual((await self.get(agent, url + "/missing"))[0].code, 404)
        self.assertEqual([each.sessions for each in agent.pool.state.values()], [1])

    async def test_twistedPolicy(self) -> None:
        """
        twisted.web's own policy for TLS gets HTTP/2, too.
        """
        with open(self.certificate.certificatePath, "rb") as file:
            trust = trustRootFromCertificates([Certificate.loadPEM(file.read())])
        agent = self.agent(contextFactory=BrowserLikePolicyForHTTPS(trust))
        response, _ = await self.get(agent, await self.serve() + "/large")
        self.assertEqual(response.version, (b"HTTP", 2, 0))

    async def test_clearText(self) -> None:
        """
        With prior knowledge C{http:} is HTTP/2, too.
        """
        agent = self.agent(priorKnowledge=True)
        response, body = await self.get(agent, await self.serve("--no-tls") + "/large")
        self.assertEqual((response.version, len(body)), ((b"HTTP", 2, 0), MIB))

    async def test_upload(self) -> None:
        """
        A body of many windows comes back whole, of known and of unknown length.
        """
        agent = self.agent()
        url = await self.serve("--echo-upload")
        body = os.urandom(3 * MIB)
        for length in (None, UNKNOWN_LENGTH):
            producer = FileBodyProducer(BytesIO(body))
            if length is not None:
                producer.length = length
            response = await agent.request(b"POST", url.encode(), None, producer)
            self.assertEqual(await readBody(response), body)

    async def test_trailers(self) -> None:
        """
        Trailers are there.
        """
        response, _ = await self.get(self.agent(), await self.serve("--trailer=x-end: yes") + "/large")
        assert isinstance(response, H2Response)
        trailers = await response.whenTrailers()
        assert trailers is not None
        self.assertEqual(trailers.getRawHeaders("x-end"), ["yes"])

    async def test_fewStreams(self) -> None:
        """
        Fifty requests at once to a server that takes two at a time are all answered, on two sessions at most.
        """
        agent = self.agent()
        url = await self.serve("-m", "2")
        answers = await gatherResults([Deferred.fromCoroutine(self.get(agent, url + "/large")) for _ in range(50)])
        self.assertEqual({len(body) for _, body in answers}, {MIB})
        self.assertLessEqual(max(each.sessions for each in agent.pool.state.values()), 2)

    async def test_cancelThenFullSpeed(self) -> None:
        """
        A thousand requests are cancelled; a request after that is answered whole, on the same session.
        """
        agent = self.agent(pool=SessionPool(reactor, contextFactory=self.trust(), maxSessionsPerOrigin=1))
        url = await self.serve()
        response, _ = await self.get(agent, url + "/large")
        for _ in range(10):
            waiting = [agent.request(b"GET", url.encode() + b"/large") for _ in range(100)]
            for each in waiting:
                each.addErrback(lambda failure: None)
                each.cancel()
        again, body = await self.get(agent, url + "/large")
        self.assertEqual(len(body), MIB)
        self.assertIs(again.stream.session, response.stream.session)


class NodeAgentTests(AgentCase):
    """
    Node.
    """

    peers = ("node",)

    async def serve(self, script: str, *arguments: str) -> str:
        """
        Start a server.

        @return: its URL.
        """
        tls = (self.certificate.certificatePath, self.certificate.privateKeyPath)
        self.node = self.startNode(script, *tls, *arguments)
        port = (await self.node.says('"listening","port":([0-9]+)'))[1]
        return f"https://localhost:{port}"

    async def test_goAwayEveryFifty(self) -> None:
        """
        A server that sends GOAWAY after every 50 requests loses none of 10,000, and no request reaches it twice.
        """
        agent = self.agent()
        url = await self.serve("agent.js", "50")
        seen: list[bytes] = []

        async def some(first: int) -> None:
            for number in range(first, first + 100):
                seen.append((await self.get(agent, f"{url}/{number}"))[1])

        await gatherResults([Deferred.fromCoroutine(some(100 * each)) for each in range(100)])
        self.assertEqual(sorted(seen), sorted(b"/%d " % number for number in range(10_000)))
        counts = json.loads((await self.get(agent, url + "/counts"))[1])
        self.note(f"10,000 requests on {counts['sessions']} sessions")
        self.assertEqual(counts["served"], 10_000)
        self.assertGreaterEqual(counts["sessions"], 200)

    test_goAwayEveryFifty.timeout = 110  # type: ignore[attr-defined]

    async def test_uploadAgain(self) -> None:
        """
        So do uploads whose bodies go again.
        """
        agent = self.agent()
        url = await self.serve("agent.js", "5")

        async def upload(number: int) -> bytes:
            producer = FileBodyProducer(BytesIO(b"%d" % number * 100))
            return await readBody(await agent.request(b"POST", url.encode(), None, producer))

        answers = await gatherResults([Deferred.fromCoroutine(upload(each)) for each in range(60)])
        self.assertEqual(answers, [b"/ " + b"%d" % number * 100 for number in range(60)])

    async def test_refused(self) -> None:
        """
        A stream that is refused each time is a response that never came, after three more sessions.
        """
        agent = self.agent()
        url = await self.serve("server.js")
        error = await self.assertFailure(agent.request(b"GET", url.encode() + b"/refuse"), ResponseNeverReceived)
        self.assertIsInstance(error.reasons[0].value, StreamRefused)
        await self.node.says(r'(?s)(?:"path":"/refuse","rstCode":7.*){4}')
        self.assertEqual(self.node.said.count('"path":"/refuse","rstCode":7'), 4)

    async def test_informationAndTrailers(self) -> None:
        """
        1xx answers and trailers are there.
        """
        agent = self.agent()
        url = await self.serve("server.js")
        response, body = await self.get(agent, url + "/hints")
        links = [each["link"].partition(">")[0] for each in response.information]
        self.assertEqual(links, ["</style.css", "</script.js"])
        self.assertEqual(body, b"after hints")
        response, body = await self.get(agent, url + "/trailers")
        trailers = await response.whenTrailers()
        self.assertEqual((body, trailers.getRawHeaders("x-more")), (b"body", ["one", "two"]))

    async def test_cut(self) -> None:
        """
        An answer that is cut short fails in the middle, the session with it or not.
        """
        url = await self.serve("server.js")
        for path in ("/cut", "/destroy?code=2"):
            response = await self.agent().request(b"GET", url.encode() + path.encode())
            await self.assertFailure(readBody(response), ResponseFailed)

    async def test_earlyAnswer(self) -> None:
        """
        An answer to a request whose body has not been sent is delivered, and the producer stopped.
        """
        url = await self.serve("server.js")
        producer = FileBodyProducer(BytesIO(bytes(20 * MIB)))
        response = await self.agent().request(b"POST", url.encode() + b"/early", None, producer)
        self.assertEqual((response.code, await readBody(response)), (413, b"too much"))


class DemoAgentTests(DemoCase, AgentCase):
    """
    Our demo.
    """

    async def test_treq(self) -> None:
        """
        Treq over the agent, against the demo: JSON, an upload, a redirect's absence, a large body collected in pieces.
        """
        if treq is None:
            raise SkipTest("this needs treq: pip install treq")
        client = HTTPClient(self.agent())
        response = await client.post(self.url("/echo"), data=b"hello")
        self.assertEqual((response.code, await response.content()), (200, b"hello"))
        sizes: list[int] = []
        response = await client.get(self.url(f"/bytes/{5 * MIB}"), unbuffered=True)
        await treq.collect(response, lambda data: sizes.append(len(data)))
        self.assertEqual(sum(sizes), 5 * MIB)
        self.assertGreater(len(sizes), 10)


class Echo(Resource):
    """
    Answers what it was asked.
    """

    isLeaf = True

    def render(self, request: Any) -> bytes:
        """See L{Resource}."""
        request.setHeader("x-client", request.getClientAddress().host)
        body: bytes = request.content.read()
        return request.uri + b" " + body


class HTTP1AgentTests(AgentCase):
    """
    A server of twisted.web that speaks HTTP/1.1 only.
    """

    def serve(self, interface: str = "127.0.0.1") -> str:
        """
        Serve over TLS, in this process.
        """
        site = Site(Echo())
        self.patch(site, "acceptableProtocols", lambda: [b"http/1.1"])
        self.connections = 0
        build = site.buildProtocol

        def count(address: Any) -> Any:
            self.connections += 1
            return build(address)

        self.patch(site, "buildProtocol", count)
        tls = serverContextFactory(
            self.certificate.certificatePath, self.certificate.privateKeyPath, protocols=(b"http/1.1",)
        )
        port = reactor.listenSSL(0, site, tls, interface=interface)
        self.addCleanup(port.stopListening)
        return f"https://localhost:{port.getHost().port}"

    async def test_http1(self) -> None:
        """
        It is asked over HTTP/1.1, on the connection whose handshake said so, which is kept.
        """
        agent = self.agent()
        url = self.serve()
        for number in range(3):
            response, body = await self.get(agent, f"{url}/{number}")
            self.assertEqual((response.version, body), ((b"HTTP", 1, 1), b"/%d " % number))
        self.assertEqual(self.connections, 1)
        producer = FileBodyProducer(BytesIO(bytes(MIB)))
        response = await agent.request(b"POST", url.encode(), Headers({"x": ["y"]}), producer)
        self.assertEqual(len(await readBody(response)), MIB + 2)

    async def test_bindAddress(self) -> None:
        """
        The local address can be chosen.
        """
        response, _ = await self.get(self.agent(bindAddress=("127.0.0.3", 0), connectTimeout=5), self.serve())
        self.assertEqual(response.headers.getRawHeaders("x-client"), ["127.0.0.3"])

    async def test_together(self) -> None:
        """
        Ten requests at once are all answered.
        """
        agent = self.agent(http1Pool=HTTPConnectionPool(reactor))
        url = self.serve()
        answers = await gatherResults([Deferred.fromCoroutine(self.get(agent, f"{url}/{each}")) for each in range(10)])
        self.assertEqual([body for _, body in answers], [b"/%d " % number for number in range(10)])

    async def test_nobodyThere(self) -> None:
        """
        A port where nobody listens, and a name that nobody has, fail as Twisted says it, ten at once.
        """
        agent = self.agent()
        port = freePort()
        await gatherResults(
            [
                self.assertFailure(agent.request(b"GET", b"https://localhost:%d/" % port), ConnectionRefusedError)
                for _ in range(10)
            ]
        )
        await self.assertFailure(agent.request(b"GET", b"https://does-not-exist.invalid/"), DNSLookupError)

    async def test_otherName(self) -> None:
        """
        A certificate for another name is a response that never came.
        """
        url = self.serve("127.0.0.2").replace("localhost", "127.0.0.2")
        error = await self.assertFailure(self.agent().request(b"GET", url.encode()), ResponseNeverReceived)
        self.assertEqual(error.reasons[0].value.stage, "tls")
