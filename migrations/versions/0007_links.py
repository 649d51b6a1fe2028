"""New indexes get 16 links a node again."""

from alembic import op

from migrations.files import run_file

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0007_functions.sql")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Give the options of before."""
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0007_downgrade.sql")
    op.execute("RESET ROLE")
