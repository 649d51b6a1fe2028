"""Vectors to search: real ones first, then real ones with noise, each with an article type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.report import note
from benchmarks.stock import NOISE, Vectors, real_vectors
from errors import UsageError
from models.pictures import decode
from models.predictor import Predictor
from models.transforms import to_pixels
from worker.storage import list_pictures

SEED = 5
CHUNK = 1024
#: Types of made galleries are as frequent as 1 / rank, about as the data set's are.
TYPES = 100


@dataclass(frozen=True)
class Gallery:
    """Unit vectors (n, 256) as the database holds them, in 16 bits, and their types (n,).

    The first `real` ones are of pictures, the others are some of these with noise.
    """

    vectors: Vectors
    types: NDArray[np.str_]
    real: int

    def __len__(self) -> int:
        return len(self.vectors)

    def first(self, count: int) -> Gallery:
        """Return the first vectors alone."""
        return Gallery(self.vectors[:count], self.types[:count], min(self.real, count))

    def nearest(self, queries: Vectors, k: int, wanted: str | None = None) -> NDArray[np.int64]:
        """Return the places (queries, k) of the nearest vectors, exactly; of one type if asked."""
        places = np.arange(len(self)) if wanted is None else np.flatnonzero(self.types == wanted)
        mine = self.vectors[places]
        return np.stack([places[nearest(mine, query, k)] for query in queries])


def nearest(vectors: Vectors, query: Vectors, k: int) -> NDArray[np.int64]:
    """Return the places (k,) of the unit vectors nearest to one (256,), the nearest first."""
    similarity = vectors @ query
    best = np.argpartition(-similarity, k - 1)[:k]
    ordered: NDArray[np.int64] = best[np.argsort(-similarity[best])]
    return ordered


@dataclass(frozen=True)
class Queries:
    """Unit vectors (n, 256) of pictures that are not in the gallery, and their types (n,)."""

    vectors: Vectors
    types: NDArray[np.str_]

    def where(self, chosen: NDArray[np.bool_]) -> Queries:
        """Return some of them."""
        return Queries(self.vectors[chosen], self.types[chosen])


def make_gallery(count: int, data: Path | None, images: Path) -> Gallery:
    """Make a gallery of `count` vectors: those of the data set in `data`, or of `images`.

    Where they end, each further one is one of them with noise. Raises UsageError where there are
    no pictures.
    """
    known, types = _of_data(data) if data else _of_images(images)
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(known))[:count]
    vectors, names = [known[order]], [types[order]]
    for size in _sizes(count - len(order)):
        chosen = rng.integers(0, len(known), size)
        vectors.append(with_noise(known[chosen], rng))
        names.append(types[chosen])
    return Gallery(_as_stored(np.concatenate(vectors)), np.concatenate(names), len(order))


def make_queries(gallery: Gallery, count: int) -> Queries:
    """Make queries near the gallery's own vectors, as a new picture's would be."""
    rng = np.random.default_rng(SEED + 1)
    chosen = rng.integers(0, gallery.real, count)
    return Queries(_as_stored(with_noise(gallery.vectors[chosen], rng)), gallery.types[chosen])


def with_noise(vectors: Vectors, rng: np.random.Generator) -> Vectors:
    """Return unit vectors that lie near the given ones."""
    moved = vectors + rng.normal(0, NOISE, vectors.shape).astype(np.float32)
    unit: Vectors = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    return unit


def _as_stored(vectors: Vectors) -> Vectors:
    """Round to the 16 bits of a `halfvec`: the truth must be of the same numbers."""
    return vectors.astype(np.float16).astype(np.float32)


def _sizes(count: int) -> Iterator[int]:
    for start in range(0, count, 64 * CHUNK):
        yield min(64 * CHUNK, count - start)


def _of_data(folder: Path) -> tuple[Vectors, NDArray[np.str_]]:
    file = folder / "fashion_products.parquet"
    if not file.exists():
        raise UsageError(f"{file} is not there; leave --data out to use the samples")
    table = pd.read_parquet(file, columns=["articleType", "jpeg"]).dropna()
    note(f"vectors of {len(table):,} pictures")
    predictor = Predictor.load()
    height, width = predictor.card.height, predictor.card.width
    found = []
    for start in range(0, len(table), CHUNK):
        files = table["jpeg"].iloc[start : start + CHUNK]
        pixels = [to_pixels(decode(jpeg, min(height, width)), height, width) for jpeg in files]
        found += [one.embedding for one in predictor.predict(pixels)]
    return np.stack(found), table["articleType"].to_numpy(dtype=np.str_)


def _of_images(folder: Path) -> tuple[Vectors, NDArray[np.str_]]:
    """Return mixtures of a few pictures' vectors: some hundred clusters, as pictures have."""
    files = [path for path in list_pictures(folder)[0] if path.name != "damaged.jpg"]
    if not files:
        raise UsageError(f"{folder}: there are no pictures")
    few = real_vectors(files)
    rng = np.random.default_rng(SEED)
    weights = rng.dirichlet(np.full(len(few), 0.3), 4 * TYPES).astype(np.float32)
    mixed = with_noise(weights @ few, rng)
    shares = 1 / np.arange(1, TYPES + 1)
    names = rng.choice([f"type {n}" for n in range(TYPES)], len(mixed), p=shares / shares.sum())
    return mixed, names.astype(np.str_)
