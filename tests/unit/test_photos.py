"""Photographs with coarse labels: what counts as right, splits, cutting out, backgrounds."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.card import Card
from models.data import UNKNOWN, Pictures, split_of
from models.datasets.photos import (
    COARSE_LABELS,
    PHOTO_SPLITS,
    coarse_types,
    load_backgrounds,
    load_phone,
    load_street,
)
from models.labels import ATTRIBUTES, LabelSet
from tests.unit.tiny import (
    HEIGHT,
    LOWER,
    PHONE_LABELS,
    UPPER,
    WIDTH,
    make_phone,
    make_street,
    sample,
    street_colour,
    to_jpeg,
    write_photos,
)


@pytest.fixture(scope="module")
def phone_rows(sample_labels: dict[str, tuple[str, str]]) -> pd.DataFrame:
    return make_phone(sample_labels)


@pytest.fixture(scope="module")
def folder(phone_rows: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both files, with a damaged picture among those of the phones."""
    folder = tmp_path_factory.mktemp("photos")
    rows = phone_rows.copy()
    rows.at[0, "jpeg"] = b"not a picture"
    write_photos(folder, rows, make_street())
    return folder


@pytest.fixture(scope="module")
def phone(folder: Path, label_set: LabelSet) -> Pictures:
    found = load_phone(folder, label_set, HEIGHT, WIDTH)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def street(folder: Path, label_set: LabelSet) -> Pictures:
    found = load_street(folder, label_set, HEIGHT, WIDTH)
    assert found is not None
    return found


# Coarse labels


@pytest.mark.parametrize("dataset", ["phone", "street"])
def test_every_type_behind_a_coarse_label_is_one_the_shipped_model_knows(
    card: Card, dataset: str
) -> None:
    """A misspelt name would silently count as wrong."""
    known = set(card.labels().names["article_type"])
    for names, types in json.loads(COARSE_LABELS.read_text())[dataset].items():
        if isinstance(types, dict):
            assert types["master_category"] in card.labels().names["master_category"], names
        else:
            assert types
            assert set(types) <= known, names


def test_shoes_may_be_any_type_of_footwear(card: Card) -> None:
    labels = card.labels()
    footwear = {kind for kind, (_, master) in labels.parents.items() if master == "Footwear"}
    assert {"Casual Shoes", "Heels", "Flip Flops"} <= footwear
    assert coarse_types("phone", labels)["Shoes"] == footwear
    street = coarse_types("street", labels)
    assert all(street[name] == footwear for name in ("shoes", "boots", "sandals", "clogs"))


def test_names_that_share_a_line_share_their_types(card: Card) -> None:
    street = coarse_types("street", card.labels())
    assert street["bag"] == street["purse"]
    assert {"Handbags", "Clutches"} <= street["bag"]
    assert "bag, purse" not in street


def test_labels_count_as_right_only_what_the_label_set_knows(label_set: LabelSet) -> None:
    phone = coarse_types("phone", label_set)
    assert phone["T-Shirt"] == {"Tshirts"}  # Tops are no label here
    assert phone["Shoes"] == {"Casual Shoes"}
    assert "Skirt" not in phone
    assert "Not sure" not in phone


# Phone pictures


def test_phone_pictures_have_a_coarse_label_and_no_other(phone: Pictures) -> None:
    assert set(phone.dataset) == {"phone"}
    assert all(set(phone.labels[a]) == {UNKNOWN} for a in ATTRIBUTES)
    assert {frozenset({"Tshirts"}), frozenset({"Casual Shoes"})} <= set(phone.coarse)


def test_each_phone_picture_keeps_its_own_label(
    phone: Pictures, phone_rows: pd.DataFrame, label_set: LabelSet
) -> None:
    types = coarse_types("phone", label_set)
    truth = dict(zip(phone_rows["image"], phone_rows["label"], strict=True))
    assert [types[truth[name]] for name in phone.ids] == list(phone.coarse)
    assert phone.pixels.shape == (len(phone.ids), HEIGHT, WIDTH, 3)


def test_phone_pictures_without_a_label_and_damaged_ones_are_left_out_and_counted(
    phone: Pictures, phone_rows: pd.DataFrame
) -> None:
    unsure = int((phone_rows["label"] == "Not sure").sum())
    assert unsure > 0
    assert "Not sure" in PHONE_LABELS.values()
    assert dict(phone.dropped) == {"phone_no_coarse_label": unsure, "phone_undecodable": 1}
    assert len(phone.ids) == len(phone_rows) - unsure - 1
    assert "picture-0" not in phone.ids


def test_all_pictures_of_a_sender_lie_in_one_split(
    phone: Pictures, phone_rows: pd.DataFrame
) -> None:
    senders = dict(zip(phone_rows["image"], phone_rows["sender_id"], strict=True))
    splits: dict[int, set[str]] = {}
    for name, split in zip(phone.ids, phone.split, strict=True):
        splits.setdefault(senders[name], set()).add(split)
    assert len(phone.ids) > len(splits) + 5
    assert all(len(found) == 1 for found in splits.values())
    assert set(phone.split) == set(PHOTO_SPLITS)
    assert phone.group.tolist() == [f"phone:{senders[name]}" for name in phone.ids]


def test_the_splits_of_photographs_share_out_all_of_them() -> None:
    assert sum(PHOTO_SPLITS.values()) == pytest.approx(1)


# Street photographs


def test_garments_are_cut_out_by_their_boxes(street: Pictures) -> None:
    """The boxes are as large as the network's input, so each crop shows its garment as it is."""
    for name, box in (("tshirt_red_striped.jpg", UPPER), ("handbag_tan_tote.jpg", LOWER)):
        number = 0 if box is UPPER else 3
        rows = [i for i, identity in enumerate(street.ids) if identity.endswith(f"-{number}")]
        assert len(rows) == 23
        garment = np.asarray(sample(name, (box[2] - box[0], box[3] - box[1])), dtype=float)
        other = np.asarray(sample("jeans_blue.jpg", (WIDTH, HEIGHT)), dtype=float)
        for row in rows:
            gap = np.abs(street.pixels[row] - garment).mean()
            assert gap < 8 < np.abs(street.pixels[row] - other).mean()


def test_tiny_boxes_other_labels_and_photographs_without_boxes_are_left_out(
    street: Pictures,
) -> None:
    numbers = {identity.partition("-")[2] for identity in street.ids}
    assert numbers == {"0", "3"}
    assert set(street.coarse) == {frozenset({"Tshirts"}), frozenset({"Backpacks", "Handbags"})}
    assert len(street.ids) == 2 * 23
    assert set(street.dataset) == {"street"}


def test_a_box_without_width_is_cut_out_a_pixel_wide(tmp_path: Path, label_set: LabelSet) -> None:
    street = make_street(rows=2)
    street.at[0, "garments"] = json.dumps(
        [{"label": "jeans", "box": (50, 10, 50, 90), "area": 0.0}]
    )
    write_photos(tmp_path, pd.DataFrame(), street)
    found = load_street(tmp_path, label_set, HEIGHT, WIDTH)
    assert found is not None
    assert found.pixels.shape == (1, HEIGHT, WIDTH, 3)


def test_all_garments_of_a_photograph_lie_in_one_split(street: Pictures) -> None:
    splits: dict[str, set[str]] = {}
    for identity, split in zip(street.ids, street.split, strict=True):
        splits.setdefault(identity.partition("-")[0], set()).add(split)
    assert len(splits) == 23
    assert all(len(found) == 1 for found in splits.values())
    assert street.group.tolist() == [f"street:{name.partition('-')[0]}" for name in street.ids]
    assert set(street.split) == set(PHOTO_SPLITS)


def test_another_box_or_label_gives_another_digest(
    street: Pictures, tmp_path: Path, label_set: LabelSet
) -> None:
    digests = {street.digest}
    for change in ({"t-shirt": "jeans"}, {str(list(UPPER)): str([7, 8, 55, 72])}):
        rows = make_street()
        for old, new in change.items():
            rows["garments"] = rows["garments"].str.replace(old, new, regex=False)
        write_photos(tmp_path, pd.DataFrame(), rows)
        found = load_street(tmp_path, label_set, HEIGHT, WIDTH)
        assert found is not None
        digests.add(found.digest)
    assert len(digests) == 3


def test_where_a_file_is_not_there_nothing_is_read(tmp_path: Path, label_set: LabelSet) -> None:
    assert load_phone(tmp_path, label_set, HEIGHT, WIDTH) is None
    assert load_street(tmp_path, label_set, HEIGHT, WIDTH) is None
    assert load_backgrounds(tmp_path, HEIGHT, WIDTH).shape == (0, HEIGHT, WIDTH, 3)


# Backgrounds


@pytest.mark.parametrize("seed", [0, 3])
def test_backgrounds_show_no_garment_and_come_from_training_photographs(
    folder: Path, seed: int
) -> None:
    """The colour behind the garments tells the photographs apart."""
    patches = load_backgrounds(folder, HEIGHT, WIDTH, seed)
    assert len(patches) > 5
    assert patches.dtype == np.uint8
    assert patches.shape[1:] == (HEIGHT, WIDTH, 3)
    colours = np.array([street_colour(row) for row in range(24)])
    training = {row for row in range(23) if split_of(f"{row:04d}", 0, PHOTO_SPLITS) == "train"}
    assert len(training) < 20
    for patch in patches:
        gaps = np.abs(patch.reshape(-1, 3).mean(axis=0) - colours).sum(axis=1)
        assert int(gaps.argmin()) in training
        assert np.abs(patch - colours[gaps.argmin()]).mean() < 12
    again = load_backgrounds(folder, HEIGHT, WIDTH, seed)
    assert np.array_equal(patches, again)


# Copies


def test_a_held_out_photograph_that_training_has_seen_is_in_no_split(
    tmp_path: Path, label_set: LabelSet, street: Pictures
) -> None:
    """One is there again under a training id, cut and saved anew; one without its boxes."""
    rows = make_street()
    held_out = [
        row for row in range(23) if split_of(f"{row:04d}", 0, PHOTO_SPLITS) in ("test", "certify")
    ]
    again = rows.iloc[held_out[:2]].copy()
    for place, (number, training) in enumerate(((0, True), (1, False))):
        with Image.open(io.BytesIO(again.iloc[number]["jpeg"])) as picture:
            data = to_jpeg(picture.crop((2, 2, 118, 157)).resize((90, 120)), quality=60)
        again.iloc[place, again.columns.get_loc("jpeg")] = data  # type: ignore[index] # a place
        again.iloc[place, again.columns.get_loc("id")] = f"again-{place}"  # type: ignore[index]
        if not training:
            again.iloc[place, again.columns.get_loc("garments")] = None  # type: ignore[index]
    assert split_of("again-0", 0, PHOTO_SPLITS) == "train"
    write_photos(tmp_path, pd.DataFrame(), pd.concat([rows, again], ignore_index=True))
    found = load_street(tmp_path, label_set, HEIGHT, WIDTH)
    assert found is not None
    left_out = {identity.partition("-")[0] for identity in found.ids[found.split == ""]}
    assert left_out == {f"{row:04d}" for row in held_out[:2]}
    assert found.dropped["street_seen_in_training"] == 4
    assert street.dropped["street_seen_in_training"] == 0
