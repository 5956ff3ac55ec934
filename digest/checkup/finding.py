"""What the doctor says of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """`verdict` is good, warn or bad; the words say what to change where it is not good."""

    what: str
    verdict: str
    words: str
