"""The frozen values that pass between the stations; they know no database, no disk and no clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import NamedTuple


class EditionKind(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    BREAKING = "breaking"
    CORRECTION = "correction"


class EditionState(StrEnum):
    DRAFT = "draft"
    REVIEW = "review"
    APPROVED = "approved"
    SENDING = "sending"
    PAUSED = "paused"
    SENT = "sent"
    HELD = "held"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"


class Fallback(StrEnum):
    """What happens at the deadline when no editor has acted."""

    SEND = "send"
    CHECKS = "checks"  # send it if its checks pass, hold it otherwise
    HOLD = "hold"


class Late(StrEnum):
    """What happens to an edition that is later than its digest allows."""

    SKIP = "skip"
    MERGE = "merge"  # skipped, and its stories are told in the next edition
    SEND = "send"


class Station(StrEnum):
    """One step of an edition's day, in their order; `remind` tells the editors once more."""

    GATHER = "gather"
    ASSEMBLE = "assemble"
    REMIND = "remind"
    APPROVE = "approve"
    SEND = "send"


class StationState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    PASSED = "passed"  # its time came too late, or the day was skipped


class MailingState(StrEnum):
    SENDING = "sending"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class ServiceKind(StrEnum):
    """
    Which service message. To readers: to confirm a wish, to welcome, to hand out the 15-minute link, to confirm a new address.

    To the house itself (digest.letters): a draft is ready, the deadline is near, what became of it; an alarm.
    """

    CONFIRM = "confirm"
    WELCOME = "welcome"
    ACCESS = "access"
    ADDRESS = "address"
    READY = "ready"
    REMINDER = "reminder"
    OUTCOME = "outcome"
    ALARM = "alarm"


TO_READERS = (ServiceKind.CONFIRM, ServiceKind.WELCOME, ServiceKind.ACCESS, ServiceKind.ADDRESS)


class BatchState(StrEnum):
    READY = "ready"
    CLAIMED = "claimed"
    HANDING = "handing"
    DONE = "done"


class DeliveryState(StrEnum):
    QUEUED = "queued"
    CLAIMED = "claimed"
    HANDING = "handing"
    ACCEPTED = "accepted"
    AMBIGUOUS = "ambiguous"
    DEFERRED = "deferred"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    EXPIRED = "expired"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    DROPPED = "dropped"
    COMPLAINED = "complained"
    CLOSED_UNCONFIRMED = "closed_unconfirmed"


class EventKind(StrEnum):
    """What a provider or a mail server may tell later about a delivery."""

    PROCESSED = "processed"
    DEFERRED = "deferred"
    DELIVERED = "delivered"
    BOUNCED = "bounced"
    BLOCKED = "blocked"
    DROPPED = "dropped"
    COMPLAINED = "complained"
    LEFT = "left"


OPEN_STATES = frozenset({DeliveryState.QUEUED, DeliveryState.CLAIMED, DeliveryState.HANDING, DeliveryState.DEFERRED})
"""A mailing is done only when no delivery is in one of these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """
    One article as its source told it. Text fields are text: no tags, no entities, no control or bidi characters, NFC.

    `stub` is True for a story known only from a card or a cut description: then `teaser` is empty and whatever was
    cut stays in `cut_teaser`, which no reader is ever shown. `position` is its place on the page or feed, 0 first.
    Times are aware UTC, or None where the source states none that can be read without guessing.
    """

    guid: str
    source: str
    headline: str
    url: str
    section: str = ""
    teaser: str = ""
    body: str = ""
    published_at: datetime | None = None
    updated_at: datetime | None = None
    image: str = ""
    image_alt: str = ""
    author: str = ""
    language: str = ""
    topics: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    position: int = 0
    stub: bool = False
    cut_teaser: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What a source gave, as it came: the bytes, unpacked, and where they were found. `url` is empty for a local file."""

    body: bytes
    source: str
    now: datetime
    url: str = ""
    content_type: str = ""
    language: str = ""  # for stories that state none


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """
    What one look at a source gave: its stories in page order, and notes in words about what was mended or left out.

    A story whose headline is empty stands for an entry that says nothing; it is counted here and kept nowhere.
    """

    stories: tuple[Story, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A topic that editors own: the words and the publisher's categories that lead to it, and its kicker by language."""

    slug: str
    labels: Mapping[str, str]
    words: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """That an earlier edition of this digest carried the event: when, and how much of the story now is new (0 to 1)."""

    on: date
    headline: str
    new_share: float
    followed_up: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A story as picking sees it: the story, its event, and what the newsroom knows around it."""

    id: int
    story: Story
    cluster: int
    seen_at: datetime
    trust: float = 0.5
    told_by: tuple[str, ...] = ()  # names of the distinct sources that tell the event, this one among them
    follow_ups: int = 0  # the same publisher's further stories on the event
    copies: int = 0  # near-duplicates of it elsewhere, such as an agency's text in several papers
    sources: int = 1  # how many sources the house reads: with one alone, coverage says nothing
    page_size: int = 1  # how many stories its source's page or feed held
    copy_of: int | None = None  # the story whose text this one repeats
    told: Told | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How a digest picks. Hours, counts, shares of 1; weights are relative and are divided by their sum."""

    section: str
    size: int = 8
    minimum: int = 3
    window_hours: int = 24
    widen_hours: tuple[int, ...] = (36, 48)
    half_life_hours: float = 10.0
    weights: Mapping[str, float] = field(default_factory=lambda: dict(DEFAULT_WEIGHTS))
    topic_cap: int = 2
    source_cap: int = 6
    diversity: float = 0.3
    update_share: float = 0.4
    short: str = "send"  # with fewer than `minimum`: "send" what there is, or "skip" the day
    language: str = ""


DEFAULT_WEIGHTS: Mapping[str, float] = {
    "recency": 3.0,
    "prominence": 2.0,
    "coverage": 2.0,
    "trust": 1.0,
    "first_time": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One signal's word on a story: 0 to 1, and the sentence an editor reads."""

    signal: str
    value: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A story picked for a slot, or left out, with all that was weighed. `why_not` is empty for a picked one."""

    id: int
    cluster: int
    score: float
    signals: tuple[Score, ...]
    reasons: tuple[str, ...]
    topic: str = ""
    update: bool = False
    why_not: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pick:
    """The day's picked stories in order, the rest best first, and what was widened or relaxed, in words."""

    picked: tuple[Choice, ...]
    left_out: tuple[Choice, ...]
    notes: tuple[str, ...] = ()
    skip: str = ""  # why there should be no edition; empty when there should


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """A standing product, as its printing needs it: its voice, its sender and its look."""

    slug: str
    name: str
    language: str
    from_name: str
    from_address: str
    reply_to: str
    postal_address: str
    wordmark: str
    colours: Mapping[str, str]
    section: str = "Global"
    look: str = "standard"
    share: tuple[str, ...] = ("whatsapp", "telegram", "facebook", "x", "email", "copy")
    utm: Mapping[str, str] = field(default_factory=dict)
    image_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in an edition as readers see it: the editor's wording where there is one, the story's own elsewhere."""

    position: int  # 1 first
    story: int
    kicker: str
    headline: str
    teaser: str
    url: str
    language: str = ""
    minutes: int = 0  # reading time; 0 when the body is not known
    image: str = ""
    image_alt: str = ""
    topic: str = ""
    update: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """One dated occurrence of a digest, complete enough to print: what it says, not who gets it."""

    id: int
    version: int
    kind: EditionKind
    local_date: date
    name: str
    subject: str
    preheader: str
    intro: str
    digest: Digest
    slots: tuple[Slot, ...]
    web_url: str  # where the edition can be read in a browser


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Variant:
    """For whom a proof is printed: everything that is the same for all of them is decided by these four."""

    segment: str
    language: str
    profile: str = ""
    look: str = "standard"


@dataclass(frozen=True, slots=True)
class Blank:
    """A hole in a compiled message: which value goes in, and how that place wants it escaped (see digest.blanks)."""

    field: str
    context: str


@dataclass(frozen=True, slots=True)
class Compiled:
    """A message of alternating finished bytes and blanks; `b"".join` of it with the blanks filled is the message."""

    pieces: tuple[bytes | Blank, ...]
    blanks: int  # how many, asserted when it is compiled and when it is read back


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """One version of an edition printed once for one variant on one channel, with blanks for what differs by reader."""

    channel: str
    variant: Variant
    subject: str
    preheader: str
    html: str
    text: str
    push: str
    compiled: Compiled
    content_hash: str
    links: tuple[str, ...] = ()  # where the links of a mail lead, by their numbers


class Recipient(NamedTuple):
    """Whom one delivery goes to: what fills the blanks. `delivery_id` is opaque and the same on every attempt."""

    number: int  # the delivery's number within its mailing
    delivery_id: str
    address: str  # email address, or device id for push
    name: str
    token: str  # this delivery's one keyed token (digest.links)
    date: str  # RFC 5322 date of the mailing, the same on every attempt
    trail: str = ""  # what tracked links carry: this delivery's own, or the edition's, which is nobody's


class Event(NamedTuple):
    """
    What came back about one delivery. `delivery` is its opaque id, or its token.

    `permanent`: a bounce that would repeat, a drop for the address's own sake, leaving everything and not one digest.
    """

    delivery: str
    kind: EventKind
    at: float  # epoch seconds, by the provider's clock; 0 where it told none
    permanent: bool = False
    url: str = ""
    reason: str = ""  # without addresses


class Receipt(NamedTuple):
    """The transport's word on one delivery, now. `state` is accepted, deferred, failed or ambiguous."""

    number: int
    state: DeliveryState
    detail: str = ""
    retry_after: float | None = None  # seconds
    permanent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """50 to 1,000 deliveries of one proof and transport, claimed by one owner for a while. `fence` grows at every claim."""

    id: int
    mailing_id: int
    month: int  # yyyymm
    proof_id: int
    transport: str
    first_number: int  # its deliveries' numbers lie between these two
    last_number: int
    owner: str
    fence: int
    attempt: int
    crashes: int = 0  # how often it ended a worker that held it alone, or nearly
    lease_until: float  # epoch seconds
    expires_at: float  # epoch seconds: when what has not left is no news any more
    recipients: Sequence[Recipient]
