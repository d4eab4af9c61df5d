"""How long quantizing and measuring take, side by side with the tools by themselves, in one run.

Usage: ``python tests/benchmarks/bench_quantization.py [WEIGHTS]`` (100 million unless told; 1 GB of
memory). CPU seconds of this process, the median of turns, each turn once by either: our numpy code
beside the gguf package (goal: a share of at most 1), and the perplexity of a pocket model beside a
bare loop over llama-cpp-python (at most 1.05). The last line is one JSON object for `make bench`.
"""

import json
import sys
from statistics import median
from time import process_time
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType
from gguf.quants import quantize

from labkit.engines import load
from labkit.evaluation.metrics import Job, compare_probabilities
from labkit.gguf.files import gguf_for
from labkit.pocket import folder
from labkit.quantization import gguf_blocks
from labkit.quantization.calibration import TokenRow, held_out_passages, measured_rows

KINDS = ("Q4_0", "Q5_0", "Q8_0")
COLUMNS = 4096


def seconds(function: Any, *arguments: Any) -> tuple[float, Any]:
    start = process_time()
    made = function(*arguments)
    return process_time() - start, made


def measure(kind: str, weights: np.ndarray, turns: int = 3) -> dict[str, float]:
    """CPU seconds by either; the blocks are compared as well."""
    ours, theirs = [], []
    for _ in range(turns):
        taken, blocks = seconds(getattr(gguf_blocks, f"quantize_{kind.lower()}"), weights)
        ours.append(taken)
        taken, expected = seconds(quantize, weights, GGMLQuantizationType[kind])
        theirs.append(taken)
        if not np.array_equal(blocks, expected):
            sys.exit(f"{kind}: the blocks differ")
    return {"labkit": median(ours), "gguf": median(theirs)}


def bare_perplexity(llm: Any, rows: list[TokenRow]) -> float:
    """As one would write it: logits of all tokens, log-softmax, the mean."""
    losses = []
    for row in rows:
        llm.reset()
        llm.eval(row.ids)
        logits = llm.scores[row.scored - 1 : len(row.ids) - 1]
        logits = logits - logits.max(axis=-1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        losses.append(-log_p[np.arange(len(log_p)), row.ids[row.scored :]])
    return float(np.exp(np.concatenate(losses).mean()))


def measure_perplexity(turns: int = 7) -> dict[str, float]:
    """CPU seconds by either, on one thread; the perplexities are compared as well."""
    import llama_cpp

    path = gguf_for(folder("llama3"), "Q4_0")
    model = load(path)
    llama_cpp.llama_set_n_threads(model.model.ctx, 1, 1)
    rows = measured_rows(model, held_out_passages(model))
    bare = llama_cpp.Llama(
        str(path), n_ctx=512, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False
    )
    job = Job(str(path), "llama.cpp")
    ours, theirs = [], []
    for _ in range(turns):
        taken, found = seconds(compare_probabilities, model, rows, job)
        ours.append(taken)
        taken, expected = seconds(bare_perplexity, bare, rows)
        theirs.append(taken)
        if abs(found["perplexity"] / expected - 1) > 1e-4:
            sys.exit(f"the perplexities differ: {found['perplexity']} and {expected}")
    return {"labkit": median(ours), "llama_cpp": median(theirs)}


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
    taken = measure_perplexity()
    share = taken["labkit"] / taken["llama_cpp"]
    print(f"\nperplexity{taken['labkit']:8.3f}, bare loop {taken['llama_cpp']:.3f}: {share:.3f}")
    print(json.dumps({"weights": weights.size, "seconds": found, "perplexity": taken}))


if __name__ == "__main__":
    main()
