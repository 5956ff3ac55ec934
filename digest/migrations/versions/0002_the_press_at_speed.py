"""The right to send, what comes back, markers' stamps, why a mailing is paused."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

AMBIGUOUS = sa.text("state = 'ambiguous'")


def upgrade() -> None:
    op.add_column("mailing", sa.Column("reason", sqltypes.AutoString(), server_default=sa.text("''"), nullable=False))
    op.add_column("batch", sa.Column("crashes", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column("batch", sa.Column("stamp", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_index(
        "ix_delivery_ambiguous", "delivery", ["mailing_id", "number"],
        sqlite_where=AMBIGUOUS, postgresql_where=AMBIGUOUS,
    )  # fmt: skip
    op.create_table(
        "sender",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("stamp", sa.BigInteger(), nullable=False),
        sa.Column("restored_at", sqltypes.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sender")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("provider", sqltypes.AutoString(length=32), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("heard_at", sa.Float(), nullable=False),
        sa.Column("month", sa.Integer(), nullable=True),
        sa.Column("mailing_id", sa.BigInteger(), nullable=True),
        sa.Column("number", sa.BigInteger(), nullable=True),
        sa.Column("target", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("permanent", sa.Boolean(), nullable=False),
        sa.Column("machine", sa.Boolean(), nullable=False),
        sa.Column("link", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("reason", sqltypes.AutoString(length=200), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sa.UniqueConstraint("key", name=op.f("uq_event_key")),
    )
    op.create_index("ix_event_target", "event", ["target", "kind", "at"])
    op.create_index("ix_event_delivery", "event", ["mailing_id", "number"])
    op.create_index("ix_event_heard", "event", ["heard_at"])
