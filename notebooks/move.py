"""Give a lesson another number, or make room for a new one.

Usage: ``python notebooks/move.py TOPIC NUMBER [--dry-run]``; ``… --gap NUMBER`` makes room there

A lesson's number stands in labkit/data/lessons.toml and in the names of its files. Both change, for
this lesson and for those between; everything else names a lesson by its topic.
"""

import argparse
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent / "labkit" / "data" / "lessons.toml"
ENTRY = re.compile(r"(?:^#.*\n)*^\[\[lessons\]\]$", re.M)
"""Where a lesson begins in the table: with the comments right above it."""

NEXT = """Now: make notebooks, then python .ci/tracks.py.
Outputs that show a number are found by make test: build those lessons with --force."""

Numbers = dict[str, int]
"""Topic to number."""


class MoveError(Exception):
    """What cannot be done, in one sentence."""


def read_numbers(text: str) -> Numbers:
    """The numbers in a table. Usage: ``read_numbers(TABLE.read_text("utf-8"))["lora"]  # 13``"""
    return {row["topic"]: int(row["id"]) for row in tomllib.loads(text)["lessons"]}


def move(numbers: Numbers, topic: str, to: int) -> Numbers:
    """The numbers once a lesson has moved: those between make room, and fill the place it leaves.

    A number that is free is just taken. Raises MoveError for an unknown topic or number.
    """
    if topic not in numbers:
        raise MoveError(f"There is no lesson '{topic}'; there are: {', '.join(numbers)}.")
    _check(numbers, to)
    if to not in numbers.values():
        return numbers | {topic: to}
    old = numbers[topic]
    step, between = (1, range(to, old)) if to < old else (-1, range(old, to + 1))
    shifted = {name: n + step if n in between else n for name, n in numbers.items()}
    return shifted | {topic: to}


def open_gap(numbers: Numbers, at: int) -> Numbers:
    """The numbers with one left free. Raises MoveError for a number that is not there, or free."""
    _check(numbers, at)
    if at not in numbers.values():
        raise MoveError(f"The number {at:02} is free.")
    return {name: n + 1 if n >= at else n for name, n in numbers.items()}


def _check(numbers: Numbers, number: int) -> None:
    last = max(numbers.values())
    if not 0 <= number <= last:
        raise MoveError(f"There is no number {number:02}; the last lesson is {last:02}.")


def write_numbers(text: str, numbers: Numbers) -> str:
    """A table with these numbers, in their order; a comment stays with the lesson below it."""
    starts = [found.start() for found in ENTRY.finditer(text)]
    ends = [*starts[1:], len(text)]
    made = {}
    for entry in (text[a:b].strip() for a, b in zip(starts, ends, strict=True)):
        topic = tomllib.loads(entry)["lessons"][0]["topic"]
        made[numbers[topic]] = re.sub(
            r'^id = ".*"', f'id = "{numbers[topic]:02}"', entry, count=1, flags=re.M
        )
    return text[: starts[0]] + "\n\n".join(made[n] for n in sorted(made)) + "\n"


def list_renames(home: Path, old: Numbers, new: Numbers) -> Iterator[tuple[Path, Path]]:
    """The files of the lessons whose number changes, and what they are called then."""
    for topic, number in new.items():
        for folder in ("source", "en", "zh") if number != old[topic] else ():
            for path in sorted((home / folder).glob(f"{old[topic]:02}_{topic}.*")):
                yield path, path.with_name(f"{number:02}_{topic}{path.suffix}")


def main(words: list[str] | None = None, home: Path = HERE, table: Path = TABLE) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("topic", nargs="?", help="the lesson to move")
    parser.add_argument("number", help="its new number")
    parser.add_argument("--gap", action="store_true", help="leave the number free for a new lesson")
    parser.add_argument("--dry-run", action="store_true", help="say what would change")
    wish = parser.parse_args(words)
    if wish.gap == bool(wish.topic):
        parser.error("name a topic, or --gap")
    text = table.read_text(encoding="utf-8")
    old = read_numbers(text)
    try:
        if not wish.number.isdecimal():
            raise MoveError(f"'{wish.number}' is not the number of a lesson.")
        to = int(wish.number)
        new = open_gap(old, to) if wish.gap else move(old, wish.topic, to)
    except MoveError as error:
        print(error, file=sys.stderr)
        return 1
    renames = list(list_renames(home, old, new))
    for path, target in renames:
        print(f"{path.relative_to(home)} → {target.name}")
    if wish.dry_run or new == old:
        print("Nothing was changed.")
        return 0
    table.write_text(write_numbers(text, new), encoding="utf-8")
    for path, target in renames:
        path.rename(target)
    print(f"{table.name} is written anew.", NEXT, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
