"""What a line of each data file holds: models, families, licences, scores, prices, hardware.

What the fields mean stands in ``labkit/data/README.md``, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from ..core.i18n import t


@dataclass(frozen=True)
class Text:
    """A phrase in both languages; ``str()`` gives the reader's."""

    en: str
    zh: str

    def __str__(self) -> str:
        return t(self.en, self.zh)


class DataRow:
    """A line of a data file; :func:`validate` refuses fields that are not declared."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "strict": True}


@dataclass(frozen=True)
class Family(DataRow):
    """A line of models by one maker. lesson: topic of the one that explains it."""

    key: str
    name: Text
    maker: Text
    country: str
    lesson: str | None = None


@dataclass(frozen=True)
class License(DataRow):
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
class CatalogModel(DataRow):
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
    native_dtype: Literal["bf16", "fp8", "int4", "mxfp4"] = "bf16"
    chat: str | None = None
    modelscope: str | None = None
    gguf: tuple[str, ...] = ()
    unverified: tuple[str, ...] = ()

    @property
    def num_hidden_layers(self) -> int:
        """Number of layers; ChatGLM's config calls them ``num_layers``."""
        found: int = self.config.get("num_hidden_layers") or self.config["num_layers"]
        return found

    @property
    def num_key_value_heads(self) -> int:
        """Key/value heads; ChatGLM's config calls them ``multi_query_group_num``."""
        found: int = self.config.get("num_key_value_heads") or self.config["multi_query_group_num"]
        return found

    @property
    def vocab_size(self) -> int:
        """Rows of the embedding; ChatGLM's config calls it ``padded_vocab_size``."""
        found: int = self.config.get("vocab_size") or self.config["padded_vocab_size"]
        return found


@dataclass(frozen=True)
class Derived(DataRow):
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
class BenchmarkScore(DataRow):
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
class Price(DataRow):
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
class Rental(DataRow):
    """What an hour of one device costs in US dollars."""

    usd_per_hour: float
    provider: str | None = None
    as_of: str | None = None
    source: str | None = None
    unverified: bool = False


@dataclass(frozen=True)
class Device(DataRow):
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
