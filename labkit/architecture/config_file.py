"""A model's ``config.json``, read from its folder."""

import json
from pathlib import Path
from typing import Any

from ..core.errors import LabError
from ..core.i18n import t


def read_json_config(folder: Path) -> dict[str, Any]:
    """What the ``config.json`` of a model's folder says.

    Usage: ``read_json_config(locate("pocket/yi").path)["hidden_size"]``

    Raises LabError where there is none, or it is broken.
    """
    return read_json_file(folder / "config.json")


def read_json_file(path: Path) -> dict[str, Any]:
    """A configuration in a file of any name.

    Usage: ``read_json_file(Path("Qwen2.5-7B/config.json"))["hidden_size"]``

    Raises LabError for a file that is missing, cannot be read or holds no JSON object.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(
            t(f"'{path.parent}' has no {path.name}.", f"'{path.parent}' 里没有 {path.name}。"),
            t(
                "Name a folder that holds a Hugging Face model, or a .gguf file.",
                "请指定一个 Hugging Face 模型目录，或一个 .gguf 文件。",
            ),
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(path, str(error)) from None
    if not isinstance(config, dict):
        raise _broken(path, t("it holds no object", "内容不是对象"))
    return config


def _broken(path: Path, reason: str) -> LabError:
    return LabError(
        t(
            f"'{path}' is no valid configuration: {reason}.",
            f"'{path}' 不是有效的配置文件：{reason}。",
        ),
        t("Download it again.", "请重新下载。"),
    )
