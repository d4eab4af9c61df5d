"""Merging an adapter: into which weights, and what each choice costs.

An adapter of QLoRA was trained on top of a base in 4 bits. Merged into what those 4 bits stand for
(the dequantized base), the model is what was trained. Merged into the original 16-bit base, it
gets the better base under an adapter that had learnt to make up for the worse. Merged into the
4 bits themselves, the sum is rounded to 4 bits again, and small changes drown.
"""

from dataclasses import dataclass
from pathlib import Path

from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from ..core.units import show_bytes
from ..engines import Model
from .dataset import encode_samples
from .experiment import exact_match
from .lora import dequantize, load_adapter, load_base, merge_adapters, save_model
from .tasks import Task, load_task
from .trainer import validation_loss

INTO = ("original", "dequantized", "quantized")
"""What an adapter can be merged into; "quantized" is there to be seen to fail."""


@dataclass(frozen=True)
class Merge:
    """One way and what came of it. into: None is the adapter on its quantized base, not merged.

    exact_match: share of the task's test. loss: nats a token of its answers, finer than that.
    memory: bytes of the weights as they are held.
    """

    into: str | None
    exact_match: float
    loss: float
    memory: int


@dataclass(frozen=True, repr=False)
class Merges(ShowsTable):
    """The ways beside each other; shows itself as a table."""

    rows: tuple[Merge, ...]
    note: str = ""

    def table(self) -> Table:
        """As a person reads it."""
        names = {
            None: t("adapter on the 4-bit base, as trained", "适配器 + 4 位基座（训练时的样子）"),
            "original": t("into the original 16-bit base", "合并到原始 16 位基座"),
            "dequantized": t("into the dequantized base", "合并到反量化后的基座"),
            "quantized": t("into the 4 bits themselves", "直接合并进 4 位权重"),
        }
        header = (
            t("Merged", "合并方式"),
            t("Exact match", "完全匹配"),
            t("Loss", "损失"),
            t("Weights in memory", "权重占内存"),
        )
        rows = [
            (names[r.into], f"{r.exact_match:.0%}", f"{r.loss:.4f}", show_bytes(r.memory))
            for r in self.rows
        ]
        return Table(header, rows, self.note)


def merge(
    adapter: str | Path,
    base: str | Path,
    out: str | Path,
    *,
    into: str = "original",
    quant: str = "nf4-double",
) -> Path:
    """A whole model of an adapter and its base, for llama.cpp and all who know no adapters.

    Usage: ``lab.load(merge(report.folder, "pocket/qwen2.5", "clinic-merged"))``

    into: "original" takes the base's own weights; "dequantized" what quant makes of them. Written
    in the float type of the base's files. Raises LabError as
    :func:`~labkit.finetuning.lora.load_adapter` and :func:`~labkit.finetuning.lora.save_model` do.
    """
    if into not in INTO[:2]:
        raise LabError(
            t(f"into={into!r:.40} does not work.", f"into={into!r:.40} 不可用。"),
            t(f"Choose from: {', '.join(INTO[:2])}.", f"可选：{'、'.join(INTO[:2])}。"),
        )
    return save_model(merged(adapter, base, into=into, quant=quant), out)


def merged(
    adapter: str | Path, base: str | Path, *, into: str = "original", quant: str = "nf4-double"
) -> Model:
    """The same in memory: a plain model, ready to chat. into: one of INTO.

    Usage: ``Chat(merged(report.folder, "pocket/qwen2.5"))("Triage: fever, 40 degrees, age 30.")``
    """
    model = load_base(base, quant=None if into == "original" else quant)
    if into == "dequantized":
        dequantize(model)
    load_adapter(model, adapter, "merged")
    merge_adapters(model)
    return model


def compare_merges(
    adapter: str | Path,
    base: str | Path,
    task: str | Path | Task,
    *,
    quant: str = "nf4-double",
) -> Merges:
    """Every way to merge an adapter, measured on the test of its task.

    Usage: ``compare_merges(report.folder, "pocket/qwen2.5", "rotate")``
    """
    task = load_task(task)
    trained = load_base(base, quant=quant)
    load_adapter(trained, adapter, "trained")
    rows = [_measured(None, trained, task)]
    rows += [_measured(into, merged(adapter, base, into=into, quant=quant), task) for into in INTO]
    return Merges(tuple(rows), trained.location.note)


def _measured(into: str | None, model: Model, task: Task) -> Merge:
    loss = validation_loss(model, encode_samples(model, task.test, "test"))
    size = sum(p.nbytes for p in model.model.parameters())
    return Merge(into, exact_match(model, task.test), loss, size)
