"""Published sizes and memory figures beside our estimates: for the tests and for ``make bench``."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from labkit.architecture.tensors import count_parameters
from labkit.catalog import find
from labkit.estimation.memory import estimate

CONFIGS: dict[str, dict[str, Any]] = {
    "ibm/PowerLM-3b": {
        "model_type": "granite", "hidden_size": 2304, "intermediate_size": 9216,
        "num_hidden_layers": 40, "num_attention_heads": 36, "num_key_value_heads": 36,
        "vocab_size": 49152, "tie_word_embeddings": True,
    },
    "Falcon-7B": {  # litgpt, where it was measured, holds the output head apart
        "model_type": "falcon", "hidden_size": 4544, "num_hidden_layers": 32,
        "num_attention_heads": 71, "multi_query": True, "vocab_size": 65024, "bias": False,
        "tie_word_embeddings": False,
    },
}  # fmt: skip
"""Models that were measured and are not in the catalogue."""


@dataclass(frozen=True)
class Row:
    """One figure. published, estimated: bytes, or bits a weight. left_out: why it is not judged."""

    model: str
    what: str
    published: float
    estimated: float
    source: str
    left_out: str = ""

    @property
    def error(self) -> float:
        return self.estimated / self.published - 1


@cache
def facts() -> dict[str, Any]:
    path = Path(__file__).parent / "data" / "measurements.json"
    return dict(json.loads(path.read_text(encoding="utf-8")))


def config_of(model: str) -> dict[str, Any]:
    return CONFIGS.get(model) or dict(find(model).config)


def gguf_rows() -> list[Row]:
    rows = []
    for fact in facts()["gguf"]:
        config = config_of(fact["model"])
        if fact.get("untied"):
            config["tie_word_embeddings"] = False
        e = estimate(config, quant=fact["quant"], context=256)
        if fact["of"] == "bits_per_weight":
            bits = 8 * e.weights / count_parameters(config).total
            published, estimated = fact["value"], bits
        else:
            published = fact["bytes"]
            estimated = e.file_size if fact["of"] == "file" else e.weights
        old = "an older recipe of Q2_K" if fact.get("old_recipe") else ""
        what = f"{fact['quant']} {fact['of']}" + (" (output stored twice)" * ("untied" in fact))
        rows.append(Row(fact["model"], what, published, estimated, fact["source"], old))
    return rows


def kv_cache_rows() -> list[Row]:
    rows = []
    for fact in facts()["kv_cache"]:
        call = {"context": fact["context"], "kv_type": fact.get("kv_type", "f16")}
        e = estimate(config_of(fact["model"]), **call)
        what = f"{call['kv_type']} context {call['context']}"
        rows.append(Row(fact["model"], what, fact["bytes"], e.kv_cache, fact["source"]))
    return rows


def transformers_rows() -> list[Row]:
    rows = []
    for fact in facts()["transformers"]:
        prompt, new = fact.get("prompt", 32), fact.get("new_tokens", 32)
        e = estimate(
            config_of(fact["model"]),
            quant=fact["quant"],
            engine="transformers",
            context=prompt + new,
            new_tokens=new,
        )
        what = f"{fact['quant']} prompt {prompt}"
        rows.append(Row(fact["model"], what, fact["bytes"], e.total, fact["source"]))
    return rows


def training_rows() -> list[Row]:
    rows = []
    for fact in facts()["training"]:
        call = dict(fact.get("call", {}))
        if "targets" in call:
            call["targets"] = tuple(call["targets"])
        total = estimate(config_of(fact["model"]), **call).total if call else 0
        rows.append(
            Row(
                fact["model"], fact["what"], fact["bytes"], total, fact["source"],
                fact.get("left_out", ""),
            )
        )  # fmt: skip
    return rows


def errors(rows: list[Row]) -> list[float]:
    """Absolute errors of the rows that are judged."""
    return [abs(row.error) for row in rows if not row.left_out]
