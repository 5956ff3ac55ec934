"""A cadence says whether its later waves may carry fresher stories."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("cadence", sa.Column("fresher", sa.Boolean(), server_default=sa.false(), nullable=False))
