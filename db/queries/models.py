"""Model versions and the labels they know."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session


@dataclass(frozen=True)
class ModelVersion:
    """A registered model; `generation` names the partition of its vectors."""

    version: str
    generation: int
    active: bool
    created_at: dt.datetime


def register_model(session: Session, version: str, card: Mapping[str, Any]) -> int:
    """Make a model version known and its partition ready; return its generation.

    A version that is known already is left as it is.
    """
    generation: int = session.execute(
        text("SELECT hangtag_data.register_model(:version, CAST(:card AS jsonb))"),
        {"version": version, "card": json.dumps(card)},
    ).scalar_one()
    return generation


def activate_model(session: Session, version: str) -> None:
    """Make a version the one whose vectors the view shows and which workers load.

    Raises (through `transaction`) UsageError where no such version is registered.
    """
    session.execute(text("SELECT hangtag_data.activate_model(:version)"), {"version": version})


def get_active_model(session: Session) -> ModelVersion | None:
    """Return the active model version, or None before the first was activated."""
    row = session.execute(
        text(
            "SELECT version, generation, active, created_at FROM hangtag_data.model_versions "
            "WHERE active"
        )
    ).first()
    return ModelVersion(*row) if row else None


def get_previous_model(session: Session) -> ModelVersion | None:
    """Return the version that was active before the active one, or None."""
    row = session.execute(
        text(
            "SELECT version, generation, active, created_at FROM hangtag_data.model_versions "
            "WHERE NOT active AND activated_at IS NOT NULL ORDER BY activated_at DESC LIMIT 1"
        )
    ).first()
    return ModelVersion(*row) if row else None


def list_models(session: Session) -> list[ModelVersion]:
    """List all registered versions, the newest first."""
    rows = session.execute(
        text(
            "SELECT version, generation, active, created_at FROM hangtag_data.model_versions "
            "ORDER BY generation DESC"
        )
    )
    return [ModelVersion(*row) for row in rows]


def upsert_labels(
    session: Session, attribute: str, labels: Iterable[tuple[str, str | None]], parent: str | None
) -> None:
    """Add labels of an attribute as (name, parent's name); `parent` is the parents' attribute."""
    pairs = list(labels)
    session.execute(
        text(
            """
            INSERT INTO hangtag_data.labels (attribute, name, parent_id)
            SELECT :attribute, l.name, p.id
            FROM unnest(CAST(:names AS text[]), CAST(:parents AS text[])) AS l (name, parent)
            LEFT JOIN hangtag_data.labels AS p ON p.attribute = :parent AND p.name = l.parent
            ON CONFLICT (attribute, name) DO UPDATE SET parent_id = excluded.parent_id
            """
        ),
        {
            "attribute": attribute,
            "names": [name for name, _ in pairs],
            "parents": [above for _, above in pairs],
            "parent": parent,
        },
    )


def list_labels(session: Session, attribute: str) -> list[str]:
    """List the names of an attribute's labels in alphabetical order."""
    rows = session.execute(
        text("SELECT name FROM hangtag_data.labels WHERE attribute = :attribute ORDER BY name"),
        {"attribute": attribute},
    )
    return [row.name for row in rows]
