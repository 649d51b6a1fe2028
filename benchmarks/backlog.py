"""What a row costs while others wait behind it; it should not matter how many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.installation import Connection, Installation, new_source, run_sql, wait_for_the_end
from benchmarks.report import note

#: Rows are taken from a backlog for so long; the rest is thrown away.
SECONDS = 4.0

_INSERT = """
    INSERT INTO hangtag_data.uploads (source, external_id, uri, priority)
    SELECT %s, n::text, (CAST(%s AS text[]))[1 + n %% %s], %s
    FROM generate_series(1, %s) AS n
"""
# All rows of a batch are finished at one moment, so between the first batch's end and the last
# one's the others were done, whole.
_COST = """
    SELECT CAST(1000 * extract(epoch FROM max(finished_at) - min(finished_at))
        / nullif(count(*) FILTER (WHERE finished_at > first), 0) AS float)
    FROM (
        SELECT finished_at, min(finished_at) OVER () AS first
        FROM hangtag_data.uploads WHERE source = %s AND finished_at IS NOT NULL
    ) AS done
"""


def cost_by_backlog(
    site: Installation, files: Sequence[Path], backlogs: Sequence[int], rounds: int
) -> dict[int, list[float]]:
    """Return milliseconds a row in each round, by the number of rows that wait at its start.

    The rows lie in the backfill lane. Every other round goes backwards.
    """
    connection = site.connect()
    costs: dict[int, list[float]] = {number: [] for number in backlogs}
    for number in range(rounds):
        for waiting in backlogs if number % 2 == 0 else reversed(backlogs):
            costs[waiting].append(_cost(site, connection, files, waiting))
            note(f"{waiting:,} waiting: {costs[waiting][-1]:.2f} ms a row")
    connection.close()
    return costs


def _cost(site: Installation, connection: Connection, files: Sequence[Path], waiting: int) -> float:
    """Insert the rows, let them be worked on for a while, and return milliseconds a row."""
    source = new_source()
    insert_waiting(connection, files, waiting, source, -1)
    run_sql(connection, "ANALYZE hangtag_data.uploads")
    began = time.perf_counter()
    site.ring("backfill", waiting)
    while time.perf_counter() - began < SECONDS and _is_pending(connection, source):
        time.sleep(0.05)
    # Nothing refers to them; to look for it in tables that grow would take minutes.
    run_sql(connection, "SET session_replication_role = replica")
    run_sql(
        connection,
        "DELETE FROM hangtag_data.uploads WHERE source = %s AND status = 'pending'",
        [source],
    )
    run_sql(connection, "RESET session_replication_role")
    wait_for_the_end(connection)
    seconds = time.perf_counter() - began
    [(cost,)] = run_sql(connection, _COST, [source])
    run_sql(connection, "VACUUM hangtag_data.uploads")
    # Less than two batches: their time from the bell on is all there is.
    return float(str(cost)) if cost else 1000 * seconds / waiting


def insert_waiting(
    connection: Connection, files: Sequence[Path], waiting: int, source: str, priority: int
) -> None:
    """Insert rows that wait, past every producer: nobody is told."""
    uris = [path.as_uri() for path in files]
    run_sql(connection, _INSERT, [source, uris, len(uris), priority, waiting])


def _is_pending(connection: Connection, source: str) -> bool:
    [(found,)] = run_sql(
        connection,
        "SELECT EXISTS (SELECT FROM hangtag_data.uploads WHERE status = 'pending' AND source = %s)",
        [source],
    )
    return bool(found)
