"""A tuning for Axolotl: its YAML, and the samples beside it.

Usage: ``write_axolotl("clinic", "pocket/qwen2.5", "for-axolotl")``

Samples go over as messages, and Axolotl renders them by the template in the model's own tokenizer
(``chat_template: tokenizer_default``). Axolotl then learns what stands in a message and the end
token. That is too little where the template writes more that a model must say by itself: a space
before the answer (Llama 2, Mistral, DeepSeek); and where it writes no end token (ChatGLM). Those
samples go over as text already rendered, in pieces that are learnt or not (``input_output``).
"""

from pathlib import Path
from typing import Any, Unpack

from ..conversation.chat_templates import end_of_turn
from ..core.i18n import t
from ..finetuning.dataset import answer_segments
from ..finetuning.settings import SettingsOptions, show_settings
from ..finetuning.tasks import Task
from .exported import Exported, as_jsonl, as_yaml, write_export
from .tuning_job import SPLITS, TuningJob, settle_job

CONFIG = "axolotl.yaml"

CHECKED_WITH = "0.19.0"
"""The release whose schema and data strategies read these exports in the tests."""


@show_settings
def write_axolotl(
    task: str | Path | Task,
    model: str | Path,
    folder: str | Path,
    method: str = "lora",
    **options: Unpack[SettingsOptions],
) -> Exported:
    """Write what Axolotl needs to do what ``lab.finetune(model, task, method)`` does.

    Usage: ``write_axolotl("handbook", "Qwen/Qwen2.5-0.5B-Instruct", "out", "qlora", rank=8)``

    task, model, method, options: as :func:`labkit.finetune` takes them. The test split stays out.
    Raises LabError as it does, and where the folder holds something else.
    """
    job = settle_job(task, model, method, options)
    rendered = _says_more(job)
    texts = {CONFIG: as_yaml(_config(job, rendered), _comment(job))}
    for split in SPLITS:
        texts[f"{split}.jsonl"] = as_jsonl(_row(job, item, rendered) for item in job.split(split))
    commands = [f"axolotl train {CONFIG}"]
    return write_export("axolotl", folder, texts, commands, [job.note])


def _comment(job: TuningJob) -> str:
    return t(
        f"{job.settings.method} of {job.model.name} on the task {job.task.name}, for Axolotl.\n"
        f"Run in this folder: axolotl train {CONFIG}",
        f"用 Axolotl 以 {job.settings.method} 方式在任务 {job.task.name} 上微调"
        f" {job.model.name}。\n在本文件夹里运行：axolotl train {CONFIG}",
    )


def _says_more(job: TuningJob) -> bool:
    """Whether an answer is more, or less, than a message's words and an end token."""
    (_, (answer, _), *_) = answer_segments(job.model, job.task.train[0])
    return answer[0].isspace() or not end_of_turn(job.model)


def _row(job: TuningJob, item: Any, rendered: bool) -> dict[str, Any]:
    if rendered:
        pieces, _ = job.pieces(item)
        return {"segments": [{"label": i % 2 == 1, "text": text} for i, text in enumerate(pieces)]}
    tools = {"tools": list(item.tools)} if item.tools else {}
    return {"messages": list(item.messages)} | tools


def _config(job: TuningJob, rendered: bool) -> dict[str, Any]:
    settings = job.settings
    lora: dict[str, Any] = {}
    if settings.method != "full":
        every = settings.targets == "all-linear"
        lora = {
            "adapter": settings.method,
            "load_in_4bit": settings.method == "qlora" or None,
            "bnb_config_kwargs": _four_bits(settings.quant) if settings.method == "qlora" else None,
            "lora_r": settings.rank,
            "lora_alpha": settings.alpha or 2 * settings.rank,
            "lora_dropout": settings.dropout,
            "lora_target_linear": True if every else None,
            "lora_target_modules": None if every else list(settings.targets),
        }
    return {
        "base_model": job.base,
        **lora,
        "datasets": [_data_set("train", rendered)],
        "test_datasets": [_data_set("validation", rendered)],
        "dataset_prepared_path": "prepared",
        "train_on_inputs": False,
        "sequence_len": job.longest,
        "sample_packing": False,
        "micro_batch_size": settings.batch,
        "gradient_accumulation_steps": settings.accumulate,
        "max_steps": settings.steps,
        "learning_rate": settings.rate,
        "lr_scheduler": "warmup_stable_decay",
        "lr_scheduler_kwargs": {"num_decay_steps": settings.steps // 2, "decay_type": "linear"},
        "warmup_steps": settings.warmup,
        "optimizer": "adamw_torch",
        "weight_decay": settings.weight_decay,
        "max_grad_norm": settings.max_grad_norm,
        # Axolotl is run on the GPU of another machine as often as not: it shall look itself.
        "bf16": settings.precision == "bf16" if settings.precision else "auto",
        "fp16": settings.precision == "fp16" or None,
        "gradient_checkpointing": settings.checkpointing,
        "eval_steps": settings.evaluate_every,
        "save_steps": settings.checkpoint_every,
        "seed": settings.seed,
        "output_dir": "tuned",
    }


def _data_set(split: str, rendered: bool) -> dict[str, Any]:
    # split: of a file of its own, Axolotl calls everything "train".
    file = {"path": f"{split}.jsonl", "ds_type": "json", "split": "train"}
    if rendered:
        return file | {"type": "input_output"}
    return file | {
        "type": "chat_template",
        "chat_template": "tokenizer_default",
        "field_messages": "messages",
        "roles_to_train": ["assistant"],
        "train_on_eos": "turn",
    }


def _four_bits(quant: str) -> dict[str, Any]:
    return {
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": quant == "nf4-double",
    }
