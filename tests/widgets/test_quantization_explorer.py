"""The quantization explorer and the published figures it shows, without a browser."""

from time import process_time

import ipywidgets
import numpy as np
import pytest

from labkit.catalog.scoreboard import read_scoreboard
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.picker.needs import perplexity_rise
from labkit.quantization.gguf_blocks import dequantize_q4_0, quantize_q4_0
from labkit.widgets.quantization_explorer import (
    BINS,
    FORMATS,
    Place,
    QuantizationExplorer,
    published_places,
    show_quantization_explorer,
)

WEIGHTS = np.random.default_rng(0).standard_normal((16, 256)).astype(np.float32) / 20


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_STATIC", raising=False)


def explorer(format: str = "Q4_0", row: int = 0, **options) -> QuantizationExplorer:
    view = QuantizationExplorer(WEIGHTS, **options)
    view.format, view.row = format, row
    return view


def test_after_is_what_the_format_gives_back():
    view = explorer("Q4_0", 3)
    assert (view.before == WEIGHTS[3]).all()
    assert (view.after == dequantize_q4_0(quantize_q4_0(WEIGHTS[3]))).all()
    assert (view.errors == view.after - view.before).all()


def test_finer_formats_have_smaller_errors():
    errors = [explorer(format).error for format in ("Q8_0", "Q5_0", "Q4_0", "2 bits")]
    assert errors == sorted(errors) and errors[-1] > 10 * errors[0]


@pytest.mark.parametrize("format", FORMATS)
def test_the_histogram_holds_every_error(format):
    rows = explorer(format, 5).rows()
    assert len(rows) == BINS and sum(rows) == WEIGHTS.shape[1]


def test_the_histogram_is_narrower_for_finer_formats():
    assert max(explorer("Q8_0").rows()) > 2 * max(explorer("Q4_0").rows())
    coarse = explorer("2 bits").rows()
    assert coarse[0] + coarse[-1] > sum(coarse) / 10  # what is beyond the ends counts there


def test_a_row_of_zeros_is_shown():
    view = QuantizationExplorer(np.zeros((1, 64), np.float32))
    view.format = "Q8_0"
    assert view.rows()[BINS // 2] == 64
    assert view.error == 0 and "0.00%" in view._repr_html_()


def test_its_place_is_the_published_or_the_measured_one():
    assert explorer("Q4_0").place in published_places()
    assert explorer("nf4").place is None and "not measured" in explorer("nf4")._repr_html_()
    mine = [Place("nf4", 4.5, 0.04), Place("F16", 16, 0.0)]
    view = explorer("nf4", places=mine, places_note="measured <here>")
    assert view.place == mine[0]
    assert "KL 0.04" in view._repr_html_() and "measured &lt;here&gt;" in view._repr_html_()
    assert "F16" not in view._repr_html_()  # the reference has no place on a logarithmic axis
    assert explorer(places=[])._repr_html_()


def test_the_view_redraws_and_every_control_is_native_and_labelled():
    format, row, shown = show_quantization_explorer(WEIGHTS).children
    assert shown.value == explorer()._repr_html_()
    format.value, row.value = "nf4-double", 9
    assert shown.value == explorer("nf4-double", 9)._repr_html_()
    assert row.max == len(WEIGHTS) - 1
    for control in (format, row):
        assert control.description and type(control).__module__.startswith("ipywidgets.")


def test_a_redraw_takes_less_than_100_ms():
    view = QuantizationExplorer(np.random.default_rng(1).standard_normal((2, 18944), np.float32))
    view._repr_html_()
    times = []
    for format in FORMATS:
        start = process_time()
        view.format = format
        view._repr_html_()
        times.append(process_time() - start)
    assert min(times) < 0.1 and sorted(times)[len(times) // 2] < 0.1


def test_the_static_form_has_no_script_and_no_address(monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    shown = show_quantization_explorer(WEIGHTS)
    assert not isinstance(shown, ipywidgets.Widget)
    page = shown._repr_html_()
    assert "<svg" not in page and "<script" not in page and page.count('role="img"') == 3
    assert repr(shown) == str(shown) == "Q4_0, row 0"


def test_both_languages():
    use_language("zh")
    page = explorer("nf4")._repr_html_()
    assert "误差" in page and "那里没有测" in page and "before" not in page


@pytest.mark.parametrize("shape", [(64,), (2, 100), (0, 64), (2, 2, 64)])
def test_other_weights_are_refused_in_words(shape):
    with pytest.raises(LabError, match="multiple of 64"):
        QuantizationExplorer(np.zeros(shape, np.float32))


# --- the published figures --------------------------------------------------------------------


def test_the_scoreboard_agrees_with_the_pickers_rise_of_perplexity():
    board = read_scoreboard("Llama-3-8B")
    exact = board.find("Q8_0").perplexity - 0.002650  # the table's ΔPPL of Q8_0
    shared = [row for row in board.rows if row.format in perplexity_rise()]
    assert len(shared) >= 14
    for row in shared:
        rise = 100 * (row.perplexity / exact - 1)
        assert rise == pytest.approx(perplexity_rise()[row.format], abs=0.03)


@pytest.mark.parametrize("model", ["Llama-3-8B", "Llama-2-7B"])
def test_the_published_rows_stand_from_best_to_worst(model):
    rows = read_scoreboard(model).rows
    assert [row.kl_mean for row in rows] == sorted(row.kl_mean for row in rows)
    agreed = [row.top1_agreement for row in rows if row.top1_agreement]
    assert agreed == sorted(agreed, reverse=True) and len(agreed) == 4
    assert all(0.7 < share < 1 for share in agreed)


def test_published_bits_per_weight_are_those_of_the_types():
    board = read_scoreboard("Llama-3-8B")
    for format, low, high in (("F16", 16, 16.1), ("Q8_0", 8.5, 8.6), ("Q4_0", 4.5, 4.8)):
        assert low <= board.find(format).bits_per_weight <= high
    assert board.find("IQ9") is None


def test_an_unknown_scoreboard_is_named():
    with pytest.raises(LabError, match="There are: Llama-3-8B, Llama-2-7B"):
        read_scoreboard("Llama-9")
