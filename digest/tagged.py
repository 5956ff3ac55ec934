"""
A proof for providers that write the envelope and fill in the blanks themselves: its parts, with a tag for each blank.

It is the compiled message itself, filled once with marks in place of a reader's values and taken apart again, so that
what a provider says is what every other transport says.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from itertools import count

from digest.blanks import FILLS, BlankError, Marks
from digest.splice import fill
from digest.values import Blank, Compiled, Recipient

DATE = "Thu, 01 Jan 1970 00:00:00 +0000"
CONTEXTS = {"plain": "text8", "html": "html8"}


@dataclass(frozen=True)
class Tagged:
    """
    What is the same for all readers, and what fills the rest.

    `tags` names the blank for each tag in `text` and `html`; where the two parts escape differently, their tags differ.
    No tag stands anywhere in the message but in its place.
    """

    sender: tuple[str, str]  # name, address
    reply_to: str
    subject: str
    text: str
    html: str
    tags: Mapping[str, Blank]
    headers: Mapping[str, str]  # the message's own, unfolded, where they are the same for all
    personal: Mapping[str, Sequence[str | Blank]]  # those that hold blanks, in pieces


def tagged(compiled: Compiled, *, without: frozenset[str]) -> Tagged:
    """
    The message taken apart. `without` names, in lower case, the headers that the provider writes itself.

    Raises:
        BlankError: a header holds what no reader has.
    """
    marks = Marks.for_content(repr(compiled.pieces))
    standing = Recipient(
        number=0, delivery_id=marks.mark("delivery_id"), address=f"{marks.mark('address')}@example.net",
        name=marks.mark("name"), token=marks.mark("token"), date=DATE,
        trail=marks.mark("trail"),
    )  # fmt: skip
    message = message_from_bytes(fill(compiled, standing), policy=default)
    parts = {kind: _part(message, kind) for kind in CONTEXTS}
    sender, reply_to = message["From"].addresses[0], message["Reply-To"].addresses[0].addr_spec
    seed = _absent_from("\n".join((*parts.values(), str(message["Subject"]), reply_to)))
    tags = {blank: f"-{seed}{letter}-" for letter, blank in zip("abcdefgh", _blanks(), strict=False)}
    texts = {kind: _tag(part, standing, tags, CONTEXTS[kind]) for kind, part in parts.items()}
    own = {name: _cut(str(value), marks) for name, value in message.items() if name.lower() not in without}
    return Tagged(
        sender=(sender.display_name, sender.addr_spec), reply_to=reply_to, subject=str(message["Subject"]),
        text=texts["plain"], html=texts["html"],
        tags={tag: blank for blank, tag in tags.items() if tag in texts["plain"] + texts["html"]},
        headers={name: str(pieces[0]) for name, pieces in own.items() if len(pieces) == 1},
        personal={name: pieces for name, pieces in own.items() if len(pieces) > 1},
    )  # fmt: skip


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None, "every proof of an email has both parts"
    return str(part.get_content()).replace("\r\n", "\n")


def _absent_from(content: str) -> str:
    """Eight signs that stand nowhere in it, the same whenever it is printed; tags are short, for each reader gets them all."""
    digests = (hashlib.blake2b(f"{n}{content}".encode("utf-8", "replace"), digest_size=4) for n in count())
    return next(seed for one in digests if (seed := one.hexdigest()) not in content)


def _blanks() -> list[Blank]:
    raw = [Blank(field, "raw") for field in ("token", "delivery_id")]
    named = [Blank(field, context) for field in ("comma_name", "address") for context in CONTEXTS.values()]
    return [*raw, *named, Blank("trail", "raw")]


def _tag(text: str, standing: Recipient, tags: Mapping[Blank, str], context: str) -> str:
    for value, blank in (
        (f", {standing.name}", Blank("comma_name", context)),
        (standing.address, Blank("address", context)),
        (standing.token, Blank("token", "raw")),
        (standing.delivery_id, Blank("delivery_id", "raw")),
        (standing.trail, Blank("trail", "raw")),
    ):
        text = text.replace(value, tags[blank])
    return text


def _cut(value: str, marks: Marks) -> list[str | Blank]:
    pieces = [Blank(part, "raw") if at % 2 else part for at, part in enumerate(marks.split(value))]
    if unknown := [piece.field for piece in pieces if isinstance(piece, Blank) and piece not in FILLS]:
        raise BlankError(
            f"A header holds the reader's {unknown[0]}, which no provider is told: print the edition again."
        )
    return pieces
