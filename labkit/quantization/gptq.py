"""GPTQ by hand, in numpy, and the GPTQ checkpoint format.

Rounding to nearest treats every weight alone. GPTQ looks at what a layer is fed: it rounds one
column of weights after another, and after each moves the columns still to come so that they make
up, as far as they can, for the error just made in the layer's output. Nothing is trained; one
matrix of inputs, the Hessian, is all it needs.

Source: GPTQ, arXiv 2210.17323, algorithm 1; the checkpoint format is AutoGPTQ's ("gptq", also
called v1). Not covered: asymmetric grids, 3 bits, search for a better scale, static groups.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..core.errors import LabError
from ..core.i18n import t
from .gguf_blocks import Floats, not_storable, read_floats

BITS = (2, 4, 8)
"""Sizes of a code that divide a 32-bit word."""

DAMPING = 0.01
"""Share of the Hessian's mean diagonal that is added to it (GPTQ, section 3.3)."""


@dataclass(frozen=True)
class GPTQWeights:
    """A linear layer as codes. Made by :func:`quantize_gptq` and :func:`round_nearest`."""

    codes: npt.NDArray[np.uint8]
    """(rows, columns): 0 … 2^bits - 1; 2^(bits - 1) stands for zero. Rows are outputs."""
    scales: npt.NDArray[np.float16]
    """(groups, rows): the step between two codes."""
    g_idx: npt.NDArray[np.int32]
    """(columns,): the group that each column belongs to."""
    bits: int


@dataclass(frozen=True)
class GPTQTensors:
    """A linear layer as it lies in a GPTQ checkpoint: ``vars(tensors)`` has the tensors' names.

    Its bytes are those of the four tensors; what is not in them (bits, group size) is in
    config.json (:func:`quantization_config`).
    """

    qweight: npt.NDArray[np.int32]
    """(columns * bits / 32, rows): 32 / bits codes of one row a word, the first in the low bits."""
    qzeros: npt.NDArray[np.int32]
    """(groups, rows * bits / 32): the code of zero less one, packed along the rows."""
    scales: npt.NDArray[np.float16]
    """(groups, rows)."""
    g_idx: npt.NDArray[np.int32]
    """(columns,)."""


def measure_hessian(*activations: npt.ArrayLike) -> Floats:
    """How much each pair of inputs of a layer matters together: 2 / tokens * Σ x xᵀ.

    Usage: ``hessian = measure_hessian(activations)``, or ``measure_hessian(*batches)``

    activations: what the layer is fed, each (tokens, columns). Gives float64 (columns, columns):
    the second derivative of the mean squared error of one output with respect to its row of
    weights (GPTQ, equation 1). Raises LabError for infinities and NaN.
    """
    batches = [read_floats(batch).astype(np.float64) for batch in activations]
    for batch in batches:
        if not np.isfinite(batch).all():
            raise LabError(
                t("The activations hold infinities or NaN.", "激活值里有无穷大或 NaN。"),
                t("Run the model in float32.", "请用 float32 运行模型。"),
            )
    total = sum(batch.T @ batch for batch in batches)
    return np.asarray(2 / sum(len(batch) for batch in batches) * total)


def quantize_gptq(
    weights: npt.ArrayLike,
    hessian: npt.ArrayLike,
    bits: int = 4,
    group_size: int = 128,
    *,
    damping: float = DAMPING,
    act_order: bool = False,
) -> GPTQWeights:
    """Round a layer's weights column by column, each error made up for by the columns to come.

    Usage: ``quantized = quantize_gptq(weights, measure_hessian(activations), bits=4)``

    weights: (rows, columns) of a linear layer, rows the outputs. hessian: (columns, columns).
    group_size: columns that share a scale, -1 for all; the scale is set when their turn comes, so
    that it fits the weights as moved by then. damping: share of the Hessian's mean diagonal added
    to it; more makes the moves smaller. act_order: columns with the largest inputs first; groups
    then are of that order, and a reader must follow g_idx (auto-round's on a CPU does not).

    A column that was always 0 in calibration is rounded to nearest and moves nothing (AutoGPTQ
    sets it to 0). Raises LabError for rows that do not divide by group_size, a Hessian of another
    shape, or one that stays singular; infinities and NaN.
    """
    left = _matrix(weights).copy()
    columns = left.shape[1]
    size = _group_size(columns, bits, group_size)
    inputs = np.asarray(hessian, np.float64)
    if inputs.shape != (columns, columns):
        raise LabError(
            t(
                f"A Hessian of shape {inputs.shape} does not fit rows of {columns} weights.",
                f"形状为 {inputs.shape} 的 Hessian 矩阵与每行 {columns} 个权重不匹配。",
            ),
            t("Measure it on this layer's own inputs.", "请用这一层自己的输入来计算。"),
        )
    order = np.argsort(-np.diag(inputs), kind="stable") if act_order else np.arange(columns)
    left = left[:, order]
    upper = _inverse_cholesky(inputs[np.ix_(order, order)], damping).astype(np.float32)

    codes = np.empty(left.shape, np.uint8)
    scales = np.empty((columns // size, len(left)), np.float16)
    for group, start in enumerate(range(0, columns, size)):
        end = start + size
        block = left[:, start:end]
        scale = scales[group] = _scales(block, bits)
        errors = np.empty_like(block)
        for i, row in enumerate(upper[start:end]):
            codes[:, start + i] = _round(block[:, i], scale, bits)
            lost = block[:, i] - _read(codes[:, start + i], scale, bits)
            errors[:, i] = lost / row[start + i]
            block[:, i + 1 :] -= np.outer(errors[:, i], row[start + i + 1 : end])
        # The columns beyond the group are moved once a group: one large product is much faster.
        left[:, end:] -= errors @ upper[start:end, end:]

    back = np.argsort(order)
    codes = np.ascontiguousarray(codes[:, back])
    return GPTQWeights(codes, scales, (back // size).astype(np.int32), bits)


def round_nearest(weights: npt.ArrayLike, bits: int = 4, group_size: int = 128) -> GPTQWeights:
    """Round every weight to the nearest code, on the grid that GPTQ uses: what GPTQ must beat.

    Usage: ``quantized = round_nearest(weights, bits=4)``. Shapes and errors as in
    :func:`quantize_gptq`.
    """
    array = _matrix(weights)
    rows, columns = array.shape
    size = _group_size(columns, bits, group_size)
    groups = array.reshape(rows, -1, size)
    scales = _scales(groups, bits)
    codes = _round(groups, scales[..., None], bits).reshape(rows, columns)
    g_idx = np.arange(columns, dtype=np.int32) // np.int32(size)
    return GPTQWeights(codes, np.ascontiguousarray(scales.T), g_idx, bits)


def dequantize_gptq(quantized: GPTQWeights) -> Floats:
    """The weights that the codes stand for: scale of the group and row * (code - 2^(bits - 1)).

    Usage: ``weights = dequantize_gptq(quantized)``. Gives float32 (rows, columns).
    """
    weights = _read(quantized.codes, quantized.scales[quantized.g_idx].T, quantized.bits)
    return np.ascontiguousarray(weights)  # safetensors writes memory as it lies


def _inverse_cholesky(hessian: Floats, damping: float) -> Floats:
    """The upper triangle U with UᵀU = (hessian + damping)⁻¹.

    Its row i holds what rounding column i does to the columns after it, with the columns before
    it already fixed; all rows at once, where the plain method inverts anew after every column
    (GPTQ, section 3.3, step 3).
    """
    columns = len(hessian)
    diagonal = np.diag(hessian)
    never_fed = diagonal == 0
    added = never_fed + damping * diagonal.mean()
    try:
        return np.linalg.cholesky(np.linalg.inv(hessian + added * np.eye(columns))).T
    except np.linalg.LinAlgError:
        raise LabError(
            t(
                f"The Hessian cannot be inverted with damping {damping:g}.",
                f"阻尼为 {damping:g} 时，Hessian 矩阵无法求逆。",
            ),
            t(
                "Raise damping (0.1, say) or calibrate on more text.",
                "请加大阻尼（例如 0.1），或用更多文本做校准。",
            ),
        ) from None


def _scales(weights: Floats, bits: int) -> npt.NDArray[np.float16]:
    """(…, columns) weights to (…) steps; the largest weight is half a step beyond the last code."""
    with np.errstate(over="ignore"):
        scales = (np.abs(weights).max(axis=-1) * (2 / (2**bits - 1))).astype(np.float16)
    if not np.isfinite(scales).all():
        raise not_storable(weights, f"GPTQ-{bits}")
    scales[scales == 0] = 1  # a group of zeros; any step will do
    found: npt.NDArray[np.float16] = scales
    return found


def _round(weights: Floats, scales: Floats, bits: int) -> npt.NDArray[np.uint8]:
    steps = np.rint(weights / scales.astype(np.float32)) + 2 ** (bits - 1)
    found: npt.NDArray[np.uint8] = np.clip(steps, 0, 2**bits - 1).astype(np.uint8)
    return found


def _read(codes: npt.NDArray[np.uint8], scales: Floats, bits: int) -> Floats:
    found: Floats = scales.astype(np.float32) * (codes.astype(np.float32) - 2 ** (bits - 1))
    return found


# --- the checkpoint ---------------------------------------------------------------------------


def pack_gptq(quantized: GPTQWeights) -> GPTQTensors:
    """A layer as the tensors of a GPTQ checkpoint.

    Usage: ``for name, array in vars(pack_gptq(quantized)).items(): tensors[f"{layer}.{name}"] = …``

    Layout: see :class:`GPTQTensors`. All zeros are 2^(bits - 1), stored less one: so the first
    GPTQ kernels did, and every reader of the format "gptq" adds it again. Raises LabError for
    rows or columns that do not divide by 32, which the readers' kernels require.
    """
    codes, bits = quantized.codes, quantized.bits
    if codes.shape[0] % 32 or codes.shape[1] % 32:
        raise LabError(
            t(
                f"A layer of shape {codes.shape} does not fit the GPTQ format.",
                f"形状为 {codes.shape} 的层不适合 GPTQ 格式。",
            ),
            t(
                "Both sides must be multiples of 32; keep this layer in float16.",
                "两个维度都必须是 32 的倍数；请让这一层保持 float16。",
            ),
        )
    zeros = np.full(quantized.scales.shape, 2 ** (bits - 1) - 1, np.uint8)
    return GPTQTensors(
        qweight=_pack(codes.T, bits),
        qzeros=np.ascontiguousarray(_pack(zeros.T, bits).T),
        scales=quantized.scales,
        g_idx=quantized.g_idx,
    )


def unpack_gptq(tensors: GPTQTensors, bits: int) -> GPTQWeights:
    """A layer from the tensors of a GPTQ checkpoint: exactly what :func:`pack_gptq` was given.

    Usage: ``weights = dequantize_gptq(unpack_gptq(tensors, bits=4))``

    bits: as in the checkpoint's config.json. Raises LabError for a checkpoint with asymmetric
    grids, and for tensors whose shapes contradict each other.
    """
    codes = np.ascontiguousarray(_unpack(tensors.qweight, bits).T)
    zeros = _unpack(tensors.qzeros.T, bits).T
    if codes.shape != (tensors.scales.shape[1], len(tensors.g_idx)) or (
        zeros.shape != tensors.scales.shape
    ):
        raise LabError(
            t(
                f"The tensors do not belong together as {bits}-bit GPTQ.",
                f"这些张量拼不成一个 {bits} 位的 GPTQ 层。",
            ),
            t(
                "Read 'bits' from the checkpoint's config.json.",
                "请从检查点的 config.json 读取 bits。",
            ),
        )
    if (zeros != 2 ** (bits - 1) - 1).any():
        raise LabError(
            t(
                "This checkpoint has asymmetric grids or the format 'gptq_v2'.",
                "这个检查点用了非对称量化，或者是 gptq_v2 格式。",
            ),
            t(
                "Quantize with sym=True and format 'gptq', or load it with Transformers.",
                "请用 sym=True 和 gptq 格式量化，或者用 Transformers 加载。",
            ),
        )
    return GPTQWeights(codes, tensors.scales, tensors.g_idx, bits)


def quantization_config(
    bits: int, group_size: int = 128, *, damping: float = DAMPING, act_order: bool = False
) -> dict[str, Any]:
    """What config.json says under "quantization_config" for layers packed by :func:`pack_gptq`.

    Usage: ``config["quantization_config"] = quantization_config(bits=4)``. Keys are those of
    Transformers' ``GPTQConfig``.
    """
    return {
        "quant_method": "gptq",
        "checkpoint_format": "gptq",
        "bits": bits,
        "group_size": group_size,
        "damp_percent": damping,
        "desc_act": act_order,
        "sym": True,
        "lm_head": False,
    }


def _pack(codes: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.int32]:
    """(n, m) codes to (n * bits / 32, m) words, the first code of a word in its low bits."""
    count = 32 // bits
    words = np.zeros((len(codes) // count, codes.shape[1]), np.uint32)
    for i in range(count):
        words |= codes[i::count].astype(np.uint32) << np.uint32(bits * i)
    return words.view(np.int32)


def _unpack(words: npt.NDArray[np.int32], bits: int) -> npt.NDArray[np.uint8]:
    """(n, m) words to (n * 32 / bits, m) codes."""
    count = 32 // bits
    unsigned = np.ascontiguousarray(words).view(np.uint32)
    codes = np.empty((len(words) * count, words.shape[1]), np.uint8)
    for i in range(count):
        codes[i::count] = (unsigned >> np.uint32(bits * i)) & np.uint32(2**bits - 1)
    return codes


# --- what is refused --------------------------------------------------------------------------


def _matrix(weights: npt.ArrayLike) -> npt.NDArray[np.float32]:
    array = read_floats(weights).astype(np.float32, copy=False)
    if array.ndim != 2 or not array.size:
        raise LabError(
            t(
                f"GPTQ needs a matrix, not shape {array.shape}.",
                f"GPTQ 需要矩阵，而不是形状 {array.shape}。",
            ),
            t("Give the weights of a linear layer.", "请给出一个线性层的权重。"),
        )
    if not np.isfinite(array).all():
        raise not_storable(array, "GPTQ")
    return array


def _group_size(columns: int, bits: int, group_size: int) -> int:
    if bits not in BITS:
        raise LabError(
            t(f"GPTQ with {bits} bits is not covered.", f"不支持 {bits} 位的 GPTQ。"),
            t(f"Choose one of {BITS}.", f"请从 {BITS} 中选一个。"),
        )
    size = columns if group_size == -1 else group_size
    if size < 1 or columns % size:
        raise LabError(
            t(
                f"Rows of {columns} weights do not divide into groups of {group_size}.",
                f"每行 {columns} 个权重，无法按 {group_size} 个一组整分。",
            ),
            t("Choose a divisor, or -1 for one group.", "请选一个能整除的数，或用 -1 表示不分组。"),
        )
    return size
