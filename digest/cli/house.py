"""The words of setting a house up and looking after it; what they do is in digest.commands.house."""

from typing import Annotated

import typer

from digest.cli import Json, Slug, door


def init(
    name: Annotated[str, typer.Option(help="The first digest's name, as readers see it.")] = "Global Morning",
    slug: Annotated[str, typer.Option(help="Its short name in commands and addresses.")] = "global",
    section: Annotated[str, typer.Option(help="Which section of the paper it picks from.")] = "Global",
    zone: Annotated[str, typer.Option(help="The newsroom's time zone, such as Europe/Madrid.")] = "UTC",
    language: Annotated[str, typer.Option(help="The language of its stories: en, es ...")] = "en",
) -> None:
    """
    Make the home folder, keys, database and a first digest.

    Safe to run again: it also brings the tables of an older version up to date.
    """
    from digest.commands import house

    house.init(door.home, name=name, slug=slug, section=section, zone=zone, language=language)


def set_digest(
    digest: Slug,
    name: Annotated[str | None, typer.Option(help="The name readers see.")] = None,
    section: Annotated[str | None, typer.Option(help="The section it picks from.")] = None,
    from_name: Annotated[str | None, typer.Option(help="The sender's name, such as The Daily Example.")] = None,
    from_address: Annotated[str | None, typer.Option(help="The sender's address, such as global@example.org.")] = None,
    reply_to: Annotated[str | None, typer.Option(help="Where answers go.")] = None,
    postal_address: Annotated[
        str | None, typer.Option(help="The publisher's address; the law wants it in every mail.")
    ] = None,
    wordmark: Annotated[str | None, typer.Option(help="The words of the masthead.")] = None,
    colours: Annotated[str | None, typer.Option(help="Such as accent=#a3281b,ink=#1b1d22.")] = None,
    look: Annotated[str | None, typer.Option(help="full, standard or brief, or a template of your own.")] = None,
    zone: Annotated[str | None, typer.Option(help="Time zone, such as Europe/Madrid.")] = None,
    language: Annotated[str | None, typer.Option(help="Language of its stories.")] = None,
    size: Annotated[int | None, typer.Option(help="How many stories at most.")] = None,
    minimum: Annotated[int | None, typer.Option(help="Below how many the window is widened.")] = None,
    short: Annotated[str | None, typer.Option(help="With too few stories: send or skip.")] = None,
    deadline: Annotated[str | None, typer.Option(help="The editors' deadline, local time, such as 06:45.")] = None,
    fallback: Annotated[
        str | None, typer.Option(help="At the deadline without an editor: send the pick, or hold it.")
    ] = None,
    channels: Annotated[str | None, typer.Option(help="Such as email,push.")] = None,
    segments: Annotated[
        str | None, typer.Option(help="Names in order; a reader's first match decides their variant.")
    ] = None,
    share: Annotated[str | None, typer.Option(help="Of whatsapp,telegram,facebook,x,email,copy.")] = None,
    utm: Annotated[str | None, typer.Option(help="Such as source=global-digest,campaign=morning.")] = None,
    image_hosts: Annotated[str | None, typer.Option(help="Hosts that images may come from.")] = None,
    editors: Annotated[
        str | None, typer.Option(help="Addresses that are told of its drafts, such as ana@example.org,ben@example.org.")
    ] = None,
    as_json: Json = False,
) -> None:
    """
    Show a digest, or change it.

    Its sender, look, rules and deadline. Example: digest set global --fallback send --size 8
    """
    given = {key: value for key, value in locals().items() if key not in {"digest", "as_json"} and value is not None}
    from digest.commands import house

    house.set_digest(door.home, digest, given, as_json=as_json)


def status(as_json: Json = False) -> None:
    """
    How the house stands, on one screen.

    Alarms, today's editions and how far they are, what is due next, sources, disks.
    """
    from digest.commands import status as standing

    standing.show(door.home, as_json=as_json)


def doctor(
    offline: Annotated[bool, typer.Option("--offline", help="Ask nobody: no server, no DNS.")] = False,
    as_json: Json = False,
) -> None:
    """
    Check the house, and say what to mend.

    Settings, keys, database, disk, clock, digests; the way out, by logging in and sending nothing; and what DNS says of
    your senders. Done within seconds, also when nobody answers. Exit code 1 when something must be mended.
    """
    from digest.commands import house

    house.doctor(door.home, offline=offline, as_json=as_json)
