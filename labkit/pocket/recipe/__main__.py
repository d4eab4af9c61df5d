"""Rebuild pocket models from nothing: ``python -m labkit.pocket.recipe [NAME …]``."""

import argparse
import time
from pathlib import Path

import torch

from ...errors import LabError
from ...machine import cache_folder
from ...progress import show_progress
from .families import FAMILIES, Family
from .training import WEIGHTS, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m labkit.pocket.recipe", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(FAMILIES)}")
    parser.add_argument("--work", type=Path, help="folder for checkpoints")
    parser.add_argument("--threads", type=int, help="processor threads to use")
    wish = parser.parse_args()
    unknown = [name for name in wish.names if name not in FAMILIES]
    if unknown:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(FAMILIES)}")
    if wish.threads:
        torch.set_num_threads(wish.threads)
    work = wish.work or cache_folder() / "pocket"
    work.mkdir(parents=True, exist_ok=True)
    for name in wish.names or FAMILIES:
        _train_one(FAMILIES[name], work)


def _train_one(family: Family, work: Path) -> None:
    if family.parent and not (WEIGHTS / family.parent).exists():
        raise LabError(f"{family.name} starts from {family.parent}.", "Train that one first.")
    print(f"{family.name}: {family.steps} steps")
    began = time.monotonic()
    with show_progress(family.steps, family.name) as bar:
        done = 0

        def report(step: int, loss: float) -> None:
            nonlocal done
            bar.advance(step - done)
            done = step
            if step % 20 == 0:
                print(f"{step} {loss:.4f} {time.monotonic() - began:.0f}s", flush=True)

        folder = train(family, work, report)
    print(f"{family.name}: {time.monotonic() - began:.0f} s, in {folder}")


if __name__ == "__main__":
    main()
