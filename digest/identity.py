"""Which stories are the same story: by address, by the feed's own id where that can be trusted, by headline."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

from digest.text import words
from digest.values import Story

# what campaigns, mailers and analytics hang on a link; the article is the same without
_TRACKING_NAMES = """
    fbclid gclid dclid gbraid wbraid gclsrc msclkid yclid twclid ttclid igshid igsh li_fat_id mc_cid mc_eid mkt_tok _hsenc
    _hsmi hsctatracking oly_anon_id oly_enc_id vero_id vero_conv wickedid s_cid ncid cmpid cmp icid ito ocid xtor smid emc
    ref_src ref_url _ga _gl __s rb_clickid sc_cid s_kwcid srsltid fb_action_ids fb_action_types fb_source amp outputtype
    mibextid guccounter guce_referrer guce_referrer_sig ns_campaign ns_mchannel ns_source
"""
_TRACKING = frozenset(_TRACKING_NAMES.split())
_TRACKING_STARTS = ("utm_", "at_", "pk_", "mtm_", "hsa_", "trk_", "stm_")
_WHEN_FROM_FEED = frozenset({"ref", "source", "src", "from", "partner", "mod", "output"})
_FEED_VALUES = ("rss", "feed", "amp", "newsletter", "twitter", "facebook")
_AMP_CACHE = re.compile(r"^(?:www\.)?(?:google\.[a-z.]{2,6}/amp|[\w-]+\.cdn\.ampproject\.org/[cvr])/(s/)?(.+)$")
_MOBILE = re.compile(r"^(?:www|m|mobile|amp)\.(?=[^.]+\.[^.]+)|(?<=^[a-z]{2}\.)m\.(?=[^.]+\.[^.]+)")
_AMP_PATH = re.compile(r"(?:/amp(?:/?|\.html?)|\.amp(?:\.html?)?)$|^/amp(?=/)", re.IGNORECASE)
_INDEX = re.compile(r"/(?:index|default)\.(?:html?|php|aspx?)$", re.IGNORECASE)
_PORTS = (":80", ":443")
_PATH_SAFE = "/:@!$&'()*+,;=~-._%"


def canonical(url: str) -> str:
    """
    The one spelling of an article's address, for comparing: https, host in lower case without www., m. or amp., no default port,
    no tracking parameters, no AMP path, no fragment, no last slash, parameters sorted. Empty for what is not http(s).
    """
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").rstrip(".")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not host:
        return ""
    cached = _AMP_CACHE.match(f"{host}{parts.path}")
    if cached and "." in cached[2].split("/", 1)[0]:
        return canonical(f"https://{cached[2]}" + (f"?{parts.query}" if parts.query else ""))
    where = f"{_main_host(host)}{'' if port in _PORTS else port}{_path(parts.path)}"
    query, anchor = _query(parts.query), f"#{parts.fragment}" if parts.fragment.startswith("!") else ""
    return f"https://{where}{f'?{query}' if query else ''}{anchor}"


def _main_host(host: str) -> str:
    while (shorter := _MOBILE.sub("", host)) != host:
        host = shorter
    return host


def _path(path: str) -> str:
    path = quote(unquote(path, errors="surrogateescape"), safe=_PATH_SAFE.replace("%", ""), errors="surrogateescape")
    path = re.sub(r"/{2,}", "/", path)
    while (shorter := _INDEX.sub("/", _AMP_PATH.sub("", path.rstrip("/"))).rstrip("/")) != path:
        path = shorter
    return path


def _query(query: str) -> str:
    pairs = parse_qsl(query, keep_blank_values=True, errors="surrogateescape", max_num_fields=None)
    return urlencode(sorted(pair for pair in pairs if not _is_tracking(*pair)), errors="surrogateescape")


def _is_tracking(name: str, value: str) -> bool:
    folded = name.lower()
    from_feed = folded in _WHEN_FROM_FEED and value.lower().startswith(_FEED_VALUES)
    return folded in _TRACKING or folded.startswith(_TRACKING_STARTS) or from_feed


def headline_key(headline: str) -> str:
    """The same for one headline however it is cased, accented, spaced or punctuated: 64 hexadecimal digits."""
    return _digest(_folded(headline) or headline.strip())


def _folded(headline: str) -> str:
    # only the Latin, Greek and Cyrillic accents go: in other scripts a combining mark is a letter
    apart = unicodedata.normalize("NFKD", headline)
    return " ".join(words(unicodedata.normalize("NFC", "".join(c for c in apart if not "\u0300" <= c <= "\u036f"))))


def story_key(story: Story, guid_is_unique: bool, *, url_is_unique: bool = True) -> str:  # noqa: FBT001
    """
    A story's identity: its address where that is an article's own, else its GUID where unique in its feed, else its headline.

    The address comes first, as two sources of one publisher share it while some feeds change their GUIDs at every reading.
    """
    address = canonical(story.url)
    if url_is_unique and is_article(address):
        return _digest("url", address)
    if guid_is_unique and story.guid:
        return _digest("guid", story.source, story.guid)
    return _digest("headline", address or story.source, _folded(story.headline) or story.headline)


def story_keys(stories: Sequence[Story]) -> list[str]:
    """The keys of one reading's stories, in order; an address or GUID that several of them share identifies none of them."""
    guids = Counter(story.guid for story in stories)
    headlines = {(canonical(story.url), headline_key(story.headline)) for story in stories}
    addresses = Counter(address for address, _ in headlines)
    return [
        story_key(story, guids[story.guid] == 1, url_is_unique=addresses[canonical(story.url)] == 1)
        for story in stories
    ]


def is_article(address: str) -> bool:
    """Whether a canonical address can be one article's: it has a path or a query, so it is no front page."""
    parts = urlsplit(address)
    return bool(parts.path.strip("/") or parts.query or parts.fragment)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
