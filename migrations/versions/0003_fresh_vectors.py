"""New vectors go to a part without an HNSW index; a janitor moves them to the index later."""

from alembic import op
from sqlalchemy import text

from migrations.files import SQL, run_file

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

#: Workers go on writing meanwhile, so the last few are moved under the lock.
FEW_ROWS = 50


def upgrade() -> None:
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0003_functions.sql")
    # As whoever migrates: partitions belong to the logins that registered their versions.
    op.execute("RESET ROLE")
    run_file("0003_parts.sql")
    op.execute("SET LOCAL ROLE hangtag_owner")
    run_file("0003_view.sql")
    op.execute("RESET ROLE")


def downgrade() -> None:
    """Move what is fresh to the index, then drop the fresh parts."""
    with op.get_context().autocommit_block():
        connection = op.get_bind()
        connection.execute(text("SET hangtag.folding = 'on'"))
        step = text((SQL / "0003_fold.sql").read_text())
        while connection.execute(step).rowcount > FEW_ROWS:
            pass
    run_file("0003_downgrade.sql")
