"""Will a training fit, and what would: the estimate beside the memory that is free."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.units import show_bytes
from ..estimation.memory import estimate
from ..estimation.training_memory import TrainingEstimate
from ..machine.hardware import hardware
from .settings import Settings


@dataclass(frozen=True)
class TrainingPlan:
    """A training before it begins. folder: of the model; seq: tokens of its longest sample."""

    folder: Path
    settings: Settings
    precision: str
    seq: int

    def predict(self, **changes: Any) -> TrainingEstimate:
        """What :func:`labkit.estimate` says, with some settings changed.

        Usage: ``plan.predict(batch=1).total``
        """
        settings = replace(self.settings, **changes)
        return estimate(
            self.folder,
            train=settings.method,
            batch=settings.batch,
            seq=self.seq,
            rank=settings.rank,
            targets=settings.targets,
            quant=settings.quant,
            precision=self.precision,
            checkpointing=settings.checkpointing,
            optimizer="adamw_torch_fused",
        )

    def advice(self, free: int) -> LabError:
        """What is too much for the free bytes, and what would fit, in numbers."""
        settings = self.settings
        half = max(1, settings.batch // 2)
        ways: list[dict[str, Any]] = [
            {"batch": half, "accumulate": settings.accumulate * settings.batch // half},
            {"checkpointing": True},
            {"method": "lora"},
            {"method": "qlora"},
            {"method": "qlora", "batch": 1, "checkpointing": True},
        ]
        shown = []
        for way in ways:
            total = self.predict(**way).total
            if replace(settings, **way) != settings and total <= free:
                words = ", ".join(f"{key}={value!r}" for key, value in way.items())
                shown.append(f"{words} ({show_bytes(total)})")
        now, least = (show_bytes(self.predict(**way).total) for way in ({}, ways[-1]))
        return LabError(
            t(
                f"Memory does not suffice: {settings.method} with batch={settings.batch} and"
                f" {self.seq} tokens takes about {now}, and {show_bytes(free)} are free.",
                f"内存不足：{settings.method}、batch={settings.batch}、{self.seq} 个词元约需"
                f" {now}，而可用的只有 {show_bytes(free)}。",
            ),
            t(f"This would fit: {'; '.join(shown)}.", f"可以改用：{'；'.join(shown)}。")
            if shown
            else t(
                f"Even qlora with batch=1 takes {least}: take a smaller model.",
                f"即使用 qlora、batch=1 也要 {least}：请换更小的模型。",
            ),
        )

    def check(self) -> None:
        """Refuse what cannot fit. Usage: ``plan.check()``

        A GPU may try, for the estimate is one, and says when it is full. A CPU does not say no:
        the system would slow to a halt or end the process.
        """
        free = free_memory()
        if self.predict().total > free and not need("torch").cuda.is_available():
            raise self.advice(free)

    @contextmanager
    def advising(self) -> Iterator[None]:
        """Turn running out of memory inside into advice.

        Usage: ``with plan.advising(): train(…)``
        """
        free = free_memory()
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise self.advice(free) from error


def free_memory() -> int:
    """Bytes that a training may take: of the GPU if there is one, else of RAM."""
    cuda = need("torch").cuda
    return int(cuda.mem_get_info()[0]) if cuda.is_available() else hardware().memory.available


def is_out_of_memory(error: BaseException) -> bool:
    """Whether PyTorch, on any device, or Python found no memory."""
    if isinstance(error, MemoryError | need("torch").OutOfMemoryError):
        return True
    words = ("can't allocate memory", "not enough memory", "out of memory")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
