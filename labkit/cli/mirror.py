"""``labkit mirror``: the models of this computer, for a whole room."""

import contextlib
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ..core.i18n import t
from .console import Host, Json, both, print_json, say

HELP = both(
    "Give the models of this computer to others, as the Hub does, until Ctrl-C.",
    "像 Hub 一样把本机的模型提供给其他人，按 Ctrl-C 停止。",
)

TOKEN = "LABKIT_MIRROR_TOKEN"
"""The variable that may hold what clients must show; an option would show it to everyone."""


@dataclass(frozen=True)
class Mirroring:
    """What ``labkit mirror --json`` prints once it serves."""

    url: str
    models: tuple[str, ...]


def command(
    from_bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            help=both(
                "Serve the models of this bundle instead of those in the Hub's cache.",
                "提供这个离线包里的模型，而不是本机 Hub 缓存里的。",
            ),
        ),
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            help=both(
                "Port to listen on; 0 takes a free one.", "监听端口；0 表示自动选择空闲端口。"
            )
        ),
    ] = 8090,
    as_json: Json = False,
) -> None:
    from ..hub.mirror_server import bundled_repositories, serve_mirror, stored_repositories

    served = bundled_repositories(from_bundle) if from_bundle else stored_repositories()
    token = os.environ.get(TOKEN)
    with serve_mirror(served, host=host, port=port, token=token, log=not as_json) as running:
        mirroring = Mirroring(_seen(running.url, host), tuple(served))
        if as_json:
            print_json(mirroring)
        else:
            say(*mirroring.models)
            say(
                t("Ctrl-C stops it. Others use it with:", "按 Ctrl-C 停止。其他人这样使用："),
                f"  export HF_ENDPOINT={mirroring.url}",
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
