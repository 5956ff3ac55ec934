"""A mailing's deliveries once more, in whatever state, as whom they went to: for printing the same bytes again."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sqlalchemy import Engine, case, select

from digest.database import reading
from digest.deliveries.claims import facts_of, recipients_of
from digest.deliveries.tables import DELIVERIES, hexed
from digest.values import DeliveryState, Recipient
from subscribers.audience import PEOPLE
from subscribers.tokens import Keys

PAGE = 500
NEVER = (DeliveryState.SKIPPED, DeliveryState.SUPPRESSED, DeliveryState.CANCELLED)
"""Nothing was ever handed over for these."""


class Delivered(NamedTuple):
    """One delivery: its proof, and its reader. `recipient` is None where the address is not known any more."""

    number: int
    proof_id: int
    recipient: Recipient | None


def delivered(engine: Engine, mailing: int, keys: Keys, *, number: int | None = None) -> Iterator[Delivered]:
    """
    The mailing's deliveries that were, or are to be, handed over; or the one of that number.

    A ledger keeps no address, only its keyed hash: who was erased, or has another address now, is not known.
    """
    after = 0 if number is None else number - 1
    while True:
        with reading(engine) as session:
            connection = session.connection()
            rows = connection.execute(_rows(mailing, after, 1 if number is not None else PAGE)).all()
            facts = {proof: facts_of(connection, mailing, proof) for proof in {row.proof_id for row in rows}}
        rows = [row for row in rows if number in {None, row.number}]
        people = {
            one.number: one
            for proof, shared in facts.items()
            for one in recipients_of([row for row in rows if row.same and row.proof_id == proof], shared, keys)
        }
        yield from (Delivered(row.number, row.proof_id, people.get(row.number)) for row in rows)
        if len(rows) < PAGE:
            return
        after = rows[-1].number


def _rows(mailing: int, after: int, count: int) -> Any:
    row, push = DELIVERIES.c, DELIVERIES.c.channel == "push"
    same = case((push, PEOPLE.c.id.is_not(None)), else_=row.target == hexed(PEOPLE.c.email_hash))
    address = case((push, row.target), else_=PEOPLE.c.email)
    return (
        select(row.number, address.label("address"), PEOPLE.c.name, row.proof_id, same.label("same"))
        .select_from(DELIVERIES.outerjoin(PEOPLE, PEOPLE.c.id == row.subscriber_id))
        .where(row.mailing_id == mailing, row.number > after, row.state.not_in(NEVER))
        .order_by(row.number)
        .limit(count)
    )
