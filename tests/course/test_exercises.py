"""Exercises and predictions: what they say, what they keep, how they are graded."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.catalog.lessons import TRACKS, find_lesson, lessons
from labkit.cli.entry import run
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.course import exercises as course
from labkit.course import progress_file
from labkit.widgets.prediction import ask

ID = "start-here.weights-size"
QUESTION = "start-here.unheard"


@pytest.fixture(autouse=True)
def learner_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    for name in ("LABKIT_STATIC", "LABKIT_GRADING", "NBGRADER_EXECUTION"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "data" / "progress.json"
    monkeypatch.setenv("LABKIT_PROGRESS", str(path))
    use_language("en")
    yield path
    use_language(None)


# What stands in the data


def test_every_text_is_in_both_languages_and_every_choice_is_explained() -> None:
    texts = [text for e in course.exercises().values() for text in (e.right, *e.hints)]
    for question in course.questions().values():
        texts += [question.ask, *(text for c in question.choices for text in (c.says, c.why))]
    assert len(texts) > 8

    def has_chinese(words: str) -> bool:
        return any("\u4e00" <= letter <= "\u9fff" for letter in words)

    for text in texts:
        assert not has_chinese(text.en), text.en
        # A model's name is the same in both.
        assert has_chinese(text.zh) or (text.zh == text.en and " " not in text.en), text.zh
    assert all(exercise.hints for exercise in course.exercises().values())


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        ('[exercises.x]\nright = { en = "Yes." }\nhints = []', "needs words in 'en' and in 'zh'"),
        ('[exercises.x]\nright = { en = "Yes.", zh = "" }\nhints = []', "needs words"),
        (
            '[questions.x]\nask = { en = "?", zh = "？" }\n[[questions.x.choices]]\nkey = "a"\n'
            'says = { en = "a", zh = "甲" }\nwhy = { en = "b", zh = "乙" }',
            "exactly one of them right",
        ),
    ],
)
def test_broken_words_are_refused(tmp_path: Path, broken: str, words: str) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(broken, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        course._read(path)


# Checks


def test_a_check_answers_in_words() -> None:
    wrong = course.check(ID, 7, 6)
    assert str(wrong).startswith("✘ Not yet: 7 is not it.\nHint: How many bits")
    right = course.check(ID, 6, 6)
    assert right.state == "right"
    assert str(right).startswith("✔ Every model of this course obeys it")
    use_language("zh")
    assert str(course.check(ID, 7, 6)).startswith("✘ 还不对：7 不是正确答案。\n提示：")


@pytest.mark.parametrize("answer", [None, ...])
def test_an_open_exercise_does_not_stop_the_notebook(answer: object) -> None:
    assert str(course.check(ID, answer, 6)) == "○ Not answered yet."


def test_each_miss_brings_one_more_hint() -> None:
    hints = [str(hint) for hint in course.exercises()[ID].hints]
    given = [course.check(ID, wrong, 6).hint for wrong in (1, 2, 3)]
    assert given == [hints[0], hints[1], hints[1]]


@pytest.mark.parametrize(
    ("answer", "expected", "state"),
    [
        ("  yes ", "yes", "right"),
        ("no", "yes", "wrong"),
        ([1, 2], [1, 2], "right"),
        ((1, 2), [1, 2], "wrong"),
        (True, 1, "wrong"),
        (1, True, "right"),
        (0.1 + 0.2, 0.3, "right"),
        (math.nan, 1.0, "wrong"),
        (5, lambda n: n > 4, "right"),
        (3, lambda n: n > 4, "wrong"),
        ("3", lambda n: n > 4, "wrong"),
        (3, lambda n: n[0] == 3, "wrong"),
    ],
)
def test_what_counts_as_right(answer: object, expected: object, state: str) -> None:
    assert course.check(ID, answer, expected).state == state


def test_words_say_what_is_wrong() -> None:
    assert course.check(ID, "7", 6).words == "A number is wanted, not '7'."
    assert course.check(ID, 7, lambda n: n == 6 or "Too many.").words == "Too many."
    assert "cannot be judged" in course.check(ID, 3, lambda n: n[0]).words


@given(st.floats(1e-300, 1e300) | st.floats(-1e300, -1e-300), st.floats(1e-6, 0.5))
def test_tolerance_is_relative(value: float, tolerance: float) -> None:
    os.environ["LABKIT_STATIC"] = "1"  # nothing is kept: hypothesis runs this often
    try:
        near, far = value * (1 + tolerance / 2), value * (1 + tolerance * 3)
        assert course.check(ID, near, value, tolerance=tolerance).state == "right"
        assert course.check(ID, far, value, tolerance=tolerance).state == "wrong"
    finally:
        del os.environ["LABKIT_STATIC"]


def test_an_unknown_exercise_names_those_there_are() -> None:
    with pytest.raises(LabError, match=f"There is no exercise 'lora.nothing'.*{ID}"):
        course.check("lora.nothing", 1, 1)


def test_html_holds_no_raw_answer() -> None:
    shown = course.check(ID, "<script>", "yes")._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


@pytest.mark.parametrize("variable", ["LABKIT_GRADING", "NBGRADER_EXECUTION"])
def test_graded_only_a_right_answer_passes(
    monkeypatch: pytest.MonkeyPatch, learner_file: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, "1" if variable == "LABKIT_GRADING" else "autograde")
    assert course.check(ID, 6, 6).state == "right"
    with pytest.raises(AssertionError, match="Not yet: 7"):
        course.check(ID, 7, 6)
    with pytest.raises(AssertionError, match="Not answered yet"):
        course.check(ID, None, 6)
    assert not learner_file.exists()


# Predictions


def test_every_choice_of_a_prediction_is_answered() -> None:
    question = course.questions()[QUESTION]
    verdicts = [course.predict(QUESTION, choice.key) for choice in question.choices]
    assert [v.words for v in verdicts] == [str(choice.why) for choice in question.choices]
    assert [v.state for v in verdicts].count("right") == 1


def test_an_open_prediction_lists_its_choices_and_folds_the_reasons() -> None:
    asked = course.predict(QUESTION)
    question = course.questions()[QUESTION]
    assert repr(asked).count("\n") == len(question.choices)
    assert not any(str(choice.why) in repr(asked) for choice in question.choices)
    assert asked._repr_html_().count("<details>") == len(question.choices)


def test_a_choice_that_is_not_there_is_refused() -> None:
    with pytest.raises(LabError, match="'z' is not one of the choices. Choose one of a, b"):
        course.predict(QUESTION, "z")
    with pytest.raises(LabError, match="There is no question 'lora.nothing'"):
        course.predict("lora.nothing")


# Progress


def test_progress_is_kept_and_what_was_right_stays_right(learner_file: Path) -> None:
    course.check(ID, 7, 6)
    course.check(ID, 6, 6)
    course.check(ID, 7, 6)
    course.predict(QUESTION, "a")
    kept = json.loads(learner_file.read_text(encoding="utf-8"))["answers"]
    assert (kept[ID]["state"], kept[ID]["attempts"]) == ("right", 3)
    assert (kept[QUESTION]["state"], kept[QUESTION]["attempts"]) == ("wrong", 1)
    assert [path.name for path in learner_file.parent.iterdir()] == ["progress.json"]


OF_FORMAT_1 = """{
 "format": 1,
 "answers": {
  "00.weights-size": {
   "state": "right",
   "attempts": 2,
   "at": "2026-11-30T21:02:03+00:00"
  },
  "13.merge": {
   "state": "wrong",
   "attempts": 1,
   "at": "2026-11-30T21:02:03+00:00"
  }
 }
}
"""


def test_what_was_answered_by_number_is_kept_by_topic(learner_file: Path) -> None:
    learner_file.parent.mkdir()
    learner_file.write_text(OF_FORMAT_1, encoding="utf-8")
    assert list(progress_file.answers()) == [ID, "lora.merge"]
    assert course.overview().stages[0].right == 1
    course.check("lora.merge", 6, 6)
    written = json.loads(learner_file.read_text(encoding="utf-8"))
    assert written["format"] == 2
    states = {id: (row["state"], row["attempts"]) for id, row in written["answers"].items()}
    assert states == {ID: ("right", 2), "lora.merge": ("right", 2)}


def test_two_answers_to_one_exercise_become_one(learner_file: Path) -> None:
    """As an older labkit leaves them behind, which writes numbers beside topics."""

    def row(state: str, attempts: int, at: str) -> dict:
        return {"state": state, "attempts": attempts, "at": at}

    learner_file.parent.mkdir()
    kept = {
        "00.weights-size": row("right", 1, "2026"), ID: row("wrong", 3, "2027"),
        "lora.merge": row("wrong", 4, "2026"), "13.merge": row("wrong", 2, "2027"),
    }  # fmt: skip
    learner_file.write_text(json.dumps({"format": 1, "answers": kept}), encoding="utf-8")
    assert progress_file.answers() == {
        ID: row("right", 3, "2026"), "lora.merge": row("wrong", 4, "2027"),
    }  # fmt: skip


def test_format_1_knew_these_lessons_and_no_topic_looks_like_a_number() -> None:
    numbers = [f"{n:02}.x" for n in range(22)]
    topics = [progress_file.renew_id(id).removesuffix(".x") for id in numbers]
    assert (topics[0], topics[13], topics[20], topics[21]) == (
        "start-here", "lora", "capstone", "21",
    )  # fmt: skip
    assert set(topics[:21]) <= {lesson.topic for lesson in lessons()}
    assert not any(lesson.topic.isdigit() for lesson in lessons())


def test_a_copy_of_a_lesson_may_ask_by_number() -> None:
    assert course.check("00.weights-size", 6, 6).id == ID
    assert course.predict("00.unheard", "b").id == QUESTION
    assert set(progress_file.answers()) == {ID, QUESTION}


def test_static_renderings_keep_nothing_and_read_nothing(
    monkeypatch: pytest.MonkeyPatch, learner_file: Path
) -> None:
    course.check(ID, 7, 6)
    before = learner_file.read_bytes()
    monkeypatch.setenv("LABKIT_STATIC", "1")
    first, second = course.check(ID, 7, 6), course.check(ID, 7, 6)
    assert first == second
    assert first.hint == str(course.exercises()[ID].hints[0])
    assert learner_file.read_bytes() == before
    assert progress_file.answers() == {}


@pytest.mark.parametrize("broken", ["{", "[]", '{"answers": 3}', '{"answers": {"a": 1}}', "\x00"])
def test_a_broken_progress_file_is_put_aside(learner_file: Path, broken: str) -> None:
    learner_file.parent.mkdir()
    learner_file.write_text(broken, encoding="utf-8")
    assert course.check(ID, 6, 6).state == "right"
    assert learner_file.with_name("progress.json.broken").read_text(encoding="utf-8") == broken
    assert progress_file.answers()[ID]["state"] == "right"


def test_a_folder_that_cannot_be_written_is_said_and_the_lesson_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("LABKIT_PROGRESS", str(tmp_path / "file" / "progress.json"))
    verdict = course.check(ID, 6, 6)
    assert verdict.state == "right"
    assert "Progress is not kept" in str(verdict)


def test_the_file_is_among_the_users_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_PROGRESS")
    path = progress_file.progress_file()
    assert (path.parent.name, path.name) == ("labkit", "progress.json")
    assert path.is_relative_to(Path.home()) or "XDG_DATA_HOME" in os.environ


# The overview


def test_the_overview_shows_tracks_and_how_far_one_is() -> None:
    start = course.overview().stages[0]
    assert (start.lesson.id, start.right) == ("00", 0)
    course.check(ID, 6, 6)
    course.check("start-here.exact-match", 1, 2)
    after = course.overview()
    assert (after.stages[0].right, after.stages[0].total) == (1, start.total)
    row = after.rows()[1]
    minutes = str(start.lesson.minutes)
    assert row == ["00", "Start here", "●", "●", "●", "", minutes, f"1/{start.total}"]
    qlora = find_lesson("qlora")
    needs = ", ".join(find_lesson(topic).id for topic in qlora.needs)
    assert needs in next(row for row in after.rows() if row[0] == qlora.id)
    assert after._repr_html_().count("<tr>") == len(after.stages) + 2
    assert after.done.startswith("1/")


def test_a_track_is_a_list_of_lessons_with_their_time() -> None:
    for track in TRACKS:
        mine = course.overview(track)
        assert mine == course.overview().follow(track)
        assert [s.lesson for s in mine.stages] == [s for s in lessons() if track in s.tracks]
        assert mine.stages[0].lesson.topic == "start-here"
        assert mine.minutes == sum(s.lesson.minutes or 0 for s in mine.stages)
        assert len(mine.rows()[0]) == len(mine.rows()[-1]) == 5
        assert mine.time in str(course.overview())
    with pytest.raises(LabError, match="beginner"):
        course.overview("expert")


def test_hours_are_rounded_and_say_where_a_lesson_was_not_measured() -> None:
    lesson = replace(lessons()[0], minutes=80)
    two = course.Overview((course.Stage(lesson, 1, 2), course.Stage(lesson, 0, 3)))
    assert (two.time, two.done) == ("about 2.5 hours", "1/5")
    some = course.Overview((*two.stages, course.Stage(replace(lesson, minutes=None), 0, 0)))
    assert (some.minutes, some.unmeasured) == (160, 1)
    assert some.time == "more than 2.5 hours"
    use_language("zh")
    assert (two.time, some.time) == ("约 2.5 小时", "2.5 小时以上")


def test_the_command_lists_a_track(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lessons", "list", "--track", "enterprise"]) == 0
    shown = capsys.readouterr().out
    assert "Adopt" in shown and "ChatGLM" not in shown
    assert run(["lessons", "list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["stages"]) == len(lessons()) and found["track"] is None
    assert found["stages"][1]["lesson"]["needs"] == ["start-here"]
    assert run(["lessons", "list", "--track", "expert"]) == 2


# The prediction's radio buttons


def test_choosing_shows_the_reason_and_keeps_the_state(learner_file: Path) -> None:
    view = ask(QUESTION)
    _, buttons, verdict = view.children
    assert (buttons.value, verdict.value) == (None, "")
    buttons.value = "b"
    assert str(course.questions()[QUESTION].choices[1].why) in verdict.value
    assert progress_file.answers()[QUESTION]["state"] == "right"
    buttons.value = "a"
    assert str(course.questions()[QUESTION].choices[0].why) in verdict.value


@pytest.mark.parametrize("variable", ["LABKIT_STATIC", "LABKIT_GRADING"])
def test_where_nothing_lives_the_question_is_written(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "1")
    assert ask(QUESTION) == course.predict(QUESTION)
