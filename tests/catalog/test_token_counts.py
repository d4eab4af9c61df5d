"""Counts of real tokenizers, and tokens as a reader sees them."""

import pytest

from labkit import pocket
from labkit.catalog import find
from labkit.catalog.token_counts import sample_texts, show_tokens, token_counts


@pytest.fixture(scope="module", params=["llama2", "qwen2.5"])
def tokenizer(request):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(pocket.folder(request.param))


def test_every_count_names_known_models_and_a_source():
    for row in token_counts():
        assert row.source and row.as_of
        for name in row.models:
            # a model's table may be padded, and a tokenizer's special tokens may not be counted
            assert 0 <= find(name).vocab_size - row.vocab_size < 500, name


def test_counts_lie_between_one_token_a_word_and_one_a_byte():
    texts = sample_texts()
    for row in token_counts():
        for name, text in texts.items():
            assert len(text.split()) <= getattr(row, name) <= len(text.encode()) + 1, row.name


def test_no_text_ends_in_a_way_that_an_editor_would_change():
    assert all(text == text.lstrip() for text in sample_texts().values())


@pytest.mark.parametrize("text", ["Open models", "语言模型", "龘 and 🜁", "a\n  b"])
def test_tokens_shown_are_as_many_as_counted_and_lose_no_byte(tokenizer, text):
    shown = show_tokens(tokenizer, text)
    assert len(shown) == len(tokenizer(text, add_special_tokens=False)["input_ids"])
    joined, data, at = "".join(shown), b"", 0
    while at < len(joined):  # bytes shown as <E4> back to bytes
        if joined[at] == "<" and joined[at + 3 : at + 4] == ">":
            data += bytes.fromhex(joined[at + 1 : at + 3])
            at += 4
        else:
            data += joined[at].encode()
            at += 1
    if "▁" not in data.decode():
        assert data.decode().replace(" ", "") == text.replace(" ", "")


def test_a_rare_character_is_shown_by_its_bytes(tokenizer):
    assert "".join(show_tokens(tokenizer, "龘")).strip() == "<E9><BE><98>"
