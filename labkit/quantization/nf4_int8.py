"""NF4 with double quantization, and int8 with outliers, by hand, in numpy: bitsandbytes' formats.

| format | weights a block | bits a weight | levels |
|---|---|---|---|
| nf4 | 64 | 4.5 | 16, dense near zero, as trained weights are |
| nf4-double | 64 | 4.127 | the same; the absmax values in 8 bits too |
| int8 | one row | 8 and a little | 255, evenly spaced; outlier columns in 16 bits |

Codes equal bitsandbytes' own. Not covered: FP4, other sizes of a block.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from ..core.errors import LabError
from ..core.i18n import t
from .gguf_blocks import Bytes, Floats, not_storable, read_floats

NF4_BLOCK = 64
"""Weights in a block of NF4: bitsandbytes' default."""

ABSMAX_BLOCK = 256
"""Values of absmax that share one scale in double quantization."""

NF4_LEVELS = np.array(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
     -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
     0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
     0.7229568362236023, 1.0],
    np.float32,
)  # fmt: skip
"""The 16 levels: quantiles of a normal distribution, scaled to -1…1, with an exact zero (QLoRA,
arXiv 2305.14314, appendix E)."""

OUTLIER = 6.0
"""An activation this large makes its column an outlier (LLM.int8(), arXiv 2208.07339, 3.2)."""

_CHUNK = 2048  # blocks at a time: 512 KiB of float32, so that what is between stays in the cache


# --- NF4 --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DoubleQuantized:
    """The absmax values of NF4, themselves in 8 bits. Made by :func:`double_quantize`."""

    codes: Bytes
    """(blocks,): places in :func:`dynamic_levels`."""
    absmax: Floats
    """(blocks / 256, rounded up,): largest size of the values of 256 codes, less the offset."""
    offset: np.float32
    """Mean of all values; they are all positive, so less it they use both signs of the levels."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.codes.nbytes + self.absmax.nbytes + self.offset.nbytes


@dataclass(frozen=True)
class NF4Weights:
    """A tensor in NF4. Made by :func:`quantize_nf4`."""

    codes: Bytes
    """(weights / 2,): two codes a byte, the earlier weight in the high four bits."""
    absmax: Floats | DoubleQuantized
    """(weights / 64,): largest size in each block of 64 weights."""
    shape: tuple[int, ...]
    """The tensor's own shape; blocks run on from row to row."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        return self.codes.nbytes + self.absmax.nbytes


def quantize_nf4(weights: npt.ArrayLike, double: bool = False) -> NF4Weights:
    """Blocks of 64 weights: 64 codes of 4 bits, each the nearest of 16 levels, and an absmax.

    Usage: ``quantized = quantize_nf4(weights, double=True)``

    weights: any shape of any float type, as many as a multiple of 64. weight ≈ absmax *
    NF4_LEVELS[code]. double: put the absmax values in 8 bits as well, which saves 0.373 bits a
    weight (:func:`double_quantize`).

    Source: QLoRA, arXiv 2305.14314, section 3. Codes equal bitsandbytes' ``quantize_4bit`` on CPU.
    Raises LabError for another number of weights, infinities and NaN. Not covered: other sizes of
    a block, a last block that is not full, FP4.
    """
    array = read_floats(weights)
    if array.size % NF4_BLOCK or not array.size:
        raise LabError(
            t(
                f"{array.size} weights do not divide into NF4 blocks of {NF4_BLOCK}.",
                f"{array.size} 个权重无法整分成 {NF4_BLOCK} 个一块的 NF4 块。",
            ),
            t("Keep this tensor in float16.", "请让这个张量保持 float16。"),
        )
    flat = array.reshape(-1, NF4_BLOCK)
    codes = np.empty((len(flat), NF4_BLOCK // 2), np.uint8)
    absmax = np.empty(len(flat), np.float32)
    for start in range(0, len(flat), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        part = flat[chunk].astype(np.float32, copy=False)
        largest = absmax[chunk] = np.abs(part).max(axis=1)
        if not np.isfinite(largest).all():
            raise not_storable(part, "NF4")
        places = _nearest(NF4_LEVELS, part * (1 / np.maximum(largest, np.float32(1e-38)))[:, None])
        codes[chunk] = (places[:, ::2] << 4) | places[:, 1::2]
    return NF4Weights(codes.ravel(), double_quantize(absmax) if double else absmax, array.shape)


def dequantize_nf4(quantized: NF4Weights) -> Floats:
    """The weights that an NF4 tensor stands for: absmax * NF4_LEVELS[code].

    Usage: ``weights = dequantize_nf4(quantized)``. Gives float32 of the tensor's own shape.
    """
    absmax = quantized.absmax
    if isinstance(absmax, DoubleQuantized):
        absmax = double_dequantize(absmax)
    codes = np.stack([quantized.codes >> 4, quantized.codes & 15], axis=-1)
    weights = NF4_LEVELS[codes].reshape(-1, NF4_BLOCK) * absmax[:, None]
    return weights.reshape(quantized.shape)


def double_quantize(absmax: Floats) -> DoubleQuantized:
    """Values of absmax in 8 bits: the mean taken off, then blocks of 256, the last may be shorter.

    Usage: ``double_quantize(quantize_nf4(weights).absmax)``

    absmax: float32 (blocks,), finite. Source: QLoRA, section 3, with the levels of
    :func:`dynamic_levels` as in bitsandbytes' ``quantize_4bit(compress_statistics=True)``. Offset
    and scales equal its own. Here a code is the nearest level; bitsandbytes on CPU first rounds
    to one of 65,536 places, so that about two of its codes in a thousand are the next one.
    """
    offset = absmax.mean(dtype=np.float64).astype(np.float32)
    blocks = -(-absmax.size // ABSMAX_BLOCK)
    rest = np.zeros((blocks, ABSMAX_BLOCK), np.float32)
    rest.ravel()[: absmax.size] = absmax - offset
    largest = np.abs(rest).max(axis=1)
    inverse = 1 / np.maximum(largest, np.float32(1e-38))
    codes = _nearest(dynamic_levels(), rest * inverse[:, None])
    return DoubleQuantized(codes.ravel()[: absmax.size], largest, offset)


def double_dequantize(quantized: DoubleQuantized) -> Floats:
    """The absmax values that double quantization stands for: levels[code] * absmax + offset.

    Usage: ``double_dequantize(quantized.absmax)``. Gives float32 (blocks,).
    """
    levels = dynamic_levels()[quantized.codes]
    scales = np.repeat(quantized.absmax, ABSMAX_BLOCK)[: levels.size]
    return levels * scales + quantized.offset


@cache
def dynamic_levels() -> Floats:
    """The 256 levels of dynamic 8-bit: seven decades up to 1, each twice as fine as the one below.

    Usage: ``dynamic_levels()[code]``. Gives float32 (256,), rising, with 0 and 1 among them.

    A decade of 2^i levels has them in the middles of 2^i equal parts of 0.1…1. Source: arXiv
    1511.04561, as bitsandbytes' ``create_dynamic_map()`` has it; -1 is not a level, 1 is.
    """
    decades = []
    for i in range(7):
        edges = np.linspace(0.1, 1, 2**i + 1, dtype=np.float32)
        decades.append(10.0 ** (i - 6) * ((edges[:-1] + edges[1:]) / 2))
    positive = np.concatenate(decades)
    return np.sort(np.concatenate([-positive, [0, 1], positive])).astype(np.float32)


def _nearest(levels: Floats, values: Floats) -> Bytes:
    """The place of the nearest level for each value; halfway goes to the lower level."""
    middles = (levels[:-1] + levels[1:]) / 2
    return np.searchsorted(middles, values).astype(np.uint8)


# --- int8 with outliers -----------------------------------------------------------------------


@dataclass(frozen=True)
class Int8Weights:
    """A matrix in int8, its outlier columns in float16. Made by :func:`quantize_int8`."""

    codes: npt.NDArray[np.int8]
    """(rows, columns): -127…127; 0 in outlier columns."""
    absmax: Floats
    """(rows,): largest size in each row, outlier columns left out."""
    outlier_columns: npt.NDArray[np.intp]
    """(outliers,): places of the outlier columns, rising."""
    outliers: npt.NDArray[np.float16]
    """(rows, outliers): those columns themselves."""

    @property
    def nbytes(self) -> int:
        """Bytes that it takes."""
        parts = (self.codes, self.absmax, self.outlier_columns, self.outliers)
        return sum(part.nbytes for part in parts)


def find_outliers(activations: npt.ArrayLike, threshold: float = OUTLIER) -> npt.NDArray[np.intp]:
    """The columns in which some activation is at least the threshold in size.

    Usage: ``quantize_int8(weights, find_outliers(activations))``

    activations: (tokens, columns). Gives their places, rising.
    """
    return np.flatnonzero((np.abs(read_floats(activations)) >= threshold).any(axis=0))


def quantize_int8(weights: npt.ArrayLike, outlier_columns: npt.ArrayLike = ()) -> Int8Weights:
    """A matrix in int8, one absmax a row; the outlier columns stay in float16.

    Usage: ``quantized = quantize_int8(weights, find_outliers(activations))``

    weights: (rows, columns) of a linear layer, rows the outputs. code = weight * 127 / absmax of
    its row, rounded, halves to even; weight ≈ code * absmax / 127.

    Source: LLM.int8(), arXiv 2208.07339, section 3. Without outlier columns codes and absmax equal
    bitsandbytes' ``int8_vectorwise_quant``. Raises LabError for what is not a matrix, infinities
    and NaN, and outliers beyond float16.
    """
    array = read_floats(weights).astype(np.float32, copy=False)
    if array.ndim != 2:
        raise LabError(
            t(
                f"int8 needs a matrix, not shape {array.shape}.",
                f"int8 需要矩阵，而不是形状 {array.shape}。",
            ),
            t("Reshape it to (rows, columns).", "请把它变形为（行，列）。"),
        )
    columns = np.unique(np.asarray(outlier_columns, np.intp))
    with np.errstate(over="ignore"):
        outliers = array[:, columns].astype(np.float16)
    regular = array.copy()
    regular[:, columns] = 0
    absmax = np.abs(regular).max(axis=1, initial=0)
    if not np.isfinite(absmax).all() or not np.isfinite(outliers).all():
        raise not_storable(array, "int8")
    return Int8Weights(_round_int8(regular, absmax), absmax, columns, outliers)


def dequantize_int8(quantized: Int8Weights) -> Floats:
    """The weights that an int8 matrix stands for: code * absmax / 127, outlier columns as they are.

    Usage: ``weights = dequantize_int8(quantized)``. Gives float32 (rows, columns).
    """
    weights = quantized.codes * (quantized.absmax / np.float32(127))[:, None]
    weights[:, quantized.outlier_columns] = quantized.outliers
    return weights


def multiply_int8(activations: npt.ArrayLike, quantized: Int8Weights) -> Floats:
    """What a linear layer gives, activations @ weights.T, with 8 bits on both sides.

    Usage: ``outputs = multiply_int8(activations, quantized)``

    activations: (tokens, columns). Each token is put in int8 by its own absmax; the integers are
    multiplied exactly, then scaled by both absmax; the outlier columns are multiplied apart and
    added. Gives float32 (tokens, rows). Source: LLM.int8(), equation 8. Raises LabError for
    infinities and NaN. Not covered: speed (numpy has no fast integer product; see bitsandbytes).
    """
    array = read_floats(activations).astype(np.float32)
    outliers = array[:, quantized.outlier_columns]
    array[:, quantized.outlier_columns] = 0
    absmax = np.abs(array).max(axis=1, initial=0)
    if not np.isfinite(absmax).all() or not np.isfinite(outliers).all():
        raise not_storable(array, "int8")
    # float64 holds sums of products of int8 exactly, and has a fast product.
    codes = _round_int8(array, absmax).astype(np.float64)
    products = codes @ quantized.codes.T.astype(np.float64)
    outputs = products * np.outer(absmax, quantized.absmax) / 127**2
    outputs += outliers @ quantized.outliers.T.astype(np.float32)
    return outputs.astype(np.float32)


def _round_int8(array: Floats, absmax: Floats) -> npt.NDArray[np.int8]:
    # 127 * (1 / absmax) as bitsandbytes has it; 127 / absmax differs in the last bit.
    scale = np.float32(127) * (1 / np.where(absmax == 0, np.float32(1), absmax))
    return np.rint(array * scale[:, None]).astype(np.int8)
