"""Cadences, the stations of an edition's day, who runs them, and how late an edition was."""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql import sqltypes

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NOW = ("send", "checks", "hold")


def upgrade() -> None:
    for table in ("digest", "edition"):
        with op.batch_alter_table(table) as batch:
            batch.drop_constraint(op.f(f"ck_{table}_fallback"), type_="check")
            batch.create_check_constraint(op.f(f"ck_{table}_fallback"), _one_of("fallback", NOW))
            if table == "edition":
                batch.add_column(sa.Column("due_at", sqltypes.UTCDateTime(), nullable=True))
                batch.add_column(sa.Column("late_by", sa.Integer(), server_default=sa.text("0"), nullable=False))
    _cadences()
    _stations()
    op.create_table(
        "leader",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sqltypes.AutoString(length=80), nullable=False),
        sa.Column("lease_until", sa.Float(), nullable=False),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_leader")),
    )


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} IN ({', '.join(repr(value) for value in values)})"


def _cadences() -> None:
    text, minutes = sqltypes.AutoString, sa.Integer
    op.create_table(
        "cadence",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("kind", text(length=16), nullable=False),
        sa.Column("at", text(length=5), nullable=False),
        sa.Column("days", text(length=27), nullable=False),
        sa.Column("zone", text(length=64), nullable=False),
        sa.Column("local", sa.Boolean(), nullable=False),
        sa.Column("opens", text(length=5), nullable=False),
        sa.Column("closes", text(length=5), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("ends_on", sa.Date(), nullable=True),
        sa.Column("blackout", sa.JSON(), nullable=False),
        sa.Column("gather_before", minutes(), nullable=False),
        sa.Column("deadline_before", minutes(), nullable=False),
        sa.Column("remind_before", minutes(), nullable=False),
        sa.Column("undo", minutes(), nullable=False),
        sa.Column("fallback", text(length=8), nullable=False),
        sa.Column("late_after", minutes(), nullable=False),
        sa.Column("late", text(length=8), nullable=False),
        sa.Column("paused_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("since", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("updated_at", sqltypes.UTCDateTime(), nullable=False),
        sa.CheckConstraint(_one_of("kind", ("daily", "weekly")), name=op.f("ck_cadence_kind")),
        sa.CheckConstraint(_one_of("fallback", NOW), name=op.f("ck_cadence_fallback")),
        sa.CheckConstraint(_one_of("late", ("skip", "merge", "send")), name=op.f("ck_cadence_late")),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_cadence_digest_id_digest"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cadence")),
        sa.UniqueConstraint("digest_id", "kind", name="uq_cadence_kind"),
    )


def _stations() -> None:
    text = sqltypes.AutoString
    stations = ("gather", "assemble", "remind", "approve", "send")
    op.create_table(
        "station",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest_id", sa.Integer(), nullable=False),
        sa.Column("kind", text(length=16), nullable=False),
        sa.Column("local_date", sa.Date(), nullable=False),
        sa.Column("station", text(length=16), nullable=False),
        sa.Column("due_at", sqltypes.UTCDateTime(), nullable=False),
        sa.Column("state", text(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("ended_at", sqltypes.UTCDateTime(), nullable=True),
        sa.Column("words", text(), nullable=False),
        sa.CheckConstraint(_one_of("station", stations), name=op.f("ck_station_station")),
        sa.CheckConstraint(_one_of("state", ("waiting", "running", "done", "passed")), name=op.f("ck_station_state")),
        sa.ForeignKeyConstraint(
            ["digest_id"], ["digest.id"], name=op.f("fk_station_digest_id_digest"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_station")),
        sa.UniqueConstraint("digest_id", "kind", "local_date", "station", name="uq_station_occurrence"),
    )
    op.create_index("ix_station_due", "station", ["state", "due_at"])
