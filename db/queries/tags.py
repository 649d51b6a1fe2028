"""Published tags, as other services read them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


def list_tags(
    session: Session, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, dict[str, dict[str, Any]]]:
    """Return {image_id: {attribute: {label, confidence, decided_by}}} of item 0."""
    rows = session.execute(
        text(
            "SELECT image_id, attribute, label, confidence, decided_by FROM hangtag.image_tags "
            "WHERE image_id = ANY(CAST(:ids AS uuid[])) AND item = 0 ORDER BY attribute"
        ),
        {"ids": [str(i) for i in ids]},
    )
    tags: dict[uuid.UUID, dict[str, dict[str, Any]]] = {}
    for row in rows:
        tags.setdefault(row.image_id, {})[row.attribute] = {
            "label": row.label,
            "confidence": round(row.confidence, 4),
            "decided_by": row.decided_by,
        }
    return tags
