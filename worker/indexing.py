"""Building the HNSW index of a generation in bulk: an eighth of the price of adding row by row."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from db.queries.parts import (
    FOLDING,
    INDEX_LOCK,
    count_fresh,
    count_indexed,
    fold_vectors,
    list_hnsw_indexes,
)
from db.session import make_engine, translate
from errors import UsageError

log = logging.getLogger(__name__)

#: Rows moved at once, without an index (some 0.1 ms each) and with one (some 1 ms).
BULK_ROWS, STEP_ROWS = 1000, 100
#: Building costs so little a row that it pays from this share of fresh vectors on.
BULK_SHARE = 1 / 8
#: No room for what parallel workers share: /dev/shm is 64 MB in a container unless told otherwise.
NO_SPACE = ("53100", "53200", "58030")
#: How often rows that somebody else holds are come back to, and how long after.
TRIES, AGAIN_SECONDS = 20, 0.5


@dataclass(frozen=True)
class Indexed:
    """What was done: vectors moved to the index, and whether it was built."""

    moved: int
    built: bool


def make_indexing_engine(url: str) -> Engine:
    """Return an engine that may move vectors to the index: one connection builds, one moves."""
    return make_engine(url, pool_size=2, limits=FOLDING)


def index_generation(
    engine: Engine,
    generation: int,
    keep: bool,
    rebuild: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Indexed:
    """Move a generation's fresh vectors to its index; build that where it is missing or broken.

    With `keep` a valid index stays in use and the vectors are added to it one by one; otherwise
    it is dropped where building is cheaper. `rebuild` drops it in any case. Killed anywhere, the
    same call goes on; until then queries are exact and slow. Connects as the table's owner, with
    an engine of `make_indexing_engine`. Raises UsageError where another one is at it.
    """
    try:
        with engine.connect() as connection:
            connection.execution_options(isolation_level="AUTOCOMMIT")
            connection.detach()  # closed at the end, and the lock with it
            _lock(connection)
            indexes = list_hnsw_indexes(connection, generation)
            drop = rebuild or (not keep and _is_cheaper_in_bulk(connection, generation))
            for index in indexes:
                if drop or not index.valid:
                    _drop(connection, index.name)
            build = drop or not any(index.valid for index in indexes)
            moved = _move_all(engine, generation, BULK_ROWS if build else STEP_ROWS, progress)
            if build:
                if progress:
                    progress("building", 0, 1)
                _build(connection, generation)
            _refresh(connection, generation)
            return Indexed(moved, build)
    except DBAPIError as error:
        raise translate(error) from error


def _lock(connection: Connection) -> None:
    """Keep a second builder away; the lock goes with the connection."""
    connection.execute(text("SET lock_timeout = '1s'"))
    try:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": INDEX_LOCK})
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) == "55P03":
            raise UsageError("another `hangtag model index` or `backfill` builds one") from error
        raise
    # Waits for long transactions on the table are part of a concurrent build.
    connection.execute(text("SET lock_timeout = 0"))


def _is_cheaper_in_bulk(connection: Connection, generation: int) -> bool:
    fresh = count_fresh(connection, generation)
    return fresh > BULK_SHARE * count_indexed(connection, generation)


def _move_all(
    engine: Engine,
    generation: int,
    rows: int,
    progress: Callable[[str, int, int], None] | None,
) -> int:
    """Move what is fresh now, in steps that are each committed."""
    with engine.begin() as connection:
        total = count_fresh(connection, generation)
    moved = tries = 0
    while moved < total and tries < TRIES:
        with engine.begin() as connection:
            step = fold_vectors(connection, generation, rows)
            left = step or count_fresh(connection, generation, at_most=1)
        if not left:  # a janitor was quicker
            break
        if not step:  # somebody else holds what is left
            tries += 1
            time.sleep(AGAIN_SECONDS)
        moved += step
        if progress:
            progress("moving", moved, total)
    return moved


def _drop(connection: Connection, name: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote(name)
    connection.execute(text(f"DROP INDEX CONCURRENTLY IF EXISTS hangtag_data.{quoted}"))


def _build(connection: Connection, generation: int) -> None:
    """Build beside readers and writers; by one process where memory for several is lacking."""
    statement = text(
        f"CREATE INDEX CONCURRENTLY embeddings_g{generation:d}_hnsw_idx "
        f"ON hangtag_data.embeddings_g{generation:d} "
        f"USING hnsw (embedding public.halfvec_cosine_ops){_options(connection)}"
    )
    try:
        connection.execute(statement)
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) not in NO_SPACE:
            raise
        log.warning("%s; the index is built by one process", str(error.orig).strip())
        for index in list_hnsw_indexes(connection, generation):
            _drop(connection, index.name)
        connection.execute(text("SET max_parallel_maintenance_workers = 0"))
        connection.execute(statement)


def _options(connection: Connection) -> str:
    """Return what the schema builds graphs with; before migration 0005 pgvector's defaults."""
    known = "SELECT to_regprocedure('hangtag_data.hnsw_options()') IS NOT NULL"
    if not connection.execute(text(known)).scalar():
        return ""
    options = connection.execute(text("SELECT hangtag_data.hnsw_options()")).scalar_one()
    return f" WITH ({options})"


def _refresh(connection: Connection, generation: int) -> None:
    """Tell the planner, and give back the room of what was moved: each query reads that part."""
    connection.execute(text(f"ANALYZE hangtag_data.embeddings_g{generation:d}"))
    fresh = f"hangtag_data.embeddings_g{generation:d}_fresh"
    # A schema of before has none.
    if connection.execute(text("SELECT to_regclass(:name)"), {"name": fresh}).scalar():
        connection.execute(text(f"VACUUM (ANALYZE) {fresh}"))
