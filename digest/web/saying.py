"""What readers' pages say of their wishes, and of what became of them."""

from collections.abc import Mapping
from datetime import datetime
from zoneinfo import ZoneInfo

from digest.languages import Words, message
from subscribers import signup
from subscribers.models import DAYS
from subscribers.preferences import Change, Offer, Wish

CHANNELS = {"email": message("By email"), "push": message("As a notification")}
FREQUENCIES = {
    "every": message("Every edition"), "weekdays": message("Monday to Friday"), "days": message("On days I choose"),
    "weekly": message("Once a week, the best of it"),
}  # fmt: skip
DAY_NAMES = {
    "mon": message("Monday"), "tue": message("Tuesday"), "wed": message("Wednesday"), "thu": message("Thursday"),
    "fri": message("Friday"), "sat": message("Saturday"), "sun": message("Sunday"),
}  # fmt: skip
TOPIC_WISHES = {"more": message("More"), "": message("As it comes"), "less": message("Less")}
REASONS = {
    "often": message("It came too often"), "much": message("It was too much to read"),
    "dull": message("It was not about what matters to me"), "other": message("Another reason"),
}  # fmt: skip
PAUSES = {7: message("A week"), 14: message("Two weeks"), 30: message("A month")}
FAULTS = {
    "unknown": message("That is not one of the choices."), "missing": message("Choose at least one day."),
    "address": message("That is no address that mail can be sent to."),
    "day": message("Choose a day after today, within a year."),
}  # fmt: skip
SAID = {
    ("email", False): message("%(digest)s no longer comes by email; that holds at once, also for an edition on its way."),
    ("email", True): message("%(digest)s comes by email, from the next edition."),
    ("push", False): message("%(digest)s no longer comes as a notification; that holds at once."),
    ("push", True): message("%(digest)s comes as a notification, from the next edition."),
}  # fmt: skip
OFTEN = message("How often %(digest)s comes: %(often)s. From the next edition.")
HOUR = message("%(digest)s comes at %(hour)s, where you are. From the next edition.")
NO_HOUR = message("%(digest)s comes at its usual time, where you are. From the next edition.")
LANGUAGE = message("We write to you in this language: %(language)s. From the next edition.")
ZONE = message("Your time zone is %(zone)s.")
TOPICS = message("Your topics are kept, and count from the next edition.")
PAUSED = message("Paused until %(day)s. That holds at once.")
UNDONE = message("You are subscribed as before.")
RESUMED = message("It comes again, from the next edition.")
TRACKED = {
    True: message("You agree that we count what you open and click. From the next edition."),
    False: message("We no longer count what you open and click, and what was counted of you is gone."),
}
ACCESS_SENT = message("We write to %(address)s. The link in that mail opens for 15 minutes.")
ADDRESS_SENT = message(
    "We write to %(address)s. Once you press the button in that mail, it is your address; until then, nothing changes."
)

assert set(DAY_NAMES) == set(DAYS)


def choices(labels: Mapping[str, str], spoken: Words) -> list[tuple[str, str]]:
    return [(value, spoken.gettext(label)) for value, label in labels.items()]


def frequencies(offer: Offer, wish: Wish, spoken: Words) -> list[tuple[str, str]]:
    """Those on offer, and the one that is chosen, if there is any choice."""
    shown = {*offer.frequencies, wish.frequency} if offer.rhythm else set()
    return [(value, label) for value, label in choices(FREQUENCIES, spoken) if value in shown]


def day_of(at: datetime | None, zone: str, spoken: Words) -> str:
    """The day of a moment, in `zone`; empty for none."""
    return spoken.date(at.astimezone(ZoneInfo(zone)).date()) if at is not None else ""


def own_wording(spoken: Words) -> signup.Wording:
    agreed = message(
        "You agree to receive by email, at this address, what you tick here. You can leave at any time, with one click."
    )
    return signup.Wording.of(spoken.gettext(agreed), spoken.language)


def told(change: Change, names: Mapping[int, str], spoken: Words, endonyms: Mapping[str, str]) -> str:
    """One saved change as its reader is told it, with when it takes effect."""
    of = {"digest": names.get(change.digest or 0, "")}
    if change.what in CHANNELS:
        return spoken.gettext(SAID[change.what, change.after]) % of
    if change.what == "frequency":
        often, days = change.after
        said = ", ".join(spoken.gettext(DAY_NAMES[day]) for day in days) or spoken.gettext(FREQUENCIES[often])
        return spoken.gettext(OFTEN) % {**of, "often": said}
    if change.what == "hour":
        return spoken.gettext(HOUR if change.after else NO_HOUR) % {**of, "hour": change.after}
    if change.what == "tracked":
        return spoken.gettext(TRACKED[change.after])
    if change.what == "language":
        return spoken.gettext(LANGUAGE) % {"language": endonyms.get(change.after, change.after)}
    return spoken.gettext(ZONE) % {"zone": change.after} if change.what == "zone" else spoken.gettext(TOPICS)


def chosen(topics: list[dict[str, str]], spoken: Words) -> str:
    """What was chosen of the topics, in one line: "More: Korea. Less: Economy, Asia."; empty for nothing."""
    said = {wish: ", ".join(view["label"] for view in topics if view["wish"] == wish) for wish in ("more", "less")}
    return " ".join(f"{spoken.gettext(TOPIC_WISHES[wish])}: {labels}." for wish, labels in said.items() if labels)
