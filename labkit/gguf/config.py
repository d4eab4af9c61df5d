"""The header of a GGUF file in the words of a ``config.json``."""

from typing import Any

from ..architecture.model_types import TRAITS
from .reader import Contents

_WORDS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.sliding_window": "sliding_window",
    "context_length": "max_position_embeddings",
    "expert_count": "num_experts",
    "expert_used_count": "num_experts_per_tok",
    "expert_feed_forward_length": "moe_intermediate_size",
    "expert_shared_count": "n_shared_experts",
    "expert_shared_feed_forward_length": "shared_expert_intermediate_size",
    "leading_dense_block_count": "first_k_dense_replace",
    "attention.q_lora_rank": "q_lora_rank",
    "attention.kv_lora_rank": "kv_lora_rank",
    "rope.dimension_count": "qk_rope_head_dim",
    "attention.value_length_mla": "v_head_dim",
    "attention.key_length_mla": "mla_head_dim",
    "ssm.conv_kernel": "linear_conv_kernel_dim",
    "ssm.state_size": "linear_key_head_dim",
    "ssm.group_count": "linear_num_key_heads",
    "ssm.time_step_rank": "linear_num_value_heads",
    "ssm.inner_size": "linear_inner_size",
}
"""llama.cpp's words to Hugging Face's."""

_MODEL_TYPES = {traits.gguf: name for name, traits in reversed(TRAITS.items())} | {
    "llama": "llama", "deepseek2": "deepseek_v3", "gemma3": "gemma3_text", "chatglm": "chatglm",
}  # fmt: skip


def config_of(contents: Contents) -> dict[str, Any]:
    """The header's facts in Hugging Face's words.

    Usage: ``read_architecture(config_of(inspect_gguf(path)))``. Heads are read off the shapes of
    the tensors. An architecture that labkit does not know keeps llama.cpp's name, which
    :func:`~labkit.architecture.layers.read_architecture` then refuses by that name.
    """
    name = contents.architecture
    config: dict[str, Any] = {"model_type": _MODEL_TYPES.get(name, name)}
    for key, value in contents.metadata.items():
        word = _WORDS.get(key.removeprefix(f"{name}."))
        if word and key.startswith(f"{name}."):
            config[word] = value
    shapes = {key: tensor.shape for key, tensor in contents.tensors.items()}
    config["vocab_size"] = shapes.get("token_embd.weight", (None,))[0]
    config["tie_word_embeddings"] = "output.weight" not in shapes
    heads, layers = config.get("num_attention_heads"), config.get("num_hidden_layers") or 0
    if config.get("kv_lora_rank"):
        config["num_key_value_heads"] = heads
        config.pop("head_dim", None)
        whole, rope = config.pop("mla_head_dim", None), config.get("qk_rope_head_dim")
        config["qk_nope_head_dim"] = whole - rope if whole and rope else None
    elif dim := config.get("head_dim") or (config.get("hidden_size") or 0) // (heads or 1):
        keys = next((s for key, s in shapes.items() if key.endswith("attn_k.weight")), None)
        if keys:
            config["num_key_value_heads"] = keys[0] // dim
    if "linear_inner_size" in config:
        inner = config.pop("linear_inner_size")
        config["linear_value_head_dim"] = inner // (config.get("linear_num_value_heads") or 1)
        config["layer_types"] = [
            "full_attention" if f"blk.{i}.attn_k.weight" in shapes else "linear_attention"
            for i in range(min(layers, 2000))
        ]
    return config
