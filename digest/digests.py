"""Digests on record: finding one, what it must have before it is sent, and the rules it picks by."""

from collections.abc import Mapping

from sqlmodel import Session, select

from digest.errors import NotFoundError, NotReadyError
from digest.models import DigestRow
from digest.values import Digest, Rules

NOWHERE = "newsroom.invalid"
UNSET = "Postal address not set"
MUST_HAVE = ("from_name", "from_address", "reply_to", "postal_address", "wordmark", "colours")


def digest_named(session: Session, slug: str) -> DigestRow:
    """
    The digest of that name.

    Raises:
        NotFoundError: there is none; lists those there are.
    """
    row = session.exec(select(DigestRow).where(DigestRow.slug == slug)).first()
    if row is None:
        known = ", ".join(session.exec(select(DigestRow.slug).order_by(DigestRow.slug))) or "none yet; run digest init"
        raise NotFoundError(f"There is no digest named {slug!r}. There is: {known}.")
    return row


def digest_value(row: DigestRow) -> Digest:
    return Digest(
        slug=row.slug, name=row.name, language=row.language, from_name=row.from_name, from_address=row.from_address,
        reply_to=row.reply_to, postal_address=row.postal_address, wordmark=row.wordmark, colours=row.colours,
        section=row.section, look=row.look, share=tuple(row.share), utm=row.utm, image_hosts=tuple(row.image_hosts),
    )  # fmt: skip


def demand_ready(row: DigestRow, *, outbox_only: bool) -> None:
    """
    See that a digest has all it cannot be sent without.

    A new digest starts with a sender in a reserved domain, which no mail can leave from: it will do for the outbox,
    where nothing leaves the disk, and for no other transport.

    Raises:
        NotReadyError: names what is missing and how to set it.
    """
    missing = [name for name in MUST_HAVE if not getattr(row, name)]
    if not outbox_only:
        missing += [name for name in MUST_HAVE if name not in missing and _is_starting(getattr(row, name))]
    if missing:
        options = " ".join(f"--{name.replace('_', '-')} ..." for name in missing)
        raise NotReadyError(
            f"{row.name} cannot be sent without its {', '.join(name.replace('_', ' ') for name in missing)}: "
            f"digest set {row.slug} {options}"
        )


def _is_starting(value: object) -> bool:
    return isinstance(value, str) and (value.endswith(NOWHERE) or value.startswith(UNSET))


def sender_domains(session: Session) -> list[str]:
    """The domains that digests are sent from, each once."""
    return sorted({domain_of(address) for address in session.exec(select(DigestRow.from_address))} - {""})


def domain_of(address: str) -> str:
    """The domain of a sender's address; empty for the address that a new digest starts with."""
    return "" if _is_starting(address) else address.rpartition("@")[2]


def rules_of(row: DigestRow, weights: Mapping[str, float]) -> Rules:
    """How this digest picks: the house's weights, then the digest's own overrides."""
    own = {name: value for name, value in row.rules.items() if name in Rules.__dataclass_fields__}
    if "widen_hours" in own:
        own["widen_hours"] = tuple(own["widen_hours"])
    own["weights"] = {**weights, **row.rules.get("weights", {})}
    return Rules(section=row.section, size=row.size, minimum=row.minimum, short=row.short, language=row.language, **own)
