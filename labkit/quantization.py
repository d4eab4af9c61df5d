"""Smaller files of a model, by the tools that people use: GGUF formats by llama.cpp."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import LabError
from .gguf_files import FORMATS, gguf_for, inspect_gguf, read_format
from .hub import locate
from .i18n import t
from .tables import Table
from .units import bits_per_weight, show_bytes


@dataclass(frozen=True)
class QuantizedFile:
    """One file. file_size: bytes, vocabulary included. bits_per_weight: of the weights alone."""

    format: str
    path: Path
    file_size: int
    bits_per_weight: float


@dataclass(frozen=True)
class Quantized:
    """The files of one model; shows itself as a table. note: what must be said beside it."""

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

    def __str__(self) -> str:
        return str(self.table())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def quantize(model: str | Path, formats: str | Sequence[str]) -> Quantized:
    """Make GGUF files of a model in the formats asked for, or find them in the cache.

    Usage: ``lab.quantize("pocket/llama3", ["Q4_0", "Q8_0"])``

    model: a pocket name, a Hugging Face folder, a Hub id or a .gguf file in F32, F16 or BF16.
    Rows come in the order asked for, each format once. Raises LabError for an unknown format
    (before anything is made), an unknown model, and as :func:`~labkit.gguf_files.gguf_for` does.
    """
    asked = [formats] if isinstance(formats, str) else formats
    wanted = list(dict.fromkeys(read_format(name) for name in asked))
    if not wanted:
        raise LabError(
            t("No format was named.", "没有指定任何格式。"),
            t(f"Choose from: {', '.join(FORMATS)}.", f"可选：{'、'.join(FORMATS)}。"),
        )
    location = locate(model)
    rows = []
    for form in wanted:
        path = gguf_for(location.path, form)
        file = inspect_gguf(path)
        bits = bits_per_weight(file.tensor_bytes, file.parameters)
        rows.append(QuantizedFile(form, path, file.file_size, bits))
    return Quantized(str(model), tuple(rows), location.note)
