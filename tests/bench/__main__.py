"""
`make bench`: one JSON line for each figure, then a table. `make bench BENCH=clusters` runs one module or one group.

Every module here with a GROUP and a `figures()` takes part. Machines are shared and noisy: figures that compare are
ratios measured in alternation within one run.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType

from tests.bench.figure import Figure


def chosen(wanted: str) -> Iterator[tuple[str, ModuleType]]:
    for file in sorted(Path(__file__).parent.glob("*.py")):
        if file.stem.startswith("_") or file.stem == "figure":
            continue
        module = import_module(f"tests.bench.{file.stem}")
        if wanted in {"all", file.stem, getattr(module, "GROUP", "")} and hasattr(module, "figures"):
            yield file.stem, module


def main(wanted: str) -> int:
    measured: list[tuple[str, Figure]] = []
    modules = list(chosen(wanted))
    if not modules:
        print(f"nothing to measure is named {wanted!r}", file=sys.stderr)
        return 2
    for name, module in modules:
        for figure in module.figures():
            measured.append((name, figure))
            print(json.dumps({**asdict(figure), "bench": name}), flush=True)
    print()
    for name, figure in measured:
        verdict = "ok" if figure.ok else "MISSED"
        print(f"{name:<12} {figure.name:<64} {figure.value:>12.4g} {figure.unit:<14} goal {figure.goal:<22} {verdict}")
    return 0 if all(figure.ok for _, figure in measured) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "all"))
