"""The words of `digest unconfirmed`; what they do is in digest.commands.unconfirmed."""

from typing import Annotated

import typer

from digest.cli import Json, Slug, Which, Who, door, group

app = group("Deliveries that may have arrived, and nobody can know: list them, and decide.")

Numbers = Annotated[list[int] | None, typer.Option("--number", help="Only this delivery; say it again for more.")]


@app.command("list")
def show(
    digest: Annotated[str, typer.Argument(help="A digest, to see its deliveries one by one.")] = "",
    edition: Which = "latest",
    as_json: Json = False,
) -> None:
    """
    What has unconfirmed deliveries, or which deliveries they are.

    Example: digest unconfirmed list global 2026-11-23; with services for the date, the digest's service messages.
    """
    from digest.commands import unconfirmed

    unconfirmed.show(door.home, digest, edition, as_json=as_json)


@app.command()
def accept(
    digest: Slug, edition: Which = "latest", numbers: Numbers = None, by: Who = "editor", as_json: Json = False
) -> None:
    """They arrived: the provider's own log or page shows it."""
    _decide(digest, edition, "accept", numbers, by, as_json)


@app.command()
def resend(
    digest: Slug, edition: Which = "latest", numbers: Numbers = None, by: Who = "editor", as_json: Json = False
) -> None:
    """Queue them again, as the same messages. Whoever did get the first one gets a second."""
    _decide(digest, edition, "resend", numbers, by, as_json)


@app.command()
def close(
    digest: Slug, edition: Which = "latest", numbers: Numbers = None, by: Who = "editor", as_json: Json = False
) -> None:
    """Leave it unknown, and do nothing more. At the edition's deadline this happens by itself."""
    _decide(digest, edition, "close", numbers, by, as_json)


def _decide(digest: str, edition: str, decision: str, numbers: list[int] | None, by: str, as_json: bool) -> None:
    from digest.commands import unconfirmed

    unconfirmed.decide(door.home, digest, edition, decision, numbers=numbers or [], by=by, as_json=as_json)


@app.command()
def restored(by: Who = "editor") -> None:
    """After the database was restored from a backup, and you have looked at what went out: let sending go on."""
    from digest.commands import unconfirmed

    unconfirmed.restored(door.home, by=by)
