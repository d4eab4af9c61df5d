"""Judge answers side by side without knowing whose they are."""

import html
from typing import Any

from ..core.i18n import t
from ..core.progress import is_static
from ..evaluation.blind_test import Ballot, Choice, Pair

SHOWN = 4
"""Pairs that the printed form shows; the rest are counted."""

_BOX = (
    "border: 1px solid #999; padding: 0.5em; width: 45%; vertical-align: top; white-space: pre-wrap"
)


class BlindJudge:
    """What the judge sees; no widget, so it runs without a browser.

    Usage: ``judge = BlindJudge(ballot); judge.choose("left"); print(judge)``
    """

    def __init__(self, ballot: Ballot) -> None:
        self.ballot = ballot

    def choose(self, choice: Choice) -> None:
        """Vote on the pair shown. Does nothing when all is judged."""
        pair = self.ballot.next
        if pair is not None:
            self.ballot.vote(pair.number, choice)

    def __str__(self) -> str:
        pair = self.ballot.next
        if pair is None:
            return str(self.ballot.result())
        number = f"{pair.number}/{len(self.ballot.pairs)}"
        return f"{number}  {pair.question}\n  ◀ {pair.left}\n  ▶ {pair.right}"

    __repr__ = __str__

    @property
    def page(self) -> str:
        """The pair to judge now as HTML, or the result."""
        pair = self.ballot.next
        return _show(pair, len(self.ballot.pairs)) if pair else self.ballot.result()._repr_html_()

    def _repr_html_(self) -> str:
        """A printed ballot: the pairs still open, with boxes to tick; or the result."""
        left = [pair for pair in self.ballot.pairs if pair.number not in self.ballot.votes]
        if not left:
            return self.page
        boxes = "&emsp;".join(f"☐ {words}" for words in _labels().values())
        shown = "".join(
            f"{_show(pair, len(self.ballot.pairs))}<p>{boxes}</p>" for pair in left[:SHOWN]
        )
        more = len(left) - SHOWN
        rest = t(f"… and {more} more pairs.", f"……还有 {more} 对。") if more > 0 else ""
        return f"{shown}<p>{rest}</p>"


def show_blind_judge(ballot: Ballot) -> Any:
    """Two answers and three buttons, until all is judged; its HTML form in static renderings.

    Usage: ``show_blind_judge(ballot)`` as the last line of a cell. Tab leads from button to button.
    """
    judge = BlindJudge(ballot)
    if is_static():
        return judge
    import ipywidgets as w

    shown = w.HTML(judge.page)
    buttons = {choice: w.Button(description=words) for choice, words in _labels().items()}
    back = w.Button(description=t("Take back", "撤回"), icon="undo")

    def redraw() -> None:
        shown.value = judge.page
        for button in buttons.values():
            button.disabled = ballot.next is None
        # Who has seen the result knows whose answers are whose.
        back.disabled = not ballot.votes or ballot.next is None

    def on_click(button: Any) -> None:
        if button.disabled:  # a click may have been under way
            return
        if button is back:
            ballot.take_back()
        else:
            judge.choose(next(choice for choice, one in buttons.items() if one is button))
        redraw()

    for button in (*buttons.values(), back):
        button.on_click(on_click)
    redraw()
    return w.VBox([shown, w.HBox([*buttons.values(), back])])


def _labels() -> dict[Choice, str]:
    return {
        "left": t("Left is better", "左边更好"),
        "tie": t("Equal", "一样"),
        "right": t("Right is better", "右边更好"),
    }


def _show(pair: Pair, count: int) -> str:
    sides = "".join(
        f'<td style="{_BOX}; text-align: left">{html.escape(text) or "∅"}</td>'
        for text in (pair.left, pair.right)
    )
    question = html.escape(pair.question)
    return (
        f"<p>{pair.number}/{count}: <b>{question}</b></p>"
        f'<table style="width: 100%"><tr>{sides}</tr></table>'
    )
