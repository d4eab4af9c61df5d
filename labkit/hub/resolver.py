"""From the name a person gives a model to its configuration, and to its files on this disk.

Usage: ``resolve("Qwen2.5-7B").architecture``; ``locate("pocket/qwen2.5").path``

Every command asks here, so a name means the same to all of them. :func:`resolve` fetches no
weights; :func:`locate` does. A configuration is read when it is first asked for, and once.
"""

import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from .. import catalog, pocket
from ..architecture.config_file import read_json_config, read_json_file
from ..architecture.layers import Architecture, read_architecture
from ..core.cache import cache_folder
from ..core.errors import LabError
from ..core.i18n import t
from ..gguf.config import config_of
from ..gguf.reader import Contents, inspect_gguf
from .local_files import check_folder, check_gguf, only_gguf

_HUB_ID = re.compile(
    r"([a-zA-Z0-9][\w.-]{0,95}/[a-zA-Z0-9_][\w.-]{0,95})(?::([\w.-]{1,40}))?", re.ASCII
)
"""Owner and name, as the Hub writes them, and a GGUF format, as llama.cpp writes it behind them."""

_MODELSCOPE = "modelscope:"


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
        """What must be said wherever this model's results are shown; mostly empty."""
        if not self.is_pocket:
            return self.name_note
        return t(
            f"{self.name} is a pocket model: it shows how things work,"
            " and says nothing about how good the family is.",
            f"{self.name} 是口袋模型：用来演示原理，不代表该系列模型的真实水平。",
        )

    @property
    def name_note(self) -> str:
        """What was taken where the name has two meanings; else empty."""
        if self.is_pocket or not _is_catalogue_name(self.name):
            return ""
        return t(
            f"'{self.name}' is a path here and a model of the catalogue: the path was taken.",
            f"'{self.name}' 既是这里的路径，也是目录中的模型名：取的是路径。",
        )

    @cached_property
    def contents(self) -> Contents | None:
        """What the GGUF file says of itself; None for a folder."""
        return inspect_gguf(self.path) if self.kind == "gguf" else None

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The ``config.json``, or the header of the GGUF file in its words."""
        return config_of(self.contents) if self.contents else read_json_config(self.path)

    def gguf(self) -> Path:
        """The file that llama.cpp runs: the model's own, or F16 made of its folder.

        Usage: ``locate("pocket/qwen2.5").gguf()``. Raises LabError where that cannot be made.
        """
        from ..gguf.files import gguf_for

        return self.path if self.kind == "gguf" else gguf_for(self.path, config=self.config)


@dataclass(frozen=True, eq=False)
class Source:
    """A model whose name is understood, on this disk or elsewhere; nothing is fetched yet.

    name: for tables. location: its files, where they are here. entry: what the catalogue knows of
    it. repository, quant: where it is fetched from, and which GGUF file of it.
    """

    name: str
    asked: str
    location: Location | None = None
    entry: catalog.CatalogModel | None = None
    repository: str = ""
    quant: str | None = None
    url: str = ""
    given: Mapping[str, Any] | None = field(default=None, repr=False)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """Its configuration in Hugging Face's words.

        Of a repository that is neither here nor in the catalogue, only this file is fetched. Raises
        LabError where that cannot be had without the weights.
        """
        if self.given is not None:
            return self.given
        if self.location:
            return self.location.config
        if self.entry:
            return self.entry.config
        if self.url or self.quant or self.asked.startswith(_MODELSCOPE):
            raise LabError(
                t(
                    f"What '{self.asked}' is made of is known once its file is here.",
                    f"要先把 '{self.asked}' 下载到本机，才能知道它的结构。",
                ),
                t(
                    f"Fetch it: lab.load('{self.asked}'); or name the model it was made from.",
                    f"先下载：lab.load('{self.asked}')；或改用它所来自的模型名。",
                ),
            )
        from .huggingface import fetch_config

        return read_json_config(fetch_config(self.repository).parent)

    @cached_property
    def architecture(self) -> Architecture:
        """What it is built of; LabError for a model type that labkit does not know."""
        return read_architecture(self.config)

    @property
    def contents(self) -> Contents | None:
        """What its GGUF file says of itself; None where there is none here."""
        return self.location.contents if self.location else None

    @property
    def context(self) -> int:
        """What its maker says it is good for; 0 where that is ``max_position_embeddings``."""
        return self.entry.context if self.entry else 0

    @property
    def native_context(self) -> int:
        """Beyond it YaRN must be switched on; 0 where nothing is known of that."""
        return (self.entry.native_context or 0) if self.entry else 0

    def fetch(self) -> Location:
        """Its files on this disk, fetched where they are not: safetensors or GGUF, never code.

        Usage: ``resolve("Qwen/Qwen2.5-0.5B-Instruct").fetch().path``
        """
        if self.location:
            return self.location
        if self.url:
            return Location(self.asked, _from_url(self.url), "gguf")
        if self.repository:
            return _from_repository(self.asked, self.repository, self.quant)
        raise LabError(
            t(f"'{self.asked}' has no weights.", f"'{self.asked}' 没有权重。"),
            t(
                "Name the folder that holds the model's files, or a .gguf file.",
                "请指定模型文件所在的文件夹，或一个 .gguf 文件。",
            ),
        )


ModelLike = str | Path | Mapping[str, Any] | Location
"""What names a model; a mapping is a configuration, a Location was found before."""


def resolve(model: ModelLike) -> Source:
    """Understand what a person calls a model; no weights are fetched.

    Usage: ``resolve("pocket/llama3").architecture``; ``resolve("Qwen2.5-7B").context``

    model: ``pocket/NAME``; a folder with a ``config.json``, or with one ``.gguf`` and none; a
    ``.gguf`` file; a ``config.json``, or its content; a Hub id such as
    ``Qwen/Qwen2.5-0.5B-Instruct``; one of a repository of GGUF files with the format wanted
    (``Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M``), either with ``modelscope:`` before it; the URL of
    a ``.gguf`` file (``#sha256=…`` behind it is checked); or a name of the catalogue. A path that
    exists comes before a name of the catalogue. Raises LabError with the way out, the nearest
    known names among it.
    """
    if isinstance(model, Location):
        return Source(model.name, model.name, model)
    if isinstance(model, Mapping):
        name = str(model.get("model_type", ""))
        return Source(name, name, given=model)
    if not isinstance(model, str | Path):
        raise LabError(
            t(f"{model!r:.60} is not a model.", f"{model!r:.60} 不是模型。"),
            t(
                "Give a catalogue name, a path or a configuration.",
                "请给出目录中的名称、路径或配置。",
            ),
        )
    text = str(model)
    if text.startswith(("http://", "https://")):
        return Source(text, text, url=text)
    if text.startswith("pocket/"):
        folder = check_folder(pocket.folder(text))
        return Source(text, text, Location(text, folder, "folder", is_pocket=True))
    path = Path(os.path.expanduser(text))
    if path.suffix == ".gguf":
        return Source(path.stem, text, Location(text, check_gguf(path), "gguf"))
    if text and os.path.isdir(path):  # unlike Path's, false for a name too long to be one
        if file := only_gguf(path):
            return Source(file.stem, text, Location(text, file, "gguf"))
        return Source(path.name, text, Location(text, check_folder(path), "folder"))
    if path.suffix == ".json" and os.path.isfile(path):
        return Source(text, text, given=read_json_file(path))
    if found := _HUB_ID.fullmatch(text.removeprefix(_MODELSCOPE)):
        return _on_a_hub(text, found[1], found[2])
    if isinstance(model, Path) or os.path.exists(path) or text.startswith((".", "/", "~")):
        raise LabError(
            t(f"'{text}' is not a model.", f"'{text}' 不是模型。"),
            t(
                "Name a folder with a config.json, or a .gguf file.",
                "请指定一个含 config.json 的文件夹，或一个 .gguf 文件。",
            ),
        )
    return _from_catalogue(text)


def locate(model: str | Path | Location) -> Location:
    """Find a model's files by the name a person gave it, fetching them from the Hub if need be.

    Usage: ``locate("pocket/qwen2.5").path``

    model: as for :func:`resolve`. What is on this disk is used without the network: the Hub's
    cache, and the folder that LABKIT_BUNDLE names (``OWNER/NAME`` in its ``models``). Raises
    LabError with the way out.
    """
    return resolve(model).fetch()


def source_of(model: catalog.CatalogModel) -> Source:
    """A model of the catalogue, whatever else bears its name.

    Usage: ``source_of(find("Qwen2.5-7B")).native_context  # 32768``
    """
    return Source(model.name, model.name, entry=model, repository=model.huggingface)


# --- names ------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def _from_catalogue(name: str) -> Source:
    """Kept, with the architecture that was read: a picker asks for the same models many times."""
    try:
        entry = catalog.find(name)
    except LabError:
        raise _unknown(name) from None
    return Source(entry.name, name, entry=entry, repository=entry.huggingface)


def _is_catalogue_name(text: str) -> bool:
    if "/" in text or os.sep in text:
        return False
    try:
        return bool(catalog.find(text))
    except LabError:
        return False


def _unknown(name: str) -> LabError:
    """Pocket and catalogue names that look like it; upper and lower case do not matter."""
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


# --- repositories and addresses ---------------------------------------------------------------


def _on_a_hub(text: str, repository: str, quant: str | None) -> Source:
    """A repository; of a GGUF file that is here already, what the file itself says comes first."""
    try:
        entry = catalog.find(repository)
    except LabError:
        entry = None
    here = _on_this_disk(text, repository, quant) if quant or entry is None else None
    return Source(text, text, here, entry, repository, quant)


def _on_this_disk(name: str, repository: str, quant: str | None) -> Location | None:
    """From the class's bundle if it is in there, else from a Hub's cache."""
    if found := _in_bundle(name, repository, quant):
        return found
    from . import huggingface, modelscope

    near = name.startswith(_MODELSCOPE)
    path = (modelscope if near else huggingface).cached(repository, quant)
    return Location(name, path, "gguf" if quant else "folder") if path else None


def _in_bundle(name: str, repository: str, quant: str | None) -> Location | None:
    bundle = os.environ.get("LABKIT_BUNDLE")
    if not bundle:
        return None
    from .huggingface import has_quant

    folder = Path(bundle, "models", repository)
    if quant:
        files = sorted(path for path in folder.glob("*.gguf") if has_quant(path.name, quant))
        return Location(name, files[0], "gguf") if files else None
    return Location(name, folder, "folder") if (folder / "config.json").is_file() else None


def _from_repository(name: str, repository: str, quant: str | None) -> Location:
    if found := _in_bundle(name, repository, quant):
        return found
    from . import huggingface, modelscope

    near = name.startswith(_MODELSCOPE)
    path = (modelscope if near else huggingface).fetch_repository(repository, quant)
    return Location(name, path, "gguf" if quant else "folder")


def _from_url(url: str) -> Path:
    from ..core.cache import digest
    from .downloads import RemoteFile, fetch_files

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
