"""Labelled data: reading, dropping what cannot be used, splitting, joining."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from errors import UsageError
from models.data import SPLITS, Pictures, join, load_products, split_of
from models.datasets.photos import load_phone, load_street
from models.labels import ATTRIBUTES, LabelSet
from tests.unit.tiny import HEIGHT, WIDTH, write_products

#: Splits with seed 0.
PINNED = {
    0: "train",
    1: "train",
    7: "test",
    12: "certify",
    16: "certify",
    25: "test",
    34: "train",  # of `select` until that gave half of its pictures to training
    70: "select",
    85: "select",
}


# Reading


def test_all_good_rows_are_read_at_the_wanted_size(
    products: Pictures, product_rows: pd.DataFrame
) -> None:
    assert products.pixels.shape == (len(product_rows), HEIGHT, WIDTH, 3)
    assert products.pixels.dtype == np.uint8
    assert list(products.ids) == list(product_rows["id"])
    assert list(products.labels["article_type"]) == list(product_rows["articleType"])
    assert dict(products.dropped) == {"missing_label": 0, "undecodable": 0}


def test_rows_without_a_label_and_broken_files_are_dropped_and_counted(
    product_rows: pd.DataFrame, tmp_path: Path
) -> None:
    few = product_rows.head(12).copy()
    few.loc[1, "gender"] = None
    few.loc[2, "articleType"] = None
    few.loc[[3, 4, 5], "jpeg"] = [few.loc[3, "jpeg"][:200], b"not a picture", b""]
    few.loc[6, "jpeg"] = None
    found = load_products(write_products(tmp_path, few), HEIGHT, WIDTH)
    assert dict(found.dropped) == {"missing_label": 2, "undecodable": 4}
    assert list(found.ids) == ["0", "7", "8", "9", "10", "11"]
    whole = load_products(write_products(tmp_path / "whole", product_rows.head(12)), HEIGHT, WIDTH)
    assert np.array_equal(found.pixels, whole.pixels[[0, 7, 8, 9, 10, 11]])
    assert {len(values) for values in found.labels.values()} == {len(found.split)} == {6}


def test_ids_may_be_numbers(product_rows: pd.DataFrame, tmp_path: Path) -> None:
    """As in the public data set, where they are; the digest is that of their text."""
    numbered = product_rows.head(3).assign(id=[10, 11, 12])
    named = product_rows.head(3).assign(id=["10", "11", "12"])
    one = load_products(write_products(tmp_path / "one", numbered), HEIGHT, WIDTH)
    two = load_products(write_products(tmp_path / "two", named), HEIGHT, WIDTH)
    assert list(one.ids) == ["10", "11", "12"]
    assert one.digest == two.digest


@pytest.mark.parametrize("change", ["label", "file", "id"])
def test_the_digest_changes_with_any_part_of_the_data(
    product_rows: pd.DataFrame, tmp_path: Path, change: str
) -> None:
    few = product_rows.head(4)
    other = few.copy()
    column, value = {
        "label": ("season", "Fall"),
        "file": ("jpeg", product_rows["jpeg"][9]),
        "id": ("id", "999"),
    }[change]
    other[column] = [*other[column][:3], value]
    digests = [
        load_products(write_products(tmp_path / name, table), HEIGHT, WIDTH).digest
        for name, table in (("one", few), ("again", few), ("other", other))
    ]
    assert digests[0] == digests[1] != digests[2]


def test_missing_data_is_reported_with_what_is_wanted(
    product_rows: pd.DataFrame, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="no such file; --data wants the folder"):
        load_products(tmp_path, HEIGHT, WIDTH)
    write_products(tmp_path, product_rows.head(2).drop(columns=["season", "jpeg"]))
    with pytest.raises(UsageError, match=r"column\(s\) missing: jpeg, season"):
        load_products(tmp_path, HEIGHT, WIDTH)


def test_a_label_that_the_model_does_not_know_has_no_number(
    products: Pictures, label_set: LabelSet
) -> None:
    names = {**label_set.names, "gender": ("Men",)}
    targets = products.targets(LabelSet(names, label_set.parents))
    men = products.labels["gender"] == "Men"
    assert (targets["gender"][men] == 0).all()
    assert (targets["gender"][~men] == -1).all()
    kinds = [label_set.names["article_type"][i] for i in targets["article_type"]]
    assert kinds == list(products.labels["article_type"])


# Splits


def test_the_split_of_a_file_never_changes() -> None:
    """Pinned: another rule would move pictures of the test split into training."""
    assert [split_of(f"file {i}", 0) for i in PINNED] == list(PINNED.values())


def test_the_shares_of_the_splits_are_as_stated() -> None:
    counts = Counter(split_of(f"{i}", 0) for i in range(20_000))
    assert set(counts) == set(SPLITS)
    for name, share in SPLITS.items():
        assert counts[name] / 20_000 == pytest.approx(share, abs=0.01)
    assert sum(SPLITS.values()) == pytest.approx(1)


def test_another_seed_draws_another_split() -> None:
    same = sum(split_of(f"{i}", 0) == split_of(f"{i}", 1) for i in range(2000)) / 2000
    assert same == pytest.approx(sum(share**2 for share in SPLITS.values()), abs=0.05)


def test_the_same_file_lies_on_one_side_whatever_its_labels(
    product_rows: pd.DataFrame, tmp_path: Path
) -> None:
    twice = pd.concat(
        [
            product_rows,
            product_rows.assign(id=[f"copy {i}" for i in product_rows["id"]], season="Fall"),
        ]
    )
    found = load_products(write_products(tmp_path, twice), HEIGHT, WIDTH)
    assert list(found.split[: len(product_rows)]) == list(found.split[len(product_rows) :])
    assert set(found.split) == set(SPLITS)


def test_rows_that_are_added_move_no_other_row(
    product_rows: pd.DataFrame, products: Pictures, tmp_path: Path
) -> None:
    part = load_products(write_products(tmp_path, product_rows.iloc[::-2]), HEIGHT, WIDTH)
    assert list(part.split) == list(products.split[::-2])


def test_the_splits_share_out_all_rows(products: Pictures) -> None:
    indices = np.concatenate([products.indices(name) for name in SPLITS])
    assert sorted(indices.tolist()) == list(range(len(products.ids)))


# Several sources


def test_the_rows_of_a_split_can_be_those_of_some_sources(
    pictures: Pictures, products: Pictures
) -> None:
    train = pictures.indices("train")
    parts = [pictures.indices("train", source) for source in ("catalogue", "phone", "street")]
    assert all(len(part) for part in parts)
    assert sorted(np.concatenate(parts).tolist()) == train.tolist()
    assert pictures.indices("train", "catalogue").tolist() == products.indices("train").tolist()
    assert (
        pictures.indices("train", "phone", "street").tolist()
        == sorted([*parts[1], *parts[2]])
    )  # fmt: skip


def test_joined_rows_keep_their_picture_labels_split_and_source(
    data_folder: Path, products: Pictures, label_set: LabelSet
) -> None:
    phone = load_phone(data_folder, label_set, HEIGHT, WIDTH)
    street = load_street(data_folder, label_set, HEIGHT, WIDTH)
    assert phone is not None
    assert street is not None
    whole = join(products, phone, street)
    start = 0
    for part in (products, phone, street):
        rows = slice(start, start + len(part.ids))
        start = rows.stop
        assert whole.ids[rows].tolist() == part.ids.tolist()
        assert np.array_equal(whole.pixels[rows], part.pixels)
        assert whole.split[rows].tolist() == part.split.tolist()
        assert whole.dataset[rows].tolist() == part.dataset.tolist()
        assert whole.coarse[rows] == part.coarse
        assert whole.group[rows].tolist() == part.group.tolist()
        for attribute in ATTRIBUTES:
            assert whole.labels[attribute][rows].tolist() == part.labels[attribute].tolist()
    assert len(whole.ids) == start
    assert dict(whole.dropped) == {**products.dropped, **phone.dropped, **street.dropped}


def test_the_digest_of_joined_data_changes_with_each_part(
    products: Pictures, pictures: Pictures
) -> None:
    other = Pictures(**{**vars(products), "digest": "0" * 64})
    digests = {join(products, products).digest, join(products, other).digest, pictures.digest}
    assert len(digests) == 3
    assert join(products, other).digest == join(products, other).digest


def test_the_right_types_are_the_exact_one_or_all_of_a_coarse_label(
    pictures: Pictures, label_set: LabelSet
) -> None:
    right = pictures.allowed(label_set)
    names = np.array(label_set.names["article_type"])
    for row, coarse in enumerate(pictures.coarse):
        exact = {str(pictures.labels["article_type"][row])}
        assert set(names[right[row]]) == (exact if coarse is None else coarse), row
    assert {"Backpacks", "Handbags"} in [set(coarse) for coarse in pictures.coarse if coarse]
