"""An installation under test: servers, proxies before them, workers, reaper; all can be hurt."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

from db.embedded import EmbeddedPostgres, spawn, stop_process
from db.roles import PRODUCER, WORKER
from tests.conftest import ROOT
from tests.faults.launch import PATIENT, SLOW_FLAG, SLOW_HAND_IN
from tests.faults.proxy import Proxy
from worker.broker import EmbeddedValkey
from worker.setup import migrate

#: Short, so that what the leases heal is healed within seconds.
LEASE_SECONDS = 6.0
SETTINGS = {
    "HANGTAG_BATCH_SIZE": "8",
    "HANGTAG_RETRY_SECONDS": "0.5",
    "HANGTAG_REAP_SECONDS": "0.5",
    # Faults come far more often than in life: an upload may be hit by several.
    "HANGTAG_MAX_ATTEMPTS": "12",
}
#: A process that ended is started again after this long, as a supervisor would.
RESTART_SECONDS = 1.0
#: Alembic's context belongs to the whole process; campaigns may run beside each other.
_MIGRATING = threading.Lock()


@dataclass
class Part:
    """A process of the installation; `wanted` while it is to be started again when it ends."""

    name: str
    command: list[str]
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    ended_at: float | None = None


class Site:
    """Servers and processes in one folder. `off` is the protection switched off, see `launch`."""

    def __init__(
        self, folder: Path, workers: int = 2, off: str = "all", slow_hand_in: bool = False
    ) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.postgres = EmbeddedPostgres(folder)
        self.valkey = EmbeddedValkey(folder)
        self.off = off
        self.proxies: list[Proxy] = []
        self.parts: list[Part] = []
        #: Held by whoever restarts a server, so that no other fault meets it half up.
        self.servers = threading.Lock()
        self._workers = workers
        self._slow_hand_in = slow_hand_in
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        """Start all of it; the audit that the checker reads comes with the schema."""
        self.store.mkdir(parents=True)
        self.postgres.start()
        self.valkey.start()
        with _MIGRATING:
            migrate(self.postgres.url())
        self.database, self.broker = self.proxies = [
            Proxy(self.postgres.sockets / ".s.PGSQL.5432"),
            Proxy(self.valkey.socket),
        ]
        self.broker_url = f"redis://127.0.0.1:{self.broker.port}/0"
        for number in range(self._workers):
            name = f"worker-{number}"
            # One gives up what it had when it was frozen, as the lease demands; the others try to
            # write it, and must be kept out.
            more = {PATIENT: "1"} if number or self.off != "all" else {}
            if self._slow_hand_in:
                more[SLOW_HAND_IN] = "1"
            self._add(name, ["worker", "--concurrency", "1", "--name", f"{name}@%h"], more)
        if self.off != "reaper":
            self._add("reaper", ["reaper"])
        self._watcher.start()

    def stop(self) -> None:
        """End all of it."""
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for part in self.parts:
            if part.process:
                for process in [part.process.pid, *self.children(part)]:
                    send(process, signal.SIGCONT)
                stop_process(part.process, signal.SIGTERM, 20)
        for proxy in self.proxies:
            proxy.close()
        self.valkey.stop()
        self.postgres.stop()

    def database_url(self, role: str) -> str:
        """URL of the database through the proxy, as a role."""
        return (
            f"postgresql://postgres@127.0.0.1:{self.database.port}/hangtag"
            f"?sslmode=disable&gssencmode=disable&options=-c%20role%3D{role}"
        )

    @property
    def producer_url(self) -> str:
        """The producers' URL of the database."""
        return self.database_url(PRODUCER)

    def connect(self) -> psycopg2.extensions.connection:
        """Connect past the proxy, as superuser: for the checker and the faults."""
        connection = psycopg2.connect(self.postgres.url())
        connection.autocommit = True
        return connection

    def redis(self) -> redis.Redis:
        """Connect to the broker past the proxy."""
        return redis.Redis(unix_socket_path=str(self.valkey.socket), socket_timeout=5)

    def workers(self) -> list[Part]:
        """Return the worker parts that run."""
        return [
            p
            for p in self.parts
            if p.name.startswith("worker") and p.process and p.process.poll() is None
        ]

    def children(self, part: Part) -> list[int]:
        """Return the process ids of a worker's children."""
        if part.process is None:
            return []
        try:
            return [child.pid for child in psutil.Process(part.process.pid).children()]
        except psutil.NoSuchProcess:
            return []

    def holders(self, but: Collection[str] = frozenset()) -> set[int]:
        """Return the process ids that hold other uploads; none where the database is away."""
        return {process for process, one, _ in self._claims() if one not in but}

    def held_by(self, processes: Collection[int] | None = None) -> dict[str, int]:
        """Return the uploads that processes hold, all by default, each with its attempt."""
        return {
            one: attempt
            for process, one, attempt in self._claims()
            if processes is None or process in processes
        }

    def is_overtaken(self, held: Mapping[str, int]) -> bool:
        """Tell whether another has claimed one of these uploads since."""
        found = self._ask(
            "SELECT id::text, attempt FROM hangtag_data.uploads WHERE id = ANY(%s::uuid[])",
            (list(held),),
        )
        return any(attempt > held[one] for one, attempt in found)

    def _claims(self) -> list[tuple[int, str, int]]:
        found = self._ask(
            "SELECT claimed_by, id::text, attempt FROM hangtag_data.uploads "
            "WHERE status = 'processing'"
        )
        return [(int(name.rsplit(":", 1)[1]), one, attempt) for name, one, attempt in found]

    def _ask(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; none where the database is away."""
        try:
            connection = self.connect()
        except psycopg2.OperationalError:
            return []
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, values)
                return cursor.fetchall()
        except psycopg2.Error:
            return []
        finally:
            connection.close()

    def put(self, picture: Path) -> str:
        """Copy a file into the picture store; return its URI."""
        target = self.store / picture.name
        shutil.copy(picture, target)
        return target.as_uri()

    def refused_late(self) -> int:
        """Count results that workers tried to write after their claim was another's."""
        logs = (self.folder / "logs").glob("worker-*.log")
        return sum(
            int(number)
            for log in logs
            for number in re.findall(r"(\d+) superseded", log.read_text(errors="replace"))
        )

    def slow_store(self, slow: bool) -> None:
        """Make each read of the store take longer, or not."""
        flag = self.store / SLOW_FLAG
        if slow:
            flag.touch()
        else:
            flag.unlink(missing_ok=True)

    def _add(self, name: str, arguments: list[str], more: Mapping[str, str] = {}) -> None:
        lease = 86_400.0 if self.off == "lease" else LEASE_SECONDS
        env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")},
            **SETTINGS,
            "HANGTAG_LEASE_SECONDS": str(lease),
            "HANGTAG_DATABASE_URL": self.database_url(WORKER),
            "HANGTAG_BROKER_URL": self.broker_url,
            "HANGTAG_STORE": str(self.store),
            "PYTHONPATH": str(ROOT),
            **more,
        }
        command = [sys.executable, "-m", "tests.faults.launch", self.off, *arguments]
        part = Part(name, command, env)
        self.parts.append(part)
        self._launch(part)

    def _launch(self, part: Part) -> None:
        part.ended_at = None
        part.process = spawn(part.command, self.folder / "logs" / f"{part.name}.log", env=part.env)

    def _watch(self) -> None:
        """Start again what ended."""
        while not self._stopping.wait(0.1):
            for part in self.parts:
                if part.process is None or part.process.poll() is None:
                    continue
                part.ended_at = part.ended_at or time.monotonic()
                if time.monotonic() - part.ended_at > RESTART_SECONDS:
                    self._launch(part)


def send(pid: int, sign: signal.Signals) -> None:
    """Send a signal to a process that may have ended meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, sign)
