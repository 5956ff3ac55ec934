"""The tables of the press. A row is what is stored; the values of digest.values are what the stations hand each other."""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    LargeBinary,
    PrimaryKeyConstraint,
    UniqueConstraint,
    false,
    text,
)
from sqlmodel import Field, SQLModel

from digest.values import (
    BatchState,
    DeliveryState,
    EditionKind,
    EditionState,
    Fallback,
    Late,
    MailingState,
    ServiceKind,
    Station,
    StationState,
)
from subscribers.models import (  # one metadata holds every table of the house
    ACTIVITIES,
    CHANNELS,
    EMPTY,
    ActivityRow,
    CountRow,
    DeedRow,
    ImportRow,
    SegmentRow,
    SignupRow,
    SubscriberRow,
    SubscriberTopicRow,
    SubscriptionRow,
    SuppressionRow,
    TrackingConsentRow,
    WordingRow,
    one_of,
)

__all__ = [
    "ActivityRow", "AlarmRow", "AuditRow", "BatchRow", "CadenceRow", "ClusterRow", "CountRow", "DeedRow", "DeliveryRow",
    "DigestRow", "EditionRow", "EditionVersionRow", "EventRow", "ImportRow", "LeaderRow", "LinkRow", "MailingRow", "OnceRow",
    "ProofRow", "QuietRow", "SegmentRow", "SenderRow", "ServiceRow", "SignupRow", "SlotRow", "SourceRow", "StationRow",
    "StoryRow", "SubscriberRow", "SubscriberTopicRow", "SubscriptionRow", "SuppressionRow", "TallyRow", "TopicRow",
    "TrackingConsentRow", "WordingRow",
]  # fmt: skip


ZERO = {"server_default": text("0")}
"""As EMPTY, for numbers."""
TRACKING = ("off", "aggregate", "personal")


def _json(default: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """A JSON column. Reassign it to change it: a change inside is not seen by the session."""
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))


class SourceRow(SQLModel, table=True):
    """Where stories come from, how far it is trusted, and how it fared."""

    __tablename__ = "source"

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=80, unique=True)
    kind: str = Field(max_length=16)  # a file of digest/sources
    location: str = Field(max_length=2000, unique=True)
    publisher: str = Field(default="", max_length=120)
    section: str = Field(default="", max_length=80)  # for stories that state none
    language: str = Field(default="", max_length=16)
    trust: float = 0.5
    enabled: bool = True
    etag: str = ""
    last_modified: str = ""
    body_hash: str = Field(default="", max_length=64)
    last_tried_at: datetime | None = None
    last_good_at: datetime | None = None
    last_count: int = 0
    failures: int = 0
    error: str = ""
    retry_at: datetime | None = None
    added_at: datetime


class ClusterRow(SQLModel, table=True):
    """One event. Its id is carried from run to run, so that "already told" survives a new clustering."""

    __tablename__ = "cluster"

    id: int | None = Field(default=None, primary_key=True)
    headline: str = Field(max_length=500)
    first_seen_at: datetime
    last_seen_at: datetime


class StoryRow(SQLModel, table=True):
    """One article as its source told it; fields as in values.Story. `key` is its identity (digest.identity)."""

    __tablename__ = "story"
    __table_args__ = (Index("ix_story_window", "section_key", "seen_at"),)

    id: int | None = Field(default=None, primary_key=True)
    source_id: int = Field(foreign_key="source.id", index=True, ondelete="CASCADE")
    key: str = Field(max_length=64, unique=True)
    guid: str = Field(default="", max_length=500)
    headline_key: str = Field(max_length=64, index=True)
    section: str = Field(default="", max_length=80)
    section_key: str = Field(default="", max_length=80)
    headline: str = Field(max_length=500)
    teaser: str = ""
    cut_teaser: str = ""
    body: str = ""
    url: str = Field(max_length=2000)
    image: str = Field(default="", max_length=2000)
    image_alt: str = Field(default="", max_length=500)
    author: str = Field(default="", max_length=200)
    language: str = Field(default="", max_length=16)
    topics: list[str] = _json(list)
    categories: list[str] = _json(list)
    position: int = 0
    page_size: int = 1
    stub: bool = False
    published_at: datetime | None = None
    updated_at: datetime | None = None
    seen_at: datetime  # when we first met it
    changed_at: datetime  # when its text last changed
    content_hash: str = Field(max_length=64)
    cluster_id: int | None = Field(default=None, foreign_key="cluster.id", index=True, ondelete="SET NULL")
    duplicate_of: int | None = Field(default=None, foreign_key="story.id", index=True, ondelete="SET NULL")


class TopicRow(SQLModel, table=True):
    """A topic that editors own: its kickers by language, and the words and categories that lead to it."""

    __tablename__ = "topic"

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    labels: dict[str, str] = _json(dict)
    words: list[str] = _json(list)
    categories: list[str] = _json(list)


class DigestRow(SQLModel, table=True):
    """A standing product. It cannot be sent without From, Reply-To, postal address, wordmark and colours."""

    __tablename__ = "digest"
    __table_args__ = (one_of("fallback", tuple(Fallback)), one_of("short", ("send", "skip")))

    id: int | None = Field(default=None, primary_key=True)
    slug: str = Field(max_length=64, unique=True)
    name: str = Field(max_length=120)
    section: str = Field(default="Global", max_length=80)
    language: str = Field(default="en", max_length=16)
    zone: str = Field(default="UTC", max_length=64)
    from_name: str = Field(default="", max_length=120)
    from_address: str = Field(default="", max_length=320)
    reply_to: str = Field(default="", max_length=320)
    postal_address: str = Field(default="", max_length=400)
    wordmark: str = Field(default="", max_length=120)
    colours: dict[str, str] = _json(dict)
    look: str = Field(default="standard", max_length=32)
    channels: list[str] = _json(list)
    segments: list[str] = _json(list)  # names, first match decides a reader's variant; empty: everyone
    share: list[str] = _json(list)
    utm: dict[str, str] = _json(dict)
    image_hosts: list[str] = _json(list)
    rules: dict[str, Any] = _json(dict)  # overrides of values.Rules
    size: int = 8
    minimum: int = 3
    short: str = Field(default="send", max_length=8)
    deadline: str = Field(default="06:45", max_length=5)  # local time of `zone`
    fallback: str = Field(default=Fallback.HOLD, max_length=8)
    editors: list[str] = Field(  # addresses that are told of its drafts
        default_factory=list, sa_column=Column(JSON, nullable=False, server_default=text("'[]'"))
    )
    created_at: datetime


class EditionRow(SQLModel, table=True):
    """One dated occurrence: unique by digest, kind, local date and name, so that no clock can make a second one."""

    __tablename__ = "edition"
    __table_args__ = (
        UniqueConstraint("digest_id", "kind", "local_date", "name", name="uq_edition_occurrence"),
        one_of("kind", tuple(EditionKind)),
        one_of("state", tuple(EditionState)),
        one_of("fallback", tuple(Fallback)),
    )

    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id")
    kind: str = Field(default=EditionKind.DAILY, max_length=16)
    local_date: date
    name: str = Field(default="", max_length=80)
    state: str = Field(default=EditionState.DRAFT, max_length=16)
    version: int = 1
    subject: str = Field(default="", max_length=250)
    preheader: str = Field(default="", max_length=250)
    intro: str = Field(default="", max_length=1000)
    due_at: datetime | None = None  # when its first reader is due; None: when it is approved
    late_by: int = Field(default=0, sa_column_kwargs=ZERO)  # seconds it was assembled, or released, too late
    deadline_at: datetime
    fallback: str = Field(default=Fallback.HOLD, max_length=8)
    corrects_id: int | None = Field(default=None, foreign_key="edition.id")
    reason: str = ""  # why held, skipped or cancelled
    content_hash: str = Field(default="", max_length=64)
    approved_by: str = Field(default="", max_length=120)
    approved_at: datetime | None = None
    sent_at: datetime | None = None
    created_at: datetime


class CadenceRow(SQLModel, table=True):
    """
    When a digest appears, one row for each kind of its editions. Clock times are local, durations are minutes.

    `days` are day names in the week's order (mon,tue), since numbers mean other days to other programs. `local`: each
    reader gets it at their own `at`, or at the hour they chose, between `opens` and `closes`; otherwise all get it at
    one instant, `at` in `zone`. The edition's deadline and its undo window come before it is due. `blackout` holds the
    dates it does not appear on, each with the reason.
    """

    __tablename__ = "cadence"
    __table_args__ = (
        UniqueConstraint("digest_id", "kind", name="uq_cadence_kind"),
        one_of("kind", (EditionKind.DAILY, EditionKind.WEEKLY)),
        one_of("fallback", tuple(Fallback)),
        one_of("late", tuple(Late)),
    )

    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    kind: str = Field(default=EditionKind.DAILY, max_length=16)
    at: str = Field(default="07:00", max_length=5)
    days: str = Field(default="mon,tue,wed,thu,fri,sat,sun", max_length=27)
    zone: str = Field(default="UTC", max_length=64)
    local: bool = False
    # `local` too: waves to come may carry runners-up that the approver allowed
    fresher: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    opens: str = Field(default="06:00", max_length=5)
    closes: str = Field(default="22:00", max_length=5)
    starts_on: date | None = None
    ends_on: date | None = None
    blackout: dict[str, str] = _json(dict)
    gather_before: int = 60
    deadline_before: int = 15
    remind_before: int = 15  # before the deadline; 0: no reminder
    undo: int = 0  # between the approval and the first message
    fallback: str = Field(default=Fallback.HOLD, max_length=8)
    late_after: int = 180
    late: str = Field(default=Late.SKIP, max_length=8)
    paused_at: datetime | None = None
    revision: int = 1  # counts what was saved, so that a running clock notices
    since: datetime  # what was due before it is none of its business: when it was made, or resumed
    updated_at: datetime


class StationRow(SQLModel, table=True):
    """
    One station of an edition's day and when it is due: what the clock has to do, and has done.

    The occurrence (digest, kind, local date) is named by itself, since its edition may not exist yet, and since a
    changed cadence must find the same row again.
    """

    __tablename__ = "station"
    __table_args__ = (
        UniqueConstraint("digest_id", "kind", "local_date", "station", name="uq_station_occurrence"),
        Index("ix_station_due", "state", "due_at"),
        one_of("station", tuple(Station)),
        one_of("state", tuple(StationState)),
    )

    id: int | None = Field(default=None, primary_key=True)
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    kind: str = Field(max_length=16)
    local_date: date
    station: str = Field(max_length=16)
    due_at: datetime
    state: str = Field(default=StationState.WAITING, max_length=16)
    attempt: int = 0
    ended_at: datetime | None = None
    words: str = ""  # what came of it, for people


class LeaderRow(SQLModel, table=True):
    """
    The right to run the day's stations, one row: one process holds it at a time, and every write of its checks `fence`.

    Times are epoch seconds.
    """

    __tablename__ = "leader"

    id: int | None = Field(default=None, primary_key=True)
    owner: str = Field(default="", max_length=80)
    lease_until: float = 0.0
    fence: int = 0
    seen_at: float = 0.0


class AlarmRow(SQLModel, table=True):
    """
    Something that is wrong, one row for each cause and subject, used again when it comes back (see digest.alarms).

    `gone_at`: since when it is not there any more, which may be for a moment. `ways`: by the name of each way, what was
    told by it: [phase, done, tries, epoch seconds of the next try].
    """

    __tablename__ = "alarm"
    __table_args__ = (UniqueConstraint("cause", "subject", name="uq_alarm_subject"),)

    id: int | None = Field(default=None, primary_key=True)
    cause: str = Field(max_length=32)
    subject: str = Field(max_length=120)
    digest_id: int | None = Field(default=None, foreign_key="digest.id", ondelete="CASCADE")
    words: str = ""
    since: datetime
    gone_at: datetime | None = None
    told_at: datetime | None = None
    ended_at: datetime | None = None
    times: int = 1  # how often it came within a day, each less than a day after the last
    ways: dict[str, list[Any]] = _json(dict)


class QuietRow(SQLModel, table=True):
    """A cause that nobody is told of for a while, by a person's word."""

    __tablename__ = "alarm_quiet"

    cause: str = Field(max_length=32, primary_key=True)
    until: datetime
    by: str = Field(default="", max_length=120)


class EditionVersionRow(SQLModel, table=True):
    """What an edition said at one moment, whole, with its hash: approval binds to it, replay and corrections name it."""

    __tablename__ = "edition_version"
    __table_args__ = (UniqueConstraint("edition_id", "number", name="uq_edition_version_number"),)

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int = Field(foreign_key="edition.id", ondelete="CASCADE")
    number: int
    content: dict[str, Any] = _json(dict)
    content_hash: str = Field(max_length=64)
    by: str = Field(default="", max_length=120)
    at: datetime


class SlotRow(SQLModel, table=True):
    """
    A place in an edition. kicker, headline and teaser are the editor's wording; empty means the story's own.

    Position 0 is no place any more: the story stood in an earlier version that has readers, and so it counts as told.
    """

    __tablename__ = "slot"
    __table_args__ = (UniqueConstraint("edition_id", "story_id", name="uq_slot_story"),)

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int = Field(foreign_key="edition.id", ondelete="CASCADE")
    story_id: int = Field(foreign_key="story.id")
    cluster_id: int | None = Field(default=None, foreign_key="cluster.id", ondelete="SET NULL")
    position: int
    kicker: str = Field(default="", max_length=80)
    headline: str = Field(default="", max_length=500)
    teaser: str = ""
    topic: str = Field(default="", max_length=64)
    score: float = 0.0
    signals: list[Any] = _json(list)
    reasons: list[str] = _json(list)
    pinned: bool = False
    update: bool = False


class ProofRow(SQLModel, table=True):
    """
    One version of an edition printed for one variant on one channel; fields as in values.Proof.

    A service message's has no edition; its look is its kind.
    """

    __tablename__ = "proof"
    __table_args__ = (
        UniqueConstraint(
            "edition_id", "version", "channel", "segment", "language", "profile", "look", name="uq_proof_variant"
        ),
        one_of("channel", (*CHANNELS, "web")),
    )

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int | None = Field(default=None, foreign_key="edition.id", ondelete="CASCADE")
    version: int
    channel: str = Field(max_length=16)
    segment: str = Field(default="", max_length=80)
    language: str = Field(max_length=16)
    profile: str = Field(default="", max_length=64)
    look: str = Field(default="standard", max_length=32)
    subject: str = Field(default="", max_length=250)
    preheader: str = Field(default="", max_length=250)
    html: str = ""
    text: str = ""
    push: str = ""
    compiled: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    blanks: int = 0
    content_hash: str = Field(max_length=64)
    printed_at: datetime
    tracked: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # its links lead through us


class LinkRow(SQLModel, table=True):
    """
    Where a tracked link of an edition leads, kept for as long as anybody may click it: a redirect goes nowhere else.

    Number 0 is the edition's page, then come the slots by position. `trap`: a link that no person sees.
    """

    __tablename__ = "link"

    edition_id: int = Field(foreign_key="edition.id", primary_key=True, ondelete="CASCADE")
    version: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    url: str = Field(max_length=4000)
    trap: bool = False


class TallyRow(SQLModel, table=True):
    """
    How often an edition was opened, and its links followed: nobody's, by people and by machines apart.

    `link` is -1 for opens; `source` as in the table deed. The kind "dropped" is what there was no room to count.
    """

    __tablename__ = "tally"
    __table_args__ = (one_of("kind", (*ACTIVITIES, "dropped")),)

    edition_id: int = Field(foreign_key="edition.id", primary_key=True, ondelete="CASCADE")
    kind: str = Field(max_length=8, primary_key=True)
    link: int = Field(primary_key=True)
    machine: bool = Field(primary_key=True)
    source: str = Field(max_length=16, primary_key=True)
    number: int


class OnceRow(SQLModel, table=True):
    """An open or click that a provider has told already, by a hash of the provider's own number for it: nobody's."""

    __tablename__ = "told_once"

    key: bytes = Field(sa_column=Column(LargeBinary(16), primary_key=True))
    heard_at: float = Field(index=True)


class MailingRow(SQLModel, table=True):
    """What is delivered. `candidates` was counted by a query of its own before the fill; the books must balance with it."""

    __tablename__ = "mailing"
    __table_args__ = (
        UniqueConstraint("edition_id", name="uq_mailing_edition"),
        one_of("state", tuple(MailingState)),
        one_of("kind", ("edition", "service")),
        one_of("tracking", TRACKING),
    )

    id: int | None = Field(default=None, primary_key=True)
    month: int
    kind: str = Field(default="edition", max_length=16)
    edition_id: int | None = Field(default=None, foreign_key="edition.id")
    version: int = 1
    state: str = Field(default=MailingState.SENDING, max_length=16)
    candidates: int = 0
    generation: int = 1
    date: str = Field(max_length=64)  # RFC 5322, the same in every message and on every attempt
    expires_at: datetime
    filled_at: datetime
    finished_at: datetime | None = None
    reason: str = Field(default="", sa_column_kwargs=EMPTY)  # why it is paused
    # what its mails were filled for, the same on every attempt; what is counted is decided when somebody opens them
    tracking: str = Field(default="off", max_length=9, sa_column_kwargs={"server_default": text("'off'")})


class ServiceRow(SQLModel, table=True):
    """
    A mailing that is a service message: one person, one mail, and what its link may do (see digest.services).

    The address is the message's own, for nobody may be subscribed there yet. `subscriber_id` is None until somebody is.
    """

    __tablename__ = "service"
    __table_args__ = (one_of("kind", tuple(ServiceKind)), Index("ix_service_hash", "email_hash"))

    mailing_id: int = Field(foreign_key="mailing.id", primary_key=True, ondelete="CASCADE")
    kind: str = Field(max_length=16)
    digest_id: int = Field(foreign_key="digest.id", ondelete="CASCADE")
    subscriber_id: int | None = Field(default=None, foreign_key="subscriber.id", ondelete="CASCADE", index=True)
    email: str = Field(max_length=320)
    email_hash: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False))
    opened_at: datetime = Field(index=True)
    resent_at: datetime | None = None
    used_at: datetime | None = None


class BatchRow(SQLModel, table=True):
    """A stretch of a mailing's deliveries that one worker takes together. Times are epoch seconds."""

    __tablename__ = "batch"
    __table_args__ = (
        Index("ix_batch_due", "state", "priority", "not_before", "id"),
        Index("ix_batch_mailing", "mailing_id", "state"),
        one_of("state", tuple(BatchState)),
    )

    id: int | None = Field(default=None, primary_key=True)
    mailing_id: int = Field(foreign_key="mailing.id", ondelete="CASCADE")
    month: int
    proof_id: int = Field(foreign_key="proof.id")
    channel: str = Field(max_length=16)
    transport: str = Field(max_length=32)
    first_number: int
    last_number: int
    state: str = Field(default=BatchState.READY, max_length=16)
    priority: int = 0  # lower goes first
    not_before: float = 0.0  # the instant of its wave; 0: at once
    owner: str = Field(default="", max_length=80)
    lease_until: float = 0.0
    fence: int = 0
    attempt: int = 0
    crashes: int = Field(
        default=0, sa_column_kwargs=ZERO
    )  # of a worker that had this one delivery in hand, or few more
    stamp: int = Field(
        default=0, sa_type=BigInteger, sa_column_kwargs=ZERO
    )  # when it last marked: microseconds, growing


class SenderRow(SQLModel, table=True):
    """
    The right to send, one row: on SQLite one process holds it at a time.

    `stamp` is the newest marker this database knows; a larger one in the file beside it means that the database is an
    older copy, and `restored_at` keeps that until a person has decided.
    """

    __tablename__ = "sender"

    id: int | None = Field(default=None, primary_key=True)
    owner: str = Field(default="", max_length=80)
    lease_until: float = 0.0
    stamp: int = Field(default=0, sa_type=BigInteger)
    restored_at: datetime | None = None


class DeliveryRow(SQLModel, table=True):
    """
    One mailing to one subscriber on one channel at one address or device.

    The month leads the key so that PostgreSQL can partition by it. `number` counts from 1 within the mailing; a
    batch is a stretch of numbers. `target` is the address's keyed hash (hex) or the device id: no address is kept
    here. Times are epoch seconds.
    """

    __tablename__ = "delivery"
    __table_args__ = (
        PrimaryKeyConstraint("month", "mailing_id", "number", name="pk_delivery"),
        UniqueConstraint("month", "mailing_id", "subscriber_id", "channel", "target", name="uq_delivery_once"),
        Index(
            "ix_delivery_deferred",
            "mailing_id",
            "next_at",
            sqlite_where=text("state = 'deferred'"),
            postgresql_where=text("state = 'deferred'"),
        ),
        Index(
            "ix_delivery_ambiguous",
            "mailing_id",
            "number",
            sqlite_where=text("state = 'ambiguous'"),
            postgresql_where=text("state = 'ambiguous'"),
        ),
        # written out: an IN of this length is slower in SQLite by a third of the whole fill
        CheckConstraint(" OR ".join(f"state = '{state}'" for state in DeliveryState), name="state"),
        {"sqlite_with_rowid": False},
    )

    month: int
    mailing_id: int = Field(sa_type=BigInteger)
    number: int = Field(sa_type=BigInteger)
    subscriber_id: int = Field(sa_type=BigInteger)
    channel: str = Field(max_length=16)
    target: str = Field(max_length=64)
    proof_id: int
    batch_id: int | None = Field(default=None, sa_type=BigInteger)
    state: str = Field(max_length=20)
    reason: str = ""
    attempt: int = 0
    next_at: float | None = None
    handed_at: float | None = None
    updated_at: float = 0.0


class EventRow(SQLModel, table=True):
    """
    What a provider or a mail server told later about one delivery, or about one we do not know (`number` is None).

    `key` is a hash of delivery, event, moment and link, since providers tell everything several times. `target` is the
    address's keyed hash in hex. `delivery` is its opaque id, only while we do not know it: such rows are kept aside.
    Nothing here names a reader. Times are epoch seconds.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("ix_event_target", "target", "kind", "at"),
        Index("ix_event_delivery", "mailing_id", "number"),
        Index("ix_event_heard", "heard_at"),
        Index("ix_event_aside", "id", sqlite_where=text("number IS NULL"), postgresql_where=text("number IS NULL")),
        Index(  # few, so that they are counted in a moment, and those that are not cost nothing
            "ix_event_returned",
            "mailing_id",
            "kind",
            "number",
            sqlite_where=text("kind = 'bounced' OR kind = 'complained'"),
            postgresql_where=text("kind = 'bounced' OR kind = 'complained'"),
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    key: bytes = Field(sa_column=Column(LargeBinary(16), nullable=False, unique=True))
    provider: str = Field(max_length=32)
    kind: str = Field(max_length=16)
    at: float
    heard_at: float
    month: int | None = None
    mailing_id: int | None = Field(default=None, sa_type=BigInteger)
    number: int | None = Field(default=None, sa_type=BigInteger)
    target: str = Field(default="", max_length=64)
    delivery: str = Field(default="", max_length=40, sa_column_kwargs=EMPTY)
    permanent: bool = False
    machine: bool = False
    link: str = Field(default="", max_length=64)
    reason: str = Field(default="", max_length=200)


class AuditRow(SQLModel, table=True):
    """Who did what to what, and when. Only ever added to."""

    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_subject", "subject", "subject_id"),)

    id: int | None = Field(default=None, primary_key=True)
    at: datetime
    who: str = Field(max_length=120)
    did: str = Field(max_length=64)
    subject: str = Field(max_length=32)
    subject_id: int
    detail: dict[str, Any] = _json(dict)
