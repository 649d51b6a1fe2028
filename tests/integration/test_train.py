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
