"""How far an import has come; when a reader set their own preferences."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subscriber", sa.Column("chosen_at", sqltypes.UTCDateTime(), nullable=True))
    op.create_table(
        "import_run",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("began_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("lines", sa.Integer(), nullable=False),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_import_run")),
    )
