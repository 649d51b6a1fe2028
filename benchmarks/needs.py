"""What a number of uploads a day needs: arithmetic on what was measured and what is assumed."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from benchmarks import report
from benchmarks.installation import BATCH_SIZE
from benchmarks.report import rounded
from errors import UsageError

DAY_SECONDS = 86_400
#: Stages that keep a worker process busy; `queue` is a wait.
BUSY = ("claim", "fetch", "decode", "resize", "predict", "write")
#: What `--quick` starts from, where nothing was measured: made up, and no figure to keep.
QUICK: Mapping[str, Mapping[str, Any]] = {
    "pipeline": {
        "uploads_per_second_single": 195.0,
        "uploads_a_batch": 31.0,
        "review_share": 0.4,
        "stage_milliseconds": {**dict.fromkeys(BUSY, 1.0), "predict": 2.0, "preview": 3.0},
    },
    "similarity": {
        "insert_rows_per_second": 1_000.0,
        "fold_rows_per_second": 1_000.0,
        "queries_per_second": 800.0,
        "vector_bytes": 1_500,
        "row_bytes": 2_000,
        "wal_bytes": 5_000,
        "wal_bytes_index": 5_000,
        "wal_bytes_full_pages": 50_000,
        "index_mb_1000000": 800,
        "table_mb_1000000": 1_500,
        "build_seconds_1000000": 200.0,
    },
}

MADE_UP = {"cores": 2, "processor": "none: made up"}

#: Quantities by name, with their units in it.
Quantities = dict[str, float]


@dataclass(frozen=True)
class Measured:
    """What the other parts found, on one machine; `cores` are those of that machine."""

    uploads_per_second_single: float
    uploads_a_batch: float
    review_share: float
    predict_share: float
    preview_ms: float
    insert_rows_per_second: float
    fold_rows_per_second: float
    queries_per_second: float
    vector_bytes: float
    row_bytes: float
    wal_bytes: float
    wal_bytes_index: float
    wal_bytes_full_pages: float
    vectors: int
    index_mb: float
    table_mb: float
    build_seconds: float
    cores: int
    processor: str

    @classmethod
    def read(cls, quick: bool = False) -> Measured:
        """Read the results of `pipeline` and `similarity`; with `quick` the figures are made up.

        Raises UsageError where one is missing, or they are of different machines.
        """
        pipeline, similarity = (
            {"figures": QUICK[part], "machine": MADE_UP} if quick else _results(part)
            for part in ("pipeline", "similarity")
        )
        if pipeline["machine"] != similarity["machine"]:
            raise UsageError("pipeline and similarity ran on different machines: run both on one")
        try:
            return cls._of(pipeline["figures"], similarity["figures"], pipeline["machine"])
        except (KeyError, ValueError) as error:
            raise UsageError(
                f"{report.RESULTS} has no {error}: run ./run bench pipeline, similarity first"
            ) from error

    @classmethod
    def _of(cls, pipeline: dict[str, Any], similarity: dict[str, Any], machine: Any) -> Measured:
        stages = pipeline["stage_milliseconds"]
        size = max(int(name[9:]) for name in similarity if name.startswith("index_mb_"))
        taken = {f.name for f in fields(cls)}
        plain = {k: v for k, v in {**pipeline, **similarity}.items() if k in taken}
        whole = {
            **plain,
            "predict_share": rounded(stages["predict"] / sum(stages[stage] for stage in BUSY)),
            "preview_ms": stages["preview"],
            "vectors": size,
            **{n: similarity[f"{n}_{size}"] for n in ("index_mb", "table_mb", "build_seconds")},
            **machine,
        }
        return cls(**{f.name: whole[f.name] for f in fields(cls)})


def _results(part: str) -> dict[str, Any]:
    file = report.RESULTS / f"{part}.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} is missing: run ./run bench {part} first") from error
    return found


def figures_if_measured(part: str) -> dict[str, Any] | None:
    """Return a part's figures, or None where it did not run."""
    try:
        figures: dict[str, Any] = _results(part)["figures"]
    except UsageError:
        return None
    return figures


def _assume(value: float, meaning: str) -> float:
    given: float = field(default=value, metadata={"meaning": meaning})
    return given


@dataclass(frozen=True)
class Assumed:
    """What was not measured; each is an option of the command."""

    peak: float = _assume(2.5, "busiest hour, times the day's mean")
    limit: float = _assume(2.0, "seconds from submit to published, for 95 % of the uploads")
    batch_ms: float = _assume(8.0, "milliseconds that a batch costs beside its pictures")
    busy: float = _assume(0.7, "most of its time that a process is to work in the busiest hour")
    picture_kb: float = _assume(200.0, "kB of an uploaded picture")
    preview_kb: float = _assume(70.0, "kB of a preview for operators")
    review_days: float = _assume(8.0, "days that a preview stays: the wait, and seven more")
    decisions_an_hour: float = _assume(720.0, "decisions of an operator: one in five seconds")
    keep_days: float = _assume(365.0, "days that an upload is kept")
    searches: float = _assume(1.0, "similarity searches for each upload")
    memory_gb: float = _assume(256.0, "GB of memory of a database server")
    index_share: float = _assume(0.6, "share of it that vectors and index may take")
    database_cores: float = _assume(64.0, "cores of a database server, half of them for writes")
    wal_mb: float = _assume(200.0, "MB of WAL a second that a server writes and replicas replay")

    @classmethod
    def add_options(cls, parser: argparse._ActionsContainer) -> None:
        """Add an option for each."""
        for one in fields(cls):
            name = "--" + one.name.replace("_", "-")
            meaning = one.metadata["meaning"].replace("%", "%%")
            parser.add_argument(name, type=float, default=one.default, help=meaning)

    @classmethod
    def of(cls, options: argparse.Namespace) -> Assumed:
        """Take them from the command line."""
        return cls(**{one.name: getattr(options, one.name) for one in fields(cls)})


def worker_needs(
    per_day: int, top: float, processes: int, waits: tuple[float, float], m: Measured, a: Assumed
) -> Quantities:
    """Return what the workers need; a process does `top` uploads a second at most.

    `processes` are the fewest by the simulation, `waits` the seconds at 50 and 95 % then.
    """
    mean = per_day / DAY_SECONDS
    peak = mean * a.peak
    return {
        "uploads a second, mean": mean,
        "uploads a second, busiest hour": peak,
        "processes that just keep the limit": processes,
        "how busy they are, %": 100 * peak / (processes * top),
        "p50 then, s": waits[0],
        "p95 then, s": waits[1],
        f"processes at most {100 * a.busy:.0f} % busy: take these": calm_processes(per_day, top, a),
        "of their work, the network's part in processes": peak / (a.busy * top) * m.predict_share,
        "processes that previews keep busy, day's mean": mean * m.preview_ms / 1000,
    }


def calm_processes(per_day: int, top: float, a: Assumed) -> int:
    """Return how many processes are no busier in the busiest hour than they are to be.

    Two at least: one may fail.
    """
    return max(2, math.ceil(per_day / DAY_SECONDS * a.peak / (a.busy * top)))


def database_needs(per_day: int, processes: float, m: Measured, a: Assumed) -> Quantities:
    """Return what PostgreSQL has to do."""
    mean = per_day / DAY_SECONDS
    peak = mean * a.peak
    wal = m.wal_bytes + m.wal_bytes_index
    kept = per_day * a.keep_days
    previews = m.review_share * a.preview_kb * 1e3
    return {
        "cores that write results, busiest hour": peak / m.insert_rows_per_second,
        "cores that move vectors to the index, day's mean": mean / m.fold_rows_per_second,
        "cores that search, busiest hour": peak * a.searches * m.cores / m.queries_per_second,
        "connections of workers": processes,
        "WAL without previews, MB a second, busiest hour": peak * wal / 1e6,
        "WAL without previews, GB a day": per_day * wal / 1e9,
        "WAL of previews, GB a day": per_day * previews / 1e9,
        "rows, GB a day": per_day * m.row_bytes / 1e9,
        "vectors with their indexes, GB a day": per_day * m.vector_bytes / 1e9,
        "both, TB kept": kept * (m.row_bytes + m.vector_bytes) / 1e12,
        "vectors kept, millions": kept / 1e6,
        "servers for their memory alone": math.ceil(kept / vectors_a_server(m, a)),
    }


def vector_needs(vectors: int, m: Measured, a: Assumed) -> Quantities:
    """Return what so many vectors take, by the largest gallery that was measured."""
    factor = vectors / m.vectors
    return {
        "HNSW index, GB": factor * m.index_mb / 1e3,
        "table with all its indexes, GB": factor * m.table_mb / 1e3,
        "index built in bulk, hours": factor * m.build_seconds / 3600,
        "moved one by one instead, hours": vectors / m.fold_rows_per_second / 3600,
        "servers for their memory": math.ceil(vectors / vectors_a_server(m, a)),
    }


def other_needs(per_day: int, m: Measured, a: Assumed) -> Quantities:
    """Return what broker, pictures and operators come to."""
    mean = per_day / DAY_SECONDS
    peak, size = mean * a.peak, a.picture_kb * 1e3
    reviews = per_day * m.review_share
    return {
        "doorbells a second at least, busiest hour": peak / BATCH_SIZE,
        "doorbells a second, one for each upload": peak,
        "pictures read, Gbit a second, busiest hour": peak * size * 8 / 1e9,
        "pictures, TB a day": per_day * size / 1e12,
        "pictures, TB kept": per_day * a.keep_days * size / 1e12,
        "uploads for a person, a day": reviews,
        "operators at eight hours a day": math.ceil(reviews / (8 * a.decisions_an_hour)),
        "previews in the database, GB": reviews * a.review_days * a.preview_kb / 1e6,
    }


def vectors_a_server(m: Measured, a: Assumed) -> float:
    """Return how many vectors one server holds in memory, table and index."""
    return a.memory_gb * 1e9 * a.index_share / (m.table_mb * 1e6 / m.vectors)


def limits_of_one(m: Measured, a: Assumed) -> list[tuple[str, float]]:
    """Return what ends first on one PostgreSQL, in uploads a day, the least first."""
    wal = m.wal_bytes + m.wal_bytes_index
    vectors = vectors_a_server(m, a)
    found = {
        f"memory for the vectors of {a.keep_days:.0f} days": vectors / a.keep_days,
        "one janitor, day's mean": m.fold_rows_per_second * DAY_SECONDS,
        "half the cores writing results, busiest hour": (
            a.database_cores / 2 * m.insert_rows_per_second * DAY_SECONDS / a.peak
        ),
        "WAL with previews, day's mean": (
            a.wal_mb * 1e6 / (wal + m.review_share * a.preview_kb * 1e3) * DAY_SECONDS
        ),
        "WAL without previews, busiest hour": a.wal_mb * 1e6 / wal * DAY_SECONDS / a.peak,
        "WAL where every page is written whole, busiest hour": (
            a.wal_mb * 1e6 / m.wal_bytes_full_pages * DAY_SECONDS / a.peak
        ),
    }
    return sorted(found.items(), key=lambda item: item[1])
