"""
A delivery's public name: the same on every attempt, telling nothing, and leading back to its row.

The mailing, the number and the moment the mailing was opened (so that a database begun anew never repeats a name) are
sealed under the hash key, which is never rotated: a keyed hash of them is both the check and the seed of the mask.
"""

import hashlib
import hmac
import struct

_PARTS = struct.Struct(">III")
_CHECK = 8


def delivery_id(key: bytes, *, mailing: int, number: int, opened: int) -> str:
    """40 hexadecimal digits. `opened` is the mailing's opening in whole epoch seconds."""
    parts = _PARTS.pack(mailing, number, opened)
    check = _keyed(key, parts, _CHECK)
    return (check + _masked(key, check, parts)).hex()


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
