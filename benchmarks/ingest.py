"""Uploads a second, from `hangtag submit` to the last published tag.

    python -m benchmarks.ingest --data DIR --count 2000 --workers 2
    python -m benchmarks.ingest --data DIR --count 2000 --workers 2 --kill

Writes pictures of the data set out as files, starts `hangtag up` in a folder of its own, hands
them in, and waits. With --kill a worker child is killed with -9 in the middle of a batch, three
times. The last line is JSON; the exit code is 0 only where nothing was lost or doubled.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from benchmarks.installation import (
    HANGTAG,
    Connection,
    Installation,
    count,
    run_sql,
    wait_for_the_end,
)
from benchmarks.report import ROOT

KILLS = 3
FINAL = ("tagged", "review", "dead")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="kill -9 worker children meanwhile")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hangtag-ingest-") as folder:
        pictures = write_pictures(options.data, Path(folder) / "pictures", options.count)
        figures = measure(Path(folder) / "data", pictures, options.workers, options.kill)
    print(json.dumps({"uploads": options.count, "workers": options.workers, **figures}))
    faults = [figures[name] for name in ("lost", "doubled", "dead", "without_vector")]
    sys.exit(any(faults) or (options.kill and figures["kills"] < KILLS))


def write_pictures(data: Path, folder: Path, count: int) -> Path:
    """Write the first pictures of the data set as JPEG files."""
    folder.mkdir()
    table = pd.read_parquet(data / "fashion_products.parquet", columns=["id", "jpeg"]).head(count)
    for name, jpeg in zip(table["id"], table["jpeg"], strict=True):
        (folder / f"{name}.jpg").write_bytes(jpeg)
    return folder


def measure(data_dir: Path, pictures: Path, workers: int, kill: bool) -> dict[str, float]:
    """Run one installation over the pictures and count what came out."""
    settings = {"HANGTAG_LEASE_SECONDS": "10"} if kill else {}
    with Installation(data_dir, workers, settings=settings) as site:
        time.sleep(3)  # the workers load the model
        connection = site.connect()
        started = time.monotonic()
        submit = subprocess.Popen(
            [*HANGTAG, "submit", str(pictures)],
            cwd=ROOT,
            env=site.environment,
            stdout=subprocess.DEVNULL,
        )
        kills = kill_children(connection, site, times=KILLS) if kill else 0
        submit.wait()
        submitted = time.monotonic() - started
        wait_for_the_end(connection)
        seconds = time.monotonic() - started
        return {
            "submit_seconds": round(submitted, 2),
            "seconds": round(seconds, 2),
            "kills": kills,
            **outcome(connection, seconds, len(list(pictures.iterdir()))),
        }


def kill_children(connection: Connection, site: Installation, times: int) -> int:
    """Kill -9 a worker child that holds a batch, several times."""
    done = 0
    deadline = time.monotonic() + 120
    while done < times and time.monotonic() < deadline:
        held = run_sql(
            connection,
            "SELECT DISTINCT claimed_by FROM hangtag_data.uploads WHERE status = 'processing'",
        )
        holders = {int(str(name).rsplit(":", 1)[1]) for (name,) in held}
        family = {process.pid for process in site.processes()}
        for pid in sorted(holders & family)[:1]:
            os.kill(pid, signal.SIGKILL)
            done += 1
            time.sleep(1)
    return done


#: Uploads whose tags were not written by exactly one result: neither a published type nor an
#: open review item, or both, or tags and prediction of several moments (a transaction has one).
INCONSISTENT = """
    SELECT count(*) FROM (
        SELECT FROM hangtag_data.uploads AS u
        LEFT JOIN hangtag_data.tags AS t ON t.upload_id = u.id
        LEFT JOIN hangtag_data.review_items AS r ON r.upload_id = u.id AND r.status = 'open'
        LEFT JOIN hangtag_data.predictions AS p ON p.upload_id = u.id
        GROUP BY u.id, u.status
        HAVING (count(*) FILTER (WHERE t.attribute = 'article_type') > 0) = (count(r.id) > 0)
            OR (u.status = 'review') <> (count(r.id) > 0)
            OR count(DISTINCT t.decided_at) > 1
            OR count(DISTINCT p.created_at) <> 1
            OR count(DISTINCT t.decided_at) = 1 AND min(t.decided_at) <> min(p.created_at)
    ) AS odd
"""


def outcome(connection: Connection, seconds: float, expected: int) -> dict[str, float]:
    """Count final states; `doubled` is rows too many, or tags that two results wrote."""
    statuses = {
        name: count(connection, f"SELECT count(*) FROM hangtag.upload_status {where}")  # noqa: S608
        for name, where in {name: f"WHERE status = '{name}'" for name in FINAL}.items()
    }
    final = sum(statuses.values())
    uploads = count(connection, "SELECT count(*) FROM hangtag.upload_status")
    names = count(connection, "SELECT count(DISTINCT external_id) FROM hangtag.upload_status")
    inconsistent = count(connection, INCONSISTENT)
    vectors = count(connection, "SELECT count(*) FROM hangtag.image_embeddings")
    return {
        "uploads_per_second": round(final / seconds, 1),
        **statuses,
        "lost": expected - min(names, final),
        "doubled": uploads - names + inconsistent,
        "without_vector": expected - vectors,
        "index_used": wait_for_index(connection, ""),
        "index_used_filtered": wait_for_index(connection, "WHERE master_category = 'Apparel'"),
    }


def wait_for_index(connection: Connection, where: str) -> bool:
    """Give autovacuum half a minute to tell the planner how many rows there are."""
    deadline = time.monotonic() + 30
    while not (used := uses_index(connection, where)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return used


def uses_index(connection: Connection, where: str) -> bool:
    """Tell whether the contract's similarity query goes through the HNSW index."""
    [(vector,)] = run_sql(
        connection, "SELECT CAST(embedding AS text) FROM hangtag.image_embeddings LIMIT 1"
    )
    plan = run_sql(
        connection,
        f"EXPLAIN SELECT image_id FROM hangtag.image_embeddings {where} "  # noqa: S608 (constants)
        f"ORDER BY embedding <=> '{vector}' LIMIT 10",
    )
    return any("_hnsw_idx" in str(line) for (line,) in plan)


if __name__ == "__main__":
    main()
