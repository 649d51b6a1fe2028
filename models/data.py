"""Labelled pictures for training: reading, cleaning, splitting.

Needs pandas and pyarrow (the `train` extra).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from errors import PermanentError, UsageError
from models.labels import ATTRIBUTES, LabelSet
from models.pictures import decode
from models.transforms import to_pixels

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
#: Shares of the splits. `select` fits temperatures and thresholds, `certify` bounds the error
#: of the chosen rule, `test` is read by `evaluate` alone.
SPLITS = {"train": 0.76, "select": 0.08, "certify": 0.08, "test": 0.08}
#: The label of an attribute that nobody named for a picture.
UNKNOWN = ""
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Pictures:
    """A labelled data set, decoded.

    `ids` (N,), `pixels` uint8 (N, H, W, 3), `labels[attribute]` str (N,), `split` str (N,),
    `digest` SHA-256 over ids, labels and files, `dropped` how many rows were left out and why.
    Pictures with a coarse label instead have `UNKNOWN` labels and `coarse` (N,): the article
    types that count as right, None for the others. `source` str (N,) says where each is from.
    """

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.str_]]
    split: NDArray[np.str_]
    digest: str
    dropped: Mapping[str, int] = field(default_factory=dict)
    source: NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=str))
    coarse: Sequence[frozenset[str] | None] = ()

    def indices(self, split: str, *sources: str) -> NDArray[np.int64]:
        """Positions of the rows of one split, of some sources alone where they are named."""
        chosen = self.split == split
        if sources:
            chosen &= np.isin(self.source, sources)
        return np.flatnonzero(chosen)

    def targets(self, label_set: LabelSet) -> dict[str, NDArray[np.int64]]:
        """Label numbers (N,) an attribute; -1 where the label set does not know the name."""
        return {
            a: np.array([label_set.index[a].get(name, -1) for name in self.labels[a]])
            for a in ATTRIBUTES
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
    path = folder / PRODUCTS_FILE if folder.is_dir() else folder
    if not path.is_file():
        raise UsageError(f"{path}: no such file; --data wants the folder that holds it")
    table = pd.read_parquet(path)
    missing = {"id", "jpeg", *COLUMNS.values()} - set(table.columns)
    if missing:
        raise UsageError(f"{path}: column(s) missing: {', '.join(sorted(missing))}")
    labelled = table.dropna(subset=list(COLUMNS.values())).reset_index(drop=True)
    pixels, keep = decode_all(list(labelled["jpeg"]), height, width, progress)
    dropped = {"missing_label": len(table) - len(labelled), "undecodable": int((~keep).sum())}
    labelled = labelled[keep]
    files = [hashlib.sha256(data).hexdigest() for data in labelled["jpeg"]]
    labels = {a: labelled[column].to_numpy(dtype=str) for a, column in COLUMNS.items()}
    return Pictures(
        ids=labelled["id"].to_numpy(dtype=str),
        pixels=pixels,
        labels=labels,
        split=np.array([split_of(name, split_seed) for name in files]),
        digest=_digest(labelled["id"], files, labels),
        dropped=dropped,
        source=np.full(len(labelled), "catalogue"),
        coarse=[None] * len(labelled),
    )


def decode_all(
    files: Sequence[bytes | None], height: int, width: int, progress: Progress | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Decode files to pixels; return those that decode (M, H, W, 3) and which they are (N,)."""
    pixels = np.empty((len(files), height, width, 3), dtype=np.uint8)
    keep = np.ones(len(files), dtype=bool)
    for row, data in enumerate(files):
        try:
            pixels[row] = to_pixels(decode(data or b"", min_side=min(height, width)), height, width)
        except PermanentError:
            keep[row] = False
        if progress and row % 500 == 0:
            progress(row, len(files))
    return (pixels if keep.all() else pixels[keep]), keep


def join(first: Pictures, *others: Pictures) -> Pictures:
    """Return one data set of several; ids are prefixed by their source where they could clash."""
    parts = (first, *others)
    dropped: dict[str, int] = {}
    for part in parts:
        for reason, count in part.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return Pictures(
        ids=np.concatenate([part.ids for part in parts]),
        pixels=np.concatenate([part.pixels for part in parts]),
        labels={a: np.concatenate([part.labels[a] for part in parts]) for a in ATTRIBUTES},
        split=np.concatenate([part.split for part in parts]),
        digest=hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest(),
        dropped=dropped,
        source=np.concatenate([part.source for part in parts]),
        coarse=[names for part in parts for names in part.coarse],
    )


def split_of(key: str, seed: int, shares: Mapping[str, float] = SPLITS) -> str:
    """Return the split of a picture, drawn from a hash of its key.

    The key is the file's own hash: the same file twice in the data lies on one side, and rows
    added later move nothing.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in shares.items():
        if place < share:
            return name
        place -= share
    return name


def _digest(ids: pd.Series[str], files: list[str], labels: Mapping[str, NDArray[np.str_]]) -> str:
    total = hashlib.sha256()
    for row, (identity, file) in enumerate(zip(ids, files, strict=True)):
        total.update(
            "\0".join([str(identity), file, *(labels[a][row] for a in ATTRIBUTES)]).encode()
        )
    return total.hexdigest()
