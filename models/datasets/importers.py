"""Importers: labelled pictures as people have them, read into one form.

- a parquet file with the public data set's columns and the pictures in `jpeg`, or a folder with
  `fashion_products.parquet`;
- the public download: `styles.csv` beside a folder `images` with ID.jpg;
- one folder a class: `shop/Tshirts/1.jpg`;
- a CSV with a column `path`, and `label` or any attribute's name as further columns;
- Fashion-MNIST's four IDX files, packed by gzip or not.

An attribute that a data set does not have is `UNKNOWN` for all its pictures.
Needs pandas, pyarrow and scipy (the `train` extra).
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from errors import UsageError
from models.data import COLUMNS, PRODUCTS_FILE, Pictures, decode_rows, read_products
from models.datasets.rows import UNKNOWN, Progress, Rows
from models.labels import ATTRIBUTES
from models.pictures import FORMATS

STYLES_FILE, STYLES_IMAGES = "styles.csv", "images"
#: What stands in styles.csv where a label is not known.
NO_LABEL = ("", "NA")
#: Fashion-MNIST's files; Debian's package `dataset-fashion-mnist` puts them into
#: /usr/share/datasets/fashion-mnist.
MNIST_PARTS = {"train": "train", "test": "t10k"}
MNIST_IMAGES, MNIST_LABELS = "{}-images-idx3-ubyte", "{}-labels-idx1-ubyte"
#: Its labels 0 to 9, as its README lists them (github.com/zalandoresearch/fashion-mnist).
MNIST_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
#: Folders of these names are splits and no classes.
SPLIT_FOLDERS = {"train", "training", "test", "testing", "val", "valid", "validation"}
ACCEPTED = (
    f"{PRODUCTS_FILE}, styles.csv with images/, one folder a class, a CSV with the columns path "
    "and label, or Fashion-MNIST's files"
)


def load_dataset(
    path: Path,
    height: int,
    width: int,
    split: str = "random",
    progress: Progress | None = None,
) -> Pictures:
    """Read a data set of any of the kinds above, decode it at height × width, and split it.

    `split` is one of `models.datasets.splits.SPLIT_KINDS`. Of a parquet file the answer is the
    same as `load_products`'s. Raises UsageError where the path is none of the kinds, or names no
    picture.
    """
    return decode_rows(read_dataset(path), height, width, split, progress=progress)


def read_dataset(path: Path) -> Rows:
    """Tell which kind of data set lies at a path and read its rows. Raises UsageError."""
    if not path.exists():
        raise UsageError(f"{path}: no such file or folder; --data wants {ACCEPTED}")
    if path.is_dir():
        return _read_folder(path)
    if path.suffix.lower() == ".parquet":
        return read_products(path)
    if path.suffix.lower() == ".csv":
        return _read_csv(path)
    raise UsageError(f"{path}: not a data set that Hangtag reads; --data wants {ACCEPTED}")


def _read_folder(path: Path) -> Rows:
    if (path / PRODUCTS_FILE).is_file():
        return read_products(path)
    if (path / STYLES_FILE).is_file():
        return read_styles(path / STYLES_FILE)
    if any(path.glob("*-ubyte*")):
        return read_fashion_mnist(path)
    tables = [
        one for one in sorted(path.glob("*.csv")) if one.is_file() and "path" in _head(one)[0]
    ]
    if len(tables) > 1:
        raise UsageError(f"{path}: holds {len(tables)} CSVs; name one, e.g. --data {tables[0]}")
    return read_table(tables[0]) if tables else read_class_folders(path)


def _read_csv(path: Path) -> Rows:
    columns = _head(path)[0]
    if "path" in columns:
        return read_table(path)
    if {"id", COLUMNS["article_type"]} <= set(columns):
        return read_styles(path)
    raise UsageError(
        f"{path}: has the column(s) {', '.join(columns)}; write path and label, or those of "
        "styles.csv"
    )


def read_styles(path: Path) -> Rows:
    """Read the public download: styles.csv, and images/ID.jpg beside it.

    Commas inside the last column, a name that nobody needs, do no harm. Lines that are too
    short, or whose columns have moved, are dropped and counted as `broken_line`.
    """
    images = path.parent / STYLES_IMAGES
    if not images.is_dir():
        raise UsageError(f"{images}: no such folder; put the pictures there, as ID.jpg")
    header, delimiter = _head(path)
    if missing := {"id", *COLUMNS.values()} - set(header):
        raise UsageError(f"{path}: column(s) missing: {', '.join(sorted(missing))}")
    # Line by line: a quotation mark that nobody closed spoils one row and not the rest.
    lines = [line for line in _text(path).split("\n")[1:] if line.strip()]
    fields = [_fields(line, delimiter) for line in lines]
    rows = [dict(zip(header, row, strict=False)) for row in fields if _is_whole(row, header)]
    return Rows(
        ids=[row["id"] for row in rows],
        files=[images / f"{row['id']}.jpg" for row in rows],
        labels={a: [_label(row[column]) for row in rows] for a, column in COLUMNS.items()},
        year=[_year(row["year"]) for row in rows] if "year" in header else (),
        dropped={"broken_line": len(lines) - len(rows)},
    )


def _is_whole(row: Sequence[str], header: Sequence[str]) -> bool:
    """Whether the columns that are needed stand where the header says."""
    needed = [header.index(name) for name in ("id", *COLUMNS.values(), "year") if name in header]
    if len(row) <= max(needed) or (len(row) > len(header) and max(needed) == len(header) - 1):
        return False
    year = row[header.index("year")] if "year" in header else ""
    return _label(year) == UNKNOWN or _year(year) > 0


def _label(text: str) -> str:
    return UNKNOWN if text.strip() in NO_LABEL else text.strip()


def read_class_folders(root: Path) -> Rows:
    """Read one folder a class; pictures may lie deeper inside. Hidden files are not looked at.

    Files without a picture's suffix, and pictures beside the classes, are counted as
    `other_file`.
    """
    Image.init()
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS}
    found = [file.relative_to(root) for file in _walk(root) if not file.name.startswith(".")]
    used = [name for name in found if name.suffix.lower() in known and len(name.parts) > 1]
    classes = {name.parts[0] for name in used}
    if classes and {name.lower() for name in classes} <= SPLIT_FOLDERS:
        raise UsageError(f"{root}: its folders are splits; name the one whose folders are classes")
    if len(classes) < 2:
        raise UsageError(f"{root}: no data set was found in this folder; --data wants {ACCEPTED}")
    return Rows(
        ids=[name.as_posix() for name in used],
        files=[root / name for name in used],
        labels={"article_type": [name.parts[0] for name in used]},
        dropped={"other_file": len(found) - len(used)},
    )


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below a folder in a fixed order, not those of hidden folders."""
    for parent, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(files))


def read_table(path: Path) -> Rows:
    """Read a CSV with a column `path`, and `label` or attributes (article_type, base_colour, …).

    Paths are relative to the CSV. A column `year` serves the split by year. Separators are
    commas, semicolons or tabs. Lines without a path or with too many fields are dropped and
    counted as `broken_line`.
    """
    header, delimiter = _head(path)
    names = {column: a for a, column in COLUMNS.items()} | {a: a for a in ATTRIBUTES}
    columns = {names[column]: column for column in header if column in names}
    if "label" in header:
        columns.setdefault("article_type", "label")
    if "article_type" not in columns:
        raise UsageError(f"{path}: has no column label (or article_type)")
    reader = csv.DictReader(io.StringIO(_text(path)), header, delimiter=delimiter)
    try:
        lines = list(reader)[1:]
    except csv.Error as error:
        raise UsageError(f"{path}: line {reader.line_num} is no CSV: {error}") from error
    rows = [row for row in lines if (row["path"] or "").strip() and None not in row]
    return Rows(
        ids=[row["path"].strip() for row in rows],
        files=[path.parent / row["path"].strip() for row in rows],
        labels={a: [(row[name] or "").strip() for row in rows] for a, name in columns.items()},
        year=[_year(row["year"] or "") for row in rows] if "year" in header else (),
        dropped={"broken_line": len(lines) - len(rows)},
    )


def read_fashion_mnist(folder: Path) -> Rows:
    """Read Fashion-MNIST's IDX files; its own 10,000 test pictures are the split `test`.

    Its pictures are negatives of products on white; they are turned back, so that they stand on
    white as all others do.
    """
    ids: list[str] = []
    files: list[bytes] = []
    labels: list[str] = []
    for part, prefix in MNIST_PARTS.items():
        images = _read_idx(folder / MNIST_IMAGES.format(prefix), dimensions=3)
        numbers = _read_idx(folder / MNIST_LABELS.format(prefix), dimensions=1)
        if len(images) != len(numbers) or numbers.max(initial=0) >= len(MNIST_CLASSES):
            raise UsageError(f"{folder}: the labels of {prefix} are not those of its pictures")
        ids += [f"{part}-{row:05d}" for row in range(len(images))]
        files += [_bitmap(255 - image) for image in images]
        labels += [MNIST_CLASSES[number] for number in numbers]
    test = [identity.startswith("test-") for identity in ids]
    return Rows(ids=ids, files=files, labels={"article_type": labels}, test=test)


def _read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an IDX file of bytes: a magic number, the big-endian sizes, the values."""
    packed = path.with_name(path.name + ".gz")
    try:
        data = gzip.decompress(packed.read_bytes()) if packed.is_file() else path.read_bytes()
    except FileNotFoundError as error:
        raise UsageError(f"{path}: no such file, nor {packed.name}; put it there") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UsageError(f"{packed}: damaged; fetch it anew ({error})") from error
    start = 4 * (1 + dimensions)
    if len(data) >= start:
        magic, *shape = struct.unpack(f">{1 + dimensions}I", data[:start])
        # 0x08 is the code of unsigned bytes.
        if magic == 0x0800 + dimensions and len(data) == start + math.prod(shape):
            return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape)
    raise UsageError(f"{path}: not a whole IDX file of {dimensions} dimension(s); fetch it anew")


def _bitmap(image: NDArray[np.uint8]) -> bytes:
    """Return a grey picture as a BMP: its bytes, and so its hash, depend on no compressor."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, "BMP")
    return file.getvalue()


def _head(path: Path) -> tuple[list[str], str]:
    """Return a CSV's columns and its separator: the one that its first line has most of."""
    first = _text(path, first_line=True)
    delimiter = max(",;\t", key=first.count)
    return [name.strip() for name in _fields(first, delimiter)], delimiter


def _fields(line: str, delimiter: str) -> list[str]:
    """Return the fields of one line, none where it is no CSV."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _text(path: Path, first_line: bool = False) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            return file.readline().rstrip("\n") if first_line else file.read()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: is not UTF-8; save it as UTF-8") from error


def _year(text: str) -> int:
    """Return a year, 0 where it is none."""
    number = text.strip().removesuffix(".0")
    return int(number) if number.isascii() and number.isdigit() else 0
