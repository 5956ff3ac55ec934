"""What became of deliveries, as the rows say it: one outcome for a stretch of a batch's open deliveries."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from digest.deliveries.tables import spelled


def outcome(batch: Any, first: int, state: str, why: str, now: datetime, *, last: int = 0) -> dict[str, Any]:
    """Numbers `first` to `last` of the batch, those still open, go to `state`."""
    return {
        "month": batch.month, "mailing": batch.mailing_id, "batch": batch.id, "first": first, "last": last or first,
        "state": str(state), "why": why, "next": None, "at": now.timestamp(), "tried": 0,
    }  # fmt: skip


def write_outcomes(connection: Connection, outcomes: Sequence[dict[str, Any]]) -> None:
    if outcomes:
        connection.exec_driver_sql(WRITE_OUTCOME[connection.dialect.name], list(outcomes))


WRITE_OUTCOME = spelled(
    "UPDATE delivery SET state = :state, reason = :why, next_at = :next, updated_at = :at, attempt = attempt + :tried"
    " WHERE month = :month AND mailing_id = :mailing AND number BETWEEN :first AND :last AND batch_id = :batch"
    " AND (state = 'queued' OR state = 'handing')"
)
