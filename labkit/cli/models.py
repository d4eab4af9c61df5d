"""``labkit models``: the catalogue."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.i18n import t
from .console import Json, both, print_json, print_table, say

if TYPE_CHECKING:
    from ..catalog import CatalogModel

HELP = both("List the models of the catalogue.", "列出目录中的模型。")


@dataclass(frozen=True)
class Catalogue:
    """What ``labkit models --json`` prints."""

    models: "tuple[CatalogModel, ...]"


def command(
    course: Annotated[
        bool,
        typer.Option(help=both("List only the models of the lessons.", "只列课程里用到的模型。")),
    ] = False,
    as_json: Json = False,
) -> None:
    from .. import catalog
    from ..core.tables import Table

    chosen = tuple(m for m in catalog.models() if m.course or not course)
    if as_json:
        return print_json(Catalogue(chosen))
    header = (
        t("Model", "模型"), t("Parameters", "参数"), t("active", "激活"), t("Context", "上下文"),
        t("Released", "发布"), t("Successor", "后继"), t("Licence", "许可证"),
    )  # fmt: skip
    rows = [
        (
            m.name + (" *" if m.verification == "unverified" else ""),
            _billions(m.parameters),
            _billions(m.active_parameters) if m.active_parameters < m.parameters else "",
            f"{m.context:,}", m.release_date[:7], m.superseded_by or "",
            " + ".join(row.name for row in catalog.terms(m)),
        )
        for m in chosen
    ]  # fmt: skip
    print_table(Table(header, rows), drop=(6, 5), names=(0, 1, 2, 3, 4, 5))
    say(
        t("* not verified.", "* 未经核实。"),
        catalog.not_legal_advice(),
    )


def _billions(parameters: int) -> str:
    return f"{parameters / 1e9:.2f}B"
