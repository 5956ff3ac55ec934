"""The words of `digest suppressions`; what they do is in digest.commands.suppressions."""

from pathlib import Path
from typing import Annotated

import typer

from digest.cli import Address, Addresses, Columns, Encoding, Json, Maps, Who, door, group

app = group("Addresses nothing may go to, kept as keyed hashes alone.")

Reason = Annotated[str, typer.Option(help="asked, bounce, complaint, blocklisted or erased.")]


@app.command("list")
def show(
    reason: Annotated[str, typer.Option(help="Only these.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """How many there are by reason, and the newest."""
    from digest.commands import suppressions

    suppressions.show(door.home, reason=reason, limit=limit, as_json=as_json)


@app.command()
def add(
    addresses: Addresses,
    reason: Reason = "asked",
    note: Annotated[str, typer.Option(help="A note without any address.")] = "",
    by: Who = "editor",
) -> None:
    """Nothing goes to these addresses from now on, whatever anybody imports or edits."""
    from digest.commands import suppressions

    suppressions.add(door.home, addresses, reason=reason, note=note, by=by)


@app.command()
def remove(
    address: Address, reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "", by: Who = "editor"
) -> None:
    """Mail may go there again."""
    from digest.commands import suppressions

    suppressions.remove(door.home, address, reason=reason, by=by)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="Addresses, one on each line or in a column of a CSV file.")],
    reason: Reason = "blocklisted",
    maps: Maps = None,
    columns: Columns = "",
    encoding: Encoding = "",
    by: Who = "editor",
    as_json: Json = False,
) -> None:
    """Put every address of a file on the list."""
    from digest.commands import exchange, suppressions

    hints = exchange.hints_of(maps or [], columns, encoding, "", attributes=False)
    suppressions.import_file(door.home, file, reason=reason, hints=hints, by=by, as_json=as_json, quiet=door.quiet)


@app.command()
def check(address: Address, as_json: Json = False) -> None:
    """Is an address suppressed, since when, why, and who did it?"""
    from digest.commands import suppressions

    suppressions.check(door.home, address, as_json=as_json)
