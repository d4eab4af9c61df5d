"""The hardware picker and the memory explorer, without a browser: set a value, read the rows."""

from time import process_time
from typing import Any

import ipywidgets
import pytest

from labkit.catalog import find
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.core.units import GiB
from labkit.estimation.memory import estimate
from labkit.estimation.tokens_per_second import find_bandwidth
from labkit.machine.hardware import hardware
from labkit.picker.available_memory import AvailableMemory, find_memory, type_memory
from labkit.picker.fit import quants, size
from labkit.widgets.hardware_picker import HardwarePicker, show_hardware_picker
from labkit.widgets.memory_bars import Bar, draw_bars
from labkit.widgets.memory_explorer import CACHES, MemoryExplorer, show_memory_explorer

MACHINE = AvailableMemory("a machine", 8 * GiB, 16 * GiB, 1)


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_STATIC", raising=False)


def parts(box: Any, kind: type) -> list[Any]:
    return [child for child in box.children if isinstance(child, kind)]


def test_the_picker_starts_at_this_machines_figures():
    found, view = find_memory(hardware()), HardwarePicker()
    assert view.vram == found.vram * found.gpus / GiB
    assert view.ram * GiB == pytest.approx(found.ram or 0, rel=0.2)  # what is free changes
    assert view.budget is view.machine


def test_its_rows_follow_what_is_set():
    view = HardwarePicker(MACHINE)
    before = view.rows()
    view.move(vram=24)
    assert view.rows() != before
    assert all(bar.total <= 40 * GiB for bar in view.rows())
    view.move(vram=0, ram=4, context=2048)
    assert view.rows() and all(bar.total <= 4 * GiB for bar in view.rows())
    assert all(option.n_gpu_layers == 0 for option in view.picks.options)
    view.move(vram=0, ram=0)
    assert "Even the smallest" in view._repr_html_()


def test_need_languages_licence_and_course_are_handed_on():
    view = HardwarePicker(MACHINE)
    view.move(need="code", languages="zh, en", commercial=True, course=True)
    for option in view.picks.options:
        model = find(option.model)
        assert model.course and model.license != "tongyi-qianwen-research"
        assert {"zh", "en"} <= set(model.languages)


def test_the_view_shows_what_the_picker_says_and_redraws():
    box = show_hardware_picker(MACHINE)
    shown = box.children[-1]
    vram, ram = parts(box, ipywidgets.FloatSlider)
    assert (vram.value, ram.value) == (8, 16)
    assert shown.value == HardwarePicker(MACHINE)._repr_html_()
    vram.value = 23.5
    moved = HardwarePicker(MACHINE)
    moved.move(vram=23.5)
    assert shown.value == moved._repr_html_()
    parts(box, ipywidgets.SelectionSlider)[0].value = "chinese"
    moved.move(need="chinese")
    assert shown.value == moved._repr_html_()


@pytest.mark.parametrize("show", [show_hardware_picker, show_memory_explorer])
def test_every_control_has_a_label_and_is_a_native_one(show):
    controls = show(machine=MACHINE).children[:-1]
    assert controls
    for control in controls:
        assert control.description
        assert type(control).__module__.startswith("ipywidgets.")


def test_a_redraw_takes_less_than_100_ms():
    view = HardwarePicker(MACHINE)
    explorer = MemoryExplorer("Qwen2.5-7B", MACHINE)
    view._repr_html_(), explorer._repr_html_()  # the first pass reads the catalogue
    times = []
    for step in range(5):
        start = process_time()
        view.move(vram=8.25 + step)
        view._repr_html_()
        explorer.context = 1000 + step
        explorer._repr_html_()
        times.append(process_time() - start)
    assert min(times) < 0.1


def test_static_forms_are_the_same_on_every_machine(monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    for show in (show_hardware_picker, show_memory_explorer):
        shown = show()
        assert not isinstance(shown, ipywidgets.Widget)
        typed = type_memory(8, 16)
        assert (shown.machine.vram, shown.machine.ram) == (typed.vram, typed.ram)
        assert find_bandwidth(shown.machine.gpu) and find_bandwidth(shown.machine.ram_type)
        assert shown._repr_html_() == show()._repr_html_()
        assert "<svg" not in shown._repr_html_() and "<script" not in shown._repr_html_()


def test_a_kept_output_names_no_address_in_memory():
    for view in (HardwarePicker(MACHINE), MemoryExplorer(machine=MACHINE)):
        assert repr(view) == str(view)


def test_the_explorer_shows_every_type_as_estimate_counts_it():
    view = MemoryExplorer("Llama-3.1-8B", MACHINE)
    view.context = 131072
    rows = view.rows()
    assert [bar.label for bar in rows] == list(quants(find("Llama-3.1-8B")))
    e = estimate("Llama-3.1-8B", quant=rows[0].label, context=131072)
    assert (rows[0].weights, rows[0].kv_cache, rows[0].runtime) == (
        e.weights,
        e.kv_cache,
        e.runtime,
    )
    assert len(view.table().rows) == len(rows)


def test_the_explorers_slider_ends_at_the_models_maximum():
    for name in ("Llama-2-7B", "Yi-34B-200K", "Qwen3-4B-Instruct-2507"):
        contexts = MemoryExplorer(name, MACHINE).contexts
        assert contexts[-1] == find(name).context and contexts == sorted(set(contexts))


def test_the_explorers_view_redraws():
    box = show_memory_explorer("Yi-34B-200K", MACHINE)
    slider, cache, shown = box.children
    slider.value = 200000
    cache.value = "q8_0"
    view = MemoryExplorer("Yi-34B-200K", MACHINE)
    view.context, view.kv_type = 200000, "q8_0"
    assert shown.value == view._repr_html_()
    assert "200,000 of 200,000" in shown.value


def test_an_unknown_model_is_named():
    with pytest.raises(LabError, match="Did you mean 'Qwen2.5-7B'"):
        MemoryExplorer("Qwen2.5-7")


def test_a_smaller_cache_is_smaller_or_refused_in_words():
    for name in ("Llama-2-7B", "Phi-3-mini-4k", "gemma-3-270m"):
        sizes = []
        for kv_type in CACHES:
            try:
                sizes.append(size(find(name), "Q8_0", 4096, kv_type).kv_cache)
            except LabError as error:
                assert "needs heads divisible by 32" in str(error)
        assert sizes == sorted(sizes, reverse=True)


def test_a_bar_says_in_words_what_it_draws():
    drawn = draw_bars([Bar("A <b> model", 3 * GiB, GiB, GiB)], free=4 * GiB)
    assert "A &lt;b&gt; model" in drawn and "too large" in drawn
    assert 'aria-label="weights 3.00 GiB, KV cache 1.00 GiB, runtime 1.00 GiB"' in drawn
    assert "width: 60.00%" in drawn and "left: 80.00%" in drawn
    assert "dashed" not in drawn
    both = draw_bars([Bar("A", 1, 1, 1)], free=10, vram=5)
    assert "fits" in both and "left: 50.00%" in both and "ends: 5 B" in both


def test_both_languages():
    use_language("zh")
    shown = HardwarePicker(MACHINE)._repr_html_() + MemoryExplorer("Yi-6B", MACHINE)._repr_html_()
    assert "权重" in shown and "放得下" in shown and "weights" not in shown
