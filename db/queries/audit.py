"""The audit trail: who did what and when, append-only."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

#: What is written, by whom. Triggers write decisions and changes of accounts by themselves.
ACTIONS = (
    "login",
    "login_failed",
    "logout",
    "decide",
    "skip",
    "release",
    "reopen",
    "operator_added",
    "operator_password",
    "operator_promoted",
    "operator_demoted",
    "operator_disabled",
    "operator_enabled",
    "operator_removed",
    "operator_unlocked",
)


@dataclass(frozen=True)
class Entry:
    """One line of the audit trail; `reopenable` tells that a lead may reopen this decision."""

    id: int
    at: dt.datetime
    actor: str | None
    action: str
    subject: str | None
    upload_id: uuid.UUID | None
    review_item_id: int | None
    address: str | None
    detail: dict[str, Any]
    login: str
    reopenable: bool


def insert_entry(
    session: Session,
    action: str,
    actor: str | None,
    subject: str | None = None,
    upload_id: uuid.UUID | None = None,
    review_item_id: int | None = None,
    address: str | None = None,
    detail: dict[str, Any] | None = None,
) -> None:
    """Write down that an actor did something; time and database login are added by themselves."""
    session.execute(
        text(
            "INSERT INTO hangtag_data.audit_log (actor, action, subject, upload_id, "
            "review_item_id, address, detail) VALUES (:actor, :action, :subject, :upload_id, "
            ":review_item_id, :address, CAST(:detail AS jsonb))"
        ),
        {
            "actor": actor,
            "action": action,
            "subject": subject,
            "upload_id": upload_id,
            "review_item_id": review_item_id,
            "address": address,
            "detail": json.dumps(detail or {}),
        },
    )


def list_entries(
    session: Session,
    limit: int,
    before: int | None = None,
    actor: str | None = None,
    action: str | None = None,
    since: dt.datetime | None = None,
) -> list[Entry]:
    """List the newest entries first; `before` is the id to go on behind.

    `actor` finds what an operator did as well as what was done to their account.
    """
    filters = {
        "before": "a.id < :before",
        "actor": "(a.actor = :actor OR (a.subject = :actor AND "
        "(a.action LIKE 'operator%' OR a.action IN ('login_failed', 'release'))))",
        "action": "a.action = :action",
        "since": "a.at >= :since",
    }
    values = {"before": before, "actor": actor, "action": action, "since": since}
    used = {name: value for name, value in values.items() if value is not None}
    where = " AND ".join(filters[name] for name in used) or "true"
    rows = session.execute(
        text(
            f"""
            SELECT a.id, a.at, a.actor, a.action, a.subject, a.upload_id, a.review_item_id,
                a.address, a.detail, a.login,
                a.action = 'decide' AND EXISTS (
                    SELECT FROM hangtag_data.review_items AS i
                    JOIN hangtag_data.previews AS p
                        ON p.upload_id = i.upload_id AND p.item = i.item
                    WHERE i.id = a.review_item_id AND i.status = 'decided' AND NOT EXISTS (
                        SELECT FROM hangtag_data.review_items AS later
                        WHERE later.upload_id = i.upload_id AND later.item = i.item
                            AND later.id > i.id)) AS reopenable
            FROM hangtag_data.audit_log AS a
            WHERE {where} ORDER BY a.id DESC LIMIT :limit
            """  # noqa: S608 (conditions are constants)
        ),
        {**used, "limit": limit},
    )
    return [Entry(*row) for row in rows]
