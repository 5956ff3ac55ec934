"""The ways out: each transport's own look, which logs in and sends nothing."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

from digest.checkup.finding import Finding
from digest.errors import DigestError
from digest.parts import load_part
from digest.settings import Settings
from digest.transports import Found
from digest.waiting import begun, waited


class Knock(NamedTuple):
    """A transport that was asked."""

    name: str
    answer: "Future[Found]"


class Heard(NamedTuple):
    """What was found, and by whose clocks ours could be looked at: the seconds that it is before theirs."""

    findings: Sequence[Finding]
    ahead: dict[str, float]


def knocks(settings: Settings, seconds: float) -> list[Knock]:
    """Every transport that can be asked, all at once."""
    return [
        Knock(name, begun(partial(load_part("transports", name).probe, one, seconds)))
        for name in sorted({settings.email_transport, settings.push_transport})
        if hasattr(load_part("transports", name), "probe")
        for one in (_by_server(settings) if name == "smtp" else [settings])
    ]


def _by_server(settings: Settings) -> Iterator[Settings]:
    """Each server by itself: the second is asked for only when the first is gone, and must let us in then."""
    for server in settings.smtp_servers or ("",):
        yield settings.model_copy(update={"smtp_servers": (server,) if server else ()})


def heard(asked: Sequence[Knock], until: float) -> Heard:
    """Their answers, until a moment of the monotonic clock."""
    findings, ahead = [], {}
    for knock in asked:
        try:
            found = waited(knock.answer, until)
        except TimeoutError:
            findings.append(Finding(knock.name, "bad", "no answer in time: look at the network, and at the settings"))
        except DigestError as error:
            findings.append(Finding(knock.name, "bad", str(error)))
        except Exception as error:  # noqa: BLE001  a fault of ours, which must not hide what else is found
            findings.append(Finding(knock.name, "bad", f"could not be asked: {type(error).__name__}: {error}"))
        else:
            findings.append(Finding(knock.name, "good", found.words))
            if found.ahead is not None:
                ahead[f"{knock.name}'s"] = found.ahead
    return Heard(findings, ahead)
