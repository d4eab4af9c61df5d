"""The command for tuning a model: ``labkit finetune``."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from .console import Json, both, print_json

app = typer.Typer()

BaseName = Annotated[
    str,
    typer.Argument(
        help=both("A pocket name, a Hub id or a folder.", "口袋模型名、Hub 模型名或文件夹。")
    ),
]
TaskName = Annotated[
    str,
    typer.Option(
        help=both(
            "clinic, handbook, captain, rotate; or a .jsonl file, or a folder of three.",
            "clinic、handbook、captain、rotate；或 .jsonl 文件，或含三个文件的文件夹。",
        )
    ),
]
Method = Annotated[
    Literal["full", "lora", "qlora"], typer.Option(help=both("What is trained.", "微调方式。"))
]


@app.command(
    help=both(
        "Tune a model on a task and measure what it gains and forgets.",
        "在任务上微调模型，并测量它学到了什么、忘了什么。",
    )
)
def finetune(
    model: BaseName,
    task: TaskName,
    method: Method = "lora",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help=both(
                "Folder for what is made; else in the cache.", "输出文件夹，默认放在缓存里。"
            ),
        ),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help=both("Of the optimizer, at most.", "优化器最多走多少步。"))
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help=both("Samples at once.", "同时处理的样本数。"))
    ] = None,
    accumulate: Annotated[
        int | None, typer.Option(help=both("Batches of one step.", "每步累积多少批。"))
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help=both("The highest of the run.", "最高学习率。"))
    ] = None,
    rank: Annotated[int | None, typer.Option(help=both("Of LoRA.", "LoRA 的秩。"))] = None,
    alpha: Annotated[
        int | None,
        typer.Option(help=both("Of LoRA; else twice the rank.", "LoRA 的 alpha，默认为秩的两倍。")),
    ] = None,
    targets: Annotated[
        list[str] | None,
        typer.Option(
            help=both("A module for LoRA; may be repeated.", "LoRA 作用的模块，可写多次。")
        ),
    ] = None,
    precision: Annotated[
        Literal["bf16", "fp16", "fp32"] | None,
        typer.Option(help=both("Of the training.", "训练精度。")),
    ] = None,
    checkpointing: Annotated[
        bool | None, typer.Option(help=both("Recompute activations.", "是否重算激活以省内存。"))
    ] = None,
    seed: Annotated[int | None, typer.Option(help=both("Of all chance.", "随机种子。"))] = None,
    memory: Annotated[
        bool, typer.Option(help=both("Measure the peak of memory.", "是否测量内存峰值。"))
    ] = True,
    as_json: Json = False,
) -> None:
    from ..finetuning import experiment

    given = {
        "steps": steps, "batch": batch, "accumulate": accumulate, "learning_rate": learning_rate,
        "rank": rank, "alpha": alpha, "targets": tuple(targets) if targets else None,
        "precision": precision, "checkpointing": checkpointing, "seed": seed,
    }  # fmt: skip
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    report = experiment.finetune(model, task, method, out=out, measure_memory=memory, **options)
    if as_json:
        return print_json(report)
    print(report)
    print(report.folder)
