"""What is known of an edition's opens and clicks, people and machines apart, and what such counts cannot know."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlmodel import Session

from digest import contents, records, tracking
from digest.app import open_press
from digest.commands.screen import number, say, show_json, show_table
from digest.database import reading
from digest.machines import AN_OPEN, CLICKED, OPENED
from digest.models import DigestRow, EditionRow
from digest.settings import Settings
from digest.tracking import OFF, PERSONAL, Figures, Seen

LIMITS = (
    "These are times, not readers, and a trend rather than a truth: whoever reads with pictures off, or through a program that "
    "hides it, is not among them, and not every machine can be told from a person."
)


def show(home: Path | None, digest: str, which: str, *, as_json: bool) -> None:
    """Raises NotFoundError: there is no such digest or edition."""
    house = open_press(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=digest)
        owner = session.get_one(DigestRow, edition.digest_id)
        told = known_of(session, edition, house.settings, now=datetime.now(UTC))
    if as_json:
        show_json({"edition": edition.id, "digest": owner.slug, "date": edition.local_date, **told})
        return
    say(f"{owner.name}, {edition.local_date}", style="bold")
    if not say_known(told):
        say("Nothing was counted of it." + (" DIGEST_TRACKING is off." if house.settings.tracking == OFF else ""))


def known_of(session: Session, edition: EditionRow, settings: Settings, *, now: datetime) -> dict[str, Any]:
    """
    All that was counted of an edition, ready for JSON. `readers`, how many different ones opened it of those who agreed to be
    counted, is None unless tracking is personal, and once it is forgotten who that was.
    """
    remembered = edition.local_date > (now - timedelta(days=settings.tracking_days)).date()
    figures = tracking.figures(session, edition.id or 0, edition.version)
    slots = contents.content_of(session, edition)["slots"]
    headlines = {at: slot["headline"] for at, slot in enumerate(slots, start=1)}
    own, others = [], dict[str, dict[str, Any]]()
    for one in figures.seen:
        if one.source:
            sums = others.setdefault(one.source, {"opens": _none(), "clicks": _none()})
            _add(sums["opens" if one.kind == OPENED else "clicks"], one)
        else:
            own.append(one)
    return {
        "mode": settings.tracking, "opens": _sum(own, OPENED), "clicks": _sum(own, CLICKED),
        "links": list(_links(own, headlines, figures)), "told_by": others, "not_counted": figures.dropped,
        "readers": figures.readers if settings.tracking == PERSONAL and remembered else None, "limits": LIMITS,
    }  # fmt: skip


def _none() -> dict[str, int]:
    return {"people": 0, "machines": 0}


def _add(sums: dict[str, int], one: Seen) -> None:
    sums["people"] += one.people
    sums["machines"] += one.machines


def _sum(seen: list[Seen], kind: str) -> dict[str, int]:
    sums = _none()
    for one in seen:
        if one.kind == kind:
            _add(sums, one)
    return sums


def _links(seen: list[Seen], headlines: Mapping[int, str], figures: Figures) -> Iterator[dict[str, Any]]:
    """Every link of the edition, also those that nobody followed."""
    followed = {one.link: one for one in seen if one.kind == CLICKED}
    for link in sorted({*headlines, *followed} - {AN_OPEN}):
        one = followed.get(link)
        name = "(hidden from people)" if link in figures.traps else headlines.get(link, "(the edition's page)")
        people, machines = (one.people, one.machines) if one else (0, 0)
        yield {"number": link, "headline": name, "people": people, "machines": machines}


def say_known(told: Mapping[str, Any]) -> bool:
    """Say it in words; False where nothing was ever counted."""
    sums = [told["opens"], told["clicks"], *(one for other in told["told_by"].values() for one in other.values())]
    if not told["not_counted"] and not any(any(one.values()) for one in sums):
        return False
    for name in ("opens", "clicks"):
        say(f"{name.capitalize():<10} {_in_words(told[name])}")
    if told["readers"] is not None:
        say(f"{'Readers':<10} {number(told['readers'])} different ones opened it, of those who agreed to be counted")
    show_table(
        "", ("link", "people", "machines", "leads to"),
        [(str(one["number"]), number(one["people"]), number(one["machines"]), one["headline"]) for one in told["links"]],
        right=("link", "people", "machines"),
    )  # fmt: skip
    for source, sums_of in told["told_by"].items():
        said = "; ".join(f"{name} {_in_words(sums_of[name])}" for name in ("opens", "clicks"))
        say(f"Told by {source}, not added to the above: {said}")
    if told["not_counted"]:
        say(f"{number(told['not_counted'])} more came too many at once to be counted.", style="yellow")
    say(told["limits"], style="dim")
    return True


def _in_words(sums: Mapping[str, int]) -> str:
    return f"{number(sums['people'])} by people, {number(sums['machines'])} by machines"
