"""Rebuild and measure pocket models: ``python -m labkit.pocket.recipe [NAME …] [--measure]``."""

import argparse
import sys
import time
from pathlib import Path

import torch

from ...core.cache import cache_folder
from ...core.errors import LabError
from ...core.progress import show_progress
from .families import FAMILIES, FamilyRecipe
from .report import report, write_scores
from .training import WEIGHTS, train

STEPS_TIMED = 20


def main() -> int:
    """Train the named models (all, if none is named), or measure those that are there."""
    parser = argparse.ArgumentParser(prog="python -m labkit.pocket.recipe", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--measure", action="store_true", help="measure them, train nothing")
    parser.add_argument("--work", type=Path, help="folder for checkpoints")
    parser.add_argument("--threads", type=int, help="processor threads to use")
    wish = parser.parse_args()
    unknown = [name for name in wish.names if name not in FAMILIES]
    if unknown:
        parser.error(f"{unknown[0]!r} is not one of {', '.join(FAMILIES)}")
    if wish.threads:
        torch.set_num_threads(wish.threads)
    names = wish.names or list(FAMILIES)
    try:
        if wish.measure:
            report(names)
        else:
            work = wish.work or cache_folder() / "pocket"
            work.mkdir(parents=True, exist_ok=True)
            for name in names:
                _train_one(FAMILIES[name], work)
    except LabError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run it again to go on from the last checkpoint.", file=sys.stderr)
        return 130
    return 0


def _train_one(family: FamilyRecipe, work: Path) -> None:
    if family.parent and not (WEIGHTS / family.parent / "config.json").exists():
        raise LabError(
            f"'{family.name}' starts from '{family.parent}', which is not trained yet.",
            f"Run: python -m labkit.pocket.recipe {family.parent} {family.name}",
        )
    began, first = time.monotonic(), 0
    with show_progress(family.steps, family.name) as bar:

        def show(step: int, loss: float) -> None:
            nonlocal first
            first = first or step - 1
            bar.advance(step - bar.done)
            bar.note(f"loss {loss:.3f}")
            if step - first == STEPS_TIMED:
                left = (family.steps - step) * (time.monotonic() - began) / STEPS_TIMED
                print(f"{family.name}: about {left / 60:.0f} more minutes on this machine")

        folder = train(family, work, show)
    seconds = round(time.monotonic() - began)
    if first == 0:  # an unbroken run
        write_scores(family.name, {"steps": family.steps, "seconds": seconds})
    print(f"{family.name}: {seconds} s, in {folder}")


if __name__ == "__main__":
    sys.exit(main())
