"""The words of the line, from sources to readers, and of what came back; what they do is in digest.commands.morning and beside it."""

from pathlib import Path
from typing import Annotated

import typer

from digest.cli import Day, Json, Slug, Which, Who, door


def demo(
    folder: Annotated[Path, typer.Option("--into", help="Where to put the sample newsroom and its outbox.")] = Path(
        "demo"
    ),
) -> None:
    """
    Run a whole morning on a sample newsroom.

    Gathers, picks, approves by the deadline's fallback and delivers to 200 sample readers. Run it twice: nobody gets a
    second copy.
    """
    from digest.commands import demo as sample

    sample.demo(folder, quiet=door.quiet)


def gather(
    names: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE]...", help="Only these sources.")] = None,
    as_json: Json = False,
) -> None:
    """
    Read the sources and keep their stories.

    One that fails does not stop the others.
    """
    from digest.commands import sources

    sources.gather(door.home, names or [], as_json=as_json, quiet=door.quiet)


def assemble(
    digest: Slug,
    day: Day = None,
    name: Annotated[str, typer.Option(help="A breaking edition of that name, beside the day's own.")] = "",
    again: Annotated[bool, typer.Option("--again", help="Pick anew; what an editor pinned or worded stays.")] = False,
    as_json: Json = False,
) -> None:
    """
    Pick the day's stories into a draft edition.

    Examples: digest assemble global; and, when something happens: digest assemble global --name flood
    """
    from digest.commands import morning

    morning.assemble(door.home, digest, day, name=name, again=again, as_json=as_json, quiet=door.quiet)


def preview(
    digest: Slug,
    edition: Which = "latest",
    channel: Annotated[str, typer.Option(help="email, push or web.")] = "email",
    part: Annotated[str, typer.Option(help="html, text or raw (the message as it leaves).")] = "html",
    segment: Annotated[str, typer.Option(help="As readers of this segment see it.")] = "",
    language: Annotated[str, typer.Option(help="As readers of this language see it.")] = "",
    profile: Annotated[
        str, typer.Option(help="As readers of this topic profile see it: see digest editions show.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.")] = None,
    as_json: Json = False,
) -> None:
    """
    Print the proof that readers will get.

    Filled for one of them by the same code that sends. Example: digest preview global --out preview.html
    """
    from digest.commands import morning

    morning.preview(
        door.home,
        digest,
        edition,
        channel=channel,
        part=part,
        segment=segment,
        language=language,
        profile=profile,
        out=out,
        as_json=as_json,
    )


def explain(digest: Slug, edition: Which = "latest", as_json: Json = False) -> None:
    """Say why each story is in, and others are not."""
    from digest.commands import desk

    desk.explain(door.home, digest, edition, as_json=as_json)


def approve(digest: Slug, edition: Which = "latest", by: Who = "editor", as_json: Json = False) -> None:
    """
    Approve an edition as it stands.

    Its proofs are printed and checked, and the approval binds to what you read.
    """
    from digest.commands import morning

    morning.approve(door.home, digest, edition, by=by, as_json=as_json)


def deliver(digest: Slug, edition: Which = "latest", as_json: Json = False) -> None:
    """
    Hand an approved edition to each reader, once.

    Interrupted or killed, run it again: it goes on where it was.
    """
    from digest.commands import morning

    morning.deliver(door.home, digest, edition, as_json=as_json, quiet=door.quiet)


def run(
    digest: Slug,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="A path or address to gather from; added when new.")
    ] = None,
    yes: Annotated[bool, typer.Option("--approve", help="Approve the pick at once.")] = False,
    by: Who = "editor",
    day: Day = None,
    as_json: Json = False,
) -> None:
    """
    The whole line once, from sources to readers.

    Gathers, assembles, approves if told to (or the deadline's fallback does, once it has passed), and delivers.
    Example: digest run global --source page.txt --approve
    """
    from digest.commands import morning

    morning.run(door.home, digest, source or [], approve=yes, by=by, day=day, as_json=as_json, quiet=door.quiet)


def stats(digest: Slug, edition: Which = "latest", as_json: Json = False) -> None:
    """How often an edition was opened, and which links were followed. Example: digest stats global 2026-11-23"""
    from digest.commands import stats

    stats.show(door.home, digest, edition, as_json=as_json)
