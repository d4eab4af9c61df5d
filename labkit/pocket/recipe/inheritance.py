"""Start a pocket model from the weights of another one, across tokenizers and architectures.

What can be carried over is; the rest stays as initialised and is learnt in the training.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

    Tensors = dict[str, torch.Tensor]


def inherit(
    child: "PreTrainedModel",
    child_tokenizer: "PreTrainedTokenizerFast",
    parent: "PreTrainedModel",
    parent_tokenizer: "PreTrainedTokenizerFast",
) -> list[str]:
    """Copy into *child* all that *parent* (a dense Llama) can give; returns what it could not.

    Usage: ``fresh = inherit(qwen, qwen_tokenizer, llama, llama_tokenizer)``
    """
    import torch

    source, target = dict(parent.state_dict()), child.state_dict()
    config = child.config
    for index in range(config.num_hidden_layers):
        prefix = f"model.layers.{index}."
        if config.model_type == "glm":
            _to_glm(source, prefix, parent.config)
        if config.model_type == "deepseek_v2":
            _to_latent(source, prefix, parent.config, config)
        elif config.num_key_value_heads == 4:
            _to_all_heads(source, prefix, parent.config.head_dim)
        if f"{prefix}mlp.experts.gate_up_proj" in target:
            _to_experts(source, prefix, target)
    rows = _match_tokens(child_tokenizer, parent_tokenizer)
    fresh = []
    with torch.no_grad():
        for name, tensor in target.items():
            if name in ("model.embed_tokens.weight", "lm_head.weight"):
                for token, ids in enumerate(rows):
                    if ids:
                        tensor[token] = source[name][ids].mean(0)
            elif name in source and source[name].shape == tensor.shape:
                tensor.copy_(source[name])
            else:
                fresh.append(name)
    child.load_state_dict(target)
    return fresh


def _match_tokens(
    child: "PreTrainedTokenizerFast", parent: "PreTrainedTokenizerFast"
) -> list[list[int]]:
    """For each token of the child the parent's tokens that spell the same; none if special."""
    special = set(child.all_special_ids)
    matched = []
    for token in range(len(child)):
        piece = child.convert_ids_to_tokens(token)
        if token in special or piece.startswith("<0x"):
            shared = parent.convert_tokens_to_ids(piece) if token in special else None
            matched.append([shared] if shared is not None else [])
            continue
        text = piece.replace("▁", " ") if "▁" in piece else child.decode([token])
        if "�" in text:
            same = parent.convert_tokens_to_ids(piece)
            matched.append([same] if same is not None else [])
        else:
            matched.append(parent(text, add_special_tokens=False)["input_ids"])
    return matched


def _to_all_heads(source: "Tensors", prefix: str, head_dim: int) -> None:
    """From grouped-query to multi-head attention: every query head gets its own copy."""
    for name in ("k_proj", "v_proj"):
        weight = source[f"{prefix}self_attn.{name}.weight"]
        heads = weight.unflatten(0, (-1, head_dim))
        source[f"{prefix}self_attn.{name}.weight"] = heads.repeat_interleave(2, 0).flatten(0, 1)


def _split_rotary(config: "PreTrainedConfig") -> tuple[list[int], list[int]]:
    """Rows of a Llama head that keep turning, as neighbours, and those that will stand still.

    Llama turns the pairs (i, i + 32) of a head, pair i by base**(-i/32); GLM and DeepSeek turn the
    neighbours in half of a head, sixteen pairs. Each of them takes the pair that turns about as
    fast; the others, with the slow ones, stand still.
    """
    import math

    half = config.head_dim // 2
    ratio = 2 * math.log(10_000) / math.log(config.rope_parameters["rope_theta"])
    turned = [round(pair * ratio) for pair in range(half // 2)]
    still = [pair for pair in range(half) if pair not in turned]
    rows = ([place for pair in pairs for place in (pair, pair + half)] for pairs in (turned, still))
    return next(rows), next(rows)


def _to_glm(source: "Tensors", prefix: str, config: "PreTrainedConfig") -> None:
    """To GLM's rotary, which turns the first half of a head, and its fused feed-forward layer."""
    import torch

    turned, still = _split_rotary(config)
    for name in ("q_proj", "k_proj"):
        weight = source[f"{prefix}self_attn.{name}.weight"]
        heads = weight.unflatten(0, (-1, config.head_dim))
        source[f"{prefix}self_attn.{name}.weight"] = heads[:, turned + still].flatten(0, 1)
    source[f"{prefix}mlp.gate_up_proj.weight"] = torch.cat(
        [source[f"{prefix}mlp.{name}.weight"] for name in ("gate_proj", "up_proj")]
    )


def _to_latent(
    source: "Tensors", prefix: str, config: "PreTrainedConfig", child: "PreTrainedConfig"
) -> None:
    """To multi-head latent attention: queries, and keys with values, through a narrow middle.

    The middle is the best of its rank (singular value decomposition). All heads share the turning
    part of a key, while Llama has one for each of two groups: every pair is taken from the group
    that uses it more, and the heads of the other do without it.
    """
    import torch

    turned, still = _split_rotary(config)
    names = ("q_proj", "k_proj", "v_proj")
    q, k, v = (
        source[f"{prefix}self_attn.{name}.weight"].unflatten(0, (-1, config.head_dim))
        for name in names
    )
    heads, groups = len(q), len(k)
    group = [head * groups // heads for head in range(heads)]
    # Use of a pair by a group: length of its queries' rows times that of its keys'.
    asks, keys = (rows[:, turned].unflatten(1, (-1, 2)).norm(dim=(2, 3)) for rows in (q, k))
    use = asks.unflatten(0, (groups, -1)).sum(1) * keys
    owner = use.argmax(0).repeat_interleave(2)
    shared = torch.stack([k[int(g), row] for g, row in zip(owner, turned, strict=True)])
    turning = torch.stack([q[h, turned] * (owner == group[h])[:, None] for h in range(heads)])
    queries = torch.cat([q[:, still], turning], 1).flatten(0, 1)
    norm = source[f"{prefix}input_layernorm.weight"]
    down, scale, up = _narrow(queries, child.q_lora_rank, norm)
    source[f"{prefix}self_attn.q_a_proj.weight"] = down
    source[f"{prefix}self_attn.q_a_layernorm.weight"] = scale
    source[f"{prefix}self_attn.q_b_proj.weight"] = up
    both = torch.cat([torch.cat([k[:, still], v], 1)[g] for g in range(groups)])
    down, scale, up = _narrow(both, child.kv_lora_rank, norm)
    source[f"{prefix}self_attn.kv_a_proj_with_mqa.weight"] = torch.cat([down, shared])
    source[f"{prefix}self_attn.kv_a_layernorm.weight"] = scale
    source[f"{prefix}self_attn.kv_b_proj.weight"] = up.unflatten(0, (groups, -1))[group].flatten(
        0, 1
    )


def _narrow(
    weight: "torch.Tensor", rank: int, norm: "torch.Tensor"
) -> "tuple[torch.Tensor, torch.Tensor, torch.Tensor]":
    """A matrix as two of *rank* with a norm between: down, the norm's weight, up.

    The norm divides by the size of what comes down; its weight gives the usual size back, which is
    known, for what comes in is normed too.
    """
    import torch

    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    down = right[:rank]
    size = ((down * norm) ** 2).sum(1).mean().sqrt()
    return down, size.expand(rank).clone(), left[:, :rank] * values[:rank]


def _to_experts(source: "Tensors", prefix: str, target: "Tensors") -> None:
    """Upcycle a feed-forward layer: halves of it become experts, with a little noise between twins.

    A routed output is weighted by about one half, so the experts' last layer is doubled.
    """
    import torch

    gate, up, down = (
        source[f"{prefix}mlp.{name}.weight"] for name in ("gate_proj", "up_proj", "down_proj")
    )
    width = gate.shape[0] // 2
    experts = target[f"{prefix}mlp.experts.down_proj"].shape[0]
    shared = f"{prefix}mlp.shared_experts.gate_proj.weight" in target
    noise = torch.Generator().manual_seed(0)

    def part(weight: "torch.Tensor", half: int, dim: int) -> "torch.Tensor":
        piece = weight.narrow(dim, half * width, width)
        scale = 0.3 * float(piece.std())
        return piece + scale * torch.randn(piece.shape, generator=noise)

    halves = [1 if shared else expert % 2 for expert in range(experts)]
    source[f"{prefix}mlp.experts.gate_up_proj"] = torch.stack(
        [torch.cat([part(gate, half, 0), part(up, half, 0)]) for half in halves]
    )
    source[f"{prefix}mlp.experts.down_proj"] = torch.stack(
        [2 * part(down, half, 1) for half in halves]
    )
    if shared:
        for name, weight, dim in (("gate", gate, 0), ("up", up, 0), ("down", down, 1)):
            source[f"{prefix}mlp.shared_experts.{name}_proj.weight"] = weight.narrow(dim, 0, width)
