"""What the learner has done so far: a small file on this computer, and nowhere else."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from ..core.i18n import t
from ..core.progress import is_static

State = Literal["right", "wrong", "open"]


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


def answers() -> dict[str, dict[str, Any]]:
    """What was answered on this computer: id to state, attempts, and when (UTC) it got that state.

    Usage: ``answers()["00.folder-size"]["state"]  # "right"``. A file that cannot be read as
    progress is moved aside to ``….broken``, so that nothing is lost and the lesson goes on.
    """
    path = progress_file()
    if is_static() or not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["answers"]
        if any(type(row["attempts"]) is not int or not row["state"] for row in found.values()):
            raise ValueError("an answer has no count of attempts, or no state")
    except (ValueError, KeyError, TypeError, AttributeError):  # not what we wrote
        path.replace(path.with_name(path.name + ".broken"))
        return {}
    return found


def record(id: str, state: State) -> tuple[str, int]:
    """Keep the state of one exercise or prediction.

    Usage: ``note, attempts = record("00.folder-size", "right")``. note: empty, or why it could not
    be kept. attempts: how many there were, this one included. Static renderings and graded runs
    keep nothing and count every attempt as the first, so that their outputs do not vary.
    """
    if is_static() or is_graded():
        return "", 1
    try:
        kept = answers()
        old = kept.get(id, {"state": "open", "attempts": 0})
        new = old | {"attempts": old["attempts"] + 1}
        if old["state"] != "right":  # what was once right stays right
            new |= {"state": state, "at": datetime.now(UTC).isoformat("T", "seconds")}
        _write(progress_file(), {"format": 1, "answers": kept | {id: new}})
    except OSError as error:
        note = t(f"(Progress is not kept: {error}.)", f"（学习进度没有保存：{error}。）")
        return note, 1
    return "", new["attempts"]


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    draft.replace(path)  # whole or not at all, also when the kernel is killed here
