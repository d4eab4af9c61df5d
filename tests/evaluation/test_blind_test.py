"""Blind means blind, chance is called chance, and the sign test is the exact one."""

import random
from itertools import product

import pytest

from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.evaluation.blind_test import (
    Ballot,
    compare_blindly,
    correct_for_many,
    sign_test,
)

QUESTIONS = [f"question {n}" for n in range(40)]


def two(same: int = 0) -> Ballot:
    alpha = [f"alpha {n}" for n in range(40)]
    beta = [alpha[n] if n < same else f"beta {n}" for n in range(40)]
    return compare_blindly({"A": alpha, "B": beta}, QUESTIONS, seed=3)


def judge(ballot: Ballot, prefer) -> None:
    for pair in ballot.pairs:
        ballot.vote(pair.number, prefer(pair))


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (1, 0), (5, 0), (6, 0), (8, 2), (7, 5)])
def test_the_sign_test_counts_all_ways_chance_could_have_it(wins, losses):
    count = wins + losses
    outcomes = [sum(toss) for toss in product((0, 1), repeat=count)]
    as_uneven = sum(abs(2 * heads - count) >= abs(wins - losses) for heads in outcomes)
    assert sign_test(wins, losses) == pytest.approx(as_uneven / len(outcomes))
    assert sign_test(losses, wins) == sign_test(wins, losses)


def test_five_in_a_row_are_no_proof_and_six_are():
    assert sign_test(5, 0) > 0.05 > sign_test(6, 0) == 2 / 2**6
    assert sign_test(3000, 0) == 0.0 and sign_test(1500, 1500) == 1.0
    with pytest.raises(LabError, match="-1"):
        sign_test(-1, 3)


def test_holm_by_hand():
    assert correct_for_many([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert correct_for_many([0.9]) == [0.9] and correct_for_many([0.6, 0.7]) == [1.0, 1.0]


def test_whoever_always_says_left_proves_nothing():
    ballot = two()
    judge(ballot, lambda pair: "left")
    (outcome,) = ballot.result().outcomes
    assert abs(outcome.first_wins - outcome.second_wins) <= 1
    assert outcome.better is None and outcome.p > 0.5


def test_the_better_one_is_found_wherever_it_stands():
    ballot = two()
    judge(ballot, lambda pair: "left" if pair.left.startswith("beta") else "right")
    (outcome,) = ballot.result().outcomes
    assert (outcome.first_wins, outcome.second_wins, outcome.better) == (0, 40, "B")
    assert "B is better" in str(ballot.result())


def test_a_judge_who_tosses_a_coin_is_seldom_believed():
    answers = {"A": [f"a{n}" for n in range(20)], "B": [f"b{n}" for n in range(20)]}
    found = 0
    for seed in range(300):
        ballot = compare_blindly(answers, QUESTIONS[:20], seed=seed)
        toss = random.Random(seed)
        judge(ballot, lambda pair, toss=toss: toss.choice(["left", "right"]))
        found += ballot.result().outcomes[0].better is not None
    assert found / 300 < 0.05 + 0.03


def test_no_name_is_shown_before_the_end():
    ballot = two()
    seen = repr(ballot) + repr(ballot.pairs)
    assert "'A'" not in seen and "'B'" not in seen
    ballot.vote(1, "left")
    with pytest.raises(LabError, match="39 pairs"):
        ballot.result()


def test_identical_answers_are_ties_without_a_vote():
    ballot = two(same=40)
    assert ballot.pairs == () and ballot.next is None
    (outcome,) = ballot.result().outcomes
    assert (outcome.ties, outcome.p, outcome.better) == (40, 1.0, None)
    part = two(same=30)
    judge(part, lambda pair: "tie")
    assert len(part.pairs) == 10 and part.result().outcomes[0].ties == 40


def test_blanks_do_not_give_a_model_away():
    ballot = compare_blindly({"A": ["  85"], "B": ["85"]}, ["47 + 38?"])
    assert ballot.pairs == ()
    (pair,) = compare_blindly({"A": ["  85"], "B": ["58"]}, ["47 + 38?"]).pairs
    assert {pair.left, pair.right} == {"85", "58"}


def test_three_models_are_three_comparisons_and_pay_for_it():
    answers = {name: [f"{name}{n}" for n in range(7)] for name in ("x", "y", "z")}
    ballot = compare_blindly(answers, QUESTIONS[:7])
    assert len(ballot.pairs) == 21
    judge(ballot, lambda pair: "left" if pair.left < pair.right else "right")
    outcomes = ballot.result().outcomes
    assert [(o.first, o.second) for o in outcomes] == [("x", "y"), ("x", "z"), ("y", "z")]
    assert all((o.first_wins, o.second_wins) == (7, 0) for o in outcomes)
    assert outcomes[0].p == pytest.approx(3 * sign_test(7, 0))


def test_the_order_is_shuffled_and_the_same_for_the_same_seed():
    first, again = two(), two()
    assert first.pairs == again.pairs
    asked = [pair.question for pair in first.pairs]
    assert sorted(asked) == sorted(QUESTIONS) and asked != QUESTIONS
    lefts = sum(pair.left.startswith("alpha") for pair in first.pairs)
    assert lefts == 20


def test_a_vote_can_be_changed_and_taken_back():
    ballot = two()
    ballot.vote(1, "left")
    ballot.vote(1, "tie")
    assert ballot.votes == {1: "tie"} and ballot.next.number == 2
    ballot.take_back()
    assert ballot.next.number == 1
    ballot.take_back()


@pytest.mark.parametrize(("number", "choice"), [(0, "left"), (41, "left"), (1, "both")])
def test_what_is_no_vote_is_refused(number, choice):
    with pytest.raises(LabError):
        two().vote(number, choice)


@pytest.mark.parametrize(
    "answers", [{}, {"A": ["x"]}, {"A": ["x"], "B": []}, {"A": ["x", "y"], "B": ["z"]}]
)
def test_what_cannot_be_compared_is_refused(answers):
    with pytest.raises(LabError, match="cannot be compared"):
        compare_blindly(answers, ["q"])


def test_the_result_speaks_chinese():
    ballot = two()
    judge(ballot, lambda pair: "tie")
    use_language("zh")
    assert "看不出差别" in str(ballot.result()) and "已评 40/40" in repr(ballot)
