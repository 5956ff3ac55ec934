"""
What one delivery is known by outside: its id, for servers and providers, and its token, for the links of its message.

Both lead back to mailing and number and tell nothing to anyone else. Each is one block of a cipher: that seals hundreds in
one call, where a keyed hash for each cost more than all the rest of writing to a reader. What is left of a block is zero,
by which one that we never made is known.
"""

import struct
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from digest.values import ServiceKind
from subscribers.tokens import Keys

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher

_ID = struct.Struct(">IIII")  # mailing, number, opening, zero
_TOKEN = struct.Struct(">IIQ")  # mailing, number, zero
_HEAD = 2  # bytes before a token's block: the key's version, and zero, so that base64 comes out even
_SIZE = _HEAD + _TOKEN.size
PURPOSE = "token"
"""What a link in an edition or a welcome is for. Those of other service messages are for one thing each: see `purpose_of`."""

OWN_TRAIL, TRAIL, PREVIEW_TRAIL = "own trail", "trail", "preview trail"
"""What tracked links carry: a delivery (mailing, number), or an edition (id, version), which is nobody's; in a preview, too."""

LENGTH = 2 * _ID.size  # hexadecimal digits of an id
TOKEN_LENGTH = _SIZE // 3 * 4  # signs of a token
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")


class Named(NamedTuple):
    """Whose id it is: the mailing, the delivery's number in it, and the mailing's opening in whole epoch seconds."""

    mailing: int
    number: int
    opened: int


def delivery_ids(key: bytes, numbers: Sequence[int], *, mailing: int, opened: int) -> list[str]:
    """
    The ids of these numbers of a mailing, the same on every attempt. `key` is the hash key, which is never rotated.

    `opened` is the mailing's opening in whole epoch seconds, so that a database begun anew never repeats an id.
    """
    blocks = _blocks((mailing, 0, opened, 0), numbers)
    ids = _cipher(key, b"delivery").encryptor().update(blocks).hex()
    return [ids[at : at + LENGTH] for at in range(0, len(ids), LENGTH)]


def delivery_id(key: bytes, *, mailing: int, number: int, opened: int) -> str:
    """One of `delivery_ids`."""
    return delivery_ids(key, [number], mailing=mailing, opened=opened)[0]


def read_delivery_id(key: bytes, text: str) -> Named | None:
    """What an id that we gave says, else None. A database begun anew may know another mailing by that number."""
    try:
        sealed = bytes.fromhex(text)
    except ValueError:
        return None
    if len(text) != LENGTH or len(sealed) != _ID.size:
        return None
    *named, rest = _ID.unpack(_cipher(key, b"delivery").decryptor().update(sealed))
    return None if rest else Named(*named)


def purpose_of(service: str | None) -> str:
    """What the tokens of a mailing's deliveries are good for; `service` is the kind of a service message."""
    return PURPOSE if service in {None, ServiceKind.WELCOME} else str(service)


def delivery_tokens(keys: Keys, numbers: Sequence[int], *, mailing: int, purpose: str = PURPOSE) -> list[str]:
    """The one token of each of these deliveries, by the newest key: by it the press knows whose link was opened."""
    head, size = bytes((keys.current, 0)), _TOKEN.size
    blocks = _blocks((mailing, 0, 0, 0), numbers)
    sealed = _cipher(keys.token_keys[keys.current], purpose.encode()).encryptor().update(blocks)
    whole = bytearray((head + bytes(size)) * len(numbers))
    for at in range(size):  # byte by byte of all of them, which is quicker than one by one
        whole[_HEAD + at :: _SIZE] = sealed[at::size]
    tokens = b2a_base64(whole, newline=False).translate(_TO_URL).decode()
    return [tokens[at : at + TOKEN_LENGTH] for at in range(0, len(tokens), TOKEN_LENGTH)]


def delivery_token(keys: Keys, mailing: int, number: int, purpose: str = PURPOSE) -> str:
    """One of `delivery_tokens`."""
    return delivery_tokens(keys, [number], mailing=mailing, purpose=purpose)[0]


def read_delivery_token(keys: Keys, token: str, purpose: str = PURPOSE) -> tuple[int, int] | None:
    """
    (mailing, number), or None for a token that is not ours, not whole, or for something else.

    Older keys open what they sealed.
    """
    if len(token) != TOKEN_LENGTH or not token.isascii() or "+" in token or "/" in token:
        return None
    try:
        body = a2b_base64(token.encode().translate(_FROM_URL), strict_mode=True)
    except ValueError:
        return None
    if len(body) != _SIZE or body[1] or (key := keys.token_keys.get(body[0])) is None:
        return None
    mailing, number, rest = _TOKEN.unpack(_cipher(key, purpose.encode()).decryptor().update(body[_HEAD:]))
    return None if rest else (mailing, number)


def _blocks(words: tuple[int, int, int, int], numbers: Sequence[int]) -> bytes:
    """A block for each number, which stands in the second of its four words: all in one call, whatever there are of them."""
    flat = list(words) * len(numbers)
    flat[1::4] = numbers
    return struct.pack(f">{len(flat)}I", *flat)


@lru_cache(maxsize=64)
def _cipher(key: bytes, purpose: bytes) -> "Cipher[Any]":
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # for who delivers alone

    own = blake2b(key=key, digest_size=32, person=purpose).digest()
    return Cipher(algorithms.AES(own), modes.ECB())  # noqa: S305  one block, never two alike: the cipher as it is
