"""``labkit export``: a model, or the tuning of one, as files that another tool reads."""

from pathlib import Path
from typing import Annotated, Any, Literal

import click
import typer

from ..core.i18n import t
from ..exports.targets import TARGETS, writer
from .console import Json, ModelName, both, print_json, show

HELP = both(
    "Write a model, or the tuning of one, as files that another tool reads.",
    "把模型（或一次微调）写成其他工具可以直接用的文件。",
)


def command(
    model: ModelName,
    to: Annotated[
        str,
        typer.Option(
            click_type=click.Choice(list(TARGETS)),
            help=both(
                "Tool to write for; axolotl and llamafactory are given a tuning, the others a"
                " model.",
                "目标工具；axolotl 和 llamafactory 接收一次微调，其他工具接收模型。",
            ),
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help=both("Folder to write into.", "写入的文件夹。")),
    ],
    quant: Annotated[
        str | None,
        typer.Option(
            help=both(
                "GGUF type of the weights. [default: Q4_K_M]", "权重的 GGUF 类型。［默认 Q4_K_M］"
            )
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Name of the model in the tool. [default: made from its own]",
                "模型在目标工具里的名称。［默认：由原名得来］",
            )
        ),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(
            help=both("Folder of a LoRA adapter to go along.", "一同导出的 LoRA 适配器文件夹。")
        ),
    ] = None,
    context: Annotated[
        int | None,
        typer.Option(
            help=both("Longest context of the server, in tokens.", "服务的最大上下文长度（词元）。")
        ),
    ] = None,
    vram: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Memory of one GPU, such as 24GiB; a model that does not fit is refused.",
                "一块 GPU 的显存，如 24GiB；放不下的模型会被拒绝。",
            )
        ),
    ] = None,
    gpus: Annotated[
        int | None,
        typer.Option(
            help=both("GPUs that share the model. [default: 1]", "由几块 GPU 分担模型。［默认 1］")
        ),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(
            help=both(
                "Task of the tuning, as labkit finetune takes it.",
                "微调的任务，写法同 labkit finetune。",
            )
        ),
    ] = None,
    method: Annotated[
        Literal["full", "lora", "qlora"] | None,
        typer.Option(
            help=both("Method of the tuning. [default: lora]", "微调的方法。［默认 lora］")
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    given = {
        "quant": quant, "name": name, "adapter": adapter, "context": context, "vram": vram,
        "gpus": gpus, "task": task, "method": method,
    }  # fmt: skip
    options = {option: value for option, value in given.items() if value is not None}
    _check(to, options)
    what = [options.pop("task")] if TARGETS[to].tunes else []
    exported = writer(to)(*what, model, out, **options)
    if as_json:
        return print_json(exported)
    show(exported)
    print(exported.folder)


def _check(to: str, options: dict[str, Any]) -> None:
    """Refuse options that the tool does not take, and a tuning without a task."""
    target = TARGETS[to]
    known = ("task", *target.options) if target.tunes else target.options
    for option in options:
        if option not in known:
            listed = ", ".join(f"--{name}" for name in known)
            raise typer.BadParameter(
                t(f"--to {to} takes: {listed}.", f"--to {to} 可用的选项：{listed}。"),
                param_hint=f"--{option}",
            )
    if target.tunes and "task" not in options:
        raise typer.BadParameter(
            t(f"--to {to} needs a --task.", f"--to {to} 需要 --task。"), param_hint="--task"
        )
