"""Uploads a second from submit to published, beside the bare loop and the peers.

All ways take turns on one machine within one run, and only ratios of the same round are kept: a
machine that others use, too, gives other absolute figures each time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks import pictures, report
from benchmarks.backlog import cost_by_backlog
from benchmarks.contestants import (
    BareLoop,
    Contestant,
    Submission,
    cycle,
    ratio,
    take_turns,
)
from benchmarks.installation import Installation, count
from benchmarks.peers import NAMES, SIZES, close_all, plot_rates, rate_rows, start_peers
from benchmarks.stock import add_stock
from worker.stages import STAGES

#: Pictures a turn, and how many different ones are made.
COUNTS = {"1080": 3600, "12mp": 320, "webp": 320, "png": 200}
MADE = {"1080": 512, "12mp": 72, "webp": 72, "png": 72}
BACKLOGS = (10, 1_000, 100_000)


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add what decides how long it takes."""
    pictures.add_options(parser)
    parser.add_argument("--repeats", type=int, default=3, help="rounds that are counted")
    parser.add_argument(
        "--stock", type=int, default=10_000, help="tagged uploads that are there before"
    )
    parser.add_argument("--without-peers", action="store_true", help="only beside the limit")


def run(options: argparse.Namespace) -> None:
    """Measure with 1 process, then with 2: sizes, ways of submission, peers, backlogs."""
    rounds = 1 if options.quick else options.repeats
    scale = 0.01 if options.quick else 1.0
    stock = min(options.stock, 50) if options.quick else options.stock
    figures: dict[str, object] = {"repeats": rounds, "stock": stock}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="hangtag-bench-") as name:
        folder = Path(name)
        report.note("making pictures")
        made = {
            size: pictures.make_pictures(
                options.images, folder / "pictures", pictures.SIZES[size], _scaled(number, scale)
            )
            for size, number in MADE.items()
        }
        for processes in (1, 2):
            report.note(f"{processes} worker processes, {stock:,} uploads in stock")
            with Installation(folder / f"site-{processes}", processes, folder / "pictures") as site:
                add_stock(site, made["1080"][:64], stock)
                bench = Bench(site, folder, rounds, scale)
                if processes == 1:
                    rows += bench.sizes(made, figures)
                    continue
                rows += bench.sizes(made, figures, not options.without_peers)
                rows += bench.stages(made["1080"], figures)
                rows += bench.backlogs(made["1080"], figures)
                figures["review_share"] = review_share(site)

    def plot(axes: Axes) -> None:
        plot_rates(axes, [row for row in rows if "per_second" in row])

    report.finish("pipeline", figures, rows, plot)


def _scaled(number: int, scale: float) -> int:
    return max(8, round(number * scale))


class Bench:
    """One installation and all that is measured beside it."""

    def __init__(self, site: Installation, folder: Path, rounds: int, scale: float) -> None:
        self._site = site
        self._folder = folder
        self._rounds = rounds
        self._scale = scale

    def sizes(
        self,
        made: dict[str, list[Path]],
        figures: dict[str, object],
        with_peers: bool = False,
    ) -> list[dict[str, object]]:
        """Measure each kind of picture; with two processes also the other ways to submit."""
        processes = self._site.workers
        limit = BareLoop(processes)
        bulk, single, backfill = (
            Submission(self._site, way) for way in ("bulk", "single", "backfill")
        )
        peers = start_peers(self._site, self._folder, processes) if with_peers else []
        rows: list[dict[str, object]] = []
        for size, files in made.items():
            report.note(f"pictures: {size}")
            contestants: list[Contestant] = [limit, bulk]
            if size == "1080" and processes > 1:
                contestants += [single, backfill]
            if size in SIZES:
                contestants += peers
            number = _scaled(round(COUNTS[size] * processes / 2), self._scale)
            rates = take_turns(contestants, files, number, self._rounds)
            rows += rate_rows(size, processes, rates)
            figures |= key_figures(size, processes, rates)
        close_all([limit, bulk, single, backfill, *peers])
        return rows

    def stages(self, files: Sequence[Path], figures: dict[str, object]) -> list[dict[str, object]]:
        """Say where the workers' time goes, by their own count, in one bulk submission."""
        bulk = Submission(self._site, "bulk")
        before = self._site.totals()
        bulk.run(cycle(files, _scaled(COUNTS["1080"], self._scale)))
        time.sleep(0.5)  # a batch is counted after it is written
        after = self._site.totals()
        bulk.close()
        uploads = after["uploads"] - before["uploads"]
        means = {s: report.rounded(1000 * (after[s] - before[s]) / uploads) for s in STAGES}
        figures["stage_milliseconds"] = means
        figures["uploads_a_batch"] = report.rounded(
            uploads / (after["batches"] - before["batches"])
        )
        return [
            {
                "pictures": "1080",
                "processes": self._site.workers,
                "way": f"stage {stage}",
                "milliseconds_a_row": value,
            }
            for stage, value in means.items()
        ]

    def backlogs(
        self, files: Sequence[Path], figures: dict[str, object]
    ) -> list[dict[str, object]]:
        """Measure what a row costs while few or many wait."""
        waiting = [_scaled(number, self._scale) for number in BACKLOGS]
        costs = cost_by_backlog(self._site, files, waiting, self._rounds)
        many, some = costs[waiting[2]], costs[waiting[1]]
        figures["ratio_cost_100000_1000"] = report.median(
            [a / b for a, b in zip(many, some, strict=True)]
        )
        return [
            {
                "pictures": "1080",
                "processes": self._site.workers,
                "way": f"{number:,} waiting",
                "milliseconds_a_row": report.median(values),
            }
            for number, values in costs.items()
        ]


def key_figures(size: str, processes: int, rates: dict[str, list[float]]) -> dict[str, object]:
    """Return the figures that are promised, out of one kind of picture's rates."""
    figures: dict[str, object] = {}
    name = "" if size == "1080" else f"_{size}"
    if processes == 1:
        figures[f"ratio_limit_bulk{name}_1_process"] = ratio(rates, "bulk", "limit")
        return figures
    for way in ("bulk", "single", "backfill"):
        if way in rates:
            figures[f"ratio_limit_{way}{name}"] = ratio(rates, way, "limit")
    if "single" in rates:
        figures["uploads_per_second_single"] = report.rounded(statistics.median(rates["single"]))
    for kind, called in NAMES.items():
        if called in rates:
            other = "first_written" if kind == "torch" else kind
            figures[f"ratio_{other}_{size}"] = ratio(rates, "bulk", called)
    figures[f"uploads_per_second{name}"] = report.rounded(statistics.median(rates["bulk"]))
    return figures


def review_share(site: Installation) -> float:
    """Return how many of the measured uploads went to a person; previews are drawn afterwards."""
    connection = site.connect()
    where = "FROM hangtag_data.uploads WHERE source LIKE 'bench-%'"
    reviewed = count(connection, f"SELECT count(*) {where} AND status = 'review'")
    whole = count(connection, f"SELECT count(*) {where}")
    connection.close()
    return report.rounded(reviewed / max(1, whole))
