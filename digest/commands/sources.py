"""Commands about sources: add, check, list, gather, switch on and off."""

from datetime import UTC, datetime
from pathlib import Path

from sqlmodel import col, select

from digest import gathering
from digest.app import open_press
from digest.commands.screen import age, number, say, show_json, show_table, steps, stories
from digest.database import reading, writing
from digest.errors import NotFoundError
from digest.models import SourceRow
from digest.values import Reading

SHOWN = 10


def add(
    home: Path | None, location: str, *, name: str, kind: str, section: str, language: str, trust: float, as_json: bool
) -> None:
    house = open_press(home)
    row = gathering.add_source(
        house.engine, house.settings, name=name, location=location, kind=kind, section=section, language=language,
        trust=trust, now=datetime.now(UTC),
    )  # fmt: skip
    show_json(row.model_dump()) if as_json else say(f"{row.name}: added as {row.kind}. Read it with digest gather.")


def show_all(home: Path | None, *, as_json: bool) -> None:
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session:
        rows = session.exec(select(SourceRow).order_by(SourceRow.name)).all()
    if as_json:
        show_json([row.model_dump() for row in rows])
        return
    if not rows:
        say("No sources yet: digest source add PATH_OR_ADDRESS")
        return
    show_table(
        "", ("name", "kind", "last good", "stories", "state", "location"),
        [(row.name, row.kind, age(row.last_good_at, now), row.last_count, _state(row), row.location) for row in rows],
        right=("stories",),
    )  # fmt: skip


def _state(row: SourceRow) -> str:
    return (
        row.error or ("good" if row.last_good_at else "not read yet")
        if row.enabled
        else f"off: {row.error or 'by hand'}"
    )


def check(home: Path | None, what: str, *, as_json: bool) -> None:
    house = open_press(home)
    kind, found = gathering.check_source(house.engine, house.settings, what, now=datetime.now(UTC))
    show_json({"kind": kind, "stories": found.stories, "notes": found.notes}) if as_json else _show_reading(kind, found)


def _show_reading(kind: str, found: Reading) -> None:
    say(f"A {kind} source with {stories(len(found.stories))}.", style="bold")
    for story in found.stories[:SHOWN]:
        when = f"{story.published_at:%Y-%m-%d %H:%M}" if story.published_at else "no date"
        say(f"  {when:<17} {story.section or '-':<12} {story.headline}{'  (card only)' if story.stub else ''}")
    if len(found.stories) > SHOWN:
        say(f"  and {number(len(found.stories) - SHOWN)} more", style="dim")
    for line in found.notes:
        say(f"  note: {line}", style="yellow")


def gather(home: Path | None, names: list[str], *, as_json: bool, quiet: bool) -> None:
    house = open_press(home)
    with steps(quiet=quiet or as_json) as progress:
        reports = gathering.gather(
            house.engine,
            house.settings,
            now=datetime.now(UTC),
            names=names,
            told=lambda report: progress.station(line(report)),
        )
    if as_json:
        show_json(reports)
    elif quiet:
        for report in reports:
            say(line(report))
    if reports and all(report.state == "failed" for report in reports):
        raise SystemExit(1)


def line(report: gathering.SourceReport) -> str:
    return f"  {report.name:<20} {report.words}"


def switch(home: Path | None, name: str, *, on: bool) -> None:
    house = open_press(home)
    with writing(house.engine) as session:
        row = session.exec(select(SourceRow).where(col(SourceRow.name) == name)).first()
        if row is None:
            raise NotFoundError(f"There is no source named {name!r}; see digest source list.")
        row.enabled, row.error, row.failures, row.retry_at = on, "", 0, None
        session.add(row)
    say(f"{name} is {'on' if on else 'off'}.")
