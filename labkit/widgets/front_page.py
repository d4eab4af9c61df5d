"""Picker, memory explorer and chat on one page, for people who do not open notebooks."""

import html
import os
from typing import Any

from ..core.errors import LabError
from ..core.i18n import t

MODEL = "LABKIT_APP_MODEL"
"""The environment variable that names the model to talk to; set by ``app_page``."""


def show_front_page(model: str | None = None) -> Any:
    """Three tabs: which model fits, what fills the memory, talk to one.

    Usage: ``show_front_page()`` as the only cell of the page. model: what :func:`labkit.chat`
    takes; None: that of the environment, else a pocket model. That one cannot be loaded is said in
    its tab.
    """
    import ipywidgets as w

    from .hardware_picker import show_hardware_picker
    from .memory_explorer import show_memory_explorer

    chosen = model or os.environ.get(MODEL) or "pocket/qwen2.5"
    parts = {
        t("Pick a model", "选模型"): show_hardware_picker(),
        t("Memory", "看内存"): show_memory_explorer(),
        t("Chat", "聊一聊"): _chat(chosen),
    }
    tabs = w.Tab(children=list(parts.values()))
    for place, title in enumerate(parts):
        tabs.set_title(place, title)
    head = t(
        "Everything on this page is computed on this computer.",
        "本页的一切都在这台电脑上计算。",
    )
    return w.VBox([w.HTML(f"<h2>Open LLM Family Lab</h2><p>{head}</p>"), tabs])


def _chat(model: str) -> Any:
    import ipywidgets as w

    from ..conversation.session import chat
    from .chat_box import chat_box

    try:
        return chat_box(chat(model))
    except LabError as error:
        return w.HTML(f"<p>{html.escape(str(error))}</p>")
