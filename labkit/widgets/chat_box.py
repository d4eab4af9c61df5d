"""A conversation in a notebook: a field to type in, the answer as it comes, stop and clear."""

import html
import threading
from collections.abc import Callable
from contextlib import closing
from time import monotonic
from typing import TYPE_CHECKING, Any

from ..core.errors import LabError
from ..core.i18n import t
from ..core.progress import is_static

if TYPE_CHECKING:
    from ..conversation.session import Chat

_REDRAW = 0.1
"""Seconds between two drawings of an answer under way: a pocket model writes faster than a page."""


class Talk:
    """What a chat box shows and does; no widget, so it runs without a browser.

    Usage: ``talk = Talk(lab.chat("pocket/qwen2.5"))``; ``talk.send("Hello!").join()``

    changed: called, also from the answering thread, when there is something new to show.
    busy: an answer is under way. unsent: a question that could not be asked, else empty.
    ``str()`` and ``_repr_html_()`` are its static forms.
    """

    def __init__(self, chat: "Chat", changed: Callable[[], None] = lambda: None) -> None:
        self.chat = chat
        self.changed = changed
        self.busy = self._stopped = False
        self.unsent = ""
        self.error = ""
        self._asked = self._coming = ""

    def send(self, text: str) -> threading.Thread:
        """Ask in a thread and give it back; nothing happens while an answer is under way."""
        thread = threading.Thread(target=self._answer, args=(text,), daemon=True)
        if not self.busy:
            self.busy, self.error, self.unsent = True, "", ""
            self._stopped = False
            self._asked, self._coming = text, ""
            self.changed()
            thread.start()
        return thread

    def stop(self) -> None:
        """End the answer under way; what came so far stays."""
        self._stopped = True  # the thread may not have begun, and then chat.stop() is too early
        self.chat.stop()

    def clear(self) -> None:
        """Begin a new conversation, unless an answer is under way."""
        if not self.busy:
            self.chat.reset()
            self.error = self.unsent = ""
            self.changed()

    def _answer(self, text: str) -> None:
        drawn = 0.0
        try:
            with closing(self.chat.stream(text)) as stream:
                for piece in stream:
                    self._coming += piece
                    if self._stopped:
                        break
                    if monotonic() - drawn > _REDRAW:
                        self.changed()
                        drawn = monotonic()
        except LabError as error:
            self.error, self.unsent = str(error), text
        finally:
            self.busy, self._asked, self._coming = False, "", ""
            self.changed()

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What has been said: who (user, assistant, system, tool, error), and the words."""
        said = [(str(m["role"]), _words(m)) for m in self.chat.history]
        if self.busy:
            said += [("user", self._asked), ("assistant", self._coming or "…")]
        return said + ([("error", self.error)] if self.error else [])

    def log(self) -> str:
        """The conversation as HTML; whatever was said is text, never markup."""
        paragraphs = (
            f'<p class="labkit-chat-{who}" style="white-space:pre-wrap;margin:.3em 0">'
            f"<b>{html.escape(_label(who))}</b>{html.escape(words)}</p>"
            for who, words in self.lines
        )
        return f'<div role="log" aria-live="polite">{"".join(paragraphs)}</div>'

    def note(self) -> str:
        """The honest line beneath, as HTML; empty for a real model."""
        return f"<small>{html.escape(self.chat.note)}</small>" if self.chat.note else ""

    def _repr_html_(self) -> str:
        log = f'<div class="labkit-chat-log">{self.log()}</div>'
        return f'<div class="labkit-chat">{log}{self.note()}</div>'

    def __str__(self) -> str:
        said = (f"{_label(who)}{words}" for who, words in self.lines)
        return "\n".join(line for line in (*said, self.chat.note) if line)

    __repr__ = __str__


def _label(who: str) -> str:
    return {
        "user": t("You: ", "你："),
        "assistant": t("Model: ", "模型："),
        "system": t("System: ", "系统："),
        "tool": t("Tool: ", "工具："),
    }.get(who, "")


def _words(message: dict[str, Any]) -> str:
    calls = (call["function"] for call in message.get("tool_calls", ()))
    return message["content"] or " ".join(f"{c['name']}({c['arguments']})" for c in calls)


def chat_box(chat: "Chat") -> Any:
    """A box to talk in, for the last line of a cell.

    Usage: ``chat_box(lab.chat("pocket/qwen2.5"))``. Enter sends. It shows the chat's own history,
    and what is said in it the chat remembers. In static renderings: the conversation so far.
    """
    if is_static():
        return Talk(chat)
    import ipywidgets

    wide = ipywidgets.Layout(width="100%")
    log, note = ipywidgets.HTML(), ipywidgets.HTML()
    field = ipywidgets.Text(
        placeholder=t("Type a message, then Enter", "输入消息，按回车发送"),
        continuous_update=False,  # else a slow kernel may see Enter before the last letters
        layout=wide,
    )
    send = ipywidgets.Button(description=t("Send", "发送"), button_style="primary")
    stop = ipywidgets.Button(description=t("Stop", "停止"), disabled=True)
    clear = ipywidgets.Button(description=t("Clear", "清空"))
    for widget, name in (
        (log, "log"),
        (note, "note"),
        (field, "input"),
        (send, "send"),
        (stop, "stop"),
        (clear, "clear"),
    ):
        widget.add_class(f"labkit-chat-{name}")

    def redraw() -> None:
        log.value = talk.log()
        send.disabled = clear.disabled = talk.busy
        stop.disabled = not talk.busy
        if talk.unsent and not field.value:
            field.value = talk.unsent

    def ask() -> None:
        entered.clear()
        if (text := field.value) and not talk.busy:
            field.value = ""
            talk.send(text)

    # The page tells of Enter first and of the new text, if it is new, directly after it.
    entered = threading.Event()

    def ask_if_entered(_: Any = None) -> None:
        if entered.is_set():
            ask()

    def on_message(_: Any, content: dict[str, Any], __: Any) -> None:
        if content.get("event") == "submit":
            entered.set()
            threading.Timer(0.3, ask_if_entered).start()

    field.on_msg(on_message)
    field.observe(ask_if_entered, names="value")
    talk = Talk(chat, redraw)
    send.on_click(lambda _: ask())
    stop.on_click(lambda _: talk.stop())
    clear.on_click(lambda _: talk.clear())
    note.value = talk.note()
    redraw()
    row = ipywidgets.HBox([field, send, stop, clear], layout=wide)
    return ipywidgets.VBox([log, row, note], layout=wide)
