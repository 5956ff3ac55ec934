"""
What the tables hold of people: of every column there is, whether it is personal and what it is for.

A test compares this with the models, so that no column comes in unnoticed. What is counted is counted in the database.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import JSON, ColumnElement, Connection, Engine, String, Table, cast, func, null, select

from digest import copies, retention
from digest.database import reading
from digest.models import EventRow
from digest.settings import Settings
from digest.upkeep import COPIES, unscrubbed
from digest.upkeep import ERASED as ERASURE
from subscribers import suppressions

TABLES = EventRow.metadata.tables


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """
    What one table holds. `personal` are columns with what each is for; `other` say nothing of anybody.

    `since` is the column by which a row's age is known; only rows in which `whose` says something are somebody's. `until`
    is how long they are kept, where no sweep takes them.
    """

    what: str
    personal: Mapping[str, str] = field(default_factory=dict)
    other: str = ""
    since: str = ""
    whose: str = ""
    until: str = ""


LASTS, STAYS = "until they are erased", "for good: a hash alone, so that nothing is ever sent there"

HOLDINGS: Mapping[str, Holding] = {
    "subscriber": Holding(
        what="readers", since="joined_at", until=LASTS, other="id updated_at chosen_at",
        personal={
            "public_id": "a name for them in links and files", "email": "where mail goes", "email_key": "to know them again",
            "email_hash": "to see whether they are suppressed", "name": "the greeting", "language": "the edition's language",
            "zone": "their local hour", "country": "segments", "plan": "segments", "attributes": "segments, as imported",
            "joined_at": "segments", "tracked_since": "whether they agreed to be tracked, and when",
        },
    ),
    "subscription": Holding(
        what="wishes for a digest, with proof of consent", since="consent_at", until=LASTS, other="id",
        personal={
            "subscriber_id": "whose", "digest_id": "which digest", "channel": "how", "device": "where notifications go",
            "state": "whether it comes", "paused_until": "a pause", "consent_at": "proof of consent",
            "consent_source": "proof: where they agreed", "consent_wording": "proof: to which words",
            "consent_proof": "proof: by which message", "confirmed_at": "proof", "left_at": "when they left",
            "left_why": "why, if they said so", "frequency": "how often", "days": "on which days", "hour": "at which hour",
        },
    ),
    "subscriber_topic": Holding(
        what="topics wanted more or less", until=LASTS,
        personal={"subscriber_id": "whose", "topic": "which", "wish": "more or less"},
    ),
    "activity": Holding(
        what="opens and clicks by the day, of those who agreed", since="day", until=LASTS,
        personal={"subscriber_id": "whose", "kind": "opened or clicked", "day": "when", "number": "how often"},
    ),
    "deed": Holding(
        what="opens and clicks one by one, of those who agreed", since="at", other="id",
        personal={
            "subscriber_id": "whose", "edition_id": "of which edition", "kind": "opened or clicked", "link": "which link",
            "at": "when", "machine": "whether a machine did it for them", "why": "how that is known", "source": "who told",
        },
    ),
    "tracking_consent": Holding(
        what="consents to be counted by name", since="at", until=LASTS + ", or take it back",
        personal={
            "subscriber_id": "whose", "at": "proof of consent", "source": "proof: where they agreed",
            "wording": "proof: to which words", "proof": "proof: by which mail's link",
        },
    ),
    "signup": Holding(
        what="sign-ups not confirmed", since="asked_at", other="id",
        personal={
            "email": "where to ask", "email_key": "to ask once", "email_hash": "to know whose word it is",
            "digest_id": "what they asked for", "language": "how to ask", "zone": "their local hour",
            "asked_at": "proof of consent", "source": "proof of consent", "wording": "proof of consent",
        },
    ),
    "signup_count": Holding(
        what="how often a mailbox or a network asked", since="since",
        personal={"key": "keyed hash of a mailbox or a network", "since": "the limit's window", "count": "the limit"},
    ),
    "service": Holding(
        what="confirmations, welcomes and links mailed", since="opened_at", other="mailing_id kind digest_id",
        personal={
            "subscriber_id": "whose", "email": "where it goes", "email_hash": "whose word it is",
            "opened_at": "how long its link opens", "resent_at": "once more and never again", "used_at": "what its link did",
        },
    ),
    "delivery": Holding(
        what="deliveries", since="updated_at", whose="target", until="the edition's books; nobody's after an erasure",
        other="month mailing_id number proof_id batch_id attempt next_at",
        personal={
            "subscriber_id": "to whom", "channel": "how", "target": "keyed hash of the address, or the device",
            "state": "what became of it", "reason": "why", "handed_at": "when", "updated_at": "when",
        },
    ),
    "event": Holding(
        what="what providers told", since="heard_at", whose="target",
        other="id key provider month mailing_id number delivery permanent machine",
        personal={
            "target": "keyed hash of the address", "kind": "what happened", "at": "when", "heard_at": "when we heard",
            "link": "which link", "reason": "a server's words, which may name the address",
        },
    ),
    "suppression": Holding(
        what="addresses nothing may go to", since="since", until=STAYS,
        personal={"email_hash": "keyed hash of the address", "reason": "why", "since": "when", "note": "why, in words"},
    ),
    "audit": Holding(
        what="who did what: the house's people, and about which reader", since="at", other="id did subject",
        until="for good; about nobody after an erasure",
        personal={
            "at": "when", "who": "who acted", "subject_id": "about whom or what",
            "detail": "what was done; of an address its keyed hash",
        },
    ),
    "edition": Holding(
        what="editions", since="approved_at", whose="approved_by", until="for good",
        other="id digest_id kind local_date name state version subject preheader intro due_at late_by deadline_at fallback corrects_id"
        " reason content_hash sent_at created_at",
        personal={"approved_by": "which of the house's people approved it", "approved_at": "when"},
    ),
    "edition_version": Holding(
        what="what editions said", since="at", whose="by", until="for good",
        other="id edition_id number content content_hash",
        personal={"by": "which of the house's people changed it", "at": "when"},
    ),
    "story": Holding(
        what="published stories", since="seen_at", whose="author", until="for good",
        other="id source_id key guid headline_key section section_key headline teaser cut_teaser body url image image_alt"
        " language topics categories position page_size stub published_at updated_at seen_at changed_at content_hash"
        " cluster_id duplicate_of",
        personal={"author": "the journalist's name, as published"},
    ),
    "wording": Holding(what="words that were agreed to", other="version words since"),
    "segment": Holding(what="saved rules", other="id name rule description updated_at"),
    "import_run": Holding(what="how far an import has come", other="key began_at lines counts"),
    "import_block": Holding(
        what="whom an import has met", other="key lines refused", until="the import is finished, or broken off for 30 days",
        personal={"met": "half of each address's keyed hash, to see who stands in a file twice"},
    ),
    "digest": Holding(
        what="digests, their senders and editors", since="created_at", whose="editors",
        until="while they are named",
        personal={"editors": "which of the house's people are told of its drafts"},
        other="id slug name section language zone from_name from_address reply_to postal_address wordmark colours look channels"
        " segments share utm image_hosts rules size minimum short deadline fallback created_at",
    ),
    "alarm": Holding(
        what="what is wrong, or was", other="id cause subject digest_id words since gone_at told_at ended_at times ways"
    ),
    "alarm_quiet": Holding(
        what="causes that nobody is told of for a while", since="until", until="until somebody says otherwise",
        personal={"by": "which of the house's people said so"}, other="cause until",
    ),
    "source": Holding(
        what="where stories come from",
        other="id name kind location publisher section language trust enabled etag last_modified body_hash last_tried_at"
        " last_good_at last_count failures error retry_at added_at",
    ),
    "cadence": Holding(
        what="when a digest appears",
        other="id digest_id kind at days zone local fresher opens closes starts_on ends_on blackout gather_before deadline_before remind_before"
        " undo fallback late_after late paused_at revision since updated_at",
    ),
    "station": Holding(
        what="what the clock has to do", other="id digest_id kind local_date station due_at state attempt ended_at words"
    ),
    "leader": Holding(what="which process keeps the day", other="id owner lease_until fence seen_at"),
    "cluster": Holding(what="events in the news", other="id headline first_seen_at last_seen_at"),
    "topic": Holding(what="topics", other="id slug labels words categories"),
    "slot": Holding(
        what="places in editions",
        other="id edition_id story_id cluster_id position kicker headline teaser topic score signals reasons pinned update",
    ),
    "proof": Holding(
        what="proofs, with blanks where a reader's name goes",
        other="id edition_id version channel segment language profile look subject preheader html text push compiled blanks"
        " content_hash printed_at tracked",
    ),
    "link": Holding(what="where an edition's links lead", other="edition_id version number url trap"),
    "tally": Holding(what="opens and clicks of an edition, nobody's", other="edition_id kind link machine source number"),
    "told_once": Holding(what="what providers told of opens and clicks, nobody's", other="key heard_at"),
    "mailing": Holding(
        what="mailings",
        other="id month kind edition_id version state candidates generation date expires_at filled_at finished_at reason tracking",
    ),
    "batch": Holding(
        what="batches of deliveries",
        other="id mailing_id month proof_id channel transport first_number last_number state priority not_before owner"
        " lease_until fence attempt crashes stamp",
    ),
    "sender": Holding(what="which process may send", other="id owner lease_until stamp restored_at"),
}  # fmt: skip


def report(engine: Engine, settings: Settings, *, now: datetime) -> dict[str, Any]:
    """
    What is kept of people: where, what for, how much, since when and for how long; ready for JSON but for its dates.

    Raises:
        StorageError: the database refused.
    """
    kept = {one.table.name: one.kept.days for one in retention.sweeps(settings, now)}
    with reading(engine) as session:
        connection = session.connection()
        return {
            "at": now, "tracking": settings.tracking,
            "held": [
                _held(connection, TABLES[name], one, kept.get(name)) for name, one in HOLDINGS.items() if one.personal
            ],
            "outbox": _outbox(settings.outbox_folder), "copies": _copies(settings),
            "consents": _consents(connection), "erasures": _erasures(connection),
            "suppressions": suppressions.tally(connection),
            "next_sweep": {
                **{one.name: one.due(connection) for one in retention.sweeps(settings, now)},
                COPIES: len(copies.due(settings.home, settings.copy_days, now=now)),
            },
        }  # fmt: skip


def _held(connection: Connection, table: Table, holding: Holding, days: int | None) -> dict[str, Any]:
    whose = _whose(table, holding)
    oldest = func.min(table.c[holding.since]) if holding.since else null()
    rows, since = connection.execute(select(func.count(), oldest).select_from(table).where(*whose)).one()
    return {
        "table": table.name, "what": holding.what, "rows": rows, "oldest": _moment(since), "days": days,
        "until": holding.until if days is None else f"{days} {'day' if days == 1 else 'days'}", "columns": dict(holding.personal),
    }  # fmt: skip


def _whose(table: Table, holding: Holding) -> list[ColumnElement[bool]]:
    if not holding.whose:
        return []
    column = table.c[holding.whose]
    return [cast(column, String) != "[]" if isinstance(column.type, JSON) else column != ""]


def _moment(value: Any) -> datetime | None:
    """Of a column of any kind: a moment, a day, or epoch seconds."""
    if isinstance(value, float):
        return datetime.fromtimestamp(value, UTC)
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _outbox(folder: Path) -> dict[str, Any]:
    """Messages written to disk hold the address that they are for."""
    times = [file.stat().st_mtime for file in folder.rglob("*") if file.suffix in {".eml", ".json"}]
    oldest = datetime.fromtimestamp(min(times), UTC) if times else None
    return {
        "folder": folder,
        "files": len(times),
        "oldest": oldest,
        "until": "until you remove them, or they are erased",
    }


def _copies(settings: Settings) -> list[dict[str, Any]]:
    """What replays and rehearsals left to look at: messages with the address that they are for, and databases of readers."""
    until = f"{settings.copy_days} {'day' if settings.copy_days == 1 else 'days'}, or until somebody is erased"
    return [
        {"kind": one.kind, "folder": one.folder, "files": one.files, "made_at": one.made_at, "until": until}
        for one in copies.every(settings.home)
    ]


def _consents(connection: Connection) -> list[dict[str, Any]]:
    """How many wishes that are not left rest on each wording, and what it says where we have it."""
    wishes, wordings = TABLES["subscription"].c, TABLES["wording"].c
    query = (
        select(wishes.consent_wording, func.count(), func.max(wordings.words))
        .select_from(TABLES["subscription"].outerjoin(TABLES["wording"], wordings.version == wishes.consent_wording))
        .where(wishes.state != "left")
        .group_by(wishes.consent_wording)
        .order_by(func.count().desc(), wishes.consent_wording)
    )
    return [
        {"wording": version, "subscriptions": count, "words": words or ""}
        for version, count, words in connection.execute(query)
    ]


def _erasures(connection: Connection) -> dict[str, Any]:
    row = TABLES["audit"].c
    asked = (row.subject == "suppression", row.did == ERASURE)
    number, last = connection.execute(select(func.count(), func.max(row.at)).where(*asked)).one()
    return {"number": number, "last": _moment(last), "waiting_for_a_scrub": len(unscrubbed(connection))}
