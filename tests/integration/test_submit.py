"""`hangtag submit`, `predict` and `model` on awkward files and folders."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from models.card import WEIGHTS, default_version
from tests.conftest import SAMPLES, run_sql
from worker.settings import WorkerSettings
from worker.supervisor import Supervisor

Hangtag = Callable[..., "subprocess.CompletedProcess[str]"]


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_an_unreadable_file_does_not_keep_the_others_out(hangtag: Hangtag, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    shutil.copy(SAMPLES / "polo_green.jpg", folder / "b.jpg")
    done = hangtag("submit", str(folder))
    assert done.returncode == 1
    assert len(lines(done)) == 1
    assert "a.jpg: there is no such file" in done.stderr


def test_names_that_are_no_utf8_go_all_the_way(hangtag: Hangtag, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.jpg"))
    shutil.copy(SAMPLES / "polo_green.jpg", odd)
    submitted = hangtag("submit", str(folder))
    assert submitted.returncode == 0, submitted.stderr
    predicted = hangtag("predict", str(folder), "--jsonl")
    assert predicted.returncode == 0, predicted.stderr
    [row] = lines(predicted)
    assert os.fsencode(str(row["path"])) == os.fsencode(odd)


def test_a_model_version_is_switched_and_switched_back(
    hangtag: Hangtag, settings: WorkerSettings, tmp_path: Path
) -> None:
    """The similarity view follows the active version."""
    first = default_version()
    weights = tmp_path / "weights"
    shutil.copytree(WEIGHTS, weights)
    shutil.copytree(weights / first, weights / "second")
    card = json.loads((weights / "second" / "card.json").read_text())
    (weights / "second" / "card.json").write_text(json.dumps({**card, "version": "second"}))

    def active() -> str:
        [(version,)] = run_sql(
            settings.require_url(), "SELECT version FROM hangtag_data.model_versions WHERE active"
        )
        [(view,)] = run_sql(
            settings.require_url(), "SELECT pg_get_viewdef('hangtag.image_embeddings')"
        )
        [(generation,)] = run_sql(
            settings.require_url(),
            "SELECT generation FROM hangtag_data.model_versions WHERE active",
        )
        assert f"ARRAY[{generation}, '-{generation}'::integer]" in str(view)
        return str(version)

    activated = hangtag("model", "activate", "second", HANGTAG_WEIGHTS=str(weights))
    assert activated.returncode == 0, activated.stderr
    assert active() == "second"
    assert hangtag("model", "rollback").returncode == 0
    assert active() == first
    missing = hangtag("model", "activate", "nothing", HANGTAG_WEIGHTS=str(weights))
    assert missing.returncode != 0
    assert missing.stderr.count("\n") == 1


def test_an_empty_argument_is_not_the_current_folder(hangtag: Hangtag) -> None:
    """A shell's empty variable must not hand in whatever lies around."""
    done = hangtag("submit", "")
    assert done.returncode == 2
    assert "an argument is empty" in done.stderr
    assert done.stdout == ""


def test_similar_names_the_label_that_was_probably_meant(hangtag: Hangtag) -> None:
    picture = str(SAMPLES / "polo_green.jpg")
    done = hangtag("similar", picture, "--sub-category", "Shoez")
    assert done.returncode == 2
    assert "there is no sub_category 'Shoez'; did you mean Shoes" in done.stderr
    lower = hangtag("similar", picture, "--article-type", "shirts")
    assert "did you mean Shirts" in lower.stderr
    assert hangtag("similar", picture, "--article-type", "Shirts").returncode == 0


def test_an_installation_says_which_servers_are_not_its_own(tmp_path: Path) -> None:
    """Without the password; and it says how to have one of its own."""
    settings = WorkerSettings(database_url="postgresql://me:secret@db.example/hangtag")
    [line] = Supervisor(tmp_path, settings, 1, 8080).not_ours()
    assert "HANGTAG_DATABASE_URL is set: postgresql://me:***@db.example/hangtag is used" in line
    assert "unset HANGTAG_DATABASE_URL" in line
    odd = WorkerSettings(broker_url="redis://host:port/0")
    assert "HANGTAG_BROKER_URL" in Supervisor(tmp_path, odd, 1, 8080).not_ours()[0]


def test_a_demo_leaves_what_the_environment_names_alone(
    hangtag: Hangtag, settings: WorkerSettings, tmp_path: Path
) -> None:
    """Its drawings would be uploads there, and wait for operators."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    shutil.copy(SAMPLES / "polo_green.jpg", pictures)
    done = hangtag(
        "demo", "--no-serve", "--images", str(pictures), "--data-dir", str(tmp_path / "demo")
    )
    assert done.returncode == 0, done.stderr
    assert "1 uploads in" in done.stdout
    assert "HANGTAG_DATABASE_URL is set and left alone" in done.stderr
    assert run_sql(settings.require_url(), "SELECT id FROM hangtag_data.uploads") == []
    assert list(settings.require_store().iterdir()) == []
