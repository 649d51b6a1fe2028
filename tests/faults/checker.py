"""The checker: reads nothing but the database, and says what became of acknowledged uploads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import psycopg2.extensions

from tests.faults.producers import SOURCE, Picture

#: Every final state that an upload reaches, and every prediction written, is kept with its time.
AUDIT = """
    CREATE SCHEMA faults;
    CREATE TABLE faults.finals (upload_id uuid, attempt int, status text, at timestamptz);
    CREATE TABLE faults.writes (upload_id uuid, at timestamptz);
    -- Claims that were ended by an attempt which did not hold them: workers of the harness say in
    -- faults.attempts, as {upload: attempt}, for which attempts they speak.
    CREATE TABLE faults.strangers (upload_id uuid, attempt int, held int, status text);
    CREATE FUNCTION faults.note_final() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        IF NEW.status IN ('tagged', 'review', 'dead') AND (
            OLD.status <> NEW.status OR OLD.finished_at IS DISTINCT FROM NEW.finished_at
        ) THEN
            INSERT INTO faults.finals VALUES (NEW.id, NEW.attempt, NEW.status, now());
        END IF;
        INSERT INTO faults.strangers
            SELECT NEW.id, CAST(a.value AS int), OLD.attempt, OLD.status
            FROM jsonb_each_text(CAST(nullif(current_setting('faults.attempts', true), '')
                                      AS jsonb)) AS a
            WHERE a.key = CAST(NEW.id AS text)
                AND (CAST(a.value AS int) <> OLD.attempt OR OLD.status <> 'processing');
        RETURN NULL;
    END $$;
    CREATE FUNCTION faults.note_write() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO faults.writes VALUES (NEW.upload_id, now());
        RETURN NULL;
    END $$;
    CREATE TRIGGER note_final AFTER UPDATE ON hangtag_data.uploads
        FOR EACH ROW EXECUTE FUNCTION faults.note_final();
    CREATE TRIGGER note_write AFTER INSERT OR UPDATE ON hangtag_data.predictions
        FOR EACH ROW EXECUTE FUNCTION faults.note_write();
"""
#: Where the same picture was handed in without any fault, with this source.
REFERENCE = "reference"
#: Uploads with neither a published type nor an open review item, or with both, or with tags and
#: prediction of several moments: one result is written in one transaction, which has one time.
UNCLEAR = """
    SELECT u.external_id FROM hangtag_data.uploads AS u
    LEFT JOIN hangtag_data.tags AS t ON t.upload_id = u.id
    LEFT JOIN hangtag_data.review_items AS r ON r.upload_id = u.id AND r.status = 'open'
    LEFT JOIN hangtag_data.predictions AS p ON p.upload_id = u.id
    WHERE u.source = %s AND u.status IN ('tagged', 'review')
    GROUP BY u.id, u.external_id, u.status
    HAVING (count(*) FILTER (WHERE t.attribute = 'article_type') > 0) = (count(r.id) > 0)
        OR (u.status = 'review') <> (count(r.id) > 0)
        OR count(DISTINCT t.decided_at) > 1
        OR count(DISTINCT p.created_at) <> 1
        OR count(DISTINCT t.decided_at) = 1 AND min(t.decided_at) <> min(p.created_at)
"""
#: Uploads for an operator, whose picture is not there or still owed.
UNDRAWN = """
    SELECT u.external_id, i.preview_tries FROM hangtag_data.uploads AS u
    JOIN hangtag_data.review_items AS i ON i.upload_id = u.id AND i.status = 'open'
    LEFT JOIN hangtag_data.previews AS p ON p.upload_id = i.upload_id AND p.item = i.item
    WHERE u.source = %s AND u.status = 'review'
        AND (p.upload_id IS NULL OR i.preview_due IS NOT NULL)
"""
#: Tags, decision and vector of the upload and of the reference for the same file. Confidences are
#: not compared: their fourth digit depends on the batch.
DIFFERING = """
    WITH results AS (
        SELECT u.id, u.source, u.external_id, u.uri, u.status,
            (SELECT jsonb_agg(jsonb_build_array(r.reason, r.suggested #> '{0,0}'))
             FROM hangtag_data.review_items AS r WHERE r.upload_id = u.id) AS review,
            (SELECT jsonb_object_agg(t.attribute, t.label) FROM hangtag_data.tags AS t
             WHERE t.upload_id = u.id) AS tags,
            -- None where there are several, which is as wrong as none.
            (SELECT CASE WHEN count(*) = 1 THEN (array_agg(e.embedding))[1] END
             FROM hangtag_data.embeddings AS e WHERE e.upload_id = u.id) AS embedding
        FROM hangtag_data.uploads AS u WHERE u.status IN ('tagged', 'review')
    )
    SELECT a.external_id FROM results AS a JOIN results AS b ON b.uri = a.uri
    WHERE a.source = %s AND b.source = %s AND (
        a.status <> b.status OR a.tags IS DISTINCT FROM b.tags
        OR a.review IS DISTINCT FROM b.review
        OR a.embedding IS NULL OR (a.embedding <=> b.embedding) > 1e-4
    )
"""


@dataclass
class Findings:
    """What is wrong, by kind: external ids, with what was found."""

    lost: dict[str, str] = field(default_factory=dict)
    doubled: dict[str, str] = field(default_factory=dict)
    superseded: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """Return how many there are of each kind."""
        return {kind: len(found) for kind, found in asdict(self).items()}


def check(
    connection: psycopg2.extensions.connection, acknowledged: Mapping[str, Picture]
) -> Findings:
    """Compare the database with what producers were told.

    lost: acknowledged, and not there, in no final state, or for an operator without a preview.
    doubled: twice there, or not exactly one set of tags or one open review item. superseded: more
    than one final state was written, or results without one, or a claim was ended by an attempt
    that did not hold it. wrong: other tags, review or vector than without faults, a good picture
    dead, a bad one not, or dead with another code or without a reason.
    """
    found = Findings()
    rows = _rows(
        connection,
        "SELECT external_id, status, error_code, error, CASE "
        "WHEN lease_until < now() - interval '5 s' THEN ', its lease is over' "
        "WHEN lease_until > now() + interval '1 h' THEN ', its lease does not end' ELSE '' END "
        "FROM hangtag_data.uploads WHERE source = %s",
        SOURCE,
    )
    seen: dict[str, tuple[str, str | None, str | None, str]] = {}
    for external_id, status, code, error, lease in rows:
        if external_id in seen:
            found.doubled[external_id] = "two uploads"
        seen[external_id] = (status, code, error, lease)
    for external_id, picture in acknowledged.items():
        if external_id not in seen:
            found.lost[external_id] = "not there"
            continue
        status, code, error, lease = seen[external_id]
        if status not in ("tagged", "review", "dead"):
            found.lost[external_id] = f"still {status}{lease}"
        elif (status == "dead") != (picture.code is not None):
            found.wrong[external_id] = f"{status} ({code}: {error}), expected {picture.code}"
        elif status == "dead" and (code != picture.code or not error):
            found.wrong[external_id] = f"dead with {code} ({error}), expected {picture.code}"
    for external_id, tries in _rows(connection, UNDRAWN, SOURCE):
        found.lost[external_id] = f"its preview was begun {tries} times and is not there"
    for (external_id,) in _rows(connection, UNCLEAR, SOURCE):
        found.doubled[external_id] = "not exactly one set of tags or one open review item"
    for external_id, finals, writes in _rows(
        connection,
        """
        SELECT u.external_id, count(DISTINCT f.at), count(DISTINCT w.at)
        FROM hangtag_data.uploads AS u
        LEFT JOIN faults.finals AS f ON f.upload_id = u.id
        LEFT JOIN faults.writes AS w ON w.upload_id = u.id
        WHERE u.source = %s
        GROUP BY u.id, u.external_id, u.status
        HAVING count(DISTINCT f.at) > 1
            OR count(DISTINCT w.at) <> CASE WHEN u.status IN ('tagged', 'review') THEN 1 ELSE 0 END
        """,
        SOURCE,
    ):
        if external_id not in found.lost:
            found.superseded[external_id] = f"{finals} final states, {writes} results"
    for external_id, attempt, held, status in _rows(
        connection,
        "SELECT u.external_id, s.attempt, s.held, s.status FROM faults.strangers AS s "
        "JOIN hangtag_data.uploads AS u ON u.id = s.upload_id WHERE u.source = %s",
        SOURCE,
    ):
        found.superseded[external_id] = f"attempt {attempt} ended it, {status} by attempt {held}"
    for (external_id,) in _rows(connection, DIFFERING, SOURCE, REFERENCE):
        found.wrong[external_id] = "other tags or another vector than without faults"
    return found


def _rows(
    connection: psycopg2.extensions.connection, statement: str, *values: object
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()
