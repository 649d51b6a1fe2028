"""Labelled pictures for training: reading, cleaning, splitting.

Needs pandas and pyarrow (the `train` extra).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
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


@dataclass(frozen=True)
class Pictures:
    """A labelled data set, decoded.

    `ids` (N,), `pixels` uint8 (N, H, W, 3), `labels[attribute]` str (N,), `split` str (N,),
    `digest` SHA-256 over ids, labels and files, `dropped` how many rows were left out and why.
    """

    ids: NDArray[np.str_]
    pixels: NDArray[np.uint8]
    labels: Mapping[str, NDArray[np.str_]]
    split: NDArray[np.str_]
    digest: str
    dropped: Mapping[str, int] = field(default_factory=dict)

    def indices(self, split: str) -> NDArray[np.int64]:
        """Positions of the rows of one split."""
        return np.flatnonzero(self.split == split)

    def targets(self, label_set: LabelSet) -> dict[str, NDArray[np.int64]]:
        """Label numbers (N,) an attribute; -1 where the label set does not know the name."""
        return {
            a: np.array([label_set.index[a].get(name, -1) for name in self.labels[a]])
            for a in ATTRIBUTES
        }


def load_products(
    folder: Path,
    height: int,
    width: int,
    split_seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
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
    dropped = {"missing_label": len(table) - len(labelled), "undecodable": 0}
    pixels = np.empty((len(labelled), height, width, 3), dtype=np.uint8)
    keep = np.ones(len(labelled), dtype=bool)
    for row, data in enumerate(labelled["jpeg"]):
        try:
            picture = decode(data or b"", min_side=min(height, width))
            pixels[row] = to_pixels(picture, height, width)
        except PermanentError:
            keep[row] = False
            dropped["undecodable"] += 1
        if progress and row % 500 == 0:
            progress(row, len(labelled))
    labelled = labelled[keep]
    files = [hashlib.sha256(data).hexdigest() for data in labelled["jpeg"]]
    labels = {a: labelled[column].to_numpy(dtype=str) for a, column in COLUMNS.items()}
    return Pictures(
        ids=labelled["id"].to_numpy(dtype=str),
        pixels=pixels[keep] if dropped["undecodable"] else pixels,
        labels=labels,
        split=np.array([split_of(name, split_seed) for name in files]),
        digest=_digest(labelled["id"], files, labels),
        dropped=dropped,
    )


def split_of(key: str, seed: int) -> str:
    """Return the split of a picture, drawn from a hash of its key.

    The key is the file's own hash: the same file twice in the data lies on one side, and rows
    added later move nothing.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    for name, share in SPLITS.items():
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
