"""The words of `digest alarms`; what they do is in digest.commands.alarms."""

from typing import Annotated

import typer

from digest.cli import Json, Who, door, group

app = group("What is wrong now, who is told, and quiet for a while.")


@app.command("list")
def show(as_json: Json = False) -> None:
    """What is wrong, since when, who was told, and what to do."""
    from digest.commands import alarms

    alarms.show(door.home, as_json=as_json)


@app.command("test")
def try_out(as_json: Json = False) -> None:
    """Send a test by each way that is set, and say what happened. Exit code 1 when one failed."""
    from digest.commands import alarms

    alarms.try_out(door.home, as_json=as_json)


@app.command()
def quiet(
    cause: Annotated[str, typer.Argument(metavar="CAUSE", help="As digest alarms list names it, such as stalled.")],
    lasting: Annotated[str, typer.Option("--for", help="Such as 30m, 2h or 1d; 0m ends it.")] = "2h",
    by: Who = "editor",
) -> None:
    """Tell nobody of a cause for a while. What is still wrong after it is told. Example: digest alarms quiet disk --for 2h"""
    from digest.commands import alarms

    alarms.quiet(door.home, cause, lasting, by=by)
