"""The one way to show progress: a bar in a terminal or a notebook, a callback, or nothing."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Any, TypeVar

from .extras import need

Item = TypeVar("Item")
Callback = Callable[[int, int | None], None]
"""Called after every step with how much is done and how much there is (None: not known)."""


def is_static() -> bool:
    """Whether what is shown now will be kept and compared: no bars, no widgets, no times.

    Usage: ``if is_static(): …``. The build of the notebooks and the tests set LABKIT_STATIC=1.
    """
    return os.environ.get("LABKIT_STATIC") == "1"


def is_silent() -> bool:
    """Whether no bar is drawn: a static rendering, or neither a terminal nor a notebook.

    Usage: ``is_silent()``. Bars go to stderr, so that ``--json`` on stdout stays one object.
    """
    in_notebook = "ipykernel.zmqshell" in sys.modules
    return is_static() or not (in_notebook or sys.stderr.isatty())


class ProgressBar:
    """A bar under way; made by :func:`show_progress`."""

    def __init__(self, drawn: Any, total: int | None, callback: Callback | None) -> None:
        self._drawn = drawn  # a tqdm bar, or None where nothing is drawn
        self._callback = callback
        self.total = total
        self.done = 0

    def advance(self, count: int = 1) -> None:
        """Say that count more units are done. Usage: ``bar.advance(len(chunk))``."""
        self.done += count
        if self._drawn is not None:
            self._drawn.update(count)
        if self._callback is not None:
            self._callback(self.done, self.total)

    def note(self, text: str) -> None:
        """Put a few words behind the bar. Usage: ``bar.note(f"loss {loss:.2f}")``."""
        if self._drawn is not None:
            self._drawn.set_postfix_str(text)


@contextmanager
def show_progress(
    total: int | None, title: str, *, unit: str = "it", callback: Callback | None = None
) -> Iterator[ProgressBar]:
    """Show how far a long task is, and about how long the rest will take.

    Usage: ``with show_progress(steps, "training") as bar: bar.advance()``

    total: how many units there are; None if unknown (then no rest is estimated).
    unit: what is counted; ``"B"`` counts bytes and shows kB, MB, GB.
    callback: called as ``callback(done, total)`` after every step, also where no bar is drawn;
    whatever it raises ends the task, which is how a caller stops one.

    The rest is estimated from a moving average of the last steps (tqdm). An interrupt passes
    through unchanged and leaves the bar where it was.
    """
    if is_silent():
        yield ProgressBar(None, total, callback)
        return
    drawn = need("tqdm.auto").tqdm(
        total=total, desc=title, unit=unit, unit_scale=unit == "B", dynamic_ncols=True
    )
    with drawn:  # closes it on an interrupt too; in a notebook it then turns red
        yield ProgressBar(drawn, total, callback)


def track(
    items: Iterable[Item], title: str, *, unit: str = "it", callback: Callback | None = None
) -> Iterator[Item]:
    """Go through items and show how far along they are.

    Usage: ``for question in track(questions, "asking"): …``. The total is ``len(items)`` where
    items has a length. A step counts as done when the next item is asked for.
    """
    total = len(items) if isinstance(items, Sized) else None
    with show_progress(total, title, unit=unit, callback=callback) as bar:
        for item in items:
            yield item
            bar.advance()
