"""Alarms and what is quiet, the editors of a digest, letters to them, and an index of what came back."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

KINDS = ("confirm", "welcome", "access", "address", "ready", "reminder", "outcome", "alarm")
RETURNED = sa.text("kind = 'bounced' OR kind = 'complained'")


def upgrade() -> None:
    op.add_column("digest", sa.Column("editors", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))
    with op.batch_alter_table("service") as service:
        service.drop_constraint(op.f("ck_service_kind"), type_="check")
        allowed = f"kind IN ({', '.join(repr(kind) for kind in KINDS)})"
        service.create_check_constraint(op.f("ck_service_kind"), allowed)
    op.create_index(
        "ix_event_returned", "event", ["mailing_id", "kind", "number"], sqlite_where=RETURNED, postgresql_where=RETURNED
    )
    _alarms()


def _alarms() -> None:
    text, moment = sqltypes.AutoString, sqltypes.UTCDateTime
    op.create_table(
        "alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("cause", text(length=32), nullable=False),
        sa.Column("subject", text(length=120), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=True),
        sa.Column("words", text(), nullable=False),
        sa.Column("since", moment(), nullable=False),
        sa.Column("gone_at", moment(), nullable=True),
        sa.Column("told_at", moment(), nullable=True),
        sa.Column("ended_at", moment(), nullable=True),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("ways", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_alarm_digest_id_digest"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alarm")),
        sa.UniqueConstraint("cause", "subject", name="uq_alarm_subject"),
    )
    op.create_table(
        "alarm_quiet",
        sa.Column("cause", text(length=32), nullable=False),
        sa.Column("until", moment(), nullable=False),
        sa.Column("by", text(length=120), nullable=False),
        sa.PrimaryKeyConstraint("cause", name=op.f("pk_alarm_quiet")),
    )
