"""What a grammar allows, by llama.cpp's own sampler."""

import pytest

from labkit.conversation.grammars import allows
from labkit.core.errors import LabError
from labkit.engines import load

AMOUNT = 'root ::= [1-9] [0-9]{0,2} " " ("GB" | "GiB")'


@pytest.fixture(scope="module", params=["qwen2.5", "llama2"])
def model(request):
    return load(f"pocket/{request.param}", "llama.cpp")


@pytest.mark.parametrize("text", ["7 GB", "16 GiB", "999 GB"])
def test_what_the_grammar_makes_is_allowed(model, text):
    assert allows(model, AMOUNT, text)


@pytest.mark.parametrize("text", ["0 GB", "08 GB", "1000 GB", "8GB", "8 MB", "8 GB ", "8 G", ""])
def test_anything_else_and_a_beginning_alone_are_not(model, text):
    assert not allows(model, AMOUNT, text)


def test_chinese_and_repetition(model):
    gbnf = 'root ::= ("是" | "不是") [。！]?'
    assert allows(model, gbnf, "不是。") and not allows(model, gbnf, "不。")


def test_a_grammar_that_is_none_is_refused(model):
    with pytest.raises(LabError, match="cannot read the grammar"):
        allows(model, "root ::= (", "x")
