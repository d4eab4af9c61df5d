"""What learners hand in of their progress, and what a teacher sees of a class.

Usage: ``export_progress("mine.json", who="Li Lei")``; ``read_class("handed-in/")``

A file says who (only if the learner writes a name), and of every answer: lesson, exercise, state,
attempts, and when it got that state. Nothing else leaves the computer, the answer itself included.
A lesson stands in it by its topic; files of format 1, with numbers, are read as well.

Not covered: proof. A learner can edit such a file; marks that count come from nbgrader.
"""

import csv
import io
import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

from ..catalog.lessons import lessons
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from .exercises import exercises, questions
from .progress_file import FORMAT, State, answers, renew_lesson

if TYPE_CHECKING:
    from ..plots import Plot

ENDINGS = (".json", ".csv")


@dataclass(frozen=True)
class AnswerRecord:
    """One exercise or prediction of one learner.

    lesson: its topic. attempts: how often it was tried. at: UTC.
    """

    who: str
    lesson: str
    exercise: str
    state: State
    attempts: int
    at: str

    @property
    def id(self) -> str:
        return f"{self.lesson}.{self.exercise}"


COLUMNS = tuple(field.name for field in fields(AnswerRecord))


def _number(topic: str) -> str:
    """The number of a lesson; of one that this version of the course lacks, the topic."""
    return {lesson.topic: lesson.id for lesson in lessons()}.get(topic, topic)


def _place(id: str) -> tuple[str, str]:
    """What ids are sorted by: the lesson's number, then the name; unknown lessons come last."""
    topic, _, name = id.partition(".")
    return _number(topic), name


@dataclass(frozen=True, repr=False)
class Progress(ShowsTable):
    """All answers of one learner, in the order of the lessons; shows itself as a table."""

    answers: tuple[AnswerRecord, ...]

    def table(self) -> Table:
        words = {
            "right": t("right", "答对"),
            "wrong": t("wrong", "答错"),
            "open": t("open", "未答"),
        }
        rows = [
            (_number(a.lesson), a.exercise, words[a.state], str(a.attempts), a.at)
            for a in self.answers
        ]
        head = (t("Lesson", "课"), t("Exercise", "练习"), t("State", "状态"))
        more = (t("Attempts", "尝试次数"), t("When (UTC)", "时间（UTC）"))
        note = "" if rows else t("Nothing was answered here yet.", "这台电脑上还没有作答。")
        return Table((*head, *more), rows, note)


def own_progress(who: str = "") -> Progress:
    """What was answered on this computer.

    Usage: ``own_progress().answers[0].state  # "right"``. who: a name to put on it; none is kept.
    """
    rows = []
    for id, row in sorted(answers().items(), key=lambda answer: _place(answer[0])):
        lesson, _, exercise = id.partition(".")
        at = str(row.get("at", ""))
        rows.append(AnswerRecord(who, lesson, exercise, row["state"], row["attempts"], at))
    return Progress(tuple(rows))


def export_progress(path: str | Path, who: str = "") -> Path:
    """Write what was answered here to a ``.json`` or ``.csv`` file, to hand in.

    Usage: ``export_progress("mine.csv", who="Li Lei")``. who: a name the learner wants in it; none
    by default. The CSV opens in a spreadsheet, Chinese included. Raises LabError for another
    ending, and where it cannot be written.
    """
    path = Path(path)
    _write(path, own_progress(who.strip()).answers)
    return path


def _write(path: Path, rows: Iterable[AnswerRecord]) -> None:
    if path.suffix not in ENDINGS:
        raise LabError(
            t(f"'{path.name}' is neither .json nor .csv.", f"'{path.name}' 不是 .json 或 .csv。"),
            t("Give the file one of these endings.", "请使用这两种扩展名之一。"),
        )
    plain = [asdict(row) for row in rows]
    if path.suffix == ".json":
        text = json.dumps({"format": FORMAT, "answers": plain}, ensure_ascii=False, indent=1) + "\n"
    else:
        file = io.StringIO()
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(plain)
        text = "\ufeff" + file.getvalue()  # with the mark, spreadsheets read it as UTF-8
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise LabError(
            t(f"'{path}' cannot be written: {error}.", f"无法写入 '{path}'：{error}。"),
            t("Choose another folder.", "请换一个文件夹。"),
        ) from error


# --- a class ----------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Classroom(ShowsTable):
    """The answers of a class; shows itself as students by lessons, exercises right of how many.

    students: in the order of their names. answers: one a student and exercise. unknown: ids that
    this version of the course does not have; they are left out of everything else.
    """

    students: tuple[str, ...]
    answers: tuple[AnswerRecord, ...]
    unknown: tuple[str, ...] = ()

    def lessons(self) -> tuple[str, ...]:
        """The topics of the lessons with an exercise that somebody has tried, in their order."""
        known = exercises()
        return tuple(sorted({a.lesson for a in self.answers if a.id in known}, key=_number))

    def share(self, student: str, lesson: str) -> tuple[int, int]:
        """Exercises of a lesson a student got right, and how many there are."""
        known = [id for id in exercises() if id.startswith(f"{lesson}.")]
        done = {a.id for a in self.answers if a.who == student and a.state == "right"}
        return len(done.intersection(known)), len(known)

    def has_begun(self, student: str, lesson: str) -> bool:
        """Whether a student has tried anything of a lesson."""
        return any(a.who == student and a.lesson == lesson for a in self.answers)

    def table(self) -> Table:
        rows = []
        for student in self.students:
            words = {id: "{}/{}".format(*self.share(student, id)) for id in self.lessons()}
            begun = [word if self.has_begun(student, id) else "" for id, word in words.items()]
            rows.append([student, *begun])
        names = ", ".join(self.unknown)
        note = t(f"Not in this course: {names}", f"课程中没有：{names}") if names else ""
        return Table((t("Student", "学生"), *map(_number, self.lessons())), rows, note)

    def hardest(self, count: int = 10) -> Table:
        """The exercises that most students tried and did not get right; of equals the rarer tried.

        Usage: ``read_class("handed-in").hardest(5)``. Attempts count every run of the check.
        """
        return self._missed(exercises(), t("Exercise", "练习"), count)

    def misjudged(self, count: int = 10) -> Table:
        """The predictions that most students got wrong: what to talk about first.

        Usage: ``read_class("handed-in").misjudged(5)``
        """
        return self._missed(questions(), t("Prediction", "预测题"), count)

    def _missed(self, known: Mapping[str, object], kind: str, count: int) -> Table:
        rows = []
        for id in known:
            tried = [a for a in self.answers if a.id == id and a.state != "open"]
            missed = sum(a.state == "wrong" for a in tried)
            if missed:
                rows.append((id, missed, len(tried), median(a.attempts for a in tried)))
        rows.sort(key=lambda row: (-row[1], row[2], _place(row[0])))
        head = (kind, t("not right", "没答对"), t("tried", "作答人数"))
        words = [
            (id, f"{missed} ({missed / tried:.0%})", str(tried), f"{middle:g}")
            for id, missed, tried, middle in rows[:count]
        ]
        return Table((*head, t("attempts, median", "尝试次数中位数")), words)

    def plot(self, title: str = "") -> "Plot":
        """Students by lessons as a field of colours: the share of exercises got right.

        A lesson that a student has not begun is left empty.
        Usage: ``read_class("handed-in").plot()``. Needs matplotlib.
        """
        from ..plots import draw_heatmap

        ids = self.lessons()
        values = []
        for student in self.students:
            shares = [(id, *self.share(student, id)) for id in ids]
            begun = [(self.has_begun(student, id), right / total) for id, right, total in shares]
            values.append([share if is_begun else nan for is_begun, share in begun])
        return draw_heatmap(
            values,
            self.students,
            [_number(id) for id in ids],
            title=title or t("Exercises right", "练习答对的比例"),
            x=t("lesson", "课"),
            y=t("student", "学生"),
            show="{:.0%}".format,
            low=0,
            high=1,
        )


def read_class(folder: str | Path) -> Classroom:
    """All progress files of a folder and of those in it, as one class.

    Usage: ``read_class("handed-in")``. Who gave no name is called by the file. Of two answers of
    one student to one exercise a right one counts, else the later. Raises LabError for a folder
    without such files, and for a file that is not one, which it names.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS)
    if not paths:
        raise LabError(
            t(f"'{folder}' holds no progress files.", f"'{folder}' 里没有进度文件。"),
            t(
                "Students make one with: labkit progress export FILE.json",
                "学生用这个命令生成：labkit progress export FILE.json",
            ),
        )
    students: set[str] = set()
    best: dict[tuple[str, str], AnswerRecord] = {}
    for path in paths:
        nameless = path.relative_to(folder).with_suffix("").as_posix()
        rows = _read(path)
        students |= {row.who or nameless for row in rows} or {nameless}
        for row in rows:
            row = AnswerRecord(**asdict(row) | {"who": row.who or nameless})
            old = best.get((row.who, row.id), row)
            best[row.who, row.id] = max(old, row, key=lambda a: (a.state == "right", a.at))
    known = {*exercises(), *questions()}
    kept = tuple(row for row in best.values() if row.id in known)
    unknown = {row.id for row in best.values()} - known
    return Classroom(tuple(sorted(students)), kept, tuple(sorted(unknown)))


def _read(path: Path) -> list[AnswerRecord]:
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: list[dict[str, Any]]
        if path.suffix == ".csv":
            table = csv.DictReader(io.StringIO(text))
            if tuple(table.fieldnames or ()) != COLUMNS:
                raise ValueError(f"the columns are not {', '.join(COLUMNS)}")
            rows = list(table)
        else:
            rows = json.loads(text)["answers"]
        return [_answer(row) for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LabError(
            t(f"'{path}' is not a progress file: {error}.", f"'{path}' 不是进度文件：{error}。"),
            t(
                "Ask for it again, or move it out of the folder.",
                "请让学生重新导出，或把它移出这个文件夹。",
            ),
        ) from error


def _answer(row: Mapping[str, Any]) -> AnswerRecord:
    words = {name: str(row[name]) for name in COLUMNS if name != "attempts"}
    words["lesson"] = renew_lesson(words["lesson"])
    if words["state"] not in get_args(State):
        raise ValueError(f"state {words['state']!r}")
    attempts = int(row["attempts"])
    if attempts < 1:
        raise ValueError(f"attempts {attempts}")
    return AnswerRecord(**words, attempts=attempts)  # type: ignore[arg-type]  # state: just compared


def write_sample_class(folder: str | Path, students: int = 12, seed: int = 0) -> Path:
    """Files of a class that does not exist, to look at the tables before there is one.

    Usage: ``read_class(write_sample_class("sample"))``. The answers are drawn at random, the same
    for the same seed: learners differ in how far they came, exercises in how hard they are.
    """
    folder, draw = Path(folder), random.Random(seed)
    topics = [lesson.topic for lesson in lessons()][:8]
    ids = sorted({*exercises(), *questions()}, key=_place)
    known = [id for id in ids if id.partition(".")[0] in topics]
    ease = {id: draw.uniform(0.35, 0.98) for id in known}
    for n in range(1, students + 1):
        who = t(f"Sample {n:02}", f"样例 {n:02}")
        last, skill = draw.choice(topics[2:]), draw.uniform(-0.2, 0.2)
        rows = []
        for place, id in enumerate(known):
            lesson, _, exercise = id.partition(".")
            if topics.index(lesson) > topics.index(last) or draw.random() < 0.05:
                continue
            state: State = "right" if draw.random() < ease[id] + skill else "wrong"
            attempts = 1 + int(draw.expovariate(2 * ease[id]))
            at = datetime(2026, 3, 2, 9, tzinfo=UTC) + timedelta(minutes=20 * place)
            when = at.isoformat("T", "seconds")
            rows.append(AnswerRecord(who, lesson, exercise, state, attempts, when))
        _write(folder / f"{n:02}{ENDINGS[n % 2]}", rows)
    return folder
