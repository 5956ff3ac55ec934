"""
A message filled in for each reader: beside moving its bytes in memory, and beside printing it anew for each; and the same
message with tracked links, beside itself.

50 KB, 25 links; one reader in twenty has a name that needs escaping. The rounds alternate within the run.
"""

from collections.abc import Callable, Iterable, Sequence
from email.message import EmailMessage
from statistics import median
from time import process_time

from jinja2 import Environment
from premailer import Premailer

from digest.delivery_ids import TOKEN_LENGTH
from digest.splice import Filler
from digest.values import Blank, Compiled, Recipient
from tests.bench._edition import letter
from tests.bench.figure import Figure
from tests.bench.sendgrid import guest

GROUP = "press"
SIZE, LINKS = 50_000, 25
READERS, ROUNDS = 4000, 7
ANEW = 12  # messages printed anew in each round


def figures() -> Iterable[Figure]:
    compiled = with_links(letter(SIZE))
    filler, readers = Filler(compiled), [guest(number) for number in range(READERS)]
    whole = filler(readers[0])
    anew = printer(whole)
    tracked = Filler(with_links(letter(SIZE), field="trail"))
    on_trails = [reader._replace(trail=f"{reader.number:0{TOKEN_LENGTH}d}") for reader in readers]
    rounds = [
        (
            each(filler, readers), each(bytearray, [whole] * READERS), each(anew, readers[:ANEW]),
            each(tracked, on_trails),
        )
        for _ in range(ROUNDS)
    ]  # fmt: skip
    spliced, copied = (median(one[at] for one in rounds) for at in (0, 1))
    times = median(one[0] / one[1] for one in rounds)
    dearer = median(one[2] / one[0] for one in rounds)
    yield Figure("splice: one message of 50 KB and 25 links", spliced, "us of CPU", "stated", ok=True)
    followed = median(one[3] / one[0] for one in rounds)
    yield Figure(
        "splice: the same with tracked links, times as much", followed, "times", "1.35 or less", followed <= 1.35
    )
    yield Figure("splice: moving as many bytes", copied, "us of CPU", "the floor", ok=True)
    yield Figure("splice: times as much as moving the bytes", times, "times", "9 or less", times <= 9)
    yield Figure(
        "splice: jinja2, premailer and EmailMessage, times as much", dearer, "times", "1,000 or more", dearer >= 1000
    )


def with_links(compiled: Compiled, field: str = "token") -> Compiled:
    """The same message with 25 blanks of a link in it, the new ones of that field."""
    pieces: list[bytes | Blank] = list(compiled.pieces)
    wanted = LINKS - sum(1 for one in pieces if isinstance(one, Blank) and one.field == "token")
    for _ in range(wanted):
        at = max(range(len(pieces)), key=lambda i: len(pieces[i]) if isinstance(pieces[i], bytes) else 0)
        longest = pieces[at]
        assert isinstance(longest, bytes)
        middle = longest.index(b"\r\n", len(longest) // 2)
        pieces[at : at + 1] = [longest[:middle], Blank(field, "raw"), longest[middle:]]
    return Compiled(tuple(pieces), compiled.blanks + wanted)


def printer(message: bytes) -> Callable[[Recipient], bytes]:
    """What is usual: the page rendered, its CSS inlined and the mail built, for each reader."""
    page = message.decode("latin-1").partition("<html")[2].partition("</html>")[0]
    links = "".join(
        f'<p style="margin:0"><a href="https://n.example/c/{{{{ token }}}}/{n}">{n}</a></p>' for n in range(LINKS)
    )
    text = f"<!DOCTYPE html><html{{% raw %}}{page}{{% endraw %}}<p>{{{{ name }}}}</p>{links}</html>"
    template = Environment(autoescape=True).from_string(text)

    def anew(reader: Recipient) -> bytes:
        html = Premailer(template.render(name=reader.name, token=reader.token), allow_network=False).transform()
        mail = EmailMessage()
        mail["To"], mail["Subject"] = reader.address, "Morning"
        mail.set_content(f"Good morning, {reader.name}")
        mail.add_alternative(html, subtype="html")
        return mail.as_bytes()

    return anew


def each(do: Callable[..., object], given: Sequence[object]) -> float:
    """Microseconds of CPU for each."""
    start = process_time()
    for one in given:
        do(one)
    return (process_time() - start) / len(given) * 1e6
