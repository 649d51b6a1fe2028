"""Previews that open review items owe: claim, write, put off, give up.

`review_items.preview_due` says from when one may be drawn; a claim moves it to the end of its lease
and is thereby the fence of every later write.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

#: So many pictures are ready for operators before any upload is taken: a decision takes a person
#: about a second, and a batch may take a minute.
FRONT = 50


@dataclass(frozen=True)
class PreviewClaim:
    """An item whose preview this worker draws until `due`; (item_id, due) is the fence."""

    item_id: int
    upload_id: uuid.UUID
    uri: str
    tries: int
    due: dt.datetime


# The planner knows nothing of items that came a moment ago and would sort the whole queue.
_WALK_THE_INDEX = text(
    "SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off"
)

# As with uploads, one that was tried before is claimed alone: if it is the one that kills its
# worker, it costs no neighbour a try.
_CLAIM = text(
    """
    WITH line AS (
        SELECT id, preview_tries > 0 AS tried,
            row_number() OVER (ORDER BY priority DESC, created_at, id) AS place
        FROM (
            SELECT id, preview_tries, priority, created_at FROM hangtag_data.review_items
            WHERE status = 'open' AND preview_due IS NOT NULL AND preview_due <= now()
                AND preview_tries < :most_tries
            ORDER BY priority DESC, created_at, id
            LIMIT :size
            FOR UPDATE SKIP LOCKED
        ) AS candidates
    ), chosen AS (
        SELECT line.id, line.place FROM line, (SELECT tried FROM line WHERE place = 1) AS head
        WHERE (head.tried AND line.place = 1) OR NOT (head.tried OR line.tried)
    ), claimed AS (
        UPDATE hangtag_data.review_items AS i
        SET preview_tries = i.preview_tries + 1,
            preview_due = now() + make_interval(secs => :lease_seconds)
        FROM chosen WHERE i.id = chosen.id
        RETURNING i.id, i.upload_id, i.preview_tries, i.preview_due, chosen.place
    )
    SELECT c.id, c.upload_id, u.uri, c.preview_tries, c.preview_due
    FROM claimed AS c JOIN hangtag_data.uploads AS u ON u.id = c.upload_id ORDER BY c.place
    """
)


def require_previews_later(session: Session) -> None:
    """Raise (through `transaction`) TransientError where the schema is of an earlier release."""
    session.execute(text("SELECT preview_due FROM hangtag_data.review_items LIMIT 0"))


def count_front_due(session: Session, length: int) -> int:
    """Count the owed previews among the `length` pictures that operators get next.

    What is being drawn, or put off, is passed over: where fewer than `length` are drawn and free,
    any that may be drawn counts.
    """
    session.execute(_WALK_THE_INDEX)
    owed: int = session.execute(
        text(
            """
            SELECT count(preview_due) FROM (
                SELECT preview_due FROM hangtag_data.review_items
                WHERE status = 'open' AND (claimed_by IS NULL OR lease_until < now())
                    AND (preview_due IS NULL OR preview_due <= now())
                ORDER BY priority DESC, created_at, id LIMIT :length
            ) AS front
            """
        ),
        {"length": length},
    ).scalar_one()
    return owed


def claim_previews(
    session: Session, size: int, lease_seconds: float, most_tries: int
) -> list[PreviewClaim]:
    """Claim up to `size` owed previews in the order in which operators get them.

    The try is counted now: one that kills its worker runs out of them.
    """
    session.execute(_WALK_THE_INDEX)
    rows = session.execute(
        _CLAIM, {"size": size, "lease_seconds": lease_seconds, "most_tries": most_tries}
    )
    return [PreviewClaim(*row) for row in rows]


def write_previews(session: Session, drawn: Sequence[tuple[PreviewClaim, bytes]]) -> int:
    """Write JPEGs of claims that still hold, and let operators have the items; return how many.

    Nothing is written for an item that was decided, withdrawn or claimed anew meanwhile.
    """
    rows = session.execute(
        text(
            """
            WITH held AS (
                UPDATE hangtag_data.review_items AS i SET preview_due = NULL
                FROM unnest(CAST(:ids AS bigint[]), CAST(:dues AS timestamptz[]),
                    CAST(:jpegs AS bytea[])) AS d (id, due, jpeg)
                WHERE i.id = d.id AND i.preview_due = d.due AND i.status = 'open'
                RETURNING i.upload_id, i.item, d.jpeg
            )
            INSERT INTO hangtag_data.previews (upload_id, item, jpeg)
            SELECT upload_id, item, jpeg FROM held
            ON CONFLICT (upload_id, item) DO UPDATE
            SET jpeg = excluded.jpeg, kept_until = NULL
            RETURNING upload_id
            """
        ),
        {**_fences([claim for claim, _ in drawn]), "jpegs": [jpeg for _, jpeg in drawn]},
    )
    return len(rows.all())


def put_off_preview(session: Session, claim: PreviewClaim, delay_seconds: float) -> None:
    """Let a claim be drawn again after a delay."""
    _put_off(session, [claim], delay_seconds, 0)


def return_previews(session: Session, claims: Sequence[PreviewClaim]) -> None:
    """Give claims back that nothing was done with; they count as no try."""
    _put_off(session, claims, 0, 1)


def _put_off(
    session: Session, claims: Sequence[PreviewClaim], delay_seconds: float, tries: int
) -> None:
    session.execute(
        text(
            """
            UPDATE hangtag_data.review_items AS i
            SET preview_due = now() + make_interval(secs => :delay),
                preview_tries = i.preview_tries - :tries
            FROM unnest(CAST(:ids AS bigint[]), CAST(:dues AS timestamptz[])) AS c (id, due)
            WHERE i.id = c.id AND i.preview_due = c.due AND i.status = 'open'
            """
        ),
        {**_fences(claims), "delay": delay_seconds, "tries": tries},
    )


def give_up_preview(session: Session, claim: PreviewClaim, code: str, error: str) -> bool:
    """Withdraw the item and make its upload a dead letter; false where the claim no longer held."""
    held: bool = session.execute(
        text("SELECT hangtag_data.give_up_preview(:id, :due, :code, :error)"),
        {"id": claim.item_id, "due": claim.due, "code": code, "error": error},
    ).scalar_one()
    return held


def reap_previews(session: Session, most_tries: int) -> int:
    """Give up what was begun `most_tries` times and never ended; return how many."""
    rows = session.execute(
        text(
            """
            SELECT hangtag_data.give_up_preview(id, preview_due, 'attempts_exhausted', format(
                'its preview was begun %s times and never ended: the worker was killed or hung',
                preview_tries))
            FROM (
                SELECT id, preview_due, preview_tries FROM hangtag_data.review_items
                WHERE status = 'open' AND preview_due IS NOT NULL AND preview_due <= now()
                    AND preview_tries >= :most
                ORDER BY priority DESC, created_at, id LIMIT 100
                FOR UPDATE SKIP LOCKED
            ) AS spent
            """
        ),
        {"most": most_tries},
    )
    return sum(row[0] for row in rows)


def count_due_previews(session: Session, at_most: int) -> int:
    """Count owed previews that may be drawn now, up to `at_most`."""
    count: int = session.execute(
        text(
            "SELECT count(*) FROM (SELECT FROM hangtag_data.review_items WHERE status = 'open' "
            "AND preview_due IS NOT NULL AND preview_due <= now() LIMIT :most) AS due"
        ),
        {"most": at_most},
    ).scalar_one()
    return count


def count_owed(session: Session) -> int:
    """Count open items that owe their preview."""
    count: int = session.execute(
        text(
            "SELECT count(*) FROM hangtag_data.review_items "
            "WHERE status = 'open' AND preview_due IS NOT NULL"
        )
    ).scalar_one()
    return count


def get_overdue_preview_seconds(session: Session, seconds: float) -> float | None:
    """Return how long some preview might have been drawn already, if more than `seconds`."""
    row = session.execute(
        text(
            "SELECT CAST(extract(epoch FROM now() - preview_due) AS float) AS waiting "
            "FROM hangtag_data.review_items WHERE status = 'open' AND preview_due IS NOT NULL "
            "AND preview_due < now() - make_interval(secs => :seconds) LIMIT 1"
        ),
        {"seconds": seconds},
    ).first()
    return row.waiting if row else None


def _fences(claims: Sequence[PreviewClaim]) -> dict[str, list[Any]]:
    return {"ids": [claim.item_id for claim in claims], "dues": [claim.due for claim in claims]}
