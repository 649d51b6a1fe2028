"""Similarity: nearest neighbours by cosine distance through the published view."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class Neighbour:
    """A similar picture; `distance` is the cosine distance, 0 (same) to 2."""

    image_id: uuid.UUID
    distance: float
    article_type: str | None
    sub_category: str | None
    uri: str
    external_id: str | None


def get_embedding(session: Session, image_id: uuid.UUID) -> str | None:
    """Return a picture's vector in pgvector's text form, or None."""
    value: str | None = session.execute(
        text(
            "SELECT CAST(embedding AS text) FROM hangtag.image_embeddings "
            "WHERE image_id = :id AND item = 0"
        ),
        {"id": image_id},
    ).scalar()
    return value


def list_similar(
    session: Session,
    embedding: str,
    limit: int,
    article_type: str | None = None,
    sub_category: str | None = None,
    leave_out: uuid.UUID | None = None,
) -> list[Neighbour]:
    """List the nearest pictures to a vector (pgvector's text form), nearest first."""
    filters = {"article_type": article_type, "sub_category": sub_category}
    used = {name: value for name, value in filters.items() if value is not None}
    where = " AND ".join(f"e.{name} = :{name}" for name in used) or "true"
    rows = session.execute(
        text(
            # The inner query is the contract's own, so that it uses the index.
            f"""
            SELECT n.image_id, n.distance, n.article_type, n.sub_category, u.uri, u.external_id
            FROM (
                SELECT e.image_id, e.embedding <=> CAST(:embedding AS halfvec) AS distance,
                    e.article_type, e.sub_category
                FROM hangtag.image_embeddings AS e
                WHERE {where}
                ORDER BY e.embedding <=> CAST(:embedding AS halfvec)
                LIMIT :limit
            ) AS n
            JOIN hangtag.upload_status AS u ON u.image_id = n.image_id
            ORDER BY n.distance
            """  # noqa: S608 (column names are constants)
        ),
        {"embedding": embedding, "limit": limit + (leave_out is not None), **used},
    )
    found = [Neighbour(*row) for row in rows if row.image_id != leave_out]
    return found[:limit]


@dataclass(frozen=True)
class Unembedded:
    """A picture that has a vector of another generation, and none of the wanted one."""

    image_id: uuid.UUID
    uri: str


# A generation's fresh vectors have its number with a minus.
_UNEMBEDDED = """
    FROM hangtag_data.embeddings AS e
    WHERE e.generation NOT IN (:generation, -:generation) AND e.item = 0 AND NOT EXISTS (
        SELECT FROM hangtag_data.embeddings AS n
        WHERE n.generation IN (:generation, -:generation)
            AND n.upload_id = e.upload_id AND n.item = e.item
            AND (CAST(:after AS uuid) IS NULL OR n.upload_id > CAST(:after AS uuid)))
    AND (CAST(:after AS uuid) IS NULL OR e.upload_id > CAST(:after AS uuid))
"""


def count_unembedded(session: Session, generation: int) -> int:
    """Count the pictures that have vectors of other generations alone."""
    count: int = session.execute(
        text(f"SELECT count(DISTINCT e.upload_id) {_UNEMBEDDED}"),
        {"generation": generation, "after": None},
    ).scalar_one()
    return count


def list_unembedded(
    session: Session, generation: int, limit: int, after: uuid.UUID | None = None
) -> list[Unembedded]:
    """List pictures that have vectors of other generations alone, in the order of their ids.

    `after` is the id to go on behind.
    """
    rows = session.execute(
        text(
            f"""
            SELECT f.upload_id, u.uri
            FROM (
                SELECT DISTINCT e.upload_id {_UNEMBEDDED}
                ORDER BY e.upload_id LIMIT :limit
            ) AS f
            JOIN hangtag_data.uploads AS u ON u.id = f.upload_id
            ORDER BY f.upload_id
            """  # noqa: S608 (constant)
        ),
        {"generation": generation, "limit": limit, "after": after},
    )
    return [Unembedded(*row) for row in rows]


def add_embeddings(
    session: Session, generation: int, vectors: Sequence[tuple[uuid.UUID, str]]
) -> int:
    """Add vectors (pgvector's text form) of a generation; return how many were added.

    The categories are those of the newest other vector. A picture whose vectors are gone, since
    an operator said meanwhile that it is no fashion, gets none; one that has it keeps its own.
    """
    ids = [str(image_id) for image_id, _ in vectors]
    # One that a worker writes meanwhile is newer than what we see.
    session.execute(text("SELECT set_config('hangtag.keep', 'on', true)"))
    # Waits for a janitor who moves vectors of these uploads; the next statement sees them moved.
    session.execute(
        text(
            "SELECT FROM hangtag_data.uploads WHERE id = ANY(CAST(:ids AS uuid[])) "
            "ORDER BY id FOR KEY SHARE"
        ),
        {"ids": ids},
    )
    added: int = session.execute(
        text(
            """
            WITH added AS MATERIALIZED (
                SELECT r.upload_id, r.embedding, o.*
                FROM unnest(CAST(:ids AS uuid[]), CAST(:embeddings AS text[]))
                    AS r (upload_id, embedding)
                CROSS JOIN LATERAL (
                    SELECT e.article_type, e.sub_category, e.master_category
                    FROM hangtag_data.embeddings AS e
                    WHERE e.upload_id = r.upload_id AND e.item = 0
                        AND e.generation NOT IN (:generation, -:generation)
                    ORDER BY abs(e.generation) DESC LIMIT 1
                    FOR SHARE  -- waits for a decision under way, lets none in until it is written
                ) AS o
                WHERE NOT EXISTS (
                    SELECT FROM hangtag_data.embeddings AS n
                    WHERE n.upload_id = r.upload_id AND n.item = 0
                        AND n.generation IN (:generation, -:generation))
            ), written AS (
                INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding,
                    article_type, sub_category, master_category)
                SELECT :generation, upload_id, 0, CAST(embedding AS halfvec),
                    article_type, sub_category, master_category
                FROM added
                ON CONFLICT (upload_id, item, generation) DO NOTHING
            )
            SELECT count(*) FROM added  -- what a trigger makes fresh is not returned
            """
        ),
        {"generation": generation, "ids": ids, "embeddings": [vector for _, vector in vectors]},
    ).scalar_one()
    return added
