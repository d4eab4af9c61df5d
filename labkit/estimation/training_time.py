"""How long a training takes on a GPU, as a range: arithmetic divided by what the GPU reaches.

A token passes through every matrix once forward, 2 operations a weight (a multiplication and an
addition); the gradients of what goes in cost as much again, and so do those of the weights, where
they are trained; checkpointing computes the forward pass once more. So for P weights in matrices

    operations a token = 2P · (2, and 1 more for full, and 1 more for checkpointing)

as counted by Kaplan et al. 2020, arXiv 2001.08361, section 2.1, for full training: 6P. Attention's
own products are left out (for 7B and 2,048 tokens they add a few per cent), and the adapter's.

The share of the peak that is reached was measured, not derived: see SHARE. Not covered: several
GPUs, packing, loading, and evaluation in between.
"""

from pathlib import Path
from typing import NamedTuple

from ..architecture.tensors import count_parameters
from ..catalog.quotes import find_device
from ..core.errors import LabError
from ..core.i18n import t
from ..hub.resolver import resolve
from .training_memory import METHODS

SHARE = {"full": (0.2, 0.55), "lora": (0.2, 0.55), "qlora": (0.15, 0.45)}
"""Share of the peak, at least and at best, with 1,024 tokens or more at once and 1.8B to 14B.

Measured with LoRA and QLoRA on one A100: QwenLM/Qwen README "Profiling of Memory and Speed"
@85cb093 (2024); the tests hold the rows. Below, smaller models and shorter samples reach less, and
a small card may: its memory and its cooling are slower. Full tuning is taken to do as well as LoRA.
"""


class Duration(NamedTuple):
    """Seconds, from the shortest to the longest that is likely."""

    low: float
    high: float


def count_operations(
    model: str | Path, method: str, tokens: int = 1, *, checkpointing: bool = True
) -> int:
    """Floating-point operations to train on that many tokens, read ones and padding included.

    Usage: ``count_operations("Qwen2.5-7B", "full", checkpointing=False)  # 6 a weight``

    model: as :func:`labkit.estimate` takes it. method: "full", "lora" or "qlora". Raises LabError
    for another.
    """
    if method not in METHODS:
        raise LabError(
            t(f"The method '{method}' is not known.", f"没有名为“{method}”的微调方式。"),
            t(f"Known: {', '.join(METHODS)}.", f"可用的有：{'、'.join(METHODS)}。"),
        )
    architecture = resolve(model).architecture
    counted = count_parameters(architecture)
    # A lookup is no arithmetic; a tied table is multiplied with once, as the output head.
    weights = counted.active - (0 if architecture.tie_word_embeddings else counted.embedding)
    passes = 2 + (method == "full") + checkpointing
    return 2 * weights * passes * tokens


def predict_time(
    model: str | Path, method: str, tokens: int, gpu: str, *, checkpointing: bool = True
) -> Duration:
    """How long one GPU is likely to train on that many tokens, in seconds.

    Usage: ``predict_time("Qwen2.5-7B", "qlora", 2_000_000, "T4").low / 3600``

    gpu: a name of ``hardware.toml``. Raises LabError for a GPU that is not there or whose
    arithmetic is not known: no number is invented.
    """
    operations = count_operations(model, method, tokens, checkpointing=checkpointing)
    device = find_device(gpu)
    peak = device.bf16_tflops or device.fp16_tflops
    if peak is None:
        raise LabError(
            t(
                f"How fast '{device.name}' computes is not known.",
                f"目录里没有“{device.name}”的算力数据。",
            ),
            t("Name another GPU, such as 'L4'.", "请换一个 GPU，例如“L4”。"),
        )
    least, best = SHARE[method]
    return Duration(operations / (best * peak * 1e12), operations / (least * peak * 1e12))
