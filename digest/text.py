"""What outside text becomes before anyone sees it: plain, whole, and cut only where a reader would pause."""

import html
import re
import unicodedata
from collections import Counter
from html.entities import html5
from math import exp, sqrt

ROUNDS = 4  # of decoding: publishers escape twice, sometimes three times
LONGEST_FIELD = 400_000  # characters of one field that are looked at; the longest real article body is a tenth of it

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_HIDDEN = "\u00ad\u200b\u2060-\u2064\ufeff\ufff9-\ufffb\U000e0000-\U000e007f"
_UNSEEN = re.compile(f"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff{_BIDI}{_HIDDEN}]")
_ENTITY = re.compile(r"&(?:amp;)*(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,31});")
_UNSPOKEN = re.compile(r"<!--.*?(?:-->|\Z)|<(script|style)\b.*?(?:</\1\s*>|\Z)", re.DOTALL | re.IGNORECASE)
# every alternative stops at the next "<", so no input makes it look at a character more than a few times
_TAG = re.compile(r"""<(?=[a-zA-Z/!?])/?([a-zA-Z0-9]*)(?>[^<>"']|"[^"<]*"|'[^'<]*'|["'])*+>""")
_BLOCK_NAMES = """
    address article aside blockquote br center dd div dl dt fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6
    header hr li main nav ol option p pre section table tbody td tfoot th thead tr ul
"""
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_INLINE_NAMES = """
    a abbr acronym applet area audio b base bdi bdo big body button canvas caption cite code col colgroup data datalist del
    dfn em embed font frame frameset head html i iframe image img input ins kbd label legend link map mark marquee math meta
    nobr noscript object output param picture q rp rt ruby s samp script select small source span strike strong style sub
    sup svg textarea time title track tt u var video wbr
"""
_INLINE = frozenset(_INLINE_NAMES.split())


def plain(value: str) -> str:
    """
    One line of text: tags dropped, entities decoded (twice escaped ones too), control, bidi and hidden characters
    removed, white space folded, NFC.
    """
    return " ".join(_bare(value).split())


def without_addresses(words: str, most: int = 200) -> str:
    """What another machine said, on one line and without addresses: it is kept longer than a reader's address is."""
    hidden = " ".join("(address)" if "@" in word else word for word in words.split())
    shown = "".join(sign if sign.isprintable() else " " for sign in hidden)
    return " ".join(shown.split())[:most].rstrip()


def paragraphs(value: str) -> str:
    """As `plain`, but what a browser would show as separate blocks stays apart, by one empty line."""
    lines = (" ".join(line.split()) for line in _bare(value).split("\n"))
    return "\n\n".join(line for line in lines if line)


def _bare(value: str) -> str:
    text = _UNSEEN.sub("", value[:LONGEST_FIELD].replace("\r\n", "\n"))
    for _ in range(ROUNDS):
        before = text
        text = _ENTITY.sub(_decode, _untagged(text))
        text = _UNSEEN.sub("", text)
        if text == before:
            break
    return unicodedata.normalize("NFC", _untagged(text))


def _untagged(text: str) -> str:
    if "<" not in text:
        return text
    return _TAG.sub(_gone, _UNSPOKEN.sub(" ", text))


def _gone(tag: re.Match[str]) -> str:
    """What a tag leaves. <The Tale of a Palace> is a title as some languages quote it, and stays."""
    whole, name = tag[0], tag[1].lower()
    quoted = name and name not in _INLINE and " " in whole and not re.search(r"^</|=|^<\w+[:-]\w", whole)
    return "\n" if name in _BLOCKS else whole if quoted else ""


def _decode(entity: re.Match[str]) -> str:
    name = f"{entity[1]};"
    return html.unescape(f"&{name}") if name[0] == "#" else html5.get(name, entity[0])


# Cutting --------------------------------------------------------------------------------------------------------------

_CUT = re.compile(
    r"(?:[.…]{2,}|…|[\[(]\s*[.…]+\s*[\])]|\b(?:read (?:more|on)|(?:continue|keep) reading|see more|more|"
    r"leer más|lee más|ver más|seguir leyendo|sigue leyendo|continuar leyendo)\W*)$",
    re.IGNORECASE,
)
_MORE_ALONE = re.compile(r"\w\s+more\W*$", re.IGNORECASE)


def is_cut(teaser: str) -> bool:
    """Whether a publisher's teaser stops in mid-air: it ends in dots, "[...]", "Read more" or the like."""
    found = _CUT.search(teaser.rstrip(" »›→>\u00a0"))
    if found is None:
        return False
    return not (found[0].lower().startswith("more") and _MORE_ALONE.search(teaser))


def cut_at_word(text: str, limit: int) -> str:
    """At most `limit` characters, ended with "…" after a whole word where something had to go."""
    if len(text) <= limit:
        return text
    room = text[: max(limit - 1, 0)]
    if not text[len(room)].isspace() and " " in room:
        room = room[: room.rindex(" ")]
    return (room.rstrip(" ,;:-–—(\"'“‘¿¡") + "…")[:limit]


_BREAK = re.compile(r"(?<=[.!?…])[\"'”’»)\]]*\s+(?=[\"'“‘«(\[¿¡]*[A-Z0-9À-ÖØ-ÞĀ-ɏͰ-῿])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Sra|Srta|Dra|Jr|Gen|Sen|Rep|Gov|Lt|Col|Sgt|Capt|Rev|Hon|No|Nos|vs|etc|Inc|Ltd|Co|"
    r"Corp|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Art|Ud|Uds|approx|a\.m|p\.m|e\.g|i\.e)|\b[A-Z]|\bEE)\.$"
)
_LONGEST_ABBREVIATION = 10


def sentences(text: str) -> list[str]:
    """The sentences of one paragraph or more, in order. "U.S. troops" and "Sra. Ruiz" stay whole."""
    found: list[str] = []
    for block in text.split("\n"):
        start = 0
        for gap in _BREAK.finditer(block):
            said = block[start : gap.start()]
            if not _ABBREVIATION.search(said[-_LONGEST_ABBREVIATION:]):
                found.append(block[start : gap.end()].strip())
                start = gap.end()
        found.append(block[start:].strip())
    return [sentence for sentence in found if sentence]


# Teasers --------------------------------------------------------------------------------------------------------------

SHORTEST_TEASER, LONGEST_TEASER = 40, 300
_ENDS = '.!?"”’»)'
LEADING = 20  # sentences that may become a teaser
_BOILERPLATE = re.compile(
    r"^(?:article url:|submitted by|comments url|click here|subscribe|sign up|suscríbete|haz clic|photo:|image:|watch:)"
    r"|(?:all rights reserved|todos los derechos reservados)",
    re.IGNORECASE,
)
_APPEARED = re.compile(
    r"\s*(?:The post .{0,400}? (?:appeared first on|first appeared on)|La entrada .{0,400}? (?:aparece primero en|se publicó primero en))\s.{1,120}$",
    re.IGNORECASE,
)


def teaser_of(description: str, *, headline: str, body: str) -> str:
    """
    The text under a headline, always whole: the publisher's own description where it is sane (40 to 300 characters, not
    cut, not the headline again, no boilerplate), else the sentence of the body that says most, else the whole sentences
    before the cut; empty when there is none of these. All arguments are plain text.
    """
    said = without_credit(description[: 4 * LONGEST_TEASER])
    if is_sane(said, headline):
        return said
    return lead_sentence(body, headline=headline) or _whole_start(said, headline)


def without_credit(description: str) -> str:
    """A description without the line by which a blog names itself at its end."""
    return _APPEARED.sub("", description)


def is_sane(description: str, headline: str) -> bool:
    return (
        SHORTEST_TEASER <= len(description) <= LONGEST_TEASER
        and not is_cut(description)
        and not _BOILERPLATE.search(description)
        and words(description) != words(headline)
    )


def lead_sentence(body: str, *, headline: str) -> str:
    """
    The early sentence nearest to the headline and to the whole story; a place further down costs e^-0.15.

    Source: measured on 335 articles against their publishers' descriptions, ROUGE-1 .467 against .435 for the first sentence.
    """
    early = [sentence for sentence in sentences(body) if not is_cut(sentence)][:LEADING]
    bags = [Counter(words(sentence)) for sentence in early]
    whole, title = sum(bags, Counter[str]()), Counter(words(headline))
    scored = [
        ((_likeness(bag, title) + _likeness(bag, whole)) * exp(-0.15 * place), -place)
        for place, bag in enumerate(bags)
        if is_sane(early[place], headline) and early[place][-1] in _ENDS
    ]
    return early[-max(scored)[1]] if scored else ""


def _whole_start(description: str, headline: str) -> str:
    """As many whole sentences as fit, from the start; the last one only if it has an end."""
    kept = ""
    for sentence in sentences(description[: 2 * LONGEST_TEASER]):
        longer = f"{kept} {sentence}".strip()
        if is_cut(sentence) or sentence[-1] not in _ENDS or len(longer) > LONGEST_TEASER:
            break
        kept = longer
    return kept if is_sane(kept, headline) else ""


def _likeness(one: Counter[str], other: Counter[str]) -> float:
    shared = sum(count * other[word] for word, count in one.items() if word in other)
    return shared / (_length(one) * _length(other)) if shared else 0.0


def _length(bag: Counter[str]) -> float:
    return sqrt(sum(count * count for count in bag.values()))


# in these scripts a vowel may be a mark of its own, which re does not count as a letter
_MARKS_OF_WORDS = (
    "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0963\u0966-\u0dff\u0e00-\u0eff\u0f00-\u109f\u1780-\u17d3"
)
_WORD = re.compile(rf"(?:[^\W_]|[{_MARKS_OF_WORDS}])+")


def words(text: str) -> list[str]:
    """The words of a text in order, folded for comparing."""
    return _WORD.findall(text.casefold())


# Bytes ----------------------------------------------------------------------------------------------------------------

_CHARSET = re.compile(r"charset\s*=\s*[\"']?\s*([\w:.-]{1,40})", re.IGNORECASE)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w:.-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^<>]{0,300}?charset\s*=\s*[\"']?\s*([\w:.-]{1,40})", re.IGNORECASE)
_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))


def decoded(body: bytes, content_type: str = "") -> str:
    """Bytes as text, by byte order mark, header, what the document says of itself, UTF-8, and Windows-1252 in that order."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body.decode(name, errors="replace")
    head, stated = body[:4096], _CHARSET.search(content_type)
    inside = _XML_ENCODING.search(head) or _META.search(head)
    for name in (stated[1] if stated else "", inside[1].decode() if inside else "", "utf-8"):
        text = _by_charset(body, name)
        if text is not None:
            return text
    return body.decode("cp1252", errors="replace")


def _by_charset(body: bytes, name: str) -> str | None:
    latin = {
        "iso-8859-1",
        "latin-1",
        "latin1",
        "us-ascii",
        "ascii",
    }  # browsers read these as Windows-1252, and so do writers
    try:
        return body.decode("cp1252" if name.lower() in latin else name) if name else None
    except (LookupError, UnicodeError, ValueError):
        return None
