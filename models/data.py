"""Labelled pictures for training: decoding, cleaning, splitting.

Needs pandas, pyarrow and scipy (the `train` extra).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from errors import PermanentError, UsageError
from models.datasets.duplicates import file_hash, fingerprint, group_duplicates
from models.datasets.rows import UNKNOWN as UNKNOWN
from models.datasets.rows import File, Progress, Rows, each_file
from models.datasets.splits import SPLITS as SPLITS
from models.datasets.splits import split_of as split_of
from models.datasets.splits import split_rows
from models.labels import ATTRIBUTES, LabelSet, domain_of
from models.pictures import decode
from models.transforms import Pixels, to_pixels

PRODUCTS_FILE = "fashion_products.parquet"
#: Column of the data set for each attribute (Kaggle 'Fashion Product Images', styles.csv).
COLUMNS = {
    "master_category": "masterCategory",
    "sub_category": "subCategory",
    "article_type": "articleType",
    "base_colour": "baseColour",
    "gender": "gender",
    "season": "season",
    "usage": "usage",
}


@dataclass(frozen=True)
class Pictures:
    """A labelled data set, decoded.

    `ids` (N,), `pixels` uint8 (N, H, W, 3), `labels[attribute]` str (N,), `split` str (N,),
    `digest` SHA-256 over ids, labels and files, `dropped` how many rows were left out and why.
    Pictures with a coarse label instead have `UNKNOWN` labels and `coarse` (N,): the article
    types that count as right, None for the others. `dataset` str (N,) says where each is from.
    """

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.str_]]
    split: NDArray[np.str_]
    digest: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    dataset: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=str))
    coarse: Sequence[frozenset[str] | None] = ()
    group: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=str))
    year: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def indices(self, split: str, *datasets: str) -> NDArray[np.int64]:
        """Positions of the rows of one split, of some data sets alone where they are named."""
        chosen = self.split == split
        if datasets:
            chosen &= np.isin(self.dataset, datasets)
        return np.flatnonzero(chosen)

    def split_digest(self) -> str:
        """Return a hash of which picture lies in which split."""
        pairs = zip(self.dataset.tolist(), self.ids.tolist(), self.split.tolist(), strict=True)
        return hashlib.sha256(repr(sorted(pairs)).encode()).hexdigest()

    def targets(self, label_set: LabelSet) -> dict[str, NDArray[np.int64]]:
        """Label numbers (N,) an attribute; -1 where the label set does not know the name."""
        return {
            a: np.array([label_set.index[a].get(name, -1) for name in self.labels[a]])
            for a in ATTRIBUTES
        }

    def coarse_labels(self) -> dict[str, list[dict[str, Any]]]:
        """List the coarse labels that each domain trains with, for a card: types and pictures."""
        counts: dict[str, Counter[tuple[str, ...]]] = {}
        for row in self.indices("train").tolist():
            if types := self.coarse[row]:
                domain = counts.setdefault(domain_of(str(self.dataset[row])), Counter())
                domain[tuple(sorted(types))] += 1
        return {
            domain: [{"types": list(t), "pictures": n} for t, n in sorted(found.items())]
            for domain, found in sorted(counts.items())
        }

    def allowed(self, label_set: LabelSet) -> NDArray[np.bool_]:
        """Article types (N, types) that count as right for each picture."""
        index = label_set.index["article_type"]
        right = np.zeros((len(self.ids), len(index)), dtype=bool)
        types = self.targets(label_set)["article_type"]
        known = np.flatnonzero(types >= 0)
        right[known, types[known]] = True
        for row, names in enumerate(self.coarse):
            for name in names or ():
                if name in index:
                    right[row, index[name]] = True
        return right


def load_products(
    folder: Path,
    height: int,
    width: int,
    split_seed: int = 0,
    progress: Progress | None = None,
) -> Pictures:
    """Read and decode `fashion_products.parquet` in `folder` at height × width.

    Rows with a missing label and files that do not decode are dropped and counted.
    Raises UsageError where the file is missing or lacks a column.
    """
    return decode_rows(read_products(folder), height, width, "random", split_seed, progress)


def read_products(folder: Path) -> Rows:
    """Read `fashion_products.parquet` in `folder`, or another parquet file with its columns.

    Raises UsageError where the file is missing, damaged, or lacks a column.
    """
    path = folder / PRODUCTS_FILE if folder.is_dir() else folder
    if not path.is_file():
        raise UsageError(f"{path}: no such file; --data wants the folder that holds it")
    try:
        table = pd.read_parquet(path)
    except (ValueError, OSError) as error:  # Arrow's errors are ValueErrors
        raise UsageError(f"{path}: cannot be read as parquet; write it anew ({error})") from error
    missing = {"id", "jpeg", *COLUMNS.values()} - set(table.columns)
    if missing:
        raise UsageError(f"{path}: column(s) missing: {', '.join(sorted(missing))}")
    years = pd.to_numeric(table.get("year", pd.Series(dtype=float)), errors="coerce").fillna(0)
    named = {a: table[column].astype(object).fillna(UNKNOWN) for a, column in COLUMNS.items()}
    return Rows(
        ids=[str(identity) for identity in table["id"]],
        files=[data if isinstance(data, bytes) else None for data in table["jpeg"]],
        labels={a: [str(name) for name in names] for a, names in named.items()},
        year=[int(year) for year in years],
    )


def decode_rows(
    rows: Rows,
    height: int,
    width: int,
    split: str = "random",
    seed: int = 0,
    progress: Progress | None = None,
) -> Pictures:
    """Decode an importer's rows at height × width and split them.

    Rows without their labels and files that cannot be used are dropped and counted by the
    error's code. The digest depends on a split other than `random` too. `group` holds what a
    split keeps together: near-duplicates, or exact copies in the random one.
    Raises UsageError where no row is left, or the data have no years to split by.
    """
    rows = rows.labelled()
    pixels, files, kept, reasons = _decode(rows, height, width, progress)
    dropped = {**rows.dropped, "undecodable": 0, **reasons}
    if not kept:
        counts = ", ".join(f"{reason}: {count}" for reason, count in dropped.items() if count)
        raise UsageError(f"no picture can be used ({counts or 'there are none'})")
    rows = rows.take(kept)
    group = _groups(rows, files, split)
    labels = rows.all_labels()
    digest = _digest(rows.ids, files, labels)
    if split != "random":
        digest = hashlib.sha256(f"{digest}:{split}".encode()).hexdigest()
    return Pictures(
        ids=np.array(rows.ids, dtype=str),
        pixels=pixels,
        labels=labels,
        split=split_rows(group, split, seed, rows.year, rows.test),
        digest=digest,
        dropped=dropped,
        dataset=np.full(len(kept), "catalogue"),
        coarse=[None] * len(kept),
        group=group,
        year=np.array(rows.year, dtype=np.int64),
    )


def _groups(rows: Rows, files: Sequence[str], split: str) -> NDArray[np.str_]:
    """Return the key (N,) of what a split keeps together; `files` (N,) are the files' hashes."""
    if split == "random":
        return np.array(files, dtype=str)
    prints = []
    for file, found in zip(rows.files, each_file(rows.files, fingerprint), strict=True):
        if isinstance(found, PermanentError):  # gone since it was decoded
            raise PermanentError(f"{file!s:.200}: {found}", found.code)
        prints.append(found)
    return group_duplicates(prints)


def _decode(
    rows: Rows, height: int, width: int, progress: Progress | None
) -> tuple[NDArray[np.uint8], list[str], list[int], Counter[str]]:
    """Return pixels (M, H, W, 3), file hashes, positions of what decodes, and reasons why not."""
    pixels = np.empty((len(rows.files), height, width, 3), dtype=np.uint8)
    files: list[str] = []
    kept: list[int] = []
    reasons: Counter[str] = Counter()

    def work(data: bytes) -> tuple[Pixels, str]:
        picture = decode(data, min_side=min(height, width))
        return to_pixels(picture, height, width), file_hash(data)

    for row, found in enumerate(each_file(rows.files, work, progress)):
        if isinstance(found, PermanentError):
            reasons[found.code] += 1
        else:
            pixels[len(kept)], file = found
            files.append(file)
            kept.append(row)
    return pixels[: len(kept)], files, kept, reasons


def decode_all(
    files: Sequence[File], height: int, width: int, progress: Progress | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode files to pixels; return those that decode (M, H, W, 3) and which they are (N,)."""
    pixels = np.empty((len(files), height, width, 3), dtype=np.uint8)
    keep = np.ones(len(files), dtype=bool)

    def work(data: bytes) -> Pixels:
        return to_pixels(decode(data, min_side=min(height, width)), height, width)

    for row, found in enumerate(each_file(files, work, progress)):
        if isinstance(found, PermanentError):
            keep[row] = False
        else:
            pixels[row] = found
    return (pixels if keep.all() else pixels[keep]), keep


def join(first: Pictures, *others: Pictures) -> Pictures:
    """Return one data set of several.

    Where some parts know groups or years, the pictures of the others are groups of their own,
    and of no known year.
    """
    parts = (first, *others)
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
    groups = [p.group if len(p.group) else _own_groups(p) for p in parts]
    years = [p.year if len(p.year) else np.zeros(len(p.ids), dtype=np.int64) for p in parts]
    return Pictures(
        ids=np.concatenate([part.ids for part in parts]),
        pixels=np.concatenate([part.pixels for part in parts]),
        labels={a: np.concatenate([part.labels[a] for part in parts]) for a in ATTRIBUTES},
        split=np.concatenate([part.split for part in parts]),
        digest=hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(),
        dropped=dict(dropped),
        dataset=np.concatenate([part.dataset for part in parts]),
        coarse=[names for part in parts for names in part.coarse],
        group=np.concatenate(groups) if any(len(p.group) for p in parts) else first.group,
        year=np.concatenate(years) if any(len(p.year) for p in parts) else first.year,
    )


def _own_groups(part: Pictures) -> NDArray[np.str_]:
    names = zip(part.dataset, part.ids, strict=True)
    return np.array([f"{dataset}:{identity}" for dataset, identity in names], dtype=str)


def _digest(
    ids: Sequence[str], files: Sequence[str], labels: Mapping[str, NDArray[np.str_]]
) -> str:
    total = hashlib.sha256()
    for row, (identity, file) in enumerate(zip(ids, files, strict=True)):
        entry = "\0".join([identity, file, *(labels[a][row] for a in ATTRIBUTES)])
        total.update(entry.encode(errors="surrogateescape"))  # a file's name need not be UTF-8
    return total.hexdigest()
