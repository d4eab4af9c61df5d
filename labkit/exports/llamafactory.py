"""A tuning for LLaMA-Factory: its YAML, the list of data sets it wants, and the samples.

Usage: ``write_llamafactory("clinic", "pocket/qwen2.5", "for-llamafactory")``

LLaMA-Factory does not run a model's own Jinja template: it has formats of its own under names such
as ``qwen``, and guesses one where it is given none, tools and default prompts apart. So the samples
are rendered here by the model's own template and go over in pieces, prompt and answer in turn, with
``template: empty``, which adds nothing.
"""

import json
from pathlib import Path
from typing import Any, Unpack

from ..core.i18n import t
from ..finetuning.settings import SettingsOptions, show_settings
from ..finetuning.tasks import Task
from .exported import Exported, as_jsonl, as_yaml, write_export
from .tuning_job import SPLITS, TuningJob, settle_job

CONFIG = "llamafactory.yaml"

CHECKED_WITH = "0.9.5"
"""The release that reads these exports in the tests, and trains a few steps by one."""

_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
}


@show_settings
def write_llamafactory(
    task: str | Path | Task,
    model: str | Path,
    folder: str | Path,
    method: str = "lora",
    **options: Unpack[SettingsOptions],
) -> Exported:
    """Write what LLaMA-Factory needs to do what ``lab.finetune(model, task, method)`` does.

    Usage: ``write_llamafactory("clinic", "pocket/qwen2.5", "out", steps=100)``

    task, model, method, options: as :func:`labkit.finetune` takes them. The test split stays out.
    Raises LabError as it does, and where the folder holds something else. A tokenizer that puts a
    space in front of every text may make other tokens of a piece than of the whole; a note says so.
    """
    job = settle_job(task, model, method, options)
    rows = {split: [job.pieces(item) for item in job.split(split)] for split in SPLITS}
    exact = all(exact for split in SPLITS for _, exact in rows[split])
    names = {split: f"{job.task.name}_{split}" for split in SPLITS}
    listed = {
        names[split]: {
            "file_name": f"{split}.jsonl",
            "formatting": "sharegpt",
            "columns": {"messages": "messages"},
            "tags": _TAGS,
        }
        for split in SPLITS
    }
    texts = {CONFIG: as_yaml(_config(job, names), _comment(job))}
    texts["dataset_info.json"] = json.dumps(listed, indent=1, ensure_ascii=False) + "\n"
    for split in SPLITS:
        texts[f"{split}.jsonl"] = as_jsonl(
            {"messages": _turns(pieces)} for pieces, _ in rows[split]
        )
    notes = [_spacing_note(exact), job.note]
    return write_export("llamafactory", folder, texts, [f"llamafactory-cli train {CONFIG}"], notes)


def _comment(job: TuningJob) -> str:
    return t(
        f"{job.settings.method} of {job.model.name} on the task {job.task.name},"
        " for LLaMA-Factory. The samples are rendered already, so no template is used.\n"
        f"Run in this folder: llamafactory-cli train {CONFIG}",
        f"用 LLaMA-Factory 以 {job.settings.method} 方式在任务 {job.task.name} 上微调"
        f" {job.model.name}。样本已按模型自带的模板展开，因此 template 为 empty。\n"
        f"在本文件夹里运行：llamafactory-cli train {CONFIG}",
    )


def _turns(pieces: list[str]) -> list[dict[str, str]]:
    roles = ("user", "assistant")
    return [{"role": roles[i % 2], "content": text} for i, text in enumerate(pieces)]


def _spacing_note(exact: bool) -> str:
    if exact:
        return ""
    return t(
        "This tokenizer puts a space in front of every text, and LLaMA-Factory tokenizes prompt"
        " and answer apart: answers will begin with a space token that labkit does not write.",
        "该分词器会在每段文本前加一个空格，而 LLaMA-Factory 对提示和回答分别分词："
        "因此回答开头会多一个空格词元，labkit 不会这样写。",
    )


def _config(job: TuningJob, names: dict[str, str]) -> dict[str, Any]:
    settings = job.settings
    tuned: dict[str, Any] = {"finetuning_type": "full"}
    if settings.method != "full":
        every = settings.targets == "all-linear"
        tuned = {
            "finetuning_type": "lora",
            "lora_rank": settings.rank,
            "lora_alpha": settings.alpha or 2 * settings.rank,
            "lora_dropout": settings.dropout,
            "lora_target": "all" if every else ",".join(settings.targets),
        }
    if settings.method == "qlora":
        tuned |= {
            "quantization_bit": 4,
            "quantization_method": "bnb",
            "quantization_type": "nf4",
            "double_quantization": settings.quant == "nf4-double",
        }
    return {
        "model_name_or_path": job.base,
        "stage": "sft",
        "do_train": True,
        **tuned,
        "dataset_dir": ".",
        "dataset": names["train"],
        "eval_dataset": names["validation"],
        "template": "empty",
        "cutoff_len": job.longest,
        "per_device_train_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulate,
        "max_steps": settings.steps,
        "learning_rate": settings.rate,
        "lr_scheduler_type": "warmup_stable_decay",
        "lr_scheduler_kwargs": {"num_decay_steps": settings.steps // 2, "decay_type": "linear"},
        "warmup_steps": settings.warmup,
        "optim": "adamw_torch",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        "bf16": job.precision == "bf16",
        "fp16": job.precision == "fp16",
        "disable_gradient_checkpointing": not settings.checkpointing,
        "eval_strategy": "steps",
        "eval_steps": settings.evaluate_every,
        "save_steps": settings.checkpoint_every,
        "logging_steps": 10,
        "seed": settings.seed,
        "report_to": "none",
        "output_dir": "tuned",
    }
