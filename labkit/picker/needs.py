"""What a model may be wanted for, and the points that decide: ``labkit/data/needs.toml``, read.

Usage: ``weights()`` shows the whole table. Change a number in the file and the order follows.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from ..catalog import DATA, Text
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import Table


@dataclass(frozen=True)
class Need:
    """What a model is wanted for.

    benchmarks: those whose published scores count. languages: that a model must know. context:
    tokens where the user names none; must_hold: a model with a shorter one is left out even then.
    """

    key: str
    name: Text
    benchmarks: tuple[str, ...]
    languages: tuple[str, ...] = ()
    context: int = 8192
    must_hold: bool = False


@dataclass(frozen=True)
class Criterion:
    """What counts, in words, and its points by need; some are a unit ("each doubling").

    start: GiB from which doublings are counted, for the criteria that count them.
    """

    key: str
    says: Text
    points: Mapping[str, float]
    start: float = 0


@dataclass(frozen=True)
class Thumb:
    """A rule of thumb of the course: what a card of ``vram`` GB runs, in billions of weights."""

    vram: int
    says: Text
    least: float
    most: float


@cache
def _file() -> Mapping[str, Any]:
    return tomllib.loads((DATA / "needs.toml").read_text(encoding="utf-8"))


@cache
def list_needs() -> Mapping[str, Need]:
    """All needs, by key. Usage: ``list_needs()["code"].benchmarks``"""
    found = {}
    for row in _file()["need"]:
        lists = {key: tuple(row.get(key, ())) for key in ("benchmarks", "languages")}
        found[row["key"]] = Need(**{**row, **lists, "name": Text(**row["name"])})
    return found


def find_need(key: str) -> Need:
    """The need of that key. Raises LabError with the list for any other."""
    if key not in list_needs():
        raise LabError(
            t(f"The need '{key}' is not known.", f"没有需求 '{key}'。"),
            t(f"Choose one of: {', '.join(list_needs())}.", f"可选：{'、'.join(list_needs())}。"),
        )
    return list_needs()[key]


@cache
def criteria() -> Mapping[str, Criterion]:
    """All criteria, by key, in the order of the file."""
    return {
        key: Criterion(key, Text(**row["says"]), row["points"], row.get("start", 0))
        for key, row in _file()["criteria"].items()
    }


def rules() -> Mapping[str, float]:
    """The other numbers the picker goes by; the file says what each means."""
    found: Mapping[str, float] = _file()["rules"]
    return found


@cache
def thumbs() -> tuple[Thumb, ...]:
    """The rules of thumb of the course, by memory."""
    return tuple(Thumb(**{**row, "says": Text(**row["says"])}) for row in _file()["thumb"])


@cache
def perplexity_rise() -> Mapping[str, float]:
    """Per cent by which each GGUF type raises perplexity, measured on Llama 3 8B.

    Those above the rule ``coarsest`` are not listed: they are not offered.
    """
    table = _file()["quantization"]
    rises = {quant: 100 * delta / table["f16"] for quant, delta in table["delta"].items()}
    return {quant: rise for quant, rise in rises.items() if rise <= rules()["coarsest"]}


@cache
def tool_callers() -> frozenset[str]:
    """Series, and names of single models, whose tool calls an engine can read."""
    return frozenset([*_file()["tools"]["series"], *_file()["tools"]["models"]])


def weights() -> Table:
    """The table of weights: points for each criterion, by need.

    Usage: ``weights()`` in a notebook, ``print(weights())`` elsewhere.
    """
    rows = [
        (
            str(row.says),
            *(f"{row.points[key]:+g}" if row.points[key] else "·" for key in list_needs()),
        )
        for row in criteria().values()
    ]
    note = t(
        "Points, added up; ten weigh as much as a doubling of size. They are our judgement: "
        "labkit/data/needs.toml.",
        "各项得分相加；10 分相当于规模翻一番。分值是我们的判断，见 labkit/data/needs.toml。",
    )
    return Table((t("What counts", "评分项"), *list_needs()), rows, note)
