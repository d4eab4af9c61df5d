"""How long ranking takes: the whole catalogue, four contexts, every GGUF type.

Usage: ``python tests/benchmarks/bench_picker.py``. Prints a table and one line of JSON, in CPU
seconds. The goal is 1 s for the first pass, the reading of the catalogue included, and 0.05 s for
each after it, where the memory has changed each time, with and without RAM for the layers that do
not fit.

Two turns, each in a fresh process: the types that the picker offers, those whose loss was measured;
and all that llama.cpp can make, as if each of them were offered.
"""

import json
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import process_time

CONTEXTS = (4096, 8192, 32768, 131072)
START = "import json, bench_picker; print(json.dumps(bench_picker.turn({every})))"


def turn(every: bool) -> dict[str, float]:
    """One process: the first pass, and the slowest and the median of later ones."""
    start = process_time()
    from labkit.catalog import models
    from labkit.gguf.quant_types import FILE_TYPES
    from labkit.picker import fit, picks
    from labkit.picker.available_memory import type_memory
    from labkit.picker.needs import list_needs

    if every:
        fit.quants = lambda model: tuple(FILE_TYPES)

    def rank_all(need: str, vram: float, ram: float | None = None) -> int:
        machine, wanted = type_memory(vram, ram), list_needs()[need]
        return sum(len(picks.rank(models(), wanted, machine, n)) for n in CONTEXTS)

    options = rank_all("best", 24)
    first, later = process_time() - start, []
    for vram, ram in ((8, None), (8, 16), (16, 32), (24, 64), (48, None), (80, 128)):
        start = process_time()
        rank_all("best", vram, ram)
        later.append(process_time() - start)
    return {
        "models": len(models()),
        "types": len({q for model in models() for q in fit.quants(model)}),
        "estimates": sum(len(fit.quants(model)) for model in models()) * len(CONTEXTS),
        "options": options,
        "first": round(first, 3),
        "later": round(median(later), 3),
        "worst_later": round(max(later), 3),
    }


def measure() -> dict[str, dict[str, float]]:
    found = {}
    for name, every in (("offered", False), ("every", True)):
        code = START.format(every=every)
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=Path(__file__).parent,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        found[name] = json.loads(done.stdout)
    return found


def main() -> None:
    found = measure()
    print(f"{'GGUF types':20}{'estimates':>10}{'first, s':>10}{'later, s':>10}{'worst':>8}")
    for says, one in zip(("that are offered", "that there are"), found.values(), strict=True):
        print(
            f"{one['types']:>3} {says:16}{one['estimates']:>10}"
            f"{one['first']:>10.3f}{one['later']:>10.3f}{one['worst_later']:>8.3f}"
        )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
