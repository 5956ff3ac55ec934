"""A newsroom on a Sunday, and the same with a cadence from Monday on."""

import pytest

from tests.laid import lay
from tests.mornings import SUNDAY, newsroom


@pytest.fixture
def room(tmp_path):
    return newsroom(tmp_path / "home", lay(tmp_path / "digest.sqlite"), SUNDAY)


@pytest.fixture
def daily(room):
    """It appears every day at seven in Madrid; what nobody has read by a quarter to seven is sent."""
    room.schedule(at="07:00", zone="Europe/Madrid", fallback="send")
    return room
