"""Bytes of a model's weights as Transformers loads them: 16 bits, bitsandbytes, GPTQ, AWQ.

Only the matrices of the layers are quantized; embeddings, output head, norms, biases and the
router keep 16 bits. bitsandbytes replaces ``nn.Linear`` and so leaves the routed experts alone,
which Transformers 5 keeps as one parameter of three dimensions.

Sources: bitsandbytes 0.50 ``functional.py`` (blocks of 64; double quantization in blocks of 256),
``nn/modules.py`` (LLM.int8(): one float32 scale a row); AutoGPTQ and AutoAWQ, any group size.
"""

from collections import Counter
from functools import lru_cache

from ..architecture.layers import Architecture
from ..architecture.tensors import Tensor, list_tensors, used_share
from ..core.errors import LabError
from ..core.i18n import t

FLOATS = {"fp32": 4, "bf16": 2, "fp16": 2}
BITS_AND_BYTES = ("int8", "nf4", "nf4-double")
GROUPED = ("gptq-4bit", "gptq-8bit", "awq-4bit")
WEIGHT_FORMATS = (*FLOATS, *BITS_AND_BYTES, *GROUPED)

GROUP_SIZE = 128
"""Weights of a row that share a scale in GPTQ and AWQ, by default; -1: the whole row."""


def check_format(quant: str) -> str:
    """The format itself, or a LabError that lists those there are."""
    if quant not in WEIGHT_FORMATS:
        raise LabError(
            t(f"Weight format '{quant}' is not known.", f"没有权重格式 '{quant}'。"),
            t(f"Known: {', '.join(WEIGHT_FORMATS)}.", f"可用的有：{'、'.join(WEIGHT_FORMATS)}。"),
        )
    return quant


def is_linear(tensor: Tensor, quant: str = "nf4") -> bool:
    """Whether a weight is of the kind that a format quantizes."""
    experts = len(tensor.shape) == 3 and "_exps" in tensor.name
    return (
        bool(tensor.layers)
        and tensor.is_matrix
        and tensor.name.endswith(".weight")
        and not any(part in tensor.name for part in ("norm", "ffn_gate_inp", "conv1d", "altup"))
        and not (experts and quant in BITS_AND_BYTES)
    )


@lru_cache(maxsize=4096)
def loaded_weights(architecture: Architecture, quant: str, group_size: int = GROUP_SIZE) -> int:
    """Bytes of all weights on the device.

    Usage: ``loaded_weights(architecture, "nf4-double")``. Raises LabError for an unknown format.
    """
    check_format(quant)
    return sum(
        tensor.copies * tensor_bytes(tensor, quant, group_size)
        for tensor in list_tensors(architecture)
        if not tensor.buffer
    )


@lru_cache(maxsize=4096)
def largest_piece(architecture: Architecture, quant: str, group_size: int = GROUP_SIZE) -> int:
    """Bytes of what is never divided between GPUs: the largest layer, the embedding or the head."""
    pieces: Counter[int | str] = Counter()
    for tensor in list_tensors(architecture):
        for piece in tensor.layers or (tensor.name,):
            pieces[piece] += tensor_bytes(tensor, quant, group_size)
    return max(pieces.values())


@lru_cache(maxsize=4096)
def read_weights(architecture: Architecture, quant: str, group_size: int = GROUP_SIZE) -> int:
    """Bytes of weights that one token reads: no table but its row, and the chosen experts."""
    tables = {"per_layer_token_embd.weight"}
    if not architecture.tie_word_embeddings:
        tables.add("token_embd.weight")
    return sum(
        used_share(architecture, tensor, tensor.copies * tensor_bytes(tensor, quant, group_size))
        for tensor in list_tensors(architecture)
        if tensor.name not in tables
    )


def tensor_bytes(tensor: Tensor, quant: str, group_size: int = GROUP_SIZE) -> int:
    """Bytes of one tensor in one layer."""
    if quant in FLOATS:
        return tensor.size * FLOATS[quant]
    if not is_linear(tensor, quant):
        return tensor.size * 2
    rows, columns = tensor.size // tensor.shape[-1], tensor.shape[-1]
    groups = rows * (1 if group_size == -1 else -(-columns // group_size))
    match quant:
        case "int8":
            return tensor.size + 4 * rows
        case "nf4":
            return tensor.size // 2 + 4 * -(-tensor.size // 64)
        case "nf4-double":
            blocks = -(-tensor.size // 64)
            return tensor.size // 2 + blocks + 4 * -(-blocks // 256)
        case "gptq-4bit":  # weights, fp16 scale and 4-bit zero a group, order of the columns
            return tensor.size // 2 + groups * 5 // 2 + 4 * columns
        case "gptq-8bit":
            return tensor.size + groups * 3 + 4 * columns
        case _:
            return tensor.size // 2 + groups * 5 // 2


def largest_matrix(architecture: Architecture) -> int:
    """Elements of the largest matrix of a layer: what unpacking one of them takes."""
    sizes = (t.size // (t.shape[0] if len(t.shape) == 3 else 1) for t in _linear(architecture))
    return max(sizes, default=0)


def _linear(architecture: Architecture) -> list[Tensor]:
    return [tensor for tensor in list_tensors(architecture) if is_linear(tensor, "bf16")]
