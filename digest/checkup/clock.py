"""Clock and time zones: wrong by a minute, and a deadline is kept a minute late; by a year, and it is an hour."""

import ctypes
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import TZPATH

import tzdata

from digest.checkup.finding import Finding
from digest.checkup.storage import Stored
from subscribers.zones import demand_zone

NEAR, FAR = 10.0, 120.0  # seconds that two clocks may differ by: unnoticed, and with a warning
YEAR = timedelta(days=366)
UNSYNCHRONISED = 5  # TIME_ERROR of adjtimex(2)


def look(now: datetime, stored: Stored, ahead: Mapping[str, float]) -> Iterator[Finding]:
    """`ahead`: by whose clocks ours was looked at, and the seconds it is before them."""
    clocks = {**({} if stored.ahead is None else {"the database's": stored.ahead}), **ahead}
    yield _clock(now, stored.newest, clocks)
    yield _zones(now, stored.zones)


def _clock(now: datetime, newest: datetime | None, ahead: Mapping[str, float]) -> Finding:
    """By other clocks where there are any; else by what is known of this machine."""
    mend = "have it kept right by chrony or systemd-timesyncd"
    apart = {whose: seconds for whose, seconds in ahead.items() if abs(seconds) > NEAR}
    if apart:
        verdict = "bad" if max(map(abs, apart.values())) > FAR else "warn"
        words = (f"{abs(one):,.0f} s {'before' if one > 0 else 'behind'} {whose}" for whose, one in apart.items())
        return Finding("clock", verdict, f"this machine's clock is {' and '.join(words)}: {mend}")
    if newest is not None and (newest - now).total_seconds() > NEAR:
        return Finding(
            "clock", "bad",
            f"it is {now:%Y-%m-%d %H:%M:%S} UTC here, but something was sent at {newest:%Y-%m-%d %H:%M:%S}: the clock was "
            f"set back; {mend}",
        )  # fmt: skip
    if ahead:
        return Finding("clock", "good", f"{now:%Y-%m-%d %H:%M:%S} UTC, as by {' and '.join(ahead)} clock")
    if _is_unsynchronised():
        return Finding(
            "clock", "warn", f"{now:%Y-%m-%d %H:%M:%S} UTC, and the kernel knows of nothing that keeps it right: {mend}"
        )
    return Finding("clock", "good", f"{now:%Y-%m-%d %H:%M:%S} UTC, with no other clock to compare it with")


def _is_unsynchronised() -> bool:
    """Whether the kernel was told by nobody what time it is; False where it cannot be asked."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    return adjtimex is not None and adjtimex(ctypes.create_string_buffer(512)) == UNSYNCHRONISED


# zones --------------------------------------------------------------------------------------------------------------


def _zones(now: datetime, zones: Iterable[tuple[str, str]]) -> Finding:
    for slug, zone in zones:
        try:
            demand_zone(zone)
        except ValueError as fault:
            return Finding("zones", "bad", f"{slug}: {fault} Say digest set {slug} --zone ...")
    version, file = _rules()
    if not version:
        return Finding("zones", "good", f"known, by rules in {file} that do not tell their version")
    if _is_old(version, file, now):
        return Finding("zones", "warn", f"the rules in {file} are {version}, more than a year old: upgrade tzdata")
    return Finding("zones", "good", f"known, by the rules {version} in {file}")


def _is_old(version: str, file: Path, now: datetime) -> bool:
    """Surely of more than a year ago: by the year in their name, or because the file has not changed since."""
    last_day = datetime(int(version[:4]), 12, 31, tzinfo=UTC)
    changed = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    return now - min(last_day, changed) > YEAR


def _rules() -> tuple[str, Path]:
    """The version of the zones that Python uses, such as 2026b, and the file that tells it; the system's come first."""
    for folder in map(Path, TZPATH):
        if (folder / "UTC").exists():
            return next(filter(None, map(_told, (folder / "tzdata.zi", folder / "+VERSION"))), ("", folder))
    return tzdata.IANA_VERSION, Path(tzdata.__file__)


def _told(file: Path) -> tuple[str, Path] | None:
    if not file.is_file():
        return None
    with file.open(encoding="utf-8", errors="replace") as lines:
        found = re.search(r"\b\d{4}[a-z]+\b", lines.readline())
    return (found[0], file) if found else None
