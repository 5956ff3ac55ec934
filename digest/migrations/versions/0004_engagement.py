"""What readers opened and clicked by the day, of those who agreed to it."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("subscriber", sa.Column("tracked_since", sqltypes.UTCDateTime(), nullable=True))
    op.create_table(
        "activity",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=8), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('opened', 'clicked')", name=op.f("ck_activity_kind")),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_activity_subscriber_id_subscriber"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("subscriber_id", "kind", "day", name=op.f("pk_activity")),
        sqlite_with_rowid=False,
    )
