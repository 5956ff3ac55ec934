"""What must not be written down: addresses, tokens, and secrets that we know of, wherever in a text they stand. Pure."""

import re
from collections.abc import Iterable

ADDRESS = re.compile(r"[^\s<>\"'(),;:\\\[\]{}=]{0,64}(?:@|%40)[\w.\-]{1,253}", re.IGNORECASE)
TOKEN = re.compile(r"(?<![\w-])(?=[\w-]*[0-9])(?=[\w-]*[A-Za-z])[\w-]{24,}(?![\w-])")
"""Tokens, keys and ids of 24 letters or more, with a digit among them. What is named by a plain word stays."""

LEAST = 6  # letters of a secret that is looked for; a shorter one would be found in ordinary words


def redacted(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with `***` in the place of each address, token and secret; a delivery's own id is hidden too."""
    for secret in secrets:
        if len(secret) >= LEAST:
            text = text.replace(secret, "***")
    return TOKEN.sub("***", ADDRESS.sub("***", text))
