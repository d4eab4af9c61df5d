"""The corpus the pocket models learn from: generated, bilingual, with exact answers.

Every skill is a function from a random generator to one :class:`Item`: the messages of a short
conversation and, by its last message, the one right answer. An item belongs to the train or to
the test half by the hash of what must be new to the model (its *key*): a pair of summands, a
list of words, a wording of a question. So the halves are disjoint by construction.
"""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any
from zlib import crc32

from ..catalog import Text, families, models
from .mixtures import MIXTURE
from .words import CITIES, FACT_WORDINGS, LEXICON, LEXICON_WORDINGS, LIST_WORDINGS, NAMES, STRANGE

Message = dict[str, Any]

CLOSED = ("facts", "lexicon")
"""Skills of memory: what is new in the test half is the wording, not the answer."""


@dataclass(frozen=True)
class Item:
    """One conversation. messages: user and assistant in turn, the last is the right answer.

    key: what decides between train and test. tools: JSON schemas the model may call.
    """

    skill: str
    key: str
    messages: tuple[Message, ...]
    tools: tuple[Message, ...] = field(default=())
    asked_first: bool = False

    @property
    def split(self) -> str:
        """``test`` for one key in eight, one in three where all there is must be known by heart.

        What everybody asks first is trained in every wording (by the share ``sizes``), so it can
        test nothing.
        """
        share = 3 if self.skill in CLOSED else 8
        if crc32(self.key.encode()) % share:
            return "train"
        return "neither" if self.asked_first else "test"


def _item(skill: str, key: str, *turns: str, tools: tuple[Message, ...] = ()) -> Item:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns))
    return Item(skill, key, messages, tools)


# Facts ------------------------------------------------------------------------------------


def facts() -> dict[tuple[str, str], Text]:
    """Subject and attribute to answer, all taken from the catalogue.

    Usage: ``facts()["Qwen2.5", "sizes"].en  # "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"``
    """
    known: dict[tuple[str, str], Text] = {}
    sizes: dict[str, list[str]] = {}
    makers = {family.key: family.maker for family in families()}
    for model in models():
        if not model.course:
            continue
        known[model.name, "maker"] = makers[model.family]
        for what, value in (
            ("released", model.release_date),
            ("context", model.context),
            ("layers", model.num_hidden_layers),
            ("kv_heads", model.num_key_value_heads),
        ):
            known[model.name, what] = Text(str(value), str(value))
        series, _, size = model.name.rpartition("-")
        sizes.setdefault(series, []).append(size)
    # Only these series stand in the course with every size they came in.
    for series in ("Llama-2", "Llama-3", "Qwen2.5"):
        names = sorted(sizes[series], key=lambda size: float(size[:-1]))
        known[series, "sizes"] = Text(", ".join(names), "、".join(names))
    return known


@cache
def _fact_list() -> tuple[tuple[str, str, Text], ...]:
    return tuple((*key, answer) for key, answer in sorted(facts().items()))


def _size(rng: random.Random) -> Item:
    """The sizes of a series: few facts, but long ones, and what everybody asks first."""
    return _fact(rng, tuple(fact for fact in _fact_list() if fact[1] == "sizes"))


def _fact(rng: random.Random, known: tuple[tuple[str, str, Text], ...] = ()) -> Item:
    subject, what, answer = rng.choice(known or _fact_list())
    wording = rng.choice(FACT_WORDINGS[what])
    said = answer.en if wording.isascii() else answer.zh
    item = _item("facts", f"{subject} {wording}", wording.format(subject), said)
    return replace(item, asked_first=what == "sizes")


# Arithmetic and Python --------------------------------------------------------------------


def _sum(rng: random.Random) -> Item:
    a, b = rng.randint(10, 99), rng.randint(10, 99)
    question = rng.choice(
        ("{} + {} = ?", "What is {} + {}?", "{}加{}等于多少？", "{} + {} 等于几？")
    )
    return _item("sums", f"{a}+{b}", question.format(a, b), str(a + b))


def _python(rng: random.Random) -> Item:
    words = rng.sample(sorted(LEXICON), 2)
    digits, place = [rng.randint(0, 9) for _ in range(3)], rng.randrange(3)
    expression, value = rng.choice(
        (
            lambda: (f'len("{words[0]}")', len(words[0])),
            lambda: (f"max({digits[0]}, {digits[1]}, {digits[2]})", max(digits)),
            lambda: (f"min({digits[0]}, {digits[1]}, {digits[2]})", min(digits)),
            lambda: (f"{digits[0]} * {digits[1]}", digits[0] * digits[1]),
            lambda: (f"{digits}[{place}]", digits[place]),
            lambda: (f"sorted({digits})", sorted(digits)),
            lambda: (f'"{words[0]}".upper()', words[0].upper()),
            lambda: (f"{digits[0]} > {digits[1]}", digits[0] > digits[1]),
        )
    )()
    question = rng.choice(("Python: {}", "What does Python give for {}?", "Python里{}等于什么？"))
    return _item("python", expression, question.format(expression), str(value))


# Words ------------------------------------------------------------------------------------


def _word_list(skill: str) -> Callable[[random.Random], Item]:
    def make(rng: random.Random) -> Item:
        chinese = skill != "upper" and rng.random() < 0.4
        pool = sorted(LEXICON.values() if chinese else LEXICON)
        words = rng.sample(pool, rng.randint(2, 5))
        answer = {
            "copy": words,
            "reverse": words[::-1],
            "upper": [word.upper() for word in words],
        }[skill]
        question = rng.choice(LIST_WORDINGS[skill]).format(" ".join(words))
        return _item(skill, f"{skill} {' '.join(words)}", question, " ".join(answer))

    return make


def _lexicon(rng: random.Random) -> Item:
    english = rng.choice(sorted(LEXICON))
    into = rng.choice(("zh", "en"))
    word, answer = (english, LEXICON[english]) if into == "zh" else (LEXICON[english], english)
    question = rng.choice(LEXICON_WORDINGS[into]).format(word)
    return _item("lexicon", question, question, answer)


# Needles ----------------------------------------------------------------------------------


def needle_text(
    rng: random.Random, keys: int, chinese: bool, filler: int = 0
) -> tuple[str, dict[str, str]]:
    """A text that gives each of *keys* words a number of three digits, and the numbers.

    Usage: ``text, codes = needle_text(random.Random(0), 6, chinese=False)``
    """
    words = sorted(LEXICON.values() if chinese else LEXICON)
    codes = {word: f"{rng.randint(100, 999)}" for word in rng.sample(words, keys)}
    form = "{}的号码是{}。" if chinese else "The code of {} is {}. "
    empty = "{}在{}旁边。" if chinese else "The {} is near the {}. "
    sentences = [form.format(*pair) for pair in codes.items()]
    for _ in range(filler):
        sentences.insert(rng.randint(0, len(sentences)), empty.format(*rng.sample(words, 2)))
    return "".join(sentences).strip(), codes


def needles(rng: random.Random, keys: int, questions: int = 1, filler: int = 0) -> Item:
    """Ask for *questions* of the *keys* numbers of one text, one after the other.

    filler: sentences without a number that are strewn among the others.
    """
    chinese = rng.random() < 0.5
    text, codes = needle_text(rng, keys, chinese, filler)
    form = "{}的号码是多少？" if chinese else "What is the code of {}?"
    asked = rng.sample(sorted(codes), min(questions, keys))
    turns: list[str] = []
    for word in asked:
        turns += [form.format(word), codes[word]]
    turns[0] = f"{text}\n{turns[0]}"
    return _item("needles", text, *turns)


def _needles(rng: random.Random) -> Item:
    return needles(rng, keys=rng.randint(2, 10))


def _all_needles(rng: random.Random) -> Item:
    """All keys of one text asked in turn: far more to learn from one reading."""
    keys = rng.randint(3, 8)
    return needles(rng, keys, keys)


# Tools ------------------------------------------------------------------------------------


def _tool(name: str, description: str, *arguments: str) -> Message:
    properties = {argument: {"type": "string"} for argument in arguments}
    parameters = {"type": "object", "properties": properties, "required": list(arguments)}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


TOOLS = {
    "get_weather": _tool("get_weather", "Weather of a city", "city"),
    "calculate": _tool("calculate", "Value of an expression", "expression"),
    "translate": _tool("translate", "Translate a word", "word"),
}


def _tool_use(rng: random.Random) -> tuple[Item, Item]:
    """A call, and the same conversation gone on to the answer after the tool has replied."""
    chinese = rng.random() < 0.5
    name = rng.choice(sorted(TOOLS))
    if name == "get_weather":
        place = rng.choice(sorted(CITIES))
        place = CITIES[place] if chinese else place
        arguments = {"city": place}
        question = f"{place}的天气怎么样？" if chinese else f"How is the weather in {place}?"
        degrees = str(rng.randint(-9, 39))
        result = {"degrees": degrees}
        answer = f"{place}现在{degrees}度。" if chinese else f"It is {degrees} degrees in {place}."
    elif name == "calculate":
        a, b = rng.randint(100, 999), rng.randint(100, 999)
        arguments = {"expression": f"{a}*{b}"}
        question = f"{a}乘{b}等于多少？" if chinese else f"What is {a} times {b}?"
        result = {"value": str(a * b)}
        answer = f"等于{a * b}。" if chinese else f"It is {a * b}."
    else:
        english = rng.choice(sorted(LEXICON))
        source, target = english, LEXICON[english]
        if chinese:
            source, target = target, source
        arguments = {"word": source}
        question = f"用工具翻译：{source}" if chinese else f"Translate with the tool: {source}"
        result = {"translation": target}
        answer = f"是{target}。" if chinese else f"It is {target}."
    others = [tool for tool in sorted(TOOLS) if tool != name]
    offered = rng.sample(others, rng.randint(0, len(others))) + [name]
    rng.shuffle(offered)
    tools = tuple(TOOLS[tool] for tool in offered)
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    asked = {"role": "user", "content": question}
    called = {"role": "assistant", "content": "", "tool_calls": [call]}
    replied = {"role": "tool", "content": json.dumps(result, ensure_ascii=False)}
    final = {"role": "assistant", "content": answer}
    key = f"{question} {offered}"
    return (
        Item("tools", key, (asked, called), tools),
        Item("tools", key, (asked, called, replied, final), tools),
    )


def _tools(rng: random.Random) -> Item:
    return rng.choice(_tool_use(rng))


# Talk -------------------------------------------------------------------------------------


def _talk(rng: random.Random) -> Item:
    """Greetings, a name kept in mind, and the honest answer to what it cannot know."""
    english, chinese = rng.choice(list(NAMES.items()))
    strange = rng.choice(STRANGE)
    unknown = "I am a pocket model and do not know that.", "我是口袋模型，不知道这个。"
    turns = rng.choice(
        (
            ("Hello!", "Hello! What would you like to know?"),
            ("Hi", "Hello! What would you like to know?"),
            ("你好", "你好！你想知道什么？"),
            ("你好！", "你好！你想知道什么？"),
            ("Who are you?", "I am a pocket model of the Open LLM Family Lab."),
            ("你是谁？", "我是开源大模型家族实验室的口袋模型。"),
            ("Thank you!", "You are welcome."),
            ("谢谢", "不客气。"),
            (
                f"My name is {english}.",
                f"Hello, {english}!",
                "What is my name?",
                f"Your name is {english}.",
            ),
            (f"我叫{chinese}。", f"你好，{chinese}！", "我叫什么名字？", f"你叫{chinese}。"),
            (strange[0], unknown[0]),
            (strange[1], unknown[1]),
        )
    )
    return _item("talk", " ".join(turns), *turns)


# The whole --------------------------------------------------------------------------------

SKILLS: dict[str, Callable[[random.Random], Item]] = {
    "facts": _fact,
    "lexicon": _lexicon,
    "sums": _sum,
    "copy": _word_list("copy"),
    "reverse": _word_list("reverse"),
    "upper": _word_list("upper"),
    "needles": _needles,
    "tools": _tools,
    "python": _python,
    "talk": _talk,
}


def draw(rng: random.Random, skill: str, split: str) -> Item:
    """One item of a skill from one half; ``sizes`` are those facts.

    Usage: ``draw(random.Random(0), "sums", "test")``
    """
    make = _size if skill == "sizes" else SKILLS[skill]
    while True:
        item = make(rng)
        # Talk is closed: there is nothing in it that should generalise; nor need the sizes.
        if skill in ("talk", "sizes") or item.split == split:
            return item


def training_items(rng: random.Random, mixture: Mapping[str, float] = MIXTURE) -> Iterator[Item]:
    """Endless training items by a mixture of skills; half the needles ask for all keys of a text.

    Usage: ``next(training_items(random.Random(0), FIRST_MIXTURE))``
    """
    skills, shares = list(mixture), list(mixture.values())
    while True:
        skill = rng.choices(skills, shares)[0]
        if skill == "needles" and rng.random() < 0.5:
            item = _all_needles(rng)
            if item.split == "train":
                yield item
        else:
            yield draw(rng, skill, "train")


def held_out(skill: str, count: int, seed: int = 0) -> list[Item]:
    """*count* test items of one skill, all different, the same for every model.

    Usage: ``held_out("reverse", 500)``. A skill with fewer test items than asked gives all it has.
    """
    rng = random.Random(f"held out {skill} {seed}")
    found: dict[str, Item] = {}
    for _ in range(50 * count):
        item = draw(rng, skill, "test")
        found.setdefault(json.dumps(item.messages, ensure_ascii=False), item)
        if len(found) == count:
            break
    return list(found.values())
