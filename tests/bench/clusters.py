"""How well and how fast stories are grouped by event. Needs the labelled news that lies beside a developer's checkout."""

import csv
import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from digest.clusters import Telling, group, lead_of
from tests.bench.figure import Figure

GROUP = "morning"
EVENTS = Path(__file__).resolve().parents[2] / "../shared/data/events"
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
CUT = 600  # characters of each made-up story: the longest text that grouping looks at


def figures() -> Iterator[Figure]:
    if not EVENTS.exists():
        return
    gold = [article["event_id"] for article in _articles(EVENTS)]
    f1 = bcubed(group([*labelled(EVENTS), *unrelated(EVENTS, 2500)]), gold)
    yield Figure("BCubed F1, 239 labelled stories among 2,500 others", f1, "", "at least 0.95", f1 >= 0.95)
    for size, seconds, megabytes in ((500, 1.0, 800), (5000, 8.0, 800)):
        found = json.loads(_in_a_new_process(size))
        name = f"{size:,} stories clustered and ranked"
        yield Figure(
            f"{name}, imports apart", found["work"], "s of CPU", f"at most {seconds:g}", found["work"] <= seconds
        )
        yield Figure(f"{name}, imports in", found["all"], "s of CPU", f"at most {seconds:g}", found["all"] <= seconds)
        yield Figure(
            f"{name}, memory", found["peak"], "MB at its peak", f"at most {megabytes}", found["peak"] <= megabytes
        )


def labelled(events: Path) -> list[Telling]:
    """The labelled articles, without their dates: they span years within one event."""
    return [
        Telling(headline=article["title"], lead=lead_of(article["description"] or "", article["text"]))
        for article in _articles(events)
    ]


def unrelated(events: Path, count: int) -> list[Telling]:
    with (events / "agnews-noise.csv").open(encoding="utf-8", newline="") as file:
        rows = islice(csv.DictReader(file), count)
        return [Telling(headline=row["title"], lead=lead_of(row["description"], "")) for row in rows]


def bcubed(labels: Sequence[int], gold: Sequence[object]) -> float:
    """F1 over the first len(gold) items; what else a group holds counts against precision (Bagga and Baldwin 1998)."""
    groups: dict[int, set[int]] = defaultdict(set)
    events: dict[object, set[int]] = defaultdict(set)
    for place, label in enumerate(labels):
        groups[label].add(place)
    for place, event in enumerate(gold):
        events[event].add(place)
    shared = [len(groups[labels[place]] & events[event]) for place, event in enumerate(gold)]
    precision = sum(both / len(groups[labels[place]]) for place, both in enumerate(shared)) / len(gold)
    recall = sum(both / len(events[event]) for both, event in zip(shared, gold, strict=True)) / len(gold)
    return 2 * precision * recall / (precision + recall)


def _articles(events: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (events / "g5-dev.jsonl").read_text(encoding="utf-8").splitlines()]


def _in_a_new_process(size: int) -> str:
    """Imports and peak memory can only be told in a process that has done nothing else."""
    command = (sys.executable, "-m", "tests.bench.clusters", str(size))
    return subprocess.run(command, env={**os.environ, **ONE_CORE}, check=True, capture_output=True, text=True).stdout


def _full_stories(size: int) -> list[Telling]:
    """Stories of full length, cut from the articles' bodies at many places: denser than a day's news is."""
    texts = [" ".join(article["text"].split()) for article in _articles(EVENTS)]
    pieces = (
        text[start : start + CUT + 60] for start in range(0, 40_000, 100) for text in texts if len(text) > start + CUT
    )
    return [Telling(headline=piece[:60], lead=piece[60:]) for piece in islice(pieces, size)]


def _measure(size: int) -> dict[str, float]:
    import resource
    import time
    from datetime import UTC, datetime, timedelta

    from digest.picking import pick
    from digest.values import Candidate, Rules, Story

    now = datetime(2025, 3, 6, 6, tzinfo=UTC)
    stories = _full_stories(size)
    assert len(stories) == size
    began = time.process_time()
    import scipy.cluster.hierarchy  # noqa: F401 - what grouping imports, timed on its own
    import sklearn.feature_extraction.text  # noqa: F401 - likewise

    imported = time.process_time()
    candidates = [
        Candidate(
            id=place, cluster=label, seen_at=now - timedelta(minutes=place % 1400), sources=9, page_size=40,
            story=Story(guid="", url="", source=f"s{place % 9}", headline=stories[place].headline, position=place % 40),
        )
        for place, label in enumerate(group(stories))
    ]  # fmt: skip
    pick(candidates, Rules(section="Global"), now=now)
    done = time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"work": done - imported, "all": done - began, "peak": peak}


if __name__ == "__main__":
    print(json.dumps(_measure(int(sys.argv[1]))))
