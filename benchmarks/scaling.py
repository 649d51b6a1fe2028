"""What a day of uploads needs: a simulation of the queue, from rates that the other parts measured.

Workers take what waits, at most a batch, as the real ones do. Uploads come at random moments
(Poisson) at the rate of the busiest hour. The smallest number of worker processes is looked for
that publishes 95 % of the uploads within the limit; the rest is arithmetic (`benchmarks.needs`).
"""

from __future__ import annotations

import argparse
import heapq
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.installation import BATCH_SIZE
from benchmarks.needs import (
    DAY_SECONDS,
    Assumed,
    Measured,
    Quantities,
    calm_processes,
    database_needs,
    figures_if_measured,
    limits_of_one,
    other_needs,
    vector_needs,
    worker_needs,
)
from benchmarks.page import Block, bullet_block, fact_block, quantity_block, write_blocks
from benchmarks.report import note, percentile, rounded
from errors import UsageError

PER_DAY = (1_000_000, 100_000_000, 1_000_000_000)
VECTORS = PER_DAY
#: Shares of what the processes can do.
LOADS = (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
#: Loads that `latency` measures with two processes, in percent.
LATENCY_LOADS = (10, 50, 90)
#: Uploads that are simulated: the busiest hour's, at most so many of them.
SIMULATED = 400_000
SEED = 5


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
    """Add what is assumed, and where the tables go."""
    Assumed.add_options(parser)
    parser.add_argument(
        "--page", type=Path, help="write the tables between the comments of a page, too"
    )


def run(options: argparse.Namespace) -> None:
    """Simulate each number of uploads a day, and reckon what else it needs."""
    if options.quick and options.page:
        raise UsageError("--quick starts from made-up figures, which belong on no page")
    measured, assumed = Measured.read(options.quick), Assumed.of(options)
    rates = rates_of(measured, assumed)
    days = PER_DAY[:1] if options.quick else PER_DAY
    workers: dict[int, Quantities] = {}
    curves: dict[int, list[tuple[float, float]]] = {}
    for per_day in days:
        note(f"{per_day:,} uploads a day")
        peak = per_day / DAY_SECONDS * assumed.peak
        processes, waits = smallest(rates, peak, assumed.limit)
        percents = (percentile_of(waits, 50), percentile_of(waits, 95))
        workers[per_day] = worker_needs(per_day, rates.top, processes, percents, measured, assumed)
        curves[per_day] = load_curve(rates, processes)
    calm = {n: calm_processes(n, rates.top, assumed) for n in days}
    blocks = [
        fact_block("measured", measured),
        fact_block("assumed", assumed),
        quantity_block("workers", workers),
        quantity_block("waits", {n: waits_by_load(curve) for n, curve in curves.items()}),
        quantity_block(
            "database", {n: database_needs(n, calm[n], measured, assumed) for n in days}
        ),
        quantity_block(
            "vectors", {n: vector_needs(n, measured, assumed) for n in VECTORS}, "vectors kept"
        ),
        bullet_block("one database", limits_of_one(measured, assumed)),
        quantity_block("others", {n: other_needs(n, measured, assumed) for n in days}),
        check_block(rates),
    ]
    if options.page:
        write_blocks(options.page, blocks)
    figures: dict[str, object] = {
        "uploads_per_second_a_process": rounded(rates.top),
        **{f"processes_{n}": calm[n] for n in days},
        "assumed": vars(assumed),
    }

    def plot(axes: Axes) -> None:
        for per_day, points in curves.items():
            axes.plot(*zip(*points, strict=True), "o-", label=f"{per_day:,} a day")
        axes.set(xlabel="load, of what the processes can do", ylabel="p95, s", yscale="log")
        axes.legend()

    rows = [row for block in blocks for row in block.rows]
    report.finish("scaling", figures, rows, plot)


def rates_of(measured: Measured, assumed: Assumed) -> Rates:
    """Return what makes one of two processes as fast as was measured.

    Raises UsageError where a batch would cost more than its pictures and itself took.
    """
    whole = 2000 / measured.uploads_per_second_single
    picture_ms = whole - assumed.batch_ms / measured.uploads_a_batch
    if picture_ms <= 0:
        raise UsageError(f"--batch-ms {assumed.batch_ms}: more than a batch was measured to take")
    return Rates(assumed.batch_ms, picture_ms, BATCH_SIZE)


def waits_by_load(curve: list[tuple[float, float]]) -> Quantities:
    """Return p95 in milliseconds by load."""
    return {f"p95 at {100 * load:.0f} % load, ms": 1000 * p95 for load, p95 in curve}


def check_block(rates: Rates) -> Block:
    """Set the simulation beside what `latency` measured with two processes, if it did.

    Raises UsageError where an older release left less than is needed.
    """
    found = figures_if_measured("latency")
    if found is None:
        return Block("check", "`./run bench latency` has not run here: nothing to compare with.")
    if missing := {"uploads_per_second_single", "seconds_a_load"} - set(found):
        raise UsageError(f"latency's results have no {min(missing)}: run ./run bench latency first")
    columns: dict[str, Quantities] = {"simulated": {}, "measured": {}}
    for load in LATENCY_LOADS:
        rate = found["uploads_per_second_single"] * load / 100
        waits = simulate(rates, 2, rate, math.ceil(rate * found["seconds_a_load"]))
        name = f"p95 at {rate:.0f} uploads a second, ms"
        columns["simulated"][name] = 1000 * percentile_of(waits, 95)
        columns["measured"][name] = float(found[f"p95_ms_at_{load}"])
    return quantity_block("check", columns, "two processes")


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
    """Return the fewest processes that keep up and p95 within the limit, and the seconds then.

    Raises UsageError where a single picture takes longer than that.
    """
    if rates.seconds(1) > limit:
        raise UsageError(f"a picture takes {rates.seconds(1):.1f} s alone; raise --limit")
    # Fewer could not do the work at all; where the simulated time is short it might not show.
    low = math.floor(per_second / rates.top) + 1
    high = max(low + 1, math.ceil(2 * per_second / rates.top) + 1)
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
        for load in LOADS
    ]


def percentile_of(values: NDArray[np.float64], percent: float) -> float:
    """Return a percentile as `report` defines it."""
    return percentile(values.tolist(), percent)
