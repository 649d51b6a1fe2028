"""The shipped model, the sample pictures, and a tiny run, each made once a session."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from errors import PermanentError
from models.card import Card, version_folder
from models.pictures import decode
from models.predictor import Prediction, Predictor
from models.transforms import Pixels, to_pixels
from tests.conftest import SAMPLES

if TYPE_CHECKING:  # torch takes seconds to import, and many tests do without
    import pandas as pd

    from models.data import Pictures
    from models.labels import LabelSet


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


# A tiny run, see `tests.unit.tiny`


@pytest.fixture(scope="session")
def product_rows(sample_labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    """Make some 150 labelled products."""
    from tests.unit.tiny import make_products

    return make_products(sample_labels)


@pytest.fixture(scope="session")
def data_folder(
    product_rows: pd.DataFrame,
    sample_labels: dict[str, tuple[str, str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Write products and photographs as the real files are."""
    from tests.unit.tiny import make_phone, make_street, write_photos, write_products

    folder = write_products(tmp_path_factory.mktemp("data"), product_rows)
    write_photos(folder, make_phone(sample_labels), make_street())
    return folder


@pytest.fixture(scope="session")
def products(data_folder: Path) -> Pictures:
    """Read the products."""
    from models.data import load_products
    from tests.unit.tiny import HEIGHT, WIDTH

    return load_products(data_folder, HEIGHT, WIDTH)


@pytest.fixture(scope="session")
def label_set(products: Pictures) -> LabelSet:
    """Collect the products' labels."""
    from models.labels import LabelSet

    return LabelSet.from_rows(products.labels)


@pytest.fixture(scope="session")
def pictures(data_folder: Path) -> Pictures:
    """Read products and photographs."""
    from models.recipe import load_all
    from tests.unit.tiny import HEIGHT, WIDTH

    return load_all(data_folder, HEIGHT, WIDTH)[0]


@pytest.fixture(scope="session")
def finished(
    pictures: Pictures,
    label_set: LabelSet,
    data_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[dict[str, Any]]]:
    """Train once to the end without interruption; return the run and its progress events.

    With photographs, backgrounds behind products, and frozen first stages.
    """
    from models.datasets.photos import load_backgrounds
    from models.train import train
    from models.training.material import Material
    from tests.unit.tiny import HEIGHT, SETTINGS, WIDTH

    run = tmp_path_factory.mktemp("finished")
    events: list[dict[str, Any]] = []
    label_set.save(run / "labels.json")
    backgrounds = load_backgrounds(data_folder, HEIGHT, WIDTH)
    train(Material(pictures, label_set, backgrounds), run, SETTINGS, events.append)
    return run, events


@pytest.fixture(scope="session")
def exported(
    finished: tuple[Path, list[dict[str, Any]]],
    pictures: Pictures,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Export the finished run."""
    from models.training.export import export_run
    from tests.unit.tiny import HEIGHT, WIDTH

    return export_run(
        finished[0], tmp_path_factory.mktemp("weights"), pictures, HEIGHT, WIDTH, None
    )
