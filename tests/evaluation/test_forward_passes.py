"""Passes are counted as llama.cpp counts them; guessing ahead changes no answer. Pictures."""

import pytest
import torch

from labkit.core.errors import LabError
from labkit.evaluation.forward_passes import PassCounter, _steps
from labkit.pocket.corpus import held_out
from labkit.pocket.digit_pictures import paint_digits

RULES = "You answer questions about numbers, and you answer briefly. " * 3


@pytest.fixture(scope="module")
def plain():
    return PassCounter("pocket/llama3")


@pytest.fixture(scope="module")
def guessing():
    return PassCounter("pocket/llama3", lookup=8)


def test_what_is_read_is_what_llama_cpp_says_it_evaluated(plain):
    import llama_cpp

    plain.forget()
    for question in ("What is 47 + 38?", "What is 12 + 30?"):
        llama_cpp.llama_perf_context_reset(plain._llama._ctx.ctx)
        answer = plain.answer(question, RULES)
        perf = llama_cpp.llama_perf_context(plain._llama._ctx.ctx)
        assert answer.read == perf.n_p_eval
        assert answer.passes == answer.tokens == perf.n_eval + 1
    assert answer.read < answer.prompt / 4  # the rules were in the cache
    assert plain.answer(question, RULES).read == 1
    plain.forget()
    assert plain.answer(question, RULES).read == answer.prompt


@pytest.mark.parametrize("skill", ["copy", "sums", "python"])
def test_guessing_ahead_changes_no_answer_and_every_token_is_accounted_for(plain, guessing, skill):
    saved = 0
    for item in held_out(skill, 8):
        question = item.messages[0]["content"]
        alone, guessed = plain.answer(question), guessing.answer(question)
        assert guessed.text == alone.text and guessed.tokens == alone.tokens
        assert 1 + sum(len(step.said) for step in guessed.steps) == guessed.tokens
        assert guessed.passes == 1 + len(guessed.steps) <= alone.passes
        for step in guessed.steps:
            assert step.draft[: step.accepted] == step.said[: step.accepted]
        saved += alone.passes - guessed.passes
    assert saved > 0 or skill != "copy"


def test_steps_end_with_the_answer():
    first, second, third = _steps([1, 2, 3, 4, 5], [(2, 9), (), (5, 6), (7,)])
    assert (first.said, first.accepted) == ((2, 3), 1)
    assert (second.said, second.accepted) == ((4,), 0)
    assert (third.said, third.accepted) == ((5,), 1)  # the end came with a guess that was right


def test_a_prompt_longer_than_the_context_is_refused_in_words(plain):
    with pytest.raises(LabError, match="context"):
        plain.run([1] * plain.model.context_length)


def test_pictures_show_their_digits_wherever_they_stand():
    one = paint_digits(range(10), torch.Generator().manual_seed(0), noise=0)
    assert one.shape == (10, 8, 8) and set(one.unique().tolist()) == {0.0, 1.0}
    assert len({tuple(row.flatten().tolist()) for row in one}) == 10
    places = paint_digits([8] * 200, torch.Generator().manual_seed(0), noise=0)
    assert len({tuple(row.flatten().tolist()) for row in places}) == 12  # 2 heights, 6 sides
    assert places.sum((1, 2)).unique().numel() == 1  # never cut off
    again = [paint_digits([4], torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*again)
