"""What to say when no model fits: what is missing, and the nearest thing that would."""

from collections.abc import Iterable, Iterator, Sequence

from ..catalog import CatalogModel, models
from ..core.errors import LabError
from ..core.i18n import t
from ..core.units import show_bytes
from ..estimation.inference_memory import Estimate
from .available_memory import AvailableMemory
from .fit import place, quants, size, smallest
from .ranking import effective_size, replaced_by

SHORTEST = 256
"""Tokens: llama.cpp rounds a shorter context up to this."""


def explain_shortfall(
    least: Sequence[tuple[CatalogModel, Estimate]], machine: AvailableMemory
) -> str:
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
    missing = e.total - machine.total
    short = t(f"{show_bytes(missing)} are missing.", f"还差 {show_bytes(missing)}。")
    parted = t(
        "it does not divide between GPU and RAM, or between the GPUs.",
        "但显存与内存之间（或几块显卡之间）分不开。",
    )
    what = t(
        f"Nothing fits. With a context of {e.context:,} the smallest, {model.name} in {e.quant}, "
        f"takes {show_bytes(e.total)}, and {show_bytes(machine.total)} can be used: ",
        f"都放不下。上下文 {e.context:,} 时，最小的 {model.name}（{e.quant}）"
        f"也要 {show_bytes(e.total)}，可用的有 {show_bytes(machine.total)}，",
    ) + (short if missing > 0 else parted)
    ways = list(_ways([m for m, _ in least], e, machine))
    if not ways:
        tiny = min((smallest(m, SHORTEST) for m in models()), key=lambda x: x.total)
        takes = show_bytes(tiny.total)
        return what + t(
            f" Even the smallest of the catalogue, {tiny.model} in {tiny.quant}, takes {takes} "
            f"with a context of {SHORTEST}.",
            f"就算是目录中最小的 {tiny.model}（{tiny.quant}），上下文只开 {SHORTEST}，"
            f"也要 {takes}。",
        )
    listed = t("; or ", "；或者").join(ways)
    return what + t(f" What would fit: {listed}.", f"可行的办法：{listed}。")


def _ways(chosen: list[CatalogModel], e: Estimate, machine: AvailableMemory) -> Iterator[str]:
    context = e.context // 2
    while context >= SHORTEST:
        if found := _first_fit(chosen, context, machine):
            yield t(
                f"a context of {context:,} ({found.model} in {found.quant})",
                f"把上下文缩短到 {context:,}（{found.model}，{found.quant}）",
            )
            break
        context //= 2
    if found := _with_small_cache(chosen, e.context, machine):
        yield t(
            f"a KV cache in q8_0 ({found.model} in {found.quant}, --cache-type-k q8_0 "
            "--cache-type-v q8_0)",
            f"把 KV 缓存改成 q8_0（{found.model}，{found.quant}，"
            "--cache-type-k q8_0 --cache-type-v q8_0）",
        )
    if machine.vram and machine.ram is None and not machine.unified:
        parted = size(chosen[0], e.quant, e.context, vram=machine.vram, gpus=machine.gpus)
        missing = show_bytes(parted.in_ram or 0)
        yield t(
            f"{missing} of free RAM beside the card, for the layers that do not fit (offload)",
            f"再有 {missing} 空闲内存，用来放显存装不下的层（offload，卸载）",
        )
    asked = {m.name for m in chosen}
    others = [m for m in models() if m.name not in asked]
    fitting = [m for m in others if _first_fit([m], min(e.context, m.context), machine)]
    if fitting:
        best = max(fitting, key=effective_size)
        yield t(
            f"{best.name}, though it {_lacks(best, e.context)}",
            f"换用 {best.name}，只是{_lacks(best, e.context)}",
        )


def _lacks(model: CatalogModel, context: int) -> str:
    """Why a model that fits was not among those asked for."""
    if model.context < context:
        return t(f"reads only {model.context:,} tokens", f"它最多读 {model.context:,} 个词元")
    if newer := replaced_by(model):
        return t(f"is older than {newer.name}", f"它比 {newer.name} 旧")
    return t(
        "does not meet the languages, the licence or the choice of the course's models",
        "它不满足语言、许可证或“课程模型”的要求",
    )


def _first_fit(
    chosen: Iterable[CatalogModel], context: int, machine: AvailableMemory
) -> Estimate | None:
    """The first in its best GGUF type that fits."""
    for model in chosen:
        for quant in quants(model):
            if size(model, quant, context).total <= machine.total:
                if placed := place(model, quant, context, machine):
                    return placed
    return None


def _with_small_cache(
    chosen: Iterable[CatalogModel], context: int, machine: AvailableMemory
) -> Estimate | None:
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
