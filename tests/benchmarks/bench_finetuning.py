"""Overhead of lab.finetune's loop over a bare one of PyTorch, side by side in one run.

Usage: ``python tests/benchmarks/bench_finetuning.py [STEPS]`` (40 unless told)

Both take the same steps on the same batches of the same LoRA; the loop of the package also
validates and writes what it keeps, at the end if not before. CPU seconds of this process,
the two in turn, three times; the goal is an overhead of at most 10%. The last line is one JSON
object for `make bench`.
"""

import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import process_time

import torch

from labkit.finetuning.dataset import IGNORED, batch_order, collate, encode_samples
from labkit.finetuning.settings import Settings
from labkit.finetuning.tasks import load_task
from labkit.finetuning.trainer import open_base, train

BASE = "pocket/qwen2.5"


def bare(model, samples, settings: Settings) -> float:
    """The loop as one would write it: CPU seconds, from the first batch to the last step."""
    net = model.model.train()
    trained = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.rate, weight_decay=0.0, fused=True)
    order, pad = batch_order(len(samples), settings.batch, settings.seed), 0
    start = process_time()
    for step in range(settings.steps):
        batch = collate([samples[i] for i in next(order)], pad)
        labels = batch.pop("labels")[:, 1:].flatten()
        logits = net(**batch, use_cache=False).logits[:, :-1].flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
        optimizer.param_groups[0]["lr"] = settings.rate_at(step)
        optimizer.step()
        optimizer.zero_grad()
    return process_time() - start


def ours(model, samples, validation, settings: Settings, work: Path) -> float:
    start = process_time()
    train(model, samples, validation, settings, work)
    return process_time() - start


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    settings = Settings("lora", steps=steps, learning_rate=2e-3)
    model = open_base(BASE, settings, "float32")
    task = load_task("clinic")
    samples = encode_samples(model, task.train, "train")
    validation = encode_samples(model, task.validation, "validation")
    bare(model, samples, Settings("lora", steps=2, learning_rate=2e-3))  # warm up
    alone, within = [], []
    for _ in range(3):
        alone.append(bare(open_base(BASE, settings, "float32"), samples, settings))
        with tempfile.TemporaryDirectory() as work:
            fresh = open_base(BASE, settings, "float32")
            within.append(ours(fresh, samples, validation, settings, Path(work)))
    overhead = median(within) / median(alone) - 1
    print(f"{steps} steps of {settings.batch} samples; CPU seconds, median of three")
    print(f"bare {median(alone):.2f}, labkit {median(within):.2f}: {overhead:+.1%}")
    found = {"steps": steps, "bare": median(alone), "labkit": median(within)}
    print(json.dumps(found | {"overhead_percent": round(100 * overhead, 1)}))


if __name__ == "__main__":
    main()
