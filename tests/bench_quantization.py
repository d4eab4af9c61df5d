"""How long quantizing takes: our numpy code and the gguf package, side by side in one run.

Usage: ``python tests/bench_quantization.py [WEIGHTS]`` (100 million unless told; 1 GB of memory).
CPU seconds of this process, the median of three turns, each turn once by either; the goal is a
share of at most 1. The last line is one JSON object for `make bench`.
"""

import json
import sys
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from labkit import block_formats

KINDS = ("Q4_0", "Q5_0", "Q8_0")
COLUMNS = 4096


def seconds(function: Any, *arguments: Any) -> tuple[float, np.ndarray]:
    start = process_time()
    made = function(*arguments)
    return process_time() - start, made


def measure(kind: str, weights: np.ndarray, turns: int = 3) -> dict[str, float]:
    """CPU seconds by either; the blocks are compared as well."""
    ours, theirs = [], []
    for _ in range(turns):
        taken, blocks = seconds(getattr(block_formats, f"quantize_{kind.lower()}"), weights)
        ours.append(taken)
        taken, expected = seconds(quantize, weights, GGMLQuantizationType[kind])
        theirs.append(taken)
        if not np.array_equal(blocks, expected):
            sys.exit(f"{kind}: the blocks differ")
    return {"labkit": median(ours), "gguf": median(theirs)}


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000_000
    rows = -(-count // COLUMNS)
    weights = np.random.default_rng(0).standard_normal((rows, COLUMNS), np.float32)
    print(f"{weights.size:,} weights; CPU seconds; the bytes are the same")
    print(f"{'':6}{'labkit':>8}{'gguf':>8}{'share':>8}")
    found = {}
    for kind in KINDS:
        found[kind] = taken = measure(kind, weights)
        share = taken["labkit"] / taken["gguf"]
        print(f"{kind:6}{taken['labkit']:8.3f}{taken['gguf']:8.3f}{share:8.2f}")
    print(json.dumps({"weights": weights.size, "seconds": found}))


if __name__ == "__main__":
    main()
