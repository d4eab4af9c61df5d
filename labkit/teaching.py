"""The commands about the course itself: ``lessons list``, ``lessons copy``."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .console import Json, both, make_table, print_json, say
from .i18n import Language

app = typer.Typer()
lessons = typer.Typer(no_args_is_help=True)
app.add_typer(lessons, name="lessons", help=both("The notebooks of the course.", "课程笔记本。"))


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
    from .course import overview

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
    from .lesson_files import copy_lessons

    done = copy_lessons(folder, language)
    print_json(done) if as_json else say(str(done))
