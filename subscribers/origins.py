"""Where a file of readers comes from, by its headings: what other programs' exports call things, and whom they list."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """
    A program whose exports we know. `headings` are those that mean something else in them than anywhere, in small
    letters. `standing` is how everyone in the file stands, where the file does not say it of each.
    """

    words: str
    headings: Mapping[str, str] = field(default_factory=dict)
    standing: str = ""


LISTMONK = frozenset({"uuid", "email", "name", "attributes", "status"})
MAILCHIMP = frozenset({"leid", "euid", "member_rating", "optin_time"})
MAILCHIMP_HEADINGS = {
    "address": "", "cc": "country", "tags": "tags", "optin_time": "consent_at", "confirm_time": "confirmed_at",
    "unsub_time": "left_at", "clean_time": "cleaned_at", "last_changed": "", "notes": "", "optin_ip": "",
    "confirm_ip": "", "latitude": "", "longitude": "",
}  # fmt: skip
"""What is mapped to nothing here is nobody's business: not even `--attributes` takes it in."""


OWN = ("suppressed", "chosen_at", "tracked_since")  # in our own exports alone


def origin_of(headings: Collection[str], name: str) -> Origin:
    """
    The program that wrote a file with these headings, under this file name; an Origin without words if none we know.

    Mailchimp says who left or bounced not in each line but by the file: by its columns and by the name it gave it.
    """
    given = {heading.strip().lower() for heading in headings}
    if given >= LISTMONK:
        return Origin(words="listmonk's export", headings={"created_at": "joined"})
    if "subscriptions" in given and "email" in given:
        return Origin(words="our own export", headings={name: name for name in OWN})
    if "email address" not in given or not given & MAILCHIMP:
        return Origin(words="")
    if name.lower().startswith("nonsubscribed"):
        return Origin(words="Mailchimp's export of people who never subscribed", standing="never")
    if "clean_time" in given or name.lower().startswith("cleaned"):
        words, standing = "Mailchimp's export of cleaned addresses", "bounce"
    elif "unsub_time" in given or name.lower().startswith("unsubscribed"):
        words, standing = "Mailchimp's export of people who left", "left"
    else:
        words, standing = "Mailchimp's export", ""
    return Origin(words=words, headings=MAILCHIMP_HEADINGS, standing=standing)
