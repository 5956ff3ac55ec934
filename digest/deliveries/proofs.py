"""A stored proof as the value that transports are handed."""

from typing import Any

from sqlalchemy import Engine, select

from digest.database import reading
from digest.deliveries.tables import PROOFS
from digest.errors import NotFoundError
from digest.splice import unpack
from digest.values import Proof, Variant


def proof_of(engine: Engine, proof_id: int) -> Proof:
    """
    Raises:
        NotFoundError: the proof was removed while its deliveries were open.
    """
    with reading(engine) as session:
        row = session.connection().execute(select(*PROOFS.c).where(PROOFS.c.id == proof_id)).first()
    if row is None:
        raise NotFoundError(f"Proof {proof_id} is missing: print the edition again before it is delivered.")
    return proof_value(row)


def proof_value(row: Any) -> Proof:
    """A row of the proof table, read by either hand, as a value."""
    variant = Variant(segment=row.segment, language=row.language, profile=row.profile, look=row.look)
    return Proof(
        channel=row.channel, variant=variant, subject=row.subject, preheader=row.preheader, html=row.html,
        text=row.text, push=row.push, compiled=unpack(row.compiled), content_hash=row.content_hash,
    )  # fmt: skip
