"""What an import that is not finished met, so that it goes on without reading for it again; mailings found by their kind."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "import_block",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("met", sa.LargeBinary(), nullable=False),
        sa.Column("refused", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["key"], ["import_run.key"], name=op.f("fk_import_block_key_import_run"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("key", "lines", name=op.f("pk_import_block")),
    )
    op.execute("UPDATE import_run SET lines = 0, counts = '{}'")  # of these no block was kept: they begin anew
    op.create_index("ix_mailing_kind", "mailing", ["kind", "state"])
