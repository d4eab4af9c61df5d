"""lab.recommend: the frontier, its knee, and the reasons in words."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.evaluation.comparison import Comparison, Row
from labkit.evaluation.recommendation import frontier, knee, recommend


def row(form: str, size: int, kl: float | None) -> Row:
    return Row(form, size, 8.0, 1.1, 0.01, kl, kl, 1.0, 0.9, 1000.0, 100.0, None)


# Of the shape that real tables have: each bit less costs more than the one before.
TABLE = Comparison(
    "m",
    (
        row("F16", 16_000, 0.0), row("Q8_0", 8_500, 0.001), row("Q6_K", 6_600, 0.004),
        row("Q5_0", 5_600, 0.012), row("Q4_K_M", 4_900, 0.020), row("Q4_0", 4_700, 0.070),
        row("Q2_K", 3_200, 0.9), row("nf4", 5_700, 0.05),
    ),
    tuple(Path("x") for _ in range(8)),
)  # fmt: skip


def test_the_frontier_leaves_out_what_is_larger_and_worse() -> None:
    names = [row.format for row in frontier(TABLE.rows)]
    assert names == ["Q2_K", "Q4_0", "Q4_K_M", "Q5_0", "Q6_K", "Q8_0", "F16"]


def test_tight_memory_takes_the_best_that_fits() -> None:
    assert recommend(TABLE, memory=4_800).format == "Q4_0"
    assert recommend(TABLE, memory="1MiB").format == "F16"
    found = recommend(TABLE, memory=4_000)
    assert found.format == "Q2_K" and "Of the 1 that fit" in found.reasons[0]
    assert "KV cache" in found.reasons[-1]


def test_quality_takes_the_smallest_that_is_good_enough() -> None:
    assert recommend(TABLE, at_most_kl=0.002).format == "Q8_0"
    assert recommend(TABLE, at_most_kl=0.05).format == "Q4_K_M"
    assert recommend(TABLE, at_most_kl=0.0).format == "F16"
    assert recommend(TABLE, memory=7_000, at_most_kl=0.005).format == "Q6_K"


def test_otherwise_the_knee() -> None:
    found = recommend(TABLE)
    assert found.format == found.knee == "Q4_K_M"
    assert found.frontier[0] == "Q2_K"
    assert "31% of F16" in str(found)
    use_language("zh")
    assert "拐点" in str(recommend(TABLE))


def test_a_straight_line_has_no_knee() -> None:
    line = [row(name, size, 10.0**-size) for size, name in enumerate("abcd", 1)]
    assert knee(frontier(line)) is None
    assert recommend(Comparison("m", tuple(line), ())).format == "d"
    assert knee(line[:2]) is None


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"memory": 1000}, r"Nothing fits in 1000 B: the smallest, Q2_K, takes 3.12 KiB"),
        ({"memory": 4_800, "at_most_kl": 0.01}, "No variant that fits .* the nearest, Q4_0, has"),
        ({"memory": "much"}, "'much' is not a size"),
    ],
)
def test_what_cannot_be_had_is_told_with_what_comes_nearest(
    wish: dict[str, float | str], message: str
) -> None:
    with pytest.raises(LabError, match=message) as caught:
        recommend(TABLE, **wish)
    assert caught.value.way_out


def test_without_a_reference_there_is_nothing_to_go_by() -> None:
    with pytest.raises(LabError, match="no KL divergence"):
        recommend(Comparison("m", (row("Q4_0", 1, None),), ()))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=1, max_size=12))
def test_nothing_on_the_frontier_is_beaten_and_all_else_is(pairs: list[tuple[int, int]]) -> None:
    rows = [row(str(number), size, kl / 10) for number, (size, kl) in enumerate(pairs)]
    best = frontier(rows)
    for one in rows:
        no_worse = [
            other
            for other in best
            if other.file_size <= one.file_size and other.kl_mean <= one.kl_mean
        ]
        assert no_worse == [one] if one in best else no_worse
    bend = knee(best)
    assert bend is None or bend in best[1:-1]
