"""How much we take: packed bytes unpacked in small steps, under a cap in bytes and a cap on their ratio, in flat memory."""

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

from digest.errors import SourceError

CHUNK = 64 * 1024
RATIO, RATIO_FROM = 200, 1_000_000  # unpacked to packed, looked at once this many bytes are out


class _Inflater(Protocol):
    @property
    def unconsumed_tail(self) -> bytes: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ..., /) -> bytes: ...


def bounded(pieces: Iterator[bytes], encoding: str, name: str, limit: int) -> Iterator[bytes]:
    """The pieces unpacked, at most `limit` in all, holding no more than one piece at a time."""
    unpack = _unpacker(encoding.strip().lower(), name)
    packed = unpacked = 0
    for piece in pieces:
        packed += len(piece)
        for part in unpack(piece):
            unpacked += len(part)
            if unpacked > limit:
                raise SourceError(f"{name} answers more than {_size(limit)}: raise DIGEST_FETCH_BYTES if it is right.")
            if unpacked > RATIO_FROM and unpacked > RATIO * packed:
                raise SourceError(f"{name} unpacks to more than {RATIO} times its size: it was not read.")
            yield part


def _unpacker(encoding: str, name: str) -> Callable[[bytes], Iterator[bytes]]:
    if encoding in {"", "identity", "none", "utf-8"}:
        return lambda piece: iter((piece,))
    if encoding in {"gzip", "x-gzip", "deflate"}:
        return _Unzip(name).feed
    raise SourceError(f"{name} answers packed as {encoding}, which was not asked for: it cannot be read.")


class _Unzip:
    """gzip (several members too), zlib or bare deflate, in bounded steps."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inflater: _Inflater | None = None

    def feed(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            if self.inflater is None:
                self.inflater = _inflater(piece)
            try:
                part = self.inflater.decompress(piece, CHUNK)
            except zlib.error:
                raise SourceError(
                    f"{self.name} is packed wrongly and cannot be unpacked: it is tried again later."
                ) from None
            if part:
                yield part
            piece = self.inflater.unconsumed_tail
            if self.inflater.unused_data:
                piece, self.inflater = self.inflater.unused_data.lstrip(b"\0"), None


def _inflater(start: bytes) -> _Inflater:
    bare = start[0] & 0x0F != zlib.DEFLATED and start[0] != 0x1F  # noqa: PLR2004 - the first bytes of zlib and gzip
    return zlib.decompressobj(-zlib.MAX_WBITS if bare else 32 + zlib.MAX_WBITS)


def unpacked_again(body: bytes, name: str, limit: int) -> bytes:
    """The body of a file that is itself gzip, as sitemaps often are, without a header that says so."""
    if not body.startswith(b"\x1f\x8b"):
        return body
    pieces = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    return b"".join(bounded(pieces, "gzip", name, limit))


def _size(count: int) -> str:
    return f"{count / 1_000_000:g} MB"
