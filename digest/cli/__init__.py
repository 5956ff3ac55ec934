"""What every command of the command line shares: how its arguments are named, and what was said before it."""

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print data for programs instead of words for people.")]
Slug = Annotated[str, typer.Argument(metavar="DIGEST", help="The digest's short name, such as global.")]
Which = Annotated[str, typer.Argument(metavar="EDITION", help="latest, a date such as 2026-11-23, or a number.")]
Day = Annotated[
    str | None, typer.Option("--date", help="The edition's local date, such as 2026-11-23; today if left out.")
]
Who = Annotated[str, typer.Option("--by", envvar="DIGEST_EDITOR", help="Who is acting, for the audit.")]


class Door:
    """What the words before the command said."""

    home: Path | None = None
    quiet: bool = False


door = Door()
