"""Commands of alarms: what is wrong now, whether the ways work, and quiet for a while."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlmodel import select

from digest import alarms
from digest.app import open_press
from digest.commands.screen import age, say, show_json, show_table
from digest.database import reading
from digest.errors import NotFoundError
from digest.models import AlarmRow, QuietRow

UNITS = {"m": "minutes", "h": "hours", "d": "days"}
LONGEST = timedelta(days=30)


def show(home: Path | None, *, as_json: bool) -> None:
    press, now = open_press(home), datetime.now(UTC)
    with reading(press.engine) as session:
        rows = alarms.current(session)
        hushed = [row for row in session.exec(select(QuietRow)) if row.until > now]
    if as_json:
        show_json({
            "alarms": [row.model_dump(exclude={"id", "ways"}) for row in rows], "quiet": [row.model_dump() for row in hushed],
            "ways": press.settings.alarm_ways, "causes": {name: cause.title for name, cause in alarms.ALL.items()},
        })  # fmt: skip
        return
    lines = [(row.cause, row.subject, row.words, age(row.since, now), _told(row)) for row in rows]
    if lines:
        show_table("", ("cause", "what", "words", "since", "told by"), lines)
        for cause in dict.fromkeys(row.cause for row in rows):
            say(f"{cause}: {alarms.ALL[cause].mend}" if cause in alarms.ALL else cause)
    else:
        say("Nothing is wrong, as far as the last look saw.")
    for row in hushed:
        say(f"Quiet until {row.until:%Y-%m-%d %H:%M} UTC: {row.cause}, by {row.by or 'somebody'}", style="yellow")
    if not press.settings.alarm_ways:
        say(
            "Nobody is told but the log: set DIGEST_ALARM_EMAIL, DIGEST_ALARM_WEBHOOK or DIGEST_ALARM_COMMAND.",
            style="yellow",
        )


def _told(row: AlarmRow) -> str:
    told = [way for way, (_, well, *_) in row.ways.items() if well and way != alarms.LOG]
    failing = [f"{way} fails" for way, (_, well, tries, _) in row.ways.items() if not well and tries > 1]
    return ", ".join([*told, *failing]) or "the log"


def try_out(home: Path | None, *, as_json: bool) -> None:
    press = open_press(home)
    told = alarms.try_out(press, datetime.now(UTC))
    if as_json:
        show_json(told)
    for one in told if not as_json else ():
        say(f"{'good' if one.well else 'mend'}  {one.way:<8} {one.words}", style="" if one.well else "red")
    if not told:
        raise NotFoundError(
            "No way is set by which an alarm could be told: set DIGEST_ALARM_EMAIL, DIGEST_ALARM_WEBHOOK or "
            "DIGEST_ALARM_COMMAND (see .env.example)."
        )
    if any(one.way == "email" and one.well for one in told) and not as_json:
        say("Mails leave with digest serve, digest watch or digest deliver.")
    if not all(one.well for one in told):
        raise SystemExit(1)


def quiet(home: Path | None, cause: str, lasting: str, *, by: str) -> None:
    if cause not in alarms.ALL:
        raise NotFoundError(f"{cause!r} is no cause. There is: {', '.join(alarms.ALL)}.")
    time = _duration(lasting)
    press, now = open_press(home), datetime.now(UTC)
    alarms.hush(press, cause, now + time, by=by)
    say(
        f"{cause}: nobody is told until {now + time:%Y-%m-%d %H:%M} UTC."
        if time
        else f"{cause}: told again from now on."
    )


def _duration(words: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,4})([mhd])", words)
    time = timedelta(**{UNITS[found[2]]: int(found[1])}) if found else None
    if time is None or time > LONGEST:
        raise NotFoundError(
            f"--for: {words!r} is no time that can be meant; write 30m, 2h or 1d, at most 30d; 0m ends it."
        )
    return time
