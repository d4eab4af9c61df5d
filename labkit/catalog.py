"""The catalogue: models, families, licences, scores, prices and hardware from ``labkit/data``.

Usage: ``find("Qwen2.5-7B").context``; ``[m.name for m in models() if m.course]``

Every fact carries its source and the day it was read; a field named in ``unverified`` comes from
memory and must be shown as such. A file is parsed when it is first asked for, and kept; the full
check of all of them is :func:`validate`. What the fields mean stands in ``labkit/data/README.md``.
"""

import difflib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

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


class Row:
    """A line of a data file; :func:`validate` refuses fields that are not declared."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}


R = TypeVar("R", bound=Row)


@dataclass(frozen=True)
class Family(Row):
    """A line of models by one maker. lesson: the number of the lesson that explains it."""

    key: str
    name: Text
    maker: Text
    country: str
    lesson: str | None = None


@dataclass(frozen=True)
class License(Row):
    """On what terms weights may be used; our reading, not legal advice.

    user_limit: monthly active users, revenue_limit: US dollars a month, above which more is asked.
    """

    key: str
    name: str
    commercial: Literal["yes", "conditions", "no"]
    conditions: Text
    link: str
    source: str
    as_of: str
    user_limit: int | None = None
    revenue_limit: int | None = None
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model(Row):
    """One model.

    parameters, active_parameters: exact counts of the text model, each tensor once; active are
    those one token passes through, embeddings and output included. context: tokens, of the chat
    model; native_context: beyond it YaRN must be switched on. config: in the words of its own
    config.json. chat: id of the chat model made from it; None where ``huggingface`` is that itself,
    or where base_only: it continues texts. thinking: whether it reasons before it answers, always
    or on demand; None: no, or not known. superseded_by: today's model in its place, if any.
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
    verification: Literal["verified", "config", "unverified"]
    as_of: str
    config: Mapping[str, Any]
    sources: Mapping[str, str]
    course: bool = False
    specialty: Literal["general", "code", "math"] = "general"
    base: str | None = None
    superseded_by: str | None = None
    vision: bool = False
    native_context: int | None = None
    base_only: bool = False
    thinking: Literal["always", "hybrid"] | None = None
    native_dtype: Literal["bf16", "fp8", "mxfp4"] = "bf16"
    chat: str | None = None
    modelscope: str | None = None
    gguf: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

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


@dataclass(frozen=True)
class Derived(Row):
    """A model made from another for a field of work; its architecture is that of its base."""

    name: str
    base: str
    family: str
    field: Literal["medicine", "law", "finance", "math"]
    method: Text
    languages: tuple[str, ...]
    release_date: str
    link: str
    source: str
    as_of: str
    license: str | None = None
    commercial: Literal["yes", "conditions", "no"] | None = None
    huggingface: str | None = None
    unverified: tuple[str, ...] = ()


@dataclass(frozen=True)
class Score(Row):
    """A published benchmark score in per cent; comparable only within one source and protocol."""

    model: str
    variant: Literal["base", "chat", "rl"]
    benchmark: str
    score: float
    as_of: str
    source: str | None = None
    protocol: str | None = None
    unverified: bool = False


@dataclass(frozen=True)
class Price(Row):
    """What a hosted model costs: input, output and cached input in US dollars a million tokens."""

    provider: str
    model: str
    input: float
    output: float
    as_of: str
    source: str
    cached_input: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class Rental(Row):
    """What an hour of one device costs in US dollars."""

    usd_per_hour: float
    provider: str | None = None
    as_of: str | None = None
    source: str | None = None
    unverified: bool = False


@dataclass(frozen=True)
class Device(Row):
    """A GPU, an Apple chip, a small board or a processor; the maker's peaks, in units of 10⁹.

    unified: memory shared with the processor; memory_gb is then the largest one can buy.
    fp16_tflops: where a GPU has no bf16.
    """

    name: str
    kind: Literal["gpu", "apple", "board", "cpu"]
    as_of: str
    memory_gb: int | None = None
    unified: bool = False
    bandwidth_gbps: float | None = None
    bf16_tflops: float | None = None
    fp16_tflops: float | None = None
    watts: int | None = None
    source: str | None = None
    rentals: tuple[Rental, ...] = ()
    unverified: tuple[str, ...] = ()


FILES: dict[type[Row], tuple[str, str]] = {
    Family: ("families.toml", "family"),
    License: ("licenses.toml", "license"),
    Model: ("models/*.toml", "model"),
    Derived: ("derived.toml", "derived"),
    Score: ("benchmarks.toml", "table"),
    Price: ("prices.toml", "price"),
    Device: ("hardware.toml", "device"),
}
"""Class to the files that hold its lines, and the name of their table."""


def _rows(kind: type[Row]) -> Iterator[dict[str, Any]]:
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
    return tuple(kind(**{k: _frozen(v) for k, v in row.items()}) for row in _rows(kind))


@cache
def families() -> tuple[Family, ...]:
    """All families: those of the course in the order of its lessons, then the others.

    Usage: ``{f.key: str(f.maker) for f in families()}``
    """
    return _make(Family)


@cache
def models() -> tuple[Model, ...]:
    """All models: families in their order, in a family by date and size.

    Usage: ``[m.name for m in models() if m.course]``
    """
    place = {family.key: i for i, family in enumerate(families())}
    return tuple(sorted(_make(Model), key=lambda model: place.get(model.family, len(place))))


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
def scores() -> tuple[Score, ...]:
    """Published scores, closed models for comparison among them.

    Usage: ``[s for s in scores() if s.model == "Qwen2.5-7B"]``
    """
    return _make(Score)


@cache
def prices() -> tuple[Price, ...]:
    """Prices of hosted models. Usage: ``min(prices(), key=lambda p: p.output)``"""
    return _make(Price)


@cache
def devices() -> tuple[Device, ...]:
    """Hardware. Usage: ``{d.name: d.watts for d in devices()}``"""
    return _make(Device)


@cache
def _by_name() -> Mapping[str, Model]:
    known: dict[str, Model] = {}
    for m in models():
        for name in filter(None, (m.huggingface, m.chat, m.modelscope, *m.gguf)):
            known |= {name.lower(): m, name.rpartition("/")[2].lower(): m}
    return known | {m.name.lower(): m for m in models()}


def find(name: str) -> Model:
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


def heir(model: Model) -> Model:
    """Today's model in the place of this one: itself, or the end of its ``superseded_by``.

    Usage: ``heir(find("Llama-2-7B")).name  # "Llama-3.1-8B"``
    """
    while model.superseded_by:
        model = find(model.superseded_by)
    return model


def terms(model: Model) -> tuple[License, ...]:
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


def validate() -> list[str]:
    """Check every line of every file: the faults found, in words; none if all is well.

    Usage: ``assert not validate()``. pydantic checks fields, types and words; by hand are checked
    names that point at other entries, ISO dates, and that every fact has a source.
    """
    from pydantic import TypeAdapter, ValidationError

    faults = []
    for kind in FILES:
        adapter = TypeAdapter(kind)
        for row in _rows(kind):
            try:
                adapter.validate_json(json.dumps(row))
            except ValidationError as error:
                name = row.get("name") or row.get("key") or row.get("model")
                faults += [f"{kind.__name__} {name}: {e['loc']} {e['msg']}" for e in error.errors()]
    return faults or [*_dangling(), *_unsourced()]


def _dangling() -> Iterator[str]:
    names, keys = {m.name for m in models()}, {f.key for f in families()}
    rows: tuple[Model | Derived, ...] = (*models(), *derived_models())
    for row in rows:
        if row.family not in keys:
            yield f"{row.name}: the family '{row.family}' is not listed"
        if row.license not in (None, *licenses()):
            yield f"{row.name}: the license '{row.license}' is not listed"
    for m in models():
        if m.superseded_by not in (None, *names):
            yield f"{m.name}: its heir '{m.superseded_by}' is not listed"


def _unsourced() -> Iterator[str]:
    for m in models():
        for fact in ("config", "parameters", "license", "release_date", "languages"):
            if not m.sources.get(fact) and fact not in m.unverified:
                yield f"{m.name}: '{fact}' has no source and is not marked unverified"
    dated = [(p.model, p.as_of, p.as_of) for p in prices()]
    for name, *dates in [*dated, *((m.name, m.as_of, m.release_date) for m in models())]:
        if not all(re.fullmatch(r"20\d\d-\d\d(-\d\d)?", date) for date in dates):
            yield f"{name}: {dates} are not ISO dates"
