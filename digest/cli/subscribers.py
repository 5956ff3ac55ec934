"""The words of `digest subscribers`; what they do is in digest.commands.exchange and digest.commands.people."""

from pathlib import Path
from typing import Annotated

import typer

from digest.cli import Address, Addresses, Columns, Encoding, Json, Maps, Slug, Who, door, group

app = group("The people: import, export, count; show, hand out or erase one.")

Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file, which only you may read.")]


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or TSV, packed or not: email, name, language, zone, topics ...")],
    digest: Annotated[str, typer.Option(help="The digest they asked for.")] = "global",
    consent: Annotated[
        str, typer.Option(help="What consent you hold, such as 'web form, March 2025'. Recorded with each.")
    ] = "",
    wording: Annotated[str, typer.Option(help="The version of the wording they agreed to.")] = "",
    channels: Annotated[str, typer.Option(help="For lines that state none.")] = "email",
    maps: Maps = None,
    columns: Columns = "",
    attributes: Annotated[bool, typer.Option("--attributes", help="Keep unknown columns as attributes.")] = False,
    status: Annotated[str, typer.Option(help="How everyone in the file stands: pending, left, cleaned ...")] = "",
    encoding: Encoding = "",
    report: Annotated[Path | None, typer.Option(help="Write the refused lines here, to be mended.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
    by: Who = "editor",
    as_json: Json = False,
) -> None:
    """
    Import subscribers: our own exports, listmonk's, Mailchimp's, or any file with a column of addresses.

    Each wrong line is named with its reason; the others go in. Killed, run it again: it goes on where it was.
    """
    from digest.commands import exchange

    hints = exchange.hints_of(maps or [], columns, encoding, status, attributes=attributes)
    exchange.import_file(
        door.home, file, digest=digest, consent=consent, wording=wording, channels=channels, hints=hints,
        report_file=report, dry_run=dry_run, by=by, as_json=as_json, quiet=door.quiet,
    )  # fmt: skip


@app.command()
def export(
    segment: Annotated[str, typer.Option(help="Only this segment's.")] = "",
    rule: Annotated[str, typer.Option(help="Only whom this rule lets in.")] = "",
    form: Annotated[str, typer.Option("--format", help="csv, tsv or json.")] = "csv",
    out: Out = None,
    mark: Annotated[bool, typer.Option("--bom", help="With a byte order mark, for Excel.")] = False,
) -> None:
    """
    Export subscribers with their subscriptions, harmless in a spreadsheet; importing it again changes nothing.

    Example: digest subscribers export --rule 'language = "es"' --out spanish.csv
    """
    from digest.commands import exchange

    exchange.export(door.home, segment=segment, rule=rule, form=form, out=out, mark=mark, quiet=door.quiet)


@app.command()
def show(address: Address, as_json: Json = False) -> None:
    """One person: what they asked for, and what became of it. Address and devices are masked."""
    from digest.commands import exchange

    exchange.show(door.home, address, as_json=as_json)


@app.command("export-person")
def export_person(address: Address, out: Out = None) -> None:
    """All that is held of one person, as JSON: for them to have."""
    from digest.commands import exchange

    exchange.export_person(door.home, address, out)


@app.command()
def erase(
    addresses: Addresses,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, for ever.")] = False,
    by: Who = "editor",
) -> None:
    """Erase a person: rows, messages in the outbox, and every trace in the database's files. They stay suppressed."""
    from digest.commands import exchange

    exchange.erase(door.home, addresses, yes=yes, by=by)


@app.command()
def count(digest: Annotated[str, typer.Option(help="Of this digest.")] = "global", as_json: Json = False) -> None:
    """How many readers a digest has, by channel, segment and language."""
    from digest.commands import people

    people.count(door.home, digest, as_json=as_json)


@app.command()
def why(digest: Slug, as_json: Json = False) -> None:
    """Why readers left a digest, as far as they cared to say."""
    from digest.commands import people

    people.why(door.home, digest, as_json=as_json)
