"""The janitor: moves fresh vectors to the HNSW index, beside the reaper and in its process.

A worker writes a vector in a tenth of the time that the index would take; queries read the fresh
ones one by one, so there must not be many, and none when there is time to move them. Decision 0013
says how the two are held together.
"""

from __future__ import annotations

import logging
import threading
import time

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from db.queries.parts import (
    FOLDING,
    VALID,
    count_fresh,
    fold_vectors,
    index_state,
    list_hnsw_indexes,
)
from db.queries.uploads import is_any_under_way
from db.session import make_engine, translate
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

#: Names the advisory lock that keeps a second janitor waiting; any number that stays.
JANITOR_LOCK = 7_230_003
#: So many vectors stay fresh beside uploads: reading them adds one to two milliseconds to a query.
KEPT_FRESH = 4000
#: Moved at once. Who decides on one of these uploads meanwhile waits for the step's end.
STEP_ROWS = 100
LOOK_SECONDS = 2.0
#: The least share of its time that it works, once there are more than it keeps, and the share where
#: no upload waits.
LOW_SHARE, IDLE_SHARE = 0.1, 0.5
#: After this long a stop waits no longer; the server rolls the step back.
STOP_SECONDS = 5.0
#: A migration that waits for our locks must not wait for long, nor we for its.
LIMITS = {**FOLDING, "lock_timeout": "5s", "statement_timeout": "60s"}


class Janitor:
    """A thread with a connection of its own; what goes wrong is logged and tried again."""

    def __init__(
        self, settings: WorkerSettings, kept: int = KEPT_FRESH, step_rows: int = STEP_ROWS
    ) -> None:
        self._engine = make_engine(settings.require_url(), limits=LIMITS)
        self._kept = kept
        self._step_rows = step_rows
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="janitor", daemon=True)
        self._told: str | None = None

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the step under way; returns soon, also where the database does not answer."""
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        self._engine.dispose()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._engine.connect() as connection:
                    self._hold(connection)
            except Exception as error:  # whatever it was, the janitor must come back
                reason = translate(error) if isinstance(error, DBAPIError) else error
                log.error("janitor: %s; again in %s s", reason, LOOK_SECONDS)
            self._stopping.wait(LOOK_SECONDS)

    def _hold(self, connection: Connection) -> None:
        """Work while the advisory lock is ours and the connection lives."""
        with connection.begin():  # the lock outlives it
            locked = connection.execute(
                text("SELECT pg_try_advisory_lock(:key)"), {"key": JANITOR_LOCK}
            ).scalar()
        if not locked:
            return
        log.info("janitor: keeps %d vectors fresh", self._kept)
        while not self._stopping.is_set():
            with connection.begin():
                rest = self.tidy(connection)
            self._stopping.wait(rest)

    def tidy(self, connection: Connection) -> float:
        """Make one step, a transaction's work, where there is need; return the seconds of rest."""
        generation: int | None = connection.execute(
            text("SELECT generation FROM hangtag_data.model_versions WHERE active")
        ).scalar()
        if generation is None:
            return LOOK_SECONDS
        usable = self._look_at_index(connection, generation)
        fresh = count_fresh(connection, generation, at_most=2 * self._kept + 1)
        if not usable or not fresh:
            return LOOK_SECONDS
        surplus, share = fresh - self._kept, work_share(fresh, self._kept)
        if surplus <= 0:
            if is_any_under_way(connection):
                return LOOK_SECONDS
            surplus, share = fresh, IDLE_SHARE
        began = time.monotonic()
        moved = fold_vectors(connection, generation, min(self._step_rows, surplus))
        took = time.monotonic() - began
        log.debug("janitor: moved %d vectors in %.0f ms", moved, 1000 * took)
        return took * (1 / share - 1) if moved else LOOK_SECONDS

    def _look_at_index(self, connection: Connection, generation: int) -> bool:
        """Tell whether there is an index to move to; say once what is wrong with it."""
        indexes = list_hnsw_indexes(connection, generation)
        state = index_state(connection, indexes)
        if state != VALID and state != self._told:
            log.warning("janitor: the index of generation %d %s", generation, EXPLAINED[state])
        self._told = state
        return any(index.valid for index in indexes)


#: What a person should know and do about the state of an index.
EXPLAINED = {
    "valid": "is in use",
    "building": "is being built",
    "missing": "is missing, so similarity reads every vector; build it: hangtag model index",
    "invalid": "is broken, or a broken one is beside it; each write pays: hangtag model index",
}


def work_share(fresh: int, kept: int) -> float:
    """Return the share of its time that it works while there are more than it keeps.

    A tenth where little is too much, all of it from twice `kept` on: what comes in is kept up with,
    and no more of the disk and the processor is taken than that needs.
    """
    return min(max((fresh - kept) / kept, LOW_SHARE), 1.0)
