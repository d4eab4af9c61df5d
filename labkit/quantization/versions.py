"""Smaller versions of a model, by every tool: llama.cpp, our GPTQ, auto-round, bitsandbytes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from ..architecture.config_file import read_json_config
from ..architecture.layers import read_architecture
from ..core.errors import LabError
from ..core.i18n import t
from ..core.progress import Callback, show_progress
from ..core.tables import ShowsTable, Table
from ..core.units import bits_per_weight, show_bytes
from ..estimation.transformers_weights import loaded_weights
from ..gguf.conversion import weight_files
from ..gguf.files import FORMATS as GGUF_FORMATS
from ..gguf.files import gguf_for
from ..gguf.reader import inspect_gguf
from ..hub.resolver import Location, locate
from . import transformers_checkpoints
from .calibration import Text
from .imatrix import SUFFIX, imatrix_gguf_for
from .transformers_checkpoints import checkpoint_for, refuse_quantized

FORMATS = (
    *GGUF_FORMATS,
    *(f"{name}{SUFFIX}" for name in GGUF_FORMATS[3:]),
    *transformers_checkpoints.FORMATS,
)
"""All that can be made: for llama.cpp, the same with an importance matrix, and for Transformers."""


@dataclass(frozen=True)
class QuantizedFile:
    """One version of a model: a GGUF file, or a folder that Transformers loads.

    file_size: bytes, of a folder those of its weight files. bits_per_weight: of the weights alone.
    """

    format: str
    path: Path
    file_size: int
    bits_per_weight: float


@dataclass(frozen=True, repr=False)
class Quantized(ShowsTable):
    """The versions of one model; shows itself as a table. note: what must be said beside it."""

    model: str
    rows: tuple[QuantizedFile, ...]
    note: str = ""

    def table(self) -> Table:
        """As a person reads it: size in MiB or GiB, the file by its name alone."""
        header = (
            t("Format", "格式"),
            t("Size", "大小"),
            t("Bits per weight", "每权重位数"),
            self.model,
        )
        rows = [
            (row.format, show_bytes(row.file_size), f"{row.bits_per_weight:.2f}", row.path.name)
            for row in self.rows
        ]
        return Table(header, rows, self.note)


def quantize(
    model: str | Path,
    formats: str | Sequence[str],
    *,
    text: Text = None,
    seed: int = 0,
    callback: Callback | None = None,
) -> Quantized:
    """Make smaller versions of a model in the formats asked for, or find them in the cache.

    Usage: ``lab.quantize("pocket/llama3", ["Q4_0", "Q8_0", "gptq-4bit", "nf4"])``

    model: a pocket name, a Hugging Face folder, a Hub id or, for GGUF formats, a .gguf file in
    F32, F16 or BF16. formats: of FORMATS, upper and lower case alike. text: what importance
    matrices, GPTQ and auto-round are calibrated on; None takes conversations of the corpus, drawn
    by seed. callback: called as ``callback(done, total)`` after every format.

    Rows come in the order asked for, each format once. An interrupt leaves no half file. Raises
    LabError for an unknown format (before anything is made), an unknown model, one that is
    quantized already, a missing package, a text that is too short, and a full disk.
    """
    wanted = read_formats(formats)
    location = locate(model)
    rows = []
    title = t("quantizing", "量化")
    with show_progress(len(wanted), title, callback=callback) as bar:
        for form in wanted:
            bar.note(form)
            rows.append(describe(form, _make(location, form, text, seed), location))
            bar.advance()
    return Quantized(str(model), tuple(rows), location.note)


def read_formats(formats: str | Sequence[str]) -> list[str]:
    """Formats as they are spelled here, each once.

    Usage: ``read_formats(["q4_k_m", "NF4"])  # ["Q4_K_M", "nf4"]``. Raises LabError for none, and
    for an unknown one with the nearest.
    """
    asked = [formats] if isinstance(formats, str) else formats
    spelled = {name.lower(): name for name in FORMATS}
    for name in asked:
        if name.lower() not in spelled:
            raise _unknown(name)
    if not asked:
        raise LabError(
            t("No format was named.", "没有指定任何格式。"),
            t(f"Choose from: {_known()}.", f"可选：{_known()}。"),
        )
    return list(dict.fromkeys(spelled[name.lower()] for name in asked))


def describe(form: str, path: Path, original: Location | None = None) -> QuantizedFile:
    """What a GGUF file or a folder takes. original: where weights are counted for a folder.

    Usage: ``describe("Q4_0", path).bits_per_weight``
    """
    if path.suffix == ".gguf":
        file = inspect_gguf(path)
        size, tensors, parameters = file.file_size, file.tensor_bytes, file.parameters
    else:
        size, tensors, parameters = _folder_size(path)
        if original is not None:
            parameters = _folder_size(original.path)[2]
        elif "quantization_config" in (config := read_json_config(path)):
            parameters = loaded_weights(read_architecture(config), "fp16") // 2  # not of codes
    return QuantizedFile(form, path, size, bits_per_weight(tensors, parameters))


def _make(location: Location, form: str, text: Text, seed: int) -> Path:
    if form in transformers_checkpoints.FORMATS:
        return checkpoint_for(location, form, text=text, seed=seed)
    if location.kind == "folder":
        refuse_quantized(location)
    if form.endswith(SUFFIX):
        return imatrix_gguf_for(location, form.removesuffix(SUFFIX), text=text, seed=seed)
    config = location.config if location.kind == "folder" else None
    return gguf_for(location.path, form, config=config)


def _folder_size(folder: Path) -> tuple[int, int, int]:
    """Bytes of the weight files, of the tensors in them, and how many numbers those hold."""
    files = tensors = numbers = 0
    for path in weight_files(folder):
        files += path.stat().st_size
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        header.pop("__metadata__", None)
        tensors += sum(end - start for start, end in (x["data_offsets"] for x in header.values()))
        numbers += sum(prod(x["shape"]) for x in header.values())
    return files, tensors, numbers


def _known() -> str:
    gguf, others = ", ".join(GGUF_FORMATS), ", ".join(transformers_checkpoints.FORMATS)
    return f"{gguf} (+ '{SUFFIX}'), {others}"


def _unknown(name: str) -> LabError:
    import difflib

    spelled = {known.lower(): known for known in FORMATS}
    near = spelled[difflib.get_close_matches(name.lower(), spelled, 1, 0)[0]]
    return LabError(
        t(f"The format '{name}' is not known.", f"没有名为 '{name}' 的格式。"),
        t(f"Did you mean '{near}'? Known: {_known()}.", f"是不是 '{near}'？可用：{_known()}。"),
    )
