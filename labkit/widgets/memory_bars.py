"""Stacked bars of weights, KV cache and runtime against the memory there is; HTML, no script."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

from ..core.i18n import t
from ..core.units import show_bytes
from ..plots import LINES

COLOURS = {"weights": LINES[0], "kv_cache": LINES[1], "runtime": LINES[2]}


@dataclass(frozen=True)
class Bar:
    """What one choice takes, in bytes."""

    label: str
    weights: int
    kv_cache: int
    runtime: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.kv_cache + self.runtime


def draw_bars(bars: Sequence[Bar], free: int, vram: int = 0) -> str:
    """A bar a line, each also in words; a line marks where the memory ends.

    vram: how much of it is the GPU's; a dashed line marks where that ends and RAM begins.

    Usage: ``draw_bars([Bar("Qwen3-8B Q4_K_M", 5 * GiB, GiB, GiB // 3)], free=8 * GiB)``
    """
    names = {
        "weights": t("weights", "权重"),
        "kv_cache": t("KV cache", "KV 缓存"),
        "runtime": t("runtime", "运行缓冲"),
    }
    longest = max([free, *(bar.total for bar in bars)], default=1) or 1
    key = " ".join(
        f'<span style="color: {COLOURS[part]}">■</span> {html.escape(name)}'
        for part, name in names.items()
    )
    marks = {"solid": free} | ({"dashed": vram} if 0 < vram < free else {})
    rows = "".join(_row(bar, names, marks, longest) for bar in bars)
    end = t(f"│ memory ends: {show_bytes(free)}", f"│ 可用内存：{show_bytes(free)}")
    if "dashed" in marks:
        end += t(f"  ┊ the GPU's ends: {show_bytes(vram)}", f"  ┊ 其中显存：{show_bytes(vram)}")
    return f"<p>{key} &nbsp; {html.escape(end)}</p><table>{rows}</table>"


def _row(bar: Bar, names: dict[str, str], marks: dict[str, int], longest: int) -> str:
    words = ", ".join(f"{name} {show_bytes(getattr(bar, part))}" for part, name in names.items())
    pieces = "".join(
        f'<div style="width: {100 * getattr(bar, part) / longest:.2f}%; height: 1em; '
        f'background: {COLOURS[part]}"></div>'
        for part in names
    )
    lines = "".join(
        f'<div style="position: absolute; left: {100 * end / longest:.2f}%; top: -0.15em; '
        f'height: 1.3em; border-left: 2px {style} currentColor"></div>'
        for style, end in marks.items()
    )
    fits = t("fits", "放得下") if bar.total <= marks["solid"] else t("too large", "放不下")
    return (
        f'<tr><td style="text-align: left">{html.escape(bar.label)}</td>'
        f'<td style="width: 24em"><div role="img" aria-label="{html.escape(words)}" '
        f'title="{html.escape(words)}" '
        f'style="position: relative; display: flex; width: 24em">{pieces}{lines}</div></td>'
        f'<td style="text-align: right; padding-left: 1em">{show_bytes(bar.total)}</td>'
        f'<td style="text-align: left">{fits}</td></tr>'
    )
