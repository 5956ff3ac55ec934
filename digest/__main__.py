"""The command line: thin, and importing nothing heavy until a command is called."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from digest import __version__
from digest.cli import Day, Json, Slug, Which, Who, door, machine
from digest.cli import schedule as schedule_words
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

app = typer.Typer(
    help=HELP,
    no_args_is_help=True,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"max_content_width": 100},
    pretty_exceptions_enable=False,
)
source_app = typer.Typer(help="Where stories come from.", no_args_is_help=True, rich_markup_mode=None)
editions_app = typer.Typer(
    help="What was, is and will be sent: list, show, and an editor's changes.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
subscribers_app = typer.Typer(
    help="The people: import, export, count; show, hand out or erase one.", no_args_is_help=True, rich_markup_mode=None
)
segments_app = typer.Typer(help="Saved rules that say who gets what.", no_args_is_help=True, rich_markup_mode=None)
unconfirmed_app = typer.Typer(
    help="Deliveries that may have arrived, and nobody can know: list them, and decide.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
dkim_app = typer.Typer(
    help="Sign what leaves by SMTP: make a key, show what to publish.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(schedule_words.app, name="schedule")
app.command()(machine.replay)
app.command()(machine.rehearse)
app.add_typer(dkim_app, name="dkim")
bounces_app = typer.Typer(help="What came back by mail.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bounces_app, name="bounces")
app.add_typer(unconfirmed_app, name="unconfirmed")
app.add_typer(source_app, name="source")
app.add_typer(editions_app, name="editions")
app.add_typer(subscribers_app, name="subscribers")
app.add_typer(segments_app, name="segments")
alarms_app = typer.Typer(
    help="What is wrong now, who is told, and quiet for a while.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(alarms_app, name="alarms")
suppressions_app = typer.Typer(
    help="Addresses nothing may go to, kept as keyed hashes alone.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(suppressions_app, name="suppressions")

privacy_app = typer.Typer(
    help="What is kept of readers, and the removal of what has had its time.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(privacy_app, name="privacy")


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


@app.command()
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
    from digest.commands import morning

    morning.demo(folder, quiet=door.quiet)


@app.command()
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


@app.command("set")
def set_(
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


@app.command()
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


@app.command()
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


@app.command()
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


@app.command()
def explain(digest: Slug, edition: Which = "latest", as_json: Json = False) -> None:
    """Say why each story is in, and others are not."""
    from digest.commands import desk

    desk.explain(door.home, digest, edition, as_json=as_json)


@app.command()
def approve(digest: Slug, edition: Which = "latest", by: Who = "editor", as_json: Json = False) -> None:
    """
    Approve an edition as it stands.

    Its proofs are printed and checked, and the approval binds to what you read.
    """
    from digest.commands import morning

    morning.approve(door.home, digest, edition, by=by, as_json=as_json)


@app.command()
def deliver(digest: Slug, edition: Which = "latest", as_json: Json = False) -> None:
    """
    Hand an approved edition to each reader, once.

    Interrupted or killed, run it again: it goes on where it was.
    """
    from digest.commands import morning

    morning.deliver(door.home, digest, edition, as_json=as_json, quiet=door.quiet)


@app.command()
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


@app.command()
def watch() -> None:
    """
    Stay on duty until Ctrl-C, without pages.

    Runs the stations of every cadence, keeps the deadlines of editions made by hand, and delivers what is due: the same as
    digest serve --only clock --only sender.
    """
    from digest.commands import serve

    serve.serve(door.home, (serve.CLOCK, serve.SENDER))


@app.command()
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


@app.command()
def status(as_json: Json = False) -> None:
    """
    How the house stands, on one screen.

    Alarms, today's editions and how far they are, what is due next, sources, disks.
    """
    from digest.commands import status as standing

    standing.show(door.home, as_json=as_json)


@app.command()
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


@dkim_app.command("new")
def dkim_new(
    selector: Annotated[str, typer.Argument(help="A name for the key that was never used before, such as news1.")],
    ed25519: Annotated[bool, typer.Option("--ed25519", help="Beside an RSA key: not everybody verifies it.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The key's file; in the home folder if left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key, and say which record to publish and which line to set. Example: digest dkim new news1"""
    from digest.commands import dkim

    dkim.new(door.home, selector, ed25519=ed25519, out=out, as_json=as_json)


@dkim_app.command("show")
def dkim_show(as_json: Json = False) -> None:
    """The records to publish for the keys that sign now."""
    from digest.commands import dkim

    dkim.show(door.home, as_json=as_json)


Numbers = Annotated[list[int] | None, typer.Option("--number", help="Only this delivery; say it again for more.")]


@unconfirmed_app.command("list")
def unconfirmed_list(
    digest: Annotated[str, typer.Argument(help="A digest, to see its deliveries one by one.")] = "",
    edition: Which = "latest",
    as_json: Json = False,
) -> None:
    """
    What has unconfirmed deliveries, or which deliveries they are.

    Example: digest unconfirmed list global 2026-11-23; with services for the date, the digest's service messages.
    """
    from digest.commands import unconfirmed

    unconfirmed.show(door.home, digest, edition, as_json=as_json)


@unconfirmed_app.command("accept")
def unconfirmed_accept(
    digest: Slug, edition: Which = "latest", numbers: Numbers = None, by: Who = "editor", as_json: Json = False
) -> None:
    """They arrived: the provider's own log or page shows it."""
    _decide(digest, edition, "accept", numbers, by, as_json)


@unconfirmed_app.command("resend")
def unconfirmed_resend(
    digest: Slug, edition: Which = "latest", numbers: Numbers = None, by: Who = "editor", as_json: Json = False
) -> None:
    """Queue them again, as the same messages. Whoever did get the first one gets a second."""
    _decide(digest, edition, "resend", numbers, by, as_json)


@unconfirmed_app.command("close")
def unconfirmed_close(
    digest: Slug, edition: Which = "latest", numbers: Numbers = None, by: Who = "editor", as_json: Json = False
) -> None:
    """Leave it unknown, and do nothing more. At the edition's deadline this happens by itself."""
    _decide(digest, edition, "close", numbers, by, as_json)


def _decide(digest: str, edition: str, decision: str, numbers: list[int] | None, by: str, as_json: bool) -> None:
    from digest.commands import unconfirmed

    unconfirmed.decide(door.home, digest, edition, decision, numbers=numbers or [], by=by, as_json=as_json)


@unconfirmed_app.command("restored")
def unconfirmed_restored(by: Who = "editor") -> None:
    """After the database was restored from a backup, and you have looked at what went out: let sending go on."""
    from digest.commands import unconfirmed

    unconfirmed.restored(door.home, by=by)


@bounces_app.command("read")
def bounces_read(
    place: Annotated[str, typer.Argument(metavar="MAILBOX", help="An mbox, a Maildir, a message, or - for a pipe.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """
    Read delivery reports, complaints and wishes to leave.

    Reading a mailbox again changes nothing. Example: digest bounces read /var/mail/bounces
    """
    from digest.commands import bounces

    bounces.read(door.home, place, dry_run=dry_run, as_json=as_json)


@source_app.command("add")
def source_add(
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


@source_app.command("list")
def source_list(as_json: Json = False) -> None:
    """Every source and how it fares."""
    from digest.commands import sources

    sources.show_all(door.home, as_json=as_json)


@source_app.command("check")
def source_check(
    what: Annotated[str, typer.Argument(metavar="NAME|PATH|ADDRESS", help="A source you have, or one you consider.")],
    as_json: Json = False,
) -> None:
    """Read a source and show what it gives, keeping nothing."""
    from digest.commands import sources

    sources.check(door.home, what, as_json=as_json)


@source_app.command("enable")
def source_enable(name: str) -> None:
    """Read a source again that was switched off."""
    from digest.commands import sources

    sources.switch(door.home, name, on=True)


@source_app.command("disable")
def source_disable(name: str) -> None:
    """Stop reading a source; its stories stay."""
    from digest.commands import sources

    sources.switch(door.home, name, on=False)


@editions_app.command("list")
def editions_list(
    digest: Annotated[str, typer.Option(help="Only this digest's.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """The editions, newest first."""
    from digest.commands import desk

    desk.show_all(door.home, digest, limit=limit, as_json=as_json)


@editions_app.command("show")
def editions_show(
    edition: Which = "latest", digest: Annotated[str, typer.Option(help="Of this digest.")] = "", as_json: Json = False
) -> None:
    """One edition: its slots, counts and history. Example: digest editions show latest --json"""
    from digest.commands import desk

    desk.show(door.home, digest, edition, as_json=as_json)


@app.command("stats")
def stats_(digest: Slug, edition: Which = "latest", as_json: Json = False) -> None:
    """How often an edition was opened, and which links were followed. Example: digest stats global 2026-11-23"""
    from digest.commands import stats

    stats.show(door.home, digest, edition, as_json=as_json)


@editions_app.command("reword")
def editions_reword(
    slot: Annotated[int, typer.Argument(help="Which place, 1 first.")],
    edition: Which = "latest",
    headline: Annotated[str | None, typer.Option(help="Your headline; '' gives the story's own back.")] = None,
    teaser: Annotated[str | None, typer.Option(help="Your teaser.")] = None,
    kicker: Annotated[str | None, typer.Option(help="Your kicker.")] = None,
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "",
    by: Who = "editor",
) -> None:
    """Word a slot your way; the story itself stays as its source told it."""
    from digest.commands import desk

    desk.reword(door.home, digest, edition, slot, {"headline": headline, "teaser": teaser, "kicker": kicker}, by=by)


@editions_app.command("title")
def editions_title(
    edition: Which = "latest",
    subject: Annotated[str | None, typer.Option(help="The inbox line, best under 60 characters.")] = None,
    preheader: Annotated[str | None, typer.Option(help="The grey line after it, 35 to 110 characters.")] = None,
    intro: Annotated[str | None, typer.Option(help="A sentence or two under the masthead.")] = None,
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "",
    by: Who = "editor",
) -> None:
    """Set an edition's subject, preheader or intro."""
    from digest.commands import desk

    desk.title(door.home, digest, edition, {"subject": subject, "preheader": preheader, "intro": intro}, by=by)


@editions_app.command("order")
def editions_order(
    order: Annotated[
        str,
        typer.Argument(help="Present places in the order wanted, such as 2,1,3; those not named follow as they are."),
    ],
    edition: Which = "latest",
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "",
    by: Who = "editor",
) -> None:
    """Reorder slots; what you placed stays placed when the pick is made again."""
    from digest.commands import desk

    desk.order(door.home, digest, edition, order, by=by)


@editions_app.command("drop")
def editions_drop(
    slot: Annotated[int, typer.Argument(help="Which place, 1 first.")],
    edition: Which = "latest",
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "",
    by: Who = "editor",
) -> None:
    """Take a slot out; the others close up and stay placed."""
    from digest.commands import desk

    desk.drop(door.home, digest, edition, slot, by=by)


@editions_app.command("allow")
def editions_allow(
    numbers: Annotated[
        str, typer.Argument(help="Left-out stories by their numbers in digest explain: 3,7 or 1-5; '' for none.")
    ],
    edition: Which = "latest",
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "",
    by: Who = "editor",
) -> None:
    """
    Say which runners-up later waves may carry; the approval binds to it.

    With a cadence that is --fresher, one that is updated, or outweighs a story below the top three, takes its place.
    """
    from digest.commands import desk

    desk.allow(door.home, digest, edition, numbers, by=by)


@editions_app.command("move")
def editions_move(
    verb: Annotated[str, typer.Argument(help="submit, hold, reopen, skip, cancel, pause or resume.")],
    edition: Which = "latest",
    reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "",
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "",
    by: Who = "editor",
) -> None:
    """Move an edition to another state. Example: digest editions move hold latest --reason "waiting for legal" """
    from digest.commands import desk

    desk.move(door.home, digest, edition, verb, reason=reason, by=by)


Maps = Annotated[
    list[str] | None, typer.Option("--map", help="HEADING=field, or HEADING= to leave it out; say it again for more.")
]
Columns = Annotated[str, typer.Option(help="For a file without headings: email,name,- (- for one to be left out).")]
Encoding = Annotated[str, typer.Option(help="If it is found out wrongly: utf-8, cp1252, mac-roman ...")]


@subscribers_app.command("import")
def subscribers_import(
    file: Annotated[Path, typer.Argument(help="CSV or TSV, packed or not: email, name, language, zone, topics ...")],
    digest: Annotated[str, typer.Option(help="The digest they asked for.")] = "global",
    consent: Annotated[
        str, typer.Option(help="What consent you hold, such as 'web form, March 2025'. Recorded with each.")
    ] = "",
    wording: Annotated[str, typer.Option(help="The version of the wording they agreed to.")] = "",
    channels: Annotated[str, typer.Option(help="For lines that state none.")] = "email",
    maps: Maps = None,
    columns: Columns = "",
    attributes: Annotated[bool, typer.Option("--attributes", help="Keep unknown columns as attributes.")] = False,
    status: Annotated[str, typer.Option(help="How everyone in the file stands: pending, left, cleaned ...")] = "",
    encoding: Encoding = "",
    report: Annotated[Path | None, typer.Option(help="Write the refused lines here, to be mended.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen, change nothing.")] = False,
    by: Who = "editor",
    as_json: Json = False,
) -> None:
    """
    Import subscribers: our own exports, listmonk's, Mailchimp's, or any file with a column of addresses.

    Each wrong line is named with its reason; the others go in. Killed, run it again: it goes on where it was.
    """
    from digest.commands import exchange

    hints = exchange.hints_of(maps or [], columns, encoding, status, attributes=attributes)
    exchange.import_file(
        door.home, file, digest=digest, consent=consent, wording=wording, channels=channels, hints=hints,
        report_file=report, dry_run=dry_run, by=by, as_json=as_json, quiet=door.quiet,
    )  # fmt: skip


Out = Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file, which only you may read.")]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Theirs, as they signed up with it.")]
Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS...", help="One or more.")]


@subscribers_app.command("export")
def subscribers_export(
    segment: Annotated[str, typer.Option(help="Only this segment's.")] = "",
    rule: Annotated[str, typer.Option(help="Only whom this rule lets in.")] = "",
    form: Annotated[str, typer.Option("--format", help="csv, tsv or json.")] = "csv",
    out: Out = None,
    mark: Annotated[bool, typer.Option("--bom", help="With a byte order mark, for Excel.")] = False,
) -> None:
    """
    Export subscribers with their subscriptions, harmless in a spreadsheet; importing it again changes nothing.

    Example: digest subscribers export --rule 'language = "es"' --out spanish.csv
    """
    from digest.commands import exchange

    exchange.export(door.home, segment=segment, rule=rule, form=form, out=out, mark=mark, quiet=door.quiet)


@subscribers_app.command("show")
def subscribers_show(address: Address, as_json: Json = False) -> None:
    """One person: what they asked for, and what became of it. Address and devices are masked."""
    from digest.commands import exchange

    exchange.show(door.home, address, as_json=as_json)


@subscribers_app.command("export-person")
def subscribers_export_person(address: Address, out: Out = None) -> None:
    """All that is held of one person, as JSON: for them to have."""
    from digest.commands import exchange

    exchange.export_person(door.home, address, out)


@subscribers_app.command("erase")
def subscribers_erase(
    addresses: Addresses,
    yes: Annotated[bool, typer.Option("--yes", help="Yes, for ever.")] = False,
    by: Who = "editor",
) -> None:
    """Erase a person: rows, messages in the outbox, and every trace in the database's files. They stay suppressed."""
    from digest.commands import exchange

    exchange.erase(door.home, addresses, yes=yes, by=by)


@subscribers_app.command("count")
def subscribers_count(
    digest: Annotated[str, typer.Option(help="Of this digest.")] = "global", as_json: Json = False
) -> None:
    """How many readers a digest has, by channel, segment and language."""
    from digest.commands import people

    people.count(door.home, digest, as_json=as_json)


@subscribers_app.command("why")
def subscribers_why(digest: Slug, as_json: Json = False) -> None:
    """Why readers left a digest, as far as they cared to say."""
    from digest.commands import people

    people.why(door.home, digest, as_json=as_json)


What = Annotated[str, typer.Argument(metavar="NAME|RULE", help="A saved segment, or a rule.")]


@segments_app.command("add")
def segments_add(
    name: str,
    rule: Annotated[str, typer.Argument(help="""Such as: language = "es" and topics has "korea".""")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    by: Who = "editor",
    as_json: Json = False,
) -> None:
    """Save a rule, or change it. The whole language is in docs/segments.md."""
    from digest.commands import segments

    segments.add(door.home, name, rule, description, by=by, as_json=as_json)


@segments_app.command("list")
def segments_list(as_json: Json = False) -> None:
    """Every saved rule and how many it matches now."""
    from digest.commands import segments

    segments.show_all(door.home, as_json=as_json)


@segments_app.command("show")
def segments_show(name: str, as_json: Json = False) -> None:
    """One saved rule, how many it matches now, and what uses it."""
    from digest.commands import segments

    segments.show(door.home, name, as_json=as_json)


@segments_app.command("remove")
def segments_remove(name: str, by: Who = "editor", as_json: Json = False) -> None:
    """Forget a rule; refused while a digest or another segment uses it."""
    from digest.commands import segments

    segments.remove(door.home, name, by=by, as_json=as_json)


@segments_app.command("test")
def segments_test(rule: str, as_json: Json = False) -> None:
    """Say whether a rule can be read and how many it matches, or what is wrong and where (exit code 2)."""
    from digest.commands import segments

    segments.test(door.home, rule, as_json=as_json)


@segments_app.command("count")
def segments_count(what: What, as_json: Json = False) -> None:
    """How many it matches now, and how long the count took."""
    from digest.commands import segments

    segments.count(door.home, what, as_json=as_json)


@segments_app.command("sample")
def segments_sample(
    what: What,
    size: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 10,
    as_json: Json = False,
) -> None:
    """Some of its members by chance, their addresses masked."""
    from digest.commands import segments

    segments.sample(door.home, what, size=size, as_json=as_json)


@segments_app.command("explain")
def segments_explain(what: What, as_json: Json = False) -> None:
    """Say it in plain words, how many each clause matches, and what uses it."""
    from digest.commands import segments

    segments.explain(door.home, what, as_json=as_json)


Reason = Annotated[str, typer.Option(help="asked, bounce, complaint, blocklisted or erased.")]


@suppressions_app.command("list")
def suppressions_list(
    reason: Annotated[str, typer.Option(help="Only these.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """How many there are by reason, and the newest."""
    from digest.commands import suppressions

    suppressions.show(door.home, reason=reason, limit=limit, as_json=as_json)


@suppressions_app.command("add")
def suppressions_add(
    addresses: Addresses,
    reason: Reason = "asked",
    note: Annotated[str, typer.Option(help="A note without any address.")] = "",
    by: Who = "editor",
) -> None:
    """Nothing goes to these addresses from now on, whatever anybody imports or edits."""
    from digest.commands import suppressions

    suppressions.add(door.home, addresses, reason=reason, note=note, by=by)


@suppressions_app.command("remove")
def suppressions_remove(
    address: Address, reason: Annotated[str, typer.Option(help="Why, for the audit.")] = "", by: Who = "editor"
) -> None:
    """Mail may go there again."""
    from digest.commands import suppressions

    suppressions.remove(door.home, address, reason=reason, by=by)


@suppressions_app.command("import")
def suppressions_import(
    file: Annotated[Path, typer.Argument(help="Addresses, one on each line or in a column of a CSV file.")],
    reason: Reason = "blocklisted",
    maps: Maps = None,
    columns: Columns = "",
    encoding: Encoding = "",
    by: Who = "editor",
    as_json: Json = False,
) -> None:
    """Put every address of a file on the list."""
    from digest.commands import exchange, suppressions

    hints = exchange.hints_of(maps or [], columns, encoding, "", attributes=False)
    suppressions.import_file(door.home, file, reason=reason, hints=hints, by=by, as_json=as_json, quiet=door.quiet)


@suppressions_app.command("check")
def suppressions_check(address: Address, as_json: Json = False) -> None:
    """Is an address suppressed, since when, why, and who did it?"""
    from digest.commands import suppressions

    suppressions.check(door.home, address, as_json=as_json)


@privacy_app.command("report")
def privacy_report(as_json: Json = False) -> None:
    """What is kept of people: where, what for, how much, how long; consents, erasures, and what goes next."""
    from digest.commands import privacy

    privacy.report(door.home, as_json=as_json)


@privacy_app.command("sweep")
def privacy_sweep(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, change nothing.")] = False,
    as_json: Json = False,
) -> None:
    """
    Remove what has had its time.

    digest serve and digest watch do it every hour; by hand or by cron it may run at any time.
    """
    from digest.commands import privacy

    privacy.sweep(door.home, dry_run=dry_run, as_json=as_json)


@alarms_app.command("list")
def alarms_list(as_json: Json = False) -> None:
    """What is wrong, since when, who was told, and what to do."""
    from digest.commands import alarms

    alarms.show(door.home, as_json=as_json)


@alarms_app.command("test")
def alarms_test(as_json: Json = False) -> None:
    """Send a test by each way that is set, and say what happened. Exit code 1 when one failed."""
    from digest.commands import alarms

    alarms.try_out(door.home, as_json=as_json)


@alarms_app.command("quiet")
def alarms_quiet(
    cause: Annotated[str, typer.Argument(metavar="CAUSE", help="As digest alarms list names it, such as stalled.")],
    lasting: Annotated[str, typer.Option("--for", help="Such as 30m, 2h or 1d; 0m ends it.")] = "2h",
    by: Who = "editor",
) -> None:
    """Tell nobody of a cause for a while. What is still wrong after it is told. Example: digest alarms quiet disk --for 2h"""
    from digest.commands import alarms

    alarms.quiet(door.home, cause, lasting, by=by)


def main() -> None:
    """Run a command; an error that a person can act on is one line, never a traceback."""
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
