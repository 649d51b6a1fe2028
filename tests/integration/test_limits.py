"""Pictures that hang or take too much memory, with a real worker."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.conftest import ROOT, SAMPLES, run_sql, wait_until
from worker.client import Client
from worker.settings import WorkerSettings

Start = Callable[..., "subprocess.Popen[bytes]"]
#: Planted into each process: a disk that never answers, and a decoder that keeps the interpreter
#: for itself, for files that say so by their names.
PLANT = """
import os, re, sys, time
real = os.open
def open(path, *arguments, **more):
    if b"hangs" in os.fsencode(path):
        time.sleep(3600)
    if b"spins" in os.fsencode(path):
        re.match(r"(a+)+$", "a" * 60 + "b")
    return real(path, *arguments, **more)
os.open = open
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight good pictures."""
    made = tmp_path / "in"
    made.mkdir()
    for number, path in enumerate(sorted(SAMPLES.glob("[hjps]*.jpg"))[:8]):
        shutil.copy(path, made / f"good-{number}.jpg")
    return made


@pytest.fixture
def plant(tmp_path: Path) -> str:
    """Return a PYTHONPATH with the faults."""
    planted = tmp_path / "planted"
    planted.mkdir()
    (planted / "sitecustomize.py").write_text(PLANT)
    return f"{planted}:{ROOT}"


def hand_in(settings: WorkerSettings, folder: Path) -> None:
    client = Client(settings.require_url(), settings.require_broker(), settings.require_store())
    names = sorted(path.name for path in folder.iterdir())
    client.submit_many([(folder / name).as_uri() for name in names], "test", names)
    client.close()


def outcomes(settings: WorkerSettings) -> dict[str, tuple[object, ...]]:
    rows = run_sql(
        settings.require_url(),
        "SELECT external_id, status, error_code, error, attempt FROM hangtag_data.uploads",
    )
    return {str(name): tuple(rest) for name, *rest in rows}


def is_good(outcome: tuple[object, ...]) -> bool:
    return outcome[0] in ("tagged", "review")


def all_good_are_done(settings: WorkerSettings) -> bool:
    return all(is_good(o) for name, o in outcomes(settings).items() if name.startswith("good"))


@pytest.mark.timeout(240)
def test_a_file_that_cannot_be_read_to_the_end_holds_nobody(
    settings: WorkerSettings, start: Start, folder: Path, plant: str
) -> None:
    """Its neighbours are tagged with their first attempt, long before the lease is over."""
    (folder / "a-hangs.jpg").touch()
    (folder / "b-hangs.jpg").touch()
    more = {
        "HANGTAG_FILE_ROOTS": str(folder),
        "HANGTAG_PICTURE_SECONDS": "1",
        "HANGTAG_MAX_ATTEMPTS": "2",
        "HANGTAG_RETRY_SECONDS": "1",
        "PYTHONPATH": plant,
    }
    hand_in(settings, folder)
    start("reaper", **more)
    worker = start("worker", **more)
    wait_until(lambda: all_good_are_done(settings), 60, "the neighbours")
    wait_until(
        lambda: all(
            o[0] != "pending" and o[0] != "processing" for o in outcomes(settings).values()
        ),
        90,
        "the end of those that hang",
    )
    found = outcomes(settings)
    for name in ("a-hangs.jpg", "b-hangs.jpg"):
        status, code, error, attempt = found[name]
        assert (status, code, attempt) == ("dead", "attempts_exhausted", 2)
        assert error == "reading and decoding took longer than 1 s (HANGTAG_PICTURE_SECONDS)"
    assert {o[3] for name, o in found.items() if name.startswith("good")} == {1}
    assert worker.poll() is None
    # The process with the stuck threads has gone; the next one works.
    shutil.copy(folder / "good-0.jpg", folder / "good-later.jpg")
    hand_in(settings, folder)
    wait_until(lambda: all_good_are_done(settings), 60, "a later picture")
    for child in psutil.Process(worker.pid).children():
        assert child.num_threads() < 40


@pytest.mark.timeout(240)
def test_a_decoder_that_lets_nobody_else_run_is_killed_with_the_lease(
    settings: WorkerSettings, start: Start, folder: Path, plant: str
) -> None:
    """No thread of the process can act then; Celery's hard limit does, and neighbours come back."""
    (folder / "a-spins.jpg").touch()
    more = {
        "HANGTAG_FILE_ROOTS": str(folder),
        "HANGTAG_LEASE_SECONDS": "8",
        "HANGTAG_MAX_ATTEMPTS": "2",
        "HANGTAG_RETRY_SECONDS": "1",
        "PYTHONPATH": plant,
    }
    hand_in(settings, folder)
    start("reaper", **more)
    worker = start("worker", **more)
    wait_until(lambda: outcomes(settings)["a-spins.jpg"][0] == "dead", 150, "its end")
    wait_until(lambda: all_good_are_done(settings), 60, "the neighbours")
    status, code, error, attempt = outcomes(settings)["a-spins.jpg"]
    assert (status, code, attempt) == ("dead", "attempts_exhausted", 2)
    assert "it was killed or hung" in str(error)
    assert worker.poll() is None


def large_picture(folder: Path) -> None:
    """Add a picture whose loading takes 420 MiB beside what its process holds.

    A preview of 4096 pixels takes 760 MiB, since it is converted at full size.
    """
    Image.new("RGBA", (9400, 9400), (1, 2, 3, 4)).save(folder / "large.png")


def memory_settings(folder: Path, megabytes: int) -> dict[str, str]:
    """Return the environment of workers that may have so much memory (MiB)."""
    return {
        "HANGTAG_FILE_ROOTS": str(folder),
        "HANGTAG_CHILD_MEMORY_MB": str(megabytes),
        "HANGTAG_MAX_PIXELS": "89000000",
        "HANGTAG_MAX_ATTEMPTS": "2",
        "HANGTAG_RETRY_SECONDS": "1",
        "HANGTAG_PREVIEW_SIDE": "4096",
    }


def children_of(worker: subprocess.Popen[bytes]) -> set[int]:
    """Return the ids of its processes: the same ones as before where none was killed."""
    return {child.pid for child in psutil.Process(worker.pid).children()}


OUT_OF_MEMORY = "out of memory; HANGTAG_CHILD_MEMORY_MB may limit it"


@pytest.mark.timeout(240)
def test_a_picture_too_large_to_load_is_tried_again_and_fails_alone(
    settings: WorkerSettings, start: Start, folder: Path
) -> None:
    """A full batch came before it: the network has set aside 400 MiB, so 240 are left."""
    for number in range(8, WorkerSettings().batch_size):
        shutil.copy(folder / f"good-{number % 8}.jpg", folder / f"good-{number}.jpg")
    more = memory_settings(folder, 640)
    hand_in(settings, folder)
    start("reaper", **more)
    worker = start("worker", "--concurrency", "1", **more)
    wait_until(lambda: all_good_are_done(settings), 60, "the full batch")
    children = children_of(worker)
    large_picture(folder)
    for number in range(4):
        shutil.copy(folder / f"good-{number}.jpg", folder / f"good-beside-{number}.jpg")
    hand_in(settings, folder)
    wait_until(lambda: outcomes(settings)["large.png"][0] == "dead", 60, "its end")
    wait_until(lambda: all_good_are_done(settings), 60, "the neighbours")
    assert outcomes(settings)["large.png"] == ("dead", "attempts_exhausted", OUT_OF_MEMORY, 2)
    assert children_of(worker) == children
    assert {o[3] for name, o in outcomes(settings).items() if name.startswith("good")} == {1}


@pytest.mark.timeout(240)
def test_a_picture_too_large_to_draw_is_tagged_and_its_preview_fails_alone(
    settings: WorkerSettings, start: Start, folder: Path
) -> None:
    """Some 600 MiB are left beside the network: enough to load it, too little for its preview."""
    large_picture(folder)
    more = memory_settings(folder, 930)
    hand_in(settings, folder)
    start("reaper", **more)
    worker = start("worker", "--concurrency", "1", **more)
    wait_until(lambda: all_good_are_done(settings), 60, "the neighbours")
    children = children_of(worker)
    wait_until(lambda: outcomes(settings)["large.png"][0] == "dead", 60, "its end")
    reason = f"its preview: {OUT_OF_MEMORY}"
    assert outcomes(settings)["large.png"] == ("dead", "attempts_exhausted", reason, 1)
    [(predicted,)] = run_sql(
        settings.require_url(),
        "SELECT count(*) FROM hangtag_data.predictions AS p JOIN hangtag_data.uploads AS u "
        "ON u.id = p.upload_id WHERE u.external_id = 'large.png'",
    )
    assert predicted == 1
    assert children_of(worker) == children
    assert {o[3] for name, o in outcomes(settings).items() if name.startswith("good")} == {1}
