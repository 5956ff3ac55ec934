"""
Where stories come from: one file is one kind of source, and its file name is the kind's name.

Each holds `looks_like(head, content_type) -> bool`, which is true for one kind only, and `parse(document) -> Reading`.
"""

from digest.errors import SourceError
from digest.parts import load_part, part_names
from digest.text import decoded
from digest.values import Document, Reading

HEAD = 4096  # bytes of a document that tell its kind


def kinds() -> tuple[str, ...]:
    """The kinds of source there are: the folder is the list."""
    return part_names("sources")


def parse(kind: str, document: Document) -> Reading:
    """
    The stories of a document of that kind.

    Raises:
        SourceError: it is none of that kind, or damaged beyond reading; says what to do.
        SettingsError: there is no such kind; lists those there are.
    """
    found = load_part("sources", kind).parse(document)
    assert isinstance(found, Reading)
    return found


def sniff(document: Document) -> str:
    """
    The kind a document is, by its first characters.

    Raises:
        SourceError: it is none we can read.
    """
    head = decoded(document.body[:HEAD], document.content_type).lstrip("\ufeff \t\r\n")
    for name in kinds():
        if load_part("sources", name).looks_like(head, document.content_type.lower()):
            return name
    raise SourceError(f"{document.source} is neither feed, sitemap, page nor plain text: give one of these.")
