"""The words of `digest dkim`; what they do is in digest.commands.dkim."""

from pathlib import Path
from typing import Annotated

import typer

from digest.cli import Json, door, group

app = group("Sign what leaves by SMTP: make a key, show what to publish.")


@app.command()
def new(
    selector: Annotated[str, typer.Argument(help="A name for the key that was never used before, such as news1.")],
    ed25519: Annotated[bool, typer.Option("--ed25519", help="Beside an RSA key: not everybody verifies it.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The key's file; in the home folder if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key, and say which record to publish and which line to set. Example: digest dkim new news1"""
    from digest.commands import dkim

    dkim.new(door.home, selector, ed25519=ed25519, out=out, as_json=as_json)


@app.command()
def show(as_json: Json = False) -> None:
    """The records to publish for the keys that sign now."""
    from digest.commands import dkim

    dkim.show(door.home, as_json=as_json)
