"""What the kill test of the import runs in a process of its own."""

from pathlib import Path

from digest.database import open_engine
from subscribers.exchange import import_csv
from tests.newsroom import KEYS, NOW


def bring(url: str, file: Path, sign: Path) -> None:
    """Import in small blocks; the sign appears when the first of this life is kept."""

    def told(done: int, _lines: int) -> None:
        sign.write_text(str(done), encoding="ascii")

    import_csv(open_engine(url), file, digest_id=1, keys=KEYS, consent="web form, 2025", now=NOW, block=100, told=told)
