"""The judge's view without a browser: press the buttons, read the page."""

from typing import Any

import pytest

from labkit.core.i18n import use_language
from labkit.evaluation.blind_test import Ballot, compare_blindly
from labkit.widgets.blind_judge import SHOWN, BlindJudge, show_blind_judge


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_STATIC", raising=False)


def ballot(count: int = 3) -> Ballot:
    answers = {"secret-a": [f"<b>{n}" for n in range(count)], "secret-b": ["no"] * count}
    return compare_blindly(answers, [f"question {n}?" for n in range(count)])


def press(box: Any, words: str) -> None:
    next(b for b in box.children[1].children if b.description == words).click()


def test_buttons_lead_through_all_pairs_to_the_result():
    box = show_blind_judge(ballot())
    shown = box.children[0]
    for number in (1, 2, 3):
        assert f"{number}/3" in shown.value and "secret" not in shown.value
        press(box, "Left is better")
    assert "secret-a" in shown.value and "no difference shown" in shown.value
    assert all(button.disabled for button in box.children[1].children)


def test_a_vote_is_taken_back_but_not_after_the_result():
    box = show_blind_judge(pairs := ballot(2))
    press(box, "Equal")
    press(box, "Take back")
    assert pairs.votes == {} and "1/2" in box.children[0].value
    press(box, "Equal")
    press(box, "Equal")
    press(box, "Take back")
    assert len(pairs.votes) == 2


def test_answers_are_shown_as_text_and_not_run_as_html():
    assert "&lt;b&gt;" in BlindJudge(ballot()).page and "<b>0" not in BlindJudge(ballot()).page


def test_the_written_form_goes_on_pair_by_pair():
    judge = BlindJudge(ballot(2))
    assert str(judge).startswith("1/2") and "◀" in str(judge)
    judge.choose("left")
    assert str(judge).startswith("2/2")
    judge.choose("tie")
    judge.choose("tie")  # there is nothing left to judge
    assert "secret-a" in str(judge)


def test_static_renderings_are_a_printed_ballot(monkeypatch):
    monkeypatch.setenv("LABKIT_STATIC", "1")
    view = show_blind_judge(ballot(SHOWN + 2))
    assert isinstance(view, BlindJudge)
    page = view._repr_html_()
    assert page.count("☐") == 3 * SHOWN and "2 more pairs" in page and "secret" not in page
    use_language("zh")
    assert "左边更好" in view._repr_html_() and "better" not in view._repr_html_()
