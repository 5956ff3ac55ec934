"""What a story is about: the publisher's categories and the words of its text, by a table that editors own."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from digest.values import Story, Topic

CATEGORY, HEADLINE, TEASER, BODY = 6.0, 4.0, 2.0, 0.5  # what a match counts, by where it stands
BODY_MATCHES = 4  # more of them in one body add nothing: long stories mention much
BODY_LENGTH = 3000
ENOUGH = 2.0  # one match in the teaser, or four in the body
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Phrase:
    """Folded words in a row that lead to a topic; `written` where they must be written just so."""

    folded: tuple[str, ...]
    slug: str
    written: tuple[str, ...] | None

    def is_at(self, place: int, folded: Sequence[str], written: Sequence[str]) -> bool:
        end = place + len(self.folded)
        exact = self.written is None or tuple(written[place:end]) == self.written
        return exact and tuple(folded[place:end]) == self.folded


def topics_of(story: Story, topics: Sequence[Topic]) -> tuple[str, ...]:
    """
    The slugs of the topics a story is about, best first: by what its matches count, then by which is named first.

    Whole words and phrases, whatever their case or accents; an abbreviation that the table writes in capitals (US,
    EE.UU.) must be in capitals in the text too, for "us" is no country.
    """
    return topic_finder(topics)(story)


def topic_finder(topics: Sequence[Topic]) -> Callable[[Story], tuple[str, ...]]:
    """`topics_of` for many stories: the table is read once."""
    phrases = _phrases(topics)
    categories = {topic.slug: _category_names(topic) for topic in topics}

    def find(story: Story) -> tuple[str, ...]:
        stated = {_fold(category) for category in story.categories}
        points = defaultdict(float, {slug: CATEGORY for slug, names in categories.items() if names & stated})
        for text, worth in ((story.headline, HEADLINE), (story.teaser or story.cut_teaser, TEASER)):
            for slug in _matches(text, phrases):
                points[slug] += worth
        for slug, count in Counter(_matches(story.body[:BODY_LENGTH], phrases)).items():
            points[slug] += BODY * min(count, BODY_MATCHES)
        best = sorted(points, key=lambda slug: -points[slug])  # equal ones stay as first met
        return tuple(slug for slug in best if points[slug] >= ENOUGH)

    return find


def _category_names(topic: Topic) -> set[str]:
    return {_fold(name) for name in (topic.slug.replace("-", " "), *topic.labels.values(), *topic.categories)}


def _phrases(topics: Sequence[Topic]) -> Mapping[str, Sequence[_Phrase]]:
    """All phrases by their first word, the longest first."""
    by_first: dict[str, list[_Phrase]] = defaultdict(list)
    for topic in topics:
        for said in dict.fromkeys((*topic.labels.values(), *topic.words)):
            if written := tuple(_WORD.findall(said)):
                folded = tuple(map(_fold, written))
                phrase = _Phrase(folded=folded, slug=topic.slug, written=written if said.isupper() else None)
                by_first[folded[0]].append(phrase)
    return {first: sorted(found, key=lambda phrase: -len(phrase.folded)) for first, found in by_first.items()}


def _matches(text: str, phrases: Mapping[str, Sequence[_Phrase]]) -> Iterator[str]:
    """The topics named, from left to right. The longest phrase wins: "Latin American" says nothing of "American"."""
    written = _WORD.findall(text)
    folded = [_fold(word) for word in written]
    place = 0
    while place < len(written):
        here = [phrase for phrase in phrases.get(folded[place], ()) if phrase.is_at(place, folded, written)]
        length = len(here[0].folded) if here else 1
        yield from dict.fromkeys(phrase.slug for phrase in here if len(phrase.folded) == length)
        place += length


@lru_cache(maxsize=50_000)  # words return: without it folding is most of the work
def _fold(text: str) -> str:
    bare = unicodedata.normalize("NFKD", text.casefold())
    return " ".join("".join(letter for letter in bare if not unicodedata.combining(letter)).split())


def _topic(slug: str, en: str, es: str, words: str, categories: str = "") -> Topic:
    return Topic(slug=slug, labels={"en": en, "es": es}, words=_listed(words), categories=_listed(categories))


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


DEFAULT_TOPICS: tuple[Topic, ...] = (
    _topic("ukraine", "Ukraine", "Ucrania",
           "Ukrainian, Ukrainians, Kyiv, Kiev, Kharkiv, Odesa, Odessa, Lviv, Zelensky, Zelenskyy, Zelenski, "
           "ucraniano, ucraniana, ucranianos, ucranianas, Járkov",
           "War in Ukraine, Guerra en Ucrania, Russia-Ukraine war"),
    _topic("russia", "Russia", "Rusia",
           "Russian, Russians, Moscow, Kremlin, Putin, ruso, rusa, rusos, rusas, Moscú, Siberia"),
    _topic("korea", "Korea", "Corea",
           "South Korea, North Korea, South Korean, North Korean, South Koreans, North Koreans, Korean, Koreans, Koreas, "
           "Seoul, Pyongyang, Busan, Corea del Sur, Corea del Norte, coreano, coreana, coreanos, surcoreano, "
           "surcoreana, norcoreano, norcoreana, norcoreanos, surcoreanos, Seúl, Pionyang",
           "South Korea, North Korea, Corea del Sur, Corea del Norte"),
    _topic("europe", "Europe", "Europa",
           "European, Europeans, European Union, EU, Brussels, Eurozone, Germany, German, Berlin, France, French, Paris, "
           "Britain, British, UK, London, Italy, Italian, Spain, Spanish, Madrid, Portugal, Lisbon, Poland, Polish, "
           "Warsaw, Netherlands, Dutch, Belgium, Austria, Greece, Hungary, Romania, Sweden, Norway, Denmark, Finland, "
           "Ireland, Switzerland, europeo, europea, europeos, europeas, Unión Europea, UE, Bruselas, Alemania, alemán, "
           "Francia, Reino Unido, Londres, Italia, España, Polonia, Grecia, Hungría, Suecia, Noruega, Dinamarca",
           "European Union, EU, Unión Europea, World/Europe"),
    _topic("vatican", "Vatican", "Vaticano",
           "Pope, Papal, Holy See, Vatican City, Pontiff, Conclave, Cardinals, Papa Francisco, Papa León, Santa Sede, "
           "Pontífice, cónclave", "Catholic Church, Iglesia católica, Religion/Vatican"),
    _topic("middle-east", "Middle East", "Oriente Medio",
           "Israel, Israeli, Israelis, Gaza, Palestinian, Palestinians, Palestine, Hamas, Hezbollah, Lebanon, Beirut, "
           "Syria, Syrian, Damascus, Iran, Iranian, Tehran, Iraq, Baghdad, Saudi, Saudi Arabia, Yemen, Houthi, Houthis, "
           "Jordan, Kuwait, Qatar, Emirates, West Bank, israelí, israelíes, palestino, palestina, palestinos, Líbano, "
           "Siria, sirio, Irán, iraní, Irak, Arabia Saudí, Cisjordania, Jordania",
           "Mideast, Near East, Medio Oriente, Oriente Próximo"),
    _topic("united-states", "United States", "Estados Unidos",
           "US, U.S., USA, America, American, Americans, White House, Washington, Pentagon, FBI, Trump, "
           "EE.UU., EEUU, EE. UU., estadounidense, estadounidenses, Casa Blanca",
           "US, USA, U.S., US news, U.S. news, EE.UU., EEUU"),
    _topic("china", "China", "China",
           "Chinese, Beijing, Shanghai, Hong Kong, Xi Jinping, Yangtze, Guiyang, chino, chinos, Pekín"),
    _topic("africa", "Africa", "África",
           "African, Africans, African Union, Nigeria, Kenya, Ethiopia, Sudan, South Sudan, South Africa, Congo, Somalia, Uganda, "
           "Tanzania, Ghana, Ivory Coast, Senegal, Mali, Niger, Rwanda, Egypt, Morocco, Algeria, Tunisia, Libya, Namibia, "
           "africano, africana, africanos, africanas, Kenia, Etiopía, Sudáfrica, Egipto, Marruecos, Argelia, Túnez"),
    _topic("latin-america", "Latin America", "América Latina",
           "Latin American, South America, South American, Central America, Mexico, Mexican, Brazil, Brazilian, "
           "São Paulo, Argentina, Chile, Colombia, Venezuela, Venezuelan, Peru, Ecuador, Bolivia, Cuba, Haiti, Honduras, "
           "Guatemala, El Salvador, Nicaragua, Panama, Uruguay, Paraguay, Latinoamérica, latinoamericano, Sudamérica, "
           "México, mexicano, Brasil, brasileño, argentino, chileno, colombiano, venezolano, Perú, cubano, Haití, Panamá",
           "Americas, Américas, Latinoamérica"),
    _topic("asia", "Asia", "Asia",
           "Asian, India, Indian, Delhi, Pakistan, Japan, Japanese, Tokyo, Taiwan, Philippines, Indonesia, Jakarta, "
           "Vietnam, Thailand, Myanmar, Bangladesh, Sri Lanka, Nepal, Malaysia, Singapore, Afghanistan, Kabul, "
           "asiático, asiática, japonés, Japón, Tokio, Filipinas, Tailandia, Malasia, Afganistán, Pakistán",
           "Asia Pacific, Asia-Pacific, Asia-Pacífico"),
    _topic("climate", "Climate", "Clima",
           "Climate change, Global warming, Emissions, Glacier, Glaciers, Drought, Heatwave, Hurricane, Wildfire, "
           "Wildfires, Carbon, Renewable, Reservoirs, cambio climático, calentamiento global, emisiones, glaciar, "
           "glaciares, sequía, ola de calor, huracán, incendio forestal, incendios forestales",
           "Environment, Climate change, Medio ambiente, Cambio climático"),
    _topic("economy", "Economy", "Economía",
           "Economic, Inflation, Tariff, Tariffs, Central bank, Interest rates, Recession, GDP, Exports, Trade war, "
           "Stock market, económico, económica, inflación, arancel, aranceles, banco central, tipos de interés, "
           "recesión, PIB, exportaciones", "Business, Markets, Finance, Negocios, Mercados, Finanzas"),
    _topic("justice", "Justice", "Justicia",
           "Court, Supreme Court, Judge, Judges, Trial, Convicted, Sentenced, Executed, Prosecutor, Prosecutors, Attorney General, "
           "Lawsuit, Verdict, tribunal, Tribunal Supremo, juez, jueza, juicio, condenado, condenada, fiscal, sentencia",
           "Law, Courts, Crime, Tribunales, Sucesos"),
    _topic("science", "Science", "Ciencia",
           "Scientist, Scientists, Researchers, Telescope, NASA, Astronomers, Spacecraft, Fossil, Physicists, "
           "científico, científica, científicos, investigadores, telescopio, astrónomos", "Space, Espacio, Research"),
    _topic("health", "Health", "Salud",
           "Vaccine, Vaccines, Outbreak, Epidemic, Pandemic, Cancer, WHO, Hospital, Hospitals, Malaria, Cholera, "
           "vacuna, vacunas, brote, epidemia, pandemia, cáncer, OMS, hospitales, cólera", "Medicine, Sanidad, Medicina"),
    _topic("technology", "Technology", "Tecnología",
           "Artificial intelligence, AI, Cyberattack, Semiconductor, Semiconductors, Chipmaker, Software, "
           "inteligencia artificial, IA, ciberataque, semiconductores", "Tech, Internet"),
)  # fmt: skip
"""Where editors start: `digest init` writes these into their table, and from then on the table is theirs."""
