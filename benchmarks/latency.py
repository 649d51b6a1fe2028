"""Milliseconds from submit to published: alone, under load, and while a back catalogue runs.

Uploads come at random moments (Poisson), whether or not the ones before are done. Published is
when another connection sees the final status, so the commit is in it.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks import pictures, report
from benchmarks.backlog import insert_waiting
from benchmarks.contestants import Submission, cycle
from benchmarks.installation import (
    Installation,
    new_source,
    run_sql,
    wait_for_previews,
    wait_for_the_end,
    wait_for_the_index,
)
from benchmarks.report import note, percentile, rounded
from errors import HangtagError
from worker.client import Client

PERCENTS = (50, 95, 99)
LOADS = (10, 50, 90)
SEED = 5
#: How often it is looked which uploads are published; no figure is finer.
GLANCE_SECONDS = 0.002
#: Longest wait for an upload that was handed in.
LATE_SECONDS = 120.0
#: Fresh uploads a second while the backfill runs, and on the idle system beside it.
FRESH_PER_SECOND = 4.0


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add how long each load is kept up."""
    parser.add_argument("--seconds", type=float, default=15.0, help="time of each load")
    parser.add_argument("--backfill", type=int, default=100_000, help="rows of the backfill")


def run(options: argparse.Namespace) -> None:
    """Measure lone uploads, three loads, a backfill, and the second start."""
    seconds = 2.0 if options.quick else options.seconds
    backfill = 500 if options.quick else options.backfill
    number = 16 if options.quick else 512
    figures: dict[str, object] = {}
    taken: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="hangtag-bench-") as name:
        folder = Path(name)
        note("making pictures")
        files = pictures.make_pictures(
            options.images, folder / "pictures", pictures.SIZES["1080"], number
        )
        with Installation(folder / "site", 2, folder / "pictures") as site:
            lab = Laboratory(site, files)
            top = lab.top_rate(4 * number)
            figures |= {"uploads_per_second_single": rounded(top), "seconds_a_load": seconds}
            lab.rest()
            taken["alone"] = lab.alone(3 if options.quick else 40)
            for load in LOADS:
                lab.rest()
                taken[f"{load} % load"] = lab.under_load(top * load / 100, seconds)
            lab.rest()
            taken["idle"] = lab.under_load(FRESH_PER_SECOND, 2 * seconds)
            lab.rest()
            taken["backfill"] = lab.during_backfill(FRESH_PER_SECOND, 2 * seconds, backfill)
        note("second start")
        starts = [second_start(folder, files[n]) for n in range(1 if options.quick else 3)]
    rows = [row(name, values) for name, values in taken.items()]
    figures |= {
        "lone_p50_ms": rows[0]["p50_ms"],
        **{f"p95_ms_at_{load}": rows[1 + n]["p95_ms"] for n, load in enumerate(LOADS)},
        "ratio_backfill_idle_p95": rounded(
            percentile(taken["backfill"], 95) / percentile(taken["idle"], 95)
        ),
        "second_start_seconds": report.median(starts),
    }

    def plot(axes: Axes) -> None:
        for name, values in taken.items():
            shares = [(n + 1) / len(values) for n in range(len(values))]
            axes.step([1000 * value for value in sorted(values)], shares, label=name)
        axes.set(xscale="log", xlabel="ms from submit to published", ylabel="share of uploads")
        axes.legend()

    report.finish("latency", figures, rows, plot)


def row(name: str, values: Sequence[float]) -> dict[str, object]:
    """Return a line of the table: percentiles in milliseconds."""
    shown = {f"p{p}_ms": rounded(1000 * percentile(values, p)) for p in PERCENTS}
    return {"uploads": name, "count": len(values), **shown}


class Laboratory:
    """An installation, a producer, and one who looks when uploads are published."""

    def __init__(self, site: Installation, files: Sequence[Path]) -> None:
        self._site = site
        self._files = files
        self._client = site.client()
        self._connection = site.connect()

    def top_rate(self, number: int) -> float:
        """Return uploads a second, warm, that are handed in one by one, as the loads are."""
        single = Submission(self._site, "single")
        single.run(self._files)
        rate = number / single.run(cycle(self._files, number))
        single.close()
        note(f"top rate: {rate:.1f}/s")
        return rate

    def rest(self) -> None:
        """Wait until nothing is left of what was measured before: uploads, previews, vectors."""
        wait_for_the_end(self._connection)
        wait_for_previews(self._connection)
        wait_for_the_index(self._connection)

    def alone(self, number: int) -> list[float]:
        """Hand in one after the other, each on the idle system; return seconds each."""
        taken = []
        for file in cycle(self._files, number):
            watch = Watch(self._site)
            hand_in(self._client, [file], [0.0], watch)
            taken += watch.wait()
            time.sleep(0.3)  # the bell that a batch rings after itself has died away
        note(f"alone: {row('', taken)}")
        return taken

    def under_load(self, rate: float, seconds: float) -> list[float]:
        """Hand in so many a second; return seconds from submit to published of each."""
        moments = random_moments(rate, seconds)
        watch = Watch(self._site)
        hand_in(self._client, cycle(self._files, len(moments)), moments, watch)
        taken = watch.wait()
        note(f"{rate:.1f}/s: {row('', taken)}")
        return taken

    def during_backfill(self, rate: float, seconds: float, rows: int) -> list[float]:
        """Do the same while rows of the backfill lane are worked on; the rest is thrown away."""
        source = new_source()
        insert_waiting(self._connection, self._files, rows, source, -1)
        run_sql(self._connection, "ANALYZE hangtag_data.uploads")
        self._site.ring("backfill", rows)
        time.sleep(min(2.0, seconds))
        taken = self.under_load(rate, seconds)
        [(left,)] = run_sql(
            self._connection,
            "WITH gone AS (DELETE FROM hangtag_data.uploads "
            "WHERE source = %s AND status = 'pending' RETURNING 1) SELECT count(*) FROM gone",
            [source],
        )
        if not left:
            note("the backfill ended before the fresh uploads did: take more rows (--backfill)")
        wait_for_the_end(self._connection)
        return taken


class Watch:
    """Looks in a thread of its own which of the uploads that it was told of are published."""

    def __init__(self, site: Installation) -> None:
        self._connection = site.connect()
        self._open: dict[str, float] = {}
        self._taken: list[float] = []
        self._lock = threading.Lock()
        self._is_last = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def begin(self, upload: str, at: float) -> None:
        """Note when an upload was handed in (of `time.perf_counter`)."""
        with self._lock:
            self._open[upload] = at

    def wait(self) -> list[float]:
        """Wait until all are published; return seconds each. Raises HangtagError."""
        self._is_last.set()
        self._thread.join(LATE_SECONDS)
        if self._thread.is_alive():
            raise HangtagError(f"{len(self._open)} uploads were not published")
        return self._taken

    def _look(self) -> None:
        while not self._is_last.is_set() or self._open:
            with self._lock:
                waiting = list(self._open)
            done = self._published(waiting) if waiting else []
            now = time.perf_counter()
            with self._lock:
                self._taken += [now - self._open.pop(upload) for upload in done]
            time.sleep(GLANCE_SECONDS)
        self._connection.close()

    def _published(self, uploads: list[str]) -> list[str]:
        rows = run_sql(
            self._connection,
            "SELECT image_id::text FROM hangtag.upload_status WHERE image_id = "
            "ANY(CAST(%s AS uuid[])) AND status IN ('tagged', 'review', 'dead')",
            [uploads],
        )
        return [str(upload) for (upload,) in rows]


def hand_in(client: Client, files: Sequence[Path], moments: Sequence[float], watch: Watch) -> None:
    """Hand in a file at each moment (seconds from now), or as soon as the one before is handed in.

    An upload's time begins at its moment: a producer that is late shows.
    """
    source, began = new_source(), time.perf_counter()
    for number, (file, moment) in enumerate(zip(files, moments, strict=True)):
        time.sleep(max(0.0, began + moment - time.perf_counter()))
        submitted = client.submit(file.as_uri(), source, str(number))
        watch.begin(str(submitted.id), began + moment)


def random_moments(rate: float, seconds: float) -> list[float]:
    """Return seconds at which uploads come, `rate` a second, at least one, always the same."""
    rng = random.Random(SEED)  # noqa: S311 (not for secrets)
    moments = [rng.expovariate(rate)]
    while moments[-1] < seconds:
        moments.append(moments[-1] + rng.expovariate(rate))
    return moments[:-1] or moments


def second_start(folder: Path, file: Path) -> float:
    """Start an installation that ran before; return the seconds until an upload is published."""
    started = time.perf_counter()
    with Installation(folder / "site", 2, folder / "pictures") as site:
        client = site.client()
        watch = Watch(site)
        submitted = client.submit(file.as_uri(), new_source(), "first")
        watch.begin(str(submitted.id), started)
        [seconds] = watch.wait()
        client.close()
    return seconds
