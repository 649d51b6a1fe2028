"""Rows of a data set: reading their files, splitting them, joining them with others."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from errors import UsageError
from models.data import Pictures, join
from models.datasets.importers import load_dataset
from models.datasets.rows import Rows, each_file, read_file
from models.datasets.splits import first_test_year, split_of, split_rows
from models.labels import ATTRIBUTES
from tests.conftest import SAMPLES
from tests.unit.labelled import HEIGHT, SHIRT, WIDTH, dropped, write_table

# Files


def test_files_are_read_in_order_and_failures_take_their_place(tmp_path: Path) -> None:
    shutil.copy(SAMPLES / SHIRT, tmp_path / "a.jpg")
    files = [
        tmp_path / "a.jpg",
        b"two",
        tmp_path / "no.jpg",
        None,
        tmp_path,
        Path("nul\0.jpg"),
    ] * 99
    seen: list[tuple[int, int]] = []
    found = list(each_file(files, len, lambda done, total: seen.append((done, total))))
    size = (SAMPLES / SHIRT).stat().st_size
    assert [getattr(one, "code", one) for one in found[:5]] == [
        size,
        3,
        "not_found",
        0,
        "unreadable",
    ]
    assert getattr(found[5], "code", None) == "not_found"
    assert [getattr(one, "code", one) for one in found[588:]] == [
        getattr(one, "code", one) for one in found[:6]
    ]
    assert seen[0] == (0, 594)
    assert seen[-1] == (594, 594)


def test_no_more_is_read_of_a_file_than_one_byte_over_the_limit(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(100))
    assert len(read_file(tmp_path / "large", max_bytes=10)) == 11


def test_a_picture_over_the_limit_is_dropped_as_too_large(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label\nin/c.jpg,Shoe\nbig.png,Shoe\n")
    data = io.BytesIO()
    Image.new("1", (9000, 8000)).save(data, "PNG")
    (tmp_path / "big.png").write_bytes(data.getvalue())
    assert dropped(table) == {"too_large": 1}


# Splits


def test_a_split_other_than_random_gives_another_digest(tmp_path: Path) -> None:
    """A run must not go on with, nor be measured on, another split."""
    text = "path,label,year\nin/a b.jpg,Shirt,2020\nin/c.jpg,Shoe,2021\n"
    table = write_table(tmp_path, text)
    digests = {
        load_dataset(table, HEIGHT, WIDTH, k).digest for k in ("random", "grouped", "by_year")
    }
    assert len(digests) == 3


def test_a_split_that_is_none_or_that_the_data_do_not_allow_is_reported(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label\nin/c.jpg,Shoe\n")
    with pytest.raises(UsageError, match="no split weekly; choose one of random, grouped, by_year"):
        load_dataset(table, HEIGHT, WIDTH, "weekly")
    with pytest.raises(
        UsageError, match="fewer than two years; choose the split random or grouped"
    ):
        load_dataset(table, HEIGHT, WIDTH, "by_year")


def test_the_newest_years_near_the_test_share_are_the_test_split() -> None:
    years = [2010] * 50 + [2011] * 40 + [2012] * 6 + [2013] * 3 + [0]
    assert first_test_year(years) == 2012
    splits = split_rows([f"{i}" for i in range(100)], "by_year", year=years)
    assert (splits[90:99] == "test").all()
    assert set(splits[:90]) | {splits[99]} == {"train", "select", "certify"}


def test_by_year_the_oldest_year_stays_in_training() -> None:
    assert first_test_year([2010, 2011, 2011, 2011]) == 2011


def test_by_year_a_group_is_as_new_as_its_newest_picture() -> None:
    years = [2010] * 20 + [2011] * 20 + [2010]
    groups = ["39"] + [f"{i}" for i in range(1, 40)] + ["39"]
    splits = split_rows(groups, "by_year", year=years)
    assert splits[0] == splits[39] == splits[40] == "test"
    assert "test" not in splits[1:20]


def test_a_group_lies_in_one_split_and_singles_where_the_random_split_puts_them() -> None:
    groups = [f"{i // 3}" for i in range(300)]
    splits = split_rows(groups, "grouped")
    assert splits.tolist() == [split_of(group, 0) for group in groups]


# Joining


def picture_set(ids: list[str], **more: object) -> Pictures:
    empty = {a: np.array([""] * len(ids)) for a in ATTRIBUTES}
    return Pictures(
        ids=np.array(ids),
        pixels=np.zeros((len(ids), 2, 2, 3), dtype=np.uint8),
        labels=empty,
        split=np.array(["train"] * len(ids)),
        digest="0",
        dataset=np.array(["phone"] * len(ids)),
        coarse=[None] * len(ids),
        **more,  # type: ignore[arg-type]
    )


def test_groups_and_years_are_kept_by_a_join() -> None:
    known = picture_set(["a", "b"], group=np.array(["g", "g"]), year=np.array([2011, 2012]))
    joined = join(known, picture_set(["a"]))
    assert joined.group.tolist() == ["g", "g", "phone:a"]
    assert joined.year.tolist() == [2011, 2012, 0]
    other = join(picture_set(["a"]), known)
    assert other.group.tolist() == ["phone:a", "g", "g"]
    nobody = join(picture_set(["a"]), picture_set(["b"]))
    assert len(nobody.group) == len(nobody.year) == 0


def test_rows_keep_what_belongs_together() -> None:
    rows = Rows(["a", "b", "c"], [b"1", b"2", b"3"], {"article_type": ["A", "", "C"]}, [1, 2, 3])
    kept = rows.labelled()
    assert (kept.ids, kept.files, kept.year, kept.test) == (["a", "c"], [b"1", b"3"], [1, 3], ())
    assert kept.labels == {"article_type": ["A", "C"]}
    assert kept.dropped == {"missing_label": 1}
