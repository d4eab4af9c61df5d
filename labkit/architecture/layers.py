"""What a model is built of, read from its ``config.json`` in Hugging Face's own words.

Everything is read from the configuration and from the table of traits; nothing is guessed: a
field that is needed and missing is named in the error.

Not covered: vision and audio towers, multi-token-prediction layers, encoders.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import LabError
from ..core.i18n import t
from .config_fields import Words
from .model_types import LAYER_TYPES, TEXT_PART, TRAITS, Traits


@dataclass(frozen=True, slots=True)
class Layer:
    """One decoder layer.

    attention: "full", "sliding", "chunked" (both: the cache ends at ``window``) or "linear" (a
    state of fixed size). intermediate_size: of the dense feed-forward part, 0 where there is
    none. experts: whether routed experts follow. caches: False where the keys and values of an
    earlier layer are used again. indexer: whether it chooses its tokens by an index of its own.
    """

    attention: str
    num_key_value_heads: int
    head_dim: int
    v_head_dim: int
    window: int
    intermediate_size: int
    experts: bool
    caches: bool = True
    value_is_key: bool = False
    indexer: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Architecture:
    """All numbers of a decoder that memory depends on; sizes are counts of elements.

    Compared by identity: two readings of one configuration are two objects.
    """

    model_type: str
    traits: Traits
    hidden_size: int
    vocab_size: int
    num_attention_heads: int
    max_position_embeddings: int
    tie_word_embeddings: bool
    qkv_bias: bool
    o_bias: bool
    mlp_bias: bool
    head_bias: bool
    qk_norm: bool
    layers: tuple[Layer, ...]
    num_experts: int = 0
    num_experts_per_tok: int = 0
    moe_intermediate_size: int = 0
    shared_expert_intermediate_size: int = 0
    shared_expert_gate: bool = False
    kv_lora_rank: int = 0
    q_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    extra: Mapping[str, int] = field(default_factory=dict)

    @property
    def head_dim(self) -> int:
        """Width of one query head in the first layer that attends."""
        return next((layer.head_dim for layer in self.layers if layer.attention != "linear"), 1)


def read_architecture(config: Mapping[str, Any]) -> Architecture:
    """The architecture that a configuration describes.

    Usage: ``read_architecture(json.load(open("config.json")))``. A configuration with a
    ``text_config`` is read as its language part. Raises LabError for a model type that is not
    supported and for fields that are missing, of the wrong type or out of all proportion; the
    fields are named.
    """
    text = config.get("text_config")
    if isinstance(text, Mapping):
        outer = {key: config[key] for key in ("tie_word_embeddings",) if key in config}
        config = {"model_type": config.get("model_type"), **outer, **text}
    model_type = config.get("model_type")
    words = Words(config)
    if not isinstance(model_type, str):
        raise _unsupported(words, model_type)
    model_type = TEXT_PART.get(model_type, model_type)
    if model_type not in TRAITS:
        raise _unsupported(words, model_type)
    architecture = _read(words, model_type, TRAITS[model_type])
    if words.missing:
        names = ", ".join(words.missing)
        raise LabError(
            t(
                f"The configuration (model_type '{model_type}') lacks: {names}.",
                f"配置（model_type 为 '{model_type}'）缺少字段：{names}。",
            ),
            t("Use the complete config.json of the model.", "请使用该模型完整的 config.json。"),
        )
    return architecture


def _unsupported(words: Words, model_type: object) -> LabError:
    wanted = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
    absent = [name for name in ("model_type", *wanted) if words.config.get(name) is None]
    return LabError(
        t(
            f"The model type {model_type!r:.60} is not supported."
            + (f" Fields missing: {', '.join(absent)}." if absent else ""),
            f"不支持模型类型 {model_type!r:.60}。"
            + (f"缺少字段：{'、'.join(absent)}。" if absent else ""),
        ),
        t(f"Supported: {', '.join(TRAITS)}.", f"支持的类型：{'、'.join(TRAITS)}。"),
    )


def _read(words: Words, model_type: str, traits: Traits) -> Architecture:
    hidden = words.whole("hidden_size")
    count = words.whole("num_hidden_layers", "num_layers", most=2000)
    heads = words.whole("num_attention_heads", most=2**14)
    experts = words.whole(
        "num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts",
        default=0, least=0, most=2**16,
    )  # fmt: skip
    if isinstance(words.config.get("num_experts_per_tok"), list | tuple):  # Hunyuan: one a layer
        each = words.each("num_experts_per_tok", count) or [1]
        used = max(words.checked("num_experts_per_tok", one, 1, 2**16) for one in each)
    else:
        used = words.whole(
            "num_experts_per_tok", "experts_per_token", "moe_k", "moe_topk", "top_k_experts",
            default=None if experts else 0, least=0, most=2**16,
        )  # fmt: skip
    if used > experts:
        raise LabError(
            t(
                f"num_experts_per_tok is {used}, but there are {experts} experts.",
                f"num_experts_per_tok 为 {used}，但只有 {experts} 个专家。",
            ),
            t("Correct it in the config.json.", "请在 config.json 中改正。"),
        )
    qkv_bias = words.flag(traits.bias, traits.qkv_bias)
    kv_rank = words.whole("kv_lora_rank", default=0)
    indexed = words.config.get("index_n_heads") is not None  # its queries start from q_lora
    widths: tuple[str, ...] = ("moe_intermediate_size", "intermediate_size")
    if model_type == "hunyuan_v1_moe":  # its list of widths a layer is not read by Transformers
        widths = widths[1:]
    moe_width = words.whole(*widths) if experts else 0
    shared, gate = _shared_expert(words, model_type, moe_width) if experts else (0, False)
    return Architecture(
        model_type=model_type,
        traits=traits,
        hidden_size=hidden,
        vocab_size=words.whole("padded_vocab_size", "vocab_size", most=2**25),
        num_attention_heads=heads,
        max_position_embeddings=words.whole(
            "max_position_embeddings", "seq_length", default=0, least=0, most=2**40
        ),
        tie_word_embeddings=words.flag("tie_word_embeddings", traits.tied),
        qkv_bias=qkv_bias,
        o_bias=words.flag(traits.o_bias, qkv_bias and traits.o_bias == traits.bias != ""),
        mlp_bias=words.flag("mlp_bias") or (not traits.gated and qkv_bias)
        or (traits.bias == "use_bias" and qkv_bias),
        head_bias=words.flag("lm_head_bias"),
        qk_norm=words.flag("use_qk_norm", bool(traits.qk_norm)) and bool(traits.qk_norm),
        layers=_layers(words, model_type, traits, count, heads, hidden, experts),
        num_experts=experts,
        num_experts_per_tok=used,
        moe_intermediate_size=moe_width,
        shared_expert_intermediate_size=shared,
        shared_expert_gate=gate,
        kv_lora_rank=kv_rank,
        q_lora_rank=words.whole("q_lora_rank", default=None if indexed else 0) if kv_rank else 0,
        qk_nope_head_dim=words.whole("qk_nope_head_dim") if kv_rank else 0,
        qk_rope_head_dim=words.whole("qk_rope_head_dim") if kv_rank else 0,
        extra=_extra(words, model_type),
    )  # fmt: skip


def _shared_expert(words: Words, model_type: str, moe_width: int) -> tuple[int, bool]:
    """Width of the expert that every token uses (0: none), and whether a gate weighs it."""
    if model_type in ("llama4_text", "hunyuan_v1_moe"):
        return words.whole("intermediate_size"), False
    width = words.whole("shared_expert_intermediate_size", default=0, least=0)
    if width:
        return width, True
    count = words.whole(
        "n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert",
        default=0, least=0,
    )  # fmt: skip
    return count * moe_width, False


def _layers(
    words: Words,
    model_type: str,
    traits: Traits,
    count: int,
    heads: int,
    hidden: int,
    experts: int,
) -> tuple[Layer, ...]:
    kinds = _attention_kinds(words, model_type, traits, count)
    sparse = _sparse_layers(words, count) if experts else [False] * count
    both = model_type == "gemma4_text"  # a dense part beside the experts
    dense = words.each("intermediate_size", count) or [0] * count
    if not any(dense) and (both or not all(sparse)):
        name = "intermediate_size_mlp" if model_type == "llama4_text" else "intermediate_size"
        default = 4 * hidden if model_type == "falcon" else None
        dense = [words.whole("ffn_hidden_size", name, default=default)] * count
    kv_heads = _key_value_heads(words, heads)
    if words.config.get("kv_lora_rank"):
        head_dim = words.whole("qk_nope_head_dim") + words.whole("qk_rope_head_dim")
        v_head_dim = words.whole("v_head_dim")
    else:
        derived = hidden // heads if hidden % heads == 0 else None
        head_dim = words.whole("head_dim", "kv_channels", default=derived, most=2**14)
        v_head_dim = head_dim
    window = words.whole(
        "attention_chunk_size" if "chunked" in kinds else "sliding_window",
        default=None if {"sliding", "chunked"} & set(kinds) else 0, least=0, most=2**40,
    )  # fmt: skip
    shared = words.whole("num_kv_shared_layers", default=0, least=0, most=count)
    global_dim = words.whole("global_head_dim", default=head_dim, most=2**14)
    global_heads = words.whole("num_global_key_value_heads", default=kv_heads, most=2**14)
    key_is_value = words.flag("attention_k_eq_v")
    index_types = words.each("indexer_types", count) or ["full"] * count
    indexed = words.config.get("index_n_heads") is not None
    double = words.flag("use_double_wide_mlp")
    own = words.config.get("per_layer_config")  # as Transformers 5 writes Gemma 4
    layers = []
    for i in range(count):
        is_global = model_type == "gemma4_text" and kinds[i] == "full"
        heads_here = global_heads if is_global and key_is_value else kv_heads
        dim, v_dim = (global_dim, global_dim) if is_global else (head_dim, v_head_dim)
        if isinstance(own, Mapping) and isinstance(own.get(f"{i:02d}"), Mapping):
            here = Words(own[f"{i:02d}"])
            dim = v_dim = here.whole("head_dim", default=dim, most=2**14)
            heads_here = here.whole("num_key_value_heads", default=heads_here, most=2**14)
        reuses = i >= count - shared
        width = words.checked("intermediate_size", dense[i], 0, 2**20)
        layers.append(
            Layer(
                attention=kinds[i],
                num_key_value_heads=heads_here,
                head_dim=dim,
                v_head_dim=v_dim,
                window=window if kinds[i] in ("sliding", "chunked") else 0,
                intermediate_size=width * (2 if double and reuses else 1)
                if both or not sparse[i]
                else 0,
                experts=sparse[i],
                caches=not reuses,
                value_is_key=is_global and key_is_value,
                indexer=indexed and index_types[i] == "full",
            )
        )
    return tuple(layers)


def _key_value_heads(words: Words, heads: int) -> int:
    if words.flag("multi_query_attention"):  # ChatGLM
        return words.whole("multi_query_group_num", most=heads)
    if words.flag("multi_query") and not words.flag("new_decoder_architecture"):  # Falcon
        return 1
    kv_heads = words.whole("num_key_value_heads", "num_kv_heads", default=heads, most=2**14)
    if heads % kv_heads:
        raise LabError(
            t(
                f"{heads} attention heads cannot share {kv_heads} key-value heads.",
                f"{heads} 个注意力头无法平分 {kv_heads} 个键值头。",
            ),
            t(
                "Correct num_key_value_heads in the config.json.",
                "请在 config.json 中改正 num_key_value_heads。",
            ),
        )
    return kv_heads


def _attention_kinds(words: Words, model_type: str, traits: Traits, count: int) -> list[str]:
    given = words.each("layer_types", count)
    if given:
        unknown = [kind for kind in given if not isinstance(kind, str) or kind not in LAYER_TYPES]
        if unknown:
            raise LabError(
                t(
                    f"The layer type {unknown[0]!r:.60} is not supported.",
                    f"不支持层类型 {unknown[0]!r:.60}。",
                ),
                t(
                    f"Supported: {', '.join(LAYER_TYPES)}.",
                    f"支持的类型：{'、'.join(LAYER_TYPES)}。",
                ),
            )
        return [LAYER_TYPES[kind] for kind in given]
    if traits.query_gate:
        interval = words.whole("full_attention_interval", default=4)
        return ["full" if (i + 1) % interval == 0 else "linear" for i in range(count)]
    if model_type == "llama4_text":
        return ["full" if (i + 1) % 4 == 0 else "chunked" for i in range(count)]
    if not words.config.get("sliding_window"):
        return ["full"] * count
    if model_type.startswith("qwen"):  # the field is given, and off unless said otherwise
        first = words.whole("max_window_layers", default=count, least=0, most=count)
        off = not words.flag("use_sliding_window")
        return ["full" if off or i < first else "sliding" for i in range(count)]
    pattern = traits.pattern
    if isinstance(words.config.get("sliding_window_pattern"), int):  # EXAONE writes "LLLG"
        pattern = words.whole("sliding_window_pattern")
    return ["full" if pattern and (i + 1) % pattern == 0 else "sliding" for i in range(count)]


def _sparse_layers(words: Words, count: int) -> list[bool]:
    """Which layers have routed experts; each family has its own words for it."""
    given = words.each("mlp_layer_types", count) or words.each("moe_layer_freq", count)
    if given:
        return [kind in ("sparse", 1) for kind in given]
    first = words.whole(
        "first_k_dense_replace", "moe_layer_start_index", default=0, least=0, most=2**20
    )
    last = words.whole("moe_layer_end_index", default=-1, least=-1, most=2**20)
    step = words.whole(
        "decoder_sparse_step", "moe_layer_interval", "interleave_moe_layer_step",
        "moe_layer_freq", default=1,
    )  # fmt: skip
    only_dense = words.config.get("mlp_only_layers") or ()
    if not isinstance(only_dense, list | tuple):
        only_dense = ()
    return [
        first <= i <= (count if last < 0 else last) and (i + 1) % step == 0 and i not in only_dense
        for i in range(count)
    ]


_EXTRA = {
    "linear": (
        "linear_num_key_heads", "linear_num_value_heads", "linear_key_head_dim",
        "linear_value_head_dim", "linear_conv_kernel_dim",
    ),
    "per_layer": ("hidden_size_per_layer_input", "vocab_size_per_layer_input"),
    "gemma3n": ("altup_num_inputs", "laurel_rank"),
    "index": ("index_n_heads", "index_head_dim"),
}  # fmt: skip


def _extra(words: Words, model_type: str) -> dict[str, int]:
    """Numbers that only some architectures have."""
    names: tuple[str, ...] = ()
    if TRAITS[model_type].query_gate:
        names += _EXTRA["linear"]
    if words.config.get("hidden_size_per_layer_input"):
        names += _EXTRA["per_layer"]
    if model_type == "gemma3n_text":
        names += _EXTRA["gemma3n"]
    if words.config.get("index_n_heads") is not None:
        names += _EXTRA["index"]
    return {name: words.whole(name, most=2**25) for name in names}
