"""Exercises that answer at once, and predictions to make before one looks.

A lesson's words for its exercises stand in ``labkit/data/questions/TOPIC.toml``; what is asked and
how it is judged stands in the notebook. Ids are ``topic.name``: the lesson, a dot, the exercise.
"""

import html
import math
import numbers
import reprlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, overload

from ..catalog import DATA, Text
from ..catalog.lessons import TRACKS, Lesson, fill_text, lessons, number_of
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import Table
from .progress_file import State, answers, is_graded, record, renew_id

_COLORS = {"right": "#2e7d32", "wrong": "#c62828", "open": "#757575"}
TRACK_NAMES = {
    "beginner": Text("beginner", "入门"),
    "developer": Text("developer", "开发者"),
    "enterprise": Text("enterprise", "企业"),
}
_SIGNS = {"right": "✔", "wrong": "✘", "open": "○"}


@dataclass(frozen=True)
class Exercise:
    """What a check says. right: words for the right answer. hints: one more after each miss."""

    id: str
    right: Text
    hints: tuple[Text, ...]


@dataclass(frozen=True)
class Choice:
    """One answer one may choose, and why it is right or wrong."""

    key: str
    says: Text
    why: Text
    right: bool = False


@dataclass(frozen=True)
class Question:
    """What will happen if …? Exactly one choice is right; every choice has its explanation."""

    id: str
    ask: Text
    choices: tuple[Choice, ...]


@dataclass(frozen=True)
class Verdict:
    """What a check or a prediction answers; shows itself as the last line of a cell."""

    id: str
    state: State
    words: str
    hint: str = ""
    note: str = ""

    def __str__(self) -> str:
        hint = t("Hint: ", "提示：") + self.hint if self.hint else ""
        lines = (f"{_SIGNS[self.state]} {self.words}", hint, self.note)
        return "\n".join(line for line in lines if line)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = f"border-left:4px solid {_COLORS[self.state]};padding-left:.6em"
        return f'<p style="{style}">{html.escape(str(self)).replace(chr(10), "<br>")}</p>'


@dataclass(frozen=True)
class Prediction:
    """A question in writing: shows the choices; in HTML the explanations can be folded out."""

    question: Question

    def __str__(self) -> str:
        lines = [str(self.question.ask)]
        lines += [f"  {choice.key}) {choice.says}" for choice in self.question.choices]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [f"<p>{html.escape(str(self.question.ask))}</p>"]
        for choice in self.question.choices:
            says, why = html.escape(str(choice.says)), html.escape(str(choice.why))
            why = f"{_SIGNS['right' if choice.right else 'wrong']} {why}"
            rows.append(f"<details><summary>{choice.key}) {says}</summary>{why}</details>")
        return "".join(rows)


def _text(raw: Mapping[str, str]) -> Text:
    if set(raw) != {"en", "zh"} or not all(raw.values()):
        raise ValueError(f"{dict(raw)} needs words in 'en' and in 'zh', and nothing else")
    return fill_text(raw)


def _choice(row: Mapping[str, Any]) -> Choice:
    return Choice(**{**row, "says": _text(row["says"]), "why": _text(row["why"])})


def _question(id: str, row: Mapping[str, Any]) -> Question:
    choices = tuple(_choice(choice) for choice in row["choices"])
    if sum(choice.right for choice in choices) != 1 or len({c.key for c in choices}) < 2:
        raise ValueError(f"question {id!r} needs at least two choices, exactly one of them right")
    return Question(id, _text(row["ask"]), choices)


@cache
def _read(path: Path) -> tuple[dict[str, Exercise], dict[str, Question]]:
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    topic = path.stem
    exercises = {
        f"{topic}.{name}": Exercise(
            f"{topic}.{name}", _text(row["right"]), tuple(_text(hint) for hint in row["hints"])
        )
        for name, row in raw.get("exercises", {}).items()
    }
    questions = {
        f"{topic}.{name}": _question(f"{topic}.{name}", row)
        for name, row in raw.get("questions", {}).items()
    }
    return exercises, questions


def _paths() -> list[Path]:
    """The files of questions, in the order of the lessons."""
    paths = (DATA / "questions" / f"{lesson.topic}.toml" for lesson in lessons())
    return [path for path in paths if path.exists()]


def exercises() -> dict[str, Exercise]:
    """All exercises of the course by id, in the order of the lessons.

    Usage: ``list(exercises())  # ["start-here.weights-size", …]``
    """
    return {id: exercise for path in _paths() for id, exercise in _read(path)[0].items()}


def questions() -> dict[str, Question]:
    """All questions for a prediction by id, in the order of the lessons.

    Usage: ``questions()["start-here.unheard"].ask``
    """
    return {id: question for path in _paths() for id, question in _read(path)[1].items()}


def check(
    id: str,
    answer: object,
    expected: object | Callable[[Any], bool | str],
    *,
    tolerance: float = 1e-9,
) -> Verdict:
    """Judge an answer at once, in words.

    Usage: ``check("start-here.weights-size", size, file_size)``; the last line of a check cell.

    answer: None or ``...`` means not answered yet; the notebook goes on.
    expected: the right value, or a function of the answer that returns True, False, or words that
    say what is wrong. Numbers may differ by tolerance (relative); blanks around text do not count.
    Ids of format 1 (see :mod:`.progress_file`) are understood: a reader's copy may still have them.
    Raises AssertionError for anything but a right answer where nbgrader grades, or with
    LABKIT_GRADING=1; LabError for an unknown id. Errors in computing the answer are not caught.
    """
    id, known = renew_id(id), exercises()
    if id not in known:
        raise LabError(
            t(f"There is no exercise '{id}'.", f"没有练习 '{id}'。"),
            t(f"Known are: {', '.join(known)}.", f"现有的练习：{'、'.join(known)}。"),
        )
    if answer is None or answer is ...:
        verdict = Verdict(id, "open", t("Not answered yet.", "还没有作答。"))
    else:
        wrong = _wrong(answer, expected, tolerance)
        note, attempts = record(id, "wrong" if wrong else "right")
        hints = known[id].hints
        verdict = (
            Verdict(id, "wrong", wrong, str(hints[min(attempts, len(hints)) - 1]), note)
            if wrong
            else Verdict(id, "right", str(known[id].right), note=note)
        )
    if is_graded() and verdict.state != "right":
        raise AssertionError(str(verdict))
    return verdict


@overload
def predict(id: str, choice: None = None) -> Prediction: ...


@overload
def predict(id: str, choice: str) -> Verdict: ...


def predict(id: str, choice: str | None = None) -> Verdict | Prediction:
    """Say what will happen before you look; every choice is explained.

    Usage: ``predict("start-here.unheard")`` asks, ``predict("start-here.unheard", "b")`` answers.
    A prediction is never graded. Raises LabError for an unknown id or choice. The radio buttons of
    a live notebook are in :mod:`labkit.widgets.prediction`.
    """
    id, known = renew_id(id), questions()
    if id not in known:
        raise LabError(
            t(f"There is no question '{id}'.", f"没有问题 '{id}'。"),
            t(f"Known are: {', '.join(known)}.", f"现有的问题：{'、'.join(known)}。"),
        )
    if choice is None:
        return Prediction(known[id])
    chosen = {c.key: c for c in known[id].choices}.get(choice)
    if chosen is None:
        keys = [c.key for c in known[id].choices]
        raise LabError(
            t(f"'{choice}' is not one of the choices.", f"没有 '{choice}' 这个选项。"),
            t(f"Choose one of {', '.join(keys)}.", f"请从 {'、'.join(keys)} 中选一个。"),
        )
    state: State = "right" if chosen.right else "wrong"
    note, _ = record(id, state)
    return Verdict(id, state, str(chosen.why), note=note)


def _wrong(answer: object, expected: object, tolerance: float) -> str:
    """What is wrong with the answer, in words; empty where it is right."""
    shown = reprlib.repr(answer)
    not_it = t(f"Not yet: {shown} is not it.", f"还不对：{shown} 不是正确答案。")
    if callable(expected):
        try:
            judged = expected(answer)
        except (TypeError, ValueError, AttributeError, LookupError) as error:
            return t(f"{shown} cannot be judged: {error}.", f"{shown} 无法判断：{error}。")
        return judged if isinstance(judged, str) else "" if judged else not_it
    if isinstance(expected, numbers.Real) and not isinstance(expected, bool):
        if not isinstance(answer, numbers.Real) or isinstance(answer, bool):
            return t(f"A number is wanted, not {shown}.", f"这里要填一个数，而不是 {shown}。")
        return "" if math.isclose(answer, expected, rel_tol=tolerance) else not_it
    if isinstance(expected, str) and isinstance(answer, str):
        return "" if answer.strip() == expected.strip() else not_it
    return "" if answer == expected else not_it


@dataclass(frozen=True)
class Stage:
    """One lesson and how far the learner is: exercises and predictions got right, of how many."""

    lesson: Lesson
    right: int
    total: int


@dataclass(frozen=True)
class Overview:
    """Lessons, for whom they are, how long they take, and how far the learner is; a table.

    track: the one whose lessons these are; None: all lessons, with every track.
    """

    stages: tuple[Stage, ...]
    track: str | None = None

    def follow(self, track: str) -> "Overview":
        """The lessons of one track. Usage: ``overview().follow("beginner").minutes``"""
        return Overview(tuple(s for s in self.stages if track in s.lesson.tracks), track)

    @property
    def minutes(self) -> int:
        """What the measured lessons take together."""
        return sum(stage.lesson.minutes or 0 for stage in self.stages)

    @property
    def unmeasured(self) -> int:
        """How many lessons have no time yet."""
        return sum(stage.lesson.minutes is None for stage in self.stages)

    @property
    def time(self) -> str:
        """Hours in words, to the half hour; "more than" where lessons were not measured."""
        hours = f"{round(self.minutes / 30) / 2:g}"
        if self.unmeasured:
            return t(f"more than {hours} hours", f"{hours} 小时以上")
        return t(f"about {hours} hours", f"约 {hours} 小时")

    @property
    def done(self) -> str:
        """Answers got right, of how many; empty where nothing is asked."""
        right, total = (sum(getattr(s, name) for s in self.stages) for name in ("right", "total"))
        return f"{right}/{total}" if total else ""

    def rows(self) -> list[list[str]]:
        """The table, the heading first and the sums last; in the reader's language."""
        keys = () if self.track else TRACKS
        head = ["", t("Lesson", "课"), *(str(TRACK_NAMES[key]) for key in keys)]
        rows = [[*head, t("needs", "先修"), t("minutes", "分钟"), t("right", "答对")]]
        for stage in self.stages:
            lesson, alone = stage.lesson, Overview((stage,))
            marks = ["●" if key in lesson.tracks else "" for key in keys]
            needs = t(", ", "、").join(map(number_of, lesson.needs))
            minutes = str(lesson.minutes or "")
            rows.append([lesson.id, str(lesson.title), *marks, needs, minutes, alone.done])
        times = [self.follow(key).time for key in keys]
        return [*rows, ["", t("together", "合计"), *times, "", self.time, self.done]]

    def __str__(self) -> str:
        return "\n".join(
            f"{TRACK_NAMES[key]} ({mine.time}): "
            + " · ".join(f"{stage.lesson.id} {stage.lesson.title}" for stage in mine.stages)
            for key in ([self.track] if self.track else TRACKS)
            for mine in [self.follow(key)]
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head, *rows = self.rows()
        return Table(head, rows)._repr_html_()


def overview(track: str | None = None) -> Overview:
    """The lessons of the course, the three tracks through them, and how far the learner is.

    Usage: ``overview()``, ``overview("beginner")`` as the last line of a cell. Static renderings
    show nothing as done. Raises LabError for a track that does not exist.
    """
    if track not in (None, *TRACKS):
        raise LabError(
            t(f"There is no track '{track}'.", f"没有学习路线 '{track}'。"),
            t(f"There are: {', '.join(TRACKS)}.", f"现有的路线：{'、'.join(TRACKS)}。"),
        )
    done = {id for id, answer in answers().items() if answer["state"] == "right"}
    known = [*exercises(), *questions()]
    stages = []
    for lesson in lessons():
        mine = {id for id in known if id.startswith(f"{lesson.topic}.")}
        stages.append(Stage(lesson, len(mine & done), len(mine)))
    every = Overview(tuple(stages))
    return every.follow(track) if track else every
