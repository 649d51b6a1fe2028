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
        assert f"generation = {generation}" in str(view)
        return str(version)

    activated = hangtag("model", "activate", "second", HANGTAG_WEIGHTS=str(weights))
    assert activated.returncode == 0, activated.stderr
    assert active() == "second"
    assert hangtag("model", "rollback").returncode == 0
    assert active() == first
    missing = hangtag("model", "activate", "nothing", HANGTAG_WEIGHTS=str(weights))
    assert missing.returncode != 0
    assert missing.stderr.count("\n") == 1
