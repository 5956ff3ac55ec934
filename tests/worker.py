"""What the kill tests run in processes of their own: a worker that fills or delivers, and may be told where to die."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from digest.crashes import VARIABLE
from digest.database import open_engine
from digest.deliveries import deliver
from digest.transports.outbox import Outbox
from tests.newsroom import KEYS, PLACE, Morning, opened


def fill(url: str, house: Morning, dies_at: str = "") -> None:
    os.environ[VARIABLE] = dies_at
    now = datetime.now(UTC)
    opened(open_engine(url), house, now=now, expires_at=now + timedelta(hours=1))


def work(url: str, folder: Path, mailing: int, lease: float = 3.0, dies_at: str = "") -> None:
    """Deliver until nothing is left, waiting out the leases of others."""
    os.environ[VARIABLE] = dies_at
    deliver(
        open_engine(url), {"outbox": Outbox(folder, PLACE)}, mailing=mailing, keys=KEYS, lease=lease,
        clock=lambda: datetime.now(UTC), patience=2 * lease,
    )  # fmt: skip
