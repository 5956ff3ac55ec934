"""The pool by itself, where a moment that a real server seldom makes has to be made on purpose."""

import asyncio
from types import SimpleNamespace

from digest.smtp.letters import Consignment, Letter, Parcel
from digest.smtp.opening import Doors, Server
from digest.smtp.pace import Pace
from digest.smtp.pool import Pool
from digest.smtp.security import Login
from tests.smtp_stand_in import proof, reader


class Idler:
    """A connection with nothing to do, that takes whatever it is given."""

    closed, handed, moved = False, 0, 0.0

    def __init__(self, pool: Pool) -> None:
        self.pool, self.took = pool, []

    def begin(self) -> bool:
        parcel = self.pool.take(self)
        if parcel is None:
            self.pool.rest(self)
            return False
        self.took.append(parcel)
        return True

    def quit(self) -> None:
        """There is nobody to say goodbye to."""


def test_readers_of_a_domain_that_nobody_has_heard_from_wait_without_stopping_everything_else():
    async def look():
        doors = Doors(
            [Server("127.0.0.1", 1)], "none", None, Login("", "", "auto"), hello="press.example.org", patience=1.0
        )
        pool = Pool(doors, most=4, per_connection=1000, pace=Pace(), domain_rates={})
        pool._probing = pool.most  # as many strangers as may be tried are under way, and have not answered
        lane = pool._lanes["strange.example"]
        consignment = Consignment(Letter(proof().compiled), SimpleNamespace(stopped=False))
        for number in range(1, 4):
            parcel = Parcel(reader(number), consignment)
            parcel.lane, parcel.since = lane, pool.clock()
            consignment.open += 1
            lane.waiting.append(parcel)
        pool._held.add(lane)
        pool.rest(idler := Idler(pool))
        pool._look_after(lane, pool.clock())
        waiting, took = len(lane.waiting), len(idler.took)
        await pool.close()
        return waiting, took

    assert asyncio.run(look()) == (3, 0)
