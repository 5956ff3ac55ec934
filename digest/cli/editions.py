"""The words of `digest editions`; what they do is in digest.commands.desk."""

from typing import Annotated

import typer

from digest.cli import Json, Which, Who, door, group

app = group("What was, is and will be sent: list, show, and an editor's changes.")

Of = Annotated[str, typer.Option(help="Of this digest.")]


@app.command("list")
def show_all(
    digest: Annotated[str, typer.Option(help="Only this digest's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """The editions, newest first."""
    from digest.commands import desk

    desk.show_all(door.home, digest, limit=limit, as_json=as_json)


@app.command()
def show(edition: Which = "latest", digest: Of = "", as_json: Json = False) -> None:
    """One edition: its slots, counts and history. Example: digest editions show latest --json"""
    from digest.commands import desk

    desk.show(door.home, digest, edition, as_json=as_json)


@app.command()
def reword(
    slot: Annotated[int, typer.Argument(help="Which place, 1 first.")],
    edition: Which = "latest",
    headline: Annotated[str | None, typer.Option(help="Your headline; '' gives the story's own back.")] = None,
    teaser: Annotated[str | None, typer.Option(help="Your teaser.")] = None,
    kicker: Annotated[str | None, typer.Option(help="Your kicker.")] = None,
    digest: Of = "",
    by: Who = "editor",
) -> None:
    """Word a slot your way; the story itself stays as its source told it."""
    from digest.commands import desk

    desk.reword(door.home, digest, edition, slot, {"headline": headline, "teaser": teaser, "kicker": kicker}, by=by)


@app.command()
def title(
    edition: Which = "latest",
    subject: Annotated[str | None, typer.Option(help="The inbox line, best under 60 characters.")] = None,
    preheader: Annotated[str | None, typer.Option(help="The grey line after it, 35 to 110 characters.")] = None,
    intro: Annotated[str | None, typer.Option(help="A sentence or two under the masthead.")] = None,
    digest: Of = "",
    by: Who = "editor",
) -> None:
    """Set an edition's subject, preheader or intro."""
    from digest.commands import desk

    desk.title(door.home, digest, edition, {"subject": subject, "preheader": preheader, "intro": intro}, by=by)


@app.command()
def order(
    order: Annotated[
        str,
        typer.Argument(help="Present places in the order wanted, such as 2,1,3; those not named follow as they are."),
    ],
    edition: Which = "latest",
    digest: Of = "",
    by: Who = "editor",
) -> None:
    """Reorder slots; what you placed stays placed when the pick is made again."""
    from digest.commands import desk

    desk.order(door.home, digest, edition, order, by=by)


@app.command()
def drop(
    slot: Annotated[int, typer.Argument(help="Which place, 1 first.")],
    edition: Which = "latest",
    digest: Of = "",
    by: Who = "editor",
) -> None:
    """Take a slot out; the others close up and stay placed."""
    from digest.commands import desk

    desk.drop(door.home, digest, edition, slot, by=by)


@app.command()
def allow(
    numbers: Annotated[
        str, typer.Argument(help="Left-out stories by their numbers in digest explain: 3,7 or 1-5; '' for none.")
    ],
    edition: Which = "latest",
    digest: Of = "",
    by: Who = "editor",
) -> None:
    """
    Say which runners-up later waves may carry; the approval binds to it.

    With a cadence that is --fresher, one that is updated, or outweighs a story below the top three, takes its place.
    """
    from digest.commands import desk

    desk.allow(door.home, digest, edition, numbers, by=by)


@app.command()
def move(
    verb: Annotated[str, typer.Argument(help="submit, hold, reopen, skip, cancel, pause or resume.")],
    edition: Which = "latest",
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    digest: Of = "",
    by: Who = "editor",
) -> None:
    """Move an edition to another state. Example: digest editions move hold latest --reason "waiting for legal" """
    from digest.commands import desk

    desk.move(door.home, digest, edition, verb, reason=reason, by=by)
