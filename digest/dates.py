"""The dates that publishers write, read without guessing: a date that can mean two days is no date."""

import re
from datetime import UTC, datetime, timedelta, timezone

# IST (India, Israel, Ireland) and the like are left out: a zone that can mean three is refused
_ZONES = {
    "": 0, "z": 0, "ut": 0, "utc": 0, "gmt": 0, "wet": 0, "west": 60, "bst": 60, "cet": 60, "cest": 120, "met": 60,
    "mest": 120, "mez": 60, "mesz": 120, "eet": 120, "eest": 180, "msk": 180, "jst": 540, "kst": 540, "hkt": 480, "sgt": 480,
    "aest": 600, "aedt": 660, "acst": 570, "awst": 480, "nzst": 720, "nzdt": 780, "est": -300, "edt": -240, "cst": -360,
    "cdt": -300, "mst": -420, "mdt": -360, "pst": -480, "pdt": -420, "akst": -540, "akdt": -480, "hst": -600, "brt": -180,
    "art": -180,
}  # fmt: skip
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "january jan enero ene janvier janv januar janeiro gennaio gen",
            "february feb febrero février févr fév februar fevereiro fev febbraio",
            "march mar marzo mars märz mär março",
            "april apr abril abr avril avr aprile",
            "may mayo mai maio maggio mag",
            "june jun junio juin juni junho giugno giu",
            "july jul julio juillet juil juli julho luglio lug",
            "august aug agosto ago août aout",
            "september sep sept septiembre setiembre set septembre setembro settembre",
            "october oct octubre octobre oktober okt outubro out ottobre ott",
            "november nov noviembre novembre novembro",
            "december dec diciembre dic décembre déc dezember dez dezembro dicembre",
        ),
        start=1,
    )
    for name in names.split()
}
_CLOCK = r"(?P<hour>\d{1,2})[:.](?P<minute>\d{2})(?:[:.](?P<second>\d{2})(?:[.,]\d{1,9})?)?\s*(?P<half>[ap]\.?m\.?)?"
_ZONE = r"\s*(?P<zone>[a-z]{1,5}(?=\W|$)|(?:gmt|utc)?\s*[+-]\d{1,2}:?(?:\d{2})?)?(?:\s*\([^()]{0,40}\))?"
_DAY_NAME = r"(?:[^\W\d]{2,12}\.?,?\s+(?:de\s+)?)?"
_YMD = rf"(?P<year>\d{{4}})-(?P<month>\d{{1,2}})-(?P<day>\d{{1,2}})(?:[t\s]\s*{_CLOCK}{_ZONE})?"
_COMPACT = (
    r"(?P<year>\d{4})(?P<month>\d{2})(?P<day>\d{2})"
    r"(?:t?(?P<hour>\d{2}):?(?P<minute>\d{2}):?(?P<second>\d{2})?(?P<half>)(?P<zone>z|[+-]\d{2}:?\d{2})?)?"
)
_NAME = r"(?P<name>[^\W\d]{3,12})\.?"
_DMY = (
    rf"{_DAY_NAME}(?P<day>\d{{1,2}})(?:st|nd|rd|th|\.|º)?[\s-]+(?:de\s+)?{_NAME},?[\s-]+(?:del?\s+)?"
    rf"(?P<year>\d{{4}}|\d{{2}})(?:,?\s*(?:at|a las|-|\|)?\s*{_CLOCK}{_ZONE})?"
)
_MDY = (
    rf"{_DAY_NAME}{_NAME}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}})"
    rf"(?:,?\s*(?:at|-|\|)?\s*{_CLOCK}{_ZONE})?"
)
_ASCTIME = rf"{_DAY_NAME}{_NAME}\s+(?P<day>\d{{1,2}})\s+{_CLOCK}\s+(?:(?P<zone>[a-z]{{2,5}})\s+)?(?P<year>\d{{4}})"
_SHAPES = tuple(re.compile(shape, re.IGNORECASE) for shape in (_YMD, _COMPACT, _DMY, _MDY, _ASCTIME))
LONGEST = 80
EARLIEST = 1990  # no newsroom's site is older; what claims to be is a zero that was never filled in


def read_date(raw: str) -> datetime | None:
    """
    An aware UTC time from a publisher's date: RFC 822, ISO 8601, or day, month's name and year in six languages.

    None where it cannot be read without guessing: 03/04/2025, an unknown zone, a day that does not exist, a year before
    1990. A time without a zone is read as UTC: leaving it out would pass an old story off as new. A bare day is its start.
    """
    text = " ".join(raw[:LONGEST].split()).strip(" .|")
    for shape in _SHAPES:
        found = shape.fullmatch(text)
        if found:
            return _moment(found.groupdict())
    return None


def _moment(part: dict[str, str | None]) -> datetime | None:
    month = int(part.get("month") or 0) or _MONTHS.get((part.get("name") or "").lower(), 0)
    zone = _zone(part.get("zone") or "")
    digits = part["year"] or ""
    year = int(digits) + (0 if len(digits) > 2 else 2000 if digits < "70" else 1900)  # noqa: PLR2004 - RFC 822's two digits
    if zone is None or year < EARLIEST:
        return None
    try:
        there = datetime(year, month, int(part["day"] or 0), _hour(part), int(part.get("minute") or 0), tzinfo=zone)
        return (there + timedelta(seconds=int(part.get("second") or 0))).astimezone(
            UTC
        )  # a leap second is the next one's start
    except (ValueError, OverflowError):
        return None


def _hour(part: dict[str, str | None]) -> int:
    hour, half = int(part.get("hour") or 0), (part.get("half") or "")[:1].lower()
    return hour % 12 + (12 if half == "p" else 0) if half else hour


def _zone(name: str) -> timezone | None:
    folded = name.lower().replace(" ", "")
    offset = re.fullmatch(r"(?:gmt|utc)?([+-])(\d{1,2}):?(\d{2})?", folded)
    if offset:
        minutes = int(offset[2]) * 60 + int(offset[3] or 0)
        return timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes)) if minutes <= 15 * 60 else None
    return timezone(timedelta(minutes=_ZONES[folded])) if folded in _ZONES else None
