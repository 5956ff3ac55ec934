"""Time zones by their IANA names; a name that is wrong is refused where it is saved."""

import difflib
from functools import cache
from zoneinfo import available_timezones


@cache
def zones() -> frozenset[str]:
    return frozenset(available_timezones())


def demand_zone(name: str) -> str:
    """
    The name itself, if there is such a zone.

    Raises:
        ValueError: there is none; suggests the nearest name.
    """
    if name in zones():
        return name
    near = difflib.get_close_matches(name, zones(), n=1, cutoff=0.75)
    hint = f"did you mean {near[0]}?" if near else "use a name such as Europe/Madrid."
    raise ValueError(f"there is no time zone {name!r}: {hint}")
