"""
What can be wrong, as data: each cause with its check, a read of the database or the disk that costs a few milliseconds.

A check yields what is wrong now and remembers nothing; what is told of it, and how often, is for digest.alarms. The same
causes are told apart in docs/operations.md, with what to do about each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import cast

from sqlalchemy import and_, or_
from sqlmodel import Session, col, select

from digest import deliveries, editions
from digest.disks import MEGABYTE, disks
from digest.leading import seconds_away
from digest.models import AuditRow, CadenceRow, DigestRow, EditionRow, SenderRow, SourceRow, StationRow
from digest.settings import Settings
from digest.values import EditionKind, EditionState, MailingState, Station, StationState
from subscribers.signup import Limits, braked

A_DAY, DAYS = timedelta(days=1), timedelta(days=3)
GRACE = timedelta(seconds=20)  # in which who is on duty takes up what is due
AT_WORK = timedelta(minutes=15)  # the longest that picking and approving take
AWAY = 60.0  # seconds without a sign of who runs the day
NAMED = 3  # sources named in one sentence
UNDECIDED = (EditionState.DRAFT, EditionState.REVIEW, EditionState.HELD)
PAST = (EditionState.SENDING, EditionState.PAUSED, EditionState.SENT, EditionState.SKIPPED, EditionState.CANCELLED)
KEPT = {Station.ASSEMBLE: "the draft", Station.APPROVE: "its deadline", Station.SEND: "the edition"}


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a check looks at. `doubt`: why the clock by which `now` is told is not believed at the moment."""

    session: Session
    settings: Settings
    now: datetime
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """That something is wrong with `subject`, in words; `digest_id` where it is one digest's."""

    subject: str
    words: str
    digest_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """
    One way to be wrong. `mend`: what a person does. It must last `after` before it is told.

    `ends`: that it is over is worth a word; an edition that was missed stays missed.
    """

    name: str
    title: str
    mend: str
    check: Callable[[View], Iterator[Trouble]]
    after: timedelta = timedelta(0)
    ends: bool = True


# the day --------------------------------------------------------------------------------------------------------------


def late(view: View) -> Iterator[Trouble]:
    """Stations that nobody took up, and approved editions that nobody sends. What waits for its editors is `held`."""
    row, now = StationRow, view.now
    waits = and_(col(row.state) == StationState.WAITING, col(row.due_at) < now - GRACE)
    at_work = and_(
        col(row.state) == StationState.RUNNING, col(row.due_at) < now - AT_WORK, col(row.station) != Station.SEND
    )
    same = and_(
        col(EditionRow.digest_id) == row.digest_id, col(EditionRow.kind) == row.kind,
        col(EditionRow.local_date) == row.local_date, col(EditionRow.name) == "",
    )  # fmt: skip
    query = (
        select(row, DigestRow.slug, EditionRow.state)
        .join(DigestRow, col(DigestRow.id) == row.digest_id)
        .outerjoin(EditionRow, same)
        .where(or_(waits, at_work), col(row.state).in_(("waiting", "running")))
        .where(col(row.due_at) > now - DAYS, col(row.station).in_(KEPT))
        .order_by(col(row.due_at))
    )
    told = set()
    for station, slug, state in view.session.exec(query):
        subject = _subject(slug, station.kind, station.local_date)
        if subject in told or state in PAST or (station.station == Station.SEND and state in UNDECIDED):
            continue
        told.add(subject)  # the first that is late holds up the others
        what, how = KEPT[Station(station.station)], "nobody has" if station.state == "waiting" else "it is not done"
        yield Trouble(
            subject=subject, words=f"{what} was due at {_time(station.due_at)}, and {how}", digest_id=station.digest_id
        )
    for edition, slug in recent(view, EditionState.APPROVED):
        subject = _subject(slug, edition.kind, edition.local_date, edition.name)
        if edition.due_at is not None and edition.due_at < now - GRACE and subject not in told:
            words = f"it is approved and was due at {_time(edition.due_at)}, and nobody sends it"
            yield Trouble(subject=subject, words=words, digest_id=edition.digest_id)


def missed(view: View) -> Iterator[Trouble]:
    """Editions that the press itself skipped, and stations whose time came too late for any edition."""
    for edition, slug in recent(view, EditionState.SKIPPED):
        query = select(AuditRow).where(
            AuditRow.subject == "edition", AuditRow.subject_id == cast("int", edition.id), AuditRow.did == "skip"
        )
        last = view.session.exec(query.order_by(col(AuditRow.id).desc())).first()
        if last is not None and last.who in {editions.PRESS, editions.FALLBACK} and last.at > view.now - A_DAY:
            words = f"the edition was skipped: {edition.reason or 'no reason given'}"
            subject = _subject(slug, edition.kind, edition.local_date, edition.name)
            yield Trouble(subject=subject, words=words, digest_id=edition.digest_id)
    row = StationRow
    none = ~(
        select(EditionRow.id)
        .where(EditionRow.digest_id == row.digest_id, EditionRow.kind == row.kind, EditionRow.local_date == row.local_date)
        .exists()
    )  # fmt: skip
    passed = (
        select(row, DigestRow.slug)
        .where(row.digest_id == DigestRow.id, row.state == StationState.PASSED, row.station == Station.ASSEMBLE, none)
        .where(col(row.due_at) > view.now - A_DAY)
    )
    for station, slug in view.session.exec(passed):
        if station.ended_at and station.ended_at > station.due_at + GRACE:  # not a day that a person left out before
            words = f"there is no edition: {station.words or 'its time came too late'}"
            subject = _subject(slug, station.kind, station.local_date)
            yield Trouble(subject=subject, words=words, digest_id=station.digest_id)


def held(view: View) -> Iterator[Trouble]:
    for edition, slug in recent(view, *UNDECIDED):
        if view.now - A_DAY < edition.deadline_at < view.now - GRACE:
            what = edition.reason if edition.state == EditionState.HELD else "nobody approved it, nor held it"
            yield Trouble(
                subject=_subject(slug, edition.kind, edition.local_date, edition.name), digest_id=edition.digest_id,
                words=f"the deadline was {_time(edition.deadline_at)}: {what or 'it is held'}",
            )  # fmt: skip


def clock(view: View) -> Iterator[Trouble]:
    """Cadences need somebody who runs them; without any, editions are made by hand."""
    if view.session.exec(select(CadenceRow.id).where(col(CadenceRow.paused_at).is_(None))).first() is None:
        return
    away = seconds_away(view.session, view.now)
    if away is None or away > AWAY:
        when = f"since {_time(view.now - timedelta(seconds=away))}" if away is not None else "yet"
        yield Trouble(subject="the day", words=f"there are cadences, and nobody has run them {when}")


def wrong_clock(view: View) -> Iterator[Trouble]:
    if view.doubt:
        yield Trouble(subject="the clock", words=view.doubt)


def gather(view: View) -> Iterator[Trouble]:
    rows = view.session.exec(
        select(SourceRow).where(SourceRow.enabled, col(SourceRow.last_tried_at).is_not(None))
    ).all()
    failing = [row.name for row in rows if row.failures]
    if 2 * len(failing) > len(rows):
        more = f" and {len(failing) - NAMED} more" if len(failing) > NAMED else ""
        yield Trouble(
            subject="sources", words=f"{len(failing)} of {len(rows)} failed when last read: {', '.join(failing[:NAMED])}{more}"
        )  # fmt: skip


# what leaves ------------------------------------------------------------------------------------------------------------


def stalled(view: View) -> Iterator[Trouble]:
    patience = timedelta(minutes=view.settings.alarm_stalled)
    known = _under_way(view)
    for one in known.values():
        if one.glance.state == MailingState.SENDING and one.glance.due and view.now - one.stirred >= patience:
            words = f"{one.glance.left:,} or so are due, and nothing has left since {_time(one.stirred)}"
            yield Trouble(subject=one.subject, words=words, digest_id=one.digest_id)
    number, oldest = deliveries.services_waiting(view.session.connection(), now=view.now)
    if oldest is not None and view.now - oldest >= patience:
        words = f"{number:,} service messages wait, the oldest since {_time(oldest)}"
        yield Trouble(subject="service messages", words=words)


def paused(view: View) -> Iterator[Trouble]:
    for one in _under_way(view).values():
        if one.glance.state == MailingState.PAUSED:
            words = f"{one.glance.left:,} or so wait: {one.glance.reason or 'it was paused by a person'}"
            yield Trouble(subject=one.subject, words=words, digest_id=one.digest_id)


def bounces(view: View) -> Iterator[Trouble]:
    yield from _returned(view, "bounced", view.settings.alarm_bounces, "bounced")


def complaints(view: View) -> Iterator[Trouble]:
    yield from _returned(view, "complained", view.settings.alarm_complaints, "were reported as spam")


def _returned(view: View, kind: str, line: float, words: str) -> Iterator[Trouble]:
    connection = view.session.connection()
    for one in _under_way(view, over=True).values():
        if one.glance.handed < view.settings.alarm_minimum:
            continue
        share = 100 * deliveries.returned(connection, one.glance.mailing, kind) / one.glance.handed
        if share >= line:
            said = f"{share:.1f} % of {one.glance.handed:,} {words}; the line is {line:g} %"
            yield Trouble(subject=one.subject, words=said, digest_id=one.digest_id)


def unconfirmed(view: View) -> Iterator[Trouble]:
    for edition, number in deliveries.in_doubt(view.session.connection()).items():
        row = view.session.get(EditionRow, edition) if edition is not None else None
        slug = view.session.get_one(DigestRow, row.digest_id).slug if row is not None else ""
        subject = _subject(slug, row.kind, row.local_date, row.name) if row is not None else "service messages"
        words = f"of {number:,} nobody can know whether they arrived"
        yield Trouble(subject=subject, words=words, digest_id=row.digest_id if row is not None else None)


def restored(view: View) -> Iterator[Trouble]:
    at = view.session.exec(select(SenderRow.restored_at)).first()
    if at is not None:
        yield Trouble(
            subject="the database", words=f"it is an older copy of itself, noticed at {_time(at)}: nothing leaves"
        )


def brake(view: View) -> Iterator[Trouble]:
    limits = Limits(block=view.settings.signup_block, brake=view.settings.signup_brake)
    if braked(view.session.connection(), limits, now=view.now):
        words = f"{limits.brake:,} were asked to confirm within an hour, and nobody new is written to"
        yield Trouble(subject="sign-ups", words=words)


def room(view: View) -> Iterator[Trouble]:
    for disk in disks(view.settings):
        if disk.closed or disk.free < view.settings.alarm_disk * MEGABYTE:
            what = f"{disk.closed[0]} cannot be written to" if disk.closed else f"only {disk.words}"
            yield Trouble(subject=" and ".join(disk.held), words=what)


TIME = Cause(
    name="time", title="The clock may be wrong", check=wrong_clock,
    mend="See that the machine's clock is right, and set it if it is not: date -u, digest doctor. Otherwise wait.",
)  # fmt: skip
"""The only one that is looked at while the clock is doubted: whatever else is late or over is so by the clock."""

CAUSES: Sequence[Cause] = (
    Cause(name="late", title="No edition by its time", check=late,
          mend="See that digest serve or digest watch runs, and what it logs; or do by hand what is due."),
    Cause(name="missed", title="An edition was missed", check=missed, ends=False,
          mend="If it is still news: digest editions move reopen, digest approve, digest deliver."),
    Cause(name="held", title="The deadline passed without an approval", check=held,
          mend="Read it with digest preview, then digest approve; or digest editions move skip."),
    Cause(name="clock", title="Nobody runs the day", check=clock, after=timedelta(minutes=1),
          mend="Start digest serve or digest watch; see what its last run logged."),
    TIME,
    Cause(name="gather", title="Gathering fails", check=gather,
          mend="See digest source list; try one with digest source check NAME."),
    Cause(name="stalled", title="Sending has stalled", check=stalled, after=timedelta(minutes=1),
          mend="See digest doctor for the way out, and that a process is sending: digest status."),
    Cause(name="paused", title="Sending is paused", check=paused,
          mend="Mend what it names, then digest editions move resume and digest deliver."),
    Cause(name="bounces", title="Too many bounce", check=bounces,
          mend="Pause it with digest editions move pause; look where these addresses came from."),
    Cause(name="complaints", title="Too many complain", check=complaints,
          mend="Pause it with digest editions move pause; look at what was sent, and to whom."),
    Cause(name="unconfirmed", title="Unconfirmed deliveries wait", check=unconfirmed, after=timedelta(minutes=10),
          mend="Compare with the provider's log, then digest unconfirmed accept, resend or close."),
    Cause(name="restored", title="The database was restored", check=restored,
          mend="See digest unconfirmed list; skip what went out already; then digest unconfirmed restored."),
    Cause(name="brake", title="The sign-up brake gripped", check=brake,
          mend="If they are true readers, raise DIGEST_SIGNUP_BRAKE; otherwise wait: it lets go within the hour."),
    Cause(name="disk", title="A disk is full", check=room, after=timedelta(minutes=1),
          mend="Make room, or move the outbox with DIGEST_OUTBOX."),
)  # fmt: skip


# what several ask -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderWay:
    """An edition whose mailing is looked at."""

    subject: str
    digest_id: int
    glance: deliveries.Glance

    @property
    def stirred(self) -> datetime:
        return datetime.fromtimestamp(self.glance.stirred, UTC)


def _under_way(view: View, *, over: bool = False) -> dict[int, UnderWay]:
    """By edition: those that are sending or paused, and with `over` those that are sent."""
    states = (EditionState.SENDING, EditionState.PAUSED, *((EditionState.SENT,) if over else ()))
    rows = {cast("int", row.id): (row, slug) for row, slug in recent(view, *states)}
    found = deliveries.glances(view.session.connection(), rows, now=view.now) if rows else []
    known = {}
    for one in found:
        row, slug = rows[one.edition]
        subject = _subject(slug, row.kind, row.local_date, row.name)
        known[one.edition] = UnderWay(subject=subject, digest_id=row.digest_id, glance=one)
    return known


def recent(view: View, *states: EditionState) -> list[tuple[EditionRow, str]]:
    """The editions of the last days in those states, with their digests' names; found by the index of their occurrence."""
    slugs = {cast("int", row.id): row.slug for row in view.session.exec(select(DigestRow))}
    row = EditionRow
    query = select(row).where(
        col(row.digest_id).in_(slugs), col(row.kind).in_(tuple(EditionKind)), row.local_date >= (view.now - DAYS).date(),
        col(row.state).in_(states),
    )  # fmt: skip
    return [(one, slugs[one.digest_id]) for one in view.session.exec(query)]


def _subject(slug: str, kind: str, day: date, name: str = "") -> str:
    return " ".join(filter(None, (slug, str(day), "" if kind == EditionKind.DAILY else kind, name)))


def _time(at: datetime) -> str:
    return f"{at:%H:%M} UTC"
