"""
A proof for providers that write the envelope and fill in the blanks themselves: its parts, with a tag for each blank.

It is the compiled message itself, filled once with marks in place of a reader's values and taken apart again, so that
what a provider says is what every other transport says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from digest.blanks import FILLS, Fill, Marks
from digest.splice import fill
from digest.values import Blank, Compiled, Recipient

DATE = "Thu, 01 Jan 1970 00:00:00 +0000"
CONTEXTS = {"plain": "text8", "html": "html8"}


@dataclass(frozen=True)
class Tagged:
    """
    What is the same for all readers, and how to say the rest.

    `tags` gives each tag in `text` and `html` what fills it: the two parts escape differently, so no tag stands in both.
    Nothing in a story can look like a tag: it would have to hold a hash of itself.
    """

    sender: tuple[str, str]  # name, address
    reply_to: str
    subject: str
    text: str
    html: str
    tags: Mapping[str, Fill]
    headers: Mapping[str, Sequence[str]]  # by name: text, field, text, ...

    def substitutions(self, recipient: Recipient) -> dict[str, str]:
        """Each tag's value for one reader. Raises ValueError where a value cannot be written."""
        return {tag: fill_one(recipient).decode() for tag, fill_one in self.tags.items()}

    def headers_for(self, recipient: Recipient) -> dict[str, str]:
        """The message's own headers for one reader, unfolded. Raises ValueError where a value cannot be written."""
        return {name: _filled(parts, recipient) for name, parts in self.headers.items()}


def tagged(compiled: Compiled, *, without: frozenset[str]) -> Tagged:
    """The message taken apart. `without` names, in lower case, the headers that the provider writes itself."""
    marks = Marks.for_content(repr(compiled.pieces))
    standing = Recipient(
        number=0, delivery_id=marks.mark("delivery_id"), address=f"{marks.mark('address')}@example.net",
        name=marks.mark("name"), token=marks.mark("token"), date=DATE,
    )  # fmt: skip
    message = message_from_bytes(fill(compiled, standing), policy=default)
    parts = {kind: _tag(_part(message, kind), standing, marks, context) for kind, context in CONTEXTS.items()}
    sender = message["From"].addresses[0]
    return Tagged(
        sender=(sender.display_name, sender.addr_spec), reply_to=message["Reply-To"].addresses[0].addr_spec,
        subject=str(message["Subject"]), text=parts["plain"][0], html=parts["html"][0],
        tags={**parts["plain"][1], **parts["html"][1]},
        headers={name: marks.split(str(value)) for name, value in message.items() if name.lower() not in without},
    )  # fmt: skip


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None, "every proof of an email has both parts"
    return str(part.get_content()).replace("\r\n", "\n")


def _tag(text: str, standing: Recipient, marks: Marks, context: str) -> tuple[str, dict[str, Fill]]:
    tags: dict[str, Fill] = {}
    for value, blank in (
        (f", {standing.name}", Blank("comma_name", context)),
        (standing.address, Blank("address", context)),
        (standing.token, Blank("token", "raw")),
        (standing.delivery_id, Blank("delivery_id", "raw")),
    ):
        if value in text:
            tag = marks.mark(f"{blank.field}_{context.rstrip('8')}")
            text, tags[tag] = text.replace(value, tag), FILLS[blank]
    return text, tags


def _filled(parts: Sequence[str], recipient: Recipient) -> str:
    if len(parts) == 1:
        return parts[0]
    return "".join(FILLS[Blank(part, "raw")](recipient).decode() if at % 2 else part for at, part in enumerate(parts))
