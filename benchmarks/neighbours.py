"""Searches in process, beside which the database's stands: exact, FAISS and hnswlib."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.gallery import nearest
from benchmarks.report import percentile, rounded
from benchmarks.stock import Vectors
from errors import UsageError

K = 10

#: Takes a query's number, returns the places of its neighbours.
Search = Callable[[int], Sequence[int]]


@dataclass(frozen=True)
class Graph:
    """What an HNSW graph is built with.

    Links a node, and candidates while it is built: `m` and `ef_construction`.
    """

    links: int
    construction: int


#: hnswlib's own defaults: with our graph it does not reach our recall among a million, however wide
#: it then searches (0.944 and 0.971 with 1,600 candidates in two runs).
HNSWLIBS_OWN = Graph(16, 200)


@dataclass(frozen=True)
class Point:
    """A point of the curve: recall@10, milliseconds a query, queries a second on one core."""

    way: str
    ef: int | None
    recall: float
    p50_ms: float
    p95_ms: float

    @property
    def row(self) -> dict[str, object]:
        """A line of the table."""
        return {
            "way": self.way,
            "ef_search": self.ef,
            "recall": self.recall,
            "p50_ms": self.p50_ms,
            "p95_ms": self.p95_ms,
        }


def measure(way: str, ef: int | None, search: Search, truth: NDArray[np.int64]) -> Point:
    """Ask each query one after the other, after some that are not counted."""
    for number in range(min(20, len(truth))):
        search(number)
    taken, hits = [], 0
    for number, right in enumerate(truth):
        began = time.perf_counter()
        found = search(number)
        taken.append(1000 * (time.perf_counter() - began))
        hits += len(set(found) & set(right.tolist()))
    recall = round(hits / truth.size, 4)
    return Point(way, ef, recall, rounded(percentile(taken, 50)), rounded(percentile(taken, 95)))


def exact(vectors: Vectors, queries: Vectors, truth: NDArray[np.int64]) -> Point:
    """Compare each query with all vectors, in numpy."""

    def search(number: int) -> Sequence[int]:
        return [int(place) for place in nearest(vectors, queries[number], K)]

    return measure("exact, numpy", None, search, truth)


def hnswlib_curve(
    way: str,
    vectors: Vectors,
    queries: Vectors,
    truth: NDArray[np.int64],
    efs: Sequence[int],
    graph: Graph,
) -> list[Point]:
    """Build hnswlib's index in memory and sweep `ef`. Raises UsageError where it is missing."""
    try:
        import hnswlib
    except ImportError as error:
        raise UsageError("hnswlib is missing; run ./run install bench") from error
    index = hnswlib.Index("cosine", vectors.shape[1])
    index.init_index(len(vectors), M=graph.links, ef_construction=graph.construction)
    index.add_items(vectors)
    index.set_num_threads(1)

    def search(number: int) -> Sequence[int]:
        places, _ = index.knn_query(queries[number], K)
        return [int(place) for place in places[0]]

    points = []
    for ef in efs:
        index.set_ef(ef)
        points.append(measure(way, ef, search, truth))
    return points


def faiss_curve(
    vectors: Vectors, queries: Vectors, truth: NDArray[np.int64], efs: Sequence[int], graph: Graph
) -> list[Point]:
    """Build FAISS's HNSW index in memory and sweep `efSearch`. Raises UsageError."""
    try:
        import faiss
    except ImportError as error:
        raise UsageError("faiss is missing; run ./run install bench") from error
    index = faiss.IndexHNSWFlat(vectors.shape[1], graph.links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = graph.construction
    index.add(vectors)
    faiss.omp_set_num_threads(1)

    def search(number: int) -> Sequence[int]:
        _, places = index.search(queries[number : number + 1], K)
        return [int(place) for place in places[0]]

    points = []
    for ef in efs:
        index.hnsw.efSearch = ef
        points.append(measure("FAISS HNSW", ef, search, truth))
    return points


def at_recall(points: Sequence[Point], recall: float) -> Point | None:
    """Return the fastest point that reaches a recall; None where none does."""
    good = [point for point in points if point.recall >= recall]
    return min(good, key=lambda point: point.p95_ms) if good else None


def at_equal_recall(
    ours: Sequence[Point], beside: Sequence[Point], recall: float
) -> tuple[float, float] | None:
    """Return our p95 as a multiple of another's, and the recall at which both reach it.

    That is `recall`. Where one of them never reaches it, a hundredth less than the most it does:
    at that most it would be charged for widths that find hardly anything more. None where there
    are no points.
    """
    least = min(max((point.recall for point in curve), default=0.0) for curve in (ours, beside))
    equal = recall if least >= recall else round(least - 0.01, 4)
    mine, other = at_recall(ours, equal), at_recall(beside, equal)
    return (rounded(mine.p95_ms / other.p95_ms), equal) if mine and other else None
