"""The words of `digest privacy`; what they do is in digest.commands.privacy."""

from typing import Annotated

import typer

from digest.cli import Json, door, group

app = group("What is kept of readers, and the removal of what has had its time.")


@app.command()
def report(as_json: Json = False) -> None:
    """What is kept of people: where, what for, how much, how long; consents, erasures, and what goes next."""
    from digest.commands import privacy

    privacy.report(door.home, as_json=as_json)


@app.command()
def sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """
    Remove what has had its time.

    digest serve and digest watch do it every hour; by hand or by cron it may run at any time.
    """
    from digest.commands import privacy

    privacy.sweep(door.home, dry_run=dry_run, as_json=as_json)
