"""New vectors go to a part without an HNSW index; a janitor moves them to the index later."""

from alembic import op

from migrations.files import run_file

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


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
        op.execute("SET hangtag.folding = 'on'")
        run_file("0003_fold.sql")
    run_file("0003_downgrade.sql")
