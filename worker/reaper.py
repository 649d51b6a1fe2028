"""The reaper: takes back expired claims and rings for rows that nobody has heard of.

It rings for previews that are owed, too, in lanes where no upload waits.
"""

from __future__ import annotations

import logging
import select
import signal
import time
from collections.abc import Sequence
from types import FrameType

from celery import Celery
from kombu.exceptions import OperationalError as BrokerError
from sqlalchemy import Connection, text
from sqlalchemy.orm import Session

from db.queries.previews import FRONT, count_due_previews, count_front_due, reap_previews
from db.queries.uploads import count_due, reap_expired
from db.session import make_engine, transaction
from errors import TransientError
from worker.app import LANES, make_app
from worker.bell import MOST_RINGS, ring
from worker.janitor import Janitor
from worker.settings import WorkerSettings

log = logging.getLogger(__name__)

#: Names the advisory lock that keeps a second reaper waiting; any number that stays.
REAPER_LOCK = 7_230_002
CHANNEL = "hangtag_uploads"


class Reaper:
    """One sweep every `reap_seconds`, sooner when SQL announces an upload."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._engine = make_engine(settings.require_url(), pool_size=2)
        self._app: Celery = make_app(settings)
        self._stopping = False

    def run(self) -> None:
        """Sweep until SIGTERM or SIGINT; a lost database or broker is waited for.

        A janitor works beside it, in a thread of its own.
        """
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, self._stop)
        janitor = Janitor(self._settings)
        janitor.start()
        while not self._stopping:
            try:
                with self._engine.connect() as connection:
                    self._hold(connection)
            except Exception as error:  # whatever it was, the reaper must come back
                log.error("reaper: %s; again in %s s", error, self._settings.reap_seconds)
                self._wait(None)
        janitor.stop()
        self._engine.dispose()

    def sweep(self) -> None:
        """Take back what expired, then ring for what waits, previews last.

        Raises TransientError where the database is away.
        """
        with transaction(self._engine) as session:
            reaped = reap_expired(session, self._settings.max_attempts)
            due = self._due(session)
        if reaped.returned or reaped.dead:
            log.warning("leases ran out: %d returned, %d dead", reaped.returned, reaped.dead)
        for lane, count in due.items():
            if count and self._queue_length(lane) == 0:
                ring(self._app, lane, count, self._settings.batch_size)
        self._sweep_previews([lane for lane, count in due.items() if not count])

    def _sweep_previews(self, idle_lanes: Sequence[str]) -> None:
        """Give up previews whose tries are spent; where no upload waits, ring for what is owed.

        Beside a backlog of one lane for what operators soon get alone: maybe no worker is there
        that serves that lane.
        """
        with transaction(self._engine) as session:
            dead = reap_previews(session, self._settings.max_attempts)
            is_idle = len(idle_lanes) == len(LANES)
            owed = count_due_previews(session, 1) if is_idle else count_front_due(session, FRONT)
        if dead:
            log.warning("leases ran out: %d previews given up, their uploads are dead", dead)
        for lane in idle_lanes if owed else ():
            if self._queue_length(lane) == 0:
                ring(self._app, lane, 1, self._settings.batch_size)

    def _due(self, session: Session) -> dict[str, int]:
        return count_due(session, at_most=MOST_RINGS * self._settings.batch_size)

    def _hold(self, connection: Connection) -> None:
        """Sweep while the advisory lock is ours and the connection lives."""
        connection = connection.execution_options(isolation_level="AUTOCOMMIT")
        locked = connection.execute(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": REAPER_LOCK}
        ).scalar()
        if not locked:
            self._wait(None)
            return
        connection.execute(text(f"LISTEN {CHANNEL}"))
        log.info("reaper: sweeping every %s s", self._settings.reap_seconds)
        while not self._stopping:
            connection.execute(text("SELECT 1"))  # the lock is gone with the connection
            try:
                self.sweep()
            except TransientError as error:
                log.error("reaper: %s", error)
            self._wait(connection)

    def _wait(self, connection: Connection | None) -> None:
        """Wait for the next sweep, a notification, or the order to stop.

        In short pieces: Python resumes an interrupted wait, so a signal alone ends none.
        """
        driver = connection.connection.driver_connection if connection is not None else None
        end = time.monotonic() + self._settings.reap_seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            heard, _, _ = select.select([driver] if driver else [], [], [], min(left, 0.5))
            if driver is not None and heard:
                driver.poll()
                driver.notifies.clear()
                return

    def _queue_length(self, lane: str) -> int:
        """Length of a lane's queue; 0 where the broker does not answer (then ringing is tried)."""
        try:
            with self._app.connection_for_read() as connection:
                return int(connection.default_channel.client.llen(lane))
        except (BrokerError, OSError, *self._app.connection_for_read().connection_errors):
            return 0

    def _stop(self, _signal: int, _frame: FrameType | None) -> None:
        self._stopping = True
