"""Commands about what is kept of readers: how much, what for and how long; and the removal of what has had its time."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digest import holdings
from digest.app import open_press
from digest.commands.screen import number, say, show_json, show_table, until_told
from digest.database import reading
from digest.upkeep import Kept, counted, unscrubbed, upkeep

WORDS = 60  # of a wording, on a screen


def report(home: Path | None, *, as_json: bool) -> None:
    house = open_press(home)
    found = holdings.report(house.engine, house.settings, now=datetime.now(UTC))
    if as_json:
        show_json(found)
        return
    held = [(one["table"], one["what"], one["rows"], _day(one["oldest"]), one["until"]) for one in found["held"]]
    out = found["outbox"]
    held.append(("(outbox)", "messages written to disk", out["files"], _day(out["oldest"]), out["until"]))
    held += [
        ("(copies)", f"{one['kind']}: {one['folder']}", one["files"], _day(one["made_at"]), one["until"])
        for one in found["copies"]
    ]
    show_table("Held of people", ("where", "what", "rows", "oldest", "kept"), held, right=("rows",))
    say("")
    columns = [(f"{one['table']}.{name}", what) for one in found["held"] for name, what in one["columns"].items()]
    show_table("Column by column", ("column", "for"), columns)
    say("")
    _show_rest(found)


def _show_rest(found: dict[str, Any]) -> None:
    consents = [
        (one["wording"] or "not stated", one["subscriptions"], one["words"][:WORDS]) for one in found["consents"]
    ]
    if consents:
        show_table("Consents by wording", ("wording", "subscriptions", "words"), consents, right=("subscriptions",))
        say("")
    due = found["next_sweep"].items()
    show_table("The next sweep takes", ("what", "rows"), due, right=("rows",))
    say("")
    erased, held = found["erasures"], sum(found["suppressions"].values())
    reasons = ", ".join(f"{name}: {number(count)}" for name, count in found["suppressions"].items())
    waiting = erased["waiting_for_a_scrub"]
    say(f"Tracking of opens and clicks: {found['tracking']}.")
    say(f"Suppressed hashes: {number(held)}{f' ({reasons})' if reasons else ''}.")
    last = f", the last on {_day(erased['last'])}" if erased["number"] else ""
    say(f"Erasures: {number(erased['number'])}{last}.")
    if waiting:
        say(f"Of {number(waiting)} of them the database's files may hold bytes until they are written anew: by night, or now "
            "with digest privacy sweep.", style="yellow")  # fmt: skip


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else ""


def sweep(home: Path | None, *, dry_run: bool, as_json: bool) -> None:
    """Now, and the database's files too if somebody was erased: whoever asks at a keyboard has chosen the hour."""
    house, now = open_press(home), datetime.now(UTC)
    if dry_run:
        with reading(house.engine) as session:
            waiting = len(unscrubbed(session.connection()))
        _show(counted(house, now=now), Kept(), waiting, dry_run=True, as_json=as_json)
        return
    with until_told() as stop:
        done = upkeep(house, now=now, stop=stop, scrub_at_once=True)
    _show(done.removed, done, 0, dry_run=False, as_json=as_json)


def _show(rows: dict[str, int], done: Kept, waiting: int, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        told = (
            {"to_scrub": waiting > 0}
            if dry_run
            else {"heard": done.heard, "scrubbed": done.scrubbed, "fault": done.fault}
        )
        show_json({"dry_run": dry_run, "rows": rows, **told})
        return
    show_table("", ("what", "would go" if dry_run else "removed"), rows.items(), right=("would go", "removed"))
    if waiting:
        say("The database's files would be written anew, for somebody was erased.")
    if done.heard:
        say(f"{number(done.heard)} events kept aside were heard.")
    if done.scrubbed:
        say("The database's files were written anew: nothing of who was erased is left in them.")
    if done.fault:
        say(done.fault, style="yellow")
