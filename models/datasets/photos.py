"""Photographs of social services with coarse labels: phone pictures, and garments in the street.

They teach what a catalogue does not show: worn and creased garments, any background, bad light.
A coarse label names several article types that count as right (`coarse_labels.json`).

- `phone_photos.parquet`: `image` (a name), `jpeg` (the file), `sender_id`, `label`;
- `street_photos.parquet`: `id`, `jpeg`, `garments` (JSON list of {label, box: [x0, y0, x1, y1]} or
  null), `label_map` (a PNG of class numbers, 0 where nothing is worn), `tags` (JSON list of the
  labels of what is worn; optional, see `models.datasets.views`).

Needs pandas and pyarrow (the `train` extra).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from errors import PermanentError
from models.data import UNKNOWN, Pictures, decode_all, split_of
from models.datasets.duplicates import Fingerprint, fingerprint, same_scenes
from models.datasets.rows import each_file
from models.datasets.splits import LEFT_OUT
from models.labels import ATTRIBUTES, LabelSet
from models.pictures import decode
from models.transforms import to_pixels

PHONE_FILE = "phone_photos.parquet"
STREET_FILE = "street_photos.parquet"
COARSE_LABELS = Path(__file__).with_name("coarse_labels.json")
#: More of these few go to certification and test than of the catalogue's.
PHOTO_SPLITS = {"train": 0.64, "select": 0.1, "certify": 0.13, "test": 0.13}
#: Smallest share of a street photograph that a garment's box must cover to be cut out.
MIN_BOX = 0.001
#: Backgrounds are cut from street photographs where so much of a box is no person.
BACKGROUND_SHARE = 0.98


def coarse_types(dataset: str, label_set: LabelSet) -> dict[str, frozenset[str]]:
    """Article types that count as right for each coarse label of `phone` or `street`."""
    raw = json.loads(COARSE_LABELS.read_text())[dataset]
    known = label_set.names["article_type"]
    found: dict[str, frozenset[str]] = {}
    for names, types in raw.items():
        if isinstance(types, Mapping):
            master = types["master_category"]
            types = [kind for kind in known if label_set.parents[kind][1] == master]
        for name in names.split(", "):
            found[name] = frozenset(types) & frozenset(known)
    return {name: types for name, types in found.items() if types}


def load_phone(folder: Path, label_set: LabelSet, height: int, width: int) -> Pictures | None:
    """Read phone pictures; None where the file is not there. A sender lies in one split."""
    path = folder / PHONE_FILE
    if not path.is_file():
        return None
    table = pd.read_parquet(path)
    types = coarse_types("phone", label_set)
    used = table[table["label"].isin(list(types))].reset_index(drop=True)
    pixels, keep = decode_all(list(used["jpeg"]), height, width)
    used = used[keep]
    return _pictures(
        "phone",
        used["image"].to_numpy(dtype=str),
        pixels,
        [str(sender) for sender in used["sender_id"]],
        [types[label] for label in used["label"]],
        {"no_coarse_label": len(table) - len(keep), "undecodable": int((~keep).sum())},
    )


def load_street(folder: Path, label_set: LabelSet, height: int, width: int) -> Pictures | None:
    """Cut garments out of street photographs; None where the file is not there, or has none.

    All garments of a photograph lie in one split. A held-out photograph that training has seen
    too, cut or saved another way, is in no split.
    """
    path = folder / STREET_FILE
    if not path.is_file():
        return None
    types = coarse_types("street", label_set)
    ids, groups, pixels, coarse = [], [], [], []
    dropped: Counter[str] = Counter()
    for row, picture, garments in annotated(path, dropped):
        for number, garment in enumerate(garments):
            box = garment_box(garment, picture)
            if garment["label"] not in types or box is None:
                continue
            ids.append(f"{row}-{number}")
            groups.append(row)
            pixels.append(to_pixels(picture.crop(box), height, width))
            coarse.append(types[garment["label"]])
    if not pixels:
        return None
    found = _pictures("street", np.array(ids), np.stack(pixels), groups, coarse, dropped)
    return _without_copies(found, groups, _seen_in_training(path))


def _seen_in_training(path: Path) -> set[str]:
    """Name the held-out street photographs that resemble one that training sees.

    Those without boxes are all seen in training (`models.datasets.views`).
    """
    table = pd.read_parquet(path, columns=["id", "jpeg", "garments"])
    files = each_file(list(table["jpeg"]), fingerprint)
    prints, names, trained = [], [], []
    for name, boxless, found in zip(table["id"], table["garments"].isna(), files, strict=True):
        if isinstance(found, Fingerprint):
            prints.append(found)
            names.append(str(name))
            trained.append(boxless or split_of(str(name), 0, PHOTO_SPLITS) == "train")
    pairs = same_scenes(prints).tolist()
    both_ways = [*pairs, *([b, a] for a, b in pairs)]
    return {names[one] for one, other in both_ways if trained[other] and not trained[one]}


def _without_copies(found: Pictures, groups: Sequence[str], copies: set[str]) -> Pictures:
    """Take photographs out of all splits; count their pictures."""
    rows = np.isin(groups, sorted(copies))
    dropped = {**found.dropped, f"{found.dataset[0]}_seen_in_training": int(rows.sum())}
    return replace(found, split=np.where(rows, LEFT_OUT, found.split), dropped=dropped)


def load_backgrounds(
    folder: Path, height: int, width: int, seed: int = 0, each: int = 4
) -> NDArray[np.uint8]:
    """Cut backgrounds (M, H, W, 3) from the training split's street photographs.

    Empty where the file is not there: then products stay on white.
    """
    path = folder / STREET_FILE
    if not path.is_file():
        return np.empty((0, height, width, 3), dtype=np.uint8)
    random = np.random.default_rng(seed)
    patches = []
    for row, picture, _ in annotated(path, Counter(), with_map=True):
        if split_of(row, 0, PHOTO_SPLITS) != "train":  # as in `_pictures`, whatever the seed
            continue
        classes = np.asarray(picture.info["label_map"])
        for _ in range(each):
            side = int(random.integers(picture.width // 6, picture.width // 2))
            tall = min(picture.height - 1, side * height // width)
            left = int(random.integers(0, picture.width - side))
            top = int(random.integers(0, picture.height - tall))
            box = classes[top : top + tall, left : left + side]
            if (box == 0).mean() >= BACKGROUND_SHARE:
                cut = picture.crop((left, top, left + side, top + tall))
                patches.append(np.asarray(cut.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(patches) if patches else np.empty((0, height, width, 3), dtype=np.uint8)


def garment_box(
    garment: Mapping[str, Any], picture: Image.Image
) -> tuple[int, int, int, int] | None:
    """Return a garment's box (left, top, right, bottom; pixels); None where that is tiny."""
    left, top, right, bottom = garment["box"]
    box = (left, top, max(right, left + 1), max(bottom, top + 1))
    area = (box[2] - box[0]) * (box[3] - box[1]) / (picture.width * picture.height)
    return box if area >= MIN_BOX else None


def annotated(
    path: Path, dropped: Counter[str], with_map: bool = False
) -> Iterator[tuple[str, Image.Image, list[dict[str, Any]]]]:
    """Yield id, picture and garments of the photographs that have pixel labels.

    Counts in `dropped` those that do not decode.
    """
    table = pd.read_parquet(path)
    for row in table[table["garments"].notna()].to_dict("records"):
        try:
            picture = decode(row["jpeg"], min_side=10_000)
        except PermanentError:
            dropped["undecodable"] += 1
            continue
        if with_map:
            picture.info["label_map"] = Image.open(io.BytesIO(row["label_map"]))
        yield str(row["id"]), picture, json.loads(row["garments"])


def _pictures(
    dataset: str,
    ids: NDArray[np.str_],
    pixels: NDArray[np.uint8],
    groups: Sequence[str],
    coarse: Sequence[frozenset[str]],
    dropped: Mapping[str, int],
) -> Pictures:
    digest = hashlib.sha256(pixels.tobytes())
    digest.update("\n".join(map(str, map(sorted, coarse))).encode())
    return Pictures(
        ids=ids,
        pixels=pixels,
        labels={a: np.full(len(ids), UNKNOWN) for a in ATTRIBUTES},
        split=np.array([split_of(group, 0, PHOTO_SPLITS) for group in groups]),
        digest=digest.hexdigest(),
        dropped={f"{dataset}_{reason}": count for reason, count in dropped.items()},
        dataset=np.full(len(ids), dataset),
        coarse=list(coarse),
        group=np.array([f"{dataset}:{group}" for group in groups]),
    )
