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
from benchmarks.gallery import Gallery, Queries, make_gallery, make_queries, with_noise
from benchmarks.neighbours import (
    HNSWLIBS_OWN,
    K,
    Point,
    at_equal_recall,
    at_recall,
    exact,
    faiss_curve,
    hnswlib_curve,
)
from benchmarks.report import note, rounded
from benchmarks.shelf import Shelf

RECALL = 0.98
EFS = (10, 20, 40, 60, 80, 120, 160, 200, 400)
#: A search in process needs more of them for the same recall where many vectors are alike.
EFS_IN_PROCESS = (*EFS, 800, 1600)
#: hnswlib once more, with the graph that it builds where nothing is set: three times the work.
OWN = "hnswlib, its own graph"
#: A type is rare where so many pictures at most are of it.
RARE = 200
QUERIES = 300
#: Beside the database's default.
FILTER_EF = 400
SEED = 7
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
        figures |= figures_of_size  # at last, the largest one's

    def plot(axes: Axes) -> None:
        for way, points in curves.items():
            axes.plot([p.recall for p in points], [p.p95_ms for p in points], "o-", label=way)
        axes.set(
            xlabel=f"recall@{K}", ylabel="p95, ms", yscale="log", title=f"{sizes[-1]:,} vectors"
        )
        axes.legend()

    report.finish("similarity", figures, rows, plot)


def measure_size(
    gallery: Gallery, queries: Queries, quick: bool
) -> tuple[list[dict[str, object]], dict[str, object], dict[str, list[Point]]]:
    """Return table rows, figures, and the curves to draw."""
    vectors = queries.vectors
    truth = gallery.nearest(vectors, K)
    with tempfile.TemporaryDirectory(prefix="hangtag-bench-") as folder:
        shelf = Shelf(Path(folder))
        try:
            figures = shelf.fill(gallery)
            note(f"index built in {figures['build_seconds']} s")
            graph, default_ef = shelf.graph(), shelf.default_ef()
            figures |= {"m": graph.links, "ef_construction": graph.construction}
            ours = shelf.curve("Hangtag", vectors, truth, sorted({*EFS, default_ef}))
            best = at_recall(ours, RECALL) or ours[-1]
            figures |= {"ef_search": best.ef, "recall": best.recall, "p95_ms": best.p95_ms}
            # What other services get, which set nothing.
            plain = next(point for point in ours if point.ef == default_ef)
            figures |= {
                "ef_search_default": plain.ef,
                "recall_default": plain.recall,
                "p95_ms_default": plain.p95_ms,
            }
            filtered = filtered_points(shelf, gallery, queries, default_ef, figures)
            figures["queries_per_second"] = rounded(
                shelf.queries_per_second(
                    vectors, default_ef, report.cores(), 1.0 if quick else SECONDS
                )
            )
            further = gallery.vectors[: 64 if quick else INSERTED]
            figures["insert_rows_per_second"] = rounded(
                shelf.insert_rate(with_noise(further, np.random.default_rng(SEED)))
            )
            figures["p95_ms_while_fresh"] = shelf.curve(
                "fresh beside the index", vectors, truth, [default_ef]
            )[0].p95_ms
            figures["fold_rows_per_second"] = rounded(shelf.fold_rate())
            figures |= shelf.bytes_a_row()
            figures |= shelf.wal_a_row(with_noise(further, np.random.default_rng(SEED + 1)))
        finally:
            shelf.close()
    note("searches in process")
    curves = {
        "Hangtag": ours,
        "hnswlib": hnswlib_curve("hnswlib", gallery.vectors, vectors, truth, EFS_IN_PROCESS, graph),
        OWN: hnswlib_curve(OWN, gallery.vectors, vectors, truth, EFS_IN_PROCESS, HNSWLIBS_OWN),
        "FAISS HNSW": faiss_curve(gallery.vectors, vectors, truth, EFS_IN_PROCESS, graph),
    }
    for name, short in (("hnswlib", "hnswlib"), (OWN, "hnswlib_own"), ("FAISS HNSW", "faiss")):
        if found := at_equal_recall(ours, curves[name], RECALL):
            figures[f"ratio_p95_{short}"], figures[f"recall_equal_{short}"] = found
    points = [point for curve in curves.values() for point in curve]
    points += [exact(gallery.vectors, vectors, truth), *filtered]
    return [point.row for point in points], figures, curves


def filtered_points(
    shelf: Shelf,
    gallery: Gallery,
    queries: Queries,
    default_ef: int,
    figures: dict[str, object],
) -> list[Point]:
    """Measure queries for one type alone, and add the figures.

    A frequent type, asked for by its own pictures and by others, and a rare one.
    """
    counts = Counter(gallery.types.tolist()).most_common()
    frequent, number = counts[0]
    rare, few = next((name, n) for name, n in counts if K <= n <= RARE)
    figures |= {"frequent_share": rounded(number / len(gallery)), "rare_rows": few}
    is_own = queries.types == frequent
    points = []
    for kind, wanted, mine in (
        ("frequent", frequent, queries.where(is_own)),
        ("frequent_other", frequent, queries.where(~is_own)),
        ("rare", rare, queries),
    ):
        truth = gallery.nearest(mine.vectors, K, wanted)
        curve = shelf.curve(f"filter: {kind}", mine.vectors, truth, (default_ef, FILTER_EF), wanted)
        points += curve
        figures |= {f"recall_{kind}": curve[0].recall, f"p95_ms_{kind}": curve[0].p95_ms}
        figures[f"plan_{kind}"] = shelf.plan_of(mine.vectors[:1], wanted)
    return points
