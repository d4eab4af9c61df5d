"""How far our estimates are from published figures: ``python tests/benchmarks/bench_memory.py``.

Prints a table and, as the last line, one JSON object; errors are absolute, in per cent. Beside ours
stand other ways to tell the size of a GGUF, on the same rows: bytes a parameter by file type.
"""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from published import (  # noqa: E402
    Row,
    config_of,
    errors,
    gguf_rows,
    kv_cache_rows,
    training_rows,
    transformers_rows,
)

from labkit.architecture.tensors import count_parameters  # noqa: E402

LLMFIT = {
    "F32": 4, "F16": 2, "Q8_0": 1.05, "Q6_K": 0.80, "Q5_K_M": 0.68, "Q4_K_M": 0.58, "Q4_0": 0.58,
    "Q3_K_M": 0.48, "Q2_K": 0.37,
}  # fmt: skip
"""Bytes a parameter; AlexsJones/llmfit, quant_bpp in llmfit-core/src/models.rs."""

NYXKRAGE = {
    "IQ1_S": 1.56, "IQ2_M": 2.7, "Q2_K": 3.35, "Q3_K_S": 3.5, "IQ3_M": 3.7, "Q3_K_M": 3.91,
    "Q3_K_L": 4.27, "IQ4_XS": 4.25, "IQ4_NL": 4.5, "Q4_0": 4.55, "Q4_K_S": 4.58, "Q4_K_M": 4.85,
    "Q5_0": 5.54, "Q5_K_S": 5.54, "Q5_K_M": 5.69, "Q6_K": 6.59, "Q8_0": 8.5,
}  # fmt: skip
"""Bits a parameter; the Hugging Face space NyxKrage/LLM-Model-VRAM-Calculator."""

# The means are those that a survey found on 67 published files.
OTHERS: dict[str, tuple[Callable[[str], float | None], float]] = {
    "llmfit": (LLMFIT.get, 4.1),
    "NyxKrage's calculator": (lambda quant: NYXKRAGE.get(quant, 0) / 8 or None, 2.2),
    "the bits in the name": (lambda quant: int(re.findall(r"\d+", quant)[0]) / 8, 18.0),
}
"""How others count: bytes a parameter by file type, and their mean error on 67 files, per cent.

The last is what calculators do that know only "4-bit" and "8-bit".
"""


def summarize(found: list[float], rows: int) -> dict[str, float]:
    """Of so many rows those that were judged, and how far off they are."""
    return {
        "rows": len(found),
        "not_judged": rows - len(found),
        "mean_percent": round(100 * sum(found) / len(found), 3),
        "worst_percent": round(100 * max(found), 2),
    }


def errors_of(count: Callable[[str], float | None], rows: list[Row]) -> list[float]:
    """Of another way to count, on the rows whose file type it knows."""
    found = []
    for row in rows:
        bytes_each = count(row.what.split()[0])
        if bytes_each and not row.left_out:
            parameters = count_parameters(config_of(row.model)).total
            size = 8 if "bits_per_weight" in row.what else parameters
            found.append(abs(bytes_each * size / row.published - 1))
    return found


def main() -> None:
    groups = {
        "GGUF sizes": gguf_rows(),
        "KV cache": kv_cache_rows(),
        "Transformers, running": transformers_rows(),
        "Training": training_rows(),
    }
    result = {name: summarize(errors(rows), len(rows)) for name, rows in groups.items()}
    files = groups["GGUF sizes"]
    others = {
        name: summarize(errors_of(count, files), len(files)) | {"on_67_files_percent": mean}
        for name, (count, mean) in OTHERS.items()
    }
    print(f"{'mean and worst error':38}{'rows':>5}{'mean':>10}{'worst':>10}")
    for name, one in (result | {f"GGUF sizes, {key}": one for key, one in others.items()}).items():
        mean, worst = f"{one['mean_percent']:.3f} %", f"{one['worst_percent']:.2f} %"
        print(f"{name:38}{one['rows']:5}{mean:>10}{worst:>10}")
    for name, rows in groups.items():
        for row in rows:
            if row.left_out:
                error = f" ({row.error:+.1%})" if row.estimated else ""
                print(f"not judged, {name}: {row.model}, {row.what}: {row.left_out}{error}")
    print(json.dumps({"errors": result, "others": others}))


if __name__ == "__main__":
    main()
