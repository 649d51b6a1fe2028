"""Uploads: submit, claim, finish, retry, die, come back."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.orm import Session

from db.queries.arrays import array_text
from db.queries.submission import check_submission
from db.session import ask


@dataclass(frozen=True)
class Submitted:
    """The answer to a submission; `created` is false where the upload was there before."""

    id: uuid.UUID
    status: str
    created: bool


@dataclass(frozen=True)
class Claim:
    """An upload that this worker holds until its lease runs out; (id, attempt) is the fence.

    `tries` counts the attempts since it was handed in or came back from the dead; `attempt`
    goes on counting, so that no fence is ever valid twice. `waited` is the seconds since it might
    have been claimed; `fresh` tells it from the back catalogue.
    """

    id: uuid.UUID
    attempt: int
    tries: int
    uri: str
    waited: float = 0.0
    fresh: bool = True


@dataclass(frozen=True)
class UploadStatus:
    """A row of the view `upload_status`."""

    image_id: uuid.UUID
    source: str
    external_id: str | None
    uri: str
    status: str
    attempt: int
    error_code: str | None
    error: str | None
    created_at: dt.datetime
    finished_at: dt.datetime | None


_SUBMIT = text(
    "SELECT id, status, created FROM hangtag.submit_uploads("
    "CAST(:uris AS text[]), :source, CAST(:external_ids AS text[]), :priority)"
    " ORDER BY place"
)


def insert_uploads(
    session: Session | Connection,
    uris: Sequence[str],
    source: str,
    external_ids: Sequence[str | None],
    priority: int = 0,
) -> list[Submitted]:
    """Hand in uploads, in order; one that was there before is returned as it stands.

    Raises UsageError for what no row can hold (`check_submission`).
    """
    uris, external_ids = check_submission(uris, source, external_ids, priority)
    rows = session.execute(
        _SUBMIT,
        {
            "uris": array_text(uris),
            "source": source,
            "external_ids": array_text(external_ids),
            "priority": priority,
        },
    )
    return [Submitted(*row) for row in rows]


# After a bulk submission the planner knows nothing of the new rows and would sort them all:
# 224 ms a claim at 100,000 rows, where walking the index takes less than one.
_WALK_THE_INDEX = text(
    "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off"
)

_IS_FRESH_DUE = (
    f"{_WALK_THE_INDEX.text}; SELECT EXISTS (SELECT FROM hangtag_data.uploads "  # noqa: S608 (ours)
    "WHERE status = 'pending' AND available_at <= now() AND priority >= 0)"
)

# A row that was tried before is claimed alone: if it is the one that kills its worker, no
# neighbour's attempt is spent with it. Fresh rows are claimed without rows of the back catalogue,
# for which they would wait. The first row in line decides which it is.
_CLAIM = text(
    """
    WITH line AS (
        SELECT id, tried, priority >= 0 AS fresh,
            row_number() OVER (ORDER BY priority DESC, available_at, id) AS place
        FROM (
            SELECT id, attempt > attempts_before AS tried, priority, available_at
            FROM hangtag_data.uploads
            WHERE status = 'pending' AND available_at <= now() AND priority >= :least_priority
            ORDER BY priority DESC, available_at, id
            LIMIT :size
            FOR UPDATE SKIP LOCKED
        ) AS candidates
    ), chosen AS (
        SELECT line.id FROM line, (SELECT tried, fresh FROM line WHERE place = 1) AS head
        WHERE (head.tried AND line.place = 1)
            OR (NOT (head.tried OR line.tried) AND line.fresh = head.fresh)
    )
    UPDATE hangtag_data.uploads AS u
    SET status = 'processing', attempt = u.attempt + 1, claimed_by = :worker,
        lease_until = now() + make_interval(secs => :lease_seconds)
    FROM chosen WHERE u.id = chosen.id
    RETURNING u.id, u.attempt, u.attempt - u.attempts_before AS tries, u.uri,
        CAST(extract(epoch FROM now() - u.available_at) AS float) AS waited,
        u.priority >= 0 AS fresh
    """
)


def claim_uploads(
    session: Session, worker: str, size: int, lease_seconds: float, backfill: bool
) -> list[Claim]:
    """Claim up to `size` pending uploads, the most urgent first; others' claims are skipped.

    Without `backfill` only the ingest lane (priority ≥ 0) is looked at.
    """
    session.execute(_WALK_THE_INDEX)
    rows = session.execute(
        _CLAIM,
        {
            "worker": worker,
            "size": size,
            "lease_seconds": lease_seconds,
            "least_priority": -32768 if backfill else 0,
        },
    )
    return [Claim(*row) for row in rows]


def is_fresh_due(engine: Engine) -> bool:
    """Tell whether an upload of the ingest lane may be claimed now, in one round trip."""
    due: bool = ask(engine, _IS_FRESH_DUE)
    return due


def mark_finished(session: Session, outcomes: Sequence[tuple[Claim, str]]) -> set[uuid.UUID]:
    """Give claims their final status (`tagged` or `review`); return the ids that still held.

    An id that is missing from the answer was superseded: its lease ran out and another attempt
    has it. Nothing may be written for it.
    """
    rows = session.execute(
        text(
            """
            UPDATE hangtag_data.uploads AS u
            SET status = o.status, finished_at = now(), lease_until = NULL, claimed_by = NULL,
                error = NULL
            FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[]), CAST(:statuses AS text[]))
                AS o (id, attempt, status)
            WHERE u.id = o.id AND u.attempt = o.attempt AND u.status = 'processing'
            RETURNING u.id
            """
        ),
        {
            **_fences([claim for claim, _ in outcomes]),
            "statuses": array_text(status for _, status in outcomes),
        },
    )
    return {row.id for row in rows}


def mark_dead(session: Session, claim: Claim, code: str, error: str) -> bool:
    """Make an upload a dead letter with its reason; false where the claim no longer held."""
    result = session.execute(
        text(
            """
            UPDATE hangtag_data.uploads
            SET status = 'dead', error_code = :code, error = :error, finished_at = now(),
                lease_until = NULL, claimed_by = NULL
            WHERE id = :id AND attempt = :attempt AND status = 'processing'
            RETURNING id
            """
        ),
        {"id": claim.id, "attempt": claim.attempt, "code": code, "error": error},
    )
    return result.first() is not None


def mark_pending(
    session: Session, claims: Sequence[Claim], error: str | None, delay_seconds: float
) -> int:
    """Hand claims back, to be claimed again after a delay; return how many still held."""
    result = session.execute(
        text(
            """
            UPDATE hangtag_data.uploads AS u
            SET status = 'pending', lease_until = NULL, claimed_by = NULL,
                error = coalesce(:error, u.error),
                available_at = now() + make_interval(secs => :delay)
            FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS c (id, attempt)
            WHERE u.id = c.id AND u.attempt = c.attempt AND u.status = 'processing'
            RETURNING u.id
            """
        ),
        {**_fences(claims), "error": error, "delay": delay_seconds},
    )
    return len(result.all())


def return_claims(session: Session, claims: Sequence[Claim]) -> int:
    """Give claims back that nothing was done with; they count as no try. Return how many held."""
    result = session.execute(
        text(
            """
            UPDATE hangtag_data.uploads AS u
            SET status = 'pending', lease_until = NULL, claimed_by = NULL, available_at = now(),
                attempts_before = u.attempts_before + 1
            FROM unnest(CAST(:ids AS uuid[]), CAST(:attempts AS int[])) AS c (id, attempt)
            WHERE u.id = c.id AND u.attempt = c.attempt AND u.status = 'processing'
            RETURNING u.id
            """
        ),
        _fences(claims),
    )
    return len(result.all())


def _fences(claims: Sequence[Claim]) -> dict[str, str]:
    return {
        "ids": array_text(str(claim.id) for claim in claims),
        "attempts": array_text(claim.attempt for claim in claims),
    }


@dataclass(frozen=True)
class Reaped:
    """What a sweep over expired leases did."""

    returned: int
    dead: int


def reap_expired(session: Session, max_attempts: int) -> Reaped:
    """Take back uploads whose lease ran out; those without attempts left are dead."""
    rows = session.execute(
        text(
            """
            WITH expired AS (
                SELECT id, attempt - attempts_before >= :most AS spent FROM hangtag_data.uploads
                WHERE status = 'processing' AND lease_until < now()
                ORDER BY lease_until LIMIT 1000
                FOR UPDATE SKIP LOCKED
            )
            UPDATE hangtag_data.uploads AS u
            SET status = CASE WHEN expired.spent THEN 'dead' ELSE 'pending' END,
                error_code = CASE WHEN expired.spent THEN 'attempts_exhausted' END,
                error = format(
                    'attempt %s ended without a result (worker %s); last error: %s',
                    u.attempt, u.claimed_by, coalesce(u.error, 'none: it was killed or hung')),
                finished_at = CASE WHEN u.attempt - u.attempts_before >= :most THEN now() END,
                available_at = now(), lease_until = NULL, claimed_by = NULL
            FROM expired WHERE u.id = expired.id
            RETURNING u.status
            """
        ),
        {"most": max_attempts},
    ).all()
    dead = sum(row.status == "dead" for row in rows)
    return Reaped(returned=len(rows) - dead, dead=dead)


def count_due(session: Session, at_most: int) -> dict[str, int]:
    """Count pending uploads that may be claimed now, a lane, up to `at_most` each."""
    session.execute(_WALK_THE_INDEX)  # each claim counts
    row = session.execute(
        text(
            """
            SELECT
                (SELECT count(*) FROM (SELECT FROM hangtag_data.uploads
                 WHERE status = 'pending' AND available_at <= now() AND priority >= 0
                 LIMIT :most) AS a) AS ingest,
                (SELECT count(*) FROM (SELECT FROM hangtag_data.uploads
                 WHERE status = 'pending' AND available_at <= now() AND priority < 0
                 LIMIT :most) AS b) AS backfill
            """
        ),
        {"most": at_most},
    ).one()
    return {"ingest": row.ingest, "backfill": row.backfill}


def get_overdue_seconds(session: Session, seconds: float, lanes: Sequence[str]) -> float | None:
    """Return how long some upload of these lanes has been waiting, if more than `seconds`."""
    row = session.execute(
        text(
            "SELECT CAST(extract(epoch FROM now() - available_at) AS float) AS waiting "
            "FROM hangtag_data.uploads WHERE status = 'pending' "
            "AND CASE WHEN priority >= 0 THEN 'ingest' ELSE 'backfill' END = ANY(:lanes) "
            "AND available_at < now() - make_interval(secs => :seconds) LIMIT 1"
        ),
        {"seconds": seconds, "lanes": list(lanes)},
    ).first()
    return row.waiting if row else None


def is_anything_held(session: Session) -> bool:
    """Tell whether any claim's lease still runs."""
    row = session.execute(
        text(
            "SELECT FROM hangtag_data.uploads "
            "WHERE status = 'processing' AND lease_until > now() LIMIT 1"
        )
    ).first()
    return row is not None


def is_any_under_way(connection: Connection) -> bool:
    """Tell whether any upload is claimed, or may be claimed now."""
    under_way: bool = connection.execute(
        text(
            "SELECT EXISTS (SELECT FROM hangtag_data.uploads WHERE status = 'processing') "
            "OR EXISTS (SELECT FROM hangtag_data.uploads "
            "WHERE status = 'pending' AND available_at <= now())"
        )
    ).scalar_one()
    return under_way


def get_status(session: Session, upload_id: uuid.UUID) -> UploadStatus | None:
    """Return where an upload stands, or None."""
    row = session.execute(
        text("SELECT * FROM hangtag.upload_status WHERE image_id = :id"), {"id": upload_id}
    ).first()
    return UploadStatus(**row._mapping) if row else None


def list_status(session: Session, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, UploadStatus]:
    """Return where some uploads stand, by id."""
    rows = session.execute(
        text("SELECT * FROM hangtag.upload_status WHERE image_id = ANY(CAST(:ids AS uuid[]))"),
        {"ids": [str(i) for i in ids]},
    )
    return {row.image_id: UploadStatus(**row._mapping) for row in rows}


def count_by_status(session: Session) -> dict[str, int]:
    """Count uploads a status."""
    rows = session.execute(
        text("SELECT status, count(*) AS n FROM hangtag.upload_status GROUP BY status")
    )
    return {row.status: row.n for row in rows}


def list_dead(session: Session, limit: int = 100) -> list[UploadStatus]:
    """List dead letters, the newest first."""
    rows = session.execute(
        text(
            "SELECT * FROM hangtag.upload_status WHERE status = 'dead' "
            "ORDER BY finished_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [UploadStatus(**row._mapping) for row in rows]


def requeue_dead(session: Session, ids: Sequence[uuid.UUID] | None) -> list[uuid.UUID]:
    """Give dead letters (some, or all with None) a fresh start; return those that were dead."""
    where = "" if ids is None else "AND id = ANY(CAST(:ids AS uuid[]))"
    parameters: dict[str, Any] = {} if ids is None else {"ids": [str(i) for i in ids]}
    rows = session.execute(
        text(
            "UPDATE hangtag_data.uploads SET status = 'pending', attempts_before = attempt, "  # noqa: S608 (constant)
            "error_code = NULL, "
            "error = NULL, finished_at = NULL, available_at = now() "
            f"WHERE status = 'dead' {where} RETURNING id"
        ),
        parameters,
    )
    return [row.id for row in rows]
