"""A digest's colours, light and dark, and the proof that its words can be read on them."""

import re
from collections.abc import Mapping

from digest.errors import NotReadyError

LOWEST_CONTRAST = 4.5  # WCAG 2 AA for text
COLOURS: Mapping[str, str] = {
    "ink": "#1b1d22", "text": "#33353b", "soft": "#5d5a52", "line": "#e6e1d6", "sheet": "#fffdf9",
    "ground": "#f4f1ea", "accent": "#a3281b",
    "dark_ink": "#f1eee6", "dark_text": "#d3cfc5", "dark_soft": "#a19d92", "dark_line": "#33363d",
    "dark_sheet": "#191b20", "dark_ground": "#121316", "dark_accent": "#ff8a78",
}  # fmt: skip
"""What a digest that names no colour of its own wears. A colour is #rrggbb: mail programs know no other spelling alike."""

_WORDS_ON = (
    ("ink", "sheet"),
    ("text", "sheet"),
    ("soft", "sheet"),
    ("accent", "sheet"),
    ("ink", "ground"),
    ("soft", "ground"),
)


def palette(own: Mapping[str, str]) -> dict[str, str]:
    """
    Ours with the digest's own over them.

    Raises:
        NotReadyError: a colour is unknown or not #rrggbb, or words in it could not be read; names the pair.
    """
    for name, colour in own.items():
        if name not in COLOURS or not re.fullmatch(r"#[0-9a-fA-F]{6}", colour):
            raise NotReadyError(
                f"The colour {name}={colour} is not one of {', '.join(COLOURS)} as #rrggbb: set it anew."
            )
    colours = {**COLOURS, **own}
    for shade in ("", "dark_"):
        for words, ground in _WORDS_ON:
            _demand_readable(colours, shade + words, shade + ground)
    return colours


def _demand_readable(colours: Mapping[str, str], words: str, ground: str) -> None:
    found = contrast(colours[words], colours[ground])
    if found < LOWEST_CONTRAST:
        raise NotReadyError(
            f"{words} {colours[words]} on {ground} {colours[ground]} has a contrast of {found:.1f} to 1; readers need "
            f"{LOWEST_CONTRAST}: make one darker or lighter."
        )


def contrast(one: str, other: str) -> float:
    """The contrast of two #rrggbb colours, 1 to 21, as WCAG 2 reckons it."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares)  # noqa: PLR2004
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
