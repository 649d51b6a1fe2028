"""`hangtag train` as a user starts it: several processes, a kill, another start."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.card import Card
from models.predictor import Predictor
from tests.conftest import ROOT, SAMPLES
from tests.unit.tiny import make_products, write_products


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Products made of the samples, written as the public data set is."""
    with (SAMPLES / "labels.csv").open(newline="", encoding="utf-8") as file:
        labels = {r["file"]: (r["article_type"], r["base_colour"]) for r in csv.DictReader(file)}
    return write_products(tmp_path_factory.mktemp("data"), make_products(labels))


def test_two_processes_train_one_model_together(data: Path, tmp_path: Path) -> None:
    """As `torchrun --nproc-per-node 2` starts them; the first exports, once."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
            *(
                "--standalone",
                "-m",
                "--",
                "worker",
                "train",
                "--data",
                str(data),
                "--run",
                str(tmp_path / "run"),
            ),
            *("--weights", str(tmp_path / "weights"), "--epochs", "1:32x24", "--version", "both"),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("article_type") == 1
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith('{"step"')]
    assert events[-1]["step"] == events[-1]["steps"]
    card = Card.load(tmp_path / "weights" / "both")
    assert card.raw["training"]["batch_size"] == 64
    assert (tmp_path / "weights" / "default").read_text() == "both\n"
    assert Predictor.load_folder(card.folder).labels.names["gender"] == ("Men", "Women")


def test_one_s_own_csv_becomes_a_version_with_a_page(tmp_path: Path) -> None:
    """As the README says it: look at the data, train, read the page, look at the sheets."""
    from models.datasets.duplicates import file_hash

    rows = []
    with (SAMPLES / "labels.csv").open(newline="", encoding="utf-8") as file:
        for found in csv.DictReader(file):
            if found["article_type"]:
                rows += [(SAMPLES / found["file"], found["article_type"])] * 3
    folder = tmp_path / "own"
    folder.mkdir()
    for number, (path, _) in enumerate(rows):
        # A byte behind the picture makes each copy a file of its own, for every split to get some.
        (folder / f"{number}{path.suffix}").write_bytes(path.read_bytes() + bytes([number % 256]))
    assert len({file_hash(path.read_bytes()) for path in folder.iterdir()}) > len(rows) / 2
    lines = ["path,label", *(f"own/{n}{path.suffix},{kind}" for n, (path, kind) in enumerate(rows))]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n")

    def hangtag(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "HANGTAG_WEIGHTS": str(tmp_path / "w")},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    own = ["--data", "own.csv"]
    assert "near-duplicates" in hangtag("data", "report", *own, "--out", "report")
    hangtag(
        "train", "--data", "own.csv", "--run", "run", "--version", "own-1", "--epochs", "1:32x24"
    )
    assert json.loads(hangtag("model", "list"))["default"]
    hangtag("evaluate", *own, "--model", "own-1", "--page", "own-model.md")
    page = (tmp_path / "own-model.md").read_text()
    assert "# Model card: own-1" in page
    assert "pictures like these data's" in page
    assert "own.csv" in page
    hangtag("evaluate", *own, "--model", "own-1", "--sheets", "sheets")
    assert list((tmp_path / "sheets").glob("*.png")) or list((tmp_path / "sheets").glob("*.jpg"))
