"""The shipped model and the sample pictures, loaded once a session."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from errors import PermanentError
from models.card import Card, version_folder
from models.pictures import decode
from models.predictor import Prediction, Predictor
from models.transforms import Pixels, to_pixels
from tests.conftest import SAMPLES


@pytest.fixture(scope="session")
def shipped() -> Path:
    """Name the folder of the version that is served where nobody chose another."""
    return version_folder()


@pytest.fixture(scope="session")
def card(shipped: Path) -> Card:
    """Read its card."""
    return Card.load(shipped)


@pytest.fixture(scope="session")
def predictor(shipped: Path) -> Predictor:
    """Load the shipped model on OpenVINO."""
    return Predictor.load_folder(shipped)


@pytest.fixture(scope="session")
def sample_labels() -> dict[str, tuple[str, str]]:
    """Read (article type, base colour) of each row in `labels.csv`."""
    with (SAMPLES / "labels.csv").open(newline="", encoding="utf-8") as file:
        return {
            row["file"]: (row["article_type"], row["base_colour"]) for row in csv.DictReader(file)
        }


@pytest.fixture(scope="session")
def sample_pixels(card: Card, sample_labels: dict[str, tuple[str, str]]) -> dict[str, Pixels]:
    """Make the network's input for each sample that decodes."""
    pixels = {}
    for name in sorted(sample_labels):
        try:
            picture = decode((SAMPLES / name).read_bytes(), min(card.height, card.width))
        except PermanentError:
            continue
        pixels[name] = to_pixels(picture, card.height, card.width)
    return pixels


@pytest.fixture(scope="session")
def predictions(predictor: Predictor, sample_pixels: dict[str, Pixels]) -> dict[str, Prediction]:
    """Ask the shipped model about all samples, as one batch."""
    found = predictor.predict(list(sample_pixels.values()))
    return dict(zip(sample_pixels, found, strict=True))
