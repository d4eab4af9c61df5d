"""Reading: a question with the passage that answers it, and a task that teaches to look there.

Usage: ``lab.finetune("pocket/qwen2.5", reading_task())``

Retrieval puts a passage before the question; the model must then take the answer from there and not
from its weights. Large models learn that in passing, pocket models never did. What teaches it here
are handbooks of firms that do not exist either: the course's own with other numbers, names and
days, in which nothing can be known by heart. None of the course's own entries is among them.
"""

import random
import re
from dataclasses import replace

from ..core.i18n import t
from ..pocket.corpus import Item
from ..pocket.tasks import FRAMES, HANDBOOK, SIZES, handbook, write_entry
from ..pocket.words import LEXICON, NAMES
from .tasks import Task

DAYS = {
    "Monday": "星期一", "Tuesday": "星期二", "Wednesday": "星期三", "Thursday": "星期四",
    "Friday": "星期五", "Saturday": "星期六", "Sunday": "星期日",
}  # fmt: skip


def add_passage(item: Item, passage: str) -> Item:
    """The same question with a passage before it, on a line of its own.

    Usage: ``add_passage(load_task("handbook").test[0], "Lake Tea, payday: the 25th.")``
    """
    *before, question, answer = item.messages
    asked = {**question, "content": f"{passage}\n{question['content']}"}
    return replace(item, messages=(*before, asked, answer))


def other_answer(topic: str, rng: random.Random) -> tuple[str, str]:
    """What another firm's handbook might say of a topic, in English and in Chinese.

    Usage: ``other_answer("payday", random.Random(0))  # ("the 79th", "每月79日")``. The form stays;
    numbers, names, days and things are others, of the same length where they are numbers.
    """
    _, english, chinese = HANDBOOK[topic]
    if numbers := re.findall(r"\d+", english):
        for number in numbers:
            drawn = str(rng.randint(10 ** (len(number) - 1), 10 ** len(number) - 1))
            english, chinese = (text.replace(number, drawn, 1) for text in (english, chinese))
        return english, chinese
    for known in (NAMES, DAYS, LEXICON):
        for word, said in known.items():
            if re.search(rf"\b{word}\b", english) and said in chinese:
                drawn = rng.choice(sorted(known))
                return english.replace(word, drawn), chinese.replace(said, known[drawn])
    raise AssertionError(f"nothing in '{english}' can be another")


def reading_task(seed: int = 0) -> Task:
    """Questions with the passage that answers each; the three splits share no passage.

    Usage: ``lab.finetune("pocket/qwen2.5", reading_task(), steps=300)``
    """
    rng = random.Random(f"reading {seed}")
    used = {text for entry in handbook() for text in (entry.en, entry.zh)}
    splits = {}
    for split in ("test", "validation", "train"):  # what few there are of a kind is asked first
        splits[split] = tuple(_draw(rng, used) for _ in range(SIZES[split]))
        used |= {item.key for item in splits[split]}
    about = t("reading: the answer stands above the question", "阅读：答案就在问题上面那一行")
    return Task("reading", about, **splits)


def _draw(rng: random.Random, used: set[str]) -> Item:
    while True:
        topic, frame = rng.choice(list(HANDBOOK)), rng.choice(FRAMES)
        english, chinese = other_answer(topic, rng)
        entry, is_english = write_entry(topic, english, chinese), frame.isascii()
        passage = entry.en if is_english else entry.zh
        if passage not in used:
            break
    asked = {"role": "user", "content": frame.format(topic if is_english else HANDBOOK[topic][0])}
    answer = {"role": "assistant", "content": english if is_english else chinese}
    return add_passage(Item("reading", passage, (asked, answer)), passage)
