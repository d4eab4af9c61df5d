"""Figures used in more than one lesson: bars, lines, a heat map, a timeline.

Usage: ``draw_bars({"Llama-2-7B": 524288, "Llama-3-8B": 131072}, title="…", show=show_bytes)``

A figure is a PNG with its description in the reader's language: as alt text for static pages, and
in words that fold out below it, since JupyterLab gives a PNG no alt text. Colours are those that
colour-blind readers tell apart (Okabe and Ito 2008; cividis), and no figure relies on them alone:
bars and cells carry their values, lines their own marks and dashes. What is drawn stands out from
the page by 3 to 1 (WCAG 2.2, 1.4.11): light bars and dots have a dark edge, lines are never light.

Not covered: figures that move, and figures drawn by pyplot; nothing global is changed.
"""

import html
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from io import BytesIO
from pathlib import Path
from typing import Any

from ..core.extras import need
from ..core.i18n import language, t

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999", "#F0E442")
"""Okabe and Ito's palette, for areas."""

LINES = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")
"""Of that palette what a thin line can be drawn with."""

EDGE = {"edgecolor": "#404040", "linewidth": 0.8}
"""Around areas, for some of the palette hardly differ from a white page."""

CHINESE_FONTS = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Heiti SC", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei", "Arial Unicode MS", "Droid Sans Fallback", "Noto Sans CJK JP",
)  # fmt: skip
"""Fonts with Chinese characters as Linux, macOS and Windows name them; the first found is used."""

MARKS, DASHES, HATCHES = "osD^vPX*", ("-", "--", "-.", ":"), ("", "//", "..", "xx", "\\\\", "oo")
LEGEND_COLUMNS = 4
WIDTH = 7.5
"""Inches; at 110 dots an inch a figure fits the page of a notebook."""

Show = Callable[[float], str]


@dataclass(frozen=True, repr=False)
class Plot:
    """A figure. png: its bytes. alt: what it shows, in words."""

    png: bytes = field(repr=False)
    alt: str

    def save(self, path: str | Path) -> Path:
        """Write it to a file. Usage: ``plot.save("cache.png")``"""
        Path(path).write_bytes(self.png)
        return Path(path)

    def __repr__(self) -> str:
        return self.alt

    def _ipython_display_(self) -> None:
        display = need("IPython.display").display
        bundle = {"image/png": self.png, "text/plain": self.alt}
        display(bundle, metadata={"image/png": {"alt": self.alt}}, raw=True)
        summary = t("The figure in words", "用文字描述这张图")
        words = f"<details><summary>{summary}</summary>{html.escape(self.alt)}</details>"
        display({"text/html": words, "text/plain": summary}, raw=True)


def chinese_font() -> str | None:
    """The font that Chinese labels are drawn with; None where this computer has none.

    Usage: ``chinese_font()  # "Noto Sans CJK SC"``
    """
    manager = need("matplotlib.font_manager").fontManager
    known = {font.name for font in manager.ttflist}
    return next((name for name in CHINESE_FONTS if name in known), None)


def draw_bars(
    values: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    *,
    title: str,
    groups: Mapping[str, str] | None = None,
    show: Show | None = None,
    log: bool = False,
    axis: str = "",
) -> Plot:
    """Horizontal bars, each with its value.

    Usage::

        draw_bars({"Llama-2-7B": 4096, "Llama-3-8B": 8192}, title="Context")
        draw_bars({"English": {"Qwen": 11}, "Chinese": {"Qwen": 7}}, title="Tokens")

    values: label to number; or series to label to number, which draws the series side by side.
    groups: label to the group whose colour its bar takes (with one series). show: how a number is
    written, for example ``show_bytes``. log: a logarithmic axis. axis: its name, with the unit.
    """
    show = show or _number
    series = _series(values)
    labels = list(dict.fromkeys(label for numbers in series.values() for label in numbers))
    kinds = list(dict.fromkeys((groups or {}).values()))
    names = kinds if groups else list(series) if len(series) > 1 else []
    thick = 0.8 / len(series)
    height = 0.9 + len(labels) * max(0.27, 0.2 * len(series))
    height += 0.2 * math.ceil(len(names) / LEGEND_COLUMNS)
    with drawing(title, height) as (axes, save):
        for n, numbers in enumerate(series.values()):
            for row, label in enumerate(labels):
                if label not in numbers:
                    continue
                at = kinds.index(groups[label]) if groups and label in groups else n
                look = {"facecolor": COLOURS[at % 8], **EDGE}
                hatch = HATCHES[(at // 8 if groups else n) % len(HATCHES)]
                place = row + (n - (len(series) - 1) / 2) * thick
                axes.barh(place, numbers[label], thick * 0.92, hatch=hatch, **look)
                axes.annotate(
                    show(numbers[label]), (numbers[label], place), (3, 0),
                    textcoords="offset points", va="center", fontsize=8,
                )  # fmt: skip
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        if log:
            axes.set_xscale("log", base=2)
            axes.minorticks_off()
        axes.margins(x=0.14, y=0.01)
        axes.set_xlabel(axis)
        axes.set_xticks([])  # every bar bears its value
        axes.spines["bottom"].set_visible(False)
        _legend(axes, names, groups is None)
        parts = (
            (f"{name}: " if name else "") + _listed((label, show(v)) for label, v in row.items())
            for name, row in series.items()
        )
        return save(t("Bar chart", "条形图"), "; ".join(parts))


def draw_lines(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    *,
    title: str,
    x: str,
    y: str,
    log_x: bool = False,
    log_y: bool = False,
    show_x: Show | None = None,
    show_y: Show | None = None,
    limits: Mapping[str, float] | None = None,
) -> Plot:
    """Lines through points, each line with its own colour, mark and dash.

    Usage: ``draw_lines({"Yi-6B": [(1024, 64), (2048, 128)]}, title="…", x="tokens", y="MiB")``

    lines: name to (x, y) pairs. x, y: names of the axes. show_x, show_y: how numbers are written.
    limits: name to a height at which a thin horizontal line is drawn, as the memory of a card.
    """
    show_x, show_y = show_x or _number, show_y or _number
    with drawing(title, 3.9) as (axes, save):
        for n, (name, points) in enumerate(lines.items()):
            look = {"color": LINES[n % 5], "marker": MARKS[n % 8], "linestyle": DASHES[n % 4]}
            axes.plot(*zip(*points, strict=True), label=name, markersize=4.5, **look)
        for name, height in (limits or {}).items():
            axes.axhline(height, color="black", linewidth=0.8)
            axes.annotate(
                name, (0, height), (2, 2), xycoords=("axes fraction", "data"),
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
        if log_x:
            axes.set_xscale("log", base=2)
            ticks = sorted({x for points in lines.values() for x, _ in points})
            if len(ticks) <= 9:  # more would run into each other
                axes.set_xticks(ticks)
            axes.minorticks_off()
        if log_y:
            axes.set_yscale("log", base=2)
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        _write_ticks(axes.xaxis, show_x)
        _write_ticks(axes.yaxis, show_y)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
        parts = [
            f"{name}: " + _listed((show_x(a), show_y(b)) for a, b in points)
            for name, points in lines.items()
        ]
        parts += [f"{name}: {show_y(height)}" for name, height in (limits or {}).items()]
        return save(t("Line chart", "折线图"), f"{y} / {x}. " + "; ".join(parts))


def draw_heatmap(
    values: Sequence[Sequence[float]],
    rows: Sequence[object],
    columns: Sequence[object],
    *,
    title: str,
    x: str = "",
    y: str = "",
    show: Show | None = None,
    low: float | None = None,
    high: float | None = None,
    values_shown: bool = True,
) -> Plot:
    """A field of numbers, dark for low and light for high, the number written in each cell.

    Usage: ``draw_heatmap([[1.0, 0.5]], ["start"], [128, 256], title="…", show="{:.0%}".format)``

    values: a row of numbers for each of *rows*, as long as *columns*; nan is left empty. x, y:
    what columns and rows are. low, high: what the ends of the scale mean; default the values'
    own. values_shown: False for large fields, such as an attention mask.
    """
    show = show or _number
    known = [v for row in values for v in row if v == v]
    low = min(known) if low is None else low
    high = max(known) if high is None else high
    tall = max(0.3, min(0.42, 6 / len(rows)))
    if not values_shown:  # square cells
        tall = min(0.3, 4.5 / len(rows), 6 / len(columns))
    with drawing(title, 1.2 + len(rows) * tall) as (axes, save):
        aspect = "auto" if values_shown else "equal"
        image = axes.imshow(values, cmap="cividis", vmin=low, vmax=high, aspect=aspect)
        axes.set_xticks(range(len(columns)), [str(word) for word in columns])
        axes.set_yticks(range(len(rows)), [str(word) for word in rows])
        if not values_shown:
            for ticks in (axes.xaxis, axes.yaxis):
                ticks.set_major_locator(need("matplotlib.ticker").MaxNLocator(9, integer=True))
        axes.set_xlabel(x)
        axes.set_ylabel(y)
        for r, row in enumerate(values if values_shown else ()):
            for c, v in enumerate(row):
                if v == v:
                    light = (v - low) / ((high - low) or 1) > 0.55
                    ink = "black" if light else "white"
                    axes.text(c, r, show(v), ha="center", va="center", fontsize=8, color=ink)
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.9)
        _write_ticks(bar.ax.yaxis, show)
        words = f"{y} × {x}: " if x or y else ""
        if values_shown:
            words += "; ".join(
                f"{name}: "
                + _listed((str(c), show(v)) for c, v in zip(columns, row, strict=True) if v == v)
                for name, row in zip(rows, values, strict=True)
            )
        else:
            words += t(
                f"{len(rows)} by {len(columns)} cells from {show(min(known))} to"
                f" {show(max(known))}",
                f"{len(rows)} 行 {len(columns)} 列，取值从 {show(min(known))}"
                f" 到 {show(max(known))}",
            )
        return save(t("Heat map", "热力图"), words)


def draw_timeline(
    events: Sequence[tuple[str, str, str]], *, title: str, first: str | None = None
) -> Plot:
    """Dots on one line for each lane, in the order of their days; some carry a name.

    Usage: ``draw_timeline([("2023-07-18", "Llama", "Llama 2")], title="Open models")``

    events: ISO day (or month), lane, and a name or "". first: ISO day at which the axis begins.
    Names of one lane stand above and below its line in turn, those that would overlap are moved.
    """
    lanes = list(dict.fromkeys(lane for _, lane, _ in events))
    with drawing(title, 1.0 + 0.62 * len(lanes)) as (axes, save):
        for n, lane in enumerate(lanes):
            mine = sorted((_day(day), name) for day, other, name in events if other == lane)
            colour = LINES[n % 5]
            axes.axhline(n, color=colour, alpha=0.35, linewidth=1)
            axes.plot([day for day, _ in mine], [n] * len(mine), "o", color=colour, markersize=5)
            free = [date.min, date.min]  # until when the space above and below is taken
            for day, name in mine:
                if not name:
                    continue
                side = 0 if free[0] <= free[1] else 1
                start = max(day, free[side])
                axes.annotate(
                    name, (start, n), (0, 5 if side == 0 else -5), textcoords="offset points",
                    va="bottom" if side == 0 else "top", ha="left", fontsize=7,
                )  # fmt: skip
                free[side] = date.fromordinal(start.toordinal() + 13 * (len(name) + 1))
        axes.set_yticks(range(len(lanes)), lanes)
        axes.set_ylim(len(lanes) - 0.4, -0.6)
        if first:
            axes.set_xlim(left=_day(first))
        axes.margins(x=0.08)
        axes.xaxis.set_major_locator(need("matplotlib.dates").MonthLocator((1, 7)))
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", alpha=0.3)
        parts = (
            f"{lane}: "
            + _listed((name, day) for day, other, name in events if other == lane and name)
            for lane in lanes
        )
        return save(t("Timeline", "时间线"), "; ".join(parts))


def _day(iso: str) -> date:
    return date.fromisoformat(iso if len(iso) == 10 else f"{iso}-01")


def _series(values: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    nested = all(isinstance(value, Mapping) for value in values.values())
    return dict(values) if nested else {"": values}


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:.3g}"


def _listed(pairs: Iterator[tuple[str, str]]) -> str:
    return ", ".join(f"{label} {value}" for label, value in pairs)


def _write_ticks(axis: Any, show: Show) -> None:
    axis.set_major_formatter(lambda value, _: show(value))


def _legend(axes: Any, names: Sequence[str], hatched: bool) -> None:
    patch = need("matplotlib.patches").Patch
    keys = [
        patch(facecolor=COLOURS[n % 8], **EDGE,
              hatch=HATCHES[n % len(HATCHES)] if hatched else "", label=name)
        for n, name in enumerate(names)
    ]  # fmt: skip
    if keys:
        # Beside the bars and not on them: where all are long there is no free place among them.
        axes.figure.legend(
            handles=keys, frameon=False, fontsize=8, loc="outside lower center",
            ncols=min(len(keys), LEGEND_COLUMNS),
        )  # fmt: skip


@contextmanager
def drawing(title: str, height: float) -> Iterator[tuple[Any, Callable[[str, str], Plot]]]:
    """Axes to draw on, and what makes the Plot of them: kind of figure and its values in words.

    Usage: ``with drawing(title, 3.9) as (axes, save): …; plot = save("line chart", "values")``

    height: inches. Raises LabError where matplotlib is not installed.
    """
    matplotlib = need("matplotlib")
    figures = need("matplotlib.figure")
    font = chinese_font()
    families = ["DejaVu Sans", *([font] if font else [])]
    style = {"font.family": families, "font.size": 9, "axes.titlesize": 10, "hatch.linewidth": 0.6}
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Where a font lacks a character the figure says so itself; a lesson's stderr stays empty.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = figures.Figure(figsize=(WIDTH, height), dpi=110, layout="constrained")
        axes = figure.subplots()
        axes.set_title(title, loc="left")
        for side in ("top", "right"):
            axes.spines[side].set_visible(False)

        def save(kind: str, values: str) -> Plot:
            if font is None and language() == "zh":
                figure.supxlabel(
                    "No Chinese font on this computer: labels are empty boxes. Install one"
                    " (Debian, Ubuntu: fonts-noto-cjk), then restart the kernel.",
                    fontsize=7, color="#a00000",
                )  # fmt: skip
            file = BytesIO()
            figure.savefig(file, format="png", metadata={"Software": None})
            return Plot(
                file.getvalue(), t(f"{kind}: {title}. {values}.", f"{kind}：{title}。{values}。")
            )

        yield axes, save
