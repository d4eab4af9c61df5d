"""Points for a model and a need: each criterion of ``labkit/data/needs.toml``, computed.

Usage: ``points_of("Qwen3-8B", "code", 8192)["size"]``
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from math import log2, sqrt
from statistics import median

from ..catalog import BenchmarkScore, CatalogModel, License, families, find, models, scores, terms
from ..catalog.lessons import number_of
from ..core.units import GiB
from .needs import Need, criteria, find_need, perplexity_rise, rules, tool_callers


@dataclass(frozen=True)
class Standing:
    """A published score beside those of models of half to twice the size, measured the same way.

    above: per cent over their median; None where none was measured with it.
    """

    score: BenchmarkScore
    peers: int
    above: float | None


def effective_size(model: CatalogModel) -> float:
    """√(all × active) parameters, in billions: a rule of thumb for mixtures of experts.

    Usage: ``effective_size(find("Mixtral-8x7B"))  # 24.5``. Gemma's tables of embeddings for every
    layer, of which a token reads one row each, are left out, as its maker does ("E4B").
    """
    c = model.config
    rows = c.get("vocab_size_per_layer_input", 0) * c.get("hidden_size_per_layer_input", 0)
    lookup = rows * model.num_hidden_layers
    return sqrt((model.parameters - lookup) * (model.active_parameters - lookup)) / 1e9


def replaced_by(model: CatalogModel) -> CatalogModel | None:
    """The newer model of its line that is at most a quarter larger, for which it is left out."""
    newer = model
    while newer.superseded_by:
        newer = find(newer.superseded_by)
        if newer.parameters <= rules()["heir_size"] * model.parameters:
            return newer
    return None


def has_tools(model: CatalogModel) -> bool:
    """Whether an engine reads this model's tool calls; needs.toml lists them with the source."""
    return not tool_callers().isdisjoint((model.series, model.name))


@cache
def standings(name: str, need: str) -> tuple[Standing, ...]:
    """Published scores of a model that count for a need; scores from memory do not count.

    Scores are compared only within one source, protocol, benchmark and variant.
    """
    wanted = find_need(need).benchmarks
    mine = [s for s in scores() if s.model == name and s.benchmark in wanted and not s.unverified]
    return tuple(_standing(score) for score in mine)


def _standing(score: BenchmarkScore) -> Standing:
    size = _sizes()[score.model]
    peers = [
        other.score
        for other in scores()
        if _measured(other) == _measured(score)
        and other.model in _sizes()
        and size / 2 <= _sizes()[other.model] <= 2 * size
        and _is_peer(find(other.model), find(score.model))
    ]
    return Standing(score, len(peers), score.score - median(peers) if peers else None)


def _is_peer(other: CatalogModel, model: CatalogModel) -> bool:
    """Another model, and not another generation of its own family: for that there is its age."""
    return other.name != model.name and (
        other.family != model.family or other.series == model.series
    )


def _measured(score: BenchmarkScore) -> tuple[str | None, ...]:
    return score.source, score.protocol, score.benchmark, score.variant


@cache
def _sizes() -> Mapping[str, float]:
    return {m.name: effective_size(m) for m in models()}


@cache
def _newest() -> float:
    return max(_year(m.release_date) for m in models())


def _year(iso: str) -> float:
    day = date.fromisoformat(iso if len(iso) == 10 else f"{iso}-01")
    return day.year + (day.timetuple().tm_yday - 1) / 365.25


@cache
def country(name: str) -> str:
    """Where the reading of a model was done: of the maker of what it was made from.

    Usage: ``country("DeepSeek-R1-Distill-Llama-70B")  # "US"``
    """
    model = find(name)
    while base := next((m for m in models() if m.name == model.base), None):
        model = base
    return next(family.country for family in families() if family.key == model.family)


@cache
def lesson_of(family: str) -> str | None:
    """The number of the lesson that explains a family; None where none does."""
    return next(number_of(row.lesson) for row in families() if row.key == family) or None


@cache
def terms_of(name: str) -> tuple[License, ...]:
    """The licences that hold for the model of that name."""
    return terms(find(name))


def licence(model: CatalogModel) -> str:
    """The strictest word on commercial use of the licences that hold: yes, conditions or no."""
    order = ("yes", "conditions", "no")
    return max((row.commercial for row in terms_of(model.name)), key=order.index)


@cache
def _amounts(name: str, need: str, context: int) -> Mapping[str, float]:
    """How much of each criterion there is that does not depend on the machine."""
    model = find(name)
    above = [s.above for s in standings(name, need) if s.above is not None]
    allowed = licence(model)
    specialty = model.specialty
    return {
        "size": log2(effective_size(model)),
        "age": _newest() - _year(model.release_date),
        "score": sum(above) / len(above) if above else 0,
        "specialty": specialty == need,
        "other_specialty": specialty not in ("general", need),
        "chinese": "zh" in model.languages,
        "chinese_maker": country(name) == "CN",
        "context": log2(max(1, min(model.context, rules()["longest"]) / context)),
        "thinks": model.thinking is not None,
        "always_thinks": model.thinking == "always",
        "base_only": model.base_only,
        "tools": has_tools(model),
        "conditions": allowed == "conditions",
        "not_commercial": allowed == "no",
        "unverified": model.verification == "unverified",
    }


@cache
def points_of(name: str, need: str, context: int) -> Mapping[str, float]:
    """Points for what the model of that name is, whatever the machine."""
    cap = rules()["score_cap"]
    points = {
        key: float(amount * criteria()[key].points[need])
        for key, amount in _amounts(name, need, context).items()
    }
    points["score"] = max(-cap, min(cap, points["score"]))
    return points


def file_points(quant: str, need: Need, file_size: int) -> Mapping[str, float]:
    """Points for a GGUF file: what its type costs in perplexity, and its bytes to fetch."""
    rise = perplexity_rise().get(quant, 0.0)  # MXFP4: as its maker publishes it
    return {
        "quantization": rise * criteria()["quantization"].points[need.key],
        "download": byte_points("download", need, file_size),
    }


def byte_points(key: str, need: Need, amount: float) -> float:
    """Points for an amount of bytes by a criterion that counts its doublings from a start."""
    row = criteria()[key]
    start = row.start * GiB
    return log2(amount / start) * row.points[need.key] if amount > start else 0.0
