"""
Whether a person opened and clicked, or a machine for them: judged from what one visitor did within a minute.

Mail programs fetch pictures when nobody looks (Apple's for everybody, Gmail's and Yahoo's sometimes), and filters in front of
a mailbox follow every link of a mail as it arrives. Nothing tells all of them apart from people; these are the known marks.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

OPENED, CLICKED = "opened", "clicked"
AN_OPEN = -1  # stands for the number of a link where a mail was opened

WITHIN = 3.0  # seconds in which a burst of clicks lies
MANY, MANY_WHENEVER = 3, 6  # different links in it: soon after delivery, and at any time; people open tabs
SOON = 60.0  # seconds after delivery in which filters are at work, and mail servers fetch pictures ahead
TOO_SOON = 5.0  # seconds after delivery in which nobody has read anything
LONGEST_AGENT = 400  # characters that are looked at

_BOTS = re.compile(
    r"(?<!cu)bot\b|crawl|spider|scan|preview|prefetch|fetch|monitor|check|headless|phantom|curl|wget|python|httpx|aiohttp"
    r"|go-http|java/|okhttp|libwww|\bperl|\bruby|\bnode|axios|barracuda|proofpoint|mimecast|safelinks|existence discovery"
    r"|facebookexternalhit|whatsapp|slack-img|safebrowsing|google-|symantec|sophos|fortinet|trendmicro|virustotal"
)
_PROXIES = re.compile(r"googleimageproxy|via ggpht|yahoomailproxy")
_APPLE = "mozilla/5.0"  # all that Apple's privacy proxy says of itself


class Sight(NamedTuple):
    """
    One request by a visitor, or one event that a provider told. `at` is in epoch seconds.

    `link` is AN_OPEN or the link's number; `trap`: no person sees that link. `mark` is what `mark_of` said, or "told": a
    provider says that it was a machine.
    """

    link: int
    at: float
    mark: str = ""
    head: bool = False
    trap: bool = False


class Deed(NamedTuple):
    """What is counted: by a person when `why` is empty, else by a machine, and how that is known."""

    kind: str
    link: int
    at: float
    why: str


def mark_of(headers: Mapping[str, str]) -> str:
    """What a request's own headers give away: "bot", "ahead", "apple", "proxy", or nothing. `headers` are in lower case."""
    if "prefetch" in f"{headers.get('sec-purpose', '')} {headers.get('purpose', '')} {headers.get('x-moz', '')}"[:200]:
        return "ahead"
    agent = headers.get("user-agent", "")[:LONGEST_AGENT].strip().lower()
    if _PROXIES.search(agent):
        return "proxy"
    if agent == _APPLE:
        return "apple"
    return "bot" if not agent or _BOTS.search(agent) else ""


def judged(sights: Iterable[Sight], *, delivered: float | None) -> list[Deed]:
    """
    What one visitor of one mail did, each thing once for a person and once for machines; the same in whatever order.

    `delivered` is when the mail left, as far as that is known; None: nobody knows, so that every moment may be soon after.
    """
    ordered = sorted(set(sights))
    whys = _Whys(ordered, delivered)
    first: dict[tuple[int, bool], Deed] = {}
    for one in ordered:
        if not one.head:
            why = whys.of(one)
            deed = Deed(OPENED if one.link == AN_OPEN else CLICKED, one.link, one.at, why)
            known = first.get((one.link, bool(why)))
            if known is None or (deed.at, deed.why) < (known.at, known.why):
                first[one.link, bool(why)] = deed
    return sorted(first.values(), key=lambda deed: (deed.at, deed.kind, deed.link, deed.why))


class _Whys:
    """Why each of a visitor's sights is a machine's."""

    def __init__(self, sights: Sequence[Sight], delivered: float | None) -> None:
        self._delivered = delivered
        self._trapped = any(one.trap for one in sights)
        self._headed = {one.link for one in sights if one.head}
        self._bursts = [(burst[0].at, burst[-1].at) for burst in self._found(sights)]

    def of(self, one: Sight) -> str:
        if one.mark and one.mark != "proxy":
            return one.mark
        if self._trapped:
            return "trap"
        if one.link in self._headed:
            return "head"
        if one.link == AN_OPEN:
            return "ahead" if one.mark == "proxy" and self._age(one) < SOON else ""
        if any(first <= one.at <= last for first, last in self._bursts):
            return "burst"
        return "soon" if self._delivered is not None and self._age(one) < TOO_SOON else ""

    def _age(self, one: Sight) -> float:
        """Seconds since the mail left."""
        return one.at - self._delivered if self._delivered is not None else 0.0

    def _found(self, sights: Sequence[Sight]) -> Iterator[Sequence[Sight]]:
        clicks = sorted((one for one in sights if one.link != AN_OPEN), key=lambda one: one.at)
        last = 0
        for first, one in enumerate(clicks):
            while last < len(clicks) and clicks[last].at - one.at <= WITHIN:
                last += 1
            many = MANY if self._age(one) < SOON else MANY_WHENEVER
            if len({each.link for each in clicks[first:last]}) >= many:
                yield clicks[first:last]
