"""Move the memory, the need, the context: which models fit, and what fills the memory."""

from dataclasses import replace
from typing import Any

from ..core.i18n import t
from ..core.progress import is_static
from ..core.units import GiB
from ..machine.hardware import hardware
from ..picker.available_memory import AvailableMemory, find_memory, type_memory
from ..picker.needs import list_needs
from ..picker.picks import Picks, pick
from .memory_bars import Bar, draw_bars

SHOWN = 8
"""How many models have a bar."""

CONTEXTS = tuple(2**n for n in range(10, 21))


def example_machine() -> AvailableMemory:
    """The machine of static renderings, the same everywhere."""
    name = t("example machine, 8 GB card and 16 GB RAM", "示例机器（8 GB 显卡，16 GB 内存）")
    return replace(type_memory(8, 16), name=name, gpu="RTX 4060", ram_type="DDR5-5600 dual channel")


class HardwarePicker:
    """What the hardware picker shows; no widget, so it runs without a browser.

    Usage: ``view = HardwarePicker(); view.move(vram=24, need="code"); view.rows()``

    machine: where it starts; by default this one, in static renderings the example. vram and ram:
    GiB that may be used, as the sliders stand; 0: none.
    """

    def __init__(self, machine: AvailableMemory | None = None) -> None:
        self.machine = machine or (example_machine() if is_static() else find_memory(hardware()))
        self._start = self._memory(self.machine)
        self.vram, self.ram = self._start
        self.need = "best"
        self.context = 8192
        self.commercial = False
        self.course = False
        self.languages = ""

    @staticmethod
    def _memory(machine: AvailableMemory) -> tuple[float, float]:
        return machine.vram * machine.gpus / GiB, (machine.ram or 0) / GiB

    def move(self, **values: Any) -> None:
        """Set some of the attributes, as the controls of the same names do."""
        for name, value in values.items():
            setattr(self, name, value)

    @property
    def most(self) -> tuple[float, float]:
        """Where the sliders of vram and ram end, in GiB."""
        return max(32, 2 * self._start[0]), max(64, 2 * self._start[1])

    @property
    def budget(self) -> AvailableMemory:
        """The machine as the sliders stand: untouched, exactly the one they started from."""
        if (self.vram, self.ram) == self._start:
            return self.machine
        vram, ram = round(self.vram * GiB), round(self.ram * GiB)
        name, old = t("such a machine", "这样的机器"), self.machine
        gpu = old.gpu if vram else None
        return AvailableMemory(
            name=name,
            vram=vram,
            ram=ram or None,
            gpus=int(vram > 0),
            gpu=gpu,
            ram_type=old.ram_type,
        )

    @property
    def picks(self) -> Picks:
        """What the picker says to it."""
        return pick(
            self.need,
            commercial=self.commercial,
            context=self.context,
            languages=self.languages.replace(",", " ").split(),
            course=self.course,
            machine=self.budget,
        )

    def rows(self) -> list[Bar]:
        """One line a model: what its memory is made of."""
        return _bars(self.picks)

    def __str__(self) -> str:
        return str(self.picks)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        picks = self.picks
        machine = picks.machine
        bars = draw_bars(_bars(picks), machine.total, machine.vram * machine.gpus)
        return bars + picks._repr_html_()


def _bars(picks: Picks) -> list[Bar]:
    shown = picks.shown[:SHOWN]
    return [Bar(f"{o.model} {o.quant}", o.weights, o.kv_cache, o.runtime) for o in shown]


def show_hardware_picker(machine: AvailableMemory | None = None) -> Any:
    """The picker with sliders; its fixed HTML form in static renderings.

    Usage: ``show_hardware_picker()`` as the last line of a cell. Everything can be reached with
    the keyboard: Tab from control to control, arrow keys to change one.
    """
    view = HardwarePicker(machine)
    if is_static():
        return view
    import ipywidgets as w

    def control(kind: Any, label: str, **values: Any) -> Any:
        style = {"description_width": "9em"}
        return kind(description=label, style=style, layout=w.Layout(width="34em"), **values)

    slide = {"min": 0, "step": 0.1, "readout_format": ".1f", "continuous_update": False}
    most_vram, most_ram = view.most
    controls = {
        "vram": control(
            w.FloatSlider, t("GPU, GiB", "显存（GiB）"), value=view.vram, max=most_vram, **slide
        ),
        "ram": control(
            w.FloatSlider, t("RAM, GiB", "内存（GiB）"), value=view.ram, max=most_ram, **slide
        ),
        # A slider, not a list: JupyterLab takes the up and down keys from a list.
        "need": control(
            w.SelectionSlider,
            t("Need", "用途"),
            options=[(str(need.name), key) for key, need in list_needs().items()],
            value=view.need,
            continuous_update=False,
        ),
        "languages": control(
            w.Text, t("Languages", "语言"), placeholder="zh en", continuous_update=False
        ),
        "context": control(
            w.SelectionSlider,
            t("Context", "上下文"),
            options=[(f"{n:,}", n) for n in CONTEXTS],
            value=view.context,
            continuous_update=False,
        ),
        "commercial": control(w.Checkbox, t("Commercial use", "需要商用"), value=False),
        "course": control(w.Checkbox, t("The course's own models", "课程里的模型"), value=False),
    }
    shown = w.HTML(view._repr_html_())

    def redraw(change: dict[str, Any]) -> None:
        name = next(name for name, one in controls.items() if one is change["owner"])
        view.move(**{name: change["new"]})
        shown.value = view._repr_html_()

    for one in controls.values():
        one.observe(redraw, names="value")
    return w.VBox([*controls.values(), shown])
