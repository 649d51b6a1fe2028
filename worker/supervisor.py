"""`hangtag up`: every process of a small installation, started, watched and ended in order."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from db.embedded import EmbeddedPostgres, spawn, stop_process
from db.roles import OPERATOR, WORKER
from errors import HangtagError, TransientError, UsageError
from errors.hints import program
from worker.broker import EmbeddedValkey
from worker.health import check_broker, find_stall
from worker.settings import WorkerSettings
from worker.setup import migrate

log = logging.getLogger(__name__)

#: A process that ends by itself is started again after this long, doubling up to a minute.
RESTART_SECONDS = 1.0
#: How often it is looked whether the worker takes uploads, and its time to end where not.
LOOK_SECONDS = 5.0
STALLED_STOP_SECONDS = 10.0
#: One that ran for so long starts again with the shortest wait.
STEADY_SECONDS = 60.0


@dataclass
class Child:
    """A process of ours, and how to end it."""

    name: str
    command: list[str]
    env: dict[str, str]
    stop_seconds: float
    process: subprocess.Popen[bytes] | None = None
    wait_seconds: float = RESTART_SECONDS
    restart_at: float = 0.0
    started_at: float = 0.0


class Supervisor:
    """Owns one data directory; `start`, then `watch` until it is told to stop, then `stop`."""

    def __init__(
        self,
        data_dir: Path,
        settings: WorkerSettings,
        workers: int,
        console_port: int | None = 8080,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self._settings = _without_own(settings, self.data_dir)
        self._workers = workers
        self._port = console_port
        self._lock: IO[str] | None = None
        self._port_lock: IO[str] | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None
        self._children: list[Child] = []
        self.environment: dict[str, str] = {}
        self.console_url: str | None = None
        self.weights = settings.weights
        self.active_model: str | None = None
        self._looked_at = time.monotonic()
        self._stalled_since: float | None = None

    def start(self) -> None:
        """Start services, migrate, start the processes. On an error all that runs is ended.

        Raises UsageError where another `hangtag up` owns the directory.
        """
        self._take_lock()
        try:
            database_url = self._start_database()
            broker_url = self._start_broker()
            self.active_model = migrate(database_url, self.weights)
            self._start_children(database_url, broker_url)
            self._write_state()
        except TransientError as error:
            self.stop()
            raise TransientError("; ".join([str(error), *self.not_ours()]), error.code) from error
        except BaseException:
            self.stop()
            raise

    def watch(self, seconds: float | None = None) -> None:
        """Start again whatever ends by itself, for some seconds or for ever."""
        end = None if seconds is None else time.monotonic() + seconds
        while end is None or time.monotonic() < end:
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Start again what has ended."""
        for server in (self._postgres, self._valkey):
            if server and server.process and server.process.poll() is not None:
                log.error("%s ended by itself and is started again", type(server).__name__)
                server.launch()
        for child in self._children:
            if child.process is None or child.process.poll() is None:
                continue
            now = time.monotonic()
            if child.restart_at == 0:
                if now - child.started_at > STEADY_SECONDS:
                    child.wait_seconds = RESTART_SECONDS
                log.error(
                    "%s ended with code %s; started again in %.0f s (see %s)",
                    child.name,
                    child.process.returncode,
                    child.wait_seconds,
                    self._log(child.name),
                )
                child.restart_at = now + child.wait_seconds
                child.wait_seconds = min(60.0, child.wait_seconds * 2)
            elif now >= child.restart_at:
                self._launch(child)
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._restart_stalled_worker()

    def _restart_stalled_worker(self) -> None:
        """End a worker that lives but takes nothing while uploads wait; `check` starts another."""
        worker = next((child for child in self._children if child.name == "worker"), None)
        if worker is None or worker.process is None or worker.process.poll() is not None:
            return
        settings = self._worker_settings
        try:
            stalled = find_stall(settings)
            if stalled:
                check_broker(settings)
        except HangtagError:  # a server is away: no restart of ours helps
            stalled = None
        if stalled is None:
            self._stalled_since = None
            return
        # Seen for as long again without a break: after an outage, or while it starts, a worker
        # that is well has not taken anything yet either.
        now = time.monotonic()
        self._stalled_since = self._stalled_since or now
        if now - self._stalled_since >= settings.stall_limit:
            log.error("%s: the worker is restarted (see %s)", stalled, self._log("worker"))
            stop_process(worker.process, signal.SIGTERM, STALLED_STOP_SECONDS)
            self._stalled_since = None

    def stop(self) -> None:
        """End everything in order: console and workers first, the database last."""
        if self._lock:
            self._state.unlink(missing_ok=True)
        for child in self._children:
            if child.process is not None and child.process.poll() is None:
                child.process.send_signal(signal.SIGTERM)
        for child in self._children:
            if child.process is not None:
                stop_process(child.process, signal.SIGTERM, child.stop_seconds)
        if self._valkey:
            self._valkey.stop()
        if self._postgres:
            self._postgres.stop()
        for lock in (self._port_lock, self._lock):
            if lock:
                lock.close()
        self._port_lock = self._lock = None

    @property
    def _worker_settings(self) -> WorkerSettings:
        """The settings by which the worker's progress is judged."""
        return self._settings.model_copy(
            update={
                "database_url": self.environment["HANGTAG_DATABASE_URL"],
                "broker_url": self.environment["HANGTAG_BROKER_URL"],
                "progress_file": self.data_dir / "worker.progress",
            }
        )

    @property
    def _state(self) -> Path:
        return self.data_dir / "up.json"

    def _take_lock(self) -> None:
        try:
            self.data_dir.mkdir(parents=True, exist_ok=True)
            lock = (self.data_dir / "up.lock").open("a+")
        except OSError as error:
            raise UsageError(
                f"{self.data_dir}: {error.strerror}; --data-dir wants a folder to write into"
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise UsageError(
                f"another `hangtag up` runs in {self.data_dir}; stop it or name another --data-dir"
            ) from error
        self._lock = lock
        self._state.unlink(missing_ok=True)  # of a predecessor that was killed
        (self.data_dir / "logs").mkdir(exist_ok=True)

    def not_ours(self) -> list[str]:
        """Say, a line each, which servers the environment names: nothing is embedded for them."""
        named = {
            "HANGTAG_DATABASE_URL": self._settings.database_url,
            "HANGTAG_BROKER_URL": self._settings.broker_url,
        }
        return [
            f"{name} is set: {_without_password(url)} is used, and none of our own "
            f"(unset {name} to start one)"
            for name, url in named.items()
            if url
        ]

    def _start_database(self) -> str:
        if self._settings.database_url:
            return self._settings.database_url
        self._postgres = EmbeddedPostgres(self.data_dir)
        self._postgres.start()
        return self._postgres.url()

    def _start_broker(self) -> str:
        if self._settings.broker_url:
            return self._settings.broker_url
        self._valkey = EmbeddedValkey(self.data_dir)
        self._valkey.start()
        return self._valkey.url

    def _start_children(self, database_url: str, broker_url: str) -> None:
        store = self._settings.store or self.data_dir / "pictures"
        store.mkdir(parents=True, exist_ok=True)
        self.environment = {
            "HANGTAG_DATABASE_URL": database_url,
            "HANGTAG_BROKER_URL": broker_url,
            "HANGTAG_STORE": str(store.absolute()),
        }
        if self.weights:
            self.environment["HANGTAG_WEIGHTS"] = str(self.weights.absolute())
        roots = [str(root.absolute()) for root in self._settings.file_roots]
        if roots:
            self.environment["HANGTAG_FILE_ROOTS"] = os.pathsep.join(roots)
        hangtag = [sys.executable, "-m", "worker"]
        as_worker = self._child_env(WORKER)
        as_worker["HANGTAG_PROGRESS_FILE"] = str(self.data_dir / "worker.progress")
        self._add(
            "worker", [*hangtag, "worker", "--concurrency", str(self._workers)], as_worker, 60
        )
        self._add("reaper", [*hangtag, "reaper"], as_worker, 10)
        if self._port is not None:
            port, self._port_lock = free_port(self._port)
            self.console_url = f"http://127.0.0.1:{port}/"
            self._add("console", [sys.executable, "-m", "review"], self._console_env(port), 10)

    def _add(self, name: str, command: list[str], env: dict[str, str], stop_seconds: float) -> None:
        child = Child(name, command, env, stop_seconds)
        self._children.append(child)
        self._launch(child)

    def _launch(self, child: Child) -> None:
        child.restart_at, child.started_at = 0.0, time.monotonic()
        if child.name == "worker":
            self._stalled_since = None
        child.process = spawn(child.command, self._log(child.name), env=child.env)

    def _log(self, name: str) -> Path:
        return self.data_dir / "logs" / f"{name}.log"

    def _child_env(self, role: str) -> dict[str, str]:
        """Environment of a child; on the embedded server it takes on its own role."""
        env = {**os.environ, **self.environment}
        if self._postgres:
            env["HANGTAG_DATABASE_URL"] = self._postgres.url(role=role)
        # The children run from the folder that holds our packages, wherever `up` was called.
        env["PYTHONPATH"] = os.pathsep.join(
            part
            for part in (str(Path(__file__).resolve().parent.parent), env.get("PYTHONPATH"))
            if part
        )
        return env

    def _console_env(self, port: int) -> dict[str, str]:
        env = self._child_env(OPERATOR)
        env.setdefault("HANGTAG_SESSION_SECRET", session_secret(self.data_dir))
        return {**env, "HANGTAG_CONSOLE_PORT": str(port), "HANGTAG_CONSOLE_HOST": "127.0.0.1"}

    def _write_state(self) -> None:
        """Leave behind what `hangtag env` prints; readable by the owner alone."""
        state = {"environment": self.environment, "console": self.console_url}
        descriptor = os.open(self._state, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(state, file, indent=1)


def read_environment(data_dir: Path) -> dict[str, str]:
    """Return the settings of a running `hangtag up`. Raises UsageError where none runs."""
    path = data_dir / "up.json"
    try:
        with (data_dir / "up.lock").open("a+") as lock:
            # Shared, so that two who ask do not see each other, nor hinder one that starts.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        running = False
    except BlockingIOError:
        running = True
    except OSError:
        running = False
    if not running or not path.exists():
        raise UsageError(
            f"nothing runs in {data_dir.absolute()}; "
            f"start it: {program()} up --data-dir {shlex.quote(str(data_dir.absolute()))}"
        )
    environment: dict[str, str] = json.loads(path.read_text())["environment"]
    return environment


def session_secret(data_dir: Path) -> str:
    """Return the secret that signs the console's sessions, made once a data directory."""
    path = data_dir / "session_secret"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    secret = secrets.token_urlsafe(32)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
    return secret


def free_port(wanted: int) -> tuple[int, IO[str]]:
    """Return a free port on the loopback, the wanted one or one of the next, and its lock.

    The lock is held as long as the port is meant to be ours: the console binds it a moment later,
    and two installations that start at once must not choose the same one.
    """
    for port in range(wanted, min(wanted + 100, 65536)):
        try:
            lock = (Path(tempfile.gettempdir()) / f"hangtag-port-{port}.lock").open("a")
        except OSError:
            continue  # another user's
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                probe.bind(("127.0.0.1", port))
                return port, lock
            except OSError:
                lock.close()
    raise UsageError(f"no free port from {wanted} on; name another with --port")


def _without_own(settings: WorkerSettings, data_dir: Path) -> WorkerSettings:
    """Leave out servers that are this directory's own: a terminal that ran `hangtag env`."""
    own: dict[str, None] = {}
    # Others' servers are asked for nothing: root may have nobody to run PostgreSQL as.
    named = settings.database_url or ""
    if "?host=" in named and named == EmbeddedPostgres(data_dir).url():
        own["database_url"] = None
    if settings.broker_url == EmbeddedValkey(data_dir).url:
        own["broker_url"] = None
    return settings.model_copy(update=own)


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string()
    except (ArgumentError, ValueError):  # whoever connects says what is wrong with it
        return "what it names"
