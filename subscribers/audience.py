"""The people an edition goes to right now, as a query: for the fill, for counts, and for the check at every claim."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
)

from subscribers.models import DAYS, SubscriptionRow
from subscribers.segments import NOTHING, Names, compile_rule

PEOPLE = SubscriptionRow.metadata.tables["subscriber"]
WISHES = SubscriptionRow.metadata.tables["subscription"]
TOPICS = SubscriptionRow.metadata.tables["subscriber_topic"]
HELD = SubscriptionRow.metadata.tables["suppression"]
HOLD = HELD.alias("hold")  # a reader's own row of it, by another name than the one that rules ask for
ON_HOLD = HOLD.c.email_hash == PEOPLE.c.email_hash

WEEKDAYS = DAYS[:5]
MOST_TOPICS = 39  # whose wishes fit into one number of 63 bits
WANTED = "wanted"
"""The one standing in which a reader gets anything."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """
    Which edition of a digest is meant, as readers tell them apart: its kind (daily, weekly ...) and its local date.

    `alone`: the digest has editions of no other kind, so that there is nothing to choose between.
    """

    kind: str
    day: date
    alone: bool = False


def audience(digest_id: int, channel: str, on: Occasion | None = None) -> Select[int, str, bytes]:
    """
    Everyone who asked for the digest on the channel and has not left: (subscriber_id, device, email_hash).

    `on` leaves out whose days it is not. Those on a pause and those suppressed are among them, since the books account
    for them too: ask `standing`. A rule compiled by `subscribers.segments` can be added with `.where`.
    """
    return (
        wishing()
        .where(WISHES.c.digest_id == digest_id, WISHES.c.channel == channel)
        .where(or_(WISHES.c.state == "active", WISHES.c.state == "paused"))
        .where(true() if on is None else comes(on))
    )


def wishing() -> Select[int, str, bytes]:
    """Every wish there is, whatever became of it, with its reader: (subscriber_id, device, email_hash)."""
    people = select(WISHES.c.subscriber_id, WISHES.c.device, PEOPLE.c.email_hash)
    return people.join_from(WISHES, PEOPLE, PEOPLE.c.id == WISHES.c.subscriber_id).outerjoin(HOLD, ON_HOLD)


def comes(on: Occasion) -> ColumnElement[bool]:
    """
    Whether a reader's frequency asks for that edition, over subscription.

    A weekly edition is for weekly readers alone (everyone's, if there are only such), and a daily one for all others; what
    is neither, such as breaking news or a correction, comes to everyone.
    """
    often = WISHES.c.frequency
    if on.alone or on.kind not in {"daily", "weekly"}:
        return true()
    if on.kind == "weekly":
        return often == "weekly"
    today = DAYS[on.day.weekday()]
    chosen = and_(often == "days", WISHES.c.days.contains(today))  # no day's name is within another's, or across two
    return or_(often == "every", chosen, often == "weekdays") if today in WEEKDAYS else or_(often == "every", chosen)


def leaning(topics: Sequence[str]) -> ColumnElement[int]:
    """
    What a reader wishes of these topics (by their keys, at most 39), as one number, over subscriber.

    It has a digit of base three for each topic, the first the lowest: 0 for nothing said, 1 for more, 2 for less.
    """
    row = TOPICS.c
    place = case(
        {topic: literal(3**n, BigInteger) for n, topic in enumerate(topics)},
        value=row.topic,
        else_=literal(0, BigInteger),
    )
    digit = case((row.wish > 0, 1), (row.wish < 0, 2), else_=0)
    mine = select(func.sum(place * digit)).where(row.subscriber_id == PEOPLE.c.id, row.topic.in_(topics))
    return func.coalesce(cast(mine.correlate(PEOPLE).scalar_subquery(), BigInteger), 0)


def anyone_leans(connection: Connection, topics: Sequence[str]) -> bool:
    """Whether any reader at all wishes anything of these topics."""
    row = TOPICS.c
    return (
        connection.execute(select(row.topic).where(row.topic.in_(topics), row.wish != 0).limit(1)).first() is not None
    )


def standing(now: "datetime | BindParameter[datetime]") -> ColumnElement[str]:
    """
    How a reader stands at `now` (or at what a statement is given as it), over subscriber, subscription and hold (by ON_HOLD),
    which may all be outer joined: to look for the hold in each row instead costs SQLite a fifth of a claim.

    One of wanted, suppressed, paused, pending, left, gone (no such reader or wish any more). Suppression wins.
    """
    paused = and_(WISHES.c.state == "paused", or_(WISHES.c.paused_until.is_(None), WISHES.c.paused_until > now))
    return case(
        (HOLD.c.email_hash.is_not(None), "suppressed"),
        (or_(WISHES.c.id.is_(None), PEOPLE.c.id.is_(None)), "gone"),
        (paused, "paused"),
        (or_(WISHES.c.state == "pending", WISHES.c.state == "left"), WISHES.c.state),
        else_=WANTED,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """How many an edition would reach, and how many of its audience it would not."""

    wanted: int = 0
    paused: int = 0
    suppressed: int = 0

    @property
    def candidates(self) -> int:
        return self.wanted + self.paused + self.suppressed


def reach(
    connection: Connection, digest_id: int, channel: str, *, now: datetime, rule: str = "", names: Names = NOTHING,
    on: Occasion | None = None,
) -> Reach:  # fmt: skip
    """
    Count the audience by standing, of a segment's rule or of everyone; `on` as in `audience`.

    Raises:
        SegmentError: the rule cannot be read.
    """
    within = compile_rule(rule, now=now, names=names) if rule else true()
    how = standing(now).label("standing")
    people = audience(digest_id, channel, on).add_columns(how).where(within).subquery()
    counts = connection.execute(select(people.c.standing, func.count()).group_by(people.c.standing)).all()
    return Reach(**dict(counts))
