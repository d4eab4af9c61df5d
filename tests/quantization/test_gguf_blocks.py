"""Q4_0, Q5_0, Q8_0: the bytes of gguf and of llama.cpp; NF4 and int8: the codes of bitsandbytes."""

from collections.abc import Callable
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import pocket
from labkit.core.errors import LabError
from labkit.core.i18n import use_language
from labkit.gguf.files import quantize_gguf, write_gguf
from labkit.quantization import gguf_blocks, nf4_int8
from labkit.quantization.nf4_int8 import (
    NF4_LEVELS,
    DoubleQuantized,
    dequantize_int8,
    dequantize_nf4,
    double_dequantize,
    double_quantize,
    dynamic_levels,
    find_outliers,
    multiply_int8,
    quantize_int8,
    quantize_nf4,
)

BITS = {"Q4_0": 4, "Q5_0": 5, "Q8_0": 8}
BYTES = {"Q4_0": 18, "Q5_0": 22, "Q8_0": 34}
STEP = {"Q4_0": 1 / 8, "Q5_0": 1 / 16, "Q8_0": 0.5 / 127}
"""Largest error, as a share of the block's largest: a whole step where minus it is cut off."""

each_kind = pytest.mark.parametrize("kind", BITS)


def quantize(kind: str) -> Callable[[Any], np.ndarray]:
    return getattr(gguf_blocks, f"quantize_{kind.lower()}")


def dequantize(kind: str) -> Callable[[Any], np.ndarray]:
    return getattr(gguf_blocks, f"dequantize_{kind.lower()}")


def by_gguf(kind: str, weights: np.ndarray) -> np.ndarray:
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    return quantize(weights, GGMLQuantizationType[kind])


def matrices(columns: int, rows: int = 4, largest: float = 2**15) -> st.SearchStrategy[np.ndarray]:
    """Of all sizes, with ties, zeros, constant blocks, and few distinct values. No subnormals.

    numpy makes them from what hypothesis draws: drawn one by one, values take seconds.
    """

    def make(seed: int, count: int, scale: float, specials: list[float], share: float) -> Any:
        rng = np.random.default_rng(seed)
        weights = (rng.standard_normal((count, columns)) * scale).clip(-largest, largest)
        special = rng.random(weights.shape) < share
        weights[special] = rng.choice(specials, special.sum())
        weights[np.abs(weights) < 1e-30] = 0
        return weights.astype(np.float32)

    return st.builds(
        make,
        st.integers(0, 2**32),
        st.integers(1, rows),
        st.floats(-30, 15).map(lambda power: 2.0**power),
        st.lists(
            st.sampled_from([0.0, 1.0, -1.0, 0.5, 127.0, 63.5, -8.0, 7.5, 1e-7])
            | st.floats(-largest, largest, width=32),
            min_size=1,
            max_size=6,
        ),
        st.sampled_from([0.0, 0.1, 0.9, 1.0]),
    )


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


# --- Q4_0, Q5_0, Q8_0 -------------------------------------------------------------------------


@each_kind
@settings(deadline=None)
@given(weights=matrices(64))
def test_any_block_has_the_bytes_of_gguf(kind: str, weights: np.ndarray) -> None:
    blocks = quantize(kind)(weights)
    assert np.array_equal(blocks, by_gguf(kind, weights))
    from gguf import GGMLQuantizationType
    from gguf.quants import dequantize as read

    assert np.array_equal(dequantize(kind)(blocks), read(blocks, GGMLQuantizationType[kind]))


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_many_blocks_have_the_bytes_of_gguf(kind: str, dtype: type) -> None:
    weights = (normal(300, 1024) * 0.02).astype(dtype)  # more blocks than one chunk
    assert np.array_equal(quantize(kind)(weights), by_gguf(kind, weights))


def test_halves_round_as_in_c() -> None:
    just_under = np.nextafter(np.float32(0.5), np.float32(0))
    halves = np.arange(-126.5, 127, 1, np.float32)
    weights = np.concatenate([halves, [just_under, -just_under]])
    # The scale is 1 where a block holds 127; with 2^k more it is exact too.
    blocks = np.full((len(weights), 32), 127, np.float32)
    blocks[:, 1] = weights
    codes = quantize("Q8_0")(blocks)[:, 3].view(np.int8)
    away = np.copysign(np.floor(np.abs(halves) + 0.5), halves)
    assert np.array_equal(codes, [*away, 0, 0])
    assert np.array_equal(quantize("Q8_0")(blocks), by_gguf("Q8_0", blocks))


@each_kind
def test_llama_cpp_writes_the_same_blocks(kind: str, tmp_path: Path) -> None:
    from gguf import GGUFReader

    source = write_gguf(pocket.folder("llama3"), tmp_path / "F32.gguf", "F32")
    made = quantize_gguf(source, tmp_path / f"{kind}.gguf", kind)
    weights = {tensor.name: tensor.data for tensor in GGUFReader(source).tensors}
    same = [
        np.array_equal(quantize(kind)(weights[tensor.name]), tensor.data)
        for tensor in GGUFReader(made).tensors
        if tensor.tensor_type.name == kind
    ]
    assert len(same) >= 28 and all(same)  # seven matrices in each of four layers


@each_kind
@settings(deadline=None)
@given(weights=matrices(64))
def test_the_error_stays_within_the_step(kind: str, weights: np.ndarray) -> None:
    error = np.abs(dequantize(kind)(quantize(kind)(weights)) - weights).reshape(-1, 32)
    largest = np.abs(weights).reshape(-1, 32).max(axis=1, keepdims=True)
    # The scale is rounded to float16: 2^-11 of it, or 2^-25 where that is subnormal.
    slack = largest * (2**-11 + 1e-6) + 2 ** BITS[kind] * 2.0**-25
    assert (error <= largest * STEP[kind] + slack).all()


@each_kind
@settings(deadline=None)
@given(weights=matrices(32, largest=2**10))
def test_quantizing_twice_changes_little(kind: str, weights: np.ndarray) -> None:
    once = dequantize(kind)(quantize(kind)(weights))
    twice = dequantize(kind)(quantize(kind)(once))
    largest = np.abs(once).max(axis=1, keepdims=True)
    assert (np.abs(twice - once) <= largest * 2**-10 + 2 ** BITS[kind] * 2.0**-24).all()


@each_kind
def test_zeros_stay_zeros_and_constants_nearly_constant(kind: str) -> None:
    assert not dequantize(kind)(quantize(kind)(np.zeros((2, 64), np.float32))).any()
    for value in (1.0, -1.0, 3e-5, -300.0):
        read = dequantize(kind)(quantize(kind)(np.full((1, 32), value, np.float32)))
        assert read.min() == read.max()
        assert abs(read[0, 0] / value - 1) < (1e-3 if abs(value) > 1e-2 else 0.03)


def test_more_bits_smaller_error() -> None:
    weights = normal(64, 256)
    q4, q5, q8 = (
        np.square(dequantize(kind)(quantize(kind)(weights)) - weights).mean() for kind in BITS
    )
    assert q8 < q5 / 20 and q5 < q4 / 3


@each_kind
def test_sizes_and_shapes_are_exact(kind: str) -> None:
    for shape in [(32,), (3, 64), (2, 3, 96), (0, 32)]:
        blocks = quantize(kind)(np.ones(shape, np.float32))
        assert blocks.dtype == np.uint8
        assert blocks.shape == (*shape[:-1], shape[-1] // 32 * BYTES[kind])
        assert dequantize(kind)(blocks).shape == shape


@each_kind
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e38])
def test_what_a_block_cannot_hold_is_refused(kind: str, value: float) -> None:
    weights = normal(200, 1024)
    weights[150, 700] = value
    with pytest.raises(LabError, match=f"{value:g} cannot be stored in {kind}".replace("+", r"\+")):
        quantize(kind)(weights)


@each_kind
def test_rows_that_are_not_whole_blocks_are_refused(kind: str) -> None:
    for shape in [(4, 33), (32, 31), ()]:
        with pytest.raises(LabError, match=f"do not divide into {kind} blocks of 32"):
            quantize(kind)(np.zeros(shape, np.float32))
    with pytest.raises(LabError, match=f"35 bytes are not whole {kind} blocks"):
        dequantize(kind)(np.zeros((1, 35), np.uint8))
    with pytest.raises(TypeError, match="floats, not int64"):
        quantize(kind)(np.zeros((1, 32), np.int64))
    with pytest.raises(TypeError, match="uint8, not int8"):
        dequantize(kind)(np.zeros((1, BYTES[kind]), np.int8))


def test_refusals_speak_chinese() -> None:
    use_language("zh")
    with pytest.raises(LabError, match="无法整分"):
        quantize("Q4_0")(np.zeros(31, np.float32))


# --- NF4 --------------------------------------------------------------------------------------


def by_bitsandbytes(weights: np.ndarray, double: bool = False) -> tuple[np.ndarray, Any]:
    import torch
    from bitsandbytes.functional import quantize_4bit

    codes, state = quantize_4bit(
        torch.from_numpy(weights), blocksize=64, quant_type="nf4", compress_statistics=double
    )
    return codes.numpy().ravel(), state


def test_the_levels_are_quantiles_of_a_normal_distribution() -> None:
    """Eight between the median and the outermost above, seven below; one zero for both."""
    outermost = (29 / 30 + 31 / 32) / 2
    above = [NormalDist().inv_cdf(p) for p in np.linspace(outermost, 0.5, 9)[:-1]]
    below = [-NormalDist().inv_cdf(p) for p in np.linspace(outermost, 0.5, 8)[:-1]]
    levels = np.sort([*below, 0, *above]) / max(above)
    assert np.allclose(NF4_LEVELS, levels, rtol=0, atol=1e-6)


@settings(deadline=None)
@given(weights=matrices(64))
def test_any_nf4_block_has_the_codes_of_bitsandbytes(weights: np.ndarray) -> None:
    codes, state = by_bitsandbytes(weights)
    ours = quantize_nf4(weights)
    assert np.array_equal(ours.codes, codes)
    assert np.array_equal(ours.absmax, state.absmax.numpy())


def test_a_tensor_has_the_codes_and_weights_of_bitsandbytes() -> None:
    import torch
    from bitsandbytes.functional import dequantize_4bit

    weights = normal(1024, 320) * 0.02
    codes, state = by_bitsandbytes(weights)
    ours = quantize_nf4(weights)
    assert np.array_equal(ours.codes, codes)
    assert np.array_equal(
        dequantize_nf4(ours), dequantize_4bit(torch.from_numpy(codes[:, None]), state).numpy()
    )


def test_double_quantization_is_that_of_bitsandbytes_or_nearer() -> None:
    from bitsandbytes.functional import create_dynamic_map

    assert np.allclose(dynamic_levels(), create_dynamic_map().numpy(), rtol=2e-7, atol=0)
    weights = normal(2048, 1000) * np.linspace(0.01, 0.1, 1000, dtype=np.float32)
    codes, state = by_bitsandbytes(weights, double=True)
    ours = quantize_nf4(weights, double=True)
    assert np.array_equal(ours.codes, codes)
    absmax = ours.absmax
    assert isinstance(absmax, DoubleQuantized)
    assert np.isclose(absmax.offset, state.offset.item(), rtol=1e-6)
    assert np.allclose(absmax.absmax, state.state2.absmax.numpy(), rtol=1e-5)
    theirs = DoubleQuantized(state.absmax.numpy(), absmax.absmax, absmax.offset)
    assert (absmax.codes == theirs.codes).mean() > 0.99
    exact = quantize_nf4(weights).absmax
    error, their_error = (np.abs(double_dequantize(x) - exact) for x in (absmax, theirs))
    assert (error <= their_error + 1e-7).all()


@settings(deadline=None)
@given(weights=matrices(128), double=st.booleans())
def test_the_nf4_error_stays_within_half_a_gap(weights: np.ndarray, double: bool) -> None:
    ours = quantize_nf4(weights, double)
    absmax = double_dequantize(ours.absmax) if isinstance(ours.absmax, DoubleQuantized) else None
    largest = np.abs(weights).reshape(-1, 64).max(axis=1, keepdims=True)
    gap = largest * np.diff(NF4_LEVELS).max() / 2
    if absmax is not None:  # what the absmax is off by, at the outermost level, comes on top
        gap = gap + np.abs(absmax[:, None] - largest)
    error = np.abs(dequantize_nf4(ours) - weights).reshape(-1, 64)
    assert (error <= gap * (1 + 1e-5) + 1e-30).all()


def test_nf4_sizes_are_exact() -> None:
    weights = normal(64, 64 * 100)
    assert quantize_nf4(weights).nbytes == weights.size // 2 + 4 * weights.size // 64
    # 6,400 absmax values are 25 blocks of 256.
    assert quantize_nf4(weights, double=True).nbytes == weights.size // 2 + 6400 + 4 * 25 + 4
    assert not dequantize_nf4(quantize_nf4(np.zeros((2, 64), np.float32))).any()


def test_nf4_beats_even_steps_on_normal_weights() -> None:
    """The reason for its levels. (Q4_0, as large, has blocks half as long, and beats both.)"""
    weights = normal(256, 256)
    absmax = np.repeat(quantize_nf4(weights).absmax, 64).reshape(weights.shape)
    even = np.rint((weights / absmax + 1) * 7.5) / 7.5 - 1
    nf4 = dequantize_nf4(quantize_nf4(weights))
    assert np.square(nf4 - weights).mean() < 0.9 * np.square(even * absmax - weights).mean()


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinities_are_refused(value: float) -> None:
    weights = normal(300, 1024)
    weights[-1, 3] = value
    for kind, make in (("NF4", quantize_nf4), ("int8", quantize_int8)):
        with pytest.raises(LabError, match=f"{value:g} cannot be stored in {kind}"):
            make(weights)
    with pytest.raises(LabError, match="int8"):
        multiply_int8(weights, quantize_int8(normal(8, 1024)))


@pytest.mark.parametrize("shape", [(3, 33), (0, 64), ()])
def test_weights_that_are_not_whole_nf4_blocks_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(LabError, match="do not divide into NF4 blocks of 64"):
        quantize_nf4(np.zeros(shape, np.float32))


# --- int8 -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(weights=matrices(48))
def test_int8_has_the_codes_of_bitsandbytes(weights: np.ndarray) -> None:
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant

    weights = weights[np.abs(weights).max(axis=1) > 0]  # bitsandbytes gives NaN for a row of zeros
    if not weights.size:
        return
    codes, absmax, _ = int8_vectorwise_quant(torch.from_numpy(weights).half())
    ours = quantize_int8(weights.astype(np.float16).astype(np.float32))
    assert np.array_equal(ours.codes, codes.numpy())
    assert np.array_equal(ours.absmax, absmax.numpy())


@settings(deadline=None)
@given(weights=matrices(40), columns=st.sets(st.integers(0, 39)))
def test_the_int8_error_stays_within_half_a_step(weights: np.ndarray, columns: set[int]) -> None:
    ours = quantize_int8(weights, list(columns))
    error = np.abs(dequantize_int8(ours) - weights)
    assert (error <= ours.absmax[:, None] * 0.5 / 127 * (1 + 1e-4) + np.abs(weights) * 2**-11
            + 2.0**-25).all()  # fmt: skip
    kept = sorted(columns)
    assert ours.outlier_columns.tolist() == kept
    assert not ours.codes[:, kept].any()
    rows = len(weights)
    assert ours.nbytes == rows * 40 + 4 * rows + len(kept) * (8 + 2 * rows)


def test_the_product_is_that_of_bitsandbytes() -> None:
    import torch
    from bitsandbytes.functional import int8_vectorwise_quant

    activations, weights = normal(20, 256), normal(48, 256, seed=1)
    a, a_absmax, _ = int8_vectorwise_quant(torch.from_numpy(activations))
    w, w_absmax, _ = int8_vectorwise_quant(torch.from_numpy(weights))
    multiply = torch.ops.bitsandbytes.int8_scaled_mm.default
    theirs = multiply(a, w, a_absmax, w_absmax, dtype=torch.float32).numpy()
    ours = multiply_int8(activations, quantize_int8(weights))
    # bitsandbytes' constant for 1 / 127² is 6.200124e-05, too large by two in 100,000.
    assert np.allclose(ours, theirs * (1 / 127**2 / 6.200124e-05), rtol=1e-6, atol=1e-6)


def test_outliers_apart_save_the_product() -> None:
    activations, weights = normal(20, 256), normal(48, 256, seed=1)
    activations = activations.clip(-5, 5)
    activations[:, [7, 200]] *= 60
    activations[0, [7, 200]] = 90
    exact = activations @ weights.T
    columns = find_outliers(activations)
    assert columns.tolist() == [7, 200]

    def error(columns: Any) -> float:
        product = multiply_int8(activations, quantize_int8(weights, columns))
        return float(np.square(product - exact).mean() / np.square(exact).mean())

    assert error(columns) < error(()) / 20


def test_a_row_of_zeros_and_what_is_no_matrix() -> None:
    zeros = quantize_int8(np.zeros((2, 4), np.float32))
    assert not dequantize_int8(zeros).any()
    assert not multiply_int8(normal(3, 4), zeros).any()
    with pytest.raises(LabError, match=r"matrix, not shape \(4,\)"):
        quantize_int8(np.zeros(4, np.float32))
    with pytest.raises(LabError, match="100000 cannot be stored in int8"):
        quantize_int8(np.full((1, 2), 1e5, np.float32), [1])  # beyond float16


def test_double_quantization_takes_any_number_of_blocks() -> None:
    for count in (1, 255, 256, 257):
        absmax = np.abs(normal(count))
        made = double_quantize(absmax)
        assert made.codes.shape == (count,)
        assert made.absmax.shape == (-(-count // nf4_int8.ABSMAX_BLOCK),)
        assert np.abs(double_dequantize(made) - absmax).max() < 0.02 * np.ptp(absmax) + 1e-7
