"""Memory to run a model: weights, KV cache, and what the engine works in.

llama.cpp: weights by :mod:`labkit.gguf.quant_types`, cache by :mod:`labkit.estimation.kv_cache`,
and the compute buffer of one step of 512 tokens. Transformers: the peak of a whole generation,
prompt and answer.

Not covered: the driver's own memory (a CUDA context takes 0.1 to 0.5 GiB a GPU and process),
llama.cpp's input buffers in RAM (under 1%), drafts for speculative decoding, vision towers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from ..architecture.layers import Architecture
from ..core.i18n import t
from ..core.units import MiB, show_bytes
from ..gguf.quant_types import FileSize, Parts, file_size
from ..gguf.reader import Contents
from .kv_cache import UBATCH, kv_cache_bytes, layer_cache_bytes, pad
from .transformers_weights import FLOATS, largest_matrix, loaded_weights


@dataclass(frozen=True, slots=True)
class Estimate:
    """Memory to run a model, in bytes.

    total = weights + kv_cache + runtime. file_size: of the GGUF file; None for Transformers.
    Where a GPU's memory or ``n_gpu_layers`` was given: on_gpu and in_ram say how much lies where
    (their sum can exceed the total: llama.cpp keeps a tied embedding twice), per_gpu what the
    fullest of several GPUs holds, n_gpu_layers the value for llama.cpp, of n_layers in all.
    fits: whether all of it lies on the GPU; None where no memory was given. read_per_token: bytes
    of weights that one token reads, of the routed experts only the chosen ones.
    validity: "exact" (weights and cache follow from shapes by rules checked on published files),
    "calibrated" (a formula checked on measurements) or "rough".
    """

    model: str
    engine: str
    quant: str
    context: int
    batch: int
    weights: int
    kv_cache: int
    runtime: int
    total: int
    file_size: int | None
    warnings: tuple[str, ...]
    validity: str
    on_gpu: int | None = None
    in_ram: int | None = None
    per_gpu: int | None = None
    n_gpu_layers: int | None = None
    n_layers: int = 0
    fits: bool | None = None
    read_per_token: int = 0

    def __str__(self) -> str:
        parts = (self.weights, self.kv_cache, self.runtime, self.total)
        weights, kv_cache, runtime, total = map(show_bytes, parts)
        return t(
            f"{self.model} {self.quant} ({self.engine}), context {self.context}: "
            f"weights {weights} + KV cache {kv_cache} + runtime {runtime} = {total}",
            f"{self.model} {self.quant}（{self.engine}），上下文 {self.context}："
            f"权重 {weights} + KV 缓存 {kv_cache} + 运行缓冲 {runtime} = {total}",
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """What lies on the GPUs, as llama.cpp splits a model."""

    n_gpu_layers: int
    on_gpu: int
    in_ram: int
    per_gpu: int


def size_of_contents(contents: Contents, layers: int) -> FileSize:
    """The true parts of a GGUF file.

    Usage: ``size_of_contents(inspect_gguf(path), len(architecture.layers))``
    """
    parts = Parts(layers)
    for name, tensor in contents.tensors.items():
        block = name.split(".")[1] if name.startswith("blk.") else ""
        parts.add(name, (int(block),) if block.isdigit() else (), tensor.nbytes)
    return parts.total(contents.file_size - contents.tensor_bytes)


def gguf_parts(a: Architecture, quant: str, contents: Contents | None, imatrix: bool) -> FileSize:
    """Sizes from the file itself where there is one, else by llama.cpp's rules."""
    return size_of_contents(contents, len(a.layers)) if contents else file_size(a, quant, imatrix)


def read_per_token(a: Architecture, sizes: FileSize) -> int:
    """Bytes of weights that one token reads: no table but its row, and the chosen experts."""
    read = sum(sizes.layers) + (sizes.output or sizes.embedding) + sizes.rest
    if sizes.routed and a.num_experts:
        read -= sizes.routed - sizes.routed * a.num_experts_per_tok // a.num_experts
    return read


def compute_buffer(a: Architecture, context: int, flash_attn: bool = True) -> int:
    """Bytes that llama.cpp reserves for one step of 512 tokens, float32.

    With flash attention the larger of: logits of a whole step; one feed-forward part and the mask
    of the whole context, in float32 and again in float16 (builds of late 2026 keep the second
    only). Without it the scores of all heads over the whole context, the mask and four hidden
    states. Checked on logs: Llama-2-7B at 2048 without: 164.01 MiB (here 164); Llama-3-8B at 8192:
    560 and, with, 258.50 (here 560, 258.5); Qwen2.5-7B with: 304.00 (here 304); Qwen3.5-9B at
    262,144 with: 808.02 (here 832); gpt-oss-20b at 131,072: 456.98 (here 440). Not covered: a
    quantized cache with heads of 512, which some builds unpack in this buffer.
    """
    cells = pad(context)
    dense = max((layer.intermediate_size for layer in a.layers), default=0)
    experts = a.num_experts_per_tok * a.moe_intermediate_size + a.shared_expert_intermediate_size
    feed_forward = 2 * max(dense, experts) + 2 * a.hidden_size
    width = max(a.vocab_size + a.hidden_size, feed_forward + cells * 3 // 2)
    if not flash_attn:
        width = max(width, a.num_attention_heads * cells + cells + 4 * a.hidden_size)
    return 4 * UBATCH * width


def place(
    a: Architecture,
    sizes: FileSize,
    cache: Sequence[int],
    runtime: int,
    *,
    vram: int | None,
    n_gpu_layers: int | None,
    gpus: int,
) -> Placement:
    """What llama.cpp puts on the GPUs: the output head first, then the last layers.

    Usage: ``place(a, sizes, cache, runtime, vram=8 * GiB, n_gpu_layers=None, gpus=1)``. vram: of
    one GPU. Where ``n_gpu_layers`` is None as many layers as fit are taken. Each GPU has a compute
    buffer of its own. The embedding table stays in RAM; tied, it is held a second time as output.
    """
    head = (sizes.output or sizes.embedding) + sizes.rest
    steps = [head, *(w + kv for w, kv in zip(reversed(sizes.layers), reversed(cache), strict=True))]
    most = len(steps)
    sums = [0, *accumulate(steps)]

    def fullest(count: int) -> int:
        if not count:
            return 0
        share = -(-sums[count] // gpus)
        return share + (max(steps[:count]) if gpus > 1 else 0) + runtime

    if n_gpu_layers is None:
        count = most
        while vram is not None and count and fullest(count) > vram:
            count -= 1
    else:
        count = min(n_gpu_layers, most)
    on_gpu = sums[count] + (runtime * gpus if count else 0)
    in_ram = sum(steps[count:]) + (0 if count else runtime)
    tied_copy = count > 0 and not sizes.output
    in_ram += sizes.lookup + (sizes.embedding if sizes.output or tied_copy else 0)
    return Placement(count, on_gpu, in_ram, fullest(count))


def transformers_run(
    a: Architecture, quant: str, context: int, new_tokens: int, batch: int, group_size: int
) -> tuple[int, int, int]:
    """Weights, cache and runtime of a generation by Transformers, batch after batch of tokens.

    The peak is that of the prompt (its cache and the activations of one layer for all its tokens)
    or that of the last token, whichever is higher. Per prompt token 3 intermediate and 4 hidden
    states; logits of the last token only (Transformers 4.45 and after); FlashAttention or SDPA.
    Checked on Qwen2.5's published table: 0.5B to 14B, bf16, GPTQ and AWQ, up to 32k tokens.
    """
    item = FLOATS.get(quant, 2)
    kv_type = "f32" if item == 4 else "f16"
    weights = loaded_weights(a, quant, group_size)
    cache = kv_cache_bytes(a, context, "transformers", kv_type, batch)
    prompt = max(context - new_tokens, 1)
    prompt_cache = kv_cache_bytes(a, prompt, "transformers", kv_type, batch)
    peak = max(prompt_cache + batch * prompt * item * token_width(a), cache)
    fixed = 24 * MiB + batch * a.vocab_size * (item + 4)
    if quant not in FLOATS and not quant.startswith(("awq", "gptq-8")):
        fixed += 2 * largest_matrix(a)  # unpacked before it is multiplied
    return weights, cache, peak - cache + fixed


def token_width(a: Architecture) -> int:
    """Elements that one token takes in the widest place of a layer."""
    dense = max((layer.intermediate_size for layer in a.layers), default=0)
    experts = a.num_experts_per_tok * a.moe_intermediate_size + a.shared_expert_intermediate_size
    return 3 * max(dense, experts) + 4 * a.hidden_size


def cache_by_layer(a: Architecture, context: int, kv_type: str, batch: int) -> tuple[int, ...]:
    """The cache of each layer in llama.cpp."""
    return layer_cache_bytes(a, context, "llama.cpp", kv_type, batch)
