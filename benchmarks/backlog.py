"""What a row costs while others wait behind it; it should not matter how many."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.installation import Connection, Installation, new_source, run_sql, wait_for_the_end
from benchmarks.report import note
from errors import HangtagError

#: Rows are taken from a backlog for so long; the rest is thrown away.
SECONDS = 8.0

_INSERT = """
    INSERT INTO hangtag_data.uploads (source, external_id, uri, priority)
    SELECT %s, n::text, (CAST(%s AS text[]))[1 + n %% %s], %s
    FROM generate_series(1, %s) AS n
"""
# All rows of a batch are finished at one moment. What was done when each process has ended its
# first batch is left out, and so is what ends while the rest is thrown away, which takes a core.
_COST = """
    WITH done AS (
        SELECT finished_at, dense_rank() OVER (ORDER BY finished_at) AS batch
        FROM hangtag_data.uploads WHERE source = %s AND finished_at <= %s
    )
    SELECT CAST(1000 * extract(epoch FROM max(finished_at) - min(finished_at))
            / nullif(count(*) FILTER (WHERE batch > %s), 0) AS float),
        CAST(1000 * extract(epoch FROM (SELECT max(finished_at) FROM done) - %s) AS float)
    FROM done WHERE batch >= %s
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
    [(rung,)] = run_sql(connection, "SELECT clock_timestamp()")
    site.ring("backfill", waiting)
    while time.perf_counter() - began < SECONDS and _is_pending(connection, source):
        time.sleep(0.05)
    [(stopped,)] = run_sql(
        connection,
        "SELECT CAST(CASE WHEN %s THEN clock_timestamp() ELSE 'infinity' END AS text)",
        [_is_pending(connection, source)],
    )
    # Nothing refers to them; to look for it in tables that grow would take minutes.
    run_sql(connection, "SET session_replication_role = replica")
    run_sql(
        connection,
        "DELETE FROM hangtag_data.uploads WHERE source = %s AND status = 'pending'",
        [source],
    )
    run_sql(connection, "RESET session_replication_role")
    wait_for_the_end(connection)
    parameters = [source, stopped, site.workers, rung, site.workers]
    [(cost, whole)] = run_sql(connection, _COST, parameters)
    run_sql(connection, "VACUUM hangtag_data.uploads")
    if waiting > 2 * site.workers * site.batch_size:
        if cost is None:
            raise HangtagError(f"in {SECONDS:g} s hardly a batch of the backlog was finished")
        return float(str(cost))
    # So few that hardly a batch is left: their time from the bell on is all there is.
    if whole is None:
        raise HangtagError(f"in {SECONDS:g} s none of {waiting} uploads was finished")
    return float(str(whole)) / waiting


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
