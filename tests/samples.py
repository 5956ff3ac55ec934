"""A sample edition of our own writing, for tests and figures."""

from datetime import date

from digest.values import Digest, Edition, EditionKind, Slot

ON = date(2025, 3, 6)
BASE = "https://news.example.org"
STORIES = (
    ("Europe", "Leaders back a common defence fund as Kyiv offers a truce in the air and at sea",
     "Twenty-six governments agreed to loosen borrowing rules. The first step they ask for can be checked within days: no missiles, no drones, no attacks on ports.", 4),
    ("Korea", "Seoul says captured northern soldiers may come south if they ask",
     "One of the two men told a newspaper that he wants asylum. The ministry answered that the constitution already counts him as a citizen.", 3),
    ("Vatican", "The Pope needs help to breathe after a sudden coughing fit",
     "Doctors keep the prognosis open; he stayed alert throughout. The hospital will speak again tonight.", 2),
    ("Africa", "Kenya and Ethiopia open the desert road that took twelve years to build",
     "Lorries now cross in nine hours what took them three days. Herders along the way say the wells came with it, and stayed.", 5),
    ("Climate", "A quiet hurricane season hides the warmest ocean ever measured",
     "Buoys across the Atlantic agree within a tenth of a degree. Forecasters warn that dust from the Sahara, not cooling, kept the storms small.", 4),
    ("Latin America", "Chile’s miners vote on a four-day week in the world’s driest desert",
     "The union says output will not fall because the new shifts end the long bus rides. The company has asked for a year to count.", 3),
    ("Asia", "Jakarta’s last canal ferrymen are offered a share in the new metro",
     "Two hundred families would run the station boats at high tide. Their association decides on Sunday.", 2),
    ("Economy", "Grain prices slide for a fifth week as the Danube fills again",
     "Barges load to full depth for the first time since autumn. Bakers in Cairo and Tunis expect to notice by April.", 3),
    ("Science", "A telescope in Namibia hears the oldest radio signal yet",
     "The faint hum left its galaxy when the universe was a fortieth of its age. Three other dishes are listening to confirm it.", 4),
    ("Justice", "Court in The Hague hears islanders on who pays for a drowned coast",
     "Fourteen witnesses described villages moved by hand. A ruling is expected before the rains return.", 6),
)  # fmt: skip
SPANISH = (
    ("Europa", "Los líderes respaldan un fondo común de defensa mientras Kiev ofrece una tregua en el aire y en el mar",
     "Veintiséis gobiernos acordaron suavizar las reglas de deuda. El primer paso que piden puede comprobarse en días.", 4),
    ("Corea", "Seúl dice que los soldados norteños capturados pueden venir al sur si lo piden",
     "Uno de los dos hombres dijo a un diario que quiere asilo. El ministerio respondió que la Constitución ya lo considera ciudadano.", 3),
)  # fmt: skip
ARABIC = (
    ("أوروبا", "القادة يؤيدون صندوقا مشتركا للدفاع وكييف تعرض هدنة في الجو والبحر",
     "اتفقت ست وعشرون حكومة على تخفيف قواعد الاقتراض. ويمكن التحقق من الخطوة الأولى خلال أيام.", 4),
    ("أفريقيا", "كينيا وإثيوبيا تفتحان طريق الصحراء بعد اثني عشر عاما من البناء",
     "تعبر الشاحنات الآن في تسع ساعات ما كان يستغرق ثلاثة أيام.", 3),
)  # fmt: skip
BY_LANGUAGE = {"en": STORIES, "es": SPANISH, "ar": ARABIC}

SUBJECTS = {
    "en": "Europe pays for its own defence; Kyiv offers a truce",
    "es": "Europa paga su defensa; Kiev ofrece una tregua",
    "ar": "أوروبا تدفع ثمن دفاعها",
}
INTROS = {
    "en": "Europe counts its weapons without Washington, Seoul opens a door to prisoners of war, and doctors in Rome add a machine. Here is what matters today.",
    "es": "Europa cuenta sus armas sin Washington y Seúl abre una puerta a los prisioneros de guerra. Esto es lo que importa hoy.",
}


def sample_digest(**changes) -> Digest:
    fields = {
        "slug": "global", "name": "Global Morning", "language": "en", "from_name": "Global Morning",
        "from_address": "global@news.example.org", "reply_to": "editors@news.example.org",
        "postal_address": "The Daily Example, 1 Press Street, 28001 Madrid", "wordmark": "Global Morning", "colours": {},
        "utm": {"source": "global-digest", "campaign": "morning"}, "image_hosts": ("images.example.org",),
    }  # fmt: skip
    return Digest(**{**fields, **changes})


def sample_slots(n: int = 10, language: str = "en") -> tuple[Slot, ...]:
    """n slots; past the language's own stories the English ones follow, marked as English."""
    own = [(language, story) for story in BY_LANGUAGE[language]]
    others = [("en", story) for story in STORIES] if language != "en" else []
    return tuple(
        Slot(
            position=at, story=at, kicker=kicker, headline=headline, teaser=teaser, language=spoken, minutes=minutes,
            url=f"{BASE}/global/2025/03/06/{at:02d}-{'-'.join(STORIES[at % 10][1].lower().split()[:5]).replace('’', '')}",
            image="https://images.example.org/2025/lead.jpg" if at == 1 else "",
            image_alt="Delegates talk in a corridor under a row of flags" if at == 1 else "", update=at == 3,
        )
        for at, (spoken, (kicker, headline, teaser, minutes)) in enumerate((own + others)[:n], start=1)
    )  # fmt: skip


def sample_edition(n: int = 10, language: str = "en", *, digest: Digest | None = None, **changes) -> Edition:
    """An edition of n stories (at most 10 of English, 12 else) for Thursday 6 March 2025."""
    slots = sample_slots(n, language)
    fields = {
        "id": 1, "version": 1, "kind": EditionKind.DAILY, "local_date": ON, "name": "", "subject": SUBJECTS[language],
        "preheader": "; ".join(slot.headline for slot in slots[1:3])[:110],
        "intro": INTROS.get(language, ""),
        "digest": digest or sample_digest(language=language), "slots": slots, "web_url": f"{BASE}/e/global/2025-03-06",
    }  # fmt: skip
    return Edition(**{**fields, **changes})
