"""Why a model is on the list, and what speaks against it: sentences, from facts and points."""

from ..catalog import CatalogModel, License, find
from ..core.i18n import t
from ..core.units import show_bytes
from ..estimation.inference_memory import Estimate
from .needs import Need, find_need, perplexity_rise, rules
from .ranking import Standing, has_tools, lesson_of, licence, standings, terms_of

COARSE = 5
"""Per cent more perplexity from which a quantization is named as a reason against."""


def reasons_for(model: CatalogModel, need: Need, placed: Estimate) -> tuple[str, ...]:
    """What speaks for a model, the most telling first."""
    reasons = []
    if model.specialty == need.key:
        reasons.append(t(f"made for {need.name}", f"专为{need.name}训练"))
    reasons += [_score(s) for s in standings(model.name, need.key) if (s.above or 0) >= 0][:2]
    if not model.superseded_by:
        when = model.release_date[:7]
        reasons.append(t(f"the newest of its line ({when})", f"同系列中最新（{when}）"))
    if lesson := lesson_of(model.family):
        reasons.append(t(f"lesson {lesson} explains its family", f"第 {lesson} 课讲解它的家族"))
    if model.active_parameters < 0.9 * model.parameters:
        active, total = model.active_parameters / 1e9, model.parameters / 1e9
        reasons.append(
            t(
                f"{active:.1f} of {total:.1f} billion parameters work on a token: quick",
                f"每个词元只用 {total:.1f}B 中的 {active:.1f}B 参数，速度快",
            )
        )
    if need.key == "chinese" and "zh" in model.languages:
        reasons.append(t("its maker lists Chinese", "发布者明确支持中文"))
    if need.key in ("tools", "code") and has_tools(model):
        reasons.append(t("engines read its tool calls", "推理引擎能解析它的工具调用"))
    if need.key in ("math", "code") and model.thinking:
        reasons.append(t("can reason before it answers", "能先推理再回答"))
    if need.key == "long-context" or model.context >= 2**17:
        reasons.append(
            t(f"reads up to {model.context:,} tokens", f"最多可读 {model.context:,} 个词元")
        )
    if licence(model) == "yes":
        name = terms_of(model.name)[0].name
        reasons.append(t(f"{name}: commercial use allowed", f"{name}：可以商用"))
    if placed.n_gpu_layers and placed.n_gpu_layers == placed.n_layers:
        reasons.append(t("all of it on the GPU", "全部放得进显存"))
    return tuple(reasons)


def reasons_against(
    model: CatalogModel, need: Need, placed: Estimate, unknown_speed: bool
) -> tuple[str, ...]:
    """What speaks against a model, and what is not known of it."""
    reasons = []
    published = standings(model.name, need.key)
    if not published:
        reasons.append(
            t(
                f"no published score for {need.name} in our catalogue: ranked by the stated rules",
                f"目录中没有“{need.name}”方面的公开评测分数，只按规则排序",
            )
        )
    reasons += [_score(s) for s in published if s.above is not None and s.above < 0][:2]
    if model.specialty not in ("general", need.key):
        other = find_need(model.specialty).name
        reasons.append(t(f"made for {other}", f"专为{other}训练"))
    if model.base_only:
        reasons.append(
            t(
                "no chat model of it was published: it continues texts",
                "没有发布对话版，只会续写",
            )
        )
    if model.native_context and placed.context > model.native_context:
        native = model.native_context
        reasons.append(
            t(f"needs YaRN beyond {native:,} tokens", f"超过 {native:,} 个词元需要开启 YaRN")
        )
    rise = perplexity_rise().get(placed.quant, 0)
    if rise >= COARSE:
        reasons.append(
            t(
                f"{placed.quant} is coarse: perplexity up {rise:.0f}% (measured on Llama 3 8B)",
                f"{placed.quant} 较粗：困惑度上升 {rise:.0f}%（在 Llama 3 8B 上测得）",
            )
        )
    layers = placed.n_gpu_layers
    if layers is not None and 0 < layers < placed.n_layers and placed.in_ram:
        reasons.append(
            t(
                f"only {layers} of {placed.n_layers} layers on the GPU, "
                f"{show_bytes(placed.in_ram)} in RAM: slower",
                f"显存只放得下 {placed.n_layers} 层中的 {layers} 层，"
                f"其余 {show_bytes(placed.in_ram)} 在内存，较慢",
            )
        )
    reasons += [_conditions(row) for row in terms_of(model.name) if row.commercial != "yes"]
    if model.thinking == "always" and need.key not in ("math", "code"):
        reasons.append(t("always reasons first: answers take long", "总要先推理，出答案慢"))
    if model.superseded_by:
        successor = find(model.superseded_by)
        larger = successor.parameters > rules()["heir_size"] * model.parameters
        reasons.append(
            t(f"superseded by {successor.name}", f"已有后继 {successor.name}")
            + (t(", which is larger", "，但规模更大") if larger else "")
        )
    for language in need.languages:
        if language not in model.languages:
            reasons.append(
                t(f"its maker does not list '{language}'", f"发布者没有列出语言 '{language}'")
            )
    if not model.gguf:
        reasons.append(
            t(
                "no GGUF repository in our catalogue: make the file",
                "目录中没有 GGUF 仓库，需自己转换",
            )
        )
    if model.verification == "unverified":
        reasons.append(t("its architecture is unverified", "结构信息未经核实"))
    if unknown_speed:
        reasons.append(t("speed unknown for this machine", "本机速度未知"))
    return tuple(reasons)


def _score(standing: Standing) -> str:
    s = standing.score
    if standing.above is None:
        return t(
            f"{s.benchmark} {s.score:g}, published; nothing of its size measured the same way",
            f"{s.benchmark} 公开分数 {s.score:g}，没有同一测法下规模相近的模型可比",
        )
    side = t("above", "高") if standing.above >= 0 else t("below", "低")
    gap = abs(standing.above)
    return t(
        f"{s.benchmark} {s.score:g}: {gap:.1f} {side} the median of {standing.peers} of its size",
        f"{s.benchmark} {s.score:g}：比 {standing.peers} 个规模相近模型的中位数{side} {gap:.1f}",
    )


def _conditions(row: License) -> str:
    if row.commercial == "no":
        return t(f"{row.name}: no commercial use", f"{row.name}：不可商用")
    return t(f"{row.name}: {row.conditions.en}", f"{row.name}：{row.conditions.zh}")
