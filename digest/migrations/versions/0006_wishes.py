"""What readers wish for, sign-ups that wait for their word, and service messages."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

EMPTY = sa.text("''")


def upgrade() -> None:
    _wishes()
    _signups()
    with op.batch_alter_table(
        "proof", table_args=(sa.CheckConstraint("channel IN ('email', 'push', 'web')", name=op.f("ck_proof_channel")),)
    ) as proof:
        proof.alter_column("edition_id", existing_type=sa.Integer(), nullable=True)
    _services()


def _wishes() -> None:
    # in SQLite a column may come with its check; adding the check by itself would copy the whole table
    op.execute(
        "ALTER TABLE subscription ADD COLUMN frequency VARCHAR(16) DEFAULT 'every' NOT NULL"
        " CONSTRAINT ck_subscription_frequency CHECK (frequency IN ('every', 'weekdays', 'days', 'weekly'))"
    )
    for name, length in (("days", 27), ("hour", 5), ("consent_proof", 40), ("left_why", 16)):
        kind = sqltypes.AutoString(length=length)
        op.add_column("subscription", sa.Column(name, kind, server_default=EMPTY, nullable=False))


def _signups() -> None:
    op.create_table(
        "signup",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("email", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("email_key", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("email_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("language", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("zone", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("asked_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("source", sqltypes.AutoString(length=200), nullable=False),
        sa.Column("wording", sqltypes.AutoString(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_signup_digest_id_digest"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signup")),
        sa.UniqueConstraint("email_key", "digest_id", name="uq_signup_wish"),
    )
    op.create_index(op.f("ix_signup_asked_at"), "signup", ["asked_at"])
    op.create_table(
        "wording",
        sa.Column("version", sqltypes.AutoString(length=64), nullable=False),
        sa.Column("words", sqltypes.AutoString(length=1000), nullable=False),
        sa.Column("since", sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_wording")),
    )
    op.create_table(
        "signup_count",
        sa.Column("key", sa.LargeBinary(length=16), nullable=False),
        sa.Column("since", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_signup_count")),
    )
    op.create_index(op.f("ix_signup_count_since"), "signup_count", ["since"])


def _services() -> None:
    op.create_table(
        "service",
        sa.Column("mailing_id", sa.Integer(), nullable=False),
        sa.Column("kind", sqltypes.AutoString(length=16), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("subscriber_id", sa.Integer(), nullable=True),
        sa.Column("email", sqltypes.AutoString(length=320), nullable=False),
        sa.Column("email_hash", sa.LargeBinary(length=16), nullable=False),
        sa.Column("opened_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("resent_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("used_at", sqltypes.UTCDateTime(), nullable=True),
        sa.CheckConstraint("kind IN ('confirm', 'welcome', 'access', 'address')", name=op.f("ck_service_kind")),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_service_digest_id_digest"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["mailing_id"], ["mailing.id"], name=op.f("fk_service_mailing_id_mailing"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["subscriber_id"], ["subscriber.id"], name=op.f("fk_service_subscriber_id_subscriber"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mailing_id", name=op.f("pk_service")),
    )
    op.create_index("ix_service_hash", "service", ["email_hash"])
    op.create_index(op.f("ix_service_opened_at"), "service", ["opened_at"])
    op.create_index(op.f("ix_service_subscriber_id"), "service", ["subscriber_id"])
