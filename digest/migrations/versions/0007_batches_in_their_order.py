"""The next batch is found by an index, however many wait."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_batch_due", table_name="batch")
    op.create_index("ix_batch_due", "batch", ["state", "priority", "id"])
