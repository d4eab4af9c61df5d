"""Reading: passages that answer, none of them the handbook's own; invented models, never real."""

import random

import pytest

from labkit.catalog import models
from labkit.finetuning.preferences import NAMES, UNKNOWN, answer_with, invented, refusal
from labkit.finetuning.reading import add_passage, other_answer, reading_task
from labkit.finetuning.tasks import SPLITS, load_task
from labkit.pocket.corpus import held_out
from labkit.pocket.tasks import HANDBOOK, handbook


@pytest.mark.parametrize("topic", HANDBOOK)
def test_another_firm_answers_otherwise_and_alike_in_both_languages(topic):
    _, english, chinese = HANDBOOK[topic]
    drawn = {other_answer(topic, random.Random(seed)) for seed in range(30)}
    assert len({e for e, _ in drawn}) > 3 and len(drawn - {(english, chinese)}) > 3
    for other, said in drawn:
        digits = [[c for c in text if c.isdigit()] for text in (other, said)]
        assert digits[0] == digits[1] or not digits[0], (other, said)


def test_the_answer_stands_in_the_passage_and_is_never_the_handbooks_own():
    task, own = reading_task(), {text for e in handbook() for text in (e.en, e.zh)}
    passages = {split: {item.key for item in getattr(task, split)} for split in SPLITS}
    assert sum(map(len, passages.values())) == len(set.union(*passages.values()))
    assert not own & set.union(*passages.values())
    for item in (*task.train, *task.test):
        question, answer = (message["content"] for message in item.messages)
        passage, _, asked = question.partition("\n")
        assert passage == item.key and answer in passage and answer not in asked
    assert task.digest == reading_task().digest != reading_task(seed=1).digest


def test_a_passage_goes_before_the_question_and_the_answer_stays():
    item = load_task("captain").test[0]
    more = add_passage(item, "Above.")
    assert more.messages[-1] == item.messages[-1] and more.messages[:-2] == item.messages[:-2]
    assert more.messages[-2]["content"] == f"Above.\n{item.messages[-2]['content']}"


def test_invented_models_are_in_no_catalogue_and_tested_under_other_names():
    train, test = invented("train", 120), invented("test", 60)
    assert not set(NAMES["train"]) & set(NAMES["test"])
    assert len({item.key for item in (*train, *test)}) == 180
    names = [m.name for m in models()]
    assert not [i.key for i in (*train, *test) if any(name in i.key for name in names)]
    for item in (*train, *test):
        says = UNKNOWN.en if item.key.isascii() else UNKNOWN.zh
        assert item.messages[-1]["content"] == says


def test_other_answers_to_the_same_question():
    fact = held_out("facts", 1)[0]
    assert answer_with(fact, "7").messages[0] == fact.messages[0]
    assert answer_with(fact, "7").messages[1] == {"role": "assistant", "content": "7"}
    assert refusal(fact).messages[1]["content"] in (UNKNOWN.en, UNKNOWN.zh)
