"""Needles: texts of the length asked for, needles where they should be, found by a real model."""

import random

import pytest

import labkit as lab
from labkit.evaluation.needle_in_haystack import find_needles, hide_needle, make_haystack

DEPTHS = (0, 0.5, 1)


@pytest.fixture(scope="module")
def yi():
    return lab.load("pocket/yi")


@pytest.mark.parametrize("length", [100, 1500])
def test_a_haystack_has_the_length_asked_for(yi, length, capfd):
    haystack = make_haystack(yi, length, DEPTHS, random.Random(1))
    assert length - 12 <= haystack.length <= length + 2  # questions differ by a token
    assert capfd.readouterr().err == ""  # though it is longer than the model was trained for


def test_needles_lie_at_their_depths(yi):
    haystack = make_haystack(yi, 400, DEPTHS, random.Random(2))
    text = "".join(yi.decode(haystack.prompts[0]))
    places = [text.index(code) / len(text) for code in haystack.codes]
    assert places == sorted(places)
    assert places[0] < 0.1 < 0.4 < places[1] < 0.6 < 0.85 < places[2]


def test_the_same_seed_makes_the_same_haystack(yi):
    one, two, other = (make_haystack(yi, 200, DEPTHS, random.Random(n)) for n in (3, 3, 4))
    assert one == two != other


def test_a_model_finds_them_and_one_that_cannot_look_back_does_not(yi):
    haystacks = [make_haystack(yi, 256, DEPTHS, random.Random(n)) for n in range(4)]
    assert sum(sum(find_needles(yi, haystack)) for haystack in haystacks) >= 10  # of 12
    rotary = yi.model.model.rotary_emb
    kept = rotary.inv_freq
    rotary.inv_freq = kept * 0  # no position tells from any other
    try:
        assert sum(sum(find_needles(yi, haystack)) for haystack in haystacks) <= 3
    finally:
        rotary.inv_freq = kept


def test_a_needle_is_followed_by_the_filler_asked_for():
    model = lab.load("pocket/mistral")
    near, far = (hide_needle(model, distance, random.Random(5))[0] for distance in (20, 220))
    assert 195 <= len(far) - len(near) <= 210
    text = "".join(model.decode(far))
    assert text.index("The code of") < text.index(" is near ") < text.index("What is the code of")
