"""``labkit progress``: what was answered, by oneself or by a class."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..core.i18n import t
from .console import Json, both, print_json, print_table, say, show

HELP = both("Show what was answered, yours or a class's.", "查看自己或全班的作答情况。")

app = typer.Typer(no_args_is_help=True)


@app.command(
    "show", help=both("Show what was answered on this computer.", "查看本机上的作答情况。")
)
def show_own(as_json: Json = False) -> None:
    from ..course.class_progress import own_progress

    mine = own_progress()
    print_json(mine) if as_json else show(mine)


@dataclass(frozen=True)
class ExportedProgress:
    """What ``labkit progress export --json`` prints."""

    path: Path
    answers: int


@app.command(
    help=both(
        "Write it to a file to hand in: lesson, exercise, state, attempts, time; nothing else.",
        "写成文件，可以上交：只含课、练习、状态、尝试次数和时间。",
    )
)
def export(
    file: Annotated[
        Path, typer.Argument(help=both("A .json or .csv file.", ".json 或 .csv 文件。"))
    ],
    who: Annotated[
        str,
        typer.Option(
            help=both("Name to put into it. [default: none]", "写进文件的姓名。［默认不写］")
        ),
    ] = "",
    as_json: Json = False,
) -> None:
    from ..course.class_progress import export_progress, own_progress

    done = ExportedProgress(path=export_progress(file, who), answers=len(own_progress().answers))
    if as_json:
        return print_json(done)
    say(t(f"{done.answers} answers: {done.path}", f"共 {done.answers} 条作答：{done.path}"))


@app.command(
    "class",
    help=both(
        "Sum up a folder of such files: who is where, and which exercises most got wrong.",
        "汇总一个文件夹里的进度文件：每人学到哪里，哪些练习错得最多。",
    ),
)
def show_class(
    folder: Annotated[
        Path, typer.Argument(help=both("Folder of the files.", "进度文件所在的文件夹。"))
    ],
    as_json: Json = False,
) -> None:
    from ..course.class_progress import read_class

    found = read_class(folder)
    if as_json:
        return print_json(found)
    show(found)
    print()
    print_table(found.hardest())
