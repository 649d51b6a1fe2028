"""Health is progress: whether uploads are taken and sweeps are made, not whether processes live."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from db.queries.uploads import get_overdue_seconds, is_anything_held
from db.session import make_engine, transaction
from errors import HangtagError
from worker.app import LANES, make_app
from worker.reaper import REAPER_LOCK
from worker.settings import WorkerSettings

ANSWER_SECONDS = 5.0
#: A sweep may wait for a broker that is away; after this long it hangs.
SWEEP_SECONDS = 60.0
#: Between two batches nobody holds a claim for a moment: nobody took any if none did so long.
LOOK_SECONDS = 3.0

# Each sweep begins with a statement on the connection that holds the lock. Its time is shown
# to sessions of the same login, which the reaper has.
_LAST_SWEEP = """
    SELECT extract(epoch FROM clock_timestamp() - a.query_start)
    FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND l.classid = 0 AND l.objid = :key AND l.objsubid = 1
"""


@dataclass(frozen=True)
class Check:
    """What was found of one part, in one line."""

    part: str
    healthy: bool
    found: str


def begin_progress(file: Path | None, lanes: str) -> None:
    """Leave behind that a worker of these lanes begins to answer its bells."""
    if file is not None:
        file.write_text(lanes)


def note_progress(file: Path | None) -> None:
    """Leave behind when a worker last answered a bell."""
    if file is not None:
        file.touch()


def check(part: str, settings: WorkerSettings) -> Check:
    """Check one of `CHECKS`."""
    try:
        return Check(part, True, CHECKS[part](settings))
    except HangtagError as error:
        return Check(part, False, str(error))


def check_database(settings: WorkerSettings) -> str:
    """Raise HangtagError where the database does not answer, or is not migrated."""
    with transaction(make_engine(settings.require_url())) as session:
        session.execute(text("SELECT FROM hangtag_data.uploads LIMIT 1"))
    return "answers"


def check_broker(settings: WorkerSettings) -> str:
    """Raise HangtagError where the broker does not answer."""
    try:
        with make_app(settings).connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=ANSWER_SECONDS)
            connection.default_channel.client.ping()
    except Exception as error:  # whatever the transport raises, the broker is not there
        raise HangtagError(f"the broker does not answer: {error}") from error
    return "answers"


def check_reaper(settings: WorkerSettings) -> str:
    """Ask the database when a reaper last began a sweep; a second, waiting reaper is well too.

    Raises HangtagError where none sweeps, or the database is away.
    """
    with transaction(make_engine(settings.require_url())) as session:
        seconds = session.execute(text(_LAST_SWEEP), {"key": REAPER_LOCK}).scalar()
    if seconds is None:
        raise HangtagError("no reaper sweeps; start one: hangtag reaper")
    if seconds > SWEEP_SECONDS + settings.reap_seconds:
        raise HangtagError(f"the last sweep began {seconds:.0f} s ago; restart the reaper")
    return f"the last sweep began {seconds:.0f} s ago"


def check_worker(settings: WorkerSettings) -> str:
    """Ask workers over the broker, and see that uploads do not wait while they take none.

    With `progress_file` it is the worker of this host that must have answered its bell, and
    else any. Raises HangtagError where none answers, or none makes progress.
    """
    own = f"hangtag@{socket.gethostname()}" if settings.progress_file else None
    try:
        inspect = make_app(settings).control.inspect([own] if own else None, ANSWER_SECONDS)
        answers = inspect.ping() or {}
    except Exception as error:  # whatever the transport raises, the broker is not there
        raise HangtagError(f"the broker does not answer: {error}") from error
    if not answers:
        who = f"{own} did not answer" if own else "no worker answered"
        raise HangtagError(f"{who} within {ANSWER_SECONDS:.0f} s; (re)start it: hangtag worker")
    if stalled := find_stall(settings):
        raise HangtagError(f"{stalled}; restart the worker")
    return f"{', '.join(sorted(answers))}: answers, and no upload waits too long"


def find_stall(settings: WorkerSettings) -> str | None:
    """Say that uploads wait for `stall_seconds` while none are taken; None where all is well.

    A worker whose connection is dead, or which consumes no queue any more, still lives and
    answers. Raises HangtagError where the database is away.
    """
    limit, file = settings.stall_seconds, settings.progress_file
    if file and _age(file) < limit:
        return None
    lanes = file.read_text().split(",") if file and file.exists() else LANES
    engine = make_engine(settings.require_url())
    try:
        with transaction(engine) as session:
            waiting = get_overdue_seconds(session, limit, lanes)
        if waiting is None:
            return None
        if not file and _anything_is_taken(engine):
            return None
    finally:
        engine.dispose()
    return f"uploads wait for {waiting:.0f} s and none has been taken for {limit:.0f} s"


def _age(file: Path) -> float:
    """Seconds since a file was touched; endless where it is not there."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


def _anything_is_taken(engine: Engine) -> bool:
    """Look for a while whether anybody holds a claim."""
    end = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < end:
        with transaction(engine) as session:
            if is_anything_held(session):
                return True
        time.sleep(0.1)
    return False


CHECKS: dict[str, Callable[[WorkerSettings], str]] = {
    "database": check_database,
    "broker": check_broker,
    "reaper": check_reaper,
    "worker": check_worker,
}
