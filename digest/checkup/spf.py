"""SPF (RFC 7208): one record, that can be read, that keeps strangers out, and that asks for no more than ten look-ups."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from digest.checkup.finding import Finding
from digest.checkup.names import Names
from digest.dkim import zone_line
from digest.settings import Settings
from digest.smtp.opening import read_server

MOST = 10  # look-ups that a receiver makes; with one more the whole record counts for nothing
RELAY = "ip4:ADDRESS-OF-YOUR-RELAY"
ASKING = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
TERM = re.compile(r"([+?~-]?)(all|include|a|mx|ptr|ip4|ip6|exists)(?:([:/])(\S+))?", re.IGNORECASE)
MODIFIER = re.compile(r"([a-z][a-z0-9_.-]*)=(\S*)", re.IGNORECASE)
NEEDS_VALUE = frozenset({"include", "ip4", "ip6", "exists"})


async def look(names: Names, domain: str, settings: Settings) -> list[Finding]:
    """Of the domain that bounces go to: that is the one receivers ask."""
    texts = await names.ask(domain, "TXT")
    if texts is None:
        return []
    found = [text for text in texts if _is_spf(text)]
    if not found and settings.email_transport == "sendgrid":
        return [Finding("spf", "good", f"{domain} has none and needs none: SendGrid's return path brings its own")]
    if not found:
        return [_bad(f"{domain} says nowhere who may send for it: publish {zone_line(domain, _proposal(settings))}")]
    if len(found) > 1:
        return [
            _bad(f"{domain} has {len(found)} records, so none of them counts: make them one, {_merged(domain, found)}")
        ]
    wrong = [term for term in _terms(found[0]) if not _can_be_read(term)]
    if wrong:
        words = f"{', '.join(wrong)} cannot be read, so the whole record counts for nothing: {found[0]}"
        return [_bad(f"{domain}: {words}")]
    faults = [*_lets_in(domain, found[0]), *await _too_many(names, domain, found[0])]
    return faults or [Finding("spf", "good", f"{domain}: {found[0]}")]


def _bad(words: str) -> Finding:
    return Finding("spf", "bad", words)


def _is_spf(text: str) -> bool:
    return text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")


def _terms(record: str) -> list[str]:
    return record.split()[1:]


def _proposal(settings: Settings) -> str:
    """For the servers that we hand over to; whether those are what sends in the end, only their owner knows."""
    allowed = dict.fromkeys(map(_allowed, settings.smtp_servers)) or [RELAY]
    return " ".join(["v=spf1", *allowed, "~all"])


def _allowed(server: str) -> str:
    try:
        host = read_server(server, 25).host
    except ValueError:
        return RELAY
    try:
        address = ip_address(host)
    except ValueError:
        return f"a:{host}" if "." in host else RELAY
    return f"ip{address.version}:{address}" if address.is_global else RELAY


def _merged(domain: str, records: Sequence[str]) -> str:
    terms = [term for record in records for term in _terms(record) if not re.fullmatch("[+?~-]?all", term.lower())]
    return zone_line(domain, " ".join(["v=spf1", *dict.fromkeys(terms), "~all"]))


def _lets_in(domain: str, record: str) -> Iterator[Finding]:
    """Whom nobody named: they are to be kept out."""
    terms = _terms(record)
    lower = [term.lower() for term in terms]
    last = next((term for term in lower if term.lstrip("+?~-") == "all"), "")
    strict = " ".join(
        [record.split(maxsplit=1)[0], *(term for term in terms if term.lower() not in {"all", "+all", "?all"}), "~all"]
    )
    if last in {"all", "+all"}:
        yield _bad(f"{domain} lets everybody send for it ({last}): publish {zone_line(domain, strict)}")
    elif last == "?all" or not (last or any(term.startswith("redirect=") for term in lower)):
        yield Finding("spf", "warn", f"{domain} keeps nobody out: publish {zone_line(domain, strict)}")


def _can_be_read(term: str) -> bool:
    found = TERM.fullmatch(term)
    if found is None:
        return MODIFIER.fullmatch(term) is not None
    _, kind, sign, value = found.groups()
    kind = kind.lower()
    if kind in {"ip4", "ip6"}:
        return sign == ":" and _is_network(kind, value)
    return (sign == ":" if kind in NEEDS_VALUE else True) and not (kind == "all" and sign)


def _is_network(kind: str, value: str) -> bool:
    try:
        (IPv4Network if kind == "ip4" else IPv6Network)(value, strict=False)
    except ValueError:
        return False
    return True


# look-ups -----------------------------------------------------------------------------------------------------------


async def _too_many(names: Names, domain: str, record: str) -> list[Finding]:
    """Followed from record to record, each level at once, until it is clear that there are too many."""
    count, level, broken = 0, [record], list[str]()
    while level and count <= MOST:
        asking = [_asks(term) for text in level for term in _terms(text)]
        count += sum(kind != "" for kind, _ in asking)
        onward = [name for kind, name in asking if kind in {"include", "redirect"} and "%" not in name]
        answers = await asyncio.gather(*(names.ask(name, "TXT") for name in onward))
        level = []
        for name, texts in zip(onward, answers, strict=True):
            found = [text for text in texts or () if _is_spf(text)]
            level += found[:1]
            broken += [name] if texts is not None and len(found) != 1 else []
    if count > MOST:
        return [_bad(
            f"{domain} asks receivers for more than {MOST} look-ups, so it counts for nothing: put ip4: and ip6: in place "
            f"of what names no longer need to be asked for, in {record}"
        )]  # fmt: skip
    return [
        _bad(
            f"{domain} includes {name}, which has no one record of its own, so the whole counts for nothing: take it out"
        )
        for name in broken
    ]


def _asks(term: str) -> tuple[str, str]:
    """The kind of term that costs a look-up, and the name it is about; two empty words for one that costs none."""
    found = TERM.fullmatch(term)
    kind, name = (found[2].lower(), found[4] or "") if found else ("", "")
    modifier = MODIFIER.fullmatch(term)
    if modifier:
        kind, name = modifier[1].lower(), modifier[2]
    return (kind, name) if kind in ASKING else ("", "")
