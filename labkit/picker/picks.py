"""Which model to run: every model of the catalogue in every GGUF type, against need and memory.

Usage: ``lab.pick(need="chinese", vram=8)``

Points and rules stand in ``labkit/data/needs.toml``; :func:`labkit.picker.needs.weights` shows
them. Memory is computed by :func:`labkit.estimation.memory.estimate`; nothing is ranked that does
not fit.

Not covered: engines other than llama.cpp, several users at once (``batch``), vision.
"""

import html
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import itemgetter

from ..catalog import CatalogModel, models, not_legal_advice
from ..core.errors import LabError
from ..core.i18n import t
from ..core.numbers import is_whole
from ..core.tables import Table
from ..core.units import show_bytes
from ..estimation.inference_memory import Estimate
from ..estimation.tokens_per_second import token_speed
from ..machine.hardware import hardware
from .available_memory import AvailableMemory, find_memory, type_memory
from .fit import place, sizes, smallest
from .needs import Need, find_need, rules
from .nothing_fits import explain_shortfall
from .ranking import byte_points, file_points, lesson_of, licence, points_of, replaced_by, terms_of
from .reasons import reasons_against, reasons_for

KEPT = 3
"""How many models are shown where none fits: those that lack the least."""


@dataclass(frozen=True)
class Option:
    """One model in one GGUF type on one machine; sizes in bytes.

    total = weights + kv_cache + runtime. model: its name in the catalogue; huggingface: the id to
    load. n_gpu_layers: for llama.cpp, the output head counted as one. in_ram: what lies in RAM.
    download: the GGUF file. tokens_per_second_low, tokens_per_second_high: None where the
    hardware's bandwidth is not known. points: the sum of points_by, which is by criterion; the
    order follows it. lesson: of the course, on its family.
    """

    model: str
    quant: str
    engine: str
    context: int
    total: int
    n_gpu_layers: int
    fits: bool
    license: str
    download: int
    tokens_per_second_low: float | None
    tokens_per_second_high: float | None
    reasons_for: tuple[str, ...]
    reasons_against: tuple[str, ...]
    command: str
    weights: int
    kv_cache: int
    runtime: int
    in_ram: int
    huggingface: str
    lesson: str | None
    points: float
    points_by: Mapping[str, float]

    @property
    def speed(self) -> str:
        """Tokens a second in words; a question mark where nothing is known."""
        low, high = self.tokens_per_second_low, self.tokens_per_second_high
        return "?" if low is None or high is None else f"{low:.0f}–{high:.0f}"

    @property
    def reasons(self) -> str:
        """The most telling reasons, those for on one line and those against on the next."""
        lines = (("+ ", self.reasons_for[:4]), ("− ", self.reasons_against[:3]))
        return "\n".join(sign + t("; ", "；").join(some) for sign, some in lines if some)


@dataclass(frozen=True)
class Picks:
    """What :func:`pick` found, the best first; shows itself in a notebook and a terminal.

    nothing_fits: None, or what is missing and the nearest thing that would fit; ``options`` then
    holds the models that lack the least, with ``fits`` False.
    """

    machine: AvailableMemory
    need: str
    options: tuple[Option, ...]
    nothing_fits: str | None

    @property
    def shown(self) -> tuple[Option, ...]:
        """The options without those that lie too far below the first: the rule ``floor``."""
        least = max((o.points for o in self.options), default=0) - rules()["floor"]
        return tuple(o for o in self.options if o.points >= least or not o.fits)

    def table(self, limit: int = 10) -> Table:
        """The first options as rows of words, each with its reasons below."""
        header = (
            t("Model", "模型"), t("GGUF type", "GGUF 类型"), t("Context", "上下文"),
            t("Memory", "内存占用"), t("Tokens/s", "词元/秒"), t("Download", "下载"),
            t("Licence", "许可证"),
        )  # fmt: skip
        shown = self.shown[:limit]
        rows = [
            (
                o.model, o.quant, f"{o.context:,}",
                f"{show_bytes(o.total)} / {show_bytes(self.machine.total)}",
                o.speed, show_bytes(o.download), o.license,
            )
            for o in shown
        ]  # fmt: skip
        return Table(header, rows, "\n".join(self.notes()), [o.reasons for o in shown])

    def notes(self) -> list[str]:
        """What must be said below the options."""
        hidden, floor = len(self.options) - len(self.shown), rules()["floor"]
        rest = t(
            f"{hidden} more fit, but lie over {floor} points below the first: see options.",
            f"另有 {hidden} 个也放得下，但比第一名低 {floor} 分以上，见 options。",
        )
        said = (rest if hidden else None, self.nothing_fits)
        return [*self.machine.notes, *filter(None, said), not_legal_advice()]

    def __str__(self) -> str:
        lines = [f"{self.machine}"]
        for number, o in enumerate(self.shown[:10], 1):
            facts = (o.model, o.quant, show_bytes(o.total), f"{o.speed} t/s", o.license)
            lines.append(f"{number}. {' · '.join(facts)}")
            lines.append(textwrap.indent(o.reasons, "   "))
        return "\n".join([*lines, *self.notes()])

    def _repr_html_(self) -> str:
        return f"<p>{html.escape(str(self.machine))}</p>{self.table()._repr_html_()}"


def pick(
    need: str = "best",
    vram: float | None = None,
    ram: float | None = None,
    *,
    commercial: bool = False,
    context: int | None = None,
    languages: Sequence[str] = (),
    course: bool = False,
    gpu: str | None = None,
    ram_type: str | None = None,
    machine: AvailableMemory | None = None,
) -> Picks:
    """Models for a need that fit a machine, the best first, each with reasons for and against.

    Usage: ``pick(need="code", vram=24)``, ``pick(ram=16, commercial=True)``, ``pick()``

    need: a key of :func:`labkit.picker.needs.list_needs`. vram, ram: GB as written on the box,
    counted as GiB less what is never free; neither: what is free on this machine now. With vram
    alone all must fit on the GPU; with both, layers that do not fit lie in RAM. commercial: without
    licences that forbid it. context: tokens, prompt and answer; a model with less is left out.
    languages: ISO 639 codes a model must know. course: the models of the course in place of
    today's. gpu, ram_type: names, as "RTX 4090" and "DDR5-5600 dual channel", for the speed.
    machine: the memory there is, in place of vram and ram. Raises LabError for what cannot be.
    """
    wanted = find_need(need)
    if context is not None and not is_whole(context, 1, 10**9):
        raise LabError(
            t(
                f"context is {context!r:.40}: no number of tokens.",
                f"context 为 {context!r:.40}，不是词元数。",
            ),
            t("Give for example context=8192.", "请给出例如 context=8192。"),
        )
    if machine is None:
        nothing = vram is None and ram is None
        machine = find_memory(hardware()) if nothing else type_memory(vram, ram)
        machine = replace(machine, gpu=gpu or machine.gpu, ram_type=ram_type)
    wanted = replace(wanted, languages=(*wanted.languages, *languages))
    chosen = [m for m in models() if m.course] if course else todays_models()
    chosen = [m for m in chosen if suits(m, wanted, commercial, context)]
    options = rank(chosen, wanted, machine, context)
    if options:
        return Picks(machine, need, options, None)
    pairs = [(m, smallest(m, _tokens(m, wanted, context))) for m in chosen]
    pairs.sort(key=lambda pair: pair[1].total)
    nearest = (_option(m, wanted, machine, e, fits=False) for m, e in pairs[:KEPT])
    return Picks(machine, need, tuple(nearest), explain_shortfall(pairs, machine))


@lru_cache(maxsize=1)
def todays_models() -> tuple[CatalogModel, ...]:
    """The catalogue without what a newer model of its line replaces; see ``heir_size``."""
    return tuple(m for m in models() if not replaced_by(m))


def suits(model: CatalogModel, need: Need, commercial: bool, context: int | None) -> bool:
    """Whether a model may be offered at all, whatever the memory."""
    if commercial and licence(model) == "no":
        return False
    least = context or (need.context if need.must_hold else 0)
    many = "multilingual" in model.languages
    return model.context >= least and all(
        language in model.languages or many for language in need.languages
    )


def rank(
    chosen: Iterable[CatalogModel], need: Need, machine: AvailableMemory, context: int | None
) -> tuple[Option, ...]:
    """One option for each model that fits, in the GGUF type that earns the most points."""
    found = []
    for model in chosen:
        best = next(_fitting(model, need, machine, context), None)
        if best:
            found.append(_option(model, need, machine, best, fits=True))
    return tuple(sorted(found, key=lambda o: (-o.points, o.model)))


def _fitting(
    model: CatalogModel, need: Need, machine: AvailableMemory, context: int | None
) -> Iterator[Estimate]:
    """Estimates that fit, by points; placed on the machine."""
    tokens = _tokens(model, need, context)
    vram, ram = machine.vram * machine.gpus, machine.ram or 0
    rated = []
    for quant, total, points in _rated(model.name, need.key, tokens):
        spill = max(0, total - vram)
        if spill <= ram:
            rated.append((points + _ram_points(model, need, spill), quant))
    for _, quant in sorted(rated, key=itemgetter(0), reverse=True):
        placed = place(model, quant, tokens, machine)
        if placed:
            yield placed


@lru_cache(maxsize=2**14)
def _rated(name: str, need: str, context: int) -> tuple[tuple[str, int, float], ...]:
    """GGUF type, total and points of the file, whatever the machine."""
    return tuple(
        (quant, total, sum(file_points(quant, find_need(need), file).values()))
        for quant, total, file in sizes(name, context)
    )


def _tokens(model: CatalogModel, need: Need, context: int | None) -> int:
    return context or min(need.context, model.context)


def _ram_points(model: CatalogModel, need: Need, in_ram: int) -> float:
    """Points for what one token reads from RAM: the share of the active parameters."""
    return byte_points("ram", need, in_ram * model.active_parameters / model.parameters)


def _option(
    model: CatalogModel, need: Need, machine: AvailableMemory, placed: Estimate, *, fits: bool
) -> Option:
    assert placed.file_size is not None
    points = dict(points_of(model.name, need.key, placed.context))
    points |= file_points(placed.quant, need, placed.file_size)
    in_ram = placed.in_ram or 0
    on_gpu = (
        placed.n_gpu_layers == placed.n_layers
    )  # then RAM holds one table, of which a row is read
    points["ram"] = _ram_points(model, need, 0 if on_gpu else in_ram)
    points["cache"] = byte_points("cache", need, placed.kv_cache)
    speed = token_speed(placed, machine.gpu, machine.ram_type) if fits else None
    low, high = speed or (None, None)
    lacks = t(
        f"lacks {show_bytes(max(0, placed.total - machine.total))}",
        f"还差 {show_bytes(max(0, placed.total - machine.total))}",
    )
    against = reasons_against(model, need, placed, fits and speed is None)
    return Option(
        model=model.name, quant=placed.quant, engine=placed.engine, context=placed.context,
        total=placed.total, n_gpu_layers=placed.n_gpu_layers or 0, fits=fits,
        license=" + ".join(row.name for row in terms_of(model.name)), download=placed.file_size,
        tokens_per_second_low=low, tokens_per_second_high=high,
        reasons_for=reasons_for(model, need, placed),
        reasons_against=against if fits else (lacks, *against),
        command=command(model, placed),
        weights=placed.weights, kv_cache=placed.kv_cache, runtime=placed.runtime, in_ram=in_ram,
        huggingface=model.chat or model.huggingface,
        lesson=lesson_of(model.family),
        points=round(sum(points.values()), 2),
        points_by={key: round(value, 2) for key, value in points.items() if value},
    )  # fmt: skip


def command(model: CatalogModel, placed: Estimate) -> str:
    """What to type: llama.cpp's server on the GGUF, or the command that makes the GGUF."""
    if not model.gguf:
        return f"labkit quantize {model.chat or model.huggingface} --to {placed.quant}"
    line = (
        f"llama-server -hf {model.gguf[0]}:{placed.quant} "
        f"-c {placed.context} -ngl {placed.n_gpu_layers or 0}"
    )
    native = model.native_context or placed.context
    if placed.context > native:
        scale = model.context // native
        line += f" --rope-scaling yarn --rope-scale {scale} --yarn-orig-ctx {native}"
    return line
