"""
A delivery's public name: the same on every attempt, telling nothing, and leading back to its row.

The mailing, the number and the moment the mailing was opened (so that a database begun anew never repeats a name) are
sealed under the hash key, which is never rotated: a keyed hash of them is both the check and the seed of the mask.
"""

import hashlib
import hmac
import struct
from collections.abc import Callable

_PARTS = struct.Struct(">III")
_CHECK = 8


def namer(key: bytes, *, mailing: int, opened: int) -> Callable[[int], str]:
    """What gives each number of a mailing its name. `opened` is the mailing's opening in whole epoch seconds."""
    keyed = hashlib.blake2b(digest_size=_CHECK, key=key, person=b"delivery")
    masks = hashlib.blake2b(digest_size=_PARTS.size, key=key, person=b"delivery")
    pack = _PARTS.pack

    def named(number: int) -> str:
        parts = pack(mailing, number, opened)
        check, mask = keyed.copy(), masks.copy()
        check.update(parts)
        sealed = check.digest()
        mask.update(sealed)
        masked = int.from_bytes(parts, "big") ^ int.from_bytes(mask.digest(), "big")
        return f"{sealed.hex()}{masked:0{2 * _PARTS.size}x}"

    return named


def delivery_id(key: bytes, *, mailing: int, number: int, opened: int) -> str:
    """40 hexadecimal digits; for many of one mailing, take `namer`."""
    return namer(key, mailing=mailing, opened=opened)(number)


def read_delivery_id(key: bytes, text: str) -> tuple[int, int] | None:
    """(mailing, number) of a name that we gave, else None."""
    try:
        sealed = bytes.fromhex(text)
    except ValueError:
        return None
    if len(sealed) != _CHECK + _PARTS.size:
        return None
    check, parts = sealed[:_CHECK], _masked(key, sealed[:_CHECK], sealed[_CHECK:])
    if not hmac.compare_digest(check, _keyed(key, parts, _CHECK)):
        return None
    mailing, number, _opened = _PARTS.unpack(parts)
    return mailing, number


def _keyed(key: bytes, message: bytes, size: int) -> bytes:
    return hashlib.blake2b(message, digest_size=size, key=key, person=b"delivery").digest()


def _masked(key: bytes, check: bytes, parts: bytes) -> bytes:
    mask = int.from_bytes(_keyed(key, check, _PARTS.size), "big")
    return (int.from_bytes(parts, "big") ^ mask).to_bytes(_PARTS.size, "big")
