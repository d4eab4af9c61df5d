"""The commands for giving a model to others: ``serve``, ``bench-serve``, ``export``."""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from ..core.i18n import t
from .console import Json, ModelName, both, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..exports import Exported
    from ..serving.openai_server import Server

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


@dataclass(frozen=True)
class Opened:
    """What ``app --json`` says. url: with the token without which the page lets nobody in."""

    url: str
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
    replicas: Annotated[
        int | None,
        typer.Option(help=both("So many copies, by Ray Serve.", "用 Ray Serve 启动多少个副本。")),
    ] = None,
    as_json: Json = False,
) -> None:
    settings: dict[str, Any] = {
        "port": port, "host": host, "context": context, "n_gpu_layers": n_gpu_layers,
        "api_key": os.environ.get(KEY),
    }  # fmt: skip
    with _open(model, replicas, n_threads, settings) as running:
        if as_json:
            print_json(_facts(running))
        else:
            _tell(running, port)
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            running.wait()


def _open(
    model: str, replicas: int | None, n_threads: int | None, settings: dict[str, Any]
) -> "Server":
    if replicas is None:
        from ..serving.openai_server import serve

        return serve(model, n_threads=n_threads, **settings)
    from ..serving.ray_cluster import serve_replicas

    return serve_replicas(model, replicas=replicas, n_threads=n_threads or 1, **settings)


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


@app.command(
    "bench-serve",
    help=both(
        "How a server answers when many ask at once: requests/s, waits, errors.",
        "压力测试：许多人同时提问时的吞吐、等待时间和错误。",
    ),
)
def bench_serve(
    url: Annotated[
        str,
        typer.Argument(
            help=both(
                "Ends in /v1; its key in LABKIT_API_KEY.", "以 /v1 结尾；密钥放在 LABKIT_API_KEY。"
            )
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(help=both("Its name there; else the first.", "模型名，默认第一个。")),
    ] = None,
    clients: Annotated[
        list[int] | None,
        typer.Option(
            help=both("At once; several times: 1, 4, 16.", "并发数，可多次给出，默认 1、4、16。")
        ),
    ] = None,
    requests: Annotated[
        int, typer.Option(help=both("For each number of clients.", "每个并发数下的请求数。"))
    ] = 32,
    prompt_words: Annotated[
        int, typer.Option(help=both("Length of a prompt, in words.", "提示长度（英文单词数）。"))
    ] = 24,
    max_new_tokens: Annotated[
        int, typer.Option(help=both("Longest answer, in tokens.", "回答最多多少个词元。"))
    ] = 32,
    retries: Annotated[
        int, typer.Option(help=both("How often to ask again after an error.", "出错后重试几次。"))
    ] = 0,
    plot: Annotated[
        Path | None, typer.Option(help=both("A PNG of the waits.", "把等待时间画成 PNG。"))
    ] = None,
    as_json: Json = False,
) -> None:
    from ..serving.load_test import measure_load

    test = measure_load(
        url,
        model=model,
        clients=clients or (1, 4, 16),
        requests=requests,
        prompt_words=prompt_words,
        max_new_tokens=max_new_tokens,
        retries=retries,
    )
    if plot:
        from ..plots.load import draw_waits

        draw_waits(test).save(plot)
    print_json(test) if as_json else say(str(test))


@app.command(
    "app",
    help=both(
        "A page with picker, memory explorer and chat, until Ctrl-C.",
        "打开一个网页：选模型、看内存、聊天；按 Ctrl-C 停止。",
    ),
)
def show_app(
    model: ModelName = "pocket/qwen2.5",
    port: Annotated[
        int,
        typer.Option(help=both("If it is taken, a free one.", "若被占用，则换一个空闲端口。")),
    ] = 8866,
    browser: Annotated[
        bool, typer.Option(help=both("Open it in a browser.", "在浏览器里打开。"))
    ] = True,
    as_json: Json = False,
) -> None:
    from ..widgets.app_page import open_page

    with open_page(model, port=port) as page:
        if as_json:
            print_json(Opened(page.url, page.port, page.pid, str(page.log)))
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


Target = Literal[
    "ollama", "lmstudio", "textgen", "vllm", "modal", "axolotl", "llamafactory"
]  # a file each in exports

OPTIONS: dict[str, tuple[str, ...]] = {
    "ollama": ("quant", "name", "adapter"),
    "lmstudio": ("quant", "name"),
    "textgen": ("quant", "name"),
    "vllm": ("name", "adapter", "context", "vram", "gpus"),
    "modal": ("name", "adapter", "context", "gpus"),
    "axolotl": ("task", "method"),
    "llamafactory": ("task", "method"),
}
"""Which options each target takes; the last two are given a tuning, the others a model."""


@app.command(
    help=both(
        "Write a model, or the tuning of one, down for another tool.",
        "把模型（或一次微调）写成其他工具可以直接用的文件。",
    )
)
def export(
    model: ModelName,
    to: Annotated[Target, typer.Option(help=both("The tool.", "目标工具。"))],
    out: Annotated[Path, typer.Option("--out", "-o", help=both("The folder.", "输出文件夹。"))],
    quant: Annotated[
        str | None,
        typer.Option(help=both("GGUF format; else Q4_K_M.", "GGUF 格式，默认 Q4_K_M。")),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help=both("Its name in the tool.", "在目标工具里的名称。"))
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help=both("A LoRA to go along.", "一同导出的 LoRA 适配器。")),
    ] = None,
    context: Annotated[
        int | None, typer.Option(help=both("Longest context, in tokens.", "最大上下文（词元）。"))
    ] = None,
    vram: Annotated[
        str | None,
        typer.Option(help=both("Of one GPU, to check: 24GiB.", "单卡显存，用于核对，如 24GiB。")),
    ] = None,
    gpus: Annotated[int | None, typer.Option(help=both("How many GPUs.", "GPU 数量。"))] = None,
    task: Annotated[
        str | None,
        typer.Option(help=both("Of a tuning: what it learns.", "微调任务（仅微调工具）。")),
    ] = None,
    method: Annotated[
        Literal["full", "lora", "qlora"] | None,
        typer.Option(help=both("Of a tuning; else lora.", "微调方式，默认 lora（仅微调工具）。")),
    ] = None,
    as_json: Json = False,
) -> None:
    given = {
        "quant": quant, "name": name, "adapter": adapter, "context": context, "vram": vram,
        "gpus": gpus, "task": task, "method": method,
    }  # fmt: skip
    options = {option: value for option, value in given.items() if value is not None}
    exported = _export(model, to, out, options)
    if as_json:
        return print_json(exported)
    print(exported)
    print(exported.folder)


def _export(model: str, to: Target, out: Path, options: dict[str, Any]) -> "Exported":
    from .. import exports

    for option in options:
        if option not in OPTIONS[to]:
            known = ", ".join(f"--{name}" for name in OPTIONS[to])
            raise typer.BadParameter(
                t(f"--to {to} takes: {known}.", f"--to {to} 可用的选项：{known}。"),
                param_hint=f"--{option}",
            )
    writer: Callable[..., Exported] = getattr(exports, f"write_{to}")
    if "task" not in OPTIONS[to]:
        return writer(model, out, **options)
    if "task" not in options:
        raise typer.BadParameter(
            t(f"--to {to} needs a --task.", f"--to {to} 需要 --task。"), param_hint="--task"
        )
    return writer(options.pop("task"), model, out, **options)
