"""What a teacher gets beside the notebooks: the guide, and slides made of a lesson's own cells."""

import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nbformat

from labkit.catalog import Text
from labkit.catalog.lessons import Lesson, fill_text, lessons
from labkit.course.exercises import exercises, questions

HERE = Path(__file__).parent
GUIDE = {"en": Path("classroom", "guide.md"), "zh": Path("classroom", "guide.zh-CN.md")}
SHOW_MINUTES, DISCUSS_MINUTES = 3, 5
"""What one thing to show and one question for the room take, by our judgement."""

HEAD = {
    "en": """# Instructor guide

For each lesson: what to show, where people stumble, what to discuss. Made by the build from
`guide.toml`; change it there.

**Time.** A lesson's minutes are a learner's own, exercises included. In a room add {show} minutes
for each thing you show and {discuss} for each question. All lessons together: {hours:.0f} hours at
the keyboard, {room:.0f} in a room.""",
    "zh": """# 教师手册

每一课讲三件事：演示什么，学生卡在哪里，讨论什么。
本页由构建程序根据 `guide.toml` 生成，要改请改那里。

**时间。**每课标的分钟数是学生自己学完所需的时间，含练习。课堂上每个演示另加 {show} 分钟，
每个讨论题另加 {discuss} 分钟。全部课程合计：自学 {hours:.0f} 小时，课堂 {room:.0f} 小时。""",
}
TIMES = {
    "en": "*{minutes} minutes alone, about {room} in a room. Checked exercises: {exercises};"
    " predictions: {questions}.*",
    "zh": "*自学 {minutes} 分钟，课堂约 {room} 分钟。"
    "有检查的练习 {exercises} 个，预测题 {questions} 个。*",
}
PARTS = {
    "show": Text("Show", "演示"),
    "stumble": Text("Where people stumble", "容易卡住的地方"),
    "discuss": Text("Discuss", "讨论"),
}

LOOK = {
    "reveal_scroll": True,
    "reveal_number": "c/t",
    "reveal_width": "1280",
    "reveal_height": "800",
    "exclude_input_prompt": True,
    "exclude_output_prompt": True,
}
"""Wide enough for a line of code, and to be scrolled where a table is long."""


@dataclass(frozen=True)
class Advice:
    """What a teacher should know of one lesson."""

    show: tuple[Text, ...]
    stumble: tuple[Text, ...]
    discuss: tuple[Text, ...]

    def room_minutes(self, minutes: int) -> int:
        """A lesson of so many minutes alone, in a room: rounded up to five."""
        more = SHOW_MINUTES * len(self.show) + DISCUSS_MINUTES * len(self.discuss)
        return -(-(minutes + more) // 5) * 5


@cache
def advice() -> dict[str, Advice]:
    """Topic to advice, from guide.toml. Raises TypeError for words in one language only."""
    raw = tomllib.loads((HERE / "classroom" / "guide.toml").read_text(encoding="utf-8"))
    return {
        row["topic"]: Advice(**{part: tuple(map(fill_text, row[part])) for part in PARTS})
        for row in raw["lessons"]
    }


def guide(language: str) -> str:
    """The page for the teacher: the lessons there are, in their order."""
    ready = [lesson for lesson in lessons() if lesson.minutes is not None]
    alone = sum(lesson.minutes or 0 for lesson in ready)
    room = sum(advice()[lesson.topic].room_minutes(lesson.minutes or 0) for lesson in ready)
    head = HEAD[language].format(
        show=SHOW_MINUTES, discuss=DISCUSS_MINUTES, hours=alone / 60, room=room / 60
    )
    return "\n\n".join([head, *(_page(lesson, language) for lesson in ready)]) + "\n"


def _page(lesson: Lesson, language: str) -> str:
    own = advice()[lesson.topic]
    link = f"../{language}/{lesson.stem}.ipynb"
    times = TIMES[language].format(
        minutes=lesson.minutes,
        room=own.room_minutes(lesson.minutes or 0),
        exercises=sum(id.startswith(f"{lesson.topic}.") for id in exercises()),
        questions=sum(id.startswith(f"{lesson.topic}.") for id in questions()),
    )
    parts = [f"## [{lesson.id} {getattr(lesson.title, language)}]({link})", times]
    for part, title in PARTS.items():
        lines = (f"- {getattr(words, language)}" for words in getattr(own, part))
        parts += [f"**{getattr(title, language)}**", "\n".join(lines)]
    return "\n\n".join(parts)


def show_slides(notebook: Path, target: Path, reveal: str | None = None) -> Path:
    """A lesson as slides: a chapter for each heading, a slide for each text with what it shows.

    Usage: ``show_slides(Path("notebooks/en/09_….ipynb"), Path("slides/09.slides.html"))``

    notebook: executed; its outputs stay, its set-up, badges and list of words are left out. reveal:
    a folder, or a URL, in which npm has put reveal.js 4, requirejs, jquery and mathjax 2, for a
    room without a network; by default they come from nbconvert's addresses.
    """
    from nbconvert.exporters import SlidesExporter

    lesson = nbformat.read(notebook, as_version=4)
    lesson.cells = [cell for cell in lesson.cells if not _is_frame(cell.source)]
    asked = False
    for cell in lesson.cells:
        cell.metadata.slideshow = {"slide_type": _slide_type(cell, asked)}
        asked = cell.source.rstrip().split("\n")[-1].startswith("ask(")
    exporter = SlidesExporter(**LOOK, **_libraries(reveal, target))
    exporter.language_code = lesson.metadata.labkit.language
    page, _ = exporter.from_notebook_node(lesson, {"metadata": {"name": notebook.stem}})
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    return target


def _is_frame(text: str) -> bool:
    """Whether the build added this cell: the set-up, the badges, or the words."""
    return text.startswith(("# @title", "[![", "**Words of this lesson**", "**本课术语**"))


def _slide_type(cell: nbformat.NotebookNode, asked: bool) -> str:
    if cell.cell_type != "markdown":  # below the text that leads to it; no answer beside a question
        return "subslide" if asked else "-"
    return "slide" if re.match("##? ", cell.source) else "subslide"


def _libraries(reveal: str | None, target: Path) -> dict[str, str]:
    if reveal is None:
        return {}
    base = reveal.rstrip("/")
    if "://" not in base:
        base = Path(os.path.relpath(base, target.parent)).as_posix()
    return {
        "reveal_url_prefix": f"{base}/reveal.js",
        "require_js_url": f"{base}/requirejs/require.js",
        "jquery_url": f"{base}/jquery/dist/jquery.min.js",
        "mathjax_url": f"{base}/mathjax/MathJax.js?config=TeX-AMS_CHTML-full,Safe",
    }
