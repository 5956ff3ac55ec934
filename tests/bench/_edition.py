"""
One process that delivers one edition, and says what that cost: `python -m tests.bench._edition '{"database": ...}'`.

It runs what `digest deliver` runs, on a database that is filled already or by the way (`fills`).
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from digest.database import open_engine
from digest.deliveries import deliver
from digest.parts import load_part
from digest.settings import read_settings
from tests.newsroom import KEYS, PLACE


def work(asked: dict[str, Any]) -> dict[str, Any]:
    engine = open_engine(asked["database"])
    wanted = read_settings(**asked["settings"])
    transport = load_part("transports", asked["by"]).open_transport(wanted, PLACE)
    wall, cpu, memory = time.perf_counter(), time.process_time(), resident()
    balance = deliver(
        engine, {asked["by"]: transport}, mailing=asked["mailing"], keys=KEYS, lease=60.0,
        clock=lambda: datetime.now(UTC), stamps=Path(asked["stamps"]),
    )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    transport.close()
    return {
        "wall": wall, "cpu": cpu, "handed": balance.handed, "done": balance.done, "words": balance.words,
        "before": memory, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }  # fmt: skip


def resident() -> float:
    """Megabytes in memory now."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    print(json.dumps(work(json.loads(sys.argv[1]))))
