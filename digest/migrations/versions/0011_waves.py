"""The next batch is found by an index, however many wait for their hour."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_batch_due", table_name="batch")
    op.create_index("ix_batch_due", "batch", ["state", "priority", "not_before", "id"])
