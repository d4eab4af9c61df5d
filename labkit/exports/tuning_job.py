"""What every tool for tuning is told: which model, which samples, which settings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..engines import Model, load
from ..finetuning.dataset import MULTIPLE, answer_segments, encode_sample, encode_samples
from ..finetuning.experiment import locate_base, read_settings
from ..finetuning.lora import check_targets
from ..finetuning.settings import Settings, SettingsOptions, default_precision
from ..finetuning.tasks import Task, load_task

if TYPE_CHECKING:
    from ..pocket.corpus import Item

SPLITS = ("train", "validation")
"""What is handed over; the test stays here, to be asked before and after."""


@dataclass(frozen=True)
class TuningJob:
    """One tuning, settled. longest: tokens of the longest sample, padded as it will be.

    base: what the tool is to load: a Hub id, or else the folder on this disk.
    """

    model: Model
    base: str
    task: Task
    settings: Settings
    longest: int

    def split(self, name: str) -> "Sequence[Item]":
        """The samples of one of SPLITS."""
        return tuple(getattr(self.task, name))

    def pieces(self, item: "Item") -> tuple[list[str], bool]:
        """A sample as text, prompt and answer in turn, and whether tokenizing each gives the whole.

        Some tokenizers put a space in front of any text: where the template has written one there,
        it is left to them.
        """
        texts = [text for text, _ in answer_segments(self.model, item)]
        bare = [texts[0], *(text.removeprefix(" ") for text in texts[1:])]
        whole = list(encode_sample(self.model, item).ids)
        for pieces in (texts, bare):
            encoded = self.model.tokenizer(pieces, add_special_tokens=False)["input_ids"]
            if [id for ids in encoded for id in ids] == whole:
                return pieces, True
        return texts, False

    @property
    def precision(self) -> str:
        """bf16, fp16 or fp32: what was asked for, else what this machine trains in."""
        return self.settings.precision or default_precision(self.settings.method)

    @property
    def note(self) -> str:
        """What must be said of a pocket model."""
        return self.model.location.note


def settle_job(
    task: str | Path | Task, model: str | Path, method: str, options: SettingsOptions
) -> TuningJob:
    """Settle a tuning as :func:`labkit.finetune` would do it, and refuse what it would refuse.

    Usage: ``settle_job("clinic", "pocket/qwen2.5", "lora", {"steps": 100})``
    """
    location = locate_base(model)
    settings = read_settings(location, method, options)
    loaded, task = load(location, "transformers"), load_task(task)
    if method != "full" and settings.targets != "all-linear":
        check_targets(loaded, settings.targets)
    samples = [s for name in SPLITS for s in encode_samples(loaded, getattr(task, name), name)]
    longest = max(len(sample.ids) for sample in samples)
    on_hub = re.fullmatch(r"[\w.-]+/[\w.-]+", location.name) and not location.is_pocket
    here = not on_hub or Path(location.name).is_dir()
    base = str(location.path.resolve()) if here else location.name
    return TuningJob(loaded, base, task, settings, -(-longest // MULTIPLE) * MULTIPLE)
