"""What llama.cpp wants of a Hugging Face checkpoint: its numbers and its weights, one at a time.

Weights are read as they are written, so a model larger than the memory can be converted. Classes
and names follow llama.cpp's loaders (``src/llama-model.cpp``) and the maps in ``gguf``.

Not covered: DeepSeek-V2's group-limited routing (the 236B model routes without groups here),
rope types other than default, linear, llama3 and yarn, pickled checkpoints.
"""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..architecture.config_file import read_json_file
from ..core.errors import LabError
from ..core.extras import need
from ..core.i18n import t
from ..core.safe_names import path_below

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARCHITECTURES: dict[str, str] = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "llama",
    "MixtralForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "DeepseekV2ForCausalLM": "deepseek2",
    "GlmForCausalLM": "chatglm",
}
"""Hugging Face's class to llama.cpp's architecture."""

_PER_EXPERT = re.compile(r"(.*)\.experts\.(\d+)\.(\w+)\.weight")
_EXPERT_PARTS = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}


@dataclass(frozen=True)
class Weight:
    """One tensor of a GGUF file. shape: as PyTorch writes it. read: gives float16 or float32."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], "NDArray[Any]"]

    @property
    def stays_float32(self) -> bool:
        """Norms, biases and routers are small and sensitive; llama.cpp keeps them in float32."""
        return len(self.shape) == 1 or "ffn_gate_inp" in self.name


def check_config(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same configuration, of a model that can be converted.

    Usage: ``check_config(read_json_config(folder))["hidden_size"]``

    Raises LabError where its class is not in ARCHITECTURES.
    """
    name = model_class(config)
    if name not in ARCHITECTURES:
        raise LabError(
            t(
                f"Models of class '{name}' cannot be converted to GGUF here.",
                f"这里不能把 '{name}' 类的模型转换为 GGUF。",
            ),
            t(
                f"Supported: {', '.join(ARCHITECTURES)}. For others take a published GGUF file.",
                f"支持的类：{'、'.join(ARCHITECTURES)}。其他模型请直接使用已发布的 GGUF 文件。",
            ),
        )
    return config


def model_class(config: Mapping[str, Any]) -> str:
    """The class named in a configuration, or an empty string."""
    return str((config.get("architectures") or [""])[0])


# --- numbers ----------------------------------------------------------------------------------


def add_numbers(writer: Any, config: Mapping[str, Any]) -> None:
    """Write the sizes of a model into a ``gguf.GGUFWriter``.

    Raises LabError for a rope type that is not covered.
    """
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    if model_class(config) == "DeepseekV2ForCausalLM":
        _add_latent_attention(writer, config)
    else:
        writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
        dim = head_dim(config)
        writer.add_key_length(dim)
        writer.add_value_length(dim)
        writer.add_rope_dimension_count(int(dim * _rope(config).get("partial_rotary_factor", 1.0)))
    if model_class(config) == "MixtralForCausalLM":
        writer.add_expert_count(config["num_local_experts"])
        writer.add_expert_used_count(config["num_experts_per_tok"])
    if model_class(config) == "MistralForCausalLM" and config.get("sliding_window"):
        writer.add_sliding_window(config["sliding_window"])  # said, although llama.cpp ignores it
    _add_rope(writer, config)


def head_dim(config: Mapping[str, Any]) -> int:
    """Width of one attention head; old configurations leave it out where it is a plain share."""
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _add_latent_attention(writer: Any, config: Mapping[str, Any]) -> None:
    """DeepSeek-V2: llama.cpp absorbs the up-projections, and then all heads share one key."""
    latent, rope = config["kv_lora_rank"], config["qk_rope_head_dim"]
    writer.add_head_count_kv(1)
    writer.add_key_length(latent + rope)
    writer.add_value_length(latent)
    writer.add_key_length_mla(config["qk_nope_head_dim"] + rope)
    writer.add_value_length_mla(config["v_head_dim"])
    if config.get("q_lora_rank"):
        writer.add_q_lora_rank(config["q_lora_rank"])
    writer.add_kv_lora_rank(latent)
    writer.add_rope_dimension_count(rope)
    writer.add_leading_dense_block_count(config["first_k_dense_replace"])
    writer.add_expert_feed_forward_length(config["moe_intermediate_size"])
    writer.add_expert_count(config["n_routed_experts"])
    writer.add_expert_used_count(config["num_experts_per_tok"])
    writer.add_expert_shared_count(config["n_shared_experts"])
    writer.add_expert_weights_scale(float(config["routed_scaling_factor"]))
    writer.add_expert_weights_norm(bool(config["norm_topk_prob"]))
    writer.add_expert_gating_func(need("gguf").ExpertGatingFuncType.SOFTMAX)


def _rope(config: Mapping[str, Any]) -> dict[str, Any]:
    """Transformers 5 has ``rope_parameters``; before, ``rope_theta`` stood beside a scaling."""
    old = dict(config.get("rope_scaling") or {})
    for key in ("rope_theta", "partial_rotary_factor"):
        if key in config:
            old[key] = config[key]
    rope = dict(config.get("rope_parameters") or old)
    rope["rope_type"] = rope.get("rope_type") or rope.get("type") or "default"
    if model_class(config) == "GlmForCausalLM":
        rope.setdefault("partial_rotary_factor", 0.5)  # the class's own default
    return rope


def _add_rope(writer: Any, config: Mapping[str, Any]) -> None:
    rope = _rope(config)
    kind = rope["rope_type"]
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    scaling = need("gguf").RopeScalingType
    if kind == "linear":
        writer.add_rope_scaling_type(scaling.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(scaling.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if rope.get("mscale_all_dim"):
            # llama.cpp multiplies it by a logarithm of its own; see deepseek2.cpp.
            writer.add_rope_scaling_yarn_log_mul(0.1 * rope["mscale_all_dim"])
    elif kind not in ("default", "llama3"):
        raise LabError(
            t(
                f"The rope type '{kind}' cannot be written to GGUF here.",
                f"这里不能把 rope 类型 '{kind}' 写进 GGUF。",
            ),
            t("Use a published GGUF file.", "请使用已发布的 GGUF 文件。"),
        )


def _llama3_frequencies(config: Mapping[str, Any]) -> Iterator[Weight]:
    """Llama 3.1's slowed rotations, as divisors of the frequencies (Transformers' rope utils)."""
    import numpy as np

    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return
    dim, low, high = head_dim(config), rope["low_freq_factor"], rope["high_freq_factor"]
    turns = rope["original_max_position_embeddings"] / (
        2 * math.pi * rope["rope_theta"] ** (np.arange(0, dim, 2) / dim)
    )
    share = np.clip((turns - low) / (high - low), 0, 1)  # 1: turns often enough, left alone
    factors = (1 / ((1 - share) / rope["factor"] + share)).astype(np.float32)
    yield Weight("rope_freqs.weight", factors.shape, lambda: factors)


# --- weights ----------------------------------------------------------------------------------


def list_weights(folder: Path, config: Mapping[str, Any]) -> list[Weight]:
    """All tensors of the GGUF file, in order; nothing is read yet.

    Usage: ``sum(math.prod(w.shape) for w in list_weights(folder, config))``

    Raises LabError for missing or cut-off safetensors and for tensors that have no place.
    """
    source = _stored(folder)
    weights = list(_llama3_frequencies(config))
    experts: dict[str, dict[int, Weight]] = {}
    for name, weight in source.items():
        if name.endswith("rotary_emb.inv_freq"):
            continue
        if name == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        single = _PER_EXPERT.fullmatch(name)
        if single:
            stem = single[1].replace("block_sparse_moe", "mlp")  # as Mixtral was published
            part = _EXPERT_PARTS.get(single[3], single[3])
            experts.setdefault(f"{stem}.experts.{part}.weight", {})[int(single[2])] = weight
        else:
            weights.extend(lay_out(weight, config))
    weights.extend(_stack(name, by_index) for name, by_index in experts.items())
    return rename_weights(weights, config)


def lay_out(weight: Weight, config: Mapping[str, Any]) -> Iterator[Weight]:
    """The weight as llama.cpp lays it out; some become two."""
    name, shape, read = weight.name, weight.shape, weight.read
    if name.endswith("experts.gate_up_proj"):  # Transformers 5: gate above up, in each expert
        half = shape[1] // 2
        stem = name.removesuffix("gate_up_proj")
        shape = (shape[0], half, shape[2])
        yield Weight(f"{stem}gate_proj.weight", shape, lambda: read()[:, :half])
        yield Weight(f"{stem}up_proj.weight", shape, lambda: read()[:, half:])
    elif name.endswith("experts.down_proj"):
        yield Weight(f"{name}.weight", shape, read)
    elif name.endswith("self_attn.kv_b_proj.weight"):
        yield from _split_up_projection(weight, config)
    elif ARCHITECTURES[model_class(config)] == "llama" and re.search(
        r"self_attn\.[qk]_proj\.", name
    ):
        heads = config["num_attention_heads"]
        if "k_proj" in name:
            heads = config.get("num_key_value_heads") or heads
        yield Weight(name, shape, lambda: _interleave(read(), heads))
    else:
        yield weight


def _interleave(rows: "NDArray[Any]", heads: int) -> "NDArray[Any]":
    """Rows of each head so that the two numbers rotated together are neighbours.

    Hugging Face's Llama rotates number i with i + head_dim/2, llama.cpp's number 2i with 2i + 1.
    """
    halves = rows.reshape(heads, 2, -1, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _split_up_projection(weight: Weight, config: Mapping[str, Any]) -> Iterator[Weight]:
    """DeepSeek-V2's kv_b, head by head into keys (transposed, to be absorbed) and values."""
    heads, latent = config["num_attention_heads"], config["kv_lora_rank"]
    nope, value = config["qk_nope_head_dim"], config["v_head_dim"]

    def by_head() -> "NDArray[Any]":
        return weight.read().reshape(heads, nope + value, latent)

    stem = weight.name.removesuffix("kv_b_proj.weight")
    yield Weight(
        f"{stem}k_b_proj.weight",
        (heads, latent, nope),
        lambda: by_head()[:, :nope].swapaxes(1, 2),
    )
    yield Weight(f"{stem}v_b_proj.weight", (heads, value, latent), lambda: by_head()[:, nope:])


def _stack(name: str, by_index: Mapping[int, Weight]) -> Weight:
    """The experts of one layer as one tensor."""
    import numpy as np

    ordered = [by_index[index] for index in sorted(by_index)]
    return Weight(
        name, (len(ordered), *ordered[0].shape), lambda: np.stack([w.read() for w in ordered])
    )


def rename_weights(weights: list[Weight], config: Mapping[str, Any]) -> list[Weight]:
    """The weights under llama.cpp's names."""
    gguf = need("gguf")
    architecture = ARCHITECTURES[model_class(config)]
    number = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture)
    names = gguf.get_tensor_name_map(number, config["num_hidden_layers"])
    renamed = []
    for weight in weights:
        name = weight.name
        if name != "rope_freqs.weight":
            name = names.get_name(weight.name, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise LabError(
                t(
                    f"The tensor '{weight.name}' has no place in llama.cpp's '{architecture}'.",
                    f"张量 '{weight.name}' 在 llama.cpp 的 '{architecture}' 架构里没有位置。",
                ),
                t(
                    "Merge adapters and undo quantization before converting.",
                    "请先合并适配器、还原量化，再转换。",
                ),
            )
        renamed.append(replace(weight, name=name))
    return renamed


def _stored(folder: Path) -> dict[str, Weight]:
    """The tensors of all safetensors files in a folder, under Hugging Face's names."""
    utility = need("gguf.utility")
    weights: dict[str, Weight] = {}
    for path in weight_files(folder):
        size = path.stat().st_size
        try:
            tensors = utility.SafetensorsLocal(path).tensors
        except ValueError as error:
            raise _cut_off(path) from error
        for name, tensor in tensors.items():
            if tensor.data_range.offset + tensor.data_range.size > size:
                raise _cut_off(path)
            weights[name] = Weight(name, tuple(tensor.shape), _reader(name, tensor))
    return weights


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a model; where an index lists them, those.

    Raises LabError where there are none, where one that the index lists is missing, or lies
    elsewhere.
    """
    index = folder / "model.safetensors.index.json"
    if index.exists():
        listed = read_json_file(index).get("weight_map")
        if not isinstance(listed, dict):
            raise _cut_off(index)
        paths = [path_below(folder, name) for name in sorted(set(map(str, listed.values())))]
    else:
        paths = sorted(folder.glob("model*.safetensors"))
    missing = [path.name for path in paths if not path.exists()]
    if missing or not paths:
        names = ", ".join(missing) or "model.safetensors"
        raise LabError(
            t(f"'{folder}' lacks {names}.", f"'{folder}' 里缺少 {names}。"),
            t(
                "Download the model's safetensors; other checkpoints are not read.",
                "请下载该模型的 safetensors 文件；不读取其他格式的权重。",
            ),
        )
    return paths


def _reader(name: str, tensor: Any) -> Callable[[], "NDArray[Any]"]:
    import numpy as np

    kinds = {"F16": np.float16, "F32": np.float32, "BF16": np.uint16}
    if tensor.dtype not in kinds:
        raise LabError(
            t(
                f"The tensor '{name}' is stored as {tensor.dtype}.",
                f"张量 '{name}' 的存储类型是 {tensor.dtype}。",
            ),
            t("Convert from weights in F16, BF16 or F32.", "请用 F16、BF16 或 F32 的权重来转换。"),
        )

    def read() -> "NDArray[Any]":
        data: NDArray[Any] = tensor.mmap_bytes().view(kinds[tensor.dtype]).reshape(tensor.shape)
        if tensor.dtype == "BF16":  # the upper half of a float32
            data = (data.astype(np.uint32) << 16).view(np.float32)
        return data

    return read


def _cut_off(path: Path) -> LabError:
    return LabError(
        t(f"'{path}' is damaged or cut off.", f"'{path}' 已损坏或不完整。"),
        t("Download it again.", "请重新下载。"),
    )
