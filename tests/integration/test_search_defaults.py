"""Migration 0005: what a graph is built with, and how wide queries in plain SQL search."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import psycopg2
import pytest
from alembic import command
from sqlalchemy import Engine, text

from db.embedded import EmbeddedPostgres
from db.queries.models import register_model
from db.session import make_engine, transaction
from tests.check_migrations import alembic_config
from tests.conftest import TEMPLATE, run_sql
from tests.integration.rows import scalar
from tests.integration.vectors import count_parts, insert_vectors
from worker.indexing import index_generation, make_indexing_engine
from worker.setup import migrate

#: The revision before this one, whichever that is.
BEFORE = "0005-1"
ROWS, QUERIES, NEAREST = 6_000, 60, 10
#: Numbers that vary: with fewer each width finds all, with more none does.
LATENT = 36
WIDTH = "SHOW hnsw.ef_search"
PGVECTORS_OWN = 40


def set_of_database(url: str) -> list[str]:
    """Return the settings of this database that speak of searches' width."""
    rows = run_sql(
        url,
        "SELECT one FROM pg_db_role_setting AS s, unnest(s.setconfig) AS one, pg_database AS d "
        "WHERE s.setdatabase = d.oid AND d.datname = current_database() AND s.setrole = 0 "
        "AND one LIKE 'hnsw.ef%'",
    )
    return [str(one) for (one,) in rows]


def options_of(engine: Engine, generation: int) -> str | None:
    options: list[str] | None = scalar(
        engine,
        "SELECT reloptions FROM pg_class WHERE oid = "
        f"'hangtag_data.embeddings_g{generation}_hnsw_idx'::regclass",
    )
    return ", ".join(options).replace("=", " = ") if options else None


@pytest.fixture
def reader_url(database_url: str) -> Iterator[str]:
    """A login of another service, nothing but a reader."""
    name = f"feed_{uuid.uuid4().hex[:8]}"
    run_sql(database_url, f"CREATE ROLE {name} LOGIN; GRANT hangtag_reader TO {name}")
    yield database_url.replace("postgres@", f"{name}@")
    run_sql(database_url, f"DROP ROLE {name}")


def test_a_reader_s_fresh_session_searches_as_wide_before_it_loads_anything(
    reader_url: str, database_url: str
) -> None:
    [setting] = set_of_database(database_url)
    chosen = int(setting.partition("=")[2])
    assert chosen > PGVECTORS_OWN
    connection = psycopg2.connect(reader_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(WIDTH)  # nothing has loaded the library
        assert cursor.fetchall() == [(str(chosen),)]
        cursor.execute("SELECT image_id FROM hangtag.image_embeddings LIMIT 1")
        cursor.execute("SELECT '[1]'::vector")
        cursor.execute("SELECT setting, source FROM pg_settings WHERE name = 'hnsw.ef_search'")
        assert cursor.fetchall() == [(str(chosen), "database")]
        cursor.execute("SET hnsw.ef_search = 200")  # and may choose for itself
        cursor.execute(WIDTH)
        assert cursor.fetchall() == [("200",)]
    connection.close()


def test_what_somebody_chose_for_the_database_stays(database_url: str) -> None:
    run_sql(
        database_url,
        f"ALTER DATABASE {database_url.partition('?')[0].rpartition('/')[2]} "
        "SET hnsw.ef_search = 77",
    )
    migrate(database_url)
    assert set_of_database(database_url) == ["hnsw.ef_search=77"]
    assert run_sql(database_url, WIDTH) == [("77",)]


def test_an_owner_who_is_no_superuser_migrates_both_ways(postgres: EmbeddedPostgres) -> None:
    """Settings of an extension that is not loaded are a superuser's alone; so it is loaded."""
    admin, name = postgres.url("postgres"), f"owned_{uuid.uuid4().hex[:8]}"
    run_sql(admin, f"CREATE ROLE {name} LOGIN CREATEROLE")
    run_sql(admin, f"CREATE DATABASE {name} OWNER {name}")
    run_sql(postgres.url(name), "CREATE EXTENSION vector")
    run_sql(admin, f"GRANT hangtag_owner TO {name}")
    try:
        url = postgres.url(name).replace("postgres@", f"{name}@")
        migrate(url)
        [setting] = set_of_database(url)
        command.downgrade(alembic_config(url), BEFORE)
        assert set_of_database(url) == []
        command.upgrade(alembic_config(url), "head")
        assert set_of_database(url) == [setting]
    finally:
        run_sql(admin, f"DROP DATABASE {name} WITH (FORCE)")
        run_sql(admin, f"DROP ROLE {name}")


def test_a_downgrade_gives_the_functions_of_before(database_url: str) -> None:
    functions = (
        "SELECT p.proname, p.proacl::text, p.prosrc, p.proconfig FROM pg_proc AS p "
        "JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname LIKE 'hangtag%' "
        "ORDER BY 1, 2, 3"
    )
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    command.upgrade(config, "0004")
    before = run_sql(database_url, functions)
    command.upgrade(config, "0005")
    assert run_sql(database_url, functions) != before
    command.downgrade(config, BEFORE)
    assert run_sql(database_url, functions) == before


def test_graphs_are_built_alike_however_they_are_built(engine: Engine, database_url: str) -> None:
    """With the generation, and in bulk; on a schema of before as that did it."""
    wanted = scalar(engine, "SELECT hangtag_data.hnsw_options()")
    with transaction(engine) as session:
        second = register_model(session, "second", {})
    assert options_of(engine, second) == wanted
    insert_vectors(engine, 50, second)
    indexing = make_indexing_engine(database_url)
    assert index_generation(indexing, second, keep=False, rebuild=True).built
    assert options_of(engine, second) == wanted
    indexing.dispose()
    engine.dispose()
    command.downgrade(alembic_config(database_url), BEFORE)
    assert options_of(engine, second) == wanted, "an index stays as it is"
    assert index_generation(indexing, second, keep=False, rebuild=True).built
    assert options_of(engine, second) is None, "pgvector's own: m = 16, ef_construction = 64"
    command.upgrade(alembic_config(database_url), "head")
    assert options_of(engine, second) is None
    indexing.dispose()


@pytest.fixture(scope="module")
def shelf(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database with 6,000 made vectors, all in an index that was built in bulk."""
    name = f"shelf_{uuid.uuid4().hex[:8]}"
    run_sql(postgres.url("postgres"), f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    url = postgres.url(name)
    run_sql(url, "SELECT hangtag_data.set_database()")
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text(
                "WITH u AS (INSERT INTO hangtag_data.uploads (source, uri, status, finished_at) "
                "SELECT 'test', 'file:///x', 'tagged', now() FROM generate_series(1, :rows) "
                "RETURNING id), n AS (SELECT id, row_number() OVER () AS place FROM u) "
                "INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding) "
                "SELECT 1, n.id, 0, CAST(v.v AS halfvec) FROM n JOIN "
                "unnest(CAST(:vectors AS text[])) WITH ORDINALITY AS v (v, place) USING (place)"
            ),
            {"rows": ROWS, "vectors": draw(ROWS, seed=1)},
        )
    indexing = make_indexing_engine(url)
    assert index_generation(indexing, 1, keep=False).built
    indexing.dispose()
    assert count_parts(engine) == (0, ROWS)
    engine.dispose()
    yield url
    run_sql(postgres.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")


def draw(count: int, seed: int) -> list[str]:
    """Return unit vectors in which few numbers vary freely, as a network's are."""
    mixing = np.random.default_rng(0).normal(size=(LATENT, 256))
    values = np.random.default_rng(seed).normal(size=(count, LATENT)) @ mixing
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return ["[" + ",".join(f"{v:.5f}" for v in row) + "]" for row in values]


def recall(url: str, options: str = "") -> float:
    """Ask the contract's view as a reader does; compare with an order that no index gives."""
    query = "SELECT image_id FROM hangtag.image_embeddings ORDER BY (embedding <=> '{}'){} LIMIT {}"
    connection = psycopg2.connect(f"{url}&options=-c%20role%3Dhangtag_reader{options}")
    hits = 0
    with connection, connection.cursor() as cursor:
        for vector in draw(QUERIES, seed=2):
            cursor.execute(query.format(vector, "", NEAREST))
            found = set(cursor.fetchall())
            cursor.execute(query.format(vector, " + 0.0", NEAREST))
            hits += len(found & set(cursor.fetchall()))
        cursor.execute("EXPLAIN " + query.format(vector, "", NEAREST))
        assert "_hnsw_idx" in str(cursor.fetchall())
    connection.close()
    return hits / (QUERIES * NEAREST)


def test_plain_sql_finds_what_it_promises_where_pgvector_s_default_does_not(shelf: str) -> None:
    assert recall(shelf, f"%20-c%20hnsw.ef_search%3D{PGVECTORS_OWN}") < 0.98
    assert recall(shelf) >= 0.98
