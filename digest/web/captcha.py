"""The hook for a captcha: its answer is verified where the settings say, over the one way out. Off by default."""

import json
import logging

from digest.egress import Limits, post
from digest.errors import SourceError
from digest.settings import Settings

log = logging.getLogger(__name__)
LIMITS = Limits(seconds=5.0, bytes=20_000)


def passes(settings: Settings, answer: str) -> bool:
    """
    Whether the verifier takes the answer. True where no captcha is set up; False also where the verifier cannot be asked.

    It is sent `secret` and `response`, and says {"success": true}, as reCAPTCHA, hCaptcha and Turnstile have it.
    """
    if not settings.captcha_url:
        return True
    if not answer:
        return False
    form = {"secret": settings.captcha_secret.get_secret_value(), "response": answer}
    try:
        said = json.loads(post(settings.captcha_url, form, limits=LIMITS, allow=settings.fetch_allow).body)
    except (SourceError, ValueError) as error:
        log.warning("The captcha could not be verified, so nobody can sign up: %s", error)
        return False
    return isinstance(said, dict) and said.get("success") is True
