"""DMARC (RFC 7489) and BIMI: what receivers do with mail that only claims to be ours, and the logo beside what is."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from digest.checkup.finding import Finding
from digest.checkup.names import Names, tags
from digest.checkup.signatures import above
from digest.dkim import fits, zone_line

POLICIES = ("none", "quarantine", "reject")


class Policy(NamedTuple):
    """A record that holds for a domain. `owner`: whose it is, the domain itself or one above it."""

    owner: str
    text: str
    tags: Mapping[str, str]
    asked: str  # none, quarantine or reject; empty where it says none of these


async def look(names: Names, domain: str, *, signing: str, envelope: str) -> list[Finding]:
    """`signing`: the domain that signs; `envelope`: that bounces go to. Empty where we do not know them."""
    owners = above(domain)
    answers = await asyncio.gather(*(names.ask(f"_dmarc.{owner}", "TXT") for owner in owners))
    if None in answers:
        return []
    records = {owner: found for owner, texts in zip(owners, answers, strict=True) if (found := _dmarc(texts or ()))}
    if not records:
        wanted = zone_line(f"_dmarc.{domain}", f"v=DMARC1; p=none; rua=mailto:dmarc@{domain}")
        words = "says nothing of mail that only claims to be from it, and large receivers demand that"
        return [Finding("dmarc", "bad", f"{domain} {words}: publish {wanted}"), *await _bimi(names, owners, "")]
    owner = domain if domain in records else list(records)[-1]  # by RFC 7489 the shortest: the organisation's
    if len(records[owner]) > 1:
        words = f"_dmarc.{owner} has {len(records[owner])} records, so none of them counts: leave one"
        return [Finding("dmarc", "bad", words)]
    policy = _read(owner, records[owner][0], domain)
    aligned = _alignment(policy, domain, signing=signing, envelope=envelope)
    return [*_policy(policy, domain), *aligned, *await _bimi(names, owners, policy.asked)]


def _dmarc(texts: tuple[str, ...]) -> list[str]:
    return [text for text in texts if text.replace(" ", "").lower().startswith("v=dmarc1")]


def _read(owner: str, text: str, domain: str) -> Policy:
    found = tags(text)
    asked = found.get("sp", found.get("p", "")) if owner != domain else found.get("p", "")
    return Policy(owner, text, found, asked.lower() if asked.lower() in POLICIES else "")


def _policy(policy: Policy, domain: str) -> Iterator[Finding]:
    name = f"_dmarc.{policy.owner}"
    if not policy.asked:
        wanted = zone_line(name, f"v=DMARC1; p=none; rua=mailto:dmarc@{policy.owner}")
        yield Finding("dmarc", "bad", f"{name} names no policy that there is ({policy.text}): publish {wanted}")
    elif not policy.tags.get("rua", "").lower().startswith("mailto:"):
        wanted = zone_line(name, f"{policy.text.rstrip('; ')}; rua=mailto:dmarc@{policy.owner}")
        yield Finding("dmarc", "warn", f"{name} asks for no reports, so nobody hears of forgeries: publish {wanted}")
    else:
        yield Finding("dmarc", "good", f"{domain}: p={policy.asked} by {name}")


def _alignment(policy: Policy, domain: str, *, signing: str, envelope: str) -> Iterator[Finding]:
    """Mail passes when DKIM or SPF speaks for the domain in From: the very same where strictness is asked for."""
    house = above(domain)[-1]  # without the list of public suffixes, the widest that it may be

    def speaks(other: str, tag: str) -> bool:
        if policy.tags.get(tag, "r").lower() == "s":
            return other == domain
        return fits(other, domain) or f".{other}".endswith(f".{house}")

    by_dkim = bool(signing) and speaks(signing, "adkim")
    by_spf = bool(envelope) and speaks(envelope, "aspf")
    if signing and not by_dkim:
        words = f"only signatures by {domain} itself count (adkim=s), and {signing} signs"
        yield Finding("dmarc", "bad", f"{words}: set DIGEST_DKIM_DOMAIN to {domain}, or publish adkim=r")
    elif envelope and not by_spf:
        verdict = "good" if by_dkim else "warn"
        words = f"SPF does not count for {domain}, since bounces go to {envelope}: DKIM alone must pass"
        yield Finding("dmarc", verdict, words)


# BIMI ---------------------------------------------------------------------------------------------------------------


async def _bimi(names: Names, owners: list[str], asked: str) -> list[Finding]:
    """Whoever publishes a logo wants it seen; who does not, need not."""
    for owner in owners[:1] + owners[-1:]:
        texts = await names.ask(f"default._bimi.{owner}", "TXT")
        found = [text for text in texts or () if text.replace(" ", "").lower().startswith("v=bimi1")]
        if found:
            return [_logo(f"default._bimi.{owner}", found, asked)]
    return []


def _logo(name: str, texts: list[str], asked: str) -> Finding:
    logo, proof = (tags(texts[0]).get(tag) for tag in ("l", "a"))
    if len(texts) > 1:
        return Finding("bimi", "warn", f"{name} has {len(texts)} records: leave one")
    if logo is None or not (logo == "" or _is_file(logo, ".svg")) or (proof and not _is_file(proof, ".pem")):
        wanted = zone_line(name, "v=BIMI1; l=https://www.example.org/logo.svg; a=https://www.example.org/logo.pem")
        return Finding("bimi", "warn", f"{name} cannot be read ({texts[0]}): publish one such as {wanted}")
    if logo and asked not in {"quarantine", "reject"}:
        words = "is not shown until DMARC asks for p=quarantine or p=reject"
        return Finding("bimi", "warn", f"{name}: the logo {words}")
    if logo and not proof:
        return Finding("bimi", "good", f"{name}: a logo, without the certificate (a=) that some receivers ask for")
    return Finding("bimi", "good", f"{name}: {'a logo' if logo else 'no logo wanted'}")


def _is_file(address: str, end: str) -> bool:
    return address.lower().startswith("https://") and address.lower().endswith(end)
