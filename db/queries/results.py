"""Results of predictions: tags, vectors and review items, one statement a table."""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.queries.arrays import array_text
from db.queries.parts import FOLDING

_WITHOUT_TRIGGER = text(
    "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in FOLDING.items())
)


@dataclass(frozen=True)
class Result:
    """What a model said of one item, and what is done with it.

    `embedding` is pgvector's text form of a unit vector (256 numbers). `published` holds the
    tags that are sure; with `reason` set the item goes to review, and owes its preview.
    """

    upload_id: uuid.UUID
    item: int
    article_type: str
    confidence: float
    decision: str
    reason: str | None
    top5: list[list[Any]]
    tags: dict[str, dict[str, Any]]
    published: dict[str, dict[str, Any]]
    fashion_score: float
    embedding: str

    @cached_property
    def upload_text(self) -> str:
        """The upload's id as each table's statement takes it; Python writes one slowly."""
        return str(self.upload_id)


def write_results(
    session: Session,
    results: Sequence[Result],
    model_version: str,
    generation: int,
    first: Collection[uuid.UUID] = (),
) -> None:
    """Write results of uploads whose fence held; what a model wrote before is replaced.

    Of the `first` there is nothing that could be replaced: nobody has tried them before.
    An operator's tag is never replaced by a model's. The fence is checked, and with it the uploads'
    rows are locked, in the same transaction (`mark_finished`).
    """
    if not results:
        return
    again = [r for r in results if r.upload_id not in first]
    new = [r for r in results if r.upload_id in first]
    _upsert_predictions(session, results, model_version)
    if again:
        _delete_tags(session, again)
        _upsert_embeddings(session, again, generation)
    _upsert_tags(session, results, model_version)
    if new:
        # The trigger would look, row by row, for vectors that these cannot have (decision 0013).
        session.execute(_WITHOUT_TRIGGER)
        _upsert_embeddings(session, new, generation)
    reviewed = [r for r in results if r.reason is not None]
    if reviewed:
        _upsert_review_items(session, reviewed, model_version)


def _upsert_predictions(session: Session, results: Sequence[Result], version: str) -> None:
    session.execute(
        text(
            """
            INSERT INTO hangtag_data.predictions (upload_id, item, model_version, article_type,
                confidence, decision, reason, top5, tags, fashion_score)
            SELECT r.upload_id, r.item, :version, r.article_type, r.confidence, r.decision,
                r.reason, r.top5, r.tags, r.fashion_score
            FROM unnest(CAST(:ids AS uuid[]), CAST(:items AS smallint[]),
                CAST(:types AS text[]), CAST(:confidences AS real[]), CAST(:decisions AS text[]),
                CAST(:reasons AS text[]), CAST(:top5s AS jsonb[]), CAST(:tags AS jsonb[]),
                CAST(:scores AS real[]))
                AS r (upload_id, item, article_type, confidence, decision, reason, top5, tags,
                      fashion_score)
            ON CONFLICT (upload_id, item, model_version) DO UPDATE SET
                article_type = excluded.article_type, confidence = excluded.confidence,
                decision = excluded.decision, reason = excluded.reason, top5 = excluded.top5,
                tags = excluded.tags, fashion_score = excluded.fashion_score, created_at = now()
            """
        ),
        {
            "version": version,
            **_keys(results),
            "types": array_text(r.article_type for r in results),
            "confidences": array_text(r.confidence for r in results),
            "decisions": array_text(r.decision for r in results),
            "reasons": array_text(r.reason for r in results),
            "top5s": array_text(json.dumps(r.top5) for r in results),
            "tags": array_text(json.dumps(r.tags) for r in results),
            "scores": array_text(r.fashion_score for r in results),
        },
    )


def _delete_tags(session: Session, results: Sequence[Result]) -> None:
    """Delete what an earlier attempt or model published and this one would not."""
    rows = [(r, attribute) for r in results for attribute in r.published]
    session.execute(
        text(
            """
            DELETE FROM hangtag_data.tags AS t
            WHERE t.upload_id = ANY(CAST(:all_ids AS uuid[])) AND t.decided_by = 'model'
            AND NOT EXISTS (
                SELECT FROM unnest(CAST(:ids AS uuid[]), CAST(:items AS smallint[]),
                    CAST(:attributes AS text[])) AS r (upload_id, item, attribute)
                WHERE r.upload_id = t.upload_id AND r.item = t.item
                    AND r.attribute = t.attribute)
            """
        ),
        {
            **_keys([r for r, _ in rows]),
            "attributes": array_text(attribute for _, attribute in rows),
            "all_ids": array_text(r.upload_text for r in results),
        },
    )


def _upsert_tags(session: Session, results: Sequence[Result], version: str) -> None:
    rows = [(r, attribute, tag) for r in results for attribute, tag in sorted(r.published.items())]
    session.execute(
        text(
            """
            INSERT INTO hangtag_data.tags
                (upload_id, item, attribute, label, confidence, decided_by, model_version)
            SELECT r.upload_id, r.item, r.attribute, r.label, r.confidence, 'model', :version
            FROM unnest(CAST(:ids AS uuid[]), CAST(:items AS smallint[]),
                CAST(:attributes AS text[]), CAST(:labels AS text[]),
                CAST(:confidences AS real[]))
                AS r (upload_id, item, attribute, label, confidence)
            ON CONFLICT (upload_id, item, attribute) DO UPDATE SET
                label = excluded.label, confidence = excluded.confidence,
                model_version = excluded.model_version, decided_at = now()
            WHERE tags.decided_by = 'model'
            """
        ),
        {
            **_keys([r for r, _, _ in rows]),
            "attributes": array_text(attribute for _, attribute, _ in rows),
            "version": version,
            "labels": array_text(tag["label"] for _, _, tag in rows),
            "confidences": array_text(tag["confidence"] for _, _, tag in rows),
        },
    )


def _upsert_embeddings(session: Session, results: Sequence[Result], generation: int) -> None:
    def published(result: Result, attribute: str) -> str | None:
        tag = result.published.get(attribute)
        return tag["label"] if tag else None

    # Straight to the fresh part, where there is one: the trigger would send them there, row by row.
    session.execute(
        text(
            """
            INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding,
                article_type, sub_category, master_category)
            SELECT CASE WHEN part.is_there THEN -:generation ELSE :generation END,
                r.upload_id, r.item, CAST(r.embedding AS halfvec),
                r.article_type, r.sub_category, r.master_category
            FROM (SELECT to_regclass('hangtag_data.embeddings_g' || :generation || '_fresh')
                    IS NOT NULL AS is_there) AS part,
                unnest(CAST(:ids AS uuid[]), CAST(:items AS smallint[]),
                CAST(:embeddings AS text[]), CAST(:types AS text[]), CAST(:subs AS text[]),
                CAST(:masters AS text[]))
                AS r (upload_id, item, embedding, article_type, sub_category, master_category)
            ON CONFLICT (upload_id, item, generation) DO UPDATE SET
                embedding = excluded.embedding, article_type = excluded.article_type,
                sub_category = excluded.sub_category, master_category = excluded.master_category
            """
        ),
        {
            "generation": generation,
            **_keys(results),
            "embeddings": array_text(r.embedding for r in results),
            "types": array_text(published(r, "article_type") for r in results),
            "subs": array_text(published(r, "sub_category") for r in results),
            "masters": array_text(published(r, "master_category") for r in results),
        },
    )


def _upsert_review_items(session: Session, results: Sequence[Result], version: str) -> None:
    """Leave one open item each that owes its preview; one that was there is drawn anew."""
    session.execute(
        text(
            """
            INSERT INTO hangtag_data.review_items
                (upload_id, item, model_version, reason, suggested, confidence, priority,
                 preview_due)
            SELECT r.upload_id, r.item, :version, r.reason, r.suggested, r.confidence, u.priority,
                now()
            FROM unnest(CAST(:ids AS uuid[]), CAST(:items AS smallint[]),
                CAST(:reasons AS text[]), CAST(:suggested AS jsonb[]),
                CAST(:confidences AS real[]))
                AS r (upload_id, item, reason, suggested, confidence)
            JOIN hangtag_data.uploads AS u ON u.id = r.upload_id
            ON CONFLICT (upload_id, item) WHERE status = 'open' DO UPDATE
            SET preview_due = excluded.preview_due, preview_tries = 0
            """
        ),
        {
            "version": version,
            **_keys(results),
            "reasons": array_text(r.reason for r in results),
            "suggested": array_text(json.dumps(r.top5) for r in results),
            "confidences": array_text(r.confidence for r in results),
        },
    )


def _keys(results: Sequence[Result]) -> dict[str, str]:
    return {
        "ids": array_text(r.upload_text for r in results),
        "items": array_text(r.item for r in results),
    }
