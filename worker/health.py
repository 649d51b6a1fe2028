"""Health is progress: whether uploads are taken and sweeps are made, not whether processes live."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import Engine, text

from db.queries.models import get_active_model
from db.queries.parts import BUILDING, VALID, count_fresh, get_index_state
from db.queries.previews import FRONT, count_front_due, get_overdue_preview_seconds
from db.queries.uploads import count_due, get_overdue_seconds, is_anything_held
from db.session import make_engine, transaction
from errors import HangtagError, UsageError
from worker.app import LANES, METRICS, make_app
from worker.janitor import EXPLAINED, KEPT_FRESH
from worker.reaper import REAPER_LOCK
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
#: So long it is listened who answers: how many workers there are is not known.
METRICS_SECONDS = 2.0
#: A sweep may wait for a broker that is away; after this long it hangs.
SWEEP_SECONDS = 60.0
#: More fresh vectors than the janitor keeps are there for a while after many uploads.
MOST_FRESH = 5 * KEPT_FRESH
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


@dataclass(frozen=True)
class Progress:
    """What a worker leaves in its progress file: its node's name, and the lanes it serves."""

    node: str
    lanes: Sequence[str]

    @classmethod
    def read(cls, file: Path) -> Progress | None:
        """Return what the file says, None where no worker has begun it."""
        try:
            return cls(**json.loads(file.read_text()))
        except (OSError, ValueError, TypeError):
            return None


def begin_progress(file: Path | None, progress: Progress) -> None:
    """Leave behind that a worker begins to answer its bells. Raises UsageError."""
    if file is None:
        return
    try:
        file.write_text(json.dumps(asdict(progress)))
    except OSError as error:
        raise UsageError(f"HANGTAG_PROGRESS_FILE: {file}: {error.strerror}") from error


def note_progress(file: Path | None) -> None:
    """Leave behind when a worker last answered a bell."""
    if file is None:
        return
    try:
        file.touch()
    except OSError as error:  # tagging matters more than its health check
        log.warning("HANGTAG_PROGRESS_FILE: %s: %s", file, error.strerror)


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
    progress = Progress.read(settings.progress_file) if settings.progress_file else None
    if settings.progress_file and progress is None:
        raise HangtagError(
            f"no worker has begun {settings.progress_file}; start it: hangtag worker"
        )
    own = progress.node if progress else None
    try:
        inspect = make_app(settings).control.inspect([own] if own else None, ANSWER_SECONDS)
        answers = inspect.ping() or {}
    except Exception as error:  # whatever the transport raises, the broker is not there
        raise HangtagError(f"the broker does not answer: {error}") from error
    if not answers:
        who = f"{own} did not answer" if own else "no worker answered"
        raise HangtagError(f"{who} within {ANSWER_SECONDS:.0f} s; (re)start it: hangtag worker")
    if stalled := find_stall(settings) or find_undrawn(settings):
        raise HangtagError(f"{stalled}; restart the worker")
    return f"{', '.join(sorted(answers))}: answers, and no upload waits too long"


def check_vectors(settings: WorkerSettings) -> str:
    """See that the active version has its index, and that not too many vectors wait for it.

    Raises HangtagError where similarity is slow for want of it, or the database is away.
    """
    with transaction(make_engine(settings.require_url())) as session:
        active = get_active_model(session)
        if active is None:
            return "no model version is active"
        state = get_index_state(session.connection(), active.generation)
        fresh = count_fresh(session.connection(), active.generation, at_most=MOST_FRESH + 1)
    if state not in (VALID, BUILDING):
        raise HangtagError(f"the index of {active.version} {EXPLAINED[state]}")
    if fresh > MOST_FRESH:
        raise HangtagError(
            f"more than {MOST_FRESH} vectors are not in the index, so similarity is slow. The "
            "reaper's process adds them; faster: hangtag model index"
        )
    return f"the index of {active.version} {EXPLAINED[state]}; {fresh} vectors are fresh"


def ask_metrics(settings: WorkerSettings) -> dict[str, dict[str, float]]:
    """Return the totals of `worker.stages`, by worker. Raises HangtagError without a broker."""
    try:
        control = make_app(settings).control
        answers = control.broadcast(METRICS, reply=True, timeout=METRICS_SECONDS)
    except Exception as error:  # whatever the transport raises, the broker is not there
        raise HangtagError(f"the broker does not answer: {error}") from error
    # One that does not know the question, of another release or another program, tells an error.
    return {
        node: totals
        for answer in answers or ()
        for node, totals in answer.items()
        if "uploads" in totals
    }


def find_stall(settings: WorkerSettings) -> str | None:
    """Say that uploads, or previews, wait for `stall_limit` while none are taken; or None.

    A worker whose connection is dead, or which consumes no queue any more, still lives and
    answers. Raises HangtagError where the database is away.
    """
    limit, file = settings.stall_limit, settings.progress_file
    if file and 0 <= _age(file) < limit:  # below 0 the clock was set back
        return None
    progress = Progress.read(file) if file else None
    lanes = progress.lanes if progress else LANES
    engine = make_engine(settings.require_url())
    try:
        with transaction(engine) as session:
            waiting = get_overdue_seconds(session, limit, lanes)
        if waiting is None:
            return find_undrawn(settings)
        if not file and _anything_is_taken(engine):
            return None
    finally:
        engine.dispose()
    return f"uploads wait for {waiting:.0f} s and none has been taken for {limit:.0f} s"


def find_undrawn(settings: WorkerSettings) -> str | None:
    """Say that previews wait for `stall_limit`; None where all is well.

    Beside a backlog of uploads they may, as long as operators have enough to do.
    Raises HangtagError where the database is away.
    """
    engine = make_engine(settings.require_url())
    try:
        with transaction(engine) as session:
            waiting = get_overdue_preview_seconds(session, settings.stall_limit)
            if waiting is None:
                return None
            if any(count_due(session, at_most=1).values()) and not count_front_due(session, FRONT):
                return None
    finally:
        engine.dispose()
    return f"previews of review items wait for {waiting:.0f} s and are not drawn"


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
    "vectors": check_vectors,
}
