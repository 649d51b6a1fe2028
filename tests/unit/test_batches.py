"""Batches: which pictures, in which order, with which targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from errors import UsageError
from models.data import Pictures
from models.labels import DOMAINS, LabelSet
from models.network import to_images
from models.training.batches import Batches
from models.training.material import Material
from tests.unit.tiny import HEIGHT, WIDTH

#: At four times the usual strength every product that can loses its background.
ALWAYS = 4.0


def make_batches(
    pictures: Pictures, label_set: LabelSet, batch_size: int = 8, **settings: Any
) -> Batches:
    backgrounds = np.full((1, HEIGHT, WIDTH, 3), 99, dtype=np.uint8)
    material = Material(pictures, label_set, backgrounds)
    return Batches(material, batch_size, **{"photos": 0.25, "strength": 0, **settings})


def rows_of(batches: Batches, step: int) -> list[int]:
    """Return the rows of a batch in the order of its pictures."""
    places, photos = batches._rows_of(step)
    return [*batches.rows[places], *photos]


def test_a_batch_has_its_share_of_photographs(pictures: Pictures, label_set: LabelSet) -> None:
    batches = make_batches(pictures, label_set)
    for step in range(batches.steps_per_epoch):
        rows = rows_of(batches, step)
        assert set(pictures.dataset[rows[:6]]) == {"catalogue"}
        assert len(rows[6:]) == 2
        assert "catalogue" not in pictures.dataset[rows[6:]]
        assert set(pictures.split[rows]) == {"train"}


def test_an_epoch_shows_each_product_at_most_once_and_all_photographs_as_often(
    pictures: Pictures, label_set: LabelSet
) -> None:
    batches = make_batches(pictures, label_set, photos=0.75)
    rows = np.concatenate([rows_of(batches, step) for step in range(batches.steps_per_epoch)])
    times = np.bincount(rows, minlength=len(pictures.ids))
    assert times[batches.rows].max() == 1
    assert times[batches.rows].sum() > len(batches.rows) - 2
    assert times[batches.photos].min() > 1
    assert times[batches.photos].max() - times[batches.photos].min() <= 1


def test_each_epoch_and_each_seed_has_an_order_of_its_own(
    pictures: Pictures, label_set: LabelSet
) -> None:
    batches, other = (make_batches(pictures, label_set, seed=seed) for seed in (0, 1))
    again = make_batches(pictures, label_set)
    assert rows_of(batches, 0) == rows_of(again, 0)
    assert rows_of(batches, 0) != rows_of(batches, batches.steps_per_epoch)
    assert rows_of(batches, 0) != rows_of(other, 0)


def test_without_photographs_a_batch_is_full_of_products(
    products: Pictures, label_set: LabelSet
) -> None:
    images, targets = make_batches(products, label_set).batch(0, 32, 24)
    assert images.shape == (8, 3, 32, 24)
    assert targets["domain"].tolist() == [0] * 8


def test_targets_belong_to_the_pictures_of_the_batch(
    pictures: Pictures, label_set: LabelSet
) -> None:
    """Known labels by number, -1 for those of photographs; the types that count as right."""
    batches = make_batches(pictures, label_set)
    _, targets = batches.batch(5, HEIGHT, WIDTH)
    assert set(targets) == {*label_set.heads, "domain", "right"}
    rows = rows_of(batches, 5)
    domains = [DOMAINS.index(dataset) for dataset in pictures.dataset[rows]]
    assert targets["domain"].tolist() == domains
    assert domains[:6] == [0] * 6
    for attribute in label_set.heads:
        named = [
            label_set.names[attribute][number] if number >= 0 else ""
            for number in targets[attribute].tolist()
        ]
        assert named == pictures.labels[attribute][rows].tolist()
        assert named[6:] == ["", ""]
    assert torch.equal(targets["right"], torch.from_numpy(pictures.allowed(label_set)[rows]))


def test_without_changes_a_batch_holds_its_pictures_in_order(
    pictures: Pictures, label_set: LabelSet
) -> None:
    """Mirrored or not: that is left to chance at any strength."""
    batches = make_batches(pictures, label_set)
    images, _ = batches.batch(2, HEIGHT, WIDTH)
    originals = to_images(torch.from_numpy(pictures.pixels[rows_of(batches, 2)]))
    for image, original in zip(images, originals, strict=True):
        gaps = [float((image - turned).abs().max()) for turned in (original, original.flip(2))]
        assert min(gaps) < 1e-3


def test_a_product_in_the_street_is_neither_catalogue_nor_photograph(
    pictures: Pictures, label_set: LabelSet
) -> None:
    """Those that stand on no white keep their place, and count as catalogue pictures."""
    batches = make_batches(pictures, label_set, strength=ALWAYS)
    on_white = ~batches._masks.flatten(1).all(dim=1)
    seen = set()
    for step in range(batches.steps_per_epoch):
        places, photos = batches._rows_of(step)
        images, targets = batches.batch(step, 32, 24)
        looks = [DOMAINS.index(dataset) for dataset in pictures.dataset[photos]]
        expected = [-1 if white else 0 for white in on_white[places]] + looks
        assert targets["domain"].tolist() == expected
        assert images.isfinite().all()
        seen |= set(expected)
    assert seen == {-1, 0, 1, 2}


def test_a_step_gives_the_same_pictures_whatever_came_before(
    pictures: Pictures, label_set: LabelSet
) -> None:
    batches, again = (make_batches(pictures, label_set, strength=1.0) for _ in range(2))
    first, _ = batches.batch(4, 32, 24)
    batches.batch(5, 32, 24)
    assert torch.equal(first, again.batch(4, 32, 24)[0])
    assert torch.equal(first, batches.batch(4, 32, 24)[0])


def test_fewer_products_than_a_batch_holds_are_reported(
    pictures: Pictures, label_set: LabelSet
) -> None:
    with pytest.raises(UsageError, match="fewer than a batch of 1000"):
        make_batches(pictures, label_set, batch_size=1000)
