"""Where a model is: from the name a person types to a folder or a file on this disk."""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from . import pocket
from .errors import LabError
from .extras import need
from .i18n import t

DOWNLOADED = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""Files taken from a Hub repository: weights as safetensors, config, tokenizer; never code."""

_HUB_ID = re.compile(r"[a-zA-Z0-9][\w.-]{0,95}/[a-zA-Z0-9_][\w.-]{0,95}", re.ASCII)
"""Owner and name, as the Hub writes them."""


@dataclass(frozen=True)
class Location:
    """A model on this disk.

    name: what was asked for. path: a Hugging Face folder (kind ``folder``) or one file (``gguf``).
    is_pocket: whether it is a tiny model of ours.
    """

    name: str
    path: Path
    kind: Literal["folder", "gguf"]
    is_pocket: bool = False

    @property
    def note(self) -> str:
        """What must be said wherever this model's results are shown; empty for a real model."""
        if not self.is_pocket:
            return ""
        return t(
            f"{self.name} is a pocket model: it shows how things work,"
            " and says nothing about how good the family is.",
            f"{self.name} 是口袋模型：用来演示原理，不代表该系列模型的真实水平。",
        )


def locate(name: str | Path) -> Location:
    """Find a model by the name a person gave it, fetching it from the Hub if need be.

    Usage: ``locate("pocket/qwen2.5").path``

    name: ``pocket/NAME``, a folder with a ``config.json``, a ``.gguf`` file, a Hub id such as
    ``Qwen/Qwen2.5-0.5B-Instruct``, or a name of the catalogue. What the Hub's cache on this disk
    holds is used without the network; what it lacks is downloaded, weights as safetensors only.
    Raises LabError with the way out, the nearest known names among it.
    """
    text = str(name)
    if text.startswith("pocket/"):
        return Location(text, _folder(pocket.folder(text)), "folder", is_pocket=True)
    path = Path(os.path.expanduser(text))
    if path.suffix == ".gguf":
        return Location(text, _gguf(path), "gguf")
    if text and os.path.isdir(path):  # unlike Path's, false for a name too long to be one
        return Location(text, _folder(path), "folder")
    if _HUB_ID.fullmatch(text):
        return Location(text, _snapshot(text), "folder")
    if isinstance(name, Path) or os.path.exists(path) or text.startswith((".", "/", "~")):
        raise LabError(
            t(f"'{text}' is not a model.", f"'{text}' 不是模型。"),
            t(
                "Name a folder with a config.json, or a .gguf file.",
                "请指定一个含 config.json 的文件夹，或一个 .gguf 文件。",
            ),
        )
    repository = _in_catalog(text)
    return Location(text, _snapshot(repository), "folder")


def _gguf(path: Path) -> Path:
    if not path.is_file():
        raise LabError(
            t(f"There is no file '{path}'.", f"文件 '{path}' 不存在。"),
            t("Check the path.", "请检查路径。"),
        )
    return path


def _folder(path: Path) -> Path:
    if not (path / "config.json").is_file():
        raise LabError(
            t(f"'{path}' has no config.json.", f"'{path}' 里没有 config.json。"),
            t(
                "Name the folder that holds the model's files.",
                "请指定模型文件所在的文件夹。",
            ),
        )
    return path


def _in_catalog(name: str) -> str:
    from . import catalog  # inside: a talk with a pocket model need not wait for it

    try:
        return catalog.find(name).huggingface
    except LabError:
        raise _unknown(name) from None


def _unknown(name: str) -> LabError:
    """Pocket and catalogue names that look like it; upper and lower case do not matter."""
    from . import catalog

    known_names = [*(f"pocket/{p}" for p in pocket.NAMES), *(m.name for m in catalog.models())]
    names = {known.lower(): known for known in known_names}
    wanted = name.lower()
    # 'qwen2.5' resembles 'Qwen2.5-7B' more than 'pocket/qwen2.5', which it names.
    near = [known for known in names if known == f"pocket/{wanted}"]
    near += difflib.get_close_matches(wanted, names, n=3)
    shown = ", ".join(f"'{names[known]}'" for known in near[:3])
    return LabError(
        t(f"Model '{name}' is not known.", f"不认识模型 '{name}'。"),
        t(f"Did you mean {shown}?", f"你是不是想找 {shown}？")
        if shown
        else t("List them with: labkit models", "用 labkit models 可列出全部模型。"),
    )


def _snapshot(repository: str) -> Path:
    """The folder of a Hub repository in the Hub's own cache; asks the network only if need be."""
    hub = need("huggingface_hub")
    errors = need("huggingface_hub.errors")
    fetch = {"repo_id": repository, "allow_patterns": list(DOWNLOADED)}
    try:
        try:
            path = hub.snapshot_download(**fetch, local_files_only=True)
        except errors.LocalEntryNotFoundError:  # not here yet, or only in part
            path = hub.snapshot_download(**fetch)
        return _folder(Path(path))
    except errors.GatedRepoError:
        raise LabError(
            t(f"'{repository}' is gated.", f"'{repository}' 需要先获得授权。"),
            t(
                f"Accept its terms at https://huggingface.co/{repository}, then run: hf auth login",
                f"请先在 https://huggingface.co/{repository} 接受条款，再运行：hf auth login",
            ),
        ) from None
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        raise LabError(
            t(f"The Hub has no model '{repository}'.", f"Hub 上没有模型 '{repository}'。"),
            t(
                "Check the spelling; a private one needs: hf auth login",
                "请检查拼写；私有模型需要先运行：hf auth login",
            ),
        ) from None
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, OSError):
        raise LabError(
            t(
                f"'{repository}' is not on this computer and the Hub cannot be reached.",
                f"本机没有 '{repository}'，也连不上 Hub。",
            ),
            t(
                "Go online, or use a pocket model such as 'pocket/qwen2.5'.",
                "请联网后再试，或使用口袋模型，例如 'pocket/qwen2.5'。",
            ),
        ) from None
