"""The straight line: gather, assemble, approve, deliver. Read this first."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from digest import (
    cadences,
    checks,
    contents,
    deliveries,
    desk,
    digests,
    editions,
    picking,
    proofs,
    records,
    segments,
    stories,
    waves,
)
from digest.database import reading, writing
from digest.errors import NotReadyError, TransitionError
from digest.handover import keep_page, opened_transports, outbox_only
from digest.languages import message
from digest.links import Links
from digest.models import DigestRow, EditionRow, MailingRow, ProofRow
from digest.paths import template_folders
from digest.services import Services
from digest.settings import Settings
from digest.values import Candidate, EditionKind, EditionState, Fallback, MailingState, Pick, Rules
from subscribers.tokens import Keys

if TYPE_CHECKING:
    from digest.render import Printer

log = logging.getLogger(__name__)
LATEST = timedelta(hours=24)
"""After its deadline, or its hour where that is later, plus this, what has not left of an edition is no news and expires."""


@dataclass
class Press:
    """All that the line needs, built once by digest.app. What is costly to make is made when first asked for."""

    settings: Settings
    engine: Engine
    keys: Keys

    @cached_property
    def printer(self) -> "Printer":
        from digest.render import Printer  # jinja2 and premailer, only where something is printed

        return Printer(template_folders(self.settings.templates))

    @cached_property
    def stamps(self) -> Path:
        """The file outside the database that knows the newest marker."""
        return self.settings.home / "newest-marker"

    @cached_property
    def links(self) -> Links:
        return Links(self.settings.base_url, tracked=self.settings.tracking != "off")

    @cached_property
    def services(self) -> Services:
        """What opens service messages."""
        settings = self.settings
        return Services(
            self.engine, lambda: self.printer, self.links, settings.email_transport, days=settings.signup_days
        )  # fmt: skip


def today(press: Press, slug: str, now: datetime) -> date:
    """The digest's local date at `now`."""
    with reading(press.engine) as session:
        return now.astimezone(ZoneInfo(digests.digest_named(session, slug).zone)).date()


def assemble(
    press: Press,
    slug: str,
    *,
    day: date,
    now: datetime,
    again: bool = False,
    kind: EditionKind = EditionKind.DAILY,
    name: str = "",
    notes: Sequence[str] = (),
) -> EditionRow:
    """
    The edition of that day: picked and saved as a draft, or as it already stands. A weekly one is the week's best; one
    with a `name` is breaking, beside the day's own.

    There is one edition per digest, kind, local date and name, whoever asks and how often. `again` picks anew into
    a draft; what an editor placed or worded stays. `notes` are sentences for the editors beside the pick's own.

    Raises:
        TransitionError: `again` was asked of an edition that is past editing.
        NotReadyError: somebody left the day out, or took the cadence away, while it was being picked; nothing was put in place.
    """
    kind = EditionKind.BREAKING if name else kind
    with reading(press.engine) as session:
        digest = digests.digest_named(session, slug)
        edition = records.edition_on(session, digest, day, kind, name)
        wanted = not name and cadences.appears(session, digest, kind, day)
    if edition is not None and not again:
        return edition
    if edition is not None:
        desk.demand_editable(edition)
    pick = _pick(press, digest, edition, kind, day, now)
    pick = replace(pick, notes=(*notes, *pick.notes))
    try:
        with writing(press.engine) as session:
            edition = records.edition_on(session, digest, day, kind, name)
            if edition is None and wanted and not cadences.appears(session, digest, kind, day, lock=True):
                raise NotReadyError(
                    f"The edition of {day} was left out while it was being picked, and is not made. Whoever wants it all the same "
                    f"says digest assemble {slug} --date {day}"
                )
            edition = edition or cadences.start(session, digest, day, kind, name=name, now=now)
            return _save_pick(session, edition, pick, now)
    except IntegrityError:  # another process made this day's edition while we picked: theirs is the one
        with reading(press.engine) as session:
            return cast("EditionRow", records.edition_on(session, digest, day, kind, name))


def _pick(
    press: Press, digest: DigestRow, edition: EditionRow | None, kind: EditionKind, day: date, now: datetime
) -> Pick:
    found, rules = choices(press, digest, edition, kind, day, now)
    return picking.pick(found, rules, now=now)


def choices(
    press: Press, digest: DigestRow, edition: EditionRow | None, kind: EditionKind, day: date, now: datetime
) -> tuple[Sequence[Candidate], Rules]:
    """What that day's edition may carry, and the rules by which it is weighed."""
    with reading(press.engine) as session:
        rules = cadences.rules_on(session, digest, digests.rules_of(digest, press.settings.weights), kind, day)
    found = stories.candidates(
        press.engine, digest, rules, now=now, threshold=press.settings.cluster_threshold, kind=kind,
        exclude_edition=edition.id if edition else None,
    )  # fmt: skip
    return (_week_best(press, digest, found, rules, now) if kind == EditionKind.WEEKLY else found), rules


def _week_best(
    press: Press, digest: DigestRow, found: Sequence[Candidate], rules: Rules, now: datetime
) -> Sequence[Candidate]:
    """Of the candidates those that the week's editions carried, where they are enough; an editor chose them before."""
    with reading(press.engine) as session:
        told = records.stories_told(session, digest, since=now - timedelta(days=7))
    carried = [one for one in found if one.id in told]
    return carried if len(carried) >= rules.size else found


def _save_pick(session: Session, edition: EditionRow, pick: Pick, now: datetime) -> EditionRow:
    if edition.version:
        desk.demand_editable(edition)
    records.lay_out(session, edition, pick, by=editions.PRESS, now=now)
    desk.note(session, who=editions.PRESS, did="assemble", edition=edition, now=now, picked=len(pick.picked))
    if pick.skip:
        desk.change(session, edition, "skip", who=editions.PRESS, now=now, reason=pick.skip)
    return edition


def approve(press: Press, edition: EditionRow, *, who: str, now: datetime) -> EditionRow:
    """
    Print every proof, check it, and bind the approval to what it says.

    Raises:
        NotReadyError: the digest lacks its sender or address, the edition is empty, or a proof is too large.
        TransitionError: the edition cannot be approved from where it is.
    """
    editions.move(edition.state, "approve", who=who)
    with reading(press.engine) as session:
        digest = session.get_one(DigestRow, edition.digest_id)
        digests.demand_ready(digest, outbox_only=outbox_only(press.settings))
    proofs.demand_sound(print_proofs(press, edition, now=now))
    with writing(press.engine) as session:
        row = desk.locked(session, edition)
        if (row.state, row.version, row.content_hash) != (edition.state, edition.version, edition.content_hash):
            raise TransitionError("Someone changed the edition just now; read it again, then approve.")
        return desk.change(session, row, "approve", who=who, now=now)


def apply_deadline(press: Press, edition: EditionRow, *, now: datetime) -> EditionRow:
    """
    What the deadline calls for, if it has passed and no editor has acted: approve the pick, or hold it.

    The edition is read anew: what an editor did a moment ago is never overruled. A pick that nobody sent in time is
    held whatever the fallback says: the default never sends stale news.
    """
    with reading(press.engine) as session:
        edition = session.get_one(EditionRow, edition.id)
    verb = editions.at_deadline(edition.state, edition.fallback, deadline=edition.deadline_at, now=now)
    if (
        verb == "approve"
        and edition.fallback == Fallback.CHECKS
        and (faults := checks.faults(press.engine, edition, now))
    ):
        return _hold(press, edition, f"The deadline passed, and its checks do not: {' '.join(faults)}", now)
    if verb == "approve" and now <= _news_until(edition):
        try:
            return approve(press, edition, who=editions.FALLBACK, now=now)
        except NotReadyError as error:
            return _hold(press, edition, str(error), now)
    if verb == "approve":
        return _hold(press, edition, message("The deadline passed too long ago for the pick to be news."), now)
    if verb == "hold":
        return _hold(press, edition, message("The deadline passed and nobody had approved it."), now)
    return edition


def _hold(press: Press, edition: EditionRow, reason: str, now: datetime) -> EditionRow:
    with writing(press.engine) as session:
        row = desk.locked(session, edition)
        if row.state != edition.state:  # an editor was first
            return row
        return desk.change(session, row, "hold", who=editions.FALLBACK, now=now, reason=reason)


def deliver(
    press: Press,
    edition: EditionRow,
    *,
    now: Callable[[], datetime],
    told: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> deliveries.Balance:
    """
    Hand an approved edition to each of its readers, or go on where an earlier run stopped. Returns the books.

    Raises:
        TransitionError: the edition is not approved, or is paused, held or cancelled.
        NotReadyError: the database is an older copy of itself, and nobody has said yet what is to be done.
        AccountError, ContentError: the provider refuses us or the message; the edition is paused.
        StorageError, TransportError: nothing can go on now; run it again, nothing is sent twice.
    """
    mailing = release(press, edition, now=now())
    if edition.state == EditionState.SENT:
        return deliveries.balance_of(press.engine, mailing)
    log.info("sending begins, or goes on", extra={"edition": edition.id, "mailing": mailing})
    with opened_transports(press.engine, press.settings) as transports:
        try:
            return deliveries.deliver(
                press.engine, transports(mailing), mailing=mailing, keys=press.keys, lease=press.settings.lease, clock=now, told=told,
                stop=stop, others=transports, stamps=press.stamps,
            )  # fmt: skip
        finally:
            follow_mailings(press, now())


def release(press: Press, edition: EditionRow, *, now: datetime) -> int:
    """
    Open an approved edition's mailing, so that its deliveries leave when each is due; its id, also where it was open.

    Raises:
        TransitionError, NotReadyError: as `deliver`.
    """
    demand_not_restored(press, now)
    if edition.state not in {EditionState.APPROVED, EditionState.SENDING, EditionState.SENT}:
        editions.move(edition.state, "send", who=editions.PRESS)
    mailing = mailing_of(press, edition)
    if mailing is not None and edition.state == EditionState.SENT:
        return mailing
    _begin(press, edition, now)
    mailing = mailing or _open(press, edition, now)
    keep_page(press.engine, press.settings, edition)
    return mailing


def follow_mailings(press: Press, now: datetime) -> None:
    """
    Move each edition to where its mailing has come: sent when all is done, paused when the provider refused.

    Also those that another process handed to this one, or that a kill left between the two.
    """
    over = col(MailingRow.state).in_((MailingState.DONE, MailingState.PAUSED))
    with writing(press.engine) as session:
        query = select(EditionRow, MailingRow).where(
            MailingRow.edition_id == EditionRow.id, EditionRow.state == EditionState.SENDING, over
        )
        for edition, mailing in session.exec(query).all():
            verb = "finish" if mailing.state == MailingState.DONE else "pause"
            desk.change(
                session, desk.locked(session, edition), verb, who=editions.PRESS, now=now, reason=mailing.reason
            )


def demand_not_restored(press: Press, now: datetime) -> None:
    """
    Raises:
        NotReadyError: the database is an older copy of itself; says what to look at and how to go on.
    """
    if (at := deliveries.restored_at(press.engine, press.stamps, now=now)) is not None:
        raise NotReadyError(
            f"The database was restored from an older copy (noticed {at:%Y-%m-%d %H:%M} UTC): editions sent after that "
            "copy was made are unknown to it, and would be sent again. Nothing leaves until a person decides: see digest "
            "unconfirmed list, skip or hold what went out already, then say digest unconfirmed restored."
        )


def _begin(press: Press, edition: EditionRow, now: datetime) -> None:
    """
    From approved to sending, before the mailing is opened: from here on nobody can reopen or reword it.

    Raises:
        TransitionError: an editor held or reopened it meanwhile.
        NotReadyError: its day is over.
    """
    with writing(press.engine) as session:
        row = desk.locked(session, edition)
        if row.state == EditionState.SENDING:
            return
        if now > _news_until(row):
            raise NotReadyError(
                f"The edition of {row.local_date} is more than {LATEST / timedelta(hours=1):.0f} hours past its deadline: "
                "it is not news any more. Skip it: digest editions move skip"
            )
        desk.change(session, row, "send", who=editions.PRESS, now=now)


def _news_until(edition: EditionRow) -> datetime:
    return max(edition.deadline_at, edition.due_at or edition.deadline_at) + LATEST


def print_proofs(press: Press, edition: EditionRow, *, now: datetime) -> list[ProofRow]:
    """
    The edition's proofs, each printed once and kept.

    Raises:
        NotReadyError: the edition has no stories, so there is nothing to print.
    """
    with reading(press.engine) as session:
        if not contents.content_of(session, edition)["slots"]:
            raise NotReadyError(f"The edition of {edition.local_date} has no stories; assemble it again or skip it.")
    return proofs.printed(press.engine, lambda: press.printer, press.links, edition, press.settings, now=now)


def _open(press: Press, edition: EditionRow, now: datetime) -> int:
    """Open the edition's mailing: every reader of this moment gets a row in their wave, all in one transaction."""
    print_proofs(press, edition, now=now)  # a reader who came after the approval may need one more variant
    with reading(press.engine) as session:
        digest = session.get_one(DigestRow, edition.digest_id)
        shares = proofs.shares(session, digest, edition, press.settings, now=now)
        names = segments.names(session, press.settings)
        rhythm = waves.rhythm_of(session, digest, edition)
    return deliveries.open_mailing(
        press.engine, edition_id=cast("int", edition.id), version=edition.version, digest_id=edition.digest_id,
        shares=shares, now=now, expires_at=_news_until(edition), batch_size=press.settings.batch_size, names=names,
        rhythm=rhythm,
        tracking=press.settings.tracking,
    )  # fmt: skip


def mailing_of(press: Press, edition: EditionRow) -> int | None:
    with reading(press.engine) as session:
        return session.exec(select(MailingRow.id).where(MailingRow.edition_id == edition.id)).first()


def move_edition(
    press: Press, edition: EditionRow, verb: str, *, who: str, now: datetime, reason: str = ""
) -> EditionRow:
    """
    Move an edition, and its mailing with it: a run that is paused or cancelled stops within one batch.

    Raises:
        TransitionError: it cannot move that way now.
    """
    if verb == "resume":
        follow_mailings(press, now)
    with reading(press.engine) as session:
        editions.move(session.get_one(EditionRow, edition.id).state, verb, who=who)
    mailing = mailing_of(press, edition)
    if mailing is not None and verb in {"pause", "resume", "cancel"}:
        getattr(deliveries, verb)(press.engine, mailing, now=now)  # first: a kill here leaves it stopped
    with writing(press.engine) as session:
        return desk.change(session, desk.locked(session, edition), verb, who=who, now=now, reason=reason)
