"""
What SendGrid refuses late, or drops without a word: looked for here, before anything leaves.

Source: Twilio's pages "Mail Send" (limits, reserved headers) and "Mail Send: Errors".
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from digest.errors import ContentError

MOST_READERS = 1000  # of one request
MOST_BYTES = 20_000_000  # of one request: the smaller of the two limits that have been published
MOST_SUBSTITUTED = 10_000  # bytes of one reader's substitutions
MOST_ARGUMENTS = 10_000  # bytes of one reader's custom arguments
KINDS = ["text/plain", "text/html"]  # in this order

RESERVED = frozenset({
    "x-sg-id", "x-sg-eid", "received", "dkim-signature", "content-type", "content-transfer-encoding", "to", "from",
    "subject", "reply-to", "cc", "bcc",
})  # fmt: skip


class Slip(NamedTuple):
    """One reader's part of a request: what fills its blanks, as JSON. `key` is their address as the API compares it."""

    number: int
    delivery_id: str
    key: str
    values: tuple[str, ...]


def demand_letter(common: Mapping[str, Any], personal: Collection[str]) -> None:
    """
    `common` is what a request says to all, `personal` names the headers that each reader has for themselves.

    Raises:
        ContentError: the message would be refused, or leave without what its readers need.
    """
    kinds = [part["type"] for part in common["content"]]
    names = {name.lower() for name in (*common["headers"], *personal)}
    faults = {
        f"its parts are {', '.join(kinds)}": kinds != KINDS,
        "a part of it is empty": not all(part["value"].strip() for part in common["content"]),
        "it has no subject": not common["subject"].strip(),
        "it has no sender": not common["from"]["email"],
        f"it sets {', '.join(sorted(names & RESERVED))}, which SendGrid writes": bool(names & RESERVED),
        "a header of it breaks its line": any(_breaks(value) for value in common["headers"].values()),
        "it is larger than a request may be": sum(len(part["value"].encode()) for part in common["content"])
        > MOST_BYTES,
    }
    if fault := next((fault for fault, found in faults.items() if found), ""):
        raise ContentError(
            f"The message cannot leave by SendGrid: {fault}. Mend the edition or its look, then print it again."
        )


def demand_reader(substitutions: Mapping[str, str], arguments: Mapping[str, str]) -> None:
    """
    Raises:
        ValueError: one reader's values are more than a request may hold for them.
    """
    if _size(substitutions) > MOST_SUBSTITUTED:
        raise ValueError("the substitutions are too long")
    if _size(arguments) > MOST_ARGUMENTS:
        raise ValueError("the arguments are too long")


def fault_of(slips: Sequence[Slip], size: int) -> str:
    """Why a request of so many bytes would be refused as a whole, in words; empty when it would not."""
    if not 1 <= len(slips) <= MOST_READERS:
        return f"{len(slips)} readers in one request, of {MOST_READERS} at most"
    if len({slip.key for slip in slips}) < len(slips):
        return "an address twice in one request"
    return "more than SendGrid takes at once" if size > MOST_BYTES else ""


def apart(slips: Sequence[Slip], most: int) -> list[list[Slip]]:
    """Groups of at most `most` readers, none of which names an address twice."""
    if len({slip.key for slip in slips}) == len(slips):
        return [list(slips[at : at + most]) for at in range(0, len(slips), most)]
    groups: list[dict[str, Slip]] = []
    for slip in slips:
        group = next((one for one in groups if len(one) < most and slip.key not in one), None)
        if group is None:
            groups.append(group := {})
        group[slip.key] = slip
    return [list(group.values()) for group in groups]


def _size(values: Mapping[str, str]) -> int:
    """As JSON, signs between them counted, which is the most that the API may count."""
    return len("".join([*values, *values.values()]).encode()) + len('"":"",') * len(values)


def _breaks(value: str) -> bool:
    return any(sign in value for sign in "\r\n\0")
