"""Similarity: nearest neighbours by cosine distance through the published view."""

from __future__ import annotations

import uuid
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
