"""The words of the course: each has its lesson, and is found where a text uses it."""

import re

import pytest

from labkit.catalog.glossary import count_terms, terms
from labkit.catalog.lessons import lessons


def test_terms_are_told_apart_and_belong_to_lessons() -> None:
    ids = [term.id for term in terms()]
    assert len(ids) == len(set(ids))
    assert {term.lesson for term in terms()} <= {lesson.topic for lesson in lessons()}


def test_every_term_is_explained_in_both_languages() -> None:
    for term in terms():
        assert not re.search(r"[\u4e00-\u9fff]", term.name.en + term.text.en)
        assert re.search(r"[\u4e00-\u9fff]", term.text.zh), term.id
        assert term.text.en.endswith(".") and term.text.zh.endswith("。"), term.id


@pytest.mark.parametrize(
    ("text", "language", "found"),
    [
        ("The KV cache grows, and the cache stays.", "en", {"kv-cache": 2}),
        ("Tokenization is no tokenizer.", "en", {"tokenizer": 1}),
        ("A breakdown of tokenss", "en", {}),
        ("用分组查询注意力，即 GQA，缓存变小。", "zh", {"gqa": 2, "kv-cache": 1}),
        ("MoE 里的专家", "zh", {"mixture-of-experts": 2}),
        ("不收 pickle 文件", "zh", {}),
    ],
)
def test_terms_are_counted(text: str, language: str, found: dict[str, int]) -> None:
    assert count_terms(text, language) == found  # type: ignore[arg-type]
