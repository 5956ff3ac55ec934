"""An edition's states: which move leads where, who may make it, and what happens at the deadline."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from digest.errors import TransitionError
from digest.values import EditionState as S
from digest.values import Fallback

PRESS = "the press"
FALLBACK = "the deadline's fallback"


@dataclass(frozen=True, slots=True)
class Move:
    """One verb: from which states, to which, and whether only the press itself may say it."""

    sources: frozenset[S]
    target: S
    press_only: bool = False


UNSENT = frozenset({S.DRAFT, S.REVIEW, S.APPROVED, S.HELD})
MOVES: Mapping[str, Move] = {
    "submit": Move(frozenset({S.DRAFT}), S.REVIEW),
    "approve": Move(frozenset({S.DRAFT, S.REVIEW, S.HELD}), S.APPROVED),
    "reopen": Move(frozenset({S.APPROVED, S.HELD, S.SKIPPED}), S.REVIEW),
    "hold": Move(frozenset({S.DRAFT, S.REVIEW, S.APPROVED}), S.HELD),
    "skip": Move(UNSENT, S.SKIPPED),
    "cancel": Move(UNSENT | {S.SENDING, S.PAUSED}, S.CANCELLED),
    "send": Move(frozenset({S.APPROVED}), S.SENDING, press_only=True),
    "pause": Move(frozenset({S.SENDING}), S.PAUSED),
    "resume": Move(frozenset({S.PAUSED}), S.SENDING),
    "send again": Move(frozenset({S.SENT}), S.SENDING),  # unconfirmed deliveries, by a person's word
    "finish": Move(frozenset({S.SENDING}), S.SENT, press_only=True),
}

EDITABLE = frozenset({S.DRAFT, S.REVIEW, S.HELD})
"""States in which the wording may change. An approved edition is reopened first: approval binds to what was read."""

TOLD_STATES = frozenset({S.APPROVED, S.SENDING, S.PAUSED, S.SENT})
"""States of an edition whose stories count as told."""


def move(state: str, verb: str, *, who: str) -> S:
    """
    The state that `verb` leads to.

    Raises:
        TransitionError: the edition is elsewhere, or only the press itself may do that; says what can be done now.
    """
    step = MOVES[verb]
    if S(state) not in step.sources:
        open_now = ", ".join(sorted(name for name, m in MOVES.items() if S(state) in m.sources and not m.press_only))
        raise TransitionError(
            f"An edition that is {state} cannot be told to {verb}; possible now: {open_now or 'nothing'}."
        )
    if step.press_only and who != PRESS:
        raise TransitionError(f"Only the press itself may {verb} an edition.")
    return step.target


def at_deadline(state: str, fallback: str, *, deadline: datetime, now: datetime) -> str:
    """The verb the deadline calls for: "approve" or "hold" on an unread draft whose time has come, else ""."""
    if S(state) not in {S.DRAFT, S.REVIEW} or now < deadline:
        return ""
    return "hold" if fallback == Fallback.HOLD else "approve"


def content_hash(content: Mapping[str, Any]) -> str:
    """The hash that an approval binds to: everything a reader would see, and what else the approver allowed to be shown."""
    seen: dict[str, Any] = {name: content[name] for name in ("subject", "preheader", "intro")}
    seen["slots"] = [{name: slot[name] for name in SEEN_OF_A_SLOT} for slot in content["slots"]]
    if allowed := content.get("allowed"):
        seen["allowed"] = allowed
    return hashlib.sha256(json.dumps(seen, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


SEEN_OF_A_SLOT = (
    "position", "story", "kicker", "labels", "headline", "teaser", "url", "language", "minutes", "image", "image_alt",
    "topic", "update",
)  # fmt: skip
