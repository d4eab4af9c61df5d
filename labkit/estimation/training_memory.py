"""Memory to fine-tune a model: fully, with LoRA or with QLoRA, on one GPU or sharded over several.

What counts is the peak that PyTorch allocates in one step (forward, backward, optimizer), as
``torch.cuda.max_memory_allocated`` reports it, with Hugging Face's Trainer, PEFT and
FlashAttention or SDPA. The peak lies in one of three places: at the loss, where the logits lie
four times over; in the backward pass of a layer; or in the optimizer's step.

Measured ground: Mistral-7B and PowerLM-3B (full, LoRA, QLoRA; one and two A100), Llama-2 7B and
13B (LoRA without checkpointing), and torch's MemTracker on further shapes (tests).

Not covered: sequence and pipeline parallelism, ZeRO-Offload, packing of samples, fragmentation.
"""

from dataclasses import dataclass

from ..architecture.layers import Architecture, Layer
from ..architecture.tensors import count_parameters, list_tensors
from ..core.errors import LabError
from ..core.i18n import t
from ..core.numbers import is_whole
from ..core.units import MiB, show_bytes
from .transformers_weights import BITS_AND_BYTES, is_linear, largest_matrix, loaded_weights

METHODS = ("full", "lora", "qlora")
PRECISIONS = ("bf16", "fp16", "fp32", "mixed")
OPTIMIZERS = ("adamw_torch", "adamw_torch_fused", "adamw_8bit", "paged_adamw_8bit", "sgd")

TARGETS = {
    "q_proj": ("attn_q", "attn_q_b"), "k_proj": ("attn_k",), "v_proj": ("attn_v",),
    "o_proj": ("attn_output",), "qkv_proj": ("attn_qkv",), "query_key_value": ("attn_qkv",),
    "gate_proj": ("ffn_gate",), "up_proj": ("ffn_up",), "down_proj": ("ffn_down",),
    "gate_up_proj": ("ffn_up",), "kv_a_proj_with_mqa": ("attn_kv_a_mqa",),
    "q_a_proj": ("attn_q_a",), "q_b_proj": ("attn_q_b",), "dense": ("attn_output",),
}  # fmt: skip
"""PEFT's ``target_modules`` to llama.cpp's tensor names."""


@dataclass(frozen=True, slots=True)
class Training:
    """How a model is tuned.

    method: "full", "lora" or "qlora"; quant: of the base under QLoRA, "nf4-double", "nf4" or
    "int8". batch: samples of one step on one GPU; seq: tokens of a sample. rank, targets: of
    LoRA; targets are PEFT's module names or "all-linear". precision: "bf16" or "fp16" (all
    weights in 16 bits), "fp32", or "mixed" (full: fp32 weights and 16-bit arithmetic; LoRA and
    QLoRA: norms and hidden states in fp32, as after ``prepare_model_for_kbit_training``).
    checkpointing: of every layer. optimizer: one of OPTIMIZERS; "adamw_torch" is PyTorch's own
    with its temporary of one moment's size. fused: kernels of Liger, Unsloth or torch.compile:
    the logits are never whole in memory, and norms and adapters keep nothing in float32. gpus:
    sharded by FSDP; all sizes are then those of one GPU. vram: of one GPU, bytes.
    """

    method: str
    batch: int = 1
    seq: int = 2048
    rank: int = 16
    targets: tuple[str, ...] | str = "all-linear"
    precision: str = "bf16"
    checkpointing: bool = True
    optimizer: str = "adamw_torch"
    fused: bool = False
    quant: str = "nf4-double"
    gpus: int = 1
    vram: int | None = None


@dataclass(frozen=True, slots=True)
class TrainingEstimate:
    """Peak memory of training on one GPU, in bytes.

    total = weights + adapter + gradients + optimizer + activations + runtime. activations: what
    the peak holds beside the four before it; where the optimizer's step is the peak, its
    temporary. runtime: workspaces of cuBLAS and what an unpacked NF4 matrix takes.
    trainable_parameters: of the whole model. fits: None where no memory was given.
    """

    model: str
    method: str
    batch: int
    seq: int
    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    runtime: int
    total: int
    trainable_parameters: int
    warnings: tuple[str, ...]
    validity: str
    fits: bool | None = None

    def __str__(self) -> str:
        names = {
            "weights": t("weights", "权重"),
            "adapter": t("adapter", "适配器"),
            "gradients": t("gradients", "梯度"),
            "optimizer": t("optimizer", "优化器"),
            "activations": t("activations", "激活值"),
            "runtime": t("runtime", "运行缓冲"),
        }
        parts = " + ".join(
            f"{says} {show_bytes(getattr(self, key))}" for key, says in names.items()
        )
        size = f"{self.batch} × {self.seq}"
        head = t(f", {size} tokens: ", f"，{size} 个词元：")
        return f"{self.model} {self.method}{head}{parts} = {show_bytes(self.total)}"


def estimate_training(name: str, a: Architecture, training: Training) -> TrainingEstimate:
    """Peak memory of one step.

    Usage: ``estimate("Llama-2-7B", train="qlora", batch=1, seq=2048).total``. Raises LabError for
    settings that contradict each other and numbers out of all proportion.
    """
    s = training
    _check(s)
    trained = adapter_parameters(a, s) if s.method != "full" else count_parameters(a).total
    item = {"bf16": 2, "fp16": 2, "fp32": 4, "mixed": 4}[s.precision]
    if s.method == "full":
        weights, adapter, unit = trained * item, 0, item
    else:
        base = s.quant if s.method == "qlora" else "fp32" if s.precision == "fp32" else "bf16"
        weights, adapter, unit = loaded_weights(a, base), 4 * trained, 4
    gradients = unit * trained
    optimizer, step = _optimizer_bytes(s.optimizer, trained, unit)
    at_loss, in_layer = _activations(a, s)
    gathered = _gathered(a, s, weights) if s.gpus > 1 else 0
    weights, adapter, gradients, optimizer, step = (
        -(-size // s.gpus) for size in (weights, adapter, gradients, optimizer, step)
    )
    resident = weights + adapter + optimizer
    peak = max(
        resident + at_loss + gathered,
        resident + gradients + in_layer + gathered,
        resident + gradients + step,
    )
    activations = peak - resident - gradients
    if activations < 0:  # the loss comes before there are gradients: they fit into the peak
        activations = 0
    runtime = 32 * MiB + (2 * largest_matrix(a) if s.method == "qlora" else 0)
    total = resident + gradients + activations + runtime
    return TrainingEstimate(
        model=name,
        method=s.method,
        batch=s.batch,
        seq=s.seq,
        weights=weights,
        adapter=adapter,
        gradients=gradients,
        optimizer=optimizer,
        activations=activations,
        runtime=runtime,
        total=total,
        trainable_parameters=trained,
        warnings=_warnings(a, s),
        validity="rough"
        if a.num_experts or a.extra or s.fused or (s.method == "full" and s.precision == "mixed")
        else "calibrated",
        fits=None if s.vram is None else total <= s.vram,
    )


def adapter_parameters(a: Architecture, s: Training) -> int:
    """Weights of a LoRA adapter: rank × (rows + columns) of every matrix it is put on."""
    wanted: tuple[str, ...] = ()
    if s.targets != "all-linear":
        for target in s.targets:
            wanted += TARGETS.get(target, ())
    total = 0
    for tensor in list_tensors(a):
        linear = is_linear(tensor) and len(tensor.shape) == 2
        if linear and (s.targets == "all-linear" or tensor.name.split(".")[0] in wanted):
            total += s.rank * sum(tensor.shape) * tensor.copies
    if not total:
        raise LabError(
            t(
                f"This model has none of the target modules {', '.join(s.targets)}.",
                f"该模型没有这些目标模块：{'、'.join(s.targets)}。",
            ),
            t(
                f"Known: all-linear, {', '.join(TARGETS)}.",
                f"可用：all-linear、{'、'.join(TARGETS)}。",
            ),
        )
    return total


def _optimizer_bytes(optimizer: str, count: int, unit: int) -> tuple[int, int]:
    """What the optimizer keeps, and what its step takes for a moment."""
    match optimizer:
        case "adamw_torch":
            return 2 * unit * count, unit * count
        case "adamw_torch_fused":
            return 2 * unit * count, 0
        case "adamw_8bit":  # two bytes and one float32 a block of 256 for each moment
            return 2 * count + 8 * -(-count // 256), 0
        case _:  # paged states lie in RAM; plain SGD keeps nothing
            return 0, 0


def _activations(a: Architecture, s: Training) -> tuple[int, int]:
    """Bytes at the loss, and in the backward pass of the dearest layer with all that is kept.

    With checkpointing one hidden state a layer is kept, and one layer is computed again.
    Coefficient 14 of the vocabulary: bf16 logits 2, float32 copy 4, log-softmax 4, gradient 4; 12
    where nobody holds the logits while the gradients are computed.
    """
    tokens = s.batch * s.seq
    saved = {layer: saved_per_token(a, layer, s) for layer in set(a.layers)}
    if s.checkpointing:
        kept = _hidden_state_bytes(s) * a.hidden_size * len(a.layers)
        again = max(saved.values())
    else:
        kept = sum(saved[layer] for layer in a.layers)
        again = 0
    states = 6 * a.hidden_size
    gradients = states + (0 if s.fused else 6 * max(_inner(a, layer) for layer in saved))
    loss = states + (0 if s.fused else 14 * a.vocab_size)
    return tokens * (kept + loss), tokens * (kept + again + gradients)


def _hidden_state_bytes(s: Training) -> int:
    """Of one element between two layers; FSDP wants one type, so "mixed" adapters lose theirs."""
    adapters_mixed = s.precision == "mixed" and s.method != "full" and s.gpus == 1
    return 4 if s.precision == "fp32" or adapters_mixed else 2


def saved_per_token(a: Architecture, layer: Layer, s: Training) -> int:
    """Bytes that autograd keeps of one layer for each token.

    Norms keep their input in float32; attention its q, k, v and output; the feed-forward part
    gate, activated gate and up. Trained matrices also keep their input, adapters in float32.
    Fused kernels keep inputs once, in 16 bits, and compute the activated gate again.
    """
    full = s.method == "full"
    hidden = a.hidden_size
    query = a.num_attention_heads * layer.head_dim
    keys = 2 * layer.num_key_value_heads * layer.head_dim
    inner = _inner(a, layer)
    attention = 2 * (2 * query + keys) + 2 * hidden
    norms = len(a.traits.norms)
    if s.fused:
        return 2 * hidden * norms + attention + 4 * inner
    trained = 2 * (2 * hidden + query + inner) if full else _adapter_inputs(a, s, query, inner)
    return norms * hidden * (6 if full else 4) + attention + 6 * inner + trained


def _inner(a: Architecture, layer: Layer) -> int:
    """Width of the feed-forward part that one token passes through."""
    if not layer.experts:
        return layer.intermediate_size
    experts = a.num_experts_per_tok * a.moe_intermediate_size + a.shared_expert_intermediate_size
    return layer.intermediate_size + experts


def _adapter_inputs(a: Architecture, s: Training, query: int, inner: int) -> int:
    """PEFT casts the input of every adapter to float32 and keeps it."""
    width = {"o_proj": query, "dense": query, "down_proj": inner}
    targets = _SEVEN if s.targets == "all-linear" else s.targets
    return sum(4 * width.get(target, a.hidden_size) for target in targets)


_SEVEN = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def _gathered(a: Architecture, s: Training, weights: int) -> int:
    """FSDP: embedding and head whole, and two layers, while they are computed."""
    ends = 2 * a.vocab_size * a.hidden_size * (1 if a.tie_word_embeddings else 2)
    return ends + 2 * max(weights - ends, 0) // len(a.layers)


def _check(s: Training) -> None:
    for name, value, known in (
        ("train", s.method, METHODS),
        ("precision", s.precision, PRECISIONS),
        ("optimizer", s.optimizer, OPTIMIZERS),
        ("quant", s.quant, BITS_AND_BYTES),
    ):
        if value not in known:
            raise LabError(
                t(
                    f"{name} is {value!r:.40}, which is not known.",
                    f"{name} 没有 {value!r:.40} 这一项。",
                ),
                t(f"Known: {', '.join(known)}.", f"可用的有：{'、'.join(known)}。"),
            )
    for name, number, most in (
        ("batch", s.batch, 10**6), ("seq", s.seq, 10**8), ("rank", s.rank, 2**16),
        ("gpus", s.gpus, 10**4),
    ):  # fmt: skip
        if not is_whole(number, 1, most):
            raise LabError(
                t(
                    f"{name} is {number!r:.40}; it must be a whole number from 1 to {most}.",
                    f"{name} 为 {number!r:.40}，应是 1 到 {most} 之间的整数。",
                ),
                t("Give another number.", "请换一个数。"),
            )
    if s.targets != "all-linear" and (
        isinstance(s.targets, str) or not all(target in TARGETS for target in s.targets)
    ):
        raise LabError(
            t(
                f"The target modules {s.targets!r:.80} are not known.",
                f"没有目标模块 {s.targets!r:.80}。",
            ),
            t(
                f"Known: all-linear, {', '.join(TARGETS)}.",
                f"可用：all-linear、{'、'.join(TARGETS)}。",
            ),
        )


def _warnings(a: Architecture, s: Training) -> tuple[str, ...]:
    warnings = []
    if a.max_position_embeddings and s.seq > a.max_position_embeddings:
        warnings.append(
            t(
                f"seq {s.seq} is above the model's maximum of {a.max_position_embeddings}.",
                f"seq {s.seq} 超过了模型的最大值 {a.max_position_embeddings}。",
            )
        )
    if a.num_experts and s.method == "qlora":
        warnings.append(
            t(
                "bitsandbytes leaves the routed experts in 16 bits.",
                "bitsandbytes 不量化路由专家，它们仍占 16 位。",
            )
        )
    return tuple(warnings)
