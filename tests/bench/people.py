"""Readers in and out: a million imported at once and broken off twice, exported, and one of them erased, by processes of their own."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqlalchemy import Engine, func, select
from sqlmodel import SQLModel

from digest import persons
from digest.database import open_engine, reading, scrub
from digest.press import Press
from digest.settings import Settings
from subscribers.exchange import import_csv
from subscribers.exporting import people, write_people
from tests.bench.figure import Figure
from tests.bench.ledger import house, scratch
from tests.newsroom import KEYS, NOW, morning

GROUP = "people"
MANY = 1_000_000
TABLES = SQLModel.metadata.tables
WANTED = {"accepted": 989_999, "twice": 10_000, "refused_count": 1}  # of a million lines
ROOM = 300  # MB


def figures() -> Iterable[Figure]:
    with scratch() as folder:
        file = readers_file(folder / "readers.csv")
        yield from at_once(folder, file)
        yield from broken_off_twice(folder, file)
        yield from out_again(folder)
        yield from one_erased(folder)


def at_once(folder: Path, file: Path) -> Iterator[Figure]:
    database = prepared(folder / "whole.sqlite")
    start = time.perf_counter()
    said = json.loads(subprocess.run(command("bring", database, file), capture_output=True, check=True).stdout)
    seconds = time.perf_counter() - start
    counts = {name: said[name] for name in WANTED}
    yield Figure("import of 1,000,000 readers, at once", seconds, "s", "90 or less", seconds <= 90)
    yield Figure("its readers a second", MANY / seconds, "readers/s", "11,000 or more", seconds <= 90)
    yield Figure("memory of its process at most", said["memory"], "MB", f"{ROOM} or less", said["memory"] <= ROOM)
    yield Figure("readers there are then", present(database), "readers", "989,999", is_whole(database, counts))


def broken_off_twice(folder: Path, file: Path) -> Iterator[Figure]:
    database, seed = prepared(folder / "killed.sqlite"), random.randrange(10**6)
    chance = random.Random(seed)
    start = time.perf_counter()
    lives = [killed(database, file, chance.randint(low, low + 250_000), chance) for low in (100_000, 550_000)]
    said = json.loads(subprocess.run(command("bring", database, file), capture_output=True, check=True).stdout)
    seconds = time.perf_counter() - start
    counts = {name: said[name] for name in WANTED}
    places, most = [place for place, _ in lives], max(said["memory"], *(used for _, used in lives))
    whole = is_whole(database, counts) and said["resumed_at"] == places[-1] > places[0] > 0
    yield Figure(
        f"the same, killed at {places[0]:,} and {places[1]:,}, in all", seconds, "s", "90 or less", seconds <= 90
    )
    yield Figure("memory of its three processes at most", most, "MB", f"{ROOM} or less", most <= ROOM)
    yield Figure(
        f"readers there are then, the same counts (seed {seed})", present(database), "readers", "989,999", whole
    )


def killed(database: Path, file: Path, beyond: int, chance: random.Random) -> tuple[int, float]:
    """Kill an import at some moment after so many lines; the line its bookmark then is at, and the memory it took."""
    process = subprocess.Popen(
        command("bring", database, file), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    for line in process.stderr:
        if int(line) >= beyond:
            break
    time.sleep(chance.uniform(0, 0.3))
    used = memory(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stderr.close()
    engine = open_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        lines = connection.execute(select(TABLES["import_run"].c.lines)).scalar_one()
    engine.dispose()
    return lines, used


def out_again(folder: Path) -> Iterator[Figure]:
    start = time.perf_counter()
    said = json.loads(
        subprocess.run(
            command("take", folder / "whole.sqlite", folder / "out.csv"), capture_output=True, check=True
        ).stdout
    )
    seconds = time.perf_counter() - start
    yield Figure("export of as many to CSV", seconds, "s", "120 or less", seconds <= 120)
    yield Figure("memory of its process at most", said["memory"], "MB", "150 or less", said["memory"] <= 150)


def one_erased(folder: Path) -> Iterator[Figure]:
    engine = open_engine(f"sqlite:///{folder / 'whole.sqlite'}")
    place = Press(settings=Settings(home=folder, outbox=folder / "outbox"), engine=engine, keys=KEYS)
    start = time.perf_counter()
    persons.erase(place, "reader500001@example1.net", who="bench", now=NOW)
    erased = time.perf_counter() - start
    yield Figure("one reader erased among as many", erased * 1000, "ms", "100 or less", erased <= 0.1)
    scrub(engine)
    seconds = time.perf_counter() - start - erased
    yield Figure("the database's files scrubbed after it", seconds, "s", "60 or less", seconds <= 60)
    engine.dispose()


# set-up -------------------------------------------------------------------------------------------------------------


def readers_file(file: Path) -> Path:
    """A million lines in no order, as another program may give them: quotes, letters beyond ASCII, some people twice."""
    own, twice = WANTED["accepted"], 0
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("email,name,language,zone,topics\n")
        for n in range(own):
            number = n * 7919 % own
            out.write(f'reader{number}@example{number % 50}.net,"Núñez, Ana {n}",es,Europe/Madrid,korea;vatican\n')
            if n % 98 == 97 and twice < WANTED["twice"]:
                out.write(f"READER{number}@example{number % 50}.net,,,,\n")
                twice += 1
        out.write("not an address,,,,\n")
    return file


def prepared(file: Path) -> Path:
    engine = house(file)
    morning(engine)
    engine.dispose()
    return file


def present(database: Path) -> int:
    engine = open_engine(f"sqlite:///{database}")
    with engine.connect() as connection:
        number = connection.execute(select(func.count()).select_from(TABLES["subscriber"])).scalar_one()
    engine.dispose()
    return number


def is_whole(database: Path, counts: dict[str, int]) -> bool:
    return counts == WANTED and present(database) == WANTED["accepted"]


# in a process of its own --------------------------------------------------------------------------------------------


def command(what: str, *paths: Path) -> list[str]:
    return [sys.executable, "-m", "tests.bench.people", what, *map(str, paths)]


def bring(engine: Engine, file: Path) -> dict[str, int]:
    def told(done: int, _lines: int) -> None:
        print(done, file=sys.stderr, flush=True)

    report = import_csv(engine, file, digest_id=1, keys=KEYS, consent="bench", now=NOW, told=told)
    return {name: getattr(report, name) for name in (*WANTED, "resumed_at")}


def take(engine: Engine, file: Path) -> dict[str, int]:
    with reading(engine) as session, file.open("w", encoding="utf-8", newline="") as out:
        return {"written": write_people(out, people(session.connection(), digests={1: "global"}), "csv")}


def memory(process: int | str = "self") -> float:
    """The most it ever took, in MB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii", errors="replace")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    what, database, file = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    done = {"bring": bring, "take": take}[what](open_engine(f"sqlite:///{database}"), file)
    print(json.dumps({**done, "memory": memory(), "pid": os.getpid()}))
