"""Review items and decisions: claim, decide, skip, release, reopen."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from errors import HangtagError, UsageError

#: How long a decision can be reopened: its picture, and what it withdrew, are kept so long.
KEPT_DAYS = 7


class ReviewConflict(HangtagError):
    """The item is no longer this operator's: another took it over, or it is decided already.

    A lease that ran out lets others take the item; until one does, its holder may still decide.
    """

    code = "review_conflict"


@dataclass(frozen=True)
class ReviewItem:
    """An item that an operator holds until `lease_until`.

    `suggested` is [[label, confidence], …], the five likeliest article types.
    """

    id: int
    upload_id: uuid.UUID
    item: int
    reason: str
    suggested: list[list[Any]]
    confidence: float
    source: str
    external_id: str | None
    uri: str
    created_at: dt.datetime
    lease_until: dt.datetime


_COLUMNS = """i.id, i.upload_id, i.item, i.reason, i.suggested, i.confidence, u.source,
    u.external_id, u.uri, i.created_at, i.lease_until"""


def claim_next_review_item(
    session: Session, operator: str, lease_seconds: float
) -> ReviewItem | None:
    """Give an operator the next open item, the one they hold already first; None if none is left.

    The order: priority, then age; one that another holds, or that owes its preview, is passed over.
    """
    row = session.execute(
        text(
            f"""
            WITH mine AS (
                SELECT id FROM hangtag_data.review_items
                WHERE status = 'open' AND claimed_by = :operator
                LIMIT 1 FOR UPDATE SKIP LOCKED
            ), free AS ( -- in the order of the queue's index: no sorting of the whole queue
                SELECT id FROM hangtag_data.review_items
                WHERE status = 'open' AND preview_due IS NULL AND NOT EXISTS (SELECT FROM mine)
                    AND (claimed_by IS NULL OR lease_until < now())
                ORDER BY priority DESC, created_at, id
                LIMIT 1 FOR UPDATE SKIP LOCKED
            ), i AS (
                UPDATE hangtag_data.review_items AS r
                SET claimed_by = :operator,
                    lease_until = now() + make_interval(secs => :lease_seconds)
                FROM (SELECT id FROM mine UNION ALL SELECT id FROM free) AS next
                WHERE r.id = next.id
                RETURNING r.*
            )
            SELECT {_COLUMNS} FROM i JOIN hangtag_data.uploads AS u ON u.id = i.upload_id
            """  # noqa: S608 (constant)
        ),
        {"operator": operator, "lease_seconds": lease_seconds},
    ).first()
    return ReviewItem(**row._mapping) if row else None


def mark_skipped(session: Session, item_id: int, operator: str) -> uuid.UUID:
    """Put an item back behind the others of its kind; return its upload.

    Raises ReviewConflict where the operator does not hold it.
    """
    upload_id: uuid.UUID | None = session.execute(
        text(
            """
            UPDATE hangtag_data.review_items
            SET claimed_by = NULL, lease_until = NULL,
                priority = greatest(priority - 1, -32768)
            WHERE id = :id AND status = 'open' AND claimed_by = :operator
            RETURNING upload_id
            """
        ),
        {"id": item_id, "operator": operator},
    ).scalar()
    if upload_id is None:
        raise ReviewConflict("this picture is no longer yours; nothing was saved")
    return upload_id


def decide_review_item(session: Session, item_id: int, operator: str, label: str | None) -> None:
    """Write an operator's decision: the article type, or None for 'no fashion item'.

    The label is published as the operator's tag, the categories above it follow; a picture
    that shows no fashion item loses its tags and its vector. The same decision by the same
    operator twice is one decision. What is needed to reopen it is kept for KEPT_DAYS.
    Raises ReviewConflict where the operator no longer holds the item, UsageError where the
    label is unknown.
    """
    item = session.execute(
        text(
            """
            SELECT id, upload_id, item, model_version, suggested, confidence, status, claimed_by
            FROM hangtag_data.review_items WHERE id = :id FOR UPDATE
            """
        ),
        {"id": item_id},
    ).first()
    if item is None:
        raise ReviewConflict("there is no such review item")
    if item.status == "decided" and _same_decision(session, item_id, operator, label):
        return
    if item.status != "open" or item.claimed_by != operator:
        raise ReviewConflict("this picture is no longer yours; nothing was saved")
    session.execute(
        text(
            """
            INSERT INTO hangtag_data.decisions (review_item_id, upload_id, item, attribute,
                action, label, suggested, confidence, model_version, operator)
            VALUES (:id, :upload_id, :item, 'article_type', :action, :label, :suggested,
                :confidence, :model_version, :operator)
            """
        ),
        {
            "id": item_id,
            "upload_id": item.upload_id,
            "item": item.item,
            "action": "not_fashion" if label is None else "label",
            "label": label,
            "suggested": item.suggested[0][0],
            "confidence": item.confidence,
            "model_version": item.model_version,
            "operator": operator,
        },
    )
    # In a statement of its own: one that had to wait for a backfill's new vector would still see
    # the rows of before. The next one sees all of them.
    session.execute(
        text(
            "SELECT FROM hangtag_data.embeddings WHERE upload_id = :id AND item = :item FOR UPDATE"
        ),
        {"id": item.upload_id, "item": item.item},
    )
    if label is None:
        _withdraw_tags(session, item_id, item.upload_id, item.item)
    else:
        _publish_decision(session, item.upload_id, item.item, label)
    _close(session, item_id, item.upload_id, item.item)
    forget_kept(session)


def _same_decision(session: Session, item_id: int, operator: str, label: str | None) -> bool:
    row = session.execute(
        text("SELECT operator, label FROM hangtag_data.decisions WHERE review_item_id = :id"),
        {"id": item_id},
    ).first()
    return row is not None and row.operator == operator and row.label == label


def _publish_decision(session: Session, upload_id: uuid.UUID, item: int, label: str) -> None:
    """Publish the type and the categories above it, and file the vector under them."""
    rows = session.execute(
        text(
            """
            WITH RECURSIVE path AS (
                SELECT attribute, name, parent_id FROM hangtag_data.labels
                WHERE attribute = 'article_type' AND name = :label
                UNION ALL
                SELECT l.attribute, l.name, l.parent_id
                FROM path JOIN hangtag_data.labels AS l ON l.id = path.parent_id
            )
            INSERT INTO hangtag_data.tags
                (upload_id, item, attribute, label, confidence, decided_by)
            SELECT :upload_id, :item, attribute, name, 1, 'operator' FROM path
            ON CONFLICT (upload_id, item, attribute) DO UPDATE SET
                label = excluded.label, confidence = 1, decided_by = 'operator',
                model_version = NULL, decided_at = now()
            RETURNING attribute, label
            """
        ),
        {"label": label, "upload_id": upload_id, "item": item},
    ).all()
    if not rows:
        raise UsageError(f"there is no article type {label!r}")
    path = {row.attribute: row.label for row in rows}
    session.execute(
        text(
            """
            UPDATE hangtag_data.embeddings
            SET article_type = :article_type, sub_category = :sub_category,
                master_category = :master_category
            WHERE upload_id = :upload_id AND item = :item
            """
        ),
        {
            "upload_id": upload_id,
            "item": item,
            "article_type": path.get("article_type"),
            "sub_category": path.get("sub_category"),
            "master_category": path.get("master_category"),
        },
    )


def _withdraw_tags(session: Session, item_id: int, upload_id: uuid.UUID, item: int) -> None:
    """Take tags and vectors away; they are kept aside as long as the decision can be reopened."""
    session.execute(
        text(
            """
            WITH tag AS (
                DELETE FROM hangtag_data.tags WHERE upload_id = :upload_id AND item = :item
                RETURNING *
            ), vector AS (
                DELETE FROM hangtag_data.embeddings WHERE upload_id = :upload_id AND item = :item
                RETURNING generation, embedding, article_type, sub_category, master_category
            )
            INSERT INTO hangtag_data.withdrawn (review_item_id, tags, vectors, kept_until)
            SELECT :id,
                (SELECT coalesce(jsonb_agg(to_jsonb(tag)), '[]') FROM tag),
                (SELECT coalesce(jsonb_agg(to_jsonb(vector)), '[]') FROM vector),
                now() + make_interval(days => :days)
            """
        ),
        {"id": item_id, "upload_id": upload_id, "item": item, "days": KEPT_DAYS},
    )


def _close(session: Session, item_id: int, upload_id: uuid.UUID, item: int) -> None:
    session.execute(
        text(
            """
            UPDATE hangtag_data.review_items
            SET status = 'decided', decided_at = now(), claimed_by = NULL, lease_until = NULL
            WHERE id = :id
            """
        ),
        {"id": item_id},
    )
    session.execute(
        text(
            "UPDATE hangtag_data.previews SET kept_until = now() + make_interval(days => :days) "
            "WHERE upload_id = :id AND item = :item"
        ),
        {"id": upload_id, "item": item, "days": KEPT_DAYS},
    )
    session.execute(
        text(
            """
            UPDATE hangtag_data.uploads SET status = 'tagged', finished_at = now()
            WHERE id = :id AND status = 'review' AND NOT EXISTS (
                SELECT FROM hangtag_data.review_items WHERE upload_id = :id AND status = 'open')
            """
        ),
        {"id": upload_id},
    )


def forget_kept(session: Session) -> None:
    """Delete what was kept long enough, a little with each decision and log-in.

    What a decision took away goes after its picture: as long as that is there, a lead may reopen.
    """
    session.execute(
        text(
            """
            DELETE FROM hangtag_data.previews WHERE (upload_id, item) IN (
                SELECT p.upload_id, p.item FROM hangtag_data.previews AS p
                WHERE p.kept_until < now() AND NOT EXISTS (
                    SELECT FROM hangtag_data.review_items AS i
                    WHERE i.upload_id = p.upload_id AND i.item = p.item AND i.status = 'open')
                ORDER BY p.kept_until LIMIT 20 FOR UPDATE SKIP LOCKED)
            """
        )
    )
    session.execute(
        text(
            """
            DELETE FROM hangtag_data.withdrawn WHERE review_item_id IN (
                SELECT w.review_item_id FROM hangtag_data.withdrawn AS w
                JOIN hangtag_data.review_items AS i ON i.id = w.review_item_id
                WHERE w.kept_until < now() AND NOT EXISTS (
                    SELECT FROM hangtag_data.previews AS p
                    WHERE p.upload_id = i.upload_id AND p.item = i.item)
                ORDER BY w.kept_until LIMIT 20 FOR UPDATE OF w SKIP LOCKED)
            """
        )
    )


@dataclass(frozen=True)
class Held:
    """An open item that an operator holds."""

    id: int
    operator: str
    source: str
    external_id: str | None
    upload_id: uuid.UUID
    lease_until: dt.datetime


def list_held(session: Session) -> list[Held]:
    """List the items that operators hold, the longest held first."""
    rows = session.execute(
        text(
            """
            SELECT i.id, i.claimed_by, u.source, u.external_id, i.upload_id, i.lease_until
            FROM hangtag_data.review_items AS i
            JOIN hangtag_data.uploads AS u ON u.id = i.upload_id
            WHERE i.status = 'open' AND i.claimed_by IS NOT NULL
            ORDER BY i.lease_until, i.id LIMIT 200
            """
        )
    )
    return [Held(*row) for row in rows]


def release_review_item(session: Session, item_id: int, holder: str) -> uuid.UUID:
    """Take an item from the operator who holds it; return its upload.

    Raises ReviewConflict where that operator does not hold it any more.
    """
    upload_id: uuid.UUID | None = session.execute(
        text(
            "UPDATE hangtag_data.review_items SET claimed_by = NULL, lease_until = NULL "
            "WHERE id = :id AND status = 'open' AND claimed_by = :holder RETURNING upload_id"
        ),
        {"id": item_id, "holder": holder},
    ).scalar()
    if upload_id is None:
        raise ReviewConflict(f"{holder} does not hold this picture any more")
    return upload_id


def reopen_review_item(session: Session, item_id: int, lead: str, lease_seconds: float) -> int:
    """Put a decided item before a lead once more, as a new item that they hold; return its id.

    Raises (through `transaction`) UsageError where it is not decided, was reopened already, or
    its picture is not kept any more, and for an operator who is no lead.
    """
    new_id: int = session.execute(
        text("SELECT hangtag_data.reopen_review_item(:id, :lead, :lease_seconds)"),
        {"id": item_id, "lead": lead, "lease_seconds": lease_seconds},
    ).scalar_one()
    return new_id


def get_preview(session: Session, item_id: int, operator: str) -> bytes | None:
    """Return the JPEG of an open item, for the operator who holds it; None otherwise."""
    row = session.execute(
        text(
            """
            SELECT p.jpeg FROM hangtag_data.review_items AS i
            JOIN hangtag_data.previews AS p ON p.upload_id = i.upload_id AND p.item = i.item
            WHERE i.id = :id AND i.status = 'open' AND i.claimed_by = :operator
            """
        ),
        {"id": item_id, "operator": operator},
    ).first()
    return bytes(row.jpeg) if row else None


def list_guesses(session: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, tuple[str, float]]:
    """Return the model's first guess, (label, confidence), of uploads with an open item."""
    rows = session.execute(
        text(
            "SELECT image_id, suggested FROM hangtag.review_queue "
            "WHERE image_id = ANY(CAST(:ids AS uuid[])) AND item = 0"
        ),
        {"ids": [str(i) for i in ids]},
    )
    return {row.image_id: (row.suggested[0][0], row.suggested[0][1]) for row in rows}


def count_open(session: Session) -> int:
    """Count open review items."""
    count: int = session.execute(
        text("SELECT count(*) FROM hangtag_data.review_items WHERE status = 'open'")
    ).scalar_one()
    return count
