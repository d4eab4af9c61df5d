"""Variants of one model side by side: size, perplexity, divergence, exact match, speed, memory.

Every variant is measured in a fresh process, on the same held-out text (see
:mod:`~labkit.evaluation.metrics`), and what was measured is cached: the same table comes again in a
moment.
"""

import json
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from ..core.cache import cache_folder, digest, replacing
from ..core.i18n import t
from ..core.progress import Callback, show_progress
from ..core.tables import ShowsTable, Table
from ..core.units import show_bytes
from ..core.workers import run_apart
from ..engines import Engine
from ..gguf.conversion import weight_files
from ..gguf.files import gguf_for
from ..hub.resolver import Location, locate
from ..quantization.calibration import MEASURED_TOKENS, Text
from ..quantization.versions import Quantized, QuantizedFile, describe, quantize
from .metrics import measure

DEFAULT_FORMATS = (
    "F16", "Q8_0", "Q6_K", "Q5_0", "Q4_K_M", "Q4_0", "Q2_K",
    "gptq-8bit", "gptq-4bit", "autoround-4bit", "nf4", "int8",
)  # fmt: skip
"""What is compared unless told otherwise, from llama.cpp to Transformers, large to small."""

PACKAGES = ("torch", "transformers", "llama-cpp-python", "bitsandbytes", "auto-round")
"""Another version of these may give other figures; then everything is measured anew."""

MEASUREMENT_VERSION = 1
"""Part of every cached row's name; raise it when what is measured changes."""


@dataclass(frozen=True)
class Row:
    """One variant as measured. None: not measured (no reference, no pocket model) or not resolved.

    file_size: bytes. bits_per_weight: of the weights alone. perplexity_stderr: standard error.
    kl_mean, kl_p99: nats a token, mean and 99th percentile, to the model in full precision on the
    same engine. top1_agreement: share of tokens where both find the same one likeliest.
    exact_match: share of the corpus's questions answered word for word. peak_memory: bytes by
    which a fresh process grew; below 20 MB it cannot be told from Python's own.
    """

    format: str
    file_size: int
    bits_per_weight: float
    perplexity: float
    perplexity_stderr: float
    kl_mean: float | None
    kl_p99: float | None
    top1_agreement: float | None
    exact_match: float | None
    prompt_tokens_per_second: float
    tokens_per_second: float
    peak_memory: int | None


@dataclass(frozen=True, repr=False)
class Comparison(ShowsTable):
    """Rows in the order asked for, and the file or folder of each; shows itself as a table."""

    model: str
    rows: tuple[Row, ...]
    files: tuple[Path, ...]
    note: str = ""

    def __getitem__(self, form: str) -> Row:
        """The row of a format. Usage: ``comparison["Q4_0"].kl_mean``"""
        return next(row for row in self.rows if row.format == form)

    def table(self) -> Table:
        """As a person reads it. Usage: ``print(comparison.table())``"""
        header = (
            t("Format", "格式"), t("Size", "大小"), t("Bits/weight", "位/权重"),
            t("Perplexity", "困惑度"), t("KL mean", "KL 均值"), t("KL 99%", "KL 99%"),
            t("Same top token", "首选一致"), t("Exact match", "答对率"),
            t("Prompt tok/s", "读入 词元/秒"), t("Answer tok/s", "生成 词元/秒"),
            t("Memory", "内存"),
        )  # fmt: skip
        return Table(header, [_words(row) for row in self.rows], self.note)


@dataclass(frozen=True)
class _Variant:
    """What is to be measured, and by which engine."""

    file: QuantizedFile
    engine: Engine


@dataclass(frozen=True)
class _Settings:
    """What all variants share. source: a digest of the model whose chat format they are read in."""

    text: Text
    seed: int
    skills: bool
    source: str


def compare(
    model: str | Path | Quantized | Sequence[str | Path],
    formats: str | Sequence[str] | None = None,
    *,
    text: Text = None,
    seed: int = 0,
    callback: Callback | None = None,
) -> Comparison:
    """Measure variants of a model on the same held-out text, in one table.

    Usage::

        lab.compare("pocket/llama3", ["F16", "Q8_0", "Q4_0", "gptq-4bit", "nf4"])
        lab.compare(["a-Q4_0.gguf", "b-Q4_0.gguf"])      # files and folders as they are

    model: a model, whose formats are made first (:func:`~labkit.quantization.versions.quantize`;
    default DEFAULT_FORMATS); what ``lab.quantize`` gave; or several files and folders of one
    tokenizer, the first in full precision being what the others are compared with. text: to measure
    on, one or several; None takes answers of the corpus's held-out half, drawn by seed, in the
    model's own chat format. With a text, calibrated formats are still calibrated on the corpus
    unless they were made by ``lab.quantize(…, text=…)``: no text is measured that was calibrated
    on. callback: called as ``callback(done, total)`` after every variant.

    The same seed gives the same figures, speeds and memory aside. Raises LabError as
    :func:`~labkit.quantization.versions.quantize` does, for variants with different tokenizers
    (their perplexities cannot be compared), and for a text too short to measure. Not covered: other
    languages and tasks than the text's; what a format does there may differ.
    """
    if isinstance(model, str | Path):
        model = quantize(model, formats or DEFAULT_FORMATS, seed=seed)
    if isinstance(model, Quantized):
        location = locate(model.model)
        name, note, pocket = model.model, model.note, location.is_pocket
        variants = [_Variant(row, _engine(row.path)) for row in model.rows]
        references = {e: _full_precision(location, e) for e in {v.engine for v in variants}}
        source = _files(location.path)
    else:
        places = [locate(one) for one in model]
        name, note = ", ".join(place.name for place in places), _notes(places)
        pocket = all(place.is_pocket for place in places)
        variants = [_as_it_is(place) for place in places]
        references = _first_in_full_precision(variants)
        source = _files(variants[0].file.path)
    settings = _Settings(text, seed, pocket, digest("", source))
    found = _measure(variants, references, settings, callback)
    rows = [_row(v.file, measured) for v, measured in zip(variants, found, strict=True)]
    note = "\n".join(filter(None, [note, _explanation()]))
    return Comparison(name, tuple(rows), tuple(v.file.path for v in variants), note)


def _engine(path: Path) -> Engine:
    return "llama.cpp" if path.suffix == ".gguf" else "transformers"


def _as_it_is(place: Location) -> _Variant:
    """A file or folder under its own name."""
    name = place.path.stem if place.kind == "gguf" else place.name.rpartition("/")[2]
    return _Variant(describe(name, place.path), _engine(place.path))


def _full_precision(location: Location, engine: Engine) -> _Variant:
    """What the variants of a model are compared with on one engine."""
    path = location.path
    if engine == "llama.cpp" and location.kind == "folder":
        path = gguf_for(path, "F16")
    return _Variant(describe("F16" if engine == "llama.cpp" else "fp16", path), engine)


def _first_in_full_precision(variants: Iterable[_Variant]) -> dict[Engine, _Variant]:
    """For each engine the first variant that is not quantized, where there is one."""
    found: dict[Engine, _Variant] = {}
    for variant in variants:
        if variant.file.bits_per_weight >= 15:
            found.setdefault(variant.engine, variant)
    return found


def _files(path: Path) -> list[Path]:
    """The files of a variant that its figures depend on."""
    if path.suffix == ".gguf":
        return [path]
    return [*weight_files(path), *sorted(path.glob("*.json")), *sorted(path.glob("*.jinja"))]


def _kept(variant: _Variant, reference: _Variant | None, settings: _Settings) -> Path:
    """Where the figures of a variant are cached."""
    against = digest("", _files(reference.file.path)) if reference else None
    made_by = [MEASUREMENT_VERSION, MEASURED_TOKENS, variant.engine, against, _versions()]
    key = digest(json.dumps([*made_by, *astuple(settings)]), _files(variant.file.path))
    return cache_folder() / "evaluation" / f"{variant.file.path.stem}-{key}.json"


def _measure(
    variants: Sequence[_Variant],
    references: dict[Engine, _Variant],
    settings: _Settings,
    callback: Callback | None,
) -> list[dict[str, Any]]:
    """What was measured of each variant: what is cached, and the rest measured now."""
    places = [_kept(v, references.get(v.engine), settings) for v in variants]
    found = [json.loads(p.read_text("utf-8")) if p.exists() else None for p in places]
    # What one has settled, the text and its tokens, holds for the others.
    shared = next((_settled(one) for one in found if one is not None), {})

    def run(variant: _Variant, **more: Any) -> dict[str, Any]:
        own = {"text": settings.text, "seed": settings.seed, "skills": settings.skills}
        job = own | shared | more | {"path": str(variant.file.path), "engine": variant.engine}
        measured = run_apart(measure, job, small=settings.skills)
        shared.update(_settled(measured))
        return dict(measured)

    with (
        tempfile.TemporaryDirectory(dir=cache_folder()) as scratch,
        show_progress(len(variants), t("measuring", "测量"), callback=callback) as bar,
    ):
        bar.advance(sum(one is not None for one in found))
        missing = [number for number, one in enumerate(found) if one is None]
        for engine in dict.fromkeys(variants[number].engine for number in missing):
            reference, against = references.get(engine), None
            if reference is not None:
                bar.note(reference.file.format)
                against = str(Path(scratch) / f"{engine}.npy")
                whole = run(reference, write=against)
            for number in missing:
                variant = variants[number]
                if variant.engine == engine:
                    bar.note(variant.file.format)
                    same = reference and reference.file.path == variant.file.path
                    found[number] = whole if same else run(variant, reference=against)
                    with replacing(places[number], 4096) as part:
                        part.write_text(json.dumps(found[number]), encoding="utf-8")
                    bar.advance()
    return [one for one in found if one is not None]


def _settled(measured: dict[str, Any]) -> dict[str, Any]:
    return {name: measured[name] for name in ("passages", "tokens")}


def _row(file: QuantizedFile, measured: dict[str, Any]) -> Row:
    names = [field.name for field in fields(Row)][3:]
    figures: dict[str, Any] = {name: measured.get(name) for name in names}
    return Row(file.format, file.file_size, file.bits_per_weight, **figures)


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


# --- for a reader -----------------------------------------------------------------------------


def _words(row: Row) -> tuple[str, ...]:
    def share(value: float | None) -> str:
        return "" if value is None else f"{value:.1%}"

    def nats(value: float | None) -> str:
        return "" if value is None else f"{value:.2g}"

    memory = t("not resolved", "分辨不出") if row.peak_memory is None else ""
    return (
        row.format,
        show_bytes(row.file_size),
        f"{row.bits_per_weight:.2f}",
        f"{row.perplexity:.4f} ± {row.perplexity_stderr:.4f}",
        nats(row.kl_mean),
        nats(row.kl_p99),
        share(row.top1_agreement),
        share(row.exact_match),
        f"{row.prompt_tokens_per_second:,.0f}",
        f"{row.tokens_per_second:,.0f}",
        memory or show_bytes(row.peak_memory or 0),
    )


def _notes(places: Sequence[Location]) -> str:
    return "\n".join(dict.fromkeys(place.note for place in places if place.note))


def _explanation() -> str:
    return t(
        "KL is measured against the same model in full precision on the same engine.",
        "KL 以同一引擎上的全精度模型为基准。",
    )
