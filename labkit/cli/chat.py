"""``labkit chat``: one answer, or a conversation in the terminal."""

import contextlib
import sys
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ..core.errors import LabError
from ..core.i18n import t
from .console import Json, both, print_json

if TYPE_CHECKING:
    from ..conversation.session import Chat

HELP = both("Talk to a model.", "与模型对话。")


def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="[MODEL]",
            help=both(
                "A model by any name that labkit estimate takes, or the URL of a server that ends"
                " in /v1.",
                "模型（写法同 labkit estimate），或以 /v1 结尾的服务地址。",
            ),
        ),
    ] = "pocket/qwen2.5",
    prompt: Annotated[
        str | None,
        typer.Argument(
            help=both(
                "One question; - reads it from standard input; none begins a conversation.",
                "单个问题；- 表示从标准输入读取；不填则进入对话。",
            )
        ),
    ] = None,
    engine: Annotated[
        Literal["llama.cpp", "transformers"] | None,
        typer.Option(
            help=both(
                "Engine that runs the model. [default: llama.cpp where it is installed]",
                "运行模型的引擎。［默认：装有 llama.cpp 时用它］",
            )
        ),
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            help=both(
                "System prompt: what the model is told first.", "系统提示词：最先告诉模型的话。"
            )
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(
            help=both(
                "How freely tokens are drawn; 0 takes the most likely token each time.",
                "采样温度；0 表示每次都取最可能的词元。",
            )
        ),
    ] = 0.0,
    top_p: Annotated[
        float,
        typer.Option(
            help=both(
                "Draw only from the most likely tokens that together have this probability.",
                "只从累积概率达到该值的最可能词元中采样。",
            )
        ),
    ] = 1.0,
    top_k: Annotated[
        int,
        typer.Option(
            help=both(
                "Draw only from this many of the most likely tokens; 0 means all.",
                "只从最可能的这么多个词元中采样；0 表示全部。",
            )
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            help=both(
                "Seed of the random draw: the same seed, the same answer.",
                "采样的随机种子：种子相同，回答相同。",
            )
        ),
    ] = 0,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Longest answer, in tokens. [default: to the end of the context]",
                "回答最多多少个词元。［默认：直到上下文用完］",
            )
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..conversation.session import chat

    if as_json and prompt is None:
        raise typer.BadParameter(t("--json needs a prompt.", "--json 需要给出问题。"))
    opened = chat(
        model,
        engine,
        system=system,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        max_new_tokens=max_new_tokens,
    )
    if opened.note:
        print(opened.note, file=sys.stderr)
    if prompt is None:
        return talk(opened)
    prompt = sys.stdin.read().strip() if prompt == "-" else prompt
    if as_json:
        opened(prompt)
        print_json(opened.reply)
    else:
        print_answer(opened, prompt)
    if opened.reply and opened.reply.finish_reason == "interrupted":
        raise KeyboardInterrupt


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
