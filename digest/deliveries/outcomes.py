"""What became of deliveries, as the rows say it: one outcome for a stretch of a batch's open deliveries, or for some of it."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from digest.deliveries.tables import Cursor, spelled


def outcome(batch: Any, first: int, state: str, why: str, now: datetime, *, last: int = 0) -> dict[str, Any]:
    """Numbers `first` to `last` of the batch, those still open, go to `state`."""
    return {
        "month": batch.month, "mailing": batch.mailing_id, "batch": batch.id, "first": first, "last": last or first,
        "state": str(state), "why": why, "next": None, "at": now.timestamp(), "tried": 0,
    }  # fmt: skip


def outcome_of_some(batch: Any, numbers: Collection[int], state: str, why: str, now: datetime) -> dict[str, Any]:
    """The same for numbers that need not be neighbours."""
    first, last = min(numbers), max(numbers)
    said = outcome(batch, first, state, why, now, last=last)
    return said if last - first + 1 == len(numbers) else {**said, "numbers": json.dumps([*numbers])}


def write_outcomes(cursor: Cursor, outcomes: Sequence[dict[str, Any]]) -> None:
    for one in outcomes:
        cursor.run(WRITE_SOME if "numbers" in one else WRITE_STRETCH, one)


_WRITE = (
    "UPDATE delivery SET state = :state, reason = :why, next_at = :next, updated_at = :at, attempt = attempt + :tried"
    " WHERE month = :month AND mailing_id = :mailing AND number {} AND batch_id = :batch"
    " AND (state = 'queued' OR state = 'handing')"
)
WRITE_STRETCH = spelled(_WRITE.format("BETWEEN :first AND :last"))
WRITE_SOME = spelled(_WRITE.format("IN {numbers}"))
