"""Importers of files that others publish: parquet, styles.csv, Fashion-MNIST, and no data set."""

from __future__ import annotations

import gzip
import shutil
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from errors import UsageError
from models.data import COLUMNS, PRODUCTS_FILE, load_products
from models.datasets.importers import MNIST_CLASSES, load_dataset, read_dataset
from models.datasets.splits import LEFT_OUT, SPLITS
from models.labels import ATTRIBUTES
from models.pictures import decode
from models.transforms import Pixels, to_pixels
from tests.conftest import SAMPLES
from tests.unit.labelled import HEIGHT, SHIRT, SHOE, WATCH, WIDTH, dropped, names

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
