"""Progress: silent where it must be, drawn where it may be, interruptible everywhere."""

import io
from contextlib import redirect_stderr

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.core.progress import is_silent, show_progress, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABKIT_STATIC", raising=False)


def test_a_terminal_shows_title_percent_and_words() -> None:
    with redirect_stderr(Terminal()) as terminal, show_progress(4, "baking") as bar:
        bar.advance(4)
        bar.note("done soon")
    shown = terminal.getvalue()
    assert "baking: 100%" in shown
    assert "4/4" in shown
    assert "done soon" in shown


def test_bytes_are_shown_with_their_unit() -> None:
    with (
        redirect_stderr(Terminal()) as terminal,
        show_progress(2_000_000, "fetching", unit="B") as bar,
    ):
        bar.advance(2_000_000)
    assert "2.00M/2.00M" in terminal.getvalue()


def test_static_is_silent_even_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_STATIC", "1")
    with redirect_stderr(Terminal()) as terminal:
        assert is_silent()
        assert list(track([1, 2, 3], "counting")) == [1, 2, 3]
    assert terminal.getvalue() == ""


def test_a_pipe_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


@given(st.lists(st.integers(min_value=0, max_value=50), max_size=20))
def test_the_callback_hears_every_step(steps: list[int]) -> None:
    heard: list[tuple[int, int | None]] = []
    with show_progress(sum(steps), "adding", callback=lambda *said: heard.append(said)) as bar:
        for step in steps:
            bar.advance(step)
    assert heard == [(sum(steps[: n + 1]), sum(steps)) for n in range(len(steps))]
    assert bar.done == bar.total


def test_items_without_a_length_have_no_total() -> None:
    heard: list[tuple[int, int | None]] = []
    assert list(track(iter("ab"), "x", callback=lambda *said: heard.append(said))) == ["a", "b"]
    assert heard == [(1, None), (2, None)]


def test_an_interrupt_passes_and_closes_the_bar() -> None:
    with (
        redirect_stderr(Terminal()) as terminal,
        pytest.raises(KeyboardInterrupt),
        show_progress(10, "waiting") as bar,
    ):
        bar.advance(3)
        raise KeyboardInterrupt
    assert "3/10" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_a_callback_can_stop_the_task() -> None:
    def stop(done: int, total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    items = iter(range(10))
    with pytest.raises(KeyboardInterrupt):
        list(track(items, "long", callback=stop))
    assert next(items) == 2
