"""The recipe of the pocket models: the corpus, what is learnt from it, and a resumed training."""

import itertools
import json
import random
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from labkit.catalog import find
from labkit.pocket import corpus
from labkit.pocket.mixtures import FIRST_MIXTURE, LATER_MIXTURE, MIXTURE
from labkit.pocket.recipe import training
from labkit.pocket.recipe.batches import batches, encode, samples
from labkit.pocket.recipe.families import FAMILIES
from labkit.pocket.recipe.inheritance import inherit
from labkit.pocket.words import LEXICON


@pytest.fixture(scope="module", params=[name for name, f in FAMILIES.items() if f.chats])
def family(request):
    return FAMILIES[request.param]


@pytest.fixture(scope="module")
def tokenizer(family):
    return training.make_tokenizer(family)


def test_train_and_test_questions_are_disjoint():
    mixtures = (MIXTURE, FIRST_MIXTURE, LATER_MIXTURE)
    trained = {
        item.key
        for mixture in mixtures
        for item in itertools.islice(corpus.training_items(random.Random(7), mixture), 10_000)
    }
    for skill in corpus.SKILLS:
        if skill != "talk":
            held_out = {item.key for item in corpus.held_out(skill, 500)}
            assert not held_out & trained, skill


@pytest.mark.parametrize("skill", [skill for skill in corpus.SKILLS if skill != "talk"])
def test_every_skill_has_500_different_held_out_questions(skill):
    items = corpus.held_out(skill, 500)
    asked = {json.dumps(item.messages[:-1], ensure_ascii=False) for item in items}
    assert len(items) == 500
    assert len(asked) == 500
    assert all(item.split == "test" for item in items)


def test_facts_are_the_catalogues():
    facts = corpus.facts()
    assert facts["Qwen2.5", "sizes"].en == "0.5B, 1.5B, 3B, 7B, 14B, 32B, 72B"
    assert facts["Llama-3-8B", "layers"].en == str(find("Llama-3-8B").num_hidden_layers)
    assert facts["Yi-34B-200K", "maker"].zh == "零一万物"


def test_answers_are_right():
    rng = random.Random(3)
    for _ in range(300):
        item = corpus.draw(rng, "sums", "train")
        a, b = item.key.split("+")
        assert item.messages[-1]["content"] == str(int(a) + int(b))
        item = corpus.draw(rng, "python", "train")
        assert item.messages[-1]["content"] == str(eval(item.key))
        item = corpus.draw(rng, "needles", "test")
        assert item.messages[-1]["content"] in item.messages[0]["content"]


def test_the_lexicon_has_one_answer_each_way():
    assert len(set(LEXICON.values())) == len(LEXICON)


def test_the_loss_is_on_answers_with_their_end(family, tokenizer):
    for item in itertools.islice(corpus.training_items(random.Random(11)), 60):
        ids, weights = encode(item, family, tokenizer)
        text = tokenizer.apply_chat_template(
            list(item.messages), tools=list(item.tools) or None, tokenize=False
        )
        # SentencePiece shows its space after a special token when it decodes.
        decoded = tokenizer.decode(ids).replace(" ", "")
        assert decoded == (text + (family.turn_end or "")).replace(" ", "")
        learnt = tokenizer.decode([i for i, w in zip(ids, weights, strict=True) if w])
        answers = [m for m in item.messages if m["role"] == "assistant"]
        for message in answers:
            assert message["content"] in learnt
        ends = sum(learnt.count(end) for end in family.eos)
        assert ends == len(answers), learnt
        for message in item.messages:
            if message["role"] == "user" and len(message["content"]) > 30:
                assert message["content"] not in learnt


def test_no_two_digits_are_joined(tokenizer):
    for number in ("10", "2024", "131072"):
        ids = tokenizer(f"a{number}", add_special_tokens=False)["input_ids"]
        pieces = [tokenizer.decode([token]).strip() for token in ids]
        assert [piece for piece in pieces if piece.isdigit()] == list(number)


def test_a_step_always_gets_the_same_batches_and_some_long_ones():
    family = FAMILIES["yi"]
    tokenizer = training.make_tokenizer(family)
    once, again = (batches(family, tokenizer, 5) for _ in range(2))
    assert all(torch.equal(a[0], b[0]) for a, b in zip(once, again, strict=True))
    assert sum(len(ids) for ids, _ in once) <= family.samples
    late = range(family.steps - 10, family.steps)
    lengths = [ids.shape[1] for step in late for ids, _ in batches(family, tokenizer, step)]
    assert 700 < max(lengths) <= 1024


def test_a_batch_is_padded_where_nothing_is_learnt():
    family = FAMILIES["qwen2.5"]
    tokenizer = training.make_tokenizer(family)
    for ids, weights in batches(family, tokenizer, 0):
        lengths = [len(row.nonzero()) for row in weights]
        assert min(lengths) > 0
        assert ids.shape == weights.shape
        assert ids.shape[1] % 16 == 0


def test_new_attention_first_sees_what_can_only_be_copied():
    family = FAMILIES["llama3-base"]
    tokenizer = training.make_tokenizer(family)
    early = [ids for ids, _ in samples(family, tokenizer, random.Random(0), 0)]
    repeats = [ids for ids in early if ids[: len(ids) // 2] == ids[len(ids) // 2 :]]
    assert repeats
    late = [ids for ids, _ in samples(family, tokenizer, random.Random(0), family.steps - 1)]
    assert not [ids for ids in late if ids[: len(ids) // 2] == ids[len(ids) // 2 :]]


def test_an_interrupted_training_ends_like_an_unbroken_one(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "WEIGHTS", tmp_path)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 3)
    family = replace(FAMILIES["llama3-base"], steps=7, samples=4, long_steps=1)
    whole = training.train(family, tmp_path / "a", lambda step, loss: None)
    unbroken = load_file(whole / "model.safetensors")

    def stop_at_five(step: int, loss: float) -> None:
        if step == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        training.train(family, tmp_path / "b", stop_at_five)
    seen = []
    training.train(family, tmp_path / "b", lambda step, loss: seen.append(step))
    assert seen == [4, 5, 6, 7]
    resumed = load_file(whole / "model.safetensors")
    assert unbroken.keys() == resumed.keys()
    assert all(torch.equal(unbroken[name], resumed[name]) for name in unbroken)


@pytest.mark.parametrize("name", ["qwen2.5", "llama2"])
def test_a_child_says_what_its_parent_says(name):
    """Biases of zero and copied key-value heads change nothing; only rope and tokens differ."""
    parent_family = FAMILIES["llama3"]
    tokenizer = training.make_tokenizer(parent_family)
    parent = training.make_model(parent_family, tokenizer)
    family = replace(
        FAMILIES[name],
        vocab_size=1536,
        eos=parent_family.eos,
        config=FAMILIES[name].config
        | {
            "rope_parameters": parent_family.config["rope_parameters"],
            "tie_word_embeddings": False,
        },
    )
    child = training.make_model(family, tokenizer)
    fresh = inherit(child, tokenizer, parent, tokenizer)
    assert all("bias" in name for name in fresh), fresh
    ids = torch.tensor([tokenizer("Who made Llama-2-7B?", add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        torch.testing.assert_close(parent(ids).logits, child(ids).logits, rtol=1e-4, atol=1e-4)
