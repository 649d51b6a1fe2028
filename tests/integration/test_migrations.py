"""The schema: both ways, in step with the tables; the contract's columns; the roles."""

from __future__ import annotations

import psycopg2
import pytest
from alembic import command

from db.embedded import EmbeddedPostgres
from db.roles import OPERATOR, OWNER, PRODUCER, READER, WORKER
from tests.check_migrations import alembic_config
from tests.conftest import run_sql
from worker.setup import migrate

VIEWS = {
    "image_tags": "image_id item source external_id uri attribute label confidence decided_by "
    "model_version decided_at",
    "image_embeddings": "image_id item embedding article_type sub_category master_category",
    "upload_status": "image_id source external_id uri status attempt error_code error created_at "
    "finished_at",
    "review_queue": "review_item_id image_id item reason suggested confidence priority claimed_by "
    "lease_until created_at",
}


def test_migrations_go_both_ways_and_match_the_tables(database_url: str) -> None:
    config = alembic_config(database_url)
    command.downgrade(config, "base")
    left = run_sql(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'hangtag_data'")
    assert left == [(1,)]  # Alembic's own
    command.upgrade(config, "head")
    command.check(config)


def test_migrating_again_changes_nothing(database_url: str) -> None:
    before = run_sql(database_url, "SELECT version, generation FROM hangtag_data.model_versions")
    active = migrate(database_url)
    after = run_sql(database_url, "SELECT version, generation FROM hangtag_data.model_versions")
    assert before == after
    assert before[0][0] == active


def test_a_database_s_owner_can_migrate_without_being_superuser(postgres: EmbeddedPostgres) -> None:
    """As on a managed server: the extension is there, the owner may create roles."""
    admin = postgres.url("postgres")
    run_sql(admin, "CREATE ROLE managed LOGIN CREATEROLE")
    run_sql(admin, "CREATE DATABASE managed OWNER managed")
    run_sql(postgres.url("managed"), "CREATE EXTENSION vector")
    try:
        url = postgres.url("managed").replace("postgres@", "managed@")
        # On a fresh server the owner makes the roles; here they are there, so they are granted.
        run_sql(admin, "GRANT hangtag_owner TO managed")
        assert migrate(url)
        assert run_sql(url, "SELECT count(*) FROM hangtag.image_tags") == [(0,)]
    finally:
        run_sql(admin, "DROP DATABASE managed WITH (FORCE)")
        run_sql(admin, "DROP ROLE managed")


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_views_have_exactly_the_contract_s_columns(database_url: str, view: str) -> None:
    rows = run_sql(
        database_url,
        "SELECT column_name FROM information_schema.columns "
        f"WHERE table_schema = 'hangtag' AND table_name = '{view}' ORDER BY ordinal_position",
    )
    assert [row[0] for row in rows] == VIEWS[view].split()


INSERT_UPLOAD = "INSERT INTO hangtag_data.uploads (source, uri) VALUES ('x', 'file:///x')"
SUBMIT = "SELECT hangtag.submit_upload('file:///x', 'x', 'x', 0)"

FORBIDDEN = [
    (READER, "SELECT * FROM hangtag_data.uploads"),
    (READER, "SELECT password_hash FROM hangtag_data.operators"),
    (READER, SUBMIT),
    (READER, "DELETE FROM hangtag.upload_status"),
    (PRODUCER, INSERT_UPLOAD),
    (PRODUCER, "SELECT * FROM hangtag.image_tags"),
    (PRODUCER, "SELECT * FROM hangtag_data.uploads"),
    (WORKER, "DELETE FROM hangtag_data.uploads"),
    (WORKER, "INSERT INTO hangtag_data.decisions DEFAULT VALUES"),
    (WORKER, "SELECT password_hash FROM hangtag_data.operators"),
    (WORKER, "SELECT hangtag_data.activate_model('x')"),
    (OPERATOR, "UPDATE hangtag_data.uploads SET uri = 'x'"),
    (OPERATOR, "UPDATE hangtag_data.operators SET password_hash = 'x'"),
    (OPERATOR, "DELETE FROM hangtag_data.decisions"),
    (OPERATOR, SUBMIT),
]
ALLOWED = [
    (READER, "SELECT * FROM hangtag.image_tags, hangtag.upload_status, hangtag.review_queue"),
    (READER, "SELECT * FROM hangtag.image_embeddings LIMIT 1"),
    (READER, "SELECT * FROM hangtag.similar_images(gen_random_uuid(), 3)"),
    (PRODUCER, SUBMIT),
    (PRODUCER, "SELECT * FROM hangtag.upload_status"),
    (WORKER, SUBMIT),
    (WORKER, "UPDATE hangtag_data.uploads SET error = NULL"),
    (OPERATOR, "SELECT * FROM hangtag_data.review_items FOR UPDATE"),
    (OWNER, "SELECT hangtag_data.show_generation(0)"),
]


@pytest.mark.parametrize(("role", "statement"), FORBIDDEN)
def test_a_role_cannot_do_what_it_need_not(database_url: str, role: str, statement: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        run_sql(f"{database_url}&options=-c%20role%3D{role}", statement)


@pytest.mark.parametrize(("role", "statement"), ALLOWED)
def test_a_role_can_do_what_it_needs(database_url: str, role: str, statement: str) -> None:
    run_sql(f"{database_url}&options=-c%20role%3D{role}", statement)


@pytest.mark.parametrize("change", ["UPDATE hangtag_data.decisions SET label = 'x'",
                                    "DELETE FROM hangtag_data.decisions",
                                    "TRUNCATE hangtag_data.decisions"])  # fmt: skip
def test_decisions_are_append_only_even_for_the_owner(database_url: str, change: str) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="append-only"):
        run_sql(database_url, change)


@pytest.mark.parametrize(
    "vector", ["array_fill(0::real, ARRAY[256])", "array_fill(1::real, ARRAY[256])"]
)
def test_vectors_must_have_unit_length(database_url: str, vector: str) -> None:
    upload = run_sql(database_url, SUBMIT)[0][0]
    with pytest.raises(psycopg2.errors.CheckViolation):
        run_sql(
            database_url,
            "INSERT INTO hangtag_data.embeddings (generation, upload_id, item, embedding) "
            f"VALUES (1, '{upload}', 0, ({vector})::halfvec(256))",
        )
