"""The README is true: every command and query in it runs, in a copy that was just cloned."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import settings_table
from tests.conftest import ROOT, SAMPLES, run_sql, wait_until

README = (ROOT / "README.md").read_text()
#: What the README calls them, and what the tests put there.
PLACES = ("~/photos", "~/hangtag", "~/fashion")
#: These run the tests themselves, need an engine, or train for an hour: the tests that stand for
#: them are named.
ELSEWHERE = {
    "./run demo": "tests/integration/test_readme.py::test_the_demo_serves_until_ctrl_c",
    "./run demo --images ~/photos": "tests/integration/test_readme.py::test_own_photographs",
    "./run test": "this very run",
    "./run check": ".ci/run",
    "./run faults --seed 1 --minutes 0.5 --uploads 150": "tests/faults/test_faults.py",
    "./run install train": "./run install test, which contains it",
    ".venv/bin/hangtag up --data-dir ~/hangtag --workers 2": "the fixture `installation`",
    ".venv/bin/hangtag data report --data ~/own.csv --out ~/report": "tests/unit/test_report.py",
    ".venv/bin/hangtag train --data ~/own.csv --run runs/own --version own-1": (
        "tests/integration/test_train.py"
    ),
    ".venv/bin/hangtag evaluate --data ~/own.csv --model own-1 --page ~/own-model.md": (
        "tests/integration/test_train.py"
    ),
    ".venv/bin/hangtag evaluate --data ~/own.csv --model own-1 --sheets ~/sheets": (
        "tests/integration/test_train.py"
    ),
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository as a newcomer has it: what git knows, nothing installed."""
    target = tmp_path_factory.mktemp("clone") / "hangtag"
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in listing.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


@pytest.fixture(scope="module")
def first_demo(clone: Path) -> subprocess.CompletedProcess[str]:
    """The first `./run demo --no-serve` in the clone, which installs."""
    return run(clone, "./run demo --no-serve", timeout=900)


def run(
    folder: Path, command: str, timeout: float = 120, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.mark.timeout(1000)
def test_the_demo_runs_in_a_fresh_clone(
    clone: Path, first_demo: subprocess.CompletedProcess[str]
) -> None:
    """It ends by itself with exit code 0, and has shown tags and a similarity query."""
    assert first_demo.returncode == 0, first_demo.stdout + first_demo.stderr
    assert "Published tags" in first_demo.stdout
    assert "undecodable" in first_demo.stdout
    assert "ORDER BY embedding <=>" in first_demo.stdout
    assert "drawings" in first_demo.stdout


@pytest.mark.timeout(1000)
@pytest.mark.usefixtures("first_demo")
def test_the_demo_installs_less_than_a_gigabyte_and_no_torch(clone: Path) -> None:
    venv = clone / ".venv"
    size = sum(p.lstat().st_size for p in venv.rglob("*") if not p.is_dir())
    assert size < 1_000_000_000, f"{size:,} bytes"
    assert not list(venv.glob("lib/python*/site-packages/torch"))


@pytest.mark.timeout(1000)
@pytest.mark.usefixtures("first_demo")
def test_the_second_demo_starts_in_seconds(clone: Path) -> None:
    started = time.monotonic()
    second = run(clone, "./run demo --no-serve")
    assert second.returncode == 0, second.stdout + second.stderr
    assert time.monotonic() - started < 60  # 6 s on an idle machine; the tests share it


@pytest.mark.timeout(1000)
@pytest.mark.usefixtures("first_demo")
def test_own_photographs(clone: Path, photos: Path) -> None:
    done = run(clone, f"./run demo --images {photos} --no-serve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "shoe.jpg" in done.stdout
    assert "drawings" not in done.stdout


@pytest.mark.timeout(1000)
@pytest.mark.usefixtures("first_demo")
def test_the_demo_serves_until_ctrl_c(clone: Path, tmp_path: Path) -> None:
    log = tmp_path / "demo.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["./run", "demo"], cwd=clone, stdout=output, stderr=output, start_new_session=True
        )
    wait_until(lambda: "Ctrl-C ends everything" in log.read_text(), 120, "the console's line")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    assert "password" in log.read_text()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's photographs."""
    folder = tmp_path_factory.mktemp("photos")
    shutil.copy(SAMPLES / "sneaker_red_canvas.jpg", folder / "shoe.jpg")
    shutil.copy(SAMPLES / "polo_green.jpg", folder / "polo.jpg")
    return folder


@pytest.fixture(scope="module")
def installation(
    clone: Path,
    first_demo: subprocess.CompletedProcess[str],
    photos: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[str], str]]:
    """`hangtag up` as the README starts it; returns a command with the README's places filled."""
    assert first_demo.returncode == 0
    data = tmp_path_factory.mktemp("data")
    places = {"~/photos": str(photos), "~/hangtag": str(data)}

    def fill(command: str) -> str:
        for name, place in places.items():
            command = command.replace(name, place)
        return command

    log = data / "up.log"
    with log.open("wb") as output:
        command = fill(".venv/bin/hangtag up --data-dir ~/hangtag --workers 2")
        process = subprocess.Popen(shlex.split(command), cwd=clone, stdout=output, stderr=output)
    wait_until(lambda: "Hangtag runs in" in log.read_text(), what="up")
    yield fill
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.timeout(1000)
def test_the_commands_run_as_they_stand(clone: Path, installation: Callable[[str], str]) -> None:
    """In their order, in one shell, as a reader would paste them."""
    pasted = [c for c in commands() if c not in ELSEWHERE]
    assert len(pasted) >= 8
    script = "set -e\n" + "\n".join(pasted)
    script = script.replace("operator add mira", "operator add mira --password-stdin")
    done = run(clone, installation(f"printf 'a-long-password\\n' >pw; exec <pw\n{script}"))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert {"operator": "mira", "role": "operator"} in lines
    assert sum("top5" in line for line in lines) == 2


@pytest.mark.timeout(1000)
def test_the_queries_run_as_a_reader(clone: Path, installation: Callable[[str], str]) -> None:
    printed = run(clone, installation(".venv/bin/hangtag env --data-dir ~/hangtag")).stdout
    [url] = [
        shlex.split(line)[1].split("=", 1)[1]
        for line in printed.splitlines()
        if "HANGTAG_DATABASE_URL" in line
    ]
    statements = [s for block in blocks("sql") for s in block.split(";") if s.strip()]
    assert len(statements) == 8
    for statement in statements:
        role = "hangtag_producer" if "submit_upload" in statement else "hangtag_reader"
        run_sql(f"{url}&options=-c%20role%3D{role}", statement)


@pytest.mark.timeout(1000)
def test_the_python_of_the_readme_runs(clone: Path, installation: Callable[[str], str]) -> None:
    code = "\n".join(blocks("python"))
    script = (
        'eval "$(.venv/bin/hangtag env --data-dir ~/hangtag)"\n'
        ".venv/bin/python - <<'CODE'\nimport os\n"
        "database_url = os.environ['HANGTAG_DATABASE_URL']\n"
        f"broker_url = os.environ['HANGTAG_BROKER_URL']\n{code}\nCODE"
    )
    done = run(clone, installation(script))
    assert done.returncode == 0, done.stderr


def test_every_command_is_run_somewhere() -> None:
    """A command that is added to the README is pasted by the test above, or is listed here."""
    for command, where in ELSEWHERE.items():
        assert command in commands(), f"{command} is no longer in the README"
        name = where.split("::")[0]
        if name.startswith("tests/"):
            assert (ROOT / name).exists(), where


def test_the_table_of_settings_is_up_to_date() -> None:
    """`python -m tests.settings_table` writes it."""
    assert settings_table.replace(README) == README


def test_linked_files_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if "://" not in target:
            assert (ROOT / target).exists(), target
