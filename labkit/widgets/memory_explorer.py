"""One model in every GGUF type: what fills the memory as the context grows."""

from typing import Any

from ..catalog import find
from ..core.errors import LabError
from ..core.i18n import t
from ..core.progress import is_static
from ..core.tables import Table
from ..core.units import show_bytes
from ..estimation.inference_memory import Estimate
from ..machine.hardware import hardware
from ..picker.available_memory import AvailableMemory, find_memory
from ..picker.fit import quants, size
from .hardware_picker import example_machine
from .memory_bars import Bar, draw_bars

CACHES = ("f16", "q8_0", "q4_0")


class MemoryExplorer:
    """What the memory explorer shows; no widget, so it runs without a browser.

    Usage: ``view = MemoryExplorer("Qwen2.5-7B"); view.context = 32768; view.rows()``

    model: of the catalogue. context: tokens, up to the model's maximum. kv_type: of the cache.
    machine: whose memory is drawn; by default this one.
    """

    def __init__(self, model: str = "Qwen2.5-7B", machine: AvailableMemory | None = None) -> None:
        self.model = find(model)
        self.machine = machine or (example_machine() if is_static() else find_memory(hardware()))
        self.context = min(8192, self.model.context)
        self.kv_type = "f16"

    @property
    def contexts(self) -> list[int]:
        """Where the slider stops: powers of two, and the maximum at the end."""
        powers = [2**n for n in range(9, 24)]
        return [*(n for n in powers if n < self.model.context), self.model.context]

    @property
    def estimates(self) -> list[Estimate]:
        """One for each GGUF type, the finest first."""
        return [size(self.model, q, self.context, self.kv_type) for q in quants(self.model)]

    def rows(self) -> list[Bar]:
        """One line a GGUF type."""
        return [Bar(e.quant, e.weights, e.kv_cache, e.runtime) for e in self.estimates]

    def table(self) -> Table:
        """The same in words."""
        header = (
            t("GGUF type", "GGUF 类型"), t("File", "文件"), t("Weights", "权重"),
            t("KV cache", "KV 缓存"), t("Runtime", "运行缓冲"), t("Total", "合计"),
        )  # fmt: skip
        rows = [
            (
                e.quant, show_bytes(e.file_size or 0), show_bytes(e.weights),
                show_bytes(e.kv_cache), show_bytes(e.runtime), show_bytes(e.total),
            )
            for e in self.estimates
        ]  # fmt: skip
        return Table(header, rows)

    def title(self) -> str:
        """What is shown, in one line."""
        m = self.model
        return t(
            f"{m.name}, context {self.context:,} of {m.context:,}, cache {self.kv_type}",
            f"{m.name}，上下文 {self.context:,}（最大 {m.context:,}），缓存 {self.kv_type}",
        )

    def __str__(self) -> str:
        return f"{self.title()}\n{self.table()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        vram = self.machine.vram * self.machine.gpus
        return f"<p>{self.title()}</p>{draw_bars(self.rows(), self.machine.total, vram)}"


def show_memory_explorer(model: str = "Qwen2.5-7B", machine: AvailableMemory | None = None) -> Any:
    """The explorer with a slider for the context; its fixed HTML form in static renderings.

    Usage: ``show_memory_explorer("Yi-34B-200K")`` as the last line of a cell. Arrow keys move a
    slider, Tab leads to the cache type. Raises LabError for a model that is not in the catalogue.
    """
    view = MemoryExplorer(model, machine)
    if is_static():
        return view
    import ipywidgets as w

    wide = {"style": {"description_width": "9em"}, "layout": w.Layout(width="40em")}
    context = w.SelectionSlider(
        options=[(f"{n:,}", n) for n in view.contexts],
        value=view.context if view.context in view.contexts else view.contexts[-1],
        description=t("Context", "上下文"),
        **wide,
    )
    cache = w.SelectionSlider(  # not a list, from which JupyterLab takes the arrow keys
        options=CACHES, value=view.kv_type, description=t("KV cache", "KV 缓存"), **wide
    )
    shown = w.HTML(view._repr_html_())

    def redraw(_: Any) -> None:
        view.context, view.kv_type = context.value, cache.value
        try:
            shown.value = view._repr_html_()
        except LabError as error:  # heads that do not divide into the blocks of the cache type
            shown.value = f"<p>{error}</p>"

    for control in (context, cache):
        control.observe(redraw, names="value")
    return w.VBox([context, cache, shown])
