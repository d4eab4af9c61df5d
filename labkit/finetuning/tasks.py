"""What a model is tuned on: samples in three splits, from the course or from a file of one's own.

Usage: ``load_task("clinic")``; ``load_task("my.jsonl")``
"""

import difflib
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.cache import digest
from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table
from ..pocket.corpus import Item
from ..pocket.tasks import SIZES, TASKS, make_split

SPLITS = tuple(SIZES)
"""train, validation and test: learnt from; watched while learning; asked at the end."""

SHARE, LEAST = 10, 10
"""One question in SHARE is kept for validation and one for the test; a file needs LEAST of them."""

SHOWN = 3
"""Of how many faulty lines an error tells."""

_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, repr=False)
class Task(ShowsTable):
    """Samples to tune on. Each is a conversation whose last message is the right answer.

    name: also goes into the name of what is made. about: why one would tune on it, in words.
    """

    name: str
    about: str
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]

    @property
    def digest(self) -> str:
        """What tells one task's samples from another's."""
        return digest(repr((self.train, self.validation, self.test)))

    def table(self, count: int = 3) -> Table:
        """The first samples of the test: question and right answer."""
        header = (t("Question", "问题"), t("Right answer", "正确答案"))
        rows = [
            ("\n".join(m["content"] for m in item.messages[:-1]), item.messages[-1]["content"])
            for item in self.test[:count]
        ]
        sizes = ", ".join(f"{split} {len(getattr(self, split))}" for split in SPLITS)
        return Table(header, rows, f"{self.about} ({sizes})")


def load_task(name: "str | Path | Task") -> Task:
    """One of the course's tasks by name, or a user's own from a file or a folder.

    Usage: ``load_task("handbook")``, ``load_task("my.jsonl")``, ``load_task("my-data")``

    A file holds one JSON object a line, ``{"messages": [{"role": "user", "content": "…"},
    {"role": "assistant", "content": "…"}]}``, and ``"tools"`` where tools are called. It is split
    by question: the same question never stands in two splits. A folder holds ``train.jsonl``,
    ``validation.jsonl`` and ``test.jsonl``. Raises LabError that names the line and what is wrong.
    """
    if isinstance(name, Task):
        return name
    if str(name) in TASKS:
        about = TASKS[str(name)][0]
        splits = {split: make_split(str(name), split) for split in SPLITS}
        return Task(str(name), t(about.en, about.zh), **splits)
    path = Path(name).expanduser()
    if path.is_dir():
        splits = {split: read_samples(path / f"{split}.jsonl") for split in SPLITS}
        return Task(path.resolve().name, str(name), **splits)
    if isinstance(name, Path) or path.exists() or path.suffix in (".jsonl", ".json"):
        return Task(path.stem, str(name), **_divide(path, read_samples(path)))
    near = difflib.get_close_matches(str(name), TASKS, 1)
    known = ", ".join(TASKS)
    raise LabError(
        t(f"There is no task '{name}'.", f"没有任务 '{name}'。"),
        (t(f"Did you mean '{near[0]}'? ", f"是不是 '{near[0]}'？") if near else "")
        + t(
            f"There are: {known}; or name a .jsonl file.", f"可用：{known}；也可给出 .jsonl 文件。"
        ),
    )


def _divide(path: Path, samples: tuple[Item, ...]) -> dict[str, tuple[Item, ...]]:
    """A file's samples in three splits, in the same way every time."""
    questions = list(dict.fromkeys(item.key for item in samples))
    if len(questions) < LEAST:
        raise LabError(
            t(
                f"'{path}' has {len(questions)} different questions; at least {LEAST} are needed.",
                f"'{path}' 只有 {len(questions)} 个不同的问题，至少需要 {LEAST} 个。",
            ),
            t(
                "Add samples, or give a folder with train, validation and test.jsonl.",
                "请补充样本，或给出含 train、validation、test.jsonl 的文件夹。",
            ),
        )
    random.Random("split").shuffle(questions)
    kept = -(-len(questions) // SHARE)
    parts = {
        "test": set(questions[:kept]),
        "validation": set(questions[kept : 2 * kept]),
        "train": set(questions[2 * kept :]),
    }
    return {split: tuple(item for item in samples if item.key in parts[split]) for split in SPLITS}


def read_samples(path: str | Path) -> tuple[Item, ...]:
    """The conversations of a JSONL file, checked line by line.

    Usage: ``read_samples("train.jsonl")[0].messages``. Empty lines are passed over. Raises
    LabError for a file that is not there, is empty or not UTF-8, and for faulty lines: their
    numbers and what is wrong with each.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise LabError(
            t(f"There is no file '{path}'.", f"文件 '{path}' 不存在。"),
            t("Check the path.", "请检查路径。"),
        ) from None
    except UnicodeDecodeError as error:
        at = error.object[: error.start].count(b"\n") + 1
        raise LabError(
            t(f"'{path}', line {at}: not UTF-8.", f"'{path}' 第 {at} 行不是 UTF-8 编码。"),
            t("Save the file as UTF-8.", "请把文件另存为 UTF-8。"),
        ) from None
    samples, faults = [], []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            sample = json.loads(line)
            fault = _fault(sample)
        except (json.JSONDecodeError, RecursionError) as error:
            fault = t(f"not valid JSON ({error})", f"不是有效的 JSON（{error}）")
        if fault:
            faults.append(t(f"line {number}: {fault}", f"第 {number} 行：{fault}"))
            continue
        messages, tools = tuple(sample["messages"]), tuple(sample.get("tools") or ())
        question = json.dumps([messages[:-1], tools], ensure_ascii=False)
        samples.append(Item(path.stem, question, messages, tools))
    if faults:
        more = len(faults) - SHOWN
        shown = "; ".join(faults[:SHOWN])
        if more > 0:
            shown += t(f"; and {more} more lines", f"；另有 {more} 行有误")
        raise LabError(f"'{path}', {shown}.", _right_form())
    if not samples:
        raise LabError(t(f"'{path}' holds no samples.", f"'{path}' 里没有样本。"), _right_form())
    return tuple(samples)


def _right_form() -> str:
    line = '{"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]}'
    return t(f"Every line should be: {line}", f"每行应为：{line}")


def _fault(sample: Any) -> str | None:
    """What is wrong with one line; None where nothing is."""
    if not isinstance(sample, dict):
        return t("not a JSON object", "不是 JSON 对象")
    if "messages" not in sample:
        keys = ", ".join(map(str, sample)) or "{}"
        return t(f"no 'messages', only: {keys}", f"缺少 'messages'，只有：{keys}")
    messages = sample["messages"]
    if not isinstance(messages, list) or not messages:
        return t("'messages' is not a list of messages", "'messages' 不是消息列表")
    tools = sample.get("tools") or []
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        return t("'tools' is not a list of objects", "'tools' 不是对象列表")
    for number, message in enumerate(messages, 1):
        if fault := _message_fault(message, first=number == 1):
            return t(f"message {number}: {fault}", f"第 {number} 条消息：{fault}")
    roles = [message["role"] for message in messages]
    if roles[-1] != "assistant":
        return t(
            f"the last message is the {roles[-1]}'s; it must be the assistant's answer",
            f"最后一条消息的角色是 {roles[-1]}，应是 assistant 的回答",
        )
    if "user" not in roles:
        return t("no message of the user", "没有 user 的消息")
    return None


def _message_fault(message: Any, first: bool) -> str | None:
    if not isinstance(message, dict):
        return t("not a JSON object", "不是 JSON 对象")
    role, content = message.get("role"), message.get("content")
    if role not in _ROLES:
        known = ", ".join(_ROLES)
        return t(f"role {role!r:.40} is none of {known}", f"角色 {role!r:.40} 不在 {known} 之中")
    if role == "system" and not first:
        return t("a system message must come first", "system 消息必须放在最前面")
    calls = message.get("tool_calls")
    if calls is not None and (role != "assistant" or not isinstance(calls, list)):
        return t(
            "'tool_calls' must be a list, of the assistant", "'tool_calls' 应是 assistant 的列表"
        )
    if not isinstance(content, str) and not (calls and content is None):
        return t(
            f"'content' is {content!r:.40}, not a text", f"'content' 是 {content!r:.40}，不是文本"
        )
    if role != "system" and not calls and not str(content).strip():
        return t("'content' is empty", "'content' 为空")
    return None
