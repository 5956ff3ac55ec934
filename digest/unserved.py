"""
Readers who chose to get a digest once a week while no weekly edition of it appears: they get nothing, and somebody must know.

They are not sent the daily edition instead: nobody asked them, and seven mails for one are a reason to leave. Their wish stays as
it is, and holds again from the day on which the digest has a weekly cadence.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import cast

from sqlalchemy import func
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from digest.models import CadenceRow, DigestRow
from digest.occurrences import coming
from digest.values import EditionKind
from subscribers.audience import WANTED, WISHES, standing, wishing

WEEKLY = "weekly"  # as readers wish it


def is_kept(cadence: CadenceRow, now: datetime) -> bool:
    """Whether anything more appears by that cadence as it is now: it is not paused, and its days are not over."""
    return cadence.paused_at is None and next(coming(cadence, now), None) is not None


def unserved(session: Session, now: datetime) -> Mapping[int, int]:
    """By digest, how many readers wait for a weekly edition that does not appear; digests that keep all are not in it."""
    weekly = session.exec(select_rows(CadenceRow).where(CadenceRow.kind == EditionKind.WEEKLY))
    kept = {row.digest_id for row in weekly if is_kept(row, now)}
    query = (
        wishing()
        .with_only_columns(WISHES.c.digest_id, func.count(WISHES.c.subscriber_id.distinct()))
        .where(WISHES.c.frequency == WEEKLY, WISHES.c.digest_id.not_in(kept), standing(now) == WANTED)
        .group_by(WISHES.c.digest_id)
    )
    return {digest: readers for digest, readers in session.execute(query)}  # noqa: C416  rows, not pairs


def unserved_words(session: Session, now: datetime) -> Mapping[str, str]:
    """The same in a sentence for who runs the house, by the digests' names."""
    found = unserved(session, now)
    rows = session.exec(select_rows(DigestRow).where(col(DigestRow.id).in_(found)).order_by(DigestRow.slug))
    return {row.slug: _sentence(row.slug, found[cast("int", row.id)]) for row in rows}


def _sentence(slug: str, readers: int) -> str:
    who = "1 reader chose" if readers == 1 else f"{readers:,} readers chose"
    return (
        f"{who} to get {slug} once a week, and no weekly edition appears: they get nothing. To make one: digest schedule add "
        f"{slug} --kind weekly, or resume it"
    )
