"""
The engine against a model of its peer: both sides do anything that is allowed, in any order, with bytes on the way in
both directions; then the peer does what is not.
"""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.trial.unittest import SynchronousTestCase

from tests.fixtures import examples
from tests.invariants import engineProblems
from tests.modelpeer import ModelPeer, rawFrame
from txh2session import Headers, Limits, Options, PaddingStrategy, Settings
from txh2session._multiplexer import Multiplexer
from txh2session._priority import Priority

indices = st.integers(0, 7)
codes = st.sampled_from([0, 1, 2, 7, 8, 11, 2**32 - 1])
sizes = st.one_of(st.sampled_from([0, 1, 100, 16383, 16384, 20_000, 70_000]), st.integers(0, 3000))
windowSizes = st.sampled_from([0, 1, 100, 1000, 65535, 262_144, 2**31 - 1])


class AppStream:
    """
    What the owner of the engine knows of one stream.
    """

    def __init__(self, ended: bool = False) -> None:
        self.received = bytearray()
        self.unread = 0
        self.peerEnded = ended
        self.answered = False
        self.headersSent = False
        self.ended = False
        self.over = False
        self.written = bytearray()


class ScriptedOwner:
    """
    Is told what the engine has to tell, checks that it may, and calls back into it as it was told to.
    """

    def __init__(self, machine: Any) -> None:
        self.machine = machine
        self.streams: dict[int, AppStream] = {}
        self.failure: tuple[int, str] | None = None
        self.script: list[str] = []

    def _open(self, streamID: int) -> AppStream:
        stream = self.streams[streamID]
        assert not stream.over, f"told of stream {streamID} after its end"
        assert self.failure is None, "told something after the failure"
        return stream

    def _react(self, streamID: int) -> None:
        """
        Do the next thing of the script, inside the callback.
        """
        if self.script:
            self.machine.act(self.script.pop(0), streamID)

    def prefaceReceived(self) -> None:
        """Nothing to do."""

    def requestReceived(self, streamID: int, headers: Headers, ended: bool, expectsContinue: bool) -> None:
        """Note it."""
        assert streamID not in self.streams and self.failure is None
        self.streams[streamID] = AppStream(ended)
        self.machine.cameHeaders(streamID, headers)
        self._react(streamID)

    def pushReceived(self, parentID: int, streamID: int, headers: Headers) -> None:
        """Note it."""
        assert streamID not in self.streams and self.failure is None
        pushed = self.streams[streamID] = AppStream()
        pushed.headersSent = pushed.ended = True
        self.machine.cameHeaders(streamID, headers)
        self._react(streamID)

    def informationReceived(self, streamID: int, headers: Headers) -> None:
        """Note it."""
        assert not self._open(streamID).answered
        self._react(streamID)

    def responseReceived(self, streamID: int, headers: Headers, ended: bool) -> None:
        """Note it."""
        stream = self._open(streamID)
        assert not stream.answered
        stream.answered = True
        stream.peerEnded = ended
        self.machine.cameHeaders(streamID, headers)
        self._react(streamID)

    def dataReceived(self, streamID: int, data: bytes, ended: bool) -> None:
        """Note it."""
        stream = self._open(streamID)
        assert not stream.peerEnded, "DATA after the end"
        stream.received += data
        stream.unread += len(data)
        stream.peerEnded = ended
        self._react(streamID)

    def trailersReceived(self, streamID: int, headers: Headers) -> None:
        """Note it."""
        stream = self._open(streamID)
        assert not stream.peerEnded
        stream.peerEnded = True
        self._react(streamID)

    def drained(self, streamID: int) -> None:
        """Check that there is room."""
        self._open(streamID)
        self._react(streamID)

    def endSent(self, streamID: int) -> None:
        """Check that it was asked for."""
        assert self._open(streamID).ended
        self._react(streamID)

    def streamFinished(self, streamID: int) -> None:
        """Both halves have ended."""
        stream = self._open(streamID)
        assert stream.ended and stream.peerEnded
        stream.over = True
        self._react(streamID)

    def streamReset(self, streamID: int, code: int, initiator: Any, message: str) -> None:
        """The peer did it, if it kept to the rules."""
        stream = self._open(streamID)
        stream.over = True
        assert not self.machine.honest or self.machine.peer.streams[streamID].resetSent, message
        self._react(streamID)

    def settingsReceived(self) -> None:
        """Nothing to do."""

    def settingsAcknowledged(self) -> None:
        """Nothing to do."""

    def pingReceived(self, payload: bytes) -> None:
        """Nothing to do."""

    def pingAcknowledged(self, payload: bytes) -> None:
        """Nothing to do."""

    def goAwayReceived(self, code: int, lastStreamID: int, debugData: bytes) -> None:
        """Forget what the peer will not work on, as sessions do."""
        for streamID, stream in self.streams.items():
            if streamID % 2 == self.machine.client and streamID > lastStreamID and not stream.over:
                stream.over = True
                self.machine.engine.forget(streamID)

    def originReceived(self, origins: list[bytes]) -> None:
        """Nothing to do."""

    def altSvcReceived(self, value: bytes, origin: bytes, streamID: int) -> None:
        """Nothing to do."""

    def limitReached(self, limit: str) -> None:
        """Only a peer that breaks the rules gets there."""
        assert not self.machine.honest, limit

    def failed(self, code: int, initiator: Any, message: str, limit: str) -> None:
        """Only a peer that breaks the rules gets there."""
        assert self.failure is None, "failed twice"
        assert not self.machine.honest, message
        self.failure = (code, message)

    def spokeOtherProtocol(self, speaks: str) -> None:
        """Never: the preface is right."""
        raise AssertionError(speaks)


class EngineMachine(RuleBasedStateMachine):
    """
    One engine, its owner, and its peer.

    @cvar client: whether the engine is a client's.
    """

    client = False

    def __init__(self) -> None:
        super().__init__()
        self.honest = True
        self.now = 0.0

    @initialize(
        initial=windowSizes,
        unread=st.sampled_from([1000, 70_000, 2**24]),
        highWater=st.sampled_from([1000, 32_768]),
        padding=st.sampled_from(list(PaddingStrategy)),
        peerInitial=windowSizes,
        push=st.booleans(),
    )
    def start(
        self, initial: int, unread: int, highWater: int, padding: PaddingStrategy, peerInitial: int, push: bool
    ) -> None:
        """
        Exchange prefaces, as far as the bytes get through.
        """
        self.owner = ScriptedOwner(self)
        self.limits = Limits(
            unreadBytes=unread, connectionWindow=65535, sendHighWater=highWater, sendLowWater=highWater // 2
        )
        settings = Settings(initialWindowSize=initial, enablePush=self.client and push)
        self.settings = settings
        self.engine = Multiplexer(self.owner, self.client, settings, self.limits, Options(padding=padding))
        self.peer = ModelPeer(not self.client)
        self.peer.settings(INITIAL_WINDOW_SIZE=peerInitial)
        self.engine.start(lambda: self.now)
        self.outstanding = 1

    # -----------------------------------------------------------------------------------------------------------------
    # The network and the clock

    @rule(size=st.one_of(st.integers(1, 30), st.sampled_from([1000, 100_000, 2**24])))
    def deliver(self, size: int) -> None:
        """
        Some of what the peer sent arrives.
        """
        data = bytes(self.peer.outbound[:size])
        del self.peer.outbound[:size]
        self.now += 0.001
        self.engine.receive(data, self.now)

    @rule(size=st.sampled_from([0, 1, 16_384, 2**24]), read=st.one_of(st.integers(0, 40), st.just(2**24)))
    def send(self, size: int, read: int) -> None:
        """
        The engine sends, and the peer reads some of what was sent.
        """
        self.peer.wire += self.engine.bytesToSend(size)
        self.peer.read(read)

    @rule(seconds=st.sampled_from([0.01, 1.0, 20.0, -5.0, 1e6]))
    def wait(self, seconds: float) -> None:
        """
        Time passes, or the clock is put back.
        """
        self.now += seconds

    def settle(self) -> None:
        """
        Let everything arrive.
        """
        for _ in range(1000):
            if self.peer.outbound:
                self.deliver(2**24)
            data = self.engine.bytesToSend(2**16)
            if not data and not self.peer.outbound and not self.peer.wire:
                return
            self.peer.wire += data
            self.peer.read(2**24)
        raise AssertionError("the two keep each other busy")

    # -----------------------------------------------------------------------------------------------------------------
    # The peer, as it should be

    @rule(size=st.integers(0, 200), end=st.booleans())
    def peerOpens(self, size: int, end: bool) -> None:
        """
        The peer sends a request, or promises a response to one.
        """
        if self.client:
            self.peer.promise(size)
        else:
            self.peer.request(size, end)

    @rule(index=indices, end=st.booleans(), information=st.booleans())
    def peerAnswers(self, index: int, end: bool, information: bool) -> None:
        """
        The peer answers a request.
        """
        self.peer.respond(index, end, information)

    @rule(index=indices, size=sizes, padding=st.sampled_from([None, None, 0, 200]), end=st.booleans())
    def peerWrites(self, index: int, size: int, padding: int | None, end: bool) -> None:
        """
        The peer sends of a body what its windows allow.
        """
        self.peer.write(index, size, padding, end)

    @rule(index=indices)
    def peerTrails(self, index: int) -> None:
        """
        The peer ends a body with trailers.
        """
        self.peer.trailers(index)

    @rule(index=indices, code=codes)
    def peerResets(self, index: int, code: int) -> None:
        """
        The peer resets a stream.
        """
        self.peer.reset(index, code)

    @rule(index=st.one_of(st.none(), indices), size=sizes)
    def peerReads(self, index: int | None, size: int) -> None:
        """
        The peer opens a window.
        """
        self.peer.open(index, size + 1)

    @rule(
        initial=windowSizes.filter(lambda size: size < 2**30),
        frameSize=st.sampled_from([16384, 20_000]),
        table=st.sampled_from([0, 100, 4096, 2**20]),
    )
    def peerSettles(self, initial: int, frameSize: int, table: int) -> None:
        """
        The peer changes its settings.
        """
        self.peer.settings(INITIAL_WINDOW_SIZE=initial, MAX_FRAME_SIZE=frameSize, HEADER_TABLE_SIZE=table)

    @rule(what=st.sampled_from(["ping", "unknown", "priority"]))
    def peerSays(self, what: str) -> None:
        """
        The peer sends what changes nothing.
        """
        self.peer.say(what)

    @rule(keep=st.integers(0, 3))
    def peerLeaves(self, keep: int) -> None:
        """
        The peer sends a GOAWAY.
        """
        self.peer.goAway(keep)

    # -----------------------------------------------------------------------------------------------------------------
    # The peer, as it should not be

    @precondition(lambda self: self.engine.framesReceived > 4)
    @rule(
        kind=st.one_of(st.integers(0, 0x10), st.integers(0, 255)),
        flags=st.one_of(st.sampled_from([0, 1, 4, 5, 8, 9, 0x2D]), st.integers(0, 255)),
        streamID=st.integers(0, 9),
        payload=st.one_of(
            st.binary(max_size=20), st.sampled_from([bytes(4), bytes(5), bytes(8), b"\x82\x84\x86", b"\x88"])
        ),
    )
    def peerErrs(self, kind: int, flags: int, streamID: int, payload: bytes) -> None:
        """
        The peer sends some frame.
        """
        self.honest = self.peer.honest = False
        self.peer.outbound += rawFrame(kind, flags, streamID, payload)

    # -----------------------------------------------------------------------------------------------------------------
    # The owner

    def pick(self, index: int) -> tuple[int, AppStream | None]:
        """
        Name a stream: one that is there, or was, or never will be.
        """
        known = list(self.owner.streams)
        streamID = known[index % len(known)] if known and index < 7 else 99 + index % 2
        return streamID, self.owner.streams.get(streamID)

    @rule(index=indices, what=st.sampled_from(["reset", "read", "readSome", "end", "answer", "trailers", "inform"]))
    def acts(self, index: int, what: str) -> None:
        """
        Do something to a stream.
        """
        self.act(what, self.pick(index)[0])

    @rule(script=st.lists(st.sampled_from(["", "reset", "read", "end", "answer", "write", "trailers"]), max_size=4))
    def reacts(self, script: list[str]) -> None:
        """
        Say what is done inside the next callbacks.
        """
        self.owner.script.extend(script)

    def act(self, what: str, streamID: int) -> None:
        """
        Call a verb as sessions would: no headers twice, nothing after the end; but on streams that are gone.
        """
        engine, stream = self.engine, self.owner.streams.get(streamID)
        gone = stream is None or stream.over
        if what == "reset":
            if stream is not None:
                stream.over = True
            engine.reset(streamID, 8)
        elif what in ("read", "readSome") and stream is not None:
            size = stream.unread if what == "read" else stream.unread // 3
            stream.unread -= size
            engine.consumed(streamID, size)
        elif what == "answer" and not self.client and (gone or not stream.headersSent):
            if stream is not None:
                stream.headersSent = True
            engine.sendHeaders(streamID, Headers({":status": "200", "x": "y" * 50}), False)
        elif what == "inform" and not self.client and (gone or (not stream.headersSent and streamID % 2)):
            engine.sendInformation(streamID, Headers({":status": "103"}))
        elif what == "write":
            self.writes(streamID, stream, 5000)
        elif what in ("end", "trailers") and (gone or (stream.headersSent and not stream.ended)):
            if stream is not None:
                stream.ended = True
            engine.end(streamID, Headers({"t": "1"}) if what == "trailers" else None)

    @rule(index=indices, size=sizes)
    def write(self, index: int, size: int) -> None:
        """
        Write to a stream.
        """
        self.writes(*self.pick(index), size)

    def writes(self, streamID: int, stream: AppStream | None, size: int) -> None:
        """
        Write as sessions do: between the headers and the end.
        """
        data = bytes([streamID % 256]) * size
        if stream is None or stream.over:
            assert self.engine.write(streamID, data) == 0
        elif stream.headersSent and not stream.ended:
            stream.written += data
            self.engine.write(streamID, data)

    @rule(end=st.booleans(), size=st.integers(0, 100))
    def opens(self, end: bool, size: int) -> None:
        """
        Send a request.
        """
        if self.client and self.engine.freeStreams() and not self.peer.left:
            fields = {":method": "POST", ":scheme": "http", ":authority": "a", ":path": "/" + "x" * size}
            streamID = self.engine.openStream(Headers(fields), end)
            if self.engine._stopped:
                assert streamID == 0
                return
            stream = self.owner.streams[streamID] = AppStream()
            stream.headersSent = True
            stream.ended = end

    @rule(index=indices)
    def pushes(self, index: int) -> None:
        """
        Promise a stream.
        """
        if self.client or not self.peer.takesPush:
            return
        parentID, parent = self.pick(index)
        if parent is not None and (parent.ended or parentID % 2 == 0):
            return
        fields = {":method": "GET", ":scheme": "http", ":authority": "a", ":path": "/"}
        streamID = self.engine.push(parentID, Headers(fields))
        assert bool(streamID) <= (parent is not None and not parent.over)
        if streamID:
            self.owner.streams[streamID] = AppStream(ended=True)

    @rule(what=st.sampled_from(["ping", "stalled", "goAway", "shutdown", "priority", "skip"]), index=indices)
    def says(self, what: str, index: int) -> None:
        """
        Call a verb that is about no stream's body.
        """
        engine = self.engine
        if what == "ping":
            engine.ping(b"12345678")
        elif what == "stalled":
            assert set(engine.stalled()) <= {each for each, stream in self.owner.streams.items() if not stream.over}
        elif what in ("goAway", "shutdown") and not engine._stopped:
            last = engine.goAway(0, None if what == "goAway" else 2**31 - 1, b"")
            for streamID, stream in self.owner.streams.items():
                if streamID % 2 != self.client and streamID > last and not stream.over:
                    stream.over = True
                    engine.forget(streamID)
        elif what == "priority":
            engine.setPriority(self.pick(index)[0], Priority(index, bool(index % 2)))
        elif what == "skip":
            engine.setNextStreamID(engine.state().nextStreamID + 2 * index)

    @rule(initial=windowSizes, streams=st.sampled_from([0, 2, 100]), table=st.sampled_from([0, 200, 4096]))
    def settles(self, initial: int, streams: int, table: int) -> None:
        """
        Change this side's settings.
        """
        if self.engine._stopped:
            return
        self.settings = self.settings.changed(
            initialWindowSize=initial, maxConcurrentStreams=streams, headerTableSize=table
        )
        self.engine.settings(self.settings)

    @rule(size=windowSizes)
    def resizes(self, size: int) -> None:
        """
        Change the connection's window.
        """
        self.engine.setConnectionWindow(size)

    def cameHeaders(self, streamID: int, headers: Headers) -> None:
        """
        Check that a header list arrived as it was sent.
        """
        if self.honest:
            sent = self.peer.streams[streamID].fields.pop(0)
            assert [(name.decode(), value.decode()) for name, value in headers.rawHeaders] == sent

    # -----------------------------------------------------------------------------------------------------------------
    # What must be true

    @invariant()
    def rules(self) -> None:
        """
        Whatever was done, all of this holds.
        """
        if hasattr(self, "engine"):
            self.books()
            self.bodies()
            self.windows()
            self.silence()

    def books(self) -> None:
        """
        The engine's books are in order.
        """
        problems = engineProblems(self.engine)
        assert not problems, problems

    def bodies(self) -> None:
        """
        What arrived is what was sent, and what was sent is what was written.
        """
        if not self.honest:
            return
        for streamID, stream in self.owner.streams.items():
            other = self.peer.streams.get(streamID)
            if other is not None:
                assert other.sent.startswith(stream.received), f"stream {streamID} received something else"
                assert stream.written.startswith(other.received), f"stream {streamID} sent something else"
                if stream.peerEnded and not stream.over:
                    assert stream.received == other.sent and other.ended
                if other.peerEnded:
                    assert stream.ended and other.received == stream.written

    def windows(self) -> None:
        """
        Both sides agree about the windows when nothing is on its way.
        """
        if not self.honest or not self.peer.settled:
            return
        engine, peer = self.engine, self.peer
        if peer.outbound or peer.wire or engine._outlet._control or engine._conn._data_to_send:
            return
        assert engine._credit.available == peer.sendWindow
        assert engine.state().remoteWindow == peer.receiveWindow
        assert engine.state().unreadBytes == sum(each.unread for each in self.owner.streams.values())
        for streamID, record in engine._table.open.items():
            theirs, facts = peer.streams[streamID], engine.streamWindows(streamID)
            assert facts is not None
            if record.remoteOpen:
                assert facts.localWindow == theirs.sendWindow, f"stream {streamID}: {facts}, {theirs.sendWindow}"
            if record.localOpen:
                assert facts.remoteWindow == theirs.receiveWindow, f"stream {streamID}: {facts}"

    def silence(self) -> None:
        """
        Nothing is sent after a failure but what was due then.
        """
        if self.owner.failure is not None:
            self.engine.bytesToSend(2**16)
            for what in ("reset", "read", "answer", "write", "end"):
                self.act(what, 1)
            self.engine.ping(b"12345678")
            self.engine.settings(self.settings.changed(initialWindowSize=7))
            self.engine.setConnectionWindow(2**30)
            self.engine.altSvc(b"a", b"", 1)
            assert self.engine.openStream(Headers({":method": "GET"}), True) == 0
            assert self.engine.bytesToSend(2**16) == b""

    def teardown(self) -> None:
        """
        Read everything, let everything arrive: nothing that an honest peer sends or waits for is stuck.  Then end every
        stream: nothing is held any more.
        """
        if not hasattr(self, "engine") or sys.exc_info()[0] is not None:
            return
        self.owner.script.clear()
        if self.honest:
            self.finish()
        for streamID, stream in self.owner.streams.items():
            self.act("read", streamID)
            if not stream.over:
                self.act("reset", streamID)
        self.engine.bytesToSend(2**24)
        self.books()
        assert not self.engine._table.open
        assert self.engine._account.held == 0

    def finish(self) -> None:
        """
        Let both sides go on until neither can.
        """
        self.settles(1000, 100, 4096)
        self.resizes(65535)
        self.peer.settings(INITIAL_WINDOW_SIZE=1000)
        for _ in range(3):
            self.settle()
            for streamID in list(self.owner.streams):
                self.act("read", streamID)
            self.peer.openAll()
        self.settle()
        assert self.engine.state().queuedBytes == 0, "the peer has opened its windows and gets nothing"
        assert self.peer.sendWindow > 0, "the peer may send nothing although all was read"
        for streamID, record in self.engine._table.open.items():
            if record.remoteOpen:
                assert self.peer.streams[streamID].sendWindow > 0, f"stream {streamID} may send nothing"


class ClientEngineMachine(EngineMachine):
    """
    The same with a client's engine.
    """

    client = True


class EngineMachineTests(SynchronousTestCase):
    """
    Run them.
    """

    def test_server(self) -> None:
        """
        A server's engine keeps its books in order whatever happens, and harms no honest peer.
        """
        run_state_machine_as_test(EngineMachine, settings=examples(100, steps=50))

    def test_client(self) -> None:
        """
        A client's engine does.
        """
        run_state_machine_as_test(ClientEngineMachine, settings=examples(100, steps=50))
