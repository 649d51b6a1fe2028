"""Roles: each can do what the matrix says and nothing else; every forbidden thing is tried."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg2
import pytest

from db.embedded import EmbeddedPostgres
from tests.conftest import ROOT, run_sql
from tests.role_matrix import DOCUMENT, EXPECTED, ROLES, actual, count_rights, in_document
from worker.setup import migrate

DENIED = psycopg2.errors.InsufficientPrivilege
UNWRITABLE = (psycopg2.errors.ObjectNotInPrerequisiteState, psycopg2.errors.GeneratedAlways)
#: One login a role, as in docs/operations.md; `public` has been granted nothing.
LOGINS = {name: f"try_{name}" for name in ROLES}


@pytest.fixture(scope="module")
def logins(postgres: EmbeddedPostgres) -> Iterator[None]:
    """Make a login for each role; roles belong to the whole server."""
    admin = postgres.url("postgres")
    for name, login in LOGINS.items():
        run_sql(admin, f"CREATE ROLE {login} LOGIN")
        if name != "public":
            run_sql(admin, f"GRANT {ROLES[name]} TO {login}")
    yield
    for login in LOGINS.values():
        run_sql(admin, f"DROP ROLE {login}")


@pytest.fixture
def urls(database_url: str, logins: None) -> Iterator[dict[str, str]]:
    """The database as each login reaches it; what the tests granted there goes with it."""
    yield {
        name: database_url.replace("postgres@", f"{login}@", 1) for name, login in LOGINS.items()
    }
    for login in LOGINS.values():
        run_sql(database_url, f"DROP OWNED BY {login}")


# The matrix ------------------------------------------------------------------------------


def test_rights_are_exactly_those_that_are_written_down(database_url: str) -> None:
    found = actual(database_url)
    assert sorted(found) == sorted(EXPECTED), "place the new object in tests/role_matrix.py"
    assert found == EXPECTED
    assert count_rights(found) > 800


def test_the_document_says_the_same() -> None:
    """After a change: python -m tests.role_matrix --write."""
    assert in_document(DOCUMENT.read_text()) == DOCUMENT.read_text()


@pytest.mark.parametrize("name", list(ROLES))
def test_each_forbidden_statement_is_refused(
    urls: dict[str, str], database_url: str, name: str
) -> None:
    """Not only what the catalogue says: each statement is really tried, as each role's login."""
    connection = psycopg2.connect(urls[name])
    tried = 0
    with connection.cursor() as cursor:
        for statement in forbidden(database_url, name):
            cursor.execute("SAVEPOINT before")
            # A view that nobody could write to says so before it asks who is asking.
            with pytest.raises((DENIED, *UNWRITABLE)):
                cursor.execute(statement)
                pytest.fail(f"{name} could: {statement}")
            cursor.execute("ROLLBACK TO before")
            tried += 1
    connection.close()
    assert tried > 40


def forbidden(owner_url: str, role: str) -> Iterator[str]:
    """Write a statement for each right on tables and functions that the role is not to have."""
    for place, rights in EXPECTED.items():
        kind, _, name = place.partition(" ")
        name = name.replace("embeddings_gN", "embeddings_g1")
        given = rights.get(role, "")
        if kind in ("table", "view"):
            yield from forbidden_on_table(owner_url, name, given)
        elif kind == "function" and not given:
            yield from calls(owner_url, name)
        elif kind == "sequence":
            yield f"SELECT nextval('{name}')"
            yield f"SELECT last_value FROM {name}"


def forbidden_on_table(owner_url: str, table: str, given: str) -> Iterator[str]:
    whole = set(re.sub(r"\w+\([^)]*\)", "", given).replace(" ", "").split(","))
    some = dict(re.findall(r"(\w+)\(([^)]*)\)", given))
    columns = [
        str(row[0])
        for row in run_sql(
            owner_url,
            f"SELECT attname FROM pg_attribute WHERE attrelid = '{table}'::regclass "
            "AND attnum > 0 AND NOT attisdropped",
        )
    ]
    if "SELECT" not in whole:
        yield f"SELECT * FROM {table}"
        yield f"COPY {table} TO STDOUT" if "hangtag_data" in table else f"TABLE {table}"
        yield f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"
    for right, write in (("INSERT", "INSERT INTO {t} ({c}) VALUES (DEFAULT)"),
                         ("UPDATE", "UPDATE {t} SET {c} = DEFAULT")):  # fmt: skip
        if right not in whole:
            allowed = some.get(right, "").split(", ")
            for column in columns:
                if column not in allowed:
                    yield write.format(t=table, c=column)
    if "DELETE" not in whole:
        yield f"DELETE FROM {table}"
    if "hangtag_data" in table:
        yield f"TRUNCATE {table}"
        yield f"ALTER TABLE {table} ADD COLUMN mine text"
        yield f"DROP TABLE {table}"
        yield f"CREATE TRIGGER mine AFTER INSERT ON {table} EXECUTE FUNCTION pg_catalog.now()"


def calls(owner_url: str, function: str) -> Iterator[str]:
    for (arguments,) in run_sql(
        owner_url,
        "SELECT array_to_string(ARRAY(SELECT 'NULL::' || format_type(t, NULL) "
        "FROM unnest(proargtypes) AS t), ', ') FROM pg_proc "
        f"WHERE oid = '{function}'::regproc",
    ):
        yield f"SELECT {function}({arguments})"


# Ways round ------------------------------------------------------------------------------

EVERYBODY = [
    "SET ROLE hangtag_owner",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "CREATE TABLE public.mine (x int)",
    "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "DROP EXTENSION vector",
    "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "COPY (SELECT 1) TO '/tmp/hangtag-role-test'",
    "COPY hangtag.image_tags FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_read_binary_file('postgresql.conf')",
    "SELECT pg_ls_dir('.')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_export(1, '/tmp/hangtag-role-test')",
    "SELECT * FROM pg_authid",
    "SELECT pg_reload_conf()",
    "ALTER SYSTEM SET log_statement = 'none'",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "CREATE ROLE mine",
    "GRANT hangtag_owner TO CURRENT_USER",
    "SET session_replication_role = replica",
    "CREATE SUBSCRIPTION mine CONNECTION 'host=x' PUBLICATION p",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION pg_catalog.now()",
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'postgres'",
]


@pytest.mark.parametrize("name", list(ROLES))
def test_no_role_becomes_another_or_reaches_the_server(urls: dict[str, str], name: str) -> None:
    others = [f"SET ROLE {role}" for one, role in ROLES.items() if one not in (name, "public")]
    for statement in [*EVERYBODY, *others]:
        with pytest.raises(psycopg2.Error) as caught:
            run_sql(urls[name], statement)
        assert caught.value.pgcode in ("42501", "42809", "42P17", "0LP01"), (
            statement,
            caught.value.pgcode,
            str(caught.value),
        )


def test_reader_s_own_function_sees_no_row_that_the_view_leaves_out(
    urls: dict[str, str], database_url: str
) -> None:
    """A cheap function in the condition must not be called before the view's own condition."""
    insert_decided(database_url)
    connection = psycopg2.connect(urls["reader"])
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION pg_temp.leak(x jsonb) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 "
            "AS $$ BEGIN RAISE NOTICE 'seen: %', x; RETURN true; END $$"
        )
        # The index of open items would hide the others; a reader may turn its use off.
        for way in ("indexscan", "indexonlyscan", "bitmapscan"):
            cursor.execute(f"SET enable_{way} = off")
        cursor.execute("SELECT FROM hangtag.review_queue WHERE pg_temp.leak(suggested)")
        assert cursor.fetchall() == []
    seen = "".join(connection.notices)
    connection.close()
    assert "Secret Guess" not in seen


def insert_decided(url: str) -> None:
    run_sql(
        url,
        """
        WITH u AS (INSERT INTO hangtag_data.uploads (source, uri, status, finished_at)
                   VALUES ('s', 'file:///x', 'tagged', now()) RETURNING id)
        INSERT INTO hangtag_data.review_items
            (upload_id, item, model_version, reason, suggested, confidence, status, decided_at)
        SELECT u.id, 0, m.version, 'r', '[["Secret Guess", 0.5]]', 0.5, 'decided', now()
        FROM u, (SELECT version FROM hangtag_data.model_versions LIMIT 1) AS m
        """,
    )


SHADOWS = """
    CREATE TEMP TABLE uploads (LIKE hangtag.upload_status);
    CREATE TEMP TABLE tags (x text);
    CREATE FUNCTION pg_temp.gen_random_uuid() RETURNS uuid LANGUAGE sql AS
        $$ SELECT '00000000-0000-0000-0000-000000000000'::uuid $$;
    CREATE FUNCTION pg_temp.length(text) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'taken in as %', current_user; END $$;
    CREATE FUNCTION pg_temp.cardinality(anyarray) RETURNS int LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'taken in as %', current_user; END $$;
    SET search_path = pg_temp, public, hangtag, pg_catalog;
"""


def test_functions_with_the_owner_s_rights_take_nothing_from_the_caller(
    urls: dict[str, str], database_url: str
) -> None:
    """Tables and functions of the same names in pg_temp, first on the path, are not looked at."""
    connection = psycopg2.connect(urls["producer"])
    with connection.cursor() as cursor:
        cursor.execute(SHADOWS)
        cursor.execute("SELECT hangtag.submit_upload('file:///x', 'shop', 'shadow', 0)")
        made = cursor.fetchone()
    connection.commit()
    connection.close()
    assert made is not None
    assert made[0] != "00000000-0000-0000-0000-000000000000"
    found = run_sql(database_url, "SELECT id FROM hangtag_data.uploads WHERE source = 'shop'")
    assert found == [(made[0],)]


def test_every_function_with_the_owner_s_rights_has_a_path_of_its_own(database_url: str) -> None:
    rows = run_sql(
        database_url,
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef "
        "AND pronamespace IN ('hangtag'::regnamespace, 'hangtag_data'::regnamespace)",
    )
    assert {row[0] for row in rows} >= {"submit_upload", "submit_uploads", "reopen_review_item"}
    assert {str(row[1]) for row in rows} == {"['search_path=pg_catalog, pg_temp']"}


def test_a_function_of_a_later_release_is_not_everybody_s(database_url: str) -> None:
    run_sql(
        database_url,
        "SET ROLE hangtag_owner; CREATE FUNCTION hangtag.later() RETURNS int LANGUAGE sql "
        "AS 'SELECT 1'",
    )
    asked = "SELECT has_function_privilege('public', 'hangtag.later()', 'EXECUTE')"
    assert run_sql(database_url, asked) == [(False,)]


def test_what_the_docs_take_from_strangers_is_gone_and_workers_go_on(
    urls: dict[str, str], database_url: str
) -> None:
    """The block of docs/operations.md for readers who are not trusted."""
    docs = (ROOT / "docs" / "operations.md").read_text()
    block = docs.partition("<!-- strangers -->")[2].partition("```sql\n")[2].partition("```")[0]
    database = run_sql(database_url, "SELECT quote_ident(current_database())")[0][0]
    run_sql(database_url, block.replace("DATABASE hangtag", f"DATABASE {database}"))
    for statement in (
        "CREATE TEMP TABLE x (y int)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock(1)",
    ):
        for name in ("reader", "producer", "public"):
            with pytest.raises(DENIED):
                run_sql(urls[name], statement)
    assert run_sql(urls["worker"], "SELECT pg_try_advisory_lock(1)") == [(True,)]
    assert migrate(database_url)


# Time limits -----------------------------------------------------------------------------


def test_a_reader_s_query_ends_in_time(urls: dict[str, str], database_url: str) -> None:
    """Settings of a role do not reach its members: migrating sets them for the logins."""
    assert run_sql(urls["reader"], "SHOW statement_timeout") == [("0",)]
    migrate(database_url)
    assert run_sql(urls["reader"], "SHOW statement_timeout") == [("30s",)]
    assert run_sql(urls["reader"], "SHOW idle_in_transaction_session_timeout") == [("1min",)]
    for name in ("worker", "operator", "producer"):
        assert run_sql(urls[name], "SHOW statement_timeout") == [("0",)]
    # A setting of the login's own is kept.
    database = run_sql(database_url, "SELECT quote_ident(current_database())")[0][0]
    reader = f"ALTER ROLE {LOGINS['reader']}"
    run_sql(database_url, f"{reader} IN DATABASE {database} RESET ALL")
    run_sql(database_url, f"{reader} SET statement_timeout = '100ms'")
    migrate(database_url)
    with pytest.raises(psycopg2.errors.QueryCanceled):
        run_sql(urls["reader"], "SELECT pg_sleep(10)")
    run_sql(database_url, f"{reader} RESET ALL")


@pytest.mark.parametrize(
    "own",
    [
        "CREATE SCHEMA other AUTHORIZATION {}",
        "CREATE TABLE public.theirs (); ALTER TABLE public.theirs OWNER TO {}",
        "CREATE TABLE public.others (); GRANT SELECT ON public.others TO {}",
        "ALTER ROLE {} SET statement_timeout = 0",
    ],
)
def test_a_login_with_other_work_in_the_database_is_not_limited(
    urls: dict[str, str], database_url: str, own: str
) -> None:
    run_sql(database_url, own.format(LOGINS["reader"]))
    assert run_sql(database_url, "SELECT hangtag_data.limit_readers()") == []
    assert run_sql(urls["reader"], "SHOW statement_timeout") == [("0",)]
    run_sql(database_url, f"ALTER ROLE {LOGINS['reader']} RESET ALL")


def test_migrating_names_the_logins_that_it_limits_and_how_to_undo_it(
    urls: dict[str, str], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    # A right on what is Hangtag's is no other work.
    run_sql(database_url, f"GRANT SELECT ON hangtag.image_tags TO {LOGINS['reader']}")
    migrate(database_url)
    said = [record.getMessage() for record in caplog.records if record.name == "worker.setup"]
    assert len(said) == 1
    assert LOGINS["reader"] in said[0]
    undo = re.search(r"ALTER ROLE .* SET statement_timeout = 0", said[0])
    assert undo is not None
    caplog.clear()
    run_sql(database_url, undo.group())
    migrate(database_url)
    assert [record for record in caplog.records if record.name == "worker.setup"] == []
    assert run_sql(urls["reader"], "SHOW statement_timeout") == [("0",)]


def test_a_migrator_that_may_not_limit_a_login_says_so_and_goes_on(
    urls: dict[str, str], database_url: str
) -> None:
    connection = psycopg2.connect(database_url)
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE hangtag_owner")
        cursor.execute("SELECT hangtag_data.limit_readers()")
        assert cursor.fetchall() == []
    said = "".join(connection.notices)
    connection.close()
    assert f"ALTER ROLE {LOGINS['reader']} SET statement_timeout" in said
