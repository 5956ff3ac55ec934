"""Commands about readers: import them, count them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from digest import proofs
from digest.app import open_press
from digest.commands.screen import number, say, show_json, show_table, steps
from digest.database import reading, storage_in_words
from digest.errors import DigestError, NotFoundError, SettingsError
from digest.records import digest_named
from subscribers import leaving
from subscribers.exchange import ImportReport, import_csv
from subscribers.sheets import ImportRefusedError

SHOWN = 20  # refused lines printed in full; --json gives all that are kept


def import_file(
    home: Path | None,
    file: Path,
    *,
    digest: str,
    consent: str,
    channels: str,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    if not consent:
        raise SettingsError(
            "Say what consent you hold: --consent 'web form, March 2025'. It is recorded with each reader."
        )
    if not file.is_file():
        raise NotFoundError(f"There is no file {file}.")
    house = open_press(home)
    with reading(house.engine) as session:
        digest_id = cast("int", digest_named(session, digest).id)
    with steps(quiet=quiet or as_json) as progress, _refusals_in_words(file), storage_in_words():
        report = import_csv(
            house.engine, file, digest_id=digest_id, keys=house.keys, consent=consent, now=datetime.now(UTC),
            channels=tuple(channels.replace(",", " ").split()), dry_run=dry_run,
            told=lambda lines: progress.count("Lines read", lines, lines),
        )  # fmt: skip
    show_json(report) if as_json else _show(report, dry_run=dry_run)


@contextmanager
def _refusals_in_words(file: Path) -> Iterator[None]:
    try:
        yield
    except ImportRefusedError as error:
        raise FileError(f"{file}: {error}") from None
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror}.") from None


class FileError(DigestError):
    """A file as a whole cannot be imported; says why and what would help."""


def _show(report: ImportReport, *, dry_run: bool) -> None:
    for refused in report.refused[:SHOWN]:
        say(f"line {number(refused.line)}, {refused.column}: {refused.reason}", style="yellow")
    if len(report.refused) > SHOWN:
        say(f"and {number(len(report.refused) - SHOWN)} more refused lines; --json lists them", style="yellow")
    say(
        f"{'Would be new' if dry_run else 'New'}: {number(report.accepted)}, updated: {number(report.updated)}, "
        f"refused: {number(report.refused_count)}, suppressed: {number(report.suppressed)}.",
        style="bold",
    )


def count(home: Path | None, digest: str, *, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        row = digest_named(session, digest)
        found = proofs.wanted(session, row, house.settings, now=datetime.now(UTC))
    rows = [(one.channel, one.variant.segment or "everyone", one.variant.language, one.readers) for one in found]
    if as_json:
        show_json([dict(zip(("channel", "segment", "language", "readers"), row, strict=True)) for row in rows])
        return
    show_table("", ("channel", "segment", "language", "readers"), rows, right=("readers",))


REASONS = {
    "often": "too often", "much": "too much to read", "dull": "not their matter", "other": "another reason", "": "not said",
}  # fmt: skip


def why(home: Path | None, digest: str, *, as_json: bool) -> None:
    house = open_press(home)
    with reading(house.engine) as session:
        counts = leaving.whys(session.connection(), cast("int", digest_named(session, digest).id))
    if as_json:
        show_json([{"why": word or None, "readers": readers} for word, readers in counts.items()])
        return
    rows = [(REASONS[word], readers) for word, readers in counts.items()]
    show_table("", ("why they left", "readers"), rows, right=("readers",))
