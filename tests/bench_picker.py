"""How long ranking takes: the whole catalogue, every GGUF type, four contexts.

Usage: ``python tests/bench_picker.py``. Seconds of this process; the goal is 1 s for the first
pass and 0.05 s for each after it, also where the memory has changed in between.
"""

from time import process_time

from labkit import picker
from labkit.budget import type_budget
from labkit.catalog import models
from labkit.fitting import quants
from labkit.needs import find_need

CONTEXTS = (4096, 8192, 32768, 131072)


def rank_all(vram: float) -> int:
    """Options found over all contexts."""
    machine, need = type_budget(vram, None), find_need("best")
    return sum(len(picker.rank(models(), need, machine, context)) for context in CONTEXTS)


def main() -> None:
    estimates = sum(len(quants(model)) for model in models()) * len(CONTEXTS)
    print(f"{len(models())} models, {estimates} estimates")
    for name, vram in (("first pass", 24), ("again", 24), ("8 GB", 8), ("80 GB", 80)):
        start = process_time()
        found = rank_all(vram)
        print(f"{name:12} {process_time() - start:7.3f} s  {found} options")


if __name__ == "__main__":
    main()
