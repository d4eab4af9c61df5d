"""What a fine-tuning did: its report, as a table, and kept beside what it made.

Usage: ``find_report(folder, key)``; ``print(lab.finetune("pocket/qwen2.5", "clinic"))``
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from ..core.cache import replacing
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from ..core.units import show_bytes
from .trainer import ValidationPoint

RECORD = "report.json"


@dataclass(frozen=True, repr=False)
class Report(ShowsTable):
    """What one fine-tuning did.

    exact_match_*: share of right answers among the task's test_questions; old_skills_*: among
    old_questions on what pocket models know, None for other models. adapter_size: bytes of the
    weights to keep for the task; of a full tuning, of the whole model. seconds: of the training,
    without loading and asking. peak_memory: bytes by which the training grew a process that had
    loaded its libraries; on a GPU, PyTorch's count; None where it was not measured.
    predicted_memory: by :func:`labkit.estimate`. folder: holds the adapter, or the model.
    """

    method: str
    task: str
    exact_match_before: float
    exact_match_after: float
    old_skills_before: float | None
    old_skills_after: float | None
    trainable_parameters: int
    adapter_size: int
    seconds: float
    peak_memory: int | None
    predicted_memory: int
    model: str
    steps: int
    best_step: int
    steps_per_second: float
    test_questions: int
    old_questions: int
    seed: int
    device: str
    folder: Path
    history: tuple[ValidationPoint, ...]
    notes: tuple[str, ...]

    def table(self) -> Table:
        """As a person reads it."""
        return _table([self], self.notes)


@dataclass(frozen=True, repr=False)
class MethodComparison(ShowsTable):
    """The same task by several methods: same data, order, seed and steps."""

    rows: tuple[Report, ...]

    def table(self) -> Table:
        """As a person reads it."""
        notes = dict.fromkeys(note for row in self.rows for note in row.notes)
        return _table(self.rows, tuple(notes))


def keep_report(report: Report, key: str) -> None:
    """Write a report beside what was trained, so that it can be found again.

    Usage: ``keep_report(report, key)``. key: stands for all that the training came from. Notes are
    left out: they speak the language of their day.
    """
    kept = asdict(report) | {"key": key}
    del kept["folder"], kept["notes"]
    text = json.dumps(kept, indent=1) + "\n"
    with replacing(report.folder / RECORD, len(text)) as part:
        part.write_text(text, encoding="utf-8")


def find_report(folder: Path, key: str) -> Report | None:
    """The report kept in a folder, without notes; None where there is none of this key.

    Usage: ``find_report(folder, key)``
    """
    path = folder / RECORD
    if not path.is_file() or not any(folder.glob("*.safetensors")):
        return None
    kept = json.loads(path.read_text(encoding="utf-8"))
    if kept.pop("key") != key:
        return None
    kept["history"] = tuple(ValidationPoint(**point) for point in kept["history"])
    return Report(**kept, folder=folder, notes=())


def _table(rows: Sequence[Report], notes: tuple[str, ...]) -> Table:
    header = (
        t("Method", "方法"),
        t("New task", "新任务"),
        t("Old skills", "原有能力"),
        t("Trained parameters", "训练的参数"),
        t("To keep", "需保存"),
        t("Time", "用时"),
        t("Steps/s", "步/秒"),
        t("Peak memory", "内存峰值"),
        t("Predicted", "预测"),
    )
    words = [
        (
            row.method,
            f"{row.exact_match_before:.0%} → {row.exact_match_after:.0%}",
            "–"
            if row.old_skills_before is None or row.old_skills_after is None
            else f"{row.old_skills_before:.0%} → {row.old_skills_after:.0%}",
            f"{row.trainable_parameters:,}",
            show_bytes(row.adapter_size),
            f"{row.seconds:.0f} s",
            f"{row.steps_per_second:.1f}",
            "–" if row.peak_memory is None else show_bytes(row.peak_memory),
            show_bytes(row.predicted_memory),
        )
        for row in rows
    ]
    return Table(header, words, "\n".join(notes))
