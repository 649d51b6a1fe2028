"""SIGTERM: what has begun is finished, the rest is handed back at once, exit code 0."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from db.embedded import spawn, stop_process
from tests.conftest import ROOT, run_sql, wait_until
from tests.faults.launch import SLOW_FLAG, SLOW_SECONDS
from tests.integration.drawings import drawn, review, unsure, worker_engine
from tests.integration.test_worker import all_final, count, pictures
from worker.app import make_app
from worker.bell import ring
from worker.client import Client
from worker.settings import WorkerSettings

__all__ = ["review", "unsure", "worker_engine"]  # fixtures
UPLOADS, BATCH, THREADS = 60, 30, 2


def test_a_stopped_worker_hands_back_what_has_not_begun(
    settings: WorkerSettings, environment: dict[str, str], tmp_path: Path
) -> None:
    """The store is so slow that a whole batch takes longer than the worker may take to stop."""
    store = settings.require_store()
    client = Client(settings.require_url(), settings.require_broker(), store)
    client.submit_files(pictures(tmp_path / "in", UPLOADS), source="test")
    env = {
        **environment,
        "HANGTAG_BATCH_SIZE": str(BATCH),
        "HANGTAG_DECODE_THREADS": str(THREADS),
        "PYTHONPATH": str(ROOT),
    }
    (store / SLOW_FLAG).touch()
    worker = [sys.executable, "-m", "tests.faults.launch", "all", "worker"]
    first = spawn(worker, tmp_path / "first.log", env=env)
    try:
        wait_until(lambda: count(settings, "status = 'processing'") == BATCH, what="a batch")
        time.sleep(SLOW_SECONDS)  # some have begun
        told = time.monotonic()
        first.send_signal(signal.SIGTERM)
        assert first.wait(60) == 0
        assert time.monotonic() - told < SLOW_SECONDS * BATCH / THREADS / 2
    finally:
        stop_process(first, signal.SIGKILL, 10)
    assert count(settings, "status = 'processing'") == 0
    finished = count(settings, "status IN ('tagged', 'review')")
    assert 0 < finished < BATCH
    # Handed back, not failed: it is claimed with others at once, and has lost no try.
    rows = run_sql(
        settings.require_url(),
        "SELECT attempt - attempts_before, available_at <= now(), claimed_by, error "
        "FROM hangtag_data.uploads WHERE status = 'pending' AND attempt > 0",
    )
    assert rows == [(0, True, None, None)] * (BATCH - finished)

    (store / SLOW_FLAG).unlink()
    second = spawn([*worker[:-1], "worker"], tmp_path / "second.log", env=env)
    reaper = spawn([sys.executable, "-m", "worker", "reaper"], tmp_path / "reaper.log", env=env)
    try:
        wait_until(lambda: all_final(settings, UPLOADS), what="the rest")
    finally:
        for process in (second, reaper):
            stop_process(process, signal.SIGTERM, 30)
    assert count(settings, "status = 'dead'") == 0


def test_a_stopped_worker_ends_the_drawings_it_has_begun_and_no_more(
    settings: WorkerSettings,
    environment: dict[str, str],
    tmp_path: Path,
    review: Callable[..., list[str]],
) -> None:
    store = settings.require_store()
    review(*(f"{number:02}.jpg" for number in range(BATCH)))
    (store / SLOW_FLAG).touch()
    env = {
        **environment,
        "HANGTAG_BATCH_SIZE": str(BATCH),
        "HANGTAG_DECODE_THREADS": str(THREADS),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "tests.faults.launch", "all", "worker"]
    worker = spawn(command, tmp_path / "worker.log", env=env)
    ring(make_app(settings), "ingest", 1, BATCH)
    owing = "SELECT count(*) FROM hangtag_data.review_items WHERE preview_due > now()"
    try:
        wait_until(lambda: run_sql(settings.require_url(), owing) != [(0,)], what="a drawing")
        told = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
        assert time.monotonic() - told < SLOW_SECONDS * BATCH / THREADS / 2
    finally:
        stop_process(worker, signal.SIGKILL, 10)
    assert run_sql(settings.require_url(), owing) == [(0,)]
    assert 0 < len(drawn(settings)) < BATCH
    tries = "SELECT DISTINCT preview_tries, preview_due IS NULL FROM hangtag_data.review_items"
    assert sorted(run_sql(settings.require_url(), tries)) == [(0, False), (1, True)]


#: The lock is what a handler holds that is interrupted while it sends Celery's signal.
SECOND_WITHIN_THE_FIRST = """
import os, signal
from types import SimpleNamespace
from celery.apps.worker import install_worker_term_handler
from celery.signals import worker_shutting_down
from celery.worker import state
import worker.tasks
install_worker_term_handler(SimpleNamespace(hostname="worker"))
with worker_shutting_down.lock:
    os.kill(os.getpid(), signal.SIGTERM)
assert state.should_stop == 0, state.should_stop
"""


def test_a_second_sigterm_within_the_first_hangs_nothing() -> None:
    """They come so when a supervisor and its group are told at once."""
    subprocess.run(
        [sys.executable, "-c", SECOND_WITHIN_THE_FIRST], cwd=ROOT, timeout=60, check=True
    )


def test_an_idle_worker_told_many_times_stops_at_once(
    settings: WorkerSettings, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    worker = spawn([sys.executable, "-m", "worker", "worker"], log, env=environment)
    try:
        wait_until(lambda: "ready." in log.read_text(), what="the worker")
        for _ in range(20):
            worker.send_signal(signal.SIGTERM)
        assert worker.wait(30) == 0
    finally:
        stop_process(worker, signal.SIGKILL, 10)
