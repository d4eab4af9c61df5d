"""The commands for a class: ``bundle`` (make, verify, restore) and ``mirror``."""

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..core.i18n import t
from .console import Json, both, print_json, say

app = typer.Typer()
bundle = typer.Typer(no_args_is_help=True)
app.add_typer(
    bundle, name="bundle", help=both("A class without a network, on a stick.", "离线课堂包。")
)

TOKEN = "LABKIT_MIRROR_TOKEN"
"""The variable that may hold what clients must show; an option would show it to everyone."""

Folder = Annotated[Path, typer.Argument(help=both("The bundle's folder.", "离线包所在的文件夹。"))]


@bundle.command(help=both("Write a bundle, or add models to one.", "制作离线包，或往里添加模型。"))
def make(
    folder: Folder,
    models: Annotated[
        list[str] | None,
        typer.Argument(help=both("Hub ids; of GGUF files OWNER/NAME:QUANT.", "Hub 模型名。")),
    ] = None,
    lessons: Annotated[
        bool, typer.Option(help=both("Whether the notebooks go in.", "是否放入课程笔记本。"))
    ] = True,
    wheels: Annotated[
        bool,
        typer.Option(help=both("Whether the packages go in.", "是否放入软件包（wheel）。")),
    ] = False,
    as_json: Json = False,
) -> None:
    from ..course.bundles import make_bundle

    made = make_bundle(folder, models or (), lessons=lessons, wheels=wheels)
    print_json(made) if as_json else say(str(made))


@bundle.command(help=both("Compare every file with its hash.", "逐个文件校验。"))
def verify(folder: Folder, as_json: Json = False) -> None:
    from ..course.bundles import verify_bundle

    found = verify_bundle(folder)
    print_json(found) if as_json else say(str(found))


@bundle.command(help=both("Copy its models to this computer.", "把其中的模型复制到本机。"))
def restore(
    folder: Folder,
    lessons: Annotated[
        Path | None,
        typer.Option(help=both("A folder for the notebooks.", "课程笔记本放到哪个文件夹。")),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course.bundles import restore_bundle

    found = restore_bundle(folder, lessons)
    print_json(found) if as_json else say(str(found))


@dataclass(frozen=True)
class Mirroring:
    """What ``labkit mirror --json`` prints once it serves."""

    url: str
    models: tuple[str, ...]


@app.command(
    help=both(
        "Give the models of this computer to others, as the Hub does, until Ctrl-C.",
        "像 Hub 一样把本机的模型提供给其他人，按 Ctrl-C 停止。",
    )
)
def mirror(
    from_bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help=both("Serve a bundle, not the Hub's cache.", "提供离线包里的模型，而非本机缓存。"),
        ),
    ] = None,
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch",
            help=both(
                "Fetch what is lacking from the Hub, too (runs olah).",
                "缺少的模型从 Hub 获取（使用 olah）。",
            ),
        ),
    ] = False,
    host: Annotated[
        str,
        typer.Option(
            help=both(
                "0.0.0.0 lets the whole network in, unencrypted.",
                "0.0.0.0 表示对整个网络开放，且不加密。",
            )
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help=both("0: a free one.", "0 表示自动选择。"))] = 8090,
    as_json: Json = False,
) -> None:
    from ..hub.mirror_server import bundled_repositories, serve_mirror, stored_repositories

    if fetch and from_bundle:
        raise typer.BadParameter(t("--fetch needs no --bundle.", "--fetch 与 --bundle 不能同用。"))
    if fetch:
        from ..hub.olah import serve_olah

        with serve_olah(host=host, port=port) as url:
            _serve(Mirroring(_seen(url, host), ()), as_json)
        return
    served = bundled_repositories(from_bundle) if from_bundle else stored_repositories()
    token = os.environ.get(TOKEN)
    with serve_mirror(served, host=host, port=port, token=token, log=not as_json) as running:
        _serve(Mirroring(_seen(running.url, host), tuple(served)), as_json)


def _serve(running: Mirroring, as_json: bool) -> None:
    if as_json:
        print_json(running)
    else:
        say(*running.models)
        say(
            t("Ctrl-C stops it. Others use it with:", "按 Ctrl-C 停止。其他人这样使用："),
            f"  export HF_ENDPOINT={running.url}",
        )
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _seen(url: str, host: str) -> str:
    """The address as others see it: of a mirror open to all, this computer's in its network."""
    if host != "0.0.0.0":
        return url
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it only chooses the way out
        except OSError:
            return url
        return url.replace("127.0.0.1", str(probe.getsockname()[0]))
