"""The cost explorer without a browser: move an assumption, read the costs."""

from typing import Any

import ipywidgets
import pytest

from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.costs.assumptions import LABELS, assume
from labkit.costs.monthly import compare_costs
from labkit.widgets.cost_explorer import SLIDERS, CostExplorer, show_cost_explorer


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_STATIC", raising=False)


def controls(box: Any) -> dict[str, Any]:
    return dict(zip(SLIDERS, box.children, strict=False))


def test_its_costs_follow_what_is_moved():
    view = CostExplorer()
    view.move(requests=2e6, wage=20)
    assert view.costs.ways == compare_costs(assume().change(requests=2e6, wage=20)).ways
    with pytest.raises(LabError, match="years=-1"):
        view.move(years=-1)
    assert view.assumptions.years == 3


def test_sliders_stay_within_what_makes_sense():
    view = CostExplorer()
    assert set(SLIDERS) <= set(LABELS)
    for name in SLIDERS:
        low, high = view.range(name)
        assert low <= view.assumptions.values()[name] <= high
        for end in (low, high):
            view.assumptions.change(**{name: end})
    assert view.range("utilisation") == (0.005, 1.0)


def test_the_view_redraws_from_the_sliders():
    box = show_cost_explorer()
    shown = box.children[-1]
    assert all(isinstance(one, ipywidgets.FloatLogSlider) for one in controls(box).values())
    before = shown.value
    controls(box)["requests"].value = 5e6
    assert shown.value != before
    a = assume().change(requests=controls(box)["requests"].value)
    assert compare_costs(a).money(compare_costs(a).ways[3].total) in shown.value
    box.children[-2].value = "CNY"
    assert "¥" in shown.value and "$" not in shown.value


def test_an_assumption_of_nothing_has_a_field():
    box = show_cost_explorer(assume(people_hours=0))
    field = controls(box)["people_hours"]
    assert isinstance(field, ipywidgets.BoundedFloatText)
    field.value = 5
    assert "people $250" in box.children[-1].value


def test_static_renderings_are_html_in_both_languages(monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    view = show_cost_explorer()
    assert isinstance(view, CostExplorer)
    page = view._repr_html_()
    assert page.count('role="img"') == 4 and "aria-label" in page and "check again" in page
    assert "owned" in str(view)
    use_language("zh")
    try:
        assert "自有" in view._repr_html_() and "people" not in view._repr_html_()
    finally:
        use_language(None)
