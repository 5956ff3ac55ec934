"""Commands that bring readers in and out: import a file of them, export them, show, hand out or erase one."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from sqlmodel import Session

from digest import desk, persons, segments
from digest.app import open_press
from digest.commands.screen import number, say, show_json, show_table, steps
from digest.database import reading, storage_in_words, writing
from digest.deliveries.tables import one_snapshot
from digest.digests import digest_named
from digest.errors import DigestError, NotFoundError, SettingsError
from digest.press import Press
from digest.upkeep import scrubbed
from subscribers.addresses import masked
from subscribers.exchange import ImportReport, import_csv
from subscribers.exporting import FORMATS, people, write_people
from subscribers.fields import STANDINGS
from subscribers.files import ImportRefusedError
from subscribers.outfiles import written_aside
from subscribers.sheets import Hints

SHOWN = 20  # lines printed in full; --json gives all that are kept


class FileError(DigestError):
    """A file as a whole cannot be read or written; says why and what would help."""


# import -------------------------------------------------------------------------------------------------------------


def import_file(
    home: Path | None,
    file: Path,
    *,
    digest: str,
    consent: str,
    wording: str,
    channels: str,
    hints: Hints,
    report_file: Path | None,
    dry_run: bool,
    by: str,
    as_json: bool,
    quiet: bool,
) -> None:
    if not consent:
        raise SettingsError(
            "Say what consent you hold: --consent 'web form, March 2025'. It is recorded with each reader."
        )
    if hints.standing and hints.standing not in STANDINGS:
        raise SettingsError(f"There is no status {hints.standing!r}: use one of {', '.join(STANDINGS)}.")
    if not file.is_file():
        raise NotFoundError(f"There is no file {file}.")
    house, now = open_press(home), datetime.now(UTC)
    with reading(house.engine) as session:
        row = digest_named(session, digest)
        names = persons.digest_names(session.connection())
    with steps(quiet=quiet or as_json) as progress, file_in_words(file), storage_in_words():
        report = import_csv(
            house.engine, file, digest_id=cast("int", row.id), digests={slug: one for one, slug in names.items()},
            keys=house.keys, consent=consent, wording=wording, channels=_words(channels), language=row.language,
            hints=hints, dry_run=dry_run, report_file=report_file, now=now,
            told=lambda lines, total: progress.count("Lines read", lines, total),
        )  # fmt: skip
    if not dry_run:
        with writing(house.engine) as session:
            _note_import(session, file, report, digest=cast("int", row.id), consent=consent, by=by, now=now)
    show_json(report) if as_json else _show_import(report, report_file, dry_run=dry_run)


def hints_of(maps: Iterable[str], columns: str, encoding: str, standing: str, *, attributes: bool) -> Hints:
    """What the command line says of a file. A map is HEADING=field; the heading may hold a =, the field does not."""
    pairs = [one.rpartition("=") for one in maps]
    if wrong := [field for heading, divider, field in pairs if not divider or not heading]:
        raise SettingsError(f"--map {wrong[0]!r} has no =: write it as --map 'E-Mail Address=email'.")
    return Hints(
        maps={heading: field for heading, _, field in pairs}, columns=tuple(columns.split(",")) if columns else (),
        encoding=encoding, standing=standing.strip().lower(), attributes=attributes,
    )  # fmt: skip


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


@contextmanager
def file_in_words(file: Path) -> Iterator[None]:
    try:
        yield
    except ImportRefusedError as error:
        raise FileError(f"{file}: {error}") from None
    except OSError as error:
        raise FileError(f"{error.filename or file} cannot be read or written: {error.strerror}.") from None


def _note_import(
    session: Session, file: Path, report: ImportReport, *, digest: int, consent: str, by: str, now: datetime
) -> None:
    counts = {name: getattr(report, name) for name in ("accepted", "updated", "left", "suppressed", "refused_count")}
    detail = {"file": file.name, "consent": consent, **counts}
    desk.write_down(session, who=by, did="import", subject="digest", subject_id=digest, now=now, detail=detail)


def _show_import(report: ImportReport, report_file: Path | None, *, dry_run: bool) -> None:
    say(f"Read as {report.file}, {report.layout}.")
    taken = [f"{given} as {ours}" for given, ours in report.columns.items() if ours and given.strip().lower() != ours]
    if taken:
        say(f"Took {', '.join(taken)}.")
    if report.ignored:
        say(f"Left out the columns {', '.join(map(repr, report.ignored))}; --attributes keeps them as attributes.")
    if report.resumed_at:
        say(f"Went on after line {number(report.resumed_at)}, where an earlier run was broken off.")
    for refused in report.refused[:SHOWN]:
        where = f", {refused.column}" if refused.column else ""
        say(f"line {number(refused.line)}{where}: {refused.reason}", style="yellow")
    if report.refused_count > SHOWN:
        where = f"{report_file} has them all" if report_file else "--report FILE.csv writes them all, to be mended"
        say(f"and {number(report.refused_count - SHOWN)} more refused lines; {where}", style="yellow")
    for repeat in report.repeats[:SHOWN]:
        say(f"line {number(repeat.line)}: the same person as line {number(repeat.first)}; this line's fields win")
    say(
        f"{'Would be new' if dry_run else 'New'}: {number(report.accepted)}, updated: {number(report.updated)}, "
        f"unchanged: {number(report.unchanged)}, refused: {number(report.refused_count)}, "
        f"suppressed: {number(report.suppressed)}, met twice: {number(report.twice)}.",
        style="bold",
    )
    if report.left:
        say(f"{number(report.left)} of them have left, by this file's word or before, and stay so.")


# export -------------------------------------------------------------------------------------------------------------


def export(home: Path | None, *, segment: str, rule: str, form: str, out: Path | None, mark: bool, quiet: bool) -> None:
    if form not in FORMATS:
        raise SettingsError(f"There is no format {form!r}: use {', '.join(FORMATS)}.")
    house = open_press(home)
    with reading(house.engine) as session:
        connection = session.connection()
        one_snapshot(connection)
        wanted = _condition(session, house, segment, rule)
        everyone = people(connection, digests=persons.digest_names(connection), rule=wanted)
        with _outlet(out, mark=mark) as outlet, steps(quiet=quiet or out is None) as progress:
            written = write_people(outlet, _counted(everyone, progress), form)
    if out is not None:
        say(f"{number(written)} subscribers in {out}, which only you may read.")


def _counted(everyone: Iterator[dict[str, Any]], progress: Any) -> Iterator[dict[str, Any]]:
    for count, person in enumerate(everyone, 1):
        if count % 1000 == 0:
            progress.count("Subscribers", count, count)
        yield person


def _condition(session: Session, house: Press, segment: str, rule: str) -> Any:
    """Whom a segment or a rule lets in; None for everyone."""
    if not segment and not rule:
        return None
    asked = rule or segments.named(session, segment).rule
    return segments.read_rule(asked, now=datetime.now(UTC), names=segments.names(session, house.settings))


@contextmanager
def _outlet(out: Path | None, *, mark: bool = False) -> Iterator[IO[str]]:
    """The file, or the screen and whatever it is led into. `mark`: with a byte order mark, by which Excel knows UTF-8."""
    encoding = "utf-8-sig" if mark else "utf-8"
    if out is None:
        cast("Any", sys.stdout).reconfigure(encoding=encoding, newline="")
        yield sys.stdout
        return
    with file_in_words(out), written_aside(out, encoding=encoding) as file:
        yield file


# one person ---------------------------------------------------------------------------------------------------------


def export_person(home: Path | None, address: str, out: Path | None) -> None:
    house = open_press(home)
    found = persons.everything_of(house, address, now=datetime.now(UTC))
    with _outlet(out) as outlet:
        outlet.write(persons.written(found))
    if out is not None:
        say(f"All that is held of them is in {out}, which only you may read.")


def show(home: Path | None, address: str, *, as_json: bool) -> None:
    house = open_press(home)
    found = _masked(persons.everything_of(house, address, now=datetime.now(UTC)))
    if as_json:
        show_json(found)
        return
    own = {name: found[name] for name in ("email", "name", "language", "zone", "country", "plan") if found.get(name)}
    own |= {name: ", ".join(found[name]) for name in ("topics", "less") if found.get(name)}
    own |= {
        name: _day(found.get(at)) for name, at in (("joined", "joined_at"), ("chose", "chosen_at")) if found.get(at)
    }
    for name, value in own.items():
        say(f"{name:<12}{value}")
    for name, value in found.get("attributes", {}).items():
        say(f"{'attr.' + name:<12}{value}")
    if why := found["suppression"]:
        say(f"Suppressed since {why['since']:%Y-%m-%d}: {why['reason']} {why['note']}".rstrip(), style="yellow")
    for one in found["signups"]:
        say(f"{'asked for':<12}{one['digest']} on {_day(one['asked_at'])}, not confirmed")
    _show_wishes(found.get("subscriptions", []))
    _show_deliveries(found["deliveries"])


def _show_wishes(wishes: Sequence[dict[str, Any]]) -> None:
    rows = [
        (one["digest"], one["channel"], one["state"], _day(one.get("consent_at")), one.get("consent_source", ""),
         _day(one.get("confirmed_at")), _day(one.get("left_at")))
        for one in wishes
    ]  # fmt: skip
    if rows:
        show_table("", ("digest", "channel", "state", "consent", "given where", "confirmed", "left"), rows)


def _show_deliveries(deliveries: Sequence[dict[str, Any]]) -> None:
    rows = [(one["digest"], one["channel"], one["state"], _day(one["updated_at"])) for one in deliveries[-SHOWN:]]
    if rows:
        show_table(f"The last of {number(len(deliveries))} deliveries", ("digest", "channel", "state", "when"), rows)


def _day(at: datetime | None) -> str:
    return f"{at:%Y-%m-%d}" if at else ""


def _masked(found: dict[str, Any]) -> dict[str, Any]:
    """For a screen that others see, or a ticket: the address, the public id and devices only as far as to know them again."""
    lists = {name: [_masked_row(one) for one in value] for name, value in found.items() if isinstance(value, list)}
    shown = {**found, **lists}
    if "email" in found:
        shown |= {"email": masked(found["email"]), "public_id": f"{found['public_id'][:4]}…"}
    return shown


def _masked_row(row: Any) -> Any:
    if not isinstance(row, dict):
        return row
    device = {"device": f"{row['device'][:4]}…"} if row.get("device") else {}
    return {**row, **device, **({"email": masked(row["email"])} if row.get("email") else {})}


def erase(home: Path | None, addresses: Sequence[str], *, yes: bool, by: str) -> None:
    if not yes:
        raise SettingsError(
            "What is erased is gone: say --yes to do it. digest subscribers export-person keeps a copy."
        )
    house = open_press(home)
    for address in addresses:
        done = persons.erase(house, address, who=by, now=datetime.now(UTC))
        if done.known:
            say(
                f"Erased: {number(done.deliveries)} deliveries are nobody's now, {number(done.files)} messages removed."
            )
        else:
            say("Erased before; nothing else is held of that address.")
    scrubbed(house, now=datetime.now(UTC))
    say("The address stays suppressed by its keyed hash. Copies in backups and at mail providers are yours to see to.")
