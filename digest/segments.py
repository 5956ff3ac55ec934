"""Saved segments: what a rule may name in this house, who uses which, and the rules read for those who send and save."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, select

from digest.errors import DigestError, NotFoundError, NotReadyError
from digest.models import AuditRow, DigestRow, SegmentRow
from digest.settings import Settings
from subscribers.grammar import references
from subscribers.segments import Names, SegmentError, compile_rule

PERSONAL = "personal"
NAME = re.compile(r"[^\"',\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,80}")


class RuleError(DigestError):
    """A rule cannot be read; `fault` knows where, and the message says what was expected there."""

    exit_code = 2

    def __init__(self, fault: SegmentError, words: str = "") -> None:
        super().__init__(words or str(fault))
        self.fault = fault


class InUseError(DigestError):
    """A segment cannot go while something asks for it."""

    exit_code = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Uses:
    """The digests and the saved segments that ask for a segment."""

    digests: Sequence[str] = ()
    segments: Sequence[str] = ()

    @property
    def words(self) -> str:
        named = [f"the digest {slug}" for slug in self.digests] + [f'the segment "{name}"' for name in self.segments]
        return ", ".join(named)


def names(session: Session, settings: Settings) -> Names:
    """What rules may name here and now."""
    return Names(
        segments={name: rule for name, rule in session.exec(select(SegmentRow.name, SegmentRow.rule))},  # noqa: C416
        digests={slug: number or 0 for slug, number in session.exec(select(DigestRow.slug, DigestRow.id))},
        personal=settings.tracking == PERSONAL,
    )


def read_rule(rule: str, *, now: datetime, names: Names, name: str = "") -> ColumnElement[bool]:
    """
    The rule as a condition on subscribers, for whoever wrote it.

    Raises:
        RuleError: it cannot be read.
    """
    try:
        return compile_rule(rule, now=now, names=names, name=name)
    except SegmentError as error:
        raise RuleError(error) from None


def members(segment: str, rule: str, *, now: datetime, names: Names) -> ColumnElement[bool]:
    """
    The same for an edition that goes to a segment.

    Raises:
        NotReadyError: it cannot be read any more; the edition must not leave.
    """
    try:
        return compile_rule(rule, now=now, names=names)
    except SegmentError as error:
        raise NotReadyError(f"Segment {segment!r} cannot be read. {error}") from None


def named(session: Session, name: str) -> SegmentRow:
    """
    Raises:
        NotFoundError: there is none; lists those there are.
    """
    row = session.exec(select(SegmentRow).where(SegmentRow.name == name)).first()
    if row is None:
        known = ", ".join(f'"{each}"' for each in session.exec(select(SegmentRow.name).order_by(SegmentRow.name)))
        raise NotFoundError(f"There is no segment {name!r}. There are: {known or 'none yet; digest segments add'}.")
    return row


def uses_of(session: Session, name: str) -> Uses:
    digests = session.exec(select(DigestRow).order_by(DigestRow.slug))
    segments = session.exec(select(SegmentRow).order_by(SegmentRow.name))
    return Uses(
        digests=[row.slug for row in digests if name in row.segments],
        segments=[row.name for row in segments if name in references(row.rule)],
    )


def save(
    session: Session, name: str, rule: str, description: str, *, who: str, now: datetime, settings: Settings
) -> SegmentRow:
    """
    A new segment, or another rule for one that is there; an empty description leaves it as it was.

    Raises:
        NotFoundError: the name is none that a rule and a digest could say.
        RuleError: the rule cannot be read, or those that ask for the segment could not be read any more.
    """
    if not NAME.fullmatch(name) or name != name.strip():
        raise NotFoundError(f"{name!r} is no name for a segment: use 1 to 80 characters, no quotes and no commas.")
    before = names(session, settings)
    after = replace(before, segments={**before.segments, name: rule})
    read_rule(rule, now=now, names=after, name=name)
    _demand_others_read(name, before, after, now)
    row = session.exec(select(SegmentRow).where(SegmentRow.name == name)).first()
    row = row or SegmentRow(name=name, rule=rule, updated_at=now)
    row.rule, row.updated_at, row.description = rule, now, description or row.description
    session.add(row)
    session.flush()
    _note(session, "segment add", row, who=who, now=now)
    return row


def _demand_others_read(name: str, before: Names, after: Names, now: datetime) -> None:
    for other, rule in after.segments.items():
        if other == name:
            continue
        try:
            compile_rule(rule, now=now, names=after, name=other)
        except SegmentError as error:
            if _reads(rule, names=before, name=other, now=now):
                raise RuleError(error, f'With this rule, segment "{other}" could not be read. {error}') from None


def _reads(rule: str, *, names: Names, name: str, now: datetime) -> bool:
    try:
        compile_rule(rule, now=now, names=names, name=name)
    except SegmentError:
        return False
    return True


def remove(session: Session, name: str, *, who: str, now: datetime) -> None:
    """
    Raises:
        NotFoundError: there is none of that name.
        InUseError: a digest or another segment asks for it; names them.
    """
    row = named(session, name)
    if used := uses_of(session, name).words:
        raise InUseError(f'The segment "{name}" is in use by {used}. Change that first.')
    _note(session, "segment remove", row, who=who, now=now)
    session.delete(row)


def _note(session: Session, did: str, row: SegmentRow, *, who: str, now: datetime) -> None:
    detail = {"name": row.name, "rule": row.rule}
    session.add(AuditRow(at=now, who=who, did=did, subject="segment", subject_id=row.id or 0, detail=detail))


def saved(session: Session) -> Sequence[SegmentRow]:
    return session.exec(select(SegmentRow).order_by(col(SegmentRow.name))).all()
