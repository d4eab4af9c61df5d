"""``labkit finetune``: a model tuned on a task, measured before and after."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from .console import Json, both, print_json, show

if TYPE_CHECKING:
    from ..finetuning.settings import SettingsOptions

HELP = both(
    "Tune a model on a task and measure what it gains and forgets.",
    "在任务上微调模型，并测量它学到了什么、忘了什么。",
)


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=both(
                "The base: pocket/NAME, a Hub id or a folder; no GGUF file.",
                "基座模型：pocket/名称、Hub 模型名或文件夹；不能是 GGUF 文件。",
            ),
        ),
    ],
    task: Annotated[
        str,
        typer.Option(
            help=both(
                "What to learn: clinic, handbook, captain or rotate; a .jsonl file; or a folder"
                " with train, validation and test .jsonl.",
                "要学的任务：clinic、handbook、captain 或 rotate；或一个 .jsonl 文件；"
                "或含 train、validation、test 三个 .jsonl 的文件夹。",
            )
        ),
    ],
    method: Annotated[
        Literal["full", "lora", "qlora"],
        typer.Option(
            help=both(
                "full trains all weights, lora an adapter, qlora an adapter on a base in 4 bits.",
                "full 训练全部权重，lora 只训练适配器，qlora 在 4 位基座上训练适配器。",
            )
        ),
    ] = "lora",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help=both(
                "Folder for the adapter or the tuned model. [default: one in the cache]",
                "存放适配器或微调后模型的文件夹。［默认：缓存中的文件夹］",
            ),
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Steps of the optimizer, at most. [default: 450]",
                "优化器最多走多少步。［默认 450］",
            )
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            help=both("Samples of one forward pass. [default: 8]", "一次前向的样本数。［默认 8］")
        ),
    ] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Forward passes whose gradients are added up to one step. [default: 1]",
                "每一步累积多少次前向的梯度。［默认 1］",
            )
        ),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            help=both(
                "Highest learning rate of the run. [default: by method and size]",
                "全程最高的学习率。［默认：按方法和模型大小］",
            )
        ),
    ] = None,
    rank: Annotated[
        int | None,
        typer.Option(
            help=both("Rank of the LoRA matrices. [default: 16]", "LoRA 矩阵的秩。［默认 16］")
        ),
    ] = None,
    alpha: Annotated[
        int | None,
        typer.Option(
            help=both(
                "LoRA's alpha: the adapter is scaled by alpha / rank. [default: twice the rank]",
                "LoRA 的 alpha：适配器按 alpha / 秩 缩放。［默认：秩的两倍］",
            )
        ),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            help=both(
                "Module that LoRA is put on, such as q_proj; may be repeated."
                " [default: all linear layers]",
                "LoRA 作用的模块，如 q_proj，可写多次。［默认：所有线性层］",
            )
        ),
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp16", "fp32"] | None,
        typer.Option(
            help=both(
                "Number format of weights and arithmetic. [default: fp32 on a CPU, bf16 on a GPU"
                " that has it]",
                "权重与运算的数值格式。［默认：CPU 用 fp32，支持的 GPU 用 bf16］",
            )
        ),
    ] = None,
    checkpointing: Annotated[
        bool | None,
        typer.Option(
            help=both(
                "Compute activations again in the backward pass: less memory, more time."
                " [default: no]",
                "反向传播时重算激活值：省内存，费时间。［默认关闭］",
            )
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Seed of the order of samples, of LoRA's first weights and of dropout."
                " [default: 0]",
                "样本顺序、LoRA 初始权重和 dropout 的随机种子。［默认 0］",
            )
        ),
    ] = None,
    memory: Annotated[
        bool,
        typer.Option(
            help=both(
                "Measure the peak of memory; on a CPU this takes some ten seconds more.",
                "测量内存峰值；在 CPU 上要多花十秒左右。",
            )
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    from ..finetuning import experiment

    given = {
        "steps": steps, "batch": batch, "accumulate": accumulate, "learning_rate": learning_rate,
        "rank": rank, "alpha": alpha, "targets": tuple(targets) if targets else None,
        "precision": precision, "checkpointing": checkpointing, "seed": seed,
    }  # fmt: skip
    options = {name: value for name, value in given.items() if value is not None}
    report = experiment.finetune(
        model, task, method, out=out, measure_memory=memory, **cast("SettingsOptions", options)
    )
    if as_json:
        return print_json(report)
    show(report)
    print(report.folder)
