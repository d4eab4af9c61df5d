"""What the course says of the world around models: trade-offs, rules, threats, places; dated.

Usage: ``print(show_tradeoffs())``; ``[row.name for row in regulations() if row.place == "EU"]``

The lines stand in ``labkit/data``: ``tradeoffs.toml``, ``regulations.toml``, ``threats.toml``,
``communities.toml``; each names its source.
Rules are our short reading on the day named, and not legal advice.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

from ..core.i18n import t
from ..core.tables import Table
from .lessons import fill_numbers, fill_text, number_of
from .reader import DATA
from .schema import DataRow, Text


@dataclass(frozen=True)
class Tradeoff(DataRow):
    """One aspect of open weights against a closed API. better: who is ahead in it."""

    aspect: Text
    open: Text
    closed: Text
    better: Literal["open", "closed", "depends"]
    source: str
    as_of: str


@dataclass(frozen=True)
class Regulation(DataRow):
    """A rule. place: ISO 3166, or EU. since: the day it applies from. touches: whom.

    secondary: what it says, or part of it, was read in a report and not in the text of the rule.
    """

    place: Literal["EU", "CN"]
    name: Text
    since: str
    asks: Text
    touches: Text
    source: str
    as_of: str
    secondary: bool = False


@dataclass(frozen=True)
class Threat(DataRow):
    """What goes wrong, by OWASP's number. measure: what helps.

    lesson: topic of the one that shows it, or "".
    """

    key: str
    name: Text
    what: Text
    measure: Text
    lesson: str
    source: str
    as_of: str


@dataclass(frozen=True)
class Community(DataRow):
    """A place to go on. kind: to ask, to learn, to find models, to use a machine."""

    name: str
    kind: Literal["community", "learning", "models", "machines"]
    says: Text
    languages: tuple[str, ...]
    url: str
    source: str
    as_of: str


FILES: dict[type[DataRow], str] = {
    Tradeoff: "tradeoffs.toml",
    Regulation: "regulations.toml",
    Threat: "threats.toml",
    Community: "communities.toml",
}
"""Class to its file; the table in it bears the name of the class."""

R = TypeVar("R", bound=DataRow)


@cache
def _rows(kind: type[R]) -> tuple[R, ...]:
    file = tomllib.loads((DATA / FILES[kind]).read_text(encoding="utf-8"))
    lines = file[kind.__name__.lower()]
    return tuple(make_row(kind, line) for line in lines)


def make_row(kind: type[R], line: dict[str, Any]) -> R:
    """A line of a data file as its class: a list as tuple, ``{en, zh}`` as Text.

    Usage: ``make_row(Threat, {"key": "LLM01", …})``. A lesson that the words name as ``[[topic]]``
    gets its number. Raises TypeError for a field it lacks.
    """
    return kind(**{key: _frozen(value) for key, value in line.items()})


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict):
        return fill_text(value)
    return fill_numbers(value) if isinstance(value, str) else value


def tradeoffs() -> tuple[Tradeoff, ...]:
    """Where closed is better, where open is, and where it depends.

    Usage: ``[str(row.aspect) for row in tradeoffs() if row.better == "closed"]``
    """
    return _rows(Tradeoff)


def regulations(place: str | None = None) -> tuple[Regulation, ...]:
    """Rules of the EU and of China, or of one of them, by the day they apply from.

    Usage: ``regulations("CN")``
    """
    found = (row for row in _rows(Regulation) if place in (None, row.place))
    return tuple(sorted(found, key=lambda row: (row.place, row.since)))


def communities(kind: str | None = None) -> tuple[Community, ...]:
    """Places to ask, to learn, to find models and to use a machine; or those of one kind.

    Usage: ``[place.url for place in communities("learning")]``
    """
    return tuple(row for row in _rows(Community) if kind in (None, row.kind))


def threats() -> tuple[Threat, ...]:
    """What goes wrong with applications built on models, from OWASP's list of 2025.

    Usage: ``[row.key for row in threats() if row.lesson == "adopt"]``
    """
    return _rows(Threat)


def show_threats() -> Table:
    """The threats for a reader. Usage: the last line of a cell"""
    header = (
        "OWASP", t("Threat", "威胁"), t("What happens", "会发生什么"),
        t("What helps", "怎么应对"), t("Lesson", "课"),
    )  # fmt: skip
    rows = [
        (row.key, str(row.name), str(row.what), str(row.measure), number_of(row.lesson))
        for row in threats()
    ]
    newest = max(row.as_of for row in threats())
    note = t(
        f"After OWASP, Top 10 for LLM Applications 2025 (genai.owasp.org, {newest}); our words.",
        f"依据 OWASP 大模型应用十大风险 2025 版（genai.owasp.org，{newest}），由我们转述。",
    )
    return Table(header, rows, note)


def show_tradeoffs() -> Table:
    """Open against closed for a reader, with sources. Usage: the last line of a cell"""
    header = (
        "", t("Open weights, your machine", "开源权重，自己的机器"), t("Closed API", "闭源 API"),
        t("Ahead", "谁占优"), t("Source", "来源"),
    )  # fmt: skip
    ahead = {
        "open": t("open", "开源"), "closed": t("closed", "闭源"), "depends": t("depends", "看情况"),
    }  # fmt: skip
    rows = [
        (
            str(row.aspect), str(row.open), str(row.closed), ahead[row.better],
            f"{row.source}, {row.as_of}",
        )
        for row in tradeoffs()
    ]  # fmt: skip
    return Table(header, rows)


def show_regulations(place: str | None = None) -> Table:
    """The rules for a reader. Usage: ``show_regulations("EU")``"""
    header = (
        t("Where", "地区"), t("Rule", "规定"), t("From", "起始"), t("Asks", "要求"),
        t("Whom", "对象"), t("Source, read on", "来源与查阅日期"),
    )  # fmt: skip
    rows = [
        (
            row.place, str(row.name), row.since, str(row.asks), str(row.touches),
            (t("secondary source: ", "二手来源：") if row.secondary else "")
            + f"{row.source}; {row.as_of}",
        )
        for row in regulations(place)
    ]  # fmt: skip
    note = t(
        "Our short reading, not legal advice; ask a lawyer before you rely on it.",
        "以上是我们的简要理解，不构成法律意见；作为依据之前请咨询律师。",
    )
    return Table(header, rows, note)


def show_communities() -> Table:
    """Where to go on, for a reader. Usage: the last line of a cell"""
    header = (
        t("What for", "用途"), t("Place", "去处"), t("What it is", "简介"),
        t("Languages", "语言"), t("Address", "网址"), t("Source, read on", "来源与查阅日期"),
    )  # fmt: skip
    kinds = {
        "community": t("ask", "提问"), "learning": t("learn", "学习"),
        "models": t("models", "找模型"), "machines": t("machines", "用机器"),
    }  # fmt: skip
    rows = [
        (
            kinds[row.kind], row.name, str(row.says), " ".join(row.languages), row.url,
            f"{row.source}; {row.as_of}",
        )
        for row in communities()
    ]  # fmt: skip
    return Table(header, rows)
