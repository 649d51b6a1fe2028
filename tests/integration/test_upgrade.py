"""Migration 0002 over data of 0001; programs of before go on working on the new schema."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from db import roles
from db.embedded import EmbeddedPostgres
from db.queries.models import activate_model, register_model
from db.queries.operators import list_accounts
from db.queries.reviews import decide_review_item
from db.session import make_engine, transaction, translate
from tests.check_migrations import alembic_config
from tests.conftest import run_sql
from tests.integration.rows import JPEG, MODEL, TOP5, insert_labels, published_tags, scalar
from tests.integration.schema_0001 import operators, results, reviews, uploads
from worker.setup import migrate


@pytest.fixture
def old_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database as the release before made it."""
    name = f"old_{uuid.uuid4().hex[:12]}"
    run_sql(postgres.url("postgres"), f"CREATE DATABASE {name}")
    command.upgrade(alembic_config(postgres.url(name)), "0001")
    yield postgres.url(name)
    run_sql(postgres.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def fill(engine: Engine) -> int:
    """Insert labels, a model, ada; return the model's generation."""
    with transaction(engine) as session:
        insert_labels(session)
        generation = register_model(session, MODEL, {})
        activate_model(session, MODEL)
        operators.insert_operator(session, "ada", "a hash")
    return generation


def result_of(claim: uploads.Claim, reason: str | None) -> results.Result:
    tag = {"label": "Tshirts", "confidence": 0.46}
    return results.Result(
        upload_id=claim.id,
        item=0,
        article_type="Tshirts",
        confidence=0.46,
        decision="review" if reason else "accept",
        reason=reason,
        top5=TOP5,
        tags={"article_type": tag},
        published={} if reason else {"article_type": tag},
        fashion_score=0.9,
        embedding=json.dumps([1.0] + [0.0] * 255),
        preview=JPEG if reason else None,
    )


def tag_some(engine: Engine, generation: int, count: int) -> list[uploads.Claim]:
    """Hand in, claim and finish uploads as a worker of before does; all go to review."""
    names = [f"post-{number}" for number in range(count)]
    with transaction(engine) as session:
        uploads.insert_uploads(session, [f"file:///{name}" for name in names], "shop", names)
        claims = uploads.claim_uploads(session, "old worker", count, 60, backfill=True)
    with transaction(engine) as session:
        held = uploads.mark_finished(session, [(claim, "review") for claim in claims])
        assert held == {claim.id for claim in claims}
        found = [result_of(claim, "below_threshold") for claim in claims]
        results.write_results(session, found, MODEL, generation)
    return claims


def test_a_database_with_data_is_upgraded_and_keeps_them(old_url: str) -> None:
    engine = make_engine(old_url)
    tag_some(engine, fill(engine), 3)
    with transaction(engine) as session:
        first = reviews.claim_next_review_item(session, "ada", 300)
        assert first is not None
        reviews.decide_review_item(session, first.id, "ada", "Tops")
        held = reviews.claim_next_review_item(session, "ada", 300)
    tables = ("uploads", "tags", "embeddings", "review_items", "previews", "decisions")
    before = {one: scalar(engine, f"SELECT count(*) FROM hangtag_data.{one}") for one in tables}
    migrate(old_url)
    after = {one: scalar(engine, f"SELECT count(*) FROM hangtag_data.{one}") for one in tables}
    assert after == before
    with transaction(engine) as session:
        assert [(one.name, one.role) for one in list_accounts(session)] == [("ada", "operator")]
        # The claim of before still holds, and is decided by a console of before.
        assert held is not None
        reviews.decide_review_item(session, held.id, "ada", "Shirts")
    assert published_tags(engine, held.upload_id)["article_type"][0] == "Shirts"
    engine.dispose()


def test_an_old_worker_an_old_client_and_an_old_console_work_on_the_new_schema(
    database_url: str,
) -> None:
    owner = make_engine(database_url)
    generation = fill(owner)
    worker = make_engine(database_url, role=roles.WORKER)
    claims = tag_some(worker, generation, 3)
    console = make_engine(database_url, role=roles.OPERATOR)
    with transaction(console) as session:
        account = operators.get_operator(session, "ada")
        assert account is not None
        assert (account.password_hash, account.active) == ("a hash", True)
        decided = []
        for label in ("Tops", None):
            item = reviews.claim_next_review_item(session, "ada", 60)
            assert item is not None
            assert reviews.get_preview(session, item.id, "ada") == JPEG
            reviews.decide_review_item(session, item.id, "ada", label)
            decided.append(item.upload_id)
        last = reviews.claim_next_review_item(session, "ada", 60)
        assert last is not None
        reviews.mark_skipped(session, last.id, "ada")
        assert reviews.count_open(session) == 1
    assert published_tags(owner, decided[0])["article_type"][0] == "Tops"
    assert published_tags(owner, decided[1]) == {}
    # What the old console does not know of is written down nevertheless.
    trail = (
        "SELECT array_agg(subject ORDER BY id) FROM hangtag_data.audit_log WHERE action = 'decide'"
    )
    assert scalar(owner, trail) == ["Tops", "not fashion"]
    with transaction(worker) as session:
        assert set(uploads.list_status(session, [claim.id for claim in claims])) == {
            claim.id for claim in claims
        }
    for engine in (owner, worker, console):
        engine.dispose()


def test_an_old_worker_s_failures_and_the_old_reaper_work_on_the_new_schema(
    database_url: str,
) -> None:
    producer = make_engine(database_url, role=roles.PRODUCER)
    worker = make_engine(database_url, role=roles.WORKER)
    with transaction(producer) as session:
        names = ["one", "two", "three"]
        uploads.insert_uploads(session, [f"file:///{name}" for name in names], "shop", names, 5)
    with transaction(worker) as session:
        dead, late, lost = uploads.claim_uploads(session, "old worker", 3, 0.001, backfill=False)
        assert uploads.mark_dead(session, dead, "undecodable", "no picture")
        assert uploads.mark_pending(session, [late], "busy", 60) == 1
    with transaction(worker) as session:
        assert uploads.reap_expired(session, 5) == uploads.Reaped(returned=1, dead=0)
        assert uploads.count_due(session, 10) == {"ingest": 1, "backfill": 0}
        assert uploads.requeue_dead(session, None) == [dead.id]
        assert uploads.count_by_status(session) == {"pending": 3}
        again = uploads.claim_uploads(session, "old worker", 3, 60, backfill=False)
        assert {claim.id for claim in again} <= {dead.id, lost.id}
    producer.dispose()
    worker.dispose()


def test_an_old_worker_s_new_preview_is_not_swept_up_with_the_old_one(database_url: str) -> None:
    """It knows nothing of `kept_until`: while an item is open its picture stays."""
    owner = make_engine(database_url)
    generation = fill(owner)
    claims = tag_some(owner, generation, 1)
    with owner.begin() as connection:
        connection.execute(text("UPDATE hangtag_data.previews SET kept_until = now()"))
    with transaction(owner) as session:
        results.write_results(session, [result_of(claims[0], "below_threshold")], MODEL, generation)
    other = make_engine(database_url, role=roles.OPERATOR)
    tag = uuid.uuid4()
    with owner.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO hangtag_data.uploads (id, source, uri, status) "
                "VALUES (:id, 's', 'u', 'review')"
            ),
            {"id": tag},
        )
        decided = connection.execute(
            text(
                "INSERT INTO hangtag_data.review_items (upload_id, item, model_version, reason, "
                "suggested, confidence, claimed_by, lease_until) VALUES (:id, 0, :model, 'r', "
                "'[[\"Tops\", 0.4]]', 0.4, 'ada', now()) RETURNING id"
            ),
            {"id": tag, "model": MODEL},
        ).scalar_one()
    with transaction(other) as session:
        decide_review_item(session, decided, "ada", "Tops")
    assert scalar(owner, "SELECT count(*) FROM hangtag_data.previews") == 1
    owner.dispose()
    other.dispose()


def test_a_migration_that_gets_no_lock_gives_up_and_leaves_nothing_half_done(old_url: str) -> None:
    """`hangtag migrate` says so in one line; the next one goes through."""
    config = alembic_config(old_url)
    config.attributes["lock_timeout"] = "500ms"
    engine = make_engine(old_url)
    with engine.connect() as busy:
        busy.execute(text("SELECT count(*) FROM hangtag_data.previews"))  # a transaction is open
        with pytest.raises(DBAPIError, match="lock timeout") as caught:
            command.upgrade(config, "head")
    assert str(translate(caught.value)).startswith("the database is busy: canceling statement")
    left = "SELECT version_num FROM hangtag_data.alembic_version"
    assert scalar(engine, left) == "0001"
    tables = "SELECT count(*) FROM pg_tables WHERE tablename IN ('audit_log', 'login_attempts')"
    assert scalar(engine, tables) == 0
    engine.dispose()
    command.upgrade(config, "head")


def wait_for_waiting(engine: Engine, count: int) -> None:
    """Return when so many sessions of this database wait for a lock."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    until = time.monotonic() + 30
    while scalar(engine, waiting) < count:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.parametrize(
    "then",
    [
        "UPDATE hangtag_data.previews SET jpeg = jpeg",
        "UPDATE hangtag_data.review_items SET claimed_by = 'ada', lease_until = now()",
    ],
)
def test_a_writer_in_the_middle_goes_on_and_the_migration_waits_for_it(
    old_url: str, then: str
) -> None:
    """It has the review item and needs a table that the migration alters, too."""
    engine = make_engine(old_url, pool_size=4)
    tag_some(engine, fill(engine), 1)
    with ThreadPoolExecutor(1) as pool:
        with engine.begin() as writer:
            writer.execute(text("UPDATE hangtag_data.review_items SET priority = 1"))
            migration = pool.submit(command.upgrade, alembic_config(old_url), "head")
            wait_for_waiting(engine, 1)
            writer.execute(text(then))
        migration.result(60)
    engine.dispose()


def test_who_reads_the_queue_during_the_migration_waits_and_reads_on(old_url: str) -> None:
    engine = make_engine(old_url, pool_size=4)
    tag_some(engine, fill(engine), 1)

    def read() -> object:
        return scalar(engine, "SELECT count(*) FROM hangtag.review_queue")

    with ThreadPoolExecutor(2) as pool:
        with engine.begin() as busy:
            busy.execute(text("SELECT FROM hangtag_data.decisions FOR UPDATE"))
            migration = pool.submit(command.upgrade, alembic_config(old_url), "head")
            wait_for_waiting(engine, 1)
            reading = pool.submit(read)
            wait_for_waiting(engine, 2)
        migration.result(60)
        assert reading.result(60) == 1
    engine.dispose()


def test_workers_and_consoles_of_before_work_while_the_migration_runs(old_url: str) -> None:
    engine = make_engine(old_url, pool_size=6)
    generation = fill(engine)
    with transaction(engine) as session:
        operators.insert_operator(session, "bo", "a hash")
    stop = threading.Event()

    def work(number: int) -> None:
        names = [f"post-{number}-{n}" for n in range(4)]
        with transaction(engine) as session:
            uploads.insert_uploads(session, [f"file:///{name}" for name in names], "shop", names)
            claims = uploads.claim_uploads(session, "old worker", 4, 60, backfill=True)
        with transaction(engine) as session:
            uploads.mark_finished(session, [(claim, "review") for claim in claims])
            found = [result_of(claim, "below_threshold") for claim in claims]
            results.write_results(session, found, MODEL, generation)

    def review(name: str) -> None:
        with transaction(engine) as session:
            item = reviews.claim_next_review_item(session, name, 300)
        if item is not None:
            with transaction(engine) as session:
                reviews.decide_review_item(session, item.id, name, "Tops")
                reviews.claim_next_review_item(session, name, 300)

    def repeat(step: Callable[[int], None]) -> int:
        done = 0
        while not stop.is_set():
            step(done)
            done += 1
        return done

    with ThreadPoolExecutor(3) as pool:
        loops = [
            pool.submit(repeat, work),
            pool.submit(repeat, lambda _: review("ada")),
            pool.submit(repeat, lambda _: review("bo")),
        ]
        try:
            time.sleep(0.3)
            command.upgrade(alembic_config(old_url), "head")
            time.sleep(0.3)
        finally:
            stop.set()
        assert all(loop.result(60) > 1 for loop in loops)
    engine.dispose()


def test_a_downgrade_gives_the_rights_of_before(old_url: str) -> None:
    def rights() -> list[tuple[object, ...]]:
        return run_sql(
            old_url,
            "SELECT table_name, column_name, grantee, privilege_type "
            "FROM information_schema.column_privileges WHERE table_schema LIKE 'hangtag%' "
            "AND grantee LIKE 'hangtag%' AND grantee <> 'hangtag_owner' ORDER BY 1, 2, 3, 4",
        )

    before = rights()
    command.upgrade(alembic_config(old_url), "0002")
    assert rights() != before
    command.downgrade(alembic_config(old_url), "0001")
    assert rights() == before
