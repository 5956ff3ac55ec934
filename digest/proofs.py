"""Proofs on record: which variants an edition needs, printed once each, kept with the edition, read back for sending."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import Engine, and_, func, literal, not_, select, true
from sqlmodel import Session, SQLModel, col
from sqlmodel import select as select_rows

from digest import contents, segments
from digest.database import reading, writing
from digest.deliveries import Share, insert_once
from digest.errors import NotFoundError, NotReadyError
from digest.languages import languages, primary
from digest.links import Links
from digest.models import DigestRow, EditionRow, EditionVersionRow, MailingRow, ProofRow, SegmentRow
from digest.occasions import occasion
from digest.parts import load_part
from digest.profiles import MOST, arranged, profile_of, topics_of
from digest.settings import Settings
from digest.splice import pack
from digest.values import Edition, Proof, Variant
from subscribers.audience import anyone_leans, audience, leaning

if TYPE_CHECKING:  # jinja2 and premailer load only where something is printed
    from collections.abc import Callable

    from digest.render import Printer

Need = tuple[str, Variant]
"""A channel and the variant that is read there."""

PEOPLE = SQLModel.metadata.tables["subscriber"]
LINKS = SQLModel.metadata.tables["link"]
EVERYONE, EMAIL = "", "email"
ORDERED = frozenset({EMAIL})
"""Channels that show more than the slots at the top: only there do readers' topics make a difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One variant on one channel that someone will read, and how many; `rule` is its segment's."""

    channel: str
    variant: Variant
    rule: str
    readers: int


def wanted(
    session: Session, digest: DigestRow, settings: Settings, *, now: datetime, edition: EditionRow | None = None
) -> list[Wanted]:
    """
    The variants an edition needs now: channel x segment x language of those who will read them.

    Of one `edition` only those count whose days it is, and the orders that their wishes make of its stories are variants,
    too (see `_ordered`); without it, all who asked for the digest.

    A digest without readers still gets one of each channel, so that an editor can see it.

    Raises:
        NotReadyError: the rule of one of its segments cannot be read.
    """
    found: list[Wanted] = []
    ordered, names = Counter[Order](), segments.names(session, settings)
    slots = slot_topics(session, edition) if edition else ()
    topics = topics_of(slots)
    moved = bool(topics) and anyone_leans(session.connection(), topics)
    on = occasion(session.connection(), edition.digest_id, edition.kind, edition.local_date) if edition else None
    for channel in digest.channels:
        rules = segment_rules(session, digest)
        before = not_(true())
        for segment, rule in rules.items():
            clause = segments.members(segment, rule, now=now, names=names) if rule else true()
            people = audience(cast("int", digest.id), channel, on).where(and_(clause, not_(before)))
            lean = leaning(topics).label("lean") if moved and channel in ORDERED else literal(0).label("lean")
            traits = people.with_only_columns(PEOPLE.c.language, lean).subquery()
            by_trait = select(*traits.c, func.count()).group_by(*traits.c)
            readers = Counter[str]()
            for code, leans, count in session.execute(by_trait):
                language = printed_language(code, digest.language)
                readers[language] += count
                if profile := profile_of(leans, slots):
                    ordered[channel, segment, language, profile] += count
            before = before | clause
            found += [
                Wanted(
                    channel=channel,
                    variant=Variant(segment=segment, language=code, look=digest.look),
                    rule=rule,
                    readers=count,
                )
                for code, count in sorted(readers.items())
            ]
        if not any(one.channel == channel for one in found):
            segment, rule = next(iter(rules.items()))
            variant = Variant(segment=segment, language=digest.language, look=digest.look)
            found.append(Wanted(channel=channel, variant=variant, rule=rule, readers=0))
    return _ordered(session, edition, found, ordered) if edition and ordered else found


Order = tuple[str, str, str, str]
"""A channel, a segment, a language, and a topic profile."""


def _ordered(session: Session, edition: EditionRow, plain: list[Wanted], ordered: Counter[Order]) -> list[Wanted]:
    """
    The plain variants, and after each the orders of its readers that get a proof of their own: 64 variants in all.

    Those printed already come first, then those with most readers; once the edition is approved no other is printed, for
    nobody would have seen it. The rest of the readers see the plain one.
    """
    printed = {(row.channel, row.segment, row.language, row.profile) for row in proofs_of(session, edition)}
    own = [order for order in ordered if order in printed]
    if edition.approved_at is None:
        own += [
            order for order, _ in sorted(ordered.items(), key=lambda one: (-one[1], one[0])) if order not in printed
        ]
    unread = sum(
        1 for order in printed if order[3] and order not in ordered
    )  # printed, and shown, but nobody's any more
    chosen = set(own[: max(0, MOST - len(plain) - unread)])
    found = []
    for one in plain:
        mine = {order[3]: count for order, count in ordered.items() if order in chosen and order[:3] == _place(one)}
        found.append(replace(one, readers=one.readers - sum(mine.values())))
        found += [
            replace(one, variant=replace(one.variant, profile=profile), readers=count)
            for profile, count in sorted(mine.items(), key=lambda item: (-item[1], item[0]))
        ]
    return found


def _place(one: Wanted) -> tuple[str, str, str]:
    return one.channel, one.variant.segment, one.variant.language


def slot_topics(session: Session, edition: EditionRow) -> tuple[str, ...]:
    """The topic of each of the edition's slots; empty for none."""
    return tuple(slot["topic"] for slot in contents.content_of(session, edition)["slots"])


def segment_rules(session: Session, digest: DigestRow) -> Mapping[str, str]:
    """
    The digest's segments in order, each with its rule; one without segments goes to everyone.

    Raises:
        NotFoundError: a segment the digest names does not exist.
    """
    if not digest.segments:
        return {EVERYONE: ""}
    rows = session.exec(select_rows(SegmentRow).where(col(SegmentRow.name).in_(digest.segments)))
    rules = {row.name: row.rule for row in rows}
    missing = [name for name in digest.segments if name not in rules]
    if missing:
        raise NotFoundError(
            f'{digest.slug} names no such segment: {", ".join(missing)}. digest segments add NAME "RULE".'
        )
    return {name: rules[name] for name in digest.segments}


def printed_language(code: str, default: str) -> str:
    """The language that readers of that one get: theirs if there is a catalogue of it."""
    base = primary(code)
    return base if base in languages() else default


def printed(
    engine: Engine,
    printer: "Callable[[], Printer]",
    links: Links,
    edition: EditionRow,
    settings: Settings,
    *,
    now: datetime,
) -> list[ProofRow]:
    """
    The edition's proofs of its current version, one for each variant wanted now and one web page; those not printed
    yet are printed and kept. `printer` is only called when something must be.

    A mail that was printed while tracking was otherwise is printed again, until the first of them leaves.
    """
    with reading(engine) as session:
        digest = session.get_one(DigestRow, edition.digest_id)
        needs = [(one.channel, one.variant) for one in wanted(session, digest, settings, now=now, edition=edition)]
        needs.append(("web", Variant(segment=EVERYONE, language=digest.language, look=digest.look)))
        have = _fitting(session, edition, links)
        missing = [need for need in needs if need not in have]
        web_url = links.edition(digest.slug, edition.local_date, edition.kind, edition.name)
        copies = {
            code: contents.edition_value(session, edition, language=code, web_url=web_url)
            for code in {v.language for _, v in missing}
        }
    if missing:
        fresh = [_print(need, copies, printer, links) for need in missing]
        with writing(engine) as session:
            keep(session, edition, fresh, links, now)
    with reading(engine) as session:
        have = {(row.channel, variant_of(row)): row for row in proofs_of(session, edition)}
    return [have[need] for need in needs]


def printed_ahead(
    engine: Engine,
    printer: "Callable[[], Printer]",
    links: Links,
    edition: EditionRow,
    version: EditionVersionRow,
    needs: Sequence[Need],
) -> list[Proof]:
    """The proofs of a version that is not on record yet, in these variants; nothing is kept."""
    with reading(engine) as session:
        digest = session.get_one(DigestRow, edition.digest_id)
        web_url = links.edition(digest.slug, edition.local_date, edition.kind, edition.name)
        copies = {
            code: contents.edition_value(session, edition, language=code, web_url=web_url, version=version)
            for code in {variant.language for _, variant in needs}
        }
    return [_print(need, copies, printer, links) for need in needs]


def _print(need: Need, copies: Mapping[str, Edition], printer: "Callable[[], Printer]", links: Links) -> Proof:
    channel, variant = need
    proof: Proof = load_part("channels", channel).proof(
        _in_order(copies[variant.language], variant), variant, printer(), links
    )
    return proof


def _in_order(edition: Edition, variant: Variant) -> Edition:
    return replace(edition, slots=arranged(edition.slots, variant.profile)) if variant.profile else edition


def _fitting(session: Session, edition: EditionRow, links: Links) -> dict[tuple[str, Variant], ProofRow]:
    """The proofs there are, but for mails whose links are not what they should be now."""
    have = {(row.channel, variant_of(row)): row for row in proofs_of(session, edition)}
    if _has_left(session, edition):
        return have
    return {which: row for which, row in have.items() if row.channel != EMAIL or row.tracked == links.tracked}


def _has_left(session: Session, edition: EditionRow) -> bool:
    return session.exec(select_rows(MailingRow.id).where(MailingRow.edition_id == edition.id)).first() is not None


def keep(session: Session, edition: EditionRow, fresh: Sequence[Proof], links: Links, now: datetime) -> None:
    """What was printed, unless another process was first; and where its links lead."""
    there = {(row.channel, variant_of(row)): row for row in proofs_of(session, edition)}
    fitting = _fitting(session, edition, links)
    for proof in fresh:
        which = proof.channel, proof.variant
        if which in there and which not in fitting:
            session.add(there[which].sqlmodel_update(_fields(proof, links, now)))
        elif which not in there:
            session.add(ProofRow(edition_id=edition.id, version=edition.version, **_fields(proof, links, now)))
    leads = {number: url for proof in fresh for number, url in enumerate(proof.links)}
    rows = [
        {"edition_id": edition.id, "version": edition.version, "number": number, "url": url, "trap": links.tracked and number == len(leads) - 1}
        for number, url in leads.items()
    ]  # fmt: skip
    if rows:
        session.flush()
        session.connection().execute(insert_once(session.connection(), LINKS).on_conflict_do_nothing(), rows)


def stored(engine: Engine, edition: EditionRow) -> list[ProofRow]:
    """The proofs of the edition's current version that have been printed already."""
    with reading(engine) as session:
        return proofs_of(session, edition)


def chosen(rows: Sequence[ProofRow], channel: str, segment: str, language: str, profile: str = "") -> ProofRow:
    """
    The proof that readers of that segment, language and topic profile get; the first of the channel where nothing is said.

    Raises:
        NotFoundError: there is none; lists those there are.
    """
    fitting = [
        row
        for row in rows
        if (row.channel, row.profile) == (channel, profile)
        and segment in {"", row.segment}
        and language in {"", row.language}
    ]
    if not fitting:
        there = ", ".join(" ".join(filter(None, name_of(row))) for row in rows)
        raise NotFoundError(f"This edition has no {channel} proof like that. It has: {there}.")
    return fitting[0]


def name_of(row: ProofRow) -> tuple[str, str, str, str]:
    """A proof as people name it: channel, segment, language, topic profile."""
    return row.channel, row.segment or "everyone", row.language, row.profile


def proofs_of(session: Session, edition: EditionRow) -> list[ProofRow]:
    query = select_rows(ProofRow).where(ProofRow.edition_id == edition.id, ProofRow.version == edition.version)
    return list(session.exec(query.order_by(col(ProofRow.id))))


def variant_of(row: ProofRow) -> Variant:
    return Variant(segment=row.segment, language=row.language, profile=row.profile, look=row.look)


def _fields(proof: Proof, links: Links, now: datetime) -> dict[str, Any]:
    variant = proof.variant
    return {
        "channel": proof.channel, "segment": variant.segment, "language": variant.language, "profile": variant.profile,
        "look": variant.look, "subject": proof.subject, "preheader": proof.preheader, "html": proof.html, "text": proof.text,
        "push": proof.push, "compiled": pack(proof.compiled), "blanks": proof.compiled.blanks,
        "content_hash": proof.content_hash, "printed_at": now, "tracked": links.tracked and proof.channel == EMAIL,
    }  # fmt: skip


def demand_sound(rows: Iterable[ProofRow]) -> None:
    """
    Raises:
        NotReadyError: a mail is so large that clients would cut it and hide the way out.
    """
    for row in rows:
        if row.channel == EMAIL and load_part("channels", EMAIL).size_verdict(row.html) == "refuse":
            raise NotReadyError(
                f"The email in {row.language} has {len(row.html.encode()) / 1000:.0f} KB of HTML: mail clients cut so long "
                "a one and hide the leave link. Drop a slot, shorten teasers, or use another look."
            )


def shares(
    session: Session, digest: DigestRow, edition: EditionRow, settings: Settings, *, now: datetime
) -> list[Share]:
    """Which part of the audience each printed proof serves, in the segments' order."""
    transports = {"email": settings.email_transport, "push": settings.push_transport}
    tracked = settings.tracking != "off"
    have = {
        (row.channel, variant_of(row)): row
        for row in proofs_of(session, edition)
        if row.channel != EMAIL or row.tracked == tracked
    }
    needs = wanted(session, digest, settings, now=now, edition=edition)
    slots, profiles = slot_topics(session, edition), defaultdict[tuple[str, str, str], dict[str, int]](dict)
    for one in needs:
        if one.variant.profile and (one.channel, one.variant) in have:
            profiles[_place(one)][one.variant.profile] = cast("int", have[one.channel, one.variant].id)
    return [
        Share(
            channel=one.channel, transport=transports[one.channel], proof_id=cast("int", have[one.channel, one.variant].id),
            language=one.variant.language, segment=one.variant.segment, rule=one.rule,
            slots=slots if profiles[_place(one)] else (), profiles=profiles[_place(one)],
        )
        for one in needs
        if not one.variant.profile and (one.channel, one.variant) in have
    ]  # fmt: skip
