"""``labkit serve``: a model behind OpenAI's protocol."""

import contextlib
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.i18n import t
from .console import Host, Json, ModelName, Port, both, print_json

if TYPE_CHECKING:
    from ..serving.openai_server import Server

HELP = both(
    "Serve a model by OpenAI's protocol, until Ctrl-C.",
    "以 OpenAI 兼容协议提供模型服务，按 Ctrl-C 停止。",
)

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


def command(
    model: ModelName = "pocket/qwen2.5",
    port: Port = 8000,
    host: Host = "127.0.0.1",
    context: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Tokens of the context, prompt and answer together. [default: what the model was"
                " trained for, at most 8192]",
                "上下文词元数，提示与回答合计。［默认：模型训练时的长度，最多 8192］",
            )
        ),
    ] = None,
    n_gpu_layers: Annotated[
        int,
        typer.Option(
            help=both("Layers put on the GPU; -1 means all.", "放到 GPU 的层数；-1 表示全部。")
        ),
    ] = -1,
    n_threads: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Threads of the CPU. [default: llama.cpp's choice; with --replicas 1]",
                "CPU 线程数。［默认由 llama.cpp 决定；用 --replicas 时为 1］",
            )
        ),
    ] = None,
    replicas: Annotated[
        int | None,
        typer.Option(
            help=both(
                "Run this many copies of the model by Ray Serve, which shares requests among them.",
                "用 Ray Serve 启动这么多个副本，由它分配请求。",
            )
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    with _open(model, port, host, context, n_gpu_layers, n_threads, replicas) as running:
        if as_json:
            print_json(
                Serving(
                    url=running.url,
                    api_key=running.api_key,
                    model=running.model,
                    port=running.port,
                    pid=running.pid,
                    log=str(running.log),
                )
            )
        else:
            _tell(running, port)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            running.wait()


def _open(
    model: str,
    port: int,
    host: str,
    context: int | None,
    n_gpu_layers: int,
    n_threads: int | None,
    replicas: int | None,
) -> "Server":
    key = os.environ.get(KEY)
    if replicas is None:
        from ..serving.openai_server import serve

        return serve(
            model, port=port, host=host, context=context, n_gpu_layers=n_gpu_layers,
            n_threads=n_threads, api_key=key,
        )  # fmt: skip
    from ..serving.ray_cluster import serve_replicas

    return serve_replicas(
        model, port=port, host=host, context=context, n_gpu_layers=n_gpu_layers,
        n_threads=n_threads or 1, api_key=key, replicas=replicas,
    )  # fmt: skip


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
