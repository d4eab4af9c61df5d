"""How much memory there is for a model: what was found on this machine, or what a person typed.

A "24 GB" card and "16 GB" of RAM are counted in GiB, as their makers do, less what is never free:
the shares stand under [rules] in ``labkit/data/needs.toml``.
"""

import math
from dataclasses import dataclass

from ..core.errors import LabError
from ..core.i18n import t
from ..core.numbers import is_number
from ..core.units import GiB, show_bytes
from ..machine.gpu_detection import GPU
from ..machine.hardware import Hardware
from .needs import rules

MOST_GB = 100_000
"""A larger number was meant as bytes or MB."""


@dataclass(frozen=True)
class AvailableMemory:
    """Memory that a model may use, in bytes.

    name: the machine, in words. vram: of one GPU, 0 without one. gpus: how many alike. ram: None
    where nothing is known of it, or where it is the same memory as the GPU's: everything must
    then fit on the GPU. gpu, ram_type: names, for their speed. unified: it shares
    the computer's RAM. notes: what was left out, and why.
    """

    name: str
    vram: int
    ram: int | None
    gpus: int = 0
    gpu: str | None = None
    ram_type: str | None = None
    unified: bool = False
    notes: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """All of it."""
        return self.vram * self.gpus + (self.ram or 0)

    def __str__(self) -> str:
        parts = []
        if self.vram:
            times = f"{self.gpus} × " if self.gpus > 1 else ""
            parts.append(t("GPU ", "显存 ") + times + show_bytes(self.vram))
        if self.ram is not None:
            parts.append(t("RAM ", "内存 ") + show_bytes(self.ram))
        joined = " + ".join(parts) or show_bytes(0)
        return t(f"{self.name}: {joined} to use", f"{self.name}：可用{joined}")


def type_memory(vram: float | None, ram: float | None) -> AvailableMemory:
    """The memory of a machine that a person describes, in GB as written on its box.

    Usage: ``type_memory(8, None)``, ``type_memory(24, 64)``, ``type_memory(None, 16)``

    vram: of the GPU; None or 0: there is none. ram: None: not counted, everything must fit on
    the GPU. "8 GB" is read as 8 GiB. Raises LabError for numbers that cannot be.
    """
    card, computer = _bytes("vram", vram), _bytes("ram", ram)
    if not card and not computer:
        raise LabError(
            t("There is no memory to run a model in.", "没有可以运行模型的内存。"),
            t("Give vram or ram in GB, as in vram=8.", "请给出 vram 或 ram（GB），例如 vram=8。"),
        )
    r = rules()
    names = []
    if card:
        names.append(t(f"a card of {vram:g} GB", f"{vram:g} GB 显卡"))
        card = max(0, round(card * (1 - r["gpu_kept"]) - r["gpu_context"] * GiB))
    if computer:
        names.append(t(f"{ram:g} GB of RAM", f"{ram:g} GB 内存"))
        computer -= round(max(computer * r["ram_kept"], r["ram_kept_least"] * GiB))
        computer = max(0, computer)
    return AvailableMemory(
        t(" with ", " 加 ").join(names), card, None if ram is None else computer, int(card > 0)
    )


def _bytes(name: str, size: float | None) -> int:
    if size is None:
        return 0
    if not is_number(size) or not math.isfinite(size) or not 0 <= size <= MOST_GB:
        raise LabError(
            t(
                f"{name} is {size!r:.40}: that is no size in GB.",
                f"{name} 为 {size!r:.40}，不是合理的 GB 数。",
            ),
            t(f"Write it in GB, as in {name}=8.", f"请以 GB 为单位，例如 {name}=8。"),
        )
    return round(size * GiB)


def find_memory(hardware: Hardware) -> AvailableMemory:
    """What is free on a machine right now, less what is to be left alone.

    Usage: ``find_memory(lab.hardware())``. A GPU that does not report its memory is not counted;
    of GPUs of several makers only those with the most memory are.
    """
    r = rules()
    notes = tuple(
        t(
            f"{gpu.name or gpu.vendor} reports no memory and is not counted; give vram in GB.",
            f"{gpu.name or gpu.vendor} 没有报告显存，未计入；请用 vram 给出（GB）。",
        )
        for gpu in hardware.gpus
        if gpu.memory_total is None
    )
    ram = round(hardware.memory.available * (1 - r["ram_free_kept"]))
    gpus = _alike(hardware.gpus)
    if not gpus:
        return AvailableMemory(hardware.cpu.name or t("this computer", "本机"), 0, ram, notes=notes)
    free = min(_free(gpu) for gpu in gpus)
    vram = max(0, free - round(r["gpu_context"] * GiB))
    name = gpus[0].name or gpus[0].vendor
    if gpus[0].unified:
        return AvailableMemory(
            name, min(vram, ram), None, 1, gpus[0].name, unified=True, notes=notes
        )
    return AvailableMemory(name, vram, ram, len(gpus) if vram else 0, gpus[0].name, notes=notes)


def _free(gpu: GPU) -> int:
    known = gpu.memory_total if gpu.memory_free is None else gpu.memory_free
    return known or 0


def _alike(gpus: tuple[GPU, ...]) -> list[GPU]:
    """Those of the maker whose GPUs have the most memory together."""
    known = [gpu for gpu in gpus if gpu.memory_total is not None]
    by_maker: dict[str, list[GPU]] = {}
    for gpu in known:
        by_maker.setdefault(gpu.vendor, []).append(gpu)
    return max(by_maker.values(), key=lambda some: sum(map(_free, some)), default=[])
