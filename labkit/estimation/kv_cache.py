"""Bytes of the KV cache, by the kind of attention of each layer and as the engine stores it.

- MHA and GQA: keys and values of every key-value head and token.
- MLA (DeepSeek-V2 and after): one latent vector and one rotary key a token, keys only. llama.cpp
  does so since January 2026, Transformers since version 5.
- Sliding or chunked attention: at most the window. llama.cpp uses the window only where its
  loader reads it (Gemma, gpt-oss, Cohere 2 …) and keeps the whole context for Mistral's.
- Linear attention: a state of fixed size in place of a cache.

Source: llama.cpp ``src/llama-kv-cache.cpp``, ``llama-kv-cache-iswa.cpp``,
``llama-memory-recurrent.cpp``; Transformers 5.23 ``cache_utils.py``.
"""

from functools import lru_cache

from ..architecture.layers import Architecture, Layer
from ..core.errors import LabError
from ..core.i18n import t
from ..gguf.quant_types import BLOCKS, row_bytes

KV_TYPES = {
    "f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0", "q5_1": "Q5_1", "q5_0": "Q5_0",
    "q4_1": "Q4_1", "q4_0": "Q4_0", "iq4_nl": "IQ4_NL",
}  # fmt: skip
"""Names of ``--cache-type-k`` to tensor types."""

PADDING = 256
"""Cells that llama.cpp rounds the context of a sequence up to."""

UBATCH = 512
"""Tokens that llama.cpp computes at a time, its default."""


def pad(count: int, multiple: int = PADDING) -> int:
    """The count, rounded up to a multiple."""
    return -(-count // multiple) * multiple


@lru_cache(maxsize=65536)
def kv_cache_bytes(
    architecture: Architecture,
    context: int,
    engine: str = "llama.cpp",
    kv_type: str = "f16",
    batch: int = 1,
) -> int:
    """Bytes of the whole cache.

    Usage: ``kv_cache_bytes(architecture, 8192)``. context: tokens of one sequence, prompt and
    answer; batch: sequences at once, each with a context of its own. kv_type: a key of KV_TYPES;
    for Transformers the type of the activations, f16, bf16 or f32. Raises LabError for a cache
    type that is not known or does not divide the heads.
    """
    return sum(layer_cache_bytes(architecture, context, engine, kv_type, batch))


@lru_cache(maxsize=4096)
def layer_cache_bytes(
    architecture: Architecture, context: int, engine: str, kv_type: str, batch: int = 1
) -> tuple[int, ...]:
    """The same, layer by layer."""
    if kv_type not in KV_TYPES:
        raise LabError(
            t(f"Cache type '{kv_type}' is not known.", f"没有缓存类型 '{kv_type}'。"),
            t(f"Known: {', '.join(KV_TYPES)}.", f"可用的有：{'、'.join(KV_TYPES)}。"),
        )
    kind = KV_TYPES[kv_type]
    by_layer = {
        layer: batch * _one_layer(architecture, layer, context, engine, kind)
        for layer in set(architecture.layers)
    }
    return tuple(by_layer[layer] for layer in architecture.layers)


def _one_layer(a: Architecture, layer: Layer, context: int, engine: str, kind: str) -> int:
    if not layer.caches:
        return 0
    if layer.attention == "linear":
        return _state(a, engine)
    cells = _cells(a, layer, context, engine)
    if a.kv_lora_rank:
        widths = [a.kv_lora_rank + a.qk_rope_head_dim]
        if layer.indexer:
            widths.append(a.extra["index_head_dim"])
    else:
        heads = layer.num_key_value_heads
        widths = [heads * layer.head_dim, heads * layer.v_head_dim]
        if layer.head_dim % BLOCKS[kind][1] or layer.v_head_dim % BLOCKS[kind][1]:
            raise LabError(
                t(
                    f"A cache of type {kind} needs heads divisible by {BLOCKS[kind][1]}; "
                    f"this model's have {layer.head_dim}.",
                    f"{kind} 类型的缓存要求注意力头的维度能被 {BLOCKS[kind][1]} 整除，"
                    f"而该模型为 {layer.head_dim}。",
                ),
                t("Use kv_type f16.", "请使用 kv_type f16。"),
            )
    block = BLOCKS[kind][1]
    return cells * sum(row_bytes(kind, pad(width, block)) for width in widths)


def _cells(a: Architecture, layer: Layer, context: int, engine: str) -> int:
    """Tokens that one layer keeps of one sequence."""
    if engine == "llama.cpp":
        cells = pad(context)
        if layer.window and a.traits.llama_cpp_window:
            return min(cells, pad(layer.window + UBATCH))
        return cells
    return min(context, layer.window - 1 or 1) if layer.window else context


def _state(a: Architecture, engine: str) -> int:
    """The state of a gated delta net: one matrix a head in float32, and the convolution's tail.

    llama.cpp keeps kernel - 1 steps of the convolution in float32, Transformers all of them in
    16 bits.
    """
    key, value = a.extra["linear_key_head_dim"], a.extra["linear_value_head_dim"]
    heads = a.extra["linear_num_value_heads"]
    channels = 2 * a.extra["linear_num_key_heads"] * key + heads * value
    kernel = a.extra["linear_conv_kernel_dim"]
    tail = (kernel - 1) * 4 if engine == "llama.cpp" else kernel * 2
    return heads * key * value * 4 + channels * tail
