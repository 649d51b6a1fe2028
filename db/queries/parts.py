"""The two parts of a generation's vectors: fresh ones, and those in the HNSW index.

Fresh vectors of generation N have the number -N in `embeddings`. On a database before migration
0003 there are none, and nothing here does any harm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from db.queries.arrays import array_text

#: Setting of connections that move vectors: the trigger lets them write into the index.
FOLDING = {"hangtag.folding": "on"}

#: Who builds an index holds this advisory lock; any number that stays.
INDEX_LOCK = 7_230_004

SERIALIZATION_FAILURE = "40001"

MISSING, INVALID, VALID, BUILDING = "missing", "invalid", "valid", "building"


@dataclass(frozen=True)
class HnswIndex:
    """An HNSW index of a generation; one that is not valid helps no query and costs each write."""

    name: str
    valid: bool


def count_fresh(connection: Connection, generation: int, at_most: int | None = None) -> int:
    """Count the fresh vectors of a generation, up to `at_most`."""
    count: int = connection.execute(
        text(
            "SELECT count(*) FROM (SELECT FROM hangtag_data.embeddings "
            "WHERE generation = -:generation LIMIT :at_most) AS e"
        ),
        {"generation": generation, "at_most": at_most},
    ).scalar_one()
    return count


def count_indexed(connection: Connection, generation: int) -> int:
    """Count the vectors of a generation that are not fresh."""
    count: int = connection.execute(
        text("SELECT count(*) FROM hangtag_data.embeddings WHERE generation = :generation"),
        {"generation": generation},
    ).scalar_one()
    return count


def fold_vectors(connection: Connection, generation: int, rows: int) -> int:
    """Move so many fresh vectors at most to the other part; return how many were moved.

    In one transaction of a connection with FOLDING. It waits for nobody: what others hold is left
    for later, and there may be more behind it. The uploads' rows are locked as well, since whoever
    writes a vector has its upload; the second statement sees what was written before that.
    """
    try:
        with connection.begin_nested():
            return _fold(connection, generation, rows)
    except OperationalError as error:
        if getattr(error.orig, "pgcode", None) != SERIALIZATION_FAILURE:
            raise
        return 0  # another one moved a vector between our looking and our locking


def _fold(connection: Connection, generation: int, rows: int) -> int:
    held = connection.execute(
        text(
            """
            SELECT e.upload_id, e.item
            FROM hangtag_data.uploads AS u
            JOIN hangtag_data.embeddings AS e ON e.upload_id = u.id
            WHERE e.generation = -:generation
            LIMIT :rows FOR UPDATE SKIP LOCKED
            """
        ),
        {"generation": generation, "rows": rows},
    ).all()
    moved = connection.execute(
        text(
            """
            UPDATE hangtag_data.embeddings AS e SET generation = :generation
            FROM unnest(CAST(:ids AS uuid[]), CAST(:items AS smallint[])) AS h (upload_id, item)
            WHERE e.generation = -:generation AND e.upload_id = h.upload_id AND e.item = h.item
            """
        ),
        {
            "generation": generation,
            "ids": array_text(str(row.upload_id) for row in held),
            "items": array_text(row.item for row in held),
        },
    )
    return moved.rowcount


def list_hnsw_indexes(connection: Connection, generation: int) -> list[HnswIndex]:
    """List the HNSW indexes of a generation, also those that a broken build left behind."""
    rows = connection.execute(
        text(
            """
            SELECT i.relname, x.indisvalid
            FROM pg_index AS x
            JOIN pg_class AS i ON i.oid = x.indexrelid
            JOIN pg_am AS a ON a.oid = i.relam
            WHERE x.indrelid = to_regclass('hangtag_data.embeddings_g' || :generation)
                AND a.amname = 'hnsw'
            ORDER BY x.indisvalid, i.relname
            """
        ),
        {"generation": generation},
    )
    return [HnswIndex(*row) for row in rows]


def get_index_state(connection: Connection, generation: int) -> str:
    """Return `valid`, `missing`, `invalid` (each write pays for a broken one), or `building`."""
    return index_state(connection, list_hnsw_indexes(connection, generation))


def index_state(connection: Connection, indexes: Sequence[HnswIndex]) -> str:
    """Return what `get_index_state` does, of indexes that were listed already."""
    if len(indexes) == 1 and indexes[0].valid:
        return VALID
    if _is_building(connection):
        return BUILDING
    return INVALID if indexes else MISSING


def _is_building(connection: Connection) -> bool:
    building: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
            "AND classid = 0 AND objid = :key AND objsubid = 1)"
        ),
        {"key": INDEX_LOCK},
    ).scalar_one()
    return building


def may_index(connection: Connection, generation: int) -> bool:
    """Tell whether this login may build a generation's index: its owner, or a superuser."""
    may: bool = connection.execute(
        text(
            "SELECT coalesce((SELECT pg_has_role(relowner, 'USAGE') FROM pg_class "
            "WHERE oid = to_regclass('hangtag_data.embeddings_g' || :generation)), false)"
        ),
        {"generation": generation},
    ).scalar_one()
    return may
