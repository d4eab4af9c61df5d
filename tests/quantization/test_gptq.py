"""GPTQ: better than rounding on what a layer is fed, and the checkpoint that others read."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import pocket
from labkit.core.errors import LabError
from labkit.core.extras import has
from labkit.core.i18n import use_language
from labkit.engines import load
from labkit.pocket import corpus
from labkit.quantization.gptq import (
    GPTQTensors,
    GPTQWeights,
    dequantize_gptq,
    measure_hessian,
    pack_gptq,
    quantization_config,
    quantize_gptq,
    round_nearest,
    unpack_gptq,
)

MODEL = "llama3"


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def output_error(weights: np.ndarray, quantized: GPTQWeights, activations: np.ndarray) -> float:
    """Mean squared error of the layer's output, as a share of the output's mean square."""
    lost = activations @ (weights - dequantize_gptq(quantized)).T
    return float(np.square(lost).mean() / np.square(activations @ weights.T).mean())


# --- on a pocket model ------------------------------------------------------------------------


@cache
def layers() -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Name to weights, calibration inputs and held-out inputs of every matrix in the layers."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = pocket.folder(MODEL)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    linear = {name: part for name, part in model.model.named_modules() if hasattr(part, "weight")}
    linear = {name: part for name, part in linear.items() if isinstance(part, torch.nn.Linear)}

    def inputs(seed: int) -> dict[str, np.ndarray]:
        seen: dict[str, list[np.ndarray]] = {name: [] for name in linear}
        hooks = [
            part.register_forward_hook(
                lambda _part, given, _out, name=name: seen[name].append(given[0][0].numpy())
            )
            for name, part in linear.items()
        ]
        with torch.no_grad():
            for skill in ("facts", "lexicon"):
                for item in corpus.held_out(skill, 25, seed):
                    text = tokenizer.apply_chat_template(list(item.messages), tokenize=False)
                    model(torch.tensor([tokenizer(text, add_special_tokens=False).input_ids]))
        for hook in hooks:
            hook.remove()
        return {name: np.concatenate(batches) for name, batches in seen.items()}

    calibration, held_out = inputs(0), inputs(1)
    return {
        name: (part.weight.detach().numpy(), calibration[name], held_out[name])
        for name, part in linear.items()
    }


@pytest.mark.parametrize(("bits", "act_order"), [(4, False), (4, True), (8, False)])
def test_every_layer_loses_less_than_by_rounding(bits: int, act_order: bool) -> None:
    """On held-out text: what was made up for in calibration is made up for there too."""
    ratios = []
    for name, (weights, calibration, held_out) in layers().items():
        ours = quantize_gptq(weights, measure_hessian(calibration), bits, act_order=act_order)
        plain = round_nearest(weights, bits)
        error = output_error(weights, ours, held_out)
        rounded = output_error(weights, plain, held_out)
        assert error < rounded, name
        ratios.append(error / rounded)
    assert len(ratios) == 28  # seven matrices in each of four layers
    assert np.mean(ratios) < 0.8


# --- the algorithm ----------------------------------------------------------------------------


def correlated(tokens: int, columns: int, seed: int = 0) -> np.ndarray:
    return normal(tokens, columns // 4, seed=seed) @ normal(columns // 4, columns, seed=9)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_correlated_inputs_are_made_up_for(bits: int) -> None:
    weights = normal(32, 128)
    hessian = measure_hessian(correlated(1000, 128))
    held_out = correlated(500, 128, seed=1)
    ours = output_error(weights, quantize_gptq(weights, hessian, bits, 64), held_out)
    assert ours < 0.5 * output_error(weights, round_nearest(weights, bits, 64), held_out)


@pytest.mark.parametrize("act_order", [False, True])
def test_unrelated_inputs_leave_rounding_to_nearest(act_order: bool) -> None:
    """With a diagonal Hessian there is nothing to make up for: a fact known without the code."""
    weights = normal(16, 96)
    hessian = np.diag(np.linspace(1, 50, 96))
    ours = quantize_gptq(weights, hessian, 4, -1, act_order=act_order)
    plain = round_nearest(weights, 4, -1)
    assert np.array_equal(ours.codes, plain.codes)
    assert np.array_equal(ours.scales, plain.scales)


def test_what_is_given_lies_in_memory_row_by_row() -> None:
    """safetensors writes memory as it lies: a transposed array would come back scrambled."""
    weights, hessian = normal(32, 64), measure_hessian(normal(100, 64))
    for made in (round_nearest(weights, 4, 32), quantize_gptq(weights, hessian, 4, 32)):
        packed = pack_gptq(made)
        arrays = [dequantize_gptq(made), made.codes, made.scales, *vars(packed).values()]
        arrays += [unpack_gptq(packed, 4).codes, dequantize_gptq(unpack_gptq(packed, 4))]
        assert all(array.flags.c_contiguous for array in arrays)


def test_one_step_by_hand() -> None:
    """Two columns: the second moves by -H₂₁/H₂₂ of the first one's error (GPTQ, equation 2)."""
    hessian = np.array([[2.0, 1.0], [1.0, 4.0]])
    weights = np.array([[0.30, 1.5], [0.61, -1.5]], np.float32)
    made = quantize_gptq(weights, hessian, 4, 1, damping=0)
    # A group a column, so each row meets its own 7.5th step: 7 steps of |w| / 7.5, up to float16.
    first = dequantize_gptq(made)[:, 0]
    assert np.allclose(first, [0.30 * 7 / 7.5, 0.61 * 7 / 7.5], rtol=1e-3)
    moved = weights[:, 1] + (weights[:, 0] - first) * hessian[0, 1] / hessian[1, 1]
    assert np.allclose(made.scales[1].astype(np.float32), np.abs(moved) / 7.5, rtol=1e-3)


def test_inputs_never_fed_are_rounded_to_nearest() -> None:
    weights = normal(16, 64)
    fed = correlated(500, 64)
    fed[:, [5, 40]] = 0
    ours = quantize_gptq(weights, measure_hessian(fed), 8, -1)
    lost = np.abs(dequantize_gptq(ours) - weights)[:, [5, 40]]
    assert (lost <= 0.5001 * ours.scales[0].astype(np.float32)[:, None]).all()


def test_act_order_takes_the_largest_inputs_first() -> None:
    fed = normal(500, 64) * np.linspace(1, 9, 64, dtype=np.float32)
    ours = quantize_gptq(normal(8, 64), measure_hessian(fed), 4, 16, act_order=True)
    assert ours.g_idx.tolist() == sorted(ours.g_idx.tolist(), reverse=True)
    assert np.bincount(ours.g_idx).tolist() == [16] * 4


def test_the_hessian_is_that_of_all_batches() -> None:
    first, second = normal(30, 8), normal(70, 8, seed=1)
    whole = np.concatenate([first, second]).astype(np.float64)
    assert np.allclose(measure_hessian(first, second), 2 / 100 * whole.T @ whole)


def test_more_bits_and_smaller_groups_smaller_error() -> None:
    weights = normal(32, 256)
    errors = [np.square(dequantize_gptq(round_nearest(weights, bits)) - weights).mean()
              for bits in (2, 4, 8)]  # fmt: skip
    assert errors[0] > 10 * errors[1] > 1000 * errors[2]
    errors = [np.square(dequantize_gptq(round_nearest(weights, 4, size)) - weights).mean()
              for size in (-1, 128, 32)]  # fmt: skip
    assert errors[0] > errors[1] > errors[2]


@settings(deadline=None)
@given(seed=st.integers(0, 2**32), power=st.floats(-12, 12), bits=st.sampled_from([2, 4, 8]))
def test_rounding_stays_within_the_step(seed: int, power: float, bits: int) -> None:
    weights = normal(4, 64, seed=seed) * np.float32(2**power)
    weights[0] = weights[0, 0]  # a constant row
    made = round_nearest(weights, bits, 32)
    steps = made.scales[made.g_idx].T.astype(np.float32)
    # Half a step, also at the ends; the step itself is rounded to float16: by 2^-11 of it, or by
    # 2^-25 where that is subnormal.
    slack = np.abs(weights) * 2**-10 + 2**bits * 2.0**-25
    assert (np.abs(dequantize_gptq(made) - weights) <= 0.5 * steps + slack).all()


def test_zeros_stay_zeros() -> None:
    weights = np.zeros((32, 64), np.float32)
    assert not dequantize_gptq(round_nearest(weights, 4, 32)).any()
    assert not dequantize_gptq(quantize_gptq(weights, np.eye(64), 4, 32)).any()


# --- the checkpoint ---------------------------------------------------------------------------


def test_eight_codes_make_a_word_the_first_in_the_low_bits() -> None:
    codes = np.tile(np.arange(1, 9, dtype=np.uint8), (32, 4))
    made = pack_gptq(
        GPTQWeights(codes, np.ones((1, 32), np.float16), np.zeros(32, np.int32), bits=4)
    )
    assert (made.qweight.view(np.uint32) == 0x87654321).all()
    assert made.qweight.shape == (4, 32)
    assert (made.qzeros.view(np.uint32) == 0x77777777).all()  # 8, less one
    assert made.qzeros.shape == (1, 4)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**32),
    bits=st.sampled_from([2, 4, 8]),
    rows=st.sampled_from([32, 96]),
    columns=st.sampled_from([32, 64, 128]),
    groups=st.sampled_from([1, 2, 4]),
)
def test_packing_round_trips_exactly(
    seed: int, bits: int, rows: int, columns: int, groups: int
) -> None:
    rng = np.random.default_rng(seed)
    made = GPTQWeights(
        rng.integers(0, 2**bits, (rows, columns), np.uint8),
        rng.random((groups, rows)).astype(np.float16),
        rng.integers(0, groups, columns, np.int32),
        bits,
    )
    packed = pack_gptq(made)
    back = unpack_gptq(packed, bits)
    assert vars(back).keys() == vars(made).keys()
    for name, value in vars(made).items():
        assert np.array_equal(getattr(back, name), value), name
    sizes = {name: array.nbytes for name, array in vars(packed).items()}
    assert sizes == {
        "qweight": rows * columns * bits // 8,
        "qzeros": groups * rows * bits // 8,
        "scales": groups * rows * 2,
        "g_idx": columns * 4,
    }
    assert {array.dtype.name for array in vars(packed).values()} == {"int32", "float16"}


LOAD = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoRoundConfig
packed, ids, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(
    packed, dtype=torch.float32, quantization_config=AutoRoundConfig(backend="auto")
)
layer = model.model.layers[0].mlp.up_proj
assert hasattr(layer, "qweight"), type(layer)
with torch.no_grad():
    logits = model(torch.tensor([json.loads(ids)])).logits[0]
torch.save(logits, out)
"""


def write_packed(folder: Path, bits: int, name: str) -> None:
    """A pocket model with its layers packed, and beside it the same weights unpacked."""
    from safetensors.numpy import load_file, save_file

    source = pocket.folder(MODEL)
    for kind in ("packed", "plain"):
        shutil.copytree(source, folder / kind)
    tensors = load_file(source / "model.safetensors")
    packed, plain = dict(tensors), dict(tensors)
    for layer, (weights, calibration, _) in layers().items():
        key = f"model.{layer}"
        made = quantize_gptq(weights, measure_hessian(calibration), bits)
        del packed[f"{key}.weight"]
        packed |= {f"{key}.{part}": array for part, array in vars(pack_gptq(made)).items()}
        plain[f"{key}.weight"] = dequantize_gptq(made)
    save_file(packed, folder / "packed" / "model.safetensors", {"format": "pt"})
    save_file(plain, folder / "plain" / "model.safetensors", {"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    config["quantization_config"] = quantization_config(bits)
    (folder / "packed" / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.fixture(scope="module")
def python_with_auto_round(tmp_path_factory: pytest.TempPathFactory) -> str:
    """This Python, or one over its packages with auto-round besides."""
    if has("auto_round"):
        return sys.executable
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "base.pth").write_text(sysconfig.get_paths()["purelib"], encoding="utf-8")
    subprocess.run([python, "-m", "pip", "install", "-q", "auto-round==0.16.1"], check=True)
    return python


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, 8])
def test_transformers_loads_what_we_packed(
    bits: int, tmp_path: Path, python_with_auto_round: str
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    write_packed(tmp_path, bits, MODEL)
    ids = list(range(5, 45))
    command = [python_with_auto_round, "-c", LOAD, str(tmp_path / "packed"), json.dumps(ids)]
    done = subprocess.run(
        [*command, str(tmp_path / "logits")], capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr
    theirs = torch.load(tmp_path / "logits", weights_only=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", dtype=torch.float32)
    with torch.no_grad():
        ours = model(torch.tensor([ids])).logits[0]
        original = AutoModelForCausalLM.from_pretrained(pocket.folder(MODEL), dtype=torch.float32)
        change = (original(torch.tensor([ids])).logits[0] - ours).abs().max()
    # The loader works in float16, which costs less than even 8 bits do.
    assert (theirs - ours).abs().max() < 0.5 * change


@pytest.fixture(scope="module")
def python_with_gptqmodel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Over this Python's packages; what gptqmodel needs beside them, without what they are."""
    venv = tmp_path_factory.mktemp("gptqmodel") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    (site,) = venv.glob("lib/python*/site-packages")
    here = [sysconfig.get_paths()["purelib"], str(Path(__file__).parents[2])]
    (site / "base.pth").write_text("\n".join(here), encoding="utf-8")
    vision = {"2.13": "0.28.0"}[version("torch").rpartition(".")[0]]
    packages = ["gptqmodel==7.2.0", "device-smi", "pypcre", "tokenicer", "logbar", "threadpoolctl",
                "defuser", "torchao", "ninja", f"torchvision=={vision}"]  # fmt: skip
    alone = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation"]
    done = subprocess.run([python, *alone, *packages], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # It imports torchvision for pictures, whose compiled part is for CUDA; the rest does without.
    (site / "torchvision" / "_meta_registrations.py").write_text("", encoding="utf-8")
    return python


COMPARE = f"""
import json, labkit
formats = ["gptqmodel-8bit", "gptqmodel-4bit", "nf4"]
made = labkit.quantize("pocket/{MODEL}", formats)
rows = labkit.compare(made).rows
print(json.dumps({{r.format: (r.kl_mean, str(m.path)) for r, m in zip(rows, made.rows)}}))
"""


@pytest.mark.slow
def test_gptqmodel_makes_what_is_near_the_original_too(
    tmp_path: Path, python_with_gptqmodel: str
) -> None:
    """Measured where gptqmodel is, and loaded where it is not."""
    import torch

    done = subprocess.run(
        [python_with_gptqmodel, "-c", COMPARE], cwd=tmp_path,  # where gptqmodel leaves its logs
        env=os.environ | {"LABKIT_CACHE": str(tmp_path)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    print(rows)
    loss = {form: kl for form, (kl, _) in rows.items()}
    assert loss["gptqmodel-8bit"] < loss["gptqmodel-4bit"] / 5
    assert loss["gptqmodel-4bit"] < loss["nf4"]  # which has seen no text
    original = load(f"pocket/{MODEL}")
    ids = torch.tensor([original.encode("Qwen2.5有哪些尺寸？")])
    for form in ("gptqmodel-8bit", "gptqmodel-4bit"):
        made = load(rows[form][1])
        assert type(made.model.model.layers[0].mlp.up_proj).__name__ == "QuantLinear"
        with torch.no_grad():
            change = (made.model(ids).logits - original.model(ids).logits).abs().max()
        assert 0 < change < 5
        assert not (Path(rows[form][1]) / "made").exists()


# --- what is refused --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_infinities_are_refused(value: float) -> None:
    weights = normal(8, 64)
    weights[3, 3] = value
    for make in (round_nearest, lambda w, b, s: quantize_gptq(w, np.eye(64), b, s)):
        with pytest.raises(LabError, match=f"The weight {value:g} cannot be stored in GPTQ"):
            make(weights, 4, 32)
    with pytest.raises(LabError, match="activations hold infinities"):
        measure_hessian(weights)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"group_size": 48}, "Rows of 64 weights do not divide into groups of 48"),
        ({"group_size": 0}, "groups of 0"),
        ({"bits": 3}, "GPTQ with 3 bits"),
        ({"weights": normal(64)}, r"matrix, not shape \(64,\)"),
        ({"weights": normal(2, 64) * 1e7}, "cannot be stored in GPTQ-4"),
        ({"hessian": np.eye(32)}, r"shape \(32, 32\) does not fit rows of 64"),
        ({"hessian": -np.eye(64)}, "cannot be inverted with damping 0.01"),
        ({"hessian": np.ones((64, 64)), "damping": 0}, "cannot be inverted with damping 0"),
    ],
)
def test_refusals_name_the_value_and_the_way_out(arguments: dict[str, Any], message: str) -> None:
    call = {"weights": normal(2, 64), "hessian": np.eye(64), "bits": 4, "group_size": 32}
    with pytest.raises(LabError, match=message) as caught:
        quantize_gptq(**(call | arguments))
    assert caught.value.way_out
    use_language("zh")
    with pytest.raises(LabError) as caught:
        quantize_gptq(**(call | arguments))
    assert any("一" <= letter <= "鿿" for letter in caught.value.what)


def test_what_does_not_fit_the_checkpoint_is_refused() -> None:
    with pytest.raises(LabError, match=r"shape \(33, 64\) does not fit the GPTQ format"):
        pack_gptq(round_nearest(normal(33, 64), 4, 32))
    packed = pack_gptq(round_nearest(normal(32, 64), 4, 32))
    with pytest.raises(LabError, match="do not belong together as 8-bit"):
        unpack_gptq(packed, 8)
    shifted = GPTQTensors(**(vars(packed) | {"qzeros": packed.qzeros + 1}))
    with pytest.raises(LabError, match="asymmetric"):
        unpack_gptq(shifted, 4)
