"""The weights of a model, tensor by tensor, in llama.cpp's names; exact parameter counts.

Shapes are written as PyTorch writes them: the last number is the row that lies together in
memory, and the one that block quantization divides. Equal layers are listed once, with the
numbers of the layers they stand for.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from .layers import Architecture, Layer, read_architecture

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One weight, or one in each of several layers.

    name: llama.cpp's, without "blk.N.". layers: the layers that have it, empty for a tensor of
    the whole model. buffer: kept in the file but not a parameter.
    """

    name: str
    shape: Shape
    layers: tuple[int, ...] = ()
    buffer: bool = False

    @property
    def size(self) -> int:
        """Elements in one layer."""
        return prod(self.shape)

    @property
    def copies(self) -> int:
        return len(self.layers) or 1

    @property
    def is_matrix(self) -> bool:
        return len(self.shape) > 1


@dataclass(frozen=True, slots=True)
class Parameters:
    """How many weights a model has: all, those that one token uses, the embedding table."""

    total: int
    active: int
    embedding: int


def count_parameters(config: Mapping[str, Any] | Architecture) -> Parameters:
    """Exact numbers of parameters; tied embeddings count once, routed experts by their share.

    Usage: ``count_parameters(json.load(open("config.json"))).total``. Active parameters include
    the embedding table and the output head. Raises LabError as
    :func:`~labkit.architecture.layers.read_architecture` does.
    """
    architecture = config if isinstance(config, Architecture) else read_architecture(config)
    total = active = 0
    for tensor in list_tensors(architecture):
        if tensor.buffer:
            continue
        size = tensor.size * tensor.copies
        total += size
        active += used_share(architecture, tensor, size)
    return Parameters(total, active, architecture.vocab_size * architecture.hidden_size)


def used_share(architecture: Architecture, tensor: Tensor, amount: int) -> int:
    """The part of an amount that one token uses: of routed experts only the chosen ones."""
    if "_exps" in tensor.name:
        return amount * architecture.num_experts_per_tok // architecture.num_experts
    return amount


@lru_cache(maxsize=1024)
def list_tensors(architecture: Architecture) -> tuple[Tensor, ...]:
    """All weights of the language model.

    Usage: ``sum(t.size * t.copies for t in list_tensors(architecture))``
    """
    a = architecture
    tensors = [Tensor(name, shape) for name, shape in _whole_model(a)]
    alike: dict[Layer, list[int]] = {}
    for i, layer in enumerate(a.layers):
        alike.setdefault(layer, []).append(i)
    for layer, numbers in alike.items():
        for name, shape in _layer(a, layer):
            buffer = name == "layer_output_scale.weight" or (
                name == "exp_probs_b.bias" and a.traits.correction_bias == "buffer"
            )
            tensors.append(Tensor(name, shape, tuple(numbers), buffer))
    return tuple(tensors)


Named = Iterator[tuple[str, Shape]]


def _whole_model(a: Architecture) -> Named:
    yield "token_embd.weight", (a.vocab_size, a.hidden_size)
    yield from _norm(a, "output_norm")
    if not a.tie_word_embeddings:
        yield "output.weight", (a.vocab_size, a.hidden_size)
    if a.head_bias:
        yield "output.bias", (a.vocab_size,)
    width = a.extra.get("hidden_size_per_layer_input")
    if width:  # Gemma 3n and 4: a small embedding for every layer
        rows = len(a.layers) * width
        yield "per_layer_token_embd.weight", (a.extra["vocab_size_per_layer_input"], rows)
        yield "per_layer_model_proj.weight", (rows, a.hidden_size)
        yield "per_layer_proj_norm.weight", (width,)
    inputs = a.extra.get("altup_num_inputs")
    if inputs:
        yield "altup_proj.weight", (inputs - 1, a.hidden_size, a.hidden_size)
        yield "altup_unembd_proj.weight", (inputs - 1, a.hidden_size, a.hidden_size)


def _norm(a: Architecture, name: str) -> Named:
    yield f"{name}.weight", (a.hidden_size,)
    if a.traits.norm_bias:
        yield f"{name}.bias", (a.hidden_size,)


def _layer(a: Architecture, layer: Layer) -> Named:
    for name in a.traits.norms:
        yield from _norm(a, name)
    if layer.attention == "linear":
        yield from _gated_delta_net(a)
    elif a.kv_lora_rank:
        yield from _latent_attention(a, layer)
    else:
        yield from _attention(a, layer)
    if layer.intermediate_size:
        yield from _feed_forward(a, layer.intermediate_size)
    if layer.experts:
        yield from _experts(a)
    yield from _per_layer_input(a)


def _attention(a: Architecture, layer: Layer) -> Named:
    hidden, dim = a.hidden_size, layer.head_dim
    query = a.num_attention_heads * dim
    key, value = layer.num_key_value_heads * dim, layer.num_key_value_heads * layer.v_head_dim
    projections = [("attn_q", query * (2 if a.traits.query_gate else 1))]
    if layer.caches:
        projections.append(("attn_k", key))
        if not layer.value_is_key:
            projections.append(("attn_v", value))
    if a.traits.fused_qkv:
        projections = [("attn_qkv", query + key + value)]
    for name, rows in projections:
        yield f"{name}.weight", (rows, hidden)
        if a.qkv_bias:
            yield f"{name}.bias", (rows,)
    yield "attn_output.weight", (hidden, a.num_attention_heads * layer.v_head_dim)
    if a.o_bias:
        yield "attn_output.bias", (hidden,)
    if a.qk_norm:
        full = a.traits.qk_norm == "full"
        yield "attn_q_norm.weight", (query if full else dim,)
        if layer.caches:
            yield "attn_k_norm.weight", (key if full else dim,)
    if a.traits.sinks:
        yield "attn_sinks.weight", (a.num_attention_heads,)


def _latent_attention(a: Architecture, layer: Layer) -> Named:
    """Multi-head latent attention; llama.cpp keeps kv_b in two parts, keys and values."""
    heads, hidden, rank = a.num_attention_heads, a.hidden_size, a.kv_lora_rank
    query = heads * layer.head_dim
    if a.q_lora_rank:
        yield "attn_q_a.weight", (a.q_lora_rank, hidden)
        yield "attn_q_a_norm.weight", (a.q_lora_rank,)
        yield "attn_q_b.weight", (query, a.q_lora_rank)
    else:
        yield "attn_q.weight", (query, hidden)
    yield "attn_kv_a_mqa.weight", (rank + a.qk_rope_head_dim, hidden)
    yield "attn_kv_a_norm.weight", (rank,)
    yield "attn_k_b.weight", (heads, rank, a.qk_nope_head_dim)
    yield "attn_v_b.weight", (heads, layer.v_head_dim, rank)
    yield "attn_output.weight", (hidden, heads * layer.v_head_dim)
    if a.qkv_bias:
        yield "attn_kv_a_mqa.bias", (rank + a.qk_rope_head_dim,)
        yield "attn_output.bias", (hidden,)
        if a.q_lora_rank:
            yield "attn_q_a.bias", (a.q_lora_rank,)
    if layer.indexer:
        index_heads, dim = a.extra["index_n_heads"], a.extra["index_head_dim"]
        yield "indexer.attn_q_b.weight", (index_heads * dim, a.q_lora_rank)
        yield "indexer.attn_k.weight", (dim, hidden)
        yield "indexer.k_norm.weight", (dim,)
        yield "indexer.k_norm.bias", (dim,)
        yield "indexer.proj.weight", (index_heads, hidden)


def _gated_delta_net(a: Architecture) -> Named:
    """Linear attention of Qwen3-Next and Qwen3.5."""
    hidden, heads = a.hidden_size, a.extra["linear_num_value_heads"]
    key = a.extra["linear_num_key_heads"] * a.extra["linear_key_head_dim"]
    value = heads * a.extra["linear_value_head_dim"]
    yield "attn_qkv.weight", (2 * key + value, hidden)
    yield "attn_gate.weight", (value, hidden)
    if a.model_type == "qwen3_next":
        yield "ssm_ba.weight", (2 * heads, hidden)
    else:
        yield "ssm_beta.weight", (heads, hidden)
        yield "ssm_alpha.weight", (heads, hidden)
    yield "ssm_conv1d.weight", (2 * key + value, a.extra["linear_conv_kernel_dim"])
    yield "ssm_dt.bias", (heads,)
    yield "ssm_a", (heads,)
    yield "ssm_norm.weight", (a.extra["linear_value_head_dim"],)
    yield "ssm_out.weight", (hidden, value)


def _feed_forward(a: Architecture, width: int, suffix: str = "") -> Named:
    if a.traits.fused_up and not suffix:
        yield "ffn_up.weight", (2 * width, a.hidden_size)
    else:
        for name in ("ffn_gate", "ffn_up") if a.traits.gated else ("ffn_up",):
            yield f"{name}{suffix}.weight", (width, a.hidden_size)
            if a.mlp_bias:
                yield f"{name}{suffix}.bias", (width,)
    yield f"ffn_down{suffix}.weight", (a.hidden_size, width)
    if a.mlp_bias:
        yield f"ffn_down{suffix}.bias", (a.hidden_size,)


def _experts(a: Architecture) -> Named:
    count, width, hidden = a.num_experts, a.moe_intermediate_size, a.hidden_size
    yield "ffn_gate_inp.weight", (count, hidden)
    if a.traits.router_bias:
        yield "ffn_gate_inp.bias", (count,)
    if a.traits.correction_bias:
        yield "exp_probs_b.bias", (count,)
    for name, rows, columns in (
        ("ffn_gate_exps", width, hidden),
        ("ffn_up_exps", width, hidden),
        ("ffn_down_exps", hidden, width),
    ):
        yield f"{name}.weight", (count, rows, columns)
        if a.traits.expert_bias:
            yield f"{name}.bias", (count, rows)
    if a.shared_expert_intermediate_size:
        yield from _feed_forward(a, a.shared_expert_intermediate_size, "_shexp")
        if a.shared_expert_gate:
            yield "ffn_gate_inp_shexp.weight", (hidden,)
    if a.model_type == "gemma4_text":
        for name in ("post_ffw_norm_1", "post_ffw_norm_2", "pre_ffw_norm_2", "ffn_gate_inp_s"):
            yield f"{name}.weight", (hidden,)
        yield "ffn_down_exps_s.weight", (count,)


def _per_layer_input(a: Architecture) -> Named:
    """What Gemma 3n and 4 add to every layer."""
    hidden, width = a.hidden_size, a.extra.get("hidden_size_per_layer_input")
    if width:
        yield "inp_gate.weight", (width, hidden)
        yield "proj.weight", (hidden, width)
        yield "post_norm.weight", (hidden,)
    inputs = a.extra.get("altup_num_inputs")
    if inputs:
        rank = a.extra["laurel_rank"]
        yield "laurel_l.weight", (rank, hidden)
        yield "laurel_r.weight", (hidden, rank)
        yield "laurel_post_norm.weight", (hidden,)
        yield "altup_correct_scale.weight", (hidden,)
        yield "altup_correct_coef.weight", (inputs, inputs)
        yield "altup_predict_coef.weight", (inputs**2, inputs)
        yield "altup_router.weight", (inputs, hidden)
        yield "altup_router_norm.weight", (hidden,)
    if a.model_type == "gemma4_text":
        yield "layer_output_scale.weight", (1,)
