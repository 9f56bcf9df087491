"""
L{txh2session.websocket}, in memory and on a fake clock: both ends of it, and each end with a peer that sends single frames.
"""

from __future__ import annotations

import subprocess
import sys
import zlib
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.fixtures import note
from txh2session import (
    Ended,
    ErrorCode,
    Headers,
    Initiator,
    InvalidHeader,
    InvalidSetting,
    InvalidState,
    Limits,
    PingCancelled,
    ServerStream,
    Settings,
    StreamError,
    TunnelRefused,
    openTunnel,
)
from txh2session.testing import ConnectedSessions, connectedSessions
from txh2session.tunnel import grantTunnel
from txh2session.websocket import (
    CloseCode,
    Deflate,
    WebSocket,
    WebSocketClosed,
    WebSocketListener,
    acceptWebSocket,
    openWebSocket,
)

EXTENDED = Settings(enableConnectProtocol=True)
MASK = b"\x11\x22\x33\x44"
TEXT, BINARY, CONTINUATION, CLOSE, PING, PONG = 1, 2, 0, 8, 9, 10
VERSION = {"sec-websocket-version": "13"}


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bool = True) -> bytes:
    """
    Build a frame (RFC 6455 section 5.2).

    @param rsv: the reserved bits, 4 for the first.
    @param mask: whether a client sends it.
    """
    first = fin << 7 | rsv << 4 | opcode
    size = len(payload)
    if size < 126:
        head = bytes([first, mask << 7 | size])
    elif size < 65536:
        head = bytes([first, mask << 7 | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, mask << 7 | 127]) + size.to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


def closing(code: int, reason: str = "") -> bytes:
    """
    Build what a Close carries.
    """
    return code.to_bytes(2, "big") + reason.encode()


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """
    Read whole frames.

    @return: their first bytes and their payloads, without masks.
    """
    found = []
    while data:
        first, second = data[:2]
        size, at = second & 127, 2
        if size > 125:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        mask = b"\0\0\0\0"
        if second & 128:
            mask, at = data[at : at + 4], at + 4
        payload = bytes(byte ^ mask[index % 4] for index, byte in enumerate(data[at : at + size]))
        found.append((first, payload))
        data = data[at + size :]
    return found


def deflated(*messages: bytes, bits: int = 15) -> list[bytes]:
    """
    Compress messages, one after the other (RFC 7692 section 7.2.1).
    """
    deflater = zlib.compressobj(wbits=-bits)
    return [(deflater.compress(each) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4] for each in messages]


class Collector(WebSocketListener):
    """
    Writes down what a WebSocket tells.
    """

    def __init__(self) -> None:
        self.messages: list[str | bytes] = []
        self.log: list[Any] = []
        self.failWith: Exception | None = None

    def messageReceived(self, webSocket: WebSocket, message: str | bytes) -> None:
        """Write it down."""
        self.messages.append(message)
        if self.failWith is not None:
            raise self.failWith

    def pongReceived(self, webSocket: WebSocket, payload: bytes) -> None:
        """Write it down."""
        self.log.append(("pong", payload))

    def webSocketClosed(self, webSocket: WebSocket, error: WebSocketClosed | None) -> None:
        """Write it down."""
        self.log.append(("closed", error and int(error.code)))


class RawEnd:
    """
    The peer of a WebSocket: a stream, and frames made by hand.
    """

    def __init__(self, stream: Any, client: bool) -> None:
        self.stream = stream
        self.client = client
        self.data = b""
        self.lost: list[Any] = []
        self.takes: int | None = None
        stream.deliverBody(_Taker(self))

    def send(self, opcode: int, payload: bytes = b"", **options: Any) -> None:
        """
        Send a frame.
        """
        options.setdefault("mask", self.client)
        self.stream.write(frame(opcode, payload, **options))

    def take(self) -> list[tuple[int, bytes]]:
        """
        Take the frames that came.
        """
        data, self.data = self.data, b""
        return parse(data)


class _Taker:
    """
    Keeps a body.
    """

    def __init__(self, end: RawEnd) -> None:
        self.end = end

    def makeConnection(self, transport: Any) -> None:
        """Nothing is asked of it."""

    def dataReceived(self, data: bytes) -> None:
        """Keep it, and pause when it is as much as is taken at once."""
        before = len(self.end.data)
        self.end.data += data
        takes = self.end.takes
        if takes is not None and before // takes != len(self.end.data) // takes:
            self.end.stream.pauseProducing()

    def connectionLost(self, reason: Any) -> None:
        """Keep it."""
        self.end.lost.append(reason.value)


class WebSocketCase(SynchronousTestCase):
    """
    Opens WebSockets.
    """

    def pair(
        self, accept: dict[str, Any] | None = None, ask: dict[str, Any] | None = None, **options: Any
    ) -> tuple[WebSocket, WebSocket, ConnectedSessions]:
        """
        Open one between two ends of ours.

        @return: the client's, the server's, and their sessions.
        """
        accepted: list[WebSocket] = []

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            webSocket = acceptWebSocket(stream, **(accept or {}))
            assert webSocket is not None
            accepted.append(webSocket)

        both = connectedSessions(streamReceived, settings=EXTENDED, **options)
        opening = openWebSocket(both.client, "/chat", **(ask or {}))
        both.pump()
        return self.successResultOf(opening), accepted[0], both

    def raw(self, role: str, **options: Any) -> tuple[WebSocket, RawEnd, ConnectedSessions]:
        """
        Open one whose peer is played by the test.

        @param role: which side is ours.
        @param options: those of L{connectedSessions}, and C{answer}, fields of the test's handshake, and C{own}, options of
            ours.
        """
        answer = options.pop("answer", {})
        own = options.pop("own", {})
        ours: list[Any] = []
        streams: list[ServerStream] = []

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            streams.append(stream)
            if role == "server":
                ours.append(acceptWebSocket(stream, **own))
            else:
                grantTunnel(stream, answer)

        both = connectedSessions(streamReceived, settings=EXTENDED, **options)
        if role == "server":
            raw = self.ask(both, answer)
            both.pump()
            return ours[0], RawEnd(self.successResultOf(raw), client=True), both
        opening = openWebSocket(both.client, **own)
        both.pump()
        return self.successResultOf(opening), RawEnd(streams[0], client=False), both

    def ask(self, both: ConnectedSessions, fields: dict[str, Any]) -> Deferred[Any]:
        """
        Ask for a WebSocket by hand.
        """
        return openTunnel(both.client, "localhost", {**VERSION, **fields}, "websocket")

    def closedWith(self, webSocket: WebSocket) -> WebSocketClosed:
        """
        Check that a WebSocket is closed, and not in order.

        @return: what it was closed with.
        """
        self.assertTrue(webSocket.closed)
        error: WebSocketClosed = self.failureResultOf(webSocket.whenClosed(), WebSocketClosed).value
        self.assertEqual((webSocket.closeCode, webSocket.closeReason), (error.code, error.reason))
        self.assertFalse(error.clean)
        return error

    def assertNothingLeft(self, both: ConnectedSessions) -> None:
        """
        Check that no stream and no timer is left over.
        """
        self.assertEqual(both.client.state.localStreams, 0)
        for session in (both.client, both.serverSession):
            session.destroy()
        both.pump()
        self.assertEqual([call for call in both.clock.getDelayedCalls() if "_late" in str(call)], [])


class HandshakeTests(WebSocketCase):
    """
    Asking, accepting and refusing.
    """

    def refusal(self, fields: dict[str, Any], **options: Any) -> tuple[TunnelRefused, str]:
        """
        Ask for what the server finds fault with.
        """
        results: list[WebSocket | None] = []
        both = connectedSessions(
            lambda stream, headers: results.append(acceptWebSocket(stream, **options)), settings=EXTENDED
        )
        stream = both.client.request(
            {":method": "CONNECT", ":protocol": "websocket", **fields},
            endStream=False,
        )
        both.pump()
        self.assertEqual(results, [None])
        headers = self.successResultOf(stream.whenResponse())
        return TunnelRefused("", headers.status, headers), self.successResultOf(stream.read()).decode()

    def test_request(self) -> None:
        """
        The request is an extended CONNECT with what RFC 8441 section 5.1 shows, and no key.
        """
        near, far, both = self.pair(ask={"protocols": ["chat", "soup"], "headers": {"origin": "http://localhost"}})
        sent = dict(near.stream.sentHeaders or ())
        self.assertEqual(
            sent,
            {
                ":method": "CONNECT",
                ":protocol": "websocket",
                ":scheme": "http",
                ":path": "/chat",
                ":authority": "localhost",
                "sec-websocket-version": "13",
                "sec-websocket-protocol": "chat, soup",
                "sec-websocket-extensions": (
                    "permessage-deflate; client_max_window_bits=12; server_max_window_bits=12"
                ),
                "origin": "http://localhost",
            },
        )
        assert near.stream.headers is not None
        self.assertEqual(near.stream.headers.status, 200)
        self.assertNotIn("sec-websocket-protocol", near.stream.headers)

    def test_subprotocol(self) -> None:
        """
        The server's first subprotocol that the client offered is the one that both have.
        """
        near, far, both = self.pair({"protocols": ["soup", "chat"]}, {"protocols": ["chat", "soup", "mqtt"]})
        self.assertEqual((near.subprotocol, far.subprotocol), ("soup", "soup"))

    def test_noSubprotocol(self) -> None:
        """
        Without one in common there is none.
        """
        near, far, both = self.pair({"protocols": ["soup"]}, {"protocols": ["chat"]})
        self.assertEqual((near.subprotocol, far.subprotocol), (None, None))

    def test_answerHeaders(self) -> None:
        """
        The server's answer has the headers it was given.
        """
        near, far, both = self.pair({"headers": {"set-cookie": "a=b"}})
        assert near.stream.headers is not None
        self.assertEqual(near.stream.headers["set-cookie"], "a=b")

    def test_version(self) -> None:
        """
        A request for another version, or for none, gets 400 and is told which there is (RFC 6455 section 4.4).
        """
        for fields in ({"sec-websocket-version": "8"}, {}, {"sec-websocket-version": ["13", "13"]}):
            refused, text = self.refusal(fields)
            assert refused.headers is not None
            self.assertEqual((refused.status, refused.headers["sec-websocket-version"]), (400, "13"))
            self.assertIn("sec-websocket-version", text)

    def test_malformed(self) -> None:
        """
        A request whose fields are malformed gets 400 (RFC 6455 sections 4.2 and 9.1).
        """
        for fields in (
            {"sec-websocket-protocol": "a b"},
            {"sec-websocket-protocol": "chat, chat"},
            {"sec-websocket-protocol": "chat,,soup"},
            {"sec-websocket-extensions": "permessage-deflate; x y"},
            {"sec-websocket-extensions": 'permessage-deflate; a="b c"'},
            {"sec-websocket-extensions": 'permessage-deflate; a=""'},
            {"sec-websocket-extensions": "permessage-deflate; a; a"},
            {"sec-websocket-extensions": "=x"},
        ):
            refused, text = self.refusal({**VERSION, **fields})
            self.assertEqual(refused.status, 400, fields)

    def test_otherRequests(self) -> None:
        """
        Accepting what does not ask for a WebSocket is misuse.
        """
        caught: list[Exception] = []

        def streamReceived(stream: ServerStream, headers: Headers) -> None:
            try:
                acceptWebSocket(stream)
            except InvalidState as error:
                caught.append(error)
            stream.respond({":status": 404}, endStream=True)

        both = connectedSessions(streamReceived, settings=EXTENDED)
        both.client.request()
        both.client.request({":method": "CONNECT", ":protocol": "other"})
        both.pump()
        self.assertEqual(len(caught), 2)

    def test_twice(self) -> None:
        """
        A request that was answered cannot be accepted.
        """
        near, far, both = self.pair()
        self.assertRaises(InvalidState, acceptWebSocket, far.stream)

    def test_misuse(self) -> None:
        """
        Values out of range raise at the call, on both sides.
        """
        near, far, both = self.pair()
        for options, kind in (
            ({"maxMessageSize": 0}, InvalidSetting),
            ({"maxMessageSize": True}, InvalidSetting),
            ({"closeTimeout": -1}, InvalidSetting),
            ({"protocols": ["a b"]}, ValueError),
            ({"protocols": ["a", "a"]}, ValueError),
            ({"headers": {":status": "x", "connection": "close"}}, InvalidHeader),
        ):
            self.assertRaises(kind, openWebSocket, both.client, "/", **options)
            asked = self.ask(both, {})
            raised: list[type[BaseException]] = []

            def accept(stream: Any, headers: Any, options: Any = options, raised: Any = raised) -> None:
                try:
                    acceptWebSocket(stream, **options)
                except Exception as error:
                    raised.append(type(error))
                stream.close(ErrorCode.CANCEL)

            both.server.streamReceived = accept
            both.pump()
            self.failureResultOf(asked, Ended)
            self.assertEqual(raised, [kind], options)

    def test_refused(self) -> None:
        """
        A server refuses with an ordinary answer, of which the client is told the status.
        """
        both = connectedSessions(
            lambda stream, headers: stream.respond({":status": 403}, endStream=True), settings=EXTENDED
        )
        opening = openWebSocket(both.client)
        both.pump()
        self.assertEqual(self.failureResultOf(opening, TunnelRefused).value.status, 403)

    def test_notAllowed(self) -> None:
        """
        A server whose SETTINGS do not allow extended CONNECT is not asked (RFC 8441 section 3).
        """
        both = connectedSessions(lambda stream, headers: None)
        self.assertIsNone(self.failureResultOf(openWebSocket(both.client), TunnelRefused).value.status)
        self.assertEqual(both.client.state.localStreams, 0)

    def test_sessionLost(self) -> None:
        """
        A session that ends before the answer fails the opening.
        """
        both = connectedSessions(lambda stream, headers: None, settings=EXTENDED)
        opening = openWebSocket(both.client)
        both.pump()
        both.serverSession.destroy()
        both.pump()
        self.failureResultOf(opening, Ended)

    def test_cancelled(self) -> None:
        """
        Cancelling resets the stream.
        """
        streams: list[ServerStream] = []
        both = connectedSessions(lambda stream, headers: streams.append(stream), settings=EXTENDED)
        opening = openWebSocket(both.client)
        both.pump()
        opening.cancel()
        both.pump()
        self.failureResultOf(opening)
        self.assertEqual(streams[0].rstCode, ErrorCode.CANCEL)

    def test_notOffered(self) -> None:
        """
        A server that chooses what was not offered is refused, and its stream reset (RFC 6455 section 4.1).
        """
        for answer, own in (
            ({"sec-websocket-protocol": "soup"}, {}),
            ({"sec-websocket-protocol": "chat, soup"}, {"protocols": ["chat", "soup"]}),
            ({"sec-websocket-extensions": "permessage-deflate"}, {"deflate": None}),
            ({"sec-websocket-extensions": "permessage-bzip2"}, {}),
            ({"sec-websocket-extensions": "permessage-deflate, permessage-deflate"}, {}),
            ({"sec-websocket-extensions": "permessage-deflate; server_max_window_bits=15"}, {}),
            ({"sec-websocket-extensions": "permessage-deflate; client_max_window_bits=13"}, {}),
            ({"sec-websocket-extensions": "permessage-deflate; client_max_window_bits"}, {}),
            ({"sec-websocket-extensions": "permessage-deflate; mystery=1"}, {}),
            ({"sec-websocket-extensions": "=;"}, {}),
        ):
            streams: list[ServerStream] = []

            def streamReceived(stream: ServerStream, headers: Headers, answer: Any = answer) -> None:
                streams.append(stream)  # noqa: B023
                grantTunnel(stream, answer)

            both = connectedSessions(streamReceived, settings=EXTENDED)
            opening = openWebSocket(both.client, **own)  # type: ignore[arg-type]
            both.pump()
            refused = self.failureResultOf(opening, TunnelRefused).value
            self.assertEqual(refused.status, 200, answer)
            self.assertEqual(streams[0].rstCode, ErrorCode.CANCEL)

    def test_withoutWsproto(self) -> None:
        """
        Without wsproto the import says which extra is missing.
        """
        program = "import sys; sys.modules['wsproto'] = None; import txh2session; import txh2session.websocket"
        run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        self.assertEqual(run.returncode, 1)
        self.assertIn("pip install 'txh2session[websocket]'", run.stderr.splitlines()[-1])


class DeflateTests(WebSocketCase):
    """
    Agreeing on compression, and compressing.
    """

    def answered(self, offer: str, **allowed: Any) -> str | None:
        """
        Offer extensions, and return what the server chose.
        """
        both = connectedSessions(
            lambda stream, headers: acceptWebSocket(stream, deflate=Deflate(**allowed)) and None, settings=EXTENDED
        )
        asked = self.ask(both, {"sec-websocket-extensions": offer})
        both.pump()
        answer: str | None = self.successResultOf(asked).headers.get("sec-websocket-extensions")
        return answer

    def test_negotiation(self) -> None:
        """
        The server takes the first offer it can, and grants no more than its own window (RFC 7692 sections 5 and 7.1).
        """
        name = "permessage-deflate"
        for offer, allowed, answer in (
            (name, {}, f"{name}; server_max_window_bits=12"),
            (name, {"serverMaxWindowBits": 15}, name),
            (f"{name}; client_max_window_bits", {}, f"{name}; server_max_window_bits=12; client_max_window_bits=12"),
            (f"{name};client_max_window_bits=8 ", {"serverMaxWindowBits": 15}, f"{name}; client_max_window_bits=8"),
            (f'{name}; server_max_window_bits="10"', {}, f"{name}; server_max_window_bits=10"),
            (f"{name}; server_max_window_bits=8", {}, None),
            (f"{name}; server_max_window_bits=8, {name}", {}, f"{name}; server_max_window_bits=12"),
            (f"{name}; server_max_window_bits=16", {}, None),
            (f"{name}; server_max_window_bits=09", {}, None),
            (f"{name}; server_max_window_bits", {}, None),
            (f"{name}; server_no_context_takeover=1", {}, None),
            (f"{name}; mystery", {}, None),
            ("permessage-bzip2", {}, None),
            (
                f"x-other; a=b, {name}; server_no_context_takeover; client_no_context_takeover",
                {"serverMaxWindowBits": 15},
                f"{name}; server_no_context_takeover; client_no_context_takeover",
            ),
            (
                name,
                {"serverMaxWindowBits": 15, "serverNoContextTakeover": True, "clientNoContextTakeover": True},
                f"{name}; server_no_context_takeover; client_no_context_takeover",
            ),
        ):
            self.assertEqual(self.answered(offer, **allowed), answer, offer)

    def test_off(self) -> None:
        """
        Either side can do without.
        """
        for accept, ask in (({"deflate": None}, {}), ({}, {"deflate": None})):
            near, far, both = self.pair(accept, ask)
            self.assertFalse(near.compressed or far.compressed)
            near.send("a" * 1000)
            both.pump()
            self.assertEqual(self.successResultOf(far.receive()), "a" * 1000)

    def test_options(self) -> None:
        """
        Options are checked when they are made.
        """
        for options in (
            {"serverMaxWindowBits": 8},
            {"clientMaxWindowBits": 16},
            {"threshold": 0},
            {"threshold": True},
            {"serverMaxWindowBits": 9.5},
        ):
            self.assertRaises(InvalidSetting, Deflate, **options)

    def test_bothWays(self) -> None:
        """
        Compressed messages arrive as they were sent, in both directions, whatever was agreed on.
        """
        texts = ["squeak " * 500, "", "x", "squeak " * 300 + "é€😀", "squeak " * 500]
        for accept, ask in (
            ({}, {}),
            ({"deflate": Deflate(9, 9, threshold=1)}, {}),
            ({}, {"deflate": Deflate(15, 15, True, True)}),
            ({"deflate": Deflate(15, 15, True, True, threshold=1)}, {"deflate": Deflate(15, 15)}),
        ):
            near, far, both = self.pair(accept, ask)
            self.assertTrue(near.compressed and far.compressed)
            for sender, receiver in ((near, far), (far, near)):
                for text in texts:
                    sender.send(text)
                    sender.send(text.encode())
                    both.pump()
                    self.assertEqual(self.successResultOf(receiver.receive()), text)
                    self.assertEqual(self.successResultOf(receiver.receive()), text.encode())
            self.assertLess(near.stream.statistics.bytesWritten, 1500)

    def test_takeover(self) -> None:
        """
        With context takeover a message that came before costs next to nothing; without, it costs the same again.
        """
        for anew in (False, True):
            peer, raw, both = self.raw(
                "server",
                answer={"sec-websocket-extensions": "permessage-deflate"},
                own={"deflate": Deflate(15, 15, anew)},
            )
            text = "".join(chr(97 + number * number % 26) + str(number) for number in range(60))
            peer.send(text)
            peer.send(text)
            both.pump()
            first, second = raw.take()
            self.assertEqual((first[0], second[0]), (0xC1, 0xC1))
            self.assertEqual(len(second[1]) > len(first[1]) / 2, anew)

    def test_threshold(self) -> None:
        """
        Short messages are sent as they are.
        """
        peer, raw, both = self.raw("server", answer={"sec-websocket-extensions": "permessage-deflate"})
        peer.send("a" * 63)
        peer.send("a" * 64)
        both.pump()
        self.assertEqual([first for first, _ in raw.take()], [0x81, 0xC1])

    def test_tooSmallToCompress(self) -> None:
        """
        A client told to keep to the window of 8 bits that zlib has not sends its messages as they are.
        """
        peer, raw, both = self.raw(
            "client", answer={"sec-websocket-extensions": "permessage-deflate; client_max_window_bits=8"}
        )
        self.assertTrue(peer.compressed)
        peer.send("a" * 1000)
        both.pump()
        self.assertEqual(raw.take(), [(0x81, b"a" * 1000)])

    def test_pingBetweenFragments(self) -> None:
        """
        A ping between the fragments of a compressed message changes nothing about it.
        """
        peer, raw, both = self.raw("server", answer={"sec-websocket-extensions": "permessage-deflate"})
        (whole,) = deflated(b"hello, world" * 20)
        raw.send(TEXT, whole[:5], rsv=4, fin=False)
        raw.send(PING, b"?")
        raw.send(CONTINUATION, whole[5:10], fin=False)
        raw.send(PONG)
        raw.send(CONTINUATION, whole[10:])
        both.pump()
        self.assertEqual(self.successResultOf(peer.receive()), "hello, world" * 20)
        self.assertEqual(raw.take(), [(0x8A, b"?")])

    def test_lastBlocks(self) -> None:
        """
        Messages that end with a last block are understood (RFC 7692 section 7.2.3.4), and what follows them is.
        """
        peer, raw, both = self.raw("server", answer={"sec-websocket-extensions": "permessage-deflate"})
        raw.send(TEXT, bytes.fromhex("f348cdc9c9070000"), rsv=4)
        raw.send(TEXT, bytes.fromhex("f248cdc9c90700"), rsv=4)
        raw.send(TEXT, bytes.fromhex("f20011 0000".replace(" ", "")), rsv=4)
        both.pump()
        for _ in range(3):
            self.assertEqual(self.successResultOf(peer.receive()), "Hello")

    def test_bomb(self) -> None:
        """
        A message that inflates to more than is allowed closes the WebSocket with 1009, and is inflated no further.
        """
        (bomb,) = deflated(bytes(50_000_000))
        inflated: list[int] = []

        class Counted:
            """
            Counts what zlib gives.
            """

            def __init__(self, bits: int) -> None:
                self._inflater = zlib.decompressobj(bits)

            def decompress(self, data: bytes, limit: int) -> bytes:
                """Count it."""
                part = self._inflater.decompress(data, limit)
                inflated.append(len(part))
                return part

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inflater, name)

        class Zlib:
            """
            Stands in for zlib.
            """

            error = zlib.error
            decompressobj = Counted

        from txh2session.websocket import _deflate

        self.patch(_deflate, "zlib", Zlib)
        peer, raw, both = self.raw(
            "server",
            answer={"sec-websocket-extensions": "permessage-deflate"},
            own={"maxMessageSize": 100_000},
        )
        raw.send(BINARY, bomb, rsv=4)
        both.pump()
        ((first, payload),) = raw.take()
        self.assertEqual((first, payload[:2]), (0x88, closing(1009)))
        self.assertIn(b"100000", payload)
        self.assertEqual(sum(inflated), 100_001)
        raw.stream.end()
        both.pump()
        self.assertEqual(self.closedWith(peer).code, CloseCode.MESSAGE_TOO_BIG)

    def test_manySmallBombs(self) -> None:
        """
        Of many compressed messages in one read no more than one is inflated before it is wanted.
        """
        peer, raw, both = self.raw(
            "server",
            answer={"sec-websocket-extensions": "permessage-deflate"},
            own={"maxMessageSize": 1_000_000},
        )
        frames = [frame(BINARY, each, rsv=4) for each in deflated(*[bytes(900_000)] * 10)]
        raw.stream.write(b"".join(frames))
        both.pump()
        calls: list[int] = []
        original = peer._framing.next
        self.patch(peer._framing, "next", lambda: (calls.append(1), original())[1])
        for number in range(10):
            self.assertEqual(len(self.successResultOf(peer.receive())), 900_000)
            self.assertLessEqual(len(calls), number + 2)

    def test_garbage(self) -> None:
        """
        What cannot be inflated closes the WebSocket with 1007.
        """
        peer, raw, both = self.raw("server", answer={"sec-websocket-extensions": "permessage-deflate"})
        raw.send(TEXT, b"\xff\xff\xff\xff", rsv=4)
        both.pump()
        self.assertEqual(raw.take()[0][1][:2], closing(1007))

    def test_exactly(self) -> None:
        """
        A message of exactly the size that is allowed arrives, compressed or not.
        """
        for ask in ({}, {"deflate": None}):
            near, far, both = self.pair({"maxMessageSize": 1000}, ask)
            near.send(b"a" * 1000)
            both.pump()
            self.assertEqual(self.successResultOf(far.receive()), b"a" * 1000)


class MessageCases:
    """
    Messages, with either end as ours; a subclass says which.
    """

    role = ""
    raw: Any
    successResultOf: Any
    failureResultOf: Any
    assertNoResult: Any
    assertEqual: Any
    assertRaises: Any
    assertTrue: Any
    assertFalse: Any
    assertLess: Any
    assertIn: Any
    assertIs: Any
    closedWith: Any
    flushLoggedErrors: Any
    assertNothingLeft: Any

    @property
    def masked(self) -> int:
        """
        The bit that what we send has.
        """
        return 0x80 if self.role == "client" else 0

    # Messages

    def test_send(self) -> None:
        """
        Strings go out as text, bytes as binary, each in one frame, masked by clients only.
        """
        ours, peer, both = self.raw(self.role)
        for message in ("tëxt", b"\x00\xff", bytearray(b"array"), memoryview(b"view"), "", b""):
            self.assertEqual(self.successResultOf(ours.send(message)), None)
        both.pump()
        self.assertEqual(peer.data[1] & 0x80, self.masked)
        self.assertEqual(
            peer.take(),
            [(0x81, "tëxt".encode()), (0x82, b"\x00\xff"), (0x82, b"array"), (0x82, b"view"), (0x81, b""), (0x82, b"")],
        )

    def test_sendParts(self) -> None:
        """
        A message can be sent in parts of one kind.
        """
        ours, peer, both = self.raw(self.role)
        ours.send("a", final=False)
        self.assertRaises(TypeError, ours.send, b"b")
        ours.send("b", final=False)
        ours.sendPing(b"!")
        ours.send("c")
        ours.send(b"d")
        both.pump()
        self.assertEqual(peer.take(), [(0x01, b"a"), (0x00, b"b"), (0x89, b"!"), (0x80, b"c"), (0x82, b"d")])

    def test_misuse(self) -> None:
        """
        What cannot be sent raises at the call, and leaves the WebSocket as it was.
        """
        ours, peer, both = self.raw(self.role)
        for message in (None, 5, ["a"]):
            self.assertRaises(TypeError, ours.send, message)
        self.assertRaises(ValueError, ours.send, "\ud800")
        self.assertRaises(ValueError, ours.sendPing, b"x" * 126)
        self.assertRaises(InvalidSetting, ours.ping, timeout=-1)
        for code, kind in ((1004, ValueError), (1005, ValueError), (1006, ValueError), (1015, ValueError)):
            self.assertRaises(kind, ours.close, code)
        for code in (999, 2999, 5000, -1):
            self.assertRaises(ValueError, ours.close, code)
        for code in (True, "1000", None):
            self.assertRaises(TypeError, ours.close, code)
        self.assertRaises(TypeError, ours.close, 1000, b"bytes")
        self.assertRaises(ValueError, ours.close, 1000, "é" * 62)
        ours.send("fine")
        both.pump()
        self.assertEqual(peer.take(), [(0x81, b"fine")])

    def test_receive(self) -> None:
        """
        Messages come in their order, those that came before they were asked for too.
        """
        ours, peer, both = self.raw(self.role)
        first = ours.receive()
        self.assertNoResult(first)
        for opcode, payload in ((TEXT, "tëxt".encode()), (BINARY, b"\x00"), (TEXT, b""), (BINARY, b"")):
            peer.send(opcode, payload)
        both.pump()
        self.assertEqual(self.successResultOf(first), "tëxt")
        self.assertEqual([self.successResultOf(ours.receive()) for _ in range(3)], [b"\x00", "", b""])
        self.assertNoResult(ours.receive())

    def test_fragments(self) -> None:
        """
        Fragments are put together, across characters and with pings between them.
        """
        ours, peer, both = self.raw(self.role)
        text = "héllo €".encode()
        peer.send(TEXT, b"", fin=False)
        for byte in text:
            peer.send(CONTINUATION, bytes([byte]), fin=False)
            peer.send(PING, bytes([byte]))
        peer.send(CONTINUATION)
        peer.send(BINARY, b"1", fin=False)
        peer.send(CONTINUATION, b"2")
        both.pump()
        self.assertEqual(self.successResultOf(ours.receive()), "héllo €")
        self.assertEqual(self.successResultOf(ours.receive()), b"12")
        both.pump()
        self.assertEqual(peer.take(), [(0x8A, bytes([byte])) for byte in text])

    def test_byteByByte(self) -> None:
        """
        It does not matter how what comes is cut.
        """
        ours, peer, both = self.raw(self.role)
        for byte in frame(TEXT, b"a" * 300, mask=peer.client) + frame(BINARY, b"b", mask=peer.client):
            peer.stream.write(bytes([byte]))
            both.pump()
        self.assertEqual(self.successResultOf(ours.receive()), "a" * 300)
        self.assertEqual(self.successResultOf(ours.receive()), b"b")

    def test_asyncFor(self) -> None:
        """
        A loop takes the messages, and ends where the WebSocket is closed in order.
        """
        ours, peer, both = self.raw(self.role)
        taken: list[str | bytes] = []

        async def take() -> str:
            async for message in ours:
                taken.append(message)
            return "done"

        running = Deferred.fromCoroutine(take())
        peer.send(TEXT, b"1")
        both.pump()
        self.assertEqual(taken, ["1"])
        peer.send(TEXT, b"2")
        peer.send(CLOSE, closing(1001))
        peer.stream.end()
        both.pump()
        self.assertEqual(taken, ["1", "2"])
        self.assertEqual(self.successResultOf(running), "done")

    def test_asyncForRaises(self) -> None:
        """
        A loop raises where the WebSocket was cut.
        """
        ours, peer, both = self.raw(self.role)

        async def take() -> None:
            async for message in ours:
                self.assertEqual(message, "1")

        running = Deferred.fromCoroutine(take())
        peer.send(TEXT, b"1")
        peer.stream.end()
        both.pump()
        self.assertEqual(self.failureResultOf(running, WebSocketClosed).value.code, 1006)

    def test_oneReader(self) -> None:
        """
        Messages are taken in one way.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.receive()
        for other in (ours.receive, ours.discard, lambda: ours.deliverMessages(WebSocketListener())):
            self.assertRaises(InvalidState, other)
        peer.send(TEXT, b"1")
        both.pump()
        self.assertEqual(self.successResultOf(waiting), "1")
        ours.discard()
        for other in (ours.receive, ours.discard):
            self.assertRaises(InvalidState, other)

    def test_cancelReceive(self) -> None:
        """
        Who stops waiting for a message leaves it to the next.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.receive()
        waiting.cancel()
        self.failureResultOf(waiting)
        peer.send(TEXT, b"1")
        both.pump()
        self.assertEqual(self.successResultOf(ours.receive()), "1")

    def test_listener(self) -> None:
        """
        A listener is given messages, pongs that nobody asked for, and the end.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(TEXT, b"early")
        both.pump()
        collector = Collector()
        ours.deliverMessages(collector)
        self.assertEqual(collector.messages, ["early"])
        peer.send(BINARY, b"later")
        peer.send(PONG, b"unasked")
        peer.send(CLOSE, closing(1000))
        peer.stream.end()
        both.pump()
        self.assertEqual(collector.messages, ["early", b"later"])
        self.assertEqual(collector.log, [("pong", b"unasked"), ("closed", None)])

    def test_lateListener(self) -> None:
        """
        A listener that comes after the end is given what was left, and told the end.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(TEXT, b"1")
        peer.send(TEXT, b"2")
        both.pump()
        peer.stream.close(ErrorCode.INTERNAL_ERROR)
        both.pump()
        self.assertTrue(ours.closed)
        collector = Collector()
        ours.deliverMessages(collector)
        self.assertEqual((collector.messages, collector.log), (["1", "2"], [("closed", 1006)]))

    def test_listenerFails(self) -> None:
        """
        A listener that fails closes its WebSocket with 1011, and is told nothing but the end after that.
        """
        ours, peer, both = self.raw(self.role)
        collector = Collector()
        collector.failWith = RuntimeError("oops")
        ours.deliverMessages(collector)
        peer.send(TEXT, b"1")
        peer.send(TEXT, b"2")
        both.pump()
        self.assertEqual(collector.messages, ["1"])
        self.assertEqual(peer.take(), [(0x88, closing(1011))])
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        peer.send(CLOSE, closing(1011))
        peer.stream.end()
        both.pump()
        self.assertEqual(collector.log, [("closed", None)])

    def test_closingListenerFails(self) -> None:
        """
        A listener that fails at the end is logged, and changes nothing.
        """
        ours, peer, both = self.raw(self.role)

        class Failing(WebSocketListener):
            """
            Fails.
            """

            def webSocketClosed(self, webSocket: WebSocket, error: WebSocketClosed | None) -> None:
                """Fail."""
                raise RuntimeError("oops")

        ours.deliverMessages(Failing())
        ours.abort()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertTrue(ours.closed)

    # Back-pressure

    def test_roomToSend(self) -> None:
        """
        C{send} fires when the peer has taken what it was sent.
        """
        ours, peer, both = self.raw(self.role)
        peer.stream.pauseProducing()
        waiting = []
        while not waiting or waiting[-1].called:
            waiting.append(ours.send(b"x" * 10_000))
            both.pump()
        waiting.append(ours.send(b"y"))
        self.assertFalse(waiting[-1].called)
        queued = ours.stream.bufferSize
        self.assertTrue(queued >= Limits().sendHighWater)
        peer.stream.resumeProducing()
        both.pump()
        for each in waiting:
            self.assertEqual(self.successResultOf(each), None)

    def test_cancelSend(self) -> None:
        """
        Who stops waiting for room loses nothing of what was sent.
        """
        ours, peer, both = self.raw(self.role)
        peer.stream.pauseProducing()
        waiting = ours.send(bytes(200_000))
        self.assertNoResult(waiting)
        waiting.cancel()
        self.failureResultOf(waiting)
        peer.stream.resumeProducing()
        both.pump()
        self.assertEqual(peer.take(), [(0x82, bytes(200_000))])

    def test_unread(self) -> None:
        """
        What nobody takes holds the peer up: one message is read ahead, and for what is behind it there is no credit.
        """
        ours, peer, both = self.raw(self.role)
        window = Settings().initialWindowSize
        for _ in range(200):
            peer.send(BINARY, bytes(5000))
        both.pump()
        self.assertTrue(0 < ours.stream.state.unreadBytes <= window)
        self.assertTrue(peer.stream.bufferSize > 1_000_000 - window - 20_000)
        for _ in range(200):
            self.assertEqual(len(self.successResultOf(ours.receive())), 5000)
            both.pump()
        self.assertEqual(peer.stream.bufferSize, 0)
        self.assertNoResult(ours.receive())

    def test_pause(self) -> None:
        """
        A listener's WebSocket can be paused and resumed, as any push producer.
        """
        ours, peer, both = self.raw(self.role)
        verifyObject(IPushProducer, ours)
        collector = Collector()
        ours.deliverMessages(collector)
        ours.pauseProducing()
        for _ in range(3):
            peer.send(TEXT, b"1")
        both.pump()
        self.assertEqual(collector.messages, [])
        ours.resumeProducing()
        self.assertEqual(collector.messages, ["1"] * 3)
        ours.stopProducing()
        self.assertTrue(ours.closed)

    def test_pauseInside(self) -> None:
        """
        Pausing while a message is delivered holds the next one, also of the same read.
        """
        ours, peer, both = self.raw(self.role)
        taken = []

        class Pausing(WebSocketListener):
            """
            Takes one at a time.
            """

            def messageReceived(self, webSocket: WebSocket, message: str | bytes) -> None:
                """Pause."""
                taken.append(message)
                webSocket.pauseProducing()

        ours.deliverMessages(Pausing())
        peer.stream.write(b"".join(frame(TEXT, str(n).encode(), mask=peer.client) for n in range(3)))
        both.pump()
        self.assertEqual(taken, ["0"])
        ours.resumeProducing()
        self.assertEqual(taken, ["0", "1"])

    def test_pausedEnd(self) -> None:
        """
        The end comes to who has paused when all before it has been taken.
        """
        ours, peer, both = self.raw(self.role)
        collector = Collector()
        ours.deliverMessages(collector)
        ours.pauseProducing()
        peer.send(TEXT, b"1")
        peer.send(CLOSE, closing(1000))
        peer.stream.end()
        both.pump()
        self.assertFalse(ours.closed)
        ours.resumeProducing()
        both.pump()
        self.assertEqual((collector.messages, collector.log), (["1"], [("closed", None)]))

    def test_pausedEndInOneRead(self) -> None:
        """
        The same when the stream had been read to its end before the pause.
        """
        ours, peer, both = self.raw(self.role)
        peer.stream.end(frame(TEXT, b"1", mask=peer.client) + frame(CLOSE, closing(1000), mask=peer.client))
        both.pump()
        self.assertFalse(ours.closed)
        self.assertEqual(self.successResultOf(ours.receive()), "1")
        both.pump()
        self.successResultOf(ours.whenClosed())

    # Pings

    def test_ping(self) -> None:
        """
        C{ping} fires with the seconds until its pong.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.ping()
        both.pump()
        ((first, payload),) = peer.take()
        self.assertEqual(first, 0x89)
        both.advance(0.25)
        peer.send(PONG, b"something else")
        both.pump()
        self.assertNoResult(waiting)
        peer.send(PONG, payload)
        both.pump()
        self.assertEqual(self.successResultOf(waiting), 0.25)

    def test_pongForSeveral(self) -> None:
        """
        A pong answers the pings before its own too (RFC 6455 section 5.5.3).
        """
        ours, peer, both = self.raw(self.role)
        waiting = [ours.ping() for _ in range(3)]
        both.pump()
        pings = [payload for _, payload in peer.take()]
        peer.send(PONG, pings[1])
        both.pump()
        self.assertEqual([each.called for each in waiting], [True, True, False])
        peer.send(PONG, pings[2])
        both.pump()
        self.assertTrue(waiting[2].called)

    def test_pingFails(self) -> None:
        """
        A ping that gets no answer in time, one too many, or one whose WebSocket ends, fails.
        """
        ours, peer, both = self.raw(self.role)
        late = ours.ping(timeout=3)
        both.advance(3)
        self.failureResultOf(late, PingCancelled)
        waiting = [ours.ping() for _ in range(10)]
        self.failureResultOf(ours.ping(), PingCancelled)
        waiting[0].cancel()
        self.failureResultOf(waiting[0])
        peer.stream.close(ErrorCode.CANCEL)
        both.pump()
        for each in waiting[1:]:
            self.failureResultOf(each, PingCancelled)
        self.failureResultOf(ours.ping(), PingCancelled)
        ours.sendPing()

    def test_pingFlood(self) -> None:
        """
        Pings of a peer that takes no pongs are answered when it does: those that fit, and the last.
        """
        ours, peer, both = self.raw(self.role)
        ours.discard()
        peer.stream.pauseProducing()
        for number in range(20_000):
            peer.send(PING, number.to_bytes(4, "big") * 30)
            if number % 100 == 0:
                both.pump()
        both.pump()
        self.assertLess(ours.stream.bufferSize, Limits().sendHighWater + 200)
        peer.stream.resumeProducing()
        both.pump()
        pongs = [payload for first, payload in peer.take() if first == 0x8A]
        self.assertLess(len(pongs), 4000)
        self.assertEqual(pongs[-1], (19_999).to_bytes(4, "big") * 30)
        self.assertEqual(pongs, sorted(pongs))

    # Ends

    def test_weClose(self) -> None:
        """
        Closing sends a Close, waits for the peer's, ends the stream, and is done when the peer has ended it too.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.close(4001, "bye")
        again = ours.close()
        both.pump()
        self.assertEqual(peer.take(), [(0x88, closing(4001, "bye"))])
        self.assertFalse(peer.lost)
        peer.send(TEXT, b"too late to be read")
        peer.send(PING, b"too late to be answered")
        peer.send(CLOSE, closing(4001))
        both.pump()
        self.assertEqual(len(peer.lost), 1)
        self.assertEqual(peer.take(), [])
        self.assertNoResult(waiting)
        peer.stream.end()
        both.pump()
        for each in (waiting, again, ours.whenClosed(), ours.close(1002)):
            self.assertEqual(self.successResultOf(each), None)
        self.assertEqual((ours.closed, ours.closeCode, ours.closeReason), (True, 4001, ""))
        error = self.failureResultOf(ours.receive(), WebSocketClosed).value
        self.assertEqual((error.clean, error.initiator), (True, Initiator.LOCAL))
        self.assertNothingLeft(both)

    def test_peerCloses(self) -> None:
        """
        The peer's Close is answered with its code, after what was sent before, and ends the stream.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.receive()
        ours.send("last")
        peer.send(CLOSE, closing(1000, "bye"))
        peer.stream.end()
        both.pump()
        self.assertEqual(peer.take(), [(0x81, b"last"), (0x88, closing(1000))])
        error = self.failureResultOf(waiting, WebSocketClosed).value
        self.assertEqual((error.code, error.reason, error.initiator), (1000, "bye", Initiator.PEER))
        self.assertIs(error.code, CloseCode.NORMAL)
        self.assertTrue(error.clean)
        self.assertIn("NORMAL (1000): bye", str(error))
        self.successResultOf(ours.whenClosed())
        self.assertNothingLeft(both)

    def test_peerClosesWithoutCode(self) -> None:
        """
        A Close without a code is an orderly end, and answered without one.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(CLOSE)
        peer.stream.end()
        both.pump()
        self.assertEqual(peer.take(), [(0x88, b"")])
        self.assertEqual(ours.closeCode, CloseCode.NO_STATUS)
        self.successResultOf(ours.whenClosed())

    def test_peerClosesWithAnError(self) -> None:
        """
        A Close with the code of an error is no orderly end.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(CLOSE, closing(1011, "broken"))
        peer.stream.end()
        both.pump()
        error = self.closedWith(ours)
        self.assertEqual((error.code, error.reason, error.initiator), (1011, "broken", Initiator.PEER))

    def test_sendingAfterPeersClose(self) -> None:
        """
        What is sent after the peer has closed fails at the end; nothing raises, since nobody could know.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(CLOSE, closing(1000))
        both.pump()
        peer.take()
        sending, pinging = ours.send("x"), ours.ping()
        ours.sendPing()
        self.assertNoResult(sending)
        self.failureResultOf(pinging, PingCancelled)
        peer.stream.end()
        both.pump()
        self.failureResultOf(sending, WebSocketClosed)
        self.failureResultOf(ours.send("x"), WebSocketClosed)
        self.assertEqual(peer.take(), [])

    def test_sendingAfterClose(self) -> None:
        """
        Sending after C{close} is misuse.
        """
        ours, peer, both = self.raw(self.role)
        ours.close().addErrback(lambda _: None)
        for call in (lambda: ours.send("x"), ours.ping, ours.sendPing):
            self.assertRaises(InvalidState, call)

    def test_closeWhileUnread(self) -> None:
        """
        Closing does not wait for messages that nobody takes.
        """
        ours, peer, both = self.raw(self.role)
        for _ in range(50):
            peer.send(BINARY, bytes(5000))
        both.pump()
        closing_ = ours.close()
        peer.send(CLOSE, closing(1000))
        peer.stream.end()
        both.pump()
        self.successResultOf(closing_)
        self.failureResultOf(ours.receive(), WebSocketClosed)

    def test_closeTimeout(self) -> None:
        """
        A peer that does not answer a Close in time is reset.
        """
        ours, peer, both = self.raw(self.role, own={"closeTimeout": 3})
        waiting = ours.close()
        both.pump()
        both.advance(2.9)
        self.assertNoResult(waiting)
        both.advance(0.1)
        error = self.failureResultOf(waiting, WebSocketClosed).value
        self.assertEqual((error.code, error.initiator), (1006, Initiator.PEER))
        self.assertEqual(peer.stream.rstCode, ErrorCode.CANCEL)
        self.assertNothingLeft(both)

    def test_closeTimeoutOff(self) -> None:
        """
        Without a time a peer may take any.
        """
        ours, peer, both = self.raw(self.role, own={"closeTimeout": 0})
        waiting = ours.close()
        both.pump()
        both.advance(50)
        self.assertNoResult(waiting)
        ours.abort()
        self.failureResultOf(waiting, WebSocketClosed)

    def test_closeSlowly(self) -> None:
        """
        A peer that goes on taking what was sent before the Close has the time it needs.
        """
        ours, peer, both = self.raw(self.role, own={"closeTimeout": 3})
        peer.takes = 100_000
        ours.send(bytes(2_000_000)).addErrback(lambda _: None)
        waiting = ours.close()
        both.pump()
        while len(peer.data) < 2_000_000:
            self.assertFalse(ours.closed)
            both.advance(2.5)
            peer.stream.resumeProducing()
            both.pump()
        self.assertTrue(both.clock.seconds() > 20)
        peer.send(CLOSE, closing(1000))
        peer.stream.end()
        both.pump()
        self.successResultOf(waiting)

    def test_noEndOfStream(self) -> None:
        """
        A peer that closes and leaves its half of the stream open is reset in time; it has closed in order all the same.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(CLOSE, closing(1000))
        both.pump()
        waiting = ours.whenClosed()
        self.assertNoResult(waiting)
        both.advance(10)
        self.successResultOf(waiting)
        self.assertNothingLeft(both)

    def test_endWithoutClose(self) -> None:
        """
        A stream that ends without a Close is 1006, and never looks clean.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.receive()
        peer.send(TEXT, b"half", fin=False)
        peer.stream.end()
        both.pump()
        error = self.closedWith(ours)
        self.assertEqual((error.code, error.initiator), (CloseCode.ABNORMAL, Initiator.PEER))
        self.assertIs(self.failureResultOf(waiting, WebSocketClosed).value, error)
        self.assertNothingLeft(both)

    def test_reset(self) -> None:
        """
        A reset is 1006, with whatever code; those who wait are told.
        """
        for code in (ErrorCode.CANCEL, ErrorCode.NO_ERROR, ErrorCode.INTERNAL_ERROR):
            ours, peer, both = self.raw(self.role)
            peer.stream.pauseProducing()
            sending, receiving, log = ours.send(bytes(200_000)), ours.receive(), []
            note(log, "closed", ours.whenClosed())
            peer.stream.close(code)
            both.pump()
            error = self.closedWith(ours)
            self.assertEqual((error.code, error.initiator), (1006, Initiator.PEER))
            self.assertTrue(isinstance(error.__cause__, StreamError) or code == ErrorCode.NO_ERROR)
            self.assertIs(self.failureResultOf(sending, WebSocketClosed).value, error)
            self.assertIs(self.failureResultOf(receiving, WebSocketClosed).value, error)
            self.assertEqual(log, [("closed", error)])
            self.failureResultOf(ours.send("x"), WebSocketClosed)
            self.failureResultOf(ours.close(), WebSocketClosed)
            ours.abort()

    def test_resetAfterHandshake(self) -> None:
        """
        A reset after both have closed changes nothing about the order it was closed in.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.close(1001)
        both.pump()
        peer.send(CLOSE, closing(1001))
        peer.stream.close(ErrorCode.CANCEL)
        both.pump()
        self.assertTrue(ours.closed)
        self.successResultOf(waiting)
        self.assertNothingLeft(both)

    def test_unreadBeforeReset(self) -> None:
        """
        What had come before a reset can still be taken; then comes the error.
        """
        ours, peer, both = self.raw(self.role)
        for number in range(3):
            peer.send(TEXT, str(number).encode())
        both.pump()
        peer.stream.close(ErrorCode.CANCEL)
        both.pump()
        self.closedWith(ours)
        self.assertEqual([self.successResultOf(ours.receive()) for _ in range(3)], ["0", "1", "2"])
        self.failureResultOf(ours.receive(), WebSocketClosed)

    def test_abort(self) -> None:
        """
        Aborting resets the stream at once.
        """
        ours, peer, both = self.raw(self.role)
        receiving, sending = ours.receive(), ours.send(bytes(200_000))
        ours.abort()
        error = self.closedWith(ours)
        self.assertEqual((error.code, error.initiator), (1006, Initiator.LOCAL))
        for each in (receiving, sending):
            self.failureResultOf(each, WebSocketClosed)
        both.pump()
        self.assertEqual(peer.stream.rstCode, ErrorCode.CANCEL)
        ours.abort()
        self.assertNothingLeft(both)

    def test_sessionLost(self) -> None:
        """
        When the connection is lost, that is 1006 by the transport.
        """
        ours, peer, both = self.raw(self.role)
        receiving = ours.receive()
        both.pipe.first.abortConnection()
        both.pump()
        error = self.closedWith(ours)
        self.assertEqual((error.code, error.initiator), (1006, Initiator.TRANSPORT))
        self.failureResultOf(receiving, WebSocketClosed)

    def test_sessionDestroyed(self) -> None:
        """
        When this side destroys the session, that is 1006 by this side.
        """
        ours, peer, both = self.raw(self.role)
        ours.stream.session.destroy()
        error = self.closedWith(ours)
        self.assertEqual((error.code, error.initiator), (1006, Initiator.LOCAL))

    def test_repr(self) -> None:
        """
        A WebSocket shows where it is in its life.
        """
        ours, peer, both = self.raw(self.role)
        seen = [repr(ours)]
        ours.close().addErrback(lambda _: None)
        seen.append(repr(ours))
        ours.abort()
        seen.append(repr(ours))
        self.assertEqual([each.rsplit(": ", 1)[1] for each in seen], ["open>", "closing>", "closed>"])

    # Broken rules

    def test_brokenRules(self) -> None:
        """
        A peer that breaks a rule is told which with a Close, and what it sends after that is not looked at.
        """
        wrongMask = self.role == "client"
        for code, data in (
            (1002, frame(TEXT, b"x", mask=wrongMask)),
            (1002, frame(3)),
            (1002, frame(11)),
            (1002, frame(TEXT, b"x", rsv=1)),
            (1002, frame(TEXT, b"x", rsv=4)),
            (1002, frame(PING, b"x", rsv=4)),
            (1002, frame(CONTINUATION, b"x")),
            (1002, frame(TEXT, b"x", fin=False) + frame(TEXT, b"x")),
            (1002, frame(PING, b"x", fin=False)),
            (1002, frame(PING, b"x" * 126)),
            (1002, frame(CLOSE, b"x")),
            (1002, frame(CLOSE, closing(1005))),
            (1002, frame(CLOSE, closing(999))),
            (1002, frame(CLOSE, closing(2000))),
            (1007, frame(CLOSE, closing(1000) + b"\xff")),
            (1007, frame(TEXT, b"\xff")),
            (1007, frame(TEXT, b"\xed\xa0\x80")),
            (1007, frame(TEXT, b"\xe2\x82")),
            (1007, frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"x")),
            (1009, frame(BINARY, bytes(1001))),
            (1009, frame(BINARY, bytes(500), fin=False) + frame(CONTINUATION, bytes(501))),
        ):
            if self.role == "client" and (1002, frame(TEXT, b"x", mask=wrongMask)) != (code, data):
                data = b"".join(
                    frame(first & 15, payload, fin=bool(first & 128), rsv=first >> 4 & 7, mask=False)
                    for first, payload in parse(data)
                )
            ours, peer, both = self.raw(self.role, own={"maxMessageSize": 1000, "deflate": None})
            receiving = ours.receive()
            peer.stream.write(data)
            peer.send(TEXT, b"more")
            both.pump()
            frames = peer.take()
            self.assertEqual([(first, payload[:2]) for first, payload in frames], [(0x88, closing(code))], data)
            self.assertNoResult(receiving)
            peer.send(CLOSE, closing(code))
            peer.stream.end()
            both.pump()
            error = self.closedWith(ours)
            self.assertEqual((error.code, error.initiator), (code, Initiator.PEER))
            self.assertTrue(error.reason)
            self.assertIs(self.failureResultOf(receiving, WebSocketClosed).value, error)
            self.assertNothingLeft(both)

    def test_tooBigAtItsHead(self) -> None:
        """
        A message that is announced too long is refused before it is received.
        """
        ours, peer, both = self.raw(self.role, own={"maxMessageSize": 1000})
        mask = 128 if peer.client else 0
        peer.stream.write(bytes([0x82, mask | 127]) + (2**40).to_bytes(8, "big"))
        both.pump()
        self.assertEqual(peer.take()[0][1][:2], closing(1009))

    def test_brokenAndSilent(self) -> None:
        """
        A peer that breaks a rule and then neither ends nor stops is reset in time.
        """
        ours, peer, both = self.raw(self.role)
        peer.send(3)
        both.pump()
        for _ in range(5):
            peer.send(BINARY, bytes(50_000))
            both.advance(2)
        self.assertEqual(self.closedWith(ours).code, 1002)
        both.pump()
        self.assertEqual(peer.stream.rstCode, ErrorCode.CANCEL)

    def test_brokenAfterClose(self) -> None:
        """
        A peer that breaks a rule instead of answering a Close is reset.
        """
        ours, peer, both = self.raw(self.role)
        waiting = ours.close()
        peer.send(3)
        both.pump()
        self.assertEqual(self.failureResultOf(waiting, WebSocketClosed).value.code, 1002)
        self.assertEqual(peer.stream.rstCode, ErrorCode.CANCEL)


class ServerTests(MessageCases, WebSocketCase):
    """
    The server's end.
    """

    role = "server"

    def test_handler(self) -> None:
        """
        A handler whose WebSocket is cut ends with the error, and nothing of it is logged.
        """

        async def echo(stream: ServerStream, headers: Headers) -> None:
            webSocket = acceptWebSocket(stream)
            assert webSocket is not None
            async for message in webSocket:
                await webSocket.send(message)

        both = connectedSessions(echo, settings=EXTENDED)
        for end in (
            lambda peer: peer.abort(),
            lambda peer: peer.stream.write(frame(3)),
            lambda peer: peer.close(1011).addErrback(lambda _: None),
            lambda peer: peer.close().addErrback(lambda _: None),
        ):
            opening = openWebSocket(both.client)
            both.pump()
            peer = self.successResultOf(opening)
            peer.send("hi")
            both.pump()
            self.assertEqual(self.successResultOf(peer.receive()), "hi")
            end(peer)
            both.advance(11)
            self.assertTrue(peer.closed)
        self.assertEqual(both.client.state.localStreams, 0)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_endedRequest(self) -> None:
        """
        A request that ends with its headers can be accepted, and is over at once.
        """
        ours: list[WebSocket] = []
        both = connectedSessions(
            lambda stream, headers: ours.append(acceptWebSocket(stream)),  # type: ignore[arg-type]
            settings=EXTENDED,
        )
        both.client.request({":method": "CONNECT", ":protocol": "websocket", **VERSION}, endStream=True)
        both.pump()
        self.assertEqual(self.closedWith(ours[0]).code, 1006)


class ClientTests(MessageCases, WebSocketCase):
    """
    The client's end.
    """

    role = "client"

    def test_oursToTheEnd(self) -> None:
        """
        Between two ends of ours a close ends both loops, whoever begins, and the message that is waited for.
        """
        for first in (0, 1):
            *ends, both = self.pair()
            closing_, waiting = ends[first].close(), [each.receive() for each in ends]
            both.pump()
            self.successResultOf(closing_)
            for each in waiting:
                self.assertTrue(self.failureResultOf(each, WebSocketClosed).value.clean)
            self.assertNothingLeft(both)

    def test_manyOnOneSession(self) -> None:
        """
        Several WebSockets share a session with requests, and do not hold each other up.
        """
        near, far, both = self.pair()
        others = [openWebSocket(both.client) for _ in range(3)]
        both.pump()
        for _ in range(100):
            far.send(bytes(10_000))
        both.pump()
        first, *rest = [self.successResultOf(each) for each in others]
        waiting = first.ping()
        both.pump()
        self.successResultOf(waiting)
        self.assertEqual(both.client.state.localStreams, 4)
