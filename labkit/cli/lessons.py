"""``labkit lessons``: the notebooks of the course, listed and copied."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.i18n import Language, t
from .console import Json, both, print_json, print_table, say

if TYPE_CHECKING:
    from ..course.exercises import Overview

HELP = both("List the lessons, or copy the notebooks.", "列出各课，或复制课程笔记本。")

app = typer.Typer(no_args_is_help=True)


@app.command(
    "list",
    help=both(
        "List the lessons, how long they take, what they need, and how far you are.",
        "列出各课、所需时间、先修课和你的进度。",
    ),
)
def list_lessons(
    track: Annotated[
        Literal["beginner", "developer", "enterprise"] | None,
        typer.Option(help=both("List only the lessons of this track.", "只列这条学习路线的课。")),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course import overview

    found = overview(track)
    if as_json:
        return print_json(found)
    _show(found)


def _show(found: "Overview") -> None:
    """A line a lesson; the tracks as the letters that the lines below explain."""
    from ..catalog.lessons import TRACKS, number_of
    from ..core.tables import Table
    from ..course.exercises import TRACK_NAMES

    names = {key: str(TRACK_NAMES[key]) for key in ([found.track] if found.track else TRACKS)}
    letters = {key: name[0].upper() for key, name in names.items()}
    rows = [
        (
            f"{stage.lesson.id} {stage.lesson.title}",
            *(letters[key] if key in stage.lesson.tracks else "" for key in names),
            ", ".join(map(number_of, stage.lesson.needs)),
            str(stage.lesson.minutes or ""),
            f"{stage.right}/{stage.total}",
        )
        for stage in found.stages
    ]
    header = (t("Lesson", "课"), *letters.values(), t("needs", "先修"))
    print_table(Table((*header, t("minutes", "分钟"), t("right", "答对")), rows))
    for key, name in names.items():
        comma = t(", ", "，")
        say(f"{letters[key]} = {name}{comma}{found.follow(key).time}")


@app.command(
    help=both(
        "Copy the notebooks into a folder; what is there already stays as it is.",
        "把课程笔记本复制到一个文件夹；已有的文件保持原样。",
    )
)
def copy(
    folder: Annotated[Path, typer.Argument(help=both("Folder to copy to.", "复制到哪个文件夹。"))],
    language: Annotated[
        Language | None,
        typer.Option(
            help=both(
                "Copy only this language. [default: both]", "只复制一种语言。［默认两种都要］"
            )
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course.lesson_files import copy_lessons

    done = copy_lessons(folder, language)
    print_json(done) if as_json else say(str(done))
