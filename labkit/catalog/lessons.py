"""The lessons of the course. A lesson's number stands in lessons.toml; all else names its topic.

Usage: ``find_lesson("lora").id  # "13"``; ``fill_numbers("see lesson [[lora]]")``
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from ..core.errors import LabError
from ..core.extras import EXTRAS
from ..core.i18n import t
from .reader import DATA
from .schema import Text

TRACKS = ("beginner", "developer", "enterprise")

PLACE = re.compile(r"\[\[([a-z][a-z0-9-]*)\]\]")
"""Where the number of a lesson belongs: ``[[lora]]``."""


@dataclass(frozen=True)
class Lesson:
    """A lesson and what it needs with pocket models; None where it was not measured.

    id: its number. needs: topics of the lessons that come first. minutes: on two CPU cores.
    memory, download: bytes.
    """

    id: str
    topic: str
    title: Text
    tracks: tuple[str, ...]
    modules: tuple[str, ...]
    needs: tuple[str, ...] = ()
    needs_gpu: bool = False
    minutes: int | None = None
    memory: int | None = None
    download: int | None = None

    @property
    def stem(self) -> str:
        """How its source and its notebooks are called."""
        return f"{self.id}_{self.topic}"

    @property
    def extras(self) -> set[str]:
        """The extras of labkit that bring its modules."""
        return {EXTRAS[module] for module in self.modules}


@cache
def lessons() -> tuple[Lesson, ...]:
    """The lessons of the course, in order.

    Usage: ``lessons()[0].title``. Raises TypeError for a key that a lesson does not have.
    """
    entries = tomllib.loads((DATA / "lessons.toml").read_text("utf-8"))["lessons"]
    return tuple(
        Lesson(
            **entry
            | {"title": Text(**entry["title"])}
            | {key: tuple(entry[key]) for key in ("tracks", "modules", "needs")}
        )
        for entry in entries
    )


def find_lesson(topic: str) -> Lesson:
    """The lesson on a topic. Usage: ``find_lesson("lora").id``. Raises LabError for no topic."""
    known = {lesson.topic: lesson for lesson in lessons()}
    if topic not in known:
        raise LabError(
            t(f"There is no lesson '{topic}'.", f"没有 '{topic}' 这一课。"),
            t(f"The topics are: {', '.join(known)}.", f"现有的主题：{'、'.join(known)}。"),
        )
    return known[topic]


def number_of(topic: str | None) -> str:
    """The number of a lesson, empty for none. Usage: ``number_of("lora")  # "13"``"""
    return find_lesson(topic).id if topic else ""


def fill_numbers(text: str) -> str:
    """A text with the numbers of the lessons it names.

    Usage: ``fill_numbers("lesson [[lora]]")  # "lesson 13"``. Raises LabError for no topic.
    """
    return PLACE.sub(lambda match: number_of(match[1]), text)


def fill_text(words: Mapping[str, str]) -> Text:
    """Both languages of a line of data, with the numbers of the lessons they name.

    Usage: ``fill_text({"en": "lesson [[lora]]", "zh": "第 [[lora]] 课"})``. Raises TypeError for
    a language too many or too few.
    """
    return Text(**{language: fill_numbers(text) for language, text in words.items()})
