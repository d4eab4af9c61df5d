"""What commands share: help in both languages, JSON, sentences, and tables as wide as there is."""

import dataclasses
import json
import re
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.i18n import t

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    from ..core.tables import ShowsTable, Table

TEXT = 12
"""Columns that a cell of several words keeps, before rows are shown as cards."""

GAP = 3
"""Columns that rich leaves between two of a table."""


def both(en: str, zh: str) -> str:
    """A help text in both languages; the command line leaves the reader's once that is known."""
    return f"{en}\x1f{zh}"


Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help=both("Print the result as one JSON object.", "把结果输出为一个 JSON 对象。"),
    ),
]

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help=both(
            "A model: pocket/NAME, a Hub id (OWNER/NAME, or OWNER/NAME-GGUF:QUANT), a folder, a"
            " .gguf file, or a name of the catalogue.",
            "模型：pocket/名称、Hub 模型名（OWNER/NAME 或 OWNER/NAME-GGUF:量化格式）、文件夹、"
            ".gguf 文件，或目录中的名称。",
        ),
    ),
]

Host = Annotated[
    str,
    typer.Option(
        help=both(
            "Address to listen on. 0.0.0.0 opens it to the whole network, unencrypted.",
            "监听地址。0.0.0.0 会向整个网络开放，且不加密。",
        )
    ),
]

Port = Annotated[
    int,
    typer.Option(
        help=both(
            "Port to listen on; if it is taken, a free one is used.",
            "监听端口；若已被占用，则改用空闲端口。",
        )
    ),
]


def print_json(result: Any) -> None:
    """Print a frozen dataclass as one JSON object: its field names, sizes in bytes."""
    # Another encoding than UTF-8 may not hold every character; \u escapes fit in all of them.
    utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
    text = json.dumps(dataclasses.asdict(result), ensure_ascii=not utf8, indent=2, default=str)
    print(text)  # a path, the one thing of ours that JSON does not know, as text


def say(*sentences: str) -> None:
    """Print sentences as they stand: square brackets and numbers mean nothing to rich here."""
    for sentence in filter(None, sentences):
        _print(_plain(sentence))


def show(result: "ShowsTable") -> None:
    """Print a result as its table, and the notes below it."""
    print_table(result.table())


def print_table(table: "Table", *, drop: Sequence[int] = (), names: Sequence[int] = (0,)) -> None:
    """Print a table that fits the terminal, with its note below.

    drop: columns that go, in this order, while the rest does not fit; a line says which went.
    names: columns that are never cut or broken; figures are not, either; other cells are wrapped.
    What does not fit even so is printed as a card a row, headed by the first of names.
    """
    left = [*range(len(table.header))]
    for column in drop:
        if _fits(table, left, names):
            break
        left.remove(column)
    if _fits(table, left, names):
        _print(_rich_table(table, left, names))
        gone = [word for column, word in enumerate(table.header) if column not in left]
    else:
        _print_cards(table, names[0])
        gone = []
    if gone:
        listed = t(", ", "、").join(gone)
        say(
            t(
                f"Not shown, for want of width: {listed} (widen the terminal, or use --json).",
                f"宽度不够，未显示：{listed}（可加宽终端，或用 --json）。",
            )
        )
    if table.note:
        say(*table.note.split("\n"))


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print labels and words side by side; words are wrapped, labels are not."""
    from rich.table import Table as RichTable

    table = RichTable(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, words in facts:
        table.add_row(_plain(label), _plain(words))
    _print(table)


def _print_cards(table: "Table", name: int) -> None:
    """Each row as a card: its name, and below it the other cells with their headings."""
    for row in table.rows:
        say(row[name] or table.header[name])
        pairs = list(zip(table.header, row, strict=True))
        del pairs[name]
        print_facts((f"  {heading}", cell) for heading, cell in pairs if cell)


def _console() -> "Console":
    """Made anew each time: a test may have changed the width, or where output goes."""
    from rich.console import Console

    return Console()


def _print(what: Any) -> None:
    """Without the spaces that rich fills lines up with: they would be copied with a command."""
    console = _console()
    with console.capture() as captured:
        console.print(what)
    print("\n".join(line.rstrip() for line in captured.get().split("\n")), end="")


def _plain(text: str) -> "Text":
    """Text in which square brackets and numbers mean nothing to rich."""
    from rich.text import Text

    return Text(text)


def _width(table: "Table", column: int, names: Sequence[int]) -> tuple[int, bool]:
    """The least columns that a column takes, and whether it may not be narrower than its cells."""
    from rich.cells import cell_len

    cells = [row[column] for row in table.rows]
    widest = max((cell_len(line) for cell in cells for line in cell.split("\n")), default=0)
    fixed = column in names or all(_FIGURE.fullmatch(cell) for cell in cells)
    heading = max(map(cell_len, _words(table.header[column])))
    return max(widest if fixed else min(widest, TEXT), heading), fixed


def _words(heading: str) -> list[str]:
    """What of a heading stays together: words, and what stands in Chinese brackets."""
    return re.findall(r"（[^）]*）|[^\s（）]+\s?", heading) or [""]


def _wrap(heading: str, width: int) -> str:
    from rich.cells import cell_len

    lines = [""]
    for word in _words(heading):
        if lines[-1] and cell_len(lines[-1] + word.rstrip()) > width:
            lines.append("")
        lines[-1] += word
    return "\n".join(line.rstrip() for line in lines)


def _fits(table: "Table", columns: Sequence[int], names: Sequence[int]) -> bool:
    least = sum(_width(table, column, names)[0] for column in columns)
    return least + GAP * (len(columns) - 1) <= _console().width


def _rich_table(table: "Table", columns: Sequence[int], names: Sequence[int]) -> "RichTable":
    from rich import box
    from rich.table import Table as RichTable

    made = RichTable(
        box=box.SIMPLE_HEAD, show_header=any(table.header), show_edge=False, pad_edge=False
    )
    for column in columns:
        width, fixed = _width(table, column, names)
        heading = table.header[column]
        if fixed:  # rich would not wrap it
            heading = _wrap(heading, width)
        figures = all(_FIGURE.fullmatch(row[column]) for row in table.rows)
        made.add_column(
            _plain(heading),
            justify="right" if figures else "left",
            no_wrap=fixed,
            min_width=width,
            overflow="fold",
        )
    for row in table.rows:
        made.add_row(*(_plain(row[column]) for column in columns))
    return made


_FIGURE = re.compile(r"[$¥€+−-]?\d[\d,]*(\.\d+)?(–\d+)?( ?[%BKMGTi]+B?)?|\?|–|", re.ASCII)
"""``8,192``, ``$0.05``, ``4.36 GiB``, ``27–40``; an unknown one, or none."""
