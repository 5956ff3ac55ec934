"""What templates may name: an edition turned into words, links and colours. templates/README.md is its reader's side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from digest.languages import Words, direction, message, primary, same_language
from digest.links import Links, anchor, leave_by_mail, share_links, tagged, utm_of
from digest.palette import palette
from digest.values import Edition, EditionKind, Slot, Variant

TOLD = {"full": 1000, "standard": 4, "brief": 0}
"""How many stories of each look are told with their teaser; the rest are headlines. A publisher's own look: as standard."""

LONGEST_URL = 700  # characters; a line of a mail ends before 998, and sharing lengthens an address
NETWORKS = {
    "whatsapp": "WhatsApp", "telegram": "Telegram", "facebook": "Facebook", "x": "X",
    "email": message("Email"), "copy": message("Copy link"),
}  # fmt: skip
LABELS = {EditionKind.BREAKING: message("Breaking"), EditionKind.CORRECTION: message("Correction")}


@dataclass(frozen=True, slots=True)
class ShareLink:
    """One way to hand a story on: the network's key, the word that is clicked, where it leads."""

    network: str
    label: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoryView:
    """
    A slot as templates see it.

    `lang` is empty where the story speaks the page's language, `dir` where its script runs the page's way. `image` is empty unless its host is allowed.
    `position` is its place on the edition's page, `number` its place here, which a topic profile may have changed.
    `story_url` is the story's own address, `url` the same with the publisher's UTM settings, in a tracked mail through us.
    """

    position: int
    number: int
    kicker: str
    update: bool
    headline: str
    teaser: str
    url: str
    story_url: str
    anchor: str
    minutes: int
    image: str
    image_alt: str
    lang: str
    dir: str
    share: tuple[ShareLink, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """
    What differs by reader, as marks: `comma_name` is ", Ana" or nothing.

    `pixel` and `trap` are empty where nothing is tracked: a picture of one point, and a link that no person sees.
    """

    comma_name: str
    address: str
    leave: str
    leave_by_mail: str
    pause: str
    preferences: str
    pixel: str = ""
    trap: str = ""


def reader(edition: Edition, links: Links, mark: Mapping[str, str]) -> Reader:
    token = mark["token"]
    return Reader(
        comma_name=mark["comma_name"], address=mark["address"], leave=links.leave(token), pause=links.pause(token),
        preferences=links.preferences(token), leave_by_mail=leave_by_mail(edition.digest.reply_to, token),
    )  # fmt: skip


Through = Callable[[int, str], str]
"""What a link becomes by its number and address: itself, or one that leads there through us."""


def directly(_number: int, url: str) -> str:
    return url


def context(edition: Edition, variant: Variant, words: Words, through: Through = directly) -> dict[str, object]:
    """Every name that is the same for all readers of a variant. `through`: number 0 is the edition's page, then the stories."""
    # Without a catalogue the page speaks English, and says so; its stories then say theirs.
    language = variant.language if same_language(variant.language, words.language) else words.language
    stories = tuple(
        _story(edition, number, slot, language, words, partial(through, slot.position))  # in every order the same link
        for number, slot in enumerate(edition.slots, start=1)
    )
    told = TOLD.get(variant.look, TOLD["standard"])
    return {
        "edition": edition,
        "digest": edition.digest,
        "colours": palette(edition.digest.colours),
        "language": language,
        "dir": direction(language),
        "locale": locale(language),
        "date": words.date(edition.local_date),
        "label": words.gettext(LABELS[edition.kind]) if edition.kind in LABELS else "",
        "minutes": sum(story.minutes for story in stories),
        "stories": stories,
        "told": stories[:told],
        "also": stories[told:],
        "pictured": bool(told and stories and stories[0].image),
        "shared": tuple(story for story in stories[:told] if story.share),
        "web_url": through(0, edition.web_url),
    }


def _story(
    edition: Edition, number: int, slot: Slot, language: str, words: Words, through: Callable[[str], str]
) -> StoryView:
    same = same_language(slot.language, language)
    runs = direction(language if same else slot.language)
    link = slot.url if len(slot.url) <= LONGEST_URL else anchor(edition.web_url, slot.position)
    shared = share_links(edition, slot) if link == slot.url else {}
    allowed = image_allowed(slot.image, edition.digest.image_hosts)
    return StoryView(
        position=slot.position, number=number, kicker=slot.kicker, update=slot.update, headline=slot.headline, teaser=slot.teaser,
        url=through(tagged(link, utm_of(edition)) if link == slot.url else link), story_url=slot.url,
        anchor=anchor(edition.web_url, slot.position), minutes=slot.minutes,
        image=slot.image if allowed else "", image_alt=slot.image_alt if allowed else "",
        lang="" if same else slot.language, dir="" if runs == direction(language) else runs,
        share=tuple(ShareLink(key, words.gettext(NETWORKS[key]), url) for key, url in shared.items()),
    )  # fmt: skip


def image_allowed(url: str, hosts: Sequence[str]) -> bool:
    """Whether the operator allows the image's host (or a host it is under): any other server would learn who reads."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").casefold()
    except ValueError:
        return False
    return parts.scheme == "https" and any(host == allowed or host.endswith(f".{allowed}") for allowed in hosts)


def locale(language: str) -> str:
    """The language as OpenGraph spells it: "es_MX", "es"."""
    return primary(language) + language.replace("_", "-")[len(primary(language)) :].replace("-", "_")
