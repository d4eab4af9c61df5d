"""One row of weights before and after quantization, its errors, and what the format costs."""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..catalog.scoreboard import read_scoreboard
from ..core.errors import LabError
from ..core.i18n import t
from ..core.progress import is_static
from ..plots import LINES
from ..quantization.gguf_blocks import (
    Floats,
    dequantize_q4_0,
    dequantize_q5_0,
    dequantize_q8_0,
    quantize_q4_0,
    quantize_q5_0,
    quantize_q8_0,
)
from ..quantization.gptq import dequantize_gptq, round_nearest
from ..quantization.nf4_int8 import dequantize_int8, dequantize_nf4, quantize_int8, quantize_nf4

FORMATS: Mapping[str, Callable[[Floats], Floats]] = {
    "Q8_0": lambda row: dequantize_q8_0(quantize_q8_0(row)),
    "int8": lambda row: dequantize_int8(quantize_int8(row)),
    "Q5_0": lambda row: dequantize_q5_0(quantize_q5_0(row)),
    "Q4_0": lambda row: dequantize_q4_0(quantize_q4_0(row)),
    "nf4": lambda row: dequantize_nf4(quantize_nf4(row)),
    "nf4-double": lambda row: dequantize_nf4(quantize_nf4(row, double=True)),
    "2 bits": lambda row: dequantize_gptq(round_nearest(row, 2, 32)),
}
"""Format to what a row, (1, columns), has become. "2 bits": rounded to nearest, a scale for 32."""

SHOWN = 64
"""How many weights of the row are drawn; errors are of the whole row."""

BINS = 41
BEFORE, AFTER, LOST = "#808080", LINES[0], LINES[1]


@dataclass(frozen=True)
class Place:
    """A format on the plot of size against loss. kl: mean KL divergence, nats per token."""

    format: str
    bits_per_weight: float
    kl: float


class QuantizationExplorer:
    """What the quantization explorer shows; no widget, so it runs without a browser.

    Usage: ``view = QuantizationExplorer(weights); view.format = "nf4"; view.after``

    weights: (rows, columns) of a linear layer, columns a multiple of 64. format: one of FORMATS.
    row: which row. places: where formats stand on the plot, and places_note where that is from; by
    default llama.cpp's published figures for Llama 3 8B. Raises LabError for other weights.
    """

    def __init__(
        self,
        weights: npt.ArrayLike,
        places: Sequence[Place] | None = None,
        places_note: str = "",
    ) -> None:
        self.weights = np.asarray(weights)
        shape = self.weights.shape
        if len(shape) != 2 or shape[1] % 64 or not self.weights.size:
            raise LabError(
                t(f"Weights of shape {shape} cannot be shown.", f"形状为 {shape} 的权重无法显示。"),
                t(
                    "Give a matrix with a multiple of 64 columns.",
                    "请给一个矩阵，列数是 64 的倍数。",
                ),
            )
        self.places = published_places() if places is None else tuple(places)
        self.places_note = places_note if places is not None else _published_note()
        self.format = "Q4_0"
        self.row = 0

    @property
    def before(self) -> Floats:
        """(columns,): the row as it was."""
        found: Floats = self.weights[self.row].astype(np.float32)
        return found

    @property
    def after(self) -> Floats:
        """(columns,): the row as the format gives it back."""
        return self._after(self.format)

    def _after(self, format: str) -> Floats:
        found: Floats = FORMATS[format](self.before[None])[0]
        return found

    @property
    def errors(self) -> Floats:
        """(columns,): after less before."""
        return self.after - self.before

    @property
    def error(self) -> float:
        """Root mean square of the errors, as a share of the weights' own."""
        size = float(np.mean(self.before**2)) or 1.0  # a row of zeros loses nothing
        return float(np.sqrt(np.mean(self.errors**2) / size))

    @property
    def widest(self) -> float:
        """Half the width of the histogram: the largest error of Q4_0 in this row."""
        return float(np.abs(self._after("Q4_0") - self.before).max()) or 1.0

    def rows(self) -> list[int]:
        """The histogram: how many errors fall into each of BINS equal parts; far ones at the ends.

        One scale for all formats of a row, so that finer ones look narrower.
        """
        errors = np.clip(self.errors / self.widest, -1, 1)
        return [int(n) for n in np.histogram(errors, BINS, (-1, 1))[0]]

    @property
    def place(self) -> Place | None:
        """Where the format stands on the plot; None where it was not measured."""
        return next((p for p in self.places if p.format == self.format), None)

    def title(self) -> str:
        """What is shown, in one line."""
        return t(
            f"{self.format}, row {self.row}: error {self.error:.2%} of the weights' size",
            f"{self.format}，第 {self.row} 行：误差为权重大小的 {self.error:.2%}",
        )

    def __str__(self) -> str:
        """Without digits that depend on the weights' last bits: it is kept and compared."""
        return t(f"{self.format}, row {self.row}", f"{self.format}，第 {self.row} 行")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return (
            f"<div><b>{html.escape(self.title())}</b></div>"
            f"{_legend()}{_draw_row(self.before[:SHOWN], self.after[:SHOWN])}"
            f'<div style="display: flex; flex-wrap: wrap; gap: 2em">'
            f"{_draw_histogram(self.rows(), self.widest)}"
            f"{_draw_places(self.places, self.format, self.places_note)}</div>"
        )


def published_places() -> tuple[Place, ...]:
    """The formats of llama.cpp's scoreboard of Llama 3 8B. Usage: ``published_places()``"""
    rows = read_scoreboard("Llama-3-8B").rows
    return tuple(Place(r.format, r.bits_per_weight, r.kl_mean) for r in rows if r.bits_per_weight)


def _published_note() -> str:
    board = read_scoreboard("Llama-3-8B")
    return t(
        f"{board.model} as llama.cpp's developers measured it (tools/perplexity, 2024)",
        f"{board.model}，llama.cpp 开发者实测（tools/perplexity，2024 年）",
    )


# --- drawing ----------------------------------------------------------------------------------


def _legend() -> str:
    key = ((BEFORE, t("before", "原来")), (AFTER, t("after", "之后")))
    words = " ".join(f'<span style="color: {colour}">■</span> {name}' for colour, name in key)
    return f"<div>{words}</div>"


def _draw_row(before: Floats, after: Floats) -> str:
    """A bar for each weight as it was, a line across where it went; zero in the middle."""
    top = float(max(np.abs(before).max(), np.abs(after).max())) or 1.0
    pieces = []
    for old, new in zip(before / top, after / top, strict=True):
        low, high = 50 * min(old, 0), 50 * max(old, 0)
        bar = _box(f"left: 1px; right: 1px; bottom: {50 + low:.1f}%; height: {high - low:.1f}%")
        line = _box(f"left: 0; right: 0; bottom: {50 + 50 * new:.1f}%; height: 2px", AFTER)
        pieces.append(f'<div style="position: relative; flex: 1">{bar}{line}</div>')
    words = t(
        f"the first {len(before)} weights of the row, before and after",
        f"这一行的前 {len(before)} 个权重，量化前后",
    )
    zero = _box("left: 0; right: 0; bottom: 50%; height: 1px", "currentColor")
    return (
        f'<div role="img" aria-label="{html.escape(words)}" style="position: relative; display: '
        f'flex; max-width: 46em; height: 9em; margin: 0.4em 0 1.2em">{"".join(pieces)}{zero}</div>'
    )


def _draw_histogram(counts: Sequence[int], widest: float) -> str:
    most = max(counts) or 1
    bars = "".join(
        f'<div style="flex: 1; height: {100 * n / most:.1f}%; background: {LOST}"></div>'
        for n in counts
    )
    words = t(
        f"errors from -{widest:.2g} to {widest:.2g}", f"误差，从 -{widest:.2g} 到 {widest:.2g}"
    )
    return (
        f'<div><div role="img" aria-label="{html.escape(words)}" style="display: flex; '
        f"align-items: flex-end; width: 20em; height: 9em; border-bottom: 1px solid "
        f'currentColor">{bars}</div>{_caption(words)}</div>'
    )


def _draw_places(places: Sequence[Place], format: str, note: str) -> str:
    """Bits per weight to the right, loss upwards, both logarithmic."""
    shown = [p for p in places if p.kl > 0]
    if not shown:
        return ""
    across = _Axis([p.bits_per_weight for p in shown], 2)
    upward = _Axis([p.kl for p in shown], 10)
    pieces = []
    for bits in across.ticks:
        at = f"left: {across.percent(bits):.1f}%"
        pieces.append(_box(f"{at}; top: 0; bottom: 0; width: 1px; opacity: 0.25", "currentColor"))
        pieces.append(_word(f"{at}; bottom: -0.8em; translate: -50%", f"{bits:g}"))
    for kl in upward.ticks:
        at = f"bottom: {upward.percent(kl):.1f}%"
        pieces.append(_box(f"{at}; left: 0; right: 0; height: 1px; opacity: 0.25", "currentColor"))
        pieces.append(_word(f"{at}; right: 100%", f"{kl:g}"))
    chosen = None
    for place in sorted(shown, key=lambda place: place.format == format):  # the chosen one on top
        x, y = across.percent(place.bits_per_weight), upward.percent(place.kl)
        is_chosen = place.format == format
        dot = f"left: {x:.1f}%; bottom: {y:.1f}%; width: 8px; height: 8px; margin: -4px"
        pieces.append(_box(f"{dot}; border-radius: 50%", LOST if is_chosen else BEFORE))
        if is_chosen:
            chosen = place
            word = f"<b>{html.escape(format)}</b>"
            pieces.append(_word(f"left: {x + 2:.1f}%; bottom: {y + 6:.1f}%", word))
    words = (
        t(
            f"{format}: {chosen.bits_per_weight:.2f} bits a weight, KL {chosen.kl:.2g}",
            f"{format}：每个权重 {chosen.bits_per_weight:.2f} 位，KL {chosen.kl:.2g}",
        )
        if chosen
        else t(f"{format}: not measured there", f"{format}：那里没有测")
    )
    axes = t("upwards KL, to the right bits a weight", "纵轴 KL，横轴每个权重的位数")
    return (
        f'<div style="padding-left: 3.5em"><div role="img" aria-label="{html.escape(words)}" '
        f'style="position: relative; width: 20em; height: 9em; margin-bottom: 1.6em; border-left: '
        f'1px solid currentColor; border-bottom: 1px solid currentColor">{"".join(pieces)}</div>'
        f"{_caption(words, axes, note)}</div>"
    )


class _Axis:
    """A logarithmic axis over some numbers, from a power of the base to a power of the base."""

    def __init__(self, numbers: Sequence[float], base: int) -> None:
        logs = np.log(numbers) / np.log(base)
        low, high = int(np.floor(logs.min())), int(np.ceil(logs.max() + 1e-9))
        self.base, self.low, self.span = base, low, max(1, high - low)

    @property
    def ticks(self) -> list[float]:
        """The powers of the base."""
        return [float(self.base) ** (self.low + step) for step in range(self.span + 1)]

    def percent(self, number: float) -> float:
        """Where a number stands, 0 to 100."""
        return 100 * (float(np.log(number) / np.log(self.base)) - self.low) / self.span


def _caption(*lines: str) -> str:
    words = "<br>".join(html.escape(line) for line in lines if line)
    return f'<div style="font-size: 0.85em; line-height: 1.4">{words}</div>'


def _box(style: str, colour: str = BEFORE) -> str:
    return f'<div style="position: absolute; background: {colour}; {style}"></div>'


def _word(style: str, word: str) -> str:
    place = f"position: absolute; {style}; transform: translateY(50%); white-space: nowrap"
    return f'<small style="{place}; padding: 0 0.4em">{word}</small>'


def show_quantization_explorer(
    weights: npt.ArrayLike, places: Sequence[Place] | None = None, places_note: str = ""
) -> Any:
    """The explorer with a choice of format and row; its fixed HTML form in static renderings.

    Usage: ``show_quantization_explorer(weights)`` as the last line of a cell. Tab leads from
    slider to slider, arrow keys move one. Raises LabError as :class:`QuantizationExplorer` does.
    """
    view = QuantizationExplorer(weights, places, places_note)
    if is_static():
        return view
    import ipywidgets as w

    wide = {"style": {"description_width": "7em"}, "layout": w.Layout(width="34em")}
    format = w.SelectionSlider(  # not a list, from which JupyterLab takes the arrow keys
        options=list(FORMATS), value=view.format, description=t("Format", "格式"), **wide
    )
    row = w.IntSlider(value=0, min=0, max=len(view.weights) - 1, description=t("Row", "行"), **wide)
    shown = w.HTML(view._repr_html_())

    def redraw(_: Any) -> None:
        view.format, view.row = format.value, row.value
        shown.value = view._repr_html_()

    for control in (format, row):
        control.observe(redraw, names="value")
    return w.VBox([format, row, shown])
