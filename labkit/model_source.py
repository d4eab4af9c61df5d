"""From what a person names — a catalogue name, a path, a configuration — to an architecture."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .architecture import Architecture, read_architecture
from .catalog import Model, find
from .errors import LabError
from .gguf_config import config_of
from .gguf_inspection import Contents, inspect_gguf
from .i18n import t

POCKET = Path(__file__).parent / "pocket" / "weights"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model whose architecture is known.

    contents: of the GGUF file, where one was named. context: what its maker says it is good for,
    where that differs from ``max_position_embeddings``; 0 where nothing is said. native_context:
    beyond it YaRN must be switched on; 0 where nothing is known of that.
    """

    name: str
    architecture: Architecture
    contents: Contents | None = None
    context: int = 0
    native_context: int = 0


def source_of(model: Model) -> Source:
    """A model of the catalogue, whose architecture is read.

    Usage: ``source_of(find("Qwen2.5-7B")).native_context  # 32768``
    """
    a = read_architecture(model.config)
    return Source(model.name, a, context=model.context, native_context=model.native_context or 0)


def find_source(model: str | Path | Mapping[str, Any]) -> Source:
    """The architecture of a model.

    Usage: ``find_source("Qwen2.5-7B")``, ``find_source("pocket/llama3")``,
    ``find_source("dir-or-file")``, ``find_source({"model_type": "llama", …})``. A path may be a
    directory with a config.json or a .gguf, a config.json, or a .gguf. Raises LabError for a
    model that is not known and a file that cannot be read.
    """
    if isinstance(model, Mapping):
        return Source(str(model.get("model_type", "")), read_architecture(model))
    if not isinstance(model, str | Path):
        raise LabError(
            t(f"{model!r:.60} is not a model.", f"{model!r:.60} 不是模型。"),
            t(
                "Give a catalogue name, a path or a configuration.",
                "请给出目录中的名称、路径或配置。",
            ),
        )
    if isinstance(model, str) and model.startswith("pocket/"):
        folder = POCKET / model.removeprefix("pocket/")
        if (folder / "config.json").is_file():
            return _from_file(model, folder / "config.json")
    path = Path(model).expanduser()
    if path.exists():
        return _from_path(path)
    if isinstance(model, Path) or path.suffix in (".gguf", ".json"):
        raise LabError(
            t(f"There is no file '{model}'.", f"找不到文件 '{model}'。"),
            t("Check the path.", "请检查路径。"),
        )
    return _from_catalogue(model)


@lru_cache(maxsize=1024)
def _from_catalogue(name: str) -> Source:
    return source_of(find(name))


def _from_path(path: Path) -> Source:
    if path.is_dir():
        if (path / "config.json").is_file():
            return _from_file(path.name, path / "config.json")
        files = sorted(path.glob("*.gguf"))
        if len(files) != 1:
            raise LabError(
                t(
                    f"The directory '{path}' has no config.json and {len(files)} .gguf files.",
                    f"目录 '{path}' 中没有 config.json，.gguf 文件有 {len(files)} 个。",
                ),
                t("Name the file itself.", "请直接给出文件路径。"),
            )
        path = files[0]
    return _from_file(path.stem if path.suffix == ".gguf" else str(path), path)


def _from_file(name: str, path: Path) -> Source:
    if path.suffix == ".gguf":
        contents = inspect_gguf(path)
        return Source(name, read_architecture(config_of(contents)), contents)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise LabError(
            t(f"'{path}' cannot be read: {error}", f"无法读取 '{path}'：{error}"),
            t("It should be a config.json or a .gguf.", "它应当是 config.json 或 .gguf 文件。"),
        ) from error
    if not isinstance(config, dict):
        raise LabError(
            t(f"'{path}' holds no configuration.", f"'{path}' 中没有配置。"),
            t("It should be a config.json.", "它应当是 config.json。"),
        )
    return Source(name, read_architecture(config))
