"""A house whose readers' pages answer."""

import pytest

from tests.front_door import opened


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path / "home") as here:
        yield here
