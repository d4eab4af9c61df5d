"""What commands share: help in both languages, one JSON object, a table."""

import dataclasses
import json
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer


def both(en: str, zh: str) -> str:
    """A help text in both languages; the command line leaves the reader's once that is known."""
    return f"{en}\x1f{zh}"


Json = Annotated[
    bool,
    typer.Option("--json", help=both("Print one JSON object.", "输出一个 JSON 对象。")),
]

ModelName = Annotated[
    str,
    typer.Argument(
        help=both(
            "A pocket name, a Hub id, a folder or a .gguf.",
            "口袋模型名、Hub 模型名、文件夹或 .gguf 文件。",
        )
    ),
]


def print_json(result: Any) -> None:
    """Print a frozen dataclass as one JSON object: its field names, sizes in bytes."""
    # Another encoding than UTF-8 may not hold every character; \u escapes fit in all of them.
    utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    text = json.dumps(dataclasses.asdict(result), ensure_ascii=not utf8, indent=2, default=str)
    print(text)  # a path, the one thing of ours that JSON does not know, as text


def make_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Any:
    """A rich table; no header line where all its words are empty."""
    from rich.table import Table

    table = Table(*header, show_header=any(header))
    for row in rows:
        table.add_row(*row)
    return table


def say(*sentences: str) -> None:
    """Print sentences as they stand: square brackets and numbers mean nothing to rich here."""
    from rich.console import Console

    for sentence in filter(None, sentences):
        Console().print(sentence, markup=False, highlight=False)
