"""Labelled pictures as people have them, written from the samples, and what is read of them."""

from __future__ import annotations

import shutil
from pathlib import Path

from models.datasets.importers import load_dataset
from tests.conftest import SAMPLES

HEIGHT, WIDTH = 32, 24
SHIRT, SHOE, WATCH = "tshirt_red_striped.jpg", "sneaker_red_canvas.jpg", "watch_black_gold.jpg"


def write_classes(folder: Path, files: dict[str, str]) -> Path:
    """Copy samples to the named files; the first folder is the class."""
    for name, sample in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / sample, folder / name)
    return folder


def write_table(folder: Path, text: str, name: str = "own.csv") -> Path:
    """Write a CSV, and beside it the three samples that it may name."""
    write_classes(folder, {"in/a b.jpg": SHIRT, "in/c.jpg": SHOE, "d, e.jpg": WATCH})
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def names(path: Path) -> list[str]:
    """Return the ids of the rows that are used."""
    return [str(name) for name in load_dataset(path, HEIGHT, WIDTH).ids]


def dropped(path: Path) -> dict[str, int]:
    """Return how many rows were dropped for each reason."""
    counts = load_dataset(path, HEIGHT, WIDTH).dropped
    return {reason: count for reason, count in counts.items() if count}
