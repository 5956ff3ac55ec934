"""What a person wishes: read from the tables, from a form, compared and saved. The rules are pure; two functions touch SQL."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from subscribers import consents
from subscribers.addresses import Address
from subscribers.models import CHANNELS, DAYS, FREQUENCIES, SubscriberRow
from subscribers.signup import subscribe
from subscribers.zones import zones

PEOPLE = SubscriberRow.metadata.tables["subscriber"]
WISHES = SubscriberRow.metadata.tables["subscription"]
TOPICS = SubscriberRow.metadata.tables["subscriber_topic"]

HOURS = tuple(f"{hour:02d}:{minute:02d}" for hour in range(24) for minute in (0, 30))
_HOUR = re.compile(r"([01]\d|2[0-3]):(00|30)")

FIELDS = frozenset({"channels", "frequency", "hour", "language", "zone", "topics", "tracking"})
"""Everything a person may wish for here. A page lists some of it, and nothing else can be set by its form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """
    One digest as a person wishes it. `channels` are on or off; one that is not there was never asked for.

    `hour` is local, on the hour or half past; empty: when the edition appears. `days` count for the frequency "days" alone.
    """

    channels: Mapping[str, bool] = field(default_factory=dict)
    frequency: str = "every"
    days: frozenset[str] = frozenset()
    hour: str = ""

    @property
    def lives(self) -> bool:
        return any(self.channels.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """
    What may be chosen of a digest, beside its channels: how often it comes (`rhythm`), that it comes once a week, and at
    which hour, where it comes to each reader at their own. `usual` is the hour of those who choose none; empty: no choice.
    """

    rhythm: bool = True
    weekly: bool = True
    usual: str = "07:00"

    @property
    def frequencies(self) -> tuple[str, ...]:
        return tuple(one for one in FREQUENCIES if self.rhythm and (one != "weekly" or self.weekly))


EVERYTHING = Offer()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """All that a person wishes. `topics` holds 1 for more and -1 for less; digests are by id. `tracked`: they agree to be."""

    language: str
    zone: str
    digests: Mapping[int, Wish] = field(default_factory=dict)
    topics: Mapping[str, int] = field(default_factory=dict)
    tracked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that was saved: of a digest where it is one's, with what it was and what it is."""

    what: str  # email, push, frequency, hour, language, zone, topics, tracked
    digest: int | None = None
    before: Any = None
    after: Any = None


Form = Mapping[str, Sequence[str]]
"""A form's fields as they came: each name with its values."""


def wishes_of(connection: Connection, subscriber: int) -> Wishes | None:
    """None when there is no such person any more."""
    known = select(PEOPLE.c.language, PEOPLE.c.zone, PEOPLE.c.tracked_since).where(PEOPLE.c.id == subscriber)
    person = connection.execute(known).first()
    if person is None:
        return None
    row = WISHES.c
    columns = (row.digest_id, row.channel, row.state, row.frequency, row.days, row.hour)
    digests: dict[int, Wish] = {}
    for one in connection.execute(select(*columns).where(row.subscriber_id == subscriber).order_by(row.id)):
        wish = digests.get(one.digest_id, Wish())
        living = one.state in {"active", "paused"}
        if living or not wish.lives:  # what is alive says how the digest is wished
            wish = replace(
                wish, frequency=one.frequency, days=frozenset(filter(None, one.days.split(","))), hour=one.hour
            )
        on = wish.channels.get(one.channel, False) or living
        digests[one.digest_id] = replace(wish, channels={**wish.channels, one.channel: on})
    liked = select(TOPICS.c.topic, TOPICS.c.wish).where(TOPICS.c.subscriber_id == subscriber)
    topics = {topic: wish for topic, wish in connection.execute(liked)}  # noqa: C416  rows, not pairs
    return Wishes(
        language=person.language, zone=person.zone, digests=digests, topics=topics,
        tracked=person.tracked_since is not None,
    )  # fmt: skip


# a form -------------------------------------------------------------------------------------------------------------


def read(
    form: Form,
    before: Wishes,
    *,
    fields: Collection[str],
    languages: Collection[str],
    topics: Collection[str],
    offers: Mapping[int, Offer],
    may_join: bool = False,
) -> tuple[Wishes, dict[str, str]]:
    """
    What the form makes of the wishes, and the fields that cannot be read, each with a word for why.

    Only `fields` are looked at, and of digests only those that the form lists by `digest`: what a page did not show
    cannot be changed by it, nor what its digest does not offer. `may_join` allows a channel to be switched on: mail, or a
    push device that is known; and to agree to be tracked. To take that back needs no leave.
    """
    faults: dict[str, str] = {}
    wishes = before
    if "language" in fields and "language" in form:
        wishes = replace(
            wishes, language=_one_of("language", _last(form, "language"), languages, wishes.language, faults)
        )
    if "zone" in fields and "zone" in form:
        wishes = replace(wishes, zone=_one_of("zone", _last(form, "zone"), zones(), wishes.zone, faults))
    listed = {int(one) for one in form.get("digest", ()) if one.isascii() and one.isdecimal() and len(one) < 10}  # noqa: PLR2004
    digests = {
        digest: _wish(form, digest, wish, fields, faults, offer=offers[digest], may_join=may_join)
        if digest in listed
        else wish
        for digest, wish in before.digests.items()
    }
    wishes = replace(wishes, digests=digests)
    if "tracking" in fields and "tracking" in form.get("shown", ()) and (may_join or before.tracked):
        wishes = replace(wishes, tracked=bool(form.get("tracked")))
    if "topics" in fields:
        wishes = replace(wishes, topics=_topics(form, before.topics, topics, faults))
    return wishes, faults


def _wish(
    form: Form, digest: int, wish: Wish, fields: Collection[str], faults: dict[str, str], *, offer: Offer, may_join: bool
) -> Wish:  # fmt: skip
    if "channels" in fields:
        for channel in CHANNELS:
            had = wish.channels.get(channel)
            if had or (may_join and (had is not None or channel == "email")):
                wish = replace(wish, channels={**wish.channels, channel: bool(form.get(f"{channel}.{digest}"))})
    name = f"frequency.{digest}"
    if "frequency" in fields and offer.rhythm and name in form:
        wish = replace(wish, frequency=_one_of(name, _last(form, name), offer.frequencies, wish.frequency, faults))
        days = frozenset(form.get(f"day.{digest}", ()))
        if wish.frequency == "days" and (not days or days - set(DAYS)):
            faults[f"day.{digest}"] = "unknown" if days else "missing"
        elif wish.frequency == "days":
            wish = replace(wish, days=days)
    name = f"hour.{digest}"
    if "hour" in fields and offer.usual and name in form:
        hour = _last(form, name)
        if hour and not _HOUR.fullmatch(hour):
            faults[name] = "unknown"
        else:
            wish = replace(wish, hour=hour)
    return wish


def _topics(form: Form, before: Mapping[str, int], known: Collection[str], faults: dict[str, str]) -> dict[str, int]:
    wishes = dict(before)
    for topic in known:
        name = f"topic.{topic}"
        if name not in form:
            continue
        said = _last(form, name)
        if said not in {"more", "less", ""}:
            faults[name] = "unknown"
        wishes.pop(topic, None)
        if said in {"more", "less"}:
            wishes[topic] = 1 if said == "more" else -1
    return wishes


def _last(form: Form, name: str) -> str:
    return form[name][-1] if form[name] else ""


def _one_of(name: str, said: str, allowed: Collection[str], before: str, faults: dict[str, str]) -> str:
    """What was said, if it is allowed; what was there before needs no leave, so that an old value can stay."""
    if said in allowed or said == before:
        return said
    faults[name] = "unknown"
    return before


# saving -------------------------------------------------------------------------------------------------------------


def changes(before: Wishes, after: Wishes) -> list[Change]:
    """What differs, in the order of the page."""
    found = [
        change for digest, wish in after.digests.items() for change in _changes_of(digest, before.digests[digest], wish)
    ]
    pairs = {what: (getattr(before, what), getattr(after, what)) for what in ("topics", "language", "zone", "tracked")}
    return found + [Change(what=what, before=was, after=now) for what, (was, now) in pairs.items() if was != now]


def _changes_of(digest: int, before: Wish, after: Wish) -> Iterator[Change]:
    pairs: dict[str, tuple[Any, Any]] = {
        channel: (bool(before.channels.get(channel)), on) for channel, on in after.channels.items()
    }
    pairs |= {"frequency": (_often(before), _often(after)), "hour": (before.hour, after.hour)}
    for what, (was, now) in pairs.items():
        if was != now:
            yield Change(what=what, digest=digest, before=was, after=now)


def _often(wish: Wish) -> tuple[str, tuple[str, ...]]:
    days = tuple(day for day in DAYS if day in wish.days) if wish.frequency == "days" else ()
    return wish.frequency, days


def save(
    connection: Connection, subscriber: int, before: Wishes, after: Wishes, *, consent: Mapping[str, Any],
    tracking: Mapping[str, Any] | None = None, now: datetime,
) -> list[Change]:  # fmt: skip
    """
    Write what differs; what was written. A channel switched off is left, with its date; on, it has that `consent`. To agree
    to be tracked takes a consent of its own, `tracking`, as consents.agree has it.
    """
    changed = changes(before, after)
    if changed:  # from now on what they chose is theirs: no import changes it
        person = PEOPLE.update().where(PEOPLE.c.id == subscriber)
        connection.execute(person.values(language=after.language, zone=after.zone, updated_at=now, chosen_at=now))
    for digest in dict.fromkeys(one.digest for one in changed if one.digest is not None):
        pair = before.digests[digest], after.digests[digest]
        _save_channels(connection, subscriber, digest, *pair, consent, now)
        _save_rhythm(connection, subscriber, digest, pair[1])
    if before.topics != after.topics:
        _save_topics(connection, subscriber, before.topics, after.topics)
    if after.tracked > before.tracked and tracking is not None:
        consents.agree(connection, subscriber, tracking, now=now)
    elif after.tracked < before.tracked:
        consents.withdraw(connection, subscriber, now=now)
    return changed


def _save_channels(
    connection: Connection, subscriber: int, digest: int, before: Wish, after: Wish, consent: Mapping[str, Any], now: datetime
) -> None:  # fmt: skip
    row = WISHES.c
    for channel, on in after.channels.items():
        was = before.channels.get(channel, False)
        mine = WISHES.update().where(row.subscriber_id == subscriber, row.digest_id == digest, row.channel == channel)
        if was and not on:
            connection.execute(mine.where(row.state != "left").values(state="left", left_at=now))
        elif on > was and channel == "email":
            subscribe(connection, subscriber, digest, consent)
        elif on > was:
            back = mine.where(row.state == "left")
            connection.execute(back.values(state="active", left_at=None, left_why="", **consent))


def _save_rhythm(connection: Connection, subscriber: int, digest: int, wish: Wish) -> None:
    """The same on every channel, and on those that were left, so that it is there when they come back."""
    mine = WISHES.update().where(WISHES.c.subscriber_id == subscriber, WISHES.c.digest_id == digest)
    days = ",".join(day for day in DAYS if day in wish.days)
    connection.execute(mine.values(frequency=wish.frequency, days=days, hour=wish.hour))


def _save_topics(connection: Connection, subscriber: int, before: Mapping[str, int], after: Mapping[str, int]) -> None:
    dropped = sorted(before.keys() - after.keys())
    if dropped:
        mine = (TOPICS.c.subscriber_id == subscriber, TOPICS.c.topic.in_(dropped))
        connection.execute(TOPICS.delete().where(*mine))
    rows = [
        {"subscriber_id": subscriber, "topic": topic, "wish": wish}
        for topic, wish in after.items() if before.get(topic) != wish
    ]  # fmt: skip
    if rows:
        insert = (postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert)(TOPICS)
        keys = [TOPICS.c.subscriber_id, TOPICS.c.topic]
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={"wish": insert.excluded.wish}), rows)


def move(connection: Connection, subscriber: int, address: Address, email_hash: bytes, *, now: datetime) -> bool:
    """Give a person their new address, by which they have confirmed it. False when it is another person's already."""
    row = PEOPLE.c
    taken = select(row.id).where(row.email_key == address.key, row.id != subscriber)
    if connection.execute(taken).first() is not None:
        return False
    values = {"email": address.mailbox, "email_key": address.key, "email_hash": email_hash, "updated_at": now}
    values |= {"chosen_at": now}
    connection.execute(PEOPLE.update().where(row.id == subscriber).values(values))
    return True
