"""The plain text of a section or article page: label, headline, share lines, body, and cards of related stories."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from digest.dates import read_date
from digest.errors import SourceError
from digest.intake import Intake
from digest.text import decoded, is_cut, plain
from digest.values import Document, Reading

HEAD = 4096
LABEL, LABEL_WORDS = 40, 4  # characters and words a section's label may have
EARLY = 4  # lines under a headline that may be byline and date
CARD_TEASER = 280  # a longer paragraph is an article's, not a card's
LINE = 100  # a text none of whose lines is longer was wrapped by hand
WRAPPED = 45  # a line shorter than this was ended on purpose

_NETWORKS = (
    r"(?:facebook|twitter|x|whatsapp|telegram|linkedin|reddit|pinterest|email|e-mail|mail|correo|bluesky|threads)"
)
_SHARE = re.compile(
    rf"(?:(?:share|compartir|comparte|partager|teilen|condividi|compartilhar|tweet|tuitear|twittear|post|enviar|send|print|imprimir|"
    rf"save|guardar|copy link|copiar enlace|copy|copiar|comment|comments|comentarios|listen|escuchar|follow|seguir|gift|regalar|pin|"
    rf"{_NETWORKS})(?:\s+(?:this|article|story|artículo|noticia|on|via|by|en|por|to|this article|esta noticia|{_NETWORKS}))*[\s:|·]*)+",
    re.IGNORECASE,
)
_RELATED = re.compile(
    r"(?:(?:related|recommended|similar|more|latest|most read|popular)(?:\s+(?:articles?|stories|story|news|posts?|reading|content|from\s+\S.{0,40}|"
    r"in\s+\S.{0,40}|on\s+\S.{0,40}|for you))|related|read (?:also|next)|you may also like|you might also like|see also|more (?:news|stories)|"
    r"(?:artículos|noticias|notas|contenidos?|historias)\s+relacionad[oa]s?|relacionad[oa]s|te puede interesar|también te puede interesar|"
    r"lee también|leer también|más noticias|más leídas?|lo más leído|recomendados?|articles liés|à lire aussi|mehr zum thema|leia também)\s*:?",
    re.IGNORECASE,
)
_BYLINE = re.compile(r"(?:by|por|von|par|di)\s+(\S.{1,80})", re.IGNORECASE)
_DATED = re.compile(
    r"(?:published|updated|publicado|actualizado|posted)?\s*(?:on|el|at)?\s*:?\s*(.{6,60})", re.IGNORECASE
)
_LINK = re.compile(r"https?://\S+")
_MARKUP = re.compile(r"<(?:!doctype|html|head|body|rss|feed|\?xml|div|p|urlset)\b|<\?xml", re.IGNORECASE)
_END = (".", "!", "?", "…", ":", ";", "”", '"')


@dataclass(slots=True)
class _Told:
    """A story of the page as its lines are read."""

    section: str
    headline: str
    lines: list[str] = field(default_factory=list)
    url: str = ""
    author: str = ""
    dated: str = ""
    card: bool = False


def looks_like(head: str, content_type: str) -> bool:
    return (
        bool(head.strip())
        and not _MARKUP.search(head)
        and not head.startswith("{")
        and "\0" not in head
        and "json" not in content_type
    )


def parse(document: Document) -> Reading:
    """
    The page's own story with its body, then its cards as stubs whose cut teaser is kept apart.

    Raises:
        SourceError: there is nothing in it that could be a headline.
    """
    text = decoded(document.body, document.content_type)
    if not looks_like(text[:HEAD].lstrip("\ufeff \t\r\n"), document.content_type):
        raise SourceError(f"{document.source} is no plain text: leave the kind out, and it is found out.")
    lines = _lines(text)
    end = _cards_start(lines)
    told = [*_article(lines[:end]), *_cards(lines[end:])]
    if not told:
        raise SourceError(
            f"{document.source} holds no headline: give the section's label, the headline and the text, in lines."
        )
    intake = Intake(document)
    for number, story in enumerate(told):
        _add(intake, story, document.url if number == 0 and end else "")
    return intake.reading()


def _add(intake: Intake, story: _Told, page: str) -> None:
    whole = [line for line in story.lines if not is_cut(line)]
    cut = next((line for line in story.lines if is_cut(line)), "")
    intake.add(
        headline=story.headline,
        url=story.url or page,
        section=story.section,
        description=cut or (whole[0] if story.card and whole else ""),
        body="" if story.card else "\n".join(whole),
        author=story.author,
        published=[story.dated],
    )


# Lines ----------------------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    """The page's paragraphs and single lines, share buttons left out; lines wrapped by hand are joined again."""
    rows = [plain(row) for row in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    by_hand = max(map(len, rows), default=0) <= LINE
    found: list[str] = []
    joins = False
    for row in rows:
        if not row or _SHARE.fullmatch(row):
            joins = False
        elif joins and _goes_on(found[-1], row, by_hand=by_hand):
            found[-1] = f"{found[-1]} {row}"
        else:
            found.append(row)
            joins = not _RELATED.fullmatch(row)
    return found


def _goes_on(line: str, following: str, *, by_hand: bool) -> bool:
    last = line[-LINE:]
    if _LINK.match(following) or _RELATED.fullmatch(following):
        return False
    if following[0].islower() and not line.endswith(_END):
        return True  # nobody ends a line in the middle of a sentence on purpose
    return len(last) >= WRAPPED and (following[0].islower() or (by_hand and not is_cut(line)))


def _is_label(line: str) -> bool:
    return (
        len(line) <= LABEL
        and len(line.split()) <= LABEL_WORDS
        and not line.endswith(_END)
        and not is_cut(line)
        and not line[0].isdigit()
    )


def _is_headline(line: str) -> bool:
    return len(line) <= CARD_TEASER and not is_cut(line) and not line.endswith(".") and not _LINK.match(line)


# The page's own story -------------------------------------------------------------------------------------------------


def _cards_start(lines: Sequence[str]) -> int:
    """Where the cards begin: after the heading that says so, or at the first label, headline, cut teaser in a row."""
    for place, line in enumerate(lines):
        if place and _RELATED.fullmatch(line):
            return place
    for place in range(len(lines) - 2):
        label, headline, teaser = lines[place : place + 3]
        if _is_label(label) and _is_headline(headline) and is_cut(teaser) and len(teaser) <= CARD_TEASER:
            return place
    return len(lines)


def _article(lines: Sequence[str]) -> list[_Told]:
    """The story at the top, if there is one: a label before the headline, a byline and a date after it."""
    rest = [line for line in lines if not _RELATED.fullmatch(line)]
    label = rest.pop(0) if len(rest) > 1 and _is_label(rest[0]) and _is_headline(rest[1]) else ""
    if not rest:
        return []
    story = _Told(section=label, headline=rest.pop(0))
    for place, line in enumerate(rest):
        _hear(story, line, early=place < EARLY)
    return [story]


def _hear(story: _Told, line: str, *, early: bool) -> None:
    """Take one line into a story as its link, byline, date or text."""
    byline, dated = _BYLINE.fullmatch(line), _DATED.fullmatch(line)
    if _LINK.fullmatch(line):
        story.url = story.url or line
    elif early and byline and not line.endswith(_END) and len(line) <= LINE:
        story.author = byline[1]
    elif early and dated and not story.dated and read_date(dated[1]):
        story.dated = dated[1]
    else:
        story.lines.append(line)


# Its cards ------------------------------------------------------------------------------------------------------------


def _cards(lines: Sequence[str]) -> list[_Told]:
    """Label, headline, teaser, again and again; any but the headline may be missing."""
    cards: list[_Told] = []
    label = ""
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        if _RELATED.fullmatch(line):
            continue
        if cards and not label and _belongs(cards[-1], line):
            _hear(cards[-1], line, early=True)
        elif not label and _is_label(line) and following and _is_headline(following):
            label = line
        else:
            cards.append(_Told(section=label, headline=line, card=True))
            label = ""
    return cards


def _belongs(card: _Told, line: str) -> bool:
    """Whether a line is the rest of a card rather than the next one's start."""
    if _LINK.fullmatch(line):
        return not card.url
    dated = _DATED.fullmatch(line)
    if dated and read_date(dated[1]) and not card.dated:
        return True
    return not card.lines and (is_cut(line) or line.endswith((".", "!", "?", "”")))
