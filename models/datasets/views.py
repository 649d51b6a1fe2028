"""Views: many cuts of the garments in street photographs, for training alone.

The photographs are few. A box that is moved a little shows a garment with other surroundings; and
a photograph that names what is worn, but not where, is cut where others wear it.

Needs pandas and pyarrow (the `train` extra).
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from errors import PermanentError
from models.datasets.photos import (
    PHOTO_SPLITS,
    STREET_FILE,
    annotated,
    coarse_types,
    garment_box,
)
from models.datasets.splits import split_of
from models.labels import LabelSet
from models.pictures import decode
from models.transforms import to_pixels

#: How far an edge of a box moves at most, as a share of the box's side.
JITTER = 0.06
#: Photographs whose cuts are in memory at a time.
AT_ONCE = 100
#: A label needs so many boxes elsewhere to say where it is worn.
LEAST_BOXES = 5

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Views:
    """Cuts of garments: pixels uint8 (M, H, W, 3), the types that count as right (M, types).

    `garment` (M,) numbers what they show; the views of a garment follow each other.
    """

    pixels: NDArray[np.uint8]
    right: NDArray[np.bool_]
    garment: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Views:
        """Return some of the views, in ascending order."""
        return Views(self.pixels[rows], self.right[rows], self.garment[rows])


def join_views(parts: Sequence[Views]) -> Views:
    """Return several views as one, their garments numbered on."""
    firsts = np.cumsum([0, *(int(part.garment.max(initial=-1)) + 1 for part in parts)])
    return Views(
        np.concatenate([part.pixels for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.garment + first for part, first in zip(parts, firsts, strict=False)]),
    )


def boxed_views(
    folder: Path, label_set: LabelSet, height: int, width: int, each: int, seed: int = 0
) -> Views | None:
    """Cut each training garment `each` times: by its own box, and by boxes moved a little.

    None where there are no street photographs with boxes.
    """
    path = folder / STREET_FILE
    if each < 1 or not path.is_file():
        return None
    types = coarse_types("street", label_set)
    random = np.random.default_rng([seed, 1])
    cuts = _Cuts(label_set, height, width)
    for row, picture, garments in annotated(path, Counter()):
        if split_of(row, 0, PHOTO_SPLITS) != "train":  # as in `load_street`, whatever the seed
            continue
        for garment in garments:
            box = garment_box(garment, picture)
            if garment["label"] not in types or box is None:
                continue
            moved = [_moved(box, picture, random) for _ in range(each - 1)]
            cuts.add(picture, [box, *moved], types[garment["label"]])
    return cuts.views()


def tagged_views(
    folder: Path,
    label_set: LabelSet,
    height: int,
    width: int,
    each: int,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Views]:
    """Cut what photographs without boxes are tagged with, where training garments are worn.

    `each` cuts a tag, by the boxes of garments with that label drawn at random: many of them
    miss, so that a version that knows the garments has to choose (`models.training.teacher`).
    Yields the cuts of some photographs at a time: all of them are gigabytes. The same seed cuts
    the same.
    """
    path = folder / STREET_FILE
    if each < 1 or not path.is_file():
        return
    types = coarse_types("street", label_set)
    places = _places(path)
    random = np.random.default_rng([seed, 2])
    cuts = _Cuts(label_set, height, width)
    table = pd.read_parquet(path)
    if "tags" not in table:
        return
    table = table[table["garments"].isna() & table["tags"].notna()]
    for done, (tags, data) in enumerate(zip(table["tags"], table["jpeg"], strict=True), 1):
        labels = [
            label
            for label in sorted(set(json.loads(tags)))
            if label in types and len(places[label]) >= LEAST_BOXES
        ]
        drawn = [random.integers(len(places[label]), size=each) for label in labels]
        with contextlib.suppress(PermanentError):  # a damaged photograph is left out
            picture = decode(data, min_side=10_000)
            size = np.array([picture.width, picture.height] * 2)
            for label, numbers in zip(labels, drawn, strict=True):
                boxes = [tuple(np.array(places[label][number]) * size) for number in numbers]
                cuts.add(picture, boxes, types[label])
        if (done % AT_ONCE == 0 or done == len(table)) and (found := cuts.views()):
            yield found
            cuts = _Cuts(label_set, height, width)
        if progress:
            progress(done, len(table))


def _places(path: Path) -> dict[str, list[Box]]:
    """Where training garments of each label are worn: boxes as shares of the photograph."""
    found: dict[str, list[Box]] = defaultdict(list)
    for row, picture, garments in annotated(path, Counter()):
        if split_of(row, 0, PHOTO_SPLITS) != "train":
            continue
        for garment in garments:
            box = garment_box(garment, picture)
            if box is not None:
                left, top, right, bottom = box
                found[garment["label"]].append(
                    (
                        left / picture.width, top / picture.height,
                        right / picture.width, bottom / picture.height,
                    )
                )  # fmt: skip
    return found


def _moved(box: Box, picture: Image.Image, random: np.random.Generator) -> Box:
    """Move each edge of a box a little, within the picture."""
    left, top, right, bottom = box
    wide, tall = right - left, bottom - top
    by = random.uniform(-JITTER, JITTER, size=4) * (wide, tall, wide, tall)
    return (
        max(0.0, left + by[0]), max(0.0, top + by[1]),
        min(float(picture.width), right + by[2]), min(float(picture.height), bottom + by[3]),
    )  # fmt: skip


class _Cuts:
    """Views in the making."""

    def __init__(self, label_set: LabelSet, height: int, width: int) -> None:
        self._index = label_set.index["article_type"]
        self._size = (height, width)
        self._pixels: list[NDArray[np.uint8]] = []
        self._right: list[NDArray[np.bool_]] = []
        self._garment: list[int] = []

    def add(self, picture: Image.Image, boxes: Sequence[Box], types: frozenset[str]) -> None:
        """Cut one garment by several boxes (left, top, right, bottom; pixels)."""
        right = np.zeros(len(self._index), dtype=bool)
        right[[self._index[name] for name in types]] = True
        number = self._garment[-1] + 1 if self._garment else 0
        for box in boxes:
            left, top = int(box[0]), int(box[1])
            whole = (left, top, max(left + 1, round(box[2])), max(top + 1, round(box[3])))
            self._pixels.append(to_pixels(picture.crop(whole), *self._size))
            self._right.append(right)
            self._garment.append(number)

    def views(self) -> Views | None:
        if not self._pixels:
            return None
        return Views(np.stack(self._pixels), np.stack(self._right), np.array(self._garment))
