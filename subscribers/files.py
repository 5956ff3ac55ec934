"""A file of readers as it lies on the disk: packed or not, in which encoding, how long, and the hash of what it says."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import IO, BinaryIO, cast

CHUNK = 1 << 20
LARGEST = 20_000_000_000  # bytes once unpacked: a file of a kilobyte can be made to unpack without end

UNREADABLE = "\udcff"
"""What stands in the text for bytes that mean nothing in its encoding: no encoding can write it, so its line is refused."""

BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
ENCODINGS = {
    "utf-8": "UTF-8", "utf-8-sig": "UTF-8 with a byte order mark", "utf-16": "UTF-16", "utf-16-le": "UTF-16 without a mark",
    "utf-16-be": "UTF-16 without a mark", "utf-32": "UTF-32", "cp1252": "Windows-1252", "iso8859-1": "ISO 8859-1",
    "iso8859-15": "ISO 8859-15", "cp1250": "Windows-1250", "cp1251": "Windows-1251", "mac-roman": "Mac Roman",
}  # fmt: skip
"""The encodings we read, by Python's name for them, and what people call them."""

NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive or a spreadsheet (xlsx): unpack it, or save it as CSV UTF-8"),
    (b"\xd0\xcf\x11\xe0", "a spreadsheet (xls): save it as CSV UTF-8"),
    (b"SQLite format 3\0", "a database: export its readers first"),
    (b"BZh", "packed with bzip2: unpack it"),
    (b"\xfd7zXZ", "packed with xz: unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd: unpack it"),
)


class ImportRefusedError(ValueError):
    """The file as a whole cannot be read: the message says why and what would help."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    if isinstance(error, UnicodeDecodeError):
        return UNREADABLE, error.end
    raise error


codecs.register_error("subscribers.unreadable", _mark)


@dataclass(frozen=True, slots=True, kw_only=True)
class TextFile:
    """
    A file looked through once from end to end, without keeping it. `lines` is about how many there are.

    `content_hash` is of the content once unpacked, so that a packed copy is the same file.
    """

    path: Path
    packed: bool
    encoding: str
    lines: int
    content_hash: bytes

    @classmethod
    def of(cls, path: Path, *, encoding: str = "", told: Callable[[int], None] | None = None) -> "TextFile":
        """
        Find out what the file is. `encoding` overrules what its bytes say; `told` gets the bytes read so far.

        Raises:
            ImportRefusedError: it is no text, is packed and cut short, or the encoding is none of ENCODINGS.
        """
        survey = _Survey(_known(encoding) if encoding else "")
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with _unpacked(path, packed=packed) as raw:
            while chunk := raw.read(CHUNK):
                survey.take(chunk, path.name)
                if told:
                    told(survey.size)
        found, lines = survey.encoding(), max(survey.newlines, survey.returns)
        return cls(path=path, packed=packed, encoding=found, lines=lines, content_hash=survey.hash.digest())

    @contextmanager
    def opened(self) -> Iterator[IO[str]]:
        """The text from its beginning, every kind of line end as one; bytes that mean nothing are UNREADABLE."""
        with (
            _unpacked(self.path, packed=self.packed) as raw,
            io.TextIOWrapper(raw, self.encoding, "subscribers.unreadable", newline=None) as text,
        ):
            yield text

    @property
    def words(self) -> str:
        """Such as "UTF-8, packed with gzip"."""
        return ENCODINGS[self.encoding] + (", packed with gzip" if self.packed else "")


@contextmanager
def _unpacked(path: Path, *, packed: bool) -> Iterator[BinaryIO]:
    try:
        with gzip.open(path, "rb") if packed else path.open("rb") as raw:
            yield cast("BinaryIO", raw)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise ImportRefusedError("it is packed with gzip and damaged or cut short: fetch it again.") from None


def _known(name: str) -> str:
    try:
        known = codecs.lookup(name).name
    except (LookupError, ValueError):
        known = ""
    if known not in ENCODINGS:
        raise ImportRefusedError(f"there is no encoding {name!r} here: use one of {', '.join(ENCODINGS)}.")
    return known


@dataclass(slots=True)
class _Survey:
    """
    What chunks add up to. Text that is mostly UTF-8 is UTF-8, and its other lines are refused one by one; text in which
    more bytes speak against it than for it was written on Windows.
    """

    given: str
    size: int = 0
    newlines: int = 0
    returns: int = 0
    hash: "blake2b" = field(default_factory=lambda: blake2b(digest_size=16))
    told_by_start: str = ""
    decoder: codecs.IncrementalDecoder = field(
        default_factory=lambda: codecs.getincrementaldecoder("utf-8")("surrogateescape")
    )
    characters: int = 0
    valid: int = 0  # bytes that are part of UTF-8 characters

    def take(self, chunk: bytes, name: str) -> None:
        if not self.size:
            self._look_at_start(chunk)
        self.size += len(chunk)
        if self.size > LARGEST:
            raise ImportRefusedError(f"unpacked it is larger than {LARGEST // 10**9} GB: split {name} into several.")
        self.newlines += chunk.count(b"\n")
        self.returns += chunk.count(b"\r")
        self.hash.update(chunk)
        self._weigh(self.decoder.decode(chunk))

    def encoding(self) -> str:
        self._weigh(self.decoder.decode(b"", final=True))
        against = self.size - self.valid
        beyond_ascii = self.valid - (self.characters - against)
        return self.given or self.told_by_start or ("utf-8" if beyond_ascii >= against else "cp1252")

    def _weigh(self, text: str) -> None:
        self.characters += len(text)
        self.valid += len(text) if text.isascii() else len(text.encode("utf-8", "ignore"))

    def _look_at_start(self, chunk: bytes) -> None:
        for magic, words in NOT_TEXT:
            if chunk.startswith(magic):
                raise ImportRefusedError(f"it is {words}.")
        self.told_by_start = next((name for bom, name in BOMS if chunk.startswith(bom)), "") or _of_zeros(chunk)


def _of_zeros(chunk: bytes) -> str:
    """UTF-16 that does not say so: western letters in it have a zero at every second byte."""
    start = chunk[:4096]
    evens, odds = start[::2].count(0), start[1::2].count(0)
    if max(evens, odds) * 5 < len(start) or min(evens, odds) * 5 > max(evens, odds):
        return ""
    return "utf-16-le" if odds > evens else "utf-16-be"
