"""A real Celery worker on a real broker: nothing is lost, nothing doubled."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from celery import Celery
from sqlalchemy import Engine

from benchmarks.ingest import INCONSISTENT
from db.embedded import EmbeddedPostgres
from tests.conftest import SAMPLES, run_sql, wait_until
from worker.app import make_app
from worker.client import Client
from worker.delivery import UNREADABLE
from worker.settings import WorkerSettings
from worker.setup import migrate, register_folder

Start = Callable[..., "subprocess.Popen[bytes]"]
FINAL = "('tagged', 'review', 'dead')"


@pytest.fixture
def client(settings: WorkerSettings) -> Client:
    """A producer."""
    return Client(settings.require_url(), settings.require_broker(), settings.require_store())


def pictures(folder: Path, count: int) -> list[Path]:
    """Make some files out of a few samples; each is an upload of its own."""
    folder.mkdir()
    sources = [p for p in sorted(SAMPLES.glob("*.jpg")) if p.name != "damaged.jpg"]
    paths = [folder / f"{i:04}.jpg" for i in range(count)]
    for i, path in enumerate(paths):
        shutil.copy(sources[i % len(sources)], path)
    return paths


def count(settings: WorkerSettings, where: str = "true") -> int:
    [(number,)] = run_sql(
        settings.require_url(), f"SELECT count(*) FROM hangtag_data.uploads WHERE {where}"
    )
    return int(number)  # type: ignore[call-overload]


def all_final(settings: WorkerSettings, number: int) -> bool:
    return count(settings, f"status IN {FINAL}") == number


def test_a_killed_worker_child_loses_and_doubles_nothing(
    settings: WorkerSettings, client: Client, start: Start, tmp_path: Path
) -> None:
    """kill -9 in the middle of a batch; leases are short so that the reaper acts within seconds."""
    client.submit_files(pictures(tmp_path / "in", 300), source="test")
    short = {"HANGTAG_LEASE_SECONDS": "4", "HANGTAG_BATCH_SIZE": "16"}
    worker = start("worker", "--concurrency", "2", **short)
    start("reaper", **short)
    killed = 0
    for _ in range(2):
        before = count(settings, f"status IN {FINAL}")
        wait_until(
            lambda before=before: (  # type: ignore[misc]
                count(settings, f"status IN {FINAL}") > before
                and count(settings, "status = 'processing'") > 0
            ),
            what="a batch in hand",
        )
        children = psutil.Process(worker.pid).children()
        held = run_sql(
            settings.require_url(),
            "SELECT DISTINCT claimed_by FROM hangtag_data.uploads WHERE status = 'processing'",
        )
        holders = {int(str(row[0]).rsplit(":", 1)[1]) for row in held}
        for child in children:
            if child.pid in holders:
                os.kill(child.pid, signal.SIGKILL)
                killed += 1
                break
    assert killed
    wait_until(lambda: all_final(settings, 300), 120, "the end of all uploads")
    assert count(settings, "status = 'dead'") == 0
    assert run_sql(settings.require_url(), INCONSISTENT) == [(0,)]
    [(embedded,)] = run_sql(settings.require_url(), "SELECT count(*) FROM hangtag.image_embeddings")
    assert embedded == 300


@contextmanager
def stranger(settings: WorkerSettings) -> Iterator[None]:
    """Answer over the broker like a program that knows none of our questions."""
    app, done = make_app(settings), threading.Event()
    with app.connection_for_read() as connection:
        node = app.control.mailbox.Node("a-stranger@here", channel=connection.channel())
        node.listen(callback=node.handle_message)

        def answer() -> None:
            while not done.is_set():
                with suppress(TimeoutError):
                    connection.drain_events(timeout=0.1)

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def test_the_three_ways_in(
    settings: WorkerSettings,
    client: Client,
    start: Start,
    hangtag: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
) -> None:
    """Python, the Celery task by its name, and SQL: each ends tagged or in review, and counts."""
    from worker.storage import PictureStore

    store = PictureStore(settings.require_store())
    uris = [store.put(path).uri for path in pictures(tmp_path / "in", 3)]
    start("worker")
    start("reaper")
    client.submit(uris[0], source="python", external_id="1")
    producer = Celery(broker=settings.require_broker())
    producer.send_task("hangtag.ingest", args=[uris[1], "celery", "1"], queue="ingest")
    run_sql(settings.require_url(), f"SELECT hangtag.submit_upload('{uris[2]}', 'sql', '1', 0)")
    wait_until(lambda: all_final(settings, 3), what="the end of all uploads")
    sources = run_sql(
        settings.require_url(), "SELECT source FROM hangtag.upload_status ORDER BY source"
    )
    assert sources == [("celery",), ("python",), ("sql",)]
    assert count(settings, "status = 'dead'") == 0
    # A program of another kind, or a worker of another release, does not know the question.
    with stranger(settings):
        answer = json.loads(hangtag("metrics").stdout)
    assert answer["uploads"] == 3
    assert all(answer["milliseconds"][stage] > 0 for stage in ("queue", "decode", "write"))


def test_submitting_works_without_a_broker_and_the_reaper_catches_up(
    settings: WorkerSettings, start: Start, tmp_path: Path
) -> None:
    offline = Client(
        settings.require_url(),
        f"redis+socket://{tmp_path}/nobody.sock",
        settings.require_store(),
    )
    answers = offline.submit_files(pictures(tmp_path / "in", 3), source="test")
    assert all(answer.created for _, _, answer in answers)
    start("worker")
    start("reaper")
    wait_until(lambda: all_final(settings, 3), what="the end of all uploads")


def test_a_flushed_broker_loses_nothing(
    settings: WorkerSettings, client: Client, start: Start, tmp_path: Path
) -> None:
    client.submit_files(pictures(tmp_path / "in", 40), source="test")
    with make_app(settings).connection_for_write() as connection:
        connection.default_channel.client.flushall()
    start("worker")
    start("reaper")
    wait_until(lambda: all_final(settings, 40), what="the end of all uploads")


def test_sigterm_ends_a_worker_after_its_batch(
    settings: WorkerSettings, client: Client, start: Start, tmp_path: Path
) -> None:
    client.submit_files(pictures(tmp_path / "in", 200), source="test")
    worker = start("worker")
    wait_until(lambda: count(settings, f"status IN {FINAL}") > 0, what="a first batch")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0
    assert count(settings, "status = 'processing'") == 0


TASK = {"task": "hangtag.ingest", "lang": "py"}
#: What a sender that is no Celery might push; the first one Celery takes for a lost connection.
NO_MESSAGES: tuple[dict[str, object], ...] = (
    {"headers": TASK},
    {"headers": {**TASK, "id": "1"}, "body": "abc"},
    {"headers": "x"},
    {"headers": {}, "properties": {}},
    {"headers": {**TASK, "id": "2", "timelimit": ["x", None]}},
    {"headers": {**TASK, "id": "3", "stamped_headers": 5}},  # found when it has its place
)


def test_a_bad_task_message_harms_nobody(
    settings: WorkerSettings, client: Client, start: Start, tmp_path: Path
) -> None:
    producer = Celery(broker=settings.require_broker())
    producer.send_task("hangtag.ingest", args=["", "", ""], queue="ingest")
    for few in ([], ["file:///a"]):
        producer.send_task("hangtag.ingest", args=few, queue="ingest")
    producer.send_task("hangtag.ingest", kwargs={"url": "file:///a", "source": "s"}, queue="ingest")
    producer.send_task("hangtag.ingest", args=[0] * 100_000, queue="ingest")
    producer.send_task("hangtag.ingest", kwargs={"u" * 1_000_000: "x"}, queue="ingest")
    producer.send_task("hangtag.unknown", args=[], queue="ingest")
    for odd in (
        [{"a": 1}, "s", "1"],
        ["file:///a\0", "s", "1"],
        ["file:///a\ud800", "s", "1"],
        ["file:///a", "s", ["1"]],
        ["file:///a", "s", "1", "high"],
        ["file:///a", "s", "1", 10**30],
        ["file:///a", "s", "1", None],
        ["file:///a", "s" * 1_000_000, "1"],
        ["file:///a", "s", "".join(chr(0x4E00 + i * 7919 % 20_000) for i in range(2000))],
    ):
        producer.send_task("hangtag.ingest", args=odd, queue="ingest")
    with make_app(settings).connection_for_read() as connection:
        queue = connection.default_channel.client
        for number, one in enumerate(NO_MESSAGES):
            to = {"exchange": "", "routing_key": "ingest"}
            own = {"body_encoding": "base64", "delivery_tag": str(number), "delivery_info": to}
            queue.lpush("ingest", json.dumps({"body": "W10=", "properties": own, **one}))
    client.submit_files(pictures(tmp_path / "in", 2), source="test")
    start("worker")
    wait_until(lambda: all_final(settings, 2), what="the end of all uploads")
    with make_app(settings).connection_for_read() as connection:
        queue = connection.default_channel.client
        wait_until(lambda: queue.llen("ingest") + queue.hlen("unacked") == 0, what="all acks")
        assert queue.llen(UNREADABLE) == len(NO_MESSAGES)
    log = (tmp_path / "worker-0.log").read_text()
    assert log.count("was refused: ") == 15
    assert "Retry in" not in log
    assert len(log) < 40_000


def test_an_external_id_may_be_a_number(settings: WorkerSettings, start: Start) -> None:
    """Zero too, which is none of those that are missing."""
    producer = Celery(broker=settings.require_broker())
    for number in (0, 4711):
        producer.send_task(
            "hangtag.ingest", args=["file:///gone.jpg", "celery", number], queue="ingest"
        )
    start("worker")
    wait_until(lambda: all_final(settings, 2), what="the end of both uploads")
    names = run_sql(
        settings.require_url(), "SELECT external_id FROM hangtag.upload_status ORDER BY 1"
    )
    assert names == [("0",), ("4711",)]


def test_the_reaper_goes_on_without_a_broker(
    settings: WorkerSettings, client: Client, start: Start, tmp_path: Path
) -> None:
    """Leases are taken back as ever, and SIGTERM ends it within seconds."""
    client.submit_files(pictures(tmp_path / "in", 2), source="test")
    expire = (
        "UPDATE hangtag_data.uploads SET status = 'processing', attempt = 1, "
        "lease_until = now() - interval '1 second'"
    )
    run_sql(settings.require_url(), expire)
    reaper = start("reaper", HANGTAG_BROKER_URL=f"redis+socket://{tmp_path}/nobody.sock")
    wait_until(lambda: count(settings, "status = 'pending'") == 2, 20, "a first sweep")
    run_sql(settings.require_url(), expire)
    wait_until(lambda: count(settings, "status = 'pending'") == 2, 20, "a second sweep")
    reaper.send_signal(signal.SIGTERM)
    assert reaper.wait(15) == 0


def test_a_message_delivered_twice_is_one_upload(settings: WorkerSettings, start: Start) -> None:
    """Also without an external_id: the message's own id takes its place."""
    producer = Celery(broker=settings.require_broker())
    for _ in range(2):
        producer.send_task(
            "hangtag.ingest", args=["file:///gone.jpg", "celery"], queue="ingest", task_id="one"
        )
    start("worker")
    wait_until(lambda: all_final(settings, 1), what="the end of the upload")
    with make_app(settings).connection_for_read() as connection:
        client = connection.default_channel.client
        wait_until(lambda: client.llen("ingest") + client.hlen("unacked") == 0, what="both acks")
    assert count(settings) == 1


def test_a_message_that_comes_before_the_schema_is_kept(
    postgres: EmbeddedPostgres,
    settings: WorkerSettings,
    start: Start,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Handed in between the tables and the first model, its doorbell is answered in vain.

    The reaper, which waited for the schema too, rings again.
    """
    run_sql(postgres.url("postgres"), "CREATE DATABASE early")
    try:
        url = postgres.url("early")
        producer = Celery(broker=settings.require_broker())
        producer.send_task(
            "hangtag.ingest", args=["file:///gone.jpg", "celery", "1"], queue="ingest"
        )
        _name_an_exchange_that_nobody_bound(settings)
        worker = start("worker", HANGTAG_DATABASE_URL=url)
        reaper = start("reaper", HANGTAG_DATABASE_URL=url)
        time.sleep(5)  # both have tried, and were told that there are no tables

        def register_late(engine: Engine, folder: Path) -> str:
            wait_until(
                lambda: run_sql(url, "SELECT status FROM hangtag.upload_status") == [("pending",)],
                what="the hand-in",
            )
            time.sleep(1)  # time enough for the doorbell to be answered
            return register_folder(engine, folder)

        monkeypatch.setattr("worker.setup.register_folder", register_late)
        migrate(url)
        wait_until(
            lambda: run_sql(url, "SELECT status FROM hangtag.upload_status") == [("dead",)],
            what="the upload",
        )
        for process in (worker, reaper):
            process.terminate()
        for process in (worker, reaper):
            process.wait(30)
    finally:
        run_sql(postgres.url("postgres"), "DROP DATABASE early WITH (FORCE)")


def _name_an_exchange_that_nobody_bound(settings: WorkerSettings) -> None:
    """Celery puts a task off by the exchange that its message names."""
    with make_app(settings).connection_for_read() as connection:
        client = connection.default_channel.client
        message = json.loads(client.rpop("ingest"))
        message["properties"]["delivery_info"] = {"exchange": "celery", "routing_key": "celery"}
        client.lpush("ingest", json.dumps(message))
