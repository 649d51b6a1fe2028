"""One picture is handed in by one statement."""

from alembic import op

from migrations.files import run_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0006_functions.sql")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Give the function of before."""
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0006_downgrade.sql")
    op.execute("RESET ROLE")
