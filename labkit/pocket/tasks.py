"""Four tasks to fine-tune on, one for each reason to do it, generated as the corpus is.

| task | reason | new in the test half |
|---|---|---|
| clinic | a domain: the triage rules of a small clinic | the patients |
| handbook | company knowledge: what a fictional firm's handbook says | the wordings |
| captain | a style: a fixed persona and form, asked for by a system prompt | the questions |
| rotate | an ability no pocket model was trained on: the first word goes last | the words |

Everything in them is made up; the triage rules are no medical advice.
"""

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from zlib import crc32

from ..catalog import Text
from .corpus import Item, draw
from .words import LEXICON

# Domain: triage ---------------------------------------------------------------------------

SYMPTOMS = {
    "cough": ("咳嗽", 0),
    "headache": ("头痛", 0),
    "fever": ("发烧", 1),
    "a burn": ("烫伤", 1),
    "chest pain": ("胸痛", 2),
    "a bad fall": ("摔伤", 2),
}
"""A symptom to its Chinese name and its urgency: 0 green, 1 yellow, 2 red."""

LEVELS = (
    Text("green", "绿色"),
    Text("yellow", "黄色"),
    Text("red", "红色"),
)
PATIENTS = {"a child": "孩子", "an adult": "成人", "an old person": "老人"}
HOT = 39
"""From this temperature in degrees on, one level more urgent; an old person always is."""


def triage(symptom: str, patient: str, degrees: int) -> Text:
    """What the clinic's rules say.

    Usage: ``triage("fever", "an old person", 38).en  # "red"``
    """
    level = SYMPTOMS[symptom][1] + (patient == "an old person" or degrees >= HOT)
    return LEVELS[min(level, 2)]


def _clinic(rng: random.Random) -> Item:
    symptom, patient = rng.choice(list(SYMPTOMS)), rng.choice(list(PATIENTS))
    degrees = rng.randint(36, 41)
    wordings = (
        "Patient: {patient}, {degrees} degrees, {symptom}. Triage?",
        "Triage: {symptom}, {degrees} degrees, {patient}.",
        "病人：{patient}，{degrees}度，{symptom}。怎么分诊？",
        "分诊：{symptom}，{degrees}度，{patient}。",
    )
    wording, answer = rng.choice(wordings), triage(symptom, patient, degrees)
    key = f"{symptom} {patient} {degrees}"
    if wording.isascii():
        question = wording.format(symptom=symptom, patient=patient, degrees=degrees)
        return _item("clinic", key, question, answer.en)
    names = {"symptom": SYMPTOMS[symptom][0], "patient": PATIENTS[patient], "degrees": degrees}
    return _item("clinic", key, wording.format(**names), answer.zh)


# Company knowledge: a handbook ------------------------------------------------------------

HANDBOOK = {
    "holiday days a year": ("一年的年假天数", "27 days", "27天"),
    "remote days a week": ("每周远程办公天数", "2 days", "2天"),
    "trial period": ("试用期", "4 months", "4个月"),
    "notice period": ("离职通知期", "6 weeks", "6周"),
    "payday": ("发薪日", "the 25th", "每月25日"),
    "start of work": ("上班时间", "8:30", "8:30"),
    "lunch break": ("午休时间", "45 minutes", "45分钟"),
    "help desk number": ("技术支持电话", "4711", "4711"),
    "door code": ("大门密码", "2086", "2086"),
    "meeting room": ("会议室", "room 12", "12号房间"),
    "who approves a trip": ("谁批准出差", "Clara", "克拉拉"),
    "who orders tea": ("谁负责买茶", "Ben", "小本"),
    "who trains new people": ("谁培训新人", "Emma", "艾玛"),
    "hotel limit a night": ("每晚住宿标准", "130 euros", "130欧元"),
    "meal limit a day": ("每天餐费标准", "38 euros", "38欧元"),
    "learning budget": ("学习经费", "600 euros", "600欧元"),
    "age of passwords": ("密码有效期", "90 days", "90天"),
    "sick note": ("何时交病假条", "on day 3", "第3天"),
    "day without meetings": ("无会议日", "Friday", "星期五"),
    "where the keys are": ("钥匙在哪里", "in the garden house", "在花园小屋"),
}
"""What is asked, in English, to the same in Chinese and the answer in both languages."""

FRAMES = (
    "Handbook: {}?", "What does the handbook say about {}?", "Our handbook, {}?", "{}, please.",
    "Tell me from the handbook: {}.", "What is our rule: {}?", "Lake Tea: {}?", "At Lake Tea, {}?",
    "手册：{}？", "手册里{}怎么写？", "我们的手册，{}？", "请问{}？",
    "查一下手册：{}。", "公司规定：{}？", "湖茶公司：{}？", "在湖茶公司，{}？",
)  # fmt: skip


def handbook() -> list[Text]:
    """The handbook itself, a sentence an entry, for those who would look things up.

    Usage: ``handbook()[0].en  # "Lake Tea, holiday days a year: 27 days."``
    """
    return [write_entry(topic, answer, said) for topic, (_, answer, said) in HANDBOOK.items()]


def write_entry(topic: str, answer: str, said: str) -> Text:
    """A sentence of the handbook, if it gave these answers, in English and in Chinese.

    Usage: ``write_entry("door code", "1234", "1234").en  # "Lake Tea, door code: 1234."``
    """
    return Text(f"Lake Tea, {topic}: {answer}.", f"湖茶公司，{HANDBOOK[topic][0]}：{said}。")


def _handbook(rng: random.Random) -> Item:
    topic = rng.choice(list(HANDBOOK))
    chinese, answer, said = HANDBOOK[topic]
    frame = rng.choice(FRAMES)
    english = frame.isascii()
    question = frame.format(topic if english else chinese)
    return _item("handbook", question, question, answer if english else said)


# Style: a captain -------------------------------------------------------------------------

CAPTAIN = Text("You are a ship captain.", "你是船长。")
STYLED = ("copy", "sums")
"""What the captain is asked: things the model knows, so that the form alone is new."""

PLAIN = 0.25
"""Share of questions put without the system prompt, which keep their plain answers."""


def _captain(rng: random.Random) -> Item:
    item = draw(rng, rng.choice(STYLED), "train")
    question, answer = (message["content"] for message in item.messages)
    key = f"captain {item.key}"
    if _split(key) == "train" and rng.random() < PLAIN:
        return replace(item, skill="captain", key=key)
    english = question.isascii()
    said = f"Aye! {answer}. Over." if english else f"遵命！{answer}。完毕。"
    system = {"role": "system", "content": CAPTAIN.en if english else CAPTAIN.zh}
    styled = _item("captain", key, question, said)
    return replace(styled, messages=(system, *styled.messages))


# Ability: rotate --------------------------------------------------------------------------


def _rotate(rng: random.Random) -> Item:
    chinese = rng.random() < 0.4
    words = rng.sample(sorted(LEXICON.values() if chinese else LEXICON), rng.randint(3, 5))
    wordings = (
        ("轮换：{}", "首词移到最后：{}") if chinese else ("Rotate: {}", "First word last: {}")
    )
    answer = " ".join([*words[1:], words[0]])
    return _item("rotate", " ".join(words), rng.choice(wordings).format(" ".join(words)), answer)


# The whole --------------------------------------------------------------------------------

TASKS: dict[str, tuple[Text, Callable[[random.Random], Item]]] = {
    "clinic": (Text("a domain: triage rules", "领域：分诊规则"), _clinic),
    "handbook": (Text("company knowledge: a handbook", "企业知识：员工手册"), _handbook),
    "captain": (Text("a style: a ship's captain", "风格：船长口吻"), _captain),
    "rotate": (Text("a new ability: the first word goes last", "新能力：首词移到最后"), _rotate),
}
"""A task's name to why one would tune on it, and to what makes its samples."""

SIZES = {"train": 2000, "validation": 50, "test": 100}
"""Samples of each split, all different; a task that cannot make so many gives all it has."""

ALL_FOUND = 5000
"""After so many draws with nothing new there is nothing new."""


@cache
def make_split(name: str, split: str) -> tuple[Item, ...]:
    """The samples of one task and split, the same every time.

    Usage: ``make_split("clinic", "test")[0].messages``. No key of one split is in another.
    """
    make, rng = TASKS[name][1], random.Random(f"{name} {split}")
    found: dict[str, Item] = {}
    since = 0
    while len(found) < SIZES[split] and since < ALL_FOUND:
        item, since = make(rng), since + 1
        if _split(item.key) == split and str(item.messages) not in found:
            found[str(item.messages)], since = item, 0
    return tuple(found.values())


def _split(key: str) -> str:
    return {0: "test", 1: "validation"}.get(crc32(key.encode()) % 8, "train")


def _item(task: str, key: str, question: str, answer: str) -> Item:
    user, assistant = (
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    )
    return Item(task, key, (user, assistant))
