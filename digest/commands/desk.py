"""Commands of the editor: what is in the edition and why, its wording, its state."""

import re
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from digest import contents, deliveries, desk, digests, press, readership, records
from digest.app import open_press
from digest.commands import stats
from digest.commands.screen import number, say, show_json, show_table
from digest.database import reading, writing
from digest.errors import NotFoundError, NotReadyError
from digest.models import DigestRow, EditionRow


def explain(home: Path | None, digest: str, which: str, *, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=digest)
        content = contents.content_of(session, edition)
    if as_json:
        show_json(
            {
                "edition": edition.id,
                "date": edition.local_date,
                **{k: content[k] for k in ("slots", "left_out", "notes")},
                "allowed": content.get("allowed", []),
            }
        )
        return
    say(
        f"{digest}, {edition.local_date}, version {edition.version}: {len(content['slots'])} in, {len(content['left_out'])} left out",
        style="bold",
    )
    for line in content["notes"]:
        say(f"  {line}", style="yellow")
    for slot in content["slots"]:
        say(f"{slot['position']:>3}  {slot['score']:.2f}  {slot['headline']}", style="bold")
        say(f"           {' · '.join(slot['reasons'])}")
        say(f"           {_signals(slot['signals'])}", style="dim")
    say("Left out, best first", style="bold")
    for place, story in enumerate(content["left_out"], start=1):
        allowed = " (allowed in later waves)" if story["story"] in content.get("allowed", []) else ""
        say(f"{place:>3}  {story['score']:.2f}  {story['headline']}{allowed}")
        say(f"           {story['why_not']}", style="dim")


def _signals(signals: list[dict[str, Any]]) -> str:
    return "  ".join(f"{signal['signal'].replace('_', ' ')} {signal['value']:.2f}" for signal in signals)


def show_all(home: Path | None, digest: str, *, limit: int, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        query = select(EditionRow, DigestRow).join(DigestRow, col(DigestRow.id) == EditionRow.digest_id)
        if digest:
            query = query.where(EditionRow.digest_id == digests.digest_named(session, digest).id)
        rows = session.exec(
            query.order_by(col(EditionRow.local_date).desc(), col(EditionRow.id).desc()).limit(limit)
        ).all()
    if as_json:
        show_json([_brief(edition, owner) for edition, owner in rows])
        return
    show_table(
        "", ("number", "digest", "date", "kind", "state", "subject"),
        [(str(e.id), d.slug, e.local_date, e.kind, e.state, e.subject or e.reason) for e, d in rows], right=("number",),
    )  # fmt: skip


def _brief(edition: EditionRow, digest: DigestRow) -> dict[str, Any]:
    return {
        "id": edition.id, "digest": digest.slug, "date": edition.local_date, "kind": edition.kind, "name": edition.name,
        "state": edition.state, "version": edition.version, "subject": edition.subject, "preheader": edition.preheader,
        "intro": edition.intro, "reason": edition.reason, "deadline_at": edition.deadline_at,
        "fallback": edition.fallback, "approved_by": edition.approved_by, "approved_at": edition.approved_at,
        "sent_at": edition.sent_at, "content_hash": edition.content_hash,
    }  # fmt: skip


def show(home: Path | None, digest: str, which: str, *, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=digest)
        owner = session.get_one(DigestRow, edition.digest_id)
        content = contents.content_of(session, edition)
        history = _history(desk.audit_of(session, edition))
        known = stats.known_of(session, edition, house.settings, now=datetime.now(UTC))
    counts, page = (
        readership.counts(house, edition),
        house.links.edition(owner.slug, edition.local_date, edition.kind, edition.name),
    )
    variants, fault = _variants(house, edition)
    versions = _versions(house, edition)
    allowed = [story for story in content["left_out"] if story["story"] in content.get("allowed", [])]
    if as_json:
        slots = [{key: slot[key] for key in SLOT_FIELDS} for slot in _shown(content["slots"], owner.language, page)]
        show_json(
            {
                **_brief(edition, owner),
                "web_url": page,
                "slots": slots,
                "counts": counts,
                "variants": [asdict(one) for one in variants],
                "versions": versions,
                "allowed": [story["story"] for story in allowed],
                "seen": known,
                "notes": content["notes"],
                "history": history,
            }
        )
        return
    say(f"{owner.name}, {edition.local_date}: {edition.state}", style="bold")
    say(f"Subject    {edition.subject}\nPreheader  {edition.preheader}")
    for slot in _shown(content["slots"], owner.language, page):
        say(f"{slot['position']:>3}  {slot['kicker'] or '-':<16} {slot['headline']}")
    for story in allowed:
        say(f"     allowed in later waves: {story['headline']}")
    for share in counts["shares"]:
        say(f"     {share['segment'] or 'everyone'}, {share['channel']}: {share['state']} {number(share['count'])}")
    for one in variants:
        name = ", ".join(filter(None, (one.segment or "everyone", one.channel, one.language, one.profile)))
        say(f"     variant {name}: {number(one.readers)} {'reader' if one.readers == 1 else 'readers'}")
    for version in versions:
        if version["got"] or version["to_come"]:
            say(
                f"     version {version['number']}, cut-off {version['cut_off']:%Y-%m-%d %H:%M} UTC, "
                f"{version['content_hash'][:12]}: {number(version['got'])} got it, {number(version['to_come'])} to come"
            )
    if fault:
        say(f"     {fault}", style="yellow")
    stats.say_known(known)
    for line in history:
        say(f"     {line['at']:%Y-%m-%d %H:%M} UTC  {line['who']}: {line['did']} {line['reason']}", style="dim")


def _variants(house: press.Press, edition: EditionRow) -> tuple[list[readership.Readership], str]:
    """An edition's variants, or why they cannot be told."""
    try:
        return readership.readerships(house, edition, now=datetime.now(UTC)), ""
    except (NotReadyError, NotFoundError) as error:
        return [], str(error)


def _versions(house: press.Press, edition: EditionRow) -> list[dict[str, Any]]:
    """Each version with the moment up to which it told the news, and how many readers got it or are to."""
    mailing = press.mailing_of(house, edition)
    readers = deliveries.readers_of_versions(house.engine, mailing) if mailing is not None else {}
    with reading(house.engine) as session:
        return [
            {
                "number": row.number, "cut_off": row.at, "by": row.by, "content_hash": row.content_hash,
                **readers.get(row.number, deliveries.Readers(0, 0))._asdict(),
            }
            for row in contents.versions_of(session, edition)
        ]  # fmt: skip


SLOT_FIELDS = (
    "position", "kicker", "headline", "teaser", "url", "reasons", "score", "signals", "story", "source", "topic",
    "minutes", "update", "pinned", "language", "published_at",
)  # fmt: skip


def _shown(slots: list[dict[str, Any]], language: str, page: str) -> list[dict[str, Any]]:
    return [
        {
            **slot,
            "kicker": slot["kicker"] or contents.label_in(slot["labels"], language),
            "url": contents.address_of(slot, page),
        }
        for slot in slots
    ]


def _history(audit: list[Any]) -> list[dict[str, Any]]:
    return [{"at": row.at, "who": row.who, "did": row.did, "reason": row.detail.get("reason", "")} for row in audit]


def reword(
    home: Path | None, digest: str, which: str, slot: int, wording: Mapping[str, str | None], *, by: str
) -> None:
    given = _given(wording, "--headline, --teaser or --kicker")
    house = open_press(home)
    with writing(house.engine) as session:
        edition = desk.locked(session, records.find_edition(session, which, digest=digest))
        desk.reword(session, edition, slot, given, who=by, now=datetime.now(UTC))
    say(f"Slot {slot} reworded; the edition is at version {edition.version}.")


def title(home: Path | None, digest: str, which: str, wording: Mapping[str, str | None], *, by: str) -> None:
    given = _given(wording, "--subject, --preheader or --intro")
    house = open_press(home)
    with writing(house.engine) as session:
        edition = desk.locked(session, records.find_edition(session, which, digest=digest))
        desk.retitle(session, edition, given, who=by, now=datetime.now(UTC))
    say(f"Done; the edition is at version {edition.version}.")


def _given(wording: Mapping[str, str | None], options: str) -> dict[str, str]:
    given = {name: words for name, words in wording.items() if words is not None}
    if not given:
        raise NotFoundError(f"Say what to change: {options}.")
    return given


def order(home: Path | None, digest: str, which: str, places: str, *, by: str) -> None:
    if not re.fullmatch(r"[0-9]{1,3}( *, *[0-9]{1,3})*", places.strip()):
        raise NotFoundError("Give the present places in the order wanted, such as 2,1,3.")
    house = open_press(home)
    with writing(house.engine) as session:
        edition = desk.locked(session, records.find_edition(session, which, digest=digest))
        first = [int(place) for place in places.split(",")]
        rest = [slot.position for slot in records.slots_of(session, edition) if slot.position not in first]
        desk.rearrange(session, edition, [*first, *rest], who=by, now=datetime.now(UTC))
        _say_order(session, edition)


def allow(home: Path | None, digest: str, which: str, numbers: str, *, by: str) -> None:
    chosen = _numbers(numbers)
    house = open_press(home)
    with writing(house.engine) as session:
        edition = desk.locked(session, records.find_edition(session, which, digest=digest))
        headlines = desk.allow(session, edition, chosen, who=by, now=datetime.now(UTC))
    for headline in headlines:
        say(f"     {headline}")
    what = "These may come into later waves" if headlines else "No runner-up may come into later waves"
    say(f"{what}; the edition is at version {edition.version}.")


def _numbers(words: str) -> list[int]:
    if not words.strip():
        return []
    found = [re.fullmatch(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", part.strip()) for part in words.split(",")]
    if None in found:
        raise NotFoundError("Give the numbers that digest explain shows, such as 3,7 or 1-5; '' allows none.")
    return [number for one in found if one for number in range(int(one[1]), int(one[2] or one[1]) + 1)]


def drop(home: Path | None, digest: str, which: str, place: int, *, by: str) -> None:
    house = open_press(home)
    with writing(house.engine) as session:
        edition = desk.locked(session, records.find_edition(session, which, digest=digest))
        dropped = desk.slot_at(session, edition, place).position
        rest = [slot.position for slot in records.slots_of(session, edition) if slot.position != dropped]
        desk.rearrange(session, edition, rest, who=by, now=datetime.now(UTC))
        _say_order(session, edition)


def _say_order(session: Session, edition: EditionRow) -> None:
    for slot in contents.content_of(session, edition)["slots"]:
        say(f"{slot['position']:>3}  {slot['headline']}")
    say(f"Version {edition.version}.", style="bold")


PEOPLES_MOVES = ("submit", "hold", "reopen", "skip", "cancel", "pause", "resume")


def move(home: Path | None, digest: str, which: str, verb: str, *, reason: str, by: str) -> None:
    if verb not in PEOPLES_MOVES:
        raise NotFoundError(f"{verb!r} is no move; use one of {', '.join(PEOPLES_MOVES)}.")
    house = open_press(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=digest)
    edition = press.move_edition(house, edition, verb, who=by, now=datetime.now(UTC), reason=reason)
    say(f"The edition of {edition.local_date} is {edition.state}.")
