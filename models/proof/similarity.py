"""Similarity: the nearest neighbours of vectors by three distances, and how many are alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.calibrate import Floats
from models.data import UNKNOWN, Pictures

#: Queries compared at once: with 30,000 in the gallery a block takes 30 MB.
_BLOCK = 256
NEIGHBOURS = 10
#: For each query (N,) the share of its neighbours that are alike; NaN where that is not known.
Hits = dict[str, NDArray[np.float64]]


def unit(vectors: Floats) -> Floats:
    """Scale vectors (N, D) to unit length; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Floats = vectors / np.where(lengths == 0, 1, lengths)
    return scaled


def _cosine(queries: Floats, gallery: Floats) -> Floats:
    alike: Floats = unit(queries) @ unit(gallery).T
    return alike


def _euclidean(queries: Floats, gallery: Floats) -> Floats:
    """Minus the squared distance, without the query's own length, which moves no rank."""
    alike: Floats = 2 * queries @ gallery.T - (gallery**2).sum(axis=1)
    return alike


def _jaccard(queries: Floats, gallery: Floats) -> Floats:
    """Shared positive dimensions over those positive in either; only signs are looked at."""
    ours, theirs = ((part > 0).astype(np.float32) for part in (queries, gallery))
    both = ours @ theirs.T
    either = ours.sum(axis=1)[:, None] + theirs.sum(axis=1) - both
    alike: Floats = both / np.maximum(either, 1)
    return alike


#: Likeness (N, M) of queries (N, D) and gallery (M, D) by each distance: high for what is near.
DISTANCES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "cosine": _cosine,
    "euclidean": _euclidean,
    "jaccard": _jaccard,
}


def nearest(
    queries: Floats, gallery: Floats, count: int = NEIGHBOURS, distance: str = "cosine"
) -> NDArray[np.int64]:
    """Return the positions (N, count) of each query's nearest in the gallery, nearest first.

    Fewer where the gallery (M, D) has fewer.
    """
    count = min(count, len(gallery))
    found = [np.empty((0, count), dtype=np.int64)]
    for start in range(0, len(queries), _BLOCK):
        far = np.negative(DISTANCES[distance](queries[start : start + _BLOCK], gallery))
        best = np.argpartition(far, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(far, best, axis=1), axis=1, kind="stable")
        found.append(np.take_along_axis(best, order, axis=1))
    return np.concatenate(found)


def mean_hits(hits: Hits) -> dict[str, float | None]:
    """Return the precision at 10 of hits (N,); None where of no query the labels are known."""
    return {n: None if np.isnan(h).all() else float(np.nanmean(h)) for n, h in hits.items()}


def neighbour_hits(
    pictures: Pictures, rows: NDArray[np.int64], neighbours: NDArray[np.int64]
) -> Hits:
    """Tell what share of each picture's neighbours has its type, and its type and colour.

    `rows` (N,) and `neighbours` (N, K) are places in the data set.
    """
    alike = np.ones(neighbours.shape, dtype=bool)
    unknown = np.zeros(len(rows), dtype=bool)
    hits: Hits = {}
    for name, attribute in (("p10_type", "article_type"), ("p10_type_and_colour", "base_colour")):
        labels = pictures.labels[attribute]
        alike = alike & (labels[neighbours] == labels[rows][:, None])
        unknown = unknown | (labels[rows] == UNKNOWN)
        hits[name] = np.where(unknown, np.nan, alike.mean(axis=1))
    return hits
