"""A whole installation that is measured: `hangtag up` in a folder of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil
import psycopg2

from benchmarks.report import ROOT
from db.embedded import spawn, stop_process
from errors import HangtagError, UsageError
from worker.app import make_app
from worker.bell import announce
from worker.client import Client
from worker.health import ask_metrics
from worker.settings import WorkerSettings
from worker.supervisor import read_environment

HANGTAG = [sys.executable, "-m", "worker"]
START_SECONDS = 180.0
#: Most uploads of a claim where nothing else is set, whatever the terminal has set.
BATCH_SIZE: int = WorkerSettings.model_fields["batch_size"].default
#: Longest that a measurement waits for uploads to be published.
END_SECONDS = 900.0

Connection = psycopg2.extensions.connection


class Installation:
    """`hangtag up` in `folder`; `pictures` may be named by their place, without a copy.

    `settings` are further variables of the environment, e.g. HANGTAG_LEASE_SECONDS.
    """

    def __init__(
        self,
        folder: Path,
        workers: int,
        pictures: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.workers = workers
        roots = {} if pictures is None else {"HANGTAG_FILE_ROOTS": str(pictures.absolute())}
        own = {k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")}
        path = os.pathsep.join(part for part in (str(ROOT), own.get("PYTHONPATH")) if part)
        self._env = {**own, **roots, **(settings or {}), "PYTHONPATH": path}
        self._process: subprocess.Popen[bytes] | None = None
        self.environment: dict[str, str] = {}

    def __enter__(self) -> Installation:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it takes uploads; its workers may still load the model.

        Raises HangtagError with its log where it ends instead.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "up.log"
        command = [*HANGTAG, "up", "--data-dir", str(self.folder), "--workers", str(self.workers)]
        self._process = spawn(command, log, env=self._env)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                given = read_environment(self.folder)
                break
            except UsageError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise HangtagError(f"`hangtag up` did not start:\n{log.read_text()}") from None
                time.sleep(0.02)
        self.environment = {**self._env, **given}

    def stop(self) -> None:
        """End it in order."""
        if self._process is not None:
            stop_process(self._process, signal.SIGTERM, seconds=120)
            self._process = None

    def connect(self) -> Connection:
        """Connect as superuser, each statement a transaction of its own."""
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        return connection

    @property
    def url(self) -> str:
        """The superuser's URL of the database."""
        return self.environment["HANGTAG_DATABASE_URL"]

    @property
    def broker_url(self) -> str:
        """URL of the broker."""
        return self.environment["HANGTAG_BROKER_URL"]

    def client(self) -> Client:
        """Return a producer."""
        return Client(self.url, self.broker_url, Path(self.environment["HANGTAG_STORE"]))

    @property
    def batch_size(self) -> int:
        """Most uploads that one of its claims takes."""
        return int(self._env.get("HANGTAG_BATCH_SIZE", BATCH_SIZE))

    def ring(self, lane: str, uploads: int) -> None:
        """Ring for rows that came past every producer."""
        with make_app(self._settings) as app:
            announce(app, lane, uploads, self.batch_size)

    def totals(self) -> dict[str, float]:
        """Return what its worker has counted since it began, see `worker.stages`."""
        [totals] = ask_metrics(self._settings).values()
        return totals

    @property
    def _settings(self) -> WorkerSettings:
        return WorkerSettings(database_url=self.url, broker_url=self.broker_url)

    def processes(self, recursive: bool = True) -> list[psutil.Process]:
        """Return its processes, or those alone that `hangtag up` started itself."""
        if self._process is None:
            return []
        return list(psutil.Process(self._process.pid).children(recursive))

    def worker_processes(self) -> list[psutil.Process]:
        """Return the processes that tag: the children of Celery's parent."""
        return [
            child
            for process in self.processes(recursive=False)
            if process.cmdline()[1:4] == ["-m", "worker", "worker"]
            for child in process.children()
        ]


def run_sql(
    connection: Connection, statement: str, parameters: Sequence[object] | None = None
) -> list[tuple[object, ...]]:
    """Run one statement; return its rows, if it has any."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else []


def count(connection: Connection, statement: str) -> int:
    """Run a query for one whole number."""
    [(number,)] = run_sql(connection, statement)
    return int(str(number))


#: Through the partial indexes of both states: it costs the same whatever the table holds.
_IS_ANY_OPEN = """
    SELECT EXISTS (SELECT FROM hangtag_data.uploads WHERE status = 'pending')
        OR EXISTS (SELECT FROM hangtag_data.uploads WHERE status = 'processing')
"""


_IS_ANY_OWED = """
    SELECT EXISTS (SELECT FROM hangtag_data.review_items
                   WHERE status = 'open' AND preview_due IS NOT NULL)
"""


#: The janitor moves those of the active version alone.
_IS_ANY_FRESH = """
    SELECT EXISTS (SELECT FROM hangtag_data.embeddings
                   WHERE generation = (SELECT -generation FROM hangtag_data.model_versions
                                       WHERE active))
"""


def wait_for_the_end(connection: Connection, glance_seconds: float = 0.03) -> None:
    """Wait until no upload is pending or processing. Raises HangtagError after `END_SECONDS`."""
    _wait_while(connection, _IS_ANY_OPEN, "uploads are still waiting", glance_seconds)


def wait_for_previews(connection: Connection) -> None:
    """Wait until every preview is drawn, so that what is measured next has the machine for itself.

    Raises HangtagError after `END_SECONDS`.
    """
    _wait_while(connection, _IS_ANY_OWED, "previews are still owed", 0.01)


def wait_for_the_index(connection: Connection) -> None:
    """Wait until the janitor has moved every vector to the index, which it does when none waits.

    Raises HangtagError after `END_SECONDS`.
    """
    # Seldom looked: a part that was just emptied is still read to its end.
    _wait_while(connection, _IS_ANY_FRESH, "vectors are still fresh", 0.1)


def _wait_while(connection: Connection, query: str, what: str, glance_seconds: float) -> None:
    deadline = time.monotonic() + END_SECONDS
    with connection.cursor() as cursor:
        while time.monotonic() < deadline:
            cursor.execute(query)
            if cursor.fetchone() == (False,):
                return
            time.sleep(glance_seconds)
    raise HangtagError(f"{what} after {END_SECONDS:.0f} s")


def new_source() -> str:
    """Return a name that no other measurement's uploads have."""
    return f"bench-{uuid.uuid4().hex[:12]}"
