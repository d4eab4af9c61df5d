"""``labkit app``: a page with picker, memory explorer and chat."""

import contextlib
import sys
from dataclasses import dataclass
from typing import Annotated

import typer

from ..core.i18n import t
from .console import Json, ModelName, Port, both, print_json

HELP = both(
    "Open a page with picker, memory explorer and chat, until Ctrl-C.",
    "打开一个网页：选模型、看内存、聊天；按 Ctrl-C 停止。",
)


@dataclass(frozen=True)
class Opened:
    """What ``labkit app --json`` prints. url: with the token that the page asks for."""

    url: str
    port: int
    pid: int
    log: str


def command(
    model: ModelName = "pocket/qwen2.5",
    port: Port = 8866,
    browser: Annotated[
        bool, typer.Option(help=both("Open the page in a browser.", "在浏览器里打开网页。"))
    ] = True,
    as_json: Json = False,
) -> None:
    from ..widgets.app_page import open_page

    with open_page(model, port=port) as page:
        if as_json:
            print_json(Opened(url=page.url, port=page.port, pid=page.pid, log=str(page.log)))
        else:
            print(t("Open:", "请打开："), page.url)
            print(t("Log:", "日志："), page.log)
            print(t("Ctrl-C stops it.", "按 Ctrl-C 停止。"))
        sys.stdout.flush()
        if browser:
            import webbrowser

            webbrowser.open(page.url)
        with contextlib.suppress(KeyboardInterrupt):
            page.wait()
