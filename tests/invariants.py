"""
What has to be true of an engine and of a session after every step, whatever was done to them: used by the state machines
and by the fuzz targets.
"""

from __future__ import annotations

from typing import Any

from txh2session import Session
from txh2session._multiplexer import Multiplexer
from txh2session._streams import STREAM_BYTES

IDLE_LIMIT = 2 * 4096
"""What an idle session holds at most with default settings: its two HPACK tables."""


def engineProblems(engine: Multiplexer) -> list[str]:
    """
    List what is wrong with an engine's books.
    """
    problems: list[str] = []

    def check(holds: bool, problem: str) -> None:
        if not holds:
            problems.append(problem)

    table, records, credit, outlet = engine._table, engine._table.open, engine._credit, engine._outlet
    check(credit.unread >= 0, f"{credit.unread} bytes unread")
    check(
        credit.available + credit._owed == credit.window,
        f"the connection's window is {credit.window}, but {credit.available} available and {credit._owed} owed",
    )
    if engine._stopped:
        check(not records, "streams are left after the stop")
        check(engine._account.held == 0, f"{engine._account.held} bytes held after the stop")
        check((table.localCount, table.remoteCount) == (0, 0), "streams are counted after the stop")
        check(outlet._scheduler.next() is None, "a stream is in line after the stop")
        return problems
    local = sum(table.isLocal(streamID) for streamID in records)
    check(table.localCount == local, f"{table.localCount} streams of ours counted, {local} there")
    check(table.remoteCount == len(records) - local, "the peer's streams are counted wrong")
    below = set(engine._conn.streams)
    check(below == set(records), f"h2 has the streams {below}, we have {set(records)}")
    check(engine._conn.state_machine.state.name != "CLOSED", "h2 is closed")
    held = sum(STREAM_BYTES <= record.held and record.held for record in records.values())
    queued = sum(record.queue.size for record in records.values() if record.queue is not None)
    check(
        engine._account.held == held + queued + credit.unread,
        f"{engine._account.held} bytes held, but {held} + {queued} queued + {credit.unread} unread are there",
    )
    overdue = credit._owed > 0 and credit._owed * 2 >= credit.window and credit.unread <= credit._maxUnread
    check(not overdue, f"{credit._owed} bytes of the connection's window of {credit.window} are due")
    _checkOutlet(engine, check)
    for streamID, record in records.items():
        check(record.localOpen or record.remoteOpen, f"stream {streamID} is open with both halves ended")
        check(record.arrived >= 0 and record.credit >= 0, f"stream {streamID} has negative counts")
        if record.remoteOpen:
            window = record.window or engine.localSettings.initialWindowSize
            check(
                window <= 0 or record.credit * 2 < window,
                f"stream {streamID}: {record.credit} bytes of a window of {window} are due",
            )
    return problems


def _checkOutlet(engine: Multiplexer, check: Any) -> None:
    """
    Check that every stream with something to send is in line, or waits for a window that is shut; nothing is forgotten.
    """
    outlet, records = engine._outlet, engine._table.open
    places = outlet._scheduler._places
    check(set(places) <= set(records), "a stream that is over has a place in the line")
    check(outlet._blocked <= set(records), "a stream that is over is blocked")
    for streamID, record in records.items():
        waiting = record.queue is not None and record.queue.size > 0
        ready = streamID in places and places[streamID].ready
        blocked = streamID in outlet._blocked
        check(not (ready and not waiting), f"stream {streamID} is in line with nothing to send")
        check(not waiting or ready or blocked, f"stream {streamID} waits and is forgotten")
        if blocked:
            window = engine._conn.streams[streamID].outbound_flow_control_window
            check(window <= 0, f"stream {streamID} is blocked with a window of {window}")


def sessionProblems(session: Session, clockWentBack: bool = False) -> list[str]:
    """
    List what is wrong with a session, its engine and its snapshots.

    @param clockWentBack: whether durations may be negative.
    """
    problems = engineProblems(session._engine)  # type: ignore[arg-type]
    state, statistics = session.state, session.statistics

    def check(holds: bool, problem: str) -> None:
        if not holds:
            problems.append(problem)

    for name in ("localStreams", "remoteStreams", "pendingStreams", "queuedBytes", "unreadBytes", "heldBytes"):
        check(getattr(state, name) >= 0, f"state.{name} is {getattr(state, name)}")
    check(clockWentBack or min(statistics.duration, statistics.streamAverageDuration) >= 0, f"{statistics}")
    check(statistics.maxConcurrentStreams <= statistics.streamCount, f"{statistics}")
    opened = session._streams
    check(
        session._engine._stopped or set(session._engine._table.open) == set(opened),  # type: ignore[attr-defined]
        f"the session has the streams {set(opened)}, its engine others",
    )
    for streamID, stream in opened.items():
        check(stream.id == streamID and not stream._finished, f"{stream!r} is in the table as {streamID}")
        facts = stream.state
        check(facts.queuedBytes >= 0 and facts.unreadBytes >= 0, f"{facts}")
    check(
        sum(stream.state.unreadBytes for stream in opened.values()) == state.unreadBytes or session.destroyed,
        f"{state.unreadBytes} bytes are unread, its streams have others",
    )
    if session.destroyed:
        check(state.queuedBytes == 0, "bodies are queued on a session that is destroyed")
    return problems
