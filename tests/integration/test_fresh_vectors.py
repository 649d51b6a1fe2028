"""Fresh vectors: one vector an item and generation, whoever writes, moves, decides or asks."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from sqlalchemy import Connection, Engine, text

from db import roles
from db.queries.embeddings import add_embeddings, list_unembedded
from db.queries.models import register_model
from db.queries.parts import count_fresh, fold_vectors
from db.queries.reviews import claim_next_review_item, decide_review_item
from db.session import make_engine, transaction
from tests.conftest import run_sql, wait_until
from tests.integration.rows import insert_waiting, scalar
from tests.integration.test_upgrade import wait_for_waiting
from tests.integration.vectors import (
    ADD,
    count_doubled,
    count_parts,
    draw_vector,
    folding_engine,
    insert_uploads,
    insert_vectors,
    write_vectors,
)

GENERATION = "SELECT generation FROM hangtag_data.model_versions WHERE version = 'test-model'"


@pytest.fixture
def worker(database_url: str) -> Iterator[Engine]:
    """An engine with a worker's rights, which may move vectors."""
    made = folding_engine(database_url, roles.WORKER)
    yield made
    made.dispose()


def fold(engine: Engine, rows: int = 1000, generation: int = 1) -> int:
    with engine.begin() as connection:
        return fold_vectors(connection, generation, rows)


def test_what_is_written_is_fresh_and_a_worker_s_rights_move_it(
    engine: Engine, worker: Engine
) -> None:
    insert_vectors(engine, 30)
    assert count_parts(engine) == (30, 0)
    assert fold(worker, rows=20) == 20
    assert count_parts(engine) == (10, 20)
    assert scalar(engine, "SELECT count(*) FROM hangtag.image_embeddings") == 30


def test_a_vector_that_is_written_again_is_fresh_and_there_once(
    engine: Engine, worker: Engine
) -> None:
    """Retries, whether or not the janitor has moved the first one."""
    ids = insert_vectors(engine, 10)
    fold(worker, rows=5)
    new = draw_vector()
    with engine.begin() as connection:
        values = {"generation": 1, "ids": [str(i) for i in ids], "vectors": [new] * 10}
        connection.execute(text(ADD), values)
    assert count_parts(engine) == (10, 0)
    nearest = "SELECT count(*) FROM hangtag.image_embeddings WHERE embedding <=> :v < 1e-3"
    assert scalar(engine, nearest, v=new) == 10


def test_a_vector_of_an_upload_that_is_not_there_is_refused(database_url: str) -> None:
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        run_sql(
            database_url,
            "INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding) "
            f"VALUES (1, '{uuid.uuid4()}', 0, '{draw_vector()}')",
        )


def test_rows_that_somebody_holds_are_passed_over(engine: Engine, worker: Engine) -> None:
    """At the head of the table, too: by their vector, or by their upload."""
    ids = insert_vectors(engine, 40)
    with engine.connect() as busy, busy.begin():
        hold = "SELECT FROM hangtag_data.{} WHERE {} = ANY(CAST(:ids AS uuid[])) FOR {}"
        vectors = hold.format("embeddings", "upload_id", "UPDATE")
        busy.execute(text(vectors), {"ids": [str(one) for one in ids[:10]]})
        uploads = hold.format("uploads", "id", "KEY SHARE")
        busy.execute(text(uploads), {"ids": [str(one) for one in ids[10:20]]})
        began = time.monotonic()
        assert fold(worker, rows=15) == 15
        assert fold(worker, rows=15) == 5
        assert fold(worker, rows=15) == 0
        assert time.monotonic() - began < 5
    assert fold(worker) == 20


@pytest.mark.parametrize("row_is", ["written by a worker", "written by a backfill of before"])
def test_a_writer_who_comes_while_its_vector_is_moved_waits_and_there_is_one(
    engine: Engine, worker: Engine, row_is: str
) -> None:
    """Both statements are open at once; the one of before has no lock on the upload."""
    ids = insert_vectors(engine, 3)

    def write() -> None:
        with engine.begin() as connection:
            if row_is == "written by a worker":
                mark = "UPDATE hangtag_data.uploads SET error = NULL WHERE id = :id"
                connection.execute(text(mark), {"id": ids[1]})
            write_vectors(connection, 1, [ids[1]])

    with ThreadPoolExecutor(1) as pool:
        with worker.begin() as moving:
            assert fold_vectors(moving, 1, 10) == 3
            writing = pool.submit(write)
            wait_for_waiting(engine, 1)
        writing.result(20)
    assert count_doubled(engine) == 0
    assert count_parts(engine) == (1, 2)


@pytest.mark.parametrize("label", ["Jeans", None])
def test_a_decision_on_a_vector_that_is_just_moved_reaches_it(
    owner: Engine, database_url: str, label: str | None
) -> None:
    waiting = insert_waiting(owner)
    generation = scalar(owner, GENERATION)
    mover = folding_engine(database_url, roles.WORKER)
    console = make_engine(database_url, role=roles.OPERATOR)
    with transaction(console) as session:
        assert claim_next_review_item(session, "ada", 60)

    def decide() -> None:
        with transaction(console) as session:
            decide_review_item(session, waiting.item_id, "ada", label)

    with ThreadPoolExecutor(1) as pool:
        with mover.begin() as moving:
            assert fold_vectors(moving, generation, 10) == 1
            deciding = pool.submit(decide)
            wait_for_waiting(owner, 1)
        deciding.result(20)
    found = "SELECT array_agg(article_type) FROM hangtag.image_embeddings"
    assert scalar(owner, found) == (["Jeans"] if label else None)
    assert count_parts(owner, generation) == ((0, 1) if label else (0, 0))
    mover.dispose()
    console.dispose()


@pytest.mark.parametrize("moved", ["before", "after", "never"])
def test_what_a_decision_took_away_comes_back_once(
    owner: Engine, database_url: str, moved: str
) -> None:
    """Reopened: from either part, and also where another vector was moved meanwhile."""
    waiting, other = insert_waiting(owner), insert_waiting(owner)
    generation = scalar(owner, GENERATION)
    mover = folding_engine(database_url, roles.WORKER)
    if moved == "before":
        assert fold(mover, generation=generation) == 2
    console = make_engine(database_url, role=roles.OPERATOR)
    run_sql(database_url, "UPDATE hangtag_data.operators SET role = 'lead' WHERE name = 'ada'")
    with transaction(console) as session:
        item = claim_next_review_item(session, "ada", 60)
        assert item is not None
        decide_review_item(session, item.id, "ada", None)
    if moved == "after":
        assert fold(mover, generation=generation) == 1
    with transaction(console) as session:
        session.execute(
            text("SELECT hangtag_data.reopen_review_item(:id, 'ada', 60)"), {"id": item.id}
        )
    assert set(scalar(owner, "SELECT array_agg(image_id) FROM hangtag.image_embeddings")) == {
        waiting.upload_id,
        other.upload_id,
    }
    assert count_doubled(owner) == 0
    mover.dispose()
    console.dispose()


def test_a_backfill_takes_fresh_vectors_for_what_they_are(engine: Engine, worker: Engine) -> None:
    """Those of the wanted generation need none, those of another are pictures to embed."""
    with transaction(engine) as session:
        second = register_model(session, "second", {})
    ids = insert_vectors(engine, 6)
    fold(worker, rows=3)
    with transaction(engine) as session:
        assert [one.image_id for one in list_unembedded(session, second, 10)] == sorted(ids)
        vectors = [(one, draw_vector()) for one in ids]
        assert add_embeddings(session, second, vectors[:4]) == 4
    with engine.begin() as connection:
        assert fold_vectors(connection, second, 10) == 0, "an ordinary connection moves nothing"
    fold(worker, rows=2, generation=second)
    with transaction(engine) as session:
        assert [one.image_id for one in list_unembedded(session, second, 10)] == sorted(ids[4:])
        assert add_embeddings(session, second, vectors) == 2
        assert add_embeddings(session, second, vectors) == 0
    assert count_parts(engine, second) == (4, 2)


def test_a_backfill_leaves_alone_what_a_worker_wrote_meanwhile(
    engine: Engine, database_url: str
) -> None:
    """It waits for a decision, with its snapshot taken; the worker writes, and is the newer one."""
    with transaction(engine) as session:
        second = register_model(session, "second", {})
    [upload] = insert_vectors(engine, 1)
    added: list[int] = []

    def fill() -> None:
        with transaction(engine) as session:
            added.append(add_embeddings(session, second, [(upload, draw_vector())]))

    backfill = threading.Thread(target=fill)
    with engine.begin() as decision:
        decision.execute(
            text("SELECT FROM hangtag_data.embeddings WHERE upload_id = :id FOR UPDATE"),
            {"id": upload},
        )
        backfill.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        wait_until(lambda: run_sql(database_url, waiting) == [(1,)], what="the backfill's wait")
        with engine.begin() as worker:
            worker.execute(
                text(
                    "INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding, "
                    "article_type) VALUES (:g, :id, 0, CAST(:v AS halfvec), 'Shirts')"
                ),
                {"g": second, "id": upload, "v": draw_vector()},
            )
    backfill.join()
    types = f"SELECT article_type FROM hangtag_data.embeddings WHERE abs(generation) = {second}"
    assert run_sql(database_url, types) == [("Shirts",)]


def test_writers_movers_operators_and_backfills_at_once_leave_one_vector_each(
    owner: Engine, database_url: str
) -> None:
    """No deadlock, no error, nothing doubled, and each decision where it belongs."""
    generation = scalar(owner, GENERATION)
    with transaction(owner) as session:
        second = register_model(session, "second", {})
    waiting = [insert_waiting(owner) for _ in range(60)]
    ids = [one.upload_id for one in waiting]
    stop = threading.Event()

    def repeat(role: str, step: Callable[[Connection, int], None], folding: bool = False) -> int:
        made = folding_engine(database_url, role) if folding else make_engine(database_url, 1, role)
        done = 0
        while not stop.is_set():
            with made.begin() as connection:
                step(connection, done)
            done += 1
        made.dispose()
        return done

    def write(connection: Connection, done: int) -> None:
        some = ids[40 + (3 * done) % 10 :][:10]  # the first forty are decided
        mark = (
            "UPDATE hangtag_data.uploads SET error = NULL WHERE id IN (SELECT id FROM "
            "hangtag_data.uploads WHERE id = ANY(CAST(:ids AS uuid[])) ORDER BY id FOR UPDATE) "
            "RETURNING id"
        )
        connection.execute(text(mark), {"ids": [str(one) for one in some]})
        write_vectors(connection, generation, sorted(some))

    def move(connection: Connection, done: int) -> None:
        fold_vectors(connection, (generation, second)[done % 2], 7)

    def embed(_: Connection, done: int) -> None:
        with transaction(backfiller) as session:
            found = list_unembedded(session, second, 8)
        with transaction(backfiller) as session:
            add_embeddings(session, second, [(one.image_id, draw_vector()) for one in found])
        if done % 5 == 4:
            with owner.begin() as connection:
                some = {"ids": [str(one) for one in ids[50:]], "g": second}
                lock = "SELECT FROM hangtag_data.uploads WHERE id = ANY(CAST(:ids AS uuid[]))"
                connection.execute(text(f"{lock} ORDER BY id FOR KEY SHARE"), some)
                connection.execute(
                    text(
                        "DELETE FROM hangtag_data.embeddings WHERE generation IN (:g, -:g) "
                        "AND upload_id = ANY(CAST(:ids AS uuid[]))"
                    ),
                    some,
                )

    backfiller = make_engine(database_url, 1, roles.WORKER)
    console = make_engine(database_url, 1, roles.OPERATOR)
    decided: dict[uuid.UUID, str | None] = {}
    with ThreadPoolExecutor(4) as pool:
        loops = [
            pool.submit(repeat, roles.WORKER, write),
            pool.submit(repeat, roles.WORKER, move, True),
            pool.submit(repeat, roles.WORKER, move, True),
            pool.submit(repeat, roles.WORKER, embed),
        ]
        try:
            for number in range(40):
                with transaction(console) as session:
                    item = claim_next_review_item(session, "ada", 300)
                    assert item is not None
                with transaction(console) as session:
                    label = ("Jeans", "Tops")[number % 2]
                    decide_review_item(session, item.id, "ada", label)
                    decided[item.upload_id] = label
        finally:
            stop.set()
        assert all(loop.result(60) > 3 for loop in loops)
    assert count_doubled(owner) == 0
    with owner.connect() as connection:
        rows = connection.execute(
            text("SELECT image_id, article_type FROM hangtag.image_embeddings")
        ).all()
    found = {row.image_id: row.article_type for row in rows}
    assert len(rows) == len(found) == 60
    assert {one: found[one] for one in decided} == decided
    for one in (backfiller, console):
        one.dispose()


def test_counting_stops_where_it_is_enough(engine: Engine) -> None:
    insert_vectors(engine, 12)
    with engine.connect() as connection:
        assert count_fresh(connection, 1) == 12
        assert count_fresh(connection, 1, at_most=5) == 5
        assert count_fresh(connection, 99) == 0


def test_a_mass_of_vectors_in_one_transaction_needs_no_more_locks_than_the_server_has(
    engine: Engine,
) -> None:
    """Rows are locked, not numbers: a restored dump or a large import runs out of nothing."""
    with engine.begin() as connection:
        ids = insert_uploads(connection, 8000)
        one = draw_vector()
        values = {"generation": 1, "ids": [str(i) for i in ids], "vectors": [one] * len(ids)}
        connection.execute(text(ADD), values)
    assert count_parts(engine) == (8000, 0)
