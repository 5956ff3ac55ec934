"""Commands of the morning: assemble, preview, approve, deliver, the whole line."""

import re
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from digest import contents, press, readership, records
from digest.app import open_press
from digest.commands.screen import Steps, say, show_json, show_table, steps, stories, until_told
from digest.database import reading
from digest.editions import TOLD_STATES
from digest.errors import NotFoundError, SourceError
from digest.models import EditionRow
from digest.press import Press
from digest.preview import preview as previewed
from digest.values import EditionState, Fallback

INTERRUPTED = 130  # as a shell says it
A_YEAR = timedelta(days=366)


def clock() -> datetime:
    return datetime.now(UTC)


def _at_work(home: Path | None) -> Press:
    """The press, for a command that may be at it for long: what it does is logged as the settings say."""
    from digest import logs

    house = open_press(home)
    logs.set_up(house.settings)
    return house


def _day(house: Press, slug: str, words: str | None, now: datetime) -> date:
    if words is None:
        return press.today(house, slug, now)
    try:
        day = date.fromisoformat(words)
    except ValueError:
        raise NotFoundError(f"--date: {words!r} is no date; write it as 2026-11-23.") from None
    if abs(day - now.date()) > A_YEAR:
        raise NotFoundError(f"--date: {words} is more than a year away.")
    return day


def assemble(
    home: Path | None, slug: str, day: str | None, *, name: str, again: bool, as_json: bool, quiet: bool
) -> None:
    house, now = open_press(home), clock()
    if name and not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", name):
        raise NotFoundError(f"--name: {name!r} is no short name; use small letters, digits and hyphens, such as flood.")
    with steps(quiet=quiet or as_json) as progress:
        progress.station("Picking the day's stories ...")
        edition = press.assemble(house, slug, day=_day(house, slug, day, now), now=now, again=again, name=name)
    if as_json:
        show_json(edition.model_dump())
        return
    _say_edition(house, edition)


def _say_edition(house: Press, edition: EditionRow) -> None:
    with reading(house.engine) as session:
        content = contents.content_of(session, edition)
    say(
        f"The edition of {edition.local_date} is {edition.state}: {stories(len(content['slots']))}, {len(content['left_out'])} left out.",
        style="bold",
    )
    for line in [edition.reason, *content["notes"]]:
        if line:
            say(f"  {line}", style="yellow")
    if edition.state in {EditionState.DRAFT, EditionState.REVIEW}:
        at_deadline = "the pick is sent" if edition.fallback == Fallback.SEND else "it is held"
        say(f"  Deadline {edition.deadline_at:%H:%M} UTC; if nobody acts, {at_deadline}.")


def preview(
    home: Path | None,
    slug: str,
    which: str,
    *,
    channel: str,
    part: str,
    segment: str,
    language: str,
    profile: str,
    out: Path | None,
    as_json: bool,
) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=slug)
    shown = previewed(house, edition, channel=channel, segment=segment, language=language, profile=profile, now=clock())
    if as_json:
        show_json(
            {
                "channel": channel,
                "subject": shown.proof.subject,
                "preheader": shown.proof.preheader,
                "html": shown.html,
                "text": shown.text,
                "push": shown.push,
            }
        )
        return
    parts: Mapping[str, bytes] = {"html": shown.html.encode(), "text": shown.text.encode(), "raw": shown.message}
    if part not in parts:
        raise NotFoundError(f"--part: {part!r} is no part; use html, text or raw.")
    body = shown.push.encode() if channel == "push" and part != "raw" else parts[part]
    if out is None:
        sys.stdout.buffer.write(body)
        return
    try:
        out.write_bytes(body)
    except OSError as error:
        raise NotFoundError(f"--out: {out} cannot be written: {error.strerror}.") from None
    say(f"Written to {out}.")


def approve(home: Path | None, slug: str, which: str, *, by: str, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=slug)
    edition = press.approve(house, edition, who=by, now=clock())
    if as_json:
        show_json(edition.model_dump())
        return
    say(f"The edition of {edition.local_date} is approved by {by}. Send it with digest deliver {slug}.", style="bold")


def deliver(home: Path | None, slug: str, which: str, *, as_json: bool, quiet: bool) -> None:
    house = _at_work(home)
    with reading(house.engine) as session:
        edition = records.find_edition(session, which, digest=slug)
    with until_told() as stop, steps(quiet=quiet or as_json) as progress:
        balance = press.deliver(
            house, edition, now=clock, told=lambda done, total: progress.count("Delivered", done, total), stop=stop
        )
        interrupted = stop()
    _say_counts(house, edition, balance.words, as_json=as_json)
    if not balance.done:
        _end_if(house, slug, interrupted=interrupted)
        if not _waits(house, edition, as_json=as_json):
            raise SystemExit(1)


def _waits(house: Press, edition: EditionRow, *, as_json: bool) -> bool:
    """Whether the rest of an edition is for readers whose hour is yet to come; says when that is."""
    if (wave := readership.next_wave(house, edition, clock())) is None:
        return False
    if not as_json:
        say(f"The next readers are due at {wave:%Y-%m-%d %H:%M} UTC. digest watch sends it then, or run this again.")
    return True


def _end_if(house: Press, slug: str, *, interrupted: bool) -> None:
    if interrupted:
        say(f"Interrupted. Go on with: digest --home {house.settings.home} deliver {slug}", aside=True)
        raise SystemExit(INTERRUPTED)


def _say_counts(house: Press, edition: EditionRow, words: str, *, as_json: bool) -> None:
    counts = readership.counts(house, edition)
    if as_json:
        show_json({"edition": edition.id, "date": edition.local_date, **counts, "books": words})
        return
    rows = [
        (share["segment"] or "everyone", share["channel"], share["state"], share["count"]) for share in counts["shares"]
    ]
    if rows:
        show_table("", ("segment", "channel", "state", "deliveries"), rows, right=("deliveries",))
    say(words, style="bold")
    if not rows and edition.state in TOLD_STATES:
        say(f"Nobody asked for it yet: digest --home {house.settings.home} subscribers import FILE.csv --consent ...")


def run(
    home: Path | None,
    slug: str,
    locations: list[str],
    *,
    approve: bool,
    by: str,
    day: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    house, now = _at_work(home), clock()
    with until_told() as stop, steps(quiet=quiet or as_json) as progress:
        reports = gather_from(house, locations, now, progress)
        edition = press.assemble(house, slug, day=_day(house, slug, day, now), now=now)
        if approve and edition.state in {EditionState.DRAFT, EditionState.REVIEW, EditionState.HELD}:
            edition = press.approve(house, edition, who=by, now=now)
        else:
            edition = press.apply_deadline(house, edition, now=now)
        balance = None
        if edition.state in {EditionState.APPROVED, EditionState.SENDING, EditionState.SENT}:
            balance = press.deliver(
                house, edition, now=clock, told=lambda done, total: progress.count("Delivered", done, total), stop=stop
            )
        interrupted = stop()
    if not as_json and balance is None:
        _say_edition(house, edition)
    words = balance.words if balance else f"Nothing was sent: the edition is {edition.state}."
    _say_counts(house, edition, words, as_json=as_json)
    if balance and not balance.done:
        _end_if(house, slug, interrupted=interrupted)
        _waits(house, edition, as_json=as_json)
    if reports and all(report.state == "failed" for report in reports):
        raise SystemExit(1)


def gather_from(house: Press, locations: list[str], now: datetime, progress: Steps) -> list[Any]:
    """Gather from the given places, adding each that is new; from every source when none is given."""
    from digest import gathering
    from digest.commands.sources import line

    names, failed = [], []
    for location in locations:
        try:
            names.append(gathering.add_source(house.engine, house.settings, location=location, now=now).name)
        except SourceError as error:  # the others go on
            failed.append(gathering.SourceReport(name=location, state="failed", words=str(error)))
            say(str(error), style="red", aside=True)
    if locations and not names:
        return failed
    progress.station("Gathering ...")
    return failed + gathering.gather(
        house.engine, house.settings, now=now, names=names, told=lambda report: progress.station(line(report))
    )
