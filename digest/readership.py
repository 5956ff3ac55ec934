"""Whom an edition goes to: how many readers each variant has, how their deliveries stand, when the next are due."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from digest import deliveries, proofs
from digest.database import reading
from digest.models import DigestRow, EditionRow
from digest.press import Press, mailing_of


@dataclass(frozen=True, slots=True)
class Readership:
    """How many readers a variant has: of its deliveries once there are any, of those who would get it until then."""

    channel: str
    segment: str
    language: str
    profile: str
    readers: int


def readerships(press: Press, edition: EditionRow, *, now: datetime) -> list[Readership]:
    """
    The edition's variants, the plain one of each before its other orders.

    Raises:
        NotReadyError, NotFoundError: a segment's rule cannot be read, or there is no such segment.
    """
    mailing = mailing_of(press, edition)
    found: Counter[tuple[str, str, str, str]] = Counter()
    if mailing is not None:
        for one in deliveries.progress(press.engine, mailing):
            found[one.channel, one.segment, one.language, one.profile] += one.number
    else:
        with reading(press.engine) as session:
            digest = session.get_one(DigestRow, edition.digest_id)
            for need in proofs.wanted(session, digest, press.settings, now=now, edition=edition):
                variant = need.variant
                found[need.channel, variant.segment, variant.language, variant.profile] += need.readers
    return [Readership(*variant, readers) for variant, readers in sorted(found.items())]


def counts(press: Press, edition: EditionRow) -> dict[str, Any]:
    """How the edition's deliveries stand: in all, and by segment, channel and state."""
    mailing = mailing_of(press, edition)
    tallies = deliveries.progress(press.engine, mailing) if mailing is not None else []
    shares: Counter[tuple[str, str, str]] = Counter()
    for tally in tallies:
        shares[tally.segment, tally.channel, tally.state] += tally.number
    rows = [
        {"segment": segment, "channel": channel, "state": state, "count": number}
        for (segment, channel, state), number in shares.items()
    ]
    return {"deliveries": shares.total(), "shares": rows}


def next_wave(press: Press, edition: EditionRow, now: datetime) -> datetime | None:
    """When the edition's next readers are due; None when there are no more waves to come."""
    mailing = mailing_of(press, edition)
    with reading(press.engine) as session:
        found = deliveries.waves_of(session, mailing) if mailing is not None else []
    return next(
        (wave.instant for wave in found if wave.instant and wave.instant > now and wave.done < wave.deliveries), None
    )
