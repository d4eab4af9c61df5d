"""The rubric of the capstone: what it asks, and how points are summed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.errors import LabError
from labkit.course.rubric import SHARES, criteria, mark, show_rubric

IDS = [criterion.id for criterion in criteria()]


def test_a_whole_project_has_a_hundred_points() -> None:
    assert mark({id: "full" for id in IDS}).points == 100
    assert mark({}).points == 0
    assert mark({"need": "full", "choice": "half"}).points == 15 + 7.5


@given(st.dictionaries(st.sampled_from(IDS), st.sampled_from(list(SHARES))))
def test_more_never_gives_fewer_points(levels: dict) -> None:
    for id in IDS:
        raised = mark(levels | {id: "full"})
        assert 0 <= mark(levels).points <= raised.points <= 100


def test_the_tables_tell_every_criterion() -> None:
    assert len(show_rubric().rows) == len(IDS)
    table = str(mark({"serving": "half"}))
    assert "7.5/15" in table and "7.5/100" in table


@pytest.mark.parametrize("levels", [{"price": "full"}, {"need": "fine"}])
def test_what_the_rubric_does_not_have_is_refused(levels: dict) -> None:
    with pytest.raises(LabError, match="no '(price|fine)'"):
        mark(levels)
