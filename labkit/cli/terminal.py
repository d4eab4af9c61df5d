"""A conversation in a terminal: answers as they come, Ctrl-C ends one, Ctrl-D leaves."""

import contextlib
import sys
from typing import TYPE_CHECKING

from ..core.errors import LabError
from ..core.i18n import t

if TYPE_CHECKING:
    from ..conversation.session import Chat


def print_answer(chat: "Chat", text: str) -> None:
    """Ask, and print the answer piece by piece on stdout.

    Usage: ``print_answer(lab.chat("pocket/qwen2.5"), "你好")``. Raises LabError as the chat does.
    """
    for piece in chat.stream(text):
        print(piece, end="", flush=True)
    print(flush=True)


def talk(chat: "Chat") -> None:
    """Read a line, print the answer, and so on until Ctrl-D or ``/exit``; ``/reset`` begins anew.

    Usage: ``talk(lab.chat("pocket/qwen2.5"))``. What went wrong is said and the talk goes on.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  input() edits lines and recalls them by it; Windows has none
    live = sys.stdin.isatty()
    if live:
        hint = t(
            "Enter sends; /reset begins anew; Ctrl-C stops an answer; /exit or Ctrl-D leaves.",
            "回车发送；/reset 重新开始；Ctrl-C 中断回答；/exit 或 Ctrl-D 退出。",
        )
        print(hint, file=sys.stderr)
    while True:
        try:
            line = input("> " if live else "").strip()
        except EOFError:
            break
        except KeyboardInterrupt:
            print(t("\n/exit leaves.", "\n输入 /exit 退出。"), file=sys.stderr)
            continue
        if line == "/exit":
            break
        if line == "/reset":
            chat.reset()
        elif line:
            try:
                print_answer(chat, line)
            except LabError as error:
                print(error, file=sys.stderr)
