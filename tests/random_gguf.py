"""A GGUF file of random weights, for what llama.cpp does with real ones."""

from pathlib import Path

import gguf
import numpy

from labkit.architecture.layers import Architecture
from labkit.architecture.tensors import list_tensors


def write_random(architecture: Architecture, path: Path) -> None:
    """A GGUF with random weights and just enough metadata for the quantizer."""
    a, first = architecture, architecture.layers[0]
    writer = gguf.GGUFWriter(path, a.traits.gguf)
    writer.add_block_count(len(a.layers))
    writer.add_context_length(512)
    writer.add_embedding_length(a.hidden_size)
    writer.add_feed_forward_length(first.intermediate_size or a.moe_intermediate_size)
    writer.add_head_count(a.num_attention_heads)
    writer.add_head_count_kv(1 if a.kv_lora_rank else first.num_key_value_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(a.vocab_size)
    writer.add_rope_dimension_count(first.head_dim)
    writer.add_key_length(first.head_dim)
    writer.add_value_length(first.v_head_dim)
    writer.add_sliding_window(first.window or 512)
    if a.num_experts:
        writer.add_expert_count(a.num_experts)
        writer.add_expert_used_count(a.num_experts_per_tok)
        writer.add_expert_feed_forward_length(a.moe_intermediate_size)
        writer.add_leading_dense_block_count(1)
        writer.add_expert_shared_count(1)
        writer.add_expert_weights_scale(1.0)
    if a.kv_lora_rank:
        writer.add_kv_lora_rank(a.kv_lora_rank)
        writer.add_q_lora_rank(a.q_lora_rank)
        writer.add_key_length_mla(first.head_dim)
        writer.add_value_length_mla(first.v_head_dim)
    random = numpy.random.default_rng(0)
    for tensor in list_tensors(a):
        for layer in tensor.layers or (None,):
            name = tensor.name if layer is None else f"blk.{layer}.{tensor.name}"
            kept = not tensor.is_matrix or "ffn_gate_inp" in name
            values = random.standard_normal(tensor.shape, dtype=numpy.float32)
            writer.add_tensor(name, values if kept else values.astype(numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
