"""The catalogue: families, models and licenses, read from ``labkit/data/*.toml``.

Usage: ``find("Qwen2.5-7B").context``; ``[m.name for m in models() if m.course]``

Every fact in the data carries its source and the day it was read; a field listed in ``unverified``
comes from memory and is to be shown as such. Files are parsed on first use and kept; the full check
of all of them is :func:`validate`.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from .errors import LabError
from .i18n import t

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Text:
    """A phrase in both languages; ``str()`` gives the reader's."""

    en: str
    zh: str

    def __str__(self) -> str:
        return t(self.en, self.zh)


@dataclass(frozen=True)
class Family:
    """A line of models by one maker. lesson: the number of the lesson that explains it."""

    key: str
    name: Text
    maker: Text
    country: str
    lesson: str | None = None


@dataclass(frozen=True)
class Model:
    """One model of the catalogue.

    parameters, active_parameters: exact counts of the text model, each tensor once; for experts,
    active counts those one token passes through, embeddings and output included.
    context: tokens its maker says it is good for. config: the architecture in the words of its own
    config.json on Hugging Face. release_date: ISO, to the day or to the month.
    """

    name: str
    family: str
    series: str
    release_date: str
    parameters: int
    active_parameters: int
    context: int
    languages: tuple[str, ...]
    license: str
    huggingface: str
    verification: str
    as_of: str
    config: Mapping[str, Any]
    sources: Mapping[str, str]
    course: bool = False
    specialty: str = "general"
    base: str | None = None
    superseded_by: str | None = None
    modelscope: str | None = None
    gguf: tuple[str, ...] = ()
    unverified: tuple[str, ...] = field(default=())

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers; ChatGLM's config calls them ``num_layers``."""
        return self.config.get("num_hidden_layers") or self.config["num_layers"]

    @property
    def num_key_value_heads(self) -> int:
        """Key/value heads; ChatGLM's config calls them ``multi_query_group_num``."""
        return self.config.get("num_key_value_heads") or self.config["multi_query_group_num"]

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding; ChatGLM's config calls it ``padded_vocab_size``."""
        return self.config.get("vocab_size") or self.config["padded_vocab_size"]


def _read(path: str) -> dict[str, Any]:
    return tomllib.loads((DATA / path).read_text(encoding="utf-8"))


def _text(raw: Mapping[str, str]) -> Text:
    return Text(raw["en"], raw["zh"])


@cache
def families() -> tuple[Family, ...]:
    """All families, in the order of the lessons.

    Usage: ``{f.key: str(f.maker) for f in families()}``
    """
    return tuple(
        Family(**row | {"name": _text(row["name"]), "maker": _text(row["maker"])})
        for row in _read("families.toml")["family"]
    )


@cache
def models() -> tuple[Model, ...]:
    """All models: families in the order of the lessons, in a family by date.

    Usage: ``[m.name for m in models() if m.course]``
    """
    rows = [row for f in families() for row in _read(f"models/{f.key}.toml")["model"]]
    frozen: list[dict[str, Any]] = [
        {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows
    ]
    return tuple(Model(**row) for row in frozen)


def find(name: str) -> Model:
    """The model of that catalogue name or Hugging Face id; upper and lower case do not matter.

    Usage: ``find("qwen2.5-7b")``. Raises LabError with the nearest names for any other.
    """
    known = {m.huggingface.lower(): m for m in models()} | {m.name.lower(): m for m in models()}
    if name.lower() in known:
        return known[name.lower()]
    near = difflib.get_close_matches(name.lower(), known, n=3)
    names = ", ".join(dict.fromkeys(f"'{known[key].name}'" for key in near))
    raise LabError(
        t(f"Model '{name}' is not in the catalogue.", f"目录里没有模型 '{name}'。"),
        t(f"Did you mean {names}?", f"你是不是想找 {names}？")
        if names
        else t("List them with: labkit models", "用 labkit models 可列出全部模型。"),
    )
