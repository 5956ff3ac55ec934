"""The words of `digest schedule`; what they do is in digest.commands.schedule and digest.commands.forecast."""

from pathlib import Path
from typing import Annotated

import typer

from digest.cli import Json, Slug, Who, door, group

app = group("When a digest appears: its cadence, what comes next, days left out.")

Kind = Annotated[str, typer.Option(help="daily, or weekly for the week's best.")]


@app.command("add")
def add(
    digest: Slug,
    at: Annotated[str | None, typer.Option(help="Local time it is due, such as 07:00.")] = None,
    days: Annotated[str | None, typer.Option(help="Such as daily, weekdays, mon,wed,fri or mon-fri.")] = None,
    zone: Annotated[str | None, typer.Option(help="Its time zone; the digest's own if left out.")] = None,
    local: Annotated[
        bool | None,
        typer.Option("--local/--one-instant", help="At that hour where each reader is, or at one instant for all."),
    ] = None,
    fresher: Annotated[
        bool | None,
        typer.Option(
            "--fresher/--no-fresher", help="With --local: later waves may carry runners-up that editors allowed."
        ),
    ] = None,
    opens: Annotated[str | None, typer.Option(help="With --local: from when a late reader may be reached.")] = None,
    closes: Annotated[str | None, typer.Option(help="With --local: until when.")] = None,
    starts_on: Annotated[str | None, typer.Option(help="The first date; an empty word takes it away.")] = None,
    ends_on: Annotated[str | None, typer.Option(help="The last date; an empty word takes it away.")] = None,
    gather_before: Annotated[str | None, typer.Option(help="How long before it is due, such as 1h.")] = None,
    deadline_before: Annotated[
        str | None, typer.Option("--deadline-before", help="How long before it is due editors must have acted: 15m.")
    ] = None,
    remind_before: Annotated[
        str | None, typer.Option(help="How long before the deadline editors are reminded.")
    ] = None,
    undo: Annotated[str | None, typer.Option(help="How long an approved edition can be called back: 5m.")] = None,
    fallback: Annotated[
        str | None, typer.Option(help="If nobody acts: send, checks (send if they pass) or hold.")
    ] = None,
    late_after: Annotated[str | None, typer.Option(help="How late is too late, such as 3h.")] = None,
    late: Annotated[str | None, typer.Option(help="What then: skip, merge (into the next) or send.")] = None,
    blackout: Annotated[
        Path | None, typer.Option(help="A file of dates it does not appear on: lines, or a calendar (.ics).")
    ] = None,
    kind: Kind = "daily",
    by: Who = "ops",
    as_json: Json = False,
) -> None:
    """
    Give a digest its cadence, or change it; only what you name is changed.

    Examples: digest schedule add global --at 07:00 --days weekdays --zone Europe/Madrid --fallback checks
    and, at seven where each reader is: digest schedule add global --local --deadline-before 14h --gather-before 15h
    """
    options = {name: value for name, value in locals().items() if name not in NOT_FIELDS and value is not None}
    given = {name: ("yes" if value else "no") if isinstance(value, bool) else value for name, value in options.items()}
    from digest.commands import schedule

    schedule.add(door.home, digest, given, kind=kind, blackout=blackout, by=by, as_json=as_json)


NOT_FIELDS = frozenset({"digest", "blackout", "kind", "by", "as_json"})


@app.command("list")
def show_all(as_json: Json = False) -> None:
    """Every cadence, and when it appears next."""
    from digest.commands import schedule

    schedule.show_all(door.home, as_json=as_json)


@app.command()
def show(digest: Slug, kind: Kind = "daily", as_json: Json = False) -> None:
    """One cadence in words, and the stations of its next days."""
    from digest.commands import schedule

    schedule.show(door.home, digest, kind=kind, as_json=as_json)


@app.command()
def pause(digest: Slug, kind: Kind = "daily", by: Who = "ops") -> None:
    """Let nothing begin or go on until it is resumed."""
    from digest.commands import schedule

    schedule.change(door.home, digest, "pause", kind=kind, by=by)


@app.command()
def resume(digest: Slug, kind: Kind = "daily", by: Who = "ops") -> None:
    """Go on with what is due from now on."""
    from digest.commands import schedule

    schedule.change(door.home, digest, "resume", kind=kind, by=by)


@app.command()
def remove(digest: Slug, kind: Kind = "daily", by: Who = "ops") -> None:
    """Take the cadence away; editions that were made stay."""
    from digest.commands import schedule

    schedule.change(door.home, digest, "remove", kind=kind, by=by)


@app.command()
def skip(
    digest: Slug,
    dates: Annotated[list[str], typer.Argument(metavar="DATE...", help="Such as 2026-12-25.")],
    why: Annotated[str, typer.Option(help="The reason, for editors.")] = "",
    undo: Annotated[bool, typer.Option("--undo", help="Let it appear on them after all.")] = False,
    kind: Kind = "daily",
    by: Who = "ops",
) -> None:
    """
    Leave dates out.

    An edition of that date that waits for its editor is skipped; one on its way is not stopped: cancel it.
    """
    from digest.commands import schedule

    schedule.skip(door.home, digest, dates, kind=kind, why=why, undo=undo, by=by)


@app.command("next")
def upcoming(
    digest: Slug,
    count: Annotated[int, typer.Argument(metavar="[N]", help="How many.")] = 14,
    kind: Kind = "daily",
    as_json: Json = False,
) -> None:
    """What comes next, clock changes and dates left out included. Example: digest schedule next global 30"""
    from digest.commands import forecast

    forecast.upcoming(door.home, digest, count, kind=kind, as_json=as_json)


@app.command()
def simulate(
    digest: Slug,
    start: Annotated[str | None, typer.Option("--from", help="The first date; today if left out.")] = None,
    days: Annotated[int, typer.Option(help="How many days.")] = 14,
    zone: Annotated[list[str] | None, typer.Option(help="A zone to see it in; may be said several times.")] = None,
    kind: Kind = "daily",
    as_json: Json = False,
) -> None:
    """
    What a stretch of days will be, in each zone; nothing is changed.

    Example: digest schedule simulate global --from 2027-03-26 --days 4 --zone Europe/Madrid --zone America/New_York
    """
    from digest.commands import forecast

    forecast.simulate(door.home, digest, kind=kind, start=start, days=days, zones=zone or [], as_json=as_json)
