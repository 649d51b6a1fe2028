"""New indexes cost less a vector; queries search wider, so that they find as much."""

from alembic import op

from migrations.files import run_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0005_functions.sql")
    op.execute("RESET ROLE")
    op.execute("SELECT hangtag_data.set_database()")


def downgrade() -> None:
    """Give the functions of before, and pgvector's own default for searches."""
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0005_downgrade.sql")
    op.execute("RESET ROLE")
    run_file("0005_reset.sql")
