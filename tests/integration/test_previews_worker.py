"""Previews with a real worker: before the backlog's end, after a killer, without a doorbell."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from db.queries.previews import FRONT
from db.queries.uploads import requeue_dead
from db.session import make_engine, transaction
from tests.conftest import ROOT, SAMPLES, run_sql, wait_until
from tests.integration.drawings import drawn, outcomes, review, unsure, worker_engine
from tests.integration.test_worker import all_final, count
from worker.client import Client
from worker.settings import WorkerSettings

__all__ = ["review", "unsure", "worker_engine"]  # fixtures
Start = Callable[..., "subprocess.Popen[bytes]"]
#: What the model calls no fashion, so that all of it goes to review.
NO_FASHION = ("car.jpg", "cat.jpg", "mountain_lake.jpg")
#: Planted into each process: a picture so wide kills who draws its preview, as a bug in C would.
WIDTH = 333
PLANT = f"""
import os
from PIL import Image
shrink = Image.Image.thumbnail
def thumbnail(self, *arguments, **more):
    if self.width == {WIDTH}:
        os.kill(os.getpid(), 9)
    return shrink(self, *arguments, **more)
Image.Image.thumbnail = thumbnail
"""


def hand_in(settings: WorkerSettings, names: list[str]) -> None:
    """Hand in files of the store; those that are not there are made of what is no fashion."""
    store = settings.require_store()
    for number, name in enumerate(names):
        if not (store / name).exists():
            shutil.copy(SAMPLES / NO_FASHION[number % len(NO_FASHION)], store / name)
    client = Client(settings.require_url(), settings.require_broker(), store)
    client.submit_many([(store / name).as_uri() for name in names], "test", names)
    client.close()


def test_operators_have_pictures_while_a_backlog_runs_and_the_rest_comes_after_it(
    settings: WorkerSettings, start: Start
) -> None:
    batch, uploads = 8, 500
    hand_in(settings, [f"{number:03}.jpg" for number in range(uploads)])
    seen: list[tuple[int, int]] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.01):
            [(left, previews)] = run_sql(
                settings.require_url(),
                "SELECT (SELECT count(*) FROM hangtag_data.uploads "
                "WHERE status IN ('pending', 'processing')), "
                "(SELECT count(*) FROM hangtag_data.previews)",
            )
            seen.append((int(str(left)), int(str(previews))))

    looking = threading.Thread(target=look)
    looking.start()
    try:
        start("worker", HANGTAG_BATCH_SIZE=str(batch))
        wait_until(lambda: len(drawn(settings)) == uploads, 120, "all previews")
    finally:
        done.set()
        looking.join()
    beside = [previews for left, previews in seen if left]
    assert max(beside) >= FRONT, "operators would wait for the backlog's end"
    assert max(beside) < FRONT + batch, "uploads would wait for what no operator gets to"
    assert all_final(settings, uploads)


@pytest.mark.timeout(240)
def test_a_picture_that_kills_its_drawer_dies_alone_and_can_come_back(
    settings: WorkerSettings, start: Start, tmp_path: Path
) -> None:
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(PLANT)
    poison = settings.require_store() / "poison.jpg"
    with Image.open(SAMPLES / "cat.jpg") as picture:
        picture.resize((WIDTH, 300)).save(poison)
    hand_in(settings, ["poison.jpg", *(f"well-{number}.jpg" for number in range(4))])
    more = {
        "HANGTAG_LEASE_SECONDS": "5",
        "HANGTAG_MAX_ATTEMPTS": "3",
        "PYTHONPATH": f"{planted}:{ROOT}",
    }
    log = tmp_path / "worker-0.log"
    start("worker", **more)
    start("reaper", **more)
    wait_until(lambda: count(settings, "status = 'dead'") == 1, 120, "the end of the poison")
    wait_until(lambda: len(drawn(settings)) == 4, 30, "its neighbours")
    assert outcomes(settings)[0] == ("poison.jpg", "dead", "attempts_exhausted", ["withdrawn"])
    killed = "exited with 'signal 9 (SIGKILL)'"
    wait_until(lambda: log.read_text().count(killed) == 3, 30, "the last child's end")
    [(error,)] = run_sql(
        settings.require_url(), "SELECT error FROM hangtag.upload_status WHERE status = 'dead'"
    )
    assert str(error).startswith("its preview was begun 3 times and never ended")

    shutil.copy(SAMPLES / "cat.jpg", poison)
    engine = make_engine(settings.require_url())
    with transaction(engine) as session:
        assert len(requeue_dead(session, None)) == 1
    engine.dispose()
    wait_until(lambda: len(drawn(settings)) == 5, 60, "its preview")
    assert outcomes(settings)[0] == ("poison.jpg", "review", None, ["withdrawn", "open"])


def test_the_reaper_rings_for_previews_that_nobody_was_told_of(
    settings: WorkerSettings,
    start: Start,
    hangtag: Callable[..., subprocess.CompletedProcess[str]],
    review: Callable[..., list[str]],
) -> None:
    """The worker that wrote the items was killed before it could ring."""
    names = [f"{number}.jpg" for number in range(3)]
    review(*names)
    start("worker")
    time.sleep(5)
    assert drawn(settings) == []
    start("reaper")
    wait_until(lambda: drawn(settings) == names, 60, "the previews")
    hand_in(settings, ["later.jpg"])
    wait_until(lambda: "later.jpg" in drawn(settings), 60, "the preview of an upload")
    answer = json.loads(hangtag("metrics").stdout)
    assert answer["uploads"] == 1
    assert answer["milliseconds"]["preview"] > 0


def test_operators_have_pictures_beside_a_backlog_that_no_worker_serves(
    settings: WorkerSettings, start: Start, review: Callable[..., list[str]]
) -> None:
    """The back catalogue waits for a worker of its own; the others' lane is at rest."""
    names = [f"{number}.jpg" for number in range(3)]
    review(*names)
    run_sql(
        settings.require_url(),
        "SELECT hangtag.submit_upload('file:///old.jpg', 'test', 'old', CAST(-1 AS smallint))",
    )
    start("worker", "--lanes", "ingest")
    start("reaper")
    wait_until(lambda: drawn(settings) == names, 40, "the previews")
