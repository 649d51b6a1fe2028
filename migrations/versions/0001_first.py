"""Uploads, tags, embeddings, review; the views and functions of the contract; roles."""

from alembic import op

from migrations.files import run_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_file("0001_roles.sql")
    op.execute("SET LOCAL ROLE hangtag_owner")
    for part in ("tables", "contract", "grants"):
        run_file(f"0001_{part}.sql")
    op.execute("RESET ROLE")
    op.execute("SELECT hangtag_data.set_database()")


def downgrade() -> None:
    """Drop both schemas' contents; roles stay, other databases of the cluster may use them."""
    run_file("0001_downgrade.sql")
