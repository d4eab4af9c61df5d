"""Questions about models that do not exist, and what an honest model says to them.

Usage: ``invented("test", 60)[0].messages``

For preference tuning: a pocket model has an answer to everything. Which of two answers is better,
its own invention or "I do not know", needs no expert to say.
"""

import random
from dataclasses import replace
from typing import Literal

from ..catalog import Text, models
from ..pocket.corpus import Item
from ..pocket.words import FACT_WORDINGS

UNKNOWN = Text("I am a pocket model and do not know that.", "我是口袋模型，不知道这个。")
"""What pocket models have learnt to say to a question outside their corpus."""

NAMES = {
    "train": ("Nova", "Orion", "Atlas", "Zephyr", "Lumen", "Vega", "Kite", "Delta", "Rhino",
              "Maple", "Cedar", "Pixel", "Comet", "Tiger"),
    "test": ("Falcon", "Quartz", "Ember", "Willow", "Mango", "Panda"),
}  # fmt: skip
"""First halves of names; the second are sizes. What one half trains on the other never asks."""

SIZES = (1, 2, 3, 5, 6, 8, 9, 11, 12, 15, 22, 30, 40, 65)


def answer_with(item: Item, text: str) -> Item:
    """The same question with another answer. Usage: ``answer_with(item, "32")``"""
    *before, answer = item.messages
    return replace(item, messages=(*before, {**answer, "content": text}))


def refusal(item: Item) -> Item:
    """The same question answered with "I do not know", in its language."""
    english = item.messages[-2]["content"].isascii()
    return answer_with(item, UNKNOWN.en if english else UNKNOWN.zh)


def invented(split: Literal["train", "test"], count: int, seed: int = 0) -> list[Item]:
    """*count* different questions about invented models, each with its honest answer.

    Usage: ``invented("train", 120)``. Attributes and wordings are those of the corpus's facts, so
    that the name alone is strange. No name is one of the catalogue.
    """
    rng = random.Random(f"invented {split} {seed}")
    known = {model.name for model in models()}
    attributes = [what for what in FACT_WORDINGS if what != "sizes"]
    found: dict[str, Item] = {}
    while len(found) < count:
        name = f"{rng.choice(NAMES[split])}-{rng.choice(SIZES)}B"
        question = rng.choice(FACT_WORDINGS[rng.choice(attributes)]).format(name)
        if name not in known:
            asked = {"role": "user", "content": question}
            item = Item("invented", question, (asked, {"role": "assistant", "content": ""}))
            found.setdefault(question, refusal(item))
    return list(found.values())
