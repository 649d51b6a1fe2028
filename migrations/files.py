"""Migrations are SQL files; this runs one."""

from __future__ import annotations

from pathlib import Path

from alembic import op

SQL = Path(__file__).resolve().parent / "sql"


def run_file(name: str) -> None:
    """Run an SQL file as it is: without parameters the driver leaves `%` alone."""
    op.get_bind().exec_driver_sql(
        (SQL / name).read_text(), execution_options={"no_parameters": True}
    )
