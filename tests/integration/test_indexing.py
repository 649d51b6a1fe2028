"""`hangtag model index`: built in bulk, repaired where it was broken, whatever interrupted it."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from sqlalchemy import Engine, text

from db import roles
from db.queries.parts import get_index_state, may_index
from db.session import make_engine
from errors import TransientError, UsageError
from tests.conftest import run_sql, wait_until
from tests.integration.rows import scalar
from tests.integration.vectors import count_parts, insert_vectors
from worker.health import check
from worker.indexing import index_generation, make_indexing_engine
from worker.settings import WorkerSettings

Hangtag = Callable[..., "subprocess.CompletedProcess[str]"]
INDEX = "embeddings_g{}_hnsw_idx"


@pytest.fixture
def indexing(database_url: str) -> Iterator[Engine]:
    """An engine that may move and build."""
    made = make_indexing_engine(database_url)
    yield made
    made.dispose()


@pytest.fixture
def second(database_url: str) -> int:
    """A registered version that is not active."""
    [(number,)] = run_sql(database_url, "SELECT hangtag_data.register_model('second', '{}')")
    assert isinstance(number, int)
    return number


def state(engine: Engine, generation: int = 1) -> str:
    with engine.connect() as connection:
        return get_index_state(connection, generation)


def file_of(engine: Engine, generation: int = 1) -> int:
    """Return what changes when the index is built anew."""
    number: int = scalar(
        engine, f"SELECT '{'hangtag_data.' + INDEX.format(generation)}'::regclass::oid::bigint"
    )
    return number


def break_build(engine: Engine, database_url: str, name: str) -> None:
    """Leave behind what a concurrent build leaves that did not come to its end."""
    with engine.begin() as busy:
        # As a writer does; a build waits for all of them, and this one gives up.
        busy.execute(text("LOCK TABLE hangtag_data.embeddings_g1 IN ROW EXCLUSIVE MODE"))
        connection = psycopg2.connect(f"{database_url}&options=-c%20lock_timeout%3D300")
        connection.autocommit = True
        with connection.cursor() as cursor, pytest.raises(psycopg2.errors.LockNotAvailable):
            cursor.execute(
                f"CREATE INDEX CONCURRENTLY {name} ON hangtag_data.embeddings_g1 "
                "USING hnsw (embedding halfvec_cosine_ops)"
            )
        connection.close()


def test_of_a_version_that_is_not_active_all_is_built_in_bulk(
    engine: Engine, indexing: Engine, second: int
) -> None:
    insert_vectors(engine, 300, second)
    before = file_of(engine, second)
    assert index_generation(indexing, second, keep=False).built
    assert count_parts(engine, second) == (0, 300)
    assert state(engine, second) == "valid"
    assert file_of(engine, second) != before


def test_the_active_version_s_index_stays_in_use(engine: Engine, indexing: Engine) -> None:
    insert_vectors(engine, 120)
    before = file_of(engine)
    done = index_generation(indexing, 1, keep=True)
    assert (done.moved, done.built) == (120, False)
    assert file_of(engine) == before
    assert count_parts(engine) == (0, 120)


def test_few_fresh_ones_are_added_to_an_index_that_is_there(
    engine: Engine, indexing: Engine, second: int
) -> None:
    insert_vectors(engine, 90, second)
    assert index_generation(indexing, second, keep=False).built
    insert_vectors(engine, 10, second)
    assert not index_generation(indexing, second, keep=False).built
    assert count_parts(engine, second) == (0, 100)


@pytest.mark.parametrize("name", [INDEX.format(1), "embeddings_g1_hnsw_idx_ccnew"])
def test_a_broken_build_is_seen_and_removed(
    engine: Engine, settings: WorkerSettings, database_url: str, hangtag: Hangtag, name: str
) -> None:
    """Each write would pay for it, and no query uses it; also beside a valid one."""
    insert_vectors(engine, 30)
    if name == INDEX.format(1):
        run_sql(database_url, f"DROP INDEX hangtag_data.{name}")
    break_build(engine, database_url, name)
    assert state(engine) == "invalid"
    sick = check("vectors", settings)
    assert not sick.healthy
    assert "hangtag model index" in sick.found
    rows = {r["version"]: r for r in map(json.loads, hangtag("model", "list").stdout.splitlines())}
    [active] = [row for row in rows.values() if row["active"]]
    assert (active["index"], active["fresh"]) == ("invalid", 30)
    done = hangtag("model", "index")
    assert done.returncode == 0, done.stderr
    assert state(engine) == "valid"
    assert check("vectors", settings).healthy
    assert count_parts(engine) == (0, 30)
    leaf = "hangtag_data.embeddings_g1"
    indexes = "SELECT count(*) FROM pg_index WHERE indrelid = CAST(:leaf AS regclass)"
    assert scalar(engine, indexes, leaf=leaf) == 5


def test_a_killed_build_is_seen_and_the_same_command_repairs_it(
    engine: Engine,
    settings: WorkerSettings,
    start: Callable[..., subprocess.Popen[bytes]],
    hangtag: Hangtag,
) -> None:
    insert_vectors(engine, 50)
    with engine.connect() as busy:
        busy.execute(text("SELECT count(*) FROM hangtag_data.embeddings"))
        # The drop waits for the query above; so the index is there, and not valid any more.
        process = start("model", "index", "--rebuild")
        wait_until(lambda: state(engine) == "building", what="the rebuilding")
        assert check("vectors", settings).healthy
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    wait_until(lambda: state(engine) != "building", what="the lock's end")
    assert state(engine) in ("invalid", "missing")
    assert not check("vectors", settings).healthy
    assert hangtag("model", "index").returncode == 0
    assert state(engine) == "valid"
    assert count_parts(engine) == (0, 50)


def test_where_shared_memory_is_small_one_process_builds(
    engine: Engine,
    database_url: str,
    second: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """As in a container with 64 MB: so much is asked for that no machine has it."""
    name = scalar(engine, "SELECT current_database()")
    run_sql(database_url, f"ALTER DATABASE {name} SET maintenance_work_mem = '2000GB'")
    run_sql(
        database_url, f"ALTER TABLE hangtag_data.embeddings_g{second} SET (parallel_workers = 2)"
    )
    insert_vectors(engine, 200, second)
    indexing = make_indexing_engine(database_url)
    assert index_generation(indexing, second, keep=False).built
    indexing.dispose()
    assert "the index is built by one process" in caplog.text
    assert state(engine, second) == "valid"


def test_two_at_once_are_refused_and_a_worker_may_not(
    engine: Engine, indexing: Engine, database_url: str, second: int
) -> None:
    with engine.connect() as other:
        other.detach()  # closed at the end, and its lock with it
        other.execute(text("SELECT pg_advisory_lock(7230004)"))
        with pytest.raises(UsageError, match="another"):
            index_generation(indexing, 1, keep=True)
    insert_vectors(engine, 5, second)
    worker = make_engine(database_url, 2, roles.WORKER, {"hangtag.folding": "on"})
    with worker.connect() as connection:
        assert not may_index(connection, second)
    with indexing.connect() as connection:
        assert may_index(connection, second)
    with pytest.raises(TransientError, match="may not do that"):
        index_generation(worker, second, keep=False)
    worker.dispose()
    assert state(engine, second) == "valid"


def test_what_is_written_and_asked_meanwhile_is_all_there(
    engine: Engine, indexing: Engine, second: int
) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            insert_vectors(engine, 5, second)

    insert_vectors(engine, 500, second)
    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            index_generation(indexing, second, keep=False, rebuild=True)
    finally:
        stop.set()
        thread.join(30)
    fresh, indexed = count_parts(engine, second)
    assert indexed >= 500
    uploads = scalar(engine, "SELECT count(*) FROM hangtag_data.uploads")
    assert fresh + indexed == uploads
    assert state(engine, second) == "valid"


def test_an_unknown_version_is_named(hangtag: Hangtag) -> None:
    done = hangtag("model", "index", "nothing")
    assert done.returncode != 0
    assert done.stderr == (
        "hangtag: the database knows no version nothing; see `hangtag model list`\n"
    )
