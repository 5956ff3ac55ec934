"""The words of the time machine: print once more what was sent, or run through a morning that is still to come."""

from typing import Annotated

import typer

from digest.cli import Json, Slug, Which, door


def replay(
    digest: Slug,
    edition: Which = "latest",
    number: Annotated[int | None, typer.Option(help="Only this delivery, printed as it is.")] = None,
    into: Annotated[str, typer.Option("--into", help="A name for the folder; the edition's if left out.")] = "",
    as_json: Json = False,
) -> None:
    """
    Print an edition's messages again, byte for byte, from what was stored; nothing leaves.

    They are written below copies/replay in the home folder, and kept for DIGEST_COPY_DAYS.

    Example: digest replay global 2026-11-23 --number 17
    """
    from digest.commands import machine

    machine.replay(door.home, digest, edition, number=number, into=into, as_json=as_json, quiet=door.quiet)


def rehearse(
    digest: Slug,
    at: Annotated[str, typer.Option("--at", help="The local date, or date and time, such as 2027-03-28T07:00.")],
    kind: Annotated[str, typer.Option(help="daily or weekly.")] = "daily",
    into: Annotated[str, typer.Option("--into", help="A name for the folder; a new one if left out.")] = "",
    gathers: Annotated[bool, typer.Option("--gather", help="Read the sources too, as they are now.")] = False,
    readers: Annotated[int, typer.Option(help="How many readers the copy has.")] = 1_000,
    as_json: Json = False,
) -> None:
    """
    Run through a morning on a copy: that day's clock, a throw-away outbox, and nobody gets anything.

    The copy is below copies/rehearsal in the home folder, and is kept for DIGEST_COPY_DAYS, or until somebody is erased.
    With a time, the edition is due then instead of at its cadence's. Example: digest rehearse global --at 2027-03-28T07:00
    """
    from digest.commands import machine

    machine.rehearse(door.home, digest, at, kind=kind, into=into, gathers=gathers, readers=readers, as_json=as_json)
