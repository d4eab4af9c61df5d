"""``labkit bundle``: a class without a network, on a stick: make, verify, restore."""

from pathlib import Path
from typing import Annotated

import typer

from .console import Json, both, print_json, say

HELP = both(
    "Put a class on a stick: models, notebooks and packages for a room without a network.",
    "离线课堂包：把模型、笔记本和软件包装进 U 盘，供没有网络的教室使用。",
)

app = typer.Typer(no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help=both("Folder of the bundle.", "离线包所在的文件夹。"))]


@app.command(help=both("Write a bundle, or add models to one.", "制作离线包，或往里添加模型。"))
def make(
    folder: Folder,
    models: Annotated[
        list[str] | None,
        typer.Argument(
            help=both(
                "Hub ids: OWNER/NAME, or OWNER/NAME-GGUF:QUANT; modelscope: may stand before one.",
                "Hub 模型名：OWNER/NAME 或 OWNER/NAME-GGUF:量化格式；前面可加 modelscope:。",
            )
        ),
    ] = None,
    lessons: Annotated[
        bool, typer.Option(help=both("Put the notebooks into it.", "放入课程笔记本。"))
    ] = True,
    wheels: Annotated[
        bool,
        typer.Option(
            help=both(
                "Put the packages into it, too; this takes minutes and the network.",
                "同时放入软件包（wheel）；需要几分钟和网络。",
            )
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    from ..course.bundles import make_bundle

    made = make_bundle(folder, models or (), lessons=lessons, wheels=wheels)
    print_json(made) if as_json else say(str(made))


@app.command(
    help=both("Compare every file of a bundle with its hash.", "逐个文件核对离线包的哈希值。")
)
def verify(folder: Folder, as_json: Json = False) -> None:
    from ..course.bundles import verify_bundle

    found = verify_bundle(folder)
    print_json(found) if as_json else say(str(found))


@app.command(
    help=both("Copy the models of a bundle to this computer.", "把离线包里的模型复制到本机。")
)
def restore(
    folder: Folder,
    lessons: Annotated[
        Path | None,
        typer.Option(
            help=both("Folder to copy the notebooks to, too.", "同时把课程笔记本复制到这个文件夹。")
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    from ..course.bundles import restore_bundle

    found = restore_bundle(folder, lessons)
    print_json(found) if as_json else say(str(found))
