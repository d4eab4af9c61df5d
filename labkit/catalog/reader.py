"""The catalogue, read: models, families, licences, scores, prices and hardware of ``labkit/data``.

Usage: ``find("Qwen2.5-7B").context``; ``[m.name for m in models() if m.course]``

Every fact carries its source and the day it was read; a field named in ``unverified`` comes from
memory and must be shown as such. A file is parsed when it is first asked for, and cached.
"""

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from ..core.errors import LabError
from ..core.i18n import t
from .schema import (
    BenchmarkScore,
    CatalogModel,
    DataRow,
    Derived,
    Device,
    Family,
    License,
    Price,
    Rental,
    Text,
)

DATA = Path(__file__).parents[1] / "data"

R = TypeVar("R", bound=DataRow)

FILES: dict[type[DataRow], tuple[str, str]] = {
    Family: ("families.toml", "family"),
    License: ("licenses.toml", "license"),
    CatalogModel: ("models/*.toml", "model"),
    Derived: ("derived.toml", "derived"),
    BenchmarkScore: ("benchmarks.toml", "table"),
    Price: ("prices.toml", "price"),
    Device: ("hardware.toml", "device"),
}
"""Class to the files that hold its lines, and the name of their table."""


def read_rows(kind: type[DataRow]) -> Iterator[dict[str, Any]]:
    """The lines of one kind; what stands above them holds for each, as ``as_of`` does."""
    pattern, table = FILES[kind]
    for path in sorted(DATA.glob(pattern)):
        head = tomllib.loads(path.read_text(encoding="utf-8"))
        for row in head.pop(table):
            for part in row.pop("scores", [{}]):
                yield head | row | part


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(Rental(**v) if isinstance(v, dict) else v for v in value)
    if not isinstance(value, dict):
        return value
    if value.keys() == {"en", "zh"}:
        return Text(**value)
    return {k: None if v == "null" else v for k, v in value.items()}  # TOML has no null


def _make(kind: type[R]) -> tuple[R, ...]:
    return tuple(kind(**{k: _frozen(v) for k, v in row.items()}) for row in read_rows(kind))


@cache
def families() -> tuple[Family, ...]:
    """All families: those with a lesson of the course first.

    Usage: ``{f.key: str(f.maker) for f in families()}``
    """
    return _make(Family)


@cache
def models() -> tuple[CatalogModel, ...]:
    """All models: families in their order, in a family by date and size.

    Usage: ``[m.name for m in models() if m.course]``
    """
    place = {family.key: i for i, family in enumerate(families())}
    return tuple(sorted(_make(CatalogModel), key=lambda model: place.get(model.family, len(place))))


@cache
def licenses() -> Mapping[str, License]:
    """Licences by key. Usage: ``licenses()[find("Qwen2.5-3B").license].commercial  # "no"``"""
    return {row.key: row for row in _make(License)}


@cache
def derived_models() -> tuple[Derived, ...]:
    """Models made from others for medicine, law, finance and mathematics.

    Usage: ``[d.name for d in derived_models() if d.base == "Llama-2-7B"]``
    """
    return _make(Derived)


@cache
def scores() -> tuple[BenchmarkScore, ...]:
    """Published scores, closed models for comparison among them.

    Usage: ``[s for s in scores() if s.model == "Qwen2.5-7B"]``
    """
    return _make(BenchmarkScore)


@cache
def prices() -> tuple[Price, ...]:
    """Prices of hosted models. Usage: ``min(prices(), key=lambda p: p.output)``"""
    return _make(Price)


@cache
def devices() -> tuple[Device, ...]:
    """Hardware. Usage: ``{d.name: d.watts for d in devices()}``"""
    return _make(Device)


@cache
def _by_name() -> Mapping[str, CatalogModel]:
    known: dict[str, CatalogModel] = {}
    for m in models():
        for name in filter(None, (m.huggingface, m.chat, m.modelscope, *m.gguf)):
            known |= {name.lower(): m, name.rpartition("/")[2].lower(): m}
    return known | {m.name.lower(): m for m in models()}


def find(name: str) -> CatalogModel:
    """The model of that name; upper and lower case do not matter.

    Usage: ``find("qwen2.5-7b")``, ``find("Qwen/Qwen2.5-7B-Instruct")``. Its names on Hugging Face
    (base, chat and GGUF) and ModelScope will do. Raises LabError with the nearest for any other.
    """
    if name.lower() in _by_name():
        return _by_name()[name.lower()]
    names = {m.name.lower(): m.name for m in models()}
    near = difflib.get_close_matches(name.rpartition("/")[2].lower(), names, n=3)
    listed = ", ".join(f"'{names[key]}'" for key in near)
    raise LabError(
        t(f"Model '{name}' is not in the catalogue.", f"目录里没有模型 '{name}'。"),
        t(f"Did you mean {listed}?", f"你是不是想找 {listed}？")
        if near
        else t("List them with: labkit models", "用 labkit models 可列出全部模型。"),
    )


def successor(model: CatalogModel) -> CatalogModel:
    """Today's model in the place of this one: itself, or the end of its ``superseded_by``.

    Usage: ``successor(find("Llama-2-7B")).name  # "Llama-3.1-8B"``
    """
    while model.superseded_by:
        model = find(model.superseded_by)
    return model


def terms(model: CatalogModel) -> tuple[License, ...]:
    """The licences that hold for a model: its own, and that of a base in the catalogue.

    Usage: ``all(row.commercial != "no" for row in terms(find("Qwen2.5-3B")))``
    """
    bases = (m.license for m in models() if m.name == model.base)
    return tuple(licenses()[key] for key in dict.fromkeys([model.license, *bases]))


def not_legal_advice() -> str:
    """The sentence to show wherever a licence is shown."""
    return t(
        "Our short reading of the licence, not legal advice; read its text before you rely on it.",
        "以上是我们对许可证的简要理解，不构成法律意见；使用前请阅读原文。",
    )
