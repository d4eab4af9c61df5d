"""Where a model is: from the name a person types to a folder or a file on this disk."""

import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from . import pocket
from .errors import LabError
from .i18n import t
from .machine import cache_folder

_HUB_ID = re.compile(
    r"([a-zA-Z0-9][\w.-]{0,95}/[a-zA-Z0-9_][\w.-]{0,95})(?::([\w.-]{1,40}))?", re.ASCII
)
"""Owner and name, as the Hub writes them, and a GGUF format, as llama.cpp writes it behind them."""


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
    ``Qwen/Qwen2.5-0.5B-Instruct``, one of a repository of GGUF files with the format wanted
    (``Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M``), either with ``modelscope:`` before it, the URL of
    a ``.gguf`` file (``#sha256=…`` behind it is checked), or a name of the catalogue.

    What is on this disk is used without the network:
    the Hub's cache, and the folder that LABKIT_BUNDLE names (``OWNER/NAME`` in its ``models``).
    What is lacking is fetched: safetensors or GGUF only, never code.
    Raises LabError with the way out, the nearest known names among it.
    """
    text = str(name)
    if text.startswith(("http://", "https://")):
        return Location(text, _from_url(text), "gguf")
    if text.startswith("pocket/"):
        return Location(text, _folder(pocket.folder(text)), "folder", is_pocket=True)
    path = Path(os.path.expanduser(text))
    if path.suffix == ".gguf":
        return Location(text, _gguf(path), "gguf")
    if text and os.path.isdir(path):  # unlike Path's, false for a name too long to be one
        return Location(text, _folder(path), "folder")
    from . import modelscope  # here and below: a chat with a model on this disk starts sooner

    if found := _HUB_ID.fullmatch(text.removeprefix(modelscope.PREFIX)):
        return _from_repository(text, found[1], found[2])
    if isinstance(name, Path) or os.path.exists(path) or text.startswith((".", "/", "~")):
        raise LabError(
            t(f"'{text}' is not a model.", f"'{text}' 不是模型。"),
            t(
                "Name a folder with a config.json, or a .gguf file.",
                "请指定一个含 config.json 的文件夹，或一个 .gguf 文件。",
            ),
        )
    repository = _in_catalog(text)
    return _from_repository(text, repository, None)


def read_json_config(folder: Path) -> dict[str, Any]:
    """What the ``config.json`` of a model's folder says.

    Usage: ``read_json_config(locate("pocket/yi").path)["hidden_size"]``

    Raises LabError where there is none, or it is broken.
    """
    path = folder / "config.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise LabError(
            t(f"'{folder}' has no config.json.", f"'{folder}' 里没有 config.json。"),
            t(
                "Name a folder that holds a Hugging Face model, or a .gguf file.",
                "请指定一个 Hugging Face 模型目录，或一个 .gguf 文件。",
            ),
        ) from None
    except (TypeError, ValueError) as error:
        raise LabError(
            t(f"'{path}' is not valid JSON: {error}.", f"'{path}' 不是有效的 JSON：{error}。"),
            t("Download it again.", "请重新下载。"),
        ) from None


def _from_repository(name: str, repository: str, quant: str | None) -> Location:
    """From the class's bundle if it is in there, else from the Hub's cache or the Hub."""
    from . import modelscope, repositories

    bundle = os.environ.get("LABKIT_BUNDLE")
    folder = Path(bundle, "models", repository) if bundle else None
    if folder and quant:
        files = sorted(
            path for path in folder.glob("*.gguf") if repositories.has_quant(path.name, quant)
        )
        if files:
            return Location(name, files[0], "gguf")
    elif folder and (folder / "config.json").is_file():
        return Location(name, folder, "folder")
    near = name.startswith(modelscope.PREFIX)
    fetch = modelscope.fetch_repository if near else repositories.fetch_repository
    path = fetch(repository, quant)
    return Location(name, path, "gguf" if quant else "folder")


def _from_url(url: str) -> Path:
    from .downloads import RemoteFile, fetch_files
    from .storage import digest

    address, _, fragment = url.partition("#")
    file = unquote(urlsplit(address).path).rpartition("/")[2]
    hash = fragment.removeprefix("sha256=")
    if not file.endswith(".gguf") or (fragment and not re.fullmatch("[0-9a-f]{64}", hash)):
        raise LabError(
            t(f"'{url}' is not the address of a GGUF file.", f"'{url}' 不是 GGUF 文件的地址。"),
            t(
                "Give one that ends in .gguf, with #sha256=… behind it if you like;"
                " talk to a server with: lab.chat(url)",
                "请给出以 .gguf 结尾的地址（其后可加 #sha256=…）；与服务对话请用：lab.chat(url)",
            ),
        )
    path = cache_folder() / "downloads" / digest(url) / file
    fetch_files([RemoteFile(file, address, path, digest=hash or None)], file)
    return path


def _gguf(path: Path) -> Path:
    if not path.is_file():
        raise LabError(
            t(f"There is no file '{path}'.", f"文件 '{path}' 不存在。"),
            t("Check the path.", "请检查路径。"),
        )
    _refuse_pointer(path)
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
