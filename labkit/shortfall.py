"""What to say when no model fits: what is missing, and the nearest thing that would."""

from collections.abc import Iterable, Iterator, Sequence

from .budget import Budget
from .catalog import Model, models
from .errors import LabError
from .fitting import place, quants, size, smallest
from .i18n import t
from .ranking import effective_size
from .running_memory import Estimate
from .units import show_bytes

SHORTEST = 256
"""Tokens: llama.cpp rounds a shorter context up to this."""


def explain_shortfall(least: Sequence[tuple[Model, Estimate]], machine: Budget) -> str:
    """One or more sentences for a reader.

    least: each model that was asked for and its smallest estimate, the smallest first. Looked
    for, in this order: a smaller context, a KV cache in q8_0, RAM beside the card, a smaller model.
    """
    if not least:
        return t(
            "No model of the catalogue has this context, these languages and such a licence. "
            "Ask for less of one of them.",
            "目录中没有同时满足该上下文、语言和许可证的模型，请放宽其中一项。",
        )
    model, e = least[0]
    what = t(
        f"Nothing fits: the smallest, {model.name} in {e.quant} with a context of {e.context:,}, "
        f"takes {show_bytes(e.total)}, and {show_bytes(machine.total)} can be used: "
        f"{show_bytes(e.total - machine.total)} are missing.",
        f"没有放得下的模型：最小的 {model.name}（{e.quant}，上下文 {e.context:,}）"
        f"需要 {show_bytes(e.total)}，可用 {show_bytes(machine.total)}，"
        f"还差 {show_bytes(e.total - machine.total)}。",
    )
    ways = list(_ways([m for m, _ in least], e, machine))
    if not ways:
        tiny = min((smallest(m, SHORTEST) for m in models()), key=lambda x: x.total)
        least_of_all = f"{tiny.model} {tiny.quant}"
        return what + t(
            f" Even the smallest of the catalogue, {least_of_all}, takes {show_bytes(tiny.total)}.",
            f"目录中最小的 {least_of_all} 也要 {show_bytes(tiny.total)}。",
        )
    return what + t(" What would fit: ", "可行的办法：") + t("; ", "；").join(ways) + t(".", "。")


def _ways(chosen: list[Model], e: Estimate, machine: Budget) -> Iterator[str]:
    context = e.context // 2
    while context >= SHORTEST:
        if found := _first_fit(chosen, context, machine):
            yield t(
                f"a context of {context:,} ({found.model} in {found.quant})",
                f"把上下文减到 {context:,}（{found.model}，{found.quant}）",
            )
            break
        context //= 2
    if found := _with_small_cache(chosen, e.context, machine):
        yield t(
            f"a KV cache in q8_0 ({found.model} in {found.quant}, --cache-type-k q8_0 "
            "--cache-type-v q8_0)",
            f"KV 缓存改用 q8_0（{found.model}，{found.quant}，"
            "--cache-type-k q8_0 --cache-type-v q8_0）",
        )
    if machine.vram and machine.ram is None and not machine.unified:
        missing = show_bytes(e.total - machine.total)
        yield t(
            f"{missing} of free RAM beside the card, for the layers that do not fit (offload)",
            f"另有 {missing} 空闲内存，放下显存装不下的层（offload）",
        )
    asked = {m.name for m in chosen}
    others = [m for m in models() if m.name not in asked]
    fitting = [m for m in others if _first_fit([m], min(e.context, m.context), machine)]
    if fitting:
        best = max(fitting, key=effective_size)
        yield t(
            f"{best.name}, which is smaller or meets less of what was asked",
            f"换用 {best.name}（更小，或不满足全部要求）",
        )


def _first_fit(chosen: Iterable[Model], context: int, machine: Budget) -> Estimate | None:
    """The first in its best GGUF type that fits."""
    for model in chosen:
        for quant in quants(model):
            if size(model, quant, context).total <= machine.total:
                if placed := place(model, quant, context, machine):
                    return placed
    return None


def _with_small_cache(chosen: Iterable[Model], context: int, machine: Budget) -> Estimate | None:
    """The first that fits with its KV cache in q8_0; some heads do not divide into its blocks."""
    for model in chosen:
        quant = smallest(model, context).quant
        try:
            e = size(model, quant, context, "q8_0")
        except LabError:
            continue
        if e.total <= (machine.ram or 0) or e.total <= machine.vram * machine.gpus:
            return e
    return None
