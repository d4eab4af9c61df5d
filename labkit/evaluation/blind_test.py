"""Which answer is better, judged without knowing whose it is, and whether the difference is chance.

Usage: ``ballot = compare_blindly({"A": […], "B": […]}, questions)``; ``ballot.vote(1, "left")``;
when all is judged, ``ballot.result()``

Pairs come in a shuffled order, sides are shuffled too (each model stands left as often as right,
give or take one), and no name is shown. Identical answers are ties and need no vote. Result: the
exact two-sided sign test, ties left out (W. J. Dixon and A. M. Mood, 1946, J. Am. Stat. Assoc. 41);
where several pairs of models are compared, p is corrected (S. Holm, 1979, Scand. J. Stat. 6).

Not covered: several judges and how far they agree, and how *much* better an answer is.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from ..core.errors import LabError
from ..core.i18n import t
from ..core.tables import ShowsTable, Table

Choice = Literal["left", "right", "tie"]

ALPHA = 0.05
"""How often, at most, a difference may be found where there is none."""


@dataclass(frozen=True)
class Pair:
    """Two answers as a judge sees them. number: from 1, in the order in which they come."""

    number: int
    question: str
    left: str
    right: str


@dataclass(frozen=True)
class Outcome:
    """Two models after the judging. p: of the sign test, corrected for the number of outcomes."""

    first: str
    second: str
    first_wins: int
    second_wins: int
    ties: int
    p: float

    @property
    def better(self) -> str | None:
        """The better one, or None where chance explains the difference as well."""
        if self.p > ALPHA:
            return None
        return self.first if self.first_wins > self.second_wins else self.second


@dataclass(frozen=True, repr=False)
class Outcomes(ShowsTable):
    """The result of a blind comparison; shows itself."""

    outcomes: tuple[Outcome, ...]

    def table(self) -> Table:
        """A row for each two models. Usage: ``print(outcomes.table())``"""
        header = ("A", "B", t("A better", "A 更好"), t("B better", "B 更好"), t("equal", "一样"),
                  "p", t("Verdict", "结论"))  # fmt: skip
        open_ = t("no difference shown", "看不出差别")
        rows = [
            (o.first, o.second, str(o.first_wins), str(o.second_wins), str(o.ties), f"{o.p:.3f}",
             t(f"{o.better} is better", f"{o.better} 更好") if o.better else open_)
            for o in self.outcomes
        ]  # fmt: skip
        return Table(header, rows)


def sign_test(wins: int, losses: int) -> float:
    """How likely so uneven a count is, or a more uneven one, if both were equally good.

    Usage: ``sign_test(8, 2)  # 0.109``. Exact and two-sided; ties are left out. Without any
    decision it is 1. Raises LabError for a negative count.
    """
    if min(wins, losses) < 0:
        raise LabError(
            t(f"{min(wins, losses)} wins cannot be.", f"胜场不能是 {min(wins, losses)}。"),
            t("Count from 0.", "从 0 开始数。"),
        )
    count = wins + losses
    tail = sum(math.comb(count, k) for k in range(max(wins, losses), count + 1))
    found: float = min(1.0, 2 * tail / 2**count)
    return found


def correct_for_many(values: Sequence[float]) -> list[float]:
    """Holm's correction of p-values, in their order. Usage: ``correct_for_many([0.01, 0.04])``"""
    corrected, floor = [0.0] * len(values), 0.0
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        floor = max(floor, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = floor
    return corrected


class Ballot:
    """Pairs to judge, and the votes; made by :func:`compare_blindly`.

    pairs: what there is to judge, in order. votes: number of a pair to what was chosen. Whose
    answers they are is kept until all is judged: who looks earlier stops when it suits.
    """

    def __init__(
        self,
        pairs: tuple[Pair, ...],
        owners: Mapping[int, tuple[str, str]],
        same: Mapping[tuple[str, str], int],
    ) -> None:
        self.pairs = pairs
        self.votes: dict[int, Choice] = {}
        self._owners, self._same = owners, same

    @property
    def next(self) -> Pair | None:
        """The first pair without a vote; None when all is judged."""
        return next((pair for pair in self.pairs if pair.number not in self.votes), None)

    def vote(self, number: int, choice: Choice) -> None:
        """Say which answer of a pair is better; a later vote takes the place of an earlier one.

        Usage: ``ballot.vote(1, "left")``. Raises LabError for what there is not.
        """
        if number not in self._owners:
            raise LabError(
                t(f"There is no pair {number!r}.", f"没有第 {number!r} 对。"),
                t(f"They are numbered 1 to {len(self.pairs)}.", f"编号从 1 到 {len(self.pairs)}。"),
            )
        if choice not in ("left", "right", "tie"):
            raise LabError(
                t(f"{choice!r} is no vote.", f"{choice!r} 不是有效的选择。"),
                t("Say 'left', 'right' or 'tie'.", "请选 'left'、'right' 或 'tie'。"),
            )
        self.votes[number] = choice

    def take_back(self) -> None:
        """Forget the last vote, if there is one. Usage: ``ballot.take_back()``"""
        if self.votes:
            self.votes.popitem()

    def result(self) -> Outcomes:
        """Whose answers were better. Raises LabError while a pair is not judged.

        Usage: ``ballot.result().outcomes[0].p``
        """
        missing = len(self.pairs) - len(self.votes)
        if missing:
            raise LabError(
                t(f"{missing} pairs are not judged yet.", f"还有 {missing} 对没有评。"),
                t(
                    "Judge all: who looks early stops when it suits, and takes chance for proof.",
                    "请全部评完再看：中途偷看，就会在合意时停下，把运气当成证据。",
                ),
            )
        won = {names: [0, 0, ties] for names, ties in self._same.items()}
        for number, choice in self.votes.items():
            left, right = self._owners[number]
            names = (min(left, right), max(left, right))
            winner = {"left": left, "right": right, "tie": None}[choice]
            won[names][2 if winner is None else names.index(winner)] += 1
        values = correct_for_many([sign_test(first, second) for first, second, _ in won.values()])
        counted = zip(won.items(), values, strict=True)
        return Outcomes(
            tuple(
                Outcome(*names, first_wins=first, second_wins=second, ties=ties, p=p)
                for (names, (first, second, ties)), p in counted
            )
        )

    def __repr__(self) -> str:
        return t(
            f"<Ballot: {len(self.votes)} of {len(self.pairs)} judged>",
            f"<盲评：已评 {len(self.votes)}/{len(self.pairs)}>",
        )


def compare_blindly(
    answers: Mapping[str, Sequence[str]], questions: Sequence[str], *, seed: int = 0
) -> Ballot:
    """Pairs of answers in a shuffled order, without names; each two models are compared.

    Usage: ``compare_blindly({"Qwen": […], "Llama": […]}, questions)``

    answers: model to its answers, one a question. Blanks around an answer are cut off, for they
    would give a model away. Raises LabError for fewer than two models or answers that are missing.
    """
    wrong = [name for name, said in answers.items() if len(said) != len(questions)]
    if len(answers) < 2 or not questions or wrong:
        names = ", ".join(wrong or answers)
        raise LabError(
            t(f"This cannot be compared: {names or '∅'}.", f"无法比较：{names or '∅'}。"),
            t(
                f"Give at least two models, each with {len(questions)} answers.",
                f"至少要两个模型，各有 {len(questions)} 个回答。",
            ),
        )
    rng, said = random.Random(seed), {n: [one.strip() for one in a] for n, a in answers.items()}
    drawn: list[tuple[int, str, str]] = []  # question, owner left, owner right
    same = {}
    for first, second in combinations(sorted(said), 2):
        differ = [n for n in range(len(questions)) if said[first][n] != said[second][n]]
        same[first, second] = len(questions) - len(differ)
        swapped = [place % 2 == 1 for place in range(len(differ))]
        rng.shuffle(swapped)
        drawn += [
            (n, second, first) if swap else (n, first, second)
            for n, swap in zip(differ, swapped, strict=True)
        ]
    rng.shuffle(drawn)
    pairs = tuple(
        Pair(number, questions[n], said[left][n], said[right][n])
        for number, (n, left, right) in enumerate(drawn, 1)
    )
    return Ballot(pairs, {i: (left, right) for i, (_, left, right) in enumerate(drawn, 1)}, same)
