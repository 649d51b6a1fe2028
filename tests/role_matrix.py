"""`python -m tests.role_matrix`: what each role may do with each object, as a Markdown table.

With `--write` the table in docs/roles.md becomes what EXPECTED says.

EXPECTED says what it is to be: a new table, view, function or sequence must be written down here,
or the test fails. Rights are what the server grants in effect, those of PUBLIC and of columns
included; members of a role have the same.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from db.embedded import EmbeddedPostgres
from db.roles import OPERATOR, PRODUCER, READER, WORKER
from tests.conftest import run_sql
from worker.setup import migrate

#: As columns of the matrix; `public` is every login that has been granted nothing.
ROLES = {
    "producer": PRODUCER,
    "worker": WORKER,
    "operator": OPERATOR,
    "reader": READER,
    "public": "public",
}
TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
COLUMN_RIGHTS = ("SELECT", "INSERT", "UPDATE")
SEQUENCE_RIGHTS = ("USAGE", "SELECT", "UPDATE")

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "roles.md"
START, END = "<!-- roles -->", "<!-- /roles -->"

Matrix = dict[str, dict[str, str]]

CALL = "EXECUTE"
READ = "SELECT"
#: {object: {role: rights}}; a role that is not named has none.
EXPECTED: Mapping[str, Mapping[str, str]] = {
    "database": dict.fromkeys(ROLES, "CONNECT, TEMPORARY"),
    "schema hangtag": dict.fromkeys(("producer", "worker", "operator", "reader"), "USAGE"),
    "schema hangtag_data": {"worker": "USAGE", "operator": "USAGE"},
    "schema public": dict.fromkeys(ROLES, "USAGE"),
    # What other services call.
    "function hangtag.similar_images": {"operator": CALL, "reader": CALL},
    "function hangtag.submit_upload": {"producer": CALL, "worker": CALL},
    "function hangtag.submit_uploads": {"producer": CALL, "worker": CALL},
    "view hangtag.image_embeddings": {"worker": READ, "operator": READ, "reader": READ},
    "view hangtag.image_tags": {"worker": READ, "operator": READ, "reader": READ},
    "view hangtag.review_queue": {"worker": READ, "operator": READ, "reader": READ},
    "view hangtag.upload_status": {
        "producer": READ,
        "worker": READ,
        "operator": READ,
        "reader": READ,
    },
    # What a worker writes.
    "table hangtag_data.uploads": {
        "worker": "SELECT, UPDATE(attempt, attempts_before, available_at, claimed_by, error, "
        "error_code, finished_at, lease_until, status)",
        "operator": "SELECT, UPDATE(finished_at, status)",
    },
    "table hangtag_data.predictions": {"worker": "SELECT, INSERT, UPDATE"},
    "table hangtag_data.tags": {
        "worker": "SELECT, INSERT, UPDATE, DELETE",
        "operator": "SELECT, INSERT, UPDATE, DELETE",
    },
    "table hangtag_data.embeddings": {
        "worker": "SELECT, INSERT, UPDATE",
        "operator": "SELECT, DELETE, UPDATE(article_type, master_category, sub_category)",
    },
    "table hangtag_data.embeddings_gN": {},  # reached through the table above alone
    "table hangtag_data.embeddings_gN_fresh": {},
    "table hangtag_data.review_items": {
        "worker": "SELECT, INSERT, UPDATE(preview_due, preview_tries)",
        "operator": "SELECT, UPDATE(claimed_by, decided_at, lease_until, priority, status)",
    },
    "table hangtag_data.previews": {
        "worker": "SELECT, INSERT, UPDATE(jpeg, kept_until)",
        "operator": "SELECT, DELETE, UPDATE(kept_until)",
    },
    "function hangtag_data.give_up_preview": {"worker": CALL},
    "table hangtag_data.labels": {"worker": READ, "operator": READ},
    "table hangtag_data.model_versions": {"worker": READ},
    # What the console writes.
    "table hangtag_data.decisions": {
        "operator": "SELECT, INSERT(action, attribute, confidence, item, label, model_version, "
        "operator, review_item_id, suggested, upload_id)",
    },
    "table hangtag_data.audit_log": {
        "operator": "SELECT, INSERT(action, actor, address, detail, review_item_id, subject, "
        "upload_id)",
    },
    "table hangtag_data.withdrawn": {"operator": "SELECT, INSERT, DELETE, UPDATE(kept_until)"},
    "table hangtag_data.operators": {"operator": READ},
    "table hangtag_data.console_sessions": {"operator": "SELECT, INSERT, DELETE"},
    "table hangtag_data.login_attempts": {"operator": "SELECT, INSERT, UPDATE, DELETE"},
    "function hangtag_data.reopen_review_item": {"operator": CALL},
    # The owner's alone.
    "table hangtag_data.alembic_version": {},
    "function hangtag_data.activate_model": {},
    "function hangtag_data.add_fresh_part": {},
    "function hangtag_data.audit_decision": {},
    "function hangtag_data.audit_operator": {},
    "function hangtag_data.hnsw_options": {},
    "function hangtag_data.keep_one_vector": {},
    "function hangtag_data.limit_readers": {},
    "function hangtag_data.refuse_change": {},
    "function hangtag_data.register_model": {},
    "function hangtag_data.set_database": {},
    "function hangtag_data.show_generation": {},
    "sequence hangtag_data.audit_log_id_seq": {},
    "sequence hangtag_data.decisions_id_seq": {},
    "sequence hangtag_data.labels_id_seq": {},
    "sequence hangtag_data.model_versions_generation_seq": {},
    "sequence hangtag_data.review_items_id_seq": {},
}


def actual(url: str) -> Matrix:
    """Return what the database at `url` grants, {object: {role: rights}}, without empty ones."""
    return {**_schemas(url), **_tables(url), **_sequences(url), **_functions(url)}


def _schemas(url: str) -> Matrix:
    found: Matrix = {"database": {}}
    for name, role in ROLES.items():
        rights = [
            right
            for right in ("CONNECT", "CREATE", "TEMPORARY")
            if _ask(url, f"has_database_privilege('{role}', current_database(), '{right}')")
        ]
        _put(found, "database", name, rights)
        for schema in ("hangtag", "hangtag_data", "public"):
            key = f"schema {schema}"
            found.setdefault(key, {})
            rights = [
                right
                for right in ("USAGE", "CREATE")
                if _ask(url, f"has_schema_privilege('{role}', '{schema}', '{right}')")
            ]
            _put(found, key, name, rights)
    return found


def _tables(url: str) -> Matrix:
    found: Matrix = {}
    rows = run_sql(
        url,
        f"""
        SELECT c.oid, c.relkind IN ('v', 'm'), n.nspname || '.' || c.relname, r.name,
            ARRAY(SELECT p FROM unnest(ARRAY{list(TABLE_RIGHTS)}) AS p
                  WHERE has_table_privilege(r.role, c.oid, p)),
            ARRAY(SELECT p || ' ' || a.attname FROM unnest(ARRAY{list(COLUMN_RIGHTS)}) AS p,
                  pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0
                  AND NOT a.attisdropped AND NOT has_table_privilege(r.role, c.oid, p)
                  AND has_column_privilege(r.role, c.oid, a.attnum, p) ORDER BY p, a.attname)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace,
            unnest(ARRAY{list(ROLES)}, ARRAY{list(ROLES.values())}) AS r (name, role)
        WHERE n.nspname IN ('hangtag', 'hangtag_data', 'public')
            AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
            AND NOT EXISTS (SELECT FROM pg_depend AS d
                            WHERE d.objid = c.oid AND d.deptype = 'e')
        """,
    )
    for _, is_view, table, role, rights, columns in rows:
        # Partitions come and go with model versions; they are one line.
        place = re.sub(r"embeddings_g\d+", "embeddings_gN", str(table))
        key = f"{'view' if is_view else 'table'} {place}"
        found.setdefault(key, {})
        assert isinstance(rights, list)
        assert isinstance(columns, list)
        by_right: dict[str, list[str]] = {}
        for one in columns:
            right, _, column = one.partition(" ")
            by_right.setdefault(right, []).append(column)
        limited = [f"{right}({', '.join(names)})" for right, names in sorted(by_right.items())]
        _put(found, key, str(role), [*rights, *limited])
    return found


def _sequences(url: str) -> Matrix:
    found: Matrix = {}
    rows = run_sql(
        url,
        f"""
        SELECT n.nspname || '.' || c.relname, r.name,
            ARRAY(SELECT p FROM unnest(ARRAY{list(SEQUENCE_RIGHTS)}) AS p
                  WHERE has_sequence_privilege(r.role, c.oid, p))
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace,
            unnest(ARRAY{list(ROLES)}, ARRAY{list(ROLES.values())}) AS r (name, role)
        WHERE n.nspname IN ('hangtag', 'hangtag_data', 'public') AND c.relkind = 'S'
        """,
    )
    for sequence, role, rights in rows:
        key = f"sequence {sequence}"
        found.setdefault(key, {})
        assert isinstance(rights, list)
        _put(found, key, str(role), rights)
    return found


def _functions(url: str) -> Matrix:
    found: Matrix = {}
    rows = run_sql(
        url,
        f"""
        SELECT n.nspname || '.' || f.proname, r.name,
            has_function_privilege(r.role, f.oid, 'EXECUTE')
        FROM pg_proc AS f JOIN pg_namespace AS n ON n.oid = f.pronamespace,
            unnest(ARRAY{list(ROLES)}, ARRAY{list(ROLES.values())}) AS r (name, role)
        WHERE n.nspname IN ('hangtag', 'hangtag_data', 'public')
            AND NOT EXISTS (SELECT FROM pg_depend AS d
                            WHERE d.objid = f.oid AND d.deptype = 'e')
        """,
    )
    for function, role, may in rows:
        key = f"function {function}"
        found.setdefault(key, {})
        _put(found, key, str(role), ["EXECUTE"] if may else [])
    return found


def _put(matrix: Matrix, key: str, role: str, rights: list[str]) -> None:
    if rights:
        matrix[key][role] = ", ".join(rights)


def _ask(url: str, expression: str) -> bool:
    return bool(run_sql(url, f"SELECT {expression}")[0][0])


def as_markdown(matrix: Mapping[str, Mapping[str, str]]) -> str:
    """Return a matrix as a table, an object a row, a role a column."""
    lines = [f"| object | {' | '.join(ROLES)} |", "|---" * (len(ROLES) + 1) + "|"]
    for key in sorted(matrix):
        cells = [matrix[key].get(role, "–") for role in ROLES]
        lines.append(f"| {key} | {' | '.join(cells)} |")
    return "\n".join(lines)


def in_document(document: str) -> str:
    """Return docs/roles.md with the table as EXPECTED has it."""
    table = as_markdown(EXPECTED)
    pattern = re.compile(f"{START}.*?{END}", re.DOTALL)
    return pattern.sub(lambda _: f"{START}\n{table}\n{END}", document)


def count_rights(matrix: Mapping[str, Mapping[str, str]]) -> int:
    """Count how many questions a matrix answers: may this role do this with that object?"""
    kinds = {
        "database": 3,
        "schema": 2,
        "table": len(TABLE_RIGHTS),
        "view": len(TABLE_RIGHTS),
        "sequence": len(SEQUENCE_RIGHTS),
        "function": 1,
    }
    return sum(kinds[key.partition(" ")[0]] * len(ROLES) for key in matrix)


def main() -> None:
    """Print the matrix of a freshly migrated database, or write down the expected one."""
    if sys.argv[1:] == ["--write"]:
        DOCUMENT.write_text(in_document(DOCUMENT.read_text()))
        return
    with tempfile.TemporaryDirectory(prefix="hangtag-roles-") as folder:
        server = EmbeddedPostgres(Path(folder), settings=["fsync=off"])
        server.start()
        try:
            migrate(server.url())
            matrix = actual(server.url())
        finally:
            server.stop()
    print(as_markdown(matrix))
    print(f"\n{len(matrix)} objects, {count_rights(matrix)} rights looked at")


if __name__ == "__main__":
    main()
