"""Who holds a claim: a name for this process by which another on the same machine can tell that it is gone."""

import os
import secrets
from functools import cache
from pathlib import Path


def owner_name() -> str:
    """A name no other worker has: machine and process, as far as the system tells, and a random part."""
    return f"{_here()}/{os.getpid()}/{secrets.token_hex(4)}"


def is_gone(owner: str) -> bool:
    """
    Whether that worker's process has certainly ended. False when it may live: elsewhere, or under a reused number.

    Only this lets a restart go on at once; any other claim is waited out until its lease is over.
    """
    here, _, rest = owner.partition("/")
    pid = rest.partition("/")[0]
    if not here or here != _here() or not pid.isdigit():
        return False
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # it may end between the opening and the reading
        return True
    return state in "ZX"  # dead, and only not yet taken note of by its parent


@cache
def _here() -> str:
    """The boot and the process namespace, so that equal numbers in two containers are not taken for one process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}-{os.stat('/proc/self/ns/pid').st_ino}"  # noqa: PTH116  the namespace itself, not where it points
    except OSError:
        return ""
