"""Uploads, tags, embeddings, review; the views and functions of the contract; roles."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).resolve().parent.parent / "sql"


def run_file(name: str) -> None:
    """Run an SQL file as it is: a driver's cursor without parameters leaves `%` alone."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute((SQL / name).read_text())
    cursor.close()


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
