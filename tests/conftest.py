"""Fixtures: real PostgreSQL and Valkey, one server a session, a fresh database a test."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from sqlalchemy import Engine
from xdist.scheduler import LoadScopeScheduling

from db.embedded import EmbeddedPostgres, spawn, stop_process
from db.session import make_engine
from worker.broker import EmbeddedValkey
from worker.settings import WorkerSettings
from worker.setup import migrate

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = ROOT / "samples" / "pictures"
TEMPLATE = "hangtag_template"
PREFIX = "hangtag-tests-"
#: Modules whose tests start workers and wait for what they do.
WAITING = frozenset(
    f"test_{name}"
    for name in (
        "backfill", "fresh_vectors", "health", "indexing", "janitor", "limits", "missing_weights",
        "previews_worker", "readme", "up", "upgrade", "upgrade_fresh", "worker",
    )
)  # fmt: skip

# What the caller has set for a running Hangtag must not reach the tests.
for name in [n for n in os.environ if n.startswith("HANGTAG_")]:
    del os.environ[name]


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give each run a temporary folder of its own.

    pytest's common one is closed to all but its owner each time that a run begins; under root the
    servers of a run beside it, which have another account, lose their files then.
    """
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix=PREFIX)


class TwoStreams(LoadScopeScheduling):
    """One runner has all tests that wait for workers, the others what is left, file by file.

    Beside each other those tests would measure what the machine is busy with.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = Path(nodeid.partition("::")[0])
        waits = file.parent.name == "faults" or file.stem in WAITING
        return "waiting" if waits else str(file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Share tests out between several runners (`-n`)."""
    return TwoStreams(config, log)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Remove the run's folder; after a failure it stays, with the logs."""
    folder = Path(session.config.option.basetemp)
    if exitstatus == pytest.ExitCode.OK and folder.name.startswith(PREFIX):
        shutil.rmtree(folder, ignore_errors=True)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say where the logs of a failed run lie."""
    if exitstatus != pytest.ExitCode.OK:
        terminalreporter.write_line(f"logs and files of this run: {config.option.basetemp}")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Block sockets: all of them in unit tests, all but this machine's elsewhere."""
    from pytest_socket import disable_socket, socket_allow_hosts

    if "PYTEST_XDIST_WORKER" in os.environ and (torch := sys.modules.get("torch")):
        torch.set_num_threads(1)  # threads that wait for each other lose more than their share
    if "unit" in Path(item.path).parts:
        disable_socket()
    else:
        socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)


def pytest_runtest_teardown() -> None:
    """Give sockets back to fixtures that end later."""
    from pytest_socket import enable_socket

    enable_socket()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A real server with a migrated template database that knows the shipped model."""
    server = EmbeddedPostgres(
        tmp_path_factory.mktemp("pg"),
        # Nothing here outlives the session, so nothing need reach the disk.
        settings=["fsync=off", "synchronous_commit=off", "full_page_writes=off"],
    )
    server.start()
    run_sql(server.url("postgres"), f"CREATE DATABASE {TEMPLATE}")
    migrate(server.url(TEMPLATE))
    yield server
    server.stop()


@pytest.fixture
def database_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """URL of a fresh database, as superuser."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    run_sql(postgres.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    run_sql(postgres.url(name), "SELECT hangtag_data.set_database()")
    yield postgres.url(name)
    run_sql(postgres.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on the fresh database, as superuser."""
    made = make_engine(database_url, pool_size=4)
    yield made
    made.dispose()


@pytest.fixture
def owner(database_url: str) -> Iterator[Engine]:
    """Fill the database for tests of the review; an engine of one who may do everything."""
    from tests.integration.rows import insert_world

    engine = make_engine(database_url)
    insert_world(engine)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    """A real broker."""
    server = EmbeddedValkey(tmp_path_factory.mktemp("vk"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def broker_url(valkey: EmbeddedValkey) -> str:
    """URL of the broker, emptied."""
    redis.Redis(unix_socket_path=str(valkey.socket)).flushall()
    return valkey.url


@pytest.fixture
def settings(database_url: str, broker_url: str, tmp_path: Path) -> WorkerSettings:
    """Settings of a small installation on the fresh database."""
    store = tmp_path / "store"
    store.mkdir()
    return WorkerSettings(
        database_url=database_url, broker_url=broker_url, store=store, reap_seconds=0.3
    )


@pytest.fixture
def environment(settings: WorkerSettings) -> dict[str, str]:
    """The same settings for other processes."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")}
    return {
        **clean,
        "HANGTAG_DATABASE_URL": settings.require_url(),
        "HANGTAG_BROKER_URL": settings.require_broker(),
        "HANGTAG_STORE": str(settings.store),
        "HANGTAG_REAP_SECONDS": str(settings.reap_seconds),
    }


@pytest.fixture
def start(
    environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `hangtag …` in the background: start("worker", "--concurrency", "2", NAME="value")."""
    running: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, **more: str) -> subprocess.Popen[bytes]:
        log = tmp_path / f"{arguments[0]}-{len(running)}.log"
        command = [sys.executable, "-m", "worker", *arguments]
        process = spawn(command, log, env={**environment, "PYTHONPATH": str(ROOT), **more})
        running.append(process)
        return process

    yield run
    for process in reversed(running):
        stop_process(process, signal.SIGTERM, seconds=30)


@pytest.fixture
def hangtag(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `hangtag …` to its end: hangtag("status")."""

    def run(
        *arguments: str, stdin: str | None = None, timeout: float = 120, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            capture_output=True,
            text=True,
            input=stdin,
            timeout=timeout,
            cwd=ROOT,
            env={**environment, **more},
            check=False,
        )

    return run


def run_sql(url: str, statement: str) -> list[tuple[object, ...]]:
    """Run one statement over a connection of its own, outside a transaction."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def wait_until(condition: Callable[[], bool], seconds: float = 60.0, what: str = "it") -> None:
    """Wait for a condition; fail with its name where it does not come."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen within {seconds} s")
