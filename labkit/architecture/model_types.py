"""In what one model type differs from another: a table, by the ``model_type`` of config.json.

Most models of today are Llama with a few traits changed: a bias, a norm, a window, experts.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Traits:
    """In what a model type differs from Llama.

    gguf: llama.cpp's name of the architecture. norms: of one layer, in llama.cpp's names.
    qk_norm: "head" (one weight a dimension of a head) or "full" (one a dimension of all heads).
    bias, o_bias: the fields that switch the biases of q/k/v and of the output projection.
    qkv_bias: what holds where the field is not given. pattern: of so many layers the last one
    keeps the whole context; 0: the window holds in every layer. llama_cpp_window: whether
    llama.cpp makes use of the window. fused: GGUF keeps q, k, v (and gate, up) in one tensor.
    """

    gguf: str = "llama"
    norms: tuple[str, ...] = ("attn_norm", "ffn_norm")
    norm_bias: bool = False
    qk_norm: str = ""
    bias: str = "attention_bias"
    qkv_bias: bool = False
    o_bias: str = "attention_bias"
    gated: bool = True
    tied: bool = False
    fused_qkv: bool = False
    fused_up: bool = False
    query_gate: bool = False
    router_bias: bool = False
    correction_bias: str = ""
    expert_bias: bool = False
    sinks: bool = False
    pattern: int = 0
    llama_cpp_window: bool = False


_SANDWICH = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")
_POST = ("post_attention_norm", "post_ffw_norm")
_GEMMA3 = Traits("gemma3", _SANDWICH, qk_norm="head", tied=True, pattern=6, llama_cpp_window=True)
_QWEN_NEXT = Traits("qwen3next", qk_norm="head", query_gate=True)
_DEEPSEEK = Traits("deepseek2")
_DEEPSEEK_V3 = Traits("deepseek2", correction_bias="buffer")

TRAITS: dict[str, Traits] = {
    "llama": Traits(),
    "Yi": Traits(),
    "mistral": Traits(),
    "ministral": Traits(),
    "ministral3": Traits("mistral3"),
    "mixtral": Traits(),
    "smollm3": Traits("smollm3"),
    "granite": Traits("granite"),
    "internlm2": Traits("internlm2", bias="bias", o_bias="bias"),
    "baichuan": Traits("baichuan"),
    "minicpm": Traits("minicpm", tied=True),
    "seed_oss": Traits("seed_oss", qkv_bias=True, o_bias="attention_out_bias"),
    "ernie4_5": Traits("ernie4_5", bias="use_bias", o_bias="use_bias", tied=True),
    "ernie4_5_moe": Traits(
        "ernie4_5-moe", bias="use_bias", o_bias="use_bias", tied=True, correction_bias="weight"
    ),
    "qwen2": Traits("qwen2", bias="", qkv_bias=True, o_bias=""),
    "qwen2_moe": Traits("qwen2moe", bias="qkv_bias", qkv_bias=True, o_bias=""),
    "qwen3": Traits("qwen3", qk_norm="head"),
    "qwen3_moe": Traits("qwen3moe", qk_norm="head"),
    "qwen3_next": _QWEN_NEXT,
    "qwen3_5_text": Traits("qwen35", qk_norm="head", query_gate=True),
    "qwen3_5_moe_text": Traits("qwen35moe", qk_norm="head", query_gate=True),
    "gemma": Traits("gemma", tied=True),
    "gemma2": Traits("gemma2", _SANDWICH, tied=True, pattern=2, llama_cpp_window=True),
    "gemma3_text": _GEMMA3,
    "gemma3n_text": Traits(
        "gemma3n", _SANDWICH, qk_norm="head", tied=True, pattern=5, llama_cpp_window=True
    ),
    "gemma4_text": Traits(
        "gemma4", _SANDWICH, qk_norm="head", tied=True, pattern=6, llama_cpp_window=True
    ),
    "phi3": Traits("phi3", fused_qkv=True, fused_up=True, bias="", o_bias=""),
    "phimoe": Traits("phimoe", norm_bias=True),
    "chatglm": Traits(
        "chatglm", bias="add_qkv_bias", o_bias="add_bias_linear", fused_qkv=True, fused_up=True
    ),
    "glm": Traits("chatglm", o_bias="", fused_up=True),
    "glm4": Traits("glm4", _SANDWICH, o_bias="", fused_up=True),
    "glm4_moe": Traits("glm4moe", qk_norm="head", o_bias="", correction_bias="buffer"),
    "glm4_moe_lite": _DEEPSEEK_V3,
    "glm_moe_dsa": Traits("glm-dsa", correction_bias="buffer"),
    "deepseek_v2": _DEEPSEEK,
    "deepseek_v3": _DEEPSEEK_V3,
    "deepseek_v32": Traits("deepseek32", correction_bias="buffer"),
    "kimi_k2": _DEEPSEEK_V3,
    "mistral4": Traits("mistral4"),
    "gpt_oss": Traits(
        "gpt-oss", ("attn_norm", "post_attention_norm"), qkv_bias=True, router_bias=True,
        expert_bias=True, sinks=True, pattern=2, llama_cpp_window=True,
    ),
    "llama4_text": Traits("llama4", pattern=4, llama_cpp_window=True),
    "olmo2": Traits("olmo2", _POST, qk_norm="full"),
    "olmo3": Traits("olmo2", _POST, qk_norm="full", pattern=4, llama_cpp_window=True),
    "olmoe": Traits("olmoe", qk_norm="full"),
    "exaone4": Traits("exaone4", _POST, qk_norm="head", pattern=4, llama_cpp_window=True),
    "cohere": Traits("command-r", ("attn_norm",), tied=True),
    "cohere2": Traits("cohere2", ("attn_norm",), tied=True, pattern=4, llama_cpp_window=True),
    "hunyuan_v1_dense": Traits("hunyuan-dense", qk_norm="head"),
    "hunyuan_v1_moe": Traits("hunyuan-moe", qk_norm="head"),
    "hy_v3": Traits("hy_v3", qk_norm="head", correction_bias="buffer"),
    "dots1": Traits("dots1", qk_norm="head", correction_bias="buffer"),
    "mellum": Traits("mellum", qk_norm="head"),
    "minimax_m2": Traits("minimax-m2", qk_norm="full", correction_bias="buffer"),
    "starcoder2": Traits(
        "starcoder2", norm_bias=True, bias="use_bias", qkv_bias=True, o_bias="use_bias",
        gated=False, tied=True,
    ),
    "falcon": Traits(
        "falcon", ("attn_norm",), norm_bias=True, bias="bias", o_bias="bias", gated=False,
        tied=True, fused_qkv=True,
    ),
}  # fmt: skip
"""Model type to traits; facts of the classes in Transformers 5.23 and of llama.cpp's loaders."""

TEXT_PART = {
    "gemma3": "gemma3_text", "gemma3n": "gemma3n_text", "gemma4": "gemma4_text",
    "gemma4_unified": "gemma4_text", "gemma4_unified_text": "gemma4_text",
    "qwen3_5": "qwen3_5_text", "qwen3_5_moe": "qwen3_5_moe_text",
    "llama4": "llama4_text", "kimi_k25": "deepseek_v3",
}  # fmt: skip
"""Outer model types whose configuration may stand without its ``text_config``."""

LAYER_TYPES = {
    "full_attention": "full", "indexed_attention": "full", "sliding_attention": "sliding",
    "chunked_attention": "chunked", "linear_attention": "linear",
}  # fmt: skip
"""Words of the field ``layer_types`` to kinds of attention."""
