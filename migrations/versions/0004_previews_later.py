"""Previews are drawn after their item was written; what is owed stands in the item."""

from alembic import op

from migrations.files import run_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL ROLE hangtag_owner")
    for part in ("tables", "grants"):
        run_file(f"0004_{part}.sql")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Take what owes its preview back to the start: workers of before draw with the result."""
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0004_downgrade.sql")
    op.execute("RESET ROLE")
