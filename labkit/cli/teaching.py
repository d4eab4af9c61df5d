"""The commands about the course: ``lessons`` (list, copy), ``progress`` (show, export, class)."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from ..core.i18n import Language, t
from .console import Json, both, make_table, print_json, say

app = typer.Typer()
lessons = typer.Typer(no_args_is_help=True)
app.add_typer(lessons, name="lessons", help=both("The notebooks of the course.", "课程笔记本。"))
progress = typer.Typer(no_args_is_help=True)
app.add_typer(
    progress, name="progress", help=both("What was answered, yours or a class's.", "学习进度。")
)


Track = Literal["beginner", "developer", "enterprise"]


@lessons.command(
    "list",
    help=both(
        "The lessons, how long they take, and how far you are.",
        "列出各课、所需时间和你的进度。",
    ),
)
def list_lessons(
    track: Annotated[
        Track | None,
        typer.Option(help=both("Only the lessons of this track.", "只看这条学习路线。")),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course import overview

    found = overview(track)
    if as_json:
        return print_json(found)
    from rich.console import Console

    head, *rows = found.rows()
    Console().print(make_table(head, rows))


@lessons.command(
    help=both(
        "Copy the notebooks into a folder; what is there already stays as it is.",
        "把课程笔记本复制到一个文件夹；已有的文件保持原样。",
    )
)
def copy(
    folder: Annotated[Path, typer.Argument(help=both("Where to.", "复制到哪里。"))],
    language: Annotated[
        Language | None,
        typer.Option(help=both("Only this one; else both.", "只要一种语言；默认两种都要。")),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course.lesson_files import copy_lessons

    done = copy_lessons(folder, language)
    print_json(done) if as_json else say(str(done))


@progress.command(help=both("What was answered on this computer.", "查看本机上的作答情况。"))
def show(as_json: Json = False) -> None:
    from ..course.class_progress import own_progress

    mine = own_progress()
    print_json(mine) if as_json else say(str(mine))


@dataclass(frozen=True)
class ExportedProgress:
    """What ``labkit progress export --json`` prints."""

    path: Path
    answers: int


@progress.command(
    help=both(
        "Write it to a file to hand in: lesson, exercise, state, attempts, time; nothing else.",
        "写成文件，可以上交：只含课、练习、状态、尝试次数和时间。",
    )
)
def export(
    file: Annotated[Path, typer.Argument(help=both("A .json or .csv.", ".json 或 .csv 文件。"))],
    who: Annotated[
        str, typer.Option(help=both("A name to put in it.", "写进文件的姓名，默认不写。"))
    ] = "",
    as_json: Json = False,
) -> None:
    from ..course.class_progress import export_progress, own_progress

    done = ExportedProgress(export_progress(file, who), len(own_progress().answers))
    if as_json:
        return print_json(done)
    say(t(f"{done.answers} answers: {done.path}", f"共 {done.answers} 条作答：{done.path}"))


@progress.command(
    name="class",
    help=both(
        "A folder of such files: who is where, and which exercises most got wrong.",
        "汇总一个文件夹里的进度文件：每人学到哪里，哪些练习错得最多。",
    ),
)
def show_class(
    folder: Annotated[Path, typer.Argument(help=both("The folder.", "进度文件所在的文件夹。"))],
    as_json: Json = False,
) -> None:
    from ..course.class_progress import read_class

    found = read_class(folder)
    if as_json:
        return print_json(found)
    say(f"{found}\n", str(found.hardest()))
