"""Size against loss: every variant of a comparison, and the frontier that nothing beats.

Usage: ``draw_frontier(lab.compare("pocket/llama3"))``
"""

from ..core.i18n import t
from ..core.units import show_bytes
from ..evaluation.comparison import Comparison
from ..evaluation.recommendation import frontier
from .charts import LINES, Plot, drawing


def draw_frontier(table: Comparison) -> Plot:
    """A dot for each variant at its size and mean KL, the frontier as a line through its dots.

    Usage: ``draw_frontier(table)`` as the last line of a cell. Both axes are logarithmic; variants
    without KL, and the reference itself, whose KL is 0, have no place. GGUF files are circles,
    checkpoints for Transformers squares; what is not on the frontier is hollow.
    """
    files = dict(zip((row.format for row in table.rows), table.files, strict=True))
    rows = [row for row in table.rows if row.kl_mean]
    best = [row for row in frontier(table.rows) if row.kl_mean]
    title = t(f"{table.model}: size and loss", f"{table.model}：大小与损失")
    with drawing(title, 4.2) as (axes, save):
        axes.plot(
            [row.file_size for row in best],
            [row.kl_mean for row in best],
            color=LINES[1], linewidth=1, label=t("frontier", "前沿"),
        )  # fmt: skip
        for mark, name in (("o", "GGUF"), ("s", "Transformers")):
            axes.plot([], [], mark, color=LINES[0], markersize=6, label=name)
        for row in rows:
            mark = "o" if files[row.format].suffix == ".gguf" else "s"
            fill = LINES[0] if row in best else "white"
            kl = row.kl_mean or 0.0
            place = (row.file_size, kl)
            look = {"markersize": 6, "markeredgecolor": LINES[0], "markerfacecolor": fill}
            axes.plot(*place, mark, **look)
            crowded = any(
                0.95 < row.file_size / other.file_size < 1.05
                and 1 <= (other.kl_mean or 0) / kl < 1.6
                for other in rows
                if other is not row
            )
            where = (6, -9 if crowded else 4)  # below its dot where a name stands just above
            axes.annotate(row.format, place, where, textcoords="offset points", fontsize=8)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.margins(x=0.12, y=0.1)
        axes.set_xlabel(t("file size", "文件大小"))
        axes.set_ylabel(t("mean KL to full precision", "与全精度的平均 KL"))
        ticks: list[int] = []  # those of the frontier, but for what would overlap
        for row in best:
            if not ticks or row.file_size > 1.08 * ticks[-1]:
                ticks.append(row.file_size)
        axes.set_xticks(ticks)
        axes.xaxis.set_major_formatter(lambda size, _: show_bytes(int(size)))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
        words = "; ".join(
            f"{row.format} {show_bytes(row.file_size)}, KL {row.kl_mean:.2g}"
            for row in sorted(rows, key=lambda row: row.file_size)
        )
        on_it = ", ".join(row.format for row in best)
        return save(
            t("Scatter plot", "散点图"),
            words + t(f". On the frontier: {on_it}", f"。前沿：{on_it}"),
        )
