"""DKIM: each key that signs is published, and what is published is our key."""

import asyncio
from collections.abc import Sequence

from digest.checkup.finding import Finding
from digest.checkup.names import Answer, Names, tags
from digest.dkim import SigningKey, fits, read_domain, read_keys, record_name, zone_line
from digest.errors import SettingsError
from digest.settings import Settings

SENDGRID = ("s1", "s2")  # selectors of a domain that is authenticated there; m1 where SendGrid does not manage the keys
UNMANAGED = "m1"


async def look(names: Names, domain: str, settings: Settings) -> tuple[list[Finding], str]:
    """What was found, and the domain that signs; empty where we do not know it."""
    if settings.email_transport == "sendgrid":
        return await _sendgrid(names, domain)
    if not settings.dkim_keys:
        words = "left to your relay (no DIGEST_DKIM_KEYS): mail yourself, and look for dkim=pass with"
        return [Finding("dkim", "warn", f"{words} header.d={domain}")], ""
    try:
        signing, keys = read_domain(settings) or domain, read_keys(settings)
    except SettingsError as error:
        return [Finding("dkim", "bad", str(error))], ""
    if not fits(signing, domain):
        words = f"DIGEST_DKIM_DOMAIN is {signing}, and signatures by it count for nothing in mail from {domain}"
        return [Finding("dkim", "bad", f"{words}: leave it empty")], signing
    answers = await asyncio.gather(*(names.ask(record_name(key.selector, signing), "TXT") for key in keys))
    told = [_published(key, signing, texts) for key, texts in zip(keys, answers, strict=True) if texts is not None]
    return told, signing


def _published(key: SigningKey, domain: str, texts: Sequence[str]) -> Finding:
    name = record_name(key.selector, domain)
    publish = f"publish {zone_line(name, key.record)}"
    if not texts:
        return Finding("dkim", "bad", f"{name} is not published, so no signature by it can be verified: {publish}")
    if len(texts) > 1:
        return Finding("dkim", "bad", f"{name} has {len(texts)} records: leave only one of them, {publish}")
    there, ours = tags(texts[0]), tags(key.record)
    if "".join(there.get("p", "").split()) != ours["p"] or there.get("k", "rsa") != ours["k"]:
        what = "another key than ours" if there.get("p") else "no key"
        return Finding("dkim", "bad", f"{name} holds {what}, so every signature fails: {publish}")
    if there.get("v", "DKIM1") != "DKIM1" or "sha256" not in there.get("h", "sha256"):
        return Finding("dkim", "bad", f"{name} does not let our signatures count ({texts[0][:60]}): {publish}")
    if "y" in there.get("t", "").replace(" ", "").split(":"):
        return Finding("dkim", "warn", f"{name} says that it is only a test (t=y): {publish}")
    return Finding("dkim", "good", f"{name} holds our key")


async def _sendgrid(names: Names, domain: str) -> tuple[list[Finding], str]:
    """The domain or one above it is authenticated there when SendGrid's selectors lead to keys."""
    for owner in above(domain):
        answers = await asyncio.gather(*(_managed(names, record_name(selector, owner)) for selector in SENDGRID))
        plain = await names.ask(record_name(UNMANAGED, owner), "TXT")
        if plain or any(answers):
            return _managed_findings(owner, answers, plain), owner
        if None in answers or plain is None:
            return [], ""
    return [
        Finding(
            "dkim", "bad",
            f"{domain} is not authenticated at SendGrid (no {SENDGRID[0]}._domainkey.{domain}): open Settings, Sender "
            "Authentication there, authenticate it, and publish the CNAME records that it shows",
        )
    ], ""  # fmt: skip


async def _managed(names: Names, name: str) -> Answer:
    """The texts that a CNAME leads to; none where there is no CNAME."""
    alias, texts = await asyncio.gather(names.ask(name, "CNAME"), names.ask(name, "TXT"))
    return None if alias is None or texts is None else (alias and (texts or ("",)))


def _managed_findings(owner: str, answers: Sequence[Answer], plain: Answer) -> list[Finding]:
    if plain and not any(answers):
        return [Finding("dkim", "good", f"{record_name(UNMANAGED, owner)} is published for SendGrid")]
    findings = []
    for selector, texts in zip(SENDGRID, answers, strict=True):
        name = record_name(selector, owner)
        if texts is None:
            continue
        if not texts:
            words = "SendGrid changes its keys between the two: publish the CNAME that it shows for it"
            findings.append(Finding("dkim", "bad", f"{name} is not published, and {words}"))
        elif not tags(texts[0]).get("p"):
            findings.append(
                Finding("dkim", "bad", f"{name} leads to no key: compare it with what SendGrid shows for it")
            )
        else:
            findings.append(Finding("dkim", "good", f"{name} leads to SendGrid's key"))
    return findings


def above(domain: str) -> list[str]:
    """The domain and those it is part of, down to two labels: news.example.org, example.org."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(max(1, len(labels) - 1))]
