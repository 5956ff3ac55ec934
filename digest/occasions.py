"""Which readers an edition is for: its kind and date, and whether its digest appears in any other rhythm."""

from datetime import date

from sqlalchemy import Connection, select

from digest.models import CadenceRow
from digest.values import EditionKind
from subscribers.audience import Occasion

CADENCES = CadenceRow.metadata.tables["cadence"]


def occasion(connection: Connection, digest_id: int, kind: str, day: date) -> Occasion:
    """The occasion of one edition. A weekly one is everybody's where the digest has no daily cadence beside it."""
    if kind != EditionKind.WEEKLY:
        return Occasion(kind, day)
    kinds = set(connection.execute(select(CADENCES.c.kind).where(CADENCES.c.digest_id == digest_id)).scalars())
    return Occasion(kind, day, alone=kinds == {EditionKind.WEEKLY})
