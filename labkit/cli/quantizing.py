"""The command for smaller versions of a model: ``quantize``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.i18n import t
from .console import Json, ModelName, both, print_json

app = typer.Typer()


@app.command(
    help=both(
        "Make smaller versions of a model, measure them, and show them in one table.",
        "制作一个模型的更小版本，逐个测量，列成一张表。",
    )
)
def quantize(
    model: ModelName,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            help=both(
                "A format, such as Q4_K_M, Q4_K_M-imatrix, gptq-4bit, autoround-4bit, nf4, int8;"
                " may be repeated.",
                "目标格式，如 Q4_K_M、Q4_K_M-imatrix、gptq-4bit、autoround-4bit、nf4、int8；"
                "可写多次。",
            ),
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            help=both(
                "A text file to measure on; without one, the course's held-out conversations.",
                "测量所用的文本文件；不填则用课程语料里留出的对话。",
            )
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help=both("Of what is drawn from the corpus.", "从语料抽样的随机种子。"))
    ] = 0,
    measured: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help=both("Whether to measure them, too.", "是否同时测量。"),
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    from ..quantization import versions

    made = versions.quantize(model, to, seed=seed)
    if not measured:
        return print_json(made) if as_json else print(made)
    from ..evaluation.comparison import compare

    words = None if text is None else text.read_text("utf-8")
    comparison = compare(made, text=words, seed=seed)
    if as_json:
        return print_json(comparison)
    print(comparison)
    print(t("Files:", "文件："), file=sys.stderr)
    for path in comparison.files:
        print(path, file=sys.stderr)
