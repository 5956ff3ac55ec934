"""Tracked links, what was counted of them, and who agreed to be counted by name."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ACTIVITY = "'opened', 'clicked'"


def upgrade() -> None:
    op.add_column("proof", sa.Column("tracked", sa.Boolean(), server_default=sa.false(), nullable=False))
    # in SQLite a column may come with its check; adding the check by itself would copy the whole table
    op.execute(
        "ALTER TABLE mailing ADD COLUMN tracking VARCHAR(9) DEFAULT 'off' NOT NULL"
        " CONSTRAINT ck_mailing_tracking CHECK (tracking IN ('off', 'aggregate', 'personal'))"
    )
    _of_editions()
    _of_people()


def _of_editions() -> None:
    op.create_table(
        "link",
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("url", sqltypes.AutoString(length=4000), nullable=False),
        sa.Column("trap", sa.Boolean(), nullable=False),
        _edition("link"),
        sa.PrimaryKeyConstraint("edition_id", "version", "number", name=op.f("pk_link")),
    )
    op.create_table(
        "tally",
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=8), nullable=False),
        sa.Column("link", sa.Integer(), nullable=False),
        sa.Column("machine", sa.Boolean(), nullable=False),
        sa.Column("source", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.CheckConstraint(f"kind IN ({ACTIVITY}, 'dropped')", name=op.f("ck_tally_kind")),
        _edition("tally"),
        sa.PrimaryKeyConstraint("edition_id", "kind", "link", "machine", "source", name=op.f("pk_tally")),
    )
    op.create_table(
        "told_once",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("heard_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_told_once")),
    )
    op.create_index(op.f("ix_told_once_heard_at"), "told_once", ["heard_at"])


def _edition(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["edition_id"], ["edition.id"], name=op.f(f"fk_{table}_edition_id_edition"), ondelete="CASCADE"
    )


def _of_people() -> None:
    op.create_table(
        "deed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("edition_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=8), nullable=False),
        sa.Column("link", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("machine", sa.Boolean(), nullable=False),
        sa.Column("why", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("source", sqltypes.AutoString(length=16), nullable=False),
        sa.CheckConstraint(f"kind IN ({ACTIVITY})", name=op.f("ck_deed_kind")),
        _subscriber("deed"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deed")),
    )
    op.create_index("ix_deed_edition", "deed", ["edition_id", "kind"])
    op.create_index(op.f("ix_deed_subscriber_id"), "deed", ["subscriber_id"])
    op.create_index(op.f("ix_deed_at"), "deed", ["at"])
    op.create_table(
        "tracking_consent",
        sa.Column("subscriber_id", sa.Integer(), nullable=False),
        sa.Column("at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("source", sqltypes.AutoString(length=200), nullable=False),
        sa.Column("wording", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("proof", sqltypes.AutoString(length=40), nullable=False),
        _subscriber("tracking_consent"),
        sa.PrimaryKeyConstraint("subscriber_id", name=op.f("pk_tracking_consent")),
    )


def _subscriber(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["subscriber_id"], ["subscriber.id"], name=op.f(f"fk_{table}_subscriber_id_subscriber"), ondelete="CASCADE"
    )
