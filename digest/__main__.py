"""The command line: thin, and importing nothing heavy until a command is called."""

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from digest import __version__
from digest.cli import (
    alarms,
    bounces,
    dkim,
    door,
    editions,
    house,
    machine,
    morning,
    privacy,
    schedule,
    segments,
    serve,
    sources,
    subscribers,
    suppressions,
    unconfirmed,
)
from digest.errors import DigestError, NotFoundError

HELP = """
A newsroom's stories in; the day's edition out, by email and push, each reader exactly once.

Start with `digest demo`: a whole morning on a sample newsroom, nothing to set up. Then, for your own paper:

\b
    digest --home press init
    digest --home press run global --source https://example.org/global/feed.xml
    digest --home press preview global
    digest --home press approve global && digest --home press deliver global

Exit codes: 0 done; 1 something failed, and the line says what to do; 2 a wrong word, name or setting;
3 not allowed as things stand; 4 disk or database refused; 130 interrupted, and what was in hand is finished.
"""

GARBAGE = 50_000
"""New objects before a look for garbage: what a command imports is some 300,000 that stay, and looking after each 700 was a tenth of its start."""

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"max_content_width": 100},
    pretty_exceptions_enable=False,
)

# in the order in which --help lists them
app.command()(machine.replay)
app.command()(machine.rehearse)
app.command()(morning.demo)
app.command()(house.init)
app.command("set")(house.set_digest)
app.command()(morning.gather)
app.command()(morning.assemble)
app.command()(morning.preview)
app.command()(morning.explain)
app.command()(morning.approve)
app.command()(morning.deliver)
app.command()(morning.run)
app.command()(serve.watch)
app.command()(serve.serve)
app.command()(house.status)
app.command()(house.doctor)
app.command()(morning.stats)
app.add_typer(schedule.app, name="schedule")
app.add_typer(dkim.app, name="dkim")
app.add_typer(bounces.app, name="bounces")
app.add_typer(unconfirmed.app, name="unconfirmed")
app.add_typer(sources.app, name="source")
app.add_typer(editions.app, name="editions")
app.add_typer(subscribers.app, name="subscribers")
app.add_typer(segments.app, name="segments")
app.add_typer(alarms.app, name="alarms")
app.add_typer(suppressions.app, name="suppressions")
app.add_typer(privacy.app, name="privacy")


def _say_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"Global Digest {__version__}")
        raise typer.Exit


@app.callback()
def _before(
    home: Annotated[
        Path | None, typer.Option("--home", help="The folder that holds everything; DIGEST_HOME otherwise.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only results.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    door.home, door.quiet = home, quiet


def main() -> None:
    """Run a command; an error that a person can act on is one line, never a traceback."""
    gc.set_threshold(GARBAGE)
    try:
        if any("\udc80" <= letter <= "\udcff" for word in sys.argv for letter in word):
            raise NotFoundError("A word of the command is not UTF-8 text; set a UTF-8 locale, or write it anew.")
        app(standalone_mode=True)
    except DigestError as error:
        words = "".join(letter for letter in str(error) if letter.isprintable())
        typer.secho(f"digest: {words}", fg="red", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo(
            "Interrupted: what was in hand is finished, the rest waits. Run the same command to go on.", err=True
        )
        sys.exit(130)


if __name__ == "__main__":
    main()
