"""Nearest neighbours by plain SQL: recall, milliseconds, beside searches in process.

The figures that count are those of the largest gallery. Queries are new vectors near real ones;
what is right is found by comparing with all of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from benchmarks import report
from benchmarks.gallery import Gallery, make_gallery, make_queries, with_noise
from benchmarks.neighbours import K, Point, at_recall, exact, faiss_curve, hnswlib_curve
from benchmarks.report import note, rounded
from benchmarks.shelf import Shelf

RECALL = 0.98
EFS = (10, 20, 40, 60, 80, 120, 200)
#: A type is rare where so many pictures at most are of it.
RARE = 200
QUERIES = 300
INSERTED = 3_200
SECONDS = 5.0


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add how many vectors, and where real ones come from."""
    parser.add_argument(
        "--vectors",
        type=int,
        nargs="+",
        default=[44_000, 200_000, 1_000_000],
        help="sizes of the gallery, each measured",
    )
    parser.add_argument(
        "--data", type=Path, help="folder of the data set; without it the vectors are made up"
    )


def run(options: argparse.Namespace) -> None:
    """Measure each size in a database of its own."""
    sizes = [2_000] if options.quick else sorted(options.vectors)
    queries_count = 30 if options.quick else QUERIES
    whole = make_gallery(sizes[-1], options.data, options.images)
    queries = make_queries(whole, queries_count)
    rows: list[dict[str, object]] = []
    figures: dict[str, object] = {"real_vectors": whole.real, "queries": queries_count}
    curves: dict[str, list[Point]] = {}
    for size in sizes:
        note(f"{size:,} vectors")
        found, figures_of_size, curves = measure_size(whole.first(size), queries, options.quick)
        rows += [{"vectors": size, **row} for row in found]
        figures |= {f"{name}_{size}": value for name, value in figures_of_size.items()}

    def plot(axes: Axes) -> None:
        for way, points in curves.items():
            axes.plot([p.recall for p in points], [p.p95_ms for p in points], "o-", label=way)
        axes.set(
            xlabel=f"recall@{K}", ylabel="p95, ms", yscale="log", title=f"{sizes[-1]:,} vectors"
        )
        axes.legend()

    report.finish("similarity", figures, rows, plot)


def measure_size(
    gallery: Gallery, queries: np.ndarray[tuple[int, int], np.dtype[np.float32]], quick: bool
) -> tuple[list[dict[str, object]], dict[str, object], dict[str, list[Point]]]:
    """Return table rows, figures, and the curves to draw."""
    truth = gallery.nearest(queries, K)
    counts = Counter(gallery.types.tolist())
    frequent = counts.most_common(1)[0][0]
    rare = next(name for name, n in counts.most_common() if K <= n <= max(K, RARE))
    with tempfile.TemporaryDirectory(prefix="hangtag-bench-") as folder:
        shelf = Shelf(Path(folder))
        try:
            built = shelf.fill(gallery)
            note(f"index built in {built['build_seconds']} s")
            ours = shelf.curve(queries, truth, EFS)
            best = at_recall(ours, RECALL) or ours[-1]
            filtered = {
                name: shelf.curve(queries, gallery.nearest(queries, K, name), [best.ef or 0], name)
                for name in (frequent, rare)
            }
            plans = {name: shelf.plan_of(queries[:1], name) for name in filtered}
            per_second = shelf.queries_per_second(
                queries, best.ef or 0, report.cores(), 1.0 if quick else SECONDS
            )
            further = with_noise(
                gallery.vectors[: 64 if quick else INSERTED], np.random.default_rng(1)
            )
            inserted = shelf.insert_rate(further)
        finally:
            shelf.close()
    note("searches in process")
    curves = {
        "Hangtag": ours,
        "hnswlib": hnswlib_curve(gallery.vectors, queries, truth, EFS),
        "FAISS HNSW": faiss_curve(gallery.vectors, queries, truth, EFS),
    }
    points = [point for curve in curves.values() for point in curve]
    points += [exact(gallery.vectors, queries, truth), *(p for c in filtered.values() for p in c)]
    beside = at_recall(curves["hnswlib"], RECALL)
    figures: dict[str, object] = {
        **built,
        "ef_search": best.ef,
        "recall": best.recall,
        "p95_ms": best.p95_ms,
        "ratio_p95_hnswlib": rounded(best.p95_ms / beside.p95_ms) if beside else None,
        "queries_per_second": rounded(per_second),
        "insert_rows_per_second": rounded(inserted),
        "frequent_share": rounded(counts[frequent] / len(gallery)),
        "recall_frequent": filtered[frequent][0].recall,
        "p95_ms_frequent": filtered[frequent][0].p95_ms,
        "rare_rows": counts[rare],
        "recall_rare": filtered[rare][0].recall,
        "p95_ms_rare": filtered[rare][0].p95_ms,
        "plan_rare": plans[rare],
    }
    return [point.row for point in points], figures, curves
