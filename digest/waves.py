"""Waves of an edition: what its cadence says of when readers are due, and what that will mean for whom."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from sqlalchemy import func, or_, select, union_all
from sqlmodel import Session, col
from sqlmodel import select as select_rows

from digest import segments
from digest.models import CadenceRow, DigestRow, EditionRow
from digest.occasions import occasion
from digest.proofs import segment_rules
from digest.settings import Settings
from digest.unserved import is_kept
from digest.values import EditionKind, Late
from digest.windows import Due, Fate, Rhythm, has_day, instant
from subscribers.audience import PEOPLE, WANTED, WISHES, Occasion, audience, standing
from subscribers.preferences import Offer
from subscribers.zones import zones

ALWAYS = datetime.min.replace(tzinfo=UTC)


def cadence_of(session: Session, digest_id: int, kind: str) -> CadenceRow | None:
    """When the digest's editions of that kind appear; None where nothing says so, as for breaking news."""
    return session.exec(
        select_rows(CadenceRow).where(CadenceRow.digest_id == digest_id, CadenceRow.kind == kind)
    ).first()


def offers(session: Session, now: datetime) -> dict[int, Offer]:
    """What readers may choose of each digest, as its cadences are now. Once a week is on offer while that appears."""
    rows: dict[int, list[CadenceRow]] = {}
    for row in session.exec(select_rows(CadenceRow).order_by(col(CadenceRow.kind))):
        rows.setdefault(row.digest_id, []).append(row)
    found = {}
    for digest in session.exec(select_rows(DigestRow.id)):
        mine = rows.get(cast("int", digest), [])
        kinds = {row.kind for row in mine}
        found[cast("int", digest)] = Offer(
            rhythm=kinds != {EditionKind.WEEKLY},
            weekly=any(row.kind == EditionKind.WEEKLY and is_kept(row, now) for row in mine),
            usual=next((row.at for row in mine if row.local), ""),
        )  # fmt: skip
    return found


def rhythm_of(session: Session, digest: DigestRow, edition: EditionRow) -> Rhythm | None:
    """When the readers of an approved edition are due; None: at once."""
    cadence = cadence_of(session, edition.digest_id, edition.kind)
    if cadence is None:
        return None
    released = edition.approved_at + timedelta(minutes=cadence.undo) if edition.approved_at else ALWAYS
    return rhythm(digest, cadence, edition.local_date, released)


def rhythm(digest: DigestRow, cadence: CadenceRow, day: date, released: datetime) -> Rhythm:
    return Rhythm(
        day=day, at=cadence.at, zone=cadence.zone, home=digest.zone, local=cadence.local, released=released,
        opens=cadence.opens, closes=cadence.closes, late_after=timedelta(minutes=cadence.late_after),
        late=Late(cadence.late),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    Readers of one zone who chose one hour (empty: none): when they are due, and what becomes of that.

    `wished` is their hour as an instant, None where their zone has no such date. `early`: it comes before the release.
    """

    zone: str
    hour: str
    readers: int
    wished: datetime | None
    due: Due
    early: bool


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one edition's day will be, by zone and hour."""

    expected: tuple[Expected, ...]

    @property
    def readers(self) -> int:
        return sum(one.readers for one in self.expected)

    @property
    def early(self) -> int:
        """How many readers' hours come before the release."""
        return sum(one.readers for one in self.expected if one.early)

    def waves(self) -> list[tuple[datetime, int]]:
        """Each instant at which readers are due, and how many."""
        counts: Counter[datetime] = Counter()
        for one in self.expected:
            if one.due.instant is not None:
                counts[one.due.instant] += one.readers
        return sorted(counts.items())

    def fates(self, zone: str | None = None) -> dict[Fate, int]:
        """How many readers' hours are kept, moved or missed: of one zone, or of all."""
        counts: Counter[Fate] = Counter()
        for one in self.expected:
            if zone in {None, one.zone}:
                counts[one.due.fate] += one.readers
        return dict(counts)


def forecast(
    session: Session, digest: DigestRow, cadence: CadenceRow, day: date, released: datetime | None, now: datetime,
    *, settings: Settings | None = None,
) -> Forecast:  # fmt: skip
    """
    When the readers of this moment would be due for an edition of `day`, were it released then (None: early enough).

    A reader with several devices at one hour counts once. Who is on a pause or suppressed at `now` does not count. Without
    `settings` the digest's segments are left aside, since what their rules may ask is a setting.

    Raises:
        NotReadyError: the rule of one of its segments cannot be read.
    """
    plan = rhythm(digest, cadence, day, released or ALWAYS)
    found = []
    for zone, hour, readers in _readers(
        session, digest, occasion(session.connection(), cadence.digest_id, cadence.kind, day), now, settings
    ):
        there = zone if zone in zones() else digest.zone
        if not plan.local:
            wished: datetime | None = instant(day, cadence.at, cadence.zone)
        else:
            wished = instant(day, hour or cadence.at, there) if has_day(day, there) else None
        found.append(
            Expected(
                zone=there, hour=hour, readers=readers, wished=wished, due=plan.due(zone, hour, now=plan.released),
                early=wished is not None and wished < plan.released,
            )
        )  # fmt: skip
    return Forecast(tuple(sorted(found, key=lambda one: (one.due.instant or ALWAYS, one.zone, one.hour))))


def _readers(
    session: Session, digest: DigestRow, on: Occasion, now: datetime, settings: Settings | None
) -> list[tuple[str, str, int]]:
    """(zone, hour, how many) of the audience, over all its channels."""
    people = []
    names = segments.names(session, settings) if settings and digest.segments else None
    for channel in digest.channels:
        query = audience(cast("int", digest.id), channel, on).where(standing(now) == WANTED)
        if names is not None:
            rules = segment_rules(session, digest)
            query = query.where(
                or_(*[segments.members(name, rule, now=now, names=names) for name, rule in rules.items()])
            )
        people.append(query.with_only_columns(WISHES.c.subscriber_id, PEOPLE.c.zone, WISHES.c.hour))
    if not people:
        return []
    one = union_all(*people).subquery()
    count = func.count(one.c.subscriber_id.distinct())
    rows = session.execute(select(one.c.zone, one.c.hour, count).group_by(one.c.zone, one.c.hour))
    return [(zone, hour, readers) for zone, hour, readers in rows]
