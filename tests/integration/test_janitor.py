"""The janitor: keeps few vectors fresh, gives way, comes back, and ends when it is told to."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from alembic import command
from sqlalchemy import Engine, text

from db import roles
from db.embedded import EmbeddedPostgres
from tests.check_migrations import alembic_config
from tests.conftest import run_sql, wait_until
from tests.integration.test_upgrade import old_url
from tests.integration.vectors import count_parts, insert_vectors
from worker.janitor import Janitor, work_share
from worker.settings import WorkerSettings

__all__ = ["old_url"]  # a fixture
KEPT = 20


@pytest.fixture
def as_worker(settings: WorkerSettings) -> WorkerSettings:
    """Settings with a worker's rights, as the reaper has them."""
    url = f"{settings.require_url()}&options=-c%20role%3D{roles.WORKER}"
    return settings.model_copy(update={"database_url": url})


@pytest.fixture
def janitor(as_worker: WorkerSettings) -> Iterator[Janitor]:
    """A janitor that keeps few vectors and looks often; it is not started yet."""
    made = Janitor(as_worker, kept=KEPT, step_rows=10)
    yield made
    if made._thread.is_alive():
        made.stop()


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth of a second where an installation waits two."""
    monkeypatch.setattr("worker.janitor.LOOK_SECONDS", 0.1)


@pytest.fixture(autouse=True)
def under_way(database_url: str) -> None:
    """An upload that waits: there is something better to do than to move the last ones."""
    run_sql(database_url, "SELECT hangtag.submit_upload('file:///x.jpg', 'x', 'x', 0)")


def is_tidy(engine: Engine, indexed: int) -> bool:
    return count_parts(engine) == (KEPT, indexed)


def test_what_is_too_much_is_moved_and_the_rest_stays_fresh(
    engine: Engine, janitor: Janitor
) -> None:
    insert_vectors(engine, 75)
    janitor.start()
    wait_until(lambda: is_tidy(engine, 55), what="moving")
    insert_vectors(engine, 25)
    wait_until(lambda: is_tidy(engine, 80), what="moving what came then")
    time.sleep(0.5)
    assert is_tidy(engine, 80)


@pytest.mark.parametrize("status", ["pending", "processing", "tagged"])
def test_when_no_upload_waits_all_are_moved(
    engine: Engine, janitor: Janitor, database_url: str, status: str
) -> None:
    """At rest a query reads nothing but the index. One that waits for its next try is no work."""
    insert_vectors(engine, 12)
    janitor.start()
    if status == "processing":
        run_sql(
            database_url,
            "UPDATE hangtag_data.uploads SET status = 'processing', lease_until = now() "
            "WHERE source = 'x'",
        )
    time.sleep(0.5)
    assert count_parts(engine) == (12, 0)
    change = {
        "pending": "available_at = now() + interval '1 hour'",
        "processing": "status = 'review', lease_until = NULL",
        "tagged": "status = 'tagged'",
    }
    run_sql(database_url, f"UPDATE hangtag_data.uploads SET {change[status]} WHERE source = 'x'")
    wait_until(lambda: count_parts(engine) == (0, 12), what="moving the last ones")


def test_it_works_more_the_more_there_is_to_move() -> None:
    little, more, much = (work_share(fresh, 4000) for fresh in (4010, 6000, 9000))
    assert (little, more, much) == (0.1, 0.5, 1.0)


def test_the_vectors_of_a_version_that_is_not_active_are_left_alone(
    engine: Engine, janitor: Janitor, database_url: str
) -> None:
    [(second,)] = run_sql(database_url, "SELECT hangtag_data.register_model('second', '{}')")
    assert isinstance(second, int)
    insert_vectors(engine, 50, second)
    insert_vectors(engine, 30)
    janitor.start()
    wait_until(lambda: is_tidy(engine, 10), what="moving")
    assert count_parts(engine, second) == (50, 0)


def test_two_janitors_take_turns(engine: Engine, as_worker: WorkerSettings) -> None:
    """The second one begins when the first is gone."""
    first, second = (Janitor(as_worker, kept=KEPT, step_rows=10) for _ in range(2))
    first.start()
    holds = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7230003"
    wait_until(lambda: run_sql(as_worker.require_url(), holds) == [(1,)], what="the lock")
    second.start()
    first.stop()
    insert_vectors(engine, 30)
    wait_until(lambda: is_tidy(engine, 10), what="the second one's turn")
    second.stop()
    assert run_sql(as_worker.require_url(), holds) == [(0,)]


def test_a_lost_connection_is_said_and_made_anew(
    engine: Engine, janitor: Janitor, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    janitor.start()
    locks = "SELECT {} FROM pg_locks WHERE locktype = 'advisory' AND objid = 7230003"
    wait_until(lambda: run_sql(database_url, locks.format("count(*)")) == [(1,)], what="the lock")
    run_sql(database_url, locks.format("pg_terminate_backend(pid)"))
    insert_vectors(engine, 30)
    wait_until(lambda: is_tidy(engine, 10), what="moving by the next connection")
    assert "janitor: the database does not answer" in caplog.text


def test_what_it_may_not_do_is_said_until_it_may(
    engine: Engine, janitor: Janitor, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_sql(database_url, "REVOKE UPDATE ON hangtag_data.embeddings FROM hangtag_worker")
    insert_vectors(engine, 30)
    janitor.start()
    wait_until(lambda: "janitor: this login may not do that" in caplog.text, what="the error")
    run_sql(database_url, "GRANT UPDATE ON hangtag_data.embeddings TO hangtag_worker")
    wait_until(lambda: is_tidy(engine, 10), what="moving")


def test_a_stop_is_quick_also_while_a_lock_is_waited_for(engine: Engine, janitor: Janitor) -> None:
    insert_vectors(engine, 30)
    with engine.begin() as connection:
        connection.execute(text("LOCK TABLE hangtag_data.uploads IN EXCLUSIVE MODE"))
        janitor.start()
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        wait_until(lambda: bool(connection.execute(waiting).scalar()), what="its waiting")
        began = time.monotonic()
        janitor.stop()
        assert time.monotonic() - began < 8
    assert count_parts(engine) == (30, 0)


def test_without_an_index_nothing_is_moved_and_it_is_said_once(
    engine: Engine, janitor: Janitor, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    run_sql(database_url, "DROP INDEX hangtag_data.embeddings_g1_hnsw_idx")
    insert_vectors(engine, 30)
    janitor.start()
    wait_until(lambda: "the index of generation 1 is missing" in caplog.text, what="the warning")
    time.sleep(0.5)
    assert caplog.text.count("is missing") == 1
    assert count_parts(engine) == (30, 0)
    run_sql(
        database_url,
        "CREATE INDEX embeddings_g1_hnsw_idx ON hangtag_data.embeddings_g1 "
        "USING hnsw (embedding halfvec_cosine_ops)",
    )
    wait_until(lambda: is_tidy(engine, 10), what="moving")


def test_on_a_database_that_is_not_migrated_yet_it_waits(
    postgres: EmbeddedPostgres,
    old_url: str,
    settings: WorkerSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """After an upgrade of programs the schema may come later."""
    command.upgrade(alembic_config(old_url), "0002")
    run_sql(old_url, "SELECT hangtag_data.register_model('one', '{}')")
    run_sql(old_url, "SELECT hangtag_data.activate_model('one')")
    janitor = Janitor(settings.model_copy(update={"database_url": old_url}), kept=KEPT)
    with caplog.at_level(logging.INFO):
        janitor.start()
        wait_until(lambda: "keeps 20 vectors fresh" in caplog.text, what="its start")
        time.sleep(0.5)
    janitor.stop()
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


def test_the_reaper_s_process_has_one(
    engine: Engine, start: Callable[..., subprocess.Popen[bytes]], settings: WorkerSettings
) -> None:
    insert_vectors(engine, 4120)
    reaper = start("reaper")
    wait_until(lambda: count_parts(engine) == (4000, 120), seconds=120, what="moving")
    began = time.monotonic()
    reaper.terminate()
    assert reaper.wait(30) == 0
    assert time.monotonic() - began < 20
