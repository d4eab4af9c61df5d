"""The figure of size against loss."""

from pathlib import Path

from labkit.core.i18n import use_language
from labkit.evaluation.comparison import Comparison, Row
from labkit.plots.frontier import draw_frontier


def row(format: str, size: int, kl: float | None) -> Row:
    return Row(format, size, 4.5, 3.0, 0.1, kl, kl, 0.9, 0.9, 900.0, 90.0, None)


ROWS = (row("F16", 6_000_000, 0.0), row("Q8_0", 3_000_000, 5e-4), row("nf4", 4_000_000, 0.04),
        row("Q4_0", 1_800_000, 0.03), row("text", 5, None))  # fmt: skip
FILES = (*(Path(f"m-{r.format}.gguf") for r in ROWS[:2]), Path("m-nf4"),
         Path("m-Q4_0.gguf"), Path("m-text.gguf"))  # fmt: skip
TABLE = Comparison("pocket/llama3", ROWS, FILES)


def test_the_words_name_every_place_and_the_frontier():
    plot = draw_frontier(TABLE)
    assert plot.png.startswith(b"\x89PNG")
    assert "nf4 3.81 MiB, KL 0.04" in plot.alt
    assert plot.alt.endswith("On the frontier: Q4_0, Q8_0.")
    assert "F16" not in plot.alt and "text" not in plot.alt  # no KL, or none but 0


def test_it_speaks_chinese():
    use_language("zh")
    assert draw_frontier(TABLE).alt.startswith("散点图：pocket/llama3：大小与损失。")
    assert "前沿：Q4_0, Q8_0" in draw_frontier(TABLE).alt


def test_another_frontier_is_another_figure():
    moved = (*ROWS[:2], row("nf4", 1_000_000, 1e-5), *ROWS[3:])
    other = draw_frontier(Comparison("pocket/llama3", moved, FILES))
    assert other.png != draw_frontier(TABLE).png
    assert other.alt.endswith("On the frontier: nf4.")
