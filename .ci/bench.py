"""Measure on this machine, and write the results into both READMEs between their markers.

Usage: ``python .ci/bench.py`` (or ``make bench``). A measurement is one function that gives a Row;
to add one, write it and name it in MEASUREMENTS.
"""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import median
from time import perf_counter

from labkit.machine import hardware

ROOT = Path(__file__).parents[1]
READMES = {"en": ROOT / "README.md", "zh": ROOT / "README.zh-CN.md"}
MARKED = re.compile(r"(<!-- measured: make bench -->\n).*?(<!-- /measured -->)", re.S)
HEADS = {"en": "| What | Result | Command |", "zh": "| 项目 | 结果 | 命令 |"}


@dataclass(frozen=True)
class Row:
    en: str
    zh: str
    result: str
    command: str


def seconds(*command: str) -> float:
    start = perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - start


def import_time() -> Row:
    """Side by side with a bare start, so that a busy machine slows both alike."""
    python = (sys.executable, "-c")
    extra = median(seconds(*python, "import labkit") - seconds(*python, "pass") for _ in range(15))
    return Row(
        "`import labkit` adds to Python's own start",
        "`import labkit` 比 Python 自身启动多用的时间",
        f"{extra:.3f} s",
        '`python -c "import labkit"`',
    )


def doctor_time() -> Row:
    labkit = Path(sys.executable).with_name("labkit")
    taken = median(seconds(str(labkit), "doctor") for _ in range(5))
    return Row(
        "Looking at this machine and saying what runs on it",
        "检查本机并说明能运行哪些课",
        f"{taken:.2f} s",
        "`labkit doctor`",
    )


def chat_time() -> Row:
    """By tests/bench_chat.py, which asks by turns in the terminal and by a bare script."""
    command = [sys.executable, str(ROOT / "tests" / "bench_chat.py")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    taken = json.loads(done.stdout.splitlines()[-1])
    return Row(
        "`labkit chat`, cold start to last token; a bare script; ratio; the very first run",
        "`labkit chat` 从冷启动到最后一个词元；裸脚本；两者之比；第一次运行",
        "{labkit_chat} s; {bare_script} s; {ratio}; {first_run} s".format_map(taken),
        "`python tests/bench_chat.py`",
    )


MEASUREMENTS: tuple[Callable[[], Row], ...] = (import_time, doctor_time, chat_time)


def main() -> None:
    rows = [measure() for measure in MEASUREMENTS]
    here = hardware()
    where = f"{here.cpu.name}, {here.cpu.usable_cores} cores, Python {here.python}, {date.today()}"
    for language, path in READMES.items():
        lines = [where, "", HEADS[language], "|---|---|---|"]
        lines += [f"| {getattr(row, language)} | {row.result} | {row.command} |" for row in rows]
        table = "\n".join(lines)
        text, found = MARKED.subn(rf"\g<1>{table}\n\g<2>", path.read_text(encoding="utf-8"))
        if found != 1:
            sys.exit(f"{path.name} must hold the two markers of measured results exactly once")
        path.write_text(text, encoding="utf-8")
        print(table)


main()
