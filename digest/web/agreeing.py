"""What a reader agrees to who agrees to be counted by name: the words, and that they are kept with the consent."""

from datetime import datetime
from typing import Any

from sqlmodel import Session

from digest.languages import Words, message
from digest.tracking import PERSONAL
from digest.values import Digest
from digest.web.pages import Pages
from subscribers import signup

__all__ = ["PERSONAL", "kept_consent", "tracking_wording"]

TRACKING = message(
    "I agree that %(house)s keeps which of its mails I open and which links in them I follow, to see what is read. It is kept "
    "for %(days)d days, after that only as counts by the day. I can take this back in my preferences at any time; then it is deleted."
)


def tracking_wording(pages: Pages, digest: Digest, spoken: Words) -> signup.Wording:
    """What a person agrees to who agrees to be counted by name."""
    given = {"house": digest.name, "days": pages.press.settings.tracking_days}
    return signup.Wording.of(spoken.gettext(TRACKING) % given, spoken.language)


def kept_consent(
    session: Session, wording: signup.Wording, *, source: str, proof: str, now: datetime
) -> dict[str, Any]:
    """The consent as consents.agree has it, its words kept."""
    signup.keep_wording(session.connection(), wording, now=now)
    return {"source": source, "wording": wording.version, "proof": proof}
