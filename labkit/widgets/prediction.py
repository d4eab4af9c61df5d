"""A prediction with radio buttons: choose, and read at once why it is so."""

import html
from typing import Any

from ..core.progress import is_static
from ..course import predict
from ..course.progress_file import is_graded


def ask(id: str) -> Any:
    """Ask a question of the course before the reader looks.

    Usage: ``ask("start-here.unheard")`` as the last line of a cell. Radio buttons in a live
    notebook; where the page is static or graded, the written form of :func:`labkit.course.predict`.
    """
    prediction = predict(id)
    if is_static() or is_graded():
        return prediction
    import ipywidgets

    choices = [(f"{c.key}) {c.says}", c.key) for c in prediction.question.choices]
    wide = ipywidgets.Layout(width="max-content")
    buttons = ipywidgets.RadioButtons(options=choices, value=None, layout=wide)
    verdict = ipywidgets.HTML()

    def show(change: dict[str, Any]) -> None:
        verdict.value = predict(id, change["new"])._repr_html_()

    buttons.observe(show, names="value")
    asked = ipywidgets.HTML(f"<p>{html.escape(str(prediction.question.ask))}</p>")
    return ipywidgets.VBox([asked, buttons, verdict])
