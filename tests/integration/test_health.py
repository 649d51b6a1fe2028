"""`hangtag health`: progress, not living processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from db.embedded import EmbeddedPostgres
from tests.conftest import SAMPLES, run_sql, wait_until
from tests.integration.test_up import CLEAN, Up, environment, up
from tests.integration.test_up import hangtag as hangtag_in
from tests.integration.test_worker import all_final
from worker.app import LANES, make_app
from worker.client import Client
from worker.settings import WorkerSettings

Start = Callable[..., "subprocess.Popen[bytes]"]
Hangtag = Callable[..., "subprocess.CompletedProcess[str]"]
STALL_SECONDS = 4.0
PARTS = ("database", "broker", "reaper", "worker", "vectors")
__all__ = ["up"]  # a fixture


def cancel_consumers(settings: WorkerSettings) -> None:
    """Leave a worker alive and answering, but deaf to its queues, as a lost consumer does."""
    app = make_app(settings)
    for lane in LANES:
        wait_until(
            lambda lane=lane: bool(app.control.cancel_consumer(lane, reply=True)),  # type: ignore[misc]
            what="the worker's answer",
        )


def parts(done: subprocess.CompletedProcess[str]) -> dict[str, bool]:
    return {row["part"]: row["healthy"] for row in map(json.loads, done.stdout.splitlines())}


def test_a_worker_that_lives_but_takes_nothing_is_found(
    settings: WorkerSettings, start: Start, hangtag: Hangtag, tmp_path: Path
) -> None:
    more = {
        "HANGTAG_PROGRESS_FILE": str(tmp_path / "worker.progress"),
        "HANGTAG_STALL_SECONDS": str(STALL_SECONDS),
    }
    start("worker", **more)
    start("reaper", **more)
    client = Client(settings.require_url(), settings.require_broker(), settings.require_store())
    client.submit_files([SAMPLES / "polo_green.jpg"], source="test")
    wait_until(lambda: all_final(settings, 1), what="a tag")
    well = hangtag("health", **more)
    assert well.returncode == 0, well.stderr
    assert parts(well) == dict.fromkeys(PARTS, True)

    cancel_consumers(settings)
    client.submit_files([SAMPLES / "watch_steel_blue_dial.jpg"], source="test")
    time.sleep(STALL_SECONDS + 1)
    sick = hangtag("health", "worker", **more)
    assert sick.returncode == 1
    assert parts(sick) == {"worker": False}
    assert sick.stderr.startswith("hangtag: worker: uploads wait for ")
    assert len(sick.stderr.splitlines()) == 1
    unseen = hangtag("health", "worker", HANGTAG_STALL_SECONDS=str(STALL_SECONDS))
    assert unseen.returncode == 1, "without the file, that nobody holds a claim tells it too"


def test_a_worker_of_one_lane_is_not_blamed_for_the_other(
    settings: WorkerSettings, start: Start, hangtag: Hangtag, tmp_path: Path
) -> None:
    more = {
        "HANGTAG_PROGRESS_FILE": str(tmp_path / "worker.progress"),
        "HANGTAG_STALL_SECONDS": "1",
    }
    start("worker", "--lanes", "ingest", **more)
    client = Client(settings.require_url(), settings.require_broker(), settings.require_store())
    client.submit_files([SAMPLES / "polo_green.jpg"], source="test", priority=-1)
    wait_until(lambda: hangtag("health", "worker", **more).returncode == 0, what="the worker")
    time.sleep(2)
    assert hangtag("health", "worker", **more).returncode == 0


@pytest.mark.parametrize(
    ("part", "name"),
    [("database", "HANGTAG_DATABASE_URL"), ("broker", "HANGTAG_BROKER_URL")],
)
def test_a_server_that_is_away_is_told_by_one_line(hangtag: Hangtag, part: str, name: str) -> None:
    scheme = {"database": "postgresql", "broker": "redis"}[part]
    done = hangtag("health", part, **{name: f"{scheme}://127.0.0.1:9/0"})
    assert done.returncode == 1
    assert parts(done) == {part: False}
    assert f"hangtag: {part}: the {part} does not answer" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_nothing_runs_at_all(hangtag: Hangtag) -> None:
    done = hangtag("health")
    assert done.returncode == 1
    sick = {"reaper": False, "worker": False}
    assert parts(done) == {**dict.fromkeys(PARTS, True), **sick}
    assert "hangtag reaper" in done.stderr
    assert "hangtag worker" in done.stderr


def test_a_part_that_does_not_exist_is_refused(hangtag: Hangtag) -> None:
    done = hangtag("health", "weather")
    assert done.returncode == 2
    assert "database, broker, reaper, worker" in done.stderr


def test_up_restarts_a_worker_that_takes_nothing(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    monkeypatch.setitem(CLEAN, "HANGTAG_STALL_SECONDS", str(STALL_SECONDS))
    process = up(folder)
    hangtag_in(folder, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    old = worker_of(process.pid)
    own = environment(folder)
    cancel_consumers(
        WorkerSettings(
            broker_url=own["HANGTAG_BROKER_URL"], database_url=own["HANGTAG_DATABASE_URL"]
        )
    )
    [row] = hangtag_in(folder, "submit", str(SAMPLES / "watch_steel_blue_dial.jpg"), "--wait")
    assert row["status"] in ("tagged", "review")
    assert worker_of(process.pid) != old
    assert "none has been taken" in (folder / "up.log").read_text()


def test_up_lets_a_worker_start_that_finds_an_old_backlog(
    up: Up, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took nothing for long, since it was not there: that is no reason to end it."""
    folder = tmp_path / "data"
    monkeypatch.setitem(CLEAN, "HANGTAG_STALL_SECONDS", "8")
    first = up(folder)
    hangtag_in(folder, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    own = environment(folder)["HANGTAG_DATABASE_URL"]
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    os.utime(folder / "worker.progress", (0, 0))
    server = EmbeddedPostgres(folder)
    server.start()
    run_sql(
        own,
        "UPDATE hangtag_data.uploads SET status = 'pending', finished_at = NULL, "
        "available_at = now() - interval '1 day'",
    )
    server.stop()
    again = up(folder)
    worker = worker_of(again.pid)
    [row] = hangtag_in(folder, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    assert row["status"] in ("tagged", "review")
    assert worker_of(again.pid) == worker
    assert "restarted" not in (folder / "up.log").read_text()


def test_a_worker_of_another_name_is_found_by_its_file(
    settings: WorkerSettings, start: Start, hangtag: Hangtag, tmp_path: Path
) -> None:
    more = {"HANGTAG_PROGRESS_FILE": str(tmp_path / "worker.progress")}
    before = hangtag("health", "worker", **more)
    assert before.returncode == 1
    assert "no worker has begun" in before.stderr
    start("worker", "--name", "second@%h", **more)
    wait_until(lambda: hangtag("health", "worker", **more).returncode == 0, what="the worker")


def worker_of(pid: int) -> int:
    [worker] = [
        child.pid
        for child in psutil.Process(pid).children()
        if child.pid != os.getpid() and "worker" in child.cmdline()[3:]
    ]
    return worker
