"""Figures: what they say in words, and that what they draw is there to see."""

import struct
import warnings
import zlib

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.i18n import use_language
from labkit.plots import Plot, chinese_font, draw_bars, draw_heatmap, draw_lines, draw_timeline
from labkit.plots import charts as plots
from labkit.widgets import cost_explorer, memory_bars, quantization_explorer


@pytest.fixture(autouse=True)
def _language():
    yield
    use_language(None)


def pixels(plot: Plot) -> set[tuple[int, ...]]:
    """The colours of a PNG of 8-bit RGBA, as matplotlib writes it; undone by hand."""
    png, at, data = plot.png, 8, b""
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        body = png[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
        if kind == b"IDAT":
            data += body
        at += 12 + length
    assert (depth, colour) == (8, 6)
    raw, size = zlib.decompress(data), 4 * width
    found, above = set(), bytearray(size)
    for row in range(height):
        kind, line = raw[row * (size + 1)], bytearray(raw[row * (size + 1) + 1 :][:size])
        for i in range(size):
            left = line[i - 4] if i >= 4 else 0
            corner = above[i - 4] if i >= 4 else 0
            line[i] = (line[i] + _predicted(kind, left, above[i], corner)) & 255
        found |= {tuple(line[i : i + 3]) for i in range(0, size, 4)}
        above = line
    return found


def _predicted(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:  # Paeth: whichever of the three is nearest to left + up - corner
        guess = left + up - corner
        return min((left, up, corner), key=lambda value: abs(guess - value))
    return (0, left, up, (left + up) // 2)[kind]


def rgb(code: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(code[1:]))


def contrast(code: str) -> float:
    """With white, as WCAG 2.2 has it."""
    parts = (value / 255 for value in rgb(code))
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 1.05 / (0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05)


def test_what_is_drawn_stands_out_from_the_page():
    assert contrast("#767676") == pytest.approx(4.54, abs=0.01)  # the grey that WCAG's readers know
    drawn = [
        *plots.LINES,
        str(plots.EDGE["edgecolor"]),
        *memory_bars.COLOURS.values(),
        *cost_explorer.COLOURS.values(),
        *(getattr(quantization_explorer, part) for part in ("BEFORE", "AFTER", "LOST")),
    ]
    assert {code: contrast(code) for code in drawn if contrast(code) < 3} == {}


def test_light_bars_have_a_dark_edge():
    assert rgb(str(plots.EDGE["edgecolor"])) in pixels(draw_bars({"a": 1}, title="T"))


def test_bars_tell_their_values_in_words_and_show_their_groups_colours():
    plot = draw_bars(
        {"a": 2048, "b": 4096}, title="T", groups={"a": "x", "b": "y"}, show="{} B".format
    )
    assert plot.alt == "Bar chart: T. a 2048 B, b 4096 B."
    seen = pixels(plot)
    assert {rgb(plots.COLOURS[0]), rgb(plots.COLOURS[1])} <= seen
    assert rgb(plots.COLOURS[2]) not in seen


def test_series_stand_side_by_side_and_may_lack_a_value():
    plot = draw_bars({"en": {"a": 1, "b": 2}, "zh": {"a": 3}}, title="T")
    assert plot.alt == "Bar chart: T. en: a 1, b 2; zh: a 3."


def test_lines_name_their_points_and_limits():
    plot = draw_lines(
        {"m": [(1024, 8), (2048, 16)]}, title="T", x="n", y="GiB", log_x=True, limits={"card": 12}
    )
    assert plot.alt == "Line chart: T. GiB / n. m: 1,024 8, 2,048 16; card: 12."


def test_a_heat_map_names_every_cell_or_when_large_its_range():
    small = draw_heatmap([[0, 1]], ["r"], ["a", "b"], title="T", show="{:.0%}".format)
    assert small.alt == "Heat map: T. r: a 0%, b 100%."
    field = [[float(i == j) for j in range(50)] for i in range(50)]
    large = draw_heatmap(field, range(50), range(50), title="T", values_shown=False)
    assert large.alt == "Heat map: T. 50 by 50 cells from 0 to 1."


def test_a_wide_field_of_square_cells_leaves_no_empty_paper():
    wide = draw_heatmap([[0.0, 1.0] * 32] * 16, range(16), range(64), title="T", values_shown=False)
    width, height = (int.from_bytes(wide.png[at : at + 4]) for at in (16, 20))  # of the PNG's head
    assert height < width / 2


def test_a_heat_map_leaves_nan_empty_and_bears_equal_values():
    plot = draw_heatmap([[0.5, float("nan")]], ["r"], ["a", "b"], title="T")
    assert plot.alt == "Heat map: T. r: a 0.5."


def test_a_timeline_names_its_events_by_lane_in_order():
    events = [
        ("2024-04-18", "Llama", "Llama 3"),
        ("2023-11", "Yi", "Yi"),
        ("2024-07-01", "Llama", ""),
    ]
    plot = draw_timeline(events, title="T")
    assert plot.alt == "Timeline: T. Llama: Llama 3 2024-04-18; Yi: Yi 2023-11."


def test_words_are_in_the_readers_language():
    use_language("zh")
    assert draw_bars({"甲": 1}, title="标题").alt == "条形图：标题。甲 1。"


def test_chinese_labels_are_drawn_or_the_figure_says_what_is_missing():
    use_language("zh")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, other = draw_bars({"甲": 1}, title="甲"), draw_bars({"乙": 1}, title="乙")
    drawn = one.png != other.png  # without the glyphs both show the same empty box
    assert drawn == (chinese_font() is not None)
    assert (rgb("#a00000") in pixels(one)) == (not drawn)


def test_without_a_chinese_font_the_figure_itself_says_so(monkeypatch):
    monkeypatch.setattr(plots, "chinese_font", lambda: None)
    use_language("zh")
    assert rgb("#a00000") in pixels(draw_bars({"甲": 1}, title="标题"))
    use_language("en")
    assert rgb("#a00000") not in pixels(draw_bars({"a": 1}, title="T"))


def test_a_notebook_gets_the_png_with_alt_text_and_the_words_below(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda *a, **k: shown.append((a, k)))
    plot = draw_bars({"a": 1}, title="<T>")
    plot._ipython_display_()
    (first, options), (second, _) = shown
    assert first[0]["image/png"] == plot.png and options["metadata"]["image/png"]["alt"] == plot.alt
    assert "&lt;T&gt;" in second[0]["text/html"]
    assert plot.png.startswith(b"\x89PNG")


def test_saved_it_is_the_same_file(tmp_path):
    plot = draw_bars({"a": 1}, title="T")
    assert plot.save(tmp_path / "a.png").read_bytes() == plot.png


def test_nothing_global_is_changed():
    before = dict(matplotlib.rcParams)
    draw_bars({"a": 1}, title="T")
    assert dict(matplotlib.rcParams) == before


@given(st.floats(0, 1e15))
def test_numbers_are_short_and_close(value):
    shown = plots._number(value)
    assert len(shown) <= 21
    assert float(shown.replace(",", "")) == pytest.approx(value, rel=0.01, abs=1e-300)
