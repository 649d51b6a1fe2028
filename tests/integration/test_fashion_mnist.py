"""Fashion-MNIST, a public anchor: its files are read whole, and give the figures known of them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models.data import Pictures
from models.datasets.importers import MNIST_CLASSES, load_dataset

FOLDER = Path("/usr/share/datasets/fashion-mnist")

pytestmark = [
    pytest.mark.skipif(
        not (FOLDER / "train-images-idx3-ubyte.gz").exists(),
        reason="Debian's package dataset-fashion-mnist is not installed",
    ),
    pytest.mark.timeout(900),  # 70,000 pictures: half a minute on an idle machine
]


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return load_dataset(FOLDER, 28, 28)


def test_all_pictures_are_there_and_the_test_split_is_the_authors_own(pictures: Pictures) -> None:
    assert len(pictures.ids) == 70_000
    assert sum(pictures.dropped.values()) == 0
    counts = Counter(pictures.split.tolist())
    assert counts["test"] == 10_000
    assert counts["train"] + counts["select"] + counts["certify"] == 60_000
    assert counts["train"] == pytest.approx(60_000 * 0.8 / 0.92, rel=0.01)
    assert all(name.startswith("test-") for name in pictures.ids[pictures.indices("test")])


def test_each_class_has_as_many_pictures_as_published(pictures: Pictures) -> None:
    for name, each in (("test", 1000), ("train", 6000)):
        rows = [identity.startswith(f"{name}-") for identity in pictures.ids]
        counts = Counter(pictures.labels["article_type"][rows].tolist())
        assert counts == dict.fromkeys(MNIST_CLASSES, each)


def test_products_stand_on_white(pictures: Pictures) -> None:
    """The file has them on black; everything else that Hangtag learns from stands on white."""
    corners = pictures.pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 255).mean() > 0.8


def test_the_nearest_neighbour_is_as_good_as_it_is_known_to_be(pictures: Pictures) -> None:
    """Neighbours by pixels are commonly reported at 83 to 86 %; people reach 83.5 %.

    It takes pictures and labels in the right order, and the right split.
    """
    kinds = pictures.labels["article_type"]
    test = pictures.indices("test")[:1000]
    known = np.setdiff1d(np.arange(70_000), pictures.indices("test"))
    grey = pictures.pixels[..., 0].reshape(70_000, -1).astype(np.float32) / 255
    gallery = grey[known]
    nearest = (gallery @ grey[test].T - (gallery**2).sum(axis=1)[:, None] / 2).argmax(axis=0)
    assert 0.82 <= (kinds[known][nearest] == kinds[test]).mean() <= 0.88
