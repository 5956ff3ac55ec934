"""The words of staying on duty; what they do is in digest.commands.serve."""

from typing import Annotated

import typer

from digest.cli import door


def watch() -> None:
    """
    Stay on duty until Ctrl-C, without pages.

    Runs the stations of every cadence, keeps the deadlines of editions made by hand, and delivers what is due: the same as
    digest serve --only clock --only sender.
    """
    from digest.commands import serve

    serve.serve(door.home, (serve.CLOCK, serve.SENDER))


def serve(
    only: Annotated[
        list[str] | None, typer.Option("--only", help="web, clock or sender; may be said several times.")
    ] = None,
) -> None:
    """
    Do everything until Ctrl-C: readers' pages and providers' hooks, every day's stations, and what is due leaves.

    Where it answers is the setting DIGEST_LISTEN; a proxy that ends TLS belongs in front of it. Parts may run in processes
    of their own: digest serve --only web, and elsewhere digest serve --only clock --only sender.
    """
    from digest.commands import serve as serving

    serving.serve(door.home, only or serving.PARTS)
