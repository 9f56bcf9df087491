"""
WebSockets with whatever messages, however cut; and with a peer that sends whatever bytes and frames.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from tests.fixtures import note
from tests.test_websocket import CONTINUATION, WebSocketCase, deflated, frame
from txh2session import InvalidState
from txh2session.websocket import Deflate, WebSocketClosed

messages = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
        st.binary(max_size=300),
        st.builds(lambda text, times: text * times, st.text("ab€😀", min_size=1, max_size=9), st.integers(50, 5000)),
        st.builds(lambda data, times: data * times, st.binary(min_size=1, max_size=9), st.integers(50, 5000)),
    ),
    max_size=8,
)
options = st.one_of(
    st.none(),
    st.builds(
        Deflate,
        serverMaxWindowBits=st.integers(9, 15),
        clientMaxWindowBits=st.integers(9, 15),
        serverNoContextTakeover=st.booleans(),
        clientNoContextTakeover=st.booleans(),
        threshold=st.sampled_from([1, 64, 1000]),
    ),
)


class AnyMessagesTests(WebSocketCase):
    """
    What is sent is what arrives.
    """

    @settings(max_examples=150, deadline=None)
    @given(messages, st.booleans(), options, options, st.integers(1, 2000), st.data())
    def test_ours(
        self, sent: list[str | bytes], up: bool, accept: Any, ask: Any, chunk: int, data: st.DataObject
    ) -> None:
        """
        Between two ends of ours: whole and in parts, whatever was agreed on and however the bytes are cut.
        """
        near, far, both = self.pair({"deflate": accept}, {"deflate": ask}, chunk=chunk)
        sender, receiver = (near, far) if up else (far, near)
        received: list[str | bytes] = []

        for message in sent:
            cuts = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=4)))
            for start, end in zip([0, *cuts], [*cuts, len(message)], strict=True):
                sender.send(message[start:end], final=False)
            sender.send(message[:0])
        sender.close().addErrback(lambda failure: failure.trap(WebSocketClosed))

        async def take() -> None:
            async for message in receiver:
                received.append(message)

        taking = Deferred.fromCoroutine(take())
        both.pump()
        self.assertIsNone(self.successResultOf(taking))
        self.assertEqual(received, sent)
        self.assertEqual((sender.closeCode, receiver.closeCode), (1000, 1000))

    @settings(max_examples=150, deadline=None)
    @given(messages, st.booleans(), st.lists(st.integers(1, 400), min_size=1, max_size=20), st.data())
    def test_fragments(self, sent: list[str | bytes], compressed: bool, reads: list[int], data: st.DataObject) -> None:
        """
        From a peer that fragments as it likes, with pings between, in reads of any size.
        """
        answer = {"sec-websocket-extensions": "permessage-deflate"} if compressed else {}
        ours, peer, both = self.raw("server", answer=answer)
        whole = [each.encode() if isinstance(each, str) else each for each in sent]
        payloads = deflated(*whole) if compressed else whole
        wire = b""
        pings = 0
        for message, payload in zip(sent, payloads, strict=True):
            opcode, rsv = (1 if isinstance(message, str) else 2), 4 if compressed else 0
            cuts = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=5)))
            for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True):
                wire += frame(opcode, payload[start:end], rsv=rsv, fin=False)
                opcode, rsv = CONTINUATION, 0
                if data.draw(st.booleans()):
                    wire += frame(9, b"?")
                    pings += 1
            wire += frame(CONTINUATION)
        received: list[str | bytes] = []
        at = number = 0
        while at < len(wire):
            size = reads[number % len(reads)] * (1 if len(wire) < 5000 else 100)
            peer.stream.write(wire[at : at + size])
            at += size
            number += 1
            both.pump()
            if data.draw(st.booleans()) and not ours.closed:
                while ours._message is not None:
                    received.append(self.successResultOf(ours.receive()))
                    both.pump()
        both.pump()
        while len(received) < len(sent):
            received.append(self.successResultOf(ours.receive()))
            both.pump()
        self.assertEqual(received, sent)
        both.pump()
        self.assertEqual(peer.take(), [(0x8A, b"?")] * pings)


frames = st.builds(
    frame,
    st.integers(0, 15),
    st.one_of(
        st.binary(max_size=130),
        st.sampled_from([b"\x03\xe8", b"\x03\xe8bye", b"\x03\xed", deflated(b"hello")[0], bytes(3000)]),
    ),
    fin=st.booleans(),
    rsv=st.sampled_from([0, 0, 0, 4, 4, 7]),
    mask=st.sampled_from([True, True, True, False]),
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("frame"), frames),
        st.tuples(st.just("raw"), st.binary(max_size=30)),
        st.tuples(st.just("end"), st.just(0)),
        st.tuples(st.just("reset"), st.sampled_from([0, 2, 8])),
        st.tuples(st.just("time"), st.sampled_from([0.1, 3, 11])),
        st.tuples(st.just("send"), st.sampled_from(["x", b"y", "long" * 30_000])),
        st.tuples(st.just("ping"), st.just(0)),
        st.tuples(st.just("receive"), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("pause"), st.booleans()),
        st.tuples(st.just("close"), st.sampled_from([1000, 4000])),
        st.tuples(st.just("abort"), st.just(0)),
        st.tuples(st.just("lose"), st.just(0)),
    ),
    max_size=20,
)


class AnyFramesTests(WebSocketCase):
    """
    Whatever the peer sends, and whatever the application does: every Deferred fires once, and nothing is logged.
    """

    def run_(self, role: str, what: list[tuple[str, Any]]) -> None:
        """
        Do all steps, then cut the stream.
        """
        answer = {"sec-websocket-extensions": "permessage-deflate"}
        ours, peer, both = self.raw(role, answer=answer, own={"maxMessageSize": 2500})
        log: list[Any] = []
        waiting: list[Any] = []

        def wait(deferred: Any) -> None:
            waiting.append(deferred)
            note(log, str(len(waiting)), deferred)

        wait(ours.whenClosed())
        for step, value in what:
            try:
                if step in ("frame", "raw"):
                    peer.stream.write(value)
                elif step == "end":
                    peer.stream.end()
                elif step == "reset":
                    peer.stream.close(value)
                elif step == "time":
                    both.advance(value)
                elif step == "send":
                    wait(ours.send(value))
                elif step == "ping":
                    wait(ours.ping(timeout=5))
                elif step == "receive":
                    wait(ours.receive())
                elif step == "cancel":
                    waiting[value % len(waiting)].cancel()
                elif step == "pause":
                    ours.pauseProducing() if value else ours.resumeProducing()
                elif step == "close":
                    wait(ours.close(value))
                elif step == "abort":
                    ours.abort()
                else:
                    both.pipe.first.abortConnection()
            except InvalidState:
                pass
            both.pump()
        peer.stream.close(2)
        both.pump()
        both.advance(100)
        ours.resumeProducing()
        while ours._message is not None:
            ours.receive()
        self.assertTrue(ours.closed)
        self.assertEqual(sorted(int(name) for name, _ in log), list(range(1, len(waiting) + 1)))
        self.assertEqual(ours._timer, None)
        self.assertEqual(self.flushLoggedErrors(), [])

    @settings(max_examples=300, deadline=None)
    @given(steps)
    def test_server(self, what: list[tuple[str, Any]]) -> None:
        """
        As a server.
        """
        self.run_("server", what)

    @settings(max_examples=300, deadline=None)
    @given(steps)
    def test_client(self, what: list[tuple[str, Any]]) -> None:
        """
        As a client.
        """
        self.run_("client", what)
