"""Editors are told: the draft is ready, the deadline is near, it was held or skipped. Each once, whatever is restarted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from shlex import quote
from typing import Any, cast
from zoneinfo import ZoneInfo

from sqlmodel import Session, select

from digest import contents, desk, editions, letters
from digest.database import reading, writing
from digest.languages import Words, message, words
from digest.letters import Letter
from digest.models import AuditRow, DigestRow, EditionRow
from digest.press import Press
from digest.unserved import unserved
from digest.values import EditionState, Fallback, ServiceKind

WAITING = (EditionState.DRAFT, EditionState.REVIEW)
SUBJECTS: Mapping[str, str] = {
    ServiceKind.READY: message("The draft of %(digest)s for %(date)s is ready"),
    ServiceKind.REMINDER: message("Nobody has approved %(digest)s for %(date)s yet"),
    EditionState.HELD: message("%(digest)s for %(date)s is held"),
    EditionState.SKIPPED: message("%(digest)s for %(date)s is skipped"),
}
IF_NOBODY_ACTS: Mapping[str, str] = {
    Fallback.SEND: message("If nobody acts by then, it is sent as it stands."),
    Fallback.CHECKS: message("If nobody acts by then, it is sent if its checks pass, and held otherwise."),
    Fallback.HOLD: message("If nobody acts by then, it is held, and nobody gets it."),
}
AFTERWARDS: Mapping[str, str] = {
    EditionState.HELD: message("Nobody gets it until somebody approves it."),
    EditionState.SKIPPED: message("Nobody gets it. The next edition is made as always."),
}
DEADLINE = message("The deadline is at %(time)s (%(zone)s).")
DUE = message("Its first readers are due at %(time)s (%(zone)s).")
NO_STORIES = message("It has no stories.")
UNSERVED = message(
    "Readers who chose to get %(digest)s once a week, and get nothing while no weekly edition appears: %(readers)d."
)
HOW = message("To read it, approve it, or leave it out:")
HOW_BACK = message("To read it, or to take it up again:")
WHY = message("You get this because you are named as an editor of %(digest)s.")


def tell_ready(press: Press, edition: EditionRow, now: datetime) -> int:
    """Tell the digest's editors that its draft waits for them; how many were written to now, 0 once they had been."""
    return _tell(press, edition, ServiceKind.READY, now) if _now(press, edition).state in WAITING else 0


def tell_reminder(press: Press, edition: EditionRow, now: datetime) -> int:
    """Tell them again, if nobody has acted and the deadline is still to come."""
    row = _now(press, edition)
    return _tell(press, row, ServiceKind.REMINDER, now) if row.state in WAITING and now < row.deadline_at else 0


def tell_outcome(press: Press, edition: EditionRow, now: datetime) -> int:
    """Tell them that it was held or skipped, if it was, and why; once for each of the two."""
    row = _now(press, edition)
    return _tell(press, row, ServiceKind.OUTCOME, now) if row.state in AFTERWARDS else 0


def _now(press: Press, edition: EditionRow) -> EditionRow:
    with reading(press.engine) as session:
        return session.get_one(EditionRow, edition.id)


def _tell(press: Press, edition: EditionRow, kind: ServiceKind, now: datetime) -> int:
    with reading(press.engine) as session:
        digest = session.get_one(DigestRow, edition.digest_id)
        state = session.get_one(EditionRow, edition.id).state
        headlines = [slot["headline"] for slot in contents.content_of(session, edition)["slots"]]
        event = f"tell editors: {state if kind == ServiceKind.OUTCOME else kind}"
        if not digest.editors or _was_told(session, edition, event):
            return 0
        waiting = unserved(session, now).get(edition.digest_id, 0)
    spoken = words(digest.language, press.printer.folders)
    letter = _Writer(press, digest, edition, spoken, headlines, waiting).letter(kind)
    proof = letters.keep(press.services, kind, letter, edition.digest_id, spoken, now=now)
    with writing(press.engine) as session:
        row = desk.locked(session, edition)  # whoever else tells waits here, and then sees that it was done
        if _was_told(session, edition, event):
            return 0
        mailings = letters.open_letters(
            session, press.services, kind, proof, edition.digest_id, digest.editors, keys=press.keys, now=now
        )
        desk.note(session, who=editions.PRESS, did=event, edition=row, now=now, editors=len(mailings))
    return len(mailings)


def _was_told(session: Session, edition: EditionRow, event: str) -> bool:
    query = select(AuditRow.id).where(AuditRow.subject == "edition", AuditRow.subject_id == cast("int", edition.id))
    return session.exec(query.where(AuditRow.did == event)).first() is not None


@dataclass(frozen=True)
class _Writer:
    """What the letters about one edition say, in the digest's language and its zone."""

    press: Press
    digest: DigestRow
    edition: EditionRow
    spoken: Words
    headlines: list[str]
    unserved: int  # readers

    def letter(self, kind: ServiceKind) -> Letter:
        over = kind == ServiceKind.OUTCOME
        title = self._said(SUBJECTS[self.edition.state if over else kind])
        return Letter(
            subject=title, title=title, said=self._outcome() if over else self._waiting(), listed=self.headlines,
            how=self._said(HOW_BACK if self.edition.state == EditionState.SKIPPED else HOW), commands=self._commands(),
            why=self._said(WHY),
        )  # fmt: skip

    def _waiting(self) -> list[str]:
        said = [self._at(DEADLINE, self.edition.deadline_at), self._said(IF_NOBODY_ACTS[self.edition.fallback])]
        if self.edition.due_at is not None:
            said.append(self._at(DUE, self.edition.due_at))
        if self.unserved:
            said.append(self._said(UNSERVED, readers=self.unserved))
        return said if self.headlines else [*said, self._said(NO_STORIES)]

    def _outcome(self) -> list[str]:
        """The press's own reasons are in the catalogues; what a person wrote stays as it is."""
        reason = [self.spoken.gettext(self.edition.reason)] if self.edition.reason else []
        return [*reason, self._said(AFTERWARDS[self.edition.state])]

    def _commands(self) -> list[str]:
        here, which = f"digest --home {quote(str(self.press.settings.home))}", self.edition.id
        read = f"{here} preview {self.digest.slug} {which} --out draft.html"
        if self.edition.state == EditionState.SKIPPED:
            return [read, f"{here} editions move reopen {which}"]
        return [read, f"{here} approve {self.digest.slug} {which}", f"{here} editions move skip {which}"]

    def _said(self, text: str, **more: Any) -> str:
        about = {"digest": self.digest.name, "date": self.spoken.date(self.edition.local_date)}
        return self.spoken.gettext(text) % {**about, **more}

    def _at(self, text: str, moment: datetime) -> str:
        return self._said(text, time=f"{moment.astimezone(ZoneInfo(self.digest.zone)):%H:%M}", zone=self.digest.zone)
