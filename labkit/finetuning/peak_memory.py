"""The most memory a training takes: counted by CUDA, or seen from outside in a fresh process."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..core.extras import need
from ..core.workers import run_apart
from .settings import Settings
from .trainer import answer_losses, open_base

STEPS = 3
"""Enough for the peak: the second step holds the optimizer's moments from its start."""


@dataclass
class Counted:
    """bytes: PyTorch's own count of the peak; None on a CPU, which keeps none."""

    bytes: int | None = None


@contextmanager
def count_peak() -> Iterator[Counted]:
    """Count what CUDA hands out inside; its peak stands in ``.bytes`` afterwards.

    Usage: ``with count_peak() as counted: …``
    """
    counted, cuda = Counted(), need("torch").cuda
    if not cuda.is_available():
        yield counted
        return
    gc.collect()
    cuda.empty_cache()
    cuda.reset_peak_memory_stats()
    before = cuda.memory_allocated()
    yield counted
    counted.bytes = int(cuda.max_memory_allocated() - before)


def peak_apart(name: str, settings: Settings, dtype: str, seq: int) -> int:
    """Bytes by which a few steps grow a fresh process that has its libraries loaded.

    Usage: ``peak_apart("pocket/qwen2.5", Settings("lora"), "float32", 64)``

    seq: tokens of each sample; the batch is the settings'. The pocket model goes through one step
    first, so that what libraries set up once is not counted. Pages are counted, as the system
    sees them: a little more than the tensors in them.
    """
    return int(run_apart(measure_growth, name, asdict(settings), dtype, seq))


def measure_growth(name: str, settings: dict[str, Any], dtype: str, seq: int) -> int:
    """What :func:`peak_apart` runs in the fresh process."""
    targets = settings["targets"]
    used = replace(
        Settings(**settings), targets=targets if isinstance(targets, str) else tuple(targets)
    )
    _return_memory_at_once()
    _steps("pocket/qwen2.5", replace(used, targets="all-linear", batch=1), dtype, 8, 1)
    gc.collect()
    before = need("psutil").Process().memory_info().rss
    _forget_peak()
    _steps(name, used, dtype, seq, STEPS)
    found: int = max(_peak_so_far() - before, 0)
    return found


def _steps(name: str, settings: Settings, dtype: str, seq: int, steps: int) -> None:
    torch = need("torch")
    model = open_base(name, settings, dtype)
    net = model.model.train()
    trained = [p for p in net.parameters() if p.requires_grad]
    if settings.checkpointing:
        net.activation_checkpointing_enable({"use_reentrant": False})
        net.enable_input_require_grads()
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    for _ in range(steps):
        ids = torch.randint(0, net.config.vocab_size, (settings.batch, seq), device=net.device)
        batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}
        (answer_losses(net, batch) / ids.numel()).backward()
        optimizer.step()
        optimizer.zero_grad()


def _return_memory_at_once() -> None:
    """glibc keeps what is freed for later; large blocks of their own go back to the system."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        mmap_threshold, trim_threshold = -3, -1
        libc.mallopt(mmap_threshold, 65536)
        libc.mallopt(trim_threshold, 65536)


def _forget_peak() -> None:
    """Linux can begin to count anew; elsewhere the peak so far must lie below what comes."""
    if sys.platform == "linux":
        Path("/proc/self/clear_refs").write_text("5")


def _peak_so_far() -> int:
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) * 1024
    if sys.platform == "win32":
        return int(need("psutil").Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS
