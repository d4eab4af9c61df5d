"""Models on this disk: a Hugging Face folder, or a GGUF file, whole and no mere pointer to one."""

import re
from pathlib import Path

from ..core.errors import LabError
from ..core.i18n import t


def only_gguf(folder: Path) -> Path | None:
    """The GGUF model of a folder that holds one and no ``config.json``; None where it holds none.

    Usage: ``only_gguf(Path("downloads"))``. Parts of one model count as one. Raises LabError where
    there are several, with their names.
    """
    ggufs = sorted(folder.glob("*.gguf"))
    if (folder / "config.json").is_file() or not ggufs:
        return None
    if len(ggufs) > 1 and not re.search(r"-00001-of-\d{5}\.gguf$", ggufs[0].name):
        listed = ", ".join(file.name for file in ggufs[:5])
        raise LabError(
            t(
                f"'{folder}' has no config.json and {len(ggufs)} .gguf files.",
                f"'{folder}' 里没有 config.json，.gguf 文件有 {len(ggufs)} 个。",
            ),
            t(f"Name one of them: {listed}.", f"请指定其中一个：{listed}。"),
        )
    return check_gguf(ggufs[0])


def check_gguf(path: Path) -> Path:
    """The path of a GGUF file that is there; LabError for one that is not, or only git's pointer.

    Usage: ``check_gguf(Path("model.gguf"))``
    """
    if not path.is_file():
        raise LabError(
            t(f"There is no file '{path}'.", f"文件 '{path}' 不存在。"),
            t("Check the path.", "请检查路径。"),
        )
    _refuse_pointer(path)
    return path


def check_folder(path: Path) -> Path:
    """The path of a Hugging Face folder; LabError where config.json or the real weights lack.

    Usage: ``check_folder(Path("Qwen2.5-0.5B"))``
    """
    if not (path / "config.json").is_file():
        raise LabError(
            t(f"'{path}' has no config.json.", f"'{path}' 里没有 config.json。"),
            t(
                "Name the folder that holds the model's files.",
                "请指定模型文件所在的文件夹。",
            ),
        )
    for weights in path.glob("*.safetensors"):
        _refuse_pointer(weights)
    return path


def _refuse_pointer(path: Path) -> None:
    """What git leaves of a large file where git-lfs is not installed: three lines about it."""
    if path.stat().st_size < 1024 and path.read_bytes().startswith(b"version https://git-lfs"):
        raise LabError(
            t(
                f"'{path}' is only git's pointer to a large file, not the file.",
                f"'{path}' 只是 git 的大文件指针，不是文件本身。",
            ),
            t(
                "Install git-lfs and run there: git lfs pull; or fetch the model from a Hub.",
                "请安装 git-lfs，并在该目录运行：git lfs pull；或改从模型站下载。",
            ),
        )
