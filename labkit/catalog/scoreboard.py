"""What quantization costs real models: llama.cpp's published measurements, with their source."""

import tomllib
from dataclasses import dataclass
from functools import cache

from ..core.errors import LabError
from ..core.i18n import t
from ..core.units import GiB, bits_per_weight
from .reader import DATA


@dataclass(frozen=True)
class PublishedRow:
    """One format. None: not published."""

    format: str
    file_size: int | None
    """Bytes, to the 0.01 GiB that are published."""
    bits_per_weight: float | None
    perplexity: float
    perplexity_stderr: float | None
    kl_mean: float
    """Mean KL divergence to the F16 logits, nats per token."""
    top1_agreement: float | None
    """Share of tokens whose likeliest successor is the same as in F16, 0 … 1."""


@dataclass(frozen=True)
class Scoreboard:
    """One model in many formats, the best first. text: what was measured on."""

    model: str
    text: str
    source: str
    as_of: str
    rows: tuple[PublishedRow, ...]

    def find(self, format: str) -> PublishedRow | None:
        """The row of a format; None where there is none. Usage: ``board.find("Q4_0")``"""
        return next((row for row in self.rows if row.format == format), None)


@cache
def read_scoreboard(model: str = "Llama-3-8B") -> Scoreboard:
    """Published measurements of one model.

    Usage: ``read_scoreboard("Llama-2-7B").find("Q4_K_M").kl_mean``

    model: "Llama-3-8B" or "Llama-2-7B". GGUF formats made without an importance matrix. Raises
    LabError for another model. Not covered: GPTQ, bitsandbytes, I-quants.
    """
    file = tomllib.loads((DATA / "scoreboard.toml").read_text(encoding="utf-8"))
    boards = {raw["name"]: raw for raw in file["scoreboard"]}
    if model not in boards:
        known = ", ".join(boards)
        raise LabError(
            t(f"There is no scoreboard of '{model}'.", f"没有 '{model}' 的公开数据。"),
            t(f"There are: {known}.", f"有的是：{known}。"),
        )
    raw = boards[model]
    rows = []
    for row in raw["rows"]:
        size = round(row["gib"] * GiB) if "gib" in row else None
        rows.append(
            PublishedRow(
                format=row["format"],
                file_size=size,
                bits_per_weight=bits_per_weight(size, raw["parameters"]) if size else None,
                perplexity=row["perplexity"],
                perplexity_stderr=row.get("stderr"),
                kl_mean=row["kl"],
                top1_agreement=row["top1"] / 100 if "top1" in row else None,
            )
        )
    return Scoreboard(model, raw["text"], raw["source"], str(file["as_of"]), tuple(rows))
