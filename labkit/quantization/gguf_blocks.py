"""Q4_0, Q5_0 and Q8_0 by hand, in numpy: llama.cpp's block formats.

A block is 32 neighbouring weights of a row: one scale d, and for each weight the number of steps
of d that comes nearest to it.

| format | bytes a block | bits a weight | steps |
|---|---|---|---|
| Q4_0 | 18 | 4.5 | -8 … 7 |
| Q5_0 | 22 | 5.5 | -16 … 15 |
| Q8_0 | 34 | 8.5 | -127 … 127 |

The bytes equal those of the ``gguf`` package and of llama.cpp's quantizer. Not covered: formats
with a minimum (Q4_1, Q5_1), K-quants, I-quants, importance matrices. NF4 and int8 are in
:mod:`~labkit.quantization.nf4_int8`.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ..core.errors import LabError
from ..core.i18n import t

Floats = npt.NDArray[np.floating]
Bytes = npt.NDArray[np.uint8]

BLOCK = 32
"""Weights in a block of Q4_0, Q5_0 and Q8_0."""

_CHUNK = 4096  # blocks at a time: 512 KiB of float32, so that what is between stays in the cache
_UNDER_HALF = np.nextafter(np.float32(0.5), np.float32(0))


def quantize_q4_0(weights: npt.ArrayLike) -> Bytes:
    """Blocks of 32 weights in 18 bytes: a float16 scale d and 32 codes of 4 bits.

    Usage: ``blocks = quantize_q4_0(weights)``

    weights: (…, columns) of any float type, columns a multiple of 32. Gives uint8 (…, columns / 32
    * 18). In a block: bytes 0-1 are d, little-endian; byte 2 + i has the code of weight i in its
    low and of weight 16 + i in its high four bits. With m the weight that is largest in size, sign
    kept: d = m / -8, code = floor(weight / d + 8.5), at most 15, weight ≈ d * (code - 8). So m
    itself is met (but for d's rounding), and values near -m are cut to -7/8 m.

    Source: ``quantize_row_q4_0_ref`` of llama.cpp's ggml-quants.c. Raises LabError for rows that
    do not divide by 32, infinities, NaN, and weights so large that d passes float16.
    Not covered: importance matrices. Where 1 / d overflows float32 (m below 3e-38, so that d is
    stored as 0) all codes are 8; llama.cpp leaves them undefined.
    """
    return _quantize_blocks(weights, "Q4_0", 18, _encode_q4_0)


def dequantize_q4_0(blocks: npt.ArrayLike) -> Floats:
    """The weights that blocks of Q4_0 stand for: d * (code - 8).

    Usage: ``weights = dequantize_q4_0(quantize_q4_0(weights))``

    blocks: uint8 (…, blocks * 18). Gives float32 (…, blocks * 32). Raises LabError when a row is
    not whole blocks.
    """
    return _dequantize_blocks(blocks, "Q4_0", 18, _decode_q4_0)


def quantize_q5_0(weights: npt.ArrayLike) -> Bytes:
    """Blocks of 32 weights in 22 bytes: a float16 scale d and 32 codes of 5 bits.

    Usage: ``blocks = quantize_q5_0(weights)``

    weights: (…, columns), columns a multiple of 32. Gives uint8 (…, columns / 32 * 22). In a
    block: bytes 0-1 are d; bytes 2-5 the fifth bits as one little-endian number, bit i of weight
    i; bytes 6-21 the lower four bits, as in Q4_0. d = m / -16, code = floor(weight / d + 16.5), at
    most 31, weight ≈ d * (code - 16).

    Source: ``quantize_row_q5_0_ref`` of ggml-quants.c. Raises as :func:`quantize_q4_0`.
    """
    return _quantize_blocks(weights, "Q5_0", 22, _encode_q5_0)


def dequantize_q5_0(blocks: npt.ArrayLike) -> Floats:
    """The weights that blocks of Q5_0 stand for: d * (code - 16).

    Usage: ``weights = dequantize_q5_0(blocks)``. Shapes as in :func:`dequantize_q4_0`, 22 bytes
    a block.
    """
    return _dequantize_blocks(blocks, "Q5_0", 22, _decode_q5_0)


def quantize_q8_0(weights: npt.ArrayLike) -> Bytes:
    """Blocks of 32 weights in 34 bytes: a float16 scale d and 32 codes of 8 bits.

    Usage: ``blocks = quantize_q8_0(weights)``

    weights: (…, columns), columns a multiple of 32. Gives uint8 (…, columns / 32 * 34). In a
    block: bytes 0-1 are d; bytes 2-33 the codes as int8, -127…127. d = largest size / 127, code =
    weight / d rounded, halves away from zero, weight ≈ d * code.

    Source: ``quantize_row_q8_0_ref`` of ggml-quants.c. Raises as :func:`quantize_q4_0`.
    """
    return _quantize_blocks(weights, "Q8_0", 34, _encode_q8_0)


def dequantize_q8_0(blocks: npt.ArrayLike) -> Floats:
    """The weights that blocks of Q8_0 stand for: d * code.

    Usage: ``weights = dequantize_q8_0(blocks)``. Shapes as in :func:`dequantize_q4_0`, 34 bytes
    a block.
    """
    return _dequantize_blocks(blocks, "Q8_0", 34, _decode_q8_0)


def _encode_q4_0(weights: Floats, blocks: Bytes) -> None:
    codes = _round_to_largest(weights, blocks, 8)
    blocks[:, 2:] = codes[:, :16] + 16 * codes[:, 16:]


def _decode_q4_0(blocks: Bytes) -> Floats:
    packed = blocks[:, 2:]
    codes = np.concatenate([packed & 15, packed >> 4], axis=1)
    return _scale(blocks) * (codes.astype(np.float32) - 8)


def _encode_q5_0(weights: Floats, blocks: Bytes) -> None:
    codes = _round_to_largest(weights, blocks, 16)
    blocks[:, 2:6] = np.packbits(codes > 15, bitorder="little").reshape(-1, 4)
    low = codes & 15
    blocks[:, 6:] = low[:, :16] + 16 * low[:, 16:]


def _decode_q5_0(blocks: Bytes) -> Floats:
    packed = blocks[:, 6:]
    codes = np.concatenate([packed & 15, packed >> 4], axis=1)
    codes |= np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little") << 4
    return _scale(blocks) * (codes.astype(np.float32) - 16)


def _encode_q8_0(weights: Floats, blocks: Bytes) -> None:
    d = np.abs(_largest(weights)) / np.float32(127)
    steps = weights * _store_scale(d, blocks)
    # Half away from zero. The cast cuts towards zero; adding the float just under a half, and not
    # the half, keeps 0.49999997 from becoming 1.
    steps += np.copysign(_UNDER_HALF, steps)
    blocks[:, 2:] = steps.astype(np.int8).view(np.uint8)


def _decode_q8_0(blocks: Bytes) -> Floats:
    return _scale(blocks) * blocks[:, 2:].view(np.int8)


def _round_to_largest(weights: Floats, blocks: Bytes, half: int) -> Bytes:
    """Codes 0 … 2 * half - 1 of (n, 32) weights: half stands for zero, 0 for the largest weight."""
    d = _largest(weights) / np.float32(-half)
    steps = weights * _store_scale(d, blocks)
    steps += np.float32(half + 0.5)
    codes = steps.astype(np.uint8)  # cuts the fraction off; nothing is below 0 here
    codes -= codes == 2 * half  # there is no code for minus the largest
    return codes


def _largest(weights: Floats) -> Floats:
    """(n, 1): of each of n blocks the weight that is largest in size, the first of equals."""
    return np.take_along_axis(weights, np.abs(weights).argmax(axis=1)[:, None], axis=1)


def _store_scale(d: Floats, blocks: Bytes) -> Floats:
    """Write d as the first two bytes of its block; gives 1 / d, and 0 for d = 0.

    The codes are made with d itself and read with its float16: so does llama.cpp.
    """
    blocks[:, :2] = d.astype("<f2").view(np.uint8)
    inverse = 1 / d
    inverse[np.isinf(inverse)] = 0
    return inverse


def _scale(blocks: Bytes) -> Floats:
    return np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)


def _quantize_blocks(
    weights: npt.ArrayLike, kind: str, size: int, encode: Callable[[Floats, Bytes], None]
) -> Bytes:
    """Encode block by block, a chunk that fits the cache at a time."""
    array = read_floats(weights)
    if not array.ndim or array.shape[-1] % BLOCK:
        raise LabError(
            t(
                f"Rows of {_last(array)} weights do not divide into {kind} blocks of {BLOCK}.",
                f"每行 {_last(array)} 个权重，无法整分成 {BLOCK} 个一块的 {kind} 块。",
            ),
            t(
                f"Keep this tensor in float16, or choose a width that is a multiple of {BLOCK}.",
                f"请让这个张量保持 float16，或选用 {BLOCK} 的倍数作为宽度。",
            ),
        )
    flat = array.reshape(-1, BLOCK)
    out = np.empty((len(flat), size), np.uint8)
    with np.errstate(all="ignore"):  # what overflows shows in d, which is looked at
        for start in range(0, len(flat), _CHUNK):
            part, blocks = flat[start : start + _CHUNK], out[start : start + _CHUNK]
            encode(part.astype(np.float32, copy=False), blocks)
            # An infinity, a NaN or a weight beyond float16 makes its block's d infinite or NaN.
            if not np.isfinite(_scale(blocks)).all():
                raise not_storable(part, kind)
    return out.reshape(*array.shape[:-1], array.shape[-1] // BLOCK * size)


def _dequantize_blocks(
    blocks: npt.ArrayLike, kind: str, size: int, decode: Callable[[Bytes], Floats]
) -> Floats:
    array = np.asarray(blocks)
    if array.dtype != np.uint8:
        raise TypeError(f"{kind} blocks are uint8, not {array.dtype}")
    if not array.ndim or array.shape[-1] % size:
        raise LabError(
            t(
                f"Rows of {_last(array)} bytes are not whole {kind} blocks of {size} bytes.",
                f"每行 {_last(array)} 字节，不是 {size} 字节一块的 {kind} 块的整数倍。",
            ),
            t(f"Check that these are {kind} blocks.", f"请确认这些字节确实是 {kind} 块。"),
        )
    flat = array.reshape(-1, size)
    out = np.empty((len(flat), BLOCK), np.float32)
    for start in range(0, len(flat), _CHUNK):
        out[start : start + _CHUNK] = decode(flat[start : start + _CHUNK])
    return out.reshape(*array.shape[:-1], array.shape[-1] // size * BLOCK)


# --- what is refused --------------------------------------------------------------------------


def read_floats(weights: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """The weights as an array of floats. Raises TypeError for anything else.

    Usage: ``array = read_floats(weights)``
    """
    array = np.asarray(weights)
    if not np.issubdtype(array.dtype, np.floating):
        raise TypeError(f"weights are floats, not {array.dtype}")
    return array


def not_storable(weights: npt.NDArray[np.floating], kind: str) -> LabError:
    """The error for weights of which one is infinite, NaN, or beyond the format's scale.

    Usage: ``raise not_storable(weights, "Q4_0")``
    """
    bad = weights[~np.isfinite(weights)]
    value = bad[0] if bad.size else weights.ravel()[np.abs(weights).argmax()]
    return LabError(
        t(
            f"The weight {value:g} cannot be stored in {kind}.",
            f"权重 {value:g} 无法用 {kind} 存储。",
        ),
        t(
            "Weights must be finite, and their scale within float16; check the checkpoint.",
            "权重必须是有限值，缩放系数也不能超出 float16 的范围；请检查这份权重。",
        ),
    )


def _last(array: np.ndarray) -> int:
    return array.shape[-1] if array.ndim else 1
