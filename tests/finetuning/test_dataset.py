"""From conversations to tokens: what is learnt, where it ends, how batches are made."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit import pocket
from labkit.core.errors import LabError
from labkit.engines import Model, load
from labkit.finetuning.dataset import (
    IGNORED,
    MULTIPLE,
    Sample,
    batch_order,
    collate,
    encode_sample,
    encode_samples,
    label_table,
)
from labkit.finetuning.tasks import load_task
from labkit.pocket.corpus import Item

CHATS = [name for name in pocket.NAMES if name != "llama3-base"]


def learnt(model: Model, sample: Sample) -> str:
    return model.tokenizer.decode([label for label in sample.labels if label != IGNORED])


@pytest.mark.parametrize("name", CHATS)
def test_only_answer_and_end_are_learnt_in_every_family(name):
    model = load(f"pocket/{name}")
    for item in load_task("captain").test[:3]:
        sample = encode_sample(model, item)
        answer = item.messages[-1]["content"]
        text = learnt(model, sample)
        before, _, end = text.partition(answer)
        assert before.strip() == "" and answer in text
        ids = [label for label in sample.labels if label != IGNORED]
        assert model.stop_ids & set(ids[-3:]), f"{end!r} ends nothing"
        whole = model.tokenizer.decode(sample.ids)
        assert all(message["content"] in whole for message in item.messages)
        assert all(b in (IGNORED, a) for a, b in zip(sample.ids, sample.labels, strict=True))


def test_the_prompt_is_what_the_model_will_be_asked_with():
    from labkit.conversation.chat_templates import encode_chat

    model = load("pocket/qwen2.5")
    item = load_task("clinic").test[0]
    sample = encode_sample(model, item)
    prompt = encode_chat(model, list(item.messages[:-1]), None)
    assert list(sample.ids[: len(prompt)]) == prompt
    assert sample.labels[: len(prompt)] == (IGNORED,) * len(prompt)
    assert sample.labels[len(prompt)] != IGNORED


def test_every_answer_of_a_conversation_is_learnt():
    model = load("pocket/llama3")
    turns = [("user", "one"), ("assistant", "two"), ("user", "three"), ("assistant", "four")]
    item = Item("x", "x", tuple({"role": r, "content": c} for r, c in turns))
    assert learnt(model, encode_sample(model, item)) == "two<|eot_id|>four<|eot_id|>"


def test_a_call_of_tools_is_learnt():
    from labkit.pocket.corpus import held_out

    model = load("pocket/qwen2.5")
    item = next(i for i in held_out("tools", 9) if len(i.messages) == 2)
    text = learnt(model, encode_sample(model, item))
    assert text.startswith("<tool_call>") and "<|im_end|>" in text


def test_what_is_learnt_can_be_shown():
    model = load("pocket/qwen2.5")
    sample = encode_sample(model, load_task("rotate").test[0])
    rows = label_table(model, sample).rows
    assert len(rows) == len(sample.ids)
    assert [row[2] == "✓" for row in rows] == [label != IGNORED for label in sample.labels]


def test_a_base_model_has_nothing_to_tune_by():
    with pytest.raises(LabError, match="base model"):
        encode_sample(load("pocket/llama3-base"), load_task("rotate").test[0])


def test_a_sample_longer_than_the_context_is_named():
    model = load("pocket/qwen2.5", context=30)
    turns = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi"})
    short, long = Item("x", "x", turns), load_task("clinic").test[0]
    with pytest.raises(LabError, match=r"Sample 2 of 'train' has \d+ tokens; .* takes 30"):
        encode_samples(model, [short, long], "train")


# Batches ----------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 5))
def test_every_sample_once_an_epoch(count, batch, seed):
    order = batch_order(count, batch, seed)
    seen = [index for part in islice(order, count) for index in part]
    for epoch in range(batch):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))
    again = islice(batch_order(count, batch, seed), 3, None)
    assert next(again) == (seen * 4)[3 * batch : 4 * batch] or count < 4


def test_padding_is_neither_seen_nor_learnt_even_where_pad_is_the_end():
    samples = [Sample((5, 6, 7), (IGNORED, 6, 7)), Sample((8, 7), (8, 7))]
    batch = collate(samples, pad=7)
    assert batch["input_ids"].shape == (2, MULTIPLE)
    assert batch["attention_mask"].sum(1).tolist() == [3, 2]
    assert batch["labels"][0].tolist() == [IGNORED, 6, 7, *[IGNORED] * (MULTIPLE - 3)]
    assert batch["labels"][1, :2].tolist() == [8, 7]  # the real end token stays


def test_a_padded_batch_gives_the_losses_of_its_samples():
    from labkit.finetuning.trainer import answer_losses

    model = load("pocket/qwen2.5")
    samples = [encode_sample(model, i) for i in load_task("captain").test[:4]]
    pad = model.tokenizer.pad_token_id
    together = float(answer_losses(model.model, collate(samples, pad)).detach())
    alone = sum(float(answer_losses(model.model, collate([s], pad)).detach()) for s in samples)
    assert together == pytest.approx(alone, rel=1e-5)
