"""
The life and death of sessions: L{txh2session.session} and L{txh2session._life}, for both roles.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fixtures import Recorder, TwoSessions, note
from txh2session import (
    ClientSession,
    ErrorCode,
    Initiator,
    InvalidSetting,
    InvalidState,
    Keepalive,
    Limits,
    PingCancelled,
    ServerSession,
    Session,
    SessionError,
    SessionListener,
    Settings,
    Stream,
    StreamAborted,
    StreamListener,
    StreamRefused,
    Timeouts,
)


class BothRoles(TwoSessions):
    """
    What is the same for a client's and a server's session.
    """

    # Facts

    def test_facts(self) -> None:
        """
        A connected session tells what it is, and keeps telling when it is gone.
        """
        near, _, both = self.connected()
        for _ in range(2):
            self.assertEqual((near.alpnProtocol, near.encrypted, near.connecting), ("h2c", False, False))
            self.assertEqual(near.getPeer().type, "TCP")
            self.assertNotEqual(near.getPeer(), near.getHost())
            self.assertIsNone(near.peerCertificate)
            near.destroy()
            both.pump()

    def test_states(self) -> None:
        """
        C{closed} follows C{close}, C{destroyed} follows C{destroy}, at once and for ever.
        """
        near, _, both = self.connected()
        self.openStreams(both)
        self.assertEqual((near.closed, near.destroyed), (False, False))
        near.close()
        self.assertEqual((near.closed, near.destroyed), (True, False))
        near.destroy()
        self.assertEqual((near.closed, near.destroyed), (True, True))

    def test_destroyDoesNotClose(self) -> None:
        """
        C{closed} is not set by C{destroy} itself (Node 2.3), only when the transport is gone.
        """
        near, _, both = self.connected()
        near.destroy()
        self.assertEqual((near.closed, near.destroyed), (False, True))
        both.pump()
        self.assertTrue(near.closed)

    def test_settingsOfBothSides(self) -> None:
        """
        C{localSettings} are what the peer has acknowledged, C{remoteSettings} what it sent.
        """
        near, far, both = self.connected(near={"settings": Settings(initialWindowSize=70000)}, pump=True)
        self.assertEqual(near.localSettings.initialWindowSize, 70000)
        self.assertEqual(far.remoteSettings.initialWindowSize, 70000)
        self.assertFalse(near.pendingSettingsAck)

    def test_snapshot(self) -> None:
        """
        C{state} counts streams and windows.
        """
        near, far, both = self.connected()
        self.openStreams(both, 3)
        local = near.state.localStreams if self.role == "client" else near.state.remoteStreams
        self.assertEqual(local, 3)
        self.assertEqual(near.state.localWindow, 1024 * 1024)
        self.assertEqual(near.state.remoteWindow, 1024 * 1024)

    def test_closedWhileThePeerIsSlow(self) -> None:
        """
        A session that has said its last word, to a peer slow to read it, waits for no answer: it has closed as it should.
        """
        timeouts = Timeouts(keepalive=Keepalive(3.0, 2.0, always=True))
        for changing in (True, False):
            near, far, both = self.connected(near={"timeouts": timeouts})
            if changing:
                settings = near.settings(initialWindowSize=70_000)
            ping = near.ping()
            for transport in (both.pipe.first, both.pipe.second):
                both.pipe.hold(transport)
            ended: list[Any] = []
            near.close().addBoth(ended.append)
            self.failureResultOf(ping, PingCancelled)
            if changing:
                self.failureResultOf(settings, PingCancelled)
            for _ in range(17):
                both.advance(1)
            self.assertEqual(ended, [None])

    def test_snapshotOfTheEnd(self) -> None:
        """
        Of a session that has ended no stream is counted any more.
        """
        near, far, both = self.connected()
        self.openStreams(both)
        near.destroy()
        self.assertEqual((near.state.localStreams, near.state.remoteStreams), (0, 0))
        both.pump()
        self.assertEqual((far.state.localStreams, far.state.remoteStreams), (0, 0))

    def test_nothingIsSentBehindTheGoAway(self) -> None:
        """
        What is called on a session that has announced its end, and has nothing left to do, sends nothing more.
        """
        near, far, both = self.connected()
        near.close()
        frames = near.statistics.framesSent
        near.ping().addErrback(lambda _: None)
        near.settings(initialWindowSize=70_000).addErrback(lambda _: None)
        near.setLocalWindowSize(2**30)
        self.assertEqual(near.statistics.framesSent, frames)
        both.pump()

    def test_tables(self) -> None:
        """
        C{state} says how full the HPACK tables are: what one side encodes with, the other decodes with (2.11).
        """
        near, far, both = self.connected()
        self.assertEqual((near.state.encoderTable, near.state.decoderTable), (0, 0))
        self.openStreams(both, 1)
        for sender, receiver in ((near, far), (far, near)):
            self.assertEqual(sender.state.encoderTable, receiver.state.decoderTable)
        asked = near.state.encoderTable if self.role == "client" else near.state.decoderTable
        self.assertEqual(asked, len(":authority") + len("localhost") + 32)

    def test_role(self) -> None:
        """
        The class says which role a session plays, and its repr how it is (2.6, 2.14).
        """
        near, _, both = self.connected()
        self.assertIsInstance(near, ClientSession if self.role == "client" else ServerSession)
        self.openStreams(both, 2)
        self.assertEqual(repr(near), f"<{type(near).__name__} open, 2 streams>")

    # destroy: Node's table

    def destroyed(self, *arguments: Any, **keywords: Any) -> tuple[list[Any], Any, Any]:
        """
        Destroy a session that has two streams open.

        @return: what the session under test told, in order; its peer's session; its streams.
        """
        log: list[Any] = []
        near, far, both = self.connected()
        self.log = log
        self.both = both
        mine, self.theirs = self.openStreams(both)
        self.farError: list[Any] = []
        note(self.farError, "far", far.whenClosed())
        for stream in mine:
            stream.addListener(Recorder(log))
            note(log, f"closed {stream.id}", stream.whenClosed())
            note(log, f"body {stream.id}", stream.read())
        self.bodies: list[Any] = []
        for stream in self.theirs:
            note(self.bodies, "body", stream.read())
            note(self.bodies, "closed", stream.whenClosed())
        near.addListener(Recorder(log))
        note(log, "session", near.whenClosed())
        near.destroy(*arguments, **keywords)
        self.assertTrue(near.destroyed)
        both.pump()
        both.advance(60)
        self.assertEqual(both.clock.getDelayedCalls(), [])
        return log, far, mine

    def test_destroy(self) -> None:
        """
        C{destroy()}: NO_ERROR on the wire, no error here (4.1); bodies that were cut say so on both sides (15.24).
        """
        log, far, mine = self.destroyed()
        self.assertEqual(far.goawayCode, ErrorCode.NO_ERROR)
        self.assertEqual(next(entry for entry in log if entry[0] in ("session", "session closed"))[1], None)
        self.assertEqual([stream.rstCode for stream in mine], [0, 0])
        for name, result in (entry for entry in log if str(entry[0]).startswith("body")):
            self.assertIsInstance(result, StreamAborted, name)
        for name, result in (entry for entry in log if str(entry[0]).startswith("closed")):
            self.assertIsNone(result, name)
        self.assertEqual(self.farError, [("far", None)])
        for _, result in self.bodies:
            self.assertIsInstance(result, StreamAborted)

    def test_destroyWithZero(self) -> None:
        """
        C{destroy(0)} and C{destroy(code=0)} are C{destroy()}.
        """
        for arguments, keywords in (((0,), {}), ((), {"code": 0}), ((None, 0), {})):
            _, far, mine = self.destroyed(*arguments, **keywords)
            self.assertEqual(far.goawayCode, ErrorCode.NO_ERROR)
            self.assertEqual([stream.rstCode for stream in mine], [0, 0])

    def test_destroyWithError(self) -> None:
        """
        C{destroy(error)}: INTERNAL_ERROR on the wire, that very error here (4.2).
        """
        error = RuntimeError("enough")
        log, far, mine = self.destroyed(error)
        self.assertEqual(far.goawayCode, ErrorCode.INTERNAL_ERROR)
        self.assertEqual([stream.rstCode for stream in mine], [2, 2])
        results = [entry[-1] for entry in log if entry[0] != "aborted"]
        self.assertEqual(results, [error] * len(results))
        self.assertEqual(len(results), 2 * 3 + 2)
        self.assertIsInstance(self.farError[0][1], SessionError)
        self.assertEqual(self.farError[0][1].code, ErrorCode.INTERNAL_ERROR)
        self.assertIs(self.farError[0][1].initiator, Initiator.PEER)

    def test_destroyWithCode(self) -> None:
        """
        C{destroy(code=...)} and C{destroy(code)}: that code on the wire, a L{SessionError} here (4.3).
        """
        for arguments, keywords in (((), {"code": 11}), ((ErrorCode.ENHANCE_YOUR_CALM,), {}), ((None, 11), {})):
            log, far, mine = self.destroyed(*arguments, **keywords)
            self.assertEqual(far.goawayCode, ErrorCode.ENHANCE_YOUR_CALM)
            self.assertEqual([stream.rstCode for stream in mine], [11, 11])
            error = next(entry for entry in log if entry[0] == "session")[1]
            self.assertIsInstance(error, SessionError)
            self.assertEqual((error.code, error.initiator), (ErrorCode.ENHANCE_YOUR_CALM, Initiator.LOCAL))
            self.assertEqual(self.farError[0][1].code, ErrorCode.ENHANCE_YOUR_CALM)

    def test_destroyWithUnknownCode(self) -> None:
        """
        A code without a name travels as it is.
        """
        _, far, _ = self.destroyed(code=0xDEADBEEF)
        self.assertEqual(far.goawayCode, 0xDEADBEEF)

    def test_destroyWithErrorAndCode(self) -> None:
        """
        C{destroy(error, code)}: the code on the wire, the error here (4.4).
        """
        error = RuntimeError("enough")
        log, far, mine = self.destroyed(error, ErrorCode.CANCEL)
        self.assertEqual(far.goawayCode, ErrorCode.CANCEL)
        self.assertEqual([stream.rstCode for stream in mine], [8, 8])
        self.assertIs(next(entry for entry in log if entry[0] == "session")[1], error)

    def test_destroyWithErrorAndZero(self) -> None:
        """
        C{destroy(error, 0)}: NO_ERROR on the wire, and INTERNAL_ERROR as the streams' code (4.4).
        """
        _, far, mine = self.destroyed(RuntimeError("enough"), 0)
        self.assertEqual(far.goawayCode, ErrorCode.NO_ERROR)
        self.assertEqual([stream.rstCode for stream in mine], [2, 2])

    def test_destroyOrder(self) -> None:
        """
        Each stream's abort, its error, its close; then the session's error; then its close.
        """
        error = RuntimeError("enough")
        log, _, mine = self.destroyed(error)
        one, two = (stream.id for stream in mine)
        self.assertEqual(
            log,
            [
                ("aborted", one),
                (f"body {one}", error),
                (f"closed {one}", error),
                ("stream closed", one, error),
                ("aborted", two),
                (f"body {two}", error),
                (f"closed {two}", error),
                ("stream closed", two, error),
                ("session", error),
                ("session closed", error),
            ],
        )

    def test_destroyTwice(self) -> None:
        """
        The second C{destroy} does nothing, whatever it is given (4.7).
        """
        near, far, both = self.connected()
        near.destroy()
        near.destroy(RuntimeError("ignored"), 5)
        both.pump()
        self.assertEqual(far.goawayCode, 0)
        self.assertIsNone(self.successResultOf(near.whenClosed()))

    def test_destroyChecksItsArguments(self) -> None:
        """
        What is neither an exception nor a code raises at the call and destroys nothing.
        """
        near, _, _ = self.connected()
        for arguments, kind in ((("no",), TypeError), ((None, "8"), TypeError), ((None, -1), ValueError)):
            with self.assertRaises(kind):
                near.destroy(*arguments)
        with self.assertRaises(ValueError):
            near.destroy(code=2**32)
        self.assertFalse(near.destroyed)

    def test_destroyFromListener(self) -> None:
        """
        Destroying from inside a stream's end is the second destroy, and harmless.
        """
        near, _, both = self.connected()
        mine, _ = self.openStreams(both)
        calls: list[object] = []

        class Again(StreamListener):
            def streamClosed(self, stream: Stream, error: Exception | None) -> None:
                calls.append(error)
                near.destroy(RuntimeError("again"))

        for stream in mine:
            stream.addListener(Again())
        near.destroy()
        both.pump()
        self.assertEqual(calls, [None, None])

    def test_queuedDataIsDropped(self) -> None:
        """
        What waits for a window when the session is destroyed is dropped, and who waits for room is told (4.9).
        """
        near, far, both = self.connected()
        mine, theirs = self.openStreams(both, 1)
        if self.role == "server":
            mine[0].respond()
        waiting = mine[0].send(b"x" * 400_000)
        self.assertNoResult(waiting)
        near.destroy()
        self.assertIsInstance(self.failureResultOf(waiting).value, StreamAborted)
        both.pump()
        self.assertIsInstance(self.failureResultOf(theirs[0].read()).value, StreamAborted)

    def test_callsAfterDestroy(self) -> None:
        """
        On a destroyed session C{setTimeout} does nothing, C{close} waits, other verbs raise (3.10).
        """
        near, _, both = self.connected()
        near.destroy()
        near.setTimeout(5)
        for call in (near.ping, near.settings, near.goaway, lambda: near.setLocalWindowSize(100_000)):
            with self.assertRaises(InvalidState):
                call()
        both.pump()
        self.successResultOf(near.close())

    # close

    def test_closeIdle(self) -> None:
        """
        An idle session goes at once; every C{close} fires, also the second and a late one (3.1).
        """
        near, far, both = self.connected()
        first, second = near.close(), near.close()
        self.assertNoResult(first)
        both.pump()
        for waiting in (first, second, near.close(), far.whenClosed()):
            self.assertIsNone(self.successResultOf(waiting))
        self.assertEqual(far.goawayCode, 0)

    def test_closeLetsStreamsFinish(self) -> None:
        """
        Open streams finish before a closing session goes.
        """
        near, far, both = self.connected()
        requests = [both.client.request({":method": "POST"}) for _ in range(2)]
        both.pump()
        closed = near.close()
        both.pump()
        for stream, request in zip(self.streams, requests, strict=True):
            self.assertNoResult(closed)
            stream.respond()
            stream.end(b"answer")
            request.end(b"question")
            body, question = request.read(), stream.read()
            both.pump()
            self.assertEqual(self.successResultOf(body), b"answer")
            self.assertEqual(self.successResultOf(question), b"question")
        self.assertIsNone(self.successResultOf(closed))

    def test_destroyWhileClosing(self) -> None:
        """
        C{destroy} cuts C{close} short, and both Deferreds know.
        """
        near, _, both = self.connected()
        self.openStreams(both)
        closed = near.close()
        error = RuntimeError("enough")
        near.destroy(error)
        both.pump()
        self.assertIs(self.failureResultOf(closed).value, error)

    # ping

    def test_ping(self) -> None:
        """
        C{ping} fires with the seconds the answer took, and C{state} remembers them.
        """
        log: list[Any] = []
        near, far, both = self.connected()
        far.addListener(Recorder(log))
        waiting = near.ping(b"abcdefgh")
        both.clock.advance(0.25)
        both.pump()
        self.assertEqual(self.successResultOf(waiting), 0.25)
        self.assertEqual(near.state.roundTripTime, 0.25)
        self.assertEqual(log, [("ping", b"abcdefgh")])

    def test_pingTimeout(self) -> None:
        """
        A PING that is not answered in time fails, and a late answer is harmless.
        """
        near, _, both = self.connected()
        waiting = near.ping(timeout=2)
        both.clock.advance(2)
        self.failureResultOf(waiting, PingCancelled)
        both.pump()
        self.assertFalse(near.destroyed)

    def test_pingsAreCancelled(self) -> None:
        """
        PINGs that wait when the session ends fail, and say why.
        """
        near, _, both = self.connected()
        waiting = near.ping(timeout=50)
        error = RuntimeError("enough")
        near.destroy(error)
        self.assertIs(self.failureResultOf(waiting, PingCancelled).value.__cause__, error)
        both.pump()
        both.advance(20)
        self.assertEqual(both.clock.getDelayedCalls(), [])

    def test_pingsAreBounded(self) -> None:
        """
        More than C{outstandingPings} fail at once.
        """
        near, _, both = self.connected(near={"limits": Limits(outstandingPings=2)})
        waiting = [near.ping() for _ in range(3)]
        self.failureResultOf(waiting[2], PingCancelled)
        both.pump()
        self.successResultOf(waiting[0])
        self.successResultOf(waiting[1])

    def test_pingPayload(self) -> None:
        """
        A payload that is not eight bytes raises.
        """
        near, _, _ = self.connected()
        for payload in (b"", b"1234567", b"123456789", "12345678"):
            with self.assertRaises(ValueError):
                near.ping(payload)

    # settings

    def test_settings(self) -> None:
        """
        C{settings} fires at the acknowledgement, with the settings in force; before, the old ones hold.
        """
        log: list[Any] = []
        near, far, both = self.connected()
        far.addListener(Recorder(log))
        waiting = near.settings(initialWindowSize=100_000)
        self.assertTrue(near.pendingSettingsAck)
        self.assertEqual(near.localSettings.initialWindowSize, 256 * 1024)
        both.pump()
        self.assertEqual(self.successResultOf(waiting).initialWindowSize, 100_000)
        self.assertEqual(near.localSettings.initialWindowSize, 100_000)
        self.assertEqual(far.remoteSettings.initialWindowSize, 100_000)
        self.assertEqual(log, [("settings", 100_000)])
        self.assertFalse(near.pendingSettingsAck)

    def test_connectProtocolStays(self) -> None:
        """
        C{enableConnectProtocol} cannot be taken back (11.65).
        """
        near, far, both = self.connected()
        near.settings(enableConnectProtocol=True)
        both.pump()
        with self.assertRaises(InvalidSetting):
            near.settings(enableConnectProtocol=False)
        self.assertTrue(far.remoteSettings.enableConnectProtocol)

    def test_settingsInOrder(self) -> None:
        """
        Several changes are acknowledged one by one, in order.
        """
        near, _, both = self.connected()
        waiting = [near.settings(maxHeaderListSize=size) for size in (1000, 2000, 3000)]
        both.pump()
        self.assertEqual([self.successResultOf(each).maxHeaderListSize for each in waiting], [1000, 2000, 3000])

    def test_settingsAreChecked(self) -> None:
        """
        A bad value or name raises at the call and sends nothing.
        """
        near, far, both = self.connected()
        written = both.pipe.first.written + both.pipe.second.written
        for changes in ({"maxFrameSize": 1}, {"nonsense": 1}, {"initialWindowSize": 2**31}, {"enablePush": 1}):
            with self.assertRaises(InvalidSetting):
                near.settings(**changes)
        both.pump()
        self.assertEqual(both.pipe.first.written + both.pipe.second.written, written)

    def test_windowsTooLarge(self) -> None:
        """
        C{initialWindowSize} may not grow so far that a stream whose window has grown by itself passes 2**31-1: the peer
        would have to end the connection (RFC 9113 section 6.9.2).
        """
        near, far, both = self.connected()
        (mine,), (theirs,) = self.openStreams(both, 1)
        body = mine.read()
        for _ in range(40):  # until the window has grown
            both.clock.advance(0.01)
            theirs.write(b"x" * 200_000)
            both.pump()
        grown = mine.state.localWindow
        self.assertGreater(grown, 2**18)  # type: ignore[attr-defined]
        self.assertRaises(InvalidSetting, near.settings, initialWindowSize=2**31 - 1)  # type: ignore[attr-defined]
        changed = near.settings(initialWindowSize=2**31 - 1 - grown)
        both.pump()
        self.successResultOf(changed)  # type: ignore[attr-defined]
        for _ in range(40):
            theirs.write(b"x" * 200_000)
            both.pump()
        theirs.end()
        both.pump()
        self.assertEqual(len(self.successResultOf(body)), 80 * 200_000)  # type: ignore[attr-defined]
        self.assertFalse(near.destroyed or far.destroyed)  # type: ignore[attr-defined]
        mine.end()
        again = near.settings(initialWindowSize=2**31 - 1)
        both.pump()
        self.successResultOf(again)  # type: ignore[attr-defined]

    def test_closingIsTold(self) -> None:
        """
        Listeners of both ends are told once that a session is to close, and what they end no longer holds it up.
        """
        for begin in (lambda near, far: near.close(), lambda near, far: far.close()):
            near, far, both = self.connected()
            logs: list[list[Any]] = [[], []]

            (stream,), _ = self.openStreams(both, 1)

            class Ending(Recorder):
                def sessionClosing(self, session: Any, stream: Any = stream) -> None:
                    super().sessionClosing(session)
                    stream.close(ErrorCode.CANCEL)

            near.addListener(Ending(logs[0]))
            far.addListener(Recorder(logs[1]))
            begin(near, far)
            near.close()
            both.pump()
            for log in logs:
                self.assertEqual(log.count("closing"), 1)
                self.assertEqual(log[-1], ("session closed", None))

    def test_settingsAreBounded(self) -> None:
        """
        More than C{outstandingSettings} fail at once and are not sent.
        """
        near, _, both = self.connected(near={"limits": Limits(outstandingSettings=2)})
        waiting = [near.settings(maxHeaderListSize=size) for size in (1000, 2000, 3000)]
        self.failureResultOf(waiting[2], PingCancelled)
        both.pump()
        self.assertEqual(near.localSettings.maxHeaderListSize, 2000)

    def test_settingsCancelled(self) -> None:
        """
        Changes that wait when the session ends fail.
        """
        near, _, both = self.connected()
        waiting = near.settings(maxHeaderListSize=1000)
        near.destroy()
        self.failureResultOf(waiting, PingCancelled)
        self.assertFalse(near.pendingSettingsAck)

    # Timers

    def test_timeout(self) -> None:
        """
        C{setTimeout} tells listeners after silence, again and again, and destroys nothing (3.7).
        """
        near, far, both = self.connected(timeouts=Timeouts(idle=0))
        log: list[Any] = []
        near.addListener(Recorder(log))
        near.setTimeout(5)
        both.advance(4)
        far.ping()
        both.pump()
        both.advance(4)
        self.assertNotIn("timed out", log)
        both.advance(1)
        both.advance(5)
        self.assertEqual(log.count("timed out"), 2)
        near.setTimeout(0)
        both.advance(50)
        self.assertEqual(log.count("timed out"), 2)
        self.assertFalse(near.destroyed)

    def test_idle(self) -> None:
        """
        A session without streams closes itself after C{Timeouts.idle}, and not while one is open.
        """
        near, far, both = self.connected(near={"timeouts": Timeouts(idle=10)})
        mine, theirs = self.openStreams(both, 1)
        both.advance(30)
        self.assertFalse(near.closed)
        mine[0].close(ErrorCode.CANCEL)
        both.advance(9)
        self.assertFalse(near.closed)
        both.advance(11)
        self.assertTrue(near.closed)
        self.assertIsNone(self.successResultOf(near.whenClosed()))
        self.assertEqual(far.goawayCode, 0)

    # The transport

    def test_connectionLost(self) -> None:
        """
        A TCP reset ends session and streams with an error of the transport's (15.11).
        """
        near, _, both = self.connected()
        mine, _ = self.openStreams(both, 1)
        body, closed, gone = mine[0].read(), mine[0].whenClosed(), near.whenClosed()
        both.pipe.lose()
        error = self.failureResultOf(gone).value
        self.assertIsInstance(error, SessionError)
        self.assertIs(error.initiator, Initiator.TRANSPORT)
        self.assertIs(self.failureResultOf(body).value, error)
        self.assertIs(self.failureResultOf(closed).value, error)
        self.assertEqual(both.clock.getDelayedCalls(), [])

    def test_connectionLostAfterGoAway(self) -> None:
        """
        A TCP reset after a GOAWAY was received is no error (15.23).
        """
        near, far, both = self.connected()
        self.openStreams(both, 1)
        far.goaway()
        both.pump()
        gone = near.whenClosed()
        both.pipe.lose()
        self.assertIsNone(self.successResultOf(gone))

    def test_listeners(self) -> None:
        """
        A listener's exception is logged and stops nobody; a removed listener hears nothing.
        """
        near, far, both = self.connected()
        log: list[Any] = []

        class Broken(SessionListener):
            def pingReceived(self, session: Session, payload: bytes) -> None:
                raise RuntimeError("a broken listener")

        near.addListener(Broken())
        remove = near.addListener(Recorder(log))
        far.ping(b"11111111")
        both.pump()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        remove()
        far.ping(b"22222222")
        both.pump()
        self.flushLoggedErrors(RuntimeError)
        self.assertEqual(log, [("ping", b"11111111")])

    def test_windowSize(self) -> None:
        """
        C{setLocalWindowSize} grows the connection's window at once and checks its argument (3.6).
        """
        near, far, both = self.connected()
        near.setLocalWindowSize(3 * 1024 * 1024)
        both.pump()
        self.assertEqual(far.state.remoteWindow, 3 * 1024 * 1024)
        near.setLocalWindowSize(100_000)
        self.assertEqual(near.state.localWindow, 3 * 1024 * 1024)
        (mine,), (theirs,) = self.openStreams(both, 1)
        if self.role == "client":
            theirs.respond()
        mine.discard()
        theirs.write(b"x" * 4 * 1024 * 1024)
        both.pump()
        self.assertLessEqual(near.state.localWindow, 100_000)
        for size, kind in ((-1, ValueError), (2**31, ValueError), ("1", TypeError), (True, TypeError)):
            with self.assertRaises(kind):
                near.setLocalWindowSize(size)

    def test_goawayArguments(self) -> None:
        """
        C{goaway} checks its arguments at the call.
        """
        near, far, both = self.connected()
        for arguments in (("x",), (0, "x"), (0, 0, "x"), (0, True)):
            with self.assertRaises(TypeError):
                near.goaway(*arguments)
        for arguments in ((-1,), (2**32,), (0, 2**31), (0, 0, bytes(16384 - 7))):
            with self.assertRaises(ValueError):
                near.goaway(*arguments)
        both.pump()
        self.assertIsNone(far.goawayCode)

    def test_listenersOfBothEnds(self) -> None:
        """
        Connecting, streams, settings and their acknowledgement are told in order.
        """
        log: list[Any] = []
        self.connected(near={"listener": Recorder(log)}, streamReceived=lambda stream, headers: stream.end())
        self.assertEqual(log[0], "connected")
        self.assertEqual(sorted(entry[0] for entry in log[1:]), ["acknowledged", "settings"])

    def test_goawayChangesNothingHere(self) -> None:
        """
        C{goaway(NO_ERROR)} leaves this side open; the peer goes when its streams have ended (3.3, 5.4).
        """
        near, far, both = self.connected()
        log: list[Any] = []
        far.addListener(Recorder(log))
        mine, _ = self.openStreams(both, 1)
        near.goaway(0, 2**31 - 1, b"soon")
        self.assertFalse(near.closed)
        both.pump()
        self.assertIn(("goaway", 0, 2**31 - 1, b"soon"), log)
        self.assertTrue(far.closed)
        self.assertFalse(far.destroyed)
        mine[0].close(ErrorCode.CANCEL)
        both.pump()
        self.assertTrue(far.destroyed)


class GoAwayTests(TwoSessions, SynchronousTestCase):
    """
    A server's GOAWAY that excludes streams which are open.
    """

    role = "server"

    def test_streamsAbove(self) -> None:
        """
        Streams above the id that C{goaway} names end with REFUSED_STREAM on both sides, those below go on (3.3).
        """
        near, far, both = self.connected()
        mine, theirs = self.openStreams(both, 3)
        bodies = [stream.read() for stream in mine]
        responses = [stream.whenResponse() for stream in theirs]
        near.goaway(0, 1)
        both.pump()
        for body, response in zip(bodies[1:], responses[1:], strict=True):
            for refused, initiator in ((body, Initiator.LOCAL), (response, Initiator.PEER)):
                error = self.failureResultOf(refused, StreamRefused).value
                self.assertEqual((error.processed, error.lastStreamID, error.initiator), (False, 1, initiator))
        self.assertEqual([stream.rstCode for stream in mine], [0, 7, 7])
        mine[0].end(b"answer")
        theirs[0].end(b"question")
        both.pump()
        self.assertEqual(self.successResultOf(bodies[0]), b"question")
        self.assertEqual(self.successResultOf(responses[0]).status, 200)


class ClientLifeTests(BothRoles, SynchronousTestCase):
    """
    The client's side.
    """

    role = "client"


class ServerLifeTests(BothRoles, SynchronousTestCase):
    """
    The server's side.
    """

    role = "server"
