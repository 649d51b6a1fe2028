"""Leads, an audit trail, throttled log-ins, sessions that end, decisions that can be reopened."""

from pathlib import Path

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql"


def run_file(name: str) -> None:
    """Run an SQL file as it is: a driver's cursor without parameters leaves `%` alone."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute((SQL / name).read_text())
    cursor.close()


def upgrade() -> None:
    op.execute("SET LOCAL ROLE hangtag_owner")
    for part in ("tables", "functions", "grants"):
        run_file(f"0002_{part}.sql")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Drop what 0002 added, the audit trail too, and give the rights of before."""
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0002_downgrade.sql")
    op.execute("RESET ROLE")
