"""`hangtag up`: everything in one folder, ended by Ctrl-C, recovered after a hard kill."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import psycopg2
import pytest

from tests.conftest import ROOT, SAMPLES, run_sql, wait_until

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith("HANGTAG_")}
Up = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def up() -> Iterator[Up]:
    """Start `hangtag up` in a folder and wait until it is ready."""
    running: list[subprocess.Popen[bytes]] = []

    def run(folder: Path, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        folder.mkdir(exist_ok=True)
        with (folder / "up.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "worker", "up", "--data-dir", str(folder)],
                cwd=ROOT,
                env={**CLEAN, **(more or {})},
                stdout=log,
                stderr=log,
            )
        running.append(process)
        wait_until(
            lambda: (
                "Ctrl-C ends it." in (folder / "up.log").read_text() or process.poll() is not None
            ),
            what="up",
        )
        assert process.poll() is None, (folder / "up.log").read_text()
        return process

    yield run
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def environment(folder: Path) -> dict[str, str]:
    """Run `hangtag env` and read its exports as a shell would."""
    printed = subprocess.run(
        [sys.executable, "-m", "worker", "env", "--data-dir", str(folder)],
        cwd=ROOT,
        env=CLEAN,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    words = shlex.split(printed)
    return {**CLEAN, **dict(word.split("=", 1) for word in words if "=" in word)}


def hangtag(folder: Path, *arguments: str, ends_with: int = 0) -> list[dict[str, object]]:
    """Run a command against the installation in `folder`, from another folder."""
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments],
        cwd="/",
        env={**environment(folder), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == ends_with, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def processes_of(folder: Path) -> list[psutil.Process]:
    """All processes that name the folder on their command line or in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid():
                continue
            text = " ".join(process.cmdline()) + " ".join(process.environ().values())
            if str(folder) in text:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def test_the_whole_way_through_the_command_line(up: Up, tmp_path: Path) -> None:
    """Submit, wait, status, similar, dead letters, an operator; then Ctrl-C ends every process."""
    folder = tmp_path / "data"
    process = up(folder)
    names = ("polo_green.jpg", "tshirt_red_striped.jpg", "car.jpg", "damaged.jpg")
    paths = [str(SAMPLES / name) for name in names]
    rows = hangtag(folder, "submit", *paths, "--wait", ends_with=1)
    assert [row["path"] for row in rows] == paths
    assert [row["status"] for row in rows][2:] == ["review", "dead"]
    assert rows[3]["error_code"] == "undecodable"
    again = hangtag(folder, "submit", *paths)
    assert [row["id"] for row in again] == [row["id"] for row in rows]
    [status] = hangtag(folder, "status")
    assert status == {"pending": 0, "processing": 0, **_count(rows)}
    [one] = hangtag(folder, "status", str(rows[0]["id"]))
    assert one["tags"] == rows[0]["tags"]
    near = hangtag(folder, "similar", str(rows[0]["id"]), "-k", "1")
    assert near[0]["image_id"] == rows[1]["id"]  # another T-shirt, not a car
    assert hangtag(folder, "similar", paths[0], "-k", "1")[0]["image_id"] == rows[0]["id"]
    [dead] = hangtag(folder, "dead", "list")
    assert dead["image_id"] == rows[3]["id"]
    assert hangtag(folder, "dead", "requeue", "--all")[0]["id"] == rows[3]["id"]
    console = json.loads((folder / "up.json").read_text())["console"]
    wait_until(lambda: _answers(f"{console}healthz"), what="the console")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert processes_of(folder) == []
    said = (folder / "up.log").read_text().splitlines()
    assert [line.endswith("hangtag operator add NAME") for line in said].count(True) == 1
    assert said[-1] == "stopped"


def test_who_may_log_in_is_asked_for_until_there_is_somebody(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = up(folder)
    added = subprocess.run(
        [sys.executable, "-m", "worker", "operator", "add", "mira", "--password-stdin"],
        cwd=ROOT,
        env=environment(folder),
        input="long enough for a test\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert added.returncode == 0, added.stderr
    first.send_signal(signal.SIGTERM)
    first.wait(60)
    second = up(folder)
    second.send_signal(signal.SIGTERM)
    second.wait(60)
    assert "operator add" not in (folder / "up.log").read_text()


def test_a_terminal_that_led_to_an_installation_can_start_it_again(up: Up, tmp_path: Path) -> None:
    """After `eval "$(hangtag env …)"` the variables name its own servers, which are not there."""
    folder = tmp_path / "data"
    first = up(folder)
    led = environment(folder)
    first.send_signal(signal.SIGTERM)
    first.wait(60)
    up(folder, {name: led[name] for name in ("HANGTAG_DATABASE_URL", "HANGTAG_BROKER_URL")})
    assert "is set" not in (folder / "up.log").read_text()


def test_a_folder_without_pictures_ends_with_an_error(up: Up, tmp_path: Path) -> None:
    """A script that hands in the wrong folder is told so."""
    up(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    assert hangtag(tmp_path / "data", "submit", str(tmp_path / "empty"), ends_with=1) == []


def _count(rows: list[dict[str, object]]) -> dict[str, int]:
    final = ("tagged", "review", "dead")
    return {name: sum(row["status"] == name for row in rows) for name in final}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def test_a_hard_kill_leaves_no_process_and_the_next_start_recovers(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    process = up(folder)
    rows = hangtag(folder, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    process.kill()
    process.wait()
    wait_until(lambda: processes_of(folder) == [], what="the end of the orphans")
    up(folder)
    [status] = hangtag(folder, "status", str(rows[0]["id"]))
    assert status["status"] == rows[0]["status"]
    more = hangtag(folder, "submit", str(SAMPLES / "watch_steel_blue_dial.jpg"), "--wait")
    assert more[0]["status"] in ("tagged", "review")


def test_two_installations_do_not_disturb_each_other(up: Up, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    up(one)
    up(two)
    hangtag(one, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    assert sum(_statuses(hangtag(one, "status")[0])) == 1
    assert sum(_statuses(hangtag(two, "status")[0])) == 0
    consoles = {json.loads((f / "up.json").read_text())["console"] for f in (one, two)}
    assert len(consoles) == 2


def _statuses(row: dict[str, object]) -> list[int]:
    return [int(str(value)) for value in row.values()]


def test_a_process_that_ends_by_itself_is_started_again(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    process = up(folder)
    children = psutil.Process(process.pid).children()
    reaper = next(c for c in children if "reaper" in c.cmdline())
    reaper.kill()
    wait_until(
        lambda: any("reaper" in c.cmdline() for c in psutil.Process(process.pid).children()
                    if c.pid != reaper.pid and c.status() != psutil.STATUS_ZOMBIE),
        what="a new reaper",
    )  # fmt: skip


@pytest.mark.skipif(os.geteuid() != 0, reason="the server has another account under root alone")
def test_a_folder_above_that_is_closed_meanwhile_is_opened_again(up: Up, tmp_path: Path) -> None:
    """The server's account loses its files and ends; it comes back, with what was committed."""
    folder = tmp_path / "data"
    up(folder)
    rows = hangtag(folder, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    url = environment(folder)["HANGTAG_DATABASE_URL"]
    tmp_path.chmod(0o700)
    with pytest.raises(psycopg2.OperationalError):
        run_sql(url, "CHECKPOINT")
    wait_until(lambda: _queries(url), what="the database")
    [status] = hangtag(folder, "status", str(rows[0]["id"]))
    assert status["status"] == rows[0]["status"]
    more = hangtag(folder, "submit", str(SAMPLES / "watch_steel_blue_dial.jpg"), "--wait")
    assert more[0]["status"] in ("tagged", "review")


def _queries(url: str) -> bool:
    try:
        return run_sql(url, "SELECT 1") == [(1,)]
    except psycopg2.OperationalError:
        return False


def test_a_second_up_in_the_same_folder_is_refused_by_one_line(up: Up, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    up(folder)
    second = subprocess.run(
        [sys.executable, "-m", "worker", "up", "--data-dir", str(folder)],
        cwd=ROOT,
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert second.stderr.count("\n") == 1
    assert "another `hangtag up` runs" in second.stderr


@pytest.mark.parametrize("name", ["c++ 50% & a", "mein häng#tag?", "it's"])
def test_a_folder_may_be_called_anything(up: Up, tmp_path: Path, name: str) -> None:
    up(tmp_path / name)
    rows = hangtag(tmp_path / name, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    assert rows[0]["status"] in ("tagged", "review")


def test_a_start_that_was_killed_half_way_is_recovered(up: Up, tmp_path: Path) -> None:
    """initdb leaves a half-made cluster behind; the next start makes a new one."""
    half = tmp_path / "data" / "postgres.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    up(tmp_path / "data")
    assert sum(_statuses(hangtag(tmp_path / "data", "status")[0])) == 0


def test_a_very_deep_folder_works(up: Up, tmp_path: Path) -> None:
    """Sockets have a short limit on their path."""
    folder = tmp_path / ("deep" * 20) / ("er" * 20)
    folder.mkdir(parents=True)
    up(folder)
    rows = hangtag(folder, "submit", str(SAMPLES / "polo_green.jpg"), "--wait")
    assert rows[0]["status"] in ("tagged", "review")


def test_env_says_when_nothing_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", "env", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        env=CLEAN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "hangtag up --data-dir" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_database_that_is_away_gives_one_line(tmp_path: Path) -> None:
    """As with the exports of an installation that was stopped meanwhile."""
    for command in (["migrate"], ["status"], ["up", "--data-dir", str(tmp_path)]):
        done = subprocess.run(
            [sys.executable, "-m", "worker", *command],
            cwd=ROOT,
            env={**CLEAN, "HANGTAG_DATABASE_URL": "postgresql://postgres@/x?host=/nowhere"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        assert done.stderr.count("\n") == 1, done.stderr
        assert "the database does not answer" in done.stderr
        assert ("unset HANGTAG_DATABASE_URL" in done.stderr) == (command[0] == "up")


def test_a_data_directory_that_is_a_file_is_refused_by_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    done = subprocess.run(
        [sys.executable, "-m", "worker", "up", "--data-dir", str(tmp_path / "file")],
        cwd=ROOT,
        env=CLEAN,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert "file: File exists; --data-dir wants a folder" in line
