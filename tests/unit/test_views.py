"""Views: cuts of street garments by moved boxes, and of what photographs only name."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from models.data import Pictures, split_of
from models.datasets.photos import PHOTO_SPLITS, STREET_FILE
from models.datasets.views import JITTER, Views, boxed_views, join_views, tagged_views
from models.labels import LabelSet
from models.recipe import load_views
from models.training.batches import Batches
from models.training.material import Material
from models.training.teacher import Witness
from tests.unit.tiny import (
    HEIGHT,
    LOWER,
    SETTINGS,
    UPPER,
    WIDTH,
    make_street,
    street_colour,
    write_photos,
)

EACH = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("street")
    write_photos(folder, pd.DataFrame(), make_street())
    return folder


@pytest.fixture(scope="module")
def boxed(folder: Path, label_set: LabelSet) -> Views:
    found = boxed_views(folder, label_set, HEIGHT, WIDTH, EACH)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def tagged(folder: Path, label_set: LabelSet) -> Views:
    [found] = tagged_views(folder, label_set, HEIGHT, WIDTH, 8)
    return found


def training_photographs() -> list[int]:
    return [row for row in range(23) if split_of(f"{row:04d}", 0, PHOTO_SPLITS) == "train"]


# Boxes


def test_each_training_garment_is_cut_several_times(boxed: Views, label_set: LabelSet) -> None:
    """Of other splits none: they certify and measure."""
    garments = 2 * len(training_photographs())
    assert 0 < len(training_photographs()) < 23
    assert boxed.garment.tolist() == np.repeat(np.arange(garments), EACH).tolist()
    assert boxed.pixels.shape == (EACH * garments, HEIGHT, WIDTH, 3)
    names = np.array(label_set.names["article_type"])
    for row, right in enumerate(boxed.right):
        upper = boxed.garment[row] % 2 == 0
        assert set(names[right]) == ({"Tshirts"} if upper else {"Backpacks", "Handbags"})


def test_the_first_view_is_the_box_itself(
    boxed: Views, pictures: Pictures, data_folder: Path, label_set: LabelSet
) -> None:
    own = boxed_views(data_folder, label_set, HEIGHT, WIDTH, EACH)
    assert own is not None
    rows = pictures.indices("train", "street")
    assert np.array_equal(own.pixels[::EACH], pictures.pixels[rows])


def test_the_other_views_are_moved_a_little(boxed: Views) -> None:
    """Some of the street comes in, or an edge of the garment goes; never much of either."""
    gaps = []
    for garment, number in enumerate(np.repeat(training_photographs(), 2)):
        first = garment * EACH
        behind = np.array(street_colour(int(number)))
        for row in range(first + 1, first + EACH):
            assert not np.array_equal(boxed.pixels[row], boxed.pixels[first])
            near = np.abs(boxed.pixels[row].astype(int) - behind).max(axis=2) < 24
            gaps.append(near.mean())
    assert 0 < np.mean(gaps) < 4 * JITTER


def test_views_are_the_same_for_a_seed(folder: Path, label_set: LabelSet, boxed: Views) -> None:
    again, other = (boxed_views(folder, label_set, HEIGHT, WIDTH, EACH, seed) for seed in (0, 1))
    assert again is not None
    assert other is not None
    assert np.array_equal(again.pixels, boxed.pixels)
    assert not np.array_equal(other.pixels, boxed.pixels)


# Tags


def test_what_a_photograph_names_is_cut_where_others_wear_it(
    tagged: Views, label_set: LabelSet
) -> None:
    """The last photograph has tags alone: its cuts are those of the boxes of the others."""
    assert tagged.garment.tolist() == np.repeat([0, 1], 8).tolist()
    names = np.array(label_set.names["article_type"])
    assert set(names[tagged.right[0]]) == {"Backpacks", "Handbags"}  # `bag`, in order of names
    assert set(names[tagged.right[8]]) == {"Tshirts"}
    assert LOWER[2] - LOWER[0] == UPPER[2] - UPPER[0] == WIDTH
    assert np.array_equal(tagged.pixels[0], tagged.pixels[7])  # all wear it at the same place
    assert not np.array_equal(tagged.pixels[0], tagged.pixels[8])


def test_a_label_that_hardly_anyone_wears_is_not_cut(tmp_path: Path, label_set: LabelSet) -> None:
    street = make_street()
    street.at[23, "tags"] = json.dumps(["t-shirt", "jeans", "hair"])
    write_photos(tmp_path, pd.DataFrame(), street)
    [found] = tagged_views(tmp_path, label_set, HEIGHT, WIDTH, 2)
    assert found.garment.tolist() == [0, 0]


@pytest.mark.parametrize("change", ["no file", "no tags", "no cuts"])
def test_where_nothing_can_be_cut_there_are_no_views(
    tmp_path: Path, label_set: LabelSet, change: str
) -> None:
    if change == "no tags":
        make_street().drop(columns="tags").to_parquet(tmp_path / STREET_FILE)
    elif change == "no cuts":
        make_street().to_parquet(tmp_path / STREET_FILE)
    each = 0 if change == "no cuts" else 2
    assert list(tagged_views(tmp_path, label_set, HEIGHT, WIDTH, each)) == []
    if change != "no tags":
        assert boxed_views(tmp_path, label_set, HEIGHT, WIDTH, each) is None


def test_a_damaged_photograph_is_left_out(
    tmp_path: Path, label_set: LabelSet, tagged: Views
) -> None:
    street = make_street()
    more = street.iloc[[23]].copy()
    more["jpeg"] = b"not a picture"
    write_photos(tmp_path, pd.DataFrame(), pd.concat([street, more], ignore_index=True))
    [found] = tagged_views(tmp_path, label_set, HEIGHT, WIDTH, 8)
    assert len(found.garment) == len(tagged.garment)


# The teacher's choice


def test_a_teacher_keeps_the_views_that_it_believes_most(
    exported: Path, boxed: Views, label_set: LabelSet
) -> None:
    """At most so many a garment, none that it does not believe, in the order they came."""
    witness = Witness(exported, label_set)
    two, one, none = (
        witness.likely(boxed, keep, least) for keep, least in ((2, 0.0), (1, 0.0), (2, 1.01))
    )
    assert np.bincount(boxed.garment[two]).tolist() == [2] * (int(boxed.garment.max()) + 1)
    assert set(one) < set(two)
    assert boxed.garment[one].tolist() == sorted(set(boxed.garment.tolist()))
    assert len(none) == 0


def test_what_a_teacher_found_is_kept_for_the_run(
    exported: Path, data_folder: Path, label_set: LabelSet, tmp_path: Path
) -> None:
    """A run that is gone on with asks nobody: the teacher may be gone."""
    settings = replace(SETTINGS, views=2)
    found = load_views(data_folder, tmp_path, label_set, settings, exported)
    assert found is not None
    boxed = 2 * 2 * len(training_photographs())
    rows = load_file(tmp_path / "views.safetensors")["rows"]
    assert len(found.garment) == boxed + len(rows)
    again = load_views(data_folder, tmp_path, label_set, settings, tmp_path / "gone")
    assert again is not None
    assert np.array_equal(again.pixels, found.pixels)
    assert np.array_equal(again.garment, found.garment)
    without = load_views(data_folder, tmp_path / "other", label_set, settings)
    assert without is not None
    assert len(without.garment) == boxed
    assert load_views(data_folder, tmp_path, label_set, replace(settings, views=0)) is None


# Batches


def make_batches(pictures: Pictures, label_set: LabelSet, views: Views, **more: Any) -> Batches:
    return Batches(Material(pictures, label_set, views=views, **more), 16, 0.75, 0)


def test_views_take_the_place_of_street_garments(
    pictures: Pictures, label_set: LabelSet, boxed: Views, tagged: Views
) -> None:
    """Each garment is shown as often as each phone picture, by one view or another."""
    views = join_views([boxed, tagged])
    garments = int(views.garment.max()) + 1
    assert garments == int(boxed.garment.max()) + 3
    batches = make_batches(pictures, label_set, views)
    shown = np.concatenate(
        [batches._rows_of(step)[1] for step in range(20 * batches.steps_per_epoch)]
    )
    own = shown[shown < len(pictures.ids)]
    assert set(pictures.dataset[own]) == {"phone"}
    phones = np.bincount(own)[pictures.indices("train", "phone")]
    numbers = shown[shown >= len(pictures.ids)] - len(pictures.ids)
    times = np.bincount(views.garment[numbers], minlength=garments)
    assert phones.min() > 0.8 * times.max()
    assert times.min() > 0.8 * phones.max()
    assert len(set(numbers)) == len(views.garment)


def test_a_view_comes_with_its_pixels_and_the_types_that_are_right(
    pictures: Pictures, label_set: LabelSet, boxed: Views
) -> None:
    taught = {"article_type": np.full((len(pictures.ids), 8), 0.125, dtype=np.float16)}
    batches = make_batches(pictures, label_set, boxed, beliefs=taught)
    _, photos = batches._rows_of(1)
    images, targets = batches.batch(1, HEIGHT, WIDTH)
    first = 16 - len(photos)
    seen = 0
    for place, row in enumerate(photos, start=first):
        if row < len(pictures.ids):
            continue
        number = row - len(pictures.ids)
        pixels = (images[place].permute(1, 2, 0).numpy() + 1) * 127.5
        gaps = [np.abs(pixels - one).max() for one in _both_ways(boxed.pixels[number])]
        assert min(gaps) < 1
        assert targets["right"][place].tolist() == boxed.right[number].tolist()
        assert targets["domain"][place] == 2
        assert targets["base_colour"][place] == -1
        assert not targets["taught_article_type"][place].any()
        seen += 1
    assert seen > 2


def _both_ways(pixels: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
    return [pixels, pixels[:, ::-1]]
