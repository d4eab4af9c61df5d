"""How a project is marked: criteria, points, and the sum.

Usage: ``show_rubric()``; ``mark({"need": "full", "choice": "half"})``
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

from ..catalog import DATA, DataRow, Text
from ..catalog.guides import make_row
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table

Level = Literal["none", "half", "full"]
SHARES = dict(zip(get_args(Level), (0, 0.5, 1), strict=True))


@dataclass(frozen=True)
class RubricCriterion(DataRow):
    """What is looked at. points: for all of it; half, full: what must be there."""

    id: str
    points: int
    name: Text
    half: Text
    full: Text


@dataclass(frozen=True, repr=False)
class Marks(ShowsTable):
    """A project's levels, one for each criterion, and its points."""

    levels: dict[str, Level]

    @property
    def points(self) -> float:
        """The sum over all criteria, at most 100."""
        found: float = sum(c.points * SHARES[self.levels[c.id]] for c in criteria())
        return found

    def table(self) -> Table:
        """As a person reads it."""
        names = {"none": t("missing", "没有"), "half": t("half", "一半"), "full": t("full", "齐全")}
        rows = [
            (str(c.name), names[level], f"{c.points * SHARES[level]:g}/{c.points}")
            for c in criteria()
            for level in [self.levels[c.id]]
        ]
        rows.append((t("Sum", "合计"), "", f"{self.points:g}/{sum(c.points for c in criteria())}"))
        return Table((t("Criterion", "评分项"), t("Level", "程度"), t("Points", "得分")), rows)


@cache
def criteria() -> tuple[RubricCriterion, ...]:
    """The criteria in the order of a project. Usage: ``[c.id for c in criteria()]``"""
    rows = tomllib.loads((DATA / "rubric.toml").read_text(encoding="utf-8"))["criteria"]
    return tuple(make_row(RubricCriterion, row) for row in rows)


def show_rubric() -> Table:
    """The rubric for a reader. Usage: the last line of a cell"""
    header = (
        t("Criterion", "评分项"), t("Points", "分值"), t("Half", "得一半"),
        t("All, if besides", "得满分，还要"),
    )  # fmt: skip
    return Table(
        header, [(str(c.name), str(c.points), str(c.half), str(c.full)) for c in criteria()]
    )


def mark(levels: dict[str, Level]) -> Marks:
    """The points of a project. Usage: ``mark({"need": "full"}).points``

    levels: criterion to "none", "half" or "full"; one left out counts as none. Raises LabError for
    a criterion or a level that the rubric does not have.
    """
    known = [c.id for c in criteria()]
    for id, level in levels.items():
        for value, right in ((id, known), (level, list(SHARES))):
            if value not in right:
                raise LabError(
                    t(f"The rubric has no {value!r}.", f"评分表里没有 {value!r}。"),
                    t(f"Choose from: {', '.join(right)}.", f"可选：{'、'.join(right)}。"),
                )
    return Marks({id: levels.get(id, "none") for id in known})
