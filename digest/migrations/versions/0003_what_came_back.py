"""Events of deliveries that are not known here are kept aside by their opaque id."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ASIDE = sa.text("number IS NULL")


def upgrade() -> None:
    op.add_column(
        "event", sa.Column("delivery", sqltypes.AutoString(length=40), server_default=sa.text("''"), nullable=False)
    )
    op.create_index("ix_event_aside", "event", ["id"], sqlite_where=ASIDE, postgresql_where=ASIDE)
