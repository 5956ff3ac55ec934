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
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Theirs, as they signed up with it.")]
Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="One or more.")]
Maps = Annotated[
    list[str] | None, typer.Option("--map", help="HEADING=field, or HEADING= to leave it out; say it again for more.")
]
Columns = Annotated[str, typer.Option(help="For a file without headings: email,name,- (- for one to be left out).")]
Encoding = Annotated[str, typer.Option(help="If it is found out wrongly: utf-8, cp1252, mac-roman ...")]


class Door:
    """What the words before the command said."""

    home: Path | None = None
    quiet: bool = False


door = Door()


def group(words: str) -> typer.Typer:
    """Commands that share their first word, and what that word is for."""
    return typer.Typer(help=words, no_args_is_help=True, rich_markup_mode=None)
