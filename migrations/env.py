"""Alembic's environment: one migrator at a time, under lock and statement timeouts."""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection, text

from db.session import make_engine
from db.settings import DatabaseSettings
from db.tables import SCHEMA, Base

#: Names the advisory lock; any number will do as long as it stays.
MIGRATION_LOCK = 7_230_001

LOCK_TIMEOUT = context.config.attributes.get("lock_timeout", "10s")


def include_object(
    item: Any, name: str | None, kind: str, reflected: bool, _compare_to: Any
) -> bool:
    """Leave the partitions out of the comparison: they come and go with model versions."""
    partition = kind == "table" and reflected and (name or "").startswith("embeddings_g")
    return not partition and getattr(item, "schema", SCHEMA) in (SCHEMA, None)


def run(connection: Connection) -> None:
    """Migrate over an open connection; the caller's transaction, if any, is left alone."""
    # First of all, and without a timeout: a second migrator waits for the first.
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATION_LOCK})
    # Behind a migration that waits for a lock, everybody else waits.
    connection.execute(
        text("SELECT set_config('lock_timeout', :value, false)"), {"value": LOCK_TIMEOUT}
    )
    connection.execute(text("SET statement_timeout = '15min'"))
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=lambda name, kind, _parents: kind != "schema" or name == SCHEMA,
        include_object=include_object,
        compare_server_default=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit("hangtag migrates over a connection only; set HANGTAG_DATABASE_URL")
given = context.config.attributes.get("database_url")
engine = make_engine(given or DatabaseSettings().require_url())
try:
    with engine.connect() as open_connection:
        run(open_connection)
finally:
    engine.dispose()
