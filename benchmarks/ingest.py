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
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import psycopg2

KILLS = 3
ROOT = Path(__file__).resolve().parent.parent


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
    for row in table.itertuples():
        (folder / f"{row.id}.jpg").write_bytes(row.jpeg)
    return folder


def measure(data_dir: Path, pictures: Path, workers: int, kill: bool) -> dict[str, float]:
    """Run one installation over the pictures and count what came out."""
    hangtag = [sys.executable, "-m", "worker"]
    settings = {"HANGTAG_LEASE_SECONDS": "10"} if kill else {}
    data_dir.mkdir()
    with (data_dir / "up.log").open("w+") as log:
        up = subprocess.Popen(
            [*hangtag, "up", "--data-dir", str(data_dir), "--workers", str(workers)],
            cwd=ROOT,
            env={**os.environ, **settings},
            stderr=log,
        )
    try:
        while "Hangtag runs in" not in (data_dir / "up.log").read_text():
            if up.poll() is not None:
                raise SystemExit((data_dir / "up.log").read_text())
            time.sleep(0.1)
        environment = {**os.environ, **environment_of(hangtag, data_dir)}
        time.sleep(3)  # the workers load the model
        connection = psycopg2.connect(environment["HANGTAG_DATABASE_URL"])
        connection.autocommit = True
        started = time.monotonic()
        submit = subprocess.Popen(
            [*hangtag, "submit", str(pictures)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.DEVNULL,
        )
        kills = kill_children(connection, up.pid, times=KILLS) if kill else 0
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
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait()


def environment_of(hangtag: list[str], data_dir: Path) -> dict[str, str]:
    """Read what `hangtag env` prints."""
    printed = subprocess.run(
        [*hangtag, "env", "--data-dir", str(data_dir)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return dict(word.split("=", 1) for word in shlex.split(printed) if "=" in word)


def kill_children(connection: psycopg2.extensions.connection, up: int, times: int) -> int:
    """Kill -9 a worker child that holds a batch, several times."""
    done = 0
    deadline = time.monotonic() + 120
    while done < times and time.monotonic() < deadline:
        held = rows(
            connection,
            "SELECT DISTINCT claimed_by FROM hangtag_data.uploads WHERE status = 'processing'",
        )
        holders = {int(str(name).rsplit(":", 1)[1]) for (name,) in held}
        family = {child.pid for child in psutil.Process(up).children(recursive=True)}
        for pid in sorted(holders & family)[:1]:
            os.kill(pid, signal.SIGKILL)
            done += 1
            time.sleep(1)
    return done


def wait_for_the_end(connection: psycopg2.extensions.connection) -> None:
    """Wait until no upload is pending or processing."""
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline:
        [(open_ones,)] = rows(
            connection,
            "SELECT count(*) FROM hangtag.upload_status WHERE status IN ('pending', 'processing')",
        )
        if open_ones == 0:
            return
        time.sleep(0.1)


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


def outcome(
    connection: psycopg2.extensions.connection, seconds: float, expected: int
) -> dict[str, float]:
    """Count final states; `doubled` is rows too many, or tags that two results wrote."""
    statuses = dict(
        rows(connection, "SELECT status, count(*) FROM hangtag.upload_status GROUP BY status")
    )
    final = sum(statuses.get(name, 0) for name in ("tagged", "review", "dead"))
    [(uploads, names)] = rows(
        connection, "SELECT count(*), count(DISTINCT external_id) FROM hangtag.upload_status"
    )
    [(inconsistent,)] = rows(connection, INCONSISTENT)
    [(vectors,)] = rows(connection, "SELECT count(*) FROM hangtag.image_embeddings")
    return {
        "uploads_per_second": round(final / seconds, 1),
        "tagged": statuses.get("tagged", 0),
        "review": statuses.get("review", 0),
        "dead": statuses.get("dead", 0),
        "lost": expected - min(names, final),
        "doubled": uploads - names + inconsistent,
        "without_vector": expected - vectors,
        "index_used": wait_for_index(connection, ""),
        "index_used_filtered": wait_for_index(connection, "WHERE master_category = 'Apparel'"),
    }


def wait_for_index(connection: psycopg2.extensions.connection, where: str) -> bool:
    """Give autovacuum half a minute to tell the planner how many rows there are."""
    deadline = time.monotonic() + 30
    while not (used := uses_index(connection, where)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return used


def uses_index(connection: psycopg2.extensions.connection, where: str) -> bool:
    """Tell whether the contract's similarity query goes through the HNSW index."""
    [(vector,)] = rows(
        connection, "SELECT CAST(embedding AS text) FROM hangtag.image_embeddings LIMIT 1"
    )
    plan = rows(
        connection,
        f"EXPLAIN SELECT image_id FROM hangtag.image_embeddings {where} "  # noqa: S608 (constants)
        f"ORDER BY embedding <=> '{vector}' LIMIT 10",
    )
    return any("_hnsw_idx" in str(line) for (line,) in plan)


def rows(connection: psycopg2.extensions.connection, statement: str) -> list[tuple[object, ...]]:
    """Run a query."""
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


if __name__ == "__main__":
    main()
