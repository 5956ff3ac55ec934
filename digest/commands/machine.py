"""Commands of the time machine: replay an edition, rehearse a morning."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from digest import copies, rehearsal, replaying
from digest.app import open_press
from digest.commands.schedule import kind_named
from digest.commands.screen import number as counted
from digest.commands.screen import say, show_json, show_table, steps
from digest.database import reading
from digest.errors import NotFoundError
from digest.handover import place
from digest.press import Press
from digest.records import find_edition


def replay(
    home: Path | None, slug: str, which: str, *, number: int | None, into: str, as_json: bool, quiet: bool
) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        edition = find_edition(session, which, digest=slug)
    if number is not None:
        sys.stdout.buffer.write(replaying.message_of(house, edition, number))
        return
    name = into or place(house.engine, edition).replace("/", "-")
    with (
        steps(quiet=quiet or as_json) as progress,
        copies.filling(house.settings.home, copies.REPLAY, name, now=datetime.now(UTC)) as folder,
    ):
        done = replaying.replay(
            house, edition, folder, told=lambda count: progress.station(f"{counted(count)} messages written")
        )
    if as_json:
        show_json(done)
        return
    say(f"{counted(done.written)} messages written to {done.folder}, as they were handed over.", style="bold")
    say(_kept(house))
    if done.unknown:
        say(f"{counted(done.unknown)} went to addresses that are not known here any more, and cannot be printed.")


def rehearse(
    home: Path | None, slug: str, at: str, *, kind: str, into: str, gathers: bool, readers: int, as_json: bool
) -> None:
    house = open_press(home)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise NotFoundError(f"--at: {at!r} is no date or time; write 2027-03-28 or 2027-03-28T07:00.") from None
    if readers < 1:
        raise NotFoundError("--readers: at least one.")
    name = into or f"{slug}-{moment.date()}-{token_hex(2)}"
    clock = f"{moment:%H:%M}" if "T" in at or " " in at else ""
    with copies.filling(house.settings.home, copies.REHEARSAL, name, now=datetime.now(UTC)) as folder:
        run = rehearsal.rehearse(
            house, slug, moment.date(), folder, clock=clock, kind=kind_named(kind), gathers=gathers, readers=readers
        )
    if as_json:
        show_json(run)
        return
    if run.missing:
        say(f"On that day it would not appear: {run.missing}. This is how it would be.", style="yellow")
    show_table("", ("UTC", "what happens"), [(f"{act.at:%Y-%m-%d %H:%M:%S}", act.words) for act in run.acts])
    if run.edition is not None:
        say(f"The edition of {run.edition.local_date} ends {run.edition.state}. {run.books}", style="bold")
    say(f"Look at it: {folder / 'outbox'}. {_kept(house)}")


def _kept(house: Press) -> str:
    return f"It goes after {house.settings.copy_days} days; what you copy elsewhere is yours to remove."
