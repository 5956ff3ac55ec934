"""What the tables' columns have in common."""

from typing import Any

from sqlalchemy import JSON, Column, text
from sqlmodel import Field

ZERO = {"server_default": text("0")}
"""As subscribers.models.EMPTY, for numbers."""


def json_of(default: type[list[Any]] | type[dict[str, Any]]) -> Any:
    """A JSON column. Reassign it to change it: a change inside is not seen by the session."""
    return Field(default_factory=default, sa_column=Column(JSON, nullable=False))
