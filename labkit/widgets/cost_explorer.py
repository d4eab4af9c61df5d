"""Move an assumption: what the four ways cost a month, and from where on one's own machine pays."""

import html
from typing import Any

from ..catalog.quotes import Currency
from ..core.errors import LabError
from ..core.i18n import t
from ..core.progress import is_static
from ..costs.assumptions import LABELS, Assumptions, assume
from ..costs.monthly import Costs, compare_costs, describe, ways
from ..plots import LINES

SLIDERS = (
    "requests", "input_tokens", "output_tokens", "input_price", "output_price",
    "tokens_per_second", "utilisation", "rent_per_hour", "machine_price", "years", "tariff",
    "people_hours", "wage",
)  # fmt: skip
"""Assumptions that can be moved; all others stay as they were given."""

COLOURS = {"people": LINES[3], "machines_cost": LINES[0], "use": LINES[1]}


class CostExplorer:
    """What the cost explorer shows; no widget, so it runs without a browser.

    Usage: ``view = CostExplorer(); view.move(requests=1e6, years=5); view.costs.ways``

    assumptions: where it starts, by default :func:`labkit.costs.assumptions.assume`.
    """

    def __init__(self, assumptions: Assumptions | None = None, currency: Currency = "USD") -> None:
        self.assumptions = assumptions or assume()
        self.currency: Currency = currency

    def move(self, **values: float) -> None:
        """Change assumptions, as the sliders do. Raises LabError where one makes no sense."""
        self.assumptions = self.assumptions.change(**values)

    @property
    def costs(self) -> Costs:
        """The comparison as the sliders stand."""
        return compare_costs(self.assumptions, currency=self.currency)

    def range(self, name: str) -> tuple[float, float]:
        """From where to where a slider goes: a hundredth to a hundred times, within the limits."""
        value = self.assumptions.values()[name]
        low, high = self.assumptions.limits(name)
        return max(value / 100, low), min(value * 100, high)

    def __str__(self) -> str:
        return str(self.costs)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        costs = self.costs
        longest = max(way.total for way in costs.ways) or 1.0
        names = {
            "people": t("people", "人工"),
            "machines_cost": t("machines", "机器"),
            "use": t("use", "用量"),
        }
        key = " ".join(
            f'<span style="color: {COLOURS[part]}">■</span> {name}' for part, name in names.items()
        )
        rows = ""
        for way in costs.ways:
            amounts = {part: getattr(way, part) for part in names}
            words = t(", ", "，").join(f"{names[p]} {costs.money(v)}" for p, v in amounts.items())
            bars = "".join(
                f'<div style="width: {100 * amount / longest:.2f}%; height: 1em; '
                f'background: {COLOURS[part]}"></div>'
                for part, amount in amounts.items()
            )
            rows += (
                f'<tr><td style="text-align: left">{html.escape(ways()[way.key])}</td>'
                f'<td style="width: 24em"><div role="img" aria-label="{html.escape(words)}" '
                f'title="{html.escape(words)}" style="display: flex; width: 24em">{bars}</div></td>'
                f'<td style="text-align: right">{costs.money(way.total)}</td></tr>'
            )
        notes = "<br>".join(
            html.escape(line) for line in (*map(describe, costs.break_evens), *costs.notes)
        )
        head = t("A month", "每月")
        return f"<p>{head}: {key}</p><table>{rows}</table><p>{notes}</p>"


def show_cost_explorer(assumptions: Assumptions | None = None, currency: Currency = "USD") -> Any:
    """The explorer with a slider for each of :data:`SLIDERS`; its HTML form in static renderings.

    Usage: ``show_cost_explorer(assume("gpt-6-luna", "RTX 4090"))`` as the last line of a cell. Tab
    leads from slider to slider, arrow keys move one.
    """
    view = CostExplorer(assumptions, currency)
    if is_static():
        return view
    import math

    import ipywidgets as w

    style, layout = {"description_width": "16em"}, w.Layout(width="42em")
    sliders = {}
    for name in SLIDERS:
        value = view.assumptions.values()[name]
        label, unit = LABELS[name]
        low, high = view.range(name)
        common = {"description": f"{label} ({unit})", "style": style, "layout": layout}
        if value and low:  # over four orders of magnitude: by its logarithm
            sliders[name] = w.FloatLogSlider(
                value=value, base=10, min=math.log10(low), max=math.log10(high), step=0.01,
                readout_format=".4g", continuous_update=False, **common,
            )  # fmt: skip
        else:
            sliders[name] = w.BoundedFloatText(value=value, min=low, max=1e9, **common)
    currency_box = w.Dropdown(
        options=["USD", "CNY"], value=currency, description=t("Currency", "货币"), style=style
    )
    shown = w.HTML(view._repr_html_())

    def redraw(change: dict[str, Any]) -> None:
        view.currency = currency_box.value
        name = next((n for n, one in sliders.items() if one is change["owner"]), None)
        try:
            if name is not None:
                view.move(**{name: change["new"]})
            shown.value = view._repr_html_()
        except LabError as error:
            shown.value = f"<p>{html.escape(str(error))}</p>"

    for one in (*sliders.values(), currency_box):
        one.observe(redraw, names="value")
    return w.VBox([*sliders.values(), currency_box, shown])
