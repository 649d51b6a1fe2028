"""Vectors for tests of the two parts of a generation."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np
from sqlalchemy import Connection, Engine, text

from db.queries.parts import FOLDING
from db.session import make_engine

GENERATOR = np.random.default_rng(5)

ADD = """
    INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding)
    SELECT :generation, r.id, 0, CAST(r.v AS halfvec)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:vectors AS text[])) AS r (id, v)
    ON CONFLICT (upload_id, item, generation) DO UPDATE SET embedding = excluded.embedding
"""


def draw_vector() -> str:
    """Return a random unit vector in pgvector's text form."""
    values = GENERATOR.normal(size=256)
    return "[" + ",".join(f"{v:.5f}" for v in values / np.linalg.norm(values)) + "]"


def insert_uploads(connection: Connection, count: int) -> list[uuid.UUID]:
    """Insert tagged uploads; return their ids."""
    rows = connection.execute(
        text(
            "INSERT INTO hangtag_data.uploads (source, uri, status, finished_at) "
            "SELECT 'test', 'file:///x', 'tagged', now() FROM generate_series(1, :count) "
            "RETURNING id"
        ),
        {"count": count},
    )
    return list(rows.scalars())


def write_vectors(connection: Connection, generation: int, ids: Sequence[uuid.UUID]) -> None:
    """Write vectors as a worker does, one statement for all."""
    values = {
        "generation": generation,
        "ids": [str(one) for one in ids],
        "vectors": [draw_vector() for _ in ids],
    }
    connection.execute(text(ADD), values)


def insert_vectors(engine: Engine, count: int, generation: int = 1) -> list[uuid.UUID]:
    """Insert uploads with vectors, which are fresh then; return their ids."""
    with engine.begin() as connection:
        ids = insert_uploads(connection, count)
        write_vectors(connection, generation, ids)
    return ids


def folding_engine(url: str, role: str | None = None) -> Engine:
    """Return an engine that may move vectors to the index."""
    return make_engine(url, role=role, limits=FOLDING)


def count_parts(engine: Engine, generation: int = 1) -> tuple[int, int]:
    """Return how many vectors are fresh, and how many in the index."""
    with engine.connect() as connection:
        row = connection.execute(
            text(
                "SELECT count(*) FILTER (WHERE generation < 0), "
                "count(*) FILTER (WHERE generation > 0) FROM hangtag_data.embeddings "
                "WHERE abs(generation) = :generation"
            ),
            {"generation": generation},
        ).one()
    return row[0], row[1]


def count_doubled(engine: Engine) -> int:
    """Count items with more than one vector of a generation."""
    with engine.connect() as connection:
        count: int = connection.execute(
            text(
                "SELECT count(*) FROM (SELECT FROM hangtag_data.embeddings "
                "GROUP BY upload_id, item, abs(generation) HAVING count(*) > 1) AS d"
            )
        ).scalar_one()
    return count
