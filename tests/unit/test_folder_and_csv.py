"""Importers of people's own pictures: a folder for each class, and a CSV of path and labels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from errors import UsageError
from models.datasets.importers import load_dataset, read_dataset
from models.labels import ATTRIBUTES
from tests.conftest import SAMPLES
from tests.unit.labelled import (
    HEIGHT,
    SHIRT,
    SHOE,
    WATCH,
    WIDTH,
    dropped,
    names,
    write_classes,
    write_table,
)

# One folder a class


def test_each_folder_is_a_class(tmp_path: Path) -> None:
    root = write_classes(
        tmp_path / "shop",
        {
            "Tshirts/b.jpg": SHIRT,
            "Tshirts/old ones/a#1.JPEG": SHIRT,
            "Schuhe für Läufer/ä.jpg": SHOE,
            "Watches/grey.png": "tshirt_grey_bands_alpha.png",
        },
    )
    found = load_dataset(root, HEIGHT, WIDTH)
    assert dict(zip(found.ids.tolist(), found.labels["article_type"].tolist(), strict=True)) == {
        "Schuhe für Läufer/ä.jpg": "Schuhe für Läufer",
        "Tshirts/b.jpg": "Tshirts",
        "Tshirts/old ones/a#1.JPEG": "Tshirts",
        "Watches/grey.png": "Watches",
    }
    assert {name for a in ATTRIBUTES if a != "article_type" for name in found.labels[a]} == {""}
    assert len(found.year) == 0


def test_other_files_are_counted_and_hidden_ones_are_not_looked_at(tmp_path: Path) -> None:
    root = write_classes(
        tmp_path / "shop",
        {
            "A/1.jpg": SHIRT,
            "B/1.jpg": SHOE,
            "B/._1.jpg": SHOE,
            ".cache/x/1.jpg": SHOE,
            "beside the classes.jpg": SHOE,
            "B/notes.txt": "labels.csv",
            "B/broken.jpg": "damaged.jpg",
        },
    )
    assert names(root) == ["A/1.jpg", "B/1.jpg"]
    assert dropped(root) == {"other_file": 2, "undecodable": 1}


def test_a_folder_s_name_need_not_be_utf_8(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "shop", {"A/1.jpg": SHIRT, "B/1.jpg": SHOE})
    (root / "B").rename(root / os.fsdecode(b"B\xff"))
    found = load_dataset(root, HEIGHT, WIDTH)
    assert [os.fsencode(str(name)) for name in found.labels["article_type"]] == [b"A", b"B\xff"]
    assert len(found.digest) == 64


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"Tshirts/1.jpg": SHIRT}, "no data set was found in this folder; --data wants"),
        ({"1.jpg": SHIRT, "2.jpg": SHOE}, "no data set was found in this folder; --data wants"),
        ({"train/A/1.jpg": SHIRT, "Test/A/1.jpg": SHOE}, "its folders are splits; name the one"),
    ],
    ids=["one class", "no class", "splits"],
)
def test_folders_that_are_no_classes_are_reported(
    tmp_path: Path, files: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_dataset(write_classes(tmp_path / "shop", files))


# A CSV of path and labels


def test_a_csv_of_path_and_label_is_read_relative_to_itself(tmp_path: Path) -> None:
    outside = tmp_path / "outside.jpg"
    shutil.copy(SAMPLES / WATCH, outside)
    text = f'path,label\nin/a b.jpg,Shirt\nin/c.jpg, Shoe \n"d, e.jpg",Watch\n{outside},Watch\n'
    table = write_table(tmp_path / "d", text)
    found = load_dataset(table, HEIGHT, WIDTH)
    assert list(found.ids) == ["in/a b.jpg", "in/c.jpg", "d, e.jpg", str(outside)]
    assert list(found.labels["article_type"]) == ["Shirt", "Shoe", "Watch", "Watch"]
    assert found.digest == load_dataset(table.parent, HEIGHT, WIDTH).digest


@pytest.mark.parametrize("separator", [";", "\t"])
def test_columns_may_be_attributes_and_a_year(tmp_path: Path, separator: str) -> None:
    """As spreadsheets write them: with a byte order mark, other separators and line ends."""
    lines = [
        "\ufeffyear,path,article_type,baseColour,x",
        "2020,in/c.jpg,Shoe,Red,1",
        ",d.jpg,A,B,C",
    ]
    text = "\r\n".join(lines).replace(",", separator)
    found = load_dataset(write_table(tmp_path, text), HEIGHT, WIDTH)
    assert [found.labels[a][0] for a in ("article_type", "base_colour", "gender")] == [
        "Shoe",
        "Red",
        "",
    ]
    assert found.year.tolist() == [2020]
    assert found.dropped["not_found"] == 1


def test_a_label_that_only_some_rows_have_drops_no_row(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label,base_colour\nin/c.jpg,Shoe,\nin/a b.jpg,,Red\n")
    assert names(table) == ["in/c.jpg"]
    assert dropped(table) == {"missing_label": 1}


def test_rows_of_a_csv_that_cannot_be_used_are_dropped_by_reason(tmp_path: Path) -> None:
    text = (
        "path,label\nin/c.jpg,Shoe\n,Shoe\nin/a b.jpg,Shoe,more\nno.jpg,Shoe\nin,Shoe\nin/c.jpg\n"
    )
    table = write_table(tmp_path, text)
    assert names(table) == ["in/c.jpg"]
    assert dropped(table) == {
        "broken_line": 2,
        "not_found": 1,
        "unreadable": 1,
        "missing_label": 1,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n1.jpg,A\n", r"has the column\(s\) file, label; write path and label, or"),
        ("", r"write path and label"),
        ("path,colour\n1.jpg,Red\n", r"has no column label \(or article_type\)"),
        ("path,label\n", r"no picture can be used \(there are none\)"),
        ("path,label\nno.jpg,A\n", r"no picture can be used \(not_found: 1\)"),
    ],
)
def test_a_csv_that_cannot_be_used_is_reported(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as error:
        load_dataset(write_table(tmp_path, text), HEIGHT, WIDTH)
    assert "\n" not in str(error.value)


def test_a_csv_in_another_encoding_is_reported(tmp_path: Path) -> None:
    table = write_table(tmp_path, "")
    table.write_bytes("path,label\nin/c.jpg,Schühe\n".encode("latin-1"))
    with pytest.raises(UsageError, match="is not UTF-8; save it as UTF-8"):
        read_dataset(table)


def test_of_several_csvs_in_a_folder_one_must_be_named(tmp_path: Path) -> None:
    table = write_table(tmp_path, "path,label\nin/c.jpg,Shoe\n")
    write_table(tmp_path, "notes\n1\n", "notes.csv")
    assert read_dataset(tmp_path).ids == ["in/c.jpg"]
    write_table(tmp_path, "path,label\nin/c.jpg,Boot\n", "z.csv")
    with pytest.raises(UsageError, match=f"holds 2 CSVs; name one, e.g. --data {table}"):
        read_dataset(tmp_path)
