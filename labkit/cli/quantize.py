"""``labkit quantize``: smaller versions of a model, made and measured."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..core.i18n import t
from .console import Json, ModelName, both, print_json, print_table, show

HELP = both(
    "Make smaller versions of a model, measure them, and show them in one table.",
    "制作一个模型的更小版本，逐个测量，列成一张表。",
)


def command(
    model: ModelName,
    to: Annotated[
        list[str],
        typer.Option(
            "--to",
            metavar="FORMAT",
            help=both(
                "Format to make: a GGUF type such as Q4_K_M (Q4_K_M-imatrix uses an importance"
                " matrix), gptq-4bit, autoround-4bit, nf4, int8; may be repeated.",
                "要制作的格式：GGUF 类型如 Q4_K_M（Q4_K_M-imatrix 使用重要性矩阵）、"
                "gptq-4bit、autoround-4bit、nf4、int8；可写多次。",
            ),
        ),
    ],
    text: Annotated[
        Path | None,
        typer.Option(
            help=both(
                "Text file to measure on. [default: conversations held out from the course's"
                " corpus]",
                "测量所用的文本文件。［默认：课程语料里留出的对话］",
            )
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            help=both(
                "Seed of the random choice of texts from the corpus.", "从语料抽取文本的随机种子。"
            )
        ),
    ] = 0,
    measured: Annotated[
        bool,
        typer.Option(
            "--measure/--no-measure",
            help=both("Also measure what was made, or only make it.", "同时测量，或只制作。"),
        ),
    ] = True,
    as_json: Json = False,
) -> None:
    from ..quantization import versions

    made = versions.quantize(model, to, seed=seed)
    if not measured:
        return print_json(made) if as_json else show(made)
    from ..evaluation.comparison import compare

    words = None if text is None else text.read_text("utf-8")
    comparison = compare(made, text=words, seed=seed)
    if as_json:
        return print_json(comparison)
    table = comparison.table()
    print_table(table, drop=(2, 8, 5, 10, 7), names=range(len(table.header)))
    print(t("Files:", "文件："), file=sys.stderr)
    for path in comparison.files:
        print(path, file=sys.stderr)
