"""The demo: a whole morning on a sample newsroom, and what there is to see of it."""

import shutil
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import select

from digest import contents, digests, press, readership, windows
from digest import demo as sample
from digest.app import found
from digest.commands.morning import clock
from digest.commands.screen import Steps, say, show_table, steps, stories
from digest.database import reading, writing
from digest.errors import NotFoundError
from digest.handover import place
from digest.models import EditionRow
from digest.press import Press
from digest.values import Fallback


def demo(folder: Path, *, quiet: bool) -> None:
    """The whole line on a sample newsroom: nothing here sends, picks or prints by a way of its own."""
    now = _this_morning()
    _begin_anew(folder, now)
    with steps(quiet=quiet) as progress:
        progress.station("Setting up a sample newsroom ...")
        house = found(folder, slug="global", fields={**sample.SENDER, "zone": sample.ZONES[0]}, now=now)
        _set_up_demo(house, folder, now, progress)
        reports = _gather_demo(house, folder, now, progress)
        progress.station("Picking, and keeping the deadline ...")
        edition = press.assemble(house, "global", day=now.astimezone(ZoneInfo(sample.ZONES[0])).date(), now=now)
        edition = press.apply_deadline(house, edition, now=now)
        balance = press.deliver(
            house, edition, now=clock, told=lambda done, total: progress.count("Delivered", done, total)
        )
    _show_demo(house, edition, reports, balance)


def _this_morning() -> datetime:
    """Seven o'clock of this day where the sample newsroom is: the demo's morning is the same at any hour it is run."""
    today = clock().astimezone(ZoneInfo(sample.ZONES[0])).date()
    return windows.instant(today, "07:00", sample.ZONES[0])


def _begin_anew(folder: Path, now: datetime) -> None:
    """A demo of an earlier day is cleared away; a folder that is not a demo's is left alone."""
    mark = folder / "demo-of"
    if mark.exists() and mark.read_text() != str(now.date()):
        shutil.rmtree(folder)
    elif folder.exists() and not mark.exists() and any(folder.iterdir()):
        raise NotFoundError(f"{folder} holds something else: name an empty folder, digest demo --into FOLDER.")
    folder.mkdir(parents=True, exist_ok=True)
    mark.write_text(str(now.date()))


def _set_up_demo(house: Press, folder: Path, now: datetime, progress: Steps) -> None:
    from digest.models import SegmentRow
    from subscribers.exchange import import_csv

    with writing(house.engine) as session:
        digest = digests.digest_named(session, "global")
        digest.fallback, digest.segments = Fallback.SEND, list(sample.SEGMENTS)
        session.add(digest)
        for name, (rule, description) in sample.SEGMENTS.items():
            if session.exec(select(SegmentRow).where(SegmentRow.name == name)).first() is None:
                session.add(SegmentRow(name=name, rule=rule, description=description, updated_at=now))
        digest_id = digest.id
    file = sample.write_readers(folder / "newsroom-readers.csv")
    report = import_csv(
        house.engine,
        file,
        digest_id=digest_id or 0,
        keys=house.keys,
        consent="the demo's own sample",
        now=now,
        channels=("email",),
    )
    progress.station(f"  {report.accepted + report.updated} sample readers, {report.accepted} of them new")


def _gather_demo(house: Press, folder: Path, now: datetime, progress: Steps) -> list[Any]:
    from digest import gathering
    from digest.commands.sources import line

    for name, file, trust in sample.write_newsroom(folder / "newsroom", now):
        gathering.add_source(house.engine, house.settings, location=str(file), name=name, trust=trust, now=now)
    progress.station("Gathering two sources ...")
    return gathering.gather(house.engine, house.settings, now=now, told=lambda report: progress.station(line(report)))


def _show_demo(house: Press, edition: EditionRow, reports: list[Any], balance: Any) -> None:
    with reading(house.engine) as session:
        content = contents.content_of(session, edition)
    show_table(
        "Gathered", ("source", "stories", "new"), [(r.name, r.found, r.new) for r in reports], right=("stories", "new")
    )
    say("")
    rows = [
        (str(slot["position"]), f"{slot['score']:.2f}", slot["headline"], " · ".join(slot["reasons"][:3]))
        for slot in content["slots"]
    ]
    show_table(f"Picked: {stories(len(rows))}", ("", "score", "headline", "why"), rows)
    say("")
    left = [(f"{story['score']:.2f}", story["headline"], story["why_not"]) for story in content["left_out"]]
    show_table(f"Left out: {len(left)}", ("score", "headline", "why not"), left)
    say("")
    shares = readership.counts(house, edition)["shares"]
    rows = [(share["segment"] or "everyone", share["channel"], share["state"], share["count"]) for share in shares]
    show_table(
        f"Sent: the edition was approved by {edition.approved_by}",
        ("segment", "channel", "state", "deliveries"),
        rows,
        right=("deliveries",),
    )
    say("")
    say(balance.words, style="bold")
    say("Open these first:")
    for what, file in _keepsakes(house, edition):
        say(f"  {file}   {what}")
    say("Run it again: nobody gets a second copy.")


def _keepsakes(house: Press, edition: EditionRow) -> list[tuple[str, Path]]:
    """The three files that show the most: the page, a mail, a push."""
    folder = house.settings.outbox_folder / place(house.engine, edition)
    found = [("the edition's page; open it in a browser", folder / "web" / "index.html")]
    for what, pattern in (("a mail, as it leaves", "*.eml"), ("a push, as it leaves", "*.json")):
        found += [(what, file) for file in sorted(folder.rglob(pattern))[:1]]
    return found
