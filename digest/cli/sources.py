"""The words of `digest source`; what they do is in digest.commands.sources."""

from typing import Annotated

import typer

from digest.cli import Json, door, group

app = group("Where stories come from.")


@app.command()
def add(
    location: Annotated[str, typer.Argument(help="An address, or a path to a file.")],
    name: Annotated[str, typer.Option(help="A short name; made from the address if left out.")] = "",
    kind: Annotated[str, typer.Option(help="rss, jsonfeed, sitemap, page or text; found out if left out.")] = "",
    section: Annotated[str, typer.Option(help="For stories that state none.")] = "",
    language: Annotated[str, typer.Option(help="For stories that state none.")] = "",
    trust: Annotated[float, typer.Option(min=0, max=1, help="How much its word counts, 0 to 1.")] = 0.5,
    as_json: Json = False,
) -> None:
    """Add a source after reading it once. Example: digest source add https://example.org/global/feed.xml --section Global"""
    from digest.commands import sources

    sources.add(
        door.home, location, name=name, kind=kind, section=section, language=language, trust=trust, as_json=as_json
    )


@app.command("list")
def show_all(as_json: Json = False) -> None:
    """Every source and how it fares."""
    from digest.commands import sources

    sources.show_all(door.home, as_json=as_json)


@app.command()
def check(
    what: Annotated[str, typer.Argument(metavar="NAME|PATH|ADDRESS", help="A source you have, or one you consider.")],
    as_json: Json = False,
) -> None:
    """Read a source and show what it gives, keeping nothing."""
    from digest.commands import sources

    sources.check(door.home, what, as_json=as_json)


@app.command()
def enable(name: str) -> None:
    """Read a source again that was switched off."""
    from digest.commands import sources

    sources.switch(door.home, name, on=True)


@app.command()
def disable(name: str) -> None:
    """Stop reading a source; its stories stay."""
    from digest.commands import sources

    sources.switch(door.home, name, on=False)
