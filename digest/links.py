"""Every address that a message or page carries: the edition, the way out, sharing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from digest.values import Edition, EditionKind, Slot

SAFE_IN_VALUE = ":/?=@,~"
"""Signs that may stand unescaped inside a query's value (RFC 3986 3.4): a shared address stays short and can be read."""


@dataclass(frozen=True, slots=True)
class Links:
    """
    Addresses under the installation's base URL, which is a setting and never what a request said.

    `tracked`: the stories of a mail are reached through us, so that clicks can be counted.
    """

    base_url: str
    tracked: bool = False

    def edition(self, digest: str, on: date, kind: str = EditionKind.DAILY, name: str = "") -> str:
        """Where an edition is read in a browser: /e/global/2025-03-06, or .../2025-03-06-breaking-name."""
        parts = [on.isoformat(), *([kind] if kind != EditionKind.DAILY else []), *([name] if name else [])]
        return f"{self.base_url}/e/{quote(digest)}/{quote('-'.join(parts))}"

    def sign_up(self, digest: str) -> str:
        """Where a digest is asked for."""
        return f"{self.base_url}/d/{quote(digest)}"

    def confirm(self, token: str) -> str:
        """A page with one button, by which a sign-up becomes true."""
        return f"{self.base_url}/confirm/{token}"

    def own(self, token: str) -> str:
        """For 15 minutes: all that is kept of a reader, and what only they may do with it."""
        return f"{self.base_url}/own/{token}"

    def address(self, token: str) -> str:
        """A page with one button, by which a new address becomes true."""
        return f"{self.base_url}/address/{token}"

    def preferences(self, token: str) -> str:
        """The reader's page: hour, days, topics."""
        return f"{self.base_url}/m/{token}"

    def pause(self, token: str) -> str:
        return f"{self.base_url}/m/{token}/pause"

    def followed(self, trail: str, number: int) -> str:
        """Through us to the edition's link of that number, and nowhere else."""
        return f"{self.base_url}/t/{trail}/{number}"

    def pixel(self, trail: str) -> str:
        """A picture of one point, by which a mail program says that it shows the mail."""
        return f"{self.base_url}/t/{trail}/seen.gif"

    def leave(self, token: str) -> str:
        """A page with one button; the same address takes the mail provider's one-click POST (RFC 8058)."""
        return f"{self.base_url}/m/{token}/leave"


def leave_by_mail(reply_to: str, token: str) -> str:
    """The mailto of List-Unsubscribe, for readers whose mail program posts nothing."""
    return f"mailto:{quote(reply_to, safe='@+')}?subject=leave%20{token}"


def anchor(edition_url: str, position: int) -> str:
    """A story's place on the edition's own page."""
    return f"{edition_url}#s{position}"


def tagged(url: str, utm: Mapping[str, str]) -> str:
    """A story's address with the publisher's UTM settings; those it already has by the same names are replaced."""
    if not utm:
        return url
    parts = urlsplit(url)
    wanted = {f"utm_{name.removeprefix('utm_')}": value for name, value in utm.items()}
    kept = [pair for pair in parts.query.split("&") if pair and pair.partition("=")[0] not in wanted]
    query = "&".join([*kept, urlencode(wanted, quote_via=quote)])
    return urlunsplit(parts._replace(query=query))


def utm_of(edition: Edition) -> dict[str, str]:
    """The digest's UTM settings, bare names, with {digest} and {date} in their values filled in."""
    known = {"{digest}": edition.digest.slug, "{date}": edition.local_date.isoformat()}
    filled = {name.removeprefix("utm_"): value for name, value in edition.digest.utm.items()}
    for place, value in known.items():
        filled = {name: setting.replace(place, value) for name, setting in filled.items()}
    return filled


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """What a share link hands on: a story's own address (its UTM medium is "share"), its headline, its place on the page."""

    url: str
    headline: str
    anchor: str


SHARE: Mapping[str, Callable[[Shared], str]] = {
    "whatsapp": lambda s: f"https://wa.me/?text={_value(s.url)}",
    "telegram": lambda s: f"https://t.me/share/url?url={_value(s.url)}",
    "facebook": lambda s: f"https://www.facebook.com/sharer.php?u={_value(s.url)}",
    "x": lambda s: f"https://x.com/intent/post?url={_value(s.url)}",
    "email": lambda s: f"mailto:?subject={quote(s.headline, safe='')}&body={quote(s.url, safe=SAFE_IN_VALUE)}",
    # A mail cannot reach the clipboard: the story's place on the edition's page can offer its address to copy.
    "copy": lambda s: s.anchor,
}


def share_links(edition: Edition, slot: Slot) -> dict[str, str]:
    """A story's share links by network, in the digest's order. They carry nothing about the reader they were sent to."""
    utm = utm_of(edition)
    shared = Shared(
        url=tagged(slot.url, {**utm, "medium": "share"} if utm else {}),
        headline=slot.headline,
        anchor=anchor(edition.web_url, slot.position),
    )
    return {network: SHARE[network](shared) for network in edition.digest.share if network in SHARE}


def _value(text: str) -> str:
    return quote(text, safe=SAFE_IN_VALUE)
