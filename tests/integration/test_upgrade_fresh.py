"""Migration 0003 beside those who work, both ways; programs of before and after it on either."""

from __future__ import annotations

import itertools
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic import command
from sqlalchemy import Engine, text

from db import roles
from db.embedded import EmbeddedPostgres
from db.queries import results as new_results
from db.queries.embeddings import add_embeddings, list_unembedded
from db.queries.models import register_model
from db.queries.parts import fold_vectors
from db.queries.reviews import claim_next_review_item, decide_review_item
from db.session import make_engine, transaction
from tests.check_migrations import alembic_config
from tests.conftest import run_sql, wait_until
from tests.integration.rows import MODEL, TOP5, scalar
from tests.integration.schema_0001 import operators, results, reviews, uploads
from tests.integration.test_upgrade import fill, result_of, tag_some
from tests.integration.vectors import (
    count_doubled,
    count_parts,
    draw_vector,
    folding_engine,
    insert_vectors,
)

FILES = (
    "SELECT array_agg(pg_relation_filenode(oid) ORDER BY relname) FROM pg_class "
    "WHERE relname IN ('embeddings_g1', 'embeddings_g1_hnsw_idx', 'embeddings_g1_pkey')"
)
NUMBERS = itertools.count()


@pytest.fixture
def url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database of schema 0002, with the settings that similarity needs."""
    name = f"old_{uuid.uuid4().hex[:12]}"
    run_sql(postgres.url("postgres"), f"CREATE DATABASE {name}")
    command.upgrade(alembic_config(postgres.url(name)), "0002")
    run_sql(postgres.url(name), "SELECT hangtag_data.set_database()")
    yield postgres.url(name)
    run_sql(postgres.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """An engine on it, with a model and an operator."""
    made = make_engine(url, pool_size=8)
    assert fill(made) == 1
    yield made
    made.dispose()


def up(url: str) -> None:
    command.upgrade(alembic_config(url), "head")


def down(url: str) -> None:
    command.downgrade(alembic_config(url), "0002")


def found(engine: Engine) -> int:
    count: int = scalar(engine, "SELECT count(*) FROM hangtag.image_embeddings")
    return count


def test_what_is_there_is_the_indexed_part_and_nothing_is_rewritten(
    engine: Engine, url: str
) -> None:
    insert_vectors(engine, 40)
    before = scalar(engine, FILES)
    up(url)
    assert scalar(engine, FILES) == before
    assert count_parts(engine) == (0, 40)
    insert_vectors(engine, 5)
    assert count_parts(engine) == (5, 40)
    assert found(engine) == 45


def test_a_downgrade_takes_all_vectors_along(engine: Engine, url: str) -> None:
    """Fresh ones, those of a version that is not active, and what a decision took away."""
    up(url)
    with transaction(engine) as session:
        second = register_model(session, "second", {})
    insert_vectors(engine, 300)
    insert_vectors(engine, 60, second)
    tag_some(engine, 1, 1)
    with transaction(engine) as session:
        item = claim_next_review_item(session, "ada", 60)
        assert item is not None
        decide_review_item(session, item.id, "ada", None)
    run_sql(url, "DROP INDEX hangtag_data.embeddings_g2_hnsw_idx")
    down(url)
    assert count_parts(engine) == (0, 300)
    assert count_parts(engine, second) == (0, 60)
    assert found(engine) == 300
    indexes = "SELECT count(*) FROM pg_indexes WHERE indexname LIKE 'embeddings%hnsw_idx'"
    assert scalar(engine, indexes) == 2
    parts = "SELECT count(*) FROM pg_class WHERE relname LIKE '%fresh%'"
    assert scalar(engine, parts) == 0
    run_sql(url, "UPDATE hangtag_data.operators SET role = 'lead'")
    with transaction(engine) as session:
        session.execute(text(f"SELECT hangtag_data.reopen_review_item({item.id}, 'ada', 60)"))
    assert found(engine) == 301
    with transaction(engine) as session:  # as the release before does it
        assert register_model(session, "third", {}) == 3
    insert_vectors(engine, 3, 3)
    up(url)
    assert count_parts(engine, 3) == (0, 3)


def test_a_downgrade_gives_functions_and_rights_of_before(engine: Engine, url: str) -> None:
    def rights_and_functions() -> list[tuple[object, ...]]:
        return run_sql(
            url,
            "SELECT p.proname, p.proacl::text, p.prosrc FROM pg_proc AS p JOIN pg_namespace AS n "
            "ON n.oid = p.pronamespace WHERE n.nspname LIKE 'hangtag%' "
            "UNION ALL SELECT c.relname, c.relacl::text, pg_get_viewdef(c.oid) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'hangtag%' "
            "AND c.relkind IN ('v', 'r', 'p') AND c.relname NOT LIKE '%fresh' ORDER BY 1, 2, 3",
        )

    before = rights_and_functions()
    up(url)
    assert rights_and_functions() != before
    down(url)
    assert rights_and_functions() == before


def new_result(claim: uploads.Claim) -> new_results.Result:
    tag = {"label": "Tshirts", "confidence": 0.9}
    return new_results.Result(
        upload_id=claim.id,
        item=0,
        article_type="Tshirts",
        confidence=0.9,
        decision="accept",
        reason=None,
        top5=TOP5,
        tags={"article_type": tag},
        published={"article_type": tag},
        fashion_score=0.9,
        embedding=draw_vector(),
    )


def work(engine: Engine, new: bool) -> None:
    """Tag four uploads, as a worker of this release or of the one before does."""
    names = [f"post-{next(NUMBERS)}" for _ in range(4)]
    with transaction(engine) as session:
        uploads.insert_uploads(session, [f"file:///{name}" for name in names], "shop", names)
        claims = uploads.claim_uploads(session, f"worker {new}", 4, 60, backfill=True)
    with transaction(engine) as session:
        status = "tagged" if new else "review"
        assert len(uploads.mark_finished(session, [(one, status) for one in claims])) == len(claims)
        if new:
            new_results.write_results(session, [new_result(one) for one in claims], MODEL, 1)
        else:
            old = [result_of(one, "below_threshold") for one in claims]
            results.write_results(session, old, MODEL, 1)


def test_a_new_worker_works_before_the_migration_and_an_old_one_after_it(
    engine: Engine, url: str
) -> None:
    """Nothing is refused, so nothing can end as a dead letter, in whatever order they come."""
    worker = make_engine(url, role=roles.WORKER)
    work(worker, new=True)
    assert count_parts(engine) == (0, 4)
    up(url)
    work(worker, new=False)
    work(worker, new=True)
    assert count_parts(engine) == (8, 4)
    down(url)
    work(worker, new=True)
    assert count_parts(engine) == (0, 16)
    worker.dispose()


def test_a_new_backfill_works_before_the_migration(engine: Engine, url: str) -> None:
    with transaction(engine) as session:
        second = register_model(session, "second", {})
    insert_vectors(engine, 4)
    worker = make_engine(url, role=roles.WORKER)
    with transaction(worker) as session:
        vectors = [(one.image_id, draw_vector()) for one in list_unembedded(session, second, 3)]
        assert add_embeddings(session, second, vectors) == 3
        assert add_embeddings(session, second, vectors) == 0
        assert len(list_unembedded(session, second, 9)) == 1
    worker.dispose()


def test_both_ways_while_workers_readers_consoles_and_the_janitor_work(
    engine: Engine, url: str
) -> None:
    """No deadlock, no error, no vector lost or doubled."""
    with transaction(engine) as session:
        operators.insert_operator(session, "bo", "a hash")
    insert_vectors(engine, 100)
    stop = threading.Event()

    def read(_: int) -> None:
        with reader.begin() as connection:
            query = f"SELECT image_id FROM hangtag.image_embeddings ORDER BY embedding <=> '{V}'"
            assert len(connection.execute(text(f"{query} LIMIT 10")).all()) == 10
            connection.execute(text("SELECT count(*) FROM hangtag.upload_status"))
            one = "(SELECT image_id FROM hangtag.image_embeddings LIMIT 1)"
            similar = f"SELECT * FROM hangtag.similar_images({one}, 5)"
            assert len(connection.execute(text(similar)).all()) == 5

    def review(name: str, old: bool) -> None:
        with transaction(console) as session:
            item = reviews.claim_next_review_item(session, name, 300)
        if item is not None:
            with transaction(console) as session:
                decide = reviews.decide_review_item if old else decide_review_item
                decide(session, item.id, name, "Tops")

    def tidy(_: int) -> None:
        with mover.begin() as connection:
            fold_vectors(connection, 1, 10)

    def repeat(step: Callable[[int], None]) -> int:
        done = 0
        while not stop.is_set():
            step(done)
            done += 1
        return done

    reader = make_engine(url, 1, roles.READER)
    worker = make_engine(url, 2, roles.WORKER)
    console = make_engine(url, 2, roles.OPERATOR)
    mover = folding_engine(url, roles.WORKER)
    with ThreadPoolExecutor(6) as pool:
        loops = [
            pool.submit(repeat, read),
            pool.submit(repeat, lambda _: work(worker, new=False)),
            pool.submit(repeat, lambda _: work(worker, new=True)),
            pool.submit(repeat, lambda _: review("ada", old=True)),
            pool.submit(repeat, lambda _: review("bo", old=False)),
            pool.submit(repeat, tidy),
        ]
        try:
            for _ in range(3):
                time.sleep(0.3)
                up(url)
                time.sleep(0.3)
                down(url)
        finally:
            stop.set()
        assert all(loop.result(60) > 3 for loop in loops)
    up(url)
    assert count_doubled(engine) == 0
    finished = "SELECT count(*) FROM hangtag_data.uploads WHERE status IN ('tagged', 'review')"
    assert found(engine) == scalar(engine, finished)
    for one in (reader, worker, console, mover):
        one.dispose()


V = draw_vector()


def test_an_autovacuum_gives_way(engine: Engine, url: str) -> None:
    """It holds a lock on the partition for minutes where the index is large."""
    insert_vectors(engine, 3000)
    run_sql(url, "DELETE FROM hangtag_data.embeddings WHERE item = 0")
    run_sql(
        url,
        "ALTER TABLE hangtag_data.embeddings_g1 SET (autovacuum_vacuum_threshold = 1, "
        "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)",
    )
    vacuums = (
        "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
        "WHERE l.relation = 'hangtag_data.embeddings_g1'::regclass AND l.granted "
        "AND a.backend_type = 'autovacuum worker'"
    )
    wait_until(lambda: scalar(engine, vacuums) == 1, what="an autovacuum")
    command.upgrade(alembic_config(url), "0003")
    assert scalar(engine, "SELECT version_num FROM hangtag_data.alembic_version") == "0003"
    wait_until(lambda: scalar(engine, vacuums) == 1, what="the next autovacuum")
    down(url)
    assert scalar(engine, "SELECT version_num FROM hangtag_data.alembic_version") == "0002"
