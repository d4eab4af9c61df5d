"""The course's rules of thumb beside the arithmetic: what a card of so many GB really runs.

Usage: ``compare_rules()`` shows both in a notebook.
"""

from dataclasses import dataclass

from ..catalog import CatalogModel, models
from ..core.i18n import t
from ..core.tables import Table
from .available_memory import AvailableMemory, type_memory
from .fit import place, quants
from .needs import thumbs
from .picks import todays_models

QUANT, CONTEXT = "Q4_K_M", 4096
"""What "quantized" is taken to mean, and the context of the course's oldest models."""


@dataclass(frozen=True)
class RuleCheck:
    """One rule and what the arithmetic says, at Q4_K_M and a context of 4,096 tokens.

    holds: every dense model of the course in the rule's range fits, and none larger does.
    largest: the largest dense model of the course that fits; today: of today's models. next_up:
    the smallest of the course beyond the rule; next_quant: the finest GGUF type in which it fits
    all the same, None for none.
    """

    vram: int
    rule: str
    holds: bool
    largest: str
    today: str
    next_up: str
    next_quant: str | None


def check_rules() -> tuple[RuleCheck, ...]:
    """Every rule of thumb, checked on the catalogue.

    Usage: ``[check.holds for check in check_rules()]``
    """
    course = [m for m in models() if m.course and _is_dense(m)]
    today = [m for m in todays_models() if _is_dense(m)]
    checks = []
    for thumb in thumbs():
        machine = type_memory(thumb.vram, None)
        meant = [m for m in course if thumb.least <= m.parameters / 1e9 <= thumb.most]
        beyond = [m for m in course if m.parameters / 1e9 > thumb.most]
        largest = _largest(course, machine)
        next_up = min(beyond, key=lambda m: m.parameters)
        checks.append(
            RuleCheck(
                vram=thumb.vram,
                rule=str(thumb.says),
                holds=all(_fits(m, QUANT, machine) for m in meant) and largest not in beyond,
                largest=largest.name,
                today=_largest(today, machine).name,
                next_up=next_up.name,
                next_quant=next((q for q in quants(next_up) if _fits(next_up, q, machine)), None),
            )
        )
    return tuple(checks)


def compare_rules() -> Table:
    """The same as a table for a reader."""
    header = (
        t("Rule of thumb", "经验法则"),
        t("Holds?", "成立？"),
        t("Largest of the course", "课程中放得下的最大模型"),
        t("Largest of today", "当今放得下的最大模型"),
        t("The next size up", "再大一档"),
    )
    rows = []
    for check in check_rules():
        fits = check.next_quant or t("does not fit", "放不下")
        holds = t("yes", "是") if check.holds else t("not quite", "不完全")
        rows.append((check.rule, holds, check.largest, check.today, f"{check.next_up}: {fits}"))
    note = t(
        f"Dense models, {QUANT}, context {CONTEXT:,}, everything on the GPU.",
        f"稠密模型，{QUANT}，上下文 {CONTEXT:,}，全部放在显存。",
    )
    return Table(header, rows, note)


def _is_dense(model: CatalogModel) -> bool:
    return model.active_parameters == model.parameters


def _largest(some: list[CatalogModel], machine: AvailableMemory) -> CatalogModel:
    return max((m for m in some if _fits(m, QUANT, machine)), key=lambda m: m.parameters)


def _fits(model: CatalogModel, quant: str, machine: AvailableMemory) -> bool:
    return place(model, quant, CONTEXT, machine) is not None
