"""
Node asks our server.
"""

from __future__ import annotations

import json
from typing import Any

from tests.peers.case import MIB, DemoCase, jsonLines


class NodeCase(DemoCase):
    """
    Runs Node against our server.
    """

    peers = ("node",)

    async def node(self, action: str, argument: object = "") -> list[dict[str, Any]]:
        """
        Have Node do something.

        @return: what happened, in order.
        """
        certificate = self.certificate.certificatePath if self.scheme == "https" else ""
        program = self.startNode("client.js", self.url(""), action, certificate, str(argument))
        await program.ends(40)
        self.assertEqual((program.status, program.errors), (0, ""), program.said)
        happened = jsonLines(program.output)
        self.assertIn({"event": "done"}, happened)
        return happened

    def facts(self, happened: list[dict[str, Any]], event: str) -> list[dict[str, Any]]:
        """
        Pick the facts of the events of one kind.
        """
        return [{key: each[key] for key in each if key != "event"} for each in happened if each["event"] == event]

    def assertNoErrors(self, happened: list[dict[str, Any]]) -> None:
        """
        Check that Node reported no error.
        """
        for event in ("sessionError", "streamError", "aborted", "failed"):
            self.assertEqual(self.facts(happened, event), [], happened)


class NodeClientTests(NodeCase):
    """
    Over TLS, and in clear text below.
    """

    # Streams

    async def test_get(self) -> None:
        """
        A GET is answered, and the session ends without an error.
        """
        happened = await self.node("get", "/hello")
        self.assertEqual(self.facts(happened, "body"), [{"text": "hello world\n"}])
        self.assertEqual(self.facts(happened, "streamClose"), [{"rstCode": 0}])
        self.assertNoErrors(happened)

    async def test_webSocket(self) -> None:
        """
        Node opens a WebSocket by extended CONNECT: text, binary, fragments, a ping, compressed and long messages, a close.
        """
        happened = await self.node("webSocket")
        (response,) = self.facts(happened, "response")
        self.assertEqual(response["status"], 200)
        self.assertIn("server_no_context_takeover", response["extensions"])
        frames = self.facts(happened, "frame")
        self.assertEqual([each["masked"] for each in frames], [False] * 7)
        self.assertEqual(
            [(each["opcode"], each["text"][:20], each["length"]) for each in frames if each["opcode"] != 10],
            [
                (1, "hÃ©llo", 6),
                (2, "\0\1\xff", 3),
                (1, "in two parts", 12),
                (1, "pressed pressed pres", 8000),
                (2, "\0" * 20, 300000),
                (8, "\x0f\xa1", 2),
            ],
        )
        self.assertIn("are you there?", [each["text"] for each in frames if each["opcode"] == 10])
        self.assertTrue(frames[-3]["rsv1"])
        self.assertEqual(self.facts(happened, "streamClose"), [{"rstCode": 0}])
        self.assertNoErrors(happened)

    async def test_bothDirectionsAtOnce(self) -> None:
        """
        Each of fifty chunks is echoed before the next is sent.
        """
        happened = await self.node("pingPong")
        self.assertEqual(self.facts(happened, "count"), [{"count": 50}])
        self.assertNoErrors(happened)

    async def test_echo(self) -> None:
        """
        A large body comes back the same.
        """
        happened = await self.node("echo", 5 * MIB + 1)
        self.assertEqual(self.facts(happened, "same"), [{"same": True}])
        self.assertNoErrors(happened)

    async def test_trailers(self) -> None:
        """
        Trailers arrive after the body.
        """
        happened = await self.node("get", "/trailers")
        (facts,) = self.facts(happened, "trailers")
        self.assertEqual(facts["fields"]["x-body-length"], "35")
        self.assertNoErrors(happened)

    async def test_sentTrailers(self) -> None:
        """
        A body that ends with trailers is whole.
        """
        happened = await self.node("sendTrailers")
        self.assertEqual(self.facts(happened, "body"), [{"text": "body"}])
        self.assertNoErrors(happened)

    async def test_information(self) -> None:
        """
        A 103 comes before the answer.
        """
        happened = await self.node("get", "/early-hints")
        (facts,) = self.facts(happened, "information")
        self.assertEqual(facts["status"], 103)
        self.assertEqual([each["event"] for each in happened[:2]], ["information", "response"])
        self.assertNoErrors(happened)

    async def test_manyAtOnce(self) -> None:
        """
        Five hundred requests at once are all answered.
        """
        happened = await self.node("many")
        self.assertEqual(self.facts(happened, "lengths"), [{"right": True}])
        self.assertNoErrors(happened)

    # Facts

    async def test_ping(self) -> None:
        """
        A PING is answered with what it carried.
        """
        happened = await self.node("ping")
        self.assertEqual(self.facts(happened, "pong"), [{"error": None, "positive": True, "payload": "abcdefgh"}])

    async def test_settings(self) -> None:
        """
        Each side knows the other's settings.
        """
        happened = await self.node("settings")
        (remote,) = self.facts(happened, "remote")
        self.assertEqual((remote["maxConcurrentStreams"], remote["initialWindowSize"]), (100, 256 * 1024))
        self.assertEqual(self.facts(happened, "local"), [{"error": None, "initialWindowSize": 123456}])
        facts = json.loads(self.facts(happened, "body")[0]["text"])
        self.assertEqual(facts["remoteSettings"]["initialWindowSize"], 123456)
        self.assertGreater(facts["state"]["roundTripTime"], 0)
        self.assertNoErrors(happened)

    # Ends of streams

    async def test_reset(self) -> None:
        """
        A stream that our server resets ends with the code at Node.
        """
        for code, name in ((2, "NGHTTP2_INTERNAL_ERROR"), (11, "NGHTTP2_ENHANCE_YOUR_CALM")):
            happened = await self.node("get", f"/reset?code={code}")
            self.assertEqual(self.facts(happened, "streamClose"), [{"rstCode": code}])
            (error,) = self.facts(happened, "streamError")
            self.assertEqual(error["message"], f"Stream closed with error code {name}")

    async def test_cancel(self) -> None:
        """
        A download that Node closes in the middle, with any code, does not hurt the session.
        """
        for code in (0, 8, 77):
            happened = await self.node("cancel", code)
            self.assertEqual(self.facts(happened, "body"), [{"text": "hello world\n"}])
            self.assertEqual(self.facts(happened, "sessionError"), [])
            self.assertEqual(self.facts(happened, "streamClose")[0], {"rstCode": code})

    async def test_cancelUpload(self) -> None:
        """
        An upload that Node closes in the middle, with any code, does not hurt the session.
        """
        for code in (8, 77):
            happened = await self.node("cancelUpload", code)
            self.assertEqual(self.facts(happened, "body"), [{"text": "hello world\n"}])
            self.assertEqual(self.facts(happened, "sessionError"), [])

    async def test_earlyAnswer(self) -> None:
        """
        An answer that comes in the middle of an upload is whole, and stops the upload without an error of anybody's.
        """
        happened = await self.node("early")
        self.assertEqual(self.facts(happened, "response"), [{"status": 404}, {"status": 200}])
        self.assertEqual(self.facts(happened, "aborted"), [{}])  # the upload
        self.assertEqual(self.facts(happened, "body"), [{"text": "hello world\n"}])
        self.assertEqual(self.facts(happened, "streamError") + self.facts(happened, "sessionError"), [])

    # Ends of sessions

    async def test_close(self) -> None:
        """
        A session that Node closes lets its download finish.
        """
        happened = await self.node("close")
        self.assertEqual(self.facts(happened, "end"), [{"length": 1_000_000}])
        self.assertEqual(len(self.facts(happened, "sessionClose")), 1)
        self.assertNoErrors(happened)

    async def test_destroy(self) -> None:
        """
        A session that Node destroys in the middle of a download, with any code, leaves a server that is well.
        """
        for code in ("", 0, 11):
            happened = await self.node("destroy", code)
            self.assertEqual(len(self.facts(happened, "sessionClose")), 1)
        self.assertNoErrors(await self.node("get", "/hello"))

    async def test_goaway(self) -> None:
        """
        A request that was sent before Node's GOAWAY is answered, and then the session ends.
        """
        happened = await self.node("goaway", 0)
        self.assertEqual(self.facts(happened, "body"), [{"text": "that took 0.5 seconds\n"}])
        self.assertEqual(len(self.facts(happened, "sessionClose")), 1)
        self.assertNoErrors(happened)

    async def test_goawayWithACode(self) -> None:
        """
        Node's GOAWAY with a code ends the session, one way or the other, and the server is well.
        """
        happened = await self.node("goaway", 11)
        self.assertEqual(len(self.facts(happened, "sessionClose")), 1)
        self.assertNoErrors(await self.node("get", "/hello"))

    async def test_serverDestroys(self) -> None:
        """
        A session that our server destroys without a code ends Node's download with CANCEL, and Node sees the GOAWAY.
        """
        for path in ("/destroy", "/destroy?code=0"):
            happened = await self.node("ended", path)
            (goaway,) = self.facts(happened, "goaway")
            self.assertEqual(goaway, {"code": 0, "lastStreamID": 3})
            self.assertEqual(len(self.facts(happened, "sessionClose")), 1)
            # Node's slip: it says that the body ended, and only this code that it was cut.
            self.assertEqual(self.facts(happened, "streamClose"), [{"rstCode": 8}, {"rstCode": 8}])

    async def test_serverDestroysWithACode(self) -> None:
        """
        A session that our server destroys with a code is an error at Node that names it, on the session and its streams.
        """
        for code, name in ((2, "NGHTTP2_INTERNAL_ERROR"), (11, "NGHTTP2_ENHANCE_YOUR_CALM"), (77, "77")):
            happened = await self.node("ended", f"/destroy?code={code}")
            (goaway,) = self.facts(happened, "goaway")
            self.assertEqual(goaway, {"code": code, "lastStreamID": 3})
            (error,) = self.facts(happened, "sessionError")
            self.assertIn(error["message"].rpartition(" ")[2], (str(code), name))
            self.assertEqual(len(self.facts(happened, "streamError")), 2)
            self.assertEqual(self.facts(happened, "end"), [], happened)

    async def test_serverSendsGoaway(self) -> None:
        """
        The request on which our server sends GOAWAY is answered after it, and then Node's session ends.
        """
        happened = await self.node("get", "/goaway")
        self.assertEqual(self.facts(happened, "goaway"), [{"code": 0, "lastStreamID": 1}])
        self.assertEqual(self.facts(happened, "response"), [{"status": 200}])
        self.assertNoErrors(happened)


class NodeClientInClearTests(NodeClientTests):
    """
    The same in clear text, with prior knowledge.
    """

    scheme = "http"
