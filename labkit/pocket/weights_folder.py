"""The pocket models: one tiny real model of each family of the course, in the package.

They show how a mechanism works and say nothing about how good a family is. How they were made is
in :mod:`labkit.pocket.recipe`.
"""

import difflib
import os
from pathlib import Path

from ..core.errors import LabError
from ..core.i18n import t

NAMES = (
    "llama2", "llama3", "llama3-base", "qwen2.5", "chatglm3", "yi", "deepseek-v2", "mistral",
    "mixtral",
)  # fmt: skip
"""All of them, without the ``pocket/`` that goes before the name."""


def folder(name: str) -> Path:
    """The folder of a pocket model: config.json, model.safetensors, the tokenizer's files.

    Usage: ``folder("pocket/qwen2.5")`` or ``folder("qwen2.5")``

    The variable ``LABKIT_POCKET`` names another place for all of them. Raises LabError for an
    unknown name (with the nearest) and for one that is not there.
    """
    short = name.removeprefix("pocket/")
    if short not in NAMES:
        near = difflib.get_close_matches(short, NAMES, 1, 0)[0]
        known = ", ".join(f"pocket/{known}" for known in NAMES)
        raise LabError(
            t(f"There is no pocket model '{name}'.", f"没有名为 '{name}' 的口袋模型。"),
            t(
                f"Did you mean 'pocket/{near}'? There are: {known}.",
                f"是不是 'pocket/{near}'？可用的有：{known}。",
            ),
        )
    place = os.environ.get("LABKIT_POCKET") or Path(__file__).parent / "weights"
    path = Path(place) / short
    if not (path / "config.json").exists():
        raise LabError(
            t(
                f"The pocket model '{short}' is not in '{place}'.",
                f"'{place}' 里没有口袋模型 '{short}'。",
            ),
            t("Install the package again.", "请重新安装本软件包。"),
        )
    return path
