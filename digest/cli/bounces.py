"""The words of `digest bounces`; what they do is in digest.commands.bounces."""

from typing import Annotated

import typer

from digest.cli import Json, door, group

app = group("What came back by mail.")


@app.command()
def read(
    place: Annotated[str, typer.Argument(metavar="MAILBOX", help="An mbox, a Maildir, a message, or - for a pipe.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """
    Read delivery reports, complaints and wishes to leave.

    Reading a mailbox again changes nothing. Example: digest bounces read /var/mail/bounces
    """
    from digest.commands import bounces

    bounces.read(door.home, place, dry_run=dry_run, as_json=as_json)
