"""Claims: who gets what, in which order, and what an old attempt can no longer do."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from db.queries import uploads
from db.queries.uploads import (
    Claim,
    claim_uploads,
    count_due,
    get_status,
    insert_uploads,
    list_dead,
    mark_dead,
    mark_finished,
    mark_pending,
    reap_expired,
    requeue_dead,
)
from db.session import make_engine, transaction
from errors import UsageError
from tests.conftest import run_sql, wait_until


def submit(engine: Engine, count: int, priority: int = 0) -> list[uuid.UUID]:
    """Hand in some uploads."""
    names = [f"file:///{priority}/{i}" for i in range(count)]
    with transaction(engine) as session:
        rows = insert_uploads(session, names, "test", names, priority)
    return [row.id for row in rows]


def claim(engine: Engine, size: int = 10, lease: float = 60, backfill: bool = True) -> list[Claim]:
    """Claim in a transaction of its own."""
    with transaction(engine) as session:
        return claim_uploads(session, "w", size, lease, backfill)


def test_the_same_source_and_external_id_is_one_upload(engine: Engine) -> None:
    with transaction(engine) as session:
        first = insert_uploads(session, ["file:///a", "file:///b"], "s", ["1", "1"])
    with transaction(engine) as session:
        again = insert_uploads(session, ["file:///c"], "s", ["1"])
        other = insert_uploads(session, ["file:///c"], "t", ["1"])
    assert first[0].id == first[1].id == again[0].id != other[0].id
    assert [row.created for row in first].count(True) == 1
    assert not again[0].created


def test_uploads_without_external_id_are_always_new(engine: Engine) -> None:
    with transaction(engine) as session:
        rows = insert_uploads(session, ["file:///a"] * 3, "s", [None] * 3)
    assert len({row.id for row in rows}) == 3


def test_answers_come_in_the_order_of_the_uris(engine: Engine) -> None:
    names = [str(i) for i in (5, 3, 9, 1)]
    with transaction(engine) as session:
        ids = [row.id for row in insert_uploads(session, names, "s", names)]
    with transaction(engine) as session:
        assert [get_status(session, i).uri for i in ids] == names  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("uri", "source", "priority"),
    [("", "s", 0), ("x" * 2049, "s", 0), ("x", "", 0), ("x", "s" * 201, 0), ("x", "s", 101)],
)
def test_a_submission_out_of_bounds_is_refused_by_one_line(
    engine: Engine, uri: str, source: str, priority: int
) -> None:
    with pytest.raises(UsageError), transaction(engine) as session:
        insert_uploads(session, [uri], source, ["1"], priority)


def test_two_workers_never_hold_the_same_upload(engine: Engine) -> None:
    ids = submit(engine, 10)
    with Session(engine) as one, Session(engine) as two:
        first = claim_uploads(one, "one", 6, 60, backfill=True)
        second = claim_uploads(two, "two", 6, 60, backfill=True)  # the first is not committed
        one.commit()
        two.commit()
    assert len(first) == 6
    assert {c.id for c in first} | {c.id for c in second} == set(ids)
    assert not {c.id for c in first} & {c.id for c in second}


def test_fresh_uploads_go_before_the_back_catalogue_and_apart_from_it(engine: Engine) -> None:
    old = submit(engine, 3, priority=-1)
    fresh = submit(engine, 2)
    assert {c.id for c in claim(engine)} == set(fresh)
    assert claim(engine, backfill=False) == []
    assert {c.id for c in claim(engine)} == set(old)


def test_a_retried_upload_is_claimed_alone(engine: Engine) -> None:
    submit(engine, 5)
    poison = claim(engine, size=1)
    with transaction(engine) as session:
        mark_pending(session, poison, "boom", delay_seconds=0)
    batches = [claim(engine), claim(engine)]
    with_poison = next(b for b in batches if poison[0].id in {c.id for c in b})
    assert len(with_poison) == 1
    assert sorted(len(b) for b in batches) == [1, 4]


def test_a_retry_waits_for_its_time(engine: Engine) -> None:
    submit(engine, 1)
    held = claim(engine)
    with transaction(engine) as session:
        mark_pending(session, held, "later", delay_seconds=3600)
    assert claim(engine) == []


def test_a_superseded_attempt_writes_nothing(engine: Engine) -> None:
    submit(engine, 1)
    old = claim(engine, lease=-1)
    with transaction(engine) as session:
        assert reap_expired(session, max_attempts=5).returned == 1
    new = claim(engine)
    assert new[0].attempt == old[0].attempt + 1
    with transaction(engine) as session:
        assert mark_finished(session, [(old[0], "tagged")]) == set()
        assert not mark_dead(session, old[0], "undecodable", "late")
        assert mark_pending(session, old, None, 0) == 0
        assert mark_finished(session, [(new[0], "tagged")]) == {new[0].id}


def test_the_reaper_leaves_living_leases_alone(engine: Engine) -> None:
    submit(engine, 2)
    claim(engine, size=1)
    with transaction(engine) as session:
        reaped = reap_expired(session, max_attempts=5)
    assert (reaped.returned, reaped.dead) == (0, 0)


def test_attempts_used_up_are_dead_with_the_reason(engine: Engine) -> None:
    [upload] = submit(engine, 1)
    for _ in range(2):
        claim(engine, lease=-1)
        with transaction(engine) as session:
            reap_expired(session, max_attempts=2)
    with transaction(engine) as session:
        [dead] = list_dead(session)
    assert dead.image_id == upload
    assert dead.error_code == "attempts_exhausted"
    assert "attempt 2" in (dead.error or "")


def test_a_requeued_dead_letter_starts_afresh(engine: Engine) -> None:
    [upload] = submit(engine, 1)
    [held] = claim(engine)
    with transaction(engine) as session:
        assert mark_dead(session, held, "undecodable", "damaged")
    with transaction(engine) as session:
        assert requeue_dead(session, [upload, uuid.uuid4()]) == [upload]
    [again] = claim(engine)
    assert again.tries == 1
    assert again.attempt == held.attempt + 1  # the fence of the first life stays shut


def test_a_claim_walks_the_index_even_over_rows_that_just_came(
    engine: Engine, database_url: str
) -> None:
    """Right after a bulk submission the planner has no statistics, and would sort every row."""
    run_sql(database_url, "ALTER TABLE hangtag_data.uploads SET (autovacuum_enabled = off)")
    submit(engine, 20_000)
    with transaction(engine) as session:
        session.execute(uploads._WALK_THE_INDEX)
        parameters = {"worker": "w", "size": 32, "lease_seconds": 60, "least_priority": 0}
        plan = session.execute(text(f"EXPLAIN (ANALYZE) {uploads._CLAIM.text}"), parameters)
        lines = [row[0] for row in plan]
    scan = next(line for line in lines if "uploads_pending_idx" in line)
    assert "Bitmap" not in scan
    assert not any("external" in line for line in lines)


def test_a_role_in_the_url_is_taken_on(database_url: str) -> None:
    """The embedded server's processes get their role by the URL; losing it made them superuser."""
    limited = make_engine(f"{database_url}&options=-c%20role%3Dhangtag_worker")
    with transaction(limited) as session:
        assert session.execute(text("SELECT current_user")).scalar() == "hangtag_worker"
    limited.dispose()


def test_sql_producers_announce_their_upload(engine: Engine, database_url: str) -> None:
    import psycopg2

    listener = psycopg2.connect(database_url)
    listener.autocommit = True
    listener.cursor().execute("LISTEN hangtag_uploads")
    run_sql(database_url, "SELECT hangtag.submit_upload('file:///x', 'sql', 'x', 0)")

    def announced() -> int:
        listener.poll()  # notifications come when they come
        return len(listener.notifies)

    wait_until(lambda: announced() == 1, seconds=10, what="the announcement")
    listener.close()


def test_counting_what_is_due_never_reads_the_whole_table(engine: Engine) -> None:
    """Each claim counts; with statistics of a bulk submission the planner would read it all."""
    with transaction(engine) as session:
        insert_uploads(session, ["file:///a.jpg"] * 3000, "bulk", [str(n) for n in range(3000)])
    with transaction(engine) as session:
        session.execute(text("ANALYZE hangtag_data.uploads"))
    with transaction(engine) as session:
        assert count_due(session, 128) == {"ingest": 128, "backfill": 0}
        scans = "SELECT pg_stat_get_xact_numscans('hangtag_data.uploads'::regclass)"
        assert session.execute(text(scans)).scalar() == 0
