"""What a day of uploads needs: a simulation of the queue, from rates that the other parts measured.

Workers take what waits, at most a batch, as the real ones do. Uploads come at random moments
(Poisson) at the rate of the busiest hour. The smallest number of worker processes is looked for
that publishes 95 % of the uploads within the limit; the rest is arithmetic.
"""

from __future__ import annotations

import argparse
import heapq
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.report import note, percentile, rounded
from errors import UsageError
from worker.settings import WorkerSettings

PER_DAY = (1_000_000, 100_000_000, 1_000_000_000)
#: Busiest hour beside the mean one: what public figures of social services come to.
PEAK = 2.5
DAY_SECONDS = 86_400
#: Uploads that are simulated: the busiest hour's, at most so many of them.
SIMULATED = 400_000
SEED = 5
#: What `--quick` starts from, where nothing was measured.
QUICK = {"picture_ms": 10.0, "rows_a_second": 1_000.0, "vector_bytes": 1_500, "row_bytes": 2_000}


@dataclass(frozen=True)
class Rates:
    """What one process does: milliseconds a batch costs beside its pictures, and a picture."""

    batch_ms: float
    picture_ms: float
    batch_size: int

    def seconds(self, pictures: int) -> float:
        """How long a batch of so many pictures takes."""
        return (self.batch_ms + self.picture_ms * pictures) / 1000

    @property
    def top(self) -> float:
        """Pictures a second, at full batches."""
        return self.batch_size / self.seconds(self.batch_size)


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add what the simulation starts from."""
    parser.add_argument("--picture-ms", type=float, help="a picture's cost; else as measured")
    parser.add_argument("--batch-ms", type=float, default=8.0, help="a batch's cost beside it")
    parser.add_argument("--limit", type=float, default=2.0, help="seconds for 95 %% of uploads")


def run(options: argparse.Namespace) -> None:
    """Simulate each number of uploads a day."""
    known = QUICK if options.quick else measured_costs()
    rates = Rates(
        options.batch_ms, options.picture_ms or known["picture_ms"], WorkerSettings().batch_size
    )
    rows = []
    curves: dict[int, list[tuple[float, float]]] = {}
    for per_day in PER_DAY[:1] if options.quick else PER_DAY:
        note(f"{per_day:,} uploads a day")
        peak = per_day / DAY_SECONDS * PEAK
        processes, waits = smallest(rates, peak, options.limit)
        rows.append(row(per_day, peak, processes, waits, known))
        curves[per_day] = load_curve(rates, processes)
    figures: dict[str, object] = {
        "uploads_per_second_a_process": rounded(rates.top),
        **{f"processes_{line['per_day']}": line["processes"] for line in rows},
    }

    def plot(axes: Axes) -> None:
        for per_day, points in curves.items():
            axes.plot(*zip(*points, strict=True), "o-", label=f"{per_day:,} a day")
        axes.set(xlabel="load, of what the processes can do", ylabel="p95, s", yscale="log")
        axes.legend()

    report.finish("scaling", figures, rows, plot)


def measured_costs() -> dict[str, float]:
    """Return what `pipeline` and `similarity` found. Raises UsageError where they did not run."""
    pipeline, similarity = (_figures(part) for part in ("pipeline", "similarity"))
    return {
        # Two processes shared the machine.
        "picture_ms": 2000 / pipeline["uploads_per_second"],
        "rows_a_second": similarity["insert_rows_per_second"],
        "vector_bytes": similarity["vector_bytes"],
        "row_bytes": similarity["row_bytes"],
    }


def _figures(part: str) -> dict[str, float]:
    file = report.RESULTS / f"{part}.json"
    try:
        found: dict[str, float] = json.loads(file.read_text())["figures"]
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{file} is missing: run ./run bench {part} first") from error
    return found


def simulate(rates: Rates, processes: int, per_second: float, count: int) -> NDArray[np.float64]:
    """Return the seconds (count,) from submission to published of each upload.

    A process that is free takes all that waits, at most a batch; who is free first goes first.
    """
    rng = np.random.default_rng(SEED)
    moments = np.cumsum(rng.exponential(1 / per_second, count))
    free = [0.0] * processes
    done = np.empty(count)
    place = 0
    while place < count:
        begin = max(heapq.heappop(free), moments[place])
        end = int(np.searchsorted(moments[place : place + rates.batch_size], begin, "right"))
        taken = max(1, end)
        finished = begin + rates.seconds(taken)
        done[place : place + taken] = finished
        place += taken
        heapq.heappush(free, finished)
    seconds: NDArray[np.float64] = done - moments
    return seconds


def smallest(rates: Rates, per_second: float, limit: float) -> tuple[int, NDArray[np.float64]]:
    """Return the fewest processes that keep p95 within the limit, and the seconds then.

    Raises UsageError where a single picture takes longer than that.
    """
    if rates.seconds(1) > limit:
        raise UsageError(f"a picture takes {rates.seconds(1):.1f} s alone; raise --limit")
    low, high = 1, max(2, math.ceil(2 * per_second / rates.top) + 1)
    count = int(min(SIMULATED, max(2_000, per_second * 3600)))
    while low < high:
        middle = (low + high) // 2
        if percentile_of(simulate(rates, middle, per_second, count), 95) <= limit:
            high = middle
        else:
            low = middle + 1
    return low, simulate(rates, low, per_second, count)


def load_curve(rates: Rates, processes: int) -> list[tuple[float, float]]:
    """Return p95 in seconds, by the share of their top rate that so many processes are given."""
    count = min(SIMULATED, 20_000 * processes)
    return [
        (load, percentile_of(simulate(rates, processes, load * processes * rates.top, count), 95))
        for load in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
    ]


def percentile_of(values: NDArray[np.float64], percent: float) -> float:
    """Return a percentile as `report` defines it."""
    return percentile(values.tolist(), percent)


def row(
    per_day: int, peak: float, processes: int, waits: NDArray[np.float64], known: dict[str, float]
) -> dict[str, object]:
    """Return a line of the table."""
    shown: Sequence[tuple[str, float]] = [(f"p{p}_s", percentile_of(waits, p)) for p in (50, 95)]
    return {
        "per_day": per_day,
        "peak_per_second": rounded(peak),
        "processes": processes,
        **{name: rounded(value) for name, value in shown},
        "database_cores": rounded(peak / known["rows_a_second"], 2),
        "doorbells_per_second": rounded(peak / WorkerSettings().batch_size),
        "rows_gb_a_day": rounded(per_day * known["row_bytes"] / 1e9),
        "vectors_gb_a_day": rounded(per_day * known["vector_bytes"] / 1e9),
    }
