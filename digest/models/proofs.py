"""The tables of what was printed, and of what readers did with its links: proofs, links, opens and clicks."""

from datetime import datetime

from sqlalchemy import Column, LargeBinary, UniqueConstraint, false
from sqlmodel import Field, SQLModel

from subscribers.models import ACTIVITIES, CHANNELS, one_of


class ProofRow(SQLModel, table=True):
    """
    One version of an edition printed for one variant on one channel; fields as in values.Proof.

    A service message's has no edition; its look is its kind.
    """

    __tablename__ = "proof"
    __table_args__ = (
        UniqueConstraint(
            "edition_id", "version", "channel", "segment", "language", "profile", "look", name="uq_proof_variant"
        ),
        one_of("channel", (*CHANNELS, "web")),
    )

    id: int | None = Field(default=None, primary_key=True)
    edition_id: int | None = Field(default=None, foreign_key="edition.id", ondelete="CASCADE")
    version: int
    channel: str = Field(max_length=16)
    segment: str = Field(default="", max_length=80)
    language: str = Field(max_length=16)
    profile: str = Field(default="", max_length=64)
    look: str = Field(default="standard", max_length=32)
    subject: str = Field(default="", max_length=250)
    preheader: str = Field(default="", max_length=250)
    html: str = ""
    text: str = ""
    push: str = ""
    compiled: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    blanks: int = 0
    content_hash: str = Field(max_length=64)
    printed_at: datetime
    tracked: bool = Field(default=False, sa_column_kwargs={"server_default": false()})  # its links lead through us


class LinkRow(SQLModel, table=True):
    """
    Where a tracked link of an edition leads, kept for as long as anybody may click it: a redirect goes nowhere else.

    Number 0 is the edition's page, then come the slots by position. `trap`: a link that no person sees.
    """

    __tablename__ = "link"

    edition_id: int = Field(foreign_key="edition.id", primary_key=True, ondelete="CASCADE")
    version: int = Field(primary_key=True)
    number: int = Field(primary_key=True)
    url: str = Field(max_length=4000)
    trap: bool = False


class TallyRow(SQLModel, table=True):
    """
    How often an edition was opened, and its links followed: nobody's, by people and by machines apart.

    `link` is -1 for opens; `source` as in the table deed. The kind "dropped" is what there was no room to count.
    """

    __tablename__ = "tally"
    __table_args__ = (one_of("kind", (*ACTIVITIES, "dropped")),)

    edition_id: int = Field(foreign_key="edition.id", primary_key=True, ondelete="CASCADE")
    kind: str = Field(max_length=8, primary_key=True)
    link: int = Field(primary_key=True)
    machine: bool = Field(primary_key=True)
    source: str = Field(max_length=16, primary_key=True)
    number: int


class OnceRow(SQLModel, table=True):
    """An open or click that a provider has told already, by a hash of the provider's own number for it: nobody's."""

    __tablename__ = "told_once"

    key: bytes = Field(sa_column=Column(LargeBinary(16), primary_key=True))
    heard_at: float = Field(index=True)
