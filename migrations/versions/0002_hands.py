"""Leads, an audit trail, throttled log-ins, sessions that end, decisions that can be reopened."""

from alembic import op

from migrations.files import run_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


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
