"""The lessons: numbered in one place, in an order in which each comes after what it needs."""

import re

import pytest

from labkit.catalog import DATA, families
from labkit.catalog.glossary import terms
from labkit.catalog.guides import threats
from labkit.catalog.lessons import TRACKS, fill_numbers, fill_text, find_lesson, lessons, number_of
from labkit.core.errors import LabError
from labkit.core.extras import EXTRAS

TOPICS = [lesson.topic for lesson in lessons()]


def test_lessons_are_numbered_without_a_gap_and_their_lines_are_whole() -> None:
    assert [lesson.id for lesson in lessons()] == [f"{n:02}" for n in range(len(TOPICS))]
    assert len(set(TOPICS)) == len(TOPICS) >= 21
    for lesson in lessons():
        assert re.fullmatch(r"[a-z][a-z0-9-]*", lesson.topic)
        assert lesson.tracks and set(lesson.tracks) <= set(TRACKS)
        assert list(lesson.tracks) == sorted(lesson.tracks, key=TRACKS.index)
        assert set(lesson.modules) <= set(EXTRAS), "the way out names the extra"
        assert re.search(r"[A-Za-z]", lesson.title.en) and lesson.title.en != lesson.title.zh
        assert not lesson.needs_gpu, "the course runs whole without a GPU"


def test_a_lesson_comes_after_what_it_needs_and_needs_nothing_twice() -> None:
    all_needs: dict[str, set[str]] = {}
    for lesson in lessons():
        assert set(lesson.needs) <= set(all_needs), lesson.topic
        assert list(lesson.needs) == sorted(lesson.needs, key=TOPICS.index)
        assert lesson.needs or lesson.topic == TOPICS[0]
        all_needs[lesson.topic] = {*lesson.needs}.union(*(all_needs[n] for n in lesson.needs))


@pytest.mark.parametrize("track", TRACKS)
def test_a_track_holds_what_its_lessons_need(track: str) -> None:
    mine = {lesson.topic for lesson in lessons() if track in lesson.tracks}
    assert TOPICS[0] in mine
    for topic in mine:
        assert set(find_lesson(topic).needs) <= mine, topic


def test_what_names_a_lesson_names_its_topic() -> None:
    named = {family.lesson for family in families()} | {term.lesson for term in terms()}
    named |= {threat.lesson for threat in threats()}
    assert named - {None, ""} <= set(TOPICS)
    assert {path.stem for path in (DATA / "questions").glob("*")} <= set(TOPICS)


def test_numbers_come_from_topics() -> None:
    lora = find_lesson("lora")
    assert (number_of("lora"), number_of(""), number_of(None)) == (lora.id, "", "")
    assert lora.stem == f"{lora.id}_lora"
    assert fill_numbers("Lesson [[lora]], not x[[0, 1]].") == f"Lesson {lora.id}, not x[[0, 1]]."
    assert fill_text({"en": "[[lora]]", "zh": "第 [[lora]] 课"}).zh == f"第 {lora.id} 课"
    for unknown in (lambda: find_lesson("love"), lambda: fill_numbers("lesson [[love]]")):
        with pytest.raises(LabError, match="no lesson 'love'. The topics are: start-here"):
            unknown()


def test_no_text_of_the_data_names_a_lesson_by_number() -> None:
    for path in DATA.rglob("*.toml"):
        found = re.findall(r"(?i)\blessons? \d\d|第 ?\d\d ?课", path.read_text(encoding="utf-8"))
        assert not found, path
