"""The commands for giving a model to others: ``serve``."""

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .console import Json, ModelName, both, print_json
from .i18n import t

if TYPE_CHECKING:
    from .server import Server

app = typer.Typer()

KEY = "LABKIT_API_KEY"
"""The variable that may hold a key; an option would show it to everyone who lists processes."""


@dataclass(frozen=True)
class Serving:
    """What ``labkit serve --json`` prints once the server answers."""

    url: str
    api_key: str
    model: str
    port: int
    pid: int
    log: str


@app.command(
    help=both(
        "Serve a model by OpenAI's protocol, until Ctrl-C.",
        "以 OpenAI 兼容协议提供模型服务，按 Ctrl-C 停止。",
    )
)
def serve(
    model: ModelName = "pocket/qwen2.5",
    port: Annotated[
        int,
        typer.Option(help=both("If it is taken, a free one.", "若被占用，则换一个空闲端口。")),
    ] = 8000,
    host: Annotated[
        str,
        typer.Option(
            help=both(
                "0.0.0.0 lets the whole network in, unencrypted.",
                "0.0.0.0 表示对整个网络开放，且不加密。",
            )
        ),
    ] = "127.0.0.1",
    context: Annotated[
        int | None,
        typer.Option(help=both("Longest context, in tokens.", "最大上下文长度（词元）。")),
    ] = None,
    n_gpu_layers: Annotated[
        int,
        typer.Option(help=both("Layers on the GPU; -1: all.", "放到 GPU 的层数；-1 表示全部。")),
    ] = -1,
    n_threads: Annotated[
        int | None, typer.Option(help=both("Threads of the CPU.", "CPU 线程数。"))
    ] = None,
    as_json: Json = False,
) -> None:
    from . import server

    with server.serve(
        model,
        port=port,
        host=host,
        context=context,
        n_gpu_layers=n_gpu_layers,
        n_threads=n_threads,
        api_key=os.environ.get(KEY),
    ) as running:
        if as_json:
            print_json(_facts(running))
        else:
            _tell(running, port)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            running.wait()


def _facts(running: "Server") -> Serving:
    key, log = running.api_key, str(running.log)
    return Serving(running.url, key, running.model, running.port, running.pid, log)


def _tell(running: "Server", port: int) -> None:
    if running.note:
        print(running.note, file=sys.stderr)
    moved = t(
        f"Port {port} is taken; {running.port} was free.",
        f"端口 {port} 已被占用，改用 {running.port}。",
    )
    print(t(f"{running.model} is served at", f"{running.model} 的服务地址："), running.url)
    if port not in (0, running.port):
        print(moved)
    print(t("Log:", "日志："), running.log)
    print(
        t(
            "Ctrl-C stops it. Try it from another terminal:",
            "按 Ctrl-C 停止。可在另一个终端里试用：",
        )
    )
    print(f"  export {KEY}={running.api_key}")
    print(f"  labkit chat {running.url}")
    print(
        f'  curl {running.url}/chat/completions -H "Authorization: Bearer ${KEY}"'
        " -H 'Content-Type: application/json'"
        """ -d '{"messages": [{"role": "user", "content": "Hello"}]}'"""
    )
