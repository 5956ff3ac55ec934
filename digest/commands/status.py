"""The command that shows on one screen how the house stands."""

from datetime import UTC, datetime
from pathlib import Path

from digest.app import open_press
from digest.causes import AWAY
from digest.commands.screen import age, number, pace, say, show_json, show_table
from digest.standing import EditionStanding, Standing, standing


def show(home: Path | None, *, as_json: bool) -> None:
    here = standing(open_press(home), datetime.now(UTC))
    if as_json:
        show_json(here)
        return
    _alarms(here)
    _editions(here)
    for one in here.due:
        late = " (late)" if one.due_at < here.at else ""
        say(f"Next of {one.digest}: {one.station} of {one.local_date} at {one.due_at:%Y-%m-%d %H:%M} UTC{late}")
    _house(here)


def _alarms(here: Standing) -> None:
    for one in here.alarms:
        say(f"{one.cause}: {one.subject}: {one.words}, {age(one.since, here.at)}", style="red")
    if here.alarms:
        say("What to do: digest alarms list", style="red")
    if not here.ways:
        say("No way is set by which alarms are told, but the log (.env.example: DIGEST_ALARM_EMAIL).", style="yellow")


def _editions(here: Standing) -> None:
    rows = [(one.digest, _day(one), one.state, _times(one), _sending(one)) for one in here.editions]
    if rows:
        show_table("", ("digest", "edition", "state", "times (UTC)", "deliveries"), rows)
    else:
        say("No edition of today or yesterday.")


def _day(one: EditionStanding) -> str:
    return " ".join(filter(None, (str(one.local_date), "" if one.kind == "daily" else one.kind, one.name)))


def _times(one: EditionStanding) -> str:
    late = f", {one.late_by // 60} min late" if one.late_by else ""
    return f"deadline {one.deadline_at:%H:%M}" + (f", due {one.due_at:%H:%M}" if one.due_at else "") + late


def _sending(one: EditionStanding) -> str:
    if not one.candidates:
        return one.reason
    return f"{number(one.handed)} of {number(one.candidates)}{pace(one.rate, one.left)}" + (
        f"; {one.reason}" if one.reason else ""
    )


def _house(here: Standing) -> None:
    if here.leader_needed or here.leader_age is not None:
        seen = "nobody yet" if here.leader_age is None else f"seen {here.leader_age:.0f} s ago"
        away = here.leader_age is None or here.leader_age > AWAY
        say(f"Who runs the day: {seen}", style="red" if away and here.leader_needed else "")
    failing = f", {here.sources_failing} failing" if here.sources_failing else ""
    say(f"Sources: {here.sources}{failing}, last read {age(here.gathered_at, here.at)}")
    say(
        f"Service messages waiting: {number(here.services_waiting)}; unconfirmed deliveries: {number(here.unconfirmed)}"
    )
    for disk in here.disks:
        say(f"{disk.free / 1e9:,.1f} GB free for {' and '.join(disk.held)}")
