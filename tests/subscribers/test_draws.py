"""Samples: as many as asked for, the same ones always, and one draw has nothing to do with another."""

from decimal import Decimal
from hashlib import blake2b

import pytest
from sqlalchemy import select

from subscribers.draws import PLACES, drawn, place_in
from tests.crowd import PEOPLE, Reader, fill

MANY = 4000


@pytest.fixture
def many(engine):
    fill(engine, [Reader()] * MANY)
    return engine


def sample(engine, percent, draw=""):
    with engine.connect() as connection:
        return set(connection.execute(select(PEOPLE.c.id).where(drawn(Decimal(percent), draw))).scalars())


def test_a_sample_is_about_as_large_as_asked_for_and_the_same_again(many):
    for percent in ("1", "10", "50", "99"):
        wanted = MANY * int(percent) / 100
        found = sample(many, percent)
        assert abs(len(found) - wanted) < 5 * (wanted * (1 - int(percent) / 100)) ** 0.5
        assert sample(many, percent) == found
    assert len(sample(many, "100")) == MANY
    assert 0 < len(sample(many, "0.5")) < len(sample(many, "1"))


def test_a_smaller_sample_lies_within_a_larger_one(many):
    five, ten, half = (sample(many, percent) for percent in ("5", "10", "50"))
    assert five < ten < half


@pytest.mark.parametrize(("one", "other"), [("", "spring"), ("spring", "autumn"), ("a", "b"), ("1", "2")])
def test_the_half_of_one_draw_is_half_of_the_half_of_another(many, one, other):
    both = sample(many, "50", one) & sample(many, "50", other)
    assert abs(len(both) - MANY / 4) < 5 * (MANY * 3 / 16) ** 0.5


def test_those_who_came_one_after_the_other_are_not_drawn_together(many):
    """Ids tell who came when, and from which file: every stretch and every step of them gets its share."""
    drawn_ones = sample(many, "10")
    for stretch in (range(1, 1001), range(3001, 4001), range(1, MANY, 4), range(3, MANY, 4)):
        assert 55 < len(drawn_ones & set(stretch)) < 150


def test_places_are_those_worked_out_by_hand_and_all_differ(many):
    digest = blake2b(b"spring", digest_size=16, person=b"segment sample").digest()
    factor = 1 + int.from_bytes(digest[:8], "big") % (PLACES - 1)
    shift = int.from_bytes(digest[8:], "big") % PLACES
    with many.connect() as connection:
        rows = connection.execute(select(PEOPLE.c.id, place_in("spring"))).all()
    assert {number: place for number, place in rows} == {  # noqa: C416  rows, not pairs
        number: pow(number * factor + shift, 3, PLACES) for number in range(1, MANY + 1)
    }
    assert len({place for _, place in rows}) == MANY


def test_the_largest_ids_overflow_nothing(engine):
    fill(engine, [Reader()])
    with engine.begin() as connection:
        connection.execute(PEOPLE.update().values(id=2**31 - 1))
        assert connection.execute(select(place_in("x"))).scalar() < PLACES


def test_the_number_of_places_is_a_prime_that_cubing_shuffles():
    assert PLACES < 2**31
    assert PLACES % 3 == 2
    assert all(PLACES % divisor for divisor in range(2, int(PLACES**0.5) + 1))
