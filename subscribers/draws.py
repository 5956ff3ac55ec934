"""Samples: which readers a draw takes, by a hash of their id that both databases work out alike, in every run."""

from decimal import Decimal
from functools import cache
from hashlib import blake2b

from sqlalchemy import BigInteger, ColumnElement, cast

from subscribers.models import SubscriberRow

PLACES = 2_147_483_579
"""A prime below 2**31 that leaves 2 when divided by 3: a product of two places fits in 64 bits, and cubing shuffles them."""


def drawn(percent: Decimal, draw: str = "") -> ColumnElement[bool]:
    """
    Whether a reader is among `percent` of all in a draw.

    Every reader has one place in a draw, and a sample takes the first places: so 5 percent lie within 10, and the rest
    is `not` the sample. The places in another draw have nothing to do with these.
    """
    return place_in(draw) < int(PLACES * percent / 100)


def place_in(draw: str) -> ColumnElement[int]:
    """A reader's place in a draw."""
    factor, shift = _key(draw)
    place = (cast(SubscriberRow.metadata.tables["subscriber"].c.id, BigInteger) * factor + shift) % PLACES
    return ((place * place) % PLACES * place) % PLACES


@cache
def _key(draw: str) -> tuple[int, int]:
    digest = blake2b(draw.encode(), digest_size=16, person=b"segment sample").digest()
    return 1 + int.from_bytes(digest[:8]) % (PLACES - 1), int.from_bytes(digest[8:]) % PLACES
