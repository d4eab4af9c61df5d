"""What the learner has done so far: a small file on this computer, and nowhere else.

Format 2 names an exercise by topic, "lora.merge". Format 1 named it by the number of its lesson,
"13.merge"; it is still read, and becomes format 2 with the next answer.
"""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..core.i18n import t
from ..core.progress import is_static

State = Literal["right", "wrong", "open"]
FORMAT = 2
TOPICS_OF_FORMAT_1 = (
    "start-here", "open-vs-closed", "family-album", "llama", "qwen", "chatglm", "yi", "deepseek",
    "mistral", "choose-a-model", "get-and-run", "quantization-inside", "quantization-lab", "lora",
    "qlora", "fine-tuning-tools", "deploy", "scale-out", "adopt", "trends", "capstone",
)  # fmt: skip
"""The lessons 00 to 20 as they were numbered then; it stays as it is, whatever moves."""


def is_graded() -> bool:
    """Whether a machine marks the answers: nbgrader, or LABKIT_GRADING=1.

    Usage: ``is_graded()``. nbgrader sets NBGRADER_EXECUTION to "autograde" or "validate".
    """
    return os.environ.get("LABKIT_GRADING") == "1" or "NBGRADER_EXECUTION" in os.environ


def progress_file() -> Path:
    """Where the learner's progress is kept: LABKIT_PROGRESS, or a file among the user's data.

    Usage: ``progress_file()``. It never leaves this computer.
    """
    if wish := os.environ.get("LABKIT_PROGRESS"):
        return Path(wish)
    from platformdirs import user_data_path

    return user_data_path("labkit", appauthor=False) / "progress.json"


def renew_lesson(lesson: str) -> str:
    """A lesson of format 1 by its topic; any other as it is. Usage: ``renew_lesson("13")``"""
    numbers = {f"{n:02}": topic for n, topic in enumerate(TOPICS_OF_FORMAT_1)}
    return numbers.get(lesson, lesson)


def renew_id(id: str) -> str:
    """An id of format 1 as one of today. Usage: ``renew_id("13.merge")  # "lora.merge"``"""
    lesson, dot, name = id.partition(".")
    return f"{renew_lesson(lesson)}{dot}{name}"


def _renew(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Answers by today's ids. Where both ids of one exercise have an answer, they become one."""
    kept: dict[str, dict[str, Any]] = {}
    for id, row in found.items():
        new = renew_id(id)
        kept[new] = _join(kept[new], row) if new in kept else row
    return kept


def _join(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Right if either is, else the later; with the larger count of attempts."""
    best = max(one, other, key=lambda row: (row["state"] == "right", str(row.get("at", ""))))
    return best | {"attempts": max(one["attempts"], other["attempts"])}


def answers() -> dict[str, dict[str, Any]]:
    """What was answered on this computer: id to state, attempts, and when (UTC) it got that state.

    Usage: ``answers()["start-here.weights-size"]["state"]  # "right"``. A file that cannot be
    read as progress is moved aside to ``….broken``, so that nothing is lost and the lesson goes on.
    """
    path = progress_file()
    if is_static() or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["answers"]
        if any(type(row["attempts"]) is not int or not row["state"] for row in found.values()):
            raise ValueError("an answer has no count of attempts, or no state")
        return _renew(found)
    except (ValueError, KeyError, TypeError, AttributeError):  # not what we wrote
        path.replace(path.with_name(path.name + ".broken"))
        return {}


def record(id: str, state: State) -> tuple[str, int]:
    """Keep the state of one exercise or prediction.

    Usage: ``note, attempts = record("start-here.weights-size", "right")``. note: empty, or why it
    could not be kept. attempts: how many there were, this one included. Static renderings and
    graded runs keep nothing and count every attempt as the first: their outputs do not vary.
    """
    if is_static() or is_graded():
        return "", 1
    try:
        kept = answers()
        old = kept.get(id, {"state": "open", "attempts": 0})
        new = old | {"attempts": old["attempts"] + 1}
        if old["state"] != "right":  # what was once right stays right
            new |= {"state": state, "at": datetime.now(UTC).isoformat("T", "seconds")}
        _write(progress_file(), {"format": FORMAT, "answers": kept | {id: new}})
    except OSError as error:
        note = t(f"(Progress is not kept: {error}.)", f"（学习进度没有保存：{error}。）")
        return note, 1
    return "", new["attempts"]


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)  # whole or not at all, also when the kernel is killed here
