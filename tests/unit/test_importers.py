"""Importers: every form in which people have labelled pictures, and what is wrong with them."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from errors import UsageError
from models.data import COLUMNS, PRODUCTS_FILE, Pictures, join, load_products
from models.datasets.importers import MNIST_CLASSES, load_dataset, read_dataset
from models.datasets.rows import Rows, each_file, read_file
from models.datasets.splits import LEFT_OUT, SPLITS, first_test_year, split_of, split_rows
from models.labels import ATTRIBUTES
from models.pictures import decode
from models.transforms import Pixels, to_pixels
from tests.conftest import SAMPLES

HEIGHT, WIDTH = 32, 24
SHIRT, SHOE, WATCH = "tshirt_red_striped.jpg", "sneaker_red_canvas.jpg", "watch_black_gold.jpg"
HEADER = (
    "id,gender,masterCategory,subCategory,articleType,baseColour,season,year,usage,"
    "productDisplayName"
)
LABELS = {
    "gender": "Men",
    "masterCategory": "Apparel",
    "subCategory": "Topwear",
    "articleType": "Tshirts",
    "baseColour": "Red",
    "season": "Fall",
    "usage": "Casual",
}


def names(path: Path) -> list[str]:
    return [str(name) for name in load_dataset(path, HEIGHT, WIDTH).ids]


def dropped(path: Path) -> dict[str, int]:
    counts = load_dataset(path, HEIGHT, WIDTH).dropped
    return {reason: count for reason, count in counts.items() if count}


def pixels_of(sample: str) -> Pixels:
    return to_pixels(decode((SAMPLES / sample).read_bytes(), WIDTH), HEIGHT, WIDTH)


def style(identity: object, name: str = "Red Tshirt", **changes: object) -> str:
    row = {"id": identity, **LABELS, "year": 2011, "productDisplayName": name, **changes}
    return ",".join(str(row[column]) for column in HEADER.split(","))


def write_styles(folder: Path, *lines: str, pictures: tuple[int, ...] = ()) -> Path:
    (folder / "images").mkdir(parents=True)
    (folder / "styles.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    for identity in pictures:
        shutil.copy(SAMPLES / SHIRT, folder / "images" / f"{identity}.jpg")
    return folder


def write_classes(folder: Path, files: dict[str, str]) -> Path:
    for name, sample in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SAMPLES / sample, folder / name)
    return folder


# Parquet


@pytest.fixture
def products(tmp_path: Path) -> Path:
    """Four rows, one without a season, one damaged."""
    files = [(SAMPLES / name).read_bytes() for name in (SHIRT, SHOE, "damaged.jpg", WATCH)]
    rows = [
        {"id": n, "jpeg": data, "year": 2010 + n, **LABELS, "season": "Fall" if n != 1 else None}
        for n, data in enumerate(files)
    ]
    folder = tmp_path / "parquet"
    folder.mkdir()
    pd.DataFrame(rows).to_parquet(folder / PRODUCTS_FILE)
    return folder


def test_a_parquet_file_gives_what_load_products_gives(products: Path) -> None:
    """Else a version that is measured on one would be trained on the other's test pictures."""
    one = load_products(products, HEIGHT, WIDTH)
    for path in (products, products / PRODUCTS_FILE):
        other = load_dataset(path, HEIGHT, WIDTH)
        assert other.digest == one.digest
        assert list(other.split) == list(one.split)
        assert np.array_equal(other.pixels, one.pixels)
    assert list(one.ids) == ["0", "3"]
    assert np.array_equal(one.pixels, np.stack([pixels_of(SHIRT), pixels_of(WATCH)]))
    assert dict(one.dropped) == {"missing_label": 1, "undecodable": 1}
    assert one.year.tolist() == [2010, 2013]


def test_a_damaged_parquet_file_is_reported(products: Path) -> None:
    (products / PRODUCTS_FILE).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(UsageError, match="cannot be read as parquet; write it anew"):
        read_dataset(products)


# styles.csv


def test_the_public_download_is_read(tmp_path: Path) -> None:
    folder = write_styles(tmp_path / "d", style(15970), style(7, year=2012), pictures=(7, 15970))
    for path in (folder, folder / "styles.csv"):
        found = load_dataset(path, HEIGHT, WIDTH)
        assert list(found.ids) == ["15970", "7"]
        assert {a: found.labels[a][0] for a in ATTRIBUTES} == {
            a: LABELS[column] for a, column in COLUMNS.items()
        }
        assert found.year.tolist() == [2011, 2012]
        assert found.pixels.shape == (2, HEIGHT, WIDTH, 3)
        assert dict(found.dropped) == {"broken_line": 0, "missing_label": 0, "undecodable": 0}


def test_commas_in_the_last_column_do_no_harm(tmp_path: Path) -> None:
    lines = [style(1, "Shirt, red, and a tie"), style(2, '"Shirt, red"'), style(3, '"Shirt of 5"')]
    assert names(write_styles(tmp_path / "d", *lines, pictures=(1, 2, 3))) == ["1", "2", "3"]


def test_a_quotation_mark_that_nobody_closed_spoils_no_other_line(tmp_path: Path) -> None:
    folder = write_styles(tmp_path / "d", style(1, '"Shirt'), style(2), pictures=(1, 2))
    assert names(folder) == ["1", "2"]


def test_lines_that_cannot_be_used_are_dropped_by_reason(tmp_path: Path) -> None:
    folder = write_styles(
        tmp_path / "d",
        style(1),
        style(2, usage="NA"),  # as the public file has it
        style(3, baseColour=""),
        style(4),  # no picture
        style(5),  # a picture that is none
        "6,Men,Apparel",
        style(7, gender="Men, Boys"),  # all further columns have moved
        "",
        pictures=(1, 2, 3, 6, 7),
    )
    (folder / "images" / "5.jpg").write_text("not a picture")
    assert names(folder) == ["1"]
    assert dropped(folder) == {
        "broken_line": 2,
        "missing_label": 2,
        "not_found": 1,
        "undecodable": 1,
    }


def test_commas_inside_a_column_that_is_needed_spoil_the_line(tmp_path: Path) -> None:
    """Without the name as last column, nothing says which field a comma too many cut."""
    folder = write_styles(tmp_path / "d", style(1), style(2, usage="Casual, Home"), pictures=(1, 2))
    text = (folder / "styles.csv").read_text().replace(",productDisplayName", "")
    (folder / "styles.csv").write_text(text.replace(",Red Tshirt", ""))
    assert names(folder) == ["1"]
    assert dropped(folder) == {"broken_line": 1}


def test_a_line_without_the_name_is_whole(tmp_path: Path) -> None:
    folder = write_styles(tmp_path / "d", style(1).rpartition(",")[0], pictures=(1,))
    assert names(folder) == ["1"]


def test_a_missing_year_is_no_reason_to_drop_a_row(tmp_path: Path) -> None:
    folder = write_styles(
        tmp_path / "d", style(1, year=""), style(2, year="2012.0"), pictures=(1, 2)
    )
    assert load_dataset(folder, HEIGHT, WIDTH).year.tolist() == [0, 2012]


def test_styles_without_pictures_or_columns_are_reported(tmp_path: Path) -> None:
    folder = write_styles(tmp_path / "d", style(1))
    with pytest.raises(UsageError, match=r"no picture can be used \(not_found: 1\)"):
        load_dataset(folder, HEIGHT, WIDTH)
    (folder / "images").rmdir()
    with pytest.raises(UsageError, match=r"images: no such folder; put the pictures there, as ID"):
        read_dataset(folder)
    (folder / "images").mkdir()
    (folder / "styles.csv").write_text("id,articleType\n1,Tshirts\n")
    with pytest.raises(UsageError, match=r"column\(s\) missing: baseColour, gender"):
        read_dataset(folder)


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


def write_table(folder: Path, text: str, name: str = "own.csv") -> Path:
    write_classes(folder, {"in/a b.jpg": SHIRT, "in/c.jpg": SHOE, "d, e.jpg": WATCH})
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


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
    assert dropped(table) == {"broken_line": 2, "not_found": 2, "missing_label": 1}


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


# Fashion-MNIST


def idx(values: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    sizes = struct.pack(f">{values.ndim}I", *values.shape)
    return bytes([0, 0, 8, values.ndim]) + sizes + values.tobytes()


def write_mnist(folder: Path, train: int = 40, test: int = 10, packed: bool = True) -> Path:
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for part, rows in (("train", train), ("t10k", test)):
        images = random.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
        images[0] = 0
        for name, values in (
            ("images-idx3", images),
            ("labels-idx1", np.arange(rows, dtype=np.uint8) % 10),
        ):
            data = idx(values)
            path = folder / f"{part}-{name}-ubyte{'.gz' if packed else ''}"
            path.write_bytes(gzip.compress(data) if packed else data)
    return folder


def test_fashion_mnist_s_files_are_read_packed_or_not(tmp_path: Path) -> None:
    packed = load_dataset(write_mnist(tmp_path / "gz"), 28, 28)
    plain = load_dataset(write_mnist(tmp_path / "plain", packed=False), 28, 28)
    assert packed.digest == plain.digest
    assert list(packed.labels["article_type"][:10]) == list(MNIST_CLASSES)
    images = gzip.decompress((tmp_path / "gz" / "train-images-idx3-ubyte.gz").read_bytes())[16:]
    values = np.frombuffer(images, dtype=np.uint8).reshape(-1, 28, 28)
    assert np.array_equal(packed.pixels[:40, :, :, 1], 255 - values)
    assert (packed.pixels[0] == 255).all()


def test_its_own_test_pictures_are_the_test_split(tmp_path: Path) -> None:
    found = load_dataset(write_mnist(tmp_path / "gz", train=400, test=50), 28, 28)
    train = found.split[:399]  # the last is the first's copy: both are blank
    assert set(found.split[400:]) == {"test"}
    assert set(train[1:]) == {"train", "select", "certify"}
    assert Counter(train[1:].tolist())["train"] / 398 == pytest.approx(0.8 / 0.92, abs=0.06)


def test_a_copy_of_another_s_test_picture_is_in_no_split(tmp_path: Path) -> None:
    found = load_dataset(write_mnist(tmp_path / "gz"), 28, 28)
    blank = [row for row in range(50) if (found.pixels[row] == 255).all()]
    assert [(row, found.split[row]) for row in blank] == [(0, LEFT_OUT), (40, "test")]
    assert 0 not in {row for name in SPLITS for row in found.indices(name)}


def test_fashion_mnist_s_files_that_are_missing_or_damaged_are_reported(tmp_path: Path) -> None:
    folder = write_mnist(tmp_path / "gz")
    labels = folder / "t10k-labels-idx1-ubyte.gz"
    whole = labels.read_bytes()
    for data, message in (
        (whole[:-9], "t10k-labels-idx1-ubyte.gz: damaged; fetch it anew"),
        (b"<html>not found</html>", "damaged; fetch it anew"),
        (gzip.compress(gzip.decompress(whole)[:-1]), "not a whole IDX file"),
        (gzip.compress(b""), "not a whole IDX file"),
        (gzip.compress(idx(np.zeros((3, 3), np.uint8))), "not a whole IDX file"),
        (gzip.compress(idx(np.zeros(9, np.uint8))), "labels of t10k are not those of its pictures"),
        (gzip.compress(idx(np.full(10, 10, np.uint8))), "labels of t10k are not those"),
    ):
        labels.write_bytes(data)
        with pytest.raises(UsageError, match=message):
            read_dataset(folder)
    labels.unlink()
    with pytest.raises(UsageError, match="t10k-labels-idx1-ubyte: no such file, nor t10k-labels"):
        read_dataset(folder)


# What is no data set


@pytest.mark.parametrize("name", ["nothing", "notes.txt", "empty"])
def test_a_path_that_is_no_data_set_is_reported_with_what_is_wanted(
    tmp_path: Path, name: str
) -> None:
    (tmp_path / "notes.txt").write_text("path,label\n")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"--data wants fashion_products\.parquet, styles") as e:
        read_dataset(tmp_path / name)
    assert str(tmp_path / name) in str(e.value)
    assert "\n" not in str(e.value)


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
        "not_found",
    ]
    assert getattr(found[5], "code", None) in {"not_found", "unreadable"}
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
